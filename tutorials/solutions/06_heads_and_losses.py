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


# %% exercise 1, wrong: negative scores lose
def best_span(start, end, longest):
    best, found = 0, (0, 0)
    for s in range(len(start)):
        for e in range(s, min(len(end), s + longest)):
            if start[s] + end[e] > best:
                best, found = start[s] + end[e], (s, e)
    return found


# %% exercise 1, wrong: the best start, then an end
def best_span(start, end, longest):
    s = int(start.argmax())
    return s, s + int(end[s : s + longest].argmax())


# %% exercise 2, wrong: exp overflows
def cross_entropy_gradient(scores, right):
    p = np.exp(scores)
    return p / p.sum() - np.eye(len(scores))[right]


# %% exercise 2, wrong: the right class alone
def cross_entropy_gradient(scores, right):
    p = np.exp(scores - scores.max())
    return (p / p.sum() - 1) * np.eye(len(scores))[right]


# %% exercise 3, wrong: each placeholder by itself
def placeholder_mask(n, p):
    mask = np.zeros((n + p, n + p), bool)
    mask[:, :n] = True
    return mask | np.eye(n + p, dtype=bool)


# %% exercise 4
def train_head(x, y, K, steps, rate):
    w, b = np.zeros((K, x.shape[1])), np.zeros(K)
    for _ in range(steps):
        s = x @ w.T + b  # (N, D)·(D, K) -> (N, K)
        p = np.exp(s - s.max(axis=1, keepdims=True))
        ds = (p / p.sum(axis=1, keepdims=True) - np.eye(K)[y]) / len(x)
        w -= rate * ds.T @ x  # (K, N)·(N, D) -> (K, D)
        b -= rate * ds.sum(axis=0)
    return w, b


# %% exercise 4, wrong: with the gradient, not against it
def train_head(x, y, K, steps, rate):
    w, b = np.zeros((K, x.shape[1])), np.zeros(K)
    for _ in range(steps):
        s = x @ w.T + b
        p = np.exp(s - s.max(axis=1, keepdims=True))
        ds = (p / p.sum(axis=1, keepdims=True) - np.eye(K)[y]) / len(x)
        w += rate * ds.T @ x
        b += rate * ds.sum(axis=0)
    return w, b


# %% exercise 4, wrong: the sum, not the mean
def train_head(x, y, K, steps, rate):
    w, b = np.zeros((K, x.shape[1])), np.zeros(K)
    for _ in range(steps):
        s = x @ w.T + b
        p = np.exp(s - s.max(axis=1, keepdims=True))
        ds = p / p.sum(axis=1, keepdims=True) - np.eye(K)[y]
        w -= rate * ds.T @ x
        b -= rate * ds.sum(axis=0)
    return w, b


# %% exercise 4, wrong: softmax over the texts
def train_head(x, y, K, steps, rate):
    w, b = np.zeros((K, x.shape[1])), np.zeros(K)
    for _ in range(steps):
        s = x @ w.T + b
        p = np.exp(s - s.max())
        ds = (p / p.sum(axis=0) - np.eye(K)[y]) / len(x)
        w -= rate * ds.T @ x
        b -= rate * ds.sum(axis=0)
    return w, b


# %% exercise 4, wrong: no bias
def train_head(x, y, K, steps, rate):
    w, b = np.zeros((K, x.shape[1])), np.zeros(K)
    for _ in range(steps):
        s = x @ w.T + b
        p = np.exp(s - s.max(axis=1, keepdims=True))
        w -= rate * ((p / p.sum(axis=1, keepdims=True) - np.eye(K)[y]) / len(x)).T @ x
    return w, b


# %% exercise 5
def two_languages(texts):
    inputs = tokenizer(texts, padding=True, return_tensors="np")
    scores = trained(**inputs).logits  # (B, K)
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    best = np.argsort(-p, axis=1)[:, :2]
    return [[(names[n], float(row[n])) for n in two] for row, two in zip(p, best, strict=True)]


# %% exercise 5, wrong: every class a question of its own
def two_languages(texts):
    scores = trained(**tokenizer(texts, padding=True, return_tensors="np")).logits
    p = 1 / (1 + np.exp(-scores))
    best = np.argsort(-p, axis=1)[:, :2]
    return [[(names[n], float(row[n])) for n in two] for row, two in zip(p, best, strict=True)]


# %% exercise 5, wrong: the least likely ones
def two_languages(texts):
    scores = trained(**tokenizer(texts, padding=True, return_tensors="np")).logits
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    best = np.argsort(p, axis=1)[:, :2]
    return [[(names[n], float(row[n])) for n in two] for row, two in zip(p, best, strict=True)]


# %% exercise 5, wrong: softmax over the texts
def two_languages(texts):
    scores = trained(**tokenizer(texts, padding=True, return_tensors="np")).logits
    p = np.exp(scores) / np.exp(scores).sum(axis=0)
    best = np.argsort(-scores, axis=1)[:, :2]
    return [[(names[n], float(row[n])) for n in two] for row, two in zip(p, best, strict=True)]


# %% exercise 5, wrong: a new head
def two_languages(texts):
    config = erniem.ErnieMConfig.from_pretrained(folder)
    model = erniem.ErnieMForSequenceClassification(config, seed=1)
    scores = model(**tokenizer(texts, padding=True, return_tensors="np")).logits
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    best = np.argsort(-p, axis=1)[:, :2]
    return [[(names[n], float(row[n])) for n in two] for row, two in zip(p, best, strict=True)]
