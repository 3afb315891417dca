"""A pipeline over the batches of a dataset."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from numpy_erniem.backend.dispatch import set_num_threads
from numpy_erniem.checks import warn
from numpy_erniem.engines.job import ERROR, ON_ERROR
from numpy_erniem.pipelines.base import Pipeline

Batch = Mapping[str, np.ndarray]


class MapPipeline:
    """A pipeline as a callable class for `ray.data.Dataset.map_batches`.

    Parameters
    ----------
    pipeline : Pipeline
        One that was loaded from a folder goes to a worker as path and options; the worker loads the
        model once.
    column : str, or sequence or mapping of str
        What the pipeline's items are made of: a column; columns, whose values make a tuple, such as
        a pair of texts; or by the keys of an item, columns, such as {"query": "q", "texts": "hits"}
        for a `Reranker`.
    result : str
        The new column: vectors as arrays, other results as they are.
    on_error : {"stop", "skip", "row"}
        At a row without a result: raise its error, leave the row out, or tell why in a column
        "error", which is "" for all others; a vector is then NaN, another result None.
    threads : int, optional
        Of the kernels, in this process; left out, as they are.

    Raises
    ------
    TypeError, ValueError
        An option has a wrong value, or `column` names no column.
    """

    def __init__(
        self,
        pipeline: Pipeline[Any],
        column: str | Sequence[str] | Mapping[str, str] = "text",
        *,
        result: str = "result",
        on_error: str = "stop",
        threads: int | None = None,
    ) -> None:
        if on_error not in ON_ERROR:
            raise ValueError(f"on_error {on_error!r} is not one of {', '.join(ON_ERROR)}")
        if threads is not None:
            set_num_threads(threads)
        self.pipeline, self.column, self.names = pipeline, column, _names_of(column)
        self.result, self.on_error = result, on_error

    def __call__(self, batch: Batch) -> dict[str, np.ndarray]:
        """The batch with the results of its rows.

        Parameters
        ----------
        batch : dict of str to array
            As map_batches gives it by default.

        Returns
        -------
        dict of str to array

        Raises
        ------
        TypeError
            The batch has another format.
        ValueError
            It has not the columns, or has one that is to be added; a row has no result, with
            on_error "stop".
        """
        if not isinstance(batch, Mapping):
            name = type(batch).__name__
            raise TypeError(f"the batch is a {name}; leave batch_format of map_batches out")
        for name in (self.result, ERROR) if self.on_error == "row" else (self.result,):
            if name in batch:
                raise ValueError(f"the dataset has a column {name!r} already; name another result")
        items = list(self._items(batch))
        results: list[Any] = []
        errors: list[str] = []
        cut = 0
        for outcome in self.pipeline.outcomes(items) if items else ():
            if outcome.error is not None and self.on_error == "stop":
                raise outcome.error
            results.append(outcome.result)
            errors.append("" if outcome.error is None else str(outcome.error))
            cut += outcome.cut > 0
        if cut:  # one text for all batches, so that it is shown once
            longest = self.pipeline.longest
            warn(f"{self.pipeline.items} with more than {longest} tokens were cut (on_overflow)")
        good = np.array([not error for error in errors], bool)
        if self.on_error == "skip":
            results = [value for value, is_good in zip(results, good, strict=True) if is_good]
            batch = {name: values[good] for name, values in batch.items()}
        more = {ERROR: np.array(errors, object)} if self.on_error == "row" else {}
        return {**batch, self.result: self._column(results), **more}

    def _items(self, batch: Batch) -> Iterator[Any]:
        """The items of a batch."""
        if not batch:  # a block without rows may have no columns
            return
        for name in self.names:
            if name not in batch:
                raise ValueError(f"there is no column {name!r}; there are {', '.join(batch)}")
        for values in zip(*(batch[name] for name in self.names), strict=True):
            if isinstance(self.column, str):
                yield values[0]
            elif isinstance(self.column, Mapping):
                yield dict(zip(self.column, values, strict=True))
            else:
                yield values

    def _column(self, results: list[Any]) -> np.ndarray:
        """The results as a column: vectors as one array, others as objects."""
        width = getattr(self.pipeline, "width", None)  # of an Embedder
        if width is not None:
            missing = np.full(width, np.nan, np.float32)
            vectors = [missing if vector is None else vector for vector in results]
            return np.stack(vectors) if vectors else np.empty((0, width), np.float32)
        column = np.empty(len(results), object)
        for n, value in enumerate(results):
            column[n] = value
        return column


def _names_of(column: Any) -> list[str]:
    """The columns that the items are made of."""
    if isinstance(column, str):
        return [column]
    names = list(column.values()) if isinstance(column, Mapping) else column
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"column {column!r} is no name; give one, a list of names, or a dict")
    if not names:
        raise ValueError(f"column {column!r} names no column; give the name of at least one")
    return list(names)
