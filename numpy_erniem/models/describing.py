"""What a model is, in a line and as a table of its attributes."""

from typing import TYPE_CHECKING, Any

from numpy_erniem.checks import table
from numpy_erniem.models.schema import BASE_MODEL

if TYPE_CHECKING:
    from numpy_erniem.models.network import Network

LABELLED = ("ErnieMForSequenceClassification", "ErnieMForTokenClassification")


def in_a_line(model: "Network[Any]") -> str:
    """Name class, sizes and source of a model."""
    config = model.config
    parts = [
        f"{config.num_hidden_layers} layers",
        f"{config.hidden_size} wide",
        f"{config.vocab_size} tokens",
    ]
    if type(model).__name__ in LABELLED:
        parts.append(f"{config.num_labels} labels")
    parts.append(f"{model.num_parameters() / 1e6:.1f} M {model.precision} parameters")
    source = f"from {model.name_or_path}" if model.name_or_path else "drawn at random"
    return f"<{type(model).__name__}: {', '.join(parts)}, {source}>"


def as_table(model: "Network[Any]") -> str:
    """The attributes of a model that a reader asks for first, one a line."""
    config = model.config
    rows = {
        "source": model.name_or_path or "drawn at random",
        "layers": config.num_hidden_layers,
        "width": f"{config.hidden_size}, feed-forward {config.intermediate_size}",
        "heads": config.num_attention_heads,
        "activation": config.hidden_act,
        "vocabulary": f"{config.vocab_size} tokens",
        "longest text": f"{config.max_length} tokens",
        "parameters": f"{model.num_parameters() / 1e6:.1f} M, {model.precision}",
    }
    if type(model).__name__ in LABELLED:
        rows["labels"] = ", ".join(map(str, config.id2label.values()))
    if type(model).__name__ == BASE_MODEL:
        rows["pooler"] = "yes" if model.pooling else "no"
    return table(type(model).__name__, rows)
