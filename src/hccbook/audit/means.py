"""Means and standard deviations: of whole numbers, of pooled groups, and the p-values that follow from them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

from scipy.stats import f as f_distribution
from scipy.stats import t as t_distribution

from hccbook.audit.findings import IMPLIED, CheckResult, Discrepancy
from hccbook.audit.p_values import p_text
from hccbook.audit.printed import Range, is_number, printed_range, total
from hccbook.audit.transcription import Group, Transcription, group_name

CHECK = "means"

_MOST_GROUPS = 5
"""Groups whose means are moved to every end of their rounding."""


class Moments(NamedTuple):
    """People, their mean and, where it is printed, their standard deviation."""

    n: int
    mean: Range
    sd: Range | None


def sums_that_print_as(mean: Range, n: int) -> range:
    """Sums of n whole numbers whose mean prints so (GRIM); empty where there is none.

    References
    ----------
    Brown and Heathers 2017, Soc Psychol Personal Sci 8:363.
    """
    return range(math.ceil(mean.low * n - 1e-7), math.floor(mean.high * n + 1e-7) + 1)


def is_possible(group: Moments) -> bool:
    """Whether n whole numbers can have this mean and standard deviation (GRIM and GRIMMER).

    A sum of squares is a whole number, and odd where the sum is.

    References
    ----------
    Allard 2018, "Analytic-GRIMMER".
    """
    n, mean, sd = group
    if sd is None or n < 2:
        return bool(sums_that_print_as(mean, n))
    for k in sums_that_print_as(mean, n):
        low = max(sd.low, 0.0) ** 2 * (n - 1) + k**2 / n
        high = sd.high**2 * (n - 1) + k**2 / n
        least = math.ceil(low - 1e-7)
        least += (least - k) % 2
        if least <= high + 1e-7:
            return True
    return False


def pooled(parts: Sequence[Moments]) -> Moments:
    """Mean and standard deviation of groups together, rounding included."""
    n = sum(one.n for one in parts)
    mean = total(one.n * one.mean for one in parts) / n
    if any(one.sd is None for one in parts):
        return Moments(n, mean, None)
    squares = total((one.n - 1) * _squared(one.sd) + one.n * _squared(one.mean - mean) for one in parts) / (n - 1)
    return Moments(n, mean, Range(math.sqrt(squares.low), math.sqrt(squares.high)))


def _squared(one: Range) -> Range:
    ends = sorted((one.low**2, one.high**2))
    return Range(0.0 if one.low <= 0 <= one.high else ends[0], ends[1])


def p_of_means(groups: Sequence[Moments]) -> dict[str, Range]:
    """p-values of the difference of means, by every test that a paper may mean, rounding included.

    Parameters
    ----------
    groups : sequence of Moments
        Two to five, all with a standard deviation.

    Returns
    -------
    dict of str to Range
        Student's and Welch's t-test of two groups, the analysis of variance of more.
    """
    p: dict[str, list[float]] = {}
    for *moved, spread in product((-1, 0, 1), repeat=len(groups) + 1):
        sample = [
            (one.n, one.mean.middle + by * one.mean.width / 2, max(one.sd.middle + spread * one.sd.width / 2, 1e-12))
            for one, by in zip(groups, moved, strict=True)
        ]
        for name, value in (_two(*sample) if len(sample) == 2 else _many(sample)).items():
            p.setdefault(name, []).append(value)
    found = {name: Range(min(values), max(values)) for name, values in p.items()}
    if len(groups) == 2 and groups[0].mean.meets(groups[1].mean):
        return {name: Range(one.low, 1.0) for name, one in found.items()}
    return found


def _two(first: tuple[int, float, float], second: tuple[int, float, float]) -> dict[str, float]:
    (m, a, s), (n, b, r) = first, second
    spread = math.sqrt(((m - 1) * s**2 + (n - 1) * r**2) / (m + n - 2) * (1 / m + 1 / n))
    welch = math.sqrt(s**2 / m + r**2 / n)
    freedom = welch**4 / ((s**2 / m) ** 2 / (m - 1) + (r**2 / n) ** 2 / (n - 1))
    return {
        "Student's t-test": float(2 * t_distribution.sf(abs(a - b) / spread, m + n - 2)),
        "Welch's t-test": float(2 * t_distribution.sf(abs(a - b) / welch, freedom)),
    }


def _many(groups: Sequence[tuple[int, float, float]]) -> dict[str, float]:
    n, k = sum(one[0] for one in groups), len(groups)
    mean = sum(size * value for size, value, _ in groups) / n
    between = sum(size * (value - mean) ** 2 for size, value, _ in groups) / (k - 1)
    within = sum((size - 1) * sd**2 for size, _, sd in groups) / (n - k)
    return {"analysis of variance": float(f_distribution.sf(between / within, k - 1, n - k))}


def _moments(paper: Transcription) -> dict[tuple[str, str], dict[Group, Moments]]:
    """Means of groups whose size is printed, by place and row."""
    found: dict[tuple[str, str], dict[Group, Moments]] = {}
    for (place, row, cohort, subgroup), by in paper.cells.items():
        size = paper.sizes.get((cohort, subgroup))
        if size and "mean" in by and is_number(by["mean"].value):
            sd = by.get("sd")
            spread = printed_range(sd.value) if sd and is_number(sd.value) else None
            moments = Moments(size, printed_range(by["mean"].value), spread)
            found.setdefault((place, row), {})[cohort, subgroup] = moments
    return found


def check_whole_numbers(paper: Transcription) -> Iterator[CheckResult]:
    """Means and standard deviations of rows that count whole numbers (GRIM, GRIMMER)."""
    for (place, row), by_group in _moments(paper).items():
        if row not in paper.description.whole_numbers:
            continue
        results = []
        for group, one in by_group.items():
            nothing = "no whole number" if not sums_that_print_as(one.mean, one.n) else "no whole sum of squares"
            otherwise = Discrepancy(
                CHECK,
                f"{row}, {group_name(group)}",
                f"mean {one.mean}" + (f", SD {one.sd}" if one.sd else ""),
                "no such mean and standard deviation of whole numbers",
                f"{one.n} x {one.mean} is {one.n * one.mean}: {nothing} gives it",
            )
            results.append(CheckResult.of_one(is_possible(one), "", otherwise))
        yield CheckResult.joined(CHECK, "means of whole numbers", results).at(place)


def check_pooled(paper: Transcription) -> Iterator[CheckResult]:
    """Means and standard deviations of pooled cohorts against those of their parts."""
    for (place, row), by_group in _moments(paper).items():
        results = []
        for whole, parts in paper.description.pooled.items():
            for (cohort, subgroup), one in by_group.items():
                if cohort == whole and all((part, subgroup) in by_group for part in parts):
                    follows = pooled([by_group[part, subgroup] for part in parts])
                    holds = one.mean.meets(follows.mean) and not (
                        one.sd and follows.sd and not one.sd.meets(follows.sd)
                    )
                    otherwise = Discrepancy(
                        CHECK,
                        f"{row}, {group_name((cohort, subgroup))}",
                        f"mean {one.mean}" + (f", SD {one.sd}" if one.sd else ""),
                        f"mean {follows.mean}" + (f", SD {follows.sd}" if follows.sd else ""),
                        f"the parts together have a mean of {follows.mean}"
                        + (f" and an SD of {follows.sd}" if follows.sd else ""),
                    )
                    results.append(CheckResult.of_one(holds, "", otherwise))
        if results:
            yield CheckResult.joined(CHECK, "pooled means against their parts", results).at(place)


def check_p_values(paper: Transcription) -> Iterator[CheckResult]:
    """Every p-value of a row of means against its tests."""
    for (place, row), by_group in _moments(paper).items():
        compares = paper.description.compares.get(place, ())
        results = []
        for (where, name, cohort, _), by in paper.cells.items():
            if (where, name) != (place, row) or "p-value" not in by or not is_number(by["p-value"].value):
                continue
            cohorts = set(compares) <= set(paper.description.every_cohort)
            groups = [by_group.get((one, "") if cohorts else (cohort, one)) for one in compares]
            if not 2 <= len(groups) <= _MOST_GROUPS or not all(one and one.sd and one.n > 1 for one in groups):
                continue
            printed, tests = printed_range(by["p-value"].value), p_of_means(groups)
            shown = ", ".join(f"{test} p {p_text(p.low)} to {p_text(p.high)}" for test, p in tests.items())
            means = " against ".join(f"{one.mean} (SD {one.sd}, n {one.n})" for one in groups)
            cell = ", ".join(filter(None, (row, cohort)))
            arithmetic = f"{means}: {shown}; printed {printed}"
            otherwise = Discrepancy("p_values", cell, f"p {printed}", shown, arithmetic, IMPLIED)
            results.append(CheckResult.of_one(any(printed.meets(p) for p in tests.values()), "", otherwise))
        if results:
            yield CheckResult.joined("p_values", "p-value against its means", results).at(place)
