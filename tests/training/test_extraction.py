"""Fine-tuning information extraction: files of two forms, tokens of spans, chunks, scores."""

import json

import numpy as np
import pytest

from numpy_erniem import InformationExtractor
from numpy_erniem.training import AskedPrompt, TrainingConfig, extraction_setup, read_prompts
from numpy_erniem.training.finetuning import extraction
from numpy_erniem.training.finetuning.metrics import set_scores
from tests.training.tasks import PROMPTS, save_small

ONE = TrainingConfig(steps=1, batch_size=4, threads=1)
TEXT = "Ada saw Rome."


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return save_small(tmp_path_factory.mktemp("small"))


@pytest.fixture
def read(tmp_path):
    def put(*rows, name="a.jsonl"):
        path = tmp_path / name
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        return read_prompts(path)

    return put


def line(*spans, text=TEXT, prompt="Person"):
    return {"content": text, "prompt": prompt, "result_list": list(spans)}


def span(text, start, **more):
    return {"text": text, "start": start, "end": start + len(text), **more}


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt"])
def test_lines_of_paddlenlp(read, name):
    rows = [line(span("Ada", 0)), line(prompt="City")]
    got = [asked[:4] for asked in read(*rows, name=name)]
    assert got == [(TEXT, "Person", ((0, 3),), ()), (TEXT, "City", (), ())]


def test_a_span_of_the_prompt_counts_from_behind_its_end(read):
    prompt = "情感倾向[正向,负向]"
    (asked,) = read(line({"text": "正向", "start": -7, "end": -5}, prompt=prompt))
    assert [asked.prompt[s:e] for s, e in asked.labels] == ["正向"]
    assert asked.spans == ()


def test_rows_that_the_command_writes(read):
    result = {
        "Person": [span("Ada", 0, probability=0.9, relations={"Place": [span("Rome", 8)]})],
        "Mood [good, bad]": [{"text": "bad", "probability": 0.7}],
    }
    got = [
        asked[1:4] for asked in read({"text": TEXT, "result": result}, {"text": "x", "result": {}})
    ]
    assert got == [
        ("Person", ((0, 3),), ()),
        ("Place of Ada", ((8, 12),), ()),
        ("Mood [good, bad]", (), ((12, 15),)),
        ("Person", (), ()),  # what another text has is asked here, too
        ("Mood [good, bad]", (), ()),
    ]


def test_relations_in_a_chinese_schema(read):
    result = {"人物": [span("Ada", 0, relations={"地点[大，小]": [{"text": "大"}]})]}
    asked = read({"text": TEXT, "result": result})[1]
    assert asked.prompt == "Ada的地点[大,小]"
    assert asked.prompt[slice(*asked.labels[0])] == "大"


def test_the_same_prompt_about_two_answers_is_asked_once(read):
    text = "Ada met Ada"
    relations = {"Age": [span("met", 4)]}
    result = {"Person": [span("Ada", 0, relations=relations), span("Ada", 8)]}
    got = [asked[1:3] for asked in read({"text": text, "result": result})]
    assert got == [("Person", ((0, 3), (8, 11))), ("Age of Ada", ((4, 7),))]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (line(span("Eve", 0)), "line 2: result_list.0.: 'Eve' is not at 0..3 of the text.*'Ada'"),
        (line({"text": "Ada", "start": 0, "end": 99}), "'Ada' is not at 0..99"),
        (line({"text": "Ada", "start": 3, "end": 0}), "'Ada' is not at 3..0"),
        (line({"text": "x", "start": -3, "end": -2}), "'x' is not at 4..5 of the prompt"),
        (line({"text": "x", "start": -3}), "line 2: result_list.0. has no end"),
        (line({"text": "Ada", "start": 0.0, "end": 3}), "start and end must be numbers"),
        (line("Ada"), "must be {.text., .start., .end.}"),
        ({**line(), "result_list": {}}, "line 2: result_list must be a list"),
        ({"content": TEXT}, "line 2 has the keys content; needed"),
        ([], "line 2 is a JSON list"),
        ({"text": TEXT, "result": {"Person": {}}}, "line 2: 'Person' must be a list"),
        ({"text": TEXT, "result": {"Person": ["Ada"]}}, "an answer of 'Person' must be an object"),
        ({"text": TEXT, "result": {" ": []}}, "line 2 has a blank name"),
        ({"text": TEXT, "result": {"Mood [a, b]": [{"text": "c"}]}}, "'c' has no start, and is no"),
        ({"text": TEXT, "result": {"Mood": [{"text": "a"}]}}, "is no label of the prompt 'Mood'"),
        ({"text": TEXT, "result": {"A": [span("Ada", 0, relations=[])]}}, "a result must be"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(read, row, message):
    with pytest.raises(ValueError, match=message):
        read(line(), row)


def test_a_file_of_another_kind_or_without_examples(read, tmp_path):
    with pytest.raises(ValueError, match=r"must end in .jsonl or .txt"):
        read(line(), name="a.json")
    (tmp_path / "b.jsonl").write_text("\n")
    with pytest.raises(ValueError, match="has no example"):
        read_prompts(tmp_path / "b.jsonl")


def rows_of(prompts, small, **options):
    setup = extraction_setup(prompts, prompts, ONE, model=small, **options)
    extractor = InformationExtractor(setup.model, setup.tokenizer, **options)
    return setup.tokenizer, extraction._rows(extractor, prompts)


def marked(tokenizer, row):
    starts, ends = (np.flatnonzero(labels) for labels in (row.starts, row.ends))
    return [tokenizer.decode(row.ids[s : e + 1]) for s, e in zip(starts, ends, strict=True)]


def test_the_tokens_of_all_spans_are_marked(small):
    asked = [AskedPrompt(TEXT, "Mood [good, bad]", ((0, 3), (8, 12)), ((6, 10),))]
    tokenizer, (row,) = rows_of(asked, small)
    assert marked(tokenizer, row) == ["good", "Ada", "Rome"]


def test_a_long_text_is_trained_in_chunks(small):
    text = "Open the new file. " * 6 + "Ada came."
    asked = [AskedPrompt(text, "Person", ((text.index("Ada"), text.index("Ada") + 3),))]
    tokenizer, rows = rows_of(asked, small, max_length=20)
    assert len(rows) > 2
    assert [marked(tokenizer, row) for row in rows if any(row.starts)] == [["Ada"]]
    _, whole = rows_of(asked, small)
    assert len(whole) == 1


def test_a_span_across_two_chunks_is_left_out_and_told(small):
    text = "one two three four five six seven eight nine ten eleven twelve"
    asked = [AskedPrompt(text, "Number", ((0, len(text)), (0, 3)))]
    with pytest.warns(UserWarning, match="1 spans go across the border of two chunks"):
        rows_of(asked, small, max_length=12)


def test_a_span_that_is_part_of_a_token_is_widened_and_told(small):
    text = "The unbelievable file"
    place = text.index("file")
    asked = [AskedPrompt(text, "Thing", ((place + 1, place + 3),))]
    with pytest.warns(UserWarning, match=r"1 of 1 spans.*train\[0\]: 'il' becomes 'file'"):
        extraction_setup(asked, PROMPTS, ONE, model=small)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ([(TEXT, "Person", ((0, 99),))], r"train\[0\]: the span 0..99 is not in the text"),
        ([(TEXT, "Person", (), ((0, 99),))], r"train\[0\]: the span 0..99 is not in the prompt"),
        ([(TEXT, "Person", ())], "training has no span"),
        ([], "training has no span"),
        ([("Ada  saw", "Person", ((3, 4),))], r"train\[0\]: ' ' at character 3 has no token"),
        ([(TEXT, "word " * 90, ((0, 3),))], r"train\[0\]: the prompt has .* leaves no room"),
    ],
)
def test_examples_that_cannot_be_trained_are_refused(small, train, message):
    with pytest.raises(ValueError, match=message):
        extraction_setup(train, PROMPTS, ONE, model=small)


def test_an_evaluation_without_prompts_is_refused(small):
    with pytest.raises(ValueError, match="evaluation has no prompt"):
        extraction_setup(PROMPTS, [], ONE, model=small)


def test_a_checkpoint_of_paddle_is_trained_with_padding_that_is_not_hidden(tmp_path):
    small = save_small(tmp_path, "paddle")
    setup = extraction_setup(PROMPTS, PROMPTS, ONE, model=small)
    extractor = InformationExtractor(setup.model, setup.tokenizer)
    batch = extraction._batch(extraction._rows(extractor, PROMPTS[:3]), extractor)
    assert batch["input_ids"].shape == batch["start_positions"].shape == (3, 64)
    hidden = setup.model.config.hidden_token_id
    np.testing.assert_array_equal(batch["attention_mask"], batch["input_ids"] != hidden)
    assert "starts" not in batch
    probabilities = setup.model(
        **{k: batch[k] for k in ("input_ids", "attention_mask", "position_ids")}
    ).start_prob
    used = extractor.model
    assert used.config.mask_convention == "paddle"
    assert np.isfinite(probabilities).all()


def test_it_learns_to_extract(tmp_path):
    config = TrainingConfig(steps=40, batch_size=24, learning_rate=6e-3, threads=1)
    report = extraction_setup(PROMPTS, PROMPTS, config).train(tmp_path)
    assert report["metrics"] == ["F1", "precision", "recall"]
    assert report["best"]["F1"] > 0.8
    extractor = InformationExtractor.from_pretrained(tmp_path, schema=["Person", "City"])
    found = [extractor(asked.text) for asked in PROMPTS]
    names = ("Person", "City")
    wanted = [{(asked.prompt, *asked.spans[0])} for asked in PROMPTS]
    got = [
        {(n, a["start"], a["end"]) for n in names for a in row.get(n, []) if n == asked.prompt}
        for row, asked in zip(found, PROMPTS, strict=True)
    ]
    assert set_scores(wanted, got)["F1"] == pytest.approx(report["best"]["F1"])
