"""Solutions to 08_time_and_memory.ipynb, and wrong answers that its checks must refuse."""


# %% exercise 1
def padding_share(lengths, batches):
    places = sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)
    return 1 - sum(lengths) / places


# %% exercise 1, wrong: share of the real tokens
def padding_share(lengths, batches):
    places = sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)
    return places / sum(lengths) - 1


# %% exercise 2
def break_even(gflops, gbytes):
    # 2 operations per weight and token at gflops take as long as 4 bytes per weight at gbytes
    return 4 * gflops / (2 * gbytes)


# %% exercise 2, wrong: one byte per weight
def break_even(gflops, gbytes):
    return gflops / (2 * gbytes)


# %% exercise 3
def weight_milliseconds(bytes_each, gbytes):
    weights = 12 * (4 * 768 * 768 + 2 * 768 * 3072)
    return bytes_each * weights / (gbytes * 1e9) * 1e3


# %% exercise 3, wrong: seconds
def weight_milliseconds(bytes_each, gbytes):
    weights = 12 * (4 * 768 * 768 + 2 * 768 * 3072)
    return bytes_each * weights / (gbytes * 1e9)


# %% exercise 1, wrong: the longest text of all batches
def padding_share(lengths, batches):
    places = sum(len(batch) for batch in batches) * max(lengths)
    return 1 - sum(lengths) / places


# %% exercise 1, wrong: the mean of the batches
def padding_share(lengths, batches):
    shares = [
        1 - sum(lengths[i] for i in b) / (len(b) * max(lengths[i] for i in b)) for b in batches
    ]
    return sum(shares) / len(shares)


# %% exercise 2, wrong: upside down
def break_even(gflops, gbytes):
    return 2 * gbytes / (4 * gflops)


# %% exercise 2, wrong: one operation per weight
def break_even(gflops, gbytes):
    return 4 * gflops / gbytes


# %% exercise 3, wrong: one layer
def weight_milliseconds(bytes_each, gbytes):
    weights = 4 * 768 * 768 + 2 * 768 * 3072
    return bytes_each * weights / (gbytes * 1e9) * 1e3


# %% exercise 3, wrong: with the word table
def weight_milliseconds(bytes_each, gbytes):
    weights = 12 * (4 * 768 * 768 + 2 * 768 * 3072) + 250_002 * 768
    return bytes_each * weights / (gbytes * 1e9) * 1e3


# %% exercise 4
def batches(lengths, budget):
    found = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        last = found[-1] if found else []
        if last and (len(last) + 1) * lengths[last[0]] <= budget:
            last.append(index)
        else:
            found.append([index])
    return found


# %% exercise 4, wrong: real tokens are counted, not positions
def batches(lengths, budget):
    found, used = [], budget
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if used + lengths[index] > budget:
            found.append([])
            used = 0
        found[-1].append(index)
        used += lengths[index]
    return found


# %% exercise 4, wrong: not sorted
def batches(lengths, budget):
    found = []
    for index in range(len(lengths)):
        batch = [*found[-1], index] if found else [index]
        if found and len(batch) * max(lengths[i] for i in batch) <= budget:
            found[-1] = batch
        else:
            found.append([index])
    return found


# %% exercise 4, wrong: the last batch is lost
def batches(lengths, budget):
    found, batch = [], []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > budget:
            found.append(batch)
            batch = []
        batch.append(index)
    return found
