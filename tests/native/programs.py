"""Suites of the kernels as C programs.

Compilers take most of the time of these tests. So a file is compiled once for each compiler with
the flags that matter to it, however many suites and processes of pytest want it.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

try:
    import fcntl
except ImportError:  # on Windows, where these tests run in one process
    fcntl = None

CSRC = REPOSITORY / "csrc"
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pthread", f"-I{CSRC}"]

# Flags that several suites share.
NATIVE = ("-O3", "-fopenmp")
CHECKED = ("-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fopenmp")
RACES = ("-O1", "-g1", "-fsanitize=thread")
AARCH64 = ("aarch64-linux-gnu-gcc", "-O2", "-static", "-fopenmp")

OF_THREADS = ("-fopenmp", "-DERNIEM_SERIAL")  # read by runtime/threads*.c alone

QUIET = {"capture_output": True, "text": True}


def run(command, **variables):
    """What a program prints; fails where it reports an error."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=900, env={**os.environ, **variables}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


class Programs:
    """Compiles suites, and keeps the compiled kernels in a folder."""

    def __init__(self, folder):
        self.folder = folder

    def build(self, suite, compiler, *flags):
        """Compile a suite; skips where the compiler or its libraries are missing."""
        if shutil.which(compiler) is None:
            pytest.skip(f"{compiler} is not installed")
        if not can_build([compiler, *flags]):
            pytest.skip(f"{compiler} cannot build with {' '.join(flags)}")
        return self.compile(suite, compiler, *flags)

    def compile(self, suite, *command):
        """Compile a suite by a command that must succeed."""
        folder = self.folder / digest(flags_of("any other file", command))
        folder.mkdir(exist_ok=True)
        with alone_in(folder):
            objects = compiled_kernels(folder, command)
            program = folder / f"{Path(suite).stem}-{digest(command)}.exe"
            if not program.exists():
                source = Path(__file__).with_name(suite)
                succeed([*command, "-O1", *STRICT, source, *objects, "-o", program, "-lm"])
        return program


def flags_of(name, command):
    """A compiler with the flags that matter to a file of csrc/."""
    return [word for word in command if word not in OF_THREADS or name.startswith("threads")]


def digest(command):
    return hashlib.sha256(" ".join(command).encode()).hexdigest()[:16]


def copy_of_build_ext(folder):
    """Copy build_ext.py, for kernels that are compiled in a third of the time."""
    text = (REPOSITORY / "build_ext.py").read_text(encoding="utf-8")
    assert '"-O3"' in text
    (folder / "build_ext.py").write_text(text.replace('"-O3"', '"-O1"'), encoding="utf-8")


def can_build(command):
    """Whether a compiler knows its flags and has the libraries for them."""
    header = "#include <omp.h>\n" if "-fopenmp" in command else ""
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder, "probe.c")
        probe.write_text(f"{header}int main(void) {{ return 0; }}")
        done = subprocess.run([*command, probe, "-o", probe.with_suffix(".exe")], **QUIET)
    return done.returncode == 0


def compiled_kernels(folder, command):
    """Compile the files of csrc/ that have no object file yet, on every core."""

    def compiled(source):
        words = flags_of(source.name, command)
        path = folder / f"{'-'.join(source.relative_to(CSRC).parts)}-{digest(words)}.o"
        if not path.exists():
            succeed([*words, *STRICT, "-c", source, "-o", path])
        return path

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(compiled, sorted(CSRC.rglob("*.c"))))


def succeed(command):
    """Run a compiler; fails with what it says."""
    done = subprocess.run(command, **QUIET)
    assert done.returncode == 0, done.stderr


@contextmanager
def alone_in(folder):
    """Wait until no other process of pytest-xdist works in a folder."""
    with open(folder / "lock", "w") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed
        yield
