"""Text ⇄ token ids."""

from numpy_erniem.tokenizer.batch_encoding import BatchEncoding
from numpy_erniem.tokenizer.rows import CharSpan, TokenSpan
from numpy_erniem.tokenizer.tokenizer import ErnieMTokenizer
from numpy_erniem.tokenizer.vocabulary import AddedToken

__all__ = ["AddedToken", "BatchEncoding", "CharSpan", "ErnieMTokenizer", "TokenSpan"]
