"""The tokenizer's files: reading, checking, writing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from numpy_erniem.checkpoint.json_files import read_json
from numpy_erniem.checks import warn
from numpy_erniem.tokenizer.special_tokens import SPECIAL_TOKENS

MODEL_FILE = "sentencepiece.bpe.model"
VOCAB_FILE = "vocab.txt"
CONFIG_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"
ADDED_TOKENS_FILE = "added_tokens.json"

# Keys of tokenizer_config.json that name the files' own place, or are found out anew.
NOT_KEPT = {"name_or_path", "special_tokens_map_file", "tokenizer_file", "tokenizer_class"}


def load_sentencepiece(path: str | os.PathLike[str]) -> Any:
    """Load a SentencePiece model.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no SentencePiece model.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no SentencePiece model at {str(path)!r}; a tokenizer needs {MODEL_FILE}"
        )
    return parse_sentencepiece(path.read_bytes(), str(path))


def parse_sentencepiece(content: bytes, name: str) -> Any:
    """Make a processor of a serialized SentencePiece model, see `load_sentencepiece`."""
    from sentencepiece import SentencePieceProcessor

    processor = SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(content)
    except Exception as error:
        raise ValueError(
            f"{name!r} is no SentencePiece model ({len(content)} bytes; {error}); it may be "
            "truncated or a Git LFS pointer, download it again"
        ) from error
    return processor


def load_vocab(path: str | os.PathLike[str], encoding: str = "utf8") -> list[str]:
    """Read vocab.txt, one token a line; the line number is the id.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is empty or not text in this encoding.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no vocabulary at {str(path)!r}; pass vocab_file=None "
            "to number tokens by SentencePiece id"
        )
    try:
        text = path.read_bytes().decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{str(path)!r} is not {encoding} text ({error}); pass the right encoding=..."
        ) from error
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    if not lines:
        raise ValueError(f"the vocabulary {str(path)!r} is empty; download it again")
    return lines


def load_tokens(processor: Any, path: str | os.PathLike[str] | None, encoding: str) -> list[str]:
    """Tokens in the order of their ids; without a vocab.txt those of SentencePiece."""
    if path is not None:
        return load_vocab(path, encoding)
    warn(
        "no vocab_file was given: tokens are numbered by SentencePiece id, which differs from the "
        "ids of published ERNIE-M checkpoints"
    )
    return [processor.id_to_piece(i) for i in range(processor.get_piece_size())]


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Make a folder to write to.

    Raises
    ------
    ValueError
        If there is a file in its place.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise ValueError(f"{str(path)!r} is a file; pass the path of a folder")
    path.mkdir(parents=True, exist_ok=True)
    return path


def check_belong_together(processor: Any, vocab: dict[str, int], name: str) -> None:
    """Check on a sample of pieces that a vocabulary was made for a SentencePiece model.

    Raises
    ------
    ValueError
        If hardly any piece is in the vocabulary.
    """
    size = processor.get_piece_size()
    sample = range(0, size, max(1, size // 512))
    pieces = [processor.id_to_piece(i) for i in sample if not processor.is_control(i)]
    known = sum(piece in vocab for piece in pieces) / max(1, len(pieces))
    found = f"{known:.0%} of the SentencePiece model's pieces are in the vocabulary {name!r}"
    if known < 0.05:
        raise ValueError(f"only {found}; take both files from the same checkpoint")
    if known < 0.5:
        warn(f"only {found}; do both files come from one checkpoint?")


def read_folder(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Collect the constructor's arguments from a folder.

    Raises
    ------
    FileNotFoundError
        If the folder or its SentencePiece model does not exist.
    ValueError
        If a JSON file is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there is no folder {str(folder)!r}; give the path of a folder that holds {MODEL_FILE}"
            f" and {VOCAB_FILE}"
        )
    settings = _read_if_there(folder / CONFIG_FILE)
    owner = settings.get("tokenizer_class")
    if owner is not None and not str(owner).startswith("ErnieM"):
        warn(f"{CONFIG_FILE} in {str(folder)!r} was written by {owner}, whose tokens may differ")
    settings = {key: value for key, value in settings.items() if key not in NOT_KEPT}
    if "added_tokens_decoder" not in settings:
        _read_older_files(folder, settings)
    settings["sentencepiece_model_ckpt"] = str(folder / MODEL_FILE)
    vocab = folder / VOCAB_FILE
    settings["vocab_file"] = str(vocab) if vocab.is_file() else None
    return settings


def _read_older_files(folder: Path, settings: dict[str, Any]) -> None:
    """Files that say what later versions write into tokenizer_config.json."""
    for name, token in _read_if_there(folder / SPECIAL_TOKENS_FILE).items():
        if name not in SPECIAL_TOKENS:
            continue
        if name == "additional_special_tokens":
            known = settings.get(name) or []
            token = [*known, *(t for t in token if t not in known)]
        settings[name] = token
    added = _read_if_there(folder / ADDED_TOKENS_FILE)
    special = set()
    for name in SPECIAL_TOKENS:
        value = settings.get(name) or []
        for token in value if isinstance(value, list) else [value]:
            special.add(token["content"] if isinstance(token, dict) else str(token))
    settings["added_tokens_decoder"] = {
        index: {"content": token, "special": token in special, "normalized": token not in special}
        for token, index in added.items()
    }


def _read_if_there(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write an object, keys sorted, as text that can be read."""
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
