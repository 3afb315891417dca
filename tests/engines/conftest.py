"""Fixtures of the tests of engines."""

import json

import pytest

from tests.engines.block_runs import TEXTS


@pytest.fixture
def texts(tmp_path):
    """A folder with files of 7, 8, ... rows."""
    folder = tmp_path / "in"
    folder.mkdir()
    for n in range(8):
        rows = [{"text": TEXTS[(n + i) % 5] + " now" * i, "id": i} for i in range(7 + n)]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{n}.jsonl").write_text(lines, encoding="utf-8")
    return folder
