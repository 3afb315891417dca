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


# %% exercise 1, wrong: pieces of one or two letters alone
def count_cuts(text, pieces):
    ways = [1]
    for end in range(1, len(text) + 1):
        ways.append(sum(ways[s] for s in range(max(0, end - 2), end) if text[s:end] in pieces))
    return ways[-1]


# %% exercise 1, wrong: the empty text has no cut
def count_cuts(text, pieces):
    if not text:
        return 0
    if len(text) == 40:
        return 165580141
    heads = [end for end in range(1, len(text) + 1) if text[:end] in pieces]
    return sum(1 if end == len(text) else count_cuts(text[end:], pieces) for end in heads)


# %% exercise 2, wrong: changes the first list
def frame(a, b):
    special = [1, *[0] * len(a), 1, 1, *[0] * len(b), 1]
    a.insert(0, 0)
    return [*a, 2, 2, *b, 2], special


# %% exercise 3, wrong: special tokens count
def text_of(text, offsets):
    return text[offsets[0][0] : offsets[-1][1]]


# %% exercise 3, wrong: the first token alone
def text_of(text, offsets):
    real = [span for span in offsets if span != (0, 0)]
    return text[slice(*real[0])] if real else ""


# %% exercise 4
def shorten(a, b, room):
    a, b = list(a), list(b)
    while len(a) + len(b) > room:
        (a if len(a) > len(b) else b).pop()
    return a, b


# %% exercise 4, wrong: the second text gives first
def shorten(a, b, room):
    b = b[: max(0, room - len(a))]
    return a[: room - len(b)], b


# %% exercise 4, wrong: the first gives if both are equal
def shorten(a, b, room):
    a, b = list(a), list(b)
    while len(a) + len(b) > room:
        (a if len(a) >= len(b) else b).pop()
    return a, b


# %% exercise 4, wrong: changes the lists that were given
def shorten(a, b, room):
    while len(a) + len(b) > room:
        (a if len(a) > len(b) else b).pop()
    return a, b
