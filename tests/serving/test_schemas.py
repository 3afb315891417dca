"""Values are checked by the schemas that are published."""

import pytest

from numpy_erniem.serving.schemas import (
    COUNT,
    SHARE,
    STRING,
    SchemaError,
    any_of,
    check_schema,
    list_of,
    one_of,
    record,
)

PAIR = record(("a",), a=COUNT, b=STRING)
RIGHT = [
    ("x", STRING),
    (3, COUNT),
    (1, SHARE),
    (0.5, SHARE),
    ("b", one_of("a", "b")),
    ([1, 2], list_of(COUNT)),
    ({"a": 1, "other": None}, PAIR),
    ([["x"]], any_of(list_of(COUNT), list_of(list_of(STRING)))),
    ([], {"type": "array"}),
]
WRONG = [
    (3, STRING, "v is an integer, not a string"),
    (None, STRING, "v is null, not a string"),
    (True, COUNT, "v is a boolean, not an integer"),
    (1.0, COUNT, "v is a number, not an integer"),
    (0, COUNT, "v is below 1"),
    (1.5, SHARE, "v is not in 0..1"),
    (float("nan"), SHARE, "v is not in 0..1"),
    ("c", one_of("a", "b"), "v is not one of a, b"),
    ([], list_of(COUNT), "v is empty"),
    ([1, 0], list_of(COUNT), "v[1] is below 1"),
    ({}, PAIR, "v has no 'a'"),
    ({"a": 0}, PAIR, "v.a is below 1"),
    ({"a": 1, "b": 2}, PAIR, "v.b is an integer, not a string"),
    (1, any_of(STRING, list_of(STRING)), "v is an integer, not a string or an array"),
    ([[]], any_of(list_of(STRING), list_of(list_of(COUNT))), "v[0] is empty"),
    ([0], any_of(list_of(STRING), list_of(COUNT)), "v[0] is below 1"),
    (["a", 1], any_of(list_of(COUNT), list_of(STRING)), "v[1] is an integer, not a string"),
]


@pytest.mark.parametrize(("value", "schema"), RIGHT)
def test_a_value_of_the_form_is_taken(value, schema):
    check_schema(value, schema, "v")


@pytest.mark.parametrize(("value", "schema", "message"), WRONG)
def test_another_value_is_refused_by_its_place(value, schema, message):
    with pytest.raises(SchemaError) as error:
        check_schema(value, schema, "v")
    assert str(error.value) == message
