"""The sizes and options of a model: config.json as a checked object."""

from numpy_erniem.config.ernie_m import (
    POSITION_EMBEDDING_TYPES,
    PROBLEM_TYPES,
    ErnieMConfig,
)
from numpy_erniem.config.pretrained import DEFAULTS

__all__ = ["DEFAULTS", "POSITION_EMBEDDING_TYPES", "PROBLEM_TYPES", "ErnieMConfig"]
