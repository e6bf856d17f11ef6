"""The events that the interval of a hazard ratio needs."""

from __future__ import annotations

import math

from hccbook.audit.printed import DEVIATE, Range


def log_hazard_se(lower: Range, upper: Range) -> Range:
    """Standard error of a log hazard ratio from its printed limits, ``ln(upper / lower) / 2z``."""
    return Range(math.log(upper.low / lower.high), math.log(upper.high / lower.low)) / (2 * DEVIATE)


def least_events(error: Range) -> float:
    """Least number of events that a Cox model of two groups needs for so small a standard error.

    The information of the partial likelihood is ``Σ p_i (1 - p_i)`` over the events, p_i being the chance that the
    event fell in the high-risk group; at the estimate the p_i add up to its events e1. By concavity the variance is
    at least ``1/e1 + 1/e0``, which is least, ``4/e``, when the groups share the events.

    Parameters
    ----------
    error : Range
        Standard error of the log hazard ratio.

    Returns
    -------
    float

    References
    ----------
    Cox 1972, J R Stat Soc B 34:187; Schoenfeld 1983, Biometrics 39:499, for events and power.
    """
    return 4 / error.high**2


def share_of_events(ratio: float, high: int, low: int) -> float:
    """Share of the events that a hazard ratio puts in the high-risk group, ``HR n1 / (HR n1 + n0)``.

    Events are in proportion to people at risk times hazard; those at high risk leave the risk set sooner, so that the
    share is a little less.

    Parameters
    ----------
    ratio : float
        Hazard ratio.
    high, low : int
        People in the high-risk and in the low-risk group.

    Returns
    -------
    float
    """
    return ratio * high / (ratio * high + low)


def expected_se(share: float, events: int) -> float:
    """Standard error of a log hazard ratio of two groups, ``sqrt(1/e1 + 1/e0)`` (Schoenfeld 1983).

    Parameters
    ----------
    share : float
        Share of the events in the high-risk group, above 0 and below 1.
    events : int
        Events in both groups.

    Returns
    -------
    float
    """
    return math.sqrt(1 / (share * events) + 1 / ((1 - share) * events))
