"""Solutions to 00_ten_minutes.ipynb, and wrong answers that its checks must refuse."""


# %% exercise 1
def mean_vector(x, m):
    real = m[:, :, None]  # (B, T, 1)
    return (x * real).sum(axis=1) / real.sum(axis=1)


# %% exercise 1, wrong: padding counts
def mean_vector(x, m):
    return x.mean(axis=1)


# %% exercise 1, wrong: padding counts below the line
def mean_vector(x, m):
    return (x * m[:, :, None]).mean(axis=1)


# %% exercise 2
def nearest(query, texts):
    first, *others = erniem.embed([query, *texts], normalize=True)
    return texts[int(np.argmax([first @ other for other in others]))]


# %% exercise 2, wrong: the least similar
def nearest(query, texts):
    first, *others = erniem.embed([query, *texts], normalize=True)
    return texts[int(np.argmin([first @ other for other in others]))]
