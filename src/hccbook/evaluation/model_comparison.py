"""Models compared in the same patients: AUCs with notes, clinical combinations, tests in pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hccbook.errors import DataError
from hccbook.evaluation.discrimination import delong_test, noted_auc
from hccbook.evaluation.odds_ratios import check_variables
from hccbook.evaluation.outcomes import by_cohort, check_binary, check_probability, check_values
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
) -> pd.DataFrame:
    """Image scores combined with clinical variables, each of `CLINICAL_COMBINATIONS` compared with ALARM.

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
    unknown = [name for names in CLINICAL_COMBINATIONS.values() for name in names if name not in table]
    if unknown:
        raise DataError("clinical table", "must have the combinations' variables", unknown[0], "Add the column.")
    alarm = check_values(reference, outcome, None, "reference")
    learn = np.asarray(development, dtype=bool)
    if learn.shape != outcome.shape:
        raise DataError("development", f"must have {outcome.size} values", learn.shape, "Give one a patient.")
    predictors = {
        title: _combined(pd.concat([scores, table[list(names)]], axis=1), outcome, learn)
        for title, names in CLINICAL_COMBINATIONS.items()
    }
    given = pd.DataFrame({REFERENCE: alarm, **predictors}, index=table.index)
    not_fitted = given.columns[given.isna().all()]
    return by_cohort(_combination_rows, outcome, given, cohort, each=None, not_fitted=not_fitted)


def _combined(variables: pd.DataFrame, outcome: np.ndarray, learn: np.ndarray) -> np.ndarray:
    """Logit of a regression on the patients to learn from; NaN where a variable is missing or none was fitted."""
    linear = np.full(outcome.size, np.nan)
    known = variables.notna().all(axis=1).to_numpy()
    rows = learn & known
    if 0 < outcome[rows].sum() < rows.sum():
        linear[known] = logistic_score(variables[rows], outcome[rows]).evaluate(variables[known])
    return linear


def _combination_rows(y: pd.Series, predictors: pd.DataFrame, not_fitted: pd.Index) -> pd.DataFrame:
    """ALARM's row, and one a combination, in the patients of one cohort."""
    outcome, alarm = y.to_numpy(), predictors[REFERENCE].to_numpy()
    own = noted_auc(outcome, alarm)
    note = "; ".join(part for part in ("compared with the others", own.note) if part)
    rows = [(REFERENCE, "", outcome.size, int(outcome.sum()), 0, *own[:3], *[np.nan] * 5, note)]
    for title, names in CLINICAL_COMBINATIONS.items():
        linear = predictors[title].to_numpy()
        known = ~np.isnan(linear)
        area, test, note = noted_auc(outcome[known], linear[known]), [np.nan] * 5, _two_of_each(outcome[known])
        if title in not_fitted:
            note = "not fitted: one outcome only in the development cohort"
        elif not note:
            paired = delong_test(outcome[known], linear[known], alarm[known])
            test = paired[2:]
            point = "" if paired.lower < paired.upper else "the difference has no variance"
            note = "; ".join(part for part in (area.note, point) if part)
        counts = (int(known.sum()), int(outcome[known].sum()), int((~known).sum()))
        rows.append((title, ", ".join(names), *counts, *area[:3], *test, note))
    columns = [
        "combination", "variables", "n", "events", "missing", "auc", "lower", "upper", "difference",
        "difference_lower", "difference_upper", "z", "p", "note",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


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
    fitted = {name: logistic_score(development[[name]], outcome) for name in scores}
    predicted = {name: probability(score.evaluate(scores[[name]])) for name, score in fitted.items()}
    return pd.DataFrame(predicted, index=scores.index)


def _against_each(
    compare: Callable[[np.ndarray, pd.Series, pd.Series], list[tuple]],
    columns: Sequence[str],
    y: ArrayLike,
    values: pd.DataFrame,
    cohort: str | ArrayLike,
    model: str,
) -> pd.DataFrame:
    """Rows of one model compared with each of the others, in each cohort."""
    if model not in getattr(values, "columns", ()):
        raise DataError("model", f"must be one of {', '.join(map(str, values))}", repr(model), "Name the column.")
    check_features(values, "values")

    def rows(y: pd.Series, table: pd.DataFrame) -> pd.DataFrame:
        outcome = check_binary(y, both=False)
        others = table.columns.drop(model)
        compared = [(model, str(one), *row) for one in others for row in compare(outcome, table[model], table[one])]
        return pd.DataFrame(compared, columns=["model", "compared_with", *columns])

    return by_cohort(rows, y, values, cohort, each=None)


def delong_table(y: ArrayLike, scores: pd.DataFrame, cohort: str | ArrayLike, model: str = "alarm") -> pd.DataFrame:
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

    def compare(outcome: np.ndarray, own: pd.Series, against: pd.Series) -> list[tuple]:
        counts, note = (outcome.size, int(outcome.sum())), _two_of_each(outcome)
        if note:
            return [(*counts, *[np.nan] * 7, note)]
        test = delong_test(outcome, own, against)
        note = "" if test.lower < test.upper else "the interval is a point: the difference has no variance"
        return [(*counts, *test, note)]

    columns = ["n", "events", "auc", "auc_compared", "difference", "lower", "upper", "z", "p", "note"]
    return _against_each(compare, columns, y, scores, cohort, model)


def nri_table(
    y: ArrayLike, probabilities: pd.DataFrame, cohort: str | ArrayLike, cutoffs: Sequence[float], model: str = "alarm"
) -> pd.DataFrame:
    """Net reclassification by one model instead of each of the others, in each cohort.

    Parameters
    ----------
    y, cohort
        As in `delong_table`.
    probabilities : pandas.DataFrame, shape (n_patients, n_models)
        Predicted probabilities that speak of the same patients (see `single_score_probabilities`).
    cutoffs : sequence of float
        Bounds between risk groups, for the categorical NRI.
    model : str
        The new model; each other column is the old one in turn.

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

    def compare(outcome: np.ndarray, own: pd.Series, against: pd.Series) -> list[tuple]:
        _check_probabilities(outcome, own, against)
        rows = []
        for kind, bounds in (("categorical", cutoffs), ("continuous", None)):
            counts = (kind, outcome.size, int(outcome.sum()))
            if outcome.min() == outcome.max():
                note = f"not estimable: no patient {'without' if outcome[0] else 'with'} HCC"
                rows.append((*counts, *[np.nan] * 7, *[pd.NA] * 4, note))
                continue
            nri = net_reclassification(outcome, against, own, bounds)
            moved = (nri.up_events, nri.down_events, nri.up_nonevents, nri.down_nonevents)
            rows.append((*counts, *nri[:7], *moved, "" if sum(moved) else "nobody changes group"))
        return rows

    moved = ["up_events", "down_events", "up_nonevents", "down_nonevents"]
    columns = ["kind", "n", "events", "nri", "lower", "upper", "z", "p", "events_nri", "nonevents_nri", *moved, "note"]
    return _against_each(compare, columns, y, probabilities, cohort, model).astype(dict.fromkeys(moved, "Int64"))


def idi_table(y: ArrayLike, probabilities: pd.DataFrame, cohort: str | ArrayLike, model: str = "alarm") -> pd.DataFrame:
    """Integrated discrimination improvement of one model over each of the others, in each cohort.

    Parameters
    ----------
    y, probabilities, cohort, model
        As in `nri_table`.

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

    def compare(outcome: np.ndarray, own: pd.Series, against: pd.Series) -> list[tuple]:
        _check_probabilities(outcome, own, against)
        counts, note = (outcome.size, int(outcome.sum())), _two_of_each(outcome)
        if note:
            return [(*counts, *[np.nan] * 7, note)]
        idi = integrated_discrimination(outcome, against, own)
        note = "" if np.isfinite(idi.p) else "no test: all predictions change alike"
        return [(*counts, idi.idi, idi.lower, idi.upper, idi.z, idi.p, idi.events, idi.nonevents, note)]

    columns = ["n", "events", "idi", "lower", "upper", "z", "p", "events_change", "nonevents_change", "note"]
    return _against_each(compare, columns, y, probabilities, cohort, model)


def _check_probabilities(outcome: np.ndarray, *models: pd.Series) -> None:
    for model in models:
        check_probability(model, outcome, None, str(model.name))
