"""The tokenizer of the XLM-R family: the same ids from either of its files."""

import json
import shutil

import numpy as np
import pytest

from numpy_erniem import ErnieMTokenizer, convert
from numpy_erniem.checkpoint.folder import read_folder, write_folder
from numpy_erniem.conversion.unigram import read_unigram, sentencepiece_model, varint


@pytest.fixture
def source(family_source):
    return family_source


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


def test_the_models_inputs_are_written_for_other_programs(source, tmp_path):
    convert(source, tmp_path / "out")
    settings = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert settings["model_input_names"] == ["input_ids", "attention_mask"]


def test_ids_equal_upstreams(shared, source, tmp_path):
    transformers = pytest.importorskip("transformers")
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
    "byte_fallback": {"model": {"type": "Unigram", "vocab": [], "byte_fallback": True}},
    "is not a list of texts": {"model": {"type": "Unigram", "vocab": [["a", "b"]]}},
    "not a list of texts with scores": {"model": {"type": "Unigram", "vocab": [["a", 1e300]]}},
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
    with pytest.raises(ValueError, match="not a SentencePiece model"):
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


def test_tokens_that_are_lost_are_noted(source, tmp_path):
    (source / "added_tokens.json").write_text('{"<mask>": 5, "<entity>": 999999}')
    report = convert(source, tmp_path / "out")
    assert report.notes == ["added tokens become plain text: '<entity>'"]
