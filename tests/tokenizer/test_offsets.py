import pytest

from numpy_erniem.tokenizer.pieces import UNDERLINE


def spans(tok, text):
    return [
        (token, text[start:end])
        for token, (start, end) in zip(
            tok.tokenize(text), tok.get_offset_mapping(text), strict=True
        )
    ]


def check(tok, text, lowered=False):
    """Offsets are sorted, inside the text, and cover what their tokens say."""
    tokens, offsets = tok.tokenize(text), tok.get_offset_mapping(text)
    assert len(tokens) == len(offsets)
    previous = 0
    for token, (start, end) in zip(tokens, offsets, strict=True):
        assert previous <= start <= end <= len(text), (token, start, end)
        previous = start
        bare = token.lstrip(UNDERLINE)
        if not bare or token in tok.added_tokens_encoder:
            continue
        source = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text[start:end])
        if lowered:
            source = source.replace("Σ", "σ").lower()
        assert bare in tok.sp_model.normalize(source), (token, start, end)


def test_words_and_their_places(tok):
    text = "The  2020年 dog"
    assert "".join(source for _, source in spans(tok, text)) == "The2020年dog"


def test_special_tokens_of_the_frame_have_no_place(tok):
    offsets = tok("dog", "fox", return_offsets_mapping=True).offset_mapping
    ids = tok("dog", "fox").input_ids
    assert [o for o, i in zip(offsets, ids, strict=True) if i in (0, 2)] == [(0, 0)] * 4


def test_a_combined_character_is_covered_whole(tok):
    for text in ("cafe\u0301 dog", "dog カ\u3099ラス"):
        check(tok, text)
        assert any("\u0301" in s or "\u3099" in s for _, s in spans(tok, text))


def test_one_character_may_give_several_tokens(tok):
    assert [s for _, s in spans(tok, "½")] == ["½"] * len(tok.tokenize("½"))


def test_characters_that_vanish_belong_to_no_token(tok):
    text = "\x01dog\x01\x01 fox\x01"
    assert {c for _, source in spans(tok, text) for c in source} == set("dogfx")


def test_spaces_around_are_not_covered(tok):
    text = "  dog \t fox  "
    assert "".join(source for _, source in spans(tok, text)) == "dogfox"


def test_an_underline_token_covers_its_space(tok):
    text = "京 (京 12 北"
    found = [source for token, source in spans(tok, text) if token == "▁"]
    assert found
    assert set(found) == {" "}


def test_the_first_underline_of_whole_pieces_covers_nothing(make):
    tok = make(cut_pieces=False)
    assert tok.tokenize("龘x")[0] == "▁"
    assert tok.get_offset_mapping("龘x")[0] == (0, 0)


def test_unknown_pieces_have_places(tok):
    text = "dog ☃🤯 x龘龘y"
    check(tok, text)
    assert {"☃🤯", "龘"} <= {source for _, source in spans(tok, text)}


def test_lone_surrogates_are_counted_as_characters(tok):
    text = "dog\ud800fox \udfff dog"
    check(tok, text)
    assert tok.tokenize(text) == tok.tokenize(
        text.replace("\ud800", "\ufffd").replace("\udfff", "\ufffd")
    )


def test_added_tokens_have_places(tok):
    tok.add_tokens(["<tok>"])
    text = "dog <tok>fox[MASK]"
    assert ("<tok>", "<tok>") in spans(tok, text)
    assert spans(tok, text)[-1] == ("[MASK]", "[MASK]")


def test_lowering_that_changes_the_length(make):
    tok = make(do_lower_case=True)
    text = "İİ DOG [MASK] İ Fox"
    check(tok, text, lowered=True)
    assert spans(tok, text)[-1][1][-1] == "x"
    assert ("[MASK]", "[MASK]") in spans(tok, text)


def test_offsets_of_words_count_within_the_word(tok):
    words = ["The", "2020年", "cafe\u0301"]
    enc = tok(words, is_split_into_words=True, return_offsets_mapping=True)
    found = list(zip(enc.word_ids(), enc.offset_mapping, strict=True))[1:-1]
    for index, word in enumerate(words):
        assert [span for owner, span in found if owner == index] == tok.get_offset_mapping(word)


def test_offsets_of_a_pair_count_in_their_own_text(tok):
    enc = tok("The fox", "dog", return_offsets_mapping=True)
    first, second = tok.get_offset_mapping("The fox"), tok.get_offset_mapping("dog")
    assert enc.offset_mapping == [(0, 0), *first, (0, 0), (0, 0), *second, (0, 0)]


def test_char_to_token_and_back(tok):
    text = "The fox"
    enc = tok(text, "dog", return_offsets_mapping=True)
    token = enc.char_to_token(0, 5)
    start, end = enc.token_to_chars(0, token)
    assert start <= 5 < end
    assert enc.char_to_token(0, 3) is None
    assert enc.sequence_ids()[enc.char_to_token(0, 0, sequence_index=1)] == 1
    assert enc.token_to_chars(0, 0) is None


def test_char_to_token_in_a_row_of_a_batch(tok):
    enc = tok(["The", "dog fox"], padding=True, return_tensors="np", return_offsets_mapping=True)
    start, end = enc.token_to_chars(1, enc.char_to_token(1, 4))
    assert start == 4 < end


def test_maps_say_what_they_need(tok):
    with pytest.raises(ValueError, match="return_offsets_mapping=True"):
        tok("dog").char_to_token(0, 0)
    with pytest.raises(ValueError, match="is_split_into_words=True"):
        tok("dog").word_ids()
    with pytest.raises(ValueError, match="row 3 is out of range, there are 1"):
        tok("dog").sequence_ids(3)
    words = tok(["dog"], is_split_into_words=True, return_offsets_mapping=True)
    with pytest.raises(ValueError, match="given as words"):
        words.char_to_token(0, 0)
    with pytest.raises(ValueError, match="does not know its texts"):
        tok.pad(tok("dog")).sequence_ids()


def test_sampled_offsets_belong_to_the_sampled_ids(make):
    tok = make(sp_model_kwargs={"enable_sampling": True, "nbest_size": -1, "alpha": 0.1})
    text = "The quick brown fox"
    for _ in range(5):
        enc = tok(text, return_offsets_mapping=True)
        tokens = tok.convert_ids_to_tokens(enc.input_ids)[1:-1]
        for token, (start, end) in zip(tokens, enc.offset_mapping[1:-1], strict=True):
            assert token.lstrip("▁") == text[start:end].strip()
