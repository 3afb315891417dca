"""How far a command is, and what it tells at the end, on standard error."""

from typing import Any

from numpy_erniem.cli.notes import detail, remark
from numpy_erniem.engines.journal import Counts
from numpy_erniem.pipelines.base import Pipeline


class ProgressBar:
    """How far the work is, on a terminal, if tqdm is installed."""

    def __init__(self, file: Any) -> None:
        self.bar: Any = None
        if file.isatty():
            try:
                from tqdm import tqdm
            except ImportError:
                return
            self.bar = tqdm(unit=" rows", file=file, delay=2)
        self.before = 0

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *error: Any) -> None:
        if self.bar is not None:
            self.bar.close()

    def update(self, counts: Counts) -> None:
        """Show the rows that are done, and tokens a second."""
        if self.bar is not None:
            seconds = self.bar.format_dict["elapsed"] or 1
            self.bar.set_postfix_str(f"{counts.tokens / seconds:.0f} tokens/s", refresh=False)
            self.bar.update(counts.rows - self.before)
            self.before = counts.rows


def tell(counts: Counts, pipeline: Pipeline[Any], on_error: str, items: str = "") -> None:
    """What a user should know about the rows, on standard error.

    Parameters
    ----------
    counts : Counts
    pipeline : Pipeline
    on_error : {"stop", "skip", "row"}
    items : str
        What the rows are; left out, the pipeline's items.
    """
    items = items or pipeline.items
    if counts.errors:
        done = "left out" if on_error == "skip" else "written with their error"
        remark(f"{counts.errors} of {counts.rows} rows were {done}")
    if counts.cut:
        remark(
            f"{counts.cut} of {counts.rows} {items} have more than {pipeline.longest} "
            "tokens and were cut (see --on-overflow)"
        )
    if counts.empty:
        remark(
            f"{counts.empty} of {counts.rows} {items} have no token: they are empty or "
            "blank, and have all the same result"
        )
    detail(f"{counts.rows} rows, {counts.tokens} tokens")
