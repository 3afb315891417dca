"""Pooling, scaling, prompts and length: recorded by a conversion, honoured by embed."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from numpy_erniem import bundled_checkpoint, convert
from numpy_erniem.checkpoint.folder import write_folder
from numpy_erniem.checkpoint.sentence_settings import (
    DenseLayer,
    SentenceSettings,
    read_sentence_settings,
    write_sentence_settings,
)
from numpy_erniem.pipelines.embed import Embedder

MODES = {
    "cls": "cls_token",
    "mean": "mean_tokens",
    "max": "max_tokens",
    "mean_sqrt_len": "mean_sqrt_len_tokens",
    "weightedmean": "weightedmean_tokens",
    "lasttoken": "lasttoken",
}


@pytest.fixture
def source(family_source):
    return family_source


def sentence_folder(source, prompts=None, pooling=("mean",), **modules):
    """Add what sentence-transformers writes."""
    kinds = modules.get("kinds", ("Transformer", "Pooling", "Normalize"))
    listing = [
        {
            "idx": n,
            "path": f"{n}_{kind}" if n else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for n, kind in enumerate(kinds)
    ]
    (source / "modules.json").write_text(json.dumps(listing))
    (source / "1_Pooling").mkdir(exist_ok=True)
    switches = {f"pooling_mode_{long}": short in pooling for short, long in MODES.items()}
    (source / "1_Pooling/config.json").write_text(json.dumps(switches | modules.get("keys", {})))
    (source / "sentence_bert_config.json").write_text('{"max_seq_length": 9}')
    values = {"prompts": prompts or {}, "default_prompt_name": "query" if prompts else None}
    values |= modules.get("options", {})
    (source / "config_sentence_transformers.json").write_text(json.dumps(values))


def write_dense(folder, rng, sizes, activation="torch.nn.modules.activation.Tanh", bias=True):
    """Add a Dense module; its weight and bias."""
    folder.mkdir(exist_ok=True)
    out, width = sizes
    weight = rng.standard_normal((out, width)).astype(np.float32) / 4
    tensors = {"linear.weight": weight}
    if bias:
        tensors["linear.bias"] = rng.standard_normal(out).astype(np.float32)
    write_folder(folder, tensors)
    values = {"in_features": width, "out_features": out, "bias": bias}
    (folder / "config.json").write_text(json.dumps(values | {"activation_function": activation}))
    return weight, tensors.get("linear.bias", np.zeros(out, np.float32))


def test_pooling_scaling_length_and_prompts_are_recorded(source, tmp_path):
    sentence_folder(source, {"query": "Q: ", "passage": "P: "}, ("cls",))
    convert(source, tmp_path / "out")
    assert read_sentence_settings(tmp_path / "out") == SentenceSettings(
        pooling="cls",
        normalize=True,
        prompts={"query": "Q: ", "passage": "P: "},
        default_prompt_name="query",
        max_length=9,
    )


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
    assert settings.prompts == {"query": "query: ", "passage": "passage: "}
    assert settings.default_prompt_name == "query"


def test_e5_gets_its_prompts_in_place_of_empty_ones(source, tmp_path):
    sentence_folder(source, {"query": "", "passage": ""})
    config = json.loads((source / "config.json").read_text())
    config["_name_or_path"] = "intfloat/multilingual-e5-small"
    (source / "config.json").write_text(json.dumps(config))
    convert(source, tmp_path / "out")
    prompts = read_sentence_settings(tmp_path / "out").prompts
    assert prompts == {"query": "query: ", "passage": "passage: "}


def test_a_name_like_e5_does_not_replace_what_is_recorded(source, tmp_path):
    sentence_folder(source, {"query": "Q: "}, ("cls",))
    convert(source, tmp_path / "out")
    convert(tmp_path / "out", tmp_path / "again")
    (tmp_path / "again").rename(tmp_path / "multilingual-e5-small")
    convert(tmp_path / "multilingual-e5-small", tmp_path / "last")
    recorded = [read_sentence_settings(tmp_path / name) for name in ("out", "last")]
    assert recorded[0] == recorded[1]
    assert recorded[0].pooling == "cls"


def test_an_empty_prompt_is_recorded_under_its_name(source, tmp_path):
    sentence_folder(source, {"query": "Q: ", "passage": ""})
    convert(source, tmp_path / "out")
    embedder = Embedder.from_pretrained(tmp_path / "out")
    np.testing.assert_array_equal(
        embedder(["a"], prompt_name="passage"), embedder(["a"], prompt="")
    )


def test_several_poolings_are_concatenated_in_the_order_of_sentence_transformers(source, tmp_path):
    sentence_folder(source, pooling=("mean", "cls", "max"))
    convert(source, tmp_path / "out")
    assert read_sentence_settings(tmp_path / "out").pooling == "cls+max+mean"


def test_a_mean_that_is_not_switched_off_is_on_as_in_sentence_transformers(source, tmp_path):
    sentence_folder(source)
    (source / "1_Pooling/config.json").write_text('{"pooling_mode_cls_token": true}')
    convert(source, tmp_path / "out")
    assert read_sentence_settings(tmp_path / "out").pooling == "cls+mean"


@pytest.mark.parametrize(
    ("mode", "want"),
    [("max", "max"), ("lasttoken", "lasttoken"), (["mean", "cls"], "mean+cls")],
    ids=str,
)
def test_a_pooling_may_be_given_by_its_name(mode, want, source, tmp_path):
    sentence_folder(source)
    values = {"embedding_dimension": 12, "pooling_mode": mode, "include_prompt": True}
    (source / "1_Pooling/config.json").write_text(json.dumps(values))
    convert(source, tmp_path / "out")
    assert read_sentence_settings(tmp_path / "out").pooling == want


def test_modules_of_newer_releases_are_known_by_their_names(source, tmp_path):
    sentence_folder(source)
    package = "sentence_transformers"
    types = ["base.modules.transformer.Transformer", "sentence_transformer.modules.pooling.Pooling"]
    types += ["base.modules.normalize.Normalize", "models.Dropout"]
    folders = ["", "1_Pooling", "2_Normalize", "3_Dropout"]
    listing = [
        {"path": path, "type": f"{package}.{kind}"}
        for path, kind in zip(folders, types, strict=True)
    ]
    (source / "modules.json").write_text(json.dumps(listing))
    convert(source, tmp_path / "out")
    assert read_sentence_settings(tmp_path / "out").normalize


@pytest.mark.parametrize("kind", ["Transformer", "XLMRoBERTa"])
def test_the_encoder_of_an_old_folder_is_found_in_its_own_folder(kind, source, tmp_path):
    sentence_folder(source, pooling=("cls",))
    convert(source, tmp_path / "flat")
    old = tmp_path / "old"
    old.mkdir()
    shutil.copytree(source, old / f"0_{kind}", ignore=lambda *_: ("1_Pooling", "modules.json"))
    shutil.move(source / "1_Pooling", old)
    names = {"sentence_bert_config.json": "sentence_xlm-roberta_config.json"}
    for before, after in names.items():
        (old / f"0_{kind}" / before).rename(old / f"0_{kind}" / after)
    listing = json.loads((source / "modules.json").read_text())
    listing[0] |= {"path": f"0_{kind}", "type": f"sentence_transformers.models.{kind}"}
    (old / "modules.json").write_text(json.dumps(listing))
    convert(old, tmp_path / "out")
    flat, out = (Embedder.from_pretrained(tmp_path / name) for name in ("flat", "out"))
    assert out.settings == flat.settings
    np.testing.assert_array_equal(out(["Open a file"]), flat(["Open a file"]))


def test_settings_of_an_ernie_m_folder_of_sentence_transformers_are_read(tmp_path):
    source = shutil.copytree(bundled_checkpoint(), tmp_path / "source")
    (source / "sentence_embedding.json").unlink()
    sentence_folder(source, pooling=("max",))
    convert(source, tmp_path / "out")
    settings = read_sentence_settings(tmp_path / "out")
    assert (settings.pooling, settings.normalize) == ("max", True)


@pytest.mark.parametrize("kind", ["cosine", "dot", "euclidean", "manhattan", None])
def test_the_similarity_function_is_recorded(kind, source, tmp_path):
    sentence_folder(source, options={"similarity_fn_name": kind})
    convert(source, tmp_path / "out")
    assert read_sentence_settings(tmp_path / "out").similarity == (kind or "cosine")


def test_all_settings_and_dense_weights_survive_a_second_conversion(source, tmp_path, rng):
    kinds = ("Transformer", "Pooling", "Normalize", "Dense", "Dense", "Normalize")
    sentence_folder(source, {"query": "Q: "}, ("cls",), kinds=kinds, keys={"include_prompt": False})
    weights = write_dense(source / "3_Dense", rng, (7, 12))
    more = write_dense(source / "4_Dense", rng, (5, 7), "torch.nn.Identity", bias=False)
    report = convert(source, tmp_path / "once")
    assert "'activation': 'tanh'" in report.made["sentence_embedding.json"]
    convert(tmp_path / "once", tmp_path / "out")
    settings = read_sentence_settings(tmp_path / "out")
    assert settings.to_dict() == read_sentence_settings(tmp_path / "once").to_dict()
    assert (settings.include_prompt, settings.normalize, settings.recorded) == (False, True, True)
    for layer, (weight, bias), scaled, activation in zip(
        settings.dense, (weights, more), (True, False), ("tanh", "linear"), strict=True
    ):
        np.testing.assert_array_equal(layer.weight, weight)
        np.testing.assert_array_equal(layer.bias, bias)
        assert (layer.normalize_first, layer.activation) == (scaled, activation)


def test_weights_of_a_dense_module_may_be_those_of_torch(source, tmp_path, rng, torch):
    sentence_folder(source, kinds=("Transformer", "Pooling", "Dense"))
    weight, bias = write_dense(source / "2_Dense", rng, (7, 12))
    (source / "2_Dense/model.safetensors").unlink()
    state = {"linear.weight": torch.from_numpy(weight), "linear.bias": torch.from_numpy(bias)}
    torch.save(state, source / "2_Dense/pytorch_model.bin")
    convert(source, tmp_path / "out")
    (layer,) = read_sentence_settings(tmp_path / "out").dense
    np.testing.assert_array_equal(layer.weight, weight)
    np.testing.assert_array_equal(layer.bias, bias)


REFUSED = {
    "in place of true or false": {"keys": {"pooling_mode_cls_token": "no"}},
    "chooses no pooling": {"pooling": ()},
    "pools by 'median'": {"keys": {"pooling_mode": "median"}},
    "has pooling_mode_first, which is not supported": {"keys": {"pooling_mode_first": True}},
    "has word_embedding_dimension 13, .* hidden_size 12": {
        "keys": {"word_embedding_dimension": 13}
    },
    "include_prompt 'no' is not true or false": {"keys": {"include_prompt": "no"}},
    "a module 'LayerNorm'; supported are": {"kinds": ("Transformer", "Pooling", "LayerNorm")},
    "a module 'WordEmbeddings'; supported are": {"kinds": ("WordEmbeddings", "Pooling")},
    "begins with a module 'Pooling'": {"kinds": ("Pooling", "Normalize")},
    "has Transformer → Normalize → Pooling": {"kinds": ("Transformer", "Normalize", "Pooling")},
    "has Transformer → Pooling → Pooling": {"kinds": ("Transformer", "Pooling", "Pooling")},
    "similarity 'hamming' is not one of cosine": {"options": {"similarity_fn_name": "hamming"}},
    r"default_prompt_name 'doc' is not one of the prompts \['query'\]": {
        "prompts": {"query": ""},
        "options": {"default_prompt_name": "doc"},
    },
    "prompts .* is not a mapping": {"options": {"prompts": ["query: "]}},
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_reproduced_is_named(message, source, tmp_path):
    sentence_folder(source, **REFUSED[message])
    with pytest.raises(ValueError, match=message) as caught:
        convert(source, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert str(source) in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_length_that_is_none_is_named(source, tmp_path):
    sentence_folder(source)
    (source / "sentence_bert_config.json").write_text('{"max_seq_length": "long"}')
    with pytest.raises(ValueError, match=r"bert_config\.json: max_length 'long' is not an"):
        convert(source, tmp_path / "out")


def test_code_of_its_own_is_refused(source, tmp_path):
    sentence_folder(source)
    listing = [{"path": "", "type": "custom_st.Transformer"}]
    (source / "modules.json").write_text(json.dumps(listing))
    with pytest.raises(ValueError, match=r"'custom_st\.Transformer', which is code of its own"):
        convert(source, tmp_path / "out")


BAD_DENSE = {
    "2_Dense/config.json has in_features 13, the module before it gives 12": {"sizes": (7, 13)},
    "activation_function 'os.system'": {"activation": "os.system"},
    "activation_function 'torch.nn.modules.activation.Softplus'": {
        "activation": "torch.nn.modules.activation.Softplus"
    },
    r"model.safetensors: linear.weight has shape \(7, 12\), config.json says \(8, 12\)": {
        "values": {"out_features": 8}
    },
    "has the tensors linear.bias, linear.weight; config.json says linear.weight$": {
        "values": {"bias": False}
    },
    "has use_residual, which is not supported": {"values": {"use_residual": True}},
    "module_input_name 'token_embeddings'": {"values": {"module_input_name": "token_embeddings"}},
}


@pytest.mark.parametrize("message", BAD_DENSE)
def test_a_dense_module_that_does_not_fit_is_named_with_both_values(message, source, tmp_path, rng):
    sentence_folder(source, kinds=("Transformer", "Pooling", "Dense"))
    options = {"sizes": (7, 12)} | BAD_DENSE[message]
    changes = options.pop("values", {})
    write_dense(source / "2_Dense", rng, **options)
    path = source / "2_Dense/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ValueError, match=message):
        convert(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_dense_module_without_one_of_its_files_is_named(file, source, tmp_path, rng):
    sentence_folder(source, kinds=("Transformer", "Pooling", "Dense"))
    write_dense(source / "2_Dense", rng, (7, 12))
    (source / "2_Dense" / file).unlink()
    with pytest.raises(FileNotFoundError, match=r"2_Dense.*" + file):
        convert(source, tmp_path / "out")


def test_modules_may_not_name_other_folders(source, tmp_path):
    listing = [{"type": "sentence_transformers.models.Transformer", "path": "../elsewhere"}]
    (source / "modules.json").write_text(json.dumps(listing))
    with pytest.raises(ValueError, match="not a folder next to it"):
        convert(source, tmp_path / "out")


def test_a_module_may_not_be_a_link_to_elsewhere(source, tmp_path, rng):
    sentence_folder(source, kinds=("Transformer", "Pooling", "Dense"))
    write_dense(tmp_path / "elsewhere", rng, (7, 12))
    (source / "2_Dense").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="link that leads out of its folder"):
        convert(source, tmp_path / "out")


def test_a_converted_folder_is_converted_with_its_tokenizer_and_settings(source, tmp_path):
    sentence_folder(source, {"query": "Q: "}, ("cls",))
    config = json.loads((source / "config.json").read_text())
    config["_name_or_path"] = "intfloat/multilingual-e5-small"  # its prompts are recorded already
    (source / "config.json").write_text(json.dumps(config))
    convert(source, tmp_path / "out")
    convert(tmp_path / "out", tmp_path / "again", dtype="float16")
    for name in ("sentence_embedding.json", "tokenizer_config.json", "sentencepiece.bpe.model"):
        first, second = ((tmp_path / folder / name).read_bytes() for folder in ("out", "again"))
        assert first == second
    Embedder.from_pretrained(tmp_path / "again")("a")


def test_a_vocab_txt_of_another_tokenizer_is_not_copied(source, tmp_path):
    (source / "sentencepiece.bpe.model").unlink()
    (source / "vocab.txt").write_text("[PAD]\n[UNK]\n##ing\n")
    (source / "tokenizer.json").write_text('{"model": {"type": "WordPiece", "vocab": {}}}')
    with pytest.raises(ValueError, match="WordPiece"):
        convert(source, tmp_path / "out")


def test_settings_are_written_over_the_file_that_they_were_read_from(tmp_path):
    weight = np.arange(24, dtype=np.float32).reshape(2, 12)
    settings = SentenceSettings(dense=(DenseLayer(weight, np.ones(2, np.float32)),))
    write_sentence_settings(tmp_path, settings)
    mapped = read_sentence_settings(tmp_path)
    write_sentence_settings(tmp_path, replace(mapped, normalize=True))
    for found in (mapped, read_sentence_settings(tmp_path)):
        np.testing.assert_array_equal(found.dense[0].weight, weight)
