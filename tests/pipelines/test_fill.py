"""A text with masks in, the most likely tokens for each mask out."""

import doctest
import pickle
import shutil
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from numpy_erniem import (
    ErnieMConfig,
    ErnieMForMaskedLM,
    ErnieMModel,
    ErnieMTokenizer,
    MaskFiller,
    bundled_checkpoint,
    convert,
)
from numpy_erniem.pipelines import fill
from numpy_erniem.pipelines.fill import best_tokens, target_id
from tests.conftest import REPOSITORY

ONE, TWO = "Open the [MASK] now.", "[MASK] the file [MASK]"


@pytest.fixture(scope="module")
def tokenizer():
    return ErnieMTokenizer.from_pretrained(bundled_checkpoint())


@pytest.fixture(scope="module")
def model(tokenizer):
    config = ErnieMConfig(
        vocab_size=len(tokenizer),
        hidden_size=12,
        num_attention_heads=3,
        num_hidden_layers=2,
        intermediate_size=37,
        initializer_range=0.3,
        max_position_embeddings=34,
    )
    return ErnieMForMaskedLM(config, seed=1)


@pytest.fixture
def filler(model, tokenizer):
    return MaskFiller(model, tokenizer)


def probabilities(model, tokenizer, text):
    """For each mask of a text that fits, the probabilities of the vocabulary."""
    ids = tokenizer(text, return_tensors="np")["input_ids"]
    logits = model(ids).logits[0][ids[0] == tokenizer.mask_token_id].astype(np.float64)
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def test_the_best_tokens_of_the_vocabulary(filler, model, tokenizer, backend):
    (want,) = probabilities(model, tokenizer, ONE)
    found = filler(ONE)
    assert [f["token_id"] for f in found] == np.argsort(-want, kind="stable")[:5].tolist()
    for f in found:
        assert list(f) == ["token", "token_id", "score", "sequence"]
        assert f["score"] == pytest.approx(want[f["token_id"]], abs=1e-6)
        piece = tokenizer.convert_ids_to_tokens(f["token_id"])
        assert f["token"] == piece.replace("▁", " ").strip()
        assert f["token"] in f["sequence"]
        assert f["sequence"].startswith("Open the")
        assert not any(name in f["sequence"] for name in ("[CLS]", "[SEP]", "[MASK]"))


def test_several_masks_are_filled_each_for_itself(filler, model, tokenizer, backend):
    want = probabilities(model, tokenizer, TWO)
    found = filler(TWO)
    assert [[f["token_id"] for f in fillings] for fillings in found] == [
        np.argsort(-p, kind="stable")[:5].tolist() for p in want
    ]
    assert all(f["sequence"].count("[MASK]") == 1 for fillings in found for f in fillings)
    assert not any("[CLS]" in f["sequence"] for fillings in found for f in fillings)


def test_top_k_is_an_option(filler, tokenizer):
    assert filler(ONE, top_k=2) == filler(ONE)[:2]
    assert isinstance(filler(ONE, top_k=1), list)
    assert len(filler(ONE, top_k=1_000_000)) == len(tokenizer)
    with pytest.raises(ValueError, match="top_k 0 is not at least 1"):
        filler(ONE, top_k=0)


def test_targets_have_their_scores_in_the_whole_vocabulary(filler, tokenizer):
    every = {f["token_id"]: f for f in filler(ONE, top_k=len(tokenizer))}
    found = filler(ONE, targets=["file", "▁open", "窗"])
    assert [f["score"] for f in found] == sorted((f["score"] for f in found), reverse=True)
    pieces = {tokenizer.convert_ids_to_tokens(f["token_id"]) for f in found}
    assert pieces == {"▁file", "▁open", "窗"}
    assert found == sorted(
        (every[f["token_id"]] for f in found), key=lambda f: (-f["score"], f["token_id"])
    )
    assert filler(ONE, targets="file") == [every[tokenizer.convert_tokens_to_ids("▁file")]]
    assert len(filler(ONE, targets=["file", "▁file"])) == 1
    assert len(filler(ONE, targets=["file", "open"], top_k=1)) == 1


def test_a_word_is_looked_up_with_an_underline_then_without(tokenizer):
    known = tokenizer.get_vocab()
    assert "窗" in known
    assert "▁窗" not in known
    assert target_id(tokenizer, "窗") == known["窗"]
    assert {"▁a", "a"} <= known.keys()
    assert target_id(tokenizer, "a") == target_id(tokenizer, "▁a") == known["▁a"]
    assert target_id(tokenizer, "ａ") == known["▁a"]  # as the tokenizer writes it


@pytest.mark.parametrize("kind", [iter, np.array, dict.fromkeys, lambda t: {1: t}])
def test_targets_are_taken_as_texts_are(kind, filler):
    targets = kind(["file", "▁open"])
    if isinstance(targets, dict):
        with pytest.raises(TypeError, match="targets is a dict, a mapping; give a list of str"):
            filler(ONE, targets=targets)
    else:
        assert filler(ONE, targets=targets) == filler(ONE, targets=["file", "▁open"])


@pytest.mark.parametrize(
    ("targets", "error", "message"),
    [
        ([], ValueError, "targets is empty"),
        (["window now"], ValueError, r"the target 'window now' is \d tokens: .*▁now"),
        (["Ungetüm"], ValueError, r"the target 'Ungetüm' is \d tokens: "),
        ([""], ValueError, "the target '' is no token"),
        ([3], TypeError, "the target 3 is a int, not a str"),
    ],
)
def test_a_wrong_target_is_named(targets, error, message, filler):
    with pytest.raises(error, match=message):
        filler(ONE, targets=targets)


def test_equal_scores_keep_the_lower_id():
    logits = np.float32([0, 2, 1, 2, 1, 1])
    ids, scores = best_tokens(logits, 3, np.arange(6))
    assert ids == [1, 3, 2]
    assert sum(best_tokens(logits, 9, np.arange(6))[1]) == pytest.approx(1)
    assert best_tokens(logits, 3, np.array([0, 4, 5]))[0] == [4, 5, 0]
    assert scores[0] == pytest.approx(np.exp(2) / np.exp(logits.astype(float)).sum())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no mask", r"texts: there is no \[MASK\] in it; write one"),
        ("", r"there is no \[MASK\] in it"),
    ],
)
def test_a_text_without_a_mask_is_an_error(text, message, filler):
    with pytest.raises(ValueError, match=message):
        filler(text)
    with pytest.raises(ValueError, match=r"texts\[1\]: there is no \[MASK\]"):
        filler([ONE, text])
    outcomes = list(filler.outcomes([ONE, text, TWO]))
    assert [o.error is None for o in outcomes] == [True, False, True]


def test_each_mask_of_a_long_text_is_read_in_the_middle_of_a_window(filler, model, tokenizer):
    text = " ".join(f"a{n} [MASK] b" for n in range(20))
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    masks = [n for n, i in enumerate(ids) if i == tokenizer.mask_token_id]
    room = 32 - 2
    starts = range(0, len(ids) - room // 2, room - room // 2)
    found = filler(text, top_k=1)
    assert len(found) == len(masks) == 20
    assert len(starts) > 3
    for mask, ((best),) in zip(masks, found, strict=True):
        windows = [(s, min(s + room, len(ids))) for s in starts]
        start, end = max(
            (w for w in windows if w[0] <= mask < w[1]),
            key=lambda w: (min(mask - w[0], w[1] - 1 - mask), -w[0]),
        )
        logits = model([[0, *ids[start:end], 2]]).logits[0, 1 + mask - start]
        assert best["token_id"] == int(np.argmax(logits))
    with pytest.raises(ValueError, match="tokens are more than the 30"):
        filler(text, on_overflow="error")


def test_a_long_text_is_cut_on_request(filler):
    text = "[MASK] " + "window " * 40 + "[MASK]"
    assert len(filler(text)) == 2
    with pytest.warns(UserWarning, match="1 of 1 texts have more than 32 tokens and were cut"):
        found = filler(text, on_overflow="cut")
    assert [list(f) for f in found] == [["token", "token_id", "score", "sequence"]] * 5
    with pytest.raises(ValueError, match="in the part that is read"):
        filler("window " * 40 + "[MASK]", on_overflow="cut")


def test_a_batch_is_its_texts_alone(model, tokenizer, backend):
    if backend == "numpy":
        pytest.skip("the products of NumPy depend on the number of rows")
    filler = MaskFiller(model, tokenizer)
    texts = [ONE, TWO, "打开[MASK]", "[MASK] " * 7, " ".join(["[MASK] a b c d e f g"] * 6)]
    want = [filler(text) for text in texts]
    assert filler(texts) == want
    assert filler(texts, batch_tokens=1) == want
    assert list(filler.stream(iter(texts))) == want


def test_masks_are_scored_in_parts(filler, monkeypatch, tokenizer):
    texts = [ONE, TWO, "[MASK] " * 7]
    want = filler(texts)
    monkeypatch.setattr(fill, "LOGITS", 2 * len(tokenizer))
    sizes = []

    def score(self, hidden):
        sizes.append(len(hidden))
        return original(self, hidden)

    original = ErnieMForMaskedLM.score_vocabulary
    monkeypatch.setattr(ErnieMForMaskedLM, "score_vocabulary", score)
    got = filler(texts)
    assert max(sizes) == 2
    assert sum(sizes) == 10
    for a, b in zip(got, want, strict=True):
        assert str(a)[:60] == str(b)[:60]


def stub(model, calls):
    """The same model as a function that gives logits."""

    def call(input_ids, attention_mask):
        calls.append(input_ids.shape)
        return {"logits": model(input_ids, attention_mask=attention_mask).logits}

    call.config = model.config
    return call


def test_a_stub_model_is_given_few_tokens_at_a_time(model, tokenizer, monkeypatch):
    calls = []
    texts = [ONE, TWO, ONE]
    want = MaskFiller(model, tokenizer)(texts)
    got = MaskFiller(stub(model, calls), tokenizer)(texts)
    assert [f["token_id"] for f in got[0]] == [f["token_id"] for f in want[0]]
    assert got[0][0]["score"] == pytest.approx(want[0][0]["score"], abs=1e-6)
    assert len(calls) == 1
    monkeypatch.setattr(fill, "LOGITS", 12 * len(tokenizer))
    MaskFiller(stub(model, calls), tokenizer)(texts)
    assert len(calls) == 4


def test_a_model_with_more_rows_than_tokens(tokenizer):
    def model(input_ids, attention_mask):
        logits = np.zeros((*input_ids.shape, len(tokenizer) + 8), np.float32)
        logits[..., len(tokenizer) + 3], logits[..., 7] = 9, 5
        return SimpleNamespace(logits=logits)

    model.config = SimpleNamespace(max_length=64, pad_token_id=1)
    best = MaskFiller(model, tokenizer)(ONE)[0]
    assert best["token_id"] == 7
    assert best["score"] < 0.5


def test_a_filler_is_loaded_and_pickled(model, tokenizer, tmp_path):
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    filler = MaskFiller.from_pretrained(tmp_path, top_k=2, targets=["file", "open", "now"])
    want = filler(ONE)
    assert len(want) == 2
    assert pickle.loads(pickle.dumps(filler))(ONE) == want


def test_a_checkpoint_without_the_head_is_named(tokenizer, tmp_path):
    encoder = ErnieMModel.from_pretrained(bundled_checkpoint())
    encoder.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="ErnieMModel; MaskFiller needs an ErnieMForMaskedLM"):
        MaskFiller.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="an ErnieMModel; MaskFiller needs an ErnieM"):
        MaskFiller(encoder, tokenizer)(ONE)


def test_a_tokenizer_without_a_mask_is_refused(model):
    tokenizer = ErnieMTokenizer.from_pretrained(bundled_checkpoint(), mask_token=None)
    with pytest.raises(ValueError, match="the tokenizer has no mask token"):
        MaskFiller(model, tokenizer)(ONE)


@pytest.fixture
def oracle(transformers, torch, tmp_path):
    """Upstream's pipeline with an XLM-R of random weights, and ours with the converted folder."""
    from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM, XLMRobertaTokenizer, pipeline

    pieces = tmp_path / "pieces"
    pieces.mkdir()
    shutil.copy(bundled_checkpoint() / "sentencepiece.bpe.model", pieces)
    theirs = XLMRobertaTokenizer(str(pieces / "sentencepiece.bpe.model"))
    config = XLMRobertaConfig(
        vocab_size=len(theirs),
        hidden_size=12,
        num_attention_heads=3,
        num_hidden_layers=2,
        intermediate_size=37,
        max_position_embeddings=66,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
    model = XLMRobertaForMaskedLM(config).eval()
    generator = torch.Generator().manual_seed(5)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3, generator=generator)
    model.save_pretrained(tmp_path / "source")
    theirs.save_pretrained(tmp_path / "source")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        convert(tmp_path / "source", tmp_path / "out")
        ours = MaskFiller.from_pretrained(tmp_path / "out")
    return pipeline("fill-mask", model=model, tokenizer=theirs, device=-1), ours


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", [{}, {"top_k": 9}, {"targets": ["▁file", "▁open", "▁the"]}])
@pytest.mark.parametrize("text", ["Open the <mask> now.", "<mask> Datei", "打开<mask>。"])
def test_one_mask_is_filled_as_by_upstream(text, options, oracle, backend):
    theirs, ours = oracle
    want = theirs(text, **options)
    got = ours(text.replace("<mask>", ours.tokenizer.mask_token), **options)
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        assert (a["token_id"], a["token"]) == (b["token"], b["token_str"].strip())
        assert a["score"] == pytest.approx(b["score"], abs=1e-5)
        assert a["sequence"].split() == b["sequence"].split()


@pytest.mark.filterwarnings("ignore")
def test_two_masks_are_filled_as_by_upstream(oracle, backend):
    theirs, ours = oracle
    text = "Open <mask> file <mask>."
    want = theirs(text)
    got = ours(text.replace("<mask>", ours.tokenizer.mask_token))
    for mine, others in zip(got, want, strict=True):
        assert [a["token_id"] for a in mine] == [b["token"] for b in others]
        for a, b in zip(mine, others, strict=True):
            assert a["score"] == pytest.approx(b["score"], abs=1e-5)


def test_the_examples_of_the_page():
    page = REPOSITORY / "docs/fill.md"
    result = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert result.attempted > 5
    assert result.failed == 0
