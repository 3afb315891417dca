"""Rules for pairs of English and a translation from catalogues: cleaning, filters, leaks."""

import hashlib
import html
import re
import statistics
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator

Row = tuple[str, str, str, str]  # source, language, English, translation

UNSPACED = ("ja", "th", "zh")  # written without spaces between words
SHORTEST = {"ja": 2, "ko": 2, "th": 2, "zh": 2}  # characters; of other languages 4
SCRIPTS = {
    "ar": "\u0600-\u06ff\ufb50-\ufdff\ufe70-\ufeff",
    "bg": "\u0400-\u04ff",
    "el": "\u0370-\u03ff\u1f00-\u1fff",
    "fa": "\u0600-\u06ff\ufb50-\ufdff\ufe70-\ufeff",
    "he": "\u0590-\u05ff",
    "hi": "\u0900-\u097f",
    "ja": "\u3005\u3040-\u30ff\u4e00-\u9fff",
    "ko": "\uac00-\ud7a3",
    "ru": "\u0400-\u04ff",
    "th": "\u0e00-\u0e7f",
    "uk": "\u0400-\u04ff",
    "zh": "\u4e00-\u9fff",
}
LATIN = "A-Za-z\u00c0-\u024f\u1e00-\u1eff"
MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0963\u0e31-\u0e4e"  # parts of words
WORDS = re.compile(rf"(?:[^\W\d_]|[{MARKS}])+")
WORDS_AND_NUMBERS = re.compile(rf"[\w{MARKS}]+")
JOINERS = "\u200c\u200d"  # parts of words in Persian and Hindi
PLACEHOLDER = re.compile(
    r"\$?\{+[^{}]*\}+|%\([^()\s]+\)[a-z]|%(?:\d+\$)?[sd@]\b|%\d+|\$[A-Za-z_]\w*|%[A-Za-z_]+%"
)
PLURAL = re.compile(r"\{\s*[\w-]+\s*,\s*(?:plural|select)")
TAG = re.compile(r"</?[A-Za-z][^<>]{0,200}>|</?\d+/?>|<br ?/?>")
LINK = re.compile(r"!?\[([^\[\]]+)\]\([^()\s]*\)")
ADDRESS = re.compile(r"\w+://|www\.|\w@\w")
ACCELERATOR = re.compile(r"(?<![\w&~_])[&~_](?=[^\W\d_])")
SENTENCE_END = re.compile(r"(?<=[.!?؟।])\s+|(?<=[。！？])\s*")
EMPHASIS = re.compile(r"(?<!\w)\*([^*\s][^*]*)\*(?!\w)|\*\*|__|`")
LONGEST, MOST_WORDS, MOST_PLACEHOLDERS, MOST_ENGLISH = 300, 60, 3, 3
SHORT_WORDS = 4  # an English text of fewer words is short
MOST_SHORT, MOST_LONGER = 3000, 6000  # rows of a language
SMALL = ("fa", "fi", "he", "hi", "th")  # languages without these limits
LEAK = 0.6  # of the n-grams of a held-out sentence


def clean(text: str) -> str:
    """The text without markup, accelerators and control marks, in NFC, with single spaces."""
    text = LINK.sub(r"\1", TAG.sub("", html.unescape(text)))
    text = ACCELERATOR.sub("", EMPHASIS.sub(r"\1", text))
    marks = (
        c if unicodedata.category(c) not in ("Cf", "Cc") or c in JOINERS else " " for c in text
    )
    return unicodedata.normalize("NFC", " ".join("".join(marks).split()))


def parts(english: str, translation: str) -> Iterator[tuple[str, str]]:
    """Lines of both sides, or sentences where both have the same number of them.

    Texts of up to 300 characters are split in half of all cases, by a hash of the English text.
    """
    both = [[line for line in text.splitlines() if line.strip()] for text in (english, translation)]
    if len(both[0]) != len(both[1]):
        both = [[" ".join(lines)] for lines in both]
    for a, b in zip(*both, strict=True):
        a, b = clean(a), clean(b)
        split = [[part for part in SENTENCE_END.split(text) if part] for text in (a, b)]
        if len(split[0]) == len(split[1]) and (len(a) > LONGEST or order(a)[0] < 128):
            yield from zip(*split, strict=True)
        else:
            yield a, b


def order(english: str) -> bytes:
    """A number that puts English texts into a random but fixed order."""
    return hashlib.sha256(english.encode()).digest()


def plain(text: str) -> str:
    """The text without case, punctuation and digits."""
    return " ".join(WORDS.findall(text.casefold()))


def fault(language: str, english: str, translation: str) -> str:
    """The first rule that a pair breaks; empty if it breaks none."""
    both = (english, translation)
    for text, shortest in zip(both, (4, SHORTEST.get(language, 4)), strict=True):
        if not shortest <= len(text) <= LONGEST or len(text.split()) > MOST_WORDS:
            return "length"
        if PLURAL.search(text) or ADDRESS.search(text):
            return "plurals and addresses"
    places = [sorted(PLACEHOLDER.findall(text)) for text in both]
    if places[0] != places[1] or len(places[0]) > MOST_PLACEHOLDERS:
        return "placeholders"
    bare = [PLACEHOLDER.sub("", text) for text in both]
    numbers = [Counter(int(number) for number in re.findall(r"\d+", text)) for text in bare]
    if numbers[0] != numbers[1]:
        return "numbers"
    if not all(map(_mostly_letters, bare)):
        return "letters"
    if not _in_script(bare[1], language):
        return "script"
    words = [plain(text).split() for text in bare]
    if sum(word in words[0] for word in words[1]) * 2 >= len(words[1]):
        return "untranslated"
    return ""


def _mostly_letters(text: str) -> bool:
    shown = [unicodedata.category(c)[0] in "LM" for c in text if not c.isspace()]
    return sum(shown) >= 0.6 * max(len(shown), 1)


def _in_script(text: str, language: str) -> bool:
    """Whether enough letters are of the language's script; names in Latin letters are usual."""
    letters = "".join(c for c in text if c.isalpha())
    own = re.findall(f"[{SCRIPTS.get(language, LATIN)}]", letters)
    least = 0.3 if language in ("ja", "ko", "zh") else 0.5 if language in SCRIPTS else 0.95
    return len(own) >= least * len(letters)


def chosen(rows: Iterable[Row]) -> list[Row]:
    """One translation for an English text, not of many of them, of a usual length."""
    first: dict[tuple[str, str], Row] = {}
    for row in rows:
        first.setdefault((row[1], plain(row[2])), row)
    several = Counter((row[1], row[3].casefold()) for row in first.values())
    lengths: dict[str, list[float]] = {}
    for _, language, english, translation in first.values():
        lengths.setdefault(language, []).append(len(translation) / len(english))
    usual = {language: statistics.median(ratios) for language, ratios in lengths.items()}
    return [
        row
        for row in first.values()
        if several[row[1], row[3].casefold()] <= MOST_ENGLISH
        and 0.4 <= len(row[3]) / len(row[2]) / usual[row[1]] <= 2.5
    ]


def limited(rows: list[Row]) -> list[Row]:
    """At most so many short and so many longer rows of a language that is not SMALL, sorted.

    A hash of the English text chooses them, so all languages have translations of the same texts.
    """
    seen: Counter[tuple[str, bool]] = Counter()
    kept = []
    for row in sorted(rows, key=lambda row: order(row[2])):
        short = len(row[2].split()) < SHORT_WORDS
        seen[row[1], short] += 1
        if row[1] in SMALL or seen[row[1], short] <= (MOST_SHORT if short else MOST_LONGER):
            kept.append(row)
    return sorted(kept)


class Leaks:
    """Finds the texts that have most of a held-out sentence.

    Parameters
    ----------
    sentences : iterable of (str, str)
        Language and text; English texts are "en".
    """

    def __init__(self, sentences: Iterable[tuple[str, str]]):
        self.sizes: list[int] = []
        self.holders: dict[tuple[str, tuple[str, ...] | str], list[int]] = {}
        self.whole = set()
        for language, text in dict.fromkeys(sentences):
            self.whole.add((language, plain(text)))
            grams = _grams(language, text)
            for gram in grams:
                self.holders.setdefault((language, gram), []).append(len(self.sizes))
            self.sizes.append(len(grams))

    def has(self, language: str, text: str) -> bool:
        """Whether the text is a held-out one or has 60 % of the n-grams of one."""
        if (language, plain(text)) in self.whole:
            return True
        grams = ((language, gram) for gram in _grams(language, text))
        shared = Counter(n for gram in grams for n in self.holders.get(gram, ()))
        return any(count >= LEAK * self.sizes[n] for n, count in shared.items())


def _grams(language: str, text: str) -> set[tuple[str, ...] | str]:
    """Three words, or five characters of a language that is written without spaces."""
    if language in UNSPACED:
        text = re.sub(r"\W", "", text.casefold())
        return {text[n : n + 5] for n in range(len(text) - 4)}
    words = WORDS_AND_NUMBERS.findall(text.casefold())
    return set(zip(words, words[1:], words[2:], strict=False))
