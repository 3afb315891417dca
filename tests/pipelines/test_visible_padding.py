"""UIE-M's padding: visible, at position 0, and one token in the place of all of it."""

import json
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from numpy_erniem import (
    ErnieMConfig,
    ErnieMForInformationExtraction,
    ErnieMForSequenceClassification,
    ErnieMModel,
    ErnieMTokenizer,
    InformationExtractor,
    bundled_checkpoint,
    convert,
    load,
)
from numpy_erniem.pipelines import packing
from numpy_erniem.pipelines.extraction_spans import find_spans
from numpy_erniem.pipelines.packing import run_rows
from numpy_erniem.pipelines.visible_padding import add_padding_token

OUTPUTS = ("start_prob", "end_prob")


def paddle_config(**sizes):
    return ErnieMConfig(
        vocab_size=99,
        hidden_size=12,
        num_attention_heads=3,
        num_hidden_layers=2,
        intermediate_size=37,
        initializer_range=0.1,
        attention_mask_convention="paddle",
        **sizes,
    )


def served(model, row, length):
    """Outputs as PaddleNLP gives them: padded to the length, mask ids != 0, padding at 0."""
    ids = np.full((1, length), model.config.pad_token_id)
    ids[0, : len(row)] = row
    positions = np.where(np.arange(length) < len(row), np.arange(length), 0)
    output = model(ids, attention_mask=(ids != 0).astype(int), position_ids=positions)
    return output, len(row)


def rows_of(rng, lengths):
    return [[0, *rng.integers(2, 99, n - 2).tolist(), 2] for n in lengths]


def in_place_of(model):
    """The same model as a function that takes no packed batch."""

    def call(input_ids, attention_mask, position_ids):
        calls.append(input_ids.shape)
        return model(input_ids, attention_mask=attention_mask, position_ids=position_ids)

    calls = []
    call.config, call.calls = model.config, calls
    return call


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-14)])
@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
def test_every_length_has_the_numbers_of_a_fully_padded_row(packed, dtype, tolerance, backend, rng):
    model = ErnieMForInformationExtraction(paddle_config(), seed=1, dtype=dtype)
    lengths = [3, 4, 5, 7, 12, 29, 64, 129, 300, 510, 511, 512]
    rows = rows_of(rng, lengths)
    run = model if packed else in_place_of(model)
    got = run_rows(run, rows, token_outputs=OUTPUTS, visible_padding=512)
    for row, outputs in zip(rows, got, strict=True):
        want, n = served(model, row, 512)
        for name in OUTPUTS:
            assert outputs[name].shape == (n,)
            np.testing.assert_allclose(outputs[name], getattr(want, name)[0, :n], rtol=0, atol=1e-6)
    alone = run_rows(model, rows[:1], token_outputs=OUTPUTS)  # without padding it differs
    assert np.abs(alone[0]["start_prob"] - got[0]["start_prob"]).max() > 1e-3


def test_the_numbers_do_not_depend_on_the_batch(backend, rng):
    if backend == "numpy":
        pytest.skip("the products of NumPy depend on the number of rows")
    model = ErnieMForInformationExtraction(paddle_config(), seed=1)
    rows = rows_of(rng, [3, 9, 64, 7, 200])
    together = run_rows(model, rows, token_outputs=OUTPUTS, visible_padding=512)
    for row, outputs in zip(rows, together, strict=True):
        (alone,) = run_rows(model, [row], token_outputs=OUTPUTS, visible_padding=512)
        for name in OUTPUTS:
            np.testing.assert_array_equal(alone[name], outputs[name])


def test_outputs_of_texts_have_the_padding_too(rng):
    model = ErnieMForSequenceClassification(paddle_config(), seed=1)
    rows = rows_of(rng, [3, 9])
    for run in (model, in_place_of(model)):
        got = run_rows(run, rows, text_outputs=("logits",), visible_padding=64)
        for row, outputs in zip(rows, got, strict=True):
            want = served(model, row, 64)[0].logits[0]
            np.testing.assert_allclose(outputs["logits"], want, rtol=0, atol=1e-6)


def test_a_batch_counts_the_padding_token(monkeypatch, rng):
    model = ErnieMForInformationExtraction(paddle_config(), seed=1)
    rows = rows_of(rng, [9, 9, 9])
    seen = []

    def cut(lengths, *rest):
        seen.append(list(lengths))
        return original(lengths, *rest)

    original = packing.cut_batches
    monkeypatch.setattr(packing, "cut_batches", cut)
    run_rows(model, rows, token_outputs=OUTPUTS, visible_padding=64)
    run_rows(in_place_of(model), rows, token_outputs=OUTPUTS, visible_padding=64)
    assert seen == [[10, 10, 10], [64, 64, 64]]


def test_a_row_without_padding_has_no_padding_token():
    ids, real, arguments = add_padding_token([np.arange(5), np.arange(4), np.arange(3)], 5, 1)
    assert [row.tolist() for row in ids] == [[0, 1, 2, 3, 4], [0, 1, 2, 3, 1], [0, 1, 2, 1]]
    assert real.tolist() == [True] * 9 + [False] + [True] * 3 + [False]
    assert arguments["position_ids"].tolist() == [[0, 1, 2, 3, 4, 0, 1, 2, 3, 0, 0, 1, 2, 0]]
    assert np.flatnonzero(arguments["key_bias"]).tolist() == [13]
    assert arguments["key_bias"][0, 13] == pytest.approx(np.log(2))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", "model"), ("float64", "float64")])
@pytest.mark.parametrize("name", ["UIEM", "ErnieMModel", "ErnieMForSequenceClassification"])
def test_samples_of_paddle(name, dtype, tolerance, close, shared, backend, rng, tmp_path):
    """Weights that PaddleNLP wrote, and its own outputs with the positions that were given."""
    folder = shared / "data/paddle" / name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        convert(folder, tmp_path / "out")
        model = load(tmp_path / "out", dtype=dtype)
    assert model.config.hidden_token_id == 0
    most = model.config.max_length
    hidden = ("last_hidden_state",) if isinstance(model, ErnieMModel) else ()
    tokens = OUTPUTS if name == "UIEM" else hidden
    texts = ("logits",) if name == "ErnieMForSequenceClassification" else ()
    rows = rows_of(rng, range(3, most + 1))
    got = run_rows(model, rows, token_outputs=tokens, text_outputs=texts, visible_padding=most)
    for row, outputs in zip(rows, got, strict=True):
        want, n = served(model, row, most)
        for key in tokens:
            close(outputs[key], getattr(want, key)[0, :n], tolerance)
        for key in texts:
            close(outputs[key], want[key][0], tolerance)


def test_a_row_that_paddle_padded_itself(shared, backend, tmp_path):
    """PaddleNLP's own probabilities for rows with padding, no mask and the default positions."""
    folder = shared / "data/paddle/UIEM"
    expected = np.load(folder / "expected.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        convert(folder, tmp_path / "out")
        model = load(tmp_path / "out")
    ids = expected["input_ids"]
    full = [n for n, row in enumerate(ids) if (row != 1).all()]
    assert full
    got = run_rows(
        model, [ids[n].tolist() for n in full], token_outputs=OUTPUTS, visible_padding=ids.shape[1]
    )
    for n, outputs in zip(full, got, strict=True):
        for k, key in enumerate(OUTPUTS):
            want = expected[f"default_{k}"][n]
            np.testing.assert_allclose(outputs[key], want, rtol=0, atol=1e-5)


# The extractor


@pytest.fixture(scope="module")
def tokenizer():
    return ErnieMTokenizer.from_pretrained(bundled_checkpoint(), bare_underline="paddle")


def extractor_model(tokenizer, convention):
    config = paddle_config(max_position_embeddings=514).to_dict()
    config |= {"vocab_size": len(tokenizer), "initializer_range": 1.0}
    config["attention_mask_convention"] = convention
    return ErnieMForInformationExtraction(ErnieMConfig.from_dict(config), seed=3, dtype="float64")


TEXT = "In 1997, Steve was excited to become the CEO of Apple. " * 3


@pytest.mark.parametrize(("convention", "length"), [("paddle", 512), ("padding", None)])
def test_an_extractor_pads_as_the_checkpoint_says(convention, length, tokenizer, backend):
    model = extractor_model(tokenizer, convention)
    row = tokenizer("Person", TEXT)["input_ids"]
    output, n = served(model, row, length) if length else (model([row]), len(row))
    want = find_spans(output.start_prob[0, :n], output.end_prob[0, :n], 0.5)
    answers = InformationExtractor(model, tokenizer, schema="Person")(TEXT)["Person"]
    got = [answer["probability"] for answer in answers]
    for probability in got:
        assert min(abs(probability - span.probability) for span in want) < 1e-6
    assert len(want) - 5 <= len(got) <= len(want)  # without those on special tokens


def test_the_length_of_rows_is_that_of_the_padding(tokenizer):
    model = extractor_model(tokenizer, "paddle")
    extractor = InformationExtractor(model, tokenizer, schema="Person", max_length=128)
    assert extractor.arguments() == {"visible_padding": 128}
    foreign = in_place_of(model)
    again = InformationExtractor(foreign, tokenizer, schema="Person", max_length=128)(TEXT)
    assert foreign.calls == [(1, 128)]
    mine = extractor(TEXT)
    assert [a["text"] for a in again["Person"]] == [a["text"] for a in mine["Person"]]


def test_a_schema_of_five_names_costs_a_fifth_of_full_padding(tokenizer, monkeypatch):
    """Tokens in attention and in the linear maps, for many short texts and for a long one."""
    model = extractor_model(tokenizer, "paddle")
    counts = []

    def forward(ids, **arguments):
        counts.append(ids.shape[1])
        return original(ids, **arguments)

    original = model.forward
    monkeypatch.setattr(model, "forward", forward)
    schema = ["Person", "Company", "Position", "Time", "Place"]
    texts = [TEXT[: 50 + n] for n in range(40)]  # 2,000 characters and more
    InformationExtractor(model, tokenizer, schema=schema)(texts)
    assert sum(counts) * 5 <= 512 * len(schema) * len(texts)


def test_a_stub_without_conventions_is_padded_as_usual(tokenizer):
    def model(input_ids, attention_mask):
        seen.append((input_ids.shape[1], int(attention_mask.sum())))
        zeros = np.zeros(input_ids.shape, np.float32)
        return SimpleNamespace(start_prob=zeros, end_prob=zeros)

    seen = []
    model.config = SimpleNamespace(max_length=512, pad_token_id=1)
    InformationExtractor(model, tokenizer, schema="Person")("a b c")
    assert seen == [(seen[0][0], seen[0][0])]


def test_a_converted_folder_says_which_padding(shared, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        convert(shared / "data/paddle/UIEM", tmp_path / "out")
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["attention_mask_convention"] == "paddle"
