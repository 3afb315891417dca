"""Make the bundled checkpoint, numpy_erniem/tiny: a small vocabulary and a small random encoder.

    python tools/make_tiny.py CORPUS [OUT]

CORPUS is a folder with parallel.tsv.gz (language, English, translation) and parallel.source.txt.gz
(the source of each row, line by line). Only rows of LibreOffice (MPL-2.0) are used. The same
corpus and seed give the same files, byte for byte.
"""

import argparse
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import sentencepiece
from safetensors.numpy import save_file

from numpy_erniem import ErnieMConfig
from numpy_erniem.weights import encoder_shapes, initial_tensor

LANGUAGES = ("de", "es", "ru", "el", "ar", "he", "hi", "th", "zh", "ja", "ko")
SENTENCES_PER_LANGUAGE = 8000
PIECES = 8000
SEED = 2021
SPECIALS = ("[CLS]", "[PAD]", "[SEP]", "[UNK]")
OUT = Path(__file__).resolve().parent.parent / "numpy_erniem" / "tiny"

CARD = """# tiny

A checkpoint small enough to travel with the package, for trying things out and for tests.

**It is not trained.** The weights of its encoder are random (normal, seed {seed}), so texts are
similar only where they share tokens; the vectors carry no meaning.

| | |
|---|---|
| layers, width, heads, feed-forward | {layers}, {width}, {heads}, {inner} |
| vocabulary | {vocab} entries: SentencePiece (unigram, {pieces} pieces), ERNIE-M's special tokens |
| vocabulary trained on | English and {languages}: user interface and help texts of LibreOffice |
| licence of those texts | MPL-2.0 |
| licence of these files | Apache-2.0 |
| made by | tools/make_tiny.py |
"""


def sentences(corpus: Path) -> Iterator[str]:
    """Translations of LibreOffice rows, an equal number per language, and as much English."""
    taken = dict.fromkeys((*LANGUAGES, "en"), 0)
    with (
        gzip.open(corpus / "parallel.tsv.gz", "rt", encoding="utf-8") as rows,
        gzip.open(corpus / "parallel.source.txt.gz", "rt", encoding="utf-8") as sources,
    ):
        for row, source in zip(rows, sources, strict=True):
            language, english, translation = row.rstrip("\n").split("\t")
            if not source.startswith("libreoffice-") or language not in taken:
                continue
            for name, text in ((language, translation), ("en", english)):
                if taken[name] < SENTENCES_PER_LANGUAGE:
                    taken[name] += 1
                    yield text


def train_vocabulary(corpus: Path, out: Path) -> int:
    """Write sentencepiece.bpe.model and vocab.txt; return the number of entries."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=sentences(corpus),
        model_writer=model,
        model_type="unigram",
        vocab_size=PIECES,
        character_coverage=0.9995,
        num_threads=1,
        minloglevel=1,
    )
    (out / "sentencepiece.bpe.model").write_bytes(model.getvalue())
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    ordinary = [pieces.id_to_piece(i) for i in range(3, pieces.get_piece_size())]  # 0-2: <unk> ...
    vocabulary = [*SPECIALS, *ordinary, "[MASK]"]
    (out / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8", newline="\n")
    return len(vocabulary)


def write_json(path: Path, values: dict) -> None:
    """Write a JSON file as the other files of a checkpoint are written."""
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8", newline="\n")


def main() -> None:
    """Make the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path, nargs="?", default=OUT)
    options = parser.parse_args()
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    config = ErnieMConfig(
        vocab_size=train_vocabulary(options.corpus, out),
        hidden_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=384,
        initializer_range=0.05,
        architectures=["ErnieMModel"],
        trained=False,
    )
    config.save_pretrained(out)
    weights = {
        name: initial_tensor(name, shape, config, SEED).astype(np.float16)
        for name, shape in encoder_shapes(config).items()
    }
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    names = {f"{t.strip('[]').lower()}_token": t for t in (*SPECIALS, "[MASK]")}
    write_json(out / "special_tokens_map.json", names)
    tokenizer = {"tokenizer_class": "ErnieMTokenizer", "model_max_length": config.max_length}
    write_json(out / "tokenizer_config.json", {**tokenizer, "do_lower_case": False, **names})
    card = CARD.format(
        seed=SEED,
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        heads=config.num_attention_heads,
        inner=config.intermediate_size,
        vocab=config.vocab_size,
        pieces=PIECES,
        languages=", ".join(LANGUAGES),
    )
    (out / "README.md").write_text(card, encoding="utf-8", newline="\n")
    size = sum(file.stat().st_size for file in out.iterdir() if file.is_file())
    print(f"wrote {out}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
