"""Derived scores against the values that they derive from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from hccbook.audit.characteristics import Characteristics, taken_apart
from hccbook.audit.description import Score
from hccbook.audit.findings import IMPLIED, CheckResult, Discrepancy
from hccbook.audit.p_values import PLACES, READINGS, shifted
from hccbook.audit.printed import Quartiles, Range
from hccbook.audit.quantiles import LEVELS
from hccbook.audit.transcription import Group, Transcription, group_name
from hccbook.errors import DataError

CHECK, RANGES = "derived_scores", "ranges"

_LOG = "log10 "

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


@dataclass(frozen=True)
class Term:
    """One input of a linear score: a coefficient, of the value or of its decimal logarithm."""

    coefficient: float
    is_log: bool = False

    def of(self, values: np.ndarray) -> np.ndarray:
        """The term's part of the score; a logarithm of nothing below 1."""
        return self.coefficient * (np.log10(np.maximum(values, 1.0)) if self.is_log else values)


@dataclass(frozen=True)
class ScoreFormula:
    """A score that is a sum of its inputs, or of logarithms of them.

    Attributes
    ----------
    terms : dict of str to Term
        By input.
    constant : float
        Added to the sum.
    """

    terms: dict[str, Term]
    constant: float = 0.0

    def possible(self) -> Range | None:
        """What the score can be for anybody; None where an input has no known limits."""
        if not set(self.terms) <= set(POSSIBLE):
            return None
        ends = [[float(term.of(np.array(end))) for end in POSSIBLE[name]] for name, term in self.terms.items()]
        return Range(self.constant + sum(map(min, ends)), self.constant + sum(map(max, ends)))


POSSIBLE = {
    "bilirubin": (1.0, 1000.0),
    "albumin": (10.0, 70.0),
    "age": (0, 120),
    "male": (0, 1),
    "platelets": (1, 2000),
}
"""Least and greatest input of anybody, far beyond what is seen: umol/L, g/L, years, share, 10^9/L."""

_AMAP = 100 / 14.77
PUBLISHED = {
    "albi": ScoreFormula({"bilirubin": Term(0.66, True), "albumin": Term(-0.085)}),
    "amap": ScoreFormula(
        {
            "age": Term(0.06 * _AMAP),
            "male": Term(0.89 * _AMAP),
            "bilirubin": Term(0.48 * 0.66 * _AMAP, True),
            "albumin": Term(-0.48 * 0.085 * _AMAP),
            "platelets": Term(-0.01 * _AMAP),
        },
        7.4 * _AMAP,
    ),
}
"""Scores by name: ALBI (Johnson et al. 2015, J Clin Oncol 33:550), aMAP (Fan et al. 2020, J Hepatol 73:1368)."""


def pair_readings(n: int, score: ScoreFormula, inputs: Mapping[str, Quartiles]) -> Quartiles:
    """Quartiles of a score of two inputs under every reading of their quartiles.

    The median of a score is not the score of the medians: it depends on which value meets which. So n values of each
    input are laid out along its printed quartiles (the `READINGS` that keep all three) and paired at random under
    every rank dependence of `_CORRELATIONS`; the least and the greatest of what comes out is returned.

    Parameters
    ----------
    n : int
        People; of more than 200 the same spread is taken as of 200, which is wider.
    score : ScoreFormula
        Of two terms.
    inputs : mapping of str to Quartiles
        By the name of the term.

    Returns
    -------
    tuple of Range
        What the lower quartile, the median and the upper quartile of the score can be.
    """
    size = min(n, _MOST_PAIRED)
    # The plotting positions of the usual sample quantile, so that the layout has the printed quartiles itself.
    places = np.arange(size) / max(size - 1, 1)
    orders = _pairings(size)
    found = []
    for name in _KEEP_QUARTILES:
        for up in (-1, 0, 1):
            parts = []
            for input_name, term in score.terms.items():
                by = up if term.coefficient > 0 else -up
                parts.append(term.of(_values(READINGS[name], inputs[input_name], by, places)))
            first, second = parts
            found.append(np.quantile(score.constant + first[None, :] + second[orders], (0.25, 0.5, 0.75), axis=1))
    every = np.concatenate(found, axis=1)
    return tuple(Range(float(low), float(high)) for low, high in zip(every.min(axis=1), every.max(axis=1), strict=True))


def _mean_readings(quartiles: Quartiles, transform: Callable[[np.ndarray], np.ndarray] = np.asarray) -> Range:
    """Mean of a (transformed) quantity over `READINGS` of its quartiles and the rounding of the print."""
    means = []
    for reading in READINGS.values():
        for by in (-1, 0, 1):
            means.append(float(transform(_values(reading, quartiles, by, PLACES)).mean()))
    return Range(min(means), max(means))


def mean_of(score: ScoreFormula, inputs: Mapping[str, Quartiles | Range]) -> Range:
    """Mean of a score in a group from what is printed of its inputs.

    The mean of a sum is the sum of the means, however the inputs go together; only the median would depend on that.

    Parameters
    ----------
    score : ScoreFormula
    inputs : mapping of str to Quartiles or Range
        By input: printed quartiles, or the range of its mean, as the share of men.

    Returns
    -------
    Range
    """
    total = Range(score.constant, score.constant)
    for name, term in score.terms.items():
        one = inputs[name]
        if isinstance(one, Range):
            total += term.coefficient * one
        else:
            total += _mean_readings(one, term.of)
    return total


def check_mean(cell: str, n: int, printed: Quartiles, from_inputs: Range, inputs: str = "its inputs") -> CheckResult:
    """Whether the printed quartiles of a score can be those of its printed inputs.

    Parameters
    ----------
    cell : str
        Where it stands.
    n : int
        People.
    printed : Quartiles
        Quartiles of the score.
    from_inputs : Range
        Mean by `mean_of`.
    inputs : str
        The inputs in words.

    Returns
    -------
    CheckResult
        One comparison: it fails where the mean read from the score's own quartiles misses that of the inputs by more
        than three standard errors of a mean.
    """
    mean, (lower, median, upper) = _mean_readings(printed), printed
    # The standard deviation is taken as the interquartile range over 1.349.
    allowed = 3 * ((upper.high - lower.low) / 1.349 / math.sqrt(n))
    shown = f"{from_inputs.low:.1f} to {from_inputs.high:.1f}"
    arithmetic = (
        f"printed quartiles give a mean of {mean.low:.1f} to {mean.high:.1f}, {inputs} {shown}, three standard errors "
        f"being {allowed:.1f}"
    )
    otherwise = Discrepancy(CHECK, cell, f"{median} ({lower} to {upper})", f"mean {shown}", arithmetic, IMPLIED)
    return CheckResult.of_one(mean.gap(from_inputs) <= allowed, "mean of a score against its inputs", otherwise)


def check_pair(cell: str, printed: Quartiles, readings: Quartiles) -> CheckResult:
    """Whether the printed quartiles of a score of two inputs can be those of its printed inputs.

    Parameters
    ----------
    cell : str
        Where it stands.
    printed, readings : Quartiles
        Quartiles of the score, and what they can be by `pair_readings`.

    Returns
    -------
    CheckResult
        One comparison: it fails where one of the three quartiles misses every reading.
    """
    possible = all(one.gap(reading) <= 1e-9 for one, reading in zip(printed, readings, strict=True))
    lower, median, upper = (f"{one.low:.2f} to {one.high:.2f}" for one in readings)
    shown, stands = f"{median} ({lower}, {upper})", "{1} ({0}, {2})".format(*printed)
    arithmetic = f"the inputs in the same column give {shown}, printed {stands}"
    otherwise = Discrepancy(CHECK, cell, stands, shown, arithmetic, IMPLIED)
    return CheckResult.of_one(possible, "quartiles of a score against its inputs", otherwise)


def within_possible(cells: Mapping[str, Range], possible: Range, quantity: str) -> CheckResult:
    """Whether printed values may exist at all.

    Parameters
    ----------
    cells : mapping of str to Range
        Printed values.
    possible : Range
        What the quantity can be.
    quantity : str
        Its name.

    Returns
    -------
    CheckResult
        One comparison a value.
    """
    wrong = [
        Discrepancy(
            RANGES,
            cell,
            str(one),
            f"{possible.low:.2f} to {possible.high:.2f}",
            f"{quantity} lies between {possible.low:.2f} and {possible.high:.2f}, printed {one}",
        )
        for cell, one in cells.items()
        if not one.meets(possible)
    ]
    return CheckResult(RANGES, f"{quantity} within its possible range", len(cells), tuple(wrong))


def formula_of(score: Score) -> ScoreFormula:
    """The formula of a described score."""
    if score.published in PUBLISHED:
        return PUBLISHED[score.published]
    terms = {name.removeprefix(_LOG): Term(c, name.startswith(_LOG)) for name, c in score.terms.items()}
    if score.published != "linear" or not terms:
        known = ", ".join((*PUBLISHED, "linear with terms"))
        raise DataError(
            f"paper.yaml: scores, {score.row}", f"published must be {known}", score.published, "Correct it."
        )
    return ScoreFormula(terms, score.constant)


def check_scores(paper: Transcription) -> Iterator[CheckResult]:
    """Every derived score of a table: within what anybody can have, and against its printed inputs."""
    for one in paper.description.scores:
        table, score = taken_apart(paper, one.table), formula_of(one)
        missing = set(score.terms) - set(one.inputs)
        if missing:
            place = f"paper.yaml: scores, {one.row}"
            raise DataError(place, "inputs must name a row for each", ", ".join(sorted(missing)), "Add them.")
        printed, possible = table.quartiles.get(one.row, {}), score.possible()
        if possible and printed:
            cells = {
                f"{one.row}, {group_name(group)}, {name}": value
                for group, quartiles in printed.items()
                for name, value in zip(LEVELS, quartiles, strict=True)
            }
            yield within_possible(cells, possible, one.row).at(one.table)
        results = []
        for group, quartiles in printed.items():
            inputs = {name: _input(table, row, group) for name, row in one.inputs.items()}
            if None in inputs.values():
                continue
            cell, n = f"{one.row}, {group_name(group)}", table.sizes[group]
            if len(inputs) == 2 and not any(isinstance(value, Range) for value in inputs.values()):
                results.append(check_pair(cell, quartiles, pair_readings(n, score, inputs)))
            else:
                results.append(check_mean(cell, n, quartiles, mean_of(score, inputs), ", ".join(one.inputs)))
        if results:
            yield CheckResult.joined(CHECK, f"{one.row} against its inputs", results).at(one.table)


def _input(table: Characteristics, row: str, group: Group) -> Quartiles | Range | None:
    """Quartiles of an input in a column, or the share of people that it counts; None where neither is printed."""
    count = table.counts.get(row, {}).get(group)
    if count is not None:
        return Range(count / table.sizes[group], count / table.sizes[group])
    return table.quartiles.get(row, {}).get(group)
