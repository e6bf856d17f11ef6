"""The Image Biomarker Standardisation Initiative: its names, its digital phantom and its reference values.

Everything is read from ``data/ibsi/``, whose README says where it comes from: Zwanenburg and others, IBSI reference
manual, arXiv:1612.07003; Radiology 2020;295:328-338.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from hccbook.errors import DataError
from hccbook.run import project_root

SPACING_MM = (2.0, 2.0, 2.0)
"""Voxel edges of the digital phantom, mm."""

_RELATIONS = ("same", "differs", "not in PyRadiomics")
_IDENTIFIER_COLUMNS = ("class", "feature", "ibsi_name", "ibsi_identifier")
_REFERENCE_COLUMNS = (
    *("feature_class", "ibsi_name", "ibsi_identifier", "aggregation", "reference_value", "tolerance"),
    *("pyradiomics_name", "relation", "note"),
)
_PHANTOM_SHAPE = (4, 4, 5)


def identifiers() -> pd.DataFrame:
    """Names and identifiers that the standard gives to PyRadiomics' features.

    Returns
    -------
    pandas.DataFrame
        One row per feature, in the order of `hccbook.features.radiomics.FEATURES`, with the text columns class,
        feature, ibsi_name and ibsi_identifier; the last two are empty where the standard has no such feature.

    Raises
    ------
    DataError
        If the file is missing or has other columns.
    """
    return _table("identifiers.csv", _IDENTIFIER_COLUMNS)


def digital_phantom() -> tuple[np.ndarray, np.ndarray]:
    """The standard's digital phantom.

    Returns
    -------
    levels : ndarray of int, shape (4, 4, 5)
        Grey levels (z, y, x), 1 to 6; 0 outside the region.
    mask : ndarray of bool, shape (4, 4, 5)
        The region, 74 voxels; its voxels are cubes of 2 mm (`SPACING_MM`).

    Raises
    ------
    DataError
        If the file is missing, has other columns, or does not hold one row of voxels a (z, y).
    """
    z, y, x = _PHANTOM_SHAPE
    name = "digital_phantom.csv"
    table = _table(name, ("z", "y", *(f"x{column}" for column in range(x))))
    places = [(str(slice_), str(row)) for slice_ in range(z) for row in range(y)]
    if list(zip(table["z"], table["y"], strict=True)) != places:
        raise DataError(name, f"must hold {z} x {y} rows in order of z, y", f"{len(table)} rows", "Restore data/ibsi.")
    cells = table.drop(columns=["z", "y"]).to_numpy()
    levels = np.where(cells == "", "0", cells).astype(np.int64).reshape(_PHANTOM_SHAPE)
    return levels, levels > 0


def reference_values() -> pd.DataFrame:
    """What the standard expects on its digital phantom.

    Returns
    -------
    pandas.DataFrame
        One row per feature of the standard, with the text columns feature_class, ibsi_name, ibsi_identifier,
        aggregation, pyradiomics_name, relation ("same", "differs" or "not in PyRadiomics") and note, and the floats
        reference_value and tolerance, NaN where the standard gives no value; a tolerance of 0 asks for
        three equal significant digits.

    Raises
    ------
    DataError
        If the file is missing, has other columns, or a relation is none of the three.
    """
    name = "digital_phantom_reference.csv"
    table = _table(name, _REFERENCE_COLUMNS)
    unknown = sorted(set(table["relation"]) - set(_RELATIONS))
    if unknown:
        raise DataError(name, f"relation must be one of {', '.join(_RELATIONS)}", unknown, "Correct it.")
    for column in ("reference_value", "tolerance"):
        table[column] = table[column].mask(table[column] == "").astype(float)
    return table


def _table(name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    file = project_root() / "data" / "ibsi" / name
    if not file.is_file():
        raise DataError(name, "must exist", "no such file", "Restore data/ibsi.")
    # Identifiers such as 1128 stay text, and an empty cell stays empty.
    table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8")
    if tuple(table.columns) != columns:
        raise DataError(name, f"columns must be {', '.join(columns)}", list(table.columns), "See data/ibsi/README.md.")
    return table
