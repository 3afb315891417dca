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
