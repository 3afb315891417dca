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
    assert len(figure.axes) == 6 + 1  # and the scale of colours
    assert figure.axes[5].get_title() == "layer 1, head 2"
    assert (figure.axes[5].images[0].get_array() == attentions[1][1, 2]).all()


def test_attention_grid_takes_layers_with_pruned_heads():
    figure = plots.attention_grid([uniform(4)[None, None], np.ones((1, 2, 4, 4))], words(4))
    assert [axes.axison for axes in figure.axes[:4]] == [True, False, True, True]


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
        lambda: plots.roofline({"a": (1, np.inf)}, peak=1, bandwidth=1),
        lambda: plots.roofline({"a": (1, 1)}, peak=-1, bandwidth=-1),
    ],
)
def test_what_does_not_fit_together_is_a_value_error(call):
    with pytest.raises(ValueError, match=r"labels for|axes|masks|positive"):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.attention_map(np.ones((0, 0)), []), "nothing to draw"),
        (lambda: plots.attention_map(np.ones((2, 3)), words(2)), "must be the same"),
        (lambda: plots.attention_map(np.full((2, 2), np.nan), words(2)), "NaN"),
        (lambda: plots.attention_grid(None, words(2)), "output_attentions=True"),
        (lambda: plots.attention_grid([], words(2)), "output_attentions=True"),
        (lambda: plots.attention_grid([np.ones((1, 2, 2, 2))], words(2), row=1), "row 1"),
        (
            lambda: plots.attention_grid([np.ones((1, 2, n, n)) for n in (2, 3)], words(2)),
            "different numbers",
        ),
        (lambda: plots.similarity(np.ones((0, 3)), []), "nothing to draw"),
        (lambda: plots.similarity(np.full((2, 3), np.inf), words(2)), "infinity"),
        (lambda: plots.similarity([["a", "b"]], words(1)), "no number"),
        (lambda: plots.masks({"m": np.ones((2, 2))}, words(2), marked=[2]), "marked holds 2"),
    ],
)
def test_an_array_that_cannot_be_drawn_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_dollar_in_a_text_begins_no_formula():
    figure = plots.similarity(np.eye(2), ["$5 or $6", "$\\wrong$"])
    figure.canvas.draw()
    assert figure.axes[0].get_xticklabels()[0].get_text() == r"\$5 or \$6"


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


def test_all_heads_of_a_grid_share_one_scale_of_colours():
    weak, strong = np.full((1, 1, 2, 2), 0.2), np.full((1, 1, 2, 2), 0.7)
    figure = plots.attention_grid([weak, strong], words(2))
    limits = [axes.images[0].get_clim() for axes in figure.axes[:2]]
    assert limits == [(0, 0.7), (0, 0.7)]
    assert figure.axes[2].get_ylabel() == "share of attention"


def test_training_curves_draw_means_over_single_losses_and_landmarks():
    losses = [4.0, 2.0, 3.0, 1.0]
    axes = plots.training_curves({"run": losses}, landmarks={"guessing": 3.5}, width=2).axes[0]
    single, mean, landmark = axes.lines
    assert single.get_ydata().tolist() == losses
    assert mean.get_ydata().tolist() == [3, 2.5, 2]
    assert mean.get_xdata().tolist() == [0.5, 1.5, 2.5]
    assert set(landmark.get_ydata()) == {3.5}
    assert [text.get_text() for text in axes.texts] == ["guessing"]


def test_training_curves_say_how_many_losses_were_not_finite():
    axes = plots.training_curves({"a": [2.0, np.nan, np.inf, 1.0]}).axes[0]
    assert axes.get_title() == "2 losses are not finite and are not drawn"


def test_several_training_curves_have_a_legend():
    axes = plots.training_curves({"a": [1.0], "b": [2.0]}, title="two").axes[0]
    assert [text.get_text() for text in axes.get_legend().texts] == ["a", "b"]
    assert axes.get_title() == "two"


def test_embedding_plane_keeps_the_distances_of_points_in_a_plane():
    rng = np.random.default_rng(0)
    flat = rng.standard_normal((5, 2))
    turned = flat @ np.linalg.qr(rng.standard_normal((7, 7)))[0][:2] + 3  # in seven dimensions
    axes = plots.embedding_plane(turned, words(5)).axes[0]
    points = np.array(axes.lines[0].get_xydata())
    distances = [np.linalg.norm(x[:, None] - x[None], axis=2) for x in (flat, points)]
    assert np.allclose(*distances)
    assert sorted(text.get_text() for text in axes.texts) == words(5)
    assert "of the variance" in axes.get_xlabel()


def test_embedding_plane_tells_groups_apart():
    axes = plots.embedding_plane(np.eye(3), words(3), groups=["en", "de", "en"]).axes[0]
    assert [len(line.get_xdata()) for line in axes.lines] == [2, 1]
    assert axes.lines[0].get_marker() != axes.lines[1].get_marker()
    assert [text.get_text() for text in axes.get_legend().texts] == ["en", "de"]


def test_embedding_plane_says_which_points_have_labels():
    n = drawing.WINDOW + 2
    axes = plots.embedding_plane(np.eye(n), words(n), title="many").axes[0]
    assert len(axes.lines[0].get_xdata()) == n
    assert len(axes.texts) == drawing.WINDOW
    assert axes.get_title() == f"many\n{drawing.WINDOW} of {n} points have labels"


def test_quantization_error_is_relative_to_the_row():
    weight = np.array([[3.0, 4.0], [0, 0], [0, 10]])
    restored = {"coarse": [[3, 4.5], [0, 0], [0, 9]], "exact": weight}
    axes = plots.quantization_error(weight, restored, title="rounding").axes[0]
    coarse, exact = axes.lines
    assert np.allclose(coarse.get_ydata(), [0.1, 0.1])
    assert np.allclose(coarse.get_xdata(), [4 / np.sqrt(12.5), np.sqrt(2)])
    assert (exact.get_ydata() == 1e-9).all()
    assert [text.get_text() for text in axes.get_legend().texts] == [
        "coarse: 0.1 in all",
        "exact: 0 in all",
    ]


def test_gradient_flow_draws_each_kind_of_weight_over_the_layers():
    layers = [
        {"linear1": {"weight": np.full((2, 3), size), "bias": np.ones(2)}} for size in (4.0, 2.0)
    ]
    trees = {"encoder": {"layers": layers}}, {"ernie_m": {"encoder": {"layers": layers}}}
    for tree in trees:
        axes = plots.gradient_flow({**tree, "classifier": {"weight": np.ones(2)}}).axes[0]
        (line,) = axes.lines
        assert line.get_xydata().tolist() == [[0, 4], [1, 2]]
        assert [text.get_text() for text in axes.get_legend().texts] == ["linear1"]


def test_gradient_flow_takes_the_gradients_of_a_model():
    from numpy_erniem import ErnieMConfig, ErnieMForSequenceClassification, training

    config = ErnieMConfig(
        vocab_size=9, hidden_size=4, num_attention_heads=2, num_hidden_layers=3, intermediate_size=5
    )
    model = training.trainable(ErnieMForSequenceClassification(config, seed=0))
    _, gradients = training.value_and_grad(model, {"input_ids": [[0, 5, 2]], "labels": [1]})
    axes = plots.gradient_flow(gradients).axes[0]
    kinds = ["q_proj", "k_proj", "v_proj", "out_proj", "linear1", "linear2", "norm1", "norm2"]
    assert {text.get_text() for text in axes.get_legend().texts} == set(kinds)
    assert all(len(line.get_xdata()) == 3 for line in axes.lines)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.training_curves({}), "no losses"),
        (lambda: plots.training_curves([1.0]), "give a dict"),
        (lambda: plots.training_curves({"a": []}), "nothing to draw"),
        (lambda: plots.training_curves({"a": [1.0]}, width=0), "width 0"),
        (lambda: plots.training_curves({"a": [1.0]}, width=1.5), "whole number"),
        (lambda: plots.training_curves({"a": [1.0]}, width=2), "a has 1 steps"),
        (lambda: plots.embedding_plane(np.ones((1, 4)), ["a"]), r"\(1, 4\)"),
        (lambda: plots.embedding_plane(np.full((2, 4), np.nan), ["a", "b"]), "NaN"),
        (lambda: plots.quantization_error(np.eye(2), {"a": np.full((2, 2), np.nan)}), "a holds"),
        (lambda: plots.embedding_plane(np.eye(2), ["a"]), "1 labels for 2 vectors"),
        (lambda: plots.embedding_plane(np.eye(2), words(2), groups=["a"]), "in groups"),
        (lambda: plots.quantization_error(np.eye(2), {}), "nothing restored"),
        (lambda: plots.quantization_error(np.zeros((2, 2)), {"a": np.eye(2)}), "zero"),
        (lambda: plots.quantization_error(np.eye(2), {"a": np.eye(3)}), r"a has shape \(3, 3\)"),
        (lambda: plots.gradient_flow({"classifier": {"weight": np.eye(2)}}), "no gradients"),
    ],
)
def test_pictures_of_learning_refuse_what_they_cannot_draw(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_texts_of_points_stand_in_a_column_on_each_side_of_all_points():
    points = np.random.default_rng(4).standard_normal((9, 2))
    axes = plots.embedding_plane(points, words(9)).axes[0]
    x = axes.lines[0].get_xdata()
    places = {
        side: {t.xyann[0] for t in axes.texts if t.get_ha() == side} for side in ("right", "left")
    }
    (left,), (right,) = places["right"], places["left"]
    assert left < x.min()
    assert right > x.max()


def test_texts_of_points_that_are_near_do_not_stand_above_each_other():
    near = np.vstack([np.full((6, 2), 1.0) + np.arange(6)[:, None] * 1e-3, [[-5, 0]]])
    axes = plots.embedding_plane(near, words(7)).axes[0]
    heights = np.sort([text.xyann[1] for text in axes.texts if text.get_text() != "t6"])
    assert np.diff(heights).min() > 0.03 * np.ptp(axes.get_ylim())
