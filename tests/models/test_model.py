"""ErnieMModel's own behaviour: arguments, outputs, errors, where upstream has none or breaks."""

import numpy as np
import pytest

from tests.oracles import ids_and_mask, our_model


@pytest.fixture(scope="module")
def model():
    return our_model()


def test_padding_tokens_do_not_change_real_tokens(model, backend, rng, close):
    ids, mask = ids_and_mask(rng)
    other = ids.copy()
    other[1, 4:] = 50
    got, want = (model(i, attention_mask=mask).last_hidden_state for i in (ids, other))
    close(got[1, :4], want[1, :4], "exact")
    alone = model(ids[1:, :4]).last_hidden_state
    close(got[1:, :4], alone, "primitive")


def test_mask_ranks_that_say_the_same_give_the_same(model, backend, rng, close):
    ids, mask = ids_and_mask(rng)
    want = model(ids, attention_mask=mask).last_hidden_state
    three = np.broadcast_to(mask[:, None, :], (2, 7, 7))
    four = np.broadcast_to(mask[:, None, None, :], (2, 1, 7, 7))
    heads = np.broadcast_to(mask[:, None, None, :], (2, 3, 7, 7))
    for m in (three, four, heads, mask.astype(bool), mask.astype(np.float32), mask.tolist()):
        close(model(ids, attention_mask=m).last_hidden_state, want, "primitive")


def test_3d_mask_hides_keys_per_query(model, backend, rng):
    ids, _ = ids_and_mask(rng)
    causal = np.broadcast_to(np.tril(np.ones((7, 7), int)), (2, 7, 7))
    changed = ids.copy()
    changed[:, -1] = 3
    a, b = (model(i, attention_mask=causal).last_hidden_state for i in (ids, changed))
    np.testing.assert_array_equal(a[:, :-1], b[:, :-1])
    assert np.abs(a[:, -1] - b[:, -1]).max() > 1e-2


def test_4d_mask_hides_keys_per_head(model, backend, rng):
    ids, _ = ids_and_mask(rng)
    mask = np.ones((2, 3, 7, 7), int)
    mask[:, 1, :, 2] = 0
    output = model(ids, attention_mask=mask, output_attentions=True)
    assert (output.attentions[0][:, 1, :, 2] == 0).all()
    assert (output.attentions[0][:, [0, 2], :, 2] > 0).all()


def test_use_cache_continues_a_text(model, backend, rng, close):
    ids, _ = ids_and_mask(rng)
    first = model(ids[:, :4], use_cache=True)
    assert first.past_key_values[0][0].shape == (2, 3, 4, 4)
    rest = model(ids[:, 4:], past_key_values=first.past_key_values, use_cache=True)
    assert rest.past_key_values[2][1].shape == (2, 3, 7, 4)
    # the same as all tokens at once, where earlier tokens may not see later ones
    block = np.ones((7, 7), int)
    block[:4, 4:] = 0
    want = model(ids, attention_mask=np.broadcast_to(block, (2, 7, 7))).last_hidden_state
    close(rest.last_hidden_state, want[:, 4:], "primitive")


def test_padding_after_a_past_is_hidden_and_the_past_is_seen(model, backend, rng, close):
    ids = rng.integers(3, 99, (2, 7))
    ids[1, 5:] = model.config.hidden_token_id
    past = model(ids[:, :4], use_cache=True).past_key_values
    mask = np.concatenate([np.ones((2, 4), int), ids[:, 4:] != model.config.hidden_token_id], 1)
    want = model(ids[:, 4:], past_key_values=past, attention_mask=mask).last_hidden_state
    close(model(ids[:, 4:], past_key_values=past).last_hidden_state, want, "exact")
    unseen = np.where(np.arange(7) < 4, 0, mask)
    other = model(ids[:, 4:], past_key_values=past, attention_mask=unseen).last_hidden_state
    assert np.abs(other - want).max() > 1e-3


@pytest.mark.parametrize("kind", ["relative_key", "relative_key_query"])
def test_use_cache_continues_relative_positions(kind, backend, rng, close):
    model = our_model(position_embedding_type=kind)
    ids, _ = ids_and_mask(rng)
    first = model(ids[:, :4], use_cache=True)
    rest = model(ids[:, 4:], past_key_values=first.past_key_values)
    block = np.ones((7, 7), int)
    block[:4, 4:] = 0
    want = model(ids, attention_mask=np.broadcast_to(block, (2, 7, 7))).last_hidden_state
    close(rest.last_hidden_state, want[:, 4:], "primitive")


def test_nothing_is_returned_that_was_not_asked_for(model, rng):
    assert list(model(ids_and_mask(rng)[0])) == ["last_hidden_state", "pooler_output"]


def test_configs_defaults_of_what_to_return_are_honoured(rng):
    model = our_model(output_attentions=True, output_hidden_states=True, use_cache=True)
    ids, _ = ids_and_mask(rng)
    assert len(model(ids)) == 5
    off = model(ids, output_attentions=False, output_hidden_states=False, use_cache=False)
    assert len(off) == 2


def test_tuple_holds_the_named_fields_in_order(model, rng):
    ids, _ = ids_and_mask(rng)
    wanted = {"use_cache": True, "output_hidden_states": True, "output_attentions": True}
    named, plain = model(ids, **wanted), model(ids, **wanted, return_dict=False)
    assert isinstance(plain, tuple)
    assert list(named) == [
        "last_hidden_state",
        "pooler_output",
        "past_key_values",
        "hidden_states",
        "attentions",
    ]
    for a, b in zip(named.to_tuple(), plain, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_return_dict_default_is_the_configs(rng):
    model = our_model(return_dict=False)
    assert isinstance(model(ids_and_mask(rng)[0]), tuple)


def test_output_by_attribute_key_and_index(model, rng):
    output = model(ids_and_mask(rng)[0])
    assert output.last_hidden_state is output["last_hidden_state"] is output[0]
    assert output[:2] == output.to_tuple()
    assert output.attentions is None
    assert "attentions" not in output
    with pytest.raises(KeyError, match="pooler_output"):
        output["attentions"]


def test_no_pooling_layer_no_pooler_output(rng):
    model = our_model(add_pooling_layer=False)
    assert "pooler" not in model.weights
    assert list(model(ids_and_mask(rng)[0])) == ["last_hidden_state"]


def test_no_layers_is_the_embeddings(rng):
    model = our_model(num_hidden_layers=0)
    ids, _ = ids_and_mask(rng)
    output = model(ids, output_hidden_states=True)
    np.testing.assert_array_equal(output.hidden_states[0], output.last_hidden_state)


def test_arguments_are_never_changed(model, backend, rng):
    ids, mask = ids_and_mask(rng)
    arguments = {
        "input_ids": ids,
        "position_ids": np.arange(7)[None],
        "attention_mask": mask.astype(np.float32),
        "head_mask": rng.random(3, np.float32),
    }
    before = {k: v.copy() for k, v in arguments.items()}
    first = model(**arguments).last_hidden_state
    second = model(**arguments).last_hidden_state
    np.testing.assert_array_equal(first, second)
    for name, value in arguments.items():
        np.testing.assert_array_equal(value, before[name], name)


def test_results_are_float32(model, backend, rng):
    output = model(
        ids_and_mask(rng)[0], output_hidden_states=True, output_attentions=True, use_cache=True
    )
    arrays = [output[0], output[1], *output.hidden_states, *output.attentions]
    arrays += [a for pair in output.past_key_values for a in pair]
    assert {a.dtype for a in arrays} == {np.dtype(np.float32)}


IDS = np.full((2, 7), 9)
BAD = {
    "no input": ({}, "neither is given"),
    "both inputs": ({"input_ids": IDS, "inputs_embeds": np.ones((2, 7, 12))}, "both are given"),
    "id too large": ({"input_ids": [[3, 99]]}, r"input_ids\[0, 1\] is 99, not in 0..98"),
    "id negative": ({"input_ids": [[3], [-1]]}, r"input_ids\[1, 0\] is -1"),
    "no texts": ({"input_ids": []}, r"shape \(0,\).*at least one"),
    "no tokens": ({"input_ids": [[]]}, r"shape \(1, 0\)"),
    "one axis": ({"input_ids": [3, 4]}, r"a single text of n tokens is \(1, n\)"),
    "ragged": ({"input_ids": [[3], [3, 4]]}, "padding=True"),
    "float ids": ({"input_ids": [[3.0]]}, "integer"),
    "text": ({"input_ids": [["a"]]}, "input_ids must hold"),
    "too long": ({"input_ids": np.full((1, 19), 3)}, "19 tokens are more than the 18"),
    "mask shape": ({"input_ids": IDS, "attention_mask": np.ones((2, 6))}, r"\(2, 6\), not one of"),
    "mask rank": ({"input_ids": IDS, "attention_mask": np.ones(7)}, r"\(2, 7, 7\)"),
    "mask value": ({"input_ids": IDS, "attention_mask": np.full((2, 7), 2)}, "between 2 and 2"),
    "mask NaN": ({"input_ids": IDS, "attention_mask": np.full((2, 7), np.nan)}, "other values"),
    "mask text": ({"input_ids": IDS, "attention_mask": [["1"] * 7] * 2}, "attention_mask must"),
    "positions": ({"input_ids": IDS, "position_ids": np.full((2, 7), 18)}, "is 18, not in 0..17"),
    "position shape": ({"input_ids": IDS, "position_ids": np.ones((2, 6), int)}, r"not \(2, 7\)"),
    "head mask": ({"input_ids": IDS, "head_mask": np.ones(4)}, r"\(4,\), not \(3,\), \(3, 3\)"),
    "vectors": ({"inputs_embeds": np.ones((2, 7, 11))}, r"\(2, 7, 11\), not \(batch, tokens, 12\)"),
    "past layers": ({"input_ids": IDS, "past_key_values": []}, "0 layers, the model has 3"),
    "past pair": ({"input_ids": IDS, "past_key_values": [(1,)] * 3}, "not key and value"),
    "past shape": (
        {"input_ids": IDS, "past_key_values": [(np.ones((2, 3, 5, 3)),) * 2] * 3},
        r"not \(2, 3, 5, 4\)",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case, model):
    arguments, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        model(**arguments)


def test_past_counts_towards_the_longest_text(model):
    past = [(np.ones((2, 3, 12, 4), np.float32),) * 2] * 3
    with pytest.raises(ValueError, match="19 tokens are more than the 18"):
        model(IDS, past_key_values=past)


def test_token_type_ids_are_refused_in_a_sentence(model):
    with pytest.raises(TypeError, match="ERNIE-M has no token types"):
        model(IDS, token_type_ids=IDS)


def test_unknown_argument_names_the_nearest(model):
    with pytest.raises(TypeError, match="did you mean 'attention_mask'"):
        model(IDS, attention_masks=IDS)


def test_the_longest_text_works(model):
    assert model(np.full((1, 18), 3)).last_hidden_state.shape == (1, 18, 12)
