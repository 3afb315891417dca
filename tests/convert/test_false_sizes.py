"""Tensors and arrays of a pickle whose shapes, storages or data lie."""

import pytest

from numpy_erniem.checkpoint.paddle_files import read_pdparams
from numpy_erniem.checkpoint.torch_files import read_torch

from . import pickles
from .pickles import array, call, dict_of, name, number, storage, tensor, text

TENSORS = {
    "negative stride": (tensor(strides=(-4, 1)), "integer of at least 0"),
    "negative offset": (tensor(offset=-1), "storage offset is not an integer"),
    "offset beyond": (tensor(offset=1), "does not fit its storage of 12"),
    "shape beyond": (tensor((4, 4)), "does not fit its storage of 12"),
    "stride beyond": (tensor((2, 2), (11, 1)), "does not fit its storage of 12"),
    "stride 0 makes much of little": (tensor((2**40, 4), (0, 1)), "does not fit its storage"),
    "size overflows": (tensor((2**62, 2**62), (0, 0)), "does not fit its storage"),
    "offset overflows": (tensor((1,), (1,), 2**63 - 1), "does not fit its storage"),
    "33 axes": (tensor((1,) * 33, (1,) * 33), "at most 32"),
    "sizes and strides differ": (tensor((3, 4), (1,)), "2 sizes and 1 strides"),
    "no storage": (tensor(where=text("x")), "a tensor without a storage"),
    "shape no tuple": (
        call(name("torch._utils", "_rebuild_tensor"), storage(), number(0), b"]", b")"),
        "a shape is not a tuple",
    ),
    "a bool for a size": (
        call(
            name("torch._utils", "_rebuild_tensor"), storage(), number(0), b"\x88\x85", b"K\x01\x85"
        ),
        "a size is not an integer",
    ),
    "a parameter of nothing": (call(name("torch._utils", "_rebuild_parameter"), b"N"), "no tensor"),
    "storage larger than its file": (tensor(where=storage(count=13)), "48 bytes, not 13 elements"),
    "storage smaller than its file": (tensor(where=storage(count=3)), "does not fit"),
    "storage of another width": (tensor(where=storage("HalfStorage")), "48 bytes, not 12"),
    "storage of 2^62": (tensor(where=storage(count=2**62)), "not 4611686018427387904 elements"),
    "storage that is missing": (tensor(where=storage(key="9")), "'9' is missing"),
    "key that climbs": (tensor(where=storage(key="../../data.pkl")), "is missing"),
    "persistent id of nothing": (b"NQ", "not a storage"),
    "quantized storage": (
        tensor(where=storage("QInt8Storage")),
        r"a quantized tensor \(torch\.QInt8Storage\)",
    ),
}

LEGACY = {
    "a list that lacks a key": ({"keys": ()}, "list of storages does not match"),
    "a list with a key too many": ({"keys": ("0", "1")}, "list of storages does not match"),
    "a key twice": ({"keys": ("0", "0")}, "list of storages does not match"),
    "a storage cut off": ({"data": bytes(40)}, "truncated, or not of 12 elements"),
}

ARRAYS = {
    "object dtype": (array(dtype="O8"), "'O8' is not one of"),
    "string dtype": (array(dtype="U4"), "'U4' is not one of"),
    "a list of fields": (array(dtype="f4,O"), "'f4,O' is not one of"),
    "byte order of nothing": (array(order="!"), "without a byte order"),
    "too little data": (array(data=bytes(40)), r"\(3, 4\) needs 48 bytes"),
    "too much data": (array(data=bytes(50)), r"\(3, 4\) needs 48 bytes"),
    "huge shape": (array(shape=(2**40, 2**40)), "needs"),
    "negative shape": (array(shape=(-1, -12)), "integer of at least 0"),
    "33 axes": (array(shape=(1,) * 33), "at most 32"),
    "another order": (array(columns=b"N"), "without a dtype or an order"),
    "no state": (array(state=b")"), "BUILD of an array or dtype with 0 arguments"),
    "a state twice": (array() + b"h\x00b", "BINGET lacks an operand"),
    "another class": (
        call(
            name("numpy.core.multiarray", "_reconstruct"),
            name("collections", "OrderedDict"),
            b")",
            b"N",
        ),
        "another class than numpy.ndarray",
    ),
    "a codec that is no encoding": (
        call(name("_codecs", "encode"), text("x"), text("zlib")),
        "another encoding than latin1",
    ),
    "a tuple of nothing": (call(name("builtins", "tuple"), b")"), "not the name and the array"),
    "an array never filled": (
        call(name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), b")", b"N"),
        "not an array",
    ),
}


@pytest.mark.parametrize("case", TENSORS)
def test_a_tensor_that_lies_in_a_zip(case, tmp_path):
    value, message = TENSORS[case]
    refused(read_torch, pickles.write_zip(tmp_path / "file", dict_of(a=value)), message)


@pytest.mark.parametrize("case", LEGACY)
def test_a_legacy_stream_that_lies(case, tmp_path):
    change, message = LEGACY[case]
    path = pickles.write_legacy(tmp_path / "file", dict_of(a=tensor()), **change)
    refused(read_torch, path, message)


@pytest.mark.parametrize("case", ARRAYS)
def test_an_array_that_lies(case, tmp_path):
    value, message = ARRAYS[case]
    refused(read_pdparams, pickles.write_pdparams(tmp_path / "file", dict_of(a=value)), message)


def refused(read, path, message):
    with pytest.raises(ValueError, match=message):
        read(path)
