"""The workflows of CI: what they run is there, and a linter accepts them."""

import os
import re
import shutil
import subprocess

import pytest

from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / ".github" / "workflows"
if not FOLDER.is_dir():
    pytest.skip("not in a checkout", allow_module_level=True)
NAMES = sorted(path.name for path in FOLDER.glob("*.yml"))
STEPS = {"tests", "lint", "types", "docs", "bare", "packages"}


def text(name):
    return (FOLDER / name).read_text(encoding="utf-8")


@pytest.fixture(params=NAMES)
def workflow(request):
    """The name of a workflow, and what it says."""
    yaml = pytest.importorskip("yaml")
    return request.param, yaml.safe_load(text(request.param))


def test_every_push_and_pull_request_is_tested_on_three_pythons():
    yaml = pytest.importorskip("yaml")
    tests = yaml.safe_load(text("tests.yml"))
    assert {"push", "pull_request"} == tests[True].keys()  # YAML reads "on" as a bool
    assert len(tests["jobs"]["tests"]["strategy"]["matrix"]["python"]) == 3
    steps = set(tests["jobs"]["steps"]["strategy"]["matrix"]["step"])
    assert steps == STEPS - {"tests"}


def test_wheels_are_built_on_a_tag_for_every_system():
    wheels = text("wheels.yml")
    assert 'tags: ["v*"]' in wheels
    for part in ("manylinux", "musllinux", "macosx", "win_amd64", "cp310-", "cp314t-"):
        assert part in wheels
    for system in ("ubuntu-latest", "ubuntu-24.04-arm", "macos-latest", "windows-latest"):
        assert system in wheels


def test_wheels_must_have_kernels_and_are_audited():
    wheels = text("wheels.yml")
    environments = re.findall(r"CIBW_ENVIRONMENT\w*: (.*)", wheels)
    assert environments
    assert all("NUMPY_ERNIEM_KERNELS=1" in line for line in environments)
    assert "tools/audit_packages.py --release" in wheels
    assert "twine check --strict" in wheels


def test_what_is_published_is_the_sdist_and_the_wheels_of_cibuildwheel():
    """pip takes a wheel without kernels where it would build some from the sdist."""
    yaml = pytest.importorskip("yaml")
    jobs = yaml.safe_load(text("wheels.yml"))["jobs"]
    kept = {
        step["with"]["path"]
        for job in jobs.values()
        for step in job["steps"]
        if step.get("uses", "").startswith("actions/upload-artifact@")
    }
    assert kept == {"wheelhouse/*.whl", "dist/*.tar.gz"}


@pytest.mark.parametrize("name", NAMES)
def test_every_file_that_a_workflow_names_is_there(name):
    for path in re.findall(r"(?:\.ci|tools)/[\w./]+", text(name)):
        assert (REPOSITORY / path).is_file(), path


@pytest.mark.parametrize("name", NAMES)
def test_every_step_that_a_workflow_runs_is_one(name):
    named = re.findall(r"\.ci/run (\w+)", text(name))
    assert set(named) <= STEPS


def test_a_workflow_may_only_read(workflow):
    _, parsed = workflow
    assert parsed["permissions"] == {"contents": "read"}


def test_actions_have_a_version(workflow):
    name, _ = workflow
    for action in re.findall(r"uses: (.*)", text(name)):
        assert re.fullmatch(r"[\w-]+/[\w-]+@v\d[\d.]*", action), action


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="actionlint is not installed")
def test_actionlint_accepts_the_workflows():
    done = subprocess.run(["actionlint"], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_accepts_the_script():
    done = subprocess.run(["shellcheck", REPOSITORY / ".ci/run"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(shutil.which("bash") is None or os.name == "nt", reason="needs bash")
def test_a_step_that_is_none_is_refused_and_the_others_are_named():
    command = ["bash", REPOSITORY / ".ci/run", "nonsense"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert all(step in done.stderr for step in STEPS)
