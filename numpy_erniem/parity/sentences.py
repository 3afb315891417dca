"""Sentence vectors in torch, by the modules that a sentence-transformers folder lists."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.folder import read_folder
from numpy_erniem.checkpoint.json_files import read_json
from numpy_erniem.checkpoint.links import inside
from numpy_erniem.conversion.dense_modules import ACTIVATIONS
from numpy_erniem.conversion.sentence_transformers import MODES, NAMES_OF_MODES

MODULES_FILE = "modules.json"


def sentence_vectors(source: Path, hidden: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The vectors that sentence-transformers makes of the last hidden states, without prompts.

    Parameters
    ----------
    source : Path
        A folder with modules.json.
    hidden : (B, T, D) array
    mask : (B, T) array
        1 for a real token, 0 for padding.

    Returns
    -------
    (B, W) array

    Raises
    ------
    ValueError
        The folder lists a module, or names a kind of pooling, that is not known.
    """
    torch = import_module("torch")
    tokens, real = torch.from_numpy(hidden.copy()), torch.from_numpy(mask.copy())
    vectors = None
    for module in json.loads(inside(source, MODULES_FILE).read_bytes()):
        kind, path = str(module["type"]).rpartition(".")[2], str(module.get("path", ""))
        if kind == "Pooling":
            config = read_json(inside(source, f"{path}/config.json"))
            vectors = _pool(torch, tokens, real[..., None].to(tokens.dtype), config)
        elif kind == "Dense":
            vectors = _dense(torch, vectors, inside(source, path))
        elif kind == "Normalize":
            vectors = torch.nn.functional.normalize(vectors, dim=1)
        elif kind != "Transformer":
            raise ValueError(f"{source / MODULES_FILE} has a module {kind!r}, which is not known")
    if vectors is None:
        raise ValueError(f"{source / MODULES_FILE} has no module Pooling")
    return np.asarray(vectors)


def _pool(torch: Any, x: Any, real: Any, config: dict[str, Any]) -> Any:
    """The kinds of pooling that a config.json chooses, one after the other: (B, T, D) -> (B, W)."""
    count = real.sum(1)
    place = torch.arange(1, x.shape[1] + 1)[None, :, None] * real
    kinds = {
        "pooling_mode_cls_token": x[:, 0],
        "pooling_mode_max_tokens": x.masked_fill(real == 0, -torch.inf).amax(1),
        "pooling_mode_mean_tokens": (x * real).sum(1) / count,
        "pooling_mode_mean_sqrt_len_tokens": (x * real).sum(1) / count.sqrt(),
        "pooling_mode_weightedmean_tokens": (x * place).sum(1) / place.sum(1),
        "pooling_mode_lasttoken": x[torch.arange(len(x)), place[..., 0].argmax(1)],
    }
    config = {"pooling_mode_mean_tokens": True, **config}  # on, unless it is turned off
    chosen = [vectors for key, vectors in kinds.items() if config.get(key)]
    if named := config.get("pooling_mode"):  # of new releases: a name, or a list of names
        keys = {mode: key for key, mode in MODES.items()}
        names = [named] if isinstance(named, str) else named
        chosen = [kinds[keys[NAMES_OF_MODES[name]]] for name in names]
    if not chosen:
        raise ValueError(f"the Pooling of {MODULES_FILE} chooses none of {', '.join(kinds)}")
    return torch.cat(chosen, 1)


def _dense(torch: Any, vectors: Any, folder: Path) -> Any:
    config = read_json(inside(folder, "config.json"))
    activation = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    name = "Identity" if activation is None else str(activation).rpartition(".")[2]
    if name not in ACTIVATIONS:
        raise ValueError(f"{folder} has activation_function {activation!r}, which is not known")
    weights = {
        n: torch.from_numpy(t.numpy(np.float32).copy()) for n, t in read_folder(folder).items()
    }
    y = torch.nn.functional.linear(vectors, weights["linear.weight"], weights.get("linear.bias"))
    return getattr(torch.nn, name)()(y)
