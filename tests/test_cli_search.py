"""`erniem search`: indexes that are built, matches that are printed, one-line errors."""

import errno
import io
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from numpy_erniem import Embedder, SearchIndex, bundled_checkpoint
from numpy_erniem.cli.main import main
from numpy_erniem.pipelines import search_files

TEXTS = ["Open the file", "打开文件", "", "The weather is fine"]


@pytest.fixture
def run(capsys):
    """Run a command line; returns exit code, stdout, stderr."""

    def call(*arguments):
        code = main(["search", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def piped(monkeypatch):
    """Put bytes on standard input."""

    def put(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), "utf-8"))

    return put


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("".join(f"{text}\n" for text in TEXTS), "utf-8")
    return path


@pytest.fixture
def index(run, source, tmp_path):
    folder = tmp_path / "index"
    assert run(folder, "--build", source)[0] == 0
    return folder


@pytest.fixture
def copy(tmp_path):
    """A copy of the bundled checkpoint, with two prompts."""
    folder = tmp_path / "model"
    shutil.copytree(bundled_checkpoint(), folder)
    settings = {"prompts": {"query": "q: ", "passage": "p: "}}
    (folder / "sentence_embedding.json").write_text(json.dumps(settings))
    return folder


def matches(out):
    return [json.loads(line) for line in out.splitlines()]


def vectors_of(texts, **options):
    return Embedder.from_pretrained()(texts, **options)


def test_the_best_matches_of_each_query_are_printed(run, index):
    code, out, _ = run(index, "Datei öffnen", "sunshine", "--top-k", 2)
    assert code == 0
    queries = vectors_of(["Datei öffnen", "sunshine"], normalize=True)
    indices, scores = SearchIndex(vectors_of(TEXTS, normalize=True)).search(queries, 2)
    assert [(m["query"], m["index"], m["text"]) for m in matches(out)] == [
        (query, i, TEXTS[i])
        for query, row in zip(["Datei öffnen", "sunshine"], indices.tolist(), strict=True)
        for i in row
    ]
    np.testing.assert_array_equal(np.float32([m["score"] for m in matches(out)]), scores.ravel())


def test_ten_matches_are_printed_unless_more_are_asked_for(run, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("a\n" * 12)
    assert "holds 12 texts" in run(tmp_path / "index", "--build", texts)[2]
    for flags, count in (((), 10), (("--top-k", 11), 11), (("--top-k", 99), 12)):
        found = matches(run(tmp_path / "index", "a", *flags)[1])
        assert [m["index"] for m in found] == list(range(count))


def test_queries_may_come_through_a_pipe(run, index, piped):
    piped("打开文件\nThe weather is fine\n".encode())
    assert [m["index"] for m in matches(run(index, "--top-k", 1)[1])] == [1, 3]


def test_queries_in_json_are_not_taken_for_text(run, index, piped):
    rows = '{"text": "打开文件"}\n{"text": "The weather is fine"}\n'.encode()
    piped(rows)
    code, out, err = run(index)
    assert (code, out) == (1, "")
    assert "standard input line 1 is JSON" in err
    for flags in (("--format", "jsonl"), ("--field", "text")):
        piped(rows)
        assert [m["index"] for m in matches(run(index, "--top-k", 1, *flags)[1])] == [1, 3]


def test_texts_and_queries_may_have_another_encoding(run, tmp_path, piped):
    text = "Öffnen Sie die Datei\n".encode("latin-1")
    (tmp_path / "texts.txt").write_bytes(text)
    flags = ("--build", tmp_path / "texts.txt")
    code, _, err = run(tmp_path / "index", *flags)
    assert (code, "name its encoding" in err) == (1, True)
    assert run(tmp_path / "index", *flags, "--encoding", "latin-1")[0] == 0
    assert SearchIndex.load(tmp_path / "index").texts[0] == "Öffnen Sie die Datei"
    piped(text)
    found = matches(run(tmp_path / "index", "--encoding", "latin-1")[1])
    assert found[0]["query"] == "Öffnen Sie die Datei"
    code, _, err = run(tmp_path / "index", "--encoding", "none")
    assert (code, "is not a known encoding" in err) == (2, True)


def test_texts_may_come_through_a_pipe(run, tmp_path, piped):
    piped(b'{"title": "a"}\n{"title": "b\\nc"}\n')
    assert run(tmp_path / "index", "--build", "-", "--field", "title")[0] == 0
    assert [*SearchIndex.load(tmp_path / "index").texts] == ["a", "b\nc"]


@pytest.mark.parametrize("flags", [(), ("--field", "title")])
def test_texts_may_be_json_lines(flags, run, tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_text('{"text": "a", "title": "b"}\n')
    run(tmp_path / "index", "--build", source, *flags)
    assert SearchIndex.load(tmp_path / "index").texts[0] == ("b" if flags else "a")


def test_the_index_records_its_model_and_searches_with_it(run, index, source, copy, tmp_path):
    assert SearchIndex.load(index).notes["model"] == "bundled"
    other = tmp_path / "other"
    assert run(other, "--build", source, "--model", os.path.relpath(copy))[0] == 0
    assert SearchIndex.load(other).notes["model"] == str(copy.resolve())
    assert run(other, "打开文件")[1] == run(index, "打开文件")[1]
    shutil.rmtree(copy)
    assert run(other, "打开文件")[0] == 2


def test_another_model_than_the_recorded_one_is_told(run, index, copy):
    code, out, err = run(index, "打开文件", "--model", copy)
    assert code == 0
    assert out == run(index, "打开文件")[1]
    assert "the index was built with bundled; scores of vectors from another model" in err
    assert run(index, "打开文件")[2] == ""


def test_vectors_without_scaling_stay_so_in_queries(run, source, tmp_path):
    run(tmp_path / "index", "--build", source, "--no-normalize")
    np.testing.assert_array_equal(SearchIndex.load(tmp_path / "index").vectors, vectors_of(TEXTS))
    best = matches(run(tmp_path / "index", TEXTS[0], "--top-k", 4)[1])
    want = vectors_of(TEXTS) @ vectors_of(TEXTS[0])
    np.testing.assert_allclose(sorted(m["score"] for m in best), sorted(want), rtol=1e-5)


def test_vectors_may_be_given(run, source, tmp_path):
    np.save(tmp_path / "v.npy", vectors_of(TEXTS, normalize=True))
    flags = ("--build", source, "--vectors", tmp_path / "v.npy")
    assert run(tmp_path / "index", *flags)[0] == 0
    code, _, err = run(tmp_path / "index", "a")
    assert code == 2
    assert "does not record which model made it; name it with --model" in err
    found = run(tmp_path / "index", TEXTS[1], "--model", bundled_checkpoint(), "--top-k", 1)[1]
    assert matches(found)[0]["index"] == 1
    assert run(tmp_path / "named", *flags, "--model", bundled_checkpoint())[0] == 0
    assert run(tmp_path / "named", TEXTS[1], "--top-k", 1)[1] == found


def test_prompts_reach_texts_and_queries(run, source, copy, tmp_path):
    run(tmp_path / "named", "--build", source, "--model", copy, "--prompt-name", "passage")
    run(tmp_path / "given", "--build", source, "--model", copy, "--prompt", "p: ")
    want = vectors_of(TEXTS, normalize=True, prompt="p: ")
    for name in ("named", "given"):
        np.testing.assert_array_equal(SearchIndex.load(tmp_path / name).vectors, want)
    flags = (tmp_path / "named", "a", "--top-k", 1)
    scores = [
        run(*flags, *prompt)[1]
        for prompt in ((), ("--prompt-name", "query"), ("--prompt", "q: "), ("--prompt", "z"))
    ]
    assert scores[1] == scores[2]
    assert len(set(scores)) == 3


def test_a_checkpoint_that_is_not_trained_is_told(run, source, copy, tmp_path):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "trained": False}))
    assert "not trained" in run(tmp_path / "index", "--build", source, "--model", copy)[2]


def test_a_recorded_revision_is_used_again(run, source, tmp_path, monkeypatch):
    seen = []
    original = Embedder.from_pretrained

    def load(model, **hub):
        seen.append((model, hub["revision"], hub["cache_dir"], hub["local_files_only"]))
        return original()

    monkeypatch.setattr(Embedder, "from_pretrained", load)
    hub = ("--cache-dir", "c", "--local-files-only")
    run(tmp_path / "i", "--build", source, "--model", "who/what", "--revision", "v1", *hub)
    run(tmp_path / "i", "a")
    run(tmp_path / "i", "a", "--revision", "v2")
    assert seen == [
        ("who/what", "v1", "c", True),
        ("who/what", "v1", None, False),
        ("who/what", "v2", None, False),
    ]


def test_texts_without_tokens_and_texts_that_are_cut_are_counted(run, tmp_path):
    (tmp_path / "texts.txt").write_text("a\n\n \n" + "file " * 600 + "\n")
    flags = ("--build", tmp_path / "texts.txt")
    _, _, err = run(tmp_path / "index", *flags)
    assert "2 of 4 texts have no token: they are empty or blank" in err
    assert "1 of 4 texts have more than 512 tokens and were cut (see --on-overflow)" in err
    assert "cut" not in run(tmp_path / "windows", *flags, "--on-overflow", "window")[2]
    got = SearchIndex.load(tmp_path / "windows").vectors[3]
    want = vectors_of("file " * 600, normalize=True, on_overflow="window")
    np.testing.assert_array_equal(got, want)
    code, _, err = run(tmp_path / "error", *flags, "--on-overflow", "error")
    assert (code, "texts[3]: 600 tokens are more than the 510" in err) == (1, True)
    assert "1 of 1 texts have no token" in run(tmp_path / "index", "")[2]


def test_a_subfolder_is_recorded_and_used_again(run, source, copy, tmp_path):
    flags = ("--build", source, "--model", copy.parent, "--subfolder", copy.name)
    assert run(tmp_path / "index", *flags)[0] == 0
    assert matches(run(tmp_path / "index", TEXTS[1], "--top-k", 1)[1])[0]["index"] == 1


def test_a_full_disk_is_told_with_the_folder(run, source, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(search_files, "_write_vectors", full)
    code, _, err = run(tmp_path / "index", "--build", source)
    assert code == 1
    assert f"{tmp_path / 'index'}: No space left on device; nothing of the index is left" in err
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{index}", "a", "--build", "{texts}"), "search in it with a second command"),
        (("{new}", "--top-k", "3", "--build", "{texts}"), "search in it with a second command"),
        (("{index}", "--build", "{texts}"), "is there already; choose another name"),
        (("{texts}", "--build", "{texts}"), "is there already; choose another name"),
        (("{new}", "--build", "{none}"), "none"),
        (("{new}", "--build", "{texts}", "--vectors", "{none}"), "none"),
        (("{new}", "--build", "{texts}", "--vectors", "{texts}"), "is not an .npy file"),
        (("{new}", "--build", "{texts}", "--vectors", "{three}"), "3 vectors and 4 texts"),
        (
            ("{new}", "--build", "{texts}", "--vectors", "{three}", "--prompt", ""),
            "nothing is embedded; leave out --prompt",
        ),
        (
            ("{new}", "--build", "{texts}", "--vectors", "{three}", "--dtype", "int8"),
            "--dtype is of a model; name the one of --vectors with --model",
        ),
        (("{new}", "a"), "is not the folder of a search index"),
        (("{index}", "a", "--top-k", "0"), "top_k 0 is not at least 1"),
        (("{index}", "a", "--field", "text"), "--field is for --build FILE"),
        (("{index}", "a", "--format", "text"), "--format is for --build FILE, or queries"),
        (("{index}", "a", "--encoding", "utf-8"), "--encoding is for --build FILE, or queries"),
        (("{index}", "a", "--vectors", "{three}"), "--vectors is for --build FILE"),
        (("{index}", "a", "--no-normalize"), "--normalize is for --build FILE"),
        (("{narrow}", "a"), "vectors of 128 numbers, but those of the index have 5"),
    ],
)
def test_wrong_commands_are_one_line_and_leave_nothing(
    arguments, message, run, index, source, tmp_path
):
    np.save(tmp_path / "three.npy", np.ones((3, 128), np.float32))
    SearchIndex(np.ones((2, 5), np.float32), ["a", "b"], {"model": "bundled"}).save(
        tmp_path / "narrow"
    )
    before = sorted(tmp_path.rglob("*"))
    names = {name: tmp_path / name for name in ("new", "none", "narrow")}
    names |= {"index": index, "texts": source, "three": tmp_path / "three.npy"}
    code, out, err = run(*(argument.format(**names) for argument in arguments))
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_terminal_gets_a_hint_in_place_of_a_wait(run, index, monkeypatch):
    monkeypatch.setattr(type(sys.stdin), "isatty", lambda self: True)
    assert "give a QUERY, or queries on standard input" in run(index)[2]


def test_an_index_without_texts_prints_none(run, tmp_path):
    vectors = vectors_of(TEXTS, normalize=True)
    SearchIndex(vectors, notes={"model": "bundled"}).save(tmp_path / "index")
    assert matches(run(tmp_path / "index", "a", "--top-k", 1)[1])[0].keys() == {
        *("query", "index", "score")
    }


def test_the_examples_of_the_help_run(tmp_path, run, capsys):
    with pytest.raises(SystemExit):
        run("--help")
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    commands = [line for line in lines if " erniem search " in f" {line}" and "usage" not in line]
    assert len(commands) == 2
    python = f'"{sys.executable}" -m numpy_erniem'
    script = " && ".join(commands).replace("erniem search", f"{python} search")
    done = subprocess.run(script, shell=True, cwd=tmp_path, capture_output=True, check=True)
    assert matches(done.stdout.decode())[0]["text"] == "Open the file"
