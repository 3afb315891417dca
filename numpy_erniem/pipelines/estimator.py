"""The methods by which scikit-learn knows a step of its pipelines."""

import copy
import inspect
import sys
from typing import Any, TypeVar

import numpy as np

from numpy_erniem.checks import nearest

OUTPUTS = ("default", "pandas", "polars")

Step = TypeVar("Step", bound="TextStep")
Predictor = TypeVar("Predictor", bound="TextPredictor")


class TextStep:
    """What every pipeline has that is a step of a scikit-learn Pipeline.

    scikit-learn is not imported, only its conventions are kept. The parameters are the arguments of
    the constructor, each in the attribute of the same name.
    """

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name; `deep` changes nothing, as none of them has parameters itself."""
        names = list(inspect.signature(type(self).__init__).parameters)[1:]  # without self
        return {name: getattr(self, name) for name in names}

    def set_params(self: Step, **parameters: Any) -> Step:
        """Change parameters, such as `set_params(pooling="cls")`.

        Raises
        ------
        ValueError
            There is no such parameter.
        """
        known = list(self.get_params())
        for name in parameters:
            if name not in known:
                owner = type(self).__name__
                raise ValueError(f"{owner} has no parameter {name!r}{nearest(name, known)}")
        for name, value in parameters.items():
            setattr(self, name, value)
        return self

    def __sklearn_clone__(self: Step) -> Step:
        """A new object with the same parameters; the weights are shared, not copied."""
        return copy.copy(self)

    def __sklearn_is_fitted__(self) -> bool:
        return True


class TextTransformer(TextStep):
    """Base of a pipeline that is also a step of a scikit-learn Pipeline: texts in, an array out.

    A subclass has `__call__(texts)`, which gives an array (N, width), and `width`.
    """

    width: int
    _output: str | None = None  # None: as scikit-learn is set

    def __call__(self, texts: Any) -> np.ndarray:
        """Compute one row for each text."""
        raise NotImplementedError

    def fit(self, X: Any, y: Any = None) -> "TextTransformer":
        """Learn nothing, as the model is trained already; neither argument is read."""
        return self

    def transform(self, X: Any) -> Any:
        """One row for each text.

        Parameters
        ----------
        X : iterable of str
            A column, not a table. One str gives one row.

        Returns
        -------
        (N, width) float32 array, or a table as `set_output` chose it
        """
        return self._as_chosen(self(X).reshape(-1, self.width), X)

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """The same as `transform`."""
        return self.transform(X)

    def set_output(self, *, transform: str | None = None) -> "TextTransformer":
        """Choose what `transform` gives.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, optional
            An array, or a DataFrame. Left out, nothing changes. Without a choice it is that of
            scikit-learn's `set_config(transform_output=...)`.

        Raises
        ------
        ValueError
            Another name.
        """
        if transform is not None and transform not in OUTPUTS:
            raise ValueError(f"transform {transform!r} is not one of {', '.join(OUTPUTS)}")
        self._output = self._output if transform is None else transform
        return self

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns that `transform` gives: "embedder0", "embedder1", and so on.

        Parameters
        ----------
        input_features : object
            Not read: a column of the result does not come from a column of the input.

        Returns
        -------
        (width,) array of str objects
        """
        prefix = type(self).__name__.lower()
        return np.array([f"{prefix}{n}" for n in range(self.width)], object)

    def _as_chosen(self, rows: np.ndarray, X: Any) -> Any:
        """The rows as an array or a DataFrame; a column of pandas passes its labels on."""
        output, sklearn = self._output, sys.modules.get("sklearn")
        if output is None and sklearn is not None:
            output = sklearn.get_config()["transform_output"]
        if output == "pandas":
            import pandas

            labels = X.index if isinstance(X, pandas.Series) else None
            return pandas.DataFrame(rows, labels, self.get_feature_names_out())
        if output == "polars":
            import polars

            return polars.DataFrame(rows, list(self.get_feature_names_out()), orient="row")
        return rows

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks a step: it takes texts, and needs no targets and no fit."""
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(),
            input_tags=InputTags(two_d_array=False, string=True),
            requires_fit=False,
            no_validation=True,
        )


class TextPredictor(TextStep):
    """Base of a pipeline that is also a classifier of scikit-learn: texts in, labels out.

    A subclass has `__call__(texts, top_k=None)`, which gives a list of {"label", "score"} for each
    text, `labels`, and `problem`.
    """

    _estimator_type = "classifier"

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, by their numbers."""
        raise NotImplementedError

    @property
    def problem(self) -> str:
        """What the model was trained for, as a config's problem_type."""
        raise NotImplementedError

    def __call__(self, items: Any, **options: Any) -> Any:
        """Compute the labels of each text with their scores."""
        raise NotImplementedError

    @property
    def classes_(self) -> np.ndarray:
        """The labels, sorted as scikit-learn does: those of the columns of `predict_proba`."""
        return np.array(sorted(self.labels))

    def fit(self: Predictor, X: Any, y: Any = None) -> Predictor:
        """Learn nothing, as the model is trained already.

        Raises
        ------
        ValueError
            `y` has a label that the model does not know.
        """
        self._check_classes()
        targets = np.asarray([] if y is None else y)
        if targets.ndim == 1:
            unknown = [label for label in targets.tolist() if label not in self.labels]
            if unknown:
                raise ValueError(
                    f"y has the label {unknown[0]!r}; the model is trained already, on the labels "
                    f"{', '.join(self.labels)}"
                )
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The label of each text.

        Parameters
        ----------
        X : iterable of texts or pairs
            A column, not a table. A tuple of two texts is two texts; a pair stands in a list.

        Returns
        -------
        (N,) array of str
            Where a text may have several labels, an (N, K) array of 0 and 1, with a column for each
            of `classes_`.
        """
        probabilities = self.predict_proba(X)
        if self.problem == "multi_label_classification":
            return (probabilities > 0.5).astype(np.int64)
        order = [self.labels.index(label) for label in self.classes_]
        by_id = probabilities[:, np.argsort(order)]  # equal scores keep the lower class
        return np.array(self.labels)[by_id.argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each label, by the problem type, whatever `function` is.

        Parameters
        ----------
        X : iterable of texts or pairs

        Returns
        -------
        (N, K) float64 array
            With a column for each of `classes_`.
        """
        self._check_classes()
        X = list(X) if isinstance(X, tuple) else X  # which a call takes for one pair
        results = self(X, top_k=None, function=None)
        results = [results] if results and isinstance(results[0], dict) else results
        rows = [{row["label"]: row["score"] for row in result} for result in results]
        return np.array([[row[label] for label in self.classes_.tolist()] for row in rows])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The accuracy: the share of texts whose predicted label, or labels, are those of `y`.

        Parameters
        ----------
        X : iterable of texts or pairs
        y : (N,) labels, or (N, K) numbers 0 and 1
        sample_weight : (N,) numbers, optional

        Returns
        -------
        float
        """
        right = self.predict(X) == np.asarray(y)
        right = right.all(axis=1) if right.ndim == 2 else right
        return float(np.average(right, weights=sample_weight))

    def _check_classes(self) -> None:
        if self.problem == "regression" or len(self.labels) < 2:
            raise ValueError(
                f"the model has {len(self.labels)} labels and its problem is {self.problem}: it "
                "has no classes to predict; call it for its scores"
            )
        if len(set(self.labels)) < len(self.labels):
            raise ValueError(f"two classes of the model have one name: {', '.join(self.labels)}")

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks a step: a classifier of texts that needs no fit."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        multi_label = self.problem == "multi_label_classification"
        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=False),
            classifier_tags=ClassifierTags(multi_label=multi_label),
            input_tags=InputTags(two_d_array=False, string=True),
            requires_fit=False,
            no_validation=True,
        )
