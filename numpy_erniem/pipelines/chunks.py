"""A text in chunks that follow one another, cut at the ends of sentences where possible."""

import re

import numpy as np

from numpy_erniem.pipelines.tokens import Encoded

CLOSING = "[\"'”’»」』）)\\]]*"
# A full stop ends a sentence only before white space: it also stands in numbers and names.
SENTENCE_END = re.compile(rf"[。！？!?…؟۔।]+{CLOSING}|(?<![.．])[.．]+{CLOSING}(?=\s)|\n")


class ChunkedText:
    """A text with the places where it may be cut.

    Parameters
    ----------
    text : str
    encoded : Encoded
        Its tokens.
    at_sentences : bool
        Whether to cut at the end of a sentence where one is near enough; else, and where there is
        none, at white space; where there is none either, between any two tokens.
    """

    def __init__(self, text: str, encoded: Encoded, at_sentences: bool = True) -> None:
        self.ids, self.spans = encoded
        spans = np.array(encoded.spans, np.int64).reshape(-1, 2)
        starts, ends = spans[:, 0], spans[:, 1]
        # Token numbers: the text may be cut before these tokens. The best places come first.
        self.places = [
            np.flatnonzero(starts[1:] > ends[:-1]) + 1,  # between them is white space
            np.flatnonzero(starts[1:] >= ends[:-1]) + 1,  # not inside of one character
        ]
        if at_sentences:
            ends_at = np.array([m.end() for m in SENTENCE_END.finditer(text)], np.int64)
            after = np.searchsorted(starts, ends_at)  # the first token behind each end
            inside = (after > 0) & (after < len(starts))
            after, ends_at = after[inside], ends_at[inside]
            self.places.insert(0, np.unique(after[ends[after - 1] <= ends_at]))

    def chunks(self, room: int) -> list[range]:
        """Ranges of tokens, each of at most `room`, that together are the whole text.

        Parameters
        ----------
        room : int
            At least 1.

        Returns
        -------
        list of range
            Without overlap; empty for a text without tokens.
        """
        chunks, start = [], 0
        while start < len(self.ids):
            end = self._end(start, room)
            chunks.append(range(start, end))
            start = end
        return chunks

    def _end(self, start: int, room: int) -> int:
        """Where a chunk ends that begins with token `start`."""
        latest = start + room
        if latest >= len(self.ids):
            return len(self.ids)
        for places in self.places:
            n = int(np.searchsorted(places, latest, side="right")) - 1
            if n >= 0 and places[n] > start:
                return int(places[n])
        return latest
