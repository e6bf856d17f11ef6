"""Decision curves: the net benefit of acting on a prediction."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hccbook.errors import DataError
from hccbook.evaluation.outcomes import by_cohort, check_binary, check_probability

TREAT_ALL = "treat all"
TREAT_NONE = "treat none"

MAX_THRESHOLD = 0.2
"""Highest threshold at which a decision curve is drawn.

Who acts from a threshold pt on accepts (1 - pt)/pt false alarms a cancer: at 0.2 four. Few would ask for fewer before
an MRI or a closer watch in cirrhosis, where a yearly risk of 1.5 % already makes surveillance worth its cost.
"""


def net_benefit(y: ArrayLike, p: ArrayLike, thresholds: ArrayLike) -> np.ndarray:
    """Net benefit of treating those whose probability is at or above a threshold.

    ``TP/n - FP/n x pt/(1 - pt)``. Treating all is ``p = 1`` for everybody; treating none has net benefit 0.

    Parameters
    ----------
    y, p : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise; predicted probabilities, 0 to 1.
    thresholds : array-like, shape (n_thresholds,)
        Threshold probabilities pt, 0 or more and below 1.

    Returns
    -------
    numpy.ndarray, shape (n_thresholds,)
        True positives a patient, net of false positives at the threshold's exchange rate.

    Raises
    ------
    DataError
        If a value is missing or no probability, a class is absent, the patients do not match, or a threshold is
        out of range.

    References
    ----------
    Vickers and Elkin 2006, Med Decis Making 26:565. ALARM, Fig. 4B; aMAP-CT, Supplementary Fig. 10.
    """
    outcome = check_binary(y)
    values, cuts = check_probability(p, outcome, y), check_thresholds(thresholds)
    share = outcome.mean()

    def rate_at_or_above(part: np.ndarray) -> np.ndarray:
        return 1 - np.searchsorted(np.sort(part), cuts, side="left") / part.size

    sensitivity, false_rate = rate_at_or_above(values[outcome == 1]), rate_at_or_above(values[outcome == 0])
    return sensitivity * share - false_rate * (1 - share) * cuts / (1 - cuts)


def check_thresholds(thresholds: ArrayLike) -> np.ndarray:
    """Threshold probabilities as floats, 0 or more and below 1."""
    cuts = np.asarray(thresholds, dtype=float)
    if cuts.ndim != 1 or not cuts.size or not ((cuts >= 0) & (cuts < 1)).all():
        raise DataError("thresholds", "must be 0 or more and below 1", thresholds, "Give probabilities, not per cent.")
    return cuts


def decision_curves(
    y: ArrayLike, probabilities: pd.DataFrame, cohort: str | ArrayLike, thresholds: ArrayLike
) -> pd.DataFrame:
    """Decision curves of several models in several cohorts, with both reference strategies.

    Parameters
    ----------
    y, thresholds
        As in `net_benefit`.
    probabilities : pandas.DataFrame, shape (n_patients, n_models)
        Predicted probabilities, a column a model.
    cohort : str or array-like, shape (n_patients,)
        Name of the one cohort, or of each patient's.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, model, threshold, net_benefit; models include "treat all" and "treat none".

    Raises
    ------
    DataError
        As `net_benefit`, with the cohort named.
    """
    cuts = np.asarray(thresholds, dtype=float)

    def curves(outcome: pd.Series, values: pd.DataFrame) -> pd.DataFrame:
        benefit = {model: net_benefit(outcome, values[model], cuts) for model in values}
        benefit[TREAT_ALL] = net_benefit(outcome, np.ones(len(outcome)), cuts)
        benefit[TREAT_NONE] = np.zeros(cuts.size)
        wide = pd.DataFrame(benefit).assign(threshold=cuts)
        return wide.melt("threshold", var_name="model", value_name="net_benefit")[["model", "threshold", "net_benefit"]]

    return by_cohort(curves, y, probabilities, cohort, each=None)
