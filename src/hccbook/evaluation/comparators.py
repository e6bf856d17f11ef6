"""Other scores, and other ways to prepare the features, compared with aMAP-CT."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import clone
from statsmodels.stats.multitest import multipletests

from hccbook import scores as published_scores
from hccbook.errors import DataError
from hccbook.evaluation.discrimination import DelongTest, delong_test, noted_auc
from hccbook.evaluation.outcomes import check_binary
from hccbook.evaluation.survival import check_follow_up
from hccbook.features.harmonisation import ComBatHarmoniser
from hccbook.models import AmapCtModel
from hccbook.models.development import CLINICAL
from hccbook.models.longitudinal import check_refit_name

REFERENCE = "aMAP-CT"
"""Score that the others are compared with."""

COMPARATOR_COLUMNS = (
    "cohort", "model", "horizon", "n_cohort", "unknown_outcome", "missing", "n", "events", "auc", "lower", "upper",
    "auc_reference", "difference", "difference_lower", "difference_upper", "z", "p", "p_holm", "tests", "direction",
    "note",
)  # fmt: skip
"""Columns of `comparator_table`."""

UNHARMONISED, HARMONISED, CALIBRATED = "not harmonised", "ComBat", "ComBat, new centres learnt"
"""Variants of `harmonised_auc`."""

_DIFFERENCE = ("difference", "difference_lower", "difference_upper", "z", "p")

HARMONISED_COLUMNS = (
    "variant", "cohort", "n", "events", "centres", "unseen_centres", "auc", "lower", "upper", "difference",
    "difference_lower", "difference_upper", "z", "p", "selected", "note",
)  # fmt: skip
"""Columns of `harmonised_auc`."""


def score_inputs(clinical: pd.DataFrame) -> pd.DataFrame:
    """Arguments of the published scores from the columns of a clinical table.

    Parameters
    ----------
    clinical : pandas.DataFrame, shape (n_patients, n_columns)
        Columns of the manifest, those that there are; without a column cirrhosis all have it, as in both papers.

    Returns
    -------
    pandas.DataFrame, shape (n_patients, n_inputs)
        Columns named as in `hccbook.scores.SCORE_INPUTS`; male from sex, HBV DNA in copies/mL from IU/mL where
        only that is given, and hepatitis C that was cured (hcv_svr) as the cause that THRI has for it. What cannot
        be had is missing.
    """
    names = list(dict.fromkeys(name for inputs in published_scores.SCORE_INPUTS.values() for name in inputs))
    inputs = clinical.reindex(columns=names)
    if "sex" in clinical and "male" not in clinical:
        inputs["male"] = clinical["sex"].map({"male": 1.0, "female": 0.0}).astype(float)
    if "cirrhosis" not in clinical:
        inputs["cirrhosis"] = 1.0
    if "hbv_dna_iu_ml" in clinical:
        converted = inputs["hbv_dna_copies_ml"].isna() & clinical["hbv_dna_iu_ml"].notna()
        copies = inputs["hbv_dna_copies_ml"].astype(float)
        copies[converted] = published_scores.hbv_dna_copies(clinical.loc[converted, "hbv_dna_iu_ml"])
        inputs["hbv_dna_copies_ml"] = copies
    inputs["etiology"] = inputs["etiology"].astype(object).where(inputs["etiology"].notna() & inputs["etiology"].ne(""))
    if "hcv_svr" in clinical:
        cured = clinical["hcv_svr"].astype(str).isin(("1", "1.0", "True")) & inputs["etiology"].eq("HCV")
        inputs.loc[cured, "etiology"] = "HCV after SVR"
    return inputs


def published_comparators(clinical: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores that add points (`hccbook.scores.POINT_SCORES`), for every patient who has their inputs.

    Parameters
    ----------
    clinical : pandas.DataFrame, shape (n_patients, n_columns)
        Columns of the manifest, those that there are; index is the patient.

    Returns
    -------
    scores : pandas.DataFrame, shape (n_patients, n_scores)
        A column a score under its printed name; NaN where an input is missing.
    missing : pandas.DataFrame
        Columns model, reason (for example ``no hbv_dna_iu_ml``), patients; only reasons that occur.

    Raises
    ------
    DataError
        If a value is out of range.
    """
    inputs = score_inputs(clinical)
    columns, rows = {}, []
    for name, points in published_scores.POINT_SCORES.items():
        reasons, label = published_scores.missing_inputs(name, inputs), points.label
        complete = reasons == ""
        values = pd.Series(np.nan, index=clinical.index, dtype=float)
        if complete.any():
            arguments = {column: inputs.loc[complete, column] for column in published_scores.SCORE_INPUTS[name]}
            # Columns that hold missing values elsewhere are objects; the scores want numbers.
            arguments = {key: part if key == "etiology" else part.astype(float) for key, part in arguments.items()}
            values[complete] = getattr(published_scores, name)(**arguments)
        columns[label] = values
        rows += [(label, reason, int(count)) for reason, count in reasons[~complete].value_counts().items()]
    return pd.DataFrame(columns, index=clinical.index), pd.DataFrame(rows, columns=["model", "reason", "patients"])


def outcome_within(hcc: pd.Series, months: pd.Series, horizon: float) -> pd.Series:
    """Whether HCC came within a horizon: 1 yes, 0 no, NaN where follow-up ended before.

    Parameters
    ----------
    hcc, months : pandas.Series, shape (n_patients,)
        1 for HCC during follow-up, 0 otherwise; months to HCC, or to the last visit.
    horizon : float
        Months.

    Returns
    -------
    pandas.Series of float, shape (n_patients,)

    Raises
    ------
    DataError
        If the horizon is not positive, patients differ, an outcome is not 0 or 1, or a time is missing or negative.
    """
    if not horizon > 0:
        raise DataError("horizon", "must be above 0 months", horizon, "Give 18.")
    time, events = check_follow_up(months, hcc)
    within = np.where((events == 1) & (time <= horizon), 1.0, np.where(time >= horizon, 0.0, np.nan))
    return pd.Series(within, index=hcc.index, name="hcc")


def _aligned(scores: Mapping[str, pd.Series], patients: pd.Index) -> dict[str, np.ndarray]:
    arrays = {}
    for name, values in scores.items():
        check_refit_name(name)
        if not isinstance(values, pd.Series):
            raise DataError(f"score {name}", "must be a Series by patient", type(values).__name__, "Give it an index.")
        if values.index.has_duplicates:
            raise DataError(f"score {name}", "must have each patient once", "a patient twice", "Drop repeated rows.")
        array = values.reindex(patients).to_numpy(dtype=float)
        if np.isinf(array).any():
            raise DataError(f"score {name}", "must be finite or missing", "infinite values", "Take them out.")
        arrays[name] = array
    return arrays


def comparator_table(
    clinical: pd.DataFrame, scores: Mapping[str, pd.Series], horizons: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """AUC of every score in every cohort, and DeLong's test against aMAP-CT in the patients who have both.

    A score's AUC takes all patients who have it, so that AUCs of two rows may come from different patients; the
    comparison, with `auc_reference` and `difference`, takes those who have both.

    Parameters
    ----------
    clinical : pandas.DataFrame, shape (n_patients, n_columns)
        Columns cohort, hcc, and months where there are horizons; index is the patient.
    scores : mapping of str to pandas.Series
        Scores by printed name, aMAP-CT among them; a higher value means a higher risk. A patient who is
        absent, or whose value is missing, does not have the score.
    horizons : mapping of str to float, optional
        Scores that are judged by HCC within so many months, as aMAP-2 Plus by 18. Patients whose follow-up ended
        before without HCC are left out there, of aMAP-CT too, which appears once more for each horizon.

    Returns
    -------
    pandas.DataFrame
        Columns of `COMPARATOR_COLUMNS`; one row per cohort, score, horizon. ``n`` have the score and a known outcome,
        ``missing`` have a known outcome alone; ``tests`` are those of a cohort, which Holm's correction holds
        together; ``direction`` is where the score's AUC lies: "above", "below" or "equal" to aMAP-CT's, empty without
        a comparison. What cannot be had is NaN, with a note, and does not count as a test.

    Raises
    ------
    DataError
        If a column or aMAP-CT is absent, patients repeat, or an outcome is not 0 or 1.
    ModelError
        If a score carries the name of a published one that can only be refitted.

    References
    ----------
    aMAP-CT, Table 4 (which corrects for nothing) and Supplementary Table 7. Holm 1979, Scand J Stat 6:65.
    """
    horizons = dict(horizons or {})
    _check_columns(clinical, ("cohort", "hcc", *(["months"] if horizons else [])))
    if clinical.index.has_duplicates:
        raise DataError("clinical table", "must have each patient once", "a patient twice", "Drop repeated rows.")
    unknown = [name for name in (REFERENCE, *horizons) if name not in scores]
    if unknown:
        raise DataError("scores", f"must have {unknown[0]!r}", ", ".join(scores), "Check the spelling.")
    values = _aligned(scores, clinical.index)
    outcomes = {np.inf: check_binary(clinical["hcc"], both=False).astype(float)}
    for horizon in horizons.values():
        outcomes[float(horizon)] = outcome_within(clinical["hcc"], clinical["months"], float(horizon)).to_numpy()
    entries = [(REFERENCE, horizon) for horizon in (np.inf, *sorted(set(outcomes) - {np.inf}))]
    entries += [(name, float(horizons.get(name, np.inf))) for name in values if name != REFERENCE]
    parts = []
    for cohort in pd.unique(clinical["cohort"]):
        here = (clinical["cohort"] == cohort).to_numpy()
        rows = [
            {"model": name, "horizon": horizon, **_compare(outcomes[horizon][here], values[name][here], against)}
            for name, horizon in entries
            for against in [None if name == REFERENCE else values[REFERENCE][here]]
        ]
        part = with_holm(pd.DataFrame(rows)).assign(cohort=cohort)
        parts.append(part.assign(tests=part["p"].count()))
    table = pd.concat(parts, ignore_index=True)
    table["horizon"] = table["horizon"].replace(np.inf, np.nan)
    return table[list(COMPARATOR_COLUMNS)]


def with_holm(table: pd.DataFrame) -> pd.DataFrame:
    """The table with ``p_holm``: Holm's adjustment of its column ``p`` over the tests that were made."""
    tested = table["p"].dropna()
    adjusted = multipletests(tested.to_numpy(), method="holm")[1] if len(tested) else []
    return table.assign(p_holm=pd.Series(adjusted, tested.index, dtype=float))


def _check_columns(clinical: pd.DataFrame, needed: tuple[str, ...]) -> None:
    absent = [name for name in needed if name not in clinical]
    if absent:
        raise DataError("clinical table", f"must have a column {absent[0]!r}", "none", "Add it.")


def _area(outcome: np.ndarray, score: ArrayLike) -> dict[str, object]:
    """AUC of a score, and the columns of a comparison that is not made."""
    area = noted_auc(outcome, score)
    limits = {"auc": area.auc, "lower": area.lower, "upper": area.upper}
    sizes = {"n": len(outcome), "events": int(outcome.sum())}
    return {**sizes, **limits, **dict.fromkeys(_DIFFERENCE, np.nan), "note": area.note}


def _difference(test: DelongTest) -> dict[str, float]:
    return dict(zip(_DIFFERENCE, (test.difference, test.lower, test.upper, test.z, test.p), strict=True))


def _compare(outcome: np.ndarray, score: np.ndarray, against: np.ndarray | None) -> dict[str, object]:
    judged = np.isfinite(outcome)
    scored = judged & np.isfinite(score)
    row = _area(outcome[scored].astype(int), score[scored])
    row |= {"n_cohort": len(outcome), "unknown_outcome": int((~judged).sum()), "missing": int((judged & ~scored).sum())}
    row |= {"auc_reference": np.nan, "direction": ""}
    notes = [row["note"], "ranks patients the wrong way round" if row["auc"] < 0.5 else ""]
    if against is not None:
        both = scored & np.isfinite(against)
        hcc = outcome[both].astype(int)
        if both.sum() < scored.sum():
            notes.append(f"compared in the {int(both.sum())} who have {REFERENCE} too")
        if min(hcc.sum(), (hcc == 0).sum()) < 2:
            notes.append(f"no test: {int(hcc.sum())} patients with and {int((hcc == 0).sum())} without HCC")
        else:
            test = delong_test(hcc, score[both], against[both])
            direction = {-1: "below", 0: "equal", 1: "above"}[int(np.sign(test.difference))]
            row |= {"auc_reference": test.auc_b, **_difference(test), "direction": direction}
            notes.append("" if test.lower < test.upper else "the difference has no variance")
    return row | {"note": "; ".join(filter(None, notes))}


def harmonised_auc(
    clinical: pd.DataFrame, features: pd.DataFrame, model: AmapCtModel | None = None
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """AUC of aMAP-CT refitted on features as they are, after ComBat, and after ComBat that also knows new centres.

    ComBat, whose covariate is aMAP, and the model are fitted on the development cohort; aMAP itself is never
    harmonised. A cohort from a centre that it has nobody of is left as it is by ComBat; in the third variant that
    centre's shift and scale are learnt from the features of its own patients, without their outcomes, which is
    transductive and says so in the note.

    Parameters
    ----------
    clinical : pandas.DataFrame, shape (n_patients, n_columns)
        Columns centre, cohort, role ("development" for those to learn from), hcc.
    features : pandas.DataFrame, shape (n_patients, n_features + 1)
        Columns ``<phase>.<organ>.<name>`` and ``amap``; index of `clinical`.
    model : AmapCtModel, optional
        Settings of the fit; the defaults where not given. One that is fitted already must be so on `features` of the
        same development cohort, and is not fitted to them again.

    Returns
    -------
    aucs : pandas.DataFrame
        Columns of `HARMONISED_COLUMNS`, one row per variant and cohort: AUC with DeLong's interval; difference from the
        AUC without harmonisation in the same patients, with DeLong's test; features in the CT image score. The
        development cohort's AUC is that of the patients learnt from.
    harmonised : dict of str to pandas.DataFrame
        Image features by variant, for `hccbook.features.harmonisation.centre_effect_table`.

    Raises
    ------
    DataError
        If the patients of the two tables differ, a column is absent, or nobody is to learn from.
    ModelError
        If the model or the harmoniser cannot be fitted.

    References
    ----------
    aMAP-CT, Discussion (harmonisation as future work).
    """
    if not clinical.index.equals(features.index):
        raise DataError("features", "must have the clinical table's patients in their order", "another index", "Align.")
    _check_columns(clinical, ("centre", "cohort", "role", "hcc"))
    learn = (clinical["role"] == "development").to_numpy()
    if not learn.any():
        raise DataError("role", "must have patients of 'development'", "none", "Assign cohorts first.")
    hcc = check_binary(clinical["hcc"], both=False)
    combat = ComBatHarmoniser(covariates=(CLINICAL,), keep=(CLINICAL,))
    table = features.join(clinical[combat.centre])
    combat.fit(table[learn])
    calibrated = combat.with_centres(table[~learn]) if (~learn).any() else combat
    variants = {
        UNHARMONISED: features[[CLINICAL, *combat.features_]],
        HARMONISED: combat.transform(table),
        CALIBRATED: calibrated.transform(table),
    }
    wanted = model if model is not None else AmapCtModel()
    plain = wanted if hasattr(wanted, "combination_") else clone(wanted).fit(features[learn], hcc[learn])
    # New centres change nothing in the development cohort, so that one fit serves both variants.
    refitted = clone(wanted).fit(variants[HARMONISED][learn], hcc[learn])
    without, rows = plain.decision_function(variants[UNHARMONISED]), []
    for variant, values in variants.items():
        fitted = plain if variant == UNHARMONISED else refitted
        risk = fitted.decision_function(values)
        for cohort in pd.unique(clinical["cohort"]):
            here = (clinical["cohort"] == cohort).to_numpy()
            centres = set(clinical.loc[here, combat.centre].astype(str))
            row = {"variant": variant, "cohort": cohort, "selected": len(fitted.image_score_.names)}
            row |= {"centres": len(centres), "unseen_centres": len(centres - set(combat.effects_))}
            row |= _area(hcc[here], risk[here])
            if variant != UNHARMONISED and min(hcc[here].sum(), (hcc[here] == 0).sum()) >= 2:
                row |= _difference(delong_test(hcc[here], risk[here], without[here]))
            note = _of_unseen_centres(variant, row["centres"], row["unseen_centres"])
            rows.append(row | {"note": "; ".join(filter(None, [note, row["note"]]))})
    images = {variant: values.drop(columns=CLINICAL) for variant, values in variants.items()}
    return pd.DataFrame(rows)[list(HARMONISED_COLUMNS)], images


def _of_unseen_centres(variant: str, centres: int, unseen: int) -> str:
    if variant == UNHARMONISED or not unseen:
        return ""
    if variant == CALIBRATED:
        return "transductive: the new centre's features were used together"
    return f"{unseen} of {centres} centres unseen, left as they are"
