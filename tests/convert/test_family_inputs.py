"""Masks and positions of the XLM-R family: the numbers of its own classes in torch."""

import json
import shutil
import warnings

import numpy as np
import pytest

import numpy_erniem
from numpy_erniem import ErnieMConfig, ErnieMModel, ErnieMTokenizer, convert
from numpy_erniem.checkpoint.hub import bundled_checkpoint
from numpy_erniem.models.inputs import prepare_inputs
from numpy_erniem.tokenizer.rows import pad_rows
from numpy_erniem.training import encoder as training_encoder
from numpy_erniem.training import trainable
from tests.convert.head_models import SIZES

NAMES = [
    "XLMRobertaModel",
    "XLMRobertaForSequenceClassification",
    "XLMRobertaForTokenClassification",
    "XLMRobertaForQuestionAnswering",
    "XLMRobertaForMultipleChoice",
    "XLMRobertaForMaskedLM",
    "RobertaModel",
    "CamembertModel",
    "BertModel",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertForQuestionAnswering",
]
TEXTS = [[0, 5, 17, 9, 8, 30, 2], [0, 7, 2], [0, 6, 40, 11, 2]]
FIELDS = ("last_hidden_state", "pooler_output", "logits", "start_logits", "end_logits")


@pytest.fixture
def make(tmp_path):
    """Make a small model of a class in torch, save it, and convert it."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")

    def make(name, seed=0, **changes):
        rng = np.random.default_rng(seed)
        heads = int(rng.choice([1, 3, 5]))
        family = name.partition("For")[0].removesuffix("Model")
        sizes = {
            "vocab_size": int(rng.integers(50, 120)),
            "hidden_size": heads * int(rng.choice([2, 6, 7])),
            "num_attention_heads": heads,
            "num_hidden_layers": int(rng.integers(1, 4)),
            "intermediate_size": int(rng.integers(3, 60)),
            "max_position_embeddings": int(rng.integers(20, 40)),
            "type_vocab_size": int(rng.integers(1, 3)),
            "num_labels": 2 if name.endswith("Answering") else 5,
            "layer_norm_eps": 1e-5,
            "pad_token_id": 0 if family == "Bert" else 1,
            **changes,
        }
        theirs = getattr(transformers, name)(getattr(transformers, f"{family}Config")(**sizes))
        generator = torch.Generator().manual_seed(seed)
        for parameter in theirs.parameters():
            torch.nn.init.normal_(parameter, 0, 0.3, generator=generator)
        theirs.eval().save_pretrained(tmp_path / "source")
        return theirs

    return make


def converted(tmp_path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        convert(tmp_path / "source", tmp_path / "out", **options)
        return numpy_erniem.load(tmp_path / "out")


def padded(texts, side, pad):
    """Ids and mask of texts that are padded on a side, to one token more than the longest."""
    T = max(map(len, texts)) + 1
    ones = [[1] * len(row) for row in texts]
    return pad_rows(texts, pad, T, side), pad_rows(ones, 0, T, side)


def compare(ours, theirs, seen=None, **arguments):
    import torch

    if type(theirs).__name__.endswith("MultipleChoice"):  # one question, the rows are its choices
        arguments = {name: x[None] for name, x in arguments.items()}
    tensors = {name: torch.from_numpy(x) for name, x in arguments.items()}
    with torch.no_grad():
        want, got = theirs(**tensors), ours(**arguments)
    found = [name for name in FIELDS if want.get(name) is not None and name in got]
    assert found
    for name in found:
        a, b = got[name], want[name].numpy()
        if seen is not None and b.shape[:2] == seen.shape:
            a, b = a[seen], b[seen]
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_numbers_equal_torchs(name, seed, make, tmp_path, backend):
    theirs = make(name, seed)
    ours, pad = converted(tmp_path, tokenizer=False), theirs.config.pad_token_id
    for texts in ([TEXTS[0]], [TEXTS[1]], TEXTS):
        for side in ("right", "left"):
            ids, mask = padded(texts, side, pad)
            compare(ours, theirs, input_ids=ids, attention_mask=mask)
            compare(ours, theirs, input_ids=ids)
    for row in TEXTS:
        compare(ours, theirs, input_ids=np.array([row]))


@pytest.mark.parametrize("name", ["XLMRobertaModel", "BertModel"])
def test_a_padding_token_inside_a_text(name, make, tmp_path, backend):
    theirs = make(name, seed=3)
    ours, pad = converted(tmp_path, tokenizer=False), theirs.config.pad_token_id
    ids = np.array([[0, 5, pad, 9, pad, 30, 2], [pad, 7, 2, pad, 4, 3, pad]])
    compare(ours, theirs, input_ids=ids)
    compare(ours, theirs, input_ids=ids, attention_mask=np.ones_like(ids))


@pytest.mark.parametrize("name", ["XLMRobertaModel", "BertModel"])
def test_token_vectors_and_positions_that_are_given(name, make, tmp_path, rng):
    theirs = make(name, seed=4)
    ours, first = converted(tmp_path, tokenizer=False), 2 * (name != "BertModel")
    vectors = rng.standard_normal((2, 7, ours.config.hidden_size)).astype(np.float32)
    mask = np.array([[0, 0, 1, 1, 1, 1, 1], [1] * 7])
    compare(ours, theirs, inputs_embeds=vectors, attention_mask=mask)
    compare(ours, theirs, inputs_embeds=vectors)
    import torch

    ids, positions = np.array([[1, 1, 0, 5, 17, 2]]), np.array([[3, 0, 2, 2, 9, 11]])
    with torch.no_grad():
        want = theirs(torch.from_numpy(ids), position_ids=torch.from_numpy(positions + first))
    got = ours(ids, position_ids=positions)
    np.testing.assert_allclose(got[0], want[0].numpy(), rtol=0, atol=2e-5)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("name", ["XLMRobertaModel", "BertModel"])
def test_with_a_tokenizer_no_mask_is_needed(name, side, make, tmp_path):
    from sentencepiece import SentencePieceProcessor

    model_file = str(bundled_checkpoint() / "sentencepiece.bpe.model")
    count = SentencePieceProcessor(model_file=model_file).get_piece_size() + 2
    theirs = make(name, vocab_size=count)
    shutil.copy(model_file, tmp_path / "source")
    ours = converted(tmp_path)
    tokenizer = ErnieMTokenizer.from_pretrained(tmp_path / "out", padding_side=side)
    texts = ["Open the file", "Ada", "A cat and a dog"]
    inputs = tokenizer(texts, padding=True, return_tensors="np")
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    assert (ids == 1).any()
    assert ours.config.pad_token_id == 1
    compare(ours, theirs, seen=mask == 1, input_ids=ids, attention_mask=mask)
    without = ours(ids).last_hidden_state
    np.testing.assert_array_equal(without, ours(**inputs).last_hidden_state)
    if name == "BertModel" and side == "left":
        return  # BERT's positions count padding
    for row, states in zip(ids, without, strict=True):
        alone = ours(row[row != 1][None]).last_hidden_state[0]
        np.testing.assert_allclose(states[row != 1], alone, rtol=0, atol=2e-5)


IDS = np.array([[1, 1, 0, 5, 17, 2], [0, 5, 1, 9, 8, 2]])


def small(convention, **changes):
    config = ErnieMConfig(**SIZES, position_convention=convention, **changes)
    return ErnieMModel(config, seed=3)


def test_without_torch_a_left_padded_text_is_as_alone(backend):
    model = small("skip_padding")
    got = model(IDS[:1], attention_mask=(IDS[:1] != 1).astype(int)).last_hidden_state[0, 2:]
    alone = model(IDS[:1, 2:]).last_hidden_state[0]
    np.testing.assert_allclose(got, alone, rtol=0, atol=1e-6)


def test_ernie_m_counts_padding():
    model, given = small("sequential"), np.arange(6)[None]
    got, want = model(IDS), model(IDS, position_ids=given)
    np.testing.assert_array_equal(got.last_hidden_state, want.last_hidden_state)
    assert ErnieMConfig().position_convention == "sequential"


def test_past_tokens_are_counted():
    model = small("skip_padding")
    past = model([[0, 5, 7]], use_cache=True).past_key_values
    got = model([[1, 9, 2]], past_key_values=past).last_hidden_state
    whole = model([[0, 5, 7, 1, 9, 2]]).last_hidden_state
    np.testing.assert_allclose(got[0, 1:], whole[0, 4:], rtol=0, atol=1e-5)


def test_a_chunk_has_its_own_positions(monkeypatch):
    model = small("skip_padding")
    want = model(IDS).last_hidden_state
    monkeypatch.setattr("numpy_erniem.models.chunking.CHUNK_SIZE", 37 * 6)
    np.testing.assert_allclose(model(IDS).last_hidden_state, want, rtol=0, atol=1e-5)


def test_training_has_the_same_positions():
    with numpy_erniem.use_backend("numpy"):
        model = trainable(small("skip_padding"))
        inputs = prepare_inputs(model.config, model.dtype, IDS)
        x, _ = training_encoder.encode(inputs, model.weights, model.config)
        np.testing.assert_array_equal(x, model(IDS).last_hidden_state)


def test_the_convention_is_saved_and_loaded(tmp_path):
    model = small("skip_padding")
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["position_convention"] == (
        "skip_padding"
    )
    again = ErnieMModel.from_pretrained(tmp_path)
    np.testing.assert_array_equal(again(IDS).last_hidden_state, model(IDS).last_hidden_state)


def test_another_convention_is_refused():
    with pytest.raises(ValueError, match="position_convention 'left' is not one of sequential"):
        ErnieMConfig(position_convention="left")
    with pytest.raises(ValueError, match="'skip_padding' needs a pad_token_id"):
        ErnieMConfig(position_convention="skip_padding", pad_token_id=None)
