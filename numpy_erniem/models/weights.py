"""Names and shapes of a model's tensors; flat names ⇄ nested dict; loading; initialisation."""

import math
import re
import warnings
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.tensors import FLOATS, Tensor
from numpy_erniem.config import ErnieMConfig

Shapes = dict[str, tuple[int, ...]]

PREFIX = "ernie_m."  # of the encoder's tensors inside a model with a head
WORDS = "embeddings.word_embeddings.weight"
DRAWN_AT_MOST = 1 << 24  # weights that may be missing, beside four times those that are there
CHECKED_AT_LOOKUP = 1 << 26  # a word table of more elements is not read through for NaN


def linear_shapes(name: str, outputs: int, inputs: int) -> Shapes:
    """Weight (out, in) and bias of a linear map."""
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm_shapes(name: str, size: int) -> Shapes:
    """Scale and shift of a layer norm."""
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def encoder_shapes(config: ErnieMConfig, pooling: bool = True) -> Shapes:
    """Every tensor of the encoder by its name in a checkpoint, with its shape."""
    D, F, P = config.hidden_size, config.intermediate_size, config.max_position_embeddings
    shapes = {
        WORDS: (config.vocab_size, D),
        "embeddings.position_embeddings.weight": (P, D),
    } | norm_shapes("embeddings.layer_norm", D)
    for n in range(config.num_hidden_layers):
        layer = f"encoder.layers.{n}"
        kept = D - len(config.pruned_heads.get(n, ())) * config.head_dim
        for projection in ("q_proj", "k_proj", "v_proj"):
            shapes |= linear_shapes(f"{layer}.self_attn.self_attn.{projection}", kept, D)
        if config.position_embedding_type != "absolute":
            table = f"{layer}.self_attn.self_attn.distance_embedding.weight"
            shapes[table] = (2 * P - 1, config.head_dim)
        shapes |= linear_shapes(f"{layer}.self_attn.out_proj", D, kept)
        shapes |= linear_shapes(f"{layer}.linear1", F, D)
        shapes |= linear_shapes(f"{layer}.linear2", D, F)
        for norm in ("norm1", "norm2"):
            shapes |= norm_shapes(f"{layer}.{norm}", D)
    if pooling:
        shapes |= linear_shapes("pooler.dense", D, D)
    return shapes


def nest(flat: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Flat names to a nested dict; what stands under "layers" becomes a list.

    Examples
    --------
    >>> nest({"embeddings.layer_norm.bias": 1, "encoder.layers.0.norm1.bias": 2})
    {'embeddings': {'layer_norm': {'bias': 1}}, 'encoder': {'layers': [{'norm1': {'bias': 2}}]}}
    """
    tree: dict[str, Any] = {}
    for name, values in flat.items():
        *folders, leaf = name.split(".")
        branch = tree
        for folder in folders:
            branch = branch.setdefault(folder, {})
        branch[leaf] = values
    for part in (tree, tree.get(PREFIX[:-1], {})):
        if "embeddings" in part:
            layers = part.setdefault("encoder", {}).get("layers", {})
            part["encoder"]["layers"] = [layers[str(n)] for n in range(len(layers))]
    return tree


def flatten(tree: Mapping[str, Any] | list, prefix: str = "") -> dict[str, np.ndarray]:
    """A nested dict to flat names, the inverse of `nest`."""
    flat = {}
    items = enumerate(tree) if isinstance(tree, list) else tree.items()
    for key, value in items:
        if isinstance(value, Mapping | list):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def initial_tensor(
    name: str, shape: tuple[int, ...], config: ErnieMConfig, seed: int, dtype: Any = np.float32
) -> np.ndarray:
    """Draw one tensor: norms are 1 and 0, biases 0, the rest normal with initializer_range.

    The draw depends on seed and name alone, not on what else is drawn. The row of the padding
    token is zero in the word and the position table, as in upstream.
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
    values.flags.writeable = False
    return values


@dataclass
class LoadingReport:
    """What did not fit when tensors were loaded into a model."""

    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mismatched: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)

    def as_dict(self) -> dict[str, list]:
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
            parts.append(f"drawn at random, train them before use: {', '.join(drawn)}")
        if self.unexpected:
            parts.append(f"not used: {', '.join(self.unexpected)}")
        if parts:
            warnings.warn(f"{source}: tensors {'; tensors '.join(parts)}", stacklevel=4)


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


def intermediate_size_of(tensors: Mapping[str, Tensor]) -> int | None:
    """The intermediate size F of the weights; None if they have no layers, or differ in it."""
    rows = {t.shape[0] for n, t in tensors.items() if n.endswith("linear1.weight") and t.shape}
    return rows.pop() if len(rows) == 1 else None


def trust_intermediate_size(config: ErnieMConfig, tensors: Mapping[str, Tensor]) -> None:
    """Correct config.intermediate_size from the weights: published large configs are wrong."""
    found = intermediate_size_of(tensors)
    if found not in (None, config.intermediate_size):
        warnings.warn(
            f"config.json says intermediate_size {config.intermediate_size}, "
            f"the weights have {found}; {found} is used",
            stacklevel=4,
        )
        config.intermediate_size = found


def load_tensors(
    tensors: Mapping[str, Tensor],
    expected: Shapes,
    config: ErnieMConfig,
    *,
    source: Any = "checkpoint",
    dtype: Any = np.float32,
    ignore_mismatched_sizes: bool = False,
    seed: int = 0,
) -> tuple[dict[str, np.ndarray], LoadingReport]:
    """Take the expected tensors from a checkpoint; draw at random what it does not have.

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
    renamed = match_prefix(tensors, expected)
    found = {renamed[name]: tensor for name, tensor in tensors.items()}
    report = LoadingReport(
        missing=[name for name in expected if name not in found],
        unexpected=[name for name, ours in renamed.items() if ours not in expected],
        mismatched=[
            (name, found[name].shape, shape)
            for name, shape in expected.items()
            if name in found and found[name].shape != shape
        ],
    )
    if report.mismatched and not ignore_mismatched_sizes:
        lines = [f"{n}: {there} in the file, {here} here" for n, there, here in report.mismatched]
        raise ValueError(
            f"{source} does not fit the model: {'; '.join(lines)}; correct the config, "
            "or pass ignore_mismatched_sizes=True to draw these at random"
        )
    drawn = {*report.missing, *(name for name, *_ in report.mismatched)}
    _check_drawn(drawn, expected, tensors, source)
    flat = {}
    for name, shape in expected.items():
        if name in drawn:
            flat[name] = initial_tensor(name, shape, config, seed, dtype)
        elif found[name].dtype in FLOATS:
            flat[name] = _vectors_copied(found[name].numpy(dtype))
        else:
            raise ValueError(f"{source}: tensor {name} holds {found[name].dtype}, not floats")
    report.warn(source)
    _warn_of_nan(flat, source)
    return flat, report


def _vectors_copied(values: np.ndarray) -> np.ndarray:
    """Matrices as they are; a bias or a norm, which the kernels do not pack, out of the map.

    To read it there, Linux maps up to 2 MB around it: of weights that are used packed, for good.
    """
    if values.ndim > 1:
        return values
    values = values.copy()
    values.flags.writeable = False
    return values


def _warn_of_nan(flat: Mapping[str, np.ndarray], source: Any) -> None:
    """Name the tensors that hold NaN or infinity, reading all but a very large word table."""
    bad = []
    for name, values in flat.items():
        if name.endswith(WORDS) and values.size > CHECKED_AT_LOOKUP:
            continue
        if not _are_finite(values):
            bad.append(name)
    if bad:
        warnings.warn(f"{source}: NaN or infinite weights in {', '.join(bad)}", stacklevel=4)


def _check_drawn(
    drawn: Iterable[str], expected: Shapes, tensors: Mapping[str, Tensor], source: Any
) -> None:
    """Refuse a config whose sizes are beyond those of its file, before memory is asked for."""
    there = sum(math.prod(tensor.shape) for tensor in tensors.values())
    asked = sum(math.prod(expected[name]) for name in drawn)
    if asked > DRAWN_AT_MOST + 4 * there:
        raise ValueError(
            f"{source}: the config asks for {asked} weights that are not in the file, which has "
            f"{there}; check num_hidden_layers and the other sizes"
        )


def _are_finite(values: np.ndarray) -> bool:
    """Whether none is NaN or infinite."""
    with np.errstate(all="ignore"):  # a sum is quick, and finite for all but very large numbers
        return bool(np.isfinite(values.sum()) or np.isfinite(values).all())


def warn_of_nan_rows(weights: Mapping[str, Any], ids: np.ndarray) -> None:
    """Name rows that hold NaN or infinity, of those that were looked up in a very large word table.

    Such a table is not read when it is loaded.
    """
    words = weights["embeddings"]["word_embeddings"]["weight"]
    if words.size <= CHECKED_AT_LOOKUP:
        return
    rows = np.unique(ids)
    finite = np.isfinite(words[rows]).all(axis=1)
    if not finite.all():
        bad = ", ".join(map(str, rows[~finite]))
        warnings.warn(f"NaN or infinite weights in {WORDS}, row {bad}", stacklevel=5)
