"""The papers' printed values: as they stand, and beside those of this run."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from hccbook.errors import DataError
from hccbook.report.tables.schemas import require_columns
from hccbook.report.tables.typesetting import UNDEFINED, decimal_text, joined_range


def beside_printed(
    measured: pd.DataFrame, printed: pd.DataFrame, on: str | Sequence[str], *, places: int = 3
) -> pd.DataFrame:
    """Values of this run beside the paper's printed ones.

    Parameters
    ----------
    measured, printed : pandas.DataFrame
        Key columns and ``value``, with or without ``lower`` and ``upper``.
        A value or bound that is text is printed as it is, so that a paper's own digits stay.
    on : str or sequence of str
        Key columns.
    places : int
        Decimal places of numbers.

    Returns
    -------
    pandas.DataFrame
        Strings; one row per key, those of `measured` first in its order and then those that are only printed, columns
        ``This run`` and ``Paper``; ``n.a.`` where one side has no value. No difference is taken.

    Raises
    ------
    DataError
        If a column is missing or a key is there twice.
    """
    on = [on] if isinstance(on, str) else list(on)
    sides = (_texts(measured, on, "measured values", places), _texts(printed, on, "printed values", places))
    return pd.concat(sides, axis=1, keys=["This run", "Paper"]).fillna(UNDEFINED).reset_index()


def _texts(table: pd.DataFrame, on: list[str], place: str, places: int) -> pd.Series:
    """Texts of one side, by their key."""
    require_columns(table, [*on, "value"], place)
    keys = pd.MultiIndex.from_frame(table[on].astype(str))
    for twice in keys[keys.duplicated(keep=False)]:
        raise DataError(place, f"must have one row a {', '.join(on)}", f"{' / '.join(twice)} twice", "Drop one.")
    parts = table.reindex(columns=["value", "lower", "upper"]).astype(object).map(_part_text, places=places)
    return pd.Series([_with_limits(*row) for row in parts.itertuples(index=False)], keys)


def _part_text(part: object, places: int) -> str:
    return part if isinstance(part, str) and part else decimal_text(None if part == "" else part, places)


def _with_limits(value: str, lower: str, upper: str) -> str:
    if lower == upper == UNDEFINED or value == UNDEFINED:
        return value
    return f"{value} ({UNDEFINED if UNDEFINED in (lower, upper) else joined_range(lower, upper)})"


def as_printed(numbers: pd.DataFrame) -> pd.DataFrame:
    """A paper's table, cell by cell as it prints them.

    Parameters
    ----------
    numbers : pandas.DataFrame
        Columns row, column, value, lower, upper, all text as printed; several numbers of one cell follow one another.

    Returns
    -------
    pandas.DataFrame
        Strings; rows and columns in the order of print; an empty cell where the paper prints none.

    Raises
    ------
    DataError
        If a column is missing.
    """
    require_columns(numbers, ("row", "column", "value", "lower", "upper"), "printed numbers")
    cells: dict[tuple[str, str], str] = {}
    for number in numbers.itertuples():
        text = number.value + (f" [{number.lower}, {number.upper}]" if number.lower and number.upper else "")
        place = (number.row, number.column)
        # A count is followed by its percentage.
        cells[place] = f"{cells[place]} ({text})" if place in cells else text
    rows, columns = numbers["row"].unique(), numbers["column"].unique()
    return pd.DataFrame([[cells.get((row, column), "") for column in columns] for row in rows], rows, columns)
