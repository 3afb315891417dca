"""ErnieMModel: config, weights and the function `encode` behind upstream's interface."""

from typing import Any

from numpy.typing import ArrayLike, DTypeLike

from numpy_erniem.config import ErnieMConfig
from numpy_erniem.models.inputs import PastKeyValues
from numpy_erniem.models.network import Network
from numpy_erniem.models.outputs import BaseModelOutput
from numpy_erniem.models.packed_batch import whatever_the_batch
from numpy_erniem.models.pretrained import ErnieMPreTrainedModel


class ErnieMModel(ErnieMPreTrainedModel[BaseModelOutput]):
    """The encoder: token ids in, one vector per token and one per text out.

    Parameters
    ----------
    config : ErnieMConfig
    add_pooling_layer : bool
        Whether there is a vector per text, pooler_output.
    seed, dtype
        As in `ErnieMPreTrainedModel`.

    Examples
    --------
    >>> from numpy_erniem import ErnieMConfig
    >>> config = ErnieMConfig(vocab_size=99, hidden_size=12, num_attention_heads=3,
    ...                       num_hidden_layers=2, intermediate_size=37)
    >>> model = ErnieMModel(config, seed=1)
    >>> output = model([[0, 5, 17, 2]])
    >>> output.last_hidden_state.shape, output.pooler_output.shape
    ((1, 4, 12), (1, 12))
    """

    def __init__(
        self,
        config: ErnieMConfig,
        add_pooling_layer: bool = True,
        *,
        seed: int = 0,
        dtype: DTypeLike | None = None,
    ) -> None:
        self.pooling = add_pooling_layer
        super().__init__(config, seed=seed, dtype=dtype)

    def _take_options(self, options: dict[str, Any]) -> dict[str, Any]:
        options = dict(options)
        self.pooling = options.pop("add_pooling_layer", True)
        return options

    @whatever_the_batch
    def forward(
        self,
        input_ids: ArrayLike | None = None,
        position_ids: ArrayLike | None = None,
        attention_mask: ArrayLike | None = None,
        head_mask: ArrayLike | None = None,
        inputs_embeds: ArrayLike | None = None,
        past_key_values: PastKeyValues | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        *,
        starts: ArrayLike | None = None,
        key_bias: ArrayLike | None = None,
    ) -> BaseModelOutput | tuple[Any, ...]:
        """Run the encoder. Note the order: position_ids before attention_mask, as upstream.

        Parameters
        ----------
        input_ids : (B, T) integers in 0..vocab_size-1
        position_ids : (B, T), (1, T) or (T,) integers, optional
            From 0; left out, they count up, after the past if there is one. A checkpoint of the
            XLM-RoBERTa family does not count padding.
        attention_mask : (B, S), (B, T, S) or (B, 1 or H, T, S) of int, bool or 0/1 float, optional
            1: may be attended to, 0: masked. S counts past and new tokens. Left out, padding is
            masked.
        head_mask : (H,) or (L, H), optional
            Factor of each head's attention probabilities.
        inputs_embeds : (B, T, D), optional
            Token vectors instead of input_ids.
        past_key_values : L times (key, value), each (B, H, P, d), optional
            Of earlier tokens, to which the new ones attend.
        use_cache, output_hidden_states, output_attentions, return_dict : bool, optional
            What to return beside the vectors; None is the config's default. A packed batch has
            no cache and no attentions: there None is False.
        starts : (n + 1,) integers, optional
            Of a packed batch, from `pack_texts`: the n texts lie one after the other in a single
            row, B = 1 and T = N. A token attends to its own text alone; positions begin with 0 in
            each text. pooler_output is (n, D). With C kernels a text's result has the same bits
            whatever texts are beside it.
        key_bias : (B or 1, S) finite numbers, optional
            Added to the score of each key, for all queries; log(c) makes a token count c times.

        Returns
        -------
        BaseModelOutput, or a tuple with return_dict=False

        Raises
        ------
        ValueError
            An argument that is wrong, by name, with the rule and the remedy.
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
        return self._output(
            BaseModelOutput,
            encoded,
            return_dict,
            last_hidden_state=encoded.last_hidden_state,
            pooler_output=encoded.pooled,
        )


Network._base_class = ErnieMModel
