"""A weight is packed once, however its model came to life; where it is not, there is a warning."""

import copy
import io
import multiprocessing
import pickle
import warnings
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from numpy_erniem import ErnieMConfig, ErnieMForMaskedLM, use_backend
from numpy_erniem.training import trainable
from tests.conftest import native_is_built
from tests.models.conftest import SMALL

IDS = [[0, 5, 17, 2]]
MESSAGE = r"weights can be written to, such as .*; call model.prepare\(\)"


@pytest.fixture(autouse=True)
def native():
    if not native_is_built():
        pytest.skip("the C kernels are not built")


def make():
    return ErnieMForMaskedLM(ErnieMConfig(**SMALL), seed=3)


def packs(model):
    """How many weights the first call packs, and how many the second."""
    from numpy_erniem.backend import packing

    original, counts = packing.pack, []

    def pack(*weight_and_scale):
        counts[-1] += 1
        return original(*weight_and_scale)

    packing.pack = pack
    try:
        for _ in range(2):
            counts.append(0)
            model(IDS)
    finally:
        packing.pack = original
    return counts


class Arrays(pickle.Pickler):
    """A pickler that leaves arrays out, as joblib does, to map them from files."""

    def __init__(self, file, folder):
        super().__init__(file, protocol=5)
        self.folder = folder

    def persistent_id(self, value):
        if not isinstance(value, np.ndarray):
            return None
        path = self.folder / f"{len(list(self.folder.iterdir()))}.npy"
        np.save(path, value)
        return path


class Mapped(pickle.Unpickler):
    """Reads what `Arrays` wrote; arrays are mapped from their files."""

    def __init__(self, file, mode):
        super().__init__(file)
        self.mode = mode

    def persistent_load(self, path):
        return np.load(path, mmap_mode=self.mode)


def mapped(mode):
    def load(folder):
        file = io.BytesIO()
        Arrays(file, folder).dump(make())
        file.seek(0)
        return Mapped(file, mode).load()

    return load


def saved(folder):
    make().save_pretrained(folder)
    return ErnieMForMaskedLM.from_pretrained(folder)


def clouded(_):
    cloudpickle = pytest.importorskip("cloudpickle")
    return pickle.loads(cloudpickle.dumps(make()))


def out_of_band(kind):
    def load(_):
        buffers = []
        data = pickle.dumps(make(), protocol=5, buffer_callback=buffers.append)
        return pickle.loads(data, buffers=[kind(buffer.raw()) for buffer in buffers])

    return load


def used(way):
    """The same, after the model has run: what was packed is not taken along."""
    model = make()
    model(IDS)
    return way(model)


WAYS = {
    "drawn": lambda _: make(),
    "loaded": saved,
    "copied": lambda _: copy.copy(make()),
    "copied deeply": lambda _: copy.deepcopy(make()),
    "copied after use": lambda _: used(copy.deepcopy),
    "pickled": lambda _: pickle.loads(pickle.dumps(make())),
    "pickled after use": lambda _: used(lambda model: pickle.loads(pickle.dumps(model))),
    "pickled by protocol 2": lambda _: pickle.loads(pickle.dumps(make(), protocol=2)),
    "pickled with buffers": out_of_band(bytes),
    "pickled with buffers to write to": out_of_band(bytearray),
    "pickled by cloudpickle": clouded,
    "mapped": mapped("r"),
    "mapped to write to": mapped("r+"),
    "mapped to write to a copy": mapped("c"),
    "the base model": lambda _: make().base_model,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_every_weight_is_packed_once(way, tmp_path):
    model = way(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = packs(model)
    assert first > 0
    assert second == 0


def packs_of(model):
    with use_backend("native"):
        return packs(model)


def test_every_weight_is_packed_once_in_a_process_that_was_spawned():
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        first, second = pool.submit(packs_of, make()).result(timeout=120)
    assert first > 0
    assert second == 0


def writable():
    model = make()
    dense = model.weights["lm_head"]["dense"]
    dense["weight"] = np.array(dense["weight"])
    return model


def test_a_weight_that_can_be_written_to_is_warned_of_once():
    model = writable()
    with pytest.warns(UserWarning, match=MESSAGE) as caught:
        counts = packs(model)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert counts[1] == 1


def test_preparing_a_model_ends_that(close):
    model = writable()
    want = make()(IDS).logits
    dense = model.weights["lm_head"]["dense"]["weight"]
    assert packs(model.prepare()) == [0, 0]
    np.testing.assert_array_equal(model(IDS).logits, want)
    dense[:] = 0  # the caller's array is its own again
    np.testing.assert_array_equal(model(IDS).logits, want)


def test_a_model_in_training_is_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for model in (trainable(make()), copy.deepcopy(trainable(make()))):
            assert packs(model.prepare())[1] > 0


def test_the_formulas_of_numpy_pack_nothing():
    with use_backend("numpy"), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert packs(writable()) == [0, 0]
