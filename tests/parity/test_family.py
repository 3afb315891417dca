"""check_parity() of a folder of XLM-RoBERTa's family, beside its own class in torch."""

import json
import shutil

import numpy as np
import pytest

from numpy_erniem import check_parity
from numpy_erniem.checkpoint.folder import read_folder, write_folder
from numpy_erniem.checkpoint.hub import bundled_checkpoint
from numpy_erniem.cli.main import main
from numpy_erniem.parity.family import without_padding
from numpy_erniem.parity.sentences import sentence_vectors

SIZES = {
    "hidden_size": 21,
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "intermediate_size": 37,
    "max_position_embeddings": 66,
    "pad_token_id": 1,
    "layer_norm_eps": 1e-5,
}
SPM = bundled_checkpoint() / "sentencepiece.bpe.model"
OUTPUTS = {
    "Model": "pooler_output",
    "ForSequenceClassification": "logits",
    "ForTokenClassification": "logits",
    "ForQuestionAnswering": "end_logits",
    "ForMultipleChoice": "logits",
    "ForMaskedLM": "logits",
}


@pytest.fixture
def source(tmp_path):
    """Save a model of a class of transformers with large random weights; its folder."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")

    def make(family, task, safe=True, **options):
        options = {"vocab_size": 99, **SIZES, **options}
        config = getattr(transformers, f"{family}Config")(**options)
        model = getattr(transformers, f"{family}{task}")(config).eval()
        torch.manual_seed(3)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, 0, 0.3)
        model.save_pretrained(tmp_path / "source", safe_serialization=safe)
        return tmp_path / "source"

    return make


@pytest.fixture
def with_texts(source):
    """An XLM-R with a tokenizer, and the modules of sentence-transformers if they are given."""
    from sentencepiece import SentencePieceProcessor

    def make(*modules, task="Model", **pooling):
        pieces = SentencePieceProcessor(model_file=str(SPM)).get_piece_size()
        folder = source("XLMRoberta", task, vocab_size=pieces + 2, type_vocab_size=1)
        shutil.copy(SPM, folder)
        listing = []
        for n, kind in enumerate(modules):
            (folder / f"{n}_{kind}").mkdir()
            kind_of = f"sentence_transformers.models.{kind}"
            listing.append({"path": f"{n}_{kind}" if n else "", "type": kind_of})
            (folder / f"{n}_{kind}" / "config.json").write_text(json.dumps(pooling))
        if modules:
            (folder / "modules.json").write_text(json.dumps(listing))
        return folder

    return make


def largest(report):
    return {name: d.largest for rows in report.rows.values() for name, d in rows.items()}


@pytest.mark.parametrize("task", OUTPUTS)
@pytest.mark.parametrize("family", ["XLMRoberta", "Roberta", "Camembert", "Bert"])
def test_every_class_of_the_family_is_compared(family, task, source):
    report = check_parity(source(family, task), tolerance=2e-5)
    assert report.ok, str(report)
    assert {"embeddings", "layer 1", "layer 2", OUTPUTS[task]} <= largest(report).keys()
    assert any("token ids are drawn" in note for note in report.notes)


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod."])
def test_a_prefix_and_the_copies_of_torch_files(wrapper, source):
    import torch

    folder = source("Bert", "ForMaskedLM", safe=False)
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    torch.save({wrapper + n: x for n, x in state.items()}, folder / "pytorch_model.bin")
    assert check_parity(folder, tolerance=2e-5).ok


def test_a_source_without_a_pooler(source):
    folder = source("XLMRoberta", "Model")
    tensors = {n: t.numpy() for n, t in read_folder(folder).items() if "pooler" not in n}
    write_folder(folder, tensors)
    report = check_parity(folder, tolerance=2e-5)
    assert report.ok
    assert "pooler_output" not in largest(report)


def test_a_weight_that_a_library_would_draw_is_an_error(source, monkeypatch):
    folder = source("Bert", "ForTokenClassification")
    report = check_parity(folder)
    assert report.ok
    from numpy_erniem.parity import family

    read = family.upstream_weights
    name = "bert.encoder.layer.1.output.dense.weight"
    monkeypatch.setattr(
        family,
        "upstream_weights",
        lambda *given: {n: x for n, x in read(*given).items() if n != name},
    )
    with pytest.raises(ValueError, match=f"lacks {name}, which BertForTokenClassification needs"):
        check_parity(folder)


def test_a_wrong_weight_is_found(source, monkeypatch):
    folder = source("XLMRoberta", "ForQuestionAnswering")
    from numpy_erniem.parity import family

    read = family.upstream_weights
    name = "roberta.encoder.layer.1.output.dense.weight"
    monkeypatch.setattr(
        family,
        "upstream_weights",
        lambda *given: {n: x * (1 + (n == name)) for n, x in read(*given).items()},
    )
    assert check_parity(folder).first_outside("numpy") == "layer 2"


def test_texts_token_ids_and_every_text(with_texts, capsys):
    folder = with_texts(task="ForSequenceClassification")
    report = check_parity(folder, ["open a file", "ok"], tolerance=2e-5)
    assert report.ok
    assert report.rows["numpy"]["token ids"].largest == 0
    assert not report.notes
    assert main(["parity", str(folder), "--text", "a file", "--tolerance", "2e-5"]) == 0
    assert "logits" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["cls_token", "mean_tokens"])
@pytest.mark.parametrize("modules", [(), ("Normalize",)])
def test_sentence_vectors_are_compared(kind, modules, with_texts):
    pooling = {f"pooling_mode_{kind}": True}
    folder = with_texts("Transformer", "Pooling", *modules, **pooling)
    report = check_parity(folder, tolerance=2e-5)
    assert report.rows["numpy"]["sentence vectors"].largest < 2e-5
    assert report.ok


def test_an_encoder_in_a_folder_of_its_own_is_compared(with_texts):
    folder = with_texts("Transformer", "Pooling", pooling_mode_cls_token=True)
    inner = folder / "0_Transformer"
    (inner / "config.json").unlink()
    for file in folder.glob("*.*"):
        if file.name != "modules.json":
            shutil.move(file, inner)
    listing = json.loads((folder / "modules.json").read_text())
    listing[0]["path"] = inner.name
    (folder / "modules.json").write_text(json.dumps(listing))
    report = check_parity(folder, tolerance=2e-5)
    assert report.ok
    assert {"token ids", "sentence vectors"} <= largest(report).keys()


def test_texts_are_lowered_where_sentence_transformers_does(with_texts):
    folder = with_texts("Transformer", "Pooling", pooling_mode_mean_tokens=True)
    (folder / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
    report = check_parity(folder, ["OPEN a File"], tolerance=2e-5)
    assert report.ok, str(report)
    assert report.rows["numpy"]["token ids"].largest == 0


@pytest.mark.parametrize("activation", ["torch.nn.modules.activation.ReLU6", None])
def test_every_dense_activation_that_convert_takes_is_known(activation, tmp_path):
    pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    weight, hidden = rng.normal(0, 9, (4, 3)), rng.normal(0, 1, (2, 5, 3)).astype(np.float32)
    (tmp_path / "d").mkdir()
    (tmp_path / "p").mkdir()
    write_folder(tmp_path / "d", {"linear.weight": weight.astype(np.float32)})
    config = {"in_features": 3, "out_features": 4, "activation_function": activation}
    (tmp_path / "d/config.json").write_text(json.dumps(config))
    (tmp_path / "p/config.json").write_text('{"pooling_mode": "cls"}')
    kinds = [{"type": "x.Pooling", "path": "p"}, {"type": "x.Dense", "path": "d"}]
    (tmp_path / "modules.json").write_text(json.dumps(kinds))
    got = sentence_vectors(tmp_path, hidden, np.ones((2, 5), int))
    want = hidden[:, 0] @ weight.T
    want = want if activation is None else np.clip(want, 0, 6)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)


def test_another_pooling_gives_other_sentence_vectors(with_texts, monkeypatch):
    kinds = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    folder = with_texts("Transformer", "Pooling", **kinds)
    from numpy_erniem.parity import compare

    monkeypatch.setattr(compare, "sentence_vectors", lambda source, x, mask: x.mean(1))
    assert check_parity(folder).first_outside("numpy") == "sentence vectors"


def test_a_golden_file_of_a_source(source, tmp_path, monkeypatch):
    folder = source("Bert", "ForSequenceClassification")
    check_parity(folder, save=tmp_path / "g.npz")
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    assert check_parity(folder, against=tmp_path / "g.npz").ok
    with pytest.raises(ValueError, match="torch and transformers"):
        check_parity(folder)


def test_texts_for_a_source_without_a_tokenizer_are_refused(source):
    with pytest.raises(ValueError, match="source has no tokenizer, so it takes no texts"):
        check_parity(source("Bert", "Model"), ["a"])


def test_padding_becomes_0():
    x = np.ones((2, 3, 5), np.float32)
    mask = np.array([[1, 1, 1], [1, 0, 0]])
    outputs = without_padding({"layer 1": x, "logits": x[:, :, 0], "start_logits": x[..., 0]}, mask)
    assert outputs["layer 1"].sum() == 20
    assert outputs["logits"].sum() == 6  # of a text: nothing is padding
    assert outputs["start_logits"].sum() == 4


POOLINGS = ["cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "lasttoken"]


@pytest.mark.parametrize("kind", [*POOLINGS, "weightedmean_tokens"])
def test_the_reference_equals_sentence_transformers(kind, tmp_path):
    torch = pytest.importorskip("torch")
    library = pytest.importorskip("sentence_transformers.models")
    from safetensors.torch import save_file

    modes = {f"pooling_mode_{kind}": True, "pooling_mode_mean_tokens": kind == "mean_tokens"}
    torch.manual_seed(0)
    pooling, dense = library.Pooling(7, **modes), library.Dense(7, 4)
    listing = []
    for name, config in (("Pooling", modes), ("Dense", dense.get_config_dict()), ("Normalize", {})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        listing.append({"type": f"sentence_transformers.models.{name}", "path": name})
    save_file(dense.state_dict(), tmp_path / "Dense" / "model.safetensors")
    (tmp_path / "modules.json").write_text(json.dumps(listing))
    hidden, mask = torch.randn(2, 5, 7), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    got = sentence_vectors(tmp_path, hidden.numpy(), mask.numpy())
    features = {"token_embeddings": hidden.clone(), "attention_mask": mask}
    for module in (pooling, dense, library.Normalize()):
        features = module(features)
    want = features["sentence_embedding"].detach().numpy()
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)


BAD_MODULES = {
    "a module 'CNN'": [{"type": "x.CNN", "path": ""}],
    "no module Pooling": [{"type": "x.Transformer", "path": ""}],
    "chooses none of": [{"type": "x.Pooling", "path": "p"}],
}


@pytest.mark.parametrize("message", BAD_MODULES)
def test_modules_that_are_not_known_are_refused(message, tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "modules.json").write_text(json.dumps(BAD_MODULES[message]))
    (tmp_path / "p").mkdir()
    (tmp_path / "p/config.json").write_text('{"pooling_mode_mean_tokens": false}')
    x = np.ones((1, 2, 3), np.float32)
    with pytest.raises(ValueError, match=message):
        sentence_vectors(tmp_path, x, np.ones((1, 2), int))
