"""What is known about heads is in one table, and true of the models."""

import pytest

import numpy_erniem
from numpy_erniem import ErnieMConfig
from numpy_erniem.models import MODELS
from numpy_erniem.models.schema import (
    HEAD_PARTS,
    PADDLE_CLASSES,
    PREFIX,
    SCHEMAS,
    intermediate_size_of,
    schema_of,
)
from numpy_erniem.models.weights import flatten
from tests.models.conftest import SMALL, F


def test_every_model_has_a_schema_and_the_other_way_round():
    assert {name: model.schema.name for name, model in MODELS.items()} == {n: n for n in SCHEMAS}


@pytest.mark.parametrize("name", SCHEMAS)
def test_pooler_and_tensors_are_those_of_the_model(name):
    config = ErnieMConfig(**SMALL)
    weights = flatten(getattr(numpy_erniem, name)(config).weights)
    assert any("pooler" in tensor for tensor in weights) == SCHEMAS[name].pooler
    head = {tensor for tensor in weights if tensor.startswith(HEAD_PARTS)}
    assert head == set(SCHEMAS[name].head(config))
    assert all(t.startswith(PREFIX) for t in weights if t not in head) or name == "ErnieMModel"


def test_the_parts_of_heads_are_all_that_heads_have():
    tensors = [t for s in SCHEMAS.values() for t in s.head(ErnieMConfig(**SMALL))]
    assert {tensor.partition(".")[0] + "." for tensor in tensors} == set(HEAD_PARTS)


def test_names_of_other_libraries_lead_to_tensors_of_ours():
    poolers = {f"{PREFIX}pooler.dense.weight", f"{PREFIX}pooler.dense.bias"}
    for schema in SCHEMAS.values():
        head = set(schema.head(ErnieMConfig()))
        for names in (schema.roberta, schema.bert):
            assert not names or set(names.values()) - poolers == head
    assert schema_of("UIEM") is SCHEMAS[PADDLE_CLASSES["UIEM"]]
    assert schema_of("T5") is None


def test_the_intermediate_size_is_read_from_the_weights():
    tensors = flatten(numpy_erniem.ErnieMForMaskedLM(ErnieMConfig(**SMALL)).weights)
    assert intermediate_size_of(tensors) == F
    assert intermediate_size_of({}) is None
    layers = [name for name in tensors if name.endswith("linear1.weight")]
    assert intermediate_size_of({**tensors, layers[0]: tensors[layers[0]][1:]}) is None
