"""Feature selection as scikit-learn transformers: Mann-Whitney and Spearman; the LASSO is in `hccbook.features.lasso`.

Each learns on the development cohort alone, keeps the names of its features, drops features that are
constant there, and may keep none: its output then has no columns, and its ``notes_`` say so.

References
----------
ALARM, Methods, Image feature extraction and selection; aMAP-CT, Results, Model construction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import mannwhitneyu, rankdata
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from hccbook.errors import DataError, ModelError

_ROWS_A_BLOCK = 512


def check_features(X: pd.DataFrame | ArrayLike, place: str = "features") -> None:
    """Refuse a feature table with repeated names, text, missing or infinite values.

    Raises
    ------
    DataError
        Naming `place`, the first column at fault and how many more there are.
    """
    if isinstance(X, pd.DataFrame):
        repeated = X.columns[X.columns.duplicated()]
        if len(repeated):
            raise DataError(place, "column names must differ", f"{repeated[0]!r} twice", "Rename or drop one.")
        text = [name for name, kind in X.dtypes.items() if kind.kind not in "biuf"]
        if text:
            kind = str(X[text[0]].dtype)
            raise DataError(f"{place}, column {text[0]}", "must be numeric", kind, "Convert or drop the column.")
    values = np.asarray(X, dtype=float)
    if values.ndim != 2:
        raise DataError(place, "must be a table (patients x features)", f"shape {values.shape}", "Give two dimensions.")
    bad = ~np.isfinite(values)
    columns = np.flatnonzero(bad.any(axis=0))
    if columns.size:
        names = X.columns if isinstance(X, pd.DataFrame) else columns.astype(str)
        first = columns[0] if isinstance(X, pd.DataFrame) else 0
        more = f" ({columns.size - 1} more columns)" if columns.size > 1 else ""
        found = f"{int(bad[:, columns[0]].sum())} missing or infinite of {len(values)}{more}"
        hint = "Find out which patients' features failed, and leave those patients or that feature out."
        raise DataError(f"{place}, column {names[first]}", "must hold finite numbers", found, hint)


def check_outcome(y: ArrayLike, patients: pd.DataFrame | pd.Series | np.ndarray) -> np.ndarray:
    """Outcome as integers 0 and 1, both present.

    Parameters
    ----------
    y : array-like, shape (n_patients,)
        1 or True for HCC, 0 or False otherwise.
    patients : pandas.DataFrame, pandas.Series or numpy.ndarray, length n_patients
        Table that the outcome belongs to; where both have an index, it must be the same.

    Returns
    -------
    numpy.ndarray of int, shape (n_patients,)

    Raises
    ------
    DataError
        If the patients differ, a value is not 0 or 1, or one of them is absent.
    """
    tables = isinstance(y, pd.Series) and isinstance(patients, pd.DataFrame | pd.Series)
    if tables and not y.index.equals(patients.index):
        raise DataError("outcome", "must have the features' patients in their order", "another index", "Align them.")
    outcome = np.asarray(y)
    if outcome.shape != (len(patients),):
        rule = f"must have {len(patients)} values"
        raise DataError("outcome", rule, f"shape {outcome.shape}", "Give one value a patient.")
    found = sorted({str(value) for value in np.unique(outcome[~pd.isna(outcome)]).tolist()})
    if outcome.dtype.kind not in "biuf" or not np.isin(outcome, (0, 1)).all():
        values = ", ".join(found[:4]) or "missing values"
        raise DataError("outcome", "must be 0 or 1", values, "Code HCC as 1, others as 0.")
    if len(found) < 2:
        rule = "must hold patients with and without HCC"
        raise DataError("outcome", rule, f"only {found[0]}" if found else "nobody", "Choose another cohort.")
    return outcome.astype(int)


def rarest_class(outcome: np.ndarray) -> int:
    """Patients of the class that has fewer, of an outcome of 0 and 1."""
    return int(min(outcome.sum(), len(outcome) - outcome.sum()))


def check_rarest_class(outcome: np.ndarray, fewest: int, purpose: str, hint: str = "Add patients.") -> None:
    """Refuse an outcome whose rarer class has fewer patients than a purpose asks for with a `ModelError`."""
    rarest = rarest_class(outcome)
    if rarest < fewest:
        raise ModelError("outcome", f"must have {fewest} patients or more in each class{purpose}", rarest, hint)


def check_choice(setting: str, value: object, choices: Sequence[str]) -> None:
    """Refuse a setting's value that is none of its choices with a `ModelError`."""
    if value not in choices:
        rule = f"must be one of {', '.join(map(repr, choices))}"
        raise ModelError(setting, rule, repr(value), "Choose one of them.")


def constant_features(values: np.ndarray) -> np.ndarray:
    """Which columns of values (n_patients, n_features) do not vary, beyond rounding; shape (n_features,)."""
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
        rule = "must have an intraclass correlation for min_icc"
        hint = "Run stage 04 again with features.perturbation_patients above 0, or set min_icc: 0."
        raise DataError(f"feature {unknown[0]}{more}", rule, "none", hint)
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
    Mann and Whitney 1947, Ann Math Stat 18:50.
    """
    return mannwhitneyu(values[y == 1], values[y == 0], axis=0, method="asymptotic").pvalue


class FeatureSelector(SelectorMixin, BaseEstimator):
    """What the three selectors share: checks, names, and a transform that may return no column.

    Attributes
    ----------
    support_ : numpy.ndarray of bool, shape (n_features,)
        Which features stay.
    constant_ : list of str
        Features dropped because they do not vary.
    n_selected_ : int
        Number of features that stay; may be 0.
    notes_ : list of str
        What a reader should know about the fit.
    """

    def _start(self, X, y) -> tuple[np.ndarray, np.ndarray]:
        check_features(X)
        outcome = check_outcome(y, X)
        values = validate_data(self, X, dtype=float, ensure_min_samples=2, ensure_min_features=0)
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

    def _get_support_mask(self) -> np.ndarray:
        check_is_fitted(self, "support_")
        return self.support_

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


class MannWhitneySelector(FeatureSelector):
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
    support_, constant_, n_selected_, notes_
        As in `FeatureSelector`.

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
            If the threshold is not in (0, 1].
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


class SpearmanSelector(FeatureSelector):
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
    support_, constant_, n_selected_, notes_
        As in `FeatureSelector`.

    References
    ----------
    ALARM, Methods, Image feature extraction and selection. The threshold is not printed: an assumption.
    """

    def __init__(self, threshold: float = 0.9) -> None:
        self.threshold = threshold

    def fit(self, X: pd.DataFrame | ArrayLike, y: ArrayLike) -> SpearmanSelector:
        """Learn which features stay; the outcome decides which of two does.

        Arguments and what is refused are as in `MannWhitneySelector.fit`.
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


class Selection(NamedTuple):
    """What several selectors, one after the other, left of a table.

    Attributes
    ----------
    features : pandas.DataFrame, shape (n_patients, n_left)
    steps : dict of str to estimator
        Fitted selectors by step; those that no feature reached are absent.
    counts : list of tuple (str, int)
        Features that varied, and that each step left.
    notes : list of str
        The selectors' notes, each after the name of its step.
    """

    features: pd.DataFrame
    steps: dict[str, BaseEstimator]
    counts: list[tuple[str, int]]
    notes: list[str]


def select_in_steps(z: pd.DataFrame, outcome: np.ndarray, steps: Mapping[str, BaseEstimator]) -> Selection:
    """Fit selectors one after the other, each on the features that the one before it left.

    Parameters
    ----------
    z : pandas.DataFrame, shape (n_patients, n_features)
        Standardised features that vary.
    outcome : numpy.ndarray of int, shape (n_patients,)
        1 for HCC, 0 otherwise.
    steps : mapping of str to estimator
        Selectors by the name of their step; they are fitted in place.

    Raises
    ------
    DataError, ModelError
        As the selectors' `fit`.
    """
    result = Selection(z, {}, [("varying", z.shape[1])], [])
    for step, selector in steps.items():
        left = result.features
        if left.shape[1]:
            left = left.loc[:, selector.fit(left, outcome).get_support()]
            result.steps[step] = selector
            result.notes.extend(f"{step}: {note}" for note in selector.notes_)
        result.counts.append((step, left.shape[1]))
        result = result._replace(features=left)
    return result


def _check_fraction(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise ModelError(name, "must be above 0, at most 1", value, "Correct the setting.")
