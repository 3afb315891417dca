"""The words of a text: which characters belong together where a script has spaces."""

import unicodedata
from functools import lru_cache

JOINERS = "-‐‑֊'’＇"  # hyphens and apostrophes
# Scripts without spaces between words: a word of them cannot be told from the text alone.
UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x2E80, 0x312F),  # radicals, Hiragana, Katakana, Bopomofo
    (0x31A0, 0x9FFF),  # further ones, Han
    (0xA9E0, 0xA9FF),  # Myanmar
    (0xAA60, 0xAADF),  # Myanmar, Tai Viet
    (0xF900, 0xFAFF),  # Han
    (0xFF66, 0xFF9F),  # Katakana of half width
    (0x11700, 0x1174F),  # Ahom
    (0x16FE0, 0x18DFF),  # Tangut, Khitan
    (0x1AFF0, 0x1B2FF),  # Kana, Nüshu
    (0x20000, 0x3FFFF),  # Han
)


def number_words(text: str) -> list[int]:
    """For each character the number of the word that it belongs to, -1 where there is none.

    A word is a run of letters and digits with their marks; a hyphen or an apostrophe between two
    letters belongs to it. All other punctuation, white space and symbols are in no word, and
    neither are the letters of scripts without spaces, such as Han, kana and Thai.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of int
        Words are numbered from 0, in order.

    References
    ----------
    Unicode Standard Annex 29, section 4, without the rules for full stops, commas, colons and
    underscores, which are punctuation here.

    Examples
    --------
    >>> number_words("I don't.")
    [0, -1, 1, 1, 1, 1, 1, -1]
    """
    kinds = [_kind(character) for character in text]
    followers = _followers(kinds)
    numbers: list[int] = []
    word, before = -1, "other"  # the last word; the kind of the last character that is no mark
    for kind, follower in zip(kinds, followers, strict=True):
        if kind == "mark":  # belongs to what it follows
            numbers.append(numbers[-1] if numbers else -1)
            continue
        if kind == "joiner" and not before == follower == "letter":
            kind = "other"
        if kind == "other":
            numbers.append(-1)
        else:
            word += before == "other"
            numbers.append(word)
        before = kind
    return numbers


def _followers(kinds: list[str]) -> list[str]:
    """For each character the kind of the next one that is no mark."""
    followers, following = [], "other"
    for kind in reversed(kinds):
        followers.append(following)
        following = following if kind == "mark" else kind
    return followers[::-1]


@lru_cache(maxsize=1 << 16)
def _kind(character: str) -> str:
    """Letter, digit, joiner, mark or other; a mark and a format character change no word."""
    category = unicodedata.category(character)
    if character in JOINERS:
        return "joiner"
    if category[0] == "M" or (category == "Cf" and character != "\u200b"):
        return "mark"
    if category == "Nd":
        return "digit"
    is_letter = category[0] == "L" or category == "Nl"
    return "letter" if is_letter and not is_unspaced(character) else "other"


def is_unspaced(character: str) -> bool:
    """Whether a character is of a script without spaces between words."""
    return any(first <= ord(character) <= last for first, last in UNSPACED)
