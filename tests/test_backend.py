"""The seam: which twin runs, and what is said about it."""

import contextvars
import threading

import numpy as np
import pytest

from numpy_erniem.backend import dispatch as backend
from numpy_erniem.backend.dispatch import (
    Unsupported,
    accelerated,
    backend_report,
    reset_backend_report,
    use_backend,
)


@pytest.fixture
def twins(monkeypatch):
    """A native backend of our own making, empty at first."""
    table = {}
    monkeypatch.setattr(backend, "_native", lambda: (table, "a test's kernels"))
    reset_backend_report()
    yield table
    backend._environment_choice.cache_clear()
    reset_backend_report()


@accelerated
def double(x):
    """Return 2 x, by the formula."""
    return 2 * x


def test_the_twin_runs_where_there_is_one(twins):
    twins["double"] = lambda x: "twin"
    assert double(1) == "twin"
    assert backend_report()["calls"] == {"double": {"native": 1}}


def test_the_formula_runs_without_a_twin(twins):
    assert double(1) == 2
    assert backend_report()["calls"] == {}


def test_the_formula_runs_where_the_twin_declines(twins):
    twins["double"] = lambda x: Unsupported("odd") if x % 2 else "twin"
    assert [double(1), double(2), double(3)] == [2, "twin", 6]
    assert backend_report()["calls"] == {"double": {"native": 1, "odd": 2}}


def test_no_call_of_any_thread_is_lost_or_counted_twice(twins):
    twins["double"] = lambda x: "twin"
    double(0)
    reset_backend_report()
    threads = [threading.Thread(target=lambda: [double(1) for _ in range(500)]) for _ in range(8)]
    for thread in threads:
        thread.start()
        backend_report()
    for thread in threads:
        thread.join()
    assert backend_report()["calls"] == {"double": {"native": 4000}}


def test_numpy_backend_never_calls_the_twin(twins):
    twins["double"] = lambda x: "twin"
    with use_backend("numpy"):
        assert double(1) == 2
        assert backend_report()["backend"] == "numpy"
    assert backend_report()["backend"] == "native"


def test_the_environment_chooses(twins, monkeypatch):
    twins["double"] = lambda x: "twin"
    monkeypatch.setenv("NUMPY_ERNIEM_BACKEND", "numpy")
    backend._environment_choice.cache_clear()
    assert double(1) == 2
    with use_backend("auto"):
        assert double(1) == "twin"
    monkeypatch.setenv("NUMPY_ERNIEM_BACKEND", "fortran")
    backend._environment_choice.cache_clear()  # it is looked at once
    with pytest.raises(ValueError, match="'fortran' is not one of auto, numpy, native"):
        double(1)


def test_native_is_refused_where_nothing_is_built(twins):
    message = "'native' cannot be used: a test's kernels"
    with pytest.raises(ValueError, match=message), use_backend("native"):
        pass


def test_a_choice_holds_for_its_thread_alone(twins):
    twins["double"] = lambda x: "twin"
    seen = []
    with use_backend("numpy"):
        fresh = contextvars.Context()  # what a thread starts with, before Python 3.14
        thread = threading.Thread(target=fresh.run, args=(lambda: seen.append(double(1)),))
        thread.start()
        thread.join()
    assert seen == ["twin"]


def test_an_error_inside_the_block_restores_the_choice(twins):
    twins["double"] = lambda x: "twin"
    with pytest.raises(KeyError), use_backend("numpy"):
        raise KeyError
    assert backend_report()["backend"] == "native"


def test_both_backends_compute_the_same(rng, close):
    from tests.conftest import native_is_built
    from tests.oracles import ids_and_mask, our_model

    if not native_is_built():
        pytest.skip("the C kernels are not built")
    model = our_model()
    ids, mask = ids_and_mask(rng)
    reset_backend_report()
    with use_backend("numpy"):
        want = model(ids, attention_mask=mask).last_hidden_state
    assert backend_report()["calls"] == {}
    with use_backend("native"):
        got = model(ids, attention_mask=mask).last_hidden_state
    assert backend_report()["calls"]["add_norm"]["native"] >= 6
    close(got, want, "primitive")


def test_native_kernels_take_any_layout(backend, rng, close):
    from numpy_erniem.ops import add_norm

    w = {"weight": rng.standard_normal(6, np.float32), "bias": rng.standard_normal(6, np.float32)}
    x = rng.standard_normal((5, 12), np.float32)
    want = add_norm.body(x[:, ::2], x[:, 1::2], w, 1e-5)
    close(add_norm(x[:, ::2], x[:, 1::2], w, 1e-5), want, "primitive")
    swapped = x[:, ::2].astype(">f4")
    np.testing.assert_allclose(
        add_norm(swapped, None, w, 1e-5), add_norm.body(swapped, None, w, 1e-5)
    )
    shifted = np.frombuffer(b"\0" + x.tobytes(), np.float32, x.size, 1).reshape(x.shape)[:, :6]
    assert not shifted.flags.aligned
    close(add_norm(shifted, None, w, 1e-5), add_norm.body(x[:, :6], None, w, 1e-5), "primitive")
