"""Embedder: layers, dimensions, windows, vectors of tokens and of spans."""

import numpy as np
import pytest

from numpy_erniem import Embedder

TEXT = "Open the file, 打开文件 please"


@pytest.fixture(scope="module")
def embedder():
    return Embedder.from_pretrained()


def ids_of(embedder, text):
    return embedder.tokenizer(text, verbose=False)["input_ids"]


def hidden_of(embedder, text, layer=-1):
    output = embedder.model([ids_of(embedder, text)], output_hidden_states=True)
    return output.hidden_states[layer][0]


@pytest.mark.parametrize("layer", [0, 1, -2, -1])
def test_layer_chooses_the_hidden_states(layer, embedder, close):
    want = hidden_of(embedder, TEXT, layer).mean(axis=0)
    close(embedder(TEXT, layer=layer), want, "primitive")


def test_max_pooling_takes_the_highest_numbers(embedder, close):
    close(embedder(TEXT, pooling="max"), hidden_of(embedder, TEXT).max(axis=0), "primitive")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": 99}, r"layer 99 is not in -\d+\.\.\d+"),
        ({"layer": 0, "pooling": "pooler"}, "'pooler' reads the last layer"),
        ({"dimensions": 0}, r"dimensions 0 is not in 1\.\.128"),
    ],
)
def test_a_wrong_option_is_named(options, message, embedder):
    with pytest.raises(ValueError, match=message):
        embedder(TEXT, **options)


def test_dimensions_are_cut_before_the_vector_is_scaled(embedder, close):
    whole = embedder(TEXT)[:5]
    close(embedder(TEXT, dimensions=5), whole, "exact")
    close(embedder(TEXT, dimensions=5, normalize=True), whole / np.linalg.norm(whole), "primitive")
    assert embedder.with_options(dimensions=5).width == 5


def test_windows_are_weighted_by_their_tokens(embedder, close):
    text = "file " * 600
    ids = ids_of(embedder, text)[1:-1]
    parts = [ids[:510], ids[510:]]
    vectors = [embedder.model([[0, *p, 2]]).last_hidden_state[0].mean(axis=0) for p in parts]
    want = np.average(vectors, axis=0, weights=[len(p) for p in parts]).astype(np.float32)
    close(embedder(text, on_overflow="window"), want, "primitive")


def test_each_window_has_the_prompt(embedder, close):
    text = "file " * 600
    prompt, *_ = np.split(ids_of(embedder, "query:"), [len(ids_of(embedder, "query:")) - 1])
    prompt = list(prompt[1:])
    ids = ids_of(embedder, text)[1:-1]
    room = 510 - len(prompt)
    parts = [ids[:room], ids[room:]]
    vectors = [
        embedder.model([[0, *prompt, *p, 2]]).last_hidden_state[0].mean(axis=0) for p in parts
    ]
    want = np.average(vectors, axis=0, weights=[len(p) for p in parts]).astype(np.float32)
    close(embedder(text, on_overflow="window", prompt="query: "), want, "primitive")


def test_tokens_have_a_vector_and_their_characters(embedder, close):
    vectors, spans = embedder.tokens(TEXT)
    close(vectors, hidden_of(embedder, TEXT)[1:-1], "primitive")
    encoded = embedder.tokenizer(TEXT, return_offsets_mapping=True)
    assert spans.tolist() == [list(pair) for pair in encoded["offset_mapping"][1:-1]]


def test_tokens_after_a_prompt_are_those_of_the_text(embedder, close):
    vectors, spans = embedder.tokens(TEXT, prompt="query: ")
    assert len(vectors) == len(spans) == len(embedder.tokens(TEXT)[1])
    close(vectors, hidden_of(embedder, "query: " + TEXT)[-len(spans) - 1 : -1], "primitive")
    assert [TEXT[a:b] for a, b in spans] == [TEXT[a:b] for a, b in embedder.tokens(TEXT)[1]]


def test_tokens_of_a_long_text_come_from_the_window_in_which_they_are_farthest_from_an_edge(
    embedder, close
):
    text = " ".join(f"{n} file" for n in range(400))
    ids = ids_of(embedder, text)[1:-1]
    vectors, spans = embedder.tokens(text)
    assert len(vectors) == len(spans) == len(ids)
    first = embedder.model([[0, *ids[:510], 2]]).last_hidden_state[0][1:-1]
    second = embedder.model([[0, *ids[383:893], 2]]).last_hidden_state[0][1:-1]
    middle = (383 + 510) // 2 + 1  # of two that are as far, the first
    close(vectors[:middle], first[:middle], "primitive")
    close(vectors[middle:700], second[middle - 383 : 700 - 383], "primitive")


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_a_span_has_every_token_that_overlaps_it(pooling, embedder, close):
    vectors, places = embedder.tokens(TEXT)
    start, end = TEXT.index("打"), TEXT.index(" please")
    inside = [a < end and b > start for a, b in places]
    want = getattr(vectors[inside], pooling)(axis=0)
    close(embedder.spans(TEXT, [(0, 4), (start, end)], pooling=pooling)[1], want, "exact")


def test_spans_are_scaled_and_cut_as_vectors_of_texts_are(embedder, close):
    plain = embedder.spans(TEXT, [(0, 4)])[:, :7]
    want = plain / np.linalg.norm(plain, axis=1, keepdims=True)
    close(embedder.spans(TEXT, [(0, 4)], dimensions=7, normalize=True), want, "primitive")


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([], "spans is empty"),
        ([(3, 3)], r"spans\[0\] is \(3, 3\); give start < end, both in 0\.\.\d+"),
        ([(0, 4), (0, 999)], r"spans\[1\] is \(0, 999\)"),
        ([(-1, 4)], r"spans\[0\] is \(-1, 4\)"),
        ([(1, 2, 3)], "not two integers"),
        ([(1.0, 2.0)], "not two integers"),
    ],
)
def test_a_span_that_is_no_part_of_the_text_is_named(spans, message, embedder):
    with pytest.raises(ValueError, match=message):
        embedder.spans(TEXT, spans)


def test_a_span_without_a_token_is_named(embedder):
    with pytest.raises(ValueError, match="has no token"):
        embedder.spans("a      b", [(3, 4)])


@pytest.mark.parametrize(
    ("name", "value"),
    [("on_overflow", "cut"), ("normalize", True), ("dimensions", 3), ("pooling", "max")],
)
def test_options_that_tokens_would_ignore_are_refused(name, value, embedder):
    with pytest.raises(TypeError, match=f"tokens takes no option '{name}'; known: batch_"):
        embedder.tokens(TEXT, **{name: value})


def test_options_that_spans_would_ignore_are_refused(embedder):
    with pytest.raises(TypeError, match="spans takes no option 'on_overflow'"):
        embedder.spans(TEXT, [(0, 4)], on_overflow="cut")
    with pytest.raises(ValueError, match="pooling 'cls': of spans it is mean or max"):
        embedder.spans(TEXT, [(0, 4)], pooling="cls")
