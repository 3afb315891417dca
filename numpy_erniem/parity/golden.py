"""Files with a model's inputs and upstream's outputs, for machines without torch."""

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from numpy_erniem.checkpoint.atomic import atomic_file

Arrays = dict[str, np.ndarray]

# what NumPy, zipfile and zlib raise for damaged files
UNREADABLE = (
    *(ValueError, OSError, EOFError, KeyError, TypeError, NotImplementedError, RuntimeError),
    *(SyntaxError, OverflowError, MemoryError, zipfile.BadZipFile, zlib.error),
)


def write_golden(path: str | os.PathLike, inputs: Arrays, outputs: Arrays, made_by: str) -> None:
    """Write inputs and outputs as an .npz; the file appears when it is complete.

    Parameters
    ----------
    path : path
        Ends in .npz.
    inputs : dict of str to array
        input_ids and attention_mask.
    outputs : dict of str to array
        By the names that `layer_outputs` gives.
    made_by : str
        Name and versions of what computed the outputs.

    Raises
    ------
    ValueError
        The path does not end in .npz.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"{path} does not end in .npz")
    arrays = {f"input {name}": x for name, x in inputs.items()}
    arrays |= {f"output {name}": x for name, x in outputs.items()}
    with atomic_file(path) as file:
        np.savez_compressed(file, **arrays, made_by=np.array(made_by))


def read_golden(path: str | os.PathLike) -> tuple[Arrays, Arrays, str]:
    """Read a file of `write_golden`.

    Returns
    -------
    inputs, outputs : dict of str to array
    made_by : str
        What computed the outputs, and the file's name.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is damaged, or is another kind of .npz.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            arrays = {name: saved[name] for name in saved.files}
    except UNREADABLE as error:
        raise ValueError(f"{path} is not an .npz that parity saved: {error}") from None
    inputs, outputs = (
        {n.removeprefix(kind): x for n, x in arrays.items() if n.startswith(kind)}
        for kind in ("input ", "output ")
    )
    if {*inputs} != {"input_ids", "attention_mask"} or not outputs:
        raise ValueError(f"{path} is not an .npz that parity saved: it holds {', '.join(arrays)}")
    return inputs, outputs, f"{arrays.get('made_by', 'an unknown maker')} (saved in {path.name})"
