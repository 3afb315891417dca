"""ErnieMModel: config, weights and the function `encode` behind upstream's interface."""

from typing import Any

from numpy_erniem.config import ErnieMConfig
from numpy_erniem.models.outputs import BaseModelOutput
from numpy_erniem.models.pretrained import ErnieMPreTrainedModel


class ErnieMModel(ErnieMPreTrainedModel):
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
        dtype: Any = "float32",
    ) -> None:
        self.pooling = add_pooling_layer
        super().__init__(config, seed=seed, dtype=dtype)

    def _take_options(self, options: dict[str, Any]) -> dict[str, Any]:
        options = dict(options)
        self.pooling = options.pop("add_pooling_layer", True)
        return super()._take_options(options)

    def forward(
        self,
        input_ids: Any = None,
        position_ids: Any = None,
        attention_mask: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
    ) -> BaseModelOutput | tuple:
        """Run the encoder. Note the order: position_ids before attention_mask, as upstream.

        Parameters
        ----------
        input_ids : (B, T) integers in 0..vocab_size-1
        position_ids : (B, T), (1, T) or (T,) integers, optional
            From 0; left out, they count up, after the past if there is one.
        attention_mask : (B, S), (B, T, S) or (B, 1 or H, T, S) of int, bool or 0/1 float, optional
            1 is seen, 0 hidden; S counts past and new tokens. Left out, padding is hidden.
        head_mask : (H,) or (L, H), optional
            Factor of each head's attention probabilities.
        inputs_embeds : (B, T, D), optional
            Word vectors instead of input_ids.
        past_key_values : L times (key, value), each (B, H, P, d), optional
            Of earlier tokens, which the new ones see.
        use_cache, output_hidden_states, output_attentions, return_dict : bool, optional
            What to return; None is the config's default.

        Returns
        -------
        BaseModelOutput, or a tuple with return_dict=False

        Raises
        ------
        ValueError
            Any argument that cannot be, by name, with the rule and the remedy.
        """
        encoded = self._encode(locals())
        return self._output(
            BaseModelOutput,
            encoded,
            return_dict,
            last_hidden_state=encoded.last_hidden_state,
            pooler_output=encoded.pooled,
        )
