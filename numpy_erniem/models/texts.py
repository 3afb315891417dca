"""A class for a text, the best of several texts: heads over one vector per text."""

from typing import Any

from numpy_erniem import heads
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.losses import cross_entropy
from numpy_erniem.models.outputs import MultipleChoiceModelOutput, SequenceClassifierOutput
from numpy_erniem.models.pretrained import ErnieMPreTrainedModel
from numpy_erniem.models.weights import Shapes, linear_shapes


class ErnieMForSequenceClassification(ErnieMPreTrainedModel):
    """A class for every text, or several, or a number.

    Examples
    --------
    >>> config = ErnieMConfig(vocab_size=99, hidden_size=12, num_attention_heads=3,
    ...                       num_hidden_layers=2, intermediate_size=37, num_labels=3)
    >>> model = ErnieMForSequenceClassification(config, seed=1)
    >>> output = model([[0, 5, 17, 2]], labels=[2])
    >>> output.logits.shape, round(float(output.loss), 1)
    ((1, 3), 1.1)
    """

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
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        labels: Any = None,
    ) -> SequenceClassifierOutput | tuple:
        """Score the classes of every text.

        Parameters
        ----------
        labels : (B,) integers, or (B, num_labels) numbers, optional
            What they are, and which loss is returned: `heads.classification_loss`.
        others
            As of `ErnieMModel.forward`.

        Returns
        -------
        SequenceClassifierOutput, or a tuple with return_dict=False
            logits (B, num_labels); loss where there are labels.
        """
        encoded = self._encode(locals())
        logits = heads.class_scores(encoded.pooled, self.weights)  # (B, D) -> (B, K)
        loss = None if labels is None else heads.classification_loss(logits, labels, self.config)
        return self._output(
            SequenceClassifierOutput, encoded, return_dict, loss=loss, logits=logits
        )


class ErnieMForMultipleChoice(ErnieMPreTrainedModel):
    """The best of several texts, as the right ending of a story.

    Examples
    --------
    >>> config = ErnieMConfig(vocab_size=99, hidden_size=12, num_attention_heads=3,
    ...                       num_hidden_layers=2, intermediate_size=37)
    >>> model = ErnieMForMultipleChoice(config, seed=1)
    >>> output = model([[[0, 5, 17, 2], [0, 5, 18, 2]]], labels=[1])
    >>> output.logits.shape, round(float(output.loss), 1)
    ((1, 2), 0.7)
    """

    def head_shapes(self, config: ErnieMConfig) -> Shapes:
        """`classifier`, from D to one score."""
        return linear_shapes("classifier", 1, config.hidden_size)

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        position_ids: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> MultipleChoiceModelOutput | tuple:
        """Score the choices of every text.

        Parameters
        ----------
        labels : (B,) integers in 0..C-1, optional
            The right choice.
        others
            As of `ErnieMModel.forward`, with an axis of the choices after the batch: ids, masks
            and positions (B, C, ...), inputs_embeds (B, C, T, D).

        Returns
        -------
        MultipleChoiceModelOutput, or a tuple with return_dict=False
            logits (B, C); loss where there are labels.
        """
        arguments, choices = heads.fold_choices(locals())
        encoded = self._encode(arguments)
        logits = heads.choice_scores(encoded.pooled, self.weights, choices)  # (B·C, D) -> (B, C)
        loss = None if labels is None else cross_entropy(logits, labels)
        return self._output(
            MultipleChoiceModelOutput, encoded, return_dict, loss=loss, logits=logits
        )
