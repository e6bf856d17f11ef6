"""The pages of answered checklists: one that counts the answers, and one a checklist."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from itertools import groupby

from hccbook.book.generated_pages import render
from hccbook.papers import PAPERS
from hccbook.papers.checklists import (
    ANSWERS,
    COMPANION,
    MET,
    NOT_PUBLIC,
    PARTLY,
    Answer,
    ChecklistItem,
    checklist_items,
    checklists,
    weighted_score,
)

_SENTENCE = re.compile(r"(.+), sentence (\d+)")
_ADDRESS = re.compile(r"^(?:#{1,3} (?P<heading>.+)|\((?P<label>[\w-]+)\)=)$", re.MULTILINE)
_NOT_IN_AN_ADDRESS = re.compile(r"[^\w\- ]")
_READINGS = {
    "met": (MET,),
    "met or partly": (MET, PARTLY),
    "with all that supplements may hold": (MET, PARTLY, NOT_PUBLIC),
}


def addresses(name: str, content: str) -> frozenset[str]:
    """What can be linked to on a page: its headings as ``heading-of-the-page``, its labels as ``#label``.

    Parameters
    ----------
    name : str
        File of the page; a notebook's headings are those of its Markdown cells.
    content : str
        What it holds.
    """
    if name.endswith(".ipynb"):
        cells = json.loads(content)["cells"]
        content = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    found = [match.group("heading", "label") for match in _ADDRESS.finditer(content)]
    return frozenset(_address(heading) if heading else f"#{label}" for heading, label in found)


def _address(heading: str) -> str:
    """Address of a heading as MyST makes it, after GitHub's manner."""
    return _NOT_IN_AN_ADDRESS.sub("", heading.strip().lower().replace(" ", "-"))


def checklist_pages(papers: Collection[str], pages: Mapping[str, frozenset[str]]) -> dict[str, str]:
    """Pages of the checklists, as MyST.

    Parameters
    ----------
    papers : collection of str
        Papers in this run; the answers of others are left out.
    pages : mapping of str to frozenset of str
        `addresses` of the pages of this book, by file; a link to what is not there leads to its page, or is left out.

    Returns
    -------
    dict of str to str
        Page by name without ending: ``checklists``, and ``checklists/<id>`` of each.
    """
    subjects = {name: paper.title for name, paper in PAPERS.items() if name in papers} | {COMPANION: "This book"}
    listed = {one.id: (one, checklist_items(one.id)) for one in checklists()}
    made = {
        f"checklists/{name}": render(
            "checklist.md.j2",
            checklist=one,
            sections=[(section, list(part)) for section, part in groupby(items, lambda item: item.section)],
            subjects=subjects,
            where=_where,
            evidence=lambda answer: _evidence(answer, pages),
            scores=_scores(items, subjects),
        )
        for name, (one, items) in listed.items()
    }
    overview = render(
        "checklists.md.j2",
        listed=listed.values(),
        subjects=subjects,
        answers=ANSWERS,
        counts={
            (name, subject): Counter(item.answers[subject].answer for item in items)
            for name, (_, items) in listed.items()
            for subject in subjects
        },
        scores={name: _scores(items, subjects) for name, (_, items) in listed.items()},
    )
    return {"checklists": overview} | made


def _scores(items: Iterable[ChecklistItem], subjects: Iterable[str]) -> dict[str, dict[str, float]]:
    """Score by reading of the answers and subject; nothing where the checklist has no weights."""
    weighed = [item for item in items if item.weight is not None]
    if not weighed:
        return {}
    return {
        reading: {subject: weighted_score(weighed, subject, counted) for subject in subjects}
        for reading, counted in _READINGS.items()
    }


def _where(places: Iterable[str]) -> str:
    """Places of a paper, the sentences of a section together."""
    parts = [match.groups() if (match := _SENTENCE.fullmatch(place)) else (place, "") for place in places]
    texts = []
    for section, group in groupby(parts, lambda part: part[0]):
        numbers = [number for _, number in group if number]
        several = f"sentences {', '.join(numbers[:-1])} and {numbers[-1]}" if len(numbers) > 1 else ""
        texts.append(", ".join(filter(None, [section, several or (f"sentence {numbers[0]}" if numbers else "")])))
    return "; ".join(texts)


def _evidence(answer: Answer, pages: Mapping[str, frozenset[str]]) -> list[str]:
    """What shows an answer in this book and its repository."""
    links = [_link(target, pages) for target in answer.links]
    return [link for link in links if link] + [f"`{file}`" for file in answer.files]


def _link(target: str, pages: Mapping[str, frozenset[str]]) -> str:
    """Link from the page of a checklist; empty where this book has not what it leads to."""
    if target.startswith("#"):
        return f"{{ref}}`{target[1:]}`" if any(target in found for found in pages.values()) else ""
    page, _, heading = target.partition("#")
    file = next((name for name in (f"{page}.md", f"{page}.ipynb") if name in pages), None)
    if file is None:
        return ""
    return f"[](../{file}#{heading})" if heading in pages[file] else f"[](../{file})"
