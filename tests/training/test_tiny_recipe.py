"""How the bundled checkpoint is trained: what is drawn, and that two runs end in the same bits."""

from dataclasses import replace

import numpy as np
import pytest

from numpy_erniem import ErnieMTokenizer, bundled_checkpoint
from numpy_erniem.training.finetuning.contrastive import contrastive_loss, find_duplicates
from numpy_erniem.training.pretraining import Corpus
from tests.conftest import REPOSITORY

SENTENCES = {
    "en": [
        "Open the file.",
        "Close the window.",
        "Print a page.",
        "Save it now.",
        "Copy the text.",
    ],
    "de": [
        "Datei öffnen.",
        "Fenster schließen.",
        "Seite drucken.",
        "Jetzt speichern.",
        "Kopieren.",
    ],
    "fr": ["Ouvrir.", "Fermer la fenêtre.", "Imprimer.", "Enregistrer.", "Copier le texte."],
}


@pytest.fixture
def recipe_module(monkeypatch):
    if not (REPOSITORY / "tools").is_dir():
        pytest.skip("not in a checkout")
    monkeypatch.syspath_prepend(str(REPOSITORY / "tools"))
    import tiny_training

    return tiny_training


@pytest.fixture
def work(tmp_path):
    """A folder with texts and a tokenizer, as the recipe leaves it before training."""
    names = ("de", "fr")
    rows = [
        f"{name}\t{english}\t{text}\n"
        for name in names
        for english, text in zip(SENTENCES["en"], SENTENCES[name], strict=True)
    ]
    (tmp_path / "parallel.tsv").write_text("".join(rows), encoding="utf-8")
    mono = [f"{name}\t{text}\n" for name, texts in SENTENCES.items() for text in texts]
    (tmp_path / "mono.tsv").write_text("".join(mono), encoding="utf-8")
    ErnieMTokenizer.from_pretrained(bundled_checkpoint()).save_pretrained(tmp_path / "tokenizer")
    return tmp_path


def small(module, steps=12):
    recipe = module.Recipe()
    phases = tuple(replace(phase, steps=steps // 2) for phase in recipe.phases)
    return replace(recipe, phases=phases, batch_size=4, retrieve_batch_size=2, threads=1)


def weights_of(folder):
    return (folder / "model.safetensors").read_bytes()


def test_two_runs_end_in_the_same_bits_and_a_third_with_another_seed_does_not(
    recipe_module, work, same_bits
):
    tokenizer = ErnieMTokenizer.from_pretrained(work / "tokenizer")
    ends = []
    for change in ({}, {"threads": 2}, {"seed": 7}):
        recipe = replace(small(recipe_module), **change)
        out = recipe_module.train(work, tokenizer, recipe, lambda line: None)
        ends.append(weights_of(out))
        out.rename(work / f"run{len(ends)}")
    assert ends[0] == ends[1]
    assert ends[0] != ends[2]


def test_every_objective_is_drawn_and_trains_its_head(recipe_module, work):
    tokenizer = ErnieMTokenizer.from_pretrained(work / "tokenizer")
    recipe = small(recipe_module, 60)
    names = [f"{name}.tsv" for name in ("parallel", "mono")]
    corpora = recipe_module.read_corpora(*(work / name for name in names), tokenizer, 40)
    joint = recipe_module.JointTraining(*corpora, tokenizer, recipe)
    model, drawn = recipe_module.new_model(tokenizer, recipe), {}
    for step in range(recipe.steps):
        rng = np.random.default_rng([1, step])
        name = joint.objective(step, np.random.default_rng([1, step]))
        if name not in drawn:
            loss, gradients = joint.loss_and_grad(model, step, rng)
            drawn[name] = set(gradients) - {"ernie_m"}
            assert np.isfinite(loss)
    lm = {"lm_head"}
    assert drawn.pop("retrieve") == set()
    assert drawn.pop("language") == {"classifier"}
    assert drawn == {"mmlm": lm, "tlm": lm, "camlm": lm}


def test_small_languages_are_repeated(recipe_module):
    languages = ["de"] * 90 + ["he"] * 10
    even = recipe_module.repeated(languages, 0)
    assert (even < 90).sum() == (even >= 90).sum() == 50
    assert set(recipe_module.repeated(languages, 1).tolist()) == set(range(100))
    shared = recipe_module.repeated(languages, 0.5, {"de": 0.2})
    assert (shared < 90).sum() == 20


def test_the_vocabulary_sees_small_languages_more_often(recipe_module, tmp_path):
    import tiny_corpus

    rows = ["en\tabcd\n"] * 64 + ["he\tשלום\n"] * 4
    (tmp_path / "mono.tsv").write_text("".join(rows), encoding="utf-8")
    texts = list(tiny_corpus.vocabulary_texts(tmp_path))
    assert texts.count("abcd") == 64
    assert texts.count("שלום") == 4 * 4  # 16 characters count as 64: √(16 · 256)


def test_the_precision_of_the_recipe_is_that_of_every_objective(recipe_module, work):
    tokenizer = ErnieMTokenizer.from_pretrained(work / "tokenizer")
    names = (work / "parallel.tsv", work / "mono.tsv")
    corpora, losses = recipe_module.read_corpora(*names, tokenizer, 40), {}
    for precision in ("bfloat16", "float32"):
        recipe = replace(small(recipe_module, 60), precision=precision)
        joint = recipe_module.JointTraining(*corpora, tokenizer, recipe)
        model = recipe_module.new_model(tokenizer, recipe)
        for step in range(recipe.steps):
            loss, _ = joint.loss_and_grad(model, step, np.random.default_rng([1, step]))
            name = joint.objective(step, np.random.default_rng([1, step]))
            losses.setdefault(name, {}).setdefault(precision, loss)
    for loss in losses.values():
        assert loss["bfloat16"] != loss["float32"]
        assert loss["bfloat16"] == pytest.approx(loss["float32"], rel=0.05)


def test_translations_of_a_sentence_are_grouped(recipe_module):
    pairs = Corpus([([1], [2]), ([1], [3]), ([1], [4]), ([5], [6])], [("en", "de")] * 4)
    groups = recipe_module.translations_together(pairs, np.arange(4), 2, seed=1)
    assert [len(group) for group in groups] == [2, 2, 2]
    for group in groups:
        assert len({tuple(pairs.sentences[n][0]) for n in group}) == 1
    assert {int(n) for group in groups for n in group} == {0, 1, 2, 3}


def test_sources_that_are_encoded_once_have_the_loss_of_all_pairs(recipe_module, rng):
    sources, targets = [[0, 5, 2], [0, 6, 7, 2]], [[0, 8, 2], [0, 9, 2], [0, 3, 2], [0, 4, 9, 2]]
    of = np.array([0, 0, 1, 1])
    lengths = np.array([len(row) for row in (*sources, *targets)])
    real = np.arange(4) < lengths[:, None]  # (6, 4)
    x = rng.standard_normal((6, 4, 5))
    head = recipe_module.shared_sources_head(sources, targets, of, 0.1)
    starts = np.cumsum([0, *lengths])
    loss, dx, _ = head(x[real][None], {}, None, {"starts": starts}, None, 1)
    rows = [*(sources[n] for n in of), *targets]
    both = np.concatenate([of, [2, 3, 4, 5]])
    same = find_duplicates(rows[:4], targets)
    want, dboth = contrastive_loss(x[both], real[both], 0.1, same)
    summed = np.zeros_like(x)
    np.add.at(summed, both, dboth)
    assert loss == pytest.approx(want)
    np.testing.assert_allclose(dx[0], summed[real], atol=1e-12)


def test_a_few_words_begin_at_a_word(recipe_module, work):
    tokenizer = ErnieMTokenizer.from_pretrained(work / "tokenizer")
    joint = object.__new__(recipe_module.JointTraining)
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    joint.starts_word = np.array([token.startswith("▁") for token in tokens])
    text = "Click the button to open the selected file in another window of the program now"
    ids = np.array(tokenizer(text, add_special_tokens=False)["input_ids"])
    for seed in range(40):
        part = tokenizer.decode(joint.some_words(ids, np.random.default_rng(seed)).tolist())
        assert 3 <= len(part.split()) <= 8
        assert f" {part} " in f" {text} "
