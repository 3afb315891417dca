"""A page on which one pass of the encoder can be explored, number by number."""

from numpy_erniem.explorer.explanation import explain

__all__ = ["explain"]
