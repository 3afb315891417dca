"""A step of training has the same bits for any number of threads, where the kernels run."""

import numpy as np
import pytest

from numpy_erniem import ErnieMConfig, ErnieMForMaskedLM
from numpy_erniem.backend.dispatch import get_num_threads, use_backend
from numpy_erniem.models.weights import flatten
from numpy_erniem.training import AdamW, trainable, value_and_grad
from tests.conftest import native_is_built


@pytest.mark.parametrize("checkpointing", [False, True])
def test_steps_do_not_depend_on_the_number_of_threads(rng, checkpointing):
    if not native_is_built():
        pytest.skip("NumPy divides the batch among threads")
    config = ErnieMConfig(
        vocab_size=301,
        hidden_size=48,
        num_attention_heads=3,
        num_hidden_layers=2,
        intermediate_size=70,
    )
    ids = rng.integers(5, 301, (7, 33))
    labels = np.where(rng.random(ids.shape) < 0.3, ids, -100)
    batch = {"input_ids": ids, "attention_mask": rng.random((7, 33, 33)) < 0.8, "labels": labels}
    start, results, before = ErnieMForMaskedLM(config, seed=1), [], get_num_threads()
    with use_backend("native"):
        for threads in (1, 2, 3):
            model, optimizer = trainable(start), AdamW(1e-3)
            for step in range(2):
                loss, gradients = value_and_grad(
                    model,
                    batch,
                    rng=np.random.default_rng(step),
                    gradient_checkpointing=checkpointing,
                    threads=threads,
                )
                optimizer.step(flatten(model.weights), flatten(gradients), threads=threads)
            results.append((loss, flatten(model.weights)))
    assert get_num_threads() == before
    for loss, weights in results[1:]:
        assert loss == results[0][0]
        for name, value in weights.items():
            np.testing.assert_array_equal(value, results[0][1][name], name)
