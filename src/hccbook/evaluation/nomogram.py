"""Scales of a nomogram: points by value, probability by total points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import logit

from hccbook.errors import DataError
from hccbook.models.linear_score import LinearScore

_MARKS = 6


def nomogram_scales(
    score: LinearScore,
    ranges: Mapping[str, tuple[float, float]],
    probabilities: Sequence[float] = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99),
) -> pd.DataFrame:
    """Scales of the nomogram of a logistic score: points by value, and probability by total points.

    The value of each variable with the least risk has 0 points; the variable that can change the logit most over
    its range has 100 at its other end. Total points and the logit are the same straight line for every patient
    within the ranges.

    Parameters
    ----------
    score : LinearScore
        Logit of the probability.
    ranges : mapping of str to (float, float)
        Least and greatest value of each variable to be shown, in its own unit.
    probabilities : sequence of float
        Probabilities to mark; those that no total reaches are left out.

    Returns
    -------
    pandas.DataFrame
        Columns axis ("points", each variable, "total", "probability"), kind ("points", "variable", "total",
        "probability"), value (what is marked), points (0 to 100, on the total and probability axes 0 to the
        greatest total). A variable whose weight is 0 has the points 0 throughout, and so has the one mark of a
        variable whose range is a single value.

    Raises
    ------
    DataError
        If a variable has no range or a falling one, or no variable can change the probability.

    References
    ----------
    Kattan et al. 1998, J Natl Cancer Inst 90:766; Harrell 2015, Regression Modeling Strategies, 11. ALARM, Figure S17.
    """
    slopes = np.array(score.coefficients) / np.array(score.scales)
    missing = [name for name in score.names if name not in ranges]
    if missing:
        raise DataError("ranges", "must have every variable", f"no {missing[0]}", "Give its least and greatest value.")
    bounds = np.array([ranges[name] for name in score.names], dtype=float).reshape(-1, 2)
    for name, (low, high) in zip(score.names, bounds, strict=True):
        if not (np.isfinite([low, high]).all() and low <= high):
            hint = "Give least and greatest value."
            raise DataError(f"range of {name}", "must not fall", f"{low:g} to {high:g}", hint)
    reach = np.abs(slopes) * (bounds[:, 1] - bounds[:, 0])
    if not reach.size or reach.max() == 0:
        raise DataError("score", "must have a variable with weight", "none", "There is nothing to draw.")
    a_point = reach.max() / 100
    least = np.where(slopes >= 0, bounds[:, 0], bounds[:, 1])
    base = score.intercept + float((np.array(score.coefficients) * (least - score.means) / score.scales).sum())
    rows = [("points", "points", float(mark), float(mark)) for mark in range(0, 101, 10)]
    for name, slope, start, (low, high) in zip(score.names, slopes, least, bounds, strict=True):
        for value in _round_marks(low, high, _MARKS):
            rows.append((name, "variable", value, float(slope * (value - start) / a_point)))
    greatest = float(reach.sum() / a_point)
    rows += [("total", "total", mark, mark) for mark in _round_marks(0.0, greatest, 2 * _MARKS)]
    for chance in probabilities:
        total = (logit(chance) - base) / a_point
        if 0 <= total <= greatest:
            rows.append(("probability", "probability", float(chance), float(total)))
    return pd.DataFrame(rows, columns=["axis", "kind", "value", "points"])


def _round_marks(low: float, high: float, about: int) -> list[float]:
    """Round values from `low` to `high`, 1, 2 or 5 times a power of ten apart, as near to `about` as these allow."""
    if low == high:
        return [float(low)]
    rough = (high - low) / about
    power = 10.0 ** np.floor(np.log10(rough))
    step = min((power * factor for factor in (1, 2, 5, 10)), key=lambda one: abs(np.log(one / rough)))
    first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
    digits = max(0, int(-np.floor(np.log10(step) + 1e-9)))
    return [round(float(mark * step), digits) + 0.0 for mark in np.arange(first, last + 1)]
