"""Fine-tuning: from examples and a checkpoint to a trained head.

classification   a label for a text or a pair of texts
tagging          a label for every word
answering        the part of a context that answers a question; answer_files
extraction       the spans that a prompt asks for, as of UIE-M; extraction_files
choosing         the choice that follows a prompt
reranking        how relevant a text is for a query
retrieval        sentences that find their translations; contrastive: the loss
examples         what a setup takes in Python
preparation      what they share: loading, label names, token ids; encoder_check
spans            characters → tokens
task_heads       their losses; class_weights; metrics: their scores
"""

from numpy_erniem.training.finetuning.answer_files import AskedQuestion, read_questions
from numpy_erniem.training.finetuning.answering import answering_setup
from numpy_erniem.training.finetuning.choosing import choice_setup
from numpy_erniem.training.finetuning.classification import classification_setup
from numpy_erniem.training.finetuning.extraction import extraction_setup
from numpy_erniem.training.finetuning.extraction_files import AskedPrompt, read_prompts
from numpy_erniem.training.finetuning.reranking import reranking_setup
from numpy_erniem.training.finetuning.retrieval import retrieval_setup
from numpy_erniem.training.finetuning.tagging import tagging_setup

__all__ = [
    "AskedPrompt",
    "AskedQuestion",
    "answering_setup",
    "choice_setup",
    "classification_setup",
    "extraction_setup",
    "read_prompts",
    "read_questions",
    "reranking_setup",
    "retrieval_setup",
    "tagging_setup",
]
