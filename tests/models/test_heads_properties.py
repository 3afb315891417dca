"""What must hold for every head, whatever the numbers: no torch needed."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpy_erniem import ErnieMModel
from tests.models.conftest import HEADS, NAMES, SMALL, B, C, D, H, L, T, V

EVERYTHING = {"output_hidden_states": True, "output_attentions": True}
every_head = pytest.mark.parametrize("name", NAMES)
MODELS = {name: head.make() for name, head in zip(NAMES, HEADS, strict=True)}
BY_NAME = dict(zip(NAMES, HEADS, strict=True))


@settings(deadline=None, max_examples=20)
@given(
    lengths=st.lists(st.integers(1, 18), min_size=1, max_size=5),
    padding=st.integers(0, V - 1),
    seed=st.integers(0, 2**32 - 1),
)
@every_head
def test_a_batch_is_its_texts_one_by_one(name, lengths, padding, seed):
    """Whatever stands in the padding, real tokens do not see it."""
    head, model, rng = BY_NAME[name], MODELS[name], np.random.default_rng(seed)
    choices = (C,) if name == "MultipleChoice" else ()
    ids = rng.integers(2, V, (len(lengths), *choices, max(lengths)))
    mask = np.zeros_like(ids)
    for row, length in enumerate(lengths):
        mask[row, ..., :length] = 1
        ids[row, ..., length:] = padding
    batch = model(ids, attention_mask=mask)
    for row, length in enumerate(lengths):
        single = model(ids[row : row + 1, ..., :length])
        for score in head.scores:
            got, want = batch[score][row], single[score][0]
            per_token = name not in ("SequenceClassification", "MultipleChoice")
            got = got[:length] if per_token else got
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)


@settings(deadline=None, max_examples=20)
@given(order=st.permutations(range(5)), seed=st.integers(0, 2**32 - 1))
@every_head
def test_the_order_of_a_batch_does_not_matter(name, order, seed):
    head, model, rng = BY_NAME[name], MODELS[name], np.random.default_rng(seed)
    choices = (C,) if name == "MultipleChoice" else ()
    ids = rng.integers(1, V, (5, *choices, T))
    first, second = model(ids), model(ids[list(order)])
    for score in head.scores:
        np.testing.assert_allclose(second[score], first[score][list(order)], rtol=0, atol=1e-5)


def test_arguments_are_never_changed(head, backend, rng):
    model = head.make()
    inputs = head.inputs(rng)
    inputs |= {"position_ids": rng.integers(0, 18, inputs["input_ids"].shape)}
    inputs |= {"head_mask": rng.random((L, H), np.float32), **copy.deepcopy(head.labels)}
    embedded = {k: v for k, v in inputs.items() if k != "input_ids"}
    shape = (*inputs["input_ids"].shape, D)
    embedded["inputs_embeds"] = rng.standard_normal(shape, np.float32)
    for arguments in (inputs, embedded):
        before = copy.deepcopy(arguments)
        model(**arguments)
        for name, value in before.items():
            np.testing.assert_array_equal(arguments[name], value, err_msg=name)


def test_read_only_arguments_and_lists_will_do(head, rng):
    model = head.make()
    arguments = {**head.inputs(rng), **head.labels}
    lists = {name: value.tolist() for name, value in arguments.items()}
    want = model(**arguments).to_tuple()
    for value in arguments.values():
        value.flags.writeable = False
    for got in (model(**arguments).to_tuple(), model(**lists).to_tuple()):
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a, b)
    for value in arguments.values():
        value.flags.writeable = True


def flattened(values):
    for value in values:
        yield from flattened(value) if isinstance(value, tuple) else (value,)


def test_the_tuple_holds_the_named_fields_in_order(head, rng):
    model = head.make()
    arguments = {**head.inputs(rng), **head.labels, **EVERYTHING}
    named = model(**arguments)
    got = model(**arguments, return_dict=False)
    assert list(named) == ["loss", *head.scores, "hidden_states", "attentions"]
    assert type(got) is tuple
    assert len(got) == len(named)
    for a, b in zip(flattened(got), flattened(named.values()), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_tuple_leaves_out_what_is_not_there(head, rng):
    arguments = head.inputs(rng)
    assert len(head.make()(**arguments, return_dict=False)) == len(head.scores)
    assert head.make()(**arguments).loss is None


def test_return_dict_none_is_the_configs(head, rng):
    arguments = {**head.inputs(rng), **head.labels}
    model = head.make(return_dict=False)
    assert isinstance(model(**arguments), tuple)
    assert isinstance(model(**arguments, return_dict=None), tuple)
    assert model(**arguments, return_dict=True).loss is not None


def test_what_to_return_is_the_configs_by_default(head, rng):
    arguments = head.inputs(rng)
    model = head.make(output_hidden_states=True, output_attentions=True)
    output = model(**arguments)
    texts = B * C if "Choice" in head.name else B
    assert [x.shape for x in output.hidden_states] == [(texts, T, D)] * (L + 1)
    assert [x.shape for x in output.attentions] == [(texts, H, T, T)] * L
    silent = model(**arguments, output_hidden_states=False, output_attentions=False)
    assert list(silent) == list(head.scores)


def test_a_cache_is_returned_where_it_can_be_asked_for(head, rng):
    arguments = head.inputs(rng)
    by_config = head.make(use_cache=True)(**arguments)
    if head.name != "ErnieMForSequenceClassification":
        assert "past_key_values" not in by_config
        return
    asked = head.make()(**arguments, use_cache=True)
    for output in (by_config, asked):
        assert list(output) == ["logits", "past_key_values"]
        assert [x.shape for kv in output.past_key_values for x in kv] == [(B, H, T, D // H)] * 4
    assert list(head.make(use_cache=True)(**arguments, use_cache=False)) == ["logits"]


def test_a_token_classifier_sees_the_past(rng):
    """Tokens after a cache have the scores they have in the whole text, when all look back only."""
    model = MODELS["TokenClassification"]
    encoder = ErnieMModel(model.config, add_pooling_layer=False)
    encoder.weights = model.weights["ernie_m"]
    ids = rng.integers(2, V, (B, T))
    causal = np.tril(np.ones((B, T, T), bool))
    whole = model(ids, attention_mask=causal).logits
    past = encoder(ids[:, :4], attention_mask=causal[:, :4, :4], use_cache=True).past_key_values
    rest = model(ids[:, 4:], attention_mask=causal[:, 4:], past_key_values=past).logits
    np.testing.assert_allclose(rest, whole[:, 4:], rtol=0, atol=1e-5)


def test_results_have_the_dtype_of_the_model(head, backend, rng):
    arguments = {**head.inputs(rng), **head.labels, **EVERYTHING}
    for dtype in ("float32", "float64"):
        model = head.model(head.make().config, dtype=dtype)
        assert {a.dtype.name for a in flattened(model(**arguments).values())} == {dtype}


def test_float32_is_close_to_float64(head, backend, rng, close):
    arguments = head.inputs(rng)
    exact = head.model(head.make().config, dtype="float64", seed=4)(**arguments)
    got = head.model(head.make().config, seed=4)(**arguments)
    for score in head.scores:
        close(got[score], exact[score].astype(np.float32), "model", score)


def test_a_pickled_model_gives_the_same(head, rng):
    model = head.make()
    arguments = head.inputs(rng)
    again = pickle.loads(pickle.dumps(model))
    for a, b in zip(again(**arguments).values(), model(**arguments).values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_callers_config_is_its_own(head, rng):
    config = head.make().config
    before = copy.deepcopy(config)
    model = head.model(config)
    model(**head.inputs(rng), **head.labels)
    model.prune_heads({0: [1]})
    model.resize_token_embeddings(120)
    assert config == before
    assert model.config.pruned_heads == {0: [1]}
    assert SMALL["vocab_size"] == config.vocab_size != model.config.vocab_size


def test_eval_is_the_model(head):
    model = head.make()
    assert model.eval() is model
