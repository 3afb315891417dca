"""Read a source's tokenizer files, and copy those of ERNIE-M."""

import json
from pathlib import Path
from typing import Any

from numpy_erniem.checkpoint.json_files import read_json, to_json
from numpy_erniem.checkpoint.keywords import without_loading
from numpy_erniem.checkpoint.lfs import refuse_pointer
from numpy_erniem.checkpoint.links import inside
from numpy_erniem.conversion.report import Report

MODEL_FILE = "sentencepiece.bpe.model"
VOCABULARY_FILE = "vocab.txt"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"
ADDED_TOKENS_FILE = "added_tokens.json"
OUR_SPECIAL_TOKENS = {
    "cls_token": "[CLS]",
    "pad_token": "[PAD]",
    "sep_token": "[SEP]",
    "unk_token": "[UNK]",
    "mask_token": "[MASK]",
}
# sentence-transformers looks for its settings under these names, in this order.
SENTENCE_CONFIG_FILES = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
MOST_BYTES = 64_000_000  # bytes of a tokenizer file


def read_file(folder: Path, name: str) -> bytes | None:
    """The bytes of a file in a folder; None if it is not there."""
    if not (folder / name).is_file():
        return None
    path = inside(folder, name)
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"{path} has {size} bytes; a tokenizer file has at most {MOST_BYTES}")
    content = path.read_bytes()
    refuse_pointer(path, content)
    return content


def is_ours(source: Path) -> bool:
    """Whether a folder has a tokenizer of ERNIE-M: with a SentencePiece model and a vocabulary."""
    return (source / MODEL_FILE).is_file() and (source / VOCABULARY_FILE).is_file()


def copy_ernie_m(source: Path, report: Report, paddle: bool) -> dict[str, bytes]:
    """Copy the tokenizer files of an ERNIE-M source.

    Parameters
    ----------
    source : Path
        The folder.
    report : Report
        Lines about the files are added.
    paddle : bool
        Whether the source is PaddleNLP's. Its tokenizer treats a bare "▁" in its own way, and
        leaves the attention mask to the model; bare_underline and model_input_names say so.

    Returns
    -------
    dict of str to bytes
        The files by name.
    """
    files = {}
    for name in (MODEL_FILE, VOCABULARY_FILE, ADDED_TOKENS_FILE):
        content = read_file(source, name)
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
            else {**OUR_SPECIAL_TOKENS}
        )
        if settings.get("do_lower_case"):
            report.notes.append("do_lower_case of the source is left out: PaddleNLP never lowers")
        settings |= {
            "bare_underline": "paddle",
            "do_lower_case": False,
            "model_input_names": ["input_ids"],
            "tokenizer_class": "ErnieMTokenizer",
        }
        files[TOKENIZER_CONFIG_FILE] = as_json(settings)
        report.made[TOKENIZER_CONFIG_FILE] = (
            'with bare_underline "paddle" and without an attention mask, as PaddleNLP trains '
            "and serves"
        )
    return files


def lower_case_settings(source: Path, report: Report) -> dict[str, Any]:
    """Settings that lower a text as sentence-transformers does; empty if a folder does not ask."""
    for name in SENTENCE_CONFIG_FILES:
        if not (source / name).is_file():
            continue
        found = read_json(inside(source, name)).get("do_lower_case", False)
        if not isinstance(found, bool):
            raise ValueError(f"{name}: do_lower_case is {found!r:.60}, not true or false")
        if found:
            report.notes.append(f"texts are lowered (do_lower_case of {name})")
            return {"do_lower_case": True, "lower_special_tokens": True}
        break
    return {}


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
    text = to_json(values, indent=2, sort_keys=True)
    return f"{text}\n".encode()
