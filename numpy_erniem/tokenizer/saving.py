"""The tokenizer's files: writing."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy_erniem.checkpoint.atomic import atomic_write
from numpy_erniem.checkpoint.json_files import to_json
from numpy_erniem.checkpoint.keywords import SAVING, NoEffect, take_ignored
from numpy_erniem.tokenizer.files import (
    ADDED_TOKENS_FILE,
    CONFIG_FILE,
    MODEL_FILE,
    SPECIAL_TOKENS_FILE,
    VOCAB_FILE,
)
from numpy_erniem.tokenizer.options import refuse_unknown
from numpy_erniem.tokenizer.special_tokens import DEFAULT_TOKENS

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
            text = to_json(content, indent=2, sort_keys=True)
            content = f"{text}\n".encode()
        paths.append(folder / (f"{prefix}-{name}" if prefix else name))
        atomic_write(paths[-1], content)
    return tuple(map(str, paths))
