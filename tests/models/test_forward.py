"""The arguments of a forward pass: in upstream's order, passed on by name, without reflection."""

import ast
import inspect
from pathlib import Path

import numpy as np
import pytest

import numpy_erniem
from numpy_erniem.models import MODELS
from numpy_erniem.models.inputs import ENCODER_ARGUMENTS, prepare_inputs
from tests.models.conftest import HEADS, NAMES

PACKAGE = Path(numpy_erniem.__file__).parent
BY_NAME = dict(zip(NAMES, HEADS, strict=True))


def arguments_of(function):
    return list(inspect.signature(function).parameters)


def test_the_arguments_of_the_encoder_are_those_that_are_prepared():
    assert list(ENCODER_ARGUMENTS) == arguments_of(prepare_inputs)[2:]


@pytest.mark.parametrize("name", [name for name in MODELS if name != "ErnieMForMaskedLM"])
def test_signatures_are_upstreams_in_order(name, transformers):
    theirs = arguments_of(getattr(transformers, name).forward)
    assert arguments_of(MODELS[name].forward) == [*theirs, "starts", "key_bias"]


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_what_upstream_does_not_have_is_given_by_name(model):
    parameters = inspect.signature(model.forward).parameters
    by_name = [n for n, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY]
    assert by_name == ["starts", "key_bias"]


def test_no_module_of_models_looks_at_its_local_variables():
    for path in (*PACKAGE.glob("*.py"), *(PACKAGE / "models").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not isinstance(node, ast.Call) or ast.unparse(node.func) != "locals", path


def test_no_signature_is_inspected_during_a_forward_pass(head, rng, monkeypatch):
    model, arguments = head.make(), {**head.inputs(rng), **head.labels}

    def refuse(*args, **kwargs):
        raise AssertionError("a signature was inspected")

    monkeypatch.setattr(inspect, "signature", refuse)
    model(**arguments)


# What every option of the encoder changes, and how that shows.
OPTIONS = {
    "position_ids": lambda T: np.arange(T)[::-1][None].copy(),
    "attention_mask": lambda T: (np.arange(T) < 2)[None].repeat(2, 0),
    "head_mask": lambda T: np.array([0.0, 1, 1]),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_every_head_passes_every_option_on(option, head, rng):
    model = head.make()
    ids = head.inputs(rng)["input_ids"]
    value = OPTIONS[option](ids.shape[-1])
    if option == "attention_mask" and ids.ndim == 3:
        value = np.broadcast_to(value[:, None], ids.shape)
    plain, changed = model(input_ids=ids), model(input_ids=ids, **{option: value})
    for name in head.scores:
        assert np.abs(plain[name] - changed[name]).max() > 1e-3


def test_every_head_passes_vectors_on(head, rng):
    model = head.make()
    ids = head.inputs(rng)["input_ids"]
    vectors = model.get_input_embeddings()[ids]
    for name in head.scores:
        want = model(input_ids=ids, attention_mask=np.ones(ids.shape, int))[name]
        np.testing.assert_allclose(model(inputs_embeds=vectors)[name], want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("option", ["output_hidden_states", "output_attentions"])
def test_every_head_returns_what_is_asked_for(option, head, rng):
    output = head.make()(**head.inputs(rng), **{option: True})
    assert option.removeprefix("output_") in output


@pytest.mark.parametrize("name", ["SequenceClassification", "TokenClassification", "MaskedLM"])
def test_heads_with_a_past_use_it(name, rng):
    model = BY_NAME[name].make()
    ids = rng.integers(2, 99, (1, 3))
    past = [tuple(rng.standard_normal((1, 3, 4, 4), np.float32) for _ in "kv") for _ in range(2)]
    assert np.abs(model(ids).logits - model(ids, past_key_values=past).logits).max() > 1e-3


def test_only_sequence_classification_returns_a_cache(rng):
    ids = rng.integers(2, 99, (1, 3))
    assert BY_NAME["SequenceClassification"].make()(ids, use_cache=True).past_key_values
    model = BY_NAME["TokenClassification"].make(use_cache=True)
    assert "past_key_values" not in model(ids)


def test_an_unknown_argument_of_a_head_names_the_nearest(head, rng):
    with pytest.raises(TypeError, match="unknown argument 'input_id'; did you mean 'input_ids'"):
        head.make()(input_id=head.inputs(rng)["input_ids"])


def test_a_class_of_the_users_has_the_arguments_of_its_own_forward_pass():
    class Mine(numpy_erniem.ErnieMModel):
        def forward(self, question=None):
            return question

    model = Mine(numpy_erniem.ErnieMConfig(vocab_size=9, hidden_size=12, num_hidden_layers=0))
    assert model(question=3) == 3
    with pytest.raises(TypeError, match="did you mean 'question'"):
        model(questions=3)
