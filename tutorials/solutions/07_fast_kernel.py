"""Solutions to 07_fast_kernel.ipynb, and wrong answers that its checks must refuse."""


# %% exercise 1
def tile_loads(high, wide, k):
    return (high + wide) * k


def reuse(high, wide):
    return high * wide / (high + wide)


# %% exercise 1, wrong: every pair is loaded
def tile_loads(high, wide, k):
    return 2 * high * wide * k


def reuse(high, wide):
    return 0.5


# %% exercise 2
def pack(w, wide):
    n, k = w.shape
    full = np.zeros((-(-n // wide) * wide, k), w.dtype)
    full[:n] = w
    return full.reshape(-1, wide, k).swapaxes(1, 2).reshape(-1)  # (panels, wide, k) -> flat


# %% exercise 2, wrong: not transposed
def pack(w, wide):
    n, k = w.shape
    full = np.zeros((-(-n // wide) * wide, k), w.dtype)
    full[:n] = w
    return full.reshape(-1)


# %% exercise 3
def roof(intensity, peak, bandwidth):
    return min(intensity * bandwidth, peak)


def ridge(peak, bandwidth):
    return peak / bandwidth


# %% exercise 3, wrong: the larger of the two
def roof(intensity, peak, bandwidth):
    return max(intensity * bandwidth, peak)


def ridge(peak, bandwidth):
    return peak / bandwidth


# %% exercise 4
def strassen(x, w, product):
    a, b, c = len(x) // 2, x.shape[1] // 2, w.shape[1] // 2
    x11, x12, x21, x22 = x[:a, :b], x[:a, b:], x[a:, :b], x[a:, b:]
    w11, w12, w21, w22 = w[:b, :c], w[:b, c:], w[b:, :c], w[b:, c:]
    p0 = product(x11 + x22, w11 + w22)
    p1 = product(x21 + x22, w11)
    p2 = product(x11, w12 - w22)
    p3 = product(x22, w21 - w11)
    p4 = product(x11 + x12, w22)
    p5 = product(x21 - x11, w11 + w12)
    p6 = product(x12 - x22, w21 + w22)
    return np.block([[p0 + p3 - p4 + p6, p2 + p4], [p1 + p3, p0 - p1 + p2 + p5]])


# %% exercise 4, wrong: eight products
def strassen(x, w, product):
    a, b, c = len(x) // 2, x.shape[1] // 2, w.shape[1] // 2
    left, right = x[:, :b], x[:, b:]
    top, bottom = w[:b], w[b:]
    return np.block(
        [
            [
                product(left[rows], top[:, columns]) + product(right[rows], bottom[:, columns])
                for columns in (slice(c), slice(c, None))
            ]
            for rows in (slice(a), slice(a, None))
        ]
    )


# %% exercise 1, wrong: a product in place of a sum
def tile_loads(high, wide, k):
    return (high + wide) * k


def reuse(high, wide):
    return high * wide


# %% exercise 1, wrong: x is not loaded
def tile_loads(high, wide, k):
    return wide * k


def reuse(high, wide):
    return high


# %% exercise 2, wrong: the last columns are lost
def pack(w, wide):
    n, k = w.shape
    return w[: n // wide * wide].reshape(-1, wide, k).swapaxes(1, 2).reshape(-1)


# %% exercise 2, wrong: step by step over all panels
def pack(w, wide):
    n, k = w.shape
    full = np.zeros((-(-n // wide) * wide, k), w.dtype)
    full[:n] = w
    return full.T.reshape(-1)


# %% exercise 3, wrong: the sum of both
def roof(intensity, peak, bandwidth):
    return 1 / (1 / (intensity * bandwidth) + 1 / peak)


def ridge(peak, bandwidth):
    return peak / bandwidth


# %% exercise 3, wrong: bytes per operation
def roof(intensity, peak, bandwidth):
    return min(intensity * bandwidth, peak)


def ridge(peak, bandwidth):
    return bandwidth / peak


# %% exercise 4, wrong: a sign
def strassen(x, w, product):
    a, b, c = len(x) // 2, x.shape[1] // 2, w.shape[1] // 2
    x11, x12, x21, x22 = x[:a, :b], x[:a, b:], x[a:, :b], x[a:, b:]
    w11, w12, w21, w22 = w[:b, :c], w[:b, c:], w[b:, :c], w[b:, c:]
    p0 = product(x11 + x22, w11 + w22)
    p1 = product(x21 + x22, w11)
    p2 = product(x11, w12 - w22)
    p3 = product(x22, w21 - w11)
    p4 = product(x11 + x12, w22)
    p5 = product(x21 - x11, w11 + w12)
    p6 = product(x12 - x22, w21 + w22)
    return np.block([[p0 + p3 - p4 + p6, p2 + p4], [p1 + p3, p0 + p1 + p2 + p5]])


# %% exercise 4, wrong: one product of the whole
def strassen(x, w, product):
    return product(x, w)
