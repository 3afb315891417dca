"""Files of spans for information extraction: PaddleNLP's lines, and the output of this package."""

import os
from typing import Any, NamedTuple

from numpy_erniem.checkpoint.text_files import is_json_lines, read_json_lines, text_field
from numpy_erniem.pipelines.extraction_schema import (
    SchemaItem,
    prompt_language,
    relation_prompt,
    root_prompt,
)

Spans = tuple[tuple[int, int], ...]


class AskedPrompt(NamedTuple):
    """A prompt about a text, with the spans that answer it.

    Attributes
    ----------
    text, prompt : str
    spans : tuple of (int, int)
        Characters of the text: start, and end behind the last one.
    labels : tuple of (int, int)
        Characters of the prompt, where that has the labels of a classification.
    where : str
        What an error calls it.
    """

    text: str
    prompt: str
    spans: Spans
    labels: Spans = ()
    where: str = ""


def read_prompts(path: str | os.PathLike) -> list[AskedPrompt]:
    """The prompts of a file of JSON lines.

    Parameters
    ----------
    path : path
        .jsonl, .ndjson or .txt. Each line is of PaddleNLP's form {"content", "prompt",
        "result_list": [{"text", "start", "end"}, ...]}, where a start below 0 counts in the prompt,
        from one behind its end; or a row that `erniem extract` writes: {"text", "result": {name:
        [{"text", "start", "end", "relations": {...}}, ...]}}. Of the latter, every name of the
        file is asked about every text, and every relation of a name about each of its answers.

    Returns
    -------
    list of AskedPrompt

    Raises
    ------
    ValueError
        A file or a line of another form, or a span that is not in its text.
    """
    if not (is_json_lines(path) or str(path).removesuffix(".gz").endswith(".txt")):
        raise ValueError(f"{path} is no file of JSON lines; its name must end in .jsonl or .txt")
    prompts: list[AskedPrompt] = []
    results: list[tuple[str, str, dict[str, Any]]] = []
    for where, value in read_json_lines(path):
        if not isinstance(value, dict):
            raise ValueError(f"{where} is a JSON {type(value).__name__}, not an object")
        if {"content", "prompt", "result_list"} <= set(value):
            prompts.append(_prompt(value, where))
        elif {"text", "result"} <= set(value) and isinstance(value["result"], dict):
            results.append((where, text_field(value, "text", where), value["result"]))
        else:
            raise ValueError(
                f"{where} has the keys {', '.join(value) or 'none'}; needed: content, prompt, "
                "result_list or text, result"
            )
    if not prompts and not results:
        raise ValueError(f"{path} has no example; it needs one in each line")
    schema: dict[str, Any] = {}
    for where, _, result in results:
        _collect_names(result, schema, where)
    language = prompt_language("auto", _items(schema))
    for where, text, result in results:
        prompts += _of_result(text, result, schema, language, where)
    return prompts


def _prompt(value: dict[str, Any], where: str) -> AskedPrompt:
    """A line of PaddleNLP's form."""
    text, prompt = (text_field(value, key, where) for key in ("content", "prompt"))
    spans, labels = [], []
    for n, span in enumerate(_list(value["result_list"], f"{where}: result_list")):
        at = f"{where}: result_list[{n}]"
        if isinstance(span, dict) and type(span.get("start")) is int and span["start"] < 0:
            behind = len(prompt) + 1  # PaddleNLP counts [SEP] as one character
            moved = {**span, "start": behind + span["start"], "end": behind + _end(span, at)}
            labels.append(_span(moved, prompt, "prompt", at))
        else:
            spans.append(_span(span, text, "text", at))
    return AskedPrompt(text, prompt, tuple(spans), tuple(labels), where)


def _end(span: dict[str, Any], where: str) -> int:
    if type(span.get("end")) is not int:
        raise ValueError(f"{where} has no end, a number of a character")
    return int(span["end"])


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{where} must be a list, not {value!r}")
    return value


def _span(span: Any, text: str, name: str, where: str) -> tuple[int, int]:
    """Start and end of a span, which must be in its text."""
    if not isinstance(span, dict) or not {"text", "start", "end"} <= set(span):
        raise ValueError(f'{where} must be {{"text", "start", "end"}}, not {span!r}')
    start, end = span["start"], span["end"]
    if type(start) is not int or type(end) is not int:
        raise ValueError(f"{where}: start and end must be numbers of characters")
    if not 0 <= start < end <= len(text) or text[start:end] != span["text"]:
        there = text[max(start, 0) : max(end, 0)]
        raise ValueError(
            f"{where}: {span['text']!r} is not at {start}..{end} of the {name}, where there is "
            f"{there!r}"
        )
    return start, end


def _collect_names(result: Any, schema: dict[str, Any], where: str) -> None:
    """Add the names of a result, and those of the relations of its answers, to a schema."""
    if not isinstance(result, dict):
        raise ValueError(f"{where}: a result must be {{name: answers}}, not {result!r}")
    for name, answers in result.items():
        if not name.strip():
            raise ValueError(f"{where} has a blank name in its result")
        below = schema.setdefault(name, {})
        for answer in _list(answers, f"{where}: {name!r}"):
            if not isinstance(answer, dict):
                raise ValueError(f"{where}: an answer of {name!r} must be an object")
            _collect_names(answer.get("relations", {}), below, where)


def _items(schema: dict[str, Any]) -> tuple[SchemaItem, ...]:
    return tuple(SchemaItem(name, _items(below)) for name, below in schema.items())


def _of_result(
    text: str, result: dict[str, Any], schema: dict[str, Any], language: str, where: str
) -> list[AskedPrompt]:
    """The prompts of a text: all names, and all relations about the answers that it has."""
    made: dict[str, tuple[set[tuple[int, int]], set[tuple[int, int]]]] = {}

    def ask(answers: dict[str, Any], names: dict[str, Any], about: str | None) -> None:
        for name, below in names.items():
            is_root = about is None
            prompt = root_prompt(name) if is_root else relation_prompt(name, about, language)
            spans, labels = made.setdefault(prompt, (set(), set()))
            for answer in answers.get(name, []):
                at = f"{where}: {name!r}"
                if "start" in answer:
                    spans.add(_span(answer, text, "text", at))
                    ask(answer.get("relations", {}), below, answer["text"])
                else:
                    labels.add(_label(answer, prompt, at))
                    ask(answer.get("relations", {}), below, answer["text"])

    ask(result, schema, None)
    return [
        AskedPrompt(text, prompt, tuple(sorted(spans)), tuple(sorted(labels)), where)
        for prompt, (spans, labels) in made.items()
    ]


def _label(answer: dict[str, Any], prompt: str, where: str) -> tuple[int, int]:
    """The characters of a label among those at the end of a prompt."""
    text, opening = answer.get("text"), prompt.rfind("[")
    label = root_prompt(text) if isinstance(text, str) else ""
    options = _options(prompt, opening)
    if label not in options:
        raise ValueError(
            f"{where}: {text!r} has no start, and is no label of the prompt {prompt!r}"
        )
    return options[label]


def _options(prompt: str, opening: int) -> dict[str, tuple[int, int]]:
    """The labels of a prompt such as "Mood [good, bad]", with their characters."""
    if opening < 0 or not prompt.endswith("]"):
        return {}
    found, at = {}, opening + 1
    for part in prompt[opening + 1 : -1].split(","):
        start = at + len(part) - len(part.lstrip())
        found[part.strip()] = (start, start + len(part.strip()))
        at += len(part) + 1
    return found
