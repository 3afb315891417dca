"""A packed batch: each text's results are those that it has in a padded batch."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from numpy_erniem import (
    ErnieMConfig,
    ErnieMForMultipleChoice,
    ErnieMForSequenceClassification,
    ErnieMForTokenClassification,
    ErnieMModel,
    ops,
    pack_texts,
    use_backend,
)
from numpy_erniem.models import chunking
from tests.models.conftest import HEADS, SMALL, redrawn

LENGTHS = (4, 1, 9, 7)
PAD = 1
BY_TEXT = ("SequenceClassification", "MultipleChoice")


def texts_of(rng, lengths=LENGTHS):
    return [rng.integers(2, 99, n) for n in lengths]


def padded(texts):
    """(B, T) ids of the same texts, filled up with padding."""
    ids = np.full((len(texts), max(map(len, texts))), PAD)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = text
    return ids


def cut(rows, texts):
    """The (B, T, ...) rows of a padded batch without padding: (1, N, ...)."""
    return np.concatenate([row[: len(t)] for row, t in zip(rows, texts, strict=True)])[None]


def assert_close(got, want, tolerance=1e-6):
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * max(1, np.abs(want).max()))


def same_scores(head, model, texts, tolerance=1e-6, **options):
    """The scores of packed texts beside those of padded ones."""
    ids, starts = pack_texts(texts)
    rows = padded(texts)
    is_choice = "Choice" in head.name
    want = model(rows[:, None] if is_choice else rows, **options)
    got = model(ids, starts=starts, **options)
    for name in head.scores:
        by_text = any(part in head.name for part in BY_TEXT)
        assert_close(got[name], want[name] if by_text else cut(want[name], texts), tolerance)


@pytest.mark.parametrize("position", ["absolute", "relative_key", "relative_key_query"])
def test_every_head_scores_packed_texts_as_padded_ones(position, head, backend, rng):
    same_scores(head, head.make(position_embedding_type=position), texts_of(rng))


@pytest.mark.parametrize("options", [{"head_mask": [1.0, 0.0, 0.5]}], ids=["head_mask"])
def test_every_head_passes_its_options_on(options, head, backend, rng):
    same_scores(head, head.make(), texts_of(rng), **options)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.integers(1, 18), min_size=1, max_size=6), st.integers(0, 99))
def test_any_mixture_of_lengths(backend, lengths, seed):
    rng = np.random.default_rng(seed)
    for head in HEADS:
        same_scores(head, head.make(initializer_range=0.1), texts_of(rng, lengths))


WIDE = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 1024}
LONG = {"max_position_embeddings": 514, "num_hidden_layers": 1, "initializer_range": 0.02}


@pytest.mark.parametrize("lengths", [(1, 512, 97), (30, 200, 31, 2)])
def test_long_texts_of_base_width(lengths, backend, rng):
    texts = texts_of(rng, lengths)
    for head in HEADS:
        same_scores(head, head.make(**WIDE, **LONG), texts, 1e-5)


def test_vectors_and_hidden_states(backend, rng):
    model = redrawn(ErnieMModel(ErnieMConfig(**SMALL), seed=2))
    texts = texts_of(rng)
    ids, starts = pack_texts(texts)
    got = model(ids, starts=starts, output_hidden_states=True)
    want = model(padded(texts), output_hidden_states=True)
    assert_close(got.pooler_output, want.pooler_output)
    assert len(got.hidden_states) == 3
    for a, b in zip(got.hidden_states, want.hidden_states, strict=True):
        assert_close(a, cut(b, texts))


def test_token_vectors_in_place_of_ids(backend, rng):
    model = redrawn(ErnieMModel(ErnieMConfig(**SMALL), seed=2))
    ids, starts = pack_texts(texts_of(rng))
    vectors = model.get_input_embeddings()[ids]
    got = model(inputs_embeds=vectors, starts=starts).last_hidden_state
    assert_close(got, model(ids, starts=starts).last_hidden_state)


def test_hidden_tokens_are_hidden_by_default_and_by_a_mask(backend, rng):
    model = redrawn(ErnieMModel(ErnieMConfig(**SMALL), seed=2))
    texts = texts_of(rng)
    texts[2][[1, 5]] = model.config.hidden_token_id
    ids, starts = pack_texts(texts)
    want = cut(model(padded(texts)).last_hidden_state, texts)
    assert_close(model(ids, starts=starts).last_hidden_state, want)
    shown = model(ids, starts=starts, attention_mask=np.ones(ids.shape)).last_hidden_state
    assert np.abs(shown[0, 5:14] - want[0, 5:14]).max() > 1e-3
    mask = ids != model.config.hidden_token_id
    assert_close(model(ids, starts=starts, attention_mask=mask).last_hidden_state, want)


def test_positions_may_be_given(rng):
    model = redrawn(ErnieMModel(ErnieMConfig(**SMALL), seed=2))
    ids, starts = pack_texts(texts_of(rng))
    positions = [[*range(4), 0, *range(9), *range(7)]]
    want = model(ids, starts=starts).last_hidden_state
    for row in (positions, positions[0]):
        got = model(ids, starts=starts, position_ids=row).last_hidden_state
        np.testing.assert_array_equal(got, want)
    other = model(ids, starts=starts, position_ids=np.arange(21) % 18).last_hidden_state
    assert np.abs(other - want).max() > 1e-3


def test_pruned_heads(backend, rng):
    model = redrawn(ErnieMModel(ErnieMConfig(**SMALL), seed=2))
    model.prune_heads({0: [1], 1: [0, 2]})
    texts = texts_of(rng)
    ids, starts = pack_texts(texts)
    factors = np.float32([1, 2, 0.5])
    want = model(padded(texts), head_mask=factors).last_hidden_state
    got = model(ids, starts=starts, head_mask=factors).last_hidden_state
    assert_close(got, cut(want, texts))


def test_a_model_in_float64(rng):
    model = ErnieMModel(ErnieMConfig(**SMALL), seed=2, dtype="float64")
    texts = texts_of(rng)
    ids, starts = pack_texts(texts)
    want = cut(model(padded(texts)).last_hidden_state, texts)
    assert_close(model(ids, starts=starts).last_hidden_state, want, 1e-12)


def test_the_length_of_a_text_is_limited_and_not_that_of_the_row(rng):
    model = ErnieMModel(ErnieMConfig(**SMALL))  # 18 positions
    ids, starts = pack_texts(texts_of(rng, (18, 18, 18)))
    assert model(ids, starts=starts).last_hidden_state.shape == (1, 54, 12)
    ids, starts = pack_texts(texts_of(rng, (3, 19)))
    with pytest.raises(ValueError, match="19 tokens are more than the 18 that this model takes"):
        model(ids, starts=starts)


def test_choices_have_one_score_each(rng):
    model = ErnieMForMultipleChoice(ErnieMConfig(**SMALL), seed=2)
    ids, starts = pack_texts(texts_of(rng))
    assert model(ids, starts=starts).logits.shape == (4, 1)
    with pytest.raises(ValueError, match="labels of a packed batch"):
        model(ids, starts=starts, labels=[1])


def test_losses_of_packed_texts(rng):
    texts = texts_of(rng)
    ids, starts = pack_texts(texts)
    labels = rng.integers(0, 2, 4)
    model = ErnieMForSequenceClassification(ErnieMConfig(**SMALL), seed=2)
    got, want = model(ids, starts=starts, labels=labels), model(padded(texts), labels=labels)
    np.testing.assert_allclose(got.loss, want.loss, rtol=1e-6)
    model = ErnieMForTokenClassification(ErnieMConfig(**SMALL), seed=2)
    labels = rng.integers(0, 2, ids.shape)
    rows = np.full(padded(texts).shape, -100)
    for row, first, end in zip(rows, starts[:-1], starts[1:], strict=True):
        row[: end - first] = labels[0, first:end]
    got, want = model(ids, starts=starts, labels=labels), model(padded(texts), labels=rows)
    np.testing.assert_allclose(got.loss, want.loss, rtol=1e-6)


def test_question_answering_has_no_loss_for_packed_texts(rng):
    head = next(h for h in HEADS if "Answering" in h.name)
    ids, starts = pack_texts(texts_of(rng))
    with pytest.raises(ValueError, match="start_positions of a packed batch"):
        head.make()(ids, starts=starts, start_positions=[1], end_positions=[2])


# What a packed batch cannot have: arguments, and the message.
ROW = np.ones((1, 21))
REFUSED = {
    "past": ({"past_key_values": 2 * [2 * [np.ones((1, 3, 2, 4))]]}, "take past_key_values"),
    "cache": ({"use_cache": True}, "take use_cache=True"),
    "attentions": ({"output_attentions": True}, "take output_attentions=True"),
    "mask of queries": ({"attention_mask": np.ones((1, 21, 21))}, "with starts"),
    "mask of heads": ({"attention_mask": np.ones((1, 1, 21, 21))}, "with starts"),
    "factors of tokens": ({"head_mask": np.ones((2, 1, 3, 21, 1))}, "take a head_mask of"),
    "factors of texts": ({"head_mask": np.ones((2, 4, 3, 1, 1))}, "take a head_mask of"),
    "starts too small": ({"starts": [[0, 21]]}, r"starts has shape \(1, 2\)"),
    "one start": ({"starts": [0]}, r"starts has shape \(1,\)"),
    "floats": ({"starts": [0.0, 21.0]}, "starts must hold integer numbers"),
    "first": ({"starts": [1, 21]}, "starts begins with 1"),
    "last": ({"starts": [0, 20]}, "end with the number of tokens, 21"),
    "an empty text": ({"starts": [0, 5, 5, 21]}, r"starts\[1\] is 5 and starts\[2\] is 5"),
    "falling": ({"starts": [0, 9, 5, 21]}, r"starts\[1\] is 9 and starts\[2\] is 5"),
    "bias of shape": ({"key_bias": np.ones((1, 20))}, r"key_bias has shape \(1, 20\)"),
    "bias": ({"key_bias": np.where(np.arange(21) == 3, np.inf, ROW)}, "3] is inf, not finite"),
    "bias of int": ({"key_bias": ROW == 1}, "key_bias must hold"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_packed_batch_cannot_have_is_refused_by_name(name, rng):
    model = ErnieMModel(ErnieMConfig(**SMALL))
    ids, starts = pack_texts(texts_of(rng))
    arguments, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        model(ids, **{"starts": starts, **arguments})


def test_options_of_the_config_do_not_ask_for_what_cannot_be_kept(rng):
    ids, starts = pack_texts(texts_of(rng))
    for option in ("use_cache", "output_attentions"):
        model = ErnieMModel(ErnieMConfig(**SMALL, **{option: True}))
        assert list(model(ids, starts=starts)) == ["last_hidden_state", "pooler_output"]
        with pytest.raises(ValueError, match=f"{option}=True; pass {option}=False"):
            model(ids, starts=starts, **{option: True})


def test_several_rows_cannot_be_packed(rng):
    with pytest.raises(ValueError, match="there are 2 rows"):
        ErnieMModel(ErnieMConfig(**SMALL))(rng.integers(2, 99, (2, 5)), starts=[0, 5])


def test_pack_texts_takes_any_iterable_of_ids():
    ids, starts = pack_texts(iter([[0, 2], np.int32([5, 6, 7]), (9,)]))
    assert ids.dtype == starts.dtype == np.int64
    assert ids.tolist() == [[0, 2, 5, 6, 7, 9]]
    assert starts.tolist() == [0, 2, 5, 6]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "there is no text to pack"),
        ([[3], []], r"texts\[1\] has shape \(0,\)"),
        ([3, 4], r"texts\[0\] has shape \(\)"),
        ([[3, 4.5]], r"texts\[0\] must hold integer numbers"),
        (["ab"], r"texts\[0\] must hold"),
    ],
)
def test_pack_texts_says_what_is_wrong(texts, message):
    with pytest.raises(ValueError, match=message):
        pack_texts(texts)


def test_a_key_with_the_bias_log_c_counts_c_times(backend, rng):
    sizes = {**SMALL, "max_position_embeddings": 60}
    model = redrawn(ErnieMModel(ErnieMConfig(**sizes), seed=2))
    text, copies = rng.integers(2, 99, 6), 30
    ids, positions = [*text, *copies * [PAD]], [*range(6), *copies * [0]]
    want = model([ids], position_ids=[positions], attention_mask=np.ones((1, 36)))
    bias = np.float32([6 * [0] + [np.log(copies)]])
    got = model(
        [ids[:7]], position_ids=[positions[:7]], attention_mask=np.ones((1, 7)), key_bias=bias
    )
    assert_close(got.last_hidden_state[0], want.last_hidden_state[0, :7])
    plain = model([ids[:7]], position_ids=[positions[:7]], attention_mask=np.ones((1, 7)))
    assert np.abs(got.last_hidden_state - plain.last_hidden_state).max() > 1e-3


def test_visible_padding_is_one_token_with_a_bias(backend, rng):
    """UIE-M: padding to a full length is visible at position 0, [CLS] is hidden."""
    full = 40
    head = next(h for h in HEADS if "Extraction" in h.name)
    model = head.make(max_position_embeddings=full + 2, initializer_range=0.1)
    texts = texts_of(rng)
    rows = np.full((len(texts), full), PAD)
    positions, mask = np.zeros(rows.shape, int), np.broadcast_to(np.arange(full) > 0, rows.shape)
    for n, text in enumerate(texts):
        rows[n, : len(text)], positions[n, : len(text)] = text, np.arange(len(text))
    want = model(rows, position_ids=positions, attention_mask=mask)

    ids, starts = pack_texts([[*text, PAD] for text in texts])
    ends = starts[1:] - 1  # the padding token of each text
    own, bias = np.concatenate([[*range(len(t)), 0] for t in texts]), np.zeros(ids.shape)
    bias[0, ends] = np.log([full - len(text) for text in texts])
    shown = np.ones(ids.shape, int)
    shown[0, starts[:-1]] = 0
    got = model(ids, starts=starts, position_ids=own, attention_mask=shown, key_bias=bias)
    for name in head.scores:
        assert_close(np.delete(got[name], ends, axis=1), cut(want[name], texts))


def test_each_packed_text_has_its_own_bias(backend, rng):
    model = redrawn(ErnieMModel(ErnieMConfig(**SMALL), seed=2))
    texts = texts_of(rng)
    ids, starts = pack_texts(texts)
    bias = rng.standard_normal(ids.shape)
    got = model(ids, starts=starts, key_bias=bias).last_hidden_state
    for first, end in pairwise(starts):
        alone = model(ids[:, first:end], key_bias=bias[:, first:end]).last_hidden_state
        assert_close(got[:, first:end], alone)


@pytest.mark.parametrize("rows", [1, 3])
def test_the_bias_of_a_padded_batch(rows, head, backend, rng):
    """One row for all texts, or a row for each."""
    model = head.make()
    ids = rng.integers(2, 99, (3, 6))
    bias = rng.standard_normal((rows, 6))
    fold = ids[:, None] if "Choice" in head.name else ids
    if rows == 3 and "Choice" in head.name:
        bias = bias[:, None]
    got = model(fold, key_bias=bias)
    for n in range(3):
        own = bias[min(n, rows - 1)].reshape(1, 6)
        alone = model(fold[n : n + 1], key_bias=own)
        for name in head.scores:
            assert_close(got[name][n : n + 1], alone[name])
            assert np.abs(alone[name] - model(fold[n : n + 1])[name]).max() > 1e-3


def test_a_bias_and_a_past(backend, rng):
    model = redrawn(ErnieMModel(ErnieMConfig(**SMALL), seed=2))
    ids, bias = rng.integers(2, 99, (2, 7)), rng.standard_normal((2, 7))
    causal = np.tril(np.ones((2, 7, 7), bool))
    whole = model(ids, key_bias=bias, attention_mask=causal).last_hidden_state
    past = model(
        ids[:, :4], key_bias=bias[:, :4], attention_mask=causal[:, :4, :4], use_cache=True
    ).past_key_values
    rest = model(
        ids[:, 4:], key_bias=bias, past_key_values=past, attention_mask=causal[:, 4:]
    ).last_hidden_state
    assert_close(rest, whole[:, 4:])


@pytest.fixture
def small_chunks(monkeypatch):
    """The tokens of every forward pass; a chunk has 13 at most."""
    seen, encode = [], chunking.encode

    def watched(inputs, w, config):
        seen.append(inputs.position_ids.size)
        return encode(inputs, w, config)

    monkeypatch.setattr(chunking, "encode", watched)
    monkeypatch.setattr(chunking, "CHUNK_SIZE", 13 * SMALL["intermediate_size"])
    return seen


@pytest.mark.parametrize("pooler", [True, False])
def test_a_large_packed_batch_is_cut_between_texts(pooler, small_chunks, backend, rng, monkeypatch):
    model = redrawn(ErnieMModel(ErnieMConfig(**SMALL), add_pooling_layer=pooler, seed=2))
    ids, starts = pack_texts(texts_of(rng, (4, 1, 9, 7, 13, 2, 2, 2)))
    vectors, bias = model.get_input_embeddings()[ids], rng.standard_normal(ids.shape)
    mask = rng.random(ids.shape) < 0.8
    options = [{"input_ids": ids}, {"inputs_embeds": vectors}, {"input_ids": ids}]
    options[2] |= {"key_bias": bias, "attention_mask": mask}
    for arguments in options:
        small_chunks.clear()
        got = model(**arguments, starts=starts)
        assert small_chunks == [5, 9, 7, 13, 6]
        with monkeypatch.context() as patch:
            patch.setattr(chunking, "CHUNK_SIZE", 1 << 20)
            want = model(**arguments, starts=starts)
        assert_close(got.last_hidden_state, want.last_hidden_state)
        assert (got.pooler_output is None) == (not pooler)
        if pooler:
            assert_close(got.pooler_output, want.pooler_output)


def test_a_packed_batch_needs_no_more_memory_than_a_padded_one(rng):
    sizes = {"hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 4096}
    model = ErnieMModel(ErnieMConfig(vocab_size=99, num_hidden_layers=2, **sizes))
    texts = texts_of(rng, rng.integers(1, 513, 40))
    ids, starts = pack_texts(texts)
    rows = padded(texts)

    def peak(run):
        tracemalloc.start()
        run()
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    with use_backend("numpy"):
        assert peak(lambda: model(ids, starts=starts)) <= peak(lambda: model(rows))


def test_the_primitive_refuses_what_is_no_packed_batch(backend, rng):
    q = rng.standard_normal((1, 2, 5, 4), np.float32)
    wrong = [[0, 3], [1, 5], [0, 3, 3, 5], [0, 4, 3, 5], [0, 6, 5], [5], [], [[0, 5]]]
    for starts in wrong:
        with pytest.raises(ValueError, match="starts must rise"):
            ops.attention(q, q, q, starts=np.array(starts, int))
    starts, two = np.array([0, 2, 5]), np.concatenate([q, q])
    with pytest.raises(ValueError, match="starts must rise"):
        ops.attention(two, two, two, starts=starts)
    with pytest.raises(ValueError, match="starts must rise"):
        ops.attention(q[:, :, :3], q, q, starts=starts)
    for shape in ((1, 1, 5, 5), (1, 1, 5, 2), (1, 1, 1, 3)):  # the longest text has 3 tokens
        with pytest.raises(ValueError, match=r"mask has rows of \(\(1, 5\), \(5, 3\)\), not"):
            ops.attention(q, q, q, starts=starts, mask=np.ones(shape, bool))
    with pytest.raises(ValueError, match=r"head_mask has rows of \(\(1, 1\),\), not"):
        ops.attention(q, q, q, starts=starts, head_mask=q[..., :1])
    with pytest.raises(ValueError, match="no probabilities are kept"):
        ops.attention(q, q, q, starts=starts, keep_probabilities=True)


@pytest.mark.parametrize("convention", ["sequential", "skip_padding"])
def test_positions_follow_the_config_in_each_text(convention, backend, rng):
    model = redrawn(ErnieMModel(ErnieMConfig(**SMALL, position_convention=convention), seed=2))
    texts = texts_of(rng)
    texts[0][2:] = texts[2][[0, 5]] = texts[3][1] = PAD
    ids, starts = pack_texts(texts)
    got = model(ids, starts=starts).last_hidden_state
    for first, end in pairwise(starts):
        alone = model(ids[:, first:end]).last_hidden_state
        assert_close(got[:, first:end], alone)
