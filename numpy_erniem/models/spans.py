"""Heads with two scores per token: where the answer to a question or prompt starts and ends."""

from typing import Any

from numpy.typing import ArrayLike

from numpy_erniem import heads
from numpy_erniem.models.outputs import (
    InformationExtractionModelOutput,
    QuestionAnsweringModelOutput,
)
from numpy_erniem.models.packed_batch import refuse_labels_of, whatever_the_batch
from numpy_erniem.models.pretrained import ErnieMPreTrainedModel
from numpy_erniem.models.schema import SCHEMAS


class ErnieMForQuestionAnswering(ErnieMPreTrainedModel[QuestionAnsweringModelOutput]):
    """Where the answer to a question starts and ends in a text.

    Examples
    --------
    >>> from numpy_erniem import ErnieMConfig
    >>> config = ErnieMConfig(vocab_size=99, hidden_size=12, num_attention_heads=3,
    ...                       num_hidden_layers=2, intermediate_size=37)
    >>> model = ErnieMForQuestionAnswering(config, seed=1)
    >>> output = model([[0, 5, 2, 2, 17, 18, 2]], start_positions=[4], end_positions=[5])
    >>> output.start_logits.shape, round(float(output.loss), 1)
    ((1, 7), 2.0)
    """

    schema = SCHEMAS["ErnieMForQuestionAnswering"]
    pooling = schema.pooler

    @whatever_the_batch
    def forward(
        self,
        input_ids: ArrayLike | None = None,
        attention_mask: ArrayLike | None = None,
        position_ids: ArrayLike | None = None,
        head_mask: ArrayLike | None = None,
        inputs_embeds: ArrayLike | None = None,
        start_positions: ArrayLike | None = None,
        end_positions: ArrayLike | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        starts: ArrayLike | None = None,
        key_bias: ArrayLike | None = None,
    ) -> QuestionAnsweringModelOutput | tuple[Any, ...]:
        """Score every token as start and as end of the answer.

        Parameters
        ----------
        start_positions, end_positions : (B,) integers, optional
            The right tokens, counted from 0; T or more leaves a text out of the loss. Refused
            with starts.
        input_ids, attention_mask, position_ids, head_mask, inputs_embeds
            As of `ErnieMModel.forward`.
        output_hidden_states, output_attentions, return_dict : bool, optional
            As there.
        starts, key_bias
            As there.

        Returns
        -------
        QuestionAnsweringModelOutput, or a tuple with return_dict=False
            start_logits and end_logits (B, T); loss where there are labels.
        """
        refuse_labels_of(starts, start_positions=start_positions, end_positions=end_positions)
        encoded = self._encode(
            input_ids=input_ids,
            position_ids=position_ids,
            attention_mask=attention_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
            starts=starts,
            key_bias=key_bias,
        )
        scores = heads.answer_scores(encoded.last_hidden_state, self.weights)  # two of (B, T)
        loss = None
        if heads.has_span_labels(start_positions, end_positions):
            loss = heads.answer_loss(scores, start_positions, end_positions)
        return self._output(
            QuestionAnsweringModelOutput,
            encoded,
            return_dict,
            loss=loss,
            start_logits=scores[0],
            end_logits=scores[1],
        )


class ErnieMForInformationExtraction(ErnieMPreTrainedModel[InformationExtractionModelOutput]):
    """Where the spans that a prompt asks for start and end: UIE-M.

    The logits are log-odds; a token with σ(logit) above a half starts, or ends, a span.
    `InformationExtractor` asks for the names of a schema.

    Examples
    --------
    >>> from numpy_erniem import ErnieMConfig
    >>> config = ErnieMConfig(vocab_size=99, hidden_size=12, num_attention_heads=3,
    ...                       num_hidden_layers=2, intermediate_size=37)
    >>> model = ErnieMForInformationExtraction(config, seed=1)
    >>> output = model([[0, 5, 17, 2]], start_positions=[[0, 1, 0, 0]],
    ...                end_positions=[[0, 0, 1, 0]])
    >>> output.end_logits.shape, round(float(output.loss), 1)
    ((1, 4), 0.7)
    """

    schema = SCHEMAS["ErnieMForInformationExtraction"]
    pooling = schema.pooler

    @whatever_the_batch
    def forward(
        self,
        input_ids: ArrayLike | None = None,
        attention_mask: ArrayLike | None = None,
        position_ids: ArrayLike | None = None,
        head_mask: ArrayLike | None = None,
        inputs_embeds: ArrayLike | None = None,
        start_positions: ArrayLike | None = None,
        end_positions: ArrayLike | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        starts: ArrayLike | None = None,
        key_bias: ArrayLike | None = None,
    ) -> InformationExtractionModelOutput | tuple[Any, ...]:
        """Score every token as start and as end of a span.

        Parameters
        ----------
        start_positions, end_positions : (B, T) numbers in 0..1, optional
            Whether, or with what probability, a span starts and ends there.
        input_ids, attention_mask, position_ids, head_mask, inputs_embeds
            As of `ErnieMModel.forward`.
        output_hidden_states, output_attentions, return_dict : bool, optional
            As there.
        starts, key_bias
            As there.

        Returns
        -------
        InformationExtractionModelOutput, or a tuple with return_dict=False
            start_logits and end_logits (B, T), and start_prob and end_prob, σ of them; loss where
            there are labels.
        """
        encoded = self._encode(
            input_ids=input_ids,
            position_ids=position_ids,
            attention_mask=attention_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
            starts=starts,
            key_bias=key_bias,
        )
        scores = heads.extraction_scores(encoded.last_hidden_state, self.weights)  # two of (B, T)
        loss = None
        if heads.has_span_labels(start_positions, end_positions):
            loss = heads.extraction_loss(scores, start_positions, end_positions)
        return self._output(
            InformationExtractionModelOutput,
            encoded,
            return_dict,
            loss=loss,
            start_logits=scores[0],
            end_logits=scores[1],
        )
