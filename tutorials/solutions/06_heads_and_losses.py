"""Solutions to 06_heads_and_losses.ipynb, and wrong answers that its checks must refuse."""


# %% exercise 1
def best_span(start, end, longest):
    pairs = [(s, e) for s in range(len(start)) for e in range(s, min(len(end), s + longest))]
    return max(pairs, key=lambda pair: start[pair[0]] + end[pair[1]])


# %% exercise 1, wrong: the two highest scores
def best_span(start, end, longest):
    return int(start.argmax()), int(end.argmax())


# %% exercise 1, wrong: one too long
def best_span(start, end, longest):
    pairs = [(s, e) for s in range(len(start)) for e in range(s, min(len(end), s + longest + 1))]
    return max(pairs, key=lambda pair: start[pair[0]] + end[pair[1]])


# %% exercise 2
def cross_entropy_gradient(scores, right):
    p = np.exp(scores - scores.max())
    p /= p.sum()
    p[right] -= 1
    return p


# %% exercise 2, wrong: the other sign
def cross_entropy_gradient(scores, right):
    p = np.exp(scores - scores.max())
    return np.eye(len(scores))[right] - p / p.sum()


# %% exercise 3
def placeholder_mask(n, p):
    mask = np.ones((n + p, n + p), bool)
    mask[:n, n:] = False
    return mask


# %% exercise 3, wrong: the sentence sees the placeholders
def placeholder_mask(n, p):
    return np.ones((n + p, n + p), bool)


# %% exercise 3, wrong: one after the other
def placeholder_mask(n, p):
    mask = np.tril(np.ones((n + p, n + p), bool))
    mask[:n, :n] = True
    return mask
