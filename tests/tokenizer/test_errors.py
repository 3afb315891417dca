import numpy as np
import pytest

TEXT = "The quick brown fox"


def refused(error, match, call, *args, **options):
    with pytest.raises(error, match=match):
        call(*args, **options)


@pytest.mark.parametrize("value", [3, 1.5, b"dog", {"a": 1}, np.array(["dog"])])
def test_a_text_that_is_no_str_is_refused(tok, value):
    refused(TypeError, f"a text is a str, got {type(value).__name__}", tok, [TEXT, value])
    refused(TypeError, f"a text is a str, got {type(value).__name__}", tok.tokenize, value)


@pytest.mark.parametrize("value", [3, 1.5])
def test_one_text_that_is_no_str_is_refused(tok, value):
    refused(TypeError, f"a text is a str, got {type(value).__name__}", tok, value)
    refused(TypeError, f"a text is a str, got {type(value).__name__}", tok, TEXT, value)


def test_bytes_are_told_to_be_decoded(tok):
    refused(TypeError, r"text is bytes; decode it, such as text.decode\(", tok, b"dog")
    refused(TypeError, "decode it first", tok.tokenize, b"dog")


class Table:
    """Can be iterated, as a DataFrame or a Dataset can, but not text by text."""

    column_names = ("text", "label")

    def __iter__(self):
        return iter(self.column_names)


NO_LISTS = {
    "a table": (Table(), "Table, a table; give one column"),
    "a mapping": ({"a": 1}, "dict, a mapping; give a list"),
    "a set": ({"a"}, "set, which has no order"),
    "two dimensions": (np.array([["a", "b"]]), "2 dimensions"),
    "bytes": (b"ab", "bytes; decode it"),
}


@pytest.mark.parametrize(("value", "match"), NO_LISTS.values(), ids=NO_LISTS)
def test_what_is_no_list_of_texts_is_refused(make, value, match):
    tok = make()
    refused(TypeError, f"text is .*{match}", tok, value)
    refused(TypeError, f"text_pair is .*{match}", tok, [TEXT], value)
    refused(TypeError, f"batch_text_or_text_pairs is .*{match}", tok.batch_encode_plus, value)
    refused(TypeError, f"tokens is .*{match}", tok.convert_tokens_to_ids, value)
    refused(TypeError, f"tokens is .*{match}", tok.convert_tokens_to_string, value)
    refused(TypeError, f"new_tokens is .*{match}", tok.add_tokens, value)
    with pytest.raises(TypeError, match=f"additional_special_tokens is .*{match}"):
        tok.additional_special_tokens = value


def test_one_text_is_no_batch(tok):
    refused(TypeError, "is one str; pass a list, or call encode_plus", tok.batch_encode_plus, TEXT)


def test_one_token_is_no_list_of_special_tokens(make):
    match = "additional_special_tokens is a list of tokens, got str '<q>'"
    refused(TypeError, match, make, additional_special_tokens="<q>")
    with pytest.raises(TypeError, match=match):
        make().additional_special_tokens = "<q>"


def test_a_missing_text_in_a_batch_is_refused(tok):
    refused(TypeError, "a text is a str, got NoneType", tok, [TEXT, None])
    refused(TypeError, "a text is missing", tok)


@pytest.mark.parametrize("words", [["The", "big", "dog"], ["dog"], []])
def test_words_without_saying_so_are_refused(tok, words):
    match = f"a pair of two texts, got {len(words)}: .*; pass words with is_split_into_words=True"
    refused(ValueError, match, tok, [words])
    refused(ValueError, match, tok, [TEXT, tuple(words)])


def test_pairs_in_a_list_are_of_texts_and_have_no_further_text(tok):
    refused(TypeError, "a text is a str, got int", tok, [("a", 3)])
    refused(TypeError, "a text is a str, got list", tok, [("a", ["b"])])
    refused(TypeError, "a text is a str, got tuple", tok, [("a", "b")], ["c"])


def test_a_text_where_words_were_promised_is_refused(tok):
    refused(TypeError, "takes lists of words, got str", tok, TEXT, is_split_into_words=True)
    refused(TypeError, "takes lists of words", tok, [["a"], "b"], is_split_into_words=True)
    refused(TypeError, "a text is a str, got int", tok, ["a", 3], is_split_into_words=True)


@pytest.mark.parametrize("words", [True, False])
def test_an_empty_batch_is_refused(tok, words):
    refused(ValueError, "an empty batch has no rows", tok, [], is_split_into_words=words)


def test_a_batch_needs_as_many_second_texts(tok):
    refused(ValueError, "text has 2 elements and text_pair 1", tok, [TEXT, TEXT], [TEXT])
    refused(TypeError, "text_pair is a list too; got str", tok, [TEXT], TEXT)


def test_an_element_of_a_batch_is_a_text_or_a_pair(tok):
    refused(ValueError, "a pair of two texts, got 3", tok.batch_encode_plus, [("a", "b", "c")])


def test_offsets_of_tokens_or_ids_are_refused(tok):
    refused(ValueError, "offsets need a text", tok.encode_plus, [5, 6], return_offsets_mapping=True)


def test_an_unknown_keyword_names_the_nearest(tok):
    refused(TypeError, "'max_lenght'; did you mean 'max_length'", tok, TEXT, max_lenght=5)
    refused(TypeError, "did you mean 'padding'", tok.encode, TEXT, paddings=True)
    refused(TypeError, "known: ", tok, TEXT, zzz=1)


@pytest.mark.parametrize("option", ["padding", "truncation"])
@pytest.mark.parametrize("value", ["max", 3, [1]])
def test_an_unknown_strategy_is_refused(tok, option, value):
    refused(ValueError, rf"{option}=.* is unknown; use one of", tok, TEXT, **{option: value})


def test_a_stride_as_long_as_the_rows_is_refused(tok):
    options = {"truncation": True, "max_length": 8, "stride": 8}
    refused(ValueError, "stride=8 must be smaller than max_length=8", tok, TEXT, **options)


def test_a_stride_that_leaves_a_window_no_new_tokens_is_refused(tok):
    options = {"max_length": 8, "stride": 6, "return_overflowing_tokens": "windows"}
    refused(ValueError, "stride=6 leaves no new tokens in a window of 6", tok, TEXT,
            truncation=True, **options)  # fmt: skip


def test_only_second_without_a_pair_is_refused(tok):
    options = {"truncation": "only_second", "max_length": 8}
    refused(ValueError, "only_second' needs a second text", tok, TEXT, **options)


def test_overflow_of_an_evenly_cut_pair_is_refused(tok):
    options = {"truncation": True, "max_length": 8, "return_overflowing_tokens": True}
    refused(ValueError, "'only_first' or 'only_second'", tok, TEXT, TEXT, **options)


def test_overflow_without_a_length_is_refused(tok):
    refused(ValueError, "needs a length", tok, TEXT, return_overflowing_tokens=True)
    options = {"return_overflowing_tokens": "windows"}
    refused(ValueError, "'windows' needs truncation", tok, TEXT, **options)
    refused(ValueError, "is unknown; use False", tok, TEXT, return_overflowing_tokens="all")


@pytest.mark.parametrize("option", ["max_length", "stride", "pad_to_multiple_of"])
def test_numbers_are_integers_in_range(tok, option):
    refused(ValueError, f"{option}=-1 is too small", tok, TEXT, **{option: -1})
    refused(TypeError, f"{option} is an integer, got str '8'", tok, TEXT, **{option: "8"})
    refused(TypeError, f"{option} is an integer, got bool", tok, TEXT, **{option: True})


def test_a_numpy_integer_is_an_integer(tok):
    assert len(tok(TEXT, truncation=True, max_length=np.int64(6)).input_ids) == 6


def test_a_length_without_room_for_special_tokens_is_refused(tok):
    refused(
        ValueError, "no room for the 2 special tokens", tok, TEXT, truncation=True, max_length=1
    )
    enc = tok(TEXT, truncation=True, max_length=2)
    assert enc.input_ids == tok("").input_ids


def test_a_length_that_is_no_multiple_is_refused(tok):
    options = {"padding": True, "truncation": True, "max_length": 9, "pad_to_multiple_of": 8}
    refused(
        ValueError, "max_length=9 is not a multiple of pad_to_multiple_of=8", tok, TEXT, **options
    )


def test_token_types_without_special_tokens_are_refused(tok):
    options = {"add_special_tokens": False, "return_token_type_ids": True}
    refused(ValueError, "needs add_special_tokens=True", tok, TEXT, **options)


def test_ragged_rows_are_no_array(tok):
    refused(ValueError, "pass padding=True", tok, [TEXT, "dog"], return_tensors="np")


def test_ragged_overflow_is_no_array(tok):
    options = {"truncation": True, "max_length": 8, "padding": True, "return_tensors": "np"}
    refused(ValueError, "return_overflowing_tokens='windows'", tok, [TEXT, "dog"],
            return_overflowing_tokens=True, **options)  # fmt: skip


def test_an_unknown_kind_of_arrays_is_refused(tok):
    refused(ValueError, "return_tensors='tf' is unknown", tok, TEXT, return_tensors="tf")


def test_unknown_sides_and_rules_are_refused(make, tok):
    refused(ValueError, "padding_side='up' is unknown", make, padding_side="up")
    refused(ValueError, "truncation_side='up' is unknown", make, truncation_side="up")
    refused(
        ValueError, "bare_underline='x' is unknown; use one of hf, paddle", make, bare_underline="x"
    )
    tok.truncation_side = "up"
    refused(ValueError, "truncation_side='up' is unknown", tok, TEXT)
    tok.truncation_side, tok.padding_side = "left", "up"
    refused(ValueError, "padding_side='up' is unknown", tok, [TEXT, "dog"], padding=True)


def test_sampling_options_are_checked(make):
    refused(TypeError, "'nbest'; did you mean 'nbest_size'", make, sp_model_kwargs={"nbest": 3})
    refused(ValueError, "nothing to sample from", make,
            sp_model_kwargs={"enable_sampling": True, "nbest_size": 1})  # fmt: skip


@pytest.mark.parametrize("value", [0, -3])
def test_a_models_length_is_positive(make, value):
    refused(ValueError, f"model_max_length={value} is too small", make, model_max_length=value)


@pytest.mark.parametrize("names", [[], ["attention_mask"]])
def test_the_models_inputs_include_ids(make, tok, names):
    refused(ValueError, "has no 'input_ids'; add it", make, model_input_names=names)
    refused(ValueError, "has no 'input_ids'", setattr, tok, "model_input_names", names)


@pytest.mark.parametrize("names", ["input_ids", [1], None])
def test_the_models_inputs_are_a_list_of_names(make, names):
    refused(TypeError, "model_input_names is a list of names", make, model_input_names=names)


def test_a_models_length_is_a_number(make):
    refused(TypeError, "model_max_length is an integer, got str", make, model_max_length="512")


def test_a_row_with_special_tokens_takes_no_second(tok):
    refused(
        ValueError, "takes one row that has them", tok.get_special_tokens_mask, [0, 2], [5], True
    )


def test_a_token_that_is_no_str_is_refused(tok):
    refused(TypeError, "a token is a str, got int 5", tok.convert_tokens_to_ids, ["▁", 5])


def test_a_missing_unk_token_is_named(make):
    tok = make(unk_token=None)
    refused(ValueError, "neither is unk_token None", tok, "☃")


def test_a_list_of_other_things_is_refused(tok):
    refused(TypeError, r"holds tokens \(str\) or ids \(int\)", tok.encode_plus, [1.5, 2.5])
    refused(TypeError, "a text is a str, got list", tok.encode_plus, [])
