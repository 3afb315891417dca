"""A text's result does not depend on what else is in the call, on batches or on threads."""

import numpy as np
import pytest

import numpy_erniem
from numpy_erniem import Embedder, ErnieMConfig, ErnieMForSequenceClassification, ErnieMModel
from numpy_erniem.backend.dispatch import get_num_threads, set_num_threads

WORDS = ["open", "the", "file,", "打开文件", "Öffnen", "Sie", "bitte", "откройте", "फ़ाइल", "12"]


@pytest.fixture(scope="module")
def texts():
    rng = np.random.default_rng(3)
    lengths = [1, 2, 3, 5, 8, 30, 90, 100, 130, 180, 0, 4, 17, 1, 2]
    return [" ".join(rng.choice(WORDS, n)) for n in lengths]


@pytest.fixture(scope="module")
def bundled():
    return Embedder.from_pretrained()


@pytest.fixture(scope="module")
def base(bundled):
    """As wide as the base model, where products of many rows would mix them."""
    config = ErnieMConfig(vocab_size=len(bundled.tokenizer), num_hidden_layers=1)
    return Embedder(ErnieMModel(config, seed=1), bundled.tokenizer)


@pytest.fixture(params=["bundled", "base"])
def embedder(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(autouse=True)
def _native():
    if numpy_erniem.backend_report()["backend"] != "native":
        pytest.skip("NumPy's products depend on the number of rows")


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "pooler"])
def test_a_vector_is_the_same_alone_and_in_any_batch(pooling, embedder, texts):
    if embedder.model.config.num_hidden_layers == 1 and pooling != "mean":
        pytest.skip("the slow model is for products alone")
    alone = np.stack([embedder(text, pooling=pooling) for text in texts])
    for batch_tokens in (1, 50, 1024, 100_000):
        together = embedder(texts, pooling=pooling, batch_tokens=batch_tokens)
        np.testing.assert_array_equal(together, alone)
    backwards = embedder(texts[::-1], pooling=pooling)[::-1]
    np.testing.assert_array_equal(backwards, alone)


def test_a_vector_is_the_same_for_any_number_of_threads(embedder, texts):
    threads = get_num_threads()
    try:
        results = []
        for count in (1, 2):
            set_num_threads(count)
            results.append(embedder(texts))
    finally:
        set_num_threads(threads)
    np.testing.assert_array_equal(*results)


def test_a_stream_and_a_command_give_what_a_call_gives(bundled, texts, tmp_path):
    from numpy_erniem.cli.main import main

    called = bundled(texts)
    np.testing.assert_array_equal(np.stack(list(bundled.stream(iter(texts)))), called)
    source = tmp_path / "in.txt"
    source.write_text("".join(f"{text}\n" for text in texts))
    assert main(["embed", "--input", str(source), "--output", str(tmp_path / "out.npy")]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), called)


def test_scores_are_the_same_whatever_else_is_ranked(bundled, texts):
    config = ErnieMConfig.from_pretrained(numpy_erniem.bundled_checkpoint(), num_labels=1)
    model = ErnieMForSequenceClassification(config, seed=1)
    reranker = numpy_erniem.Reranker(model, bundled.tokenizer)
    together = {r["index"]: r["score"] for r in reranker("open", texts)}
    for n, text in enumerate(texts):
        assert reranker("open", [text])[0]["score"] == together[n]
