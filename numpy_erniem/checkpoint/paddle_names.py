"""PaddleNLP's names, layouts and configs → ours."""

import re
from pathlib import Path
from typing import Any

from numpy_erniem.checkpoint.json_files import read_json
from numpy_erniem.checkpoint.report import Report, architecture_of
from numpy_erniem.checkpoint.safetensors_file import Computed, Tensor

ARCHITECTURES = {"UIEM": "ErnieMForInformationExtraction"}
QUESTIONS = "ErnieMForQuestionAnswering"

# Paddle keeps the weight of a linear map as (in, out).
LINEAR_WEIGHT = re.compile(
    r"(?:[qkv]_proj|out_proj|linear1|linear2|pooler\.dense|classifier|linear_start|linear_end)"
    r"\.weight$"
)
EPSILON = 1e-5  # of Paddle's layer norm; PaddleNLP reads no other from its config


def from_paddle(
    config: dict[str, Any], tensors: dict[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor], Report]:
    """Translate a PaddleNLP checkpoint; nothing is read yet, a transposed weight is a view.

    Parameters
    ----------
    config : dict
        PaddleNLP's config.json, which is left as it is.
    tensors : dict of str to Tensor
        By PaddleNLP's names.

    Returns
    -------
    config, tensors : dict
        Ours. The config says how PaddleNLP masks (see `ErnieMConfig.hidden_token_id`).
    report : Report
    """
    config, report = dict(config), Report("PaddleNLP")
    named = architecture_of(config)
    ours = {}
    for name, tensor in tensors.items():
        new = our_name(name, named == QUESTIONS)
        if new != name:
            report.renamed[name] = new
        if LINEAR_WEIGHT.search(name) and len(tensor.shape) == 2:
            report.transposed.append(new)
            tensor = _transposed(tensor)
        ours[new] = tensor
    if named:
        report.derive(config, "architectures", [ARCHITECTURES.get(named, named)])
    report.derive(config, "layer_norm_eps", EPSILON)
    report.derive(config, "attention_mask_convention", "paddle")
    config.setdefault("model_type", "ernie_m")
    return config, ours, report


def _transposed(tensor: Tensor) -> Tensor:
    if isinstance(tensor, Computed):
        return Computed(tensor.kind, tensor.shape[::-1], lambda: tensor.data.T)
    return Tensor(tensor.kind, tensor.data.T)


def our_name(name: str, question_answering: bool = False) -> str:
    """The name that a PaddleNLP tensor has here.

    Examples
    --------
    >>> our_name("ernie_m.encoder.layers.3.self_attn.q_proj.weight")
    'ernie_m.encoder.layers.3.self_attn.self_attn.q_proj.weight'
    """
    name = re.sub(r"\.self_attn\.([qkv]_proj)\.", r".self_attn.self_attn.\1.", name)
    return re.sub(r"^classifier\.", "qa_outputs.", name) if question_answering else name


def old_paddle_config(path: Path) -> dict[str, Any]:
    """The keys of a model_config.json, which PaddleNLP wrote before 2.5.

    It holds the arguments of a constructor: {"init_args": [{..., "init_class": "ErnieMModel"}],
    "init_class": "UIEM"}, or those of ErnieMModel alone.

    Raises
    ------
    ValueError
        It is for another model, or no such file.
    """
    outer = read_json(path)
    arguments = outer.pop("init_args", [])
    outer_class = outer.pop("init_class", None)
    config: dict[str, Any] = {}
    for argument in arguments if isinstance(arguments, list | tuple) else [arguments]:
        if isinstance(argument, dict):
            config |= argument
        elif isinstance(argument, int):  # the second argument of a model with classes
            config["num_classes"] = argument
    inner_class = config.pop("init_class", None)
    config |= outer
    name = outer_class or inner_class or "ErnieMModel"
    if not isinstance(name, str) or not re.fullmatch(r"ErnieM(Model|For\w+)|UIEM", name):
        raise ValueError(f"{path} is for {name!r}, not for an ERNIE-M model")
    return {**config, "architectures": [name], "model_type": "ernie_m"}
