"""Tables of diagnostic performance, taken apart for the searches of `two_by_two` and `intervals`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from hccbook.audit.intervals import PrintedInterval
from hccbook.audit.printed import Range, estimate_and_limits, is_number, printed_range, whole_number
from hccbook.audit.two_by_two import MEASURES, PerformanceRow, TwoByTwo


def performance_rows(table: pd.DataFrame, keys: Sequence[str], count: str, events: str) -> list[PerformanceRow]:
    """Rows of a table that prints people, events and measures side by side.

    Parameters
    ----------
    table : pandas.DataFrame
        As `Transcription.table` gives it.
    keys : sequence of str
        Columns that together name a row, for example cohort and row.
    count, events : str
        Quantities that hold the number of people and of events.

    Returns
    -------
    list of PerformanceRow
        In the order of print; a measure printed as ``n.a.`` is None.
    """
    rows = []
    for name, cells in table.groupby(list(keys), sort=False):
        first = cells.drop_duplicates("quantity").set_index("quantity")["value"]
        measures = {
            measure: printed_range(first[measure]) if is_number(first[measure]) else None
            for measure in MEASURES
            if measure in first
        }
        people, cases = (whole_number(first[quantity]) for quantity in (count, events))
        rows.append(PerformanceRow(", ".join(map(str, name)), people, cases, measures))
    return rows


def _cell_name(cell: object) -> str:
    """Measure, cohort and subgroup of a row of a transcribed table, in words."""
    return ", ".join(filter(None, (cell.quantity, cell.cohort.replace("_", " "), cell.subgroup)))


def printed_limits(
    table: pd.DataFrame, name: Callable[[object], str] = _cell_name
) -> dict[str, tuple[Range, Range, Range]]:
    """Estimate, lower and upper limit of every cell of a table that prints limits.

    Parameters
    ----------
    table : pandas.DataFrame
        As `Transcription.table` gives it.
    name : callable
        What a row is called.

    Returns
    -------
    dict of str to (Range, Range, Range)
    """
    cells = table[table["lower"] != ""]
    return {name(one): estimate_and_limits(one) for one in cells.itertuples()}


def printed_intervals(table: pd.DataFrame, tables: Mapping[tuple[str, str], TwoByTwo]) -> list[PrintedInterval]:
    """Intervals of a table whose 2x2 tables are known; F1 is no proportion of people and is left out.

    Parameters
    ----------
    table : pandas.DataFrame
        As `Transcription.table` gives it.
    tables : mapping of (cohort, subgroup) to TwoByTwo

    Returns
    -------
    list of PrintedInterval
    """
    return [
        PrintedInterval(_cell_name(one), one.quantity, *estimate_and_limits(one), tables[one.cohort, one.subgroup])
        for one in table.itertuples()
        if one.quantity in MEASURES[:5] and one.lower and (one.cohort, one.subgroup) in tables
    ]
