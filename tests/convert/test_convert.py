"""convert(): complete folders or nothing, dtypes, memory, the command line."""

import json
import os
import re
import shutil

import numpy as np
import pytest

from numpy_erniem import ErnieMConfig, ErnieMModel, ErnieMTokenizer, conversion, convert
from numpy_erniem.checkpoint.folder import read_folder, write_folder
from numpy_erniem.checkpoint.hub import bundled_checkpoint
from numpy_erniem.checkpoint.tensors import CHUNK, Tensor
from numpy_erniem.cli.main import main
from numpy_erniem.quantization.numbers import bits_of, to_bfloat16

SIZES = {
    "vocab_size": 19,
    "hidden_size": 12,
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "intermediate_size": 7,
    "max_position_embeddings": 20,
}


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    ErnieMModel(ErnieMConfig(**SIZES), seed=5).save_pretrained(folder)
    return folder


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_tensors(folder, drop=(), **changes):
    tensors = {n: t.numpy() for n, t in read_folder(folder).items() if n not in drop}
    write_folder(folder, tensors | {n.replace("__", "."): x for n, x in changes.items()})


def test_our_own_checkpoint_comes_out_bit_for_bit(tmp_path):
    convert(bundled_checkpoint(), tmp_path / "out")
    before, after = read_folder(bundled_checkpoint()), read_folder(tmp_path / "out")
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        np.testing.assert_array_equal(tensor.numpy(), after[name].numpy())
    ids = [
        ErnieMTokenizer.from_pretrained(f)("Hello 世界")["input_ids"]
        for f in (bundled_checkpoint(), tmp_path / "out")
    ]
    assert ids[0] == ids[1]


def test_torch_gives_what_safetensors_give(source, tmp_path):
    torch = pytest.importorskip("torch")
    tensors = {n: torch.from_numpy(t.numpy().copy()) for n, t in read_folder(source).items()}
    (source / "model.safetensors").unlink()
    model = ErnieMModel(ErnieMConfig(**SIZES), seed=5)
    for zipped in (True, False):
        torch.save(tensors, source / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
        for folder in (source, convert(source, tmp_path / f"out{zipped}").out):
            got = ErnieMModel.from_pretrained(folder)
            np.testing.assert_array_equal(got([[0, 3, 2]])[0], model([[0, 3, 2]])[0])


@pytest.mark.parametrize(
    ("dtype", "kind"), [("float16", "F16"), ("bfloat16", "BF16"), (None, "F32")]
)
def test_the_dtype_of_the_weights(dtype, kind, source, tmp_path):
    convert(source, tmp_path / "out", dtype=dtype)
    before, after = read_folder(source), read_folder(tmp_path / "out")
    assert {tensor.dtype for tensor in after.values()} == {kind}
    for name, tensor in before.items():
        np.testing.assert_allclose(
            after[name].numpy(np.float32), tensor.numpy(), rtol=2**-8, atol=1e-6
        )
        np.testing.assert_array_equal(after[name].encode_as(), tensor.encode_as(kind))


def test_bfloat16_is_rounded_as_torch_rounds(rng):
    torch = pytest.importorskip("torch")
    bits = rng.integers(0, 2**32, 100_000, dtype=np.uint32)
    values = bits.view(np.float32)
    values = values[~np.isnan(values)]
    want = torch.from_numpy(values).bfloat16().view(torch.int16).numpy().view(np.uint16)
    np.testing.assert_array_equal(bits_of(to_bfloat16(values)), want)
    assert np.isnan((bits_of(to_bfloat16(np.float32([np.nan]))).astype(np.uint32) << 16).view("f4"))


def test_a_value_beyond_float16_is_named(source, tmp_path):
    change_tensors(source, pooler__dense__bias=np.full(12, 1e5, np.float32))
    with pytest.raises(ValueError, match=r"tensor pooler\.dense\.bias: a value of 100000 does not"):
        convert(source, tmp_path / "out", dtype="float16")
    assert os.listdir(tmp_path) == ["source"]


def test_infinity_stays_infinity():
    values = np.float32([np.inf, -np.inf, 1])
    assert Tensor("F32", values).encode_as("F16").tolist() == [np.inf, -np.inf, 1]


def test_shards(source, tmp_path):
    convert(source, tmp_path / "out", max_shard_size="2KB")
    assert (tmp_path / "out/model.safetensors.index.json").is_file()
    same = [ErnieMModel.from_pretrained(f)([[0, 3, 2]])[0] for f in (source, tmp_path / "out")]
    np.testing.assert_array_equal(*same)


def test_progress_ends_at_the_total(source, tmp_path):
    seen = []
    report = convert(
        source, tmp_path / "out", progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (report.bytes_written, report.bytes_written)
    assert len(seen) == report.tensors
    assert report.bytes_written == sum(t.data.nbytes for t in read_folder(source).values())


def test_extra_tensors_are_dropped_and_named(source, tmp_path):
    change_tensors(source, cls__predictions__bias=np.ones(3, np.float32))
    report = convert(source, tmp_path / "out")
    assert report.dropped == {"cls.predictions.bias": "not a tensor of this model"}
    assert "cls.predictions.bias" not in read_folder(tmp_path / "out")


def test_an_empty_folder_is_filled(source, tmp_path):
    (tmp_path / "out").mkdir()
    convert(source, tmp_path / "out")
    assert (tmp_path / "out/config.json").is_file()


def test_a_folder_with_something_in_it_is_left_alone(source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/precious").write_text("x")
    with pytest.raises(ValueError, match="not an empty folder"):
        convert(source, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["precious"]


def truncated(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


BAD = {
    "not of the ERNIE-M architecture": lambda f: change_config(f, model_type="gpt2"),
    "no config.json": lambda f: (f / "config.json").unlink(),
    "has no checkpoint": lambda f: (f / "model.safetensors").unlink(),
    "was the download broken off": truncated,
    "tensors are missing: pooler.dense.bias": lambda f: change_tensors(f, ["pooler.dense.bias"]),
    "has shape (19, 12) in the weights, and the sizes in config.json make it (20, 12)": (
        lambda f: change_config(f, vocab_size=20)
    ),
    "holds I64, not floats": lambda f: change_tensors(f, pooler__dense__bias=np.ones(12, np.int64)),
    "hidden_size 'x' is not an integer": lambda f: change_config(f, hidden_size="x"),
    "num_hidden_layers 1000000000 is above": lambda f: change_config(f, num_hidden_layers=10**9),
    "tensors are missing: encoder.layers.2": lambda f: change_config(f, num_hidden_layers=300),
    "is not valid JSON": lambda f: (f / "config.json").write_text("{"),
}


@pytest.mark.parametrize("message", BAD)
def test_a_bad_source_is_one_line_and_leaves_nothing(message, source, tmp_path, capsys):
    BAD[message](source)
    assert main(["convert", str(source), str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    parts = [re.escape(m) for m in message.split("|")]
    assert re.search("|".join(parts), captured.err)
    assert os.listdir(tmp_path) == ["source"]


def test_a_crash_leaves_nothing(source, tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("numpy_erniem.checkpoint.folder.flush", full)
    with pytest.raises(OSError, match="no space"):
        convert(source, tmp_path / "out")
    assert os.listdir(tmp_path) == ["source"]


@pytest.mark.skipif(os.name != "posix", reason="symbolic links are POSIX's")
@pytest.mark.parametrize("name", ["vocab.txt", "model.safetensors"])
def test_a_link_out_of_the_source_is_not_copied(name, tmp_path):
    shutil.copytree(bundled_checkpoint(), tmp_path / "source")
    shutil.move(tmp_path / "source" / name, tmp_path / "secret")
    (tmp_path / "source" / name).symlink_to("../secret")
    with pytest.raises(ValueError, match="a link that leads out of its folder"):
        convert(tmp_path / "source", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_dtype(source, tmp_path):
    with pytest.raises(ValueError, match="dtype 'int4' is not one of float32, float16, bfloat16"):
        convert(source, tmp_path / "out", dtype="int4")


def test_the_command_prints_the_report(source, tmp_path, capsys):
    code = main(["convert", str(source), str(tmp_path / "out"), "--dtype", "float16", "--names"])
    assert code == 0
    assert "38 tensors" in capsys.readouterr().out


def test_paddles_tokenizer_rule_is_recorded(shared, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(shared / "data/paddle/UIEM", source)
    for name in ("vocab.txt", "sentencepiece.bpe.model"):
        shutil.copy(bundled_checkpoint() / name, source)
    convert(source, tmp_path / "out")
    assert ErnieMTokenizer.from_pretrained(tmp_path / "out").bare_underline == "paddle"


def test_one_tensor_at_a_time_is_in_memory(source, tmp_path):
    import tracemalloc

    config = {"vocab_size": 200_000, "num_hidden_layers": 0, "max_position_embeddings": 200_000}
    shapes = {"word": (200_000, 12), "position": (200_000, 12)}
    tables = {
        f"embeddings.{n}_embeddings.weight": np.ones(s, np.float32) for n, s in shapes.items()
    }
    kept = {n: t.numpy() for n, t in read_folder(source).items() if "layer" not in n.split(".")[1]}
    norm = {f"embeddings.layer_norm.{n}": np.ones(12, np.float32) for n in ("weight", "bias")}
    write_folder(source, {n: x for n, x in kept.items() if "encoder" not in n} | tables | norm)
    change_config(source, **config)
    one = tables["embeddings.word_embeddings.weight"].nbytes
    del tables, kept
    tracemalloc.start()
    try:
        conversion.convert(source, tmp_path / "out", dtype="bfloat16")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * one  # of a table the bfloat16 half, and a stretch of it being rounded


def test_a_config_that_asks_for_more_than_memory_holds_is_refused(source):
    change_tensors(source, ["embeddings.position_embeddings.weight"])
    change_config(source, num_hidden_layers=2, max_position_embeddings=10**12)
    with pytest.raises(ValueError, match="weights that are not in the file"):
        ErnieMModel.from_pretrained(source)


def test_a_tensor_is_converted_in_stretches_without_a_seam(rng):
    values = rng.standard_normal((3, CHUNK // 2 + 7)).astype(np.float32)
    np.testing.assert_array_equal(
        Tensor("F32", values).encode_as("BF16"), bits_of(to_bfloat16(values))
    )
    half = Tensor("F32", values).encode_as("F16")
    np.testing.assert_array_equal(half, values.astype(np.float16))


@pytest.mark.parametrize("dtype", [None, "int8", "bfloat16"])
@pytest.mark.parametrize("first", ["ErnieMForMaskedLM", "ErnieMForSequenceClassification"])
def test_every_head_that_the_config_names_comes_along(first, dtype, tmp_path):
    """Whichever class is the first, and the pooler that only one of them has."""
    folder = shutil.copytree(bundled_checkpoint(), tmp_path / "in")
    names = {"ErnieMForMaskedLM", "ErnieMForSequenceClassification"}
    change_config(folder, architectures=[first, *(names - {first})])
    report = convert(folder, tmp_path / "out", dtype=dtype)
    assert report.dropped == {}
    there = {name for name in read_folder(tmp_path / "out") if not name.endswith("weight.scale")}
    before = {*read_folder(folder)}
    prefix = "ernie_m."
    assert {n.removeprefix(prefix) for n in there} == {n.removeprefix(prefix) for n in before}


def test_a_head_of_a_class_that_the_config_does_not_name_is_dropped(tmp_path):
    folder = shutil.copytree(bundled_checkpoint(), tmp_path / "in")
    change_config(folder, architectures=["ErnieMForMaskedLM", "ErnieMForQuestionAnswering"])
    dropped = convert(folder, tmp_path / "out").dropped
    told = "not of the head of ErnieMForMaskedLM or ErnieMForQuestionAnswering"
    assert dropped["classifier.weight"] == f"{told}, which config.json names"
