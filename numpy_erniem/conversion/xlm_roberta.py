"""Translate XLM-RoBERTa and its family into ERNIE-M's names and layout.

The encoders are the same except for names and one sum: BERT adds a token type's vector to every
token. ERNIE-M has no token types, so row 0 of that table is added to every row of the position
table.
"""

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.tensors import LazyTensor, Tensor
from numpy_erniem.conversion.heads import settle_labels, take_head
from numpy_erniem.conversion.report import Report
from numpy_erniem.models.schema import (
    BASE_MODEL,
    DROPPED_HEAD,
    POSITION_TABLE,
    PREFIX,
    TOKEN_TABLE,
    Schema,
)

FAMILY = ("xlm-roberta", "roberta", "camembert", "bert")
DIFFERS = {
    "albert": "it shares one layer's weights and has narrow embeddings",
    "deberta": "its attention has terms between contents and relative positions",
    "deberta-v2": "its attention has terms between contents and relative positions",
    "distilbert": "its layers and tokenizer are laid out in another way",
    "electra": "it projects its embeddings",
    "ernie": "it adds vectors of tasks to its tokens",
    "gpt2": "it is a decoder: a token sees only those before it",
    "llama": "it is a decoder with rotary positions",
    "modernbert": "it has rotary positions and normalises before each sublayer",
    "mpnet": "its attention has a bias by relative position",
    "mt5": "its attention has a bias by relative position, and it has a decoder",
    "new": "it has rotary positions and gated feed-forward layers",
    "nomic_bert": "it has rotary positions and gated feed-forward layers",
    "t5": "its attention has a bias by relative position, and it has a decoder",
    "xlm-roberta-xl": "it normalises before each sublayer, ERNIE-M after it",
}

TYPES = "embeddings.token_type_embeddings.weight"
LAYER = {
    "attention.self.query": "self_attn.self_attn.q_proj",
    "attention.self.key": "self_attn.self_attn.k_proj",
    "attention.self.value": "self_attn.self_attn.v_proj",
    "attention.output.dense": "self_attn.out_proj",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "linear1",
    "output.dense": "linear2",
    "output.LayerNorm": "norm2",
}
OUTSIDE = {"embeddings.LayerNorm": "embeddings.layer_norm", "pooler.dense": "pooler.dense"}
PARAMETERS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}
KEPT = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "hidden_act"),
    *("intermediate_size", "hidden_dropout_prob", "attention_probs_dropout_prob"),
    *("initializer_range", "pad_token_id", "layer_norm_eps", "classifier_dropout"),
    *("id2label", "label2id", "num_labels", "problem_type", "_name_or_path"),
)


def from_family(
    config: dict[str, Any], tensors: dict[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor], Report]:
    """Translate the checkpoint of a BERT or XLM-RoBERTa model; no tensor is read.

    Raises
    ------
    ValueError
        The architecture differs from ERNIE-M's; the message says how.
    """
    model_type = config.get("model_type")
    _check_architecture(model_type, config)
    found = [name for name in tensors if name.endswith(TOKEN_TABLE)]
    if len(found) != 1:
        raise ValueError(f"{len(found)} tensors are named {TOKEN_TABLE}; exactly one must be")
    prefix = found[0].removesuffix(TOKEN_TABLE)
    report = Report(model_type)
    ours, rest = _sort(tensors, found[0], report)
    _fold_types(ours, tensors.get(prefix + TYPES), model_type, config, report)
    schema = take_head(rest, ours, config, report)
    if schema is None:
        _make_pooler(ours, report)
    else:
        ours = {_with_prefix(name): tensor for name, tensor in ours.items()}
        report.renamed = {old: _with_prefix(new) for old, new in report.renamed.items()}
    report.renamed = {old: new for old, new in report.renamed.items() if old != new}
    values = _our_config(config, ours, schema, report)
    if schema is None and rest:
        values[DROPPED_HEAD] = sorted(rest)
    return values, ours, report


def _check_architecture(model_type: Any, config: dict[str, Any]) -> None:
    if model_type not in FAMILY:
        known = DIFFERS.get(model_type) if isinstance(model_type, str) else None
        raise ValueError(
            f"model_type {model_type!r} is not of the ERNIE-M architecture"
            + (f": {known}" if known else "")
            + f"; what can be converted: ernie_m, {', '.join(FAMILY)}"
        )
    kind = config.get("position_embedding_type", "absolute")
    if kind != "absolute":
        raise ValueError(f"position_embedding_type {kind!r}; only absolute can be converted")
    for key in ("is_decoder", "add_cross_attention"):
        if config.get(key):
            raise ValueError(f"{key} is true: the model is a decoder, ERNIE-M is an encoder")


def _sort(
    tensors: dict[str, Tensor], table: str, report: Report
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors of the encoder by our names, and all others by those of the source."""
    prefix = table.removesuffix(TOKEN_TABLE)
    ours: dict[str, Tensor] = {}
    rest: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not name.startswith(prefix):
            _check_prefix(name, table)
        new, reason = _our_name(name, prefix)
        if reason:
            report.dropped[name] = reason
        elif new is None:
            stem, _, parameter = name.rpartition(".")
            plain = f"{stem}.{PARAMETERS.get(parameter, parameter)}"
            if plain in rest:
                raise ValueError(f"{name} and another tensor are both {plain}; remove one")
            rest[plain] = tensor
        elif new in ours:
            raise ValueError(f"{name} and another tensor would both become {new}")
        else:
            ours[new] = tensor
            report.renamed[name] = new
    return ours, rest


def _check_prefix(name: str, table: str) -> None:
    """Refuse tensors of an encoder that are not where the token table is."""
    if re.search(r"(?:^|\.)(?:embeddings|encoder|pooler)\.", name):
        raise ValueError(
            f"{name} and {table} begin in different ways: the file holds two encoders, or mixes "
            "names with and without a prefix; give all names of the encoder the same prefix"
        )


def _our_name(name: str, prefix: str) -> tuple[str | None, str]:
    """Our name of a tensor, or the reason to drop it; neither for a tensor of a head."""
    stem, _, parameter = name.rpartition(".")
    if name.startswith(prefix):
        stem = stem[len(prefix) :]
        short = f"{stem}.{parameter}"
        if short in (TOKEN_TABLE, POSITION_TABLE):
            return short, ""
        if short == TYPES:
            return "", "its row 0 is added to the position table"
        if parameter in ("position_ids", "token_type_ids"):
            return "", "a buffer, not a weight"
        layer = re.fullmatch(r"encoder\.layer\.(\d+)\.(.+)", stem)
        part = LAYER.get(layer[2]) if layer else OUTSIDE.get(stem)
        if part and parameter in PARAMETERS:
            where = f"encoder.layers.{layer[1]}." if layer else ""
            return f"{where}{part}.{PARAMETERS[parameter]}", ""
        if stem.startswith(("encoder.", "embeddings.")):
            raise ValueError(f"ERNIE-M has no tensor like {name}: the architecture differs")
    return None, ""


def _fold_types(
    ours: dict[str, Tensor],
    types: Tensor | None,
    model_type: str,
    config: dict[str, Any],
    report: Report,
) -> None:
    """Add token type 0 to every row of the position table; the first position becomes row 2."""
    positions = ours.get(POSITION_TABLE)
    if positions is None or len(positions.shape) != 2:
        raise ValueError(
            f"the tensor {POSITION_TABLE} is missing: positions are encoded in another way"
        )
    _check_size(config, "max_position_embeddings", positions)
    rows, width = positions.shape
    padding = config.get("pad_token_id", 1)
    if model_type != "bert" and padding != 1:
        raise ValueError(f"pad_token_id {padding!r} is not 1; positions start in the row after it")
    first = 0 if model_type == "bert" else 2
    if types is not None and (len(types.shape) != 2 or types.shape[1:] != (width,)):
        raise ValueError(f"{TYPES} has shape {types.shape}, not (types, {width})")
    ours[POSITION_TABLE] = LazyTensor(
        "F32", (rows + 2 - first, width), _fold(positions, types, 2 - first)
    )
    how = "token type 0 added to every row"
    report.made[POSITION_TABLE] = how + ("" if first else "; two zero rows in front")
    if types is not None and types.shape[0] > 1:
        report.notes.append(
            "token type 1, which BERT gives the second text of a pair, is dropped: "
            "results for single texts are the same, those for pairs are not"
        )


def _check_size(config: dict[str, Any], key: str, table: Tensor) -> None:
    """Refuse a table with another number of rows than config.json says."""
    if config.get(key, table.shape[0]) != table.shape[0]:
        raise ValueError(
            f"{key} is {config[key]} in config.json, and the table in the weights has "
            f"{table.shape[0]} rows; correct config.json"
        )


def _fold(positions: Tensor, types: Tensor | None, empty: int) -> Callable[[], np.ndarray]:
    def compute() -> np.ndarray:
        table = positions.numpy(np.float32)
        if types is not None:
            table = table + types.numpy(np.float32)[0]
        return np.concatenate([np.zeros((empty, table.shape[1]), np.float32), table])

    return compute


def _make_pooler(ours: dict[str, Tensor], report: Report) -> None:
    """Give an encoder without a pooler the identity as its linear map."""
    if "pooler.dense.weight" not in ours:
        width = ours[TOKEN_TABLE].shape[1]
        ours["pooler.dense.weight"] = Tensor("F32", np.eye(width, dtype=np.float32))
        ours["pooler.dense.bias"] = Tensor("F32", np.zeros(width, np.float32))
        report.made["pooler.dense"] = "the identity, as the source has none"


def _our_config(
    config: dict[str, Any], ours: dict[str, Tensor], schema: Schema | None, report: Report
) -> dict[str, Any]:
    """The keys of our config.json; the sizes of the tables are those of the tensors."""
    new = {key: config[key] for key in KEPT if key in config}
    new |= {"model_type": "ernie_m", "source_model_type": config["model_type"]}
    if config["model_type"] != "bert":
        new["position_convention"] = "skip_padding"
    new["architectures"] = [schema.name if schema else BASE_MODEL]
    new.setdefault("layer_norm_eps", 1e-12)
    new.setdefault("pad_token_id", 0 if config["model_type"] == "bert" else 1)
    report.derived["architectures"] = (config.get("architectures"), new["architectures"])
    words, positions = (
        next(t for n, t in ours.items() if n.endswith(end)) for end in (TOKEN_TABLE, POSITION_TABLE)
    )
    _check_size(config, "vocab_size", words)
    report.derive(new, "vocab_size", words.shape[0])
    new["max_position_embeddings"] = config.get("max_position_embeddings")
    report.derive(new, "max_position_embeddings", positions.shape[0])
    if schema is not None:
        settle_labels(new, schema, ours, report)
    return new


def _with_prefix(name: str) -> str:
    of_encoder = name.startswith(("embeddings.", "encoder.", "pooler."))
    return PREFIX + name if of_encoder else name
