"""Cut-offs and risk groups: X-tile, Youden, and aMAP to aMAP-CT step by step."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import numba
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import norm

from hccbook.errors import DataError
from hccbook.evaluation.diagnostic import wilson_interval
from hccbook.evaluation.outcomes import check_binary, check_values
from hccbook.scores import RISK_GROUPS, amap_group

NOT_NEEDED = "not needed"
"""CT group of patients whom aMAP already calls low-risk."""

MANAGEMENT: Mapping[str, str] = MappingProxyType(
    {
        "low": "Screening every 6 months",
        "medium": "Repeat CT at short intervals, about every 3 to 6 months",
        "high": "MRI or biopsy at once, to find out what the lesion is",
    }
)
"""What ALARM recommends by risk group (Discussion); proposals that no trial has tested, as it says itself."""

WARNING_MONTHS = (6.0, 9.0)
"""Months that part ALARM's lead times: below 6, 6 to below 9, 9 and more."""

_EQUAL = 1 - 1e-9
_PERMUTATIONS_A_BLOCK = 64


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
    above : pandas.DataFrame
        A row a candidate: columns cutoff, n, events, expected (events, were the hazard or the rate the same for
        all), each of the patients at or above it. One row more, below all scores, stands first: everybody.
    """

    cuts: tuple[float, ...]
    statistic: float
    kind: str
    candidates: np.ndarray = field(repr=False)
    grid: np.ndarray = field(repr=False)
    groups: pd.DataFrame = field(repr=False)
    above: pd.DataFrame = field(repr=False)


class XTilePermutation(NamedTuple):
    """How often chance alone gives a chi-square as great as X-tile's.

    Attributes
    ----------
    p : float
        ``(1 + permutations that reach the statistic) / (1 + permutations)``.
    statistic : float
        Greatest chi-square of the data.
    maxima : numpy.ndarray, shape (n_permutations,)
        Greatest chi-square of each permutation.
    """

    p: float
    statistic: float
    maxima: np.ndarray


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
    y, values, months = _checked(score, outcome, time, min_fraction, n_cuts)
    distinct, position = np.unique(values, return_inverse=True)
    n_from, events_from = _counts_from(position, distinct.size, y)
    allowed = _allowed(n_from, y.size, min_fraction, n_cuts)
    if not allowed.any():
        raise DataError(
            "score",
            f"must allow {n_cuts + 1} groups of {min_fraction:.0%} of {y.size} patients or more",
            f"{distinct.size} different scores",
            "Lower min_fraction, or ask for fewer cut-offs.",
        )
    if months is None:
        grid = _pearson_grid(n_from, events_from, y.size, int(y.sum()), n_cuts)
        expected_from = n_from * y.mean()
    else:
        follow_up = _FollowUp.of(y, months)
        share = follow_up.share_from(position, distinct.size)
        expected_from = share @ follow_up.events
        grid = _logrank_grid(share, events_from, follow_up, n_cuts)
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
    above = pd.DataFrame(
        {
            "cutoff": np.r_[distinct[0], candidates],
            "n": np.r_[y.size, n_from],
            "events": np.r_[y.sum(), events_from].astype(int),
            "expected": np.r_[y.sum(), expected_from].astype(float),
        }
    )
    return XTile(cuts, greatest, "pearson" if months is None else "logrank", candidates, grid, groups, above)


def _checked(
    score: ArrayLike, outcome: ArrayLike, time: ArrayLike | None, min_fraction: float, n_cuts: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    y = check_binary(outcome)
    values = check_values(score, y, outcome)
    if n_cuts not in (1, 2):
        raise DataError("n_cuts", "must be 1 or 2", n_cuts, "Choose one of them.")
    if not 0 < min_fraction <= 1 / (n_cuts + 1):
        raise DataError(
            "min_fraction", f"must be above 0, at most {1 / (n_cuts + 1):.2g}", min_fraction, "Give 0.05 to 0.1."
        )
    if time is None:
        return y, values, None
    months = check_values(time, y, outcome, "time")
    if months.min() < 0:
        raise DataError("time", "must be months, 0 or more", f"{months.min():g}", "Correct the follow-up.")
    return y, values, months


def _counts_from(position: np.ndarray, n_distinct: int, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Patients and events at or above each candidate; the k-th lies above the k-th distinct score."""
    n_from = y.size - np.bincount(position, minlength=n_distinct).cumsum()[:-1]
    events_from = y.sum() - np.bincount(position, weights=y, minlength=n_distinct).cumsum()[:-1]
    return n_from, events_from


def _allowed(n_from: np.ndarray, n: int, min_fraction: float, n_cuts: int) -> np.ndarray:
    """Which cut-offs, or pairs of them, leave every group large enough."""
    least = min_fraction * n - 1e-9
    if n_cuts == 1:
        return (n_from >= least) & (n - n_from >= least)
    return (
        (n_from[None, :] >= least)
        & (n_from[:, None] - n_from[None, :] >= least)
        & (n - n_from[:, None] >= least)
        & np.triu(np.ones((n_from.size, n_from.size), dtype=bool), k=1)
    )


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


class _FollowUp(NamedTuple):
    """What the log-rank statistic needs of the follow-up: it stays when scores are permuted."""

    reached: np.ndarray  # event times that each patient is at risk at: so many from the first
    events: np.ndarray  # at each event time
    at_risk: np.ndarray

    @classmethod
    def of(cls, y: np.ndarray, months: np.ndarray) -> _FollowUp:
        times, events = np.unique(months[y == 1], return_counts=True)
        reached = np.searchsorted(times, months, side="right")
        return cls(reached, events, (reached[:, None] > np.arange(times.size)[None, :]).sum(axis=0))

    @property
    def weight(self) -> np.ndarray:
        """Hypergeometric variance of the events at each time, but for the shares."""
        return self.events * (self.at_risk - self.events) / np.maximum(self.at_risk - 1, 1)

    def share_from(self, position: np.ndarray, n_distinct: int) -> np.ndarray:
        """Share of those at risk at each event time who are at or above each candidate."""
        leaving = np.zeros((n_distinct, self.events.size + 1))
        np.add.at(leaving, (position, self.reached), 1)
        # At risk at a time are those who reach it or a later one; above a candidate those of a later score.
        still = leaving[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
        return still[::-1].cumsum(axis=0)[::-1][1:] / self.at_risk


def _logrank_grid(share: np.ndarray, events_from: np.ndarray, follow_up: _FollowUp, n_cuts: int) -> np.ndarray:
    """Log-rank chi-square of 2 or 3 groups, for all candidates at once.

    With A the patients at or above the lower cut-off and B those at or above the upper one, the statistic is the
    quadratic form of their surplus events, and the covariance of A and B at one event time is c b (1 - a), where
    a and b are their shares of those at risk.
    """
    surplus = events_from - share @ follow_up.events
    factor = follow_up.weight
    variance = (share * (1 - share)) @ factor
    if n_cuts == 1:
        return np.divide(surplus**2, variance, out=np.zeros(surplus.size), where=variance > 1e-12)
    covariance = ((1 - share) * factor) @ share.T
    determinant = variance[:, None] * variance[None, :] - covariance**2
    form = (
        surplus[:, None] ** 2 * variance[None, :]
        - 2 * surplus[:, None] * surplus[None, :] * covariance
        + surplus[None, :] ** 2 * variance[:, None]
    )
    # One of the three groups was never at risk when somebody had HCC: the pair says no more than one cut-off.
    return np.divide(form, determinant, out=np.zeros_like(form), where=determinant > 1e-10)


def xtile_map(found: XTile, points: int = 100) -> pd.DataFrame:
    """The chi-square of every pair of cut-offs, as X-tile's triangle shows it.

    Parameters
    ----------
    found : XTile
        Result for two cut-offs.
    points : int
        At most so many cut-offs, evenly spread over the patients; the chosen pair is always among them.

    Returns
    -------
    pandas.DataFrame
        Columns lower, upper (cut-offs), low_share, high_share (of the patients below the lower and at or above the
        upper), chi2, rising (whether the high group has more HCC, for what is expected, than the low one). Pairs
        that leave a group too small are left out.

    Raises
    ------
    DataError
        If the result is for one cut-off, or `points` is below 2.

    References
    ----------
    Camp et al. 2004, Clin Cancer Res 10:7252, Fig. 1. ALARM, Figure S16.
    """
    if found.grid.ndim != 2:
        raise DataError("X-tile", "must have two cut-offs for a map", "one", "Run xtile with n_cuts=2.")
    if points < 2:
        raise DataError("points", "must be 2 or more", points, "Give 100.")
    everybody = found.above.iloc[0]
    n, events, expected = (found.above[name].to_numpy()[1:] for name in ("n", "events", "expected"))
    chosen = np.searchsorted(found.candidates, found.cuts)
    wanted = np.linspace(everybody["n"], 0, points + 2)[1:-1]
    nearest = np.abs(n[:, None] - wanted[None, :]).argmin(axis=0)
    shown = np.unique(np.r_[nearest, chosen])
    lower, upper = (axis.ravel() for axis in np.meshgrid(shown, shown, indexing="ij"))
    drawn = np.isfinite(found.grid[lower, upper])
    lower, upper = lower[drawn], upper[drawn]
    low_observed, low_expected = everybody["events"] - events[lower], everybody["expected"] - expected[lower]
    return pd.DataFrame(
        {
            "lower": found.candidates[lower],
            "upper": found.candidates[upper],
            "low_share": 1 - n[lower] / everybody["n"],
            "high_share": n[upper] / everybody["n"],
            "chi2": found.grid[lower, upper],
            "rising": events[upper] * low_expected > low_observed * expected[upper],
        }
    )


def xtile_permutation(
    score: ArrayLike,
    outcome: ArrayLike,
    time: ArrayLike | None = None,
    min_fraction: float = 0.1,
    n_cuts: int = 2,
    permutations: int = 999,
    seed: int = 0,
) -> XTilePermutation:
    """p-value of X-tile's maximum: the search is repeated on outcomes dealt out anew.

    Each permutation gives the outcomes (with their follow-up) to other patients and takes the greatest chi-square
    over all cut-offs, so that the search itself is paid for. Where the score was fitted to these very outcomes, the
    p-value speaks of the cut-offs alone, not of the score.

    Parameters
    ----------
    score, outcome, time, min_fraction, n_cuts
        As `xtile`.
    permutations : int
        Permutations; the least p is ``1 / (1 + permutations)``.
    seed : int
        Seed of the permutations.

    Returns
    -------
    XTilePermutation

    Raises
    ------
    DataError
        As `xtile`, or if `permutations` is below 1.

    References
    ----------
    Hilsenbeck and Clark 1996, Stat Med 15:103; Phipson and Smyth 2010, Stat Appl Genet Mol Biol 9:39 (the 1 added).
    """
    y, values, months = _checked(score, outcome, time, min_fraction, n_cuts)
    if permutations < 1:
        raise DataError("permutations", "must be 1 or more", permutations, "Give 999.")
    distinct, position = np.unique(values, return_inverse=True)
    n_from, _ = _counts_from(position, distinct.size, y)
    allowed = _allowed(n_from, y.size, min_fraction, n_cuts)
    statistic = xtile(score, outcome, time, min_fraction, n_cuts).statistic
    greatest = _greatest_chi_square(y, months, position, n_from, allowed, min_fraction, n_cuts)
    rng = np.random.default_rng(seed)
    maxima = np.concatenate(
        [
            greatest(rng.permuted(np.tile(np.arange(y.size), (size, 1)), axis=1))
            for size in _blocks(permutations, _PERMUTATIONS_A_BLOCK)
        ]
    )
    reached = int((maxima >= statistic * _EQUAL).sum())
    return XTilePermutation((1 + reached) / (1 + permutations), statistic, maxima)


def _blocks(total: int, size: int) -> list[int]:
    return [min(size, total - start) for start in range(0, total, size)]


def _greatest_chi_square(
    y: np.ndarray,
    months: np.ndarray | None,
    position: np.ndarray,
    n_from: np.ndarray,
    allowed: np.ndarray,
    min_fraction: float,
    n_cuts: int,
) -> Callable[[np.ndarray], np.ndarray]:
    """Function that gives the greatest chi-square of each row of patients, who get the outcomes in order."""
    n_distinct, events = n_from.size + 1, int(y.sum())
    if months is not None:
        follow_up = _FollowUp.of(y, months)

        def of_follow_up(order: np.ndarray) -> np.ndarray:
            maxima = []
            for row in position[order]:
                _, events_from = _counts_from(row, n_distinct, y)
                grid = _logrank_grid(follow_up.share_from(row, n_distinct), events_from, follow_up, n_cuts)
                maxima.append(grid[allowed].max())
            return np.array(maxima)

        return of_follow_up

    def events_above(order: np.ndarray) -> np.ndarray:
        with_hcc = position[order[:, y == 1]] + n_distinct * np.arange(len(order))[:, None]
        counts = np.bincount(with_hcc.ravel(), minlength=n_distinct * len(order)).reshape(len(order), n_distinct)
        return events - counts.cumsum(axis=1)[:, :-1]

    if n_cuts == 1:

        def of_one_cut(order: np.ndarray) -> np.ndarray:
            surplus = events_above(order)[:, allowed] - n_from[allowed] * y.mean()
            scale = 1 / n_from[allowed] + 1 / (y.size - n_from[allowed])
            return (surplus**2 * scale).max(axis=1) / (y.mean() * (1 - y.mean()))

        return of_one_cut
    least = int(np.ceil(min_fraction * y.size - 1e-9))

    def of_two_cuts(order: np.ndarray) -> np.ndarray:
        return _greatest_pearson(events_above(order).astype(np.float64), n_from, y.size, events, least)

    return of_two_cuts


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _greatest_pearson(events_from, n_from, n, events, least):
    """Greatest Pearson chi-square over all pairs of cut-offs, for each row of events at or above the candidates."""
    rate = events / n
    candidates = n_from.size
    per_patient = np.empty(n + 1)
    for size in range(1, n + 1):
        per_patient[size] = 1.0 / size
    greatest = np.zeros(events_from.shape[0])
    high = np.empty(candidates)
    surplus = np.empty(candidates)
    for row in range(events_from.shape[0]):
        for one in range(candidates):
            surplus[one] = events_from[row, one] - n_from[one] * rate
            high[one] = surplus[one] ** 2 * per_patient[n_from[one]]
        best = 0.0
        for lower in range(candidates):
            below = n - n_from[lower]
            if below < least:
                continue
            low = surplus[lower] ** 2 * per_patient[below]
            for upper in range(lower + 1, candidates):
                if n_from[upper] < least:
                    break
                between = n_from[lower] - n_from[upper]
                if between < least:
                    continue
                value = low + high[upper] + (surplus[lower] - surplus[upper]) ** 2 * per_patient[between]
                if value > best:
                    best = value
        greatest[row] = best / (rate * (1.0 - rate))
    return greatest


def miller_siegmund_p(p_least: float, min_fraction: float) -> float:
    """p-value of the best of all single cut-offs, from its nominal p.

    ``phi(z) (z - 1/z) ln[(1 - e)^2 / e^2] + 4 phi(z) / z``, with z the normal quantile of 1 - p/2: an approximation
    for large cohorts and nominal p-values below about 0.1.

    Parameters
    ----------
    p_least : float
        Least nominal p of the cut-offs searched, with 1 degree of freedom; above 0, below 1.
    min_fraction : float
        Least share of the patients on each side that was searched, e; above 0, below 0.5.

    Returns
    -------
    float
        No less than `p_least`, at most 1.

    Raises
    ------
    DataError
        If a value is out of range.

    References
    ----------
    Miller and Siegmund 1982, Biometrics 38:1011; Altman et al. 1994, J Natl Cancer Inst 86:829.
    """
    if not 0 < p_least < 1:
        raise DataError("p_least", "must be above 0 and below 1", p_least, "Give the nominal p of the best cut-off.")
    if not 0 < min_fraction < 0.5:
        raise DataError("min_fraction", "must be above 0 and below 0.5", min_fraction, "Give 0.05 to 0.1.")
    z = norm.isf(p_least / 2)
    searched = 2 * np.log((1 - min_fraction) / min_fraction)
    p = norm.pdf(z) * ((z - 1 / z) * searched + 4 / z)
    return float(min(max(p, p_least), 1.0))


def lead_times(
    months: ArrayLike, hcc: ArrayLike, score: ArrayLike, cutoff: float, bounds: Sequence[float] = WARNING_MONTHS
) -> pd.DataFrame:
    """How long before the diagnosis patients with HCC were warned, by a score at or above a cut-off.

    Parameters
    ----------
    months : array-like, shape (n_patients,)
        From the CT to the diagnosis, for patients with HCC.
    hcc : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    score : array-like, shape (n_patients,)
        A higher value means a higher risk.
    cutoff : float
        Score at or above which a patient is warned.
    bounds : sequence of float
        Months that part the classes, rising; a lead time at a bound belongs to the longer class.

    Returns
    -------
    pandas.DataFrame
        Columns lead_time ("all", then a row a class), n (warned), share (of the warned), mean_months; NaN in share
        and mean where nobody was warned, with a note in the column note.

    Raises
    ------
    DataError
        If a value is missing, the bounds do not rise, or the patients differ.

    References
    ----------
    ALARM, Results, Risk stratification: 7.2 months on average; 33.3, 32.1 and 34.5 % of those warned.
    """
    happened = check_binary(hcc, both=False, place="hcc")
    time, values = check_values(months, happened, hcc, "months"), check_values(score, happened, hcc)
    edges = [float(bound) for bound in bounds]
    if not edges or edges != sorted(set(edges)):
        raise DataError("bounds", "must rise", list(bounds), "Give, for example, (6, 9).")
    warned = time[(happened == 1) & (values >= cutoff)]
    names = [f"below {edges[0]:g} months"]
    names += [f"{low:g} to below {high:g} months" for low, high in itertools.pairwise(edges)]
    names.append(f"{edges[-1]:g} months or more")
    part = np.searchsorted(edges, warned, side="right")
    rows = []
    for name, chosen in (("all", np.ones(warned.size, dtype=bool)), *((n, part == k) for k, n in enumerate(names))):
        own = warned[chosen]
        share = own.size / warned.size if warned.size else float("nan")
        mean = float(own.mean()) if own.size else float("nan")
        rows.append((name, own.size, share, mean, "" if own.size else "nobody"))
    return pd.DataFrame(rows, columns=["lead_time", "n", "share", "mean_months", "note"])


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
    """AMAP first, then aMAP-CT for those whom aMAP does not call low-risk.

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


AGE_BOUNDS = (45.0, 55.0)
"""Years that part the ages in aMAP-CT's Table 3, as its signs say: up to 45, above 45 and below 55, 55 and more."""


def amap_ct_subgroups(clinical: pd.DataFrame, amap_low: float = 50.0, amap_high: float = 60.0) -> pd.DataFrame:
    """Subgroup of every patient by sex, age and aMAP class, as aMAP-CT's Table 3 has them.

    Parameters
    ----------
    clinical : pandas.DataFrame, shape (n_patients, n_columns)
        Columns sex ("male", "female"), age (years) and amap.
    amap_low, amap_high : float
        aMAP is low below the first, high above the second, medium from the one to the other.

    Returns
    -------
    pandas.DataFrame, shape (n_patients, 3)
        Categorical columns sex, age and amap_group.

    Raises
    ------
    DataError
        If a column is absent, a sex is something else, or an age or aMAP is missing.

    References
    ----------
    aMAP-CT, Table 3. It prints "45-55" between the other two ages; to which group somebody of exactly 45 or 55
    belongs follows from the other two signs.
    """
    absent = [name for name in ("sex", "age", "amap") if name not in clinical]
    if absent:
        raise DataError("clinical table", f"must have a column {absent[0]!r}", "none", "Give the cohort stage's table.")
    strange = set(clinical["sex"]) - {"male", "female"}
    if strange:
        raise DataError("sex", "must be male or female", ", ".join(map(str, sorted(strange, key=str))), "Correct it.")
    age = clinical["age"].to_numpy(dtype=float)
    if not np.isfinite(age).all():
        raise DataError("age", "must not be missing", f"{int((~np.isfinite(age)).sum())} missing", "Fill it in.")
    young, old = AGE_BOUNDS
    bands = [f"≤{young:g}", f"{young:g}–{old:g}", f"≥{old:g}"]
    return pd.DataFrame(
        {
            "sex": pd.Categorical(clinical["sex"].map({"male": "Males", "female": "Females"}), ["Males", "Females"]),
            "age": pd.Categorical.from_codes(np.where(age <= young, 0, np.where(age < old, 1, 2)), bands),
            "amap_group": pd.Categorical(amap_group(clinical["amap"], amap_low, amap_high), RISK_GROUPS),
        },
        index=clinical.index,
    )


def stepwise_tradeoff(
    amap: ArrayLike,
    amap_ct_score: ArrayLike,
    hcc: ArrayLike,
    amap_cutoffs: Sequence[float],
    ct_cutoffs: Sequence[float],
    cohort: str = "",
    level: float = 0.95,
) -> pd.DataFrame:
    """CTs that the stepwise strategy spares against the cancers that it misses, over a range of both cut-offs.

    A patient whose aMAP is below the first cut-off gets no CT score and counts as low-risk; of the others, those
    whose aMAP-CT score is below the second count as low-risk too. A cancer is missed when its patient counts as
    low-risk. Outcomes are those of the follow-up as it is: HCC that came after its end is not seen.

    Parameters
    ----------
    amap : array-like, shape (n_patients,)
        aMAP score.
    amap_ct_score : array-like, shape (n_patients,)
        aMAP-CT score or probability, known for everybody: the strategy that gives a CT score to all is compared.
    hcc : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    amap_cutoffs : sequence of float
        aMAP below which no CT score is made; 0 or less spares nobody.
    ct_cutoffs : sequence of float
        aMAP-CT scores from which a patient is high-risk.
    cohort : str
        Name to put into the table.
    level : float
        Confidence level; Wilson intervals, each of one share at one pair of cut-offs.

    Returns
    -------
    pandas.DataFrame
        A row a pair of cut-offs. Columns cohort, amap_cutoff, ct_cutoff, n, events, spared (patients without a CT
        score), spared_share, spared_lower, spared_upper, missed_by_amap (HCC among the spared), missed_by_ct (HCC
        with a low aMAP-CT score among the others), missed (both), missed_share, missed_lower, missed_upper (of all
        HCC), lost (HCC that a CT score for everybody would have called high-risk and the stepwise strategy does
        not), lost_share, lost_lower, lost_upper, high (patients in the high-risk group), high_share, ppv. Without
        HCC the shares of HCC are NaN with the interval 0 to 1; without a high-risk group ppv is NaN.

    Raises
    ------
    DataError
        If a value is missing, an outcome is not 0 or 1, a list of cut-offs is empty, or the patients differ.
    """
    outcome = check_binary(hcc, both=False, place="hcc")
    clinical, image = check_values(amap, outcome, hcc, "amap"), check_values(amap_ct_score, outcome, hcc, "score")
    if not len(amap_cutoffs) or not len(ct_cutoffs):
        raise DataError("cut-offs", "must be one or more of each", "none", "Give, for example, (45, 50, 55).")
    events, n = int(outcome.sum()), outcome.size
    happened = outcome == 1
    rows = []
    for ct_cutoff in ct_cutoffs:
        flagged = image >= ct_cutoff
        for amap_cutoff in amap_cutoffs:
            spared = clinical < amap_cutoff
            high = ~spared & flagged
            by_amap, by_ct = int((spared & happened).sum()), int((~spared & ~flagged & happened).sum())
            lost = int((spared & flagged & happened).sum())
            row = [cohort, float(amap_cutoff), float(ct_cutoff), n, events]
            row += _share(int(spared.sum()), n, level)
            row += [by_amap, by_ct, *_share(by_amap + by_ct, events, level), *_share(lost, events, level)]
            row += [int(high.sum()), high.mean(), happened[high].mean() if high.any() else np.nan]
            rows.append(row)
    shares = [[name, f"{name}_share", f"{name}_lower", f"{name}_upper"] for name in ("spared", "missed", "lost")]
    columns = ["cohort", "amap_cutoff", "ct_cutoff", "n", "events", *shares[0], "missed_by_amap", "missed_by_ct"]
    return pd.DataFrame(rows, columns=[*columns, *shares[1], *shares[2], "high", "high_share", "ppv"])


def _share(count: int, total: int, level: float) -> list[float]:
    lower, upper = wilson_interval(count, total, level)
    return [count, count / total if total else float("nan"), float(lower), float(upper)]
