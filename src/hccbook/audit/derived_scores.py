"""Derived scores against the values that they derive from."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from hccbook.audit.findings import CheckResult, Discrepancy
from hccbook.audit.p_values import PLACES, READINGS, shifted
from hccbook.audit.printed import Quartiles, Range

CHECK = "derived_scores"

_CORRELATIONS = (-0.9, -0.6, -0.3, 0.0, 0.3, 0.6, 0.9)
"""Rank dependence between two inputs that is tried: from nearly opposite to nearly equal order."""

_KEEP_QUARTILES = tuple(name for name in READINGS if name != "normal")
"""Readings that keep all three printed quartiles."""

_ORDERS = 150
_MOST_PAIRED = 200


def _values(reading: Callable[..., np.ndarray], quartiles: Quartiles, by: int, share: np.ndarray) -> np.ndarray:
    """Values at quantiles `share` under a reading; never below a tenth of the lower quartile, so that logs exist."""
    ends = shifted(quartiles, by)
    floor = 0.1 * ends[0] if ends[0] > 0 else -math.inf
    return np.maximum(np.interp(share, PLACES, reading(*ends)), floor)


@cache
def _pairings(n: int) -> np.ndarray:
    """Orders in which n values of one input may meet n sorted values of another, shape (n_orders, n).

    Normal copulas of every rank dependence in `_CORRELATIONS`, many orders each: the same on every machine.
    """
    rng = np.random.default_rng(20240)
    orders = []
    for rho in _CORRELATIONS:
        first, second = rng.standard_normal((2, _ORDERS, n))
        other = rho * np.sort(first, axis=1) + math.sqrt(1 - rho**2) * second
        orders.append(other.argsort(axis=1).argsort(axis=1))
    return np.concatenate(orders)


def albi_readings(n: int, bilirubin: Quartiles, albumin: Quartiles) -> Quartiles:
    """Quartiles of ALBI under every reading of the quartiles of bilirubin and albumin.

    The median of ALBI is not ALBI of the medians: it depends on which bilirubin meets which albumin. So n values of
    each are laid out along their printed quartiles (the `READINGS` that keep all three) and paired at random under
    every rank dependence of `_CORRELATIONS`; the least and the greatest of what comes out is returned.

    Parameters
    ----------
    n : int
        People; of more than 200 the same spread is taken as of 200, which is wider.
    bilirubin, albumin : Quartiles
        umol/L and g/L.

    Returns
    -------
    tuple of Range
        What the lower quartile, the median and the upper quartile of ALBI can be.

    References
    ----------
    Johnson et al. 2015, J Clin Oncol 33:550, for ALBI.
    """
    size = min(n, _MOST_PAIRED)
    # The plotting positions of the usual sample quantile, so that the layout has the printed quartiles itself.
    places = np.arange(size) / max(size - 1, 1)
    orders = _pairings(size)
    quartiles_of_albi = []
    for name in _KEEP_QUARTILES:
        for up_bilirubin, up_albumin in ((-1, 1), (0, 0), (1, -1)):
            first = 0.66 * np.log10(np.maximum(_values(READINGS[name], bilirubin, up_bilirubin, places), 1.0))
            second = 0.085 * _values(READINGS[name], albumin, up_albumin, places)
            value = first[None, :] - second[orders]
            quartiles_of_albi.append(np.quantile(value, (0.25, 0.5, 0.75), axis=1))
    every = np.concatenate(quartiles_of_albi, axis=1)
    return tuple(Range(float(low), float(high)) for low, high in zip(every.min(axis=1), every.max(axis=1), strict=True))


def _mean_readings(quartiles: Quartiles, transform: Callable[[np.ndarray], np.ndarray] = np.asarray) -> Range:
    """Mean of a (transformed) quantity over `READINGS` of its quartiles and the rounding of the print."""
    means = []
    for reading in READINGS.values():
        for by in (-1, 0, 1):
            means.append(float(transform(_values(reading, quartiles, by, PLACES)).mean()))
    return Range(min(means), max(means))


def mean_amap(age: Quartiles, male: Range, bilirubin: Quartiles, albumin: Quartiles, platelets: Quartiles) -> Range:
    """Mean aMAP of a group from what is printed of its inputs.

    aMAP is a sum of its inputs (of log bilirubin), so that its mean is the same sum of their means, however the
    inputs go together; only the median would depend on that.

    Parameters
    ----------
    age, bilirubin, albumin, platelets : Quartiles
        years, umol/L, g/L, 10^9/L.
    male : Range
        Share of men, 0 to 1.

    Returns
    -------
    Range

    References
    ----------
    Fan et al. 2020, J Hepatol 73:1368; ALARM, footnote of Table 1.
    """
    liver = 0.66 * _mean_readings(bilirubin, np.log10) - 0.085 * _mean_readings(albumin)
    total = 0.06 * _mean_readings(age) + 0.89 * male + 0.48 * liver - 0.01 * _mean_readings(platelets) + 7.4
    return total / 14.77 * 100


def amap_from_inputs(cell: str, n: int, printed: Quartiles, from_inputs: Range) -> CheckResult:
    """Whether a printed aMAP can be that of the printed inputs.

    Parameters
    ----------
    cell : str
        Where it stands.
    n : int
        People.
    printed : Quartiles
        Quartiles of aMAP.
    from_inputs : Range
        Mean aMAP by `mean_amap`.

    Returns
    -------
    CheckResult
        One comparison: it fails where the mean read from aMAP's own quartiles misses that of the inputs by more
        than three standard errors of a mean.
    """
    mean, (lower, median, upper) = _mean_readings(printed), printed
    # The standard deviation is taken as the interquartile range over 1.349.
    allowed = 3 * ((upper.high - lower.low) / 1.349 / math.sqrt(n))
    shown = f"{from_inputs.low:.1f} to {from_inputs.high:.1f}"
    arithmetic = (
        f"printed quartiles give a mean of {mean.low:.1f} to {mean.high:.1f}, age, sex, bilirubin, albumin and "
        f"platelets {shown}, three standard errors being {allowed:.1f}"
    )
    otherwise = Discrepancy(CHECK, cell, f"{median} ({lower} to {upper})", f"mean {shown}", arithmetic)
    return CheckResult.of_one(mean.gap(from_inputs) <= allowed, "mean aMAP against its inputs", otherwise)


def albi_from_inputs(cell: str, printed: Quartiles, readings: Quartiles) -> CheckResult:
    """Whether the printed quartiles of ALBI can be those of the printed bilirubin and albumin.

    Parameters
    ----------
    cell : str
        Where it stands.
    printed, readings : Quartiles
        Quartiles of ALBI, and what they can be by `albi_readings`.

    Returns
    -------
    CheckResult
        One comparison: it fails where one of the three quartiles misses every reading.
    """
    possible = all(one.gap(reading) <= 1e-9 for one, reading in zip(printed, readings, strict=True))
    lower, median, upper = (f"{one.low:.2f} to {one.high:.2f}" for one in readings)
    shown, stands = f"{median} ({lower}, {upper})", "{1} ({0}, {2})".format(*printed)
    arithmetic = f"bilirubin and albumin of the same column give ALBI {shown}, printed {stands}"
    otherwise = Discrepancy(CHECK, cell, stands, shown, arithmetic)
    return CheckResult.of_one(possible, "ALBI against bilirubin and albumin", otherwise)
