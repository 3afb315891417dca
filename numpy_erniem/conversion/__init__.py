"""Other people's checkpoints, read safely and turned into our folder."""

from numpy_erniem.conversion.convert import convert
from numpy_erniem.conversion.report import Report

__all__ = ["Report", "convert"]
