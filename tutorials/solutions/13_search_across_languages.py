"""Solutions to 13_search_across_languages.ipynb, and wrong answers that its checks must refuse."""


# %% exercise 1
def contrastive(cosines, temperature):
    def cross_entropy(scores):
        scores = scores - scores.max(axis=1, keepdims=True)
        return (np.log(np.exp(scores).sum(axis=1)) - scores.diagonal()).mean()

    scores = np.asarray(cosines) / temperature
    return (cross_entropy(scores) + cross_entropy(scores.T)) / 2


# %% exercise 1, wrong: rows alone
def contrastive(cosines, temperature):
    scores = np.asarray(cosines) / temperature
    scores = scores - scores.max(axis=1, keepdims=True)
    return (np.log(np.exp(scores).sum(axis=1)) - scores.diagonal()).mean()


# %% exercise 1, wrong: exp overflows
def contrastive(cosines, temperature):
    with np.errstate(all="ignore"):
        e = np.exp(np.asarray(cosines) / temperature)
        rows = -np.log(e.diagonal() / e.sum(axis=1)).mean()
        columns = -np.log(e.diagonal() / e.sum(axis=0)).mean()
    return (rows + columns) / 2


# %% exercise 1, wrong: the temperature multiplies
def contrastive(cosines, temperature):
    return loss_in_loops(np.asarray(cosines), 1 / temperature)


# %% exercise 2
def negatives(sources, targets):
    a, b = np.array(sources), np.array(targets)
    return (a[:, None] != a[None, :]) & (b[:, None] != b[None, :])


# %% exercise 2, wrong: the diagonal alone
def negatives(sources, targets):
    return ~np.eye(len(sources), dtype=bool)


# %% exercise 2, wrong: equal sources alone
def negatives(sources, targets):
    a = np.array(sources)
    return a[:, None] != a[None, :]


# %% exercise 2, wrong: only where both are equal
def negatives(sources, targets):
    a, b = np.array(sources), np.array(targets)
    return ~((a[:, None] == a[None, :]) & (b[:, None] == b[None, :]))


# %% exercise 3
def mean_reciprocal_rank(cosines):
    own = cosines.diagonal()[:, None]
    return float((1 / (cosines >= own).sum(axis=1)).mean())


# %% exercise 3, wrong: ties count for you
def mean_reciprocal_rank(cosines):
    own = cosines.diagonal()[:, None]
    return float((1 / (1 + (cosines > own).sum(axis=1))).mean())


# %% exercise 3, wrong: columns
def mean_reciprocal_rank(cosines):
    own = cosines.diagonal()[None, :]
    return float((1 / (cosines >= own).sum(axis=0)).mean())


# %% exercise 3, wrong: one over the mean rank
def mean_reciprocal_rank(cosines):
    own = cosines.diagonal()[:, None]
    return float(1 / (cosines >= own).sum(axis=1).mean())
