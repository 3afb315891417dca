"""The tokenizer's files: reading and checking."""

import os
from pathlib import Path
from typing import Any

from numpy_erniem.checkpoint.config_files import is_paddle_folder
from numpy_erniem.checkpoint.hub import resolve_folder
from numpy_erniem.checkpoint.json_files import read_json
from numpy_erniem.checkpoint.keywords import NEVER_STORED
from numpy_erniem.checkpoint.lfs import refuse_pointer
from numpy_erniem.checkpoint.links import inside
from numpy_erniem.checks import warn
from numpy_erniem.tokenizer.options import refuse_unknown
from numpy_erniem.tokenizer.special_tokens import SPECIAL_TOKENS

MODEL_FILE = "sentencepiece.bpe.model"
VOCAB_FILE = "vocab.txt"
CONFIG_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"
ADDED_TOKENS_FILE = "added_tokens.json"
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
    refuse_pointer(path, content)
    processor = SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(content)
    except Exception as error:
        raise ValueError(
            f"{str(path)!r} is not a SentencePiece model ({len(content)} bytes; {error}); it may "
            "be truncated, download it again"
        ) from error
    return processor


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
        A damaged JSON file, or a link that leads out of the folder.
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
    if is_paddle_folder(folder):
        _follow_paddle(folder, settings)
    if "added_tokens_decoder" not in settings:
        _read_older_files(folder, settings)
    settings["sentencepiece_model_ckpt"] = str(inside(folder, MODEL_FILE))
    vocab = inside(folder, VOCAB_FILE)
    settings["vocab_file"] = str(vocab) if vocab.is_file() else None
    return settings


def _follow_paddle(folder: Path, settings: dict[str, Any]) -> None:
    """Settings of a folder of PaddleNLP: its bare "▁", no lowering; its model makes the mask."""
    if settings.get("do_lower_case"):
        warn(f"do_lower_case in {str(folder)!r} is left out: PaddleNLP's tokenizer never lowers")
        settings["do_lower_case"] = False
    settings.setdefault("bare_underline", "paddle")
    settings.setdefault("model_input_names", ["input_ids"])


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
    return read_json(inside(path.parent, path.name)) if path.is_file() else {}


def load_tokenizer(
    cls: Any, arguments: frozenset[str], name: Any, options: dict[str, Any], overrides: dict
) -> Any:
    """Make a tokenizer of the files in a folder.

    Parameters
    ----------
    cls : type
        `ErnieMTokenizer`, or a class derived from it.
    arguments : frozenset of str
        Names of the arguments of `cls`.
    name : path or str
        The folder, or its name on the hub.
    options : dict
        Of `resolve_folder`.
    overrides : dict
        Arguments that take the place of what the files say.

    Returns
    -------
    ErnieMTokenizer

    Raises
    ------
    ValueError
        A damaged file, or a setting of the wrong type.
    TypeError
        An unknown argument.
    """
    refuse_unknown(overrides, arguments | NEVER_STORED, "from_pretrained")
    folder = resolve_folder(name, weights=False, **options)
    settings = read_folder(folder)
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
