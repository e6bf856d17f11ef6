"""Totals of a population from a random sample of each of its strata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from hccbook.errors import DataError


class Total(NamedTuple):
    """A total with its interval, in the unit of the values."""

    value: float
    lower: float
    upper: float


class _Part(NamedTuple):
    """What one stratum adds to a total: value, variance, and the degrees of freedom of that variance."""

    value: float
    variance: float
    freedom: int


def stratified_total(
    samples: Mapping[str, Sequence[float]], sizes: Mapping[str, int], confidence: float = 0.95
) -> Total:
    """Total of a population from simple random samples without replacement of its strata.

    Parameters
    ----------
    samples : mapping of str to sequence of float
        Values drawn, by stratum; two or more of each.
    sizes : mapping of str to int
        Members of each stratum.
    confidence : float
        Of the interval, by Student's t with Satterthwaite's degrees of freedom.

    Raises
    ------
    DataError
        If a stratum has fewer than two values or more than it has members.

    References
    ----------
    Cochran, Sampling Techniques, 3rd edition, equations 5.6 and 5.16.
    """
    return _total(
        [_expanded(name, np.asarray(values, float), sizes[name]) for name, values in samples.items()], confidence
    )


def ratio_total(
    pairs: Mapping[str, Sequence[tuple[float, float]]],
    samples: Mapping[str, Sequence[float]],
    sizes: Mapping[str, int],
    confidence: float = 0.95,
) -> Total:
    """Total of what is costly to measure, from its ratio to what is cheap, by stratum (double sampling).

    Parameters
    ----------
    pairs : mapping of str to sequence of (cheap, costly)
        Both values of a few members, by stratum.
    samples : mapping of str to sequence of float
        The cheap value of many members, by stratum.
    sizes, confidence
        As for `stratified_total`.

    Raises
    ------
    DataError
        As for `stratified_total`.

    References
    ----------
    Cochran, Sampling Techniques, 3rd edition, sections 6.10 and 12.9. The two samples are taken as independent.
    """
    parts = []
    for name, both in pairs.items():
        cheap, costly = np.asarray(both, float).T
        ratio = costly.sum() / cheap.sum()
        many = _expanded(name, np.asarray(samples[name], float), sizes[name])
        residuals = _expanded(name, costly - ratio * cheap, sizes[name])
        parts.append(_Part(ratio * many.value, ratio**2 * many.variance, many.freedom))
        parts.append(_Part(0.0, residuals.variance, residuals.freedom))
    return _total(parts, confidence)


def _expanded(name: str, values: np.ndarray, size: int) -> _Part:
    if not 2 <= len(values) <= size:
        hint = "Draw at least two, and nobody twice."
        raise DataError(f"stratum {name}", f"needs 2 to {size} values", len(values), hint)
    variance = size**2 * values.var(ddof=1) / len(values) * (1 - len(values) / size)
    return _Part(size * values.mean(), variance, len(values) - 1)


def _total(parts: Sequence[_Part], confidence: float) -> Total:
    value, variance = sum(part.value for part in parts), sum(part.variance for part in parts)
    if variance == 0:
        return Total(value, value, value)
    freedom = variance**2 / sum(part.variance**2 / part.freedom for part in parts)
    half = stats.t.ppf((1 + confidence) / 2, freedom) * variance**0.5
    return Total(value, value - half, value + half)
