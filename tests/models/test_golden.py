"""Upstream's numbers from files, on machines without torch; `golden/make.py` made them."""

import json
from pathlib import Path

import numpy as np
import pytest

import numpy_erniem
from numpy_erniem.checkpoint.folder import write_folder

FILES = sorted((Path(__file__).parent / "golden").glob("*.npz"))


def part(data, prefix):
    return {k.removeprefix(prefix): data[k] for k in data.files if k.startswith(prefix)}


def test_there_are_files():
    assert len(FILES) == 11


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_results_are_upstreams(path, backend, tmp_path, close):
    with np.load(path) as data:
        config = json.loads(str(data["config"]))
        weights, arguments = part(data, "weights/"), part(data, "arguments/")
        results = part(data, "results/")
    write_folder(tmp_path, weights)
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = numpy_erniem.load(tmp_path)
    output = model(**arguments, output_hidden_states=True, output_attentions=True)
    assert {name.split("/")[0] for name in results} == set(output)
    for name, want in results.items():
        field, n = name.split("/")
        if field == "loss":
            np.testing.assert_allclose(output.loss, want, rtol=1e-6)
        else:
            got = output[field][int(n)] if isinstance(output[field], tuple) else output[field]
            close(got, want, "model", name)
