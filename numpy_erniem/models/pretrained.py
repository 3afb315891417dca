"""What all models share: config + weights, and how they come from and go to a folder."""

import copy
import inspect
import math
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, Generic, Literal, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from numpy_erniem.checkpoint.folder import write_folder
from numpy_erniem.checks import nearest
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.encoder import Encoded
from numpy_erniem.models.chunking import encode_chunked
from numpy_erniem.models.inputs import PastKeyValues, prepare_inputs
from numpy_erniem.models.loading import Checkpoint, check_overrides, open_checkpoint
from numpy_erniem.models.outputs import ModelOutput
from numpy_erniem.models.resizing import (
    add_pruned_heads,
    remove_heads,
    replace_token_table,
    resize_vocabulary,
    round_up,
)
from numpy_erniem.models.schema import BASE_MODEL, PREFIX, SCHEMAS, Shapes, encoder_shapes
from numpy_erniem.models.weights import (
    checked_at_lookup,
    encoder_weights,
    flatten,
    initial_tensor,
    load_tensors,
    nest,
    trust_intermediate_size,
    warn_of_nan_rows,
)

MODEL_DTYPES = ("float32", "float64")
LoadingInfo = dict[str, list[Any]]
Output = TypeVar("Output", bound=ModelOutput)
Model = TypeVar("Model", bound="ErnieMPreTrainedModel[Any]")


class ErnieMPreTrainedModel(Generic[Output]):
    """What all models share: a config, a nested dict of read-only weights, a folder on disk.

    Parameters
    ----------
    config : ErnieMConfig
        The model keeps a copy, so later changes of the one do not reach the other.
    seed : int
        The weights are drawn at random from it; use `from_pretrained` for trained ones.
    dtype : {"float32", "float64"}
        Of weights and results. float64 is slow and for checking.

    Attributes
    ----------
    config : ErnieMConfig
    weights : nested dict of arrays
        By the names in a checkpoint, cut at the dots.
    dtype : numpy.dtype
    pooling : bool
        Whether there is a vector per text from a pooler.
    """

    schema = SCHEMAS[BASE_MODEL]
    pooling = schema.pooler
    _forward_arguments: tuple[str, ...] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        _, *names = inspect.signature(cls.forward).parameters  # once, when a class is made
        cls._forward_arguments = tuple(names)

    def __init__(
        self, config: ErnieMConfig, *, seed: int = 0, dtype: DTypeLike = "float32"
    ) -> None:
        self.dtype = _checked_dtype(dtype)
        self.config = copy.deepcopy(config)
        shapes = self.expected_shapes(config)
        self._set_weights(
            {name: initial_tensor(name, s, config, seed, self.dtype) for name, s in shapes.items()}
        )

    def _set_weights(self, flat: Mapping[str, np.ndarray]) -> None:
        self.weights = nest(flat)
        self._checks_rows = checked_at_lookup(self.get_input_embeddings())

    def expected_shapes(self, config: ErnieMConfig) -> Shapes:
        """Names and shapes of the model's tensors; with a head, the encoder's have a prefix."""
        encoder, head = encoder_shapes(config, self.pooling), self.head_shapes(config)
        return {PREFIX + n: s for n, s in encoder.items()} | head if head else encoder

    def head_shapes(self, config: ErnieMConfig) -> Shapes:
        """Names and shapes of the head's tensors, of which `ErnieMModel` has none."""
        return self.schema.head(config)

    @overload
    @classmethod
    def from_pretrained(
        cls: type[Model],
        model: str | os.PathLike[str],
        *,
        output_loading_info: Literal[True],
        **options: Any,
    ) -> tuple[Model, LoadingInfo]: ...

    @overload
    @classmethod
    def from_pretrained(
        cls: type[Model],
        model: str | os.PathLike[str],
        *,
        config: ErnieMConfig | None = None,
        dtype: DTypeLike = "float32",
        seed: int = 0,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: Literal[False] = False,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        **options: Any,
    ) -> Model: ...

    @classmethod
    def from_pretrained(
        cls: type[Model],
        model: str | os.PathLike[str],
        *,
        config: ErnieMConfig | None = None,
        dtype: DTypeLike = "float32",
        seed: int = 0,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        **options: Any,
    ) -> Model | tuple[Model, LoadingInfo]:
        """Load a model; float32 weights are mapped, not read.

        Parameters
        ----------
        model : path or str
            Folder with config.json and model.safetensors, pytorch_model.bin or
            model_state.pdparams, or shards and their index; or a name on the Hugging Face hub.
        config : ErnieMConfig, optional
            Instead of the folder's.
        dtype : {"float32", "float64"}
        seed : int
            For tensors that the folder does not have, such as a new head.
        ignore_mismatched_sizes : bool
            Draw tensors of another shape at random instead of raising.
        output_loading_info : bool
            Return (model, dict of missing_keys, unexpected_keys, mismatched_keys).
        revision : str, optional
            Branch, tag or commit on the hub.
        cache_dir : path, optional
            Where downloads are kept; left out, where huggingface_hub keeps them.
        local_files_only : bool
            Use what was downloaded before, and no network.
        **options
            Options of the model's class, such as add_pooling_layer, and keys of the config to
            override, such as num_labels.

        Returns
        -------
        model, or (model, dict)

        Raises
        ------
        FileNotFoundError
            No such folder, no config.json, no checkpoint, or a missing shard.
        ValueError
            A file that is not what it says, a tensor of another shape, an unknown option.
        """
        checkpoint = open_checkpoint(
            model,
            config,
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
        )
        return cls._from_checkpoint(
            checkpoint,
            dtype=dtype,
            seed=seed,
            ignore_mismatched_sizes=ignore_mismatched_sizes,
            output_loading_info=output_loading_info,
            **options,
        )

    @classmethod
    def _from_checkpoint(
        cls: type[Model],
        checkpoint: Checkpoint,
        *,
        dtype: DTypeLike = "float32",
        seed: int = 0,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        **options: Any,
    ) -> Model | tuple[Model, LoadingInfo]:
        """A model from a checkpoint that is open; arguments as of `from_pretrained`."""
        model = cls.__new__(cls)
        model.dtype = _checked_dtype(dtype)
        overrides = model._take_options(options)
        check_overrides(overrides)
        model.config = checkpoint.make_config(overrides)
        trust_intermediate_size(model.config, checkpoint.tensors)
        flat, report = load_tensors(
            checkpoint.tensors,
            model.expected_shapes(model.config),
            model.config,
            source=checkpoint.folder,
            dtype=model.dtype,
            ignore_mismatched_sizes=ignore_mismatched_sizes,
            seed=seed,
        )
        model._set_weights(flat)
        return (model, report.as_dict()) if output_loading_info else model

    def _take_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """Keep the options of this class, and return those of the config."""
        return options

    def save_pretrained(
        self, folder: str | os.PathLike[str], max_shard_size: int | str = "5GB"
    ) -> None:
        """Write config.json and model.safetensors, or shards of at most `max_shard_size`.

        A crash in the middle never leaves half a checkpoint under the final name.
        """
        write_folder(folder, flatten(self.weights), max_shard_size)
        self.config.architectures = [type(self).__name__]
        self.config.save_pretrained(folder)

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

    def prune_heads(self, heads_to_prune: Mapping[int, Iterable[int]]) -> None:
        """Remove attention heads for good, for a smaller and faster model.

        Parameters
        ----------
        heads_to_prune : dict of int to list of int
            Layer to heads, counted as in the full model from 0; {1: [0, 2]} takes the first and
            the third head of the second layer. Heads that are gone already may be named again.
            All are kept in config.pruned_heads, and so saved and loaded.

        Raises
        ------
        ValueError
            No such layer or head, or a layer would have no head left.
        """
        after = add_pruned_heads(self.config, heads_to_prune)
        flat = remove_heads(flatten(self.weights), self.config, after)
        self.config.pruned_heads = after.pruned_heads
        self._set_weights(flat)

    def get_input_embeddings(self) -> np.ndarray:
        """The token table, a read-only (V, D) array; in upstream a module that holds it."""
        table: np.ndarray = self._encoder_weights["embeddings"]["word_embeddings"]["weight"]
        return table

    def set_input_embeddings(self, value: ArrayLike) -> None:
        """Replace the token table by a copy of `value`, (V, D) floats."""
        self._set_weights(replace_token_table(flatten(self.weights), value))

    def resize_token_embeddings(
        self,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        *,
        seed: int = 0,
    ) -> np.ndarray:
        """Make room for tokens that were added to the tokenizer, or drop the last ones.

        Parameters
        ----------
        new_num_tokens : int, optional
            Rows of the token table. Left out, their number stays, but for rounding.
        pad_to_multiple_of : int, optional
            Round the number up to a multiple of this.
        seed : int
            New rows are drawn at random from it, normal with initializer_range.

        Returns
        -------
        (V, D) array
            The new token table; config.vocab_size is its V.
        """
        count = self.config.vocab_size if new_num_tokens is None else new_num_tokens
        count = round_up(count, 1 if pad_to_multiple_of is None else pad_to_multiple_of)
        if count != self.config.vocab_size:
            flat = resize_vocabulary(flatten(self.weights), count, self.config, seed)
            self.config.vocab_size = count
            self._set_weights(flat)
        return self.get_input_embeddings()

    def eval(self: Model) -> Model:
        """Return the model, so that scripts written for torch run: there is no training mode."""
        return self

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
        )
        encoded = encode_chunked(inputs, self._encoder_weights, self.config)
        if self._checks_rows and inputs.input_ids is not None:
            firsts = encoded.last_hidden_state[..., 0]  # of a normed vector: NaN where any is
            if not np.isfinite(firsts).all():
                warn_of_nan_rows(self.get_input_embeddings(), inputs.input_ids)
        return encoded

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


def _checked_dtype(dtype: DTypeLike) -> np.dtype:
    try:
        checked = np.dtype(dtype)
    except TypeError:
        checked = None
    if checked is None or checked.name not in MODEL_DTYPES:
        raise ValueError(f"dtype {dtype!r} is not one of {', '.join(MODEL_DTYPES)}")
    return checked
