"""The bundled checkpoint: sentences find their translations."""

import json

import numpy as np
import pytest

from numpy_erniem import ErnieMModel, ErnieMTokenizer, bundled_checkpoint, embed
from numpy_erniem.training.finetuning.retrieval import retrieval_scores

TRANSLATIONS = {
    "en": ["Open the file.", "The password is wrong.", "Delete the selected row.", "Print a page."],
    "de": [
        "Öffnen Sie die Datei.",
        "Das Kennwort ist falsch.",
        "Löschen Sie die ausgewählte Zeile.",
        "Eine Seite drucken.",
    ],
    "ru": ["Откройте файл.", "Неверный пароль.", "Удалите выделенную строку.", "Печать страницы."],
    "zh": ["打开文件。", "密码错误。", "删除选中的行。", "打印一页。"],
    "ko": ["파일을 엽니다.", "암호가 틀립니다.", "선택한 행을 삭제합니다.", "페이지를 인쇄합니다."],
}


def test_sentences_find_their_translations_across_scripts():
    right = []
    vectors = {name: embed(texts, normalize=True) for name, texts in TRANSLATIONS.items()}
    for one in vectors.values():
        for other in vectors.values():
            right.append((one @ other.T).argmax(axis=1) == np.arange(4))
    assert np.mean(right) > 0.9


def test_the_score_on_the_card_is_reached(shared):
    import gzip

    card = (bundled_checkpoint() / "README.md").read_text(encoding="utf-8")
    languages = card.partition("| languages | en, ")[2].partition(" |")[0].split(", ")
    with gzip.open(shared / "data/corpus/dev.tsv.gz", "rt", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    rows = [row for row in rows if row[0] in languages]
    tokenizer = ErnieMTokenizer.from_pretrained(bundled_checkpoint())
    model = ErnieMModel.from_pretrained(bundled_checkpoint())
    sides = [tokenizer([row[n] for row in rows])["input_ids"] for n in (1, 2)]
    pairs = [(row[0], a, b) for row, a, b in zip(rows, *sides, strict=True)]
    told = float(card.partition("rounded to float16: ")[2][:5])
    pretrained = float(card.partition("| **mean** | **")[2][:5])
    assert pretrained >= 0.60
    assert told >= 0.92
    assert retrieval_scores(model, pairs)["P@1"] == pytest.approx(told, abs=0.002)
    assert len(languages) >= 9


def test_it_is_small_and_says_where_it_comes_from():
    files = list(bundled_checkpoint().iterdir())
    assert sum(file.stat().st_size for file in files) < 8e6
    card = (bundled_checkpoint() / "README.md").read_text(encoding="utf-8")
    for word in ("MPL-2.0", "train_tiny.py", "P@1", "Limits"):
        assert word in card
    assert "trained" not in json.loads((bundled_checkpoint() / "config.json").read_text())
