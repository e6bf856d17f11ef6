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

import pandas as pd
from pandas.io.formats.style import Styler

from hccbook.cohort import CHARACTERISTICS_COLUMNS
from hccbook.errors import DataError

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
        "center": "Centre, n (%)",
    }
)
"""Printed names of the clinical characteristics; a name that is not here is printed as it is."""

SUBGROUP_TITLES = MappingProxyType({"hcc": "HCC", "non_hcc": "Non-HCC", "no_hcc": "Non-HCC", "all": "All"})
"""Printed names of the outcome groups."""

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
