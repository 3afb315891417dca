"""BGE-M3's sparse_linear.pt and colbert_linear.pt: converted, shown, and the numbers of torch."""

import json
from dataclasses import replace

import numpy as np
import pytest

from numpy_erniem import Embedder, HybridEmbedder, convert
from numpy_erniem.checkpoint.hub import needed_files
from numpy_erniem.checkpoint.hybrid_layers import (
    HYBRID_FILE,
    read_hybrid_layers,
    write_hybrid_layers,
)
from numpy_erniem.checkpoint.sentence_settings import SentenceSettings, read_sentence_settings
from numpy_erniem.cli.main import main
from tests.convert.pickles import (
    dict_of,
    name,
    number,
    storage,
    tensor,
    tuple_of,
    write_legacy,
    write_zip,
)
from tests.convert.test_sentence import sentence_folder

D, M = 12, 5
TEXTS = ["Open the file, the file", "打开文件 now please", "", "Datei"]


@pytest.fixture
def source(family_source):
    """A small XLM-R with both files of BGE-M3 beside it, made without torch."""
    write_linear(family_source / "sparse_linear.pt", 1)
    write_linear(family_source / "colbert_linear.pt", M)
    return family_source


def write_linear(path, out, width=D, write=write_zip, bias=None):
    """A Linear module as torch.save writes its state; all in one storage, the bias last."""
    count = out * width + (out if bias is None else bias)
    where = storage(count=count)
    body = dict_of(
        weight=tensor((out, width), (width, 1), 0, where),
        bias=tensor((count - out * width,), (1,), out * width, where),
    )
    values = np.random.default_rng(out).standard_normal(count).astype("<f4")
    write(path, body, data=values.tobytes())
    return values[: out * width].reshape(out, width), values[out * width :]


@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_both_layers_are_converted(write, source, tmp_path, close):
    want = {
        "sparse": write_linear(source / "sparse_linear.pt", 1, write=write),
        "multi": write_linear(source / "colbert_linear.pt", M, write=write),
    }
    report = convert(source, tmp_path / "out")
    layers = read_hybrid_layers(tmp_path / "out", D)
    for output, (weight, bias) in want.items():
        close(getattr(layers, output).weight, weight, "exact")
        close(getattr(layers, output).bias, bias, "exact")
    line = f"made {HYBRID_FILE}: sparse from sparse_linear.pt, multi from colbert_linear.pt"
    assert line in str(report)


def test_a_converted_folder_is_converted_with_its_layers(source, tmp_path, close):
    convert(source, tmp_path / "out")
    convert(tmp_path / "out", tmp_path / "again", dtype="float16")
    for got, want in zip(
        read_hybrid_layers(tmp_path / "again"), read_hybrid_layers(tmp_path / "out"), strict=True
    ):
        close(got.weight, want.weight, "exact")


def test_other_models_get_no_such_file(family_source, tmp_path):
    report = convert(family_source, tmp_path / "out")
    assert not (tmp_path / "out" / HYBRID_FILE).exists()
    assert HYBRID_FILE not in str(report)


def test_what_is_recorded_about_the_dense_vector_is_kept(source, tmp_path):
    sentence_folder(source, pooling=("mean",))
    convert(source, tmp_path / "out")
    assert read_sentence_settings(tmp_path / "out").pooling == "mean"


def test_the_dense_vector_is_that_of_cls_where_nothing_is_recorded(source, tmp_path):
    report = convert(source, tmp_path / "out")
    want = SentenceSettings(pooling="cls", normalize=True)
    assert read_sentence_settings(tmp_path / "out") == want
    assert "pooling 'cls', normalize True, as BGE-M3's library does" in str(report)


@pytest.mark.parametrize(
    ("missing", "there", "output"),
    [
        ("sparse_linear.pt", "colbert_linear.pt", "sparse"),
        ("colbert_linear.pt", "sparse_linear.pt", "multi"),
    ],
)
def test_a_missing_file_is_noted_and_named_when_its_output_is_asked_for(
    missing, there, output, source, tmp_path
):
    (source / missing).unlink()
    report = convert(source, tmp_path / "out")
    assert f"{missing} is missing beside {there}: there will be no {output} output" in str(report)
    with pytest.raises(ValueError, match=f"no '{output}' output.* with {missing} beside"):
        HybridEmbedder.from_pretrained(tmp_path / "out")


BAD = {
    r"sparse_linear\.pt: weight has shape \(1, 7\), config\.json hidden_size 12": {"width": 7},
    r"sparse_linear\.pt: weight has shape \(3, 12\); a sparse output has one number": {"out": 3},
    r"sparse_linear\.pt: weight has shape \(1, 12\) and bias \(4,\)": {"bias": 4},
}


@pytest.mark.parametrize("message", BAD)
def test_a_file_that_does_not_fit_is_named_with_both_values(message, source, tmp_path):
    write_linear(source / "sparse_linear.pt", **{"out": 1, **BAD[message]})
    with pytest.raises(ValueError, match=message) as caught:
        convert(source, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


BAD_PICKLES = {
    "lacks bias; it has weight": dict_of(weight=tensor((1, 12), (12, 1))),
    "has a tensor 'gate'; known are weight and bias": dict_of(gate=tensor((1, 12), (12, 1))),
    "weight holds I32, not floats": dict_of(
        weight=tensor((1, 12), (12, 1), 0, storage("IntStorage"))
    ),
    "posix.system, not a tensor: it would run code": dict_of(weight=name("posix", "system")),
    "holds a tuple, not a dict of tensors": tuple_of(number(1)),
}


@pytest.mark.parametrize("message", BAD_PICKLES)
def test_a_file_that_is_no_linear_layer_is_refused(message, source, tmp_path):
    write_zip(source / "colbert_linear.pt", BAD_PICKLES[message])
    with pytest.raises(ValueError, match=rf"colbert_linear\.pt.*{message}"):
        convert(source, tmp_path / "out")


def test_nan_in_a_layer_is_told(source, tmp_path):
    convert(source, tmp_path / "out")
    layers = read_hybrid_layers(tmp_path / "out", D)
    weight = layers.sparse.weight.copy()
    weight[0, 3] = np.nan
    write_hybrid_layers(
        tmp_path / "out", layers._replace(sparse=replace(layers.sparse, weight=weight))
    )
    with pytest.warns(
        UserWarning, match=r"hybrid_emb.*: NaN or infinite weights in sparse\.weight"
    ):
        read_hybrid_layers(tmp_path / "out", D)


def test_a_link_out_of_the_folder_is_refused(source, tmp_path):
    (source / "sparse_linear.pt").rename(tmp_path / "elsewhere.pt")
    (source / "sparse_linear.pt").symlink_to(tmp_path / "elsewhere.pt")
    with pytest.raises(ValueError, match="a link that leads out of its folder"):
        convert(source, tmp_path / "out")


def test_a_link_to_a_file_that_is_missing_is_named(source, tmp_path):
    (source / "sparse_linear.pt").rename(source / "moved.pt")
    (source / "sparse_linear.pt").symlink_to("gone.pt")
    with pytest.raises(FileNotFoundError, match=r"sparse_linear\.pt"):
        convert(source, tmp_path / "out")


def test_a_pointer_of_git_lfs_is_named(source, tmp_path):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 2100674\n"
    (source / "colbert_linear.pt").write_text(pointer)
    with pytest.raises(ValueError, match=r"colbert_linear\.pt is a Git LFS pointer"):
        convert(source, tmp_path / "out")


def test_both_files_are_downloaded_for_a_conversion():
    files = ["config.json", "sparse_linear.pt", "colbert_linear.pt", HYBRID_FILE, "other.pt"]
    assert set(needed_files(files, family=True)) == set(files) - {"other.pt"}
    assert needed_files(files) == ["config.json", HYBRID_FILE]


def test_info_shows_the_outputs(source, tmp_path, capsys):
    convert(source, tmp_path / "out")
    assert main(["info", str(tmp_path / "out")]) == 0
    line = "outputs:       dense, sparse, multi (5 numbers for each token)\n"
    assert line in capsys.readouterr().out
    main(["info", str(tmp_path / "out"), "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert facts["outputs"] == ["dense", "sparse", "multi"]
    assert facts["multi_size"] == M
    (tmp_path / "out" / HYBRID_FILE).unlink()
    main(["info", str(tmp_path / "out")])
    assert "outputs:" not in capsys.readouterr().out


def their_model(torch, transformers, folder, positions, layers=2, heads=3):
    """A random XLM-R with its tokenizer and both linear layers, saved as BGE-M3's library does."""
    from sentencepiece import SentencePieceProcessor

    from numpy_erniem import bundled_checkpoint

    pieces = bundled_checkpoint() / "sentencepiece.bpe.model"
    tokenizer = transformers.XLMRobertaTokenizer(str(pieces), model_max_length=positions - 2)
    torch.manual_seed(3)
    config = transformers.XLMRobertaConfig(
        vocab_size=SentencePieceProcessor(model_file=str(pieces)).get_piece_size() + 2,
        hidden_size=D,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=37,
        max_position_embeddings=positions,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
    model = transformers.XLMRobertaModel(config).eval()
    sparse, colbert = torch.nn.Linear(D, 1), torch.nn.Linear(D, M)
    for module in (model, sparse, colbert):
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, 0, 0.3)
    torch.nn.init.normal_(sparse.weight, 0, 3)  # weights of 0 and others
    torch.nn.init.constant_(sparse.bias, 0.6)
    model.save_pretrained(folder)
    tokenizer.save_vocabulary(str(folder))
    sentence_folder(folder, pooling=("cls",))
    length = json.dumps({"max_seq_length": positions - 2})
    (folder / "sentence_bert_config.json").write_text(length)
    return model, tokenizer, sparse, colbert


def reference(torch, theirs, texts):
    """The three outputs of a padded batch, by the formulas of BGE-M3."""
    model, tokenizer, sparse, colbert = theirs
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**batch).last_hidden_state
        dense = torch.nn.functional.normalize(hidden[:, 0], dim=-1)
        weights = torch.relu(sparse(hidden))[:, :, 0]
        vectors = torch.nn.functional.normalize(colbert(hidden[:, 1:]), dim=-1)
    unused = {tokenizer.cls_token_id, tokenizer.eos_token_id}
    unused |= {tokenizer.pad_token_id, tokenizer.unk_token_id}
    for t, mask in enumerate(batch["attention_mask"]):
        by_token = {}
        for token, weight in zip(batch["input_ids"][t].tolist(), weights[t].tolist(), strict=True):
            if token not in unused and weight > by_token.get(token, 0):
                by_token[token] = weight
        yield dense[t].numpy(), by_token, vectors[t, : int(mask.sum()) - 1].numpy()


def check(result, want):
    dense, sparse, multi = want
    np.testing.assert_allclose(result["dense"], dense, rtol=0, atol=2e-5)
    np.testing.assert_allclose(result["multi"], multi, rtol=0, atol=2e-5)
    for token in {*sparse, *result["sparse"]}:
        assert result["sparse"].get(token, 0) == pytest.approx(sparse.get(token, 0), abs=2e-5)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_the_outputs_are_torchs(zipped, dtype, torch, transformers, tmp_path, backend):
    source = tmp_path / "source"
    theirs = their_model(torch, transformers, source, 34)
    weights = [w for _, sparse, _ in reference(torch, theirs, TEXTS) for w in sparse.values()]
    with torch.no_grad():  # about half of the tokens lose their weight
        theirs[2].bias -= float(np.median(weights))
    for linear, file in zip(theirs[2:], ("sparse_linear.pt", "colbert_linear.pt"), strict=True):
        linear.to(getattr(torch, dtype))
        torch.save(linear.state_dict(), source / file, _use_new_zipfile_serialization=zipped)
        linear.float()
    convert(source, tmp_path / "out")
    hybrid = HybridEmbedder.from_pretrained(tmp_path / "out")
    want = list(reference(torch, theirs, TEXTS))
    results = hybrid(TEXTS)
    for n, text in enumerate(TEXTS):
        check(results[n], want[n])
        check(hybrid(text), want[n])
    tokens = len({*theirs[1](" ".join(TEXTS))["input_ids"]}) - 2
    assert 3 < sum(len(sparse) for _, sparse, _ in want) < tokens
    dense, sparse, multi = zip(*want, strict=True)
    by_hand = (
        dense[0] @ dense[1]
        + 0.3 * sum(w * sparse[1].get(token, 0) for token, w in sparse[0].items())
        + (multi[0] @ multi[1].T).max(1).mean()
    )
    assert hybrid.score(*results[:2], mean=False) == pytest.approx(by_hand, abs=2e-5)
    assert hybrid.score(*results[:2]) == pytest.approx(by_hand / 2.3, abs=2e-5)
    embedder = Embedder.from_pretrained(tmp_path / "out")
    np.testing.assert_allclose(embedder(TEXTS), [r["dense"] for r in results], rtol=0, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*have more than 8192 tokens:UserWarning")
def test_a_text_of_8192_tokens_is_read_in_one_pass(torch, transformers, tmp_path):
    source = tmp_path / "source"
    theirs = their_model(torch, transformers, source, 8194, layers=1, heads=1)
    torch.save(theirs[2].state_dict(), source / "sparse_linear.pt")
    torch.save(theirs[3].state_dict(), source / "colbert_linear.pt")
    convert(source, tmp_path / "out")
    hybrid = HybridEmbedder.from_pretrained(tmp_path / "out")
    text = " ".join(f"file {n}" for n in range(4000))
    result = hybrid(text)
    assert result["multi"].shape == (8191, M)
    (want,) = reference(torch, theirs, [text])
    check(result, want)
