"""The log of a server: a JSON object in each line, without texts, keys and addresses of queries."""

import json
import logging
import os
import traceback
from datetime import datetime, timezone
from typing import Any

LOGGER = "erniem.serving"


class JsonFormatter(logging.Formatter):
    """A record of a log as one line of JSON.

    What an exception says is left out, as it may quote a text; its class and where it was raised
    are told.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        moment = datetime.fromtimestamp(record.created, timezone.utc)
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage()
            if record.name.startswith(("erniem", "uvicorn"))
            else record.name,
            "process": os.getpid(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            frames = traceback.extract_tb(record.exc_info[2])
            line["at"] = [f"{f.filename}:{f.lineno} {f.name}" for f in frames[-8:]]
        return json.dumps(line)


def log_config(level: str) -> dict[str, Any]:
    """The configuration of `logging`: every record to standard error, as JSON."""
    formatter = {"()": f"{__name__}.JsonFormatter"}
    handler = {"class": "logging.StreamHandler", "formatter": "json"}
    level = level.upper()
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": formatter},
        "handlers": {"stderr": handler},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            LOGGER: {"level": level},
            "uvicorn.error": {"level": "WARNING"},
        },
    }


def log(
    event: str, level: int = logging.INFO, error: Exception | None = None, **fields: Any
) -> None:
    """Write a line to the log.

    Parameters
    ----------
    event : str
        What happened.
    level : int
        Of `logging`.
    error : Exception, optional
        Whose class and place are told.
    **fields
        Further keys of the line. Never a text, or a key.
    """
    info = (type(error), error, error.__traceback__) if error is not None else None
    logging.getLogger(LOGGER).log(level, event, exc_info=info, extra={"fields": fields})
