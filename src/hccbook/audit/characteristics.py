"""Every general check of a table of patients' characteristics."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from hccbook.audit import counts, p_values, quantiles, repeated_numbers
from hccbook.audit.findings import Checked, Discrepancy
from hccbook.audit.printed import Range, is_number, printed_range, whole_number

Group = tuple[str, str]
"""Cohort and subgroup."""

Quartiles = tuple[Range, Range, Range]


@dataclass(frozen=True)
class Design:
    """How the columns of a table of characteristics hang together.

    Attributes
    ----------
    sizes : dict of (cohort, subgroup) to int
        People in each column.
    pooled : dict of (cohort, subgroup) to tuple of (cohort, subgroup)
        Columns that hold everybody of other columns once.
    contrasts : dict of str to tuple of (cohort, subgroup)
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
    counts : dict of str to dict of Group to int
        Counts by row; a row under a heading is ``heading: row``.
    percentages : dict of str to dict of Group to Range
        Percentages as shares.
    quartiles : dict of str to dict of Group to Quartiles
    texts : dict of str to dict of Group to tuple of str
        The same as printed: lower quartile, median, upper quartile.
    p_values : dict of str to dict of str to Range
        By row (or heading), then cohort.
    """

    design: Design
    counts: dict[str, dict[Group, int]]
    percentages: dict[str, dict[Group, Range]]
    quartiles: dict[str, dict[Group, Quartiles]]
    texts: dict[str, dict[Group, tuple[str, ...]]]
    p_values: dict[str, dict[str, Range]]

    @classmethod
    def of(cls, table: pd.DataFrame, design: Design) -> Characteristics:
        """Take apart a table of `hccbook.papers.published.table`; columns that the design does not know are skipped."""
        taken: dict[str, dict] = {name: {} for name in ("counts", "percentages", "quartiles", "texts", "p_values")}
        for one in table.itertuples():
            group = (one.cohort, one.subgroup)
            if one.quantity == "p-value":
                if is_number(one.value):
                    taken["p_values"].setdefault(one.row, {})[one.cohort] = printed_range(one.value)
            elif group not in design.sizes or not is_number(one.value):
                continue
            elif one.quantity == "count":
                taken["counts"].setdefault(one.row, {})[group] = whole_number(one.value)
            elif one.quantity == "percentage":
                taken["percentages"].setdefault(one.row, {})[group] = printed_range(one.value, "%")
            elif one.quantity == "median":
                texts = (one.lower, one.value, one.upper)
                taken["texts"].setdefault(one.row, {})[group] = texts
                taken["quartiles"].setdefault(one.row, {})[group] = tuple(printed_range(text) for text in texts)
        return cls(design=design, **taken)

    def headings(self) -> dict[str, list[str]]:
        """Rows of counts under each heading, in order."""
        found: dict[str, list[str]] = {}
        for row in self.counts:
            heading, colon, _ = row.partition(": ")
            if colon:
                found.setdefault(heading, []).append(row)
        return found


def group_name(group: Group) -> str:
    """A column in words."""
    return ", ".join(filter(None, group)).replace("_", " ")


def check_percentages(table: Characteristics) -> Checked:
    """Every percentage against its count and the size of its column."""
    return counts.percentages(
        counts.PrintedShare(f"{row}, {group_name(group)}", table.counts[row][group], table.design.sizes[group], share)
        for row, shares in table.percentages.items()
        for group, share in shares.items()
        if row in table.counts and group in table.counts[row]
    )


def check_pooled_counts(table: Characteristics) -> Checked:
    """Every count of a pooled column against the sum of its parts; the sizes of the columns too."""
    totals = {
        f"{row}, {group_name(group)}": (found[group], [found[part] for part in parts])
        for row, found in table.counts.items()
        for group, parts in table.design.pooled.items()
        if group in found and all(part in found for part in parts)
    }
    totals |= {
        f"size, {group_name(group)}": (table.design.sizes[group], [table.design.sizes[part] for part in parts])
        for group, parts in table.design.pooled.items()
    }
    return counts.sums(totals, "pooled columns against their parts")


def check_partitions(table: Characteristics) -> Checked:
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
    found = table.counts.get(row, {})
    if not all(group in found for group in groups):
        return None
    return [[found[group], table.design.sizes[group] - found[group]] for group in groups]


def check_count_p_values(table: Characteristics) -> Checked:
    """Every p-value of counts against its test.

    One test serves a table: the one that reproduces most of its p-values of two columns and two categories;
    a p-value that only another test gives is reported as well.
    """
    cells = []
    for row, by_cohort in table.p_values.items():
        for cohort, printed in by_cohort.items():
            people = contingency(table, row, table.design.contrasts.get(cohort, ()))
            if people and len(people) > 1 and all(sum(one) for one in people) and _categories(people) > 1:
                cells.append((f"{row}, {cohort}".rstrip(", ").replace("_", " "), printed, people))
    square = {cell for cell, _, people in cells if len(people) == 2 and _categories(people) == 2}
    common = p_values.commonest_test([(printed, people) for cell, printed, people in cells if cell in square])
    results = []
    for cell, printed, people in cells:
        tests = [common] if cell in square and common else None
        results.append(p_values.from_counts(cell, printed, people, tests))
    return Checked(
        p_values.CHECK,
        "p-value against its counts",
        len(cells),
        tuple(one for result in results for one in result.discrepancies),
    )


def _categories(people: Sequence[Sequence[int]]) -> int:
    return sum(any(column) for column in zip(*people, strict=True))


def check_quartile_p_values(table: Characteristics) -> Checked:
    """Every p-value of a row of medians against what its quartiles allow."""
    cells, wrong = 0, []
    for row, by_cohort in table.p_values.items():
        found = table.quartiles.get(row, {})
        for cohort, printed in by_cohort.items():
            groups = table.design.contrasts.get(cohort, ())
            if len(groups) < 2 or not all(group in found for group in groups):
                continue
            cells += 1
            people = [(table.design.sizes[group], found[group]) for group in groups]
            if len(people) == 2:
                deviates = p_values.mann_whitney_readings(*people)
            else:
                deviates = p_values.kruskal_wallis_readings(people)
            shown = " against ".join("{1} ({0}, {2})".format(*quartiles) for _, quartiles in people)
            cell = f"{row}, {cohort}".rstrip(", ").replace("_", " ")
            problem = p_values.quartile_discrepancy(cell, printed, deviates, shown)
            if problem:
                wrong.append(problem)
    return Checked(p_values.CHECK, "p-value against its medians and quartiles", cells, tuple(wrong))


def check_pooled_quartiles(table: Characteristics) -> Checked:
    """Quartiles of pooled columns against those of their parts."""
    results = [
        quantiles.pooled_quantiles(
            f"{row}, {group_name(group)}",
            [(table.design.sizes[part], found[part]) for part in parts],
            found[group],
        )
        for row, found in table.quartiles.items()
        for group, parts in table.design.pooled.items()
        if group in found and all(part in found for part in parts)
    ]
    return _joined(results, quantiles.CHECK, "pooled quartiles against those of the parts")


def check_rising(table: Characteristics) -> Checked:
    """Lower quartile, median, upper quartile in order."""
    results = [
        quantiles.quartiles_rise(f"{row}, {group_name(group)}", one)
        for row, found in table.quartiles.items()
        for group, one in found.items()
    ]
    return _joined(results, quantiles.CHECK, "quartiles in rising order")


def check_copied(table: Characteristics) -> Checked:
    """Neighbouring rows that print the same median and quartiles."""
    cells, neighbours = {}, []
    rows = list(table.texts)
    for row in rows:
        cells |= {f"{row}, {group_name(group)}": texts for group, texts in table.texts[row].items()}
    for above, below in itertools.pairwise(rows):
        for group in table.texts[below]:
            if group in table.texts[above]:
                neighbours.append((f"{above}, {group_name(group)}", f"{below}, {group_name(group)}"))
    return repeated_numbers.copied_cells(cells, neighbours)


def _joined(results: Sequence[Checked], check: str, what: str) -> Checked:
    failures: tuple[Discrepancy, ...] = tuple(one for result in results for one in result.discrepancies)
    return Checked(check, what, sum(result.cells for result in results), failures)


CHECKS = {
    "percentages": check_percentages,
    "pooled counts": check_pooled_counts,
    "partitions": check_partitions,
    "p-values of counts": check_count_p_values,
    "p-values of quartiles": check_quartile_p_values,
    "pooled quartiles": check_pooled_quartiles,
    "rising quartiles": check_rising,
    "copied cells": check_copied,
}
"""Every general check of such a table, by name."""


def check_all(table: Characteristics) -> Mapping[str, Checked]:
    """Run `CHECKS`."""
    return {name: check(table) for name, check in CHECKS.items()}
