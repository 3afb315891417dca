"""The weights of a model can never be written to, and what is packed of them dies with them."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

from numpy_erniem import ErnieMConfig, ErnieMForMaskedLM, ErnieMModel, use_backend
from numpy_erniem.backend.frozen import is_frozen
from numpy_erniem.models.weights import flatten
from numpy_erniem.training import trainable
from tests.conftest import native_is_built
from tests.models.conftest import SMALL

IDS = [[0, 5, 17, 2]]


def make():
    return ErnieMForMaskedLM(ErnieMConfig(**SMALL), seed=3)


def reloaded(folder, dtype="float32", model=ErnieMForMaskedLM):
    make().save_pretrained(folder)
    return model.from_pretrained(folder, dtype=dtype)


def changed(change):
    model = make()
    change(model)
    return model


WAYS = {
    "drawn": lambda _: make(),
    "mapped": reloaded,
    "converted": lambda folder: reloaded(folder, "float64"),
    "without its head": lambda folder: reloaded(folder, model=ErnieMModel),
    "resized": lambda _: changed(lambda m: m.resize_token_embeddings(120)),
    "with another table": lambda _: changed(
        lambda m: m.set_input_embeddings(m.get_input_embeddings() + 1)
    ),
    "pruned": lambda _: changed(lambda m: m.prune_heads({0: [1]})),
    "pickled": lambda _: pickle.loads(pickle.dumps(make())),
    "copied": lambda _: copy.copy(make()),
    "copied deeply": lambda _: copy.deepcopy(make()),
}


@pytest.mark.filterwarnings("ignore:.*tensors not used:UserWarning")
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_no_weight_can_be_made_writable(tmp_path, way):
    for name, value in flatten(way(tmp_path).weights).items():
        assert is_frozen(value), name
        with pytest.raises(ValueError, match="WRITEABLE"):
            value.setflags(write=True)


def test_a_mapped_weight_is_not_copied(tmp_path):
    from numpy_erniem.backend.frozen import mapping_of

    for name, value in flatten(reloaded(tmp_path).weights).items():
        assert (mapping_of(value) is not None) == (value.ndim > 1), name


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_is_a_model_of_its_own(backend, copied):
    model = make()
    want = model(IDS).logits
    other = copied(model)
    np.testing.assert_array_equal(other(IDS).logits, want)
    pairs = zip(flatten(model.weights).items(), flatten(other.weights).values(), strict=True)
    for (name, value), its in pairs:
        assert not np.may_share_memory(value, its), name
        np.testing.assert_array_equal(its, value)


def test_a_copy_of_a_trainable_model_can_be_trained():
    model = trainable(make())
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert all(value.flags.writeable for value in flatten(other.weights).values())


def test_a_pickled_model_holds_no_packed_weights():
    model = make()
    size = len(pickle.dumps(model))
    model.prepare()(IDS)
    assert len(pickle.dumps(model)) == size


def test_a_model_that_was_used_has_the_same_pickle(tmp_path):
    model = reloaded(tmp_path)
    before = pickle.dumps(model)
    model(IDS)
    assert pickle.dumps(model) == before


def test_a_model_that_is_gone_leaves_no_weight(backend):
    model = make()
    model(IDS)
    gone = [weakref.ref(value) for value in flatten(model.weights).values()]
    del model
    gc.collect()
    assert [reference() for reference in gone] == [None] * len(gone)


def test_a_weight_that_is_replaced_is_used_at_once(backend):
    model = make()
    model(IDS)
    head = model.weights["lm_head"]
    head["bias"] = head["bias"] + 5
    np.testing.assert_allclose(model(IDS).logits, make()(IDS).logits + 5, rtol=1e-5)


def test_prepare_packs_every_weight(monkeypatch):
    if not native_is_built():
        pytest.skip("the C kernels are not built")
    from numpy_erniem.backend import packing

    shapes, pack = [], packing.pack
    monkeypatch.setattr(packing, "pack", lambda w, *s: shapes.append(w.shape) or pack(w, *s))
    model = make()
    with use_backend("numpy"):
        assert model.prepare() is model
    assert shapes == []
    model.prepare()
    flat = flatten(model.weights)
    layers = [name for name in flat if name.endswith(("_proj.weight", ".dense.weight"))]
    layers += [name for name in flat if name.endswith(("linear1.weight", "linear2.weight"))]
    layers.append("ernie_m.embeddings.word_embeddings.weight")  # the last step of the head
    assert sorted(shapes) == sorted(flat[name].shape for name in layers)
    shapes.clear()
    model(IDS)
    model.prepare()
    assert shapes == []
    trainable(model).prepare()
    ErnieMModel(model.config, dtype="float64").prepare()
    assert shapes == []


def test_preparing_changes_no_bit(backend):
    np.testing.assert_array_equal(make().prepare()(IDS).logits, make()(IDS).logits)
