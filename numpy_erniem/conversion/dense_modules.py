"""Read the Dense modules of sentence-transformers: a linear layer over sentence vectors."""

from pathlib import Path
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.folder import inside, read_tensors
from numpy_erniem.checkpoint.json_files import read_json
from numpy_erniem.checkpoint.sentence_settings import DenseLayer
from numpy_erniem.checkpoint.tensors import FLOATS

# Class of torch.nn, without arguments → our name.
ACTIVATIONS = {
    "Tanh": "tanh",
    "Identity": "linear",
    "ReLU": "relu",
    "ReLU6": "relu6",
    "LeakyReLU": "leaky_relu",
    "GELU": "gelu",
    "Sigmoid": "sigmoid",
    "SiLU": "silu",
    "Mish": "mish",
}
VECTOR = "sentence_embedding"  # what a Dense module must read and write
KEYS = {
    "in_features": None,
    "out_features": None,
    "bias": True,
    "activation_function": "torch.nn.Tanh",
    "module_input_name": VECTOR,
    "module_output_name": VECTOR,
}


def read_dense(source: Path, name: str, width: int, normalize_first: bool) -> DenseLayer:
    """Read a Dense module.

    Parameters
    ----------
    source : Path
        The folder of the model.
    name : str
        The folder of the module in it.
    width : int
        Numbers of the vectors that it gets.
    normalize_first : bool
        Whether a Normalize module is before it.

    Returns
    -------
    DenseLayer

    Raises
    ------
    FileNotFoundError
        config.json or the weights are missing.
    ValueError
        An option is not supported, or sizes contradict each other.
    """
    path = source / name / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{source} lacks {name}/config.json, which modules.json names")
    values = read_json(inside(source, f"{name}/config.json"))
    if unknown := [key for key in values if key not in KEYS]:
        raise ValueError(f"{path} has {', '.join(unknown)[:200]}, which is not supported")
    values = KEYS | values
    for key in ("module_input_name", "module_output_name"):
        if values[key] not in (VECTOR, None):
            raise ValueError(f"{path} has {key} {values[key]!r:.100}; supported is {VECTOR!r}")
    if values["in_features"] != width:
        raise ValueError(
            f"{path} has in_features {values['in_features']!r:.100}, the module before it gives "
            f"{width} numbers"
        )
    weight, bias = _weights(source, name, values)
    return DenseLayer(weight, bias, _activation(path, values), normalize_first)


def _activation(path: Path, values: dict[str, Any]) -> str:
    """Our name of a class such as torch.nn.modules.activation.Tanh; None is no activation."""
    dotted = values["activation_function"]
    if dotted is None:
        return "linear"
    package, _, name = str(dotted).rpartition(".")
    if f"{package}.".startswith("torch.nn.") and name in ACTIVATIONS:
        return ACTIVATIONS[name]
    raise ValueError(
        f"{path} has activation_function {dotted!r:.100}; supported are the classes "
        f"{', '.join(ACTIVATIONS)} of torch.nn"
    )


def _weights(source: Path, name: str, values: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias in float32, of the shapes that config.json says; no bias is zeros."""
    file, tensors = read_tensors(source / name)
    path = inside(source, f"{name}/{file}")
    out = values["out_features"]
    shapes = {"linear.weight": (out, values["in_features"])}
    if values["bias"] is True:
        shapes["linear.bias"] = (out,)
    elif values["bias"] is not False:
        raise ValueError(f"{path.parent}/config.json has bias {values['bias']!r:.100}, no bool")
    if set(tensors) != set(shapes):
        raise ValueError(
            f"{path} has the tensors {', '.join(sorted(tensors))[:200] or 'none'}; config.json "
            f"says {', '.join(shapes)}"
        )
    for key, shape in shapes.items():
        if tensors[key].shape != shape:
            raise ValueError(
                f"{path}: {key} has shape {tensors[key].shape}, config.json says {shape}"
            )
        if tensors[key].dtype not in FLOATS:
            raise ValueError(f"{path}: {key} holds {tensors[key].dtype}, not floats")
    weight = tensors["linear.weight"].numpy(np.float32)
    bias = tensors["linear.bias"].numpy(np.float32) if values["bias"] else np.zeros(out, np.float32)
    return weight, bias
