"""The same quantity printed in two places, and the same numbers printed for two quantities."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import pandas as pd

from hccbook.audit.findings import CheckResult, Discrepancy
from hccbook.audit.printed import Quartiles, in_digits, is_number, printed_range

CHECK = "repeated_numbers"

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
    text = numbers[~numbers["column"].astype(bool) & ~numbers["place"].str.fullmatch(r"Table \w+")]
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
