"""Rows of docs/differences.md that no other test holds: what we do, and what upstream does."""

import pytest

from numpy_erniem.tokenizer import AddedToken

FLAGS = {"<w>": {"single_word": True}, "<l>": {"lstrip": True}}
FLAGS["<wl>"] = {"single_word": True, "lstrip": True}
EMPTY = {"add_special_tokens": False, "padding": "max_length", "max_length": 3}


def test_one_empty_text_is_padded(tok):
    pad = tok.pad_token_id
    row = tok("", return_offsets_mapping=True, **EMPTY)
    assert (row.input_ids, row.attention_mask) == ([pad] * 3, [0] * 3)
    assert row.offset_mapping == [(0, 0)] * 3
    assert tok("", return_tensors="np", **EMPTY).input_ids.tolist() == [[pad] * 3]
    assert tok.pad({"input_ids": []}, padding="max_length", max_length=3).input_ids == [pad] * 3


def test_upstream_pads_an_empty_text_in_a_batch_only(tok, make_upstream):
    theirs = make_upstream()
    assert theirs("", **EMPTY)["input_ids"] == []
    assert theirs([""], **EMPTY)["input_ids"] == tok([""], **EMPTY).input_ids


@pytest.mark.parametrize("space", ["\n", "\t"])
def test_only_a_space_separates_a_single_word_token(tok, make, space):
    plain = make()
    tok.add_tokens([AddedToken(token, **flags) for token, flags in FLAGS.items()])
    assert tok.tokenize("<w> <l>") == ["<w>", "<l>"]
    assert tok.tokenize(f"<w>{space}<l>") == [*plain.tokenize("<w>"), "<l>"]
    assert tok.tokenize(f"dog{space}<wl>") == plain.tokenize("dog <wl>")


def test_upstream_removes_the_white_space_first(make_upstream):
    from transformers import AddedToken as TheirToken

    theirs = make_upstream()
    theirs.add_tokens([TheirToken(token, **flags) for token, flags in FLAGS.items()])
    plain = make_upstream()
    assert theirs.tokenize("<w>\n<l>") == ["<w>", "<l>"]
    assert theirs.tokenize("\n<wl>") == ["<wl>"]
    assert theirs.tokenize("dog\n<wl>") == plain.tokenize("dog<wl>") != plain.tokenize("dog <wl>")


def test_upstream_cuts_to_a_max_length_above_the_models(make, make_upstream):
    options = {"truncation": True, "max_length": 30}
    theirs = make_upstream(model_max_length=20)
    assert len(theirs("fox " * 60, **options)["input_ids"]) == 30
    with pytest.warns(UserWarning, match="exceeds what the model takes, 20"):
        ours = make(model_max_length=20)("fox " * 60, **options)
    assert len(ours.input_ids) == 20
