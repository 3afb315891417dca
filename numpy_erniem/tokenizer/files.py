"""The tokenizer's files: reading, checking, writing."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy_erniem.checkpoint.atomic import atomic_write
from numpy_erniem.checkpoint.config_files import is_paddle_folder
from numpy_erniem.checkpoint.hub import resolve_folder
from numpy_erniem.checkpoint.json_files import read_json
from numpy_erniem.checkpoint.keywords import NEVER_STORED, SAVING, NoEffect, take_ignored
from numpy_erniem.checkpoint.lfs import refuse_pointer
from numpy_erniem.checkpoint.links import inside
from numpy_erniem.checks import warn
from numpy_erniem.tokenizer.options import refuse_unknown
from numpy_erniem.tokenizer.special_tokens import DEFAULT_TOKENS, SPECIAL_TOKENS

MODEL_FILE = "sentencepiece.bpe.model"
VOCAB_FILE = "vocab.txt"
CONFIG_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"
ADDED_TOKENS_FILE = "added_tokens.json"
# A folder with one of them is PaddleNLP's.

# Attributes of the tokenizer that tokenizer_config.json stores under the same name.
STORED = (
    "do_lower_case",
    "encoding",
    "sp_model_kwargs",
    "bare_underline",
    "cut_pieces",
    "lower_special_tokens",
    "final_underline",
    "marks_alone",
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
    """Settings of a folder of PaddleNLP: no lowering, and its model makes the mask."""
    if settings.get("do_lower_case"):
        warn(f"do_lower_case in {str(folder)!r} is left out: PaddleNLP's tokenizer never lowers")
        settings["do_lower_case"] = False
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


def save_tokenizer(
    tokenizer: Any,
    folder: str | os.PathLike[str],
    prefix: str | None,
    upstream: dict[str, Any],
) -> tuple[str, ...]:
    """Write everything that `read_folder` reads; see `ErnieMTokenizer.save_pretrained`.

    Parameters
    ----------
    tokenizer : ErnieMTokenizer
    folder, prefix
        As of `write_files`.
    upstream : dict
        Other keywords of `save_pretrained`; taken out of it.

    Returns
    -------
    tuple of str
        The paths.

    Raises
    ------
    ValueError
        A file as `folder`, or a keyword that asks for something that is not done.
    TypeError
        An unknown keyword.
    """
    take_ignored(upstream, {**SAVING, **LEGACY})
    refuse_unknown(upstream, ("save_directory", "filename_prefix"), "save_pretrained")
    config = {
        **tokenizer.extra,
        **{name: getattr(tokenizer, name) for name in STORED},
        **{name: getattr(tokenizer, name) for name in DEFAULT_TOKENS},  # null for one that is unset
        **tokenizer.special_tokens_map,
        "added_tokens_decoder": {
            str(i): token.to_dict() for i, token in tokenizer.added_tokens_decoder.items()
        },
        "tokenizer_class": "ErnieMTokenizer",
    }
    if tokenizer.limits.is_known:
        config["model_max_length"] = tokenizer.model_max_length
    contents = {CONFIG_FILE: config}
    if special := tokenizer.special_tokens_map:
        contents[SPECIAL_TOKENS_FILE] = special
    if new := {
        t: i for t, i in tokenizer.added_tokens_encoder.items() if i >= tokenizer.vocab_size
    }:
        contents[ADDED_TOKENS_FILE] = new
    written = write_files(folder, prefix, contents)
    return (*written, *tokenizer.save_vocabulary(folder, prefix))


def save_vocabulary(
    tokenizer: Any, folder: str | os.PathLike[str], prefix: str | None
) -> tuple[str, ...]:
    """Write `vocab.txt` and the SentencePiece model.

    Parameters
    ----------
    tokenizer : ErnieMTokenizer
    folder, prefix
        As of `write_files`.

    Returns
    -------
    tuple of str
        Both paths.
    """
    lines = "".join(f"{token}\n" for token in tokenizer.vocabulary.tokens)
    contents = {
        VOCAB_FILE: lines.encode(tokenizer.encoding),
        MODEL_FILE: tokenizer.sp_model.serialized_model_proto(),
    }
    return write_files(folder, prefix, contents)


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
