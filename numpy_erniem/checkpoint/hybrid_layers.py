"""The layers over token vectors that give the sparse and the multi-vector output of BGE-M3.

`hybrid_embedding.safetensors` holds `sparse.weight`, `sparse.bias`, `multi.weight`, `multi.bias`.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from numpy_erniem.checkpoint.links import inside
from numpy_erniem.checkpoint.safetensors_file import read_safetensors, replace_safetensors
from numpy_erniem.checkpoint.sentence_settings import DenseLayer
from numpy_erniem.checkpoint.tensors import FLOATS, Tensor, warn_of_nan

HYBRID_FILE = "hybrid_embedding.safetensors"
ACTIVATIONS = {"sparse": "relu", "multi": "linear"}  # output → what follows its layer
SOURCE_FILES = {"sparse": "sparse_linear.pt", "multi": "colbert_linear.pt"}  # of BGE-M3


class HybridLayers(NamedTuple):
    """One layer for each output that a checkpoint has besides its dense vector.

    Attributes
    ----------
    sparse : DenseLayer, optional
        From a token's vector (D,) to its weight (1,), with ReLU.
    multi : DenseLayer, optional
        From a token's vector (D,) to one of the text's vectors (M,).
    """

    sparse: DenseLayer | None = None
    multi: DenseLayer | None = None

    @property
    def outputs(self) -> list[str]:
        """The outputs that there are layers for."""
        return [name for name, layer in zip(self._fields, self, strict=True) if layer is not None]


def hybrid_layer(
    output: str, tensors: dict[str, Tensor], prefix: str, where: str, hidden_size: int | None = None
) -> DenseLayer:
    """Make the layer of an output from its two tensors.

    Parameters
    ----------
    output : {"sparse", "multi"}
    tensors : dict of str to Tensor
        Of a file.
    prefix : str
        Of the names: prefix + "weight", prefix + "bias".
    where : str
        What an error calls the file.
    hidden_size : int, optional
        Of config.json; left out, the width is not checked.

    Returns
    -------
    DenseLayer

    Raises
    ------
    ValueError
        A tensor is missing or holds no floats, or its shape does not fit.
    """
    found = {}
    for key in ("weight", "bias"):
        tensor = tensors.get(prefix + key)
        if tensor is None:
            raise ValueError(f"{where} lacks {prefix + key}; it has {', '.join(tensors) or 'none'}")
        if tensor.dtype not in FLOATS:
            raise ValueError(f"{where}: {prefix + key} holds {tensor.dtype}, not floats")
        found[key] = tensor.numpy(np.float32)
        warn_of_nan(where, prefix + key, found[key])
    shape = found["weight"].shape
    if len(shape) != 2 or found["bias"].shape != shape[:1]:
        raise ValueError(
            f"{where}: {prefix}weight has shape {shape} and {prefix}bias {found['bias'].shape}; "
            "they must be (out, in) and (out,)"
        )
    if hidden_size is not None and shape[1] != hidden_size:
        raise ValueError(
            f"{where}: {prefix}weight has shape {shape}, config.json hidden_size {hidden_size}; "
            "take both from the same checkpoint"
        )
    if output == "sparse" and shape[0] != 1:
        raise ValueError(
            f"{where}: {prefix}weight has shape {shape}; a sparse output has one number for each "
            f"token, so it must be (1, {shape[1]})"
        )
    return DenseLayer(found["weight"], found["bias"], ACTIVATIONS[output])


def read_hybrid_layers(folder: Path, hidden_size: int | None = None) -> HybridLayers:
    """Read the layers that a conversion left in a folder; none where there is no such file.

    Parameters
    ----------
    folder : Path
    hidden_size : int, optional
        Of config.json; left out, widths are not checked.

    Returns
    -------
    HybridLayers

    Raises
    ------
    ValueError
        The file is damaged, or a tensor is unknown, missing or misshapen.
    """
    if not (folder / HYBRID_FILE).is_file():
        return HybridLayers()
    path = inside(folder, HYBRID_FILE)
    tensors = read_safetensors(path)
    known = [f"{output}.{key}" for output in ACTIVATIONS for key in ("weight", "bias")]
    if unknown := [name for name in tensors if name not in known]:
        raise ValueError(f"{path} has a tensor {unknown[0][:100]!r}; known are {', '.join(known)}")
    found = {name.partition(".")[0] for name in tensors}
    return HybridLayers(
        **{o: hybrid_layer(o, tensors, f"{o}.", str(path), hidden_size) for o in sorted(found)}
    )


def write_hybrid_layers(folder: Path, layers: HybridLayers) -> None:
    """Write the layers into a folder, as `read_hybrid_layers` reads them; no file for none."""
    tensors = {
        f"{output}.{key}": Tensor.of_array(getattr(getattr(layers, output), key))
        for output in layers.outputs
        for key in ("weight", "bias")
    }
    if tensors:
        replace_safetensors(folder / HYBRID_FILE, tensors)
