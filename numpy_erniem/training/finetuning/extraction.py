"""Fine-tuning information extraction: the spans of a text that answer a prompt, as of UIE-M."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from numpy_erniem.checks import warn
from numpy_erniem.heads import SPAN_LABELS
from numpy_erniem.models import ErnieMForInformationExtraction
from numpy_erniem.pipelines.chunks import ChunkedText
from numpy_erniem.pipelines.extract import SPECIALS, InformationExtractor
from numpy_erniem.pipelines.extraction_spans import answers_of_row
from numpy_erniem.pipelines.tokens import Encoded, encode_with_spans, row_of
from numpy_erniem.pipelines.visible_padding import pad_fully
from numpy_erniem.tokenizer.rows import pad_rows
from numpy_erniem.training.batches import collate
from numpy_erniem.training.finetuning.extraction_files import AskedPrompt
from numpy_erniem.training.finetuning.metrics import set_scores
from numpy_erniem.training.finetuning.preparation import (
    fingerprints,
    load_trainable,
    prepare_setup,
    row_length,
)
from numpy_erniem.training.finetuning.spans import TokenBorders, WidenedSpans
from numpy_erniem.training.training_config import TrainingConfig
from numpy_erniem.training.training_setup import TrainingSetup


class Row(NamedTuple):
    """A prompt with a chunk of its text.

    Attributes
    ----------
    ids : list of int
    starts, ends : list of int
        1 for the tokens where a span starts, and ends; else 0.
    prompt : int
        Which of the prompts it is.
    chunk : list of (int, int)
        The characters of the tokens of the chunk.
    """

    ids: list[int]
    starts: list[int]
    ends: list[int]
    prompt: int
    chunk: list[tuple[int, int]]


def extraction_setup(
    train: Sequence[AskedPrompt],
    evaluation: Sequence[AskedPrompt],
    config: TrainingConfig,
    *,
    model: str | os.PathLike | None = None,
    max_length: int | None = None,
    hub_options: Mapping[str, Any] | None = None,
) -> TrainingSetup:
    """Prepare the training of information extraction; `.train(folder)` runs it.

    A long text is read in chunks, as `InformationExtractor` does. The loss is the mean binary cross
    entropy of starts and ends. Scores are F1, precision and recall of the spans, and of the labels
    in prompts, counted over all prompts together. A checkpoint from PaddleNLP is trained as it is
    used: with rows that are padded to the model's length, and padding that is not hidden.

    Parameters
    ----------
    train, evaluation : sequences of AskedPrompt
        From `read_prompts`, or (text, prompt, spans, labels).
    config : TrainingConfig
        Its batch_size counts prompts with a chunk.
    model : path, optional
        The checkpoint to start from: folder or name on the hub; left out, the bundled one.
    max_length : int, optional
        Most tokens of a prompt and a chunk; left out, what the model takes.
    hub_options : dict, optional
        Where the checkpoint is: revision, subfolder and so on, as of `from_pretrained`.

    Returns
    -------
    TrainingSetup

    Raises
    ------
    ValueError
        No prompt, no span in the training data, a span outside of its text or without a token, a
        prompt that leaves no room for a text, or a max_length that the model does not take.
    """
    train, evaluation = (
        [_checked(asked, f"{name}[{n}]") for n, asked in enumerate(part)]
        for name, part in (("train", train), ("evaluation", evaluation))
    )
    if not evaluation:
        raise ValueError("evaluation has no prompt")
    if not any(asked.spans or asked.labels for asked in train):
        raise ValueError("training has no span: a model would learn to find nothing")
    loaded, tokenizer = load_trainable(
        ErnieMForInformationExtraction, model, config.seed, None, hub_options
    )
    max_length = row_length(max_length, loaded.config.max_length, loaded.config, SPECIALS + 2)
    extractor = InformationExtractor(loaded, tokenizer, max_length=max_length)
    rows = _rows(extractor, train)
    held_out = _rows(extractor, evaluation)

    def evaluate(model: ErnieMForInformationExtraction) -> dict[str, float]:
        used = InformationExtractor(model, tokenizer, max_length=max_length)
        return _scores(used, evaluation, held_out)

    examples = ((asked[:4] for asked in part) for part in (train, evaluation))
    return prepare_setup(
        (loaded, tokenizer),
        config,
        [len(row.ids) for row in rows],
        lambda chosen: _batch([rows[n] for n in chosen], extractor),
        evaluate,
        data=fingerprints(*examples) | {"max_length": max_length},
    )


def _checked(asked: Sequence[Any], where: str) -> AskedPrompt:
    """A prompt whose spans are in its text, and whose labels are in itself."""
    asked = AskedPrompt(*asked)
    asked = asked if asked.where else asked._replace(where=where)
    for name, text, spans in (
        ("text", asked.text, asked.spans),
        ("prompt", asked.prompt, asked.labels),
    ):
        for start, end in spans:
            if not 0 <= start < end <= len(text):
                raise ValueError(
                    f"{asked.where}: the span {start}..{end} is not in the {name}, which has "
                    f"{len(text)} characters"
                )
    return asked


def _rows(extractor: InformationExtractor, prompts: Sequence[AskedPrompt]) -> list[Row]:
    """The rows of all prompts, one for each chunk of the text."""
    rows: list[Row] = []
    widened, count = WidenedSpans(), 0
    for n, asked in enumerate(prompts):
        prompt, text = encode_with_spans(extractor.tokenizer, [asked.prompt, asked.text])
        room = extractor.row_length - SPECIALS - len(prompt.ids)
        try:
            labels = _tokens(asked.prompt, prompt, asked.labels, asked.where, widened)
            spans = _tokens(asked.text, text, asked.spans, asked.where, widened)
            if room < 1:
                raise ValueError(
                    f"the prompt has {len(prompt.ids)} tokens, which leaves no room for a text in "
                    f"{extractor.row_length}; shorten it"
                )
        except ValueError as error:
            raise ValueError(f"{asked.where}: {error}") from None
        chunks = ChunkedText(asked.text, text, extractor.cut_at_sentences).chunks(room)
        for chunk in chunks:
            ids = row_of(extractor.tokenizer, prompt.ids, text.ids[chunk.start : chunk.stop])
            shift = len(ids) - len(chunk) - 1 - chunk.start  # from tokens of the text
            inside = [(s, e) for s, e in spans if chunk.start <= s and e < chunk.stop]
            count += len(inside)
            marked = [(1 + s, 1 + e) for s, e in labels]
            marked += [(s + shift, e + shift) for s, e in inside]
            starts, ends = ([int(t in at) for t in range(len(ids))] for at in _both(marked))
            rows.append(Row(ids, starts, ends, n, text.spans[chunk.start : chunk.stop]))
    widened.tell()
    lost = sum(len(asked.spans) for asked in prompts) - count
    if lost:
        warn(f"{lost} spans go across the border of two chunks of a long text and are left out")
    return rows


def _both(spans: Sequence[tuple[int, int]]) -> tuple[set[int], set[int]]:
    """The first tokens of spans, and the last ones."""
    return {s for s, _ in spans}, {e for _, e in spans}


def _tokens(
    text: str,
    encoded: Encoded,
    spans: Sequence[tuple[int, int]],
    where: str,
    widened: WidenedSpans,
) -> list[tuple[int, int]]:
    """First and last token of each span."""
    borders, found = TokenBorders(text, encoded.spans), []
    for start, end in spans:
        first, last = borders.find(start, end)
        widened.add(text[start:end], borders.covered(first, last), where)
        found.append((first, last))
    return found


def _batch(rows: Sequence[Row], extractor: InformationExtractor) -> dict[str, Any]:
    """The batch of some rows: packed, or padded where the model will be used with padding."""
    config, ids = extractor.model.config, [row.ids for row in rows]
    labels = [row.starts for row in rows], [row.ends for row in rows]
    if config.mask_convention != "paddle":
        spans = [np.concatenate(of)[None] for of in labels]  # (1, N)
        return collate(ids, config, dict(zip(SPAN_LABELS, spans, strict=True)))
    padded, arguments = pad_fully([np.array(row) for row in ids], extractor.longest, config)
    blank = [0] * padded.shape[1]  # padding is visible, and has labels, too
    spans = [pad_rows([*of, blank], 0)[:-1] for of in labels]
    return {"input_ids": padded, **arguments, **dict(zip(SPAN_LABELS, spans, strict=True))}


def _scores(
    extractor: InformationExtractor, prompts: Sequence[AskedPrompt], rows: Sequence[Row]
) -> dict[str, float]:
    """F1, precision and recall of the spans of all prompts."""
    found: list[set[Any]] = [set() for _ in prompts]
    texts = list(dict.fromkeys(asked.prompt for asked in prompts))
    encoded = dict(zip(texts, encode_with_spans(extractor.tokenizer, texts), strict=True))
    spans = extractor.compute([row.ids for row in rows], lambda done: None)
    for row, of_row in zip(rows, spans, strict=True):
        asked = prompts[row.prompt]
        answers = answers_of_row(
            of_row, asked.prompt, encoded[asked.prompt].spans, asked.text, row.chunk
        )
        for answer in answers:
            place = (answer["start"], answer["end"]) if "start" in answer else answer["text"]
            found[row.prompt].add(place)
    wanted = [
        {*asked.spans, *(asked.prompt[start:end] for start, end in asked.labels)}
        for asked in prompts
    ]
    return set_scores(wanted, found)
