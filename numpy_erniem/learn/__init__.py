"""Learning in NumPy: gradients by hand, optimizers, fine-tuning, ERNIE-M's pre-training."""

from numpy_erniem.learn.value import trainable, value_and_grad

__all__ = ["trainable", "value_and_grad"]
