"""Solutions to 01_text_to_ids.ipynb, and wrong answers that its checks must refuse."""


# %% exercise 1
def count_cuts(text, pieces):
    ways = [1]
    for end in range(1, len(text) + 1):
        ways.append(sum(ways[start] for start in range(end) if text[start:end] in pieces))
    return ways[-1]


# %% exercise 1, wrong: counts pieces, not cuts
def count_cuts(text, pieces):
    return sum(text[s:e] in pieces for e in range(len(text) + 1) for s in range(e))


# %% exercise 2
def frame(a, b):
    ids = [0, *a, 2, 2, *b, 2]
    special = [1, *[0] * len(a), 1, 1, *[0] * len(b), 1]
    return ids, special


# %% exercise 2, wrong: one separator
def frame(a, b):
    return [0, *a, 2, *b, 2], [1, *[0] * len(a), 1, *[0] * len(b), 1]


# %% exercise 2, wrong: by id
def frame(a, b):
    ids = [0, *a, 2, 2, *b, 2]
    return ids, [int(i in (0, 2)) for i in ids]


# %% exercise 3
def text_of(text, offsets):
    real = [span for span in offsets if span != (0, 0)]
    return text[real[0][0] : real[-1][1]] if real else ""


# %% exercise 3, wrong: joins the parts, and loses the spaces between them
def text_of(text, offsets):
    return "".join(text[start:end] for start, end in offsets)
