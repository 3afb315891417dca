"""The Embedder as a step of scikit-learn's pipelines, as its users write them."""

import re

import numpy as np
import pytest

from numpy_erniem import Embedder
from tests.test_docs import blocks

sklearn = pytest.importorskip("sklearn")
clone = pytest.importorskip("sklearn.base").clone
compose = pytest.importorskip("sklearn.compose")
estimator_checks = pytest.importorskip("sklearn.utils.estimator_checks")
model_selection = pytest.importorskip("sklearn.model_selection")
pipelines = pytest.importorskip("sklearn.pipeline")
LogisticRegression = pytest.importorskip("sklearn.linear_model").LogisticRegression
make_pipeline = pipelines.make_pipeline

TEXTS = ["Open a file", "Datei öffnen", "打开文件", "Close it", "Schließen", "关闭"] * 2
LABELS = [1, 1, 1, 0, 0, 0] * 2


@pytest.fixture(scope="module")
def loaded():
    return Embedder.from_pretrained()


@pytest.fixture
def embedder(loaded):
    """An Embedder that a test may change."""
    return clone(loaded)


def test_a_pipeline_classifies_by_the_vectors(embedder):
    got = make_pipeline(embedder, LogisticRegression()).fit(TEXTS, LABELS).predict_proba(TEXTS)
    vectors = embedder(TEXTS)
    want = LogisticRegression().fit(vectors, LABELS).predict_proba(vectors)
    np.testing.assert_array_equal(got, want)


def test_a_clone_shares_the_weights_and_has_the_parameters(embedder):
    embedder.set_params(pooling="cls", prompt="query: ")
    other = clone(embedder)
    assert other is not embedder
    assert other.model is embedder.model
    assert other.get_params() == embedder.get_params()
    other.set_params(pooling="mean")
    assert embedder.pooling == "cls"


def test_cross_validation(embedder):
    scores = model_selection.cross_val_score(
        make_pipeline(embedder, LogisticRegression()), TEXTS, LABELS, cv=2
    )
    assert scores.tolist() == [1, 1]


def test_a_grid_search_reaches_the_parameters(embedder):
    pipeline = pipelines.Pipeline([("embed", embedder), ("classify", LogisticRegression())])
    grid = {"embed__pooling": ["mean", "cls"], "classify__C": [1e-9, 1]}
    search = model_selection.GridSearchCV(pipeline, grid, cv=2).fit(TEXTS, LABELS)
    assert len(set(search.cv_results_["param_embed__pooling"])) == 2
    best = search.best_estimator_
    assert best["embed"].pooling == search.best_params_["embed__pooling"]
    assert best.score(TEXTS, LABELS) == 1


def test_a_pipeline_has_names_for_its_columns(embedder):
    union = pipelines.FeatureUnion(
        [("a", embedder), ("b", clone(embedder).set_params(pooling="cls"))]
    )
    names = union.fit(TEXTS).get_feature_names_out()
    assert names[[0, 128]].tolist() == ["a__embedder0", "b__embedder0"]
    np.testing.assert_array_equal(union.transform(TEXTS)[:, :128], embedder(TEXTS))


def test_set_output_gives_a_table(embedder, close):
    pandas = pytest.importorskip("pandas")
    texts = pandas.Series(TEXTS[:3], index=[7, 5, 9])
    table = make_pipeline(embedder).set_output(transform="pandas").fit_transform(texts)
    assert table.index.tolist() == [7, 5, 9]
    assert table.columns[1] == "embedder1"
    close(table.to_numpy(), embedder(TEXTS[:3]), "exact")
    assert isinstance(clone(embedder).transform(TEXTS), pandas.DataFrame)
    assert isinstance(embedder.set_output(transform="default").transform(texts), np.ndarray)
    with pytest.raises(ValueError, match="'arrow' is not one of default, pandas, polars"):
        embedder.set_output(transform="arrow")


def test_set_output_gives_a_table_of_polars(embedder, close):
    pytest.importorskip("polars")
    table = embedder.set_output(transform="polars").transform(TEXTS)
    assert table.columns[1] == "embedder1"
    close(table.to_numpy(), embedder(TEXTS), "exact")


def test_the_setting_of_scikit_learn_holds_where_none_is_chosen(embedder):
    pandas = pytest.importorskip("pandas")
    with sklearn.config_context(transform_output="pandas"):
        assert isinstance(embedder.transform(TEXTS), pandas.DataFrame)
        embedder.set_output(transform="default")
        assert isinstance(embedder.transform(TEXTS), np.ndarray)


def test_a_column_of_a_table_beside_others(embedder, close):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"text": TEXTS, "n": range(len(TEXTS))})
    columns = compose.make_column_transformer((embedder, "text"), ("passthrough", ["n"]))
    rows = columns.fit_transform(table)
    close(rows[:, :128].astype(np.float32), embedder(TEXTS), "exact")
    assert columns.get_feature_names_out()[-1] == "passthrough__n"
    with pytest.raises(TypeError, match="a table; give one column"):
        compose.ColumnTransformer([("t", embedder, ["text"])]).fit(table)


def test_a_pipeline_is_printed_and_drawn(embedder):
    pipeline = make_pipeline(embedder, LogisticRegression())
    assert "Embedder" in repr(pipeline)
    assert "Embedder" in pipeline._repr_html_()


def test_a_fitted_pipeline_is_stored(embedder, tmp_path, close):
    joblib = pytest.importorskip("joblib")
    pipeline = make_pipeline(embedder, LogisticRegression()).fit(TEXTS, LABELS)
    joblib.dump(pipeline, tmp_path / "pipeline.joblib")
    again = joblib.load(tmp_path / "pipeline.joblib")
    close(again.predict_proba(TEXTS), pipeline.predict_proba(TEXTS), "exact")


def test_a_pipeline_with_a_cache_computes_the_vectors_once(embedder, tmp_path, monkeypatch):
    calls, call = [], Embedder.__call__
    monkeypatch.setattr(
        Embedder, "__call__", lambda self, *a, **o: calls.append(1) or call(self, *a, **o)
    )
    pipeline = make_pipeline(embedder, LogisticRegression(), memory=str(tmp_path))
    for c in (1, 2):
        pipeline.set_params(logisticregression__C=c).fit(TEXTS, LABELS)
    assert len(calls) == 1


def test_workers_of_joblib_embed_alike(embedder, close):
    joblib = pytest.importorskip("joblib")
    halves = joblib.Parallel(n_jobs=2)(
        joblib.delayed(embedder)(half) for half in (TEXTS[:6], TEXTS[6:])
    )
    close(np.concatenate(halves), embedder(TEXTS), "primitive")


def test_the_script_in_the_documentation(capsys):
    (script,) = (block for block in blocks("migrating.md") if "sklearn" in block)
    exec(compile(script, "docs/migrating.md", "exec"), {})
    assert re.match(r"\{'embed__pooling': '(mean|cls)'\} \[[01]\]\n$", capsys.readouterr().out)


# Those of scikit-learn's own checks that do not give an array of numbers as the input.
CHECKS = (
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_set_params",
    "check_valid_tag_types",
)


@pytest.mark.parametrize("name", CHECKS)
def test_the_checks_of_scikit_learn(name, embedder):
    check = getattr(estimator_checks, name, None)
    if check is None:
        pytest.skip(f"this version has no {name}")
    check("Embedder", embedder)
