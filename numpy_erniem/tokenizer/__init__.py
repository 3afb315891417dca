"""Text ⇄ token ids."""

from numpy_erniem.tokenizer.batch_encoding import BatchEncoding
from numpy_erniem.tokenizer.splitter import AddedToken
from numpy_erniem.tokenizer.tokenizer import ErnieMTokenizer

__all__ = ["AddedToken", "BatchEncoding", "ErnieMTokenizer"]
