"""What a pipeline says of a model's outputs that it cannot use."""

from types import SimpleNamespace

import numpy as np
import pytest

from numpy_erniem import (
    ChoiceRanker,
    ErnieMModel,
    InformationExtractor,
    MaskFiller,
    QuestionAnswerer,
    Reranker,
    TextClassifier,
    TokenTagger,
    ZeroShotClassifier,
)
from numpy_erniem.models import MODELS

SPAN = ("start_logits", "end_logits")
NLI = {0: "entailment", 1: "neutral", 2: "contradiction"}


def stub(outputs, **config):
    """A model of another package: outputs (by name, from ids) and what its config says."""

    def model(input_ids, **_):
        return outputs(input_ids.reshape(-1, input_ids.shape[-1]))

    named = {"id2label": NLI, "num_labels": 3, "max_length": 32, **config}
    model.config = SimpleNamespace(**named)
    return model


def of_text(value, width=3):
    return lambda ids: {"logits": np.full((len(ids), width), value, np.float32)}


def of_tokens(value, width=3):
    return lambda ids: {"logits": np.full((*ids.shape, width), value, np.float32)}


def spans(value, *names):
    return lambda ids: {name: np.full(ids.shape, value, np.float32) for name in names}


TASKS = {
    "classify": (TextClassifier, of_text, {}, lambda p: p("a")),
    "zero-shot": (ZeroShotClassifier, of_text, {}, lambda p: p("a", ["x", "y"])),
    "tag": (TokenTagger, of_tokens, {}, lambda p: p("a")),
    "answer": (
        QuestionAnswerer,
        lambda value: spans(value, "start_logits", "end_logits"),
        {},
        lambda p: p(question="a", context="b"),
    ),
    "choose": (ChoiceRanker, lambda v: of_text(v, 1), {}, lambda p: p("a", ["b", "c"])),
    "fill": (MaskFiller, lambda v: of_tokens(v, 1000), {}, lambda p: p("a [MASK]")),
    "extract": (
        InformationExtractor,
        lambda value: spans(value, "start_prob", "end_prob"),
        {},
        lambda p: p("a", schema="Time"),
    ),
    "rerank": (Reranker, lambda v: of_text(v, 1), {"num_labels": 1}, lambda p: p("a", ["b"])),
}


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("task", TASKS)
def test_nan_and_infinity_are_refused(task, value, tokenizer):
    pipeline, outputs, config, call = TASKS[task]
    with pytest.raises(
        ValueError, match=r"the model gives NaN or infinity as (start_)?(logits|prob)"
    ):
        call(pipeline(stub(outputs(value), **config), tokenizer))


def test_minus_infinity_is_a_class_that_is_not_chosen(tokenizer):
    logits = np.float32([0, -np.inf, -np.inf])
    model = stub(lambda ids: {"logits": np.tile(logits, (len(ids), 1))})
    assert TextClassifier(model, tokenizer)("a") == {"label": "entailment", "score": 1.0}


def test_a_text_with_nan_does_not_stop_the_others(tokenizer):
    bad = tokenizer("Open", add_special_tokens=False)["input_ids"][0]

    def outputs(ids):
        logits = np.zeros((len(ids), 3), np.float32)
        logits[(ids == bad).any(axis=1)] = np.nan
        return {"logits": logits}

    classifier = TextClassifier(stub(outputs), tokenizer)
    found = list(classifier.outcomes(["Close", "Open", "Save"]))
    assert [outcome.error is None for outcome in found] == [True, False, True]
    assert str(found[1].error).startswith("texts[1]: the model gives NaN")


def test_nan_of_padding_is_not_read(tokenizer):
    def outputs(input_ids, attention_mask):
        logits = np.zeros((*input_ids.shape, 3), np.float32)
        logits[np.asarray(attention_mask) == 0] = np.nan
        return {"logits": logits}

    outputs.config = SimpleNamespace(id2label=NLI, max_length=32)
    assert len(TokenTagger(outputs, tokenizer)(["a", "a b c d"])) == 2


@pytest.mark.parametrize(
    ("pipeline", "outputs", "call"),
    [
        (TokenTagger, of_text(0.0), TASKS["tag"][3]),
        (MaskFiller, of_text(0.0), TASKS["fill"][3]),
        (QuestionAnswerer, lambda ids: {"start_logits": ids[:, 0], "end_logits": ids}, None),
        (QuestionAnswerer, lambda ids: dict.fromkeys(SPAN, np.zeros((*ids.shape, 1))), None),
        (TextClassifier, lambda ids: {"logits": np.zeros(3)}, TASKS["classify"][3]),
        (TextClassifier, of_tokens(0.0), TASKS["classify"][3]),
    ],
)
def test_an_output_of_another_shape_is_refused(pipeline, outputs, call, tokenizer):
    call = call or TASKS["answer"][3]
    with pytest.raises(ValueError, match=r"of the shape \(.*give a model with the head"):
        call(pipeline(stub(outputs), tokenizer))


def test_a_target_beyond_the_scores_is_refused(tokenizer):
    filler = MaskFiller(stub(of_tokens(0.0, 7)), tokenizer)
    with pytest.raises(ValueError, match=r"scores of the shape \(7,\) for a mask"):
        filler("a [MASK]", targets="Open")


@pytest.mark.parametrize("task", ["classify", "zero-shot", "tag"])
@pytest.mark.parametrize("width", [2, 4])
def test_logits_for_another_number_of_labels_are_refused(task, width, tokenizer):
    pipeline, outputs, config, call = TASKS[task]
    with pytest.raises(ValueError, match=rf"logits of the shape \({width},\).*config has 3 labels"):
        call(pipeline(stub(outputs(0.0, width), **config), tokenizer))


@pytest.mark.parametrize("task", ["choose", "rerank"])
def test_a_score_of_several_numbers_is_refused(task, tokenizer):
    pipeline, _, config, call = TASKS[task]
    with pytest.raises(ValueError, match=r"the model gives 2 numbers for a text, .*needs one"):
        call(pipeline(stub(of_text(0.0, 2), **config), tokenizer))


def test_one_number_for_a_text_needs_no_axis(tokenizer):
    model = stub(lambda ids: {"logits": np.full(len(ids), 0.5)}, num_labels=1)
    assert Reranker(model, tokenizer)("a", ["b"])[0]["score"] == 0.5


@pytest.mark.parametrize(
    ("config", "label"),
    [
        ({"id2label": {"0": "bad", "1": "good"}}, "good"),
        ({"id2label": ["bad", "good"]}, "good"),
        ({"num_labels": 2}, "LABEL_1"),
        ({"id2label": {0: "bad", 1: "good"}, "max_position_embeddings": 514}, "good"),
    ],
)
def test_the_config_of_another_package_needs_little(config, label, tokenizer):
    model = stub(lambda ids: {"logits": np.tile([0.0, 1.0], (len(ids), 1))})
    model.config = SimpleNamespace(**config)
    assert TextClassifier(model, tokenizer)("a")["label"] == label
    assert TextClassifier(model, tokenizer).longest == 512


def test_max_length_of_another_package_is_about_generation(tokenizer):
    model = stub(of_text(0.0), max_length=20, max_position_embeddings=514)
    assert TextClassifier(model, tokenizer).longest == 512


def test_a_config_without_classes_is_refused(tokenizer):
    model = stub(of_text(0.0))
    model.config = SimpleNamespace()
    with pytest.raises(ValueError, match="config has no id2label"):
        TextClassifier(model, tokenizer)("a")


@pytest.mark.parametrize("task", TASKS)
def test_a_model_with_the_head_of_another_task_is_refused(task, tokenizer, classifier_model):
    pipeline, _, _, call = TASKS[task]
    model = classifier_model("a", "b")
    if isinstance(model, MODELS[pipeline.model_class]):
        model = ErnieMModel(model.config, seed=1)
    expected = f"is an {type(model).__name__}; .* needs an {pipeline.model_class}, such as "
    with pytest.raises(ValueError, match=expected + pipeline.checkpoints[:10]):
        call(pipeline(model, tokenizer))


def test_an_output_that_is_not_there_is_named(tokenizer):
    with pytest.raises(ValueError, match="has no 'logits', which this task needs"):
        TextClassifier(stub(spans(0.0, "start_prob")), tokenizer)("a")


@pytest.mark.parametrize("value", [None, 2.5, True, "2"])
@pytest.mark.parametrize(
    ("task", "option"),
    [("fill", "top_k"), ("answer", "top_k"), ("answer", "max_answer_len")]
    + [(task, "batch_tokens") for task in TASKS],
)
def test_a_count_that_is_no_whole_number_is_refused(task, option, value, tokenizer):
    pipeline, outputs, config, call = TASKS[task]
    with pytest.raises(ValueError, match=f"{option} {value!r} is not a whole number"):
        call(pipeline(stub(outputs(0.0), **config), tokenizer, **{option: value}))


def test_a_query_that_leaves_no_room_is_named(tokenizer):
    with pytest.raises(ValueError, match="query has 40 tokens and leaves no room for a text in 32"):
        Reranker(stub(of_text(0.0, 1), num_labels=1), tokenizer)("a " * 40, ["b"])


def test_a_missing_schema_is_told_once_and_not_for_every_text(tokenizer):
    extractor = InformationExtractor(stub(spans(0.0, "start_prob", "end_prob")), tokenizer)
    with pytest.raises(ValueError, match=r"^there is no schema"):
        extractor.outcomes(["a", "b"])


@pytest.mark.parametrize(
    ("task", "checkpoint"), [("rerank", "bge-reranker"), ("zero-shot", "ernie-m-base-mnli-xnli")]
)
def test_labels_of_another_task_name_a_checkpoint_that_fits(task, checkpoint, tokenizer):
    pipeline, outputs, _, call = TASKS[task]
    model = stub(outputs(0.0), id2label={0: "a", 1: "b", 2: "c"})
    with pytest.raises(ValueError, match=checkpoint):
        call(pipeline(model, tokenizer))
