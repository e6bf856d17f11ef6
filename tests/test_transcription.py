"""The transcription of the papers' numbers against what the papers print.

``tests/data`` holds every sentence and cell without its words, as ``tests/paper_texts.py`` wrote them, so that the
comparison runs everywhere. Where the papers' texts lie beside the checkout, these files are compared with them.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import pytest
from paper_texts import (
    LAYOUTS,
    MONTHS,
    NUMBER_WORDS,
    PrintedLine,
    digest,
    held_in,
    name_digest,
    numbers_in,
    plain_name,
    printed_cells,
    printed_sentences,
    read_paper,
    read_print,
    squeezed,
    without_words,
)

from hccbook.papers import published
from hccbook.run import published_dir

PAPER_NAMES = pytest.mark.parametrize("paper", sorted(LAYOUTS))


def _in_order_of_print(rows: list[dict[str, str]]) -> list[str]:
    """Numbers of a sentence's rows; the limits of an interval stand behind its level where that is printed."""
    numbers: list[str] = []
    limits: list[str] = []
    for row in rows:
        if row["quantity"] != "confidence level":
            numbers += limits
            limits = [row["lower"], row["upper"]]
        numbers.append(row["value"])
    return [number for text in numbers + limits for number in numbers_in(text)]


def text_differences(lines: list[PrintedLine], rows: list[dict[str, str]]) -> list[str]:
    """What stands in the running text and not in the transcription, or the other way round."""
    printed = {line.place: line.numbers for line in lines if ", sentence " in line.place}
    transcribed: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        transcribed.setdefault(row["place"], []).append(row)
    wrong = [f"{place}: the paper has no such sentence" for place in transcribed if place not in printed]
    for place, numbers in printed.items():
        here = transcribed.get(place, [])
        expected, found = numbers_in(numbers), _in_order_of_print(here)
        if expected != found:
            left_out, added = Counter(expected) - Counter(found), Counter(found) - Counter(expected)
            wrong.append(f"{place}: left out {list(left_out)}, added {list(added)}, or in another order")
        for row in here:
            limits = f"{row['lower']}-{row['upper']}" if row["lower"] else ""
            wrong += [
                f"{place}: {part!r} of {row['row']!r} is not printed so"
                for part in (row["value"], limits)
                if squeezed(part) not in numbers
            ]
    return wrong


Cell = tuple[str, str, tuple[str, ...]]
"""Row, column, and what the cell holds."""


def transcribed_cells(rows: list[dict[str, str]]) -> list[Cell]:
    """Cells that the transcription makes up, neighbours of one row and column put together."""
    cells: list[Cell] = []
    before = None
    for row in rows:
        here = tuple(row[name] for name in ("row", "column", "cohort"))
        heading, _, label = row["row"].rpartition(": ")
        held = tuple(part for text in (row["value"], row["lower"], row["upper"]) for part in held_in(text))
        if here == before:
            held = (*cells.pop()[2], *held)
        cells.append((f"{plain_name(heading)}:{plain_name(label)}", plain_name(row["column"]), held))
        before = here
    return cells


def table_differences(lines: list[PrintedLine], tables: dict[str, list[dict[str, str]]]) -> list[str]:
    """Cells in which table and transcription differ, in the order of print.

    A heading stands above the rows that the transcription puts under it; other rows have none.
    """
    printed: dict[str, list[PrintedLine]] = {}
    for line in lines:
        if ", sentence " not in line.place:
            printed.setdefault(line.place, []).append(line)
    wrong = []
    if printed.keys() != tables.keys():
        wrong.append(f"the paper has {', '.join(printed)}, the transcription {', '.join(tables)}")
    for label in printed.keys() & tables.keys():
        expected, found = printed[label], transcribed_cells(tables[label])
        if len(expected) != len(found):
            wrong.append(f"{label}: {len(expected)} cells are printed, {len(found)} are transcribed")
        for line, (row, column, held) in zip(expected, found, strict=False):
            if name_digest(row, column) not in line.digests.split():
                wrong.append(f"{label}: the cell {row}, {column} with {held} is not the next one that is printed")
            elif "|".join(held) != line.numbers:
                wrong.append(f"{label}: the cell {row}, {column} holds {held}, but {line.numbers} is printed")
    return wrong


def _rows(name: str) -> list[dict[str, str]]:
    with (published_dir() / f"{name}.csv").open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def _table_rows(paper: str) -> dict[str, list[dict[str, str]]]:
    files = sorted((published_dir() / paper).glob("table_*.csv"))
    return {f"Table {file.stem[-1]}": _rows(f"{paper}/{file.stem}") for file in files}


@pytest.fixture
def text(shared: Path, paper: str) -> str:
    """Main text of a paper; skips the test where it is not at hand."""
    file = shared / "papers" / f"{paper}.txt"
    if not file.is_file():
        pytest.skip("the papers' texts are not at hand")
    return file.read_text(encoding="utf-8")


# --- everywhere -------------------------------------------------------------------------------------------------------


@PAPER_NAMES
def test_every_number_of_the_running_text_is_transcribed_in_its_place(paper):
    """Sentence by sentence the transcription holds the numbers that are printed, as printed, and no others."""
    assert text_differences(read_print(paper), _rows(f"{paper}/text")) == []


@PAPER_NAMES
def test_every_cell_of_the_tables_is_transcribed(paper):
    """Cell by cell, in the order of print, with quartiles, intervals, inequality signs and footnote marks."""
    assert table_differences(read_print(paper), _table_rows(paper)) == []


@pytest.mark.parametrize(("paper", "sentences", "cells"), [("alarm", 170, 304), ("amap_ct", 176, 377)])
def test_nothing_is_missing_from_the_print(paper, sentences, cells):
    """The files hold as many sentences and cells as the papers."""
    running = [", sentence " in line.place for line in read_print(paper)]
    assert (sum(running), len(running) - sum(running)) == (sentences, cells)


@PAPER_NAMES
def test_the_print_has_no_words(paper):
    """Besides numbers, number words and months stands only what cells hold instead of a number."""
    words = {word for line in read_print(paper) for word in re.findall(r"[^\W\d]+", line.numbers)}
    assert words <= {*re.split(r"[|-]", NUMBER_WORDS), *MONTHS.split("|"), "n", "a"}


@PAPER_NAMES
def test_a_number_that_is_left_out_is_found(paper):
    """Each row of the running text in turn is taken away, and the comparison names its place."""
    rows, lines = _rows(f"{paper}/text"), read_print(paper)
    for gone in range(len(rows)):
        wrong = text_differences(lines, rows[:gone] + rows[gone + 1 :])
        assert [line for line in wrong if line.startswith(f"{rows[gone]['place']}: left out")], rows[gone]


@PAPER_NAMES
def test_a_row_of_a_table_that_is_left_out_is_found(paper):
    """Each row of each table in turn is taken away."""
    lines = read_print(paper)
    for label, rows in _table_rows(paper).items():
        of_table = [line for line in lines if line.place == label]
        for gone in range(len(rows)):
            assert table_differences(of_table, {label: rows[:gone] + rows[gone + 1 :]}), (label, rows[gone])


@pytest.mark.parametrize(
    ("column", "value"),
    [("value", "0.928"), ("upper", "0.942"), ("lower", ""), ("place", "Summary, sentence 5"), ("place", "Summary")],
)
def test_a_number_that_is_changed_or_moved_is_found(column, value):
    """ALARM's first AUC with a wrong last digit, a wrong or a missing limit, or in another sentence."""
    rows = _rows("alarm/text")
    first = next(row for row in rows if row["quantity"] == "auc")
    assert (first["value"], first["lower"], first["upper"]) == ("0.929", "0.918", "0.941")
    first[column] = value
    assert text_differences(read_print("alarm"), rows)


@pytest.mark.parametrize(
    ("printed", "changed"), [("June 2018", "May 2018"), ("-0.085", "<0.085"), ("< 0.001", "> 0.001")]
)
def test_a_changed_month_or_sign_is_found(printed, changed):
    """The digits stay, and what stands before them is another month, or an inequality sign that is not printed."""
    rows = _rows("alarm/text")
    next(row for row in rows if row["value"] == printed)["value"] = changed
    assert any(f"{changed!r} of" in line for line in text_differences(read_print("alarm"), rows))


def test_numbers_of_a_sentence_that_are_swapped_are_found():
    """The sizes of the high and the medium risk group in each other's place."""
    rows = _rows("alarm/text")
    high, medium = (next(row for row in rows if row["value"] == size) for size in ("221", "433"))
    high["value"], medium["value"] = medium["value"], high["value"]
    assert any("in another order" in line for line in text_differences(read_print("alarm"), rows))


@PAPER_NAMES
def test_a_changed_cell_is_found(paper):
    """In each table in turn a number, a limit, a row's name, an added and a missing row."""
    lines = read_print(paper)
    for label in _table_rows(paper):
        for column, value in (("value", "0.123"), ("lower", "0.124"), ("row", "Weight")):
            tables = _table_rows(paper)
            tables[label][7][column] = value
            assert table_differences(lines, tables), (label, column)
        tables = _table_rows(paper)
        tables[label].append(tables[label][0])
        assert table_differences(lines, tables), label
        del tables[label][-2:]
        assert table_differences(lines, tables), label


def test_a_missing_footnote_mark_is_found():
    """Table 4 of aMAP-CT without the first asterisk."""
    tables = _table_rows("amap_ct")
    assert tables["Table 4"][1]["quantity"] == "footnote mark"
    del tables["Table 4"][1]
    assert table_differences(read_print("amap_ct"), tables)


def test_a_missing_table_is_found():
    """ALARM without its second table."""
    tables = _table_rows("alarm")
    del tables["Table 2"]
    assert table_differences(read_print("alarm"), tables) == [
        "the paper has Table 1, Table 2, the transcription Table 1"
    ]


def test_a_claim_names_a_place_that_exists():
    """The place of a claim is a sentence, a section or a table of its paper."""
    places = {paper: {line.place for line in read_print(paper)} for paper in LAYOUTS}
    assert [claim.id for claim in published.claims() if claim.place not in places[claim.paper]] == []


# --- where the texts are at hand --------------------------------------------------------------------------------------


@PAPER_NAMES
def test_the_print_is_what_the_text_gives(paper, text):
    """`python tests/paper_texts.py` would write the same files anew: no sentence or cell has drifted."""
    assert read_print(paper) == printed_sentences(paper, text) + printed_cells(paper, text)


@PAPER_NAMES
def test_each_reference_number_that_is_left_out_stands_where_it_is_said_to(paper, text):
    """A number that is dropped as a reference is found once, so that the list hides nothing else."""
    references = LAYOUTS[paper].bare_references
    assert [text.count(printed) for printed in references] == [1] * len(references)


@PAPER_NAMES
def test_claims_are_in_our_own_words(paper, text):
    """No claim shares a run of nine words with its paper.

    Needs the text: digests of overlapping runs could be guessed word by word and would give the text away.
    """
    printed = " ".join(re.findall(r"\w+", text.lower()))
    for claim in published.claims():
        if claim.paper == paper:
            words = re.findall(r"\w+", claim.claim.lower())
            runs = [" ".join(words[start : start + 9]) for start in range(len(words) - 8)]
            assert not [run for run in runs if run in printed], claim.id


@pytest.mark.parametrize("paper", ["alarm"])
def test_a_number_added_to_the_paper_is_found(paper, text):
    """A sentence of the discussion that gains a number the transcription does not have."""
    changed = text.replace("Despite the significant findings", "Despite the 4 significant findings")
    assert text_differences(printed_sentences(paper, changed), _rows(f"{paper}/text")) == [
        "Discussion, sentence 28: left out ['4'], added [], or in another order"
    ]


@pytest.mark.parametrize("paper", ["alarm"])
def test_another_word_in_the_paper_is_found(paper, text):
    """A sentence without a number in other words has another digest, and no other line changes."""
    changed = text.replace("Despite the significant findings", "Despite the notable findings")
    stored, found = read_print(paper), printed_sentences(paper, changed)
    assert [line.place for line, new in zip(stored, found, strict=False) if line != new] == ["Discussion, sentence 28"]


# --- the reading itself -----------------------------------------------------------------------------------------------


SMALL = """A study in three parts

Authors 12

Summary

We saw 1,204 patients.¹² Of these, 3 (vs. 4

Fig. 1: Two

here) died. 5 lived on, see Fig. 2.

Contributors

Nobody 7
"""


def _row(place: str, value: str) -> dict[str, str]:
    return {"place": place, "row": "x", "quantity": "count", "value": value, "lower": "", "upper": ""}


def test_a_small_paper_is_cut_into_its_sentences():
    """A caption interrupts a sentence; authors, references, pointers and the end matter are no text."""
    found, tables = read_paper("alarm", SMALL)
    assert found == {
        "Title, sentence 1": "A study in three parts",
        "Summary, sentence 1": "We saw 1,204 patients.",
        "Summary, sentence 2": "Of these, 3 (vs. 4 here) died.",
        "Summary, sentence 3": "5 lived on, see Fig. 2.",
        "Fig. 1, caption, sentence 1": "Two",
    }
    assert tables == []


def test_a_small_paper_is_compared_number_by_number():
    """A complete transcription differs nowhere; each row that is missing is named."""
    rows = [
        _row(place, value)
        for place, value in (
            ("Title, sentence 1", "three"),
            ("Summary, sentence 1", "1,204"),
            ("Summary, sentence 2", "3"),
            ("Summary, sentence 2", "4"),
            ("Summary, sentence 3", "5"),
            ("Fig. 1, caption, sentence 1", "Two"),
        )
    ]
    lines = printed_sentences("alarm", SMALL)
    assert text_differences(lines, rows) == []
    for gone, row in enumerate(rows):
        wrong = text_differences(lines, rows[:gone] + rows[gone + 1 :])
        assert wrong == [f"{row['place']}: left out ['{row['value'].lower()}'], added [], or in another order"]


@pytest.mark.parametrize(
    ("sentence", "numbers"),
    [
        ("between 6 and 9 months, and 34.5% beyond", ["6", "9", "34.5"]),
        ("a 7:3 ratio with R 4.3.0", ["7", "3", "4.3.0"]),
        ("$1 \\times 1$ mm and log ₁₀", ["1", "1", "10"]),
        ("missing one-third of cases, ranked third", ["one-third", "third"]),
        ("(1) loss within 3 months; (2) no CT", ["3"]),
        ("aMAP-2 Plus (Table 4; Supplementary Figs. 7–9, Table S5 and S6) at 18 months", ["18"]),
        ("0.902 (0.818–0.987), NCT03588442", ["0.902", "0.818", "0.987"]),
    ],
)
def test_numbers_are_told_from_names_and_pointers(sentence, numbers):
    """What counts as a number of the text."""
    assert numbers_in(without_words(sentence)) == numbers


@pytest.mark.parametrize(
    ("sentence", "kept"),
    [
        ("An AUC of 0.902 (95% CI, 0.818–0.987; p < 0.001)", "0.902|95|0.818-0.987|<0.001"),
        ("from June 2018 to January 2020, aged 18 - 75 years", "June2018|January2020|18-75"),
        ("0.06 × age – 0.085 × albumin, one-third", "0.06|-0.085|one-third"),
        ("no number at all, see Table 3", ""),
    ],
)
def test_a_sentence_without_its_words(sentence, kept):
    """Numbers keep the sign, the month and the dash they are printed with."""
    assert without_words(sentence) == kept


def test_spaces_and_dashes_do_not_change_a_digest():
    """A text that another export set anew is the same text; another word is another text."""
    assert digest("of 3–12\nmonths") == digest("of 3-12 months") != digest("of 3-12 weeks")


def test_a_cell_is_found_with_or_without_the_heading_above_it():
    """A table cannot tell which rows stand under a heading, so that both names of the cell are digested."""
    line = PrintedLine("Table 1", f"{name_digest('Cause:HBV', 'All')} {name_digest(':HBV', 'All')}", "12|48.0")
    for name, wrong in (("Cause: HBV", False), ("HBV", False), ("Sex: HBV", True)):
        rows = [_row("Table 1", value) | {"row": name, "column": "All", "cohort": "all"} for value in ("12", "48.0")]
        assert bool(table_differences([line], {"Table 1": rows})) == wrong
