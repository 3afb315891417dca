"""Fine-tuning: from examples and a checkpoint to a trained head.

classification   a label for a text or a pair of texts
tagging          a label for every word
retrieval        sentences that find their translations; contrastive: the loss
preparation      what they share: loading, label names, token ids
"""

from numpy_erniem.training.finetuning.classification import classification_setup
from numpy_erniem.training.finetuning.retrieval import retrieval_setup
from numpy_erniem.training.finetuning.tagging import tagging_setup

__all__ = ["classification_setup", "retrieval_setup", "tagging_setup"]
