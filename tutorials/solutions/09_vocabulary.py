"""Solutions to 09_vocabulary.ipynb, and wrong answers that its checks must refuse."""


# %% exercise 1
def count_splits(word, p):
    ways = [1] + [0] * len(word)
    for j in range(1, len(word) + 1):
        ways[j] = sum(ways[i] for i in range(j) if word[i:j] in p)
    return ways[-1]


# %% exercise 1, wrong: every place is a border
def count_splits(word, p):
    return 2 ** max(0, len(word) - 1)


# %% exercise 1, wrong: the empty word has no split
def count_splits(word, p):
    ways = [1] + [0] * len(word)
    for j in range(1, len(word) + 1):
        ways[j] = sum(ways[i] for i in range(j) if word[i:j] in p)
    return ways[-1] if word else 0


# %% exercise 1, wrong: pieces of one or two letters alone
def count_splits(word, p):
    ways = [1] + [0] * len(word)
    for j in range(1, len(word) + 1):
        ways[j] = sum(ways[i] for i in range(max(0, j - 2), j) if word[i:j] in p)
    return ways[-1]


# %% exercise 2
def split_with_unknown(word, p, penalty=-20.0):
    unknown = set(word) - set(p)
    more = {**p, **dict.fromkeys(unknown, math.exp(penalty))}
    return ["<unk>" if piece in unknown else piece for piece in best_split(word, more)[0]]


# %% exercise 2, wrong: one unknown for the whole word
def split_with_unknown(word, p, penalty=-20.0):
    return best_split(word, p)[0] if set(word) <= set(p) else ["<unk>"]


# %% exercise 2, wrong: known letters may become unknown
def split_with_unknown(word, p, penalty=-20.0):
    cheap = {**p, **{c: max(p.get(c, 0), math.exp(penalty)) for c in word}}
    return [
        piece if piece in p and p[piece] >= cheap[piece] else "<unk>"
        for piece in best_split(word, cheap)[0]
    ]


# %% exercise 2, wrong: unknown letters are left out
def split_with_unknown(word, p, penalty=-20.0):
    return best_split("".join(c for c in word if c in p), p)[0]


# %% exercise 3
def sample_split(word, p, rng):
    n = len(word)
    before = [1.0] + [0.0] * n
    for j in range(1, n + 1):
        before[j] = sum(before[i] * p[word[i:j]] for i in range(j) if word[i:j] in p)
    pieces, j = [], n
    while j:
        starts = [i for i in range(j) if word[i:j] in p]
        shares = [before[i] * p[word[i:j]] / before[j] for i in starts]
        i = int(rng.choice(starts, p=shares))
        pieces.append(word[i:j])
        j = i
    return pieces[::-1]


# %% exercise 3, wrong: all splits alike
def sample_split(word, p, rng):
    found = splits(word, p)
    return found[rng.integers(len(found))]


# %% exercise 3, wrong: always the best one
def sample_split(word, p, rng):
    return best_split(word, p)[0]


# %% exercise 3, wrong: from the start, by the probability of the next piece alone
def sample_split(word, p, rng):
    pieces, i = [], 0
    while i < len(word):
        ends = [j for j in range(i + 1, len(word) + 1) if word[i:j] in p]
        shares = np.array([p[word[i:j]] for j in ends])
        j = int(rng.choice(ends, p=shares / shares.sum()))
        pieces.append(word[i:j])
        i = j
    return pieces
