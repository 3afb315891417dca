"""What a server is told at its start: models, address, limits, keys."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from numpy_erniem.pipelines.packing import BATCH_TOKENS
from numpy_erniem.pipelines.scores import check_whole

KEYS_VARIABLE = "ERNIEM_API_KEYS"
LARGEST_KEY_FILE = 1 << 20  # bytes
OVERFLOWS = ("error", "cut", "window")
MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Settings:
    """Limits and times of a server; each is an option of `erniem serve`.

    Attributes
    ----------
    keys : tuple of bytes
        Of which a request needs one; none: every request is answered.
    workers : int
        Processes.
    threads : int, optional
        Of each worker; left out, the cores divided by the workers.
    max_body : int
        Most bytes of a request.
    max_texts : int
        Most texts of a request.
    max_text_tokens : int
        Most tokens of a text, however it is cut or read in windows.
    max_waiting : int
        Most texts that wait for a model.
    max_requests : int
        Most requests that are open in a worker.
    batch_tokens : int
        Tokens at which a batch is full.
    batch_wait : float
        Seconds that a batch waits at most for as many requests as the last one had.
    timeout : float
        Seconds within which a request is answered, or refused.
    read_timeout : float
        Seconds within which a client has to send a request.
    write_timeout : float
        Seconds after which a connection is closed whose client takes nothing of a response.
    drain : float
        Most seconds after a SIGTERM in which new requests are refused with 503, before connections
        are closed.
    on_overflow : str, optional
        Of all models, where a request does not say it.
    """

    keys: tuple[bytes, ...] = field(default=(), repr=False)
    workers: int = 1
    threads: int | None = None
    max_body: int = 16 * MEGABYTE
    max_texts: int = 2048
    max_text_tokens: int = 8192
    max_waiting: int = 16384
    max_requests: int = 512
    batch_tokens: int = BATCH_TOKENS
    batch_wait: float = 0.002
    timeout: float = 300.0
    read_timeout: float = 30.0
    write_timeout: float = 30.0
    drain: float = 1.0
    on_overflow: str | None = None

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            if setting.type in (int, "int"):
                check_whole(setting.name, value, 1)
            elif setting.type in (float, "float") and not 0 <= value < 1e6:
                raise ValueError(f"{setting.name} {value} is not a number of seconds")
        if self.threads is not None:
            check_whole("threads", self.threads, 1)
        if self.on_overflow not in (None, *OVERFLOWS):
            raise ValueError(
                f"on_overflow {self.on_overflow!r} is not one of {', '.join(OVERFLOWS)}"
            )
        for name in ("timeout", "read_timeout", "write_timeout"):
            if not getattr(self, name):
                raise ValueError(f"{name} is 0: no request could be answered; give seconds")


def read_keys(
    path: str | os.PathLike[str] | None, environment: Mapping[str, str]
) -> tuple[bytes, ...]:
    """The API keys of a server.

    Parameters
    ----------
    path : path, optional
        A file with one key in a line; lines that begin with # are left out.
    environment : mapping
        ERNIEM_API_KEYS in it holds keys, separated by commas or white space.

    Returns
    -------
    tuple of bytes

    Raises
    ------
    ValueError
        Where keys should be, there is none, or one with white space or other characters than ASCII.
    """
    keys: list[str] = []
    if path is not None:
        keys += _keys_of_file(Path(path))
    if KEYS_VARIABLE in environment:
        given = environment[KEYS_VARIABLE].replace(",", " ").split()
        if not given:
            raise ValueError(f"{KEYS_VARIABLE} holds no key; give one, or unset it")
        keys += given
    for key in keys:  # none is shown
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError("an API key has a character that a header cannot hold; use ASCII")
    return tuple(key.encode() for key in dict.fromkeys(keys))


def _keys_of_file(path: Path) -> list[str]:
    if path.stat().st_size > LARGEST_KEY_FILE:
        raise ValueError(f"{path} is too large for a file of API keys")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError(
            f"{path} is not a text in UTF-8; give a file with a key in each line"
        ) from None
    keys = [line.strip() for line in lines]
    keys = [key for key in keys if key and not key.startswith("#")]
    if not keys:
        raise ValueError(f"{path} holds no API key; write one in each line")
    return keys


def parse_models(words: list[str]) -> dict[str, str | None]:
    """Names and places of models.

    Parameters
    ----------
    words : list of str
        NAME=PLACE each, or PLACE alone, whose name is its last part; PLACE is a folder or a name on
        the hub. Without any: the bundled checkpoint, as "bundled".

    Returns
    -------
    dict of name to place
        None is the bundled checkpoint.

    Raises
    ------
    ValueError
        A name twice, or no name or no place.
    """
    models: dict[str, str | None] = {}
    for word in words:
        name, equals, place = word.partition("=")
        if not equals:
            name, place = Path(word).name if Path(word).is_dir() else word, word
        if not name or not place or not name.isprintable():
            raise ValueError(f"--model {word!r} is not NAME=FOLDER")
        if name in models:
            raise ValueError(f"--model: the name {name!r} is given twice; give NAME=FOLDER")
        models[name] = place
    return models or {"bundled": None}


def as_options(settings: Settings) -> dict[str, Any]:
    """The settings for a log, without the keys."""
    return {f.name: getattr(settings, f.name) for f in fields(settings) if f.name != "keys"} | {
        "keys": len(settings.keys)
    }
