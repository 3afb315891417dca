"""Small models with random heads over the bundled vocabulary, and upstream's pipelines of them."""

import json
import warnings

import pytest

from numpy_erniem import (
    ErnieMConfig,
    ErnieMForMultipleChoice,
    ErnieMForSequenceClassification,
    ErnieMTokenizer,
    bundled_checkpoint,
)
from numpy_erniem.cli.main import main

SIZES = {
    "hidden_size": 12,
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "intermediate_size": 37,
    "initializer_range": 1.0,  # large weights, so that scores differ
    "max_position_embeddings": 34,  # 32 tokens
}


@pytest.fixture(scope="session")
def tokenizer():
    return ErnieMTokenizer.from_pretrained(bundled_checkpoint())


@pytest.fixture(scope="session")
def classifier_model(tokenizer):
    """Make a model for sequence classification with these names of classes."""

    def make(*names, **options):
        config = ErnieMConfig(
            vocab_size=len(tokenizer), id2label=dict(enumerate(names)), **SIZES, **options
        )
        return ErnieMForSequenceClassification(config, seed=1)

    return make


@pytest.fixture(scope="session")
def choice_model(tokenizer):
    return ErnieMForMultipleChoice(ErnieMConfig(vocab_size=len(tokenizer), **SIZES), seed=1)


@pytest.fixture
def saved(tokenizer, tmp_path):
    """Save a model with the tokenizer, and give the folder."""

    def save(model):
        model.save_pretrained(tmp_path / "model")
        tokenizer.save_pretrained(tmp_path / "model")
        return tmp_path / "model"

    return save


@pytest.fixture
def upstream(transformers, saved):
    """Make upstream's pipeline of a task for a model of ours."""

    def make(task, model):
        folder = saved(model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return transformers.pipeline(
                task,
                model=getattr(transformers, type(model).__name__).from_pretrained(folder),
                tokenizer=transformers.ErnieMTokenizer.from_pretrained(folder),
                framework="pt",
            )

    return make


@pytest.fixture
def run(capsys):
    """Run a command line; the exit code, the rows of the output, and what is told beside it."""

    def call(*arguments):
        code = main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return code, [json.loads(line) for line in captured.out.splitlines()], captured.err

    return call


@pytest.fixture
def written(tmp_path):
    """Write rows to a file of JSON lines."""

    def write(*rows):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write
