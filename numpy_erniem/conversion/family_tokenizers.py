"""Make our tokenizer files of those of XLM-RoBERTa or CamemBERT, with the same ids."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy_erniem.checkpoint.folder import inside
from numpy_erniem.checkpoint.json_files import read_json
from numpy_erniem.conversion.added_tokens import ROLES, read_added_tokens
from numpy_erniem.conversion.report import Report
from numpy_erniem.conversion.tokenizer_json import FastTokenizer, read_fast_tokenizer
from numpy_erniem.conversion.tokenizers import (
    ADDED_TOKENS_FILE,
    MODEL_FILE,
    SPECIAL_TOKENS_FILE,
    TOKENIZER_CONFIG_FILE,
    VOCABULARY_FILE,
    as_json,
    lower_case_settings,
    read_file,
)
from numpy_erniem.conversion.unigram import (
    CAMEMBERT,
    UNDERLINE,
    UNIGRAM,
    XLM_R,
    Layout,
    check_tokens,
    read_rules,
    sentencepiece_model,
)
from numpy_erniem.tokenizer.padder import MODEL_INPUT_NAMES
from numpy_erniem.tokenizer.vocabulary import AddedToken

FAST_TOKENIZER_FILE = "tokenizer.json"
GENERAL_OWNERS = ("PreTrainedTokenizerFast", "TokenizersBackend")
OWNERS = (
    *("XLMRobertaTokenizer", "XLMRobertaTokenizerFast"),
    *("CamembertTokenizer", "CamembertTokenizerFast"),
    *GENERAL_OWNERS,
)
SUPPORTED = "tokenizers of XLM-RoBERTa and CamemBERT can be converted"


def from_xlm_roberta(
    source: Path, config: dict[str, Any], max_length: int, report: Report
) -> dict[str, bytes]:
    """Make our tokenizer files of XLM-R's or CamemBERT's, with the same ids for every text.

    Parameters
    ----------
    source : Path
        The folder.
    config : dict
        Our config; the vocabulary may have one entry more than its vocab_size.
    max_length : int
        Most tokens of a text, for the tokenizer's config.
    report : Report
        Lines about the files are added.

    Returns
    -------
    dict of str to bytes
        The files by name.

    Raises
    ------
    ValueError
        The tokenizer is of another kind, its files contradict each other, or it does not fit the
        model.
    """
    try:
        return _from_family(source, config, max_length, report)
    except ValueError as error:
        remedy = "convert the weights alone with tokenizer=False (--no-tokenizer)"
        raise ValueError(f"{source}: {error}; {remedy}") from None


def _from_family(
    source: Path, config: dict[str, Any], max_length: int, report: Report
) -> dict[str, bytes]:
    files = {
        name: read_json(inside(source, name))
        for name in (TOKENIZER_CONFIG_FILE, SPECIAL_TOKENS_FILE, ADDED_TOKENS_FILE)
        if (source / name).is_file()
    }
    theirs = files.get(TOKENIZER_CONFIG_FILE, {})
    owner = theirs.get("tokenizer_class")
    if owner not in (None, *OWNERS):
        raise ValueError(f"{TOKENIZER_CONFIG_FILE}: tokenizer_class is {owner!r}; {SUPPORTED}")
    fast = None
    if (source / FAST_TOKENIZER_FILE).is_file():
        fast = read_fast_tokenizer(read_json(inside(source, FAST_TOKENIZER_FILE)))
    model, how = _model(source, fast)
    processor = _processor(model)
    if fast is not None:
        layout, vocabulary = fast.layout, fast.vocabulary
    else:
        layout, vocabulary = _of_slow_tokenizer(processor, theirs, config)
    normalize = _normalizer(processor)
    if fast is not None and normalize("a\x01b") != "ab":
        raise ValueError(f"{how}: the normalisation rules keep U+0001, which XLM-R's remove")
    added = read_added_tokens(files, layout, vocabulary, fast, normalize)
    _check_rows(vocabulary, added, config["vocab_size"], how, report)
    settings = {
        **_settings(theirs, fast, added),
        **lower_case_settings(source, report),
        "model_max_length": max_length,
    }
    report.made |= {
        MODEL_FILE: how,
        VOCABULARY_FILE: f"{how}, in the order of {layout.name}",
        TOKENIZER_CONFIG_FILE: "pieces are not cut (cut_pieces false)" + _fast_rules(settings),
    }
    report.notes += fast.notes if fast is not None else []
    _report_added(vocabulary, added, report)
    return {
        MODEL_FILE: model,
        VOCABULARY_FILE: ("\n".join(vocabulary) + "\n").encode("utf-8"),
        TOKENIZER_CONFIG_FILE: as_json(settings),
        SPECIAL_TOKENS_FILE: as_json(ROLES),
    }


def _of_slow_tokenizer(
    processor: Any, theirs: dict[str, Any], config: dict[str, Any]
) -> tuple[Layout, list[str]]:
    """Layout and tokens that the class of the source gives to a SentencePiece model."""
    owner = theirs.get("tokenizer_class")
    if owner in (None, *GENERAL_OWNERS):
        owner = config.get("source_model_type")
    layout = CAMEMBERT if str(owner).lower().startswith("camembert") else XLM_R
    vocabulary = [*layout.first, *_pieces(processor), "<mask>"]
    check_tokens(vocabulary)
    if theirs.get("sp_model_kwargs"):
        raise ValueError(f"{TOKENIZER_CONFIG_FILE}: sp_model_kwargs draws pieces at random")
    return layout, vocabulary


def _fast_rules(settings: dict[str, Any]) -> str:
    """The rules of the source's tokenizer.json that SentencePiece does not have, for the report."""
    rules = [name for name in ("final_underline", "marks_alone") if settings[name]]
    return f"; {', '.join(rules)} as in {FAST_TOKENIZER_FILE}" if rules else ""


def _report_added(vocabulary: list[str], added: dict[int, AddedToken], report: Report) -> None:
    new = [f"{token.content!r} {n}" for n, token in added.items() if n >= len(vocabulary)]
    if new:
        more = f" and {len(new) - 9} more" if len(new) > 9 else ""
        report.notes.append(f"added tokens keep their ids: {', '.join(new[:9])}{more}")


def _model(source: Path, fast: FastTokenizer | None) -> tuple[bytes, str]:
    """The SentencePiece model of a source, found or made, and a text that says which."""
    model = read_file(source, MODEL_FILE)
    if model is not None and fast is not None:
        _check_agreement(model, fast)
    if model is not None:
        return model, f"from {MODEL_FILE}"
    if fast is not None:
        return sentencepiece_model(fast.pieces, fast.charsmap), f"from {FAST_TOKENIZER_FILE}"
    kind = ""
    if (source / VOCABULARY_FILE).is_file():
        kind = ": its tokenizer is WordPiece"
    elif (source / "merges.txt").is_file():
        kind = ": its tokenizer is BPE"
    raise ValueError(f"there is neither {MODEL_FILE} nor {FAST_TOKENIZER_FILE}{kind}")


def _check_agreement(model: bytes, fast: FastTokenizer) -> None:
    """Check that both files of a source describe the same tokenizer."""
    both = f"{MODEL_FILE} and {FAST_TOKENIZER_FILE} disagree"
    processor = _processor(model)
    texts = _pieces(processor)
    if len(texts) != len(fast.pieces):
        raise ValueError(f"{both}: they have {len(texts)} and {len(fast.pieces)} pieces")
    for n, (text, (other, score)) in enumerate(zip(texts, fast.pieces, strict=True)):
        if text != other:
            raise ValueError(f"{both}: piece {n} is {text!r:.40} and {other!r:.40}")
        if abs(processor.get_score(n + 3) - score) > 1e-5 * max(1.0, abs(score)):
            raise ValueError(
                f"{both}: the score of {text!r:.40} is {processor.get_score(n + 3)} and {score}"
            )
    kind, charsmap, flags = read_rules(model)
    if kind != UNIGRAM:
        raise ValueError(f"{both}: the first is of kind {kind}, the second Unigram ({UNIGRAM})")
    if flags != (1, 1, 1):
        raise ValueError(f"{both}: the first has the rules {flags} for spaces, not (1, 1, 1)")
    if charsmap != fast.charsmap:
        sizes = len(charsmap), len(fast.charsmap)
        raise ValueError(f"{both}: their normalisation rules differ, of {sizes} bytes")


def _check_rows(
    vocabulary: list[str], added: dict[int, AddedToken], rows: int, how: str, report: Report
) -> None:
    """Check that the model has a row for every token; some models have none for the mask."""
    size = max(len(vocabulary), *(n + 1 for n in added))
    if size == rows + 1 and rows in added and added[rows].content == "<mask>":
        report.notes.append("the model has no row for <mask>: it cannot be given that token")
    elif size > rows:
        raise ValueError(
            f"the tokenizer ({how}) has {size} entries, the model (config.json, weights) {rows}"
        )


def _settings(
    theirs: dict[str, Any], fast: FastTokenizer | None, added: dict[int, AddedToken]
) -> dict[str, Any]:
    """Our tokenizer_config.json; of the source's settings its tokenizer_config.json comes first."""
    settings = dict(fast.settings) if fast is not None else {}
    for name in ("padding_side", "truncation_side"):
        if name in theirs:
            settings[name] = theirs[name]
        if settings.get(name, "right") not in ("left", "right"):
            raise ValueError(f"{TOKENIZER_CONFIG_FILE}: {name} is {settings[name]!r}")
    clean = theirs.get("clean_up_tokenization_spaces")
    if isinstance(clean, bool):
        settings["clean_up_tokenization_spaces"] = clean
    special = [t.content for t in added.values() if t.special]
    return {
        **settings,
        **ROLES,
        "added_tokens_decoder": {str(n): token.to_dict() for n, token in added.items()},
        "additional_special_tokens": [text for text in special if text not in ROLES.values()],
        "cut_pieces": False,
        "do_lower_case": False,
        "final_underline": fast is not None and fast.final_underline,
        "marks_alone": fast is not None,
        "model_input_names": MODEL_INPUT_NAMES,
        "tokenizer_class": "ErnieMTokenizer",
    }


def _processor(model: bytes) -> Any:
    from sentencepiece import SentencePieceProcessor

    processor = SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(model)
    except Exception as error:  # RuntimeError, for some bytes others
        raise ValueError(f"{MODEL_FILE} is not a SentencePiece model: {error}") from None
    return processor


def _normalizer(processor: Any) -> Callable[[str], str]:
    """A function that gives the normalised text, with its spaces at both ends."""

    def normalize(text: str) -> str:
        return processor.normalize(f"a{text}b")[2:-1].replace(UNDERLINE, " ")

    return normalize


def _pieces(processor: Any) -> list[str]:
    """The pieces of a model in their order, without the three special ones."""
    texts = [processor.id_to_piece(n) for n in range(processor.get_piece_size())]
    if texts[:3] != ["<unk>", "<s>", "</s>"]:
        raise ValueError(f"{MODEL_FILE} begins with {texts[:3]}, not as XLM-R's does")
    return texts[3:]
