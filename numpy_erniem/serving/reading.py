"""The body of a request, understood: which model runs which items with which options."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from numpy_erniem.checkpoint.json_files import parse_json
from numpy_erniem.pipelines.base import Pipeline
from numpy_erniem.serving.endpoint import Body, Endpoint
from numpy_erniem.serving.errors import MISSING, TOO_LONG, TOO_MANY, RequestError
from numpy_erniem.serving.jobs import merges
from numpy_erniem.serving.models import ServedModel
from numpy_erniem.serving.settings import Settings

CHARACTERS = 16  # of a text for each token that it may have; a longer one is not tokenized


class Request(NamedTuple):
    """What is to be done.

    Attributes
    ----------
    body : dict
        The fields that the endpoint knows.
    model : ServedModel
    task : Pipeline
        With the options of the request.
    items : list
        As `task.check` gives them.
    places : list of str
        What an error calls each item.
    key : tuple
        Requests with equal keys may run in one batch.
    """

    body: Body
    model: ServedModel
    task: Pipeline[Any]
    items: list[Any]
    places: list[str]
    key: tuple[Any, ...]


def read_request(
    endpoint: Endpoint, content: bytes, models: Mapping[str, ServedModel], settings: Settings
) -> Request:
    """Understand the body of a request.

    Parameters
    ----------
    endpoint : Endpoint
    content : bytes
        JSON in UTF-8.
    models : mapping of name to ServedModel
    settings : Settings
        How many texts, and how long ones, are taken.

    Returns
    -------
    Request

    Raises
    ------
    RequestError
        The request is wrong.
    """
    try:
        body = endpoint.parse(parse_json("the body", content))
    except ValueError as error:
        raise RequestError(400, str(error), code="invalid_json") from None
    model = choose_model(endpoint, body.get("model"), models)
    task = endpoint.task_of(model.pipelines[endpoint.task], body, settings.on_overflow)
    given = endpoint.items(body)
    if len(given) > settings.max_texts:
        message = f"{endpoint.param} has {len(given)} items; at most {settings.max_texts} are taken"
        raise RequestError(400, message, endpoint.param, TOO_MANY)
    places = [endpoint.place(n, body) for n in range(len(given))]
    longest = CHARACTERS * settings.max_text_tokens
    items = [_check(task, *pair, longest) for pair in zip(given, places, strict=True)]
    key = endpoint.key(body) if merges(task) else (endpoint.task, id(body))
    return Request(body, model, task, items, places, key)


def choose_model(
    endpoint: Endpoint, name: str | None, models: Mapping[str, ServedModel]
) -> ServedModel:
    """The model of a request.

    Parameters
    ----------
    endpoint : Endpoint
    name : str, optional
        Left out, the only model with the head.
    models : mapping of name to ServedModel

    Returns
    -------
    ServedModel

    Raises
    ------
    RequestError
        There is none of that name, it has not the head, or one has to be named.
    """
    able = [model for model in models.values() if endpoint.task in model.pipelines]
    names = ", ".join(model.name for model in able) or "none"
    if name is None:
        if len(able) != 1:
            message = f"the request has no 'model'; for {endpoint.path}: {names}"
            raise RequestError(400, message, "model", MISSING)
        return able[0]
    if name not in models:
        message = f"there is no model {name[:100]!r} here; see /v1/models"
        raise RequestError(404, message, "model", "model_not_found")
    if models[name] not in able:
        message = f"the model {name!r} has no head for {endpoint.path}; for that: {names}"
        raise RequestError(400, message, "model", "wrong_model")
    return models[name]


def _check(task: Pipeline[Any], item: Any, place: str, longest: int) -> Any:
    """An item as the task takes it."""
    try:
        checked = task.check(item, place)
    except (ValueError, TypeError) as error:
        raise RequestError(400, str(error), place) from None
    if task.size_of(checked) > longest:
        message = f"{place} has more than {longest} characters, the most that are taken"
        raise RequestError(400, message, place, TOO_LONG)
    return checked
