"""Every general check of a table of patients' characteristics."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import pandas as pd

from hccbook.audit import counts, p_values, quantiles, repeated_numbers
from hccbook.audit.findings import CheckResult
from hccbook.audit.printed import Quartiles, Range, is_number, printed_range, whole_number

Group = tuple[str, str]
"""Cohort and subgroup."""


@dataclass(frozen=True)
class Design:
    """How the columns of a table of characteristics hang together.

    Attributes
    ----------
    sizes : dict of Group to int
        People in each column.
    pooled : dict of Group to tuple of Group
        Columns that hold everybody of other columns once.
    contrasts : dict of str to tuple of Group
        For each cohort that a p-value is printed for, the columns that it compares; the empty cohort stands for
        one p-value a row.
    """

    sizes: dict[Group, int]
    pooled: dict[Group, tuple[Group, ...]] = field(default_factory=dict)
    contrasts: dict[str, tuple[Group, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Characteristics:
    """A table of characteristics, taken apart.

    Attributes
    ----------
    design : Design
    counts, percentages, quartiles : dict of str to dict of Group to int, Range or Quartiles
        By row, a row under a heading being ``heading: row``; percentages as shares.
    p_values : dict of str to dict of str to Range
        By row (or heading), then cohort.
    """

    design: Design
    counts: dict[str, dict[Group, int]]
    percentages: dict[str, dict[Group, Range]]
    quartiles: dict[str, dict[Group, Quartiles]]
    p_values: dict[str, dict[str, Range]]

    @classmethod
    def of(cls, table: pd.DataFrame, design: Design) -> Characteristics:
        """Take apart the rows of a transcribed table; columns that the design does not know are skipped."""
        parts: dict[str, dict] = {name: {} for name in ("counts", "percentages", "quartiles", "p_values")}
        for one in table.itertuples():
            group = (one.cohort, one.subgroup)
            if one.quantity == "p-value":
                if is_number(one.value):
                    parts["p_values"].setdefault(one.row, {})[one.cohort] = printed_range(one.value)
            elif group not in design.sizes or not is_number(one.value):
                continue
            elif one.quantity == "count":
                parts["counts"].setdefault(one.row, {})[group] = whole_number(one.value)
            elif one.quantity == "percentage":
                parts["percentages"].setdefault(one.row, {})[group] = printed_range(one.value, "%")
            elif one.quantity == "median":
                quartiles = tuple(printed_range(text) for text in (one.lower, one.value, one.upper))
                parts["quartiles"].setdefault(one.row, {})[group] = quartiles
        return cls(design=design, **parts)

    def headings(self) -> dict[str, list[str]]:
        """Rows of counts under each heading, in order."""
        by_heading: dict[str, list[str]] = {}
        for row in self.counts:
            heading, colon, _ = row.partition(": ")
            if colon:
                by_heading.setdefault(heading, []).append(row)
        return by_heading

    def people(self, row: str, groups: Sequence[Group]) -> list[tuple[int, Quartiles]] | None:
        """Size and quartiles of some columns; None where one of them prints no quartiles."""
        quartiles = self.quartiles.get(row, {})
        if not all(group in quartiles for group in groups):
            return None
        return [(self.design.sizes[group], quartiles[group]) for group in groups]


def group_name(group: Group) -> str:
    """A column in words."""
    return ", ".join(filter(None, group)).replace("_", " ")


def shares_of_columns(table: Characteristics) -> list[counts.PrintedShare]:
    """Every percentage with its count and the size of its column."""
    return [
        counts.PrintedShare(f"{row}, {group_name(group)}", table.counts[row][group], table.design.sizes[group], share)
        for row, shares in table.percentages.items()
        for group, share in shares.items()
        if row in table.counts and group in table.counts[row]
    ]


def check_percentages(table: Characteristics) -> CheckResult:
    """Every percentage against its count and the size of its column."""
    return counts.percentages(shares_of_columns(table))


def check_pooled_counts(table: Characteristics) -> CheckResult:
    """Every count of a pooled column against the sum of its parts; the sizes of the columns too."""
    totals = {
        f"{row}, {group_name(group)}": (by_group[group], [by_group[part] for part in parts])
        for row, by_group in table.counts.items()
        for group, parts in table.design.pooled.items()
        if all(part in by_group for part in (group, *parts))
    }
    totals |= {
        f"size, {group_name(group)}": (table.design.sizes[group], [table.design.sizes[part] for part in parts])
        for group, parts in table.design.pooled.items()
    }
    return counts.sums(totals, "pooled columns against their parts")


def check_partitions(table: Characteristics) -> CheckResult:
    """Rows under one heading against the size of each column; a single row needs none."""
    totals = {}
    for heading, rows in table.headings().items():
        for group, size in table.design.sizes.items():
            if all(group in table.counts[row] for row in rows):
                totals[f"{heading}, {group_name(group)}"] = (size, [table.counts[row][group] for row in rows])
    return counts.sums(totals, "categories against their column")


def contingency(table: Characteristics, row: str, groups: Sequence[Group]) -> list[list[int]] | None:
    """People by column and category behind a p-value; None where it is not about counts."""
    rows = table.headings().get(row.removesuffix(", n (%)"))
    if rows:
        if not all(group in table.counts[one] for one in rows for group in groups):
            return None
        return [[table.counts[one][group] for one in rows] for group in groups]
    by_group = table.counts.get(row, {})
    if not all(group in by_group for group in groups):
        return None
    return [[by_group[group], table.design.sizes[group] - by_group[group]] for group in groups]


def check_count_p_values(table: Characteristics) -> CheckResult:
    """Every p-value of counts against its test.

    One test serves a table: the one that reproduces most of its p-values of two columns and two categories;
    a p-value that only another test gives is reported as well.
    """
    cells = []
    for row, by_cohort in table.p_values.items():
        for cohort, printed in by_cohort.items():
            people = contingency(table, row, table.design.contrasts.get(cohort, ()))
            if people and len(people) > 1 and all(sum(one) for one in people) and _categories(people) > 1:
                cells.append((group_name((row, cohort)), printed, people))
    square = {cell for cell, _, people in cells if len(people) == 2 and _categories(people) == 2}
    common = p_values.commonest_test([(printed, people) for cell, printed, people in cells if cell in square])
    results = [
        p_values.from_counts(cell, printed, people, [common] if cell in square and common else None)
        for cell, printed, people in cells
    ]
    return CheckResult.joined(p_values.CHECK, "p-value against its counts", results)


def _categories(people: Sequence[Sequence[int]]) -> int:
    return sum(any(column) for column in zip(*people, strict=True))


def check_quartile_p_values(table: Characteristics) -> CheckResult:
    """Every p-value of a row of medians against what its quartiles allow."""
    cells, wrong = 0, []
    for row, by_cohort in table.p_values.items():
        for cohort, printed in by_cohort.items():
            people = table.people(row, table.design.contrasts.get(cohort, ()))
            if not people or len(people) < 2:
                continue
            cells += 1
            if len(people) == 2:
                deviates = p_values.mann_whitney_readings(*people)
            else:
                deviates = p_values.kruskal_wallis_readings(people)
            shown = " against ".join("{1} ({0}, {2})".format(*quartiles) for _, quartiles in people)
            problem = p_values.quartile_discrepancy(group_name((row, cohort)), printed, deviates, shown)
            if problem:
                wrong.append(problem)
    return CheckResult(p_values.CHECK, "p-value against its medians and quartiles", cells, tuple(wrong))


def check_pooled_quartiles(table: Characteristics) -> CheckResult:
    """Quartiles of pooled columns against those of their parts."""
    results = [
        quantiles.pooled_quantiles(f"{row}, {group_name(group)}", people, by_group[group])
        for row, by_group in table.quartiles.items()
        for group, parts in table.design.pooled.items()
        if group in by_group and (people := table.people(row, parts))
    ]
    return CheckResult.joined(quantiles.CHECK, "pooled quartiles against those of the parts", results)


def check_rising(table: Characteristics) -> CheckResult:
    """Lower quartile, median, upper quartile in order."""
    results = [
        quantiles.quartiles_rise(f"{row}, {group_name(group)}", one)
        for row, by_group in table.quartiles.items()
        for group, one in by_group.items()
    ]
    return CheckResult.joined(quantiles.CHECK, "quartiles in rising order", results)


def check_copied(table: Characteristics) -> CheckResult:
    """Neighbouring rows that print the same median and quartiles."""
    neighbours = [
        tuple((f"{row}, {group_name(group)}", table.quartiles[row][group]) for row in rows)
        for rows in itertools.pairwise(table.quartiles)
        for group in table.design.sizes
        if all(group in table.quartiles[row] for row in rows)
    ]
    return repeated_numbers.copied_cells(neighbours)


CHECKS_OF_P = (check_count_p_values, check_quartile_p_values)
_CHECKS_OF_QUARTILES = (check_pooled_quartiles, check_rising, check_copied)
CHECKS = (check_percentages, check_pooled_counts, check_partitions, *CHECKS_OF_P, *_CHECKS_OF_QUARTILES)
"""Every general check of such a table."""


def check_all(table: Characteristics, but: Collection[Callable] = ()) -> list[CheckResult]:
    """Run `CHECKS`, some of them left out."""
    return [check(table) for check in CHECKS if check not in but]
