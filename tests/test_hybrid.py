"""The outputs of BGE-M3 for texts, and the score that weights them."""

import csv
import json
import pickle
import sys
from dataclasses import replace

import numpy as np
import pytest

from numpy_erniem import (
    Embedder,
    ErnieMConfig,
    ErnieMModel,
    ErnieMTokenizer,
    HybridEmbedder,
    SentenceSettings,
    bundled_checkpoint,
)
from numpy_erniem.checkpoint.hybrid_layers import (
    HYBRID_FILE,
    HybridLayers,
    read_hybrid_layers,
    write_hybrid_layers,
)
from numpy_erniem.checkpoint.safetensors_file import write_safetensors
from numpy_erniem.checkpoint.sentence_settings import DenseLayer, write_sentence_settings
from numpy_erniem.checkpoint.tensors import Tensor
from numpy_erniem.cli.main import main
from numpy_erniem.pipelines.hybrid import token_weights

D, M = 12, 5
TEXTS = ["Open the file, the file", "打开文件", "", "Datei"]
SETTINGS = SentenceSettings(pooling="cls", normalize=True, prompts={"query": "q: "})


def linear_layer(rng, out, activation="linear"):
    weight = rng.standard_normal((out, D)).astype(np.float32)
    return DenseLayer(weight, rng.standard_normal(out).astype(np.float32), activation)


@pytest.fixture(scope="module")
def layers():
    rng = np.random.default_rng(5)
    sparse = replace(linear_layer(rng, 1, "relu"), bias=np.float32([-0.1]))
    return HybridLayers(sparse, linear_layer(rng, M))


@pytest.fixture(scope="module")
def tokenizer():
    return ErnieMTokenizer.from_pretrained(bundled_checkpoint())


@pytest.fixture(scope="module")
def model(tokenizer):
    config = ErnieMConfig(
        vocab_size=len(tokenizer),
        hidden_size=D,
        num_attention_heads=3,
        num_hidden_layers=2,
        intermediate_size=37,
        initializer_range=1.0,
        max_position_embeddings=34,
    )
    return ErnieMModel(config, seed=1)


@pytest.fixture
def hybrid(model, tokenizer, layers):
    return HybridEmbedder(model, tokenizer, SETTINGS, layers)


@pytest.fixture
def folder(model, tokenizer, layers, tmp_path):
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    write_sentence_settings(tmp_path, SETTINGS)
    write_hybrid_layers(tmp_path, layers)
    return tmp_path


def formulas(model, tokenizer, layers, text):
    """The sparse weights and the vectors of one text, in loops."""
    ids = tokenizer(text)["input_ids"]
    hidden = model([ids]).last_hidden_state[0]
    sparse = {}
    for token, h in zip(ids, hidden, strict=True):
        weight = max(0.0, float(layers.sparse.weight[0] @ h + layers.sparse.bias[0]))
        if weight and token not in (0, 1, 2, 3):  # [CLS], [PAD], [SEP], [UNK]
            sparse[token] = max(weight, sparse.get(token, 0.0))
    vectors = hidden[1:] @ layers.multi.weight.T + layers.multi.bias
    return sparse, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def same(got, want, atol=0.0):
    """Check that two results are equal."""
    assert got.keys() == want.keys()
    for name in {"dense", "multi"} & set(got):
        np.testing.assert_allclose(got[name], want[name], rtol=0, atol=atol)
    if "sparse" in got:
        assert got["sparse"] == pytest.approx(want["sparse"], rel=0, abs=atol)


def test_the_outputs_are_those_of_the_formulas(hybrid, model, tokenizer, layers, backend, close):
    dense = Embedder(model, tokenizer, SETTINGS)
    some = 0
    for text, result in zip(TEXTS, hybrid(TEXTS), strict=True):
        sparse, multi = formulas(model, tokenizer, layers, text)
        close(result["dense"], dense(text), "model")
        close(result["multi"], multi, "model")
        assert result["sparse"] == pytest.approx(sparse, abs=2e-5)
        some += len(sparse)
    assert some > 3


def test_special_tokens_have_no_weight(model, tokenizer, layers):
    high = layers._replace(
        sparse=DenseLayer(np.zeros((1, D), np.float32), np.ones(1, np.float32), "relu")
    )
    hybrid = HybridEmbedder(model, tokenizer, SETTINGS, high)
    ids = tokenizer("a 🜲 b", add_special_tokens=False)["input_ids"]
    assert tokenizer.unk_token_id in ids
    want = {token: 1.0 for token in sorted(set(ids) - {tokenizer.unk_token_id})}
    assert hybrid("a 🜲 b")["sparse"] == want
    assert hybrid("")["sparse"] == {}


def test_a_token_has_its_highest_weight():
    ids, weights = np.array([7, 5, 7, 9, 7]), np.float32([1, 2, 4, 0, 3])
    assert token_weights(ids, weights, {5}) == {7: 4.0}


def test_an_empty_text_has_one_vector(hybrid):
    result = hybrid("")
    assert result["dense"].shape == (D,)
    assert result["multi"].shape == (1, M)
    assert result["sparse"] == {}


def test_a_text_has_the_same_result_alone_and_among_others(hybrid, backend):
    atol = 0.0 if backend == "native" else 2e-5  # products of NumPy depend on the number of rows
    for text, result in zip(TEXTS, hybrid(TEXTS, batch_size=3), strict=True):
        same(hybrid(text), result, atol)


def test_a_model_of_somebody_else_is_run_padded(hybrid, model, tokenizer, layers):
    class Foreign:
        config = model.config

        def __call__(self, input_ids, attention_mask):
            output = model(input_ids, attention_mask=attention_mask)
            return {"last_hidden_state": output.last_hidden_state}

    other = HybridEmbedder(Foreign(), tokenizer, SETTINGS, layers)
    for got, want in zip(other(TEXTS), hybrid(TEXTS), strict=True):
        same(got, want, 2e-5)


@pytest.mark.parametrize("outputs", [("dense",), ("sparse",), ["multi", "dense"], {"sparse"}])
def test_only_the_outputs_that_are_asked_for_are_given(outputs, hybrid):
    whole, some = hybrid(TEXTS[0]), hybrid(TEXTS[0], outputs=outputs)
    assert set(some) == set(outputs)
    same({**whole, **some}, whole)


def test_texts_are_streamed(hybrid):
    for got, want in zip(hybrid.stream(iter(TEXTS)), hybrid(TEXTS), strict=True):
        same(got, want)


def test_a_prompt_is_put_before_the_text(hybrid):
    same(hybrid("file", prompt="q: "), hybrid("q: file"))
    same(hybrid("file", prompt_name="query"), hybrid("q: file"))
    same(hybrid.with_options(prompt_name="query")("file", prompt=""), hybrid("file"))


def test_a_long_text_is_cut_refused_or_read_in_windows(hybrid, tokenizer):
    text = " ".join(f"word{n}" for n in range(40))
    with pytest.warns(UserWarning, match="have more than 32 tokens and were cut"):
        cut = hybrid(text)
    assert len(cut["multi"]) == 31
    with pytest.raises(ValueError, match="the 30 that the model has room for"):
        hybrid(text, on_overflow="error")
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    windows = [ids[n : n + 30] for n in range(0, len(ids), 30)]
    whole = hybrid(text, on_overflow="window")
    assert len(whole["multi"]) == sum(len(w) + 1 for w in windows)
    np.testing.assert_allclose(whole["multi"][:31], cut["multi"], rtol=0, atol=1e-5)
    for token, weight in cut["sparse"].items():
        assert whole["sparse"][token] >= weight - 1e-5
    assert set(whole["sparse"]) > set(cut["sparse"])


@pytest.mark.parametrize(
    ("options", "count"), [({}, 1), ({"batch_size": 1}, 4), ({"batch_tokens": 3}, 4)], ids=str
)
def test_one_pass_of_the_model_gives_all_outputs_of_a_batch(
    options, count, hybrid, model, monkeypatch
):
    calls = []
    forward = type(model).forward
    monkeypatch.setattr(type(model), "forward", lambda *a, **k: calls.append(1) or forward(*a, **k))
    hybrid(TEXTS, **options)
    assert len(calls) == count


def test_a_folder_gives_what_was_written(folder, hybrid):
    loaded = HybridEmbedder.from_pretrained(folder)
    same(loaded(TEXTS[0]), hybrid(TEXTS[0]))
    assert loaded.settings == SETTINGS


def test_a_loaded_one_is_pickled_as_its_path(folder):
    loaded = HybridEmbedder.from_pretrained(folder, outputs=("sparse", "dense", "multi"))
    data = pickle.dumps(loaded)
    assert len(data) < 2000
    same(pickle.loads(data)(TEXTS[0]), loaded(TEXTS[0]))


def test_one_that_was_made_is_pickled_whole(hybrid):
    same(pickle.loads(pickle.dumps(hybrid))(TEXTS[0]), hybrid(TEXTS[0]))


BAD = {
    r"'spares' is not an output; did you mean 'sparse'\?": ["spares"],
    r"3 is not an output; known: dense, multi, sparse": [3],
    "outputs 'dense' is not a list of names": "dense",
    r"outputs \(\) is not a list of names": (),
    "outputs 3 is not a list of names": 3,
    "outputs dense, sparse, dense has a name twice": ["dense", "sparse", "dense"],
}


@pytest.mark.parametrize("message", BAD)
def test_wrong_outputs_are_named(message, hybrid):
    with pytest.raises(ValueError, match=message):
        hybrid("a", outputs=BAD[message])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_tokens": 0}, ValueError, "batch_tokens 0"),
        ({"on_overflow": "skip"}, ValueError, "on_overflow 'skip' is not one of"),
        ({"prompt_name": "passage"}, ValueError, "prompt_name 'passage' is not recorded"),
        ({"prompt": "a", "prompt_name": "query"}, ValueError, "are both given"),
        ({"output": ["dense"]}, TypeError, "no option 'output'; did you mean 'outputs'"),
    ],
    ids=str,
)
def test_other_wrong_options_are_named(options, error, message, hybrid):
    with pytest.raises(error, match=message):
        hybrid("a", **options)


def test_a_missing_file_is_named_where_its_output_is_asked_for(folder):
    (folder / HYBRID_FILE).unlink()
    message = rf"{HYBRID_FILE} is missing; convert BAAI/bge-m3 with sparse_linear\.pt beside"
    with pytest.raises(ValueError, match=message):
        HybridEmbedder.from_pretrained(folder)
    with pytest.raises(ValueError, match=r"colbert_linear\.pt .* leave 'multi' out of outputs"):
        HybridEmbedder.from_pretrained(folder, outputs=["dense", "multi"])
    assert HybridEmbedder.from_pretrained(folder, outputs=["dense"])("a")["dense"].shape == (D,)


def test_a_missing_layer_is_named_where_its_output_is_asked_for(folder, layers):
    write_hybrid_layers(folder, HybridLayers(multi=layers.multi))
    with pytest.raises(ValueError, match=rf"{HYBRID_FILE} there has no sparse\.weight; convert"):
        HybridEmbedder.from_pretrained(folder)
    result = HybridEmbedder.from_pretrained(folder, outputs=["multi"])("a")
    assert list(result) == ["multi"]


def test_a_layer_of_another_width_is_named(model, tokenizer, layers):
    wide = DenseLayer(np.ones((1, 7), np.float32), np.ones(1, np.float32), "relu")
    message = r"'sparse' output takes 7 numbers, the model gives .* 12"
    with pytest.raises(ValueError, match=message):
        HybridEmbedder(model, tokenizer, SETTINGS, layers._replace(sparse=wide))("a")


def test_layers_are_read_as_they_were_written(layers, tmp_path, close):
    write_hybrid_layers(tmp_path, layers)
    found = read_hybrid_layers(tmp_path, D)
    assert found.outputs == ["sparse", "multi"]
    for got, want in zip(found, layers, strict=True):
        close(got.weight, want.weight, "exact")
        close(got.bias, want.bias, "exact")
        assert got.activation == want.activation


def test_no_layers_are_no_file(tmp_path):
    write_hybrid_layers(tmp_path, HybridLayers())
    assert not list(tmp_path.iterdir())
    assert read_hybrid_layers(tmp_path) == HybridLayers()


BAD_FILES = {
    "lacks sparse.bias; it has sparse.weight": {"sparse.weight": (1, D)},
    r"sparse.weight has shape \(1, 7\), config.json hidden_size 12": {
        "sparse.weight": (1, 7),
        "sparse.bias": (1,),
    },
    r"sparse.weight has shape \(2, 12\); a sparse output has one number": {
        "sparse.weight": (2, D),
        "sparse.bias": (2,),
    },
    r"multi.weight has shape \(5, 12\) and multi.bias \(4,\)": {
        "multi.weight": (M, D),
        "multi.bias": (4,),
    },
    r"multi.weight has shape \(12,\)": {"multi.weight": (D,), "multi.bias": (1,)},
    "a tensor 'dense.weight'; known are sparse.weight": {"dense.weight": (1, D)},
}


@pytest.mark.parametrize("message", BAD_FILES)
def test_a_file_that_does_not_fit_is_named_with_both_values(message, tmp_path):
    tensors = {n: Tensor("F32", np.ones(s, np.float32)) for n, s in BAD_FILES[message].items()}
    write_safetensors(tmp_path / HYBRID_FILE, tensors)
    with pytest.raises(ValueError, match=rf"{HYBRID_FILE}.*{message}"):
        read_hybrid_layers(tmp_path, D)


def test_a_file_of_integers_is_refused(tmp_path):
    tensors = {n: Tensor.of_array(np.ones((1, D), np.int32)) for n in ("sparse.weight",)}
    write_safetensors(tmp_path / HYBRID_FILE, tensors)
    with pytest.raises(ValueError, match=r"sparse\.weight holds I32, not floats"):
        read_hybrid_layers(tmp_path, D)


A = {
    "dense": np.float32([0.6, 0.8]),
    "sparse": {5: 0.5, 7: 2.0, 9: 1.0},
    "multi": np.float32([[1, 0], [0, 1], [0.6, 0.8]]),
}
B = {
    "dense": np.float32([0, 1]),
    "sparse": {7: 0.25, 9: 3.0, 8: 7.0},
    "multi": np.float32([[0.6, 0.8], [-1, 0]]),
}
DENSE, SPARSE, MULTI = 0.8, 2 * 0.25 + 1 * 3, (0.6 + 0.8 + 1) / 3


def test_the_score_is_the_weighted_mean_of_three():
    want = (DENSE + 0.3 * SPARSE + MULTI) / 2.3
    assert HybridEmbedder.score(A, B) == pytest.approx(want, abs=1e-6)
    assert HybridEmbedder.score(A, B, (1, 0.3, 1)) == HybridEmbedder.score(A, B)


def test_the_score_may_be_the_plain_sum():
    want = DENSE + 0.3 * SPARSE + MULTI
    assert HybridEmbedder.score(A, B, mean=False) == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize(
    ("weights", "want"),
    [
        ((1, 0, 0), DENSE),
        ((0, 2, 0), SPARSE),
        ([0, 0, 0.5], MULTI),
        (np.array([1, 2, 3]), (DENSE + 2 * SPARSE + 3 * MULTI) / 6),
    ],
    ids=str,
)
def test_the_weights_of_the_scores_may_be_chosen(weights, want):
    assert HybridEmbedder.score(A, B, weights) == pytest.approx(want, abs=1e-6)


def test_the_query_comes_first_in_the_score():
    """The mean is over the query's vectors."""
    want = (1.0 + 0.0) / 2  # the best of each of the two vectors of B
    assert HybridEmbedder.score(B, A, (0, 0, 1)) == pytest.approx(want, abs=1e-6)


def test_an_output_of_weight_0_need_not_be_there():
    a, b = {"sparse": A["sparse"]}, {"sparse": B["sparse"]}
    assert HybridEmbedder.score(a, b, (0, 1, 0)) == pytest.approx(SPARSE)


def test_a_long_query_is_compared_in_blocks(rng, monkeypatch):
    from numpy_erniem.pipelines import hybrid_scores

    a, b = ({"multi": rng.standard_normal((n, 3))} for n in (11, 6))
    want = HybridEmbedder.score(a, b, (0, 0, 1))
    monkeypatch.setattr(hybrid_scores, "BLOCK", 4)
    assert HybridEmbedder.score(a, b, (0, 0, 1)) == pytest.approx(want, abs=1e-12)


def test_results_that_were_json_are_scored():
    plain = [
        json.loads(json.dumps({k: getattr(v, "tolist", lambda v=v: v)() for k, v in r.items()}))
        for r in (A, B)
    ]
    assert HybridEmbedder.score(*plain) == pytest.approx(HybridEmbedder.score(A, B), abs=1e-6)


@pytest.mark.parametrize(
    ("a", "options", "error", "message"),
    [
        (A, {"weights": (1, 1)}, ValueError, r"weights \(1, 1\) are not three numbers"),
        (A, {"weights": (1, -1, 1)}, ValueError, "of at least 0, one above 0"),
        (A, {"weights": (0, 0, 0)}, ValueError, "of at least 0, one above 0"),
        (A, {"weights": (1, float("nan"), 1)}, ValueError, "of at least 0, one above 0"),
        (A, {"weights": "abc"}, ValueError, "weights must hold integer or float numbers"),
        ("a text", {}, TypeError, "a is a str; give what HybridEmbedder gives"),
        ({"dense": A["dense"]}, {}, ValueError, "a has no 'sparse' output, only dense; compute it"),
        (A | {"dense": np.ones(3)}, {}, ValueError, r"dense of a has shape \(3,\), of b \(2,\)"),
        (A | {"multi": np.ones((0, 2))}, {}, ValueError, r"multi of a has shape \(0, 2\)"),
        (A | {"multi": np.ones(2)}, {}, ValueError, r"multi of a has shape \(2,\).* 2 axes"),
    ],
    ids=str,
)
def test_what_cannot_be_scored_is_named(a, options, error, message):
    with pytest.raises(error, match=message):
        HybridEmbedder.score(a, B, **options)


@pytest.fixture
def run(folder, capsys):
    """Run `erniem embed` with the folder; returns exit code, stdout, stderr."""

    def call(*arguments):
        code = main(["embed", "--model", str(folder), *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def same_row(row, result):
    """Check a row against the outputs that it holds."""
    assert set(row) - {"text"} == {"vector" if n == "dense" else n for n in result}
    for name in {"dense", "multi"} & set(result):
        got = np.float32(row["vector" if name == "dense" else name])
        np.testing.assert_array_equal(got, result[name])
    if "sparse" in result:
        got = {int(token): np.float32(weight) for token, weight in row["sparse"].items()}
        assert got == {token: np.float32(weight) for token, weight in result["sparse"].items()}


@pytest.mark.parametrize(
    "outputs", ["dense,sparse,multi", "sparse", "multi,dense", "dense"], ids=str
)
def test_the_command_writes_the_outputs_as_json_lines(outputs, run, hybrid):
    code, out, err = run("--outputs", outputs, "--", *TEXTS)
    assert code == 0
    assert "1 of 4 texts have no token" in err
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["text"] for row in rows] == TEXTS
    for row, result in zip(rows, hybrid(TEXTS, outputs=outputs.split(",")), strict=True):
        same_row(row, result)


def test_the_numbers_of_a_row_are_short(run, hybrid):
    _, out, _ = run("--outputs", "sparse", TEXTS[0])
    weights = hybrid(TEXTS[0])["sparse"]
    assert weights
    for weight in weights.values():
        assert f": {np.float32(weight)!s}" in out


def test_options_of_the_command_reach_the_outputs(run, hybrid):
    for flags, options in [
        (["--prompt", "q: "], {"prompt": "q: "}),
        (["--prompt-name", "query"], {"prompt_name": "query"}),
        (["--on-overflow", "window"], {"on_overflow": "window"}),
    ]:
        text = " ".join(f"word{n}" for n in range(40)) if "window" in flags else "file"
        _, out, _ = run("--outputs", "dense,sparse,multi", *flags, "--", text)
        same_row(json.loads(out), hybrid(text, **options))


def test_an_interrupted_run_goes_on_with_the_same_outputs_alone(run, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"text": "a"}\n{"txt": "b"}\n')
    flags = ["--input", tmp_path / "in.jsonl", "--output", tmp_path / "out.jsonl"]
    code, _, err = run("--outputs", "dense,sparse", *flags)
    assert (code, "has no 'text'" in err) == (1, True)
    code, _, err = run("--outputs", "sparse", *flags, "--resume")
    assert (code, "the run to resume had outputs ['dense', 'sparse']" in err) == (2, True)
    code, _, _ = run("--outputs", "dense,sparse", *flags, "--resume")
    assert code == 1
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 1


def test_a_wrong_row_is_written_with_its_error(run, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"text": 3}\n{"text": "b"}\n')
    flags = ["--input", tmp_path / "in.jsonl", "--on-error", "row"]
    _, out, _ = run("--outputs", "dense,sparse", *flags)
    first, second = map(json.loads, out.splitlines())
    assert "error" in first
    assert set(second) == {"text", "vector", "sparse"}


def test_a_csv_holds_the_outputs_as_json(run, hybrid, tmp_path):
    out = tmp_path / "out.csv"
    run("--outputs", "dense,sparse,multi", "--output", out, "--", *TEXTS)
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, result in zip(rows, hybrid(TEXTS), strict=True):
        same_row({k: v if k == "text" else json.loads(v) for k, v in row.items()}, result)


def test_a_parquet_file_holds_weights_as_a_list(run, hybrid, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "out.parquet"
    run("--outputs", "dense,sparse,multi", "--output", out, "--", *TEXTS)
    for row, result in zip(parquet.read_table(out).to_pylist(), hybrid(TEXTS), strict=True):
        row["sparse"] = {pair["token"]: pair["weight"] for pair in row["sparse"]}
        same_row(row, result)


def test_a_terminal_shows_sizes_heavy_tokens_and_scores(run, hybrid, monkeypatch):
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True)
    _, out, _ = run("--outputs", "dense,sparse,multi", "--", *TEXTS[:2])
    a, b = hybrid(TEXTS[:2])
    assert "dense   12 numbers" in out
    assert f"multi   {len(a['multi'])} × 5 numbers" in out
    heaviest = max(a["sparse"], key=a["sparse"].get)
    piece = hybrid.tokenizer.convert_ids_to_tokens(heaviest)
    assert f"sparse  {len(a['sparse'])} tokens: {piece} {a['sparse'][heaviest]:.3f}" in out
    assert "weights dense 1, sparse 0.3, multi 1" in out
    assert f"{hybrid.score(a, b):7.3f}" in out
    _, out, _ = run("--outputs", "dense,multi", "--", *TEXTS[:2])
    assert "weights dense 1, multi 1" in out
    assert f"{hybrid.score(a, b, (1, 0, 1)):7.3f}" in out


BAD_COMMANDS = {
    "'spares' is not an output; did you mean 'sparse'?": ["--outputs", "dense,spares"],
    "'' is not an output": ["--outputs", ""],
    "outputs sparse, sparse has a name twice": ["--outputs", "sparse,sparse"],
    "--pooling changes dense vectors alone": ["--outputs", "sparse", "--pooling", "max"],
    "--layer changes dense vectors alone": ["--outputs", "sparse", "--layer", "0"],
    "--normalize changes dense vectors alone": ["--outputs", "sparse", "--no-normalize"],
    "--dimensions changes dense vectors alone": ["--outputs", "sparse", "--dimensions", "3"],
    "out.npy: an array holds dense vectors alone, not dense, sparse; use .jsonl": [
        *("--outputs", "dense,sparse", "--output", "out.npy")
    ],
    "out.npy: an array holds vectors, and these results have none": [
        *("--outputs", "multi", "--output", "out.npy")
    ],
    "sparse_linear.pt beside its weights": [
        *("--outputs", "sparse", "--model", str(bundled_checkpoint()))
    ],
}


@pytest.mark.parametrize("message", BAD_COMMANDS)
def test_a_wrong_command_is_one_line_and_exit_code_2(message, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*BAD_COMMANDS[message], "--", "a")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
