"""Solutions to 04_one_layer.ipynb, and wrong answers that its checks must refuse."""


# %% exercise 1
def gelu_gradient(x):
    below = 0.5 * (1 + math.erf(x / math.sqrt(2)))
    return below + x * math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


# %% exercise 1, wrong: the first term alone
def gelu_gradient(x):
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


# %% exercise 2
def pre_norm_layer(x, w, config, attention, feed_forward):
    eps = config.layer_norm_eps
    x = x + attention(norm(x, w["norm1"], eps))
    return x + feed_forward(norm(x, w["norm2"], eps))


# %% exercise 2, wrong: the norm comes after
def pre_norm_layer(x, w, config, attention, feed_forward):
    eps = config.layer_norm_eps
    x = norm(x + attention(x), w["norm1"], eps)
    return norm(x + feed_forward(x), w["norm2"], eps)


# %% exercise 2, wrong: one norm for both
def pre_norm_layer(x, w, config, attention, feed_forward):
    eps = config.layer_norm_eps
    x = x + attention(norm(x, w["norm1"], eps))
    return x + feed_forward(norm(x, w["norm1"], eps))


# %% exercise 3
def horner2(coefficients, a):
    return horner(coefficients[0::2], a * a) + a * horner(coefficients[1::2], a * a)


# %% exercise 3, wrong: the odd powers lack a factor
def horner2(coefficients, a):
    return horner(coefficients[0::2], a * a) + horner(coefficients[1::2], a * a)


# %% exercise 3, wrong: one long chain
def horner2(coefficients, a):
    return horner(coefficients, a)


# %% exercise 1, wrong: the density alone
def gelu_gradient(x):
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


# %% exercise 1, wrong: the density lacks its factor
def gelu_gradient(x):
    return 0.5 * (1 + math.erf(x / math.sqrt(2))) + x * math.exp(-x * x / 2)


# %% exercise 2, wrong: the second part gets x
def pre_norm_layer(x, w, config, attention, feed_forward):
    eps = config.layer_norm_eps
    a = x + attention(norm(x, w["norm1"], eps))
    return a + feed_forward(norm(x, w["norm2"], eps))


# %% exercise 3, wrong: odd and even exchanged
def horner2(coefficients, a):
    return a * horner(coefficients[0::2], a * a) + horner(coefficients[1::2], a * a)


# %% exercise 4
def running_mean_and_variance(numbers):
    count, mean, squares = 0, 0.0, 0.0
    for v in map(float, numbers):
        count += 1
        delta = v - mean
        mean += delta / count
        squares += delta * (v - mean)
    return mean, squares / count


# %% exercise 4, wrong: squares are subtracted
def running_mean_and_variance(numbers):
    numbers = np.array(list(numbers))
    return numbers.mean(), (numbers * numbers).mean() - numbers.mean() ** 2


# %% exercise 4, wrong: one less in the count
def running_mean_and_variance(numbers):
    numbers = list(numbers)
    mean = sum(numbers) / len(numbers)
    return mean, sum((v - mean) ** 2 for v in numbers) / max(1, len(numbers) - 1)


# %% exercise 4, wrong: the new mean twice
def running_mean_and_variance(numbers):
    count, mean, squares = 0, 0.0, 0.0
    for v in map(float, numbers):
        count += 1
        mean += (v - mean) / count
        squares += (v - mean) ** 2
    return mean, squares / count
