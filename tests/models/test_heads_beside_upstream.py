"""Every head beside upstream on random weights: scores, loss, hidden states, attentions."""

import inspect

import numpy as np
import pytest

from numpy_erniem import ErnieMForSequenceClassification, ErnieMForTokenClassification
from tests.models.conftest import B, C, D, H, L, T

EVERYTHING = {"output_hidden_states": True, "output_attentions": True}
POSITION_TYPES = ("absolute", "relative_key", "relative_key_query")


@pytest.fixture
def beside(upstream_head, pair, run, equal_outputs, rng):
    """Call a pair of models with the same arguments, and compare all that comes back."""

    def check(change=None, sizes=None, **more):
        theirs, ours = pair(upstream_head.name, **upstream_head.sizes, **(sizes or {}))
        arguments = {**upstream_head.inputs(rng), **upstream_head.labels, **EVERYTHING, **more}
        if change is not None:
            change(arguments)
        equal_outputs(ours(**arguments), run(theirs, **arguments))

    return check


def test_signature_is_upstreams(upstream_head, transformers):
    theirs = inspect.signature(getattr(transformers, upstream_head.name).forward)
    ours = inspect.signature(upstream_head.model.forward).parameters.values()
    by_position = [p.name for p in ours if p.kind is not p.KEYWORD_ONLY]
    assert by_position == list(theirs.parameters)


@pytest.mark.parametrize("kind", POSITION_TYPES)
def test_everything_equals_upstream(kind, beside, backend):
    beside(sizes={"position_embedding_type": kind})


@pytest.mark.parametrize(
    "sizes",
    [
        {"hidden_size": 35, "num_attention_heads": 5, "initializer_range": 0.1},
        # with wider layers smaller weights, or float32 itself, here and there, is off by 6e-6
        {"hidden_size": 64, "num_attention_heads": 2, "initializer_range": 0.1},
        {"hidden_act": "relu", "num_hidden_layers": 1},
    ],
)
def test_other_sizes_equal_upstream(sizes, beside):
    beside(sizes=sizes)


@pytest.mark.parametrize("shape", [(H,), (L, H)])
def test_head_mask_equals_upstream(shape, beside, backend, rng):
    beside(head_mask=rng.random(shape, np.float32))


def test_padding_is_hidden_without_a_mask(beside, backend):
    def pad(arguments):
        arguments["input_ids"][-1, ..., 4:] = 1
        del arguments["attention_mask"]

    beside(pad)


def test_position_ids_equal_upstream(beside, backend, rng):
    def place(arguments):
        arguments["position_ids"] = rng.integers(0, 18, arguments["input_ids"].shape)

    beside(place)


def test_inputs_embeds_equal_upstream(beside, backend, rng):
    def embed(arguments):
        shape = (*arguments.pop("input_ids").shape, D)
        arguments["inputs_embeds"] = rng.standard_normal(shape, np.float32)

    beside(embed)


def test_a_text_with_every_token_masked_equals_upstream(beside, backend):
    def hide(arguments):
        arguments["attention_mask"][0] = 0

    beside(hide)


@pytest.mark.parametrize("kind", ["float32", "int32"])
def test_mask_dtypes_equal_upstream(kind, beside):
    def cast(arguments):
        arguments["attention_mask"] = arguments["attention_mask"].astype(kind)

    beside(cast)


@pytest.mark.parametrize("model", [ErnieMForSequenceClassification, ErnieMForTokenClassification])
def test_past_key_values_equal_upstream(model, pair, run, equal_outputs, backend, rng):
    theirs, ours = pair(model.__name__, num_labels=5)
    past = [tuple(rng.standard_normal((B, H, 5, D // H), np.float32) for _ in "kv") for _ in "01"]
    mask = np.ones((B, 5 + T), np.int64)
    mask[1, 1:3] = 0
    arguments = {"input_ids": rng.integers(2, 99, (B, T)), "attention_mask": mask}
    arguments |= {"past_key_values": past, **EVERYTHING}
    equal_outputs(ours(**arguments), run(theirs, **arguments))


@pytest.mark.parametrize("rank", [3, 4])
def test_masks_of_more_axes_equal_upstreams_encoder(
    upstream_head, rank, pair, torch, backend, rng, close
):
    """Upstream's models crash with such masks; its encoder takes them as numbers to add."""
    theirs, ours = pair(upstream_head.name, **upstream_head.sizes)
    ids = upstream_head.inputs(rng)["input_ids"]
    shape = (*ids.shape[:-1], *((H,) if rank == 4 else ()), T, T)
    mask = rng.random(shape) < 0.6
    rows = ids.reshape(-1, T)
    added = np.where(mask.reshape(len(rows), -1, T, T), 0, np.finfo(np.float32).min)
    with torch.no_grad():
        embedded = theirs.ernie_m.embeddings(torch.from_numpy(rows))
        want = theirs.ernie_m.encoder(
            embedded, torch.from_numpy(added.astype(np.float32)), output_hidden_states=True
        )
    got = ours(ids, attention_mask=mask, output_hidden_states=True)
    for n, (a, b) in enumerate(zip(got.hidden_states, want.hidden_states, strict=True)):
        close(a, b.numpy(), "model", f"hidden_states[{n}]")


@pytest.mark.parametrize(
    ("problem", "num_labels", "labels"),
    [
        ("regression", 1, np.float32([0.3, -2])),
        ("regression", 1, np.float32([[0.3], [-2]])),
        ("regression", 5, np.float32([[0.3, 1, 2, 0, -1], [-2, 0, 0, 1, 5]])),
        ("single_label_classification", 5, np.array([4, 0])),
        ("single_label_classification", 5, np.array([[4], [0]])),
        ("single_label_classification", 5, np.array([-100, 2])),
        ("multi_label_classification", 5, np.float32([[1, 0, 1, 0, 0], [0, 0.25, 0, 1, 1]])),
        (None, 1, np.float32([0.3, -2])),
        (None, 5, np.array([4, 0])),
        (None, 5, np.float32([[1, 0, 1, 0, 0], [0, 0.25, 0, 1, 1]])),
    ],
)
def test_every_problem_type_equals_upstream(
    problem, num_labels, labels, pair, run, equal_outputs, backend, rng
):
    name = "ErnieMForSequenceClassification"
    theirs, ours = pair(name, num_labels=num_labels, problem_type=problem)
    ids = rng.integers(2, 99, (B, T))
    equal_outputs(ours(ids, labels=labels), run(theirs, input_ids=ids, labels=labels))


@pytest.mark.parametrize(
    ("starts", "ends"),
    [([2, 0], [5, 6]), ([7, 3], [9999, 4]), ([[2], [0]], [[5], [6]])],
)
def test_answer_positions_equal_upstream(starts, ends, pair, run, equal_outputs, backend, rng):
    theirs, ours = pair("ErnieMForQuestionAnswering")
    arguments = {"input_ids": rng.integers(2, 99, (B, T))}
    arguments |= {"start_positions": np.array(starts), "end_positions": np.array(ends)}
    equal_outputs(ours(**arguments), run(theirs, **arguments))


def test_choices_that_are_not_contiguous(pair, run, equal_outputs, backend, rng):
    """Upstream's view() fails on them; contiguous copies give what they should give here."""
    theirs, ours = pair("ErnieMForMultipleChoice")
    ids = rng.integers(2, 99, (T, C, B)).T
    mask = np.ones((T, C, B), np.int64).T
    mask[0, 1, 3:] = 0
    want = run(
        theirs,
        input_ids=np.ascontiguousarray(ids),
        attention_mask=np.ascontiguousarray(mask),
    )
    equal_outputs(ours(ids, attention_mask=mask), want)
