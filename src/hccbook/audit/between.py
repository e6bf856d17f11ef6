"""Papers of the same patients: what one prints of them, compared with what another does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

from hccbook.audit.findings import IMPLIED, CheckResult, Discrepancy
from hccbook.audit.repeated_numbers import Printing, printed_alike
from hccbook.audit.transcription import Transcription

CHECK = "between_papers"


def check_papers(papers: Sequence[Transcription]) -> Iterator[tuple[Transcription, CheckResult]]:
    """Every pair of papers that draw on one source; the later one of a pair carries what does not agree."""
    for first, second in combinations(papers, 2):
        one, other = first.description.study, second.description.study
        if one is None or other is None or one.source != other.source:
            continue
        place = f"{first.description.title} and {second.description.title}"
        for result in (
            _facts(first, second),
            _approval(first, second),
            _consent(first, second),
            *_overlap(first, second),
        ):
            if result.cells:
                yield second, result.at(place)


def _facts(first: Transcription, second: Transcription) -> CheckResult:
    """Sizes, dates and centres of the source, as both print them."""
    results = []
    for where in second.description.study.facts:
        if where not in first.description.study.facts:
            continue
        rows = [paper.at(where) for paper in (first, second)]
        if all(len(one) for one in rows):
            printings: list[Printing] = [
                (paper.description.title, (one["value"].iloc[0],))
                for paper, one in zip((first, second), rows, strict=True)
            ]
            results.append(printed_alike(where.row or where.place or "", printings))
    every = CheckResult.joined(CHECK, f"{second.description.study.source} in both papers", results)
    return replace(every, discrepancies=tuple(replace(one, check=CHECK) for one in every.discrepancies))


def _texts(first: Transcription, second: Transcription, field: str) -> list[tuple[str, str]]:
    """A field of both studies by title, where both say it."""
    pairs = [(paper.description.title, getattr(paper.description.study, field)) for paper in (first, second)]
    return pairs if all(text and text != "not said" for _, text in pairs) else []


def _differ(name: str, pairs: list[tuple[str, str]], meaning: str) -> CheckResult:
    if not pairs:
        return CheckResult(CHECK, name, 0)
    (title, text), (other_title, other) = pairs
    arithmetic = f"{name}: {text} in {title}, {other} in {other_title}; {meaning}"
    return CheckResult.of_one(text == other, name, Discrepancy(CHECK, name, other, text, arithmetic, IMPLIED))


def _approval(first: Transcription, second: Transcription) -> CheckResult:
    registration = _differ("registration", _texts(first, second, "registration"), "one source has one registration")
    approval = _differ(
        "approval", _texts(first, second, "approval"), "patients of one source, or each study its own approval"
    )
    return CheckResult.joined(CHECK, "registration and approval in both papers", [registration, approval])


def _consent(first: Transcription, second: Transcription) -> CheckResult:
    meaning = "people who consented in writing need no waiver, and the other way round"
    return _differ("consent", _texts(first, second, "consent"), meaning)


def _overlap(first: Transcription, second: Transcription) -> Iterator[CheckResult]:
    """Centres that one paper trained on and the other tested on, without a word that people were left out."""
    for trained, tested in ((first, second), (second, first)):
        one, other = trained.description.study, tested.description.study
        centres = {centre for cohort in one.trained_on for centre in one.centres.get(cohort, ())}
        shared = centres & {centre for cohort in other.tested_on for centre in other.centres.get(cohort, ())}
        if not (centres and other.centres):
            continue
        named = ", ".join(sorted(shared))
        wrong = Discrepancy(
            CHECK,
            f"overlap, {trained.name} and {tested.name}",
            f"{tested.description.title} tests on people of {named}",
            "people of whom nothing was learned before",
            f"{trained.description.title} was built on people of {named} of the same source, and neither says that "
            "they are others",
            IMPLIED,
        )
        holds = not shared or trained.name in other.excludes or tested.name in one.excludes
        what = f"what {trained.description.title} was built on is not what {tested.description.title} is tested on"
        yield CheckResult.of_one(holds, what, wrong)
