"""Typeset tables: every cell a string, no statistic computed.

Policies, the same in every table and on every figure:

- **Rounding** is half away from zero on the shortest decimal form of the number, as a reader rounds by hand:
  0.0125 to three places is 0.013. Python's own rounding would follow the binary form and give 0.013 or 0.012
  as that happens to fall; rounding half to even would give 0.012.
- **Ranges** are joined by an en dash, ``0.917–0.949``; where a bound is negative by " to ", so that no dash
  stands beside a minus. The minus is the sign U+2212, not a hyphen.
- **p-values** have three places; below 0.001 they are ``<0.001``, and from 0.9995 ``>0.999``.
- **Undefined** values are ``n.a.``, never an empty cell; an empty cell is one that the layout leaves free.
- **Counts** from a thousand on have a comma.
"""

from __future__ import annotations

import hashlib
import html
import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING

import pandas as pd
from pandas.io.formats.style import Styler

from hccbook.cohort import CHARACTERISTICS_COLUMNS
from hccbook.errors import DataError

if TYPE_CHECKING:
    # Only its attributes are read; loading the models would make every table wait for scikit-learn.
    from hccbook.models import LinearScore

UNDEFINED = "n.a."
"""What stands where a value is undefined."""

SYNTHETIC_NOTICE = "SYNTHETIC: simulated patients, not clinical data."
"""First words of the caption of every table made from simulated patients."""

MEASURE_TITLES = MappingProxyType(
    {
        "sensitivity": "Sensitivity",
        "specificity": "Specificity",
        "ppv": "PPV",
        "npv": "NPV",
        "accuracy": "Accuracy",
        "f1": "F1-score",
    }
)
"""Printed names of the measures of diagnostic performance, in the order of the papers' tables."""

COHORT_TITLES = MappingProxyType(
    {
        "all": "All",
        "overall": "Overall",
        "discovery": "Discovery cohort",
        "internal_validation": "Internal validation cohort",
        "external_validation": "External validation cohort",
        "unseen": "Unseen patients",
        "training": "Training cohort",
        "validation": "Validation cohort",
        "test": "Test cohort",
    }
)
"""Printed names of the cohorts."""

MODEL_TITLES = MappingProxyType(
    {
        "alarm": "ALARM",
        "radiomics": "Radiomics",
        "radiomics_score": "Radiomics",
        "deep": "Deep learning",
        "deep_score": "Deep learning",
        "deep_learning": "Deep learning",
        "deep_learning_score": "Deep learning",
        "amap": "aMAP",
        "amap_score": "aMAP",
        "amap_ct": "aMAP-CT",
        "amap_liver": "aMAP + liver",
        "amap_spleen": "aMAP + spleen",
        "amap_plus_liver": "aMAP + liver",
        "amap_plus_spleen": "aMAP + spleen",
        "amap_volume": "aMAP + spleen volume",
        "amap_ct_volume": "aMAP-CT + spleen volume",
        "amap_2_refit": "aMAP-2 refit",
        "amap_2_plus_refit": "aMAP-2 Plus refit",
        "lsm_hcc": "LSM-HCC",
        "cu_hcc": "CU-HCC",
        "page_b": "PAGE-B",
        "mpage_b": "mPAGE-B",
        "thri": "THRI",
        "ct_image": "CT image score",
        "treat_all": "Treat all",
        "treat_none": "Treat none",
    }
)
"""Printed names of the models; a name that is not here is printed as it is."""

CHARACTERISTIC_TITLES = MappingProxyType(
    {
        "age": "Age, years",
        "sex": "Sex, n (%)",
        "male": "Male, n (%)",
        "amap": "aMAP score",
        "amap_group": "aMAP HCC risk, n (%)",
        "albi": "ALBI score",
        "ast": "AST, U/L",
        "alt": "ALT, U/L",
        "bilirubin": "Total bilirubin, μmol/L",
        "albumin": "Albumin, g/L",
        "platelets": "Platelets, ×10⁹/L",
        "creatinine": "Creatinine, μmol/L",
        "bun": "Urea nitrogen, mmol/L",
        "glucose": "Glucose, mmol/L",
        "afp": "AFP, μg/L",
        "stiffness_kpa": "Liver stiffness, kPa",
        "months": "Follow-up, months",
        "etiology": "Etiology, n (%)",
        "hcc": "HCC during follow-up, n (%)",
        "bclc": "BCLC stage, n (%)",
        "centre": "Centre, n (%)",
    }
)
"""Printed names of the clinical characteristics; a name that is not here is printed as it is."""

SUBGROUP_TITLES = MappingProxyType({"hcc": "HCC", "non_hcc": "Non-HCC", "no_hcc": "Non-HCC", "all": "All"})
"""Printed names of the outcome groups."""

VARIABLE_TITLES = MappingProxyType(
    {
        "amap": "aMAP score",
        "radiomics": "Radiomics score",
        "deep": "Deep-learning score",
        "alarm": "ALARM",
        "age": "Age",
        "sex": "Sex",
        "male": "Male sex",
        "bilirubin": "Bilirubin",
        "albumin": "Albumin",
        "platelets": "Platelets",
        "afp": "AFP",
        "log_afp": "log₁₀ AFP",
        "albi": "ALBI score",
        "stiffness_kpa": "Liver stiffness",
    }
)
"""Printed names of variables on axes and in regressions, without units."""

FEATURE_CLASS_TITLES = MappingProxyType(
    {
        "shape": "Shape",
        "firstorder": "First order",
        "glcm": "GLCM",
        "glrlm": "GLRLM",
        "glszm": "GLSZM",
        "gldm": "GLDM",
        "ngtdm": "NGTDM",
        "deep": "Deep learning",
    }
)
"""Printed names of the feature classes, in the order of the tables."""

PERFORMANCE_COLUMNS = (
    "cohort",
    "cutoff",
    "n",
    "events",
    "measure",
    "value",
    "lower",
    "upper",
    "numerator",
    "denominator",
)
AUC_COLUMNS = ("cohort", "model", "n", "events", "auc", "lower", "upper")
INCIDENCE_COLUMNS = ("group", "n", "events", "incidence", "lower", "upper")
ODDS_RATIO_COLUMNS = (
    "analysis",
    "variable",
    "per",
    "step",
    "n",
    "events",
    "missing",
    "odds_ratio",
    "lower",
    "upper",
    "p",
    "method",
    "note",
)
SUBGROUP_COLUMNS = (
    "cohort",
    "characteristic",
    "level",
    "n",
    "events",
    "missing",
    "auc",
    "lower",
    "upper",
    "p_difference",
    "note",
)
FEATURE_COUNT_COLUMNS = ("phase", "organ", "image", "class", "n")
COMBINATION_COLUMNS = (
    "cohort",
    "combination",
    "variables",
    "n",
    "events",
    "missing",
    "auc",
    "lower",
    "upper",
    "difference",
    "difference_lower",
    "difference_upper",
    "p",
    "note",
)
DELONG_COLUMNS = (
    "cohort",
    "model",
    "compared_with",
    "auc",
    "auc_compared",
    "difference",
    "lower",
    "upper",
    "z",
    "p",
    "note",
)
NRI_COLUMNS = (
    "cohort",
    "model",
    "compared_with",
    "kind",
    "nri",
    "lower",
    "upper",
    "p",
    "events_nri",
    "nonevents_nri",
    "note",
)
IDI_COLUMNS = (
    "cohort",
    "model",
    "compared_with",
    "idi",
    "lower",
    "upper",
    "p",
    "events_change",
    "nonevents_change",
    "note",
)
CALIBRATION_COLUMNS = ("cohort", "model", "intercept", "slope", "ici", "e50", "e90", "emax")


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
        raise DataError(
            place,
            f"must have the columns {', '.join(columns)}",
            f"no {', '.join(missing)} among {', '.join(map(str, table.columns)) or 'no columns'}",
            "Pass the tidy frame as the evaluation returns it.",
        )
    if table.empty:
        raise DataError(place, "must have at least one row", "none", "Check the stage that made it.")


def _key(name: object) -> str:
    return str(name).strip().lower().replace("-", "_").replace(" + ", "_").replace(" ", "_")


def _title(titles: Mapping[str, str], name: object) -> str:
    return titles.get(_key(name), str(name))


def cohort_title(cohort: str) -> str:
    """Printed name of a cohort, ``internal_validation`` to "Internal validation cohort"."""
    return _title(COHORT_TITLES, cohort)


def model_title(model: str) -> str:
    """Printed name of a model, ``amap_ct`` to "aMAP-CT"."""
    return _title(MODEL_TITLES, model)


def _absent(value: object) -> bool:
    return value is None or bool(pd.isna(value))


def decimal_text(value: float | None, places: int) -> str:
    """Number with a fixed count of decimal places.

    Parameters
    ----------
    value : float or None
        Number; None and NaN are undefined.
    places : int
        Decimal places, 0 or more.

    Returns
    -------
    str
        Rounded half away from zero on the shortest decimal form; a zero has no sign.

    Raises
    ------
    DataError
        If the number is infinite.
    """
    if _absent(value):
        return UNDEFINED
    if math.isinf(value):
        raise DataError("a table cell", "must be finite or undefined", value, "Give NaN where it is undefined.")
    rounded = Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
    text = f"{abs(rounded):,.{places}f}"
    return f"−{text}" if rounded < 0 else text


def range_text(lower: float, upper: float, places: int) -> str:
    """Range of two numbers, ``0.917–0.949`` or ``−0.10 to 0.20``; undefined where either bound is."""
    if _absent(lower) or _absent(upper):
        return UNDEFINED
    bounds = decimal_text(lower, places), decimal_text(upper, places)
    return (" to " if any(bound.startswith("−") for bound in bounds) else "–").join(bounds)


def estimate_text(value: float, lower: float, upper: float, places: int = 3) -> str:
    """Estimate with its 95% confidence interval, ``0.933 (0.917–0.949)``."""
    if _absent(value):
        return UNDEFINED
    return f"{decimal_text(value, places)} ({range_text(lower, upper, places)})"


def percent_text(fraction: float, lower: float, upper: float, places: int = 1) -> str:
    """Fraction (0 to 1) with its 95% confidence interval, both in percent: ``24.3 (18.8–30.5)``."""
    # Decimal keeps 0.0145 x 100 at 1.45, which binary multiplication may not.
    parts = (math.nan if _absent(part) else Decimal(repr(float(part))) * 100 for part in (fraction, lower, upper))
    return estimate_text(*map(float, parts), places=places)


def quartiles_text(median: float, q1: float, q3: float, places: int = 1) -> str:
    """Median with its quartiles, ``49.9 (43.2–56.4)``."""
    return estimate_text(median, q1, q3, places)


def count_text(count: float, percent: float, places: int = 1) -> str:
    """Count with its percentage (0 to 100), ``1,411 (79.8)``."""
    if _absent(count):
        return UNDEFINED
    return f"{decimal_text(count, 0)} ({decimal_text(percent, places)})"


def p_text(p: float | None) -> str:
    """p-value as a table cell: ``0.012``, ``<0.001``, ``>0.999`` or ``n.a.``.

    Raises
    ------
    DataError
        If the value lies outside 0 to 1.
    """
    if _absent(p):
        return UNDEFINED
    if not 0 <= p <= 1:
        raise DataError("p-value", "must lie between 0 and 1", p, "Check the test that gave it.")
    if p < 0.001:
        return "<0.001"
    return ">0.999" if p >= 0.9995 else decimal_text(p, 3)


def p_phrase(p: float | None) -> str:
    """p-value in running text: ``p = 0.012``, ``p < 0.001``."""
    text = p_text(p)
    return f"p {text[0]} {text[1:]}" if text[0] in "<>" else f"p = {text}"


def _in_order(values: Iterable) -> list:
    return list(dict.fromkeys(values))


def _level(value: object) -> str:
    return "" if _absent(value) else str(value)


def _one_p(rows: pd.DataFrame, place: str) -> str:
    if rows.empty:
        return ""
    known = _in_order(rows["p_value"].dropna())
    if len(known) > 1:
        raise DataError(
            place, "must have one p-value", f"{', '.join(map(str, known))}", "Give the same p-value on all its rows."
        )
    return p_text(known[0] if known else None)


def _cell(row: pd.Series, group_size: int, places: int) -> str:
    if not _absent(row["median"]):
        text = quartiles_text(row["median"], row["q1"], row["q3"], places)
    elif not _absent(row["count"]):
        text = count_text(row["count"], row["percent"])
    else:
        return UNDEFINED
    # A median over fewer patients than the heading says must say so.
    known = "" if _absent(row["n"]) or row["n"] == group_size else f" [n = {decimal_text(row['n'], 0)}]"
    return text + known


def _characteristics(
    table: pd.DataFrame,
    groups: Sequence[tuple[str, str]],
    headings: Sequence,
    tests: Mapping[object, Sequence[tuple[str, str]]],
    titles: Mapping[str, str],
    places: Mapping[str, int],
) -> pd.DataFrame:
    """Lay the tidy rows out: `groups` become columns under `headings`, `tests` are the p-value columns."""
    table = table.assign(level=table["level"].map(_level), subgroup=table["subgroup"].map(_level))
    sizes = {group: rows["n"].max() for group, rows in table.groupby(["cohort", "subgroup"])}
    cells: dict[tuple[str, str], dict] = {}
    for characteristic, rows in table.groupby("characteristic", sort=False):
        title = _title(titles, characteristic)
        levels = _in_order(rows["level"])
        lines = [(title, ""), *((title, level) for level in levels if level)]
        for line in lines:
            of_line = rows[rows["level"] == line[1]]
            cells[line] = {}
            for group, heading in zip(groups, headings, strict=True):
                found = of_line[(of_line["cohort"] == group[0]) & (of_line["subgroup"] == group[1])]
                if len(found) > 1:
                    raise DataError(
                        f"characteristics, {characteristic} {line[1]}".strip(),
                        "must have one row a cohort and subgroup",
                        f"{len(found)} rows for {' '.join(group).strip()}",
                        "Drop the duplicates.",
                    )
                if found.empty:
                    free = line[1] == "" and len(lines) > 1
                    cells[line][heading] = "" if free else UNDEFINED
                else:
                    cells[line][heading] = _cell(found.iloc[0], sizes[group], places.get(str(characteristic), 1))
            for heading, compared in tests.items():
                own = rows[[pair in compared for pair in zip(rows["cohort"], rows["subgroup"], strict=True)]]
                place = f"characteristics, {characteristic}, {heading}"
                cells[line][heading] = _one_p(own, place) if line[1] == "" else ""
    laid = pd.DataFrame.from_dict(cells, orient="index")
    shown = [(title, level[:1].upper() + level[1:]) for title, level in cells]
    laid.index = pd.MultiIndex.from_tuples(shown, names=["Characteristic", "Level"])
    return laid


def _sized(title: str, n: float) -> str:
    return f"{title} (n = {decimal_text(n, 0)})"


def alarm_table_1(
    characteristics: pd.DataFrame,
    *,
    titles: Mapping[str, str] = CHARACTERISTIC_TITLES,
    places: Mapping[str, int] = MappingProxyType({}),
) -> pd.DataFrame:
    """ALARM Table 1: characteristics by cohort and outcome, with a p-value a cohort.

    Parameters
    ----------
    characteristics : pandas.DataFrame
        Tidy, with `CHARACTERISTICS_COLUMNS`: a row a characteristic, level, cohort and subgroup.
        ``level`` is empty for a continuous characteristic, ``percent`` is 0 to 100, ``subgroup`` the outcome group.
    titles : mapping of str to str
        Printed name by characteristic.
    places : mapping of str to int
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

    References
    ----------
    ALARM, Table 1.
    """
    require_columns(characteristics, CHARACTERISTICS_COLUMNS, "characteristics")
    subgroup = characteristics["subgroup"].map(_level)
    pairs = _in_order(zip(characteristics["cohort"], subgroup, strict=True))
    cohorts = _in_order(characteristics["cohort"])
    groups, headings, tests = [], [], {}
    size = characteristics["n"].groupby([characteristics["cohort"], subgroup]).max()
    for cohort in cohorts:
        of_cohort = [pair for pair in pairs if pair[0] == cohort]
        for pair in of_cohort:
            groups.append(pair)
            headings.append((cohort_title(cohort), _sized(_title(SUBGROUP_TITLES, pair[1] or "all"), size[pair])))
        tests[(cohort_title(cohort), "p")] = of_cohort
    laid = _characteristics(characteristics, groups, headings, tests, titles, places)
    order = []
    for cohort in cohorts:
        order += [heading for pair, heading in zip(groups, headings, strict=True) if pair[0] == cohort]
        order.append((cohort_title(cohort), "p"))
    laid = laid[order]
    laid.columns = pd.MultiIndex.from_tuples(order, names=["Cohort", "Outcome"])
    return laid


def amap_ct_table_1(
    characteristics: pd.DataFrame,
    *,
    titles: Mapping[str, str] = CHARACTERISTIC_TITLES,
    places: Mapping[str, int] = MappingProxyType({}),
) -> pd.DataFrame:
    """aMAP-CT Table 1: characteristics by cohort, with one p-value across the cohorts.

    Parameters
    ----------
    characteristics : pandas.DataFrame
        Tidy, with `CHARACTERISTICS_COLUMNS`; one subgroup only.
    titles : mapping of str to str
        Printed name by characteristic.
    places : mapping of str to int
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

    References
    ----------
    aMAP-CT, Table 1.
    """
    require_columns(characteristics, CHARACTERISTICS_COLUMNS, "characteristics")
    subgroup = characteristics["subgroup"].map(_level)
    if subgroup.nunique() > 1:
        raise DataError(
            "characteristics",
            "must have one subgroup for the aMAP-CT table",
            ", ".join(repr(name) for name in _in_order(subgroup)),
            "Leave out the comparison by outcome.",
        )
    groups = _in_order(zip(characteristics["cohort"], subgroup, strict=True))
    size = characteristics["n"].groupby(characteristics["cohort"]).max()
    headings = [_sized(cohort_title(cohort), size[cohort]) for cohort, _ in groups]
    return _characteristics(characteristics, groups, headings, {"p": groups}, titles, places)


def _one_row(rows: pd.DataFrame, place: str) -> pd.Series | None:
    if len(rows) > 1:
        raise DataError(place, "must have one row", f"{len(rows)} rows", "Drop the duplicates.")
    return None if rows.empty else rows.iloc[0]


def alarm_table_2(performance: pd.DataFrame, *, counts: bool = True) -> pd.DataFrame:
    """ALARM Table 2: diagnostic performance by cohort at each cut-off.

    Parameters
    ----------
    performance : pandas.DataFrame
        Tidy, with `PERFORMANCE_COLUMNS`; ``value``, ``lower`` and ``upper`` are fractions (0 to 1).
    counts : bool
        Whether a column gives numerator and denominator; the paper does not print them.

    Returns
    -------
    pandas.DataFrame
        Strings; rows by cohort and measure (sensitivity, specificity, PPV, NPV), columns by cut-off.

    Raises
    ------
    DataError
        If a column is missing or a cohort, cut-off and measure is there twice.

    References
    ----------
    ALARM, Table 2.
    """
    require_columns(performance, PERFORMANCE_COLUMNS, "diagnostic performance")
    measures = ("sensitivity", "specificity", "ppv", "npv")
    cutoffs = sorted(performance["cutoff"].unique())
    rows = {}
    for cohort in _in_order(performance["cohort"]):
        for measure in measures:
            line: dict[tuple[str, str], str] = {}
            for cutoff in cutoffs:
                heading = f"Cut-off {decimal_text(cutoff, 2)}"
                chosen = (performance["cohort"] == cohort) & (performance["cutoff"] == cutoff)
                found = _one_row(
                    performance[chosen & (performance["measure"] == measure)],
                    f"diagnostic performance, {cohort}, {measure} at {cutoff}",
                )
                line[(heading, "Value (95% CI)")] = (
                    UNDEFINED if found is None else estimate_text(found["value"], found["lower"], found["upper"])
                )
                if counts:
                    line[(heading, "n/N")] = UNDEFINED if found is None else _ratio_text(found)
            rows[(cohort_title(cohort), MEASURE_TITLES[measure])] = line
    laid = pd.DataFrame.from_dict(rows, orient="index")
    laid.index = pd.MultiIndex.from_tuples(list(rows), names=["Cohort", "Measure"])
    laid.columns = pd.MultiIndex.from_tuples(list(laid.columns), names=["Cut-off", ""])
    return laid


def _ratio_text(row: pd.Series) -> str:
    if _absent(row["numerator"]) or _absent(row["denominator"]):
        return UNDEFINED
    return f"{decimal_text(row['numerator'], 0)}/{decimal_text(row['denominator'], 0)}"


def amap_ct_table_2(performance: pd.DataFrame, auc: pd.DataFrame, *, model: str = "aMAP-CT") -> pd.DataFrame:
    """aMAP-CT Table 2: AUC and diagnostic performance of one model, a row a cohort.

    Parameters
    ----------
    performance : pandas.DataFrame
        Tidy, with `PERFORMANCE_COLUMNS`; one cut-off only.
    auc : pandas.DataFrame
        Tidy, with `AUC_COLUMNS`.
    model : str
        Model whose AUC is taken; upper and lower case, spaces, hyphens and underscores do not matter.

    Returns
    -------
    pandas.DataFrame
        Strings; rows by cohort, columns n, HCC, AUC and the six measures.

    Raises
    ------
    DataError
        If a column is missing, there are several cut-offs, or the model has no AUC or two in a cohort.

    References
    ----------
    aMAP-CT, Table 2.
    """
    require_columns(performance, PERFORMANCE_COLUMNS, "diagnostic performance")
    require_columns(auc, AUC_COLUMNS, "AUC table")
    cutoffs = _in_order(performance["cutoff"])
    if len(cutoffs) > 1:
        raise DataError(
            "diagnostic performance",
            "must have one cut-off for the aMAP-CT table",
            ", ".join(map(str, cutoffs)),
            "Select the rows of one cut-off.",
        )
    rows = {}
    for cohort in _in_order(performance["cohort"]):
        of_model = auc[(auc["cohort"] == cohort) & (auc["model"].map(_key) == _key(model))]
        area = _one_row(of_model, f"AUC table, {cohort}, {model}")
        if area is None:
            raise DataError(
                f"AUC table, {cohort}",
                f"must have the model {model}",
                ", ".join(_in_order(auc["model"])),
                "Name one of the models that are there.",
            )
        line = {
            "n": decimal_text(area["n"], 0),
            "HCC": decimal_text(area["events"], 0),
            "AUC (95% CI)": estimate_text(area["auc"], area["lower"], area["upper"]),
        }
        of_cohort = performance[performance["cohort"] == cohort]
        for measure, title in MEASURE_TITLES.items():
            found = _one_row(of_cohort[of_cohort["measure"] == measure], f"diagnostic performance, {cohort}, {measure}")
            line[title] = UNDEFINED if found is None else estimate_text(found["value"], found["lower"], found["upper"])
        rows[cohort_title(cohort)] = line
    laid = pd.DataFrame.from_dict(rows, orient="index")
    laid.index.name = "Cohort"
    return laid


def discrimination_table(auc: pd.DataFrame) -> pd.DataFrame:
    """AUC with its confidence interval: a row a cohort, a column a model.

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
    require_columns(auc, AUC_COLUMNS, "AUC table")
    rows = {}
    for cohort, of_cohort in auc.groupby("cohort", sort=False):
        first = of_cohort.iloc[0]
        line = {"n": decimal_text(first["n"], 0), "HCC": decimal_text(first["events"], 0)}
        for model in _in_order(auc["model"]):
            found = _one_row(of_cohort[of_cohort["model"] == model], f"AUC table, {cohort}, {model}")
            line[model_title(model)] = (
                UNDEFINED if found is None else estimate_text(found["auc"], found["lower"], found["upper"])
            )
        rows[cohort_title(cohort)] = line
    laid = pd.DataFrame.from_dict(rows, orient="index")
    laid.index.name = "Cohort"
    return laid


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
    require_columns(groups, INCIDENCE_COLUMNS, "risk groups")
    laid = pd.DataFrame(
        {
            "n": [decimal_text(n, 0) for n in groups["n"]],
            "HCC": [decimal_text(events, 0) for events in groups["events"]],
            "Incidence, % (95% CI)": [
                percent_text(*triple)
                for triple in groups[["incidence", "lower", "upper"]].itertuples(index=False, name=None)
            ],
        },
        index=pd.Index([group_title(group) for group in groups["group"]], name="Group"),
    )
    return laid


def group_title(group: str) -> str:
    """Printed name of a risk group: ``low``, ``low_risk`` and ``Low risk`` all to "Low risk"."""
    words = str(group).strip().replace("_", " ").replace("-", " ")
    bare = words.lower().removesuffix(" risk")
    return f"{bare.capitalize()} risk" if bare in ("low", "medium", "high", "super high") else str(group)


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
    require_columns(summary, CALIBRATION_COLUMNS, "calibration summary")
    index = pd.MultiIndex.from_tuples(
        [(cohort_title(row.cohort), model_title(row.model)) for row in summary.itertuples()],
        names=["Cohort", "Model"],
    )
    columns = {"intercept": "Intercept", "slope": "Slope", "ici": "ICI", "e50": "E50", "e90": "E90", "emax": "Emax"}
    laid = {
        title: [_calibration_text(value, 2 if name in ("intercept", "slope") else 3) for value in summary[name]]
        for name, title in columns.items()
    }
    return pd.DataFrame(laid, index=index)


def variable_title(name: str) -> str:
    """Printed name of a variable, ``amap`` to "aMAP score"."""
    return _title(VARIABLE_TITLES, name)


def feature_title(name: str) -> str:
    """Printed name of a feature, with its parts set apart."""
    return str(name).replace("_", " ").replace(".", " · ")


def step_text(per: str, step: float) -> str:
    """What an odds ratio is per, as it stands after the variable: ", per SD", ", per 10", nothing for one unit."""
    if per == "SD":
        return ", per SD"
    return "" if _absent(step) or step == 1 else f", per {step:g}"


def odds_ratio_text(value: float, lower: float, upper: float) -> str:
    """Odds ratio with its interval, to two places, and no longer than can be read: ``>1,000`` above a thousand."""
    if _absent(value):
        return UNDEFINED
    value, lower, upper = (
        ">1,000" if part > 1000 else "<0.01" if 0 < part < 0.01 else decimal_text(part, 2)
        for part in (value, lower, upper)
    )
    return f"{value} ({lower}{' to ' if upper.startswith('>') else '–'}{upper})"


def odds_ratio_table(odds_ratios: pd.DataFrame) -> pd.DataFrame:
    """Odds ratios of HCC: a row an analysis and variable.

    Parameters
    ----------
    odds_ratios : pandas.DataFrame
        Tidy, with `ODDS_RATIO_COLUMNS`.

    Returns
    -------
    pandas.DataFrame
        Strings; columns n, HCC, ``OR (95% CI)``, p, Method, Note.

    Raises
    ------
    DataError
        If a column is missing.

    References
    ----------
    ALARM, Figure S13.
    """
    require_columns(odds_ratios, ODDS_RATIO_COLUMNS, "odds ratios")
    rows, index = [], []
    for row in odds_ratios.itertuples():
        index.append((str(row.analysis).capitalize(), variable_title(row.variable) + step_text(row.per, row.step)))
        missing = f"{row.missing} without a value left out" if row.missing else ""
        rows.append(
            {
                "n": decimal_text(row.n, 0),
                "HCC": decimal_text(row.events, 0),
                "OR (95% CI)": odds_ratio_text(row.odds_ratio, row.lower, row.upper),
                "p": p_text(row.p),
                "Method": str(row.method).capitalize(),
                "Note": "; ".join(part for part in (row.note, missing) if part),
            }
        )
    return pd.DataFrame(rows, index=pd.MultiIndex.from_tuples(index, names=["Analysis", "Variable"]))


def subgroup_table(subgroups: pd.DataFrame) -> pd.DataFrame:
    """AUC in subgroups: a row a subgroup, columns by cohort.

    Parameters
    ----------
    subgroups : pandas.DataFrame
        Tidy, with `SUBGROUP_COLUMNS`.

    Returns
    -------
    pandas.DataFrame
        Strings; under each cohort HCC/n, ``AUC (95% CI)`` (or the note where there is none) and p of equal AUCs.

    Raises
    ------
    DataError
        If a column is missing or a subgroup is there twice.

    References
    ----------
    ALARM, Supplementary A9 and Figure S15.
    """
    require_columns(subgroups, SUBGROUP_COLUMNS, "subgroups")
    keys = _in_order(zip(subgroups["characteristic"], subgroups["level"], strict=True))
    lines = {}
    for characteristic, level in keys:
        line: dict[tuple[str, str], str] = {}
        own = subgroups[(subgroups["characteristic"] == characteristic) & (subgroups["level"] == level)]
        for cohort in _in_order(subgroups["cohort"]):
            row = _one_row(own[own["cohort"] == cohort], f"subgroups, {cohort}, {characteristic} {level}")
            title = cohort_title(cohort)
            line[(title, "HCC/n")] = UNDEFINED if row is None else f"{row['events']}/{row['n']}"
            line[(title, "AUC (95% CI)")] = UNDEFINED if row is None else _noted(row, "auc")
            # The p of a characteristic stands beside its first level.
            first = (
                row is not None
                and level == subgroups.loc[subgroups["characteristic"] == characteristic, "level"].iloc[0]
            )
            line[(title, "p")] = p_text(row["p_difference"]) if first and characteristic != "all" else ""
        shown = ("All patients", "") if characteristic == "all" else (variable_title(characteristic), str(level))
        lines[shown] = line
    laid = pd.DataFrame.from_dict(lines, orient="index")
    laid.index = pd.MultiIndex.from_tuples(list(lines), names=["Characteristic", "Level"])
    laid.columns = pd.MultiIndex.from_tuples(list(laid.columns), names=["Cohort", ""])
    return laid


def _noted(row: pd.Series, value: str, places: int = 3, lower: str = "lower", upper: str = "upper") -> str:
    """Estimate with its interval; without one, the note that says why."""
    if _absent(row[value]):
        return row["note"].split(";")[0] or UNDEFINED
    return estimate_text(row[value], row[lower], row[upper], places)


def alarm_table_s2(counts: pd.DataFrame) -> pd.DataFrame:
    """ALARM Table S2: extracted features by class and image, of one phase and organ.

    Parameters
    ----------
    counts : pandas.DataFrame
        Tidy, with `FEATURE_COUNT_COLUMNS`. Phases and organs must have the same features.

    Returns
    -------
    pandas.DataFrame
        Strings; rows by image with their sum, columns by class with their sum; an empty cell where there is none.
        The last row is all phases and organs together.

    Raises
    ------
    DataError
        If a column is missing, or phases or organs have other features.

    References
    ----------
    ALARM, Table S2: 1,223 a phase, 3,669 in all.
    """
    require_columns(counts, FEATURE_COUNT_COLUMNS, "feature counts")
    parts = {key: part for key, part in counts.groupby(["phase", "organ"], sort=False)}
    squares = {
        key: part.pivot_table(index="image", columns="class", values="n", aggfunc="sum", sort=False)
        for key, part in parts.items()
    }
    first_key, first = next(iter(squares.items()))
    for key, square in squares.items():
        if not square.equals(first):
            raise DataError(
                f"feature counts, {' '.join(key)}", "must be those of the other phases", f"not {' '.join(first_key)}'s",
                "Give the columns of one feature table.",
            )  # fmt: skip
    order = [name for name in FEATURE_CLASS_TITLES if name in first] + [
        name for name in first if name not in FEATURE_CLASS_TITLES
    ]
    laid = {}
    for image, row in first[order].iterrows():
        title = "Deep learning" if image == "deep" else str(image)
        laid[title] = {_title(FEATURE_CLASS_TITLES, name): _count_or_free(row[name]) for name in order}
        laid[title]["All"] = decimal_text(row.sum(), 0)
    for title, times in (("All, one phase", 1), (f"All, {len(squares)} phases", len(squares))):
        laid[title] = {
            _title(FEATURE_CLASS_TITLES, name): decimal_text(times * first[name].sum(), 0) for name in order
        } | {"All": decimal_text(times * first.sum().sum(), 0)}
    table = pd.DataFrame.from_dict(laid, orient="index")
    table.index.name = "Image"
    return table


def _count_or_free(count: float) -> str:
    return "" if _absent(count) or count == 0 else decimal_text(count, 0)


def alarm_table_s3(combinations: pd.DataFrame) -> pd.DataFrame:
    """ALARM Table S3: the image scores with clinical variables, compared with ALARM.

    Parameters
    ----------
    combinations : pandas.DataFrame
        Tidy, with `COMBINATION_COLUMNS`.

    Returns
    -------
    pandas.DataFrame
        Strings; rows by combination, under each cohort ``AUC (95% CI)``, ``Difference (95% CI)`` and p of DeLong's
        test. Patients left out for a missing value are counted beside the AUC.

    Raises
    ------
    DataError
        If a column is missing or a combination is there twice in a cohort.

    References
    ----------
    ALARM, Table S3.
    """
    require_columns(combinations, COMBINATION_COLUMNS, "combinations")
    lines = {}
    for name in _in_order(combinations["combination"]):
        line: dict[tuple[str, str], str] = {}
        for cohort in _in_order(combinations["cohort"]):
            own = (combinations["combination"] == name) & (combinations["cohort"] == cohort)
            row = _one_row(combinations[own], f"combinations, {cohort}, {name}")
            title = cohort_title(cohort)
            if row is None:
                line |= {(title, column): UNDEFINED for column in ("AUC (95% CI)", "Difference (95% CI)", "p")}
                continue
            left_out = f" [{row['missing']} left out]" if row["missing"] else ""
            line[(title, "AUC (95% CI)")] = _noted(row, "auc") + left_out
            reference = _absent(row["difference"]) and not row["variables"] and row["note"].startswith("compared")
            difference = estimate_text(row["difference"], row["difference_lower"], row["difference_upper"])
            line[(title, "Difference (95% CI)")] = "reference" if reference else difference
            line[(title, "p")] = "" if reference else p_text(row["p"])
        lines[name] = line
    laid = pd.DataFrame.from_dict(lines, orient="index")
    laid.index.name = "Image scores with"
    laid.columns = pd.MultiIndex.from_tuples(list(laid.columns), names=["Cohort", ""])
    return laid


def alarm_table_s4(tests: pd.DataFrame) -> pd.DataFrame:
    """ALARM Table S4: DeLong's test against the single-score models.

    Parameters
    ----------
    tests : pandas.DataFrame
        Tidy, with `DELONG_COLUMNS`.

    Returns
    -------
    pandas.DataFrame
        Strings; rows by cohort and comparison, columns the two AUCs, ``Difference (95% CI)``, z, p and Note.

    Raises
    ------
    DataError
        If a column is missing.

    References
    ----------
    ALARM, Table S4.
    """
    require_columns(tests, DELONG_COLUMNS, "DeLong tests")
    rows = [
        {
            "AUC": decimal_text(row.auc, 3),
            "AUC of the other": decimal_text(row.auc_compared, 3),
            "Difference (95% CI)": estimate_text(row.difference, row.lower, row.upper),
            "z": decimal_text(row.z, 2),
            "p": p_text(row.p),
            "Note": row.note,
        }
        for row in tests.itertuples()
    ]
    return pd.DataFrame(rows, index=_comparisons(tests))


def _comparisons(table: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_tuples(
        [
            (cohort_title(row.cohort), f"{model_title(row.model)} against {model_title(row.compared_with)}")
            for row in table.itertuples()
        ],
        names=["Cohort", "Models"],
    )


def alarm_table_s5(nri: pd.DataFrame) -> pd.DataFrame:
    """ALARM Table S5: net reclassification improvement over the single-score models.

    Parameters
    ----------
    nri : pandas.DataFrame
        Tidy, with `NRI_COLUMNS`; kinds "categorical" and "continuous".

    Returns
    -------
    pandas.DataFrame
        Strings; rows by cohort and comparison, under each kind ``NRI (95% CI)``, its part in patients with and
        without HCC, and p.

    Raises
    ------
    DataError
        If a column is missing or a comparison is there twice.

    References
    ----------
    ALARM, Table S5.
    """
    require_columns(nri, NRI_COLUMNS, "net reclassification")
    kinds = _in_order(nri["kind"])
    pairs = nri.drop_duplicates(["cohort", "model", "compared_with"])
    lines = []
    for pair in pairs.itertuples():
        own = nri[(nri["cohort"] == pair.cohort) & (nri["model"] == pair.model)]
        own = own[own["compared_with"] == pair.compared_with]
        line: dict[tuple[str, str], str] = {}
        for kind in kinds:
            row = _one_row(own[own["kind"] == kind], f"net reclassification, {pair.cohort}, {pair.compared_with}")
            title = str(kind).capitalize()
            line[(title, "NRI (95% CI)")] = UNDEFINED if row is None else _noted(row, "nri")
            line[(title, "HCC")] = UNDEFINED if row is None else decimal_text(row["events_nri"], 3)
            line[(title, "No HCC")] = UNDEFINED if row is None else decimal_text(row["nonevents_nri"], 3)
            line[(title, "p")] = UNDEFINED if row is None else p_text(row["p"])
        lines.append(line)
    laid = pd.DataFrame(lines, index=_comparisons(pairs))
    laid.columns = pd.MultiIndex.from_tuples(list(laid.columns), names=["NRI", ""])
    return laid


def alarm_table_s6(idi: pd.DataFrame) -> pd.DataFrame:
    """ALARM Table S6: integrated discrimination improvement over the single-score models.

    Parameters
    ----------
    idi : pandas.DataFrame
        Tidy, with `IDI_COLUMNS`.

    Returns
    -------
    pandas.DataFrame
        Strings; rows by cohort and comparison, columns ``IDI (95% CI)``, the mean rise in patients with HCC, the
        mean fall in those without, p and Note.

    Raises
    ------
    DataError
        If a column is missing.

    References
    ----------
    ALARM, Table S6.
    """
    require_columns(idi, IDI_COLUMNS, "integrated discrimination")
    rows = [
        {
            "IDI (95% CI)": estimate_text(row.idi, row.lower, row.upper),
            "Rise with HCC": decimal_text(row.events_change, 3),
            "Fall without HCC": decimal_text(row.nonevents_change, 3),
            "p": p_text(row.p),
            "Note": row.note,
        }
        for row in idi.itertuples()
    ]
    return pd.DataFrame(rows, index=_comparisons(idi))


def alarm_formulas(scores: Mapping[str, LinearScore], digits: int = 3) -> pd.DataFrame:
    """ALARM Supplementary A8: the scores as weighted sums, a row a term.

    Parameters
    ----------
    scores : mapping of str to LinearScore
        Score by its printed name.
    digits : int
        Decimal places of the weights.

    Returns
    -------
    pandas.DataFrame
        Strings; rows by score and term, columns Weight (of the standardised value), Mean and SD (of the value, to
        five significant digits). The first term of a score is its intercept; a score of no feature has only that.

    Raises
    ------
    DataError
        If there is no score.

    References
    ----------
    ALARM, Supplementary A8.
    """
    if not scores:
        raise DataError("formulas", "must have at least one score", "none", "Give the model's scores by name.")
    index, rows = [], []
    for title, score in scores.items():
        index.append((title, "Intercept"))
        rows.append({"Weight": decimal_text(score.intercept, digits), "Mean": "", "SD": ""})
        for name, mean, scale, weight in zip(score.names, score.means, score.scales, score.coefficients, strict=True):
            index.append((title, feature_title(name) if "." in name else variable_title(name)))
            rows.append({"Weight": decimal_text(weight, digits), "Mean": _significant(mean), "SD": _significant(scale)})
    return pd.DataFrame(rows, index=pd.MultiIndex.from_tuples(index, names=["Score", "Term"]))


def _significant(value: float) -> str:
    return f"{value:.5g}".replace("-", "−")


def alarm_workflow(cohorts: pd.DataFrame, selection: pd.DataFrame) -> pd.DataFrame:
    """ALARM's workflow in steps, with this run's numbers, as `hccbook.report.figures.plot_workflow` draws it.

    Parameters
    ----------
    cohorts : pandas.DataFrame
        Columns cohort, n, events; a row a cohort.
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

    References
    ----------
    ALARM, Fig. 1.
    """
    require_columns(cohorts, ("cohort", "n", "events"), "cohorts")
    require_columns(selection, ("block", "step", "features"), "selection counts")

    def features(step: str) -> tuple[str, str]:
        found = selection[selection["step"] == step].set_index("block")["features"]
        if sorted(found.index) != ["deep", "radiomics"]:
            raise DataError(
                f"selection counts, {step}", "must have radiomics and deep", ", ".join(found.index), "Refit the model."
            )
        return decimal_text(found["radiomics"], 0), decimal_text(found["deep"], 0)

    def left(step: str) -> str:
        return "{} radiomics, {} deep".format(*features(step))

    extracted = features("extracted")
    patients = [
        (
            cohort_title(row.cohort).removesuffix(" cohort"),
            f"{decimal_text(row.n, 0)} patients, {decimal_text(row.events, 0)} HCC",
        )
        for row in cohorts.itertuples()
    ]
    # By stage: whether its steps follow one another, and the steps.
    steps = {
        "Patients": (False, patients),
        "CT": (
            True,
            [
                ("Three phases", "3 to 12 months before HCC or the last visit"),
                ("Preprocessing", "resampled, window 200 HU, level 40"),
                ("Liver", "segmented by a network"),
            ],
        ),
        "Features": (
            False,
            [("Radiomics", f"{extracted[0]} features"), ("3D ResNet-50", f"{extracted[1]} features")],
        ),
        "Selection": (
            True,
            [
                ("Mann-Whitney", left("mann_whitney")),
                ("Spearman", left("spearman")),
                ("LASSO", left("lasso")),
            ],
        ),
        "Model": (
            True,
            [
                ("Scores", "radiomics, deep learning, aMAP"),
                ("Borderline-SMOTE", "the discovery cohort balanced"),
                ("ALARM", "logistic regression"),
            ],
        ),
        "Evaluation": (
            False,
            [
                ("Discrimination", "ROC, DeLong, NRI, IDI"),
                ("Calibration, net benefit", "curves by cohort"),
                ("Risk groups", "X-tile, incidence, subgroups"),
            ],
        ),
    }
    rows = [
        (stage, step, detail, ordered and position > 0)
        for stage, (ordered, given) in steps.items()
        for position, (step, detail) in enumerate(given)
    ]
    return pd.DataFrame(rows, columns=["stage", "step", "detail", "follows"])


def _calibration_text(value: float, places: int) -> str:
    # The slope has no finite estimate where the predictions separate the outcomes.
    if not _absent(value) and math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return decimal_text(value, places)


def beside_printed(
    measured: pd.DataFrame,
    printed: pd.DataFrame,
    on: str | Sequence[str] | None = None,
    *,
    places: int = 3,
    measured_title: str = "This run",
    printed_title: str = "Paper",
) -> pd.DataFrame:
    """Values of this run beside the paper's printed ones.

    Parameters
    ----------
    measured, printed : pandas.DataFrame
        Key columns and ``value``, with or without ``lower``, ``upper`` and ``decimals`` (places of that row).
        A value or bound that is text is printed as it is, so that a paper's own digits stay.
    on : str or sequence of str, optional
        Key columns; where not given, all columns that both have besides value, lower, upper and decimals.
    places : int
        Decimal places of numbers in rows whose ``decimals`` do not say.
    measured_title, printed_title : str
        Headings of the two columns.

    Returns
    -------
    pandas.DataFrame
        Strings; a row a key, those of `measured` first in its order and then those that are only printed;
        ``n.a.`` where one side has no value. No difference is taken.

    Raises
    ------
    DataError
        If a key column is missing, the frames share none, or a key is there twice.
    """
    values = ("value", "lower", "upper", "decimals")
    if on is None:
        on = [name for name in measured.columns if name in printed.columns and name not in values]
    on = [on] if isinstance(on, str) else list(on)
    if not on:
        raise DataError(
            "measured and printed values", "must share a key column", "none in common", "Name the same columns in both."
        )
    sides = {}
    for place, table in (("measured values", measured), ("printed values", printed)):
        require_columns(table, [*on, "value"], place)
        keys = list(table[on].astype(str).itertuples(index=False, name=None))
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise DataError(place, f"must have one row a {', '.join(on)}", f"{' / '.join(twice)} twice", "Drop one.")
        given = [table[name] if name in table.columns else [None] * len(table) for name in values]
        sides[place] = {key: _as_printed(*row, places) for key, *row in zip(keys, *given, strict=True)}
    ours, theirs = sides["measured values"], sides["printed values"]
    order = _in_order([*ours, *theirs])
    laid = pd.DataFrame(order, columns=pd.Index(on))
    laid[measured_title] = [ours.get(key, UNDEFINED) for key in order]
    laid[printed_title] = [theirs.get(key, UNDEFINED) for key in order]
    return laid


def as_printed(numbers: pd.DataFrame) -> pd.DataFrame:
    """A paper's table, cell by cell as it prints them.

    Parameters
    ----------
    numbers : pandas.DataFrame
        Columns row, column, value, lower, upper, all text as printed; several numbers of one cell follow one another.

    Returns
    -------
    pandas.DataFrame
        Strings; rows and columns in the order of print; an empty cell where the paper prints none.

    Raises
    ------
    DataError
        If a column is missing.
    """
    require_columns(numbers, ("row", "column", "value", "lower", "upper"), "printed numbers")
    cells: dict[tuple[str, str], str] = {}
    for number in numbers.itertuples():
        limits = f" [{number.lower}, {number.upper}]" if number.lower and number.upper else ""
        text = number.value + limits
        place = (number.row, number.column)
        # A count is followed by its percentage.
        cells[place] = f"{cells[place]} ({text})" if place in cells else text
    laid = pd.DataFrame(
        "", index=_in_order(numbers["row"]), columns=pd.Index(_in_order(numbers["column"])), dtype=object
    )
    for (row, column), text in cells.items():
        laid.loc[row, column] = text
    return laid


def _as_printed(value: object, lower: object, upper: object, decimals: float | None, places: int) -> str:
    if not _absent(decimals) and decimals != "":
        places = int(decimals)
    value, lower, upper = (
        part if isinstance(part, str) and part else decimal_text(None if part == "" else part, places)
        for part in (value, lower, upper)
    )
    if lower == upper == UNDEFINED or value == UNDEFINED:
        return value
    if UNDEFINED in (lower, upper):
        return f"{value} ({UNDEFINED})"
    joint = " to " if lower[0] in "-−" or upper[0] in "-−" else "–"
    return f"{value} ({lower}{joint}{upper})"


def caption_synthetic(table: pd.DataFrame, caption: str, *, synthetic: bool = True) -> Styler:
    """Table with its caption, which begins with SYNTHETIC where the patients are simulated.

    Parameters
    ----------
    table : pandas.DataFrame
        Typeset table.
    caption : str
        What the table shows.
    synthetic : bool
        Whether the patients are simulated.

    Returns
    -------
    pandas.io.formats.style.Styler
        Renders as HTML in a notebook; ``<`` and ``&`` in cells are escaped, and the same table gives the same HTML.
    """
    text = html.escape(caption)
    if synthetic:
        text = f"<strong>{html.escape(SYNTHETIC_NOTICE)}</strong> {text}"
    # The identifier that pandas puts into the HTML is random unless given.
    identity = hashlib.sha256((text + table.to_csv()).encode()).hexdigest()[:12]
    return (
        table.style.set_uuid(identity)
        .set_caption(text)
        .format(escape="html", na_rep=UNDEFINED)
        .format_index(escape="html", axis=0)
        .format_index(escape="html", axis=1)
        .set_table_styles(
            [
                {"selector": "caption", "props": "caption-side: top; text-align: left;"},
                {"selector": "th, td", "props": "text-align: left; white-space: nowrap;"},
            ]
        )
    )


# --- aMAP-CT, item by item --------------------------------------------------------------------------------------------

SUBGROUP_PERFORMANCE_COLUMNS = ("characteristic", "level", *PERFORMANCE_COLUMNS)
COMPARISON_COLUMNS = (
    "cohort", "model", "horizon", "n", "events", "missing", "auc", "lower", "upper", "p", "p_holm", "note",
)  # fmt: skip
HAZARD_RATIO_COLUMNS = (
    "cohort", "model", "group", "reference", "step", "n", "events", "n_reference", "events_reference", "hazard_ratio",
    "lower", "upper", "p", "p_proportional", "method", "note",
)  # fmt: skip
RATE_COLUMNS = ("cohort", "group", "n", "events", "person_years", "rate", "lower", "upper", "note")
HORIZON_AUC_COLUMNS = (
    "cohort", "model", "months", "cases", "controls", "unknown", "auc", "lower", "upper", "binary_auc", "note",
)  # fmt: skip
TRADEOFF_COLUMNS = (
    "amap_cutoff", "ct_cutoff", "n", "events", "spared", "spared_share", "spared_lower", "spared_upper", "missed",
    "missed_share", "missed_lower", "missed_upper", "lost", "high",
)  # fmt: skip

_IMAGE_FACT_TITLES = MappingProxyType(
    {
        "source_spacing_x_mm": ("Pixel edge, mm", 2),
        "source_spacing_z_mm": ("Slice distance, mm", 2),
        "source_size_x": ("Pixels a row", 0),
        "source_size_z": ("Slices", 0),
        "liver.original_firstorder_Median": ("Liver median, HU", 0),
        "liver.original_firstorder_InterquartileRange": ("Liver interquartile range, HU", 0),
        "spleen.original_firstorder_Median": ("Spleen median, HU", 0),
        "spleen.original_firstorder_InterquartileRange": ("Spleen interquartile range, HU", 0),
    }
)


def amap_ct_table_3(auc: pd.DataFrame, performance: pd.DataFrame, *, intervals: bool = False) -> pd.DataFrame:
    """aMAP-CT Table 3 and Supplementary Table 6: performance in the cohorts and their subgroups.

    F1 is ``n.a.`` where nobody with HCC was called high-risk, as the paper prints it: neither sensitivity nor PPV is
    above 0, so that their harmonic mean does not exist.

    Parameters
    ----------
    auc : pandas.DataFrame
        Tidy, with `SUBGROUP_COLUMNS`; its row "all" of a cohort comes first.
    performance : pandas.DataFrame
        Tidy, with `SUBGROUP_PERFORMANCE_COLUMNS`; the whole cohort has the characteristic "all"; one cut-off only.
    intervals : bool
        Whether the 95% confidence intervals are given, as in Supplementary Table 6.

    Returns
    -------
    pandas.DataFrame
        Strings; rows by cohort, characteristic and level, columns n, HCC, AUC and the six measures.

    Raises
    ------
    DataError
        If a column is missing, there are several cut-offs, or a subgroup is there twice.

    References
    ----------
    aMAP-CT, Table 3; Supplementary Table 6.
    """
    require_columns(auc, SUBGROUP_COLUMNS, "AUC in subgroups")
    require_columns(performance, SUBGROUP_PERFORMANCE_COLUMNS, "performance in subgroups")
    cutoffs = _in_order(performance["cutoff"])
    if len(cutoffs) > 1:
        found = ", ".join(map(str, cutoffs))
        raise DataError("performance in subgroups", "must have one cut-off", found, "Select the rows of one cut-off.")

    def cell(value: float, lower: float, upper: float) -> str:
        return _area_text(value, lower, upper) if intervals else decimal_text(value, 3)

    lines = {}
    for area in auc.itertuples():
        place = f"subgroups, {area.cohort}, {area.characteristic} {area.level}"
        share = 100 * area.events / area.n if area.n else math.nan
        line = {"n": decimal_text(area.n, 0), "HCC, n (%)": count_text(area.events, share) if area.n else "0"}
        line["AUC"] = cell(area.auc, area.lower, area.upper)
        own = performance[
            (performance["cohort"] == area.cohort)
            & (performance["characteristic"] == area.characteristic)
            & (performance["level"].astype(str) == str(area.level))
        ]
        for measure, title in MEASURE_TITLES.items():
            found = _one_row(own[own["measure"] == measure], place)
            empty = found is None or (measure == "f1" and found["numerator"] == 0)
            line[title] = UNDEFINED if empty else cell(found["value"], found["lower"], found["upper"])
        whole = area.characteristic == "all"
        key = (
            cohort_title(area.cohort),
            "" if whole else _title(_SUBGROUP_CHARACTERISTICS, area.characteristic),
            "All patients" if whole else group_title(area.level),
        )
        if key in lines:
            raise DataError(place, "must be there once", "twice", "Drop the duplicates.")
        lines[key] = line
    laid = pd.DataFrame.from_dict(lines, orient="index")
    laid.index = pd.MultiIndex.from_tuples(list(lines), names=["Cohort", "Characteristic", "Level"])
    return laid


_SUBGROUP_CHARACTERISTICS = MappingProxyType({"sex": "Sex", "age": "Age, years", "amap_group": "aMAP score"})


def amap_ct_table_4(comparison: pd.DataFrame) -> pd.DataFrame:
    """aMAP-CT Table 4: AUC of every score, a row a cohort.

    Parameters
    ----------
    comparison : pandas.DataFrame
        Tidy, with `COMPARISON_COLUMNS`.

    Returns
    -------
    pandas.DataFrame
        Strings; a column a score (and its horizon, where it has one): ``AUC (95% CI)``, ``*`` where DeLong's p
        against aMAP-CT is below 0.05, ``**`` where it is so after Holm's adjustment over the scores of the cohort
        too, and how many patients have the score where not all do. Where there is no AUC, the note.

    Raises
    ------
    DataError
        If a column is missing or a score is there twice in a cohort.

    References
    ----------
    aMAP-CT, Table 4.
    """
    require_columns(comparison, COMPARISON_COLUMNS, "comparison of scores")
    lines, titles = {}, _score_titles(comparison)
    for cohort in _in_order(comparison["cohort"]):
        line = {}
        for title in _in_order(titles):
            row = _one_row(
                comparison[(comparison["cohort"] == cohort) & (titles == title)],
                f"comparison of scores, {cohort}, {title}",
            )
            line[title] = UNDEFINED if row is None else _compared(row)
        lines[cohort_title(cohort)] = line
    laid = pd.DataFrame.from_dict(lines, orient="index")
    laid.index.name = "Cohort"
    return laid


def _score_titles(comparison: pd.DataFrame) -> pd.Series:
    """Printed name of each row's score, with its horizon where it has one of its own."""
    horizons = ["" if _absent(horizon) else f" ({horizon:g} months)" for horizon in comparison["horizon"].astype(float)]
    return comparison["model"].map(model_title) + pd.Series(horizons, index=comparison.index)


def _area_text(auc: float, lower: float, upper: float) -> str:
    """AUC with its interval, or the word that it has none."""
    if not _absent(auc) and _absent(lower):
        return f"{decimal_text(auc, 3)} (no interval)"
    return estimate_text(auc, lower, upper)


def _compared(row: pd.Series) -> str:
    text = _noted(row, "auc") if _absent(row["auc"]) else _area_text(row["auc"], row["lower"], row["upper"])
    if not _absent(row["p"]):
        text += "**" if row["p_holm"] < 0.05 else "*" if row["p"] < 0.05 else ""
    return text + (f" [n = {decimal_text(row['n'], 0)}]" if row["missing"] else "")


def amap_ct_table_s7(comparison: pd.DataFrame, performance: pd.DataFrame) -> pd.DataFrame:
    """aMAP-CT Supplementary Table 7: each score's AUC and its high-risk group, tested against aMAP-CT's.

    Parameters
    ----------
    comparison : pandas.DataFrame
        Tidy, with `COMPARISON_COLUMNS`.
    performance : pandas.DataFrame
        Columns cohort, model, measure, value, lower, upper, p, p_holm, as
        `hccbook.evaluation.high_risk_performance` gives.

    Returns
    -------
    pandas.DataFrame
        Strings; rows by cohort and score: HCC/n, AUC, DeLong's p and Holm's adjustment of it, sensitivity, McNemar's
        p and Holm's, specificity, PPV, NPV, note.

    Raises
    ------
    DataError
        If a column is missing or a score is there twice in a cohort.

    References
    ----------
    aMAP-CT, Supplementary Table 7.
    """
    require_columns(comparison, COMPARISON_COLUMNS, "comparison of scores")
    columns = ("cohort", "model", "measure", "value", "lower", "upper", "p", "p_holm")
    require_columns(performance, columns, "performance of scores")
    lines = {}
    for area, title in zip(comparison.itertuples(), _score_titles(comparison), strict=True):
        place = f"{area.cohort}, {title}"
        same = (performance["cohort"] == area.cohort) & (performance["model"] == area.model)
        # A horizon of its own is another outcome than that of the high-risk groups.
        own = performance[same & _absent(area.horizon)]
        by_measure = {name: _one_row(rows, place) for name, rows in own.groupby("measure")}
        first = by_measure.get("sensitivity")
        line = {
            "HCC/n": f"{decimal_text(area.events, 0)}/{decimal_text(area.n, 0)}",
            "AUC (95% CI)": _area_text(area.auc, area.lower, area.upper),
            "DeLong p": p_text(area.p),
            "Holm p": p_text(area.p_holm),
        }
        for name in ("sensitivity", "specificity", "ppv", "npv"):
            row = by_measure.get(name)
            text = UNDEFINED if row is None else estimate_text(row["value"], row["lower"], row["upper"])
            line[MEASURE_TITLES[name]] = text
            if name == "sensitivity":
                line["McNemar p"] = p_text(None if first is None else first["p"])
                line["Holm p (sensitivity)"] = p_text(None if first is None else first["p_holm"])
        line["Note"] = area.note
        lines[(cohort_title(area.cohort), title)] = line
    laid = pd.DataFrame.from_dict(lines, orient="index")
    laid.index = pd.MultiIndex.from_tuples(list(lines), names=["Cohort", "Score"])
    return laid


def hazard_ratio_table(hazard_ratios: pd.DataFrame) -> pd.DataFrame:
    """Hazard ratios of HCC, of risk groups or a step of a score.

    Parameters
    ----------
    hazard_ratios : pandas.DataFrame
        Tidy, with `HAZARD_RATIO_COLUMNS`.

    Returns
    -------
    pandas.DataFrame
        Strings; rows by cohort and model; what is compared, HCC/n of both groups, ``HR (95% CI)``, p, p of
        proportional hazards, method, note.

    Raises
    ------
    DataError
        If a column is missing.

    References
    ----------
    aMAP-CT, Supplementary Table 5.
    """
    require_columns(hazard_ratios, HAZARD_RATIO_COLUMNS, "hazard ratios")
    rows, index = [], []
    for row in hazard_ratios.itertuples():
        index.append((cohort_title(row.cohort) if row.cohort else "All", model_title(row.model)))
        groups = f"{group_title(row.group)} against {group_title(row.reference).lower()}" if row.group else row.step
        counts = f"{decimal_text(row.events, 0)}/{decimal_text(row.n, 0)}"
        if row.group:
            counts += f" against {decimal_text(row.events_reference, 0)}/{decimal_text(row.n_reference, 0)}"
        infinite = any(math.isinf(bound) for bound in (row.lower, row.upper) if not _absent(bound))
        limits = (row.hazard_ratio, row.lower, 1e9 if infinite else row.upper)
        rows.append(
            {
                "Compared": groups,
                "HCC/n": counts,
                "HR (95% CI)": odds_ratio_text(*limits),
                "p": p_text(row.p),
                "p (proportional hazards)": p_text(row.p_proportional),
                "Method": str(row.method).capitalize(),
                "Note": row.note,
            }
        )
    return pd.DataFrame(rows, index=pd.MultiIndex.from_tuples(index, names=["Cohort", "Model"]))


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
    require_columns(rates, RATE_COLUMNS, "annual incidence")
    index = [(cohort_title(row.cohort) if row.cohort else "All", group_title(row.group)) for row in rates.itertuples()]
    laid = {
        "n": [decimal_text(value, 0) for value in rates["n"]],
        "HCC": [decimal_text(value, 0) for value in rates["events"]],
        "Person-years": [decimal_text(value, 1) for value in rates["person_years"]],
        "HCC per 100 person-years (95% CI)": [
            percent_text(*triple) for triple in rates[["rate", "lower", "upper"]].itertuples(index=False, name=None)
        ],
        "Note": list(rates["note"]),
    }
    return pd.DataFrame(laid, index=pd.MultiIndex.from_tuples(index, names=["Cohort", "Group"]))


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
    require_columns(auc, HORIZON_AUC_COLUMNS, "AUC at a horizon")
    index, rows = [], []
    for row in auc.itertuples():
        index.append((cohort_title(row.cohort), model_title(row.model), f"{row.months:g} months"))
        rows.append(
            {
                "HCC by then": decimal_text(row.cases, 0),
                "Free of HCC": decimal_text(row.controls, 0),
                "Unknown": decimal_text(row.unknown, 0),
                "AUC (95% CI)": _area_text(row.auc, row.lower, row.upper),
                "Binary AUC": decimal_text(row.binary_auc, 3),
                "Note": row.note,
            }
        )
    return pd.DataFrame(rows, index=pd.MultiIndex.from_tuples(index, names=["Cohort", "Model", "Horizon"]))


def amap_ct_table_s1(centres: pd.DataFrame) -> pd.DataFrame:
    """aMAP-CT Supplementary Table 1: the centres.

    Parameters
    ----------
    centres : pandas.DataFrame
        Columns centre, cohorts, n, events, median_months, person_years, rate, lower, upper, note.

    Returns
    -------
    pandas.DataFrame
        Strings; a row a centre.

    Raises
    ------
    DataError
        If a column is missing.

    References
    ----------
    aMAP-CT, Supplementary Table 1.
    """
    columns = ("centre", "cohorts", "n", "events", "median_months", "person_years", "rate", "lower", "upper", "note")
    require_columns(centres, columns, "centres")
    laid = {
        "Cohorts": [
            ", ".join(cohort_title(one).removesuffix(" cohort") for one in listed.split(", "))
            for listed in centres["cohorts"]
        ],
        "Patients": [decimal_text(value, 0) for value in centres["n"]],
        "HCC": [decimal_text(value, 0) for value in centres["events"]],
        "Median follow-up, months": [decimal_text(value, 1) for value in centres["median_months"]],
        "HCC per 100 person-years (95% CI)": [
            percent_text(*triple) for triple in centres[["rate", "lower", "upper"]].itertuples(index=False, name=None)
        ],
        "Note": list(centres["note"]),
    }
    return pd.DataFrame(laid, index=pd.Index(centres["centre"], name="Centre"))


def amap_ct_table_s2(images: pd.DataFrame) -> pd.DataFrame:
    """aMAP-CT Supplementary Table 2: what the images of each centre are like, over all phases or of one.

    Parameters
    ----------
    images : pandas.DataFrame
        Columns centre, phase, characteristic, n, median, q1, q3, least, greatest.

    Returns
    -------
    pandas.DataFrame
        Strings; rows by centre and phase; the grid as median (least to greatest), HU as median (quartiles).

    Raises
    ------
    DataError
        If a column is missing.

    References
    ----------
    aMAP-CT, Supplementary Table 2.
    """
    columns = ("centre", "phase", "characteristic", "n", "median", "q1", "q3", "least", "greatest")
    require_columns(images, columns, "image characteristics")
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for row in images.itertuples():
        line = lines.setdefault((row.centre, str(row.phase).capitalize()), {})
        title, places = _IMAGE_FACT_TITLES.get(row.characteristic, (row.characteristic, 1))
        line.setdefault("Patients", decimal_text(row.n, 0))
        limits = (row.q1, row.q3) if "firstorder" in row.characteristic else (row.least, row.greatest)
        line[title] = estimate_text(row.median, *limits, places)
    laid = pd.DataFrame.from_dict(lines, orient="index")
    laid.index = pd.MultiIndex.from_tuples(list(lines), names=["Centre", "Phase"])
    return laid


def ibsi_settings(extraction: Mapping[str, object], spacing_mm: float, images: Sequence[str]) -> pd.DataFrame:
    """aMAP-CT Supplementary Table 3: how the radiomics features were made, in the terms of the IBSI.

    Parameters
    ----------
    extraction : mapping
        Fields of `hccbook.features.radiomics.ExtractionSettings`, as its ``model_dump`` gives them.
    spacing_mm : float
        Edge of the working voxels, mm.
    images : sequence of str
        Names of the images that features come from.

    Returns
    -------
    pandas.DataFrame
        Columns step, parameter, value; strings.

    References
    ----------
    Zwanenburg et al. 2020, Radiology 295:328 (IBSI, reporting). aMAP-CT, Supplementary Table 3.
    """
    lower, upper = extraction["window_lower"], extraction["window_upper"]
    count = extraction["bin_count"]
    spread = "averaged over directions" if extraction["weighting_norm"] is None else str(extraction["weighting_norm"])
    window = "none" if lower is None and upper is None else f"clipped to {lower:g} to {upper:g} HU"
    bins = f"fixed size of {extraction['bin_width']:g} HU" if count is None else f"fixed number of {count}"
    rows = [
        ("Image", "Modality and unit", "CT, HU"),
        ("Image", "Phases", "each on its own, moved onto the venous one"),
        ("Interpolation", "Voxel edge", f"{spacing_mm:g} mm, isotropic"),
        ("Interpolation", "Image", "linear, after a Gaussian where voxels grow by more than half"),
        ("Interpolation", "Mask", "nearest neighbour"),
        ("Intensities", "Range", window),
        ("Intensities", "Normalisation", "z-score" if extraction["normalize"] else "none"),
        ("Intensities", "Re-segmentation", "none" if extraction["resegment_range"] is None else "by range"),
        ("Filters", "Images", f"{len(images)}: {', '.join(images)}"),
        ("Filters", "Wavelet", f"{extraction['wavelet']}, {extraction['wavelet_levels']} level, undecimated"),
        ("Discretisation", "Bins", bins),
        ("Discretisation", "Edges", "multiples of the width, from the one below the smallest intensity"),
        ("Texture", "Neighbours", "within slices" if extraction["force_2d"] else "in three dimensions"),
        ("Texture", "Distances", ", ".join(str(one) for one in extraction["distances"]) + " voxel"),
        ("Texture", "Symmetric co-occurrence", "yes" if extraction["symmetrical_glcm"] else "no"),
        ("Texture", "Directions", spread),
        ("Texture", "GLDM difference", str(extraction["gldm_alpha"])),
        ("Features", "Classes", ", ".join(_title(FEATURE_CLASS_TITLES, one) for one in extraction["feature_classes"])),
    ]
    return pd.DataFrame(rows, columns=["step", "parameter", "value"])


def coefficient_table(weights: pd.DataFrame) -> pd.DataFrame:
    """aMAP-CT Supplementary Table 4: selected features with their coefficients.

    Parameters
    ----------
    weights : pandas.DataFrame
        Columns feature (``<phase>.<organ>.<name>``) and coefficient (of the standardised feature).

    Returns
    -------
    pandas.DataFrame
        Strings; rows by phase, organ and feature in the order of the frame, column Coefficient.
        Where nothing was selected, one row says so.

    Raises
    ------
    DataError
        If a column is missing.

    References
    ----------
    aMAP-CT, Supplementary Table 4.
    """
    names = ["Phase", "Organ", "Feature"]
    if weights.empty:
        nothing = pd.MultiIndex.from_tuples([("none", "none", "none was selected")], names=names)
        return pd.DataFrame({"Coefficient": [UNDEFINED]}, index=nothing)
    require_columns(weights, ("feature", "coefficient"), "coefficients")
    parts = [str(name).split(".", 2) for name in weights["feature"]]
    index = [(phase.capitalize(), organ.capitalize(), name.replace("_", " ")) for phase, organ, name in parts]
    cells = {"Coefficient": [decimal_text(value, 3) for value in weights["coefficient"]]}
    return pd.DataFrame(cells, index=pd.MultiIndex.from_tuples(index, names=names))


def amap_ct_table_s8(comparisons: pd.DataFrame, weights: pd.DataFrame) -> pd.DataFrame:
    """aMAP-CT Supplementary Table 8: what adding the spleen's volume does.

    Parameters
    ----------
    comparisons : pandas.DataFrame
        Tidy, with `DELONG_COLUMNS`: the model with the volume, compared with the one without.
    weights : pandas.DataFrame
        Columns model, term, weight, as `hccbook.models.AmapCtFamily.weights` gives.

    Returns
    -------
    pandas.DataFrame
        Strings; rows by cohort and model: AUC with and without the volume, ``Difference (95% CI)``, DeLong's p, and
        the volume's weight (log odds a standard deviation in the training cohort), note.

    Raises
    ------
    DataError
        If a column is missing.

    References
    ----------
    aMAP-CT, Discussion; Supplementary Table 8.
    """
    require_columns(comparisons, DELONG_COLUMNS, "model comparisons")
    require_columns(weights, ("model", "term", "weight"), "weights")
    rows, index = [], []
    for row in comparisons.itertuples():
        own = weights[(weights["model"] == row.model) & (weights["term"] == "spleen_volume_ml")]
        index.append((cohort_title(row.cohort), model_title(row.model)))
        rows.append(
            {
                "AUC with volume": decimal_text(row.auc, 3),
                "AUC without": decimal_text(row.auc_compared, 3),
                "Difference (95% CI)": estimate_text(row.difference, row.lower, row.upper),
                "p": p_text(row.p),
                "Weight of the volume": decimal_text(own["weight"].iloc[0] if len(own) else None, 2),
                "Note": row.note,
            }
        )
    return pd.DataFrame(rows, index=pd.MultiIndex.from_tuples(index, names=["Cohort", "Model"]))


def reclassification_table(flows: pd.DataFrame) -> pd.DataFrame:
    """From aMAP's three groups to the two of the stepwise strategy: HCC and patients.

    Parameters
    ----------
    flows : pandas.DataFrame
        Columns source, target, n, events, from aMAP groups (``aMAP low``) to CT groups (``aMAP-CT high``).

    Returns
    -------
    pandas.DataFrame
        Strings, ``HCC/n``; rows by aMAP group, columns by CT group, an empty cell where there is nobody.

    Raises
    ------
    DataError
        If a column is missing, or no flow starts at aMAP.

    References
    ----------
    aMAP-CT, Fig. 4A.
    """
    require_columns(flows, ("source", "target", "n", "events"), "flows")
    first = flows[flows["source"].str.startswith("aMAP ") & flows["target"].str.startswith("aMAP-CT ")]
    require_columns(first, ("source", "target"), "flows from aMAP to aMAP-CT")
    laid: dict[str, dict[str, str]] = {}
    targets = [name for name in ("not needed", "low", "high") if f"aMAP-CT {name}" in set(first["target"])]
    for source in _in_order(first["source"]):
        own = first[first["source"] == source].set_index("target")
        laid[group_title(source.removeprefix("aMAP "))] = {
            f"aMAP-CT {name}": f"{own.loc[f'aMAP-CT {name}', 'events']}/{own.loc[f'aMAP-CT {name}', 'n']}"
            if f"aMAP-CT {name}" in own.index
            else ""
            for name in targets
        }
    table = pd.DataFrame.from_dict(laid, orient="index")
    table.index.name = "aMAP, HCC/n"
    return table


def tradeoff_table(tradeoff: pd.DataFrame) -> pd.DataFrame:
    """CTs spared against cancers missed, a row a pair of cut-offs.

    Parameters
    ----------
    tradeoff : pandas.DataFrame
        Tidy, with `TRADEOFF_COLUMNS`, of one cohort.

    Returns
    -------
    pandas.DataFrame
        Strings; rows by aMAP and aMAP-CT cut-off: ``CTs spared, % (95% CI)``, ``Cancers missed, % (95% CI)`` with
        their counts, those lost by sparing CTs, and the size of the high-risk group.

    Raises
    ------
    DataError
        If a column is missing.
    """
    require_columns(tradeoff, TRADEOFF_COLUMNS, "stepwise trade-off")
    index, rows = [], []
    for row in tradeoff.itertuples():
        index.append((f"{row.amap_cutoff:g}", decimal_text(row.ct_cutoff, 3)))
        spared = percent_text(row.spared_share, row.spared_lower, row.spared_upper)
        missed = percent_text(row.missed_share, row.missed_lower, row.missed_upper)
        rows.append(
            {
                "CTs spared, % (95% CI)": f"{spared} [{row.spared}/{row.n}]",
                "Cancers missed, % (95% CI)": f"{missed} [{row.missed}/{row.events}]",
                "Of these lost by sparing CTs": decimal_text(row.lost, 0),
                "High-risk, n": decimal_text(row.high, 0),
            }
        )
    return pd.DataFrame(rows, index=pd.MultiIndex.from_tuples(index, names=["aMAP cut-off", "aMAP-CT cut-off"]))


def amap_ct_workflow(cohorts: pd.DataFrame, selection: pd.DataFrame) -> pd.DataFrame:
    """aMAP-CT's pipeline in steps, with this run's numbers, as `hccbook.report.figures.plot_workflow` draws it.

    Parameters
    ----------
    cohorts : pandas.DataFrame
        Columns cohort, n, events; a row a cohort.
    selection : pandas.DataFrame
        Columns organ, kind ("radiomics", "deep"), extracted, selected (features); a row an organ and kind.

    Returns
    -------
    pandas.DataFrame
        Columns stage, step, detail, follows.

    Raises
    ------
    DataError
        If a column is missing.

    References
    ----------
    aMAP-CT, Supplementary Fig. 1.
    """
    require_columns(cohorts, ("cohort", "n", "events"), "cohorts")
    require_columns(selection, ("organ", "kind", "extracted", "selected"), "selection counts")
    patients = [
        (
            cohort_title(row.cohort).removesuffix(" cohort"),
            f"{decimal_text(row.n, 0)} patients, {decimal_text(row.events, 0)} HCC",
        )
        for row in cohorts.itertuples()
    ]
    kinds = {"radiomics": "radiomics", "deep": "ResNet-18"}
    extracted = [
        (
            f"{str(row.organ).capitalize()}, {kinds.get(row.kind, row.kind)}",
            f"{decimal_text(row.extracted, 0)} features",
        )
        for row in selection.itertuples()
    ]
    by_organ = selection.groupby("organ", sort=False)["selected"].sum()
    chosen = ", ".join(f"{decimal_text(count, 0)} {organ}" for organ, count in by_organ.items())
    steps = {
        "Patients": (False, patients),
        "CT": (
            True,
            [
                ("Three phases", "at enrolment"),
                ("Liver and spleen", "segmented by a network"),
                ("Crops", "to the largest box of each organ"),
            ],
        ),
        "Features": (False, extracted),
        "Signature": (
            True,
            [
                ("LASSO", f"kept: {chosen}"),
                ("CT image score", "logistic regression on the kept features"),
                ("aMAP-CT", "logistic regression on score and aMAP"),
            ],
        ),
        "Evaluation": (
            False,
            [
                ("Discrimination", "ROC, other scores, subgroups"),
                ("Incidence", "risk groups over time, hazard ratios"),
                ("Stepwise use", "aMAP first, then aMAP-CT"),
            ],
        ),
    }
    rows = [
        (stage, step, detail, ordered and position > 0)
        for stage, (ordered, given) in steps.items()
        for position, (step, detail) in enumerate(given)
    ]
    return pd.DataFrame(rows, columns=["stage", "step", "detail", "follows"])


SEGMENTATION_COLUMNS = ("n", "mean", "least", "p5", "hd95_mm", "surface_dice", "tolerance_mm")


def segmentation_table(groups: pd.DataFrame) -> pd.DataFrame:
    """How good the masks are, a row a group of them.

    Parameters
    ----------
    groups : pandas.DataFrame
        Any of the columns paper, organ, phase and centre, which make the rows; then `SEGMENTATION_COLUMNS`:
        masks, mean, least and 5th percentile of the Dice, median of the 95th percentile Hausdorff distance (mm),
        mean surface Dice, and its tolerance (mm).

    Returns
    -------
    pandas.DataFrame
        Strings; a distance that is infinite, because one of two masks is empty, is ``∞``.

    Raises
    ------
    DataError
        If a column is missing, there is no row, nothing names the rows, or the tolerances differ.
    """
    require_columns(groups, SEGMENTATION_COLUMNS, "masks")
    titles = {"paper": "Paper", "organ": "Organ", "phase": "Phase", "centre": "Centre"}
    by = [name for name in groups if name in titles]
    if not by:
        raise DataError("masks", "need organ, phase, centre or paper to name their rows", "none", "Group by one.")
    tolerances = groups["tolerance_mm"].unique()
    if len(tolerances) > 1:
        raise DataError("masks", "must have one tolerance a table", f"{len(tolerances)}", "Make a table for each.")
    surface = "Surface Dice, mean" + "".join(f" (within {value:g} mm)" for value in tolerances)
    named = groups[by].rename(columns=titles).astype(str)
    if "paper" in by:
        named["Paper"] = named["Paper"].map(model_title)
    laid = pd.DataFrame(
        {
            "Masks": [decimal_text(value, 0) for value in groups["n"]],
            "Dice, mean": [decimal_text(value, 3) for value in groups["mean"]],
            "Dice, least": [decimal_text(value, 3) for value in groups["least"]],
            "Dice, 5th percentile": [decimal_text(value, 3) for value in groups["p5"]],
            "HD95, median, mm": ["∞" if math.isinf(mm) else decimal_text(mm, 1) for mm in groups["hd95_mm"]],
            surface: [decimal_text(value, 3) for value in groups["surface_dice"]],
        }
    )
    laid.index = pd.MultiIndex.from_frame(named)
    return laid
