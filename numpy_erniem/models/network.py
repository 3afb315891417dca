"""A model that runs: config, weights, and the path of the arguments of a forward pass."""

import copy
import inspect
import math
import re
from collections.abc import Mapping
from typing import Any, Generic, Literal, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from numpy_erniem.backend.dispatch import backend_report
from numpy_erniem.backend.frozen import freeze, is_frozen
from numpy_erniem.checks import nearest, warn
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.encoder import Encoded
from numpy_erniem.models.chunking import encode_chunked
from numpy_erniem.models.inputs import PastKeyValues, prepare_inputs
from numpy_erniem.models.nan_checks import checked_at_lookup, warn_of_nan_rows
from numpy_erniem.models.outputs import ModelOutput
from numpy_erniem.models.precision import Precision, checked_precision
from numpy_erniem.models.schema import (
    BASE_MODEL,
    ENCODER,
    PREFIX,
    SCHEMAS,
    Shapes,
    encoder_shapes,
)
from numpy_erniem.models.weights import encoder_weights, flatten, initial_tensor, nest
from numpy_erniem.quantization.numbers import widen

Output = TypeVar("Output", bound=ModelOutput)
Net = TypeVar("Net", bound="Network[Any]")


class Network(Generic[Output]):
    """What every model needs to run: a config, a nested dict of read-only weights, `forward`.

    Attributes
    ----------
    config : ErnieMConfig
    weights : nested dict of arrays
        By the names in a checkpoint, cut at the dots.
    dtype : numpy.dtype
        Of the results: float32, or float64.
    precision : {"float32", "float64", "bfloat16", "int8"}
        Of the arithmetic in the linear maps of the encoder.
    schema : Schema
        Which tensors the class has.
    pooling : bool
        Whether there is a vector per text from a pooler.
    trainable : bool
        Whether weights may be changed in place. Each is then packed for C at every call.
    """

    config_class = ErnieMConfig
    base_model_prefix = ENCODER
    main_input_name = "input_ids"
    device = "cpu"
    schema = SCHEMAS[BASE_MODEL]
    pooling = schema.pooler
    trainable = False
    _was_checked = False  # that no matrix is packed at every call
    _forward_arguments: tuple[str, ...] = ()
    _base_class: "type[Network[Any]]"  # ErnieMModel, which sets it

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        _, *names = inspect.signature(cls.forward).parameters  # once, when a class is made
        cls._forward_arguments = tuple(names)

    def __init__(
        self, config: ErnieMConfig, *, seed: int = 0, dtype: DTypeLike | None = None
    ) -> None:
        asked = checked_precision(dtype)
        self.config = config = copy.deepcopy(config)
        config.validate()  # an attribute may have been set
        precision = self._take_precision(Precision(asked, config))
        flat: dict[str, np.ndarray] = {}
        for name, shape in self.expected_shapes(config).items():
            drawn = initial_tensor(name, shape, config, seed, self.dtype)
            flat |= precision.held(name, drawn)
        self._set_weights(flat)

    def _take_precision(self, precision: Precision) -> Precision:
        self.precision, self.dtype = precision.name, precision.floats
        return precision

    def _set_weights(self, flat: Mapping[str, np.ndarray]) -> None:
        self.weights = nest(flat)
        self._checks_rows = checked_at_lookup(self._token_table["weight"])
        self._was_checked = False

    def expected_shapes(self, config: ErnieMConfig) -> Shapes:
        """Names and shapes of the model's tensors; with a head, the encoder's have a prefix."""
        encoder, head = encoder_shapes(config, self.pooling), self.head_shapes(config)
        return {PREFIX + n: s for n, s in encoder.items()} | head if head else encoder

    def head_shapes(self, config: ErnieMConfig) -> Shapes:
        """Names and shapes of the head's tensors, of which `ErnieMModel` has none."""
        return self.schema.head(config)

    def get_input_embeddings(self) -> np.ndarray:
        """The token table, a (V, D) array, read-only unless it is in training.

        A table of eight or sixteen bits is widened for it, whole, at every call.
        """
        table = self._token_table["weight"]
        wide = widen(table, self._token_table.get("scale"))
        return table if wide is table else freeze(wide)

    def get_output_embeddings(self) -> np.ndarray | None:
        """The (V, D) array that makes logits over the vocabulary, if the model does that."""
        return None

    @property
    def base_model(self) -> "Network[Any]":
        """The encoder as an `ErnieMModel` of its own, over the same arrays; itself if it is one."""
        if ENCODER not in self.weights:
            return self
        model = self._base_class.__new__(self._base_class)
        model.config, model.dtype = copy.deepcopy(self.config), self.dtype
        model.precision = self.precision
        model.pooling, model.trainable = self.pooling, self.trainable
        model._set_weights(flatten(self._encoder_weights))
        return model

    @classmethod
    def can_generate(cls) -> bool:
        """False: no model writes text."""
        return False

    @property
    def vocab_size(self) -> int:
        """V of the config."""
        return self.config.vocab_size

    @property
    def num_labels(self) -> int:
        """K of the config."""
        return self.config.num_labels

    @property
    def name_or_path(self) -> str:
        """The folder or name that the model was loaded from; "" if it was drawn."""
        return self.config.name_or_path

    def eval(self: Net) -> Net:
        """Return the model, so that scripts written for torch run: there is no training mode."""
        return self

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Number of weights, of the embedding tables too unless they are excluded.

        only_trainable is there because upstream has it: every weight is trainable.
        """
        shapes = self.expected_shapes(self.config).items()
        return sum(
            math.prod(shape)
            for name, shape in shapes
            if not (exclude_embeddings and re.search(r"_embeddings?\.weight$", name))
        )

    def forward(self, *args: Any, **kwargs: Any) -> Output | tuple[Any, ...]:
        """Defined by each model."""
        raise TypeError(f"{type(self).__name__} has no forward pass; use one of its subclasses")

    @overload
    def __call__(
        self, *args: Any, return_dict: Literal[False], **kwargs: Any
    ) -> tuple[Any, ...]: ...

    @overload
    def __call__(
        self, *args: Any, return_dict: Literal[True] | None = None, **kwargs: Any
    ) -> Output: ...

    def __call__(self, *args: Any, **kwargs: Any) -> Output | tuple[Any, ...]:
        """Run `forward`; an argument that it does not have is a TypeError that helps."""
        for name in kwargs:
            if name == "token_type_ids":
                raise TypeError("token_type_ids: ERNIE-M has no token types; leave them out")
            if name not in self._forward_arguments:
                known = list(self._forward_arguments)
                raise TypeError(f"unknown argument {name!r}{nearest(name, known)}")
        return self.forward(*args, **kwargs)

    def _encode(
        self,
        *,
        input_ids: ArrayLike | None,
        position_ids: ArrayLike | None,
        attention_mask: ArrayLike | None,
        head_mask: ArrayLike | None,
        inputs_embeds: ArrayLike | None,
        past_key_values: PastKeyValues | None = None,
        use_cache: bool | None = False,
        output_hidden_states: bool | None,
        output_attentions: bool | None,
        starts: ArrayLike | None = None,
        key_bias: ArrayLike | None = None,
    ) -> Encoded:
        """Check the arguments of a forward pass, and run the encoder on them."""
        inputs = prepare_inputs(
            self.config,
            self.dtype,
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
        if not self._was_checked:
            self._was_checked = True
            packed = self.dtype == "float32" and backend_report()["backend"] == "native"
            if packed and not self.trainable:
                _warn_of_writable(self.weights)
        encoded = encode_chunked(inputs, self._encoder_weights, self.config)
        if self._checks_rows and inputs.input_ids is not None:
            firsts = encoded.last_hidden_state[..., 0]  # of a normed vector: NaN where any is
            if not np.isfinite(firsts).all():
                warn_of_nan_rows(self._token_table, inputs.input_ids)
        return encoded

    @property
    def _token_table(self) -> Mapping[str, np.ndarray]:
        """A dict with "weight" (V, D), and "scale" (V,) where that is int8."""
        table: Mapping[str, np.ndarray] = self._encoder_weights["embeddings"]["word_embeddings"]
        return table

    @property
    def _encoder_weights(self) -> Mapping[str, Any]:
        return encoder_weights(self.weights)

    def _output(
        self,
        kind: type[Output],
        encoded: Encoded,
        return_dict: bool | None,
        **results: Any,
    ) -> Output | tuple[Any, ...]:
        """The results and what the encoder was asked to keep, named or as a tuple."""
        kept = {
            "past_key_values": encoded.key_values,
            "hidden_states": encoded.hidden_states,
            "attentions": encoded.attentions,
        }
        output = kind(**results, **{name: tuple(value) for name, value in kept.items() if value})
        named = self.config.return_dict if return_dict is None else return_dict
        return output if named else output.to_tuple()


def _warn_of_writable(weights: Mapping[str, Any]) -> None:
    """Name a matrix that is not frozen, if there is one: C packs it at every call."""
    flat = flatten(weights)
    names = [name for name, value in flat.items() if value.ndim > 1 and not is_frozen(value)]
    if names:
        warn(
            f"{len(names)} weights can be written to, such as {names[0]}, so each is packed again "
            "at every call, which is slow; call model.prepare() after the last change"
        )
