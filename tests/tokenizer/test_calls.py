import numpy as np
import pytest

from numpy_erniem.tokenizer import BatchEncoding

TEXT = "The quick brown fox, 2020"
OTHER = "dog sleeps"


def test_a_single_text_is_framed(tok):
    inner = tok(TEXT, add_special_tokens=False).input_ids
    assert tok(TEXT).input_ids == [tok.cls_token_id, *inner, tok.sep_token_id]


def test_a_pair_has_two_separators_between(tok):
    a, b = (tok(t, add_special_tokens=False).input_ids for t in (TEXT, OTHER))
    cls, sep = tok.cls_token_id, tok.sep_token_id
    assert tok(TEXT, OTHER).input_ids == [cls, *a, sep, sep, *b, sep]


def test_a_pair_without_special_tokens_is_joined(tok):
    a, b = (tok(t, add_special_tokens=False).input_ids for t in (TEXT, OTHER))
    assert tok(TEXT, OTHER, add_special_tokens=False).input_ids == a + b


def test_empty_text_is_cls_sep(tok):
    assert tok("").input_ids == [tok.cls_token_id, tok.sep_token_id]
    assert tok(["", " \n"]).input_ids == [[tok.cls_token_id, tok.sep_token_id]] * 2


def test_special_tokens_in_the_text_are_not_cut(tok):
    expected = [*tok.tokenize("The "), "[MASK]", *tok.tokenize(" fox")]
    assert tok.tokenize("The [MASK] fox") == expected


class Scalar:
    """Holds a text, as a scalar of Arrow does."""

    def __init__(self, text):
        self.text = text

    def as_py(self):
        return self.text


LISTS = {
    "generator": lambda texts: (text for text in texts),
    "array of str": np.array,
    "array of objects": lambda texts: np.array(texts, object),
    "scalars": lambda texts: [Scalar(text) for text in texts],
    "iterator of scalars": lambda texts: map(Scalar, texts),
    "arrays without an axis": lambda texts: list(map(np.array, texts)),
    "values of a dict": lambda texts: dict(enumerate(texts)).values(),
}


@pytest.mark.parametrize("kind", LISTS.values(), ids=LISTS)
def test_what_holds_texts_is_a_list(kind, tok):
    assert tok(kind([TEXT, OTHER])) == tok([TEXT, OTHER])
    assert tok(kind([TEXT, OTHER]), kind([OTHER, TEXT])) == tok([TEXT, OTHER], [OTHER, TEXT])
    assert tok.batch_encode_plus(kind([TEXT, OTHER])) == tok([TEXT, OTHER])
    words = tok(["dog", "fox"], is_split_into_words=True)
    assert tok(kind(["dog", "fox"]), is_split_into_words=True) == words


@pytest.mark.parametrize("kind", [Scalar, np.array])
def test_what_holds_one_text_is_a_text(kind, tok):
    assert tok(kind(TEXT), kind(OTHER)) == tok(TEXT, OTHER)


def test_tokens_in_an_array(make):
    tok = make()
    tokens = tok.tokenize(TEXT)
    assert tok.convert_tokens_to_ids(np.array(tokens)) == tok.convert_tokens_to_ids(tokens)
    assert tok.convert_tokens_to_string(np.array(tokens)) == tok.convert_tokens_to_string(tokens)
    assert tok.add_tokens(np.array(["<new>", "<newer>"])) == 2


def test_attention_mask_is_there_by_default(tok):
    assert tok(TEXT).attention_mask == [1] * len(tok(TEXT).input_ids)


def test_attention_mask_can_be_left_out(tok):
    assert list(tok(TEXT, return_attention_mask=False)) == ["input_ids"]


def test_token_type_ids_of_a_pair(tok):
    a, b = (len(tok.tokenize(t)) for t in (TEXT, OTHER))
    enc = tok(TEXT, OTHER, return_token_type_ids=True)
    assert enc.token_type_ids == [0] * (a + 1) + [1] * (b + 3)
    assert tok(TEXT, return_token_type_ids=True).token_type_ids == [0] * (a + 2)


def test_special_tokens_mask_marks_the_frame(tok):
    enc = tok(TEXT, OTHER, return_special_tokens_mask=True)
    a, b = (len(tok.tokenize(t)) for t in (TEXT, OTHER))
    assert enc.special_tokens_mask == [1] + [0] * a + [1, 1] + [0] * b + [1]
    bare = tok(TEXT, add_special_tokens=False, return_special_tokens_mask=True)
    assert bare.special_tokens_mask == [0] * a


def test_length_of_a_single_text_counts_padding(tok):
    enc = tok(TEXT, padding="max_length", max_length=40, return_length=True)
    assert enc.length == 40


def test_length_in_a_batch_does_not_count_padding(tok):
    enc = tok([TEXT, OTHER], padding=True, return_length=True)
    assert enc.length == [len(tok.tokenize(TEXT)) + 2, len(tok.tokenize(OTHER)) + 2]


def test_words_are_tokenized_one_by_one(tok):
    words = ["The", "quick,", "2020年"]
    tokens = [t for word in words for t in tok.tokenize(word)]
    enc = tok(words, is_split_into_words=True, add_special_tokens=False)
    assert enc.input_ids == tok.convert_tokens_to_ids(tokens)


def test_word_ids_tell_the_word_of_each_token(tok):
    words = ["The", "", "2020年"]
    enc = tok([words], [["dog"]], is_split_into_words=True, padding="max_length", max_length=20)
    a, c = len(tok.tokenize("The")), len(tok.tokenize("2020年"))
    d = len(tok.tokenize("dog"))
    expected = [None, *[0] * a, *[2] * c, None, None, *[0] * d, None]
    assert enc.word_ids(0) == expected + [None] * (20 - len(expected))


def test_sequence_ids_of_a_pair_padded_on_the_left(make):
    tok = make(padding_side="left")
    a, b = (len(tok.tokenize(t)) for t in (TEXT, OTHER))
    enc = tok(TEXT, OTHER, padding="max_length", max_length=a + b + 6)
    expected = [None] * 3 + [0] * a + [None] * 2 + [1] * b + [None]
    assert enc.sequence_ids() == expected


def test_a_batch_of_pairs(tok):
    enc = tok([TEXT, OTHER], [OTHER, ""])
    assert enc.input_ids == [tok(TEXT, OTHER).input_ids, tok(OTHER, "").input_ids]


def test_np_gives_int64_arrays_with_a_batch_axis(tok):
    enc = tok(TEXT, return_tensors="np")
    assert enc.input_ids.dtype == np.int64
    assert enc.input_ids.shape == (1, len(tok(TEXT).input_ids))
    assert enc.attention_mask.dtype == np.int64


def test_np_offsets_have_two_columns(tok):
    enc = tok([TEXT, OTHER], padding=True, return_tensors="np", return_offsets_mapping=True)
    assert enc.offset_mapping.shape == (*enc.input_ids.shape, 2)


def test_pt_gives_torch_tensors(tok):
    torch = pytest.importorskip("torch")
    enc = tok([TEXT, OTHER], padding=True, return_tensors="pt")
    assert enc.input_ids.dtype == torch.int64
    assert enc.input_ids.tolist() == tok([TEXT, OTHER], padding=True).input_ids


def test_encode_returns_ids_only(tok):
    assert tok.encode(TEXT, OTHER) == tok(TEXT, OTHER).input_ids
    assert tok.encode(TEXT, add_special_tokens=False) == tok.convert_tokens_to_ids(
        tok.tokenize(TEXT)
    )


def test_encode_plus_takes_tokens_and_ids(tok):
    tokens = tok.tokenize(TEXT)
    assert tok.encode_plus(tokens).input_ids == tok(TEXT).input_ids
    assert tok.encode_plus(tok.convert_tokens_to_ids(tokens)).input_ids == tok(TEXT).input_ids


def test_batch_encode_plus_takes_texts_and_pairs(tok):
    enc = tok.batch_encode_plus([TEXT, (TEXT, OTHER)])
    assert enc.input_ids == [tok(TEXT).input_ids, tok(TEXT, OTHER).input_ids]


def test_batch_encode_plus_takes_words(tok):
    words = TEXT.split()
    enc = tok.batch_encode_plus([words, (words, ["dog"])], is_split_into_words=True)
    single = tok(words, ["dog"], is_split_into_words=True)
    assert enc.input_ids == [tok(words, is_split_into_words=True).input_ids, single.input_ids]


def test_prepare_for_model_frames_ids(tok):
    ids = tok.convert_tokens_to_ids(tok.tokenize(TEXT))
    assert tok.prepare_for_model(ids).input_ids == tok(TEXT).input_ids
    assert tok.prepare_for_model(ids, return_tensors="np").input_ids.ndim == 1
    rows = tok.prepare_for_model(ids, return_tensors="np", prepend_batch_axis=True)
    assert rows.input_ids.ndim == 2


def test_building_blocks_agree_with_the_call(tok):
    a, b = (tok.encode(t, add_special_tokens=False) for t in (TEXT, OTHER))
    enc = tok(
        TEXT,
        OTHER,
        return_token_type_ids=True,
        return_special_tokens_mask=True,
        return_offsets_mapping=True,
    )
    assert tok.build_inputs_with_special_tokens(a, b) == enc.input_ids
    assert tok.create_token_type_ids_from_sequences(a, b) == enc.token_type_ids
    assert tok.get_special_tokens_mask(a, b) == enc.special_tokens_mask
    assert tok.num_special_tokens_to_add(pair=True) == len(enc.input_ids) - len(a) - len(b)
    offsets = [tok.get_offset_mapping(t) for t in (TEXT, OTHER)]
    assert tok.build_offset_mapping_with_special_tokens(*offsets) == enc.offset_mapping


def test_get_special_tokens_mask_marks_every_special_token(tok):
    ids = tok("The [MASK] fox", padding="max_length", max_length=12).input_ids
    mask = tok.get_special_tokens_mask(ids, already_has_special_tokens=True)
    assert mask == [int(i in tok.all_special_ids) for i in ids]
    assert mask[ids.index(tok.mask_token_id)] == mask[-1] == 1


def test_an_encoding_is_a_dict_with_attributes(tok):
    enc = tok(TEXT)
    assert isinstance(enc, dict)
    assert isinstance(enc, BatchEncoding)
    assert enc.input_ids is enc["input_ids"]
    assert dict(**enc) == enc.data


def test_a_missing_attribute_of_an_encoding_names_what_is_there(tok):
    with pytest.raises(AttributeError, match="input_ids, attention_mask"):
        _ = tok(TEXT).labels


def test_texts_may_be_a_tuple(tok):
    assert tok((TEXT, OTHER)).input_ids == tok([TEXT, OTHER]).input_ids


def test_a_subclass_of_str_is_a_text(tok):
    class Text(str):
        pass

    assert tok([Text(TEXT)]).input_ids == [tok(TEXT).input_ids]


def test_ten_megabytes_are_tokenized_as_a_whole(tok):
    part = "The quick brown fox, 2020 北京 "
    ids = tok(part * 5000, verbose=False).input_ids
    assert ids[1:-1] == tok(part, add_special_tokens=False).input_ids * 5000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("do_lower_case", True),
        ("cut_pieces", False),
        ("bare_underline", "paddle"),
        ("split_special_tokens", True),
    ],
)
def test_an_attribute_that_is_changed_has_effect(make, tok, name, value):
    text = "The 12 北 東 (京 [MASK]"
    before = tok.tokenize(text)
    setattr(tok, name, value)
    assert tok.tokenize(text) == make(**{name: value}).tokenize(text) != before
