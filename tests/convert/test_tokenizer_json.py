"""Every part of a tokenizer.json: the ids are those of `tokenizers`, or the part is refused."""

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from numpy_erniem.conversion.unigram import XLM_R

from .fast_files import (
    METASPACE,
    SPACES,
    STRIP,
    UNDERLINES,
    WHITESPACE_SPLIT,
    added,
    convert_tokenizer,
    fast_tokenizer,
    normalizers,
    pieces_of,
    sequence,
    template,
    write,
)

PIECES, CHARSMAP = pieces_of(most=600)
TEXTS = [
    "Hello, world 2020年!",
    "  a  b ",
    "one two  three   four",
    "Zażółć ﬁ ½ Ａ",
    "",
    "   ",
    " ",
    "end \t\n",
    "東京都 is 大 ☃☃ ☃x",
    "HTML5 v1.2.3, (a-b) don't",
    "Ελλάδα ΟΔΟΣ İstanbul",
    "e\u0301te\u0301 カ\u3099 हिन्दी",
    "x <mask> y <mask>z",
    "a <s> b </s>",
    "new <e1> token<e1>s",
]


def steps(*more):
    return normalizers(CHARSMAP, *more)


SPLIT = sequence(WHITESPACE_SPLIT, METASPACE, part="pretokenizers")
ALWAYS = METASPACE | {"prepend_scheme": "always"}
ROBERTA = {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]}
ROBERTA |= {"trim_offsets": True, "add_prefix_space": True}
DECODERS = [
    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
    {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0},
]
GOOD = {
    "xlm-roberta-base": {"normalizer": steps()["normalizers"][0], "pre_tokenizer": SPLIT},
    "transformers before 4.36": {"normalizer": steps(SPACES), "pre_tokenizer": METASPACE},
    "transformers 4.36": {"normalizer": steps(STRIP, UNDERLINES), "pre_tokenizer": ALWAYS},
    "underlines": {"normalizer": steps(UNDERLINES), "pre_tokenizer": METASPACE},
    "strips both sides": {"normalizer": steps(STRIP | {"strip_left": True}, SPACES)},
    "nested": {
        "normalizer": sequence(steps(), sequence(STRIP, part="normalizers"), part="normalizers"),
        "pre_tokenizer": sequence(SPLIT, part="pretokenizers"),
    },
    "RobertaProcessing": {"post_processor": ROBERTA},
    "decoders": {"decoder": sequence(*DECODERS, part="decoders")},
    "sections": {
        "truncation": {
            "direction": "Left",
            "max_length": 128,
            "strategy": "LongestFirst",
            "stride": 0,
        },
        "padding": {
            "strategy": "BatchLongest",
            "direction": "Left",
            "pad_to_multiple_of": None,
            "pad_id": 1,
            "pad_type_id": 0,
            "pad_token": "<pad>",
        },
    },
}


@pytest.fixture(scope="module")
def tokenizers():
    return pytest.importorskip("tokenizers")


def ids_of(tokenizers, content, texts, pairs=None):
    reference = tokenizers.Tokenizer.from_str(json.dumps(content))
    reference.no_truncation()
    reference.no_padding()
    batch = texts if pairs is None else list(zip(texts, pairs, strict=True))
    return [row.ids for row in reference.encode_batch(batch)]


@pytest.mark.parametrize("name", GOOD)
def test_ids_equal_those_of_the_source(name, tokenizers, tmp_path):
    content = fast_tokenizer(PIECES, CHARSMAP, **GOOD[name])
    write(tmp_path, content)
    ours, _ = convert_tokenizer(tmp_path, tmp_path / "out")
    assert ours(TEXTS)["input_ids"] == ids_of(tokenizers, content, TEXTS)
    pairs = TEXTS[::-1]
    assert ours(TEXTS, pairs)["input_ids"] == ids_of(tokenizers, content, TEXTS, pairs)


@pytest.mark.parametrize("name", GOOD)
def test_a_text_comes_back_as_from_the_source(name, tokenizers, tmp_path):
    content = fast_tokenizer(PIECES, CHARSMAP, **GOOD[name])
    write(tmp_path, content)
    ours, _ = convert_tokenizer(tmp_path, tmp_path / "out")
    reference = tokenizers.Tokenizer.from_str(json.dumps(content))
    for text in ("Hello, world 2020", "one two three"):
        ids = ours(text)["input_ids"]
        assert ours.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        ) == reference.decode(ids)


def test_white_space_at_the_end_becomes_a_token_where_the_source_keeps_it(tmp_path):
    write(tmp_path, fast_tokenizer(PIECES, CHARSMAP, pre_tokenizer=METASPACE))
    kept, _ = convert_tokenizer(tmp_path, tmp_path / "kept")
    write(tmp_path, fast_tokenizer(PIECES, CHARSMAP, normalizer=steps(STRIP, SPACES)))
    stripped, _ = convert_tokenizer(tmp_path, tmp_path / "stripped")
    assert kept.tokenize("one ") == [*stripped.tokenize("one "), "▁"]
    assert kept.tokenize("one") == stripped.tokenize("one")


def test_the_token_of_white_space_at_the_end_has_its_offsets(tmp_path):
    write(tmp_path, fast_tokenizer(PIECES, CHARSMAP, pre_tokenizer=METASPACE))
    ours, _ = convert_tokenizer(tmp_path, tmp_path / "out")
    for text in ("one  ", "a b\t", "x½ ", " "):
        rows = ours(text, return_offsets_mapping=True)
        assert rows["input_ids"] == ours(text)["input_ids"]
        assert rows["offset_mapping"][-2] == (len(text.rstrip()), len(text))


def test_sides_and_sections_are_kept_and_reported(tmp_path):
    write(tmp_path, fast_tokenizer(PIECES, CHARSMAP, **GOOD["sections"]))
    ours, report = convert_tokenizer(tmp_path, tmp_path / "out")
    assert (ours.padding_side, ours.truncation_side) == ("left", "left")
    assert "cuts texts to 128 tokens" in str(report)
    assert "pads by itself" in str(report)


BAD_PRE_TOKENIZERS = [
    None,
    {"type": "Whitespace"},
    WHITESPACE_SPLIT,
    {"type": "Digits", "individual_digits": True},
    {"type": "Punctuation", "behavior": "Isolated"},
    {"type": "BertPreTokenizer"},
    {"type": "UnicodeScripts"},
    {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    {"type": "Split", "pattern": {"String": "-"}, "behavior": "Isolated", "invert": False},
    {"type": "CharDelimiterSplit", "delimiter": "-"},
    METASPACE | {"add_prefix_space": False},
    METASPACE | {"prepend_scheme": "first"},
    METASPACE | {"prepend_scheme": "never"},
    METASPACE | {"replacement": "_"},
    METASPACE | {"new_option": True},
    sequence(METASPACE, WHITESPACE_SPLIT, part="pretokenizers"),
    sequence(part="pretokenizers"),
    sequence({"type": "Digits", "individual_digits": False}, SPLIT, part="pretokenizers"),
    sequence(SPLIT, {"type": "Punctuation", "behavior": "Isolated"}, part="pretokenizers"),
]
BAD_NORMALIZERS = [
    None,
    SPACES,
    sequence(part="normalizers"),
    steps({"type": "Lowercase"}),
    steps({"type": "NFKC"}),
    steps({"type": "NFD"}, {"type": "StripAccents"}),
    steps({"type": "Nmt"}),
    steps({"type": "Prepend", "prepend": "▁"}),
    steps({"type": "Replace", "pattern": {"String": "a"}, "content": "b"}),
    steps({"type": "Replace", "pattern": {"Regex": " +"}, "content": " "}),
    steps(SPACES, SPACES),
    steps(UNDERLINES),  # with WhitespaceSplit: two spaces at the end differ from one
    sequence({"type": "Lowercase"}, steps(), part="normalizers"),
    sequence(STRIP, steps(), part="normalizers"),
    {"type": "BertNormalizer", "clean_text": True, "lowercase": True},
    {"type": "NFKC"},
]
BERT = {"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]}
LONG_PAIR = template(XLM_R) | {"pair": template(XLM_R)["single"]}
BARE = template(XLM_R) | {"single": template(XLM_R)["single"][1:]}
OTHER_IDS = copy.deepcopy(template(XLM_R))
OTHER_IDS["special_tokens"]["<s>"]["ids"] = [5]
BAD_POST_PROCESSORS = [
    None,
    BERT,
    LONG_PAIR,
    BARE,
    OTHER_IDS,
    ROBERTA | {"cls": ["<s>", 5]},
    {"type": "ByteLevel", "trim_offsets": True, "add_prefix_space": True, "use_regex": True},
    sequence(template(XLM_R), BERT, part="processors"),
]
BAD_DECODERS = [
    None,
    {"type": "WordPiece", "prefix": "##", "cleanup": True},
    {"type": "ByteLevel"},
    {"type": "ByteFallback"},
    {"type": "BPEDecoder", "suffix": "</w>"},
    {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": True},
    METASPACE | {"add_prefix_space": False},
    sequence(*DECODERS[:2], part="decoders"),
    sequence({"type": "ByteFallback"}, *DECODERS, part="decoders"),
]
BAD = {
    "pre_tokenizer": BAD_PRE_TOKENIZERS,
    "normalizer": BAD_NORMALIZERS,
    "post_processor": BAD_POST_PROCESSORS,
    "decoder": BAD_DECODERS,
}


@pytest.mark.parametrize(
    ("part", "value"),
    [(part, value) for part, values in BAD.items() for value in values],
    ids=lambda x: str(x)[:60],
)
def test_what_sentencepiece_does_not_do_is_refused_by_name(part, value, tmp_path):
    write(tmp_path, fast_tokenizer(PIECES, CHARSMAP, **{part: value}))
    with pytest.raises(ValueError, match=r"--no-tokenizer") as caught:
        convert_tokenizer(tmp_path, tmp_path / "out")
    message = str(caught.value)
    assert "\n" not in message
    assert any(name in message for name in (part, "pre_tokenizer"))
    if isinstance(value, dict) and value["type"] not in ("Sequence", "Metaspace", "Replace"):
        assert value["type"] in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"padding": {"pad_id": 0, "pad_token": "<pad>"}}, r"\(0, '<pad>'\).*\(1, '<pad>'\)"),
        ({"padding": {"pad_id": 1, "pad_token": "[PAD]"}}, r"\(1, '\[PAD\]'\)"),
        ({"truncation": {"direction": "Up"}}, "direction is 'Up'"),
        ({"future": True}, "'future' is not a key"),
    ],
)
def test_other_sections_are_refused(changes, message, tmp_path):
    write(tmp_path, fast_tokenizer(PIECES, CHARSMAP, **changes))
    with pytest.raises(ValueError, match=message):
        convert_tokenizer(tmp_path, tmp_path / "out")


PARTS = {
    "normalizer": [
        *(step for step in BAD_NORMALIZERS),
        *(values["normalizer"] for values in GOOD.values() if "normalizer" in values),
    ],
    "pre_tokenizer": [*BAD_PRE_TOKENIZERS, METASPACE, ALWAYS, SPLIT],
    "post_processor": [*BAD_POST_PROCESSORS, ROBERTA, template(XLM_R)],
    "decoder": [*BAD_DECODERS, METASPACE],
    "truncation": [None, GOOD["sections"]["truncation"]],
    "padding": [None, GOOD["sections"]["padding"]],
}
FLAGS = st.fixed_dictionaries(
    {name: st.booleans() for name in ("single_word", "lstrip", "rstrip", "normalized", "special")}
)
TEXT = st.lists(
    st.sampled_from([*"aB1２½é中。,~? \t\n\u3000", "<e1>", "<mask>", "word", "ไทย", "☃", "  "]),
    max_size=12,
).map("".join)


@given(data=st.data(), texts=st.lists(TEXT, min_size=1, max_size=4))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_mutated_file_gives_the_ids_of_the_source_or_is_refused(
    data, texts, tokenizers, tmp_path
):
    content = fast_tokenizer(PIECES, CHARSMAP)
    for part in data.draw(st.sets(st.sampled_from(sorted(PARTS)), max_size=2)):
        content[part] = copy.deepcopy(data.draw(st.sampled_from(PARTS[part])))
    if data.draw(st.booleans()):
        flags = data.draw(FLAGS)
        size = len(content["model"]["vocab"])
        content["added_tokens"].append(added("<e1>", size) | flags)
    try:
        want = ids_of(tokenizers, content, [*TEXTS, *texts])
    except Exception:  # the library refuses some combinations itself
        return
    write(tmp_path, content)
    try:
        ours, _ = convert_tokenizer(tmp_path, tmp_path / "out")
    except ValueError:
        return
    assert ours([*TEXTS, *texts])["input_ids"] == want
