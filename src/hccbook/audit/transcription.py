"""A transcribed paper: its printed numbers, found by what they are, and what they say of groups of people."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pandas as pd

from hccbook.audit.description import Description, RowAt
from hccbook.audit.expressions import Quoted
from hccbook.audit.printed import in_digits, is_number, printed_range, whole_number
from hccbook.audit.two_by_two import MEASURES, PerformanceRow, TwoByTwo, fitting_tables
from hccbook.errors import DataError, reading
from hccbook.papers.published import PrintedAt, rows_at

NEEDED = ("place", "row", "quantity", "value")
OPTIONAL = ("column", "unit", "cohort", "subgroup", "lower", "upper", "paper", "item", "decimals")
"""Columns of a table of printed numbers; an optional one that is missing is empty."""

QUANTITIES = (
    *MEASURES, "auc", "count", "percentage", "denominator", "median", "mean", "sd", "p-value", "odds ratio",
    "hazard ratio", "risk ratio", "subdistribution hazard ratio", "coefficient", "standard error", "difference",
    "net reclassification improvement", "integrated discrimination improvement", "event NRI", "nonevent NRI",
    "events up", "events down", "nonevents up", "nonevents down", "discrimination slope, new",
    "discrimination slope, old", "at risk", "cumulative events", "cumulative incidence", "observed events",
    "expected events", "mean predicted risk", "observed to expected ratio",
)  # fmt: skip
"""Quantities that general checks read; any other is for the relations of a description."""

_SPELLED = {name.lower(): name for name in QUANTITIES}
_ALIKE = 0.9
"""Share of letters from which another spelling is taken for a slip."""

LITERATURE = ", literature"
"""How a row of the text ends that quotes somebody else."""

Group = tuple[str, str]
"""Cohort and subgroup."""


def group_name(group: Group) -> str:
    """A cohort and its subgroup in words."""
    return ", ".join(filter(None, group)).replace("_", " ")


def in_tables(numbers: pd.DataFrame) -> pd.Series:
    """Which numbers stand in a table: by their place, or since they have a column."""
    return (numbers["column"] != "") | numbers["place"].str.fullmatch(r"(?:Supplementary )?Table \w+")


def read_numbers(folder: Path) -> pd.DataFrame:
    """Every printed number of a folder, file by file in the order of their names, tables before the text.

    Raises
    ------
    DataError
        If there is no file, or one lacks a column, has an unknown one, or a row of too few or empty cells.
    """
    rows = []
    for file in sorted(folder.glob("*.csv")):
        hint = "Save it as 'CSV UTF-8 (comma delimited)'."
        with (
            reading(DataError, file.name, "must be CSV in UTF-8", hint),
            file.open(encoding="utf-8-sig", newline="") as handle,
        ):
            reader = csv.DictReader(handle)
            columns = reader.fieldnames or ()
            wrong = [name for name in NEEDED if name not in columns] or sorted({*columns} - {*NEEDED, *OPTIONAL})
            if wrong:
                rule = f"columns must be {', '.join(NEEDED)}, and may be {', '.join(OPTIONAL)}"
                raise DataError(file.name, rule, ", ".join(wrong), "Add what is missing, remove what is unknown.")
            for row in reader:
                place = f"{file.name}, line {reader.line_num}"
                if None in row or None in row.values():
                    raise DataError(place, f"must hold {len(columns)} cells", "another number", "Quote commas.")
                if not (row["place"] and row["quantity"] and row["value"]):
                    raise DataError(place, "must say place, quantity and value", dict(row), "Fill it in.")
                if bool(row.get("lower")) is not bool(row.get("upper")):
                    raise DataError(place, "must have both limits or none", dict(row), "Fill in the other one.")
                _refuse_slip(place, row["quantity"])
                rows.append({name: row.get(name) or "" for name in (*NEEDED, *OPTIONAL)})
    if not rows:
        raise DataError(str(folder), "must hold printed numbers as CSV", "none", "See hccbook audit init.")
    return pd.DataFrame(rows)


@cache
def _slip_of(quantity: str) -> str:
    """Quantity that another is nearly spelled like; empty where there is none, or it is one itself."""
    near = difflib.get_close_matches(quantity.lower(), _SPELLED, n=1, cutoff=_ALIKE)
    return _SPELLED[near[0]] if near and quantity not in QUANTITIES else ""


def _refuse_slip(place: str, quantity: str) -> None:
    """Refuse a quantity that is nearly one that the checks read: they would pass over it without a word."""
    meant = _slip_of(quantity)
    if meant:
        hint = f"Write {meant}, or name it otherwise if it is another thing."
        raise DataError(f"{place}, quantity", "must be spelled as the checks read it", quantity, hint)


@dataclass(frozen=True, eq=False)
class Transcription:
    """A paper as transcribed.

    Attributes
    ----------
    description : Description
        What it is.
    numbers : pandas.DataFrame
        Its printed numbers, a row each, in the order of print.
    """

    description: Description
    numbers: pd.DataFrame

    @classmethod
    def read(cls, folder: Path) -> Transcription:
        """The paper of a folder.

        Raises
        ------
        DataError
            If the description or a table is wrong, or a table names a cohort that the description does not.
        """
        description, numbers = Description.read(folder), read_numbers(folder)
        unknown = numbers[~numbers["cohort"].isin(["", *description.every_cohort])]
        if len(unknown):
            first, known = unknown.iloc[0], ", ".join(description.every_cohort)
            place = f"{folder.name}: {first['place']}, {first['row']}, {first['quantity']}, cohort"
            found, hint = first["cohort"], "Correct the cell, or add the cohort to paper.yaml."
            raise DataError(place, f"must be one of {known}", found, hint)
        return cls(description, numbers)

    @property
    def name(self) -> str:
        """Its short name."""
        return self.description.name

    def at(self, where: PrintedAt) -> pd.DataFrame:
        """Rows whose columns hold what is asked for; none where nothing does."""
        return rows_at(self.numbers, where)

    def at_place(self, place: str) -> pd.DataFrame:
        """Rows of one table, in the order of print."""
        return self.numbers[self.numbers["place"] == place]

    def places_of(self, *quantities: str) -> str:
        """Tables that print some quantities; the text where none does."""
        rows = self.own[self.own["quantity"].isin(quantities) & in_tables(self.own)]
        return " and ".join(dict.fromkeys(rows["place"])) or "text"

    def quoted(self, where: PrintedAt) -> Quoted:
        """The first printing of a number; whether others differ is a check of its own.

        Raises
        ------
        DataError
            If it is not transcribed.
        """
        rows = self.at(where)
        if rows.empty:
            asked = ", ".join(f"{name} {text!r}" for name, text in where.asked.items())
            raise DataError(self.name, "the number must be transcribed", f"none with {asked}", "Check its row.")
        return as_quoted(next(rows.itertuples(index=False)))

    @cached_property
    def own(self) -> pd.DataFrame:
        """Rows that are not quoted from others."""
        return self.numbers[~self.numbers["row"].str.endswith(LITERATURE)]

    @cached_property
    def cells(self) -> dict[tuple[str, str, str, str], dict[str, Quoted]]:
        """What is printed together: by place, row, cohort and subgroup, the first of each quantity."""
        cells: dict[tuple[str, str, str, str], dict[str, Quoted]] = {}
        for one in self.own.itertuples(index=False):
            cells.setdefault((one.place, one.row, one.cohort, one.subgroup), {}).setdefault(
                one.quantity, as_quoted(one)
            )
        return cells

    def _counted(self, places: Iterable[PrintedAt]) -> list[tuple[Group, str, int, int]]:
        found = {}
        for where in places:
            rows = self.at(where)
            for one in rows[rows["quantity"].isin(("count", self.description.outcome.events))].itertuples():
                if not is_number(in_digits(one.value)):
                    continue
                group = (one.cohort, one.subgroup)
                found[one.Index] = (group, one.place, whole_number(one.value), one.Index)
        return [found[index] for index in sorted(found)]

    @cached_property
    def size_printings(self) -> list[tuple[Group, str, int, int]]:
        """Every printing of how many people a group holds: group, place, people, row of `numbers`."""
        return self._counted(self.description.sizes)

    @cached_property
    def event_printings(self) -> list[tuple[Group, str, int, int]]:
        """Every printing of how many of a group have the outcome, as `size_printings`."""
        name = self.description.outcome.name
        return [
            ((cohort, "" if subgroup == name else subgroup), place, people, index)
            for (cohort, subgroup), place, people, index in self._counted(self.description.events)
        ]

    @cached_property
    def sizes(self) -> dict[Group, int]:
        """People by cohort and subgroup, as first printed; the one group of a grouping that is not is the rest."""
        sizes: dict[Group, int] = {}
        for group, _, people, _ in self.size_printings:
            sizes.setdefault(group, people)
        return sizes | dict(self._rests(sizes))

    def _rests(self, sizes: dict[Group, int]) -> Iterator[tuple[Group, int]]:
        for cohort in self.description.every_cohort:
            for grouping in self.description.groupings:
                missing = [name for name in grouping.groups if (cohort, name) not in sizes]
                if len(missing) == 1 and (cohort, "") in sizes:
                    known = sum(sizes[cohort, name] for name in grouping.groups if name not in missing)
                    if sizes[cohort, ""] >= known:
                        yield (cohort, missing[0]), sizes[cohort, ""] - known

    @cached_property
    def events(self) -> dict[Group, int]:
        """People with the outcome by cohort and subgroup, as first printed."""
        events: dict[Group, int] = {}
        for group, _, people, _ in self.event_printings:
            events.setdefault(group, people)
        return events

    def people(self, group: Group) -> tuple[int, int] | None:
        """People with and without the outcome in a group; None where print does not say."""
        cohort, subgroup = group
        key = (cohort, "") if self.description.is_whole(subgroup) else group
        if key not in self.sizes or key not in self.events or subgroup in self.description.other_people:
            return None
        return self.events[key], self.sizes[key] - self.events[key]

    @cached_property
    def performance(self) -> dict[Group, PerformanceRow]:
        """Rows of diagnostic performance by cohort and subgroup, measures as first printed."""
        measures: dict[Group, dict] = {}
        for one in self.own[self.own["quantity"].isin(MEASURES) & (self.own["cohort"] != "")].itertuples(index=False):
            printed = printed_range(one.value, one.unit) if is_number(one.value) else None
            measures.setdefault(self.group_of(one), {}).setdefault(one.quantity, printed)
        rows = {}
        for group, printed in measures.items():
            people = self.people(group)
            if people is not None:
                rows[group] = PerformanceRow(group_name(group), sum(people), people[0], printed)
        return rows

    def group_of(self, one: object) -> Group:
        """Cohort and subgroup of a row; the paper's own model is everybody."""
        return (one.cohort, "" if one.subgroup == self.description.model else one.subgroup)

    @cached_property
    def tables(self) -> dict[Group, list[TwoByTwo]]:
        """Every 2x2 table that fits a row of performance; where none prints so, those that do with digits cut."""
        return {group: fitting_tables(row) for group, row in self.performance.items()}

    def table(self, at: RowAt) -> TwoByTwo | None:
        """The 2x2 table of a row behind which there is one and no other."""
        tables = self.tables.get((at.cohort, at.subgroup), [])
        return tables[0] if len(tables) == 1 else None

    @cached_property
    def recovered(self) -> dict[Group, TwoByTwo]:
        """The 2x2 tables that are known."""
        return {group: tables[0] for group, tables in self.tables.items() if len(tables) == 1}

    @cached_property
    def areas(self) -> dict[Group, Quoted]:
        """AUC by cohort and subgroup, as first printed."""
        areas: dict[Group, Quoted] = {}
        rows = self.own[(self.own["quantity"] == "auc") & (self.own["cohort"] != "")]
        for one in rows.itertuples(index=False):
            areas.setdefault(self.group_of(one), as_quoted(one))
        return areas


def as_quoted(row: object) -> Quoted:
    """A row of printed numbers, quoted."""
    return Quoted(row.place, row.quantity, row.unit, row.value, row.lower, row.upper)
