"""Table 1 of both papers: what the patients are like."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import partial

import pandas as pd

from hccbook.cohort import CHARACTERISTICS_COLUMNS
from hccbook.errors import DataError
from hccbook.report.tables import cells, schemas, titles
from hccbook.report.tables.layout import Lookup, lay
from hccbook.report.tables.typesetting import UNDEFINED, count_text, decimal_text, estimate_text, is_absent, p_text


def alarm_table_1(characteristics: pd.DataFrame, *, places: Mapping[str, int] | None = None) -> pd.DataFrame:
    """ALARM Table 1: characteristics by cohort and outcome, with a p-value a cohort.

    Parameters
    ----------
    characteristics : pandas.DataFrame
        Tidy, with `CHARACTERISTICS_COLUMNS`: one row per characteristic, level, cohort and subgroup.
        ``level`` is empty for a continuous characteristic, ``percent`` is 0 to 100, ``subgroup`` the outcome group.
    places : mapping of str to int, optional
        Decimal places of a median by characteristic; 1 where not given.

    Returns
    -------
    pandas.DataFrame
        Strings; rows by characteristic and level in the order of the frame, columns by cohort and outcome group.
        The size in a heading is the largest n of its column; a cell that rests on fewer patients says how many.

    Raises
    ------
    DataError
        If a column is missing, a row is there twice, or a characteristic has two p-values in a cohort.
    """
    table = _prepared(characteristics, places)
    compared: dict[Hashable, dict[tuple[str, str], Hashable]] = {}
    for cohort, subgroup, size in _groups(table):
        title, outcome = titles.cohort_title(cohort), titles.title(titles.OUTCOME_TITLES, subgroup or "all")
        compared.setdefault((title, "p"), {})[cohort, subgroup] = (title, _sized(outcome, size))
    return _lay_characteristics(table, compared).rename_axis(columns=["Cohort", "Outcome"])


def amap_ct_table_1(characteristics: pd.DataFrame, *, places: Mapping[str, int] | None = None) -> pd.DataFrame:
    """aMAP-CT Table 1: characteristics by cohort, with one p-value across the cohorts.

    Parameters
    ----------
    characteristics : pandas.DataFrame
        Tidy, with `CHARACTERISTICS_COLUMNS`; one subgroup only.
    places : mapping of str to int, optional
        Decimal places of a median by characteristic; 1 where not given.

    Returns
    -------
    pandas.DataFrame
        Strings; rows by characteristic and level, a column a cohort and last ``p``.

    Raises
    ------
    DataError
        If a column is missing, there are several subgroups, a row is there twice,
        or a characteristic has two p-values.
    """
    table = _prepared(characteristics, places)
    subgroups = table["subgroup"].unique()
    if len(subgroups) > 1:
        rule, found = "must have one subgroup for the aMAP-CT table", ", ".join(map(repr, subgroups))
        raise DataError("characteristics", rule, found, "Leave out the comparison by outcome.")
    headings = {(cohort, name): _sized(titles.cohort_title(cohort), size) for cohort, name, size in _groups(table)}
    return _lay_characteristics(table, {"p": headings})


def _prepared(characteristics: pd.DataFrame, places: Mapping[str, int] | None) -> pd.DataFrame:
    """Rows with level and subgroup as text, the size of their group and the decimal places of their median."""
    schemas.require_columns(characteristics, CHARACTERISTICS_COLUMNS, "characteristics")
    texts = characteristics[["level", "subgroup"]].map(lambda value: "" if is_absent(value) else str(value))
    table = characteristics.assign(
        **texts, places=[(places or {}).get(name, 1) for name in characteristics["characteristic"]]
    )
    table["size"] = table.groupby(["cohort", "subgroup"])["n"].transform("max")
    return table


def _groups(table: pd.DataFrame) -> list[tuple[str, str, float]]:
    """Cohort, subgroup and size of each group, in their order."""
    groups = table.drop_duplicates(["cohort", "subgroup"])
    return list(groups[["cohort", "subgroup", "size"]].itertuples(index=False, name=None))


def _sized(name: str, size: float) -> str:
    return f"{name} (n = {decimal_text(size, 0)})"


def _lay_characteristics(
    table: pd.DataFrame, compared: Mapping[Hashable, Mapping[tuple[str, str], Hashable]]
) -> pd.DataFrame:
    """Lay the rows out: for each comparison the columns of its cohorts and subgroups, then the one of its p-value."""
    key = ["characteristic", "level", "cohort", "subgroup"]
    for (characteristic, level, *group), rows in table.groupby(key, sort=False):
        if len(rows) > 1:
            place = f"characteristics, {characteristic} {level}".strip()
            rule, found = "must have one row a cohort and subgroup", f"{len(rows)} rows for {' '.join(group).strip()}"
            raise DataError(place, rule, found, "Drop the duplicates.")
    lines = []
    for characteristic, rows in table.groupby("characteristic", sort=False):
        levels = [level for level in rows["level"].unique() if level]
        # Over its levels, a characteristic has no value of its own.
        lines.append((characteristic, "", "" if levels else UNDEFINED))
        lines += [(characteristic, level, UNDEFINED) for level in levels]
    values = Lookup(table, key, "characteristics, {characteristic}", missing=cells.plain("missing"))
    columns: dict[Hashable, cells.Cell] = {}
    for p_heading, headings in compared.items():
        for (cohort, subgroup), heading in headings.items():
            columns[heading] = values.cell(_value_text, cohort=cohort, subgroup=subgroup)
        rows = table[[group in headings for group in zip(table["cohort"], table["subgroup"], strict=True)]]
        columns[p_heading] = _p_value(rows, p_heading)
    names = {
        "Characteristic": cells.typeset(partial(titles.title, titles.CHARACTERISTIC_TITLES), "characteristic"),
        "Level": cells.typeset(lambda level: level[:1].upper() + level[1:], "level"),
    }
    return lay(pd.DataFrame(lines, columns=["characteristic", "level", "missing"]), names, columns)


def _value_text(row: cells.Line) -> str:
    if not is_absent(row["median"]):
        text = estimate_text(row["median"], row["q1"], row["q3"], row["places"])
    elif not is_absent(row["count"]):
        text = count_text(row["count"], row["percent"])
    else:
        return UNDEFINED
    # A median over fewer patients than the heading says must say so.
    return text if is_absent(row["n"]) or row["n"] == row["size"] else f"{text} [n = {decimal_text(row['n'], 0)}]"


def _p_value(rows: pd.DataFrame, heading: Hashable) -> cells.Cell:
    """Cell of the one p-value of a comparison, in the first line of each characteristic that it compares."""
    p_values = {name: values.dropna().unique() for name, values in rows.groupby("characteristic")["p_value"]}

    def typeset(line: cells.Line) -> str:
        if line["level"] or line["characteristic"] not in p_values:
            return ""
        values = p_values[line["characteristic"]]
        if len(values) > 1:
            place = f"characteristics, {line['characteristic']}, {heading}"
            hint = "Give the same p-value on all its rows."
            raise DataError(place, "must have one p-value", ", ".join(map(str, values)), hint)
        return p_text(values[0] if len(values) else None)

    return typeset
