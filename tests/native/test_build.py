"""How build_ext.py finds OpenMP, what it builds without it, and for which Pythons."""

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import threading
import warnings
from unittest.mock import Mock

import pytest

from tests.conftest import REPOSITORY
from tests.native.programs import copy_of_build_ext

if not (REPOSITORY / "build_ext.py").exists() or not shutil.which("cc"):
    pytest.skip("needs the sources and a C compiler", allow_module_level=True)
pytest.importorskip("setuptools")


@pytest.fixture
def build(monkeypatch):
    """The module build_ext.py."""
    monkeypatch.delenv("NUMPY_ERNIEM_OPENMP", raising=False)
    spec = importlib.util.spec_from_file_location("build_ext", REPOSITORY / "build_ext.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def compiler(monkeypatch):
    """A new compiler object of setuptools, for the CC, CFLAGS and LDFLAGS of the test."""

    def make(**variables):
        from setuptools._distutils.ccompiler import new_compiler
        from setuptools._distutils.sysconfig import customize_compiler

        for name in ("CC", "CFLAGS", "LDFLAGS", "LDSHARED"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        made = new_compiler()
        customize_compiler(made)
        return made

    return make


def has_openmp(compiler, tmp_path):
    source = tmp_path / "uses_openmp.c"
    source.write_text("#include <omp.h>\nint main(void) { return omp_get_num_threads() - 1; }")
    command = [compiler, "-fopenmp", source, "-o", tmp_path / "uses_openmp"]
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_openmp_is_found_where_the_compiler_has_it(build, compiler, tmp_path, name):
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed")
    want = (["-fopenmp"], ["-fopenmp"]) if has_openmp(name, tmp_path) else None
    assert build.openmp_flags(compiler(CC=name)) == want


@pytest.mark.parametrize(
    "variables",
    [
        {"CFLAGS": "-Domp_get_thread_num=no_such_function"},
        {"CC": "/bin/false"},
        {"CC": "no-such-compiler"},
        {"LDFLAGS": "-l_no_such_library"},
    ],
    ids=["a function is missing", "the compiler fails", "no compiler", "no library"],
)
def test_a_probe_that_cannot_be_built_is_quiet(build, compiler, capfd, variables):
    assert build.openmp_flags(compiler(**variables)) is None
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("status", ["exit(1)", "abort()"])
def test_a_probe_that_is_built_but_does_not_run_counts_as_none(build, compiler, status):
    failing = f"#include <stdlib.h>\nint main(void) {{ {status}; }}\n"
    build.OPENMP_PROBE = failing
    assert build.openmp_flags(compiler()) is None
    build.OPENMP_PROBE = "int main(void) { return 0; }\n"
    assert build.openmp_flags(compiler()) is not None


def test_the_next_flags_are_tried_where_the_first_do_not_work(build, compiler, monkeypatch):
    first, second = (["-no-such-flag-at-all"], []), (["-DSECOND"], [])
    monkeypatch.setattr(build, "openmp_candidates", lambda kind: [first, second])
    build.OPENMP_PROBE = "int main(void) { return 0; }\n"
    assert build.openmp_flags(compiler()) == second


def test_the_environment_leaves_openmp_out(build, compiler, monkeypatch):
    build.OPENMP_PROBE = "int main(void) { return 0; }\n"
    chosen = compiler()
    monkeypatch.setenv("NUMPY_ERNIEM_OPENMP", "0")
    assert build.openmp_flags(chosen) is None


def test_the_flag_for_branches_is_one_that_the_compiler_takes(build, compiler, monkeypatch):
    """gcc hands it to its assembler, clang takes it itself; both know it for x86-64 alone."""
    monkeypatch.setattr(build.platform, "machine", lambda: "x86_64")
    tried = []
    monkeypatch.setattr(build, "_probe_runs", lambda compiler, flags, text: tried.append(flags))
    chosen = compiler()
    assert build.branch_flags(chosen) == []
    for_gcc, for_clang = [flags for flags, _ in tried]
    assert for_gcc == [f"-Wa,{for_clang[0]}"]
    for one in (for_gcc, for_clang):
        monkeypatch.setattr(build, "_probe_runs", lambda c, flags, text, one=one: flags[0] == one)
        assert build.branch_flags(chosen) == one
    monkeypatch.setattr(build.platform, "machine", lambda: "aarch64")
    assert build.branch_flags(chosen) == []
    chosen.compiler_type = "msvc"
    monkeypatch.setattr(build.platform, "machine", lambda: "AMD64")
    assert build.branch_flags(chosen) == []


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the flag is for x86-64")
def test_a_build_has_the_flag_for_branches(build, compiler):
    assert "branches-within-32B-boundaries" in "".join(build.branch_flags(compiler()))


def test_what_debuggers_need_is_left_out_unless_cflags_ask_for_it(build, monkeypatch):
    for asked in ("-g", "-O1 -g3", "-ggdb"):
        monkeypatch.setenv("CFLAGS", asked)
        assert build.debug_flags() == []
    monkeypatch.setenv("CFLAGS", "-O2 -fno-gcse")
    assert build.debug_flags() == ["-g0"]
    monkeypatch.delenv("CFLAGS")
    assert build.debug_flags() == ["-g0"]


def test_flags_of_each_system(build, monkeypatch):
    assert build.openmp_candidates("msvc") == [(["/openmp:llvm"], [])]
    monkeypatch.setattr(sys, "platform", "linux")
    assert build.openmp_candidates("unix") == [(["-fopenmp"], ["-fopenmp"])]
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(build.os.path, "isdir", lambda path: path.startswith("/opt/homebrew"))
    folder = "/opt/homebrew/opt/libomp"
    apple = ["-Xpreprocessor", "-fopenmp", f"-I{folder}/include"], [f"-L{folder}/lib", "-lomp"]
    assert build.openmp_candidates("unix")[1:] == [apple]


@pytest.fixture(params=[False, True], ids=["with the GIL", "free-threaded"])
def free_threaded(monkeypatch, request):
    """Let sysconfig describe a Python with or without the GIL, for setuptools as well."""
    real, fake = sysconfig.get_config_var, {"Py_GIL_DISABLED": int(request.param)}
    if real("Py_GIL_DISABLED") and not request.param:
        pytest.skip("this Python is free-threaded, and so are its file names")
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: fake.get(name, real(name)))
    return request.param


@pytest.fixture
def project(monkeypatch):
    """The project as setuptools reads it from pyproject.toml."""
    from setuptools import Distribution

    monkeypatch.chdir(REPOSITORY)
    distribution = Distribution()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the section on extensions may change in setuptools
        distribution.parse_config_files()
    return distribution


def finished(distribution, name):
    command = distribution.get_command_obj(name)
    command.ensure_finalized()
    return command


def test_the_limited_api_is_used_where_the_gil_is(build, free_threaded):
    assert build.uses_limited_api() is not free_threaded


def test_a_file_of_free_threaded_python_is_for_one_version(project, free_threaded):
    command = finished(project, "build_ext")
    name = command.get_ext_filename("numpy_erniem._kernels")
    assert name.endswith(sysconfig.get_config_var("EXT_SUFFIX")) is free_threaded
    assert (".abi3." in name) is not free_threaded or sys.platform == "win32"
    assert [ext.py_limited_api for ext in command.extensions] == [not free_threaded]


def test_a_wheel_of_free_threaded_python_is_for_one_version(project, free_threaded):
    tag = finished(project, "bdist_wheel").get_tag()
    version = "cp{}{}".format(*sys.version_info)
    assert (tag[0], "abi3" in tag[1]) == ((version, False) if free_threaded else ("cp310", True))


def test_cffi_is_told_about_the_limited_api(build, monkeypatch, free_threaded):
    """Otherwise its header defines Py_LIMITED_API by itself."""
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    built = []
    monkeypatch.setattr(build_ext, "build_extension", lambda self, ext: built.append(ext))
    monkeypatch.setattr(build, "write_glue", lambda path: None)
    monkeypatch.setattr(build, "openmp_flags", lambda compiler: None)
    kernels = build.Extension(build.MODULE, sources=[])
    command = build.BuildKernels(Distribution({"ext_modules": [kernels]}))
    command.ensure_finalized()
    command.compiler = Mock(compiler_type="unix")
    command.build_extension(kernels)
    macros = [("_CFFI_NO_LIMITED_API", "")] if free_threaded else []
    assert [ext.define_macros for ext in built] == [macros]


def test_files_are_compiled_side_by_side(build):
    both = threading.Barrier(2, timeout=60)

    def compile_files(sources, output_dir):
        both.wait()  # until the other file is being compiled
        return [f"{output_dir}/{name}.o" for name in sources]

    compiler = Mock(compile=compile_files)
    with build._files_side_by_side(compiler, 2):
        assert compiler.compile(["a.c", "b.c"], output_dir="out") == ["out/a.c.o", "out/b.c.o"]


def test_the_first_file_that_cannot_be_compiled_ends_the_build(build):
    def compile_files(sources):
        raise RuntimeError("the first of " + sources[0])

    compiler = Mock(compile=compile_files)
    with build._files_side_by_side(compiler, 2), pytest.raises(RuntimeError, match="the first"):
        compiler.compile(["a.c", "b.c"])


def test_a_build_without_openmp_has_the_other_threads(tmp_path):
    """The whole extension, from a copy of the sources."""
    shutil.copytree(REPOSITORY / "csrc", tmp_path / "csrc")
    shutil.copytree(
        REPOSITORY / "numpy_erniem",
        tmp_path / "numpy_erniem",
        ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"),
    )
    copy_of_build_ext(tmp_path)
    environment = {
        **os.environ,
        "CFLAGS": "-Domp_get_thread_num=no_such_function",
        "PYTHONPATH": str(tmp_path),
    }
    environment.pop("NUMPY_ERNIEM_THREADING", None)
    options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "build_ext.py"], **options)
    assert "numpy-erniem: OpenMP is left out" in done.stdout, done.stderr
    (kernels,) = (tmp_path / "numpy_erniem").glob("_kernels.*")
    assert b".debug_info" not in kernels.read_bytes()
    code = (
        "from numpy_erniem.backend import settings as s; print(s.__file__);"
        "print(s.available_threading()); s.set_threading('openmp')"
    )
    done = subprocess.run([sys.executable, "-c", code], **options)
    assert done.stdout.splitlines() == [
        str(tmp_path / "numpy_erniem" / "backend" / "settings.py"),
        "['pool', 'serial']",
    ]
    assert "'openmp' cannot be used here; this process has pool, serial" in done.stderr
