"""check_parity(): equal models pass, a changed weight is found in its layer, golden files work."""

import shutil

import numpy as np
import pytest

import numpy_erniem
from numpy_erniem import ErnieMConfig, ErnieMModel, check_parity
from numpy_erniem.backend.dispatch import use_backend
from numpy_erniem.checkpoint.folder import read_folder, write_folder
from numpy_erniem.checkpoint.hub import bundled_checkpoint
from numpy_erniem.cli.main import main
from numpy_erniem.parity import compare
from numpy_erniem.parity.compare import Difference, read_golden

SIZES = {
    "vocab_size": 99,
    "hidden_size": 12,
    "num_attention_heads": 3,
    "num_hidden_layers": 3,
    "intermediate_size": 37,
    "max_position_embeddings": 30,
    "initializer_range": 0.3,
}


@pytest.fixture
def upstream():
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    if not hasattr(transformers, "ErnieMModel"):
        pytest.skip("this transformers has no ERNIE-M")


@pytest.fixture
def folder(tmp_path):
    ErnieMModel(ErnieMConfig(**SIZES), seed=1).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def golden(folder, tmp_path, upstream):
    """Numbers of `folder`, from upstream."""
    check_parity(folder, save=tmp_path / "golden.npz")
    return tmp_path / "golden.npz"


def scale(folder, name, factor):
    """Change one tensor of a checkpoint."""
    tensors = {n: t.numpy() for n, t in read_folder(folder).items()}
    write_folder(folder, tensors | {name: tensors[name] * np.float32(factor)})


def test_every_layer_of_equal_models_agrees(folder, upstream):
    report = check_parity(folder)
    names = ["embeddings", "layer 1", "layer 2", "layer 3", "pooler_output"]
    assert list(report.rows["numpy"]) == names
    assert report.ok
    assert all(d.largest < 2e-5 and d.cosine > 0.999999 for d in report.rows["numpy"].values())


def test_both_backends_are_compared(folder, upstream):
    try:
        with use_backend("native"):
            pass
    except ValueError:
        pytest.skip("the C kernels are not built")
    assert list(check_parity(folder).rows) == ["numpy", "native"]


def test_texts_are_the_inputs(upstream, tmp_path):
    check_parity(texts=["a", "b c"], save=tmp_path / "g.npz")
    inputs, _, _ = read_golden(tmp_path / "g.npz")
    assert inputs["input_ids"].shape[0] == 2
    assert inputs["attention_mask"].sum(axis=1).tolist()[0] < inputs["input_ids"].shape[1] + 1


@pytest.mark.parametrize("zipped", [True, False])
def test_upstream_reads_torch_files_by_itself(zipped, folder, upstream):
    import torch

    tensors = {n: torch.from_numpy(t.numpy().copy()) for n, t in read_folder(folder).items()}
    torch.save(tensors, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    (folder / "model.safetensors").unlink()
    assert check_parity(folder).ok


@pytest.mark.filterwarnings("ignore:config.json says intermediate_size:UserWarning")
def test_paddles_folder_as_it_is(shared, upstream):
    assert check_parity(shared / "data/paddle/ErnieMModel").ok


HEADS = {
    "ErnieMForSequenceClassification": "logits",
    "ErnieMForMultipleChoice": "logits",
    "ErnieMForTokenClassification": "logits",
    "ErnieMForQuestionAnswering": "end_logits",
    "ErnieMForInformationExtraction": "start_logits",
    "ErnieMForMaskedLM": "layer 3",  # upstream has its encoder alone
}


@pytest.mark.parametrize("name", HEADS)
def test_heads_are_compared(name, upstream, tmp_path):
    getattr(numpy_erniem, name)(ErnieMConfig(**SIZES), seed=1).save_pretrained(tmp_path)
    report = check_parity(tmp_path)
    assert HEADS[name] in report.rows["numpy"]
    assert report.ok


def test_a_golden_file_needs_no_torch(golden, folder, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    report = check_parity(folder, against=golden)
    assert report.ok
    assert "transformers" in report.reference
    with pytest.raises(ValueError, match=r"or compare with a file .*against=golden\.npz"):
        check_parity(folder)


def test_the_first_layer_that_differs_is_named(golden, folder):
    scale(folder, "encoder.layers.1.linear1.weight", 1.5)
    report = check_parity(folder, against=golden)
    assert report.first_outside("numpy") == "layer 2"
    assert not report.ok
    assert "outside the tolerance from: layer 2" in str(report)
    assert report.rows["numpy"]["layer 1"].largest < 2e-5


def test_a_nan_is_out_of_tolerance(golden, folder):
    scale(folder, "pooler.dense.bias", np.nan)
    with pytest.warns(UserWarning, match="NaN"):
        assert check_parity(folder, against=golden).first_outside("numpy") == "pooler_output"


def test_the_tolerance_counts(golden, folder):
    scale(folder, "pooler.dense.weight", 1.001)
    assert not check_parity(folder, against=golden, tolerance=1e-6).ok
    assert check_parity(folder, against=golden, tolerance=0.1).ok


def test_the_exit_code(golden, folder, capsys):
    assert main(["parity", str(folder), "--against", str(golden)]) == 0
    assert "layer 3" in capsys.readouterr().out
    scale(folder, "embeddings.layer_norm.bias", 2.0)
    scale(folder, "embeddings.layer_norm.weight", 2.0)
    assert main(["parity", str(folder), "--against", str(golden)]) == 1
    assert "outside the tolerance from: embeddings" in capsys.readouterr().out


def test_the_numbers_of_another_model_are_refused(golden):
    with pytest.raises(ValueError, match="of the same checkpoint"):
        check_parity(bundled_checkpoint(), against=golden)


def test_what_is_no_golden_file_is_refused(folder, tmp_path):
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04hello")
    with pytest.raises(ValueError, match="that parity saved"):
        check_parity(folder, against=tmp_path / "x.npz")
    np.savez(tmp_path / "y.npz", a=np.ones(3))
    with pytest.raises(ValueError, match="it holds a"):
        check_parity(folder, against=tmp_path / "y.npz")
    np.savez(tmp_path / "z.npz", a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="that parity saved"):
        check_parity(folder, against=tmp_path / "z.npz")
    with pytest.raises(FileNotFoundError, match="no file"):
        check_parity(folder, against=tmp_path / "nothing.npz")


def test_against_brings_its_own_texts(folder, tmp_path):
    with pytest.raises(ValueError, match="leave out texts and save"):
        check_parity(folder, ["x"], against=tmp_path / "g.npz")


def test_texts_need_a_tokenizer(folder, upstream):
    with pytest.raises(ValueError, match="has no tokenizer"):
        check_parity(folder, ["x"])


def test_a_golden_file_must_be_named_npz(folder, upstream, tmp_path):
    with pytest.raises(ValueError, match="does not end in"):
        check_parity(folder, save=tmp_path / "golden.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_the_checkpoint_is_loaded_once_for_both_backends(golden, folder, monkeypatch):
    loaded, real = [], compare.load
    monkeypatch.setattr(compare, "load", lambda path, **o: loaded.append(path) or real(path, **o))
    assert check_parity(folder, against=golden).ok
    assert loaded == [folder]


def test_differences_of_known_numbers():
    d = Difference.between(np.float32([3, 4]), np.float32([3, 5]))
    assert (d.largest, d.mean) == (1, 0.5)
    assert d.cosine == pytest.approx(29 / (5 * 34**0.5))


def test_the_bundled_checkpoint_is_the_default(upstream, tmp_path):
    copy = shutil.copytree(bundled_checkpoint(), tmp_path / "copy")
    a, b = check_parity().rows["numpy"], check_parity(copy).rows["numpy"]
    assert {n: d.largest for n, d in a.items()} == {n: d.largest for n, d in b.items()}


@pytest.fixture
def int8_folder(folder, tmp_path):
    ErnieMModel.from_pretrained(folder, dtype="int8").save_pretrained(tmp_path / "int8")
    return tmp_path / "int8"


def test_an_int8_checkpoint_is_compared_with_its_widened_weights(int8_folder, upstream):
    report = check_parity(int8_folder)
    assert report.ok
    assert "cosine at least 0.99" in str(report)
    assert report.rows["numpy"]["embeddings"].largest < 1e-5  # rows of the table are exact
    assert 1e-4 < report.rows["numpy"]["layer 3"].largest < 0.5


@pytest.mark.parametrize("dtype", ["int8", "bfloat16"])
def test_arithmetic_of_less_than_float32_is_judged_by_the_cosine(golden, folder, dtype):
    report = check_parity(folder, against=golden, dtype=dtype)
    assert report.ok
    assert 1e-4 < report.rows["numpy"]["layer 3"].largest < 0.5
    assert not check_parity(folder, against=golden, dtype=dtype, tolerance=1e-4).ok


def test_a_wrong_int8_layer_is_named(golden, int8_folder):
    tensors = {n: t.stored() for n, t in read_folder(int8_folder).items()}
    name = "encoder.layers.1.linear1.weight.scale"
    write_folder(int8_folder, tensors | {name: tensors[name] * np.float32(9)})
    report = check_parity(int8_folder, against=golden)
    assert report.first_outside("numpy") == "layer 2"


def test_the_command_takes_a_dtype(golden, folder, capsys):
    assert main(["parity", str(folder), "--against", str(golden), "--dtype", "int8"]) == 0
    assert "cosine at least 0.99" in capsys.readouterr().out
