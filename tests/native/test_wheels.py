"""Wheels are named by what is in them, and the audit of them finds what is wrong."""

import base64
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.native.programs import copy_of_build_ext

if not (REPOSITORY / "build_ext.py").exists() or not shutil.which("cc"):
    pytest.skip("needs the sources and a C compiler", allow_module_level=True)
setuptools = pytest.importorskip("setuptools", "77")

NAME = "numpy_erniem-{}-{}.whl"
PURE = "py3-none-any"
BUILD = "import setuptools.build_meta as b; print('built', b.build_wheel('dist'))"


def module(path):
    """A module that is in no package."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, REPOSITORY / path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


audit = module("tools/audit_packages.py")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A copy of what a wheel is built from."""
    folder = tmp_path_factory.mktemp("sources") / "a folder ä"
    skipped = shutil.ignore_patterns("_kernels*", "__pycache__")
    for name in ("csrc", "licenses", "numpy_erniem"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=skipped)
    for pattern in ("*.py", "*.md", "LICENSE", "pyproject.toml"):
        for path in REPOSITORY.glob(pattern):
            shutil.copy(path, folder)
    copy_of_build_ext(folder)
    return folder


def build(folder, fails=False, **variables):
    """Build a wheel; its path, and what was said on the way."""
    environment = {k: v for k, v in os.environ.items() if k != "NUMPY_ERNIEM_KERNELS"}
    done = subprocess.run(
        [sys.executable, "-c", BUILD],
        cwd=folder,
        env={**environment, **variables},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    said = done.stdout + done.stderr
    assert (done.returncode != 0) is fails, said
    if fails:
        return None, said
    (last,) = (line for line in done.stdout.splitlines() if line.startswith("built "))
    return folder / "dist" / last.removeprefix("built "), said


@pytest.fixture(scope="module")
def with_kernels(sources):
    return build(sources)[0]


@pytest.fixture(scope="module")
def without_kernels(sources, with_kernels):
    """Built after one with kernels, in the same folder, which has a file of an earlier version."""
    stale = next((sources / "build").glob("lib*")) / "numpy_erniem" / "gone.py"
    stale.touch()
    wheel, said = build(sources, CC="/bin/false")
    assert "no C kernels (" in said
    assert "the package runs on NumPy alone" in said
    return wheel


def test_a_wheel_with_kernels_is_for_one_platform(with_kernels):
    assert "-cp310-abi3-" in with_kernels.name or with_kernels.name.count("t-") >= 1
    assert audit.audit(with_kernels) == []


def test_a_wheel_without_kernels_is_for_every_platform(without_kernels):
    assert without_kernels.name.endswith(f"-{PURE}.whl")
    assert audit.audit(without_kernels) == []


def test_kernels_can_be_left_out(sources, without_kernels):
    wheel, said = build(sources, NUMPY_ERNIEM_KERNELS="0")
    assert wheel.name.endswith(f"-{PURE}.whl")
    assert "NUMPY_ERNIEM_KERNELS is 0" in said


def test_kernels_can_be_demanded(sources, without_kernels):
    _, said = build(sources, fails=True, NUMPY_ERNIEM_KERNELS="1", CC="/bin/false")
    assert "numpy-erniem: no C kernels (" in said


def test_a_wrong_choice_of_kernels_is_an_error(sources):
    _, said = build(sources, fails=True, NUMPY_ERNIEM_KERNELS="yes")
    assert "NUMPY_ERNIEM_KERNELS=yes is neither 0 nor 1" in said


@pytest.fixture
def faults(without_kernels, with_kernels, tmp_path):
    """The faults of a wheel after files were added, changed or removed, or with another name."""

    def find(kernels=False, tag=None, record=True, release=False, **_):
        source = with_kernels if kernels else without_kernels
        name = source.name if tag is None else "-".join([*source.name.split("-")[:2], tag]) + ".whl"
        with zipfile.ZipFile(source) as archive:
            files = {info.filename: archive.read(info) for info in archive.infolist()}
        files |= _.get("files", {})
        files = {key: content for key, content in files.items() if content is not None}
        info = next(key.partition("/")[0] for key in files if ".dist-info/" in key)
        if record:
            lines = [
                f"{key},sha256={digest(content)},{len(content)}\n"
                for key, content in files.items()
                if not key.endswith("/RECORD")
            ]
            files[f"{info}/RECORD"] = "".join([*lines, f"{info}/RECORD,,\n"]).encode()
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for key, content in files.items():
                archive.writestr(key, content)
        return audit.audit(tmp_path / name, release)

    return find


def digest(content):
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


def test_an_audit_of_the_same_files_finds_nothing(faults):
    assert faults() == []
    assert faults(kernels=True) == []


@pytest.mark.parametrize(
    "name", ["numpy_erniem/gone.py", "tests/test_a.py", "numpy_erniem/a.pyc", "build_ext.py"]
)
def test_an_audit_finds_a_stray_file(faults, name):
    assert faults(files={name: b""}) == [f"{name} does not belong there"]


def test_an_audit_finds_a_file_that_is_missing(faults):
    assert faults(files={"numpy_erniem/py.typed": None}) == ["numpy_erniem/py.typed is missing"]


def test_an_audit_finds_a_changed_file(faults):
    found = faults(files={"numpy_erniem/ops.py": b"1 / 0\n"}, record=False)
    assert found == ["numpy_erniem/ops.py has another checksum in RECORD, or none"]


def test_an_audit_finds_a_name_for_a_platform_without_kernels(faults):
    found = faults(tag="cp310-abi3-linux_x86_64")
    assert "the name says that there are kernels, but there are 0" in found
    assert any(fault.startswith("WHEEL says py3-none-any; the name says") for fault in found)


def test_an_audit_finds_kernels_in_a_wheel_for_every_platform(faults):
    assert any("is no name for a wheel with" in fault for fault in faults(True, tag=PURE))


def test_an_audit_of_a_release_refuses_what_an_index_refuses(faults):
    found = faults(release=True)
    assert any("placeholders" in fault for fault in found)
    assert any("do not publish it" in fault for fault in found)
    if sys.platform == "linux":
        found = faults(kernels=True, release=True)
        assert not any("do not publish it" in fault for fault in found)
        assert any("is for this machine alone; run auditwheel repair" in fault for fault in found)


def test_links_of_the_description_lead_to_the_repository(without_kernels):
    with zipfile.ZipFile(without_kernels) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        text = archive.read(name).decode("utf-8")
    version = without_kernels.name.split("-")[1]
    assert f"/blob/v{version}/docs/weights.md)" in text
    assert f"/raw/v{version}/docs/performance.svg)" in text
    assert "](docs/" not in text


def test_links_and_pictures_get_an_address():
    links = module("build_metadata.py").absolute_links
    text = "[a](b.md#c) ![p](q.svg) [x](https://y.z) [here](#d)\n"
    text += "```\n[a](b.md)\n```\n[![p](q.svg)](r)"
    assert links(text, "https://h", "v1") == (
        "[a](https://h/blob/v1/b.md#c) ![p](https://h/raw/v1/q.svg) [x](https://y.z) [here](#d)\n"
        "```\n[a](b.md)\n```\n[![p](https://h/raw/v1/q.svg)](https://h/blob/v1/r)"
    )
