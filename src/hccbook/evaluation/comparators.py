"""Other scores, and other ways to prepare the features, held against aMAP-CT.

References
----------
aMAP-CT, Table 4 and Supplementary Table 7; Discussion (harmonisation as future work).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import clone
from statsmodels.stats.multitest import multipletests

from hccbook import scores as published_scores
from hccbook.errors import DataError
from hccbook.evaluation.discrimination import delong_test
from hccbook.evaluation.model_comparison import noted_auc
from hccbook.evaluation.outcomes import check_binary, check_level
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

HARMONISED_COLUMNS = (
    "variant", "cohort", "n", "events", "centres", "unseen_centres", "auc", "lower", "upper", "difference",
    "difference_lower", "difference_upper", "z", "p", "selected", "note",
)  # fmt: skip
"""Columns of `harmonised_auc`."""


def score_inputs(clinical: pd.DataFrame, cirrhosis: bool | None = True) -> pd.DataFrame:
    """Arguments of the published scores from the columns of a clinical table.

    Parameters
    ----------
    clinical : pandas.DataFrame, shape (n_patients, n_columns)
        Columns of the manifest, those that there are.
    cirrhosis : bool, optional
        Whether all patients have cirrhosis, as in both papers; None leaves it missing.

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
    if "cirrhosis" not in clinical and cirrhosis is not None:
        inputs["cirrhosis"] = float(cirrhosis)
    if "hbv_dna_iu_ml" in clinical:
        known = inputs["hbv_dna_copies_ml"].isna() & clinical["hbv_dna_iu_ml"].notna()
        copies = inputs["hbv_dna_copies_ml"].astype(float)
        copies[known] = published_scores.hbv_dna_copies(clinical.loc[known, "hbv_dna_iu_ml"])
        inputs["hbv_dna_copies_ml"] = copies
    inputs["etiology"] = inputs["etiology"].astype(object).where(inputs["etiology"].notna() & inputs["etiology"].ne(""))
    if "hcv_svr" in clinical:
        cured = clinical["hcv_svr"].astype(str).isin(("1", "1.0", "True")) & inputs["etiology"].eq("HCV")
        inputs.loc[cured, "etiology"] = "HCV after SVR"
    return inputs


def published_comparators(
    clinical: pd.DataFrame, names: Sequence[str] = tuple(published_scores.POINT_SCORES)
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores that add points, for every patient who has their inputs.

    Parameters
    ----------
    clinical : pandas.DataFrame, shape (n_patients, n_columns)
        Columns of the manifest, those that there are; index is the patient.
    names : sequence of str
        Scores of `hccbook.scores.POINT_SCORES`.

    Returns
    -------
    scores : pandas.DataFrame, shape (n_patients, n_scores)
        A column a score under its printed name; NaN where an input is missing.
    missing : pandas.DataFrame
        Columns model, reason (for example ``no hbv_dna_iu_ml``), patients; only reasons that occur.

    Raises
    ------
    DataError
        If a score is unknown, or a value is out of range.
    """
    inputs = score_inputs(clinical)
    columns, rows = {}, []
    for name in names:
        reasons = published_scores.missing_inputs(name, inputs)
        label = published_scores.POINT_SCORES[name].label
        known = reasons == ""
        values = pd.Series(np.nan, index=clinical.index, dtype=float)
        if known.any():
            given = {column: inputs.loc[known, column] for column in published_scores.SCORE_INPUTS[name]}
            # Columns that hold missing values elsewhere are objects; the scores want numbers.
            given = {key: part if key == "etiology" else part.astype(float) for key, part in given.items()}
            values[known] = getattr(published_scores, name)(**given)
        columns[label] = values
        rows += [(label, reason, int(count)) for reason, count in reasons[~known].value_counts().items()]
    return pd.DataFrame(columns, index=clinical.index), pd.DataFrame(rows, columns=["model", "reason", "patients"])


def outcome_within(hcc: pd.Series, months: pd.Series, horizon: float) -> pd.Series:
    """Whether HCC came within a horizon: 1 yes, 0 no, NaN where follow-up ended before.

    Parameters
    ----------
    hcc : pandas.Series, shape (n_patients,)
        1 for HCC during follow-up, 0 otherwise.
    months : pandas.Series, shape (n_patients,)
        Months to HCC, or to the last visit.
    horizon : float
        Months.

    Returns
    -------
    pandas.Series of float, shape (n_patients,)

    Raises
    ------
    DataError
        If the horizon is not positive, patients differ, an outcome is not 0 or 1, or a time is missing.
    """
    if not horizon > 0:
        raise DataError("horizon", "must be above 0 months", horizon, "Give 18.")
    if not hcc.index.equals(months.index):
        raise DataError("months", "must have the outcome's patients in their order", "another index", "Align the two.")
    happened, time = check_binary(hcc, both=False), months.to_numpy(dtype=float)
    if not np.isfinite(time).all():
        raise DataError("months", "must be finite", f"{int((~np.isfinite(time)).sum())} missing", "Leave them out.")
    within = np.where((happened == 1) & (time <= horizon), 1.0, np.where(time >= horizon, 0.0, np.nan))
    return pd.Series(within, index=hcc.index, name="hcc")


def _aligned(scores: Mapping[str, pd.Series], patients: pd.Index) -> dict[str, np.ndarray]:
    found = {}
    for name, values in scores.items():
        check_refit_name(name)
        if not isinstance(values, pd.Series):
            raise DataError(f"score {name}", "must be a Series by patient", type(values).__name__, "Give it an index.")
        if values.index.has_duplicates:
            raise DataError(f"score {name}", "must have each patient once", "a patient twice", "Drop repeated rows.")
        array = values.reindex(patients).to_numpy(dtype=float)
        if np.isinf(array).any():
            raise DataError(f"score {name}", "must be finite or missing", "infinite values", "Take them out.")
        found[name] = array
    return found


def comparator_table(
    clinical: pd.DataFrame,
    scores: Mapping[str, pd.Series],
    reference: str = REFERENCE,
    horizons: Mapping[str, float] | None = None,
    family: Literal["cohort", "table"] = "cohort",
    level: float = 0.95,
) -> pd.DataFrame:
    """AUC of every score in every cohort, and DeLong's test against aMAP-CT in the patients who have both.

    A score's AUC takes all patients who have it, so that AUCs of two rows may come from different patients; the
    comparison, with `auc_reference` and `difference`, takes those who have both.

    Parameters
    ----------
    clinical : pandas.DataFrame, shape (n_patients, n_columns)
        Columns cohort, hcc, and months where there are horizons; index is the patient.
    scores : mapping of str to pandas.Series
        Scores by printed name, the reference among them; a higher value means a higher risk. A patient who is
        absent, or whose value is missing, does not have the score.
    reference : str
        Score that the others are compared with.
    horizons : mapping of str to float, optional
        Scores that are judged by HCC within so many months, as aMAP-2 Plus by 18. Patients whose follow-up ended
        before without HCC are left out there, of the reference too. The reference appears once more for each
        horizon.
    family : {"cohort", "table"}
        Tests that Holm's correction holds together: those of a cohort, or all of the table.
    level : float
        Confidence level.

    Returns
    -------
    pandas.DataFrame
        Columns of `COMPARATOR_COLUMNS`; a row a cohort, score and horizon. ``n`` have the score and a known outcome,
        ``missing`` have a known outcome alone; ``tests`` is the size of the family; ``direction`` is where the
        score's AUC lies: "above", "below" or "equal" to the reference's, empty without a comparison. What cannot be
        had is NaN, with a note, and does not count as a test.

    Raises
    ------
    DataError
        If a column or the reference is absent, patients repeat, or an outcome is not 0 or 1.
    ModelError
        If a score carries the name of a published one that can only be refitted.

    References
    ----------
    aMAP-CT, Table 4 (which corrects for nothing). Holm 1979, Scand J Stat 6:65.
    """
    horizons = dict(horizons or {})
    needed = ["cohort", "hcc", *(["months"] if horizons else [])]
    absent = [name for name in needed if name not in clinical]
    if absent:
        raise DataError("clinical table", f"must have a column {absent[0]!r}", "none", "Add it.")
    if clinical.index.has_duplicates:
        raise DataError("clinical table", "must have each patient once", "a patient twice", "Drop repeated rows.")
    unknown = [name for name in (reference, *horizons) if name not in scores]
    if unknown:
        raise DataError("scores", f"must have {unknown[0]!r}", ", ".join(scores), "Check the spelling.")
    if family not in ("cohort", "table"):
        raise DataError("family", "must be 'cohort' or 'table'", repr(family), "Choose one of them.")
    check_level(level)
    values = _aligned(scores, clinical.index)
    happened = check_binary(clinical["hcc"], both=False)
    outcomes: dict[float, np.ndarray] = {np.inf: happened.astype(float)}
    for horizon in horizons.values():
        outcomes[float(horizon)] = outcome_within(clinical["hcc"], clinical["months"], float(horizon)).to_numpy()
    entries = [(reference, np.inf), *((reference, horizon) for horizon in sorted(outcomes) if horizon != np.inf)]
    entries += [(name, float(horizons.get(name, np.inf))) for name in values if name != reference]
    rows = []
    for cohort in pd.unique(clinical["cohort"]):
        here = (clinical["cohort"] == cohort).to_numpy()
        for name, horizon in entries:
            row = _compare(outcomes[horizon][here], values[name][here], values[reference][here], name, reference, level)
            rows.append({"cohort": cohort, "model": name, "horizon": horizon, **row})
    table = pd.DataFrame(rows)
    table["horizon"] = table["horizon"].replace(np.inf, np.nan)
    table["p_holm"], table["tests"] = np.nan, 0
    families = [table.index] if family == "table" else list(table.groupby("cohort", sort=False).groups.values())
    for members in families:
        p = table.loc[members, "p"].dropna()
        table.loc[members, "tests"] = len(p)
        if len(p):
            table.loc[p.index, "p_holm"] = multipletests(p.to_numpy(), method="holm")[1]
    return table[list(COMPARATOR_COLUMNS)]


def _compare(
    outcome: np.ndarray, score: np.ndarray, against: np.ndarray, name: str, reference: str, level: float
) -> dict[str, object]:
    judged = np.isfinite(outcome)
    own = judged & np.isfinite(score)
    area = noted_auc(outcome[own].astype(int), score[own], level)
    notes = [area.note] if area.note else []
    if area.auc < 0.5:
        notes.append("ranks patients the wrong way round")
    row = {
        "n_cohort": len(outcome),
        "unknown_outcome": int((~judged).sum()),
        "missing": int((judged & ~own).sum()),
        "n": int(own.sum()),
        "events": int(outcome[own].sum()),
        "auc": area.auc,
        "lower": area.lower,
        "upper": area.upper,
        **dict.fromkeys(("auc_reference", "difference", "difference_lower", "difference_upper", "z", "p"), np.nan),
        "direction": "",
    }
    if name != reference:
        both = own & np.isfinite(against)
        happened = outcome[both].astype(int)
        least = min(int(happened.sum()), int((happened == 0).sum()))
        if both.sum() < own.sum():
            notes.append(f"compared in the {int(both.sum())} who have {reference} too")
        if least < 2:
            notes.append(f"no test: {int(happened.sum())} patients with and {int((happened == 0).sum())} without HCC")
        else:
            test = delong_test(happened, score[both], against[both], level)
            row |= {
                "auc_reference": test.auc_b,
                "difference": test.difference,
                "difference_lower": test.lower,
                "difference_upper": test.upper,
                "z": test.z,
                "p": test.p,
                "direction": {-1: "below", 0: "equal", 1: "above"}[int(np.sign(test.difference))],
            }
            if not test.lower < test.upper:
                notes.append("the difference has no variance")
    return row | {"note": "; ".join(notes)}


def harmonised_auc(
    clinical: pd.DataFrame,
    features: pd.DataFrame,
    model: AmapCtModel | None = None,
    harmoniser: ComBatHarmoniser | None = None,
    level: float = 0.95,
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """AUC of aMAP-CT refitted on features as they are, after ComBat, and after ComBat that also knows new centres.

    ComBat and the model are fitted on the development cohort. A cohort from a centre that it has nobody of is left
    as it is by ComBat; in the third variant that centre's shift and scale are learnt from the features of its own
    patients, without their outcomes, which is transductive and says so in the note.

    Parameters
    ----------
    clinical : pandas.DataFrame, shape (n_patients, n_columns)
        Columns centre, cohort, role ("development" for those to learn from), hcc, and the harmoniser's covariates.
    features : pandas.DataFrame, shape (n_patients, n_features + 1)
        Columns ``<phase>.<organ>.<name>`` and ``amap``; index of `clinical`.
    model : AmapCtModel, optional
        Settings of the fit; the defaults where not given. One that is fitted already must be so on `features` of the
        same development cohort, and is not fitted to them again.
    harmoniser : ComBatHarmoniser, optional
        Settings of ComBat; where not given, aMAP is its covariate. ``amap`` itself is never harmonised.
    level : float
        Confidence level.

    Returns
    -------
    aucs : pandas.DataFrame
        Columns of `HARMONISED_COLUMNS`, a row a variant and cohort: AUC with DeLong's interval; difference from the
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
    """
    if not clinical.index.equals(features.index):
        raise DataError("features", "must have the clinical table's patients in their order", "another index", "Align.")
    absent = [name for name in ("centre", "cohort", "role", "hcc") if name not in clinical]
    if absent:
        raise DataError("clinical table", f"must have a column {absent[0]!r}", "none", "Add it.")
    learn = (clinical["role"] == "development").to_numpy()
    if not learn.any():
        raise DataError("role", "must have patients of 'development'", "none", "Assign cohorts first.")
    check_level(level)
    happened = check_binary(clinical["hcc"], both=False)
    asked = harmoniser if harmoniser is not None else ComBatHarmoniser(covariates=(CLINICAL,))
    combat = clone(asked).set_params(keep=(CLINICAL,))
    beside = [name for name in (combat.centre, *combat.covariates) if name not in features]
    table = pd.concat([features, clinical[beside]], axis=1)
    combat.fit(table[learn])
    calibrated = combat.with_centres(table[~learn]) if (~learn).any() else combat
    variants = {
        UNHARMONISED: features[[CLINICAL, *combat.features_]],
        HARMONISED: combat.transform(table),
        CALIBRATED: calibrated.transform(table),
    }
    known = set(combat.effects_)
    wanted = model if model is not None else AmapCtModel()
    plain = wanted if hasattr(wanted, "combination_") else clone(wanted).fit(features[learn], happened[learn])
    # New centres change nothing in the development cohort, so that one fit serves both variants.
    refitted = clone(wanted).fit(variants[HARMONISED][learn], happened[learn])
    fits = {UNHARMONISED: plain, HARMONISED: refitted, CALIBRATED: refitted}
    found, rows = {}, []
    for variant, values in variants.items():
        fitted = fits[variant]
        found[variant] = fitted.decision_function(values)
        for cohort in pd.unique(clinical["cohort"]):
            here = (clinical["cohort"] == cohort).to_numpy()
            centres = set(clinical.loc[here, combat.centre].astype(str))
            rows.append(
                {
                    "variant": variant,
                    "cohort": cohort,
                    "centres": len(centres),
                    "unseen_centres": len(centres - known),
                    "selected": len(fitted.image_score_.names),
                    **_against_unharmonised(
                        happened[here], found[variant][here], found[UNHARMONISED][here], variant, level
                    ),
                }
            )
            if variant == CALIBRATED and centres - known:
                note = "transductive: the new centre's features were used together"
                rows[-1]["note"] = "; ".join(part for part in (note, rows[-1]["note"]) if part)
            elif variant == HARMONISED and centres - known:
                note = f"{len(centres - known)} of {len(centres)} centres unseen, left as they are"
                rows[-1]["note"] = "; ".join(part for part in (note, rows[-1]["note"]) if part)
    images = {variant: values.drop(columns=CLINICAL) for variant, values in variants.items()}
    return pd.DataFrame(rows)[list(HARMONISED_COLUMNS)], images


def _against_unharmonised(
    happened: np.ndarray, score: ArrayLike, without: ArrayLike, variant: str, level: float
) -> dict[str, object]:
    area = noted_auc(happened, score, level)
    row = {
        "n": happened.size,
        "events": int(happened.sum()),
        "auc": area.auc,
        "lower": area.lower,
        "upper": area.upper,
        **dict.fromkeys(("difference", "difference_lower", "difference_upper", "z", "p"), np.nan),
        "note": area.note,
    }
    if variant != UNHARMONISED and min(happened.sum(), (happened == 0).sum()) >= 2:
        test = delong_test(happened, score, without, level)
        row |= {
            "difference": test.difference,
            "difference_lower": test.lower,
            "difference_upper": test.upper,
            "z": test.z,
            "p": test.p,
        }
    return row
