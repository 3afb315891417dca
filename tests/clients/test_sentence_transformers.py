"""The Embedder beside SentenceTransformer itself, which runs the source of a converted folder."""

import inspect

import numpy as np
import pytest

from numpy_erniem import Embedder, bundled_checkpoint, convert
from numpy_erniem.pipelines.sentence_transformers import ACCEPTED, READ

pytestmark = pytest.mark.filterwarnings("ignore:.*were cut at their end", "ignore::FutureWarning")

TEXTS = ["Open a file", "Datei öffnen", "打开文件", "", "word " * 50]
WIDTH = 12


@pytest.fixture(scope="module")
def library():
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    return pytest.importorskip("sentence_transformers")


@pytest.fixture(scope="module")
def theirs(library, tmp_path_factory):
    """A small SentenceTransformer over an XLM-R with random weights, and its folder."""
    import torch
    import transformers
    from sentence_transformers import models

    folder = tmp_path_factory.mktemp("source")
    tokenizer = transformers.XLMRobertaTokenizer(
        str(bundled_checkpoint() / "sentencepiece.bpe.model")
    )
    sizes = {"hidden_size": WIDTH, "num_attention_heads": 3, "num_hidden_layers": 2}
    config = transformers.XLMRobertaConfig(
        len(tokenizer), **sizes, intermediate_size=37, max_position_embeddings=40, type_vocab_size=1
    )
    torch.manual_seed(7)
    model = transformers.XLMRobertaModel(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3)
    model.save_pretrained(folder / "plain")
    tokenizer.save_pretrained(folder / "plain")
    encoder = models.Transformer(
        str(folder / "plain"), max_seq_length=30, tokenizer_args={"use_fast": False}
    )
    whole = library.SentenceTransformer(
        modules=[encoder, models.Pooling(WIDTH, "mean"), models.Normalize()],
        prompts={"query": "query: ", "passage": "passage: "},
        default_prompt_name="query",
        device="cpu",
    )
    whole.save(str(folder / "whole"), create_model_card=False)
    return whole, folder / "whole"


@pytest.fixture(scope="module")
def ours(theirs, tmp_path_factory):
    out = tmp_path_factory.mktemp("converted") / "out"
    convert(theirs[1], out)
    return Embedder.from_pretrained(out)


ARGUMENTS = [
    {},
    {"prompt_name": "passage"},
    {"prompt": "title: "},
    {"batch_size": 2},
    {"show_progress_bar": False},
    {"normalize_embeddings": True},
    {"convert_to_numpy": True, "convert_to_tensor": False},
    {"output_value": "sentence_embedding", "precision": "float32", "device": "cpu"},
]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=lambda given: " ".join(given) or "none")
def test_encode_with_their_arguments_gives_their_numbers(arguments, theirs, ours, close):
    close(ours.encode(TEXTS, **arguments), theirs[0].encode(TEXTS, **arguments), "model")


def test_their_arguments_in_order_give_their_numbers(theirs, ours, close):
    given = (TEXTS, "passage", None, 2, False)
    close(ours.encode(*given), theirs[0].encode(*given), "model")


def test_one_text_gives_one_vector(theirs, ours, close):
    close(ours.encode(TEXTS[0]), theirs[0].encode(TEXTS[0]), "model")


@pytest.mark.parametrize("normalize", [False, True])
def test_shorter_vectors(normalize, theirs, ours, close):
    with theirs[0].truncate_sentence_embeddings(5):
        want = theirs[0].encode(TEXTS, normalize_embeddings=normalize)
    close(ours.encode(TEXTS, truncate_dim=5, normalize_embeddings=normalize), want, "model")


def test_every_argument_of_theirs_is_known(library):
    names = set(inspect.signature(library.SentenceTransformer.encode).parameters) - {"self"}
    later = {"kwargs", "pool", "chunk_size"}  # of versions after 3.0
    assert names - later <= {*READ, *ACCEPTED}


def test_similarities_by_their_functions(theirs, ours, library, close):
    want = library.util.cos_sim(theirs[0].encode(TEXTS), theirs[0].encode(TEXTS))
    got = library.util.cos_sim(ours.encode(TEXTS), ours.encode(TEXTS))
    close(got.numpy(), want.numpy(), "model")


def test_a_folder_of_ours_loads_in_sentence_transformers(library, tmp_path, close):
    pytest.importorskip("transformers.models.ernie_m", reason="transformers 5 has no ERNIE-M")
    convert(bundled_checkpoint(), tmp_path / "out")
    model = library.SentenceTransformer(str(tmp_path / "out"), device="cpu")
    embedder = Embedder.from_pretrained(tmp_path / "out")
    want = embedder(TEXTS, pooling="mean", normalize=False)
    close(model.encode(TEXTS), np.asarray(want), "model")
