"""Added tokens keep their ids and flags; files that contradict each other are refused."""

import itertools
import json

import pytest

from numpy_erniem.conversion.unigram import XLM_R

from .fast_files import (
    METASPACE,
    SPACES,
    STRIP,
    added,
    convert_tokenizer,
    fast_tokenizer,
    normalizers,
    pieces_of,
    write,
    write_model,
)

PIECES, CHARSMAP = pieces_of(most=600)
SIZE = len(PIECES) + 5  # of the vocabulary
TEXTS = ["a <e1> b", "a<e1>b", "<e1>", "a  <e1>  b <e1>", "<mask> <e1><mask>", "x<s>y </s>", "<E1>"]


def put(folder, name, **values):
    (folder / name).write_text(json.dumps(values))


def fast_with(*tokens, **changes):
    content = fast_tokenizer(PIECES, CHARSMAP, **changes)
    content["added_tokens"] += tokens
    return content


@pytest.mark.parametrize("flags", list(itertools.product([False, True], repeat=4)))
@pytest.mark.parametrize("strips", [False, True])
def test_the_flags_of_a_fast_tokenizer(flags, strips, tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    names = ("single_word", "lstrip", "rstrip", "normalized")
    changes = {"pre_tokenizer": METASPACE, "normalizer": normalizers(CHARSMAP, STRIP, SPACES)}
    content = fast_with(
        added("<e1>", SIZE, **dict(zip(names, flags, strict=True))), **(changes if strips else {})
    )
    write(tmp_path, content)
    single_word, lstrip, _, normalized = flags
    if single_word or (normalized and strips and not lstrip):
        with pytest.raises(ValueError, match=r"'<e1>' has (single_word|normalized), which is not"):
            convert_tokenizer(tmp_path, tmp_path / "out")
        return
    ours, report = convert_tokenizer(tmp_path, tmp_path / "out")
    reference = tokenizers.Tokenizer.from_str(json.dumps(content))
    assert ours(TEXTS)["input_ids"] == [row.ids for row in reference.encode_batch(TEXTS)]
    assert any("is found as it is written" in note for note in report.notes) == normalized
    assert f"added tokens keep their ids: '<e1>' {SIZE}" in report.notes


@pytest.mark.parametrize("name", ["added_tokens.json", "tokenizer_config.json"])
@pytest.mark.parametrize("flags", list(itertools.product([False, True], repeat=3)))
def test_the_flags_of_a_slow_tokenizer(name, flags, tmp_path, transformers):
    token = dict(zip(("single_word", "lstrip", "rstrip"), flags, strict=True))
    token |= {"content": "<e1>", "normalized": False}
    write_model(tmp_path, PIECES, CHARSMAP)
    if name == "added_tokens.json":
        put(tmp_path, name, **{"<e1>": SIZE})
        put(tmp_path, "special_tokens_map.json", additional_special_tokens=[token])
    else:
        reference = transformers.XLMRobertaTokenizer(str(tmp_path / "sentencepiece.bpe.model"))
        reference.add_special_tokens(
            {"additional_special_tokens": [transformers.AddedToken(**token)]}
        )
        reference.save_pretrained(tmp_path)
        (tmp_path / "added_tokens.json").unlink(missing_ok=True)
    ours, report = convert_tokenizer(tmp_path, tmp_path / "out")
    theirs = transformers.XLMRobertaTokenizer.from_pretrained(str(tmp_path))
    assert ours(TEXTS)["input_ids"] == theirs(TEXTS)["input_ids"]
    assert ours.convert_tokens_to_ids("<e1>") == SIZE
    assert f"added tokens keep their ids: '<e1>' {SIZE}" in report.notes
    assert "<e1>" in ours.all_special_tokens


def test_an_ordinary_added_token_is_not_special(tmp_path):
    write_model(tmp_path, PIECES, CHARSMAP)
    put(tmp_path, "added_tokens.json", **{"<e1>": SIZE + 3})  # slow tokenizers may leave gaps
    ours, _ = convert_tokenizer(tmp_path, tmp_path / "out")
    assert ours.convert_tokens_to_ids("<e1>") == SIZE + 3
    assert "<e1>" not in ours.all_special_tokens


def test_a_token_of_the_vocabulary_that_is_added_keeps_its_id(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    place = 4 + [text for text, _ in PIECES].index("▁the")
    content = fast_with(added("▁the", place, special=False))
    write(tmp_path, content)
    ours, _ = convert_tokenizer(tmp_path, tmp_path / "out")
    reference = tokenizers.Tokenizer.from_str(json.dumps(content))
    for text in ("see▁the end", "see the end"):
        assert ours(text)["input_ids"] == reference.encode(text).ids


CONTRADICTIONS = {
    r"tokenizer.json gives the added token '<e1>' the id 5, the vocabulary has '.*' there": (
        [added("<e1>", 5)],
        {},
    ),
    rf"'<mask>' the id 7, the vocabulary has it at {SIZE - 1}": ([added("<mask>", 7)], {}),
    rf"'<e1>' has the id {SIZE + 1}, the next free one is {SIZE}": ([added("<e1>", SIZE + 1)], {}),
    rf"id {SIZE} is given to '<e1>' and '<e2>'": ([added("<e1>", SIZE), added("<e2>", SIZE)], {}),
    rf"tokenizer.json gives .* '<e1>' the id {SIZE}, tokenizer_config.json {SIZE + 1}": (
        [added("<e1>", SIZE)],
        {"added_tokens_decoder": {str(SIZE + 1): {"content": "<e1>"}}},
    ),
    "has the content 3": ([{"id": SIZE, "content": 3}], {}),
    "not true or false": ([added("<e1>", SIZE, lstrip="yes")], {}),
    "has the id 'x'": ([added("<e1>", "x")], {}),
    "tokenizer_config.json: pad_token is '<p>', the vocabulary has '<pad>'": (
        [],
        {"pad_token": "<p>"},
    ),
    "tokenizer_class is 'T5Tokenizer'": ([], {"tokenizer_class": "T5Tokenizer"}),
    "padding_side is 'up'": ([], {"padding_side": "up"}),
}


@pytest.mark.parametrize("message", CONTRADICTIONS)
def test_files_that_contradict_each_other_are_named(message, tmp_path):
    tokens, config = CONTRADICTIONS[message]
    tokens = [t for t in tokens if t["content"] != "<mask>"] or tokens
    content = fast_with(*(t for t in tokens if t["content"] != "<mask>"))
    if tokens and tokens[0]["content"] == "<mask>":
        content["added_tokens"][-1] = tokens[0]
    write(tmp_path, content)
    put(tmp_path, "tokenizer_config.json", **config)
    with pytest.raises(ValueError, match=message) as caught:
        convert_tokenizer(tmp_path, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_a_model_with_too_few_rows_is_refused_with_both_sizes(tmp_path):
    write(tmp_path, fast_with(added("<e1>", SIZE)))
    message = rf"the tokenizer \(from tokenizer.json\) has {SIZE + 1} entries, the model .* {SIZE}"
    with pytest.raises(ValueError, match=message):
        convert_tokenizer(tmp_path, tmp_path / "out", rows=SIZE)


def test_a_model_may_have_no_row_for_the_mask(tmp_path):
    write(tmp_path, fast_with())
    _, report = convert_tokenizer(tmp_path, tmp_path / "out", rows=SIZE - 1)
    assert any("no row for <mask>" in note for note in report.notes)
    with pytest.raises(ValueError, match=f"has {SIZE} entries"):
        convert_tokenizer(tmp_path, tmp_path / "out", rows=SIZE - 2)


def other_scores(pieces):
    return [*pieces[:-1], [pieces[-1][0], pieces[-1][1] - 1]]


DISAGREE = {
    f"they have {len(PIECES) - 1} and {len(PIECES)} pieces": (PIECES[:-1], CHARSMAP),
    "piece 0 is '.*' and '.*'": (PIECES[::-1], CHARSMAP),
    "the score of '.*' is -.* and -": (other_scores(PIECES), CHARSMAP),
}


@pytest.mark.parametrize("message", DISAGREE)
def test_two_tokenizer_files_that_disagree_are_refused(message, tmp_path):
    write(tmp_path, fast_with())
    write_model(tmp_path, *DISAGREE[message])
    match = f"sentencepiece.bpe.model and tokenizer.json disagree: {message}"
    with pytest.raises(ValueError, match=match):
        convert_tokenizer(tmp_path, tmp_path / "out")


def test_normalisation_rules_that_disagree_are_refused(tmp_path):
    from sentencepiece import SentencePieceNormalizer

    other = SentencePieceNormalizer(rule_name="nfkc").serialized_model_proto()
    from numpy_erniem.conversion.unigram import read_rules

    write(tmp_path, fast_with())
    write_model(tmp_path, PIECES, read_rules(other)[1])
    with pytest.raises(ValueError, match=r"disagree: their normalisation rules differ, of \("):
        convert_tokenizer(tmp_path, tmp_path / "out")


def test_pad_ids_that_disagree_are_refused(tmp_path):
    padding = {"direction": "Right", "pad_id": 0, "pad_token": "<pad>"}
    write(tmp_path, fast_with(padding=padding))
    with pytest.raises(ValueError, match=rf"\(0, '<pad>'\), .* \({XLM_R.pad_id}, '<pad>'\)"):
        convert_tokenizer(tmp_path, tmp_path / "out")


def test_random_pieces_are_refused(tmp_path):
    write_model(tmp_path, PIECES, CHARSMAP)
    put(tmp_path, "tokenizer_config.json", sp_model_kwargs={"enable_sampling": True})
    with pytest.raises(ValueError, match="sp_model_kwargs draws pieces at random"):
        convert_tokenizer(tmp_path, tmp_path / "out")


def test_a_folder_that_transformers_saved(tmp_path, transformers):
    source = tmp_path / "source"
    write(tmp_path, fast_tokenizer(PIECES, CHARSMAP))
    theirs = transformers.XLMRobertaTokenizerFast(
        tokenizer_file=str(tmp_path / "tokenizer.json"), padding_side="left"
    )
    theirs.add_tokens(["<e1>", transformers.AddedToken("<e2>", lstrip=True)])
    theirs.add_special_tokens({"additional_special_tokens": ["<q>"]})
    theirs.save_pretrained(source)
    ours, report = convert_tokenizer(source, tmp_path / "out")
    theirs = transformers.XLMRobertaTokenizerFast.from_pretrained(source)
    texts = [*TEXTS, "x <e2> y<q>z <q>", "<q> <e1> <e2>"]
    assert ours(texts, padding=True)["input_ids"] == theirs(texts, padding=True)["input_ids"]
    assert len(ours) == len(theirs)
    assert sorted(ours.all_special_ids) == sorted(set(theirs.all_special_ids))
    assert "added tokens keep their ids: '<e1>'" in str(report)
