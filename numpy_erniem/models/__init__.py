"""The models: a config, weights, and the functions of `encoder` and `heads` behind one interface.

The signatures are upstream's, argument by argument; mind that their order differs from class to
class. `self._encode(locals())`, first thing in every forward pass, hands the encoder its share.
Unlike upstream's, the heads honour config.return_dict where return_dict is left out, and what is
left out of the labels of spans, or cannot be a label, is an error.
"""

import os
from typing import Any

from numpy_erniem.checkpoint.folder import read_checkpoint
from numpy_erniem.checkpoint.hub import resolve_folder
from numpy_erniem.checks import nearest
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.models.base import ErnieMModel
from numpy_erniem.models.pretrained import ErnieMPreTrainedModel
from numpy_erniem.models.spans import ErnieMForInformationExtraction, ErnieMForQuestionAnswering
from numpy_erniem.models.texts import ErnieMForMultipleChoice, ErnieMForSequenceClassification
from numpy_erniem.models.tokens import ErnieMForMaskedLM, ErnieMForTokenClassification

MODELS = (
    ErnieMModel,
    ErnieMForSequenceClassification,
    ErnieMForMultipleChoice,
    ErnieMForTokenClassification,
    ErnieMForQuestionAnswering,
    ErnieMForInformationExtraction,
    ErnieMForMaskedLM,
)
ARCHITECTURES = {model.__name__: model for model in MODELS}
ARCHITECTURES["UIEM"] = ErnieMForInformationExtraction  # its name in PaddleNLP

__all__ = [*(model.__name__ for model in MODELS), "load"]


def load(name: str | os.PathLike, **options: Any) -> ErnieMPreTrainedModel:
    """Load a model as the class that the `architectures` of its config.json name.

    Parameters
    ----------
    name : path or str
        Folder with config.json and the weights, or a name on the Hugging Face hub; without
        `architectures` it is an `ErnieMModel`.
    **options
        As of `from_pretrained`.

    Raises
    ------
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
    of_hub = ("revision", "cache_dir", "local_files_only")
    folder = resolve_folder(name, **{key: options.pop(key) for key in of_hub if key in options})
    config = options.get("config")
    config = config or ErnieMConfig.from_values(read_checkpoint(folder)[0], folder)
    architecture = (config.architectures or [ErnieMModel.__name__])[0]
    if architecture not in ARCHITECTURES:
        raise ValueError(
            f"{folder} holds a {architecture!r}{nearest(architecture, list(ARCHITECTURES))}; "
            "call from_pretrained of a class to load it as that"
        )
    return ARCHITECTURES[architecture].from_pretrained(folder, **options)
