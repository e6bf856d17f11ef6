"""One printed number of a paper, found by what it is; the one place where the audit meets the transcription."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from hccbook.audit.printed import Range, estimate_and_limits, printed_range, whole_number
from hccbook.errors import DataError
from hccbook.papers import published


@dataclass(frozen=True)
class Transcription:
    """The transcription of one paper.

    Attributes
    ----------
    name : {'alarm', 'amap_ct'}
    numbers : pandas.DataFrame
        Its rows of `hccbook.papers.published.numbers`.
    """

    name: str
    numbers: pd.DataFrame

    @classmethod
    def named(cls, name: str) -> Transcription:
        """The paper of that name, as transcribed."""
        numbers = published.numbers()
        return cls(name, numbers[numbers["paper"] == name])

    def table(self, label: str) -> pd.DataFrame:
        """Rows of one table, in the order of print."""
        return self.numbers[self.numbers["place"] == label]

    def select(self, **where: str) -> pd.DataFrame:
        """Rows whose columns hold exactly what `where` says; none where nothing does."""
        chosen = self.numbers
        for column, wanted in where.items():
            chosen = chosen[chosen[column] == wanted]
        return chosen

    def rows(self, quantity: str, **where: str) -> pd.DataFrame:
        """Rows of a quantity; the columns named in `where` hold exactly what is asked for.

        Raises
        ------
        DataError
            If there is none.
        """
        chosen = self.select(quantity=quantity, **where)
        if chosen.empty:
            shown = ", ".join(f"{column} {wanted!r}" for column, wanted in where.items())
            raise DataError(
                "data/published", "the number must be transcribed", f"no {quantity} with {shown}", "Check its row."
            )
        return chosen

    def first(self, quantity: str, **where: str) -> NamedTuple:
        """The row of a number; the first printing where several agree or differ.

        Whether they differ is a check of its own, `repeated_numbers`.
        """
        return next(self.rows(quantity, **where).itertuples(index=False))

    def text(self, quantity: str, **where: str) -> str:
        """A number as printed; the first printing, as in `first`."""
        return self.first(quantity, **where).value

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
        chosen = self.rows(quantity, **where)
        chosen = chosen[chosen["lower"] != ""]
        if chosen.empty:
            raise DataError("data/published", "limits must be transcribed", f"{quantity} {where}", "Check its row.")
        return estimate_and_limits(next(chosen.itertuples()))

    def count(self, quantity: str = "count", **where: str) -> int:
        """A whole number."""
        return whole_number(self.text(quantity, **where))

    def coefficients(self, formula: str, terms: Sequence[str]) -> list[float]:
        """Coefficients of a printed formula, term by term."""
        return [float(self.text("coefficient", row=f"{formula}, {term}")) for term in terms]
