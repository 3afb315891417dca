"""Pickles, zips and legacy streams built byte by byte, good and hostile."""

import pickle
import struct
import zipfile

import numpy as np

STOP = b"."


def text(value):
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value):
    return b"\x8a" + bytes([9]) + value.to_bytes(9, "little", signed=True)


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def tuple_of(*parts):
    return b"(" + b"".join(parts) + b"t"


def call(function, *arguments):
    return function + tuple_of(*arguments) + b"R"


def dict_of(**values):
    return b"}(" + b"".join(text(k) + v for k, v in values.items()) + b"u"


def storage(kind="FloatStorage", key="0", count=12):
    return tuple_of(text("storage"), name("torch", kind), text(key), text("cpu"), number(count)) + (
        b"Q"
    )


def tensor(shape=(3, 4), strides=(4, 1), offset=0, where=None):
    return call(
        name("torch._utils", "_rebuild_tensor_v2"),
        storage() if where is None else where,
        number(offset),
        tuple_of(*map(number, shape)),
        tuple_of(*map(number, strides)),
        b"\x89",
        call(name("collections", "OrderedDict")),
    )


def program(body, protocol=2):
    return bytes([0x80, protocol]) + body + STOP


def write_zip(path, body, data=None, extra=()):
    """A file as torch.save writes it, with the pickle given."""
    data = np.arange(12, dtype="<f4").tobytes() if data is None else data
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program(body))
        archive.writestr("archive/byteorder", b"little")
        archive.writestr("archive/data/0", data)
        for member, content in extra:
            archive.writestr(member, content)
    return path


def write_legacy(path, body, keys=("0",), data=None):
    """A file as torch before 1.6 wrote it, with the pickle given."""
    data = np.arange(12, dtype="<f4").tobytes() if data is None else data
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    head = [0x1950A86A20F9469CFC6C, 1001, machine]
    parts = [pickle.dumps(value, protocol=2) for value in head]
    parts += [program(body), pickle.dumps(list(keys), protocol=2)]
    path.write_bytes(b"".join(parts) + struct.pack("<q", len(data) // 4) + data)
    return path


def write_pdparams(path, body):
    path.write_bytes(program(body))
    return path


def array(shape=(3, 4), data=None, dtype="f4", order="<", columns=b"\x89", state=None):
    """A pickled NumPy array, as protocol 3 has it."""
    data = np.arange(12, dtype="<f4").tobytes() if data is None else data
    kind = call(name("numpy", "dtype"), text(dtype), b"\x89", b"\x88")
    nones = b"NNN" + number(-1) + number(-1) + number(0)
    kind += tuple_of(number(3), text(order), nones) + b"b"
    empty = call(
        name("numpy.core.multiarray", "_reconstruct"),
        name("numpy", "ndarray"),
        tuple_of(number(0)),
        b"C\x01b",
    )
    octets = b"B" + struct.pack("<I", len(data)) + data
    shape = tuple_of(*map(number, shape))
    state = tuple_of(number(1), shape, kind, columns, octets) if state is None else state
    return empty + state + b"b"
