"""Parts of a cohort: subgroups, folds of a cross-validation, and how many patients came and went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import chi2, norm
from sklearn.model_selection import StratifiedKFold

from hccbook.errors import DataError
from hccbook.evaluation.diagnostic import diagnostic_performance
from hccbook.evaluation.discrimination import roc_points
from hccbook.evaluation.model_comparison import noted_auc
from hccbook.evaluation.outcomes import check_binary, check_level, check_values, cohorts
from hccbook.features.selection import check_features
from hccbook.models.development import logistic_score, probability

EVERYBODY = "all"
"""Characteristic of the row that holds all patients of a cohort."""

POOLED, MEAN_OF_FOLDS = "pooled", "mean of folds"

FLOW_COLUMNS = ("box", "parent", "kind", "label", "n", "events")
"""Columns of the tables that `study_flow` and `enrolment` return."""


def clinical_subgroups(clinical: pd.DataFrame, age: float | None = None, afp: float = 20.0) -> pd.DataFrame:
    """Subgroup of every patient by age, sex and AFP.

    Parameters
    ----------
    clinical : pandas.DataFrame, shape (n_patients, n_columns)
        Columns age (years), sex ("male", "female") and afp (ug/L); missing values allowed.
    age : float, optional
        Years that part the ages; the median of these patients where not given. ALARM prints no bound.
    afp : float
        AFP that parts the patients, ug/L. ALARM prints no bound; 20 is the usual one.

    Returns
    -------
    pandas.DataFrame, shape (n_patients, 3)
        Categorical columns age, sex, afp whose levels say the bound; missing where the value is.

    Raises
    ------
    DataError
        If a column is absent or a sex is something else.

    References
    ----------
    ALARM, Statistics; Supplementary A9 and Figure S15.
    """
    absent = [name for name in ("age", "sex", "afp") if name not in clinical]
    if absent:
        raise DataError("clinical table", f"must have a column {absent[0]!r}", "none", "Add it, missing if unknown.")
    strange = set(clinical["sex"].dropna()) - {"male", "female"}
    if strange:
        raise DataError("sex", "must be male or female", ", ".join(map(str, sorted(strange))), "Correct the table.")
    bound = float(clinical["age"].median()) if age is None else float(age)

    def halves(values: pd.Series, at: float, unit: str) -> pd.Categorical:
        levels = [f"< {at:.4g} {unit}", f"≥ {at:.4g} {unit}"]
        # Minus one is the code of a missing value.
        codes = np.where(values.isna(), -1, (values >= at).astype(int))
        return pd.Categorical.from_codes(codes, levels)

    return pd.DataFrame(
        {
            "age": halves(clinical["age"], bound, "years"),
            "sex": pd.Categorical(clinical["sex"].map({"male": "Men", "female": "Women"}), ["Men", "Women"]),
            "afp": halves(clinical["afp"], afp, "μg/L"),
        },
        index=clinical.index,
    )


def _levels(subgroups: pd.DataFrame, name: str) -> list:
    column = subgroups[name]
    if isinstance(column.dtype, pd.CategoricalDtype):
        return list(column.cat.categories)
    return list(pd.unique(column.dropna()))


def _check_subgroups(y: ArrayLike, score: ArrayLike, subgroups: pd.DataFrame) -> None:
    if not isinstance(subgroups, pd.DataFrame):
        found = type(subgroups).__name__
        raise DataError("subgroups", "must be a DataFrame, a column a characteristic", found, "Name the columns.")
    for what, given in (("outcome", y), ("score", score)):
        if isinstance(given, pd.Series) and not given.index.equals(subgroups.index):
            raise DataError(what, "must have the subgroups' patients in their order", "another index", "Align them.")


def subgroup_auc(
    y: ArrayLike,
    score: ArrayLike,
    subgroups: pd.DataFrame,
    cohort: str | ArrayLike = "all",
    level: float = 0.95,
) -> pd.DataFrame:
    """AUC of a score in each subgroup of each cohort, and whether the subgroups' AUCs differ.

    Parameters
    ----------
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    score : array-like, shape (n_patients,)
        A higher value means a higher risk.
    subgroups : pandas.DataFrame, shape (n_patients, n_characteristics)
        Level of each patient by characteristic; missing where it is unknown. Levels come in the order of the
        categories, or of first appearance.
    cohort : str or array-like, shape (n_patients,)
        Name of the one cohort, or of each patient's.
    level : float
        Confidence level.

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
    _check_subgroups(y, score, subgroups)
    values = pd.DataFrame({"score": np.asarray(score, dtype=float)}, index=subgroups.index)
    rows = []
    for name, outcome, own in cohorts(y, values, cohort):
        happened = check_binary(outcome, both=False, place=f"outcome, {name} cohort")
        x = check_values(own["score"].to_numpy(), happened)
        whole = noted_auc(happened, x, level)
        rows.append((name, EVERYBODY, EVERYBODY, x.size, int(happened.sum()), 0, *whole[:3], np.nan, whole.note))
        for characteristic in subgroups:
            labels = subgroups.loc[own.index, characteristic]
            found, lines = [], []
            for one in _levels(subgroups, characteristic):
                chosen = (labels == one).to_numpy(dtype=bool, na_value=False)
                area = noted_auc(happened[chosen], x[chosen], level)
                found.append(area)
                lines.append([name, characteristic, one, int(chosen.sum()), int(happened[chosen].sum())])
            p, why = _differ(found)
            for line, area in zip(lines, found, strict=True):
                note = "; ".join(part for part in (area.note, why) if part)
                rows.append((*line, int(labels.isna().sum()), *area[:3], p, note))
    columns = ["cohort", "characteristic", "level", "n", "events", "missing", "auc", "lower", "upper"]
    return pd.DataFrame(rows, columns=[*columns, "p_difference", "note"])


def _differ(areas: Sequence) -> tuple[float, str]:
    """p of equal AUCs in independent groups, or why there is none."""
    if len(areas) < 2:
        return float("nan"), "no comparison: one level"
    variance = np.array([area.variance for area in areas])
    if not (variance > 0).all():
        return float("nan"), "no comparison: a level has no interval"
    auc, weight = np.array([area.auc for area in areas]), 1 / variance
    q = float((weight * (auc - (weight * auc).sum() / weight.sum()) ** 2).sum())
    return float(chi2.sf(q, len(areas) - 1)), ""


def subgroup_performance(
    y: ArrayLike,
    score: ArrayLike,
    subgroups: pd.DataFrame,
    cutoffs: Sequence[float],
    cohort: str | ArrayLike = "all",
    level: float = 0.95,
) -> pd.DataFrame:
    """Sensitivity, specificity, predictive values, accuracy and F1 in each subgroup at each cut-off.

    Parameters
    ----------
    y, score, subgroups, cohort, level
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
    _check_subgroups(y, score, subgroups)
    values = pd.DataFrame({"score": np.asarray(score, dtype=float)}, index=subgroups.index)
    parts = []
    for name, outcome, own in cohorts(y, values, cohort):
        happened, x = outcome.to_numpy(), own["score"].to_numpy()
        for characteristic in subgroups:
            labels = subgroups.loc[own.index, characteristic]
            for one in _levels(subgroups, characteristic):
                chosen = (labels == one).to_numpy(dtype=bool, na_value=False)
                if chosen.any():
                    for cutoff in cutoffs:
                        part = diagnostic_performance(happened[chosen], x[chosen], cutoff, level)
                        parts.append(part.assign(characteristic=characteristic, level=one, cohort=name))
    if not parts:
        raise DataError("subgroups", "must have a patient of known level", "none", "Check the labels.")
    table = pd.concat(parts, ignore_index=True)
    first = ["characteristic", "level", "cohort"]
    return table[[*first, *table.columns.drop(first)]]


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
    y: ArrayLike,
    scores: pd.DataFrame,
    cohort: str | ArrayLike,
    folds: int = 5,
    seed: int = 0,
    level: float = 0.95,
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
    folds : int
        Folds; fewer where a class has fewer patients, which the note of the pooled row says.
    seed : int
        Seed of the folds.
    level : float
        Confidence level.

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
    check_level(level)
    predicted, areas, curves = [], [], []
    for name, outcome, table in cohorts(y, scores, cohort):
        happened = check_binary(outcome, both=False, place=f"outcome, {name} cohort")
        n, events = happened.size, int(happened.sum())
        rarest = min(events, n - events)
        if rarest < 2:
            note = f"not cross-validated: {events} patients with and {n - events} without HCC"
            areas.append((name, POOLED, n, events, *[np.nan] * 4, note))
            continue
        used = min(folds, rarest)
        out_of_fold, fold_of = np.empty(n), np.empty(n, dtype=int)
        splits = StratifiedKFold(used, shuffle=True, random_state=seed).split(np.zeros(n), happened)
        for fold, (learn, test) in enumerate(splits, start=1):
            fitted = logistic_score(table.iloc[learn], happened[learn])
            out_of_fold[test] = probability(fitted.evaluate(table.iloc[test]))
            fold_of[test] = fold
        alone = []
        for fold in range(1, used + 1):
            test = fold_of == fold
            area = noted_auc(happened[test], out_of_fold[test], level)
            alone.append(area.auc)
            areas.append(
                (name, f"fold {fold}", int(test.sum()), int(happened[test].sum()), *area[:3], np.nan, area.note)
            )
            curves.append(roc_points(happened[test], out_of_fold[test]).assign(cohort=name, model=f"fold {fold}"))
        area = noted_auc(happened, out_of_fold, level)
        fewer = f"{used} folds instead of {folds}: the rarer class has {rarest} patients" if used < folds else ""
        note = "; ".join(part for part in (area.note, fewer) if part)
        areas.append((name, POOLED, n, events, *area[:3], np.nan, note))
        spread = float(np.std(alone, ddof=1))
        areas.append((name, MEAN_OF_FOLDS, n, events, float(np.mean(alone)), np.nan, np.nan, spread, "no interval: SD"))
        curves.append(roc_points(happened, out_of_fold).assign(cohort=name, model=POOLED))
        predicted.append(
            pd.DataFrame(
                {"cohort": name, "fold": fold_of, "hcc": happened, "probability": out_of_fold}, index=table.index
            )
        )
    nobody = pd.DataFrame(columns=["cohort", "fold", "hcc", "probability"])
    no_curve = pd.DataFrame(columns=["cohort", "model", "fpr", "tpr"])
    return CrossValidation(
        pd.concat(predicted) if predicted else nobody,
        pd.DataFrame(areas, columns=["cohort", "model", "n", "events", "auc", "lower", "upper", "sd", "note"]),
        pd.concat(curves, ignore_index=True)[list(no_curve)] if curves else no_curve,
    )


def whole_cohort_intervals(performance: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Intervals as ALARM's Table 2 has them, beside the right ones.

    The printed intervals fit a normal approximation whose denominator is the whole cohort, for sensitivity too:
    0.933 with 45 patients is printed 0.917 to 0.949, which takes 924. They are far too narrow.

    Parameters
    ----------
    performance : pandas.DataFrame
        From `diagnostic_performance`.
    level : float
        Confidence level.

    Returns
    -------
    pandas.DataFrame
        The same rows with the columns printed_lower and printed_upper added, cut at 0 and 1.

    References
    ----------
    ALARM, Table 2.
    """
    value = performance["value"].to_numpy(dtype=float)
    half = norm.isf((1 - check_level(level)) / 2) * np.sqrt(
        value * (1 - value) / performance["n"].to_numpy(dtype=float)
    )
    return performance.assign(printed_lower=np.maximum(value - half, 0.0), printed_upper=np.minimum(value + half, 1.0))


def study_flow(clinical: pd.DataFrame, failures: pd.DataFrame) -> pd.DataFrame:
    """Patients from the manifest to the cohorts analysed, as boxes of a flow diagram.

    Parameters
    ----------
    clinical : pandas.DataFrame
        All patients of the manifest, index the patient; columns cohort, hcc.
    failures : pandas.DataFrame
        Columns patient, stage: who fell out, and where; a patient counts at the first stage.

    Returns
    -------
    pandas.DataFrame
        Columns box, parent, kind ("kept" or "left out"), label, n, events; a box's parent comes before it.

    Raises
    ------
    DataError
        If a patient that fell out is not in the clinical table.

    References
    ----------
    ALARM, Figure S2.
    """
    first = failures.drop_duplicates("patient").astype({"patient": str})
    hcc = clinical["hcc"].set_axis(clinical.index.astype(str))
    strange = [patient for patient in first["patient"] if patient not in hcc.index]
    if strange:
        raise DataError("failures", "must name patients of the clinical table", strange[0], "Give the same run's.")
    rows = [("manifest", "", "kept", "Patients in the manifest", len(hcc), int(hcc.sum()))]
    for stage, lost in first.groupby("stage", sort=False)["patient"]:
        rows.append((f"left {stage}", "manifest", "left out", f"Left out in {stage}", len(lost), int(hcc[lost].sum())))
    kept = clinical[~hcc.index.isin(first["patient"])]
    rows.append(("analysed", "manifest", "kept", "Patients analysed", len(kept), int(kept["hcc"].sum())))
    for cohort, part in kept.groupby("cohort", sort=False)["hcc"]:
        rows.append((str(cohort), "analysed", "kept", str(cohort), len(part), int(part.sum())))
    return pd.DataFrame(rows, columns=list(FLOW_COLUMNS))


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
        label = (
            f"Centre {centres[0]}" if len(centres) == 1 else f"{len(centres)} centres, {centres[0]} to {centres[-1]}"
        )
        rows.append((box, "all", "kept", label, len(part), int(part["hcc"].sum())))
        for cohort in among:
            own = part.loc[part["cohort"] == cohort, "hcc"]
            rows.append((f"{box} {cohort}", box, "kept", str(cohort), len(own), int(own.sum())))
    return pd.DataFrame(rows, columns=list(FLOW_COLUMNS))
