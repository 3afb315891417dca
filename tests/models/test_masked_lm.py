"""ErnieMForMaskedLM, which upstream lacks: beside upstream's encoder and torch's functions."""

import numpy as np
import pytest

from numpy_erniem import ErnieMConfig, ErnieMForMaskedLM
from numpy_erniem.models.weights import flatten
from tests.models.conftest import HEADS, SMALL, B, D, H, L, T, V

HEAD = HEADS[-1]
OPTIONS = ["nothing", "head_mask", "position_ids", "inputs_embeds", "past_key_values", "no mask"]


@pytest.fixture
def reference(transformers, torch, run):
    """Scores and loss by upstream's encoder, then dense, GELU, norm and the word embedding."""

    def call(model, labels=None, **arguments):
        config = transformers.ErnieMConfig(**SMALL)
        encoder = transformers.ErnieMModel(config, add_pooling_layer=False).eval()
        w = {k: torch.from_numpy(v.copy()) for k, v in flatten(model.weights).items()}
        encoder.load_state_dict(
            {k.removeprefix("ernie_m."): v for k, v in w.items() if k.startswith("ernie_m.")}
        )
        x, nn = run(encoder, **arguments).last_hidden_state, torch.nn.functional
        x = nn.gelu(nn.linear(x, w["lm_head.dense.weight"], w["lm_head.dense.bias"]))
        norm = w["lm_head.layer_norm.weight"], w["lm_head.layer_norm.bias"]
        x = nn.layer_norm(x, (D,), *norm, eps=config.layer_norm_eps)
        words = w["ernie_m.embeddings.word_embeddings.weight"]
        scores = nn.linear(x, words, w["lm_head.bias"])
        loss = nn.cross_entropy(scores.view(-1, V), torch.from_numpy(labels).view(-1))
        return scores.numpy(), loss.numpy()

    return call


@pytest.mark.parametrize("option", OPTIONS)
def test_scores_and_loss_equal_torch(option, reference, backend, close, rng):
    model, arguments = HEAD.make(), HEAD.inputs(rng)
    if option == "head_mask":
        arguments["head_mask"] = rng.random((L, H), np.float32)
    elif option == "position_ids":
        arguments["position_ids"] = rng.integers(0, 18, (B, T))
    elif option == "inputs_embeds":
        del arguments["input_ids"]
        arguments["inputs_embeds"] = rng.standard_normal((B, T, D), np.float32)
    elif option == "past_key_values":
        past = [tuple(rng.standard_normal((B, H, 5, D // H), np.float32) for _ in "kv")] * L
        arguments["past_key_values"] = past
        arguments["attention_mask"] = np.pad(arguments["attention_mask"], ((0, 0), (5, 0)))
    elif option == "no mask":
        del arguments["attention_mask"]
        arguments["input_ids"][1, 4:] = 1
    output = model(**arguments, **HEAD.labels)
    scores, loss = reference(model, **HEAD.labels, **arguments)
    close(output.logits, scores, "model", "logits")
    np.testing.assert_allclose(output.loss, loss, rtol=1e-6)


def test_the_names_of_its_tensors():
    names = [name for name in HEAD.make().expected_shapes(ErnieMConfig(**SMALL)) if "lm" in name]
    assert names == [
        "lm_head.dense.weight",
        "lm_head.dense.bias",
        "lm_head.layer_norm.weight",
        "lm_head.layer_norm.bias",
        "lm_head.bias",
    ]


def test_the_last_step_is_tied_to_the_word_embedding(rng):
    """Twice the embedding and its layer norm undone: scores without their bias are doubled."""
    model = HEAD.make()
    vectors = rng.standard_normal((B, T, D), np.float32)
    bias = model.weights["lm_head"]["bias"]
    before = model(inputs_embeds=vectors).logits - bias
    model.set_input_embeddings(2 * model.get_input_embeddings())
    np.testing.assert_allclose(model(inputs_embeds=vectors).logits - bias, 2 * before, rtol=1e-4)


def test_hidden_act_is_not_the_heads_activation(rng):
    """The head has GELU whatever the encoder has; without layers that is all there is."""
    sizes = {**SMALL, "num_hidden_layers": 0}
    both = [ErnieMForMaskedLM(ErnieMConfig(**sizes, hidden_act=act)) for act in ("gelu", "relu")]
    ids = rng.integers(2, V, (B, T))
    np.testing.assert_array_equal(both[0](ids).logits, both[1](ids).logits)


def test_labels_that_are_all_ignored_give_zero_and_a_warning(rng):
    with pytest.warns(UserWarning, match="all labels are -100"):
        output = HEAD.make()(**HEAD.inputs(rng), labels=np.full((B, T), -100))
    assert output.loss == 0


def test_a_word_that_is_not_in_the_vocabulary(rng):
    labels = np.full((B, T), -100)
    labels[1, 2] = V
    with pytest.raises(ValueError, match=r"labels\[1, 2\] is 99, not in 0\.\.98 or -100"):
        HEAD.make()(**HEAD.inputs(rng), labels=labels)
