"""The tokenizer of the XLM-R family: the same ids from either of its files."""

import json
import re
import shutil

import numpy as np
import pytest

from numpy_erniem import ErnieMTokenizer, convert
from numpy_erniem.checkpoint.folder import read_folder, write_folder
from numpy_erniem.conversion.unigram import (
    XLM_R,
    block,
    read_rules,
    read_vocabulary,
    sentencepiece_model,
    varint,
    whole,
)

from .fast_files import fast_tokenizer, pieces_of, write


@pytest.fixture
def source(family_source):
    return family_source


def use_fast_file(source, **changes):
    """Replace the SentencePiece model of a folder by a tokenizer.json."""
    write(source, fast_tokenizer(*pieces_of(), **changes))
    (source / "sentencepiece.bpe.model").unlink()


TEXTS = ["Hello, world 2020年!", "  a  b ", "Zażółć ﬁ ½ Ａ", "", "東京都 is 大"]


def test_tokenizer_json_gives_the_ids_of_the_sentencepiece_model(source, tmp_path):
    convert(source, tmp_path / "one")
    use_fast_file(source)
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


def unigram(vocab, **changes):
    return {"model": {"type": "Unigram", "unk_id": 3, "vocab": vocab, **changes}}


FIRST = [[text, 0.0] for text in ("<s>", "<pad>", "</s>", "<unk>")]
PRECOMPILED = {"type": "Precompiled", "precompiled_charsmap": "ä"}
OTHER_TOKENIZERS = {
    "WordPiece": {"model": {"type": "WordPiece", "vocab": {"a": 1}}},
    "BPE": {"model": {"merges": [], "vocab": {}}},
    "WordLevel": {"model": {"type": "WordLevel", "vocab": {"a": 1}}},
    "byte_fallback": unigram([], byte_fallback=True),
    "has 'alpha': 0.1": unigram([], alpha=0.1),
    "is not a list of texts": unigram([["a", "b"]]),
    "not a list of texts with scores": unigram([["a", 1e300]]),
    "begins with": unigram([["<pad>", 0.0]]),
    "unk_id is 1, but <unk> has the id 3": unigram([*FIRST, ["▁", -1]], unk_id=1),
    "'▁a' is listed twice": unigram([*FIRST, ["▁", -1], ["▁a", -1], ["▁a", -1]]),
    "'a▁b' has a \"▁\" inside": unigram([*FIRST, ["▁", -1], ["a▁b", -1]]),
    'no piece "▁"': unigram([*FIRST, ["▁a", -1]]),
    "line break": unigram([*FIRST, ["▁", -1], ["a\n", -1]]),
    "of no known kind": {"model": []},
    "not base64": {"normalizer": PRECOMPILED},
}


@pytest.mark.parametrize("message", OTHER_TOKENIZERS)
def test_another_tokenizer_is_refused(message, source, tmp_path):
    use_fast_file(source, **OTHER_TOKENIZERS[message])
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        convert(source, tmp_path / "out")
    assert "--no-tokenizer" in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "kind"), [("vocab.txt", "WordPiece"), ("merges.txt", "BPE"), ("other", "")]
)
def test_a_source_without_a_tokenizer_is_refused_with_the_remedy(name, kind, source, tmp_path):
    (source / "sentencepiece.bpe.model").unlink()
    (source / name).write_text("a\n")
    with pytest.raises(ValueError, match=rf"neither .* nor tokenizer.json.*{kind}; .*--no-token"):
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


def test_the_rules_of_a_model_are_read_back():
    assert read_rules(sentencepiece_model([("▁", -1.0)], b"rules")) == (1, b"rules", (1, 1, 1))
    without_prefix = block(3, whole(3, 0) + whole(4, 1))
    assert read_rules(whole(9, 300) + block(2, whole(3, 2)) + without_prefix) == (2, b"", (0, 1, 1))


@pytest.mark.parametrize("damaged", [b"\x1a\x05a", b"\x1a", b"\x1b", b"\xff" * 12, b"\x18\x01"])
def test_a_damaged_model_is_our_error(damaged):
    with pytest.raises(ValueError, match="SentencePiece model"):
        read_rules(damaged)


def test_pieces_lose_the_mask_and_the_special_ones():
    content = unigram([*FIRST, ["▁", -2], ["<mask>", 0.0]])
    layout, tokens, pieces = read_vocabulary(content["model"])
    assert (layout, pieces) == (XLM_R, [("▁", -2.0)])
    assert tokens == ["<s>", "<pad>", "</s>", "<unk>", "▁", "<mask>"]


def test_special_tokens_keep_their_spelling(source, tmp_path):
    convert(source, tmp_path / "out")
    ours = ErnieMTokenizer.from_pretrained(tmp_path / "out")
    assert (ours.cls_token, ours.mask_token) == ("<s>", "<mask>")
    assert ours("a <mask>")["input_ids"][-2] == ours.mask_token_id == len(ours) - 1
