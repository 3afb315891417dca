"""How near int8 and bfloat16 are to float32 on a real checkpoint: cosines and retrieval.

    python tools/quantization_accuracy.py FOLDER PAIRS.tsv.gz --pairs 100 --prompt "query: "

PAIRS has lines "language, English text, its translation". For each scheme the table shows the mean
and the lowest cosine of a text's vector with that of float32, and how often the English text of a
translation is the nearest one (P@1), in the mean of the languages and where it differs most from
float32. "per tensor" is what ONNX Runtime's dynamic quantization does: one scale for all inputs of
a batch, and one for a weight.
"""

import argparse
import gzip
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from numpy_erniem import Embedder, ErnieMModel, ErnieMTokenizer
from numpy_erniem.config.quantization import layers_named
from numpy_erniem.models import narrow_weights
from numpy_erniem.quantization import formula

f32 = np.float32


def rows_by_tensor(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`formula.quantize_rows` with the lowest and the highest number of all rows."""
    low, high = f32(min(0, x.min())), f32(max(0, x.max()))
    step = (high - low) / f32(255)
    zero = np.clip(np.rint(-low / step), 0, 255)
    q = np.clip(np.rint(x / step) + zero, 0, 255).astype(np.uint8)
    return q, np.full(len(x), zero, np.int32), np.full(len(x), step, f32)


def weight_by_tensor(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`formula.quantize_weight` with one scale for all rows."""
    scale = np.abs(weight).max() / f32(127)
    q = np.clip(np.rint(weight / scale), -127, 127).astype(np.int8)
    return q, np.full(len(weight), scale, f32)


@contextmanager
def per_tensor() -> Iterator[None]:
    """Quantize inputs and weights by the whole tensor while the block runs."""
    ours = formula.quantize_rows, narrow_weights.quantize_weight
    formula.quantize_rows, narrow_weights.quantize_weight = rows_by_tensor, weight_by_tensor
    try:
        yield
    finally:
        formula.quantize_rows, narrow_weights.quantize_weight = ours


def read_pairs(path: str, languages: int, count: int) -> dict[str, list[tuple[str, str]]]:
    """Pairs by language: of those with enough pairs, the first ones by name."""
    found = defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            language, english, other = line.rstrip("\n").split("\t")
            found[language].append((english, other))
    enough = sorted(name for name, pairs in found.items() if len(pairs) >= count)
    return {name: found[name][:count] for name in enough[:languages]}


def vectors_of(options: argparse.Namespace, texts: list[str], dtype: str, kept: list[str]):
    """Vectors of length 1 from a model with this arithmetic."""
    key = {"dtype": "int8", "keep_float": kept} if dtype == "int8" else None
    model = ErnieMModel.from_pretrained(options.folder, dtype=dtype, quantization=key)
    embedder = Embedder(model, ErnieMTokenizer.from_pretrained(options.folder))
    return embedder(texts, prompt=options.prompt, normalize=True, pooling=options.pooling)


def precision_at_1(vectors: np.ndarray, languages: int) -> np.ndarray:
    """For each language, the part of its texts whose nearest English text is the right one."""
    by_language = vectors.reshape(languages, -1, 2, vectors.shape[1])
    found = [
        (pairs[:, 1] @ pairs[:, 0].T).argmax(axis=1) == np.arange(len(pairs))
        for pairs in by_language
    ]
    return np.mean(found, axis=1)


def main() -> None:
    """Compute the table and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("pairs_file")
    parser.add_argument("--pairs", type=int, default=100, help="of a language")
    parser.add_argument("--languages", type=int, default=20)
    parser.add_argument("--prompt", default="")
    parser.add_argument("--pooling", default="mean")
    parser.add_argument("--schemes", nargs="+", default=["int8", "linear2", "bfloat16", "tensor"])
    options = parser.parse_args()
    pairs = read_pairs(options.pairs_file, options.languages, options.pairs)
    texts = [text for name in pairs for pair in pairs[name] for text in pair]
    layers = ErnieMModel.from_pretrained(options.folder).config.num_hidden_layers
    want = vectors_of(options, texts, "float32", [])
    base = precision_at_1(want, len(pairs))
    print(f"{len(texts)} texts in {', '.join(pairs)} and English", flush=True)
    print("| scheme | cosine mean | lowest | P@1 | largest loss |\n|---|---|---|---|---|")
    print(f"| float32 | 1 | 1 | {base.mean():.4f} | |", flush=True)
    names = list(pairs)
    for scheme in options.schemes:
        if scheme == "tensor":
            with per_tensor():
                got = vectors_of(options, texts, "int8", [])
        elif scheme in ("int8", "bfloat16"):
            got = vectors_of(options, texts, scheme, [])
        else:
            got = vectors_of(options, texts, "int8", layers_named(scheme.split(","), layers))
        cosine = (want * got).sum(axis=1)
        points = precision_at_1(got, len(pairs))
        change = points - base
        worst = int(change.argmin())
        loss = f"{names[worst]} {change[worst]:+.3f}" if change[worst] < 0 else "none"
        print(
            f"| {scheme} | {cosine.mean():.5f} | {cosine.min():.5f} | {points.mean():.4f} | "
            f"{loss} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
