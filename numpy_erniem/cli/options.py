"""Options that every command with a model shares."""

import argparse
from typing import Any


def add_hub_options(parser: argparse.ArgumentParser) -> None:
    """Declare how a name on the hub is resolved: --revision, --cache-dir, --local-files-only."""
    parser.add_argument("--revision", metavar="NAME", help="branch, tag or commit on the hub")
    parser.add_argument("--cache-dir", metavar="FOLDER", help="where downloads are kept")
    parser.add_argument(
        "--local-files-only", action="store_true", help="do not use the network, only the cache"
    )


def hub_options(options: argparse.Namespace) -> dict[str, Any]:
    """The values of these options, as keyword arguments of `from_pretrained` and its like."""
    return {
        "revision": options.revision,
        "cache_dir": options.cache_dir,
        "local_files_only": options.local_files_only,
    }
