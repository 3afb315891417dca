"""Text → token ids: the splitter, SentencePiece and the cutting rules put together."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

from numpy_erniem.tokenizer.fast_rules import FastRules
from numpy_erniem.tokenizer.lengths import TokenizedText
from numpy_erniem.tokenizer.options import TextOptions
from numpy_erniem.tokenizer.pieces import PieceCutter, Span
from numpy_erniem.tokenizer.segments import Aligner, Segment, Splitter
from numpy_erniem.tokenizer.special_tokens import SpecialTokens

SAMPLING = {"enable_sampling": True, "nbest_size": 64, "alpha": 0.1}


class _Derived(NamedTuple):
    """What is made of the options and one revision of the special tokens."""

    revision: int
    added_ids: dict[str, int]
    splitters: dict[bool, Splitter]  # by split_special_tokens
    cutter: PieceCutter
    aligner: Aligner


class TextEncoder:
    """Turns texts into token ids, without special tokens around them.

    Parameters
    ----------
    sp_model : sentencepiece.SentencePieceProcessor
    special_tokens : SpecialTokens
        Also the vocabulary. A change of it has effect at the next call.
    options : TextOptions, optional

    Encoding is safe from several threads. Changing options or tokens at the same time is not.
    """

    def __init__(
        self, sp_model: Any, special_tokens: SpecialTokens, options: TextOptions | None = None
    ) -> None:
        self._sp_model = sp_model
        self.special_tokens = special_tokens
        self.options = TextOptions() if options is None else options

    @property
    def sp_model(self) -> Any:
        """The SentencePieceProcessor."""
        return self._sp_model

    @property
    def options(self) -> TextOptions:
        """How a text becomes tokens; set another object to change it."""
        return self._options

    @options.setter
    def options(self, options: TextOptions) -> None:
        self._options = options
        self._derived = self._derive()

    def _derive(self) -> _Derived:
        tokens, options = self.special_tokens, self._options
        revision = tokens.revision
        keep_case = [
            *tokens.all_special_tokens,
            *(t.content for t in tokens.added.values() if t.normalized and not t.special),
        ]
        splitters = {
            split: Splitter(
                tokens.added.values(),
                keep_case,
                do_lower_case=options.do_lower_case,
                split_special_tokens=split,
                lower_special_tokens=options.lower_special_tokens,
            )
            for split in (False, True)
        }
        settings = options.sp_model_kwargs
        sampling = None
        if settings.get("enable_sampling"):
            sampling = {name: settings.get(name, usual) for name, usual in SAMPLING.items()}
        processor = self.sp_model
        if options.marks_alone or options.final_underline:
            processor = FastRules(processor, options.marks_alone, options.final_underline)
        cutter = PieceCutter(
            processor,
            tokens.id_of,
            cut_pieces=options.cut_pieces,
            bare_underline=options.bare_underline,
            sampling=sampling,
            num_threads=settings.get("num_threads", 1),
        )
        return _Derived(revision, tokens.added_ids, splitters, cutter, Aligner(cutter))

    def _current(self) -> _Derived:
        derived = self._derived
        if derived.revision != self.special_tokens.revision:
            derived = self._derived = self._derive()
        return derived

    def _splitter(self, current: _Derived, split_special_tokens: bool | None) -> Splitter:
        split = self._options.split_special_tokens
        return current.splitters[
            bool(split if split_special_tokens is None else split_special_tokens)
        ]

    def tokenize(self, text: str, split_special_tokens: bool | None = None) -> list[str]:
        """Cut a text into tokens.

        Parameters
        ----------
        text : str
        split_special_tokens : bool, optional
            Treat special tokens in the text as ordinary text. Default: the encoder's option.

        Raises
        ------
        TypeError
            A text that is not a str.
        """
        current = self._current()
        cutter = current.cutter
        splitter = self._splitter(current, split_special_tokens)
        segments, _ = splitter.split(check_text(text))
        return [
            token
            for segment in segments
            for token in ([segment.text] if segment.is_token else cutter.tokens(segment.text))
        ]

    def ids(self, texts: list[str], split_special_tokens: bool | None = None) -> list[list[int]]:
        """Token ids of each text; `split_special_tokens` as for `tokenize`."""
        current = self._current()
        splitter, cutter = self._splitter(current, split_special_tokens), current.cutter
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
            _joined(parts[i], encoded, current.added_ids) if i in parts else next(encoded)
            for i in range(len(texts))
        ]

    def ids_and_offsets(self, text: str, split_special_tokens: bool | None = None) -> TokenizedText:
        """Token ids of a text, and the span of characters of each token.

        Parameters
        ----------
        text : str
        split_special_tokens : bool, optional
            As for `tokenize`.

        Raises
        ------
        ValueError
            A SentencePiece model whose alignment cannot be used (one with byte fallback).
        """
        current = self._current()
        segments, origins = self._splitter(current, split_special_tokens).split(text)
        ids: list[int] = []
        offsets: list[Span] = []
        for segment in segments:
            if segment.is_token:
                ids.append(current.added_ids[segment.text])
                spans = [(0, len(segment.text))]
            else:
                more, spans = current.aligner.ids_and_offsets(segment.text)
                ids += more
            base = segment.start
            offsets += [(base + start, base + end) for start, end in spans]
        if origins is not None:
            offsets = [
                (origins[start], origins[end - 1] + 1 if end > start else origins[start])
                for start, end in offsets
            ]
        return TokenizedText(ids, offsets)

    def get_offset_mapping(self, text: str) -> list[Span]:
        """Start and end in the text of each token of `tokenize(text)`."""
        return self.ids_and_offsets(check_text(text)).offsets or []

    def encode(
        self,
        items: list[Any],
        is_split_into_words: bool = False,
        offsets: bool = False,
        split_special_tokens: bool | None = None,
    ) -> list[TokenizedText]:
        """Encode texts, or what upstream also takes for a text.

        Parameters
        ----------
        items : list
            Each a str, a list of tokens (str), or a list of ids (int).
        is_split_into_words : bool
            Each item is a list of words instead; every word is encoded by itself.
        offsets : bool
            Also give the offsets of the tokens.
        split_special_tokens : bool, optional
            As for `tokenize`.

        Returns
        -------
        list of TokenizedText

        Raises
        ------
        TypeError
            An item of another type.
        ValueError
            Offsets asked for where there is no text.
        """
        how = offsets, split_special_tokens
        if is_split_into_words:
            return self._encode_words(items, *how)
        if all(type(item) is str for item in items):
            return self._encode_texts(items, *how)
        return [self._encode_item(item, *how) for item in items]

    def _encode_texts(
        self, texts: list[str], offsets: bool, split: bool | None
    ) -> list[TokenizedText]:
        if offsets:
            return [self.ids_and_offsets(text, split) for text in texts]
        return [TokenizedText(ids) for ids in self.ids(texts, split)]

    def _encode_item(self, item: Any, offsets: bool, split: bool | None) -> TokenizedText:
        """Encode what is not exactly a str: a subclass of it, a list of tokens or of ids."""
        if not isinstance(item, (list, tuple)) or not item:
            return self._encode_texts([str(check_text(item))], offsets, split)[0]
        if offsets:
            raise ValueError(
                "offsets need a text, got a list of tokens or ids; pass a str, or words with "
                "is_split_into_words=True"
            )
        if isinstance(item[0], str):
            return TokenizedText(self.special_tokens.ids_of(item))
        if not all(hasattr(token_id, "__index__") for token_id in item):
            raise TypeError(f"a list holds tokens (str) or ids (int), got {item!r:.60}")
        return TokenizedText(list(map(int, item)))

    def _encode_words(
        self, items: list[Any], offsets: bool, split: bool | None
    ) -> list[TokenizedText]:
        for words in items:
            if not isinstance(words, (list, tuple)):
                raise TypeError(
                    "is_split_into_words=True takes lists of words, got "
                    f"{type(words).__name__} {words!r:.60}"
                )
        words = [check_text(word) for item in items for word in item]
        encoded = iter(self._encode_texts(words, offsets, split))
        return [_joined_words([next(encoded) for _ in item], offsets) for item in items]

    def __getstate__(self) -> dict[str, Any]:
        return {name: v for name, v in self.__dict__.items() if name != "_derived"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._derived = self._derive()

    def __deepcopy__(self, memo: dict[int, Any]) -> TextEncoder:
        # The SentencePiece model never changes, so the copy shares it.
        tokens = copy.deepcopy(self.special_tokens, memo)
        return TextEncoder(self.sp_model, tokens, copy.deepcopy(self.options, memo))


def check_text(text: Any) -> str:
    """Return `text`; one that is not a str is a TypeError."""
    if isinstance(text, str):
        return text
    hint = "; decode it first" if isinstance(text, bytes) else "; pass a str"
    raise TypeError(f"a text is a str, got {type(text).__name__} {text!r:.60}{hint}")


def _joined(
    segments: list[Segment], encoded: Iterator[list[int]], added_ids: dict[str, int]
) -> list[int]:
    """Ids of a text from its added tokens and the ids of its other segments."""
    ids: list[int] = []
    for segment in segments:
        ids += [added_ids[segment.text]] if segment.is_token else next(encoded)
    return ids


def _joined_words(words: list[TokenizedText], offsets: bool) -> TokenizedText:
    ids = [i for word in words for i in word.ids]
    spans = [span for word in words for span in word.offsets or ()] if offsets else None
    owners = [index for index, word in enumerate(words) for _ in word.ids]
    return TokenizedText(ids, spans, owners)
