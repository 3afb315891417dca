"""Words of a text by Unicode's rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpy_erniem.pipelines.words import number_words


def words_of(text):
    """The words as strings."""
    numbers = number_words(text)
    return [
        "".join(c for c, n in zip(text, numbers, strict=True) if n == word)
        for word in range(max(numbers, default=-1) + 1)
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, world!", ["Hello", "world"]),
        ("well-known O'Neill don’t", ["well-known", "O'Neill", "don’t"]),
        ("a--b -c d- 'e' -", ["a", "b", "c", "d", "e"]),
        ("COVID-19 2-3", ["COVID", "19", "2", "3"]),
        ("end.Next 2.5 a_b", ["end", "Next", "2", "5", "a", "b"]),
        ("h2o x86", ["h2o", "x86"]),
        ("cafe\u0301-bar", ["cafe\u0301-bar"]),
        ("so\u00adft می\u200cخواهم", ["so\u00adft", "می\u200cخواهم"]),
        ("zero\u200bwidth", ["zero", "width"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("한국어 텍스트", ["한국어", "텍스트"]),
        ("打开File文件", ["File"]),
        ("カタカナ ひらがな สวัสดี", []),
        ("½ € 👍🏽", []),
        ("\u0301a", ["a"]),
        ("", []),
    ],
)
def test_words(text, words):
    assert words_of(text) == words


@given(st.text(alphabet=st.sampled_from("aéЖאعक्ि 한1٣!?(\u0301\u00ad\u200b$\t") | st.characters()))
def test_unicode_has_a_boundary_between_any_two_words(text):
    regex = pytest.importorskip("regex")
    boundaries = {m.start() for m in regex.finditer(r"(?w)\b", text)}
    numbers = number_words(text)
    for n in range(1, len(text)):
        if numbers[n] != numbers[n - 1] and min(numbers[n], numbers[n - 1]) >= 0:
            assert n in boundaries


@given(st.text(alphabet="abéЖאعह한ｱ19٣ !?(\u0301\u00ad$\t"))
def test_words_without_joining_punctuation_are_those_of_unicode(text):
    regex = pytest.importorskip("regex")
    boundaries = {0, *(m.start() for m in regex.finditer(r"(?w)\b", text)), len(text)}
    numbers = number_words(text)
    same = {n for n in range(1, len(text)) if numbers[n] == numbers[n - 1] >= 0}
    inside = {
        n
        for n in range(1, len(text))
        if n not in boundaries and numbers[n] >= 0 and numbers[n - 1] >= 0
    }
    assert same == inside
