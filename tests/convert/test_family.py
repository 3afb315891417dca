"""XLM-RoBERTa's family: torch's numbers from the folded weights, the same ids, the settings."""

import json
import shutil

import numpy as np
import pytest

import numpy_erniem
from numpy_erniem import ErnieMModel, ErnieMTokenizer, convert
from numpy_erniem.conversion.family import DIFFERS, FAMILY, from_family
from numpy_erniem.conversion.unigram import read_unigram, sentencepiece_model, varint
from numpy_erniem.hub import bundled_checkpoint
from numpy_erniem.sentence_settings import read_settings
from numpy_erniem.storage import read_folder, write_folder
from numpy_erniem.tasks.embed import Embedder

SIZES = {
    "vocab_size": 99,
    "hidden_size": 12,
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "intermediate_size": 37,
    "max_position_embeddings": 30,
    "layer_norm_eps": 1e-5,
}
IDS = np.array([[0, 5, 17, 2, 8, 9, 3], [0, 6, 7, 2, 1, 1, 1]])
MASK = (IDS != 1).astype(int)


@pytest.fixture
def transformers():
    pytest.importorskip("torch")
    return pytest.importorskip("transformers")


@pytest.fixture
def make(transformers, tmp_path):
    """Save a small model of a class, with large random weights, and return model and folder."""
    import torch

    def make(name, safe=True, **sizes):
        config_name = "XLMRobertaConfig" if name.startswith("XLM") else "BertConfig"
        config = getattr(transformers, config_name)(**{**SIZES, **sizes})
        torch.manual_seed(7)
        model = getattr(transformers, name)(config).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, 0, 0.3)
        model.save_pretrained(tmp_path / "source", safe_serialization=safe)
        return model, tmp_path / "source"

    return make


def run(model, **arguments):
    import torch

    tensors = {name: torch.from_numpy(x) for name, x in arguments.items()}
    with torch.no_grad():
        return model(**tensors, output_hidden_states=True)


def converted(folder, tmp_path):
    report = convert(folder, tmp_path / "out", tokenizer=False)
    return tmp_path / "out", report


@pytest.mark.parametrize("name", ["XLMRobertaModel", "BertModel"])
def test_the_encoder_equals_torchs(name, make, tmp_path, backend):
    model, source = make(name, pad_token_id=1)
    out, _ = converted(source, tmp_path)
    want = run(model, input_ids=IDS, attention_mask=MASK)
    got = ErnieMModel.from_pretrained(out)(IDS, attention_mask=MASK, output_hidden_states=True)
    for a, b in zip(got.hidden_states, want.hidden_states, strict=True):
        np.testing.assert_allclose(a[MASK == 1], b.numpy()[MASK == 1], rtol=0, atol=1e-5)
    np.testing.assert_allclose(got.pooler_output, want.pooler_output.numpy(), rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*tensors not used:UserWarning")
@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "bin"])
@pytest.mark.parametrize(
    "name", ["XLMRobertaForSequenceClassification", "BertForSequenceClassification"]
)
def test_the_classifier_equals_torchs(name, safe, make, tmp_path):
    model, source = make(name, safe, pad_token_id=1, num_labels=5)
    out, _ = converted(source, tmp_path)
    w = {n: t.numpy() for n, t in read_folder(out).items()}
    encoder = ErnieMModel.from_pretrained(out)
    got = encoder(IDS, attention_mask=MASK).pooler_output @ w["classifier.weight"].T
    want = run(model, input_ids=IDS, attention_mask=MASK).logits.numpy()
    np.testing.assert_allclose(got + w["classifier.bias"], want, rtol=0, atol=1e-5)
    assert encoder.config.architectures == ["ErnieMForSequenceClassification"]
    assert encoder.config.num_labels == 5


HEADED = {
    "XLMRobertaForTokenClassification": "classifier.weight",
    "XLMRobertaForQuestionAnswering": "qa_outputs.weight",
    "XLMRobertaForMultipleChoice": "classifier.weight",
    "XLMRobertaForMaskedLM": "lm_head.layer_norm.weight",
    "BertForTokenClassification": "classifier.weight",
    "BertForQuestionAnswering": "qa_outputs.weight",
}


@pytest.mark.parametrize("name", HEADED)
def test_other_heads_equal_torchs(name, make, tmp_path):
    model, source = make(name, pad_token_id=1)
    out, _ = converted(source, tmp_path)
    assert HEADED[name] in read_folder(out)
    ours = numpy_erniem.load(out)
    assert type(ours).__name__ == "ErnieMFor" + name.partition("For")[2]
    arguments = {"input_ids": IDS, "attention_mask": MASK}
    if name.endswith("MultipleChoice"):
        arguments = {key: value[None] for key, value in arguments.items()}
    want, got = run(model, **arguments), ours(**arguments)
    for key in ("logits", "start_logits", "end_logits"):
        if key in want:
            a, b = got[key], want[key].numpy()
            seen = MASK == 1 if b.shape[:2] == IDS.shape else slice(None)
            np.testing.assert_allclose(a[seen], b[seen], rtol=0, atol=2e-5)


def test_a_head_that_ernie_m_has_not_is_dropped(make, tmp_path):
    _, source = make("BertForMaskedLM", pad_token_id=1)
    out, report = converted(source, tmp_path)
    assert any(name.startswith("cls.predictions.") for name in report.dropped)
    assert not any(name.startswith("cls.") for name in read_folder(out))


def test_a_missing_pooler_becomes_the_identity(make, tmp_path):
    _, source = make("BertForMaskedLM", pad_token_id=1)
    out, report = converted(source, tmp_path)
    got = ErnieMModel.from_pretrained(out)(IDS)
    np.testing.assert_allclose(got.pooler_output, np.tanh(got.last_hidden_state[:, 0]), atol=1e-6)
    assert "pooler.dense" in report.made


def test_a_second_token_type_is_noted(make, tmp_path):
    _, source = make("BertModel", type_vocab_size=2)
    assert "token type 1" in str(converted(source, tmp_path)[1])


def test_half_precision_sources(make, tmp_path):
    model, source = make("XLMRobertaModel", pad_token_id=1)
    model.half().save_pretrained(source)
    out, _ = converted(source, tmp_path)
    want = run(model.float(), input_ids=IDS, attention_mask=MASK).last_hidden_state.numpy()
    got = ErnieMModel.from_pretrained(out)(IDS, attention_mask=MASK)[0]
    np.testing.assert_allclose(got[MASK == 1], want[MASK == 1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", sorted(DIFFERS))
def test_other_architectures_are_refused_by_what_differs(kind):
    with pytest.raises(ValueError, match="is not of the ERNIE-M architecture") as caught:
        from_family({"model_type": kind}, {})
    assert DIFFERS[kind] in str(caught.value)


@pytest.mark.parametrize("kind", [None, 3, [], "unheard-of"])
def test_an_unknown_architecture_is_refused(kind):
    with pytest.raises(ValueError, match=f"can be converted: ernie_m, {FAMILY[0]}"):
        from_family({"model_type": kind}, {})


FEATURES = {
    "position_embedding_type 'relative_key'": {"position_embedding_type": "relative_key"},
    "is_decoder is true": {"is_decoder": True},
    "pad_token_id 3": {"pad_token_id": 3},
}


@pytest.mark.parametrize("message", FEATURES)
def test_a_feature_that_ernie_m_has_not_is_named(message, make, tmp_path):
    _, source = make("XLMRobertaModel", **{"pad_token_id": 1})
    config = json.loads((source / "config.json").read_text()) | FEATURES[message]
    (source / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        convert(source, tmp_path / "out", tokenizer=False)


def test_a_tensor_without_a_place_is_named(make, tmp_path):
    _, source = make("XLMRobertaModel", pad_token_id=1)
    tensors = {n: t.numpy() for n, t in read_folder(source).items()}
    tensors["encoder.layer.0.adapter.weight"] = np.ones(3, np.float32)
    write_folder(source, tensors)
    with pytest.raises(ValueError, match=r"encoder\.layer\.0\.adapter\.weight has no place"):
        convert(source, tmp_path / "out", tokenizer=False)


def sentence_folder(source, prompts=None, pooling=("mean",), **modules):
    """Add what sentence-transformers writes."""
    kinds = modules.get("kinds", ("Transformer", "Pooling", "Normalize"))
    listing = [
        {"idx": n, "path": f"{n}_{kind}" if n else "", "type": f"sentence_transformers.{kind}"}
        for n, kind in enumerate(kinds)
    ]
    (source / "modules.json").write_text(json.dumps(listing))
    (source / "1_Pooling").mkdir(exist_ok=True)
    names = {"mean": "mean_tokens", "cls": "cls_token", "max": "max_tokens"}
    switches = {f"pooling_mode_{long}": short in pooling for short, long in names.items()}
    (source / "1_Pooling/config.json").write_text(json.dumps(switches))
    (source / "sentence_bert_config.json").write_text('{"max_seq_length": 9}')
    values = {"prompts": prompts or {}, "default_prompt_name": "query" if prompts else None}
    (source / "config_sentence_transformers.json").write_text(json.dumps(values))


@pytest.fixture
def source(tmp_path):
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


def test_pooling_scaling_length_and_prefixes_are_recorded(source, tmp_path):
    sentence_folder(source, {"query": "Q: ", "passage": "P: "}, ("cls",))
    convert(source, tmp_path / "out")
    assert read_settings(tmp_path / "out") == {
        "pooling": "cls",
        "normalize": True,
        "prefixes": {"query": "Q: ", "passage": "P: "},
        "default_prefix": "query",
        "max_length": 9,
    }


def test_embedding_honours_what_is_recorded(source, tmp_path):
    sentence_folder(source, {"query": "Q: ", "passage": "P: "}, ("cls",))
    convert(source, tmp_path / "out")
    embedder = Embedder.from_pretrained(tmp_path / "out")
    explicit = {"pooling": "cls", "normalize": True}
    np.testing.assert_array_equal(embedder(["a"]), embedder(["a"], prefix="Q: ", **explicit))
    np.testing.assert_array_equal(
        embedder(["a"], prefix="passage"), embedder(["a"], prefix="P: ", **explicit)
    )
    assert not np.allclose(embedder(["a"]), embedder(["a"], pooling="mean"))
    assert np.linalg.norm(embedder(["a"])) == pytest.approx(1, abs=1e-6)
    with pytest.warns(UserWarning, match="more than 9 tokens"):
        embedder(["a b c d e f g h i j k l m n"])


def test_e5_gets_its_prefixes_by_its_name(source, tmp_path):
    sentence_folder(source)
    config = json.loads((source / "config.json").read_text())
    config["_name_or_path"] = "intfloat/multilingual-e5-small"
    (source / "config.json").write_text(json.dumps(config))
    convert(source, tmp_path / "out")
    settings = read_settings(tmp_path / "out")
    assert settings["prefixes"] == {"query": "query: ", "passage": "passage: "}
    assert settings["default_prefix"] == "query"


REFUSED = {
    "pools by max": {"pooling": ("max",)},
    "pools by cls and mean": {"pooling": ("mean", "cls")},
    "a module 'Dense'": {"kinds": ("Transformer", "Pooling", "Dense")},
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_pooled_is_named(message, source, tmp_path):
    sentence_folder(source, **REFUSED[message])
    with pytest.raises(ValueError, match=message):
        convert(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_modules_may_not_name_other_folders(source, tmp_path):
    listing = [{"type": "x.Pooling", "path": "../elsewhere"}]
    (source / "modules.json").write_text(json.dumps(listing))
    with pytest.raises(ValueError, match="not a folder beside it"):
        convert(source, tmp_path / "out")


def unigram_json(source, charsmap="AAAA", **changes):
    """A tokenizer.json with the pieces of the SentencePiece model, which it replaces."""
    from sentencepiece import SentencePieceProcessor

    processor = SentencePieceProcessor(model_file=str(source / "sentencepiece.bpe.model"))
    (source / "sentencepiece.bpe.model").unlink()
    pieces = [
        [processor.id_to_piece(n), processor.get_score(n)]
        for n in range(3, processor.get_piece_size())
    ]
    first = [[text, 0.0] for text in ("<s>", "<pad>", "</s>", "<unk>")]
    content = {
        "model": {"type": "Unigram", "unk_id": 3, "vocab": [*first, *pieces, ["<mask>", 0.0]]},
        "normalizer": {"type": "Precompiled", "precompiled_charsmap": charsmap},
        **changes,
    }
    (source / "tokenizer.json").write_text(json.dumps(content))


def charsmap_of(model_file):
    """The compiled normalisation inside a SentencePiece model, as base64."""
    import base64

    raw = model_file.read_bytes()
    at = raw.index(b"\x0a\x08nmt_nfkc") + 10
    assert raw[at] == 0x12
    length, shift, at = 0, 0, at + 1
    while True:
        length |= (raw[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if raw[at - 1] < 128:
            return base64.b64encode(raw[at : at + length]).decode()


TEXTS = ["Hello, world 2020年!", "  a  b ", "Zażółć ﬁ ½ Ａ", "", "東京都 is 大"]


def test_tokenizer_json_gives_the_ids_of_the_sentencepiece_model(source, tmp_path):
    convert(source, tmp_path / "one")
    unigram_json(source, charsmap_of(source / "sentencepiece.bpe.model"))
    convert(source, tmp_path / "two")
    one, two = (ErnieMTokenizer.from_pretrained(tmp_path / name) for name in ("one", "two"))
    assert one(TEXTS)["input_ids"] == two(TEXTS)["input_ids"]


def test_pieces_are_not_cut(source, tmp_path):
    convert(source, tmp_path / "out")
    from sentencepiece import SentencePieceProcessor

    processor = SentencePieceProcessor(model_file=str(source / "sentencepiece.bpe.model"))
    tokenizer = ErnieMTokenizer.from_pretrained(tmp_path / "out")
    for text in TEXTS:  # XLM-R: SentencePiece's ids plus one, <unk> is 3
        want = [3 if n == 0 else n + 1 for n in processor.encode(text)]
        assert tokenizer(text)["input_ids"] == [0, *want, 2]


def test_ids_equal_upstreams(shared, transformers, source, tmp_path):
    config = json.loads((source / "config.json").read_text())
    shutil.copy(shared / "data/tokenizer/sentencepiece.bpe.model", source)
    tensors = {n: t.numpy() for n, t in read_folder(source).items()}
    tensors["embeddings.word_embeddings.weight"] = np.ones((250002, 12), np.float32)
    write_folder(source, tensors)
    (source / "config.json").write_text(json.dumps(config | {"vocab_size": 250002}))
    convert(source, tmp_path / "out")
    ours = ErnieMTokenizer.from_pretrained(tmp_path / "out")
    theirs = transformers.XLMRobertaTokenizer(str(source / "sentencepiece.bpe.model"))
    for text in [*TEXTS, "query: how much protein?", "ok  ▁ x", "a b c"]:
        assert ours(text)["input_ids"] == theirs(text)["input_ids"]


OTHER_TOKENIZERS = {
    "WordPiece": {"model": {"type": "WordPiece", "vocab": {"a": 1}}},
    "BPE": {"model": {"merges": [], "vocab": {}}},
    "falls back to bytes": {"model": {"type": "Unigram", "vocab": [], "byte_fallback": True}},
    "no list of texts": {"model": {"type": "Unigram", "vocab": [["a", "b"]]}},
    "begins with": {"model": {"type": "Unigram", "vocab": [["<pad>", 0.0]]}},
    "of no known kind": {"model": []},
    "normalises by Lowercase": {"normalizer": {"type": "Lowercase"}},
    "no compiled normalisation": {"normalizer": {"normalizers": []}},
    "not base64": {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "ä"}},
}


@pytest.mark.parametrize("message", OTHER_TOKENIZERS)
def test_another_tokenizer_is_refused(message, source, tmp_path):
    unigram_json(source, **OTHER_TOKENIZERS[message])
    with pytest.raises(ValueError, match=message) as caught:
        convert(source, tmp_path / "out")
    assert "--no-tokenizer" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_source_without_a_tokenizer_is_refused_with_the_remedy(source, tmp_path):
    (source / "sentencepiece.bpe.model").unlink()
    with pytest.raises(ValueError, match=r"neither .* nor tokenizer.json; .*--no-tokenizer"):
        convert(source, tmp_path / "out")


def test_a_broken_sentencepiece_model_is_refused(source, tmp_path):
    (source / "sentencepiece.bpe.model").write_bytes(b"\xff" * 40)
    with pytest.raises(ValueError, match="no SentencePiece model"):
        convert(source, tmp_path / "out")


def test_a_protocol_buffer_by_hand():
    assert varint(1) == b"\x01"
    assert varint(300) == b"\xac\x02"
    first = sentencepiece_model([("a", -1.0)], b"")[:11]
    assert first == b"\x0a\x0e\x0a\x05<unk>\x15\x00"


def test_pieces_lose_the_mask_and_the_special_ones():
    first = [[text, 0.0] for text in ("<s>", "<pad>", "</s>", "<unk>")]
    content = {
        "model": {"type": "Unigram", "vocab": [*first, ["▁a", -2], ["<mask>", 0.0]]},
        "normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"},
    }
    assert read_unigram(content) == ([("▁a", -2.0)], b"\0\0\0")
