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
        (files.read_labelled, "a.tsv", ["", " "], "a.tsv has no example"),
        (files.read_labelled, "a.tsv", ["x\ta", "y"], "line 2 has 1 columns.*text, label"),
        (files.read_labelled, "a.tsv", ["x\ta", " \ta"], "line 2: text is empty"),
        (files.read_labelled, "a.tsv", ["x\ta", "y\t"], "line 2: label is empty"),
        (files.read_tagged, "a.tsv", ["Ada\tP", "came\t "], "line 2: tag is empty"),
        (files.read_labelled, "a.jsonl", ['{"text": "x", "label": ""}'], "line 1: label must be"),
        (files.read_labelled, "a.jsonl", ['{"text": "x", "label": null}'], "line 1: label must"),
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


def test_a_header_names_the_columns_in_any_order(write):
    want = [("a text", None, "good")]
    for lines in (("text\tlabel", "a text\tgood"), ("Label\tSentence", "good\ta text")):
        assert files.read_labelled(write("a.tsv", *lines)) == want
    pair = write("a.tsv", "premise\thypothesis\tlabel", "one\tother\tno")
    assert files.read_labelled(pair) == [("one", "other", "no")]
    assert files.read_pairs(write("b.tsv", "target\tsource", "un\tone")) == [("", "one", "un")]
    tagged = files.read_tagged(write("c.tsv", "Word\tTag", "Ada\tP", "", "Bob\tP"))
    assert tagged == [(["Ada"], ["P"]), (["Bob"], ["P"])]


def test_headers_of_other_data_sets(write):
    tagged = [(["Ada"], ["P"])]
    for header in ("words\tner", "Tokens\tTags", "# word\tlabel"):
        assert files.read_tagged(write("c.tsv", header, "Ada\tP")) == tagged
    pairs = [("fr", "one", "un")]
    for header in ("lang\tenglish\ttranslation", "Language\tsrc\ttgt"):
        assert files.read_pairs(write("b.tsv", header, "fr\tone\tun")) == pairs
    sentences = files.read_monolingual(write("m.tsv", "lang\tsentence", "fr\tun"))
    assert sentences == [("fr", "un")]
    assert files.read_labelled(write("a.tsv", "#text\tlabel", "x\ta")) == [("x", None, "a")]


def test_a_header_in_quotes_is_refused(write):
    with pytest.raises(ValueError, match='line 1 is a header in quotes, "text"'):
        files.read_labelled(write("a.tsv", '"text"\t"label"', '"x"\t"a"'))


def test_a_label_that_only_the_first_line_has_is_told(write):
    rows = ["x\ta", "y\tb"] * 2
    with pytest.warns(UserWarning, match="has the label 'sentiment' once, in its first line"):
        files.read_labelled(write("a.tsv", "review\tsentiment", *rows))


@pytest.mark.parametrize(
    "rows", [["x\ta", "y\tb"], ["x\ta", "y\tb", "z\tb"], ["x\ta", "y\tb", "z\tc"]]
)
def test_labels_that_are_few_are_no_header(write, rows, recwarn):
    files.read_labelled(write("a.tsv", *rows))
    assert not recwarn.list


def test_a_second_text_that_is_no_text_is_refused_and_one_that_is_empty_is_none(write):
    for value in (0, None, ""):
        row = {"text": "x", "text_pair": value, "label": "a"}
        want = [("x", "0" if value == 0 else None, "a")]
        assert files.read_labelled(write("a.jsonl", json.dumps(row))) == want
    for value in ([], False, " "):
        row = {"text": "x", "text_pair": value, "label": "a"}
        with pytest.raises(ValueError, match="line 1: text_pair must be a text"):
            files.read_labelled(write("a.jsonl", json.dumps(row)))


def test_two_keys_of_one_meaning_are_refused_unless_its_own_name_is_there(write):
    row = {"text": "x", "category": "a", "gold_label": "b"}
    with pytest.raises(ValueError, match="line 1 has category and gold_label, which both mean lab"):
        files.read_labelled(write("a.jsonl", json.dumps(row)))
    row |= {"label": "c"}
    assert files.read_labelled(write("a.jsonl", json.dumps(row))) == [("x", None, "c")]


def test_columns_that_a_header_names_and_nothing_reads_are_told(write):
    path = write("a.tsv", "id\ttext\tlabel", "\ta text\tgood")
    with pytest.warns(UserWarning, match="line 1 names the columns id, which are not read"):
        assert files.read_labelled(path) == [("a text", None, "good")]


@pytest.mark.parametrize(
    ("read", "line", "message"),
    [
        (files.read_labelled, "comment\tlabel", "line 1 looks like a header.*columns text, label"),
        (files.read_labelled, "comment\tClass", "line 1 looks like a header"),
        (files.read_labelled, "text\ttext\tlabel", "names text twice"),
        (files.read_tagged, "form\ttag", "line 1 looks like a header"),
        (files.read_pairs, "Language\ten\tde", "line 1 looks like a header"),
    ],
)
def test_half_a_header_is_refused(write, read, line, message):
    with pytest.raises(ValueError, match=message):
        read(write("a.tsv", line, "a\tb"))


def test_the_text_of_an_example_may_be_the_name_of_a_column(write):
    rows = [("label", None, "noun"), ("text", None, "noun")]
    path = write("a.tsv", *(f"{text}\t{label}" for text, _, label in rows))
    assert files.read_labelled(path) == rows


def test_keys_of_other_data_sets(write):
    row = {"sentence1": "one", "sentence2": "other", "gold_label": "yes", "id": 3}
    assert files.read_labelled(write("a.jsonl", json.dumps(row))) == [("one", "other", "yes")]


@pytest.mark.parametrize(
    ("read", "name", "lines", "message"),
    [
        (files.read_labelled, "a.tsv", ["x\ta", "y\ta "], r"line 2: the label 'a ' has white"),
        (files.read_labelled, "a.jsonl", ['{"text": "x", "label": " a"}'], "line 1: the label ' a"),
        (files.read_tagged, "a.tsv", ["x\tA", "y\t A"], "line 2: the tag ' A' has white"),
        (files.read_tagged, "a.jsonl", ['{"tokens": ["x"], "tags": ["A "]}'], "line 1: the tag"),
        (files.read_tagged, "a.jsonl", ['{"tokens": ["x"], "tags": [""]}'], "line 1 has an empty"),
    ],
)
def test_white_space_makes_no_class_of_its_own(write, read, name, lines, message):
    with pytest.raises(ValueError, match=message):
        read(write(name, *lines))


def test_a_label_may_have_several_words(write):
    assert files.read_labelled(write("a.tsv", "x\tvery good")) == [("x", None, "very good")]
