"""The pages around a release agree with the code: version, changelog, citation, licences."""

import re

import pytest

import numpy_erniem
from tests.conftest import REPOSITORY

if not (REPOSITORY / "build_metadata.py").is_file():
    pytest.skip("not in a checkout", allow_module_level=True)


def text(name):
    return (REPOSITORY / name).read_text(encoding="utf-8")


def test_the_changelog_begins_with_this_version():
    version, state = re.search(
        r"^## ([\d.]+) \((.*)\)$", text("CHANGELOG.md"), re.MULTILINE
    ).groups()
    assert numpy_erniem.__version__ == (f"{version}.dev0" if state == "open" else version)
    assert state == "open" or re.fullmatch(r"\d{4}-\d\d-\d\d", state)


def test_every_other_version_of_the_changelog_has_a_date():
    versions = re.findall(r"^## ([\d.]+) \((.*)\)$", text("CHANGELOG.md"), re.MULTILINE)
    assert len(versions) >= 2
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", state) for _, state in versions[1:])


def test_the_version_stands_in_one_place():
    assert not re.search(r'^version = "', text("pyproject.toml"), re.MULTILINE)
    assert 'attr = "numpy_erniem.__version__"' in text("pyproject.toml")


def test_the_citation_can_be_read():
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load(text("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors", "license"} <= citation.keys()
    assert citation["license"] == "Apache-2.0"
    assert citation["repository-code"] == url("Repository")


def url(name):
    return re.search(rf'^{name} = "(.*)"', text("pyproject.toml"), re.MULTILINE)[1]


def test_every_address_is_under_the_repository():
    for name in ("Documentation", "Changelog", "Issues", "Security"):
        assert url(name).startswith(url("Repository") + "/")


def test_every_licence_text_is_on_the_page_and_there():
    named = set(re.findall(r"`licenses/([\w.-]+)`", text("THIRD_PARTY_LICENSES.md")))
    assert named == {path.name for path in (REPOSITORY / "licenses").iterdir()}


def test_the_promises_about_hostile_files_name_tests_that_are_there():
    for path in re.findall(r"`(tests/[\w./]+)`", text("SECURITY.md")):
        assert (REPOSITORY / path).exists(), path
