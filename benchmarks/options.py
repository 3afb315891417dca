"""The command line of `python -m benchmarks`."""

import argparse
import os
from importlib.util import find_spec
from pathlib import Path

from benchmarks import corpus, engines, machine, pages, parts, precision_engines
from benchmarks.measuring import Sizes
from benchmarks.results import FormatError, read_machines

SIZES = "1x8,1x16,1x128,8x128,32x128,1x512,8x512"
GROWTH = "1x128,2x128,4x128,8x128,16x128,32x128,64x128,8x64,8x256,8x512,64x512"
TRIAL_SIZES = "1x8,2x16"
WRITTEN = {  # by --renew, in this checkout
    "json": "docs/performance.json",
    "plot": "docs/performance.svg",
    "document": ["docs/performance.md", "docs/kernels.md", "docs/scaling.md", "README.md"],
}


def sizes(text: str) -> Sizes:
    """Texts and tokens: "1x8,8x128" → [(1, 8), (8, 128)]; "" → []; a type of argparse."""
    found = [tuple(map(int, size.split("x"))) for size in text.split(",")] if text else []
    if any(len(size) != 2 or min(size) < 1 for size in found):
        raise argparse.ArgumentTypeError(f"{text!r} is not like 1x8,8x128: texts x tokens")
    return found


def positive(text: str) -> int:
    """A number from 1 on; a type of argparse."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return int(text)


def names(known: list[str], text: str) -> list[str]:
    """Known names, separated by commas; each once, in their order."""
    found = list(dict.fromkeys(text.split(",")))
    for name in found:
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
    return found


def known_engines(text: str) -> str:
    """Names of engines, separated by commas; a type of argparse."""
    every = engines.ENGINES | precision_engines.ENGINES
    return ",".join(names([name for name in every if "," not in name], text))


def known_parts(text: str) -> list[str]:
    """Names of parts, separated by commas; a type of argparse."""
    return names(list(parts.PARTS), text)


def add_what_and_how(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose what is measured, and with which model, engines and sizes."""
    from numpy_erniem.backend import settings

    told = "\n".join(f"  {name:10} {text}" for name, text in parts.PARTS.items())
    what = parser.add_argument_group("what is measured", f"parts:\n{told}")
    one = what.add_mutually_exclusive_group()
    one.add_argument("--all", action="store_true", help="every part; it takes one to two hours")
    one.add_argument(
        "--parts",
        type=known_parts,
        default=parts.DEFAULT,
        metavar="NAME,...",
        help="these parts (default: %(default)s)",
    )
    one.add_argument(
        "--redraw", action="store_true", help="nothing: pages and picture are made from --json"
    )
    what.add_argument(
        "--trial",
        action="store_true",
        help="a small model and few runs, to try the command: minutes, and figures without meaning",
    )
    shared = os.environ.get("NUMPY_ERNIEM_SHARED")
    add = parser.add_argument_group("how").add_argument
    add("--folder", type=Path, help="keep the models in this folder and use them again")
    add(
        "--tokenizer",
        type=Path,
        default=Path(shared, "data", "tokenizer") if shared else None,
        help="folder with vocab.txt and sentencepiece.bpe.model: also measure the start from text",
    )
    add(
        "--engines",
        type=known_engines,
        metavar="NAME,...",
        help="engines to run (default: all that a part can compare)",
    )
    add("--sizes", type=sizes, default=SIZES, help='texts x tokens; "" for none (%(default)s)')
    add("--growth-sizes", type=sizes, default=GROWTH, help="the same for growth (%(default)s)")
    add("--threads", type=positive, default=settings.default_threads(), help="default: %(default)s")
    add("--rounds", type=positive, default=5, help="turns of each engine (default: %(default)s)")


def add_where(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where results are written."""
    add = parser.add_argument_group("where results are written, besides the screen").add_argument
    add("--json", type=Path, metavar="FILE", help="all results; other machines' and parts are kept")
    add(
        "--document",
        type=Path,
        metavar="FILE",
        action="append",
        help="Markdown with <!-- marks --> between which tables are put; may be given again",
    )
    add("--plot", type=Path, metavar="FILE", help="a picture of the results: .svg or .png")
    files = (WRITTEN["json"], *WRITTEN["document"], WRITTEN["plot"])
    add("--renew", action="store_true", help=f"write {', '.join(files)} of this checkout")


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; "parts" is a list of names, empty for --redraw."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measure our kernels and every engine that is installed, on a random model of\n"
        "the base size. Each engine runs in a process of its own; outputs are compared first.",
    )
    add_what_and_how(parser)
    corpus.add_options(parser)
    add_where(parser)
    options = parser.parse_args(given)
    if options.redraw:
        options.parts = []
    elif options.all:  # "engines" measures the start, too
        options.parts = [name for name in parts.PARTS if name != "start"]
    corpus.check_options(parser, options)
    if "threading" in options.parts and not options.sizes:
        parser.error("--parts threading needs --sizes")
    if options.trial:
        set_trial(parser, options)
    if options.renew:
        set_written(parser, options)
    options.document = options.document or []
    check_written(parser, options)
    return options


def set_trial(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Choose small sizes and few runs."""
    if options.renew or options.folder or options.model:
        parser.error("--trial makes a small model; it goes without --renew, --folder and --model")
    if options.json and options.json.exists():
        parser.error(f"--trial would replace results in {options.json}; name a new file")
    options.sizes = options.growth_sizes = sizes(TRIAL_SIZES)
    options.rounds, options.texts, options.batch_sizes = 1, options.texts or 12, [4]


def set_written(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Choose the files of this checkout."""
    if options.json or options.document or options.plot:
        parser.error("--renew goes without --json, --document and --plot")
    options.json = machine.REPOSITORY / WRITTEN["json"]
    options.plot = machine.REPOSITORY / WRITTEN["plot"]
    options.document = [machine.REPOSITORY / name for name in WRITTEN["document"]]


def check_written(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with a message if files cannot be written, before anything is measured."""
    known = set().union(*(parts.MARKS[name] for name in options.parts), {"machines"})
    if options.json and options.json.exists():
        try:
            known |= set(pages.texts(read_machines(options.json)))
        except FormatError as error:
            parser.error(f"--json: {error}")
    elif options.redraw:
        parser.error("--redraw needs --json FILE with results of an earlier run")
    known |= {"summary", "losses"} if {"engines", "precision"} & known else set()
    for path in () if options.renew else options.document:
        if not path.exists():
            parser.error(f"--document {path}: no such file, with marks for the tables")
        if not pages.marks(path.read_text(encoding="utf-8")) & known:
            marks = ", ".join(f"<!-- {name} -->" for name in sorted(known))
            parser.error(f"--document {path} has none of the marks {marks}")
    if options.plot and options.plot.suffix not in (".svg", ".png"):
        parser.error(f"--plot {options.plot}: the name has to end in .svg or .png")
    if options.plot and find_spec("matplotlib") is None:
        parser.error("a picture needs matplotlib: pip install -e '.[plot]'")
