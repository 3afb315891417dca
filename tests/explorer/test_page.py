"""The page in headless Chromium: clicking through it, by mouse and by keys."""

import re
from importlib import resources

import numpy as np
import pytest

from numpy_erniem import Embedder
from numpy_erniem.explorer import explain
from numpy_erniem.training.pretraining import attention_masks
from numpy_erniem.training.pretraining.masking import Sentences

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

TEXT, OTHER = "How do I open a file? 🙂 Now!", "كيف أفتح ملفًا؟ 打开文件"


@pytest.fixture(scope="module")
def embedder():
    return Embedder.from_pretrained()


@pytest.fixture(scope="module")
def pages(embedder, tmp_path_factory):
    """Paths of a page with two texts, and of one with a long text."""
    folder = tmp_path_factory.mktemp("pages")
    explain(TEXT, OTHER, out=folder / "two.html", embedder=embedder, tokens=40)
    explain("open the file " * 60, out=folder / "one.html", embedder=embedder)
    return {name: (folder / f"{name}.html").as_uri() for name in ("two", "one")}


@pytest.fixture
def page(browser, pages):
    browser.get(pages["two"])
    return browser


@pytest.fixture(scope="module")
def output(embedder):
    ids = embedder.tokenizer(TEXT, OTHER)["input_ids"]
    return embedder.model([ids], output_hidden_states=True, output_attentions=True)


def find(page, css):
    return page.find_element(By.CSS_SELECTOR, css)


def text_of(page, css):
    return find(page, css).get_attribute("textContent")


def choose(page, css, value):
    Select(find(page, css)).select_by_value(str(value))


def cell(page, table, i, j):
    return find(page, f"{table} tbody tr:nth-child({i + 1}) td:nth-of-type({j + 1})")


def last_number(text):
    return float(text.strip().rsplit(" ", 1)[1].replace("−", "-"))


def no_errors(page):
    return [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"]


def test_the_page_starts_without_an_error(page):
    assert no_errors(page) == []
    assert text_of(page, "#model") == "tiny"
    assert text_of(page, "#extent").startswith("All ")


def test_a_chosen_token_is_marked_in_its_text(page, embedder):
    spans = embedder.tokenizer(TEXT, return_offsets_mapping=True)["offset_mapping"]
    for word in ("open", "!"):  # the second stands behind an emoji
        start = TEXT.index(word)
        n = spans.index((start, start + len(word)))
        find(page, f"#tokens li:nth-child({n + 1}) button").click()
        assert text_of(page, "mark") == word
        assert f"characters {start} to" in text_of(page, "#token")
        pressed = page.find_elements(By.CSS_SELECTOR, "#tokens [aria-pressed=true]")
        assert len(pressed) == 1


def test_a_cell_shows_its_formula_with_the_numbers_of_the_model(page, output):
    choose(page, "#layer", 1)
    choose(page, "#head", 2)
    cell(page, "#grid", 3, 6).click()
    want = output.attentions[1][0, 2, 3, 6]
    lines = [p.get_attribute("textContent") for p in page.find_elements(By.CSS_SELECTOR, ".line")]
    assert last_number(lines[1]) == pytest.approx(want, abs=1e-4)
    label = cell(page, "#grid", 3, 6).get_attribute("aria-label")
    assert last_number(label) == pytest.approx(want, abs=1e-3)
    assert len(page.find_elements(By.CSS_SELECTOR, "#formula details tr")) == 2 * (1 + 32)


def test_every_share_of_attention_is_that_of_the_model(page, output):
    got = page.execute_script("return all.map((heads) => heads.map((values) => [...values]))")
    for layer, want in zip(got, output.attentions, strict=True):
        np.testing.assert_allclose(np.array(layer).reshape(want[0].shape), want[0], atol=2e-6)


def test_every_number_of_a_vector_follows_from_its_formula(page, output):
    got = page.execute_script(
        "return [...Array(L + 1).keys()].map((l) => [...Array(D).keys()].map("
        "(n) => numberOf(l, 4, n).at(-1).value))"
    )
    want = np.stack([states[0, 4] for states in output.hidden_states])
    np.testing.assert_allclose(got, want, atol=2e-5)


def test_a_number_shows_its_formula(page, output):
    find(page, "#tokens li:nth-child(5) button").click()
    for layer in (0, 3):
        choose(page, "#state", layer)
        cell(page, "#numbers", 1, 2).click()
        want = output.hidden_states[layer][0, 4, 18]
        line = page.find_elements(By.CSS_SELECTOR, "#number .line")[-1].get_attribute("textContent")
        assert last_number(line) == pytest.approx(want, abs=1e-3)
        assert "Number 18" in text_of(page, "#number h3")


def test_keys_move_in_the_table_and_enter_chooses(page):
    cell(page, "#grid", 0, 0).click()
    keys = [Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT, Keys.ENTER]
    for key in keys:
        page.switch_to.active_element.send_keys(key)
    assert page.switch_to.active_element == cell(page, "#grid", 1, 1)
    assert cell(page, "#grid", 1, 1).get_attribute("aria-selected") == "true"
    assert text_of(page, "#formula h3").startswith("▁Ho attends to ▁Ho")
    inside = page.find_elements(By.CSS_SELECTOR, "#grid [tabindex='0']")
    assert len(inside) == 1  # the table is one stop of the Tab key


def test_attention_between_the_texts_can_be_shown_alone(page, embedder):
    side = [0] * (len(embedder.tokenizer(TEXT)["input_ids"]))
    W = len(embedder.tokenizer(TEXT, OTHER)["input_ids"])
    across = 2 * len(side) * (W - len(side))
    for value, hidden in (("within", across), ("across", W * W - across), ("all", 0)):
        choose(page, "#between", value)
        assert len(page.find_elements(By.CSS_SELECTOR, "#grid td.off")) == hidden


def test_a_picture_and_a_hint_choose_their_head(page):
    find(page, "#overview button[aria-label='Layer 3, head 2']").click()
    assert find(page, "#layer").get_attribute("value") == "2"
    assert find(page, "#head").get_attribute("value") == "1"
    hint = find(page, "#hints button")
    hint.click()
    name = f"Attention of layer {hint.text.split(' ')[1].rstrip(',')}, head {hint.text[-1]}"
    assert find(page, "#grid").get_attribute("aria-label") == name


def test_nearest_tokens_follow_the_token(page, embedder):
    pieces = embedder.tokenizer.tokenize(TEXT)
    find(page, f"#tokens li:nth-child({pieces.index('▁file') + 2}) button").click()
    assert text_of(page, "#nearest tbody tr:first-child td").startswith("▁file")


def test_a_nearest_token_shows_how_its_cosine_is_computed(page, embedder, output):
    pieces = embedder.tokenizer.tokenize(TEXT)
    n = pieces.index("▁file") + 1
    find(page, f"#tokens li:nth-child({n + 1}) button").click()
    cell(page, "#nearest", 2, 0).click()
    vector = output.hidden_states[2][0, n]
    table = embedder.model.weights["embeddings"]["word_embeddings"]["weight"]
    nearest = table[embedder.tokenizer.convert_tokens_to_ids("▁file")]
    lengths = np.linalg.norm(vector), np.linalg.norm(nearest)
    *_, product, own, length, cosine = (
        float(number.replace("−", "-"))
        for number in re.findall(r"[−\d.]+", text_of(page, "#near .line"))
    )
    assert [own, length] == pytest.approx(lengths, abs=1e-3)
    assert [product, cosine] == pytest.approx(
        [vector @ nearest, vector @ nearest / lengths[0] / lengths[1]], abs=5e-3
    )
    find(page, "#tokens li:nth-child(1) button").click()
    assert text_of(page, "#near") == ""  # it was about another token


def test_a_cell_of_the_mask_shows_why(page):
    find(page, "input[value='MMLM']").click()
    for place, words in (
        ((1, 2), "same text. So the first may attend"),
        ((1, 20), "other text. So the first may not attend"),
    ):
        cell(page, "#mask", *place).click()
        assert words in text_of(page, "#why")
    find(page, "input[value='TLM']").click()
    assert text_of(page, "#why") == ""


@pytest.mark.parametrize("seed", range(3))
def test_masks_are_those_of_pretraining(page, embedder, seed):
    W = len(embedder.tokenizer(TEXT, OTHER)["input_ids"])
    first = len(embedder.tokenizer(TEXT)["input_ids"])
    side = (np.arange(W) >= first).astype(int)[None]
    masked = np.random.default_rng(seed).random((1, W)) < 0.3
    sentences = Sentences(ids=side, side=side, placeholder=side, word=side == side)
    wants = {
        "MMLM": attention_masks.own_sentence_mask(sentences),
        "TLM": attention_masks.both_sentences_mask(sentences),
        "CAMLM": attention_masks.other_sentence_mask(sentences, masked),
        "BTMLM, step 1": attention_masks.other_sentence_mask(sentences, masked),
        "BTMLM, step 2": attention_masks.both_sentences_mask(sentences),
    }
    for objective, want in wants.items():
        got = page.execute_script(
            "const [name, masked] = arguments;"
            "return tokens.map((_, i) => tokens.map((_, j) => mayAttend(name, masked, i, j)))",
            *(objective, masked[0].tolist()),
        )
        np.testing.assert_array_equal(np.array(got), want[0])


def test_choosing_an_objective_and_a_masked_token_changes_the_mask(page):
    def seen():
        return len(page.find_elements(By.CSS_SELECTOR, "#mask td.seen"))

    find(page, "input[value='CAMLM']").click()
    assert "must be guessed from the translation" in text_of(page, "#rule")
    before = seen()
    button = find(page, "#masked button:not([disabled])[aria-pressed=false]")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert seen() != before
    find(page, "input[value='TLM']").click()
    assert seen() == len(page.find_elements(By.CSS_SELECTOR, "#mask td"))
    assert find(page, "#masked button").get_attribute("disabled") is not None  # [CLS]


def test_the_similarity_is_that_of_the_embedder(page, embedder):
    want = embedder.similarity(*(embedder([text]) for text in (TEXT, OTHER)))[0][0]
    assert last_number(text_of(page, "#cosine .line")) == pytest.approx(want, abs=1e-4)


def test_a_long_text_says_what_is_not_shown(browser, pages, embedder):
    browser.get(pages["one"])
    assert text_of(browser, "#extent").startswith("32 of 182 tokens are shown")
    cell(browser, "#grid", 1, 1).click()
    assert "Tokens that are not on this page get" in text_of(browser, "#formula")
    assert not find(browser, "#similarity").is_displayed()
    assert not find(browser, "#between-label").is_displayed()
    assert len(browser.find_elements(By.CSS_SELECTOR, "#objectives input")) == 1
    assert "need two texts" in text_of(browser, "#objectives")
    assert no_errors(browser) == []


def test_each_text_runs_in_its_own_direction(page):
    paragraphs = page.find_elements(By.CSS_SELECTOR, "#texts p")
    directions = [
        page.execute_script("return getComputedStyle(arguments[0]).direction", p)
        for p in paragraphs
    ]
    assert directions == ["ltr", "rtl"]


def test_a_narrow_screen_has_no_sideways_scrolling(page):
    page.set_window_size(500, 900)
    try:
        width = page.execute_script("return document.documentElement.scrollWidth - innerWidth")
        assert width <= 0
    finally:
        page.set_window_size(1300, 1000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(page, pages, scheme):
    pytest.importorskip("axe_playwright_python", reason="axe is not installed")
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    page.get(pages["two"])
    cell(page, "#grid", 1, 2).click()
    cell(page, "#numbers", 1, 2).click()
    cell(page, "#nearest", 1, 2).click()
    cell(page, "#mask", 1, 2).click()
    for summary in page.find_elements(By.CSS_SELECTOR, "summary"):
        summary.click()
    axe = resources.files("axe_playwright_python") / "axe.min.js"
    page.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})
    page.execute_script(axe.read_text(encoding="utf-8"))
    found = page.execute_async_script("axe.run().then(arguments[0])")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert [(v["id"], [n["html"] for n in v["nodes"]][:3]) for v in found["violations"]] == []
