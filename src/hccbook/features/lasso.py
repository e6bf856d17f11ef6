"""LASSO as every model here uses it: folds, path, choice of the penalty, weights.

`LassoSelector` chooses a penalty on features that were selected beforehand. A model that selects inside its folds
takes the same steps one by one.

References
----------
Tibshirani 1996, J R Stat Soc B 58:267.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, LassoCV, lasso_path
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.validation import check_is_fitted

from hccbook.errors import ModelError
from hccbook.features.selection import FeatureSelector, check_choice, check_rarest_class, rarest_class

LAMBDA_RULES = ("min", "1se")
"""Penalty with the least cross-validated error, or the largest within one standard error of it."""

PATH_COLUMNS = ("alpha", "mse", "se", "selected")
"""Penalty, mean squared error of the folds, its standard error, and features with weight."""

N_PENALTIES = 100
"""Penalties on a path."""

_MAX_SWEEPS = 5000
_FINAL_TOLERANCE = 1e-8
_MAX_FEATURES_TO_CROSS = 8000
_FEATURES_A_PATIENT_TO_CROSS = 4


def stratified_folds(
    folds: int, outcome: np.ndarray, random_state: int, note: Callable[[str], object]
) -> StratifiedKFold:
    """Shuffled folds, fewer where the rarer class has fewer patients, which is noted."""
    check_rarest_class(outcome, 2, " to be cross-validated")
    rarest = rarest_class(outcome)
    if rarest < folds:
        note(f"{rarest} folds instead of {folds}: the rarer class has {rarest} patients.")
    return StratifiedKFold(min(folds, rarest), shuffle=True, random_state=random_state)


def shortest_penalty(values: np.ndarray) -> float:
    """Share of the greatest penalty at which a path ends.

    As in R's glmnet: the path is shorter where features outnumber patients, whose fit is exact beyond.
    """
    return 1e-2 if values.shape[0] < values.shape[1] else 1e-3


def lasso_weights(
    values: np.ndarray, outcome: np.ndarray, penalties: np.ndarray, precompute: bool | Literal["auto"] = "auto"
) -> np.ndarray:
    """Weights along a path of falling penalties, shape (n_features, n_penalties)."""
    _, weights, _ = lasso_path(
        np.asfortranarray(values - values.mean(axis=0)),
        np.ascontiguousarray(outcome - outcome.mean()),
        alphas=penalties,
        max_iter=_MAX_SWEEPS,
        precompute=precompute,
        # Checked by whoever calls; here it would be checked again for every penalty.
        check_input=False,
    )
    return weights


def lasso_at(penalty: float, values: np.ndarray, outcome: np.ndarray) -> Lasso:
    """LASSO at one penalty, taken to its end.

    At the usual tolerance a few weights that should be 0 are not yet: the features kept would depend on where the
    descent started.
    """
    return Lasso(penalty, tol=_FINAL_TOLERANCE, max_iter=20 * _MAX_SWEEPS).fit(values, outcome)


def cross_validated(errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error over folds of errors of shape (n_penalties, n_folds), each of shape (n_penalties,)."""
    return errors.mean(axis=1), errors.std(axis=1, ddof=1) / np.sqrt(errors.shape[1])


def choose_penalty(errors: np.ndarray, lambda_rule: Literal["min", "1se"]) -> int:
    """Position of the penalty with the least error, or of the largest within one standard error of it.

    `errors` are those of falling penalties, shape (n_penalties, n_folds); `lambda_rule` is one of `LAMBDA_RULES`.
    """
    mean, se = cross_validated(errors)
    least = int(np.argmin(mean))
    return least if lambda_rule == "min" else int(np.flatnonzero(mean <= mean[least] + se[least])[0])


@contextmanager
def early_stops_noted(note: Callable[[int], object]) -> Iterator[None]:
    """Count the warnings that a descent stopped before it converged, if any, for `note`; other warnings go on."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        yield
    early = sum(issubclass(one.category, ConvergenceWarning) for one in caught)
    for one in caught:
        if not issubclass(one.category, ConvergenceWarning):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    if early:
        note(early)


def weights_along_path(features: Sequence[str], penalties: Sequence[float], weights: ArrayLike) -> pd.DataFrame:
    """Weights (n_features, n_penalties) along a LASSO path as figures take them.

    Returns
    -------
    pandas.DataFrame
        Columns feature, penalty, coefficient.
    """
    return pd.DataFrame(
        {
            "feature": np.repeat(np.array(features, dtype=object), len(penalties)),
            "penalty": np.tile(np.array(penalties, dtype=float), len(features)),
            "coefficient": np.array(weights, dtype=float).ravel(),
        }
    )


def error_along_path(path: pd.DataFrame) -> pd.DataFrame:
    """Cross-validated error as figures take it, from `LassoSelector.path`.

    Returns
    -------
    pandas.DataFrame
        Columns penalty, error, se, selected, lower and upper (one standard error below and above).
    """
    renamed = path.rename(columns={"alpha": "penalty", "mse": "error"})
    return renamed.assign(lower=renamed["error"] - renamed["se"], upper=renamed["error"] + renamed["se"])


class LassoSelector(FeatureSelector):
    """Keep the features with a non-zero weight in a LASSO whose penalty is chosen by cross-validation.

    The LASSO is a linear regression of the outcome, coded 0 and 1, with an L1 penalty; features should be
    standardised beforehand. Folds are stratified and shuffled by `random_state`.

    Parameters
    ----------
    folds : int
        Folds of the cross-validation; fewer where a class has fewer patients (recorded in ``notes_``).
    lambda_rule : {"min", "1se"}
        Penalty with the least cross-validated error, or the largest within one standard error of it.
    random_state : int
        Seed of the folds.

    Attributes
    ----------
    coef_ : numpy.ndarray, shape (n_features,)
        Weights; 0 for features that go.
    intercept_, alpha_ : float
        Intercept, and penalty used.
    alphas_ : numpy.ndarray, shape (n_alphas,)
        Penalties tried, falling.
    mse_path_ : numpy.ndarray, shape (n_alphas, n_folds)
        Mean squared error by penalty and fold.
    coef_path_, path_names_ : numpy.ndarray, shape (n_path, n_alphas), and list of str
        Weights along the path, of the features that are ever non-zero, and their names.
    folds_ : int
        Folds used.
    support_, constant_, n_selected_, notes_
        As in `FeatureSelector`; none is selected where no penalty on the path beats the mean of the outcome.

    References
    ----------
    Tibshirani 1996, J R Stat Soc B 58:267. ALARM, Methods (10 folds); aMAP-CT, Results (3 folds).
    Which penalty the papers took is not printed: an assumption.
    """

    def __init__(self, folds: int = 10, lambda_rule: Literal["min", "1se"] = "min", random_state: int = 0) -> None:
        self.folds = folds
        self.lambda_rule = lambda_rule
        self.random_state = random_state

    def fit(self, X: pd.DataFrame | ArrayLike, y: ArrayLike) -> LassoSelector:
        """Choose the penalty and learn the weights.

        Parameters
        ----------
        X : pandas.DataFrame or array-like, shape (n_patients, n_features)
            Standardised features.
        y : array-like, shape (n_patients,)
            1 for HCC, 0 otherwise.

        Raises
        ------
        DataError
            If a value is missing (the column is named) or the outcome has one class.
        ModelError
            If a setting is out of range, or a class has fewer than two patients.
        """
        check_choice("lambda_rule", self.lambda_rule, LAMBDA_RULES)
        if self.folds < 2:
            raise ModelError("folds", "must be 2 or more", self.folds, "Give 2 or more folds.")
        values, outcome = self._start(X, y)
        splits = stratified_folds(self.folds, outcome, self.random_state, self.notes_.append)
        self.folds_ = splits.get_n_splits()
        self.coef_ = np.zeros(values.shape[1])
        self.intercept_ = float(outcome.mean())
        self.alpha_ = float("inf")
        self.alphas_, self.mse_path_ = np.empty(0), np.empty((0, self.folds_))
        self.coef_path_, self.path_names_ = np.empty((0, 0)), []
        if self._varying.size:
            with early_stops_noted(
                lambda times: self.notes_.append(f"LASSO: {times} fits along the path stopped before they converged.")
            ):
                self._fit_path(values[:, self._varying], outcome, splits)
        self._finish(np.flatnonzero(self.coef_), "no penalty on the path beats the mean of the outcome")
        return self

    def _fit_path(self, values: np.ndarray, outcome: np.ndarray, splits: StratifiedKFold) -> None:
        # Products of all features with one another, taken once a fold: the same descent, many times faster where
        # there are many patients. Beyond so many features the matrix would fill the memory.
        most = min(_FEATURES_A_PATIENT_TO_CROSS * values.shape[0], _MAX_FEATURES_TO_CROSS)
        crossed = True if values.shape[1] <= most else "auto"
        shortest = shortest_penalty(values)
        model = LassoCV(
            eps=shortest, alphas=N_PENALTIES, cv=splits, max_iter=_MAX_SWEEPS, precompute=crossed, n_jobs=-1
        ).fit(values, outcome)
        self.alphas_, self.mse_path_ = model.alphas_, model.mse_path_
        coefficients = lasso_weights(values, outcome, self.alphas_, crossed)
        chosen = choose_penalty(self.mse_path_, self.lambda_rule)
        self.alpha_ = float(self.alphas_[chosen])
        final = lasso_at(self.alpha_, values, outcome)
        coefficients[:, chosen] = final.coef_
        self.coef_[self._varying] = final.coef_
        self.intercept_ = float(final.intercept_)
        ever = np.flatnonzero((coefficients != 0).any(axis=1))
        self.coef_path_ = coefficients[ever]
        self.path_names_ = self._names()[self._varying[ever]].tolist()

    def path(self) -> pd.DataFrame:
        """Cross-validation by penalty: columns `PATH_COLUMNS`."""
        check_is_fitted(self, "coef_")
        error, se = cross_validated(self.mse_path_)
        selected = (self.coef_path_ != 0).sum(axis=0) if self.coef_path_.size else np.zeros(len(error), dtype=int)
        return pd.DataFrame(dict(zip(PATH_COLUMNS, (self.alphas_, error, se, selected), strict=True)))

    def path_weights(self) -> pd.DataFrame:
        """Weights along the path, as `weights_along_path`, of the features that are ever chosen."""
        check_is_fitted(self, "coef_")
        return weights_along_path(self.path_names_, self.alphas_, self.coef_path_)
