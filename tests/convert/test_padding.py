"""Padding of converted checkpoints: the tokenizer says which token it is."""

import json
import shutil

import numpy as np
import pytest

import numpy_erniem
from numpy_erniem import Embedder, ErnieMConfig, ErnieMModel, ErnieMTokenizer, check_parity, convert
from numpy_erniem.checkpoint.hub import bundled_checkpoint
from numpy_erniem.cli.main import main
from numpy_erniem.training import TrainingConfig, TrainingSetup, classification_setup, trainable
from tests.convert.head_models import SIZES

TEXTS = ["Open the file", "A red cat and a dog"]


def edited(file, **keys):
    """Write keys into a JSON file."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **keys}))


@pytest.fixture
def source(tmp_path):
    """A small ERNIE-M with the bundled tokenizer, in the layout of upstream."""
    tokenizer = ErnieMTokenizer.from_pretrained(bundled_checkpoint())
    config = ErnieMConfig(**{**SIZES, "vocab_size": len(tokenizer)})
    ErnieMModel(config, seed=3).save_pretrained(tmp_path / "source")
    tokenizer.save_pretrained(tmp_path / "source")
    return tmp_path / "source"


@pytest.fixture
def contradiction(source):
    """The same, but its config says that token 0 is padding."""
    edited(source / "config.json", pad_token_id=0)
    return source


@pytest.fixture
def bert(family_source):
    """A BERT with XLM-R's tokenizer and BERT's pad_token_id, as multilingual-e5-small."""
    edited(family_source / "config.json", model_type="bert", pad_token_id=0)
    return family_source


def padded_by_hand(model, tokenizer):
    """Ids of TEXTS with padding, which token 1 is, and their hidden states without a mask."""
    ids = tokenizer(TEXTS, padding=True, return_tensors="np")["input_ids"]
    assert (ids == 1).any()
    return ids, model(ids).last_hidden_state


def test_the_tokenizer_is_right_where_bert_says_something_else(bert, tmp_path):
    report = convert(bert, tmp_path / "out")
    assert report.derived["pad_token_id"] == (0, 1)
    assert "pad_token_id 0, but the tokenizer pads with 1" in str(report)
    model = ErnieMModel.from_pretrained(tmp_path / "out")
    assert model.config.pad_token_id == model.config.hidden_token_id == 1


def test_the_tokenizer_is_right_where_an_ernie_m_says_something_else(contradiction, tmp_path):
    report = convert(contradiction, tmp_path / "out")
    assert report.derived["pad_token_id"] == (0, 1)
    model = numpy_erniem.load(tmp_path / "out")
    tokenizer = ErnieMTokenizer.from_pretrained(tmp_path / "out")
    ids, hidden = padded_by_hand(model, tokenizer)
    for row, states in zip(ids, hidden, strict=True):
        alone = model([row[row != 1]]).last_hidden_state[0]
        np.testing.assert_allclose(states[row != 1], alone, rtol=0, atol=1e-5)


def test_a_tokenizer_that_pads_with_another_token_is_right_too(source, tmp_path):
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        edited(source / name, pad_token="[UNK]")
    report = convert(source, tmp_path / "out")
    padding = ErnieMTokenizer.from_pretrained(tmp_path / "out").pad_token_id
    assert report.derived["pad_token_id"] == (1, padding)
    assert numpy_erniem.load(tmp_path / "out").config.pad_token_id == padding


def test_a_padding_token_that_the_model_has_not_is_refused(source, tmp_path):
    edited(source / "tokenizer_config.json", pad_token="[NEW]")
    with pytest.raises(ValueError, match=r"the tokenizer pads with token \d+, the model has"):
        convert(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_reported_where_both_agree(source, tmp_path):
    report = convert(source, tmp_path / "out")
    assert "pad_token_id" not in report.derived
    assert not report.notes


def test_a_family_without_its_tokenizer_hides_nothing_by_default(bert, tmp_path):
    report = convert(bert, tmp_path / "out", tokenizer=False)
    assert report.derived["attention_mask_convention"] == ("padding", "none")
    assert "no token is known to be padding" in str(report)
    model, ids = ErnieMModel.from_pretrained(tmp_path / "out"), [[0, 5, 17, 1, 2]]
    assert model.config.hidden_token_id is None
    shown = model(ids, attention_mask=[[1] * 5]).last_hidden_state
    np.testing.assert_array_equal(model(ids).last_hidden_state, shown)


def test_converting_again_with_a_tokenizer_makes_padding_known(bert, tmp_path):
    convert(bert, tmp_path / "bare", tokenizer=False)
    shutil.copy(bert / "sentencepiece.bpe.model", tmp_path / "bare")
    report = convert(tmp_path / "bare", tmp_path / "out")
    assert report.derived["attention_mask_convention"] == ("none", "padding")
    assert ErnieMModel.from_pretrained(tmp_path / "out").config.hidden_token_id == 1


REFUSED = "the config says pad_token_id 0, the tokenizer pads with 1; correct"


@pytest.mark.filterwarnings("ignore:.*is a guess")
def test_an_embedder_refuses_a_contradiction(contradiction):
    with pytest.raises(ValueError, match=REFUSED):
        Embedder.from_pretrained(contradiction)


def test_fine_tuning_refuses_a_contradiction(contradiction):
    examples = [("Open the file", None, "a"), ("Save", None, "b")]
    with pytest.raises(ValueError, match=REFUSED):
        classification_setup(
            examples, examples, TrainingConfig(steps=1), model=contradiction, max_length=16
        )


def test_a_training_setup_refuses_a_contradiction(contradiction):
    parts = (
        trainable(ErnieMModel.from_pretrained(contradiction)),
        ErnieMTokenizer.from_pretrained(contradiction),
    )
    with pytest.raises(ValueError, match=REFUSED):
        TrainingSetup(TrainingConfig(steps=1), *parts, loss_and_grad=None)


def test_parity_refuses_a_contradiction(contradiction):
    with pytest.raises(ValueError, match=REFUSED):
        check_parity(contradiction)


def test_on_the_command_line_a_contradiction_is_one_line(contradiction, capsys):
    (contradiction / "sentence_embedding.json").write_text('{"pooling": "mean"}')
    assert main(["embed", "--model", str(contradiction), "a"]) == 2
    told = capsys.readouterr().err
    assert "pad_token_id 0" in told
    assert told.count("\n") == 1


@pytest.mark.filterwarnings("ignore:.*is a guess")
def test_a_config_without_padding_agrees_with_every_tokenizer(source):
    edited(source / "config.json", pad_token_id=None)
    assert Embedder.from_pretrained(source)(TEXTS).shape == (2, 12)
