"""Pictures of what the model computes and learns (extra `plot`)."""

from numpy_erniem.plots.figures import (
    attention_grid,
    attention_map,
    masks,
    roofline,
    similarity,
)
from numpy_erniem.plots.learning import (
    embedding_plane,
    gradient_flow,
    quantization_error,
    training_curves,
)

__all__ = [
    "attention_grid",
    "attention_map",
    "embedding_plane",
    "gradient_flow",
    "masks",
    "quantization_error",
    "roofline",
    "similarity",
    "training_curves",
]
