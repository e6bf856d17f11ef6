"""How every table is laid out: lines of a tidy frame, columns of cells, and rows of other frames found for a line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from hccbook.errors import DataError
from hccbook.report.tables.cells import Cell, Line, constant
from hccbook.report.tables.typesetting import UNDEFINED


class Lookup:
    """Rows of a tidy frame, found by their key for the line of a table.

    Parameters
    ----------
    table : pandas.DataFrame
        Tidy frame.
    key : sequence of str
        Columns that tell its rows apart.
    place : str
        Where a row is that is there twice: a template of the row's columns.
    missing : Cell, optional
        What stands in a line that has no such row; undefined where not given.
    """

    def __init__(self, table: pd.DataFrame, key: Sequence[str], place: str, missing: Cell | None = None) -> None:
        self.key = tuple(key)
        self.place = place
        self.missing = missing or constant(UNDEFINED)
        self.rows: dict[tuple, list[Line]] = defaultdict(list)
        for row in table.to_dict("records"):
            self.rows[tuple(row[name] for name in self.key)].append(row)

    def cell(self, inner: Cell, **fixed: object) -> Cell:
        """Cell typeset from the row whose key has the `fixed` values and, in its other columns, the line's.

        Raises
        ------
        DataError
            When the cell is typeset, if there are several such rows.
        """

        def looked_up(line: Line) -> str:
            rows = self.rows.get(tuple(fixed[name] if name in fixed else line[name] for name in self.key), [])
            if len(rows) > 1:
                place = self.place.format_map(rows[0])
                raise DataError(place, "must have one row", f"{len(rows)} rows", "Drop the duplicates.")
            return inner(rows[0]) if rows else self.missing(line)

        return looked_up

    def across(
        self, column: str, titles: Mapping[Any, str], columns: Mapping[str, Cell]
    ) -> dict[tuple[str, str], Cell]:
        """The same columns for each value of one column of the key, under its title."""
        return {
            (title, heading): self.cell(inner, **{column: value})
            for value, title in titles.items()
            for heading, inner in columns.items()
        }


def lay(lines: pd.DataFrame, names: Mapping[str, Cell], columns: Mapping[Hashable, Cell]) -> pd.DataFrame:
    """Typeset a table.

    Parameters
    ----------
    lines : pandas.DataFrame
        One row per line of the table.
    names : mapping of str to Cell
        What names the lines: levels of the index by their printed titles.
    columns : mapping of str or tuple to Cell
        Cells by their printed headings; a tuple stands under headings that other columns share.

    Returns
    -------
    pandas.DataFrame
        Strings, in the order of the lines and of the columns.
    """
    rows = lines.to_dict("records")
    index = pd.MultiIndex.from_tuples([tuple(name(row) for name in names.values()) for row in rows], names=list(names))
    laid = {heading: [cell(row) for row in rows] for heading, cell in columns.items()}
    return pd.DataFrame(laid, index=index if len(names) > 1 else index.get_level_values(0))
