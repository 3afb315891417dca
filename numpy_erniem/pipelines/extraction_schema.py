"""What information extraction looks for: a schema as names in a tree, and prompts that ask."""

import re
from collections import Counter
from typing import Any, NamedTuple

LANGUAGES = ("auto", "zh", "en")
RIGHT_FORM = (
    'a schema is a name, such as "Time"; a list of names, such as ["Person", "Time"]; names with '
    'what is asked about each, such as {"Person": ["Company", "Position"]}; or a name with labels '
    'to choose from, such as "Sentiment [negative, positive]"'
)
DEEPEST = 16  # levels of a schema
OPTIONS = re.compile(r"\[.*\]$", re.DOTALL)  # the labels at the end of a name
IDEOGRAPHS = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
TO_ASCII = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}


class SchemaItem(NamedTuple):
    """A name that is asked for.

    Attributes
    ----------
    name : str
        As it was given.
    relations : tuple of SchemaItem
        What is asked about each answer.
    """

    name: str
    relations: tuple["SchemaItem", ...] = ()


def parse_schema(schema: Any) -> tuple[SchemaItem, ...]:
    """The items of a schema.

    Parameters
    ----------
    schema : str, list or dict
        A name; a list of names and dicts; or a dict from a name to a name or a list.

    Returns
    -------
    tuple of SchemaItem

    Raises
    ------
    ValueError
        Another form, no name, or one name twice on a level; the message shows the right form.

    Examples
    --------
    >>> parse_schema({"Person": ["Company"]})
    (SchemaItem(name='Person', relations=(SchemaItem(name='Company', relations=()),)),)
    """
    if schema is None:
        raise ValueError(f"there is no schema; give schema=...: {RIGHT_FORM}")
    items = _items(schema, "schema", 1)
    if not items:
        raise ValueError(f"schema is an empty {type(schema).__name__}; {RIGHT_FORM}")
    return items


def _items(value: Any, where: str, depth: int) -> tuple[SchemaItem, ...]:
    """Items of one level; `where` is what an error calls them."""
    if depth > DEEPEST:
        raise ValueError(f"the schema has more than {DEEPEST} levels; ask in several schemas")
    items: list[SchemaItem] = []
    for n, part in enumerate(value if isinstance(value, list | tuple) else [value]):
        place = f"{where}[{n}]" if isinstance(value, list | tuple) else where
        if isinstance(part, str):
            items.append(SchemaItem(_name(part, place)))
        elif isinstance(part, dict):
            items += [_item(name, below, place, depth) for name, below in part.items()]
        else:
            raise ValueError(f"{place} is a {type(part).__name__}; {RIGHT_FORM}")
    counts = Counter(item.name for item in items)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise ValueError(f"{where} has {twice[0]!r} twice; give each name once")
    return tuple(items)


def _item(name: Any, below: Any, where: str, depth: int) -> SchemaItem:
    """A name with what is asked about its answers."""
    if not isinstance(name, str):
        raise ValueError(f"{where} has the {type(name).__name__} {name!r} as a name; {RIGHT_FORM}")
    place = f"{where}[{_name(name, where)!r}]"
    if isinstance(below, dict):
        raise ValueError(f"{place} is a dict; put it into a list; {RIGHT_FORM}")
    return SchemaItem(name, _items(below, place, depth + 1))


def _name(name: str, where: str) -> str:
    if not name.strip():
        raise ValueError(f"{where} has a blank name; {RIGHT_FORM}")
    return name


def levels(items: tuple[SchemaItem, ...]) -> int:
    """How many levels a schema has."""
    return 1 + max((levels(item.relations) for item in items if item.relations), default=0)


def prompt_language(language: str, items: tuple[SchemaItem, ...]) -> str:
    """The language of the prompts.

    Parameters
    ----------
    language : {"auto", "zh", "en"}
        "auto" is Chinese where a name of the schema has a Chinese character, else English.
    items : tuple of SchemaItem

    Returns
    -------
    {"zh", "en"}
    """
    if language != "auto":
        return language
    chinese = any(
        IDEOGRAPHS.search(item.name) or prompt_language("auto", item.relations) == "zh"
        for item in items
    )
    return "zh" if chinese else "en"


def root_prompt(name: str) -> str:
    """The prompt for a name of the first level: the name, full-width characters as ASCII."""
    return name.translate(TO_ASCII)


def relation_prompt(name: str, answer: str, language: str) -> str:
    """The prompt that asks about an answer.

    Parameters
    ----------
    name : str
        What is asked for.
    answer : str
        The text of the answer that it is asked about.
    language : {"zh", "en"}

    Returns
    -------
    str

    Examples
    --------
    >>> relation_prompt("Company", "Steve", "en")
    'Company of Steve'
    >>> relation_prompt("Sentiment [negative, positive]", "the battery", "en")
    'Sentiment of the battery [negative, positive]'
    >>> relation_prompt("情感倾向[正向，负向]", "地址", "zh")
    '地址的情感倾向[正向,负向]'
    """
    name = root_prompt(name)
    labels = OPTIONS.search(name)
    options = labels.group() if labels else ""
    asked = name[: labels.start()].strip() if labels else name
    if language == "zh":
        return root_prompt(f"{answer}的{asked}{options}")
    return root_prompt(f"{asked} of {answer}" + (f" {options}" if options else ""))
