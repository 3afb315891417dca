"""Text ⇄ token ids."""

from .added import AddedToken
from .encoding import BatchEncoding
from .tokenizer import ErnieMTokenizer

__all__ = ["AddedToken", "BatchEncoding", "ErnieMTokenizer"]
