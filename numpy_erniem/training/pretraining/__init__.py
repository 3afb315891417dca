"""Pre-training with the objectives of ERNIE-M: MMLM, TLM, CAMLM and BTMLM.

masking          sentences as a batch; which tokens are masked, and by what
attention_masks  which tokens a token may attend to
objectives       the four objectives
corpus           token ids of files of sentences and pairs
pretraining      the batch of each step, its loss and its gradients
"""

from numpy_erniem.training.pretraining.corpus import Corpus, read_corpora, special_tokens
from numpy_erniem.training.pretraining.masking import (
    MaskedBatch,
    Sentences,
    SpecialTokens,
    build_batch,
)
from numpy_erniem.training.pretraining.objectives import OBJECTIVES
from numpy_erniem.training.pretraining.pretraining import Phase, Pretraining

__all__ = [
    "OBJECTIVES",
    "Corpus",
    "MaskedBatch",
    "Phase",
    "Pretraining",
    "Sentences",
    "SpecialTokens",
    "build_batch",
    "read_corpora",
    "special_tokens",
]
