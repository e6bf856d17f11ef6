"""p-values recomputed from counts, and bounded from medians and quartiles."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import chi2, chi2_contingency, fisher_exact, norm

from hccbook.audit.findings import CERTAIN, IMPLIED, CheckResult, Discrepancy
from hccbook.audit.printed import Quartiles, Range
from hccbook.errors import DataError

CHECK = "p_values"

PEARSON = "chi-square"
YATES = "chi-square with Yates' correction"
FISHER = "Fisher's exact test"

_SLACK = 0.35
"""Standard errors that a z may be off Wald's, whatever the rounding."""

_LEAST_GAP = 1.0
"""Standard errors by which a printed p must miss every reading of the quartiles before it counts as a finding."""


def count_p_values(counts: Sequence[Sequence[int]]) -> dict[str, float]:
    """p-values of a table of counts by every test that a paper may mean.

    Parameters
    ----------
    counts : sequence of sequence of int, shape (n_groups, n_categories)
        People; empty categories are left out.

    Returns
    -------
    dict of str to float
        Pearson's chi-square; of a 2x2 table also with Yates' correction, and Fisher's exact test.

    Raises
    ------
    DataError
        If fewer than two groups or two categories hold anybody.
    """
    table = np.asarray(counts, dtype=int)
    table = table[:, table.sum(axis=0) > 0]
    if table.ndim != 2 or min(table.shape) < 2 or (table.sum(axis=1) == 0).any():
        raise DataError("counts", "must have two groups and two categories with people", counts, "Leave it out.")
    by_test = {PEARSON: float(chi2_contingency(table, correction=False).pvalue)}
    if table.shape == (2, 2):
        by_test[YATES] = float(chi2_contingency(table, correction=True).pvalue)
        by_test[FISHER] = float(fisher_exact(table).pvalue)
    return by_test


def from_counts(
    cell: str, printed: Range, counts: Sequence[Sequence[int]], tests: Sequence[str] | None = None
) -> CheckResult:
    """Whether a printed p-value is that of the printed counts.

    Parameters
    ----------
    cell : str
        Where it stands.
    printed : Range
        Printed p-value.
    counts : sequence of sequence of int, shape (n_groups, n_categories)
    tests : sequence of str, optional
        Of `count_p_values`, those that may have been used; any when left out.

    Returns
    -------
    CheckResult
        One comparison.
    """
    by_test = {name: p for name, p in count_p_values(counts).items() if tests is None or name in tests}
    shown = ", ".join(f"{name} {p_text(p)}" for name, p in by_test.items())
    groups = " against ".join("/".join(map(str, row)) for row in counts)
    arithmetic = f"{groups} people: {shown}; printed {printed}"
    otherwise = Discrepancy(CHECK, cell, f"p {printed}", f"p {shown}", arithmetic)
    reproduced = any(printed.holds(p) for p in by_test.values())
    return CheckResult.of_one(reproduced, "p-value against its counts", otherwise)


def p_text(p: float) -> str:
    """A p-value for the arithmetic: two digits, and no more than it is worth below 1e-20."""
    return "below 1e-20" if p < 1e-20 else f"{p:.2g}"


def commonest_test(cells: Sequence[tuple[Range, Sequence[Sequence[int]]]]) -> str | None:
    """The test that reproduces most printed p-values of a table; None where none reproduces any."""
    votes = Counter(name for printed, counts in cells for name, p in count_p_values(counts).items() if printed.holds(p))
    return votes.most_common(1)[0][0] if votes else None


def _quarter_edges(quartiles: Quartiles) -> list[tuple[float, float]]:
    """Widest interval of each quarter of a group, rounding included."""
    lower, middle, upper = quartiles
    return [(-math.inf, lower.high), (lower.low, middle.high), (middle.low, upper.high), (upper.low, math.inf)]


def superiority_bounds(first: Quartiles, second: Quartiles) -> Range:
    """Least and greatest probability that a member of `second` exceeds one of `first`, from quartiles alone.

    Each quarter of a group lies between its printed quartiles and anywhere between: two quarters that do not
    overlap are decided, all others may fall either way. Nothing else is assumed.

    Parameters
    ----------
    first, second : Quartiles

    Returns
    -------
    Range
        Of ``P(second > first) + P(equal) / 2``, the AUC of the Mann-Whitney test.
    """
    least = greatest = 0.0
    for (a_low, a_high), (b_low, b_high) in itertools.product(_quarter_edges(first), _quarter_edges(second)):
        least += (b_low > a_high) / 16
        greatest += (b_high > a_low) / 16
    return Range(least, greatest)


def greatest_kruskal_wallis_p(groups: Sequence[tuple[int, Quartiles]]) -> float:
    """Greatest p that the Kruskal-Wallis test can give for groups with these quartiles.

    The mean rank of group j departs from the middle by ``Σ_k n_k (P_jk - 1/2)``, P_jk being bounded by
    `superiority_bounds`; the least departure of every group gives the least
    ``H = 12 / (N(N+1)) Σ n_j d_j²``. Ties only raise H.

    Parameters
    ----------
    groups : sequence of (n, Quartiles)

    Returns
    -------
    float
        A printed p above this is impossible; 1 where the quartiles rule nothing out.

    References
    ----------
    Kruskal and Wallis 1952, J Am Stat Assoc 47:583.
    """
    whole = sum(n for n, _ in groups)
    statistic = 0.0
    for j, (n, quartiles) in enumerate(groups):
        low = high = 0.0
        for m, other in (*groups[:j], *groups[j + 1 :]):
            bounds = superiority_bounds(other, quartiles)
            # A quarter of m people is a whole number of them only within one person.
            slack = min(0.5, 1 / m + 1 / n)
            low += m * (bounds.low - slack - 0.5)
            high += m * (bounds.high + slack - 0.5)
        statistic += n * max(low, -high, 0.0) ** 2
    return float(chi2.sf(12 / (whole * (whole + 1)) * statistic, len(groups) - 1))


PLACES = (np.arange(400) + 0.5) / 400
"""Evenly spaced quantiles at which a reading gives values."""

_NORMAL = norm.ppf(PLACES)


def _straight(lower: float, middle: float, upper: float) -> np.ndarray:
    left, right = middle - lower, upper - middle
    return np.interp(PLACES, [0, 0.25, 0.5, 0.75, 1], [lower - left, lower, middle, upper, upper + right])


def _long_tailed(lower: float, middle: float, upper: float) -> np.ndarray:
    inside = np.interp(PLACES, [0.25, 0.5, 0.75], [lower, middle, upper])
    below = lower + (middle - lower) * np.log2(PLACES / 0.25)
    above = upper - (upper - middle) * np.log2((1 - PLACES) / 0.25)
    return np.where(PLACES < 0.25, below, np.where(PLACES > 0.75, above, inside))


def _normal(lower: float, middle: float, upper: float) -> np.ndarray:
    return middle + (upper - lower) / (2 * norm.ppf(0.75)) * _NORMAL


def _split_normal(lower: float, middle: float, upper: float) -> np.ndarray:
    return middle + np.where(_NORMAL < 0, middle - lower, upper - middle) / norm.ppf(0.75) * _NORMAL


READINGS: dict[str, Callable[[float, float, float], np.ndarray]] = {
    "straight between the quartiles, short tails": _straight,
    "straight between the quartiles, exponential tails": _long_tailed,
    "normal": _normal,
    "two half-normals": _split_normal,
}
"""How values may lie around printed quartiles; each gives 400 evenly spaced quantiles."""


def shifted(quartiles: Quartiles, by: int) -> tuple[float, float, float]:
    """Quartiles with all three moved by half a printed unit (`by` = ±1), or as printed (0)."""
    return tuple(one.middle + by * one.width / 2 for one in quartiles)


def _superiority(first: np.ndarray, second: np.ndarray) -> float:
    ordered = np.sort(first)
    below = np.searchsorted(ordered, second, "left") + np.searchsorted(ordered, second, "right")
    return float(below.mean() / (2 * len(first)))


def mann_whitney_readings(first: tuple[int, Quartiles], second: tuple[int, Quartiles]) -> Range:
    """Standardised Mann-Whitney statistic under every reading of the quartiles.

    Parameters
    ----------
    first, second : (n, Quartiles)

    Returns
    -------
    Range
        Of z over `READINGS` (one for both groups) and over the rounding of the quartiles, moved towards each other
        and apart; positive where `second` is higher. Ties are ignored: they only widen z.
    """
    (m, one), (n, other) = first, second
    error = math.sqrt((m + n + 1) / (12 * m * n))
    deviates = [
        (_superiority(reading(*shifted(one, -by)), reading(*shifted(other, by))) - 0.5) / error
        for reading in READINGS.values()
        for by in (-1, 0, 1)
    ]
    return Range(min(deviates), max(deviates))


def kruskal_wallis_readings(groups: Sequence[tuple[int, Quartiles]]) -> Range:
    """Standard normal deviate of the Kruskal-Wallis p under every reading of the quartiles.

    Parameters
    ----------
    groups : sequence of (n, Quartiles)

    Returns
    -------
    Range
        Of ``z = Φ⁻¹(1 - p/2)`` over `READINGS` and the rounding of the quartiles, moved towards the middle group
        and away from it; 0 where nothing differs.
    """
    whole = sum(n for n, _ in groups)
    centre = sum(n * quartiles[1].middle for n, quartiles in groups) / whole
    deviates = []
    for reading, by in itertools.product(READINGS.values(), (-1, 0, 1)):
        values = [
            (n, reading(*shifted(quartiles, by if quartiles[1].middle > centre else -by))) for n, quartiles in groups
        ]
        statistic = 0.0
        for j, (n, mine) in enumerate(values):
            gap = sum(m * (_superiority(other, mine) - 0.5) for k, (m, other) in enumerate(values) if k != j)
            statistic += n * gap**2
        log_p = chi2.logsf(12 / (whole * (whole + 1)) * statistic, len(groups) - 1)
        deviates.append(deviate_of(math.exp(max(log_p, -700))))
    return Range(min(deviates), max(deviates))


def deviate_of(p: float) -> float:
    """Absolute standard normal deviate of a two-sided p; 0 for p = 1."""
    return float(norm.isf(min(max(p, 1e-300), 1.0) / 2))


def deviates_of(printed: Range) -> Range:
    """Absolute standard normal deviates that a printed two-sided p may stand for."""
    low, high = max(printed.low, 0.0), min(printed.high, 1.0)
    return Range(deviate_of(high), deviate_of(low) if low > 0 else math.inf)


def absolute(value: Range) -> Range:
    """Absolute values of a range."""
    ends = sorted((abs(value.low), abs(value.high)))
    return Range(0.0 if value.low <= 0 <= value.high else ends[0], ends[1])


def wald_deviates(value: Range, error: Range) -> Range:
    """Absolute deviates of an estimate over its standard error, which is above 0."""
    return absolute(value) / error


def fits_deviates(z: Range, printed: Range) -> bool:
    """Whether a printed two-sided p may be that of Wald's z, score tests and profile likelihood included."""
    return z.gap(deviates_of(printed)) <= max(_SLACK, 0.1 * z.low)


def quartile_discrepancy(
    cell: str, printed: Range, deviates: Range, groups: str, greatest: float = 1.0
) -> Discrepancy | None:
    """A printed p-value against what its quartiles allow; None where a reading comes within one standard error of it.

    Parameters
    ----------
    cell, printed
        As in `from_counts`.
    deviates : Range
        Of `mann_whitney_readings` or `kruskal_wallis_readings`; the sign does not matter.
    groups : str
        The groups in words, for the arithmetic.
    greatest : float
        Of `greatest_kruskal_wallis_p`: a p above it is wrong whatever lies between the quartiles.

    Returns
    -------
    Discrepancy or None
    """
    readings = absolute(deviates)
    if readings.gap(deviates_of(printed)) < _LEAST_GAP:
        return None
    most, fewest = (p_text(float(2 * norm.sf(z))) for z in (readings.low, readings.high))
    shown = most if most == fewest else f"{fewest} to {most}"
    sure = greatest < printed.low
    return Discrepancy(
        CHECK,
        cell,
        f"p {printed}",
        f"p {shown}",
        f"{groups}: every reading of the quartiles gives z {readings.low:.1f} to {readings.high:.1f}, "
        f"p {shown}; printed {printed}" + (f"; whatever lies between, p is at most {greatest:.2g}" if sure else ""),
        CERTAIN if sure else IMPLIED,
    )
