"""Training with products of bfloat16: the formula, what stays float32, and runs."""

import numpy as np
import pytest

from numpy_erniem import ErnieMConfig, ErnieMForMaskedLM, ops
from numpy_erniem.backend.dispatch import use_backend
from numpy_erniem.checkpoint.safetensors_file import read_safetensors
from numpy_erniem.models.weights import flatten
from numpy_erniem.quantization.numbers import BFLOAT16, rounded, to_bfloat16
from numpy_erniem.training import AdamW, Trainer, TrainingConfig, trainable, value_and_grad
from numpy_erniem.training.finetuning import classification_setup
from numpy_erniem.training.gradients import linear
from numpy_erniem.training.products import products_in
from tests.conftest import native_is_built
from tests.models.conftest import B, T, V
from tests.training.conftest import dense, make

BACKENDS = pytest.mark.parametrize("backend", ["numpy", "native"])


@pytest.fixture
def on(backend):
    if backend == "native" and not native_is_built():
        pytest.skip("the C kernels are not built")
    with use_backend(backend):
        yield


def masked(rng):
    ids = rng.integers(5, V, (B, T))
    return {"input_ids": ids, "labels": np.where(rng.random((B, T)) < 0.5, ids, -100)}


@BACKENDS
def test_a_linear_map_and_its_gradients_round_every_input_and_no_sum(on, rng):
    x, dy = rng.standard_normal((3, 5, 17), np.float32), rng.standard_normal((3, 5, 9), np.float32)
    w = {
        "weight": rng.standard_normal((9, 17), np.float32),
        "bias": rng.standard_normal(9, np.float32),
    }
    with products_in("bfloat16"):
        y, backward = linear(x, w)
        dx, dw = backward(dy)
    low = {
        n: rounded(a, BFLOAT16).astype(np.float64)
        for n, a in (("x", x), ("dy", dy), ("w", w["weight"]))
    }
    np.testing.assert_allclose(y, low["x"] @ low["w"].T + w["bias"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(dx, low["dy"] @ low["w"], rtol=0, atol=1e-5)
    want = low["dy"].reshape(-1, 9).T @ low["x"].reshape(-1, 17)
    np.testing.assert_allclose(dw["weight"], want, rtol=0, atol=1e-5)
    np.testing.assert_allclose(dw["bias"], dy.reshape(-1, 9).sum(axis=0), rtol=0, atol=1e-5)


@BACKENDS
def test_a_step_differs_from_float32_by_rounding_alone(on, rng):
    model, batch = make("ErnieMForMaskedLM"), masked(rng)
    want, wanted = value_and_grad(model, batch)
    loss, gradients = value_and_grad(model, batch, precision="bfloat16")
    assert loss != want
    assert loss == pytest.approx(want, rel=0.01)
    wanted, got = dense(wanted), dense(gradients)
    largest = max(np.abs(g).max() for g in wanted.values())
    for name, right in wanted.items():
        assert got[name].dtype == np.float32, name
        assert np.abs(got[name] - right).max() < 0.05 * largest, name


def test_both_backends_give_the_same_numbers(rng):
    if not native_is_built():
        pytest.skip("the C kernels are not built")
    model, batch, results = make("ErnieMForMaskedLM"), masked(rng), []
    for backend in ("numpy", "native"):
        with use_backend(backend):
            results.append(value_and_grad(model, batch, precision="bfloat16"))
    (want, wanted), (loss, gradients) = results
    assert loss == pytest.approx(want, rel=1e-3)
    wanted, got = dense(wanted), dense(gradients)
    largest = max(np.abs(g).max() for g in wanted.values())
    for name, right in wanted.items():  # a sum in another order may round to another bfloat16
        assert np.abs(got[name] - right).max() < 0.01 * largest, name


@BACKENDS
def test_a_linear_map_has_the_bits_of_a_bfloat16_weight(on, rng):
    x, weight = rng.standard_normal((5, 33), np.float32), rng.standard_normal((40, 33), np.float32)
    bias = rng.standard_normal(40, np.float32)
    with products_in("bfloat16"):
        y, _ = linear(x, {"weight": weight, "bias": bias})
    want = ops.linear(x, {"weight": to_bfloat16(weight), "bias": bias})
    np.testing.assert_array_equal(y, want)


def test_steps_do_not_depend_on_the_number_of_threads(rng):
    if not native_is_built():
        pytest.skip("NumPy divides the batch among threads")
    sizes = {"hidden_size": 48, "num_attention_heads": 3, "intermediate_size": 70}
    config = ErnieMConfig(vocab_size=301, num_hidden_layers=2, **sizes)
    ids = rng.integers(5, 301, (7, 33))
    batch = {"input_ids": ids, "labels": np.where(rng.random(ids.shape) < 0.3, ids, -100)}
    start, results = ErnieMForMaskedLM(config, seed=1), []
    with use_backend("native"):
        for threads in (1, 2, 3):
            model, optimizer = trainable(start), AdamW(1e-3)
            for _ in range(2):
                loss, gradients = value_and_grad(
                    model, batch, threads=threads, precision="bfloat16"
                )
                optimizer.step(flatten(model.weights), flatten(gradients), threads=threads)
            results.append((loss, flatten(model.weights)))
    for loss, weights in results[1:]:
        assert loss == results[0][0]
        for name, value in weights.items():
            np.testing.assert_array_equal(value, results[0][1][name], name)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_recomputed_layers_are_rounded_too(checkpointing, rng):
    model, batch = make("ErnieMForMaskedLM"), masked(rng)
    want = value_and_grad(model, batch, precision="bfloat16")
    loss, gradients = value_and_grad(
        model, batch, precision="bfloat16", gradient_checkpointing=checkpointing
    )
    assert loss == want[0]
    for name, value in dense(want[1]).items():
        np.testing.assert_array_equal(dense(gradients)[name], value, name)


def test_parts_of_a_batch_in_threads_are_rounded_too(rng):
    model, batch = make("ErnieMForMaskedLM"), masked(rng)
    with use_backend("numpy"):
        one, two = (
            value_and_grad(model, batch, threads=n, precision="bfloat16")[0] for n in (1, 2)
        )
        assert two == pytest.approx(one, rel=1e-6)
        assert two != pytest.approx(value_and_grad(model, batch, threads=2)[0], rel=1e-6)


def test_after_a_step_products_are_float32_again(rng):
    model, batch = make("ErnieMForMaskedLM"), masked(rng)
    want = value_and_grad(model, batch)[0]
    value_and_grad(model, batch, precision="bfloat16")
    with pytest.raises(ValueError, match="no 'labels'"):
        value_and_grad(model, {"input_ids": batch["input_ids"]}, precision="bfloat16")
    assert value_and_grad(model, batch)[0] == want


def test_an_unknown_precision_and_a_float64_model_are_refused(rng):
    batch = masked(rng)
    with pytest.raises(ValueError, match="precision 'float16' is not one of float32, bfloat16"):
        value_and_grad(make("ErnieMForMaskedLM"), batch, precision="float16")
    with pytest.raises(ValueError, match="precision 'int8' is not one of"):
        TrainingConfig(steps=1, precision="int8")
    with pytest.raises(ValueError, match="needs a float32 model, and this one is float64"):
        value_and_grad(make("ErnieMForMaskedLM", "float64"), batch, precision="bfloat16")


def run(out, **options):
    """Forty steps on a task that can be learned: the label of a token is its id, modulo 5."""
    defaults = {"steps": 40, "learning_rate": 3e-3, "threads": 1, "save_every": 10}
    config = TrainingConfig(**{**defaults, **options})

    def loss_and_grad(model, step, rng):
        ids = rng.integers(2, V, (8, T))
        batch = {"input_ids": ids, "labels": ids % 5}
        if step == 25 and not (out / "again").exists():
            (out / "again").mkdir()
            raise KeyboardInterrupt
        return value_and_grad(model, batch, rng=rng, precision=config.precision)

    return Trainer(trainable(make("ErnieMForTokenClassification")), loss_and_grad, config, out)


def bits(folder):
    tensors = read_safetensors(folder / "model.safetensors")
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    for out in (whole, stopped):
        out.mkdir()
    (whole / "again").mkdir()
    run(whole, precision="bfloat16").run()
    with pytest.raises(KeyboardInterrupt):
        run(stopped, precision="bfloat16").run()
    with pytest.raises(ValueError, match="precision 'bfloat16' there, 'float32' here"):
        run(stopped)
    run(stopped, precision="bfloat16").run()
    assert bits(stopped) == bits(whole)


def ends_of(out, of_trainer, **told):
    """The weights after three steps of a Trainer whose loss is told `told`."""
    config = TrainingConfig(steps=3, threads=1, precision=of_trainer)

    def loss_and_grad(model, step, rng):
        ids = rng.integers(2, V, (8, T))
        return value_and_grad(model, {"input_ids": ids, "labels": ids % 5}, **told)

    trainer = Trainer(trainable(make("ErnieMForTokenClassification")), loss_and_grad, config, out)
    trainer.run()
    return {name: value.tobytes() for name, value in trainer.weights.items()}


def test_a_loss_that_names_no_precision_uses_that_of_its_trainer(tmp_path):
    used = ends_of(tmp_path / "used", "bfloat16")
    assert used == ends_of(tmp_path / "told", "bfloat16", precision="bfloat16")
    other = ends_of(tmp_path / "other", "float32")
    assert used != other
    assert other == ends_of(tmp_path / "overruled", "bfloat16", precision="float32")


def test_a_task_uses_the_precision_of_its_config():
    rows = [("Open the file", None, "en"), ("Datei öffnen", None, "de")] * 4
    losses = []
    for precision in ("float32", "bfloat16"):
        config = TrainingConfig(steps=1, batch_size=8, precision=precision)
        setup = classification_setup(rows, rows, config)
        losses.append(setup.loss_and_grad(setup.model, 0, None)[0])
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
