"""`erniem extract`: texts and a schema in, the spans that the schema asks for out."""

import argparse
from pathlib import Path
from typing import Any

from numpy_erniem.checkpoint.json_files import LARGEST, parse_json
from numpy_erniem.cli.options import model_options
from numpy_erniem.cli.rows import Rows, add_row_options
from numpy_erniem.pipelines.extract import InformationExtractor
from numpy_erniem.pipelines.extraction_schema import LANGUAGES, parse_schema

RESULT = "result"  # the column
EXAMPLES = """
MODEL is a folder with UIE-M, which the bundled checkpoint is not:
  erniem convert path/to/uie-m-base uie-m

examples:
  erniem extract "In 1997, Steve was excited to become the CEO of Apple." --model uie-m \\
      --schema '{"Person": ["Company", "Position"]}' Time
  erniem extract --schema "Sentiment [negative, positive]" --model uie-m --input texts.txt
  erniem extract --schema schema.json --model uie-m --input rows.jsonl --output rows_out.jsonl
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `erniem extract`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    add_row_options(
        parser, InformationExtractor.overflows, which=f"such as {InformationExtractor.checkpoints}"
    )
    parser.add_argument(
        "--schema",
        nargs="+",
        action="extend",
        required=True,
        metavar="NAME",
        help="what to look for: names, JSON that begins with { or [, or files that end in .json",
    )
    parser.add_argument(
        "--language", choices=LANGUAGES, default="auto", help="of the prompts (auto)"
    )
    parser.add_argument(
        "--threshold", type=float, default=0.5, metavar="P", help="least probability (0.5)"
    )
    parser.add_argument(
        "--max-length", type=int, metavar="N", help="most tokens of prompt and chunk (the model's)"
    )
    parser.add_argument(
        "--cut-at-sentences",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="cut long texts at ends of sentences where possible (yes)",
    )


def run(options: argparse.Namespace) -> int:
    """Extract and write; returns the exit code."""
    options.schema = read_schema(options.schema)
    rows = Rows(options, (RESULT,))
    extractor = InformationExtractor.from_pretrained(
        options.model,
        **model_options(options),
        schema=options.schema,
        language=options.language,
        threshold=options.threshold,
        max_length=options.max_length,
        cut_at_sentences=options.cut_at_sentences,
        on_overflow=options.on_overflow or "window",
        batch_tokens=options.batch_tokens,
    )
    return rows.run(extractor, lambda result: {RESULT: result})


def read_schema(words: list[str]) -> list[Any]:
    """The schema of a command line.

    Parameters
    ----------
    words : list of str
        Names, JSON, or paths of JSON files.

    Returns
    -------
    list of names and dicts

    Raises
    ------
    ValueError
        JSON that is not valid, a file that is too large, or a schema of a wrong form.
    FileNotFoundError
        There is no such file.
    """
    schema: list[Any] = []
    for word in words:
        if word.endswith(".json"):
            path = Path(word)
            if path.stat().st_size > LARGEST:
                raise ValueError(f"{word} is too large for a schema")
            part, where = parse_json(path, path.read_bytes()), f"{word}: "
        elif word.lstrip()[:1] in ("{", "["):
            part, where = parse_json("--schema", word.encode("utf-8", "replace")), "--schema: "
        else:
            part, where = word, "--schema: "
        try:
            parse_schema(part)
        except ValueError as error:
            raise ValueError(f"{where}{error}") from None
        schema += part if isinstance(part, list) else [part]
    parse_schema(schema)
    return schema
