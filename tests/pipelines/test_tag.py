"""Texts in, labelled spans out."""

import json
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpy_erniem import (
    ErnieMConfig,
    ErnieMForTokenClassification,
    ErnieMTokenizer,
    TokenTagger,
    bundled_checkpoint,
)
from numpy_erniem.cli.main import main
from numpy_erniem.pipelines.entities import Labelled, join_entities, split_label
from numpy_erniem.pipelines.tokens import encode_with_spans
from numpy_erniem.pipelines.windows import best_window, cut_windows
from numpy_erniem.pipelines.words import number_words

NAMES = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
PLAIN = [  # one space between words, no punctuation: here upstream's guess at words is right
    "Open the document and close the window",
    "Siemens opened a window in New York",
    "Datei öffnen und Fenster bewegen",
    "a",
]
LONG = " ".join(f"Word{n} and o'word-{n}, 打开 " for n in range(30))


@pytest.fixture(scope="module")
def tokenizer():
    return ErnieMTokenizer.from_pretrained(bundled_checkpoint())


def make_model(tokenizer, names=NAMES, positions=34):
    config = ErnieMConfig(
        vocab_size=len(tokenizer),
        hidden_size=12,
        num_attention_heads=3,
        num_hidden_layers=2,
        intermediate_size=37,
        initializer_range=0.5,
        max_position_embeddings=positions,
        id2label=dict(enumerate(names)),
    )
    return ErnieMForTokenClassification(config, seed=1)


@pytest.fixture(scope="module")
def model(tokenizer):
    return make_model(tokenizer)


@pytest.fixture
def tagger(model, tokenizer):
    return TokenTagger(model, tokenizer)


class ByToken:
    """Any callable with a config: the label of a token depends on its id only.

    Parameters
    ----------
    labels : list of str
    choose : function
        From an id to the index of its label; left out, ids modulo the number of labels.
    """

    def __init__(self, labels, choose=None, longest=32):
        self.config = SimpleNamespace(
            id2label=dict(enumerate(labels)), max_length=longest, pad_token_id=1
        )
        self.choose = choose or (lambda token: token % len(labels))

    def __call__(self, input_ids, attention_mask):
        logits = np.zeros((*input_ids.shape, len(self.config.id2label)), np.float32)
        for place, token in np.ndenumerate(input_ids):
            logits[(*place, self.choose(int(token)))] = 2 + token % 7
        return {"logits": logits}


def words_are(tokenizer, labels, **options):
    """A tagger that gives each of these tokens its label, and all others "O"."""
    ids = {tokenizer.convert_tokens_to_ids(token): label for token, label in labels.items()}
    assert tokenizer.unk_token_id not in ids
    names = ["O", *sorted(set(labels.values()))]
    model = ByToken(names, lambda token: names.index(ids.get(token, "O")))
    return TokenTagger(model, tokenizer, **options)


def found(results):
    return [(r["label"], r["word"]) for r in results]


def softmax(x):
    x = np.exp(np.float64(x) - np.max(x, axis=-1, keepdims=True))
    return x / x.sum(axis=-1, keepdims=True)


def test_without_aggregation_every_token_has_its_label(tagger, model, tokenizer, backend):
    text = "Open the file"
    ids, spans = encode_with_spans(tokenizer, [text])[0]
    scores = softmax(model([[0, *ids, 2]]).logits[0, 1:-1])
    results = tagger(text, ignore_labels=[])
    assert [r["label"] for r in results] == [NAMES[k] for k in scores.argmax(axis=1)]
    assert [r["score"] for r in results] == pytest.approx(scores.max(axis=1), abs=1e-5)
    assert [(r["start"], r["end"]) for r in results] == spans
    assert list(results[0]) == ["label", "score", "word", "start", "end"]
    assert json.loads(json.dumps(results)) == results


def upstream(transformers, model, tokenizer, folder):
    """Upstream's pipeline with the same weights; our offsets make its tokenizer a fast one."""
    import torch

    model.save_pretrained(folder)

    class Fast:
        is_fast, model_max_length = True, 32
        unk_token_id = tokenizer.unk_token_id
        model_input_names = ("input_ids", "attention_mask")
        convert_ids_to_tokens = tokenizer.convert_ids_to_tokens
        convert_tokens_to_string = tokenizer.convert_tokens_to_string

        def __call__(self, text, return_tensors=None, truncation=None, **options):
            ids, spans = encode_with_spans(tokenizer, [text])[0]
            row = tokenizer.build_inputs_with_special_tokens(ids)
            columns = {
                "input_ids": row,
                "attention_mask": [1] * len(row),
                "special_tokens_mask": [1, *[0] * len(ids), 1],
                "offset_mapping": [(0, 0), *spans, (0, 0)],
            }
            return {name: torch.tensor([column]) for name, column in columns.items()}

    theirs = transformers.ErnieMForTokenClassification.from_pretrained(folder).eval()
    return transformers.TokenClassificationPipeline(
        model=theirs, tokenizer=Fast(), framework="pt", device=-1
    )


@pytest.mark.parametrize("aggregation", ["none", "simple", "first", "average", "max"])
@pytest.mark.parametrize("names", [NAMES, ("O", "PER", "LOC")])
@pytest.mark.parametrize("ignored", [["O"], []])
def test_equal_to_upstream(aggregation, names, ignored, tokenizer, transformers, tmp_path, backend):
    assert not any("▁" in tokenizer.tokenize(text) for text in PLAIN)  # white space is left out
    model = make_model(tokenizer, names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = upstream(transformers, model, tokenizer, tmp_path)
        want = [
            pipeline(text, aggregation_strategy=aggregation, ignore_labels=ignored)
            for text in PLAIN
        ]
    got = TokenTagger(model, tokenizer)(PLAIN, aggregation=aggregation, ignore_labels=ignored)
    key = "entity" if aggregation == "none" else "entity_group"
    for ours, theirs in zip(got, want, strict=True):
        assert [(r["label"], r["start"], r["end"]) for r in ours] == [
            (r[key], r["start"], r["end"]) for r in theirs
        ]
        scores = [float(r["score"]) for r in theirs]
        assert [r["score"] for r in ours] == pytest.approx(scores, abs=1e-5)


@pytest.mark.parametrize(
    ("label", "parts"),
    [
        ("B-PER", ("B", "PER")),
        ("U-time-of-day", ("U", "time-of-day")),
        ("time-of-day", ("I", "time-of-day")),
        ("O", ("I", "O")),
        ("E-", ("I", "E-")),
        ("e-mail", ("I", "e-mail")),
        ("X-ray", ("I", "X-ray")),
    ],
)
def test_only_six_letters_before_a_name_are_prefixes(label, parts):
    assert split_label(label) == parts


@pytest.mark.parametrize(
    ("labels", "entities"),
    [
        ("B-P I-P O B-P", ["P0-2", "O2-3", "P3-4"]),
        ("B-P B-P I-P", ["P0-1", "P1-3"]),
        ("I-P I-P", ["P0-2"]),
        ("B-P I-L", ["P0-1", "L1-2"]),
        ("B-P I-P E-P I-P", ["P0-3", "P3-4"]),
        ("E-P E-P", ["P0-1", "P1-2"]),
        ("S-P S-P E-P", ["P0-1", "P1-2", "P2-3"]),
        ("B-P S-P", ["P0-1", "P1-2"]),
        ("B-P L-P U-P L-P", ["P0-2", "P2-3", "P3-4"]),
        ("P P L P", ["P0-2", "L2-3", "P3-4"]),
        ("B-P P", ["P0-2"]),
        ("time-of-day time-of-day day", ["time-of-day0-2", "day2-3"]),
    ],
)
def test_prefixes_begin_and_end_entities(labels, entities):
    units = [Labelled(label, 1.0, n, n + 1) for n, label in enumerate(labels.split())]
    assert [f"{e.label}{e.start}-{e.end}" for e in join_entities(units)] == entities


def test_the_score_of_an_entity_is_the_mean_over_its_parts():
    units = [Labelled("B-P", 0.25, 0, 1), Labelled("I-P", 0.75, 1, 2)]
    assert join_entities(units) == [Labelled("P", 0.5, 0, 2)]


def fixed(tokenizer, text, logits, labels=("O", "A", "B"), **options):
    """A tagger whose model gives the tokens of a text these logits."""
    rows = np.float32([[0] * len(labels), *logits, [0] * len(labels)])

    def model(input_ids, attention_mask):
        assert len(rows) == input_ids.shape[1]
        return {"logits": rows[None]}

    model.config = SimpleNamespace(id2label=dict(enumerate(labels)), max_length=32, pad_token_id=1)
    return TokenTagger(model, tokenizer, **options)(text)


def test_first_average_and_max_give_a_word_one_label(tokenizer):
    text = "Berlin"
    assert tokenizer.tokenize(text) == ["▁Ber", "li", "n"]
    logits = [[0, 1, 0], [0, 0, 3], [0, 2.5, 0]]
    scores = softmax(logits)
    for aggregation, label, score in (
        ("first", "A", scores[0, 1]),
        ("max", "B", scores[1, 2]),
        ("average", "A", scores[:, 1].mean()),
    ):
        want = {"label": label, "score": pytest.approx(score), "word": text, "start": 0, "end": 6}
        assert fixed(tokenizer, text, logits, aggregation=aggregation) == [want]
    simple = fixed(tokenizer, text, logits, aggregation="simple")
    assert found(simple) == [("A", "Ber"), ("B", "li"), ("A", "n")]


def test_equal_scores_take_the_lower_class(tokenizer):
    assert found(fixed(tokenizer, "a", [[0, 1, 1]])) == [("A", "a")]


def test_words_follow_unicode_and_not_spaces(tokenizer):
    text = "well-known (Paris), don't! 打开"
    tagger = TokenTagger(ByToken(["B-X"]), tokenizer, aggregation="first")
    words = [r["word"] for r in tagger(text)]
    assert words == ["well-known", "(", "Paris", "),", "don't", "!", "打", "开"] or words == [
        "well-known",
        "(",
        "Paris",
        ")",
        ",",
        "don't",
        "!",
        "打",
        "开",
    ]


def test_white_space_makes_breaks_and_widens_no_entity(tokenizer):
    text = "打 开 \n 文"
    tokens = encode_with_spans(tokenizer, [text])[0]
    blank = [text[a:b].isspace() for a, b in tokens.spans]
    assert any(blank)
    space = tokenizer.convert_tokens_to_ids("▁")
    for label_of_space in (0, 1):
        model = ByToken(["O", "X"], lambda t, s=label_of_space: s if t == space else 1)
        tagger = TokenTagger(model, tokenizer)
        assert found(tagger(text)) == [("X", "打"), ("X", "开"), ("X", "文")]
        (entity,) = tagger(text, aggregation="simple")
        assert entity["word"] == text
        assert tagger(" \t\u200b ", aggregation="simple") == []
    model = ByToken(["O", "X"], lambda t: int(t == space))
    assert (
        TokenTagger(model, tokenizer, aggregation="simple", ignore_labels=["X"])(text)[0]["word"]
        == text
    )


def test_tokens_that_share_a_character_are_of_one_word(tokenizer):
    tagger = TokenTagger(ByToken(["B-X"]), tokenizer)
    assert len(tagger("½")) > 1
    for aggregation in ("first", "average", "max"):
        assert found(tagger("½ ㌔", aggregation=aggregation)) == [("X", "½"), ("X", "㌔")]


def test_ignored_labels_are_left_out(tagger, model, tokenizer):
    every = tagger(LONG, ignore_labels=[])
    assert {r["label"] for r in every} == set(NAMES)
    assert tagger(LONG) == [r for r in every if r["label"] != "O"]
    assert tagger(LONG, ignore_labels=iter(["B-PER"])) == [
        r for r in every if r["label"] != "B-PER"
    ]
    names = {r["label"] for r in tagger(LONG, aggregation="simple", ignore_labels=["PER", "O"])}
    assert names == {"LOC"}
    reused = TokenTagger(model, tokenizer, ignore_labels=iter(["B-PER"]))
    assert reused(LONG) == reused(LONG) == tagger(LONG, ignore_labels=["B-PER"])


@pytest.mark.parametrize("aggregation", ["none", "simple", "first", "average", "max"])
@pytest.mark.parametrize("stride", [None, 0, 1, 29])
def test_windows_do_not_change_what_a_token_says_by_itself(aggregation, stride, tokenizer):
    names = ["O", "B-X", "I-X", "S-Y"]
    whole = TokenTagger(ByToken(names, longest=4000), tokenizer, aggregation=aggregation)
    parts = TokenTagger(ByToken(names), tokenizer, aggregation=aggregation, stride=stride)
    assert len(parts.prepare([LONG])[0].rows) > 4
    assert parts(LONG) == whole(LONG)


@pytest.mark.parametrize("stride", [0, 7, 13])
def test_every_token_is_read_in_the_window_where_it_is_farthest_from_an_edge(
    stride, tagger, model, tokenizer
):
    ids, spans = encode_with_spans(tokenizer, [LONG])[0]
    windows = cut_windows(len(ids), 30, stride)
    best = best_window(len(ids), windows)
    logits = [model([[0, *ids[w.start : w.stop], 2]]).logits[0, 1:-1] for w in windows]
    labels = [
        NAMES[int(logits[w][n - windows[w].start].argmax())] for n, w in enumerate(best.tolist())
    ]
    want = [
        (label, LONG[a:b]) for label, (a, b) in zip(labels, spans, strict=True) if LONG[a:b].strip()
    ]
    assert found(tagger(LONG, stride=stride, ignore_labels=[])) == want


def test_a_long_text_is_cut_or_refused_on_request(tagger, tokenizer):
    ids, spans = encode_with_spans(tokenizer, [LONG])[0]
    with pytest.warns(UserWarning, match="1 of 1 texts have more than 32 tokens and were cut"):
        cut = tagger(LONG, on_overflow="cut", ignore_labels=[])
    assert len(ids) > 30
    starts = [start for start, end in spans[:30] if LONG[start:end].strip()]
    assert [r["start"] for r in cut] == starts
    with pytest.raises(ValueError, match="are more than the 30 that the model has room for"):
        tagger(LONG, on_overflow="error")


def test_a_text_that_is_cut_at_its_start_keeps_its_characters(model):
    tokenizer = ErnieMTokenizer.from_pretrained(bundled_checkpoint(), truncation_side="left")
    spans = encode_with_spans(tokenizer, [LONG])[0].spans
    with pytest.warns(UserWarning, match="cut at their start"):
        results = TokenTagger(model, tokenizer, ignore_labels=[])(LONG, on_overflow="cut")
    assert results[0]["start"] >= spans[-30][0]
    assert all(r["word"] == LONG[r["start"] : r["end"]] for r in results)


@pytest.mark.usefixtures("same_bits")
def test_batches_do_not_change_results(tagger):
    texts = [*PLAIN, LONG, ""]
    want = tagger(texts, aggregation="average")
    assert [tagger(text, aggregation="average") for text in texts] == want
    assert tagger(texts, aggregation="average", batch_tokens=1) == want
    assert list(tagger.stream(iter(texts), aggregation="average")) == want
    assert want[-1] == []


TEXTS = st.text(
    st.characters() | st.sampled_from("ab -'’.打カสี\u0301\u200b\u200d\u00ad½ﬁ㌔👍 \n\t한")
)


@settings(max_examples=150, deadline=None)
@given(
    text=st.lists(TEXTS, max_size=12).map(" ".join),
    aggregation=st.sampled_from(["none", "simple", "first", "average", "max"]),
    longest=st.sampled_from([4, 8, 100]),
    scheme=st.sampled_from(["O A", "O B-A I-A", "O B-A I-A E-A S-A"]),
)
def test_spans_are_sorted_and_inside_the_text(text, aggregation, longest, scheme):
    model = ByToken(scheme.split(), longest=longest)
    tagger = TokenTagger(model, TOKENIZER, aggregation=aggregation, ignore_labels=[])
    results = tagger(text)
    word = number_words(text)
    end = 0
    for n, r in enumerate(results):
        assert 0 <= r["start"] < r["end"] <= len(text)
        assert text[r["start"] : r["end"]] == r["word"]
        assert r["word"] == r["word"].strip() != ""
        assert 0 <= r["score"] <= 1
        assert n == 0 or r["start"] >= results[n - 1]["start"]
        if aggregation in ("first", "average", "max"):
            assert r["start"] >= end  # no character is in two entities
            for edge in (r["start"], r["end"]):
                inside = 0 < edge < len(text) and word[edge] == word[edge - 1] >= 0
                assert not inside or not touched(results, edge)
        end = r["end"]


TOKENIZER = ErnieMTokenizer.from_pretrained(bundled_checkpoint())


def touched(results, edge):
    """Whether the characters on both sides of an edge are in results: then a word is cut there."""
    before = any(r["start"] < edge <= r["end"] for r in results)
    behind = any(r["start"] <= edge < r["end"] for r in results)
    return before and behind


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"aggregation": "mean"}, "aggregation 'mean' is not one of none, simple, first"),
        ({"stride": 30}, r"stride 30 is not in 0..29: a window has 30 tokens"),
        ({"stride": -1}, "stride -1 is not in 0"),
        ({"ignore_labels": "O"}, "ignore_labels is the str 'O'; give a list of str"),
        ({"ignore_labels": ["PERS"], "aggregation": "max"}, "no label; did you mean 'PER'"),
        ({"ignore_labels": ["PER"]}, "no label; did you mean 'B-PER'|did you mean 'I-PER'"),
        ({"on_overflow": "drop"}, "on_overflow 'drop' is not one of window, cut, error"),
    ],
)
def test_wrong_options_are_refused(options, message, tagger):
    with pytest.raises(ValueError, match=message):
        tagger("a", **options)


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ([], ValueError, "texts is empty"),
        (["a", None], TypeError, r"texts\[1\] is a NoneType, not a str"),
        ([["a", "b"]], TypeError, "give one flat list of str"),
        ({"text": "a"}, TypeError, "a mapping"),
    ],
)
def test_bad_input_is_named(texts, error, message, tagger):
    with pytest.raises(error, match=message):
        tagger(texts)


def test_a_checkpoint_without_the_head_is_refused():
    with pytest.raises(
        ValueError, match=r"bundled .* no head for it; TokenTagger needs an ErnieMForTokenClass"
    ):
        TokenTagger.from_pretrained()


@pytest.fixture(scope="module")
def folder(model, tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tagger")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_the_command_writes_the_entities_of_each_text(folder, tagger, tmp_path, capsys):
    assert main(["tag", "--model", str(folder), *PLAIN]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows == [{"text": text, "entities": tagger(text)} for text in PLAIN]


def test_the_options_of_the_command_are_those_of_the_class(folder, tagger, tmp_path, capsys):
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps({"body": LONG, "id": 7}))
    files = ["--input", source, "--field", "body", "--keep", "id", "--output", target]
    given = {"aggregation": "average", "stride": 3, "batch_tokens": 50}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    flags += ["--ignore-labels", "PER"]
    assert main([str(a) for a in ["tag", "--model", folder, *files, *flags]]) == 0
    want = tagger(LONG, ignore_labels=["PER"], **given)
    assert json.loads(target.read_text("utf-8")) == {"text": LONG, "id": 7, "entities": want}
    every = tagger(PLAIN[0], ignore_labels=[])
    assert main(["tag", "--model", str(folder), PLAIN[0], "--ignore-labels"]) == 0
    assert json.loads(capsys.readouterr().out)["entities"] == every
    assert main(["tag", "--model", str(folder), LONG, "--on-overflow", "error"]) == 1
    assert "text 1: " in capsys.readouterr().err


def test_the_command_names_the_head_that_is_missing(capsys):
    assert main(["tag", "a"]) == 2
    assert "needs an ErnieMForTokenClassification" in capsys.readouterr().err
