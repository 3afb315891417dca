"""What a forward pass returns: fields by attribute, by key or by index."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from numpy_erniem.activations import sigmoid
from numpy_erniem.layers import KeyValue

Arrays = tuple[np.ndarray, ...]


@dataclass(eq=False)
class ModelOutput(Mapping[str, Any]):
    """Named results, by attribute, by key or by index.

    A field that is None counts as absent, except as an attribute. All outputs may end with
    hidden_states, L + 1 times (B, T, D), the embeddings first, and attentions, L times
    (B, H, T, S); with B·C for B where each text has C choices.

    Examples
    --------
    >>> output = BaseModelOutput(last_hidden_state=np.zeros((1, 2, 3)))
    >>> output.last_hidden_state is output["last_hidden_state"] is output[0]
    True
    >>> list(output), output.attentions
    (['last_hidden_state'], None)
    """

    def __getitem__(self, key: str | int | slice) -> Any:
        if isinstance(key, str):
            if key not in list(self):
                raise KeyError(f"{key!r} is not one of {', '.join(self)}")
            return getattr(self, key)
        return self.to_tuple()[key]

    def __iter__(self) -> Iterator[str]:
        return (f.name for f in fields(self) if getattr(self, f.name) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def to_tuple(self) -> tuple[Any, ...]:
        """The fields that are there, in order."""
        return tuple(getattr(self, name) for name in self)


@dataclass(eq=False, kw_only=True)
class BaseModelOutput(ModelOutput):
    """Output of `ErnieMModel`.

    Attributes
    ----------
    last_hidden_state : (B, T, D) array
    pooler_output : (B, D) array, where the model has a pooler
    past_key_values : L times (key, value), each (B, H, S, d), with use_cache
    hidden_states : L + 1 times (B, T, D), the embeddings first, with output_hidden_states
    attentions : L times (B, H, T, S), with output_attentions
    """

    last_hidden_state: np.ndarray
    pooler_output: np.ndarray | None = None
    past_key_values: tuple[KeyValue, ...] | None = None
    hidden_states: Arrays | None = None
    attentions: Arrays | None = None


@dataclass(eq=False, kw_only=True)
class SequenceClassifierOutput(ModelOutput):
    """loss with labels, logits (B, K), past_key_values with use_cache: a class per text."""

    loss: np.floating | None = None
    logits: np.ndarray
    past_key_values: tuple[KeyValue, ...] | None = None
    hidden_states: Arrays | None = None
    attentions: Arrays | None = None


@dataclass(eq=False, kw_only=True)
class MultipleChoiceModelOutput(ModelOutput):
    """loss with labels, logits (B, C): a score per choice."""

    loss: np.floating | None = None
    logits: np.ndarray
    hidden_states: Arrays | None = None
    attentions: Arrays | None = None


@dataclass(eq=False, kw_only=True)
class TokenClassifierOutput(ModelOutput):
    """loss with labels, logits (B, T, K): a class per token."""

    loss: np.floating | None = None
    logits: np.ndarray
    hidden_states: Arrays | None = None
    attentions: Arrays | None = None


@dataclass(eq=False, kw_only=True)
class QuestionAnsweringModelOutput(ModelOutput):
    """loss with positions, start_logits and end_logits (B, T): where spans start and end."""

    loss: np.floating | None = None
    start_logits: np.ndarray
    end_logits: np.ndarray
    hidden_states: Arrays | None = None
    attentions: Arrays | None = None


@dataclass(eq=False, kw_only=True)
class InformationExtractionModelOutput(QuestionAnsweringModelOutput):
    """As of question answering; start_prob and end_prob (B, T) are how likely a span is there."""

    @property
    def start_prob(self) -> np.ndarray:
        """σ(start_logits)."""
        return sigmoid(self.start_logits)

    @property
    def end_prob(self) -> np.ndarray:
        """σ(end_logits)."""
        return sigmoid(self.end_logits)


@dataclass(eq=False, kw_only=True)
class MaskedLMOutput(ModelOutput):
    """loss with labels, logits (B, T, V): scores of every token of the vocabulary."""

    loss: np.floating | None = None
    logits: np.ndarray
    hidden_states: Arrays | None = None
    attentions: Arrays | None = None
