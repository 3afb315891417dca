"""value_and_grad: the loss of a model on a batch, and how it changes with every weight."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from numpy_erniem.heads import fold_choices
from numpy_erniem.models import ErnieMForMultipleChoice
from numpy_erniem.models.inputs import prepare_inputs
from numpy_erniem.models.pretrained import ENCODER_ARGUMENTS, ErnieMPreTrainedModel
from numpy_erniem.models.weights import PREFIX, flatten, nest
from numpy_erniem.training.gradient_tree import Gradients, add
from numpy_erniem.training.heads import HEADS, Head
from numpy_erniem.training.layers import encode

NOT_FOR_TRAINING = (
    "past_key_values",
    "use_cache",
    "output_hidden_states",
    "output_attentions",
    "return_dict",
)


def trainable(model: ErnieMPreTrainedModel) -> ErnieMPreTrainedModel:
    """A copy of a model with weights that an optimizer may change; the given one stays as it is."""
    mine = copy.copy(model)
    mine.config = copy.deepcopy(model.config)
    mine.weights = nest({name: np.array(value) for name, value in flatten(model.weights).items()})
    return mine


def value_and_grad(
    model: ErnieMPreTrainedModel,
    batch: Mapping[str, Any],
    *,
    head: Head | None = None,
    rng: np.random.Generator | None = None,
    recompute: bool = False,
    threads: int = 1,
) -> tuple[float, Gradients]:
    """The loss of a batch and its gradient by every weight.

    Parameters
    ----------
    model : any of `numpy_erniem.models`
    batch : dict
        Arguments of the model's forward pass, labels included.
    head : function, optional
        As in `training.heads`; the model's own if left out. `ErnieMModel` has none.
    rng : Generator, optional
        For dropout, at the rates of the config; None: no dropout.
    recompute : bool
        Bound memory by running each layer twice.
    threads : int
        Parts that the batch is cut in, each in a thread of its own. The same number gives the
        same bits.

    Returns
    -------
    loss : float
    gradients : nested dict like model.weights
        Arrays, or `SparseRows` for embedding tables of which only some rows were used. A weight
        that the loss does not depend on is missing.

    Raises
    ------
    ValueError
        An argument that has no place in training, a missing label, or what the forward pass
        refuses.

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
        raise ValueError(f"{type(model).__name__} has no loss; pass head=, or take another model")
    for name in NOT_FOR_TRAINING:
        if batch.get(name) is not None:
            raise ValueError(f"{name} has no place in training; leave it out of the batch")
    arguments = dict(batch)
    if isinstance(model, ErnieMForMultipleChoice):
        for name in ("input_ids", "inputs_embeds", "attention_mask", "position_ids"):
            arguments.setdefault(name, None)
        arguments, _ = fold_choices(arguments)
    chosen = {n: arguments.pop(n) for n in ENCODER_ARGUMENTS if n in arguments}
    inputs = prepare_inputs(model.config, model.dtype, **chosen)
    encoder = model.weights.get(PREFIX[:-1], model.weights)
    x, backward = encode(
        inputs, encoder, model.config, rng, recompute=recompute, threads=threads
    )  # (B, T) -> (B, T, D)
    labels = {**arguments, "threads": threads}
    loss, dx, dhead = head(x, model.weights, model.config, labels, rng)
    dencoder = backward(dx)
    if PREFIX[:-1] in model.weights:
        dencoder = {PREFIX[:-1]: dencoder}
    return float(loss), add(dhead, dencoder) if dhead else dencoder
