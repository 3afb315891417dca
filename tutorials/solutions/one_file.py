"""ERNIE-M in one file: texts in, vectors out. Needs NumPy, SentencePiece and safetensors.

python one_file.py FOLDER "Open a file" "打开文件"    # the cosine of the two texts
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from sentencepiece import SentencePieceProcessor

LONGEST = 512  # tokens of a text, with [CLS] and [SEP]
FIRST_POSITION = 2  # rows 0 and 1 of the position table are not used
ALONE = set(",;:.?!~，；：。？！《》【】")
SPACE = "▁"


def load(folder):
    """Everything that the other functions need, from the files of a checkpoint."""
    folder = Path(folder)
    tokens = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    weights = load_file(folder / "model.safetensors")
    return {
        "config": json.loads((folder / "config.json").read_text(encoding="utf-8")),
        "vocab": {token: i for i, token in enumerate(tokens)},
        "pieces": SentencePieceProcessor(model_file=str(folder / "sentencepiece.bpe.model")),
        "weights": {  # with heads in the file, the encoder's names begin with "ernie_m."
            name.removeprefix("ernie_m."): values.astype(np.float32)
            for name, values in weights.items()
        },
    }


# Text to ids


def cut(piece):
    """ERNIE-M's own cuts: ideographs, punctuation, and changes between digit and non-digit."""
    tokens, chunk = [], ""
    for char in piece:
        alone = "\u4e00" <= char <= "\u9fff" or char in ALONE
        changes = char != SPACE and chunk and char.isdigit() != chunk[-1].isdigit()
        if alone or changes:
            if chunk not in ("", SPACE):
                tokens.append(chunk)
            chunk = ""
        if alone:
            tokens.append(char)
        else:
            chunk += char
    return [*tokens, chunk] if chunk else tokens


def tokens_of(model, text):
    """The tokens of a text, without special tokens."""
    pieces = model["pieces"].encode(text, out_type=str)
    tokens = []
    for i, piece in enumerate(pieces):
        if piece != SPACE:
            tokens += cut(piece)
        elif 0 < i < len(pieces) - 1 and not pieces[i + 1].startswith(SPACE):
            tokens.append(SPACE)
    return tokens


def ids_of(model, text):
    """[CLS], the ids of a text, [SEP]; cut off at 512."""
    vocab = model["vocab"]
    ids = [vocab.get(token, vocab["[UNK]"]) for token in tokens_of(model, text)]
    return [vocab["[CLS]"], *ids[: LONGEST - 2], vocab["[SEP]"]]


# Ids to vectors


def linear(x, w, name):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]  # (..., K)·(K, N) -> (..., N)


def norm(x, w, name, eps):
    x = x - x.mean(axis=-1, keepdims=True)
    x = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(eps))
    return x * w[f"{name}.weight"] + w[f"{name}.bias"]


def gelu(x):
    erf = np.frompyfunc(math.erf, 1, 1)
    return x * 0.5 * (1 + erf(x / math.sqrt(2)).astype(np.float32))


def heads_of(x, H):
    return x.reshape(*x.shape[:2], H, -1).swapaxes(1, 2)  # (B, T, D) -> (B, H, T, d)


def self_attention(x, mask, w, name, H):
    q, k, v = (heads_of(linear(x, w, f"{name}.self_attn.{p}_proj"), H) for p in "qkv")
    scores = q @ k.swapaxes(2, 3) / math.sqrt(q.shape[-1])  # (B, H, T, T)
    scores = np.where(mask[:, None, None, :], scores, np.finfo(np.float32).min)
    p = np.exp(scores - scores.max(axis=-1, keepdims=True))
    context = p / p.sum(axis=-1, keepdims=True) @ v  # (B, H, T, d)
    return linear(context.swapaxes(1, 2).reshape(x.shape), w, f"{name}.out_proj")


def layer(x, mask, w, name, H, eps):
    x = norm(x + self_attention(x, mask, w, f"{name}.self_attn", H), w, f"{name}.norm1", eps)
    wide = gelu(linear(x, w, f"{name}.linear1"))  # (B, T, D) -> (B, T, F)
    return norm(x + linear(wide, w, f"{name}.linear2"), w, f"{name}.norm2", eps)


def hidden_states(model, ids, mask):
    """L + 1 arrays (B, T, D): the embeddings, and the result of each layer.

    ids : (B, T) integers; mask : (B, T) bool, True for a real token
    """
    w, config = model["weights"], model["config"]
    eps, H = config["layer_norm_eps"], config["num_attention_heads"]
    positions = np.arange(ids.shape[1]) + FIRST_POSITION
    x = w["embeddings.word_embeddings.weight"][ids]  # (B, T) -> (B, T, D)
    x = x + w["embeddings.position_embeddings.weight"][positions]
    states = [norm(x, w, "embeddings.layer_norm", eps)]
    for n in range(config["num_hidden_layers"]):
        states.append(layer(states[-1], mask, w, f"encoder.layers.{n}", H, eps))
    return states


# Texts to one vector each


def embed(model, texts):
    """(n, D) vectors: the mean of the last hidden states of the real tokens."""
    rows = [ids_of(model, text) for text in texts]
    ids = np.full((len(rows), max(map(len, rows))), model["vocab"]["[PAD]"])
    for row, of_text in zip(ids, rows, strict=True):
        row[: len(of_text)] = of_text
    mask = np.arange(ids.shape[1]) < np.array([len(row) for row in rows])[:, None]
    x = hidden_states(model, ids, mask)[-1]
    return (x * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)


def main():
    folder, *texts = sys.argv[1:]
    a, b = embed(load(folder), texts)
    print(f"{a @ b / math.sqrt((a @ a) * (b @ b)):.2f}")


if __name__ == "__main__":
    main()
