"""The precision of a model: which weights are narrow, and what is computed with them."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from numpy_erniem.backend.frozen import freeze, release_mapped_pages
from numpy_erniem.checkpoint.tensors import Tensor, check_floats
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.config.quantization import quantizable_layers
from numpy_erniem.models.nan_checks import checked_at_lookup
from numpy_erniem.models.narrow_weights import (
    SCALE,
    as_bfloat16,
    check_range,
    checked_scale,
    quantized,
)
from numpy_erniem.models.schema import LM_BIAS, PREFIX, TOKEN_TABLE
from numpy_erniem.quantization.formula import MOST_INPUTS
from numpy_erniem.quantization.numbers import (
    BFLOAT16,
    INT8,
    STORED_BFLOAT16,
    WIDENED_EXACTLY,
    is_bfloat16,
    widen,
)

PRECISIONS = ("float32", "float64", "bfloat16", "int8")

Flat = dict[str, np.ndarray]


def checked_precision(dtype: DTypeLike | None, torch_dtype: Any = None) -> str | None:
    """The precision that is asked for.

    Parameters
    ----------
    dtype : {"float32", "float64", "bfloat16", "int8"}, optional
        Left out, what the checkpoint says.
    torch_dtype : torch.dtype or str, optional
        Another name of `dtype`; "auto" is one that is left out.

    Returns
    -------
    str or None

    Raises
    ------
    ValueError
        Another precision, or two that differ.
    """
    checked = None if dtype is None else _known_precision("dtype", dtype)
    if torch_dtype is None or str(torch_dtype) == "auto":
        return checked
    other = _known_precision("torch_dtype", torch_dtype)
    if checked not in (None, other):
        raise ValueError(f"torch_dtype {other} contradicts dtype {checked}; give one of them")
    return other


def _known_precision(name: str, dtype: Any) -> str:
    """One of PRECISIONS; ValueError for another one."""
    told = getattr(dtype, "__name__", str(dtype)).removeprefix("torch.")
    with suppress(TypeError):  # of bfloat16, and of what NumPy does not know
        told = np.dtype(told).name
    if told == "float16":
        raise ValueError(
            f"{name} {dtype!r} is for storing, not for computing: a float16 checkpoint stays so in "
            "memory and is computed in float32; leave it out"
        )
    if told not in PRECISIONS:
        raise ValueError(f"{name} {dtype!r} is not one of {', '.join(PRECISIONS)}")
    return told


def layer_of(name: str) -> str:
    """The layer that a weight belongs to, without the prefix of the encoder."""
    return name.removeprefix(PREFIX).removesuffix(".weight")


def stored_floats(token_table: np.ndarray, results: np.dtype) -> str:
    """What config.json calls the floats of a model: as wide as the token table, unless it is int8.

    Parameters
    ----------
    token_table : (V, D) array of any kind
    results : dtype of the results, which is that of the floats beside an int8 table

    Returns
    -------
    str
    """
    if is_bfloat16(token_table):
        return "bfloat16"
    return (results if token_table.dtype == INT8 else token_table.dtype).name


class Precision:
    """How the weights of a model are held.

    Parameters
    ----------
    asked : {"float32", "float64", "bfloat16", "int8"}, optional
        Left out: "int8" where the config says so, else "float32".
    config : ErnieMConfig
        Its `quantization` says what the checkpoint holds, and gets what the model holds.
    source : path or str
        What errors call the checkpoint.
    is_argument : bool
        Whether `quantization` is an argument of loading in place of what config.json says.

    Attributes
    ----------
    name : str
    is_stored : bool
        Whether the checkpoint holds int8 already.
    kept : set of str
        Layers that stay floats in int8.
    """

    def __init__(
        self,
        asked: str | None,
        config: ErnieMConfig,
        source: Any = "checkpoint",
        is_argument: bool = False,
    ) -> None:
        quantization, self.source, self.is_argument = config.quantization, source, is_argument
        self.is_stored = quantization is not None
        self.layers = set(quantizable_layers(config.num_hidden_layers))
        self.kept = set(quantization["keep_float"] if quantization else ())
        self.name = asked or ("int8" if quantization else "float32")
        self.is_asked = asked == "int8"
        if self.name != "int8":
            config.quantization = None
        elif quantization is None:
            config.quantization = {"dtype": "int8", "keep_float": []}

    @property
    def floats(self) -> np.dtype:
        """The dtype of results, and of the weights that are never narrow."""
        return np.dtype(np.float64 if self.name == "float64" else np.float32)

    def held(self, name: str, values: np.ndarray) -> Flat:
        """A float weight as the model holds it, by its name; an int8 one with its scales.

        Parameters
        ----------
        name : str
        values : array of float16, bfloat16, float32 or float64

        Returns
        -------
        dict of str to read-only array

        Raises
        ------
        ValueError
            NaN or infinity, which int8 cannot hold, or rows that are too long for it.
        """
        layer = layer_of(name)
        if layer not in self.layers:
            return {name: _frozen(values, self.floats)}
        if self.name == "int8" and layer not in self.kept:
            return self._quantized(name, values)
        is_table = name.endswith(TOKEN_TABLE)  # whose rows are taken; its width is what matters
        if self.name == "bfloat16" and not (is_table and values.dtype == np.float16):
            kind = STORED_BFLOAT16 if is_table else BFLOAT16
            return {name: freeze(as_bfloat16(values, kind))}
        if self.name == "float64" or values.dtype not in WIDENED_EXACTLY:
            return {name: _frozen(values, self.floats)}
        return {name: freeze(values)}

    def _quantized(self, name: str, values: np.ndarray) -> Flat:
        if values.shape[1] > MOST_INPUTS:
            raise ValueError(
                f"{self.source}: {name} has rows of {values.shape[1]} numbers; int8 takes at most "
                f"{MOST_INPUTS}, keep the layer in floats"
            )
        try:
            weight, scale = quantized(values)
        except ValueError as error:
            raise ValueError(f"{self.source}: tensor {name} cannot be int8: {error}") from None
        return {name: freeze(weight), name + SCALE: freeze(scale)}

    def read(self, name: str, tensors: Mapping[str, Tensor]) -> Flat:
        """A tensor of a checkpoint as the model holds it.

        Parameters
        ----------
        name : str
            Of the model, by which `tensors` has it.
        tensors : dict of str to Tensor

        Returns
        -------
        dict of str to read-only array
            Mapped from the file, where the model holds what the file does; vectors are copied.

        Raises
        ------
        ValueError
            The tensor is not what the config says; the message names it.
        """
        tensor = tensors[name]
        if tensor.dtype == "I8":
            return self._read_int8(name, tensors)
        check_floats(self.source, name, tensor)
        layer = layer_of(name)
        if self.is_stored and not self.is_asked and layer in self.layers - self.kept:
            where, remedy = (
                ("the argument quantization", 'give dtype="int8", too, to quantize the weights now')
                if self.is_argument
                else (
                    "quantization in config.json",
                    "remove the key if no weight is int8, or convert the checkpoint again",
                )
            )
            raise ValueError(
                f"{self.source}: {where} says int8, and tensor {name} holds {tensor.dtype}; "
                f"name {layer} in its keep_float, or {remedy}"
            )
        values = tensor.stored()
        if values.ndim < 2:  # in place it would keep up to 2 MB of neighbouring pages in memory
            values = values.copy()
        return self.held(name, values)

    def _read_int8(self, name: str, tensors: Mapping[str, Tensor]) -> Flat:
        source, layer = self.source, layer_of(name)
        if layer not in self.layers:
            raise ValueError(
                f"{source}: tensor {name} holds I8, which only the token table and the linear maps "
                "of the encoder's layers can; take the layer in float32, float16 or bfloat16"
            )
        if not self.is_stored and self.is_argument:
            raise ValueError(
                f"{source}: tensor {name} holds I8, and the argument quantization=None says that "
                'none does; leave it out, or give dtype="float32" in its place to widen the weights'
            )
        if not self.is_stored:
            raise ValueError(
                f"{source}: tensor {name} holds I8, and config.json has no quantization "
                '{"dtype": "int8"}; quantized weights of other programs are not read: convert the '
                "checkpoint from float32, float16 or bfloat16"
            )
        if layer in self.kept:
            where, remedy = (
                ("the argument quantization", "leave it out")
                if self.is_argument
                else ("config.json", "correct config.json")
            )
            raise ValueError(
                f"{source}: keep_float in {where} names {layer}, and tensor {name} holds I8; "
                f"{remedy}, or convert the checkpoint again"
            )
        if self.name == "bfloat16":
            raise ValueError(
                f"{source} holds int8 weights, of which bfloat16 would lose more; load it as it "
                "is, or take the checkpoint that it was made of"
            )
        weight = tensors[name].stored()
        scale = checked_scale(source, name, weight, tensors.get(name + SCALE))
        if not (name.endswith(TOKEN_TABLE) and checked_at_lookup(weight)) or LM_BIAS in tensors:
            check_range(source, name, weight)
        if self.name != "int8":
            return {name: _frozen(widen(weight, scale), self.floats)}
        return {name: freeze(weight), name + SCALE: freeze(scale)}


def _frozen(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A read-only array of float32 or float64; the same one where it is that already."""
    wide = widen(values)
    if wide.dtype != dtype:
        wide = wide.astype(dtype)
    if wide is not values:
        release_mapped_pages(values)
    return freeze(wide)
