"""Fonts for labels in any script, of those that are installed. Needs matplotlib."""

from collections.abc import Sequence
from functools import lru_cache

from numpy_erniem.checks import warn

MISSING = "□"  # stands for a character that no font has
# Families that may be there, the best first: Linux, macOS, Windows.
FAMILIES = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC"),
    *("WenQuanYi Zen Hei", "PingFang SC", "Hiragino Sans", "Arial Unicode MS"),
    *("Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "SimHei"),
    *("Noto Sans Devanagari", "Lohit Devanagari", "Kohinoor Devanagari", "Nirmala UI", "Mangal"),
    *("Noto Sans Arabic", "Noto Naskh Arabic", "Geeza Pro", "Segoe UI", "Arial"),
    *("Noto Sans Thai", "Thonburi", "Leelawadee UI", "Noto Sans Hebrew", "Noto Sans"),
)
# First and last character, script, Debian package with a font for it.
SCRIPTS = (
    ("\u0590", "\u05ff", "Hebrew", "fonts-noto-core"),
    ("\u0600", "\u08ff", "Arabic", "fonts-noto-core"),
    ("\u0900", "\u097f", "Devanagari", "fonts-noto-core"),
    ("\u0e00", "\u0e7f", "Thai", "fonts-noto-core"),
    ("\u2e80", "\u9fff", "Chinese and Japanese", "fonts-noto-cjk"),
    ("\uac00", "\ud7af", "Korean", "fonts-noto-cjk"),
    ("\uf900", "\uffef", "Chinese and Japanese", "fonts-noto-cjk"),
)
SHAPED = ("Hebrew", "Arabic", "Devanagari", "Thai")  # need shaping, which matplotlib 3.11 brought
_told: set[str] = set()


@lru_cache(maxsize=64)
def _characters(family: str) -> frozenset[int]:
    """Code points that an installed family has; none where it is not installed."""
    from matplotlib import font_manager

    try:
        path = font_manager.findfont(family, fallback_to_default=False)
        return frozenset(font_manager.get_font(path).get_charmap())
    except ValueError:
        return frozenset()


def _script(char: str) -> tuple[str, str]:
    for first, last, name, package in SCRIPTS:
        if first <= char <= last:
            return name, package
    return "some characters", "fonts-noto-core"


def _tell(message: str) -> None:
    if message not in _told:
        _told.add(message)
        warn(message)


def readable(labels: Sequence[str]) -> tuple[list[str], list[str]]:
    """Find fonts for labels in any script.

    Returns
    -------
    labels : list of str
        With □ for every character that no font has. A $ is escaped: it begins no formula.
    families : list of str
        Fonts that have the others, for the argument `family` of matplotlib.

    Warns
    -----
    UserWarning
        Once per script: no font has it, and which to install; or this matplotlib cannot join its
        letters.
    """
    from matplotlib import ft2font

    families = ["DejaVu Sans"]
    wanted = {ord(char) for label in labels for char in label if char.isprintable()}
    left = wanted - _characters(families[0])
    for family in FAMILIES:
        if left & _characters(family):
            families.append(family)
            left -= _characters(family)

    def drawn(char: str) -> str:
        visible = char if char.isprintable() else " "
        return MISSING if ord(char) in left else r"\$" if char == "$" else visible

    missing = sorted({_script(chr(code)) for code in left})
    if missing:
        names = ", ".join(name for name, _ in missing)
        packages = " ".join(sorted({package for _, package in missing}))
        _tell(
            f"no font here has {names}; install one, such as Noto (Debian and Ubuntu: "
            f"apt install {packages}), and delete matplotlib's font cache"
        )
    found = {_script(chr(code))[0] for code in wanted - left}
    if not hasattr(ft2font, "__libraqm_version__") and found & set(SHAPED):
        _tell(
            f"this matplotlib draws {', '.join(sorted(found & set(SHAPED)))} letter by letter from "
            "left to right; 3.11 or newer joins and orders them"
        )
    shown = ["".join(map(drawn, label)) for label in labels]
    return shown, families
