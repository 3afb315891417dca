"""`erniem info`: what a checkpoint holds, what it costs, and what will run it."""

import argparse
import math
import sys
from pathlib import Path
from typing import Any

from numpy_erniem.backend.dispatch import backend_report, threads_in_use
from numpy_erniem.checkpoint.folder import read_checkpoint
from numpy_erniem.checkpoint.hub import resolve_folder
from numpy_erniem.checkpoint.hybrid_layers import read_hybrid_layers
from numpy_erniem.checkpoint.sentence_settings import read_sentence_settings
from numpy_erniem.cli.options import add_hub_options, hub_options
from numpy_erniem.cli.output import json_text
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.models.weights import trust_intermediate_size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `erniem info`."""
    parser.add_argument(
        "model", nargs="?", metavar="MODEL", help="folder, or name on the hub (the bundled one)"
    )
    parser.add_argument("--tensors", action="store_true", help="list every tensor")
    parser.add_argument("--json", action="store_true", help="print JSON, tensors included")
    add_hub_options(parser)


def run(options: argparse.Namespace) -> int:
    """Print what a checkpoint holds; returns the exit code."""
    facts = describe(resolve_folder(options.model, **hub_options(options)))
    if options.json:
        print(json_text(facts, sys.stdout, indent=2))
    else:
        show(facts, options.tensors)
    return 0


def describe(folder: Path) -> dict[str, Any]:
    """Config, tensors, sizes and backend of a checkpoint folder, as plain values."""
    values, tensors = read_checkpoint(folder)
    config = ErnieMConfig.from_values(values, folder)
    trust_intermediate_size(config, tensors)
    settings = read_sentence_settings(folder)
    layers = read_hybrid_layers(folder, config.hidden_size)
    parameters = sum(math.prod(t.shape) for t in tensors.values())
    mapped = sum(t.data.nbytes for t in tensors.values() if t.dtype == "F32")
    converted = sum(4 * math.prod(t.shape) for t in tensors.values() if t.dtype != "F32")
    return {
        "folder": str(folder),
        "config": config.to_dict(),
        "max_length": config.max_length,
        "sentence_vectors": {
            **settings.to_dict(),
            "recorded": settings.recorded,
            "width": settings.width(config.hidden_size),
        },
        "outputs": ["dense", *layers.outputs],
        "multi_size": layers.multi.out_features if layers.multi else None,
        "parameters": parameters,
        "parameters_without_embeddings": parameters
        - sum(math.prod(t.shape) for n, t in tensors.items() if n.endswith("_embeddings.weight")),
        "bytes_mapped": mapped,
        "bytes_converted_to_float32": converted,
        "tensors": {n: {"dtype": t.dtype, "shape": list(t.shape)} for n, t in tensors.items()},
        **{key: value for key, value in backend_report().items() if key != "calls"},
        "threads": threads_in_use(),
    }


def sentence_lines(facts: dict[str, Any]) -> dict[str, str]:
    """The lines about sentence vectors."""
    if not facts["recorded"]:
        return {"sentences": "nothing recorded: the mean of the token vectors is a guess"}
    steps = [f"pooling {facts['pooling']}"]
    for layer in facts["dense"]:
        steps += ["length 1"] if layer["normalize_first"] else []
        sizes = f"{layer['in_features']} to {layer['out_features']}"
        steps.append(f"Dense {sizes} {layer['activation']}")
    steps += ["length 1"] if facts["normalize"] else ["not normalized"]
    lines = {
        "sentences": f"{', '.join(steps)}; compared by {facts['similarity']}",
        "sentence size": f"{facts['width']} numbers",
    }
    if facts["max_length"] is not None:
        lines["cut at"] = f"{facts['max_length']} tokens"
    for name, text in facts["prompts"].items():
        is_default = " (default)" if name == facts["default_prompt_name"] else ""
        lines[f"prompt {name!r}"] = f"{text!r}{is_default}"
    if not facts["include_prompt"]:
        lines["prompt tokens"] = "left out of the pooling"
    return lines


def output_lines(facts: dict[str, Any]) -> dict[str, str]:
    """The line about the outputs of BGE-M3, if there are any besides the dense vector."""
    if facts["outputs"] == ["dense"]:
        return {}
    width = facts["multi_size"]
    multi = f" ({width} numbers for each token)" if width else ""
    return {"outputs": f"{', '.join(facts['outputs'])}{multi}"}


def show(facts: dict[str, Any], tensors: bool) -> None:
    """Print the facts as text, with a line for each tensor if asked for."""
    config = facts["config"]
    dtypes = sorted({t["dtype"] for t in facts["tensors"].values()})
    lines = {
        "folder": facts["folder"],
        "architecture": ", ".join(config["architectures"] or ["not recorded"]),
        "layers": f"{config['num_hidden_layers']}, {config['hidden_size']} wide, "
        f"{config['num_attention_heads']} heads, feed-forward {config['intermediate_size']}, "
        f"{config['hidden_act']}",
        "vocabulary": f"{config['vocab_size']} entries",
        "longest text": f"{facts['max_length']} tokens",
        "tensors": f"{len(facts['tensors'])}, {' and '.join(dtypes)} on disk",
        "parameters": f"{facts['parameters'] / 1e6:.1f} M, "
        f"{facts['parameters_without_embeddings'] / 1e6:.1f} M without the embedding tables",
        "memory": f"{facts['bytes_mapped'] / 1e6:.0f} MB mapped, "
        f"{facts['bytes_converted_to_float32'] / 1e6:.0f} MB converted to float32",
        **sentence_lines(facts["sentence_vectors"]),
        **output_lines(facts),
        "backend": f"{facts['backend']} ({facts['native']})",
    }
    if facts["backend"] == "native":
        lines["kernels"] = ", ".join(f"{name} {how}" for name, how in facts["kernels"].items())
        lines["threads"] = f"{facts['threads']} ({facts['threading']})"
    if config.get("trained") is False:
        lines["note"] = "not trained: vectors carry no meaning"
    for name, value in lines.items():
        print(f"{name + ':':14} {value}")
    if tensors:
        for name, tensor in facts["tensors"].items():
            print(f"  {tensor['dtype']:5}{'×'.join(map(str, tensor['shape'])):>14}  {name}")
