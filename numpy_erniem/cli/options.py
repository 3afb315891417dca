"""Options that every command with a model shares."""

import argparse
from typing import Any

from numpy_erniem.backend.blas import set_blas_threads
from numpy_erniem.backend.cores import available_cores
from numpy_erniem.backend.dispatch import set_num_threads
from numpy_erniem.checkpoint.keywords import HUB_KEYWORDS

# Results do not depend on them: how a command runs, and how the files of a model come here.
NOT_OF_RUNS = ("num_threads", "quiet", "verbose", "cache_dir", "local_files_only", "force_download")


class RefuseToken(argparse.Action):
    """A token on a command line is an error: other users of the machine can read it there."""

    def __call__(self, parser, *_: Any) -> None:
        """End with a message that does not show the token."""
        parser.error("no token is taken here: set HF_TOKEN, or run `hf auth login`")


def add_hub_options(parser: argparse.ArgumentParser) -> None:
    """Declare where MODEL is: an option for each of `HubOptions`, except for the token."""
    group = parser.add_argument_group(
        "where MODEL is",
        "For a model on the Hugging Face hub that is not public, set the environment variable "
        "HF_TOKEN or run `hf auth login`; a token is never given on a command line.",
    )
    group.add_argument("--revision", metavar="NAME", help="branch, tag or commit on the hub")
    group.add_argument("--subfolder", metavar="FOLDER", help="folder inside MODEL that holds it")
    group.add_argument("--cache-dir", metavar="FOLDER", help="where downloads are kept")
    group.add_argument(
        "--local-files-only", action="store_true", help="do not use the network, only the cache"
    )
    group.add_argument(
        "--force-download", action="store_true", help="download again what is in the cache"
    )
    group.add_argument("--token", nargs="?", action=RefuseToken, help=argparse.SUPPRESS)


def hub_options(options: argparse.Namespace) -> dict[str, Any]:
    """The values of these options, as keyword arguments of `from_pretrained` and its like."""
    return {name: getattr(options, name) for name in HUB_KEYWORDS if name != "token"}


def add_model_options(
    parser: argparse.ArgumentParser, group: argparse._ArgumentGroup | None = None
) -> None:
    """Declare --dtype, in a group if there is one, and where MODEL is."""
    (group or parser).add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "int8"),
        help="of the arithmetic (int8 for a checkpoint of int8, else float32)",
    )
    add_hub_options(parser)


def model_options(options: argparse.Namespace) -> dict[str, Any]:
    """Where the model is, and --dtype, as keyword arguments of a pipeline's `from_pretrained`."""
    return {**hub_options(options), "dtype": options.dtype}


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options that every command has."""
    group = parser.add_argument_group("how it runs")
    if "--threads" not in parser.format_usage():  # training has its own
        group.add_argument(
            "--threads",
            dest="num_threads",
            type=int,
            metavar="N",
            help="most threads of a computation (the cores, or NUMPY_ERNIEM_NUM_THREADS)",
        )
    told = group.add_mutually_exclusive_group()
    told.add_argument(
        "-q", "--quiet", action="store_true", help="no notes and no progress; warnings stay"
    )
    told.add_argument(
        "-v", "--verbose", action="store_true", help="tell what is read, and what runs it"
    )


def apply_common_options(options: argparse.Namespace) -> None:
    """Do what they ask for, before a command runs."""
    number = getattr(options, "num_threads", None)
    if number is not None:
        set_num_threads(number)  # ValueError for a wrong number
        set_blas_threads(min(number, available_cores()))


def pipeline_options(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The options of a pipeline that the command line gives; others keep their default."""
    values = {name: getattr(options, name) for name in (*names, "on_overflow", "batch_tokens")}
    return {name: value for name, value in values.items() if value is not None}


def count_or_all(text: str) -> int | None:
    """The value of --top-k: a whole number, or "all", which is None."""
    return None if text == "all" else int(text)
