"""The papers' printed numbers and claims, the list of their tables and figures, and the assumptions register.

Everything is read from ``data/published/``; nothing is corrected on the way.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, Self, TypeVar

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hccbook.documents import checked, read_yaml
from hccbook.errors import DataError
from hccbook.papers.paper import PAPERS
from hccbook.run import published_dir

COLUMNS = (
    "paper", "place", "item", "row", "column", "quantity", "value", "decimals", "unit", "cohort", "subgroup",
    "lower", "upper",
)  # fmt: skip
"""Columns of every CSV of printed numbers; ``data/README.md`` says what each holds."""

REPRODUCED = "method reproduced on synthetic data"
"""Status of an item whose numbers and pictures this book makes, from simulated patients."""

PLANNED = "planned"
"""Status of an item that is not yet in the book."""

RECOMPUTED = "recomputed from print"
"""Status of a claim that other printed numbers bear out."""

CONTRADICTED = "contradicted by print"
"""Status of a claim that other printed numbers, or the arithmetic of its own, speak against."""

PRIVATE = "needs the private data"
"""Status of a claim that nobody can check without the patients' data."""

UNDER_SPECIFIED = "under-specified"
"""Status of a claim that leaves open what would have to be known to check it."""

ClaimStatus = Literal[
    "recomputed from print", "contradicted by print", "method reproduced on synthetic data", "needs the private data",
    "under-specified",
]  # fmt: skip
"""What came of a claim's checks."""

Check = Literal[
    "counts", "two_by_two", "intervals", "p_values", "quantiles", "derived_scores", "ranges", "repeated_numbers",
    "formulas", "horizons", "means_against_parts", "calibration_counts", "significance", "methods", "synthetic",
    "private",
]  # fmt: skip
"""How a claim is checked: a family of checks on what is printed, the book's synthetic run, or private data."""

_NUMBER = re.compile(r"-?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?")


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Listed(_Entry):
    """An entry of a list, with a name of its own."""

    id: str = Field(pattern=r"^[a-z0-9-]+$", description="Name of the entry; also its HTML anchor.")


class OfPaper(Listed):
    """An entry that is about one paper; its id begins with the paper's name."""

    paper: str = Field(description="Paper that it is about, one of `hccbook.papers.PAPERS`.")

    @model_validator(mode="after")
    def _is_of_a_paper(self) -> Self:
        if self.paper not in PAPERS:
            raise ValueError(f"paper must be one of {', '.join(PAPERS)}, but found {self.paper!r}")
        if not self.id.startswith(f"{PAPERS[self.paper].slug}-"):
            raise ValueError(f"id must start with the paper's name, but found {self.id!r} in {self.paper!r}")
        return self


class Item(OfPaper):
    """A table or figure of one of the papers, and where the book shows it."""

    label: str = Field(min_length=1, description="What the paper calls it, as printed: 'Fig. 3', 'Table 1'.")
    title: str = Field(min_length=1, description="What it shows, in our words.")
    caption: str = Field(
        "", description="What its marks, lines and columns are, for the caption; none needed if empty."
    )
    kind: Literal["figure", "table", "other"] = Field(description="What must be on the page for it.")
    supplementary: bool = Field(False, description="Whether it is in the supplement, known here from the text only.")
    status: Literal["planned", ClaimStatus]
    page: str | None = Field(None, description="Page of the book that shows it, without its ending.")
    notebook: str | None = Field(None, description="Notebook that makes it.")
    data: str | None = Field(None, description="CSV of its numbers, relative to the folder of the run.")
    figure: str | None = Field(None, description="Picture, relative to the folder of the run.")

    @model_validator(mode="after")
    def _says_where(self) -> Item:
        places = {"page": self.page, "notebook": self.notebook, "data": self.data, "figure": self.figure}
        if self.status == PLANNED:
            given = [name for name, place in places.items() if place is not None]
            if given:
                raise ValueError(f"a planned item has no {', '.join(given)} yet")
        elif self.status == REPRODUCED:
            needed = ("page", "notebook", "data", "figure") if self.kind == "figure" else ("page", "notebook", "data")
            missing = [name for name in needed if places[name] is None]
            if missing:
                raise ValueError(f"a reproduced {self.kind} must name its {', '.join(missing)}")
        return self

    @property
    def vector_figure(self) -> str | None:
        """The picture as SVG, beside the other."""
        return self.figure and f"{self.figure.removesuffix('.png')}.svg"

    @property
    def is_planned(self) -> bool:
        """Whether the item is not yet in the book."""
        return self.status == PLANNED


class Assumption(Listed):
    """Something that a paper leaves open, and what this book does about it."""

    title: str = Field(min_length=1, description="The open point in a few words.")
    paper: str = Field(description="Paper that leaves it open, or 'both'.")
    gap: str = Field(min_length=1, description="What the paper says, and what it does not say.")
    choice: str = Field(min_length=1, description="What this book does.")
    setting: str | None = Field(None, description="Field of `hccbook.settings.Profile` that changes it, dotted.")
    code: str | None = Field(None, description="Module that holds the choice where no setting does.")
    alternatives: tuple[str, ...] = Field(min_length=1, description="What else the paper may have meant.")
    impact: str = Field(min_length=1, description="How much it matters, or that this is not measured yet.")

    @model_validator(mode="after")
    def _can_be_found(self) -> Assumption:
        if self.paper not in (*PAPERS, "both"):
            raise ValueError(f"paper must be one of {', '.join(PAPERS)} or both, but found {self.paper!r}")
        if self.setting is None and self.code is None:
            raise ValueError("an assumption must name the setting or the module that holds it")
        return self


class PrintedAt(_Entry):
    """Where printed numbers stand: columns of the CSVs and what each must hold; a column left out may hold anything."""

    place: str | None = Field(None, min_length=1, description="Place, and all that lies beneath it.")
    item: str | None = Field(None, description="Id in `items.yaml`.")
    row: str | None = Field(None, description="Row as printed; in text, the thing.")
    column: str | None = Field(None, description="Column as printed.")
    quantity: str | None = Field(None, min_length=1, description="What the number is.")
    cohort: str | None = Field(None, description="Cohort; empty for numbers of no one cohort.")
    subgroup: str | None = Field(None, description="Subgroup; empty for everybody.")

    @model_validator(mode="after")
    def _says_something(self) -> PrintedAt:
        if not self.asked:
            raise ValueError("must name at least one column")
        return self

    @property
    def asked(self) -> dict[str, str]:
        """The columns that are named, and what they must hold."""
        return self.model_dump(exclude_none=True)


class Claim(OfPaper):
    """Something that a paper states with a number, how it is checked, and what came of that."""

    place: str = Field(min_length=1, description="Where it is stated, as in the column of that name.")
    claim: str = Field(min_length=1, description="What is stated, in one sentence of ours.")
    numbers: tuple[PrintedAt, ...] = Field(min_length=1, description="Where its printed numbers stand.")
    about: Literal["estimate", "interval"] = Field("estimate", description="What it judges: the number, or its limits.")
    check: tuple[Check, ...] = Field(min_length=1, description="How it is checked.")
    item: str | None = Field(None, description="Id in `items.yaml` of the table or figure that shows it.")
    status: ClaimStatus

    @model_validator(mode="after")
    def _status_follows_from_checks(self) -> Claim:
        if len(set(self.check)) < len(self.check):
            raise ValueError(f"a check is named once, but found {', '.join(self.check)}")
        elsewhere = {REPRODUCED: "synthetic", PRIVATE: "private"}
        if self.status in elsewhere and elsewhere[self.status] not in self.check:
            raise ValueError(f"the status {self.status!r} needs the check {elsewhere[self.status]!r}")
        if self.status in (RECOMPUTED, CONTRADICTED) and {"synthetic", "private"} & set(self.check):
            raise ValueError(f"the status {self.status!r} comes from checks on print alone")
        return self


@dataclass(frozen=True)
class Printed:
    """One number as a paper prints it.

    Attributes
    ----------
    text, lower_text, upper_text : str
        The number and its limits as printed; limits are empty where none is printed.
    number, lower, upper : float or None
        The same as numbers; None where what is printed is not a plain number, such as ``<0.001``.
    decimals : int or None
        Decimals printed.
    unit : str
        Unit as printed.
    places : tuple of str
        Every place in which the paper prints exactly this.
    """

    text: str
    number: float | None
    lower_text: str
    upper_text: str
    lower: float | None
    upper: float | None
    decimals: int | None
    unit: str
    places: tuple[str, ...]

    def __str__(self) -> str:
        percent = "%" if self.unit == "%" else ""
        limits = f" ({self.lower_text} to {self.upper_text})" if self.lower_text else ""
        return f"{self.text}{percent}{limits}"


def printed_number(text: str) -> float | None:
    """Number that a cell prints, whose thousands may be set off by commas.

    None for ``<0.001``, ``/``, ``n.a.`` and the like: an inequality is not a number.
    """
    return float(text.replace(",", "")) if _NUMBER.fullmatch(text) else None


def printed_decimals(text: str) -> int | None:
    """Decimals that `text` prints, behind an inequality sign too; None where it prints no number."""
    bare = text.lstrip("<>=≤≥ ")
    return len(bare.partition(".")[2]) if _NUMBER.fullmatch(bare) else None


def _checked_rows(folder: Path, file: Path, known_items: set[str]) -> list[dict[str, str]]:
    name = file.relative_to(folder).as_posix()
    with file.open(encoding="utf-8", newline="") as handle:
        reader = csv.DictReader(handle)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            rule = f"columns must be {', '.join(COLUMNS)}"
            raise DataError(name, rule, reader.fieldnames, "See data/README.md.")
        rows = []
        for row in reader:
            place = f"{name}, line {reader.line_num}"
            if None in row or None in row.values():
                raise DataError(place, f"must hold {len(COLUMNS)} cells", "another number", "Quote cells with commas.")
            if row["paper"] not in PAPERS:
                raise DataError(place, f"paper must be one of {', '.join(PAPERS)}", row["paper"], "Correct the name.")
            if row["item"] and row["item"] not in known_items:
                raise DataError(place, "item must be listed in items.yaml", row["item"], "Add it there, or correct it.")
            decimals = printed_decimals(row["value"])
            if row["decimals"] != ("" if decimals is None else str(decimals)):
                rule = f"decimals must be those of {row['value']!r}"
                raise DataError(place, rule, row["decimals"] or "none", "Count them again.")
            rows.append(row)
    return rows


@cache
def _numbers(folder: Path) -> pd.DataFrame:
    known = {item.id for item in _items(folder)}
    files = sorted(folder.rglob("*.csv"))
    if not files:
        raise DataError(str(folder.name), "must hold the papers' numbers as CSV", "none", "Restore data/published.")
    table = pd.DataFrame([row for file in files for row in _checked_rows(folder, file, known)], columns=list(COLUMNS))
    for source, target in (("value", "number"), ("lower", "lower_number"), ("upper", "upper_number")):
        table[target] = pd.array([printed_number(text) for text in table[source]], dtype="Float64").astype(float)
    return table


def numbers() -> pd.DataFrame:
    """Every printed number that is transcribed so far.

    Returns
    -------
    pandas.DataFrame
        `COLUMNS` as text, as printed, then ``number``, ``lower_number`` and ``upper_number`` as floats:
        NaN where what is printed is not a plain number.

    Raises
    ------
    DataError
        If a file breaks the layout that ``data/README.md`` gives; names the file and the line.
    """
    return _numbers(published_dir()).copy()


def table(paper: str, label: str) -> pd.DataFrame:
    """One table of a paper, one row per printed number.

    Parameters
    ----------
    paper : {'alarm', 'amap_ct'}
        The paper.
    label : str
        What the paper calls it, for example ``'Table 1'``.

    Returns
    -------
    pandas.DataFrame
        As `numbers`, in the order of print: along each row of the table, then down.

    Raises
    ------
    DataError
        If that table is not transcribed; names those that are.
    """
    everything = numbers()
    chosen = everything[(everything["paper"] == paper) & (everything["place"] == label)]
    if chosen.empty:
        known = everything[everything["place"].str.fullmatch(r"Table \d+")][["paper", "place"]].drop_duplicates()
        listed = "; ".join(f"{row.paper} {row.place}" for row in known.itertuples())
        raise DataError("data/published", "the table must be transcribed", f"{paper} {label}", f"At hand: {listed}.")
    return chosen.reset_index(drop=True)


def _holds(numbers: pd.DataFrame, column: str, text: str) -> pd.Series:
    """Rows whose `column` holds `text`; a place also holds what lies beneath it, such as a section its sentences."""
    exactly = numbers[column] == text
    return exactly | numbers[column].str.startswith(f"{text}, ") if column == "place" else exactly


def value(paper: str, quantity: str, **at: str) -> Printed:
    """One printed number, to stand beside a computed one.

    Parameters
    ----------
    paper : {'alarm', 'amap_ct'}
        The paper.
    quantity : str
        What the number is: ``'auc'``, ``'median'``, ``'sensitivity'``, ...
    **at : str
        Other columns of `PrintedAt`, each of which must hold exactly this; a column that is left out may hold anything.
        A place stands for all that lies beneath it: a section for its sentences.

    Returns
    -------
    Printed
        Where the paper prints the very same in several places, one with all its `places`.

    Raises
    ------
    DataError
        If there is no such column, if nothing fits, or if what fits is printed in different ways; lists what fits.
    """
    try:
        asked = {"paper": paper, **PrintedAt(quantity=quantity, **at).asked}
    except ValidationError as error:
        known = ", ".join(PrintedAt.model_fields)
        raise DataError("printed number", f"columns are {known}", ", ".join(at), "Check the spelling.") from error
    found = numbers()
    shown = ", ".join(f"{name} {text!r}" for name, text in asked.items())
    for name, text in asked.items():
        left = found[_holds(found, name, text)]
        if left.empty:
            known = ", ".join(repr(known) for known in sorted(found[name].unique())[:25])
            raise DataError("data/published", "a number must be printed there", shown, f"{name} may be {known} here.")
        found = left
    prints = found[["value", "lower", "upper", "unit"]].drop_duplicates()
    if len(prints) > 1:
        listed = "; ".join(f"{one.place}, {one.row}, {one.column}: {one.value}" for one in found.head(8).itertuples())
        rule = "must name one printed number"
        raise DataError("data/published", rule, f"{len(prints)} for {shown}", f"See {listed}.")
    first = found.iloc[0]
    return Printed(
        text=first["value"],
        number=printed_number(first["value"]),
        lower_text=first["lower"],
        upper_text=first["upper"],
        lower=printed_number(first["lower"]),
        upper=printed_number(first["upper"]),
        decimals=printed_decimals(first["value"]),
        unit=first["unit"],
        places=tuple(found["place"].unique()),
    )


_EntryType = TypeVar("_EntryType", bound=Listed)


def read_entries(file: Path, model: type[_EntryType]) -> tuple[_EntryType, ...]:
    """Entries of a YAML list, each checked by its model.

    Raises
    ------
    DataError
        If the file is missing or no list, an entry breaks its model, or two share an id.
    """
    if not file.is_file():
        raise DataError(file.name, "must exist", "no such file", "Restore data/published.")
    content = read_yaml(file, DataError)
    if not isinstance(content, list):
        kind = type(content).__name__
        raise DataError(file.name, "must be a list of entries", kind, "Start each entry with '- id:'.")
    entries: dict[str, _EntryType] = {}
    for position, entry in enumerate(content, start=1):
        name = entry.get("id", f"entry {position}") if isinstance(entry, dict) else f"entry {position}"
        one = checked(model, entry, f"{file.name}: {name}", DataError, "Correct it.")
        if one.id in entries:
            raise DataError(file.name, "ids must differ", f"{one.id!r} twice", "Rename one, or merge them.")
        entries[one.id] = one
    return tuple(entries.values())


@cache
def _items(folder: Path) -> tuple[Item, ...]:
    return read_entries(folder / "items.yaml", Item)


def items() -> list[Item]:
    """Every table and figure of both papers, main text and supplement, in the papers' order.

    Raises
    ------
    DataError
        If ``items.yaml`` is missing or an entry is wrong; names the entry and the field.
    """
    return list(_items(published_dir()))


@cache
def _assumptions(folder: Path) -> tuple[Assumption, ...]:
    return read_entries(folder / "assumptions.yaml", Assumption)


def assumptions() -> list[Assumption]:
    """The assumptions register: what the papers leave open and what this book does about it.

    Raises
    ------
    DataError
        If ``assumptions.yaml`` is missing or an entry is wrong; names the entry and the field.
    """
    return list(_assumptions(published_dir()))


@cache
def _claims(folder: Path) -> tuple[Claim, ...]:
    file = folder / "claims.yaml"
    entries = read_entries(file, Claim)
    papers = {item.id: item.paper for item in _items(folder)}
    printed = _numbers(folder)
    for entry in entries:
        if entry.item is not None and papers.get(entry.item) != entry.paper:
            rule, hint = "must be an item of the same paper in items.yaml", "Add it there, or correct it."
            raise DataError(f"{file.name}: {entry.id} item", rule, repr(entry.item), hint)
        for position, where in enumerate(entry.numbers, start=1):
            if _at(printed, entry.paper, where).empty:
                place = f"{file.name}: {entry.id} numbers, entry {position}"
                asked = ", ".join(f"{name} {text!r}" for name, text in where.asked.items())
                hint = "Compare it with the columns of the CSVs beside it."
                raise DataError(place, "must find at least one transcribed number", asked, hint)
    return entries


def rows_at(printed: pd.DataFrame, where: PrintedAt) -> pd.DataFrame:
    """Rows of printed numbers whose columns hold what is asked for; none where nothing does."""
    for name, text in where.asked.items():
        printed = printed[_holds(printed, name, text)]
    return printed


def _at(printed: pd.DataFrame, paper: str, where: PrintedAt) -> pd.DataFrame:
    return rows_at(printed[printed["paper"] == paper], where)


def claims() -> list[Claim]:
    """What both papers state with a number, how it is checked, and what came of it, in the papers' order.

    Raises
    ------
    DataError
        If ``claims.yaml`` is missing, an entry is wrong, two share an id, an item is not that of the paper in
        ``items.yaml``, or an entry of ``numbers`` finds no transcribed number; names the entry and the field.
    """
    return list(_claims(published_dir()))


def numbers_of(claim: Claim) -> pd.DataFrame:
    """Printed numbers that a claim is about, as `numbers`, with its index.

    They are in the order of the transcription; a number that several entries of the claim find is there once.
    """
    printed = _numbers(published_dir())
    index = sorted({row for where in claim.numbers for row in _at(printed, claim.paper, where).index})
    return printed.loc[index].copy()
