"""Each part of the tokenizer works alone; only offsets need files of a tokenizer."""

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpy_erniem.tokenizer import AddedToken, ErnieMTokenizer
from numpy_erniem.tokenizer.input_builder import InputBuilder
from numpy_erniem.tokenizer.lengths import LengthLimits, TokenizedText
from numpy_erniem.tokenizer.manual_rows import ManualRows
from numpy_erniem.tokenizer.options import Options
from numpy_erniem.tokenizer.padder import Padder
from numpy_erniem.tokenizer.pieces import PieceCutter
from numpy_erniem.tokenizer.rows import RowLayout, build_inputs, pad_rows, token_types
from numpy_erniem.tokenizer.segments import Aligner, Splitter
from numpy_erniem.tokenizer.special_tokens import NAMED_TOKENS, SpecialTokens
from numpy_erniem.tokenizer.text_encoder import TextEncoder, TextOptions
from numpy_erniem.tokenizer.token_table import TokenTable
from numpy_erniem.tokenizer.vocabulary import Vocabulary
from tests.conftest import REPOSITORY
from tests.tokenizer.test_pieces import Divided

TOKENS = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "▁", "▁a", "b", "1", "c", "[MASK]"]
IDS = st.lists(st.integers(4, 8), max_size=9)


@pytest.fixture
def tokens():
    return SpecialTokens(Vocabulary(TOKENS))


@pytest.fixture
def encoder(tokens):
    return TextEncoder(Divided(), tokens)


class TestVocabulary:
    @given(st.lists(st.text(max_size=3), unique=True))
    def test_ids_and_tokens_are_inverse(self, lines):
        vocabulary = Vocabulary(lines)
        assert [vocabulary.id_of(token) for token in lines] == list(range(len(vocabulary)))
        assert [vocabulary.token_of(i) for i in range(len(vocabulary))] == lines

    def test_of_a_token_that_is_listed_twice_the_last_line_counts(self):
        vocabulary = Vocabulary(["a", "b", "a"])
        assert (len(vocabulary), vocabulary.id_of("a"), vocabulary.token_of(0)) == (2, 2, None)

    def test_a_token_that_shares_its_hash_with_another_is_found(self, monkeypatch):
        monkeypatch.setattr("numpy_erniem.tokenizer.vocabulary.hash", len, raising=False)
        vocabulary = Vocabulary(["a", "b", "cd", "a", "e"])
        assert [vocabulary.id_of(token) for token in ("a", "b", "cd", "e")] == [3, 1, 2, 4]
        assert vocabulary.id_of("f") is None
        assert [vocabulary.token_of(i) for i in range(5)] == [None, "b", "cd", "a", "e"]

    def test_a_pickle_is_read_by_a_process_with_other_hashes(self, tmp_path):
        (tmp_path / "pickle").write_bytes(pickle.dumps(Vocabulary(TOKENS)))
        code = "import pickle; v = pickle.load(open('pickle', 'rb')); print(v.id_of('b'), len(v))"
        for seed in ("1", "2"):
            variables = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(REPOSITORY)}
            output = subprocess.check_output(
                [sys.executable, "-c", code], cwd=tmp_path, env=variables, text=True
            )
            assert output.split() == ["6", str(len(TOKENS))]

    def test_a_tokenizer_needs_no_dict_of_all_tokens(self, tok):
        tok(["This is a test", "[MASK] 123"])
        tok.decode([4, 5, 6])
        assert "ids" not in vars(tok.vocabulary)

    def test_a_token_it_does_not_have(self):
        assert Vocabulary(["a"]).id_of("b") is None
        assert "b" not in Vocabulary(["a"])

    @pytest.mark.parametrize("index", [-1, 1])
    def test_an_id_out_of_range_is_refused(self, index):
        with pytest.raises(IndexError, match=f"id {index} is not one of 0 to 0"):
            Vocabulary(["a"]).token_of(index)


class TestSpecialTokens:
    def test_named_tokens_are_found_in_the_vocabulary(self, tokens):
        assert (tokens.cls_token_id, tokens.pad_token_id, tokens.sep_token_id) == (0, 1, 2)
        assert (tokens.mask_token, tokens.bos_token, tokens.size) == ("[MASK]", None, len(TOKENS))

    def test_tokens_that_the_vocabulary_lacks_are_added_behind_it(self):
        tokens = SpecialTokens(Vocabulary(["a"]), {"unk_token": "<u>"})
        assert (tokens.unk_token_id, tokens.size, tokens.id_of("?")) == (1, 2, 1)

    def test_every_change_gets_another_revision(self, tokens):
        seen = [tokens.revision]
        for change in (
            lambda: tokens.add_tokens("<a>"),
            lambda: tokens.add_special_tokens({"eos_token": "<e>"}),
            lambda: setattr(tokens, "additional_special_tokens", ["<q>"]),
            *(lambda name=name: setattr(tokens, name, "b") for name in NAMED_TOKENS),
            lambda: setattr(tokens, "pad_token_id", 1),
        ):
            change()
            seen.append(tokens.revision)
        assert sorted(set(seen)) == seen

    def test_a_change_leaves_what_was_read_before(self, tokens):
        added, named = tokens.added, tokens.named
        before = dict(added), dict(named)
        tokens.add_tokens("<a>")
        tokens.pad_token = "b"
        assert (added, named) == before

    def test_a_call_that_is_refused_changes_nothing(self, tokens):
        before = tokens.special_tokens_map, tokens.added_tokens_encoder, tokens.revision
        with pytest.raises(TypeError, match="is a list of tokens"):
            tokens.add_special_tokens({"cls_token": "b", "additional_special_tokens": "c"})
        assert (tokens.special_tokens_map, tokens.added_tokens_encoder, tokens.revision) == before

    def test_tokens_are_lowered_if_asked_for(self, tokens):
        tokens.add_tokens(["UP", AddedToken("Kept", normalized=False)], lower_case=True)
        assert list(tokens.added_tokens_encoder)[-2:] == ["up", "Kept"]


class TestSplitter:
    @given(st.lists(st.sampled_from(["<a>", "<a><b>", "<b>", "a", " ", "<"]), max_size=12))
    def test_segments_make_up_the_text(self, parts):
        text = "".join(parts)
        segments, origins = Splitter([AddedToken("<a>"), AddedToken("<a><b>")], []).split(text)
        assert "".join(s.text for s in segments) == text
        assert origins is None
        assert all(text[s.start :].startswith(s.text) and s.text for s in segments)
        assert all(s.is_token == (s.text in ("<a>", "<a><b>")) for s in segments)

    @given(st.text(alphabet="aİΣß[MASK]ǅ", max_size=12))
    def test_lowered_characters_know_where_they_come_from(self, text):
        splitter = Splitter([], ["[MASK]"], do_lower_case=True)
        segments, origins = splitter.split(text)
        lowered = "".join(s.text for s in segments)
        origins = list(range(len(text) + 1)) if origins is None else origins
        assert (len(origins), origins[-1]) == (len(lowered) + 1, len(text))
        assert all(c in (text[i], *text[i].lower()) for c, i in zip(lowered, origins, strict=False))


class TestTextEncoder:
    def test_a_text_becomes_ids(self, encoder):
        assert encoder.ids(["▁a|b|1c", "▁a[MASK]b"]) == [[5, 6, 7, 8], [5, 9, 6]]
        assert encoder.tokenize("▁a|1c") == ["▁a", "1", "c"]

    def test_texts_words_tokens_and_ids_are_encoded(self, encoder):
        assert encoder.encode(["▁a|b", ["▁a", "?"], [7, 7]]) == [
            TokenizedText([5, 6]),
            TokenizedText([5, 3]),
            TokenizedText([7, 7]),
        ]
        words = encoder.encode([["▁a|b", "", "b"]], is_split_into_words=True)
        assert words == [TokenizedText([5, 6, 6], None, [0, 0, 2])]

    def test_a_change_of_the_special_tokens_has_effect(self, encoder, tokens):
        assert encoder.ids(["b<n>☃"]) == [[3]]
        tokens.add_tokens("<n>")
        tokens.unk_token = "c"
        assert encoder.ids(["b<n>☃"]) == [[6, len(TOKENS), 8]]

    def test_options_have_effect_when_they_are_set(self, encoder):
        encoder.options = TextOptions(cut_pieces=False, do_lower_case=True)
        assert encoder.tokenize("B|1C") == ["b", "1c"]

    def test_options_are_checked(self):
        with pytest.raises(ValueError, match="bare_underline='x' is unknown"):
            TextOptions(bare_underline="x")
        with pytest.raises(TypeError, match="did you mean 'alpha'"):
            TextOptions(sp_model_kwargs={"alfa": 1})

    def test_a_copy_shares_the_model_and_nothing_else(self, encoder):
        clone = copy.deepcopy(encoder)
        assert clone.sp_model is encoder.sp_model
        clone.special_tokens.add_tokens("<n>")
        assert (clone.ids(["<n>"]), encoder.ids(["<n>"])) == ([[len(TOKENS)]], [[3]])


class TestCutterAndAligner:
    def test_offsets_are_those_of_the_pieces(self, tok):
        vocabulary = tok.vocabulary
        cutter = PieceCutter(tok.sp_model, lambda token: vocabulary.ids.get(token, 3))
        text = "In 2020, ½ dog"
        ids, spans = Aligner(cutter).ids_and_offsets(text)
        assert ids == cutter.ids([text])[0] == tok(text, add_special_tokens=False).input_ids
        assert "".join(dict.fromkeys(text[a:b] for a, b in spans)) == "In2020,½dog"


class TestTokenTable:
    def test_ids_become_a_text(self, tokens):
        decoder = TokenTable(tokens)
        assert decoder.decode([0, 5, 6, 5, 2], skip_special_tokens=True) == "ab a"
        assert decoder.decode([5, 9]) == "a[MASK]"
        assert decoder.batch_decode([[5], [6, 8]]) == ["a", "bc"]

    def test_clean_up_is_the_decoders_unless_told(self):
        tokens = SpecialTokens(Vocabulary([*TOKENS, "▁!"]))
        ids = [5, len(TOKENS)]
        assert TokenTable(tokens).decode(ids) == "a!"
        assert TokenTable(tokens, clean_up_tokenization_spaces=False).decode(ids) == "a !"


class TestInputBuilder:
    @given(IDS, st.none() | IDS)
    def test_special_tokens_are_put_around_texts(self, a, b):
        row = build_inputs(a, b, cls=0, sep=2)
        assert row == [0, *a, 2] + ([] if b is None else [2, *b, 2])
        assert len(token_types(len(a), None if b is None else len(b))) == len(row)

    @given(IDS, st.none() | IDS, st.integers(4, 12), st.sampled_from(["left", "right"]))
    def test_a_row_is_no_longer_than_max_length(self, a, b, max_length, side):
        builder = InputBuilder(SpecialTokens(Vocabulary(TOKENS)), truncation_side=side)
        second = None if b is None else TokenizedText(b)
        options = Options(truncation=True, max_length=max_length)
        ids = builder.build([TokenizedText(a)], [second], options, single=True)["input_ids"]
        whole = len(a) + 2 + (0 if b is None else len(b) + 2)
        assert len(ids) == min(whole, max_length)

    def test_a_row_longer_than_the_model_takes_is_cut_with_a_warning(self, tokens):
        builder = InputBuilder(tokens, limits=LengthLimits(5))
        with pytest.warns(UserWarning, match="exceeds what the model takes, 5"):
            columns = builder.build(
                [TokenizedText([6] * 9)], [None], Options(truncation=True, max_length=7)
            )
        assert columns["input_ids"] == [[0, 6, 6, 6, 2]]

    def test_a_changed_token_has_effect(self, tokens):
        rows = ManualRows(InputBuilder(tokens))
        tokens.sep_token = "c"
        assert rows.prepare_for_model([6], [7]).input_ids == [0, 6, 8, 8, 7, 8]

    def test_a_layout_tells_special_tokens_and_padding(self):
        layout = RowLayout(True, "left", [1], [2], padding=[2])
        assert layout.per_token(0, [7], [8, 9]) == [None, None, None, 7, None, None, 8, 9, None]


class TestPadder:
    @given(st.lists(IDS, max_size=4), st.integers(0, 3), st.sampled_from(["left", "right"]))
    def test_rows_become_one_array(self, rows, more, side):
        length = max(map(len, rows), default=0) + more
        padded = pad_rows(rows, -100, length, side)
        assert (padded.shape, padded.dtype) == ((len(rows), length), np.int64)
        for row, values in zip(rows, padded.tolist(), strict=True):
            missing = [-100] * (length - len(row))
            assert values == (missing + row if side == "left" else row + missing)

    def test_the_longest_row_is_the_length_unless_told(self):
        assert pad_rows([[5], [6, 7]], 1).tolist() == [[5, 1], [6, 7]]

    def test_rows_may_be_arrays(self):
        rows = [np.array([5], np.int32), np.array([6, 7])]
        assert pad_rows(rows, 1).tolist() == [[5, 1], [6, 7]]

    def test_a_row_longer_than_the_length_is_refused(self):
        with pytest.raises(ValueError, match="a row has 2 values, more than length=1"):
            pad_rows([[5], [6, 7]], 1, length=1)

    def test_the_columns_of_a_batch_are_padded(self, tokens):
        padder = Padder(tokens, padding_side="left", pad_token_type_id=4)
        padded = padder.pad({"input_ids": [[5], [6, 7]], "token_type_ids": [[0], [0, 1]]})
        assert padded["input_ids"] == [[1, 5], [6, 7]]
        assert padded["token_type_ids"] == [[4, 0], [0, 1]]
        assert padded["attention_mask"] == [[0, 1], [1, 1]]

    def test_the_models_length_is_that_of_the_limits(self, tokens):
        padder = Padder(tokens, limits=LengthLimits(3))
        assert padder.pad({"input_ids": [5]}, padding="max_length").input_ids == [5, 1, 1]


class TestTokenizer:
    def test_a_change_of_a_part_is_a_change_of_the_tokenizer(self, tok):
        tok.special_tokens.add_tokens("<n>")
        tok.padder.padding_side = "left"
        assert "<n>" in tok.tokenize("dog <n>")
        assert tok.padding_side == "left"
        assert tok("dog", padding="max_length", max_length=9).input_ids[0] == tok.pad_token_id

    @pytest.mark.parametrize(
        ("name", "value", "part"),
        [
            ("padding_side", "left", "padder"),
            ("pad_token_type_id", 3, "padder"),
            ("truncation_side", "left", "input_builder"),
            ("model_max_length", 9, "limits"),
            ("mask_token", "[UNK]", "special_tokens"),
            ("additional_special_tokens", ["<q>"], "special_tokens"),
        ],
    )
    def test_setting_an_attribute_sets_that_of_the_part(self, tok, name, value, part):
        assert getattr(tok, name) != value
        setattr(tok, name, value)
        assert getattr(tok, name) == value == getattr(getattr(tok, part), name)

    def test_what_is_derived_cannot_be_set(self, tok):
        for name in ("all_special_ids", "added_tokens_encoder", "special_tokens_map", "sp_model"):
            with pytest.raises(AttributeError):
                setattr(tok, name, [])

    def test_options_of_sentencepiece_are_checked_when_they_are_set(self, tok):
        with pytest.raises(TypeError, match="did you mean 'nbest_size'"):
            tok.sp_model_kwargs = {"nbest": 3}
        assert tok.sp_model_kwargs == {}

    @pytest.mark.parametrize("clone", [copy.copy, lambda t: pickle.loads(pickle.dumps(t))])
    def test_a_copy_has_parts_of_its_own_that_belong_together(self, tok, clone):
        other = clone(tok)
        other.add_tokens("<n>")
        other.pad_token, other.padding_side, other.model_max_length = "<n>", "left", 7
        row = other("dog <n>", padding="max_length").input_ids
        assert row[0] == row[-2] == len(tok)
        assert (tok.pad_token, tok.padding_side, tok.model_max_length) == ("[PAD]", "right", 512)
        assert "<n>" not in tok.get_vocab()

    def test_methods_of_parts_keep_their_docstrings(self):
        for name in ("decode", "batch_decode", "tokenize", "pad", "prepare_for_model"):
            method = getattr(ErnieMTokenizer, name)
            assert method.__name__ == name
            assert method.__doc__
