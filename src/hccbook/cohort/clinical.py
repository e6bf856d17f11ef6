"""The clinical table: what the models and tables know of a patient besides the images."""

from __future__ import annotations

import pandas as pd

from hccbook.cohort.manifest import COLUMNS
from hccbook.errors import DataError
from hccbook.papers import role_of_cohort
from hccbook.scores import albi, amap


def clinical_table(manifest: pd.DataFrame) -> pd.DataFrame:
    """Clinical values, outcome and scores, without identifiers and paths.

    Parameters
    ----------
    manifest : pandas.DataFrame
        As `read_manifest` returns it, with every ``cohort`` filled in (see `assign_cohorts`).

    Returns
    -------
    pandas.DataFrame
        Index ``patient`` (keys); columns centre, cohort, role, age, sex, the blood tests, etiology, hcc, months, the
        optional columns that the manifest has, ``albi`` and ``amap`` (a higher value means a higher risk).

    Raises
    ------
    DataError
        If a patient has no cohort, or a clinical value is missing or in another unit.
    """
    roles = role_of_cohort()
    without = int((~manifest["cohort"].isin(list(roles))).sum())
    if without:
        hint = "Fill in the column with cohort.assign_cohorts first."
        raise DataError("cohort", f"must be one of {', '.join(roles)}", f"{without} patients without", hint)
    others = {"patient_id", *(name for name, column in COLUMNS.items() if column.kind == "path")}
    kept = [name for name in COLUMNS if name in manifest and name not in others]
    table = manifest[kept].copy()
    table.insert(kept.index("cohort") + 1, "role", table["cohort"].map(roles))
    table["albi"] = albi(table["bilirubin"], table["albumin"])
    table["amap"] = amap(table["age"], table["sex"] == "male", table["bilirubin"], table["albumin"], table["platelets"])
    return table.rename_axis("patient")
