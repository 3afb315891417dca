"""Pictures: what is drawn, windows of long texts, fonts, and matplotlib that is not there."""

import sys
import warnings

import numpy as np
import pytest

from numpy_erniem import plots
from numpy_erniem.plots import drawing, fonts

pytest.importorskip("matplotlib").use("Agg")


@pytest.fixture(autouse=True)
def _fonts_may_be_missing():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="no font here has")
        warnings.filterwarnings("ignore", message="this matplotlib draws")
        yield


def words(n):
    return [f"t{i}" for i in range(n)]


def tick_texts(axis):
    return [label.get_text() for label in axis.get_ticklabels() if label.get_text()]


def uniform(n):
    return np.full((n, n), 1 / n)


def test_attention_map_labels_rows_and_columns_and_draws_the_values():
    values = np.eye(3) * 0.5
    axes = plots.attention_map(values, ["[CLS]", "打", "[SEP]"], title="layer 0").axes[0]
    assert len(tick_texts(axes.xaxis)) == len(tick_texts(axes.yaxis)) == 3
    assert (axes.images[0].get_array() == values).all()
    assert axes.get_title() == "layer 0"


def test_a_long_text_is_shown_in_part_and_says_so():
    n = drawing.WINDOW + 10
    values = np.arange(n * n, dtype=float).reshape(n, n)
    axes = plots.attention_map(values, words(n), start=5).axes[0]
    assert tick_texts(axes.yaxis)[0] == "t5"
    assert axes.get_title() == f"tokens 5 to {4 + drawing.WINDOW} of {n}"
    assert axes.images[0].get_array()[0, 1] == values[5, 6]
    note = plots.attention_grid([values[None, None]], words(n))._suptitle.get_text()
    assert f"of {n}" in note


def test_a_window_outside_of_the_text_is_refused():
    with pytest.raises(ValueError, match="start 7 is not one of the 3 tokens"):
        plots.attention_map(uniform(3), words(3), start=7)


def test_attention_grid_draws_every_head_of_every_layer_of_the_row():
    attentions = [np.random.default_rng(n).random((2, 3, 4, 4)) for n in range(2)]
    figure = plots.attention_grid(attentions, words(4), row=1)
    assert len(figure.axes) == 6
    assert figure.axes[5].get_title() == "layer 1, head 2"
    assert (figure.axes[5].images[0].get_array() == attentions[1][1, 2]).all()


def test_attention_grid_takes_layers_with_pruned_heads():
    figure = plots.attention_grid([uniform(4)[None, None], np.ones((1, 2, 4, 4))], words(4))
    assert [axes.axison for axes in figure.axes] == [True, False, True, True]


def test_similarity_is_the_cosine():
    axes = plots.similarity([[3, 4], [4, -3], [6, 8]], ["a", "b", "c"]).axes[0]
    assert np.allclose(axes.images[0].get_array(), [[1, 0, 1], [0, 1, 0], [1, 0, 1]])
    assert [text.get_text() for text in axes.texts][:3] == ["1.00", "0.00", "1.00"]


def test_masks_fill_what_is_seen_and_mark_what_is_masked():
    seen = np.tril(np.ones((3, 3), bool))
    axes = plots.masks({"past": seen}, ["a", "M", "b"], marked=[1]).axes[0]
    assert axes.images[0].get_array().tolist() == [[1, 0, 0], [2, 2, 0], [1, 1, 1]]
    assert axes.get_title() == "past"


def test_masks_of_several_objectives_stand_side_by_side():
    seen = dict.fromkeys(["MMLM", "TLM", "CAMLM", "BTMLM"], np.ones((5, 5)))
    titles = [axes.get_title() for axes in plots.masks(seen, words(5)).axes if axes.axison]
    assert titles == list(seen)


def test_roofline_draws_the_roof_and_the_points():
    axes = plots.roofline({"slow": (0.5, 2), "fast": (60, 100)}, peak=115, bandwidth=25).axes[0]
    roof = axes.lines[0]
    assert np.allclose(roof.get_ydata(), np.minimum(115, 25 * roof.get_xdata()))
    assert [text.get_text() for text in axes.get_legend().texts] == ["slow: 2", "fast: 100"]


@pytest.mark.parametrize(
    "call",
    [
        lambda: plots.attention_map(uniform(3), words(4)),
        lambda: plots.attention_map(np.ones(3), words(3)),
        lambda: plots.similarity(np.ones((2, 3)), ["one"]),
        lambda: plots.masks({}, words(2)),
        lambda: plots.masks({"m": np.ones((2, 2))}, words(3)),
        lambda: plots.roofline({}, peak=1, bandwidth=1),
        lambda: plots.roofline({"a": (0, 1)}, peak=1, bandwidth=1),
    ],
)
def test_what_does_not_fit_together_is_a_value_error(call):
    with pytest.raises(ValueError, match=r"labels for|axes|masks|positive"):
        call()


def test_nothing_is_left_open():
    from matplotlib import pyplot

    plots.similarity(np.eye(2), ["a", "b"])
    assert pyplot.get_fignums() == []


def test_a_missing_font_is_told_once_and_its_characters_become_boxes(monkeypatch):
    monkeypatch.setattr(fonts, "FAMILIES", ())
    monkeypatch.setattr(fonts, "_told", set())
    with pytest.warns(UserWarning, match="fonts-noto-cjk") as said:
        labels, families = fonts.readable(["打开 file"])
    assert labels == ["□□ file"]
    assert families == ["DejaVu Sans"]
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.attention_map(uniform(2), ["打", "开"]).canvas.draw()


def test_an_old_matplotlib_says_what_it_cannot_join(monkeypatch):
    from matplotlib import ft2font

    monkeypatch.setattr(fonts, "_told", set())
    monkeypatch.delattr(ft2font, "__libraqm_version__", raising=False)
    with pytest.warns(UserWarning, match="Arabic letter by letter"):
        fonts.readable(["افتح"])


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'numpy-erniem\[plot\]'"):
        plots.similarity(np.eye(2), ["a", "b"])


def test_colours_differ_in_lightness():
    from matplotlib.colors import to_rgb

    light = sorted(np.dot(to_rgb(c), (0.3, 0.59, 0.11)) for c in (drawing.BLUE, drawing.ORANGE))
    assert light[1] - light[0] > 0.2
