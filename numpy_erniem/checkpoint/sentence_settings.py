"""What a checkpoint records about its sentence vectors: pooling, layers, scaling, prompts, length.

`sentence_embedding.json` holds the settings, `sentence_embedding.safetensors` the weights of the
layers, `dense.0.weight`, `dense.0.bias`, and so on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.atomic import atomic_write
from numpy_erniem.checkpoint.json_files import read_json, to_json
from numpy_erniem.checkpoint.safetensors_file import read_safetensors, replace_safetensors
from numpy_erniem.checkpoint.tensors import FLOATS, Tensor, warn_of_nan
from numpy_erniem.checks import nearest

SENTENCE_SETTINGS_FILE = "sentence_embedding.json"
DENSE_WEIGHTS_FILE = "sentence_embedding.safetensors"
POOLINGS = ("mean", "cls", "max", "mean_sqrt_len", "weightedmean", "lasttoken", "pooler")
SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")
DENSE_ACTIVATIONS = (
    *("linear", "tanh", "relu", "relu6", "leaky_relu", "gelu", "gelu_pytorch_tanh"),
    *("sigmoid", "silu", "mish"),
)


@dataclass(frozen=True, eq=False)
class DenseLayer:
    """A layer over sentence vectors: act(x Wᵀ + b).

    Attributes
    ----------
    weight : (N, K) float32 array
    bias : (N,) float32 array
    activation : str
        One of `DENSE_ACTIVATIONS`; "linear" is none.
    normalize_first : bool
        Whether its input is scaled to length 1.
    """

    weight: np.ndarray
    bias: np.ndarray
    activation: str = "linear"
    normalize_first: bool = False

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or self.bias.shape != self.weight.shape[:1]:
            raise ValueError(
                f"a Dense layer has a weight (out, in) and a bias (out,), "
                f"not {self.weight.shape} and {self.bias.shape}"
            )
        _check_choice("the activation of a Dense layer", self.activation, DENSE_ACTIVATIONS)
        _check_bool("normalize_first", self.normalize_first)

    @property
    def in_features(self) -> int:
        """Numbers of an input vector, K."""
        return self.weight.shape[1]

    @property
    def out_features(self) -> int:
        """Numbers of an output vector, N."""
        return self.weight.shape[0]


@dataclass(frozen=True)
class SentenceSettings:
    """How a text's vector is made of the vectors of its tokens.

    Attributes
    ----------
    pooling : str
        One of `POOLINGS`, or several joined by "+" ("cls+mean"): their vectors are concatenated.
    dense : tuple of DenseLayer
        Applied after pooling, in this order.
    normalize : bool
        Whether the vector is scaled to length 1 at the end.
    prompts : dict of str to str
        Texts to put before a text, by name; a text may be empty.
    default_prompt_name : str, optional
        The prompt that is used when none is chosen.
    include_prompt : bool
        False: the tokens of the prompt are left out of the pooling.
    max_length : int, optional
        Most tokens of a text; None for what the model takes.
    similarity : {"cosine", "dot", "euclidean", "manhattan"}
        How two vectors are compared.
    recorded : bool
        False if a checkpoint records nothing, so that all of this is a guess.

    Raises
    ------
    ValueError
        A value is not allowed, or a Dense layer does not take what the one before it gives.
    """

    pooling: str = "mean"
    dense: tuple[DenseLayer, ...] = ()
    normalize: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    include_prompt: bool = True
    max_length: int | None = None
    similarity: str = "cosine"
    recorded: bool = True

    def __post_init__(self) -> None:
        pooling_parts(self.pooling)
        for name in ("normalize", "include_prompt", "recorded"):
            _check_bool(name, getattr(self, name))
        prompts = self.prompts
        if not isinstance(prompts, Mapping) or not all(
            isinstance(x, str) for pair in prompts.items() for x in pair
        ):
            raise ValueError(f"prompts {prompts!r:.200} is not a mapping from names to texts")
        default = self.default_prompt_name
        if default is not None and (not isinstance(default, str) or default not in prompts):
            raise ValueError(
                f"default_prompt_name {default!r} is not one of the prompts {list(prompts)}"
            )
        length = self.max_length
        if length is not None and (type(length) is not int or length < 3):
            raise ValueError(
                f"max_length {length!r} is not an integer from 3: [CLS], a token, [SEP]"
            )
        _check_choice("similarity", self.similarity, SIMILARITIES)
        for n, (before, after) in enumerate(zip(self.dense, self.dense[1:], strict=False)):
            if before.out_features != after.in_features:
                raise ValueError(
                    f"Dense layer {n + 1} takes {after.in_features} numbers, layer {n} gives "
                    f"{before.out_features}"
                )

    def width(self, hidden_size: int, pooling: str | None = None) -> int:
        """Numbers of a text's vector.

        Parameters
        ----------
        hidden_size : int
            Numbers of a token's vector.
        pooling : str, optional
            In place of the recorded one.

        Returns
        -------
        int

        Raises
        ------
        ValueError
            The Dense layer takes another number of them than pooling gives.
        """
        pooling = self.pooling if pooling is None else pooling
        width = hidden_size * len(pooling_parts(pooling))
        if not self.dense:
            return width
        if self.dense[0].in_features != width:
            raise ValueError(
                f"pooling {pooling!r} gives {width} numbers, the Dense layer of the checkpoint "
                f"takes {self.dense[0].in_features}"
            )
        return self.dense[-1].out_features

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON has them; of the Dense layers their sizes and activations."""
        return {
            "pooling": self.pooling,
            "dense": [
                {
                    "in_features": layer.in_features,
                    "out_features": layer.out_features,
                    "activation": layer.activation,
                    "normalize_first": layer.normalize_first,
                }
                for layer in self.dense
            ],
            "normalize": self.normalize,
            "prompts": dict(self.prompts),
            "default_prompt_name": self.default_prompt_name,
            "include_prompt": self.include_prompt,
            "max_length": self.max_length,
            "similarity": self.similarity,
        }


def read_sentence_settings(folder: Path) -> SentenceSettings:
    """Read the settings that a folder records; the defaults, `recorded` False, if it has none.

    Returns
    -------
    SentenceSettings

    Raises
    ------
    FileNotFoundError
        The weights of the Dense layers are missing.
    ValueError
        A key is unknown, a value is not allowed, or a Dense layer has other sizes in the two files.
    """
    path = folder / SENTENCE_SETTINGS_FILE
    if not path.is_file():
        return SentenceSettings(recorded=False)
    values = read_json(path)
    try:
        keys = list(SentenceSettings().to_dict())
        for key in values:
            if key not in keys:
                raise ValueError(f"unknown key {key[:100]!r}{nearest(key, keys)}")
        layers = values.pop("dense", [])
        if not isinstance(layers, list) or not all(isinstance(x, dict) for x in layers):
            raise ValueError("dense is not a list of objects")
        return SentenceSettings(**values, dense=_read_dense(folder, layers) if layers else ())
    except ValueError as error:
        raise ValueError(f"{path} is not valid: {error}") from None


def write_sentence_settings(folder: Path, settings: SentenceSettings) -> None:
    """Write the settings into a folder, as `read_sentence_settings` reads them."""
    tensors = {
        f"dense.{n}.{key}": Tensor.of_array(getattr(layer, key))
        for n, layer in enumerate(settings.dense)
        for key in ("weight", "bias")
    }
    if tensors:
        replace_safetensors(folder / DENSE_WEIGHTS_FILE, tensors)
    text = to_json(settings.to_dict(), indent=2)
    atomic_write(folder / SENTENCE_SETTINGS_FILE, f"{text}\n")


def _read_dense(folder: Path, layers: list[dict[str, Any]]) -> tuple[DenseLayer, ...]:
    """The Dense layers that the settings list, with their weights."""
    path = folder / DENSE_WEIGHTS_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} lacks {DENSE_WEIGHTS_FILE}, the Dense layers of {SENTENCE_SETTINGS_FILE}"
        )
    tensors = read_safetensors(path)
    found = []
    for n, values in enumerate(layers):
        sizes = values.pop("out_features", None), values.pop("in_features", None)
        weight = _floats(tensors, f"dense.{n}.weight", path)
        if weight.shape != sizes:
            raise ValueError(
                f"dense {n} has (out_features, in_features) {sizes}, in {path.name} it has "
                f"{weight.shape}"
            )
        try:
            layer = DenseLayer(weight, _floats(tensors, f"dense.{n}.bias", path), **values)
        except TypeError:
            raise ValueError(f"dense {n} has unknown keys among {list(values)}") from None
        found.append(layer)
    return tuple(found)


def _floats(tensors: Mapping[str, Tensor], name: str, path: Path) -> np.ndarray:
    """A tensor in float32."""
    if name not in tensors or tensors[name].dtype not in FLOATS:
        raise ValueError(f"{path.name} has no floats {name!r}")
    values = tensors[name].numpy(np.float32)
    warn_of_nan(path, name, values)
    return values


def pooling_parts(pooling: Any) -> list[str]:
    """The single poolings of "cls+mean"; ValueError if one is unknown or there twice."""
    parts = pooling.split("+") if isinstance(pooling, str) else [pooling]
    if any(part not in POOLINGS for part in parts) or len(set(parts)) < len(parts):
        raise ValueError(
            f"pooling {pooling!r} is not one of {', '.join(POOLINGS)}, nor several of them "
            'joined by "+"'
        )
    return parts


def _check_bool(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{name} {value!r:.100} is not true or false")


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} {value!r:.100} is not one of {', '.join(choices)}")
