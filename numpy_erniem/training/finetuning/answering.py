"""Fine-tuning question answering: where in a context the answer to a question stands."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from numpy_erniem.checks import warn
from numpy_erniem.models import ErnieMForQuestionAnswering
from numpy_erniem.pipelines.answer import Question, QuestionAnswerer
from numpy_erniem.training.batches import collate
from numpy_erniem.training.finetuning.answer_files import AskedQuestion
from numpy_erniem.training.finetuning.metrics import answer_scores
from numpy_erniem.training.finetuning.preparation import (
    fingerprints,
    load_trainable,
    prepare_setup,
)
from numpy_erniem.training.finetuning.spans import TokenBorders, WidenedSpans
from numpy_erniem.training.training_config import TrainingConfig
from numpy_erniem.training.training_setup import TrainingSetup


class Rows(NamedTuple):
    """Questions with a window of their contexts.

    Attributes
    ----------
    ids : list of lists of int
    starts, ends : (n,) int64 arrays
        The tokens where the answer starts and ends; 0, [CLS], where a window does not have it.
    """

    ids: list[list[int]]
    starts: np.ndarray
    ends: np.ndarray


def answering_setup(
    train: Sequence[AskedQuestion],
    evaluation: Sequence[AskedQuestion],
    config: TrainingConfig,
    *,
    model: str | os.PathLike | None = None,
    max_length: int | None = None,
    doc_stride: int | None = None,
    hub_options: Mapping[str, Any] | None = None,
) -> TrainingSetup:
    """Prepare the training of question answering; `.train(folder)` runs it.

    A long context is read in windows, as `QuestionAnswerer` does. The first answer of a question is
    trained; in a window without it, [CLS] is the answer. Scores are F1 and exact match of what
    `QuestionAnswerer` answers, as of SQuAD: the best over all right answers. "No answer" is
    possible if a question of the training data has none.

    Parameters
    ----------
    train, evaluation : sequences of AskedQuestion
        From `read_questions`, or (question, context, answers) with answers ((text, start), ...).
    config : TrainingConfig
        Its batch_size counts windows.
    model : path, optional
        The checkpoint to start from: folder or name on the hub; left out, the bundled one.
    max_length : int, optional
        Most tokens of a question and a window; left out, 384, or what the model takes if that is
        less.
    doc_stride : int, optional
        Tokens that two windows share; left out, as of `QuestionAnswerer`.
    hub_options : dict, optional
        Where the checkpoint is: revision, subfolder and so on, as of `from_pretrained`.

    Returns
    -------
    TrainingSetup

    Raises
    ------
    ValueError
        No question, none with an answer in the training data, an answer that does not stand at its
        place, a question that leaves no room for the context, or a max_length or doc_stride that
        the model does not take.
    """
    train, evaluation = (
        [_checked(asked, f"{name}[{n}]") for n, asked in enumerate(part)]
        for name, part in (("train", train), ("evaluation", evaluation))
    )
    if not any(asked.answers for asked in train):
        raise ValueError(
            "training has no question with an answer: a model would learn to find none"
        )
    if not evaluation:
        raise ValueError("evaluation has no question")
    loaded = load_trainable(ErnieMForQuestionAnswering, model, config.seed, None, hub_options)
    options = {
        "max_seq_len": max_length,
        "doc_stride": doc_stride,
        "handle_impossible_answer": not all(asked.answers for asked in train),
    }
    answerer = QuestionAnswerer(*loaded, **options)
    answerer.check_options()
    rows = _rows(answerer, train)

    def batch_of(chosen: np.ndarray) -> dict[str, Any]:
        ids = [rows.ids[n] for n in chosen]
        labels = {"start_positions": rows.starts[chosen], "end_positions": rows.ends[chosen]}
        return collate(ids, loaded[0].config, labels)

    def evaluate(model: ErnieMForQuestionAnswering) -> dict[str, float]:
        return _scores(QuestionAnswerer(model, loaded[1], **options), evaluation)

    return prepare_setup(
        loaded,
        config,
        [len(ids) for ids in rows.ids],
        batch_of,
        evaluate,
        data=fingerprints((a[:3] for a in train), (a[:3] for a in evaluation)) | options,
    )


def _checked(asked: Sequence[Any], where: str) -> AskedQuestion:
    """A question whose answers stand in its context."""
    asked = AskedQuestion(*asked)
    asked = asked if asked.where else asked._replace(where=where)
    for text, start in asked.answers:
        if not text.strip() or asked.context[start : start + len(text)] != text:
            raise ValueError(
                f"{asked.where}: the answer {text!r} is not at character {start} of the context"
            )
    return asked


def _rows(answerer: QuestionAnswerer, questions: Sequence[AskedQuestion]) -> Rows:
    """The windows of all questions, with the tokens of the answers."""
    rows, positions = [], []
    widened, long = WidenedSpans(), []
    for asked in questions:
        try:
            (prepared,) = answerer.prepare([Question(asked.question, asked.context)])
            first = last = -1
            if asked.answers:
                text, start = asked.answers[0]
                borders = TokenBorders(asked.context, prepared.data.spans)
                first, last = borders.find(start, start + len(text))
                widened.add(text, borders.covered(first, last), asked.where)
        except ValueError as error:
            raise ValueError(f"{asked.where}: {error}") from None
        if last - first >= answerer.max_answer_len:
            long.append(asked.where)
        for window, row in zip(prepared.data.windows, prepared.rows, strict=True):
            is_inside = asked.answers and window.start <= first and last < window.stop
            shift = prepared.data.first - window.start
            rows.append(row)
            positions.append((first + shift, last + shift) if is_inside else (0, 0))
    widened.tell()
    if long:
        warn(
            f"{len(long)} of {len(questions)} answers have more than {answerer.max_answer_len} "
            f"tokens, the first in {long[0]}; `erniem answer` gives such answers with a greater "
            "--max-answer-len, and the scores count them as wrong"
        )
    return Rows(rows, *np.array(positions, np.int64).T)


def _scores(answerer: QuestionAnswerer, questions: Sequence[AskedQuestion]) -> dict[str, float]:
    """F1 and exact match, as means over the questions."""
    items = [{"question": asked.question, "context": asked.context} for asked in questions]
    scores = [
        answer_scores(answer["answer"], [text for text, _ in asked.answers])
        for answer, asked in zip(answerer(items), questions, strict=True)
    ]
    exact, overlap = np.mean(scores, axis=0)
    return {"F1": float(overlap), "exact match": float(exact)}
