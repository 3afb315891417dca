"""Every head and its loss in torch, for its automatic gradients: the second opinion."""

import torch
from torch.nn import functional

from numpy_erniem.models.weights import flatten
from tests.reference import attention, linear, norm

FUNCTIONS = {
    "gelu": functional.gelu,
    "gelu_python": functional.gelu,
    "gelu_10": lambda x: functional.gelu(x).clip(-10, 10),
    "gelu_accurate": lambda x: functional.gelu(x, approximate="tanh"),
    "gelu_fast": lambda x: functional.gelu(x, approximate="tanh"),
    "gelu_new": lambda x: functional.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "laplace": lambda x: 0.5 * (1 + torch.erf((x - 0.707107) / (0.282095 * 2**0.5))),
    "leaky_relu": functional.leaky_relu,
    "linear": lambda x: x,
    "mish": functional.mish,
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "relu": functional.relu,
    "relu2": lambda x: functional.relu(x) ** 2,
    "relu6": functional.relu6,
    "sigmoid": torch.sigmoid,
    "silu": functional.silu,
    "swish": functional.silu,
    "tanh": torch.tanh,
}


def encode(w, config, ids=None, mask=None, head_mask=None, vectors=None):
    """Last hidden state; mask (B, T), (B, T, T) or (B, H, T, T) of bools."""
    mask = ids != config.pad_token_id if mask is None else mask
    for axis in {2: (1, 1), 3: (1,), 4: ()}[mask.ndim]:
        mask = mask.unsqueeze(axis)
    padding = config.pad_token_id
    if vectors is None:
        vectors = functional.embedding(ids, w["embeddings.word_embeddings.weight"], padding)
    places = torch.arange(vectors.shape[1])[None] + 2
    table = w["embeddings.position_embeddings.weight"]
    x = vectors + functional.embedding(places, table, padding)
    x = norm(x, w, "embeddings.layer_norm", config.layer_norm_eps)
    for n in range(config.num_hidden_layers):
        layer = f"encoder.layers.{n}"
        factor = None if head_mask is None else head_mask[n]
        attended, _ = attention(x, w, f"{layer}.self_attn", config, ~mask, factor)
        x = norm(x + attended, w, f"{layer}.norm1", config.layer_norm_eps)
        wide = FUNCTIONS[config.hidden_act](linear(x, w, f"{layer}.linear1"))
        wide = linear(wide, w, f"{layer}.linear2")
        x = norm(x + wide, w, f"{layer}.norm2", config.layer_norm_eps)
    return x


def head_loss(name, x, w, config, labels):
    def pooled():
        return torch.tanh(linear(x[:, 0], w, "pooler.dense"))

    y = labels.get("labels")
    if name == "ErnieMForSequenceClassification":
        scores = linear(pooled(), w, "classifier")
        if config.problem_type == "regression":
            return functional.mse_loss(scores, y)
        if config.problem_type == "multi_label_classification":
            return functional.binary_cross_entropy_with_logits(scores, y)
        return functional.cross_entropy(scores, y)
    if name == "ErnieMForMultipleChoice":
        return functional.cross_entropy(linear(pooled(), w, "classifier").view(len(y), -1), y)
    if name == "ErnieMForTokenClassification":
        return functional.cross_entropy(linear(x, w, "classifier").transpose(1, 2), y)
    if name == "ErnieMForMaskedLM":
        h = functional.gelu(linear(x, w, "lm_head.dense"))
        h = norm(h, w, "lm_head.layer_norm", config.layer_norm_eps)
        scores = h @ w["embeddings.word_embeddings.weight"].T + w["lm_head.bias"]
        return functional.cross_entropy(scores.transpose(1, 2), y)
    starts, ends = labels["start_positions"], labels["end_positions"]
    if name == "ErnieMForQuestionAnswering":
        both, T = linear(x, w, "qa_outputs"), x.shape[1]
        pairs = ((both[..., 0], starts), (both[..., 1], ends))
        losses = [functional.cross_entropy(s, y.clip(0, T), ignore_index=T) for s, y in pairs]
        return sum(losses) / 2
    bce = functional.binary_cross_entropy_with_logits
    first, last = (linear(x, w, f"linear_{which}")[..., 0] for which in ("start", "end"))
    return (bce(first, starts.to(x.dtype)) + bce(last, ends.to(x.dtype))) / 2


def gradients(model, batch):
    """Loss, and the gradient of every weight by its flat name, computed by torch."""
    batch = {k: torch.as_tensor(v) for k, v in batch.items()}
    flat = {k: torch.tensor(v, requires_grad=True) for k, v in flatten(model.weights).items()}
    w = {k.removeprefix("ernie_m."): v for k, v in flat.items()}
    ids, mask = batch.pop("input_ids", None), batch.pop("attention_mask", None)
    if type(model).__name__ == "ErnieMForMultipleChoice":
        ids, mask = ids.flatten(0, 1), mask.flatten(0, 1)
    head_mask, vectors = batch.pop("head_mask", None), batch.pop("inputs_embeds", None)
    mask = None if mask is None else mask.bool()
    x = encode(w, model.config, ids, mask, head_mask, vectors)
    loss = head_loss(type(model).__name__, x, w, model.config, batch)
    loss.backward()
    return loss.item(), {k: v.grad.numpy() for k, v in flat.items() if v.grad is not None}
