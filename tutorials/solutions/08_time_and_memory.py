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
