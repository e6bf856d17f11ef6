"""Answered checklists: every item once, evidence that exists, METRICS' score, and their pages."""

from __future__ import annotations

import json
import re
from functools import cache

import paper_texts
import pytest
import yaml
from pydantic import ValidationError

from hccbook.book.checklists_page import addresses, checklist_pages
from hccbook.book.generated_pages import assumptions_page
from hccbook.papers import PAPERS, published
from hccbook.papers.checklists import COMPANION, ChecklistItem, checklist_items, checklists, weighted_score
from hccbook.run import book_source_dir, project_root


def numbered(last: int) -> list[str]:
    return [str(number) for number in range(1, last + 1)]


NUMBERS = {
    "clear": numbered(58),
    "metrics": [*(f"condition {number}" for number in range(1, 6)), *numbered(30)],
    "tripod-ai": [
        *("1", "2", "3a", "3b", "3c", "4", "5a", "5b", "6a", "6b", "6c", "7", "8a", "8b", "8c", "9a", "9b", "9c"),
        *("10", "11", "12a", "12b", "12c", "12d", "12e", "12f", "12g", "13", "14", "15", "16", "17"),
        *("18a", "18b", "18c", "18d", "18e", "18f", "19", "20a", "20b", "20c", "21", "22", "23a", "23b", "24"),
        *("25", "26", "27a", "27b", "27c"),
    ],
    "claim": numbered(44),
    "reforms": [
        *("1a", "1b", "1c", "2a", "2b", "2c", "2d", "2e", "3a", "3b", "3c", "3d", "3e", "3f", "3g", "4a", "4b", "4c"),
        *("5a", "5b", "5c", "5d", "5e", "5f", "6a", "6b", "6c", "7a", "7b", "7c", "8a", "8b"),
    ],
    "codecheck": numbered(12),
    "joss": numbered(19),
}
"""Numbers of the items of each checklist, as its authors give them."""

BESIDES_THE_TEXT = {
    *("Keywords", "Funding", "Data sharing statement", "Declaration of interests", "Conflict of interest"),
    *("Contributors", "Author contributions"),
}
"""Sections of the papers that the transcription leaves out, because they print no number."""

DIGITS = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?(?!\w)")

NAMES_WITH_DIGITS = re.compile(
    r"(?:Supplementary |Tables? |Figures? |Fig\. |File )+[AS]?\d+(?:(?:,| and| to) [AS]?\d+)*"
    r"|ResNet-\d+|LIRADS-3|aMAP-2|F1|3D|BSD 3-Clause|95 % intervals|(?<=Python )[\d.]+"
)
"""What has digits and is no number."""

MADE = ("results", "costs", "checklists")
"""Pages that are made from a run, which are linked to as a whole."""

NAMES = [checklist.id for checklist in checklists()]


@cache
def sources() -> dict[str, frozenset[str]]:
    """What can be linked to in the notebooks and the prose, as committed."""
    files = {
        **{f"notebooks/{file.name}": file for file in (project_root() / "notebooks").glob("*.ipynb")},
        **{file.name: file for file in book_source_dir().glob("*.md")},
    }
    found = {name: addresses(name, file.read_text(encoding="utf-8")) for name, file in files.items()}
    found["assumptions.md"] = addresses("assumptions.md", assumptions_page(published.assumptions(), {}))
    return found | {f"{page}.md": frozenset() for page in MADE}


def item(**changes: object) -> dict[str, object]:
    """An entry of a checklist, with changes."""
    answer = {"answer": "met", "says": "it is there"}
    answers = {"alarm": answer | {"place": ["Table 1"]}, "companion": answer | {"files": ["README.md"]}}
    return {"id": "x-1", "section": "Title", "asks": "Something", "answers": answers} | changes


# --- the answers ------------------------------------------------------------------------------------------------------


def test_every_checklist_is_one_whose_numbers_are_known():
    """Each checklist here is compared with its authors' numbers below."""
    assert list(NUMBERS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_item_is_there_once_in_order(name):
    """The items have the numbers of the published checklist, and are answered for both papers and this book."""
    items = checklist_items(name)
    assert [one.number_in(name) for one in items] == NUMBERS[name]
    assert all(set(one.answers) == {*PAPERS, COMPANION} for one in items)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("paper", PAPERS)
def test_every_place_is_one_of_the_paper(name, paper):
    """A place is a table, a figure's caption or a sentence of the text, or a section behind the text."""
    known = {line.place for line in paper_texts.read_print(paper)} | BESIDES_THE_TEXT
    cited = {(one.id, place) for one in checklist_items(name) for place in one.answers[paper].place}
    assert sorted((where, place) for where, place in cited if place not in known) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_number_is_printed_at_its_place(name):
    """A number in an answer about a paper is printed where the answer says; answers about this book hold none."""
    strangers = []
    for one in checklist_items(name):
        for subject, answer in one.answers.items():
            lines = paper_texts.read_print(subject) if subject in PAPERS else []
            printed = {
                number for line in lines if line.place in answer.place for number in DIGITS.findall(line.numbers)
            }
            named = NAMES_WITH_DIGITS.sub("", answer.says)
            strangers += [(one.id, subject, number) for number in DIGITS.findall(named) if number not in printed]
    assert strangers == []


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name):
    """Pages, headings and labels that an answer links to are in the notebooks, the prose or the registers."""
    pages = sources()
    lost = []
    for one in checklist_items(name):
        for target in one.answers[COMPANION].links:
            page, _, heading = target.partition("#")
            of_page = next((pages[file] for file in (f"{page}.md", f"{page}.ipynb") if file in pages), None)
            anywhere = not page and any(target in found for found in pages.values())
            if not anywhere and (of_page is None or (heading and heading not in of_page)):
                lost.append(f"{one.id}: {target}")
        lost += [f"{one.id}: {file}" for file in one.answers[COMPANION].files if not (project_root() / file).exists()]
    assert lost == []


def test_an_answer_without_its_place_is_refused():
    """What is met is shown; what is not said stands nowhere; what this book has not, it gives a reason for."""
    ChecklistItem.model_validate(item())
    for paper, answer in {
        "alarm": {"answer": "met", "says": "it is there"},
        "amap_ct": {"answer": "not said", "says": "nothing", "place": ["Table 1"]},
        "companion": {"answer": "not said", "says": "nothing"},
        "another": {"answer": "not said", "says": "nothing"},
    }.items():
        with pytest.raises(ValidationError, match="answer"):
            ChecklistItem.model_validate(item(answers=item()["answers"] | {paper: answer}))


# --- METRICS ----------------------------------------------------------------------------------------------------------


def weighed(weight: float, answer: str) -> ChecklistItem:
    answers = {COMPANION: {"answer": answer, "says": "x", "files": ["README.md"]}}
    return ChecklistItem.model_validate(item(id=f"x-{answer.replace(' ', '')}", weight=weight, answers=answers))


def test_a_score_leaves_out_what_does_not_apply():
    """0.2 of 0.2 + 0.3 + 0.1 is a third; with what is partly met, 0.5 of 0.6."""
    items = [weighed(0.2, "met"), weighed(0.3, "partly"), weighed(0.1, "not done"), weighed(0.4, "does not apply")]
    assert weighted_score(items, COMPANION) == pytest.approx(1 / 3)
    assert weighted_score(items, COMPANION, ("met", "partly")) == pytest.approx(5 / 6)


@pytest.mark.parametrize(
    ("subject", "met"),
    [
        # Added up by hand from the weights of the web tool, by number of the item; all but 17 make 0.978.
        # 4, 5, 7, 10, 15, 22, 24, 25, 26, 27
        ("alarm", 0.044 + 0.029 + 0.029 + 0.011 + 0.020 + 0.018 + 0.029 + 0.018 + 0.037 + 0.075),
        # 1, 2, 4, 5, 7, 10, 15, 22, 24, 25, 26, 27
        ("amap_ct", 0.037 + 0.074 + 0.044 + 0.029 + 0.029 + 0.011 + 0.020 + 0.018 + 0.029 + 0.018 + 0.037 + 0.075),
    ],
)
def test_the_score_of_metrics_is_that_of_its_weights(subject, met):
    """31.7 % and 43.0 % of the weights of the 29 items that apply are met in print."""
    assert weighted_score(checklist_items("metrics"), subject) == pytest.approx(met / 0.978)
    assert round(met / 0.978, 3) == {"alarm": 0.317, "amap_ct": 0.430}[subject]


def test_a_conditional_item_applies_where_its_conditions_are_met():
    """METRICS leaves an item out exactly where one of its conditions is not met; its web tool weighs 30 with 0.998."""
    items = {one.id: one for one in checklist_items("metrics")}
    assert sum(one.weight or 0 for one in items.values()) == pytest.approx(0.998)
    assert sum(one.weight is not None for one in items.values()) == 30
    for one in items.values():
        for subject, answer in one.answers.items():
            applies = all(items[condition].answers[subject].answer == "met" for condition in one.needs)
            if one.weight is not None:
                assert (answer.answer != "does not apply") == applies, (one.id, subject)


# --- the pages --------------------------------------------------------------------------------------------------------


def test_every_checklist_has_its_page_in_the_contents():
    """The overview, with the checklists beneath it in their order."""
    toc = yaml.safe_load((book_source_dir() / "_toc.yml").read_text(encoding="utf-8"))
    (entry,) = [one for part in toc["parts"] for one in part["chapters"] if one["file"] == "checklists"]
    assert [one["file"] for one in entry["sections"]] == [f"checklists/{name}" for name in NAMES]


def test_the_overview_counts_every_answer():
    """The counts of each checklist and subject add up to its items."""
    page = checklist_pages(PAPERS, sources())["checklists"]
    rows = re.findall(r"^\* - (.*)\n  - (.+)\n((?:  - .*\n){6})", page, re.MULTILINE)
    counted = [sum(int(cell) for cell in re.findall(r"\d+", cells)) for _, title, cells in rows if title != "Of"]
    assert counted == [len(NUMBERS[name]) for name in NAMES for _ in (*PAPERS, COMPANION)]


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_every_answer_and_no_open_link(name):
    """Each answer is there in words with its places; of a whole book nothing is left out."""
    page = checklist_pages(PAPERS, sources())[f"checklists/{name}"]
    items = checklist_items(name)
    assert page.count(":::{container} checklist-item") == len(items)
    links = sum(len(one.answers[COMPANION].links) for one in items)
    assert len(re.findall(r"\[\]\(\.\./|\{ref\}`", page)) == links
    for one in items:
        assert all(answer.says in page for answer in one.answers.values()), one.id


def test_a_run_of_one_paper_has_its_answers_and_links_alone():
    """Without a paper its answers go, and so do links to what is not laid out; a heading gives way to its page."""
    page = checklist_pages(["alarm"], {"notebooks/03_segmentation.ipynb": frozenset()})["checklists/metrics"]
    assert "\naMAP-CT\n:" not in page
    assert "\nALARM\n: **Met.** The whole liver. *Methods, Regions of interest segmentation, sentence 2*" in page
    assert "[](../notebooks/03_segmentation.ipynb)" in page
    assert "ipynb#" not in page
    assert "{ref}" not in page


def test_what_can_be_linked_to_are_headings_and_labels():
    """A heading by the words of its address, a label by its name; a heading in a code cell is none."""
    text = {"cell_type": "markdown", "source": ["(fig-1)=\n", "## ALARM Fig. 1: ROC"]}
    notebook = json.dumps({"cells": [text, {"cell_type": "code", "source": "# x"}]})
    assert addresses("a.ipynb", notebook) == {"#fig-1", "alarm-fig-1-roc"}
    assert addresses("a.md", "# Your own data\n\n## 1. The manifest\n") == {"your-own-data", "1-the-manifest"}
