"""Token sequences → the model's inputs: special tokens, truncation, padding, masks."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from . import batches
from .batches import Sequence
from .encoding import BatchEncoding, Layout
from .options import PADDING, TRUNCATION, Options, _check_integer, check, check_side, named

# ERNIE-M has 514 position embeddings, of which the first two are never used.
MODEL_TAKES = 512
POSITIONS = 514
# Upstream writes 1e30 for "no limit".
NO_LIMIT = 10**20


class Framing:
    """Mixin: everything about rows that needs no text."""

    padding_side: str
    truncation_side: str
    cls_token_id: int
    sep_token_id: int
    pad_token_id: int | None
    pad_token_type_id: int

    # -- lengths -------------------------------------------------------------------------------

    @property
    def model_max_length(self) -> int:
        """How many tokens the model takes: 512 unless told otherwise, and also where told 514.

        514 is what published configurations say; it counts the position embeddings.
        """
        return self._model_max_length

    @model_max_length.setter
    def model_max_length(self, value: int | None) -> None:
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise TypeError(f"model_max_length is an integer, got {type(value).__name__} {value!r}")
        if value is not None and value < 1:
            raise ValueError(f"model_max_length={value} is too small; ERNIE-M takes {MODEL_TAKES}")
        self._length_is_known = value is not None and value < NO_LIMIT
        self._length_is_corrected = value == POSITIONS
        usual = not self._length_is_known or self._length_is_corrected
        self._model_max_length = MODEL_TAKES if usual else int(value)

    @property
    def max_len_single_sentence(self) -> int:
        """How many tokens of a single text fit."""
        return self.model_max_length - self.num_special_tokens_to_add()

    @property
    def max_len_sentences_pair(self) -> int:
        """How many tokens of a pair fit."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def _warn_once(self, name: str, message: str, verbose: bool = True) -> None:
        if verbose and name not in self._warned:
            self._warned.add(name)
            warnings.warn(message, stacklevel=2)

    def _warn_if_length_corrected(self, verbose: bool) -> None:
        if self._length_is_corrected:
            self._warn_once(
                "corrected",
                f"model_max_length={POSITIONS} counts position embeddings, of which ERNIE-M uses "
                f"{MODEL_TAKES}; {MODEL_TAKES} is used",
                verbose,
            )

    # -- special tokens ------------------------------------------------------------------------

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many special tokens frame a single text (2) or a pair (4)."""
        return 4 if pair else 2

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Frame ids: ``[CLS] A [SEP]``, or ``[CLS] A [SEP] [SEP] B [SEP]``."""
        cls, sep = [self.cls_token_id], [self.sep_token_id]
        if token_ids_1 is None:
            return [*cls, *token_ids_0, *sep]
        return [*cls, *token_ids_0, *sep, *sep, *token_ids_1, *sep]

    def build_offset_mapping_with_special_tokens(
        self, offset_mapping_0: list, offset_mapping_1: list | None = None
    ) -> list:
        """Frame offsets, with (0, 0) where a special token stands."""
        none = [(0, 0)]
        if offset_mapping_1 is None:
            return [*none, *offset_mapping_0, *none]
        return [*none, *offset_mapping_0, *none, *none, *offset_mapping_1, *none]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Types of the framed tokens: 0 for ``[CLS] A``, 1 for ``[SEP] [SEP] B [SEP]``.

        A single text has type 0 throughout.
        """
        if token_ids_1 is None:
            return [0] * (len(token_ids_0) + 2)
        return [0] * (len(token_ids_0) + 1) + [1] * (len(token_ids_1) + 3)

    def get_special_tokens_mask(
        self,
        token_ids_0: list[int],
        token_ids_1: list[int] | None = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        """1 for special tokens, 0 for others.

        Parameters
        ----------
        token_ids_0, token_ids_1 : list of int
        already_has_special_tokens : bool
            `token_ids_0` is framed already. Every special token is then marked, [PAD] and [MASK]
            too (upstream marks [CLS] and [SEP] only).

        Raises
        ------
        ValueError
            If a second sequence is given beside a framed one.
        """
        if not already_has_special_tokens:
            none = [1]
            row = [*none, *[0] * len(token_ids_0), *none]
            return row if token_ids_1 is None else [*row, *none, *[0] * len(token_ids_1), *none]
        if token_ids_1 is not None:
            raise ValueError(
                "already_has_special_tokens=True describes one framed row, got token_ids_1 too; "
                "pass the whole row as token_ids_0"
            )
        special = set(self.all_special_ids)
        return [int(i in special) for i in token_ids_0]

    # -- rows ----------------------------------------------------------------------------------

    def truncate_sequences(
        self,
        ids: list[int],
        pair_ids: list[int] | None = None,
        num_tokens_to_remove: int = 0,
        truncation_strategy: str = "longest_first",
        stride: int = 0,
    ) -> tuple[list[int], list[int] | None, list[int]]:
        """Take tokens away from one or both sequences.

        Returns
        -------
        ids, pair_ids, overflowing_tokens : list of int
            The overflow repeats `stride` of the tokens that stay; it is empty for a pair cut by
            ``"longest_first"``.

        Raises
        ------
        ValueError
            If the strategy is unknown.
        """
        strategy = named(truncation_strategy, TRUNCATION, "truncation_strategy")
        _check_integer(stride, "stride", 0)
        lengths = len(ids), None if pair_ids is None else len(pair_ids)
        cut = batches.truncate(
            *lengths, num_tokens_to_remove, strategy, stride, self.truncation_side
        )
        source = pair_ids if strategy == "only_second" else ids
        overflow = source[cut.overflow] if source is not None else []
        return ids[cut.first], None if pair_ids is None else pair_ids[cut.second], overflow

    def prepare_for_model(
        self, ids: list[int], pair_ids: list[int] | None = None, **options: Any
    ) -> BatchEncoding:
        """Frame, cut and pad ids; options and errors as for the tokenizer's call.

        Parameters
        ----------
        ids, pair_ids : list of int
            Without special tokens.
        prepend_batch_axis : bool
            Return arrays of one row rather than flat ones.
        """
        prepend = options.pop("prepend_batch_axis", False)
        options = Options.of(options, "prepare_for_model")
        second = None if pair_ids is None else Sequence(list(pair_ids))
        tensors, options.return_tensors = options.return_tensors, None
        encoding = self._frame([(Sequence(list(ids)), second)], options, single=True)
        if tensors:
            rows = {key: [value] if prepend else value for key, value in encoding.items()}
            encoding.update(batches.to_arrays(rows, tensors))
        return encoding

    def _frame(
        self, pairs: list[tuple[Sequence, Sequence | None]], options: Options, single: bool
    ) -> BatchEncoding:
        """Make the model's inputs of tokenized pairs: the heart of every call."""
        o = check(options, self)
        self._check_pairs(pairs, o)
        columns: dict[str, list] = {}
        layouts: list[Layout] = []
        for index, (first, second) in enumerate(pairs):
            special = self.num_special_tokens_to_add(second is not None) * o.add_special_tokens
            for cut in batches.cuts(first, second, special, o, self.truncation_side):
                row, layout = self._row(first, second, cut, o)
                if o.windows:
                    row["overflow_to_sample_mapping"] = index
                for name, value in row.items():
                    columns.setdefault(name, []).append(value)
                layouts.append(layout)
        lengths = list(map(len, columns["input_ids"]))
        self._warn_about_length(max(lengths), o)
        if o.return_length:
            columns["length"] = lengths
        target = self._pad_columns(columns, lengths, o)
        if target is not None:
            layouts = batches.pad_layouts(layouts, lengths, target, self.padding_side)
            if single and o.return_length:  # upstream counts the padding of a single text
                columns["length"] = [max(n, target) for n in lengths]
        if o.return_tensors:
            return BatchEncoding(batches.to_arrays(columns, o.return_tensors), layouts)
        if single and not o.windows:
            return BatchEncoding({name: rows[0] for name, rows in columns.items()}, layouts)
        return BatchEncoding(columns, layouts)

    def _row(
        self, first: Sequence, second: Sequence | None, cut: batches.Cut, o: Options
    ) -> tuple[dict[str, Any], Layout]:
        total = len(first.ids) + (len(second.ids) if second else 0)
        total += self.num_special_tokens_to_add(second is not None) * o.add_special_tokens
        row: dict[str, Any] = {}
        if o.return_overflowing_tokens and not o.windows:
            source = second if o.truncation == "only_second" else first
            row["overflowing_tokens"] = source.ids[cut.overflow]
            row["num_truncated_tokens"] = total - o.max_length
        first = first.cut(cut.first)
        second = None if second is None else second.cut(cut.second)
        ids = first.ids, None if second is None else second.ids
        offsets = first.offsets, None if second is None else second.offsets
        if o.add_special_tokens:
            row["input_ids"] = self.build_inputs_with_special_tokens(*ids)
        else:
            row["input_ids"] = [*ids[0], *(ids[1] or ())]
        size = len(row["input_ids"])
        if o.return_token_type_ids:
            row["token_type_ids"] = self.create_token_type_ids_from_sequences(*ids)
        if o.return_special_tokens_mask:
            mask = self.get_special_tokens_mask(*ids) if o.add_special_tokens else [0] * size
            row["special_tokens_mask"] = mask
        if o.return_offsets_mapping:
            if o.add_special_tokens:
                row["offset_mapping"] = self.build_offset_mapping_with_special_tokens(*offsets)
            else:
                row["offset_mapping"] = [*offsets[0], *(offsets[1] or ())]
        if o.return_attention_mask in (None, True):
            row["attention_mask"] = [1] * size
        lengths = len(ids[0]), None if ids[1] is None else len(ids[1])
        words = first.words, None if second is None else second.words
        return row, Layout(*lengths, o.add_special_tokens, words)

    def _check_pairs(self, pairs: list[tuple[Sequence, Sequence | None]], o: Options) -> None:
        single = any(second is None for _, second in pairs)
        if o.truncation == "only_second" and single:
            raise ValueError(
                "truncation='only_second' needs a second text; pass text_pair, or "
                "truncation='only_first'"
            )
        paired = any(second is not None for _, second in pairs)
        if o.return_overflowing_tokens and o.truncation == "longest_first" and paired:
            raise ValueError(
                "return_overflowing_tokens with a pair needs to know which text overflows; pass "
                "truncation='only_first' or 'only_second' rather than 'longest_first'"
            )
        special = self.num_special_tokens_to_add(paired) * o.add_special_tokens
        if o.truncates and o.max_length < special:
            raise ValueError(
                f"max_length={o.max_length} leaves no room for the {special} special tokens; "
                f"choose at least {special}, or add_special_tokens=False"
            )

    def _warn_about_length(self, longest: int, o: Options) -> None:
        if o.truncates and longest > o.max_length:
            self._warn_once(
                "cut",
                f"a row has {longest} tokens although max_length={o.max_length}: with "
                f"truncation={o.truncation!r} the text that may be cut is too short; use "
                "'longest_first' or a larger max_length",
                o.verbose,
            )
        elif o.max_length is None and longest > self.model_max_length:
            self._warn_once(
                "long",
                f"a row has {longest} tokens and the model takes {self.model_max_length}; pass "
                "truncation=True, or return_overflowing_tokens='windows'",
                o.verbose,
            )

    def _pad_columns(self, columns: dict[str, Any], lengths: list[int], o: Options) -> int | None:
        target = batches.padded_length(lengths, o.padding, o.max_length, o.pad_to_multiple_of)
        if target is None:
            return None
        if self.pad_token_id is None:
            raise ValueError("padding needs a pad_token; set tokenizer.pad_token = '[PAD]'")
        values = {
            **batches.PADDING_VALUES,
            "input_ids": self.pad_token_id,
            "token_type_ids": self.pad_token_type_id,
        }
        side = check_side(self.padding_side, "padding_side")
        for name in columns.keys() & values.keys():
            columns[name] = batches.pad_column(columns[name], target, values[name], side)
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
            columns = batches.to_arrays(columns, o.return_tensors)
        layouts = None
        return BatchEncoding(columns, layouts)


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
