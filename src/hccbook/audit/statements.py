"""What a paper says of its design and analysis, asked item by item, and what follows from the answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field

from hccbook.audit.findings import STATED, CheckResult, Discrepancy, NotApplied
from hccbook.audit.transcription import Transcription, group_name
from hccbook.errors import DataError
from hccbook.papers.published import Listed, read_entries

FILE = "statements.yaml"
CHECK = "statements"

FEW = 2
"""Events on which an AUC says next to nothing: one more or less moves it by a third or more."""


class Question(Listed):
    """Something to ask of a paper."""

    asks: str = Field(min_length=1, description="The question, answered with yes or no.")
    sound: Literal["yes", "no"] = Field(description="The answer that nothing follows from.")
    after: tuple[str, ...] = Field(min_length=1, description="Where the guidelines ask it.")
    consequence: str = Field(min_length=1, description="What follows from the other answer.")


class Answer(Listed):
    """What a paper says; its id is that of the item."""

    answer: Literal["yes", "no", "not said", "does not apply"] = Field(description="What the paper says.")
    said: str = Field("", description="Place of the sentence that says so.")
    because: str = Field("", description="What the sentence says, in our words.")


@cache
def checklist() -> tuple[Question, ...]:
    """Every item, in order."""
    content = yaml.safe_load(files("hccbook.audit").joinpath("checklist.yaml").read_text(encoding="utf-8"))
    return tuple(Question.model_validate(one) for one in content)


def answers(folder: Path) -> dict[str, Answer]:
    """The answers of a paper by item; none without the file.

    Raises
    ------
    DataError
        If an answer is of no item, or does not say where the paper says so.
    """
    file = folder / FILE
    if not file.is_file():
        return {}
    given = {one.id: one for one in read_entries(file, Answer)}
    known = [item.id for item in checklist()]
    for one in given.values():
        if one.id not in known:
            raise DataError(f"{FILE}: {one.id}", f"must be an item: {', '.join(known)}", one.id, "Correct the id.")
        if one.answer in ("yes", "no") and not (one.said and one.because):
            raise DataError(f"{FILE}: {one.id}", "must say where the paper says so, and what", one.answer, "Add it.")
    return given


def check_answers(given: Mapping[str, Answer]) -> Iterator[CheckResult]:
    """Every answered item; an answer that something follows from is a discrepancy of its own certainty."""
    for item in checklist():
        one = given.get(item.id)
        if one is None or one.answer not in ("yes", "no"):
            continue
        asked = f"{item.asks} {one.answer.capitalize()}. Asked by {'; '.join(item.after)}."
        wrong = Discrepancy(CHECK, item.id, one.because, item.sound, asked, STATED, consequence=item.consequence)
        yield CheckResult.of_one(one.answer == item.sound, item.asks, wrong).at(one.said)


def not_said(paper: str, given: Mapping[str, Answer]) -> list[NotApplied]:
    """Items that a paper says nothing of, or that nobody has answered."""
    why = {"not said": "The paper does not say.", "does not apply": "It does not apply to this paper."}
    return [
        NotApplied(paper, CHECK, item.asks, why.get(given[item.id].answer) if item.id in given else "Not answered yet.")
        for item in checklist()
        if item.id not in given or given[item.id].answer in why
    ]


def check_few_events(paper: Transcription) -> Iterator[CheckResult]:
    """AUCs that rest on one or two events."""
    results = []
    for group in paper.areas:
        people = paper.people(group)
        if people is not None:
            events, others = people
            name = group_name(group)
            wrong = Discrepancy(
                CHECK,
                f"few events: {name}",
                f"AUC {paper.areas[group]} of {name}",
                "no estimate that can be told from chance",
                f"{events} with and {others} without the outcome",
                STATED,
            )
            results.append(CheckResult.of_one(min(people) > FEW, "", wrong))
    if results:
        yield CheckResult.joined(CHECK, f"AUCs that rest on more than {FEW} events", results).at(paper.places_of("auc"))
