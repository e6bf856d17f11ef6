"""The numbers of Table 1 of either paper, from a clinical table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from hccbook.cohort.manifest import COLUMNS
from hccbook.errors import DataError
from hccbook.papers import find_paper
from hccbook.scores import amap_group

CHARACTERISTICS_COLUMNS = (
    *("characteristic", "level", "cohort", "subgroup", "n", "median", "q1", "q3", "count", "percent", "p_value"),
)
"""Columns of the tidy Table 1."""

_MIN_EXPECTED = 5.0  # expected count in every cell from which chi-square holds
_LEVELS = {
    "male": (True,),
    "hcc": (1,),
    "amap_group": ("low", "medium", "high"),
    "etiology": COLUMNS["etiology"].choices,
    "bclc": COLUMNS["bclc"].choices,
}


def characteristics(table: pd.DataFrame, paper: str) -> pd.DataFrame:
    """Medians, quartiles, counts, percentages and p-values of a paper's Table 1.

    ALARM compares patients with and without HCC within all patients and within each cohort, continuous values by the
    Mann-Whitney U test; aMAP-CT compares the three cohorts, continuous values by the Kruskal-Wallis test.
    Counts are compared by the chi-square test, of a 2 x 2 table with Yates' correction (which gives ALARM's printed
    p-values by sex), or by Fisher's exact test where an expected count of it is below 5.
    Quartiles are interpolated linearly.

    Parameters
    ----------
    table : pandas.DataFrame
        As `clinical_table` returns it; missing AFP, ALT, etiology and optional values are left out of their own rows.
    paper : {"alarm", "amap_ct"}
        Whose table.

    Returns
    -------
    pandas.DataFrame
        Columns `CHARACTERISTICS_COLUMNS`, one row per characteristic, level, cohort and subgroup, in the paper's order.
        ``level`` is empty but for characteristics with several (etiology, aMAP risk group, BCLC stage).
        ``cohort`` is ``all`` or ``overall`` or the name of a cohort; ``subgroup`` is ``non_hcc`` or ``hcc`` for ALARM
        and ``all`` for aMAP-CT. ``n`` counts patients with a value; ``percent`` is of `n`, 0 to 100.
        A comparison's p-value stands on all its rows; it is NaN for BCLC stages, and where a group is empty or all
        values are the same. In an empty group `n` and `count` are 0 and the rest NaN.

    Raises
    ------
    DataError
        If the paper is unknown, or a patient's cohort is not one of the paper's.

    References
    ----------
    ALARM, Table 1 and Methods, Statistics; aMAP-CT, Table 1 and Methods, Statistical analysis.
    """
    of_paper = find_paper(paper)
    foreign = sorted(set(table["cohort"]) - set(of_paper.cohorts))
    if foreign:
        rule, hint = f"must be one of {', '.join(of_paper.cohorts)}", "Pass the table of this paper's cohort."
        raise DataError("cohort", rule, repr(foreign[0]), hint)
    values = table.assign(male=table["sex"] == "male", amap_group=amap_group(table["amap"]))
    if of_paper.causes:
        told_apart = ("", *of_paper.causes)
        values["etiology"] = values["etiology"].map(lambda cause: cause if cause in told_apart else "other", "ignore")
    compared = {"outcomes": _rows_by_outcome, "cohorts": _rows_by_cohort}[of_paper.compares]
    rows: list[dict[str, object]] = []
    for name in of_paper.characteristics:
        if name in values and len(_known(name, values)):
            rows += compared(name, values, of_paper.cohorts)
    return pd.DataFrame(rows, columns=list(CHARACTERISTICS_COLUMNS))


def _rows_by_outcome(name: str, values: pd.DataFrame, cohorts: Sequence[str]) -> list[dict[str, object]]:
    rows = []
    for cohort in ("all", *cohorts):
        patients = values if cohort == "all" else values[values["cohort"] == cohort]
        groups = {"non_hcc": patients[patients["hcc"] == 0], "hcc": patients[patients["hcc"] == 1]}
        if name == "bclc":
            groups = {"hcc": groups["hcc"]}
        p_value = _p_value(name, list(groups.values()))
        for subgroup, group in groups.items():
            rows += _described(name, group, _levels(name, values), cohort, subgroup, p_value)
    return _by_level(rows)


def _rows_by_cohort(name: str, values: pd.DataFrame, cohorts: Sequence[str]) -> list[dict[str, object]]:
    groups = {cohort: values[values["cohort"] == cohort] for cohort in cohorts}
    p_value = _p_value(name, list(groups.values()))
    rows = []
    for cohort, group in {"overall": values, **groups}.items():
        rows += _described(name, group, _levels(name, values), cohort, "all", p_value)
    return _by_level(rows)


def _by_level(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    order = list(dict.fromkeys(row["level"] for row in rows))
    return sorted(rows, key=lambda row: order.index(row["level"]))


def _levels(name: str, values: pd.DataFrame) -> tuple[object, ...]:
    levels = _LEVELS.get(name, ())
    # Causes that nobody has take no row.
    return tuple(level for level in levels if name != "etiology" or (values[name] == level).any())


def _known(name: str, group: pd.DataFrame) -> pd.Series:
    # Text that is not given is "" in a table in memory and NaN in one read from a file.
    known = group.loc[group[name].notna() & (group[name] != ""), name]
    if name == "bclc" and pd.api.types.is_numeric_dtype(known):
        # A file in which every stage is 0 is read back as numbers.
        return known.astype(int).astype(str)
    return known


def _described(
    name: str, group: pd.DataFrame, levels: Sequence[object], cohort: str, subgroup: str, p_value: float
) -> list[dict[str, object]]:
    known = _known(name, group)
    row = {"characteristic": name, "cohort": cohort, "subgroup": subgroup, "n": len(known), "p_value": p_value}
    if not levels:
        q1, median, q3 = np.quantile(known, [0.25, 0.5, 0.75]) if len(known) else (np.nan,) * 3
        return [{**row, "level": "", "median": float(median), "q1": float(q1), "q3": float(q3)}]
    rows = []
    for level in levels:
        count = int((known == level).sum())
        shown = "" if name in ("male", "hcc") else str(level)
        percent = 100 * count / len(known) if len(known) else np.nan
        rows.append({**row, "level": shown, "count": count, "percent": percent})
    return rows


def _p_value(name: str, groups: Sequence[pd.DataFrame]) -> float:
    known = [_known(name, group) for group in groups]
    together = pd.concat(known)
    if len(known) < 2 or min(map(len, known)) == 0 or together.nunique() < 2:
        return float("nan")
    if name not in _LEVELS:
        compared = stats.mannwhitneyu(*known, alternative="two-sided") if len(known) == 2 else stats.kruskal(*known)
        return float(compared.pvalue)
    group_of = np.repeat(np.arange(len(known)), [len(group) for group in known])
    counts = stats.contingency.crosstab(group_of, together.astype(str)).count
    chi_square = stats.chi2_contingency(counts, correction=True)  # Yates, for 2 x 2 tables only
    if counts.shape == (2, 2) and chi_square.expected_freq.min() < _MIN_EXPECTED:
        return float(stats.fisher_exact(counts).pvalue)
    return float(chi_square.pvalue)
