"""Blocks read and written in this process, as workers of Ray do; without Ray."""

import errno
import json
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from numpy_erniem import Embedder, get_num_threads, set_num_threads
from numpy_erniem.checks import warn
from numpy_erniem.cli import blocks as command_line
from numpy_erniem.cli.main import main
from numpy_erniem.engines import blocks
from numpy_erniem.engines import ray as engine
from numpy_erniem.engines.blocks import Block, End, FileTask, ReadBlocks, Reading, WriteBlocks
from numpy_erniem.engines.errors import DataError
from numpy_erniem.engines.records import Record
from numpy_erniem.engines.run_folder import RunFolder
from tests.engines.block_runs import job_of, joined, run


class WriteHere(WriteBlocks):
    """What a worker does, with a job that was not pickled."""

    def __init__(self, job, run, threads, software):
        self.job, self.run = job, run


@pytest.fixture
def here(monkeypatch):
    """Run blocks in this process; the list has the threads of each run's workers."""
    started = []

    @contextmanager
    def cluster(address=None):
        nodes = [{"Alive": True, "Resources": {"CPU": 6.0}}, {"Alive": False, "Resources": {}}]
        yield SimpleNamespace(
            nodes=lambda: nodes,
            cloudpickle=SimpleNamespace(dumps=lambda job: job),
            exceptions=SimpleNamespace(RayError=ZeroDivisionError),
        )

    def messages(ray, files, reading, writing, workers, quiet):
        started.append((workers, writing[2]))
        writer = WriteHere(*writing)
        for file in files:
            task = FileTask(file.path, file.kind, file.name, frozenset(file.done))
            for message in ReadBlocks(reading).read(task):
                yield writer.write(message) if isinstance(message, Block) else message

    monkeypatch.setattr(engine, "cluster", cluster)
    monkeypatch.setattr(engine, "_messages", messages)
    monkeypatch.setattr(command_line, "require_ray", lambda: None)
    return started


def test_a_second_run_does_nothing_and_needs_no_ray(here, texts, tmp_path, monkeypatch):
    job, out = job_of(), tmp_path / "out"
    run(job, texts, out)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    monkeypatch.setattr(engine, "cluster", None)
    monkeypatch.setattr(engine, "require_ray", None)
    assert run(job, texts, out).written == 0
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_only_missing_blocks_are_written(here, texts, tmp_path):
    job, out = job_of(), tmp_path / "out"
    run(job, texts, out)
    whole = joined(out, "5.jsonl")
    (out / "5.jsonl.000001.jsonl").unlink()
    blocks = []
    run(job, texts, out, report=lambda done: blocks.append((done.name, done.number)))
    assert blocks == [("5.jsonl", 1)]
    assert joined(out, "5.jsonl") == whole


def test_a_wrong_row_leaves_its_block_out_and_is_told(here, texts, tmp_path):
    path = texts / "2.jsonl"
    lines = path.read_text("utf-8").splitlines()
    path.write_text("\n".join([*lines[:4], "no JSON", *lines[4:]]), encoding="utf-8")
    out = tmp_path / "out"
    report = run(job_of(), texts, out)
    (error,) = report.errors
    assert "2.jsonl line 5 is not JSON" in error
    assert sorted(p.name[8:14] for p in out.glob("2.*")) == ["000000", "000002", "000003"]
    path.write_text("\n".join(lines), encoding="utf-8")  # mended
    report = run(job_of(), texts, out)
    assert (report.errors, report.written) == ([], 3)


def test_a_wrong_row_is_left_out_or_written_with_its_error(here, texts, tmp_path):
    with (texts / "0.jsonl").open("a") as file:
        file.write("no JSON\n")
    for on_error, count in (("skip", 7), ("row", 8)):
        out = tmp_path / on_error
        report = run(job_of(on_error), texts, out)
        assert (report.errors, report.counts.errors) == ([], 1)
        rows = [json.loads(line) for line in joined(out, "0.jsonl").splitlines()]
        assert len(rows) == count
        assert ("error" in rows[-1]) == (on_error == "row")


def test_a_file_that_failed_once_is_not_read_by_every_later_run(here, texts, tmp_path, monkeypatch):
    out, read = tmp_path / "out", ReadBlocks.read

    def fails(reader, task):
        yield from read(reader, task) if task.name != "0.jsonl" else [End("0.jsonl", 0, "I/O")]

    with monkeypatch.context() as patch:
        patch.setattr(ReadBlocks, "read", fails)
        assert run(job_of(), texts, out).errors == ["I/O"]
    assert run(job_of(), texts, out).written == 3  # the blocks of that file
    here.clear()
    assert run(job_of(), texts, out).written == 0
    assert here == []  # nothing was started


def command(texts, out, *more):
    return ["embed", "--engine", "ray", "--input", str(texts), "--output", str(out), *more]


@pytest.mark.parametrize("kind", ["csv", "npy", "parquet"])
def test_the_command_writes_blocks_in_every_format(kind, here, texts, tmp_path, capsys):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    out = tmp_path / "out"
    keep = [] if kind == "npy" else ["--keep", "id"]
    more = ["--output-format", kind, "--block-rows", "4", "--workers", "1", *keep]
    assert main(command(texts, out, *more)) == 0
    assert "blocks written" in capsys.readouterr().err
    assert [p.name for p in sorted(out.glob("0.*"))] == [
        f"0.jsonl.000000.{kind}",
        f"0.jsonl.000001.{kind}",
    ]
    one = tmp_path / f"one.{kind}"
    alone = ["embed", "--input", str(texts / "0.jsonl"), *keep, "--output", str(one)]
    assert main(alone) == 0
    blocks = sorted(out.glob("0.*"))
    if kind == "npy":
        whole = np.concatenate([np.load(path) for path in blocks])
        np.testing.assert_array_equal(whole, np.load(one))
    elif kind == "csv":
        lines = [path.read_text("utf-8").splitlines() for path in blocks]
        assert [*lines[0], *lines[1][1:]] == one.read_text("utf-8").splitlines()
    else:
        from pyarrow import concat_tables, parquet

        assert concat_tables(map(parquet.read_table, blocks)).equals(parquet.read_table(one))


def test_the_command_ends_with_1_and_names_a_damaged_file(here, texts, tmp_path, capsys):
    (texts / "9.csv").write_text('text,id\n"open', encoding="utf-8")
    assert main(command(texts, tmp_path / "out", "--quiet")) == 1
    told = capsys.readouterr().err
    assert "9.csv line 2: unexpected end of data" in told
    assert "blocks written" not in told  # --quiet


def test_the_command_refuses_the_folder_of_another_run(here, texts, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(command(texts, out)) == 0
    assert main(command(texts, out, "--normalize")) == 2
    assert "had normalize None, now it is True" in capsys.readouterr().err


def test_more_workers_than_cores_are_refused(here, texts, tmp_path, capsys):
    assert main(command(texts, tmp_path / "out", "--workers", "7")) == 2
    assert "workers 7 is not from 1 to 6" in capsys.readouterr().err


def test_workers_and_threads_are_those_of_the_machines(here, texts, tmp_path):
    main(command(texts, tmp_path / "a"))
    main(command(texts, tmp_path / "b", "--workers", "6"))
    assert here == [(2, 3), (6, 1)]


def test_an_encoding_is_that_of_the_files(here, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_bytes("Öffnen".encode("latin-1"))
    assert main(command(tmp_path / "in", tmp_path / "out", "--encoding", "latin-1")) == 0
    (row,) = (tmp_path / "out" / "a.txt.000000.jsonl").read_text("utf-8").splitlines()
    assert json.loads(row)["text"] == "Öffnen"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--resume"], "goes on by itself where a run ended"),
        (["--workers", "0"], "--workers 0 is not at least 1"),
        (["--block-rows", "0"], "--block-rows 0 is not at least 1"),
        (["--input", "-"], "standard input is not read in blocks"),
    ],
)
def test_options_that_contradict_the_engine_are_refused(more, told, here, texts, tmp_path, capsys):
    assert main(command(texts, tmp_path / "out", *more)) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["embed", "a text", "--output", "out"], "is for --input PATH"),
        (["embed", "--input", "IN"], "needs --output FOLDER"),
        (
            ["classify", "--input", "IN", "--output", "out", "--output-format", "npy"],
            "an array holds vectors, and these results have none",
        ),
        (
            ["embed", "--input", "IN", "--output", "o", "--output-format", "npy", "--keep", "id"],
            "--keep: an array holds vectors alone",
        ),
        (["rerank", "--query", "q", "--input", "IN"], "all texts are ordered together"),
    ],
)
def test_what_the_engine_cannot_do_is_told(arguments, told, here, texts, capsys, monkeypatch):
    monkeypatch.chdir(texts.parent)
    arguments = [str(texts) if word == "IN" else word for word in arguments]
    assert main([*arguments, "--engine", "ray"]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    "option", ["--address auto", "--workers 1", "--block-rows 1", "--output-format csv"]
)
def test_options_of_ray_are_refused_elsewhere(option, texts, capsys):
    assert main(["embed", "--input", str(texts), *option.split()]) == 2
    assert f"{option.split()[0]} is for --engine ray" in capsys.readouterr().err


def test_ray_that_is_not_installed_is_told(texts, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(command(texts, tmp_path / "out")) == 2
    assert "pip install 'numpy-erniem[ray]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_address_where_nothing_answers_is_told_at_once(texts, tmp_path, capsys):
    pytest.importorskip("ray")
    assert main(command(texts, tmp_path / "out", "--address", "127.0.0.1:1")) == 2
    assert "no Ray cluster answers at 127.0.0.1:1" in capsys.readouterr().err


def test_a_port_that_int_does_not_take_is_left_to_ray(monkeypatch):
    def refuse(address, **options):
        raise ValueError(f"cannot parse {address}")

    ray = SimpleNamespace(is_initialized=lambda: False, init=refuse, shutdown=lambda: None)
    monkeypatch.setattr(engine, "require_ray", lambda: ray)
    with pytest.raises(ConnectionError, match="cannot parse host:²"), engine.cluster("host:²"):
        pass


def test_a_dataset_is_not_made_with_a_wrong_option(monkeypatch):
    ray = SimpleNamespace(is_initialized=lambda: True)
    monkeypatch.setattr(engine, "require_ray", lambda: ray)
    with pytest.raises(ValueError, match="names no column"):
        engine.map_pipeline(None, Embedder.from_pretrained(), ())
    with pytest.raises(ValueError, match="on_error 'no' is not one of"):
        engine.map_pipeline(None, Embedder.from_pretrained(), on_error="no")


def test_a_full_disk_ends_the_run_with_one_line(here, texts, tmp_path, monkeypatch):
    def full(job, records, path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(blocks, "write_file", full)
    with pytest.raises(DataError, match=r"cannot be written: No space .* make room: what was"):
        run(job_of(), texts, tmp_path / "out")


def test_an_error_of_ray_is_one_line(here, texts, tmp_path, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("many lines\nthe actor died")
        yield

    monkeypatch.setattr(engine, "_messages", broken)
    with pytest.raises(DataError, match=r"^Ray ended the run: the actor died; what was written"):
        run(job_of(), texts, tmp_path / "out")


def test_warnings_of_a_worker_reach_the_user(here, texts, tmp_path, monkeypatch):
    real = blocks.write_file

    def warned(job, records, path):
        warn("columns are mixed")
        return real(job, records, path)

    monkeypatch.setattr(blocks, "write_file", warned)
    with pytest.warns(UserWarning, match="columns are mixed"):
        run(job_of(), texts, tmp_path / "out")


def test_a_worker_takes_the_threads_it_is_given_and_refuses_other_software(tmp_path):
    before = get_num_threads()
    try:
        with pytest.raises(ValueError, match=r"had numpy-erniem '0\.0', now .*install the same"):
            WriteBlocks(b"", None, 1, {**blocks.software_here(), "numpy-erniem": "0.0"})
        assert get_num_threads() == 1
    finally:
        set_num_threads(before)


def test_a_file_that_cannot_be_read_has_an_error(tmp_path):
    task = FileTask(str(tmp_path / "gone.txt"), "text", "gone.txt", frozenset())
    (end,) = ReadBlocks(Reading()).read(task)
    assert end == End("gone.txt", 0, f"{task.path} cannot be read: No such file or directory")


def test_messages_keep_every_value_on_their_way():
    pytest.importorskip("pyarrow")
    block = Block("a", 3, [Record("a row 1", {"bytes": b"\0\0", "half": "\ud83d", "n": None})])
    assert list(blocks.from_table(blocks.to_table(block))) == [block]


def test_a_block_that_fails_leaves_nothing_behind(tmp_path):
    worker = WriteHere(job_of(), RunFolder(tmp_path, {}, ".jsonl"), 1, {})
    done = worker.write(Block("a", 0, [Record("a line 1", "", "is not JSON")]))
    assert done.error == "a line 1 is not JSON"
    assert not list(tmp_path.iterdir())
