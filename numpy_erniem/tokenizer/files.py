"""The tokenizer's files: reading, checking, writing."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy_erniem.checkpoint.atomic import atomic_write
from numpy_erniem.checkpoint.config_files import is_paddle_folder
from numpy_erniem.checkpoint.json_files import read_json
from numpy_erniem.checkpoint.keywords import NEVER_STORED, NoEffect
from numpy_erniem.checks import warn
from numpy_erniem.tokenizer.special_tokens import SPECIAL_TOKENS
from numpy_erniem.tokenizer.vocabulary import Vocabulary

MODEL_FILE = "sentencepiece.bpe.model"
VOCAB_FILE = "vocab.txt"
CONFIG_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"
ADDED_TOKENS_FILE = "added_tokens.json"

# Attributes of the tokenizer that tokenizer_config.json stores under the same name.
STORED = (
    "do_lower_case",
    "encoding",
    "sp_model_kwargs",
    "bare_underline",
    "cut_pieces",
    "padding_side",
    "truncation_side",
    "clean_up_tokenization_spaces",
    "split_special_tokens",
    "model_input_names",
)
LEGACY = {"legacy_format": NoEffect((True,), "only this format is written")}
# Keys of tokenizer_config.json that are not settings: where the files were, who wrote them, and how
# they were loaded, which may be a secret.
NOT_KEPT = {
    *("name_or_path", "special_tokens_map_file", "tokenizer_file", "tokenizer_class"),
    *NEVER_STORED,
}


def load_sentencepiece(path: str | os.PathLike[str]) -> Any:
    """Load a SentencePiece model.

    Returns
    -------
    sentencepiece.SentencePieceProcessor

    Raises
    ------
    FileNotFoundError
        A path without a file.
    ValueError
        A file that is not a SentencePiece model.
    """
    from sentencepiece import SentencePieceProcessor

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no SentencePiece model at {str(path)!r}; a tokenizer needs {MODEL_FILE}"
        )
    content = path.read_bytes()
    processor = SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(content)
    except Exception as error:
        raise ValueError(
            f"{str(path)!r} is not a SentencePiece model ({len(content)} bytes; {error}); it may "
            "be truncated or a Git LFS pointer, download it again"
        ) from error
    return processor


def load_vocabulary(
    processor: Any, path: str | os.PathLike[str] | None, encoding: str = "utf8"
) -> Vocabulary:
    """Load the vocabulary of a SentencePiece model.

    Parameters
    ----------
    processor : sentencepiece.SentencePieceProcessor
    path : path or None
        `vocab.txt`. None: tokens are numbered by SentencePiece id, with a warning.
    encoding : str
        Of the file.

    Returns
    -------
    Vocabulary

    Raises
    ------
    FileNotFoundError
        A path without a file.
    ValueError
        A file that is empty, has another encoding, or was made for another model.
    """
    if path is None:
        warn(
            "no vocab_file was given: tokens are numbered by SentencePiece id, which differs from "
            "the ids of published ERNIE-M checkpoints"
        )
        return Vocabulary(processor.id_to_piece(i) for i in range(processor.get_piece_size()))
    vocabulary = Vocabulary(_read_lines(Path(path), encoding))
    _check_belong_together(processor, vocabulary, os.fspath(path))
    return vocabulary


def _read_lines(path: Path, encoding: str) -> list[str]:
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


def _check_belong_together(processor: Any, vocabulary: Vocabulary, name: str) -> None:
    """Check on a sample of pieces that a vocabulary was made for a SentencePiece model."""
    size = processor.get_piece_size()
    sample = range(0, size, max(1, size // 512))
    pieces = [processor.id_to_piece(i) for i in sample if not processor.is_control(i)]
    known = sum(piece in vocabulary for piece in pieces) / max(1, len(pieces))
    found = f"{known:.0%} of the SentencePiece model's pieces are in the vocabulary {name!r}"
    if known < 0.05:
        raise ValueError(f"only {found}; take both files from the same checkpoint")
    if known < 0.5:
        warn(f"only {found}; do both files come from one checkpoint?")


def read_folder(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Collect the arguments of `ErnieMTokenizer` from a folder.

    Returns
    -------
    dict of str to object

    Raises
    ------
    FileNotFoundError
        A folder that does not exist.
    ValueError
        A damaged JSON file.
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
    if is_paddle_folder(folder):  # its model makes the mask: see attention_mask_convention
        settings.setdefault("model_input_names", ["input_ids"])
    if "added_tokens_decoder" not in settings:
        _read_older_files(folder, settings)
    settings["sentencepiece_model_ckpt"] = str(folder / MODEL_FILE)
    vocab = folder / VOCAB_FILE
    settings["vocab_file"] = str(vocab) if vocab.is_file() else None
    return settings


def _read_older_files(folder: Path, settings: dict[str, Any]) -> None:
    """Read from other files what later versions write into tokenizer_config.json."""
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


def write_files(
    folder: str | os.PathLike[str], prefix: str | None, contents: Mapping[str, Any]
) -> tuple[str, ...]:
    """Write the tokenizer's files.

    Parameters
    ----------
    folder : path
        Made if it does not exist.
    prefix : str, optional
        Put before the names, with a hyphen between.
    contents : mapping of str to bytes or dict
        By the name of the file; a dict becomes JSON with sorted keys.

    Returns
    -------
    tuple of str
        The paths.

    Raises
    ------
    ValueError
        A file where the folder should be.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{str(folder)!r} is a file; pass the path of a folder")
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, content in contents.items():
        if not isinstance(content, bytes):
            text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
            content = f"{text}\n".encode()
        paths.append(folder / (f"{prefix}-{name}" if prefix else name))
        atomic_write(paths[-1], content)
    return tuple(map(str, paths))
