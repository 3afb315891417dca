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
