"""JSON Schema, as much of it as the requests use: one description to check and to publish."""

from typing import Any

from numpy_erniem.serving.errors import MISSING, WRONG_TYPE, WRONG_VALUE

Schema = dict[str, Any]

TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}
STRING: Schema = {"type": "string"}
BOOLEAN: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 1}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}


class SchemaError(ValueError):
    """A value that is not as its schema says.

    Parameters
    ----------
    place : str
        What names it, such as "input[3]".
    rule : str
        What is wrong with it.
    path : tuple of int
        Where it is inside of the value that was checked.
    code : str
        As of `RequestError`.
    """

    def __init__(
        self, place: str, rule: str, path: tuple[int, ...] = (), code: str = WRONG_VALUE
    ) -> None:
        super().__init__(f"{place} {rule}")
        self.place = place
        self.path = path
        self.code = code


def one_of(*values: str) -> Schema:
    """A string out of a few."""
    return {"type": "string", "enum": list(values)}


def list_of(schema: Schema) -> Schema:
    """A list of at least one."""
    return {"type": "array", "items": schema, "minItems": 1}


def record(required: tuple[str, ...], **properties: Schema) -> Schema:
    """An object with these keys; others are ignored."""
    return {"type": "object", "properties": properties, "required": list(required)}


def any_of(*schemas: Schema) -> Schema:
    """A value of one of several forms."""
    return {"anyOf": list(schemas)}


def check_schema(value: Any, schema: Schema, place: str, path: tuple[int, ...] = ()) -> None:
    """Raise a SchemaError for a value that is not as the schema says.

    Parameters
    ----------
    value : object
        As JSON gives it.
    schema : dict
        With the keywords of this module.
    place : str
        What an error calls the value.
    path : tuple of int
        Where it is inside of a larger value.

    Raises
    ------
    SchemaError
        It names the place inside of the value and the rule.
    """
    if "anyOf" in schema:
        _check_any(value, schema["anyOf"], place, path)
        return
    kind, rule = schema.get("type"), None
    if kind is not None and not _is(value, kind):
        rule = f"is {_kind_of(value)}, not {_article(kind)}"
        raise SchemaError(place, rule, path, WRONG_TYPE)
    if "enum" in schema and value not in schema["enum"]:
        rule = f"is not one of {', '.join(map(str, schema['enum']))}"
    low, high = schema.get("minimum"), schema.get("maximum")
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        rule = _range(low, high)
    rule = rule or _wrong_size(value, schema)
    if rule is not None:  # nearer than a wrong type
        raise SchemaError(place, rule, (*path, 0))
    if kind == "object":
        _check_keys(value, schema, place, path)
    elif kind == "array" and "items" in schema and not _all_right(value, schema["items"]):
        for n, item in enumerate(value):
            check_schema(item, schema["items"], f"{place}[{n}]", (*path, n))


def _all_right(values: list[Any], schema: Schema) -> bool:
    """Whether all of many integers are as a schema says; False where that is not clear."""
    if not values or schema.get("type") != "integer" or set(map(type, values)) != {int}:
        return False
    low, high = schema.get("minimum"), schema.get("maximum")
    return (low is None or min(values) >= low) and (high is None or max(values) <= high)


def _check_keys(value: dict[str, Any], schema: Schema, place: str, path: tuple[int, ...]) -> None:
    for name in schema.get("required", ()):
        if name not in value:
            raise SchemaError(place, f"has no {name!r}", path, MISSING)
    for name, part in schema.get("properties", {}).items():
        if name in value:
            check_schema(value[name], part, f"{place}.{name}", (*path, 0))


def _wrong_size(value: Any, schema: Schema) -> str | None:
    """What is wrong with the number of items or characters."""
    if not isinstance(value, str | list):
        return None
    least = schema.get("minLength" if isinstance(value, str) else "minItems", 0)
    if len(value) >= least:
        return None
    return "is empty" if not value else f"has fewer than {least} items"


def _check_any(value: Any, schemas: list[Schema], place: str, path: tuple[int, ...]) -> None:
    """Raise the error of the form that comes nearest to a value: the one found last in it."""
    errors = []
    for schema in schemas:
        try:
            return check_schema(value, schema, place, path)
        except SchemaError as error:
            errors.append(error)
    kinds = [schema.get("type", "") for schema in schemas]
    if not any(_is(value, kind) for kind in kinds):
        names = " or ".join(dict.fromkeys(map(_article, kinds)))
        raise SchemaError(place, f"is {_kind_of(value)}, not {names}", path, WRONG_TYPE)
    of_kind = [e for e, kind in zip(errors, kinds, strict=True) if _is(value, kind)]
    raise max(of_kind, key=lambda error: error.path)


def _is(value: Any, kind: str) -> bool:
    """Whether a value has a type of JSON; true and false are no numbers."""
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, TYPES.get(kind, ()))


def _kind_of(value: Any) -> str:
    """What a message calls the type of a value."""
    order = ("null", "boolean", "string", "integer", "number", "array", "object")
    return _article(next((kind for kind in order if _is(value, kind)), type(value).__name__))


def _article(kind: str) -> str:
    return kind if kind == "null" else f"a{'n' * (kind[:1] in 'aio')} {kind}"


def _range(low: float | None, high: float | None) -> str:
    if high is None:
        return f"is below {low}"
    return f"is above {high}" if low is None else f"is not in {low}..{high}"
