"""Rows of files: formats, encodings, folders, and what is refused."""

import codecs
import gzip
import io
import json
import sys
from types import SimpleNamespace

import pytest

from numpy_erniem.engines.errors import DataError
from numpy_erniem.engines.input_paths import find_files, format_of
from numpy_erniem.engines.records import read_records

ROWS = [{"text": 'a, "b"', "id": "1"}, {"text": "打开\n文件", "id": "2"}]


def read(path, kind=None, **options):
    return list(read_records(find_files([str(path)], kind), **options))


def values(path, kind=None, **options):
    return [record.value for record in read(path, kind, **options)]


def csv_text(delimiter=","):
    return (
        delimiter.join(["text", "id"])
        + '\n"a, ""b"""'
        + f"{delimiter}1\n"
        + ('"打开\n文件"' + f"{delimiter}2\n")
    )


FILES = {
    "rows.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS),
    "rows.NDJSON": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS),
    "rows.JSON": json.dumps(ROWS, indent=2),
    "rows.csv": csv_text(),
    "rows.TSV": csv_text("\t"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("form", ["plain", "gz", "bom", "crlf"])
def test_every_format_gives_the_same_rows(name, form, tmp_path):
    data = FILES[name].encode()
    want = ROWS
    if form == "bom":
        data = codecs.BOM_UTF8 + data
    if form == "crlf":
        data = data.replace(b"\n", b"\r\n")
        if name.lower()[-3:] in ("csv", "tsv"):
            want = [ROWS[0], {"text": "打开\r\n文件", "id": "2"}]
    if form == "gz":
        name, data = name + ".gz", gzip.compress(data)
    (tmp_path / name).write_bytes(data)
    got = values(tmp_path / name)
    if form == "crlf":
        got = [{k: v.replace("\r\n", "\n") for k, v in row.items()} for row in got]
        want = ROWS
    assert got == want


def test_parquet_gives_the_columns_that_are_asked_for(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    assert values(path, columns=["text", "id"]) == ROWS
    assert values(path, columns=["id"]) == [{"id": "1"}, {"id": "2"}]
    with pytest.raises(DataError, match="there is no column 'title'; there are text, id"):
        read(path, columns=["title"])
    twice = pyarrow.Table.from_arrays([["a"], ["b"], ["c"]], names=["text", "text", "id"])
    parquet.write_table(twice, path)
    assert values(path, columns=["id"]) == [{"id": "c"}]
    with pytest.raises(DataError, match="the column 'text' is there twice"):
        read(path, columns=["text"])
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DataError, match="is not valid Parquet"):
        read(path)


def test_lines_of_text_end_with_a_line_feed_alone(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("a\u2028b\x0bc\r\n\nd\0e".encode())
    assert values(path) == ["a\u2028b\x0bc", "", "d\0e"]


def test_a_line_of_five_megabytes(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("ab" * 2_500_000 + "\nc\n")
    assert [len(v) for v in values(path)] == [5_000_000, 1]
    path = tmp_path / "a.csv"
    path.write_text("text\n" + "ab" * 2_500_000 + "\n")
    assert [len(v["text"]) for v in values(path)] == [5_000_000]


def test_a_line_that_is_not_utf8_is_named_and_the_others_are_read(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"a\n\xe9\nb\n")
    a, wrong, b = read(path)
    assert (a.value, b.value) == ("a", "b")
    assert wrong.where == f"{path} line 2"
    assert wrong.error.startswith("is not UTF-8")
    assert values(path, encoding="latin-1") == ["a", "é", "b"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_other_encodings(encoding, tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("a\n打开ਊ\n".encode(encoding))
    assert values(path, encoding=encoding) == ["a", "打开ਊ"]


def test_bytes_that_are_not_utf16_are_named(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("a\nb".encode("utf-16-le") + b"\0\xd8\0")
    with pytest.raises(DataError, match="is not UTF-16-LE"):
        read(path, encoding="utf-16-le")


NO_ENCODINGS = ["utf-7000", "base64", "rot13", "", "idna", "punycode", "unicode_escape"]


@pytest.mark.parametrize("encoding", NO_ENCODINGS)
def test_what_is_no_encoding_of_text_is_named(encoding, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(ValueError, match=f"encoding '{encoding}' is not a known encoding of text"):
        read(tmp_path / "a.txt", encoding=encoding)


@pytest.mark.parametrize("encoding", ["cp037", "cp1140", "cp500"])
def test_an_encoding_with_other_line_ends_is_refused(encoding, tmp_path):
    (tmp_path / "a.txt").write_bytes("a\nb".encode(encoding))
    with pytest.raises(ValueError, match=f"'{encoding}' ends lines with other bytes than a line"):
        read(tmp_path / "a.txt", encoding=encoding)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1", "cp1252", "shift_jis"])
def test_encodings_of_files_are_taken(encoding, tmp_path):
    (tmp_path / "a.txt").write_bytes("a\nb".encode(encoding))
    assert [r.value for r in read(tmp_path / "a.txt", encoding=encoding)] == ["a", "b"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("row_end", ["\n", "\r\n"])
def test_a_field_in_quotes_keeps_its_line_ends(end, row_end, tmp_path):
    path = tmp_path / "a.csv"
    rows = ["text,id", f'"a{end}b{end}",1', f'"{end}",2', "c,3"]
    path.write_bytes(row_end.join(rows).encode())
    values = [f"a{end}b{end}", end, "c"]
    assert [r.value["text"] for r in read(path)] == values
    assert [r.value["id"] for r in read(path)] == ["1", "2", "3"]


def test_a_blank_line_is_an_empty_text_where_a_table_has_one_column(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'text\na\n\n""\r\n\r\nb\n')
    assert [r.value["text"] for r in read(path)] == ["a", "", "", "", "b"]
    assert [r.where[-6:] for r in read(path)] == [f"line {n}" for n in range(2, 7)]


def test_rows_that_are_no_text_or_object_are_named(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('"a"\n3\n[1]\nnull\n{\n\n{"text": "b"}\n')
    records = read(path)
    assert [r.value for r in records if r.error is None] == ["a", {"text": "b"}]
    assert [r.where for r in records if r.error] == [f"{path} line {n}" for n in (2, 3, 4, 5)]
    assert "is a JSON int, not a text or an object" in records[1].error
    assert "is not JSON" in records[4].error


def test_a_row_with_a_key_twice_is_named(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "text": "b"}\n{"text": "c"}\n')
    wrong, good = read(path)
    assert wrong == (f"{path} line 1", "", "is not JSON: duplicate key 'text'")
    assert good.value == {"text": "c"}


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_a_number_that_could_not_be_written_is_named(number, tmp_path):
    """Python reads them, and would write NaN or Infinity, which other readers of JSON refuse."""
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"text": "a", "score": {number}}}\n{{"text": "b", "score": 1e-9}}\n')
    wrong, good = read(path)
    assert wrong.error.startswith(f"is not JSON: {number} is not a finite number")
    assert good.value == {"text": "b", "score": 1e-9}


def test_a_table_with_a_row_of_another_length(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('text,id\n"a\nb",1\nc\n\nd,2\n')
    good, wrong, last = read(path)
    assert (good.where, good.value) == (f"{path} line 2", {"text": "a\nb", "id": "1"})
    assert wrong == (f"{path} line 4", "", "has 1 columns, the header has 2")
    assert last.value == {"text": "d", "id": "2"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("text,text\na,b\n", "line 1: the column 'text' is there twice"),
        ("title\na\n", "line 1: there is no column 'text'; there are title"),
        ("", "is empty; it needs at least one row"),
        ("text\n", "is empty; it needs at least one row"),
        ('text\n"a', "line 2: unexpected end of data"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(text, message, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read(path, columns=["text"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}', "holds a JSON dict, not an array of rows"),
        ("[1,", "is not JSON"),
        ('[{"text": "a", "text": "b"}]', "duplicate key 'text'"),
        ('[{"text": "a", "score": NaN}]', "NaN is not a finite number"),
        ("[]", "empty"),
    ],
)
def test_json_that_is_no_array_is_named(text, message, tmp_path):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "a.json")


def test_a_broken_gzip_file_is_named_after_what_could_be_read(tmp_path):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"a\n" * 100_000)[:-20])
    with pytest.raises(DataError, match="is not valid gzip after line"):
        read(path)


def test_a_folder_is_its_files_by_name(tmp_path):
    for name in ("b.txt", "a.jsonl", ".hidden"):
        (tmp_path / name).write_text('"x"\n')
    assert [kind for _, kind in find_files([str(tmp_path)], None)] == ["jsonl", "text"]
    (tmp_path / "c.doc").write_text("x")
    with pytest.raises(ValueError, match=r"c\.doc: its name does not tell its format"):
        find_files([str(tmp_path)], None)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match="is a folder without files"):
        find_files([str(empty)], None)
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        find_files(["nowhere"], None)


def test_what_is_not_read_of_a_folder_is_told(tmp_path):
    (tmp_path / "a.txt").write_text("x\n")
    (tmp_path / "inner").mkdir()
    with pytest.warns(UserWarning, match="not read, because they are no files: inner"):
        assert len(find_files([str(tmp_path)], None)) == 1
    (tmp_path / "b.txt").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"b\.txt is a link that leads nowhere"):
        find_files([str(tmp_path)], None)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.TXT", "text"), ("a.JSONL.GZ", "jsonl"), ("a.pq", "parquet"), ("a.b.tsv", "tsv")],
)
def test_a_name_tells_the_format(name, kind):
    assert format_of(name) == kind


@pytest.mark.parametrize("name", ["a", "a.gz", "a.parquet.gz", "txt", "a.xml"])
def test_a_name_that_tells_no_format_is_refused(name):
    with pytest.raises(ValueError, match="does not tell its format"):
        format_of(name)


def standard_input(monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


@pytest.mark.parametrize(
    "data",
    [
        b'{"text": "a"}\n',
        b'["a"]\n',
        b'  {"a": 1}\n',
        b"[\n",
        b" { \n",
        b'[{"text":\n',
        b'{"text":\n',
    ],
)
def test_json_on_standard_input_is_not_taken_for_text(data, monkeypatch):
    standard_input(monkeypatch, data)
    with pytest.raises(DataError, match="standard input line 1 is JSON"):
        read("-")
    standard_input(monkeypatch, data)
    assert values("-", "text") == [data.decode().rstrip("\n")]


def test_json_on_standard_input_may_follow_blank_lines(monkeypatch):
    standard_input(monkeypatch, b'\n \n{"text": "a"}\n')
    with pytest.raises(DataError, match="standard input line 3 is JSON"):
        read("-")


def test_lines_on_standard_input_are_texts(monkeypatch):
    standard_input(monkeypatch, b'{a}\n[1] or more\n"quoted"\n')
    assert values("-") == ["{a}", "[1] or more", '"quoted"']
    for line in (b"[[link]]", b"{{template", b"[", b"{"):
        standard_input(monkeypatch, b"a\n" * (len(line) == 1) + line + b"\n")
        assert values("-")[-1] == line.decode()
    with pytest.raises(ValueError, match="standard input cannot be parquet"):
        find_files(["-"], "parquet")
