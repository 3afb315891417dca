"""Blocks of rows, and the folder that holds their files and the log of a run."""

import json
import os
from types import SimpleNamespace

import pytest

from numpy_erniem.engines import run_folder
from numpy_erniem.engines.cores import cores_to_ask_for, share_cores
from numpy_erniem.engines.input_paths import find_files
from numpy_erniem.engines.records import Record
from numpy_erniem.engines.run_folder import LOG, RunFolder, blocks_of

OPTIONS = {"model": "m", "field": None}


def records(texts):
    return (Record(f"line {n}", text) for n, text in enumerate(texts))


@pytest.fixture
def files(tmp_path):
    """Two input files."""
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("text\n", encoding="utf-8")
    return find_files([str(tmp_path / "a.txt"), str(tmp_path / "b.txt")], None)


def folder_of(tmp_path, **options):
    return RunFolder(tmp_path / "out", {**OPTIONS, **options}, ".jsonl")


def finish(run, files):
    """Write the one block of every file."""
    for file in run.begin(files):
        run.block(file.name, 0).write_text("{}\n", encoding="utf-8")
        run.note(file, blocks=1)


def test_blocks_have_a_fixed_number_of_rows_and_keep_their_order():
    blocks = list(blocks_of(records("abcdefg"), 3))
    assert [[r.value for r in block] for block in blocks] == [list("abc"), list("def"), ["g"]]


def test_a_block_ends_earlier_where_its_texts_are_long(monkeypatch):
    monkeypatch.setattr(run_folder, "BLOCK_CHARACTERS", 10)
    values = ["a" * 11, "b", {"text": "c" * 6, "list": ["d" * 6]}, "e"]
    assert [len(block) for block in blocks_of(records(values), 3)] == [1, 2, 1]


def test_what_is_written_is_known_to_the_next_run(tmp_path, files):
    finish(folder_of(tmp_path), files)
    again = folder_of(tmp_path).begin(files)
    assert [file.is_written for file in again] == [True, True]


def test_a_block_that_was_deleted_is_missing(tmp_path, files):
    run = folder_of(tmp_path)
    finish(run, files)
    run.block("b.txt", 0).unlink()
    assert [file.is_written for file in folder_of(tmp_path).begin(files)] == [True, False]


def test_blocks_of_a_run_that_was_killed_are_kept(tmp_path, files):
    run = folder_of(tmp_path)
    run.begin(files)
    run.block("a.txt", 1).write_text("{}\n", encoding="utf-8")
    again = folder_of(tmp_path).begin(files)
    assert [(file.done, file.is_written) for file in again] == [({1}, False), (set(), False)]


def test_a_folder_of_other_files_is_refused(tmp_path, files):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").touch()
    with pytest.raises(ValueError, match=r"has files, and no \.erniem-run\.jsonl .* new folder"):
        folder_of(tmp_path).begin(files)


def test_a_folder_of_another_run_is_refused_by_the_option_that_differs(tmp_path, files):
    finish(folder_of(tmp_path), files)
    with pytest.raises(ValueError, match=r"had model 'm', now it is 'other'; give the same, or"):
        folder_of(tmp_path, model="other").begin(files)


def test_a_run_that_wrote_nothing_binds_nobody(tmp_path, files):
    folder_of(tmp_path, model="wrong name").begin(files)
    finish(folder_of(tmp_path), files)
    assert folder_of(tmp_path).begin(files)[0].is_written


def test_an_input_that_changed_is_refused(tmp_path, files):
    finish(folder_of(tmp_path), files)
    (tmp_path / "a.txt").write_text("another text\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"a\.txt has changed since its rows in .* were written"):
        folder_of(tmp_path).begin(files)


def test_an_input_that_was_mended_is_read_anew(tmp_path, files):
    run = folder_of(tmp_path)
    finish(run, files)
    run.note(run.begin(files)[0], error="a.txt is damaged")
    (tmp_path / "a.txt").write_text("mended\n", encoding="utf-8")
    first, second = folder_of(tmp_path).begin(files)
    assert (first.done, second.is_written) == (set(), True)
    assert not run.block("a.txt", 0).exists()


def test_a_file_that_failed_once_is_complete_after_a_run_without_error(tmp_path, files):
    run = folder_of(tmp_path)
    first = run.begin(files)[0]
    run.note(first, error="a.txt cannot be read: input/output error")
    again = folder_of(tmp_path)
    first = again.begin(files)[0]  # the same size and time: it can be read now
    assert "error" not in first.noted
    again.block("a.txt", 0).write_text("{}\n", encoding="utf-8")
    again.note(first, blocks=1)
    assert folder_of(tmp_path).begin(files)[0].is_written
    (tmp_path / "a.txt").write_text("changed\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"a\.txt has changed since its rows"):
        folder_of(tmp_path).begin(files)
    assert again.block("a.txt", 0).exists()


def test_a_line_of_the_log_that_is_not_complete_is_cut_off(tmp_path, files):
    run = folder_of(tmp_path)
    finish(run, files)
    whole = run.log.read_bytes()
    run.log.write_bytes(whole[:-5])
    first, second = folder_of(tmp_path).begin(files)
    assert (first.is_written, second.is_written) == (True, False)
    assert all(json.loads(line) for line in run.log.read_text("utf-8").splitlines())


@pytest.mark.parametrize(
    "line",
    [
        "no JSON",
        "[]",
        '{"blocks": 1}',
        '{"file": "a", "blocks": "many"}',
        '{"file": "a", "error": 3}',
        '{"file": [], "blocks": 1}',
        "[" * 100_000,
    ],
)
def test_a_damaged_log_is_told(line, tmp_path, files):
    run = folder_of(tmp_path)
    finish(run, files)
    with run.log.open("a", encoding="utf-8") as log:
        log.write(line + "\n")
    with pytest.raises(ValueError, match=rf"{LOG} is damaged; give a new folder"):
        folder_of(tmp_path).begin(files)


def test_two_files_of_one_name_are_refused(tmp_path, files):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.txt").touch()
    with pytest.raises(ValueError, match=r"a\.txt and .*more.a\.txt have the same name"):
        folder_of(tmp_path).begin([*files, (str(tmp_path / "more" / "a.txt"), "text")])


def test_standard_input_is_refused(tmp_path):
    with pytest.raises(ValueError, match="standard input is not read in blocks"):
        folder_of(tmp_path).begin([("-", "lines")])


def test_a_file_in_place_of_the_folder_is_refused(tmp_path, files):
    (tmp_path / "out").touch()
    with pytest.raises(NotADirectoryError, match="the output of blocks is a folder"):
        folder_of(tmp_path).begin(files)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_folder_that_cannot_be_written_is_told(tmp_path, files):
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(OSError, match="out"):
        folder_of(tmp_path).begin(files)


@pytest.mark.parametrize(
    ("cores", "workers", "want"),
    [
        ([2], None, (1, 2)),
        ([2], 2, (2, 1)),
        ([2], 1, (1, 2)),
        ([8, 8], None, (4, 4)),
        ([8, 6], None, (4, 3)),  # 4 threads would fit only three times
        ([8, 8, 8], 4, (4, 4)),  # 6 threads would fit only three times
        ([1, 1], None, (2, 1)),
        ([0, 4], None, (1, 4)),
    ],
)
def test_workers_share_all_cores(cores, workers, want):
    assert share_cores(cores, workers) == want


@pytest.mark.parametrize(("cores", "workers"), [([2], 3), ([2], 0), ([2], -1), ([], None)])
def test_more_workers_than_cores_are_refused(cores, workers):
    with pytest.raises(ValueError, match=rf"is not from 1 to {sum(cores)}, the cores that Ray has"):
        share_cores(cores, workers)


@pytest.mark.parametrize("cores", [[1], [2], [7], [16, 16], [3, 64]])
def test_the_workers_of_a_dataset_leave_a_core_on_each_machine(cores):
    nodes = [{"Alive": True, "Resources": {"CPU": float(n)}} for n in cores]
    nodes += [{"Alive": True, "Resources": {}}, {"Alive": False, "Resources": {"CPU": 1.0}}]
    ray = SimpleNamespace(nodes=lambda: nodes)
    for workers in range(1, sum(cores) + 1):
        _, threads = share_cores(cores, workers)
        asked = cores_to_ask_for(ray, threads)
        for of_machine in cores:
            assert of_machine - (of_machine // threads) * asked >= 1
