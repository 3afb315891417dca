"""Make our tokenizer files of those of a source."""

import json
from pathlib import Path
from typing import Any

from numpy_erniem.checkpoint.folder import inside
from numpy_erniem.checkpoint.json_files import read_json
from numpy_erniem.checkpoint.keywords import without_loading
from numpy_erniem.conversion.report import Report
from numpy_erniem.conversion.unigram import read_unigram, sentencepiece_model
from numpy_erniem.tokenizer.padder import MODEL_INPUT_NAMES

MODEL_FILE = "sentencepiece.bpe.model"
VOCABULARY_FILE = "vocab.txt"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"
ADDED_TOKENS_FILE = "added_tokens.json"
FAST_TOKENIZER_FILE = "tokenizer.json"
OUR_SPECIAL_TOKENS = {
    "cls_token": "[CLS]",
    "pad_token": "[PAD]",
    "sep_token": "[SEP]",
    "unk_token": "[UNK]",
    "mask_token": "[MASK]",
}
MOST_BYTES = 64_000_000  # bytes of a tokenizer file


def _read_file(folder: Path, name: str) -> bytes | None:
    """The bytes of a file in a folder; None if it is not there."""
    if not (folder / name).is_file():
        return None
    path = inside(folder, name)
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"{path} has {size} bytes; a tokenizer file has at most {MOST_BYTES}")
    return path.read_bytes()


def copy_ernie_m(source: Path, report: Report, paddle: bool) -> dict[str, bytes]:
    """Copy the tokenizer files of an ERNIE-M source.

    Parameters
    ----------
    source : Path
        The folder.
    report : Report
        Lines about the files are added.
    paddle : bool
        Whether the source is PaddleNLP's, which treats a bare "▁" in its own way; the setting
        bare_underline says so.

    Returns
    -------
    dict of str to bytes
        The files by name.
    """
    files = {}
    for name in (MODEL_FILE, VOCABULARY_FILE, ADDED_TOKENS_FILE):
        content = _read_file(source, name)
        if content is not None:
            files[name] = content
    for name in (TOKENIZER_CONFIG_FILE, SPECIAL_TOKENS_FILE):
        if (source / name).is_file():
            path = inside(source, name)
            values = storable(path, read_json(path), report)
            files[name] = as_json(values)
    if not {MODEL_FILE, VOCABULARY_FILE} <= files.keys():
        report.notes.append(f"no tokenizer: the source lacks {MODEL_FILE} or {VOCABULARY_FILE}")
    if paddle and MODEL_FILE in files:
        settings = (
            json.loads(files[TOKENIZER_CONFIG_FILE])
            if TOKENIZER_CONFIG_FILE in files
            else {**OUR_SPECIAL_TOKENS, "model_input_names": MODEL_INPUT_NAMES}
        )
        settings |= {"bare_underline": "paddle", "tokenizer_class": "ErnieMTokenizer"}
        files[TOKENIZER_CONFIG_FILE] = as_json(settings)
        report.made[TOKENIZER_CONFIG_FILE] = (
            'with bare_underline "paddle", as PaddleNLP trains and serves'
        )
    return files


def from_xlm_roberta(
    source: Path, config: dict[str, Any], max_length: int, report: Report
) -> dict[str, bytes]:
    """Make our tokenizer files of XLM-R's; pieces are not cut, as they were not in training.

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
        The tokenizer is of another kind, or does not fit the model.
    """
    model, how = _model(source)
    texts = _pieces(model, source)
    vocabulary = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", *texts, "[MASK]"]
    if len(vocabulary) > config["vocab_size"] + 1:  # some models have no row for the mask
        raise ValueError(
            f"the tokenizer has {len(vocabulary)} entries, the model {config['vocab_size']}"
        )
    others = _added_tokens(source, len(vocabulary))
    if others:
        report.notes.append(f"added tokens become plain text: {', '.join(map(repr, others[:9]))}")
    settings = {
        **OUR_SPECIAL_TOKENS,
        "cut_pieces": False,
        "do_lower_case": False,
        "model_input_names": MODEL_INPUT_NAMES,
        "model_max_length": max_length,
        "tokenizer_class": "ErnieMTokenizer",
    }
    report.made |= {
        MODEL_FILE: how,
        VOCABULARY_FILE: f"{how}; <s> <pad> </s> <unk> <mask> are [CLS] ...",
    }
    report.made[TOKENIZER_CONFIG_FILE] = "pieces are not cut (cut_pieces false)"
    return {
        MODEL_FILE: model,
        VOCABULARY_FILE: ("\n".join(vocabulary) + "\n").encode("utf-8"),
        TOKENIZER_CONFIG_FILE: as_json(settings),
        SPECIAL_TOKENS_FILE: as_json(OUR_SPECIAL_TOKENS),
    }


def _model(source: Path) -> tuple[bytes, str]:
    """The SentencePiece model of a source, found or made, and a text that says which."""
    model = _read_file(source, MODEL_FILE)
    if model is not None:
        return model, f"from {MODEL_FILE}"
    remedy = "convert the weights alone with tokenizer=False (--no-tokenizer)"
    if not (source / FAST_TOKENIZER_FILE).is_file():
        kind = ": its tokenizer is WordPiece" if (source / VOCABULARY_FILE).is_file() else ""
        raise ValueError(
            f"{source} has neither {MODEL_FILE} nor {FAST_TOKENIZER_FILE}{kind}; {remedy}"
        )
    try:
        return sentencepiece_model(
            *read_unigram(read_json(inside(source, FAST_TOKENIZER_FILE)))
        ), f"from {FAST_TOKENIZER_FILE}"
    except ValueError as error:
        raise ValueError(f"{source}: {error}; {remedy}") from None


def _added_tokens(source: Path, count: int) -> list[str]:
    """Tokens that the source adds to its vocabulary of `count` entries."""
    found = (
        read_json(inside(source, ADDED_TOKENS_FILE))
        if (source / ADDED_TOKENS_FILE).is_file()
        else {}
    )
    listed = []
    if (source / FAST_TOKENIZER_FILE).is_file():
        listed = read_json(inside(source, FAST_TOKENIZER_FILE)).get("added_tokens")
    for token in listed if isinstance(listed, list) else []:
        if isinstance(token, dict) and isinstance(token.get("content"), str):
            found[token["content"]] = token.get("id")
    return [text for text, index in found.items() if type(index) is int and index >= count]


def _pieces(model: bytes, source: Path) -> list[str]:
    """The pieces of a model in their order, without the three special ones."""
    from sentencepiece import SentencePieceProcessor

    processor = SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(model)
    except Exception as error:  # RuntimeError, for some bytes others
        raise ValueError(f"{source}: {MODEL_FILE} is not a SentencePiece model: {error}") from None
    texts = [processor.id_to_piece(n) for n in range(processor.get_piece_size())]
    if texts[:3] != ["<unk>", "<s>", "</s>"]:
        raise ValueError(f"{source}: {MODEL_FILE} begins with {texts[:3]}, not as XLM-R's does")
    if any("\n" in text or "\r" in text for text in texts):
        raise ValueError(f"{source}: {MODEL_FILE} has a piece with a line break in it")
    return texts[3:]


def storable(path: Path, values: dict[str, Any], report: Report) -> dict[str, Any]:
    """The settings of a file without keywords of loading, which may be secrets.

    Parameters
    ----------
    path : Path
        The file.
    values : dict
        What it holds.
    report : Report
        A line about the keys that are left out is added.

    Returns
    -------
    dict
    """
    kept = without_loading(values)
    if left_out := sorted(values.keys() - kept.keys()):
        report.notes.append(
            f"left out of {path.name}: {', '.join(left_out)}; keywords of loading are not stored"
        )
    return kept


def as_json(values: dict[str, Any]) -> bytes:
    """Encode values as a JSON file, with sorted keys."""
    text = json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False)
    return f"{text}\n".encode()
