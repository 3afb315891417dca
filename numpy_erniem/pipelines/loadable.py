"""A model and a tokenizer with options: from a folder, with other options, as a pickle."""

import copy
import inspect
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from numpy.typing import DTypeLike

from numpy_erniem.checkpoint.config_files import architecture_of, read_config
from numpy_erniem.checkpoint.hub import bundled_checkpoint, resolve_folder
from numpy_erniem.checkpoint.keywords import HUB_KEYWORDS, take_hub_keywords
from numpy_erniem.checks import nearest, table
from numpy_erniem.models import MODELS
from numpy_erniem.models.padding import check_pad_token
from numpy_erniem.models.precision import checked_precision
from numpy_erniem.models.pretrained import ErnieMPreTrainedModel
from numpy_erniem.models.schema import schemas_of
from numpy_erniem.tokenizer import ErnieMTokenizer

P = TypeVar("P", bound="Loadable")


class Loadable:
    """What a checkpoint gives a pipeline, and the options of the pipeline.

    The keyword arguments of a subclass's constructor are its options, each in the attribute of the
    same name.
    """

    model_class: ClassVar[str] = "ErnieMModel"  # which the task needs
    checkpoints: ClassVar[str] = ""  # some that are of this class, for an error
    model: Any
    tokenizer: ErnieMTokenizer
    _source: Path | None = None  # where model and tokenizer came from
    _dtype: str | None = None  # that was asked for
    _loaded: Any = None  # the model that came from there

    def __init__(self, model: Any, tokenizer: ErnieMTokenizer) -> None:
        self.model = model
        self.tokenizer = tokenizer

    @classmethod
    def from_pretrained(
        cls: type[P],
        model: str | os.PathLike[str] | None = None,
        *,
        dtype: DTypeLike | None = None,
        **options: Any,
    ) -> P:
        """Load a model and its tokenizer.

        Parameters
        ----------
        model : path or str, optional
            A folder, or a name on the Hugging Face hub; None is the bundled checkpoint.
        dtype : {"float32", "bfloat16", "int8"}, optional
            Of the arithmetic, as of a model's `from_pretrained`; left out, as the checkpoint says.
        **options
            Of the constructor; and where the model is: revision, cache_dir, local_files_only,
            subfolder, token and force_download, as of
            `numpy_erniem.checkpoint.keywords.HubOptions`.

        Returns
        -------
        pipeline

        Raises
        ------
        FileNotFoundError
            There is no such model, or a file of it is missing.
        TypeError
            There is no such option.
        ValueError
            A file is damaged; the model has not the head that the task needs; model and tokenizer
            pad with different tokens; an option has a wrong value.
        """
        hub = take_hub_keywords(options)
        torch_dtype = options.pop("torch_dtype", None)
        _check_names(cls, options, (*HUB_KEYWORDS, "dtype"))
        asked = checked_precision(dtype, torch_dtype)
        return cls._open(resolve_folder(model, **hub), asked).with_options(**options)

    @classmethod
    def _open(cls: type[P], folder: Path, dtype: str | None = None) -> P:
        """Make the pipeline of a folder, without options."""
        with ThreadPoolExecutor(1) as executor:  # SentencePiece releases the GIL while it loads
            loading = executor.submit(copy_context().run, ErnieMTokenizer.from_pretrained, folder)
            model = cls._load_model(folder, dtype)  # here, so that its warnings name the caller
        pipeline = cls(model, loading.result())
        pipeline._source, pipeline._dtype, pipeline._loaded = folder, dtype, model
        return pipeline

    @classmethod
    def _load_model(cls, folder: Path, dtype: str | None) -> Any:
        """The model of a folder; ValueError where it has not the head that the task needs."""
        values = read_config(folder)
        names = [schema.name for schema in schemas_of(values.get("architectures"))]
        is_ernie_m = values.get("model_type", "ernie_m") == "ernie_m"  # else from_pretrained raises
        if is_ernie_m and cls.model_class not in ("ErnieMModel", *names):
            name = (names or [architecture_of(values) or "ErnieMModel"])[0]
            there = (
                "the bundled checkpoint has no head for it"
                if folder == bundled_checkpoint()
                else f"{folder} holds an {name}"
            )
            raise ValueError(
                f"{there}; {cls.__name__} needs an {cls.model_class}, such as {cls.checkpoints}"
            )
        return MODELS[cls.model_class].from_pretrained(folder, dtype=dtype).prepare()

    def with_options(self: P, **options: Any) -> P:
        """The same pipeline with other options; the model is shared.

        Parameters
        ----------
        **options
            Of the constructor, except model and tokenizer.

        Returns
        -------
        pipeline

        Raises
        ------
        TypeError
            There is no such option.
        ValueError
            An option has a wrong value.
        """
        _check_names(type(self), options)
        other = copy.copy(self)
        for name, value in options.items():
            setattr(other, name, value)
        other.check_options()
        return other

    def check_options(self) -> None:
        """Raise a ValueError for an option with a wrong value, a TypeError for what is no model.

        Subclasses call this method, too: model and tokenizer have to pad with the same token, and a
        model of this package has to have the head that the task needs.
        """
        name, needed = type(self.model).__name__, self.model_class
        if not hasattr(self.model, "config"):
            raise TypeError(
                f"model is a {name}, which has no config; give a model, or load a folder with "
                f"{type(self).__name__}.from_pretrained"
            )
        wrong = isinstance(self.model, ErnieMPreTrainedModel) and needed != "ErnieMModel"
        if wrong and not isinstance(self.model, MODELS[needed]):
            raise ValueError(
                f"the model is an {name}; {type(self).__name__} needs an {needed}, such as "
                f"{self.checkpoints}"
            )
        check_pad_token(self.model.config, self.tokenizer)

    def _options(self) -> dict[str, Any]:
        """The options by name, as they are now."""
        return {name: getattr(self, name) for name in _option_names(type(self))}

    def __repr__(self) -> str:
        given = {name: value for name, value in self._options().items() if value is not None}
        options = "".join(f", {name}={value!r}" for name, value in given.items())
        return f"{type(self).__name__}({self.model!r}{options})"

    def __str__(self) -> str:
        return table(type(self).__name__, {"model": repr(self.model), **self._options()})

    def _from_source(self) -> tuple[str, ...]:
        """Attributes that hold what was read from the source."""
        return ("model", "tokenizer", "_loaded")

    def __getstate__(self) -> dict[str, Any]:
        """Options and a path, where the model came from a path: it is loaded again there."""
        state = dict(self.__dict__)
        if self._source is not None and self.model is self._loaded:
            for name in self._from_source():
                del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._source is not None and "_loaded" not in state:
            loaded = _open_once(type(self), self._source, self._dtype)
            self.__dict__ |= {name: getattr(loaded, name) for name in self._from_source()}

    def __copy__(self: P) -> P:
        other = object.__new__(type(self))
        other.__dict__ |= self.__dict__
        return other

    def __deepcopy__(self: P, memo: dict[int, Any]) -> P:
        return copy.copy(self)  # model and tokenizer do not change, so they are shared


@lru_cache(maxsize=4)
def _open_once(cls: type[P], folder: Path, dtype: str | None) -> P:
    """The pipeline of a folder: once per process, for all that are unpickled."""
    return cls._open(folder, dtype)


def _option_names(cls: type[Loadable]) -> list[str]:
    """Names of the keyword arguments of a constructor."""
    parameters = inspect.signature(cls.__init__).parameters.values()
    return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]


def _check_names(cls: type[Loadable], options: dict[str, Any], more: Iterable[str] = ()) -> None:
    """Raise a TypeError for an unknown option; the error may name one of `more`."""
    known = _option_names(cls)
    for name in options:
        if name not in known:
            raise TypeError(
                f"{cls.__name__} has no option {name!r}{nearest(name, [*known, *more])}"
            )
