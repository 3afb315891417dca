"""The models: a config, weights, and the functions of `encoder` and `heads` behind one interface.

The signatures are upstream's, argument by argument; their order differs from class to class.
Unlike upstream's, the heads follow config.return_dict where return_dict is left out. One label of
a span without the other, or a label that is out of range, is an error.
"""

import os
from typing import Any, Literal, overload

from numpy_erniem.checks import nearest, warn
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.models.base import ErnieMModel
from numpy_erniem.models.loading import Checkpoint, open_checkpoint
from numpy_erniem.models.pretrained import ErnieMPreTrainedModel, LoadingInfo
from numpy_erniem.models.schema import BASE_MODEL, DROPPED_HEAD, PADDLE_CLASSES, schema_of
from numpy_erniem.models.spans import ErnieMForInformationExtraction, ErnieMForQuestionAnswering
from numpy_erniem.models.texts import ErnieMForMultipleChoice, ErnieMForSequenceClassification
from numpy_erniem.models.tokens import ErnieMForMaskedLM, ErnieMForTokenClassification

MODELS: dict[str, type[ErnieMPreTrainedModel[Any]]] = {
    model.__name__: model
    for model in (
        ErnieMModel,
        ErnieMForSequenceClassification,
        ErnieMForMultipleChoice,
        ErnieMForTokenClassification,
        ErnieMForQuestionAnswering,
        ErnieMForInformationExtraction,
        ErnieMForMaskedLM,
    )
}

__all__ = [
    "ErnieMForInformationExtraction",
    "ErnieMForMaskedLM",
    "ErnieMForMultipleChoice",
    "ErnieMForQuestionAnswering",
    "ErnieMForSequenceClassification",
    "ErnieMForTokenClassification",
    "ErnieMModel",
    "load",
]


@overload
def load(
    model: str | os.PathLike[str] | None = None,
    *,
    output_loading_info: Literal[True],
    **options: Any,
) -> tuple[ErnieMPreTrainedModel[Any], LoadingInfo]: ...


@overload
def load(
    model: str | os.PathLike[str] | None = None,
    *,
    output_loading_info: Literal[False] = False,
    **options: Any,
) -> ErnieMPreTrainedModel[Any]: ...


def load(
    model: str | os.PathLike[str] | None = None,
    *,
    config: ErnieMConfig | None = None,
    **options: Any,
) -> ErnieMPreTrainedModel[Any] | tuple[ErnieMPreTrainedModel[Any], LoadingInfo]:
    """Load a model as the class that the `architectures` of its config.json name.

    Parameters
    ----------
    model : path or str
        Folder with config.json and the weights, or a name on the Hugging Face hub; without
        `architectures` it is an `ErnieMModel`. It may also be given as
        `pretrained_model_name_or_path`.
    config : ErnieMConfig, optional
        Instead of the folder's.
    **options
        Others as of `from_pretrained`, such as revision.

    Returns
    -------
    model, or (model, dict) with output_loading_info=True

    Raises
    ------
    FileNotFoundError
        No such folder, no config.json, no checkpoint, or a missing shard.
    ValueError
        Another architecture. Call `from_pretrained` of a class to load it as that.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> config = ErnieMConfig(vocab_size=99, hidden_size=12, num_attention_heads=3,
    ...                       num_hidden_layers=2, intermediate_size=37)
    >>> with TemporaryDirectory() as folder:
    ...     ErnieMForMultipleChoice(config).save_pretrained(folder)
    ...     type(load(folder)).__name__
    'ErnieMForMultipleChoice'
    """
    checkpoint = open_checkpoint(model, config, options)
    named = checkpoint.make_config({}).architectures or [BASE_MODEL]
    schema = schema_of(named[0])
    if schema is None:
        known = [*MODELS, *PADDLE_CLASSES]
        raise ValueError(
            f"{checkpoint.folder} holds a {named[0]!r}{nearest(named[0], known)}; "
            "call from_pretrained of a class to load it as that"
        )
    if schema.name == BASE_MODEL:
        _warn_of_dropped_head(checkpoint)
    return MODELS[schema.name]._from_checkpoint(checkpoint, **options)


def _warn_of_dropped_head(checkpoint: Checkpoint) -> None:
    """Say that the source of a converted encoder has a head, if it has one."""
    dropped = checkpoint.values.get(DROPPED_HEAD)
    if isinstance(dropped, list) and dropped:
        warn(
            f"{checkpoint.folder}: the source has a head ({len(dropped)} tensors, such as "
            f"{str(dropped[0])[:100]}), and the conversion kept the encoder alone, because the "
            "source's config.json names a class without a head"
        )
