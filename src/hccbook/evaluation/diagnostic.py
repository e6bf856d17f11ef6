"""Performance of a cut-off: sensitivity, specificity, predictive values, accuracy, F1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.metrics import confusion_matrix
from statsmodels.stats.proportion import proportion_confint

from hccbook.errors import DataError
from hccbook.evaluation.outcomes import check_binary, check_level, check_values

MEASURES = ("sensitivity", "specificity", "ppv", "npv", "accuracy", "f1")
"""Measures of `diagnostic_performance`, in order."""


def wilson_interval(count: ArrayLike, total: ArrayLike, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval of a proportion.

    Parameters
    ----------
    count, total : array-like of int, one shape
        Numerator and denominator; a denominator of 0 gives 0 to 1, that is: nothing is known.
    level : float
        Confidence level.

    Returns
    -------
    lower, upper : numpy.ndarray
        Limits, within 0 to 1.

    Raises
    ------
    DataError
        If a count is negative or above its total.

    References
    ----------
    Wilson 1927, J Am Stat Assoc 22:209; Newcombe 1998, Stat Med 17:857, method 3.
    """
    x, n = np.asarray(count, dtype=float), np.asarray(total, dtype=float)
    if not ((x >= 0) & (x <= n)).all():
        raise DataError("count", "must be 0 or more, at most the total", f"{count} of {total}", "Check the two.")
    lower, upper = proportion_confint(x, np.maximum(n, 1), 1 - check_level(level), "wilson")
    # At 0 and at the total the limit is 0 or 1 exactly; rounding would miss it by a bit.
    return np.where(x == 0, 0.0, lower), np.where(x == n, 1.0, upper)


def diagnostic_performance(y: ArrayLike, score: ArrayLike, cutoffs: float | Sequence[float]) -> pd.DataFrame:
    """Performance of calling a patient positive whose score is at or above a cut-off.

    Proportions have Wilson's 95 % interval. F1 is a rising function of ``TP / (TP + FP + FN)``, a proportion, so that
    its limits are those of that proportion, transformed. A measure whose denominator is 0 (predictive value of
    a result that nobody had) has the value NaN and the interval 0 to 1.

    Parameters
    ----------
    y, score : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise, a class may be absent; a higher score means a higher risk.
    cutoffs : float or sequence of float
        Cut-offs, in the unit of the score.

    Returns
    -------
    pandas.DataFrame
        Columns cutoff, n, events, measure, value, lower, upper, numerator, denominator; at each cut-off the measures
        sensitivity, specificity, ppv, npv, accuracy, f1 (numerator 2 TP, denominator 2 TP + FP + FN).

    Raises
    ------
    DataError
        If a value is missing or not 0 or 1, or the patients do not match.

    References
    ----------
    ALARM, Table 2; aMAP-CT, Table 2. F1 as a transformed proportion: Hand et al. 2021, Mach Learn 110:451.
    """
    outcome = check_binary(y, both=False)
    values = check_values(score, outcome, y)
    rows = []
    for cutoff in np.atleast_1d(cutoffs):
        tn, fp, fn, tp = confusion_matrix(outcome, values >= cutoff, labels=[0, 1]).ravel().tolist()
        counts = {
            "sensitivity": (tp, tp + fn),
            "specificity": (tn, tn + fp),
            "ppv": (tp, tp + fp),
            "npv": (tn, tn + fn),
            "accuracy": (tp + tn, tp + fp + fn + tn),
            "f1": (2 * tp, 2 * tp + fp + fn),
        }
        for measure, (numerator, denominator) in counts.items():
            value = numerator / denominator if denominator else float("nan")
            if measure == "f1":
                lower, upper = (2 * limit / (1 + limit) for limit in wilson_interval(tp, tp + fp + fn))
            else:
                lower, upper = wilson_interval(numerator, denominator)
            limits = (float(lower), float(upper))
            rows.append((cutoff, outcome.size, tp + fn, measure, value, *limits, numerator, denominator))
    columns = ["cutoff", "n", "events", "measure", "value", "lower", "upper", "numerator", "denominator"]
    return pd.DataFrame(rows, columns=columns)


def predictive_values(
    sensitivity: ArrayLike, specificity: ArrayLike, prevalence: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Predictive values at another prevalence, by Bayes' rule.

    Parameters
    ----------
    sensitivity, specificity : array-like, one shape
        0 to 1; NaN where a class has no patient.
    prevalence : array-like
        Share of patients with HCC, 0 to 1.

    Returns
    -------
    ppv, npv : numpy.ndarray
        NaN where no patient would have that result, or what it follows from is NaN.

    Raises
    ------
    DataError
        If a value is not within 0 to 1.
    """
    given = {"sensitivity": sensitivity, "specificity": specificity, "prevalence": prevalence}
    se, sp, share = arrays = [np.asarray(value, dtype=float) for value in given.values()]
    for name, array in zip(given, arrays, strict=True):
        wrong = array[(array < 0) | (array > 1)]
        if wrong.size:
            raise DataError(name, "must be 0 to 1", f"{wrong.flat[0]:g}", "Give a share, not per cent.")
    tp, fp, tn, fn = se * share, (1 - sp) * (1 - share), sp * (1 - share), (1 - se) * share

    def ratio(part: np.ndarray, rest: np.ndarray) -> np.ndarray:
        whole = part + rest
        return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)

    return ratio(tp, fp), ratio(tn, fn)
