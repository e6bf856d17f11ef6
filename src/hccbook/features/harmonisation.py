"""Harmonisation of features across centres by ComBat, learnt on the development cohort alone.

ComBat takes a feature of a patient to be the sum of a mean, covariates, the centre's own shift, and noise whose
spread the centre scales. It estimates shifts and scales by empirical Bayes, so that a centre with few patients
borrows from how it shifts the other features, and takes them off.

It is our own because it must be learnt on the development cohort alone, applied to patients whom it did not see, and
say what it does with a centre that is new: neuroCombat and its ports give back the table that they were given, and
neuroHarmonize, which can apply what it learnt, refuses a new centre. On the patients learnt from it agrees with
neuroCombat.

It cannot tell a scanner from the patients who come to it: what differs between centres because their patients
differ is taken off too, unless a covariate explains it. No outcome is used.

References
----------
aMAP-CT, Discussion (harmonisation as future work); those of `ComBatHarmoniser`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from hccbook.errors import DataError, ModelError
from hccbook.features.selection import check_features

_TOLERANCE = 1e-10
_MAX_ITER = 10_000
_MIN_SHARE_OF_VARIANCE = 1e-20


class CentreEffect(NamedTuple):
    """What one centre does to each feature.

    Attributes
    ----------
    shift, scale : numpy.ndarray, each of shape (n_features,)
        Location, in SD within centres, and variance over the variance within centres.
    """

    shift: np.ndarray
    scale: np.ndarray


class ComBatHarmoniser(TransformerMixin, BaseEstimator):
    """ComBat across centres as a transformer: learnt from one cohort, applied to any.

    The table that it takes has the features, and beside them a column that names the centre, those of the
    covariates, and others that are to pass through. What comes out is a table of the features, harmonised, and of
    the columns in `keep`, as they were.

    Parameters
    ----------
    centre : str
        Column that names the centre.
    covariates : sequence of str
        Numeric columns whose association with the features stays. They are dropped from what comes out unless `keep`
        has them too.
    keep : sequence of str
        Columns that pass through as they are.

    Attributes
    ----------
    effects_ : dict of str to CentreEffect
        By centre, in alphabetical order.
    features_ : list of str
        Columns that are harmonised.
    untouched_ : list of str
        Those among them that do not vary within any centre: nothing can be estimated, they stay as they are.
    mean_, sd_ : numpy.ndarray, shape (n_features,)
        Mean over centres at covariates of zero, and SD within centres.
    coefficients_ : pandas.DataFrame, shape (n_covariates, n_features)
        Change of each feature with each covariate.
    notes_ : list of str
        What a reader should know about the fit.

    Notes
    -----
    A centre with one patient has a shift, shrunk with that one patient, and no scale. A feature that does not vary
    within a centre enters with the scale 1 there. With a single centre, or a single feature, there is nothing to
    harmonise or to borrow from; ``notes_`` say so.

    Features of a centre that `fit` did not see stay as they are, which takes the centre for an average one;
    `with_centres` learns it from features alone.

    References
    ----------
    Johnson et al. 2007, Biostatistics 8:118, equations 2 to 4 and section 3.2; Fortin et al. 2018, NeuroImage 167:104
    (covariates in imaging).
    """

    def __init__(self, centre: str = "centre", covariates: Sequence[str] = (), keep: Sequence[str] = ()) -> None:
        self.centre = centre
        self.covariates = covariates
        self.keep = keep

    def fit(self, X: pd.DataFrame, y: ArrayLike | None = None) -> ComBatHarmoniser:
        """Learn means, covariates and the effect of each centre.

        Parameters
        ----------
        X : pandas.DataFrame, shape (n_patients, n_columns)
            Development cohort: features, centre, covariates and what is kept.
        y : array-like, optional
            Ignored: no outcome is looked at.

        Raises
        ------
        DataError
            If a value is missing or not numeric, or names repeat.
        ModelError
            If a column is absent, or covariates cannot be told from centres.
        """
        centre = self._centres(X)
        beside = {self.centre, *self.covariates, *self.keep}
        self.features_ = [name for name in X.columns if name not in beside]
        if not self.features_:
            raise ModelError("features", "must be in the table", "none", "Give a column a feature.")
        values = _numbers(X[self.features_])
        self.feature_names_in_ = X.columns.to_numpy(dtype=object)
        self.n_features_in_ = X.shape[1]
        self.notes_: list[str] = []
        covariates = _numbers(X[list(self.covariates)])
        groups = sorted(set(centre))
        dummies = np.column_stack([centre == name for name in groups]).astype(float)
        design = np.column_stack([dummies, covariates])
        if np.linalg.matrix_rank(design) < design.shape[1]:
            found = f"{design.shape[1]} columns of rank {np.linalg.matrix_rank(design)}"
            hint = "Leave out covariates that the centre or another covariate determines."
            raise ModelError("covariates", "must vary within centres, each in its own way", found, hint)
        weights = np.linalg.lstsq(design, values, rcond=None)[0]
        of_centres, of_covariates = weights[: len(groups)], weights[len(groups) :]
        self.mean_ = dummies.mean(axis=0) @ of_centres
        self.coefficients_ = pd.DataFrame(of_covariates, index=list(self.covariates), columns=self.features_)
        variance = np.square(values - design @ weights).mean(axis=0)
        fixed = variance <= _MIN_SHARE_OF_VARIANCE * np.square(values).max(axis=0)
        self.sd_ = np.sqrt(np.where(fixed, 1.0, variance))
        self.untouched_ = [name for name, still in zip(self.features_, fixed, strict=True) if still]
        if self.untouched_:
            number, first = len(self.untouched_), self.untouched_[0]
            self.notes_.append(f"{number} features do not vary within centres and stay as they are, the first {first}.")
        z = (values - self.mean_ - covariates @ of_covariates) / self.sd_
        if len(groups) == 1:
            self.notes_.append(f"One centre, {groups[0]}: there is nothing to harmonise.")
            self.effects_ = {groups[0]: CentreEffect(np.zeros_like(variance), np.ones_like(variance))}
        else:
            self.effects_ = {name: self._effect(name, z[centre == name], ~fixed) for name in groups}
        return self

    def _effect(self, name: str, z: np.ndarray, varying: np.ndarray) -> CentreEffect:
        """Shift and scale of one centre from its standardised features, shape (n_patients, n_features)."""
        n = len(z)
        effect = CentreEffect(np.zeros(z.shape[1]), np.ones(z.shape[1]))
        own = z[:, varying]
        if n == 1:
            self.notes_.append(f"{name}: one patient, so that its shift is shrunk and its scale left.")
        g_hat = own.mean(axis=0)
        raw = own.var(axis=0, ddof=1) if n > 1 else np.ones(own.shape[1])
        still = raw <= _MIN_SHARE_OF_VARIANCE
        if still.any():
            self.notes_.append(f"{name}: {int(still.sum())} features do not vary there; their scale is left.")
        d_hat = np.where(still, 1.0, raw)
        if own.shape[1] < 2:
            self.notes_.append(f"{name}: fewer than two features vary, so that nothing is shrunk.")
            effect.shift[varying], effect.scale[varying] = g_hat, d_hat
        elif n == 1:
            t2 = g_hat.var(ddof=1)
            effect.shift[varying] = (t2 * g_hat + g_hat.mean()) / (t2 + 1.0)
        else:
            shift, scale, settled = _shrink(n, g_hat, np.where(still, 0.0, raw), d_hat)
            effect.shift[varying], effect.scale[varying] = shift, scale
            if not settled:
                self.notes_.append(f"{name}: the estimates had not settled after {_MAX_ITER} steps.")
        return effect

    def _centres(self, X: pd.DataFrame) -> np.ndarray:
        if not isinstance(X, pd.DataFrame):
            rule = "must be a DataFrame with named columns"
            raise ModelError("features", rule, type(X).__name__, "Name the columns.")
        repeated = X.columns[X.columns.duplicated()]
        if len(repeated):
            raise DataError("features", "column names must differ", f"{repeated[0]!r} twice", "Rename or drop one.")
        absent = [name for name in (self.centre, *self.covariates, *self.keep) if name not in X.columns]
        if absent:
            rule = f"must have a column {absent[0]!r}"
            raise ModelError("features", rule, "none", "Join it from the clinical table.")
        if self.centre in (*self.covariates, *self.keep):
            raise ModelError("centre", "must be neither covariate nor kept", repr(self.centre), "Take it out there.")
        if not len(X):
            raise DataError("features", "must have patients", "an empty table", "Give the development cohort.")
        centre = X[self.centre]
        missing = int((centre.isna() | centre.astype(str).eq("")).sum())
        if missing:
            raise DataError(self.centre, "must name every patient's centre", f"{missing} missing", "Fill it in.")
        return centre.astype(str).to_numpy(dtype=object)

    def _standardised(self, X: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Values, what is expected of each patient at an average centre, and the standardised difference."""
        absent = [name for name in self.features_ if name not in X.columns]
        if absent:
            found = f"{len(absent)} absent"
            raise ModelError(f"column {absent[0]}", "must be in the table", found, "Give the features of the fit.")
        values = _numbers(X[self.features_])
        expected = self.mean_ + _numbers(X[list(self.covariates)]) @ self.coefficients_.to_numpy()
        return values, expected, (values - expected) / self.sd_

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Features without what their centre does to them.

        Parameters
        ----------
        X : pandas.DataFrame, shape (n_patients, n_columns)
            Columns of the fit, in any order; further ones are ignored.

        Returns
        -------
        pandas.DataFrame, shape (n_patients, n_kept + n_features)
            Columns in `keep`, then the features; each patient follows from their own row alone.

        Raises
        ------
        DataError
            If a value is missing.
        ModelError
            If a column is absent.
        """
        check_is_fitted(self, "effects_")
        centre = self._centres(X)
        values, expected, z = self._standardised(X)
        touched = ~np.isin(self.features_, self.untouched_)
        out = values.copy()
        for name, effect in self.effects_.items():
            rows = centre == name
            if not rows.any() or not (effect.shift.any() or (effect.scale != 1).any()):
                continue
            found = self.sd_ * (z[rows] - effect.shift) / np.sqrt(effect.scale) + expected[rows]
            out[rows] = np.where(touched, found, values[rows])
        harmonised = pd.DataFrame(out, index=X.index, columns=self.features_)
        return pd.concat([X[list(self.keep)], harmonised], axis=1)

    def with_centres(self, X: pd.DataFrame) -> ComBatHarmoniser:
        """Copy that also knows the unseen centres of these patients, learnt from their features alone.

        Means, covariates, spreads and the effects of known centres stay those of the fit. No outcome is used, but
        the new patients' features are, so that what the copy makes of one of them depends on the others: a
        transductive step, to be said where its result is printed. In practice it would be done once, on patients
        set aside to calibrate a new scanner.

        Parameters
        ----------
        X : pandas.DataFrame, shape (n_patients, n_columns)
            Patients of whatever centre; those of known centres are left out of account.

        Returns
        -------
        ComBatHarmoniser
            The one that was fitted stays as it is.

        Raises
        ------
        DataError, ModelError
            As `transform`.
        """
        check_is_fitted(self, "effects_")
        centre = self._centres(X)
        learnt = copy.deepcopy(self)
        _, _, z = self._standardised(X)
        varying = ~np.isin(self.features_, self.untouched_)
        for name in sorted(set(centre) - set(self.effects_)):
            rows = centre == name
            learnt.notes_.append(f"{name}: learnt after the fit from the features of {int(rows.sum())} patients.")
            learnt.effects_[name] = learnt._effect(name, z[rows], varying)
        return learnt


def _shrink(n: int, g_hat: np.ndarray, raw: np.ndarray, d_hat: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
    """Posterior shift and scale under a normal and an inverse gamma prior, and whether they settled."""
    g_bar, t2 = g_hat.mean(), g_hat.var(ddof=1)
    m, s2 = d_hat.mean(), d_hat.var(ddof=1)
    g, d = g_hat, d_hat
    for _ in range(_MAX_ITER):
        g_new = (t2 * n * g_hat + d * g_bar) / (t2 * n + d)
        squares = (n - 1) * raw + n * (g_hat - g_new) ** 2
        if s2 > 0:
            # Shape and rate of the inverse gamma whose mean is m and variance s2.
            a, b = m**2 / s2 + 2.0, m**3 / s2 + m
            d_new = (0.5 * squares + b) / (0.5 * n + a - 1.0)
        else:
            d_new = np.full_like(d_hat, m)
        moved = max(np.abs(g_new - g).max(), np.abs(d_new / d - 1.0).max())
        g, d = g_new, d_new
        if moved < _TOLERANCE:
            return g, d, True
    return g, d, False


def _numbers(table: pd.DataFrame) -> np.ndarray:
    """Values as finite floats; the first column at fault is named."""
    check_features(table)
    return table.to_numpy(dtype=float)


def centre_effect(features: pd.DataFrame, centre: ArrayLike) -> pd.DataFrame:
    """Share of each feature's variance that lies between centres.

    Parameters
    ----------
    features : pandas.DataFrame, shape (n_patients, n_features)
        Numeric features.
    centre : array-like of str, shape (n_patients,)
        Centre of each patient.

    Returns
    -------
    pandas.DataFrame
        Columns feature, share (sum of squares between centres over the total, eta squared; NaN for a constant),
        chance (what it is on average where centres do nothing: (centres - 1) / (patients - 1)).

    Raises
    ------
    DataError
        If a value is missing, patients do not match, or there are fewer than two patients.
    """
    values = _numbers(features)
    names = np.asarray(centre, dtype=object)
    if isinstance(centre, pd.Series) and not centre.index.equals(features.index):
        raise DataError("centre", "must have the features' patients in their order", "another index", "Align the two.")
    if names.shape != (len(values),) or len(values) < 2:
        found = f"{names.shape} for {len(values)} patients"
        raise DataError("centre", "must have one name a patient, of two or more", found, "Align the two.")
    missing = int(pd.isna(names).sum())
    if missing:
        raise DataError("centre", "must name every patient's centre", f"{missing} missing", "Fill it in.")
    away = values - values.mean(axis=0)
    total = np.square(away).sum(axis=0)
    between = np.zeros(values.shape[1])
    groups = pd.unique(names)
    for name in groups:
        rows = names == name
        between += rows.sum() * away[rows].mean(axis=0) ** 2
    constant = total <= _MIN_SHARE_OF_VARIANCE * np.square(values).max(axis=0) * len(values)
    share = np.divide(between, total, out=np.full(values.shape[1], np.nan), where=~constant)
    chance = (len(groups) - 1) / (len(values) - 1)
    return pd.DataFrame({"feature": features.columns, "share": share, "chance": chance})


def centre_effect_table(stages: Mapping[str, pd.DataFrame], centre: pd.Series) -> pd.DataFrame:
    """Share of variance between centres, feature by feature, before and after each way to harmonise.

    In the patients whom ComBat learnt from, the share falls below chance: their noise was fitted too. What it does
    for others is seen in patients of the same centres whom it did not see.

    Parameters
    ----------
    stages : mapping of str to pandas.DataFrame, each of shape (n_patients, n_features)
        Features by the name of what was done to them, of the same patients.
    centre : pandas.Series of str, shape (n_patients,)
        Centre by patient.

    Returns
    -------
    pandas.DataFrame
        Columns stage, feature, share, chance, at_most (share of the stage's features with no larger share); within a
        stage by rising share. Features that are constant are left out.

    Raises
    ------
    DataError
        As `centre_effect`, or if there is no stage.
    """
    if not stages:
        raise DataError("stages", "must hold at least one table", "none", "Give {'before': features}.")
    parts = []
    for name, features in stages.items():
        found = centre_effect(features, centre).dropna(subset="share").sort_values("share", kind="stable")
        at_most = found["share"].rank(method="max") / max(len(found), 1)
        parts.append(found.assign(stage=name, at_most=at_most))
    return pd.concat(parts, ignore_index=True)[["stage", "feature", "share", "chance", "at_most"]]
