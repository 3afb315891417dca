"""What other libraries call on a tokenizer and on what it returns, beside transformers."""

import copy
import pickle

import numpy as np
import pytest

import numpy_erniem
from numpy_erniem.tokenizer import AddedToken, BatchEncoding

FIELDS = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
DATA = {"input_ids": [[0, 5, 2], [0, 6, 2]], "scores": [[0.5, 1.5], [2.5, 3.5]], "label": [1, 0]}


@pytest.fixture(scope="module")
def tok():
    pytest.importorskip("sentencepiece")
    return numpy_erniem.ErnieMTokenizer.from_pretrained(numpy_erniem.bundled_checkpoint())


@pytest.fixture(scope="module")
def upstream():
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    return transformers.ErnieMTokenizer.from_pretrained(numpy_erniem.bundled_checkpoint())


def theirs(*args, **options):
    return pytest.importorskip("transformers").BatchEncoding(*args, **options)


def fields(token):
    return [getattr(token, name) for name in FIELDS]


@pytest.mark.parametrize("kind", ["np", "pt"])
@pytest.mark.parametrize("prepend", [False, True])
def test_values_become_tensors_as_upstream(kind, prepend):
    pytest.importorskip("torch")
    want = theirs(DATA, tensor_type=kind, prepend_batch_axis=prepend)
    made = BatchEncoding(DATA, tensor_type=kind, prepend_batch_axis=prepend)
    converted = BatchEncoding(DATA).convert_to_tensors(kind, prepend_batch_axis=prepend)
    for ours in (made, converted):
        for name in DATA:
            assert type(ours[name]) is type(want[name])
            assert ours[name].dtype == want[name].dtype
            np.testing.assert_array_equal(ours[name], want[name])


def test_arrays_become_tensors_and_tensors_stay():
    torch = pytest.importorskip("torch")
    tensor = torch.tensor([1, 2])
    encoding = BatchEncoding({"a": np.ones((2, 3), np.float32), "b": [np.arange(2)], "c": tensor})
    encoding.convert_to_tensors("pt")
    assert encoding.a.dtype == torch.float32
    assert encoding.b.shape == (1, 2)
    assert encoding.c is tensor


def test_no_kind_changes_nothing():
    encoding = BatchEncoding(DATA)
    assert encoding.convert_to_tensors() is encoding
    assert encoding == DATA == BatchEncoding(DATA, None, None)


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        ({"input_ids": [[1], [1, 2]]}, "np", "the rows of input_ids have lengths from 1 to 2"),
        ({"input_ids": [[1], [1, 2]]}, "pt", "the rows of input_ids have lengths from 1 to 2"),
        ({"text": ["a", "b"]}, "np", "text cannot be an array"),
        ({"text": ["a", "b"]}, "pt", "text cannot be an array"),
        ({"x": None}, "np", "x cannot be an array"),
        (DATA, "tf", "tensor_type='tf' is unknown; use None, 'np' or 'pt'"),
    ],
)
def test_what_cannot_be_an_array_is_named(data, kind, message):
    if kind == "pt":
        pytest.importorskip("torch")
    with pytest.raises(ValueError, match=message):
        BatchEncoding(data, tensor_type=kind)


def test_the_number_of_texts_may_be_given():
    assert BatchEncoding(DATA, n_sequences=2).n_sequences == 2
    assert BatchEncoding(DATA, n_sequences=2)[:1].n_sequences == 2
    assert theirs(DATA, n_sequences=2).n_sequences == 2
    with pytest.raises(TypeError, match="encoding is None here, got list"):
        BatchEncoding(DATA, [])


def test_copies_and_pickles_keep_what_was_given(tok):
    encoding = tok(["a b", "c"], padding=True)
    pickled = pickle.loads(pickle.dumps(encoding))
    for again in (copy.copy(encoding), copy.deepcopy(encoding), pickled):
        assert again == encoding
        assert again.sequence_ids(1) == encoding.sequence_ids(1)
    again = pickle.loads(pickle.dumps(BatchEncoding(DATA, n_sequences=2)))
    assert again.n_sequences == 2


def test_special_tokens_as_added_tokens(tok, upstream):
    ours, want = copy.deepcopy(tok), copy.deepcopy(upstream)
    for tokenizer in (ours, want):
        tokenizer.add_special_tokens({"additional_special_tokens": ["<q>"], "bos_token": "<s>"})
    assert ours.special_tokens_map_extended.keys() == want.special_tokens_map_extended.keys()
    for name, token in ours.special_tokens_map_extended.items():
        if name == "additional_special_tokens":
            assert [*map(str, token)] == [*map(str, want.special_tokens_map_extended[name])]
            assert all(isinstance(t, AddedToken) for t in token)
        else:
            assert fields(token)[0] == str(want.special_tokens_map_extended[name])
            assert isinstance(token, AddedToken)
    listed = [*map(str, want.all_special_tokens_extended)]
    assert [*map(str, ours.all_special_tokens_extended)] == listed
    assert list(ours.SPECIAL_TOKENS_ATTRIBUTES) == want.SPECIAL_TOKENS_ATTRIBUTES


def test_an_unset_token_is_not_among_them(tok):
    ours = copy.deepcopy(tok)
    ours.mask_token = None
    assert "mask_token" not in ours.special_tokens_map_extended
    assert "[MASK]" not in map(str, ours.all_special_tokens_extended)


@pytest.mark.parametrize("text", ["a .", "do n't , he 's !", " ' x ' "])
def test_spaces_are_cleaned_up_as_upstream(text, tok, upstream):
    assert tok.clean_up_tokenization(text) == upstream.clean_up_tokenization(text)


# As docs/differences.md lists them.
NOT_THERE = {
    *("apply_chat_template", "as_target_tokenizer", "chat_template", "default_chat_template"),
    *("clean_text", "convert_added_tokens", "deprecation_warnings", "is_alpha", "is_ch_char"),
    *("is_punct", "is_whitespace", "load_vocab", "max_model_input_sizes"),
    *("prepare_for_tokenization", "prepare_seq2seq_batch", "pretrained_init_configuration"),
    *("pretrained_vocab_files_map", "push_to_hub", "register_for_auto_class"),
    *("resource_files_names", "reverse_vocab", "sanitize_special_tokens", "slow_tokenizer_class"),
    "tokens_trie",
}


def test_only_the_listed_attributes_of_upstream_are_not_there(tok, upstream):
    names = {name for name in dir(upstream) if not name.startswith("_")}
    assert {name for name in names if not hasattr(tok, name)} == NOT_THERE
    encoding = tok("a b")
    names = {name for name in dir(upstream("a b")) if not name.startswith("_")}
    assert {name for name in names if not hasattr(encoding, name)} == {"char_to_word"}
