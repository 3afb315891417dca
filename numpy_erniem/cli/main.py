"""The command `erniem`: arguments, dispatch, and one-line errors."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from numpy_erniem import __version__
from numpy_erniem.cli.completion import SHELLS, PrintCompletion
from numpy_erniem.cli.notes import notes_shown
from numpy_erniem.cli.options import add_common_options, apply_common_options
from numpy_erniem.cli.output import (
    drop_output,
    escape_other_characters,
    flush_output,
    open_closed_streams,
)
from numpy_erniem.engines.errors import DataError

# name → (module with add_arguments(parser) and run(options) -> exit code, line of help)
COMMANDS = {
    "answer": ("numpy_erniem.cli.answer", "find the answers to questions in texts"),
    "choose": ("numpy_erniem.cli.choose", "order choices by how well they follow a prompt"),
    "classify": ("numpy_erniem.cli.classify", "give texts the labels that a model knows"),
    "convert": ("numpy_erniem.cli.convert", "make our folder of a checkpoint from elsewhere"),
    "embed": ("numpy_erniem.cli.embed", "turn texts into vectors"),
    "explain": ("numpy_erniem.cli.explain", "write a page on which attention can be explored"),
    "extract": ("numpy_erniem.cli.extract", "find what a schema asks for, by UIE-M"),
    "fill": ("numpy_erniem.cli.fill", "fill each [MASK] of a text with tokens"),
    "finetune": ("numpy_erniem.cli.finetune", "train a head, or sentence vectors"),
    "info": ("numpy_erniem.cli.info", "show what a checkpoint holds and what will run it"),
    "parity": ("numpy_erniem.cli.parity", "compare our outputs with upstream's, layer by layer"),
    "pretrain": ("numpy_erniem.cli.pretrain", "train by MMLM, TLM, CAMLM and BTMLM"),
    "rerank": ("numpy_erniem.cli.rerank", "order texts by how well each answers a query"),
    "search": ("numpy_erniem.cli.search", "build an index of texts, and find matches in it"),
    "serve": ("numpy_erniem.cli.serve", "answer requests of other programs, as a server"),
    "tag": ("numpy_erniem.cli.tag", "find the entities of texts"),
    "zero-shot": ("numpy_erniem.cli.zero_shot", "give texts any labels, by language inference"),
}


EXAMPLES = """
examples:
  erniem embed "Open the file" "Öffnen Sie die Datei"
  erniem info MODEL
  erniem COMMAND --help

MODEL is a folder, or a name on the Hugging Face hub; left out, it is the bundled checkpoint.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code.

    0, 1 (a row of the data is wrong, or a check failed), 2 (the command line or a file that it
    names), or 130 (interrupted).
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    open_closed_streams()
    escape_other_characters(sys.stdout)  # before a help text is shown
    try:
        options = make_parser(arguments).parse_args(arguments)
        with notes_shown(options.quiet, options.verbose):
            return run(options)
    except ImportError as error:
        return told_of_package(error)


def run(options: argparse.Namespace) -> int:
    """Run the command that was asked for; returns the exit code."""
    try:
        apply_common_options(options)
        code = import_module(COMMANDS[options.command][0]).run(options)
        flush_output()
        return code
    except BrokenPipeError:  # the reader has seen enough
        drop_output()
        return 0
    except KeyboardInterrupt:
        return 130
    except DataError as error:
        return told(error, 1)
    except (ValueError, TypeError, OSError, MemoryError) as error:
        return told(error, 2)


def told_of_package(error: ImportError) -> int:
    """Name a package that is not installed, or not for this Python or libc; the exit code.

    Raises
    ------
    ImportError
        The module that is missing is one of ours.
    """
    package = (error.name or "").partition(".")[0]
    if package == "numpy_erniem":
        raise error
    if not package:
        return told(error, 2)  # it names the remedy itself
    text = f"{package} cannot be imported ({error}); install it, or all that is needed: "
    return told(ImportError(f"{text}pip install --force-reinstall numpy-erniem"), 2)


def told(error: Exception, code: int) -> int:
    """Print an error in one line; the exit code."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:  # of the system: without its number
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    drop_output()
    print(f"erniem: {' '.join(text.split()) or repr(error)}", file=sys.stderr)
    return code


def make_parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of a command line, with the options of the command that it names.

    The other commands are not imported, unless a shell asks for what can be completed.
    """
    parser = argparse.ArgumentParser(
        prog="erniem",
        description="ERNIE-M on NumPy.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"numpy-erniem {__version__}")
    parser.add_argument(
        "--print-completion",
        action=PrintCompletion,
        choices=SHELLS,
        help="print a script for completion in a shell (extra: completion)",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = next((a for a in arguments if not a.startswith("-")), None)
    for name, (module, line) in COMMANDS.items():
        subparser = commands.add_parser(name, help=line, description=line.capitalize() + ".")
        if name == chosen or arguments[:1] == ["--print-completion"]:
            import_module(module).add_arguments(subparser)
            add_common_options(subparser)
    return parser
