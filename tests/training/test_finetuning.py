"""Fine-tuning from files to folders: each task solves a small problem, bad input is told."""

import json

import numpy as np
import pytest

from numpy_erniem import (
    ErnieMConfig,
    ErnieMForSequenceClassification,
    ErnieMForTokenClassification,
    ErnieMModel,
    ErnieMTokenizer,
    bundled_checkpoint,
)
from numpy_erniem.cli.finetune import learning_rate_of
from numpy_erniem.cli.main import main
from numpy_erniem.training import (
    TrainingConfig,
    classification_setup,
    retrieval_setup,
    tagging_setup,
)
from numpy_erniem.training.finetuning import preparation
from tests.models.conftest import SMALL

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
    assert "other options: training examples" in capsys.readouterr().err


def test_long_texts_are_cut_and_told():
    config = TrainingConfig(steps=1, threads=1)
    long = [("word " * 50, None, "a"), ("short", None, "b")]
    with pytest.warns(UserWarning, match="1 of 2 examples have more than 20 tokens"):
        classification_setup(long, long[1:], config, max_length=20)


def test_more_tokens_than_the_model_takes():
    with pytest.raises(ValueError, match=r"max_length 600 is not a whole number in 3\.\.512"):
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


@pytest.fixture(params=["padding", "paddle"])
def checkpoint(request, tmp_path):
    """A small checkpoint, whose default mask hides the padding or, as Paddle's does, [CLS]."""
    tokenizer = ErnieMTokenizer.from_pretrained(bundled_checkpoint())
    config = ErnieMConfig(
        **{**SMALL, "vocab_size": len(tokenizer)},
        attention_mask_convention=request.param,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    ErnieMModel(config, seed=3).save_pretrained(tmp_path / "small")
    tokenizer.save_pretrained(tmp_path / "small")
    return tmp_path / "small"


TEXTS = [("Open the file", None, "a"), ("Save", None, "b"), ("A red cat and a dog", None, "a")]


def alone(model, ids, **labels):
    """The loss of each row by itself, without a mask."""
    return [
        float(model([row], **{k: [v[n]] for k, v in labels.items()}).loss)
        for n, row in enumerate(ids)
    ]


def test_padding_does_not_change_the_loss_of_a_classifier(checkpoint):
    config = TrainingConfig(steps=1, batch_size=3, threads=1)
    setup = classification_setup(TEXTS, TEXTS, config, model=checkpoint, max_length=16)
    ids = setup.tokenizer([text for text, *_ in TEXTS])["input_ids"]
    loss, _ = setup.loss_and_grad(setup.model, 0, None)
    assert loss == pytest.approx(np.mean(alone(setup.model, ids, labels=[0, 1, 0])), rel=1e-5)


def test_padding_does_not_change_the_answers_of_a_classifier(checkpoint, monkeypatch):
    config = TrainingConfig(steps=1, batch_size=3, threads=1)
    setup = classification_setup(TEXTS, TEXTS, config, model=checkpoint, max_length=16)
    masks, forward = [], type(setup.model).forward

    def spy(self, input_ids, attention_mask, starts):
        masks.append(np.add.reduceat(attention_mask[0].astype(int), starts[:-1]).tolist())
        return forward(self, input_ids, attention_mask=attention_mask, starts=starts)

    monkeypatch.setattr(type(setup.model), "forward", spy)
    setup.evaluate(setup.model)
    ids = setup.tokenizer([text for text, *_ in TEXTS])["input_ids"]
    hidden = setup.model.config.mask_convention == "paddle"  # [CLS]
    assert masks == [sorted((len(row) - hidden for row in ids), reverse=True)]


def test_padding_does_not_change_the_loss_of_a_tagger(checkpoint):
    examples = [(["Open", "it"], ["a", "b"]), (["Save"], ["b"]), (["A", "cat", "and"], ["a"] * 3)]
    config = TrainingConfig(steps=1, batch_size=3, threads=1)
    setup = tagging_setup(examples, examples, config, model=checkpoint, max_length=16)
    losses, counts = [], []
    for words, tags in examples:
        tokens = [setup.tokenizer(word, add_special_tokens=False)["input_ids"] for word in words]
        ids = setup.tokenizer.build_inputs_with_special_tokens(
            [n for pieces in tokens for n in pieces]
        )
        labels = [-100]
        for pieces, tag in zip(tokens, tags, strict=True):
            labels += ["ab".index(tag)] + [-100] * (len(pieces) - 1)
        losses += alone(setup.model, [ids], labels=[[*labels, -100]])
        counts.append(len(words))
    loss, _ = setup.loss_and_grad(setup.model, 0, None)
    assert loss == pytest.approx(np.average(losses, weights=counts), rel=1e-5)
    assert 0 <= setup.evaluate(setup.model)["accuracy"] <= 1


def test_the_checkpoint_to_start_from_is_used(checkpoint):
    options = {"model": checkpoint, "max_length": 16}
    setup = classification_setup(TEXTS, TEXTS, TrainingConfig(steps=1), **options)
    assert setup.model.config.hidden_size == SMALL["hidden_size"]


def test_the_seed_draws_the_new_head():
    heads = [
        classification_setup(TEXTS, TEXTS, TrainingConfig(steps=1, seed=seed)).model.weights
        for seed in (0, 0, 1)
    ]
    first, same, other = (w["classifier"]["weight"] for w in heads)
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


def test_max_length_cuts_texts_on_the_command_line(files, capsys):
    lines = [f"{text}\t{label}" for text, _, label in sentences()]
    options = [*files(lines, lines[:4]), *QUICK, "--epochs", "0.2", "--max-length", "4"]
    assert main(["finetune", "classify", *options]) == 0
    assert "have more than 4 tokens and were cut" in capsys.readouterr().err


def test_a_run_with_another_max_length_is_not_resumed(files, capsys):
    lines = [f"{text}\t{label}" for text, _, label in sentences()]
    options = [*files(lines, lines[:4]), *QUICK, "--epochs", "0.2"]
    assert main(["finetune", "classify", *options]) == 0
    assert main(["finetune", "classify", *options, "--max-length", "64"]) == 2
    assert "max_length 128 there, 64 here" in capsys.readouterr().err


def test_a_warning_of_cuts_points_at_the_caller():
    long = [("word " * 50, None, "a"), ("short", None, "b")]
    with pytest.warns(UserWarning, match="were cut") as caught:
        classification_setup(long, long[1:], TrainingConfig(steps=1), max_length=20)
    assert {w.filename for w in caught if "were cut" in str(w.message)} == {__file__}


FLAGS = ["--revision", "v2", "--cache-dir", "kept", "--local-files-only"]


def refuse_and_tell(model, **options):
    raise ValueError(f"asked for {model} with {options}")


@pytest.mark.parametrize("task", ["classify", "tag", "retrieve"])
def test_the_options_of_the_hub_reach_it(task, files, monkeypatch, capsys):
    lines = {
        "classify": ["a\tx", "b\ty"],
        "tag": ["a\tx", "", "b\ty"],
        "retrieve": ["de\ta\tb"] * 2,
    }
    monkeypatch.setattr(preparation, "resolve_folder", refuse_and_tell)
    options = [*files(lines[task], lines[task]), *QUICK, "--model", "someone/model", *FLAGS]
    assert main(["finetune", task, *options]) == 2
    told = capsys.readouterr().err
    assert "asked for someone/model with {'revision': 'v2', 'cache_dir': 'kept', " in told
    assert "'local_files_only': True" in told


@pytest.mark.parametrize("epochs", ["0", "-1", "nan", "inf"])
def test_a_number_of_epochs_that_is_none_is_refused(epochs, files, capsys):
    options = files(["a\tx", "b\ty"], ["c\tx"])
    assert main(["finetune", "classify", *options, *QUICK, "--epochs", epochs]) == 2
    assert f"epochs {epochs} is not a number above 0" in capsys.readouterr().err


def test_epochs_are_steps_and_evaluations():
    config = TrainingConfig(steps=1, batch_size=8, gradient_accumulation=2)
    setup = classification_setup(sentences(), sentences()[:4], config).for_epochs(2.5, patience=1)
    assert (setup.config.steps, setup.config.evaluate_every, setup.config.patience) == (8, 3, 1)


def test_a_setup_without_epochs_says_so():
    setup = classification_setup(TEXTS, TEXTS, TrainingConfig(steps=1))
    setup.batches_per_epoch = None
    with pytest.raises(ValueError, match="this setup has no epochs"):
        setup.for_epochs(1)


def test_patience_stops_a_run_on_the_command_line(files, tmp_path, capsys):
    lines = [f"{text}\t{label}" for text, _, label in sentences()]
    options = [*files(lines, lines[:4]), *QUICK, "--learning-rate", "1e-9", "--epochs", "9"]
    assert main(["finetune", "classify", *options, "--patience", "2"]) == 0
    assert "stops early: 2 evaluations brought nothing better" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "report.json").read_text())["steps"] == 3 * 6


def test_a_run_with_other_examples_is_not_resumed_from_python(tmp_path):
    config = TrainingConfig(steps=1, threads=1)
    classification_setup(TEXTS, TEXTS, config).train(tmp_path)
    with pytest.raises(ValueError, match="other options: training examples"):
        classification_setup(TEXTS[::-1], TEXTS, config).train(tmp_path)


def test_a_checkpoint_of_the_same_labels_keeps_their_order(tmp_path):
    config = TrainingConfig(steps=1, threads=1)
    other = {"id2label": {0: "b", 1: "a"}, "architectures": ["ErnieMForSequenceClassification"]}
    small = ErnieMConfig.from_pretrained(bundled_checkpoint(), **other)
    model = ErnieMForSequenceClassification(small, seed=3)
    model.save_pretrained(tmp_path)
    ErnieMTokenizer.from_pretrained(bundled_checkpoint()).save_pretrained(tmp_path)
    setup = classification_setup(TEXTS, TEXTS, config, model=tmp_path)
    assert setup.model.config.id2label == {0: "b", 1: "a"}
    texts = [(text, None, {"a": "x", "b": "y"}[label]) for text, _, label in TEXTS]
    with pytest.warns(UserWarning, match="has a head for the labels b, a; the training of x, y"):
        setup = classification_setup(texts, texts, config, model=tmp_path)
    assert setup.model.config.id2label == {0: "x", 1: "y"}


def test_a_label_with_white_space_around_it_is_refused_from_python():
    texts = [("one", None, "a"), ("two", None, "a ")]
    with pytest.raises(ValueError, match=r"training has the label 'a '.*white space"):
        classification_setup(texts, texts, TrainingConfig(steps=1))


def test_entity_scores_of_a_tagger(tmp_path):
    data = [(["Ada", "came"], ["B-P", "O"]), (["Bob"], ["B-P"])]
    config = TrainingConfig(steps=1, threads=1)
    setup = tagging_setup(data, data, config)
    assert list(setup.evaluate(setup.model)) == ["F1", "precision", "recall", "accuracy"]


def test_a_checkpoint_of_another_family_is_named_with_the_command_that_converts_it(
    files, tmp_path, capsys
):
    (tmp_path / "xlmr").mkdir()
    (tmp_path / "xlmr" / "config.json").write_text('{"model_type": "xlm-roberta"}')
    (tmp_path / "xlmr" / "model.safetensors").write_bytes(b"\x02" + bytes(7) + b"{}")
    options = files(["a\tx", "b\ty"], ["c\tx"])
    assert main(["finetune", "classify", *options, "--from", str(tmp_path / "xlmr")]) == 2
    assert "run `erniem convert MODEL NEW`, then use NEW" in capsys.readouterr().err


def test_the_checkpoint_to_start_from_is_not_overwritten(checkpoint):
    before = (checkpoint / "model.safetensors").read_bytes()
    config = TrainingConfig(steps=1, threads=1)
    setup = classification_setup(TEXTS, TEXTS, config, model=checkpoint, max_length=16)
    with pytest.raises(ValueError, match="that no run of training wrote"):
        setup.train(checkpoint)
    setup = classification_setup(TEXTS, TEXTS, config, model=checkpoint, max_length=16)
    assert (checkpoint / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("size", "rate"), [(128, 5e-4), (256, 5e-4), (384, 1e-4), (768, 3e-5), (1024, 3e-5)]
)
def test_a_larger_model_has_a_lower_learning_rate(size, rate):
    assert learning_rate_of(size) == rate


def test_the_learning_rate_is_chosen_and_told_where_none_is_given(files, tmp_path, capsys):
    lines = [f"{text}\t{label}" for text, _, label in sentences()]
    options = [*files(lines, lines[:4]), "--threads", "1", "--epochs", "0.2"]
    assert main(["finetune", "classify", *options]) == 0
    assert "learning rate 0.0005, by the size of the model" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "run.json").read_text())["learning_rate"] == 5e-4
    options[options.index("--out") + 1] = str(tmp_path / "other")
    assert main(["finetune", "classify", *options, "--learning-rate", "0.002"]) == 0
    assert "by the size" not in capsys.readouterr().err
    assert json.loads((tmp_path / "other" / "run.json").read_text())["learning_rate"] == 0.002
