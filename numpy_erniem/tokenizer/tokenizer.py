"""ErnieMTokenizer: text → the model's inputs, and back."""

import copy
import os
from types import MappingProxyType
from typing import Any, TypeVar

from numpy_erniem.checkpoint.keywords import take_hub_keywords
from numpy_erniem.tokenizer import files, saving
from numpy_erniem.tokenizer.attributes import PartAttribute, TextOption, keyword_names, part_method
from numpy_erniem.tokenizer.batch_encoder import BatchEncoder
from numpy_erniem.tokenizer.input_builder import InputBuilder
from numpy_erniem.tokenizer.lengths import LengthLimits
from numpy_erniem.tokenizer.manual_rows import ManualRows
from numpy_erniem.tokenizer.options import TextOptions, refuse_unknown
from numpy_erniem.tokenizer.padder import MODEL_INPUT_NAMES, Padder
from numpy_erniem.tokenizer.special_tokens import SpecialTokens
from numpy_erniem.tokenizer.text_encoder import TextEncoder
from numpy_erniem.tokenizer.token_table import TokenTable
from numpy_erniem.tokenizer.vocabulary import load_vocabulary

T = TypeVar("T", bound="ErnieMTokenizer")


class ErnieMTokenizer(TokenTable):
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

    The work is done by parts, which are attributes: `special_tokens`, `limits`, `text_encoder`
    (text → ids), `input_builder` and `padder` (ids → the model's inputs), `batch_encoder` (both,
    in a call), `manual_rows`.
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
    max_len_single_sentence = PartAttribute[int]("limits", "How many tokens of one text fit.")
    max_len_sentences_pair = PartAttribute[int]("limits", "How many tokens of a pair fit.")

    __call__ = part_method("batch_encoder", BatchEncoder.__call__)
    encode = part_method("batch_encoder", BatchEncoder.encode)
    encode_plus = part_method("batch_encoder", BatchEncoder.encode_plus)
    batch_encode_plus = part_method("batch_encoder", BatchEncoder.batch_encode_plus)
    tokenize = part_method("text_encoder", TextEncoder.tokenize)
    get_offset_mapping = part_method("text_encoder", TextEncoder.get_offset_mapping)
    pad = part_method("padder", Padder.pad)
    prepare_for_model = part_method("manual_rows", ManualRows.prepare_for_model)
    get_special_tokens_mask = part_method("manual_rows", ManualRows.get_special_tokens_mask)
    truncate_sequences = part_method("manual_rows", ManualRows.truncate_sequences)
    num_special_tokens_to_add = part_method("manual_rows", ManualRows.num_special_tokens_to_add)
    build_inputs_with_special_tokens = part_method(
        "manual_rows", ManualRows.build_inputs_with_special_tokens
    )
    build_offset_mapping_with_special_tokens = part_method(
        "manual_rows", ManualRows.build_offset_mapping_with_special_tokens
    )
    create_token_type_ids_from_sequences = part_method(
        "manual_rows", ManualRows.create_token_type_ids_from_sequences
    )

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
        self.limits = limits = LengthLimits(model_max_length, verbose)
        processor = files.load_sentencepiece(sentencepiece_model_ckpt)
        vocabulary = load_vocabulary(processor, vocab_file, encoding)
        special = SpecialTokens(vocabulary, tokens, added_tokens_decoder)
        super().__init__(special, clean_up_tokenization_spaces)
        self.text_encoder = TextEncoder(processor, special, text_options)
        self.padder = Padder(special, padding_side, limits, model_input_names=model_input_names)
        self.input_builder = InputBuilder(special, self.padder, limits, truncation_side)
        self.batch_encoder = BatchEncoder(self.text_encoder, self.input_builder)
        self.manual_rows = ManualRows(self.input_builder)

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
        revision, cache_dir, local_files_only, subfolder, token
            Where the files are found, as of `ErnieMConfig.from_pretrained`.
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
        options = take_hub_keywords(
            overrides,
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            subfolder=subfolder,
            token=token,
        )
        arguments = ARGUMENTS | keyword_names(cls.__init__)
        return files.load_tokenizer(
            cls, arguments, pretrained_model_name_or_path, options, overrides
        )

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
            Keywords that ask for what is done anyway, such as push_to_hub=False.

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
        return saving.save_tokenizer(self, save_directory, filename_prefix, upstream)

    def save_vocabulary(
        self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Write `vocab.txt` and the SentencePiece model, and return both paths."""
        return saving.save_vocabulary(self, save_directory, filename_prefix)

    @property
    def init_kwargs(self) -> dict[str, Any]:
        """Keyword arguments that make an equal tokenizer. A new dict: changing it has no effect."""
        kwargs = {name: copy.deepcopy(getattr(self, name)) for name in sorted(ARGUMENTS)}
        if not self.limits.is_known:
            kwargs["model_max_length"] = None
        return kwargs

    def add_tokens(self, new_tokens: Any, special_tokens: bool = False) -> int:
        """Add tokens that are never cut, see `SpecialTokens.add_tokens`."""
        return self.special_tokens.add_tokens(new_tokens, special_tokens, self.do_lower_case)

    def __repr__(self) -> str:
        return (
            f"ErnieMTokenizer(vocab_size={self.vocab_size}, "
            f"model_max_length={self.model_max_length}, padding_side={self.padding_side!r}, "
            f"truncation_side={self.truncation_side!r}, special_tokens={self.special_tokens_map})"
        )


ARGUMENTS = keyword_names(ErnieMTokenizer.__init__)
