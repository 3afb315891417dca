"""Token sequences → the model's inputs: special tokens, truncation, padding, masks."""

from __future__ import annotations

from typing import Any

from numpy_erniem.tokenizer import truncation
from numpy_erniem.tokenizer.batch_encoding import BatchEncoding, Layout
from numpy_erniem.tokenizer.options import (
    TRUNCATION,
    Options,
    check,
    check_integer,
    check_side,
    named,
)
from numpy_erniem.tokenizer.padder import Padder
from numpy_erniem.tokenizer.truncation import Sequence


class InputBuilder(Padder):
    """Mixin: everything about rows that needs no text."""

    truncation_side: str
    cls_token_id: int
    sep_token_id: int

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Frame ids: ``[CLS] A [SEP]``, or ``[CLS] A [SEP] [SEP] B [SEP]``."""
        return truncation.framed(token_ids_0, token_ids_1, self.cls_token_id, self.sep_token_id)

    def build_offset_mapping_with_special_tokens(
        self, offset_mapping_0: list, offset_mapping_1: list | None = None
    ) -> list:
        """Frame offsets, with (0, 0) where a special token stands."""
        return truncation.framed(offset_mapping_0, offset_mapping_1, (0, 0), (0, 0))

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
            second = None if token_ids_1 is None else [0] * len(token_ids_1)
            return truncation.framed([0] * len(token_ids_0), second, 1, 1)
        if token_ids_1 is not None:
            raise ValueError(
                "already_has_special_tokens=True describes one framed row, got token_ids_1 too; "
                "pass the whole row as token_ids_0"
            )
        special = set(self.all_special_ids)
        return [int(i in special) for i in token_ids_0]

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
        check_integer(stride, "stride", 0)
        lengths = len(ids), None if pair_ids is None else len(pair_ids)
        cut = truncation.truncate(
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
        encoding = self._frame([Sequence(list(ids))], [second], options, single=True)
        if tensors:
            rows = {key: [value] if prepend else value for key, value in encoding.items()}
            encoding.update(truncation.to_arrays(rows, tensors))
        return encoding

    def _frame(
        self,
        firsts: list[Sequence],
        seconds: list[Sequence | None],
        options: Options,
        single: bool = False,
    ) -> BatchEncoding:
        """Make the model's inputs of tokenized texts: the heart of every call."""
        o = check(options, self)
        self._check_pairs(seconds, o)
        columns: dict[str, list] = {}
        layout = Layout(o.add_special_tokens, self.padding_side)
        ends = self.cls_token_id, self.sep_token_id
        check_side(self.truncation_side, "truncation_side")
        for index, (first, second) in enumerate(zip(firsts, seconds, strict=True)):
            special = (2 if second is None else 4) if o.add_special_tokens else 0
            for cut in truncation.cuts(first, second, special, o, self.truncation_side):
                if o.windows:
                    columns.setdefault("overflow_to_sample_mapping", []).append(index)
                elif o.return_overflowing_tokens:
                    _add_overflow(columns, first, second, cut, special, o)
                a = first.cut(cut.first)
                b = None if second is None else second.cut(cut.second)
                _add_row(columns, a, b, ends, o)
                layout.first.append(len(a.ids))
                layout.second.append(None if b is None else len(b.ids))
                if o.is_split_into_words:
                    layout.words.append((a.words, None if b is None else b.words))
        lengths = list(map(len, columns["input_ids"]))
        self._log_long_rows(max(lengths), o)
        self._add_masks(columns, layout, lengths, o)
        target = self._pad_columns(columns, lengths, o)
        if target is not None:
            layout.padding = [max(target - n, 0) for n in lengths]
        if o.return_length:
            # Upstream counts the padding of a single text, and not that of a batch.
            padded = single and target is not None
            columns["length"] = [max(n, target) for n in lengths] if padded else lengths
        if o.return_tensors:
            return BatchEncoding(truncation.to_arrays(columns, o.return_tensors), layout)
        if single and not o.windows:
            return BatchEncoding({name: rows[0] for name, rows in columns.items()}, layout)
        return BatchEncoding(columns, layout)

    def _add_masks(
        self, columns: dict[str, list], layout: Layout, lengths: list[int], o: Options
    ) -> None:
        """Add the columns that depend on lengths only."""
        if o.return_attention_mask is not False:
            columns["attention_mask"] = [[1] * n for n in lengths]
        if not (o.return_token_type_ids or o.return_special_tokens_mask):
            return
        texts = zip(layout.first, layout.second, strict=True)
        zeros = [([0] * a, None if b is None else [0] * b) for a, b in texts]
        if o.return_token_type_ids:
            columns["token_type_ids"] = [
                self.create_token_type_ids_from_sequences(*row) for row in zeros
            ]
        if o.return_special_tokens_mask:
            columns["special_tokens_mask"] = [
                truncation.framed(*row, 1, 1)
                if o.add_special_tokens
                else [*row[0], *(row[1] or ())]
                for row in zeros
            ]

    def _check_pairs(self, seconds: list[Sequence | None], o: Options) -> None:
        single = None in seconds
        if o.truncation == "only_second" and single:
            raise ValueError(
                "truncation='only_second' needs a second text; pass text_pair, or "
                "truncation='only_first'"
            )
        paired = any(second is not None for second in seconds)
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

    def _log_long_rows(self, longest: int, o: Options) -> None:
        if o.truncates and longest > o.max_length:
            self._notices.log(
                "cut",
                f"a row has {longest} tokens although max_length={o.max_length}: with "
                f"truncation={o.truncation!r} the text that may be cut is too short; use "
                "'longest_first' or a larger max_length",
                o.verbose,
            )
        elif o.max_length is None and longest > self.model_max_length:
            self._notices.log(
                "long",
                f"a row has {longest} tokens and the model takes {self.model_max_length}; pass "
                "truncation=True, or return_overflowing_tokens='windows'",
                o.verbose,
            )


def _add_overflow(
    columns: dict[str, list],
    first: Sequence,
    second: Sequence | None,
    cut: truncation.Cut,
    special: int,
    o: Options,
) -> None:
    total = len(first.ids) + (len(second.ids) if second else 0) + special
    source = second if o.truncation == "only_second" else first
    columns.setdefault("overflowing_tokens", []).append(source.ids[cut.overflow])
    columns.setdefault("num_truncated_tokens", []).append(total - o.max_length)


def _add_row(
    columns: dict[str, list],
    first: Sequence,
    second: Sequence | None,
    ends: tuple[int, int],
    o: Options,
) -> None:
    second = Sequence(None) if second is None else second
    fields = [("input_ids", first.ids, second.ids, *ends)]
    if o.return_offsets_mapping:
        fields.append(("offset_mapping", first.offsets, second.offsets, (0, 0), (0, 0)))
    for name, a, b, opening, closing in fields:
        row = (
            truncation.framed(a, b, opening, closing) if o.add_special_tokens else [*a, *(b or ())]
        )
        columns.setdefault(name, []).append(row)
