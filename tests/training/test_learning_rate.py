"""The schedule of the learning rate against its formula, and its decay over the layers."""

import math

import pytest

from numpy_erniem.training.learning_rate import DECAYS, layer_factors, schedule


def formula(s, n, w, decay):
    if s < w:
        return (s + 1) / w
    return {
        "linear": (n - s) / (n - w),
        "cosine": (1 + math.cos(math.pi * (s - w) / (n - w))) / 2,
        "constant": 1,
    }[decay]


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize(("n", "w"), [(20, 5), (20, 1), (20, 0), (7, 6), (1, 0), (1, 1), (2, 1)])
def test_every_step_has_the_factor_of_the_formula(n, w, decay):
    factors = [schedule(s, n, w, decay) for s in range(n)]
    assert factors == pytest.approx([formula(s, n, w, decay) for s in range(n)], rel=1e-12)


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize(("n", "w"), [(20, 5), (20, 0), (7, 6), (1, 0), (1, 1)])
def test_no_step_has_the_factor_zero(n, w, decay):
    assert min(schedule(s, n, w, decay) for s in range(n)) > 0


def test_the_warm_up_ends_at_the_peak_and_the_decay_starts_there():
    assert [schedule(s, 10, 4) for s in (3, 4)] == [1, 1]
    assert schedule(9, 10, 4) == pytest.approx(1 / 6)


def test_an_unknown_decay_names_the_three():
    with pytest.raises(ValueError, match="'wild' is not one of linear, cosine, constant"):
        schedule(0, 5, 1, "wild")


def test_embeddings_learn_slowest():
    names = ["embeddings.word_embeddings.weight", "encoder.layers.0.linear1.bias", "pooler.x"]
    assert list(layer_factors(names, 3, 0.5).values()) == [0.5**4, 0.5**3, 1]
