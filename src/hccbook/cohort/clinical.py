"""The clinical table: what the models and tables know of a patient besides the images."""

from __future__ import annotations

import pandas as pd

from hccbook.cohort.manifest import COLUMNS
from hccbook.errors import DataError
from hccbook.papers import find_paper, role_of_cohort
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
        raise DataError(
            "cohort",
            f"must be one of {', '.join(roles)}",
            f"{without} patients without",
            "Fill in the column with cohort.assign_cohorts first.",
        )
    kept = [
        name for name, column in COLUMNS.items() if name in manifest and column.kind != "path" and name != "patient_id"
    ]
    table = manifest[kept].copy()
    table.insert(kept.index("cohort") + 1, "role", table["cohort"].map(roles))
    table["albi"] = albi(table["bilirubin"], table["albumin"])
    table["amap"] = amap(table["age"], table["sex"] == "male", table["bilirubin"], table["albumin"], table["platelets"])
    return table.rename_axis("patient")


def eligibility(table: pd.DataFrame, paper: str) -> pd.DataFrame:
    """Patients whom the paper's own criteria would leave out, as far as a manifest can tell.

    Nothing is removed: the user decides. Criteria that no column holds (splenectomy, earlier treatment, quality of the
    images) can't be checked.

    Parameters
    ----------
    table : pandas.DataFrame
        Manifest or clinical table, index ``patient``.
    paper : {"alarm", "amap_ct"}
        Whose criteria.

    Returns
    -------
    pandas.DataFrame
        ``patient`` (key), ``criterion`` and ``found``; by criterion, then in the table's order.

    Raises
    ------
    DataError
        If the paper is unknown.

    References
    ----------
    ALARM, Methods, Study design and patients; aMAP-CT, Methods, Study population.
    """
    earliest, latest = find_paper(paper).months
    rows: list[tuple[str, str, str]] = []

    def note(chosen: pd.Series, criterion: str, name: str, unit: str) -> None:
        for key, value in table.loc[chosen, name].items():
            rows.append((str(key), criterion, "no value" if pd.isna(value) or value == "" else f"{value:g} {unit}"))

    note(table["age"] < 18, "under 18 years", "age", "years")
    months, hcc = table["months"], table["hcc"] == 1
    note((months < earliest) & hcc, f"HCC within {earliest:g} months of the CT", "months", "months")
    note((months < earliest) & ~hcc, f"last visit within {earliest:g} months of the CT", "months", "months")
    note((months > latest) & hcc, f"CT more than {latest:g} months before HCC", "months", "months")
    note((months > latest) & ~hcc, f"CT more than {latest:g} months before the last visit", "months", "months")
    for name in ("afp", "alt", "etiology"):
        if name in table:
            note(table[name].isna() | (table[name] == ""), f"incomplete clinical data: {name}", name, "")
    return pd.DataFrame(rows, columns=["patient", "criterion", "found"])
