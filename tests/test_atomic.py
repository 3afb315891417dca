"""Files and folders that appear complete or not at all; what a killed process leaves behind."""

import os
import signal
import stat
import subprocess
import sys
import threading

import numpy as np
import pytest

from numpy_erniem import ErnieMConfig, ErnieMModel, convert
from numpy_erniem.checkpoint import atomic
from numpy_erniem.checkpoint.atomic import (
    LOCK_FILE,
    PREFIX,
    atomic_file,
    atomic_folder,
    atomic_write,
    clear_leftovers,
    hidden_folder,
)
from numpy_erniem.checkpoint.folder import read_folder, write_folder
from numpy_erniem.parity.golden import write_golden

posix = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
TENSORS = {"x": np.float32([1, 2])}


def names(folder):
    return sorted(os.listdir(folder))


def write_half(file):
    file.write(b"half")
    raise OSError("the disk is full")


def leftovers(folder):
    return [name for name in names(folder) if name.startswith(PREFIX)]


@pytest.mark.parametrize(
    ("content", "raw"), [("é\r\n", "é\r\n".encode()), (b"\xff\x00", b"\xff\x00")]
)
def test_text_and_bytes_are_written_as_they_are(content, raw, tmp_path):
    atomic_write(tmp_path / "new" / "file", content)
    assert (tmp_path / "new" / "file").read_bytes() == raw
    assert names(tmp_path / "new") == ["file"]


def test_a_place_that_takes_no_file_is_named_without_the_hidden_folder(tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError(13, "Permission denied", str(tmp_path / ".saving-1"))

    monkeypatch.setattr(atomic, "_locked_folder", refuse)
    with pytest.raises(PermissionError) as refused:
        atomic.check_writable(tmp_path / "page.html")
    assert str(refused.value) == (
        f"{tmp_path / 'page.html'} cannot be written: Permission denied; choose another place"
    )


def test_an_error_in_the_middle_leaves_the_old_file(tmp_path):
    atomic_write(tmp_path / "file", "old")
    with pytest.raises(OSError, match="disk"), atomic_file(tmp_path / "file") as file:
        write_half(file)
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_an_error_in_the_middle_leaves_no_folder(tmp_path):
    with (
        pytest.raises(OSError, match="disk"),
        atomic_folder(tmp_path / "out") as folder,
        (folder / "file").open("wb") as file,
    ):
        write_half(file)
    assert names(tmp_path) == []


def test_a_folder_takes_the_place_of_an_empty_one_alone(tmp_path):
    (tmp_path / "out").mkdir()
    with atomic_folder(tmp_path / "out") as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_text("x")
    assert (tmp_path / "out" / "sub" / "file").read_text() == "x"
    taken = pytest.raises(OSError, match="out")  # the message is the system's
    with taken, atomic_folder(tmp_path / "out") as folder:
        (folder / "file").write_text("y")
    assert names(tmp_path / "out") == ["sub"]
    assert names(tmp_path) == ["out"]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_files_and_folders_have_the_usual_mode(tmp_path):
    (tmp_path / "usual file").touch()
    (tmp_path / "usual folder").mkdir()
    atomic_write(tmp_path / "file", "x")
    with atomic_folder(tmp_path / "folder") as folder:
        (folder / "file").touch()
    for kind in ("file", "folder"):
        modes = [stat.S_IMODE((tmp_path / n).stat().st_mode) for n in (kind, f"usual {kind}")]
        assert modes[0] == modes[1]


@posix
def test_file_and_folder_are_flushed_to_disk(tmp_path, monkeypatch):
    flushed, real = [], os.fsync

    def fsync(number):
        flushed.append(stat.S_ISDIR(os.fstat(number).st_mode))
        real(number)

    monkeypatch.setattr(os, "fsync", fsync)
    atomic_write(tmp_path / "file", "x")
    assert flushed == [False, True]


SAVE = """
import os, signal, sys
from numpy_erniem.checkpoint import {module}
def stop(*_):
    print("in the middle", flush=True)
    {stop}
{module}.{function} = stop
{call}
"""
KILL = "os.kill(os.getpid(), signal.SIGKILL)"
WAIT = "sys.stdin.read()"
CALLS = {
    "checkpoint": (
        "folder",
        "flush",
        "import numpy; folder.write_folder({out!r}, {{'x': numpy.ones(2, numpy.float32)}})",
    ),
    "file": ("atomic", "flush", "atomic.atomic_write({out!r} + '/file', 'x')"),
    "converted": (
        "atomic",
        "flush",
        "import numpy_erniem; numpy_erniem.convert({source!r}, {out!r} + '/converted')",
    ),
}


def child(case, out, source, stop):
    """A process that is stopped in the middle of a save to `out`."""
    module, function, call = CALLS[case]
    code = SAVE.format(
        module=module, function=function, stop=stop, call=call.format(out=str(out), source=source)
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "in the middle\n"
    return process


@pytest.fixture
def source(tmp_path):
    config = ErnieMConfig(
        vocab_size=19, hidden_size=12, num_attention_heads=3, num_hidden_layers=1, hidden_act="relu"
    )
    ErnieMModel(config).save_pretrained(tmp_path / "source")
    return str(tmp_path / "source")


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def save_again(case, out, source):
    if case == "checkpoint":
        write_folder(out, TENSORS)
    elif case == "file":
        atomic_write(out / "other", "y")
    else:
        convert(source, out / "another")


@posix
@pytest.mark.parametrize("case", CALLS)
def test_the_next_save_clears_what_a_killed_one_left(case, out, source):
    process = child(case, out, source, KILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert len(leftovers(out)) == 1
    save_again(case, out, source)
    assert leftovers(out) == []
    assert len(names(out)) == 1


@posix
@pytest.mark.parametrize("case", CALLS)
def test_a_save_that_still_runs_is_left_alone(case, out, source):
    process = child(case, out, source, WAIT)
    before = leftovers(out)
    assert len(before) == 1
    save_again(case, out, source)
    clear_leftovers(out)
    assert leftovers(out) == before
    process.communicate("")
    assert process.returncode == 0 if case != "file" else True
    assert leftovers(out) == []


def test_a_save_in_another_thread_is_left_alone(tmp_path):
    with hidden_folder(tmp_path) as hidden:
        (hidden / "file").write_text("x")
        other = threading.Thread(target=atomic_write, args=(tmp_path / "other", "y"))
        other.start()
        other.join()
        assert names(hidden) == [LOCK_FILE, "file"]
    assert names(tmp_path) == ["other"]


def test_a_folder_without_its_lock_file_is_removed_only_if_empty(tmp_path):
    """A writer may be killed before it makes the file; another program's folder is not ours."""
    (tmp_path / f"{PREFIX}empty").mkdir()
    (tmp_path / f"{PREFIX}full").mkdir()
    (tmp_path / f"{PREFIX}full" / "file").touch()
    (tmp_path / f"{PREFIX}file").touch()
    clear_leftovers(tmp_path)
    assert names(tmp_path) == [f"{PREFIX}file", f"{PREFIX}full"]


@pytest.mark.skipif(os.name != "posix", reason="symbolic links are POSIX's")
def test_a_link_is_not_followed(tmp_path):
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / LOCK_FILE).touch()
    (target / "precious").touch()
    (tmp_path / f"{PREFIX}link").symlink_to(target)
    clear_leftovers(tmp_path)
    assert names(target) == [LOCK_FILE, "precious"]


def test_a_hidden_folder_that_another_save_takes_for_a_leftover_is_made_again(
    tmp_path, monkeypatch
):
    real, taken = atomic._lock, []

    def lock(file):
        if not taken:  # just before the lock is there
            taken.append(file.name)
            atomic._remove(atomic.Path(file.name).parent, file)
            return False
        return real(file)

    monkeypatch.setattr(atomic, "_lock", lock)
    atomic_write(tmp_path / "file", "x")
    assert taken
    assert names(tmp_path) == ["file"]


def test_where_files_cannot_be_locked_saving_works_and_clears_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "_lock", lambda file: False)
    (tmp_path / f"{PREFIX}old").mkdir()
    (tmp_path / f"{PREFIX}old" / LOCK_FILE).touch()
    atomic_write(tmp_path / "file", "x")
    assert names(tmp_path) == [f"{PREFIX}old", "file"]


def test_a_golden_file_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    def full(file, **_):
        file.write(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="disk"):
        write_golden(tmp_path / "golden.npz", {}, {}, "test")
    assert names(tmp_path) == []


def test_saving_a_model_leaves_only_its_files(tmp_path, source):
    assert names(source) == ["config.json", "model.safetensors"]
    assert read_folder(source)
