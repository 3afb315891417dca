"""Heads of XLM-RoBERTa and BERT through convert, load and a call: torch's numbers, or a refusal."""

import numpy as np
import pytest

import numpy_erniem
from numpy_erniem.checkpoint.folder import read_folder
from tests.convert.head_models import IDS, SIZES, assert_equal, change

FAMILIES = ("XLMRoberta", "Roberta", "Camembert", "Bert")
TASKS = (
    "SequenceClassification",
    "TokenClassification",
    "QuestionAnswering",
    "MultipleChoice",
    "MaskedLM",
)
WRAPPERS = ("module.", "model.", "_orig_mod.", "_orig_mod.module.")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_head_equals_the_librarys_own_class(family, task, source, out, backend):
    theirs, folder = source(family, f"For{task}")
    ours = numpy_erniem.load(out(folder))
    assert type(ours).__name__ == f"ErnieMFor{task}"
    assert_equal(ours, theirs, f"For{task}")
    assert_equal(ours, theirs, f"For{task}", slice(0, 1))


@pytest.mark.parametrize("labels", [1, 2, 5])
@pytest.mark.parametrize("family", ["XLMRoberta", "Bert"])
def test_any_number_of_labels_as_of_a_reranker_with_one(labels, family, source, out):
    theirs, folder = source(family, "ForSequenceClassification", num_labels=labels)
    ours = numpy_erniem.load(out(folder))
    assert ours.config.num_labels == labels
    assert_equal(ours, theirs, "")


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("family", ["XLMRoberta", "Bert"])
def test_the_prefix_of_a_wrapper_is_removed(wrapper, family, source, out, torch):
    theirs, folder = source(family, "ForSequenceClassification", safe=False, num_labels=3)
    state = {wrapper + name: x for name, x in theirs.state_dict().items()}
    torch.save(state, folder / "pytorch_model.bin")
    ours = numpy_erniem.load(out(folder))
    assert_equal(ours, theirs, "")
    assert repr(wrapper) in str(out.report)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_load_removes_the_prefix_of_a_wrapper(wrapper, tmp_path):
    config = numpy_erniem.ErnieMConfig(**SIZES)
    model = numpy_erniem.ErnieMForTokenClassification(config, seed=1)
    model.save_pretrained(tmp_path)
    change(tmp_path, lambda tensors: {wrapper + n: x for n, x in tensors.items()})
    again = numpy_erniem.load(tmp_path)
    np.testing.assert_array_equal(again(IDS).logits, model(IDS).logits)


MIXTURES = {
    "module.": r"module\.classifier\.dense\.\w+ and roberta\.embeddings.* begin in different ways",
    "roberta.encoder.layer.1.": "begin in different ways",
}


@pytest.mark.parametrize("start", MIXTURES)
def test_a_mixture_of_prefixes_is_refused(start, source, out):
    _, folder = source("XLMRoberta", "ForSequenceClassification")

    def edit(tensors):
        old = "classifier.dense." if start == "module." else start
        new = "module.classifier.dense." if start == "module." else "encoder.layer.1."
        return {n.replace(old, new) if n.startswith(old) else n: x for n, x in tensors.items()}

    change(folder, edit)
    with pytest.raises(ValueError, match=MIXTURES[start]):
        out(folder)


def test_two_encoders_are_refused(source, out):
    _, folder = source("XLMRoberta", "ForSequenceClassification")
    change(folder, lambda t: t | {n.replace("roberta", "bert"): x for n, x in t.items()})
    with pytest.raises(ValueError, match="2 tensors are named embeddings"):
        out(folder)


def test_labels_keep_their_names_and_order(source, out):
    names = {0: "entailment", 1: "neutral", 2: "contradiction"}
    options = {"id2label": names, "label2id": {v: k for k, v in names.items()}}
    _, folder = source("XLMRoberta", "ForSequenceClassification", **options)
    config = numpy_erniem.load(out(folder)).config
    assert config.id2label == names
    assert list(config.id2label.values()) == list(names.values())
    assert config.label2id == options["label2id"]


def test_a_fine_tuned_ernie_m_keeps_head_and_labels(tmp_path, out):
    names = {0: "entailment", 1: "neutral", 2: "contradiction"}
    config = numpy_erniem.ErnieMConfig(**SIZES, id2label=names)
    model = numpy_erniem.ErnieMForSequenceClassification(config, seed=1)
    model.save_pretrained(tmp_path / "source")
    again = numpy_erniem.load(out(tmp_path / "source"))
    assert again.config.id2label == names
    np.testing.assert_array_equal(again(IDS).logits, model(IDS).logits)


def test_the_classifiers_rows_are_the_labels_that_config_json_does_not_name(source, out):
    theirs, folder = source("XLMRoberta", "ForSequenceClassification", num_labels=4)
    change(folder, lambda tensors: None, id2label=None, label2id=None)
    ours = numpy_erniem.load(out(folder))
    assert ours.config.num_labels == 4
    assert_equal(ours, theirs, "")


def test_labels_that_contradict_the_classifier_are_refused(source, out):
    _, folder = source("XLMRoberta", "ForTokenClassification", num_labels=4)
    change(folder, lambda t: None, id2label={"0": "a"}, label2id={"a": 0})
    with pytest.raises(ValueError, match=r"id2label of config\.json has 1 labels.*\(4, 12\)"):
        out(folder)


UNNAMED = {
    "ForSequenceClassification": "ErnieMForSequenceClassification",
    "ForQuestionAnswering": "ErnieMForQuestionAnswering",
    "ForMaskedLM": "ErnieMForMaskedLM",
}


@pytest.mark.parametrize("architectures", [None, ["MyModel"], ["XLMRobertaForSpans"]])
@pytest.mark.parametrize("task", UNNAMED)
def test_without_a_known_class_the_tensors_decide(task, architectures, source, out):
    theirs, folder = source("XLMRoberta", task)
    change(folder, lambda tensors: None, architectures=architectures)
    ours = numpy_erniem.load(out(folder))
    assert type(ours).__name__ == UNNAMED[task]
    assert f"the head is of {task.removeprefix('For')}" in str(out.report)
    assert_equal(ours, theirs, "")


@pytest.mark.parametrize("task", ["ForTokenClassification", "ForMultipleChoice"])
def test_a_head_of_several_kinds_is_refused_without_a_class(task, source, out):
    _, folder = source("XLMRoberta", task)
    change(folder, lambda tensors: None, architectures=None)
    with pytest.raises(ValueError, match=r"classifier\.bias, classifier\.weight.*XLMRobertaFor"):
        out(folder)


def test_a_head_that_is_not_known_is_refused(source, out):
    _, folder = source("XLMRoberta", "Model")
    change(folder, lambda t: t | {"crf.transitions": np.ones((3, 3), np.float32)})
    change(folder, lambda tensors: None, architectures=["XLMRobertaCRF"])
    with pytest.raises(ValueError, match=r"a head of crf\.transitions.*XLMRobertaModel for the"):
        out(folder)


def with_answers(tensors):
    head = {"qa_outputs.weight": np.ones((2, 12)), "qa_outputs.bias": np.ones(2)}
    return tensors | {name: x.astype(np.float32) for name, x in head.items()}


def test_of_two_heads_the_one_that_is_named_is_kept(source, out):
    theirs, folder = source("XLMRoberta", "ForSequenceClassification")
    change(folder, with_answers)
    assert_equal(numpy_erniem.load(out(folder)), theirs, "")
    assert "qa_outputs.weight" in out.report.dropped


def test_two_heads_without_a_class_are_refused(source, out):
    _, folder = source("XLMRoberta", "ForSequenceClassification")
    change(folder, with_answers, architectures=[])
    message = "heads of SequenceClassification and QuestionAnswering, and .* names no class"
    with pytest.raises(ValueError, match=message):
        out(folder)


def test_of_two_heads_of_ernie_m_the_one_that_is_named_is_kept(tmp_path, out):
    config = numpy_erniem.ErnieMConfig(**SIZES)
    numpy_erniem.ErnieMForSequenceClassification(config).save_pretrained(tmp_path / "source")
    change(tmp_path / "source", with_answers)
    assert "qa_outputs.weight" not in read_folder(out(tmp_path / "source"))
    assert "qa_outputs.weight" in out.report.dropped


def test_a_head_that_lacks_a_tensor_is_refused(source, out):
    _, folder = source("XLMRoberta", "ForSequenceClassification")
    change(folder, lambda t: {n: x for n, x in t.items() if n != "classifier.dense.bias"})
    with pytest.raises(ValueError, match=r"lacks classifier\.dense\.bias"):
        out(folder)


def test_another_head_than_the_one_that_is_named_is_refused(source, out):
    _, folder = source("XLMRoberta", "ForSequenceClassification")
    change(folder, lambda t: None, architectures=["XLMRobertaForQuestionAnswering"])
    with pytest.raises(ValueError, match=r"QuestionAnswering lacks qa_outputs\.weight"):
        out(folder)


def test_load_warns_of_a_head_that_was_not_kept(source, out):
    _, folder = source("XLMRoberta", "ForSequenceClassification")
    change(folder, lambda t: None, architectures=["XLMRobertaModel"])
    folder = out(folder)
    with pytest.warns(UserWarning, match=r"a head \(4 tensors, such as classifier\.dense\.bias"):
        numpy_erniem.load(folder)
    assert "classifier.dense.weight" in out.report.dropped


def test_a_class_with_a_head_that_the_file_has_not_is_an_encoder(source, out):
    _, folder = source("XLMRoberta", "Model")
    change(folder, lambda t: None, architectures=["XLMRobertaForMaskedLM"])
    assert type(numpy_erniem.load(out(folder))).__name__ == "ErnieMModel"
    assert "names XLMRobertaForMaskedLM, but the file has no head" in str(out.report)


def test_a_pooler_that_the_head_does_not_use_is_dropped(source, out):
    theirs, folder = source("XLMRoberta", "ForQuestionAnswering")
    pooler = {"roberta.pooler.dense.weight": np.ones((12, 12), np.float32)}
    pooler["roberta.pooler.dense.bias"] = np.ones(12, np.float32)
    change(folder, lambda tensors: tensors | pooler)
    assert_equal(numpy_erniem.load(out(folder)), theirs, "")
    assert any("pooler.dense.weight" in name for name in out.report.dropped)


SIZES_IN_CONFIG = {"vocab_size": 98, "max_position_embeddings": 29, "num_hidden_layers": 1}


@pytest.mark.parametrize("key", SIZES_IN_CONFIG)
@pytest.mark.parametrize("family", ["XLMRoberta", "Bert"])
def test_sizes_that_contradict_the_weights_are_refused(family, key, source, out):
    _, folder = source(family, "Model")
    change(folder, lambda t: None, **{key: SIZES_IN_CONFIG[key]})
    both = {SIZES_IN_CONFIG[key], 2 if key == "num_hidden_layers" else SIZES[key]}
    with pytest.raises(ValueError, match=key) as caught:
        out(folder)
    assert all(str(size) in str(caught.value) for size in both)
    assert "config.json" in str(caught.value)
