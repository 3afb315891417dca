"""Upstream's model on the same inputs; torch and transformers are imported when it is run."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.folder import INDEX_FILE, WEIGHTS_FILE, read_folder
from numpy_erniem.checkpoint.json_files import read_json
from numpy_erniem.checkpoint.wrappers import unwrap
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.models.narrow_weights import SCALE
from numpy_erniem.models.weights import match_prefix
from numpy_erniem.parity.golden import Arrays

NEEDED = (
    "torch and transformers 4.37.2 are needed to run upstream; install them, or compare "
    "with a file that was made where they are: against=golden.npz (--against)"
)


def layer_outputs(output: Any) -> Arrays:
    """The arrays of a model's output, in the order in which they are computed."""
    hidden = list(output["hidden_states"])
    found = {"embeddings" if n == 0 else f"layer {n}": x for n, x in enumerate(hidden)}
    for name in ("pooler_output", "logits", "start_logits", "end_logits"):
        if name in output and output[name] is not None:
            found[name] = output[name]
    return {name: np.asarray(x) for name, x in found.items()}


def as_model_inputs(
    inputs: Arrays, model_class: str, positions: bool = True
) -> Mapping[str, np.ndarray]:
    """A batch of texts, (B, T); for multiple choice the choices of one question, (1, B, T).

    Parameters
    ----------
    inputs : dict of str to array
        input_ids and attention_mask.
    model_class : str
        Name of the class that gets them.
    positions : bool
        Whether position_ids are added that count all tokens; else the model counts in its way.

    Returns
    -------
    dict of str to array
    """
    if positions:  # a row for each text, because upstream changes them in place
        rows, tokens = inputs["input_ids"].shape
        inputs = {**inputs, "position_ids": np.tile(np.arange(tokens), (rows, 1))}
    if model_class.endswith("MultipleChoice"):
        return {name: values[None] for name, values in inputs.items()}
    return inputs


def upstream_versions() -> str:
    """The versions of transformers and torch, as one text."""
    torch, transformers = import_module("torch"), import_module("transformers")
    return f"transformers {transformers.__version__} on torch {torch.__version__}"


def upstream_outputs(folder: Path, config: ErnieMConfig, inputs: Arrays) -> Arrays:
    """Run upstream's model; upstream's own readers read the weights, except for Paddle's.

    Parameters
    ----------
    folder : Path
        The checkpoint.
    config : ErnieMConfig
        Its config, with the intermediate size of the weights.
    inputs : dict of str to array
        input_ids and attention_mask, (B, T) integers.

    Returns
    -------
    dict of str to array
        As from `layer_outputs`.

    Raises
    ------
    ValueError
        torch or transformers is missing, or the folder lacks a tensor that upstream needs.
    """
    try:
        torch, transformers = import_module("torch"), import_module("transformers")
        base_class = transformers.ErnieMModel
    except (ImportError, AttributeError):
        raise ValueError(NEEDED) from None
    name = (config.architectures or [""])[0]
    upstream_class = getattr(transformers, name, base_class)
    weights = unwrap(upstream_weights(torch, folder))[0]
    options = {}
    if upstream_class is base_class:
        options["add_pooling_layer"] = any("pooler.dense" in n for n in weights)
    values = {k: v for k, v in config.to_dict().items() if k != "architectures"}
    model = upstream_class(transformers.ErnieMConfig(**values), **options).eval()
    expected = {name: tuple(x.shape) for name, x in model.state_dict().items()}
    renamed = match_prefix(weights, expected)
    with torch.no_grad():
        state = {renamed[n]: x.float() for n, x in weights.items() if renamed[n] in expected}
        missing = [n for n in expected if n not in state and not n.endswith("position_ids")]
        if missing:
            raise ValueError(f"{folder} lacks {', '.join(missing[:3])}, which upstream needs")
        model.load_state_dict(state, strict=False)
        tensors = {n: torch.from_numpy(x) for n, x in as_model_inputs(inputs, name).items()}
        output = model(**tensors, output_hidden_states=True, return_dict=True)
    return layer_outputs(output)


def upstream_weights(torch: Any, folder: Path) -> dict[str, Any]:
    """Tensors by the readers of safetensors and torch; Paddle's files by ours.

    int8 weights are widened with their scales.
    """
    if (folder / WEIGHTS_FILE).is_file() or (folder / INDEX_FILE).is_file():
        from safetensors.torch import load_file

        files = {WEIGHTS_FILE}
        if (folder / INDEX_FILE).is_file():
            files = set(read_json(folder / INDEX_FILE)["weight_map"].values())
        found = {n: x for file in sorted(files) for n, x in load_file(folder / file).items()}
        for name in [name for name in found if name.endswith(f"weight{SCALE}")]:
            scale, weight = found.pop(name), name.removesuffix(SCALE)
            found[weight] = found[weight].float() * scale[:, None]
        return found
    if (folder / "pytorch_model.bin").is_file():
        return torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
    tensors = read_folder(folder)
    return {n: torch.from_numpy(t.numpy(np.float32).copy()) for n, t in tensors.items()}
