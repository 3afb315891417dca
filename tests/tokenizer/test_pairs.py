"""Batches of pairs in one list, and options that a single call may change."""

import numpy as np
import pytest

from numpy_erniem import bundled_checkpoint
from numpy_erniem.tokenizer import ErnieMTokenizer

A, B = "The quick brown fox, 2020", "dog sleeps"
WORDS_A, WORDS_B = A.split(), B.split()


@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize("outer", [list, tuple])
def test_a_list_of_pairs_is_two_lists(tok, kind, outer):
    pairs = outer([kind([A, B]), kind([B, ""])])
    assert tok(pairs).input_ids == tok([A, B], [B, ""]).input_ids
    assert tok.batch_encode_plus(pairs).input_ids == tok([A, B], [B, ""]).input_ids


def test_a_list_may_hold_texts_and_pairs(tok):
    expected = [tok(A).input_ids, tok(A, B).input_ids]
    assert tok([A, (A, B)]).input_ids == expected


def test_a_list_of_pairs_of_words(tok):
    options = {"is_split_into_words": True}
    rows = tok([[WORDS_A, WORDS_B], (WORDS_B, WORDS_A)], **options)
    assert rows.input_ids == tok([WORDS_A, WORDS_B], [WORDS_B, WORDS_A], **options).input_ids
    assert tok([["The", "fox"]], **options).input_ids == [tok(["The", "fox"], **options).input_ids]


def test_a_list_of_pairs_has_the_options_of_two_lists(tok):
    options = {"padding": True, "truncation": "only_second", "max_length": 16,
               "return_offsets_mapping": True, "return_token_type_ids": True}  # fmt: skip
    assert tok([(A, B), (B, A)], **options) == tok([A, B], [B, A], **options)


@pytest.mark.parametrize("batch", [[(A, B)], [[A, B], [B, A]], [A, (A, B)]])
def test_pairs_as_upstream(tok, make_upstream, batch):
    assert tok(batch).input_ids == make_upstream()(batch)["input_ids"]


@pytest.mark.parametrize(("length", "expected"), [(None, 512), (514, 512), (40, 40), (1e30, 512)])
def test_padding_to_no_length_is_padding_to_the_models(make, length, expected):
    tok = make(model_max_length=length)
    options = {"padding": "max_length", "verbose": False}
    assert len(tok(A, **options).input_ids) == expected
    assert {len(row) for row in tok([A, B], **options).input_ids} == {expected}
    assert len(tok.pad({"input_ids": [5]}, **options).input_ids) == expected


SPECIAL = "dog [MASK] fox [SEP]"


@pytest.mark.parametrize("option", [False, True])
def test_special_tokens_are_split_in_one_call(make, option):
    tok, other = make(split_special_tokens=option), make(split_special_tokens=not option)
    call = {"split_special_tokens": not option}
    assert tok.tokenize(SPECIAL, **call) == other.tokenize(SPECIAL) != tok.tokenize(SPECIAL)
    assert tok(SPECIAL, **call) == other(SPECIAL) != tok(SPECIAL)
    assert tok([SPECIAL, A], [A, SPECIAL], **call) == other([SPECIAL, A], [A, SPECIAL])
    assert tok.encode(SPECIAL, **call) == other.encode(SPECIAL)
    spans = {"return_offsets_mapping": True}
    assert tok(SPECIAL, **spans, **call) == other(SPECIAL, **spans)
    words = {"is_split_into_words": True}
    assert tok(SPECIAL.split(), **words, **call) == other(SPECIAL.split(), **words)
    assert tok.split_special_tokens is option


def test_special_tokens_split_in_one_call_as_upstream(tok, make_upstream):
    theirs = make_upstream()(SPECIAL, split_special_tokens=True)["input_ids"]
    assert tok(SPECIAL, split_special_tokens=True).input_ids == theirs
    assert tok.tokenize(SPECIAL, split_special_tokens=True) == make_upstream().tokenize(
        SPECIAL, split_special_tokens=True
    )


NAMES = (["input_ids"], ["input_ids", "token_type_ids"], ["token_type_ids", "input_ids"],
         ["input_ids", "token_type_ids", "attention_mask"])  # fmt: skip


@pytest.mark.parametrize("names", NAMES)
def test_the_models_inputs_are_made(make, names):
    tok = make(model_input_names=names)
    for encoding in (tok(A), tok([A, B], padding=True), tok(A, B), tok.encode_plus(A)):
        assert set(encoding) == set(names)
    assert set(tok.prepare_for_model([5, 6])) == set(names)
    assert set(tok(A, return_tensors="np")) == set(names)
    assert set(tok(A, add_special_tokens=False)) == set(names)


@pytest.mark.parametrize("names", NAMES)
def test_the_models_inputs_as_upstream(make, make_upstream, names):
    ours, theirs = make(model_input_names=names), make_upstream(model_input_names=names)
    # Upstream pads by the first name, so that ids have to be first.
    padding = {"padding": names[0] == "input_ids"}
    for options in ({}, {"add_special_tokens": False}, padding):
        for batch in ([A, B], [(A, B)]):
            assert dict(ours(batch, **options)) == dict(theirs(batch, **options))


def test_a_call_goes_before_the_models_inputs(make):
    tok = make(model_input_names=["input_ids", "token_type_ids"])
    options = {"return_token_type_ids": False, "return_attention_mask": True}
    assert set(tok(A, **options)) == {"input_ids", "attention_mask"}


def test_pad_makes_a_mask_only_if_the_model_takes_one(make, tok):
    rows = {"input_ids": [[5, 6], [7]]}
    bare = make(model_input_names=["input_ids"])
    assert set(bare.pad(rows)) == {"input_ids"}
    assert set(bare.pad(rows, return_attention_mask=True)) == {"input_ids", "attention_mask"}
    assert set(tok.pad(rows, return_attention_mask=False)) == {"input_ids"}


def test_the_models_inputs_can_be_set(tok):
    tok.model_input_names = ["input_ids"]
    assert set(tok(A)) == {"input_ids"}


def test_the_models_inputs_are_written_and_read(make, tmp_path, upstream_class):
    make(model_input_names=["input_ids", "token_type_ids"]).save_pretrained(tmp_path / "a")
    read = ErnieMTokenizer.from_pretrained(tmp_path / "a")
    assert read.model_input_names == ["input_ids", "token_type_ids"]
    make().save_pretrained(tmp_path / "b")
    theirs = upstream_class.from_pretrained(str(tmp_path / "b"))
    assert set(theirs(A)) == {"input_ids", "attention_mask"}


def test_upstream_makes_a_mask_with_the_bundled_folder(upstream_class):
    theirs = upstream_class.from_pretrained(str(bundled_checkpoint()))
    assert set(theirs(A)) == {"input_ids", "attention_mask"}


def test_a_changed_list_of_inputs_is_not_another_tokenizers(make):
    names = ["input_ids", "attention_mask"]
    tok = make(model_input_names=names)
    names.clear()
    assert np.all(tok(A, return_tensors="np").attention_mask == 1)
