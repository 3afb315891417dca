"""Differences from upstream that docs/differences.md lists and no other test holds."""

import numpy as np
import pytest

import numpy_erniem
from numpy_erniem.tokenizer import AddedToken
from numpy_erniem.training import value_and_grad


@pytest.fixture(scope="module")
def tokenizer():
    pytest.importorskip("sentencepiece")
    return numpy_erniem.ErnieMTokenizer.from_pretrained(numpy_erniem.bundled_checkpoint())


def test_an_empty_text_without_special_tokens_is_padded_to_the_length(tokenizer):
    row = tokenizer("", add_special_tokens=False, padding="max_length", max_length=4)
    assert row["input_ids"] == [tokenizer.pad_token_id] * 4
    assert row["attention_mask"] == [0] * 4


def test_only_a_space_or_an_end_of_the_text_is_the_border_of_a_single_word():
    pytest.importorskip("sentencepiece")
    ours = numpy_erniem.ErnieMTokenizer.from_pretrained(numpy_erniem.bundled_checkpoint())
    ours.add_tokens([AddedToken("<w>", single_word=True), AddedToken("<l>", lstrip=True)])
    assert ours.tokenize("<w> <l>") == ["<w>", "<l>"]
    assert "<w>" not in ours.tokenize("<w>\t<l>")


def test_truncation_stops_at_the_length_that_the_model_takes(tokenizer):
    with pytest.warns(UserWarning, match="512"):
        row = tokenizer("file " * 1000, truncation=True, max_length=600)
    assert len(row["input_ids"]) == 512


def test_scores_of_a_text_that_may_attend_to_nothing_have_no_gradient(rng):
    config = numpy_erniem.ErnieMConfig(
        **{"vocab_size": 99, "hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 3},
        **{"intermediate_size": 37, "max_position_embeddings": 20},
    )
    model = numpy_erniem.ErnieMForSequenceClassification(config, seed=1)
    batch = {"input_ids": rng.integers(3, 99, (2, 7)), "labels": np.array([1, 0])}

    def query_gradient(mask):
        gradients = value_and_grad(model, {**batch, "attention_mask": mask})[1]
        inner = gradients["ernie_m"]["encoder"]["layers"][0]["self_attn"]["self_attn"]
        return np.abs(inner["q_proj"]["weight"]).max()

    assert query_gradient(np.ones((2, 7), int)) > 0
    assert query_gradient(np.zeros((2, 7), int)) == 0
