"""Fine-tuning from files to folders: each task solves a small problem, bad input is told."""

import json

import pytest

from numpy_erniem import (
    ErnieMForSequenceClassification,
    ErnieMForTokenClassification,
    ErnieMModel,
    ErnieMTokenizer,
)
from numpy_erniem.cli.main import main
from numpy_erniem.training import (
    TrainingConfig,
    classification_setup,
    retrieval_setup,
    tagging_setup,
)

COLOURS = ("red", "green", "blue", "yellow", "black", "white")
BEASTS = ("cat", "dog", "horse", "mouse", "bird", "fish")
QUICK = ["--learning-rate", "0.006", "--batch-size", "8", "--threads", "1"]


def sentences():
    """Which of two kinds of word a sentence ends with."""
    ends = [(word, "colour") for word in COLOURS] + [(word, "beast") for word in BEASTS]
    starts = ("I see", "This is", "Give me", "We found")
    return [(f"{start} {word}", None, label) for start in starts for word, label in ends]


@pytest.fixture
def files(tmp_path):
    """Write the lines of a training and of an evaluation file."""

    def put(train, evaluation, suffix="tsv"):
        paths = []
        for name, lines in (("train", train), ("eval", evaluation)):
            path = tmp_path / f"{name}.{suffix}"
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            paths.append(str(path))
        return ["--train", paths[0], "--eval", paths[1], "--out", str(tmp_path / "out")]

    return put


def test_classify_on_the_command_line(files, tmp_path, capsys):
    lines = [f"{text}\t{label}" for text, _, label in sentences()]
    options = files(lines, lines[1::5])
    assert main(["finetune", "classify", *options, *QUICK, "--epochs", "6"]) == 0
    told = capsys.readouterr()
    assert "accuracy" in told.out
    assert "loss" in told.err
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["best"]["accuracy"] == 1
    assert report["steps"] == 6 * 6
    model = ErnieMForSequenceClassification.from_pretrained(tmp_path / "out")
    tokenizer = ErnieMTokenizer.from_pretrained(tmp_path / "out")
    ids = tokenizer("Give me dog", return_tensors="np")["input_ids"]
    assert model.config.id2label[int(model(ids).logits.argmax())] == "beast"


def test_tag_on_the_command_line(files, tmp_path, capsys):
    lines = []
    for text, _, label in sentences():
        *others, last = text.split()
        tags = ["other"] * len(others) + [label]
        lines.append(json.dumps({"tokens": [*others, last], "tags": tags}))
    options = files(lines, lines[2::7], "jsonl")
    assert main(["finetune", "tag", *options, *QUICK, "--epochs", "6"]) == 0
    model = ErnieMForTokenClassification.from_pretrained(tmp_path / "out")
    assert sorted(model.config.label2id) == ["beast", "colour", "other"]
    assert json.loads((tmp_path / "out" / "report.json").read_text())["best"]["accuracy"] == 1


def test_retrieve_on_the_command_line(files, tmp_path, capsys):
    pairs = [*zip(COLOURS, ("rot", "grün", "blau", "gelb", "schwarz", "weiß"), strict=True)]
    lines = [f"de\t{english}\t{german}" for english, german in pairs]
    options = files(lines, lines)
    assert main(["finetune", "retrieve", *options, *QUICK, "--epochs", "30"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["metrics"] == ["P@1", "P@1 de"]
    assert report["best"]["P@1"] == 1
    ErnieMModel.from_pretrained(tmp_path / "out")


def test_from_python_in_a_few_lines(tmp_path):
    config = TrainingConfig(
        steps=30, batch_size=8, learning_rate=6e-3, threads=1, evaluate_every=15
    )
    report = classification_setup(sentences(), sentences()[::3], config).train(tmp_path)
    assert report["best"]["accuracy"] == 1


def test_an_option_changes_the_run(files, tmp_path, capsys):
    lines = [f"{text}\t{label}" for text, _, label in sentences()]
    for name, option in (("a", []), ("b", ["--layer-decay", "0.5"])):
        options = [*files(lines, lines[::9])[:-1], str(tmp_path / name)]
        assert main(["finetune", "classify", *options, *QUICK, "--epochs", "1", *option]) == 0
    reports = [(tmp_path / name / "report.json").read_text() for name in "ab"]
    assert reports[0] != reports[1]


@pytest.mark.parametrize(
    ("train", "evaluation", "message"),
    [
        (["a\tx", "b\ty"], ["c\tz"], "evaluation has the label 'z', which training does not"),
        (["a\tx", "b\tx"], ["c\tx"], "only the label 'x'"),
        (["a\tx", "b"], ["c\tx"], "line 2 has 1 columns"),
        ([], ["c\tx"], "train.tsv is empty"),
        (["a\tx", "b\ty"], [], "eval.tsv is empty"),
    ],
)
def test_bad_files_are_one_line_and_exit_code_2(train, evaluation, message, files, capsys):
    assert main(["finetune", "classify", *files(train, evaluation), *QUICK]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_going_on_with_other_data_is_refused(files, capsys):
    lines = [f"{text}\t{label}" for text, _, label in sentences()]
    options = [*files(lines, lines[:8]), *QUICK, "--epochs", "1"]
    assert main(["finetune", "classify", *options]) == 0
    files(lines[1:], lines[:8])
    assert main(["finetune", "classify", *options]) == 2
    assert "other options: data" in capsys.readouterr().err


def test_long_texts_are_cut_and_told():
    config = TrainingConfig(steps=1, threads=1)
    long = [("word " * 50, None, "a"), ("short", None, "b")]
    with pytest.warns(UserWarning, match="1 of 2 examples have more than 20 tokens"):
        classification_setup(long, long[1:], config, max_length=20)


def test_more_tokens_than_the_model_takes():
    with pytest.raises(ValueError, match=r"max_length 600 is not in 3\.\.512"):
        classification_setup(sentences(), sentences(), TrainingConfig(steps=1), max_length=600)


def test_retrieve_needs_negatives():
    with pytest.raises(ValueError, match="at least two pairs"):
        retrieval_setup([("", "a", "b")], [("", "a", "b")], TrainingConfig(steps=1))


def test_a_word_beyond_the_cut_counts_as_wrong():
    config = TrainingConfig(steps=1, threads=1)
    one = [(["cat"] * 9, ["a", "b", *"aaaaaaa"])]
    with pytest.warns(UserWarning, match="cut"):
        setup = tagging_setup(one, one, config, max_length=8)
    assert setup.evaluate(setup.model)["accuracy"] <= 6 / 9
