"""Items through a pipeline, a window of them at a time; results and errors in the items' order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

READ_AHEAD = (16, 1024)  # items of a window: of the first, so that results come soon, and at most
READ_AHEAD_CHARACTERS = 1 << 18  # of all items of a window; the last one may go beyond

Result = TypeVar("Result")
Done = Callable[[float], None]  # told which part of a window is done, from 0 to 1


class Prepared(NamedTuple):
    """An item that is ready for the model.

    Attributes
    ----------
    rows : list of lists of int
        Token ids: one row, or several where the item has windows or prompts.
    tokens : int
        Tokens of the item itself, without special ones and prompts; 0 for an empty text.
    cut : int
        How many of them are left out.
    data : object
        What the pipeline needs to make the result, such as the offsets of tokens.
    """

    rows: list[list[int]]
    tokens: int = 0
    cut: int = 0
    data: Any = None


@dataclass(frozen=True)  # a NamedTuple cannot be generic in Python 3.10
class Outcome(Generic[Result]):
    """What became of an item.

    Attributes
    ----------
    result : object
        As the pipeline gives it; None where there is an error.
    error : Exception or None
        Why there is no result.
    tokens : int
        Tokens of the item itself, without special ones and prompts; 0 for an empty text.
    cut : int
        How many of them were left out.
    """

    result: Result
    error: Exception | None = None
    tokens: int = 0
    cut: int = 0


class Task(Protocol):
    """What is asked of a pipeline; `Pipeline` documents each method."""

    def prepare(self, items: list[Any]) -> list[Prepared]:
        """Rows of token ids for each item."""
        ...

    def run(self, items: list[Any], prepared: list[Prepared], done: Done) -> list[Any]:
        """The results of some items."""
        ...

    def size_of(self, item: Any) -> int:
        """Characters of an item."""
        ...


def outcomes(
    task: Task,
    values: Iterator[Any],
    check: Callable[[Any, str], Any],
    where: Callable[[int], str],
    report: Callable[[float], None],
) -> Iterator[Outcome[Any]]:
    """Run a task on values, and yield what became of each, in their order.

    Parameters
    ----------
    task : pipeline
    values : iterator
        When it fails, the items before are run first.
    check : function
        From a value and what an error calls it to an item.
    where : function
        From the number of an item to what an error calls it.
    report : function
        Told after every batch how many items are done: a float, as a batch may end inside one.

    Yields
    ------
    Outcome
    """
    first = 0
    for window in read_ahead(values, task.size_of):
        start, count = first, len(window)

        def done(part: float, start: int = start, count: int = count) -> None:
            report(start + part * count)

        names = [where(first + n) for n in range(count)]
        made: list[Any] = [_checked(check, *pair) for pair in zip(window, names, strict=True)]
        yield from _run_window(task, made, names, done)
        first += count


def read_ahead(values: Iterator[Any], size_of: Callable[[Any], int]) -> Iterator[list[Any]]:
    """The values in lists. Where reading fails, those that were read come before the error."""
    most, failure = READ_AHEAD[0], None
    while failure is None:
        window: list[Any] = []
        characters = 0
        try:
            while len(window) < most and characters < READ_AHEAD_CHARACTERS:
                window.append(next(values))
                characters += size_of(window[-1])
        except Exception as error:
            failure = error
        if window:
            yield window
        most = min(2 * most, READ_AHEAD[1])
    if not isinstance(failure, StopIteration):
        raise failure


def _checked(check: Callable[[Any, str], Any], value: Any, name: str) -> Any:
    """An item, or the error that it has."""
    try:
        return check(value, name)
    except (TypeError, ValueError) as error:
        return error


def _run_window(
    task: Task, items: list[Any], names: list[str], done: Done
) -> Iterator[Outcome[Any]]:
    """What became of items, some of which are errors already."""
    made = _prepare(task, items, names)
    good = [n for n, pair in enumerate(made) if not isinstance(pair, Exception)]
    results = _run(task, [made[n] for n in good], [names[n] for n in good], done)
    for pair in made:
        error = pair if isinstance(pair, Exception) else None
        result = None if error else next(results)
        if isinstance(result, ValueError):
            result, error = None, result
        if error is not None:
            yield Outcome(None, error)
        else:
            yield Outcome(result, None, pair[1].tokens, pair[1].cut)


def _run(
    task: Task, pairs: list[tuple[Any, Prepared]], names: list[str], done: Done
) -> Iterator[Any]:
    """The result of each item, or the ValueError that the model's outputs for it are."""
    if not pairs:
        return
    try:
        results = task.run([item for item, _ in pairs], [p for _, p in pairs], done)
    except ValueError:  # one by one, to find out whose error it is
        for (item, prepared), name in zip(pairs, names, strict=True):
            try:
                yield task.run([item], [prepared], lambda part: None)[0]
            except ValueError as error:
                yield ValueError(f"{name}: {error}")
        done(1.0)
    else:
        yield from results


def _prepare(
    task: Task, made: list[Any], names: list[str]
) -> list[tuple[Any, Prepared] | Exception]:
    """Each item with what `prepare` makes of it, or its error."""
    good = [n for n, item in enumerate(made) if not isinstance(item, Exception)]
    items = [made[n] for n in good]
    try:
        ready: list[Any] = list(task.prepare(items)) if items else []
    except ValueError:  # one by one, to find out whose error it is
        ready = [_prepare_one(task, made[n], names[n]) for n in good]
    for n, item, prepared in zip(good, items, ready, strict=True):
        made[n] = prepared if isinstance(prepared, Exception) else (item, prepared)
    return made


def _prepare_one(task: Task, item: Any, name: str) -> Prepared | ValueError:
    try:
        return task.prepare([item])[0]
    except ValueError as error:
        return ValueError(f"{name}: {error}")
