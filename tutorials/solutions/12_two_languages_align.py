"""Solutions to 12_two_languages_align.ipynb, and wrong answers that its checks must refuse."""


# %% exercise 1
def tlm_and_own(side, hidden):
    own = side[:, None] == side[None, :]
    shown = ~hidden[None, :]
    mask = np.where(hidden[:, None], shown, own & shown)
    return mask | (np.eye(len(side), dtype=bool) & hidden[:, None])


# %% exercise 1, wrong: a hidden word sees other hidden words
def tlm_and_own(side, hidden):
    own = side[:, None] == side[None, :]
    return np.where(hidden[:, None], True, own & ~hidden[None, :])


# %% exercise 1, wrong: a hidden word does not see itself
def tlm_and_own(side, hidden):
    own = side[:, None] == side[None, :]
    shown = ~hidden[None, :]
    return np.where(hidden[:, None], shown, own & shown)


# %% exercise 1, wrong: the other words see both sentences
def tlm_and_own(side, hidden):
    shown = np.broadcast_to(~hidden[None, :], (len(side), len(side)))
    return shown | np.eye(len(side), dtype=bool)


# %% exercise 2
def leaks(model, ids, mask, at, forbidden):
    before = scores_at(model, ids, mask, at)
    for place in forbidden:
        for token in (FIRST_EN, FIRST_EN + 3, FIRST_DE + 5, V - 1):
            changed = ids.copy()
            changed[place] = token
            if (scores_at(model, changed, mask, at) != before).any():
                return True
    return False


# %% exercise 2, wrong: all forbidden places must matter
def leaks(model, ids, mask, at, forbidden):
    before = scores_at(model, ids, mask, at)
    moved = []
    for place in forbidden:
        changed = ids.copy()
        changed[place] = V - 1
        moved.append(bool((scores_at(model, changed, mask, at) != before).any()))
    return all(moved)


# %% exercise 2, wrong: the ids are changed in place
def leaks(model, ids, mask, at, forbidden):
    before = scores_at(model, ids, mask, at)
    for place in forbidden:
        ids[place] = V - 1
        if (scores_at(model, ids, mask, at) != before).any():
            return True
    return False


# %% exercise 2, wrong: the mask is not used
def leaks(model, ids, mask, at, forbidden):
    before = model(ids[None]).logits[0, at]
    for place in forbidden:
        changed = ids.copy()
        changed[place] = V - 1
        if (model(changed[None]).logits[0, at] != before).any():
            return True
    return False


# %% exercise 3
def precision_at_1(matrix):
    own = np.arange(len(matrix))
    columns = (matrix.argmax(axis=0) == own).mean()
    rows = (matrix.argmax(axis=1) == own).mean()
    return (columns + rows) / 2


# %% exercise 3, wrong: rows alone
def precision_at_1(matrix):
    return (matrix.argmax(axis=1) == np.arange(len(matrix))).mean()


# %% exercise 3, wrong: the diagonal must be positive
def precision_at_1(matrix):
    own = np.arange(len(matrix))
    columns = ((matrix.argmax(axis=0) == own) & (matrix.diagonal() > 0)).mean()
    rows = ((matrix.argmax(axis=1) == own) & (matrix.diagonal() > 0)).mean()
    return (columns + rows) / 2


# %% exercise 3, wrong: the place of the best pair of all
def precision_at_1(matrix):
    row, column = np.unravel_index(matrix.argmax(), matrix.shape)
    return float(row == column)
