"""Odds, hazard and risk ratios, and regression tables: estimate, limits, coefficient, standard error and p-value."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from hccbook.audit.expressions import Quoted
from hccbook.audit.findings import IMPLIED, CheckResult, Discrepancy
from hccbook.audit.p_values import fits_deviates, wald_deviates
from hccbook.audit.printed import DEVIATE, Range, is_number, printed_range
from hccbook.audit.transcription import Transcription

CHECK = "ratios"

RATIOS = ("odds ratio", "hazard ratio", "risk ratio", "subdistribution hazard ratio")
"""Quantities that are 1 where there is no effect."""

_CENTRE, _WIDTH = 0.15, 1.1
"""Standard errors that a centre, and times that a width, may be off: profile likelihood and t are not Wald's."""


def logarithm(one: Range) -> Range:
    """Logarithm of a positive range; from minus infinity where it reaches 0."""
    return Range(math.log(one.low) if one.low > 0 else -math.inf, math.log(one.high))


def check_ratio(cell: str, ratio: Range, limits: tuple[Range, Range], p: Range | None) -> list[CheckResult]:
    """Whether a ratio lies midway between its limits on the log scale, and its p-value is that of the interval.

    Parameters
    ----------
    cell : str
        Where it stands.
    ratio : Range
    limits : (Range, Range)
        Above 0.
    p : Range, optional
        Printed p-value.

    Returns
    -------
    list of CheckResult
        One comparison or, with a p-value, two.
    """
    lower, upper = map(logarithm, limits)
    value, error, centre = logarithm(ratio), (upper - lower) / (2 * DEVIATE), (upper + lower) / 2
    shown = f"{ratio} ({limits[0]} to {limits[1]})"
    arithmetic = f"on the log scale the limits have their middle at {math.exp(centre.middle):.3g}, printed {ratio}"
    off = Discrepancy(CHECK, f"{cell}, centre", shown, f"{math.exp(centre.middle):.3g}", arithmetic, IMPLIED)
    results = [CheckResult.of_one(value.gap(centre) <= _CENTRE * error.high, "ratio midway between its limits", off)]
    if p is not None and error.low > 0:
        z = wald_deviates(value, error)
        arithmetic = (
            f"ln {ratio} over the standard error of the limits is {z.low:.2f} to {z.high:.2f}; p {p} is printed"
        )
        wrong = Discrepancy(
            CHECK, f"{cell}, p-value", f"{shown}, p {p}", f"z {z.low:.2f} to {z.high:.2f}", arithmetic, IMPLIED
        )
        results.append(CheckResult.of_one(fits_deviates(z, p), "p-value of the ratio's interval", wrong))
    return results


def check_coefficient(cell: str, by: Mapping[str, Range]) -> list[CheckResult]:
    """Whether coefficient, standard error, ratio and p-value of one row of a regression are of one another.

    Parameters
    ----------
    cell : str
        Where they stand.
    by : mapping of str to Range
        ``coefficient`` and, where printed, ``standard error``, ``ratio``, ``p-value``.

    Returns
    -------
    list of CheckResult
    """
    results, value, error = [], by["coefficient"], by.get("standard error")
    if "ratio" in by:
        follows = Range(math.exp(value.low), math.exp(value.high))
        arithmetic = f"exp {value} is {follows}, printed {by['ratio']}"
        wrong = Discrepancy(CHECK, f"{cell}, ratio", f"{by['ratio']}", str(follows), arithmetic, IMPLIED)
        results.append(CheckResult.of_one(follows.meets(by["ratio"]), "ratio of its coefficient", wrong))
    if error is not None and error.low > 0 and "p-value" in by:
        z = wald_deviates(value, error)
        arithmetic = f"{value} / {error} is {z.low:.2f} to {z.high:.2f}; p {by['p-value']} is printed"
        wrong = Discrepancy(CHECK, f"{cell}, p-value", f"p {by['p-value']}", f"z {z}", arithmetic, IMPLIED)
        fits = fits_deviates(z, by["p-value"])
        results.append(CheckResult.of_one(fits, "p-value of its coefficient and standard error", wrong))
    return results


def check_error(cell: str, error: Range, limits: tuple[Range, Range]) -> CheckResult:
    """Whether limits are as far apart as a printed standard error makes them.

    Parameters
    ----------
    cell : str
        Where they stand.
    error : Range
        Printed standard error.
    limits : (Range, Range)
        Of the coefficient, that is, of a ratio the logarithms of its limits.

    Returns
    -------
    CheckResult
        One comparison.
    """
    implied = (limits[1] - limits[0]) / (2 * DEVIATE)
    arithmetic = f"the limits are those of a standard error of {implied.low:.3g} to {implied.high:.3g}, printed {error}"
    wrong = Discrepancy(CHECK, f"{cell}, standard error", f"{error}", f"{implied.middle:.3g}", arithmetic, IMPLIED)
    fits = implied.low <= _WIDTH * error.high and error.low <= _WIDTH * implied.high
    return CheckResult.of_one(fits, "limits of the standard error", wrong)


def check_rows(paper: Transcription) -> Iterator[CheckResult]:
    """Every row that prints a ratio with its limits, or a coefficient with its ratio, standard error or p-value."""
    by_place: dict[str, list[CheckResult]] = {}
    for (place, row, cohort, subgroup), by in paper.cells.items():
        cell = ", ".join(filter(None, (row, cohort, subgroup)))
        printed = {name: printed_range(one.value) for name, one in by.items() if is_number(one.value)}
        ratio = next((by[name] for name in RATIOS if name in by), None)
        results = by_place.setdefault(place.partition(", sentence")[0], [])
        if ratio is not None and is_number(ratio.value):
            printed["ratio"] = printed_range(ratio.value)
            limits = _limits(ratio)
            if limits and limits[0].low > 0:
                results += check_ratio(cell, printed["ratio"], limits, printed.get("p-value"))
                if "standard error" in printed:
                    results.append(check_error(cell, printed["standard error"], tuple(map(logarithm, limits))))
        if "coefficient" in printed and len(printed) > 1:
            results += check_coefficient(cell, printed)
            limits = _limits(by["coefficient"])
            if limits and "standard error" in printed:
                results.append(check_error(f"{cell}, coefficient", printed["standard error"], limits))
    for place, results in by_place.items():
        if results:
            yield CheckResult.joined(CHECK, "ratios, limits, coefficients and p-values", results).at(place)


def _limits(one: Quoted) -> tuple[Range, Range] | None:
    """Limits of a ratio or a coefficient; None where none are printed."""
    if not (is_number(one.lower) and is_number(one.upper)):
        return None
    return printed_range(one.lower), printed_range(one.upper)
