"""`erniem parity`: our outputs against upstream's, as a table; exit code 1 past the tolerance."""

import argparse

from numpy_erniem.cli.options import add_model_options, hub_options

EXAMPLES = """
examples (upstream is transformers 4.37.2 with torch, unless its outputs are in a file):
  erniem parity
  erniem parity MODEL --text "Open the file" --text "打开文件"
  erniem parity MODEL --save outputs.npz
  erniem parity MODEL --against outputs.npz
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `erniem parity`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument(
        "model", nargs="?", metavar="MODEL", help="folder, or name on the hub (the bundled one)"
    )
    parser.add_argument(
        "--text", action="append", metavar="TEXT", help="an input; may be given several times"
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        metavar="X",
        help="largest |difference| (1e-4; int8 and bfloat16 are judged by the cosine)",
    )
    parser.add_argument("--save", metavar="FILE", help="write upstream's outputs, an .npz")
    parser.add_argument(
        "--against", metavar="FILE", help="compare with such a file; torch is not needed"
    )
    add_model_options(parser)


def run(options: argparse.Namespace) -> int:
    """Compare and print; returns the exit code."""
    from numpy_erniem.parity.compare import check_parity

    report = check_parity(
        options.model,
        options.text,
        tolerance=options.tolerance,
        save=options.save,
        against=options.against,
        dtype=options.dtype,
        **hub_options(options),
    )
    print(report)
    return 0 if report.ok else 1
