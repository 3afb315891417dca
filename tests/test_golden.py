"""Upstream's numbers, frozen: they check every layer where torch is not installed."""

from pathlib import Path

import numpy as np
import pytest

from numpy_erniem import ErnieMModel

FOLDERS = sorted((Path(__file__).parent / "golden").iterdir())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.name)
def test_every_layer_equals_the_frozen_numbers(folder, backend, close):
    model = ErnieMModel.from_pretrained(folder)
    with np.load(folder / "expected.npz") as expected:
        got = model(
            expected["input_ids"],
            attention_mask=expected["attention_mask"],
            output_hidden_states=True,
            output_attentions=True,
        )
        for n, want in enumerate(expected["hidden_states"]):
            close(got.hidden_states[n], want, "model", f"hidden_states[{n}]")
        close(np.stack(got.attentions), expected["attentions"], "model", "attentions")
        close(got.pooler_output, expected["pooler_output"], "model", "pooler_output")
