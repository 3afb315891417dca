"""PaddleNLP's own files give PaddleNLP's own numbers; every protocol is read."""

import json
import pickle
import re
import shutil

import numpy as np
import pytest

import numpy_erniem
from numpy_erniem import ErnieMModel, convert
from numpy_erniem.checkpoint.config_files import old_paddle_config
from numpy_erniem.checkpoint.folder import read_folder
from numpy_erniem.checkpoint.paddle_files import read_pdparams
from numpy_erniem.checkpoint.paddle_names import from_paddle
from numpy_erniem.checkpoint.safetensors_file import Tensor
from numpy_erniem.config import ErnieMConfig

SAMPLES = ["ErnieMModel", "ErnieMForSequenceClassification", "UIEM"]
WRONG_SIZE = "ignore:config.json says intermediate_size:UserWarning"
UNUSED = "ignore:.*tensors not used:UserWarning"


@pytest.fixture(params=SAMPLES)
def sample(request, shared):
    folder = shared / "data" / "paddle" / request.param
    with np.load(folder / "expected.npz") as expected:
        return folder, dict(expected)


def cases(expected):
    ids, mask = expected["input_ids"], expected["attention_mask"]
    return {
        "masked": {"input_ids": ids, "attention_mask": mask},
        "default": {"input_ids": ids},
        "positions": {
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": expected["position_ids"],
        },
    }


def paddle_outputs(folder, arguments):
    """What PaddleNLP's model of this folder returns, from our encoder and its head."""
    model = ErnieMModel.from_pretrained(folder)
    output = model(**arguments)
    w = {name: tensor.numpy() for name, tensor in read_folder(folder).items()}
    if "classifier.weight" in w:
        return [output.pooler_output @ w["classifier.weight"].T + w["classifier.bias"]]
    if "linear_start.weight" in w:
        logits = [
            output.last_hidden_state @ w[f"{n}.weight"].T + w[f"{n}.bias"]
            for n in ("linear_start", "linear_end")
        ]
        return [1 / (1 + np.exp(-x[..., 0])) for x in logits]
    return [output.last_hidden_state, output.pooler_output]


@pytest.mark.filterwarnings(WRONG_SIZE, UNUSED)
@pytest.mark.filterwarnings("ignore:.*drawn at random:UserWarning")
@pytest.mark.parametrize("case", ["masked", "default", "positions"])
@pytest.mark.parametrize("way", ["read as it is", "converted"])
def test_outputs_equal_paddles(case, way, sample, backend, tmp_path):
    folder, expected = sample
    if way == "converted":
        convert(folder, tmp_path / "out")
        folder = tmp_path / "out"
    for n, got in enumerate(paddle_outputs(folder, cases(expected)[case])):
        want = expected[f"{case}_{n}"]
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)


@pytest.mark.filterwarnings(WRONG_SIZE)
def test_heads_equal_paddles(sample, tmp_path):
    folder, expected = sample
    convert(folder, tmp_path / "out")
    name = json.loads((tmp_path / "out/config.json").read_text())["architectures"][0]
    model = getattr(numpy_erniem, name).from_pretrained(tmp_path / "out")
    for case, arguments in cases(expected).items():
        output = model(**arguments).to_tuple()
        for n in range(sum(key.startswith(case) for key in expected)):
            got = 1 / (1 + np.exp(-output[n])) if "Information" in name else output[n]
            np.testing.assert_allclose(got, expected[f"{case}_{n}"], rtol=0, atol=1e-5)


def test_the_report_says_everything(shared, tmp_path):
    report = convert(shared / "data/paddle/UIEM", tmp_path / "out")
    assert report.derived["intermediate_size"] == (3072, 96)
    assert report.derived["attention_mask_convention"] == (None, "paddle")
    assert report.derived["architectures"] == (["UIEM"], ["ErnieMForInformationExtraction"])
    assert len(report.transposed) == 2 * 6 + 3
    old, new = (f"ernie_m.encoder.layers.1.self_attn.{x}v_proj.bias" for x in ("", "self_attn."))
    assert report.renamed[old] == new
    for words in ("PaddleNLP", "transposed 15", "derived intermediate_size: 3072 -> 96"):
        assert words in str(report)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_every_protocol(protocol, tmp_path):
    wanted = {
        "a": np.float32([[1, -2], [3, 4], [5, 1e-40]]),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "half": np.float16([1, 2]),
        "long": np.int64([-1]),
        "empty": np.zeros((0, 3), np.float32),
        "large": np.random.default_rng(0).standard_normal(50_000).astype(np.float32),
    }
    path = tmp_path / "x.pdparams"
    path.write_bytes(pickle.dumps(wanted, protocol=protocol))
    got = read_pdparams(path)
    for name, values in wanted.items():
        assert got[name].numpy().dtype == values.dtype
        np.testing.assert_array_equal(got[name].numpy(), values)


def test_old_arrays_of_numpy_1_and_new_ones_of_numpy_2(tmp_path):
    whole = pickle.dumps({"a": np.float32([1, 2])}, protocol=3)
    path = tmp_path / "x"
    for module in (b"numpy.core.multiarray", b"numpy._core.multiarray"):
        path.write_bytes(re.sub(rb"numpy\._?core\.multiarray", module, whole))
        assert read_pdparams(path)["a"].numpy().tolist() == [1, 2]


def test_uint16_is_bfloat16(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(pickle.dumps({"a": np.uint16([0x3F80, 0xC000])}, protocol=4))
    assert read_pdparams(path)["a"].numpy().tolist() == [1, -2]


def test_tensors_in_paddles_own_form(tmp_path):
    class Named:
        def __reduce__(self):
            return tuple, (("linear_0.w_0", np.float32([1, 2])),)

    path = tmp_path / "x"
    path.write_bytes(pickle.dumps({"a": Named()}, protocol=4))
    assert read_pdparams(path)["a"].numpy().tolist() == [1, 2]


def test_split_arrays_are_refused_with_the_remedy(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(pickle.dumps({"UnpackBigParamInfor@@": {}}, protocol=2))
    with pytest.raises(ValueError, match="protocol=4"):
        read_pdparams(path)


@pytest.mark.parametrize("part", [0.2, 0.7, 0.99])
def test_a_truncated_file(part, shared, tmp_path):
    whole = (shared / "data/paddle/UIEM/model_state.pdparams").read_bytes()
    path = tmp_path / "x"
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(ValueError, match="bytes are needed"):
        read_pdparams(path)


def test_the_classifier_of_question_answering_is_renamed():
    tensors = {"classifier.weight": Tensor("F32", np.ones((12, 2), np.float32))}
    config = {"architectures": ["ErnieMForQuestionAnswering"]}
    translation = from_paddle(config, tensors)
    assert translation.tensors["qa_outputs.weight"].shape == (2, 12)
    assert translation.renamed == {"classifier.weight": "qa_outputs.weight"}


def test_embeddings_and_norms_are_not_transposed():
    names = ["embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight"]
    tensors = {name: Tensor("F32", np.ones((5, 2), np.float32)) for name in names}
    translation = from_paddle({}, tensors)
    assert {tensor.shape for tensor in translation.tensors.values()} == {(5, 2)}
    assert translation.transposed == []


@pytest.mark.filterwarnings(WRONG_SIZE)
@pytest.mark.parametrize("nested", [True, False])
def test_an_old_folder_with_model_config(nested, shared, tmp_path):
    source = shared / "data/paddle/ErnieMModel"
    shutil.copy(source / "model_state.pdparams", tmp_path)
    keys = json.loads((source / "config.json").read_text())
    keys = {k: v for k, v in keys.items() if k not in ("architectures", "model_type")}
    keys["init_class"] = "ErnieMModel"
    old = {"init_args": [keys], "init_class": "ErnieMModel"} if nested else keys
    (tmp_path / "model_config.json").write_text(json.dumps(old))
    config = ErnieMModel.from_pretrained(tmp_path).config
    assert (config.hidden_size, config.architectures) == (24, ["ErnieMModel"])
    assert config.hidden_token_id == 0


def test_an_old_config_with_classes(tmp_path):
    path = tmp_path / "model_config.json"
    inner = {"hidden_size": 24, "init_class": "ErnieMModel"}
    old = {"init_args": [inner, 5], "init_class": "ErnieMForSequenceClassification"}
    path.write_text(json.dumps(old))
    config = ErnieMConfig.from_dict(old_paddle_config(path))
    assert (config.num_labels, config.hidden_size) == (5, 24)
    assert config.architectures == ["ErnieMForSequenceClassification"]


def test_an_old_config_inside_another(tmp_path):
    path = tmp_path / "model_config.json"
    inner = {"init_args": [{"hidden_size": 24}], "init_class": "ErnieMModel", "vocab_size": 99}
    old = {
        "init_args": [inner, None, 0.25],
        "num_classes": 7,
        "init_class": "ErnieMForTokenClassification",
    }
    path.write_text(json.dumps(old))
    config = ErnieMConfig.from_dict(old_paddle_config(path))
    assert (config.hidden_size, config.vocab_size, config.num_labels) == (24, 99, 7)
    assert config.classifier_dropout == 0.25


NAMELESS = [
    {"init_args": [250002, 768], "init_class": "ErnieMModel"},
    {"init_args": [{}, 2, 0.1, "x"], "init_class": "ErnieMForTokenClassification"},
]


@pytest.mark.parametrize("old", NAMELESS)
def test_an_old_config_with_a_value_of_unknown_meaning(old, tmp_path):
    path = tmp_path / "model_config.json"
    path.write_text(json.dumps(old))
    with pytest.raises(ValueError, match="without a name; write it as a key"):
        old_paddle_config(path)


def test_an_old_config_that_is_too_deep(tmp_path):
    path = tmp_path / "model_config.json"
    path.write_text('{"init_args": [' * 30 + "{}" + "]}" * 30)
    with pytest.raises(ValueError, match="more than 8 levels"):
        old_paddle_config(path)


def test_an_old_config_of_another_model(tmp_path):
    path = tmp_path / "model_config.json"
    path.write_text('{"init_args": [{"init_class": "ErnieModel"}]}')
    with pytest.raises(ValueError, match="'ErnieModel', not for an ERNIE-M"):
        old_paddle_config(path)


@pytest.fixture
def tiny_config():
    return ErnieMConfig(
        vocab_size=19,
        hidden_size=12,
        num_attention_heads=3,
        num_hidden_layers=1,
        intermediate_size=7,
        max_position_embeddings=20,
    )


def test_the_mask_convention_is_honoured(tiny_config):
    ids = [[0, 5, 7, 1, 1]]
    ours = ErnieMModel(tiny_config, seed=3)
    values = {**tiny_config.to_dict(), "attention_mask_convention": "paddle"}
    theirs = ErnieMModel(ErnieMConfig.from_dict(values), seed=3)
    np.testing.assert_array_equal(theirs(ids)[0], ours(ids, attention_mask=[[0, 1, 1, 1, 1]])[0])
    np.testing.assert_array_equal(ours(ids)[0], ours(ids, attention_mask=[[1, 1, 1, 0, 0]])[0])


def test_the_mask_convention_is_saved_and_loaded(tiny_config, tmp_path):
    values = {**tiny_config.to_dict(), "attention_mask_convention": "paddle"}
    ErnieMModel(ErnieMConfig.from_dict(values)).save_pretrained(tmp_path)
    assert ErnieMModel.from_pretrained(tmp_path).config.hidden_token_id == 0


def test_another_mask_convention_is_refused():
    with pytest.raises(ValueError, match="attention_mask_convention 'tf' is not one of"):
        ErnieMConfig(attention_mask_convention="tf")


@pytest.mark.filterwarnings(WRONG_SIZE)
def test_an_old_folder_is_loaded_as_the_class_it_names(shared, tmp_path):
    source = shared / "data/paddle/UIEM"
    shutil.copy(source / "model_state.pdparams", tmp_path)
    keys = json.loads((source / "config.json").read_text())
    del keys["architectures"], keys["model_type"]
    old = {"init_args": [{**keys, "init_class": "ErnieMModel"}], "init_class": "UIEM"}
    (tmp_path / "model_config.json").write_text(json.dumps(old))
    model = numpy_erniem.load(tmp_path)
    assert type(model).__name__ == "ErnieMForInformationExtraction"
    assert model.config.hidden_token_id == 0


def test_paddle_reads_no_epsilon_from_its_config():
    translation = from_paddle({"layer_norm_eps": 1e-12}, {})
    assert translation.config["layer_norm_eps"] == 1e-5
    assert translation.derived["layer_norm_eps"] == (1e-12, 1e-5)
