"""What every command has: examples, --threads, --quiet, --verbose, completion, log lines."""

import importlib.util
import json
import logging
import re
import shutil
import subprocess

import pytest

from numpy_erniem import (
    ErnieMConfig,
    ErnieMForQuestionAnswering,
    ErnieMForSequenceClassification,
    ErnieMModel,
    bundled_checkpoint,
    get_num_threads,
    set_num_threads,
)
from numpy_erniem.backend import blas
from numpy_erniem.checkpoint.folder import read_folder
from numpy_erniem.cli import completion
from numpy_erniem.cli.main import COMMANDS, main, make_parser
from numpy_erniem.cli.notes import notes_shown, progress_file
from numpy_erniem.cli.rows import Rows
from tests.conftest import native_is_built

TRAINING = ("finetune", "pretrain")  # which have a --threads of their own


@pytest.fixture
def run(capsys):
    """Run a command line; returns exit code, stdout, stderr."""

    def call(*arguments):
        try:
            code = main([str(a) for a in arguments])
        except SystemExit as ended:
            code = ended.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example_and_the_common_options(command, run):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert re.search(rf"^example.*?\n  (.*\| )?erniem {command} ", out, re.MULTILINE | re.DOTALL)
    for option in ("--threads", "--quiet", "--verbose"):
        assert option in out


def test_the_help_of_the_command_has_examples(run):
    assert "\n  erniem COMMAND --help\n" in run("--help")[1]


@pytest.fixture
def index_of(tmp_path):
    texts = tmp_path / "in.txt"
    texts.write_text("a\nb\n")

    def arguments(name, *more):
        return ("search", tmp_path / name, "--build", texts, *more)

    return arguments


def test_quiet_leaves_out_notes(run, index_of):
    assert "holds 2 texts" in run(*index_of("one"))[2]
    assert run(*index_of("two", "--quiet")) == (0, "", "")
    assert run(*index_of("three", "-q")) == (0, "", "")


def test_quiet_keeps_errors_and_what_is_said_about_results(run):
    assert run("embed", "-q", "--model", "nowhere", "a")[2].startswith("erniem: nowhere is not")
    assert "1 of 1 texts have no token" in run("embed", "--quiet", "")[2]


def test_quiet_keeps_warnings(run, tmp_path):
    copy = shutil.copytree(bundled_checkpoint(), tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "intermediate_size": 3072}))
    told = run("info", "--quiet", copy)[2]
    assert told.startswith("erniem: warning: config.json says intermediate_size 3072")


def test_quiet_shows_no_progress(capsys):
    with notes_shown(quiet=True):
        print("1 of 2", file=progress_file())
        assert not progress_file().isatty()
    with notes_shown():
        print("2 of 2", file=progress_file())
    assert capsys.readouterr().err == "2 of 2\n"


def test_verbose_tells_what_is_read_and_what_runs_it(run):
    folder = bundled_checkpoint()
    _, out, told = run("embed", "--verbose", "a")
    assert f"s: model {folder}: {len(read_folder(folder))} tensors in {folder}\n" in told
    assert "s: 1 rows, 1 tokens\n" in told
    assert all(re.match(r"erniem: \d+\.\d\d s: ", line) for line in told.splitlines())
    assert run("embed", "a") == (0, out, "")


def test_quiet_and_verbose_contradict(run):
    code, _, told = run("embed", "-q", "-v", "a")
    assert code == 2
    assert "not allowed with" in told


def test_a_python_program_reads_the_same_lines_through_logging(caplog):
    with caplog.at_level(logging.DEBUG, "numpy_erniem"):
        ErnieMModel.from_pretrained(bundled_checkpoint())
    (record,) = (r for r in caplog.records if "tensors in" in r.getMessage())
    assert (record.name, record.levelname) == ("numpy_erniem.models.loading", "DEBUG")


def test_a_command_leaves_the_logger_as_it_was(run):
    logger = logging.getLogger("numpy_erniem")
    before = logger.level, logger.propagate, list(logger.handlers)
    run("embed", "-v", "a")
    assert (logger.level, logger.propagate, logger.handlers) == before


@pytest.fixture
def threads():
    """Put the numbers of threads back afterwards."""
    before = get_num_threads(), blas.get_blas_threads()
    yield
    set_num_threads(before[0])
    if before[1] is not None:
        blas.set_blas_threads(before[1])


def test_threads_bound_the_kernels_and_numpy(run, threads):
    code, out, _ = run("info", "--threads", 1)
    assert code == 0
    if native_is_built():
        assert get_num_threads() == 1
        assert "threads:       1 (" in out
    assert blas.get_blas_threads() in (1, None)


def test_a_run_may_go_on_with_other_threads_and_other_notes():
    """What a run records to be resumed is the same."""

    def recorded(*more):
        arguments = ["embed", "a", *more]
        return Rows(make_parser(arguments).parse_args(arguments), ("vector",))._options()

    assert recorded("--threads", "1", "-q") == recorded("-v") == recorded()
    assert recorded("--pooling", "cls") != recorded()


@pytest.mark.parametrize("number", ["0", "x"])
def test_a_wrong_number_of_threads_is_refused(number, run, threads):
    code, _, told = run("info", "--threads", number)
    assert code == 2
    assert "threads" in told


def test_python_without_ctypes_leaves_numpys_threads_alone(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ctypes", None)
    assert blas.openblas.__wrapped__() is None


@pytest.mark.parametrize("command", TRAINING)
def test_training_has_its_own_threads(command):
    parser = make_parser([command])
    (commands,) = (a for a in parser._actions if a.dest == "command")
    (option,) = (a for a in commands.choices[command]._actions if "--threads" in a.option_strings)
    assert option.dest == "threads"


def test_completion_of_bash_knows_commands_and_options(run, tmp_path):
    pytest.importorskip("shtab")
    code, script, _ = run("--print-completion", "bash")
    assert code == 0
    (tmp_path / "script").write_text(script)
    complete = """
        source ./script
        function=$(complete -p erniem | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        try() {
            COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); COMPREPLY=()
            $function
            echo "${COMPREPLY[@]}"
        }
        try erniem zero
        try erniem embed --pooli
        try erniem finetune ta
    """
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    done = subprocess.run(["bash", "-c", complete], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == ["zero-shot", "--pooling", "tag"], done.stderr


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_completion_of_other_shells_names_the_commands(shell, run):
    pytest.importorskip("shtab")
    code, script, _ = run("--print-completion", shell)
    assert code == 0
    assert all(command in script for command in COMMANDS)


def test_completion_without_shtab_names_the_extra(run, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(completion, "find_spec", lambda n: None if n == "shtab" else real(n))
    code, _, told = run("--print-completion", "bash")
    assert code == 2
    assert "pip install 'numpy-erniem[completion]'" in told


@pytest.fixture
def with_head(tmp_path):
    """Save a small model with a head."""
    sizes = {"vocab_size": 99, "hidden_size": 12, "num_attention_heads": 3}
    sizes |= {"num_hidden_layers": 2, "intermediate_size": 37}

    def save(kind, **values):
        kind(ErnieMConfig(**sizes, **values)).save_pretrained(tmp_path / "model")
        return tmp_path / "model"

    return save


def test_info_tells_head_and_labels(run, with_head):
    labels = dict(enumerate(["no", "maybe", "yes"]))
    problem = "single_label_classification"
    folder = with_head(ErnieMForSequenceClassification, id2label=labels, problem_type=problem)
    out = run("info", folder)[1]
    assert "head:          ErnieMForSequenceClassification, 2 tensors\n" in out
    assert "labels:        3: 'no', 'maybe', 'yes'\n" in out
    assert f"problem type:  {problem}\n" in out
    head = json.loads(run("info", folder, "--json")[1])["heads"][0]
    assert head["tensors"] == ["classifier.bias", "classifier.weight"]
    assert head["labels"] == ["no", "maybe", "yes"]


def test_info_shows_the_first_of_many_labels(run, with_head):
    folder = with_head(ErnieMForSequenceClassification, num_labels=40)
    assert re.search(r"labels: +40: .*'LABEL_11', \.\.\.\n", run("info", folder)[1])


def test_info_tells_a_head_without_labels(run, with_head):
    out = run("info", with_head(ErnieMForQuestionAnswering))[1]
    assert "head:          ErnieMForQuestionAnswering, 2 tensors\n" in out
    assert "labels:" not in out


def test_info_tells_that_there_is_no_head(run, with_head):
    folder = with_head(ErnieMModel)
    assert "head:          none\n" in run("info", folder)[1]
    assert json.loads(run("info", folder, "--json")[1])["heads"] == []


def test_info_tells_the_cutting_rule_and_the_number_types(run, tmp_path):
    out = run("info")[1]
    assert "long texts:    cut at the end after 512 tokens, or in windows" in out
    assert "numbers:       F16 on disk, float32 in computations\n" in out
    copy = shutil.copytree(bundled_checkpoint(), tmp_path / "copy")
    settings = json.loads((copy / "tokenizer_config.json").read_text())
    (copy / "tokenizer_config.json").write_text(json.dumps({**settings, "truncation_side": "left"}))
    assert "long texts:    cut at the start after 512 tokens" in run("info", copy)[1]
    assert json.loads(run("info", copy, "--json")[1])["cut"] == {"tokens": 512, "side": "left"}
