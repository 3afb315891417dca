"""Random head models, ours and upstream's with the same weights, and what to feed them."""

from dataclasses import dataclass, field

import numpy as np
import pytest

import numpy_erniem
from numpy_erniem import ErnieMConfig
from numpy_erniem.models.weights import flatten

B, C, T, D, H, F, V, L = 2, 4, 7, 12, 3, 37, 99, 2

SMALL = {
    "vocab_size": V,
    "hidden_size": D,
    "num_attention_heads": H,
    "intermediate_size": F,
    "num_hidden_layers": L,
    "max_position_embeddings": 20,
    "initializer_range": 0.3,  # large weights, so that every formula matters
    "layer_norm_eps": 1e-3,  # large, so that leaving it out shows
}
FIELDS = ("past_key_values", "hidden_states", "attentions")


@dataclass
class Head:
    """A model class, what its config needs, the names of its scores, and labels for a loss."""

    name: str
    labels: dict[str, np.ndarray]
    scores: tuple[str, ...] = ("logits",)
    sizes: dict = field(default_factory=dict)
    in_upstream: bool = True

    @property
    def model(self):
        return getattr(numpy_erniem, self.name)

    def make(self, seed=3, **sizes):
        """One of ours, biases and norms drawn too."""
        model = self.model(ErnieMConfig(**{**SMALL, **self.sizes, **sizes}), seed=seed)
        return redrawn(model)

    def inputs(self, rng):
        """Ids and a mask that hides the end of the last text."""
        shape = (B, C, T) if "Choice" in self.name else (B, T)
        mask = np.ones(shape, np.int64)
        mask[-1, ..., T // 2 + 1 :] = 0
        return {"input_ids": rng.integers(2, V, shape), "attention_mask": mask}


def redrawn(model, seed=5):
    """The model with biases and norms that are not 0 and 1."""
    rng = np.random.default_rng(seed)
    flat = flatten(model.weights)
    for name, value in flat.items():
        if value.ndim == 1:
            flat[name] = value + np.float32(0.3) * rng.standard_normal(value.shape, np.float32)
            flat[name].flags.writeable = False
    model._set_weights(flat)
    return model


def same_weights(a, b):
    a, b = flatten(a.weights), flatten(b.weights)
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def positions(*rows):
    return {"start_positions": np.array(rows[0]), "end_positions": np.array(rows[1])}


ONE_HOT = np.eye(T, dtype=np.float32)
HEADS = [
    Head("ErnieMForSequenceClassification", {"labels": np.array([4, 1])}, sizes={"num_labels": 5}),
    Head("ErnieMForMultipleChoice", {"labels": np.array([3, 0])}),
    Head(
        "ErnieMForTokenClassification",
        {"labels": np.array([[-100, 1, 0, 4, 3, 2, -100], [-100, 2, 2, 0, -100, -100, -100]])},
        sizes={"num_labels": 5},
    ),
    Head(
        "ErnieMForQuestionAnswering",
        positions([2, 0], [5, 3]),
        scores=("start_logits", "end_logits"),
    ),
    Head(
        "ErnieMForInformationExtraction",
        positions(ONE_HOT[[2, 1]] + ONE_HOT[[4, 0]], ONE_HOT[[3, 2]]),
        scores=("start_logits", "end_logits"),
    ),
    Head(
        "ErnieMForMaskedLM",
        {"labels": np.array([[-100, 98, -100, 3, -100, -100, -100], [-100] * 6 + [50]])},
        in_upstream=False,
    ),
]
NAMES = [head.name.removeprefix("ErnieMFor") for head in HEADS]


@pytest.fixture(params=HEADS, ids=NAMES)
def head(request):
    return request.param


@pytest.fixture(params=[h for h in HEADS if h.in_upstream], ids=NAMES[:-1])
def upstream_head(request):
    return request.param


@pytest.fixture
def pair(transformers, torch, tmp_path):
    """Make a random upstream model, and ours from its files."""

    def make(name, **sizes):
        torch.manual_seed(7)
        theirs = getattr(transformers, name)(transformers.ErnieMConfig(**{**SMALL, **sizes})).eval()
        with torch.no_grad():
            for value in theirs.parameters():
                if value.dim() == 1:
                    value += 0.3 * torch.randn(value.shape)
        theirs.save_pretrained(tmp_path)
        return theirs, getattr(numpy_erniem, name).from_pretrained(tmp_path)

    return make


@pytest.fixture(scope="session")
def run(torch):
    """Call upstream with copies of NumPy arguments, without gradients."""

    def tensors(value):
        if isinstance(value, np.ndarray):
            return torch.from_numpy(value.copy())
        return tuple(map(tensors, value)) if isinstance(value, tuple | list) else value

    def call(model, **arguments):
        with torch.no_grad():
            return model(**{name: tensors(value) for name, value in arguments.items()})

    return call


@pytest.fixture(scope="session")
def equal_outputs(close):
    """Compare every field that upstream returns: loss to 1e-6 of it, the rest by `close`."""

    def check(got, want):
        assert list(got) == list(want.keys())
        for name in want:
            if name == "loss":
                assert got.loss.dtype == np.float32
                np.testing.assert_allclose(got.loss, want.loss.numpy(), rtol=1e-6, err_msg="loss")
            elif name in FIELDS:
                for n, (a, b) in enumerate(zip(got[name], want[name], strict=True)):
                    close(a, b.numpy(), "model", f"{name}[{n}]")
            else:
                close(got[name], want[name].numpy(), "model", name)

    return check
