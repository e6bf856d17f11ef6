"""Discrimination, calibration and net benefit at a horizon, with follow-up that ends before it taken into account."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hccbook.errors import DataError
from hccbook.evaluation.decision import TREAT_ALL, TREAT_NONE
from hccbook.evaluation.model_comparison import noted_auc
from hccbook.evaluation.outcomes import check_level, check_probability, check_values, cohorts
from hccbook.evaluation.survival import _check_follow_up, incidence_at

_REPLICATES_A_BLOCK = 200


class HorizonAuc(NamedTuple):
    """Cumulative/dynamic AUC at one horizon.

    Attributes
    ----------
    auc : float
        Chance that a patient with HCC by the horizon has the higher score than one without HCC beyond it, ties
        counting half; NaN where there is no such pair.
    lower, upper : float
        Percentile limits of the bootstrap; NaN where there is none.
    cases : int
        Patients with HCC by the horizon.
    controls : int
        Patients followed beyond the horizon.
    unknown : int
        Patients whose follow-up ended without HCC before the horizon, or at it: neither.
    note : str
        What keeps the AUC or its interval from being had; empty where nothing does.
    """

    auc: float
    lower: float
    upper: float
    cases: int
    controls: int
    unknown: int
    note: str


def censoring_weights(months: ArrayLike, event: ArrayLike, horizon: float) -> np.ndarray:
    """Inverse-probability-of-censoring weights of the patients whose state at a horizon is known.

    A patient with HCC at t by the horizon stands for ``1 / G(t-)`` patients, one followed beyond the horizon for
    ``1 / G(horizon)``; G is the Kaplan-Meier estimate of being still followed. Where HCC and the end of follow-up
    fall together, HCC comes first.

    Parameters
    ----------
    months : array-like, shape (n_patients,)
        Follow-up to HCC or to the last visit.
    event : array-like, shape (n_patients,)
        1 for HCC, 0 for censored.
    horizon : float
        Months.

    Returns
    -------
    numpy.ndarray, shape (n_patients,)
        0 where the state at the horizon is unknown.

    Raises
    ------
    DataError
        If a follow-up is missing or negative, an event is not 0 or 1, or the horizon is not above 0.

    References
    ----------
    Uno et al. 2007, J Am Stat Assoc 102:527.
    """
    time, happened = _check_follow_up(months, event)
    return _weights(time, happened, _check_horizon(horizon), np.ones((1, time.size)))[0]


def _check_horizon(horizon: float) -> float:
    if not (np.isfinite(horizon) and horizon > 0):
        raise DataError("horizon", "must be months above 0", horizon, "Give, for example, 36.")
    return float(horizon)


def _weights(time: np.ndarray, happened: np.ndarray, horizon: float, copies: np.ndarray) -> np.ndarray:
    """Weights of every patient, for each row of copies (0, 1, 2, ... of each patient); shape as `copies`."""
    times, position = np.unique(time, return_inverse=True)
    rows = len(copies)
    leaving, censored, with_hcc = (np.zeros((rows, times.size)) for _ in range(3))
    for target, part in ((leaving, copies), (censored, copies * (happened == 0)), (with_hcc, copies * (happened == 1))):
        np.add.at(target.T, position, part.T)
    still = leaving[:, ::-1].cumsum(axis=1)[:, ::-1]
    # Those with HCC at a time have left when others' follow-up ends at it.
    at_risk = still - with_hcc
    kept = 1 - np.divide(censored, at_risk, out=np.zeros_like(censored), where=at_risk > 0)
    after = np.cumprod(kept, axis=1)
    before = np.hstack([np.ones((rows, 1)), after[:, :-1]])
    last = np.searchsorted(times, horizon, side="right") - 1
    at_horizon = after[:, last] if last >= 0 else np.ones(rows)
    case = (happened == 1) & (time <= horizon)
    control = time > horizon
    weights = np.zeros(copies.shape)
    # A patient who is not among the copies has no weight, whatever the curve is there.
    reached = before[:, position[case]]
    weights[:, case] = np.divide(1.0, reached, out=np.zeros_like(reached), where=reached > 0)
    inverse = np.divide(1.0, at_horizon, out=np.zeros(rows), where=at_horizon > 0)
    weights[:, control] = inverse[:, None]
    return weights


def _horizon_auc(
    score: np.ndarray, time: np.ndarray, happened: np.ndarray, horizon: float, copies: np.ndarray
) -> np.ndarray:
    """AUC for each row of copies; NaN where there is no pair."""
    weight = _weights(time, happened, horizon, copies) * copies
    case, control = (happened == 1) & (time <= horizon), time > horizon
    distinct, position = np.unique(score, return_inverse=True)
    cases, controls = (np.zeros((len(copies), distinct.size)) for _ in range(2))
    np.add.at(cases.T, position[case], weight[:, case].T)
    np.add.at(controls.T, position[control], weight[:, control].T)
    below = controls.cumsum(axis=1) - 0.5 * controls
    pairs = cases.sum(axis=1) * controls.sum(axis=1)
    return np.divide((cases * below).sum(axis=1), pairs, out=np.full(len(copies), np.nan), where=pairs > 0)


def time_dependent_auc(
    months: ArrayLike,
    event: ArrayLike,
    score: ArrayLike,
    horizon: float,
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> HorizonAuc:
    """Cumulative/dynamic AUC at a horizon, with inverse-probability-of-censoring weights.

    Cases have HCC by the horizon, controls are followed beyond it without. A patient whose follow-up ended before
    is neither; the weights let those who were followed stand for them, which is right if the end of follow-up has
    nothing to do with score or risk.

    Parameters
    ----------
    months : array-like, shape (n_patients,)
        Follow-up to HCC or to the last visit.
    event : array-like, shape (n_patients,)
        1 for HCC, 0 for censored.
    score : array-like, shape (n_patients,)
        A higher value means a higher risk.
    horizon : float
        Months.
    replicates : int
        Bootstrap replicates; patients with and without HCC are drawn apart. 0 for no interval.
    seed : int
        Seed of the draws.
    level : float
        Confidence level.

    Returns
    -------
    HorizonAuc

    Raises
    ------
    DataError
        If a value is missing, a follow-up is negative, the patients do not match, or a setting is out of range.

    References
    ----------
    Heagerty et al. 2000, Biometrics 56:337 (cumulative/dynamic); Uno et al. 2007, J Am Stat Assoc 102:527; Blanche
    et al. 2013, Stat Med 32:5381 (weights).
    """
    time, happened = _check_follow_up(months, event)
    values = check_values(score, happened, event)
    at = _check_horizon(horizon)
    if replicates < 0 or replicates == 1:
        raise DataError("replicates", "must be 0, or 2 or more", replicates, "Give 1000.")
    tail = (1 - check_level(level)) / 2
    case, control = (happened == 1) & (time <= at), time > at
    counts = (int(case.sum()), int(control.sum()), int(time.size - case.sum() - control.sum()))
    if not counts[0] or not counts[1]:
        note = f"no HCC by {at:g} months" if not counts[0] else f"nobody followed beyond {at:g} months"
        return HorizonAuc(np.nan, np.nan, np.nan, *counts, note)
    auc = float(_horizon_auc(values, time, happened, at, np.ones((1, time.size)))[0])
    if not replicates:
        return HorizonAuc(auc, np.nan, np.nan, *counts, "no interval asked for")
    rng = np.random.default_rng(seed)
    sample = []
    for start in range(0, replicates, _REPLICATES_A_BLOCK):
        copies = np.zeros((min(_REPLICATES_A_BLOCK, replicates - start), time.size))
        for outcome in (0, 1):
            rows = np.flatnonzero(happened == outcome)
            if rows.size:
                copies[:, rows] = rng.multinomial(rows.size, np.full(rows.size, 1 / rows.size), len(copies))
        sample.append(_horizon_auc(values, time, happened, at, copies))
    areas = np.concatenate(sample)
    known = areas[np.isfinite(areas)]
    notes = [] if known.size == areas.size else [f"{areas.size - known.size} of {areas.size} replicates without a pair"]
    if min(counts[:2]) == 1:
        notes.append(f"no interval: one patient {'with HCC by then' if counts[0] == 1 else 'followed beyond'}")
        return HorizonAuc(auc, np.nan, np.nan, *counts, "; ".join(notes))
    lower, upper = np.quantile(known, [tail, 1 - tail])
    if lower == upper:
        notes.append("the interval is a point")
    return HorizonAuc(auc, float(lower), float(upper), *counts, "; ".join(notes))


def time_dependent_auc_table(
    months: ArrayLike,
    event: ArrayLike,
    scores: pd.DataFrame,
    cohort: str | ArrayLike,
    horizons: ArrayLike = (12.0, 24.0, 36.0),
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Cumulative/dynamic AUCs of several scores at several horizons, beside the paper's binary AUC.

    The binary AUC takes everybody whose follow-up ended without HCC as free of it, however short that follow-up
    was, and everybody with HCC as a case, however late it came.

    Parameters
    ----------
    months : array-like, shape (n_patients,)
        Follow-up to HCC or to the last visit.
    event : array-like, shape (n_patients,)
        1 for HCC, 0 for censored.
    scores : pandas.DataFrame, shape (n_patients, n_scores)
        A column a score; a higher value means a higher risk.
    cohort : str or array-like, shape (n_patients,)
        Name of the one cohort, or of each patient's.
    horizons : array-like of float
        Months.
    replicates, seed, level
        As in `time_dependent_auc`.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, model, months, n, cases, controls, unknown, auc, lower, upper, binary_auc, note.

    Raises
    ------
    DataError
        As `time_dependent_auc`.
    """
    time, _ = _check_follow_up(months, event)
    given = pd.DataFrame({"months": time}, index=scores.index)
    rows = []
    for name, outcome, own in cohorts(event, given.join(scores, rsuffix="_score"), cohort):
        for score in own.columns[1:]:
            x, t, e = own[score].to_numpy(dtype=float), own["months"].to_numpy(), outcome.to_numpy()
            binary = noted_auc(e, x, level).auc
            for horizon in np.atleast_1d(np.asarray(horizons, dtype=float)):
                found = time_dependent_auc(t, e, x, float(horizon), replicates, seed, level)
                counts = (found.cases, found.controls, found.unknown)
                limits = (found.auc, found.lower, found.upper)
                rows.append((name, score, horizon, x.size, *counts, *limits, binary, found.note))
    columns = ["cohort", "model", "months", "n", "cases", "controls", "unknown", "auc", "lower", "upper"]
    return pd.DataFrame(rows, columns=[*columns, "binary_auc", "note"])


# --- calibration and net benefit --------------------------------------------------------------------------------------


def survival_calibration_groups(
    months: ArrayLike, event: ArrayLike, p: ArrayLike, horizon: float, groups: int = 5, level: float = 0.95
) -> pd.DataFrame:
    """Cumulative incidence at a horizon in groups of rising prediction, of equal size; equal predictions stay together.

    Parameters
    ----------
    months : array-like, shape (n_patients,)
        Follow-up to HCC or to the last visit.
    event : array-like, shape (n_patients,)
        1 for HCC, 0 for censored.
    p : array-like, shape (n_patients,)
        Predicted probabilities of HCC by the horizon, 0 to 1.
    horizon : float
        Months.
    groups : int
        Groups wanted; fewer come back where predictions are equal.
    level : float
        Confidence level (Kaplan-Meier, log-log transformed limits).

    Returns
    -------
    pandas.DataFrame
        Columns predicted (mean), observed, lower, upper, n, events (by the horizon), at_risk (at the horizon; 0
        where the incidence is carried on from before).

    Raises
    ------
    DataError
        If a value is missing or no probability, the patients do not match, or a setting is out of range.

    References
    ----------
    aMAP-CT, Supplementary Fig. 6.
    """
    time, happened = _check_follow_up(months, event)
    values = check_probability(p, happened, event)
    if groups < 1:
        raise DataError("groups", "must be 1 or more", groups, "Give 5.")
    inner = np.unique(np.quantile(values, np.arange(1, groups) / groups))
    label = np.searchsorted(inner, values, side="left")
    rows = []
    for one in np.unique(label):
        chosen = label == one
        found = incidence_at(time[chosen], happened[chosen], _check_horizon(horizon), level=level).iloc[0]
        limits = (found["incidence"], found["lower"], found["upper"])
        rows.append((float(values[chosen].mean()), *limits, int(chosen.sum()), found["events"], found["at_risk"]))
    return pd.DataFrame(rows, columns=["predicted", "observed", "lower", "upper", "n", "events", "at_risk"])


def survival_net_benefit(
    months: ArrayLike, event: ArrayLike, p: ArrayLike, thresholds: ArrayLike, horizon: float
) -> np.ndarray:
    """Net benefit of treating those whose probability is at or above a threshold, with censored follow-up.

    ``P(positive) [F - (1 - F) pt/(1 - pt)]``, F being the Kaplan-Meier incidence at the horizon among the
    positives. Where nobody is positive it is 0.

    Parameters
    ----------
    months : array-like, shape (n_patients,)
        Follow-up to HCC or to the last visit.
    event : array-like, shape (n_patients,)
        1 for HCC, 0 for censored.
    p : array-like, shape (n_patients,)
        Predicted probabilities of HCC by the horizon, 0 to 1.
    thresholds : array-like, shape (n_thresholds,)
        Threshold probabilities pt, 0 or more and below 1.
    horizon : float
        Months. Where the positives' follow-up ends before it, their last incidence is carried on.

    Returns
    -------
    numpy.ndarray, shape (n_thresholds,)

    Raises
    ------
    DataError
        If a value is missing or no probability, the patients do not match, or a setting is out of range.

    References
    ----------
    Vickers et al. 2008, BMC Med Inform Decis Mak 8:53. aMAP-CT, Supplementary Fig. 10.
    """
    time, happened = _check_follow_up(months, event)
    values = check_probability(p, happened, event)
    cuts = np.asarray(thresholds, dtype=float)
    if cuts.ndim != 1 or not cuts.size or not ((cuts >= 0) & (cuts < 1)).all():
        raise DataError("thresholds", "must be 0 or more and below 1", thresholds, "Give probabilities, not per cent.")
    at = _check_horizon(horizon)
    benefit, known = np.zeros(cuts.size), {}
    for place, cut in enumerate(cuts):
        positive = values >= cut
        size = int(positive.sum())
        if not size:
            continue
        # Those who are positive are known by their number.
        if size not in known:
            known[size] = float(incidence_at(time[positive], happened[positive], at)["incidence"].iloc[0])
        risk = known[size]
        benefit[place] = size / values.size * (risk - (1 - risk) * cut / (1 - cut))
    return benefit


def survival_decision_curves(
    months: ArrayLike,
    event: ArrayLike,
    probabilities: pd.DataFrame,
    cohort: str | ArrayLike,
    thresholds: ArrayLike,
    horizon: float,
) -> pd.DataFrame:
    """Decision curves of several models in several cohorts at a horizon, with both reference strategies.

    Parameters
    ----------
    months : array-like, shape (n_patients,)
        Follow-up to HCC or to the last visit.
    event : array-like, shape (n_patients,)
        1 for HCC, 0 for censored.
    probabilities : pandas.DataFrame, shape (n_patients, n_models)
        Predicted probabilities of HCC by the horizon, a column a model.
    cohort : str or array-like, shape (n_patients,)
        Name of the one cohort, or of each patient's.
    thresholds : array-like, shape (n_thresholds,)
        Threshold probabilities, 0 or more and below 1.
    horizon : float
        Months.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, model, threshold, net_benefit; models include "treat all" and "treat none".

    Raises
    ------
    DataError
        As `survival_net_benefit`.
    """
    time, _ = _check_follow_up(months, event)
    cuts = np.asarray(thresholds, dtype=float)
    followed = pd.Series(time, index=probabilities.index)
    parts = []
    for name, outcome, values in cohorts(event, probabilities, cohort):
        own = followed.loc[values.index].to_numpy()
        strategies = {model: values[model].to_numpy() for model in values} | {TREAT_ALL: np.ones(len(values))}
        curves = {
            model: survival_net_benefit(own, outcome.to_numpy(), one, cuts, horizon)
            for model, one in strategies.items()
        }
        curves[TREAT_NONE] = np.zeros(cuts.size)
        for model, benefit in curves.items():
            parts.append(pd.DataFrame({"cohort": name, "model": model, "threshold": cuts, "net_benefit": benefit}))
    return pd.concat(parts, ignore_index=True)
