"""Pictures of what the model computes (extra `plot`)."""

from numpy_erniem.plots.figures import (
    attention_grid,
    attention_map,
    masks,
    roofline,
    similarity,
)

__all__ = ["attention_grid", "attention_map", "masks", "roofline", "similarity"]
