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
