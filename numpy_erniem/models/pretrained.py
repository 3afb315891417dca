"""What all models share: how they come from and go to a folder, and how their shape changes."""

import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from numpy_erniem.backend.dispatch import prepare
from numpy_erniem.backend.frozen import freeze, is_frozen
from numpy_erniem.checkpoint.folder import write_folder
from numpy_erniem.checkpoint.keywords import take_saving
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.models.describing import as_table, in_a_line
from numpy_erniem.models.loading import Checkpoint, open_checkpoint
from numpy_erniem.models.network import Network, Output
from numpy_erniem.models.precision import Precision, checked_precision, stored_floats
from numpy_erniem.models.resizing import (
    add_pruned_heads,
    remove_heads,
    replace_token_table,
    resize_vocabulary,
    round_up,
)
from numpy_erniem.models.weights import flatten, load_tensors, nest, trust_intermediate_size

LoadingInfo = dict[str, list[Any]]
Model = TypeVar("Model", bound="ErnieMPreTrainedModel[Any]")


class ErnieMPreTrainedModel(Network[Output]):
    """What all models share: a config, a nested dict of read-only weights, a folder on disk.

    Parameters
    ----------
    config : ErnieMConfig
        The model keeps a copy, so later changes of the one do not reach the other.
    seed : int
        The weights are drawn at random from it; use `from_pretrained` for trained ones.
    dtype : {"float32", "float64", "bfloat16", "int8"}, optional
        Of the arithmetic, as of `from_pretrained`. float64 is slow and for checking.
    """

    @overload
    @classmethod
    def from_pretrained(
        cls: type[Model],
        model: str | os.PathLike[str] | None = None,
        *,
        output_loading_info: Literal[True],
        **options: Any,
    ) -> tuple[Model, LoadingInfo]: ...

    @overload
    @classmethod
    def from_pretrained(
        cls: type[Model],
        model: str | os.PathLike[str] | None = None,
        *,
        config: ErnieMConfig | None = None,
        dtype: DTypeLike | None = None,
        seed: int = 0,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: Literal[False] = False,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        subfolder: str | os.PathLike[str] | None = None,
        token: str | bool | None = None,
        force_download: bool = False,
        **options: Any,
    ) -> Model: ...

    @classmethod
    def from_pretrained(
        cls: type[Model],
        model: str | os.PathLike[str] | None = None,
        *,
        config: ErnieMConfig | None = None,
        dtype: DTypeLike | None = None,
        seed: int = 0,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        **options: Any,
    ) -> Model | tuple[Model, LoadingInfo]:
        """Load a model; weights are mapped, not read, and stay as wide as in the file.

        Parameters
        ----------
        model : path or str
            Folder with config.json and model.safetensors, pytorch_model.bin or
            model_state.pdparams, or shards and their index; or a name on the Hugging Face hub. It
            may also be given as `pretrained_model_name_or_path`.
        config : ErnieMConfig, optional
            Instead of the folder's.
        dtype : {"float32", "float64", "bfloat16", "int8"}, optional
            Of the arithmetic in the linear maps of the encoder. Left out, it is float32, or int8
            for a checkpoint that was converted to it. "bfloat16": weights and inputs are rounded
            to it. "int8": the weights and the token table are quantized now. "float32" and
            "float64": int8 weights are widened in memory.
        seed : int
            For tensors that the folder does not have, such as a new head.
        ignore_mismatched_sizes : bool
            Draw tensors of another shape at random instead of raising.
        output_loading_info : bool
            Return (model, dict of missing_keys, unexpected_keys, mismatched_keys).
        **options
            Where the model is: revision, cache_dir, local_files_only, subfolder, token and
            force_download, as of `numpy_erniem.checkpoint.keywords.HubOptions`. Options of the
            model's class, such as add_pooling_layer; keys of the config to override, such as
            num_labels; `torch_dtype`, another name of `dtype`; and other keywords of loading, as
            of `ErnieMConfig.from_pretrained`.

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
        checkpoint = open_checkpoint(model, config, options)
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
        dtype: DTypeLike | None = None,
        torch_dtype: Any = None,
        seed: int = 0,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        **options: Any,
    ) -> Model | tuple[Model, LoadingInfo]:
        """A model from a checkpoint that is open; arguments as of `from_pretrained`."""
        model = cls.__new__(cls)
        asked = checked_precision(dtype, torch_dtype)
        overrides = model._take_options(options)
        model.config = checkpoint.make_config(overrides, model.schema)
        tensors = checkpoint.tensors_for(model.schema)
        trust_intermediate_size(model.config, tensors)
        flat, report = load_tensors(
            tensors,
            model.expected_shapes(model.config),
            model.config,
            source=checkpoint.folder,
            precision=model._take_precision(
                Precision(asked, model.config, checkpoint.folder, "quantization" in overrides)
            ),
            ignore_mismatched_sizes=ignore_mismatched_sizes,
            seed=seed,
        )
        model._set_weights(flat)
        return (model, report.as_dict()) if output_loading_info else model

    def prepare(self: Model) -> Model:
        """Pack every weight for the C kernels now, and return the model.

        Otherwise the first forward pass does it, and takes longer than the next ones. The packed
        weights live as long as the model's arrays. Nothing is packed where NumPy is in use.
        Arrays that can be written to are copied first, except in a model from `trainable`.
        """
        flat = flatten(self.weights)
        if not (self.trainable or all(map(is_frozen, flat.values()))):
            copies = {n: v if is_frozen(v) else freeze(np.array(v)) for n, v in flat.items()}
            self._set_weights(copies)
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

    def __repr__(self) -> str:
        return in_a_line(self)

    def __str__(self) -> str:
        return as_table(self)

    def __getstate__(self) -> dict[str, Any]:
        """What copy and pickle take: no packed weights, and nothing that a call changes.

        So a cache that looks up a model by its pickle finds it again after it was used.
        """
        frozen = [name for name, value in flatten(self.weights).items() if is_frozen(value)]
        return {**self.__dict__, "_was_checked": False, "_frozen": frozen}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Freeze again what was frozen: copies that NumPy makes can be written to."""
        frozen = state.pop("_frozen")
        self.__dict__.update(state)
        flat = flatten(self.weights)
        self.weights = nest(flat | {name: freeze(flat[name]) for name in frozen})

    def _take_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """Keep the options of this class, and return those of the config."""
        return options

    def save_pretrained(
        self,
        folder: str | os.PathLike[str] | None = None,
        max_shard_size: int | str = "5GB",
        **options: Any,
    ) -> None:
        """Write config.json and model.safetensors, or shards of at most `max_shard_size`.

        The folder may also be given as `save_directory`. Other options are those that ask for
        what is done anyway, such as safe_serialization=True and push_to_hub=False.

        A crash in the middle never leaves half a checkpoint under the final name. A ValueError
        for a wrong value in the config comes before anything is written.
        """
        folder = take_saving(folder, options)
        self.config.validate()  # before anything is written
        write_folder(folder, flatten(self.weights), max_shard_size)
        self.config.architectures = [type(self).__name__]
        self.config.torch_dtype = stored_floats(self._token_table["weight"], self.dtype)
        self.config.save_pretrained(folder)

    def prune_heads(self, heads_to_prune: Mapping[int, Iterable[int]]) -> None:
        """Remove attention heads for good, for a smaller and faster model.

        Parameters
        ----------
        heads_to_prune : dict of int to list of int
            Layer to heads, counted as in the full model from 0; {1: [0, 2]} takes the first and
            the third head of the second layer, {-1: [0]} the first of the last layer. Heads that
            are gone already may be named again.
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
