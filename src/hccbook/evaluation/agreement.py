"""How far a value, or a model, depends on who drew the mask: intraclass correlations, and AUCs side by side.

References
----------
Shrout and Fleiss 1979, Psychological Bulletin 86:420. McGraw and Wong 1996, Psychological Methods 1:30.
Koo and Li 2016, Journal of Chiropractic Medicine 15:155.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import f as f_distribution

from hccbook.errors import DataError
from hccbook.evaluation.discrimination import auc_delong, delong_test
from hccbook.evaluation.outcomes import LEVEL, check_binary

BANDS: Mapping[str, float] = MappingProxyType({"poor": -np.inf, "moderate": 0.5, "good": 0.75, "excellent": 0.9})
"""Names of intraclass correlations and where each begins (Koo and Li 2016); 0.9 itself is still called good there."""

CONSTANT = "constant"
"""Note of a feature that is the same for every subject and rater."""

_ROUNDING = 16 * np.finfo(float).eps


def _mean_squares(values: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean squares between subjects, of raters and of the error, of a two-way analysis of variance of every feature.

    Shrout and Fleiss 1979, Table 1: one value a cell; n - 1, k - 1 and (n - 1)(k - 1) degrees of freedom.
    """
    ratings = _checked(values)
    n, k, _ = ratings.shape
    # About the mean of all, and residuals as such: no difference of large sums of squares.
    centred = ratings - ratings.mean(axis=(0, 1))
    subject, rater = centred.mean(axis=1), centred.mean(axis=0)
    left = centred - subject[:, None] - rater[None]
    parts = [k * (subject**2).sum(axis=0), n * (rater**2).sum(axis=0), (left**2).sum(axis=(0, 1))]
    # What a sum of squares holds beyond this came from rounding the values.
    floor = n * k * (_ROUNDING * np.abs(ratings).max(axis=(0, 1))) ** 2
    between, raters, error = (np.where(part <= floor, 0.0, part) for part in parts)
    return between / (n - 1), raters / (k - 1), error / ((n - 1) * (k - 1))


def icc_table(values: ArrayLike) -> pd.DataFrame:
    """ICC(2,1) of every feature: two-way random, absolute agreement of single ratings, with its 95 % interval.

    Kept beside pingouin 0.7.0, which takes one feature a call and rounds its limits to two digits: 3,651 features of
    ten patients under seven masks take 0.02 s here, and would take 68 s there.

    Parameters
    ----------
    values : array-like, shape (n_subjects, n_raters, n_features)
        Each rater rated each subject once.

    Returns
    -------
    pandas.DataFrame
        Columns icc, lower, upper, note, one row per feature in their order. A rater always larger by the same amount
        lowers the correlation; it is 1 at best, and may be below 0 where raters differ more than subjects do. A feature
        that is the same everywhere has none: its values are NaN and its ``note`` is `CONSTANT`; no other value is NaN.

    Raises
    ------
    DataError
        If there are fewer than three subjects or two raters, or a value is missing or infinite.

    Notes
    -----
    With mean squares B between subjects, J of raters and E of the error, n subjects and k raters::

        ICC(2,1) = (B - E) / (B + (k - 1) E + k (J - E) / n)

    The interval takes Satterthwaite's degrees of freedom and is approximate. Raters that agree wholly have the
    interval 1 to 1.

    References
    ----------
    Shrout and Fleiss 1979; McGraw and Wong 1996, Tables 4 and 7 (case 2A), their ICC(A,1).
    """
    n, k, _ = np.shape(_checked(values))
    between, raters, error = _mean_squares(values)
    icc = _ratio(n * (between - error), n * between + k * raters + (n * k - n - k) * error, 1.0)
    share = _ratio(icc, n * (1 - icc), 0.0)
    a, b = k * share, 1 + k * share * (n - 1)
    spread = (a * raters) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1))
    # Near 0 degrees of freedom the quantiles leave the range of numbers; the limits no longer move by then.
    freedom = np.maximum(_ratio((a * raters + b * error) ** 2, spread, 1.0), 0.1)
    tail = (1 - LEVEL) / 2
    low, high = f_distribution.isf(tail, n - 1, freedom), f_distribution.isf(tail, freedom, n - 1)
    rest = k * raters + (k * n - k - n) * error
    lower = _ratio(n * (between - low * error), low * rest + n * between, 1.0)
    upper = _ratio(n * (high * between - error), rest + n * high * between, 1.0)
    unanimous = (raters == 0) & (error == 0)
    constant = unanimous & (between == 0)
    table = pd.DataFrame({"icc": icc, "lower": np.where(unanimous, 1, lower), "upper": np.where(unanimous, 1, upper)})
    table.loc[constant] = np.nan
    return table.assign(note=np.where(constant, CONSTANT, ""))


def agreement_band(icc: float) -> str:
    """What Koo and Li call an intraclass correlation.

    Parameters
    ----------
    icc : float

    Returns
    -------
    str
        ``poor`` below 0.5, ``moderate`` up to 0.75, ``good`` up to and with 0.9, ``excellent`` above; ``none`` for
        NaN. They ask that the whole confidence interval be looked at, not the estimate alone.
    """
    if np.isnan(icc):
        return "none"
    if icc == BANDS["excellent"]:
        return "good"
    return [name for name, start in BANDS.items() if icc >= start][-1]


def auc_by_segmentation(y: ArrayLike, scores: pd.DataFrame) -> pd.DataFrame:
    """AUC of one fitted model on the same patients, segmented in several ways.

    Parameters
    ----------
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise; two or more of each.
    scores : pandas.DataFrame, shape (n_patients, n_masks)
        A column a way to segment; the first is what the others are compared with. Higher means a higher risk.

    Returns
    -------
    pandas.DataFrame
        Columns mask, n, events, auc, lower, upper (DeLong), difference (AUC less that of the first mask),
        difference_lower, difference_upper, p (DeLong, paired), score_change (median over patients of the absolute
        change of the score). The first row's difference and score change are 0, its p is 1.

    Raises
    ------
    DataError
        As `auc_delong`; or if there is no column.
    """
    if not scores.shape[1]:
        raise DataError("scores", "must have one column a mask", "none", "Give the scores of one mask or more.")
    outcome = check_binary(y)
    first = scores.iloc[:, 0]
    rows = []
    for mask in scores:
        area = auc_delong(outcome, scores[mask])
        test = delong_test(outcome, scores[mask], first)
        change = float((scores[mask] - first).abs().median())
        estimates = (area.auc, area.lower, area.upper, test.difference, test.lower, test.upper, test.p, change)
        rows.append((mask, len(outcome), int(outcome.sum()), *estimates))
    areas = ["auc", "lower", "upper", "difference", "difference_lower", "difference_upper", "p", "score_change"]
    return pd.DataFrame(rows, columns=["mask", "n", "events", *areas])


def _checked(values: ArrayLike) -> np.ndarray:
    ratings = np.asarray(values, dtype=float)
    # With two of each, the denominator of ICC(2,1) can vanish.
    if ratings.ndim != 3 or ratings.shape[0] < 3 or ratings.shape[1] < 2:
        rule = "must have the shape (subjects, raters, features), with three or more subjects and two or more raters"
        raise DataError("ratings", rule, ratings.shape, "Add patients, or ways to segment them.")
    if not np.isfinite(ratings).all():
        bad = np.argwhere(~np.isfinite(ratings))[0].tolist()
        raise DataError("ratings", "must be finite", f"a value that is not, at {bad}", "Leave that subject out.")
    return ratings


def _ratio(top: np.ndarray, bottom: np.ndarray, otherwise: float) -> np.ndarray:
    return np.divide(top, bottom, out=np.full(np.shape(top), otherwise), where=bottom != 0)
