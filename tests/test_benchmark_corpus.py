"""The benchmark of a corpus: what it runs, compares and tells; no test looks at a time."""

import json
import os
from argparse import Namespace

import numpy as np
import pytest

from numpy_erniem import Embedder, bundled_checkpoint, get_num_threads, set_num_threads
from numpy_erniem.backend.dispatch import backend_choice

pytest.importorskip("numpy_erniem._kernels")
pytest.importorskip("benchmarks.corpus")

from benchmarks import corpus, corpus_race, corpus_worker, engines, measuring, tables, workers
from benchmarks.corpus_race import Contestant, Race, compare_vectors

TEXTS = [
    "Open",
    "A file that is open",
    "Close it at once, and then the other one, too",
    "",
    "Datei",
]

PACKED = Contestant("native", "packed", 1024)
COME, SORTED = Contestant("torch", "come", 32), Contestant("torch", "sorted", 32)
FOUR, EIGHT = Contestant("openvino", "sorted", 4), Contestant("openvino", "sorted", 8)


@pytest.fixture
def folder(tmp_path):
    """What a worker finds: the bundled checkpoint with some texts."""
    corpus.prepare_folder(tmp_path / "work", bundled_checkpoint(), TEXTS, ["native"])
    return tmp_path / "work"


@pytest.fixture
def settings_of_a_worker(monkeypatch):
    """A worker sets backend and threads of its process; here they are set back."""
    backend_choice()  # reads the environment, once
    monkeypatch.setenv("NUMPY_ERNIEM_BACKEND", os.environ.get("NUMPY_ERNIEM_BACKEND", "auto"))
    threads = get_num_threads()
    yield
    set_num_threads(threads)


def unit_means(texts):
    vectors = Embedder.from_pretrained(pooling="mean")(texts)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def padded_engine(shapes):
    """An engine that notes the shapes of its batches; it hides padding as the others do."""

    def engine(folder, threads):
        model = Embedder.from_pretrained(folder).model

        def forward(ids):
            shapes.append(ids.shape)
            return model(ids).last_hidden_state

        return forward

    return engine


def test_each_engine_has_its_batches():
    names = ["native", "torch", "openvino", "native"]
    assert corpus.contestants(names, [1024], [4, 8]) == [PACKED, COME, SORTED, FOUR, EIGHT]


def test_lines_are_texts_an_empty_one_too(tmp_path):
    path = tmp_path / "texts"
    path.write_bytes("a\n\nb\u2028c\nd".encode())
    assert corpus.read_texts(path, None) == ["a", "", "b\u2028c", "d"]


def test_fewer_texts_are_taken_at_equal_distances(tmp_path):
    path = tmp_path / "texts"
    path.write_text("\n".join(map(str, range(10))))
    assert corpus.read_texts(path, 5) == ["0", "2", "4", "6", "8"]
    assert corpus.read_texts(path, 99) == list(map(str, range(10)))


@pytest.mark.parametrize(("content", "message"), [(b"", "no texts"), (b"a\n\xff\n", "not UTF-8")])
def test_a_file_without_texts_is_refused(tmp_path, content, message):
    path = tmp_path / "texts"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        corpus.read_texts(path, None)


def test_the_files_of_a_model_stay_as_they_are(tmp_path):
    model, work = tmp_path / "model", tmp_path / "work"
    model.mkdir()
    for name in ("config.json", "texts.json", "model.onnx", "native.npy"):
        (model / name).write_text("theirs")
    corpus.prepare_folder(work, model, ["ours"], ["native"])
    assert {path.name for path in work.iterdir()} == {"config.json", "texts.json"}
    assert json.loads((work / "texts.json").read_text()) == ["ours"]
    assert (model / "texts.json").read_text() == "theirs"


def test_a_folder_with_another_model_is_refused(tmp_path, folder):
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"config\.json is not that of .* an empty --folder"):
        corpus.prepare_folder(folder, other, TEXTS, ["native"])
    corpus.prepare_folder(folder, bundled_checkpoint(), TEXTS, ["native"])


def test_files_are_copied_where_they_cannot_be_linked(tmp_path, monkeypatch):
    def refuse(path, there):
        raise OSError("another disk")

    monkeypatch.setattr(os, "link", refuse)
    corpus.prepare_folder(tmp_path / "work", bundled_checkpoint(), TEXTS, ["native"])
    corpus.prepare_folder(tmp_path / "work", bundled_checkpoint(), TEXTS, ["native"])
    names = {path.name for path in bundled_checkpoint().iterdir()}
    assert {path.name for path in (tmp_path / "work").iterdir()} == names | {"texts.json"}


def test_the_model_is_exported_for_the_engines_that_need_it(tmp_path, monkeypatch):
    exported = []
    monkeypatch.setattr(engines, "export_onnx", exported.append)
    corpus.prepare_folder(tmp_path, bundled_checkpoint(), TEXTS, ["native", "torch"])
    assert exported == []
    corpus.prepare_folder(tmp_path, bundled_checkpoint(), TEXTS, ["openvino"])
    assert exported == [tmp_path]


def options(**changed):
    given = {"corpus": None, "model": None, "texts": None, "threads": 3, "rounds": 7, "price": None}
    return Namespace(**{**given, "batch_tokens": [64, 1024], "batch_sizes": [4, 8], **changed})


@pytest.fixture
def told_rows(monkeypatch):
    """What the measurement was called with."""
    told = []
    monkeypatch.setattr(engines, "export_onnx", lambda folder: None)
    monkeypatch.setattr(corpus, "corpus_rows", lambda *got: told.append(got) or iter([{"n": 1}]))
    return told


def test_options_reach_the_measurement(tmp_path, told_rows):
    path = tmp_path / "texts"
    path.write_text("a\nb\nc\nd\n")
    given = options(corpus=path, model=bundled_checkpoint(), texts=2)
    rows = corpus.measured("corpus", given, ["native", "openvino"], tmp_path / "work")
    assert list(rows) == [{"n": 1, "source": "texts"}]
    entrants = [Contestant("native", "packed", 64), PACKED, FOUR, EIGHT]
    assert told_rows == [(tmp_path / "work", ["a", "c"], entrants, 3, 7)]


def test_without_a_file_texts_of_mixed_lengths_are_made(folder, told_rows):
    rows = corpus.measured("corpus", options(texts=300), ["native"], folder)
    assert [row["source"] for row in rows] == ["made"]
    lengths = [len(text.split()) for text in told_rows[0][1]]
    assert len(lengths) == 300
    assert min(lengths) < 8 < np.median(lengths) < 32 < 150 < max(lengths) <= 500
    assert corpus.made_texts(300) == told_rows[0][1]


def test_a_random_model_gets_the_bundled_tokenizer_and_its_files_are_linked(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "int8").mkdir()
    (tmp_path / "int8" / "config.json").write_text("int8")
    work = corpus.work_folder(tmp_path, None, None)
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text("another model")
    assert corpus.work_folder(tmp_path, None, None) == work
    assert (work / "config.json").read_text() == "another model"
    assert (work / "int8" / "config.json").read_text() == "int8"
    assert (work / "vocab.txt").read_bytes() == (bundled_checkpoint() / "vocab.txt").read_bytes()
    assert not (work / "corpus").exists()


def test_a_file_without_texts_ends_with_one_line(tmp_path):
    (tmp_path / "texts").touch()
    with pytest.raises(SystemExit, match="has no texts"):
        corpus.measured("corpus", options(corpus=tmp_path / "texts"), ["native"], tmp_path)


@pytest.mark.usefixtures("settings_of_a_worker")
def test_our_vectors_are_unit_means(folder, close):
    embed = corpus_worker.ours("native", folder, 1)
    close(embed(TEXTS, "packed", 16), unit_means(TEXTS), "primitive")


@pytest.mark.usefixtures("settings_of_a_worker", "same_bits")
def test_our_engine_by_amx_is_that_kernel_or_missing(folder):
    from numpy_erniem.backend import settings

    if "amx" not in settings.available_kernels("float32"):
        with pytest.raises(ImportError, match="there is no float32 kernel 'amx' here"):
            corpus_worker.ours("native-amx", folder, 1)
        return
    corpus_worker.ours("native-amx", folder, 1)
    chosen = settings.kernels()["float32"]
    settings.choose_isa(settings.available_isas()[0])
    assert chosen == "amx"


@pytest.mark.parametrize("order", ["come", "sorted"])
def test_a_peer_gives_the_same_vectors_in_the_order_of_the_texts(folder, monkeypatch, close, order):
    shapes = []
    monkeypatch.setitem(engines.ENGINES, "peer", padded_engine(shapes))
    embed = corpus_worker.peer("peer", folder, 1)
    close(embed(TEXTS, order, 2), unit_means(TEXTS), "primitive")
    lengths = [len(row) for row in corpus_worker.make_rows(folder)(TEXTS)]
    taken = sorted(lengths, reverse=True) if order == "sorted" else lengths
    assert shapes == [(len(taken[n : n + 2]), max(taken[n : n + 2])) for n in (0, 2, 4)]


def test_texts_are_cut_for_the_peers_as_for_us(folder):
    from numpy_erniem import ErnieMConfig

    longest = ErnieMConfig.from_pretrained(folder).max_length
    assert len(corpus_worker.make_rows(folder)(["word " * 3 * longest])[0]) == longest


@pytest.mark.usefixtures("settings_of_a_worker", "same_bits")
def test_clocks_count_every_part_and_change_nothing(folder):
    from numpy_erniem.backend import native

    kernels, prepare = dict(native.KERNELS), Embedder.prepare
    embed = corpus_worker.ours("native", folder, 1)
    vectors, parts = corpus_worker.clocked(embed, TEXTS, 1024)
    assert set(parts) == {"tokenizer", "linear maps", "attention", "embeddings", "rest"}
    assert min(parts.values()) > 0
    np.testing.assert_array_equal(vectors, embed(TEXTS, "packed", 1024))
    assert kernels == native.KERNELS
    assert Embedder.prepare is prepare


@pytest.mark.parametrize("change", [1e-3, np.nan])
def test_vectors_that_differ_are_not_timed(change):
    first = unit_means(TEXTS[:2])
    assert compare_vectors(FOUR, first, first)["difference"] == 0
    other = first.copy()
    other[1, 5] += change
    with pytest.raises(measuring.DifferentError, match=r"openvino \(sorted, 4\): vectors differ"):
        compare_vectors(FOUR, other, first)
    with pytest.raises(measuring.DifferentError, match=r"shape \(1, 128\), not \(2, 128\)"):
        compare_vectors(FOUR, first[:1], first)


class Answering:
    """A worker that tells these seconds, one after another, for each kind of batch."""

    def __init__(self, engine, path, seconds):
        self.engine, self.path, self.seconds, self.asked = engine, path, seconds, []

    def ask(self, order, batch, step):
        self.asked.append((order, batch, step))
        if not self.seconds:
            return {"missing": "the process ended"}
        np.save(self.path, np.eye(2, dtype=np.float32))
        return {"file": str(self.path), "seconds": self.seconds[order, batch].pop(0), "parts": {}}


@pytest.fixture
def still(monkeypatch):
    """No waiting, and limits that are not measured."""
    monkeypatch.setattr(corpus_race, "wait_until_quiet", lambda: None)
    monkeypatch.setattr(
        corpus_race.limits, "multiply_add_peak", iter([1.0, 9.0, 2.0, 3.0]).__next__
    )
    monkeypatch.setattr(corpus_race.limits, "memory_bandwidth", lambda: 20.0)


@pytest.mark.usefixtures("still")
def test_slow_batches_run_once_and_the_best_of_each_engine_always(tmp_path):
    seconds = {
        "native": {("packed", 1024): [1.0, 0.9]},
        "torch": {("come", 32): [9.0], ("sorted", 32): [5.0, 6.0]},
        "openvino": {("sorted", 4): [2.0, 1.5], ("sorted", 8): [2.1]},
    }
    found = {name: Answering(name, tmp_path / f"{name}.npy", s) for name, s in seconds.items()}
    race = Race(found, [PACKED, COME, SORTED, FOUR, EIGHT])
    race.run(2)
    assert race.seconds == {
        PACKED: [1.0, 0.9],
        COME: [9.0],
        SORTED: [5.0, 6.0],
        FOUR: [2.0, 1.5],
        EIGHT: [2.1],
    }
    assert race.compared[COME] == {"difference": 0.0, "cosine": 1.0, "mean_cosine": 1.0}
    assert (race.peak, race.bandwidth) == (9.0, 20.0)
    assert list(tmp_path.iterdir()) == []


def test_a_sample_is_compared_first(tmp_path):
    worker = Answering("openvino", tmp_path / "a.npy", {("sorted", 4): [1.0], ("sorted", 8): [1.0]})
    Race({"openvino": worker}, [PACKED, FOUR, EIGHT]).compare(100)
    assert worker.asked == [("sorted", 4, 3), ("sorted", 8, 3)]


def test_an_engine_without_vectors_is_an_error(tmp_path):
    worker = Answering("openvino", tmp_path / "a.npy", {})
    with pytest.raises(measuring.DifferentError, match="openvino gave no vectors: the process"):
        Race({"openvino": worker}, [FOUR]).compare(5)


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.usefixtures("still")
def test_a_peer_that_differs_or_ends_is_refused_and_the_others_are_timed(tmp_path, ours):
    class Differing(Answering):
        def ask(self, order, batch, step):
            got = super().ask(order, batch, step)
            if batch == 8:
                np.save(self.path, np.eye(2, dtype=np.float32)[::-1])
            return got

    seconds = {("packed", 1024): [1.0, 1.0], ("sorted", 4): [2.0, 2.0], ("sorted", 8): [3.0, 3.0]}
    engine = "native" if ours else "openvino"
    wrong = Contestant(engine, "sorted", 8)
    found = {
        "native": Answering("native", tmp_path / "a.npy", seconds),
        "torch": Answering("torch", tmp_path / "b.npy", {}),
        engine: Differing(engine, tmp_path / "c.npy", seconds),
    }
    race = Race(found, [PACKED, SORTED, Contestant(engine, "sorted", 4), wrong])
    if ours:
        with pytest.raises(measuring.DifferentError, match="differ by 1"):
            race.compare(5)
        return
    race.compare(5)
    race.run(1)
    assert race.refused == {
        SORTED: "torch gave no vectors: the process ended",
        wrong: "openvino (sorted, 8): vectors differ by 1.0e+00 from those of the first engine "
        "(at most 0.0001), cosine 0.000000 (at least 0.99999)",
    }
    assert race.seconds == {PACKED: [1.0], FOUR: [2.0], SORTED: [], wrong: []}


@pytest.mark.usefixtures("still")
def test_a_corpus_is_measured_in_processes_of_their_own(folder, monkeypatch):
    monkeypatch.setattr(workers, "wait_until_quiet", lambda: None)
    entrants = [Contestant("native", "packed", 16), PACKED]
    rows = list(corpus_race.corpus_rows(folder, TEXTS, entrants, 1, 2))
    lengths = [len(row) for row in corpus_worker.make_rows(folder)(TEXTS)]
    assert [(row["order"], row["batch"]) for row in rows] == [("packed", 16), ("packed", 1024)]
    for row in rows:
        assert (row["texts"], row["tokens"]) == (5, sum(lengths))
        assert row["difference"] == 0  # the same bits, whatever the batch
        assert row["flops"] > row["linear_flops"] > 0
        assert set(row["parts"]) >= {"tokenizer", "linear maps", "attention", "rest"}
    json.dumps(rows)


@pytest.mark.usefixtures("still")
def test_without_an_engine_nothing_is_measured(folder, monkeypatch):
    monkeypatch.setattr(corpus_race, "start", lambda *arguments: None)
    with pytest.raises(measuring.DifferentError, match="no engine could be started"):
        list(corpus_race.corpus_rows(folder, TEXTS, [FOUR], 1, 1))


@pytest.mark.usefixtures("still")
def test_torch_gives_our_vectors(folder, transformers, monkeypatch):
    monkeypatch.setattr(workers, "wait_until_quiet", lambda: None)
    rows = list(corpus_race.corpus_rows(folder, TEXTS, [PACKED, COME, SORTED], 1, 1))
    assert [(row["engine"], row["order"]) for row in rows] == [
        *(("native", "packed"), ("torch", "come"), ("torch", "sorted")),
    ]


def corpus_part():
    """A tenth of a second for our 1000 tokens; the peers take longer."""
    common = {"texts": 40, "tokens": 1000, "flops": 5 * 10**9, "linear_flops": 4 * 10**9}
    common |= {"runs": 2, "difference": 1e-6, "cosine": 0.9999999, "mean_cosine": 1.0}
    common |= {"peak": 100.0, "bandwidth": 20.0, "source": "made", "lengths": [2, 24.5, 99]}
    parts = {"linear maps": 0.05, "attention": 0.04, "rest": 0.01}
    rows = [
        {**PACKED._asdict(), **common, "best": 0.1, "median": 0.125, "parts": parts},
        {**COME._asdict(), **common, "best": 1.0, "median": 1.0, "runs": 1},
        {**FOUR._asdict(), **common, "best": 0.2, "median": 0.2},
        {**EIGHT._asdict(), **common, "best": 0.125, "median": 0.25},
    ]
    return {"machine": "a machine", "peak": 90.0, "bandwidth": 10.0, "rows": rows}


def test_the_table_has_speed_lead_and_share_of_the_peak():
    text = tables.corpus_table(corpus_part())
    assert text.startswith(
        "**a machine**. Multiply-add peak 100 GFLOP/s, reading memory 20 GB/s. 40 made texts of 2 "
        "to 99 tokens, the middle one of 24; 1000 tokens together.\n"
    )
    assert (
        "| native | 1024 tokens, packed | 10000 (8000) | 1.25 (1.60) | 0.50 (0.40) | 1.0e-06 | "
        "0.9999999 | 1.0000000 | 2 |\n"
    ) in text
    assert "| torch | 32, as they come | 1000 (1000) | 0.12 (0.20) | 0.05 (0.05) |" in text
    assert "| openvino | 8, sorted | 8000 (4000) | 1.00 (0.80) | 0.40 (0.20) |" in text


def test_a_peer_that_was_refused_stands_below_the_table():
    part = corpus_part()
    part["rows"].append({**SORTED._asdict(), "refused": "torch (sorted, 32): vectors differ"})
    text = tables.corpus_table(part)
    assert (
        "\n\nNot timed: torch (sorted, 32): vectors differ.\n\n| engine | batches | part |" in text
    )
    assert text.count("torch") == 2


def test_the_second_table_tells_where_our_time_goes():
    text = tables.corpus_table(corpus_part())
    assert "| native | 1024 tokens, packed | linear maps | 50.0% | 80 | 0.80 |\n" in text
    assert "| native | 1024 tokens, packed | attention | 40.0% | 25 | 0.25 |\n" in text
    assert text.endswith("| native | 1024 tokens, packed | rest | 10.0% | – | – |\n")


def test_without_a_peer_there_is_no_lead():
    part = corpus_part()
    part["rows"] = part["rows"][:1]
    assert "| 10000 (8000) | – | 0.50 (0.40) |" in tables.corpus_table(part)


def test_a_number_type_is_compared_with_peers_of_its_type_alone():
    part = corpus_part()
    eights = {"cosine": 0.999, "mean_cosine": 0.9995, "best": 0.05, "median": 0.05}
    part["rows"] += [
        {**part["rows"][0], **eights, "engine": "native-int8", "best": 0.04, "median": 0.04},
        {**part["rows"][3], **eights, "engine": "openvino-int8"},
    ]
    text = tables.corpus_table(part)
    assert "| native | 1024 tokens, packed | 10000 (8000) | 1.25 (1.60) |" in text
    assert "| native-int8 | 1024 tokens, packed | 25000 (25000) | 1.25 (1.25) |" in text


def test_a_low_precision_may_differ_more_but_not_in_everything():
    first = np.eye(2)
    tilted = np.array([[0.99, 0.14106736], [0, 1]])
    eight = Contestant("openvino-int8", "sorted", 8)
    assert corpus_race.compare_vectors(eight, tilted, first)["cosine"] == pytest.approx(0.99)
    with pytest.raises(measuring.DifferentError, match=r"cosine 0.990000 \(at least 0.99999\)"):
        corpus_race.compare_vectors(EIGHT, tilted, first)
    with pytest.raises(measuring.DifferentError, match=r"at least 0.9\)"):
        corpus_race.compare_vectors(eight, first[::-1], first)
