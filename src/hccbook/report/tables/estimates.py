"""Tables of estimates that both papers share: AUC, incidence, calibration, hazard ratios, quality of masks."""

from __future__ import annotations

import pandas as pd

from hccbook.errors import DataError
from hccbook.evaluation.hazards import HAZARD_RATIO_COLUMNS
from hccbook.report.tables import cells, schemas, titles
from hccbook.report.tables.layout import Lookup, lay
from hccbook.report.tables.typesetting import odds_ratio_text, ratio_text, unbounded_text

_COHORT_OR_ALL = cells.typeset(lambda cohort: titles.cohort_title(cohort or "all"), "cohort")


def discrimination_table(auc: pd.DataFrame) -> pd.DataFrame:
    """AUC with its confidence interval: one row per cohort, a column a model.

    Parameters
    ----------
    auc : pandas.DataFrame
        Tidy, with `AUC_COLUMNS`.

    Returns
    -------
    pandas.DataFrame
        Strings; columns n, HCC and the models in the order of the frame.

    Raises
    ------
    DataError
        If a column is missing or a cohort and model is there twice.
    """
    schemas.require_columns(auc, schemas.AUC_COLUMNS, "AUC table")
    areas = Lookup(auc, ("cohort", "model"), "AUC table, {cohort}, {model}")
    area = cells.estimate("auc")
    by_model = {titles.model_title(model): areas.cell(area, model=model) for model in auc["model"].unique()}
    return lay(auc.drop_duplicates("cohort"), {"Cohort": cells.COHORT}, {**cells.SIZE, **by_model})


def horizon_auc_table(auc: pd.DataFrame) -> pd.DataFrame:
    """AUC at each horizon, with censoring, beside the binary AUC.

    Parameters
    ----------
    auc : pandas.DataFrame
        Tidy, with `HORIZON_AUC_COLUMNS`.

    Returns
    -------
    pandas.DataFrame
        Strings; rows by cohort, score and horizon: cases, controls, unknown, ``AUC (95% CI)``, binary AUC, note.

    Raises
    ------
    DataError
        If a column is missing.
    """
    schemas.require_columns(auc, schemas.HORIZON_AUC_COLUMNS, "AUC at a horizon")
    columns = {
        "HCC by then": cells.count("cases"),
        "Free of HCC": cells.count("controls"),
        "Unknown": cells.count("unknown"),
        "AUC (95% CI)": cells.AREA,
        "Binary AUC": cells.number("binary_auc", 3),
        "Note": cells.NOTE,
    }
    horizon = cells.typeset("{:g} months".format, "months")
    return lay(auc, {"Cohort": cells.COHORT, "Model": cells.MODEL, "Horizon": horizon}, columns)


def incidence_table(groups: pd.DataFrame) -> pd.DataFrame:
    """Incidence of HCC by risk group, in percent with its confidence interval.

    Parameters
    ----------
    groups : pandas.DataFrame
        Tidy, with `INCIDENCE_COLUMNS`; incidence and bounds are fractions (0 to 1).

    Returns
    -------
    pandas.DataFrame
        Strings; rows by group, columns n, HCC and ``Incidence, % (95% CI)``.

    Raises
    ------
    DataError
        If a column is missing.
    """
    schemas.require_columns(groups, schemas.INCIDENCE_COLUMNS, "risk groups")
    columns = {**cells.SIZE, "Incidence, % (95% CI)": cells.percent("incidence")}
    return lay(groups, {"Group": cells.typeset(titles.group_title, "group")}, columns)


def rate_table(rates: pd.DataFrame) -> pd.DataFrame:
    """Annual incidence of HCC, events per hundred person-years.

    Parameters
    ----------
    rates : pandas.DataFrame
        Tidy, with `RATE_COLUMNS`; rates are a person-year.

    Returns
    -------
    pandas.DataFrame
        Strings; rows by cohort and group; n, HCC, person-years, ``HCC per 100 person-years (95% CI)``, note.

    Raises
    ------
    DataError
        If a column is missing.

    References
    ----------
    aMAP-CT, Discussion: 13.2 % and 0.8 % a year.
    """
    schemas.require_columns(rates, schemas.RATE_COLUMNS, "annual incidence")
    columns = {
        **cells.SIZE,
        "Person-years": cells.number("person_years", 1),
        "HCC per 100 person-years (95% CI)": cells.percent("rate"),
        "Note": cells.NOTE,
    }
    return lay(rates, {"Cohort": _COHORT_OR_ALL, "Group": cells.typeset(titles.group_title, "group")}, columns)


def hazard_ratio_table(hazard_ratios: pd.DataFrame) -> pd.DataFrame:
    """aMAP-CT Supplementary Table 5: hazard ratios of HCC, of risk groups or a step of a score.

    Parameters
    ----------
    hazard_ratios : pandas.DataFrame
        Tidy, with `hccbook.evaluation.hazards.HAZARD_RATIO_COLUMNS`.

    Returns
    -------
    pandas.DataFrame
        Strings; rows by cohort and model; what is compared, HCC/n of both groups, ``HR (95% CI)``, p, p of
        proportional hazards, method, note.

    Raises
    ------
    DataError
        If a column is missing.
    """
    schemas.require_columns(hazard_ratios, HAZARD_RATIO_COLUMNS, "hazard ratios")
    columns = {
        "Compared": cells.typeset(_compared_groups, "group", "reference", "step"),
        "HCC/n": _events_of_groups,
        "HR (95% CI)": cells.typeset(odds_ratio_text, "hazard_ratio", "lower", "upper"),
        "p": cells.P_VALUE,
        "p (proportional hazards)": cells.p_value("p_proportional"),
        "Method": cells.typeset(str.capitalize, "method"),
        "Note": cells.NOTE,
    }
    return lay(hazard_ratios, {"Cohort": _COHORT_OR_ALL, "Model": cells.MODEL}, columns)


def _compared_groups(group: str, reference: str, step: str) -> str:
    return f"{titles.group_title(group)} against {titles.group_title(reference).lower()}" if group else step


def _events_of_groups(row: cells.Line) -> str:
    events = ratio_text(row["events"], row["n"])
    reference = ratio_text(row["events_reference"], row["n_reference"])
    return f"{events} against {reference}" if row["group"] else events


def calibration_table(summary: pd.DataFrame) -> pd.DataFrame:
    """Calibration of each model in each cohort.

    Parameters
    ----------
    summary : pandas.DataFrame
        Tidy, with `CALIBRATION_COLUMNS`.

    Returns
    -------
    pandas.DataFrame
        Strings; rows by cohort and model; intercept (in the large), slope, and the errors ICI, E50, E90, Emax.

    Raises
    ------
    DataError
        If a column is missing.
    """
    schemas.require_columns(summary, schemas.CALIBRATION_COLUMNS, "calibration summary")
    places = {"Intercept": 2, "Slope": 2, "ICI": 3, "E50": 3, "E90": 3, "Emax": 3}
    # The slope has no finite estimate where the predictions separate the outcomes.
    columns = {title: cells.typeset(unbounded_text, title.lower(), places=digits) for title, digits in places.items()}
    return lay(summary, {"Cohort": cells.COHORT, "Model": cells.MODEL}, columns)


def segmentation_table(groups: pd.DataFrame) -> pd.DataFrame:
    """How good the masks are, one row per group of them.

    Parameters
    ----------
    groups : pandas.DataFrame
        Any of the columns paper, organ, phase and centre, which make the rows; then `SEGMENTATION_COLUMNS`.

    Returns
    -------
    pandas.DataFrame
        Strings; a distance that is infinite, because one of two masks is empty, is ``∞``.

    Raises
    ------
    DataError
        If a column is missing, there is no row, nothing names the rows, or the tolerances differ.
    """
    schemas.require_columns(groups, schemas.SEGMENTATION_COLUMNS, "masks")
    by = {"paper": titles.model_title, "organ": str, "phase": str, "centre": str}
    names = {column.capitalize(): cells.typeset(by[column], column) for column in groups if column in by}
    if not names:
        raise DataError("masks", "need organ, phase, centre or paper to name their rows", "none", "Group by one.")
    tolerances = groups["tolerance_mm"].unique()
    if len(tolerances) > 1:
        raise DataError("masks", "must have one tolerance a table", f"{len(tolerances)}", "Make a table for each.")
    columns = {
        "Masks": cells.count("n"),
        "Dice, mean": cells.number("mean", 3),
        "Dice, least": cells.number("least", 3),
        "Dice, 5th percentile": cells.number("p5", 3),
        "HD95, median, mm": cells.typeset(unbounded_text, "hd95_mm", places=1),
        f"Surface Dice, mean (within {tolerances[0]:g} mm)": cells.number("surface_dice", 3),
    }
    return lay(groups, names, columns)
