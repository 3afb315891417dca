"""Tensors on disk: literal bytes, every dtype, hostile headers, shards, crashes while saving."""

import json
import os
import stat

import numpy as np
import pytest

from numpy_erniem.checkpoint import folder as storage
from numpy_erniem.checkpoint.folder import read_folder, read_safetensors, write_folder


def file_of(path, header, data=b""):
    """Write a safetensors file from a header (dict or bytes) and data."""
    text = header
    if isinstance(header, dict):
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)  # so that the data is aligned, as savers do it
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def test_a_file_byte_by_byte(tmp_path):
    header = b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  '
    data = b"\x00\x00\x80\x3f\x00\x00\x00\xc0"  # 1.0 and -2.0, little endian
    path = file_of(tmp_path / "a.safetensors", header, data)
    assert read_safetensors(path)["x"].numpy().tolist() == [1.0, -2.0]


@pytest.mark.parametrize(
    ("kind", "data", "values"),
    [
        ("F64", np.array([1.5, -2], "<f8").tobytes(), [1.5, -2]),
        ("F16", np.array([1.5, -2], "<f2").tobytes(), [1.5, -2]),
        ("BF16", b"\xc0\x3f\x00\xc0", [1.5, -2]),
        ("I64", np.array([7, -2], "<i8").tobytes(), [7, -2]),
        ("BOOL", b"\x01\x00", [1, 0]),
    ],
)
def test_every_dtype_becomes_float32(kind, data, values, tmp_path):
    path = file_of(tmp_path / "a", {"x": entry(kind, (2,), (0, len(data)))}, data)
    got = read_safetensors(path)["x"].numpy(np.float32)
    assert got.dtype == np.float32
    assert got.tolist() == values


def test_float32_is_mapped_and_read_only(tmp_path):
    path = file_of(tmp_path / "a", {"x": entry()}, bytes(8))
    values = read_safetensors(path)["x"].numpy(np.float32)
    assert not values.flags.owndata
    assert not values.flags.writeable
    with path.open("r+b") as file:  # what changes in the file changes in the map
        file.seek(-4, os.SEEK_END)
        file.write(b"\x00\x00\x80\x3f")
    assert values.tolist() == [0, 1]


def test_a_header_of_odd_length_is_read_through_a_copy(tmp_path):
    header = json.dumps({"x": entry()}).encode()
    header += b" " * (3 - len(header) % 4)
    path = file_of(tmp_path / "a", header, np.float32([3, 4]).tobytes())
    values = read_safetensors(path)["x"].numpy(np.float32)
    assert values.flags.aligned
    assert values.tolist() == [3, 4]


def test_empty_tensors_and_scalars(tmp_path):
    header = {"none": entry(shape=(0, 3), offsets=(0, 0)), "one": entry(shape=(), offsets=(0, 4))}
    tensors = read_safetensors(file_of(tmp_path / "a", header, np.float32(5).tobytes()))
    assert tensors["none"].numpy().shape == (0, 3)
    assert tensors["one"].numpy() == 5


TWICE = b'{"x":%s,"x":%s}' % ((json.dumps(entry()).encode(),) * 2)
REFUSED_BY_THE_LIBRARY = {
    "length beyond the file": (None, (10**6).to_bytes(8, "little") + b"{}", ""),
    "length of 2^63": (None, (1 << 63).to_bytes(8, "little") + b"{}", ""),
    "below eight bytes": (None, b"{}", "of 2 bytes"),
    "not JSON": (b"{", b"", ""),
    "not UTF-8": (b"\xff\xfe", b"", ""),
    "a list": (b"[]", b"", ""),
    "deep": (b"[" * 50_000, b"", ""),
    "entry a number": ({"x": 3}, b"", "tensor 'x'"),
    "no offsets": ({"x": {"dtype": "F32", "shape": []}}, b"", "tensor 'x'"),
    "unknown dtype": ({"x": entry("F31")}, bytes(8), ""),
    "dtype a list": ({"x": entry(["F32"])}, bytes(8), ""),
    "negative size": ({"x": entry(shape=(-2,))}, bytes(8), "needs -8 bytes"),
    "float size": ({"x": entry(shape=(2.0,))}, bytes(8), "tensor 'x'"),
    "bool size": ({"x": entry(shape=(True, 2))}, bytes(8), "tensor 'x'"),
    "shape a string": ({"x": {**entry(), "shape": "2"}}, bytes(8), "tensor 'x'"),
    "negative offset": ({"x": entry(offsets=(-8, 0))}, bytes(8), ""),
    "offsets reversed": ({"x": entry(offsets=(8, 0))}, bytes(8), "give it -8"),
    "three offsets": ({"x": entry(offsets=(0, 8, 8))}, bytes(8), "tensor 'x'"),
    "size lies": ({"x": entry(shape=(3,))}, bytes(8), r"'x' of F32 \[3\] needs 12 bytes"),
    "huge count": ({"x": entry(shape=(2**62, 2**62))}, bytes(8), "needs"),
    "beyond the data": ({"x": entry(shape=(4,), offsets=(0, 16))}, bytes(8), "broken off"),
    "overlap": ({"x": entry(), "y": entry(offsets=(4, 12))}, bytes(12), "y"),
    "gap": ({"x": entry(), "y": entry(offsets=(12, 20))}, bytes(20), "y"),
    "data left over": ({"x": entry()}, bytes(9), "broken off"),
    "header above the limit": (b"{}" + b" " * 100_000_000, b"", ""),
}
ACCEPTED_BY_THE_LIBRARY = {
    "a name twice": (TWICE, bytes(8), "duplicate key 'x'"),
    "a dtype that NumPy has not": ({"x": entry("F8_E4M3", (8,))}, bytes(8), "'F8_E4M3', not one"),
    "many axes": ({"x": entry(shape=(1,) * 40, offsets=(0, 4))}, bytes(4), "40 axes, above 32"),
}
HOSTILE = {
    "empty file": (None, b"", "0 bytes"),
    **REFUSED_BY_THE_LIBRARY,
    **ACCEPTED_BY_THE_LIBRARY,
}


def hostile_file(case, path):
    header, data, message = HOSTILE[case]
    if header is None:
        path.write_bytes(data)
    else:
        file_of(path, header, data)
    return message


@pytest.mark.parametrize("case", HOSTILE)
def test_a_lying_header_is_named(case, tmp_path):
    path = tmp_path / "model.safetensors"
    message = hostile_file(case, path) or "valid safetensors file"
    with pytest.raises(ValueError, match=message) as caught:
        read_safetensors(path)
    assert str(path) in str(caught.value)
    assert ("valid safetensors file" in str(caught.value)) == (case in REFUSED_BY_THE_LIBRARY)


@pytest.mark.parametrize("case", ACCEPTED_BY_THE_LIBRARY)
def test_our_own_checks_are_those_that_the_library_lacks(case, tmp_path):
    from safetensors import safe_open

    path = tmp_path / "model.safetensors"
    hostile_file(case, path)
    with safe_open(path, framework="np") as file:
        assert list(file.keys()) == ["x"]


def test_validating_reads_no_tensor(tmp_path):
    """A sparse file of 64 GB is mapped at once, by the library and by us."""
    header = json.dumps({"x": entry("U8", (1 << 36,), (0, 1 << 36))}).encode()
    path = tmp_path / "a"
    with path.open("wb") as file:
        try:
            file.truncate(8 + len(header) + (1 << 36))
        except OSError:
            pytest.skip("this file system has no sparse files")
        file.write(len(header).to_bytes(8, "little") + header)
    assert read_safetensors(path)["x"].shape == (1 << 36,)


@pytest.fixture
def tensors():
    return {f"t{i}": np.arange(6, dtype=np.float32).reshape(2, 3) + i for i in range(5)}


def same(folder, tensors):
    got = read_folder(folder)
    assert got.keys() == tensors.keys()
    for name, values in tensors.items():
        np.testing.assert_array_equal(got[name].numpy(), values)


def test_saved_tensors_are_equal_when_read(tensors, tmp_path):
    assert write_folder(tmp_path / "new", tensors) == [tmp_path / "new" / "model.safetensors"]
    same(tmp_path / "new", tensors)


def test_saved_tensors_are_read_by_the_safetensors_library(tensors, tmp_path):
    from safetensors.numpy import load_file

    write_folder(tmp_path, tensors)
    for name, values in load_file(tmp_path / "model.safetensors").items():
        np.testing.assert_array_equal(values, tensors[name])


def test_shards_hold_at_most_the_size_given(tensors, tmp_path):
    files = write_folder(tmp_path, tensors, max_shard_size=50)  # two tensors of 24 bytes each
    assert [f.name for f in files[:-1]] == [
        f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)
    ]
    same(tmp_path, tensors)
    index = json.loads(files[-1].read_text())
    assert index["metadata"]["total_size"] == 120


def test_a_tensor_above_the_shard_size_stands_alone(tensors, tmp_path):
    assert len(write_folder(tmp_path, tensors, max_shard_size=1)) == 6
    same(tmp_path, tensors)


def test_a_new_checkpoint_replaces_the_old_one_whole(tensors, tmp_path):
    write_folder(tmp_path, tensors, max_shard_size=50)
    write_folder(tmp_path, tensors)
    assert [f.name for f in tmp_path.iterdir()] == ["model.safetensors"]
    write_folder(tmp_path, tensors, max_shard_size=50)
    same(tmp_path, tensors)


def test_saving_over_the_file_that_is_mapped_keeps_the_values(tensors, tmp_path):
    write_folder(tmp_path, tensors)
    mapped = {name: t.numpy() for name, t in read_folder(tmp_path).items()}
    write_folder(tmp_path, mapped)
    same(tmp_path, tensors)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_files_have_the_usual_mode(tensors, tmp_path):
    (tmp_path / "usual").touch()
    usual = stat.S_IMODE((tmp_path / "usual").stat().st_mode)
    for file in write_folder(tmp_path / "out", tensors, max_shard_size=50):
        assert stat.S_IMODE(file.stat().st_mode) == usual


@pytest.mark.parametrize("size", [None, 50])
def test_a_crash_while_writing_leaves_the_old_checkpoint(size, tensors, tmp_path, monkeypatch):
    write_folder(tmp_path, tensors)
    before = sorted(os.listdir(tmp_path))

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(storage, "flush", full)
    with pytest.raises(OSError, match="no space"):
        write_folder(tmp_path, {"other": np.ones(3, np.float32)} | tensors, size or "5GB")
    assert sorted(os.listdir(tmp_path)) == before
    same(tmp_path, tensors)


@pytest.mark.parametrize("crash_at", [1, 2, 3, 4])
def test_a_crash_while_renaming_never_leaves_half_a_checkpoint(
    crash_at, tensors, tmp_path, monkeypatch
):
    old = {name: values + 100 for name, values in tensors.items()}
    write_folder(tmp_path, old, max_shard_size=50)
    calls, real = [], os.replace

    def replace(*arguments):
        calls.append(arguments)
        if len(calls) == crash_at:
            raise OSError("power is gone")
        real(*arguments)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="power"):
        write_folder(tmp_path, tensors, max_shard_size=50)
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        read_folder(tmp_path)


@pytest.mark.parametrize("size", ["5", "GB", "5 TB", 0, "-1KB", "infGB"])
def test_a_shard_size_that_is_none_is_named(size, tensors, tmp_path):
    with pytest.raises(ValueError, match="size"):
        write_folder(tmp_path, tensors, max_shard_size=size)


def test_shard_sizes_are_decimal():
    assert storage.parse_size("1.5KB") == 1500
    assert storage.parse_size("2GB") == 2 * 10**9


def test_no_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        read_folder(tmp_path)


def test_two_checkpoints_are_named(tensors, tmp_path):
    write_folder(tmp_path, tensors)
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    with pytest.raises(ValueError, match="two checkpoints"):
        read_folder(tmp_path)


def test_a_missing_shard_is_named(tensors, tmp_path):
    files = write_folder(tmp_path, tensors, max_shard_size=50)
    files[1].unlink()
    with pytest.raises(FileNotFoundError, match="model-00002-of-00003"):
        read_folder(tmp_path)


@pytest.mark.parametrize("index", ["[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 1}}'])
def test_an_index_without_map_is_named(index, tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ValueError, match="index"):
        read_folder(tmp_path)


@pytest.mark.parametrize("file", ["../x.safetensors", "/x.safetensors", "a/x.safetensors", "x.bin"])
def test_an_index_may_not_leave_the_folder(file, tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": file}}))
    with pytest.raises(ValueError, match="a shard is a"):
        read_folder(tmp_path)


def test_a_tensor_missing_from_its_shard_is_named(tensors, tmp_path):
    *_, index = write_folder(tmp_path, tensors, max_shard_size=50)
    content = json.loads(index.read_text())
    content["weight_map"]["extra"] = "model-00001-of-00003.safetensors"
    index.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="lacks the tensor 'extra'"):
        read_folder(tmp_path)
