"""The benchmark of training: the operations that it counts; no test looks at a time."""

import pytest

pytest.importorskip("numpy_erniem._kernels")
flop_counter = pytest.importorskip("torch.utils.flop_counter")
train_step = pytest.importorskip("benchmarks.train_step")


@pytest.mark.parametrize("size", [(1, 8, 2, 2, 3), (3, 12, 3, 4, 10)])
def test_the_operations_of_a_step_are_those_that_torch_counts(size, monkeypatch):
    monkeypatch.setitem(train_step.SIZES, "small", size)
    monkeypatch.setattr(train_step, "V", 50)
    step, _ = train_step.theirs("small", threads=1)
    with flop_counter.FlopCounterMode(display=False) as counter:
        step()
    assert train_step.operations("small") == counter.get_total_flops()
