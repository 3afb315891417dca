"""Small models of the families that are converted, and what convert makes of them."""

import json
import shutil

import numpy as np
import pytest

from numpy_erniem import convert
from numpy_erniem.checkpoint.folder import write_folder
from numpy_erniem.checkpoint.hub import bundled_checkpoint
from tests.convert.head_models import SIZES, torch_model


@pytest.fixture
def family_source(tmp_path):
    """A small XLM-R with the bundled checkpoint's pieces, made without torch."""
    folder = tmp_path / "source"
    folder.mkdir()
    model_file = bundled_checkpoint() / "sentencepiece.bpe.model"
    shutil.copy(model_file, folder)
    from sentencepiece import SentencePieceProcessor

    count = SentencePieceProcessor(model_file=str(model_file)).get_piece_size() + 2
    sizes = {**SIZES, "vocab_size": count, "num_hidden_layers": 0, "pad_token_id": 1}
    (folder / "config.json").write_text(json.dumps({**sizes, "model_type": "xlm-roberta"}))
    rng = np.random.default_rng(0)
    shapes = {
        "embeddings.word_embeddings.weight": (count, 12),
        "embeddings.position_embeddings.weight": (30, 12),
        "embeddings.token_type_embeddings.weight": (1, 12),
        "embeddings.LayerNorm.weight": (12,),
        "embeddings.LayerNorm.bias": (12,),
    }
    write_folder(folder, {n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()})
    return folder


@pytest.fixture
def source(tmp_path):
    """Save a model of the library, and return it and its folder."""

    def make(family, task, safe=True, **options):
        model = torch_model(family, task, **options)
        model.save_pretrained(tmp_path / "source", safe_serialization=safe)
        return model, tmp_path / "source"

    return make


@pytest.fixture
def out(tmp_path):
    """Convert a folder; the new one."""

    def make(folder):
        make.report = convert(folder, tmp_path / "out", tokenizer=False)
        return tmp_path / "out"

    return make
