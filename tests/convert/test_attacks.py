"""Known attacks by pickle: each is refused in every format, named, and nothing is run."""

import os
import pickle
import struct
import time

import pytest

from numpy_erniem.checkpoint.paddle_files import read_pdparams
from numpy_erniem.checkpoint.torch_files import read_torch

from . import pickles
from .pickles import array, call, dict_of, name, number, program, tensor, text, tuple_of

FORMATS = {
    "zip": (pickles.write_zip, read_torch),
    "legacy": (pickles.write_legacy, read_torch),
    "pdparams": (pickles.write_pdparams, read_pdparams),
}


@pytest.fixture(params=FORMATS)
def refused(request, tmp_path):
    """Check that a pickle is refused in one second with a message, and does nothing."""
    write, read = FORMATS[request.param]

    def check(body, message):
        path = write(tmp_path / "file", body)
        before = sorted(os.listdir(tmp_path))
        started = time.monotonic()
        with pytest.raises(ValueError, match=message) as caught:
            read(path)
        assert time.monotonic() - started < 5  # one second on a quiet machine
        assert sorted(os.listdir(tmp_path)) == before
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 1000

    check.folder = tmp_path
    return check


class Shell:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_os_system_by_reduce(protocol, refused):
    whole = pickle.dumps({"a": Shell(refused.folder / "ran")}, protocol=protocol)
    refused(whole[2:-1], r"posix\.system|nt\.system")


def test_a_message_cannot_steer_a_terminal(refused):
    refused(text("os") + text("\x1b[2J\u202esystem\n") + b"\x93", r"os\.\\x1b\[2J\\u202esystem")


def test_the_message_says_what_to_do_instead(refused):
    refused(name("os", "system"), "save it as safetensors")


GLOBALS = [
    ("os", "system"),
    ("posix", "system"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("__builtin__", "getattr"),
    ("builtins", "__import__"),
    ("subprocess", "Popen"),
    ("runpy", "_run_code"),
    ("webbrowser", "open"),
    ("_pickle", "loads"),
    ("pickle", "loads"),
    ("torch", "load"),
    ("torch.hub", "load"),
    ("torch.jit", "load"),
    ("torch.serialization", "load"),
    ("numpy", "load"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy.testing._private.utils", "runstring"),
    ("functools", "partial"),
    ("operator", "attrgetter"),
    ("types", "CodeType"),
    ("bdb", "Bdb.run"),
    ("torch._utils", "_rebuild_tensor_v2.__globals__"),
    ("collections", "OrderedDict.__reduce__"),
    ("collections.OrderedDict", "fromkeys"),
]


@pytest.mark.parametrize(("module", "attribute"), GLOBALS)
def test_a_global_that_is_not_allowed(module, attribute, refused):
    refused(name(module, attribute), rf"wants {module}\.{attribute}")


@pytest.mark.parametrize(("module", "attribute"), GLOBALS[:3])
def test_a_global_from_the_stack(module, attribute, refused):
    refused(text(module) + text(attribute) + b"\x93", rf"wants {module}\.{attribute}")


def test_a_global_put_together_from_the_memo(refused):
    body = text("system") + b"q\x00" + text("os") + b"q\x01"
    refused(body + b"h\x01h\x00\x93", r"wants os\.system")


def test_inst(refused):
    refused(b"(" + text("true") + b"ios\nsystem\n", r"wants os\.system")


def test_obj(refused):
    refused(b"(" + name("os", "system") + text("true") + b"o", r"wants os\.system")


OPCODES = {
    "OBJ": b"(" + name("collections", "OrderedDict") + b"o",
    "NEWOBJ": name("collections", "OrderedDict") + b")\x81",
    "NEWOBJ_EX": name("collections", "OrderedDict") + b")}\x92",
    "EXT1": b"\x82\x01",
    "EXT2": b"\x83\x01\x00",
    "EXT4": b"\x84\x01\x00\x00\x00",
    "PERSID": b"Pos.system\n",
    "STRING": b"S'x'\n",
    "UNICODE": b"Vx\n",
    "INT": b"I1\n",
    "LONG": b"L1L\n",
    "LONG4": b"\x8b\xff\xff\xff\x7f",
    "FLOAT": b"F1.0\n",
    "DUP": b"N2",
    "POP": b"NN0",
    "EMPTY_SET": b"\x8f",
    "BYTEARRAY8": b"\x96" + struct.pack("<Q", 2**40),
    "NEXT_BUFFER": b"\x97",
    "not a pickle opcode": b"\xff",
}


@pytest.mark.parametrize("opcode", OPCODES)
def test_an_opcode_that_tensors_do_not_need(opcode, refused):
    refused(OPCODES[opcode], opcode)


HOSTILE_STATES = {
    "on a function": (name("collections", "OrderedDict") + dict_of(__class__=b"N") + b"b", "state"),
    "on a tuple": (b")" + dict_of(x=b"N") + b"b", "BUILD of a tuple"),
    "on a list": (b"]" + tuple_of(b"N", dict_of(x=b"N")) + b"b", "BUILD of a list"),
    "on a string": (text("x") + dict_of(x=b"N") + b"b", "BUILD of a str"),
    "without a target": (b")b", "BUILD lacks an operand"),
}


@pytest.mark.parametrize("case", HOSTILE_STATES)
def test_build(case, refused):
    refused(*HOSTILE_STATES[case])


MEMO = {
    "get of nothing": (b"h\x07", "BINGET lacks an operand"),
    "long get of nothing": (b"j\xff\xff\xff\xff", "LONG_BINGET lacks an operand"),
    "put of nothing": (b"q\x00", "BINPUT lacks an operand"),
    "memoize of nothing": (b"\x94", "MEMOIZE lacks an operand"),
    "append to the memo's tuple": (b")q\x00Na", "items are added to a tuple"),
    "a list inside itself": (b"]q\x00h\x00a", "a list, not a dict"),
    "a dict inside itself": (b"}q\x00" + text("a") + b"h\x00s", "'a' is a dict"),
}


@pytest.mark.parametrize("case", MEMO)
def test_memo_tricks(case, refused):
    refused(*MEMO[case])


def test_billion_laughs(refused):
    body = b")q\x00" + b"h\x00h\x00\x86q\x00" * 200
    refused(body, "stops with|tuple, not a dict")


def test_billion_laughs_as_a_value(refused):
    laughs = b"(" + b")q\x00" + b"h\x00h\x00\x86q\x00" * 200 + b"0"
    refused(dict_of(a=laughs), "POP")
    laughs = b")q\x00" + b"h\x00h\x00\x86q\x00" * 200
    refused(b"}" + text("a") + laughs, "stops with")


def test_billion_laughs_as_an_argument(refused):
    laughs = b")q\x00" + b"h\x00h\x00\x86q\x00" * 100 + b"h\x00h\x00\x86"
    refused(call(name("collections", "OrderedDict"), laughs), "stops with|called with arguments")


def test_depth(refused):
    refused(b")" + b"\x85" * 60_000, "a tuple, not a dict")


def test_too_many_opcodes(refused):
    refused(b"(" * 3_000_000, "more than .* opcodes")


def test_too_many_containers(refused):
    refused(b"}" * 3_000_000, "more than .* opcodes")


LENGTHS = {
    "BINBYTES8": b"\x8e" + struct.pack("<Q", 2**63),
    "BINBYTES": b"B\xff\xff\xff\xff",
    "BINUNICODE": b"X\xff\xff\xff\xff",
    "BINUNICODE8": b"\x8d" + struct.pack("<Q", 2**64 - 1),
    "LONG1": b"\x8a\xff\x01",
    "GLOBAL": b"c" + b"x" * 300,
}


@pytest.mark.parametrize("opcode", LENGTHS)
def test_a_length_beyond_the_file(opcode, refused):
    refused(LENGTHS[opcode], "bytes are needed|does not end within 256 bytes")


def test_a_nested_pickle_in_bytes_stays_bytes(refused):
    inner = pickle.dumps(Shell(refused.folder / "ran"))
    refused(dict_of(a=b"B" + struct.pack("<I", len(inner)) + inner), "'a' is a memoryview")


def test_a_second_pickle_behind_the_first(tmp_path):
    path = pickles.write_pdparams(tmp_path / "file", dict_of(a=array()))
    path.write_bytes(path.read_bytes() + pickle.dumps(Shell(tmp_path / "ran")))
    with pytest.raises(ValueError, match="bytes follow the pickle"):
        read_pdparams(path)
    assert not (tmp_path / "ran").exists()


def test_a_second_pickle_behind_the_storages(tmp_path):
    path = pickles.write_legacy(tmp_path / "file", dict_of(a=tensor()))
    assert read_torch(path)["a"].shape == (3, 4)
    path.write_bytes(path.read_bytes() + pickle.dumps(Shell(tmp_path / "ran")))
    with pytest.raises(ValueError, match="bytes follow the last storage"):
        read_torch(path)


def test_a_call_of_a_class_that_only_marks(refused):
    kind = name("torch", "FloatStorage")
    refused(call(kind, number(10)), r"wants torch|not callable")


def test_a_call_with_too_many_arguments(tmp_path):
    path = tmp_path / "file"
    pickles.write_zip(path, call(name("torch._utils", "_rebuild_parameter")))
    with pytest.raises(ValueError, match="_rebuild_parameter does not take 0 arguments"):
        read_torch(path)


def test_a_dict_key_that_is_no_string(refused):
    refused(b"}" + number(3) + b"Ns", "a int for a key")


def test_a_name_twice(refused):
    refused(b"}(" + text("a") + b"N" + text("a") + b"Nu", "duplicate key 'a'")


def test_text_that_is_not_utf8(refused):
    refused(b"X\x02\x00\x00\x00\xff\xfe", "utf-8")


def test_a_protocol_of_the_future(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(program(dict_of(a=array()), protocol=6))
    with pytest.raises(ValueError, match="protocol 6"):
        read_pdparams(path)


def test_the_good_pickles_that_the_attacks_start_from(tmp_path):
    for write in (pickles.write_zip, pickles.write_legacy):
        tensors = read_torch(write(tmp_path / "t", dict_of(a=tensor())))
        assert tensors["a"].numpy().tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    tensors = read_pdparams(pickles.write_pdparams(tmp_path / "p", dict_of(a=array())))
    assert tensors["a"].numpy().tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
