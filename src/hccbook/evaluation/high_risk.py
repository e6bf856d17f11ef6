"""High-risk groups of the published scores beside aMAP-CT's: performance, and sensitivities compared in pairs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import binomtest
from statsmodels.stats.multitest import multipletests

from hccbook.errors import DataError
from hccbook.evaluation.diagnostic import wilson_interval
from hccbook.evaluation.outcomes import check_binary, check_level
from hccbook.scores import POINT_SCORES, point_score_group

HIGH_RISK_COLUMNS = (
    "cohort",
    "model",
    "n",
    "events",
    "missing",
    "measure",
    "value",
    "lower",
    "upper",
    "numerator",
    "denominator",
    "only_reference",
    "only_model",
    "p",
    "p_holm",
    "note",
)
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
        known = values.notna()
        called[label] = pd.Series(np.nan, index=scores.index, dtype=float)
        if known.any():
            called[label][known] = (point_score_group(names[label], values[known]) == "high").astype(float)
    return pd.DataFrame(called, index=scores.index)


def high_risk_performance(
    y: ArrayLike,
    called: pd.DataFrame,
    cohort: str | ArrayLike,
    reference: str = "aMAP-CT",
    level: float = 0.95,
) -> pd.DataFrame:
    """Performance of every score's high-risk group, and whether its sensitivity differs from the reference's.

    Parameters
    ----------
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    called : pandas.DataFrame, shape (n_patients, n_scores)
        1 or True where a score calls the patient high-risk, 0 or False where not, missing where it is not defined.
    cohort : str or array-like, shape (n_patients,)
        Name of the one cohort, or of each patient's.
    reference : str
        Column that the others are compared with; missing for nobody. Its rows come last.
    level : float
        Confidence level (Wilson).

    Returns
    -------
    pandas.DataFrame
        Columns of `HIGH_RISK_COLUMNS`; measures sensitivity, specificity, ppv, npv. On the rows of the sensitivity:
        only_reference and only_model (patients with HCC whom only one of the two calls high-risk), p (McNemar's
        exact test), p_holm (Holm's adjustment over the scores of a cohort), note. A measure that nobody's result
        defines is NaN with the interval 0 to 1.

    Raises
    ------
    DataError
        If the reference is no column or missing for somebody, a value is not 0 or 1, or the patients differ.

    References
    ----------
    McNemar 1947, Psychometrika 12:153; Holm 1979, Scand J Stat 6:65. aMAP-CT, Supplementary Table 7.
    """
    check_level(level)
    if reference not in called or called[reference].isna().any():
        raise DataError("reference", "must be a column that nobody lacks", repr(reference), "Name such a column.")
    if isinstance(y, pd.Series) and not y.index.equals(called.index):
        raise DataError("outcome", "must have the scores' patients in their order", "another index", "Align the two.")
    outcome = check_binary(y, both=False)
    names = np.full(len(called), cohort, dtype=object) if isinstance(cohort, str) else np.asarray(cohort, dtype=object)
    if not outcome.size == len(names) == len(called):
        found = f"{outcome.size}, {len(names)} and {len(called)}"
        raise DataError("outcome, cohort and scores", "must have one row a patient each", found, "Align them.")
    parts = []
    for name in pd.unique(names):
        here = names == name
        lines = [
            _one_score(str(name), str(other), outcome[here], called.loc[here], other, reference, level)
            for other in [*called.columns.drop(reference), reference]
        ]
        table = pd.concat(lines, ignore_index=True)
        tested = table["p"].notna()
        if tested.any():
            table.loc[tested, "p_holm"] = multipletests(table.loc[tested, "p"].to_numpy(), method="holm")[1]
        parts.append(table)
    return pd.concat(parts, ignore_index=True).astype({"only_reference": "Int64", "only_model": "Int64"})


def _one_score(
    cohort: str, model: str, outcome: np.ndarray, called: pd.DataFrame, column: object, reference: str, level: float
) -> pd.DataFrame:
    values = pd.to_numeric(called[column]).to_numpy(dtype=float)
    known = np.isfinite(values)
    if not np.isin(values[known], (0, 1)).all():
        raise DataError(f"high-risk by {model}", "must be 0, 1 or missing", "another value", "Code it so.")
    high, hcc = values[known] == 1, outcome[known] == 1
    base = called[reference].to_numpy(dtype=float)[known] == 1
    tp, fp = int((high & hcc).sum()), int((high & ~hcc).sum())
    fn, tn = int((~high & hcc).sum()), int((~high & ~hcc).sum())
    only_reference, only_model = int((base & ~high & hcc).sum()), int((~base & high & hcc).sum())
    missing = int((~known).sum())
    notes = [f"{missing} without the score left out"] if missing else []
    if not hcc.any():
        notes = ["nobody has the score"] if not known.any() else [*notes, "no patient with HCC"]
    compared = column != reference and bool(hcc.any())
    p = np.nan
    if compared:
        apart = only_reference + only_model
        p = float(binomtest(only_reference, apart).pvalue) if apart else 1.0
    counts = {
        "sensitivity": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "ppv": (tp, tp + fp),
        "npv": (tn, tn + fn),
    }
    rows = []
    for measure, (count, total) in counts.items():
        lower, upper = wilson_interval(count, total, level)
        first = measure == "sensitivity"
        pair = (only_reference, only_model) if first and compared else (pd.NA, pd.NA)
        tested = (*pair, p if first else np.nan, np.nan, "; ".join(notes) if first else "")
        head = (cohort, model, int(known.sum()), int(hcc.sum()), missing, measure)
        rows.append((*head, count / total if total else np.nan, float(lower), float(upper), count, total, *tested))
    return pd.DataFrame(rows, columns=list(HIGH_RISK_COLUMNS))
