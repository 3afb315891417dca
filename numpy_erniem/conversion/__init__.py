"""Checkpoints of other models and libraries, read safely and written as a folder of ours."""

from numpy_erniem.conversion.convert import convert
from numpy_erniem.conversion.report import Report

__all__ = ["Report", "convert"]
