"""Text → token sequences: the splitter, SentencePiece and the cutting rules put together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy_erniem.tokenizer.offsets import Aligner
from numpy_erniem.tokenizer.options import Options
from numpy_erniem.tokenizer.pieces import PieceCutter, Span
from numpy_erniem.tokenizer.special_tokens import SpecialTokens
from numpy_erniem.tokenizer.splitter import Segment, Splitter
from numpy_erniem.tokenizer.truncation import Sequence

RULES = ("hf", "paddle")
# Attributes the splitter and the cutter are made of.
READ = ("do_lower_case", "split_special_tokens", "sp_model_kwargs", "cut_pieces", "bare_underline")
SAMPLING = {"enable_sampling": True, "nbest_size": 64, "alpha": 0.1}


def check_text(text: Any) -> str:
    """Return `text`.

    Raises
    ------
    TypeError
        If it is not a str.
    """
    if isinstance(text, str):
        return text
    hint = "; decode it first" if isinstance(text, bytes) else "; pass a str"
    raise TypeError(f"a text is a str, got {type(text).__name__} {text!r:.60}{hint}")


class TextEncoder(SpecialTokens):
    """Mixin: everything about text that needs no rows."""

    sp_model: Any
    sp_model_kwargs: dict[str, Any]
    bare_underline: str
    cut_pieces: bool
    split_special_tokens: bool

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "bare_underline" and value not in RULES:
            raise ValueError(f"bare_underline={value!r} is unknown; use one of {', '.join(RULES)}")
        super().__setattr__(name, value)
        if name in READ and "_splitter" in self.__dict__:
            self._tokens_changed()

    def _tokens_changed(self) -> None:
        """Start anew with everything derived from the vocabulary."""
        keep_case = [
            *self.all_special_tokens,
            *(t.content for t in self._added.values() if t.normalized and not t.special),
        ]
        self._splitter = Splitter(
            self._added.values(),
            keep_case,
            do_lower_case=self.do_lower_case,
            split_special_tokens=self.split_special_tokens,
        )
        sampling = None
        if self.sp_model_kwargs.get("enable_sampling"):
            sampling = {k: self.sp_model_kwargs.get(k, usual) for k, usual in SAMPLING.items()}
        cutter = PieceCutter(
            self.sp_model,
            self._id_of,
            cut_pieces=self.cut_pieces,
            bare_underline=self.bare_underline,
            sampling=sampling,
            num_threads=self.sp_model_kwargs.get("num_threads", 1),
        )
        self._cutter, self._aligner = cutter, Aligner(cutter)

    def tokenize(self, text: str) -> list[str]:
        """Cut a text into tokens, without special tokens around it.

        Raises
        ------
        TypeError
            If `text` is not a str.
        """
        segments, _ = self._splitter.split(check_text(text))
        return [
            token
            for segment in segments
            for token in ([segment.text] if segment.is_token else self._cutter.tokens(segment.text))
        ]

    def get_offset_mapping(self, text: str) -> list[Span]:
        """Character span of each token of `tokenize(text)`."""
        return self._aligned(check_text(text)).offsets

    def _ids_of_texts(self, texts: list[str]) -> list[list[int]]:
        splitter, cutter = self._splitter, self._cutter
        parts = {
            i: splitter.split(text)[0]
            for i, text in enumerate(texts)
            if not splitter.leaves_whole(text)
        }
        if not parts:
            return cutter.ids(texts)
        ordinary: list[str] = []
        for i, text in enumerate(texts):
            ordinary += [s.text for s in parts[i] if not s.is_token] if i in parts else [text]
        encoded = iter(cutter.ids(ordinary))
        return [
            self._joined(parts[i], encoded) if i in parts else next(encoded)
            for i in range(len(texts))
        ]

    def _joined(self, part: list[Segment], encoded: Iterator[list[int]]) -> list[int]:
        ids: list[int] = []
        for segment in part:
            ids += [self._added_ids[segment.text]] if segment.is_token else next(encoded)
        return ids

    def _aligned(self, text: str) -> Sequence:
        """Ids with offsets."""
        segments, origins = self._splitter.split(text)
        ids: list[int] = []
        offsets: list[Span] = []
        for segment in segments:
            if segment.is_token:
                ids.append(self._added_ids[segment.text])
                spans = [(0, len(segment.text))]
            else:
                more, spans = self._aligner.ids_and_offsets(segment.text)
                ids += more
            base = segment.start
            offsets += [(base + start, base + end) for start, end in spans]
        if origins is not None:
            offsets = [
                (origins[start], origins[end - 1] + 1 if end > start else origins[start])
                for start, end in offsets
            ]
        return Sequence(ids, offsets)

    def _sequences(self, items: list[Any], o: Options) -> list[Sequence]:
        """Tokenize texts, lists of words, lists of tokens or lists of ids."""
        if o.is_split_into_words:
            return self._sequences_of_words(items, o)
        if all(type(item) is str for item in items):
            if o.return_offsets_mapping:
                return [self._aligned(item) for item in items]
            return [Sequence(ids) for ids in self._ids_of_texts(items)]
        return [self._sequence(item, o) for item in items]

    def _sequence(self, item: Any, o: Options) -> Sequence:
        """Tokenize what is not exactly a str: a subclass of it, a list of tokens or of ids."""
        if not isinstance(item, (list, tuple)) or not item:
            text = str(check_text(item))
            return (
                self._aligned(text) if o.return_offsets_mapping else self._sequences([text], o)[0]
            )
        if o.return_offsets_mapping:
            raise ValueError(
                "offsets need a text, got a list of tokens or ids; pass a str, or words with "
                "is_split_into_words=True"
            )
        if isinstance(item[0], str):
            return Sequence(self.convert_tokens_to_ids(item))
        if not all(hasattr(token_id, "__index__") for token_id in item):
            raise TypeError(f"a list is one of tokens (str) or of ids (int), got {item!r:.60}")
        return Sequence(list(map(int, item)))

    def _sequences_of_words(self, items: list[Any], o: Options) -> list[Sequence]:
        for words in items:
            if not isinstance(words, (list, tuple)):
                raise TypeError(
                    "is_split_into_words=True takes lists of words, got "
                    f"{type(words).__name__} {words!r:.60}"
                )
        words = [check_text(word) for item in items for word in item]
        if o.return_offsets_mapping:
            tokenized = iter(map(self._aligned, words))
        else:
            tokenized = iter([Sequence(ids) for ids in self._ids_of_texts(words)])
        sequences = []
        for item in items:
            ids: list[int] = []
            offsets: list[Span] = []
            owners: list[int] = []
            for index, _ in enumerate(item):
                word = next(tokenized)
                ids += word.ids
                offsets += word.offsets or ()
                owners += [index] * len(word.ids)
            sequences.append(Sequence(ids, offsets if o.return_offsets_mapping else None, owners))
        return sequences
