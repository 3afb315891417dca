"""The methods by which scikit-learn knows a step of its pipelines."""

import copy
import inspect
import sys
from typing import Any

import numpy as np

from numpy_erniem.checks import nearest

OUTPUTS = ("default", "pandas", "polars")


class TextTransformer:
    """Base of a pipeline that is also a step of a scikit-learn Pipeline: texts in, an array out.

    scikit-learn is not imported, only its conventions are kept. The parameters are the arguments of
    the constructor, each in the attribute of the same name. A subclass has `__call__(texts)`, which
    gives an array (N, width), and `width`.
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

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name; `deep` changes nothing, as none of them has parameters itself."""
        names = list(inspect.signature(type(self).__init__).parameters)[1:]  # without self
        return {name: getattr(self, name) for name in names}

    def set_params(self, **parameters: Any) -> "TextTransformer":
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

    def __sklearn_clone__(self) -> "TextTransformer":
        """A new object with the same parameters; the weights are shared, not copied."""
        return copy.copy(self)

    def __sklearn_is_fitted__(self) -> bool:
        return True

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
