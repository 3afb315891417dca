"""Write the .npz files beside this script: random upstream models, what they were fed and gave.

    python -m tests.models.golden.make

needs torch and transformers 4.37.2; the tests that read the files need neither. Each file holds
config (a JSON text), weights/<name>, arguments/<name> and results/<name>.
"""

import json
from pathlib import Path

import numpy as np
import torch
import transformers

from tests.models.conftest import HEADS, NAMES, SMALL, B, C, H, L, T, V

FOLDER = Path(__file__).resolve().parent
BY_NAME = dict(zip(NAMES, HEADS, strict=True))


def classifier_labels(problem, rng):
    """Labels that fit a problem_type, for five classes."""
    if problem == "single_label_classification":
        return rng.integers(0, 5, B)
    if problem == "regression":
        return rng.standard_normal((B, 5), np.float32)
    return rng.random((B, 5), np.float32)


def cases():
    """File name, class, config, what to prune, labels."""
    rng = np.random.default_rng(1)
    for problem in ("regression", "single_label_classification", "multi_label_classification"):
        sizes = {"num_labels": 5, "problem_type": problem}
        labels = {"labels": classifier_labels(problem, rng)}
        yield problem, "ErnieMForSequenceClassification", sizes, {}, labels
    for name in NAMES[1:-1]:
        head = BY_NAME[name]
        yield name, head.name, head.sizes, {}, head.labels
    head = BY_NAME["TokenClassification"]
    for kind in ("relative_key", "relative_key_query"):
        yield kind, head.name, {**head.sizes, "position_embedding_type": kind}, {}, head.labels
    yield "pruned", head.name, head.sizes, {0: [1], 1: [0, 2]}, head.labels
    yield "bare", "ErnieMModel", {}, {}, {}


def make(name, kind, sizes, pruned, labels):
    """One file: no head mask where heads are pruned, for which upstream has no shape."""
    torch.manual_seed(11)
    rng = np.random.default_rng(12)
    model = getattr(transformers, kind)(transformers.ErnieMConfig(**{**SMALL, **sizes})).eval()
    for value in model.parameters():
        if value.dim() == 1:
            value.data += 0.3 * torch.randn(value.shape)
    if pruned:
        model.prune_heads(pruned)
    shape = (B, C, T) if "Choice" in kind else (B, T)
    mask = np.ones(shape, np.int64)
    mask[-1, ..., T // 2 + 1 :] = 0
    arguments = {
        "input_ids": rng.integers(2, V, shape),
        "attention_mask": mask,
        "position_ids": rng.integers(0, 18, shape),
        **labels,
    }
    if not pruned:
        arguments["head_mask"] = rng.random((L, H), np.float32)
    tensors = {k: torch.from_numpy(v.copy()) for k, v in arguments.items()}
    with torch.no_grad():
        output = model(**tensors, output_hidden_states=True, output_attentions=True)
    results = {}
    for key, value in output.items():
        many = value if isinstance(value, tuple) else (value,)
        results |= {f"results/{key}/{n}": v.numpy() for n, v in enumerate(many)}
    config = {k: v for k, v in model.config.to_dict().items() if k in {*SMALL, *sizes}}
    config |= {"pruned_heads": model.config.pruned_heads, "architectures": [kind]}
    config |= {"id2label": model.config.id2label}
    config.pop("num_labels", None)
    np.savez_compressed(
        FOLDER / f"{name}.npz",
        config=json.dumps(config),
        **{f"weights/{k}": v.numpy() for k, v in model.state_dict().items()},
        **{f"arguments/{k}": v for k, v in arguments.items()},
        **results,
    )


if __name__ == "__main__":
    for case in cases():
        make(*case)
