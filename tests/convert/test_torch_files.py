"""Files that torch wrote come out bit for bit; damaged zips are refused."""

import collections
import json
import os
import struct
import zipfile

import numpy as np
import pytest

from numpy_erniem.checkpoint.folder import read_folder, read_tensors
from numpy_erniem.checkpoint.tensors import mapping_of
from numpy_erniem.checkpoint.torch_files import read_torch

from . import pickles
from .pickles import dict_of, tensor

GOOD = dict_of(a=tensor())


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def tricky(torch):
    """Tensors of every kind that checkpoints hold, tied and viewed in every way."""
    numbers = torch.arange(12.0).reshape(3, 4) - 5
    kinds = ["float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8"]
    return collections.OrderedDict(
        plain=numbers,
        tied=numbers,
        transposed=numbers.T,
        row=numbers[1],
        column=numbers[:, 2],
        every_other=numbers[::2, ::3],
        offset=torch.arange(20.0)[7:13].reshape(2, 3),
        parameter=torch.nn.Parameter(numbers * 2),
        scalar=torch.tensor(3.5),
        empty=torch.zeros(0, 3),
        broad=torch.tensor([1.0]).expand(1, 1),
        special=torch.tensor([float("nan"), float("inf"), -0.0, 1e-42]),
        flags=torch.tensor([True, False]),
        **{kind: (numbers * 1.3).to(getattr(torch, kind)) for kind in kinds},
    )


def bits(torch, value):
    value = value.detach().contiguous()
    return value.view(torch.uint8).numpy() if value.dim() else value.reshape(1).view(torch.uint8)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_every_tensor_equals_torchs_bit_for_bit(zipped, torch, tmp_path):
    wanted = tricky(torch)
    path = tmp_path / "pytorch_model.bin"
    torch.save(wanted, path, _use_new_zipfile_serialization=zipped)
    got = read_torch(path)
    assert list(got) == list(wanted)
    for name, value in wanted.items():
        assert got[name].shape == tuple(value.shape), name
        stored = np.atleast_1d(got[name].encode_as())
        np.testing.assert_array_equal(stored.view(np.uint8), bits(torch, value), name)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_bfloat16_widens_exactly(zipped, torch, tmp_path):
    values = torch.tensor([1.0, -2.5, 3e38, 1e-40, float("inf")], dtype=torch.bfloat16)
    torch.save({"a": values}, tmp_path / "x", _use_new_zipfile_serialization=zipped)
    got = read_torch(tmp_path / "x")["a"].numpy(np.float32)
    np.testing.assert_array_equal(got, values.float().numpy())


def test_a_state_dict_with_versions_is_read(torch, tmp_path):
    module = torch.nn.Linear(3, 2)
    torch.save(module.state_dict(), tmp_path / "x")
    got = read_torch(tmp_path / "x")
    np.testing.assert_array_equal(got["weight"].numpy(), module.weight.detach().numpy())


def test_float32_of_a_zip_is_mapped(torch, tmp_path):
    torch.save({"a": torch.ones(1000)}, tmp_path / "x")
    values = read_torch(tmp_path / "x")["a"].numpy(np.float32)
    assert not values.flags.owndata
    assert not values.flags.writeable


def test_shards_of_torch(torch, tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "pytorch_model-00001-of-00002.bin")
    torch.save({"b": torch.zeros(3)}, tmp_path / "pytorch_model-00002-of-00002.bin")
    places = {n: f"pytorch_model-0000{i}-of-00002.bin" for i, n in ((1, "a"), (2, "b"))}
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    got = read_folder(tmp_path)
    assert {n: t.numpy().tolist() for n, t in got.items()} == {"a": [1, 1], "b": [0, 0, 0]}


def test_big_endian_storages_are_swapped(tmp_path):
    data = np.arange(12, dtype=">f4").tobytes()
    path = tmp_path / "x"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", pickles.program(GOOD))
        archive.writestr("x/byteorder", b"big")
        archive.writestr("x/data/0", data)
    got = read_torch(path)["a"]
    assert got.numpy().tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert got.encode_as().dtype == "<f4"
    assert got.encode_as()[0, 1] == 1


def test_safetensors_come_before_torch_before_paddle(tmp_path):
    pickles.write_pdparams(tmp_path / "model_state.pdparams", dict_of(a=pickles.array()))
    assert read_tensors(tmp_path)[0] == "model_state.pdparams"
    pickles.write_zip(tmp_path / "pytorch_model.bin", GOOD)
    assert read_tensors(tmp_path)[0] == "pytorch_model.bin"
    (tmp_path / "model.safetensors").write_bytes(b"\x02" + bytes(7) + b"{}")
    assert read_tensors(tmp_path)[0] == "model.safetensors"


def test_two_checkpoints_of_torch_are_named(tmp_path):
    pickles.write_zip(tmp_path / "pytorch_model.bin", GOOD)
    (tmp_path / "pytorch_model.bin.index.json").write_text('{"weight_map": {}}')
    with pytest.raises(ValueError, match="two checkpoints"):
        read_folder(tmp_path)


def test_an_index_of_torch_may_not_name_other_files(tmp_path):
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text('{"weight_map": {"a": "../pytorch_model-1.bin"}}')
    with pytest.raises(ValueError, match=r"a shard is a \.bin file in the same folder"):
        read_folder(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="symbolic links are POSIX's")
def test_a_shard_may_not_be_a_link_out_of_the_folder(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    pickles.write_zip(tmp_path / "secret.bin", GOOD)
    (folder / "shard.bin").symlink_to("../secret.bin")
    (folder / "pytorch_model.bin.index.json").write_text('{"weight_map": {"a": "shard.bin"}}')
    with pytest.raises(ValueError, match="a link that leads out"):
        read_folder(folder)


@pytest.mark.skipif(os.name != "posix", reason="symbolic links are POSIX's")
def test_the_links_of_the_hubs_cache_are_followed(tmp_path):
    folder = tmp_path / "snapshots" / "abc"
    folder.mkdir(parents=True)
    (tmp_path / "blobs").mkdir()
    pickles.write_zip(tmp_path / "blobs" / "123", GOOD)
    (folder / "shard.bin").symlink_to("../../blobs/123")
    (folder / "pytorch_model.bin.index.json").write_text('{"weight_map": {"a": "shard.bin"}}')
    assert read_folder(folder)["a"].shape == (3, 4)


@pytest.mark.skipif(os.name != "posix", reason="symbolic links are POSIX's")
def test_the_links_of_the_hubs_cache_are_followed_in_a_subfolder(tmp_path):
    folder = tmp_path / "snapshots" / "abc" / "large" / "v1"
    folder.mkdir(parents=True)
    (tmp_path / "blobs").mkdir()
    pickles.write_zip(tmp_path / "blobs" / "123", GOOD)
    (folder / "shard.bin").symlink_to("../../../../blobs/123")
    (folder / "pytorch_model.bin.index.json").write_text('{"weight_map": {"a": "shard.bin"}}')
    assert read_folder(folder)["a"].shape == (3, 4)


@pytest.mark.skipif(os.name != "posix", reason="devices are POSIX's")
def test_a_pipe_or_device_is_no_checkpoint(tmp_path):
    (tmp_path / "pytorch_model.bin").symlink_to("/dev/zero")
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        read_folder(tmp_path)


NAMES = ["../a", "/etc/passwd", "archive/../../a", "archive\\..\\a", "C:/a"]


@pytest.mark.parametrize("name", NAMES)
def test_a_zip_name_that_leads_out(name, tmp_path):
    path = pickles.write_zip(tmp_path / "x", GOOD, extra=[(name, b"x")])
    with pytest.raises(ValueError, match="leads out of the archive"):
        read_torch(path)


def test_a_symbolic_link_in_a_zip(tmp_path):
    link = zipfile.ZipInfo("archive/data/1")
    link.external_attr = 0o120777 << 16
    path = pickles.write_zip(tmp_path / "x", GOOD, extra=[(link, b"/etc/passwd")])
    with pytest.raises(ValueError, match="a symbolic link"):
        read_torch(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_name_twice(tmp_path):
    path = pickles.write_zip(tmp_path / "x", GOOD, extra=[("archive/data/0", bytes(48))])
    with pytest.raises(ValueError, match="duplicate name"):
        read_torch(path)


def test_a_zip_bomb(tmp_path):
    path = tmp_path / "x"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickles.program(GOOD))
        archive.writestr("archive/data/0", bytes(10**7))
    with pytest.raises(ValueError, match="compressed or encrypted"):
        read_torch(path)


def test_a_torchscript_program(tmp_path):
    path = pickles.write_zip(tmp_path / "x", GOOD, extra=[("archive/constants.pkl", b"")])
    with pytest.raises(ValueError, match="TorchScript"):
        read_torch(path)


def test_another_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "x", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match="did not write it"):
        read_torch(tmp_path / "x")


def test_a_pickle_with_something_behind_it(tmp_path):
    with zipfile.ZipFile(tmp_path / "x", "w") as archive:
        archive.writestr("x/data.pkl", pickles.program(GOOD) + b"cos\nsystem\n.")
        archive.writestr("x/data/0", bytes(48))
    with pytest.raises(ValueError, match="bytes follow the pickle"):
        read_torch(tmp_path / "x")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_zip(part, tmp_path):
    path = pickles.write_zip(tmp_path / "x", GOOD)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(ValueError, match="broken or truncated zip"):
        read_torch(path)


def directory_entry(whole, name):
    """Where the directory of an archive describes a member."""
    return whole.index(b"PK\x01\x02", whole.index(b"PK\x01\x02") - 1), whole.rindex(name) - 46


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (20, 2**31, "compressed or encrypted|bytes, more than"),
        (24, 2**31, "compressed or encrypted"),
        (42, 2**31 - 1, "not where the archive|broken"),
        (8, 1, "compressed or encrypted"),
    ],
)
def test_a_directory_that_lies(field, value, message, tmp_path):
    path = pickles.write_zip(tmp_path / "x", GOOD)
    whole = bytearray(path.read_bytes())
    _, entry = directory_entry(whole, b"archive/data/0")
    width = "<H" if field == 8 else "<I"
    struct.pack_into(width, whole, entry + field, value)
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=message):
        read_torch(path)


def test_sizes_that_agree_and_lie(tmp_path):
    path = pickles.write_zip(tmp_path / "x", GOOD)
    whole = bytearray(path.read_bytes())
    _, entry = directory_entry(whole, b"archive/data/0")
    struct.pack_into("<II", whole, entry + 20, 2**30, 2**30)
    path.write_bytes(whole)
    with pytest.raises(ValueError, match="bytes, more than the file"):
        read_torch(path)


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x02", b"hello", b"version https://git-lfs.github.com/spec/v1\n"]
)
def test_what_torch_did_not_write(content, tmp_path):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"0 bytes|neither of the two formats|Git LFS"):
        read_torch(path)


@pytest.mark.parametrize("name", ["\x1b[2J", "a\nb", "x" * 501])
def test_a_tensor_name_that_cannot_be_shown(name, tmp_path):
    body = b"}(" + pickles.text(name) + tensor() + b"u"
    pickles.write_zip(tmp_path / "pytorch_model.bin", body)
    with pytest.raises(ValueError, match="is not a valid tensor name"):
        read_folder(tmp_path)


def test_a_training_state_is_refused_by_name(torch, tmp_path):
    torch.save({"model": {"a": torch.ones(1)}, "epoch": 3}, tmp_path / "x")
    with pytest.raises(ValueError, match="'model' is a dict, not a tensor; save the state_dict"):
        read_torch(tmp_path / "x")


def test_a_whole_module_is_refused_by_name(torch, tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "x")
    with pytest.raises(ValueError, match=r"wants torch\.nn\.modules\.linear\.Linear"):
        read_torch(tmp_path / "x")


@pytest.mark.parametrize("name", ["plain", "transposed", "offset"])
def test_what_was_copied_of_a_file_is_let_go(name, torch, tmp_path):
    torch.save(tricky(torch), tmp_path / "x")
    tensor = read_torch(tmp_path / "x")[name]
    assert mapping_of(tensor.data) is not None
    before = tensor.numpy(np.float64)
    assert mapping_of(before) is None
    tensor.release_pages()
    np.testing.assert_array_equal(tensor.numpy(np.float64), before)
