"""Checklists of reporting and method, answered for each paper and for this book.

Everything is read from ``data/checklists/``: ``checklists.yaml`` lists them, and each has a file of its items.
They are no printed numbers and lie apart from these, so that no stage follows from an answer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hccbook.papers.paper import PAPERS
from hccbook.papers.published import Listed, read_entries
from hccbook.run import data_dir

COMPANION = "companion"
"""This book, beside the names of the papers."""

MET, PARTLY, NOT_SAID, NOT_PUBLIC, NOT_DONE = "met", "partly", "not said", "not public", "not done"
NOT_APPLICABLE = "does not apply"

ANSWERS = (MET, PARTLY, NOT_SAID, NOT_PUBLIC, NOT_DONE, NOT_APPLICABLE)
"""Answers to an item, from all that it asks for to nothing that it could ask for."""


class Answer(BaseModel):
    """What a paper or this book has to an item, and where."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    answer: Literal["met", "partly", "not said", "not public", "not done", "does not apply"] = Field(
        description="'not public' where the paper refers to its supplement, 'not said' where it is silent."
    )
    says: str = Field(min_length=1, description="What is there, or why nothing is, in our words.")
    place: tuple[str, ...] = Field((), description="Places in the paper, as in the column of that name.")
    links: tuple[str, ...] = Field(
        (), description="Places in this book: a page, a heading of it ('page#heading'), or a label ('#label')."
    )
    files: tuple[str, ...] = Field((), description="Files of the repository.")


class ChecklistItem(Listed):
    """An item of a checklist in our words, with its answers; its id ends in the checklist's own number."""

    section: str = Field(min_length=1, description="Part of the checklist.")
    asks: str = Field(min_length=1, description="What it asks for, in our words.")
    weight: float | None = Field(None, gt=0, description="Weight, in a checklist that gives a score.")
    needs: tuple[str, ...] = Field((), description="Ids of the conditions under which it applies.")
    answers: dict[str, Answer] = Field(description="Answer by name of the paper, and of this book.")

    @model_validator(mode="after")
    def _is_answered_with_evidence(self) -> Self:
        strangers = set(self.answers) - {*PAPERS, COMPANION}
        if strangers or COMPANION not in self.answers:
            raise ValueError(f"answers must be those of papers and of the {COMPANION}, but found {list(self.answers)}")
        for name, answer in self.answers.items():
            evidence = (*answer.links, *answer.files) if name == COMPANION else answer.place
            if answer.answer in (MET, PARTLY) and not evidence:
                raise ValueError(f"answer of {name!r} must name the place that shows it")
            if answer.answer == NOT_SAID and (evidence or name == COMPANION):
                raise ValueError(f"answer of {name!r} is 'not said' and so has no place; a book says why not")
        return self

    def number_in(self, checklist: str) -> str:
        """Number in the checklist, as its authors give it."""
        return self.id.removeprefix(f"{checklist}-").replace("-", " ")


class Checklist(Listed):
    """A checklist, by its source."""

    title: str = Field(min_length=1, description="What it is called.")
    about: str = Field(min_length=1, description="What it is for, in one sentence of ours, without its full stop.")
    source: str = Field(min_length=1, description="Key of its publication in ``book/references.bib``.")
    version: str = Field(min_length=1, description="What was read, and where that can be had.")
    note: str = Field("", description="How its items were taken here, where that needs saying.")


@cache
def _checklists(folder: Path) -> tuple[Checklist, ...]:
    return read_entries(folder / "checklists.yaml", Checklist)


@cache
def _items(folder: Path, name: str) -> tuple[ChecklistItem, ...]:
    return read_entries(folder / f"{name}.yaml", ChecklistItem)


def checklists() -> list[Checklist]:
    """The checklists that are answered, in the order of the book.

    Raises
    ------
    DataError
        If ``checklists.yaml`` is missing or an entry is wrong; names the entry and the field.
    """
    return list(_checklists(data_dir() / "checklists"))


def checklist_items(name: str) -> list[ChecklistItem]:
    """Items of a checklist with their answers, in its own order.

    Raises
    ------
    DataError
        If its file is missing, an item is wrong, or two have the same number; names the item and the field.
    """
    return list(_items(data_dir() / "checklists", name))


def weighted_score(items: Iterable[ChecklistItem], subject: str, counted: Collection[str] = (MET,)) -> float:
    """Share of the weights of a checklist's items that a paper, or this book, has: METRICS' score.

    Items that do not apply leave the denominator, as in METRICS.

    Parameters
    ----------
    items : iterable of ChecklistItem
        Items; those without a weight do not count.
    subject : str
        Name of a paper, or `COMPANION`.
    counted : collection of str
        Answers that have an item's weight; the others have none of it.

    Returns
    -------
    float
        Between 0 and 1; higher is better.

    References
    ----------
    Kocak B, Akinci D'Antonoli T, Mercaldo N, et al. METhodological RadiomICs Score (METRICS): a quality scoring tool
    for radiomics research endorsed by EuSoMII. Insights Imaging 2024;15:8, Table 1.
    """
    weights = {
        item.id: (item.weight, item.answers[subject].answer)
        for item in items
        if item.weight is not None and item.answers[subject].answer != NOT_APPLICABLE
    }
    total = sum(weight for weight, _ in weights.values())
    return sum(weight for weight, answer in weights.values() if answer in counted) / total
