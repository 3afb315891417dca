"""What may enter a head: choices in every shape, and errors that name rule, value and remedy."""

import numpy as np
import pytest

from tests.models.conftest import HEADS, NAMES, B, C, D, H, L, T, V

BY_NAME = dict(zip(NAMES, HEADS, strict=True))
CHOICE = BY_NAME["MultipleChoice"]
IDS = np.arange(2, 2 + B * T).reshape(B, T)


class TestChoices:
    """Every array with an axis of choices gives what its texts give one by one."""

    @pytest.fixture
    def model(self):
        return CHOICE.make()

    def singles(self, model, **arguments):
        rows = [
            [
                model(**{k: v[b : b + 1, c : c + 1] for k, v in arguments.items()}).logits[0, 0]
                for c in range(C)
            ]
            for b in range(B)
        ]
        return np.array(rows)

    @pytest.mark.parametrize("shape", [(T,), (T, T), (1, T, T), (H, T, T)])
    def test_masks(self, shape, model, backend, rng, close):
        ids = rng.integers(2, V, (B, C, T))
        mask = rng.random((B, C, *shape)) < 0.6
        mask[..., 0] = True
        want = self.singles(model, input_ids=ids, attention_mask=mask)
        close(model(ids, attention_mask=mask).logits, want, "primitive")
        assert np.abs(model(ids).logits - want).max() > 0.1, "the mask is not used"

    def test_positions_and_vectors(self, model, backend, rng, close):
        vectors = rng.standard_normal((B, C, T, D), np.float32)
        places = rng.integers(0, 18, (B, C, T))
        want = self.singles(model, inputs_embeds=vectors, position_ids=places)
        close(model(inputs_embeds=vectors, position_ids=places).logits, want, "primitive")

    @pytest.mark.parametrize("shape", [(T,), (1, T), (1, 1, T)])
    def test_positions_for_all_texts(self, shape, model, rng, close):
        ids, places = rng.integers(2, V, (B, C, T)), rng.integers(0, 18, shape)
        want = model(ids, position_ids=np.broadcast_to(places, (B, C, T))).logits
        close(model(ids, position_ids=places).logits, want, "primitive")

    def test_any_number_of_choices(self, model, rng):
        for choices in (1, 2, 9):
            assert model(rng.integers(2, V, (B, choices, T))).logits.shape == (B, choices)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"input_ids": IDS}, r"input_ids has shape \(2, 7\), not \(batch, choices, tokens\)"),
            (
                {"inputs_embeds": np.ones((B, T, D))},
                r"inputs_embeds has shape \(2, 7, 12\), not \(batch, choices, tokens, hidden_size",
            ),
            (
                {"input_ids": [IDS], "attention_mask": np.ones((2, 2, T))},
                r"attention_mask has shape \(2, 2, 7\), not \(1, 2, \.\.\.\) as input_ids",
            ),
            (
                {"input_ids": [IDS], "position_ids": np.ones((2, 1, T), int)},
                r"position_ids has shape \(2, 1, 7\), not \(1, 2, \.\.\.\)",
            ),
            ({"input_ids": [[[1, 2], [3]]]}, "input_ids is not an array: its rows differ"),
            ({"input_ids": np.ones((1, 0, T), int)}, "at least one"),
            ({}, "give input_ids or inputs_embeds, one of them; neither"),
            ({"input_ids": [IDS], "inputs_embeds": np.ones((1, 2, T, D))}, "both are given"),
            ({"input_ids": [IDS], "labels": [2]}, r"labels\[0\] is 2, not in 0\.\.1"),
            ({"input_ids": [IDS], "labels": [0, 1]}, r"shape \(1,\), not \(2,\)"),
        ],
    )
    def test_wrong_shapes_are_named(self, arguments, message, model):
        with pytest.raises(ValueError, match=message):
            model(**arguments)


WRONG_FOR_ALL = {
    "no input": ({"input_ids": None}, "give input_ids or inputs_embeds"),
    "id too large": ({"input_ids": IDS + 90}, r"is 99, not in 0\.\.98 \(vocab_size"),
    "mask of another length": ({"attention_mask": np.ones((B, T + 1))}, r"shape \(2, 8\), not one"),
    "mask of twos": ({"attention_mask": np.full((B, T), 2)}, "1 for tokens that may be attended"),
    "position too large": ({"position_ids": IDS + 9}, "max_position_embeddings - 2"),
    "head mask of no shape": ({"head_mask": np.ones((L, H + 1))}, r"head_mask has shape \(2, 4\)"),
}


@pytest.mark.parametrize("case", WRONG_FOR_ALL)
def test_wrong_arguments_are_named(case, head):
    arguments, message = WRONG_FOR_ALL[case]
    arguments = {"input_ids": IDS, **arguments}
    if "Choice" in head.name:
        arguments = {
            k: v if v is None or k == "head_mask" else v[:, None] for k, v in arguments.items()
        }
    with pytest.raises(ValueError, match=message):
        head.make()(**arguments)


def test_unknown_arguments_name_the_nearest(head):
    with pytest.raises(TypeError, match="unknown argument 'attention_masks'; did you mean 'atten"):
        head.make()(input_ids=IDS, attention_masks=IDS)


def test_token_type_ids_are_refused_in_a_sentence(head):
    with pytest.raises(TypeError, match="ERNIE-M has no token types; leave them out"):
        head.make()(input_ids=IDS, token_type_ids=IDS)


@pytest.mark.parametrize("name", ["MultipleChoice", "QuestionAnswering", "InformationExtraction"])
def test_a_past_is_refused_where_upstream_has_none(name):
    with pytest.raises(TypeError, match="unknown argument 'past_key_values'"):
        BY_NAME[name].make()(input_ids=IDS, past_key_values=())


@pytest.mark.parametrize("name", ["QuestionAnswering", "InformationExtraction"])
def test_half_of_the_labels_of_spans(name):
    head = BY_NAME[name]
    for given, missing in (("start", "end"), ("end", "start")):
        message = f"{given}_positions is given and {missing}_positions is not; give both"
        with pytest.raises(ValueError, match=message):
            head.make()(IDS, **{f"{given}_positions": head.labels[f"{given}_positions"]})


@pytest.mark.parametrize(
    ("name", "labels", "message"),
    [
        ("TokenClassification", {"labels": [[0] * 6] * 2}, r"shape \(2, 7\), not \(2, 6\)"),
        ("TokenClassification", {"labels": [[5] * 7] * 2}, r"labels\[0, 0\] is 5, not in 0\.\.4"),
        ("TokenClassification", {"labels": np.zeros((2, 7))}, "labels must hold integer numbers"),
        ("SequenceClassification", {"labels": [5, 0]}, r"labels\[0\] is 5, not in 0\.\.4"),
        ("SequenceClassification", {"labels": [0, 0, 0]}, r"shape \(2,\), not \(3,\)"),
        ("SequenceClassification", {"labels": ["a", "b"]}, "labels must hold"),
        (
            "QuestionAnswering",
            {"start_positions": [-1, 0], "end_positions": [0, 0]},
            "start_positions holds -1; positions count from 0, and one of 7",
        ),
        (
            "InformationExtraction",
            {"start_positions": [1, 2], "end_positions": [1, 2]},
            r"start_positions must have shape \(2, 7\) like the scores, not \(2,\)",
        ),
    ],
)
def test_wrong_labels_are_named(name, labels, message):
    with pytest.raises(ValueError, match=message):
        BY_NAME[name].make()(IDS, **labels)


def test_bool_masks_are_0_and_1(head, rng, close):
    """Upstream cannot take them."""
    model, arguments = head.make(), head.inputs(rng)
    want = model(**arguments)[head.scores[0]]
    arguments["attention_mask"] = arguments["attention_mask"].astype(bool)
    close(model(**arguments)[head.scores[0]], want, "exact")


def test_vectors_without_a_mask_hide_nothing(head, rng, close):
    """Upstream crashes."""
    model, ids = head.make(), head.inputs(rng)["input_ids"]
    vectors = model.get_input_embeddings()[ids]
    got = model(inputs_embeds=vectors)[head.scores[0]]
    close(got, model(ids, attention_mask=np.ones_like(ids))[head.scores[0]], "primitive")


def test_all_tokens_ignored_is_zero_with_a_warning(rng):
    """Upstream: NaN."""
    head = BY_NAME["TokenClassification"]
    with pytest.warns(
        UserWarning, match="all labels are -100, the value that is ignored; the loss is 0"
    ):
        output = head.make()(**head.inputs(rng), labels=np.full((B, T), -100))
    assert output.loss == 0
