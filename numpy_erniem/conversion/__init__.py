"""Other people's checkpoints, read safely and turned into our folder."""

from numpy_erniem.checkpoint.report import Report
from numpy_erniem.conversion.convert import convert

__all__ = ["Report", "convert"]
