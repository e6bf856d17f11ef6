"""High-risk groups of the published scores beside aMAP-CT's: performance, and sensitivities compared in pairs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import binomtest

from hccbook.errors import DataError
from hccbook.evaluation.comparators import REFERENCE, with_holm
from hccbook.evaluation.diagnostic import wilson_interval
from hccbook.evaluation.outcomes import by_cohort, check_binary
from hccbook.scores import POINT_SCORES, point_score_group

HIGH_RISK_COLUMNS = (
    "cohort", "model", "n", "events", "missing", "measure", "value", "lower", "upper", "numerator", "denominator",
    "only_reference", "only_model", "p", "p_holm", "note",
)  # fmt: skip
"""Columns of `high_risk_performance`."""


def high_risk_calls(scores: pd.DataFrame) -> pd.DataFrame:
    """Whom each score that adds points calls high-risk, by its own cut-off.

    Parameters
    ----------
    scores : pandas.DataFrame, shape (n_patients, n_scores)
        From `hccbook.evaluation.published_comparators`: columns by printed name, NaN where a score is missing.
        Columns with other names are left out.

    Returns
    -------
    pandas.DataFrame of float, shape (n_patients, n_point_scores)
        1 for high risk, 0 otherwise, NaN where the score is missing.

    Raises
    ------
    DataError
        If a score cannot come from its table of points.
    """
    names = {table.label: name for name, table in POINT_SCORES.items()}
    called = {}
    for label in scores.columns.intersection(list(names), sort=False):
        values = scores[label].astype(float)
        scored = values.notna()
        called[label] = pd.Series(np.nan, index=scores.index, dtype=float)
        if scored.any():
            called[label][scored] = (point_score_group(names[label], values[scored]) == "high").astype(float)
    return pd.DataFrame(called, index=scores.index)


def high_risk_performance(y: ArrayLike, called: pd.DataFrame, cohort: str | ArrayLike) -> pd.DataFrame:
    """Performance of every score's high-risk group, and whether its sensitivity differs from aMAP-CT's.

    Parameters
    ----------
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    called : pandas.DataFrame, shape (n_patients, n_scores)
        1 or True where a score calls the patient high-risk, 0 or False where not, missing where it is not defined.
        One column is aMAP-CT, missing for nobody, with which the others are compared; its rows come last.
    cohort : str or array-like, shape (n_patients,)
        Name of the one cohort, or of each patient's.

    Returns
    -------
    pandas.DataFrame
        Columns of `HIGH_RISK_COLUMNS`; measures sensitivity, specificity, ppv, npv with Wilson's 95 % interval. On the
        rows of the sensitivity: only_reference and only_model (patients with HCC whom only one of the two calls
        high-risk), p (McNemar's exact test), p_holm (Holm's adjustment over the scores of a cohort), note. A measure
        that nobody's result defines is NaN with the interval 0 to 1.

    Raises
    ------
    DataError
        If aMAP-CT is no column or missing for somebody, a value is not 0 or 1, or the patients differ.

    References
    ----------
    McNemar 1947, Psychometrika 12:153; Holm 1979, Scand J Stat 6:65. aMAP-CT, Supplementary Table 7.
    """
    if REFERENCE not in called or called[REFERENCE].isna().any():
        raise DataError("reference", "must be a column that nobody lacks", repr(REFERENCE), "Add such a column.")
    values = called.apply(pd.to_numeric).astype(float)[[*called.columns.drop(REFERENCE), REFERENCE]]
    strange = [model for model in values if not values[model].dropna().isin((0, 1)).all()]
    if strange:
        raise DataError(f"high-risk by {strange[0]}", "must be 0, 1 or missing", "another value", "Code it so.")

    def compared(outcome: pd.Series, calls: pd.DataFrame) -> pd.DataFrame:
        hcc = check_binary(outcome, both=False) == 1
        scores = [_one_score(hcc, calls[model], calls[REFERENCE]) for model in calls]
        return with_holm(pd.concat(scores, ignore_index=True))

    table = by_cohort(compared, y, values, cohort, each=None)[list(HIGH_RISK_COLUMNS)]
    return table.astype({"only_reference": "Int64", "only_model": "Int64"})


def _one_score(hcc: np.ndarray, called: pd.Series, reference: pd.Series) -> pd.DataFrame:
    scored = called.notna().to_numpy()
    missing = int((~scored).sum())
    hcc, high, base = hcc[scored], called[scored].to_numpy() == 1, reference[scored].to_numpy() == 1
    hits, rejections = int((high & hcc).sum()), int((~high & ~hcc).sum())
    count = np.array([hits, rejections, hits, rejections])
    total = np.array([hcc.sum(), (~hcc).sum(), high.sum(), (~high).sum()])
    lower, upper = wilson_interval(count, total)
    notes = [f"{missing} without the score left out"] if missing else []
    if not hcc.any():
        notes = [*notes, "no patient with HCC"] if scored.any() else ["nobody has the score"]
    only_reference, only_model, p = pd.NA, pd.NA, np.nan
    if called.name != REFERENCE and hcc.any():
        only_reference, only_model = int((base & ~high & hcc).sum()), int((~base & high & hcc).sum())
        apart = only_reference + only_model
        p = float(binomtest(only_reference, apart).pvalue) if apart else 1.0
    sizes = {"model": called.name, "n": hcc.size, "events": int(hcc.sum()), "missing": missing}
    value = np.divide(count, total, out=np.full(4, np.nan), where=total > 0)
    intervals = {"value": value, "lower": lower, "upper": upper, "numerator": count, "denominator": total}
    # The comparison stands on the row of the sensitivity alone.
    differing = {"only_reference": [only_reference, *[pd.NA] * 3], "only_model": [only_model, *[pd.NA] * 3]}
    compared = {**differing, "p": [p, *[np.nan] * 3], "note": ["; ".join(notes), "", "", ""]}
    return pd.DataFrame({**sizes, "measure": ["sensitivity", "specificity", "ppv", "npv"], **intervals, **compared})
