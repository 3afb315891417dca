"""Rows of equal length: padding the columns of a batch."""

from collections.abc import Iterable, Mapping
from typing import Any

from numpy_erniem.tokenizer.batch_encoding import BatchEncoding
from numpy_erniem.tokenizer.lengths import LengthLimits
from numpy_erniem.tokenizer.options import PADDING, Options, check_options, check_side, strategy
from numpy_erniem.tokenizer.rows import pad_lists
from numpy_erniem.tokenizer.special_tokens import SpecialTokens
from numpy_erniem.tokenizer.tensors import PADDING_VALUES, to_arrays

MODEL_INPUT_NAMES = ("input_ids", "attention_mask")


class Padder:
    """Pads the columns of a batch.

    Parameters
    ----------
    special_tokens : SpecialTokens
        Its `pad_token_id` pads `input_ids`.
    padding_side : {"right", "left"}
    limits : LengthLimits, optional
        Default: 512 tokens.
    pad_token_type_id : int
        What pads `token_type_ids`.
    model_input_names : list of str
        Which inputs the model takes: what is made unless a call says otherwise.

    Examples
    --------
    >>> from numpy_erniem.tokenizer.vocabulary import Vocabulary
    >>> padder = Padder(SpecialTokens(Vocabulary(["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"])))
    >>> padder.pad([{"input_ids": [0, 3, 2]}, {"input_ids": [0, 2]}])
    {'input_ids': [[0, 3, 2], [0, 2, 1]], 'attention_mask': [[1, 1, 1], [1, 1, 0]]}
    """

    def __init__(
        self,
        special_tokens: SpecialTokens,
        padding_side: str = "right",
        limits: LengthLimits | None = None,
        pad_token_type_id: int = 0,
        model_input_names: Iterable[str] = MODEL_INPUT_NAMES,
    ) -> None:
        self.special_tokens = special_tokens
        self.padding_side = check_side(padding_side, "padding_side")
        self.limits = LengthLimits() if limits is None else limits
        self.pad_token_type_id = pad_token_type_id
        self.model_input_names = model_input_names

    @property
    def model_input_names(self) -> list[str]:
        """Which inputs the model takes, `input_ids` among them.

        Raises
        ------
        ValueError
            Names without `input_ids`.
        TypeError
            What is no list of names.
        """
        return self._model_input_names

    @model_input_names.setter
    def model_input_names(self, names: Iterable[str]) -> None:
        if not isinstance(names, (list, tuple)) or not all(isinstance(n, str) for n in names):
            raise TypeError(f"model_input_names is a list of names, got {names!r:.60}")
        if "input_ids" not in names:
            raise ValueError(f"model_input_names={list(names)} has no 'input_ids'; add it")
        self._model_input_names = list(names)

    def wants(self, name: str, asked: bool | None) -> bool:
        """Whether to make an input: as asked for, else whether the model takes it."""
        return name in self._model_input_names if asked is None else bool(asked)

    def pad_columns(self, columns: dict[str, Any], lengths: list[int], o: Options) -> int | None:
        """Pad the columns that hold a value for each token.

        Parameters
        ----------
        columns : dict of str to list of rows
            Changed in place.
        lengths : list of int
            Of the rows.
        o : Options
            After `check_options`.

        Returns
        -------
        int or None
            The length that rows were padded to; None if nothing was padded.

        Raises
        ------
        ValueError
            Padding without a pad token, or an unknown side.
        """
        if o.padding == "do_not_pad":
            return None
        target = max(lengths, default=0) if o.padding == "longest" else o.max_length
        if o.pad_to_multiple_of:
            target = -(-target // o.pad_to_multiple_of) * o.pad_to_multiple_of
        pad_id = self.special_tokens.pad_token_id
        if pad_id is None:
            raise ValueError("padding needs a pad_token; set tokenizer.pad_token = '[PAD]'")
        values = {
            **PADDING_VALUES,
            "input_ids": pad_id,
            "token_type_ids": self.pad_token_type_id,
        }
        side = check_side(self.padding_side, "padding_side")
        for name in columns.keys() & values.keys():
            columns[name] = pad_lists(columns[name], values[name], target, side)
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
        """Pad rows that are made already, for example when collating a batch.

        Parameters
        ----------
        encoded_inputs : BatchEncoding, dict of lists, or list of dicts
            With `input_ids`. If values are arrays or tensors, so are those of the result.
        padding, max_length, pad_to_multiple_of, return_tensors, verbose
            As for the tokenizer's call.
        return_attention_mask : bool, optional
            Add an attention mask. Default: if it is among `model_input_names`.

        Returns
        -------
        BatchEncoding

        Raises
        ------
        ValueError
            No `input_ids`, columns that differ in their number of rows, or options that contradict
            each other.
        """
        columns, single, kind = _read_columns(encoded_inputs)
        options = Options(
            padding=padding,
            truncation=False,
            max_length=max_length,
            pad_to_multiple_of=pad_to_multiple_of,
            return_tensors=return_tensors or kind,
            # Collators pass a max_length with padding=True, so no warning that it has no effect.
            verbose=verbose and strategy(padding, PADDING, "padding") != "longest",
        )
        o = check_options(options, self.limits)
        lengths = list(map(len, columns["input_ids"]))
        wanted = self.wants("attention_mask", return_attention_mask)
        if wanted and "attention_mask" not in columns:
            columns["attention_mask"] = [[1] * n for n in lengths]
        self.pad_columns(columns, lengths, o)
        if single:
            columns = {name: rows[0] for name, rows in columns.items()}
        if o.return_tensors:
            columns = to_arrays(columns, o.return_tensors)
        return BatchEncoding(columns)


def _read_columns(inputs: Any) -> tuple[dict[str, Any], bool, str | None]:
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
