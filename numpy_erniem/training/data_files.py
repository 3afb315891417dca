"""The files of examples that training reads: JSON lines or TSV, plain or gzipped."""

import math
import os
from collections import Counter
from typing import Any

from numpy_erniem.checkpoint.header_lines import read_header
from numpy_erniem.checkpoint.text_files import (
    is_json_lines,
    parse_columns,
    read_lines,
    read_records,
    text_field,
)
from numpy_erniem.checks import warn

TAGGED = ("tokens", "tags")  # keys of a JSON line
TEXT_NAMES = {  # of columns and keys, in other data sets
    **dict.fromkeys(("sentence", "sentence1", "premise", "text_a"), "text"),
    **dict.fromkeys(("sentence2", "hypothesis", "text_b"), "text_pair"),
    **dict.fromkeys(("labels", "class", "category", "gold_label", "intent"), "label"),
}
TAG_NAMES = {"words": "tokens", "labels": "tags"}  # of a JSON line; of a table:
TAG_COLUMNS = {
    **dict.fromkeys(("word", "words", "tokens"), "token"),
    **dict.fromkeys(("label", "labels", "tags", "ner"), "tag"),
}
SENTENCE_NAMES = {"lang": "language", "sentence": "text"}
PAIR_NAMES = {
    "lang": "language",
    **dict.fromkeys(("src", "english", "sentence1"), "source"),
    **dict.fromkeys(("tgt", "translation", "sentence2"), "target"),
}


def read_labelled(path: str | os.PathLike) -> list[tuple[str, str | None, str]]:
    """Text, second text or None, and label; TSV: text, label or text, text_pair, label."""
    examples = []
    columns = (("text", "label"), ("text", "text_pair", "label"))
    for where, values in read_records(path, columns, TEXT_NAMES):
        is_pair = values.get("text_pair") not in (None, "")
        pair = text_field(values, "text_pair", where) if is_pair else None
        label = _label(text_field(values, "label", where), "label", where)
        examples.append((text_field(values, "text", where), pair, label))
    if not is_json_lines(path):
        _warn_of_header(path, [label for *_, label in examples])
    return examples


def _warn_of_header(path: str | os.PathLike, labels: list[str]) -> None:
    """Warn if the first label of a table is the only one that it has once: a header, perhaps."""
    counts = Counter(labels)
    if [label for label in counts if counts[label] == 1] == labels[:1] and len(counts) > 2:
        warn(
            f"{path} has the label {labels[0]!r} once, in its first line; if that is a header, "
            "name its columns text and label, or remove it"
        )


def _label(label: str, name: str, where: str) -> str:
    """A label without white space around it; ValueError else: it would be a class of its own."""
    if label != label.strip():
        raise ValueError(
            f"{where}: the {name} {label!r} has white space around it; remove it, or it is another "
            f"{name} than {label.strip()!r}"
        )
    return label


def read_pairs(path: str | os.PathLike) -> list[tuple[str, str, str]]:
    """Language of the target ("" if not given), source, target.

    TSV: source, target or language, source, target.
    """
    columns = (("source", "target"), ("language", "source", "target"))
    examples = []
    for where, values in read_records(path, columns, PAIR_NAMES):
        language = text_field(values, "language", where) if "language" in values else ""
        source, target = (text_field(values, name, where) for name in ("source", "target"))
        examples.append((language, source, target))
    return examples


def read_monolingual(path: str | os.PathLike) -> list[tuple[str, str]]:
    """Language and sentence; TSV: language, text."""
    return [
        (text_field(values, "language", where), text_field(values, "text", where))
        for where, values in read_records(path, (("language", "text"),), SENTENCE_NAMES)
    ]


def read_tagged(path: str | os.PathLike) -> list[tuple[list[str], list[str]]]:
    """Words and their tags.

    JSON lines: {"tokens": [...], "tags": [...]}. TSV: a word and its tag in each line, and a blank
    line after each sentence.
    """
    if is_json_lines(path):
        records = read_records(path, [TAGGED], TAG_NAMES)
        return [_tagged(values, where) for where, values in records]
    sentences: list[tuple[list[str], list[str]]] = [([], [])]
    header = None
    for number, line in read_lines(path):
        if not line.strip():
            if sentences[-1][0]:
                sentences.append(([], []))
            continue
        where = f"{path} line {number}"
        if number == 1:
            header = read_header(line, where, [("token", "tag")], TAG_COLUMNS)
            if header is not None:
                continue
        values = parse_columns(line, where, [("token", "tag")], header)
        sentences[-1][0].append(values["token"])
        sentences[-1][1].append(_label(values["tag"], "tag", where))
    sentences = [s for s in sentences if s[0]]
    if not sentences:
        raise ValueError(f"{path} has no example; it needs a word and a tag in each line")
    return sentences


def _tagged(values: dict[str, Any], where: str) -> tuple[list[str], list[str]]:
    for name in TAGGED:
        texts = values[name]
        if not isinstance(texts, list) or not texts or any(type(t) is not str for t in texts):
            raise ValueError(f"{where}: {name} must be a list of texts, not {texts!r}")
    tokens, tags = (values[name] for name in TAGGED)
    if len(tokens) != len(tags):
        raise ValueError(f"{where} has {len(tokens)} tokens and {len(tags)} tags")
    for tag in tags:
        if not _label(tag, "tag", where):
            raise ValueError(f"{where} has an empty tag; use O for words that are nothing")
    return tokens, tags


def read_choices(path: str | os.PathLike) -> list[tuple[str, list[str], int]]:
    """Prompt, choices, and the number of the right one; JSON lines.

    {"prompt", "choices": [...], "label"}, where the label is the number of the right choice,
    counted from 0, or its text.
    """
    if not is_json_lines(path):
        raise ValueError(f"{path} is no file of JSON lines, which choices need; name it .jsonl")
    names = {"answer": "label", "question": "prompt"}
    examples = []
    for where, values in read_records(path, [("prompt", "choices", "label")], names):
        choices, label = values["choices"], values["label"]
        prompt = text_field(values, "prompt", where)
        if not isinstance(choices, list) or any(
            type(text) is not str or not text.strip() for text in choices
        ):
            raise ValueError(f"{where}: choices must be a list of texts, not {choices!r}")
        if len(choices) < 2:
            raise ValueError(f"{where} has {len(choices)} choices; at least two are needed")
        if isinstance(label, str):
            if choices.count(label) != 1:
                raise ValueError(f"{where}: the label {label!r} is not one of the choices, once")
            label = choices.index(label)
        if type(label) is not int or not 0 <= label < len(choices):
            raise ValueError(
                f"{where}: the label {label!r} is not the number of a choice, 0..{len(choices) - 1}"
            )
        examples.append((prompt, choices, label))
    return examples


def read_ranked(path: str | os.PathLike) -> list[tuple[str, str, float]]:
    """Query, text, and how relevant the text is.

    TSV: query, text, score. JSON lines: {"query", "text", "score"}, with "label" for "score" if
    need be; or {"query", "positives": [...], "negatives": [...]}, whose scores are 1 and 0.
    """
    names = {"label": "score", "relevance": "score", "passage": "text", "document": "text"}
    names |= {"pos": "positives", "positive": "positives"}
    names |= {"neg": "negatives", "negative": "negatives"}
    columns = [("query", "text", "score")]
    if is_json_lines(path):
        columns.append(("query", "positives", "negatives"))
    examples = []
    for where, values in read_records(path, columns, names):
        query = text_field(values, "query", where)
        if "text" in values:
            examples.append((query, text_field(values, "text", where), _score(values, where)))
            continue
        for name, score in (("positives", 1.0), ("negatives", 0.0)):
            texts = [values[name]] if isinstance(values[name], str) else values[name]
            if not isinstance(texts, list) or any(
                type(text) is not str or not text.strip() for text in texts
            ):
                raise ValueError(f"{where}: {name} must be a list of texts, not {texts!r}")
            examples += [(query, text, score) for text in texts]
    return examples


def _score(values: dict[str, Any], where: str) -> float:
    """A score that must be a finite number."""
    value = values["score"]
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError
        score = float(value)
        if not math.isfinite(score):
            raise ValueError
    except (ValueError, OverflowError):
        raise ValueError(f"{where}: score must be a finite number, not {value!r}") from None
    return score
