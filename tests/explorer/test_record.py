"""The numbers and the file of the page, without a browser."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from numpy_erniem import Embedder, ErnieMConfig, ErnieMModel, bundled_checkpoint
from numpy_erniem.cli.main import main
from numpy_erniem.explorer import explain
from numpy_erniem.explorer.page import make_page
from numpy_erniem.explorer.record import choose_shown, make_record, nearest_tokens

TEXT, OTHER = "How do I open a file?", "Wie öffne ich eine Datei?"


@pytest.fixture(scope="module")
def embedder():
    return Embedder.from_pretrained()


@pytest.fixture(scope="module")
def record(embedder):
    return make_record(embedder, TEXT, OTHER, 0, 32)


@pytest.fixture(scope="module")
def output(embedder):
    ids = embedder.tokenizer(TEXT, OTHER)["input_ids"]
    return embedder.model([ids], output_hidden_states=True, output_attentions=True)


def probabilities(layer):
    d = layer["q"].shape[2]
    scores = np.einsum("hid,hjd->hij", layer["q"], layer["k"], dtype=np.float64) / np.sqrt(d)
    largest, total = (np.array(layer[name])[:, :, None] for name in ("largest", "sum"))
    return np.exp(scores - largest) / total


def normed(x, norm, eps):
    centred = x - x.mean(axis=1, keepdims=True)
    scaled = centred / np.sqrt(x.var(axis=1, keepdims=True) + eps)
    return scaled * norm["weight"] + norm["bias"]


def test_attention_is_that_of_the_model(record, output):
    for layer, want in zip(record["layers"], output.attentions, strict=True):
        np.testing.assert_allclose(probabilities(layer), want[0], atol=2e-6)


def test_hidden_states_follow_from_the_numbers_beside_them(record, output):
    for n, want in enumerate(output.hidden_states):
        np.testing.assert_array_equal(record["states"][n], want[0])
    e, eps = record["embedding"], record["eps"]
    first = normed(e["words"] + e["positions"], e["norm"], eps)
    np.testing.assert_allclose(first, record["states"][0], atol=2e-5)
    for n, layer in enumerate(record["layers"]):
        middle = normed(layer["attended"] + record["states"][n], layer["norm1"], eps)
        np.testing.assert_allclose(middle, layer["middle"], atol=2e-5)
        after = normed(layer["fed"] + layer["middle"], layer["norm2"], eps)
        np.testing.assert_allclose(after, record["states"][n + 1], atol=2e-5)


def test_tokens_have_their_text_and_characters(record):
    opened = record["tokens"][5]
    assert (opened["piece"], opened["side"]) == ("▁open", 0)
    assert TEXT[slice(*opened["span"])] == "open"
    file = next(t for t in record["tokens"] if t["piece"] == "▁Datei")
    assert file["side"] == 1
    assert OTHER[slice(*file["span"])] == "Datei"


def test_a_window_keeps_the_sums_of_the_whole_row(embedder, output):
    record = make_record(embedder, TEXT, OTHER, 2, 8)
    shown = record["shown"]
    assert len(shown) == 8
    assert (record["total"], record["cut"]) == (output.last_hidden_state.shape[1], 0)
    want = output.attentions[1][0][:, shown][:, :, shown]
    np.testing.assert_allclose(probabilities(record["layers"][1]), want, atol=2e-6)
    assert (probabilities(record["layers"][1]).sum(axis=2) < 1).any()


@pytest.mark.parametrize(
    ("sides", "first", "tokens", "want"),
    [
        ([0] * 5, 0, 3, [0, 1, 2]),
        ([0] * 5, 3, 9, [3, 4]),
        ([0] * 5 + [1] * 5, 0, 4, [0, 1, 5, 6]),
        ([0] * 5 + [1] * 5, 1, 4, [1, 2, 6, 7]),
        ([0] * 2 + [1] * 9, 0, 8, [0, 1, 2, 3, 4, 5, 6, 7]),  # a short text leaves room
        ([0] * 9 + [1] * 2, 4, 8, [4, 5, 6, 7, 8]),
    ],
)
def test_each_text_has_its_share_of_the_tokens_that_are_shown(sides, first, tokens, want):
    assert choose_shown(np.array(sides), first, tokens).tolist() == want


@pytest.mark.parametrize("first", [-1, 5])
def test_a_first_token_that_is_not_there_is_refused(first):
    with pytest.raises(ValueError, match=f"must be 0 to 4, got {first}"):
        choose_shown(np.zeros(5, int), first, 3)


def test_a_row_of_the_table_is_nearest_to_itself(embedder):
    table = embedder.model.get_input_embeddings()
    ids = [500, 9000]  # in different blocks, where the table is cut into blocks of 1 << 14 rows
    found = nearest_tokens(2 * table[ids][None], {"weight": table}, embedder.tokenizer)
    pieces = embedder.tokenizer.convert_ids_to_tokens(ids)
    lengths = np.linalg.norm(table[ids], axis=1)
    for best, piece, length in zip(found[0], pieces, lengths, strict=True):
        assert best[0] == [piece, 1.0, pytest.approx(length, abs=1e-4)]
    scores = [score for _, score, _ in found[0][0]]
    assert scores == sorted(scores, reverse=True)


def test_nearest_tokens_do_not_depend_on_the_blocks(embedder, monkeypatch):
    table = embedder.model.get_input_embeddings()[:50]
    states = np.random.default_rng(0).standard_normal((2, 3, table.shape[1]), np.float32)
    whole = nearest_tokens(states, {"weight": table}, embedder.tokenizer)
    monkeypatch.setattr("numpy_erniem.explorer.record.TABLE_ROWS", 7)
    assert nearest_tokens(states, {"weight": table}, embedder.tokenizer) == whole


def test_texts_that_do_not_fit_are_cut_and_it_is_said(embedder, tmp_path):
    done = explain("open " * 700, out=tmp_path / "page.html", embedder=embedder)
    longest = embedder.model.config.max_length
    assert done["tokens"] == longest
    assert done["cut"] == 702 - longest
    assert len(done["shown"]) == 32


def test_the_second_text_may_begin_with_a_separator(embedder):
    record = make_record(embedder, "[SEP] a", "[SEP] b", 0, 32)
    assert [token["side"] for token in record["tokens"]] == [0, 0, 0, 0, 1, 1, 1, 1]


def test_half_a_character_is_replaced_and_it_is_said(embedder, tmp_path):
    with pytest.warns(UserWarning, match="the text has characters that are not valid Unicode"):
        explain("a \udcff b", out=tmp_path / "page.html", embedder=embedder)
    assert "a \ufffd b" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_model_without_a_pooler_has_a_page(embedder, tmp_path):
    config = ErnieMConfig(
        **{"vocab_size": len(embedder.tokenizer), "hidden_size": 8, "num_attention_heads": 2},
        **{"num_hidden_layers": 1, "intermediate_size": 8},
    )
    model = ErnieMModel(config, add_pooling_layer=False, seed=0)
    small = Embedder(model, embedder.tokenizer)
    assert explain(TEXT, OTHER, out=tmp_path / "page.html", embedder=small)["tokens"] == 23


def test_pruned_heads_are_not_on_the_page(embedder):
    model = ErnieMModel.from_pretrained(bundled_checkpoint())
    model.prune_heads({1: [0, 2]})
    record = make_record(Embedder(model, embedder.tokenizer), TEXT, None, 0, 32)
    assert record["heads"] == [4, 2, 4]


def test_relative_positions_are_refused(embedder):
    config = ErnieMConfig(
        position_embedding_type="relative_key",
        **{"vocab_size": len(embedder.tokenizer), "hidden_size": 8, "num_attention_heads": 2},
        **{"num_hidden_layers": 1, "intermediate_size": 8},
    )
    with pytest.raises(ValueError, match="position_embedding_type is 'relative_key'"):
        make_record(Embedder(ErnieMModel(config), embedder.tokenizer), TEXT, None, 0, 32)


@pytest.mark.parametrize("tokens", [1, 129])
def test_too_few_or_too_many_tokens_are_refused(embedder, tokens):
    with pytest.raises(ValueError, match=f"must be 2 to 128, got {tokens}"):
        make_record(embedder, TEXT, None, 0, tokens)


def test_the_page_loads_nothing(record):
    page = make_page(record)
    assert "default-src 'none'" in page
    assert not re.search(r"(src|href)=\"?[^#\"]|url\(|@import|fetch\(|//[a-z]+\.", page)
    assert not re.search(r"\{\{[A-Z]+\}\}", page)


def test_a_text_cannot_leave_its_place(embedder):
    text = "</script><script>alert(1)</script> <!-- {{STYLE}} \u2028"
    page = make_page(make_record(embedder, text, None, 0, 64))
    assert page.count("</script>") == 2
    assert "<title>" in page
    assert "alert(1)</" not in page
    data = page.split('id="record">')[1].split("</script>")[0]
    assert json.loads(data)["texts"] == [text]


def test_only_arrays_and_plain_values_have_a_place():
    with pytest.raises(TypeError, match="object has no place in a page"):
        make_page({"model": "m", "texts": ["a"], "other": object()})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["", "--out", "page.html"], "empty"),
        (["a", "", "--out", "page.html"], "empty"),
        (["a", "--out", "absent/page.html"], "absent"),
        (["a", "--out", "."], "erniem: "),
        (["\u200b", "--out", "page.html"], "the text has no tokens"),
        (["a", "\u200b", "--out", "page.html"], "the second text has no tokens"),
        (["a", "--out", "page.html", "--first", "99"], "must be 0 to"),
        (["a", "--out", "page.html", "--tokens", "1"], "must be 2 to 128"),
        (["a", "--out", "page.html", "--model", "absent-folder/x/y"], "absent-folder"),
    ],
)
def test_what_cannot_be_shown_ends_with_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["explain", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "page.html").exists()


def test_the_command_writes_the_page_and_says_what_it_shows(tmp_path, capsys):
    out = tmp_path / "page.html"
    assert main(["explain", TEXT, OTHER, "--out", str(out), "--first", "1", "--tokens", "10"]) == 0
    assert capsys.readouterr().out == f"{out} shows 10 of 23 tokens; open it in a browser\n"
    assert "Datei" in out.read_text(encoding="utf-8")


def test_the_command_warns_of_what_was_not_read(tmp_path, capsys):
    assert main(["explain", "open " * 700, "--out", str(tmp_path / "page.html")]) == 0
    error = capsys.readouterr().err
    assert "tokens do not fit into the model" in error
    assert error.count("\n") == 1


def test_the_page_needs_no_matplotlib(tmp_path):
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from numpy_erniem.explorer import explain\n"
        f"explain('a file', out={str(tmp_path / 'page.html')!r})"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("dtype", ["int8", "bfloat16"])
def test_a_record_of_narrow_weights_has_their_numbers(embedder, dtype):
    narrow = Embedder.from_pretrained(dtype=dtype)
    got = make_record(narrow, "Open a file", None, 0, 8)
    want = make_record(embedder, "Open a file", None, 0, 8)
    ids = [token["id"] for token in got["tokens"]]
    words = narrow.model.get_input_embeddings()[ids]
    np.testing.assert_array_equal(got["embedding"]["words"], words)
    np.testing.assert_allclose(got["states"], want["states"], atol=0.3)
    assert got["nearest"][0][1][0][0] == want["nearest"][0][1][0][0]
