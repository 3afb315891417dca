"""What all pictures share: axes with labels, the part of a text that can be read, colours."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numpy_erniem.plots.fonts import readable

INSTALL = "pictures need matplotlib: pip install 'numpy-erniem[plot]'"
LARGE, SMALL = 14, 11  # font sizes
WINDOW = 24  # tokens that can be read along the axis of a single plot
GRID_WINDOW = 16  # and along the axis of one plot of many
ELLIPSIS = "…"
# Okabe and Ito's colours, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#6F6F6F"
COLOURS = (BLUE, ORANGE, GREEN, RED, "#CC79A7", "#56B4E9", "#000000")
MARKERS = "os^Dvp*"


def pyplot_module() -> Any:
    """matplotlib.pyplot; ImportError says what to install."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(INSTALL) from error
    return pyplot


def figure_class() -> Any:
    """matplotlib.figure.Figure, for a picture that no window shows; ImportError as above."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(INSTALL) from error
    return Figure


def shorten(text: str, width: int = 28) -> str:
    """The text, or its beginning and an ellipsis: at most `width` characters."""
    return text if len(text) <= width else text[: width - 1] + ELLIPSIS


def label_axis(axis: Any, labels: Sequence[str], size: float = SMALL, **options: Any) -> None:
    """Put one label at each position of an axis.

    Parameters
    ----------
    axis : matplotlib axis, x or y
    labels : sequence of str
    size : float
        Of the font, in points.
    **options
        Of matplotlib's text, such as rotation.
    """
    shown, families = readable([shorten(label) for label in labels])
    axis.set_ticks(range(len(shown)), shown, family=families, fontsize=size, **options)
    axis.set_tick_params(length=0)


def label_rotation(labels: Sequence[str]) -> dict[str, Any]:
    """Options of labels below a plot: turned, unless they are very short."""
    return {"rotation": 0 if all(len(label) <= 2 for label in labels) else 90}


def checked_array(
    values: ArrayLike, name: str, axes: int = 2, *, square: bool = False, finite: bool = True
) -> np.ndarray:
    """The values as an array.

    Parameters
    ----------
    values : array-like of numbers
    name : str
        What an error calls them.
    axes : int
        How many axes they must have, none of length 0.
    square : bool
        The last two axes must have the same length: rows and columns are the same tokens.
    finite : bool
        NaN and infinity are refused.

    Returns
    -------
    array

    Raises
    ------
    ValueError
        Another shape, or what is no number.
    """
    array = np.asarray(values)
    if array.ndim != axes:
        raise ValueError(f"{name} has shape {array.shape}, not {axes} axes")
    if not array.size:
        raise ValueError(f"{name} has shape {array.shape}: there is nothing to draw")
    if square and array.shape[-1] != array.shape[-2]:
        raise ValueError(
            f"{name} has shape {array.shape}; the last two numbers must be the same, the tokens"
        )
    if array.dtype.kind not in "biuf" or (finite and not np.isfinite(array).all()):
        raise ValueError(f"{name} holds NaN, infinity or what is no number; it cannot be drawn")
    return array


def heads_of_row(attentions: Sequence[ArrayLike], row: int) -> list[np.ndarray]:
    """The attention of one text, layer by layer.

    Parameters
    ----------
    attentions : L arrays (B, H, T, T)
    row : int
        Which text of the batch.

    Returns
    -------
    list of (H, T, T) arrays

    Raises
    ------
    ValueError
        No layer, an array of another shape, or no such text.
    """
    if attentions is None or not len(attentions):
        raise ValueError("no attentions; run the model with output_attentions=True")
    layers = [checked_array(layer, "attentions", 4, square=True) for layer in attentions]
    shapes = {(len(layer), layer.shape[-1]) for layer in layers}
    if len(shapes) > 1:
        raise ValueError("the layers of attentions have different numbers of texts or tokens")
    if not 0 <= row < len(layers[0]):
        raise ValueError(f"row {row} is not one of the {len(layers[0])} texts of attentions")
    return [layer[row] for layer in layers]


def check_labels(labels: Sequence[str], count: int, what: str) -> None:
    """Check that there is one label for each of `count` rows, which an error calls `what`.

    Parameters
    ----------
    labels : sequence of str
    count : int
    what : str

    Raises
    ------
    ValueError
        Another number of labels.
    """
    if len(labels) != count:
        raise ValueError(f"{len(labels)} labels for {count} {what}; give one for each")


def check_marked(marked: Sequence[int], count: int) -> None:
    """Check that each marked index is one of `count` tokens; ValueError names one that is not."""
    for n in marked:
        if not 0 <= n < count:
            raise ValueError(f"marked holds {n}, which is not one of the {count} tokens")


def window(tokens: Sequence[str], start: int, width: int = WINDOW) -> tuple[slice, str]:
    """The part of the tokens that can be read, and a note unless it is all of them.

    Parameters
    ----------
    tokens : sequence of str
    start : int
        First token of the part.
    width : int
        Most tokens of the part.

    Returns
    -------
    part : slice
    note : str
        For the title; empty if all tokens are shown.

    Raises
    ------
    ValueError
        `start` is not one of the tokens.
    """
    if not 0 <= start < max(1, len(tokens)):
        raise ValueError(f"start {start} is not one of the {len(tokens)} tokens")
    part = slice(start, min(start + width, len(tokens)))
    if part == slice(0, len(tokens)):
        return part, ""
    return part, f"tokens {part.start} to {part.stop - 1} of {len(tokens)}"


def add_colour_scale(figure: Any, image: Any, axes: Any, name: str) -> None:
    """Put a scale of colours beside a plot.

    Parameters
    ----------
    figure, image, axes : of matplotlib
    name : str
        What the colours show.
    """
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label(name, fontsize=LARGE)
    bar.ax.tick_params(labelsize=SMALL)


def add_title(axes: Any, title: str, note: str) -> None:
    """Put a title above a plot.

    Parameters
    ----------
    axes : of matplotlib
    title, note : str
        Two lines; an empty one is left out.
    """
    shown, families = readable([title])
    text = "\n".join(part for part in (*shown, note) if part)
    if text:
        axes.set_title(text, fontsize=LARGE, family=families)
