"""Pictures of what the model computes (extra `plot`)."""

from numpy_erniem.plots.figures import *  # noqa: F403
