"""The test classes of `upstream_suites.py`: upstream's common tests around this package's classes.

pytest collects this file after `upstream_suites.py` has unpacked the package `upstream_tests` and
put it on the import path. The tokenizer and the config are tested as they are. The models get a
thin layer: tensors out where the suite computes with torch, and the methods of torch.nn.Module that
have no meaning here. Whatever else a test misses is missing in this package, and the test fails.
"""

import dataclasses
import functools
import os
import unittest
from typing import Any

import numpy as np
import torch
import transformers
from upstream_tests import test_modeling_common as modeling
from upstream_tests import test_tokenization_common as tokenization
from upstream_tests.test_configuration_common import ConfigTester

import numpy_erniem
from numpy_erniem.models.weights import flatten
from numpy_erniem.training import value_and_grad

SUITE = os.environ.get("UPSTREAM_SUITE", "all")
TESTED = transformers if os.environ.get("UPSTREAM_OF") == "upstream" else numpy_erniem
TOKENIZER = os.environ.get("UPSTREAM_TOKENIZER") or os.fspath(numpy_erniem.bundled_checkpoint())
MADE = [0]  # how many objects the running test has made of the tested classes

MODELS = (
    "ErnieMModel",
    "ErnieMForMultipleChoice",
    "ErnieMForQuestionAnswering",
    "ErnieMForSequenceClassification",
    "ErnieMForTokenClassification",
    "ErnieMForInformationExtraction",
    "ErnieMForMaskedLM",  # not in upstream
)
SIZES = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "max_position_embeddings": 64,
}


def to_torch(value: Any) -> Any:
    """Arrays, tuples of arrays and model outputs, with tensors for arrays."""
    if isinstance(value, np.ndarray | np.generic):
        return torch.tensor(np.asarray(value))
    if isinstance(value, tuple):
        return tuple(map(to_torch, value))
    if dataclasses.is_dataclass(value):
        return dataclasses.replace(value, **{name: to_torch(v) for name, v in value.items()})
    return value


class Loss(torch.autograd.Function):
    """A loss whose gradient is the package's own, so that `loss.backward()` runs its code."""

    @staticmethod
    def forward(ctx: Any, loss: Any, model: Any, batch: dict, *parameters: Any) -> Any:
        """Return the loss."""
        ctx.model, ctx.batch, ctx.names = model, batch, list(flatten(model.weights))
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, factor: Any) -> tuple:
        """Return a gradient for every weight."""
        _, gradients = value_and_grad(ctx.model.plain(), ctx.batch)
        found = {
            name: torch.tensor(value.dense() if hasattr(value, "dense") else np.asarray(value))
            for name, value in flatten(gradients).items()
        }
        return None, None, None, *(found[n] * factor if n in found else None for n in ctx.names)


class ForTorch:
    """What the suite calls on a torch.nn.Module, around a model of this package."""

    _keys_to_ignore_on_load_missing = _tied_weights_keys = None  # nothing is, so far as torch knows
    supports_gradient_checkpointing = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model; tensors in are taken by NumPy, arrays out become tensors."""
        output = to_torch(self.plain()(*args, **kwargs))
        if torch.is_grad_enabled() and getattr(output, "loss", None) is not None:
            loss = Loss.apply(output.loss, self, kwargs, *self.parameters())
            output = dataclasses.replace(output, loss=loss)
        return output

    def plain(self) -> Any:
        """The same model without this layer."""
        plain = object.__new__(type(self).__bases__[1])
        vars(plain).update(vars(self))
        return plain

    def to(self, device: str) -> Any:
        """Stay where it is."""
        return self

    def train(self) -> Any:
        """Stay as it is: dropout belongs to the functions that train."""
        return self

    def state_dict(self) -> dict:
        """Copies of the weights by their names."""
        return {name: torch.tensor(value) for name, value in flatten(self.weights).items()}

    def named_parameters(self) -> Any:
        """Copies of the weights as torch's parameters."""
        return ((name, torch.nn.Parameter(value)) for name, value in self.state_dict().items())

    def parameters(self) -> Any:
        """The weights without their names."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> tuple:
        """Nothing: every array is a weight."""
        return ()

    def get_input_embeddings(self) -> Any:
        """The word embedding as a module."""
        return torch.nn.Embedding.from_pretrained(torch.tensor(super().get_input_embeddings()))

    def set_input_embeddings(self, value: Any) -> None:
        """Take the word embedding from a module."""
        super().set_input_embeddings(value.weight.detach().numpy())

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> Any:
        """Resize, and return the word embedding as a module."""
        super().resize_token_embeddings(*args, **kwargs)
        return self.get_input_embeddings()


def count(cls: type) -> type:
    """Make a class count its objects; its signature stays."""
    original = cls.__init__

    @functools.wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        MADE[0] += 1
        original(self, *args, **kwargs)

    cls.__init__ = init
    return cls


def model_class(name: str) -> type:
    """The class to test: a subclass of the same name, or upstream's own."""
    cls = count(getattr(TESTED, name))
    return cls if TESTED is transformers else type(name, (ForTorch, cls), {})


class ModelTester:
    """A small model and a batch for it; the suite reads the attributes."""

    batch_size, seq_length, num_choices, is_training = 3, 7, 4, True

    def __init__(self) -> None:
        vars(self).update(SIZES)

    def prepare_config_and_inputs_for_common(self) -> tuple[Any, dict]:
        """Return a config and the arguments of a forward pass."""
        shape = self.batch_size, self.seq_length
        inputs = {
            "input_ids": modeling.ids_tensor(shape, self.vocab_size),
            "attention_mask": modeling.random_attention_mask(shape),
        }
        return TESTED.ErnieMConfig(**SIZES), inputs


class Modeling(modeling.ModelTesterMixin):
    """The suite for models; a subclass for each model says which."""

    test_torchscript = False  # nothing to compile

    def setUp(self) -> None:
        """Give the suite its model tester."""
        self.model_tester = ModelTester()

    def _prepare_for_class(self, inputs_dict: Any, model_class: Any, return_labels=False) -> Any:
        inputs = super()._prepare_for_class(inputs_dict, model_class, return_labels)
        shape = self.model_tester.batch_size, self.model_tester.seq_length
        if return_labels and model_class.__name__ == "ErnieMForInformationExtraction":
            inputs |= {"start_positions": torch.zeros(shape), "end_positions": torch.zeros(shape)}
        if return_labels and model_class.__name__ == "ErnieMForMaskedLM":
            inputs["labels"] = torch.zeros(shape, dtype=torch.long)
        return inputs

    def test_model_main_input_name(self) -> None:
        """Run it, and let it count: it looks at classes and makes no object."""
        super().test_model_main_input_name()
        MADE[0] += 1


class Configuration(unittest.TestCase):
    """The suite for configs, each of its checks as a test."""

    def setUp(self) -> None:
        """Let every test count: all of them make configs."""
        MADE[0] = 1


class Tokenization(tokenization.TokenizerTesterMixin, unittest.TestCase):
    """The suite for tokenizers."""

    tokenizer_class = count(TESTED.ErnieMTokenizer)
    test_rust_tokenizer = False
    test_seq2seq = False
    test_sentencepiece = True

    def setUp(self) -> None:
        """Put the tokenizer's files where the suite loads them from."""
        super().setUp()
        self.tokenizer_class.from_pretrained(TOKENIZER).save_pretrained(self.tmpdirname)
        self.tokenizers_list = [(self.tokenizer_class, self.tmpdirname, {})]
        MADE[0] = 0


def _check(name: str) -> Any:
    def test(self: Any) -> None:
        sizes = {"hidden_size": 36, "num_attention_heads": 4}
        getattr(ConfigTester(self, TESTED.ErnieMConfig, **sizes), name)()

    return test


for _name in dir(ConfigTester):
    if _name.startswith(("create_and_test_", "check_")):
        _short = _name.removeprefix("create_and_test_").removeprefix("check_")
        setattr(Configuration, f"test_{_short}", _check(_name))

for _name in MODELS:
    if SUITE != "tokenization" and hasattr(TESTED, _name):
        _classes = {"all_model_classes": (model_class(_name),)}
        globals()[_name] = type(_name, (Modeling, unittest.TestCase), _classes)

if SUITE == "tokenization":
    del Configuration
if SUITE == "modeling":
    del Tokenization
