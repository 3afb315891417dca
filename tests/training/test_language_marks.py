"""The experiment on telling CAMLM the language: its variants leak nothing."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from numpy_erniem.losses import IGNORED
from numpy_erniem.training.pretraining import SpecialTokens

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "language_marks.py"
if not SCRIPT.is_file():
    pytest.skip("the tools are not beside these tests", allow_module_level=True)

EN, DE, MASK = 97, 98, 99
SPECIAL = SpecialTokens(
    cls=0, pad=1, sep=2, mask=MASK, words=(4, 97), languages={"en": EN, "de": DE}
)
PAIRS = [([11, 12, 13, 14], [21, 22, 23]), ([15, 16], [24, 25, 26, 27, 28])]
NAMES = [("en", "de"), ("en", "de")]


@pytest.fixture(scope="module")
def marks():
    spec = importlib.util.spec_from_file_location("language_marks", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.MARKS


def reached(mask):
    """What a token can learn of through any number of layers, (B, T, T)."""
    for _ in range(5):
        mask = mask | (mask.astype(int) @ mask.astype(int) > 0)
    return mask


def drawn(marks, name, seed):
    return marks[name](PAIRS, NAMES, SPECIAL, np.random.default_rng(seed), 0.4)


@pytest.mark.parametrize("name", ["placeholder", "token", "none"])
def test_a_hidden_word_never_learns_of_its_own_sentence(marks, name):
    for seed in range(20):
        given = drawn(marks, name, seed)
        words = np.where(given.labels != IGNORED, given.labels, given.ids)  # before hiding
        is_x, is_y = (words > 10) & (words < 20), (words > 20) & (words < 30)
        sees = reached(given.attention_mask) & given.masked[:, :, None] & ~given.masked[:, None, :]
        for own, other in ((is_x, is_y), (is_y, is_x)):
            assert not (sees & own[:, :, None] & own[:, None, :]).any()
            shown = other & ~given.masked
            assert (sees | ~(own & given.masked)[:, :, None] | ~shown[:, None, :]).all()


def test_a_language_token_is_seen_by_the_hidden_words_of_its_sentence_and_never_asked_for(marks):
    for seed in range(20):
        given = drawn(marks, "token", seed)
        tokens = np.isin(given.ids, (EN, DE)) & ~given.masked
        assert tokens.sum(axis=1).tolist() == [2, 2]
        assert (given.labels[tokens] == IGNORED).all()
        for b, t in np.argwhere(given.masked):
            of_y = t > np.flatnonzero(given.ids[b] == 2)[0]
            assert given.ids[b][given.attention_mask[b, t] & tokens[b]].tolist() == [
                DE if of_y else EN
            ]


@pytest.mark.parametrize("name", ["token", "none"])
def test_other_variants_hide_words_behind_plain_masks_alone(marks, name):
    ids = np.concatenate(
        [drawn(marks, name, n).ids[drawn(marks, name, n).masked] for n in range(9)]
    )
    assert MASK in ids
    assert not np.isin(ids, (EN, DE)).any()
