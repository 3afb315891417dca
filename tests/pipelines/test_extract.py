"""Texts and a schema in, the spans that the schema asks for out."""

import copy
import doctest
import functools
import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpy_erniem import (
    ErnieMConfig,
    ErnieMForInformationExtraction,
    ErnieMModel,
    ErnieMTokenizer,
    InformationExtractor,
    bundled_checkpoint,
)
from numpy_erniem.pipelines.chunks import ChunkedText
from numpy_erniem.pipelines.extraction_schema import levels, parse_schema, prompt_language
from numpy_erniem.pipelines.extraction_spans import find_spans, join_chunks, pair
from numpy_erniem.pipelines.tokens import encode_with_spans
from tests.conftest import REPOSITORY

ENGLISH = "In 1997, Steve was excited to become the CEO of Apple."
CHINESE = "地址不错，服务一般，设施陈旧"


@pytest.fixture(scope="module")
def tokenizer():
    return ErnieMTokenizer.from_pretrained(bundled_checkpoint(), bare_underline="paddle")


def sections(row):
    """Prompt and text of a row [CLS] prompt [SEP] [SEP] text [SEP]."""
    middle = row.index(2)
    assert row[0] == 0
    assert row[middle + 1] == row[-1] == 2
    return row[1:middle], row[middle + 2 : -1]


class Marker:
    """A stub model that marks words: prompt → words, each in the text or else in the prompt."""

    def __init__(self, tokenizer, words, start=0.9, end=0.8, max_length=512):
        self.config = SimpleNamespace(max_length=max_length, pad_token_id=1)
        self.rows, self.probability = [], (start, end)

        def ids(text):
            return tokenizer(text, add_special_tokens=False)["input_ids"]

        self.words = {tuple(ids(p)): [ids(word) for word in found] for p, found in words.items()}

    def __call__(self, input_ids, attention_mask):
        start_prob = np.zeros(input_ids.shape, np.float32)
        end_prob = start_prob.copy()
        for b, ids in enumerate(input_ids):
            row = ids[attention_mask[b] == 1].tolist()
            self.rows.append(row)
            prompt, text = sections(row)
            for word in self.words.get(tuple(prompt), []):
                for offset, part in ((len(prompt) + 3, text), (1, prompt)):
                    places = [n for n in range(len(part)) if part[n : n + len(word)] == word]
                    for n in places:
                        start_prob[b, offset + n] = self.probability[0]
                        end_prob[b, offset + n + len(word) - 1] = self.probability[1]
                    if places:
                        break
        return SimpleNamespace(start_prob=start_prob, end_prob=end_prob)

    def prompts(self, tokenizer):
        return [tokenizer.decode(sections(row)[0]) for row in self.rows]


def without_probabilities(found):
    """The texts of answers, and of their relations."""
    if isinstance(found, list):
        return [without_probabilities(answer) for answer in found]
    if "text" in found:
        relations = found.get("relations")
        return (found["text"], without_probabilities(relations)) if relations else found["text"]
    return {name: without_probabilities(answers) for name, answers in found.items()}


# The worked examples


def test_entities_with_relations(tokenizer):
    model = Marker(
        tokenizer,
        {"Person": ["Steve"], "Company of Steve": ["Apple"], "Position of Steve": ["CEO"]},
    )
    extractor = InformationExtractor(model, tokenizer, schema=[{"Person": ["Company", "Position"]}])
    near = pytest.approx(0.72, abs=1e-6)
    assert extractor(ENGLISH) == {
        "Person": [
            {
                "text": "Steve",
                "start": 9,
                "end": 14,
                "probability": near,
                "relations": {
                    "Company": [{"text": "Apple", "start": 48, "end": 53, "probability": near}],
                    "Position": [{"text": "CEO", "start": 41, "end": 44, "probability": near}],
                },
            }
        ]
    }
    assert sorted(model.prompts(tokenizer)) == ["Company of Steve", "Person", "Position of Steve"]


def test_the_first_input_of_the_published_vocabulary(shared):
    tokenizer = ErnieMTokenizer.from_pretrained(shared / "data/tokenizer")
    model = Marker(tokenizer, {})
    assert InformationExtractor(model, tokenizer, schema=["Person"])(ENGLISH) == {}
    want = "0 15270 2 2 360 55589 4 41550 509 102417 47 24209 70 45733 111 4129 5 2"
    assert model.rows == [list(map(int, want.split()))]


def test_a_label_is_chosen_from_the_prompt(tokenizer):
    model = Marker(tokenizer, {"情感倾向[正向,负向]": ["负向"]})
    name = "情感倾向[正向，负向]"
    found = InformationExtractor(model, tokenizer, schema=name)(CHINESE)
    assert found == {name: [{"text": "负向", "probability": pytest.approx(0.72, abs=1e-6)}]}
    assert list(found[name][0]) == ["text", "probability"]


def test_opinions_have_a_label_for_each_aspect(tokenizer):
    model = Marker(
        tokenizer,
        {
            "评价维度": ["地址"],
            "地址的观点词": ["不错"],
            "地址的情感倾向[正向,负向]": ["正向"],
        },
    )
    schema = {"评价维度": ["观点词", "情感倾向[正向，负向]"]}
    found = InformationExtractor(model, tokenizer, schema=schema)(CHINESE)
    opinion = {"观点词": ["不错"], "情感倾向[正向，负向]": ["正向"]}
    assert without_probabilities(found) == {"评价维度": [("地址", opinion)]}


@pytest.mark.parametrize(
    ("text", "person", "place"),
    [
        ("Angela Merkel wohnt in Berlin, sagt Jörg Müßig.", "Jörg Müßig", "Berlin"),
        ("山田太郎は東京に住んでいます。", "山田太郎", "東京"),
        ("ولد أحمد في القاهرة ويعمل في دبي.", "أحمد", "القاهرة"),
        ("สมชายอาศัยอยู่ในกรุงเทพมหานคร", "สมชาย", "กรุงเทพมหานคร"),
    ],
    ids=["German", "Japanese", "Arabic", "Thai"],
)
def test_texts_of_every_script_have_exact_places(text, person, place, tokenizer):
    """A model that marks the tokens that hold these characters."""
    encoded = encode_with_spans(tokenizer, [text])[0]

    def model(input_ids, attention_mask):
        start_prob = np.zeros(input_ids.shape, np.float32)
        end_prob = start_prob.copy()
        for b, ids in enumerate(input_ids):
            prompt, ids = sections(ids[attention_mask[b] == 1].tolist())
            assert ids == encoded.ids
            word = person if tokenizer.decode(prompt) == "Person" else place
            begin = text.index(word)
            inside = [
                n for n, (s, e) in enumerate(encoded.spans) if s < begin + len(word) and e > begin
            ]
            start_prob[b, len(prompt) + 3 + inside[0]] = 1
            end_prob[b, len(prompt) + 3 + inside[-1]] = 1
        return {"start_prob": start_prob, "end_prob": end_prob}

    model.config = SimpleNamespace(max_length=512, pad_token_id=1)
    found = InformationExtractor(model, tokenizer, schema={"Person": "Place"})(text)
    for answer, word in (
        (found["Person"][0], person),
        (found["Person"][0]["relations"]["Place"][0], place),
    ):
        assert text[answer["start"] : answer["end"]] == answer["text"]
        assert word in answer["text"]


# Schemas


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (None, "there is no schema"),
        (3, "schema is a int"),
        ([], "schema is an empty list"),
        ({}, "schema is an empty dict"),
        ("", "schema has a blank name"),
        (["Person", " \n"], r"schema\[1\] has a blank name"),
        (["Person", 3], r"schema\[1\] is a int"),
        ([["Person"]], r"schema\[0\] is a list"),
        ({"Person": {"Company": "City"}}, r"schema\['Person'\] is a dict; put it into a list"),
        ({"Person": 3}, r"schema\['Person'\] is a int"),
        ({3: "Person"}, "schema has the int 3 as a name"),
    ],
)
def test_a_wrong_schema_is_told_the_right_form(schema, message, tokenizer):
    extractor = InformationExtractor(Marker(tokenizer, {}), tokenizer)
    with pytest.raises(ValueError, match=message) as error:
        extractor("a", schema=schema)
    assert '{"Person": ["Company", "Position"]}' in str(error.value)


def test_a_wrong_schema_is_refused_where_the_extractor_is_made(tokenizer):
    with pytest.raises(ValueError, match="schema is a int"):
        InformationExtractor(Marker(tokenizer, {}), tokenizer, schema=3)


def test_a_name_twice_on_a_level_is_refused():
    with pytest.raises(ValueError, match="schema has 'Person' twice"):
        parse_schema(["Person", {"Person": ["Company"]}])
    with pytest.raises(ValueError, match=r"schema\['Person'\] has 'City' twice"):
        parse_schema({"Person": ["City", "City"]})
    assert levels(parse_schema(["City", {"Person": "City"}])) == 2


def test_a_schema_that_holds_itself_is_refused():
    schema = {}
    schema["Person"] = [schema]
    with pytest.raises(ValueError, match="more than 16 levels"):
        parse_schema(schema)


def test_deep_schemas_are_lists_of_dicts(tokenizer):
    words = {"Person": ["Steve"], "Company of Steve": ["Apple"], "Role of Apple": ["CEO"]}
    schema = {"Person": [{"Company": ["Role"]}, "Age"]}
    found = InformationExtractor(Marker(tokenizer, words), tokenizer, schema=schema)(ENGLISH)
    want = {"Person": [("Steve", {"Company": [("Apple", {"Role": ["CEO"]})]})]}
    assert without_probabilities(found) == want


@pytest.mark.parametrize(
    ("language", "schema", "prompt"),
    [
        ("auto", {"Person": "Company"}, "Company of Steve"),
        ("auto", {"Person": "公司"}, "Steve的公司"),
        ("zh", {"Person": "Company"}, "Steve的Company"),
        ("en", {"Person": "公司"}, "公司 of Steve"),
        ("en", {"Person": "Mood [good, bad]"}, "Mood of Steve [good, bad]"),
        ("en", {"Person": "Mood[good, bad]"}, "Mood of Steve [good, bad]"),
        ("zh", {"Person": "Mood [good, bad]"}, "Steve的Mood[good, bad]"),
        ("zh", {"Person": "Mood ［good，bad］"}, "Steve的Mood[good,bad]"),
        ("auto", {"Ｐｅｒｓｏｎ": "Ｍood"}, "Mood of Steve"),
    ],
)
def test_prompts_about_an_answer(language, schema, prompt, tokenizer):
    model = Marker(tokenizer, {"Person": ["Steve"], prompt: ["CEO"]})
    found = InformationExtractor(model, tokenizer, schema=schema, language=language)(ENGLISH)
    ((root, child),) = schema.items()
    assert without_probabilities(found) == {root: [("Steve", {child: ["CEO"]})]}


def test_one_language_holds_for_the_whole_schema():
    schema = parse_schema(["Person", {"Time": [{"Place": "地点"}]}])
    assert prompt_language("auto", schema) == "zh"
    assert prompt_language("auto", parse_schema("カメラ")) == "en"


# Decoding


def test_pairs_of_starts_and_ends():
    assert pair([1, 3], [3]) == [(3, 3)]
    assert pair([1, 2], [4]) == [(2, 4)]
    assert pair([1], [2, 4]) == [(1, 2)]
    assert pair([], [1]) == pair([1], []) == pair([4], [1]) == []
    assert pair([1, 5], [3, 8]) == [(1, 3), (5, 8)]


@given(st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)))
def test_pairs_are_those_of_two_pointers(starts, ends):
    """The rule, told by the end: the last start at or before it, behind the end before it."""
    want, before = [], -1
    for end in sorted(ends):
        near = [s for s in starts if before < s <= end]
        if near:
            want.append((max(near), end))
        before = end
    assert pair(sorted(starts), sorted(ends)) == want


def test_a_probability_must_be_greater_than_the_threshold_in_float32():
    prob = np.float32([0.7, 0.0])
    assert find_spans(prob, prob, 0.7) == []
    assert np.float64(np.float32(0.7)) < 0.7
    just_above = np.nextafter(prob, np.float32(1))
    assert len(find_spans(just_above, just_above, 0.7)) == 1
    wide = prob.astype(np.float64) + 1e-12
    assert find_spans(wide, wide, 0.7) == []


def test_the_threshold_is_an_option(tokenizer):
    model = Marker(tokenizer, {"Person": ["Steve"]}, start=0.9, end=0.8)
    extractor = InformationExtractor(model, tokenizer, schema="Person", threshold=0.85)
    assert extractor(ENGLISH) == {}
    assert "Person" in extractor(ENGLISH, threshold=0.7)
    with pytest.raises(ValueError, match=r"threshold 1.5 is not a number in 0..1"):
        extractor(ENGLISH, threshold=1.5)


def fixed(start_prob, end_prob):
    """A model that gives every row these probabilities, by token."""

    def model(input_ids, attention_mask):
        shape = len(input_ids), 1
        return SimpleNamespace(
            start_prob=np.tile(np.float32(start_prob)[: input_ids.shape[1]], shape),
            end_prob=np.tile(np.float32(end_prob)[: input_ids.shape[1]], shape),
        )

    model.config = SimpleNamespace(max_length=512, pad_token_id=1)
    return model


# [CLS] Time [SEP] [SEP] open the file [SEP]
@pytest.mark.parametrize(
    ("start", "end", "want"),
    [
        (4, 5, ["open the"]),
        (0, 1, []),  # from [CLS]
        (1, 1, ["Time"]),
        (1, 2, []),  # into [SEP]
        (2, 3, []),
        (3, 5, []),  # from [SEP]
        (1, 4, []),  # from the prompt into the text
        (6, 7, []),  # to the last [SEP]
        (6, 6, ["file"]),
    ],
)
def test_spans_on_special_tokens_and_across_are_dropped(start, end, want, tokenizer):
    text = "open the file"
    assert len(tokenizer("Time", text)["input_ids"]) == 8
    model = fixed(np.arange(8) == start, np.arange(8) == end)
    found = InformationExtractor(model, tokenizer, schema="Time")(text)
    assert [answer["text"] for answer in found.get("Time", [])] == want
    assert found == {} or want


def test_answers_are_sorted_by_their_place(tokenizer):
    model = Marker(tokenizer, {"Word": ["Apple", "Steve", "CEO"]})
    found = InformationExtractor(model, tokenizer, schema="Word")(ENGLISH)["Word"]
    assert [answer["text"] for answer in found] == ["Steve", "CEO", "Apple"]


def test_the_same_answer_twice_has_relations_of_its_own(tokenizer):
    model = Marker(tokenizer, {"Person": ["Steve"], "Company of Steve": ["Apple"]})
    extractor = InformationExtractor(model, tokenizer, schema={"Person": "Company"})
    first, second = extractor("Steve, Apple, Steve")["Person"]
    assert first["relations"] == second["relations"]
    assert first["relations"]["Company"][0] is not second["relations"]["Company"][0]
    assert len(model.rows) == 2  # what is asked twice is computed once


def test_an_empty_text_has_no_answers(tokenizer):
    model = fixed(np.ones(99), np.ones(99))
    assert InformationExtractor(model, tokenizer, schema="Time [now, then]")(["", " \n"]) == [
        {},
        {},
    ]


# Long texts


def long_text(sentences=60):
    return "".join(f"Steve number {n} came.\nNobody knows 他{n}。\n" for n in range(sentences))


def test_a_long_text_is_read_in_chunks_with_exact_places(tokenizer):
    text = long_text()
    words = {"Person": ["Steve"]}
    whole = InformationExtractor(
        Marker(tokenizer, words, max_length=10_000), tokenizer, schema="Person"
    )
    model = Marker(tokenizer, words, max_length=64)
    found = InformationExtractor(model, tokenizer, schema="Person")(text)
    assert found == whole(text)
    assert len(found["Person"]) == 60
    assert len(model.rows) > 10
    for answer in found["Person"]:
        assert text[answer["start"] : answer["end"]] == "Steve"
    pieces = [sections(row)[1] for row in model.rows]
    assert sum(map(len, pieces)) == len(tokenizer(text, add_special_tokens=False)["input_ids"])


def test_the_length_of_rows_is_an_option(tokenizer):
    model = Marker(tokenizer, {"Person": ["Steve"]})
    extractor = InformationExtractor(model, tokenizer, schema="Person", max_length=40)
    assert len(extractor(long_text())["Person"]) == 60
    assert max(map(len, model.rows)) <= 40
    with pytest.raises(ValueError, match=r"max_length 513 is not in 1..512"):
        extractor("a", max_length=513)
    with pytest.raises(ValueError, match="leaves no room for a text in 4 tokens"):
        extractor("a", max_length=4)


def test_chunks_end_where_sentences_end(tokenizer):
    text = "".join(f"Steve is here, number {n}. " for n in range(40))
    model = Marker(tokenizer, {}, max_length=40)
    extractor = InformationExtractor(model, tokenizer, schema="Person")
    extractor(text)
    assert all(tokenizer.decode(sections(row)[1]).endswith(".") for row in model.rows)
    model.rows = []
    extractor(text, cut_at_sentences=False)
    ends = [tokenizer.decode(sections(row)[1])[-1] for row in model.rows]
    assert any(end != "." for end in ends)


@pytest.mark.parametrize(
    ("text", "room", "want"),
    [
        ("a b. c d", 4, ["a b.", "c d"]),
        ("a b\nc d", 3, ["a b", "c d"]),
        ("好的。很好", 4, ["好的。", "很好"]),
        ("3.5 4.5", 5, ["3.5", "4.5"]),  # no sentence ends in a number
        ("(a b.) c", 5, ["(a b.)", "c"]),
        ("什么？！好", 4, ["什么？！", "好"]),
    ],
)
def test_where_a_text_is_cut(text, room, want, tokenizer):
    encoded = encode_with_spans(tokenizer, [text])[0]
    chunks = ChunkedText(text, encoded).chunks(room)
    parts = [text[encoded.spans[c[0]][0] : encoded.spans[c[-1]][1]] for c in chunks]
    assert parts == want


@functools.cache
def plain_tokenizer():
    return ErnieMTokenizer.from_pretrained(bundled_checkpoint())


@settings(max_examples=200, deadline=None)
@given(st.text(), st.integers(1, 20), st.booleans())
def test_chunks_are_the_whole_text(text, room, at_sentences):
    encoded = encode_with_spans(plain_tokenizer(), [text])[0]
    chunks = ChunkedText(text, encoded, at_sentences).chunks(room)
    assert [n for chunk in chunks for n in chunk] == list(range(len(encoded.ids)))
    assert all(1 <= len(chunk) <= room for chunk in chunks)


def test_many_full_stops_are_searched_in_linear_time(tokenizer):
    text = "." * 100_000 + "x" + ')"' * 50_000
    encoded = encode_with_spans(tokenizer, [text[:10]])[0]
    assert ChunkedText(text, encoded).chunks(99) == [range(len(encoded.ids))]


def label(text, probability):
    return {"text": text, "probability": probability}


def test_the_label_of_a_long_text_is_voted():
    good, bad = label("good", 0.5), label("bad", 0.75)
    chunks = [[bad], [good], [], [label("good", 0.75)]]
    assert join_chunks(chunks) == [label("good", 0.625)]
    assert join_chunks([[good], [bad]]) == [bad]  # equal votes: the larger sum
    assert join_chunks([[label("b", 0.5)], [label("a", 0.5)]]) == [label("b", 0.5)]
    assert join_chunks([[good, bad]]) == [good, bad]  # one chunk: as it is
    assert join_chunks([]) == join_chunks([[], []]) == []
    span = {"text": "x", "start": 3, "end": 4, "probability": 0.9}
    assert join_chunks([[span], [good]]) == [good, span]


def test_a_label_does_not_touch_the_places_of_other_texts(tokenizer):
    words = {"Mood [good, bad]": ["bad"], "Person": ["Steve"]}
    model = Marker(tokenizer, words, max_length=40)
    extractor = InformationExtractor(model, tokenizer, schema=["Mood [good, bad]", "Person"])
    long, short = long_text(10), "Steve is here"
    found = extractor([long, short])
    assert found == [extractor(long), extractor(short)]
    assert [answer["text"] for answer in found[0]["Mood [good, bad]"]] == ["bad"]
    assert all(answer["start"] >= 0 for answer in found[0]["Person"])


def test_a_long_text_is_cut_or_refused_on_request(tokenizer):
    model = Marker(tokenizer, {"Person": ["Steve"]}, max_length=64)
    extractor = InformationExtractor(model, tokenizer, schema="Person")
    with pytest.warns(UserWarning, match="1 of 1 texts have more than 64 tokens and were cut"):
        found = extractor(long_text(), on_overflow="cut")
    assert 0 < len(found["Person"]) < 60
    assert len(model.rows) == 1
    with pytest.raises(ValueError, match="tokens are more than the"):
        extractor(long_text(), on_overflow="error")
    with pytest.raises(ValueError, match="on_overflow 'split' is not one of window, cut, error"):
        extractor("a", on_overflow="split")


def test_a_prompt_that_is_too_long_is_not_asked(tokenizer):
    name = "word " * 70
    with pytest.raises(ValueError, match="tokens, which leaves no room for a text"):
        InformationExtractor(Marker(tokenizer, {}, max_length=64), tokenizer)("a", schema=name)
    model = Marker(tokenizer, {"Person": ["Steve"]}, max_length=12)
    extractor = InformationExtractor(
        model, tokenizer, schema={"Person": "one two three four five six"}
    )
    with pytest.warns(UserWarning, match="leaves no room for the text in 12 tokens; it is not ask"):
        found = extractor("Steve")
    assert without_probabilities(found) == {"Person": ["Steve"]}


# As every pipeline


@pytest.fixture(scope="module")
def model(tokenizer):
    """Random weights; about half of all tokens are starts, and ends."""
    config = ErnieMConfig(
        vocab_size=len(tokenizer),
        hidden_size=12,
        num_attention_heads=3,
        num_hidden_layers=2,
        intermediate_size=37,
        initializer_range=1.0,
        max_position_embeddings=66,
    )
    return ErnieMForInformationExtraction(config, seed=3)


TEXTS = [ENGLISH, CHINESE, "", "Jörg Müßig wohnt in Berlin.", "山田太郎は東京に住んでいます。"]
SCHEMA = ["Time [now, then]", {"Person": ["Company", "Position"]}]


def near(got, want):
    """Whether results are equal but for the last digits of probabilities."""
    if isinstance(want, dict):
        return got.keys() == want.keys() and all(near(got[k], want[k]) for k in want)
    if isinstance(want, list):
        return len(got) == len(want) and all(map(near, got, want))
    return got == pytest.approx(want, abs=1e-5) if isinstance(want, float) else got == want


def test_a_result_is_what_the_model_says(model, tokenizer, backend):
    found = InformationExtractor(model, tokenizer, schema="Person")(ENGLISH)["Person"]
    inputs = tokenizer("Person", ENGLISH, return_tensors="np", return_offsets_mapping=True)
    output = model(inputs["input_ids"])
    starts, ends = output.start_prob[0], output.end_prob[0]
    assert starts.dtype == np.float32
    places = {
        (inputs["offset_mapping"][0][s][0], inputs["offset_mapping"][0][e][1]): starts[s] * ends[e]
        for s, e in pair(np.flatnonzero(starts > 0.5), np.flatnonzero(ends > 0.5))
    }
    assert found
    for answer in found:
        if "start" in answer:
            want = places[answer["start"], answer["end"]]
            assert answer["probability"] == pytest.approx(float(want), abs=1e-5)


def test_a_batch_is_its_texts_alone(model, tokenizer, backend):
    extractor = InformationExtractor(model, tokenizer, schema=SCHEMA)
    texts = [*TEXTS, long_text(5)]
    whole = extractor(texts)
    assert sum(map(len, whole)) > 3
    for again in (
        [extractor(text) for text in texts],
        extractor(texts, batch_tokens=1),
        list(extractor.stream(iter(texts))),
    ):
        assert again == whole if backend == "native" else near(again, whole)
    with pytest.raises(ValueError, match="batch_tokens 0"):
        extractor(texts, batch_tokens=0)


def test_all_prompts_of_a_level_are_one_computation(tokenizer, monkeypatch):
    calls = []

    def compute(self, rows, done):
        calls.append(len(rows))
        return original(self, rows, done)

    original = InformationExtractor.compute
    monkeypatch.setattr(InformationExtractor, "compute", compute)
    words = {"Person": ["Steve"], "Company of Steve": ["Apple"]}
    schema = ["Time", "Place", {"Person": ["Company", "Position"]}]
    extractor = InformationExtractor(Marker(tokenizer, words), tokenizer, schema=schema)
    extractor([ENGLISH, "Steve", "Nobody"])
    assert calls == [9, 4]


def test_threads_get_the_same_answers(model, tokenizer):
    extractor = InformationExtractor(model, tokenizer, schema=SCHEMA)
    want = [extractor(text) for text in TEXTS]
    with ThreadPoolExecutor(4) as executor:
        assert near(list(executor.map(extractor, TEXTS * 4)), want * 4)


def test_progress_counts_texts(model, tokenizer):
    seen = []
    extractor = InformationExtractor(model, tokenizer, schema=SCHEMA)
    extractor(TEXTS, progress=lambda done, of: seen.append((done, of)), batch_tokens=16)
    assert seen[-1] == (5, 5)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    seen.clear()
    nothing = InformationExtractor(Marker(tokenizer, {}), tokenizer, schema={"Person": "Company"})
    nothing(TEXTS, progress=lambda done, of: seen.append((done, of)))
    assert seen[-1] == (5, 5)


def test_the_memory_does_not_grow_with_the_text(tokenizer):
    """Each batch has few tokens, and what is kept of it are the answers."""

    def model(input_ids, attention_mask):
        sizes.append(input_ids.size)
        prob = np.full(input_ids.shape, 0.2, np.float32)
        return SimpleNamespace(start_prob=prob, end_prob=prob)

    sizes = []
    model.config = SimpleNamespace(max_length=512, pad_token_id=1)
    extractor = InformationExtractor(model, tokenizer, schema=["a", "b", "c", "d", "e"])
    text = (long_text() * 20)[:20_000]
    tracemalloc.start()
    extractor(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert max(sizes) <= 1024
    assert peak < 20e6


def test_the_paddle_rule_of_tokens_is_used_whatever_the_tokenizer_says(tokenizer):
    other = copy.copy(tokenizer)
    other.bare_underline = "hf"
    text = "a · b"
    assert tokenizer.tokenize(text) != other.tokenize(text)
    model = Marker(tokenizer, {})
    InformationExtractor(model, other, schema="Time")(text)
    assert model.rows == [tokenizer("Time", text)["input_ids"]]
    assert other.bare_underline == "hf"


def test_an_extractor_is_loaded_and_pickled(model, tokenizer, tmp_path):
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    extractor = InformationExtractor.from_pretrained(tmp_path, schema=SCHEMA)
    want = extractor(TEXTS)
    again = pickle.loads(pickle.dumps(extractor))
    assert again(TEXTS) == want
    assert near(InformationExtractor(model, tokenizer, schema=SCHEMA)(TEXTS), want)
    assert extractor(ENGLISH, schema="Person").keys() <= {"Person"}


def test_a_checkpoint_without_the_head_is_named(tokenizer):
    with pytest.raises(
        ValueError, match="no head for it; InformationExtractor needs an ErnieMForInf"
    ):
        InformationExtractor.from_pretrained(schema="Person")
    encoder = ErnieMModel.from_pretrained(bundled_checkpoint())
    with pytest.raises(ValueError, match="ErnieMModel; InformationExtractor needs an"):
        InformationExtractor(encoder, tokenizer, schema="Person")("a")


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ([], ValueError, "texts is empty"),
        (3, TypeError, "texts is a int"),
        (["a", None], TypeError, r"texts\[1\] is a NoneType"),
    ],
)
def test_bad_texts_are_named(texts, error, message, tokenizer):
    extractor = InformationExtractor(Marker(tokenizer, {}), tokenizer, schema="Person")
    with pytest.raises(error, match=message):
        extractor(texts)


def test_an_unknown_language_is_refused(tokenizer):
    with pytest.raises(ValueError, match="language 'ch' is not one of auto, zh, en"):
        InformationExtractor(Marker(tokenizer, {}), tokenizer, schema="a", language="ch")("a")


def test_the_examples_of_the_page():
    page = REPOSITORY / "docs/extract.md"
    result = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert result.attempted > 10
    assert result.failed == 0
