"""What holds for any string."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tokenizer.test_offsets import check

FRAGMENTS = [
    *"aB1２٣½①é\u0301İΣßﬁ中文。,~? \t\n\u3000\u200b\u00a0▁☃🤯\x00\x01\u200dﷺ¨ｶﾞカ\u3099[\ufffd𠀀",
    *("[MASK]", "[CLS]", "[UNK]", "[mask]", "word", "हिन्दी", "ไทย", "اردو", "2020年", "e\u0301"),
]
ANY = st.lists(
    st.one_of(st.sampled_from(FRAGMENTS), st.characters(exclude_categories=["Cs"])), max_size=30
).map("".join)
SURROGATES = st.lists(st.characters(), max_size=20).map("".join)
FEW = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def lowering(make, make_upstream):
    return make(do_lower_case=True), make_upstream(do_lower_case=True)


@pytest.fixture(scope="module")
def small(make):
    return make(), make(do_lower_case=True), make(cut_pieces=False), make(bare_underline="paddle")


@FEW
@given(text=ANY)
def test_ids_equal_upstream(published, published_upstream, text):
    assert published(text).input_ids == published_upstream(text)["input_ids"]


@FEW
@given(text=ANY)
def test_lowered_ids_equal_upstream(lowering, text):
    ours, theirs = lowering
    assert ours(text).input_ids == theirs(text)["input_ids"]


@FEW
@given(texts=st.lists(ANY, min_size=2, max_size=5))
def test_a_batch_equals_its_texts(small, texts):
    for tok in small:
        batch = tok(texts, return_offsets_mapping=True)
        assert tok(texts).input_ids == batch.input_ids
        assert batch.input_ids == [tok(text).input_ids for text in texts]


@FEW
@given(text=st.one_of(ANY, SURROGATES))
def test_offsets_are_sorted_inside_the_text_and_cover_their_tokens(small, text):
    for i, tok in enumerate(small):
        check(tok, text, lowered=i == 1)


@FEW
@given(text=st.one_of(ANY, SURROGATES))
def test_published_offsets_cover_their_tokens(published, text):
    check(published, text)


@FEW
@given(text=SURROGATES)
def test_lone_surrogates_count_as_replacement_characters(small, text):
    clean = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    tok = small[0]
    assert tok([text, "dog"]).input_ids == tok([clean, "dog"]).input_ids
    assert tok(text).input_ids == tok(clean).input_ids


@FEW
@given(text=ANY, length=st.integers(4, 12), stride=st.integers(0, 9))
def test_windows_cover_every_token(small, text, length, stride):
    tok = small[0]
    enc = tok(
        text,
        truncation=True,
        max_length=length,
        stride=min(stride, length - 3),
        return_overflowing_tokens="windows",
        return_offsets_mapping=True,
    )
    seen = {span for row in enc.offset_mapping for span in row[1:-1]}
    assert seen == set(tok.get_offset_mapping(text))
    assert all(len(row) <= length for row in enc.input_ids)
