"""Solutions to 15_eight_bits.ipynb, and wrong answers that its checks must refuse."""


# %% exercise 1
def symmetric_row(x):
    step = np.abs(x).max() / 127
    step = step if step > 0 else 1
    return np.rint(x / step).astype(int), step


# %% exercise 1, wrong: rows of zeros become NaN
def symmetric_row(x):
    with np.errstate(all="ignore"):
        step = np.abs(x).max() / 127
        return np.rint(x / step), step


# %% exercise 1, wrong: the largest number, not the largest magnitude
def symmetric_row(x):
    step = x.max() / 127 if x.any() else 1
    return np.rint(x / step).astype(int), step


# %% exercise 1, wrong: rounded down
def symmetric_row(x):
    step = np.abs(x).max() / 127 if x.any() else 1
    return np.floor(x / step).astype(int), step


# %% exercise 2
def int8_product(q, z, s, p, t):
    total = q.astype(np.int32) @ p.astype(np.int32).T  # (M, K)·(K, N) -> (M, N)
    total = total - z[:, None] * p.astype(np.int32).sum(axis=1)[None, :]
    return total * (s[:, None] * t[None, :])


# %% exercise 2, wrong: the zero point was forgotten
def int8_product(q, z, s, p, t):
    return (q.astype(np.int32) @ p.astype(np.int32).T) * (s[:, None] * t[None, :])


# %% exercise 2, wrong: an overflow
def int8_product(q, z, s, p, t):
    total = (q.astype(np.int16) @ p.astype(np.int16).T).astype(np.int32)
    total = total - z[:, None] * p.astype(np.int32).sum(axis=1)[None, :]
    return total * (s[:, None] * t[None, :])


# %% exercise 2, wrong: the scales of the inputs run along the columns
def int8_product(q, z, s, p, t):
    total = q.astype(np.int32) @ p.astype(np.int32).T
    total = total - z[:, None] * p.astype(np.int32).sum(axis=1)[None, :]
    return total * s.mean() * t[None, :]


# %% exercise 3
def round_to_bfloat16(x):
    bits = x.view(np.uint32)
    bits = bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)
    return (bits & np.uint32(0xFFFF0000)).view(np.float32)


# %% exercise 3, wrong: cut off
def round_to_bfloat16(x):
    return (x.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


# %% exercise 3, wrong: ties go up
def round_to_bfloat16(x):
    bits = x.view(np.uint32) + np.uint32(0x8000)
    return (bits & np.uint32(0xFFFF0000)).view(np.float32)


# %% exercise 3, wrong: float16
def round_to_bfloat16(x):
    with np.errstate(all="ignore"):
        return x.astype(np.float16).astype(np.float32)


# %% exercise 4
def may_swap(similarity, a, b, error):
    return bool(abs(similarity[a] - similarity[b]) < 2 * error)


# %% exercise 4, wrong: one of them moves
def may_swap(similarity, a, b, error):
    return bool(abs(similarity[a] - similarity[b]) < error)


# %% exercise 4, wrong: the first is always the better one
def may_swap(similarity, a, b, error):
    return bool(0 < similarity[a] - similarity[b] < 2 * error)
