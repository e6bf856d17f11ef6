"""Net reclassification and integrated discrimination against their parts, expected events against observed ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hccbook.audit.findings import CheckResult, Discrepancy
from hccbook.audit.printed import Range, is_number, printed_range
from hccbook.audit.transcription import Transcription

CHECK, CALIBRATION = "reclassification", "calibration_counts"

NRI, IDI = "net reclassification improvement", "integrated discrimination improvement"
MOVES = ("events up", "events down", "nonevents up", "nonevents down")
"""Quantities that count those whom the new model puts into a higher or a lower group."""


def net_reclassification(moves: Mapping[str, int], events: int, nonevents: int) -> dict[str, float]:
    """NRI of counted moves, ``(up - down) / events + (down - up) / nonevents``, and its halves.

    References
    ----------
    Pencina et al. 2008, Stat Med 27:157.
    """
    up, down, other_up, other_down = (moves[name] for name in MOVES)
    halves = (up - down) / events, (other_down - other_up) / nonevents
    return {"event NRI": halves[0], "nonevent NRI": halves[1], NRI: sum(halves)}


def check_parts(paper: Transcription) -> Iterator[CheckResult]:
    """NRI against its two halves and against counted moves, IDI against the change of the mean risks."""
    results = []
    for (_, row, cohort, subgroup), by in paper.cells.items():
        printed = {name: printed_range(one.value, one.unit) for name, one in by.items() if is_number(one.value)}
        cell = ", ".join(filter(None, (row, cohort, subgroup)))
        if NRI in printed and {"event NRI", "nonevent NRI"} <= set(printed):
            follows = printed["event NRI"] + printed["nonevent NRI"]
            results.append(_compared(f"NRI and its halves, {cell}", printed[NRI], follows))
        people = paper.people((cohort, ""))
        moves = {name: by[name].people for name in MOVES if name in by and by[name].people is not None}
        if set(MOVES) == set(moves) and people and min(people):
            for name, value in net_reclassification(moves, *people).items():
                if name in printed:
                    results.append(_compared(f"{name} and its moves, {cell}", printed[name], Range(value, value)))
        slopes = ("discrimination slope, new", "discrimination slope, old")
        if IDI in printed and set(slopes) <= set(printed):
            follows = printed[slopes[0]] - printed[slopes[1]]
            results.append(_compared(f"IDI and its slopes, {cell}", printed[IDI], follows))
    if results:
        yield CheckResult.joined(CHECK, "reclassification against its parts", results).at(paper.places_of(NRI, IDI))


def _compared(cell: str, printed: Range, follows: Range, check: str = CHECK) -> CheckResult:
    wrong = Discrepancy(check, cell, str(printed), str(follows), f"the parts give {follows}, printed {printed}")
    return CheckResult.of_one(printed.meets(follows), "", wrong)


def check_expected(paper: Transcription) -> Iterator[CheckResult]:
    """Observed events over expected ones, and expected ones as the size of a group times its mean risk."""
    results = []
    for (_, row, cohort, subgroup), by in paper.cells.items():
        printed = {name: printed_range(one.value, one.unit) for name, one in by.items() if is_number(one.value)}
        cell = ", ".join(filter(None, (row, cohort, subgroup)))
        if {"observed events", "expected events", "observed to expected ratio"} <= set(printed):
            observed = by["observed events"].people
            if printed["expected events"].low > 0 and observed is not None:
                follows = Range(observed, observed) / printed["expected events"]
                stated = printed["observed to expected ratio"]
                results.append(_compared(f"observed to expected, {cell}", stated, follows, CALIBRATION))
        size = by["count"].people if "count" in by else paper.sizes.get((cohort, subgroup))
        if {"expected events", "mean predicted risk"} <= set(printed) and size:
            follows = size * printed["mean predicted risk"]
            results.append(_compared(f"expected events, {cell}", printed["expected events"], follows, CALIBRATION))
    if results:
        yield CheckResult.joined(CALIBRATION, "observed and expected events", results).at(
            paper.places_of("expected events")
        )
