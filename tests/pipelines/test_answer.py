"""A question and a context in, the part of the context that answers it out."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpy_erniem import (
    ErnieMConfig,
    ErnieMForQuestionAnswering,
    ErnieMTokenizer,
    QuestionAnswerer,
    bundled_checkpoint,
)
from numpy_erniem.cli.main import main
from numpy_erniem.pipelines.answer_spans import choose_spans, score_spans, window_scores
from numpy_erniem.pipelines.tokens import encode_with_spans
from numpy_erniem.pipelines.windows import cut_windows

QUESTION = "Who opened it?"
CONTEXT = "Ada opened the file in London. 打开文件 in 2021, and she don't close it."
LONG = " ".join(f"Word{n} and o'word-{n}, 打开" for n in range(20))
ITEMS = [
    {"question": QUESTION, "context": CONTEXT},
    {"question": "Where?", "context": LONG},
    {"question": "谁打开了文件？", "context": "Ada"},
]


@pytest.fixture(scope="module")
def tokenizer():
    return ErnieMTokenizer.from_pretrained(bundled_checkpoint())


@pytest.fixture(scope="module")
def model(tokenizer):
    config = ErnieMConfig(
        vocab_size=len(tokenizer),
        hidden_size=12,
        num_attention_heads=3,
        num_hidden_layers=2,
        intermediate_size=37,
        initializer_range=0.5,
        max_position_embeddings=42,
    )
    return ErnieMForQuestionAnswering(config, seed=1)


@pytest.fixture
def answerer(model, tokenizer):
    return QuestionAnswerer(model, tokenizer)


def ids_of(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


class Random:
    """Any callable with a config: logits drawn for each row, the same ones for the same row."""

    def __init__(self, seed, longest=40):
        self.config = SimpleNamespace(max_length=longest, pad_token_id=1)
        self.seed = seed

    def __call__(self, input_ids, attention_mask):
        starts, ends = np.zeros((2, *input_ids.shape), np.float32)
        for n, (ids, length) in enumerate(
            zip(input_ids.tolist(), attention_mask.sum(axis=1).tolist(), strict=True)
        ):
            rng = np.random.default_rng([self.seed, *ids[:length]])
            starts[n, :length], ends[n, :length] = 2 * rng.normal(size=(2, length))
        return {"start_logits": starts, "end_logits": ends}


def every_span(model, tokenizer, question, context, longest, stride, most):
    """All (score, first token, last token) over all windows, and the score of no answer."""
    asked = ids_of(tokenizer, question)
    ids, spans = encode_with_spans(tokenizer, [context])[0]
    room = longest - 4 - len(asked)
    found, none = {}, []
    begin = 0
    while True:
        part = ids[begin : begin + room]
        row = np.array([[0, *asked, 2, 2, *part, 2]])
        output = model(row, attention_mask=np.ones_like(row))
        if not isinstance(output, dict):
            output = {"start_logits": output.start_logits, "end_logits": output.end_logits}
        allowed = [0, *range(len(asked) + 3, len(asked) + 3 + len(part))]
        p, q = (
            {n: np.exp(float(x[n])) / sum(np.exp(float(x[m])) for m in allowed) for n in allowed}
            for x in (output["start_logits"][0], output["end_logits"][0])
        )
        none.append(p[0] * q[0])
        for a, b in itertools.product(allowed[1:], repeat=2):
            if a <= b < a + most:
                span = (begin + a - len(asked) - 3, begin + b - len(asked) - 3)
                found[span] = max(found.get(span, 0), p[a] * q[b])
        if begin + room >= len(ids):
            return found, min(none), spans
        begin += room - stride


def greedy(found, none, spans, context, top_k):
    """The answers by brute force: the best span that shares no token with those before it."""
    answers, used = [], set()
    for (a, b), score in sorted(found.items(), key=lambda pair: (-pair[1], pair[0])):
        if len(answers) < top_k and not used & set(range(a, b + 1)):
            used |= set(range(a, b + 1))
            start, end = spans[a][0], spans[b][1]
            answers.append((context[start:end], score, start, end))
    if none is not None:
        answers.append(("", none, 0, 0))
        answers = sorted(answers, key=lambda answer: -answer[1])[:top_k]
    return answers


def assert_same(got, want):
    got = [got] if isinstance(got, dict) else got
    assert [(r["answer"], r["start"], r["end"]) for r in got] == [(a, s, e) for a, _, s, e in want]
    assert [r["score"] for r in got] == pytest.approx([score for _, score, *_ in want], abs=1e-6)


@pytest.mark.parametrize("context", [CONTEXT, LONG], ids=["one window", "several"])
@pytest.mark.parametrize("top_k", [1, 3, 50])
@pytest.mark.parametrize("most", [1, 4, 15, 1000])
@pytest.mark.parametrize("impossible", [False, True])
def test_equal_to_a_brute_force_over_all_spans_and_windows(
    context, top_k, most, impossible, tokenizer
):
    for seed in range(3):
        model = Random(seed)
        found, none, spans = every_span(model, tokenizer, QUESTION, context, 40, 20, most)
        assert len(spans) > 26 or context == CONTEXT
        want = greedy(found, none if impossible else None, spans, context, top_k)
        got = QuestionAnswerer(model, tokenizer)(
            question=QUESTION,
            context=context,
            top_k=top_k,
            max_answer_len=most,
            handle_impossible_answer=impossible,
        )
        assert isinstance(got, dict) == (top_k == 1)
        assert_same(got, want)


def test_a_model_of_this_package_equals_the_brute_force(answerer, model, tokenizer, backend):
    for item in ITEMS:
        found, _, spans = every_span(
            model, tokenizer, item["question"], item["context"], 40, 20, 15
        )
        want = greedy(found, None, spans, item["context"], 3)
        got = answerer(**item, top_k=3)
        assert_same(got, want)
        assert list(got[0]) == ["answer", "score", "start", "end"]
        assert json.loads(json.dumps(got)) == got


def test_one_window_equals_the_function_of_upstream(tokenizer, transformers):
    from transformers.pipelines.question_answering import select_starts_ends

    asked = ids_of(tokenizer, QUESTION)
    ids, spans = encode_with_spans(tokenizer, [CONTEXT])[0]
    row = np.array([[0, *asked, 2, 2, *ids, 2]])
    hidden = np.ones(row.shape[1], int)
    hidden[0] = 0
    hidden[len(asked) + 3 : -1] = 0
    for seed in range(20):
        output = Random(seed, 64)(row, np.ones_like(row))
        start, end, score, none = select_starts_ends(
            output["start_logits"], output["end_logits"], hidden[None], np.ones_like(row), 1e6,
            1, True, 15,
        )  # fmt: skip
        task = QuestionAnswerer(Random(seed, 64), tokenizer)
        first = len(asked) + 3
        want = (spans[start[0] - first][0], spans[end[0] - first][1])
        got = task(question=QUESTION, context=CONTEXT)
        assert (got["start"], got["end"]) == want
        assert got["score"] == pytest.approx(score[0], abs=1e-6)
        every = task(question=QUESTION, context=CONTEXT, handle_impossible_answer=True, top_k=99)
        (empty,) = [answer for answer in every if not answer["answer"]]
        assert empty == {"answer": "", "score": pytest.approx(none), "start": 0, "end": 0}


def logits_by(tokenizer, context, best, scale=9.0):
    """A model that starts and ends an answer at these tokens, wherever a window holds them."""
    first, last = (tokenizer.convert_tokens_to_ids(token) for token in best)
    config = SimpleNamespace(max_length=40, pad_token_id=1)

    def model(input_ids, attention_mask):
        return {
            "start_logits": scale * (input_ids == first),
            "end_logits": scale * (input_ids == last),
        }

    model.config = config
    return model


def test_an_answer_is_found_wherever_it_stands(tokenizer):
    for place in range(0, 130, 13):
        words = ["word"] * 130
        words[place] = "Open"
        context = " ".join(words)
        answer = QuestionAnswerer(logits_by(tokenizer, context, ("▁Open", "▁Open")), tokenizer)(
            question="What?", context=context
        )
        assert answer["answer"] == "Open"
        assert answer["start"] == 5 * place


def test_the_score_of_no_answer_is_the_smallest_over_the_windows():
    scores = [window_scores(np.float32([x, 0, 0]), np.float32([x, 0, 0]), 1, 2) for x in (3, 1, 2)]
    assert min(s[2] for s in scores) == scores[1][2]
    assert scores[0][2] == pytest.approx((np.exp(3) / (np.exp(3) + 2)) ** 2)


def test_the_question_takes_no_part_in_the_softmax():
    logits = np.float32([1, 50, 50, 2, 0, 50])
    starts, ends, none = window_scores(logits, logits, 3, 2)
    p = np.exp([1, 2, 0]) / np.exp([1, 2, 0]).sum()
    np.testing.assert_allclose(starts, p[1:])
    np.testing.assert_allclose(ends, p[1:])
    assert none == pytest.approx(p[0] ** 2)


def test_equal_scores_take_the_span_that_starts_first():
    best = score_spans([range(4)], [(np.full(4, 0.25), np.full(4, 0.25))], 2)
    assert [span[:2] for span in choose_spans(best, 9)] == [(0, 0), (1, 1), (2, 2), (3, 3)]


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 40),
    size=st.integers(1, 12),
    longest=st.integers(1, 15),
    top_k=st.integers(1, 30),
    data=st.data(),
)
def test_spans_of_windows_are_chosen_as_by_brute_force(seed, count, size, longest, top_k, data):
    rng = np.random.default_rng(seed)
    windows = cut_windows(count, size, data.draw(st.integers(0, size - 1)))
    scores = [(rng.random(len(w)), rng.random(len(w))) for w in windows]
    spans = {}
    for window, (starts, ends) in zip(windows, scores, strict=True):
        for a, b in itertools.product(range(len(window)), repeat=2):
            if a <= b < a + longest:
                span = (window.start + a, window.start + b)
                spans[span] = max(spans.get(span, 0), starts[a] * ends[b])
    want, used = [], set()
    for (a, b), score in sorted(spans.items(), key=lambda pair: (-pair[1], pair[0])):
        if len(want) < top_k and not used & set(range(a, b + 1)):
            used |= set(range(a, b + 1))
            want.append((a, b, score))
    assert choose_spans(score_spans(windows, scores, longest), top_k) == want


TEXTS = st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=20).map(" ".join)
TEXTS = TEXTS.filter(str.strip)  # blanks alone are refused
TOKENIZER = ErnieMTokenizer.from_pretrained(bundled_checkpoint())


@settings(max_examples=100, deadline=None)
@given(context=TEXTS, seed=st.integers(0, 99), top_k=st.integers(1, 5))
def test_answers_are_parts_of_the_context(context, seed, top_k):
    if not ids_of(TOKENIZER, context):
        return
    task = QuestionAnswerer(Random(seed, 20), TOKENIZER)
    answers = task(question="a", context=context, top_k=top_k)
    answers = [answers] if top_k == 1 else answers
    assert 1 <= len(answers) <= top_k
    scores = [r["score"] for r in answers]
    assert scores == sorted(scores, reverse=True)
    for r in answers:
        assert 0 <= r["start"] <= r["end"] <= len(context)
        assert context[r["start"] : r["end"]] == r["answer"]


def test_max_seq_len_and_doc_stride_cut_the_windows(tokenizer):
    model = Random(3, 512)
    task = QuestionAnswerer(model, tokenizer)
    for length, stride in ((512, 100), (60, 0), (60, 20), (30, 5)):
        found, _, spans = every_span(model, tokenizer, QUESTION, LONG, length, stride, 15)
        got = task(question=QUESTION, context=LONG, max_seq_len=length, doc_stride=stride, top_k=5)
        assert_same(got, greedy(found, None, spans, LONG, 5))


def test_rows_have_at_most_384_tokens_and_share_128_where_the_model_takes_more(tokenizer):
    model, context = Random(4, 512), " ".join([LONG] * 4)
    found, _, spans = every_span(model, tokenizer, QUESTION, context, 384, 128, 15)
    assert len(spans) > 512
    got = QuestionAnswerer(model, tokenizer)(question=QUESTION, context=context, top_k=5)
    assert_same(got, greedy(found, None, spans, context, 5))


def test_a_question_that_leaves_little_room_is_read_in_more_windows(tokenizer):
    question = " ".join(["open"] * 30)
    room = 40 - 4 - len(ids_of(tokenizer, question))
    assert 1 <= room <= 20
    model = Random(5)
    found, _, spans = every_span(model, tokenizer, question, LONG, 40, room - 1, 15)
    task = QuestionAnswerer(model, tokenizer, top_k=3)
    assert_same(task(question=question, context=LONG), greedy(found, None, spans, LONG, 3))
    with pytest.raises(ValueError, match=f"doc_stride 20 is not below {room}"):
        task(question=question, context=LONG, doc_stride=20)


def test_a_question_that_leaves_no_room_is_refused(answerer):
    for words in (36, 100):
        with pytest.raises(ValueError, match="leaves no room for a context in 40; shorten it"):
            answerer(question=" ".join(["open"] * words), context="a")


def test_a_long_context_is_cut_or_refused_on_request(answerer, tokenizer):
    spans = encode_with_spans(tokenizer, [LONG])[0].spans
    room = 40 - 4 - len(ids_of(tokenizer, QUESTION))
    with pytest.warns(UserWarning, match="1 of 1 questions have more than 40 tokens and were cut"):
        answers = answerer(question=QUESTION, context=LONG, on_overflow="cut", top_k=99)
    assert max(r["end"] for r in answers) <= spans[room - 1][1]
    with pytest.raises(ValueError, match=f"more than the {room} that the model has room for"):
        answerer(question=QUESTION, context=LONG, on_overflow="error")


@pytest.mark.usefixtures("same_bits")
def test_many_questions_give_a_list_and_a_stream(answerer):
    want = [answerer(**item, top_k=2) for item in ITEMS]
    assert answerer(ITEMS, top_k=2) == want
    assert answerer(iter(ITEMS), top_k=2, batch_tokens=1) == want
    assert list(answerer.stream(iter(ITEMS), top_k=2)) == want
    assert answerer(ITEMS[0], top_k=2) == want[0]


def test_a_wrong_question_does_not_stop_the_others(answerer):
    items = [ITEMS[0], {"question": "open " * 50, "context": "a"}, {"question": "a"}, 3, ITEMS[2]]
    outcomes = list(answerer.outcomes(items))
    assert [outcome.error is None for outcome in outcomes] == [True, False, False, False, True]
    assert str(outcomes[1].error).startswith("questions[1]: the question has")
    assert outcomes[4].result == answerer(ITEMS[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 0}, "top_k 0 is not at least 1"),
        ({"top_k": None}, "top_k None is not"),
        ({"max_answer_len": 0}, "max_answer_len 0 is not"),
        ({"max_answer_len": 1.5}, "max_answer_len 1.5 is not"),
        ({"max_seq_len": 41}, r"max_seq_len 41 is not in 6\.\.40"),
        ({"max_seq_len": 5}, r"max_seq_len 5 is not in 6\.\.40"),
        ({"doc_stride": -1}, r"doc_stride -1 is not in 0\.\.35"),
        ({"doc_stride": 36}, r"doc_stride 36 is not in 0\.\.35: a row has 40 tokens"),
        ({"on_overflow": "drop"}, "on_overflow 'drop' is not one of"),
    ],
)
def test_wrong_options_are_refused(options, message, answerer):
    with pytest.raises(ValueError, match=message):
        answerer(**ITEMS[0], **options)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"question": "a", "context": ""}, ValueError, "^context is empty; give a text"),
        ({"question": "a", "context": " \n"}, ValueError, "^context is empty"),
        ({"question": "a", "context": "\u200b"}, ValueError, "the context has no token"),
        ({"question": "", "context": "a"}, ValueError, "^question is empty"),
        ({"question": "a"}, TypeError, "^context is a NoneType, not a str"),
        ({"question": ["a"], "context": "a"}, TypeError, "^question is a list, not a str"),
        ({}, TypeError, "give question= and context=, or dicts of both, one of them"),
        ({"items": [], "question": "a"}, TypeError, "one of them"),
        ({"items": []}, ValueError, "questions is empty; give at least one question"),
        ({"items": "a"}, TypeError, "one str is no question with a context"),
        ({"items": ["a"]}, TypeError, r"questions\[0\] is a str; give a dict"),
        ({"items": {"question": "a"}}, TypeError, "questions has the keys question; give"),
        (
            {"items": [{"question": "a", "context": "b"}, {"question": "a", "context": 3}]},
            TypeError,
            r"questions\[1\]: context is a int, not a str",
        ),
    ],
)
def test_bad_input_is_named(arguments, error, message, answerer):
    with pytest.raises(error, match=message):
        answerer(**arguments)


def test_a_checkpoint_without_the_head_is_refused():
    with pytest.raises(ValueError, match="QuestionAnswerer needs an ErnieMForQuestionAnswering"):
        QuestionAnswerer.from_pretrained()


@pytest.fixture(scope="module")
def folder(model, tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("answerer")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def run(folder, capsys):
    """Run `erniem answer` with a model; returns exit code, rows on standard output, errors."""

    def call(*arguments):
        code = main(["answer", "--model", str(folder), *map(str, arguments)])
        captured = capsys.readouterr()
        return code, [json.loads(line) for line in captured.out.splitlines()], captured.err

    return call


def test_the_command_asks_every_context_the_same_question(run, answerer):
    contexts = [CONTEXT, "Ada"]
    code, rows, _ = run("--question", QUESTION, *contexts)
    want = [{"context": c} | answerer(question=QUESTION, context=c) for c in contexts]
    assert (code, rows) == (0, want)


@pytest.mark.usefixtures("same_bits")
def test_the_command_reads_questions_and_contexts_from_rows(run, answerer, tmp_path):
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    lines = [json.dumps({**item, "id": n}) for n, item in enumerate(ITEMS)]
    source.write_text("\n".join(lines), encoding="utf-8")
    assert run("--input", source, "--keep", "id", "--output", target)[0] == 0
    rows = [json.loads(line) for line in target.read_text("utf-8").splitlines()]
    assert rows == [{**item, "id": n} | answerer(**item) for n, item in enumerate(ITEMS)]


def test_the_options_of_the_command_are_those_of_the_class(run, answerer, tmp_path):
    source = tmp_path / "in.csv"
    source.write_text(f'body,asked\n"{LONG}",{QUESTION}\n', encoding="utf-8")
    options = {"top_k": 3, "max_answer_len": 2, "max_seq_len": 30, "doc_stride": 4}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    flags += ["--handle-impossible-answer", "--batch-tokens=50"]
    fields = ["--field", "body", "--question-field", "asked"]
    code, rows, _ = run("--input", source, *fields, *flags)
    item = {"question": QUESTION, "context": LONG}
    want = answerer(item, **options, handle_impossible_answer=True, batch_tokens=50)
    assert (code, rows) == (0, [{**item, "answers": want}])
    assert run("--question", QUESTION, LONG, "--on-overflow", "error")[0] == 1


def test_the_command_goes_on_after_a_wrong_row(run, tmp_path):
    source = tmp_path / "in.jsonl"
    items = [ITEMS[0], {"question": "a", "context": " "}, {"context": "a"}, ITEMS[2]]
    source.write_text("\n".join(map(json.dumps, items)))
    code, rows, _ = run("--input", source, "--on-error", "row")
    assert code == 0
    assert ["error" in row for row in rows] == [False, True, True, False]
    assert "context is empty" in rows[1]["error"]
    assert "has no 'question'" in rows[2]["error"]
    code, rows, error = run("--input", source)
    assert (code, len(rows)) == (1, 1)
    assert "line 2: context is empty" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a"], "give --question TEXT with contexts"),
        (["--question", "a"], "give texts or --input PATH"),
        (["--question", "a", "b", "--top-k", "0"], "top_k 0 is not at least 1"),
    ],
)
def test_a_wrong_command_line_is_told(arguments, message, run):
    code, _, error = run(*arguments)
    assert code == 2
    assert message in error
    assert error.count("\n") == 1
