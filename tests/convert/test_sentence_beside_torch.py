"""Sentence vectors beside a small reference in torch, by the rules of sentence-transformers."""

import itertools
import json

import numpy as np
import pytest

from numpy_erniem import convert
from numpy_erniem.checkpoint.sentence_settings import read_sentence_settings
from numpy_erniem.pipelines.embed import Embedder
from tests.convert.test_sentence import MODES, sentence_folder, write_dense

TEXTS = ["Open the file", "Datei", "", "打开文件 now please"]
POOLINGS = [*((mode,) for mode in MODES), ("cls", "mean"), ("max", "weightedmean", "lasttoken")]
LAYERS = ((), ("Normalize",), ("Dense",), ("Dense", "Normalize"), ("Normalize", "Dense", "Dense"))
PROMPTS = {"query": "query: ", "none": ""}
ACTIVATIONS = {3: "torch.nn.modules.activation.GELU", 4: "torch.nn.modules.linear.Identity"}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory, transformers, torch):
    """A folder of the library's own model and tokenizer, and both of them."""
    from sentencepiece import SentencePieceProcessor

    from numpy_erniem import bundled_checkpoint

    folder = tmp_path_factory.mktemp("theirs")
    pieces = bundled_checkpoint() / "sentencepiece.bpe.model"
    tokenizer = transformers.XLMRobertaTokenizer(str(pieces), model_max_length=30)
    torch.manual_seed(0)
    config = transformers.XLMRobertaConfig(
        vocab_size=SentencePieceProcessor(model_file=str(pieces)).get_piece_size() + 2,
        hidden_size=12,
        num_hidden_layers=1,
        num_attention_heads=3,
        intermediate_size=37,
        max_position_embeddings=34,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
    model = transformers.XLMRobertaModel(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3)
    model.save_pretrained(folder)
    tokenizer.save_vocabulary(str(folder))
    return folder, model, tokenizer


def reference(torch, theirs, texts, prompt, poolings, include_prompt, modules):
    """Vectors of a padded batch: the encoder, pooling over a mask, then the other modules."""
    _, model, tokenizer = theirs
    batch = tokenizer([(prompt or "") + text for text in texts], padding=True, return_tensors="pt")
    mask = batch["attention_mask"].clone()
    with torch.no_grad():
        hidden = model(**batch).last_hidden_state
    real = mask.sum(1)
    if prompt and not include_prompt:
        mask[:, : len(tokenizer(prompt.strip())["input_ids"]) - 1] = 0
    weights = mask[:, :, None].float()
    positions = torch.arange(1, mask.shape[1] + 1)[None, :, None] * weights
    count = weights.sum(1)
    vectors = {
        "cls": hidden[:, 0],
        "max": hidden.masked_fill(weights == 0, -1e9).max(1)[0],
        "mean": (hidden * weights).sum(1) / count,
        "mean_sqrt_len": (hidden * weights).sum(1) / count.sqrt(),
        "weightedmean": (hidden * positions).sum(1) / positions.sum(1),
        "lasttoken": hidden[torch.arange(len(texts)), real - 1],
    }
    vector = torch.cat([vectors[mode] for mode in poolings], 1)
    for module in modules:
        if module is None:
            vector = torch.nn.functional.normalize(vector, p=2, dim=1)
        else:
            weight, bias, activation = module
            vector = activation(torch.nn.functional.linear(vector, weight, bias))
    return vector.numpy()


@pytest.fixture(scope="module")
def ours(theirs, tmp_path_factory):
    """The same model and tokenizer, converted; their loading takes longer than a test."""
    folder, *_ = theirs
    out = tmp_path_factory.mktemp("ours") / "out"
    convert(folder, out)
    with pytest.warns(UserWarning, match="the mean of the token vectors is a guess"):
        return Embedder.from_pretrained(out)


@pytest.mark.parametrize("layers", LAYERS, ids="-".join)
@pytest.mark.parametrize("poolings", POOLINGS, ids="+".join)
def test_vectors_are_those_of_sentence_transformers(
    poolings, layers, theirs, ours, torch, tmp_path, rng
):
    whole = (poolings, layers) == (("cls", "mean"), LAYERS[-1])  # once is enough, for its time
    folder, *_ = theirs
    source = tmp_path / "source"
    source.mkdir()
    for file in folder.iterdir():
        (source / file.name).hardlink_to(file)
    kinds = ("Transformer", "Pooling", *layers)
    modules, width = [], 12 * len(poolings)
    activations = {3: torch.nn.GELU(), 4: torch.nn.Identity()}
    for n, kind in enumerate(kinds[2:], 2):
        if kind == "Normalize":
            modules.append(None)
            continue
        dotted = ACTIVATIONS.get(n, "torch.nn.modules.activation.Tanh")
        pair = write_dense(source / f"{n}_Dense", rng, (7 + n, width), dotted, bias=n != 4)
        pair = map(torch.from_numpy, pair)
        modules.append((*pair, activations.get(n, torch.nn.Tanh())))
        width = 7 + n
    for include in (True, False):
        sentence_folder(source, PROMPTS, poolings, kinds=kinds, keys={"include_prompt": include})
        (source / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": None}))
        out = tmp_path / f"out{include}"
        convert(source, out, tokenizer=whole)
        settings = read_sentence_settings(out)
        embedder = Embedder(ours.model, ours.tokenizer, settings)
        if whole:
            embedder = Embedder.from_pretrained(out)
        assert embedder.width == width
        for name, batch in itertools.product(PROMPTS, (1, 4)):
            got = embedder(TEXTS, prompt_name=name, batch_size=batch)
            want = reference(torch, theirs, TEXTS, PROMPTS[name], poolings, include, modules)
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-6, err_msg=f"{include} {name}")
