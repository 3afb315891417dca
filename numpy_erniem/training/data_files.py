"""Training files: JSON lines or TSV, plain or gzipped; what is wrong with one, line by line."""

import gzip
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

JSON_LINES = (".jsonl", ".ndjson")


def lines_of(path: str | os.PathLike) -> Iterator[tuple[int, str]]:
    """Number, from 1, and text of every line.

    Raises
    ------
    ValueError
        The file is empty, not UTF-8 or not gzip.
    """
    path = Path(path)
    number = 0
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        try:
            for number, raw in enumerate(file, 1):
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                yield number, text.rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} line {number} is not UTF-8: {error.reason}") from None
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path} is not good gzip after line {number}: {error}") from None
    if not number:
        raise ValueError(f"{path} is empty; it should hold one example a line")


def records(
    path: str | os.PathLike, columns: Sequence[Sequence[str]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The examples of a file, each with its place for error messages.

    Parameters
    ----------
    path : path
        .jsonl or .ndjson: a JSON object a line; else tab-separated columns. Either with .gz.
    columns : sequence of sequences of str
        The sets of columns that a line of TSV may have, told apart by their number. Of JSON
        objects, those keys are taken.

    Raises
    ------
    ValueError
        Another number of columns, no JSON object, a missing key, an empty field; no line at all.
    """
    path, found = Path(path), False
    is_json = path.name.removesuffix(".gz").endswith(JSON_LINES)
    for number, line in lines_of(path):
        if not line.strip():
            continue
        where, found = f"{path} line {number}", True
        yield where, _of_json(line, where, columns) if is_json else _of_tsv(line, where, columns)
    if not found:
        raise ValueError(f"{path} has only blank lines; it should hold one example a line")


def _of_tsv(line: str, where: str, columns: Sequence[Sequence[str]]) -> dict[str, str]:
    fields = line.split("\t")
    for names in columns:
        if len(names) == len(fields):
            values = dict(zip(names, fields, strict=True))
            empty = [name for name, value in values.items() if not value.strip()]
            if empty:
                raise ValueError(f"{where}: {empty[0]} is empty")
            return values
    allowed = " or ".join(", ".join(names) for names in columns)
    raise ValueError(f"{where} has {len(fields)} columns, tab-separated; allowed: {allowed}")


def _of_json(line: str, where: str, columns: Sequence[Sequence[str]]) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{where} is a JSON {type(value).__name__}, not an object")
    for names in sorted(columns, key=len, reverse=True):
        if all(name in value for name in names):
            return {name: value[name] for name in names}
    needed = " or ".join(", ".join(names) for names in columns)
    raise ValueError(f"{where} has the keys {', '.join(value) or 'none'}; needed: {needed}")


def text_field(values: dict[str, Any], name: str, where: str) -> str:
    """A field that must be text; a number counts as its digits."""
    value = values[name]
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise ValueError(f"{where}: {name} should be a text, not {value!r}")
    return str(value)


def read_labelled(path: str | os.PathLike) -> list[tuple[str, str | None, str]]:
    """Text, second text or None, and label; TSV: text, label or text, text_pair, label."""
    examples = []
    for where, values in records(path, (("text", "label"), ("text", "text_pair", "label"))):
        pair = text_field(values, "text_pair", where) if values.get("text_pair") else None
        label = text_field(values, "label", where)
        examples.append((text_field(values, "text", where), pair, label))
    return examples


def read_pairs(path: str | os.PathLike) -> list[tuple[str, str, str]]:
    """Language of the target, source, target; TSV: source, target or language, source, target."""
    examples = []
    for where, values in records(path, (("source", "target"), ("language", "source", "target"))):
        language = text_field(values, "language", where) if "language" in values else ""
        source, target = (text_field(values, name, where) for name in ("source", "target"))
        examples.append((language, source, target))
    return examples


def read_monolingual(path: str | os.PathLike) -> list[tuple[str, str]]:
    """Language and sentence, of TSV or JSON lines."""
    return [
        (text_field(values, "language", where), text_field(values, "text", where))
        for where, values in records(path, (("language", "text"),))
    ]


def read_tagged(path: str | os.PathLike) -> list[tuple[list[str], list[str]]]:
    """Words and their tags.

    JSON lines: {"tokens": [...], "tags": [...]}. TSV: a word and its tag a line, a blank line
    after every sentence.
    """
    path = Path(path)
    if path.name.removesuffix(".gz").endswith(JSON_LINES):
        return [_tagged(values, where) for where, values in records(path, (("tokens", "tags"),))]
    sentences: list[tuple[list[str], list[str]]] = [([], [])]
    for number, line in lines_of(path):
        if not line.strip():
            if sentences[-1][0]:
                sentences.append(([], []))
            continue
        values = _of_tsv(line, f"{path} line {number}", (("token", "tag"),))
        sentences[-1][0].append(values["token"])
        sentences[-1][1].append(values["tag"])
    sentences = [s for s in sentences if s[0]]
    if not sentences:
        raise ValueError(f"{path} has only blank lines; it should hold a word and a tag a line")
    return sentences


def _tagged(values: dict[str, Any], where: str) -> tuple[list[str], list[str]]:
    for name in ("tokens", "tags"):
        texts = values[name]
        if not isinstance(texts, list) or not texts or any(type(t) is not str for t in texts):
            raise ValueError(f"{where}: {name} should be a list of texts, not {texts!r}")
    if len(values["tokens"]) != len(values["tags"]):
        raise ValueError(
            f"{where} has {len(values['tokens'])} tokens and {len(values['tags'])} tags"
        )
    return values["tokens"], values["tags"]
