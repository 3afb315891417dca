"""ErnieMTokenizer: text → the model's inputs, and back."""

from __future__ import annotations

import os
from typing import Any

from numpy_erniem.tokenizer import files
from numpy_erniem.tokenizer.batch_encoding import BatchEncoding
from numpy_erniem.tokenizer.decoder import Vocabulary
from numpy_erniem.tokenizer.input_builder import InputBuilder
from numpy_erniem.tokenizer.notices import Notices
from numpy_erniem.tokenizer.options import OPTION_NAMES, Options, check_side, refuse_unknown
from numpy_erniem.tokenizer.saving import Saving
from numpy_erniem.tokenizer.special_tokens import SPECIAL_TOKENS
from numpy_erniem.tokenizer.text_encoder import TextEncoder, check_text

SAMPLING = ("enable_sampling", "nbest_size", "alpha", "num_threads")


class ErnieMTokenizer(TextEncoder, Vocabulary, InputBuilder, Saving):
    """The tokenizer of ERNIE-M: SentencePiece, then cuts at ideographs, punctuation and digits.

    Parameters
    ----------
    sentencepiece_model_ckpt : path
        The SentencePiece model, ``sentencepiece.bpe.model``.
    vocab_file : path, optional
        ``vocab.txt``, one token a line. Without it tokens are numbered by SentencePiece id, which
        is not what published checkpoints use.
    do_lower_case : bool
        Lower the text, but not the special tokens in it.
    encoding : str
        Of ``vocab.txt``.
    unk_token, sep_token, pad_token, cls_token, mask_token : str or AddedToken
    sp_model_kwargs : dict, optional
        ``enable_sampling``, ``nbest_size`` and ``alpha`` draw another segmentation at each call;
        ``num_threads`` lets SentencePiece work on several texts of a batch at once.
    model_max_length : int, optional
        How many tokens the model takes. 512 if left out, and for the 514 of published files.
    padding_side, truncation_side : {"right", "left"}
    bare_underline : {"hf", "paddle"}
        Which pieces that are only "▁" become tokens: "hf" keeps those inside a text, "paddle" none
        (UIE-M checkpoints were trained so).
    cut_pieces : bool
        False leaves SentencePiece's pieces whole, for checkpoints of the XLM-R family.
    clean_up_tokenization_spaces : bool
        Whether `decode` takes away the space in front of English punctuation.
    split_special_tokens : bool
        Treat special tokens written in a text as ordinary text.
    bos_token, eos_token, additional_special_tokens
        Further special tokens, added to the vocabulary where it lacks them.
    added_tokens_decoder : dict, optional
        Id → added token, as tokenizer_config.json stores it.
    **extra
        Kept, and written back by `save_pretrained`.

    Raises
    ------
    FileNotFoundError
        If a file does not exist.
    ValueError
        If a file is damaged, the two do not belong together, or an option has no such value.

    Notes
    -----
    Encoding is safe to call from several threads; changing the tokenizer at the same time is not.
    """

    is_fast = False
    model_input_names = ("input_ids", "attention_mask")

    def __init__(
        self,
        sentencepiece_model_ckpt: str | os.PathLike[str],
        vocab_file: str | os.PathLike[str] | None = None,
        do_lower_case: bool = False,
        encoding: str = "utf8",
        unk_token: Any = "[UNK]",
        sep_token: Any = "[SEP]",
        pad_token: Any = "[PAD]",
        cls_token: Any = "[CLS]",
        mask_token: Any = "[MASK]",
        sp_model_kwargs: dict[str, Any] | None = None,
        model_max_length: int | None = None,
        padding_side: str = "right",
        truncation_side: str = "right",
        bare_underline: str = "hf",
        cut_pieces: bool = True,
        clean_up_tokenization_spaces: bool = True,
        split_special_tokens: bool = False,
        bos_token: Any = None,
        eos_token: Any = None,
        additional_special_tokens: Any = None,
        added_tokens_decoder: dict[Any, Any] | None = None,
        **extra: Any,
    ) -> None:
        self.sp_model_kwargs = _check_sampling(sp_model_kwargs or {})
        self.do_lower_case = do_lower_case
        self.encoding = encoding
        self.bare_underline = bare_underline
        self.cut_pieces = cut_pieces
        self.padding_side = check_side(padding_side, "padding_side")
        self.truncation_side = check_side(truncation_side, "truncation_side")
        self.clean_up_tokenization_spaces = clean_up_tokenization_spaces
        self.split_special_tokens = split_special_tokens
        self.extra = extra
        self._notices = Notices()
        self.model_max_length = model_max_length
        self.sp_model = files.load_sentencepiece(sentencepiece_model_ckpt)
        self.sentencepiece_model_ckpt = os.fspath(sentencepiece_model_ckpt)
        self.vocab_file = None if vocab_file is None else os.fspath(vocab_file)
        self._lines = files.load_tokens(self.sp_model, vocab_file, encoding)
        self.vocab = dict(zip(self._lines, range(len(self._lines)), strict=True))
        if vocab_file is not None:
            files.check_belong_together(self.sp_model, self.vocab, self.vocab_file)
        given = locals()
        self._init_special_tokens({n: given[n] for n in SPECIAL_TOKENS}, added_tokens_decoder)

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
        **unknown: Any,
    ) -> BatchEncoding:
        """Make the model's inputs of a text, a pair of texts, or a batch of either.

        Parameters
        ----------
        text, text_pair : str, list of str, or with `is_split_into_words` lists of words
        add_special_tokens : bool
            Frame: ``[CLS] A [SEP]``, ``[CLS] A [SEP] [SEP] B [SEP]``.
        padding : {False, True, "longest", "max_length"}
            Pad to nothing, to the longest row, or to `max_length`.
        truncation : {None, False, True, "longest_first", "only_first", "only_second"}
            Which text of a pair is cut to `max_length`; True is "longest_first". None cuts if
            `max_length` is given without padding, as upstream does, with a warning.
        max_length : int, optional
            Tokens per row, special ones included; left out, and at most, what the model takes.
        stride : int
            How many tokens the overflow (or a window) shares with what comes before it.
        is_split_into_words : bool
            A text is a list of words; each is tokenized by itself.
        pad_to_multiple_of : int, optional
            Round the padded length up.
        return_tensors : {None, "np", "pt"}
            Lists, int64 arrays or torch tensors.
        return_token_type_ids : bool
            Add ``token_type_ids``; the model itself has no token types.
        return_attention_mask : bool, optional
            False leaves ``attention_mask`` out, as upstream does by default.
        return_overflowing_tokens : {False, True, "windows"}
            True adds ``overflowing_tokens`` and ``num_truncated_tokens`` of each text, as upstream.
            "windows" makes of a long text several rows that overlap by `stride`, and adds
            ``overflow_to_sample_mapping``, the index of each row's text: what question answering
            over long documents needs. It is a value of its own because the two results have
            different shapes, and code written for upstream must go on to work.
        return_special_tokens_mask : bool
            Add ``special_tokens_mask``, 1 where a special token or padding stands.
        return_offsets_mapping : bool
            Add ``offset_mapping``: each token's span of characters in its text (in its word, if the
            text was given as words); (0, 0) for special tokens and padding.
        return_length : bool
            Add ``length``: of a batch's rows without padding, of a single text with it.
        verbose : bool
            False: no warnings.

        Returns
        -------
        BatchEncoding
            ``input_ids``, ``attention_mask`` and what was asked for.

        Raises
        ------
        TypeError
            If a text is no str, or a keyword is unknown (the nearest one is named).
        ValueError
            If the batch is empty, options contradict each other, or ragged rows were to become an
            array.
        """
        refuse_unknown(unknown, OPTION_NAMES, "ErnieMTokenizer()")
        given = locals()
        options = Options(**{name: given[name] for name in OPTION_NAMES})
        if text is None:
            raise TypeError("a text is missing; pass a str or a list of str")
        batched = isinstance(text, (list, tuple))
        if batched and is_split_into_words:
            batched = not text or isinstance(text[0], (list, tuple))
        if not batched:
            if not is_split_into_words:
                check_text(text)
                if text_pair is not None:
                    check_text(text_pair)
            return self._encode([text], [text_pair], options, single=True)
        for item in () if is_split_into_words else (*text, *_pairs_of(text_pair, len(text))):
            if type(item) is not str:
                check_text(item)
        pairs = [None] * len(text) if text_pair is None else list(text_pair)
        return self._encode(list(text), pairs, options)

    def encode_plus(self, text: Any, text_pair: Any = None, **options: Any) -> BatchEncoding:
        """Make the model's inputs of one text or pair; also of a list of tokens, or of ids.

        Options and errors as for the tokenizer's call.
        """
        o = Options.of(options, "encode_plus")
        return self._encode([text], [text_pair], o, single=True)

    def batch_encode_plus(
        self, batch_text_or_text_pairs: list[Any], **options: Any
    ) -> BatchEncoding:
        """Make the model's inputs of a list of texts, or of tuples of two texts.

        Options and errors as for the tokenizer's call.
        """
        o = Options.of(options, "batch_encode_plus")
        pairs = []
        for item in batch_text_or_text_pairs:
            words = o.is_split_into_words and not (item and isinstance(item[0], (list, tuple)))
            if words or not isinstance(item, (list, tuple)):
                pairs.append((item, None))
            elif len(item) == 2:
                pairs.append(tuple(item))
            else:
                raise ValueError(
                    f"an element of a batch is a text or a pair of two, got {len(item)}: "
                    f"{item!r:.60}"
                )
        return self._encode([a for a, _ in pairs], [b for _, b in pairs], o)

    def encode(self, text: Any, text_pair: Any = None, **options: Any) -> Any:
        """Ids of a text or pair, framed; ``tokenizer(...)["input_ids"]``.

        Options and errors as for the tokenizer's call.
        """
        o = Options.of(options, "encode")
        o.return_attention_mask = False
        return self._encode([text], [text_pair], o, single=True)["input_ids"]

    def _encode(
        self, texts: list[Any], pairs: list[Any], o: Options, single: bool = False
    ) -> BatchEncoding:
        if not texts:
            raise ValueError("an empty batch has no rows; pass at least one text")
        first = self._sequences(texts, o)
        paired = [text for text in pairs if text is not None]
        second = iter(self._sequences(paired, o) if paired else ())
        seconds = [None if text is None else next(second) for text in pairs]
        return self._frame(first, seconds, o, single)

    def __repr__(self) -> str:
        return (
            f"ErnieMTokenizer(vocab_size={self.vocab_size}, "
            f"model_max_length={self.model_max_length}, padding_side={self.padding_side!r}, "
            f"truncation_side={self.truncation_side!r}, special_tokens={self.special_tokens_map})"
        )


def _pairs_of(text_pair: Any, size: int) -> Any:
    """Return the second texts of a batch.

    Raises
    ------
    TypeError
        If it is one text.
    ValueError
        If their number is not that of the first texts.
    """
    if text_pair is None:
        return ()
    if not isinstance(text_pair, (list, tuple)):
        raise TypeError(
            f"text is a batch of {size}, so text_pair is a list too; got "
            f"{type(text_pair).__name__} {text_pair!r:.60}"
        )
    if len(text_pair) != size:
        raise ValueError(
            f"text has {size} elements and text_pair {len(text_pair)}; they go in pairs"
        )
    return text_pair


def _check_sampling(settings: dict[str, Any]) -> dict[str, Any]:
    refuse_unknown(settings, SAMPLING, "sp_model_kwargs")
    if settings.get("enable_sampling") and settings.get("nbest_size") in (0, 1):
        raise ValueError(
            f"nbest_size={settings['nbest_size']} leaves nothing to sample from; use -1 for all "
            "segmentations, or a number above 1"
        )
    return dict(settings)
