from enum import Enum

import numpy as np
import pytest

TEXT = "The quick brown fox, 2020"
OTHER = "dog"


def test_padding_goes_to_the_longest(tok):
    enc = tok([TEXT, OTHER], padding=True)
    plain = tok([TEXT, OTHER])
    missing = len(plain.input_ids[0]) - len(plain.input_ids[1])
    assert enc.input_ids[1] == plain.input_ids[1] + [tok.pad_token_id] * missing
    assert enc.attention_mask[1] == [1] * len(plain.input_ids[1]) + [0] * missing
    assert enc.input_ids[0] == plain.input_ids[0]


def test_longest_is_the_same_as_true(tok):
    assert tok([TEXT, OTHER], padding="longest") == tok([TEXT, OTHER], padding=True)


def test_a_strategy_may_be_an_enumeration(tok):
    strategy = Enum("Padding", {"LONGEST": "longest"}).LONGEST
    assert tok([TEXT, OTHER], padding=strategy) == tok([TEXT, OTHER], padding=True)


def test_padding_on_the_left(make):
    tok = make(padding_side="left")
    enc = tok(OTHER, padding="max_length", max_length=9, return_offsets_mapping=True)
    plain = tok(OTHER, return_offsets_mapping=True)
    missing = 9 - len(plain.input_ids)
    assert enc.input_ids == [tok.pad_token_id] * missing + plain.input_ids
    assert enc.attention_mask == [0] * missing + plain.attention_mask
    assert enc.offset_mapping == [(0, 0)] * missing + plain.offset_mapping


def test_padding_of_types_and_special_tokens_mask(tok):
    options = {"return_token_type_ids": True, "return_special_tokens_mask": True}
    enc = tok(OTHER, OTHER, padding="max_length", max_length=30, **options)
    n = len(tok(OTHER, OTHER).input_ids)
    assert enc.token_type_ids[n:] == [0] * (30 - n)
    assert enc.special_tokens_mask[n:] == [1] * (30 - n)


def test_padding_to_a_multiple(tok):
    assert len(tok(TEXT, padding=True, pad_to_multiple_of=16).input_ids) % 16 == 0
    enc = tok(OTHER, padding="max_length", max_length=9, pad_to_multiple_of=8)
    assert len(enc.input_ids) == 16


def test_padding_to_the_models_length(make):
    assert len(make(model_max_length=33)(TEXT, padding="max_length").input_ids) == 33


def test_do_not_pad_leaves_rows_ragged(tok):
    enc = tok([TEXT, OTHER], padding="do_not_pad")
    assert enc == tok([TEXT, OTHER], padding=False)
    assert len(enc.input_ids[0]) != len(enc.input_ids[1])


def test_max_length_without_effect_warns(tok):
    with pytest.warns(UserWarning, match="no effect"):
        tok([TEXT, OTHER], padding=True, max_length=5)


def test_pad_collates_encodings(tok):
    rows = [tok(TEXT), tok(OTHER)]
    assert tok.pad(rows) == tok([TEXT, OTHER], padding=True)


def test_pad_takes_a_single_row(tok):
    padded = tok.pad(tok(OTHER), padding="max_length", max_length=9)
    assert padded == tok(OTHER, padding="max_length", max_length=9)


def test_pad_makes_an_attention_mask_where_there_is_none(tok):
    ids = {"input_ids": tok([TEXT, OTHER]).input_ids}
    assert tok.pad(ids).attention_mask == tok([TEXT, OTHER], padding=True).attention_mask
    assert "attention_mask" not in tok.pad(ids, return_attention_mask=False)


def test_pad_leaves_other_columns_alone(tok):
    rows = [{"input_ids": [0, 2], "label": 7}, {"input_ids": [0, 5, 2], "label": 8}]
    assert tok.pad(rows).label == [7, 8]


def test_pad_of_arrays_gives_arrays(tok):
    rows = [{"input_ids": np.array([0, 2])}, {"input_ids": np.array([0, 5, 2])}]
    padded = tok.pad(rows)
    assert isinstance(padded.input_ids, np.ndarray)
    assert padded.input_ids.shape == (2, 3)


def test_pad_changes_no_argument(tok):
    rows = tok([TEXT, OTHER])
    before = [list(row) for row in rows.input_ids]
    tok.pad(rows, return_tensors="np")
    assert rows.input_ids == before


def test_pad_to_a_multiple(tok):
    assert len(tok.pad([tok(OTHER)], pad_to_multiple_of=16).input_ids[0]) == 16


def test_pad_without_input_ids_names_the_keys(tok):
    with pytest.raises(ValueError, match=r"needs 'input_ids'; got the keys \['labels'\]"):
        tok.pad({"labels": [1]})


def test_pad_of_nothing_is_refused(tok):
    with pytest.raises(ValueError, match="at least one"):
        tok.pad([])


def test_pad_of_columns_that_do_not_match_is_refused(tok):
    with pytest.raises(ValueError, match="'labels' has 1 rows and 'input_ids' 2"):
        tok.pad({"input_ids": [[0, 2], [0, 2]], "labels": [1]})


def test_padding_without_a_pad_token_is_refused(make):
    tok = make(pad_token=None)
    with pytest.raises(ValueError, match="padding needs a pad_token"):
        tok([TEXT, OTHER], padding=True)
