"""Texts → the model's inputs: what a call of the tokenizer does, whatever it was given."""

from typing import Any

from numpy_erniem.tokenizer.batch_encoding import BatchEncoding
from numpy_erniem.tokenizer.input_builder import InputBuilder
from numpy_erniem.tokenizer.options import OPTION_NAMES, Options, refuse_unknown
from numpy_erniem.tokenizer.text_encoder import TextEncoder, check_text
from numpy_erniem.tokenizer.texts import as_list, value_of


class BatchEncoder:
    """Makes the model's inputs of a text, a pair of texts, or a batch of either.

    Parameters
    ----------
    text_encoder : TextEncoder
        Text → ids.
    input_builder : InputBuilder
        Ids → the model's inputs.
    """

    def __init__(self, text_encoder: TextEncoder, input_builder: InputBuilder) -> None:
        self.text_encoder = text_encoder
        self.input_builder = input_builder

    def __call__(
        self,
        text: Any = None,
        text_pair: Any = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool | str = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        split_special_tokens: bool | None = None,
        **unknown: Any,
    ) -> BatchEncoding:
        """Make the model's inputs of a text, a pair of texts, or a batch of either.

        Parameters
        ----------
        text, text_pair : str, list of str, or with `is_split_into_words` lists of words
            A batch of pairs is two lists, or as `text` one list of pairs (lists or tuples of two).
            An iterator, a NumPy array, or a column of pandas, polars, Arrow or datasets is a list.
        add_special_tokens : bool
            Put special tokens around texts: `[CLS] A [SEP]`, `[CLS] A [SEP] [SEP] B [SEP]`.
        padding : {False, True, "longest", "max_length"}
            Do not pad, pad to the longest row (True is "longest"), or to `max_length`, which
            without a value is what the model takes.
        truncation : {None, False, True, "longest_first", "only_first", "only_second"}
            Which text of a pair is cut to `max_length`; True is "longest_first". None cuts if
            `max_length` is given without padding, as upstream does, and logs a warning.
        max_length : int, optional
            Tokens per row, with special tokens. Default, and at most: what the model takes.
        stride : int
            How many tokens the overflow (or a window) shares with the part before it.
        is_split_into_words : bool
            A text is a list of words; each is tokenized by itself.
        pad_to_multiple_of : int, optional
            Round the padded length up to a multiple.
        return_tensors : {None, "np", "pt"}
            Lists, int64 arrays or torch tensors.
        return_token_type_ids : bool, optional
            Add `token_type_ids`. The model itself has no token types. Default: if they are among
            `model_input_names`.
        return_attention_mask : bool, optional
            Add `attention_mask`. Default: if it is among `model_input_names`.
        return_overflowing_tokens : {False, True, "windows"}
            True adds `overflowing_tokens` and `num_truncated_tokens` of each text, as upstream.
            "windows" makes several rows of a long text, which overlap by `stride`, and adds
            `overflow_to_sample_mapping`, the index of each row's text. Question answering over
            long documents needs it.
        return_special_tokens_mask : bool
            Add `special_tokens_mask`, 1 for special tokens and padding.
        return_offsets_mapping : bool
            Add `offset_mapping`, each token's start and end in its text (in its word, if the text
            was given as words); (0, 0) for special tokens and padding.
        return_length : bool
            Add `length`, of a batch's rows without padding, of a single text with padding.
        verbose : bool
            False: no warnings.
        split_special_tokens : bool, optional
            Treat special tokens in the text as ordinary text. Default: the tokenizer's attribute.

        Returns
        -------
        BatchEncoding
            `input_ids`, `attention_mask` and what was asked for.

        Raises
        ------
        TypeError
            A text that is not a str, a table in place of a list, or an unknown keyword.
        ValueError
            An empty batch, options that contradict each other, or an array of rows that differ in
            length.
        """
        refuse_unknown(unknown, OPTION_NAMES, "ErnieMTokenizer()")
        options = Options(
            add_special_tokens=add_special_tokens,
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            stride=stride,
            is_split_into_words=is_split_into_words,
            pad_to_multiple_of=pad_to_multiple_of,
            return_tensors=return_tensors,
            return_token_type_ids=return_token_type_ids,
            return_attention_mask=return_attention_mask,
            return_overflowing_tokens=return_overflowing_tokens,
            return_special_tokens_mask=return_special_tokens_mask,
            return_offsets_mapping=return_offsets_mapping,
            return_length=return_length,
            verbose=verbose,
            split_special_tokens=split_special_tokens,
        )
        if text is None:
            raise TypeError("a text is missing; pass a str or a list of str")
        text, text_pair = _taken(text, "text"), _taken(text_pair, "text_pair")
        if _is_batch(text, is_split_into_words):
            return self._encode_batch(text, text_pair, options)
        if not is_split_into_words:
            check_text(text)
            check_text("" if text_pair is None else text_pair)
        return self._encode([text], [text_pair], options, single=True)

    def encode_plus(self, text: Any, text_pair: Any = None, **options: Any) -> BatchEncoding:
        """Make the model's inputs of one text or pair; also of a list of tokens, or of ids.

        Options and errors as for the tokenizer's call.
        """
        o = Options.of(options, "encode_plus")
        return self._encode([text], [text_pair], o, single=True)

    def batch_encode_plus(
        self, batch_text_or_text_pairs: list[Any], **options: Any
    ) -> BatchEncoding:
        """Make the model's inputs of a list of texts, or of pairs (lists or tuples) of two texts.

        Options and errors as for the tokenizer's call.
        """
        o = Options.of(options, "batch_encode_plus")
        items = _taken(batch_text_or_text_pairs, "batch_text_or_text_pairs")
        if not isinstance(items, (list, tuple)):
            raise TypeError(
                f"batch_text_or_text_pairs is one {type(items).__name__}; pass a list, or call "
                "encode_plus"
            )
        return self._encode(*_split_pairs(items, o.is_split_into_words), o)

    def encode(self, text: Any, text_pair: Any = None, **options: Any) -> Any:
        """Ids of a text or pair, with special tokens; `tokenizer(...)["input_ids"]`.

        Options and errors as for the tokenizer's call.
        """
        o = Options.of(options, "encode")
        o.return_attention_mask = False
        return self._encode([text], [text_pair], o, single=True)["input_ids"]

    def _encode_batch(self, texts: Any, text_pair: Any, o: Options) -> BatchEncoding:
        if text_pair is None:
            texts, pairs = _split_pairs(texts, o.is_split_into_words)
        else:
            texts, pairs = list(texts), list(_check_pairs(text_pair, len(texts)))
        if not o.is_split_into_words:
            for item in (*texts, *pairs):
                # Where one list holds texts and pairs, a text has no second one.
                if type(item) is not str and (item is not None or text_pair is not None):
                    check_text(item)
        return self._encode(texts, pairs, o)

    def _encode(
        self, texts: list[Any], pairs: list[Any], o: Options, single: bool = False
    ) -> BatchEncoding:
        if not texts:
            raise ValueError("an empty batch has no rows; pass at least one text")
        how = o.is_split_into_words, o.return_offsets_mapping, o.split_special_tokens
        firsts = self.text_encoder.encode(texts, *how)
        paired = [text for text in pairs if text is not None]
        second = iter(self.text_encoder.encode(paired, *how) if paired else ())
        seconds = [None if text is None else next(second) for text in pairs]
        return self.input_builder.build(firsts, seconds, o, single)


def _taken(texts: Any, name: str) -> Any:
    """An iterator, a column or an array as a list, scalars of Arrow as str; all else as it is."""
    if isinstance(texts, (list, tuple)) and not all(type(item) is str for item in texts):
        return [*map(value_of, texts)]
    return as_list(texts, name)


def _is_batch(text: Any, is_split_into_words: bool) -> bool:
    """Whether a call's first argument is several texts: a list, of lists if texts are words."""
    if not isinstance(text, (list, tuple)):
        return False
    return not is_split_into_words or not text or isinstance(text[0], (list, tuple))


def _split_pairs(items: Any, is_split_into_words: bool) -> tuple[list[Any], list[Any]]:
    """First and second texts of a list of texts and pairs; None is a text that is not there."""
    firsts, seconds = [], []
    for item in items:
        is_words = is_split_into_words and not (item and isinstance(item[0], (list, tuple)))
        if is_words or not isinstance(item, (list, tuple)):
            item = item, None
        elif len(item) != 2:
            raise ValueError(
                f"an element of a batch is a text or a pair of two texts, got {len(item)}: "
                f"{item!r:.60}; pass words with is_split_into_words=True"
            )
        firsts.append(item[0])
        seconds.append(item[1])
    return firsts, seconds


def _check_pairs(text_pair: Any, size: int) -> Any:
    """Return the second texts of a batch, and check that there are as many as first texts."""
    if not isinstance(text_pair, (list, tuple)):
        raise TypeError(
            f"text is a batch of {size}, so text_pair is a list too; got "
            f"{type(text_pair).__name__} {text_pair!r:.60}"
        )
    if len(text_pair) != size:
        raise ValueError(
            f"text has {size} elements and text_pair {len(text_pair)}; pass one for each text"
        )
    return text_pair
