"""Rows made step by step from ids that the caller has, as upstream's methods do it."""

from typing import Any

from numpy_erniem.tokenizer.batch_encoding import BatchEncoding
from numpy_erniem.tokenizer.input_builder import InputBuilder
from numpy_erniem.tokenizer.lengths import TokenizedText, truncate
from numpy_erniem.tokenizer.options import TRUNCATION, Options, check_integer, strategy
from numpy_erniem.tokenizer.pieces import Span
from numpy_erniem.tokenizer.rows import build_inputs, num_special_tokens, token_types
from numpy_erniem.tokenizer.tensors import to_arrays


class ManualRows:
    """Puts special tokens around ids, and makes the columns that belong to them.

    Parameters
    ----------
    input_builder : InputBuilder
        Has the special tokens and the options.
    """

    def __init__(self, input_builder: InputBuilder) -> None:
        self.input_builder = input_builder

    def prepare_for_model(
        self, ids: list[int], pair_ids: list[int] | None = None, **options: Any
    ) -> BatchEncoding:
        """Make the model's inputs of ids; options and errors as for the tokenizer's call.

        Parameters
        ----------
        ids, pair_ids : list of int
            Without special tokens.
        prepend_batch_axis : bool
            Return arrays of one row, (1, T), rather than (T,).
        """
        prepend = options.pop("prepend_batch_axis", False)
        o = Options.of(options, "prepare_for_model")
        second = None if pair_ids is None else TokenizedText(list(pair_ids))
        tensors, o.return_tensors = o.return_tensors, None
        encoding = self.input_builder.build([TokenizedText(list(ids))], [second], o, single=True)
        if tensors:
            rows = {key: [value] if prepend else value for key, value in encoding.items()}
            encoding.update(to_arrays(rows, tensors))
        return encoding

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Put special tokens around ids: `[CLS] A [SEP]`, or `[CLS] A [SEP] [SEP] B [SEP]`."""
        return build_inputs(token_ids_0, token_ids_1, *self.input_builder.ends())

    def build_offset_mapping_with_special_tokens(
        self, offset_mapping_0: list[Span], offset_mapping_1: list[Span] | None = None
    ) -> list[Span]:
        """Put the offsets of special tokens, (0, 0), around those of texts."""
        return build_inputs(offset_mapping_0, offset_mapping_1, (0, 0), (0, 0))

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Types of the tokens of a row: 0 for `[CLS] A`, 1 for `[SEP] [SEP] B [SEP]`.

        All tokens of a single text have type 0, as upstream.
        """
        return token_types(len(token_ids_0), None if token_ids_1 is None else len(token_ids_1))

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many special tokens are put around a single text (2) or a pair (4)."""
        return num_special_tokens(pair)

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
            `token_ids_0` is a row with its special tokens. All of them are marked, also [PAD] and
            [MASK]. (Upstream marks [CLS] and [SEP] only.)

        Returns
        -------
        list of int

        Raises
        ------
        ValueError
            A second text beside a row that has its special tokens.
        """
        if not already_has_special_tokens:
            second = None if token_ids_1 is None else [0] * len(token_ids_1)
            return build_inputs([0] * len(token_ids_0), second, 1, 1)
        if token_ids_1 is not None:
            raise ValueError(
                "already_has_special_tokens=True takes one row that has them, got token_ids_1 too; "
                "pass the whole row as token_ids_0"
            )
        special = set(self.input_builder.special_tokens.all_special_ids)
        return [int(i in special) for i in token_ids_0]

    def truncate_sequences(
        self,
        ids: list[int],
        pair_ids: list[int] | None = None,
        num_tokens_to_remove: int = 0,
        truncation_strategy: str = "longest_first",
        stride: int = 0,
    ) -> tuple[list[int], list[int] | None, list[int]]:
        """Remove tokens from one or both texts.

        Parameters
        ----------
        ids, pair_ids : list of int
            Without special tokens.
        num_tokens_to_remove : int
        truncation_strategy : {"longest_first", "only_first", "only_second", "do_not_truncate"}
        stride : int
            How many of the tokens that stay are repeated in the overflow.

        Returns
        -------
        ids, pair_ids, overflowing_tokens : list of int
            The overflow of a pair cut by "longest_first" is empty.

        Raises
        ------
        ValueError
            An unknown strategy.
        """
        name = strategy(truncation_strategy, TRUNCATION, "truncation_strategy")
        check_integer(stride, "stride", 0)
        lengths = len(ids), None if pair_ids is None else len(pair_ids)
        side = self.input_builder.truncation_side
        cut = truncate(*lengths, num_tokens_to_remove, name, stride, side)
        source = pair_ids if name == "only_second" else ids
        overflow = source[cut.overflow] if source is not None else []
        return ids[cut.first], None if pair_ids is None else pair_ids[cut.second], overflow
