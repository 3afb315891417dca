"""Solutions to 05_the_encoder.ipynb, and wrong answers that its checks must refuse."""


# %% exercise 1
def first_difference(states_a, states_b):
    for n, (a, b) in enumerate(zip(states_a, states_b, strict=True)):
        if not (np.abs(a - b) <= 1e-4).all():  # so NaN counts
            return n
    return None


# %% exercise 1, wrong: the last one
def first_difference(states_a, states_b):
    found = [n for n, (a, b) in enumerate(zip(states_a, states_b)) if np.abs(a - b).max() > 1e-4]
    return found[-1] if found else None


# %% exercise 1, wrong: any difference at all
def first_difference(states_a, states_b):
    for n, (a, b) in enumerate(zip(states_a, states_b, strict=True)):
        if (a != b).any():
            return n
    return None


# %% exercise 2
def count(V, P, D, F, L):
    tables = (V + P) * D + 2 * D
    attention = 4 * (D * D + D)
    feed_forward = D * F + F + F * D + D
    norms = 2 * 2 * D
    return tables + L * (attention + feed_forward + norms) + D * D + D


# %% exercise 2, wrong: no biases
def count(V, P, D, F, L):
    return (V + P) * D + 2 * D + L * (4 * D * D + 2 * D * F + 4 * D) + D * D


# %% exercise 3
def shared(w, L):
    found = {name: values for name, values in w.items() if not name.startswith("encoder.layers.")}
    for name, values in w.items():
        if name.startswith("encoder.layers.0."):
            rest = name.removeprefix("encoder.layers.0.")
            found |= {f"encoder.layers.{n}.{rest}": values for n in range(L)}
    return found


# %% exercise 3, wrong: changes its argument
def shared(w, L):
    for name in list(w):
        if name.startswith("encoder.layers.0."):
            rest = name.removeprefix("encoder.layers.0.")
            for n in range(L):
                w[f"encoder.layers.{n}.{rest}"] = w[name]
    return w


# %% exercise 1, wrong: without abs
def first_difference(states_a, states_b):
    for n, (a, b) in enumerate(zip(states_a, states_b, strict=True)):
        if not ((a - b) <= 1e-4).all():
            return n
    return None


# %% exercise 1, wrong: NaN passes
def first_difference(states_a, states_b):
    for n, (a, b) in enumerate(zip(states_a, states_b, strict=True)):
        if np.abs(a - b).max() > 1e-4:
            return n
    return None


# %% exercise 2, wrong: without the pooler
def count(V, P, D, F, L):
    layer = 4 * (D * D + D) + D * F + F + F * D + D + 4 * D
    return (V + P) * D + 2 * D + L * layer


# %% exercise 2, wrong: one norm in a layer
def count(V, P, D, F, L):
    layer = 4 * (D * D + D) + D * F + F + F * D + D + 2 * D
    return (V + P) * D + 2 * D + L * layer + D * D + D


# %% exercise 3, wrong: copies
def shared(w, L):
    found = {name: values for name, values in w.items() if not name.startswith("encoder.layers.")}
    for name, values in w.items():
        if name.startswith("encoder.layers.0."):
            rest = name.removeprefix("encoder.layers.0.")
            found |= {f"encoder.layers.{n}.{rest}": values.copy() for n in range(L)}
    return found


# %% exercise 3, wrong: the embeddings are lost
def shared(w, L):
    first = {n: v for n, v in w.items() if n.startswith("encoder.layers.0.")}
    return {name.replace(".0.", f".{n}.", 1): v for name, v in first.items() for n in range(L)}
