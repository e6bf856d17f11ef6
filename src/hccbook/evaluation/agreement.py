"""How far a value, or a model, depends on who drew the mask: intraclass correlations, and AUCs side by side.

References
----------
Shrout and Fleiss 1979, Psychological Bulletin 86:420. McGraw and Wong 1996, Psychological Methods 1:30.
Koo and Li 2016, Journal of Chiropractic Medicine 15:155.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import f as f_distribution

from hccbook.errors import DataError
from hccbook.evaluation.discrimination import auc_delong, delong_test
from hccbook.evaluation.outcomes import check_binary, check_level
from hccbook.models.development import phase_organ_name

BANDS: Mapping[str, float] = MappingProxyType({"poor": -np.inf, "moderate": 0.5, "good": 0.75, "excellent": 0.9})
"""Names of intraclass correlations and where each begins (Koo and Li 2016); 0.9 itself is still called good there."""

ICC_COLUMNS = (
    "feature",
    "subjects",
    "raters",
    *(f"icc{form}{part}" for form in ("1", "2", "3") for part in ("", "_lower", "_upper")),
    "note",
)
"""Columns of `icc_table`."""

CONSTANT = "constant"
"""Note of a feature that is the same for every subject and rater."""

_ROUNDING = 16 * np.finfo(float).eps


class MeanSquares(NamedTuple):
    """Mean squares of a table of subjects and raters, each of shape (n_features,).

    Attributes
    ----------
    between, within : numpy.ndarray
        Of subjects (n - 1 degrees of freedom), and of ratings within subjects (n (k - 1)).
    raters, error : numpy.ndarray
        The latter's two parts: of raters (k - 1), and what is left ((n - 1)(k - 1)).
    """

    between: np.ndarray
    within: np.ndarray
    raters: np.ndarray
    error: np.ndarray


def mean_squares(values: ArrayLike) -> MeanSquares:
    """Two-way analysis of variance of every feature, one value a cell.

    Parameters
    ----------
    values : array-like, shape (n_subjects, n_raters, n_features)

    Returns
    -------
    MeanSquares

    Raises
    ------
    DataError
        If there are fewer than two subjects or raters, or a value is missing or infinite.

    References
    ----------
    Shrout and Fleiss 1979, Table 1.
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
    return MeanSquares(
        between / (n - 1), (raters + error) / (n * (k - 1)), raters / (k - 1), error / ((n - 1) * (k - 1))
    )


def icc_table(values: ArrayLike, features: Sequence[str] | None = None, level: float = 0.95) -> pd.DataFrame:
    """Intraclass correlations of single ratings, with confidence intervals, for any number of features at once.

    Parameters
    ----------
    values : array-like, shape (n_subjects, n_raters, n_features)
        Each rater rated each subject once.
    features : sequence of str, optional
        Names; numbers from 0 if absent.
    level : float
        Confidence level.

    Returns
    -------
    pandas.DataFrame
        Columns `ICC_COLUMNS`, a row a feature. ``icc1`` is ICC(1,1), one-way random; ``icc2`` is ICC(2,1), two-way
        random, absolute agreement: a rater who is always larger by the same amount lowers it; ``icc3`` is ICC(3,1),
        two-way mixed, consistency: such a rater does not. Each is 1 at best, and may be below 0 where raters
        differ more than subjects do. A feature that is the same everywhere has no intraclass correlation: its values
        are NaN and its ``note`` is `CONSTANT`; no other value is NaN.

    Raises
    ------
    DataError
        If there are fewer than three subjects or two raters, a value is missing or infinite, or names do not match.

    Notes
    -----
    With mean squares B between subjects, W within them, J of raters and E of the error, n subjects and k raters::

        ICC(1,1) = (B - W) / (B + (k - 1) W)
        ICC(2,1) = (B - E) / (B + (k - 1) E + k (J - E) / n)
        ICC(3,1) = (B - E) / (B + (k - 1) E)

    The interval of ICC(2,1) takes Satterthwaite's degrees of freedom and is approximate; those of the others are
    exact for normal values. Raters that agree wholly have the interval 1 to 1.

    References
    ----------
    Shrout and Fleiss 1979; McGraw and Wong 1996, Tables 4 and 7, their ICC(1), ICC(A,1) and ICC(C,1).
    """
    tail = (1 - check_level(level)) / 2
    ratings = _checked(values)
    n, k, count = ratings.shape
    names = [str(number) for number in range(count)] if features is None else list(features)
    if len(names) != count:
        raise DataError(
            "features", f"must have {count} names, one a feature", len(names), "Give the columns of the values."
        )
    found = mean_squares(ratings)
    constant = (found.between == 0) & (found.within == 0)
    table = pd.DataFrame({"feature": names, "subjects": n, "raters": k})
    estimates = {
        "1": _one_way(found.between, found.within, n, k, tail),
        "2": _absolute(found, n, k, tail),
        "3": _consistent(found.between, found.error, n, k, tail),
    }
    for form, parts in estimates.items():
        for ending, part in zip(("", "_lower", "_upper"), parts, strict=True):
            table[f"icc{form}{ending}"] = np.where(constant, np.nan, part)
    return table.assign(note=np.where(constant, CONSTANT, ""))[list(ICC_COLUMNS)]


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


def feature_family(name: str) -> str:
    """Family of a feature: ``shape``, ``firstorder``, ``glcm``, ..., or ``deep``.

    Parameters
    ----------
    name : str
        ``<phase>.<organ>.<image>_<class>_<feature>`` or ``<phase>.<organ>.deep_<number>``.

    Raises
    ------
    DataError
        If the name is built otherwise.
    """
    feature = phase_organ_name(name)[2]
    if feature.startswith("deep_"):
        return "deep"
    parts = feature.split("_")
    if len(parts) != 3:
        raise DataError(
            f"feature {name}", "must be named <image>_<class>_<feature>", feature, "Give the columns of features."
        )
    return parts[1]


def auc_by_segmentation(y: ArrayLike, scores: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """AUC of one fitted model on the same patients, segmented in several ways.

    Parameters
    ----------
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise; two or more of each.
    scores : pandas.DataFrame, shape (n_patients, n_masks)
        A column a way to segment; the first is what the others are compared with. Higher means a higher risk.
    level : float
        Confidence level.

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
        own = scores[mask]
        area = auc_delong(outcome, own, level)
        test = delong_test(outcome, own, first, level)
        change = float((own - first).abs().median())
        estimates = (area.auc, area.lower, area.upper, test.difference, test.lower, test.upper, test.p, change)
        rows.append((mask, len(outcome), int(outcome.sum()), *estimates))
    areas = ["auc", "lower", "upper", "difference", "difference_lower", "difference_upper", "p", "score_change"]
    return pd.DataFrame(rows, columns=["mask", "n", "events", *areas])


def _checked(values: ArrayLike) -> np.ndarray:
    ratings = np.asarray(values, dtype=float)
    # With two of each, the denominator of ICC(2,1) can vanish.
    if ratings.ndim != 3 or ratings.shape[0] < 3 or ratings.shape[1] < 2:
        raise DataError(
            "ratings",
            "must have the shape (subjects, raters, features), with three or more subjects and two or more raters",
            ratings.shape,
            "Add patients, or ways to segment them.",
        )
    if not np.isfinite(ratings).all():
        bad = np.argwhere(~np.isfinite(ratings))[0].tolist()
        raise DataError("ratings", "must be finite", f"a value that is not, at {bad}", "Leave that subject out.")
    return ratings


def _ratio(top: np.ndarray, bottom: np.ndarray, otherwise: float) -> np.ndarray:
    return np.divide(top, bottom, out=np.full(np.shape(top), otherwise), where=bottom != 0)


def _one_way(
    between: np.ndarray, within: np.ndarray, n: int, k: int, tail: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return _of_two(between, within, k, (n - 1, n * (k - 1)), tail)


def _consistent(
    between: np.ndarray, error: np.ndarray, n: int, k: int, tail: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return _of_two(between, error, k, (n - 1, (n - 1) * (k - 1)), tail)


def _of_two(
    between: np.ndarray, other: np.ndarray, k: int, freedom: tuple[int, int], tail: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(B - X) / (B + (k - 1) X), and its limits by F = B / X over and under the quantiles of F."""
    low, high = f_distribution.isf(tail, *freedom), 1 / f_distribution.isf(tail, *freedom[::-1])
    # B / q in place of B: no division by an X of 0.
    return tuple(
        _ratio(between / quantile - other, between / quantile + (k - 1) * other, 1.0) for quantile in (1.0, low, high)
    )


def _absolute(found: MeanSquares, n: int, k: int, tail: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ICC(2,1) and its limits (McGraw and Wong 1996, Table 7, case 2A)."""
    between, _, raters, error = found
    rest = k * raters + (k * n - k - n) * error
    icc = _ratio(n * (between - error), n * between + k * raters + (n * k - n - k) * error, 1.0)
    share = _ratio(icc, n * (1 - icc), 0.0)
    a, b = k * share, 1 + k * share * (n - 1)
    spread = (a * raters) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1))
    # Near 0 degrees of freedom the quantiles leave the range of numbers; the limits no longer move by then.
    freedom = np.maximum(_ratio((a * raters + b * error) ** 2, spread, 1.0), 0.1)
    low, high = f_distribution.isf(tail, n - 1, freedom), f_distribution.isf(tail, freedom, n - 1)
    lower = _ratio(n * (between - low * error), low * rest + n * between, 1.0)
    upper = _ratio(n * (high * between - error), rest + n * high * between, 1.0)
    whole = (raters == 0) & (error == 0)
    return icc, np.where(whole, 1.0, lower), np.where(whole, 1.0, upper)
