"""Heads over one vector per text: the class of a text, the best of several texts."""

from typing import Any

from numpy.typing import ArrayLike

from numpy_erniem import heads
from numpy_erniem.losses import cross_entropy
from numpy_erniem.models.choices import fold_choices
from numpy_erniem.models.inputs import PastKeyValues
from numpy_erniem.models.outputs import MultipleChoiceModelOutput, SequenceClassifierOutput
from numpy_erniem.models.packed_batch import refuse_labels_of, whatever_the_batch
from numpy_erniem.models.pretrained import ErnieMPreTrainedModel
from numpy_erniem.models.schema import SCHEMAS


class ErnieMForSequenceClassification(ErnieMPreTrainedModel[SequenceClassifierOutput]):
    """A class for every text, or several, or a number.

    Examples
    --------
    >>> from numpy_erniem import ErnieMConfig
    >>> config = ErnieMConfig(vocab_size=99, hidden_size=12, num_attention_heads=3,
    ...                       num_hidden_layers=2, intermediate_size=37, num_labels=3)
    >>> model = ErnieMForSequenceClassification(config, seed=1)
    >>> output = model([[0, 5, 17, 2]], labels=[2])
    >>> output.logits.shape, round(float(output.loss), 1)
    ((1, 3), 1.1)
    """

    schema = SCHEMAS["ErnieMForSequenceClassification"]
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
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        labels: ArrayLike | None = None,
        *,
        starts: ArrayLike | None = None,
        key_bias: ArrayLike | None = None,
    ) -> SequenceClassifierOutput | tuple[Any, ...]:
        """Score the classes of every text.

        Parameters
        ----------
        labels : (B,) integers, or (B, num_labels) numbers, optional
            What they are, and which loss is returned: `heads.classification_loss`.
        input_ids, attention_mask, position_ids, head_mask, inputs_embeds, past_key_values
            As of `ErnieMModel.forward`.
        use_cache, output_hidden_states, output_attentions, return_dict : bool, optional
            As there.
        starts, key_bias
            As there.

        Returns
        -------
        SequenceClassifierOutput, or a tuple with return_dict=False
            logits (B, num_labels), or (n, num_labels) of n packed texts; loss where there are
            labels.
        """
        encoded = self._encode(
            input_ids=input_ids,
            position_ids=position_ids,
            attention_mask=attention_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            past_key_values=past_key_values,
            use_cache=use_cache,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
            starts=starts,
            key_bias=key_bias,
        )
        logits = heads.class_scores(encoded.pooled, self.weights)  # (B, D) -> (B, K)
        loss = None if labels is None else heads.classification_loss(logits, labels, self.config)
        return self._output(
            SequenceClassifierOutput, encoded, return_dict, loss=loss, logits=logits
        )


class ErnieMForMultipleChoice(ErnieMPreTrainedModel[MultipleChoiceModelOutput]):
    """The best of several texts, as the right ending of a story.

    Examples
    --------
    >>> from numpy_erniem import ErnieMConfig
    >>> config = ErnieMConfig(vocab_size=99, hidden_size=12, num_attention_heads=3,
    ...                       num_hidden_layers=2, intermediate_size=37)
    >>> model = ErnieMForMultipleChoice(config, seed=1)
    >>> output = model([[[0, 5, 17, 2], [0, 5, 18, 2]]], labels=[1])
    >>> output.logits.shape, round(float(output.loss), 1)
    ((1, 2), 0.7)
    """

    schema = SCHEMAS["ErnieMForMultipleChoice"]
    pooling = schema.pooler

    @whatever_the_batch
    def forward(
        self,
        input_ids: ArrayLike | None = None,
        attention_mask: ArrayLike | None = None,
        position_ids: ArrayLike | None = None,
        head_mask: ArrayLike | None = None,
        inputs_embeds: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        starts: ArrayLike | None = None,
        key_bias: ArrayLike | None = None,
    ) -> MultipleChoiceModelOutput | tuple[Any, ...]:
        """Score the choices of every text.

        Parameters
        ----------
        labels : (B,) integers in 0..C-1, optional
            The right choice.
        input_ids, attention_mask, position_ids, head_mask, inputs_embeds
            As of `ErnieMModel.forward`, but with an axis of the choices after the batch: ids,
            masks and positions (B, C, ...), inputs_embeds (B, C, T, D). With starts they have
            no such axis.
        output_hidden_states, output_attentions, return_dict : bool, optional
            As there.
        starts, key_bias
            As there.

        Returns
        -------
        MultipleChoiceModelOutput, or a tuple with return_dict=False
            logits (B, C); loss where there are labels. Each packed text is one choice, so with
            starts logits are (n, 1), and labels are refused.
        """
        refuse_labels_of(starts, labels=labels)
        folded, choices = fold_choices(
            {
                "input_ids": input_ids,
                "attention_mask": attention_mask,
                "position_ids": position_ids,
                "inputs_embeds": inputs_embeds,
                "key_bias": key_bias,
            },
            packed=starts is not None,
        )  # (B, C, ...) -> (B·C, ...)
        encoded = self._encode(
            **folded,
            head_mask=head_mask,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
            starts=starts,
        )
        logits = heads.choice_scores(encoded.pooled, self.weights, choices)  # (B·C, D) -> (B, C)
        loss = None if labels is None else cross_entropy(logits, labels)
        return self._output(
            MultipleChoiceModelOutput, encoded, return_dict, loss=loss, logits=logits
        )
