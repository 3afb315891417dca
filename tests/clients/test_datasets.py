"""Columns and maps of the library datasets, as its users write them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import numpy_erniem
from numpy_erniem import Embedder, ErnieMTokenizer, bundled_checkpoint

TEXTS = ["Open a file", "Datei öffnen", "打开文件", "Close it", "ok"]


@pytest.fixture(scope="module")
def datasets():
    return pytest.importorskip("datasets")


@pytest.fixture(scope="module")
def embedder():
    return Embedder.from_pretrained()


@pytest.fixture
def dataset(datasets):
    return datasets.Dataset.from_dict({"text": TEXTS, "label": [1, 1, 1, 0, 0]})


COLUMNS = {
    "column": lambda dataset: dataset["text"],
    "rows of a column": lambda dataset: dataset["text"][1:4],
    "column of some rows": lambda dataset: dataset.select([3, 1])["text"],
    "shuffled": lambda dataset: dataset.shuffle(seed=1)["text"],
    "rows": lambda dataset: (row["text"] for row in dataset),
    "array": lambda dataset: dataset.with_format("numpy")["text"],
    "Arrow": lambda dataset: dataset.with_format("arrow")["text"],
    "pandas": lambda dataset: dataset.with_format("pandas")["text"],
    "stream": lambda dataset: (row["text"] for row in dataset.to_iterable_dataset()),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column(kind, dataset, embedder, close):
    want = [str(text) for text in COLUMNS[kind](dataset)]
    assert set(want) <= set(TEXTS)
    close(embedder(COLUMNS[kind](dataset)), embedder(want), "exact")


def test_a_column_of_a_stream(datasets, dataset, embedder, close):
    stream = dataset.to_iterable_dataset()
    try:
        column = stream["text"]
    except (TypeError, NotImplementedError):
        pytest.skip("this version has no columns of streams")
    close(embedder(column), embedder(TEXTS), "exact")


def test_a_whole_dataset_is_refused(dataset, embedder):
    with pytest.raises(TypeError, match="Dataset, a table; give one column"):
        embedder(dataset)


@pytest.mark.parametrize("rows", [2, 1000])
def test_vectors_by_a_batched_map(rows, dataset, embedder, close):
    embedded = dataset.map(lambda b: {"v": embedder(b["text"])}, batched=True, batch_size=rows)
    got = np.asarray(embedded.with_format("numpy")["v"], np.float32)
    close(got, embedder(TEXTS), "primitive")


def test_vectors_one_by_one(dataset, embedder, close):
    embedded = dataset.map(lambda row: {"v": embedder.encode(row["text"])})
    close(np.asarray(embedded["v"][:], np.float32), embedder(TEXTS), "primitive")


def test_token_ids_of_a_column(dataset):
    tokenizer = ErnieMTokenizer.from_pretrained(bundled_checkpoint())
    assert tokenizer(dataset["text"]) == tokenizer(TEXTS)


def test_token_ids_by_a_batched_map(dataset):
    tokenizer = ErnieMTokenizer.from_pretrained(bundled_checkpoint())
    tokens = dataset.map(lambda b: tokenizer(b["text"]), batched=True)
    assert tokens["input_ids"][:] == tokenizer(TEXTS)["input_ids"]
    assert tokens["attention_mask"][:] == tokenizer(TEXTS)["attention_mask"]
    assert tokens[0]["text"] == TEXTS[0]


def test_the_fingerprint_of_a_map_is_the_same_in_every_process(datasets, tmp_path):
    """So that `map` finds in its cache what an earlier process computed."""
    code = (
        "from datasets.fingerprint import Hasher\n"
        "from numpy_erniem import Embedder\n"
        "embedder = Embedder.from_pretrained()\n"
        "print(Hasher.hash(embedder))\n"
        "vectors = embedder(['x', 'y'])\n"
        "print(Hasher.hash(embedder))"
    )
    root = str(Path(numpy_erniem.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root, "HF_HOME": str(tmp_path)}
    printed = {
        line
        for seed in ("1", "2")
        for line in subprocess.run(
            [sys.executable, "-c", code],
            env={**environment, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
    }
    assert len(printed) == 1
