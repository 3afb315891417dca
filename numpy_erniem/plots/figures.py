"""Pictures: attention with tokens, similarity of texts, masks, the roofline. Needs matplotlib.

Every function returns a matplotlib figure. Colours go from light to dark, or are told apart by
colour-blind readers; sizes suit a projector; labels may be in any script that a font is found for.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numpy_erniem.plots.drawing import (
    BLUE,
    COLOURS,
    GREY,
    GRID_WINDOW,
    LARGE,
    MARKERS,
    ORANGE,
    SMALL,
    add_colour_scale,
    add_title,
    check_labels,
    check_marked,
    checked_array,
    heads_of_row,
    label_axis,
    label_rotation,
    pyplot_module,
    window,
)


def attention_map(
    probabilities: ArrayLike, tokens: Sequence[str], *, title: str = "", start: int = 0
) -> Any:
    """Draw which token (row) attends to which (column), for one head.

    Parameters
    ----------
    probabilities : (T, T) array
        One head's, such as ``output.attentions[layer][row, head]``.
    tokens : T strings
    title : str
    start : int
        First token shown where there are more than 24; the title says which part is shown.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        Shapes that do not fit together.
    """
    pyplot = pyplot_module()
    values = checked_array(probabilities, "probabilities", square=True)
    check_labels(tokens, len(values), "rows of probabilities")
    part, note = window(tokens, start)
    values, tokens = values[part, part], list(tokens)[part]
    size = 3 + 0.32 * len(tokens)
    figure, axes = pyplot.subplots(figsize=(size + 1, size), layout="constrained")
    image = axes.imshow(values, cmap="Blues", vmin=0, vmax=max(1e-9, float(values.max())))
    label_axis(axes.xaxis, tokens, **label_rotation(tokens))
    label_axis(axes.yaxis, tokens)
    axes.set_xlabel("looks at", fontsize=LARGE)
    axes.set_ylabel("token", fontsize=LARGE)
    add_title(axes, title, note)
    add_colour_scale(figure, image, axes, "share of attention")
    pyplot.close(figure)
    return figure


def attention_grid(
    attentions: Sequence[ArrayLike], tokens: Sequence[str], *, row: int = 0, start: int = 0
) -> Any:
    """Draw every head of every layer: layers from top to bottom, heads from left to right.

    All heads share one scale of colours, so two squares of the same colour have the same value.

    Parameters
    ----------
    attentions : L arrays (B, H, T, T)
        As a model returns them with ``output_attentions=True``.
    tokens : T strings
    row : int
        Which text of the batch.
    start : int
        First token shown where there are more than 16.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        Shapes that do not fit together.
    """
    pyplot = pyplot_module()
    layers = heads_of_row(attentions, row)  # (H, T, T) each
    check_labels(tokens, layers[0].shape[1], "rows of probabilities")
    part, note = window(tokens, start, GRID_WINDOW)
    tokens = list(tokens)[part]
    H = max(len(layer) for layer in layers)
    cell = max(1.2, min(2.6, 15 / H))
    figure, grid = pyplot.subplots(
        len(layers),
        H,
        figsize=(cell * H + 1.5, cell * len(layers) + 1.6),
        squeeze=False,
        layout="constrained",
    )
    size = max(4.0, min(SMALL, 62 * cell / max(1, len(tokens))))
    highest = max([1e-9, *(float(layer[:, part, part].max(initial=0)) for layer in layers)])
    for n, layer in enumerate(layers):
        for h, axes in enumerate(grid[n]):
            if h >= len(layer):  # pruned
                axes.set_axis_off()
                continue
            image = axes.imshow(layer[h, part, part], cmap="Blues", vmin=0, vmax=highest)
            axes.set_title(f"layer {n}, head {h}", fontsize=SMALL)
            label_axis(
                axes.xaxis, tokens if n == len(layers) - 1 else [], size, **label_rotation(tokens)
            )
            label_axis(axes.yaxis, tokens if h == 0 else [], size)
    add_colour_scale(figure, image, grid, "share of attention")
    if note:
        figure.suptitle(note, fontsize=LARGE)
    pyplot.close(figure)
    return figure


def similarity(vectors: ArrayLike, texts: Sequence[str], *, title: str = "") -> Any:
    """Draw the cosine similarity of every text with every other.

    Parameters
    ----------
    vectors : (N, D) array
        One per text; of any length.
    texts : N strings
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        Shapes that do not fit together.
    """
    pyplot = pyplot_module()
    rows = checked_array(vectors, "vectors").astype(np.float64)
    check_labels(texts, len(rows), "vectors")
    part, note = window(texts, 0)
    rows, texts = rows[part], list(texts)[part]
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.maximum(lengths, np.finfo(float).tiny)
    values = unit @ unit.T  # (N, D)·(D, N) -> (N, N)
    size = 4 + 0.5 * len(texts)
    figure, axes = pyplot.subplots(figsize=(size + 1.5, size), layout="constrained")
    image = axes.imshow(values, cmap="PuOr_r", vmin=-1, vmax=1)
    for (i, j), value in np.ndenumerate(values if len(texts) <= 12 else values[:0]):
        red, green, blue, _ = image.cmap(image.norm(value))
        ink = "white" if 0.3 * red + 0.6 * green + 0.1 * blue < 0.45 else "black"
        shown = f"{round(value, 2) + 0.0:.2f}"  # never -0.00
        axes.text(j, i, shown, ha="center", va="center", color=ink, fontsize=SMALL)
    label_axis(axes.xaxis, texts, rotation=40, ha="right", rotation_mode="anchor")
    label_axis(axes.yaxis, texts)
    add_title(axes, title, note.replace("tokens", "texts"))
    add_colour_scale(figure, image, axes, "cosine similarity")
    pyplot.close(figure)
    return figure


def masks(
    by_title: Mapping[str, ArrayLike], tokens: Sequence[str], *, marked: Sequence[int] = ()
) -> Any:
    """Draw masks side by side: a filled square where the row's token attends to the column's.

    Parameters
    ----------
    by_title : dict of str to (T, T) bool array
        Masks, by the title of their diagrams, such as {"TLM": ..., "CAMLM": ...}.
    tokens : T strings
    marked : sequence of int
        Tokens drawn in orange: those that a pre-training objective masks.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        No mask, one of another size, or a marked token that is not there.
    """
    pyplot = pyplot_module()
    from matplotlib.colors import ListedColormap

    if not by_title:
        raise ValueError("no masks; give at least one, by its title")
    for title, mask in by_title.items():
        check_labels(tokens, len(checked_array(mask, title, square=True)), f"rows of {title}")
    check_marked(marked, len(tokens))
    part, note = window(tokens, 0)
    shown = list(tokens)[part]
    across = min(3, len(by_title))
    down = -(-len(by_title) // across)
    cell = 1.8 + 0.27 * len(shown)
    figure, grid = pyplot.subplots(
        down, across, figsize=(cell * across, cell * down), squeeze=False, layout="constrained"
    )
    palette = ListedColormap(["white", BLUE, ORANGE])
    of_marked = np.isin(np.arange(len(tokens)), list(marked))
    for axes in grid.flat[len(by_title) :]:
        axes.set_axis_off()
    for axes, (title, mask) in zip(grid.flat, by_title.items(), strict=False):
        kind = np.where(np.asarray(mask, bool), 1 + of_marked[:, None], 0)[part, part]
        axes.imshow(kind, cmap=palette, vmin=0, vmax=2)
        axes.set_xticks(np.arange(len(shown) + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(len(shown) + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="#BBBBBB", linewidth=0.8)
        axes.tick_params(which="minor", length=0)
        label_axis(axes.xaxis, shown, **label_rotation(shown))
        label_axis(axes.yaxis, shown)
        for n, label in enumerate(axes.get_yticklabels()):
            if of_marked[part][n]:
                label.set_fontweight("bold")
        add_title(axes, title, note)
    figure.supylabel("this token", fontsize=LARGE)
    figure.supxlabel("sees this one", fontsize=LARGE)
    pyplot.close(figure)
    return figure


def roofline(
    points: Mapping[str, tuple[float, float]],
    *,
    peak: float,
    bandwidth: float,
    title: str = "",
) -> Any:
    """Draw how fast something ran, below what the machine allows.

    Parameters
    ----------
    points : dict of str to (intensity, GFLOP/s)
        Intensity is operations per byte read from or written to memory.
    peak : float
        GFLOP/s of arithmetic alone.
    bandwidth : float
        GB/s of memory.
    title : str
        Above the plot.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        No point, or a number that is not positive.

    References
    ----------
    Williams, Waterman and Patterson, "Roofline", Communications of the ACM 52(4), 2009.
    """
    pyplot = pyplot_module()
    numbers = (peak, bandwidth, *(n for point in points.values() for n in point))
    if not points or not all(0 < n < np.inf for n in numbers):
        raise ValueError("points, peak and bandwidth must be positive; give a point or more")
    x, y = (np.array(column, float) for column in zip(*points.values(), strict=True))
    ridge = peak / bandwidth
    low, high = min(x.min(), ridge) / 4, max(x.max(), ridge) * 4
    figure, axes = pyplot.subplots(figsize=(10, 6), layout="constrained")
    line = np.geomspace(low, high, 200)
    axes.loglog(line, np.minimum(peak, line * bandwidth), color="black", linewidth=2.5)
    note = {"fontsize": SMALL, "va": "bottom", "color": GREY}
    axes.text(high / 1.1, peak * 1.07, f"roof: arithmetic, {peak:.0f} GFLOP/s", ha="right", **note)
    axes.axvline(ridge, color=GREY, linestyle=":", linewidth=1)
    axes.text(low * 1.1, peak * 1.07, f"line: memory, {bandwidth:.0f} GB/s", ha="left", **note)
    for n, (name, a, b) in enumerate(zip(points, x, y, strict=True)):
        style = {"color": COLOURS[n % len(COLOURS)], "marker": MARKERS[n % len(MARKERS)]}
        axes.plot(a, b, markersize=11, linestyle="none", label=f"{name}: {b:.3g}", **style)
    axes.set_xlim(low, high)
    axes.set_ylim(min(y.min(), low * bandwidth) / 3, max(peak, y.max()) * 2)
    axes.set_xlabel("operations per byte of memory traffic", fontsize=LARGE)
    axes.set_ylabel("GFLOP/s", fontsize=LARGE)
    axes.tick_params(labelsize=SMALL)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.legend(fontsize=SMALL, loc="center left", bbox_to_anchor=(1.01, 0.5))
    add_title(axes, title, "")
    pyplot.close(figure)
    return figure
