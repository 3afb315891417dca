"""Texts and a model → one self-contained HTML page."""

import os
from typing import Any

from numpy_erniem.checkpoint.atomic import atomic_write, check_writable
from numpy_erniem.checks import warn
from numpy_erniem.explorer.page import make_page
from numpy_erniem.explorer.record import SHOWN, make_record
from numpy_erniem.pipelines.embed import Embedder
from numpy_erniem.pipelines.texts import check_text
from numpy_erniem.tokenizer.pieces import LONE_SURROGATE


def explain(
    text: str,
    other: str | None = None,
    *,
    out: str | os.PathLike[str],
    embedder: Embedder | None = None,
    first: int = 0,
    tokens: int = SHOWN,
) -> dict[str, Any]:
    """Write a page that shows how a model reads a text, or two texts and what they share.

    The page needs no network and no other file. It has the tokens, the attention of every layer and
    head, the hidden states and their nearest tokens, and the formula of each number with its
    numbers put in; of two texts also their similarity and the attention masks of pre-training.

    Parameters
    ----------
    text : str
    other : str, optional
        A second text. The model reads both in one row, [CLS] text [SEP] [SEP] other [SEP].
    out : path
        The page. Its folder must be there.
    embedder : Embedder, optional
        Left out, that of the bundled checkpoint.
    first : int
        The first token of each text that is shown.
    tokens : int
        Most tokens that are shown. The model reads all of them.

    Returns
    -------
    dict
        "tokens": how many the model read; "shown": the indices of those on the page; "cut": how
        many tokens at the end of the texts the model did not read.

    Raises
    ------
    OSError
        There can be no such file.
    ValueError
        A text is empty; `first` or `tokens` is out of range; the model's positions are relative.

    Warns
    -----
    UserWarning
        A text holds half of a character (a lone surrogate), which no file can hold.
    """
    text = _checked(text, "the text")
    other = None if other is None else _checked(other, "the second text")
    check_writable(out)
    embedder = Embedder.from_pretrained() if embedder is None else embedder
    record = make_record(embedder, text, other, first, tokens)
    atomic_write(out, make_page(record))
    return {"tokens": record["total"], "shown": record["shown"], "cut": record["cut"]}


def _checked(text: str, name: str) -> str:
    """The text, with � for half a character, as the tokenizer reads it; ValueError if empty."""
    if not check_text(text, name).strip():
        raise ValueError(f"{name} is empty; give at least one word")
    whole = LONE_SURROGATE.sub("\ufffd", text)
    if whole != text:
        warn(f"{name} has characters that are not valid Unicode; \ufffd stands in their place")
    return whole
