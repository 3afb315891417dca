"""What all models share: config + weights, and how they come from and go to a folder."""

import copy
import functools
import inspect
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from numpy_erniem.backend.dispatch import prepare
from numpy_erniem.backend.frozen import freeze, is_frozen
from numpy_erniem.checkpoint.folder import read_checkpoint, read_folder, write_folder
from numpy_erniem.checkpoint.hub import resolve_folder
from numpy_erniem.checks import nearest
from numpy_erniem.config import ALIASES, ErnieMConfig
from numpy_erniem.encoder import Encoded
from numpy_erniem.models.chunking import encode_chunked
from numpy_erniem.models.inputs import prepare_inputs
from numpy_erniem.models.outputs import ModelOutput
from numpy_erniem.models.resizing import (
    also_pruned,
    rounded_up,
    with_table,
    with_words,
    without_heads,
)
from numpy_erniem.models.weights import (
    PREFIX,
    Shapes,
    encoder_shapes,
    flatten,
    initial_tensor,
    load_tensors,
    nest,
    trust_intermediate_size,
    warn_of_nan_rows,
)

DTYPES = ("float32", "float64")
ENCODER_ARGUMENTS = tuple(inspect.signature(prepare_inputs).parameters)[2:]


class ErnieMPreTrainedModel:
    """What all models share: a config, a nested dict of read-only weights, a folder on disk.

    Parameters
    ----------
    config : ErnieMConfig
        The model keeps a copy: what changes it later does not change the caller's, or the other
        way round.
    seed : int
        The weights are drawn at random from it; use `from_pretrained` for trained ones.
    dtype : {"float32", "float64"}
        Of weights and results. float64 is slow and for checking.
    """

    pooling = True  # whether the model has a pooler

    def __init__(self, config: ErnieMConfig, *, seed: int = 0, dtype: Any = "float32") -> None:
        dtype = _checked_dtype(dtype)
        shapes = self.expected_shapes(config)
        flat = {name: initial_tensor(name, s, config, seed, dtype) for name, s in shapes.items()}
        self._settle(copy.deepcopy(config), flat, dtype)

    def _settle(self, config: ErnieMConfig, flat: dict[str, np.ndarray], dtype: np.dtype) -> None:
        self.config = config
        self.dtype = dtype
        self.weights = nest(flat)

    def expected_shapes(self, config: ErnieMConfig) -> Shapes:
        """Names and shapes of the model's tensors; with a head, the encoder's have a prefix."""
        encoder, head = encoder_shapes(config, self.pooling), self.head_shapes(config)
        return {PREFIX + n: s for n, s in encoder.items()} | head if head else encoder

    def head_shapes(self, config: ErnieMConfig) -> Shapes:
        """Names and shapes of the head's tensors; none here."""
        return {}

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike,
        *,
        config: ErnieMConfig | None = None,
        dtype: Any = "float32",
        seed: int = 0,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        revision: str | None = None,
        cache_dir: str | os.PathLike | None = None,
        local_files_only: bool = False,
        **options: Any,
    ) -> Any:
        """Load a model; float32 weights are mapped, not read.

        Parameters
        ----------
        name : path or str
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
        revision, cache_dir, local_files_only
            For a name on the hub: branch, tag or commit; where downloads are kept; no network.
        **options
            Options of the model's class, such as add_pooling_layer, and keys of the config to
            override, such as num_labels.

        Raises
        ------
        FileNotFoundError
            No such folder, no config.json, no checkpoint, or a missing shard.
        ValueError
            A file that is not what it says, a tensor of another shape, an unknown option.
        """
        dtype = _checked_dtype(dtype)
        folder = resolve_folder(
            name, revision=revision, cache_dir=cache_dir, local_files_only=local_files_only
        )
        model = cls.__new__(cls)
        overrides = model._take_options(options)
        if config is None:
            values, tensors = read_checkpoint(folder)
            config = ErnieMConfig.from_values(values, folder, **overrides)
        else:
            tensors = read_folder(folder)
            config = ErnieMConfig.from_dict(copy.deepcopy(config.to_dict()), **overrides)
        trust_intermediate_size(config, tensors)
        flat, report = load_tensors(
            tensors,
            model.expected_shapes(config),
            config,
            source=folder,
            dtype=dtype,
            ignore_mismatched_sizes=ignore_mismatched_sizes,
            seed=seed,
        )
        model._settle(config, flat, dtype)
        return (model, report.as_dict()) if output_loading_info else model

    def prepare(self) -> "ErnieMPreTrainedModel":
        """Pack every weight for the C kernels now, and return the model.

        Otherwise the first forward pass does it, and takes longer than the next ones. The packed
        weights live as long as the model's arrays. Nothing happens where NumPy is in use.
        """
        prepare(self._layers())
        return self

    def _layers(self) -> list[dict[str, Any]]:
        """The "weight" and "bias" of every linear layer and layer norm."""
        layers, branches = [], [self.weights]
        for branch in branches:
            branches += [
                part
                for value in branch.values()
                for part in (value if isinstance(value, list) else [value])
                if isinstance(part, dict)
            ]
            if {"weight", "bias"} <= branch.keys():
                layers.append(branch)
        return layers

    def __getstate__(self) -> dict[str, Any]:
        """What copy and pickle take: packed weights are not part of it."""
        frozen = [name for name, value in flatten(self.weights).items() if is_frozen(value)]
        return {**self.__dict__, "_frozen": frozen}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Freeze again what was frozen: copies that NumPy makes can be written to."""
        frozen = state.pop("_frozen")
        self.__dict__.update(state)
        flat = flatten(self.weights)
        self.weights = nest(flat | {name: freeze(flat[name]) for name in frozen})

    def _take_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """Keep the options of this class, return those of the config, refuse the rest."""
        known = [f.name for f in fields(ErnieMConfig) if f.name != "extra"]
        known += ["num_labels", "attention_mask_convention", *ALIASES]
        for name in options:
            if name not in known:
                raise ValueError(f"unknown option {name!r}{nearest(name, known)}")
        return options

    def save_pretrained(self, folder: str | os.PathLike, max_shard_size: int | str = "5GB") -> None:
        """Write config.json and model.safetensors, or shards of at most `max_shard_size`.

        A crash in the middle never leaves half a checkpoint under the final name.
        """
        write_folder(folder, flatten(self.weights), max_shard_size)
        self.config.architectures = [type(self).__name__]
        self.config.save_pretrained(folder)

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Number of weights, without those of the embedding tables if told so.

        only_trainable is here for upstream's sake: every weight is trainable.
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
        after = also_pruned(self.config, heads_to_prune)
        flat = without_heads(flatten(self.weights), self.config, after)
        self.config.pruned_heads = after.pruned_heads
        self._settle(self.config, flat, self.dtype)

    def get_input_embeddings(self) -> np.ndarray:
        """The word embedding, a read-only (V, D) array; in upstream a module that holds it."""
        return self._encoder_weights["embeddings"]["word_embeddings"]["weight"]

    def set_input_embeddings(self, value: Any) -> None:
        """Replace the word embedding by a copy of `value`, (V, D) floats."""
        self._settle(self.config, with_table(flatten(self.weights), value), self.dtype)

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
            Rows of the word embedding. Left out, their number stays, but for rounding.
        pad_to_multiple_of : int, optional
            Round the number up to a multiple of this.
        seed : int
            New rows are drawn at random from it, normal with initializer_range.

        Returns
        -------
        (V, D) array
            The new word embedding; config.vocab_size is its V.
        """
        count = self.config.vocab_size if new_num_tokens is None else new_num_tokens
        count = rounded_up(count, 1 if pad_to_multiple_of is None else pad_to_multiple_of)
        if count != self.config.vocab_size:
            flat = with_words(flatten(self.weights), count, self.config, seed)
            self.config.vocab_size = count
            self._settle(self.config, flat, self.dtype)
        return self.get_input_embeddings()

    def eval(self) -> "ErnieMPreTrainedModel":
        """Return the model, so that scripts written for torch run: there is no training mode."""
        return self

    def forward(self, *args: Any, **kwargs: Any) -> ModelOutput | tuple:
        """Defined by each model."""
        raise TypeError(f"{type(self).__name__} has no forward pass; use one of its subclasses")

    def __call__(self, *args: Any, **kwargs: Any) -> ModelOutput | tuple:
        """Run `forward`; an argument that it does not have is a TypeError that helps."""
        known = _parameters(type(self).forward)
        for name in kwargs:
            if name == "token_type_ids":
                raise TypeError("token_type_ids: ERNIE-M has no token types; leave them out")
            if name not in known:
                raise TypeError(f"unknown argument {name!r}{nearest(name, list(known))}")
        return self.forward(*args, **kwargs)

    def _encode(self, arguments: Mapping[str, Any]) -> Encoded:
        """Run the encoder on those arguments of a forward pass that are the encoder's."""
        chosen = {name: arguments[name] for name in ENCODER_ARGUMENTS if name in arguments}
        chosen.setdefault("use_cache", False)  # a head without this argument returns no cache
        inputs = prepare_inputs(self.config, self.dtype, **chosen)
        encoded = encode_chunked(inputs, self._encoder_weights, self.config)
        if inputs.input_ids is not None:
            firsts = encoded.last_hidden_state[..., 0]  # of a normed vector: NaN where any is
            if not math.isfinite(sum(firsts.ravel().tolist())):
                warn_of_nan_rows(self._encoder_weights, inputs.input_ids)
        return encoded

    @property
    def _encoder_weights(self) -> dict[str, Any]:
        return self.weights.get(PREFIX[:-1], self.weights)

    def _output(
        self, kind: type[ModelOutput], encoded: Encoded, return_dict: bool | None, **results: Any
    ) -> ModelOutput | tuple:
        """The results and what the encoder was asked to keep, named or as a tuple."""
        kept = {
            "past_key_values": encoded.key_values,
            "hidden_states": encoded.hidden_states,
            "attentions": encoded.attentions,
        }
        output = kind(**results, **{name: tuple(value) for name, value in kept.items() if value})
        named = self.config.return_dict if return_dict is None else return_dict
        return output if named else output.to_tuple()


@functools.cache
def _parameters(function: Callable) -> tuple[str, ...]:
    """The names of a method's arguments; to look them up takes as long as a layer of a query."""
    return tuple(inspect.signature(function).parameters)[1:]  # without self


def _checked_dtype(dtype: Any) -> np.dtype:
    try:
        checked = np.dtype(dtype)
    except TypeError:
        checked = None
    if checked is None or checked.name not in DTYPES:
        raise ValueError(f"dtype {dtype!r} is not one of {', '.join(DTYPES)}")
    return checked
