"""safetensors files: validated by the safetensors library, mapped and written by our own code.

A file is eight bytes with the length n of the header (little endian), n bytes of JSON,
{"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}, and then the data.

Our own code reads because the library copies every tensor and gives NumPy no bfloat16; it writes
because the library needs all tensors of a file in memory at once, and we convert one at a time.
"""

import json
import mmap
import os
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.atomic import flush, hidden_folder
from numpy_erniem.checkpoint.json_files import parse_object
from numpy_erniem.checkpoint.tensors import DTYPES, Tensor, map_file

MOST_AXES = 32  # of an array, before NumPy 2


def read_safetensors(path: str | os.PathLike) -> dict[str, Tensor]:
    """Map the tensors of a safetensors file.

    Raises
    ------
    ValueError
        The file is damaged or truncated, has a name twice, or holds a tensor that NumPy cannot.
        The message names the file, the rule that is broken and, where one is at fault, the tensor.
    """
    path = Path(path)
    mapped = map_file(path)
    _validate(path, mapped)
    length = int.from_bytes(mapped[:8], "little")
    tensors = {}
    for name, entry in _header(path, mapped).items():
        dtype, shape = entry["dtype"], tuple(entry["shape"])
        if dtype not in DTYPES:
            raise ValueError(
                f"{path}: tensor {name!r} has dtype {dtype!r}, not one of {', '.join(DTYPES)}; "
                "take the checkpoint in float32, float16 or bfloat16"
            )
        if len(shape) > MOST_AXES:
            raise ValueError(f"{path}: tensor {name!r} has {len(shape)} axes, above {MOST_AXES}")
        start = 8 + length + entry["data_offsets"][0]
        # frombuffer refuses a count of 0
        values = np.frombuffer(mapped, DTYPES[dtype], prod(shape), start) if prod(shape) else ()
        tensors[name] = Tensor(dtype, np.asarray(values, DTYPES[dtype]).reshape(shape))
    return tensors


def _header(path: Path, mapped: mmap.mmap) -> dict[str, Any]:
    """The entries of the header by tensor; the library would keep one of two of the same name."""
    header = parse_object(path, mapped[8 : 8 + int.from_bytes(mapped[:8], "little")])
    header.pop("__metadata__", None)
    return header


def _validate(path: Path, mapped: mmap.mmap) -> None:
    """Let the library check the header against the file; it reads no tensor."""
    from safetensors import SafetensorError, safe_open  # imported only where there is such a file

    try:
        with safe_open(path, framework="np"):
            pass
    except SafetensorError as error:
        raise ValueError(
            f"{path} of {len(mapped)} bytes is not a valid safetensors file: {error}"
            f"{_wrong_size(path, mapped)}; was the download broken off?"
        ) from None


def _wrong_size(path: Path, mapped: mmap.mmap) -> str:
    """The tensor whose size is wrong, which the library does not name; "" if there is none."""
    try:
        header = _header(path, mapped)
    except ValueError:
        return ""
    for name, entry in header.items():
        dtype, shape, offsets = (
            entry.get(key) if isinstance(entry, dict) else None
            for key in ("dtype", "shape", "data_offsets")
        )
        lists = isinstance(shape, list) and isinstance(offsets, list) and len(offsets) == 2
        if not lists or any(type(n) is not int for n in (*shape, *offsets)):
            return f" (tensor {name!r})"
        if isinstance(dtype, str) and dtype in DTYPES:
            needed = prod(shape) * np.dtype(DTYPES[dtype]).itemsize
            if offsets[1] - offsets[0] != needed:
                return (
                    f" (tensor {name!r} of {dtype} {shape} needs {needed} bytes, "
                    f"its data_offsets {offsets} give it {offsets[1] - offsets[0]})"
                )
    return ""


def write_safetensors(
    path: str | os.PathLike, tensors: Mapping[str, Tensor], dtype: str | None = None
) -> None:
    """Write a safetensors file, one tensor after the other; only one is in memory.

    Parameters
    ----------
    path : path
    tensors : dict of str to Tensor
    dtype : {"F64", "F32", "F16", "BF16"}, optional
        What float tensors become; left out, they stay what they are.

    Raises
    ------
    ValueError
        A value does not fit `dtype`; the message names the tensor.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    dtypes = {name: tensor.encoded_dtype(dtype) for name, tensor in tensors.items()}
    # wide elements first: every tensor begins at a multiple of its element's size
    names = sorted(tensors, key=lambda n: (-np.dtype(DTYPES[dtypes[n]]).itemsize, n))
    at = 0
    for name in names:
        end = at + tensors[name].encoded_size(dtype)
        shape = list(tensors[name].shape)
        header[name] = {"dtype": dtypes[name], "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)  # so that the data is aligned in a mapped file
    with Path(path).open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            try:
                values = tensors[name].encode_as(dtypes[name])
            except ValueError as error:
                raise ValueError(f"tensor {name}: {error}") from None
            file.write(values.reshape(-1).view(np.uint8).data)
            tensors[name].release_pages()


def replace_safetensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file as `write_safetensors`, in place of an older one.

    The older file may be the one that the tensors are mapped from: it stays until the new one is
    complete.
    """
    with hidden_folder(path.parent) as hidden:
        write_safetensors(hidden / path.name, tensors)
        flush(hidden / path.name)
        os.replace(hidden / path.name, path)
        flush(path.parent)
