"""The sizes and options of a model: config.json as a checked object."""

from numpy_erniem.config.defaults import DEFAULTS
from numpy_erniem.config.ernie_m import (
    POSITION_EMBEDDING_TYPES,
    PROBLEM_TYPES,
    ErnieMConfig,
)

__all__ = ["DEFAULTS", "POSITION_EMBEDDING_TYPES", "PROBLEM_TYPES", "ErnieMConfig"]
