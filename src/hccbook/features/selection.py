"""Feature selection as scikit-learn transformers: Mann-Whitney, Spearman, LASSO.

Each learns on the development cohort alone, keeps the names of its features, drops features that are
constant there, and may keep none: its output then has no columns, and its ``notes_`` say so.

References
----------
ALARM, Methods, Image feature extraction and selection; aMAP-CT, Results, Model construction.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import norm, rankdata
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, LassoCV, lasso_path
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.validation import check_is_fitted, validate_data

from hccbook.errors import DataError, ModelError

_ROWS_A_BLOCK = 512
_MAX_SWEEPS = 5000
_FINAL_TOLERANCE = 1e-8
_MAX_FEATURES_TO_CROSS = 8000
_FEATURES_A_PATIENT_TO_CROSS = 4


def check_features(X: pd.DataFrame | ArrayLike, place: str = "features") -> None:
    """Refuse a feature table with repeated names, text, missing or infinite values.

    Parameters
    ----------
    X : pandas.DataFrame or array-like, shape (n_patients, n_features)
        Feature table.
    place : str
        What the table is called in the message.

    Raises
    ------
    DataError
        Naming the first column at fault and how many more there are.
    """
    if isinstance(X, pd.DataFrame):
        repeated = X.columns[X.columns.duplicated()]
        if len(repeated):
            raise DataError(place, "column names must differ", f"{repeated[0]!r} twice", "Rename or drop one.")
        text = [name for name, kind in X.dtypes.items() if kind.kind not in "biuf"]
        if text:
            raise DataError(
                f"{place}, column {text[0]}", "must be numeric", str(X[text[0]].dtype), "Convert or drop the column."
            )
    values = np.asarray(X, dtype=float)
    if values.ndim != 2:
        raise DataError(place, "must be a table (patients x features)", f"shape {values.shape}", "Give two dimensions.")
    bad = ~np.isfinite(values)
    columns = np.flatnonzero(bad.any(axis=0))
    if columns.size:
        names = X.columns if isinstance(X, pd.DataFrame) else columns.astype(str)
        first = columns[0] if isinstance(X, pd.DataFrame) else 0
        more = f" ({columns.size - 1} more columns)" if columns.size > 1 else ""
        raise DataError(
            f"{place}, column {names[first]}",
            "must hold finite numbers",
            f"{int(bad[:, columns[0]].sum())} missing or infinite of {len(values)}{more}",
            "Find out which patients' features failed, and leave those patients or that feature out.",
        )


def check_outcome(y: ArrayLike, n_patients: int, place: str = "outcome") -> np.ndarray:
    """Outcome as integers 0 and 1, both present.

    Parameters
    ----------
    y : array-like, shape (n_patients,)
        1 or True for HCC, 0 or False otherwise.
    n_patients : int
        Rows that the features have.
    place : str
        What the outcome is called in the message.

    Returns
    -------
    numpy.ndarray of int, shape (n_patients,)

    Raises
    ------
    DataError
        If the length differs, a value is not 0 or 1, or one of them is absent.
    """
    outcome = np.asarray(y)
    if outcome.shape != (n_patients,):
        raise DataError(place, f"must have {n_patients} values", f"shape {outcome.shape}", "Give one value a patient.")
    found = sorted({str(value) for value in np.unique(outcome[~pd.isna(outcome)]).tolist()})
    if outcome.dtype.kind not in "biuf" or not np.isin(outcome, (0, 1)).all():
        raise DataError(
            place, "must be 0 or 1", ", ".join(found[:4]) or "missing values", "Code HCC as 1, others as 0."
        )
    if len(found) < 2:
        raise DataError(place, "must hold patients with and without HCC", f"only {found[0]}", "Choose another cohort.")
    return outcome.astype(int)


def constant_features(values: np.ndarray) -> np.ndarray:
    """Which columns do not vary, beyond rounding.

    Parameters
    ----------
    values : numpy.ndarray, shape (n_patients, n_features)

    Returns
    -------
    numpy.ndarray of bool, shape (n_features,)
    """
    spread = np.ptp(values, axis=0)
    # The spread of a constant whose last bits differ, e.g. a mean taken in another order.
    return spread <= 16 * np.finfo(float).eps * np.abs(values).max(axis=0)


def unreliable_features(features: Sequence[str], icc: pd.Series, min_icc: float) -> tuple[str, ...]:
    """Features that depend too much on who drew the mask to be selected.

    Parameters
    ----------
    features : sequence of str
        Names.
    icc : pandas.Series
        Intraclass correlation by feature; NaN of a feature that is constant, which is left out too.
    min_icc : float
        Least one of a feature that may be selected, 0 to 1; 0 lets all pass, whatever `icc` holds.

    Returns
    -------
    tuple of str
        In the order of `features`.

    Raises
    ------
    ModelError
        If `min_icc` lies outside 0 to 1.
    DataError
        If a feature has no intraclass correlation.

    References
    ----------
    Koo and Li 2016, Journal of Chiropractic Medicine 15:155: 0.75 and more is good.
    """
    if not 0 <= min_icc <= 1:
        raise ModelError("min_icc", "must be 0 to 1", min_icc, "Correct the setting.")
    if min_icc == 0:
        return ()
    unknown = [name for name in features if name not in icc.index]
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise DataError(
            f"feature {unknown[0]}{more}",
            "must have an intraclass correlation for min_icc",
            "none",
            "Run stage 04 again with features.perturbation_patients above 0, or set min_icc: 0.",
        )
    reliable = icc[list(features)].to_numpy(dtype=float) >= min_icc
    return tuple(name for name, kept in zip(features, reliable, strict=True) if not kept)


def mann_whitney_p(values: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Two-sided asymptotic Mann-Whitney p of every column, corrected for ties and continuity.

    Parameters
    ----------
    values : numpy.ndarray, shape (n_patients, n_features)
    y : numpy.ndarray of int, shape (n_patients,)
        0 or 1.

    Returns
    -------
    numpy.ndarray, shape (n_features,)
        1 where a column is constant.

    References
    ----------
    Mann and Whitney 1947, Ann Math Stat 18:50; variance under ties as in Lehmann 1975, Nonparametrics, 1.2.
    """
    n = len(values)
    events = int(y.sum())
    ranks = rankdata(values, axis=0)
    u = ranks[y == 1].sum(axis=0) - events * (events + 1) / 2
    # The spread of the midranks already holds the correction for ties.
    spread = np.square(ranks - (n + 1) / 2).sum(axis=0)
    sd = np.sqrt(events * (n - events) / (n * (n - 1)) * spread)
    distance = np.abs(u - events * (n - events) / 2) - 0.5
    z = np.divide(distance, sd, out=np.zeros_like(sd), where=sd > 0)
    return np.minimum(2 * norm.sf(z), 1.0)


class _FeatureSelector(TransformerMixin, BaseEstimator):
    """What the three selectors share: checks, names, and a transform that may return no column."""

    def _start(self, X, y) -> tuple[np.ndarray, np.ndarray]:
        check_features(X)
        index = X.index if isinstance(X, pd.DataFrame) else None
        if index is not None and isinstance(y, pd.Series) and not index.equals(y.index):
            raise DataError(
                "outcome", "must have the features' patients in their order", "another index", "Align them."
            )
        values = validate_data(self, X, dtype=float, ensure_min_samples=2, ensure_min_features=0)
        outcome = check_outcome(y, len(values))
        self.notes_: list[str] = []
        constant = constant_features(values)
        self.constant_ = self._names()[constant].tolist()
        if self.constant_:
            self.notes_.append(f"{len(self.constant_)} constant features dropped, the first {self.constant_[0]}.")
        self._varying = np.flatnonzero(~constant)
        return values, outcome

    def _finish(self, kept: np.ndarray, none_because: str) -> None:
        self.support_ = np.zeros(self.n_features_in_, dtype=bool)
        self.support_[kept] = True
        self.n_selected_ = int(self.support_.sum())
        if self.n_selected_ == 0:
            self.notes_.append(f"No feature was selected: {none_because}.")
        del self._varying

    def _names(self) -> np.ndarray:
        if hasattr(self, "feature_names_in_"):
            return self.feature_names_in_
        return np.array([f"x{position}" for position in range(self.n_features_in_)], dtype=object)

    def get_support(self) -> np.ndarray:
        """Which features were kept, bool, shape (n_features,)."""
        check_is_fitted(self, "support_")
        return self.support_

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> np.ndarray:
        """Names of the kept features, in the order of the input.

        Parameters
        ----------
        input_features : sequence of str, optional
            Names to use where the selector was fitted on an array; otherwise they must be those of the fit.
        """
        check_is_fitted(self, "support_")
        names = self._names()
        if input_features is not None:
            given = np.asarray(input_features, dtype=object)
            if len(given) != len(names) or (hasattr(self, "feature_names_in_") and (given != names).any()):
                raise ModelError(
                    "input_features", "must be the names seen in fit", f"{len(given)} others", "Leave the argument out."
                )
            names = given
        return names[self.support_]

    def transform(self, X: pd.DataFrame | ArrayLike) -> np.ndarray | pd.DataFrame:
        """Keep the selected features.

        Parameters
        ----------
        X : pandas.DataFrame or array-like, shape (n_patients, n_features)
            Same features as in `fit`.

        Returns
        -------
        numpy.ndarray or pandas.DataFrame, shape (n_patients, n_selected_)
            A DataFrame after ``set_output(transform="pandas")``. No columns where none was selected.

        Raises
        ------
        DataError
            If a value is missing.
        """
        check_is_fitted(self, "support_")
        check_features(X)
        return validate_data(self, X, dtype=float, reset=False, ensure_min_features=0)[:, self.support_]


class MannWhitneySelector(_FeatureSelector):
    """Keep the features whose distribution differs between patients with and without HCC.

    Parameters
    ----------
    p_threshold : float
        A feature stays where its two-sided Mann-Whitney p is below this; no correction for multiple testing,
        as in the paper.

    Attributes
    ----------
    pvalues_ : pandas.Series, shape (n_features,)
        p by feature; 1 for a constant one.
    support_ : numpy.ndarray of bool, shape (n_features,)
        Which features stay.
    constant_ : list of str
        Features dropped because they do not vary.
    n_selected_ : int
        Number of features that stay; may be 0.
    notes_ : list of str
        What a reader should know about the fit.

    References
    ----------
    ALARM, Methods, Image feature extraction and selection (p < 0.05).
    """

    def __init__(self, p_threshold: float = 0.05) -> None:
        self.p_threshold = p_threshold

    def fit(self, X: pd.DataFrame | ArrayLike, y: ArrayLike) -> MannWhitneySelector:
        """Learn which features stay.

        Parameters
        ----------
        X : pandas.DataFrame or array-like, shape (n_patients, n_features)
        y : array-like, shape (n_patients,)
            1 for HCC, 0 otherwise.

        Raises
        ------
        DataError
            If a value is missing (the column is named) or the outcome has one class.
        ModelError
            If `p_threshold` is not in (0, 1].
        """
        _check_fraction("p_threshold", self.p_threshold)
        values, outcome = self._start(X, y)
        pvalues = np.ones(values.shape[1])
        pvalues[self._varying] = mann_whitney_p(values[:, self._varying], outcome)
        self.pvalues_ = pd.Series(pvalues, index=self._names(), name="p")
        kept = self._varying[pvalues[self._varying] < self.p_threshold]
        least = f"{pvalues.min():.3g}" if pvalues.size else "of no feature"
        self._finish(kept, f"the least Mann-Whitney p, {least}, is not below {self.p_threshold:g}")
        return self


class SpearmanSelector(_FeatureSelector):
    """Keep one of any two features whose ranks nearly agree.

    Features are taken in the order of their Mann-Whitney p, least first (earlier column first where equal);
    each that is kept removes all later ones whose absolute Spearman correlation with it exceeds the threshold.

    Parameters
    ----------
    threshold : float
        Absolute Spearman correlation above which one of two features goes.

    Attributes
    ----------
    removed_by_ : dict of str to str
        Removed feature to the kept one that it agrees with.
    support_ : numpy.ndarray of bool, shape (n_features,)
        Which features stay.
    constant_ : list of str
        Features dropped because they do not vary.
    n_selected_ : int
        Number of features that stay.
    notes_ : list of str
        What a reader should know about the fit.

    References
    ----------
    ALARM, Methods, Image feature extraction and selection. The threshold is not printed: an assumption.
    """

    def __init__(self, threshold: float = 0.9) -> None:
        self.threshold = threshold

    def fit(self, X: pd.DataFrame | ArrayLike, y: ArrayLike) -> SpearmanSelector:
        """Learn which features stay.

        Parameters
        ----------
        X : pandas.DataFrame or array-like, shape (n_patients, n_features)
        y : array-like, shape (n_patients,)
            1 for HCC, 0 otherwise; decides which of two features stays.

        Raises
        ------
        DataError
            If a value is missing (the column is named) or the outcome has one class.
        ModelError
            If `threshold` is not in (0, 1].
        """
        _check_fraction("threshold", self.threshold)
        values, outcome = self._start(X, y)
        order = self._varying[np.argsort(mann_whitney_p(values[:, self._varying], outcome), kind="stable")]
        agree = self._agreement(values[:, order])
        taken_by = np.full(order.size, -1)
        for position in range(order.size):
            if taken_by[position] < 0:
                later = agree[position] & (taken_by < 0)
                later[: position + 1] = False
                taken_by[later] = position
        names = self._names()[order]
        self.removed_by_ = {names[one]: names[taken_by[one]] for one in np.flatnonzero(taken_by >= 0)}
        self._finish(order[taken_by < 0], "no feature varies")
        return self

    def _agreement(self, values: np.ndarray) -> np.ndarray:
        ranks = rankdata(values, axis=0)
        ranks -= ranks.mean(axis=0)
        ranks /= np.sqrt(np.square(ranks).sum(axis=0))
        agree = np.empty((ranks.shape[1], ranks.shape[1]), dtype=bool)
        # In blocks of rows: thousands of features would need the whole matrix in memory otherwise.
        for start in range(0, len(agree), _ROWS_A_BLOCK):
            block = slice(start, start + _ROWS_A_BLOCK)
            agree[block] = np.abs(ranks[:, block].T @ ranks) > self.threshold
        return agree


class LassoSelector(_FeatureSelector):
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
    intercept_ : float
        Intercept.
    alpha_, alpha_min_, alpha_1se_ : float
        Penalty used, with the least error, and one standard error above it.
    alphas_ : numpy.ndarray, shape (n_alphas,)
        Penalties tried, falling.
    mse_path_ : numpy.ndarray, shape (n_alphas, n_folds)
        Mean squared error by penalty and fold.
    coef_path_ : numpy.ndarray, shape (n_path, n_alphas)
        Weights along the path, of the features that are ever non-zero.
    path_names_ : list of str, length n_path
        Their names.
    folds_ : int
        Folds used.
    support_ : numpy.ndarray of bool, shape (n_features,)
        Which features stay.
    constant_ : list of str
        Features dropped because they do not vary.
    n_selected_ : int
        Number of features that stay; may be 0, where no penalty on the path beats the mean of the outcome.
    notes_ : list of str
        What a reader should know about the fit.

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
        if self.lambda_rule not in ("min", "1se"):
            raise ModelError("lambda_rule", "must be 'min' or '1se'", repr(self.lambda_rule), "Choose one of them.")
        if self.folds < 2:
            raise ModelError("folds", "must be 2 or more", self.folds, "Give 2 or more folds.")
        values, outcome = self._start(X, y)
        rarest = int(min(outcome.sum(), len(outcome) - outcome.sum()))
        if rarest < 2:
            raise ModelError(
                "outcome", "must have 2 patients or more in each class to be cross-validated", rarest, "Add patients."
            )
        self.folds_ = min(self.folds, rarest)
        if self.folds_ < self.folds:
            self.notes_.append(f"{self.folds_} folds instead of {self.folds}: the rarer class has {rarest} patients.")
        self.coef_ = np.zeros(values.shape[1])
        self.intercept_ = float(outcome.mean())
        if self._varying.size:
            self._fit_path(values[:, self._varying], outcome)
        else:
            self.alpha_ = self.alpha_min_ = self.alpha_1se_ = float("inf")
            self.alphas_, self.mse_path_ = np.empty(0), np.empty((0, self.folds_))
            self.coef_path_, self.path_names_ = np.empty((0, 0)), []
        self._finish(np.flatnonzero(self.coef_), "no penalty on the path beats the mean of the outcome")
        return self

    def _fit_path(self, values: np.ndarray, outcome: np.ndarray) -> None:
        # The end of the path as in R's glmnet: shorter where features outnumber patients, whose fit is exact beyond.
        shortest = 1e-2 if values.shape[0] < values.shape[1] else 1e-3
        splits = StratifiedKFold(self.folds_, shuffle=True, random_state=self.random_state)
        # Products of all features with one another, taken once a fold: the same descent, many times faster where
        # there are many patients. Beyond so many features the matrix would fill the memory.
        most = min(_FEATURES_A_PATIENT_TO_CROSS * values.shape[0], _MAX_FEATURES_TO_CROSS)
        crossed = True if values.shape[1] <= most else "auto"
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            model = LassoCV(
                eps=shortest, alphas=100, cv=splits, max_iter=_MAX_SWEEPS, precompute=crossed, n_jobs=-1
            ).fit(values, outcome)
            centre = values.mean(axis=0)
            _, coefficients, _ = lasso_path(
                values - centre,
                outcome - outcome.mean(),
                alphas=model.alphas_,
                max_iter=_MAX_SWEEPS,
                precompute=crossed,
            )
            self.alphas_, self.mse_path_ = model.alphas_, model.mse_path_
            mean = self.mse_path_.mean(axis=1)
            error = self.mse_path_.std(axis=1, ddof=1) / np.sqrt(self.folds_)
            least = int(np.argmin(mean))
            within = int(np.flatnonzero(mean <= mean[least] + error[least])[0])
            self.alpha_min_, self.alpha_1se_ = float(self.alphas_[least]), float(self.alphas_[within])
            chosen = least if self.lambda_rule == "min" else within
            self.alpha_ = float(self.alphas_[chosen])
            # At the usual tolerance a few weights that should be 0 are not yet: the features kept would depend on
            # where the descent started.
            final = Lasso(self.alpha_, tol=_FINAL_TOLERANCE, max_iter=20 * _MAX_SWEEPS).fit(values, outcome)
        unconverged = sum(issubclass(one.category, ConvergenceWarning) for one in caught)
        for one in caught:
            if not issubclass(one.category, ConvergenceWarning):
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        if unconverged:
            self.notes_.append(f"LASSO: {unconverged} fits along the path stopped before they converged.")
        coefficients[:, chosen] = final.coef_
        self.coef_[self._varying] = final.coef_
        self.intercept_ = float(final.intercept_)
        ever = np.flatnonzero((coefficients != 0).any(axis=1))
        self.coef_path_ = coefficients[ever]
        self.path_names_ = self._names()[self._varying[ever]].tolist()

    def predict(self, X: pd.DataFrame | ArrayLike) -> np.ndarray:
        """Linear predictor, shape (n_patients,); a higher value means a higher risk."""
        check_is_fitted(self, "coef_")
        check_features(X)
        return validate_data(self, X, dtype=float, reset=False, ensure_min_features=0) @ self.coef_ + self.intercept_

    def path(self) -> pd.DataFrame:
        """Cross-validation by penalty: columns alpha, mse, se, selected (features with non-zero weight)."""
        check_is_fitted(self, "coef_")
        return pd.DataFrame(
            {
                "alpha": self.alphas_,
                "mse": self.mse_path_.mean(axis=1),
                "se": self.mse_path_.std(axis=1, ddof=1) / np.sqrt(self.folds_),
                "selected": (self.coef_path_ != 0).sum(axis=0) if self.coef_path_.size else np.zeros_like(self.alphas_),
            }
        ).astype({"selected": int})


def _check_fraction(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise ModelError(name, "must be above 0, at most 1", value, "Correct the setting.")
