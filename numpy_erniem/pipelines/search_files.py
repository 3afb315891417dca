"""The folder of a search index: vectors.npy, texts.jsonl and search_index.json.

Vectors and texts are mapped, never loaded as a whole. Nothing in the files is trusted.
"""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from numpy_erniem.backend.frozen import release_mapped_pages
from numpy_erniem.checkpoint.atomic import atomic_folder, hidden_folder
from numpy_erniem.checkpoint.json_files import read_json

ABOUT, VECTORS, TEXTS = "search_index.json", "vectors.npy", "texts.jsonl"
VERSION = 1
BLOCK_BYTES = 1 << 25  # of vectors that are worked on at a time, as float32
SCAN_BYTES = 1 << 22  # of texts that are looked through at a time
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def row_blocks(vectors: np.ndarray, at_least: int = 1) -> Iterator[tuple[int, np.ndarray]]:
    """Cut (n, D) vectors into blocks of rows: the number of the first row, and the rows."""
    step = max(at_least, BLOCK_BYTES // (4 * vectors.shape[1]))
    for start in range(0, len(vectors), step):
        yield start, vectors[start : start + step]


class TextLines(Sequence[str]):
    """The texts of a file with a JSON string in each line, read when they are asked for.

    Parameters
    ----------
    path : path

    Raises
    ------
    ValueError
        The file is empty, or does not end with a line end.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        if not self.path.stat().st_size:
            raise ValueError(f"{path} is empty; it needs at least one line")
        self._bytes = np.memmap(self.path, np.uint8, "r")
        ends = [np.zeros(1, np.int64)]
        for start in range(0, len(self._bytes), SCAN_BYTES):
            block = self._bytes[start : start + SCAN_BYTES]
            ends.append(np.flatnonzero(block == ord("\n")) + (start + 1))
            release_mapped_pages(block)
        self._ends = np.concatenate(ends)  # where each line begins, and the end of the last
        if self._ends[-1] != len(self._bytes):
            raise ValueError(f"{path} does not end with a line end: its last line is cut off")

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, n: int) -> str: ...

    @overload
    def __getitem__(self, n: slice) -> list[str]: ...

    def __getitem__(self, n: int | slice) -> str | list[str]:
        """Read one text, or a list of some."""
        if isinstance(n, slice):
            return [self[i] for i in range(*n.indices(len(self)))]
        n = range(len(self))[n]  # counts from the end where n < 0, and checks
        line = self._bytes[self._ends[n] : self._ends[n + 1]].tobytes()
        try:
            text = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{self.path} line {n + 1} is not JSON: {error}") from None
        if not isinstance(text, str):
            raise ValueError(f"{self.path} line {n + 1} is no JSON string")
        return text


def map_vectors(path: str | os.PathLike) -> np.ndarray:
    """Map an .npy file of (n, D) float32 or float16 numbers for reading.

    Raises
    ------
    ValueError
        It is another file, holds something else, or has another size than its header says.
    """
    path = Path(path)
    with path.open("rb") as file:
        try:
            shape, is_fortran, dtype = HEADERS[np.lib.format.read_magic(file)](file)
        except Exception as error:  # whatever NumPy's parser raises on a damaged header
            raise ValueError(f"{path} is not an .npy file: {error!r}") from None
        offset, size = file.tell(), os.fstat(file.fileno()).st_size
    if dtype.kind != "f" or dtype.itemsize not in (2, 4):
        raise ValueError(f"{path} holds {dtype}, neither float32 nor float16; convert it first")
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"{path} has the shape {shape}; it must be (n, D), both at least 1")
    told = offset + shape[0] * shape[1] * dtype.itemsize
    if size != told:
        raise ValueError(f"{path} has {size} bytes; by its header it should have {told}")
    return np.memmap(path, dtype, "r", offset, shape, "F" if is_fortran else "C")


def check_new_folder(folder: str | os.PathLike) -> None:
    """Check that `write_index` can make a folder there, or fill an empty one.

    Raises
    ------
    OSError
        There is a file or a folder that is not empty, or the place cannot be written to.
    """
    folder = Path(folder)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise FileExistsError(f"{folder} is there already; choose another name, or remove it")
    parent = folder.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    with hidden_folder(parent):
        pass


def write_index(
    folder: str | os.PathLike,
    vectors: np.ndarray,
    texts: Sequence[str] | None,
    notes: dict[str, Any],
) -> None:
    """Write the folder of an index, all of it or nothing.

    Parameters
    ----------
    folder : path
        Must not be there, or be empty.
    vectors : (n, D) array
    texts : sequence of n str, or None
    notes : dict
        Values that JSON has.

    Raises
    ------
    FileExistsError
        The folder is not empty, or is a file.
    """
    about = {
        "version": VERSION,
        "count": len(vectors),
        "width": vectors.shape[1],
        "dtype": vectors.dtype.name,
        "texts": texts is not None,
        "notes": notes,
    }
    content = json.dumps(about, indent=1, allow_nan=False) + "\n"
    check_new_folder(folder)
    with atomic_folder(folder) as new:
        (new / ABOUT).write_text(content, encoding="utf-8")
        _write_vectors(new / VECTORS, vectors)
        if texts is not None:
            with (new / TEXTS).open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(json.dumps(text) + "\n" for text in texts)


def _write_vectors(path: Path, vectors: np.ndarray) -> None:
    """Write an .npy file block by block, in little-endian C order."""
    dtype = vectors.dtype.newbyteorder("<")
    header = {"descr": dtype.str, "fortran_order": False, "shape": vectors.shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for _, block in row_blocks(vectors):
            file.write(np.ascontiguousarray(block, dtype).data)
            release_mapped_pages(block)


def read_index(
    folder: str | os.PathLike,
) -> tuple[np.ndarray, TextLines | None, dict[str, Any]]:
    """Map the vectors and the texts of a folder, and read its notes.

    Raises
    ------
    FileNotFoundError
        A file is missing.
    ValueError
        A file is damaged, or the files do not belong together.
    """
    folder = Path(folder)
    if not (folder / ABOUT).is_file():
        raise FileNotFoundError(f"{folder} is not the folder of a search index: it has no {ABOUT}")
    about = read_json(folder / ABOUT)
    if about.get("version") != VERSION:
        raise ValueError(
            f"{folder / ABOUT} has the version {about.get('version')!r}; this package reads "
            f"{VERSION}"
        )
    vectors = map_vectors(folder / VECTORS)
    found = {"count": len(vectors), "width": vectors.shape[1], "dtype": vectors.dtype.name}
    for key, value in found.items():
        if about.get(key) != value:
            raise ValueError(
                f"{folder / VECTORS} has the {key} {value}, but {ABOUT} says {about.get(key)!r}"
            )
    if not isinstance(about.get("texts"), bool) or not isinstance(about.get("notes"), dict):
        raise ValueError(f"{folder / ABOUT}: texts must be true or false, and notes an object")
    texts = TextLines(folder / TEXTS) if about["texts"] else None
    if texts is not None and len(texts) != len(vectors):
        raise ValueError(
            f"{folder / TEXTS} has {len(texts)} lines, but there are {len(vectors)} vectors"
        )
    return vectors, texts, about["notes"]
