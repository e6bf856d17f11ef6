"""Models compared in the same patients: AUCs with notes, clinical combinations, tests in pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from hccbook.errors import DataError
from hccbook.evaluation.discrimination import auc_delong, delong_test
from hccbook.evaluation.odds_ratios import check_variables
from hccbook.evaluation.outcomes import check_binary, check_probability, check_values, cohorts
from hccbook.evaluation.reclassification import integrated_discrimination, net_reclassification
from hccbook.features.selection import check_features
from hccbook.models.development import logistic_score, probability

CLINICAL_COMBINATIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Image scores alone": (),
        "aMAP": ("amap",),
        "aMAP + AFP": ("amap", "afp"),
        "AFP": ("afp",),
        "Age + sex": ("age", "male"),
        "Age + sex + AFP": ("age", "male", "afp"),
        "Bilirubin + albumin + platelets": ("bilirubin", "albumin", "platelets"),
        "Bilirubin + albumin + platelets + AFP": ("bilirubin", "albumin", "platelets", "afp"),
        "All but aMAP and AFP": ("age", "male", "bilirubin", "albumin", "platelets"),
        "All but aMAP": ("age", "male", "bilirubin", "albumin", "platelets", "afp"),
    }
)
"""Clinical variables beside the two image scores. ALARM names the seven variables, not the sets it tried."""

REFERENCE = "ALARM"
"""Name of the model that combinations are compared with."""


class NotedAuc(NamedTuple):
    """AUC where it can be had, and what keeps it or its interval from being had.

    Attributes
    ----------
    auc, lower, upper, variance : float
        As `AucEstimate`; NaN where undefined.
    note : str
        Empty where nothing is to be said.
    """

    auc: float
    lower: float
    upper: float
    variance: float
    note: str


def noted_auc(y: ArrayLike, score: ArrayLike, level: float = 0.95) -> NotedAuc:
    """AUC with DeLong's interval, or as much of it as the patients allow.

    Parameters
    ----------
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise; a class may be absent, and so may all patients.
    score : array-like, shape (n_patients,)
        A higher value means a higher risk.
    level : float
        Confidence level.

    Returns
    -------
    NotedAuc
        With one class alone no AUC; with one patient of a class an AUC without an interval.

    Raises
    ------
    DataError
        If a value is missing, an outcome is not 0 or 1, or the patients differ.
    """
    nothing = float("nan")
    if not len(np.asarray(y)):
        return NotedAuc(nothing, nothing, nothing, nothing, "no patients")
    outcome = check_binary(y, both=False)
    values = check_values(score, outcome, y)
    events, others = int(outcome.sum()), int((outcome == 0).sum())
    if min(events, others) == 0:
        note = "no patient with HCC" if events == 0 else "no patient without HCC"
        return NotedAuc(nothing, nothing, nothing, nothing, note)
    if min(events, others) == 1:
        above = rankdata(values)[outcome == 1].sum() - events * (events + 1) / 2
        which = "with" if events == 1 else "without"
        return NotedAuc(
            float(above / (events * others)), nothing, nothing, nothing, f"no interval: one patient {which} HCC"
        )
    found = auc_delong(outcome, values, level)
    note = (
        ""
        if found.variance > 0
        else "the interval is a point: " + ("all scores equal" if np.ptp(values) == 0 else "the classes are separated")
    )
    return NotedAuc(found.auc, found.lower, found.upper, found.variance, note)


def _two_of_each(y: np.ndarray) -> str:
    """Why two models cannot be compared in these patients; empty where they can."""
    events, others = int(y.sum()), int((y == 0).sum())
    return "" if min(events, others) >= 2 else f"no test: {events} patients with and {others} without HCC"


def clinical_combinations(
    y: ArrayLike,
    scores: pd.DataFrame,
    clinical: pd.DataFrame,
    cohort: ArrayLike,
    development: ArrayLike,
    reference: ArrayLike,
    combinations: Mapping[str, Sequence[str]] = CLINICAL_COMBINATIONS,
    level: float = 0.95,
) -> pd.DataFrame:
    """Image scores combined with clinical variables, each combination compared with ALARM.

    Each combination is the logistic regression that ALARM's last step is (standardised, the same L2 penalty), fitted
    on the development patients whose variables are all known, without synthetic ones, and applied to the rest.

    Parameters
    ----------
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    scores : pandas.DataFrame, shape (n_patients, n_scores)
        Image scores, which every combination holds.
    clinical : pandas.DataFrame, shape (n_patients, n_variables)
        Clinical variables, as they are to enter (AFP as its logarithm, say); missing values allowed.
    cohort : array-like, shape (n_patients,)
        Cohort of each patient.
    development : array-like of bool, shape (n_patients,)
        Patients to fit on.
    reference : array-like, shape (n_patients,)
        ALARM's own probability or score.
    combinations : mapping of str to sequence of str
        Columns of `clinical` by name of the combination.
    level : float
        Confidence level.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, combination, variables, n, events, missing, auc, lower, upper, difference (its AUC less
        ALARM's, in the same patients), difference_lower, difference_upper, z, p, note; the first row of a cohort is
        ALARM's. NaN never without a note.

    Raises
    ------
    DataError
        If a variable is unknown, not numeric or infinite, a score is missing, or the patients differ.

    References
    ----------
    ALARM, Results, Construction and validation; Table S3. Which sets it tried is not printed: an assumption.
    """
    check_features(scores, "scores")
    table, outcome = check_variables(clinical, y)
    if not scores.index.equals(clinical.index):
        raise DataError("scores", "must have the clinical table's patients in their order", "others", "Align them.")
    unknown = [name for names in combinations.values() for name in names if name not in table]
    if unknown:
        raise DataError("combinations", "must name columns of the clinical table", unknown[0], "Add the column.")
    given = check_values(reference, outcome, None, "reference")
    learn = np.asarray(development, dtype=bool)
    if learn.shape != outcome.shape:
        raise DataError("development", f"must have {outcome.size} values", learn.shape, "Give one a patient.")
    made: dict[str, tuple[np.ndarray, str]] = {}
    for title, names in combinations.items():
        both = pd.concat([scores, table[list(names)]], axis=1)
        known = both.notna().all(axis=1).to_numpy()
        rows = learn & known
        if not 0 < outcome[rows].sum() < rows.sum():
            made[title] = (np.full(outcome.size, np.nan), "not fitted: one outcome only in the development cohort")
            continue
        found = logistic_score(both[rows], outcome[rows])
        linear = np.full(outcome.size, np.nan)
        linear[known] = found.evaluate(both[known])
        made[title] = (linear, "")
    lines = []
    for name in pd.unique(np.asarray(cohort, dtype=object)):
        here = np.asarray(cohort, dtype=object) == name
        own = noted_auc(outcome[here], given[here], level)
        note = "; ".join(part for part in ("compared with the others", own.note) if part)
        counts = (int(here.sum()), int(outcome[here].sum()), 0)
        lines.append((str(name), REFERENCE, "", *counts, *own[:3], *[np.nan] * 5, note))
        for title, (linear, why) in made.items():
            chosen = here & ~np.isnan(linear)
            part = outcome[chosen]
            area = noted_auc(part, linear[chosen], level)
            note = why or _two_of_each(part)
            test = [np.nan] * 5
            if not note:
                found = delong_test(part, linear[chosen], given[chosen], level)
                test = [found.difference, found.lower, found.upper, found.z, found.p]
                point = "" if found.lower < found.upper else "the difference has no variance"
                note = "; ".join(part for part in (area.note, point) if part)
            counts = (int(chosen.sum()), int(part.sum()), int(here.sum() - chosen.sum()))
            lines.append((str(name), title, ", ".join(combinations[title]), *counts, *area[:3], *test, note))
    columns = [
        "cohort", "combination", "variables", "n", "events", "missing", "auc", "lower", "upper", "difference",
        "difference_lower", "difference_upper", "z", "p", "note",
    ]  # fmt: skip
    return pd.DataFrame(lines, columns=columns)


def single_score_probabilities(scores: pd.DataFrame, development: pd.DataFrame, y: ArrayLike) -> pd.DataFrame:
    """Probability of HCC from each score alone, by a logistic regression on the development cohort.

    Reclassification and decision curves need probabilities, and models can only be compared whose probabilities
    speak of the same patients. ALARM's last regression sees the oversampled cohort: give that cohort here
    (``AlarmModel.augmented_``), and the single scores' probabilities are raised as ALARM's are.

    Parameters
    ----------
    scores : pandas.DataFrame, shape (n_patients, n_scores)
        Scores of the patients wanted; a higher value means a higher risk.
    development : pandas.DataFrame, shape (n_development, n_columns)
        Scores of the cohort to learn on, synthetic patients included; has the columns of `scores`.
    y : array-like, shape (n_development,)
        Its outcome, 1 for HCC.

    Returns
    -------
    pandas.DataFrame, shape (n_patients, n_scores)
        Probabilities, 0 to 1, in the columns of `scores`.

    Raises
    ------
    DataError
        If a score is missing, a column is absent, or the outcome has one class.
    """
    check_features(scores, "scores")
    absent = [name for name in scores if name not in development]
    if absent:
        raise DataError("development", f"must have the score {absent[0]}", "none", "Give the same scores of both.")
    check_features(development[list(scores)], "development")
    outcome = check_binary(y, place="development outcome")
    if outcome.size != len(development):
        raise DataError("development outcome", f"must have {len(development)} values", outcome.size, "Align them.")
    found = {
        name: probability(logistic_score(development[[name]], outcome).evaluate(scores[[name]])) for name in scores
    }
    return pd.DataFrame(found, index=scores.index)


def _pairs(y: ArrayLike, values: pd.DataFrame, cohort: str | ArrayLike, model: str):
    if model not in getattr(values, "columns", ()):
        raise DataError("model", f"must be one of {', '.join(map(str, values))}", repr(model), "Name the column.")
    check_features(values, "values")
    for name, outcome, table in cohorts(y, values, cohort):
        happened = check_binary(outcome, both=False, place=f"outcome, {name} cohort")
        for other in table.columns.drop(model):
            yield name, str(other), happened, table[model].to_numpy(float), table[other].to_numpy(float)


def delong_table(
    y: ArrayLike, scores: pd.DataFrame, cohort: str | ArrayLike, model: str = "alarm", level: float = 0.95
) -> pd.DataFrame:
    """DeLong's test of one model against each of the others, in each cohort.

    Parameters
    ----------
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    scores : pandas.DataFrame, shape (n_patients, n_models)
        A column a model; a higher value means a higher risk.
    cohort : str or array-like, shape (n_patients,)
        Name of the one cohort, or of each patient's.
    model : str
        Column that is compared with the others.
    level : float
        Confidence level.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, model, compared_with, n, events, auc, auc_compared, difference (auc - auc_compared), lower,
        upper, z, p, note. A cohort with fewer than two patients of a class has NaN and a note.

    Raises
    ------
    DataError
        If a score is missing, the model is no column, or the patients differ.

    References
    ----------
    ALARM, Results; Table S4.
    """
    rows = []
    for name, other, happened, own, against in _pairs(y, scores, cohort, model):
        note, found = _two_of_each(happened), [np.nan] * 7
        if not note:
            test = delong_test(happened, own, against, level)
            found = [test.auc_a, test.auc_b, test.difference, test.lower, test.upper, test.z, test.p]
            note = "" if test.lower < test.upper else "the interval is a point: the difference has no variance"
        rows.append((name, model, other, len(happened), int(happened.sum()), *found, note))
    columns = ["cohort", "model", "compared_with", "n", "events", "auc", "auc_compared", "difference", "lower", "upper"]
    return pd.DataFrame(rows, columns=[*columns, "z", "p", "note"])


def nri_table(
    y: ArrayLike,
    probabilities: pd.DataFrame,
    cohort: str | ArrayLike,
    cutoffs: Sequence[float],
    model: str = "alarm",
    level: float = 0.95,
) -> pd.DataFrame:
    """Net reclassification by one model instead of each of the others, in each cohort.

    Parameters
    ----------
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    probabilities : pandas.DataFrame, shape (n_patients, n_models)
        Predicted probabilities that speak of the same patients (see `single_score_probabilities`).
    cohort : str or array-like, shape (n_patients,)
        Name of the one cohort, or of each patient's.
    cutoffs : sequence of float
        Bounds between risk groups, for the categorical NRI.
    model : str
        The new model; each other column is the old one in turn.
    level : float
        Confidence level.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, model, compared_with, kind ("categorical", "continuous"), n, events, nri, lower, upper, z, p,
        events_nri, nonevents_nri, up_events, down_events, up_nonevents, down_nonevents, note. A cohort with one
        class has NaN and a note.

    Raises
    ------
    DataError
        If a value is no probability, the cut-offs do not rise, the model is no column, or the patients differ.

    References
    ----------
    ALARM, Results; Table S5.
    """
    rows = []
    for name, other, happened, own, against in _pairs(y, probabilities, cohort, model):
        for values, what in ((own, model), (against, other)):
            check_probability(values, happened, None, what)
        for kind, bounds in (("categorical", cutoffs), ("continuous", None)):
            head = (name, model, other, kind, len(happened), int(happened.sum()))
            if happened.min() == happened.max():
                note = f"not estimable: no patient {'without' if happened[0] else 'with'} HCC"
                rows.append((*head, *[np.nan] * 7, *[pd.NA] * 4, note))
                continue
            found = net_reclassification(happened, against, own, bounds, level)
            moved = (found.up_events, found.down_events, found.up_nonevents, found.down_nonevents)
            note = "" if sum(moved) else "nobody changes group"
            rows.append((*head, *found[:7], *moved, note))
    counts = ["up_events", "down_events", "up_nonevents", "down_nonevents"]
    columns = ["cohort", "model", "compared_with", "kind", "n", "events", "nri", "lower", "upper", "z", "p"]
    columns += ["events_nri", "nonevents_nri", *counts, "note"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(counts, "Int64"))


def idi_table(
    y: ArrayLike, probabilities: pd.DataFrame, cohort: str | ArrayLike, model: str = "alarm", level: float = 0.95
) -> pd.DataFrame:
    """Integrated discrimination improvement of one model over each of the others, in each cohort.

    Parameters
    ----------
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    probabilities : pandas.DataFrame, shape (n_patients, n_models)
        Predicted probabilities that speak of the same patients (see `single_score_probabilities`).
    cohort : str or array-like, shape (n_patients,)
        Name of the one cohort, or of each patient's.
    model : str
        The new model; each other column is the old one in turn.
    level : float
        Confidence level.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, model, compared_with, n, events, idi, lower, upper, z, p, events_change, nonevents_change,
        note. A cohort with fewer than two patients of a class has NaN and a note.

    Raises
    ------
    DataError
        If a value is no probability, the model is no column, or the patients differ.

    References
    ----------
    ALARM, Results; Table S6.
    """
    rows = []
    for name, other, happened, own, against in _pairs(y, probabilities, cohort, model):
        for values, what in ((own, model), (against, other)):
            check_probability(values, happened, None, what)
        note, found = _two_of_each(happened), [np.nan] * 7
        if not note:
            idi = integrated_discrimination(happened, against, own, level)
            found = [idi.idi, idi.lower, idi.upper, idi.z, idi.p, idi.events, idi.nonevents]
            note = "" if np.isfinite(idi.p) else "no test: all predictions change alike"
        rows.append((name, model, other, len(happened), int(happened.sum()), *found, note))
    columns = ["cohort", "model", "compared_with", "n", "events", "idi", "lower", "upper", "z", "p"]
    return pd.DataFrame(rows, columns=[*columns, "events_change", "nonevents_change", "note"])
