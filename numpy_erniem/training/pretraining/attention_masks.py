"""Which tokens a token may attend to: the attention masks of the objectives, (B, T, T) bools.

[b, i, j] is True where token i may attend to token j.
"""

import numpy as np

from numpy_erniem.training.pretraining.masking import Sentences


def own_sentence_mask(sentences: Sentences) -> np.ndarray:
    """MMLM: all tokens of the own sentence; two sentences in one row do not see each other."""
    side = sentences.side
    return (side[:, :, None] == side[:, None, :]) & (side >= 0)[:, None, :]


def both_sentences_mask(sentences: Sentences) -> np.ndarray:
    """TLM and BTMLM 2: all tokens of both sentences, but never the padding."""
    real = (sentences.side >= 0)[:, None, :]  # (B, 1, T)
    return np.repeat(real, sentences.ids.shape[1], axis=1)


def other_sentence_mask(sentences: Sentences, masked: np.ndarray) -> np.ndarray:
    """CAMLM and BTMLM 1, for masked tokens (B, T).

    A masked token attends to the unmasked tokens of the other sentence and to the masked tokens of
    its own. An unmasked token attends to the unmasked tokens of its own sentence.
    """
    side = sentences.side
    own = own_sentence_mask(sentences)
    other = (side[:, :, None] == 1 - side[:, None, :]) & (side >= 0)[:, None, :]
    from_masked, to_masked = masked[:, :, None], masked[:, None, :]
    return np.where(from_masked, (other & ~to_masked) | (own & to_masked), own & ~to_masked)
