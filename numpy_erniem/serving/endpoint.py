"""What the endpoints with a model do alike: fields of a request, options, the form of a reply."""

from typing import Any, ClassVar

from numpy_erniem.checkpoint.json_files import to_json
from numpy_erniem.pipelines.base import Pipeline
from numpy_erniem.pipelines.tokens import TextTooLongError
from numpy_erniem.serving.errors import (
    MISSING,
    TOO_LONG,
    WRONG_TYPE,
    WRONG_VALUE,
    RequestError,
)
from numpy_erniem.serving.jobs import Job
from numpy_erniem.serving.schemas import (
    STRING,
    Schema,
    SchemaError,
    any_of,
    check_schema,
    list_of,
    one_of,
    record,
)
from numpy_erniem.serving.settings import OVERFLOWS

Body = dict[str, Any]
MODEL: Schema = STRING | {"description": "a name of /v1/models; may be left out if there is one"}
OVERFLOW: Schema = one_of(*OVERFLOWS) | {"description": "what is done with a text that is too long"}
TEXT_OR_TEXTS = any_of(STRING, list_of(STRING))
CUT: Schema = {
    "type": "array",
    "items": {"type": "integer"},
    "description": "the items whose end was left out; absent if there is none",
}
NOTES: dict[str, Schema] = {  # as `notes_of` gives them
    "cut": CUT,
    "warnings": {"type": "array", "items": STRING, "description": "of the pipeline; or absent"},
}


class Endpoint:
    """A path that runs a pipeline.

    Attributes
    ----------
    path : str
    aliases : tuple of str
        Further paths.
    task : str
        What /v1/models calls it.
    summary : str
    pipeline : class
    fields : dict of str to schema
        Of a request; others are ignored, and null is the same as left out.
    required : tuple of str
    options : tuple of str
        Fields that are options of the pipeline.
    run_options : tuple of str
        Those of them that are read while the model runs: requests that differ there are not in one
        batch.
    on_overflow : str
        Where neither the request nor the server says it.
    param : str
        The field with the items.
    """

    path: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    task: ClassVar[str]
    summary: ClassVar[str]
    pipeline: ClassVar[type[Pipeline[Any]]]
    fields: ClassVar[dict[str, Schema]]
    required: ClassVar[tuple[str, ...]] = ("input",)
    options: ClassVar[tuple[str, ...]] = ()
    run_options: ClassVar[tuple[str, ...]] = ()
    on_overflow: ClassVar[str] = "window"
    param: ClassVar[str] = "input"
    reply_schema: ClassVar[Schema]

    @property
    def request_schema(self) -> Schema:
        """Of a request."""
        return record(self.required, **self.fields, model=MODEL, on_overflow=OVERFLOW)

    def parse(self, body: Any) -> Body:
        """The fields of a request that this endpoint knows, checked.

        Raises
        ------
        RequestError
            The request is no object, a field is missing, or one has a wrong value.
        """
        if not isinstance(body, dict):
            raise RequestError(400, "the body is not a JSON object; send one", None, WRONG_TYPE)
        known = self.request_schema["properties"]
        given = {name: body[name] for name in known if body.get(name) is not None}
        for name in self.required:
            if name not in given:
                raise RequestError(400, f"the request has no {name!r}", name, MISSING)
        for name, value in given.items():
            try:
                check_schema(value, known[name], name)
            except SchemaError as error:
                raise RequestError(400, str(error), error.place, error.code) from None
        return given

    def items(self, body: Body) -> list[Any]:
        """The items of a request, as the pipeline's `check` takes them."""
        given = body[self.param]
        return given if isinstance(given, list) else [given]

    def option_values(self, body: Body) -> dict[str, Any]:
        """The options of the pipeline that a request gives."""
        return {name: body[name] for name in self.options if name in body}

    def task_of(self, pipeline: Pipeline[Any], body: Body, on_overflow: str | None) -> Any:
        """The pipeline with the options of a request.

        Parameters
        ----------
        pipeline : Pipeline
        body : dict
            As `parse` gives it.
        on_overflow : str, optional
            Of the server.

        Returns
        -------
        Pipeline

        Raises
        ------
        RequestError
            An option has a wrong value.
        """
        overflow = body.get("on_overflow", on_overflow or self.on_overflow)
        values = self.option_values(body)
        try:
            return pipeline.with_options(**values, on_overflow=overflow)
        except (ValueError, TypeError) as error:
            named = [name for name in values if str(error).startswith(name)]
            code = TOO_LONG if isinstance(error, TextTooLongError) else WRONG_VALUE
            raise RequestError(400, str(error), named[0] if named else None, code) from None

    def key(self, body: Body) -> tuple[Any, ...]:
        """Requests with equal keys may run in one batch."""
        return (self.task, *(body.get(name) for name in self.run_options))

    def place(self, n: int, body: Body) -> str:
        """What an error calls an item."""
        return f"{self.param}[{n}]" if isinstance(body[self.param], list) else self.param

    def reply(self, body: Body, job: Job, model: str) -> bytes:
        """The body of a response.

        Parameters
        ----------
        body : dict
            Of the request.
        job : Job
            With its results.
        model : str
            Its name.

        Returns
        -------
        bytes
            JSON.
        """
        rows = [{"index": n} | self.row(result) for n, result in enumerate(job.results)]
        return as_json({"model": model, "data": rows} | notes_of(job))

    def row(self, result: Any) -> dict[str, Any]:
        """The result of an item as an object of the reply."""
        raise NotImplementedError


def notes_of(job: Job) -> dict[str, Any]:
    """What a reply says about items that were cut, and of what the pipeline warned."""
    told = {"cut": job.cut, "warnings": job.notes}
    return {name: value for name, value in told.items() if value}


def as_json(value: Any) -> bytes:
    """A value as JSON in UTF-8."""
    return to_json(value).encode()


def data_schema(**properties: Schema) -> Schema:
    """Of a reply with an object for each item."""
    row = record(("index", *properties), index={"type": "integer"}, **properties)
    data: Schema = {"type": "array", "items": row}
    return record(("model", "data"), model=STRING, data=data, **NOTES)
