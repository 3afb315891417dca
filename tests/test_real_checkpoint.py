"""A real trained checkpoint, where NUMPY_ERNIEM_REAL_CHECKPOINT names its folder."""

import gzip
import os

import numpy as np
import pytest

from numpy_erniem import ErnieMModel, ErnieMTokenizer
from numpy_erniem.pipelines.embed import Embedder

ENGLISH = [
    "Where is the nearest train station?",
    "The cat sleeps on the warm sofa.",
    "I would like to order a coffee without sugar.",
    "The government announced new tax rules yesterday.",
    "Our team won the football match in the last minute.",
]
CHINESE = [
    "最近的火车站在哪里？",
    "猫睡在温暖的沙发上。",
    "我想点一杯不加糖的咖啡。",
    "政府昨天宣布了新的税收规定。",
    "我们队在最后一分钟赢得了足球比赛。",
]


@pytest.fixture(scope="module")
def folder():
    name = os.environ.get("NUMPY_ERNIEM_REAL_CHECKPOINT")
    if not name:
        pytest.skip("NUMPY_ERNIEM_REAL_CHECKPOINT is not set")
    return name


@pytest.mark.filterwarnings("ignore:.*is a guess")  # its folder records no pooling
def test_translations_find_each_other(folder, backend):
    embedder = Embedder.from_pretrained(folder)
    vectors = embedder(ENGLISH + CHINESE, prompt="query: ", normalize=True)
    similarity = vectors[:5] @ vectors[5:].T
    assert similarity.argmax(axis=1).tolist() == [0, 1, 2, 3, 4]
    assert similarity.argmax(axis=0).tolist() == [0, 1, 2, 3, 4]


def test_trained_weights_give_the_numbers_of_upstream(folder, backend, close):
    torch = pytest.importorskip("torch")
    upstream = pytest.importorskip("transformers").ErnieMModel.from_pretrained(folder).eval()
    ours = ErnieMModel.from_pretrained(folder)
    tokenizer = ErnieMTokenizer.from_pretrained(folder)
    batch = tokenizer(ENGLISH + CHINESE, padding=True, return_tensors="np")
    with torch.no_grad():
        want = upstream(
            torch.from_numpy(batch["input_ids"]),
            attention_mask=torch.from_numpy(batch["attention_mask"]),
        )
    got = ours(**batch)
    real = batch["attention_mask"].astype(bool)
    a, b = got.last_hidden_state[real], want.last_hidden_state.numpy()[real]
    close(a, b, "trained", "last_hidden_state")
    close(got.pooler_output, want.pooler_output.numpy(), "trained", "pooler_output")
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosine.min() >= 0.999999


def sentences(shared, of_a_language):
    """The first translations of twenty languages."""
    found = {}
    with gzip.open(shared / "data/corpus/dev.tsv.gz", "rt", encoding="utf-8") as file:
        for line in file:
            language, _, text = line.rstrip("\n").split("\t")
            found.setdefault(language, []).append(text)
    languages = sorted(found, key=lambda name: -len(found[name]))[:20]
    return [text for name in languages for text in found[name][:of_a_language]]


@pytest.mark.filterwarnings("ignore:.*is a guess")
def test_narrow_arithmetic_is_near_float32(folder, shared):
    texts = sentences(shared, 50)
    assert len(texts) == 1000
    options = {"prompt": "query: ", "normalize": True}
    want = Embedder.from_pretrained(folder)(texts, **options)
    for dtype, mean, lowest in (("int8", 0.9996, 0.999), ("bfloat16", 1, 1)):
        got = Embedder.from_pretrained(folder, dtype=dtype)(texts, **options)
        cosines = (want * got).sum(axis=1)
        assert cosines.mean() >= mean - 1e-5, dtype
        assert cosines.min() >= lowest - 2e-5, dtype
