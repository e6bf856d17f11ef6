"""Which method on which denominator reproduces a printed confidence interval of a proportion."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from statsmodels.stats.proportion import proportion_confint

from hccbook.audit.findings import IMPLIED, CheckResult, Discrepancy
from hccbook.audit.printed import DEVIATE, Range, is_number, printed_range
from hccbook.audit.two_by_two import MEASURES, TwoByTwo
from hccbook.errors import DataError
from hccbook.evaluation.diagnostic import wilson_interval

if TYPE_CHECKING:
    from hccbook.audit.transcription import Group, Transcription

CHECK = "intervals"


def wald_interval(share: float, denominator: int) -> tuple[float, float]:
    """Wald's interval of a proportion, ``p ± z sqrt(p (1 - p) / n)``; it may reach beyond 0 and 1.

    Parameters
    ----------
    share : float
        Estimate, 0 to 1.
    denominator : int
        Number of people, 1 or more.

    Returns
    -------
    lower, upper : float

    References
    ----------
    Brown, Cai and DasGupta 2001, Stat Sci 16:101, equation 1.
    """
    half = DEVIATE * math.sqrt(share * (1 - share) / denominator)
    return share - half, share + half


def _of_statsmodels(method: str) -> Callable[[float, int], tuple[float, float]]:
    @lru_cache(maxsize=4096)
    def interval(share: float, denominator: int) -> tuple[float, float]:
        lower, upper = proportion_confint(share * denominator, denominator, method=method)
        return float(lower), float(upper)

    return interval


def _wilson(share: float, denominator: int) -> tuple[float, float]:
    lower, upper = wilson_interval(share * denominator, denominator)
    return float(lower), float(upper)


def _wilson_corrected(share: float, denominator: int) -> tuple[float, float]:
    """Wilson's interval with continuity correction, as R's ``prop.test``; Newcombe 1998, Stat Med 17:857, method 4."""
    z, n = DEVIATE, denominator

    def lower(p: float) -> float:
        root = math.sqrt(max(z**2 - 2 - 1 / n + 4 * p * (n * (1 - p) + 1), 0.0))
        return max((2 * n * p + z**2 - 1 - z * root) / (2 * (n + z**2)), 0.0) if p > 0 else 0.0

    return lower(share), 1 - lower(1 - share)


METHODS: dict[str, Callable[[float, int], tuple[float, float]]] = {
    "Wald": wald_interval,
    "Wilson": _wilson,
    "Clopper-Pearson": _of_statsmodels("beta"),
    "Agresti-Coull": _of_statsmodels("agresti_coull"),
    "Jeffreys": _of_statsmodels("jeffreys"),
    "Wilson with continuity correction": _wilson_corrected,
}
"""Interval methods that are tried: of a share and a number of people, whose product need be no whole number."""


def _limits_text(method: str, share: float, number: int, percent: bool = False) -> str:
    low, high = METHODS[method](share, number)
    return f"{100 * low:.1f} % to {100 * high:.1f} %" if percent else f"{low:.3f} to {high:.3f}"


class PrintedInterval(NamedTuple):
    """A printed proportion with its interval.

    Attributes
    ----------
    cell : str
        Where it stands.
    measure : str
        One of the measures of `two_by_two.MEASURES` but f1.
    estimate, lower, upper : Range
        As printed.
    table : TwoByTwo
        The recovered 2x2 table behind it, whose exact share is used, not the rounded one.
    """

    cell: str
    measure: str
    estimate: Range
    lower: Range
    upper: Range
    table: TwoByTwo

    @property
    def is_percent(self) -> bool:
        """Whether it is printed in per cent."""
        return self.estimate.text.endswith("%")


OWN, WHOLE, AUGMENTED = "own denominator", "whole cohort", "cohort balanced by oversampling"
DENOMINATORS = (OWN, WHOLE, "events", "non-events", "flagged", AUGMENTED)
"""Numbers of people that an interval may have been computed with."""


def denominators(table: TwoByTwo, measure: str) -> dict[str, int]:
    """Numbers of people that a printed interval may have been computed with; those of 0 people left out.

    Parameters
    ----------
    table : TwoByTwo
    measure : str
        One of `two_by_two.MEASURES`.

    Returns
    -------
    dict of str to int
        The measure's own denominator; the whole cohort; those with and without the outcome; those flagged; and the
        cohort after oversampling to as many events as non-events.
    """
    nonevents = table.n - table.events
    numbers = (table.counts(measure)[1], table.n, table.events, nonevents, table.flagged, 2 * nonevents)
    return {name: number for name, number in zip(DENOMINATORS, numbers, strict=True) if number > 0}


def reproduces(limits: tuple[float, float], lower: Range, upper: Range) -> bool:
    """Whether computed limits print as the printed ones; a limit beyond 0 or 1 may have been cut anywhere near it.

    Parameters
    ----------
    limits : (float, float)
        Computed, may lie outside 0 to 1: one above 1 agrees with a printed 1, or a unit of the last digit below it.
    lower, upper : Range
        Printed.

    Returns
    -------
    bool
    """
    low, high = limits
    # Half away from zero, half to even and a floating-point hair apart: all are roundings.
    fits_low = lower.holds(low, 1e-6) or (low <= 0 and lower.middle - lower.width <= 1e-9)
    fits_high = upper.holds(high, 1e-6) or (high >= 1 and upper.middle + upper.width >= 1 - 1e-9)
    return fits_low and fits_high


def ways_to_reproduce(one: PrintedInterval) -> list[tuple[str, str]]:
    """Every method and denominator that reproduces a printed interval, in the order of `METHODS` and `DENOMINATORS`."""
    share = one.table.value(one.measure)
    if math.isnan(share):
        return []
    return [
        (method, name)
        for method, interval in METHODS.items()
        for name, number in denominators(one.table, one.measure).items()
        if reproduces(interval(share, number), one.lower, one.upper)
    ]


def common_way(intervals: Sequence[PrintedInterval]) -> tuple[tuple[str, str] | None, int]:
    """The one method and denominator that reproduces most intervals of a table.

    Returns
    -------
    way : (method, denominator) or None
        None where nothing reproduces any; among equals the measure's own denominator and the earlier method.
    reproduced : int
        Intervals that it reproduces.
    """
    votes = Counter(way for one in intervals for way in ways_to_reproduce(one))
    if not votes:
        return None, 0
    order = {(method, name): (i, j) for j, method in enumerate(METHODS) for i, name in enumerate(DENOMINATORS)}
    best = min(votes, key=lambda way: (-votes[way], order[way]))
    return best, votes[best]


def identify(intervals: Sequence[PrintedInterval]) -> CheckResult:
    """Whether one method, on each measure's own denominator, reproduces the intervals of a table.

    Parameters
    ----------
    intervals : sequence of PrintedInterval

    Returns
    -------
    CheckResult
        One comparison an interval, by the method that reproduces most; one that fails says what would reproduce it.
    """
    ways_by_interval = [ways_to_reproduce(one) for one in intervals]
    method = max(METHODS, key=lambda name: sum((name, OWN) in ways for ways in ways_by_interval))
    wrong = []
    for one, ways in zip(intervals, ways_by_interval, strict=True):
        if (method, OWN) in ways:
            continue
        people = denominators(one.table, one.measure)
        number = people.get(OWN)
        expected = _limits_text(method, one.table.value(one.measure), number, one.is_percent) if number else "undefined"
        others = ", ".join(f"{name} on {base} ({people[base]})" for name, base in ways)
        wrong.append(
            Discrepancy(
                CHECK,
                one.cell,
                f"{one.estimate} ({one.lower} to {one.upper})",
                f"{expected} ({method} on {number})",
                f"{method} on {number} people gives {expected}; printed {one.lower} to {one.upper} is "
                + (f"that of {others}" if others else "that of no method and denominator tried"),
            )
        )
    return CheckResult(CHECK, "interval by one method on its own people", len(intervals), tuple(wrong))


def estimates_inside(
    intervals: Mapping[str, tuple[Range, Range, Range]], what: str, behind: Mapping[str, str] | None = None
) -> CheckResult:
    """Whether each printed estimate lies inside its own interval.

    Parameters
    ----------
    intervals : mapping of str to (estimate, lower, upper)
    what : str
        Name of the comparison.
    behind : mapping of str to str, optional
        Further arithmetic by cell.

    Returns
    -------
    CheckResult
        One comparison an interval.
    """
    wrong = []
    for cell, (estimate, lower, upper) in intervals.items():
        if estimate.high < lower.low or estimate.low > upper.high:
            arithmetic = f"{estimate} is {'below' if estimate.high < lower.low else 'above'} {lower} to {upper}"
            more = (behind or {}).get(cell, "")
            wrong.append(
                Discrepancy(
                    CHECK,
                    cell,
                    f"{estimate} ({lower} to {upper})",
                    "an estimate lies inside its interval",
                    f"{arithmetic}; {more}" if more else arithmetic,
                )
            )
    return CheckResult(CHECK, what, len(intervals), tuple(wrong))


def implied_denominator(estimate: Range, lower: Range, upper: Range) -> Range:
    """Number of people that a symmetric interval of a proportion implies, ``n = z² p (1 - p) / h²``.

    Parameters
    ----------
    estimate, lower, upper : Range
        As printed.

    Returns
    -------
    Range
        Of the number of people, by Wald's formula, rounding included.

    Raises
    ------
    DataError
        If the interval may have no width.
    """
    half = (upper - lower) / 2
    if half.low <= 0:
        raise DataError("interval", "must have a width", f"{lower} to {upper}", "Leave it out.")
    shares = [estimate.low, estimate.high] + ([0.5] if estimate.low < 0.5 < estimate.high else [])
    variances = [share * (1 - share) for share in shares]
    return Range(DEVIATE**2 * min(variances) / half.high**2, DEVIATE**2 * max(variances) / half.low**2)


def width_ratio(one: PrintedInterval) -> Range:
    """Width of a printed interval over that of every method on its own people.

    Parameters
    ----------
    one : PrintedInterval
        Of a share above 0 and below 1.

    Returns
    -------
    Range
        Over the methods and the rounding of the printed limits; below 1 the printed interval is narrower. Limits are
        cut to 0 and 1 first, as printed ones are.
    """
    share, number = one.table.value(one.measure), one.table.counts(one.measure)[1]
    widths = []
    for interval in METHODS.values():
        low, high = interval(share, number)
        widths.append(min(high, 1.0) - max(low, 0.0))
    printed = one.upper - one.lower
    return Range(printed.low / max(widths), printed.high / min(widths))


def check_widths(intervals: Sequence[PrintedInterval], factor: float) -> CheckResult:
    """Whether each interval is about as wide as every method makes it from the measure's own people.

    Parameters
    ----------
    intervals : sequence of PrintedInterval
        As `width_ratio` takes them.
    factor : float
        How much wider or narrower than any method's an interval may be.

    Returns
    -------
    CheckResult
        One comparison an interval; the cell of one that fails says first whether it is ``narrow`` or ``wide``.
    """
    wrong = []
    for one in intervals:
        ratio = width_ratio(one)
        if 1 / factor <= ratio.high and ratio.low <= factor:
            continue
        narrow = ratio.high < 1 / factor
        number = one.table.counts(one.measure)[1]
        wilson = _limits_text("Wilson", one.table.value(one.measure), number, one.is_percent)
        people = implied_denominator(one.estimate, one.lower, one.upper)
        times = f"at most {ratio.high:.2f}" if narrow else f"at least {ratio.low:.2f}"
        wrong.append(
            Discrepancy(
                CHECK,
                f"{'narrow' if narrow else 'wide'}, {one.cell}",
                f"{one.cell} {one.estimate} ({one.lower} to {one.upper})",
                wilson,
                f"{one.cell}: {one.lower} to {one.upper}, Wilson on {number} {wilson}, {times} times any method's "
                f"width, as of {people.low:.0f} to {people.high:.0f} people",
                IMPLIED,
            )
        )
    what = f"width of the interval within a factor of {factor:g} of every method on its own people"
    return CheckResult(CHECK, what, len(intervals), tuple(wrong))


def tables_behind(
    limits: Mapping[str, tuple[Range, Range]], events: int, nonevents: int, way: tuple[str, str] = ("Wald", WHOLE)
) -> list[TwoByTwo]:
    """Every 2x2 table whose intervals, by one method on one denominator, are those printed.

    Parameters
    ----------
    limits : mapping of str to (lower, upper)
        Printed limits by measure.
    events, nonevents : int
        People with and without the outcome.
    way : (method, denominator)
        Of `METHODS` and `DENOMINATORS`.

    Returns
    -------
    list of TwoByTwo
        What the limits say of the estimates, where these and the limits do not belong together.
    """
    interval = METHODS[way[0]]

    def fits(table: TwoByTwo, *measures: str) -> bool:
        return all(
            table.counts(measure)[1] > 0
            and way[1] in denominators(table, measure)
            and reproduces(interval(table.value(measure), denominators(table, measure)[way[1]]), *limits[measure])
            for measure in measures
            if measure in limits
        )

    sensitive = [tp for tp in range(events + 1) if fits(TwoByTwo(tp, 0, events - tp, nonevents), "sensitivity")]
    specific = [tn for tn in range(nonevents + 1) if fits(TwoByTwo(0, nonevents - tn, events, tn), "specificity")]
    every = [TwoByTwo(tp, nonevents - tn, events - tp, tn) for tp in sensitive for tn in specific]
    return [table for table in every if fits(table, "ppv", "npv", "accuracy")]


WIDTH_FACTOR = 1.25
"""How much wider or narrower than every method's a printed interval must be before it is a finding.

A bootstrap follows the methods' widths within sampling noise; no resampling of these people gives a quarter more.
"""

_FEWEST_ALIKE, _SHARE_ALIKE = 3, 2 / 3
"""Intervals, and share of them, that one way must reproduce to be the authors': a bootstrap meets some by chance."""

_PROPORTIONS = ("sensitivity", "specificity", "ppv", "npv", "accuracy")
_NOT_INTERVALS = ("median", "mean")
"""Quantities whose limits are no confidence interval."""


def _with_limits(paper: Transcription) -> Iterator[tuple[str, str, Group, object, tuple[Range, Range, Range]]]:
    """Every number with limits, once: place, cell, group, row, and estimate and limits."""
    seen = set()
    for one in paper.own[paper.own["lower"] != ""].itertuples(index=False):
        if one.quantity in _NOT_INTERVALS or not all(map(is_number, (one.value, one.lower, one.upper))):
            continue
        # A measure or an AUC is named by whose it is; of others, as of coefficients, a group may have several.
        name = "" if one.quantity in (*MEASURES, "auc") else one.row
        cell = ", ".join(filter(None, (one.quantity, one.cohort.replace("_", " "), one.subgroup, name)))
        key = (cell, one.value, one.lower, one.upper)
        if key not in seen:
            seen.add(key)
            limits = tuple(_in_unit(text, one.unit) for text in (one.value, one.lower, one.upper))
            yield one.place, cell, paper.group_of(one), one, limits


def _in_unit(text: str, unit: str) -> Range:
    """What is printed, its per cent sign with it."""
    found = printed_range(text, unit)
    return Range(found.low, found.high, f"{text} %") if unit == "%" else found


def check_estimates(paper: Transcription) -> Iterator[CheckResult]:
    """Whether every estimate lies inside its interval; where not, what tables its limits belong to."""
    by_place: dict[str, dict[str, tuple[Range, Range, Range]]] = {}
    groups = {}
    for place, cell, group, _, limits in _with_limits(paper):
        by_place.setdefault(place.partition(", sentence")[0], {})[cell] = limits
        groups[cell] = group
    way, _ = common_way(_printed_intervals(paper))
    for place, limits in by_place.items():
        result = estimates_inside(limits, "estimate inside its own interval")
        if way and result.discrepancies:
            behind = {one.cell: _behind(paper, groups[one.cell], way) for one in result.discrepancies}
            result = estimates_inside(limits, result.what, behind)
        yield result.at(place)


def _behind(paper: Transcription, group: Group, way: tuple[str, str]) -> str:
    row = paper.performance.get(group)
    if row is None:
        return ""
    limits = {
        one.quantity: ends[1:]
        for _, _, own, one, ends in _with_limits(paper)
        if own == group and one.quantity in _PROPORTIONS
    }
    tables = tables_behind(limits, row.events, row.nonevents, way)
    if len(tables) != 1:
        return ""
    shown = ", ".join(f"{name} {tables[0].value(name):.3f}" for name in limits)
    return f"{way[0]}'s intervals on the {way[1]} are as printed for {tables[0]} alone: {shown}"


def _printed_intervals(paper: Transcription) -> list[PrintedInterval]:
    """Intervals of proportions whose 2x2 table is known."""
    return [
        PrintedInterval(cell, one.quantity, *limits, paper.recovered[group])
        for _, cell, group, one, limits in _with_limits(paper)
        if one.quantity in _PROPORTIONS and group in paper.recovered
    ]


def check_methods(paper: Transcription) -> Iterator[CheckResult]:
    """Intervals of proportions against the people that they are of.

    Where one method on one denominator reproduces most of them, it must be the measure's own, and reproduce all;
    otherwise, as for a bootstrap, only their width is compared with that of every method.
    """
    known = _printed_intervals(paper)
    if not known:
        return
    # Of nobody and of everybody many ways agree, and a bootstrap gives no width at all.
    inside = [one for one in known if 0 < one.table.value(one.measure) < 1 and (one.upper - one.lower).low > 0]
    way, reproduced = common_way(inside)
    place = paper.places_of(*_PROPORTIONS)
    if way is None or reproduced < max(_FEWEST_ALIKE, _SHARE_ALIKE * len(inside)):
        yield check_widths(inside, WIDTH_FACTOR).at(place)
    elif way[1] == OWN or all(len(set(denominators(one.table, one.measure).values())) == 1 for one in known):
        yield identify(known).at(place)
    else:
        yield _on_others(known, way, reproduced).at(place)


def _on_others(known: Sequence[PrintedInterval], way: tuple[str, str], reproduced: int) -> CheckResult:
    """The intervals of a paper that are computed from other people than those that they are of."""
    wilson, wider = [], {}
    for one in known:
        share, number = one.table.value(one.measure), one.table.counts(one.measure)[1]
        wilson.append(f"{one.cell}: {_limits_text('Wilson', share, number, one.is_percent)} (Wilson on {number})")
        if 0 < share < 1 and (one.upper - one.lower).low > 0:
            least = 1 / width_ratio(one).high
            wider[one.measure] = min(least, wider.get(one.measure, least))
    first = known[0]
    share, on_whole = first.table.value(first.measure), denominators(first.table, first.measure)[way[1]]
    own = first.table.counts(first.measure)[1]
    arithmetic = (
        f"{way[0]} on the {way[1]} gives {reproduced} of {len(known)} to the last digit; {first.cell}: "
        f"{share:.3f} on {on_whole} people is {_limits_text(way[0], share, on_whole, first.is_percent)}, on the {own} "
        f"that it is of {_limits_text(way[0], share, own, first.is_percent)}; any method on the measure's own people "
        "gives at least "
        + ", ".join(
            f"{factor:.1f} times the printed width for {name}" for name, factor in wider.items() if factor > 1.05
        )
    )
    cases = [one for one in known if one.measure == first.measure]
    printed = "; ".join(f"{one.cell}: {one.lower} to {one.upper}" for one in cases)
    recomputed = "; ".join(text for text, one in zip(wilson, known, strict=True) if one in cases)
    wrong = Discrepancy(CHECK, "intervals on other people", printed, recomputed, arithmetic)
    return CheckResult(CHECK, "intervals on the people that they are of", len(known), (wrong,))
