"""Characters of a text → the tokens that hold them."""

from collections.abc import Sequence

import numpy as np

from numpy_erniem.checks import warn


class TokenBorders:
    """The tokens of a text, and spans of characters found in them.

    Parameters
    ----------
    text : str
    spans : sequence of (int, int)
        The characters of each token, in order.
    """

    def __init__(self, text: str, spans: Sequence[tuple[int, int]]) -> None:
        self.text = text
        self.spans = np.array(spans, np.int64).reshape(-1, 2)

    def find(self, start: int, end: int) -> tuple[int, int]:
        """The first and the last token that share a character with a span of characters.

        Raises
        ------
        ValueError
            None does, as of white space.
        """
        shared = np.minimum(self.spans[:, 1], end) > np.maximum(self.spans[:, 0], start)
        tokens = np.flatnonzero(shared)
        if not len(tokens):
            raise ValueError(f"{self.text[start:end]!r} at character {start} has no token")
        return int(tokens[0]), int(tokens[-1])

    def covered(self, first: int, last: int) -> str:
        """The text from the first to the last token."""
        return self.text[self.spans[first, 0] : self.spans[last, 1]]


class WidenedSpans:
    """The spans that do not lie on the borders of tokens, to be told at the end."""

    def __init__(self) -> None:
        self.count, self.widened = 0, 0
        self.first = ""

    def add(self, wanted: str, covered: str, where: str) -> None:
        """Count a span, and remember the first one that grew.

        Parameters
        ----------
        wanted, covered : str
            The span, and the text of its tokens.
        where : str
            What a warning calls it.
        """
        self.count += 1
        if wanted.strip() != covered.strip():
            self.first = self.first or f"{where}: {wanted!r} becomes {covered!r}"
            self.widened += 1

    def tell(self) -> None:
        """Warn of the spans that grew, if there are any."""
        if self.widened:
            warn(
                f"{self.widened} of {self.count} spans do not begin and end with a token and are "
                f"widened to whole tokens; {self.first}"
            )
