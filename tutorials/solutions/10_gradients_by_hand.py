"""Solutions to 10_gradients_by_hand.ipynb, and wrong answers that its checks must refuse."""


# %% exercise 1
def tanh_backward(dy, y):
    return dy * (1 - y * y)


# %% exercise 1, wrong: tanh of the result again
def tanh_backward(dy, y):
    return dy * (1 - np.tanh(y) ** 2)


# %% exercise 1, wrong: without dy
def tanh_backward(dy, y):
    return 1 - y * y


# %% exercise 2
def embedding_backward(dy, ids, V):
    gradient = np.zeros((V, dy.shape[1]))
    np.add.at(gradient, ids, dy)
    return gradient


# %% exercise 2, wrong: the last occurrence replaces the first
def embedding_backward(dy, ids, V):
    gradient = np.zeros((V, dy.shape[1]))
    gradient[ids] += dy
    return gradient


# %% exercise 2, wrong: the gradient of the tokens
def embedding_backward(dy, ids, V):
    return dy


# %% exercise 2, wrong: the mean over the occurrences
def embedding_backward(dy, ids, V):
    gradient = np.zeros((V, dy.shape[1]))
    np.add.at(gradient, ids, dy)
    return gradient / np.maximum(1, np.bincount(ids, minlength=V))[:, None]


# %% exercise 3
def mean_backward(dy, mask):
    shares = mask / mask.sum(axis=1, keepdims=True)
    return shares[:, :, None] * dy[:, None, :]


# %% exercise 3, wrong: divided by T
def mean_backward(dy, mask):
    return mask[:, :, None] * dy[:, None, :] / mask.shape[1]


# %% exercise 3, wrong: padding gets a share
def mean_backward(dy, mask):
    shares = np.ones(mask.shape) / mask.sum(axis=1, keepdims=True)
    return shares[:, :, None] * dy[:, None, :]


# %% exercise 3, wrong: the length of all texts together
def mean_backward(dy, mask):
    return mask[:, :, None] * dy[:, None, :] / mask.sum()


# %% exercise 4
def gelu_layer_backward(dy, x, W, b):
    z = x @ W.T + b
    normal = 0.5 * (1 + np.vectorize(math.erf)(z / math.sqrt(2)))
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return linear_backward(dy * (normal + z * density), x, W)


# %% exercise 4, wrong: the derivative at the result
def gelu_layer_backward(dy, x, W, b):
    z = x @ W.T + b
    normal = 0.5 * (1 + np.vectorize(math.erf)(z / math.sqrt(2)))
    y = z * normal
    density = np.exp(-y * y / 2) / math.sqrt(2 * math.pi)
    return linear_backward(dy * (normal + y * density), x, W)


# %% exercise 4, wrong: gelu counted as z times a constant
def gelu_layer_backward(dy, x, W, b):
    z = x @ W.T + b
    normal = 0.5 * (1 + np.vectorize(math.erf)(z / math.sqrt(2)))
    return linear_backward(dy * normal, x, W)


# %% exercise 4, wrong: the bias was forgotten
def gelu_layer_backward(dy, x, W, b):
    z = x @ W.T
    normal = 0.5 * (1 + np.vectorize(math.erf)(z / math.sqrt(2)))
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return linear_backward(dy * (normal + z * density), x, W)
