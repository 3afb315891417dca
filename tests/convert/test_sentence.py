"""Pooling, scaling, prompts and length: recorded by a conversion, honoured by embed."""

import json

import numpy as np
import pytest

from numpy_erniem import convert
from numpy_erniem.checkpoint.sentence_settings import read_sentence_settings
from numpy_erniem.pipelines.embed import Embedder


@pytest.fixture
def source(family_source):
    return family_source


def sentence_folder(source, prompts=None, pooling=("mean",), **modules):
    """Add what sentence-transformers writes."""
    kinds = modules.get("kinds", ("Transformer", "Pooling", "Normalize"))
    listing = [
        {"idx": n, "path": f"{n}_{kind}" if n else "", "type": f"sentence_transformers.{kind}"}
        for n, kind in enumerate(kinds)
    ]
    (source / "modules.json").write_text(json.dumps(listing))
    (source / "1_Pooling").mkdir(exist_ok=True)
    names = {"mean": "mean_tokens", "cls": "cls_token", "max": "max_tokens"}
    switches = {f"pooling_mode_{long}": short in pooling for short, long in names.items()}
    (source / "1_Pooling/config.json").write_text(json.dumps(switches))
    (source / "sentence_bert_config.json").write_text('{"max_seq_length": 9}')
    values = {"prompts": prompts or {}, "default_prompt_name": "query" if prompts else None}
    (source / "config_sentence_transformers.json").write_text(json.dumps(values))


def test_pooling_scaling_length_and_prompts_are_recorded(source, tmp_path):
    sentence_folder(source, {"query": "Q: ", "passage": "P: "}, ("cls",))
    convert(source, tmp_path / "out")
    assert read_sentence_settings(tmp_path / "out") == {
        "pooling": "cls",
        "normalize": True,
        "prompts": {"query": "Q: ", "passage": "P: "},
        "default_prompt_name": "query",
        "max_length": 9,
    }


def test_embedding_honours_what_is_recorded(source, tmp_path):
    sentence_folder(source, {"query": "Q: ", "passage": "P: "}, ("cls",))
    convert(source, tmp_path / "out")
    embedder = Embedder.from_pretrained(tmp_path / "out")
    explicit = {"pooling": "cls", "normalize": True}
    np.testing.assert_array_equal(embedder(["a"]), embedder(["a"], prompt="Q: ", **explicit))
    np.testing.assert_array_equal(
        embedder(["a"], prompt_name="passage"), embedder(["a"], prompt="P: ", **explicit)
    )
    assert not np.allclose(embedder(["a"]), embedder(["a"], pooling="mean"))
    assert np.linalg.norm(embedder(["a"])) == pytest.approx(1, abs=1e-6)
    with pytest.warns(UserWarning, match="more than 9 tokens"):
        embedder(["a b c d e f g h i j k l m n"])


def test_e5_gets_its_prompts_by_its_name(source, tmp_path):
    sentence_folder(source)
    config = json.loads((source / "config.json").read_text())
    config["_name_or_path"] = "intfloat/multilingual-e5-small"
    (source / "config.json").write_text(json.dumps(config))
    convert(source, tmp_path / "out")
    settings = read_sentence_settings(tmp_path / "out")
    assert settings["prompts"] == {"query": "query: ", "passage": "passage: "}
    assert settings["default_prompt_name"] == "query"


def test_e5_gets_its_prompts_in_place_of_empty_ones(source, tmp_path):
    sentence_folder(source, {"query": "", "passage": ""})
    config = json.loads((source / "config.json").read_text())
    config["_name_or_path"] = "intfloat/multilingual-e5-small"
    (source / "config.json").write_text(json.dumps(config))
    convert(source, tmp_path / "out")
    prompts = read_sentence_settings(tmp_path / "out")["prompts"]
    assert prompts == {"query": "query: ", "passage": "passage: "}


def test_an_empty_prompt_is_recorded_under_its_name(source, tmp_path):
    sentence_folder(source, {"query": "Q: ", "passage": ""})
    convert(source, tmp_path / "out")
    embedder = Embedder.from_pretrained(tmp_path / "out")
    np.testing.assert_array_equal(
        embedder(["a"], prompt_name="passage"), embedder(["a"], prompt="")
    )


REFUSED = {
    "pools by max": {"pooling": ("max",)},
    "pools by cls and mean": {"pooling": ("mean", "cls")},
    "a module 'Dense'": {"kinds": ("Transformer", "Pooling", "Dense")},
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_pooled_is_named(message, source, tmp_path):
    sentence_folder(source, **REFUSED[message])
    with pytest.raises(ValueError, match=message):
        convert(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_modules_may_not_name_other_folders(source, tmp_path):
    listing = [{"type": "x.Pooling", "path": "../elsewhere"}]
    (source / "modules.json").write_text(json.dumps(listing))
    with pytest.raises(ValueError, match="not a folder next to it"):
        convert(source, tmp_path / "out")
