"""Heads over one vector per token: the class of a token, the token behind a mask."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numpy_erniem import heads
from numpy_erniem.losses import cross_entropy
from numpy_erniem.models.inputs import PastKeyValues
from numpy_erniem.models.outputs import MaskedLMOutput, TokenClassifierOutput
from numpy_erniem.models.packed_batch import whatever_the_batch
from numpy_erniem.models.pretrained import ErnieMPreTrainedModel
from numpy_erniem.models.schema import SCHEMAS


class ErnieMForTokenClassification(ErnieMPreTrainedModel[TokenClassifierOutput]):
    """A class for every token, as person or place.

    Examples
    --------
    >>> from numpy_erniem import ErnieMConfig
    >>> config = ErnieMConfig(vocab_size=99, hidden_size=12, num_attention_heads=3,
    ...                       num_hidden_layers=2, intermediate_size=37, num_labels=5)
    >>> model = ErnieMForTokenClassification(config, seed=1)
    >>> output = model([[0, 5, 17, 2]], labels=[[-100, 3, 4, -100]])
    >>> output.logits.shape, round(float(output.loss), 1)
    ((1, 4, 5), 1.6)
    """

    schema = SCHEMAS["ErnieMForTokenClassification"]
    pooling = schema.pooler

    @whatever_the_batch
    def forward(
        self,
        input_ids: ArrayLike | None = None,
        attention_mask: ArrayLike | None = None,
        position_ids: ArrayLike | None = None,
        head_mask: ArrayLike | None = None,
        inputs_embeds: ArrayLike | None = None,
        past_key_values: PastKeyValues | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        labels: ArrayLike | None = None,
        *,
        starts: ArrayLike | None = None,
        key_bias: ArrayLike | None = None,
    ) -> TokenClassifierOutput | tuple[Any, ...]:
        """Score the classes of every token.

        Parameters
        ----------
        labels : (B, T) integers in 0..num_labels-1, optional
            The right classes; -100 leaves a token out of the loss.
        input_ids, attention_mask, position_ids, head_mask, inputs_embeds, past_key_values
            As of `ErnieMModel.forward`.
        output_hidden_states, output_attentions, return_dict : bool, optional
            As there.
        starts, key_bias
            As there.

        Returns
        -------
        TokenClassifierOutput, or a tuple with return_dict=False
            logits (B, T, num_labels); loss where there are labels.
        """
        encoded = self._encode(
            input_ids=input_ids,
            position_ids=position_ids,
            attention_mask=attention_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            past_key_values=past_key_values,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
            starts=starts,
            key_bias=key_bias,
        )
        logits = heads.class_scores(encoded.last_hidden_state, self.weights)  # -> (B, T, K)
        loss = None if labels is None else cross_entropy(logits, labels)
        return self._output(TokenClassifierOutput, encoded, return_dict, loss=loss, logits=logits)


class ErnieMForMaskedLM(ErnieMPreTrainedModel[MaskedLMOutput]):
    """A masked language model: scores of every token of the vocabulary; upstream has no such class.

    Its tensors are `lm_head.dense`, `lm_head.layer_norm` and `lm_head.bias`; the last step, from D
    to V, uses the token table of the encoder.

    Examples
    --------
    >>> from numpy_erniem import ErnieMConfig
    >>> config = ErnieMConfig(vocab_size=99, hidden_size=12, num_attention_heads=3,
    ...                       num_hidden_layers=2, intermediate_size=37)
    >>> model = ErnieMForMaskedLM(config, seed=1)
    >>> output = model([[0, 5, 3, 2]], labels=[[-100, -100, 17, -100]])
    >>> output.logits.shape, round(float(output.loss), 1)
    ((1, 4, 99), 4.6)
    """

    schema = SCHEMAS["ErnieMForMaskedLM"]
    pooling = schema.pooler

    def get_output_embeddings(self) -> np.ndarray:
        """The token table, a read-only (V, D) array, as `get_input_embeddings` gives it."""
        return self.get_input_embeddings()

    def score_vocabulary(self, hidden: np.ndarray) -> np.ndarray:
        """The head alone, for hidden states of the last layer: (..., D) -> logits (..., V)."""
        eps = self.config.layer_norm_eps
        return heads.lm_logits(hidden, self.weights["lm_head"], self._token_table, eps)

    def _layers(self) -> list[dict[str, Any]]:
        bias = self.weights["lm_head"]["bias"]
        return [*super()._layers(), {**self._token_table, "bias": bias}]

    @whatever_the_batch
    def forward(
        self,
        input_ids: ArrayLike | None = None,
        attention_mask: ArrayLike | None = None,
        position_ids: ArrayLike | None = None,
        head_mask: ArrayLike | None = None,
        inputs_embeds: ArrayLike | None = None,
        past_key_values: PastKeyValues | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        labels: ArrayLike | None = None,
        *,
        starts: ArrayLike | None = None,
        key_bias: ArrayLike | None = None,
    ) -> MaskedLMOutput | tuple[Any, ...]:
        """Score every token of the vocabulary at every position.

        Parameters
        ----------
        labels : (B, T) integers in 0..vocab_size-1, optional
            The right tokens; -100 leaves a token out of the loss.
        input_ids, attention_mask, position_ids, head_mask, inputs_embeds, past_key_values
            As of `ErnieMModel.forward`.
        output_hidden_states, output_attentions, return_dict : bool, optional
            As there.
        starts, key_bias
            As there.

        Returns
        -------
        MaskedLMOutput, or a tuple with return_dict=False
            logits (B, T, vocab_size); loss where there are labels.
        """
        encoded = self._encode(
            input_ids=input_ids,
            position_ids=position_ids,
            attention_mask=attention_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            past_key_values=past_key_values,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
            starts=starts,
            key_bias=key_bias,
        )
        logits = self.score_vocabulary(encoded.last_hidden_state)  # (B, T, D) -> (B, T, V)
        loss = None if labels is None else cross_entropy(logits, labels)
        return self._output(MaskedLMOutput, encoded, return_dict, loss=loss, logits=logits)
