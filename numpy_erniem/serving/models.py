"""The models of a server: each is loaded once, with a pipeline for each task of its heads."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy_erniem.checkpoint.config_files import read_config
from numpy_erniem.checkpoint.hub import resolve_folder
from numpy_erniem.checkpoint.sentence_settings import read_sentence_settings
from numpy_erniem.models.schema import BASE_MODEL, schemas_of
from numpy_erniem.pipelines.base import Pipeline
from numpy_erniem.pipelines.pooling import warn_of_a_guess
from numpy_erniem.serving.batching import Runner
from numpy_erniem.serving.embeddings import Embeddings, TokenEmbedder
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
TASKS = {  # of the classes that give no vectors
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
    """Load a model and make the pipelines of each class that its config.json names.

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
    FileNotFoundError, ValueError
        As of `from_pretrained`.
    """
    folder = resolve_folder(place, **(options or {}))
    schemas = schemas_of(read_config(folder).get("architectures"))
    classes = [schema.name for schema in schemas] or [BASE_MODEL]
    pipelines: dict[str, Pipeline[Any]] = {}
    for tasks in (TASKS[name] for name in classes if name in TASKS):
        pipelines |= _of_a_head(folder, tasks, dtype)
    if not TASKS.keys() >= set(classes):
        pipelines[Embeddings.task] = _embedder(folder, pipelines, dtype)
    return ServedModel(name, pipelines)


def _of_a_head(folder: Path, tasks: tuple[str, ...], dtype: str | None) -> dict[str, Pipeline[Any]]:
    """The pipelines of a head, which share the model; without those that it does not fit."""
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
    return pipelines


def _embedder(
    folder: Path, pipelines: Mapping[str, Pipeline[Any]], dtype: str | None
) -> TokenEmbedder:
    """The pipeline of vectors, over the encoder of a pipeline with a head if there is one."""
    for pipeline in pipelines.values():
        if pipeline.model.pooling:  # so its encoder has all that an ErnieMModel has
            settings = read_sentence_settings(folder)
            warn_of_a_guess(settings, folder)
            return TokenEmbedder(pipeline.model.base_model, pipeline.tokenizer, settings)
    return TokenEmbedder.from_pretrained(folder, dtype=dtype)
