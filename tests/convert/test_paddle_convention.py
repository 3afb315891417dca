"""Checkpoints from PaddleNLP: the call of the docs, `model(**tokenizer(...))`, follows its mask."""

import json
import pickle
import re
import shutil

import numpy as np
import pytest

import numpy_erniem
from numpy_erniem import Embedder, ErnieMForMaskedLM, ErnieMModel, ErnieMTokenizer, convert
from numpy_erniem.checkpoint.hub import bundled_checkpoint
from numpy_erniem.models.padding import batch_mask
from numpy_erniem.training.pretraining.masking import MaskedBatch
from numpy_erniem.training.pretraining.pretraining import masked_logits
from tests.convert.head_models import SIZES

TEXTS = ["In 1997, Steve became the CEO of Apple.", "Ada", "Berlin, Paris and Rome, she says."]
TRANSPOSED = (
    r"(?:[qkv]_proj|out_proj|linear1|linear2|pooler\.dense|linear_start|linear_end)\.weight"
)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A small UIE-M as PaddleNLP saves it, with the bundled tokenizer."""
    folder = tmp_path_factory.mktemp("paddle") / "source"
    folder.mkdir()
    for name in ("vocab.txt", "sentencepiece.bpe.model"):
        shutil.copy(bundled_checkpoint() / name, folder)
    settings = {"tokenizer_class": "ErnieMTokenizer", "do_lower_case": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").count("\n")
    sizes = {**SIZES, "vocab_size": vocabulary, "max_position_embeddings": 66}
    model = numpy_erniem.ErnieMForInformationExtraction(numpy_erniem.ErnieMConfig(**sizes))
    rng, tensors = np.random.default_rng(5), {}
    for name, shape in model.expected_shapes(model.config).items():
        values = rng.normal(0, 0.3, shape).astype(np.float32)
        if re.search(TRANSPOSED, name):
            values = np.ascontiguousarray(values.T)
        tensors[name.replace(".self_attn.self_attn.", ".self_attn.")] = values
    (folder / "model_state.pdparams").write_bytes(pickle.dumps(tensors, protocol=4))
    config = {**sizes, "architectures": ["UIEM"], "model_type": "ernie_m", "pad_token_id": 1}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def out(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("converted") / "out"
    convert(source, folder)
    return folder


@pytest.fixture(scope="module")
def model(out):
    return numpy_erniem.load(out)


@pytest.fixture(scope="module")
def tokenizer(out):
    return ErnieMTokenizer.from_pretrained(out)


def paddles(model, ids):
    """PaddleNLP's numbers without a mask: keys with id 0 are hidden, padding is not."""
    positions = np.cumsum(np.ones_like(ids), axis=1) - 1
    return model(ids, attention_mask=(ids != 0).astype(int), position_ids=positions)


def test_one_pair_without_padding(model, tokenizer):
    for text in TEXTS:
        inputs = tokenizer("Person", text, return_tensors="np")
        want = paddles(model, inputs["input_ids"])
        np.testing.assert_array_equal(model(**inputs).start_logits, want.start_logits)
        np.testing.assert_array_equal(model(**inputs).end_logits, want.end_logits)


def test_the_hidden_token_counts(model, tokenizer):
    """In a short text, where it is one of few."""
    inputs = tokenizer("Person", TEXTS[1], return_tensors="np")
    shown = model(inputs["input_ids"], attention_mask=np.ones_like(inputs["input_ids"]))
    assert abs(model(**inputs).start_logits - shown.start_logits).max() > 1e-3


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_padded_batch(side, model, out):
    tokenizer = ErnieMTokenizer.from_pretrained(out, padding_side=side)
    inputs = tokenizer(["Person"] * 3, TEXTS, padding=True, return_tensors="np")
    assert (inputs["input_ids"] == tokenizer.pad_token_id).any()
    want = paddles(model, inputs["input_ids"])
    np.testing.assert_array_equal(model(**inputs).start_logits, want.start_logits)
    np.testing.assert_array_equal(model(**inputs).end_logits, want.end_logits)


@pytest.mark.parametrize("files", ["config.json", "model_state.pdparams", "model_config.json"])
def test_a_folder_of_paddles_is_read_as_it_is(files, source, tmp_path):
    folder = shutil.copytree(source, tmp_path / "source")
    config = json.loads((folder / "config.json").read_text())
    if files != "config.json":  # nothing in config.json tells whose it is
        config["architectures"] = ["ErnieMForInformationExtraction"]
        (folder / "config.json").write_text(json.dumps(config))
    if files == "model_config.json":
        old = {"init_args": [{**config, "init_class": "ErnieMModel"}], "init_class": "UIEM"}
        (folder / files).write_text(json.dumps(old))
        (folder / "config.json").unlink()
    if files != "model_state.pdparams":  # as on the hub, before the weights are there
        (tmp_path / "weights").mkdir()
        shutil.move(folder / "model_state.pdparams", tmp_path / "weights")
    tokenizer = ErnieMTokenizer.from_pretrained(folder)
    inputs = tokenizer(["Person"] * 3, TEXTS, padding=True, return_tensors="np")
    model = numpy_erniem.load(source)
    want = paddles(model, inputs["input_ids"]).start_logits
    np.testing.assert_array_equal(model(**inputs).start_logits, want)


def test_an_ernie_m_of_upstream_has_its_mask(source, tmp_path):
    folder = shutil.copytree(source, tmp_path / "source")
    config = json.loads((folder / "config.json").read_text())
    config |= {"transformers_version": "4.37.2", "paddlenlp_version": None}
    (folder / "config.json").write_text(json.dumps(config))
    assert "attention_mask" in ErnieMTokenizer.from_pretrained(folder)("Ada")


def test_a_mask_that_is_given_is_used(model, tokenizer):
    inputs = tokenizer(TEXTS, padding=True, return_tensors="np", return_attention_mask=True)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    alone = model(ids[1:2, : mask[1].sum()], attention_mask=np.ones((1, mask[1].sum()), int))
    got = model(**inputs).start_logits[1, : mask[1].sum()]
    np.testing.assert_allclose(got, alone.start_logits[0], rtol=0, atol=1e-5)


def test_the_report_says_who_makes_the_mask(source, tmp_path):
    assert "without an attention mask" in str(convert(source, tmp_path / "out"))


def test_the_convention_survives_saving(model, tokenizer, tmp_path):
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again = ErnieMTokenizer.from_pretrained(tmp_path)(TEXTS[0], return_tensors="np")
    assert list(again) == ["input_ids"]
    got = numpy_erniem.load(tmp_path)(**again).start_logits
    np.testing.assert_array_equal(got, paddles(model, again["input_ids"]).start_logits)


@pytest.mark.filterwarnings("ignore:.*not used:UserWarning")
def test_an_embedders_vectors_are_those_of_the_texts_alone(out, tokenizer):
    encoder = ErnieMModel.from_pretrained(out)
    vectors = Embedder(encoder, tokenizer)(TEXTS)
    for text, vector in zip(TEXTS, vectors, strict=True):
        ids = tokenizer(text, return_tensors="np")["input_ids"]
        want = paddles(encoder, ids).last_hidden_state[0].mean(axis=0)
        np.testing.assert_allclose(vector, want, rtol=0, atol=1e-5)


def test_the_mask_of_a_batch_hides_what_the_model_hides(model):
    ids, real = np.array([[0, 5, 1], [0, 5, 7]]), np.array([[1, 1, 0], [1, 1, 1]])
    want = np.array([[False, True, False], [False, True, True]])
    np.testing.assert_array_equal(batch_mask(model.config, ids, real), want)
    rows = np.repeat(real[:, None, :], 3, axis=1)
    three = batch_mask(model.config, ids, rows)
    np.testing.assert_array_equal(three, np.repeat(want[:, None, :], 3, axis=1))
    padding = numpy_erniem.ErnieMConfig()
    np.testing.assert_array_equal(batch_mask(padding, ids, real), real == 1)


def test_pre_training_hides_what_the_model_hides(model):
    masked_lm = ErnieMForMaskedLM(model.config, seed=4)
    ids = np.array([[0, 5, 7, 2]])
    masked = np.array([[False, True, False, False]])
    batch = MaskedBatch(ids, np.where(masked, ids, -100), masked, np.ones((1, 4, 4), bool))
    want = masked_lm(ids).logits[masked]
    np.testing.assert_allclose(masked_logits(masked_lm, batch), want, rtol=0, atol=1e-5)
    assert batch.arguments(model.config)["attention_mask"].tolist() == [[False, True, True, True]]


def test_a_folder_of_paddles_that_is_read_as_it_is_has_its_tokens(source, out):
    own, converted = (ErnieMTokenizer.from_pretrained(folder) for folder in (source, out))
    assert own.bare_underline == "paddle"
    text = "In 1997, Steve said: ▁ no, 5 ! times"
    assert own(text)["input_ids"] == converted(text)["input_ids"]
    converted.bare_underline = "hf"
    assert own(text)["input_ids"] != converted(text)["input_ids"]


def test_a_folder_of_paddles_extracts_as_it_does_converted(source, out):
    schema, text = ["Person", "Company"], "In 1997, Steve became the CEO of Apple."
    own, converted = (
        numpy_erniem.InformationExtractor.from_pretrained(folder, schema=schema, threshold=0.01)
        for folder in (source, out)
    )
    assert own(text)
    assert own(text) == converted(text)


def test_a_folder_of_paddles_is_the_same_when_saved(source, tmp_path):
    numpy_erniem.load(source).save_pretrained(tmp_path)
    ErnieMTokenizer.from_pretrained(source).save_pretrained(tmp_path)
    found = []
    for folder in (source, tmp_path):
        inputs = ErnieMTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="np")
        found.append(numpy_erniem.load(folder)(**inputs).start_logits)
    np.testing.assert_array_equal(*found)
