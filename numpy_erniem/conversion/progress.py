"""How far a conversion is: called after every tensor that is written."""

from collections.abc import Callable
from typing import Any

from numpy_erniem.checkpoint.tensors import Tensor

Progress = Callable[[int, int], None]


class _ReportingTensor(Tensor):
    """A tensor that calls a function when it is written."""

    def __init__(self, tensor: Tensor, written: Callable[[], None]) -> None:
        self.dtype, self.shape = tensor.dtype, tensor.shape
        self._tensor, self._written = tensor, written

    def encode_as(self, dtype: str | None = None) -> Any:
        values = self._tensor.encode_as(dtype)
        self._written()
        return values

    def release_pages(self) -> None:
        self._tensor.release_pages()


def report_progress(
    tensors: dict[str, Tensor], dtype: str | None, progress: Progress | None
) -> dict[str, Tensor]:
    """The tensors, so that `progress` is called when each is written.

    Parameters
    ----------
    tensors : dict of str to Tensor
    dtype : str, optional
        Of the floats in the file.
    progress : callable, optional
        Called with the bytes written and those in all.

    Returns
    -------
    dict of str to Tensor
    """
    if progress is None:
        return tensors
    total = sum(tensor.encoded_size(dtype) for tensor in tensors.values())
    done = 0

    def count(size: int) -> Callable[[], None]:
        def add() -> None:
            nonlocal done
            done += size
            progress(done, total)

        return add

    return {n: _ReportingTensor(t, count(t.encoded_size(dtype))) for n, t in tensors.items()}
