"""value_and_grad(): the loss of a model on a batch, and its gradient by every weight."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from numpy_erniem.encoder import Inputs
from numpy_erniem.models import ErnieMForMultipleChoice
from numpy_erniem.models.choices import fold_choices
from numpy_erniem.models.inputs import ENCODER_ARGUMENTS, prepare_inputs
from numpy_erniem.models.pretrained import ErnieMPreTrainedModel
from numpy_erniem.models.schema import ENCODER
from numpy_erniem.models.weights import encoder_weights, flatten, nest
from numpy_erniem.quantization.numbers import widen
from numpy_erniem.training.encoder import encode
from numpy_erniem.training.gradient_tree import Gradients, add
from numpy_erniem.training.heads import HEADS, Head
from numpy_erniem.training.products import products_in
from numpy_erniem.training.step_options import step_options
from numpy_erniem.training.threads import parts_of_batch

NOT_FOR_TRAINING = (
    "past_key_values",
    "use_cache",
    "output_hidden_states",
    "output_attentions",
    "return_dict",
    "key_bias",
)


def trainable(model: ErnieMPreTrainedModel) -> ErnieMPreTrainedModel:
    """A copy of a model whose weights an optimizer may change; the model itself stays as it is.

    Weights that are stored in 16 bits become float32.

    Raises
    ------
    ValueError
        The model computes in int8 or bfloat16.
    """
    copied = copy.copy(model)
    copied.trainable = True
    copied.config = copy.deepcopy(model.config)
    copied.weights = _float_weights(model, copied=True)
    return copied


def _float_weights(model: ErnieMPreTrainedModel, copied: bool = False) -> dict[str, Any]:
    """The weights in float32 or float64; ValueError for a model that computes in less."""
    if model.precision in ("int8", "bfloat16"):
        raise ValueError(
            f"the weights are {model.precision}, of which training has no gradients; train the "
            "checkpoint that they were made of (in Python, from_pretrained(..., dtype='float32') "
            "widens them)"
        )
    flat = {name: (value, widen(value)) for name, value in flatten(model.weights).items()}
    if not copied and all(wide is value for value, wide in flat.values()):
        return model.weights
    return nest({n: np.array(w) if copied and w is v else w for n, (v, w) in flat.items()})


def value_and_grad(
    model: ErnieMPreTrainedModel,
    batch: Mapping[str, Any],
    *,
    head: Head | None = None,
    rng: np.random.Generator | None = None,
    gradient_checkpointing: bool | None = None,
    threads: int | None = None,
    precision: str | None = None,
) -> tuple[float, Gradients]:
    """The loss of a batch and its gradient by every weight.

    In a step of a `Trainer`, options that are left out are those of its `TrainingConfig`.

    Parameters
    ----------
    model : ErnieMPreTrainedModel
        Any model of `numpy_erniem.models`.
    batch : dict
        Arguments of the model's forward pass, with its labels. With `starts` the texts are packed,
        as `pack_texts` does it: no padding is computed, and labels of tokens are (1, N).
    head : `training.heads.Head`, optional
        The loss; left out, that of the model's class. `ErnieMModel` has none.
    rng : Generator, optional
        For dropout, at the rates of the config; None: no dropout.
    gradient_checkpointing : bool, optional
        Keep only the input of each layer and compute the layer twice: less memory, about a third
        more work. Left out, False.
    threads : int, optional
        So many threads compute: inside the native kernels, where the result does not depend on
        their number, or, with NumPy, each a part of the batch; then the result is bit-identical for
        a fixed number. Left out, 1.
    precision : {"float32", "bfloat16"}, optional
        Of the products of linear maps, forward and backward. "bfloat16": their inputs are rounded
        to bfloat16, and the sums are float32, as is all else. Left out, "float32".

    Returns
    -------
    loss : float
    gradients : nested dict like model.weights
        Arrays, or `SparseRows` for embedding tables of which only some rows were used. A weight
        that the loss does not depend on is missing.

    Raises
    ------
    ValueError
        An argument that training does not take, a missing label, a model without a loss or with
        weights of int8 or bfloat16, an unknown precision, or bfloat16 for a float64 model, or
        anything that the forward pass refuses.

    Examples
    --------
    >>> from numpy_erniem import ErnieMConfig, ErnieMForSequenceClassification
    >>> config = ErnieMConfig(vocab_size=99, hidden_size=12, num_attention_heads=3,
    ...                       num_hidden_layers=2, intermediate_size=37)
    >>> model = ErnieMForSequenceClassification(config, seed=1)
    >>> loss, gradients = value_and_grad(model, {"input_ids": [[0, 5, 17, 2]], "labels": [1]})
    >>> gradients["classifier"]["weight"].shape
    (2, 12)
    """
    head = head or HEADS.get(type(model))
    if head is None:
        raise ValueError(f"{type(model).__name__} has no loss; pass head=, or use another model")
    chosen = step_options(gradient_checkpointing, threads, precision)
    if chosen.precision == "bfloat16" and model.dtype != np.float32:
        raise ValueError(
            f"precision 'bfloat16' needs a float32 model, and this one is {model.dtype}"
        )
    inputs, labels = _inputs_and_labels(model, batch)
    weights = _float_weights(model)
    encoder = encoder_weights(weights)
    with products_in(chosen.precision), parts_of_batch(chosen.threads) as parts:
        x, backward = encode(
            inputs,
            encoder,
            model.config,
            rng,
            gradient_checkpointing=chosen.gradient_checkpointing,
            threads=parts,
        )  # (B, T) -> (B, T, D)
        loss, dx, dhead = head(x, weights, model.config, labels, rng, parts)
        dencoder = backward(dx)
    if ENCODER in model.weights:
        dencoder = {ENCODER: dencoder}
    return float(loss), add(dhead, dencoder) if dhead else dencoder


def _inputs_and_labels(
    model: ErnieMPreTrainedModel, batch: Mapping[str, Any]
) -> tuple[Inputs, dict[str, Any]]:
    """The checked arguments of the encoder, and the rest of the batch."""
    for name in NOT_FOR_TRAINING:
        if batch.get(name) is not None:
            raise ValueError(f"training does not take {name}; leave it out of the batch")
    arguments = dict(batch)
    if isinstance(model, ErnieMForMultipleChoice):
        packed = batch.get("starts") is not None
        arguments, _ = fold_choices(arguments, packed=packed)  # (B, C, T) -> (B·C, T)
    chosen = {n: arguments.pop(n) for n in ENCODER_ARGUMENTS if n in arguments}
    inputs = prepare_inputs(model.config, model.dtype, **chosen)
    return inputs, {**arguments, "starts": inputs.starts}
