"""Pruning heads, resizing and replacing the word embedding, counting weights."""

import numpy as np
import pytest

from numpy_erniem import (
    ErnieMConfig,
    ErnieMForSequenceClassification,
    ErnieMModel,
)
from numpy_erniem.models.weights import flatten
from tests.models.conftest import HEADS, NAMES, SMALL, B, D, F, H, L, T, V, same_weights

BY_NAME = dict(zip(NAMES, HEADS, strict=True))
CLASSIFIER = BY_NAME["SequenceClassification"]


class TestPruning:
    STEPS = ({0: [1]}, {0: [1, 2], 1: [0]}, {1: []})  # heads named twice, or none

    def test_equals_upstream(self, upstream_head, pair, run, equal_outputs, backend, rng):
        theirs, ours = pair(upstream_head.name, **upstream_head.sizes)
        arguments = {**upstream_head.inputs(rng), **upstream_head.labels}
        arguments |= {"output_hidden_states": True, "output_attentions": True}
        for heads in self.STEPS:
            theirs.prune_heads(heads)
            ours.prune_heads(heads)
            equal_outputs(ours(**arguments), run(theirs, **arguments))
        assert ours.config.pruned_heads == {0: [1, 2], 1: [0]}

    @pytest.mark.parametrize("kind", ["absolute", "relative_key_query"])
    def test_is_the_same_as_masking(self, kind, backend, rng, close):
        """A pruned head adds nothing, and neither does one whose probabilities are times 0."""
        model = CLASSIFIER.make(position_embedding_type=kind)
        inputs = CLASSIFIER.inputs(rng)
        mask = np.ones((L, H), np.float32)
        mask[0, [1, 2]] = mask[1, 0] = 0
        want = model(**inputs, head_mask=mask).logits
        for heads in self.STEPS:
            model.prune_heads(heads)
        close(model(**inputs).logits, want, "model")

    def test_masks_are_those_of_the_full_model(self, backend, rng, close):
        model = CLASSIFIER.make()
        inputs = CLASSIFIER.inputs(rng)
        factor = rng.random((L, H), np.float32)
        per_head = rng.random((B, H, T, T)) < 0.7
        gone = factor.copy()
        gone[0, 1] = 0
        inputs["attention_mask"] = per_head
        want = model(**inputs, head_mask=gone).logits
        model.prune_heads({0: [1]})
        close(model(**inputs, head_mask=factor).logits, want, "model")

    def test_is_saved_and_loaded(self, head, tmp_path, rng):
        model = head.make()
        model.prune_heads({0: [0, 2]})
        model.save_pretrained(tmp_path)
        again = head.model.from_pretrained(tmp_path)
        assert again.config.pruned_heads == {0: [0, 2]}
        assert same_weights(again, model)
        arguments = head.inputs(rng)
        for a, b in zip(again(**arguments).values(), model(**arguments).values(), strict=True):
            np.testing.assert_array_equal(a, b)
        again.prune_heads({0: [0], 1: [1]})
        assert again.config.pruned_heads == {0: [0, 2], 1: [1]}

    def test_upstream_loads_it(self, tmp_path, transformers, run, close, rng):
        model = CLASSIFIER.make()
        model.prune_heads({0: [0, 2]})
        model.save_pretrained(tmp_path)
        theirs = transformers.ErnieMForSequenceClassification.from_pretrained(tmp_path).eval()
        inputs = CLASSIFIER.inputs(rng)
        close(model(**inputs).logits, run(theirs, **inputs).logits.numpy(), "model")

    def test_weights_are_new_and_read_only(self):
        model = CLASSIFIER.make()
        before = flatten(model.weights)
        shapes = {name: value.shape for name, value in before.items()}
        model.prune_heads({1: [2]})
        after = flatten(model.weights)
        kept = D - D // H
        part = "ernie_m.encoder.layers.1.self_attn"
        assert after[f"{part}.self_attn.k_proj.weight"].shape == (kept, D)
        assert after[f"{part}.self_attn.v_proj.bias"].shape == (kept,)
        assert after[f"{part}.out_proj.weight"].shape == (D, kept)
        assert {name: value.shape for name, value in before.items()} == shapes
        assert not any(value.flags.writeable for value in after.values())
        assert all(value.flags.c_contiguous for value in after.values())
        assert model.num_parameters() == sum(value.size for value in after.values())

    @pytest.mark.parametrize(
        ("heads", "kind", "message"),
        [
            ({0: [3]}, ValueError, r"layer 0 names head 3; it has 0\.\.2"),
            ({0: [-1]}, ValueError, "names head -1"),
            ({2: [0]}, ValueError, r"names layer 2; this model has 0\.\.1"),
            ({0: [0, 1, 2]}, ValueError, "all of its 3 heads; keep at least one"),
            ([0, 1], TypeError, "a dict of lists"),
            ({0: 1}, TypeError, "a dict of lists"),
        ],
    )
    def test_what_cannot_be_pruned(self, heads, kind, message):
        model = CLASSIFIER.make()
        before = flatten(model.weights)
        with pytest.raises(kind, match=message):
            model.prune_heads(heads)
        assert model.config.pruned_heads == {}
        assert all(value is before[name] for name, value in flatten(model.weights).items())

    def test_a_negative_layer_counts_from_the_end(self):
        model, other = CLASSIFIER.make(), CLASSIFIER.make()
        model.prune_heads({-1: [0], 1: [2]})
        other.prune_heads({1: [0, 2]})
        assert model.config.pruned_heads == {1: [0, 2]}
        assert same_weights(model, other)
        with pytest.raises(ValueError, match="names layer -3"):
            model.prune_heads({-3: [0]})

    def test_heads_set_as_an_attribute_are_checked(self):
        config = ErnieMConfig(**SMALL)
        config.pruned_heads = {"-1": [1, 1]}
        model = ErnieMModel(config)
        assert model.config.pruned_heads == {1: [1]}
        assert model([[0, 5, 2]]).last_hidden_state.shape == (1, 3, D)

    def test_the_last_head_stays(self):
        model = CLASSIFIER.make()
        model.prune_heads({0: [0, 1]})
        with pytest.raises(ValueError, match="keep at least one"):
            model.prune_heads({0: [2]})

    def test_a_config_with_heads_that_are_not_there(self):
        with pytest.raises(ValueError, match="names layer 7"):
            ErnieMConfig(**SMALL, pruned_heads={7: [0]})

    def test_a_head_named_twice_in_a_config_counts_once(self):
        config = ErnieMConfig(**SMALL, pruned_heads={"0": [1, 1]})
        assert config.pruned_heads == {0: [1]}
        assert ErnieMModel(config)([[0, 5, 2]]).last_hidden_state.shape == (1, 3, D)


class TestResizing:
    def test_more_words(self, head, rng):
        model = head.make()
        before, inputs = model.get_input_embeddings(), head.inputs(rng)
        want = model(**inputs)
        table = model.resize_token_embeddings(V + 8)
        assert table.shape == (V + 8, D)
        assert table is model.get_input_embeddings()
        assert model.config.vocab_size == V + 8
        np.testing.assert_array_equal(table[:V], before)
        got = model(**inputs)
        for name in head.scores:
            n = want[name].shape[-1]
            np.testing.assert_allclose(got[name][..., :n], want[name], rtol=0, atol=1e-6)
        model(np.full_like(inputs["input_ids"], V + 7))

    def test_new_rows_are_normal(self):
        model = CLASSIFIER.make()
        new = model.resize_token_embeddings(V + 2000)[V:]
        assert new.std() == pytest.approx(SMALL["initializer_range"], rel=0.03)
        assert new.mean() == pytest.approx(0, abs=0.01)
        assert new.dtype == np.float32

    def test_the_seed_draws_them(self):
        rows = [CLASSIFIER.make().resize_token_embeddings(V + 1, seed=s)[-1] for s in (1, 1, 2)]
        assert (rows[0] == rows[1]).all()
        assert (rows[0] != rows[2]).all()

    def test_rows_of_two_steps_differ(self):
        model = CLASSIFIER.make()
        model.resize_token_embeddings(V + 1)
        first, second = model.resize_token_embeddings(V + 2)[V:]
        assert (first != second).all()

    def test_less_words(self):
        model = CLASSIFIER.make()
        before = model.get_input_embeddings()
        np.testing.assert_array_equal(model.resize_token_embeddings(50), before[:50])
        with pytest.raises(ValueError, match=r"is 50, not in 0\.\.49 \(vocab_size"):
            model([[0, 50, 2]])

    @pytest.mark.parametrize(
        ("count", "multiple", "want"),
        [(None, None, V), (V, None, V), (None, 8, 104), (105, 8, 112), (112, 8, 112), (40, 64, 64)],
    )
    def test_counts_equal_upstream(self, count, multiple, want, pair):
        theirs, ours = pair("ErnieMForSequenceClassification")
        rows = theirs.resize_token_embeddings(count, multiple).weight
        assert len(ours.resize_token_embeddings(count, multiple)) == len(rows) == want
        assert ours.config.vocab_size == theirs.config.vocab_size == want
        n = min(want, V)
        np.testing.assert_array_equal(ours.get_input_embeddings()[:n], rows[:n].detach())

    def test_the_bias_of_a_masked_lm_follows(self, rng):
        model = BY_NAME["MaskedLM"].make()
        bias = model.weights["lm_head"]["bias"]
        model.resize_token_embeddings(V + 3)
        np.testing.assert_array_equal(model.weights["lm_head"]["bias"], [*bias, 0, 0, 0])
        assert model([[0, 5, 2]]).logits.shape == (1, 3, V + 3)
        model.resize_token_embeddings(20)
        np.testing.assert_array_equal(model.weights["lm_head"]["bias"], bias[:20])

    def test_is_saved_and_loaded(self, head, tmp_path):
        model = head.make()
        model.resize_token_embeddings(120)
        model.save_pretrained(tmp_path)
        assert same_weights(head.model.from_pretrained(tmp_path), model)

    def test_weights_are_new_and_read_only(self):
        model = BY_NAME["MaskedLM"].make()
        old = model.get_input_embeddings()
        model.resize_token_embeddings(120)
        assert old.shape == (V, D)
        assert not any(value.flags.writeable for value in flatten(model.weights).values())

    @pytest.mark.parametrize(
        ("count", "multiple", "message"),
        [
            (0, None, "new_num_tokens 0 is not an integer of at least 1"),
            (-3, None, "new_num_tokens -3"),
            (99.5, None, "new_num_tokens 99.5"),
            (True, None, "new_num_tokens True"),
            (None, 0, "pad_to_multiple_of 0"),
            (None, 2.5, "pad_to_multiple_of 2.5"),
        ],
    )
    def test_wrong_counts_are_named(self, count, multiple, message):
        with pytest.raises(ValueError, match=message):
            CLASSIFIER.make().resize_token_embeddings(count, multiple)


class TestEmbeddings:
    def test_set_is_what_the_model_uses(self, head, rng):
        model, inputs = head.make(), head.inputs(rng)
        table = rng.standard_normal((V, D), np.float32)
        before = table.copy()
        model.set_input_embeddings(table)
        np.testing.assert_array_equal(model.get_input_embeddings(), table)
        table[:] = 0  # the model has a copy
        np.testing.assert_array_equal(model.get_input_embeddings(), before)
        assert not model.get_input_embeddings().flags.writeable
        vectors = before[inputs["input_ids"]]
        by_id = model(**inputs)
        by_vector = model(inputs_embeds=vectors, attention_mask=inputs["attention_mask"])
        for name in head.scores:
            np.testing.assert_allclose(by_id[name], by_vector[name], rtol=0, atol=1e-5)

    def test_float64_is_cast(self):
        model = CLASSIFIER.make()
        model.set_input_embeddings(np.ones((V, D)))
        assert model.get_input_embeddings().dtype == np.float32

    @pytest.mark.parametrize("table", [np.ones((V + 1, D)), np.ones((V, D), int), "words"])
    def test_what_is_no_table(self, table):
        with pytest.raises(ValueError, match=r"floats of shape \(99, 12\), not .*resize_token_emb"):
            CLASSIFIER.make().set_input_embeddings(table)


class TestCounts:
    @pytest.mark.parametrize("exclude", [False, True])
    @pytest.mark.parametrize("kind", ["absolute", "relative_key"])
    def test_num_parameters_equals_upstream(self, exclude, kind, upstream_head, pair):
        sizes = {**upstream_head.sizes, "position_embedding_type": kind}
        theirs, ours = pair(upstream_head.name, **sizes)
        want = theirs.num_parameters(exclude_embeddings=exclude)
        assert ours.num_parameters(exclude_embeddings=exclude) == want
        assert ours.num_parameters(True, exclude) == want

    def test_by_hand(self):
        config = ErnieMConfig(**SMALL, num_labels=5)
        layer = 4 * (D * D + D) + 2 * 2 * D + F * D + F + D * F + D
        want = (V + 20) * D + 2 * D + L * layer + D * D + D + 5 * D + 5
        assert ErnieMForSequenceClassification(config).num_parameters() == want

    def test_a_tied_table_counts_once(self):
        model = BY_NAME["MaskedLM"].make()
        bare = ErnieMModel(ErnieMConfig(**SMALL), add_pooling_layer=False)
        assert model.num_parameters() - bare.num_parameters() == D * D + D + 2 * D + V
