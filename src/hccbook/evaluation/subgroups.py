"""Parts of a cohort: subgroups, and folds of a cross-validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import chi2, norm
from sklearn.model_selection import StratifiedKFold

from hccbook.errors import DataError
from hccbook.evaluation.diagnostic import diagnostic_performance
from hccbook.evaluation.discrimination import noted_auc, roc_points
from hccbook.evaluation.outcomes import LEVEL, by_cohort, check_binary, cohorts
from hccbook.evaluation.survival import EVERYBODY
from hccbook.features.selection import check_features
from hccbook.models.development import logistic_score, probability

SUBGROUP_COLUMNS = (
    "cohort", "characteristic", "level", "n", "events", "missing", "auc", "lower", "upper", "p_difference", "note",
)  # fmt: skip
"""Columns of `subgroup_auc`."""

POOLED, MEAN_OF_FOLDS = "pooled", "mean of folds"


def _with_score(score: ArrayLike, subgroups: pd.DataFrame) -> pd.DataFrame:
    """The subgroups' table with the score as its first column."""
    if not isinstance(subgroups, pd.DataFrame):
        found = type(subgroups).__name__
        raise DataError("subgroups", "must be a DataFrame, a column a characteristic", found, "Name the columns.")
    if isinstance(score, pd.Series) and not score.index.equals(subgroups.index):
        raise DataError("score", "must have the subgroups' patients in their order", "another index", "Align them.")
    return pd.concat([pd.Series(np.asarray(score, dtype=float), subgroups.index, name="score"), subgroups], axis=1)


def _levels(column: pd.Series) -> Iterator[tuple[object, np.ndarray]]:
    """Each level, in the order of the categories or of first appearance, and who is in it."""
    categorical = isinstance(column.dtype, pd.CategoricalDtype)
    for level in column.cat.categories if categorical else pd.unique(column.dropna()):
        yield level, (column == level).to_numpy(dtype=bool, na_value=False)


def subgroup_auc(
    y: ArrayLike, score: ArrayLike, subgroups: pd.DataFrame, cohort: str | ArrayLike = "all"
) -> pd.DataFrame:
    """AUC of a score in each subgroup of each cohort, and whether the subgroups' AUCs differ.

    Parameters
    ----------
    y, score : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise; a higher score means a higher risk.
    subgroups : pandas.DataFrame, shape (n_patients, n_characteristics)
        Level of each patient by characteristic; missing where it is unknown. Levels come in the order of the
        categories, or of first appearance.
    cohort : str or array-like, shape (n_patients,)
        Name of the one cohort, or of each patient's.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, characteristic, level, n, events, missing (patients of unknown level), auc, lower, upper
        (DeLong), p_difference, note. The first row of a cohort is "all". p_difference, on every row of a
        characteristic, is that of Cochran's Q over its levels, weighted by their inverse variances. What cannot be
        had is NaN, with a note.

    Raises
    ------
    DataError
        If a score is missing, an outcome is not 0 or 1, or the patients differ.

    References
    ----------
    ALARM, Supplementary A9 and Figure S15; aMAP-CT, Table 3. Q: Cochran 1954, Biometrics 10:101.
    """

    def areas(outcome: pd.Series, patients: pd.DataFrame) -> pd.DataFrame:
        everybody = pd.DataFrame({EVERYBODY: EVERYBODY}, index=patients.index)
        rows = []
        for characteristic, column in pd.concat([everybody, patients.drop(columns="score")], axis=1).items():
            parts = [
                (level, noted_auc(outcome[rows_of], patients["score"][rows_of]), outcome[rows_of])
                for level, rows_of in _levels(column)
            ]
            p, why = _differ([area for _, area, _ in parts]) if characteristic != EVERYBODY else (np.nan, "")
            missing = int(column.isna().sum())
            for level, area, hcc in parts:
                row = {"characteristic": characteristic, "level": level, "n": len(hcc), "events": int(hcc.sum())}
                row |= {"missing": missing, **area._asdict(), "p_difference": p}
                rows.append(row | {"note": "; ".join(filter(None, [area.note, why]))})
        return pd.DataFrame(rows)

    return by_cohort(areas, y, _with_score(score, subgroups), cohort, each=None)[list(SUBGROUP_COLUMNS)]


def _differ(areas: Sequence) -> tuple[float, str]:
    """P of equal AUCs in independent groups, or why there is none."""
    if len(areas) < 2:
        return float("nan"), "no comparison: one level"
    variance = np.array([area.variance for area in areas])
    if not (variance > 0).all():
        return float("nan"), "no comparison: a level has no interval"
    auc, weight = np.array([area.auc for area in areas]), 1 / variance
    q = float((weight * (auc - (weight * auc).sum() / weight.sum()) ** 2).sum())
    return float(chi2.sf(q, len(areas) - 1)), ""


def subgroup_performance(
    y: ArrayLike, score: ArrayLike, subgroups: pd.DataFrame, cutoffs: Sequence[float], cohort: str | ArrayLike = "all"
) -> pd.DataFrame:
    """Sensitivity, specificity, predictive values, accuracy and F1 in each subgroup at each cut-off.

    Parameters
    ----------
    y, score, subgroups, cohort
        As `subgroup_auc`.
    cutoffs : sequence of float
        Cut-offs, in the unit of the score.

    Returns
    -------
    pandas.DataFrame
        Columns characteristic, level, then those of `diagnostic_performance`; a subgroup nobody is in has no rows,
        and a measure that nobody's result defines is NaN with the interval 0 to 1.

    Raises
    ------
    DataError
        As `subgroup_auc`.

    References
    ----------
    aMAP-CT, Table 3.
    """
    table = _with_score(score, subgroups)

    def performance(outcome: pd.Series, patients: pd.DataFrame) -> pd.DataFrame:
        parts = [
            diagnostic_performance(outcome[rows], patients["score"][rows], cutoff).assign(
                characteristic=characteristic, level=level
            )
            for characteristic in subgroups
            for level, rows in _levels(patients[characteristic])
            if rows.any()
            for cutoff in cutoffs
        ]
        return pd.concat(parts) if parts else pd.DataFrame(columns=["characteristic", "level"])

    table = by_cohort(performance, y, table, cohort, each=None)
    if table.empty:
        raise DataError("subgroups", "must have a patient of known level", "none", "Check the labels.")
    return table[["characteristic", "level", *table.columns.drop(["characteristic", "level"])]]


class CrossValidation(NamedTuple):
    """A model refitted in folds of each cohort.

    Attributes
    ----------
    predictions : pandas.DataFrame
        Index that of the scores; columns cohort, fold (1, 2, ...), hcc, probability (of the model that did not see
        the patient).
    auc : pandas.DataFrame
        Columns cohort, model ("fold 1", ..., "pooled", "mean of folds"), n, events, auc, lower, upper (DeLong), sd
        (of the folds' AUCs, on the last row), note.
    roc : pandas.DataFrame
        Columns cohort, model (folds and "pooled"), fpr, tpr.
    """

    predictions: pd.DataFrame
    auc: pd.DataFrame
    roc: pd.DataFrame


def cross_validation(
    y: ArrayLike, scores: pd.DataFrame, cohort: str | ArrayLike, folds: int = 5, seed: int = 0
) -> CrossValidation:
    """ALARM's last regression refitted in stratified folds within each cohort.

    In each fold the scores are standardised and the regression fitted on the other folds' patients. The scores
    themselves are not refitted: in the cohort that chose their features they have seen every patient, and its
    cross-validated AUC stays optimistic. Pooling puts predictions of different fits on one scale.

    Parameters
    ----------
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    scores : pandas.DataFrame, shape (n_patients, n_scores)
        The covariates: aMAP, radiomics score, deep-learning score.
    cohort : str or array-like, shape (n_patients,)
        Name of the one cohort, or of each patient's.
    folds, seed : int
        Folds, fewer where a class has fewer patients, which the note of the pooled row says; their seed.

    Returns
    -------
    CrossValidation
        A cohort with fewer than two patients of a class has one row in ``auc`` whose note says so.

    Raises
    ------
    DataError
        If a score is missing, `folds` is below 2, or the patients differ.

    References
    ----------
    ALARM, Results, Construction and validation; Figure S14. How many folds is not printed: an assumption.
    """
    if folds < 2:
        raise DataError("folds", "must be 2 or more", folds, "Give 5.")
    check_features(scores, "scores")
    predicted, areas, curves = [], [], []
    for name, outcome, table in cohorts(y, scores, cohort):
        hcc = check_binary(outcome, both=False, place=f"outcome, {name} cohort")
        row = {"cohort": name, "n": hcc.size, "events": int(hcc.sum())}
        rarest = min(row["events"], row["n"] - row["events"])
        if rarest < 2:
            note = f"not cross-validated: {row['events']} patients with and {row['n'] - row['events']} without HCC"
            areas.append({**row, "model": POOLED, "note": note})
            continue
        used = min(folds, rarest)
        predictions = _out_of_fold(hcc, table, used, seed)
        predicted.append(predictions.assign(cohort=name))
        alone = []
        parts = [(f"fold {fold}", part) for fold, part in predictions.groupby("fold")]
        for model, part in [*parts, (POOLED, predictions)]:
            area = noted_auc(part["hcc"], part["probability"])
            alone.append(area.auc)
            sizes = {"cohort": name, "model": model, "n": len(part), "events": int(part["hcc"].sum())}
            areas.append({**sizes, "auc": area.auc, "lower": area.lower, "upper": area.upper, "note": area.note})
            curves.append(roc_points(part["hcc"], part["probability"]).assign(cohort=name, model=model))
        if used < folds:
            fewer = f"{used} folds instead of {folds}: the rarer class has {rarest} patients"
            areas[-1]["note"] = "; ".join(filter(None, [areas[-1]["note"], fewer]))
        mean, spread = float(np.mean(alone[:-1])), float(np.std(alone[:-1], ddof=1))
        areas.append({**row, "model": MEAN_OF_FOLDS, "auc": mean, "sd": spread, "note": "no interval: SD"})
    return CrossValidation(
        _together(predicted, ["cohort", "fold", "hcc", "probability"]),
        pd.DataFrame(areas, columns=["cohort", "model", "n", "events", "auc", "lower", "upper", "sd", "note"]),
        _together(curves, ["cohort", "model", "fpr", "tpr"]).reset_index(drop=True),
    )


def _out_of_fold(hcc: np.ndarray, scores: pd.DataFrame, folds: int, seed: int) -> pd.DataFrame:
    table = pd.DataFrame({"fold": 0, "hcc": hcc, "probability": np.nan}, index=scores.index)
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed).split(np.zeros(hcc.size), hcc)
    for fold, (learn, test) in enumerate(splits, start=1):
        fitted = logistic_score(scores.iloc[learn], hcc[learn])
        table.iloc[test, 0] = fold
        table.iloc[test, 2] = probability(fitted.evaluate(scores.iloc[test]))
    return table


def _together(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    return pd.concat(parts)[columns] if parts else pd.DataFrame(columns=columns)


def whole_cohort_intervals(performance: pd.DataFrame) -> pd.DataFrame:
    """Intervals as ALARM's Table 2 has them, beside the right ones.

    The printed intervals fit a normal approximation whose denominator is the whole cohort, for sensitivity too:
    0.933 with 45 patients is printed 0.917 to 0.949, which takes 924. They are far too narrow.

    Parameters
    ----------
    performance : pandas.DataFrame
        From `diagnostic_performance`.

    Returns
    -------
    pandas.DataFrame
        The same rows with the columns printed_lower and printed_upper added, cut at 0 and 1.

    References
    ----------
    ALARM, Table 2.
    """
    value, n = (performance[name].to_numpy(dtype=float) for name in ("value", "n"))
    half = norm.isf((1 - LEVEL) / 2) * np.sqrt(value * (1 - value) / n)
    return performance.assign(printed_lower=np.maximum(value - half, 0.0), printed_upper=np.minimum(value + half, 1.0))
