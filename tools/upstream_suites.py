"""Run the common test suites of transformers on this package: python tools/upstream_suites.py.

pip downloads the source distribution of transformers into a temporary folder; nothing of it is
kept. `upstream_adapter.py` connects its tests to the classes of this package. Needed are pip,
pytest, torch and transformers (extra `test`).

A test counts once, also where it runs for several models. It is

passed           if it made an object of the tested classes and raised nothing
failed           if it raised; explained if docs/differences.md has a row for each of its errors
not applicable   if NOT_APPLICABLE names it, or if the suite itself skips it

The exit code is 0 if every failure is explained, every row and every name there is needed, and no
test passed without touching the tested classes.
"""

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

VERSION = "4.37.2"
TOOLS = Path(__file__).resolve().parent
DIFFERENCES = TOOLS.parent / "docs" / "differences.md"
HEADING = "## Upstream's common test suites"
NEEDED = (
    "test_configuration_common",
    "test_configuration_utils",
    "test_modeling_common",
    "test_tokenization_common",
)
# transformers 4.37.2 imports a name from a place where pytest 8 and later do not have it. This is
# the package's __init__.py, because processes that a test starts need it as well.
PACKAGE = """import _pytest.doctest
import _pytest.pathlib

_pytest.doctest.import_path = _pytest.pathlib.import_path
"""

# Tests that are not run, by reason; an asterisk stands for any characters.
NOT_APPLICABLE = {
    "there is one tokenizer, without a fast one to compare it with": """
        test_add_tokens test_alignement_methods test_batch_encode_dynamic_overflowing
        test_build_inputs_with_special_tokens test_compare_* test_create_token_type_ids
        test_embeded_special_tokens test_fast_only_inputs test_is_fast test_max_length_equal
        test_num_special_tokens_to_add_equal test_offsets_mapping test_padding
        test_padding_different_model_input_name test_padding_warning_message_fast_tokenizer
        test_rust_* test_save_pretrained test_save_slow_from_fast_and_reload_fast
        test_saving_tokenizer_trainer test_sentencepiece_tokenize_and_decode
        test_special_tokens_initialization test_special_tokens_map_equal
        test_tokenization_python_rust_equals test_tokenizer_fast_store_full_signature
        test_training_new_tokenizer*""",
    "tests classes of transformers alone": """
        test_clean_up_tokenization_spaces test_fast_init_context_manager
        test_matched_shapes_have_loaded_weights_when_some_mismatched_shapes_exist
        test_pickle_added_tokens test_tokenizer_mismatch_warning""",
    "asks the registries of transformers, which have no class of this package": """
        test_*_encode_plus_sent_to_model test_pretrained_model_lists""",
    "ERNIE-M is not a chat model and not a sequence-to-sequence model": """
        test_chat_template test_prepare_seq2seq_batch""",
    "follows gradients to activations or to head_mask with torch": """
        test_headmasking test_retain_grad_hidden_states_attentions""",
    "checks how torch initialises, stores or compiles modules": """
        test_eager_matches_sdpa_* test_keep_in_fp32_modules test_save_load_fast_init_from_base
        test_torch_save_load test_torchscript_*""",
    "upstream's ERNIE-M has no gradient checkpointing, and the suite then returns at once": """
        test_gradient_checkpointing_* test_training_gradient_checkpointing*""",
    "upstream's ERNIE-M has no such weights or method, and the suite then returns at once": """
        test_resize_embeddings_untied test_resize_position_vector_embeddings
        test_save_load_keys_to_ignore_on_save test_tie_model_weights test_tied_weights_keys""",
}
PATTERNS = {name: why for why, names in NOT_APPLICABLE.items() for name in names.split()}


def why_not(name: str) -> str | None:
    """The reason why a test is not applicable; None if it is."""
    return next((why for p, why in PATTERNS.items() if fnmatchcase(name, p)), None)


def download(folder: Path) -> Path:
    """Download the source distribution with pip and return its path."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-binary", "transformers", "--dest", str(folder)]
    subprocess.run([*pip, *options, f"transformers=={VERSION}"], check=True)
    return next(folder.glob("transformers-*.tar.gz"))


def unpack(source: Path, folder: Path) -> None:
    """Make of a source distribution the package `upstream_tests`, and what its tests import."""
    target = folder / "upstream_tests"
    (target / "fixtures").mkdir(parents=True)
    with tarfile.open(source) as archive:
        for name in NEEDED:
            member = archive.extractfile(f"transformers-{VERSION}/tests/{name}.py")
            (target / f"{name}.py").write_bytes(member.read())
    (target / "__init__.py").write_text(PACKAGE, encoding="utf-8")
    # Two files that are imported or read before every test; the distribution leaves them out.
    (target / "fixtures" / "sample_text.txt").write_text("One line.\n", encoding="utf-8")
    (folder / "test_module").mkdir()
    module = folder / "test_module" / "custom_configuration.py"
    module.write_text("class CustomConfig:\n    pass\n", encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--target", str(folder), "parameterized"], check=True)


class Results:
    """A pytest plugin that keeps the outcome of every test by its name."""

    def __init__(self, wanted: str) -> None:
        self.wanted = re.compile(wanted)
        self.names: set[str] = set()
        self.passed: set[str] = set()
        self.failed: dict[str, dict[str, set[str]]] = {}  # test -> {first line: models}
        self.skipped: dict[str, str] = {}

    def pytest_collection_modifyitems(self, config: Any, items: list) -> None:
        """Leave out the tests that are not applicable or not wanted."""
        items[:] = [item for item in items if self.wanted.search(item.name)]
        self.names = {item.name for item in items}
        items[:] = [item for item in items if not why_not(item.name)]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: Any) -> Iterator[None]:
        """Note a test that passes after it made an object."""
        made = sys.modules["upstream_adapter"].MADE
        made[0] = 0
        result = yield
        if made[0]:
            self.passed.add(item.name)
        return result

    def pytest_collectreport(self, report: Any) -> None:
        """Show why the tests cannot be read."""
        if report.failed:
            print(report.longreprtext)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note failures and skips; a subtest reports for itself."""
        group, name = report.nodeid.split("::")[-2:]
        if report.failed:
            line = first_line(report)
            if not re.search(r"contains \d+ failed subtests?$", line):
                line = line.replace(group, "ErnieM...")
                self.failed.setdefault(name, {}).setdefault(line, set()).add(group)
        elif report.skipped:
            self.skipped[name] = str(report.longrepr[-1]).removeprefix("Skipped: ")


def first_line(report: Any) -> str:
    """The line of the suite that failed, and the first line of the error.

    Of a process that the test started, the last line of its error.
    """
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = (crash.message if crash else str(report.longrepr)).strip().splitlines() or [""]
    line = lines[-1 if "Traceback" in lines[0] else 0]
    entries = getattr(getattr(report.longrepr, "reprtraceback", None), "reprentries", ())
    places = [entry.reprfileloc for entry in entries if getattr(entry, "reprfileloc", None)]
    places = [place for place in places if "upstream_tests" in place.path]
    return f"{Path(places[-1].path).name}:{places[-1].lineno}: {line}" if places else line


def rows() -> list[tuple[str, str, str]]:
    """The rows of the section in docs/differences.md: test, a part of the error, explanation."""
    _, _, section = DIFFERENCES.read_text(encoding="utf-8").partition(HEADING)
    section = section.partition("\n## ")[0]
    return re.findall(r"^\| `(test_\w+)` \| `(.+?)` \| (.+) \|$", section, re.MULTILINE)


def report(results: Results, whole: bool) -> int:
    """Print the outcome and return the exit code; `whole`: every row and pattern must be needed."""
    table, needed, failed = rows(), set(), results.failed
    passed = results.passed - failed.keys()
    outside = {name: why for name in results.names if (why := why_not(name))}
    skipped = results.skipped.items()
    outside |= {name: f"skipped, {why}" for name, why in skipped if name not in passed}
    idle = results.names - passed - failed.keys() - outside.keys()
    for reason in sorted(set(outside.values())):
        names = sorted(name for name in outside if outside[name] == reason)
        print(f"\nnot applicable ({len(names)}), {reason}:\n  {', '.join(names)}")
    unexplained = set()
    print(f"\nfailed ({len(failed)}):")
    for name in sorted(failed):
        print(f"  {name}")
        for line, groups in failed[name].items():
            row = next((r for r in table if r[0] == name and r[1] in line), None)
            needed.add(row)
            print(f"    {line[:200]}{f' ({len(groups)} models)' if len(groups) > 1 else ''}")
            print(f"    {'explained: ' + row[2] if row else 'NOT EXPLAINED'}")
            if row is None:
                unexplained.add(name)
    print(f"\npassed ({len(passed)}):\n  {', '.join(sorted(passed))}")
    unneeded = {f"{name} ({part})" for name, part, _ in set(table) - needed}
    unneeded |= {p for p in PATTERNS if not any(fnmatchcase(n, p) for n in outside)}
    if idle:
        print(f"\npassed without an object of the tested classes: {', '.join(sorted(idle))}")
    if whole and unneeded:
        print(f"\nexplained or excluded, but no longer needed: {', '.join(sorted(unneeded))}")
    print(
        f"\n{len(passed)} passed, {len(failed)} failed ({len(unexplained)} of them not explained), "
        f"{len(outside)} not applicable"
    )
    return int(bool(unexplained or idle or (whole and unneeded)))


def main() -> int:
    """Download, unpack, run and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", choices=("tokenization", "modeling", "all"), default="all")
    parser.add_argument("--source", type=Path, help="the source distribution, if it is there")
    parser.add_argument("--tokenizer", default="", help="folder; default: the bundled checkpoint")
    parser.add_argument("--of", choices=("here", "upstream"), default="here", help="whose classes")
    parser.add_argument("--only", default="", help="run tests whose name matches this expression")
    parser.add_argument("--list", action="store_true", help="name the tests, run none")
    chosen = parser.parse_args()
    os.environ |= {
        "UPSTREAM_SUITE": chosen.suite,
        "UPSTREAM_TOKENIZER": chosen.tokenizer,
        "UPSTREAM_OF": chosen.of,
        "HF_HUB_OFFLINE": "1",
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tempfile.tempdir = os.environ["TMPDIR"] = name  # some tests leave folders behind
        unpack(chosen.source or download(folder), folder)
        sys.path[:0] = [str(folder), str(TOOLS.parent)]
        results = Results(chosen.only)
        options = ["-c", os.devnull, "--rootdir", name, "--noconftest", "-p", "no:cacheprovider"]
        options += ["-p", "no:terminal", "--collect-only"][: 3 if chosen.list else 2]
        code = pytest.main([*options, str(TOOLS / "upstream_adapter.py")], plugins=[results])
        if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            raise SystemExit(f"pytest could not run the suites: {code!r}")
        if chosen.list:
            for test in sorted(results.names):
                why = why_not(test)
                print(f"{test}{f'  not applicable: {why}' if why else ''}")
            return 0
        unchanged = (chosen.suite, chosen.only, chosen.tokenizer, chosen.of)
        return report(results, whole=unchanged == ("all", "", "", "here"))


if __name__ == "__main__":
    sys.exit(main())
