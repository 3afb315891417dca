"""The key "quantization" of config.json: which layers have int8 weights, and which stay floats."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from numpy_erniem.checks import nearest

TOKEN_TABLE = "embeddings.word_embeddings"
MAPS = (
    *(f"self_attn.self_attn.{part}_proj" for part in "qkv"),
    "self_attn.out_proj",
    "linear1",
    "linear2",
)
KEYS = ("dtype", "keep_float")


def quantizable_layers(L: int) -> list[str]:
    """Names of the layers whose weights may be narrow, in a model with L layers.

    They are the token table and the linear maps of the encoder's layers. All others are small.
    """
    return [TOKEN_TABLE, *(f"encoder.layers.{n}.{part}" for n in range(L) for part in MAPS)]


def layers_named(names: Iterable[str], L: int) -> list[str]:
    """The layers that names stand for.

    Parameters
    ----------
    names : iterable of str
        A name of `quantizable_layers`; its end, such as "linear2" for that of every layer; its
        start, such as "encoder.layers.11"; or a pattern with * and ?.
    L : int
        Layers of the model.

    Returns
    -------
    list of str
        In the order of the model.

    Raises
    ------
    ValueError
        A name stands for no layer.
    TypeError
        A name is no string.
    """
    known, found = quantizable_layers(L), set()
    for name in names:
        if not isinstance(name, str):
            raise TypeError(
                f"keep_float has {name!r}, which is no name; give names such as 'linear2' or "
                "'encoder.layers.3'"
            )
        some = {
            layer
            for layer in known
            if fnmatchcase(layer, name)
            or layer.endswith(f".{name}")
            or layer.startswith(f"{name}.")
        }
        if not some:
            ends = [TOKEN_TABLE, *(part.rpartition(".")[2] for part in MAPS)]
            raise ValueError(f"keep_float {name!r} is no layer{nearest(name, ends)}")
        found |= some
    return [layer for layer in known if layer in found]


def checked_quantization(value: Any, L: int) -> dict[str, Any] | None:
    """The key's value with all of its parts.

    Parameters
    ----------
    value : object
        None, or {"dtype": "int8", "keep_float": list of layers}; keep_float may be left out.
    L : int
        Layers of the model.

    Returns
    -------
    dict or None

    Raises
    ------
    ValueError
        Anything else.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(f'quantization {value!r} is not an object such as {{"dtype": "int8"}}')
    if unknown := [key for key in value if key not in KEYS]:
        raise ValueError(f"quantization has the key {unknown[0]!r}{nearest(unknown[0], [*KEYS])}")
    if value.get("dtype") != "int8":
        raise ValueError(f"quantization has dtype {value.get('dtype')!r}; known: 'int8'")
    kept = value.get("keep_float", [])
    if not isinstance(kept, list | tuple) or not all(isinstance(name, str) for name in kept):
        raise ValueError(f"keep_float {kept!r} of quantization is not a list of layers' names")
    return {"dtype": "int8", "keep_float": layers_named(kept, L)}
