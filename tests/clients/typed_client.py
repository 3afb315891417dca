"""A program of somebody who uses the package and checks types: every public name, as documented.

`test_typed_client.py` runs mypy and pyright on it, and then the program itself.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import numpy_erniem as erniem
from numpy_erniem import (
    AddedToken,
    BaseModelOutput,
    BatchEncoding,
    ChoiceRanker,
    Embedder,
    ErnieMConfig,
    ErnieMForInformationExtraction,
    ErnieMForMaskedLM,
    ErnieMForMultipleChoice,
    ErnieMForQuestionAnswering,
    ErnieMForSequenceClassification,
    ErnieMForTokenClassification,
    ErnieMModel,
    ErnieMPreTrainedModel,
    ErnieMTokenizer,
    HybridEmbedder,
    InformationExtractionModelOutput,
    InformationExtractor,
    MaskedLMOutput,
    MaskFiller,
    ModelOutput,
    MultipleChoiceModelOutput,
    QuestionAnswerer,
    QuestionAnsweringModelOutput,
    Reranker,
    SearchIndex,
    SentenceSettings,
    SequenceClassifierOutput,
    TextClassifier,
    TokenClassifierOutput,
    TokenTagger,
    ZeroShotClassifier,
)

FOLDER: Path = erniem.bundled_checkpoint()
CONFIG = ErnieMConfig(
    vocab_size=99,
    hidden_size=12,
    num_attention_heads=3,
    num_hidden_layers=2,
    intermediate_size=37,
)
IDS = [[0, 5, 17, 2]]


def embeddings() -> NDArray[np.float32]:
    vectors = erniem.embed(["Open a file", "Eine Datei öffnen"], model=FOLDER, normalize=True)
    embedder: Embedder = Embedder.from_pretrained(FOLDER, revision=None, token=False)
    again: NDArray[np.float32] = embedder(["Open a file"], pooling="cls")
    token_vectors, places = embedder.tokens("Open a file", layer=1)
    spans: NDArray[np.float32] = embedder.spans("Open a file", [(0, 4)], dimensions=8)
    print(token_vectors.shape, places.tolist(), spans.shape, embedder.with_options(layer=0).width)
    for vector in embedder.stream(iter(["Open a file"]), on_overflow="window"):
        print(vector.shape)
    settings = SentenceSettings(pooling="cls", prompts={"query": "query: "}, normalize=True)
    recorded = Embedder(embedder.model, embedder.tokenizer, settings)("a")
    print(embedder.similarity(vectors, recorded).shape, settings.width(12))
    return np.concatenate([vectors, again])


def hybrid() -> float:
    embedder = HybridEmbedder.from_pretrained(FOLDER, outputs=["dense"])
    query = embedder("Open a file")
    for result in embedder.stream(["Close it", "Datei öffnen"], on_overflow="window"):
        vector: NDArray[np.float32] = result["dense"]
        print(vector.shape, HybridEmbedder.score(query, result, (1, 0, 0), mean=False))
    return embedder.score(query, query, weights=[1.0, 0, 0])


def ranking() -> list[str]:
    model = ErnieMForSequenceClassification(
        ErnieMConfig.from_pretrained(FOLDER, num_labels=1), seed=1
    )
    reranker = Reranker(model, ErnieMTokenizer.from_pretrained(FOLDER), top_k=1)
    return [row["text"] for row in reranker("open", ["Open a file", "Close it"], scores="sigmoid")]


def best_matches(out: Path) -> list[str]:
    index: SearchIndex = SearchIndex(embeddings(), ["one", "two", "three"], {"model": "bundled"})
    index.save(out / "index")
    loaded = SearchIndex.load(out / "index")
    indices, scores = loaded.search(embeddings()[0], top_k=2)
    first: NDArray[np.int64] = indices
    assert loaded.texts is not None
    print(len(loaded), loaded.width, loaded.notes, scores.max())
    return [loaded.texts[int(i)] for i in first]


def labels() -> list[str]:
    model = ErnieMForSequenceClassification(ErnieMConfig.from_pretrained(FOLDER), seed=1)
    classifier = TextClassifier(model, ErnieMTokenizer.from_pretrained(FOLDER), top_k=None)
    best = classifier(("Open a file", "打开文件"), top_k=1, function="sigmoid")
    names: list[str] = classifier.fit(["Open"]).predict(["Open a file"]).tolist()
    probabilities: NDArray[np.float64] = classifier.predict_proba(["Open a file"])
    any_label = ZeroShotClassifier(model, classifier.tokenizer, entailment_id=0, template="{}")
    found = any_label("Open a file", ["computers", "sports"], multi_label=False)
    for result in any_label.stream(iter(["Open"]), labels="computers", contradiction_id=1):
        print(result["scores"])
    return [str(best["label"]), *names, str(probabilities.shape), *found["labels"]]


def choices() -> list[str]:
    model = ErnieMForMultipleChoice(ErnieMConfig.from_pretrained(FOLDER), seed=1)
    ranker = ChoiceRanker(model, ErnieMTokenizer.from_pretrained(FOLDER), on_overflow="error")
    for ranking in ranker.stream(iter([{"prompt": "Open", "choices": ["it", "the file"]}])):
        print(ranking[0]["score"])
    return [row["choice"] for row in ranker("Open", ["it", "the file"], batch_tokens=64)]


def entities() -> list[str]:
    config = ErnieMConfig.from_pretrained(FOLDER, id2label={0: "O", 1: "LOC"})
    model = ErnieMForTokenClassification(config, seed=1)
    tagger = TokenTagger(model, ErnieMTokenizer.from_pretrained(FOLDER), aggregation="first")
    return [row["word"] for row in tagger("Open a file", stride=8, ignore_labels=[])]


def answer() -> str:
    model = ErnieMForQuestionAnswering(ErnieMConfig.from_pretrained(FOLDER), seed=1)
    answerer = QuestionAnswerer(model, ErnieMTokenizer.from_pretrained(FOLDER), max_answer_len=3)
    rows = [{"question": "What?", "context": "Open a file"}]
    answers = list(answerer.stream(rows, handle_impossible_answer=True))
    return str([answerer(question="What?", context="Open a file")["answer"], *answers])


def facts() -> list[str]:
    model = ErnieMForInformationExtraction(ErnieMConfig.from_pretrained(FOLDER), seed=1)
    tokenizer = ErnieMTokenizer.from_pretrained(FOLDER)
    extractor = InformationExtractor(model, tokenizer, schema={"Person": "Company"})
    found = extractor("Steve runs Apple.", language="en", threshold=0.9, max_length=99)
    return [answer["text"] for answers in found.values() for answer in answers]


def fillings() -> int:
    model = ErnieMForMaskedLM(ErnieMConfig.from_pretrained(FOLDER), seed=1)
    filler = MaskFiller(model, ErnieMTokenizer.from_pretrained(FOLDER), top_k=2)
    logits = model.score_vocabulary(np.zeros((1, 128), np.float32))
    return len(filler("Open the [MASK].", targets=["file", "window"])) + logits.ndim


def tokens() -> int:
    tokenizer = ErnieMTokenizer.from_pretrained(FOLDER)
    tokenizer.add_tokens([AddedToken("numpy_erniem")])
    encoding: BatchEncoding = tokenizer(["Open a file"], padding=True, return_tensors="np")
    pairs: BatchEncoding = tokenizer([("Open a file", "打开文件")], split_special_tokens=True)
    names: list[str] = pairs[:1].tokens() + tokenizer.model_input_names
    words = tokenizer(["Open", "it"], is_split_into_words=True, return_offsets_mapping=True)
    span, token_span = words.token_to_chars(1), words.word_to_tokens(0)
    assert span is not None
    assert token_span is not None
    tokenizer.mask_token, tokenizer.additional_special_tokens = None, None
    print(names, span.end, token_span.start, words.n_sequences, dict(tokenizer.vocab_files_names))
    print(encoding.to("cpu").is_fast, tokenizer.init_kwargs["padding_side"], tokenizer.name_or_path)
    return len(encoding["input_ids"][0])


def models(out: Path) -> dict[str, tuple[int, ...]]:
    base: BaseModelOutput = ErnieMModel(CONFIG, add_pooling_layer=True, seed=1)(IDS)
    text: SequenceClassifierOutput = ErnieMForSequenceClassification(CONFIG)(IDS, labels=[1])
    choice: MultipleChoiceModelOutput = ErnieMForMultipleChoice(CONFIG)([IDS], labels=[0])
    token: TokenClassifierOutput = ErnieMForTokenClassification(CONFIG)(np.array(IDS))
    answer: QuestionAnsweringModelOutput = ErnieMForQuestionAnswering(CONFIG)(IDS)
    span: InformationExtractionModelOutput = ErnieMForInformationExtraction(CONFIG)(IDS)
    masked: MaskedLMOutput = ErnieMForMaskedLM(CONFIG, dtype="float64")(IDS)
    assert text.loss is not None
    assert choice.loss is not None
    outputs: list[ModelOutput] = [base, text, choice, token, answer, span, masked]
    print(*(len(output) for output in outputs), float(text.loss + choice.loss))
    input_ids, starts = erniem.pack_texts([[0, 5, 2], [0, 7, 8, 2]])
    bias = np.zeros(input_ids.shape)
    packed: BaseModelOutput = ErnieMModel(CONFIG)(input_ids, starts=starts, key_bias=bias)

    model = ErnieMForSequenceClassification(CONFIG)
    model.save_pretrained(out)
    loaded: ErnieMForSequenceClassification = ErnieMForSequenceClassification.from_pretrained(
        out, num_labels=2, local_files_only=True
    )
    _, info = ErnieMForSequenceClassification.from_pretrained(out, output_loading_info=True)
    named: ErnieMPreTrainedModel[SequenceClassifierOutput] = loaded.eval()
    logits, *_ = named(IDS, return_dict=False)
    any_class = erniem.load(out, force_download=False)
    config = ErnieMConfig.from_pretrained(out, cache_dir=None, local_files_only=True)
    loaded.prune_heads({0: [1]})
    print(loaded.num_parameters(), any_class.config == config, logits.shape, info["missing_keys"])
    return {
        "last_hidden_state": base.last_hidden_state.shape,
        "logits": text.logits.shape,
        "packed": packed.last_hidden_state.shape,
        "table": loaded.resize_token_embeddings(101).shape,
    }


def backends() -> str:
    erniem.set_num_threads(erniem.get_num_threads())
    erniem.set_threading(erniem.get_threading())
    erniem.set_strassen(erniem.get_strassen())
    with erniem.use_backend("numpy"):
        erniem.reset_backend_report()
        erniem.embed(["Open a file"])
    return str(erniem.backend_report()["backend"])


def checkpoints(out: Path) -> None:
    print(erniem.convert(FOLDER, out / "converted", dtype="float16", subfolder=None))
    print(erniem.convert(FOLDER, out / "int8", dtype="int8", keep_float=["linear2"], check=["a"]))
    quick: Embedder = Embedder.from_pretrained(out / "int8", dtype="int8")
    print(quick.model.precision, erniem.embed("a", dtype="bfloat16").shape)
    model: ErnieMModel = ErnieMModel.from_pretrained(FOLDER, dtype="int8")
    precision: str = model.precision
    print(precision, model.config.quantization, erniem.check_parity)


def parity() -> bool:
    """Needs torch and transformers."""
    return erniem.check_parity(FOLDER, tolerance=1e-4, local_files_only=True).ok


def pictures() -> None:
    """Needs matplotlib."""
    figure = erniem.plots.similarity(embeddings(), ["one", "two", "three"])
    figure.savefig("similarity.png")
    plots, weight = erniem.plots, embeddings()
    plots.embedding_plane(weight, ["one", "two", "three"], groups=["a", "a", "b"], title="plane")
    plots.training_curves({"run": [3.0, 2.0]}, landmarks={"guessing": 2.5}, width=2)
    plots.quantization_error(weight, {"float16": weight.astype(np.float16)})
    model = erniem.training.trainable(ErnieMForSequenceClassification(CONFIG))
    batch = {"input_ids": IDS, "labels": [1]}
    plots.gradient_flow(erniem.training.value_and_grad(model, batch)[1], title="gradients")


def explained(out: Path) -> int:
    done = erniem.explain("Open a file", "Eine Datei öffnen", out=out / "page.html", tokens=16)
    return len(done["shown"])


def training() -> float:
    model = erniem.training.trainable(ErnieMForSequenceClassification(CONFIG))
    with erniem.training.memory_is_kept():
        loss, gradients = erniem.training.value_and_grad(model, {"input_ids": IDS, "labels": [1]})
    return loss * len(gradients)


def main(out: Path) -> None:
    print(f"numpy_erniem {erniem.__version__}")
    erniem.show_versions(sys.stdout)
    print(
        ranking(),
        hybrid(),
        labels(),
        choices(),
        facts(),
        fillings(),
        embeddings().shape,
        best_matches(out),
        entities(),
        explained(out),
        tokens(),
        models(out / "model"),
        backends(),
        training(),
    )
    checkpoints(out)
    print(erniem.ops.softmax(np.ones((2, 3), np.float32)).sum())
