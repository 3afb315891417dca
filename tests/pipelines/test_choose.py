"""A prompt and choices in, the choices by score out."""

from types import SimpleNamespace

import numpy as np
import pytest

from numpy_erniem import ChoiceRanker, ErnieMModel

PROMPT = "To save your work,"
CHOICES = ["open the file menu", "打开文件", "go to bed", "", "close the window of the program"]
QUESTIONS = [
    {"prompt": PROMPT, "choices": CHOICES},
    {"prompt": "", "choices": ["a", "b"]},
    {"prompt": "打开文件", "choices": CHOICES[:3]},
]
LONG = " ".join(f"word{n}" for n in range(20))


@pytest.fixture
def ranker(choice_model, tokenizer):
    return ChoiceRanker(choice_model, tokenizer)


class Other:
    """A model that is no model of this package, with ids (B, C, T); it keeps what it is given."""

    config = SimpleNamespace(max_length=32, pad_token_id=1)

    def __init__(self, number=lambda ids: ids.sum(axis=-1) / 1000):
        self.number, self.seen = number, []

    def __call__(self, input_ids, attention_mask):
        self.seen.append((input_ids, attention_mask))
        return {"logits": self.number(input_ids * attention_mask)}


def equal(got, want):
    assert [(row["index"], row["choice"]) for row in got] == [
        (row["index"], row["choice"]) for row in want
    ]
    np.testing.assert_allclose(
        [row["score"] for row in got], [row["score"] for row in want], atol=1e-5
    )


def ranking(logits, choices):
    powers = np.exp(np.float64(logits) - np.max(logits))
    return [
        {"index": n, "choice": choices[n], "score": powers[n] / powers.sum()}
        for n in np.argsort(-powers, kind="stable")
    ]


def test_the_ranking_is_the_softmax_of_the_model(ranker, choice_model, tokenizer, backend):
    encoded = tokenizer([PROMPT] * 5, CHOICES, padding=True, return_tensors="np")
    logits = choice_model(**{name: value[None] for name, value in encoded.items()}).logits[0]
    equal(ranker(PROMPT, CHOICES), ranking(logits, CHOICES))


def test_the_ranking_is_that_of_upstream(ranker, choice_model, tokenizer, saved, transformers):
    import torch

    theirs = transformers.ErnieMForMultipleChoice.from_pretrained(saved(choice_model)).eval()
    encoded = tokenizer([PROMPT] * 5, CHOICES, padding=True, return_tensors="np")
    with torch.no_grad():
        tensors = {name: torch.from_numpy(value)[None] for name, value in encoded.items()}
        logits = theirs(**tensors).logits[0].numpy()
    equal(ranker(PROMPT, CHOICES), ranking(logits, CHOICES))


def test_another_model_is_called_with_an_axis_of_choices(tokenizer):
    model = Other()
    got = ChoiceRanker(model, tokenizer)(PROMPT, CHOICES)
    ids = [tokenizer(PROMPT, choice)["input_ids"] for choice in CHOICES]
    equal(got, ranking([sum(row) / 1000 for row in ids], CHOICES))
    assert all(i.ndim == 3 and i.shape == m.shape and i.shape[1] == 1 for i, m in model.seen)


def test_equal_scores_keep_the_order_of_the_choices(tokenizer):
    model = Other(lambda ids: np.zeros(ids.shape[:2], np.float32))
    got = ChoiceRanker(model, tokenizer)(PROMPT, ["a", "bb", "a"])
    assert [(row["index"], row["score"]) for row in got] == [
        (n, pytest.approx(1 / 3)) for n in range(3)
    ]


def test_one_dict_is_one_question(ranker):
    assert ranker(QUESTIONS[0]) == ranker(PROMPT, iter(CHOICES))


def test_many_questions_are_a_list_or_a_stream(ranker, same_bits):
    want = [ranker(**question) for question in QUESTIONS]
    assert ranker(QUESTIONS) == list(ranker.stream(iter(QUESTIONS))) == want


def test_batch_tokens_bounds_the_batches_and_changes_nothing(ranker, tokenizer, same_bits):
    assert ranker(QUESTIONS, batch_tokens=1) == ranker(QUESTIONS)
    model = Other()
    ChoiceRanker(model, tokenizer)(PROMPT, CHOICES, batch_tokens=1)
    assert [len(ids) for ids, _ in model.seen] == [1] * 5


def test_a_long_prompt_is_windowed_cut_or_refused_and_a_choice_never_cut(
    ranker, choice_model, tokenizer
):
    ids = tokenizer(LONG, add_special_tokens=False)["input_ids"]
    choices = CHOICES[:2]
    means, firsts = [], []
    for choice in choices:
        after = tokenizer(choice, add_special_tokens=False)["input_ids"]
        room = 32 - 4 - len(after)
        parts = [ids[n : n + room] for n in range(0, len(ids), room)]
        assert len(parts) > 1
        rows = [[[0, *part, 2, 2, *after, 2]] for part in parts]
        logits = [float(choice_model([row]).logits[0, 0]) for row in rows]
        means.append(np.average(logits, weights=[len(part) for part in parts]))
        firsts.append(logits[0])
    equal(ranker(LONG, choices), ranking(means, choices))
    with pytest.warns(UserWarning, match="1 of 1 questions have more than 32 tokens"):
        equal(ranker(LONG, choices, on_overflow="cut"), ranking(firsts, choices))
    with pytest.raises(ValueError, match="more than the"):
        ranker(LONG, choices, on_overflow="error")
    with pytest.raises(ValueError, match=r"choices\[1\] has \d+ tokens, which leaves no room"):
        ranker(PROMPT, ["a", LONG])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((PROMPT, ["a"]), ValueError, "choices has 1 text; give two or more"),
        ((PROMPT, []), ValueError, "choices has 0 texts; give two or more"),
        ((PROMPT, "ab"), TypeError, "choices is one str; give a list"),
        ((PROMPT, ["a", None]), TypeError, r"choices\[1\] is a NoneType"),
        ((PROMPT, {"a", "b"}), TypeError, "choices is a set, which has no order"),
        ((3, ["a", "b"]), TypeError, "prompt is a int"),
        ((PROMPT,), TypeError, "there are no choices"),
        (([{"prompt": "a"}],), TypeError, r"questions\[0\] is not .*choices"),
        (([QUESTIONS[0], {"prompt": "a", "choices": ["b"]}],), ValueError, r"questions\[1\]: cho"),
        (([],), ValueError, "questions is empty"),
    ],
)
def test_bad_input_is_named(arguments, error, message, ranker):
    with pytest.raises(error, match=message):
        ranker(*arguments)


def test_a_folder_without_the_head_is_refused(choice_model, saved):
    folder = saved(ErnieMModel(choice_model.config))
    with pytest.raises(ValueError, match=r"holds an ErnieMModel; ChoiceRanker needs an .*Multiple"):
        ChoiceRanker.from_pretrained(folder)


@pytest.fixture
def folder(choice_model, saved):
    return saved(choice_model)


def test_the_command(run, folder, ranker):
    code, rows, err = run("choose", "--model", folder, PROMPT, *CHOICES)
    assert (code, err) == (0, "")
    assert rows == [{"prompt": PROMPT, "ranking": ranker(PROMPT, CHOICES)}]


def test_the_command_with_rows(run, folder, ranker, written):
    path = written(*[{**question, "id": n} for n, question in enumerate(QUESTIONS)])
    code, rows, _ = run("choose", "--model", folder, "--input", path, "--keep", "id")
    assert code == 0
    for n, (row, question) in enumerate(zip(rows, QUESTIONS, strict=True)):
        equal(row.pop("ranking"), ranker(**question))
        assert row == {"prompt": question["prompt"], "id": n}


def test_the_command_with_other_keys_and_a_table(run, folder, ranker, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text('question,answers\nOpen,"[""a"", ""b""]"\nClose,"[a"\n', encoding="utf-8")
    flags = ("--field", "question", "--choices-field", "answers", "--on-error", "row")
    code, rows, err = run("choose", "--model", folder, "--input", path, *flags)
    assert code == 0
    equal(rows[0]["ranking"], ranker("Open", ["a", "b"]))
    assert "line 3 has a list that is not JSON" in rows[1]["error"]
    assert "1 of 2 rows" in err


def test_rows_with_errors_name_their_line(run, folder, written):
    path = written({"prompt": "a", "choices": ["b"]}, {"prompt": "a", "choices": "bc"}, "a", {})
    code, rows, _ = run("choose", "--model", folder, "--input", path, "--on-error", "row")
    assert code == 0
    assert [row["error"].partition(" line ")[2] for row in rows] == [
        "1: choices has 1 text; give two or more",
        "2: choices is one str; give a list of texts",
        "3 is a text without columns; a row needs 'prompt' and 'choices'",
        "4 has no 'prompt', only none; name the key of the text with --field",
    ]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([PROMPT, "a"], "give a prompt and two or more choices"),
        ([PROMPT, "a", "--choices-field", "x"], "--choices-field is for --input"),
        ([], "give texts or --input PATH"),
        ([PROMPT, "a", "b", "--keep", "x"], "are for --input PATH"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line(flags, message, run, folder):
    code, _, err = run("choose", "--model", folder, *flags)
    assert code == 2
    assert message in err
