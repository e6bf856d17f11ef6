"""Labels of categories that overlap or leave a gap: ``≤45``, ``45-55``, ``≥55``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from hccbook.audit.findings import IMPLIED, CheckResult, Discrepancy
from hccbook.audit.transcription import Transcription

CHECK = "categories"

_NUMBER = r"(\d+(?:\.\d+)?)"
_ONE_SIDED = re.compile(rf"(<=|>=|[<>≤≥])\s*{_NUMBER}")
_BETWEEN = re.compile(rf"{_NUMBER}\s*(?:-|–|to)\s*{_NUMBER}")


class Span(NamedTuple):
    """What a label spans; an end that is `closed` belongs to it."""

    label: str
    low: float
    high: float
    low_closed: bool
    high_closed: bool


def span_of(label: str) -> Span | None:
    """What a label spans; None where it names no numbers."""
    between = _BETWEEN.search(label)
    if between:
        low, high = map(float, between.groups())
        return Span(label, low, high, True, True) if low < high else None
    one = _ONE_SIDED.search(label)
    if one is None:
        return None
    sign, value = one[1], float(one[2])
    closed = sign in ("≤", "≥", "<=", ">=")
    if sign[0] in "<≤":
        return Span(label, -math.inf, value, False, closed)
    return Span(label, value, math.inf, closed, False)


def faults_between(labels: Sequence[str]) -> list[tuple[Span, Span, str]] | None:
    """Neighbouring categories that overlap or leave a gap; None unless every label spans numbers.

    Whole-number labels such as 18-44 and 45-64 leave no gap.
    """
    spans = [span_of(label) for label in labels]
    if len(spans) < 2 or None in spans:
        return None
    faults = []
    for first, second in pairwise(sorted(spans, key=lambda one: (one.low, one.high))):
        step = 1.0 if all(float(end).is_integer() for end in (first.high, second.low) if math.isfinite(end)) else 0.1
        if first.high > second.low or (first.high == second.low and first.high_closed and second.low_closed):
            faults.append((first, second, f"{second.low:g} belongs to both"))
        elif first.high == second.low and not (first.high_closed or second.low_closed):
            faults.append((first, second, f"{second.low:g} belongs to neither"))
        elif second.low - first.high > step + 1e-9:
            faults.append((first, second, f"what lies from {first.high:g} to {second.low:g} belongs to neither"))
    return faults


def check_labels(paper: Transcription) -> Iterator[CheckResult]:
    """Labels of groupings, and of rows under one heading of a table."""
    families = {one.name: list(one.groups) for one in paper.description.groupings}
    for place in paper.description.compares:
        for row in dict.fromkeys(paper.at_place(place)["row"]):
            heading, colon, label = row.partition(": ")
            if colon:
                families.setdefault(f"{place}, {heading}", []).append(label)
    results = []
    for name, labels in families.items():
        faults = faults_between(labels)
        if faults is None:
            continue
        shown = ", ".join(labels)
        what = "; ".join(f"{text} ({first.label}, {second.label})" for first, second, text in faults)
        wrong = Discrepancy(CHECK, name, shown, "categories that hold everything once", what, IMPLIED)
        results.append(CheckResult.of_one(not faults, "", wrong))
    if results:
        yield CheckResult.joined(CHECK, "categories that neither overlap nor leave a gap", results).at("labels")
