"""The papers' work in steps, with this run's numbers, as `hccbook.report.figures.plot_workflow` draws it."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from hccbook.errors import DataError
from hccbook.report.tables.schemas import require_columns
from hccbook.report.tables.titles import cohort_title
from hccbook.report.tables.typesetting import decimal_text

_IN_ORDER = ("CT", "Selection", "Model", "Signature")  # stages whose steps follow one another

# Stage, step and detail.
_ALARM = (
    ("CT", "Three phases", "3 to 12 months before HCC or the last visit"),
    ("CT", "Preprocessing", "resampled, window 200 HU, level 40"),
    ("CT", "Liver", "segmented by a network"),
    ("Features", "Radiomics", "{extracted[radiomics]} features"),
    ("Features", "3D ResNet-50", "{extracted[deep]} features"),
    ("Selection", "Mann-Whitney", "{mann_whitney[radiomics]} radiomics, {mann_whitney[deep]} deep"),
    ("Selection", "Spearman", "{spearman[radiomics]} radiomics, {spearman[deep]} deep"),
    ("Selection", "LASSO", "{lasso[radiomics]} radiomics, {lasso[deep]} deep"),
    ("Model", "Scores", "radiomics, deep learning, aMAP"),
    ("Model", "Borderline-SMOTE", "the discovery cohort balanced"),
    ("Model", "ALARM", "logistic regression"),
    ("Evaluation", "Discrimination", "ROC, DeLong, NRI, IDI"),
    ("Evaluation", "Calibration, net benefit", "curves by cohort"),
    ("Evaluation", "Risk groups", "X-tile, incidence, subgroups"),
)

_AMAP_CT_IMAGES = (
    ("CT", "Three phases", "at enrolment"),
    ("CT", "Liver and spleen", "segmented by a network"),
    ("CT", "Crops", "to the largest box of each organ"),
)

_AMAP_CT_MODEL = (
    ("Signature", "LASSO", "kept: {kept}"),
    ("Signature", "CT image score", "logistic regression on the kept features"),
    ("Signature", "aMAP-CT", "logistic regression on score and aMAP"),
    ("Evaluation", "Discrimination", "ROC, other scores, subgroups"),
    ("Evaluation", "Incidence", "risk groups over time, hazard ratios"),
    ("Evaluation", "Stepwise use", "aMAP first, then aMAP-CT"),
)


def alarm_workflow(cohorts: pd.DataFrame, selection: pd.DataFrame) -> pd.DataFrame:
    """ALARM Fig. 1: the workflow.

    Parameters
    ----------
    cohorts : pandas.DataFrame
        Columns cohort, n, events; one row per cohort.
    selection : pandas.DataFrame
        Columns block ("radiomics", "deep"), step ("extracted", ..., "lasso"), features, as
        ``AlarmModel.selection_counts_`` has them.

    Returns
    -------
    pandas.DataFrame
        Columns stage, step, detail, follows.

    Raises
    ------
    DataError
        If a column is missing or a block lacks a step.
    """
    patients = _patients(cohorts)
    require_columns(selection, ("block", "step", "features"), "selection counts")
    counts = {}
    for step in ("extracted", "mann_whitney", "spearman", "lasso"):
        features = selection[selection["step"] == step].set_index("block")["features"]
        if sorted(features.index) != ["deep", "radiomics"]:
            blocks = ", ".join(features.index)
            raise DataError(f"selection counts, {step}", "must have radiomics and deep", blocks, "Refit the model.")
        counts[step] = features.map(_count)
    return _workflow([*patients, *_ALARM], **counts)


def amap_ct_workflow(cohorts: pd.DataFrame, selection: pd.DataFrame) -> pd.DataFrame:
    """aMAP-CT Supplementary Fig. 1: the pipeline.

    Parameters
    ----------
    cohorts : pandas.DataFrame
        Columns cohort, n, events; one row per cohort.
    selection : pandas.DataFrame
        Columns organ, kind ("radiomics", "deep"), extracted, selected (features); one row per organ and kind.

    Returns
    -------
    pandas.DataFrame
        Columns stage, step, detail, follows.

    Raises
    ------
    DataError
        If a column is missing.
    """
    patients = _patients(cohorts)
    require_columns(selection, ("organ", "kind", "extracted", "selected"), "selection counts")
    kinds = selection["organ"].str.capitalize() + ", " + selection["kind"].replace("deep", "ResNet-18")
    numbers = [f"{_count(n)} features" for n in selection["extracted"]]
    extracted = [("Features", kind, number) for kind, number in zip(kinds, numbers, strict=True)]
    by_organ = selection.groupby("organ", sort=False)["selected"].sum()
    kept = ", ".join(f"{_count(n)} {organ}" for organ, n in by_organ.items())
    return _workflow([*patients, *_AMAP_CT_IMAGES, *extracted, *_AMAP_CT_MODEL], kept=kept)


def _count(n: float) -> str:
    return decimal_text(n, 0)


def _patients(cohorts: pd.DataFrame) -> list[tuple[str, str, str]]:
    require_columns(cohorts, ("cohort", "n", "events"), "cohorts")
    details = [f"{_count(row.n)} patients, {_count(row.events)} HCC" for row in cohorts.itertuples()]
    names = [cohort_title(cohort).removesuffix(" cohort") for cohort in cohorts["cohort"]]
    return [("Patients", name, detail) for name, detail in zip(names, details, strict=True)]


def _workflow(steps: Iterable[tuple[str, str, str]], **numbers: object) -> pd.DataFrame:
    table = pd.DataFrame(steps, columns=["stage", "step", "detail"])
    table["detail"] = [detail.format(**numbers) for detail in table["detail"]]
    return table.assign(follows=table["stage"].isin(_IN_ORDER) & table["stage"].eq(table["stage"].shift()))
