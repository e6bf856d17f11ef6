"""ALARM's tables, by their number in the paper."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from hccbook.errors import DataError
from hccbook.models import LinearScore
from hccbook.report.tables import cells, schemas, titles
from hccbook.report.tables.layout import Lookup, lay
from hccbook.report.tables.typesetting import cutoff_text, decimal_text, is_absent, noted_text, p_text, ratio_text

_COMPARISON: Mapping[str, cells.Cell] = {
    "Cohort": cells.COHORT,
    "Models": cells.typeset(titles.comparison_title, "model", "compared_with"),
}
_NOTED_AUC = cells.typeset(noted_text, "auc", "lower", "upper", "note")


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
    """
    schemas.require_columns(performance, schemas.PERFORMANCE_COLUMNS, "diagnostic performance")
    key = ("cohort", "measure", "cutoff")
    rows = Lookup(performance, key, "diagnostic performance, {cohort}, {measure} at {cutoff}")
    measures = ("sensitivity", "specificity", "ppv", "npv")
    lines = pd.MultiIndex.from_product([performance["cohort"].unique(), measures], names=key[:2]).to_frame(index=False)
    columns = {"Value (95% CI)": cells.estimate("value")}
    if counts:
        columns["n/N"] = cells.typeset(ratio_text, "numerator", "denominator")
    cutoffs = {value: f"Cut-off {cutoff_text(value)}" for value in sorted(performance["cutoff"].unique())}
    names = {"Cohort": cells.COHORT, "Measure": cells.typeset(titles.MEASURE_TITLES.get, "measure")}
    return lay(lines, names, rows.across("cutoff", cutoffs, columns)).rename_axis(columns=["Cut-off", ""])


def alarm_table_s2(counts: pd.DataFrame) -> pd.DataFrame:
    """ALARM Table S2: extracted features by class and image, a phase and organ (printed: 1,223 a phase, 3,669 in all).

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
    """
    schemas.require_columns(counts, schemas.FEATURE_COUNT_COLUMNS, "feature counts")
    squares = {
        key: part.pivot_table(index="image", columns="class", values="n", aggfunc="sum", sort=False)
        for key, part in counts.groupby(["phase", "organ"], sort=False)
    }
    first_key, first = next(iter(squares.items()))
    for key, square in squares.items():
        if not square.equals(first):
            place, found = f"feature counts, {' '.join(key)}", f"not {' '.join(first_key)}'s"
            raise DataError(place, "must be those of the other phases", found, "Give the columns of one feature table.")
    classes = [name for name in dict.fromkeys([*titles.FEATURE_CLASS_TITLES, *first]) if name in first]
    numbers = first[classes].rename(columns=titles.feature_class_title, index={"deep": "Deep learning"})
    laid = numbers.map(lambda n: decimal_text(n, 0) if n > 0 else "")
    laid["All"] = [decimal_text(n, 0) for n in numbers.sum(axis=1)]
    for heading, times in (("All, one phase", 1), (f"All, {len(squares)} phases", len(squares))):
        laid.loc[heading] = [decimal_text(times * n, 0) for n in (*numbers.sum(), numbers.sum().sum())]
    return laid.rename_axis(index="Image", columns=None)


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
    """
    schemas.require_columns(combinations, schemas.COMBINATION_COLUMNS, "combinations")
    rows = Lookup(combinations, ("combination", "cohort"), "combinations, {cohort}, {combination}")
    difference = cells.estimate("difference", "difference_lower", "difference_upper")
    columns = {
        "AUC (95% CI)": lambda row: _NOTED_AUC(row) + (f" [{row['missing']} left out]" if row["missing"] else ""),
        "Difference (95% CI)": lambda row: "reference" if _is_reference(row) else difference(row),
        "p": lambda row: "" if _is_reference(row) else p_text(row["p"]),
    }
    cohorts = {cohort: titles.cohort_title(cohort) for cohort in combinations["cohort"].unique()}
    lines = combinations.drop_duplicates("combination")
    laid = lay(lines, {"Image scores with": cells.plain("combination")}, rows.across("cohort", cohorts, columns))
    return laid.rename_axis(columns=["Cohort", ""])


def _is_reference(row: cells.Line) -> bool:
    return is_absent(row["difference"]) and not row["variables"] and row["note"].startswith("compared")


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
    """
    schemas.require_columns(tests, schemas.DELONG_COLUMNS, "DeLong tests")
    columns = {
        "AUC": cells.number("auc", 3),
        "AUC of the other": cells.number("auc_compared", 3),
        "Difference (95% CI)": cells.estimate("difference"),
        "z": cells.number("z", 2),
        "p": cells.P_VALUE,
        "Note": cells.NOTE,
    }
    return lay(tests, _COMPARISON, columns)


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
    """
    schemas.require_columns(nri, schemas.NRI_COLUMNS, "net reclassification")
    compared = ["cohort", "model", "compared_with"]
    rows = Lookup(nri, (*compared, "kind"), "net reclassification, {cohort}, {compared_with}")
    columns = {
        "NRI (95% CI)": cells.typeset(noted_text, "nri", "lower", "upper", "note"),
        "HCC": cells.number("events_nri", 3),
        "No HCC": cells.number("nonevents_nri", 3),
        "p": cells.P_VALUE,
    }
    kinds = {kind: str(kind).capitalize() for kind in nri["kind"].unique()}
    laid = lay(nri.drop_duplicates(compared), _COMPARISON, rows.across("kind", kinds, columns))
    return laid.rename_axis(columns=["NRI", ""])


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
    """
    schemas.require_columns(idi, schemas.IDI_COLUMNS, "integrated discrimination")
    columns = {
        "IDI (95% CI)": cells.estimate("idi"),
        "Rise with HCC": cells.number("events_change", 3),
        "Fall without HCC": cells.number("nonevents_change", 3),
        "p": cells.P_VALUE,
        "Note": cells.NOTE,
    }
    return lay(idi, _COMPARISON, columns)


def alarm_formulas(scores: Mapping[str, LinearScore]) -> pd.DataFrame:
    """ALARM Supplementary A8: the scores as weighted sums, one row per term.

    Parameters
    ----------
    scores : mapping of str to LinearScore
        Score by its printed name.

    Returns
    -------
    pandas.DataFrame
        Strings; rows by score and term, columns Weight (of the standardised value, to three places), Mean and SD (of
        the value, to five significant digits). The first term of a score is its intercept; a score of no feature has
        only that.

    Raises
    ------
    DataError
        If there is no score.
    """
    if not scores:
        raise DataError("formulas", "must have at least one score", "none", "Give the model's scores by name.")
    terms = []
    for name, score in scores.items():
        terms.append((name, "Intercept", score.intercept, None, None))
        for feature, *numbers in zip(score.names, score.coefficients, score.means, score.scales, strict=True):
            term = titles.feature_title(feature) if "." in feature else titles.variable_title(feature)
            terms.append((name, term, *numbers))
    columns = {
        "Weight": cells.number("weight", 3),
        "Mean": cells.typeset(_significant_text, "mean"),
        "SD": cells.typeset(_significant_text, "sd"),
    }
    lines = pd.DataFrame(terms, columns=["score", "term", "weight", "mean", "sd"])
    return lay(lines, {"Score": cells.plain("score"), "Term": cells.plain("term")}, columns)


def _significant_text(value: float | None) -> str:
    return "" if is_absent(value) else f"{value:.5g}".replace("-", "−")
