"""Pictures: attention with tokens, similarity of texts, masks, the roofline. Needs matplotlib.

Every function returns a matplotlib figure. Colours go from light to dark, or are told apart by
colour-blind readers; sizes suit a projector; labels may be in any script that a font is found for.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from numpy_erniem.plots.fonts import readable

INSTALL = "pictures need matplotlib: pip install 'numpy-erniem[plot]'"
LARGE, SMALL = 14, 11  # font sizes
WINDOW = 24  # tokens that can be read along one axis
GRID_WINDOW = 16  # and along the axis of one of many
LEAVING_OUT = "…"
# Okabe and Ito's colours, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#6F6F6F"
COLOURS = (BLUE, ORANGE, GREEN, RED, "#CC79A7", "#56B4E9", "#000000")
MARKERS = "os^Dvp*"


def _pyplot() -> Any:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(INSTALL) from error
    return pyplot


def _shortened(text: str, width: int = 28) -> str:
    return text if len(text) <= width else text[: width - 1] + LEAVING_OUT


def _labels(axis: Any, labels: Sequence[str], size: float = SMALL, **options: Any) -> None:
    """Put one label at each position of an x or y axis."""
    shown, families = readable([_shortened(label) for label in labels])
    axis.set_ticks(range(len(shown)), shown, family=families, fontsize=size, **options)
    axis.set_tick_params(length=0)


def _upright(labels: Sequence[str]) -> dict[str, Any]:
    """Options of labels below a plot: turned, unless they are very short."""
    return {"rotation": 0 if all(len(label) <= 2 for label in labels) else 90}


def _square(values: Any, name: str, axes: int = 2) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != axes:
        raise ValueError(f"{name} has shape {values.shape}, not {axes} axes")
    return values


def _fits(labels: Sequence[str], count: int, what: str) -> None:
    if len(labels) != count:
        raise ValueError(f"{len(labels)} labels for {count} {what}; give one for each")


def _window(tokens: Sequence[str], start: int, width: int = WINDOW) -> tuple[slice, str]:
    """The part of the tokens that can be read, and a note if it is not all."""
    if not 0 <= start < max(1, len(tokens)):
        raise ValueError(f"start {start} is not one of the {len(tokens)} tokens")
    part = slice(start, min(start + width, len(tokens)))
    if part == slice(0, len(tokens)):
        return part, ""
    return part, f"tokens {part.start} to {part.stop - 1} of {len(tokens)}"


def attention_map(
    probabilities: Any, tokens: Sequence[str], *, title: str = "", start: int = 0
) -> Any:
    """Draw which token (row) looks at which (column), for one head.

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
    """
    pyplot = _pyplot()
    values = _square(probabilities, "probabilities")
    _fits(tokens, len(values), "rows of probabilities")
    part, note = _window(tokens, start)
    values, tokens = values[part, part], list(tokens)[part]
    size = 3 + 0.32 * len(tokens)
    figure, axes = pyplot.subplots(figsize=(size + 1, size), layout="constrained")
    image = axes.imshow(values, cmap="Blues", vmin=0, vmax=max(1e-9, float(values.max())))
    _labels(axes.xaxis, tokens, **_upright(tokens))
    _labels(axes.yaxis, tokens)
    axes.set_xlabel("looks at", fontsize=LARGE)
    axes.set_ylabel("token", fontsize=LARGE)
    _title(axes, title, note)
    _colour_scale(figure, image, axes, "share of attention")
    pyplot.close(figure)
    return figure


def attention_grid(
    attentions: Sequence[Any], tokens: Sequence[str], *, row: int = 0, start: int = 0
) -> Any:
    """Draw every head of every layer: layers from top to bottom, heads from left to right.

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
    """
    pyplot = _pyplot()
    layers = [_square(layer, "attentions", 4)[row] for layer in attentions]  # L times (H, T, T)
    _fits(tokens, layers[0].shape[1], "rows of probabilities")
    part, note = _window(tokens, start, GRID_WINDOW)
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
    for n, layer in enumerate(layers):
        for h, axes in enumerate(grid[n]):
            if h >= len(layer):  # pruned
                axes.set_axis_off()
                continue
            axes.imshow(layer[h, part, part], cmap="Blues", vmin=0)
            axes.set_title(f"layer {n}, head {h}", fontsize=SMALL)
            _labels(axes.xaxis, tokens if n == len(layers) - 1 else [], size, **_upright(tokens))
            _labels(axes.yaxis, tokens if h == 0 else [], size)
    if note:
        figure.suptitle(note, fontsize=LARGE)
    pyplot.close(figure)
    return figure


def similarity(vectors: Any, texts: Sequence[str], *, title: str = "") -> Any:
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
    """
    pyplot = _pyplot()
    vectors = _square(vectors, "vectors").astype(np.float64)
    _fits(texts, len(vectors), "vectors")
    part, note = _window(texts, 0)
    vectors, texts = vectors[part], list(texts)[part]
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.maximum(lengths, np.finfo(float).tiny)
    values = unit @ unit.T  # (N, D)·(D, N) -> (N, N)
    size = 4 + 0.5 * len(texts)
    figure, axes = pyplot.subplots(figsize=(size + 1.5, size), layout="constrained")
    image = axes.imshow(values, cmap="PuOr_r", vmin=-1, vmax=1)
    for (i, j), value in np.ndenumerate(values if len(texts) <= 12 else values[:0]):
        red, green, blue, _ = image.cmap(image.norm(value))
        ink = "white" if 0.3 * red + 0.6 * green + 0.1 * blue < 0.45 else "black"
        shown = f"{round(value, 2) + 0.0:.2f}"  # never -0.00
        axes.text(j, i, shown, ha="center", va="center", color=ink, fontsize=SMALL)
    _labels(axes.xaxis, texts, rotation=40, ha="right", rotation_mode="anchor")
    _labels(axes.yaxis, texts)
    _title(axes, title, note.replace("tokens", "texts"))
    _colour_scale(figure, image, axes, "cosine similarity")
    pyplot.close(figure)
    return figure


def masks(visible: Mapping[str, Any], tokens: Sequence[str], *, marked: Sequence[int] = ()) -> Any:
    """Draw masks side by side: a filled square where the row's token sees the column's.

    Parameters
    ----------
    visible : dict of str to (T, T) bool array
        By the title of its diagram, such as {"TLM": ..., "CAMLM": ...}.
    tokens : T strings
    marked : sequence of int
        Tokens drawn in orange: those that a pre-training objective masks.

    Returns
    -------
    matplotlib.figure.Figure
    """
    pyplot = _pyplot()
    from matplotlib.colors import ListedColormap

    if not visible:
        raise ValueError("no masks; give at least one, by its title")
    for title, mask in visible.items():
        _fits(tokens, len(_square(mask, title)), f"rows of {title}")
    part, note = _window(tokens, 0)
    shown = list(tokens)[part]
    across = min(3, len(visible))
    down = -(-len(visible) // across)
    cell = 1.8 + 0.27 * len(shown)
    figure, grid = pyplot.subplots(
        down, across, figsize=(cell * across, cell * down), squeeze=False, layout="constrained"
    )
    palette = ListedColormap(["white", BLUE, ORANGE])
    of_marked = np.isin(np.arange(len(tokens)), list(marked))
    for axes in grid.flat[len(visible) :]:
        axes.set_axis_off()
    for axes, (title, mask) in zip(grid.flat, visible.items(), strict=False):
        kind = np.where(np.asarray(mask, bool), 1 + of_marked[:, None], 0)[part, part]
        axes.imshow(kind, cmap=palette, vmin=0, vmax=2)
        axes.set_xticks(np.arange(len(shown) + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(len(shown) + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="#BBBBBB", linewidth=0.8)
        axes.tick_params(which="minor", length=0)
        _labels(axes.xaxis, shown, **_upright(shown))
        _labels(axes.yaxis, shown)
        for n, label in enumerate(axes.get_yticklabels()):
            if of_marked[part][n]:
                label.set_fontweight("bold")
        _title(axes, title, note)
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

    Returns
    -------
    matplotlib.figure.Figure

    References
    ----------
    Williams, Waterman and Patterson, "Roofline", Communications of the ACM 52(4), 2009.
    """
    pyplot = _pyplot()
    if not points or min(min(point) for point in points.values()) <= 0 or peak * bandwidth <= 0:
        raise ValueError("points, peak and bandwidth must be positive numbers, and one point there")
    x, y = (np.array(column, float) for column in zip(*points.values(), strict=True))
    ridge = peak / bandwidth
    low, high = min(x.min(), ridge) / 4, max(x.max(), ridge) * 4
    figure, axes = pyplot.subplots(figsize=(10, 6), layout="constrained")
    line = np.geomspace(low, high, 200)
    axes.loglog(line, np.minimum(peak, line * bandwidth), color="black", linewidth=2.5)
    note = {"fontsize": SMALL, "va": "bottom", "color": GREY}
    axes.text(high / 1.1, peak * 1.07, f"roof: arithmetic, {peak:.0f} GFLOP/s", ha="right", **note)
    axes.axvline(ridge, color=GREY, linestyle=":", linewidth=1)
    axes.text(low * 1.1, peak * 1.07, f"slope: memory, {bandwidth:.0f} GB/s", ha="left", **note)
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
    _title(axes, title, "")
    pyplot.close(figure)
    return figure


def _colour_scale(figure: Any, image: Any, axes: Any, name: str) -> None:
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label(name, fontsize=LARGE)
    bar.ax.tick_params(labelsize=SMALL)


def _title(axes: Any, title: str, note: str) -> None:
    shown, families = readable([title])
    text = "\n".join(part for part in (*shown, note) if part)
    if text:
        axes.set_title(text, fontsize=LARGE, family=families)
