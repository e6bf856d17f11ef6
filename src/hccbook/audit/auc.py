"""Areas under the ROC curve: their standard errors, and what else in print bounds them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.stats import norm

from hccbook.audit.printed import Range
from hccbook.errors import DataError

CHECK = "intervals"
"""Name of this family of checks."""


def hanley_mcneil_se(auc: float, events: int, nonevents: int) -> float:
    """Standard error of an AUC by Hanley and McNeil.

    ``[A(1-A) + (m-1)(Q1-A²) + (n-1)(Q2-A²)] / mn`` with ``Q1 = A/(2-A)`` and ``Q2 = 2A²/(1+A)``.

    Parameters
    ----------
    auc : float
        0 to 1; below 0.5 the formula is used on ``1 - auc``, whose error is the same.
    events, nonevents : int
        People with and without the outcome, 1 or more each.

    Returns
    -------
    float

    References
    ----------
    Hanley and McNeil 1982, Radiology 143:29, equation 1.
    """
    a = max(auc, 1 - auc)
    q1, q2 = a / (2 - a), 2 * a**2 / (1 + a)
    variance = a * (1 - a) + (events - 1) * (q1 - a**2) + (nonevents - 1) * (q2 - a**2)
    return math.sqrt(variance / (events * nonevents))


def least_auc_se(auc: float, events: int, nonevents: int) -> float:
    """Least standard error that an AUC can have, whatever the distribution of an untied score.

    With t the share of non-events above an event, the variance is ``Var(t)/m + [A(1-A) - G/2]/n``, G being the mean
    difference of two t's. G is at most ``2 SD(t)/√3`` (equality for a uniform t), which leaves a square in SD(t)
    whose least value is ``A(1-A)/n - m/(12 n²)``. With m and n exchanged the same holds; the greater of the two
    bounds is returned.

    Parameters
    ----------
    auc : float
        0 to 1.
    events, nonevents : int
        People with and without the outcome, 1 or more each.

    Returns
    -------
    float
        A printed interval that is narrower than this allows cannot be that of these people.

    References
    ----------
    Birnbaum and Klose 1957, Ann Math Stat 28:933, on the bounds of the variance of the Mann-Whitney statistic.
    """
    spread = auc * (1 - auc)
    pairs = ((events, nonevents), (nonevents, events))
    return math.sqrt(max(0.0, *(spread / n - m / (12 * n**2) for m, n in pairs)))


def implied_se(lower: Range, upper: Range, level: float = 0.95) -> Range:
    """Standard error that the width of a symmetric interval implies, rounding included."""
    return (upper - lower) / (2 * float(norm.isf((1 - level) / 2)))


def auc_from_points(points: Sequence[tuple[Range, Range]]) -> Range:
    """Least and greatest AUC of a curve that never falls and goes through printed operating points.

    Parameters
    ----------
    points : sequence of (sensitivity, specificity)
        As printed, for any number of cut-offs.

    Returns
    -------
    Range
        From the steps below the points to the steps above them.

    Examples
    --------
    >>> auc_from_points([(Range(0.8, 0.8), Range(0.9, 0.9))])
    Range(low=0.7200000000000001, high=0.98)
    """
    low_points = sorted((1 - spec.low, sens.low) for sens, spec in points)
    high_points = sorted((1 - spec.high, sens.high) for sens, spec in points)
    below, height, start = 0.0, 0.0, 0.0
    for x, y in low_points:
        below += (x - start) * height
        height, start = max(height, y), x
    below += (1 - start) * height
    above, start = 0.0, 0.0
    for x, y in high_points:
        above += (x - start) * y
        start = x
    above += 1 - start
    return Range(max(0.0, min(below, 1.0)), min(1.0, max(above, below)))


def auc_from_groups(events: Sequence[int], nonevents: Sequence[int]) -> Range:
    """Least and greatest AUC of a score whose ordered groups hold these people.

    Parameters
    ----------
    events, nonevents : sequence of int, one length
        People with and without the outcome by group, from the lowest score to the highest.

    Returns
    -------
    Range
        Pairs from different groups are decided; those within a group may fall either way.

    Raises
    ------
    DataError
        If the numbers of groups differ or nobody has, or has not, the outcome.
    """
    if len(events) != len(nonevents) or not sum(events) or not sum(nonevents):
        raise DataError("groups", "must hold people with and without the outcome", f"{events}, {nonevents}", "Check.")
    won = sum(events[i] * nonevents[j] for i in range(len(events)) for j in range(i))
    open_pairs = sum(a * b for a, b in zip(events, nonevents, strict=True))
    pairs = sum(events) * sum(nonevents)
    return Range(won / pairs, (won + open_pairs) / pairs)


def auc_from_strata(strata: Sequence[tuple[int, int, Range]]) -> Range:
    """Least and greatest AUC of a whole whose parts have these.

    Parameters
    ----------
    strata : sequence of (events, nonevents, auc)
        Parts that hold everybody once.

    Returns
    -------
    Range
        Pairs within a part are known from its AUC; pairs across parts may fall either way.
    """
    m, n = sum(one[0] for one in strata), sum(one[1] for one in strata)
    within = Range(0.0, 0.0)
    inside = 0
    for events, nonevents, auc in strata:
        within = within + auc * (events * nonevents)
        inside += events * nonevents
    return Range(max(0.0, within.low / (m * n)), min(1.0, (within.high + m * n - inside) / (m * n)))


def auc_on_grid(auc: Range, events: int, nonevents: int) -> bool:
    """Whether an AUC of so few pairs can print so: pairs are won, tied or lost, so it is a multiple of 1/(2mn)."""
    steps = 2 * events * nonevents
    return math.floor(auc.high * steps + 1e-7) >= math.ceil(auc.low * steps - 1e-7)
