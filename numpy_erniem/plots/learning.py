"""Pictures of training and precision: losses, vectors in the plane, rounding, gradients."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numpy_erniem.models.weights import flatten
from numpy_erniem.pipelines.scores import check_whole
from numpy_erniem.plots.drawing import (
    COLOURS,
    GREY,
    LARGE,
    MARKERS,
    SMALL,
    WINDOW,
    add_title,
    check_labels,
    checked_array,
    pyplot_module,
    shorten,
)
from numpy_erniem.plots.fonts import readable

LEGEND = {"fontsize": SMALL, "loc": "center left", "bbox_to_anchor": (1.01, 0.5)}


def training_curves(
    losses: Mapping[str, ArrayLike],
    *,
    landmarks: Mapping[str, float] | None = None,
    width: int = 1,
    title: str = "",
) -> Any:
    """Draw the loss of each step of one training run or several.

    Parameters
    ----------
    losses : dict of str to (steps,) array
        The loss of each step, by the name of the run. Where it is not finite the curve has a gap.
    landmarks : dict of str to float, optional
        Losses that mean something, such as {"guessing": log K}: a dashed line each.
    width : int
        Steps whose mean is drawn as one point, 1 or more. With more than 1 the single losses are
        drawn behind, in a pale colour.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        No run, a run of fewer than `width` steps, or a width below 1.
    """
    pyplot = pyplot_module()
    if not isinstance(losses, Mapping) or not losses:
        raise ValueError("no losses; give a dict with at least one run, by its name")
    check_whole("width", width, 1)
    lost = 0
    figure, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    for n, (name, of_run) in enumerate(losses.items()):
        values = checked_array(of_run, name, 1, finite=False).astype(np.float64)
        lost += np.count_nonzero(~np.isfinite(values))
        if len(values) < width:
            raise ValueError(f"{name} has {len(values)} steps; give {width} or more, or less width")
        colour = COLOURS[n % len(COLOURS)]
        if width > 1:
            axes.plot(values, color=colour, alpha=0.3, linewidth=1)
        means = np.convolve(values, np.full(width, 1 / width), "valid")
        steps = np.arange(len(means)) + (width - 1) / 2  # the middle of each window
        axes.plot(steps, means, color=colour, linewidth=2.5, label=name)
    for name, level in (landmarks or {}).items():
        axes.axhline(level, color=GREY, linestyle="--")
        axes.annotate(
            name,
            (1, level),
            (-4, 3),
            xycoords=("axes fraction", "data"),
            ha="right",
            textcoords="offset points",
            fontsize=SMALL,
            color=GREY,
        )
    axes.set_xlabel("step", fontsize=LARGE)
    axes.set_ylabel("loss", fontsize=LARGE)
    axes.tick_params(labelsize=SMALL)
    if len(losses) > 1:
        axes.legend(fontsize=SMALL)
    add_title(axes, title, f"{lost} losses are not finite and are not drawn" if lost else "")
    pyplot.close(figure)
    return figure


def _label_points(axes: Any, points: np.ndarray, texts: Sequence[str]) -> list[str]:
    """Write texts beside the points, none above another or a point; the fonts that were used.

    Points on the left have their text in a column on the left, the others on the right, with a thin
    line from the text to its point.
    """
    axes.margins(0.6, 0.1)
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    gap, reach = (high - low) / 24, 0.03 * (right - left)
    shown, families = readable([shorten(text, 24) for text in texts])
    for side, sign in (("right", -1), ("left", 1)):  # of the text that is beside the point
        inside = [n for n in range(len(shown)) if (2 * points[n, 0] > left + right) == (sign > 0)]
        inside.sort(key=lambda n: points[n, 1])
        heights: list[float] = []
        for n in inside:
            heights.append(max(points[n, 1], heights[-1] + gap if heights else -np.inf))
        moved = float(np.mean(heights) - np.mean(points[inside, 1])) if inside else 0.0
        column = sign * (max(sign * points[inside, 0], default=0.0) + reach)
        for n, height in zip(inside, heights, strict=True):
            place = column, height - moved
            style = {"ha": side, "va": "center", "family": families, "fontsize": SMALL}
            edge = (0 if sign > 0 else 1, 0.5)  # of the text, where its line begins
            line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.7, "relpos": edge}
            axes.annotate(shown[n], points[n], place, arrowprops=line, **style)
            low, high = min(low, place[1] - gap), max(high, place[1] + gap)
    axes.set_ylim(low, high)
    return families


def embedding_plane(
    vectors: ArrayLike,
    texts: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    title: str = "",
) -> Any:
    """Draw vectors of many dimensions as points of a plane, each beside its text.

    The plane is the one on which the points lie most widely apart: the first two principal
    components. The axes say how much of the variance each of them shows.

    Parameters
    ----------
    vectors : (N, D) array
        Two or more, of two dimensions or more.
    texts : N strings
        At most the first 24 points are labelled; all are drawn.
    groups : N strings, optional
        Points of a group, such as a language, have the same colour and marker.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        Shapes that do not fit together, too few vectors, or numbers that are not finite.
    """
    pyplot = pyplot_module()
    rows = checked_array(vectors, "vectors").astype(np.float64)
    check_labels(texts, len(rows), "vectors")
    of_group = list(groups) if groups is not None else [""] * len(rows)
    check_labels(of_group, len(rows), "vectors, in groups")
    if min(rows.shape) < 2:
        raise ValueError(f"vectors has shape {rows.shape}; a plane needs two or more of each")
    centred = rows - rows.mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    points = centred @ directions[:2].T  # (N, D)·(D, 2) -> (N, 2)
    shares = sizes[:2] ** 2 / max(float((sizes**2).sum()), np.finfo(float).tiny)
    figure, axes = pyplot.subplots(figsize=(11, 6.5), layout="constrained")
    for n, group in enumerate(dict.fromkeys(of_group)):
        inside = np.array([name == group for name in of_group])
        axes.plot(
            *points[inside].T,
            MARKERS[n % len(MARKERS)],
            markersize=9,
            linestyle="none",
            color=COLOURS[n % len(COLOURS)],
            label=group,
        )
    families = _label_points(axes, points, list(texts)[:WINDOW])
    axes.set_xlabel(f"first component, {shares[0]:.0%} of the variance", fontsize=LARGE)
    axes.set_ylabel(f"second component, {shares[1]:.0%}", fontsize=LARGE)
    axes.tick_params(labelsize=SMALL)
    if groups is not None:
        axes.legend(prop={"family": families, "size": SMALL})
    note = f"{WINDOW} of {len(rows)} points have labels" if len(rows) > WINDOW else ""
    add_title(axes, title, note)
    pyplot.close(figure)
    return figure


def quantization_error(
    weight: ArrayLike, restored: Mapping[str, ArrayLike], *, title: str = ""
) -> Any:
    """Draw what rounding did to each row of a weight, beside how uneven the row is.

    Parameters
    ----------
    weight : (N, K) array
        Before rounding.
    restored : dict of str to (N, K) array
        After rounding, as floats again, by the name of the method, such as {"int8": ...}.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        Nothing restored, another shape, or a weight of zeros alone.

    Notes
    -----
    Across: the largest absolute number of the row divided by its root mean square. Rows with
    outliers stand on the right. Up: ‖restored − row‖ / ‖row‖. Rows of zeros are left out. An error
    of 0 cannot stand on a logarithmic axis; it is drawn at the lower edge.
    """
    pyplot = pyplot_module()
    rows = checked_array(weight, "weight").astype(np.float64)
    if not restored:
        raise ValueError("nothing restored; give at least one array, by its method")
    lengths = np.linalg.norm(rows, axis=1)
    kept = lengths > 0
    if not kept.any():
        raise ValueError("every row of weight is zero; there is no relative error")
    peaks = np.abs(rows).max(axis=1)[kept] / (lengths[kept] / np.sqrt(rows.shape[1]))
    figure, axes = pyplot.subplots(figsize=(10, 5.5), layout="constrained")
    for n, (name, values) in enumerate(restored.items()):
        after = checked_array(values, name).astype(np.float64)
        if after.shape != rows.shape:
            raise ValueError(f"{name} has shape {after.shape}, and weight {rows.shape}")
        errors = np.linalg.norm(after - rows, axis=1)[kept] / lengths[kept]
        whole = np.linalg.norm(after - rows) / np.linalg.norm(rows)
        axes.plot(
            peaks,
            np.maximum(errors, 1e-9),
            MARKERS[n % len(MARKERS)],
            linestyle="none",
            color=COLOURS[n % len(COLOURS)],
            alpha=0.7,
            label=f"{name}: {whole:.2g} in all",
        )
    axes.set_yscale("log")
    axes.set_xlabel("largest number of the row / its root mean square", fontsize=LARGE)
    axes.set_ylabel("relative error of the row", fontsize=LARGE)
    axes.tick_params(labelsize=SMALL)
    axes.legend(**LEGEND)
    add_title(axes, title, "")
    pyplot.close(figure)
    return figure


def gradient_flow(gradients: Mapping[str, Any], *, title: str = "") -> Any:
    """Draw how large the gradients of each layer are, by kind of weight.

    Parameters
    ----------
    gradients : dict
        The gradient tree that `training.value_and_grad` returns.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        No layer has a gradient.

    Notes
    -----
    A point is the root mean square of the gradients of one kind of weight in one layer. Biases are
    left out, and so are embeddings and heads, which are no layers.
    """
    pyplot = pyplot_module()
    by_kind: dict[str, dict[int, float]] = {}
    for name, values in flatten(gradients).items():
        _, found, after = name.partition("encoder.layers.")
        if not found or not after.endswith(".weight"):
            continue
        number, _, kind = after.removesuffix(".weight").partition(".")
        size = float(np.sqrt(np.mean(np.square(np.asarray(values, np.float64)))))
        by_kind.setdefault(kind.rpartition("self_attn.")[2], {})[int(number)] = size
    if not by_kind:
        raise ValueError("no gradients of layers; give the tree that value_and_grad returns")
    figure, axes = pyplot.subplots(figsize=(9.5, 5.5), layout="constrained")
    for n, (kind, sizes) in enumerate(by_kind.items()):
        style = f"{MARKERS[n % len(MARKERS)]}{'-' if n < len(COLOURS) else '--'}"
        axes.plot(sizes.keys(), sizes.values(), style, color=COLOURS[n % len(COLOURS)], label=kind)
    axes.set_yscale("log")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("layer", fontsize=LARGE)
    axes.set_ylabel("gradient, root mean square", fontsize=LARGE)
    axes.tick_params(labelsize=SMALL)
    axes.legend(**LEGEND)
    add_title(axes, title, "")
    pyplot.close(figure)
    return figure
