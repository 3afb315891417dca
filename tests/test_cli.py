"""The command `erniem`: what it prints and writes, and its one-line errors."""

import csv
import gzip
import io
import json
import math
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from numpy_erniem import (
    ErnieMConfig,
    ErnieMModel,
    backend_report,
    bundled_checkpoint,
    embed,
    get_num_threads,
    get_strassen,
    get_threading,
    set_strassen,
    set_threading,
)
from numpy_erniem.backend.cores import available_cores
from numpy_erniem.checkpoint.folder import read_folder
from numpy_erniem.checkpoint.sentence_settings import (
    DenseLayer,
    SentenceSettings,
    write_sentence_settings,
)
from numpy_erniem.cli import embed as command
from numpy_erniem.cli.main import COMMANDS, main
from numpy_erniem.pipelines import progress as progress_module
from numpy_erniem.pipelines.progress import Progress

TEXTS = ["Open a file", "打开文件", "Datei öffnen"]


@pytest.fixture
def run(capsys):
    """Run a command line; returns exit code, stdout, stderr."""

    def call(*arguments):
        code = main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def terminal(capsys, monkeypatch):
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True)


def vectors_in(out):
    return np.float32([json.loads(line)["vector"] for line in out.splitlines()])


def test_embed_prints_json_lines(run):
    code, out, _ = run("embed", *TEXTS)
    assert code == 0
    assert [json.loads(line)["text"] for line in out.splitlines()] == TEXTS
    np.testing.assert_array_equal(vectors_in(out), embed(TEXTS))


def test_a_checkpoint_that_is_not_trained_is_told(run, tmp_path):
    untrained = tmp_path / "untrained"
    shutil.copytree(bundled_checkpoint(), untrained)
    config = json.loads((untrained / "config.json").read_text())
    (untrained / "config.json").write_text(json.dumps({**config, "trained": False}))
    assert "not trained" in run("embed", "a", "--model", untrained)[2]
    assert "not trained" in run("info", untrained)[1]
    assert "not trained" not in run("embed", "a")[2]


def test_embed_shows_similarities_on_a_terminal(run, terminal):
    code, out, _ = run("embed", *TEXTS)
    assert code == 0
    unit = embed(TEXTS, normalize=True)
    assert f"{unit[0] @ unit[2]:7.3f}" in out
    assert "1.000" in out
    assert "128 numbers" in out


def test_embed_prints_json_lines_of_many_texts_on_a_terminal(run, terminal):
    _, out, _ = run("embed", *["a"] * (command.HANDFUL + 1))
    assert vectors_in(out).shape == (command.HANDFUL + 1, 128)


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_embed_reads_lines_and_writes_npy(end, run, tmp_path):
    source, target = tmp_path / "in.txt", tmp_path / "out.npy"
    source.write_bytes(((end or "\n").join(TEXTS) + end).encode("utf-8-sig"))
    code, out, _ = run("embed", "--input", source, "--output", target)
    assert (code, out) == (0, "")
    vectors = np.load(target)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, embed(TEXTS))
    assert sorted(os.listdir(tmp_path)) == ["in.txt", "out.npy"]


def test_an_empty_line_is_an_empty_text(run, tmp_path):
    source = tmp_path / "in.txt"
    source.write_text("a\n\nb\n")
    _, out, _ = run("embed", "--input", source)
    assert [json.loads(line)["text"] for line in out.splitlines()] == ["a", "", "b"]


def test_only_line_feeds_end_a_line(run, tmp_path):
    source = tmp_path / "in.txt"
    source.write_text("a\u2028b\x0bc\n", encoding="utf-8")
    _, out, _ = run("embed", "--input", source)
    assert out.count("\n") == 1


def test_embed_reads_and_writes_json_lines(run, tmp_path):
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [{"text": TEXTS[0]}, TEXTS[1], {"text": TEXTS[2], "id": 3}]
    source.write_text("\n".join(map(json.dumps, rows)))
    assert run("embed", "--input", source, "--output", target)[0] == 0
    np.testing.assert_array_equal(vectors_in(target.read_text("utf-8")), embed(TEXTS))


def test_field_names_the_key_of_the_text(run, tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text('{"title": "a", "text": "b"}')
    _, out, _ = run("embed", "--input", source, "--field", "title")
    assert json.loads(out)["text"] == "a"


def test_standard_input(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("öl\n".encode())))
    _, out, _ = run("embed", "--input", "-")
    assert json.loads(out)["text"] == "öl"


@pytest.fixture
def standard_input(monkeypatch):
    def put(text):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    return put


@pytest.mark.parametrize("flags", [["--field", "title"], ["--format", "jsonl", "--field", "title"]])
def test_standard_input_with_a_field_is_json_lines(flags, run, standard_input):
    standard_input('{"title": "a"}\n\n{"title": "b"}\n')
    _, out, _ = run("embed", "--input", "-", *flags)
    assert [json.loads(line)["text"] for line in out.splitlines()] == ["a", "b"]


def test_standard_input_beside_files_has_the_field_too(run, standard_input, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"title": "b"}\n')
    standard_input('{"title": "a"}\n')
    flags = ("--input", "-", "--input", tmp_path / "rows.jsonl", "--field", "title")
    assert [json.loads(line)["text"] for line in run("embed", *flags)[1].splitlines()] == ["a", "b"]


@pytest.mark.parametrize(("kind", "text"), [("text", '"a"'), ("jsonl", "a")])
def test_format_tells_how_to_read(kind, text, run, standard_input):
    standard_input('"a"\n')
    _, out, _ = run("embed", "--input", "-", "--format", kind)
    assert json.loads(out)["text"] == text


def test_format_overrides_the_name_of_the_file(run, tmp_path):
    for name, kind in (("in.txt", "jsonl"), ("in.jsonl", "text")):
        (tmp_path / name).write_text('{"a": "b"}')
        flags = ["--field", "a"] if kind == "jsonl" else []
        _, out, _ = run("embed", "--input", tmp_path / name, "--format", kind, *flags)
        assert json.loads(out)["text"] == ("b" if kind == "jsonl" else '{"a": "b"}')


def test_blank_lines_between_json_lines_are_skipped(run, tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text('"a"\n\n  \r\n"b"\n')
    _, out, _ = run("embed", "--input", source)
    assert [json.loads(line)["text"] for line in out.splitlines()] == ["a", "b"]


def test_a_gzipped_input(run, tmp_path):
    source = tmp_path / "in.jsonl.gz"
    source.write_bytes(gzip.compress(b'"a"\n'))
    _, out, _ = run("embed", "--input", source)
    assert json.loads(out)["text"] == "a"


SURROGATES = ["a\ud800b", "\udce9", "打开 \udfff"]


@pytest.mark.parametrize("target", ["out.jsonl", None])
def test_half_of_a_surrogate_pair_does_not_lose_the_run(target, run, tmp_path):
    flags = ["--output", tmp_path / target] if target else []
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps(text) + "\n" for text in SURROGATES))
    code, out, err = run("embed", *flags, "--input", source)
    assert code == 0, err
    lines = (tmp_path / target).read_text("utf-8") if target else out
    assert [json.loads(line)["text"] for line in lines.splitlines()] == SURROGATES


ESCAPED = ["a\\ud800b", "\\udce9", "打开 \\udfff"]


def test_half_of_a_surrogate_pair_is_an_escape_in_csv(run, tmp_path):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.csv"
    source.write_text("".join(json.dumps(text) + "\n" for text in SURROGATES))
    code, _, err = run("embed", "--input", source, "--output", out)
    assert code == 0, err
    with out.open(encoding="utf-8") as file:
        assert [row["text"] for row in csv.DictReader(file)] == ESCAPED


def test_half_of_a_surrogate_pair_is_an_escape_in_parquet(run, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    source, out = tmp_path / "in.jsonl", tmp_path / "out.parquet"
    rows = [{"text": text, "more": {"words": [text]}} for text in SURROGATES]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, _, err = run("embed", "--keep", "more", "--input", source, "--output", out)
    assert code == 0, err
    table = parquet.read_table(out)
    assert table["text"].to_pylist() == ESCAPED
    assert [more["words"] for more in table["more"].to_pylist()] == [[text] for text in ESCAPED]


def test_half_of_a_surrogate_pair_on_a_terminal(run, terminal):
    code, out, err = run("embed", *SURROGATES[::2])
    assert code == 0, err
    assert "a\\ud800b" in out


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp932"])
def test_json_for_a_stream_that_is_not_utf8(encoding, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    assert main(["embed", *TEXTS, "é😀"]) == 0
    sys.stdout.flush()
    lines = raw.getvalue().decode(encoding).splitlines()
    assert [json.loads(line)["text"] for line in lines] == [*TEXTS, "é😀"]


def test_a_terminal_that_is_not_utf8_gets_escapes(monkeypatch):
    raw = io.BytesIO()
    screen = io.TextIOWrapper(raw, encoding="ascii")
    screen.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", screen)
    assert main(["embed", *TEXTS]) == 0
    screen.flush()
    assert "\\u6253\\u5f00\\u6587\\u4ef6" in raw.getvalue().decode("ascii")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_for_a_terminal_that_is_not_utf8(command, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    sys.stdout.flush()
    assert raw.getvalue().startswith(b"usage: erniem")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device")
def test_standard_output_that_is_full(tmp_path):
    source = tmp_path / "in.txt"
    source.write_text("a\n")
    command = [sys.executable, "-m", "numpy_erniem", "embed", "--input", str(source)]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "erniem: standard output: No space left on device\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device")
@pytest.mark.parametrize("arguments", [("embed", "a"), ("info",), ("info", "--json")])
def test_standard_output_that_is_full_is_told_in_one_line(arguments):
    command = [sys.executable, "-m", "numpy_erniem", *arguments]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode in (1, 2)  # as it is flushed by the rows, by a print or at the end
    assert done.stderr.startswith("erniem: ")
    assert done.stderr.endswith("No space left on device\n")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_has_gone_is_no_error():
    command = [sys.executable, "-m", "numpy_erniem", "info"]
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc takes no folders, from root neither")
@pytest.mark.parametrize(
    ("arguments", "told_last"),
    [
        (("search", "/proc/index", "--build", "{0}"), "erniem: /proc: No such file or directory"),
        (
            ("convert", str(bundled_checkpoint()), "/proc/out"),
            "erniem: /proc: No such file or directory",
        ),
        (
            ("explain", "a b", "--out", "/proc/page.html"),
            "erniem: /proc/page.html cannot be written: No such file or directory; "
            "choose another place",
        ),
    ],
)
def test_a_folder_that_takes_no_files_is_named(arguments, told_last, run, tmp_path):
    source = tmp_path / "in.txt"
    source.write_text("a\n")
    code, out, told = run(*(argument.format(source) for argument in arguments))
    assert (code, out) == (2, "")
    assert told.splitlines()[-1] == told_last


def test_info_as_json_for_a_stream_that_is_not_utf8(monkeypatch, tmp_path):
    copy = shutil.copytree(bundled_checkpoint(), tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "name": "Wörter"}))
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert main(["info", str(copy), "--json"]) == 0
    sys.stdout.flush()
    assert json.loads(raw.getvalue())["config"]["name"] == "Wörter"


@pytest.mark.parametrize(
    ("flags", "options"),
    [
        (["--pooling", "cls"], {"pooling": "cls"}),
        (["--pooling", "pooler"], {"pooling": "pooler"}),
        (["--layer", "1"], {"layer": 1}),
        (["--dimensions", "5"], {"dimensions": 5}),
        (["--normalize"], {"normalize": True}),
        (["--prompt", "query: "], {"prompt": "query: "}),
        (["--model", bundled_checkpoint()], {}),
    ],
)
def test_options_reach_the_embedder(flags, options, run):
    _, out, _ = run("embed", *flags, "--", *TEXTS)
    np.testing.assert_array_equal(vectors_in(out), embed(TEXTS, **options))


def test_batch_tokens_bounds_the_batches(run, monkeypatch):
    seen = []
    real = command.Embedder.reduce

    def spy(self, batch):
        seen.append(int(batch.starts[-1]))
        return real(self, batch)

    monkeypatch.setattr(command.Embedder, "reduce", spy)
    run("embed", "--batch-tokens", "7", "--", "a", "b", "c", "d")
    assert seen == [6, 6]


def test_prompt_name_reaches_the_embedder(run, tmp_path):
    copy = shutil.copytree(bundled_checkpoint(), tmp_path / "copy")
    (copy / "sentence_embedding.json").write_text('{"prompts": {"passage": "p: "}}')
    _, out, _ = run("embed", "--model", copy, "--prompt-name", "passage", "--", *TEXTS)
    np.testing.assert_array_equal(vectors_in(out), embed(TEXTS, prompt="p: "))


def test_progress_is_shown_after_two_seconds(monkeypatch):
    clock = iter([0.0, 1.0, 3.0, 9.0, 14.0, 15.0])
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(clock))
    file = io.StringIO()
    progress = Progress(file, "texts")
    for done in (10, 20, 30, 40, 50):
        progress(done, 50)
    assert file.getvalue().splitlines() == [
        "40 of 50 texts, 4 s left ",
        "50 of 50 texts, 0 s left ",
    ]


def test_short_work_shows_no_progress(monkeypatch):
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: 0.0)
    file = io.StringIO()
    Progress(file, "texts")(5, 5)
    assert file.getvalue() == ""


def test_progress_of_bytes_is_in_megabytes(monkeypatch):
    clock = iter([0.0, 11.0])
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(clock))
    file = io.StringIO()
    Progress(file, "MB", scale=1e6)(2_000_000, 4_000_000)
    assert file.getvalue() == "2 of 4 MB, 11 s left \n"


def test_info_tells_of_config_tensors_memory_and_backend(run):
    code, out, _ = run("info")
    assert code == 0
    V = ErnieMConfig.from_pretrained(bundled_checkpoint()).vocab_size
    tensors = read_folder(bundled_checkpoint())
    weights = sum(math.prod(tensor.shape) for tensor in tensors.values())
    for fact in (
        "3, 128 wide, 4 heads",
        f"{V} entries",
        "512 tokens",
        f"{len(tensors)}, F16",
        f"{weights / 1e6:.1f} M",
        "backend",
    ):
        assert fact in out
    assert "not trained" not in out
    assert "word_embeddings" not in out
    assert f"{V}×128  ernie_m.embeddings.word_embeddings.weight" in run("info", "--tensors")[1]


def test_info_tells_the_threads_of_the_kernels(run):
    report, before = backend_report(), get_threading()
    if report["backend"] == "numpy":
        assert "threads:" not in run("info")[1]
        return
    number = min(get_num_threads(), available_cores())
    for name, want in (("pool", number), ("serial", 1)):
        set_threading(name)
        assert f"threads:       {want} ({name})\n" in run("info")[1]
        facts = json.loads(run("info", "--json")[1])
        assert (facts["threading"], facts["threads"]) == (name, want)
    set_threading(before)


def test_info_tells_that_strassens_algorithm_is_on(run, same_bits):
    before = get_strassen()
    try:
        for wanted in (True, False):
            set_strassen(wanted)
            assert ("products:      large ones by Strassen's" in run("info")[1]) is wanted
            assert json.loads(run("info", "--json")[1])["strassen"] is wanted
    finally:
        set_strassen(before)


def test_info_tells_the_kernel_of_each_number_type(run):
    named = ", ".join(f"{name} {how}" for name, how in backend_report()["kernels"].items())
    in_use = bool(named) and backend_report()["backend"] == "native"
    assert (f"kernels:       {named}\n" in run("info")[1]) == in_use
    assert json.loads(run("info", "--json")[1])["kernels"] == backend_report()["kernels"]


def test_info_trusts_the_weights_for_the_intermediate_size(run, tmp_path):
    copy = shutil.copytree(bundled_checkpoint(), tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "intermediate_size": 3072}))
    _, out, err = run("info", copy)
    assert f"feed-forward {config['intermediate_size']}" in out
    assert "config.json says intermediate_size 3072" in err


def test_info_tells_how_sentence_vectors_are_made(run, tmp_path, rng):
    assert "pooling mean, not normalized; compared by cosine" in run("info")[1]
    copy = shutil.copytree(bundled_checkpoint(), tmp_path / "copy")
    weight = rng.standard_normal((7, 256)).astype(np.float32)
    settings = SentenceSettings(
        "cls+mean",
        (DenseLayer(weight, weight[:, 0], "tanh", normalize_first=True),),
        normalize=True,
        prompts={"query": "q:\n", "none": ""},
        default_prompt_name="query",
        include_prompt=False,
        max_length=9,
        similarity="dot",
    )
    write_sentence_settings(copy, settings)
    _, out, _ = run("info", copy)
    for line in (
        "pooling cls+mean, length 1, Dense 256 to 7 tanh, length 1; compared by dot",
        "sentence size: 7 numbers",
        "cut at:        9 tokens",
        "prompt 'query': 'q:\\n' (default)",
        "prompt 'none': ''",
        "prompt tokens: left out of the pooling",
    ):
        assert line in out
    facts = json.loads(run("info", copy, "--json")[1])["sentence_vectors"]
    assert facts == {**settings.to_dict(), "recorded": True, "width": 7}


def test_info_tells_that_nothing_is_recorded(run, tmp_path):
    copy = shutil.copytree(bundled_checkpoint(), tmp_path / "copy")
    (copy / "sentence_embedding.json").unlink()
    assert "nothing recorded: the mean of the token vectors is a guess" in run("info", copy)[1]
    assert json.loads(run("info", copy, "--json")[1])["sentence_vectors"]["recorded"] is False


def test_info_as_json(run):
    facts = json.loads(run("info", bundled_checkpoint(), "--json")[1])
    assert facts["config"]["hidden_size"] == 128
    assert facts["tensors"]["ernie_m.pooler.dense.bias"] == {"dtype": "F16", "shape": [128]}
    small = facts["bytes_converted_to_float32"] // 4
    assert facts["parameters"] == small + facts["bytes_mapped"] // 2
    assert 0 < small < facts["parameters"] // 10


def test_info_tells_of_int8(run, tmp_path):
    key = {"dtype": "int8", "keep_float": ["encoder.layers.1.linear2"]}
    model = ErnieMModel.from_pretrained(bundled_checkpoint(), dtype="int8", quantization=key)
    model.save_pretrained(tmp_path)
    _, out, _ = run("info", tmp_path)
    assert "int8 in computations" in out
    assert "floats kept:   encoder.layers.1.linear2" in out
    assert f"{model.num_parameters() / 1e6:.1f} M" in out  # scales are not counted
    facts = json.loads(run("info", tmp_path, "--json")[1])
    assert facts["parameters"] == model.num_parameters()


@pytest.mark.parametrize(("says_int8", "is_int8"), [(True, False), (False, True)])
def test_info_tells_that_config_and_weights_disagree_on_int8(run, tmp_path, says_int8, is_int8):
    dtype = "int8" if is_int8 else None
    ErnieMModel.from_pretrained(bundled_checkpoint(), dtype=dtype).save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    values["quantization"] = {"dtype": "int8"} if says_int8 else None
    (tmp_path / "config.json").write_text(json.dumps(values))
    name, kind = "embeddings.word_embeddings.weight", "I8" if is_int8 else "F16"
    _, out, _ = run("info", tmp_path)
    assert f"loading refuses beside config.json: {name} is {kind}, and 18 more" in out
    assert "in computations" not in out
    facts = json.loads(run("info", tmp_path, "--json")[1])
    assert len(facts["unlike_config"]) == 19
    assert facts["unlike_config"][0] == name
    assert run("embed", "a", "--model", tmp_path)[0] == 2


BAD = {
    "nothing": (["embed"], "give texts or --input PATH"),
    "both": (["embed", "a", "--input", "in.txt"], "give texts or --input PATH"),
    "no file": (["embed", "--input", "nowhere.txt"], "nowhere.txt"),
    "no model": (["embed", "a", "--model", "nowhere"], "nowhere is not a folder"),
    "empty file": (["embed", "--input", "empty.txt"], "empty.txt is empty"),
    "not UTF-8": (["embed", "--input", "latin.txt"], "latin.txt line 1 is not UTF-8"),
    "not JSON": (["embed", "--input", "bad.jsonl"], "bad.jsonl line 1 is not JSON"),
    "no field": (["embed", "--input", "field.jsonl"], "field.jsonl line 1 has no 'text'"),
    "no text": (["embed", "--input", "number.jsonl"], "line 1 is a JSON int, not a text"),
    "output": (["embed", "a", "--output", "a.txt"], "an output ends in one of .jsonl, "),
    "blank JSON lines": (["embed", "--input", "blank.jsonl"], "blank.jsonl is empty"),
    "field of text": (["embed", "--input", "in.txt", "--field", "a"], "add --format jsonl"),
    "kept in an array": (
        ["embed", "--input", "field.jsonl", "--keep", "a", "--output", "a.NPY"],
        "--keep: an array holds vectors alone",
    ),
    "field of arguments": (["embed", "a", "--field", "a"], "--field, --format and --keep are for"),
    "output is a folder": (
        ["embed", "a", "--output", "folder.npy"],
        "folder.npy cannot be written: it is a folder",
    ),
    "output name": (["embed", "a", "--output", "a" * 999 + ".npy"], "cannot be written"),
    "output folder": (
        ["embed", "a", "--output", "no/where.npy"],
        "no/where.npy cannot be written: No such file",
    ),
    "batch": (["embed", "a", "--batch-tokens", "0"], "batch_tokens 0"),
    "info": (["info", "nowhere"], "nowhere is not a folder"),
    "info empty": (["info", "."], "no config.json"),
}


DATA = ("empty file", "not UTF-8", "not JSON", "no field", "no text", "blank JSON lines")


@pytest.mark.parametrize("output", ["no/where.npy", "folder.npy", "folder.jsonl", "file/a.npy"])
def test_an_output_is_checked_before_a_model_is_loaded(output, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.npy").mkdir()
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr(command.Embedder, "from_pretrained", None)
    code, _, err = run("embed", "a", "--output", output)
    assert code == 2
    assert f"erniem: {output} cannot be written" in err


def test_a_run_that_cannot_be_resumed_is_told_before_a_model_is_loaded(run, tmp_path, monkeypatch):
    (tmp_path / "rows.jsonl").write_text('"a"\n3\n')
    flags = ("--input", tmp_path / "rows.jsonl", "--output", tmp_path / "out.jsonl")
    assert run("embed", *flags)[0] == 1
    monkeypatch.setattr(command.Embedder, "from_pretrained", None)
    assert "interrupted after 1 rows; resume it" in run("embed", *flags)[2]
    err = run("embed", *flags, "--resume", "--pooling", "max")[2]
    assert "the run to resume had pooling None, now it is 'max'" in err


def test_a_run_may_be_resumed_without_the_network(run, tmp_path):
    source, flags = tmp_path / "rows.jsonl", ("--output", tmp_path / "out.jsonl")
    source.write_text('"a"\n3\n')
    assert run("embed", "--input", source, *flags)[0] == 1
    source.write_text('"a"\n"b"\n')
    hub = ("--local-files-only", "--cache-dir", tmp_path / "cache")
    assert run("embed", "--input", source, *flags, "--resume", *hub)[0] == 0
    assert len(vectors_in((tmp_path / "out.jsonl").read_text())) == 2


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_an_output_in_a_folder_that_is_not_ours_is_refused_early(run, tmp_path, monkeypatch):
    monkeypatch.setattr(command.Embedder, "from_pretrained", None)
    tmp_path.chmod(0o500)
    _, _, err = run("embed", "a", "--output", tmp_path / "a.npy")
    tmp_path.chmod(0o700)
    assert "cannot be written: Permission denied" in err


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(case, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.txt").write_text("a\n")
    (tmp_path / "empty.txt").touch()
    (tmp_path / "latin.txt").write_bytes(b"\xe9\na\n")
    (tmp_path / "bad.jsonl").write_text('{\n"a"\n')
    (tmp_path / "field.jsonl").write_text('{"texts": "a"}\n')
    (tmp_path / "number.jsonl").write_text("3\n")
    (tmp_path / "blank.jsonl").write_text("\n \n")
    (tmp_path / "folder.npy").mkdir()
    before = sorted(os.listdir())
    arguments, message = BAD[case]
    code, out, err = run(*arguments)
    lines = err.splitlines()
    assert (code, out, len(lines)) == (1 if case in DATA else 2, "", 1), err
    assert lines[0].startswith("erniem: ")
    assert message in lines[0]
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize("arguments", [[], ["embd"], ["embed", "--pooling", "first"]])
def test_a_wrong_command_line_is_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_rows_that_are_cut_or_without_tokens_are_counted(run):
    code, _, err = run("embed", "--", "file " * 600, "", " ", "a")
    assert code == 0
    assert "erniem: 1 of 4 texts have more than 512 tokens and were cut" in err
    assert "erniem: 2 of 4 texts have no token" in err
    assert run("embed", "--on-overflow", "window", "file " * 600)[2] == ""


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "numpy_erniem", "--version"], capture_output=True, text=True
    )
    assert done.stdout.startswith("numpy-erniem ")


@pytest.mark.skipif(os.name != "posix", reason="pipes are POSIX's")
def test_a_closed_pipe_is_no_error():
    done = subprocess.run(
        f"{sys.executable} -m numpy_erniem info --tensors | head -n 1",
        shell=True,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""


@pytest.mark.skipif(os.name != "posix", reason="the shell closes streams")
@pytest.mark.parametrize(
    ("closed", "arguments", "code", "told"),
    [
        (">&-", "a", 0, ""),
        ("2>&-", "a", 0, ""),
        ("<&-", "--input -", 1, "erniem: standard input is empty; it needs at least one row\n"),
    ],
)
def test_a_closed_stream_is_no_crash(closed, arguments, code, told):
    command = f"{sys.executable} -W ignore -m numpy_erniem embed {arguments} {closed}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.returncode == code
    assert (
        done.stderr.replace(
            "erniem: this checkpoint is not trained: vectors carry no meaning\n", ""
        )
        == told
    )


def test_an_encoding_that_is_none_of_text_is_refused(run, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    code, _, err = run("embed", "--input", tmp_path / "a.txt", "--encoding", "base64")
    assert (code, err.count("\n")) == (2, 1)
    assert "encoding 'base64' is not a known encoding of text" in err


def test_a_column_is_kept_once(run, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a", "id": 1}')
    code, _, err = run("embed", "--input", tmp_path / "a.jsonl", "--keep", "id", "id")
    assert (code, err) == (2, "erniem: --keep id is there twice; leave one out\n")
