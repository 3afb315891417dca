"""Texts and any labels in, the labels by score out."""

import numpy as np
import pytest

from numpy_erniem import ErnieMModel, ZeroShotClassifier
from numpy_erniem.pipelines.entailment import contradiction_class, entailment_class
from tests.pipelines.test_classify import Fixed

NLI = ("entailment", "neutral", "contradiction")
TEXTS = ["Open the file", "打开窗口", "", "Close the window of the program"]
LABELS = ["files", "sports", "the windows of programs"]
LONG = " ".join(f"word{n}" for n in range(20))


@pytest.fixture(scope="module")
def model(classifier_model):
    return classifier_model(*NLI)


@pytest.fixture
def classifier(model, tokenizer):
    return ZeroShotClassifier(model, tokenizer)


def equal(got, want):
    assert got["sequence"] == want["sequence"]
    assert got["labels"] == want["labels"]
    np.testing.assert_allclose(got["scores"], want["scores"], atol=1e-5)


def test_one_label_is_right(classifier, model, tokenizer, backend):
    sentences = [f"This example is {label}." for label in LABELS]
    logits = [
        model(tokenizer("Open", s, return_tensors="np")["input_ids"]).logits for s in sentences
    ]
    powers = np.exp([row[0, 0] for row in logits])
    order = np.argsort(-powers)
    want = {
        "sequence": "Open",
        "labels": [LABELS[n] for n in order],
        "scores": (powers / powers.sum())[order],
    }
    equal(classifier("Open", LABELS), want)


@pytest.mark.parametrize("names", [NLI, NLI[::-1], ("entailment", "not_entailment")])
@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("labels", [LABELS, LABELS[:1]])
def test_scores_are_those_of_upstream(
    names, multi_label, labels, classifier_model, tokenizer, upstream
):
    model = classifier_model(*names)
    theirs = upstream("zero-shot-classification", model)
    template = "It is about {}."
    got = ZeroShotClassifier(model, tokenizer)(
        TEXTS[:2], labels, multi_label=multi_label, template=template
    )
    for ours, text in zip(got, TEXTS, strict=False):
        want = theirs(text, labels, multi_label=multi_label, hypothesis_template=template)
        equal(ours, want)


def test_the_contradiction_is_found_by_its_name(classifier_model, tokenizer):
    """Upstream takes class 0 for it."""
    names = ("neutral", "entailment", "contradiction")
    model = Fixed(5, 1, -1, names=names)
    (score,) = ZeroShotClassifier(model, tokenizer)("a", "b")["scores"]
    assert score == pytest.approx(1 / (1 + np.exp(-2)))


def test_each_option_of_a_call_changes_the_result(classifier):
    base = classifier("Open", LABELS)
    assert classifier("Open", LABELS, multi_label=True)["scores"] != base["scores"]
    assert classifier("Open", LABELS, template="{}")["scores"] != base["scores"]
    assert classifier("Open", LABELS, entailment_id=1)["scores"] != base["scores"]
    many = classifier("Open", LABELS, multi_label=True)
    assert classifier("Open", LABELS, multi_label=True, contradiction_id=1) != many


def test_labels_may_come_with_the_constructor(model, tokenizer, classifier):
    made = ZeroShotClassifier(model, tokenizer, labels=iter(LABELS), multi_label=True)
    assert made("Open") == classifier("Open", LABELS, multi_label=True)
    assert made("Open", ["other", "labels"])["labels"] != made("Open")["labels"]
    assert made("Open")["labels"] == classifier("Open", LABELS, multi_label=True)["labels"]


def test_one_str_is_one_label_with_commas_and_all(classifier):
    result = classifier("Open", "politics, sports")
    assert result["labels"] == ["politics, sports"]
    assert 0 < result["scores"][0] < 1


def test_equal_scores_keep_the_order_of_the_labels(tokenizer):
    result = ZeroShotClassifier(Fixed(1, 0, 0, names=NLI), tokenizer)("a", list("wxyz"))
    assert (result["labels"], result["scores"]) == (list("wxyz"), [0.25] * 4)


def test_a_label_may_contain_braces(tokenizer):
    model = Fixed(1, 0, 0, names=NLI)
    ZeroShotClassifier(model, tokenizer)("a", "{0}{}", template="[{}]")
    (row,) = model.seen[0]
    assert row.tolist() == tokenizer("a", "[{0}{}]")["input_ids"]


def test_results_do_not_depend_on_the_batch(classifier, same_bits):
    want = [classifier(text, LABELS) for text in TEXTS]
    for batch_tokens in (1, 40, 1000):
        assert classifier(TEXTS, LABELS, batch_tokens=batch_tokens) == want


def test_a_score_with_multi_label_does_not_depend_on_the_other_labels(classifier, same_bits):
    many = classifier(LONG, LABELS, multi_label=True)
    for label, score in zip(many["labels"], many["scores"], strict=True):
        assert classifier(LONG, label)["scores"] == [score]


def test_a_stream_gives_what_a_call_gives(classifier):
    assert list(classifier.stream(iter(TEXTS), labels=LABELS)) == classifier(TEXTS, LABELS)


def test_a_long_text_is_windowed_cut_or_refused_and_the_label_never_cut(
    classifier, model, tokenizer
):
    ids = tokenizer(LONG, add_special_tokens=False)["input_ids"]
    after = tokenizer("This example is files.", add_special_tokens=False)["input_ids"]
    room = 32 - 4 - len(after)
    parts = [ids[n : n + room] for n in range(0, len(ids), room)]
    assert len(parts) > 1
    logits = [model([[0, *part, 2, 2, *after, 2]]).logits[0] for part in parts]

    def score(row):
        return 1 / (1 + np.exp(row[2] - row[0]))

    mean = np.average(logits, axis=0, weights=[len(part) for part in parts])
    assert classifier(LONG, "files")["scores"] == [pytest.approx(score(mean), abs=1e-5)]
    with pytest.warns(UserWarning, match="1 of 1 texts have more than 32 tokens and were cut"):
        cut = classifier(LONG, "files", on_overflow="cut")
    assert cut["scores"] == [pytest.approx(score(logits[0]), abs=1e-5)]
    with pytest.raises(ValueError, match="more than the"):
        classifier(LONG, "files", on_overflow="error")
    with pytest.raises(ValueError, match=r"the sentence of label 'word0 .* leaves no room"):
        classifier("Open", LONG)


def test_a_cut_text_has_the_scores_of_upstream(classifier, model, upstream):
    theirs = upstream("zero-shot-classification", model)
    theirs.tokenizer.model_max_length = 32
    with pytest.warns(UserWarning, match="cut at their end"):
        equal(classifier(LONG, LABELS, on_overflow="cut"), theirs(LONG, LABELS))


@pytest.mark.parametrize(
    ("texts", "labels", "options", "error", "message"),
    [
        ("a", None, {}, ValueError, "there are no labels; give some"),
        ("a", [], {}, ValueError, "labels is empty; give at least one label"),
        ("a", ["b", "c", "b"], {}, ValueError, "label 'b' is there twice"),
        ("a", ["b", " "], {}, ValueError, r"labels\[1\] is blank"),
        ("a", "", {}, ValueError, r"labels\[0\] is blank"),
        ("a", ["b", 3], {}, TypeError, r"labels\[1\] is a int, not a str"),
        ("a", {"b": 1}, {}, TypeError, "labels is a dict, a mapping"),
        ([], "b", {}, ValueError, "texts is empty"),
        (["a", None], "b", {}, TypeError, r"texts\[1\] is a NoneType"),
        ("a", "b", {"template": "It is good."}, ValueError, r"template 'It is .* such as 'This ex"),
        ("a", "b", {"template": "{} or {}"}, ValueError, r"has not the place .*\{\}, once"),
        ("a", "b", {"template": "{label}"}, ValueError, "has not the place of the label"),
        ("a", "b", {"entailment_id": 3}, ValueError, "entailment_id 3 is not .*: 0 entailment, 1 "),
        ("a", "b", {"contradiction_id": -1}, ValueError, "contradiction_id -1 is not the number"),
        ("a", "b", {"contradiction_id": 0}, ValueError, "is the class of entailment, too"),
        ("a", "b", {"multi": True}, TypeError, "no option 'multi'; did you mean 'multi_label'"),
    ],
)
def test_bad_input_is_named(texts, labels, options, error, message, classifier):
    with pytest.raises(error, match=message):
        classifier(texts, labels, **options)


def test_no_labels_are_an_error_before_a_stream_begins(classifier):
    with pytest.raises(ValueError, match="there are no labels"):
        classifier.stream(["a"])


@pytest.mark.parametrize(
    ("labels", "want"),
    [
        (NLI, 0),
        (("CONTRADICTION", "NEUTRAL", "ENTAILMENT"), 2),
        (("not_entailment", "entailment"), 1),
        (("non-entailment", "Entailed"), 1),
        (("no", "textual entailment", "not entailed"), 1),
        (("entails the text", "entailment"), 1),
    ],
)
def test_the_class_of_entailment(labels, want):
    assert entailment_class(labels) == want
    assert entailment_class(labels, 0) == 0


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (("LABEL_0", "LABEL_1"), "no label .*: 0 LABEL_0, 1 LABEL_1; .* entailment_id=0"),
        (("not_entailment", "other"), "no label"),
        (("entailment", "entail"), "more than one label"),
    ],
)
def test_names_that_do_not_tell_entailment_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        entailment_class(labels)


def test_the_class_of_contradiction():
    assert contradiction_class(NLI, 0) == 2
    assert contradiction_class(("Contradictory", "x", "y"), 2) == 0
    assert contradiction_class(("a", "b"), 1) == 0
    assert contradiction_class(NLI, 0, 1) == 1
    with pytest.raises(ValueError, match=r"no label .* names contradiction: .*contradiction_id=2"):
        contradiction_class(("a", "b", "c"), 0)
    with pytest.raises(ValueError, match="more than one label"):
        contradiction_class(("contra1", "contra2", "c"), 2)


def test_names_of_contradiction_are_only_needed_for_one_or_several_labels(tokenizer):
    model = Fixed(1, 0, 0, names=("entailment", "b", "c"))
    classifier = ZeroShotClassifier(model, tokenizer)
    assert classifier("a", ["x", "y"])["labels"] == ["x", "y"]
    with pytest.raises(ValueError, match="contradiction_id=2"):
        classifier("a", ["x", "y"], multi_label=True)
    with pytest.raises(ValueError, match="contradiction_id=2"):
        classifier("a", "x")
    assert classifier("a", "x", contradiction_id=2)["scores"][0] == pytest.approx(0.731, abs=1e-3)


def test_a_model_for_another_task_is_refused_with_the_remedy(classifier_model, tokenizer, saved):
    folder = saved(classifier_model("no", "maybe", "yes"))
    with pytest.raises(ValueError, match=r"0 no, 1 maybe, 2 yes; zero-shot .* entailment_id=0"):
        ZeroShotClassifier.from_pretrained(folder)
    loaded = ZeroShotClassifier.from_pretrained(folder, entailment_id=2)
    assert loaded("Open", LABELS)["labels"]


def test_a_folder_without_the_head_is_refused(model, saved):
    folder = saved(ErnieMModel(model.config))
    with pytest.raises(ValueError, match=r"holds an ErnieMModel; ZeroShotClassifier needs .*Mori"):
        ZeroShotClassifier.from_pretrained(folder)


def test_the_command(run, classifier, model, saved, written):
    folder = saved(model)
    code, rows, err = run("zero-shot", "--model", folder, *TEXTS[:2], "--labels", *LABELS)
    assert (code, err) == (0, "")
    for row, want in zip(rows, classifier(TEXTS[:2], LABELS), strict=True):
        assert row["text"] == want.pop("sequence")
        assert row == {"text": row["text"], **want}
    path = written({"title": "Open", "id": 1}, {"title": 3, "id": 2})
    flags = ("--field", "title", "--keep", "id", "--on-error", "row")
    options = ("--template", "{}!", "--multi-label", "--entailment-id", 1, "--contradiction-id", 0)
    code, rows, err = run(
        "zero-shot", "--model", folder, "--input", path, *flags, *options, "--labels", *LABELS
    )
    named = {"template": "{}!", "multi_label": True, "entailment_id": 1, "contradiction_id": 0}
    want = classifier("Open", LABELS, **named)
    assert rows[0] == {"text": "Open", "id": 1, "labels": want["labels"], "scores": want["scores"]}
    assert rows[1]["id"] == 2
    assert "not a text" in rows[1]["error"]


def test_mistakes_on_the_command_line_are_one_line(run, model, saved):
    folder = saved(model)
    for flags, message in (
        (["a", "--labels", "b", "b"], "label 'b' is there twice"),
        (["a", "--labels", "b", "--template", "x"], "template 'x' has not"),
        (["--labels", "a", "b"], "give texts or --input PATH"),
    ):
        code, _, err = run("zero-shot", "--model", folder, *flags)
        assert code == 2
        assert message in err
        assert err.count("\n") == 1
