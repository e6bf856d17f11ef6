"""Cut-offs and risk groups: X-tile, Youden, and aMAP to aMAP-CT step by step."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hccbook.errors import DataError
from hccbook.evaluation.outcomes import check_binary, check_values
from hccbook.scores import RISK_GROUPS, amap_group

NOT_NEEDED = "not needed"
"""CT group of patients whom aMAP already calls low-risk."""


@dataclass(frozen=True)
class XTile:
    """Cut-offs that X-tile found.

    Attributes
    ----------
    cuts : tuple of float
        One or two cut-offs, rising; a patient at a cut-off belongs to the higher group.
    statistic : float
        Chi-square at the cut-offs, the greatest of the grid. Its nominal p is not a p-value: it was searched for.
    kind : str
        ``pearson`` (binary outcome) or ``logrank`` (follow-up).
    candidates : numpy.ndarray, shape (n_candidates,)
        All cut-offs tried, rising: midway between neighbouring scores.
    grid : numpy.ndarray, shape (n_candidates, n_candidates), or (n_candidates,) for one cut-off
        Chi-square by lower (row) and upper (column) cut-off; NaN where a group would be too small.
    groups : pandas.DataFrame
        Columns group, n, events.
    """

    cuts: tuple[float, ...]
    statistic: float
    kind: str
    candidates: np.ndarray = field(repr=False)
    grid: np.ndarray = field(repr=False)
    groups: pd.DataFrame = field(repr=False)


def _midpoints(distinct: np.ndarray) -> np.ndarray:
    """Cut-offs between neighbouring scores; they keep their groups when a score is rounded in a file."""
    middle = distinct[:-1] + np.diff(distinct) / 2
    # Between neighbouring floats the middle is one of the two: the upper one cuts the same patients.
    return np.where(middle > distinct[:-1], middle, distinct[1:])


def xtile(
    score: ArrayLike,
    outcome: ArrayLike,
    time: ArrayLike | None = None,
    min_fraction: float = 0.1,
    n_cuts: int = 2,
) -> XTile:
    """Cut-offs that separate risk groups best, over all pairs of cut-offs.

    The chi-square is Pearson's of group against outcome (no continuity correction), or the log-rank's where
    follow-up is given. Of equal maxima the one with the lowest cut-offs is taken. Nothing demands that the
    outcome rises from group to group: see ``groups``.

    Parameters
    ----------
    score : array-like, shape (n_patients,)
        A higher value means a higher risk.
    outcome : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise; both present.
    time : array-like, shape (n_patients,), optional
        Follow-up, months.
    min_fraction : float
        Least share of the patients in each group.
    n_cuts : int
        2 for low, medium and high risk; 1 for low and high.

    Returns
    -------
    XTile

    Raises
    ------
    DataError
        If a value is missing, a class is absent, the patients do not match, a setting is out of range, or no
        cut-offs leave groups that are large enough.

    References
    ----------
    Camp et al. 2004, Clin Cancer Res 10:7252. ALARM, Statistics and Risk stratification; which statistic it used
    on its balanced binary outcome is an assumption.
    """
    y = check_binary(outcome)
    values = check_values(score, y, outcome)
    if n_cuts not in (1, 2):
        raise DataError("n_cuts", "must be 1 or 2", n_cuts, "Choose one of them.")
    if not 0 < min_fraction <= 1 / (n_cuts + 1):
        raise DataError(
            "min_fraction", f"must be above 0, at most {1 / (n_cuts + 1):.2g}", min_fraction, "Give 0.05 to 0.1."
        )
    if time is not None:
        months = check_values(time, y, outcome, "time")
        if months.min() < 0:
            raise DataError("time", "must be months, 0 or more", f"{months.min():g}", "Correct the follow-up.")
    distinct, position = np.unique(values, return_inverse=True)
    # n_from[k]: patients at or above the k-th candidate; likewise events.
    n_from = y.size - np.bincount(position, minlength=distinct.size).cumsum()[:-1]
    events_from = y.sum() - np.bincount(position, weights=y, minlength=distinct.size).cumsum()[:-1]
    least = min_fraction * y.size - 1e-9
    if time is None:
        grid = _pearson_grid(n_from, events_from, y.size, int(y.sum()), n_cuts)
    else:
        grid = _logrank_grid(position, distinct.size - 1, y, months, n_cuts)
    if n_cuts == 1:
        allowed = (n_from >= least) & (y.size - n_from >= least)
    else:
        allowed = (
            (n_from[None, :] >= least)
            & (n_from[:, None] - n_from[None, :] >= least)
            & (y.size - n_from[:, None] >= least)
            & np.triu(np.ones((n_from.size, n_from.size), dtype=bool), k=1)
        )
    if not allowed.any():
        raise DataError(
            "score",
            f"must allow {n_cuts + 1} groups of {min_fraction:.0%} of {y.size} patients or more",
            f"{distinct.size} different scores",
            "Lower min_fraction, or ask for fewer cut-offs.",
        )
    grid = np.where(allowed, grid, np.nan)
    greatest = float(np.nanmax(grid))
    # Equal tables reached in another order differ in their last bits.
    chosen = np.argwhere(np.nan_to_num(grid, nan=-1.0) >= greatest * (1 - 1e-12))[0]
    candidates = _midpoints(distinct)
    cuts = tuple(float(candidates[one]) for one in chosen)
    labels = risk_groups(values, cuts)
    names = [name for name in RISK_GROUPS if n_cuts == 2 or name != "medium"]
    groups = pd.DataFrame(
        {
            "group": names,
            "n": [int((labels == name).sum()) for name in names],
            "events": [int(y[labels == name].sum()) for name in names],
        }
    )
    return XTile(cuts, greatest, "pearson" if time is None else "logrank", candidates, grid, groups)


def _pearson_grid(n_from: np.ndarray, events_from: np.ndarray, n: int, events: int, n_cuts: int) -> np.ndarray:
    """Pearson's chi-square of 2 or 3 groups against the outcome, from counts at or above each candidate."""
    rate = events / n

    def part(group_n: np.ndarray, group_events: np.ndarray) -> np.ndarray:
        surplus = group_events - group_n * rate
        variance = group_n * rate * (1 - rate)
        return np.divide(surplus**2, variance, out=np.zeros(np.shape(variance)), where=variance > 0)

    low, high = part(n - n_from, events - events_from), part(n_from, events_from)
    if n_cuts == 1:
        return low + high
    between_n = np.maximum(n_from[:, None] - n_from[None, :], 0)
    return low[:, None] + part(between_n, events_from[:, None] - events_from[None, :]) + high[None, :]


def _logrank_grid(
    position: np.ndarray, n_candidates: int, y: np.ndarray, months: np.ndarray, n_cuts: int
) -> np.ndarray:
    """Log-rank chi-square of 2 or 3 groups, for all candidates at once.

    With A the patients at or above the lower cut-off and B those at or above the upper one, the statistic is the
    quadratic form of their surplus events, and the covariance of A and B at one event time is c b (1 - a), where
    a and b are their shares of those at risk.
    """
    times, deaths = np.unique(months[y == 1], return_counts=True)
    still = months[:, None] >= times[None, :]
    at_risk = still.sum(axis=0)
    above = position[:, None] > np.arange(n_candidates)[None, :]
    share = (above.T.astype(float) @ still) / at_risk
    surplus = above[y == 1].sum(axis=0) - share @ deaths
    factor = deaths * (at_risk - deaths) / np.maximum(at_risk - 1, 1)
    variance = (share * (1 - share)) @ factor
    if n_cuts == 1:
        return np.divide(surplus**2, variance, out=np.zeros(n_candidates), where=variance > 1e-12)
    covariance = ((1 - share) * factor) @ share.T
    determinant = variance[:, None] * variance[None, :] - covariance**2
    form = (
        surplus[:, None] ** 2 * variance[None, :]
        - 2 * surplus[:, None] * surplus[None, :] * covariance
        + surplus[None, :] ** 2 * variance[:, None]
    )
    # One of the three groups was never at risk when somebody had HCC: the pair says no more than one cut-off.
    return np.divide(form, determinant, out=np.zeros_like(form), where=determinant > 1e-10)


def youden_cutoff(y: ArrayLike, score: ArrayLike) -> float:
    """Cut-off with the greatest sensitivity + specificity - 1.

    Midway between neighbouring scores, with patients on both sides; a patient at it is positive. Of equal maxima
    the lowest cut-off is taken, which has the highest sensitivity.

    Parameters
    ----------
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    score : array-like, shape (n_patients,)
        A higher value means a higher risk.

    Returns
    -------
    float

    Raises
    ------
    DataError
        If a value is missing, a class is absent, the patients do not match, or all scores are equal.

    References
    ----------
    Youden 1950, Cancer 3:32. aMAP-CT, Results: "optimal cut-off value", its rule not printed.
    """
    outcome = check_binary(y)
    values = check_values(score, outcome, y)
    distinct, position = np.unique(values, return_inverse=True)
    if distinct.size < 2:
        raise DataError("score", "must differ between patients", f"{distinct[0]:g} for all", "Use another score.")
    below_events = np.bincount(position[outcome == 1], minlength=distinct.size).cumsum()[:-1]
    below_others = np.bincount(position[outcome == 0], minlength=distinct.size).cumsum()[:-1]
    events = int(outcome.sum())
    # In whole numbers, so that equal maxima are equal: (J) x events x others.
    youden = below_others * events - below_events * (outcome.size - events)
    return float(_midpoints(distinct)[int(np.argmax(youden))])


def risk_groups(score: ArrayLike, cuts: float | Sequence[float]) -> np.ndarray | pd.Series:
    """Risk group by cut-offs; a score at a cut-off belongs to the higher group.

    Parameters
    ----------
    score : array-like, shape (n_patients,)
        A higher value means a higher risk.
    cuts : float or sequence of float
        One cut-off (low, high) or two, rising (low, medium, high).

    Returns
    -------
    numpy.ndarray of str or pandas.Series of str, shape (n_patients,)
        A Series where `score` is one.

    Raises
    ------
    DataError
        If a score is missing, or there are not one or two rising cut-offs.
    """
    bounds = np.atleast_1d(np.asarray(cuts, dtype=float))
    if bounds.shape not in ((1,), (2,)) or not np.isfinite(bounds).all() or (np.diff(bounds) <= 0).any():
        raise DataError("cuts", "must be one or two cut-offs, rising", cuts, "Give, for example, (0.21, 0.65).")
    values = np.asarray(score, dtype=float)
    if np.isnan(values).any():
        raise DataError("score", "must not be missing", f"{int(np.isnan(values).sum())} missing", "Leave those out.")
    names = np.array(RISK_GROUPS if bounds.size == 2 else (RISK_GROUPS[0], RISK_GROUPS[2]), dtype=object)
    labels = names[np.searchsorted(bounds, values, side="right")]
    return pd.Series(labels, index=score.index, name="group") if isinstance(score, pd.Series) else labels


def stepwise_groups(
    amap: pd.Series | ArrayLike,
    amap_ct_score: pd.Series | ArrayLike,
    cutoff: float,
    amap_low: float = 50.0,
    amap_high: float = 60.0,
) -> pd.DataFrame:
    """aMAP first, then aMAP-CT for those whom aMAP does not call low-risk.

    Parameters
    ----------
    amap : array-like, shape (n_patients,)
        aMAP score.
    amap_ct_score : array-like, shape (n_patients,)
        aMAP-CT score or probability, in the unit of `cutoff`; may be missing where aMAP is below `amap_low`.
    cutoff : float
        aMAP-CT score at or above which a patient is high-risk.
    amap_low, amap_high : float
        aMAP is low below the first, high above the second, medium from the one to the other.

    Returns
    -------
    pandas.DataFrame, shape (n_patients, 3)
        Columns amap_group (low, medium, high), ct_group (low, high, or "not needed") and final (low, high); index
        is that of `amap` where it is a Series.

    Raises
    ------
    DataError
        If an aMAP is missing, an aMAP-CT score is missing where it is needed, or the patients do not match.

    References
    ----------
    aMAP-CT, Results, Stepwise application; Fig. 4.
    """
    clinical = amap if isinstance(amap, pd.Series) else pd.Series(np.asarray(amap, dtype=float))
    if (
        isinstance(amap_ct_score, pd.Series)
        and isinstance(amap, pd.Series)
        and not amap.index.equals(amap_ct_score.index)
    ):
        raise DataError(
            "amap_ct_score", "must have the patients of amap in their order", "another index", "Align the two."
        )
    image = np.asarray(amap_ct_score, dtype=float)
    if image.shape != clinical.shape:
        raise DataError("amap_ct_score", f"must have {clinical.size} values", f"shape {image.shape}", "Align the two.")
    first = amap_group(clinical, amap_low, amap_high)
    needed = (first != "low").to_numpy()
    if np.isnan(image[needed]).any():
        missing = clinical.index[needed][np.isnan(image[needed])]
        raise DataError(
            f"amap_ct_score, {missing[0]}",
            f"must be given where aMAP is {amap_low:g} or more",
            f"{len(missing)} missing",
            "Compute the score of those patients, or leave them out.",
        )
    second = np.full(clinical.size, NOT_NEEDED, dtype=object)
    second[needed] = risk_groups(image[needed], cutoff)
    final = np.where(second == "high", "high", "low").astype(object)
    return pd.DataFrame({"amap_group": first, "ct_group": second, "final": final}, index=clinical.index)


def stepwise_flows(groups: pd.DataFrame, hcc: ArrayLike) -> pd.DataFrame:
    """Patients and events that flow from aMAP group to CT group to final group.

    Parameters
    ----------
    groups : pandas.DataFrame, shape (n_patients, 3)
        From `stepwise_groups`.
    hcc : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise; a class may be absent.

    Returns
    -------
    pandas.DataFrame
        Columns source, target, n, events; nodes "aMAP low", "aMAP medium", "aMAP high", then "aMAP-CT not needed",
        "aMAP-CT low", "aMAP-CT high", then "Final low", "Final high". Flows of nobody are left out.

    Raises
    ------
    DataError
        If an outcome is not 0 or 1, or the patients do not match.

    References
    ----------
    aMAP-CT, Fig. 4A.
    """
    if isinstance(hcc, pd.Series) and not hcc.index.equals(groups.index):
        raise DataError("hcc", "must have the groups' patients in their order", "another index", "Align the two.")
    outcome = check_binary(hcc, both=False, place="hcc")
    if len(outcome) != len(groups):
        raise DataError("hcc", f"must have {len(groups)} values", len(outcome), "Give one value a patient.")
    steps = (
        ("aMAP", "amap_group", RISK_GROUPS),
        ("aMAP-CT", "ct_group", (NOT_NEEDED, "low", "high")),
        ("Final", "final", ("low", "high")),
    )
    rows = []
    for (source, source_column, sources), (target, target_column, targets) in itertools.pairwise(steps):
        for one in sources:
            for other in targets:
                flow = ((groups[source_column] == one) & (groups[target_column] == other)).to_numpy()
                if flow.any():
                    rows.append((f"{source} {one}", f"{target} {other}", int(flow.sum()), int(outcome[flow].sum())))
    return pd.DataFrame(rows, columns=["source", "target", "n", "events"])
