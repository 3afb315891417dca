"""`erniem explain`: a page on which one pass of the model can be explored."""

import argparse
import sys

from numpy_erniem.cli.options import add_model_options, model_options
from numpy_erniem.explorer.explanation import explain
from numpy_erniem.explorer.record import MOST_SHOWN, SHOWN
from numpy_erniem.pipelines.embed import Embedder

EXAMPLES = """
examples:
  erniem explain "Open the file" --out page.html
  erniem explain "Open the file" "打开文件" --out page.html --tokens 40
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `erniem explain`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument("text", metavar="TEXT")
    parser.add_argument("other", nargs="?", metavar="TEXT2", help="a second text, read beside it")
    parser.add_argument("--out", required=True, metavar="FILE.html", help="the page")
    parser.add_argument("--model", metavar="MODEL", help="folder, or name on the hub (bundled one)")
    parser.add_argument(
        "--first", type=int, default=0, metavar="N", help="first token of each text that is shown"
    )
    parser.add_argument(
        "--tokens",
        type=int,
        default=SHOWN,
        metavar="N",
        help=f"most tokens that are shown, at most {MOST_SHOWN} (default: %(default)s)",
    )
    add_model_options(parser)


def run(options: argparse.Namespace) -> int:
    """Write the page; returns the exit code."""
    embedder = Embedder.from_pretrained(options.model, **model_options(options))
    done = explain(
        options.text,
        options.other,
        out=options.out,
        embedder=embedder,
        first=options.first,
        tokens=options.tokens,
    )
    if done["cut"]:
        print(
            f"erniem: warning: the last {done['cut']} tokens do not fit into the model and were "
            "not read",
            file=sys.stderr,
        )
    shown = len(done["shown"])
    part = "" if shown == done["tokens"] else f"{shown} of "
    print(f"{options.out} shows {part}{done['tokens']} tokens; open it in a browser")
    return 0
