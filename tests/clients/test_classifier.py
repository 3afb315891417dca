"""The TextClassifier as a classifier of scikit-learn, as its users write it."""

import numpy as np
import pytest

from numpy_erniem import (
    ErnieMConfig,
    ErnieMForSequenceClassification,
    ErnieMTokenizer,
    TextClassifier,
    bundled_checkpoint,
)
from tests.clients.test_scikit_learn import CHECKS, estimator_checks, model_selection, pipelines

base = pytest.importorskip("sklearn.base")
metrics = pytest.importorskip("sklearn.metrics")
FunctionTransformer = pytest.importorskip("sklearn.preprocessing").FunctionTransformer

TEXTS = ["Open a file", "Datei öffnen", "打开文件", "Close it", "Schließen", "关闭"]
NAMES = ("open", "close", "print")


@pytest.fixture(scope="module")
def loaded():
    folder = bundled_checkpoint()
    config = ErnieMConfig.from_pretrained(folder, id2label=dict(enumerate(NAMES)))
    model = ErnieMForSequenceClassification(config, seed=1)
    return TextClassifier(model, ErnieMTokenizer.from_pretrained(folder))


@pytest.fixture
def classifier(loaded):
    """A classifier that a test may change."""
    return base.clone(loaded)


LABELS = ["open", "close", "close", "open", "close", "close"]


def upper(texts):
    return [text.upper() for text in texts]


def test_a_tuple_holds_texts_as_a_list_does(classifier):
    texts = tuple(TEXTS[:2])
    np.testing.assert_array_equal(classifier.predict(texts), classifier.predict(TEXTS[:2]))
    assert classifier.predict_proba(texts).shape == (2, 3)
    assert classifier.predict([texts]).shape == (1,)


def test_the_last_step_of_a_pipeline(classifier):
    pipeline = pipelines.make_pipeline(FunctionTransformer(upper), classifier).fit(TEXTS, LABELS)
    want = classifier.predict_proba(upper(TEXTS))
    np.testing.assert_array_equal(pipeline.predict_proba(TEXTS), want)
    assert pipeline.predict(TEXTS).tolist() == classifier.predict(upper(TEXTS)).tolist()
    assert pipeline.classes_.tolist() == sorted(NAMES)


def test_it_is_a_classifier_for_scikit_learn(classifier):
    assert base.is_classifier(classifier)
    assert not base.is_regressor(classifier)


def test_cross_validation_and_metrics(classifier):
    scores = model_selection.cross_val_score(classifier, TEXTS, LABELS, cv=2)
    assert scores.mean() == pytest.approx(np.mean(classifier.predict(TEXTS) == LABELS))
    loss = metrics.log_loss(LABELS, classifier.predict_proba(TEXTS), labels=sorted(NAMES))
    picked = [
        p[sorted(NAMES).index(y)]
        for p, y in zip(classifier.predict_proba(TEXTS), LABELS, strict=True)
    ]
    assert loss == pytest.approx(-np.log(picked).mean())


def test_a_grid_search_reaches_the_parameters(classifier):
    grid = {"on_overflow": ["window", "cut"]}
    search = model_selection.GridSearchCV(classifier, grid, cv=2).fit(TEXTS, LABELS)
    assert search.best_estimator_.model is classifier.model
    assert search.score(TEXTS, LABELS) == classifier.score(TEXTS, LABELS) > 0


def test_a_column_of_pandas(classifier):
    pandas = pytest.importorskip("pandas")
    column = pandas.Series(TEXTS, index=range(5, 11))
    np.testing.assert_array_equal(classifier.predict(column), classifier.predict(TEXTS))


def test_a_stored_classifier_is_the_same(classifier, tmp_path):
    joblib = pytest.importorskip("joblib")
    joblib.dump(classifier, tmp_path / "classifier.joblib")
    again = joblib.load(tmp_path / "classifier.joblib")
    np.testing.assert_array_equal(again.predict_proba(TEXTS), classifier.predict_proba(TEXTS))


@pytest.mark.parametrize("name", CHECKS)
def test_the_checks_of_scikit_learn(name, classifier):
    check = getattr(estimator_checks, name, None)
    if check is None:
        pytest.skip(f"this version has no {name}")
    check("TextClassifier", classifier)
