"""`erniem search`: build an index of texts, then find the best matches of queries in it."""

import argparse
import sys
from pathlib import Path
from typing import IO, Any

import numpy as np

from numpy_erniem.checkpoint.hub import bundled_checkpoint
from numpy_erniem.cli.notes import note, progress_file, remark
from numpy_erniem.cli.options import add_model_options, model_options
from numpy_erniem.cli.output import json_text
from numpy_erniem.cli.progress import ProgressBar, tell
from numpy_erniem.cli.rows import TEXT, read_texts
from numpy_erniem.engines.encoding import check_encoding
from numpy_erniem.engines.errors import DataError, check_room
from numpy_erniem.engines.input_paths import FORMATS, STANDARD_INPUT
from numpy_erniem.engines.job import count
from numpy_erniem.engines.journal import Counts
from numpy_erniem.models.precision import PRECISIONS
from numpy_erniem.pipelines.embed import Embedder
from numpy_erniem.pipelines.search import SearchIndex
from numpy_erniem.pipelines.search_files import check_new_folder

TOP_K = 10
BUNDLED = "bundled"  # what an index records of the bundled checkpoint
EXAMPLE = """\
example:
  printf '%s\\n' "Open the file" "Close the window" | erniem search my_index --build -
  erniem search my_index "Datei öffnen" --top-k 1

Every match is a line {"query": ..., "index": ..., "score": ..., "text": ...}, the best first. The
score is the cosine similarity, unless the index was built with --no-normalize.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `erniem search`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLE
    parser.add_argument("folder", metavar="FOLDER", help="of the index")
    parser.add_argument(
        "query", nargs="*", metavar="QUERY", help="texts to find matches for (standard input)"
    )
    parser.add_argument("--top-k", type=int, metavar="N", help=f"matches of a query ({TOP_K})")
    parser.add_argument(
        "--build",
        metavar="FILE",
        help="make the index of the texts in a file or folder; -: standard input",
    )
    parser.add_argument(
        "--format",
        choices=tuple(FORMATS),
        help="of FILE (by its name; .gz may follow it), or of queries on standard input",
    )
    parser.add_argument("--encoding", metavar="NAME", help="of these, if they are text (utf-8)")
    parser.add_argument("--field", metavar="KEY", help=f'column or key of the text ("{TEXT}")')
    parser.add_argument("--vectors", metavar="FILE", help=".npy of the texts' vectors, to build of")
    parser.add_argument(
        "--model", metavar="MODEL", help="folder, or name on the hub (the one that built the index)"
    )
    add_model_options(parser)
    parser.add_argument(
        "--normalize",
        action=argparse.BooleanOptionalAction,
        help="with --build: whether vectors are scaled to length 1 (yes)",
    )
    parser.add_argument(
        "--prompt-name",
        metavar="NAME",
        help="prompt that the checkpoint records, such as query, or passage to build (its default)",
    )
    parser.add_argument("--prompt", metavar="TEXT", help='put before every text, such as "query: "')
    parser.add_argument(
        "--on-overflow", choices=Embedder.overflows, help="with a text that is too long (cut)"
    )


def run(options: argparse.Namespace) -> int:
    """Build an index, or search in one; returns the exit code."""
    build(options) if options.build is not None else find(options)
    return 0


def build(options: argparse.Namespace) -> None:
    """Embed texts, or take their vectors, and save them as an index."""
    if options.query or options.top_k is not None:
        raise ValueError("--build makes an index; search in it with a second command")
    for name in ("prompt", "prompt_name", "on_overflow") if options.vectors else ():
        if getattr(options, name) is not None:
            name = name.replace("_", "-")
            raise ValueError(f"with --vectors nothing is embedded; leave out --{name}")
    if options.vectors and options.model is None:
        for name in ("dtype", "revision", "subfolder"):
            if getattr(options, name) is not None:
                raise ValueError(f"--{name} is of a model; name the one of --vectors with --model")
    check_new_folder(options.folder)
    texts = _texts(options.build, options)
    notes: dict[str, Any] = {"normalize": options.normalize is not False}
    if options.model is not None or options.vectors is None:
        notes |= {"model": _recorded(options.model), "revision": options.revision}
        for name in ("subfolder", "dtype"):
            notes |= {name: getattr(options, name)} if getattr(options, name) else {}
    vectors = options.vectors
    if vectors is None:
        vectors = _vectors(texts, options.model, notes["normalize"], options)
    index = SearchIndex(vectors, texts, notes)
    try:
        index.save(options.folder)
    except OSError as error:
        remedy = "nothing of the index is left: make room, and build it again"
        check_room(error, options.folder, remedy)
        raise
    note(f"{options.folder} holds {len(texts)} texts")


def find(options: argparse.Namespace) -> None:
    """Embed queries as the index's texts were, and print the best matches."""
    for name in ("vectors", "normalize"):
        if getattr(options, name) is not None:
            raise ValueError(f"--{name} is for --build FILE; leave it out, or make a new index")
    for name in ("field", "format", "encoding") if options.query else ():
        if getattr(options, name) is not None:
            raise ValueError(
                f"--{name} is for --build FILE, or queries on standard input; leave it out"
            )
    if not options.query and sys.stdin.isatty():
        raise ValueError("give a QUERY, or queries on standard input, one a line")
    index = SearchIndex.load(options.folder)
    model = _model_of(index, options)
    queries = options.query or _texts(STANDARD_INPUT, options)
    vectors = _vectors(queries, model, index.notes.get("normalize") is not False, options)
    if vectors.shape[1] != index.width:
        raise ValueError(
            f"this model makes vectors of {vectors.shape[1]} numbers, but those of the index have "
            f"{index.width}; name the index's model with --model"
        )
    top_k = TOP_K if options.top_k is None else options.top_k
    write_matches(sys.stdout, queries, index, *index.search(vectors, top_k))


def _texts(path: str, options: argparse.Namespace) -> list[str]:
    """The texts of a file, a folder or standard input."""
    encoding = "utf-8" if options.encoding is None else options.encoding
    check_encoding(encoding)
    return list(read_texts(path, options.format, options.field, encoding))


def _recorded(model: str | None) -> str:
    """How an index records a model: a folder by its full path, so that it is found again."""
    if model is None:
        return BUNDLED
    if not Path(model).is_dir():
        return model
    folder = Path(model).resolve()
    return BUNDLED if folder == bundled_checkpoint().resolve() else str(folder)


def _model_of(index: SearchIndex, options: argparse.Namespace) -> str | None:
    """The model for the queries: --model, else the one that the index records."""
    named, recorded = options.model, index.notes.get("model")
    if named is not None and recorded not in (named, _recorded(named)):
        if recorded is not None:
            remark(
                f"warning: the index was built with {recorded}; scores of vectors from another "
                "model carry no meaning"
            )
        return named
    if not isinstance(recorded, str):
        raise ValueError("the index does not record which model made it; name it with --model")
    for name in ("revision", "subfolder"):
        if getattr(options, name) is None and isinstance(index.notes.get(name), str):
            setattr(options, name, index.notes[name])
    _choose_dtype(index.notes.get("dtype"), options)
    return named or (None if recorded == BUNDLED else recorded)


def _choose_dtype(recorded: object, options: argparse.Namespace) -> None:
    """Queries get the number type of the index; another one that is asked for is told."""
    if options.dtype is None and recorded in PRECISIONS:
        options.dtype = recorded
    elif options.dtype not in (None, recorded):
        how = f"with --dtype {recorded}" if recorded in PRECISIONS else "without --dtype"
        remark(
            f"warning: the index was built {how}; vectors of queries in {options.dtype} "
            "are a little different, and so are the scores"
        )


def _vectors(
    texts: list[str], model: str | None, normalize: bool, options: argparse.Namespace
) -> np.ndarray:
    """A vector for each text; what should be known of the texts is told."""
    embedder = Embedder.from_pretrained(model, **model_options(options)).with_options(
        normalize=normalize,
        prompt_name=options.prompt_name,
        prompt=options.prompt,
        on_overflow=options.on_overflow,
    )
    if embedder.model.config.to_dict().get("trained") is False:
        remark("this checkpoint is not trained: scores carry no meaning")
    vectors = np.empty((len(texts), embedder.width), np.float32)
    counts = Counts()
    with ProgressBar(progress_file()) as bar:
        for n, outcome in enumerate(embedder.outcomes(texts)):
            if outcome.error is not None:
                raise DataError(str(outcome.error))
            vectors[n] = outcome.result
            count(counts, outcome)
            bar.update(counts)
    tell(counts, embedder, "stop")
    return vectors


def write_matches(
    file: IO[str],
    queries: list[str],
    index: SearchIndex,
    indices: np.ndarray,
    scores: np.ndarray,
) -> None:
    """Write a line of JSON for each match; the scores are exact in float32."""
    for query, row, its_scores in zip(queries, indices, scores, strict=True):
        for i, score in zip(row, its_scores, strict=True):
            match = {"query": query, "index": int(i), "score": float(str(score))}
            if index.texts is not None:
                match["text"] = index.texts[int(i)]
            file.write(json_text(match, file) + "\n")
