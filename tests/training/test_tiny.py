"""The bundled checkpoint: sentences find their translations, languages have names, masks a word."""

import gzip

import numpy as np
import pytest

from numpy_erniem import bundled_checkpoint, embed
from tests.conftest import REPOSITORY

TRANSLATIONS = {
    "en": ["Open the file.", "The password is wrong.", "Delete the selected row.", "Print a page."],
    "de": [
        "Öffnen Sie die Datei.",
        "Das Kennwort ist falsch.",
        "Löschen Sie die ausgewählte Zeile.",
        "Eine Seite drucken.",
    ],
    "fr": [
        "Ouvrez le fichier.",
        "Le mot de passe est incorrect.",
        "Supprimer la ligne sélectionnée.",
        "Imprimer une page.",
    ],
    "ru": ["Откройте файл.", "Неверный пароль.", "Удалите выделенную строку.", "Печать страницы."],
    "zh": ["打开文件。", "密码错误。", "删除选中的行。", "打印一页。"],
    "ko": ["파일을 엽니다.", "암호가 틀립니다.", "선택한 행을 삭제합니다.", "페이지를 인쇄합니다."],
}
LEAST = {"retrieval": 0.80, "language": 0.97}  # of each language


@pytest.fixture
def tools(monkeypatch):
    """The modules in tools/ can be imported."""
    if not (REPOSITORY / "tools").is_dir():
        pytest.skip("not in a checkout")
    monkeypatch.syspath_prepend(str(REPOSITORY / "tools"))


def card_scores():
    """The table of scores on the card: {language: [retrieval, language, masked tokens]}."""
    card = (bundled_checkpoint() / "README.md").read_text(encoding="utf-8")
    table = card.partition("| | retrieval | language | masked tokens | pairs |")[2].partition(
        "\n\n"
    )[0]
    rows = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in table.split("\n")[2:]]
    return {name: [float(cell) if cell else None for cell in cells] for name, *cells, _ in rows}


def test_sentences_find_their_translations_across_scripts():
    right = []
    vectors = {name: embed(texts, normalize=True) for name, texts in TRANSLATIONS.items()}
    for one in vectors.values():
        for other in vectors.values():
            right.append((one @ other.T).argmax(axis=1) == np.arange(4))
    assert np.mean(right) > 0.9


def test_the_card_tells_good_scores_of_every_language():
    scores = card_scores()
    mean = scores.pop("mean")
    assert len(scores) == 28
    assert mean[0] >= 0.90
    assert mean[1] >= 0.97
    for name, (retrieval, language, _) in scores.items():
        assert retrieval is None or retrieval >= LEAST["retrieval"], name
        assert language >= LEAST["language"], name
    assert scores["en"][2] >= 0.35


def test_the_scores_on_the_card_are_reached(shared, tools):
    from tiny_scores import scores

    with gzip.open(shared / "data/corpus/dev.tsv.gz", "rt", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    chosen = [row for row in rows if row[0] in ("de", "tr", "zh")]
    found, told = scores(bundled_checkpoint(), chosen, masked=("tr",)), card_scores()
    for name in ("de", "tr", "zh"):
        assert found["retrieval"][name] == pytest.approx(told[name][0], abs=0.005)
        assert found["language"][name] == pytest.approx(told[name][1], abs=0.005)
    assert found["masked tokens"]["tr"] == pytest.approx(told["tr"][2], abs=0.005)


def test_it_is_small_and_says_where_it_comes_from():
    files = list(bundled_checkpoint().iterdir())
    assert sum(file.stat().st_size for file in files) < 8e6
    card = (bundled_checkpoint() / "README.md").read_text(encoding="utf-8")
    for word in ("MPL-2.0", "train_tiny.py", "P@1", "Limits"):
        assert word in card
