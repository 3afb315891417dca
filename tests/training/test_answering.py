"""Fine-tuning question answering: files, windows, what is trained, and its scores."""

import gzip
import json

import numpy as np
import pytest

from numpy_erniem import QuestionAnswerer
from numpy_erniem.cli.main import main
from numpy_erniem.training import (
    AskedQuestion,
    TrainingConfig,
    answering_setup,
    read_questions,
)
from tests.training.tasks import QUESTIONS, save_small

CONTEXT = "Ada saw Rome, and Rome saw Ada."
ONE = TrainingConfig(steps=1, batch_size=4, threads=1)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return save_small(tmp_path_factory.mktemp("small"))


def squad(answers, **more):
    asked = {"id": "q7", "question": "Who?", "answers": answers, **more}
    return {"version": "v2", "data": [{"paragraphs": [{"context": CONTEXT, "qas": [asked]}]}]}


@pytest.fixture
def write(tmp_path):
    def put(name, *values):
        path = tmp_path / name
        text = "".join(f"{json.dumps(value)}\n" for value in values).encode()
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
        return path

    return put


@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_squad(write, name):
    answers = [{"text": "Ada", "answer_start": 27}, {"text": "Rome", "answer_start": 8}]
    (asked,) = read_questions(write(name, squad(answers)))
    assert asked[:3] == ("Who?", CONTEXT, (("Ada", 27), ("Rome", 8)))
    assert asked.where.endswith("data[0].paragraphs[0].qas[0] (q7)")
    (impossible,) = read_questions(write(name, squad([], is_impossible=True)))
    assert impossible.answers == ()


@pytest.mark.parametrize(
    ("row", "answers"),
    [
        ({"answers": {"text": ["Rome"], "answer_start": [18]}}, (("Rome", 18),)),
        ({"answers": [{"text": "Rome", "answer_start": 18}]}, (("Rome", 18),)),
        ({"answers": ["saw Rome"]}, (("saw Rome", 4),)),
        ({"answer": "saw Rome"}, (("saw Rome", 4),)),
        ({"answer": "Rome", "start": 18}, (("Rome", 18),)),
        ({"answer": ""}, ()),
        ({"answers": []}, ()),
        ({"answers": {"text": [], "answer_start": []}}, ()),
    ],
)
def test_json_lines(write, row, answers):
    path = write("a.jsonl", {"question": "Who?", "context": CONTEXT, **row})
    assert read_questions(path)[0].answers == answers


def test_the_first_of_several_places_is_taken_and_told(write):
    path = write("a.jsonl", {"question": "Where?", "context": CONTEXT, "answer": "Rome"})
    with pytest.warns(UserWarning, match=r"1 answers without a start.*a.jsonl line 1"):
        assert read_questions(path)[0].answers == (("Rome", 8),)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"answer": "Paris"}, "line 2: the answer 'Paris' is not in the context"),
        ({"answer": "Rome", "start": 9}, "line 2: the answer 'Rome' is not at character 9.*at 8"),
        ({"answer": "Rome", "start": -4}, "line 2: answer_start must be"),
        ({"answer": "Rome", "start": True}, "line 2: answer_start must be"),
        ({"answer": 3}, "line 2: an answer must be a text, not 3"),
        ({"answer": " "}, "line 2: an answer must be a text"),
        ({"answers": None}, "line 2: answers must be a list"),
        ({"answers": {"text": ["Rome"]}}, "line 2: answers must have lists"),
        ({}, "line 2 has no 'answers'"),
        ({"answer": "Rome", "answers": []}, "line 2 has both"),
        ({"answer": "saw Rome", "is_impossible": True}, "line 2 is_impossible and has"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(write, row, message):
    good = {"question": "Who?", "context": CONTEXT, "answers": []}
    path = write("a.jsonl", good, {"question": "Who?", "context": CONTEXT, **row})
    with pytest.raises(ValueError, match=message):
        read_questions(path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "has no list 'data'"),
        ({"data": [{}]}, r"data\[0\] has no list 'paragraphs'"),
        ({"data": [{"paragraphs": [{"context": "x"}]}]}, r"paragraphs\[0\] has no list 'qas'"),
        ({"data": [{"paragraphs": [{"qas": [3]}]}]}, r"qas\[0\] is a JSON int"),
        ({"data": [{"paragraphs": [{"qas": [{"question": "x"}]}]}]}, "context must be a text"),
        ({"data": []}, "has no question"),
        (squad([{"text": "Eve", "answer_start": 0}]), r"qas\[0\] \(q7\): the answer 'Eve' is not"),
    ],
)
def test_what_is_wrong_in_squad_is_said_with_its_place(write, value, message):
    with pytest.raises(ValueError, match=message):
        read_questions(write("a.json", value))


def test_a_file_of_another_kind(write, tmp_path):
    with pytest.raises(ValueError, match=r"must end in .json or .jsonl"):
        read_questions(write("a.tsv", 1))
    with pytest.raises(ValueError, match=r"is not JSON.*name it .jsonl"):
        read_questions(write("a.json", {}, {}))
    (tmp_path / "b.json").write_bytes(b'"\xff"')
    with pytest.raises(ValueError, match="is not UTF-8"):
        read_questions(tmp_path / "b.json")
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(b"{}")[:-5])
    with pytest.raises(ValueError, match="is not valid gzip"):
        read_questions(tmp_path / "b.json.gz")


def rows_of(setup):
    """Ids, and the tokens of start and end, of the batches of an epoch."""
    seen = []
    for n in range(setup.batches_per_epoch):
        batch = {}
        original = setup.loss_and_grad.__globals__["value_and_grad"]

        def spy(model, given, batch=batch, **options):
            batch.update(given)
            return 0.0, {}

        setup.loss_and_grad.__globals__["value_and_grad"] = spy
        try:
            setup.loss_and_grad(setup.model, n, None)
        finally:
            setup.loss_and_grad.__globals__["value_and_grad"] = original
        texts = np.split(batch["input_ids"][0], batch["starts"][1:-1])
        seen += zip(texts, batch["start_positions"], batch["end_positions"], strict=True)
    return seen


def test_the_tokens_of_the_answer_are_trained(small):
    setup = answering_setup(QUESTIONS[:1], QUESTIONS[:1], ONE, model=small)
    ((ids, start, end),) = rows_of(setup)
    assert setup.tokenizer.decode(ids[start : end + 1]) == "Ada"


def test_a_question_without_an_answer_is_trained_on_cls(small):
    asked = [AskedQuestion("Who?", CONTEXT, ()), *QUESTIONS[:1]]
    setup = answering_setup(asked, asked, ONE, model=small)
    assert sorted((int(s), int(e)) for _, s, e in rows_of(setup))[0] == (0, 0)


def test_a_long_context_is_trained_in_windows(small):
    context = "one two three open new file " * 7 + "Ada came."
    asked = [AskedQuestion("Who?", context, (("Ada", context.index("Ada")),))]
    setup = answering_setup(asked, asked, ONE, model=small, max_length=24, doc_stride=4)
    rows = rows_of(setup)
    assert len(rows) > 3
    answers = [setup.tokenizer.decode(ids[s : e + 1]) for ids, s, e in rows if s]
    assert answers == ["Ada"]
    longer = answering_setup(asked, asked, ONE, model=small, max_length=24, doc_stride=12)
    assert len(rows_of(longer)) > len(rows)


def test_an_answer_that_is_part_of_a_token_is_widened_and_told(small):
    context = "The unbelievable file"
    asked = [AskedQuestion("What?", context, (("il", context.index("file") + 1),))]
    with pytest.warns(UserWarning, match=r"1 of 1 spans.*train\[0\]: 'il' becomes 'file'"):
        setup = answering_setup(asked, asked, ONE, model=small)
    ((ids, start, end),) = rows_of(setup)
    assert setup.tokenizer.decode(ids[start : end + 1]) == "file"


def test_answers_longer_than_the_command_gives_are_told(small):
    context = "one two three four five six seven eight nine ten eleven twelve one two three four"
    asked = [AskedQuestion("What?", context, ((context, 0),))]
    with pytest.warns(UserWarning, match="1 of 1 answers have more than 15 tokens"):
        answering_setup(asked, asked, ONE, model=small)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("Who?", CONTEXT, (("Eve", 0),)), r"train\[0\]: the answer 'Eve' is not at character 0"),
        (("word " * 90, CONTEXT, (("Ada", 0),)), r"train\[0\]: the question has .* leaves no room"),
    ],
)
def test_a_question_that_cannot_be_trained_names_itself(small, asked, message):
    with pytest.raises(ValueError, match=message):
        answering_setup([asked], [asked], ONE, model=small)


def test_no_questions_are_refused(small):
    for train in ([], [AskedQuestion("Why?", CONTEXT, ())]):
        with pytest.raises(ValueError, match="training has no question with an answer"):
            answering_setup(train, QUESTIONS, ONE, model=small)
    with pytest.raises(ValueError, match="evaluation has no question"):
        answering_setup(QUESTIONS, [], ONE, model=small)


def test_it_learns_to_answer(tmp_path):
    config = TrainingConfig(steps=30, batch_size=8, learning_rate=6e-3, threads=1)
    report = answering_setup(QUESTIONS, QUESTIONS, config).train(tmp_path)
    assert report["metrics"] == ["F1", "exact match"]
    assert report["best"]["F1"] > 0.9
    answerer = QuestionAnswerer.from_pretrained(tmp_path)
    answer = answerer(question="From where?", context="Bob came from Rome.")
    assert answer["answer"] == "Rome"


def test_no_answer_is_possible_where_training_has_one(small, monkeypatch):
    seen = []
    original = QuestionAnswerer.__call__

    def spy(self, *arguments, **options):
        seen.append(self.handle_impossible_answer)
        return original(self, *arguments, **options)

    monkeypatch.setattr(QuestionAnswerer, "__call__", spy)
    for asked in (QUESTIONS[:2], [*QUESTIONS[:2], AskedQuestion("Why?", CONTEXT, ())]):
        setup = answering_setup(asked, asked, ONE, model=small)
        assert 0 <= setup.evaluate(setup.model)["F1"] <= 1
    assert seen == [False, True]


def test_the_options_of_windows_reach_the_run(tmp_path, write, small, capsys):
    rows = [{"question": q.question, "context": q.context, "answers": []} for q in QUESTIONS[:2]]
    rows.append({"question": "Who?", "context": CONTEXT, "answer": "Ada", "start": 0})
    path = str(write("a.jsonl", *rows))
    options = ["--train", path, "--eval", path, "--out", str(tmp_path / "out"), "--epochs", "1"]
    options += ["--max-length", "20", "--doc-stride", "3", "--from", str(small)]
    assert main(["finetune", "answer", *options]) == 0
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (run["max_seq_len"], run["doc_stride"]) == (20, 3)
    assert run["handle_impossible_answer"] is True
    assert main(["finetune", "rerank", *options]) == 2
    assert "--doc-stride is for answer, not for rerank" in capsys.readouterr().err


def test_the_place_of_a_question_does_not_count_as_data(small):
    asked = [q._replace(where="elsewhere") for q in QUESTIONS]
    setups = [answering_setup(part, part, ONE, model=small) for part in (QUESTIONS, asked)]
    assert setups[0].data == setups[1].data
    assert np.isfinite(setups[0].loss_and_grad(setups[0].model, 0, None)[0])
