"""A small model of the XLM-R family, made without torch."""

import json
import shutil

import numpy as np
import pytest

from numpy_erniem.checkpoint.folder import write_folder
from numpy_erniem.checkpoint.hub import bundled_checkpoint

SIZES = {
    "vocab_size": 99,
    "hidden_size": 12,
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "intermediate_size": 37,
    "max_position_embeddings": 30,
    "layer_norm_eps": 1e-5,
}


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
