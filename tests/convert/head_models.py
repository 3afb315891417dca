"""Models of XLM-RoBERTa and BERT with heads, run beside ours."""

import json

import numpy as np
import pytest

from numpy_erniem.checkpoint.folder import read_folder, write_folder

SIZES = {
    "vocab_size": 99,
    "hidden_size": 12,
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "intermediate_size": 37,
    "max_position_embeddings": 30,
    "layer_norm_eps": 1e-5,
}
IDS = np.array([[0, 5, 17, 2, 8, 9, 3], [0, 6, 7, 2, 1, 1, 1]])
MASK = (IDS != 1).astype(int)


def torch_model(family, task, **options):
    """A model of a library's class with large random weights."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = getattr(transformers, f"{family}Config")(**SIZES, pad_token_id=1, **options)
    model = getattr(transformers, f"{family}{task}")(config).eval()
    torch.manual_seed(7)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3)
    return model


def run(model, **arguments):
    import torch

    tensors = {name: torch.from_numpy(x) for name, x in arguments.items()}
    with torch.no_grad():
        return {n: x.numpy() for n, x in model(**tensors, return_dict=True).items()}


def inputs(task, rows):
    arguments = {"input_ids": IDS[rows], "attention_mask": MASK[rows]}
    if task == "ForMultipleChoice":
        return {name: x[None] for name, x in arguments.items()}
    return arguments


def assert_equal(ours, theirs, task, rows=slice(None)):
    """Compare what both return, at the real tokens."""
    arguments = inputs(task, rows)
    want, got = run(theirs, **arguments), ours(**arguments)
    assert want
    for name, numbers in want.items():
        seen = MASK[rows] == 1 if numbers.shape[:2] == MASK[rows].shape else slice(None)
        np.testing.assert_allclose(got[name][seen], numbers[seen], rtol=0, atol=2e-5)


def change(folder, edit, **keys):
    """Write a checkpoint again: its tensors after `edit`, and other keys of its config."""
    tensors = {n: t.numpy().copy() for n, t in read_folder(folder).items()}
    write_folder(folder, edit(tensors) or tensors)
    config = json.loads((folder / "config.json").read_text()) | keys
    (folder / "config.json").write_text(json.dumps(config))
