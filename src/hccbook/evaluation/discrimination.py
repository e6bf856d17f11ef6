"""How well a score separates patients with HCC from those without: ROC curve and AUC."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import norm, rankdata
from sklearn.metrics import roc_curve

from hccbook.errors import DataError
from hccbook.evaluation.outcomes import LEVEL, by_cohort, check_binary, check_two_each, check_values

_REPLICATES_A_BLOCK = 200
_NO_VARIANCE = 1e-24


class AucEstimate(NamedTuple):
    """Area under the ROC curve with its confidence interval.

    Attributes
    ----------
    auc : float
        Chance that a patient with HCC has the higher score, ties counting half.
    lower, upper : float
        95 % confidence limits, within 0 to 1.
    variance : float
        Variance of `auc`.
    """

    auc: float
    lower: float
    upper: float
    variance: float


class NotedAuc(NamedTuple):
    """AUC where it can be had, and what keeps it or its interval from being had.

    Attributes
    ----------
    auc, lower, upper, variance : float
        As `AucEstimate`; NaN where undefined.
    note : str
        Empty where nothing is to be said.
    """

    auc: float
    lower: float
    upper: float
    variance: float
    note: str


class DelongTest(NamedTuple):
    """Comparison of two correlated AUCs.

    Attributes
    ----------
    auc_a, auc_b : float
        The two AUCs.
    difference, lower, upper : float
        ``auc_a - auc_b`` and its 95 % confidence limits.
    z, p : float
        Difference over its standard error, and its two-sided p; NaN where that error is 0 and the difference is not.
    """

    auc_a: float
    auc_b: float
    difference: float
    lower: float
    upper: float
    z: float
    p: float


def _placements(y: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of the other class that each patient outranks: events (k, m) and non-events (k, n)."""
    events = y == 1
    m, n = int(events.sum()), int((~events).sum())
    together = rankdata(scores, axis=1)
    v10 = (together[:, events] - rankdata(scores[:, events], axis=1)) / n
    v01 = 1.0 - (together[:, ~events] - rankdata(scores[:, ~events], axis=1)) / m
    return v10, v01


def _covariance(v10: np.ndarray, v01: np.ndarray) -> np.ndarray:
    """DeLong covariance of the AUCs, shape (k, k)."""
    covariance = np.atleast_2d(np.cov(v10)) / v10.shape[1] + np.atleast_2d(np.cov(v01)) / v01.shape[1]
    # Placements that are all equal leave rounding, far below the least variance of n patients, 1 / n^4 or so.
    return np.where(np.abs(covariance) < _NO_VARIANCE, 0.0, covariance)


def auc_delong(y: ArrayLike, score: ArrayLike) -> AucEstimate:
    """AUC with DeLong's variance and 95 % interval, in O(n log n).

    The interval is ``auc +/- z SE``, cut at 0 and 1. Where the score separates the classes completely
    (AUC 0 or 1) or is constant (AUC 0.5) the variance is 0 and the interval shrinks to a point: it then says
    nothing about the uncertainty.

    Kept beside the libraries: for a million scores it takes 0.7 s, where confidenceinterval 1.0.5 takes 2.2 s in single
    precision, 6e-8 off; and MLstatkit 0.1.91 takes five times as long for the paired test.

    Parameters
    ----------
    y, score : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise, two or more of each; a higher score means a higher risk.

    Returns
    -------
    AucEstimate

    Raises
    ------
    DataError
        If a value is missing, a class has fewer than two patients, or the patients do not match.

    References
    ----------
    DeLong et al. 1988, Biometrics 44:837; Sun and Xu 2014, IEEE Signal Process Lett 21:1389.
    """
    outcome = check_binary(y)
    values = check_values(score, outcome, y)
    check_two_each(outcome)
    v10, v01 = _placements(outcome, values[None, :])
    auc, variance = float(v10.mean()), float(_covariance(v10, v01)[0, 0])
    half = float(norm.isf((1 - LEVEL) / 2) * np.sqrt(variance))
    return AucEstimate(auc, max(auc - half, 0.0), min(auc + half, 1.0), variance)


def noted_auc(y: ArrayLike, score: ArrayLike) -> NotedAuc:
    """AUC with DeLong's interval, or as much of it as the patients allow.

    Parameters
    ----------
    y, score
        As in `auc_delong`, but a class may be absent, and so may all patients.

    Returns
    -------
    NotedAuc
        With one class alone no AUC; with one patient of a class an AUC without an interval.

    Raises
    ------
    DataError
        If a value is missing, an outcome is not 0 or 1, or the patients differ.
    """
    nothing = (float("nan"),) * 4
    if not len(np.asarray(y)):
        return NotedAuc(*nothing, "no patients")
    outcome = check_binary(y, both=False)
    values = check_values(score, outcome, y)
    events, others = int(outcome.sum()), int((outcome == 0).sum())
    if min(events, others) == 0:
        return NotedAuc(*nothing, "no patient with HCC" if events == 0 else "no patient without HCC")
    if min(events, others) == 1:
        auc = float(_placements(outcome, values[None, :])[0].mean())
        return NotedAuc(auc, *nothing[1:], f"no interval: one patient {'with' if events == 1 else 'without'} HCC")
    estimate = auc_delong(outcome, values)
    if estimate.variance > 0:
        return NotedAuc(*estimate, "")
    why = "all scores equal" if np.ptp(values) == 0 else "the classes are separated"
    return NotedAuc(*estimate, f"the interval is a point: {why}")


def wald_test(estimate: float, se: float) -> tuple[float, float, float, float]:
    """95 % limits of an estimate, its z and two-sided p; without variance z is 0 where the estimate is, else NaN."""
    half = float(norm.isf((1 - LEVEL) / 2) * se)
    undefined = 0.0 if estimate == 0 else float("nan")
    z = float(estimate / se) if se > 0 else undefined
    return estimate - half, estimate + half, z, float(2 * norm.sf(abs(z)))


def delong_test(y: ArrayLike, score_a: ArrayLike, score_b: ArrayLike) -> DelongTest:
    """Paired comparison of two scores' AUCs in the same patients.

    Where both scores rank every pair alike, the difference is 0 and p is 1. Where the difference is not 0 but
    its variance is (a complete separation against a constant, say), z and p are NaN: the test is not defined.

    Parameters
    ----------
    y
        As in `auc_delong`.
    score_a, score_b : array-like, shape (n_patients,)
        A higher value means a higher risk.

    Returns
    -------
    DelongTest

    Raises
    ------
    DataError
        As `auc_delong`.

    References
    ----------
    DeLong et al. 1988, Biometrics 44:837. ALARM, Statistics; aMAP-CT, Table 4.
    """
    outcome = check_binary(y)
    both = np.stack([check_values(score_a, outcome, y, "score_a"), check_values(score_b, outcome, y, "score_b")])
    check_two_each(outcome)
    v10, v01 = _placements(outcome, both)
    auc_a, auc_b = (float(value) for value in v10.mean(axis=1))
    # The variance of the differences, not a difference of variances: no cancellation where the scores agree.
    variance = float(_covariance(v10[:1] - v10[1:], v01[:1] - v01[1:])[0, 0])
    return DelongTest(auc_a, auc_b, auc_a - auc_b, *wald_test(auc_a - auc_b, float(np.sqrt(variance))))


def auc_bootstrap(y: ArrayLike, score: ArrayLike, replicates: int = 1000, seed: int = 0) -> AucEstimate:
    """AUC with a 95 % percentile interval from a bootstrap within each class.

    Patients with and without HCC are drawn apart, so that each replicate has as many of either as the cohort.
    As with DeLong's, the interval of a complete separation or of a constant score is a point.

    Parameters
    ----------
    y, score
        As in `auc_delong`, but one patient of each class is enough.
    replicates, seed : int
        Bootstrap replicates, and seed of the draws.

    Returns
    -------
    AucEstimate
        AUC of the cohort itself; limits and variance from the replicates.

    Raises
    ------
    DataError
        If a value is missing, a class is absent, the patients do not match, or `replicates` is below 2.

    References
    ----------
    Efron and Tibshirani 1993, An Introduction to the Bootstrap, 13. ALARM, Results ("bootstrapping validation").
    """
    outcome = check_binary(y)
    values = check_values(score, outcome, y)
    if replicates < 2:
        raise DataError("replicates", "must be 2 or more", replicates, "Give 1000.")
    distinct, position = np.unique(values, return_inverse=True)
    events = np.bincount(position[outcome == 1], minlength=distinct.size)
    others = np.bincount(position[outcome == 0], minlength=distinct.size)
    m, n = int(events.sum()), int(others.sum())

    def area(drawn_events: np.ndarray, drawn_others: np.ndarray) -> np.ndarray:
        # Counts by distinct score: an event outranks the others below it, and half of those level with it.
        below = np.cumsum(drawn_others, axis=-1) - 0.5 * drawn_others
        return (drawn_events * below).sum(axis=-1) / (m * n)

    rng = np.random.default_rng(seed)
    areas = []
    for start in range(0, replicates, _REPLICATES_A_BLOCK):
        size = min(_REPLICATES_A_BLOCK, replicates - start)
        areas.append(area(rng.multinomial(m, events / m, size), rng.multinomial(n, others / n, size)))
    sample = np.concatenate(areas)
    lower, upper = np.quantile(sample, [(1 - LEVEL) / 2, 1 - (1 - LEVEL) / 2])
    return AucEstimate(float(area(events, others)), float(lower), float(upper), float(sample.var(ddof=1)))


def roc_points(y: ArrayLike, score: ArrayLike) -> pd.DataFrame:
    """Empirical ROC curve.

    Parameters
    ----------
    y, score
        As in `auc_delong`, but one patient of each class is enough.

    Returns
    -------
    pandas.DataFrame
        Columns fpr (1 - specificity), tpr (sensitivity), cutoff (a patient is positive at or above it; the first
        is infinite). From (0, 0) to (1, 1), one row a distinct score.

    Raises
    ------
    DataError
        If a value is missing, a class is absent, or the patients do not match.
    """
    outcome = check_binary(y)
    values = check_values(score, outcome, y)
    fpr, tpr, cutoff = roc_curve(outcome, values, drop_intermediate=False)
    return pd.DataFrame({"fpr": fpr, "tpr": tpr, "cutoff": cutoff})


def auc_table(
    y: ArrayLike, scores: pd.DataFrame, cohort: str | ArrayLike, replicates: int | None = None, seed: int = 0
) -> pd.DataFrame:
    """AUCs of several scores in several cohorts.

    Parameters
    ----------
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    scores : pandas.DataFrame, shape (n_patients, n_models)
        A column a model; a higher value means a higher risk.
    cohort : str or array-like, shape (n_patients,)
        Name of the one cohort, or of each patient's.
    replicates, seed : int, optional
        As in `auc_bootstrap`; without replicates the interval is DeLong's.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, model, n, events, auc, lower, upper.

    Raises
    ------
    DataError
        As `auc_delong` or `auc_bootstrap`, with the cohort named.
    """

    def area(outcome: pd.Series, score: pd.Series) -> pd.DataFrame:
        estimate = auc_delong(outcome, score) if replicates is None else auc_bootstrap(outcome, score, replicates, seed)
        columns = ["n", "events", "auc", "lower", "upper"]
        return pd.DataFrame([(len(outcome), int(outcome.sum()), *estimate[:3])], columns=columns)

    return by_cohort(area, y, scores, cohort)
