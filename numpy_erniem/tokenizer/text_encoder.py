"""Text → token ids: the splitter, SentencePiece and the cutting rules put together."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from numpy_erniem.tokenizer.offsets import Aligner
from numpy_erniem.tokenizer.options import refuse_unknown
from numpy_erniem.tokenizer.pieces import PieceCutter, Span
from numpy_erniem.tokenizer.special_tokens import SpecialTokens
from numpy_erniem.tokenizer.splitter import Segment, Splitter
from numpy_erniem.tokenizer.truncation import TokenizedText

BARE_UNDERLINE = ("hf", "paddle")
SP_MODEL_KWARGS = ("enable_sampling", "nbest_size", "alpha", "num_threads")
SAMPLING = {"enable_sampling": True, "nbest_size": 64, "alpha": 0.1}


@dataclass(frozen=True)
class TextOptions:
    """How a text becomes tokens. `ErnieMTokenizer` documents the options.

    Raises
    ------
    TypeError
        An unknown key of `sp_model_kwargs`.
    ValueError
        An unknown rule as `bare_underline`, or a sampling that has nothing to sample from.
    """

    do_lower_case: bool = False
    split_special_tokens: bool = False
    cut_pieces: bool = True
    bare_underline: str = "hf"
    sp_model_kwargs: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = self.sp_model_kwargs
        refuse_unknown(settings, SP_MODEL_KWARGS, "sp_model_kwargs")
        if settings.get("enable_sampling") and settings.get("nbest_size") in (0, 1):
            raise ValueError(
                f"nbest_size={settings['nbest_size']} leaves nothing to sample from; use -1 for "
                "all segmentations, or a number above 1"
            )
        if self.bare_underline not in BARE_UNDERLINE:
            raise ValueError(
                f"bare_underline={self.bare_underline!r} is unknown; use one of "
                f"{', '.join(BARE_UNDERLINE)}"
            )
        object.__setattr__(self, "sp_model_kwargs", dict(settings))


class _Derived(NamedTuple):
    """What is made of the options and one revision of the special tokens."""

    revision: int
    added_ids: dict[str, int]
    splitter: Splitter
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

    Notes
    -----
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
        splitter = Splitter(
            tokens.added.values(),
            [
                *tokens.all_special_tokens,
                *(t.content for t in tokens.added.values() if t.normalized and not t.special),
            ],
            do_lower_case=options.do_lower_case,
            split_special_tokens=options.split_special_tokens,
        )
        settings = options.sp_model_kwargs
        sampling = None
        if settings.get("enable_sampling"):
            sampling = {name: settings.get(name, usual) for name, usual in SAMPLING.items()}
        cutter = PieceCutter(
            self.sp_model,
            tokens.id_of,
            cut_pieces=options.cut_pieces,
            bare_underline=options.bare_underline,
            sampling=sampling,
            num_threads=settings.get("num_threads", 1),
        )
        return _Derived(revision, tokens.added_ids, splitter, cutter, Aligner(cutter))

    def _current(self) -> _Derived:
        derived = self._derived
        if derived.revision != self.special_tokens.revision:
            derived = self._derived = self._derive()
        return derived

    def tokenize(self, text: str) -> list[str]:
        """Cut a text into tokens.

        Raises
        ------
        TypeError
            A text that is not a str.
        """
        current = self._current()
        cutter = current.cutter
        segments, _ = current.splitter.split(check_text(text))
        return [
            token
            for segment in segments
            for token in ([segment.text] if segment.is_token else cutter.tokens(segment.text))
        ]

    def ids(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text."""
        current = self._current()
        splitter, cutter = current.splitter, current.cutter
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

    def ids_and_offsets(self, text: str) -> TokenizedText:
        """Token ids of a text, and the span of characters of each token.

        Raises
        ------
        ValueError
            A SentencePiece model whose alignment cannot be used (one with byte fallback).
        """
        current = self._current()
        segments, origins = current.splitter.split(text)
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

    def encode(
        self, items: list[Any], is_split_into_words: bool = False, offsets: bool = False
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
        if is_split_into_words:
            return self._encode_words(items, offsets)
        if all(type(item) is str for item in items):
            return self._encode_texts(items, offsets)
        return [self._encode_item(item, offsets) for item in items]

    def _encode_texts(self, texts: list[str], offsets: bool) -> list[TokenizedText]:
        if offsets:
            return [self.ids_and_offsets(text) for text in texts]
        return [TokenizedText(ids) for ids in self.ids(texts)]

    def _encode_item(self, item: Any, offsets: bool) -> TokenizedText:
        """Encode what is not exactly a str: a subclass of it, a list of tokens or of ids."""
        if not isinstance(item, (list, tuple)) or not item:
            return self._encode_texts([str(check_text(item))], offsets)[0]
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

    def _encode_words(self, items: list[Any], offsets: bool) -> list[TokenizedText]:
        for words in items:
            if not isinstance(words, (list, tuple)):
                raise TypeError(
                    "is_split_into_words=True takes lists of words, got "
                    f"{type(words).__name__} {words!r:.60}"
                )
        words = [check_text(word) for item in items for word in item]
        encoded = iter(self._encode_texts(words, offsets))
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
