"""The study flow: who is enrolled and analysed, and whom the papers' own criteria would leave out."""

from __future__ import annotations

import pandas as pd

from hccbook.errors import DataError
from hccbook.papers import find_paper

FLOW_COLUMNS = ("box", "parent", "kind", "label", "n", "events")


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
        Columns patient (key) and criterion; by criterion, then in the table's order.

    Raises
    ------
    DataError
        If the paper is unknown.

    References
    ----------
    ALARM, Methods, Study design and patients; aMAP-CT, Methods, Study population.
    """
    earliest, latest = find_paper(paper).months
    months, hcc = table["months"], table["hcc"] == 1
    criteria = {
        "under 18 years": table["age"] < 18,
        f"HCC within {earliest:g} months of the CT": (months < earliest) & hcc,
        f"last visit within {earliest:g} months of the CT": (months < earliest) & ~hcc,
        f"CT more than {latest:g} months before HCC": (months > latest) & hcc,
        f"CT more than {latest:g} months before the last visit": (months > latest) & ~hcc,
    }
    for name in table.columns.intersection(["afp", "alt", "etiology"]):
        criteria[f"incomplete clinical data: {name}"] = table[name].isna() | (table[name] == "")
    rows = [(str(patient), criterion) for criterion, met in criteria.items() for patient in table.index[met]]
    return pd.DataFrame(rows, columns=["patient", "criterion"])


def study_flow(clinical: pd.DataFrame, failures: pd.DataFrame, paper: str) -> pd.DataFrame:
    """Patients from the manifest to the cohorts analysed, as boxes of a flow diagram.

    Parameters
    ----------
    clinical : pandas.DataFrame
        All patients whose row of the manifest is right, index the patient; columns cohort, and those of `eligibility`.
    failures : pandas.DataFrame
        Columns patient, stage: who fell out, and where; a patient counts at the first stage. Whoever fell out in the
        stage "cohort" is not in the clinical table, and their outcome is not known.
    paper : {"alarm", "amap_ct"}
        Whose criteria.

    Returns
    -------
    pandas.DataFrame
        Columns box, parent, kind ("kept", "left out" or "would leave out"), label, n, events; a box's parent comes
        before it. Patients whom the paper's own criteria would leave out, counted at the first, are analysed. Events of
        a box with patients of unknown outcome are NaN.

    Raises
    ------
    DataError
        If a patient that fell out is not in the clinical table, or the paper is unknown.

    References
    ----------
    ALARM, Figure S2.
    """
    first = failures.drop_duplicates("patient").astype({"patient": str})
    unread = first.loc[first["stage"] == "cohort", "patient"]
    hcc = clinical["hcc"].set_axis(clinical.index.astype(str)).reindex([*clinical.index.astype(str), *unread])
    strange = [patient for patient in first["patient"] if patient not in hcc.index]
    if strange:
        raise DataError("failures", "must name patients of the clinical table", strange[0], "Give the same run's.")
    rows = [("manifest", "", "kept", "Patients in the manifest", len(hcc), _events(hcc))]
    for stage, lost in first.groupby("stage", sort=False)["patient"]:
        rows.append((f"left {stage}", "manifest", "left out", f"Left out in {stage}", len(lost), _events(hcc[lost])))
    analysed = clinical[~clinical.index.astype(str).isin(first["patient"])]
    rows.append(("analysed", "manifest", "kept", "Patients analysed", len(analysed), int(analysed["hcc"].sum())))
    outside = eligibility(analysed, paper).drop_duplicates("patient")
    for criterion, met in outside.groupby("criterion", sort=False)["patient"]:
        label = f"Would be left out by the paper: {criterion}"
        rows.append((f"outside {criterion}", "analysed", "would leave out", label, len(met), int(hcc[met].sum())))
    for cohort, part in analysed.groupby("cohort", sort=False)["hcc"]:
        rows.append((str(cohort), "analysed", "kept", str(cohort), len(part), int(part.sum())))
    return pd.DataFrame(rows, columns=list(FLOW_COLUMNS))


def _events(hcc: pd.Series) -> float:
    """Patients with HCC; NaN where an outcome is not known."""
    return hcc.sum(skipna=False)


def enrolment(clinical: pd.DataFrame) -> pd.DataFrame:
    """Patients by centre and cohort, as boxes of a flow diagram.

    Parameters
    ----------
    clinical : pandas.DataFrame
        Columns centre, cohort, hcc. A centre whose patients are divided among cohorts has a box of its own; the
        others share one a cohort.

    Returns
    -------
    pandas.DataFrame
        Columns box, parent, kind ("kept"), label, n, events.

    References
    ----------
    ALARM, Methods, Study design and patients; Figure S3.
    """
    rows = [("all", "", "kept", "Patients enrolled", len(clinical), int(clinical["hcc"].sum()))]
    cohorts_of = clinical.groupby("centre", sort=False)["cohort"].unique().map(tuple)
    for among in dict.fromkeys(cohorts_of):
        centres = sorted(cohorts_of.index[[one == among for one in cohorts_of]], key=str)
        part = clinical[clinical["centre"].isin(centres)]
        box = "+".join(map(str, centres))
        several = f"{len(centres)} centres, {centres[0]} to {centres[-1]}"
        label = several if len(centres) > 1 else f"Centre {centres[0]}"
        rows.append((box, "all", "kept", label, len(part), int(part["hcc"].sum())))
        for cohort in among:
            outcomes = part.loc[part["cohort"] == cohort, "hcc"]
            rows.append((f"{box} {cohort}", box, "kept", str(cohort), len(outcomes), int(outcomes.sum())))
    return pd.DataFrame(rows, columns=list(FLOW_COLUMNS))
