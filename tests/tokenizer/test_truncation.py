from itertools import pairwise

import pytest

from numpy_erniem.tokenizer.lengths import truncate, windows

TEXT = "The quick brown fox jumps over the lazy dog"
OTHER = "In 2020 there were 12 months"


def inner(tok, text):
    return tok(text, add_special_tokens=False).input_ids


def test_truncation_cuts_on_the_right(tok):
    ids = inner(tok, TEXT)
    assert tok(TEXT, truncation=True, max_length=9).input_ids[1:-1] == ids[:7]


def test_truncation_cuts_on_the_left(make):
    tok = make(truncation_side="left")
    ids = inner(tok, TEXT)
    assert tok(TEXT, truncation=True, max_length=9).input_ids[1:-1] == ids[-7:]


def test_without_special_tokens_more_fits(tok):
    enc = tok(TEXT, truncation=True, max_length=9, add_special_tokens=False)
    assert enc.input_ids == inner(tok, TEXT)[:9]


def test_only_first_cuts_the_first_text(tok):
    a, b = inner(tok, TEXT), inner(tok, OTHER)
    enc = tok(TEXT, OTHER, truncation="only_first", max_length=len(b) + 7)
    assert enc.input_ids == tok.build_inputs_with_special_tokens(a[:3], b)


def test_only_second_cuts_the_second_text(tok):
    a, b = inner(tok, TEXT), inner(tok, OTHER)
    enc = tok(TEXT, OTHER, truncation="only_second", max_length=len(a) + 7)
    assert enc.input_ids == tok.build_inputs_with_special_tokens(a, b[:3])


def test_longest_first_evens_out_a_pair(tok):
    a, b = inner(tok, TEXT), inner(tok, "dog")
    enc = tok(TEXT, "dog", truncation=True, max_length=len(b) * 2 + 4)
    assert enc.input_ids == tok.build_inputs_with_special_tokens(a[: len(b)], b)


def test_do_not_truncate_leaves_all(tok):
    enc = tok(TEXT, truncation="do_not_truncate", max_length=5)
    assert enc.input_ids == tok(TEXT).input_ids


def test_truncation_takes_the_mask_and_offsets_along(tok):
    whole = tok(TEXT, return_offsets_mapping=True)
    enc = tok(TEXT, truncation=True, max_length=9, return_offsets_mapping=True)
    assert enc.offset_mapping == [*whole.offset_mapping[:8], (0, 0)]
    assert enc.attention_mask == [1] * 9


@pytest.mark.parametrize(("stride", "side"), [(0, "right"), (3, "right"), (3, "left")])
def test_overflowing_tokens_repeat_stride_tokens(make, stride, side):
    tok = make(truncation_side=side)
    ids = inner(tok, TEXT)
    enc = tok(TEXT, truncation=True, max_length=9, stride=stride, return_overflowing_tokens=True)
    overflow = ids[7 - stride :] if side == "right" else ids[: len(ids) - 7 + stride]
    assert enc.overflowing_tokens == overflow
    assert enc.num_truncated_tokens == len(ids) - 7


def test_overflow_of_a_batch_is_a_list_per_text(tok):
    enc = tok([TEXT, "dog"], truncation=True, max_length=9, return_overflowing_tokens=True)
    assert enc.overflowing_tokens == [inner(tok, TEXT)[7:], []]
    assert enc.num_truncated_tokens == [
        len(x) + 2 - 9 for x in (inner(tok, TEXT), inner(tok, "dog"))
    ]


def test_windows_of_a_text_overlap_by_stride(tok):
    ids = inner(tok, TEXT)
    enc = tok(TEXT, truncation=True, max_length=9, stride=2, return_overflowing_tokens="windows")
    rows = [row[1:-1] for row in enc.input_ids]
    assert rows[0] == ids[:7]
    assert all(after[:2] == before[-2:] for before, after in pairwise(rows))
    assert rows[0] + [i for row in rows[1:] for i in row[2:]] == ids
    assert enc.overflow_to_sample_mapping == [0] * len(rows)


def test_windows_of_a_batch_name_their_text(tok):
    enc = tok(["dog", TEXT], truncation=True, max_length=12, return_overflowing_tokens="windows")
    rows = len(enc.input_ids)
    assert enc.overflow_to_sample_mapping == [0] + [1] * (rows - 1)
    assert rows > 2


def test_windows_of_a_document_keep_the_question(tok):
    question = inner(tok, "dog sleeps")
    enc = tok(
        ["dog sleeps"],
        [TEXT],
        truncation="only_second",
        max_length=len(question) + 12,
        stride=3,
        return_overflowing_tokens="windows",
        return_offsets_mapping=True,
    )
    seen = []
    for row, (ids, offsets) in enumerate(zip(enc.input_ids, enc.offset_mapping, strict=True)):
        assert ids[1 : len(question) + 1] == question
        owners = enc.sequence_ids(row)
        seen += [span for span, owner in zip(offsets, owners, strict=True) if owner == 1]
    assert set(seen) == set(tok.get_offset_mapping(TEXT))
    assert len(seen) > len(set(seen))


def test_windows_on_the_left_begin_at_the_end(make):
    tok = make(truncation_side="left")
    enc = tok(TEXT, truncation=True, max_length=9, stride=2, return_overflowing_tokens="windows")
    assert enc.input_ids[0][1:-1] == inner(tok, TEXT)[-7:]


def test_windows_pad_like_any_batch(tok):
    enc = tok(
        TEXT,
        truncation=True,
        max_length=9,
        padding=True,
        return_overflowing_tokens="windows",
        return_tensors="np",
    )
    assert enc.input_ids.shape == enc.attention_mask.shape
    assert enc.overflow_to_sample_mapping.shape == (len(enc.input_ids),)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    ("length", "room", "stride"), [(0, 4, 1), (4, 4, 3), (17, 5, 2), (9, 4, 0)]
)
def test_windows_cover_everything_once_but_for_the_stride(length, room, stride, side):
    parts = list(windows(length, room, stride, side))
    covered = [i for part in parts for i in range(part.start, part.stop)]
    assert set(covered) == set(range(length))
    assert len(covered) == length + stride * (len(parts) - 1)
    assert all(part.stop - part.start <= room for part in parts)


def test_truncate_sequences_returns_both_and_the_overflow(tok):
    a, b = [1, 2, 3, 4, 5], [6, 7, 8]
    assert tok.truncate_sequences(a, b, 2, "only_first", 1) == ([1, 2, 3], b, [3, 4, 5])
    assert tok.truncate_sequences(a, b, 2, "only_second", 0) == (a, [6], [7, 8])
    assert tok.truncate_sequences(a, b, 4, "longest_first") == ([1, 2], [6, 7], [])
    assert tok.truncate_sequences(a, None, 0) == (a, None, [])


def test_truncate_removes_exactly_what_is_asked_of_a_pair():
    for first in range(6):
        for second in range(6):
            for remove in range(first + second + 1):
                cut = truncate(first, second, remove, "longest_first", 0, "right")
                a, b = range(first)[cut.first], range(second)[cut.second]
                assert len(a) + len(b) == first + second - remove


def test_truncation_never_exceeds_512(tok):
    enc = tok("fox " * 600, truncation=True)
    assert len(enc.input_ids) == 512


def test_514_of_published_configs_means_512_and_warns_once(make):
    tok = make(model_max_length=514)
    assert tok.model_max_length == 512
    with pytest.warns(UserWarning, match="514 counts position embeddings") as seen:
        enc = tok("fox " * 600, truncation=True)
    assert seen[0].filename == __file__
    assert len(enc.input_ids) == 512
    tok("fox", truncation=True)


def test_a_longer_max_length_is_cut_to_the_models(make):
    tok = make(model_max_length=20)
    with pytest.warns(UserWarning, match="exceeds what the model takes, 20"):
        assert len(tok("fox " * 60, truncation=True, max_length=30).input_ids) == 20


def test_model_max_length_can_be_raised(tok):
    tok.model_max_length = 700
    assert len(tok("fox " * 600, truncation=True, max_length=650).input_ids) == 650


def test_max_len_leaves_room_for_special_tokens(make):
    tok = make(model_max_length=20)
    assert (tok.max_len_single_sentence, tok.max_len_sentences_pair) == (18, 16)


def test_max_length_alone_truncates_and_is_logged_once(tok, caplog):
    for _ in range(2):
        assert len(tok(TEXT, max_length=7).input_ids) == 7
    assert [r.getMessage()[:48] for r in caplog.records] == [
        "max_length=7 was given without truncation; texts"
    ]


def test_verbose_false_is_silent(make, caplog):
    tok = make(model_max_length=514)
    assert len(tok(TEXT, max_length=7, verbose=False).input_ids) == 7
    assert len(tok("fox " * 600, truncation=True, verbose=False).input_ids) == 512
    assert not caplog.records


def test_a_text_too_long_for_the_model_is_logged(make, caplog):
    make(model_max_length=8)(TEXT)
    assert "the model takes 8" in caplog.text


def test_a_cut_that_cannot_succeed_is_logged(tok, caplog):
    enc = tok("dog", TEXT, truncation="only_first", max_length=10)
    assert "too short" in caplog.text
    assert enc.input_ids == tok("dog", TEXT).input_ids
