"""What the papers' models share: image scores and aMAP in one logistic regression, kept as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self, get_type_hints

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from hccbook.documents import checked
from hccbook.errors import ModelError, reading
from hccbook.features.lasso import weights_along_path
from hccbook.models.development import CLINICAL, check_clinical, probability
from hccbook.models.linear_score import LinearScore
from hccbook.models.model_file import read_model, write_model

_FIT_AGAIN = "Fit the model again."


class _JsonForm(NamedTuple):
    """How a learnt value becomes plain JSON values, of which type they are, and how it comes back."""

    kind: Any
    write: Callable[[Any], Any] = lambda value: value
    read: Callable[[Any], Any] = lambda value: value


_Columns = dict[str, list[int | float | str | None]]


@dataclass(frozen=True)
class _Path:
    features: list[str]
    penalties: list[float]
    weights: list[list[float]]


def _table_columns(table: pd.DataFrame) -> dict[str, list]:
    return table.to_dict(orient="list")


def _path_rows(table: pd.DataFrame) -> dict[str, list]:
    """Weights along the path as a feature's row of weights, the penalties once."""
    features = list(pd.unique(table["feature"]))
    steps = len(table) // max(len(features), 1)
    weights = table["coefficient"].to_numpy(dtype=float).reshape(len(features), steps)
    return {"features": features, "penalties": table["penalty"].tolist()[:steps], "weights": weights.tolist()}


_SCORE = _JsonForm(LinearScore, LinearScore.to_dict)
_TABLE = _JsonForm(_Columns, _table_columns, pd.DataFrame)
_FORMS = {
    **dict.fromkeys(("radiomics_score", "deep_score", "image_score", "image_logistic", "combination"), _SCORE),
    **dict.fromkeys(("selection_counts", "lasso_path"), _TABLE),
    "recalibration": _JsonForm(tuple[float, float], list),
    "feature_names": _JsonForm(list[str], lambda names: names.tolist(), lambda names: np.array(names, dtype=object)),
    "notes": _JsonForm(list[str]),
    "lasso_alpha": _JsonForm(float | None),
    "lasso_alphas": _JsonForm(dict[str, float]),
    "lasso_paths": _JsonForm(
        dict[str, _Columns],
        lambda paths: {block: _table_columns(path) for block, path in paths.items()},
        lambda paths: {block: pd.DataFrame(path) for block, path in paths.items()},
    ),
    "lasso_weights": _JsonForm(_Path, _path_rows, lambda path: weights_along_path(**vars(path))),
}


def covariates_of(X: pd.DataFrame, image_scores: Mapping[str, LinearScore]) -> pd.DataFrame:
    """aMAP and image scores of every patient, refused as by `ScoreModel.scores`."""
    check_clinical(X)
    scores = {name: score.evaluate(X) for name, score in image_scores.items()}
    return pd.DataFrame({CLINICAL: X[CLINICAL].to_numpy(dtype=float), **scores}, index=X.index)


class JsonModel(BaseEstimator):
    """A model that a JSON file keeps whole, without any patient's values; it says how its file is called."""

    _file_name: ClassVar[str]

    def to_json(self, file: str | Path) -> Path:
        """Write the model to a JSON file, whole or not at all."""
        return write_model(file, self._file_name, self._content())

    @classmethod
    def from_json(cls, file: str | Path) -> Self:
        """Model that `to_json` wrote: the same scores to the last bit.

        Raises
        ------
        ModelError
            If the file is missing or holds something else.
        """
        content = read_model(file, cls._file_name)
        place = Path(file).name
        with reading(ModelError, place, "must hold a whole model", _FIT_AGAIN):
            try:
                return cls._of_content(content)
            except ModelError as error:
                raise ModelError(f"{place}: {error.place}", error.rule, error.found, error.hint) from error


class ScoreModel(ClassifierMixin, JsonModel):
    """Prediction and file of a model whose ``combination_`` is the logit of the probability.

    A model says how its file and its probability are called, which attributes are its image scores, by column, and
    what its file holds, in this order: learnt attributes without their last underscore.

    Attributes
    ----------
    combination_ : LinearScore
        Logit of the probability, of aMAP, the image scores and covariates.
    classes_ : numpy.ndarray, shape (2,)
        0 and 1.
    notes_ : list of str
        What a reader should know about the fit.
    """

    _probability: ClassVar[str]
    _image_scores: ClassVar[Mapping[str, str]]
    _saved: ClassVar[Sequence[str]]

    def _start(self, columns: Sequence[str]) -> None:
        """What scikit-learn wants to know of the table."""
        self.feature_names_in_ = np.array(columns, dtype=object)
        self.n_features_in_ = len(columns)
        self.classes_ = np.array([0, 1])

    @property
    def coef_(self) -> np.ndarray:
        """Weights of the standardised columns of ``combination_``, shape (1, n_columns)."""
        return np.array([self.combination_.coefficients])

    @property
    def intercept_(self) -> np.ndarray:
        """Intercept of ``combination_``, shape (1,)."""
        return np.array([self.combination_.intercept])

    @property
    def image_features(self) -> tuple[str, ...]:
        """Image features that the scores are made of."""
        return tuple(name for score in self._image_scores.values() for name in getattr(self, score).names)

    def _covariates(self, X: pd.DataFrame) -> pd.DataFrame:
        """Columns that enter ``combination_``, in its order."""
        return covariates_of(X, {name: getattr(self, score) for name, score in self._image_scores.items()})

    def decision_function(self, X: pd.DataFrame) -> np.ndarray:
        """Linear predictor (logit), shape (n_patients,); a higher value means a higher risk."""
        check_is_fitted(self, "combination_")
        return self.combination_.evaluate(self._covariates(X))

    def scores(self, X: pd.DataFrame) -> pd.DataFrame:
        """Scores of every patient.

        Parameters
        ----------
        X : pandas.DataFrame, shape (n_patients, n_columns)
            Table with the selected features, ``amap`` and the covariates; other columns are ignored.

        Returns
        -------
        pandas.DataFrame, shape (n_patients, n_scores)
            Columns amap, the image scores (ALARM: radiomics, deep; aMAP-CT: ct_image) and the probability (alarm or
            amap_ct); higher means a higher risk.

        Raises
        ------
        ModelError
            If a column is absent.
        DataError
            If a value is missing.
        """
        check_is_fitted(self, "combination_")
        covariates = self._covariates(X)
        risk = probability(self.combination_.evaluate(covariates))
        return covariates[[CLINICAL, *self._image_scores]].assign(**{self._probability: risk})

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Probability of no HCC and of HCC, shape (n_patients, 2); see `scores` for what is refused."""
        risk = probability(self.decision_function(X))
        return np.column_stack([1 - risk, risk])

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """1 where the probability is 0.5 or more, shape (n_patients,); the cut-offs in use are set elsewhere."""
        return (self.predict_proba(X)[:, 1] >= 0.5).astype(int)

    def _content(self) -> dict[str, Any]:
        check_is_fitted(self, "combination_")
        learnt = {key: _FORMS[key].write(getattr(self, _attribute(key))) for key in self._saved}
        return {"parameters": self.get_params(), **learnt}

    @classmethod
    def _of_content(cls, content: Mapping[str, Any]) -> Self:
        model = cls(**settings_of(cls, content["parameters"]))
        for key in cls._saved:
            form = _FORMS[key]
            setattr(model, _attribute(key), form.read(checked(form.kind, content[key], key, ModelError, _FIT_AGAIN)))
        model._start(model.feature_names_in_)
        return model


def _attribute(key: str) -> str:
    return "feature_names_in_" if key == "feature_names" else f"{key}_"


def settings_of(model: type, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as a model's ``__init__`` declares them; JSON knows lists only, where it takes tuples."""
    kinds = get_type_hints(model.__init__)
    settings = {
        name: checked(kinds[name], value, f"parameters.{name}", ModelError, _FIT_AGAIN)
        for name, value in parameters.items()
    }
    return {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
