"""The same quantity printed in two places, and the same numbers printed for two quantities."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from hccbook.audit.findings import CheckResult, Discrepancy
from hccbook.audit.printed import Quartiles, in_digits, is_number, printed_range
from hccbook.audit.transcription import Transcription, group_name, in_tables
from hccbook.audit.two_by_two import MEASURES

CHECK = "repeated_numbers"

_YEAR = re.compile(r"(19|20)\d\d")

Printing = tuple[str, tuple[str, ...]]
"""A place, and the number with its limits as printed there."""


def printed_alike(quantity: str, printings: Sequence[Printing]) -> CheckResult:
    """Whether a quantity is printed alike wherever it is printed.

    Parameters
    ----------
    quantity : str
        Its name.
    printings : sequence of (place, texts)
        The number, then its limits where printed. Numbers printed to different decimals agree where one value may
        stand behind both; limits are compared where both places print them.

    Returns
    -------
    CheckResult
        One comparison for each place after the first.
    """
    (first_place, first), *others = printings
    wrong = []
    for place, texts in others:
        for one, other in zip(first, texts, strict=False):
            if one and other and not _alike(one, other):
                arithmetic = f"{quantity}: {one} in {first_place}, {other} in {place}"
                stated, elsewhere = f"{other} ({place})", f"{one} ({first_place})"
                wrong.append(Discrepancy(CHECK, quantity, stated, elsewhere, arithmetic))
                break
    return CheckResult(CHECK, f"{quantity} printed alike", len(others), tuple(wrong))


def _alike(one: str, other: str) -> bool:
    one, other = in_digits(one), in_digits(other)
    # A year beside a month and year.
    if any(_YEAR.fullmatch(year) and month.endswith(f" {year}") for year, month in ((one, other), (other, one))):
        return True
    if is_number(one) and is_number(other):
        first, second = printed_range(one), printed_range(other)
        # Of two numbers with equally many decimals, one unit apart, the rounding intervals still touch.
        overlap = min(first.high, second.high) - max(first.low, second.low)
        return overlap > 1e-9 or one == other
    return one == other


def repeated_in_text(numbers: pd.DataFrame) -> CheckResult:
    """Every quantity of the text that is printed more than once, compared with itself.

    Parameters
    ----------
    numbers : pandas.DataFrame
        Rows of `hccbook.papers.published.numbers` of one paper; those of tables are left out.
        A quantity is the same where row, quantity, cohort and subgroup are.

    Returns
    -------
    CheckResult
        Of every quantity that is repeated.
    """
    text = numbers[~in_tables(numbers)]
    # Two versions of one program are two numbers, not one printed twice.
    text = text[text["quantity"] != "version"]
    checks = []
    for (row, quantity, cohort, subgroup), same in text.groupby(["row", "quantity", "cohort", "subgroup"], sort=False):
        printings = [
            (place, (value, lower, upper))
            for place, value, lower, upper in same[["place", "value", "lower", "upper"]].itertuples(index=False)
        ]
        if len(printings) > 1:
            name = ", ".join(filter(None, (row, quantity, cohort, subgroup)))
            checks.append(printed_alike(name, printings))
    return CheckResult.joined(CHECK, "numbers repeated in the text", checks)


def swapped(first: Mapping[str, str], second: Mapping[str, str]) -> list[tuple[str, str]]:
    """Pairs of keys whose values in `second` are those of `first` exchanged."""
    keys = [key for key in first if key in second and first[key] != second[key]]
    pairs = itertools.combinations(keys, 2)
    return [(one, other) for one, other in pairs if first[one] == second[other] and first[other] == second[one]]


def copied_cells(neighbours: Sequence[tuple[tuple[str, Quartiles], tuple[str, Quartiles]]]) -> CheckResult:
    """Cells of neighbouring rows of different quantities that print the very same numbers.

    Parameters
    ----------
    neighbours : sequence of ((str, Quartiles), (str, Quartiles))
        Cells of one column, one above the other: name, median and both quartiles, so that a match by chance is rare.

    Returns
    -------
    CheckResult
        One comparison a pair.
    """
    wrong = []
    for (above, first), (below, second) in neighbours:
        if [one.text for one in first] == [one.text for one in second]:
            shown = "{1} ({0}, {2})".format(*second)
            wrong.append(
                Discrepancy(CHECK, below, shown, "a value of its own", f"{below} and {above} both print {shown}")
            )
    return CheckResult(CHECK, "neighbouring rows differ", len(neighbours), tuple(wrong))


def check_text(paper: Transcription) -> Iterator[CheckResult]:
    """Every quantity that the text repeats."""
    result = repeated_in_text(paper.numbers)
    if result.cells:
        yield result.at("text")


def _compared(by_name: Mapping[str, list[Printing]]) -> list[CheckResult]:
    return [printed_alike(name, printings) for name, printings in by_name.items() if len(printings) > 1]


def check_groups(paper: Transcription) -> Iterator[CheckResult]:
    """Sizes and events of groups wherever they are printed."""
    by_name: dict[str, list[Printing]] = {}
    for kind, printings in (("people", paper.size_printings), ("events", paper.event_printings)):
        for group, place, people, _ in printings:
            by_name.setdefault(f"{kind}, {group_name(group)}", []).append((place, (str(people),)))
    results = _compared(by_name)
    if results:
        yield CheckResult.joined(CHECK, "sizes and events of groups", results).at("tables and text")


def check_measures(paper: Transcription) -> Iterator[CheckResult]:
    """AUC and measures of performance of one group wherever they are printed, and whether two were exchanged."""
    rows = paper.own[paper.own["quantity"].isin((*MEASURES, "auc")) & (paper.own["cohort"] != "")]
    by_name: dict[str, list[Printing]] = {}
    for one in rows.itertuples(index=False):
        name = f"{one.quantity}, {group_name(paper.group_of(one))}"
        by_name.setdefault(name, []).append((one.place, (one.value, one.lower, one.upper)))
    results = [_with_exchanges(one, by_name) for one in _compared(by_name)]
    if results:
        yield CheckResult.joined(CHECK, "measures of performance in several places", results).at("tables and text")


def _with_exchanges(result: CheckResult, by_name: Mapping[str, list[Printing]]) -> CheckResult:
    """A comparison; where it fails, whether another one prints its numbers the other way round."""
    explained = []
    for wrong in result.discrepancies:
        own, elsewhere = {}, {}
        for name, printings in by_name.items():
            if name.split(", ")[0] == wrong.cell.split(", ")[0]:
                own[name], elsewhere[name] = printings[0][1][0], _other(printings)
        pairs = [pair for pair in swapped(own, elsewhere) if wrong.cell in pair]
        more = "".join(f"; the estimates of {one} and {other} are exchanged" for one, other in pairs)
        explained.append(replace(wrong, arithmetic=wrong.arithmetic + more))
    return replace(result, discrepancies=tuple(explained))


def _other(printings: Sequence[Printing]) -> str:
    first = printings[0][1][0]
    return next((texts[0] for _, texts in printings if texts[0] != first), first)


def check_named_twice(paper: Transcription) -> Iterator[CheckResult]:
    """What the description says is one thing under several names, cohort by cohort."""
    for one in paper.description.same:
        results = list(_of_one(one.name, (paper.at(where) for where in one.at)))
        if results:
            yield CheckResult.joined(CHECK, f"{one.name} in several places", results).at("tables and text")


def _of_one(name: str, found: Iterable[pd.DataFrame]) -> Iterator[CheckResult]:
    by_cohort: dict[str, list[Printing]] = {}
    for rows in found:
        for cohort, some in rows.groupby("cohort", sort=False):
            first = next(some.itertuples())
            by_cohort.setdefault(cohort, []).append((first.place, (first.value, first.lower, first.upper)))
    yield from _compared({group_name((name, cohort)): printings for cohort, printings in by_cohort.items()})


def check_ranges_over_cohorts(paper: Transcription) -> Iterator[CheckResult]:
    """A least and greatest AUC over the cohorts against the AUCs."""
    own = [one for (_, subgroup), one in paper.areas.items() if not subgroup and is_number(one.value)]
    own.sort(key=lambda one: printed_range(one.value).middle)
    stated = paper.own[(paper.own["quantity"] == "auc") & (paper.own["cohort"] == "")]
    results = [
        printed_alike(f"{end} AUC", [(one.place, (one.value,)), (row.place, (row.value,))])
        for end, one in zip(("lowest", "highest"), (own[0], own[-1]) if own else (), strict=False)
        for row in stated[stated["subgroup"] == end].itertuples()
    ]
    if results:
        yield CheckResult.joined(CHECK, "range of the AUC over cohorts", results).at("text")


def check_text_against_tables(paper: Transcription) -> Iterator[CheckResult]:
    """What the text prints under the very row, quantity, cohort and subgroup of a table's cell."""
    known = {*MEASURES, "auc", "denominator", "footnote mark"}
    own = paper.own[~paper.own["quantity"].isin(known) & (paper.own["cohort"] != "")]
    own = own.assign(is_in_table=in_tables(own))
    by_name: dict[str, list[Printing]] = {}
    for key, some in own.groupby(["row", "quantity", "cohort", "subgroup"], sort=False):
        in_table = some["is_in_table"]
        if in_table.any() and not in_table.all():
            # One table's cell against the text; tables against one another are the business of `same`.
            for one in (*some[in_table].head(1).itertuples(), *some[~in_table].itertuples()):
                by_name.setdefault(", ".join(filter(None, key)), []).append(
                    (one.place, (one.value, one.lower, one.upper))
                )
    results = _compared(by_name)
    if results:
        yield CheckResult.joined(CHECK, "cells of tables in the text", results).at("tables and text")
