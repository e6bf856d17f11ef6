"""Numbers at risk against sizes, events and cumulative incidences."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from hccbook.audit.expressions import Quoted
from hccbook.audit.findings import IMPLIED, CheckResult, Discrepancy
from hccbook.audit.printed import SLACK, Range, is_number, printed_range
from hccbook.audit.transcription import Group, Transcription, group_name

CHECK = "survival"

Times = dict[float, dict[str, Quoted]]


def incidence_bounds(size: int, events: int, at_risk: int) -> Range:
    """Least and greatest cumulative incidence of Kaplan and Meier with so many events and people left.

    Nobody censored before an event makes it ``d / n``; everybody censored before the first makes it ``d / (r + d)``,
    each event then happening among those left and the later ones.

    Parameters
    ----------
    size, events, at_risk : int
        People at the start, with the event by a time, and still at risk at that time.

    Returns
    -------
    Range
    """
    return Range(events / size, events / (at_risk + events) if events else 0.0)


def _by_group(paper: Transcription) -> dict[Group, Times]:
    """What is printed at every time: the row is the time, with its unit or without."""
    found: dict[Group, Times] = {}
    for (_, row, cohort, subgroup), by in paper.cells.items():
        time = row.split()[0] if row else ""
        if "at risk" in by and by["at risk"].people is not None and is_number(time):
            found.setdefault((cohort, subgroup), {}).setdefault(float(time), {}).update(by)
    return found


def check_at_risk(paper: Transcription) -> Iterator[CheckResult]:
    """Numbers at risk that never rise, begin with everybody, and leave room for the events and the incidence."""
    results = []
    for group, times in _by_group(paper).items():
        results += _rising(group_name(group), times)
        ordered = [(time, times[time]["at risk"].people) for time in sorted(times)]
        name = group_name(group)
        for (early, more), (late, fewer) in pairwise(ordered):
            wrong = Discrepancy(
                CHECK,
                f"at risk, {name}, {late:g}",
                str(fewer),
                f"at most {more}",
                f"{more} at {early:g}, {fewer} later",
            )
            results.append(CheckResult.of_one(fewer <= more, "", wrong))
        size = paper.sizes.get(group, ordered[0][1] if ordered[0][0] == 0 else None)
        if size is not None and ordered[0][0] == 0:
            arithmetic = f"{ordered[0][1]} at risk at the start, {size} people in the group"
            wrong = Discrepancy(CHECK, f"at risk, {name}, 0", str(ordered[0][1]), str(size), arithmetic)
            results.append(CheckResult.of_one(ordered[0][1] == size, "", wrong))
        if size is not None:
            results += [one for time, at_risk in ordered for one in _events(name, time, (size, at_risk), times[time])]
    if results:
        yield CheckResult.joined(CHECK, "numbers at risk, events and incidences", results).at("numbers at risk")


def _rising(name: str, times: Times) -> Iterator[CheckResult]:
    """Events and incidences never fall; of two numbers one unit apart the roundings touch, which is a fall too."""
    for quantity in ("cumulative events", "cumulative incidence"):
        known = [(time, times[time][quantity]) for time in sorted(times) if quantity in times[time]]
        printed = [(time, printed_range(one.value)) for time, one in known if is_number(one.value)]
        for (early, less), (late, more) in pairwise(printed):
            arithmetic = f"{less} at {early:g}, {more} later"
            wrong = Discrepancy(CHECK, f"{quantity}, {name}, {late:g}", f"{more}", f"at least {less}", arithmetic)
            yield CheckResult.of_one(less.low < more.high - SLACK, "", wrong)


def _events(name: str, time: float, people: tuple[int, int], by: dict[str, Quoted]) -> Iterator[CheckResult]:
    """Events by a time against those left, and the incidence against both."""
    events = by["cumulative events"].people if "cumulative events" in by else None
    if events is None:
        return
    size, at_risk = people
    arithmetic = f"{events} with the event and {at_risk} still at risk of {size}"
    cell = f"events, {name}, {time:g}"
    wrong = Discrepancy(CHECK, cell, str(events), f"at most {size - at_risk}", arithmetic)
    yield CheckResult.of_one(events + at_risk <= size, "", wrong)
    incidence = by.get("cumulative incidence")
    if incidence and is_number(incidence.value) and events + at_risk <= size:
        printed, allowed = printed_range(incidence.value, incidence.unit), incidence_bounds(size, events, at_risk)
        shown = f"{allowed.low:.1%} to {allowed.high:.1%}"
        wrong = Discrepancy(
            CHECK, f"incidence, {name}, {time:g}", f"{incidence}", shown, f"{arithmetic}: {shown}", IMPLIED
        )
        yield CheckResult.of_one(printed.meets(allowed), "", wrong)
