"""Ids of whole corpora, CamemBERT's ids, lowered texts: as the source's own library."""

import gzip
import json
import os
import shutil

import numpy as np
import pytest

from numpy_erniem import Embedder, ErnieMTokenizer, convert
from numpy_erniem.conversion.report import Report
from numpy_erniem.conversion.tokenizers import MODEL_FILE, copy_ernie_m

from .fast_files import (
    BUNDLED,
    LAYOUTS,
    METASPACE,
    convert_tokenizer,
    fast_tokenizer,
    pieces_of,
    write,
    write_model,
)

PIECES, CHARSMAP = pieces_of(most=600)
EVERY = 1 if os.environ.get("NUMPY_ERNIEM_WHOLE_CORPUS") else 9
MARKS = [
    "カ\u3099 ｶﾞ ﾊﾟ",
    "e\u0323\u0302 e\u0301t\u00e9",
    "\u1112\u1161\u11ab한",
    "½\u0301 x\u0301\u0302 ™\ufe0f",
    "a\u0e33 ก\u0e33",
    "हिन्दी ज\u093c",
    "👍🏽👩\u200d👩",
    "\u0601e\u0301",
    "\n\u0301 \u0301",
    "한국어",
]


@pytest.fixture(scope="module")
def corpus(shared):
    file = shared / "data/corpus/dev.tsv.gz"
    if not file.is_file():
        pytest.skip("the corpus is not on this machine")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [text for line in lines for text in line.rstrip("\n").split("\t")[1:]][::EVERY]


@pytest.fixture(scope="module", params=["tokenizer.json", MODEL_FILE, "both"])
def published(request, shared, transformers, tmp_path_factory):
    """Our tokenizer of the published pieces, in one file or both, and the source's own ids."""
    folder = tmp_path_factory.mktemp("published")
    model = shared / "data/tokenizer" / MODEL_FILE
    if request.param != MODEL_FILE:
        write(folder, fast_tokenizer(*pieces_of(model)))
    if request.param != "tokenizer.json":
        shutil.copy(model, folder)
    ours, _ = convert_tokenizer(folder, folder / "out")
    return ours, reference(folder, transformers)


def reference(folder, transformers):
    """The source's own tokenizer: text → ids."""
    if not (folder / "tokenizer.json").is_file():
        slow = transformers.XLMRobertaTokenizer.from_pretrained(str(folder))
        return lambda texts: slow(texts)["input_ids"]
    tokenizers = pytest.importorskip("tokenizers")
    fast = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    return lambda texts: [row.ids for row in fast.encode_batch(texts)]


def test_ids_of_29_languages_equal_the_sources(published, corpus):
    ours, theirs = published
    got, want = ours(corpus)["input_ids"], theirs(corpus)
    assert [t for t, a, b in zip(corpus, got, want, strict=True) if a != b] == []


def test_combining_marks_are_normalised_as_by_the_source(published):
    ours, theirs = published
    assert ours(MARKS)["input_ids"] == theirs(MARKS)


def test_marks_keep_their_offsets(tmp_path):
    write(tmp_path, fast_tokenizer(PIECES, CHARSMAP, pre_tokenizer=METASPACE))
    ours, _ = convert_tokenizer(tmp_path, tmp_path / "out")
    for text in [*MARKS, *(f"{mark} " for mark in MARKS)]:
        rows = ours(text, return_offsets_mapping=True)
        assert rows["input_ids"] == ours(text)["input_ids"]
        spans = rows["offset_mapping"][1:-1]
        assert all(0 <= start <= end <= len(text) for start, end in spans)
        assert spans == sorted(spans)
    assert ours("aカ\u3099b", return_offsets_mapping=True)["offset_mapping"][-2] == (3, 4)


FRENCH = ["Ouvrez le fichier, s'il vous plaît.", "<mask> <s> a <pad>", "☃ ☃☃", "a <unk> b"]


@pytest.mark.parametrize("name", [MODEL_FILE, "tokenizer.json", "both"])
def test_camemberts_ids(name, tmp_path, transformers):
    if name != "tokenizer.json":
        write_model(tmp_path, PIECES, CHARSMAP)
    if name != MODEL_FILE:
        write(tmp_path, fast_tokenizer(PIECES, CHARSMAP, LAYOUTS["camembert"]))
    ours, report = convert_tokenizer(tmp_path, tmp_path / "out", model_type="camembert")
    if name == MODEL_FILE:
        theirs = transformers.CamembertTokenizer(str(tmp_path / MODEL_FILE))
    else:
        theirs = transformers.CamembertTokenizerFast(
            tokenizer_file=str(tmp_path / "tokenizer.json")
        )
    for text in FRENCH:
        assert ours(text)["input_ids"] == theirs(text)["input_ids"]
        assert ours(text, FRENCH[0])["input_ids"] == theirs(text, FRENCH[0])["input_ids"]
    for token in ("cls", "sep", "pad", "unk", "mask"):
        assert getattr(ours, f"{token}_token_id") == getattr(theirs, f"{token}_token_id")
    assert ours.cls_token_id == 5
    assert "in the order of CamemBERT" in report.made["vocab.txt"]


def test_an_old_camembert_file_has_the_unknown_token_twice(tmp_path):
    content = fast_tokenizer(PIECES, CHARSMAP, LAYOUTS["camembert"])
    content["model"]["vocab"][4] = ["<unk>", -100]
    write(tmp_path, content)
    ours, _ = convert_tokenizer(tmp_path, tmp_path / "out")
    assert ours.unk_token_id == 3


def test_the_class_decides_which_ids_a_sentencepiece_file_has(tmp_path):
    write_model(tmp_path, PIECES, CHARSMAP)
    config = tmp_path / "tokenizer_config.json"
    config.write_text('{"tokenizer_class": "CamembertTokenizer"}')
    assert convert_tokenizer(tmp_path, tmp_path / "out")[0].cls_token_id == 5
    config.write_text('{"tokenizer_class": "XLMRobertaTokenizer"}')
    assert (
        convert_tokenizer(tmp_path, tmp_path / "out", model_type="camembert")[0].cls_token_id == 0
    )


def test_settings_of_the_source_are_kept(tmp_path):
    write_model(tmp_path, PIECES, CHARSMAP)
    values = {"padding_side": "left", "truncation_side": "left"}
    values |= {"clean_up_tokenization_spaces": False}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(values))
    ours, _ = convert_tokenizer(tmp_path, tmp_path / "out")
    assert {name: getattr(ours, name) for name in values} == values


UPPER = ["OPEN THE FILE", "ΟΔΟΣ <MASK> ΣΑΣ", "İSTANBUL GROẞ"]


@pytest.mark.parametrize("name", ["sentence_bert_config.json", "sentence_camembert_config.json"])
def test_do_lower_case_of_sentence_transformers(name, tmp_path):
    write_model(tmp_path, PIECES, CHARSMAP)
    plain, _ = convert_tokenizer(tmp_path, tmp_path / "plain")
    (tmp_path / name).write_text('{"max_seq_length": 99, "do_lower_case": true}')
    ours, report = convert_tokenizer(tmp_path, tmp_path / "out")
    for text in UPPER:  # sentence-transformers tokenizes text.lower()
        assert ours(text)["input_ids"] == plain(text.lower())["input_ids"]
    assert f"texts are lowered (do_lower_case of {name})" in report.notes


def test_do_lower_case_of_another_type_is_refused(tmp_path):
    write_model(tmp_path, PIECES, CHARSMAP)
    (tmp_path / "sentence_bert_config.json").write_text('{"do_lower_case": "yes"}')
    with pytest.raises(ValueError, match="do_lower_case is 'yes', not true or false"):
        convert_tokenizer(tmp_path, tmp_path / "out")


@pytest.mark.filterwarnings("ignore:.*is a guess")
def test_the_embedder_lowers_texts_too(family_source, tmp_path):
    (family_source / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
    convert(family_source, tmp_path / "out")
    one, two = Embedder.from_pretrained(tmp_path / "out")(["OPEN THE FILE", "open the file"])
    assert np.array_equal(one, two)


def test_paddle_never_lowers(tmp_path):
    for name in (MODEL_FILE, "vocab.txt"):
        shutil.copy(BUNDLED.parent / name, tmp_path)
    config = '{"do_lower_case": true, "cls_token": "[CLS]"}'
    (tmp_path / "tokenizer_config.json").write_text(config)
    report, out = Report(), tmp_path / "out"
    out.mkdir()
    for name, content in copy_ernie_m(tmp_path, report, paddle=True).items():
        (out / name).write_bytes(content)
    ours = ErnieMTokenizer.from_pretrained(out)
    assert ours.tokenize("OPEN the") == ErnieMTokenizer.from_pretrained(None).tokenize("OPEN the")
    assert "do_lower_case of the source is left out: PaddleNLP never lowers" in report.notes


def test_a_paddle_folder_that_is_not_converted_never_lowers_either(tmp_path):
    for name in (MODEL_FILE, "vocab.txt"):
        shutil.copy(BUNDLED.parent / name, tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    assert ErnieMTokenizer.from_pretrained(tmp_path).do_lower_case
    (tmp_path / "model_state.pdparams").write_bytes(b"")
    with pytest.warns(UserWarning, match="PaddleNLP's tokenizer never lowers"):
        ours = ErnieMTokenizer.from_pretrained(tmp_path)
    assert not ours.do_lower_case


def test_a_vocabulary_of_another_tokenizer_beside_it_is_not_read(family_source, tmp_path):
    (family_source / "vocab.txt").write_text("[PAD]\n[UNK]\nopen\n")
    convert(family_source, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert config["cut_pieces"] is False
    assert ErnieMTokenizer.from_pretrained(tmp_path / "out").pad_token == "<pad>"


def test_a_converted_tokenizer_is_copied(family_source, tmp_path):
    convert(family_source, tmp_path / "out")
    convert(tmp_path / "out", tmp_path / "again")
    for name in ("vocab.txt", "tokenizer_config.json", "sentencepiece.bpe.model"):
        files = [tmp_path / folder / name for folder in ("out", "again")]
        assert files[0].read_bytes() == files[1].read_bytes()
