"""Files of questions: JSON as of SQuAD, and JSON lines; every answer is checked in its context."""

import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from numpy_erniem.checkpoint.text_files import (
    is_json_lines,
    parse_json,
    read_json_lines,
    text_field,
)
from numpy_erniem.checks import warn


class AskedQuestion(NamedTuple):
    """A question about a context, with its right answers.

    Attributes
    ----------
    question, context : str
    answers : tuple of (str, int)
        The text of each answer and the character at which it starts; the first one is trained, all
        are right in an evaluation. Empty: the context has no answer.
    where : str
        What an error calls it.
    """

    question: str
    context: str
    answers: tuple[tuple[str, int], ...]
    where: str = ""


def read_questions(path: str | os.PathLike) -> list[AskedQuestion]:
    """The questions of a file.

    Parameters
    ----------
    path : path
        .json: SQuAD 1 or 2. .jsonl or .ndjson: {"question", "context", "answers"} in each line,
        with answers {"text": [...], "answer_start": [...]}, a list of {"text", "answer_start"}, or
        a list of texts; or with "answer", one text, and perhaps "start". "" and [] mean "no
        answer". Either may be followed by .gz.

    Returns
    -------
    list of AskedQuestion

    Raises
    ------
    ValueError
        A file of another kind, a key that is missing or of a wrong type, or an answer that does not
        stand in its context at its place. The message names the line, or the place in the JSON.
    """
    name = Path(path).name.removesuffix(".gz")
    if is_json_lines(path):
        records = read_json_lines(path)
    elif name.endswith(".json"):
        records = _squad_records(path)
    else:
        raise ValueError(f"{path} is no file of questions; its name must end in .json or .jsonl")
    guessed: list[str] = []
    questions = [_question(value, where, guessed) for where, value in records]
    if not questions:
        raise ValueError(f"{path} has no question")
    if guessed:
        warn(
            f"{len(guessed)} answers without a start are in their context more than once; the "
            f"first place is taken, as in {guessed[0]}"
        )
    return questions


def _squad_records(path: str | os.PathLike) -> Iterator[tuple[str, dict[str, Any]]]:
    """The questions of SQuAD's JSON, each with its context."""
    opener = gzip.open if Path(path).suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            text = file.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error.reason}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is not valid gzip: {error}") from None
    try:
        value = parse_json(text, str(path))
    except ValueError as error:
        raise ValueError(f"{error}; if each line is an object, name it .jsonl") from None
    for n, article in enumerate(_list(value, "data", f"{path}")):
        at = f"{path}: data[{n}]"
        for k, paragraph in enumerate(_list(article, "paragraphs", at)):
            place = f"{at}.paragraphs[{k}]"
            for q, asked in enumerate(_list(paragraph, "qas", place)):
                where = f"{place}.qas[{q}]"
                if not isinstance(asked, dict):
                    raise ValueError(f"{where} is a JSON {type(asked).__name__}, not an object")
                name = f" ({asked['id']})" if isinstance(asked.get("id"), str) else ""
                yield where + name, {**asked, "context": paragraph.get("context")}


def _list(value: Any, key: str, where: str) -> list[Any]:
    """The list at a key of a JSON object."""
    if not isinstance(value, dict) or not isinstance(value.get(key), list):
        raise ValueError(f"{where} has no list {key!r}, which JSON of SQuAD has")
    return list(value[key])


def _question(value: Any, where: str, guessed: list[str]) -> AskedQuestion:
    """A question of a record; places that were guessed are added to `guessed`."""
    if not isinstance(value, dict):
        raise ValueError(f"{where} is a JSON {type(value).__name__}, not an object")
    for key in ("question", "context"):
        if key not in value:
            raise ValueError(f"{where} has no {key!r}; it has {', '.join(value) or 'no key'}")
    question, context = (text_field(value, key, where) for key in ("question", "context"))
    given = _answers(value, where)
    if value.get("is_impossible") is True and given:
        raise ValueError(f"{where} is_impossible and has the answer {given[0][0]!r}; drop one")
    answers = []
    for text, start in given:
        place = _place(text, start, context, where)
        if start is None and context.find(text, place + 1) >= 0:
            guessed.append(where)
        answers.append((text, place))
    return AskedQuestion(question, context, tuple(answers), where)


def _answers(value: dict[str, Any], where: str) -> list[tuple[str, Any]]:
    """Texts and starts, which may be None, of the answers of a record."""
    if ("answers" in value) == ("answer" in value):
        both = "both 'answers' and 'answer'" if "answer" in value else "no 'answers'"
        raise ValueError(f"{where} has {both}; give one of them; [] means that there is none")
    if "answer" in value:
        given = [(value["answer"], value.get("start", value.get("answer_start")))]
        given = [] if value["answer"] == "" else given
    elif isinstance(value["answers"], dict):
        texts, starts = (value["answers"].get(key) for key in ("text", "answer_start"))
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            raise ValueError(f"{where}: answers must have lists text and answer_start, as long")
        given = list(zip(texts, starts, strict=True))
    elif isinstance(value["answers"], list):
        given = [
            (a.get("text"), a.get("answer_start")) if isinstance(a, dict) else (a, None)
            for a in value["answers"]
        ]
    else:
        raise ValueError(f"{where}: answers must be a list, not {value['answers']!r}")
    for text, start in given:
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{where}: an answer must be a text, not {text!r}")
        if start is not None and (type(start) is not int or start < 0):
            raise ValueError(f"{where}: answer_start must be a number of a character, not {start}")
    return given


def _place(text: str, start: int | None, context: str, where: str) -> int:
    """Where an answer starts in its context."""
    first = context.find(text)
    if first < 0:
        raise ValueError(f"{where}: the answer {text!r} is not in the context")
    if start is None:
        return first
    if context[start : start + len(text)] != text:
        raise ValueError(
            f"{where}: the answer {text!r} is not at character {start} of the context, where there "
            f"is {context[start : start + len(text)]!r}; it is at {first}"
        )
    return start
