"""Training files: what they may hold, and errors that name the line."""

import gzip
import json

import pytest

from numpy_erniem.checkpoint.text_files import read_json_lines, read_lines
from numpy_erniem.training import data_files as files


@pytest.fixture
def write(tmp_path):
    def put(name, *lines, raw=None):
        path = tmp_path / name
        data = "".join(f"{line}\n" for line in lines).encode() if raw is None else raw
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return put


def test_labelled_texts(write):
    tsv = write("a.tsv", "a text\tgood", "one\tother\tbad", "")
    assert files.read_labelled(tsv) == [("a text", None, "good"), ("one", "other", "bad")]
    rows = {"text": "x", "label": 3}, {"text": "y", "text_pair": "z", "label": "b"}
    lines = write("a.jsonl.gz", *(json.dumps(row) for row in rows))
    assert files.read_labelled(lines) == [("x", None, "3"), ("y", "z", "b")]


def test_pairs(write):
    assert files.read_pairs(write("a.tsv", "one\tun")) == [("", "one", "un")]
    with_language = write("b.tsv.gz", "fr\tone\tun")
    assert files.read_pairs(with_language) == [("fr", "one", "un")]
    row = {"language": "fr", "source": "one", "target": "un"}
    assert files.read_pairs(write("c.jsonl", json.dumps(row))) == [("fr", "one", "un")]


def test_tagged_words(write):
    want = [(["Ada", "came"], ["P", "O"]), (["Bob"], ["P"])]
    tsv = write("a.tsv", "Ada\tP", "came\tO", "", "", "Bob\tP")
    assert files.read_tagged(tsv) == want
    rows = [json.dumps({"tokens": words, "tags": tags}) for words, tags in want]
    assert files.read_tagged(write("a.jsonl", *rows)) == want


def test_windows_line_ends_and_a_mark_at_the_start(write):
    path = write("a.tsv", raw=b"\xef\xbb\xbfone\tun\r\ntwo\tdeux\r\n")
    assert files.read_pairs(path) == [("", "one", "un"), ("", "two", "deux")]


@pytest.mark.parametrize(
    ("read", "name", "lines", "message"),
    [
        (files.read_labelled, "a.tsv", [], "a.tsv is empty"),
        (files.read_labelled, "a.tsv", ["", " "], "only blank lines"),
        (files.read_labelled, "a.tsv", ["x\ta", "y"], "line 2 has 1 columns.*text, label"),
        (files.read_labelled, "a.tsv", ["x\ta", " \ta"], "line 2: text is empty"),
        (files.read_labelled, "a.jsonl", ["{", "y"], "line 1 is not JSON"),
        (files.read_labelled, "a.jsonl", ["[1]"], "line 1 is a JSON list"),
        (files.read_labelled, "a.jsonl", ['{"text": "x"}'], "line 1 has the keys text; needed"),
        (files.read_labelled, "a.jsonl", ['{"text": [], "label": 1}'], "line 1: text must be"),
        (files.read_pairs, "a.tsv", ["a\tb\tc\td"], "line 1 has 4 columns"),
        (files.read_monolingual, "a.tsv", ["only text"], "line 1 has 1 columns"),
        (files.read_tagged, "a.tsv", ["Ada\tP", "came"], "line 2 has 1 columns.*token, tag"),
        (files.read_tagged, "a.jsonl", ['{"tokens": ["a"], "tags": []}'], "line 1: tags must"),
        (
            files.read_tagged,
            "a.jsonl",
            ['{"tokens": ["a"], "tags": ["b", "c"]}'],
            "line 1 has 1 tokens and 2 tags",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line(write, read, name, lines, message):
    with pytest.raises(ValueError, match=message):
        read(write(name, *lines))


def test_a_line_that_is_not_text(write):
    path = write("a.tsv", raw=b"one\tun\ntwo\t\xff\n")
    with pytest.raises(ValueError, match=r"a.tsv line 2 is not UTF-8"):
        files.read_pairs(path)


def test_a_broken_gzip_file(tmp_path):
    path = tmp_path / "a.tsv.gz"
    path.write_bytes(gzip.compress(b"one\tun\n" * 999)[:-12])
    with pytest.raises(ValueError, match="not valid gzip"):
        files.read_pairs(path)


def test_lines_are_numbered_and_streamed(write):
    lines = read_lines(write("a.txt.gz", raw=b"one\r\n\ntwo"))
    assert next(lines) == (1, "one")
    assert list(lines) == [(2, ""), (3, "two")]


def test_json_lines_may_hold_any_value(write):
    path = write("a.jsonl", '"one"', "", "[2]")
    assert list(read_json_lines(path)) == [(f"{path} line 1", "one"), (f"{path} line 3", [2])]


def test_a_line_that_is_not_json_is_named(write):
    path = write("a.jsonl", "1", "{", "2")
    with pytest.raises(ValueError, match=r"a.jsonl line 2 is not JSON"):
        list(read_json_lines(path))
