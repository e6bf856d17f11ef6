"""The transcription of the papers' numbers against the papers' texts, where these lie beside the checkout.

The scheme of the column ``place`` is implemented here and nowhere else; ``data/README.md`` describes it.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache

import pytest

from hccbook.papers import published
from hccbook.run import project_root, published_dir

PAPERS = project_root().parent / "shared" / "papers"

needs_papers = pytest.mark.skipif(not PAPERS.is_dir(), reason="the papers' texts are not beside the checkout")


@dataclass(frozen=True)
class Layout:
    """What the text of one paper looks like.

    Attributes
    ----------
    sections : dict
        Heading as printed: section as the transcription calls it.
    first, last : str
        Heading with which the main text begins, and the one before which it ends.
    furniture : tuple of str
        How blocks begin that the export put between the paragraphs: running heads, addresses, keywords.
    footnotes : dict
        How a block of footnotes begins: the table it belongs to.
    bare_references : tuple of str
        Reference numbers that the export printed on the line instead of above it, with a word on either side.
    """

    sections: dict[str, str]
    first: str
    last: str
    furniture: tuple[str, ...]
    footnotes: dict[str, str]
    bare_references: tuple[str, ...] = ()


def _under(section: str, *headings: str) -> dict[str, str]:
    return {section: section} | {heading: f"{section}, {heading}" for heading in headings}


LAYOUTS = {
    "alarm": Layout(
        sections={
            "Summary": "Summary",
            "Introduction": "Introduction",
            "Discussion": "Discussion",
            **_under(
                "Research in context",
                "Evidence before this study",
                "Added value of this study",
                "Implications of all the available evidence",
            ),
            **_under(
                "Methods",
                "Study design and patients",
                "Ethics",
                "CT imaging",
                "Regions of interest segmentation",
                "Image feature extraction and selection",
                "Model construction and validation",
                "Statistics",
                "Role of the funding source",
            ),
            **_under(
                "Results",
                "Patient characteristics",
                "Image signature analysis",
                "Construction and validation of ALARM model",
                "Risk stratification in patients with cirrhosis",
            ),
        },
        first="Summary",
        last="Contributors",
        furniture=(
            "eClinicalMedicine",
            "Published Online",
            "*Corresponding",
            "**Corresponding",
            "***Corresponding",
            "E-mail",
            "[†]",
            "Funding This",
            "Copyright",
            "Keywords",
        ),
        footnotes={"Data are reported as": "Table 1", "Data are mean": "Table 2"},
    ),
    "amap_ct": Layout(
        sections={
            "Abstract": "Abstract",
            "Introduction": "Introduction",
            "Discussion": "Discussion",
            "Conclusions": "Conclusions",
            **_under("Methods", "Study population", "Data and modeling", "Statistical analysis"),
            **_under(
                "Results",
                "Patient characteristics",
                "Model construction",
                "Discrimination and calibration performance of the model",
                "HCC risk stratification based on the aMAP-CT model",
                "Subgroup analysis",
                "Comparison of the predictive performance of the aMAP-CT model with other existing HCC risk scores",
                "Stepwise application of aMAP and aMAP-CT",
            ),
        },
        first="Abstract",
        last="Acknowledgments",
        furniture=("mail:", "Keywords:", "Correspondence to:", "Citation of this", "Fan R. et al:"),
        footnotes={
            "The PreCar cohort was used": "Table 1",
            "The values in square brackets represent": "Table 2",
            "SEN, sensitivity;": "Table 3",
            "^acfDNA": "Table 4",
        },
        bare_references=(
            "hepatitis. 9 However",
            "cirrhosis. 10 Despite",
            "utility. 11,12 Therefore",
            "operator-dependent. 15,16 Additionally",
            "progression. 17",
            "follow-up. 10,19",
            "nnU-Net,20 employing",
            "limitations. 9,10 All",
            "non-invasively. 22-24 Our",
            "study.41 Future",
        ),
    ),
}

NOT_QUANTITIES = {
    # Pointers to what stands elsewhere.
    "tables, figures and supplements": r"\bSupplementary (?:Figs?\.|Tables?|File) \d+(?:–\d+)?"
    r"|\b(?:Figs?\.|Figures?|Tables?|Supplementary) [AS]?\d+[A-C]?(?:(?:–| and )[AS]?\d+)?",
    "registrations and approvals": r"NCT\d+|NFEC-\d+-\d+",
    # Digits that are part of a name.
    "the score aMAP-2": r"aMAP-2\b",
    "the F1 score": r"F1score",
    "the chi-square statistic": r"χ\^2",
    # Marks of a list, and a pronoun.
    "marks of a list": r"\(\d\) (?=[a-z])|\bThird,",
    "one, but not a count": r"\bone drawback\b",
}
"""What in the running text has digits or a number word and is no quantity; everything else must be transcribed."""

NUMBER_WORDS = (
    "zero|one|one-third|two|three|third|four|five|six|seven|eight|nine|ten|eleven|twelve|triple|biannual|semiannually"
)
NUMBER = re.compile(rf"\d{{1,3}}(?:,\d{{3}})+(?!\d)|\d+(?:\.\d+)*|\b(?:{NUMBER_WORDS})\b(?!-third)", re.IGNORECASE)

SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
TO_THE_LINE = str.maketrans(f"{SUPERSCRIPTS}₀₁₂₃₄₅₆₇₈₉", "01234567890123456789")

NO_SENTENCE_ENDS_WITH = re.compile(r"\b(?:vs|Figs?|e\.g|et al)\.$")
BETWEEN_SENTENCES = re.compile(r"(?:(?<=[.?!])|(?<=[.?!]\)))\s+(?=[A-Z0-9(“*])")


def sentences(text: str) -> list[str]:
    """Sentences of a section: cut at a full stop before a capital, a digit, a bracket, a quote or an asterisk."""
    found, start = [], 0
    for gap in BETWEEN_SENTENCES.finditer(text):
        if not NO_SENTENCE_ENDS_WITH.search(text[: gap.start()]):
            found.append(text[start : gap.start()])
            start = gap.end()
    return [*found, text[start:]]


def numbers_in(sentence: str) -> list[str]:
    """Numbers and number words of a sentence in their order, without what only looks like one."""
    for pattern in NOT_QUANTITIES.values():
        sentence = re.sub(pattern, " ", sentence)
    return [number.lower() for number in NUMBER.findall(sentence.translate(TO_THE_LINE))]


def _without_references(block: str, layout: Layout) -> str:
    for printed in layout.bare_references:
        block = block.replace(printed, re.sub(r"(?<=[.,]) ?\d+(?:[,-]\d+)*", "", printed))
    block = re.sub(r"\^\{[^}]*\}", "", block)
    block = re.sub(rf"(?<=[A-Za-z.,)]) ?[{SUPERSCRIPTS}][{SUPERSCRIPTS}⁻,–-]*(?<=[{SUPERSCRIPTS}])", "", block)
    return block.replace("**", "")


@cache
def read_paper(paper: str, text: str) -> tuple[dict[str, str], list[list[str]]]:
    """Main text of a paper.

    Returns
    -------
    sentences : dict
        Place: sentence. A section that figures, tables or pages interrupt is joined before it is cut into sentences.
    tables : list of list of str
        Lines of each table, in the order of print; cells are set off by tabs.
    """
    layout = LAYOUTS[paper]
    paragraphs: dict[str, list[str]] = {}
    tables: list[list[str]] = []
    section = ""
    for raw in re.split(r"\n[ \t\xa0]*\n+", text):
        lines = [line for line in raw.strip("\n").split("\n") if line.strip()]
        notes = [line for line in lines if line.startswith(tuple(layout.footnotes))]
        if any("\t" in line for line in lines):
            tables.append([line for line in lines if line not in notes])
            lines = notes
        block = _without_references(" ".join(line.strip() for line in lines), layout)
        if not block or block == "Original Article":
            continue
        if block == layout.last:
            break
        caption = re.match(r"((?:Fig\.|Table) \d)[.:] ", block)
        if not paragraphs:
            place = "Title"
        elif (not section and block != layout.first) or block.startswith(layout.furniture):
            continue
        elif block in layout.sections:
            section = layout.sections[block]
            continue
        elif notes:
            place = f"{next(table for start, table in layout.footnotes.items() if block.startswith(start))}, footnote"
        elif caption:
            place, block = f"{caption[1]}, caption", block[caption.end() :]
        else:
            place = section
        paragraphs.setdefault(place, []).append(block)
    found = {}
    for place, parts in paragraphs.items():
        # A word that a page cut in two is put together again.
        joined = re.sub(r"(?<=\w)-\n", "", "\n".join(parts)).replace("\n", " ")
        found |= {f"{place}, sentence {count}": sentence for count, sentence in enumerate(sentences(joined), start=1)}
    return found, tables


def _squeezed(text: str) -> str:
    """Text without spaces and with one kind of dash, because the papers set both in several ways."""
    return re.sub(r"\s", "", text).replace("–", "-")


def _in_order_of_print(rows: list[dict[str, str]]) -> list[str]:
    """Numbers of a sentence's rows; the limits of an interval stand behind its level where that is printed."""
    numbers: list[str] = []
    limits: list[str] = []
    for row in rows:
        if row["quantity"] != "confidence level":
            numbers += limits
            limits = [row["lower"], row["upper"]]
        numbers.append(row["value"])
    return [number.lower() for text in numbers + limits for number in NUMBER.findall(text)]


def text_differences(paper: str, text: str, rows: list[dict[str, str]]) -> list[str]:
    """What stands in the running text and not in the transcription, or the other way round."""
    printed, _ = read_paper(paper, text)
    transcribed: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        transcribed.setdefault(row["place"], []).append(row)
    wrong = [f"{place}: the paper has no such sentence" for place in transcribed if place not in printed]
    for place, sentence in printed.items():
        here = transcribed.get(place, [])
        expected, found = numbers_in(sentence), _in_order_of_print(here)
        if expected != found:
            left_out, added = Counter(expected) - Counter(found), Counter(found) - Counter(expected)
            wrong.append(f"{place}: left out {list(left_out)}, added {list(added)}, or in another order")
        for row in here:
            limits = f"{row['lower']}-{row['upper']}" if row["lower"] else ""
            wrong += [
                f"{place}: {part!r} of {row['row']!r} is not printed so"
                for part in (row["value"], limits)
                if _squeezed(part) not in _squeezed(sentence)
            ]
    return wrong


Cell = tuple[str, str, tuple[str, ...]]
"""Row, column, and what the cell holds."""


def _held(text: str) -> tuple[str, ...]:
    """Numbers of a cell with their signs, and the marks behind them; a cell without a number as it is."""
    if not re.search(r"\d", text):
        return (text,) if text else ()
    return tuple(re.findall(r"(?<!\d)-?(?:\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?)|[<>*#]", text))


def _name(label: str) -> str:
    """Name of a row or column without spaces, footnote letter and markup; aMAP is once set in Cyrillic letters."""
    plain = re.sub(r"</?i>|\^[a-z]\b|\s", "", label)
    return plain.replace("аМАР", "aMAP").replace("Pvalue", "P-value")


def _rows_of(lines: list[str], columns: list[str]) -> list[Cell]:
    """Cells of a plain table, each row with the heading above it."""
    cells, heading = [], ""
    for line in lines:
        label, *texts = line.split("\t")
        if not any(texts[:-1]):
            heading = _name(label.removesuffix(", n (%)"))
        row = f"{heading}:{_name(label)}"
        cells += [(row, column, _held(text)) for column, text in zip(columns, texts, strict=True) if text]
    return cells


def _alarm_table_1(lines: list[str]) -> list[Cell]:
    cohorts, groups, counts = (line.split("\t")[1:] for line in lines[:3])
    cells, columns, cohort = [], [], ""
    for title, group in zip(cohorts, groups, strict=True):
        if title:
            cohort, count = title.split(" (n = ")
            cells.append((":header", _name(cohort), _held(count)))
        columns.append(_name(f"{cohort}, {group}"))
    cells += [(":header", column, _held(count)) for column, count in zip(columns, counts, strict=True) if count]
    return cells + _rows_of(lines[3:], columns)


def _alarm_table_2(lines: list[str]) -> list[Cell]:
    cutoffs = [cell.removeprefix("Cut-off value: ") for cell in lines[0].split("\t")[1::2]]
    cells, cohort = [], ""
    for line in lines[2:]:
        label, *texts = line.split("\t")
        if not re.search(r"\d", line):
            cohort = texts[0]
            continue
        pairs = zip(cutoffs, texts[0::2], texts[1::2], strict=True)
        # The dash between two limits is no minus sign.
        cells += [
            (f":{_name(label)}", _name(f"{cohort}, cut-off {cutoff}"), _held(f"{value} {limits.replace('–', ' ')}"))
            for cutoff, value, limits in pairs
        ]
    return cells


def _amap_ct_table_4(lines: list[str]) -> list[Cell]:
    columns = [_name(column) for column in lines[0].split("\t")[1:]]
    cells = []
    for values, limits in zip(lines[1::2], lines[2::2], strict=True):
        label, *above = values.split("\t")
        below = limits.split("\t")[1:]
        pairs = zip(columns, above, below, strict=True)
        cells += [(f":{_name(label)}", column, _held(f"{value} {limit}")) for column, value, limit in pairs]
    return cells


def printed_tables(paper: str, text: str) -> dict[str, list[Cell]]:
    """Cells of every table of a paper in the order of print."""
    _, tables = read_paper(paper, text)
    if paper == "alarm":
        first, second = tables
        return {"Table 1": _alarm_table_1(first), "Table 2": _alarm_table_2(second)}
    plain = {
        f"Table {number}": _rows_of(lines[1:], [_name(column) for column in lines[0].split("\t")[1:]])
        for number, lines in enumerate(tables[:3], start=1)
    }
    return plain | {"Table 4": [cell for lines in tables[3:] for cell in _amap_ct_table_4(lines)]}


def transcribed_cells(rows: list[dict[str, str]]) -> list[Cell]:
    """Cells that the transcription makes up, neighbours of one row and column put together."""
    cells: list[Cell] = []
    before = None
    for row in rows:
        here = tuple(row[name] for name in ("row", "column", "cohort"))
        heading, _, label = row["row"].rpartition(": ")
        held = tuple(part for text in (row["value"], row["lower"], row["upper"]) for part in _held(text))
        if here == before:
            held = (*cells.pop()[2], *held)
        cells.append((f"{_name(heading)}:{_name(label)}", _name(row["column"]), held))
        before = here
    return cells


def table_differences(paper: str, text: str, tables: dict[str, list[dict[str, str]]]) -> list[str]:
    """Cells in which table and transcription differ, in the order of print."""
    wrong = []
    printed = printed_tables(paper, text)
    if printed.keys() != tables.keys():
        wrong.append(f"the paper has {', '.join(printed)}, the transcription {', '.join(tables)}")
    for label in printed.keys() & tables.keys():
        expected, found = printed[label], transcribed_cells(tables[label])
        # A heading stands above the rows that the transcription puts under it; other rows have none.
        own = {(row, column) for row, column, _ in found}
        expected = [
            (row if (row, column) in own else f":{row.partition(':')[2]}", column, held)
            for row, column, held in expected
        ]
        if len(expected) != len(found):
            wrong.append(f"{label}: {len(expected)} cells are printed, {len(found)} are transcribed")
        wrong += [
            f"{label}: {ours} should be {theirs}"
            for theirs, ours in zip(expected, found, strict=False)
            if theirs != ours
        ]
    return wrong


def _rows(name: str) -> list[dict[str, str]]:
    with (published_dir() / f"{name}.csv").open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def _table_rows(paper: str) -> dict[str, list[dict[str, str]]]:
    files = sorted(published_dir().glob(f"{paper}_table_*.csv"))
    return {f"Table {file.stem[-1]}": _rows(file.stem) for file in files}


@cache
def _text(paper: str) -> str:
    return (PAPERS / f"{paper}.txt").read_text(encoding="utf-8")


PAPER_NAMES = pytest.mark.parametrize("paper", sorted(LAYOUTS))


@needs_papers
@PAPER_NAMES
def test_every_number_of_the_running_text_is_transcribed_in_its_place(paper):
    """Sentence by sentence the transcription holds the numbers that are printed, as printed, and no others."""
    assert text_differences(paper, _text(paper), _rows(f"{paper}_text")) == []


@needs_papers
@PAPER_NAMES
def test_every_cell_of_the_tables_is_transcribed(paper):
    """Cell by cell, in the order of print, with quartiles, intervals, inequality signs and footnote marks."""
    assert table_differences(paper, _text(paper), _table_rows(paper)) == []


@needs_papers
@PAPER_NAMES
def test_each_reference_number_that_is_left_out_stands_where_it_is_said_to(paper):
    """A number that is dropped as a reference is found once, so that the list hides nothing else."""
    assert [_text(paper).count(printed) for printed in LAYOUTS[paper].bare_references] == [1] * len(
        LAYOUTS[paper].bare_references
    )


@needs_papers
@PAPER_NAMES
def test_a_number_that_is_left_out_is_found(paper):
    """Each row of the running text in turn is taken away, and the comparison names its place."""
    rows = _rows(f"{paper}_text")
    text = _text(paper)
    for gone in range(len(rows)):
        wrong = text_differences(paper, text, rows[:gone] + rows[gone + 1 :])
        assert [line for line in wrong if line.startswith(f"{rows[gone]['place']}: left out")], rows[gone]


@needs_papers
@pytest.mark.parametrize(
    ("column", "value"),
    [("value", "0.928"), ("upper", "0.942"), ("lower", ""), ("place", "Summary, sentence 5"), ("place", "Summary")],
)
def test_a_number_that_is_changed_or_moved_is_found(column, value):
    """ALARM's first AUC with a wrong last digit, a wrong or a missing limit, or in another sentence."""
    rows = _rows("alarm_text")
    first = next(row for row in rows if row["quantity"] == "auc")
    assert (first["value"], first["lower"], first["upper"]) == ("0.929", "0.918", "0.941")
    first[column] = value
    assert text_differences("alarm", _text("alarm"), rows)


@needs_papers
def test_numbers_of_a_sentence_that_are_swapped_are_found():
    """The sizes of the high and the medium risk group in each other's place."""
    rows = _rows("alarm_text")
    high, medium = (next(row for row in rows if row["value"] == size) for size in ("221", "433"))
    high["value"], medium["value"] = medium["value"], high["value"]
    assert any("in another order" in line for line in text_differences("alarm", _text("alarm"), rows))


@needs_papers
@PAPER_NAMES
def test_a_changed_cell_is_found(paper):
    """In each table in turn a number, a limit, a row's name and a missing row."""
    text = _text(paper)
    for label in _table_rows(paper):
        for column, value in (("value", "0.123"), ("lower", "0.124"), ("row", "Weight")):
            tables = _table_rows(paper)
            tables[label][7][column] = value
            assert table_differences(paper, text, tables), (label, column)
        tables = _table_rows(paper)
        del tables[label][-1]
        assert table_differences(paper, text, tables), label


@needs_papers
def test_a_missing_footnote_mark_is_found():
    """Table 4 of aMAP-CT without the first asterisk."""
    tables = _table_rows("amap_ct")
    assert tables["Table 4"][1]["quantity"] == "footnote mark"
    del tables["Table 4"][1]
    assert table_differences("amap_ct", _text("amap_ct"), tables)


@needs_papers
def test_a_number_added_to_the_paper_is_found():
    """A sentence of the discussion that gains a number the transcription does not have."""
    text = _text("alarm").replace("Despite the significant findings", "Despite the 4 significant findings")
    assert text_differences("alarm", text, _rows("alarm_text")) == [
        "Discussion, sentence 28: left out ['4'], added [], or in another order"
    ]


@needs_papers
def test_a_claim_names_a_place_that_exists():
    """The place of a claim is a sentence, a section or a table of its paper."""
    places = {paper: {*read_paper(paper, _text(paper))[0], *_table_rows(paper)} for paper in LAYOUTS}
    assert [claim.id for claim in published.claims() if claim.place not in places[claim.paper]] == []


@needs_papers
def test_claims_are_in_our_own_words():
    """No claim shares a run of nine words with its paper."""
    papers = {paper: " ".join(re.findall(r"\w+", _text(paper).lower())) for paper in LAYOUTS}
    for claim in published.claims():
        words = re.findall(r"\w+", claim.claim.lower())
        runs = [" ".join(words[start : start + 9]) for start in range(len(words) - 8)]
        assert not [run for run in runs if run in papers[claim.paper]], claim.id


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
    assert text_differences("alarm", SMALL, rows) == []
    for gone, row in enumerate(rows):
        wrong = text_differences("alarm", SMALL, rows[:gone] + rows[gone + 1 :])
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
    assert numbers_in(sentence) == numbers
