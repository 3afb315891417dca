"""`erniem convert`: make our folder of a checkpoint from elsewhere."""

import argparse

from numpy_erniem.cli.notes import progress_file
from numpy_erniem.cli.options import add_hub_options, hub_options
from numpy_erniem.pipelines.progress import Progress

EXAMPLES = """
examples:
  erniem convert path/to/folder our_folder
  erniem convert intfloat/multilingual-e5-small e5
  erniem convert BAAI/bge-m3 bge-m3 --dtype float16 --max-shard-size 1GB
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `erniem convert`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument("model", metavar="MODEL", help="folder, or name on the hub")
    parser.add_argument("out", metavar="OUT", help="folder to make")
    parser.add_argument(
        "--dtype", choices=("float32", "float16", "bfloat16"), help="of the weights (as they are)"
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
    from numpy_erniem.conversion import convert

    report = convert(
        options.model,
        options.out,
        dtype=options.dtype,
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
