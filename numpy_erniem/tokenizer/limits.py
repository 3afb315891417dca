"""How many tokens fit into a row."""

from __future__ import annotations

from numpy_erniem.tokenizer.notices import Notices

# ERNIE-M has 514 position embeddings, of which the first two are never used.
MODEL_TAKES = 512
POSITIONS = 514
# Upstream writes 1e30 for "no limit".
NO_LIMIT = 10**20


class LengthLimits:
    """Mixin: the model's length, and how many special tokens take part of it."""

    _notices: Notices

    @property
    def model_max_length(self) -> int:
        """How many tokens the model takes: 512 unless told otherwise, and also where told 514.

        514 is what published configurations say; it counts the position embeddings.
        """
        return self._model_max_length

    @model_max_length.setter
    def model_max_length(self, value: int | None) -> None:
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise TypeError(f"model_max_length is an integer, got {type(value).__name__} {value!r}")
        if value is not None and value < 1:
            raise ValueError(f"model_max_length={value} is too small; ERNIE-M takes {MODEL_TAKES}")
        self._length_is_known = value is not None and value < NO_LIMIT
        self._length_is_corrected = value == POSITIONS
        usual = not self._length_is_known or self._length_is_corrected
        self._model_max_length = MODEL_TAKES if usual else int(value)

    @property
    def max_len_single_sentence(self) -> int:
        """How many tokens of a single text fit."""
        return self.model_max_length - self.num_special_tokens_to_add()

    @property
    def max_len_sentences_pair(self) -> int:
        """How many tokens of a pair fit."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def _warn_if_length_corrected(self, verbose: bool) -> None:
        if self._length_is_corrected:
            self._notices.warn(
                "corrected",
                f"model_max_length={POSITIONS} counts position embeddings, of which ERNIE-M uses "
                f"{MODEL_TAKES}; {MODEL_TAKES} is used",
                verbose,
            )

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many special tokens frame a single text (2) or a pair (4)."""
        return 4 if pair else 2
