"""XLM-RoBERTa's family: torch's numbers from the folded weights, the same ids, the settings."""

import json

import numpy as np
import pytest

from numpy_erniem import ErnieMModel, convert
from numpy_erniem.checkpoint.folder import read_folder, write_folder
from numpy_erniem.conversion.xlm_roberta import DIFFERS, FAMILY, from_family
from tests.convert.head_models import IDS, MASK, SIZES


@pytest.fixture
def transformers():
    pytest.importorskip("torch")
    return pytest.importorskip("transformers")


@pytest.fixture
def make(transformers, tmp_path):
    """Save a small model of a class, with large random weights, and return model and folder."""
    import torch

    def make(name, safe=True, **sizes):
        config_name = "XLMRobertaConfig" if name.startswith("XLM") else "BertConfig"
        config = getattr(transformers, config_name)(**{**SIZES, **sizes})
        torch.manual_seed(7)
        model = getattr(transformers, name)(config).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, 0, 0.3)
        model.save_pretrained(tmp_path / "source", safe_serialization=safe)
        return model, tmp_path / "source"

    return make


def run(model, **arguments):
    import torch

    tensors = {name: torch.from_numpy(x) for name, x in arguments.items()}
    with torch.no_grad():
        return model(**tensors, output_hidden_states=True)


def converted(folder, tmp_path):
    report = convert(folder, tmp_path / "out", tokenizer=False)
    return tmp_path / "out", report


@pytest.mark.parametrize("name", ["XLMRobertaModel", "BertModel"])
def test_the_encoder_equals_torchs(name, make, tmp_path, backend):
    model, source = make(name, pad_token_id=1)
    out, _ = converted(source, tmp_path)
    want = run(model, input_ids=IDS, attention_mask=MASK)
    got = ErnieMModel.from_pretrained(out)(IDS, attention_mask=MASK, output_hidden_states=True)
    for a, b in zip(got.hidden_states, want.hidden_states, strict=True):
        np.testing.assert_allclose(a[MASK == 1], b.numpy()[MASK == 1], rtol=0, atol=1e-5)
    np.testing.assert_allclose(got.pooler_output, want.pooler_output.numpy(), rtol=0, atol=1e-5)


def test_a_missing_pooler_becomes_the_identity(make, tmp_path):
    _, source = make("BertModel", pad_token_id=1)
    tensors = {n: t.numpy() for n, t in read_folder(source).items() if "pooler" not in n}
    write_folder(source, tensors)
    out, report = converted(source, tmp_path)
    got = ErnieMModel.from_pretrained(out)(IDS)
    np.testing.assert_allclose(got.pooler_output, np.tanh(got.last_hidden_state[:, 0]), atol=1e-6)
    assert "pooler.dense" in report.made


def test_a_second_token_type_is_noted(make, tmp_path):
    _, source = make("BertModel", type_vocab_size=2)
    assert "token type 1" in str(converted(source, tmp_path)[1])


def test_half_precision_sources(make, tmp_path):
    model, source = make("XLMRobertaModel", pad_token_id=1)
    model.half().save_pretrained(source)
    out, _ = converted(source, tmp_path)
    want = run(model.float(), input_ids=IDS, attention_mask=MASK).last_hidden_state.numpy()
    got = ErnieMModel.from_pretrained(out)(IDS, attention_mask=MASK)[0]
    np.testing.assert_allclose(got[MASK == 1], want[MASK == 1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", sorted(DIFFERS))
def test_other_architectures_are_refused_by_what_differs(kind):
    with pytest.raises(ValueError, match="is not of the ERNIE-M architecture") as caught:
        from_family({"model_type": kind}, {})
    assert DIFFERS[kind] in str(caught.value)


@pytest.mark.parametrize("kind", [None, 3, [], "unheard-of"])
def test_an_unknown_architecture_is_refused(kind):
    with pytest.raises(ValueError, match=f"can be converted: ernie_m, {FAMILY[0]}"):
        from_family({"model_type": kind}, {})


FEATURES = {
    "position_embedding_type 'relative_key'": {"position_embedding_type": "relative_key"},
    "is_decoder is true": {"is_decoder": True},
    "pad_token_id 3": {"pad_token_id": 3},
}


@pytest.mark.parametrize("message", FEATURES)
def test_a_feature_that_ernie_m_has_not_is_named(message, make, tmp_path):
    _, source = make("XLMRobertaModel", **{"pad_token_id": 1})
    config = json.loads((source / "config.json").read_text()) | FEATURES[message]
    (source / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        convert(source, tmp_path / "out", tokenizer=False)


def test_a_tensor_without_a_place_is_named(make, tmp_path):
    _, source = make("XLMRobertaModel", pad_token_id=1)
    tensors = {n: t.numpy() for n, t in read_folder(source).items()}
    tensors["encoder.layer.0.adapter.weight"] = np.ones(3, np.float32)
    write_folder(source, tensors)
    with pytest.raises(ValueError, match=r"no tensor like encoder\.layer\.0\.adapter\.weight"):
        convert(source, tmp_path / "out", tokenizer=False)
