"""`erniem serve`: pipelines over HTTP."""

import argparse
import os
import sys
from typing import Any

from numpy_erniem.cli.embed import tell_untrained
from numpy_erniem.cli.options import RefuseToken, add_model_options, hub_options
from numpy_erniem.serving.models import ServedModel, load_model
from numpy_erniem.serving.server import serve
from numpy_erniem.serving.settings import (
    KEYS_VARIABLE,
    OVERFLOWS,
    Settings,
    parse_models,
    read_keys,
)

LOCAL = ("127.0.0.1", "::1", "localhost")
EXAMPLES = """
examples:
  erniem serve
  erniem serve --model e5=path/to/e5 --model reranker=path/to/reranker --port 8080
  erniem serve --model path/to/e5 --workers 4 --api-keys keys.txt --host 0.0.0.0

then:
  curl http://127.0.0.1:8000/v1/embeddings -H "Content-Type: application/json" \\
      -d '{"input": "Open the file"}'
  curl http://127.0.0.1:8000/classify -H "Content-Type: application/json" \\
      -d '{"input": "Open the file", "top_k": 1}'
"""
LIMITS = (  # name of the setting, type, help
    ("max_body", int, "most bytes of a request"),
    ("max_texts", int, "most texts of a request"),
    ("max_text_tokens", int, "most tokens of a text, however it is cut"),
    ("max_waiting", int, "most texts that wait for a model; more are refused with 429"),
    ("max_requests", int, "most open requests of a worker; more are refused with 429"),
    ("batch_tokens", int, "tokens at which a batch is full"),
    ("batch_wait", float, "seconds that a batch waits at most for others"),
    ("timeout", float, "seconds within which a request is answered"),
    ("read_timeout", float, "seconds within which a client has to send a request"),
    ("write_timeout", float, "seconds for which a client may take nothing of a response"),
    ("drain", float, "most seconds after SIGTERM in which new requests get a 503"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `erniem serve`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="a model and its name in requests; may be given again (the bundled one)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="0: any that is free (8000)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (1)")
    parser.add_argument(
        "--threads", type=int, metavar="N", help="of each worker (cores divided by workers)"
    )
    parser.add_argument(
        "--api-keys",
        metavar="FILE",
        help=f"keys, one in a line, of which a request needs one; also in {KEYS_VARIABLE}",
    )
    parser.add_argument("--api-key", nargs="?", action=RefuseKey, help=argparse.SUPPRESS)
    parser.add_argument(
        "--on-overflow",
        choices=OVERFLOWS,
        help="what is done with texts that are too long (error for vectors and ranks, else window)",
    )
    parser.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info", help="(info)"
    )
    limits = parser.add_argument_group("limits")
    for name, kind, told in LIMITS:
        default = getattr(Settings, name)
        option = f"--{name.replace('_', '-')}"
        limits.add_argument(
            option, type=kind, default=default, metavar="N", help=f"{told} ({default})"
        )
    add_model_options(parser)


class RefuseKey(RefuseToken):
    """A key on a command line is an error: other users of the machine can read it there."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """End with a message that does not show the key."""
        parser.error(f"no key is taken here: use --api-keys FILE, or set {KEYS_VARIABLE}")


def run(options: argparse.Namespace) -> int:
    """Serve until a signal; returns the exit code."""
    settings = Settings(
        keys=read_keys(options.api_keys, os.environ),
        workers=options.workers,
        threads=options.threads,
        on_overflow=options.on_overflow,
        **{name: getattr(options, name) for name, *_ in LIMITS},
    )
    places = parse_models(options.model)
    if options.host not in LOCAL and not settings.keys:
        print(
            f"erniem: everyone who reaches {options.host} may use this server: no API keys are set",
            file=sys.stderr,
        )

    def load() -> list[ServedModel]:
        hub = hub_options(options)
        models = [load_model(n, place, hub, options.dtype) for n, place in places.items()]
        for model in models:
            tell_untrained(next(iter(model.pipelines.values())))
        return models

    return serve(load, settings, options.host, options.port, options.log_level)
