"""Solutions to 14_extraction_by_schema.ipynb, and wrong answers that its checks must refuse."""


# %% exercise 1
def spans(start_prob, end_prob, threshold):
    starts, ends = (np.flatnonzero(p > threshold) for p in (start_prob, end_prob))
    return [(s, e, start_prob[s] * end_prob[e]) for s, e in pair_in_loops(starts, ends)]


# %% exercise 1, wrong: equal to the threshold counts
def spans(start_prob, end_prob, threshold):
    starts, ends = (np.flatnonzero(p >= threshold) for p in (start_prob, end_prob))
    return [(s, e, start_prob[s] * end_prob[e]) for s, e in pair_in_loops(starts, ends)]


# %% exercise 1, wrong: every start with every end behind it
def spans(start_prob, end_prob, threshold):
    starts, ends = (np.flatnonzero(p > threshold) for p in (start_prob, end_prob))
    return [(s, e, start_prob[s] * end_prob[e]) for s in starts for e in ends if s <= e]


# %% exercise 1, wrong: each start with its nearest end
def spans(start_prob, end_prob, threshold):
    starts, ends = (np.flatnonzero(p > threshold) for p in (start_prob, end_prob))
    found = []
    for s in starts:
        behind = [e for e in ends if e >= s]
        if behind:
            found.append((s, behind[0], start_prob[s] * end_prob[behind[0]]))
    return found


# %% exercise 1, wrong: the mean of both
def spans(start_prob, end_prob, threshold):
    starts, ends = (np.flatnonzero(p > threshold) for p in (start_prob, end_prob))
    return [(s, e, (start_prob[s] + end_prob[e]) / 2) for s, e in pair_in_loops(starts, ends)]


# %% exercise 2
def prompts(schema, answers):
    found = []
    for name, below in schema.items():
        found.append(name)
        texts = list(dict.fromkeys(answers.get(name, [])))
        found += [f"{other} of {text}" for other in below for text in texts]
    return found


# %% exercise 2, wrong: asked twice about the same text
def prompts(schema, answers):
    found = []
    for name, below in schema.items():
        found.append(name)
        found += [f"{other} of {text}" for other in below for text in answers.get(name, [])]
    return found


# %% exercise 2, wrong: the second level without its answer
def prompts(schema, answers):
    found = []
    for name, below in schema.items():
        found += [name, *below]
    return found


# %% exercise 2, wrong: all names of one answer first
def prompts(schema, answers):
    found = []
    for name, below in schema.items():
        found.append(name)
        for text in dict.fromkeys(answers.get(name, [])):
            found += [f"{other} of {text}" for other in below]
    return found


# %% exercise 3
def join(begins, found):
    best = {}
    for begin, spans_ in zip(begins, found, strict=True):
        for start, end, probability in spans_:
            place = (begin + start, begin + end)
            best[place] = max(probability, best.get(place, 0))
    return sorted((*place, probability) for place, probability in best.items())


# %% exercise 3, wrong: the first one is kept
def join(begins, found):
    best = {}
    for begin, spans_ in zip(begins, found, strict=True):
        for start, end, probability in spans_:
            best.setdefault((begin + start, begin + end), probability)
    return sorted((*place, probability) for place, probability in best.items())


# %% exercise 3, wrong: the last one is kept
def join(begins, found):
    best = {}
    for begin, spans_ in zip(begins, found, strict=True):
        for start, end, probability in spans_:
            best[begin + start, begin + end] = probability
    return sorted((*place, probability) for place, probability in best.items())


# %% exercise 3, wrong: the windows follow each other
def join(begins, found):
    return [span for spans_ in found for span in spans_]
