"""A small tokenizer made here, the published one where it lies, and upstream's to compare with."""

import os
import warnings
from pathlib import Path

import pytest
import sentencepiece

from numpy_erniem.tokenizer import ErnieMTokenizer

REPO = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("NUMPY_ERNIEM_SHARED", REPO.parent / "shared"))

SENTENCES = [
    "The quick brown fox jumps over the lazy dog, and the dog sleeps again.",
    "In 2020 and 2021 there were 12 months, 365 days; 1.5 million words?",
    "Der schnelle braune Fuchs springt über den faulen Hund. Größe: 10 km!",
    "Le renard brun saute par-dessus le chien paresseux, n'est-ce pas ?",
    "Быстрая коричневая лиса прыгает через ленивую собаку.",
    "我们在北京学习人工智能，二〇二〇年开始。",
    "今日は東京で、カメラとガラスを買いました。",
    "الثعلب البني السريع يقفز فوق الكلب الكسول",
    "तेज़ भूरी लोमड़ी आलसी कुत्ते के ऊपर कूदती है",
    "Ο γρήγορος αλεπού πηδά πάνω από τον σκύλο. ΟΔΟΣ",
    "e\u0301 ½ ﬁ Ⅷ ① ™ a1b2 x10y 3D 4K mp3",
]
SPECIAL_FIRST = ["[CLS]", "[PAD]", "[SEP]", "[UNK]"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Files of a small tokenizer, laid out as the published one's."""
    path = tmp_path_factory.mktemp("small")
    text = path / "corpus"
    text.write_text("\n".join(SENTENCES * 20), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(text),
        model_prefix=str(path / "sentencepiece.bpe"),
        vocab_size=330,
        hard_vocab_limit=False,
        character_coverage=1.0,
        model_type="unigram",
        normalization_rule_name="nmt_nfkc",
        minloglevel=2,
    )
    text.unlink()
    (path / "sentencepiece.bpe.vocab").unlink()
    model = sentencepiece.SentencePieceProcessor(model_file=str(path / "sentencepiece.bpe.model"))
    pieces = [model.id_to_piece(i) for i in range(3, model.get_piece_size())]
    lines = [*SPECIAL_FIRST, *pieces, "[MASK]"]
    (path / "vocab.txt").write_text("".join(f"{t}\n" for t in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def make(folder):
    """Make the small tokenizer with options."""

    def build(**options):
        return ErnieMTokenizer(folder / "sentencepiece.bpe.model", folder / "vocab.txt", **options)

    return build


@pytest.fixture
def tok(make):
    return make()


@pytest.fixture(scope="session")
def upstream_class():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers = pytest.importorskip("transformers")
        transformers.logging.set_verbosity(100)
        try:
            return transformers.ErnieMTokenizer
        except (AttributeError, ImportError):
            pytest.skip("this transformers has no ErnieMTokenizer")


@pytest.fixture(scope="session")
def make_upstream(upstream_class, folder):
    """Make upstream's tokenizer from the small files."""

    def build(**options):
        return upstream_class(
            str(folder / "sentencepiece.bpe.model"), str(folder / "vocab.txt"), **options
        )

    return build


@pytest.fixture(scope="session")
def shared():
    if not (SHARED / "data" / "tokenizer" / "vocab.txt").is_file():
        pytest.skip("the published vocabulary is not here; set NUMPY_ERNIEM_SHARED")
    return SHARED / "data"


@pytest.fixture(scope="session")
def published(shared):
    return ErnieMTokenizer.from_pretrained(shared / "tokenizer")


@pytest.fixture(scope="session")
def published_upstream(shared, upstream_class):
    return upstream_class.from_pretrained(str(shared / "tokenizer"))
