"""ErnieMModel beside upstream on random weights, and beside our own few lines of torch."""

import numpy as np
import pytest

from numpy_erniem import ErnieMConfig, ErnieMModel
from tests.oracles import SMALL, compare_layers, ids_and_mask, run_upstream, upstream_model

SHAPES = [
    {},
    {"num_hidden_layers": 1, "hidden_size": 35, "num_attention_heads": 5, "intermediate_size": 11},
    {"num_hidden_layers": 2, "hidden_size": 7, "num_attention_heads": 1, "intermediate_size": 53},
    {"hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 130, "vocab_size": 301},
]
POSITION_TYPES = ("absolute", "relative_key", "relative_key_query")


@pytest.fixture
def pair(tmp_path):
    """Make an upstream model and ours from its files."""

    def make(**sizes):
        theirs = upstream_model(tmp_path, **sizes)
        return theirs, ErnieMModel.from_pretrained(tmp_path)

    return make


def everything(model, **arguments):
    return model(**arguments, output_hidden_states=True, output_attentions=True)


@pytest.mark.parametrize("sizes", SHAPES)
def test_every_layer_equals_upstream(sizes, pair, backend, rng, close):
    theirs, ours = pair(**sizes)
    ids, mask = ids_and_mask(rng, vocab=sizes.get("vocab_size", 99))
    want = run_upstream(
        theirs,
        input_ids=ids,
        attention_mask=mask,
        output_hidden_states=True,
        output_attentions=True,
    )
    got = everything(ours, input_ids=ids, attention_mask=mask)
    compare_layers(close, got, want)
    close(got.pooler_output, want.pooler_output.numpy(), "model", "pooler_output")
    for n, (a, b) in enumerate(zip(got.attentions, want.attentions, strict=True)):
        close(a, b.numpy(), "model", f"attentions[{n}]")


@pytest.mark.parametrize("kind", POSITION_TYPES)
def test_position_embedding_types_equal_upstream(kind, pair, backend, rng, close):
    theirs, ours = pair(position_embedding_type=kind)
    ids, mask = ids_and_mask(rng, batch=3, tokens=18)
    arguments = {"input_ids": ids, "attention_mask": mask}
    want = run_upstream(theirs, **arguments, output_hidden_states=True)
    compare_layers(close, everything(ours, **arguments), want)


@pytest.mark.parametrize("act", ["relu", "gelu_new", "silu", "tanh", "quick_gelu", "mish"])
def test_hidden_act_equals_upstream(act, pair, backend, rng, close):
    theirs, ours = pair(hidden_act=act)
    ids, _ = ids_and_mask(rng)
    want = run_upstream(theirs, input_ids=ids)
    close(ours(ids).last_hidden_state, want.last_hidden_state.numpy(), "model")


def test_padding_is_hidden_without_a_mask(pair, backend, rng, close):
    theirs, ours = pair()
    ids, _ = ids_and_mask(rng)
    ids[0, 4:] = 1
    want = run_upstream(theirs, input_ids=ids)
    close(ours(ids).last_hidden_state, want.last_hidden_state.numpy(), "model")


def test_pad_token_id_is_the_configs(pair, rng, close):
    theirs, ours = pair(pad_token_id=5)
    ids, _ = ids_and_mask(rng)
    ids[0, 4:] = 5
    want = run_upstream(theirs, input_ids=ids)
    close(ours(ids).last_hidden_state, want.last_hidden_state.numpy(), "model")


def test_a_row_with_every_key_masked_equals_upstream(pair, backend, rng, close):
    theirs, ours = pair()
    ids, mask = ids_and_mask(rng)
    mask[0] = 0
    want = run_upstream(theirs, input_ids=ids, attention_mask=mask)
    got = ours(ids, attention_mask=mask)
    close(got.last_hidden_state, want.last_hidden_state.numpy(), "model")


def test_position_ids_equal_upstream(pair, backend, rng, close):
    theirs, ours = pair()
    ids, _ = ids_and_mask(rng)
    positions = np.array([[3, 1, 4, 1, 5, 9, 2], [0, 0, 0, 17, 1, 2, 3]])
    want = run_upstream(theirs, input_ids=ids, position_ids=positions.copy())
    got = ours(ids, position_ids=positions)
    close(got.last_hidden_state, want.last_hidden_state.numpy(), "model")


@pytest.mark.parametrize("shape", [(3,), (3, 3)])
def test_head_mask_equals_upstream(shape, pair, backend, rng, close):
    theirs, ours = pair()
    ids, mask = ids_and_mask(rng)
    factor = rng.random(shape, np.float32)
    arguments = {"input_ids": ids, "attention_mask": mask, "head_mask": factor}
    want = run_upstream(theirs, **arguments, output_hidden_states=True, output_attentions=True)
    got = everything(ours, **arguments)
    compare_layers(close, got, want)
    close(got.attentions[1], want.attentions[1].numpy(), "model", "attentions[1]")


def test_inputs_embeds_equal_upstream(pair, backend, rng, close):
    theirs, ours = pair()
    vectors = rng.standard_normal((2, 7, 12), np.float32)
    _, mask = ids_and_mask(rng)
    want = run_upstream(theirs, inputs_embeds=vectors, attention_mask=mask)
    got = ours(inputs_embeds=vectors, attention_mask=mask)
    close(got.last_hidden_state, want.last_hidden_state.numpy(), "model")


def test_past_key_values_equal_upstream(pair, backend, rng, close):
    theirs, ours = pair()
    import torch

    ids, _ = ids_and_mask(rng)
    past = [tuple(rng.standard_normal((2, 3, 5, 4), np.float32) for _ in "kv") for _ in range(3)]
    full = np.ones((2, 12), np.int64)
    full[1, 1:3] = 0
    tensors = [tuple(map(torch.from_numpy, pair)) for pair in past]
    want = run_upstream(theirs, input_ids=ids, attention_mask=full, past_key_values=tensors)
    got = ours(ids, attention_mask=full, past_key_values=past)
    close(got.last_hidden_state, want.last_hidden_state.numpy(), "model")


def test_float64_model_is_closer_to_upstream_in_float64(pair, rng, close, tmp_path):
    theirs, _ = pair()
    ids, mask = ids_and_mask(rng)
    ours = ErnieMModel.from_pretrained(tmp_path, dtype="float64")
    want = run_upstream(theirs.double(), input_ids=ids, attention_mask=mask)
    got = ours(ids, attention_mask=mask)
    close(got.last_hidden_state, want.last_hidden_state.numpy(), "float64")


def test_base_size_equals_upstream(pair, backend, rng, close):
    theirs, ours = pair(
        vocab_size=500,
        hidden_size=768,
        num_attention_heads=12,
        intermediate_size=3072,
        num_hidden_layers=12,
        max_position_embeddings=514,
        initializer_range=0.02,
        layer_norm_eps=1e-5,
    )
    ids, mask = ids_and_mask(rng, batch=3, tokens=41, vocab=500)
    want = run_upstream(theirs, input_ids=ids, attention_mask=mask)
    got = ours(ids, attention_mask=mask)
    real = mask.astype(bool)
    close(got.last_hidden_state[real], want.last_hidden_state.numpy()[real], "model")
    close(got.pooler_output, want.pooler_output.numpy(), "model")


@pytest.mark.parametrize("kind", POSITION_TYPES)
def test_our_torch_reference_agrees(kind, backend, rng, close):
    torch = pytest.importorskip("torch")
    from numpy_erniem.models.weights import flatten
    from tests.reference import forward

    config = ErnieMConfig(**{**SMALL, "position_embedding_type": kind})
    ours = ErnieMModel(config, seed=5)
    weights = {k: torch.from_numpy(v.copy()) for k, v in flatten(ours.weights).items()}
    ids, mask = ids_and_mask(rng)
    factor = rng.random((3, 3), np.float32)
    states, attentions, pooled = forward(
        weights, config, torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(factor)
    )
    got = everything(ours, input_ids=ids, attention_mask=mask, head_mask=factor)
    for n, state in enumerate(states):
        close(got.hidden_states[n], state.numpy(), "model", f"hidden_states[{n}]")
    close(got.attentions[2], attentions[2].numpy(), "model")
    close(got.pooler_output, pooled.numpy(), "model")


def test_the_torch_reference_equals_upstream(tmp_path, rng, close):
    theirs = upstream_model(tmp_path)
    import torch

    from tests.reference import forward

    ids, mask = ids_and_mask(rng)
    states, _, pooled = forward(
        theirs.state_dict(), ErnieMConfig(**SMALL), torch.from_numpy(ids), torch.from_numpy(mask)
    )
    want = run_upstream(theirs, input_ids=ids, attention_mask=mask)
    close(states[-1].detach().numpy(), want.last_hidden_state.numpy(), "model")
    close(pooled.detach().numpy(), want.pooler_output.numpy(), "model")
