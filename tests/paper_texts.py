"""What the papers' texts print, number by number and without their words.

    python tests/paper_texts.py FOLDER

FOLDER holds the main texts as ``alarm.txt`` and ``amap_ct.txt``, which may not be published.
Writes ``tests/data/alarm_print.csv`` and ``tests/data/amap_ct_print.csv``, with a line for every sentence and for every
cell of a table: its place, a digest of its words, and its numbers.
The transcription is compared with these files everywhere, and these files with the texts where the texts lie.

The scheme of the column ``place`` is implemented here and nowhere else; ``data/README.md`` describes it.
"""

from __future__ import annotations

import csv
import hashlib
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

PRINTS = Path(__file__).resolve().parent / "data"


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
MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
AS_PRINTED = re.compile(rf"(?:(?-i:{MONTHS})\s+|[<>–-]\s*)?(?:{NUMBER.pattern})", re.IGNORECASE)
"""A number with the month, the inequality sign or the dash before it."""

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


def squeezed(text: str) -> str:
    """Text without spaces and with one kind of dash, because the papers set both in several ways."""
    return re.sub(r"\s", "", text).replace("–", "-")


def numbers_in(text: str) -> list[str]:
    """Numbers and number words in their order."""
    return [number.lower() for number in NUMBER.findall(text)]


def without_words(sentence: str) -> str:
    """Numbers of a sentence as printed, set off by bars; what only looks like a number is left out.

    Two numbers with a dash between them stay together: ``0.929|95|0.918-0.941``.
    """
    for pattern in NOT_QUANTITIES.values():
        sentence = re.sub(pattern, " ", sentence)
    sentence = sentence.translate(TO_THE_LINE)
    kept, end = "", 0
    for number in AS_PRINTED.finditer(sentence):
        joined = number[0][0] in "–-" and not sentence[end : number.start()].strip()
        kept += squeezed(number[0]) if joined else f"|{squeezed(number[0])}"
        end = number.end()
    return kept.removeprefix("|")


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
    return _by_sentence(paragraphs), tables


def _by_sentence(paragraphs: dict[str, list[str]]) -> dict[str, str]:
    found = {}
    for place, parts in paragraphs.items():
        # A word that a page cut in two is put together again.
        joined = re.sub(r"(?<=\w)-\n", "", "\n".join(parts)).replace("\n", " ")
        found |= {f"{place}, sentence {count}": sentence for count, sentence in enumerate(sentences(joined), start=1)}
    return found


Cell = tuple[str, str, tuple[str, ...]]
"""Row, column, and what the cell holds."""


def held_in(text: str) -> tuple[str, ...]:
    """Numbers of a cell with their signs, and the marks behind them; a cell without a number as it is."""
    if not re.search(r"\d", text):
        return (text,) if text else ()
    return tuple(re.findall(r"(?<!\d)-?(?:\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?)|[<>*#]", text))


def plain_name(label: str) -> str:
    """Name of a row or column without spaces, footnote letter and markup; aMAP is once set in Cyrillic letters."""
    plain = re.sub(r"</?i>|\^[a-z]\b|\s", "", label)
    return plain.replace("аМАР", "aMAP").replace("Pvalue", "P-value")


def _rows_of(lines: list[str], columns: list[str]) -> list[Cell]:
    """Cells of a plain table, each row with the heading above it."""
    cells, heading = [], ""
    for line in lines:
        label, *texts = line.split("\t")
        if not any(texts[:-1]):
            heading = plain_name(label.removesuffix(", n (%)"))
        row = f"{heading}:{plain_name(label)}"
        cells += [(row, column, held_in(text)) for column, text in zip(columns, texts, strict=True) if text]
    return cells


def _alarm_table_1(lines: list[str]) -> list[Cell]:
    cohorts, groups, counts = (line.split("\t")[1:] for line in lines[:3])
    cells, columns, cohort = [], [], ""
    for title, group in zip(cohorts, groups, strict=True):
        if title:
            cohort, count = title.split(" (n = ")
            cells.append((":header", plain_name(cohort), held_in(count)))
        columns.append(plain_name(f"{cohort}, {group}"))
    cells += [(":header", column, held_in(count)) for column, count in zip(columns, counts, strict=True) if count]
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
            (
                f":{plain_name(label)}",
                plain_name(f"{cohort}, cut-off {cutoff}"),
                held_in(f"{value} {limits.replace('–', ' ')}"),
            )
            for cutoff, value, limits in pairs
        ]
    return cells


def _amap_ct_table_4(lines: list[str]) -> list[Cell]:
    columns = [plain_name(column) for column in lines[0].split("\t")[1:]]
    cells = []
    for values, limits in zip(lines[1::2], lines[2::2], strict=True):
        label, *above = values.split("\t")
        below = limits.split("\t")[1:]
        pairs = zip(columns, above, below, strict=True)
        cells += [(f":{plain_name(label)}", column, held_in(f"{value} {limit}")) for column, value, limit in pairs]
    return cells


def printed_tables(paper: str, text: str) -> dict[str, list[Cell]]:
    """Cells of every table of a paper in the order of print."""
    _, tables = read_paper(paper, text)
    if paper == "alarm":
        first, second = tables
        return {"Table 1": _alarm_table_1(first), "Table 2": _alarm_table_2(second)}
    plain = {
        f"Table {number}": _rows_of(lines[1:], [plain_name(column) for column in lines[0].split("\t")[1:]])
        for number, lines in enumerate(tables[:3], start=1)
    }
    return plain | {"Table 4": [cell for lines in tables[3:] for cell in _amap_ct_table_4(lines)]}


class PrintedLine(NamedTuple):
    """A sentence or the cell of a table without its words.

    Attributes
    ----------
    place : str
        Sentence or table.
    digests : str
        Digest of the sentence; of a cell, that of its row and column with the heading above the row and that without.
    numbers : str
        Numbers as printed, with their signs and marks, set off by bars.
    """

    place: str
    digests: str
    numbers: str


def digest(text: str) -> str:
    """First half of the SHA-256 of a text, in which spaces and kinds of dash do not count."""
    return hashlib.sha256(squeezed(text).encode()).hexdigest()[:32]


def name_digest(row: str, column: str) -> str:
    """Digest of the names of a cell; a row's name is ``heading:row``, or ``:row`` where it stands under none."""
    return digest(f"{row}|{column}")


def printed_sentences(paper: str, text: str) -> list[PrintedLine]:
    """Every sentence of a paper, those without a number included."""
    return [
        PrintedLine(place, digest(sentence), without_words(sentence))
        for place, sentence in read_paper(paper, text)[0].items()
    ]


def printed_cells(paper: str, text: str) -> list[PrintedLine]:
    """Every cell of a paper's tables in the order of print."""
    return [
        PrintedLine(label, " ".join(name_digest(name, column) for name in _names(row)), "|".join(held))
        for label, cells in printed_tables(paper, text).items()
        for row, column, held in cells
    ]


def _names(row: str) -> list[str]:
    """Name of a row with the heading above it, and without."""
    return list(dict.fromkeys((row, f":{row.partition(':')[2]}")))


def print_file(paper: str) -> Path:
    """File with the lines of a paper."""
    return PRINTS / f"{paper}_print.csv"


def read_print(paper: str) -> list[PrintedLine]:
    """Lines of a paper that were written where its text lies."""
    with print_file(paper).open(encoding="utf-8", newline="") as handle:
        head, *lines = csv.reader(handle)
    assert tuple(head) == PrintedLine._fields
    return [PrintedLine(*line) for line in lines]


def main(folder: Path) -> None:
    PRINTS.mkdir(exist_ok=True)
    for paper in LAYOUTS:
        text = (folder / f"{paper}.txt").read_text(encoding="utf-8")
        lines = printed_sentences(paper, text) + printed_cells(paper, text)
        with print_file(paper).open("w", encoding="utf-8", newline="") as handle:
            csv.writer(handle, lineterminator="\n").writerows([PrintedLine._fields, *lines])
        print(f"{print_file(paper).name}: {len(lines)} sentences and cells")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
