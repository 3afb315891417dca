"""A text with masks in; the most likely tokens for each mask out."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from numpy_erniem.backend.independent_rows import independent_rows
from numpy_erniem.models import ErnieMForMaskedLM
from numpy_erniem.pipelines.base import Pipeline
from numpy_erniem.pipelines.packing import BATCH_TOKENS, Batch, run_rows
from numpy_erniem.pipelines.scores import check_whole
from numpy_erniem.pipelines.streaming import Done, Prepared
from numpy_erniem.pipelines.tokens import encode_texts, row_of, take_ranges
from numpy_erniem.pipelines.windows import best_window
from numpy_erniem.tokenizer import ErnieMTokenizer
from numpy_erniem.tokenizer.texts import as_list

SPECIALS = 2  # [CLS] text [SEP]
LOGITS = 1 << 24  # most of them at a time
UNDERLINE = "▁"

Fillings = list[dict[str, Any]]
Result = Fillings | list[Fillings]
Best = tuple[list[int], list[float]]  # ids and scores


class MaskedText(NamedTuple):
    """A text with masks.

    Attributes
    ----------
    ids : list of int
        Its tokens, without special ones around them.
    masks : list of int
        Which of them are masks.
    places : list of lists of int
        For each row that is made of it, which tokens of the row are masks that are read there.
    """

    ids: list[int]
    masks: list[int]
    places: list[list[int]]


class MaskFiller(Pipeline[Result]):
    """Gives the most likely tokens for each [MASK] of a text.

    Parameters
    ----------
    model : ErnieMForMaskedLM, or callable with its outputs
    tokenizer : ErnieMTokenizer
    top_k : int
        How many tokens for each mask.
    targets : str or iterable of str, optional
        The only tokens to choose from: words, such as "Paris", or pieces of the vocabulary, such as
        "▁Paris". Their scores are those in the whole vocabulary.
    on_overflow : {"window", "cut", "error"}
        What is done with a text that is longer than the model takes. "window": it is read in
        windows that overlap by half, and each mask in the one in which it stands farthest from an
        edge. "cut": its end is left out, masks too, with a warning.
    batch_tokens : int
        Most tokens of a batch.
    """

    model_class = "ErnieMForMaskedLM"
    checkpoints = "xlm-roberta-base, after erniem convert"

    def __init__(
        self,
        model: Any,
        tokenizer: ErnieMTokenizer,
        *,
        top_k: int = 5,
        targets: str | Iterable[str] | None = None,
        on_overflow: str = "window",
        batch_tokens: int = BATCH_TOKENS,
    ) -> None:
        super().__init__(model, tokenizer, batch_tokens=batch_tokens, on_overflow=on_overflow)
        self.top_k = top_k
        self.targets = as_list(targets, "targets")

    def with_options(self, **options: Any) -> "MaskFiller":
        """The same with other options; targets are read once, because an iterator ends."""
        if "targets" in options:
            options["targets"] = as_list(options["targets"], "targets")
        return super().with_options(**options)

    def check_options(self) -> None:
        """Raise a ValueError for an option with a wrong value, or a target that is no token."""
        super().check_options()
        check_whole("top_k", self.top_k, 1)
        if self.tokenizer.mask_token_id is None:
            raise ValueError("the tokenizer has no mask token, so there is nothing to fill")
        self._target_ids()

    def _target_ids(self) -> np.ndarray | None:
        """Ids of the targets, sorted; None where every token may be chosen."""
        if self.targets is None:
            return None
        targets = self.targets if isinstance(self.targets, (list, tuple)) else [self.targets]
        if not targets:
            raise ValueError("targets is empty; give words, or leave it out")
        return np.unique([target_id(self.tokenizer, target) for target in targets])

    def prepare(self, items: list[str]) -> list[Prepared]:
        """For each text a row, or one for each window in which a mask is read."""
        encoded = encode_texts(self.tokenizer, items)
        return [self._prepare(ids) for ids in encoded]

    def _prepare(self, ids: list[int]) -> Prepared:
        room = self.longest - SPECIALS
        overlap = room // 2 if self.on_overflow == "window" else 0
        ranges, cut = take_ranges(self.tokenizer, len(ids), room, self.on_overflow, overlap)
        first, last = ranges[0].start, ranges[-1].stop
        masks = np.flatnonzero(np.asarray(ids) == self.tokenizer.mask_token_id)
        masks = masks[(masks >= first) & (masks < last)]
        if not masks.size:
            where = "the part that is read" if cut else "it"
            raise ValueError(f"there is no {self.tokenizer.mask_token} in {where}; write one")
        windows = best_window(len(ids), ranges)[masks]
        used = np.unique(windows).tolist()
        rows = [row_of(self.tokenizer, ids[ranges[w].start : ranges[w].stop]) for w in used]
        places = [(1 + masks[windows == w] - ranges[w].start).tolist() for w in used]
        text = MaskedText(ids[first:last], (masks - first).tolist(), places)
        return Prepared(rows, len(ids), cut, text)

    def run(self, items: list[str], prepared: list[Prepared], done: Done) -> list[Result]:
        """The fillings of some texts, from one pass of the model over all rows.

        Parameters
        ----------
        items : list of str
        prepared : list of Prepared
        done : function
            Told which part of the work is done, from 0 to 1.

        Returns
        -------
        list of fillings, or of a list of them for each mask
        """
        rows = [row for p in prepared for row in p.rows]
        places = [np.array(place) for p in prepared for place in p.data.places]
        headless = isinstance(self.model, ErnieMForMaskedLM)  # then few tokens are scored
        output = "last_hidden_state" if headless else "logits"
        most = self.batch_tokens if headless else min(self.batch_tokens, self._scored_at_once)
        finished = 0

        def reduce(batch: Batch) -> list[list[Best]]:
            nonlocal finished
            values = batch.tokens[output]  # (N, D) or (N, V)
            masks = [
                places[r] + start for r, start in zip(batch.rows, batch.starts[:-1], strict=True)
            ]
            best = iter(self._best(values[np.concatenate(masks)], headless))
            finished += len(batch.rows)
            done(finished / len(rows))
            return [list(islice(best, len(mask))) for mask in masks]

        model = self.model.base_model if headless else self.model
        found = iter(run_rows(model, rows, reduce, token_outputs=(output,), batch_tokens=most))
        return [
            self._result(p.data, [best for row in islice(found, len(p.rows)) for best in row])
            for p in prepared
        ]

    @property
    def _scored_at_once(self) -> int:
        """Tokens whose scores are in memory at a time."""
        size = getattr(self.model.config, "vocab_size", len(self.tokenizer))
        return max(1, LOGITS // size)

    def _best(self, values: np.ndarray, headless: bool) -> Iterator[Best]:
        """For each mask its best tokens, from hidden states (n, D) or from logits (n, V)."""
        targets = self._target_ids()
        for n in range(0, len(values), self._scored_at_once):
            part = values[n : n + self._scored_at_once]
            if headless:
                with independent_rows():
                    part = self.model.score_vocabulary(part)  # (n, D) -> (n, V)
            allowed = np.arange(min(part.shape[1], len(self.tokenizer)))
            if part.ndim != 2 or (targets is not None and targets[-1] >= part.shape[1]):
                raise ValueError(
                    f"the model gives scores of the shape {part.shape[1:]} for a mask, where the "
                    f"vocabulary has {len(self.tokenizer)} tokens; give a model with the head of "
                    "the task, and its tokenizer"
                )
            for logits in part:
                yield best_tokens(logits, self.top_k, allowed if targets is None else targets)

    def _result(self, text: MaskedText, best: list[Best]) -> Result:
        """The fillings of a text: a list for one mask, a list of lists for several."""
        single = len(text.masks) == 1
        fillings = [
            [self._filling(text.ids, mask, *pair, single) for pair in zip(*pairs, strict=True)]
            for mask, pairs in zip(text.masks, best, strict=True)
        ]
        return fillings[0] if single else fillings

    def _filling(
        self, ids: list[int], mask: int, token_id: int, score: float, single: bool
    ) -> dict[str, Any]:
        """A token for a mask; the sequence shows other masks, but no [CLS] and [SEP]."""
        tokenizer = self.tokenizer
        filled = [*ids[:mask], token_id, *ids[mask + 1 :]]
        if not single:
            ends = (tokenizer.cls_token_id, tokenizer.sep_token_id)
            filled = [i for i in filled if i not in ends]
        piece = tokenizer.convert_ids_to_tokens(token_id)
        return {
            "token": tokenizer.convert_tokens_to_string([piece]),
            "token_id": token_id,
            "score": score,
            "sequence": tokenizer.decode(filled, skip_special_tokens=single),
        }


def best_tokens(logits: np.ndarray, top_k: int, allowed: np.ndarray) -> Best:
    """The best tokens for a mask; of equal ones the lower id.

    Parameters
    ----------
    logits : (V,) array
        Of the whole vocabulary.
    top_k : int
    allowed : (n,) integer array
        Sorted ids of the tokens to choose from.

    Returns
    -------
    ids : list of int
    scores : list of float
        Softmax over the vocabulary, in float64.
    """
    logits = np.asarray(logits, np.float64)
    chosen = logits[allowed]
    if top_k < len(chosen):  # all that are at least the k-th largest
        least = np.partition(chosen, len(chosen) - top_k)[len(chosen) - top_k]
        near = np.flatnonzero(chosen >= least)
        allowed, chosen = allowed[near], chosen[near]
    order = np.argsort(-chosen, kind="stable")[:top_k]
    largest = logits.max()
    total = np.exp(logits - largest).sum()
    return allowed[order].tolist(), (np.exp(chosen[order] - largest) / total).tolist()


def target_id(tokenizer: ErnieMTokenizer, target: str) -> int:
    """The id of a target.

    Parameters
    ----------
    tokenizer : ErnieMTokenizer
    target : str
        A piece that begins with "▁"; or a word: it is looked up with "▁" before it, then without.

    Returns
    -------
    int

    Raises
    ------
    TypeError
        It is not a str.
    ValueError
        It is no token of the vocabulary; the message names the tokens that it is cut into.
    """
    if not isinstance(target, str):
        raise TypeError(f"the target {target!r} is a {type(target).__name__}, not a str")
    known = tokenizer.get_vocab()
    for piece in (target,) if target.startswith(UNDERLINE) else (UNDERLINE + target, target):
        if target.strip() and piece in known:
            return int(known[piece])
    tokens = tokenizer.tokenize(target)
    if len(tokens) == 1 and tokens[0] in known and tokens[0] != tokenizer.unk_token:
        return int(known[tokens[0]])
    are = f"{len(tokens)} tokens: {' '.join(tokens)}" if len(tokens) > 1 else "no token"
    raise ValueError(f"the target {target!r} is {are}; a mask stands for one token")
