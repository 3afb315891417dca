"""What every pipeline does alike: load, take options, run items in batches, keep their order."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, ClassVar, Generic, TypeVar

from numpy_erniem.checks import warn
from numpy_erniem.pipelines.loadable import Loadable
from numpy_erniem.pipelines.packing import BATCH_TOKENS, Batch, run_rows
from numpy_erniem.pipelines.scores import check_whole
from numpy_erniem.pipelines.streaming import Done, Outcome, Prepared, outcomes
from numpy_erniem.pipelines.texts import check_text, iterate
from numpy_erniem.pipelines.tokens import longest_row
from numpy_erniem.tokenizer import ErnieMTokenizer

Report = Callable[[int, int], None]
Result = TypeVar("Result")


class Pipeline(Loadable, Generic[Result]):
    """Base of the pipelines: items in, one result for each item out, in the order of the items.

    A subclass has the options of its task as keyword arguments of its constructor; one that is
    given to a call holds for that call. It defines `prepare` and `finish`, or `run` where the model
    has to run more than once.

    Parameters
    ----------
    model : model of this package, or callable with `config`, input_ids and attention_mask
    tokenizer : ErnieMTokenizer
    batch_tokens : int
        Most tokens of a batch.
    on_overflow : {"window", "cut", "error"}
        What is done with a text that is longer than the model takes.
    """

    overflows: ClassVar[tuple[str, ...]] = ("window", "cut", "error")
    item: ClassVar[str] = "text"  # what an error calls one
    items: ClassVar[str] = "texts"  # and many
    token_outputs: tuple[str, ...] = ()  # what `reduce` reads of the model's outputs
    text_outputs: tuple[str, ...] = ()
    batch_size: int | None = None

    def __init__(
        self,
        model: Any,
        tokenizer: ErnieMTokenizer,
        *,
        batch_tokens: int = BATCH_TOKENS,
        on_overflow: str = "window",
    ) -> None:
        super().__init__(model, tokenizer)
        self.batch_tokens = batch_tokens
        self.on_overflow = on_overflow

    def check_options(self) -> None:
        """Raise a ValueError for an option with a wrong value."""
        super().check_options()
        check_whole("batch_tokens", self.batch_tokens, 1)
        check_whole("batch_size", 1 if self.batch_size is None else self.batch_size, 1)
        if self.on_overflow not in self.overflows:
            allowed = ", ".join(self.overflows)
            raise ValueError(f"on_overflow {self.on_overflow!r} is not one of {allowed}")

    def __call__(self, items: Any, *, progress: Report | None = None, **options: Any) -> Any:
        """Compute the result of an item, or a list with the result of each item.

        Parameters
        ----------
        items : item, or iterable of items
            Many are in a list, an iterator, a column of pandas, Arrow or datasets, or an array.
        progress : callable, optional
            Called after every batch with the number of items done and of all items.
        **options
            Of the constructor; they hold for this call.

        Returns
        -------
        result, or list of results

        Raises
        ------
        TypeError
            An item is of the wrong type, or there is no such option.
        ValueError
            There are no items; an item or an option has a wrong value.
        """
        task = self.with_options(**options)
        values, single = task.iterate(items)
        taken = [task.check(v, task._where(n, single)) for n, v in enumerate(values)]
        if not taken:
            raise ValueError(f"{task.items} is empty; give at least one {task.item}")

        def report(done: float) -> None:
            if progress is not None:
                progress(int(done + 1e-9), len(taken))

        results = list(task._results(iter(taken), lambda item, where: item, single, report))
        return results[0] if single else task.collect(results)

    def stream(self, items: Iterable[Any], **options: Any) -> Iterator[Result]:
        """Yield the result of each item in order, while items are read.

        Parameters
        ----------
        items : iterable of items
            It may be endless: at most 1024 items are read ahead.
        **options
            Of the constructor.

        Yields
        ------
        result

        Raises
        ------
        TypeError, ValueError
            As in a call; for a wrong item, when the results of all items before it were given.
        """
        task = self.with_options(**options)
        values, single = task.iterate(items)
        if single:
            raise TypeError(f"{task.items} is one item; give an iterable of items, or call instead")
        return task._results(values, task.check)

    def outcomes(
        self,
        items: Iterable[Any],
        *,
        where: Callable[[int], str] | None = None,
        **options: Any,
    ) -> Iterator[Outcome[Result]]:
        """Yield what became of each item in order; an item with an error does not stop the others.

        Parameters
        ----------
        items : iterable of items
        where : function, optional
            From the number of an item to what its error calls it; asked once for each, in order.
        **options
            Of the constructor.

        Yields
        ------
        Outcome
        """
        task = self.with_options(**options)
        values, single = task.iterate(items)
        where = where or partial(task._where, single=single)
        return outcomes(task, values, task.check, where, lambda done: None)

    def iterate(self, items: Any) -> tuple[Iterator[Any], bool]:
        """The items of an argument, not checked yet, and whether it was one item."""
        return iterate(items, self.items)

    def check(self, item: Any, where: str) -> Any:
        """An item in the form that `prepare` takes.

        Parameters
        ----------
        item : object
        where : str
            What an error calls it, such as "texts[3]".

        Raises
        ------
        TypeError, ValueError
            It is not an item of this pipeline.
        """
        return check_text(item, where)

    def size_of(self, item: Any) -> int:
        """Characters of an item, by which reading ahead is bounded."""
        return len(item) if isinstance(item, str) else 100

    def prepare(self, items: list[Any]) -> list[Prepared]:
        """Rows of token ids for each item; ValueError for an item that the model cannot take."""
        raise NotImplementedError

    def finish(self, item: Any, prepared: Prepared, outputs: list[Any]) -> Result:
        """The result of an item.

        Parameters
        ----------
        item : object
        prepared : Prepared
            What `prepare` made of it.
        outputs : list
            For each of its rows, what `reduce` gave.

        Returns
        -------
        result

        Raises
        ------
        NotImplementedError
            A subclass has neither `finish` nor `run`.
        """
        raise NotImplementedError

    def reduce(self, batch: Batch) -> list[Any]:
        """What is kept of the model's outputs, for each row of a batch."""
        return batch.split()

    def collect(self, results: list[Result]) -> Any:
        """What a call with many items gives, from their results."""
        return results

    def run(self, items: list[Any], prepared: list[Prepared], done: Done) -> list[Result]:
        """The results of some items, from one pass of the model over all their rows.

        Parameters
        ----------
        items : list
        prepared : list of Prepared
            What `prepare` made of each.
        done : function
            To be told which part of the work is done, from 0 to 1.

        Returns
        -------
        list of results
        """
        outputs = iter(self.compute([row for p in prepared for row in p.rows], done))
        return [
            self.finish(item, p, list(islice(outputs, len(p.rows))))
            for item, p in zip(items, prepared, strict=True)
        ]

    def arguments(self) -> dict[str, Any]:
        """Further arguments of the model, for all rows."""
        return {}

    def compute(self, rows: list[list[int]], done: Done) -> list[Any]:
        """Run the model on rows of token ids.

        Parameters
        ----------
        rows : list of lists of int
        done : function
            Told after every batch which part of the rows is done, from 0 to 1.

        Returns
        -------
        list
            What `reduce` gave for each row.
        """
        finished = 0

        def reduce(batch: Batch) -> list[Any]:
            nonlocal finished
            outputs = self.reduce(batch)
            finished += len(batch.rows)
            done(finished / len(rows))
            return outputs

        return run_rows(
            self.model,
            rows,
            reduce,
            token_outputs=self.token_outputs,
            text_outputs=self.text_outputs,
            batch_tokens=self.batch_tokens,
            batch_size=self.batch_size,
            **self.arguments(),
        )

    @property
    def longest(self) -> int:
        """Most tokens of a row, [CLS] and [SEP] included."""
        return longest_row(self.model.config)

    def _results(
        self,
        values: Iterator[Any],
        check: Callable[[Any, str], Any],
        single: bool = False,
        report: Callable[[float], None] = lambda done: None,
    ) -> Iterator[Result]:
        """The results in order; raises the first error, and warns at the end of what was cut."""
        cut, count = [], 0
        where = partial(self._where, single=single)
        for outcome in outcomes(self, values, check, where, report):
            if outcome.error is not None:
                raise outcome.error
            if outcome.cut:
                cut.append(count)
            count += 1
            yield outcome.result
        if cut:
            side = "end" if self.tokenizer.truncation_side == "right" else "start"
            warn(
                f"{len(cut)} of {count} {self.items} have more than {self.longest} tokens and were "
                f"cut at their {side}, the first of them {self.item} {cut[0]}"
            )

    def _where(self, n: int, single: bool) -> str:
        return self.items if single else f"{self.items}[{n}]"
