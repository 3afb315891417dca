"""Random models of upstream and of ours with the same weights, and comparisons layer by layer."""

import numpy as np
import pytest

from numpy_erniem import ErnieMConfig, ErnieMModel

SMALL = {
    "vocab_size": 99,
    "hidden_size": 12,
    "num_attention_heads": 3,
    "intermediate_size": 37,
    "num_hidden_layers": 3,
    "max_position_embeddings": 20,
    "initializer_range": 0.3,  # large weights, so that every formula matters
    "layer_norm_eps": 1e-3,  # large, so that leaving it out shows
}


def upstream_model(folder, name="ErnieMModel", **sizes):
    """A random upstream model, saved in `folder`; skips where transformers is missing."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(7)
    model = getattr(transformers, name)(transformers.ErnieMConfig(**{**SMALL, **sizes})).eval()
    with torch.no_grad():  # upstream starts with zero biases and norms of one: draw them too
        for key, value in model.named_parameters():
            if value.dim() == 1:
                value += 0.3 * torch.randn(value.shape)
            assert value.isfinite().all(), key
    model.save_pretrained(folder)
    return model


def run_upstream(model, **arguments):
    """Call upstream with NumPy arguments; arrays come back."""
    import torch

    tensors = {
        k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in arguments.items()
    }
    with torch.no_grad():
        return model(**tensors)


def ids_and_mask(rng, batch=2, tokens=7, vocab=99):
    """Random ids without padding tokens, and a mask that hides the end of the last text."""
    ids = rng.integers(2, vocab, (batch, tokens))
    mask = np.ones((batch, tokens), np.int64)
    mask[-1, tokens // 2 + 1 :] = 0
    return ids, mask


def compare_layers(close, got, want, tolerance="model", mask=None):
    """Compare hidden states from the embeddings up, so that the first layer that differs fails."""
    real = slice(None) if mask is None else mask.astype(bool)
    for n, (ours, theirs) in enumerate(zip(got.hidden_states, want.hidden_states, strict=True)):
        name = f"hidden_states[{n}] ({'embeddings' if n == 0 else f'layer {n - 1}'})"
        close(ours[real], theirs.numpy()[real], tolerance, name)
    close(got.last_hidden_state[real], want.last_hidden_state.numpy()[real], tolerance, "last")


def our_model(seed=3, **sizes):
    """A random model of ours; biases and norms drawn too."""
    options = {k: sizes.pop(k) for k in ("dtype", "add_pooling_layer") if k in sizes}
    return ErnieMModel(ErnieMConfig(**{**SMALL, **sizes}), seed=seed, **options)
