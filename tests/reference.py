"""ERNIE-M's forward pass in a few lines of torch: the second opinion where transformers is not.

It shares nothing with the package but the names of the tensors, and is itself checked against
transformers where that is installed.
"""

import math

import torch
from torch.nn import functional


def linear(x, w, name):
    return functional.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])


def norm(x, w, name, eps):
    return functional.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], eps)


def attention(x, w, name, config, hidden, head_mask):
    def heads(y):
        return y.unflatten(-1, (config.num_attention_heads, -1)).transpose(1, 2)

    q, k, v = (heads(linear(x, w, f"{name}.self_attn.{p}_proj")) for p in "qkv")
    scores = q @ k.transpose(-1, -2)
    if config.position_embedding_type != "absolute":
        n = x.shape[1]
        distance = torch.arange(n)[:, None] - torch.arange(n)[None, :]
        table = w[f"{name}.self_attn.distance_embedding.weight"]
        e = table[distance + config.max_position_embeddings - 1]
        scores = scores + torch.einsum("bhld,lrd->bhlr", q, e)
        if config.position_embedding_type == "relative_key_query":
            scores = scores + torch.einsum("bhrd,lrd->bhlr", k, e)
    scores = scores / math.sqrt(q.shape[-1])
    scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
    probabilities = scores.softmax(-1)
    if head_mask is not None:
        probabilities = probabilities * head_mask[:, None, None]
    context = (probabilities @ v).transpose(1, 2).flatten(2)
    return linear(context, w, f"{name}.out_proj"), probabilities


def forward(w, config, ids, mask=None, head_mask=None):
    """Hidden states, attentions and pooled output for (B, T) ids and a (B, T) mask."""
    mask = ids != config.pad_token_id if mask is None else mask.bool()
    hidden = ~mask[:, None, None, :]
    x = w["embeddings.word_embeddings.weight"][ids]
    x = x + w["embeddings.position_embeddings.weight"][torch.arange(ids.shape[1]) + 2]
    x = norm(x, w, "embeddings.layer_norm", config.layer_norm_eps)
    states, attentions = [x], []
    for n in range(config.num_hidden_layers):
        layer = f"encoder.layers.{n}"
        factor = None if head_mask is None else head_mask[n]
        attended, probabilities = attention(x, w, f"{layer}.self_attn", config, hidden, factor)
        x = norm(x + attended, w, f"{layer}.norm1", config.layer_norm_eps)
        wide = functional.gelu(linear(x, w, f"{layer}.linear1"))
        x = norm(
            x + linear(wide, w, f"{layer}.linear2"), w, f"{layer}.norm2", config.layer_norm_eps
        )
        states.append(x)
        attentions.append(probabilities)
    return states, attentions, torch.tanh(linear(x[:, 0], w, "pooler.dense"))
