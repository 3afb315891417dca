"""Every fine-tuning task: its setup, examples, lines of a file, and the command for its folder."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from numpy_erniem import ErnieMConfig, ErnieMModel, ErnieMTokenizer, bundled_checkpoint
from numpy_erniem.models.weights import flatten
from numpy_erniem.training import (
    AskedPrompt,
    AskedQuestion,
    answering_setup,
    choice_setup,
    classification_setup,
    extraction_setup,
    reranking_setup,
    retrieval_setup,
    tagging_setup,
)
from tests.models.conftest import SMALL

WHO, WHERE = ("Ada", "Bob", "Carl", "Dora"), ("London", "Paris", "Rome")
SENTENCES = [(who, city, f"{who} came from {city}.") for who in WHO for city in WHERE]


@dataclass
class FinetuningTask:
    """A task by the name that it has on the command line."""

    name: str
    setup: Callable[..., Any]
    data: list
    lines: list[str]  # of a file with the same examples
    suffix: str
    command: list[str]  # runs the folder; behind its name, and without --model


def _lines(rows):
    return [json.dumps(row) for row in rows]


def _questions():
    for who, city, text in SENTENCES:
        for question, answer in (("Who?", who), ("From where?", city)):
            yield AskedQuestion(question, text, ((answer, text.index(answer)),))


def _prompts():
    for who, city, text in SENTENCES:
        for prompt, answer in (("Person", who), ("City", city)):
            start = text.index(answer)
            yield AskedPrompt(text, prompt, ((start, start + len(answer)),))


QUESTIONS, PROMPTS = list(_questions()), list(_prompts())
CHOICES = [
    (f"{who} came from {city}, so", [f"{who} is from {c}" for c in WHERE[: 2 + n % 2]], n % 2)
    for n, (who, city, _) in enumerate(SENTENCES)
]
TAGGED = [([who, "came", "from", city], ["B-PER", "O", "O", "B-LOC"]) for who, city, _ in SENTENCES]
RANKED = [
    (f"Who is from {city}?", text, float(city == other))
    for city in WHERE
    for _, other, text in SENTENCES
]
LABELLED = [(text, None, "A" if who < "C" else "B") for who, _, text in SENTENCES]
PAIRS = [("de", who, city) for who, city, _ in SENTENCES]
SCHEMA = ["--schema", "Person", "City"]
TASKS = [
    FinetuningTask(
        "classify",
        classification_setup,
        LABELLED,
        [f"{text}\t{label}" for text, _, label in LABELLED],
        "tsv",
        ["classify", "Ada came"],
    ),
    FinetuningTask(
        "tag",
        tagging_setup,
        TAGGED,
        _lines({"tokens": words, "tags": tags} for words, tags in TAGGED),
        "jsonl",
        ["tag", "Ada came"],
    ),
    FinetuningTask(
        "answer",
        answering_setup,
        QUESTIONS,
        _lines(
            {"question": q.question, "context": q.context, "answer": q.answers[0][0]}
            for q in QUESTIONS
        ),
        "jsonl",
        ["answer", "--question", "Who?", "Ada came"],
    ),
    FinetuningTask(
        "extract",
        extraction_setup,
        PROMPTS,
        _lines(
            {
                "content": p.text,
                "prompt": p.prompt,
                "result_list": [{"text": p.text[s:e], "start": s, "end": e} for s, e in p.spans],
            }
            for p in PROMPTS
        ),
        "jsonl",
        ["extract", "Ada came", *SCHEMA],
    ),
    FinetuningTask(
        "choose",
        choice_setup,
        CHOICES,
        _lines({"prompt": p, "choices": c, "label": n} for p, c, n in CHOICES),
        "jsonl",
        ["choose", "Ada came", "from Rome", "from Paris"],
    ),
    FinetuningTask(
        "rerank",
        reranking_setup,
        RANKED,
        [f"{query}\t{text}\t{score}" for query, text, score in RANKED],
        "tsv",
        ["rerank", "--query", "Who?", "Ada came", "Bob"],
    ),
    FinetuningTask(
        "retrieve",
        retrieval_setup,
        PAIRS,
        ["\t".join(pair) for pair in PAIRS],
        "tsv",
        ["embed", "Ada came"],
    ),
]


def save_small(folder, convention="padding", **options):
    """A small checkpoint with the bundled tokenizer, without dropout and without a head."""
    tokenizer = ErnieMTokenizer.from_pretrained(bundled_checkpoint())
    rates = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    sizes = {**SMALL, "vocab_size": len(tokenizer), "max_position_embeddings": 66}
    config = ErnieMConfig(**{**sizes, **rates, **options}, attention_mask_convention=convention)
    ErnieMModel(config, seed=3).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def copied_weights(model):
    return {name: np.array(value) for name, value in flatten(model.weights).items()}


def padded(batch, pad=1):
    """The batch with a row for each text in place of a packed one, and where its tokens are."""
    if "starts" not in batch:
        return {**batch, "counted": np.ones(batch["input_ids"].shape, bool)}
    batch = dict(batch)
    lengths = np.diff(batch.pop("starts"))
    real = np.arange(lengths.max()) < lengths[:, None]  # (B, T)
    fills = {"input_ids": pad, "labels": -100}
    for name, value in batch.items():
        if np.shape(value)[:2] == (1, real.sum()):
            row = np.full((*real.shape, *value.shape[2:]), fills.get(name, 0), value.dtype)
            row[real] = value[0]
            batch[name] = row
    return {**batch, "counted": real}
