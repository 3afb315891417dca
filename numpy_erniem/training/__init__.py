"""Learning in NumPy: gradients by hand, optimizers, fine-tuning, ERNIE-M's pre-training.

gradients   every primitive with its gradient; slopes, of the activations
layers      the encoder; heads, words: the losses; value: of a whole model
optimizer   AdamW, clipping, schedules
objectives  MMLM, TLM, CAMLM, BTMLM
training    the loop; batches, checkpoints, files
finetuning  classify, tag, retrieve; pretraining, retrieval
"""

from numpy_erniem.training.finetuning.setups import classify, retrieve, tag
from numpy_erniem.training.learning_rate import layer_factors, schedule
from numpy_erniem.training.optimizer import AdamW, clip
from numpy_erniem.training.pretraining.objectives import OBJECTIVES
from numpy_erniem.training.pretraining.pretraining import Phase, Pretraining
from numpy_erniem.training.trainer import Plan, Trainer
from numpy_erniem.training.value_and_grad import trainable, value_and_grad

__all__ = [
    "OBJECTIVES",
    "AdamW",
    "Phase",
    "Plan",
    "Pretraining",
    "Trainer",
    "classify",
    "clip",
    "layer_factors",
    "retrieve",
    "schedule",
    "tag",
    "trainable",
    "value_and_grad",
]
