"""The benchmark of the server: it compares vectors, and sees what a stop does to clients."""

import os

import numpy as np
import pytest

from numpy_erniem import Embedder, bundled_checkpoint
from tests.conftest import REPOSITORY

for package in ("starlette", "uvicorn", "prometheus_client"):
    pytest.importorskip(package)
serving = pytest.importorskip("benchmarks.serving")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of POSIX")


@pytest.fixture
def server():
    one = serving.Server(bundled_checkpoint())
    yield one
    if one.process.poll() is None:
        one.stop()
    one.process.stderr.close()


@pytest.mark.usefixtures("same_bits")
def test_clients_get_the_vectors_and_a_stop_loses_none(server, monkeypatch):
    want = Embedder.from_pretrained()(serving.make_texts())
    _, bodies = serving.run_clients(server, 4, 40)
    assert sum(map(bool, bodies)) == 40
    serving.check(bodies, want)
    with pytest.raises(serving.DifferentError, match="text 0"):
        serving.check(bodies, want + np.float32(1))
    rows = {row["what"]: row["median"] for row in serving.stop_under_load(server, 4)}
    assert rows["stop: exit code"] == 0
    assert rows["stop: 200 in the log"] == rows["stop: 200 at the clients"] > 0


def test_memory_is_that_of_the_server_after_each_part(server):
    *parts, files = serving.memory(server, 4, 40)
    assert [row["what"].split()[2] for row in parts] == ["40", "50", "60", "70", "80"]
    assert all(20 < row["median"] < 2000 for row in parts)
    assert files["what"] == "open files after them"
    assert 3 < files["median"] < 100


def test_the_page_has_marks_for_the_table():
    rows = [{"what": "added by HTTP: ms", "best": 1.25, "median": 2.5}, {"what": "x", "median": 3}]
    page = (REPOSITORY / "docs/serving.md").read_text(encoding="utf-8")
    filled = serving.fill_in(page, {"machine": "A machine; 2 cores", "rows": rows})
    assert "**A machine**; 2 cores." in filled
    assert "| added by HTTP: ms | 1.25 | 2.50 |\n| x |  | 3.00 |" in filled
    assert serving.fill_in(filled, {"machine": "A machine; 2 cores", "rows": rows}) == filled
    with pytest.raises(ValueError, match="has no marks"):
        serving.fill_in("a page", {"machine": "A machine", "rows": rows})
