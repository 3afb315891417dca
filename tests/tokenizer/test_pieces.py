import itertools

import pytest

from numpy_erniem.tokenizer.pieces import PieceCutter, PieceTable, cut_piece, keeps_underline


def cut(piece):
    return [piece[start:end] for start, end in cut_piece(piece)]


@pytest.mark.parametrize(
    ("piece", "tokens"),
    [
        ("▁word", ["▁word"]),
        ("北京", ["北", "京"]),
        ("\u4dff\u4e00\u9fff\ua000", ["\u4dff", "\u4e00", "\u9fff", "\ua000"]),
        ("x,y", ["x", ",", "y"]),
        ("カタ", ["カタ"]),
    ],
)
def test_ideographs_and_punctuation_stand_alone(piece, tokens):
    assert cut(piece) == tokens


@pytest.mark.parametrize("mark", ",;:.?!~，；：。？！《》【】")
def test_each_of_the_marks_stands_alone(mark):
    assert cut(f"a{mark}b") == ["a", mark, "b"]


@pytest.mark.parametrize("mark", "-'\"()、…")
def test_other_marks_do_not_cut(mark):
    assert cut(f"a{mark}b") == [f"a{mark}b"]


def test_a_change_between_digits_and_others_cuts():
    assert cut("a12b3") == ["a", "12", "b", "3"]


def test_digits_are_what_isdigit_says():
    assert cut("a²٣b") == ["a", "²٣", "b"]


def test_an_underline_left_alone_before_a_cut_is_dropped():
    assert cut("▁2020年") == ["2020", "年"]
    assert cut("▁，") == ["，"]


def test_an_underline_within_a_piece_does_not_cut():
    assert cut("1▁a") == ["1▁a"]


def test_hf_keeps_an_underline_inside_a_segment():
    assert keeps_underline(1, ["a", "▁", "b"], "hf")


@pytest.mark.parametrize(
    ("index", "pieces"), [(0, ["▁", "b"]), (1, ["a", "▁"]), (1, ["a", "▁", "▁b"])]
)
def test_hf_drops_an_underline_at_the_edges_and_before_another(index, pieces):
    assert not keeps_underline(index, pieces, "hf")


def test_paddle_drops_every_underline():
    assert not keeps_underline(1, ["a", "▁", "b"], "paddle")


@pytest.mark.parametrize("text", ["北京 東 (京", "dog ゑ dog", "12 北"])
def test_bare_underline_decides_about_underlines_inside_a_text(make, text):
    hf, paddle = make(), make(bare_underline="paddle")
    assert "▁" in hf.tokenize(text)
    assert paddle.tokenize(text) == [t for t in hf.tokenize(text) if t != "▁"]
    for tokenizer in (hf, paddle):
        tokens = tokenizer.tokenize(text)
        assert tokenizer.convert_ids_to_tokens(
            tokenizer(text, add_special_tokens=False).input_ids
        ) == [t if t in tokenizer.vocab else "[UNK]" for t in tokens]


def test_one_text_and_a_batch_of_it_give_the_same_ids(make):
    texts = ["北京 東 (京", "12 months", "", "dog ゑ dog", "a1b2 北"]
    for rule in ("hf", "paddle"):
        tokenizer = make(bare_underline=rule)
        batch = tokenizer(texts).input_ids
        assert batch == [tokenizer(text).input_ids for text in texts]


def test_cut_pieces_false_leaves_pieces_whole(make, folder):
    whole = make(cut_pieces=False)
    for text in ("In 2020, 北京学习", "12 北 京", "x10y"):
        assert whole.tokenize(text) == whole.sp_model.encode(text, out_type=str)
        batch = whole([text, text], add_special_tokens=False).input_ids
        assert batch == [whole.convert_tokens_to_ids(whole.tokenize(text))] * 2


def test_pieces_that_are_not_in_the_vocabulary_become_unk(tok):
    assert tok("☃☃", add_special_tokens=False).input_ids[-1] == tok.unk_token_id


def test_unknown_pieces_are_cut_by_their_own_text(tok):
    assert tok.tokenize("龘龘☃1") == ["龘", "龘", "☃", "1"]


def test_a_table_entry_is_made_once():
    import numpy as np

    asked = []

    def compute(piece):
        asked.append(piece)
        return (piece * 10, piece * 10 + 1)[: piece % 3], False

    table = PieceTable(6, compute)
    pieces = np.array([1, 5, 3, 5])
    table.add_missing(pieces)
    table.add_missing(pieces)
    assert sorted(asked) == [1, 3, 5]
    assert table.expand(pieces, table.counts[pieces]).tolist() == [10, 50, 51, 50, 51]


class Divided:
    """A processor whose texts are pieces divided by "|": rows no real model would give."""

    pieces = ("<unk>", "▁", "▁a", "b", "1c")

    def unk_id(self):
        return 0

    def get_piece_size(self):
        return len(self.pieces)

    def piece_to_id(self, piece):
        return self.pieces.index(piece) if piece in self.pieces else 0

    def id_to_piece(self, index):
        return self.pieces[index]

    def encode(self, texts, out_type, num_threads=None):
        if isinstance(texts, list):
            return [self.encode(text, out_type) for text in texts]
        pieces = [piece for piece in texts.split("|") if piece]
        return pieces if out_type is str else [self.piece_to_id(piece) for piece in pieces]


@pytest.mark.parametrize("rule", ["hf", "paddle"])
def test_ids_follow_the_rules_for_any_row_of_pieces(rule):
    vocabulary = ["[UNK]", "▁", "▁a", "b", "1", "c", "☃"]
    texts = [
        "|".join(row)
        for size in range(5)
        for row in itertools.product(["▁", "▁a", "b", "1c", "☃"], repeat=size)
    ]
    expected = []
    for text in texts:
        pieces = [piece for piece in text.split("|") if piece]
        tokens = []
        for i, piece in enumerate(pieces):
            if piece != "▁":
                tokens += cut(piece)
            elif keeps_underline(i, pieces, rule):
                tokens.append(piece)
        expected.append([vocabulary.index(token) for token in tokens])
    cutter = PieceCutter(Divided(), vocabulary.index, bare_underline=rule)
    assert cutter.ids(texts) == expected
    assert [cutter.ids([text])[0] for text in texts] == expected
