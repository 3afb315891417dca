"""Where the fast tokenizers of the library `tokenizers` differ from SentencePiece.

They read a letter with its combining marks as one group. A group of six bytes or more is normalised
character by character. Of a shorter one the first characters for which there is a rule are
normalised, and the others are dropped. SentencePiece takes the longest sequence that has a rule, so
"カ" and U+3099 become "ガ" in SentencePiece and stay two characters in `tokenizers`.

Some of them also keep the white space at the end of a text, as a token "▁".
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import chain
from typing import Any

UNDERLINE = "▁"
NOTHING = "\x01"  # the rules of XLM-R remove it; between two characters it keeps them apart
LONG_GROUP = 6  # bytes of UTF-8
# Characters that join the one before them and are no marks by category: joiners, a vowel of Thai
# and Lao, voiced marks of narrow kana, skin colours.
MORE_JOINING = "\u0e33\u0eb3\u200c\u200d\uff9e\uff9f\U0001f3fb-\U0001f3ff"
# Signs of Arabic and other scripts that join the character after them.
BEFORE = "[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u0d4e\U000110bd\U000110cd]"
# A syllable or first consonant of Hangul, and the vowels and last consonants after it.
HANGUL = "[\u1100-\u115f\ua960-\ua97c\uac00-\ud7a3]?[\u1160-\u11ff\ud7b0-\ud7fb]+"
NEVER_JOINED = (
    r"\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    r"\ufff0-\ufffb\ud800-\udfff"
)


@lru_cache(maxsize=1)
def groups() -> re.Pattern[str]:
    """Make the pattern of a character and the marks that join it."""
    letters = chain(range(0x300, 0x3200), range(0xA600, 0xAC00), range(0xFB00, 0x1F000))
    marks = "".join(
        char
        for char in map(chr, chain(letters, range(0xE0100, 0xE01F0)))
        if unicodedata.category(char).startswith("M")
    )
    joining = f"[{re.escape(marks)}{MORE_JOINING}]"
    base = f"[^{NEVER_JOINED}]"
    return re.compile(f"{BEFORE}*(?:{HANGUL}{joining}*|{base}{joining}+)|{BEFORE}+{base}{joining}*")


class FastRules:
    """A SentencePiece model that follows the rules of the library `tokenizers`.

    Parameters
    ----------
    processor : sentencepiece.SentencePieceProcessor
    marks_alone : bool
        Normalise groups of letter and marks as `tokenizers` does.
    final_underline : bool
        Give the last piece "▁" to a text that ends in white space.
    """

    def __init__(self, processor: Any, marks_alone: bool, final_underline: bool) -> None:
        self._processor = processor
        self._piece = processor.piece_to_id(UNDERLINE)
        self._final_underline = final_underline
        self._groups = groups() if marks_alone else None
        self._group = lru_cache(maxsize=1 << 14)(self._normalize_group)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._processor, name)

    def encode(self, texts: Any, out_type: type = int, **options: Any) -> list[Any]:
        """Pieces of a text or of each of several, as ids (int) or texts (str)."""
        single = isinstance(texts, str)
        texts = [self._keep_apart(text) for text in ([texts] if single else texts)]
        given = texts[0] if single else texts
        rows = self._processor.encode(given, out_type=out_type, **options)
        last = UNDERLINE if out_type is str else self._piece
        for text, row in zip(texts, [rows] if single else rows, strict=True):
            if self._ends_in_space(text):
                row.append(last)
        return rows

    def normalize(self, text: str, with_offsets: bool = False) -> Any:
        """Return the normalised text, and the index in `text` of each of its characters."""
        apart = self._keep_apart(text)
        normalized, origin = self._processor.normalize(apart, with_offsets=True)
        if self._ends_in_space(apart):
            normalized += UNDERLINE
            origin = [*origin[:-1], len(apart.rstrip()), len(apart)]
        if not with_offsets:
            return normalized
        if apart != text:
            places = self._places(text)
            origin = [places[n] for n in origin]
        return normalized, origin

    def _keep_apart(self, text: str) -> str:
        """The text, so that SentencePiece normalises it as `tokenizers` would."""
        if self._groups is None or text.isascii():
            return text
        return self._groups.sub(lambda match: self._group(match.group()), text)

    def _places(self, text: str) -> list[int]:
        """For each character of the text that is kept apart, and its end, the index in `text`."""
        places: list[int] = []
        done = 0
        for match in self._groups.finditer(text) if self._groups else ():
            places += range(done, match.start())
            apart = self._group(match.group())
            at = match.start()
            for char in apart:
                places.append(at)
                at += char != NOTHING
            done = match.end()
        return [*places, *range(done, len(text) + 1)]

    def _normalize_group(self, group: str) -> str:
        if len(group.encode("utf-8", "surrogatepass")) < LONG_GROUP:
            for end in range(1, len(group) + 1):
                if self._has_rule(group[:end]):
                    return group[:end]
        return NOTHING.join(group)

    def _has_rule(self, text: str) -> bool:
        """Whether there is a rule for these characters, and not only for some behind the first."""
        plain = text if len(text) == 1 else self._normalized(f"{text[0]}{NOTHING}{text[1:]}")
        return self._normalized(text) != plain

    def _normalized(self, text: str) -> str:
        between = self._processor.normalize(f"a{NOTHING}{text}{NOTHING}b")  # "▁a...b"
        return between[2:-1].replace(UNDERLINE, " ")

    def _ends_in_space(self, text: str) -> bool:
        """Whether the normalised text ends in a space, before SentencePiece drops it."""
        if not self._final_underline or not text or text[-1].isalnum():
            return False
        # Between two letters nothing is dropped. "b" joins with no character before it.
        return self._processor.normalize(f"a{text}b").endswith(f"{UNDERLINE}b")
