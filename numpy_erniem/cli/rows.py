"""Rows in and rows out, for every command that runs a pipeline: options, files, progress."""

import argparse
import copy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from numpy_erniem import __version__
from numpy_erniem.backend.dispatch import backend_report
from numpy_erniem.cli.blocks import OF_RAY, Blocks, add_engine_options, check_local
from numpy_erniem.cli.notes import progress_file
from numpy_erniem.cli.options import NOT_OF_RUNS, add_model_options
from numpy_erniem.cli.progress import ProgressBar, tell
from numpy_erniem.cli.values import text_of
from numpy_erniem.engines.encoding import check_encoding
from numpy_erniem.engines.errors import DataError
from numpy_erniem.engines.input_paths import FORMATS, find_files
from numpy_erniem.engines.job import ERROR, ON_ERROR, Job
from numpy_erniem.engines.journal import Journal
from numpy_erniem.engines.local import run_job
from numpy_erniem.engines.output_paths import SUFFIXES, check_output
from numpy_erniem.engines.records import Record, read_records
from numpy_erniem.pipelines.base import Pipeline
from numpy_erniem.pipelines.packing import BATCH_TOKENS

TEXT = "text"  # the column of the text, where no other is named
NOT_OF_ROWS = ("text", "input", "output", "resume", "batch_tokens", "command")
NOT_OF_RESULTS = (*NOT_OF_ROWS, *NOT_OF_RUNS, *OF_RAY)  # options


def add_row_options(
    parser: argparse.ArgumentParser,
    overflows: tuple[str, ...],
    text: str = TEXT,
    metavar: str = "TEXT",
    told: str = "texts",
    which: str = "(the bundled one)",
) -> None:
    """Declare what is read, what is written, and what is done with rows that are wrong.

    Parameters
    ----------
    parser : ArgumentParser
    overflows : tuple of str
        Values of --on-overflow.
    text : str
        The key of the text, where --field names no other.
    metavar, told : str
        What the help calls the arguments, and says of them.
    which : str
        What the help says of the model: the one that is used without --model, or one with the head
        that the command needs.
    """
    reading = parser.add_argument_group("rows in")
    reading.add_argument("text", nargs="*", metavar=metavar, help=told)
    reading.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="PATH",
        help="a file, a folder, or - for standard input; may be given again",
    )
    reading.add_argument(
        "--format", choices=tuple(FORMATS), help="of the input (by its name; .gz may follow it)"
    )
    reading.add_argument("--encoding", default="utf-8", help="of text files (utf-8)")
    reading.add_argument("--field", metavar="KEY", help=f'column or key of the text ("{text}")')
    writing = parser.add_argument_group("rows out")
    writing.add_argument(
        "--output", metavar="FILE", help=f"ends in {', '.join(SUFFIXES)} (JSON lines to the screen)"
    )
    writing.add_argument(
        "--keep", nargs="+", default=[], metavar="KEY", help="columns of the input to carry through"
    )
    writing.add_argument(
        "--on-error",
        choices=ON_ERROR,
        default="stop",
        help="at a wrong row: stop, leave it out, or write a row that tells the error (stop)",
    )
    writing.add_argument(
        "--resume", action="store_true", help="go on where an interrupted run to FILE ended"
    )
    model = parser.add_argument_group("model")
    model.add_argument("--model", metavar="MODEL", help=f"folder, or name on the hub {which}")
    add_model_options(parser, model)
    model.add_argument("--on-overflow", choices=overflows, help="with a text that is too long")
    model.add_argument(
        "--batch-tokens",
        type=int,
        default=BATCH_TOKENS,
        metavar="N",
        help=f"most tokens of a batch ({BATCH_TOKENS}); fewer need less memory",
    )
    add_engine_options(parser)


class Rows:
    """The rows of a command line, checked before a model is loaded.

    Parameters
    ----------
    options : argparse.Namespace
        With the options of `add_row_options`.
    columns : tuple of str
        That the results have.
    text : str
        What the output calls the text; the key of the text, too, where --field names no other.
    others : dict of str to str
        Further columns that a row of the input needs: by their names in the output, their keys.
    shown : bool
        Whether the output has these further columns.
    given : dict, optional
        The only row, where the command line gives one, with the names in the output.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        columns: tuple[str, ...],
        text: str = TEXT,
        others: Mapping[str, str] = MappingProxyType({}),
        shown: bool = True,
        given: Mapping[str, Any] | None = None,
    ) -> None:
        if bool(options.text) == bool(options.input):
            raise ValueError("give texts or --input PATH, one of them")
        if options.text and (options.field or options.format or options.keep):
            raise ValueError("--field, --format and --keep are for --input PATH; leave them out")
        if options.resume and not options.output:
            raise ValueError("--resume needs --output FILE, where the interrupted run ended")
        for name in options.keep:
            if name in (text, ERROR, *(others if shown else ()), *columns):
                raise ValueError(f"--keep {name}: the output has a column of this name already")
            if options.keep.count(name) > 1:
                raise ValueError(f"--keep {name} is there twice; leave one out")
        is_local = options.engine == "local"
        ending = Path(options.output or "").suffix if is_local else f".{options.output_format}"
        if options.keep and ending.lower() == ".npy":
            raise ValueError("--keep: an array holds vectors alone; write another format")
        check_encoding(options.encoding)
        self.options, self.text, self.field = options, text, options.field or text
        self.others, self.given = dict(others), given
        self.shown = dict(others) if shown else {}
        self.columns = (text, *self.shown, *options.keep, *columns)
        self.files = _files(options.input, options.format, options.field, *self.others.values())
        self.output: Path | None = None
        self.blocks: Blocks | None = None
        if options.engine == "ray":
            self.blocks = Blocks(
                options, self.files, self._columns_read(), self.columns, self._options()
            )
            return
        check_local(options)
        if options.output:
            inputs = [*(path for path, _ in self.files), *options.input]
            self.output = check_output(options.output, inputs, self.columns)
            Journal(self.output, self._options()).begin(options.resume)
        for n, text in enumerate(options.text, 1):
            if any("\udc80" <= character <= "\udcff" for character in text):
                raise ValueError(
                    f"text {n} is not valid in the encoding of the command line; set PYTHONUTF8=1, "
                    "or put it into a file for --input"
                )

    def read(self) -> Iterator[Record]:
        """The records."""
        if self.given is not None:
            row = {self.field: self.given[self.text]}
            row |= {key: self.given[name] for name, key in self.others.items()}
            return iter([Record("the command line", row)])
        if self.options.text:
            return (Record(f"text {n}", text) for n, text in enumerate(self.options.text, 1))
        return read_records(self.files, self.options.encoding, self._columns_read())

    def item(self, value: Any) -> Any:
        """The text of a record; ValueError where it has none.

        Where further columns are needed, it is a dict of the text and these.
        """
        if isinstance(value, str):
            if self.options.keep:
                raise ValueError("is a text without columns, so there is nothing to --keep")
            if self.others:
                needed = " and ".join(map(repr, (self.field, *self.others.values())))
                raise ValueError(f"is a text without columns; a row needs {needed}")
            return value
        text = text_of(value, self.field)
        for name in (*self.others.values(), *self.options.keep):
            if name not in value:
                raise ValueError(f"has no {name!r}, only {', '.join(value)}")
        if not self.others:
            return text
        return {self.text: text} | {name: value[key] for name, key in self.others.items()}

    def kept(self, value: Any) -> dict[str, Any]:
        """What the output has of a record."""
        if isinstance(value, str):
            return {self.text: value}
        others = {name: value.get(key) for name, key in self.shown.items()}
        kept = {key: value.get(key) for key in self.options.keep}
        return {self.text: value.get(self.field), **others, **kept}

    def run(
        self,
        pipeline: Pipeline[Any],
        result: Callable[[Any], Mapping[str, Any]],
        item: Callable[[Any], Any] = lambda text: text,
        width: int = 0,
    ) -> int:
        """Run a pipeline over the rows; returns the exit code.

        Parameters
        ----------
        pipeline : Pipeline
        result : function
            From a result to columns of the output.
        item : function
            From what `item` gives of a row to an item of the pipeline.
        width : int
            Numbers of a vector, where results are vectors.
        """
        rows = copy.copy(self)
        rows.files, rows.blocks = [], None  # a worker does not need them
        job = Job(
            pipeline,
            lambda value: item(rows.item(value)),
            rows.kept,
            result,
            self.columns,
            self.options.on_error,
            self._options(),
            width,
        )
        if self.blocks is not None:
            return self.blocks.write(job)
        with ProgressBar(progress_file()) as bar:
            counts = run_job(
                job, self.read(), self.output, resume=self.options.resume, report=bar.update
            )
        tell(counts, pipeline, self.options.on_error)
        return 0

    @property
    def suffix(self) -> str:
        """The ending of the output, which tells its format; "" for the screen."""
        if self.blocks is not None:
            return self.blocks.suffix
        return self.output.suffix.lower() if self.output else ""

    def _columns_read(self) -> list[str]:
        return [self.field, *self.others.values(), *self.options.keep]

    def _options(self) -> dict[str, Any]:
        """What the results depend on."""
        given = {k: v for k, v in vars(self.options).items() if k not in NOT_OF_RESULTS}
        return {**given, "version": __version__, "backend": backend_report()["backend"]}


def read_texts(
    path: str, kind: str | None, field: str | None, encoding: str = "utf-8"
) -> Iterator[str]:
    """The texts of a file, a folder or standard input.

    Parameters
    ----------
    path : str
    kind : str, optional
        Its format; left out, by its name.
    field : str, optional
        Column or key of the text.
    encoding : str
        Of text files.
    """
    name = field or TEXT
    for record in read_records(_files([path], kind, field), encoding, [name]):
        if record.error is not None:
            raise DataError(f"{record.where} {record.error}")
        try:
            yield text_of(record.value, name)
        except ValueError as error:
            raise DataError(f"{record.where} {error}") from None


def _files(
    paths: list[str], kind: str | None, field: str | None, *others: str
) -> list[tuple[str, str]]:
    """The files of an input; standard input with columns is JSON lines."""
    needed = [field, *others] if field else list(others)
    files = find_files(paths, kind)
    if needed:
        files = [(path, "jsonl" if kind == "lines" else kind) for path, kind in files]
    if needed and any(kind == "text" for _, kind in files):
        raise ValueError(
            f"lines of text have no column {needed[0]!r}, nor any other; add --format jsonl or csv"
        )
    return files
