"""Solutions to 00_ten_minutes.ipynb, and wrong answers that its checks must refuse."""


# %% exercise 1
def mean_vector(x, m):
    real = m[:, :, None]  # (B, T, 1)
    return (x * real).sum(axis=1) / real.sum(axis=1)


# %% exercise 1, wrong: padding counts
def mean_vector(x, m):
    return x.mean(axis=1)


# %% exercise 1, wrong: padding counts below the line
def mean_vector(x, m):
    return (x * m[:, :, None]).mean(axis=1)


# %% exercise 2
def nearest(query, texts):
    first, *others = erniem.embed([query, *texts], normalize=True)
    return texts[int(np.argmax([first @ other for other in others]))]


# %% exercise 2, wrong: the least similar
def nearest(query, texts):
    first, *others = erniem.embed([query, *texts], normalize=True)
    return texts[int(np.argmin([first @ other for other in others]))]


# %% exercise 1, wrong: the first rows, which is wrong where padding stands on the left
def mean_vector(x, m):
    return np.array([rows[: int(n)].mean(axis=0) for rows, n in zip(x, m.sum(axis=1))])


# %% exercise 1, wrong: one vector for the whole batch
def mean_vector(x, m):
    return (x * m[:, :, None]).sum(axis=(0, 1)) / m.sum()


# %% exercise 2, wrong: the smallest distance
def nearest(query, texts):
    first, *others = erniem.embed([query, *texts])
    return texts[int(np.argmin([np.linalg.norm(first - other) for other in others]))]


# %% exercise 2, wrong: the largest dot product
def nearest(query, texts):
    first, *others = erniem.embed([query, *texts])
    return texts[int(np.argmax([first @ other for other in others]))]


# %% exercise 2, wrong: the most letters in common
def nearest(query, texts):
    import difflib

    return max(texts, key=lambda text: difflib.SequenceMatcher(None, query, text).ratio())


# %% exercise 3
def shared_tokens(a, b):
    a, b = (set(tokenizer.tokenize(text)) for text in (a, b))
    return len(a & b) / len(a | b) if a | b else 0


# %% exercise 3, wrong: special tokens count
def shared_tokens(a, b):
    a, b = (set(tokenizer(text)["input_ids"]) for text in (a, b))
    return len(a & b) / len(a | b)


# %% exercise 3, wrong: letters, not tokens
def shared_tokens(a, b):
    return len(set(a) & set(b)) / max(1, len(set(a) | set(b)))


# %% exercise 3, wrong: a token counts as often as it occurs
def shared_tokens(a, b):
    a, b = tokenizer.tokenize(a), tokenizer.tokenize(b)
    return sum(token in b for token in a) / max(1, len(a) + len(b) - sum(t in b for t in a))
