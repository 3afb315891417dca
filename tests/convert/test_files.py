"""Files that people have: pointers of Git LFS, an index of one file, links, quantized weights."""

import json
import os
import shutil

import numpy as np
import pytest

import numpy_erniem
from numpy_erniem import ErnieMConfig, ErnieMTokenizer, convert
from numpy_erniem.checkpoint.folder import read_folder, write_folder
from numpy_erniem.checkpoint.hub import bundled_checkpoint
from numpy_erniem.checkpoint.torch_files import read_torch
from numpy_erniem.cli.main import main

from . import pickles

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
links = pytest.mark.skipif(os.name != "posix", reason="symbolic links are POSIX's")


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(bundled_checkpoint(), tmp_path / "model")


def pointed(folder, name):
    (folder / name).write_bytes(POINTER)
    return rf"{name} is a Git LFS pointer to a file of 12345 bytes, .* `git lfs pull`"


OF_MODELS = [
    "model.safetensors",
    "pytorch_model.bin",
    "model_state.pdparams",
    "config.json",
    "model.safetensors.index.json",
]


@pytest.mark.parametrize("name", OF_MODELS)
def test_a_pointer_of_git_lfs_is_named_as_such_by_load(name, folder):
    if name not in ("model.safetensors", "config.json"):
        (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=pointed(folder, name)):
        numpy_erniem.load(folder)


@pytest.mark.parametrize("name", ["sentencepiece.bpe.model", "vocab.txt", "tokenizer_config.json"])
def test_a_pointer_of_git_lfs_is_named_as_such_by_the_tokenizer(name, folder):
    with pytest.raises(ValueError, match=pointed(folder, name)):
        ErnieMTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("name", ["sentencepiece.bpe.model", "vocab.txt", "model.safetensors"])
def test_a_pointer_of_git_lfs_is_not_converted(name, folder, tmp_path):
    with pytest.raises(ValueError, match=pointed(folder, name)):
        convert(folder, tmp_path / "out")


@pytest.mark.parametrize("name", ["tokenizer.json", "modules.json"])
def test_a_pointer_in_a_folder_of_the_family_is_named(name, family_source, tmp_path):
    if name == "tokenizer.json":
        (family_source / "sentencepiece.bpe.model").unlink()
    with pytest.raises(ValueError, match=pointed(family_source, name)):
        convert(family_source, tmp_path / "out")


def test_a_pointer_as_a_config_file(tmp_path):
    pattern = pointed(tmp_path, "c.json")
    with pytest.raises(ValueError, match=pattern):
        ErnieMConfig.from_json_file(tmp_path / "c.json")


def test_a_single_file_with_an_index_that_names_it(folder):
    before = {name: tensor.numpy() for name, tensor in read_folder(folder).items()}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(before, "model.safetensors")}))
    after = read_folder(folder)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name].numpy()) for name in before)


def test_a_single_file_beside_an_index_of_others_is_refused(folder):
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-1-of-1.safetensors"}}))
    with pytest.raises(ValueError, match="has two checkpoints"):
        read_folder(folder)


@links
def test_a_folder_that_is_a_link_is_read(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert numpy_erniem.load(tmp_path / "link").config.hidden_size == 128
    assert ErnieMTokenizer.from_pretrained(tmp_path / "link").vocab_size
    convert(tmp_path / "link", tmp_path / "out")


READERS = {
    "model.safetensors": numpy_erniem.load,
    "config.json": numpy_erniem.load,
    "vocab.txt": ErnieMTokenizer.from_pretrained,
    "sentencepiece.bpe.model": ErnieMTokenizer.from_pretrained,
    "tokenizer_config.json": ErnieMTokenizer.from_pretrained,
}


@links
@pytest.mark.parametrize("name", READERS)
def test_a_file_that_is_a_link_out_of_its_folder_is_not_read(name, folder):
    shutil.move(folder / name, folder.parent / "secret")
    (folder / name).symlink_to("../secret")
    with pytest.raises(ValueError, match=f"{name} is a link that leads out of its folder"):
        READERS[name](folder)


@links
def test_a_file_that_is_a_link_inside_its_folder_is_read(folder):
    (folder / "large").mkdir()
    shutil.move(folder / "model.safetensors", folder / "large/x")
    (folder / "model.safetensors").symlink_to("large/x")
    assert numpy_erniem.load(folder).config.hidden_size == 128


@links
def test_a_link_to_a_file_that_is_gone_is_named(folder):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("gone")
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors is a link to a file that is"):
        numpy_erniem.load(folder)


GLOBALS = {
    "torch._utils._rebuild_qtensor": "a quantized tensor",
    "torch.QInt8Storage": "a quantized tensor",
    "torch.qint8": "a quantized tensor",
    "torch._utils._rebuild_sparse_tensor": "a sparse tensor",
    "torch._utils._rebuild_sparse_csr_tensor": "a sparse tensor",
    "torch._utils._rebuild_tensor_v3": "an 8-bit float tensor",
    "torch.float8_e4m3fn": "an 8-bit float tensor",
    "torch._tensor._rebuild_from_type_v2": "a tensor of a subclass",
    "torch._utils._rebuild_meta_tensor_no_storage": "a tensor without data",
    "torch.ComplexFloatStorage": "complex numbers",
}


@pytest.mark.parametrize("name", GLOBALS)
def test_other_tensors_in_a_pickle_are_refused_for_what_they_are(name, tmp_path):
    module, _, last = name.rpartition(".")
    path = pickles.write_zip(tmp_path / "x", pickles.name(module, last))
    with pytest.raises(ValueError, match=rf"holds {GLOBALS[name]}.*\({name}\)") as caught:
        read_torch(path)
    assert "run code" not in str(caught.value)


def torchs_tensors(torch):
    dense = torch.eye(3)
    yield "a quantized tensor", torch.quantize_per_tensor(dense, 0.1, 0, torch.qint8)
    yield "a sparse tensor", dense.to_sparse()
    yield "a sparse tensor", dense.to_sparse_csr()
    yield "a tensor without data", torch.empty(3, device="meta")
    if hasattr(torch, "float8_e4m3fn"):
        yield "an 8-bit float tensor", dense.to(torch.float8_e4m3fn)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of torch: these tensors are deprecated, or new
def test_what_torch_saves_of_other_tensors_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    for what, tensor in torchs_tensors(torch):
        torch.save({"weight": tensor}, tmp_path / "pytorch_model.bin")
        with pytest.raises(ValueError, match=f"holds {what}"):
            read_folder(tmp_path)


@pytest.mark.parametrize("safe", [True, False])
def test_int8_weights_are_refused_as_such(safe, folder, capsys):
    tensors = {n: t.numpy() for n, t in read_folder(folder).items()}
    name = "encoder.layers.0.linear1.weight"
    stored = next(n for n in tensors if n.endswith(name))
    tensors[stored] = tensors[stored].astype(np.int8)
    if safe:
        write_folder(folder, tensors)
    else:
        torch = pytest.importorskip("torch")
        state = {n: torch.from_numpy(x.copy()) for n, x in tensors.items()}
        torch.save(state, folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=f"{name} holds I8, and config.json has no quantization"):
        numpy_erniem.load(folder)
    assert main(["convert", str(folder), str(folder.parent / "out")]) == 2
    assert f"{folder}: tensor {stored} holds I8, not floats" in capsys.readouterr().err


def test_8_bit_floats_in_safetensors_are_refused_as_such(folder):
    header = {"a": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + b"xx"
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"'F8_E4M3'.*take the checkpoint in float32"):
        numpy_erniem.load(folder)
