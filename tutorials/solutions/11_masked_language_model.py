"""Solutions to 11_masked_language_model.ipynb, and wrong answers that its checks must refuse."""


# %% exercise 1
def hide(ids, share, rng):
    asked = (rng.random(ids.shape) < share) & (ids > MASK)
    lot = rng.random(ids.shape)
    words = rng.integers(MASK + 1, len(VOCABULARY), ids.shape)
    hidden = np.where(asked & (lot < 0.8), MASK, ids)
    hidden = np.where(asked & (lot >= 0.8) & (lot < 0.9), words, hidden)
    return hidden, np.where(asked, ids, -100)


# %% exercise 1, wrong: always [MASK]
def hide(ids, share, rng):
    asked = (rng.random(ids.shape) < share) & (ids > MASK)
    return np.where(asked, MASK, ids), np.where(asked, ids, -100)


# %% exercise 1, wrong: special tokens are drawn, too
def hide(ids, share, rng):
    asked = rng.random(ids.shape) < share
    lot = rng.random(ids.shape)
    words = rng.integers(MASK + 1, len(VOCABULARY), ids.shape)
    hidden = np.where(asked & (lot < 0.8), MASK, ids)
    hidden = np.where(asked & (lot >= 0.8) & (lot < 0.9), words, hidden)
    return hidden, np.where(asked, ids, -100)


# %% exercise 1, wrong: words that stay are not asked
def hide(ids, share, rng):
    asked = (rng.random(ids.shape) < share) & (ids > MASK)
    lot = rng.random(ids.shape)
    words = rng.integers(MASK + 1, len(VOCABULARY), ids.shape)
    hidden = np.where(asked & (lot < 0.8), MASK, ids)
    hidden = np.where(asked & (lot >= 0.8) & (lot < 0.9), words, hidden)
    return hidden, np.where(hidden != ids, ids, -100)


# %% exercise 1, wrong: the ids are changed in place
def hide(ids, share, rng):
    asked = (rng.random(ids.shape) < share) & (ids > MASK)
    lot = rng.random(ids.shape)
    labels = np.where(asked, ids, -100)
    ids[asked & (lot < 0.8)] = MASK
    other = asked & (lot >= 0.8) & (lot < 0.9)
    ids[other] = rng.integers(MASK + 1, len(VOCABULARY), other.sum())
    return ids, labels


# %% exercise 2
def factor(step, steps, warmup):
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


# %% exercise 2, wrong: the warm-up begins at 0
def factor(step, steps, warmup):
    if step < warmup:
        return step / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


# %% exercise 2, wrong: a straight line
def factor(step, steps, warmup):
    if step < warmup:
        return (step + 1) / warmup
    return (steps - step) / (steps - warmup)


# %% exercise 2, wrong: the cosine counts from step 0
def factor(step, steps, warmup):
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * step / steps))


# %% exercise 3
def best_loss(place):
    fish = 5 / 6 * math.log(3) + 1 / 6 * math.log(6)
    return (0.0, math.log(4), math.log(6), fish, 0.0, math.log(6))[place]


# %% exercise 3, wrong: fish was forgotten
def best_loss(place):
    return (0.0, math.log(4), math.log(6), math.log(3), 0.0, math.log(6))[place]


# %% exercise 3, wrong: all forms of the subject are possible
def best_loss(place):
    fish = 5 / 6 * math.log(3) + 1 / 6 * math.log(6)
    return (0.0, math.log(4), math.log(11), fish, 0.0, math.log(6))[place]


# %% exercise 4
def candidates(text, k):
    inputs = tokenizer(text, return_tensors="np")
    at = int(np.flatnonzero(inputs["input_ids"][0] == tokenizer.mask_token_id)[0])
    scores = trained(**inputs).logits[0, at].astype(np.float64)  # (V,)
    p = np.exp(scores - scores.max())
    p /= p.sum()
    best = np.argsort(-p)[:k]
    return list(zip(tokenizer.convert_ids_to_tokens(best.tolist()), p[best].tolist(), strict=True))


# %% exercise 4, wrong: the scores of [CLS]
def candidates(text, k):
    scores = trained(**tokenizer(text, return_tensors="np")).logits[0, 0]
    p = np.exp(scores - scores.max())
    p /= p.sum()
    best = np.argsort(-p)[:k]
    return list(zip(tokenizer.convert_ids_to_tokens(best.tolist()), p[best].tolist(), strict=True))


# %% exercise 4, wrong: one place too far
def candidates(text, k):
    inputs = tokenizer(text, return_tensors="np")
    at = int(np.flatnonzero(inputs["input_ids"][0] == tokenizer.mask_token_id)[0]) + 1
    scores = trained(**inputs).logits[0, at]
    p = np.exp(scores - scores.max())
    p /= p.sum()
    best = np.argsort(-p)[:k]
    return list(zip(tokenizer.convert_ids_to_tokens(best.tolist()), p[best].tolist(), strict=True))


# %% exercise 4, wrong: probabilities among the k alone
def candidates(text, k):
    inputs = tokenizer(text, return_tensors="np")
    at = int(np.flatnonzero(inputs["input_ids"][0] == tokenizer.mask_token_id)[0])
    scores = trained(**inputs).logits[0, at]
    best = np.argsort(-scores)[:k]
    p = np.exp(scores[best] - scores.max())
    p /= p.sum()
    return list(zip(tokenizer.convert_ids_to_tokens(best.tolist()), p.tolist(), strict=True))


# %% exercise 4, wrong: the least likely ones
def candidates(text, k):
    inputs = tokenizer(text, return_tensors="np")
    at = int(np.flatnonzero(inputs["input_ids"][0] == tokenizer.mask_token_id)[0])
    scores = trained(**inputs).logits[0, at]
    p = np.exp(scores - scores.max())
    p /= p.sum()
    best = np.argsort(p)[:k]
    return list(zip(tokenizer.convert_ids_to_tokens(best.tolist()), p[best].tolist(), strict=True))
