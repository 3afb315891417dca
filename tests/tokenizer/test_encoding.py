"""What an encoding tells of its rows: tokens, words, characters; slices and devices."""

import copy
import pickle

import numpy as np
import pytest

from numpy_erniem.tokenizer import BatchEncoding, CharSpan, TokenSpan

A, B = "The quick brown fox", "dog sleeps"
WORDS = ["The", "", "2020年"]


@pytest.fixture
def words(tok):
    return tok([WORDS, ["dog"]], [["dog", "quick"], ["fox"]], is_split_into_words=True,
               padding=True, return_offsets_mapping=True)  # fmt: skip


@pytest.fixture
def rows(tok):
    return tok([A, B], padding=True, return_offsets_mapping=True)


@pytest.mark.parametrize("kind", [None, "np", "pt"])
def test_tokens_of_each_row(tok, kind):
    if kind == "pt":
        pytest.importorskip("torch")
    enc = tok([A, B], padding=True, return_tensors=kind)
    first = ["[CLS]", *tok.tokenize(A), "[SEP]"]
    second = ["[CLS]", *tok.tokenize(B), "[SEP]"]
    assert enc.tokens() == enc.tokens(0) == first
    assert enc.tokens(1) == second + ["[PAD]"] * (len(first) - len(second))


def test_tokens_of_a_single_text_and_of_a_pair(tok):
    assert tok(A).tokens() == ["[CLS]", *tok.tokenize(A), "[SEP]"]
    assert tok(A, B).tokens()[-2:] == [tok.tokenize(B)[-1], "[SEP]"]


def test_an_unknown_token_is_unk(tok):
    assert tok("☃").tokens()[1:-1] == tok.convert_ids_to_tokens(tok.encode("☃"))[1:-1]
    assert "[UNK]" in tok("☃").tokens()


def test_tokens_know_what_was_added(tok):
    tok.add_tokens("<a>")
    assert "<a>" in tok("dog <a>").tokens()


def test_a_copy_has_tokens_and_a_pickle_tells_how_to_get_them(tok):
    enc = tok([A])
    for other in (copy.copy(enc), copy.deepcopy(enc)):
        assert other.tokens() == enc.tokens()
        assert other.sequence_ids() == enc.sequence_ids()
    read = pickle.loads(pickle.dumps(enc))
    assert read.sequence_ids() == enc.sequence_ids()
    with pytest.raises(ValueError, match=r"use tokenizer\.convert_ids_to_tokens"):
        read.tokens()


def test_a_pickle_does_not_contain_the_vocabulary(tok):
    assert len(pickle.dumps(tok([A]))) < 2000


def test_words_is_word_ids(words):
    assert words.words(1) == words.word_ids(1)
    assert words.words() == words.word_ids()


def test_it_is_not_of_a_fast_tokenizer(tok):
    assert tok(A).is_fast is tok.is_fast is False
    assert tok(A).encodings is None


def test_the_number_of_texts_of_a_row(tok):
    assert (tok(A).n_sequences, tok([A]).n_sequences) == (1, 1)
    assert (tok(A, B).n_sequences, tok([(A, B)]).n_sequences) == (2, 2)
    assert tok(A, "").n_sequences == 2
    assert BatchEncoding({"input_ids": [1]}).n_sequences is None


@pytest.mark.parametrize("part", [slice(1), slice(1, None), slice(None, None, -1), slice(5, 9)])
@pytest.mark.parametrize("kind", [None, "np"])
def test_a_slice_has_rows_and_their_maps(tok, kind, part):
    enc = tok([A, B, A], [B, A, A], padding=True, return_tensors=kind, return_offsets_mapping=True)
    some = enc[part]
    assert isinstance(some, BatchEncoding)
    assert set(some) == set(enc)
    for new, old in enumerate(range(3)[part]):
        for name in enc:
            assert np.array_equal(some[name][new], enc[name][old])
        assert some.sequence_ids(new) == enc.sequence_ids(old)
        assert some.tokens(new) == enc.tokens(old)
        assert some.char_to_token(new, 4) == enc.char_to_token(old, 4)
    with pytest.raises(ValueError, match="out of range"):
        some.sequence_ids(len(range(3)[part]))


def test_a_slice_of_words_has_their_words(words):
    assert words[1:].word_ids() == words.word_ids(1)


def test_a_slice_of_what_has_no_rows_is_refused(tok):
    with pytest.raises(ValueError, match="a single text has no rows"):
        tok(A)[:2]
    with pytest.raises(KeyError, match=r"encoding\[0:1\] is that row"):
        tok([A])[0]
    with pytest.raises(KeyError, match=r"encoding\[-1:\] is that row"):
        tok([A])[-1]


def test_an_encoding_made_by_hand_has_slices(tok):
    assert tok.pad({"input_ids": [[5, 6], [7]]})[1:] == {
        "input_ids": [[7, tok.pad_token_id]],
        "attention_mask": [[1, 0]],
    }


def test_to_moves_tensors(tok):
    torch = pytest.importorskip("torch")
    enc = tok([A], return_tensors="pt")
    for device in ("meta", torch.device("meta")):
        moved = tok([A], return_tensors="pt").to(device, non_blocking=True)
        assert {value.device.type for value in moved.values()} == {"meta"}
        assert isinstance(moved, BatchEncoding)
    assert enc.to("cpu") is enc
    assert torch.equal(enc.input_ids, tok([A], return_tensors="pt").input_ids)


def test_to_refuses_a_dtype(tok):
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"takes a device, got dtype torch.float16"):
        tok([A], return_tensors="pt").to(torch.float16)


@pytest.mark.parametrize("kind", [None, "np"])
def test_arrays_and_lists_stay_on_the_cpu(tok, kind):
    enc = tok([A], return_tensors=kind)
    assert enc.to("cpu") is enc
    for device in ("cuda", 0, "mps:0"):
        with pytest.raises(ValueError, match="only torch tensors can be moved"):
            enc.to(device)
    with pytest.raises(TypeError, match="takes a device"):
        enc.to(None)


def test_row_0_may_be_left_out(rows, words):
    for index in range(3):
        assert rows.token_to_chars(index) == rows.token_to_chars(0, index)
        assert rows.char_to_token(index) == rows.char_to_token(0, index)
        assert rows.token_to_sequence(index) == rows.token_to_sequence(0, index)
        assert words.token_to_word(index) == words.token_to_word(0, index)
        assert words.word_to_tokens(index) == words.word_to_tokens(0, index)
        assert words.word_to_chars(index) == words.word_to_chars(0, index)
    assert rows.token_to_chars(1, 2) != rows.token_to_chars(2)


def test_spans_of_characters_have_names(tok, rows):
    span = rows.token_to_chars(1, 1)
    assert isinstance(span, CharSpan)
    assert (span.start, span.end) == tok.get_offset_mapping(B)[0]
    assert rows.token_to_chars(0, 0) is None


def test_spans_of_words_have_names(tok, words):
    the, year = len(tok.tokenize("The")), len(tok.tokenize("2020年"))
    assert words.word_to_tokens(0, 2) == TokenSpan(start=1 + the, end=1 + the + year)
    assert words.word_to_tokens(0, 1) is None
    assert words.word_to_tokens(0, 9) is None
    assert words.word_to_tokens(1, 0, sequence_index=1).start == 1 + len(tok.tokenize("dog")) + 2
    assert words.word_to_chars(0, 2) == CharSpan(0, 5)
    assert words.word_to_chars(0, 1, sequence_index=1) == CharSpan(0, 5)
    assert words.word_to_chars(0, 1) is None


def test_tokens_have_a_word_and_a_text(words):
    assert [words.token_to_word(0, i) for i in range(len(words.tokens()))] == words.word_ids()
    assert [words.token_to_sequence(1, i) for i in range(len(words.tokens(1)))] == (
        words.sequence_ids(1)
    )
    assert words.token_to_sequence(0, -1) == words.sequence_ids()[-1]


def test_a_token_out_of_range_is_refused(rows):
    for look_up in (rows.token_to_chars, rows.token_to_sequence):
        with pytest.raises(ValueError, match="token 99 is out of range, the row has"):
            look_up(99)
        with pytest.raises(ValueError, match="row 2 is out of range, there are 2 rows"):
            look_up(2, 0)


def test_maps_of_words_need_words(rows):
    for look_up in (rows.token_to_word, rows.word_to_tokens, rows.word_to_chars):
        with pytest.raises(ValueError, match="call with is_split_into_words=True"):
            look_up(1)


def test_lower_special_tokens_lowers_the_whole_text(make):
    whole = make(do_lower_case=True, lower_special_tokens=True)
    usual = make(do_lower_case=True)
    assert "[MASK]" in usual.tokenize("A [MASK] ΟΔΟΣ")
    assert whole.tokenize("A [MASK] ΟΔΟΣ") == make().tokenize("A [MASK] ΟΔΟΣ".lower())


def test_final_underline_is_a_token_for_white_space_at_the_end(make):
    usual, ours = make(cut_pieces=False), make(cut_pieces=False, final_underline=True)
    for text in ("the dog ", "the dog\t\n", " ", "dog\u3000"):
        assert ours.tokenize(text) == [*usual.tokenize(text), "▁"]
        rows = ours([text, "dog"], return_offsets_mapping=True)
        assert rows["input_ids"] == [ours(text)["input_ids"], usual("dog")["input_ids"]]
        assert rows["offset_mapping"][0][-2] == (len(text.rstrip()), len(text))
    for text in ("the dog", "", "\x01"):
        assert ours.tokenize(text) == usual.tokenize(text)


def test_marks_alone_keeps_long_groups_apart(make):
    usual, ours = make(cut_pieces=False), make(cut_pieces=False, marks_alone=True)
    assert usual.tokenize("カ\u3099") == usual.tokenize("ガ")
    assert ours.tokenize("カ\u3099")[-1][-1] == "\u3099"
    assert ours.tokenize("e\u0301") == usual.tokenize("é")  # a short group
