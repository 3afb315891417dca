"""Where an answer starts and ends, in a text or for a prompt: two scores per token."""

from typing import Any

from numpy_erniem import heads
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.models.outputs import QuestionAnsweringModelOutput
from numpy_erniem.models.pretrained import ErnieMPreTrainedModel
from numpy_erniem.models.weights import Shapes, linear_shapes


class ErnieMForQuestionAnswering(ErnieMPreTrainedModel):
    """Where the answer to a question starts and ends in a text.

    Examples
    --------
    >>> config = ErnieMConfig(vocab_size=99, hidden_size=12, num_attention_heads=3,
    ...                       num_hidden_layers=2, intermediate_size=37)
    >>> model = ErnieMForQuestionAnswering(config, seed=1)
    >>> output = model([[0, 5, 2, 2, 17, 18, 2]], start_positions=[4], end_positions=[5])
    >>> output.start_logits.shape, round(float(output.loss), 1)
    ((1, 7), 2.0)
    """

    pooling = False

    def head_shapes(self, config: ErnieMConfig) -> Shapes:
        """`qa_outputs`, from D to start and end; ValueError unless num_labels is 2."""
        if config.num_labels != 2:
            raise ValueError(
                f"num_labels {config.num_labels} is not 2: question answering scores start and "
                "end; pass num_labels=2"
            )
        return linear_shapes("qa_outputs", 2, config.hidden_size)

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        position_ids: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        start_positions: Any = None,
        end_positions: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> QuestionAnsweringModelOutput | tuple:
        """Score every token as start and as end of the answer.

        Parameters
        ----------
        start_positions, end_positions : (B,) integers, optional
            The right tokens, counted from 0; T or more leaves a text out of the loss.
        others
            As of `ErnieMModel.forward`.

        Returns
        -------
        QuestionAnsweringModelOutput, or a tuple with return_dict=False
            start_logits and end_logits (B, T); loss where there are labels.
        """
        encoded = self._encode(locals())
        scores = heads.answer_scores(encoded.last_hidden_state, self.weights)  # two of (B, T)
        loss = None
        if heads.both_or_none(start_positions, end_positions):
            loss = heads.answer_loss(scores, start_positions, end_positions)
        return self._output(
            QuestionAnsweringModelOutput,
            encoded,
            return_dict,
            loss=loss,
            start_logits=scores[0],
            end_logits=scores[1],
        )


class ErnieMForInformationExtraction(ErnieMPreTrainedModel):
    """Where spans start and end, of whatever a prompt asks for: UIE-M.

    The logits are log-odds; a token with σ(logit) above a half starts, or ends, a span.

    Examples
    --------
    >>> config = ErnieMConfig(vocab_size=99, hidden_size=12, num_attention_heads=3,
    ...                       num_hidden_layers=2, intermediate_size=37)
    >>> model = ErnieMForInformationExtraction(config, seed=1)
    >>> output = model([[0, 5, 17, 2]], start_positions=[[0, 1, 0, 0]],
    ...                end_positions=[[0, 0, 1, 0]])
    >>> output.end_logits.shape, round(float(output.loss), 1)
    ((1, 4), 0.7)
    """

    def head_shapes(self, config: ErnieMConfig) -> Shapes:
        """`linear_start` and `linear_end`, from D to one score each."""
        D = config.hidden_size
        return linear_shapes("linear_start", 1, D) | linear_shapes("linear_end", 1, D)

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        position_ids: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        start_positions: Any = None,
        end_positions: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> QuestionAnsweringModelOutput | tuple:
        """Score every token as start and as end of a span.

        Parameters
        ----------
        start_positions, end_positions : (B, T) numbers in 0..1, optional
            Whether, or with what probability, a span starts and ends there.
        others
            As of `ErnieMModel.forward`.

        Returns
        -------
        QuestionAnsweringModelOutput, or a tuple with return_dict=False
            start_logits and end_logits (B, T); loss where there are labels.
        """
        encoded = self._encode(locals())
        scores = heads.extraction_scores(encoded.last_hidden_state, self.weights)  # two of (B, T)
        loss = None
        if heads.both_or_none(start_positions, end_positions):
            loss = heads.extraction_loss(scores, start_positions, end_positions)
        return self._output(
            QuestionAnsweringModelOutput,
            encoded,
            return_dict,
            loss=loss,
            start_logits=scores[0],
            end_logits=scores[1],
        )
