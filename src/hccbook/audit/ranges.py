"""Values outside the range that they can have at all."""

from __future__ import annotations

from collections.abc import Mapping

from hccbook import scores
from hccbook.audit.findings import CheckResult, Discrepancy
from hccbook.audit.printed import Range

CHECK = "ranges"


def possible_albi() -> Range:
    """Least and greatest ALBI of anybody: bilirubin 1 to 1000 umol/L, albumin 10 to 70 g/L, far beyond what is seen."""
    return Range(float(scores.albi(1.0, 70.0)), float(scores.albi(1000.0, 10.0)))


def within_possible(cells: Mapping[str, Range], possible: Range, quantity: str) -> CheckResult:
    """Whether printed values may exist at all.

    Parameters
    ----------
    cells : mapping of str to Range
        Printed values.
    possible : Range
        What the quantity can be.
    quantity : str
        Its name.

    Returns
    -------
    CheckResult
        One comparison a value.
    """
    wrong = [
        Discrepancy(
            CHECK,
            cell,
            str(one),
            f"{possible.low:.2f} to {possible.high:.2f}",
            f"{quantity} lies between {possible.low:.2f} and {possible.high:.2f}, printed {one}",
        )
        for cell, one in cells.items()
        if not one.meets(possible)
    ]
    return CheckResult(CHECK, f"{quantity} within its possible range", len(cells), tuple(wrong))
