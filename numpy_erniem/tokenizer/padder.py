"""Padding: of rows just made, and of rows made before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy_erniem.tokenizer import truncation
from numpy_erniem.tokenizer.batch_encoding import BatchEncoding
from numpy_erniem.tokenizer.limits import LengthLimits
from numpy_erniem.tokenizer.options import PADDING, Options, check, check_side, named


class Padder(LengthLimits):
    """Mixin: rows of equal length."""

    padding_side: str
    pad_token_id: int | None
    pad_token_type_id: int

    def _pad_columns(self, columns: dict[str, Any], lengths: list[int], o: Options) -> int | None:
        target = truncation.padded_length(lengths, o.padding, o.max_length, o.pad_to_multiple_of)
        if target is None:
            return None
        if self.pad_token_id is None:
            raise ValueError("padding needs a pad_token; set tokenizer.pad_token = '[PAD]'")
        values = {
            **truncation.PADDING_VALUES,
            "input_ids": self.pad_token_id,
            "token_type_ids": self.pad_token_type_id,
        }
        side = check_side(self.padding_side, "padding_side")
        for name in columns.keys() & values.keys():
            columns[name] = truncation.pad_column(columns[name], target, values[name], side)
        return target

    def pad(
        self,
        encoded_inputs: Any,
        padding: Any = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Pad rows that are already made, for example when collating a batch.

        Parameters
        ----------
        encoded_inputs : BatchEncoding, dict of lists, or list of dicts
            With ``input_ids``; values may be arrays or tensors, the result is then of that kind.
        padding, max_length, pad_to_multiple_of, return_tensors
            As for the tokenizer's call.
        return_attention_mask : bool, optional
            False: make no attention mask where there is none.

        Raises
        ------
        ValueError
            If there are no ``input_ids``, columns differ in their number of rows, or options
            contradict each other.
        """
        columns, single, kind = _columns(encoded_inputs)
        options = Options(
            padding=padding,
            truncation=False,
            max_length=max_length,
            pad_to_multiple_of=pad_to_multiple_of,
            return_tensors=return_tensors or kind,
            verbose=verbose and named(padding, PADDING, "padding") != "longest",
        )
        o = check(options, self)
        lengths = list(map(len, columns["input_ids"]))
        if return_attention_mask is not False and "attention_mask" not in columns:
            columns["attention_mask"] = [[1] * n for n in lengths]
        self._pad_columns(columns, lengths, o)
        if single:
            columns = {name: rows[0] for name, rows in columns.items()}
        if o.return_tensors:
            columns = truncation.to_arrays(columns, o.return_tensors)
        return BatchEncoding(columns)


def _columns(inputs: Any) -> tuple[dict[str, list], bool, str | None]:
    """Read the input of `pad`: rows by name, whether it was a single row, the kind of arrays."""
    if isinstance(inputs, (list, tuple)):
        if not inputs or not all(isinstance(row, Mapping) for row in inputs):
            raise ValueError("pad takes an encoding or a list of encodings, at least one")
        inputs = {name: [row[name] for row in inputs] for name in inputs[0]}
    if not isinstance(inputs, Mapping) or "input_ids" not in inputs:
        raise ValueError(
            "pad needs 'input_ids'; got "
            + (f"the keys {list(inputs)}" if isinstance(inputs, Mapping) else repr(type(inputs)))
        )
    kind = None
    columns: dict[str, Any] = {}
    for name, value in inputs.items():
        for part in (value, value[0] if isinstance(value, (list, tuple)) and value else None):
            if hasattr(part, "tolist") and kind is None:
                kind = "np" if type(part).__module__.startswith("numpy") else "pt"
        value = value.tolist() if hasattr(value, "tolist") else value
        if isinstance(value, (list, tuple)):
            value = [v.tolist() if hasattr(v, "tolist") else v for v in value]
        columns[name] = value
    ids = columns["input_ids"]
    single = not ids or not isinstance(ids[0], (list, tuple))
    if single:
        return {name: [value] for name, value in columns.items()}, True, kind
    for name, rows in columns.items():
        if len(rows) != len(ids):
            raise ValueError(f"{name!r} has {len(rows)} rows and 'input_ids' {len(ids)}")
    return columns, False, kind
