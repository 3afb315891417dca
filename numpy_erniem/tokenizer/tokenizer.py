"""ErnieMTokenizer: text → the model's inputs, and back.

Longer than other modules because it documents what users call; the parts do the work.
"""

import copy
import os
from collections.abc import Iterable
from types import MappingProxyType
from typing import Any, TypeVar

from numpy_erniem.checkpoint.hub import resolve_folder
from numpy_erniem.checkpoint.keywords import (
    NEVER_STORED,
    SAVING,
    take_hub_keywords,
    take_ignored,
)
from numpy_erniem.tokenizer import files
from numpy_erniem.tokenizer.attributes import PartAttribute, TextOption, part_method
from numpy_erniem.tokenizer.batch_encoding import BatchEncoding
from numpy_erniem.tokenizer.decoder import Decoder, plain_ids
from numpy_erniem.tokenizer.input_builder import InputBuilder
from numpy_erniem.tokenizer.length_limits import LengthLimits
from numpy_erniem.tokenizer.options import (
    OPTION_NAMES,
    TRUNCATION,
    Options,
    check_integer,
    keyword_names,
    refuse_unknown,
    strategy,
)
from numpy_erniem.tokenizer.padder import MODEL_INPUT_NAMES, Padder
from numpy_erniem.tokenizer.pieces import Span
from numpy_erniem.tokenizer.row_layout import build_inputs, num_special_tokens, token_types
from numpy_erniem.tokenizer.special_tokens import DEFAULT_TOKENS, SpecialTokens
from numpy_erniem.tokenizer.text_encoder import TextEncoder, check_text
from numpy_erniem.tokenizer.text_options import TextOptions
from numpy_erniem.tokenizer.truncation import truncate
from numpy_erniem.tokenizer.vocabulary import AddedToken

T = TypeVar("T", bound="ErnieMTokenizer")


class ErnieMTokenizer:
    """The tokenizer of ERNIE-M: SentencePiece, then cuts at ideographs, punctuation and digits.

    Parameters
    ----------
    sentencepiece_model_ckpt : path
        The SentencePiece model, `sentencepiece.bpe.model`.
    vocab_file : path, optional
        `vocab.txt`, one token a line. Without it tokens are numbered by SentencePiece id, which is
        not what published checkpoints use.
    do_lower_case : bool
        Lower the text, but not the special tokens in it.
    encoding : str
        Of `vocab.txt`.
    unk_token, sep_token, pad_token, cls_token, mask_token : str or AddedToken
    sp_model_kwargs : dict, optional
        `enable_sampling`, `nbest_size` and `alpha` draw another segmentation at each call;
        `num_threads` lets SentencePiece work on several texts of a batch at once.
    model_max_length : int, optional
        How many tokens the model takes. Default, and where published files say 514: 512.
    padding_side, truncation_side : {"right", "left"}
    bare_underline : {"hf", "paddle"}
        Which pieces that are only "▁" (U+2581) become tokens: "hf" keeps those inside a text,
        "paddle" keeps none (for UIE-M checkpoints, which were trained so).
    cut_pieces : bool
        False keeps SentencePiece's pieces whole, for checkpoints of the XLM-R family.
    lower_special_tokens : bool
        `do_lower_case` lowers the whole text with `str.lower`, the special tokens in it too, as
        sentence-transformers does.
    final_underline : bool
        A text that ends in white space gets a last token "▁", as some tokenizers of the XLM-R
        family do.
    marks_alone : bool
        Normalise letters and their combining marks as the library `tokenizers` does, for
        checkpoints that came with a tokenizer.json.
    clean_up_tokenization_spaces : bool
        Whether `decode` removes the space in front of English punctuation.
    split_special_tokens : bool
        Treat special tokens that are written in a text as ordinary text.
    bos_token, eos_token, additional_special_tokens
        Further special tokens, added to the vocabulary if it lacks them.
    added_tokens_decoder : dict, optional
        Id → added token, as `tokenizer_config.json` stores it.
    model_input_names : list of str
        Which inputs the model takes. A call makes those of `attention_mask` and `token_type_ids`
        that are among them, unless it says otherwise.
    verbose : bool
        False: no call warns. It is not saved.

    Attributes
    ----------
    extra : dict
        Keys of `tokenizer_config.json` that are no arguments; `save_pretrained` writes them back.
    name_or_path : str
        What `from_pretrained` was given; "" for a tokenizer that was made otherwise.
    vocabulary : Vocabulary
        The tokens of `vocab.txt`.
    special_tokens : SpecialTokens
        Special tokens, and tokens added behind the vocabulary.
    text_encoder : TextEncoder
        Text → ids.
    decoder : Decoder
        Ids → text.
    padder : Padder
    input_builder : InputBuilder
        Ids → the model's inputs.
    limits : LengthLimits

    Raises
    ------
    FileNotFoundError
        A file that does not exist.
    ValueError
        A damaged file, two files that do not belong together, or an option without such a value.
    TypeError
        An unknown keyword; the message names the nearest known one.

    Notes
    -----
    Encoding is safe from several threads. Changing the tokenizer at the same time is not.
    """

    is_fast = False
    init_inputs = ()
    vocab_files_names = MappingProxyType(
        {"vocab_file": files.VOCAB_FILE, "sentencepiece_model_ckpt": files.MODEL_FILE}
    )

    do_lower_case = TextOption[bool]("Lower the text, but not the special tokens in it.")
    split_special_tokens = TextOption[bool]("Treat special tokens in a text as ordinary text.")
    cut_pieces = TextOption[bool]("Cut SentencePiece's pieces by ERNIE-M's rules.")
    lower_special_tokens = TextOption[bool]("`do_lower_case` lowers special tokens too.")
    final_underline = TextOption[bool]('White space at the end becomes a token "▁".')
    marks_alone = TextOption[bool]("Normalise combining marks as `tokenizers` does.")
    bare_underline = TextOption[str]('Which bare "▁" become tokens: "hf" or "paddle".')
    sp_model_kwargs = TextOption[dict[str, Any]]("Options of SentencePiece; set another dict.")
    sp_model = PartAttribute[Any]("text_encoder", "The SentencePieceProcessor.")
    padding_side = PartAttribute[str]("padder", 'Where padding goes: "right" or "left".')
    pad_token_type_id = PartAttribute[int]("padder", "What pads `token_type_ids`.")
    model_input_names = PartAttribute[list[str]]("padder", "Which inputs the model takes.")
    truncation_side = PartAttribute[str]("input_builder", 'Where texts are cut: "right", "left".')
    model_max_length = PartAttribute[int]("limits", "How many tokens the model takes.")
    verbose = PartAttribute[bool]("limits", "False: no call warns.")
    clean_up_tokenization_spaces = PartAttribute[bool]("decoder", "Default of `decode`.")

    bos_token = PartAttribute[str | None]("special_tokens", "Text of the BOS token, or None.")
    eos_token = PartAttribute[str | None]("special_tokens", "Text of the EOS token, or None.")
    unk_token = PartAttribute[str | None]("special_tokens", "Text of the UNK token, or None.")
    sep_token = PartAttribute[str | None]("special_tokens", "Text of the SEP token, or None.")
    pad_token = PartAttribute[str | None]("special_tokens", "Text of the PAD token, or None.")
    cls_token = PartAttribute[str | None]("special_tokens", "Text of the CLS token, or None.")
    mask_token = PartAttribute[str | None]("special_tokens", "Text of the MASK token, or None.")
    bos_token_id = PartAttribute[int | None]("special_tokens", "Id of `bos_token`, or None.")
    eos_token_id = PartAttribute[int | None]("special_tokens", "Id of `eos_token`, or None.")
    unk_token_id = PartAttribute[int | None]("special_tokens", "Id of `unk_token`, or None.")
    sep_token_id = PartAttribute[int | None]("special_tokens", "Id of `sep_token`, or None.")
    pad_token_id = PartAttribute[int | None]("special_tokens", "Id of `pad_token`, or None.")
    cls_token_id = PartAttribute[int | None]("special_tokens", "Id of `cls_token`, or None.")
    mask_token_id = PartAttribute[int | None]("special_tokens", "Id of `mask_token`, or None.")
    additional_special_tokens = PartAttribute[list[str] | None](
        "special_tokens", "Others, without name."
    )
    additional_special_tokens_ids = PartAttribute[list[int] | None]("special_tokens", "Their ids.")
    special_tokens_map = PartAttribute[dict[str, Any]]("special_tokens", "Name → text.")
    all_special_tokens = PartAttribute[list[str]]("special_tokens", "Every special token, once.")
    all_special_ids = PartAttribute[list[int]]("special_tokens", "Ids of `all_special_tokens`.")
    added_tokens_encoder = PartAttribute[dict[str, int]]("special_tokens", "Added token → id.")
    added_tokens_decoder = PartAttribute[dict[int, AddedToken]](
        "special_tokens", "Id → added token."
    )

    tokenize = part_method("text_encoder", TextEncoder.tokenize)
    convert_ids_to_tokens = part_method("decoder", Decoder.convert_ids_to_tokens)
    convert_tokens_to_string = part_method("decoder", Decoder.convert_tokens_to_string)
    decode = part_method("decoder", Decoder.decode)
    batch_decode = part_method("decoder", Decoder.batch_decode)
    prepare_for_model = part_method("input_builder", InputBuilder.prepare_for_model)
    get_special_tokens_mask = part_method("input_builder", InputBuilder.get_special_tokens_mask)
    pad = part_method("padder", Padder.pad)
    add_special_tokens = part_method("special_tokens", SpecialTokens.add_special_tokens)

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
        lower_special_tokens: bool = False,
        final_underline: bool = False,
        marks_alone: bool = False,
        clean_up_tokenization_spaces: bool = True,
        split_special_tokens: bool = False,
        bos_token: Any = None,
        eos_token: Any = None,
        additional_special_tokens: Any = None,
        added_tokens_decoder: dict[Any, Any] | None = None,
        model_input_names: list[str] | tuple[str, ...] = MODEL_INPUT_NAMES,
        verbose: bool = True,
        **unknown: Any,
    ) -> None:
        refuse_unknown(unknown, ARGUMENTS, "ErnieMTokenizer()")
        text_options = TextOptions(
            do_lower_case,
            split_special_tokens,
            cut_pieces,
            bare_underline,
            lower_special_tokens,
            final_underline,
            marks_alone,
            sp_model_kwargs or {},
        )
        tokens = {
            "bos_token": bos_token,
            "eos_token": eos_token,
            "unk_token": unk_token,
            "sep_token": sep_token,
            "pad_token": pad_token,
            "cls_token": cls_token,
            "mask_token": mask_token,
            "additional_special_tokens": additional_special_tokens,
        }
        self.sentencepiece_model_ckpt = os.fspath(sentencepiece_model_ckpt)
        self.vocab_file = None if vocab_file is None else os.fspath(vocab_file)
        self.encoding = encoding
        self.extra: dict[str, Any] = {}
        self.name_or_path = ""
        self.limits = LengthLimits(model_max_length, verbose)
        processor = files.load_sentencepiece(sentencepiece_model_ckpt)
        self.vocabulary = files.load_vocabulary(processor, vocab_file, encoding)
        special = SpecialTokens(self.vocabulary, tokens, added_tokens_decoder)
        self.special_tokens = special
        self.text_encoder = TextEncoder(processor, special, text_options)
        self.decoder = Decoder(special, clean_up_tokenization_spaces)
        self.padder = Padder(
            special, padding_side, self.limits, model_input_names=model_input_names
        )
        self.input_builder = InputBuilder(special, self.padder, self.limits, truncation_side)

    @classmethod
    def from_pretrained(
        cls: type[T],
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        subfolder: str | None = None,
        token: str | bool | None = None,
        **overrides: Any,
    ) -> T:
        """Load a tokenizer from a folder, or by its name on the Hugging Face hub.

        Parameters
        ----------
        pretrained_model_name_or_path : path or str
            With `sentencepiece.bpe.model` and `vocab.txt`, and if they exist
            `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json`.
        revision : str, optional
            Branch, tag or commit, for a name on the hub.
        cache_dir : path, optional
            Where downloads are kept.
        local_files_only : bool
            Do not use the network.
        subfolder : str, optional
            Folder in that folder which holds the files.
        token : str or bool, optional
            Password of the hub, as of huggingface_hub. It is never stored.
        **overrides
            Arguments of the constructor that take the place of what the files say; and other
            keywords of loading, which are not stored: use_auth_token and force_download are used,
            those that ask for what is done anyway have no effect, and others are a ValueError.

        Returns
        -------
        ErnieMTokenizer

        Raises
        ------
        FileNotFoundError
            A folder or a SentencePiece model that does not exist.
        ValueError
            A damaged file, or a keyword that asks for something that is not done.
        TypeError
            An unknown keyword; the message names the nearest known one.
        """
        name = pretrained_model_name_or_path
        options = take_hub_keywords(
            overrides,
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            subfolder=subfolder,
            token=token,
        )
        arguments = ARGUMENTS | keyword_names(cls.__init__)
        refuse_unknown(overrides, arguments | NEVER_STORED, "from_pretrained")
        folder = resolve_folder(name, weights=False, **options)
        settings = files.read_folder(folder)
        extra = {key: settings.pop(key) for key in settings.keys() - arguments}
        try:
            tokenizer = cls(**{**settings, **overrides})
        except (TypeError, AttributeError, KeyError) as error:
            if overrides:
                raise
            raise ValueError(f"{str(folder)!r} has a setting of the wrong type: {error}") from error
        tokenizer.extra = extra
        tokenizer.name_or_path = os.fspath(folder if name is None else name)
        return tokenizer

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        filename_prefix: str | None = None,
        **upstream: Any,
    ) -> tuple[str, ...]:
        """Write everything `from_pretrained` needs; upstream reads it too.

        Parameters
        ----------
        save_directory : path
            Made if it does not exist.
        filename_prefix : str, optional
            Put before the names, with a hyphen between.
        **upstream
            `push_to_hub=False` and `legacy_format=True` are accepted.

        Returns
        -------
        tuple of str
            The paths written.

        Raises
        ------
        ValueError
            A file as `save_directory`, or a keyword that asks for something that is not done.
        TypeError
            An unknown keyword.
        """
        take_ignored(upstream, {**SAVING, **files.LEGACY})
        refuse_unknown(upstream, ("save_directory", "filename_prefix"), "save_pretrained")
        config = {
            **self.extra,
            **{name: getattr(self, name) for name in files.STORED},
            **{name: getattr(self, name) for name in DEFAULT_TOKENS},  # null for one that is unset
            **self.special_tokens_map,
            "added_tokens_decoder": {
                str(i): token.to_dict() for i, token in self.added_tokens_decoder.items()
            },
            "tokenizer_class": "ErnieMTokenizer",
        }
        if self.limits.is_known:
            config["model_max_length"] = self.model_max_length
        contents = {files.CONFIG_FILE: config}
        if special := self.special_tokens_map:
            contents[files.SPECIAL_TOKENS_FILE] = special
        if new := {t: i for t, i in self.added_tokens_encoder.items() if i >= self.vocab_size}:
            contents[files.ADDED_TOKENS_FILE] = new
        written = files.write_files(save_directory, filename_prefix, contents)
        return (*written, *self.save_vocabulary(save_directory, filename_prefix))

    def save_vocabulary(
        self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Write `vocab.txt` and the SentencePiece model, and return both paths.

        Raises
        ------
        ValueError
            A file as `save_directory`.
        """
        lines = "".join(f"{token}\n" for token in self.vocabulary.tokens)
        contents = {
            files.VOCAB_FILE: lines.encode(self.encoding),
            files.MODEL_FILE: self.sp_model.serialized_model_proto(),
        }
        return files.write_files(save_directory, filename_prefix, contents)

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
            A text that is not a str, or an unknown keyword (the nearest known one is named).
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
        if _is_batch(text, is_split_into_words):
            return self._encode_batch(text, text_pair, options)
        if not is_split_into_words:
            check_text(text)
            if text_pair is not None:
                check_text(text_pair)
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
        return self._encode(*_split_pairs(batch_text_or_text_pairs, o.is_split_into_words), o)

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

    def get_offset_mapping(self, text: str) -> list[Span]:
        """Start and end in the text of each token of `tokenize(text)`."""
        return self.text_encoder.ids_and_offsets(check_text(text)).offsets or []

    @property
    def init_kwargs(self) -> dict[str, Any]:
        """Keyword arguments that make an equal tokenizer. A new dict: changing it has no effect."""
        kwargs = {name: copy.deepcopy(getattr(self, name)) for name in sorted(ARGUMENTS)}
        if not self.limits.is_known:
            kwargs["model_max_length"] = None
        return kwargs

    @property
    def vocab(self) -> dict[str, int]:
        """Token → id, without added tokens."""
        return self.vocabulary.ids

    @property
    def vocab_size(self) -> int:
        """Size of the vocabulary without added tokens."""
        return len(self.vocab)

    def __len__(self) -> int:
        """Size of the vocabulary with the added tokens."""
        return self.special_tokens.size

    def get_vocab(self) -> dict[str, int]:
        """Token → id, with the added tokens."""
        return {**self.vocab, **self.special_tokens.added_ids}

    def get_added_vocab(self) -> dict[str, int]:
        """Added token → id, as `added_tokens_encoder`."""
        return self.added_tokens_encoder

    def add_tokens(self, new_tokens: Any, special_tokens: bool = False) -> int:
        """Add tokens that are never cut, see `SpecialTokens.add_tokens`."""
        return self.special_tokens.add_tokens(new_tokens, special_tokens, self.do_lower_case)

    def convert_tokens_to_ids(self, tokens: str | Iterable[str] | None) -> Any:
        """Look up the id of a token, or the list of ids of several; unknown ones get unk_token_id.

        Raises
        ------
        TypeError
            A token that is not a str.
        """
        if tokens is None:
            return None
        if isinstance(tokens, str):
            return self.special_tokens.id_of(tokens)
        return self.special_tokens.ids_of(tokens)

    def convert_ids_to_string(self, ids: Any) -> str:
        """Join the tokens of ids to a text, special tokens included."""
        ids = plain_ids(ids)
        tokens = self.convert_ids_to_tokens(ids if isinstance(ids, list) else [ids])
        return self.convert_tokens_to_string(tokens)

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

    @property
    def max_len_single_sentence(self) -> int:
        """How many tokens of a single text fit."""
        return self.model_max_length - num_special_tokens()

    @property
    def max_len_sentences_pair(self) -> int:
        """How many tokens of a pair fit."""
        return self.model_max_length - num_special_tokens(pair=True)

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
        cut = truncate(*lengths, num_tokens_to_remove, name, stride, self.truncation_side)
        source = pair_ids if name == "only_second" else ids
        overflow = source[cut.overflow] if source is not None else []
        return ids[cut.first], None if pair_ids is None else pair_ids[cut.second], overflow

    def __copy__(self: T) -> T:
        # The parts belong together, so a copy has parts of its own.
        return copy.deepcopy(self)

    def __repr__(self) -> str:
        return (
            f"ErnieMTokenizer(vocab_size={self.vocab_size}, "
            f"model_max_length={self.model_max_length}, padding_side={self.padding_side!r}, "
            f"truncation_side={self.truncation_side!r}, special_tokens={self.special_tokens_map})"
        )


ARGUMENTS = keyword_names(ErnieMTokenizer.__init__)


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
