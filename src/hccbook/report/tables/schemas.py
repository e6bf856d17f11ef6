"""What a tidy frame must have before it is typeset or drawn: columns, whatever others there are, and rows.

Those of characteristics, centres, subgroups and hazard ratios are declared where the frames are made.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from hccbook.errors import DataError

_AREA = ("n", "events", "missing", "auc", "lower", "upper")
_COMPARED = ("cohort", "model", "compared_with")

AUC_COLUMNS = ("cohort", "model", "n", "events", "auc", "lower", "upper")
CALIBRATION_COLUMNS = ("cohort", "model", "intercept", "slope", "ici", "e50", "e90", "emax")
COMBINATION_COLUMNS = (
    "cohort", "combination", "variables", *_AREA, "difference", "difference_lower", "difference_upper", "p", "note",
)  # fmt: skip
COMPARISON_COLUMNS = ("cohort", "model", "horizon", *_AREA, "p", "p_holm", "note")
DELONG_COLUMNS = (*_COMPARED, "auc", "auc_compared", "difference", "lower", "upper", "z", "p", "note")
FEATURE_COUNT_COLUMNS = ("phase", "organ", "image", "class", "n")
HORIZON_AUC_COLUMNS = (
    "cohort", "model", "months", "cases", "controls", "unknown", "auc", "lower", "upper", "binary_auc", "note",
)  # fmt: skip
IDI_COLUMNS = (*_COMPARED, "idi", "lower", "upper", "p", "events_change", "nonevents_change", "note")
IMAGE_COLUMNS = ("centre", "phase", "characteristic", "n", "median", "q1", "q3", "least", "greatest")
INCIDENCE_COLUMNS = ("group", "n", "events", "incidence", "lower", "upper")
NRI_COLUMNS = (*_COMPARED, "kind", "nri", "lower", "upper", "p", "events_nri", "nonevents_nri", "note")
ODDS_RATIO_COLUMNS = (
    "analysis", "variable", "per", "step", "n", "events", "missing", "odds_ratio", "lower", "upper", "p", "method",
    "note",
)  # fmt: skip
PERFORMANCE_COLUMNS = (
    "cohort", "cutoff", "n", "events", "measure", "value", "lower", "upper", "numerator", "denominator",
)  # fmt: skip
RATE_COLUMNS = ("cohort", "group", "n", "events", "person_years", "rate", "lower", "upper", "note")
SEGMENTATION_COLUMNS = ("n", "mean", "least", "p5", "hd95_mm", "surface_dice", "tolerance_mm")
"""Masks, mean, least and 5th percentile of the Dice, median of the 95th percentile Hausdorff distance (mm), mean
surface Dice, and its tolerance (mm)."""
SUBGROUP_PERFORMANCE_COLUMNS = ("characteristic", "level", *PERFORMANCE_COLUMNS)
TRADEOFF_COLUMNS = (
    "amap_cutoff", "ct_cutoff", "n", "events", "spared", "spared_share", "spared_lower", "spared_upper", "missed",
    "missed_share", "missed_lower", "missed_upper", "lost", "high",
)  # fmt: skip


def require_columns(table: pd.DataFrame, columns: Iterable[str], place: str) -> None:
    """Refuse a frame that lacks a column or has no row.

    Parameters
    ----------
    table : pandas.DataFrame
        Tidy frame.
    columns : iterable of str
        Columns that it must have; others are let pass.
    place : str
        Name of the frame in the message.

    Raises
    ------
    DataError
        If a column is missing or the frame is empty.
    """
    columns = list(columns)
    missing = [name for name in columns if name not in table.columns]
    if missing:
        found = f"no {', '.join(missing)} among {', '.join(map(str, table.columns)) or 'no columns'}"
        hint = "Pass the tidy frame as the evaluation returns it."
        raise DataError(place, f"must have the columns {', '.join(columns)}", found, hint)
    if table.empty:
        raise DataError(place, "must have at least one row", "none", "Check the stage that made it.")


def require_once(table: pd.DataFrame, key: list[str], place: str) -> None:
    """Refuse a frame that has a row twice.

    Parameters
    ----------
    table : pandas.DataFrame
        Tidy frame.
    key : list of str
        Columns that tell its rows apart.
    place : str
        Name of the row in the message: a template of its columns.

    Raises
    ------
    DataError
        If two rows have the same key.
    """
    twice = table[table.duplicated(key)]
    if len(twice):
        raise DataError(place.format_map(twice.iloc[0]), "must be there once", "twice", "Drop the duplicates.")


def rows_of(
    table: pd.DataFrame, columns: Iterable[str], place: str, value: str | None, by: str = "cohort"
) -> tuple[pd.DataFrame, str]:
    """Rows of one cohort, or of one value of another column; of the only one where none is named.

    Raises
    ------
    DataError
        If a column is missing, there are several values and none is named, or the one named is not there.
    """
    require_columns(table, columns, place)
    values = list(table[by].unique())
    named = ", ".join(map(str, values))
    if value is None and len(values) > 1:
        raise DataError(place, f"must hold one {by} for one panel", named, f"Name the {by}.")
    value = values[0] if value is None else value
    if value not in values:
        raise DataError(place, f"must hold the {by} {value}", named, "Check the spelling.")
    return table[table[by] == value], value


def only_row(table: pd.DataFrame, place: str, hint: str, **key: str) -> pd.Series:
    """The one row with these values.

    Raises
    ------
    DataError
        If there is none, or several.
    """
    rows = table[(table[list(key)] == pd.Series(key)).all(axis=1)]
    if len(rows) != 1:
        raise DataError(", ".join((place, *map(str, key.values()))), "must have one row", f"{len(rows)} rows", hint)
    return rows.iloc[0]
