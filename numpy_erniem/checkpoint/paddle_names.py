"""PaddleNLP's names, layouts and configs, translated into ours."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from numpy_erniem.checkpoint.config_files import architecture_of
from numpy_erniem.checkpoint.tensors import LazyTensor, Tensor

QUESTION_ANSWERING = "ErnieMForQuestionAnswering"

# Paddle stores the weight of a linear map as (in, out).
LINEAR_WEIGHT = re.compile(
    r"(?:[qkv]_proj|out_proj|linear1|linear2|pooler\.dense|classifier|linear_start|linear_end)"
    r"\.weight$"
)
EPSILON = 1e-5  # of Paddle's layer norm; PaddleNLP reads no other from its config


class Translation(NamedTuple):
    """A checkpoint in our names, and what was done to make it.

    Attributes
    ----------
    config : dict
        The keys of config.json. They say how PaddleNLP masks (`ErnieMConfig.hidden_token_id`).
    tensors : dict of str to Tensor
    renamed : dict of str to str
        PaddleNLP's names to ours, where they differ.
    transposed : list of str
        Our names of the weights that Paddle stores as (in, out).
    derived : dict of str to (before, after)
        Keys of the config that were added or corrected; before is None if there was none.
    """

    config: dict[str, Any]
    tensors: dict[str, Tensor]
    renamed: dict[str, str]
    transposed: list[str]
    derived: dict[str, tuple[Any, Any]]


def is_paddle(names: Iterable[str]) -> bool:
    """Whether tensors are named and laid out as in PaddleNLP."""
    return any(".self_attn.q_proj." in n and ".self_attn.self_attn." not in n for n in names)


def from_paddle(config: dict[str, Any], tensors: dict[str, Tensor]) -> Translation:
    """Translate a PaddleNLP checkpoint. No tensor is read; a transposed weight is a view.

    Parameters
    ----------
    config : dict
        The keys of PaddleNLP's config.json; not changed.
    tensors : dict of str to Tensor
        By PaddleNLP's names.
    """
    architecture = architecture_of(config)
    ours: dict[str, Tensor] = {}
    renamed, transposed = {}, []
    for name, tensor in tensors.items():
        new = our_name(name, architecture == QUESTION_ANSWERING)
        if new != name:
            renamed[name] = new
        if LINEAR_WEIGHT.search(name) and len(tensor.shape) == 2:
            transposed.append(new)
            tensor = _transpose(tensor)
        ours[new] = tensor
    values: dict[str, Any] = {"layer_norm_eps": EPSILON, "attention_mask_convention": "paddle"}
    if architecture:
        values = {"architectures": [architecture], **values}
    derived = {
        key: (config.get(key), value)
        for key, value in values.items()
        if key not in config or config[key] != value
    }
    new_config = {"model_type": "ernie_m", **config, **values}
    return Translation(new_config, ours, renamed, transposed, derived)


def _transpose(tensor: Tensor) -> Tensor:
    if isinstance(tensor, LazyTensor):
        return LazyTensor(tensor.dtype, tensor.shape[::-1], lambda: tensor.data.T)
    return Tensor(tensor.dtype, tensor.data.T)


def our_name(name: str, question_answering: bool = False) -> str:
    """The name that a PaddleNLP tensor has here.

    Examples
    --------
    >>> our_name("ernie_m.encoder.layers.3.self_attn.q_proj.weight")
    'ernie_m.encoder.layers.3.self_attn.self_attn.q_proj.weight'
    """
    name = re.sub(r"\.self_attn\.([qkv]_proj)\.", r".self_attn.self_attn.\1.", name)
    return re.sub(r"^classifier\.", "qa_outputs.", name) if question_answering else name
