"""`erniem info`: what a checkpoint holds, what it costs, and what will run it."""

import argparse
import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from numpy_erniem.backend.dispatch import backend_report, threads_in_use
from numpy_erniem.checkpoint.config_files import architecture_of
from numpy_erniem.checkpoint.folder import read_checkpoint
from numpy_erniem.checkpoint.hub import resolve_folder
from numpy_erniem.checkpoint.hybrid_layers import read_hybrid_layers
from numpy_erniem.checkpoint.json_files import read_json
from numpy_erniem.checkpoint.sentence_settings import read_sentence_settings
from numpy_erniem.checkpoint.tensors import Tensor
from numpy_erniem.cli.options import add_hub_options, hub_options
from numpy_erniem.cli.output import json_text
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.config.quantization import quantizable_layers
from numpy_erniem.models.describing import LABELLED
from numpy_erniem.models.narrow_weights import SCALE
from numpy_erniem.models.precision import layer_of
from numpy_erniem.models.schema import BASE_MODEL, HEAD_PARTS, HEAD_TENSORS, schemas_of
from numpy_erniem.models.weights import trust_intermediate_size

LABELS_SHOWN = 12
EXAMPLES = """
examples:
  erniem info
  erniem info path/to/folder --tensors
  erniem info xlm-roberta-base --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `erniem info`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
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
    weights = {n: t for n, t in tensors.items() if not n.endswith(f"weight{SCALE}")}
    parameters = sum(math.prod(t.shape) for t in weights.values())
    narrow = {*quantizable_layers(config.num_hidden_layers)}
    mapped = {n for n, t in tensors.items() if t.dtype == "F32" or layer_of(n) in narrow}
    converted = sum(4 * math.prod(t.shape) for n, t in tensors.items() if n not in mapped)
    return {
        "folder": str(folder),
        "config": config.to_dict(),
        "max_length": config.max_length,
        "sentence_vectors": {
            **settings.to_dict(),
            "recorded": settings.recorded,
            "width": settings.width(config.hidden_size),
        },
        "heads": head_facts(config, tensors),
        "cut": {"tokens": longest(config, settings.max_length), "side": truncation_side(folder)},
        "outputs": ["dense", *layers.outputs],
        "multi_size": layers.multi.out_features if layers.multi else None,
        "parameters": parameters,
        "parameters_without_embeddings": parameters
        - sum(math.prod(t.shape) for n, t in weights.items() if n.endswith("_embeddings.weight")),
        "computed_in": config.quantization["dtype"] if config.quantization else "float32",
        "unlike_config": unlike_config(config, weights),
        "bytes_mapped": sum(tensors[n].data.nbytes for n in mapped),
        "bytes_converted_to_float32": converted,
        "tensors": {n: {"dtype": t.dtype, "shape": list(t.shape)} for n, t in tensors.items()},
        **{key: value for key, value in backend_report().items() if key != "calls"},
        "threads": threads_in_use(),
    }


def unlike_config(config: ErnieMConfig, weights: Mapping[str, Tensor]) -> list[str]:
    """The tensors that are int8 where config.json does not say so, or are not where it does."""
    said = config.quantization
    kept = said["keep_float"] if said else []
    narrow = {*quantizable_layers(config.num_hidden_layers)} - {*kept} if said else set()
    return [
        name
        for name, tensor in weights.items()
        if (tensor.dtype == "I8") != (name.endswith(".weight") and layer_of(name) in narrow)
    ]


def numbers_line(facts: dict[str, Any], dtypes: str) -> str:
    """The line about number types, on disk and in computations."""
    if unlike := facts["unlike_config"]:
        first, more = unlike[0], f", and {len(unlike) - 1} more" if len(unlike) > 1 else ""
        kind = facts["tensors"][first]["dtype"]
        return (
            f"{dtypes} on disk, which loading refuses beside config.json: {first} is {kind}{more}"
        )
    return f"{dtypes} on disk, {facts['computed_in']} in computations"


def longest(config: ErnieMConfig, recorded: int | None) -> int:
    """Most tokens of a text for sentence vectors, [CLS] and [SEP] included."""
    return config.max_length if recorded is None else min(recorded, config.max_length)


def truncation_side(folder: Path) -> str:
    """Where the tokenizer of a folder cuts a text that is too long."""
    path = folder / "tokenizer_config.json"
    side = read_json(path).get("truncation_side") if path.is_file() else None
    return "left" if side == "left" else "right"


def head_facts(config: ErnieMConfig, tensors: Iterable[str]) -> list[dict[str, Any]]:
    """What is on top of the encoder, by config and file; empty where both name nothing."""
    there = [tensor for tensor in tensors if tensor.startswith(HEAD_PARTS)]
    named = [schema.name for schema in schemas_of(config.architectures)]
    several = len(named) > 1
    classes = [name for name in named if name != BASE_MODEL]
    if not classes:  # of another class, or of none
        first = architecture_of(config.to_dict())
        classes = [first] if there or first not in ("", BASE_MODEL) else []
    heads = []
    for name in classes:
        own = [tensor for tensor in there if not several or tensor in HEAD_TENSORS[name]]
        facts: dict[str, Any] = {"class": name, "tensors": own}
        if name in LABELLED:
            facts |= {"labels": list(config.id2label.values()), "problem_type": config.problem_type}
        heads.append(facts)
    return heads


def head_lines(heads: list[dict[str, Any]]) -> dict[str, str]:
    """The lines about the heads."""
    if not heads:
        return {"head": "none"}
    names = [head["class"] or "of a class that the config does not name" for head in heads]
    counts = [len(head["tensors"]) for head in heads]
    told = [f"{name}, {n} tensors" for name, n in zip(names, counts, strict=True)]
    lines = {"head": "; ".join(told)}
    for head in heads:
        if "labels" not in head:
            continue
        shown = ", ".join(map(repr, head["labels"][:LABELS_SHOWN]))
        more = "" if len(head["labels"]) <= LABELS_SHOWN else ", ..."
        lines["labels"] = f"{len(head['labels'])}: {shown}{more}"
        if head["problem_type"]:
            lines["problem type"] = head["problem_type"]
    return lines


def cut_line(cut: dict[str, Any]) -> str:
    """The line about long texts."""
    side = "start" if cut["side"] == "left" else "end"
    return f"cut at the {side} after {cut['tokens']} tokens, or in windows (see --on-overflow)"


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


def kept_lines(quantization: dict[str, Any] | None) -> dict[str, str]:
    """The line about layers that stay floats, of a checkpoint of int8."""
    kept = quantization["keep_float"] if quantization else []
    return {"floats kept": ", ".join(kept)} if kept else {}


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
        "long texts": cut_line(facts["cut"]),
        **output_lines(facts),
        **head_lines(facts["heads"]),
        "numbers": numbers_line(facts, " and ".join(dtypes)),
        **kept_lines(config.get("quantization")),
        "backend": f"{facts['backend']} ({facts['native']})",
    }
    if facts["backend"] == "native":
        lines["kernels"] = ", ".join(f"{name} {how}" for name, how in facts["kernels"].items())
        lines["threads"] = f"{facts['threads']} ({facts['threading']})"
        if facts["strassen"]:
            lines["products"] = "large ones by Strassen's algorithm, with larger rounding errors"
    if config.get("trained") is False:
        lines["note"] = "not trained: vectors carry no meaning"
    for name, value in lines.items():
        print(f"{name + ':':14} {value}")
    if tensors:
        for name, tensor in facts["tensors"].items():
            print(f"  {tensor['dtype']:5}{'×'.join(map(str, tensor['shape'])):>14}  {name}")
