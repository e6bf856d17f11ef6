"""The events that the interval of a hazard or an odds ratio of two groups needs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from hccbook.audit.findings import IMPLIED, CheckResult, Discrepancy
from hccbook.audit.printed import DEVIATE, Range, estimate_and_limits
from hccbook.audit.transcription import Transcription

CHECK = "intervals"

HAZARDS, ODDS = ("hazard ratio", "subdistribution hazard ratio"), "odds ratio"

SE_FACTOR = 1.25
"""How far the standard error of a log hazard ratio may be from the expected one, the split of cases being estimated."""


def log_hazard_se(lower: Range, upper: Range) -> Range:
    """Standard error of a log hazard ratio from its printed limits, ``ln(upper / lower) / 2z``."""
    return Range(math.log(upper.low / lower.high), math.log(upper.high / lower.low)) / (2 * DEVIATE)


def least_events(error: Range) -> float:
    """Least number of events that a model of two groups needs for so small a standard error.

    The information of the partial likelihood is ``Σ p_i (1 - p_i)`` over the events, p_i being the chance that the
    event fell in the high-risk group; at the estimate the p_i add up to its events e1. By concavity the variance is
    at least ``1/e1 + 1/e0``, which is least, ``4/e``, when the groups share the events. Of an odds ratio it is at most
    ``Σ q (1 - q) / 4`` over the people, q being their risks, which add up to e; so e counts as ``e (n - e) / n``
    (`information`). Other variables in the model only take from both.

    Parameters
    ----------
    error : Range
        Standard error of the logarithm of the ratio.

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


def information(events: int, people: int) -> float:
    """What events tell of an odds ratio: ``e (n - e) / n``."""
    return events * (people - events) / people


def words(text: str) -> set[str]:
    """Words of a name: ``high-risk`` has two."""
    return set(re.findall(r"\w+", text.lower()))


def check_hazard_ratios(paper: Transcription) -> Iterator[CheckResult]:
    """Intervals of ratios of two groups against the events that they need, those of risk groups against their split.

    A ratio is one of two groups where a table of characteristics counts its row, or it names both `hazard_groups`; that
    of a year of age may have any interval.
    """
    about, results = paper.description, []
    counted = paper.own["place"].isin(list(about.compares)) & (paper.own["quantity"] == "count")
    binary, groups = set(paper.own[counted]["row"]), words(" ".join(about.hazard_groups))
    cases = {cohort: events for (cohort, subgroup), events in paper.events.items() if not subgroup}
    rows = paper.own[paper.own["quantity"].isin((*HAZARDS, ODDS)) & (paper.own["lower"] != "")]
    for one in rows.itertuples(index=False):
        of_risk = bool(groups) and groups <= words(one.row)
        possible = {one.cohort: cases[one.cohort]} if one.cohort in cases else cases
        if one.quantity == ODDS:
            possible = {name: information(e, paper.sizes[name, ""]) for name, e in possible.items() if e}
        limits = estimate_and_limits(one)
        if (of_risk or one.row in binary) and possible and limits and limits[1].low > 0:
            is_own = of_risk and one.quantity in HAZARDS and one.subgroup in ("", about.model)
            name = f"{one.quantity}, " + ", ".join(filter(None, (one.row, one.cohort, one.subgroup)))
            sizes = _sizes(paper, one.cohort) if is_own else None
            results.append(_check_events(name, limits, possible, sizes))
    if results:
        yield CheckResult.joined(CHECK, "events enough for the interval of the ratio", results).at("text")


def _sizes(paper: Transcription, cohort: str) -> tuple[int, int] | None:
    """People at high and at low risk in a cohort, or in the first whose groups are printed."""
    groups = paper.description.hazard_groups
    for one in [cohort] if cohort else paper.description.cohorts:
        if groups and all((one, group) in paper.sizes for group in groups):
            return tuple(paper.sizes[one, group] for group in groups)
    return None


def _check_events(
    name: str, limits: tuple[Range, Range, Range], cases: dict[str, float], sizes: tuple[int, int] | None
) -> CheckResult:
    ratio, lower, upper = limits
    error = log_hazard_se(lower, upper)
    needed = least_events(error)
    enough = {cohort: events for cohort, events in cases.items() if events >= needed}
    is_hazard = not name.startswith(ODDS)
    least = "1/e1 + 1/e0" if is_hazard else "4n / e(n - e)"
    of = "events" if is_hazard else "e(n - e)/n"
    arithmetic = (
        f"the limits imply an SE of ln {'HR' if is_hazard else 'OR'} from {error.low:.3f} to {error.high:.3f}; since "
        f"its square is at least {least}, that needs {needed:.1f} {of} or more, of which there are "
        + ", ".join(f"{events:.4g} ({cohort})" for cohort, events in cases.items())
    )
    fits, recomputed = bool(enough), f"{needed:.0f} {of} or more"
    if enough and sizes:
        high, low = sizes
        share = share_of_events(ratio.middle, high, low)
        expected = {cohort: expected_se(share, events) for cohort, events in cases.items()}
        fits = any(error.low <= SE_FACTOR * expected[one] and expected[one] <= SE_FACTOR * error.high for one in enough)
        recomputed = "SE of ln HR " + ", ".join(f"{se:.3f} ({cohort})" for cohort, se in expected.items())
        arithmetic += f"; with {high} against {low} people {ratio} puts {share:.0%} of the events in the first group"
    shown = f"{ratio} ({lower} to {upper})"
    otherwise = Discrepancy(CHECK, name, shown, recomputed, arithmetic, IMPLIED)
    return CheckResult.of_one(fits, "", otherwise)
