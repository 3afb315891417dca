"""Solutions to 03_attention.ipynb, and wrong answers that its checks must refuse."""


# %% exercise 1
def softmax(scores):
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


# %% exercise 1, wrong: overflows
def softmax(scores):
    weights = np.exp(scores)
    return weights / weights.sum(axis=-1, keepdims=True)


# %% exercise 1, wrong: over the whole array
def softmax(scores):
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


# %% exercise 2
def packed_mask(a, n):
    second = np.arange(n) >= a
    return second[:, None] == second[None, :]


# %% exercise 2, wrong: each sees the other
def packed_mask(a, n):
    second = np.arange(n) >= a
    return second[:, None] != second[None, :]


# %% exercise 2, wrong: everything
def packed_mask(a, n):
    return np.ones((n, n), bool)


# %% exercise 3
def multiplications(T, D):
    return 2 * T * T * D  # H heads of width D/H: H · T · T · D/H each


# %% exercise 3, wrong: only one product
def multiplications(T, D):
    return T * T * D


# %% exercise 1, wrong: one maximum for all rows
def softmax(scores):
    weights = np.exp(scores - scores.max())
    return weights / weights.sum(axis=-1, keepdims=True)


# %% exercise 2, wrong: only the past
def packed_mask(a, n):
    second = np.arange(n) >= a
    return np.tril(second[:, None] == second[None, :])


# %% exercise 2, wrong: numbers
def packed_mask(a, n):
    second = np.arange(n) >= a
    return (second[:, None] == second[None, :]).astype(np.float32)


# %% exercise 3, wrong: the linear maps
def multiplications(T, D):
    return 2 * T * D * D


# %% exercise 3, wrong: additions, too
def multiplications(T, D):
    return 4 * T * T * D


# %% exercise 4
def rollout(attentions):
    result = np.eye(attentions[0].shape[-1])
    for layer in attentions:
        passed = layer.mean(axis=1) / 2 + np.eye(layer.shape[-1]) / 2  # (B, T, T)
        result = passed @ result
    return result


# %% exercise 4, wrong: the first layer on the left
def rollout(attentions):
    result = np.eye(attentions[0].shape[-1])
    for layer in attentions:
        result = result @ (layer.mean(axis=1) / 2 + np.eye(layer.shape[-1]) / 2)
    return result


# %% exercise 4, wrong: without the residual connection
def rollout(attentions):
    result = np.eye(attentions[0].shape[-1])
    for layer in attentions:
        result = layer.mean(axis=1) @ result
    return result


# %% exercise 4, wrong: the mean of the layers
def rollout(attentions):
    return sum(layer.mean(axis=1) / 2 + np.eye(layer.shape[-1]) / 2 for layer in attentions) / len(
        attentions
    )
