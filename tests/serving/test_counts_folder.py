"""The folder of the counts is removed when no process uses it, and not before."""

import multiprocessing
import os
import tempfile
from pathlib import Path

import pytest

from numpy_erniem.serving import counts_folder
from numpy_erniem.serving.counts_folder import CountsFolder

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="only servers that fork have one")


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_removed_by_the_one_that_leaves():
    folder = CountsFolder()
    Path(folder.path, "counter_1.db").write_bytes(b"counts")
    folder.leave()
    assert not Path(folder.path).exists()


def test_a_folder_that_is_used_stays_when_another_server_starts():
    first = CountsFolder()
    second = CountsFolder()
    assert Path(first.path).is_dir()
    for folder in (first, second):
        folder.leave()


def test_the_last_process_that_leaves_removes_the_folder():
    folder = CountsFolder()
    context = multiprocessing.get_context("fork")
    left, go = context.Event(), context.Event()

    def worker():
        left.set()
        go.wait(30)
        folder.leave()

    process = context.Process(target=worker)
    process.start()
    assert left.wait(30)
    folder.leave()
    assert Path(folder.path).is_dir()
    go.set()
    process.join(30)
    assert not Path(folder.path).exists()


def test_a_new_server_removes_the_folders_of_killed_ones(temporary):
    left = temporary / f"{counts_folder.PREFIX}left"
    left.mkdir()
    (left / "counter_1.db").write_bytes(b"counts")
    folder = CountsFolder()
    assert [str(path) for path in temporary.iterdir()] == [folder.path]
    folder.leave()


def test_links_files_and_folders_of_others_are_not_touched(temporary, monkeypatch):
    target = temporary / "elsewhere"
    target.mkdir()
    (target / "kept").write_text("kept")
    (temporary / f"{counts_folder.PREFIX}link").symlink_to(target)
    (temporary / f"{counts_folder.PREFIX}file").write_text("kept")
    CountsFolder().leave()
    other = temporary / f"{counts_folder.PREFIX}other"
    other.mkdir()
    monkeypatch.setattr(os, "getuid", lambda: -1)
    CountsFolder()
    assert other.is_dir()
    assert (target / "kept").exists()
    assert (temporary / f"{counts_folder.PREFIX}file").exists()


def test_a_folder_that_another_server_removes_is_made_again(monkeypatch):
    make, made = tempfile.mkdtemp, []

    def make_and_lose(prefix):
        made.append(make(prefix=prefix))
        if len(made) == 1:
            os.rmdir(made[0])
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", make_and_lose)
    folder = CountsFolder()
    assert folder.path == made[1]
    folder.leave()
