"""aMAP-CT: a CT image score of liver and spleen, and aMAP, in one logistic regression."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from hccbook.errors import ModelError
from hccbook.models.development import (
    CLINICAL,
    check_development,
    logistic_score,
    phase_organ_name,
    probability,
    selection_counts,
    standardise,
)
from hccbook.models.linear_score import LinearScore
from hccbook.models.model_file import read_model, write_model
from hccbook.selection import LassoSelector
from hccbook.settings import ORGANS


class AmapCtModel(ClassifierMixin, BaseEstimator):
    """aMAP-CT model of the three-year risk of HCC.

    On the development cohort alone: z-score; LASSO over all image features of the chosen organs; a logistic
    regression on the selected ones, whose standardised linear predictor is the CT image score; a second
    logistic regression on CT image score and standardised aMAP, whose linear predictor is the aMAP-CT score.
    No class weights.

    Parameters
    ----------
    organs : sequence of str
        Organs whose features enter: liver and spleen, one of them, or none (aMAP alone).
    lasso_folds : int
        Folds that choose the LASSO penalty.
    lambda_rule : {"min", "1se"}
        Penalty with the least cross-validated error, or the largest within one standard error of it.
    random_state : int
        Seed of the folds.

    Attributes
    ----------
    image_score_ : LinearScore
        CT image score, mean 0 and SD 1 in the development cohort; constant 0 where no feature was selected.
    image_logistic_ : LinearScore
        The first regression before standardising: logit of the probability from the image alone.
    combination_ : LinearScore
        aMAP-CT score, of columns ct_image and amap.
    coef_ : numpy.ndarray, shape (1, 2)
        Weights of the standardised CT image score and aMAP.
    intercept_ : numpy.ndarray, shape (1,)
        Intercept of the aMAP-CT score.
    classes_ : numpy.ndarray, shape (2,)
        0 and 1.
    selection_counts_ : pandas.DataFrame
        Columns block, step, features; blocks are the organs; steps extracted, varying, lasso.
    lasso_path_ : pandas.DataFrame
        Columns alpha, mse, se, selected; empty where there was no feature.
    lasso_alpha_ : float or None
        Penalty used; None where there was no feature.
    notes_ : list of str
        What a reader should know about the fit.

    Notes
    -----
    With raw aMAP around 58 the printed formula ``0.52 x CT image score + 1.07 x aMAP score - 4.26`` would give
    about 58, so that aMAP must have been standardised: an assumption, as is the CT image score's scale.

    References
    ----------
    aMAP-CT, Methods, Data and modeling; Results, Model construction.
    """

    def __init__(
        self,
        organs: Sequence[str] = ORGANS,
        lasso_folds: int = 3,
        lambda_rule: Literal["min", "1se"] = "min",
        random_state: int = 0,
    ) -> None:
        self.organs = organs
        self.lasso_folds = lasso_folds
        self.lambda_rule = lambda_rule
        self.random_state = random_state

    def fit(self, X: pd.DataFrame, y: ArrayLike) -> AmapCtModel:
        """Learn the scores and the model on a development cohort.

        Parameters
        ----------
        X : pandas.DataFrame, shape (n_patients, n_features + 1)
            Columns ``<phase>.<organ>.<name>`` and ``amap``; features of other organs are ignored.
        y : array-like, shape (n_patients,)
            1 for HCC, 0 otherwise.

        Raises
        ------
        DataError
            If a value is missing (the column is named) or the outcome has one class.
        ModelError
            If a setting is out of range, ``amap`` or an organ's features are absent, or a class has fewer than
            two patients.
        """
        X, outcome = check_development(X, y)
        chosen = self._columns_of_organs(X)
        self.feature_names_in_ = X.columns.to_numpy(dtype=object)
        self.n_features_in_ = X.shape[1]
        self.classes_ = np.array([0, 1])
        self.notes_: list[str] = []
        self.image_score_ = self.image_logistic_ = LinearScore.of((), (), (), (), 0.0)
        self.lasso_path_ = pd.DataFrame({"alpha": [], "mse": [], "se": [], "selected": []}).astype({"selected": int})
        self.lasso_alpha_: float | None = None
        used = {name for names in chosen.values() for name in names}
        columns = [name for name in X.columns if name in used]
        varying, kept = (), ()
        if columns:
            z, means, scales, constant = standardise(X[columns])
            varying = z.columns
            if constant:
                self.notes_.append(f"{len(constant)} constant columns dropped, the first {constant[0]}.")
            kept = self._fit_image_score(z, outcome, means, scales)
        rows = []
        for organ, names in chosen.items():
            for step, left in (("extracted", names), ("varying", varying), ("lasso", kept)):
                rows.append((organ, step, len(set(names) & set(left))))
        self.selection_counts_ = selection_counts(rows)
        self.combination_ = logistic_score(self._covariates(X), outcome)
        self._expose_weights()
        return self

    def _columns_of_organs(self, X: pd.DataFrame) -> dict[str, list[str]]:
        unknown = [organ for organ in self.organs if organ not in ORGANS]
        if isinstance(self.organs, str) or unknown or len(set(self.organs)) != len(self.organs):
            raise ModelError(
                "organs", f"must be different ones of {', '.join(ORGANS)}", repr(self.organs), "Give a tuple of names."
            )
        by_organ: dict[str, list[str]] = {organ: [] for organ in self.organs}
        for name in X.columns[X.columns != CLINICAL]:
            organ = phase_organ_name(name)[1]
            if organ in by_organ:
                by_organ[organ].append(name)
        empty = [organ for organ, names in by_organ.items() if not names]
        if empty:
            raise ModelError(
                "features",
                f"must have columns <phase>.{empty[0]}.<name>",
                "none",
                f"Extract them, or leave {empty[0]} out.",
            )
        return by_organ

    def _fit_image_score(
        self, z: pd.DataFrame, outcome: np.ndarray, means: pd.Series, scales: pd.Series
    ) -> tuple[str, ...]:
        if not z.shape[1]:
            self.notes_.append("CT image score: no feature varies; the score is 0 for every patient.")
            return ()
        lasso = LassoSelector(self.lasso_folds, self.lambda_rule, self.random_state).set_output(transform="pandas")
        selected = lasso.fit(z, outcome).transform(z)
        self.notes_.extend(f"lasso: {note}" for note in lasso.notes_)
        self.lasso_path_, self.lasso_alpha_ = lasso.path(), lasso.alpha_
        names = tuple(selected.columns)
        if not names:
            self.notes_.append("CT image score: no feature was selected; the score is 0 for every patient.")
            return ()
        regression = logistic_score(selected, outcome)
        weights = np.array(regression.coefficients)
        own = LinearScore.of(names, means[list(names)], scales[list(names)], weights, regression.intercept)
        logit = own.evaluate(z * scales + means)
        centre, spread = float(logit.mean()), float(logit.std())
        self.image_logistic_ = own
        self.image_score_ = LinearScore.of(
            names, own.means, own.scales, weights / spread, (own.intercept - centre) / spread
        )
        return names

    def _covariates(self, X: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame(
            {"ct_image": self.image_score_.evaluate(X), CLINICAL: X[CLINICAL].to_numpy(dtype=float)}, index=X.index
        )

    def _expose_weights(self) -> None:
        self.coef_ = np.array([self.combination_.coefficients])
        self.intercept_ = np.array([self.combination_.intercept])

    def decision_function(self, X: pd.DataFrame) -> np.ndarray:
        """aMAP-CT score: the linear predictor (logit), shape (n_patients,); higher means a higher risk."""
        check_is_fitted(self, "combination_")
        if CLINICAL not in X.columns:
            raise ModelError("features", f"must have a column {CLINICAL!r}", "none", "Add it with hccbook.scores.amap.")
        return self.combination_.evaluate(self._covariates(X))

    def scores(self, X: pd.DataFrame) -> pd.DataFrame:
        """Scores of every patient.

        Parameters
        ----------
        X : pandas.DataFrame, shape (n_patients, n_columns)
            Table with the selected features and ``amap``; other columns are ignored.

        Returns
        -------
        pandas.DataFrame, shape (n_patients, 3)
            Columns amap, ct_image (CT image score) and amap_ct (probability); higher means a higher risk.

        Raises
        ------
        ModelError
            If a column is absent.
        DataError
            If a value is missing.
        """
        logit = self.decision_function(X)
        return self._covariates(X)[[CLINICAL, "ct_image"]].assign(amap_ct=probability(logit))

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Probability of no HCC and of HCC, shape (n_patients, 2); see `scores` for what is refused."""
        risk = probability(self.decision_function(X))
        return np.column_stack([1 - risk, risk])

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """1 where the probability is 0.5 or more, shape (n_patients,); the cut-off of the paper is set elsewhere."""
        return (self.decision_function(X) >= 0).astype(int)

    def formula(self, digits: int = 2) -> str:
        """The aMAP-CT score in the paper's form; aMAP is standardised by the development cohort."""
        check_is_fitted(self, "combination_")
        image, clinical = self.coef_[0]

        def signed(value: float, what: str = "") -> str:
            return f"{'-' if value < 0 else '+'} {abs(value):.{digits}f}{what}"

        return (
            f"aMAP-CT score = {image:.{digits}f} x CT image score "
            f"{signed(clinical, ' x aMAP score')} {signed(self.intercept_[0])}"
        )

    def to_json(self, file: str | Path) -> Path:
        """Write the model, without any patient's values.

        Parameters
        ----------
        file : path-like
            JSON file to write.
        """
        check_is_fitted(self, "combination_")
        content = {
            "parameters": {**self.get_params(), "organs": list(self.organs)},
            "image_score": self.image_score_.to_dict(),
            "image_logistic": self.image_logistic_.to_dict(),
            "combination": self.combination_.to_dict(),
            "feature_names": self.feature_names_in_.tolist(),
            "selection_counts": self.selection_counts_.to_dict(orient="list"),
            "lasso_path": self.lasso_path_.to_dict(orient="list"),
            "lasso_alpha": self.lasso_alpha_,
            "notes": self.notes_,
        }
        return write_model(file, "amap_ct", content)

    @classmethod
    def from_json(cls, file: str | Path) -> AmapCtModel:
        """Model that `to_json` wrote: the same scores to the last bit.

        Parameters
        ----------
        file : path-like
            JSON file.

        Raises
        ------
        ModelError
            If the file is missing or holds something else.
        """
        content = read_model(file, "amap_ct")
        model = cls(**{**content["parameters"], "organs": tuple(content["parameters"]["organs"])})
        model.image_score_ = LinearScore.from_dict(content["image_score"])
        model.image_logistic_ = LinearScore.from_dict(content["image_logistic"])
        model.combination_ = LinearScore.from_dict(content["combination"])
        model.feature_names_in_ = np.array(content["feature_names"], dtype=object)
        model.n_features_in_ = len(model.feature_names_in_)
        model.selection_counts_ = pd.DataFrame(content["selection_counts"], columns=["block", "step", "features"])
        model.lasso_path_ = pd.DataFrame(content["lasso_path"])
        model.lasso_alpha_ = content["lasso_alpha"]
        model.notes_ = content["notes"]
        model.classes_ = np.array([0, 1])
        model._expose_weights()
        return model
