"""Upstream's model on our inputs: torch and transformers, imported when they are asked for."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.folder import INDEX, SINGLE, read_checkpoint
from numpy_erniem.checkpoint.json_files import read_json
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.models.weights import match_prefix

Numbers = dict[str, np.ndarray]


def named(output: Any) -> Numbers:
    """The arrays of an output in the order in which they are computed."""
    hidden = list(output["hidden_states"])
    found = {"embeddings" if n == 0 else f"layer {n}": x for n, x in enumerate(hidden)}
    for name in ("pooler_output", "logits", "start_logits", "end_logits"):
        if name in output and output[name] is not None:
            found[name] = output[name]
    return {name: np.asarray(x) for name, x in found.items()}


def arranged(inputs: Numbers, model_class: str) -> Mapping[str, np.ndarray]:
    """Texts as a batch, or as the choices of one question."""
    if model_class.endswith("MultipleChoice"):
        return {name: values[None] for name, values in inputs.items()}
    return inputs


def upstream_versions() -> str:
    """Name and versions of the reference."""
    torch, transformers = import_module("torch"), import_module("transformers")
    return f"transformers {transformers.__version__} on torch {torch.__version__}"


def upstream_numbers(folder: Path, config: ErnieMConfig, inputs: Numbers) -> Numbers:
    """Run upstream's model, with weights that upstream's own readers read where they can."""
    try:
        torch, transformers = import_module("torch"), import_module("transformers")
        base_class = transformers.ErnieMModel
    except (ImportError, AttributeError):
        raise ValueError(
            "torch and transformers 4.37.2 are needed to run upstream; install them, or compare "
            "with a file that was made where they are: against=golden.npz (--against)"
        ) from None
    name = (config.architectures or [""])[0]
    upstream_class = getattr(transformers, name, base_class)
    weights = _upstream_weights(torch, folder)
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
        tensors = {n: torch.from_numpy(x) for n, x in arranged(inputs, name).items()}
        output = model(**tensors, output_hidden_states=True, return_dict=True)
    return named(output)


def _upstream_weights(torch: Any, folder: Path) -> dict[str, Any]:
    """Tensors by safetensors' and torch's own readers; Paddle's by ours."""
    if (folder / SINGLE).is_file() or (folder / INDEX).is_file():
        from safetensors.torch import load_file

        files = {SINGLE}
        if (folder / INDEX).is_file():
            files = set(read_json(folder / INDEX)["weight_map"].values())
        return {n: x for file in sorted(files) for n, x in load_file(folder / file).items()}
    if (folder / "pytorch_model.bin").is_file():
        return torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
    tensors = read_checkpoint(folder)[1]
    return {n: torch.from_numpy(t.numpy(np.float32).copy()) for n, t in tensors.items()}
