import numpy as np
import pytest

TEXT = "The quick brown fox."


def test_decode_gives_the_text_back(tok):
    assert tok.decode(tok(TEXT, add_special_tokens=False).input_ids) == TEXT


def test_skip_special_tokens(tok):
    ids = tok(TEXT).input_ids
    assert tok.decode(ids) == f"[CLS] {TEXT}[SEP]"
    assert tok.decode(ids, skip_special_tokens=True) == TEXT


def test_clean_up_takes_spaces_from_punctuation(make):
    tokens = make().convert_tokens_to_ids(["d", "▁", ",", "▁", "'", "s"])
    assert make().decode(tokens) == "d,'s"
    assert make().decode(tokens, clean_up_tokenization_spaces=False) == "d , 's"
    assert make(clean_up_tokenization_spaces=False).decode(tokens) == "d , 's"


def test_added_tokens_are_written_apart(tok):
    tok.add_tokens(["<a>"])
    ids = tok("dog<a>fox", add_special_tokens=False).input_ids
    assert tok.decode(ids) == "dog <a> fox"
    assert tok.decode(ids, spaces_between_special_tokens=False) == "dog<a>fox"


def test_decode_takes_ints_arrays_and_tensors(tok):
    ids = tok(TEXT).input_ids
    assert tok.decode(np.array(ids)) == tok.decode(tuple(ids)) == tok.decode(ids)
    assert tok.decode(tok.mask_token_id) == "[MASK]"


def test_batch_decode_takes_rows(tok):
    rows = tok([TEXT, "dog"], padding=True, return_tensors="np").input_ids
    assert tok.batch_decode(rows, skip_special_tokens=True) == [TEXT, "dog"]
    assert tok.batch_decode([]) == []


def test_ids_and_tokens_are_inverse(tok):
    ids = list(range(len(tok)))
    assert tok.convert_tokens_to_ids(tok.convert_ids_to_tokens(ids)) == ids


def test_convert_single_values(tok):
    assert tok.convert_tokens_to_ids("[SEP]") == tok.sep_token_id
    assert tok.convert_ids_to_tokens(tok.sep_token_id) == "[SEP]"
    assert tok.convert_tokens_to_ids(None) is None
    assert tok.convert_tokens_to_ids("no such token") == tok.unk_token_id


def test_convert_ids_can_skip_special_tokens(tok):
    tokens = tok.convert_ids_to_tokens(tok(TEXT).input_ids, skip_special_tokens=True)
    assert tokens == tok.tokenize(TEXT)


def test_tokens_to_string(tok):
    assert tok.convert_tokens_to_string(["▁The", "▁do", "g"]) == "The dog"
    assert tok.convert_ids_to_string(tok(TEXT, add_special_tokens=False).input_ids) == TEXT


@pytest.mark.parametrize("index", [-100, -1, 10**9])
def test_an_id_out_of_range_is_refused(tok, index):
    with pytest.raises(ValueError, match=f"id {index} is not in the vocabulary"):
        tok.decode([0, index])


def test_the_first_id_beyond_the_vocabulary_is_refused(tok):
    with pytest.raises(ValueError, match=rf"\(0 to {len(tok) - 1}\)"):
        tok.convert_ids_to_tokens(len(tok))


@pytest.mark.parametrize("index", [1.0, "1", None, True])
def test_an_id_that_is_no_integer_is_refused(tok, index):
    with pytest.raises(TypeError, match="an id is an integer"):
        tok.decode([index])


def test_decoding_an_encoding_names_the_key(tok):
    with pytest.raises(TypeError, match=r"encoding\['input_ids'\]"):
        tok.decode(tok(TEXT))
