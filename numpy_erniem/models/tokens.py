"""A class for a token, the word for a mask: heads over one vector per token."""

from typing import Any

from numpy_erniem import heads
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.losses import cross_entropy
from numpy_erniem.models.outputs import MaskedLMOutput, TokenClassifierOutput
from numpy_erniem.models.pretrained import ErnieMPreTrainedModel
from numpy_erniem.models.weights import Shapes, linear_shapes, norm_shapes


class ErnieMForTokenClassification(ErnieMPreTrainedModel):
    """A class for every token, as person or place.

    Examples
    --------
    >>> config = ErnieMConfig(vocab_size=99, hidden_size=12, num_attention_heads=3,
    ...                       num_hidden_layers=2, intermediate_size=37, num_labels=5)
    >>> model = ErnieMForTokenClassification(config, seed=1)
    >>> output = model([[0, 5, 17, 2]], labels=[[-100, 3, 4, -100]])
    >>> output.logits.shape, round(float(output.loss), 1)
    ((1, 4, 5), 1.6)
    """

    pooling = False

    def head_shapes(self, config: ErnieMConfig) -> Shapes:
        """`classifier`, from D to num_labels."""
        return linear_shapes("classifier", config.num_labels, config.hidden_size)

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        position_ids: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        past_key_values: Any = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        labels: Any = None,
    ) -> TokenClassifierOutput | tuple:
        """Score the classes of every token.

        Parameters
        ----------
        labels : (B, T) integers in 0..num_labels-1, optional
            The right classes; -100 leaves a token out of the loss.
        others
            As of `ErnieMModel.forward`.

        Returns
        -------
        TokenClassifierOutput, or a tuple with return_dict=False
            logits (B, T, num_labels); loss where there are labels.
        """
        encoded = self._encode(locals())
        logits = heads.class_scores(encoded.last_hidden_state, self.weights)  # -> (B, T, K)
        loss = None if labels is None else cross_entropy(logits, labels)
        return self._output(TokenClassifierOutput, encoded, return_dict, loss=loss, logits=logits)


class ErnieMForMaskedLM(ErnieMPreTrainedModel):
    """The word that belongs in the place of every token; upstream has no such class.

    Its tensors are `lm_head.dense`, `lm_head.layer_norm` and `lm_head.bias`; the last step, from D
    to V, uses the word embedding itself.

    Examples
    --------
    >>> config = ErnieMConfig(vocab_size=99, hidden_size=12, num_attention_heads=3,
    ...                       num_hidden_layers=2, intermediate_size=37)
    >>> model = ErnieMForMaskedLM(config, seed=1)
    >>> output = model([[0, 5, 3, 2]], labels=[[-100, -100, 17, -100]])
    >>> output.logits.shape, round(float(output.loss), 1)
    ((1, 4, 99), 4.6)
    """

    pooling = False

    def head_shapes(self, config: ErnieMConfig) -> Shapes:
        """`lm_head`, but for the word embedding that it shares with the encoder."""
        D = config.hidden_size
        dense, norm = linear_shapes("lm_head.dense", D, D), norm_shapes("lm_head.layer_norm", D)
        return dense | norm | {"lm_head.bias": (config.vocab_size,)}

    def _layers(self) -> list[dict[str, Any]]:
        bias = self.weights["lm_head"]["bias"]
        return [*super()._layers(), {"weight": self.get_input_embeddings(), "bias": bias}]

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        position_ids: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        past_key_values: Any = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        labels: Any = None,
    ) -> MaskedLMOutput | tuple:
        """Score every word of the vocabulary for every token.

        Parameters
        ----------
        labels : (B, T) integers in 0..vocab_size-1, optional
            The right words; -100 leaves a token out of the loss.
        others
            As of `ErnieMModel.forward`.

        Returns
        -------
        MaskedLMOutput, or a tuple with return_dict=False
            logits (B, T, vocab_size); loss where there are labels.
        """
        encoded = self._encode(locals())
        words, eps = self.get_input_embeddings(), self.config.layer_norm_eps
        logits = heads.lm_logits(
            encoded.last_hidden_state, self.weights["lm_head"], words, eps
        )  # (B, T, D) -> (B, T, V)
        loss = None if labels is None else cross_entropy(logits, labels)
        return self._output(MaskedLMOutput, encoded, return_dict, loss=loss, logits=logits)
