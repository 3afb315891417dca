"""Which tensors a model has: names, shapes, and what other libraries call them.

Everything that depends on a model's class is in one table, `SCHEMAS`. Needs a config alone: no
weights, no model.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from numpy_erniem.config import ErnieMConfig

Shapes = dict[str, tuple[int, ...]]

ENCODER = "ernie_m"  # where a model with a head keeps the encoder
PREFIX = f"{ENCODER}."  # so the names of the encoder's tensors start there
TOKEN_TABLE = "embeddings.word_embeddings.weight"
POSITION_TABLE = "embeddings.position_embeddings.weight"
LM_BIAS = "lm_head.bias"  # the only tensor but the token table that has a row per token
BASE_MODEL = "ErnieMModel"
DROPPED_HEAD = "source_head_dropped"  # a key of config.json: tensors that a conversion left out


def linear_shapes(name: str, outputs: int, inputs: int) -> Shapes:
    """Weight (out, in) and bias of a linear map.

    Parameters
    ----------
    name : str
        Of the map, such as "classifier".
    outputs, inputs : int

    Returns
    -------
    dict of str to tuple of int
    """
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm_shapes(name: str, size: int) -> Shapes:
    """Scale and shift of a layer norm."""
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def encoder_shapes(config: ErnieMConfig, pooling: bool = True) -> Shapes:
    """Every tensor of the encoder by its name in a checkpoint, with its shape."""
    D, F, R = config.hidden_size, config.intermediate_size, config.max_position_embeddings
    shapes: Shapes = {TOKEN_TABLE: (config.vocab_size, D), POSITION_TABLE: (R, D)}
    shapes |= norm_shapes("embeddings.layer_norm", D)
    for n in range(config.num_hidden_layers):
        layer = f"encoder.layers.{n}"
        kept = D - len(config.pruned_heads.get(n, ())) * config.head_dim
        for projection in ("q_proj", "k_proj", "v_proj"):
            shapes |= linear_shapes(f"{layer}.self_attn.self_attn.{projection}", kept, D)
        if config.position_embedding_type != "absolute":
            table = f"{layer}.self_attn.self_attn.distance_embedding.weight"
            shapes[table] = (2 * R - 1, config.head_dim)
        shapes |= linear_shapes(f"{layer}.self_attn.out_proj", D, kept)
        shapes |= linear_shapes(f"{layer}.linear1", F, D)
        shapes |= linear_shapes(f"{layer}.linear2", D, F)
        for norm in ("norm1", "norm2"):
            shapes |= norm_shapes(f"{layer}.{norm}", D)
    if pooling:
        shapes |= linear_shapes("pooler.dense", D, D)
    return shapes


class Schema(NamedTuple):
    """What the class of a model says about its tensors.

    Attributes
    ----------
    name : str
        Of the class.
    pooler : bool
        Whether the encoder has a pooler.
    head : function
        Config to names and shapes of the head's tensors; ValueError for a config that does not
        fit the head.
    roberta, bert : dict of str to str
        Names of the head's tensors in models of XLM-RoBERTa and its kin, and in BERT; and here.
        Empty where those have no such head.
    """

    name: str
    pooler: bool
    head: Callable[[ErnieMConfig], Shapes]
    roberta: Mapping[str, str] = {}
    bert: Mapping[str, str] = {}


def _no_head(config: ErnieMConfig) -> Shapes:
    return {}


def _classifier(config: ErnieMConfig) -> Shapes:
    return linear_shapes("classifier", config.num_labels, config.hidden_size)


def _choice(config: ErnieMConfig) -> Shapes:
    return linear_shapes("classifier", 1, config.hidden_size)


def _answer(config: ErnieMConfig) -> Shapes:
    if config.num_labels != 2:
        raise ValueError(
            f"num_labels {config.num_labels} is not 2: question answering scores start and "
            "end; pass num_labels=2"
        )
    return linear_shapes("qa_outputs", 2, config.hidden_size)


def _extraction(config: ErnieMConfig) -> Shapes:
    D = config.hidden_size
    return linear_shapes("linear_start", 1, D) | linear_shapes("linear_end", 1, D)


def _masked_lm(config: ErnieMConfig) -> Shapes:
    """All but the token table, which the head shares with the encoder."""
    D = config.hidden_size
    dense, norm = linear_shapes("lm_head.dense", D, D), norm_shapes("lm_head.layer_norm", D)
    return dense | norm | {LM_BIAS: (config.vocab_size,)}


def _with_parameters(layers: Mapping[str, str]) -> dict[str, str]:
    """Names of tensors, there and here, of layers with a weight and a bias."""
    return {f"{a}.{p}": f"{b}.{p}" for a, b in layers.items() for p in ("weight", "bias")}


_CLASSIFIER = _with_parameters({"classifier": "classifier"})
_ANSWER = _with_parameters({"qa_outputs": "qa_outputs"})
# RoBERTa has its pooler inside the head.
_ROBERTA_CLASSIFIER = _with_parameters(
    {"classifier.dense": f"{PREFIX}pooler.dense", "classifier.out_proj": "classifier"}
)
_ROBERTA_LM = {
    **_with_parameters(
        {"lm_head.dense": "lm_head.dense", "lm_head.layer_norm": "lm_head.layer_norm"}
    ),
    "lm_head.bias": "lm_head.bias",
}
_BERT_LM = {
    **_with_parameters(
        {
            "cls.predictions.transform.dense": "lm_head.dense",
            "cls.predictions.transform.LayerNorm": "lm_head.layer_norm",
        }
    ),
    "cls.predictions.bias": "lm_head.bias",
}
_SEQUENCE = "ErnieMForSequenceClassification"

SCHEMAS = {
    schema.name: schema
    for schema in (
        Schema(BASE_MODEL, True, _no_head),
        Schema(_SEQUENCE, True, _classifier, _ROBERTA_CLASSIFIER, _CLASSIFIER),
        Schema("ErnieMForMultipleChoice", True, _choice, _CLASSIFIER, _CLASSIFIER),
        Schema("ErnieMForTokenClassification", False, _classifier, _CLASSIFIER, _CLASSIFIER),
        Schema("ErnieMForQuestionAnswering", False, _answer, _ANSWER, _ANSWER),
        Schema("ErnieMForInformationExtraction", True, _extraction),
        Schema("ErnieMForMaskedLM", False, _masked_lm, _ROBERTA_LM, _BERT_LM),
    )
}
HEAD_TENSORS = {
    name: frozenset(schema.head(ErnieMConfig(num_labels=2))) for name, schema in SCHEMAS.items()
}
PADDLE_CLASSES = {"UIEM": "ErnieMForInformationExtraction"}  # PaddleNLP's names of classes
# The first parts of the names of all heads' tensors.
HEAD_PARTS = ("classifier.", "qa_outputs.", "linear_start.", "linear_end.", "lm_head.")


def schema_of(architecture: str) -> Schema | None:
    """The schema of a class by our name or PaddleNLP's; None for another class."""
    return SCHEMAS.get(PADDLE_CLASSES.get(architecture, architecture))


def schemas_of(architectures: Any) -> list[Schema]:
    """The schemas of the classes that a config.json names; those of other classes are left out."""
    names = architectures if isinstance(architectures, list) else []
    found = [schema_of(name) for name in names if isinstance(name, str)]
    return [schema for schema in found if schema is not None]


def of_other_classes(names: Iterable[str], own: Schema, architectures: Any) -> list[str]:
    """The tensors of a checkpoint of several classes that are not for this one.

    Where config.json names several classes, the checkpoint has the heads of these and of no other.
    So a class that it does not name has none there, whatever the names of its tensors are.

    Parameters
    ----------
    names : iterable of str
        Of the checkpoint's tensors.
    own : Schema
        Of the class that is loaded.
    architectures : list of str, or None
        Of config.json.

    Returns
    -------
    list of str
        Empty, where config.json names one class at most.
    """
    named = schemas_of(architectures)
    if len(named) < 2:
        return []
    mine = HEAD_TENSORS[own.name] if own in named else frozenset()
    theirs = frozenset().union(*(HEAD_TENSORS[schema.name] for schema in named)) - mine
    has_pooler = own.pooler or not any(schema.pooler for schema in named)
    return [
        name
        for name in names
        if name in theirs or (not has_pooler and name.removeprefix(PREFIX).startswith("pooler."))
    ]


def intermediate_size_of(tensors: Mapping[str, Any]) -> int | None:
    """The feed-forward width F that the weights have; published configs may have another.

    Parameters
    ----------
    tensors : dict of str to array, or to anything with a `shape`

    Returns
    -------
    int, or None where there is no feed-forward layer or where layers differ
    """
    sizes = {t.shape[0] for n, t in tensors.items() if n.endswith("linear1.weight") and t.shape}
    return sizes.pop() if len(sizes) == 1 else None
