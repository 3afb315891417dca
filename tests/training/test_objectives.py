"""The four objectives: their masks as drawn by hand, what is hidden, and that nothing leaks."""

import numpy as np
import pytest

from numpy_erniem import ErnieMConfig, ErnieMForMaskedLM
from numpy_erniem.training.pretraining import (
    OBJECTIVES,
    MaskedBatch,
    SpecialTokens,
    attention_masks,
    build_batch,
    objectives,
)
from tests.models.conftest import SMALL, V, redrawn

SPECIAL = SpecialTokens(cls=0, pad=1, sep=2, mask=98, words=(4, 96), languages={"en": 96, "de": 97})
X, Y = (11, 12, 13), (21, 22)
PAIR = build_batch([(X, Y), ((31,), (41,))], [("en", "de"), ("en", "de")], SPECIAL)
MONO = build_batch([(X, None), ((31, 32, 33, 34), None)], [("en", "en")] * 2, SPECIAL)


def drawn(picture):
    """Rows of a mask from a picture: # sees, . does not."""
    return np.array([[char == "#" for char in row.split()[-1]] for row in picture.split("\n")])


def masks(positions, shape):
    masked = np.zeros(shape, bool)
    masked[0, positions] = True
    return masked


def test_a_pair_is_laid_out_as_the_tokenizer_does():
    assert PAIR.ids.tolist() == [[0, 11, 12, 13, 2, 2, 21, 22, 2], [0, 31, 2, 2, 41, 2, 1, 1, 1]]
    assert PAIR.side.tolist()[1] == [0, 0, 0, 1, 1, 1, -1, -1, -1]
    assert PAIR.word.tolist()[0] == [False, True, True, True, False, False, True, True, False]
    assert PAIR.placeholder.tolist()[0] == [96] * 5 + [97] * 4


def test_mmlm_sees_its_own_sentence():
    picture = """\
#####.
#####.
#####.
#####.
#####.
#####."""
    assert MONO.ids.tolist()[0] == [0, 11, 12, 13, 2, 1]
    attention_mask = attention_masks.own_sentence_mask(MONO)[0]
    np.testing.assert_array_equal(attention_mask[:5], drawn(picture)[:5])


def test_mmlm_does_not_see_a_packed_sentence():
    attention_mask = attention_masks.own_sentence_mask(PAIR)[0]
    picture = """\
#####....
#####....
#####....
#####....
#####....
.....####
.....####
.....####
.....####"""
    np.testing.assert_array_equal(attention_mask, drawn(picture))


def test_tlm_sees_everything_but_padding():
    attention_mask = attention_masks.both_sentences_mask(PAIR)
    assert attention_mask[0].all()
    np.testing.assert_array_equal(attention_mask[1], np.tile(PAIR.side[1] >= 0, (9, 1)))


def test_camlm_sees_across():
    # x = 11 [12] 13, y = [21] 22: one masked word on each side, as in the paper's figure
    attention_mask = attention_masks.other_sentence_mask(PAIR, masks([2, 6], PAIR.ids.shape))[0]
    picture = """\
[CLS]  ##.##....
11     ##.##....
[12]   ..#..#.##
13     ##.##....
[SEP]  ##.##....
[SEP]  .....#.##
[21]   ##.##.#..
22     .....#.##
[SEP]  .....#.##"""
    np.testing.assert_array_equal(attention_mask, drawn(picture))


def test_btmlm_1_sees_the_sentence_and_all_placeholders():
    pairs, given = objectives.add_placeholders([X], ["en"], ["de"], [2], SPECIAL)
    assert given.ids.tolist() == [[0, 11, 12, 13, 2, 2, 97, 97, 2]]
    picture = """\
[CLS]  #####....
11     #####....
12     #####....
13     #####....
[SEP]  #####....
[SEP]  .....#..#
[M]    #####.##.
[M]    #####.##.
[SEP]  .....#..#"""
    np.testing.assert_array_equal(given.attention_mask[0], drawn(picture))
    assert (given.labels == -100).all()
    assert given.masked.tolist() == [[False] * 6 + [True, True, False]]
    assert pairs.ids.tolist() == given.ids.tolist()


def test_btmlm_2_masks_the_sentence_and_sees_the_pseudo_tokens():
    pairs, _ = objectives.add_placeholders([X], ["en"], ["de"], [2], SPECIAL)
    words = np.full((1, 9), 55)
    filled = objectives.fill_placeholders(pairs, words, SPECIAL)
    assert filled.ids.tolist() == [[0, 11, 12, 13, 2, 2, 55, 55, 2]]
    given = objectives.btmlm(filled, SPECIAL, np.random.default_rng(0), 0.999)
    assert given.labels.tolist() == [[-100, 11, 12, 13, -100, -100, -100, -100, -100]]
    assert given.ids[0, 6:8].tolist() == [55, 55]
    assert given.attention_mask.all()


def test_eight_of_ten_become_masks_one_a_random_word_one_stays():
    many = build_batch([(np.full(20_000, 50), None)], [("en", "en")], SPECIAL)
    given = objectives.mmlm(many, SPECIAL, np.random.default_rng(1), 0.3)
    masked = given.labels[0] != -100
    assert masked.mean() == pytest.approx(0.3, abs=0.02)
    now = given.ids[0][masked]
    assert (now == SPECIAL.mask).mean() == pytest.approx(0.8, abs=0.02)
    assert (now == 50).mean() == pytest.approx(0.1, abs=0.02)
    others = now[(now != 50) & (now != SPECIAL.mask)]
    assert (others >= SPECIAL.words[0]).all()
    assert (others < SPECIAL.words[1]).all()
    assert (given.labels[0][masked] == 50).all()
    np.testing.assert_array_equal(given.ids[0][~masked], many.ids[0][~masked])


def test_camlm_asks_in_a_language_the_others_do_not():
    rng = np.random.default_rng(3)
    assert set(np.unique(objectives.camlm(PAIR, SPECIAL, rng, 0.9).ids)) & {96, 97}
    for name in ("mmlm", "tlm", "btmlm"):
        assert not set(np.unique(OBJECTIVES[name](PAIR, SPECIAL, rng, 0.9).ids)) & {96, 97}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_same_generator_masks_the_same(name):
    one, other = (OBJECTIVES[name](PAIR, SPECIAL, np.random.default_rng(7), 0.5) for _ in "ab")
    for field in ("ids", "labels", "masked", "attention_mask"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_at_least_one_word_is_masked(name):
    given = OBJECTIVES[name](PAIR, SPECIAL, np.random.default_rng(7), 1e-9)
    assert (given.labels != -100).sum() == 1


@pytest.mark.parametrize("name", OBJECTIVES)
def test_special_tokens_and_padding_are_never_masked(name):
    given = OBJECTIVES[name](PAIR, SPECIAL, np.random.default_rng(7), 0.999)
    np.testing.assert_array_equal(given.masked, PAIR.word)


# --- no leak ---------------------------------------------------------------------------------


def scores(given):
    model = redrawn(ErnieMForMaskedLM(ErnieMConfig(**{**SMALL, "num_hidden_layers": 4}), seed=3))
    return model(given.ids, given.attention_mask).logits


def camlm_of(ids):
    masked = masks([2, 6], PAIR.ids.shape)
    given = np.where(masked, PAIR.placeholder, ids)
    return MaskedBatch(given, ids, masked, attention_masks.other_sentence_mask(PAIR, masked))


@pytest.mark.parametrize(
    ("changed", "stays", "moves"),
    [
        (1, 2, 6),  # a source word: the masked source word does not see it, the target's does
        (3, 2, 6),
        (7, 6, 2),  # a target word: the other way round
    ],
)
def test_camlm_does_not_leak_the_own_sentence(changed, stays, moves, backend):
    other = PAIR.ids.copy()
    other[0, changed] = 77
    before, after = scores(camlm_of(PAIR.ids)), scores(camlm_of(other))
    np.testing.assert_array_equal(before[0, stays], after[0, stays])
    assert np.abs(before[0, moves] - after[0, moves]).max() > 1e-3


def test_tlm_does_see_the_own_sentence():
    masked = masks([2, 6], PAIR.ids.shape)
    given = [np.where(masked, SPECIAL.mask, PAIR.ids) for _ in "ab"]
    given[1][0, 1] = 77
    attention_mask = attention_masks.both_sentences_mask(PAIR)
    before, after = (scores(MaskedBatch(ids, ids, masked, attention_mask)) for ids in given)
    assert np.abs(before[0, [2, 6]] - after[0, [2, 6]]).max(axis=1).min() > 1e-3


def test_a_masked_word_of_the_other_sentence_is_not_seen(backend):
    given = camlm_of(PAIR.ids)
    other = given.ids.copy()
    other[0, 6] = 77  # as one of the ten percent that are random words
    after = scores(MaskedBatch(other, given.labels, given.masked, given.attention_mask))
    np.testing.assert_array_equal(scores(given)[0, 2], after[0, 2])


def test_placeholders_do_not_change_the_sentence(backend):
    lengths = [objectives.add_placeholders([X], ["en"], ["de"], [n], SPECIAL)[1] for n in (2, 3)]
    few, many = (scores(given) for given in lengths)
    np.testing.assert_allclose(few[0, :5], many[0, :5], rtol=0, atol=1e-5)
    assert V == 99
