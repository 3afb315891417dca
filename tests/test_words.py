"""Names and phrases that were given up do not come back; docs/style.md has the words in use."""

import re

import pytest

from tests.conftest import REPOSITORY

# Regular expressions, any case; a space also stands for the end of a line. The brackets keep a
# plain search for such a word from ending in this table.
INSTEAD = {
    r"\btwins?\b": "native kernel",
    r"\bseam\b": "dispatch",
    r"\bdeclined\b": "unsupported",
    r"\bslopes?\b": "gradient",
    r"encode_(in_)parts": "encode_chunked",
    r"\bword_(loss|scores)\b|\bwith_words\b": "masked_lm_loss, lm_logits, resize_vocabulary",
    r"\bhead_(factor)\b": "head_mask",
    r"\blargest_(norm)\b": "max_grad_norm",
    r"\b(numpy_)?erniem[./](learn)\b|`learn/": "training",
    r"\btasks\.(embed)\b": "pipelines",
    r"\b(surgery|parts|trees|door)\.py": "the module's new name",
    r"\bnative_(memory|machine)\b": "backend.packing, backend.settings",
    r"who (is) done": "work stealing",
    r"far (end)": "the tail of a queue",
    r"stay the (truth)": "remain the reference",
    r"lets? go of": "release the GIL; free",
    r"the plain (way)": "the classical product",
    r"seven (products) for eight": "Strassen's algorithm",
    r"the way (back)\b": "the backward pass",
    r"own (sentence is) enough": "the sentence itself is enough",
    r"nobody (published)": "we know of no public implementation",
}
RETIRED = {
    re.compile(word.replace(" ", r"\s+(?:[*#>]\s*)?"), re.IGNORECASE): word for word in INSTEAD
}
# These may name what is gone: the past, and this table.
EXCEPT = {"CHANGELOG.md", "docs/log.md", "docs/style.md", "tests/test_words.py"}
FOLDERS = ("numpy_erniem", "csrc", "tests", "benchmarks", "tools", "tutorials", "docs")


def files():
    """Every text that somebody of the project wrote, by its path in the repository."""
    found = list(REPOSITORY.glob("*.md")) + list(REPOSITORY.glob("*.py"))
    for folder in FOLDERS:
        for kind in ("py", "c", "h", "md"):
            found += (REPOSITORY / folder).rglob(f"*.{kind}")
    names = (path.relative_to(REPOSITORY).as_posix() for path in found)
    return sorted(set(names) - EXCEPT)


@pytest.mark.parametrize("path", files())
def test_words_that_were_given_up_are_not_used(path):
    text = (REPOSITORY / path).read_text(encoding="utf-8")
    found = [
        f"line {text.count(chr(10), 0, match.start()) + 1}: {match[0]!r}: {INSTEAD[word]}"
        for pattern, word in RETIRED.items()
        for match in pattern.finditer(text)
    ]
    assert not found
