"""Token ids → the model's inputs: special tokens, truncation, masks."""

from collections.abc import Iterable
from typing import Any

from numpy_erniem.tokenizer.batch_encoding import BatchEncoding
from numpy_erniem.tokenizer.lengths import (
    EVERYTHING,
    UNCUT,
    Cut,
    LengthLimits,
    TokenizedText,
    truncate,
    windows,
)
from numpy_erniem.tokenizer.options import Options, check_options, check_side
from numpy_erniem.tokenizer.padder import Padder
from numpy_erniem.tokenizer.rows import (
    RowLayout,
    build_inputs,
    num_special_tokens,
    token_types,
)
from numpy_erniem.tokenizer.special_tokens import SpecialTokens
from numpy_erniem.tokenizer.tensors import to_arrays


class InputBuilder:
    """Makes the model's inputs of texts that are tokenized.

    Parameters
    ----------
    special_tokens : SpecialTokens
        Its `cls_token_id` and `sep_token_id` are put around texts.
    padder : Padder, optional
        Default: one that pads on the right.
    limits : LengthLimits, optional
        Default: 512 tokens.
    truncation_side : {"right", "left"}
        Where a text that is too long is cut.

    Examples
    --------
    >>> from numpy_erniem.tokenizer.vocabulary import Vocabulary
    >>> builder = InputBuilder(SpecialTokens(Vocabulary(["[CLS]", "[PAD]", "[SEP]", "[UNK]"])))
    >>> builder.build([TokenizedText([7, 8])], [None], Options(), single=True)
    {'input_ids': [0, 7, 8, 2], 'attention_mask': [1, 1, 1, 1]}
    """

    def __init__(
        self,
        special_tokens: SpecialTokens,
        padder: Padder | None = None,
        limits: LengthLimits | None = None,
        truncation_side: str = "right",
    ) -> None:
        self.special_tokens = special_tokens
        self.padder = Padder(special_tokens) if padder is None else padder
        self.limits = LengthLimits() if limits is None else limits
        self.truncation_side = check_side(truncation_side, "truncation_side")

    def build(
        self,
        firsts: list[TokenizedText],
        seconds: list[TokenizedText | None],
        options: Options,
        single: bool = False,
    ) -> BatchEncoding:
        """Make rows of tokenized texts.

        Parameters
        ----------
        firsts, seconds : list of TokenizedText
            The texts of each row; None where there is no second text.
        options : Options
            Changed in place by `check_options`.
        single : bool
            The texts are one row: give values, not lists of one row.

        Returns
        -------
        BatchEncoding
            `input_ids`, and what the options ask for.

        Raises
        ------
        ValueError
            Options that contradict each other or the texts.
        """
        o = check_options(options, self.limits)
        self._check_pairs(seconds, o)
        side = check_side(self.truncation_side, "truncation_side")
        columns: dict[str, Any] = {}
        layout = RowLayout(
            o.add_special_tokens, self.padder.padding_side, token_of=self.special_tokens.token_of
        )
        ends = self.ends() if o.add_special_tokens else (0, 0)
        for index, (first, second) in enumerate(zip(firsts, seconds, strict=True)):
            special = num_special_tokens(second is not None) if o.add_special_tokens else 0
            for cut in cuts(first, second, special, o, side):
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
        o.return_attention_mask = self.padder.wants("attention_mask", o.return_attention_mask)
        o.return_token_type_ids = self.padder.wants("token_type_ids", o.return_token_type_ids)
        _add_masks(columns, layout, lengths, o)
        target = self.padder.pad_columns(columns, lengths, o)
        if target is not None:
            layout.padding = [max(target - n, 0) for n in lengths]
        if o.return_length:
            # Upstream counts the padding of a single text, and not that of a batch.
            padded = single and target is not None
            columns["length"] = [max(n, target) for n in lengths] if padded else lengths
        if o.return_tensors:
            return BatchEncoding(to_arrays(columns, o.return_tensors), layout=layout)
        if single and not o.windows:
            return BatchEncoding({name: rows[0] for name, rows in columns.items()}, layout=layout)
        return BatchEncoding(columns, layout=layout)

    def ends(self) -> tuple[int, int]:
        """Ids of the tokens around texts, [CLS] and [SEP].

        Raises
        ------
        ValueError
            A token that is unset.
        """
        ids = []
        for name in ("cls_token", "sep_token"):
            token = getattr(self.special_tokens, name)
            if token is None:
                raise ValueError(
                    f"{name} is None, and special tokens are put around every text; set it, or "
                    "pass add_special_tokens=False"
                )
            ids.append(self.special_tokens.id_of(token))
        return ids[0], ids[1]

    def _check_pairs(self, seconds: list[TokenizedText | None], o: Options) -> None:
        if o.truncation == "only_second" and None in seconds:
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
        special = num_special_tokens(paired) * o.add_special_tokens
        if o.truncates and o.max_length < special:
            raise ValueError(
                f"max_length={o.max_length} leaves no room for the {special} special tokens; "
                f"choose at least {special}, or add_special_tokens=False"
            )

    def _log_long_rows(self, longest: int, o: Options) -> None:
        if o.truncates and longest > o.max_length:
            self.limits.warn_once.log(
                "cut",
                f"a row has {longest} tokens although max_length={o.max_length}: with "
                f"truncation={o.truncation!r} the text that may be cut is too short; use "
                "'longest_first' or a larger max_length",
                o.verbose,
            )
        elif o.max_length is None and longest > self.limits.model_max_length:
            self.limits.warn_once.log(
                "long",
                f"a row has {longest} tokens and the model takes {self.limits.model_max_length}; "
                "pass truncation=True, or return_overflowing_tokens='windows'",
                o.verbose,
            )


def cuts(
    first: TokenizedText, second: TokenizedText | None, special: int, o: Options, side: str
) -> Iterable[Cut]:
    """List the rows that one or two texts become: one, or one per window.

    Parameters
    ----------
    first, second : TokenizedText
        `second` is None where there is no second text.
    special : int
        How many special tokens are put around them.
    o : Options
        After `check_options`.
    side : {"right", "left"}
        Where a text is cut.

    Returns
    -------
    iterable of Cut
    """
    lengths = len(first.ids), None if second is None else len(second.ids)
    total = lengths[0] + (lengths[1] or 0) + special
    if not o.truncates or total <= o.max_length:
        return UNCUT
    if not o.windows:
        return [truncate(*lengths, total - o.max_length, o.truncation, o.stride, side)]
    long = lengths[1] if o.truncation == "only_second" else lengths[0]
    parts = windows(long, o.max_length - (total - long), o.stride, side)
    if o.truncation == "only_second":
        return [Cut(EVERYTHING, part) for part in parts]
    return [Cut(part, EVERYTHING) for part in parts]


def _add_overflow(
    columns: dict[str, Any],
    first: TokenizedText,
    second: TokenizedText | None,
    cut: Cut,
    special: int,
    o: Options,
) -> None:
    total = len(first.ids) + (len(second.ids) if second else 0) + special
    source = second if o.truncation == "only_second" else first
    columns.setdefault("overflowing_tokens", []).append(source.ids[cut.overflow])
    columns.setdefault("num_truncated_tokens", []).append(total - o.max_length)


def _add_row(
    columns: dict[str, Any],
    first: TokenizedText,
    second: TokenizedText | None,
    ends: tuple[int, int],
    o: Options,
) -> None:
    second = TokenizedText(None) if second is None else second
    fields = [("input_ids", first.ids, second.ids, *ends)]
    if o.return_offsets_mapping:
        fields.append(("offset_mapping", first.offsets, second.offsets, (0, 0), (0, 0)))
    for name, a, b, cls, sep in fields:
        row = build_inputs(a, b, cls, sep) if o.add_special_tokens else [*a, *(b or ())]
        columns.setdefault(name, []).append(row)


def _add_masks(columns: dict[str, Any], layout: RowLayout, lengths: list[int], o: Options) -> None:
    """Add the columns that depend on the numbers of tokens only."""
    if o.return_attention_mask:
        columns["attention_mask"] = [[1] * n for n in lengths]
    texts = list(zip(layout.first, layout.second, strict=True))
    if o.return_token_type_ids and not o.add_special_tokens:
        columns["token_type_ids"] = [[0] * n for n in lengths]
    elif o.return_token_type_ids:
        columns["token_type_ids"] = [token_types(a, b) for a, b in texts]
    if o.return_special_tokens_mask and not o.add_special_tokens:
        columns["special_tokens_mask"] = [[0] * n for n in lengths]
    elif o.return_special_tokens_mask:
        columns["special_tokens_mask"] = [
            build_inputs([0] * a, None if b is None else [0] * b, 1, 1) for a, b in texts
        ]
