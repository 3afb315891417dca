"""The models of a server: each is loaded once, with a pipeline for each task of its head."""

import time
from collections.abc import Mapping
from typing import Any

from numpy_erniem.checkpoint.config_files import architecture_of, read_config
from numpy_erniem.checkpoint.hub import resolve_folder
from numpy_erniem.models.schema import schema_of
from numpy_erniem.pipelines.base import Pipeline
from numpy_erniem.serving.batching import Runner
from numpy_erniem.serving.embeddings import Embeddings
from numpy_erniem.serving.endpoint import Endpoint
from numpy_erniem.serving.rerank import Rerank, TextsRerank
from numpy_erniem.serving.settings import Settings
from numpy_erniem.serving.text_tasks import Answer, Classify, Extract, Tag

ENDPOINTS: tuple[Endpoint, ...] = (
    Embeddings(),
    Rerank(),
    TextsRerank(),
    Classify(),
    Tag(),
    Answer(),
    Extract(),
)
PIPELINES = {endpoint.task: endpoint.pipeline for endpoint in ENDPOINTS}
TASKS = {
    "ErnieMForSequenceClassification": ("classify", "rerank"),
    "ErnieMForTokenClassification": ("tag",),
    "ErnieMForQuestionAnswering": ("answer",),
    "ErnieMForInformationExtraction": ("extract",),
}


class ServedModel:
    """A model with its pipelines and the thread that runs them.

    Parameters
    ----------
    name : str
        By which requests choose it.
    pipelines : dict of task to Pipeline
        Which share the model.
    """

    def __init__(self, name: str, pipelines: dict[str, Pipeline[Any]]) -> None:
        self.name = name
        self.pipelines = pipelines
        self.created = int(time.time())
        self.runner: Runner | None = None

    def start(self, settings: Settings, observe: Any) -> Runner:
        """Start the thread that runs the model."""
        self.runner = Runner(
            batch_tokens=settings.batch_tokens,
            batch_wait=settings.batch_wait,
            max_waiting=settings.max_waiting,
            max_text_tokens=settings.max_text_tokens,
            observe=observe,
        )
        self.runner.start()
        return self.runner

    def describe(self) -> dict[str, Any]:
        """The model as /v1/models lists it."""
        return {
            "id": self.name,
            "object": "model",
            "created": self.created,
            "owned_by": "numpy_erniem",
            "tasks": sorted(self.pipelines),
        }


def load_model(
    name: str,
    place: str | None,
    options: Mapping[str, Any] | None = None,
    dtype: str | None = None,
) -> ServedModel:
    """Load a model and make the pipelines of its head.

    Parameters
    ----------
    name : str
    place : path or str, optional
        A folder, or a name on the hub; left out, the bundled checkpoint.
    options : mapping, optional
        Where the model is, as of `from_pretrained`.
    dtype : {"float32", "bfloat16", "int8"}, optional
        Of the arithmetic, as there.

    Returns
    -------
    ServedModel

    Raises
    ------
    ValueError
        The model has a head that no endpoint takes.
    """
    folder = resolve_folder(place, **(options or {}))
    architecture = architecture_of(read_config(folder))
    schema = schema_of(architecture)  # PaddleNLP has other names for some classes
    tasks = TASKS.get(architecture if schema is None else schema.name, ("embeddings",))
    first, *others = tasks
    pipeline = PIPELINES[first].from_pretrained(folder, dtype=dtype)
    pipelines = {first: pipeline}
    for task in others:
        other = PIPELINES[task](pipeline.model, pipeline.tokenizer)
        try:
            other.check_options()
        except ValueError:  # a classifier with several labels does not rerank
            continue
        pipelines[task] = other
    return ServedModel(name, pipelines)
