"""Areas under the ROC curve: their standard errors, and what else in print bounds them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hccbook.audit.findings import IMPLIED, CheckResult, Discrepancy
from hccbook.audit.printed import DEVIATE, Range, estimate_and_limits, is_number, printed_range, total
from hccbook.errors import DataError

if TYPE_CHECKING:
    from hccbook.audit.transcription import Group, Transcription

CHECK = "intervals"

SKEW = 1.5
"""How much further up than down the interval of an AUC may reach: those of DeLong and of the logit never do, of a
bootstrap by chance."""


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
    whose least value is ``A(1-A)/n - m/(12 n²)``. With m and n exchanged the same holds; the greater bound counts.

    Parameters
    ----------
    auc, events, nonevents
        As in `hanley_mcneil_se`.

    Returns
    -------
    float

    References
    ----------
    Birnbaum and Klose 1957, Ann Math Stat 28:933, on the bounds of the variance of the Mann-Whitney statistic.
    """
    spread = auc * (1 - auc)
    pairs = ((events, nonevents), (nonevents, events))
    return math.sqrt(max(0.0, *(spread / n - m / (12 * n**2) for m, n in pairs)))


def implied_se(lower: Range, upper: Range) -> Range:
    """Standard error that the width of a symmetric interval implies, rounding included."""
    return (upper - lower) / (2 * DEVIATE)


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
    within = total(auc * (events * nonevents) for events, nonevents, auc in strata)
    inside = sum(events * nonevents for events, nonevents, _ in strata)
    return Range(max(0.0, within.low / (m * n)), min(1.0, (within.high + m * n - inside) / (m * n)))


def auc_on_grid(auc: Range, events: int, nonevents: int) -> bool:
    """Whether an AUC of so few pairs can print so: pairs are won, tied or lost, so it is a multiple of 1/(2mn)."""
    steps = 2 * events * nonevents
    return math.floor(auc.high * steps + 1e-7) >= math.ceil(auc.low * steps - 1e-7)


def check_width(cell: str, limits: tuple[Range, Range, Range], events: int, nonevents: int, what: str) -> CheckResult:
    """Whether the interval of an AUC is as wide as these people need it to be.

    Parameters
    ----------
    cell : str
        Where it stands.
    limits : (Range, Range, Range)
        Estimate, lower and upper limit.
    events, nonevents : int
        People with and without the outcome.
    what : str
        Name of the comparison.

    Returns
    -------
    CheckResult
        One comparison: it fails where the width implies a standard error below `least_auc_se`.
    """
    estimate, lower, upper = limits
    error, least = implied_se(lower, upper), least_auc_se(estimate.middle, events, nonevents)
    usual = hanley_mcneil_se(estimate.middle, events, nonevents)
    ends = (estimate.middle + sign * 1.96 * one for one in (usual, least) for sign in (-1, 1))
    otherwise = Discrepancy(
        CHECK,
        cell,
        f"{estimate} ({lower} to {upper})",
        "about {:.3f} to {:.3f}, and no narrower than {:.3f} to {:.3f}".format(*ends),
        f"the width implies a standard error of at most {error.high:.4f}; {events} with and {nonevents} without the "
        f"outcome give {usual:.4f} (Hanley-McNeil) and no untied score less than {least:.4f}",
        IMPLIED,
    )
    return CheckResult.of_one(error.high >= least, what, otherwise)


def check_centre(cell: str, limits: tuple[Range, Range, Range], events: int, nonevents: int, what: str) -> CheckResult:
    """Whether an AUC is not far below the middle of its interval; parameters as for `check_width`."""
    estimate, lower, upper = limits
    below, above = estimate - lower, upper - estimate
    usual = 1.96 * hanley_mcneil_se(estimate.middle, events, nonevents)
    otherwise = Discrepancy(
        CHECK,
        cell,
        f"{estimate} ({lower} to {upper})",
        f"{estimate.middle - usual:.3f} to {estimate.middle + usual:.3f} (Hanley-McNeil)",
        f"the interval reaches {above.middle:.3f} above and {below.middle:.3f} below: its centre is "
        f"{(lower + upper).middle / 2:.4f}",
        IMPLIED,
    )
    return CheckResult.of_one(above.low <= SKEW * below.high, what, otherwise)


def check_possible(cell: str, estimate: Range, allowed: Range, what: str, possible: bool | None = None) -> CheckResult:
    """Whether a printed AUC is one that other printed numbers allow.

    Parameters
    ----------
    cell, what : str
        Where it stands, and the name of the comparison.
    estimate, allowed : Range
        As printed, and what points, groups or strata of the curve leave.
    possible : bool, optional
        Whether it is, where more than `allowed` decides.

    Returns
    -------
    CheckResult
        One comparison; that the curve is of these people, none of them censored, is a reading.
    """
    arithmetic = f"what else is printed allows an AUC from {allowed.low:.3f} to {allowed.high:.3f}, printed {estimate}"
    otherwise = Discrepancy(CHECK, cell, str(estimate), str(allowed), arithmetic, IMPLIED)
    return CheckResult.of_one(allowed.meets(estimate) and possible is not False, what, otherwise)


def _limits(paper: Transcription) -> Iterator[tuple[str, tuple[Range, Range, Range], int, int]]:
    """Every AUC with limits whose people are known: name, estimate and limits, people with and without the outcome."""
    for (cohort, subgroup), one in paper.areas.items():
        people = paper.people((cohort, subgroup))
        limits = estimate_and_limits(one)
        if people and min(people) and limits:
            yield ", ".join(filter(None, (cohort, subgroup))).replace("_", " "), limits, *people


def check_intervals(paper: Transcription) -> Iterator[CheckResult]:
    """Intervals of AUCs against the events behind them: their width, their centre."""
    width, centre = "width of the AUC's interval is possible", "AUC is not below the middle of its interval"
    widths, centres = [], []
    for name, limits, events, others in _limits(paper):
        widths.append(check_width(f"width of the AUC's interval, {name}", limits, events, others, width))
        centres.append(check_centre(f"centre of the AUC's interval, {name}", limits, events, others, centre))
    if widths:
        yield CheckResult.joined(CHECK, width, widths).at(paper.places_of("auc"))
        yield CheckResult.joined(CHECK, centre, centres).at(paper.places_of("auc"))


def check_chance(paper: Transcription) -> Iterator[CheckResult]:
    """Whether the whole interval of an AUC lies below one half: a score that ranks people in reverse."""
    results = []
    for (cohort, subgroup), one in paper.areas.items():
        limits = estimate_and_limits(one)
        if limits is None:
            continue
        estimate, lower, upper = limits
        otherwise = Discrepancy(
            CHECK,
            f"below chance: AUC, {cohort}, {subgroup}".rstrip(", "),
            f"{estimate} ({lower} to {upper})",
            f"{1 - estimate.middle:.3f} ({1 - upper.middle:.3f} to {1 - lower.middle:.3f}) in reverse",
            "the whole interval lies below 0.5: read as printed, the score is significantly lower in those who get "
            f"the outcome; 1 - {estimate} = {1 - estimate.middle:.3f}",
            IMPLIED,
        )
        results.append(CheckResult.of_one(upper.high >= 0.5, "", otherwise))
    if results:
        yield CheckResult.joined(CHECK, "no score significantly below chance", results).at(paper.places_of("auc"))


def check_operating_points(paper: Transcription) -> Iterator[CheckResult]:
    """Every AUC against the operating points of its score, and against its number of pairs."""
    results = []
    for group, one in paper.areas.items():
        people = paper.people(group)
        points = _points(paper, group)
        if people is None or not min(people) or not is_number(one.value):
            continue
        value, allowed = printed_range(one.value), auc_from_points(points)
        on_grid = auc_on_grid(value, *people)
        name = ", ".join(filter(None, group)).replace("_", " ")
        results.append(check_possible(f"AUC, {name}", value, allowed, "", on_grid))
    if results:
        what = "AUC possible with its operating points and its number of pairs"
        yield CheckResult.joined(CHECK, what, results).at(paper.places_of("auc"))


def _points(paper: Transcription, group: Group) -> list[tuple[Range, Range]]:
    """Operating points of the score of an AUC: its own row, and of everybody's those of the cut-offs."""
    cohort, subgroup = group
    keys = [group, *((cohort, cutoff) for cutoff in paper.description.cutoffs if not subgroup)]
    rows = [paper.performance[key].measures for key in keys if key in paper.recovered]
    return [
        (one["sensitivity"], one["specificity"]) for one in rows if one.get("sensitivity") and one.get("specificity")
    ]


def check_parts(paper: Transcription) -> Iterator[CheckResult]:
    """The AUC of a cohort against those of its subgroups, and that of a score against events by its groups."""
    results = []
    for cohort in paper.description.every_cohort:
        for one in paper.description.groupings:
            people = [paper.people((cohort, group)) for group in one.groups]
            whole = paper.people((cohort, ""))
            if whole is None or None in people or sum(some[0] for some in people) != whole[0]:
                continue
            areas = [paper.areas.get((cohort, group)) for group in ("", *one.groups)]
            # A part without events has no AUC; it adds no pairs of its own either.
            printed = [printed_range(area.value) if area and is_number(area.value) else Range(0, 1) for area in areas]
            if areas[0] and any(areas[1:]):
                strata = [(*some, area) for some, area in zip(people, printed[1:], strict=True)]
                what = f"AUC of the cohort possible with those by {one.name}: {cohort}"
                results.append(check_possible(what, printed[0], auc_from_strata(strata), what))
            score = paper.areas.get((cohort, one.of_model)) if one.of_model else None
            if score and is_number(score.value):
                what = f"AUC of {one.of_model} possible with events by its groups: {cohort}"
                allowed = auc_from_groups(*map(list, zip(*people, strict=True)))
                results.append(check_possible(what, printed_range(score.value), allowed, what))
    if results:
        yield CheckResult.joined(CHECK, "AUC possible with those of its parts", results).at(paper.places_of("auc"))
