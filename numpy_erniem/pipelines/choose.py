"""A prompt and choices in; the choices in the order of their scores out."""

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from numpy_erniem.pipelines.base import Pipeline, Report
from numpy_erniem.pipelines.packing import BATCH_TOKENS, takes_packed
from numpy_erniem.pipelines.scores import best_first, one_number, softmax, window_mean
from numpy_erniem.pipelines.streaming import Done, Prepared
from numpy_erniem.pipelines.texts import check_text, iterate
from numpy_erniem.pipelines.tokens import encode_texts, pieces_of
from numpy_erniem.tokenizer import ErnieMTokenizer

KEYS = ("prompt", "choices")


class Question(NamedTuple):
    """A prompt and the choices that may follow it."""

    prompt: str
    choices: tuple[str, ...]


class ChoiceRanker(Pipeline[list[dict[str, Any]]]):
    """Orders choices by how well each follows a prompt, by a model that reads the two together.

    Parameters
    ----------
    model : ErnieMForMultipleChoice, or callable with its outputs
        Any callable with `config` that takes input_ids and attention_mask (B, C, T) and gives
        logits (B, C). It is called with C = 1.
    tokenizer : ErnieMTokenizer
    on_overflow : {"window", "cut", "error"}
        What is done with a prompt that is longer than the model takes beside a choice. "window":
        the number of a choice is the mean over windows of the prompt, weighted by their tokens.
        "cut": its end is left out, with a warning. A choice is never cut.
    batch_tokens : int
        Most tokens of a batch.

    Examples
    --------
    >>> from numpy_erniem import ErnieMConfig, ErnieMForMultipleChoice, bundled_checkpoint
    >>> folder = bundled_checkpoint()
    >>> model = ErnieMForMultipleChoice(ErnieMConfig.from_pretrained(folder), seed=1)  # drawn
    >>> ranker = ChoiceRanker(model, ErnieMTokenizer.from_pretrained(folder))
    >>> ranking = ranker("To save your work,", ["open the file menu.", "go to bed."])
    >>> sorted(ranking[0]), round(sum(row["score"] for row in ranking), 6)
    (['choice', 'index', 'score'], 1.0)
    """

    model_class = "ErnieMForMultipleChoice"
    checkpoints = "a folder from `erniem finetune choose`"
    item, items = "question", "questions"
    text_outputs = ("logits",)

    def __init__(
        self,
        model: Any,
        tokenizer: ErnieMTokenizer,
        *,
        on_overflow: str = "window",
        batch_tokens: int = BATCH_TOKENS,
    ) -> None:
        super().__init__(model, tokenizer, batch_tokens=batch_tokens, on_overflow=on_overflow)

    def __call__(
        self,
        prompt: Any,
        choices: Iterable[str] | None = None,
        *,
        progress: Report | None = None,
        **options: Any,
    ) -> Any:
        """Order choices by their scores after a prompt.

        Parameters
        ----------
        prompt : str, or iterable of {"prompt": str, "choices": iterable of str}
            Where it is an iterable, or one such dict, there is no second argument.
        choices : iterable of str
            At least two.
        progress : callable, optional
            Called after every batch with the number of prompts done and of all prompts.
        **options
            Of the constructor; they hold for this call.

        Returns
        -------
        list of {"index", "choice", "score"}, or a list of such lists
            The best first; of equal scores the one that comes first in `choices`. The scores are
            the softmax over the choices.

        Raises
        ------
        TypeError, ValueError
            A text is not a str, there are fewer than two choices, or an option has a wrong value.
        """
        if choices is not None:
            prompt = dict(zip(KEYS, (prompt, choices), strict=True))
        elif isinstance(prompt, str):
            raise TypeError("there are no choices; give two or more after the prompt")
        return super().__call__(prompt, progress=progress, **options)

    def iterate(self, items: Any) -> tuple[Iterator[Any], bool]:
        """Prompts with choices, not checked yet; a dict is one."""
        return (iter([items]), True) if isinstance(items, dict) else super().iterate(items)

    def check(self, item: Any, where: str) -> Question:
        """A prompt with its choices, from a dict {"prompt": str, "choices": iterable of str}."""
        if not isinstance(item, Mapping) or set(item) != set(KEYS):
            raise TypeError(f'{where} is not {{"prompt": a text, "choices": a list of texts}}')
        at = "" if where == self.items else f"{where}: "
        values, single = iterate(item["choices"], f"{at}choices")
        if single:
            raise TypeError(f"{at}choices is one str; give a list of texts")
        choices = tuple(check_text(text, f"{at}choices[{n}]") for n, text in enumerate(values))
        if len(choices) < 2:
            raise ValueError(
                f"{at}choices has {len(choices)} text{'s' * (len(choices) != 1)}; give two or more"
            )
        return Question(check_text(item["prompt"], f"{at}prompt"), choices)

    def size_of(self, item: Any) -> int:
        """Characters of the choices, as far as they are known before an iterator is read."""
        choices = item.get("choices") if isinstance(item, dict) else getattr(item, "choices", None)
        if not isinstance(choices, list | tuple):
            return super().size_of(item)
        return sum(map(super().size_of, choices))

    def prepare(self, items: list[Question]) -> list[Prepared]:
        """For each choice a row with the prompt, or one for each window of the prompt."""
        return [self._prepare(item) for item in items]

    def _prepare(self, item: Question) -> Prepared:
        prompt, *choices = encode_texts(self.tokenizer, [item.prompt, *item.choices])
        made = [
            pieces_of(self.tokenizer, prompt, ids, self.longest, self.on_overflow, f"choices[{n}]")
            for n, ids in enumerate(choices)
        ]
        rows = [row for pieces in made for row in pieces.rows]
        tokens = len(prompt) + sum(map(len, choices))
        cut = max(pieces.cut for pieces in made)
        return Prepared(rows, tokens, cut, [pieces.tokens for pieces in made])

    def compute(self, rows: list[list[int]], done: Done) -> list[Any]:
        """What the model gives for each row; another package's has an axis of the choices."""
        if takes_packed(self.model):
            return super().compute(rows, done)
        other = copy.copy(self)
        other.model = _OneChoice(self.model)
        return super(ChoiceRanker, other).compute(rows, done)

    def finish(
        self, item: Question, prepared: Prepared, outputs: list[Any]
    ) -> list[dict[str, Any]]:
        """The choices of a prompt, ordered."""
        rows = iter(one_number(output["logits"]) for output in outputs)
        logits = [window_mean([next(rows) for _ in tokens], tokens) for tokens in prepared.data]
        scores = softmax(np.concatenate(logits))
        return [
            {"index": n, "choice": item.choices[n], "score": float(scores[n])}
            for n in best_first(scores)
        ]


class _OneChoice:
    """A model for multiple choice, called with (B, T) ids as one choice of B prompts."""

    def __init__(self, model: Any) -> None:
        self.model, self.config = model, model.config

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> Any:
        """The outputs for (B, 1, T) ids: logits (B, 1)."""
        return self.model(input_ids[:, None], attention_mask=attention_mask[:, None])
