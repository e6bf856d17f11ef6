"""Quantiles of a pooled group against those of its parts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hccbook.audit.findings import CheckResult, Discrepancy
from hccbook.audit.printed import SLACK, Quartiles

CHECK = "quantiles"

LEVELS = {"lower quartile": 0.25, "median": 0.5, "upper quartile": 0.75}
"""Quantiles that papers print."""


def fewest_at_or_below(n: int, level: float) -> int:
    """Fewest of n values that lie at or below their quantile, whichever of the usual definitions was used.

    Parameters
    ----------
    n : int
    level : float
        0 to 1.

    Returns
    -------
    int
        For the median half of them, rounded up; otherwise ``n x level``, rounded down.

    References
    ----------
    Hyndman and Fan 1996, Am Stat 50:361: nine definitions of a sample quantile.
    """
    return math.ceil(n / 2) if level == 0.5 else math.floor(n * level + 1e-9)


def _enough_below(n: int, level: float) -> int:
    """Number of values below a point that forces every definition of the quantile below it as well."""
    if level == 0.5:
        return n // 2 + 1
    return max(math.ceil((n - 1) * level) + 1, math.ceil((n + 1) * level))


def _sure_below(n: int, quartiles: Quartiles, point: float) -> int:
    """Members of a group that surely lie below `point`."""
    sure = [
        fewest_at_or_below(n, level) for level, one in zip(LEVELS.values(), quartiles, strict=True) if one.high < point
    ]
    return max(sure, default=0)


def _mirrored(quartiles: Quartiles) -> Quartiles:
    lower, middle, upper = quartiles
    return -upper, -middle, -lower


def pooled_quantiles(cell: str, parts: Sequence[tuple[int, Quartiles]], pooled: Quartiles) -> CheckResult:
    """Whether the quartiles of a pooled group are possible given those of its parts.

    The quantile q of the pooled group is impossible where so many people of the parts surely lie below (or above)
    the printed value that every definition of q lies there too. A pooled median between the medians of its parts is
    the simplest case; this counts people, so that it finds more.

    Parameters
    ----------
    cell : str
        Where the pooled group stands.
    parts : sequence of (n, Quartiles)
        Groups that hold everybody of the pooled group once.
    pooled : Quartiles

    Returns
    -------
    CheckResult
        Three comparisons.
    """
    whole = sum(n for n, _ in parts)
    shown = "; ".join(f"n {n}: {low} / {mid} / {high}" for n, (low, mid, high) in parts)
    wrong = []
    for printed, (name, level) in zip(pooled, LEVELS.items(), strict=True):
        below = sum(_sure_below(n, quartiles, printed.low) for n, quartiles in parts)
        above = sum(_sure_below(n, _mirrored(quartiles), -printed.high) for n, quartiles in parts)
        for side, number, share in (("below", below, level), ("above", above, 1 - level)):
            needed = _enough_below(whole, share)
            if number >= needed:
                wrong.append(
                    Discrepancy(
                        CHECK,
                        f"{cell}, {name}",
                        str(printed),
                        f"{'less' if side == 'below' else 'more'} than {printed}",
                        f"by the quartiles of the parts ({shown}) at least {number} of {whole} lie {side} {printed}; "
                        f"{needed} put the {name} there",
                    )
                )
    return CheckResult(CHECK, "pooled group against its parts", len(LEVELS), tuple(wrong))


def quartiles_rise(cell: str, quartiles: Quartiles) -> CheckResult:
    """Whether a printed lower quartile, median and upper quartile rise."""
    lower, middle, upper = quartiles
    # Of two numbers one unit apart, the rounding intervals touch in a point; that is still a fall.
    rise = lower.low < middle.high - SLACK and middle.low < upper.high - SLACK
    arithmetic = f"{lower}, {middle}, {upper} do not rise"
    otherwise = Discrepancy(CHECK, cell, f"{middle} ({lower}, {upper})", "rising quartiles", arithmetic)
    return CheckResult.of_one(rise, "quartiles in rising order", otherwise)


def share_against_quartiles(cell: str, n: int, quartiles: Quartiles, point: float, below: int) -> CheckResult:
    """Whether a printed number of people below a point is possible given the quartiles.

    Parameters
    ----------
    cell : str
        Where it stands.
    n, below : int
        People in all, and as printed at or below the point.
    quartiles : Quartiles
    point : float
        Bound of a printed group, for example an aMAP of 50.

    Returns
    -------
    CheckResult
        One comparison.
    """
    least = _sure_below(n, quartiles, point)
    most = n - _sure_below(n, _mirrored(quartiles), -point)
    arithmetic = f"the quartiles put {least} to {most} of {n} below {point:g}, printed {below}"
    otherwise = Discrepancy(CHECK, cell, str(below), f"{least} to {most}", arithmetic)
    return CheckResult.of_one(least <= below <= most, "group size against the quartiles", otherwise)
