"""Flat names ⇄ nested dict; initialisation; loading, and what did not fit."""

import math
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from numpy_erniem.backend.frozen import freeze
from numpy_erniem.checkpoint.tensors import Tensor
from numpy_erniem.checks import warn
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.models.mismatches import describe_mismatches, describe_names
from numpy_erniem.models.nan_checks import warn_of_nan_weights
from numpy_erniem.models.narrow_weights import SCALE
from numpy_erniem.models.precision import Precision
from numpy_erniem.models.schema import ENCODER, PREFIX, Shapes, intermediate_size_of

DRAWN_AT_MOST = 1 << 24  # weights that may be missing, beside four times those that are there


def nest(flat: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Flat names to a nested dict; the layers under "layers" become a list.

    The scales of an int8 weight, `layer.weight.scale`, are `scale` beside `weight`.

    Examples
    --------
    >>> nest({"embeddings.layer_norm.bias": 1, "encoder.layers.0.norm1.bias": 2})
    {'embeddings': {'layer_norm': {'bias': 1}}, 'encoder': {'layers': [{'norm1': {'bias': 2}}]}}
    """
    tree: dict[str, Any] = {}
    for name, values in flat.items():
        *folders, leaf = name.replace(f"weight{SCALE}", "scale").split(".")
        branch = tree
        for folder in folders:
            branch = branch.setdefault(folder, {})
        branch[leaf] = values
    for part in (tree, tree.get(ENCODER, {})):
        if "embeddings" in part:
            layers = part.setdefault("encoder", {}).get("layers", {})
            part["encoder"]["layers"] = [layers[str(n)] for n in range(len(layers))]
    return tree


def flatten(tree: Mapping[str, Any] | list, prefix: str = "") -> dict[str, np.ndarray]:
    """A nested dict to flat names, the inverse of `nest`; all names start with `prefix`."""
    flat: dict[str, np.ndarray] = {}
    items = enumerate(tree) if isinstance(tree, list) else tree.items()
    for key, value in items:
        if isinstance(value, Mapping | list):
            flat |= flatten(value, f"{prefix}{key}.")
        elif key == "scale":
            flat[f"{prefix}weight{SCALE}"] = value
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def encoder_weights(weights: Mapping[str, Any]) -> Mapping[str, Any]:
    """The encoder's part of a model's nested weights; all of them where there is no head."""
    return weights.get(ENCODER, weights)


def initial_tensor(
    name: str, shape: tuple[int, ...], config: ErnieMConfig, seed: int, dtype: Any = np.float32
) -> np.ndarray:
    """Draw one tensor: norms are 1 and 0, biases 0, the rest normal with initializer_range.

    Parameters
    ----------
    name : str
        Of the tensor. The draw depends on seed and name alone, not on what else is drawn; with
        or without the prefix of the encoder it is the same.
    shape : tuple of int
    config : ErnieMConfig
        For initializer_range, the standard deviation, and pad_token_id: that row is zero in the
        token and the position table, as in upstream.
    seed : int
    dtype : {"float32", "float64"}

    Returns
    -------
    read-only array
    """
    if re.search(r"norm\d?\.weight$", name):
        values = np.ones(shape, dtype)
    elif name.endswith("bias"):
        values = np.zeros(shape, dtype)
    else:
        rng = np.random.default_rng([seed, zlib.crc32(name.removeprefix(PREFIX).encode())])
        values = rng.standard_normal(shape, np.float32)
        values *= config.initializer_range
        values = values.astype(dtype, copy=False)
        if re.search(r"(word|position)_embeddings\.weight$", name):
            values[config.pad_token_id or 0 : (config.pad_token_id or -1) + 1] = 0
    return freeze(values)


@dataclass
class LoadingReport:
    """What did not fit when tensors were loaded into a model.

    Attributes
    ----------
    missing : list of str
        Tensors of the model that the checkpoint does not have.
    unexpected : list of str
        Tensors of the checkpoint that the model does not have.
    mismatched : list of (name, shape in the checkpoint, shape in the model)
    """

    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mismatched: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)

    def as_dict(self) -> dict[str, list[Any]]:
        """Upstream's `output_loading_info`: missing_keys, unexpected_keys, mismatched_keys."""
        return {
            "missing_keys": self.missing,
            "unexpected_keys": self.unexpected,
            "mismatched_keys": self.mismatched,
            "error_msgs": [],
        }

    def warn(self, source: Any) -> None:
        """One warning that names everything, if there is anything."""
        drawn = self.missing + [name for name, *_ in self.mismatched]
        parts = []
        if drawn:
            parts.append(f"drawn at random, train them before use: {describe_names(drawn)}")
        if self.unexpected:
            parts.append(f"not used: {describe_names(self.unexpected)}")
        if parts:
            warn(f"{source}: tensors {'; tensors '.join(parts)}")


def match_prefix(names: Iterable[str], expected: Shapes) -> dict[str, str]:
    """Map the names in a file to the model's: base checkpoint into head model, and back."""
    names = list(names)
    model_has_prefix = any(name.startswith(PREFIX) for name in expected)
    file_has_prefix = any(name.startswith(PREFIX) for name in names)
    if model_has_prefix and not file_has_prefix:
        return {n: PREFIX + n if PREFIX + n in expected else n for n in names}
    if file_has_prefix and not model_has_prefix:
        return {n: n.removeprefix(PREFIX) for n in names}
    return {n: n for n in names}


def trust_intermediate_size(config: ErnieMConfig, tensors: Mapping[str, Tensor]) -> None:
    """Correct config.intermediate_size from the weights: published large configs are wrong."""
    found = intermediate_size_of(tensors)
    if found is not None and found != config.intermediate_size:
        warn(
            f"config.json says intermediate_size {config.intermediate_size}, "
            f"the weights have {found}; {found} is used"
        )
        config.intermediate_size = found


def load_tensors(
    tensors: Mapping[str, Tensor],
    expected: Shapes,
    config: ErnieMConfig,
    *,
    source: Any = "checkpoint",
    precision: Precision | None = None,
    ignore_mismatched_sizes: bool = False,
    seed: int = 0,
) -> tuple[dict[str, np.ndarray], LoadingReport]:
    """Take the expected tensors from a checkpoint; draw at random what it does not have.

    Parameters
    ----------
    tensors : dict of str to Tensor
        The checkpoint's; nothing is read before it is needed.
    expected : dict of str to tuple of int
        Names and shapes of the model's tensors.
    config : ErnieMConfig
        For `initial_tensor`.
    source : path or str
        What errors and warnings call the checkpoint.
    precision : Precision, optional
        How the model holds its weights; left out, as the config says.
    ignore_mismatched_sizes : bool
        Draw tensors of another shape at random instead of raising.
    seed : int
        Of what is drawn.

    Returns
    -------
    flat : dict of str to array, in the order of `expected`
    report : LoadingReport

    Raises
    ------
    ValueError
        A tensor has another shape (unless ignored), or is not a float tensor.

    Warns
    -----
    UserWarning
        One that names missing, unexpected and ignored tensors; one for NaN or infinite weights.
    """
    precision = precision or Precision(None, config, source)
    renamed = match_prefix(tensors, {**expected, **{name + SCALE: () for name in expected}})
    found = {renamed[name]: tensor for name, tensor in tensors.items()}
    scales = {name + SCALE for name, t in found.items() if t.dtype == "I8" and name in expected}
    report = LoadingReport(
        missing=[name for name in expected if name not in found],
        unexpected=[name for name, ours in renamed.items() if ours not in {*expected, *scales}],
        mismatched=[
            (name, found[name].shape, shape)
            for name, shape in expected.items()
            if name in found and found[name].shape != shape
        ],
    )
    if report.mismatched and not ignore_mismatched_sizes:
        told = describe_mismatches(report.mismatched)
        raise ValueError(
            f"{source} does not fit the model: {told}; correct the config, "
            "or pass ignore_mismatched_sizes=True to draw these at random"
        )
    drawn = {*report.missing, *(name for name, *_ in report.mismatched)}
    _check_drawn(drawn, expected, tensors, source)
    flat: dict[str, np.ndarray] = {}
    for name, shape in expected.items():
        if name in drawn:
            values = initial_tensor(name, shape, config, seed, precision.floats)
            flat |= precision.held(name, values)
        else:
            flat |= precision.read(name, found)
    report.warn(source)
    warn_of_nan_weights(flat, source)
    return flat, report


def _check_drawn(
    drawn: Iterable[str], expected: Shapes, tensors: Mapping[str, Tensor], source: Any
) -> None:
    """Refuse a config whose sizes are far beyond the file's, before memory is allocated."""
    there = sum(math.prod(tensor.shape) for tensor in tensors.values())
    asked = sum(math.prod(expected[name]) for name in drawn)
    if asked > DRAWN_AT_MOST + 4 * there:
        raise ValueError(
            f"{source}: the config asks for {asked} weights that are not in the file, which has "
            f"{there}; check num_hidden_layers and the other sizes"
        )
