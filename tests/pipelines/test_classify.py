"""Texts and pairs in, labels with scores out."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from numpy_erniem import ErnieMForTokenClassification, TextClassifier

TEXTS = ["Open the file", "打开文件", "Datei öffnen", "", "Close the window of the program"]
PAIRS = [("Open a file", "Close it"), ("打开文件", "Open the file"), ("", "Datei öffnen")]
NAMES = ("no", "maybe", "yes")


@pytest.fixture(scope="module")
def model(classifier_model):
    return classifier_model(*NAMES)


@pytest.fixture
def classifier(model, tokenizer):
    return TextClassifier(model, tokenizer)


class Fixed:
    """A model that is no model of this package: these logits for every text."""

    def __init__(self, *logits, names=None, problem_type=None):
        names = dict(enumerate(names or (f"L{n}" for n in range(len(logits)))))
        self.config = SimpleNamespace(
            id2label=names, problem_type=problem_type, max_length=32, pad_token_id=1
        )
        self.logits, self.seen = logits, []

    def __call__(self, input_ids, attention_mask):
        self.seen.append(input_ids)
        return {"logits": np.tile(np.float32(self.logits), (len(input_ids), 1))}


def equal(got, want):
    assert [row["label"] for row in got] == [row["label"] for row in want]
    np.testing.assert_allclose(
        [row["score"] for row in got], [row["score"] for row in want], atol=1e-5
    )


def test_every_label_has_its_score(classifier, model, tokenizer, backend):
    logits = model(tokenizer("Open a file", return_tensors="np")["input_ids"]).logits[0]
    scores = np.exp(logits) / np.exp(logits).sum()
    want = [{"label": NAMES[n], "score": scores[n]} for n in np.argsort(-scores)]
    equal(classifier("Open a file", top_k=None), want)
    equal([classifier("Open a file")], want[:1])


@pytest.mark.parametrize("function", ["softmax", "sigmoid", "none"])
@pytest.mark.parametrize("top_k", [1, 2, None])
def test_scores_are_those_of_upstream(function, top_k, model, tokenizer, upstream):
    theirs = upstream("text-classification", model)
    theirs.model.double()  # float32 alone rounds logits of this model by more than the bound
    exact = type(model).from_pretrained(theirs.model.name_or_path, dtype="float64")
    want = [theirs(text, function_to_apply=function, top_k=top_k) for text in TEXTS]
    got = TextClassifier(exact, tokenizer)(TEXTS, function=function, top_k=top_k)
    for ours, other in zip(got, want, strict=True):
        equal([ours] if top_k == 1 else ours, other)


def test_scores_of_pairs_are_those_of_upstream(classifier, model, upstream):
    theirs = upstream("text-classification", model)
    got = classifier(PAIRS, top_k=None)
    for ours, (a, b) in zip(got, PAIRS, strict=True):
        equal(ours, theirs({"text": a, "text_pair": b}, top_k=None))


@pytest.mark.parametrize(
    ("names", "problem_type"),
    [
        (NAMES, None),
        (("only",), None),
        (NAMES, "multi_label_classification"),
        (NAMES, "single_label_classification"),
    ],
)
def test_the_function_is_that_of_upstream(
    names, problem_type, classifier_model, tokenizer, upstream
):
    model = classifier_model(*names, problem_type=problem_type)
    theirs = upstream("text-classification", model)
    equal(TextClassifier(model, tokenizer)("Open", top_k=None), theirs("Open", top_k=None))


def test_a_regression_gives_the_number_itself(tokenizer):
    model = Fixed(-3.5, problem_type="regression")
    assert TextClassifier(model, tokenizer)("a") == {"label": "L0", "score": -3.5}
    score = TextClassifier(model, tokenizer)("a", function="sigmoid")["score"]
    assert score == pytest.approx(1 / (1 + math.exp(3.5)))


def test_scores_do_not_saturate_in_float32(tokenizer):
    scores = TextClassifier(Fixed(0, 20, 25), tokenizer)("a", function="sigmoid", top_k=None)
    assert [row["label"] for row in scores] == ["L2", "L1", "L0"]
    assert scores[1]["score"] == pytest.approx(1 / (1 + math.exp(-20)), rel=1e-15)
    assert TextClassifier(Fixed(0, 900), tokenizer)("a") == {"label": "L1", "score": 1.0}


def test_equal_scores_keep_the_lower_class(tokenizer):
    scores = TextClassifier(Fixed(1, 2, 2, 1), tokenizer)("a", top_k=None)
    assert [row["label"] for row in scores] == ["L1", "L2", "L0", "L3"]


def test_top_k_chooses_the_form_of_a_result(classifier):
    everything = classifier("Open", top_k=None)
    assert classifier("Open") == everything[0]
    assert classifier("Open", top_k=2) == everything[:2]
    assert classifier("Open", top_k=99) == everything
    assert classifier(["Open"], top_k=np.int64(2)) == [everything[:2]]


ONE_PAIR = {
    "tuple": ("Open", "Close"),
    "dict": {"text": "Open", "text_pair": "Close"},
}


@pytest.mark.parametrize("kind", ONE_PAIR)
def test_one_pair_gives_one_result(kind, classifier, same_bits):
    (want,) = classifier([["Open", "Close"]])
    assert classifier(ONE_PAIR[kind]) == want
    assert classifier([ONE_PAIR[kind], "Open"])[0] == want
    assert classifier("Open") != want


def test_a_list_of_two_texts_is_two_texts(classifier, same_bits):
    assert classifier(["Open", "Close"]) == [classifier("Open"), classifier("Close")]
    assert classifier(("Open", "Close", "a"))[1] == classifier("Close")


def test_results_do_not_depend_on_the_batch(classifier, same_bits):
    items = [*TEXTS, *PAIRS, *TEXTS]
    want = [classifier(item, top_k=None) for item in items]
    for batch_tokens in (1, 20, 1000):
        assert classifier(items, top_k=None, batch_tokens=batch_tokens) == want


def test_batch_tokens_bounds_the_batches(tokenizer):
    model = Fixed(0, 1)
    TextClassifier(model, tokenizer)(TEXTS, batch_tokens=1)
    assert [len(rows) for rows in model.seen] == [1] * len(TEXTS)


def test_a_stream_gives_what_a_call_gives(classifier):
    items = [*TEXTS, *PAIRS]
    assert list(classifier.stream(iter(items), top_k=2)) == classifier(items, top_k=2)


LONG = " ".join(f"word{n}" for n in range(20))


@pytest.mark.parametrize("second", [None, "Close it"])
def test_a_long_text_is_windowed_cut_or_refused(second, classifier, model, tokenizer):
    ids = tokenizer(LONG, add_special_tokens=False)["input_ids"]
    after = [] if second is None else tokenizer(second, add_special_tokens=False)["input_ids"]
    tail = [2] if second is None else [2, 2, *after, 2]
    room = 32 - 1 - len(tail)
    parts = [ids[n : n + room] for n in range(0, len(ids), room)]
    assert len(parts) > 1
    logits = [model([[0, *part, *tail]]).logits[0] for part in parts]
    item = LONG if second is None else (LONG, second)
    options = {"function": "none", "top_k": None}

    def scores(**more):
        found = classifier(item, **options, **more)
        return [{row["label"]: row["score"] for row in found}[name] for name in NAMES]

    mean = np.average(logits, axis=0, weights=[len(part) for part in parts])
    np.testing.assert_allclose(scores(), mean, atol=1e-5)
    with pytest.warns(UserWarning, match="1 of 1 texts have more than 32 tokens and were cut"):
        np.testing.assert_allclose(scores(on_overflow="cut"), logits[0], atol=1e-5)
    with pytest.raises(ValueError, match="more than the"):
        scores(on_overflow="error")


def test_the_second_text_of_a_pair_is_never_cut(classifier):
    with pytest.raises(ValueError, match=r"the second text has \d+ tokens, which leaves no room"):
        classifier(("Open", LONG))


@pytest.mark.parametrize(
    ("items", "options", "error", "message"),
    [
        ([], {}, ValueError, "texts is empty"),
        (["a", None], {}, TypeError, r"texts\[1\] is a NoneType, not a str"),
        ([("a", None)], {}, TypeError, r"texts\[0\]\[1\] is a NoneType"),
        ([("a", "b", "c")], {}, TypeError, r"texts\[0\] has 3 items; a pair has two"),
        ([{"text": "a"}], {}, TypeError, r"texts\[0\] is a dict"),
        ("a", {"top_k": 0}, ValueError, "top_k 0 is not at least 1"),
        ("a", {"top_k": 1.5}, ValueError, "top_k 1.5 is not a whole number"),
        ("a", {"top_k": True}, ValueError, "top_k True"),
        ("a", {"function": "tanh"}, ValueError, "function 'tanh' is not one of softmax, sigmoid"),
        ("a", {"on_overflow": "split"}, ValueError, "on_overflow 'split'"),
        ("a", {"topk": 1}, TypeError, "no option 'topk'; did you mean 'top_k'"),
    ],
)
def test_bad_input_is_named(items, options, error, message, classifier):
    with pytest.raises(error, match=message):
        classifier(items, **options)


def test_an_error_does_not_lose_the_results_before_it(classifier):
    results = classifier.stream(["Open", ("a", None)])
    assert next(results) == classifier("Open")
    with pytest.raises(TypeError, match=r"texts\[1\]\[1\]"):
        next(results)


def test_a_config_that_does_not_fit_the_model_is_named(tokenizer):
    model = Fixed(0, 1, names=["a", "b", "c"])
    with pytest.raises(ValueError, match=r"logits of the shape \(2,\) .* 3 labels"):
        TextClassifier(model, tokenizer)("a")
    model.config.id2label = {1: "a", 2: "b"}
    with pytest.raises(ValueError, match="no name for class 0"):
        TextClassifier(model, tokenizer)("a")


def test_a_folder_gives_the_same(classifier, model, saved):
    loaded = TextClassifier.from_pretrained(saved(model), top_k=2)
    assert loaded(TEXTS) == classifier(TEXTS, top_k=2)


def test_a_folder_with_another_head_is_refused(model, saved):
    folder = saved(ErnieMForTokenClassification(model.config))
    with pytest.raises(
        ValueError, match=r"holds an ErnieMForTokenC.*; TextClassifier needs an .*Seq.*Moritz"
    ):
        TextClassifier.from_pretrained(folder)


def test_it_predicts_as_a_classifier_of_scikit_learn_does(classifier):
    """Columns in the order of the sorted labels."""
    assert classifier.classes_.tolist() == ["maybe", "no", "yes"]
    probabilities = classifier.predict_proba(TEXTS)
    for row, scores in zip(probabilities, classifier(TEXTS, top_k=None), strict=True):
        by_label = {s["label"]: s["score"] for s in scores}
        assert row.tolist() == [by_label[name] for name in ("maybe", "no", "yes")]
    predicted = [row["label"] for row in classifier(TEXTS)]
    assert classifier.predict(iter(TEXTS)).tolist() == predicted
    assert classifier.score(TEXTS, predicted) == 1.0
    assert classifier.score(TEXTS, [*predicted[:-1], "none"]) == pytest.approx(0.8)
    weights = [0, 0, 0, 1, 1]
    assert classifier.score(TEXTS, [*predicted[:-1], "none"], weights) == 0.5
    assert classifier.predict("Open").tolist() == [classifier("Open")["label"]]


def test_predictions_do_not_depend_on_options_for_calls(classifier):
    want = classifier.predict_proba(TEXTS)
    other = classifier.with_options(function="none", top_k=2)
    np.testing.assert_array_equal(other.predict_proba(TEXTS), want)


def test_a_tie_is_predicted_as_the_lower_class(tokenizer):
    classifier = TextClassifier(Fixed(1, 1, names=["b", "a"]), tokenizer)
    assert classifier.predict(["x"]).tolist() == ["b"] == [classifier("x")["label"]]


def test_several_labels_are_predicted_by_columns(tokenizer):
    model = Fixed(3, -1, 2, names=["c", "a", "b"], problem_type="multi_label_classification")
    classifier = TextClassifier(model, tokenizer)
    assert classifier.predict(["x", "y"]).tolist() == [[0, 1, 1]] * 2
    assert classifier.score(["x", "y"], [[0, 1, 1], [1, 1, 1]]) == 0.5


def test_predictions_need_classes(tokenizer):
    for model in (Fixed(1), Fixed(1, 2, problem_type="regression")):
        with pytest.raises(ValueError, match="no classes to predict"):
            TextClassifier(model, tokenizer).predict(["x"])
    with pytest.raises(ValueError, match="two classes of the model have one name: a, a"):
        TextClassifier(Fixed(1, 2, names=["a", "a"]), tokenizer).predict(["x"])


def test_fit_learns_nothing_and_names_an_unknown_label(classifier):
    assert classifier.fit(TEXTS, ["yes"] * 5) is classifier
    assert classifier.fit(TEXTS) is classifier
    with pytest.raises(ValueError, match=r"y has the label 'oui'; .* on the labels no, maybe"):
        classifier.fit(["a", "b"], ["no", "oui"])
