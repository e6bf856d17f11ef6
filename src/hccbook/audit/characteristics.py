"""Every general check of a table of patients' characteristics."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from hccbook.audit import counts, p_values, quantiles, repeated_numbers
from hccbook.audit.findings import IMPLIED, CheckResult, Discrepancy
from hccbook.audit.printed import Quartiles, Range, as_range, is_number, printed_range, whole_number
from hccbook.audit.transcription import Group, Transcription, group_name

_LEVEL = 0.05
"""Level of significance where the paper prints none."""


def _quartiles(row: object) -> Quartiles:
    return tuple(printed_range(text) for text in (row.lower, row.value, row.upper))


_KEPT = {
    "count": ("counts", lambda row: whole_number(row.value)),
    "percentage": ("percentages", lambda row: printed_range(row.value, "%")),
    "median": ("quartiles", _quartiles),
}
"""What of a table is kept, by quantity: under which name, and how it is read."""


@dataclass(frozen=True)
class Characteristics:
    """A table of characteristics, taken apart.

    Attributes
    ----------
    place : str
        What the paper calls it.
    sizes : dict of Group to int
        People in each column.
    pooled : dict of Group to tuple of Group
        Columns that hold everybody of other columns once.
    compares : tuple of str
        Cohorts, or subgroups of a cohort, that a p-value compares.
    counts, percentages, quartiles : dict of str to dict of Group to int, Range or Quartiles
        By row, a row under a heading being ``heading: row``; percentages as shares.
    p_values : dict of str to dict of str to Range
        By row (or heading), then cohort.
    """

    place: str
    sizes: dict[Group, int]
    pooled: dict[Group, tuple[Group, ...]]
    compares: tuple[str, ...]
    counts: dict[str, dict[Group, int]]
    percentages: dict[str, dict[Group, Range]]
    quartiles: dict[str, dict[Group, Quartiles]]
    p_values: dict[str, dict[str, Range]]

    @classmethod
    def of(cls, paper: Transcription, place: str) -> Characteristics:
        """Take apart a transcribed table; columns whose size is not printed are skipped."""
        parts: dict[str, dict] = {name: {} for name in ("counts", "percentages", "quartiles", "p_values")}
        size_rows = {index for *_, index in paper.size_printings}
        columns = {}
        for one in paper.at_place(place).itertuples():
            group = (one.cohort, one.subgroup if (one.cohort, one.subgroup) in paper.sizes else "")
            if one.Index in size_rows or not is_number(one.value):
                continue
            if one.quantity == "p-value":
                parts["p_values"].setdefault(one.row, {})[one.cohort] = printed_range(one.value)
            elif one.quantity == "median" and not is_number(one.lower):
                continue
            elif group in paper.sizes and (kept := _KEPT.get(one.quantity)):
                name, read = kept
                parts[name].setdefault(one.row, {})[group] = read(one)
                columns[group] = paper.sizes[group]
        about = paper.description
        pooled = {
            (whole, subgroup): tuple((part, subgroup) for part in parts)
            for whole, parts in about.pooled.items()
            for cohort, subgroup in columns
            if cohort == whole and all((part, subgroup) in columns for part in parts)
        }
        return cls(place, columns, pooled, about.compares[place], **parts)

    def contrast(self, cohort: str) -> tuple[Group, ...]:
        """The columns that a p-value of a cohort compares."""
        cohorts = {one for one, _ in self.sizes}
        if cohorts >= set(self.compares):
            return tuple((one, "") for one in self.compares)
        return tuple((cohort, one) for one in self.compares)

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
        return [(self.sizes[group], quartiles[group]) for group in groups]


@lru_cache(maxsize=16)
def taken_apart(paper: Transcription, place: str) -> Characteristics:
    """A table of characteristics of a paper."""
    return Characteristics.of(paper, place)


def check_pooled_counts(table: Characteristics) -> CheckResult:
    """Every count of a pooled column against the sum of its parts."""
    totals = {
        f"{row}, {group_name(group)}": (by_group[group], [by_group[part] for part in parts])
        for row, by_group in table.counts.items()
        for group, parts in table.pooled.items()
        if all(part in by_group for part in (group, *parts))
    }
    return counts.sums(totals, "pooled columns against their parts")


def check_partitions(table: Characteristics) -> CheckResult:
    """Rows under one heading against the size of each column; a single row needs none."""
    totals = {}
    for heading, rows in table.headings().items():
        for group, size in table.sizes.items():
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
    return [[by_group[group], table.sizes[group] - by_group[group]] for group in groups]


def check_count_p_values(table: Characteristics) -> CheckResult:
    """Every p-value of counts against its test.

    One test serves a table: the one that reproduces most of its p-values of two columns and two categories;
    a p-value that only another test gives is reported as well.
    """
    cells = []
    for row, by_cohort in table.p_values.items():
        for cohort, printed in by_cohort.items():
            people = contingency(table, row, table.contrast(cohort))
            if people and len(people) > 1 and all(sum(one) for one in people) and _categories(people) > 1:
                cells.append((group_name((row, cohort)), printed, people))
    square = {cell for cell, _, people in cells if len(people) == 2 and _categories(people) == 2}
    common = p_values.commonest_test([(printed, people) for cell, printed, people in cells if cell in square])
    results = []
    for cell, printed, people in cells:
        result = p_values.from_counts(cell, printed, people, [common] if cell in square and common else None)
        results.append(_with_pairs(result, printed, people, table.compares))
    return CheckResult.joined(p_values.CHECK, "p-value against its counts", results)


def _with_pairs(result: CheckResult, printed: Range, people: list[list[int]], names: Sequence[str]) -> CheckResult:
    """A failed comparison of three columns or more, and whether two of them alone would print so."""
    if not result.discrepancies or len(people) < 3:
        return result
    ways = [
        f"{names[i]} against {names[j]} alone gives {p_values.p_text(p)} by {test}"
        for i, j in itertools.combinations(range(len(people)), 2)
        if _categories([people[i], people[j]]) > 1
        for test, p in p_values.count_p_values([people[i], people[j]]).items()
        if printed.holds(p)
    ]
    (wrong,) = result.discrepancies
    alone = "; ".join(ways) + ", as printed" if ways else "no two of the columns alone give it either"
    return replace(result, discrepancies=(replace(wrong, arithmetic=f"{wrong.arithmetic}; {alone}"),))


def _categories(people: Sequence[Sequence[int]]) -> int:
    return sum(any(column) for column in zip(*people, strict=True))


def check_quartile_p_values(table: Characteristics) -> CheckResult:
    """Every p-value of a row of medians against what its quartiles allow."""
    cells, wrong = 0, []
    for row, by_cohort in table.p_values.items():
        for cohort, printed in by_cohort.items():
            people = table.people(row, table.contrast(cohort))
            if not people or len(people) < 2:
                continue
            cells += 1
            if len(people) == 2:
                deviates = p_values.mann_whitney_readings(*people)
            else:
                deviates = p_values.kruskal_wallis_readings(people)
            shown = " against ".join("{1} ({0}, {2})".format(*quartiles) for _, quartiles in people)
            problem = p_values.quartile_discrepancy(
                group_name((row, cohort)), printed, deviates, shown, p_values.greatest_kruskal_wallis_p(people)
            )
            if problem:
                wrong.append(problem)
    return CheckResult(p_values.CHECK, "p-value against its medians and quartiles", cells, tuple(wrong))


def check_pooled_quartiles(table: Characteristics) -> CheckResult:
    """Quartiles of pooled columns against those of their parts."""
    results = [
        quantiles.pooled_quantiles(f"{row}, {group_name(group)}", people, by_group[group])
        for row, by_group in table.quartiles.items()
        for group, parts in table.pooled.items()
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
        for group in table.sizes
        if all(group in table.quartiles[row] for row in rows)
    ]
    return repeated_numbers.copied_cells(neighbours)


CHECKS = (
    check_pooled_counts, check_partitions, check_count_p_values, check_quartile_p_values, check_pooled_quartiles,
    check_rising, check_copied,
)  # fmt: skip
"""Every general check of such a table."""


def in_every_table(check: Callable[[Characteristics], CheckResult]) -> Callable[[Transcription], Iterator[CheckResult]]:
    """A check of a table of characteristics, applied to every one of a paper."""

    def of_paper(paper: Transcription) -> Iterator[CheckResult]:
        for place in paper.description.compares:
            result = check(taken_apart(paper, place))
            if result.cells:
                yield result.at(place)

    return of_paper


def check_bounds(paper: Transcription) -> Iterator[CheckResult]:
    """People below a point of a quantity, as categories count them, against its quartiles."""
    for one in paper.description.bounds:
        table, results = taken_apart(paper, one.table), []
        for group, size in table.sizes.items():
            people = [table.counts.get(row, {}).get(group) for row in one.below]
            quartiles = table.quartiles.get(one.of, {}).get(group)
            if quartiles and None not in people:
                cell = f"{one.of} below {one.point:g}, {group_name(group)}"
                results.append(quantiles.share_against_quartiles(cell, size, quartiles, one.point, sum(people)))
        if results:
            what = f"categories below {one.point:g} against the quartiles of {one.of}"
            yield CheckResult.joined(quantiles.CHECK, what, results).at(one.table)


def check_claimed_alike(paper: Transcription) -> Iterator[CheckResult]:
    """Whether the columns of a table differ in what is counted where a sentence calls them alike."""
    about = paper.description
    level = as_range(paper.quoted(about.level).number()).high if about.level else _LEVEL
    for claim in about.alike:
        table = taken_apart(paper, claim.table)
        tested = {}
        for row, by_cohort in table.p_values.items():
            for cohort in by_cohort:
                people = contingency(table, row, table.contrast(cohort))
                if people and len(people) > 1 and _categories(people) > 1:
                    tested[row] = p_values.count_p_values(people)[p_values.PEARSON]
        different = {row: p for row, p in tested.items() if p < level}
        shown = ", ".join(f"{row} p {p_values.p_text(p)}" for row, p in different.items())
        otherwise = Discrepancy(
            "significance",
            f"columns of {claim.table} alike",
            "the columns are said to be alike",
            f"{len(different)} of {len(tested)} counted features differ at {level:g}",
            f"chi-square of the printed counts of all columns: {shown}",
            IMPLIED,
        )
        if tested:
            yield CheckResult(
                "significance", "columns alike in what is counted", len(tested), (otherwise,) * bool(different)
            ).at(claim.said)
