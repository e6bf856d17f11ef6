"""Counts, percentages and sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from hccbook.audit.findings import Checked, Discrepancy
from hccbook.audit.printed import Range

CHECK = "counts"
"""Name of this family of checks."""


class PrintedShare(NamedTuple):
    """A count, what it is counted out of, and the percentage printed beside it.

    Attributes
    ----------
    cell : str
        Where it stands.
    count, total : int
        Numerator and denominator.
    share : Range
        Printed percentage as a share of 1.
    """

    cell: str
    count: int
    total: int
    share: Range


def percentages(shares: Iterable[PrintedShare], what: str = "percentage against its count") -> Checked:
    """Whether each printed percentage is that of its count.

    ``100 x count / total``, rounded to the printed decimals, must give what is printed; a half may go either way.

    Parameters
    ----------
    shares : iterable of PrintedShare
    what : str
        Name of the comparison.

    Returns
    -------
    Checked
        One comparison a percentage.
    """
    made = list(shares)
    wrong = []
    for one in made:
        exact = one.count / one.total
        if not one.share.holds(exact):
            wrong.append(
                Discrepancy(
                    CHECK,
                    one.cell,
                    f"{one.count} ({one.share.text} %)",
                    f"{100 * exact:.{_decimals(one.share)}f} %",
                    f"{one.count} / {one.total} = {100 * exact:.3f} %, not {one.share.text} %",
                )
            )
    return Checked(CHECK, what, len(made), tuple(wrong))


def rounded_twice(one: PrintedShare) -> bool:
    """Whether a printed percentage is wrong, and right when rounded to one decimal more first: 2.048, 2.05, 2.1."""
    exact, decimals = Decimal(100 * one.count) / Decimal(one.total), _decimals(one.share)
    first = exact.quantize(Decimal(1).scaleb(-decimals - 1), ROUND_HALF_UP)
    second = first.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    return not one.share.holds(one.count / one.total) and second == Decimal(one.share.text)


def _decimals(share: Range) -> int:
    return len(share.text.partition(".")[2])


def sums(totals: Mapping[str, tuple[int, Sequence[int]]], what: str = "parts against their total") -> Checked:
    """Whether parts add up to the printed total.

    Parameters
    ----------
    totals : mapping of str to (int, sequence of int)
        For each cell the printed total and its parts, which must not overlap.
    what : str
        Name of the comparison.

    Returns
    -------
    Checked
        One comparison a total.
    """
    wrong = [
        Discrepancy(
            CHECK,
            cell,
            str(whole),
            str(sum(parts)),
            f"{' + '.join(map(str, parts))} = {sum(parts)}, not {whole}",
        )
        for cell, (whole, parts) in totals.items()
        if sum(parts) != whole
    ]
    return Checked(CHECK, what, len(totals), tuple(wrong))


def overlap(whole: int, parts: Sequence[int]) -> tuple[int, int]:
    """Least and greatest number of people who may be in all of several groups of one whole.

    Parameters
    ----------
    whole : int
        People in all.
    parts : sequence of int
        Sizes of groups that may overlap, for example men, and those above 55.

    Returns
    -------
    least, greatest : int
        By inclusion and exclusion; a printed number of people in all of them must lie between.
    """
    return max(0, sum(parts) - (len(parts) - 1) * whole), min(parts)


def shares_sum_to_one(shares: Sequence[Range]) -> bool:
    """Whether shares of groups that cover everybody may add up to 1, given their rounding."""
    return sum(one.low for one in shares) <= 1 + 1e-9 and sum(one.high for one in shares) >= 1 - 1e-9
