"""Training of models whose weights are not float32."""

import numpy as np
import pytest

import numpy_erniem
from numpy_erniem import ErnieMConfig, ErnieMForSequenceClassification
from numpy_erniem.checkpoint.folder import write_folder
from numpy_erniem.models.weights import flatten
from numpy_erniem.quantization.numbers import widen
from numpy_erniem.training.finetuning.preparation import load_trainable
from numpy_erniem.training.value_and_grad import trainable, value_and_grad
from tests.models.conftest import SMALL

BATCH = {"input_ids": [[0, 5, 17, 2]], "labels": [1]}


@pytest.mark.parametrize("dtype", ["int8", "bfloat16"])
def test_weights_of_int8_and_bfloat16_are_refused(dtype):
    model = ErnieMForSequenceClassification(ErnieMConfig(**SMALL), seed=1, dtype=dtype)
    for train in (trainable, lambda m: value_and_grad(m, BATCH)):
        with pytest.raises(ValueError, match=f"the weights are {dtype}, of which training has no"):
            train(model)


@pytest.mark.parametrize("code", ["F16", "BF16"])
def test_weights_stored_in_16_bits_are_trained_in_float32(code, tmp_path):
    model = ErnieMForSequenceClassification(ErnieMConfig(**SMALL), seed=1)
    model.config.save_pretrained(tmp_path)
    write_folder(tmp_path, flatten(model.weights), dtype=code)
    stored = ErnieMForSequenceClassification.from_pretrained(tmp_path)
    loss, gradients = value_and_grad(stored, BATCH)
    changeable = trainable(stored)
    for name, values in flatten(changeable.weights).items():
        assert values.dtype == np.float32
        assert values.flags.writeable
        np.testing.assert_array_equal(values, widen(flatten(stored.weights)[name]))
    want, wanted = value_and_grad(changeable, BATCH)
    assert loss == want
    np.testing.assert_array_equal(gradients["classifier"]["weight"], wanted["classifier"]["weight"])


def test_fine_tuning_of_an_int8_checkpoint_is_refused(tmp_path):
    folder = numpy_erniem.bundled_checkpoint()
    model = numpy_erniem.ErnieMModel.from_pretrained(folder, dtype="int8")
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="train the checkpoint that they were made of"):
        load_trainable(ErnieMForSequenceClassification, tmp_path, 0)
