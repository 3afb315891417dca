"""Training in NumPy: gradients, optimizer, fine-tuning, and the pre-training of ERNIE-M.

gradients            the primitives with their gradients; activation_gradients, loss_gradients
products             linear maps in float32, or with inputs rounded to bfloat16
dropout              which elements become 0, as a function of a seed and their places
layers, encoder      the forward pass with its gradient
heads                losses of the models with their gradients; masked_lm: of the largest
value_and_grad       loss and gradients of a whole model; gradient_tree: what they are kept in
optimizer            AdamW and clipping; learning_rate: schedule and decay over the layers
trainer              the loop; training_config: its options; state: its folder; batches, data_files
step_options         the options of value_and_grad that the loop sets
training_setup       a model with what the loop needs to train it
finetuning           classification, tagging, answers, extraction, choices, reranking, retrieval
pretraining          MMLM, TLM, CAMLM and BTMLM
"""

from numpy_erniem.backend.kept_memory import memory_is_kept
from numpy_erniem.training.finetuning import (
    AskedPrompt,
    AskedQuestion,
    answering_setup,
    choice_setup,
    classification_setup,
    extraction_setup,
    read_prompts,
    read_questions,
    reranking_setup,
    retrieval_setup,
    tagging_setup,
)
from numpy_erniem.training.learning_rate import layer_factors, schedule
from numpy_erniem.training.optimizer import AdamW, clip, clip_factor
from numpy_erniem.training.pretraining import OBJECTIVES, Phase, Pretraining
from numpy_erniem.training.trainer import Trainer
from numpy_erniem.training.training_config import TrainingConfig
from numpy_erniem.training.training_setup import TrainingSetup
from numpy_erniem.training.value_and_grad import trainable, value_and_grad

__all__ = [
    "OBJECTIVES",
    "AdamW",
    "AskedPrompt",
    "AskedQuestion",
    "Phase",
    "Pretraining",
    "Trainer",
    "TrainingConfig",
    "TrainingSetup",
    "answering_setup",
    "choice_setup",
    "classification_setup",
    "clip",
    "clip_factor",
    "extraction_setup",
    "layer_factors",
    "memory_is_kept",
    "read_prompts",
    "read_questions",
    "reranking_setup",
    "retrieval_setup",
    "schedule",
    "tagging_setup",
    "trainable",
    "value_and_grad",
]
