"""One printed number of a paper, found by what it is."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from hccbook.audit.printed import Range, printed_range, whole_number
from hccbook.errors import DataError
from hccbook.papers import published


@dataclass(frozen=True)
class Paper:
    """The transcription of one paper.

    Attributes
    ----------
    name : str
        ``alarm`` or ``amap_ct``.
    numbers : pandas.DataFrame
        Its rows of `hccbook.papers.published.numbers`.
    """

    name: str
    numbers: pd.DataFrame

    @classmethod
    def named(cls, name: str) -> Paper:
        """The paper of that name, as transcribed."""
        everything = published.numbers()
        return cls(name, everything[everything["paper"] == name])

    def table(self, label: str) -> pd.DataFrame:
        """Rows of one table, in the order of print."""
        return self.numbers[self.numbers["place"] == label]

    def rows(self, quantity: str, **where: str) -> pd.DataFrame:
        """Rows of a quantity; the columns named in `where` hold exactly what is asked for.

        Raises
        ------
        DataError
            If there is none.
        """
        found = self.numbers[self.numbers["quantity"] == quantity]
        for column, wanted in where.items():
            found = found[found[column] == wanted]
        if found.empty:
            shown = ", ".join(f"{column} {wanted!r}" for column, wanted in where.items())
            raise DataError(
                "data/published", "the number must be transcribed", f"no {quantity} with {shown}", "Check its row."
            )
        return found

    def text(self, quantity: str, **where: str) -> str:
        """A number as printed; the first printing where several agree or differ.

        Whether they differ is a check of its own, `repeated_numbers`.
        """
        return str(self.rows(quantity, **where).iloc[0]["value"])

    def range(self, quantity: str, unit: str = "", **where: str) -> Range:
        """What a number may have been before it was rounded; `unit` as in `printed_range`."""
        return printed_range(self.text(quantity, **where), unit)

    def interval(self, quantity: str, **where: str) -> tuple[Range, Range, Range]:
        """Estimate, lower and upper limit of the first printing that has limits.

        Raises
        ------
        DataError
            If none has.
        """
        found = self.rows(quantity, **where)
        found = found[found["lower"] != ""]
        if found.empty:
            raise DataError("data/published", "limits must be transcribed", f"{quantity} {where}", "Check its row.")
        first = found.iloc[0]
        return printed_range(first["value"]), printed_range(first["lower"]), printed_range(first["upper"])

    def count(self, quantity: str = "count", **where: str) -> int:
        """A whole number."""
        return whole_number(self.text(quantity, **where))
