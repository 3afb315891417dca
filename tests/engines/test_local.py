"""Pipelines over files: rows out, errors, interruption and going on."""

import csv
import errno
import gc
import json
import os
import signal
import subprocess
import sys
import time
from datetime import date, datetime, timedelta, timezone
from datetime import time as time_of_day
from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import pytest

from numpy_erniem.engines import local
from numpy_erniem.engines.errors import DataError
from numpy_erniem.engines.job import Job
from numpy_erniem.engines.local import run_job
from numpy_erniem.engines.output_paths import check_output
from numpy_erniem.engines.records import Record
from numpy_erniem.engines.writers import StreamWriter, Writer
from numpy_erniem.pipelines.base import Pipeline
from numpy_erniem.pipelines.streaming import Prepared


class Codes(Pipeline[np.ndarray]):
    """A vector of two numbers for each text, and an error for "bad"."""

    def prepare(self, items):
        for text in items:
            if text == "bad":
                raise ValueError("this text is bad")
        return [Prepared([[1]], len(text), int(len(text) > 9)) for text in items]

    def run(self, items, prepared, done):
        return [np.array([len(text), len(text) / 3], np.float32) for text in items]


PIPELINE = Codes(
    SimpleNamespace(config=SimpleNamespace(max_length=9)), SimpleNamespace(truncation_side="right")
)
ENDS = [".jsonl", ".csv", ".npy", ".parquet"]


def item(value):
    if value == "none":
        raise ValueError("has no text")
    return value


def job(on_error="stop", **options):
    return Job(
        PIPELINE,
        item,
        lambda value: {"text": value},
        lambda vector: {"vector": vector},
        ("text", "vector"),
        on_error,
        options,
        2,
    )


def records(texts):
    return (Record(f"a.txt line {n}", text) for n, text in enumerate(texts, 1))


TEXTS = [f"text {n % 97}" * (n % 3) for n in range(3000)]


@pytest.fixture(params=ENDS)
def out(request, tmp_path):
    if request.param == ".parquet":
        pytest.importorskip("pyarrow")
    return tmp_path / f"out{request.param}"


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_every_format_holds_every_row_in_order(out):
    counts = run_job(job(), records(TEXTS), out)
    assert (counts.rows, counts.errors, counts.empty) == (3000, 0, 1000)
    want = np.array([[len(t), len(t) / 3] for t in TEXTS], np.float32)
    if out.suffix == ".npy":
        got = np.load(out)
    elif out.suffix == ".jsonl":
        got = np.array([row["vector"] for row in lines(out)], np.float32)
        assert [row["text"] for row in lines(out)] == TEXTS
    elif out.suffix == ".csv":
        import csv

        with out.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["text"] for row in rows] == TEXTS
        got = np.array([json.loads(row["vector"]) for row in rows], np.float32)
    else:
        from pyarrow import parquet

        table = parquet.read_table(out)
        assert table["text"].to_pylist() == TEXTS
        assert str(table.schema.field("vector").type) == "list<element: float>"
        got = np.array(table["vector"].to_pylist(), np.float32)
    np.testing.assert_array_equal(got, want)
    assert [p.name for p in out.parent.iterdir()] == [out.name]


class Stop(BaseException):
    """What no code expects."""


@pytest.mark.parametrize("rows", [1, 700, 2999])
def test_a_run_that_goes_on_writes_the_same_bytes(rows, out, monkeypatch, tmp_path):
    whole = tmp_path / "whole" / out.name
    whole.parent.mkdir()
    run_job(job(), records(TEXTS), whole)
    monkeypatch.setattr(local, "SAVE_EVERY", 0.0)

    def interrupted(counts):
        if counts.rows == rows:
            raise Stop

    with pytest.raises(Stop):
        run_job(job(), records(TEXTS), out, report=interrupted)
    with pytest.raises(ValueError, match=r"interrupted after \d+ rows; resume it, or delete"):
        run_job(job(), records(TEXTS), out)
    counts = run_job(job(), records(TEXTS), out, resume=True)
    assert counts.rows == 3000
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(p.name for p in out.parent.iterdir()) == sorted([out.name, "whole"])


def test_rows_behind_the_last_note_are_written_again(out, monkeypatch, tmp_path):
    run_job(job(), records(TEXTS), tmp_path / f"whole{out.suffix}")
    seen = []

    def stop(counts):
        seen.append(counts.rows)
        if counts.rows == 500:
            monkeypatch.setattr(local, "SAVE_EVERY", 0.0)
        if counts.rows == 501:
            monkeypatch.setattr(local, "SAVE_EVERY", 1e9)
        if counts.rows == 900:
            raise Stop

    with pytest.raises(Stop):
        run_job(job(), records(TEXTS), out, report=stop)
    begun = []
    run_job(job(), records(TEXTS), out, resume=True, report=lambda c: begun.append(c.rows))
    assert begun[0] in (501, 502)
    assert out.read_bytes() == (tmp_path / f"whole{out.suffix}").read_bytes()


PROGRAM = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from engines.test_local import TEXTS, job, records
from numpy_erniem.engines import local
local.SAVE_EVERY = 0.0
def slow(counts):
    print(counts.rows, flush=True)
    time.sleep(0.001)
local.run_job(job(), records(TEXTS), Path(sys.argv[1]), resume="--resume" in sys.argv, report=slow)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals are POSIX's")
def test_a_run_that_is_killed_three_times_writes_the_same_bytes(out, tmp_path, request):
    run_job(job(), records(TEXTS), tmp_path / f"whole{out.suffix}")
    program = PROGRAM.format(tests=str(request.config.rootpath / "tests"))
    resume = []
    for row in (20, 300, 1200):
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(out), *resume], stdout=subprocess.PIPE, text=True
        )
        while int(process.stdout.readline()) < row:
            pass
        process.kill()
        process.wait()
        process.stdout.close()
        resume = ["--resume"]
    run_job(job(), records(TEXTS), out, resume=True)
    assert out.read_bytes() == (tmp_path / f"whole{out.suffix}").read_bytes()


def interrupt(out, texts=TEXTS, **options):
    def stop(counts):
        if counts.rows == 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(job(**options), records(texts), out, report=stop)


@pytest.fixture
def saved_often(monkeypatch):
    monkeypatch.setattr(local, "SAVE_EVERY", 0.0)


def test_another_input_is_known_from_the_first_row_on(tmp_path):
    out = tmp_path / "out.jsonl"
    interrupt(out)
    before = out.read_bytes()
    with pytest.raises(DataError, match="the first 1 rows of the input are not those"):
        run_job(job(), records(["other"]), out, resume=True)
    assert out.read_bytes() == before


@pytest.mark.usefixtures("saved_often")
def test_other_options_and_other_input_are_named(tmp_path):
    out = tmp_path / "out.jsonl"
    interrupt(out, pooling="mean")
    with pytest.raises(ValueError, match="had pooling 'mean', now it is 'cls'"):
        run_job(job(pooling="cls"), records(TEXTS), out, resume=True)
    other = ["other", *TEXTS[1:]]
    with pytest.raises(DataError, match=r"the first \d+ rows of the input are not those"):
        run_job(job(pooling="mean"), records(other), out, resume=True)
    with pytest.raises(DataError, match=r"the input has 3 rows, fewer than the \d+"):
        run_job(job(pooling="mean"), records(TEXTS[:3]), out, resume=True)
    assert run_job(job(pooling="mean"), records(TEXTS), out, resume=True).rows == 3000


def test_a_complete_output_is_not_resumed_but_written_anew(tmp_path):
    out = tmp_path / "out.jsonl"
    run_job(job(), records(["a", "b"]), out)
    with pytest.raises(ValueError, match="is not of an interrupted run"):
        run_job(job(), records(["a", "b"]), out, resume=True)
    run_job(job(), records(["c"]), out)
    assert [row["text"] for row in lines(out)] == ["c"]


def test_resuming_what_never_began_begins(tmp_path):
    out = tmp_path / "out.jsonl"
    run_job(job(), records(["a"]), out, resume=True)
    assert [row["text"] for row in lines(out)] == ["a"]


WRONG = ["a", "none", "b", "bad", "c"]


def unreadable():
    yield from records(WRONG)
    yield Record("a.txt line 6", "", "is not UTF-8")
    yield Record("a.txt line 7", "d")


def test_a_wrong_row_stops_and_the_rows_before_are_kept(tmp_path):
    out = tmp_path / "out.jsonl"
    with pytest.raises(DataError, match=r"^a\.txt line 2 has no text$"):
        run_job(job(), records(WRONG), out)
    assert [row["text"] for row in lines(out)] == ["a"]
    with pytest.raises(DataError, match=r"^a\.txt line 3: this text is bad$"):
        run_job(job(), records(["a", "b", "bad"]), tmp_path / "b.jsonl")
    mended = ["a", "mended", "b"]
    run_job(job(), records(mended), out, resume=True)
    assert [row["text"] for row in lines(out)] == mended


def test_wrong_rows_are_left_out(tmp_path):
    out = tmp_path / "out.jsonl"
    counts = run_job(job("skip"), unreadable(), out)
    assert [row["text"] for row in lines(out)] == ["a", "b", "c", "d"]
    assert (counts.rows, counts.errors) == (7, 3)


def test_wrong_rows_tell_their_error(tmp_path):
    out = tmp_path / "out.jsonl"
    run_job(job("row"), unreadable(), out)
    rows = lines(out)
    assert [row.get("text") for row in rows] == [*WRONG, None, "d"]
    assert [row.get("error") for row in rows] == [
        None,
        "a.txt line 2 has no text",
        None,
        "a.txt line 4: this text is bad",
        None,
        "a.txt line 6 is not UTF-8",
        None,
    ]


def test_wrong_rows_are_rows_of_nan_in_an_array(tmp_path):
    out = tmp_path / "out.npy"
    run_job(job("row"), records(WRONG), out)
    assert np.isnan(np.load(out)).all(axis=1).tolist() == [False, True, False, True, False]


def test_an_array_can_be_read_while_it_grows(tmp_path, saved_often):
    out = tmp_path / "out.npy"
    interrupt(out)
    assert len(np.load(out)) >= 99


def test_nothing_is_left_of_a_run_that_wrote_no_row(out):
    with pytest.raises(DataError):
        run_job(job(), records(["none"]), out)
    assert list(out.parent.iterdir()) == []


@pytest.mark.usefixtures("saved_often")
def test_a_full_disk_keeps_the_rows_and_the_run_goes_on(tmp_path, monkeypatch):
    out = tmp_path / "out.jsonl"
    real, written = Writer.write, []

    def full(self, row):
        written.append(row)
        if len(written) == 50:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, row)

    monkeypatch.setattr(Writer, "write", full)
    with pytest.raises(DataError, match="No space left on device; what was written is kept"):
        run_job(job(), records(TEXTS), out)
    monkeypatch.setattr(Writer, "write", real)
    run_job(job(), records(TEXTS), out, resume=True)
    assert [row["text"] for row in lines(out)] == TEXTS


def test_an_output_that_is_an_input_is_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('"a"\n')
    link = tmp_path / "b.jsonl"
    link.symlink_to(path)
    for output in (path, link):
        with pytest.raises(ValueError, match="is an input, too; write to another file"):
            check_output(str(output), [str(path)], ("text",))
    assert path.read_text() == '"a"\n'


def test_an_output_in_a_folder_that_is_an_input_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text('"a"\n')
    inputs = [str(tmp_path / "in" / "a.jsonl"), str(tmp_path / "in")]
    with pytest.raises(ValueError, match=r"lies in the folder .*in, which is an input: a later"):
        check_output(str(tmp_path / "in" / "out.jsonl"), inputs, ("text",))
    check_output(str(tmp_path / "in" / "out.jsonl"), inputs[:1], ("text",))  # the file alone
    check_output(str(tmp_path / "out.jsonl"), inputs, ("text",))


def test_a_table_holds_carriage_returns_in_quotes(tmp_path):
    texts = ["a\rb", "a\r\nb", "\r", "a\nb", "plain"]
    out = tmp_path / "a.csv"
    run_job(job(), records(texts), out)
    with out.open(newline="", encoding="utf-8") as file:
        assert [row["text"] for row in csv.DictReader(file)] == texts


def test_an_array_of_what_is_no_vector_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"an array holds vectors, .* use .jsonl"):
        check_output(str(tmp_path / "a.npy"), [], ("text", "label"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no such pipes")
def test_an_output_that_is_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "a.jsonl")
    with pytest.raises(OSError, match="cannot be written: it is a device or a pipe, not a file"):
        check_output(str(tmp_path / "a.jsonl"), [], ("text",))


def test_an_output_whose_run_cannot_be_noted_is_refused_and_keeps_what_it_holds(tmp_path):
    for name in ("a" * 245 + ".jsonl", "b.jsonl"):
        path = tmp_path / name
        path.write_text("earlier")
        (tmp_path / ".b.jsonl.resume.try").mkdir(exist_ok=True)
        with pytest.raises(OSError, match="its folder takes no other file, such as"):
            check_output(str(path), [], ("text",))
        assert path.read_text() == "earlier"


@pytest.mark.parametrize("there", [True, False])
def test_an_output_that_is_a_link_is_written_where_it_leads(there, out, tmp_path):
    target = tmp_path / "elsewhere" / "target"
    target.parent.mkdir()
    if there:
        target.write_text("earlier")
    out.symlink_to(target)
    assert check_output(str(out), [], ("text", "vector")) == out
    assert target.exists() is there
    run_job(job(), records(TEXTS[:9]), out)
    plain = tmp_path / f"plain{out.suffix}"
    run_job(job(), records(TEXTS[:9]), plain)
    assert out.is_symlink()
    assert target.read_bytes() == plain.read_bytes()
    assert sorted(p.name for p in target.parent.iterdir()) == ["target"]


def test_checking_an_output_leaves_nothing_and_changes_nothing(tmp_path):
    check_output(str(tmp_path / "a.jsonl"), [], ("text",))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a.jsonl").write_text("kept")
    check_output(str(tmp_path / "a.jsonl"), [], ("text",))
    assert (tmp_path / "a.jsonl").read_text() == "kept"


def test_rows_come_as_soon_as_they_are_there(capsys):
    seen = []

    def slow():
        for record in records(TEXTS[:100]):
            seen.append(capsys.readouterr().out)
            yield record

    run_job(job(), slow())
    assert seen[:16] == [""] * 16
    assert seen[16].count("\n") == 16


def test_memory_does_not_grow_with_the_rows():
    import tracemalloc

    def many(count):
        tracemalloc.start()
        run_job(job(), records("some text" for _ in range(count)), None)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    import contextlib
    import io

    class Nowhere(io.StringIO):
        encoding = "utf-8"

        def write(self, text):
            return len(text)

    with contextlib.redirect_stdout(Nowhere()):
        many(100)
        assert many(30_000) < many(3_000) + 500_000


def test_time_is_not_needed_for_a_note(monkeypatch, tmp_path):
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    assert run_job(job(), records(TEXTS), tmp_path / "a.jsonl").rows == 3000


def test_an_earlier_file_is_kept_where_the_first_row_is_wrong(tmp_path):
    out = tmp_path / "out.jsonl"
    out.write_text("earlier\n")
    with pytest.raises(DataError, match="line 1 has no text"):
        run_job(job(), records(["none", "a"]), out)
    assert [p.name for p in tmp_path.iterdir()] == ["out.jsonl"]
    assert out.read_text() == "earlier\n"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"options": 5, "counts": {}, "bytes": 0, "digest": ""}',
        '{"options": {}, "counts": {"rows": -1}, "bytes": 0, "digest": ""}',
    ],
    ids=str.__len__,
)
@pytest.mark.parametrize("resume", [True, False])
def test_a_damaged_note_of_a_run_is_refused(content, resume, tmp_path):
    (tmp_path / ".out.jsonl.resume").write_text(content)
    with pytest.raises(ValueError, match=r"\.out\.jsonl\.resume is damaged.*delete it"):
        run_job(job(), records(["a"]), tmp_path / "out.jsonl", resume=resume)


@pytest.mark.usefixtures("saved_often")
def test_the_rows_of_an_interrupted_run_that_were_removed_are_missed(out):
    interrupt(out)
    for path in out.parent.iterdir():
        if not path.name.endswith(".resume"):
            path.unlink()
    with pytest.raises(ValueError, match=r"is not there any more; delete .*\.resume and run anew"):
        run_job(job(), records(TEXTS), out, resume=True)


def test_the_rows_of_an_interrupted_run_that_were_cut_are_missed(out):
    interrupt(out)
    for path in out.parent.iterdir():
        if not path.name.endswith(".resume"):
            os.truncate(path, 5)
    with pytest.raises(ValueError, match=r"is shorter than .* had left it; delete .*\.resume and"):
        run_job(job(), records(TEXTS), out, resume=True)
    gc.collect()  # a file that is left open is told here


def test_full_standard_output_is_named(monkeypatch):
    def full(self, row):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(StreamWriter, "write", full)
    with pytest.raises(DataError, match=r"^standard output: No space left on device$"):
        run_job(job(), records(["a"]))


def test_values_without_a_common_type_are_texts_in_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    kept = [{"n": 1, "x": 1, "m": 2**70}, {"n": "é", "x": 0.5, "m": None}, {"n": ["é"], "x": 2}]
    out = tmp_path / "out.parquet"
    of_rows = Job(PIPELINE, lambda value: "a", dict, lambda v: {}, ("n", "x", "m"), "stop", {}, 0)
    with pytest.warns(UserWarning, match="values of n, m have no common type"):
        run_job(of_rows, records(kept), out)
    got = parquet.read_table(out).to_pydict()
    assert got == {"n": ["1", "é", '["é"]'], "x": [1.0, 0.5, 2.0], "m": [str(2**70), None, None]}


def test_objects_without_a_key_are_texts_in_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    kept = [{"n": {}, "m": [{"k": {}}]}, {"n": None, "m": []}]
    out = tmp_path / "out.parquet"
    of_rows = Job(PIPELINE, lambda value: "a", dict, lambda v: {}, ("n", "m"), "stop", {}, 0)
    with pytest.warns(UserWarning, match="values of n, m have no common type"):
        run_job(of_rows, records(kept), out)
    assert parquet.read_table(out).to_pylist() == [
        {"n": "{}", "m": '[{"k": {}}]'},
        {"n": None, "m": "[]"},
    ]


def test_values_that_only_parquet_holds_are_texts(out):
    values = {
        "day": (date(2026, 1, 2), "2026-01-02"),
        "moment": (datetime(2026, 1, 2, 3, 4, tzinfo=timezone.utc), "2026-01-02T03:04:00+00:00"),
        "hour": (time_of_day(3, 4), "03:04:00"),
        "price": (Decimal("1.50"), "1.50"),
        "length": (timedelta(hours=1), "1:00:00"),
        "bytes": (b"\xff\x00", "/wA="),
    }
    kept = {name: value for name, (value, _) in values.items()}
    names = tuple(values)
    of_rows = Job(PIPELINE, lambda v: "a", dict, lambda v: {"vector": v}, names, "stop", {}, 2)
    run_job(of_rows, records([kept]), out)
    if out.suffix == ".parquet":
        got = pytest.importorskip("pyarrow.parquet").read_table(out).to_pylist()[0]
    elif out.suffix == ".jsonl":
        got = lines(out)[0]
    elif out.suffix == ".csv":
        got = next(csv.DictReader(out.read_text("utf-8").splitlines()))
    else:
        pytest.skip("an array has no such values")
    assert {name: got[name] for name in names} == {name: text for name, (_, text) in values.items()}


def test_types_are_common_to_all_rows_of_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "out.parquet"
    of_rows = Job(PIPELINE, lambda value: "a", dict, lambda v: {}, ("n",), "stop", {}, 0)
    with pytest.warns(UserWarning, match="values of n have no common type"):
        run_job(of_rows, records([{"n": n} for n in [*range(5000), "a"]]), out)
    assert parquet.read_table(out)["n"].to_pylist() == [*map(str, range(5000)), "a"]


def test_half_of_a_surrogate_pair_is_an_escape_in_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    run_job(job(), records(["a\ud800", "\\ud83d", "😀"]), tmp_path / "out.parquet")
    got = parquet.read_table(tmp_path / "out.parquet")["text"].to_pylist()
    assert got == ["a\\ud800", "\\ud83d", "😀"]


def test_parquet_text_that_is_not_utf_8_is_a_damaged_file(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    from numpy_erniem.engines.errors import DataError
    from numpy_erniem.engines.parquet import read_parquet

    wrong = arrow.array([b"good", b"\xff\xfe"]).cast(arrow.binary()).view(arrow.string())
    path = tmp_path / "wrong.parquet"
    parquet.write_table(arrow.table({"text": wrong}), path)
    with pytest.raises(DataError, match=r"wrong\.parquet is not valid Parquet"):
        list(read_parquet(str(path), ["text"]))
