"""A record → the page: template, style, script and numbers in one file."""

import base64
import html
import json
import re
from importlib import resources
from typing import Any

import numpy as np


def make_page(record: dict[str, Any]) -> str:
    """Put a record into the template.

    Parameters
    ----------
    record : dict
        From `make_record`.

    Returns
    -------
    str
        HTML that loads nothing.
    """
    folder = resources.files(__package__)
    page = (folder / "page.html").read_text(encoding="utf-8")
    parts = {
        "TITLE": html.escape(f"How {record['model']} reads: {record['texts'][0][:60]}"),
        "STYLE": (folder / "page.css").read_text(encoding="utf-8"),
        "SCRIPT": (folder / "page.js").read_text(encoding="utf-8"),
        "RECORD": as_json(record),
    }
    return re.sub(r"\{\{([A-Z]+)\}\}", lambda mark: parts[mark[1]], page)


def as_json(record: dict[str, Any]) -> str:
    """JSON that may stand in a script element; an array becomes its shape and base64 of float32."""
    text = json.dumps(record, ensure_ascii=False, default=_encode)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _encode(value: Any) -> dict[str, Any]:
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{type(value).__name__} has no place in a page")
    data = np.ascontiguousarray(value, "<f4")
    return {"shape": list(data.shape), "base64": base64.b64encode(data).decode("ascii")}
