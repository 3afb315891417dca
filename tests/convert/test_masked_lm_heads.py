"""Masked-LM heads of XLM-RoBERTa and BERT: copies and ties of the decoder, names of tensors."""

import numpy as np
import pytest

import numpy_erniem
from numpy_erniem import convert
from tests.convert.head_models import IDS, MASK, assert_equal, change, run

LM = {"XLMRoberta": "lm_head.", "Bert": "cls.predictions."}


@pytest.mark.parametrize("family", LM)
def test_a_copied_decoder_is_dropped_and_another_is_refused(family, source, out, tmp_path):
    theirs, folder = source(family, "ForMaskedLM", safe=False)  # with the copies
    assert_equal(numpy_erniem.load(out(folder)), theirs, "")
    name = f"{LM[family]}decoder.weight"
    assert "a copy of the word embedding" in out.report.dropped[name]
    change(folder, lambda t: t | {name: t[name] + 1})
    with pytest.raises(ValueError, match="is not tied to the word embedding"):
        convert(folder, tmp_path / "other", tokenizer=False)


@pytest.mark.parametrize("family", LM)
def test_a_masked_lm_with_the_bias_of_its_decoder_alone(family, source, out):
    theirs, folder = source(family, "ForMaskedLM", safe=False)
    change(folder, lambda t: {n: x for n, x in t.items() if n != f"{LM[family]}bias"})
    (folder / "pytorch_model.bin").unlink()
    assert_equal(numpy_erniem.load(out(folder)), theirs, "")


def test_biases_that_differ_are_refused(source, out):
    _, folder = source("Bert", "ForMaskedLM", safe=False)
    name = "cls.predictions.decoder.bias"
    change(folder, lambda t: t | {name: t[name] + 1})
    with pytest.raises(ValueError, match=f"{name} and cls.predictions.bias differ"):
        out(folder)


def test_an_untied_masked_lm_without_its_decoder_is_refused(source, out):
    _, folder = source("XLMRoberta", "ForMaskedLM")
    change(folder, lambda t: None, tie_word_embeddings=False)
    with pytest.raises(ValueError, match=r"tie_word_embeddings is false.*lm_head\.decoder\.weight"):
        out(folder)


def test_a_masked_lm_of_bert_with_another_activation_is_refused(source, out):
    _, folder = source("Bert", "ForMaskedLM", hidden_act="relu")
    with pytest.raises(ValueError, match="the masked-LM head has hidden_act 'relu'"):
        out(folder)


def test_bert_for_pretraining_is_a_masked_lm(source, out):
    theirs, folder = source("Bert", "ForPreTraining")
    ours = numpy_erniem.load(out(folder))
    want = run(theirs, input_ids=IDS, attention_mask=MASK)["prediction_logits"]
    got = ours(IDS, attention_mask=MASK).logits
    np.testing.assert_allclose(got[MASK == 1], want[MASK == 1], rtol=0, atol=2e-5)
    assert "cls.seq_relationship.weight" in out.report.dropped


def test_a_tensor_under_two_names_is_refused(source, out):
    _, folder = source("Bert", "ForMaskedLM")
    name = "cls.predictions.transform.LayerNorm."
    change(folder, lambda t: t | {f"{name}gamma": t[f"{name}weight"]})
    with pytest.raises(ValueError, match=rf"both {name}weight; remove one"):
        out(folder)


def test_names_of_tensorflow_are_understood(source, out):
    theirs, folder = source("Bert", "ForMaskedLM")

    def edit(tensors):
        new = {}
        for name, x in tensors.items():
            name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
            new[name.replace("LayerNorm.bias", "LayerNorm.beta")] = x
        return new

    change(folder, edit)
    assert_equal(numpy_erniem.load(out(folder)), theirs, "")
