"""Attributes that other libraries read or set: None for a token, names of files, arguments."""

import copy
import pickle

import pytest

from numpy_erniem.tokenizer import AddedToken, ErnieMTokenizer

TEXT = "dog [MASK] fox"
NAMES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("end", ["token", "token_id"])
def test_a_special_token_can_be_set_to_none(tok, name, end):
    setattr(tok, f"{name}_{end}", None)
    assert getattr(tok, f"{name}_token") is None
    assert getattr(tok, f"{name}_token_id") is None
    assert f"{name}_token" not in tok.special_tokens_map


@pytest.mark.parametrize("name", NAMES)
def test_a_token_that_is_unset_is_still_unset_after_loading(tok, tmp_path, name):
    setattr(tok, f"{name}_token", None)
    tok.save_pretrained(tmp_path)
    read = ErnieMTokenizer.from_pretrained(tmp_path)
    assert getattr(read, f"{name}_token") is None
    assert read.special_tokens_map == tok.special_tokens_map


def test_a_token_that_is_unset_is_unset_for_upstream(tok, tmp_path, upstream_class):
    tok.pad_token = None
    tok.save_pretrained(tmp_path)
    assert upstream_class.from_pretrained(str(tmp_path)).pad_token is None


@pytest.mark.parametrize("name", ["cls_token", "sep_token"])
def test_no_text_is_put_between_tokens_that_are_none(tok, name):
    setattr(tok, name, None)
    for call in (tok, tok.encode, lambda t: tok.prepare_for_model([5]),
                 lambda t: tok.build_inputs_with_special_tokens([5])):  # fmt: skip
        with pytest.raises(ValueError, match=f"{name} is None, .* add_special_tokens=False"):
            call(TEXT)
    assert tok(TEXT, add_special_tokens=False).input_ids


def test_additional_special_tokens_can_be_set_to_none(make):
    tok = make(additional_special_tokens=["<q>"])
    tok.additional_special_tokens = None
    assert tok.additional_special_tokens is None
    assert tok.additional_special_tokens_ids is None
    assert "<q>" not in tok.all_special_tokens
    assert tok.decode(tok(TEXT).input_ids, skip_special_tokens=True) == "dog fox"
    tok.add_special_tokens({"eos_token": "</s>"})
    assert tok.additional_special_tokens is None
    tok.add_special_tokens({"additional_special_tokens": ["<r>"]})
    assert tok.additional_special_tokens == ["<r>"]


def test_tokens_are_added_as_special_after_none(tok):
    tok.additional_special_tokens = None
    tok.add_tokens(["<q>"], special_tokens=True)
    assert tok.additional_special_tokens == ["<q>"]


def test_none_is_kept_by_copies_and_saved(make, tmp_path):
    tok = make(additional_special_tokens=["<q>"])
    tok.additional_special_tokens = None
    for other in (copy.deepcopy(tok), pickle.loads(pickle.dumps(tok))):
        assert other.additional_special_tokens is None
    tok.save_pretrained(tmp_path)
    assert not ErnieMTokenizer.from_pretrained(tmp_path).special_tokens_map.get(
        "additional_special_tokens"
    )


def test_additional_special_tokens_can_be_set_by_id(make):
    tok = make(additional_special_tokens=["<q>", "<r>"])
    tok.additional_special_tokens_ids = [tok.convert_tokens_to_ids("<r>")]
    assert tok.additional_special_tokens == ["<r>"]
    tok.additional_special_tokens_ids = []
    assert tok.additional_special_tokens == []
    tok.additional_special_tokens_ids = None
    assert tok.additional_special_tokens is None


def test_the_files_have_names(folder, tok):
    assert set(tok.vocab_files_names) == {"vocab_file", "sentencepiece_model_ckpt"}
    for argument, name in ErnieMTokenizer.vocab_files_names.items():
        assert getattr(tok, argument) == str(folder / name)


def test_the_files_have_upstreams_names(upstream_class):
    assert dict(ErnieMTokenizer.vocab_files_names) == upstream_class.vocab_files_names


def test_a_loaded_tokenizer_knows_its_name(tok, folder, tmp_path):
    read = ErnieMTokenizer.from_pretrained(folder)
    assert (read.name_or_path, tok.name_or_path) == (str(folder), "")
    read.save_pretrained(tmp_path)
    assert str(folder) not in (tmp_path / "tokenizer_config.json").read_text()
    assert ErnieMTokenizer.from_pretrained(tmp_path).name_or_path == str(tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"padding_side": "left", "model_max_length": 7, "do_lower_case": True},
        {"additional_special_tokens": ["<q>"], "cls_token": "<c>", "pad_token": None},
        {"model_input_names": ["input_ids"], "sp_model_kwargs": {"num_threads": 2}},
    ],
)
def test_init_kwargs_make_an_equal_tokenizer(make, options):
    tok = make(**options)
    tok.add_tokens([AddedToken("<b>", lstrip=True)])
    again = ErnieMTokenizer(**tok.init_kwargs)
    assert again.init_kwargs == tok.init_kwargs
    assert again(TEXT + " <b>", "fox") == tok(TEXT + " <b>", "fox")
    assert again.special_tokens_map == tok.special_tokens_map
    assert again.limits.is_known == tok.limits.is_known


@pytest.mark.parametrize("by", ["argument", "attribute"])
def test_a_tokenizer_that_is_not_verbose_does_not_warn(make, recwarn, caplog, tmp_path, by):
    tok = make(model_max_length=514, verbose=by == "attribute")
    tok.verbose = False
    tok(TEXT, truncation=True)
    tok(TEXT, max_length=4)
    assert not recwarn
    assert not caplog.records
    tok.save_pretrained(tmp_path)
    assert "verbose" not in (tmp_path / "tokenizer_config.json").read_text()
    with pytest.warns(UserWarning, match="counts position embeddings"):
        make(model_max_length=514)(TEXT, truncation=True)


def test_init_kwargs_are_a_copy(tok):
    kwargs = tok.init_kwargs
    kwargs["model_input_names"].clear()
    kwargs["sp_model_kwargs"]["alpha"] = 1
    kwargs["added_tokens_decoder"].clear()
    assert tok.init_kwargs != kwargs
    assert tok.model_input_names == ["input_ids", "attention_mask"]


FLAGS = [{}, {"lstrip": True}, {"rstrip": True}, {"single_word": True}, {"special": True},
         {"normalized": False}]  # fmt: skip


def test_added_tokens_are_equal_by_their_fields():
    tokens = [AddedToken("<a>", **flags) for flags in FLAGS]
    for i, one in enumerate(tokens):
        for j, other in enumerate(tokens):
            assert (one == other) is (i == j) is not (one != other)
    assert len({*tokens, *(AddedToken("<a>", **flags) for flags in FLAGS)}) == len(FLAGS)
    assert AddedToken("<a>") != "<a>"
    assert AddedToken("<a>") != AddedToken("<b>")


def test_an_added_token_equals_none_of_upstream():
    theirs = pytest.importorskip("tokenizers").AddedToken
    assert AddedToken("x") != theirs("x", normalized=True)
    assert AddedToken.of(theirs("x", normalized=True)) == AddedToken("x")
