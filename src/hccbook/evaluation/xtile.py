"""X-tile: the cut-offs that separate risk groups best, and what the search for them costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numba
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hccbook.errors import DataError
from hccbook.evaluation.outcomes import check_binary, check_values
from hccbook.evaluation.risk_groups import midpoints

_EQUAL = 1 - 1e-9
_PERMUTATIONS_A_BLOCK = 64
_MAP_POINTS = 100


@dataclass(frozen=True)
class XTile:
    """Cut-offs that X-tile found.

    Attributes
    ----------
    cuts : tuple of float
        One or two cut-offs, rising; a patient at a cut-off belongs to the higher group.
    statistic : float
        Chi-square at the cut-offs, the greatest of the grid. Its nominal p is not a p-value: it was searched for.
    candidates : numpy.ndarray, shape (n_candidates,)
        All cut-offs tried, rising: midway between neighbouring scores.
    grid : numpy.ndarray, shape (n_candidates, n_candidates), or (n_candidates,) for one cut-off
        Chi-square by lower (row) and upper (column) cut-off; NaN where a group would be too small.
    above : pandas.DataFrame
        One row per candidate: columns cutoff, n, events, expected (events, were the hazard or the rate the same for
        all), each of the patients at or above it. One row more, below all scores, stands first: everybody.
    """

    cuts: tuple[float, ...]
    statistic: float
    candidates: np.ndarray = field(repr=False)
    grid: np.ndarray = field(repr=False)
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


def xtile(
    score: ArrayLike, outcome: ArrayLike, time: ArrayLike | None = None, min_fraction: float = 0.1, n_cuts: int = 2
) -> XTile:
    """Cut-offs that separate risk groups best, over all pairs of cut-offs.

    The chi-square is Pearson's of group against outcome (no continuity correction), or the log-rank's where
    follow-up is given. Of equal maxima the one with the lowest cut-offs is taken. Nothing demands that the
    outcome rises from group to group: see ``above``.

    Parameters
    ----------
    score, outcome : array-like, shape (n_patients,)
        A higher score means a higher risk; 1 for HCC, 0 otherwise, both present.
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
        rule = f"must allow {n_cuts + 1} groups of {min_fraction:.0%} of {y.size} patients or more"
        hint = "Lower min_fraction, or ask for fewer cut-offs."
        raise DataError("score", rule, f"{distinct.size} different scores", hint)
    if months is None:
        grid = _pearson_grid(n_from, events_from, y.size, int(y.sum()), n_cuts)
        expected_from = n_from * y.mean()
    else:
        grid, expected_from = _logrank_grid(y, months, position, events_from, n_cuts)
    grid = np.where(allowed, grid, np.nan)
    greatest = float(np.nanmax(grid))
    # Equal tables reached in another order differ in their last bits.
    chosen = np.argwhere(np.nan_to_num(grid, nan=-1.0) >= greatest * (1 - 1e-12))[0]
    candidates = midpoints(distinct)
    above = pd.DataFrame({"cutoff": np.r_[distinct[0], candidates], "n": np.r_[y.size, n_from]})
    above["events"] = np.r_[y.sum(), events_from].astype(int)
    above["expected"] = np.r_[y.sum(), expected_from].astype(float)
    return XTile(tuple(candidates[chosen].tolist()), greatest, candidates, grid, above)


def _checked(
    score: ArrayLike, outcome: ArrayLike, time: ArrayLike | None, min_fraction: float, n_cuts: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    y = check_binary(outcome)
    values = check_values(score, y, outcome)
    if n_cuts not in (1, 2):
        raise DataError("n_cuts", "must be 1 or 2", n_cuts, "Choose one of them.")
    if not 0 < min_fraction <= 1 / (n_cuts + 1):
        rule = f"must be above 0, at most {1 / (n_cuts + 1):.2g}"
        raise DataError("min_fraction", rule, min_fraction, "Give 0.05 to 0.1.")
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


def _logrank_grid(
    y: np.ndarray, months: np.ndarray, position: np.ndarray, events_from: np.ndarray, n_cuts: int
) -> tuple[np.ndarray, np.ndarray]:
    """Log-rank chi-square of 2 or 3 groups, for all candidates at once, and the events expected above each.

    With A the patients at or above the lower cut-off and B those at or above the upper one, the statistic is the
    quadratic form of their surplus events, and the covariance of A and B at one event time is c b (1 - a), where a and
    b are their shares of those at risk. lifelines' test takes 15 ms a pair, of which there may be millions.
    """
    times, events = np.unique(months[y == 1], return_counts=True)
    reached = np.searchsorted(times, months, side="right")
    leaving = np.zeros((events_from.size + 1, times.size + 1))
    np.add.at(leaving, (position, reached), 1)
    # At risk at a time are those who reach it or a later one; above a candidate those of a later score.
    still = leaving[::-1, ::-1].cumsum(axis=1).cumsum(axis=0)[::-1, ::-1][:, 1:]
    at_risk, share = still[0], still[1:] / still[0]
    expected = share @ events
    surplus = events_from - expected
    # Hypergeometric variance of the events at each time, but for the shares.
    factor = events * (at_risk - events) / np.maximum(at_risk - 1, 1)
    variance = (share * (1 - share)) @ factor
    if n_cuts == 1:
        return np.divide(surplus**2, variance, out=np.zeros(surplus.size), where=variance > 1e-12), expected
    covariance = ((1 - share) * factor) @ share.T
    determinant = variance[:, None] * variance[None, :] - covariance**2
    form = (
        surplus[:, None] ** 2 * variance[None, :]
        - 2 * surplus[:, None] * surplus[None, :] * covariance
        + surplus[None, :] ** 2 * variance[:, None]
    )
    # One of the three groups was never at risk when somebody had HCC: the pair says no more than one cut-off.
    return np.divide(form, determinant, out=np.zeros_like(form), where=determinant > 1e-10), expected


def xtile_map(result: XTile) -> pd.DataFrame:
    """The chi-square of every pair of cut-offs, as X-tile's triangle shows it.

    Parameters
    ----------
    result : XTile
        Result for two cut-offs.

    Returns
    -------
    pandas.DataFrame
        At most 100 cut-offs an axis, evenly spread over the patients, and the chosen pair. Columns lower, upper
        (cut-offs), low_share, high_share (of the patients below the lower and at or above the upper), chi2, rising
        (whether the high group has more HCC, for what is expected, than the low one). Pairs that leave a group too
        small are left out.

    Raises
    ------
    DataError
        If the result is for one cut-off.

    References
    ----------
    Camp et al. 2004, Clin Cancer Res 10:7252, Fig. 1. ALARM, Figure S16.
    """
    if result.grid.ndim != 2:
        raise DataError("X-tile", "must have two cut-offs for a map", "one", "Run xtile with n_cuts=2.")
    everybody = result.above.iloc[0]
    n, events, expected = (result.above[name].to_numpy()[1:] for name in ("n", "events", "expected"))
    chosen = np.searchsorted(result.candidates, result.cuts)
    wanted = np.linspace(everybody["n"], 0, _MAP_POINTS + 2)[1:-1]
    nearest = np.abs(n[:, None] - wanted[None, :]).argmin(axis=0)
    shown = np.unique(np.r_[nearest, chosen])
    lower, upper = (axis.ravel() for axis in np.meshgrid(shown, shown, indexing="ij"))
    drawn = np.isfinite(result.grid[lower, upper])
    lower, upper = lower[drawn], upper[drawn]
    low_observed, low_expected = everybody["events"] - events[lower], everybody["expected"] - expected[lower]
    cuts = {"lower": result.candidates[lower], "upper": result.candidates[upper]}
    shares = {"low_share": 1 - n[lower] / everybody["n"], "high_share": n[upper] / everybody["n"]}
    rising = events[upper] * low_expected > low_observed * expected[upper]
    return pd.DataFrame({**cuts, **shares, "chi2": result.grid[lower, upper], "rising": rising})


def xtile_permutation(
    score: ArrayLike, outcome: ArrayLike, min_fraction: float = 0.1, permutations: int = 999, seed: int = 0
) -> XTilePermutation:
    """p-value of X-tile's maximum over pairs of cut-offs: the search is repeated on outcomes dealt out anew.

    Each permutation gives the outcomes to other patients and takes the greatest chi-square over all pairs of
    cut-offs, so that the search itself is paid for. Where the score was fitted to these very outcomes, the p-value
    speaks of the cut-offs alone, not of the score.

    Parameters
    ----------
    score, outcome, min_fraction
        As `xtile`.
    permutations, seed : int
        Permutations, the least p being ``1 / (1 + permutations)``; their seed.

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
    statistic = xtile(score, outcome, min_fraction=min_fraction).statistic
    if permutations < 1:
        raise DataError("permutations", "must be 1 or more", permutations, "Give 999.")
    y = check_binary(outcome)
    _, position = np.unique(np.asarray(score, dtype=float), return_inverse=True)
    n_distinct, least = int(position.max()) + 1, int(np.ceil(min_fraction * y.size - 1e-9))
    n_from, _ = _counts_from(position, n_distinct, y)
    rng = np.random.default_rng(seed)
    maxima = []
    for start in range(0, permutations, _PERMUTATIONS_A_BLOCK):
        rows = np.arange(min(_PERMUTATIONS_A_BLOCK, permutations - start))[:, None]
        # A row holds the patients who get the outcomes, in their order.
        patients = rng.permuted(np.tile(np.arange(y.size), (rows.size, 1)), axis=1)
        with_hcc = position[patients[:, y == 1]] + n_distinct * rows
        counts = np.bincount(with_hcc.ravel(), minlength=n_distinct * rows.size).reshape(rows.size, n_distinct)
        events_from = (y.sum() - counts.cumsum(axis=1)[:, :-1]).astype(np.float64)
        maxima.append(_greatest_chi_square(events_from, n_from, y.size, int(y.sum()), least))
    maxima = np.concatenate(maxima)
    reached = int((maxima >= statistic * _EQUAL).sum())
    return XTilePermutation((1 + reached) / (1 + permutations), statistic, maxima)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _greatest_chi_square(events_from, n_from, n, events, least):
    """Greatest Pearson chi-square over all pairs of cut-offs, for each row of events at or above the candidates.

    Compiled: 999 permutations of 2,000 patients take seconds, and with scipy's chi-square, a fraction of a
    millisecond at each of two million pairs, days.
    """
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
