import pytest

from numpy_erniem.tokenizer import AddedToken


def test_added_tokens_get_ids_at_the_end(tok):
    size = len(tok)
    assert tok.add_tokens(["<a>", "<b>", "<a>"]) == 2
    assert len(tok) == size + 2
    assert tok.vocab_size == size
    assert tok.convert_tokens_to_ids(["<a>", "<b>"]) == [size, size + 1]
    assert tok.get_vocab()["<b>"] == size + 1


def test_a_token_of_the_vocabulary_keeps_its_id(tok):
    index = tok.vocab["▁dog"] if "▁dog" in tok.vocab else tok.vocab["d"]
    token = tok.convert_ids_to_tokens(index)
    assert tok.add_tokens(token) == 0
    assert tok.convert_tokens_to_ids(token) == index


def test_added_tokens_are_not_cut(tok):
    assert "<a1,b>" not in tok.tokenize("dog<a1,b>fox")
    tok.add_tokens("<a1,b>")
    assert "<a1,b>" in tok.tokenize("dog<a1,b>fox")
    assert tok.convert_tokens_to_ids("<a1,b>") in tok("dog<a1,b>fox").input_ids


def test_the_longest_added_token_wins(tok):
    tok.add_tokens(["<a>", "<a><b>"])
    assert tok.tokenize("<a><b><a>") == ["<a><b>", "<a>"]


def test_the_leftmost_added_token_wins(tok):
    tok.add_tokens(["ab", "bcd"])
    assert tok.tokenize("abcd")[0] == "ab"


def test_tokens_are_known_after_encoding_began(tok):
    before = tok("foo1").input_ids
    tok.add_tokens(["foo"])
    assert tok("foo1").input_ids != before


def test_lower_case_leaves_special_tokens(make):
    tok = make(do_lower_case=True)
    assert tok.tokenize("DOG [MASK]") == [*tok.tokenize("dog "), "[MASK]"]
    assert tok.tokenize("[mask]") != ["[MASK]"]


def test_without_lower_case_the_text_keeps_its_case(tok):
    assert tok.tokenize("DOG") != tok.tokenize("dog")


def test_lower_case_makes_every_sigma_the_same(make):
    assert make(do_lower_case=True).tokenize("ΟΔΟΣ") == make().tokenize("οδοσ")


def test_an_added_token_is_lowered_with_the_text(make):
    tok = make(do_lower_case=True)
    tok.add_tokens(["NEW"])
    assert tok.tokenize("a nEw")[-1] == "new"


def test_lstrip_and_rstrip_swallow_spaces(tok):
    tok.add_tokens([AddedToken("<l>", lstrip=True), AddedToken("<r>", rstrip=True)])
    plain = [t.replace("<l>", "<x>") for t in tok.tokenize("京 <l> 京")]
    assert plain == [*tok.tokenize("京"), "<x>", *tok.tokenize(" 京")]
    text = "京 <r>   dog"
    assert tok.get_offset_mapping(text)[-1][1] == len(text)
    assert tok.tokenize(text) == [*tok.tokenize("京 "), "<r>", *tok.tokenize("dog")]


def test_a_single_word_token_does_not_match_inside_a_word(tok):
    tok.add_tokens([AddedToken("<w>", single_word=True)])
    assert "<w>" in tok.tokenize("dog <w> fox")
    assert "<w>" not in tok.tokenize("dog<w> fox")
    assert "<w>" not in tok.tokenize("dog <w>fox")


def test_split_special_tokens_treats_them_as_text(make):
    assert "[MASK]" not in make(split_special_tokens=True).tokenize("dog [MASK]")


def test_special_tokens_by_name(tok):
    assert tok.mask_token == "[MASK]"
    assert tok.mask_token_id == tok.vocab["[MASK]"]
    assert (tok.bos_token, tok.bos_token_id) == (None, None)
    assert tok.all_special_tokens == ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]
    assert tok.all_special_ids == [tok.vocab[t] for t in tok.all_special_tokens]


def test_other_special_tokens_can_be_named(make):
    tok = make(cls_token="<cls>", additional_special_tokens=["<q>"])
    assert tok("dog").input_ids[0] == tok.cls_token_id == tok.vocab_size
    assert tok.additional_special_tokens == ["<q>"]
    assert tok.additional_special_tokens_ids == [tok.vocab_size + 1]
    assert "<q>" in tok.tokenize("a <q>")


def test_a_special_token_can_be_set_by_name_and_by_id(tok):
    tok.pad_token = "[MASK]"
    assert tok.pad_token_id == tok.vocab["[MASK]"]
    tok.pad_token_id = tok.vocab["[PAD]"]
    assert tok.pad_token == "[PAD]"


def test_add_special_tokens_replaces_or_extends(tok):
    assert tok.add_special_tokens({"additional_special_tokens": ["<q>"]}) == 1
    tok.add_special_tokens({"additional_special_tokens": ["<r>"]})
    assert tok.additional_special_tokens == ["<r>"]
    tok.add_special_tokens(
        {"additional_special_tokens": ["<s>"]}, replace_additional_special_tokens=False
    )
    assert tok.additional_special_tokens == ["<r>", "<s>"]


def test_add_special_tokens_sets_a_named_one(tok):
    assert tok.add_special_tokens({"eos_token": "</s>"}) == 1
    assert tok.eos_token_id == tok.vocab_size


def test_tokens_added_as_special_are_skipped(tok):
    tok.add_tokens(["<q>"], special_tokens=True)
    assert tok.decode(tok("dog <q>").input_ids, skip_special_tokens=True) == "dog"


def test_an_unknown_name_of_a_special_token_is_refused(tok):
    with pytest.raises(ValueError, match="'clss_token' is not the name of a special token"):
        tok.add_special_tokens({"clss_token": "x"})


def test_what_is_no_token_is_refused(tok):
    with pytest.raises(TypeError, match="a token must be a str or an AddedToken, got int 3"):
        tok.add_tokens([3])
    with pytest.raises(TypeError, match=r"write \['<q>'\]"):
        tok.add_special_tokens({"additional_special_tokens": "<q>"})
