"""Counts, percentages and sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from hccbook.audit.findings import CheckResult, Discrepancy
from hccbook.audit.printed import Range

CHECK = "counts"


class PrintedShare(NamedTuple):
    """A count, what it is counted out of, and the percentage printed beside it.

    Attributes
    ----------
    cell : str
        Where it stands.
    count, total : int
    share : Range
        Printed percentage as a share of 1.
    """

    cell: str
    count: int
    total: int
    share: Range

    @property
    def exact(self) -> float:
        """Share that the counts give."""
        return self.count / self.total


def percentages(shares: Iterable[PrintedShare], what: str = "percentage against its count") -> CheckResult:
    """Whether each printed percentage is that of its count: ``100 x count / total``; a half may be rounded either way.

    Parameters
    ----------
    shares : iterable of PrintedShare
    what : str
        Name of the comparison.

    Returns
    -------
    CheckResult
        One comparison a percentage.
    """
    every = list(shares)
    wrong = tuple(
        Discrepancy(
            CHECK,
            one.cell,
            f"{one.count} ({one.share.text} %)",
            f"{100 * one.exact:.{_decimals(one.share)}f} %",
            f"{one.count} / {one.total} = {100 * one.exact:.3f} %, not {one.share.text} %",
        )
        for one in every
        if not one.share.holds(one.exact)
    )
    return CheckResult(CHECK, what, len(every), wrong)


def rounded_twice(one: PrintedShare) -> bool:
    """Whether a printed percentage is wrong, and right when rounded to one decimal more first: 2.048, 2.05, 2.1."""
    exact, decimals = Decimal(100 * one.count) / Decimal(one.total), _decimals(one.share)
    first = exact.quantize(Decimal(1).scaleb(-decimals - 1), ROUND_HALF_UP)
    second = first.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    return not one.share.holds(one.exact) and second == Decimal(one.share.text)


def _decimals(share: Range) -> int:
    return len(share.text.partition(".")[2])


def sums(totals: Mapping[str, tuple[int, Sequence[int]]], what: str = "parts against their total") -> CheckResult:
    """Whether parts add up to the printed total.

    Parameters
    ----------
    totals : mapping of str to (int, sequence of int)
        For each cell the printed total and its parts, which must not overlap.
    what
        As in `percentages`.

    Returns
    -------
    CheckResult
        One comparison a total.
    """
    wrong = [
        Discrepancy(
            CHECK, cell, str(whole), str(sum(parts)), f"{' + '.join(map(str, parts))} = {sum(parts)}, not {whole}"
        )
        for cell, (whole, parts) in totals.items()
        if sum(parts) != whole
    ]
    return CheckResult(CHECK, what, len(totals), tuple(wrong))
