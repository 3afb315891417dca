"""`erniem convert`: make our folder of a checkpoint from elsewhere."""

import argparse

from numpy_erniem.cli.notes import progress_file
from numpy_erniem.cli.options import add_hub_options, hub_options
from numpy_erniem.cli.rows import read_texts
from numpy_erniem.pipelines.progress import Progress

EXAMPLES = """
examples:
  erniem convert path/to/folder our_folder
  erniem convert intfloat/multilingual-e5-small e5
  erniem convert BAAI/bge-m3 bge-m3 --dtype float16 --max-shard-size 1GB
  erniem convert intfloat/multilingual-e5-small e5-int8 --dtype int8
  erniem convert BAAI/bge-m3 bge-int8 --dtype int8 --keep-float auto --check texts.txt
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `erniem convert`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument("model", metavar="MODEL", help="folder, or name on the hub")
    parser.add_argument("out", metavar="OUT", help="folder to make")
    parser.add_argument(
        "--dtype",
        choices=("float32", "float16", "bfloat16", "int8"),
        help="of the weights (as they are); int8 is also what is computed in",
    )
    parser.add_argument(
        "--keep-float",
        nargs="+",
        default=[],
        metavar="NAME",
        help="with int8: auto, or layers that stay floats, such as linear2 or encoder.layers.11",
    )
    parser.add_argument(
        "--check",
        metavar="FILE",
        help="with int8 and bfloat16: texts that show what it costs (some in many languages)",
    )
    parser.add_argument(
        "--no-tokenizer", action="store_true", help="convert the weights and the config alone"
    )
    parser.add_argument(
        "--max-shard-size", default="5GB", metavar="SIZE", help="most bytes of a file (5GB)"
    )
    add_hub_options(parser)
    parser.add_argument("--names", action="store_true", help="list every tensor that was renamed")


def run(options: argparse.Namespace) -> int:
    """Convert and say what was done; returns the exit code."""
    from numpy_erniem.quantization.conversion import convert

    check = None if options.check is None else list(read_texts(options.check, None, None))
    keep_float = "auto" if options.keep_float == ["auto"] else options.keep_float
    report = convert(
        options.model,
        options.out,
        dtype=options.dtype,
        keep_float=keep_float,
        check=check,
        tokenizer=not options.no_tokenizer,
        max_shard_size=options.max_shard_size,
        progress=Progress(progress_file(), "MB", scale=1e6),
        **hub_options(options),
    )
    print(report)
    if options.names:
        for old, new in report.renamed.items():
            print(f"  {old} -> {new}")
    return 0
