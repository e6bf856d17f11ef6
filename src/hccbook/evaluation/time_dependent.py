"""Discrimination, calibration and net benefit at a horizon, with follow-up that ends before it taken into account."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hccbook.errors import DataError
from hccbook.evaluation.decision import TREAT_ALL, TREAT_NONE, check_thresholds
from hccbook.evaluation.discrimination import noted_auc
from hccbook.evaluation.outcomes import LEVEL, by_cohort, check_probability, check_values
from hccbook.evaluation.survival import check_follow_up, follow_up_table, incidence_at

HORIZONS_MONTHS = (12.0, 24.0, 36.0)
"""Horizons of `time_dependent_auc_table`."""

_REPLICATES_A_BLOCK = 200


class HorizonAuc(NamedTuple):
    """Cumulative/dynamic AUC at one horizon.

    Attributes
    ----------
    cases, controls, unknown : int
        Patients with HCC by the horizon, those followed beyond it, and those whose follow-up ended without HCC before
        or at it.
    auc : float
        Chance that a patient with HCC by the horizon has the higher score than one without HCC beyond it, ties
        counting half; NaN where there is no such pair.
    lower, upper : float
        Percentile limits of the bootstrap; NaN where there is none.
    note : str
        What keeps the AUC or its interval from being had; empty where nothing does.
    """

    cases: int
    controls: int
    unknown: int
    auc: float
    lower: float
    upper: float
    note: str


def _censoring_weights(
    time: np.ndarray, event: np.ndarray, horizon: float, bootstrap_weights: np.ndarray | None = None
) -> np.ndarray:
    """Inverse-probability-of-censoring weights of the patients whose state at a horizon is known, 0 of the others.

    A patient with HCC at t by the horizon stands for ``1 / G(t-)`` patients, one followed beyond it for
    ``1 / G(horizon)``; G is the Kaplan-Meier estimate of being still followed (Uno et al. 2007, J Am Stat Assoc
    102:527). Where HCC and the end of follow-up fall together, HCC comes first. `bootstrap_weights`, shape
    (n_replicates, n_patients), say how often each patient is there in each replicate; who is not has no weight in it.
    All replicates at once: a thousand take some hundredths of a second, and several seconds in lifelines.
    """
    drawn = np.ones((1, time.size)) if bootstrap_weights is None else bootstrap_weights
    times, position = np.unique(time, return_inverse=True)
    rows = len(drawn)
    leaving, censored, with_hcc = (np.zeros((rows, times.size)) for _ in range(3))
    for target, part in ((leaving, drawn), (censored, drawn * (event == 0)), (with_hcc, drawn * (event == 1))):
        np.add.at(target.T, position, part.T)
    still = leaving[:, ::-1].cumsum(axis=1)[:, ::-1]
    # Those with HCC at a time have left when others' follow-up ends at it.
    at_risk = still - with_hcc
    remaining = 1 - np.divide(censored, at_risk, out=np.zeros_like(censored), where=at_risk > 0)
    after = np.hstack([np.ones((rows, 1)), np.cumprod(remaining, axis=1)])
    case, control = _cases_and_controls(time, event, horizon)
    followed = np.zeros(drawn.shape)
    followed[:, case] = after[:, position[case]]
    followed[:, control] = after[:, [np.searchsorted(times, horizon, side="right")]]
    return np.divide(1.0, followed, out=np.zeros_like(followed), where=followed > 0)


def _cases_and_controls(time: np.ndarray, event: np.ndarray, horizon: float) -> tuple[np.ndarray, np.ndarray]:
    return (event == 1) & (time <= horizon), time > horizon


def _check_horizon(horizon: float) -> float:
    if not (np.isfinite(horizon) and horizon > 0):
        raise DataError("horizon", "must be months above 0", horizon, "Give, for example, 36.")
    return float(horizon)


def _horizon_auc(
    score: np.ndarray, time: np.ndarray, event: np.ndarray, horizon: float, bootstrap_weights: np.ndarray
) -> np.ndarray:
    """AUC of each replicate; NaN where there is no pair."""
    weight = _censoring_weights(time, event, horizon, bootstrap_weights) * bootstrap_weights
    distinct, position = np.unique(score, return_inverse=True)
    cases, controls = (np.zeros((len(weight), distinct.size)) for _ in range(2))
    for target, rows in zip((cases, controls), _cases_and_controls(time, event, horizon), strict=True):
        np.add.at(target.T, position[rows], weight[:, rows].T)
    below = controls.cumsum(axis=1) - 0.5 * controls
    pairs = cases.sum(axis=1) * controls.sum(axis=1)
    return np.divide((cases * below).sum(axis=1), pairs, out=np.full(len(weight), np.nan), where=pairs > 0)


def _bootstrap_weights(event: np.ndarray, replicates: int, rng: np.random.Generator) -> np.ndarray:
    """How often each patient is drawn; patients with and without HCC are drawn apart."""
    drawn = np.zeros((replicates, event.size))
    for outcome in (0, 1):
        rows = np.flatnonzero(event == outcome)
        if rows.size:
            drawn[:, rows] = rng.multinomial(rows.size, np.full(rows.size, 1 / rows.size), replicates)
    return drawn


def time_dependent_auc(
    months: ArrayLike, event: ArrayLike, score: ArrayLike, horizon: float, replicates: int = 1000, seed: int = 0
) -> HorizonAuc:
    """Cumulative/dynamic AUC at a horizon, with inverse-probability-of-censoring weights.

    Cases have HCC by the horizon, controls are followed beyond it without. A patient whose follow-up ended before
    is neither; the weights let those who were followed stand for them, which is right if the end of follow-up has
    nothing to do with score or risk.

    Parameters
    ----------
    months, event : array-like, shape (n_patients,)
        Follow-up to HCC or to the last visit; 1 for HCC, 0 for censored.
    score : array-like, shape (n_patients,)
        A higher value means a higher risk.
    horizon : float
        Months.
    replicates, seed : int
        Bootstrap replicates, patients with and without HCC drawn apart, 0 for no interval; seed of the draws.

    Returns
    -------
    HorizonAuc
        With limits of 95 %.

    Raises
    ------
    DataError
        If a value is missing, a follow-up is negative, the patients do not match, or a setting is out of range.

    References
    ----------
    Heagerty et al. 2000, Biometrics 56:337 (cumulative/dynamic); Uno et al. 2007, J Am Stat Assoc 102:527; Blanche
    et al. 2013, Stat Med 32:5381 (weights).
    """
    time, events = check_follow_up(months, event)
    values = check_values(score, events, event)
    at = _check_horizon(horizon)
    if replicates < 0 or replicates == 1:
        raise DataError("replicates", "must be 0, or 2 or more", replicates, "Give 1000.")
    cases, controls = (int(rows.sum()) for rows in _cases_and_controls(time, events, at))
    counts, nothing = (cases, controls, time.size - cases - controls), float("nan")
    if not cases or not controls:
        note = f"nobody followed beyond {at:g} months" if cases else f"no HCC by {at:g} months"
        return HorizonAuc(*counts, nothing, nothing, nothing, note)
    auc = float(_horizon_auc(values, time, events, at, np.ones((1, time.size)))[0])
    if not replicates:
        return HorizonAuc(*counts, auc, nothing, nothing, "no interval asked for")
    rng = np.random.default_rng(seed)
    blocks = [min(_REPLICATES_A_BLOCK, replicates - start) for start in range(0, replicates, _REPLICATES_A_BLOCK)]
    draws = (_bootstrap_weights(events, size, rng) for size in blocks)
    areas = np.concatenate([_horizon_auc(values, time, events, at, drawn) for drawn in draws])
    defined = areas[np.isfinite(areas)]
    without = areas.size - defined.size
    notes = [f"{without} of {areas.size} replicates without a pair"] if without else []
    if min(cases, controls) == 1:
        notes.append(f"no interval: one patient {'with HCC by then' if cases == 1 else 'followed beyond'}")
        return HorizonAuc(*counts, auc, nothing, nothing, "; ".join(notes))
    lower, upper = np.quantile(defined, [(1 - LEVEL) / 2, 1 - (1 - LEVEL) / 2])
    if lower == upper:
        notes.append("the interval is a point")
    return HorizonAuc(*counts, auc, float(lower), float(upper), "; ".join(notes))


def time_dependent_auc_table(
    months: ArrayLike,
    event: ArrayLike,
    scores: pd.DataFrame,
    cohort: str | ArrayLike,
    replicates: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Cumulative/dynamic AUCs of several scores at `HORIZONS_MONTHS`, beside the paper's binary AUC.

    The binary AUC takes everybody whose follow-up ended without HCC as free of it, however short that follow-up
    was, and everybody with HCC as a case, however late it came.

    Parameters
    ----------
    months, event, replicates, seed
        As in `time_dependent_auc`.
    scores : pandas.DataFrame, shape (n_patients, n_scores)
        A column a score; a higher value means a higher risk.
    cohort : str or array-like, shape (n_patients,)
        Name of the one cohort, or of each patient's.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, model, months, n, cases, controls, unknown, auc, lower, upper, binary_auc, note.

    Raises
    ------
    DataError
        As `time_dependent_auc`.
    """

    def at_horizons(followed: pd.DataFrame, score: pd.Series) -> pd.DataFrame:
        follow_up = (followed["months"], followed["event"], score)
        rows = [
            {"months": horizon, "n": len(score), **time_dependent_auc(*follow_up, horizon, replicates, seed)._asdict()}
            for horizon in HORIZONS_MONTHS
        ]
        table = pd.DataFrame(rows)
        table.insert(len(table.columns) - 1, "binary_auc", noted_auc(followed["event"], score).auc)
        return table

    return by_cohort(at_horizons, follow_up_table(months, event, scores.index), scores.astype(float), cohort)


def survival_calibration_groups(
    months: ArrayLike, event: ArrayLike, p: ArrayLike, horizon: float, groups: int = 5
) -> pd.DataFrame:
    """Cumulative incidence at a horizon in groups of rising prediction, of equal size; equal predictions stay together.

    Parameters
    ----------
    months, event
        As in `time_dependent_auc`.
    p : array-like, shape (n_patients,)
        Predicted probabilities of HCC by the horizon, 0 to 1.
    horizon : float
        Months.
    groups : int
        Groups wanted; fewer come back where predictions are equal.

    Returns
    -------
    pandas.DataFrame
        Columns predicted (mean), observed, lower, upper (Kaplan-Meier, log-log transformed limits of 95 %), n, events
        (by the horizon), at_risk (at the horizon; 0 where the incidence is carried on from before).

    Raises
    ------
    DataError
        If a value is missing or no probability, the patients do not match, or a setting is out of range.

    References
    ----------
    aMAP-CT, Supplementary Fig. 6.
    """
    time, events = check_follow_up(months, event)
    values = check_probability(p, events, event)
    if groups < 1:
        raise DataError("groups", "must be 1 or more", groups, "Give 5.")
    inner = np.unique(np.quantile(values, np.arange(1, groups) / groups))
    label = np.searchsorted(inner, values, side="left")
    horizon, rows = _check_horizon(horizon), []
    for one in np.unique(label):
        chosen = label == one
        incidence = incidence_at(time[chosen], events[chosen], horizon).iloc[0]
        observed = incidence[["incidence", "lower", "upper"]]
        counts = (int(chosen.sum()), incidence["events"], incidence["at_risk"])
        rows.append((float(values[chosen].mean()), *observed, *counts))
    return pd.DataFrame(rows, columns=["predicted", "observed", "lower", "upper", "n", "events", "at_risk"])


def survival_net_benefit(
    months: ArrayLike, event: ArrayLike, p: ArrayLike, thresholds: ArrayLike, horizon: float
) -> np.ndarray:
    """Net benefit of treating those whose probability is at or above a threshold, with censored follow-up.

    ``P(positive) [F - (1 - F) pt/(1 - pt)]``, F being the Kaplan-Meier incidence at the horizon among the
    positives. Where nobody is positive it is 0.

    Parameters
    ----------
    months, event, p
        As in `survival_calibration_groups`.
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
    time, events = check_follow_up(months, event)
    values = check_probability(p, events, event)
    cuts = check_thresholds(thresholds)
    positive = (values >= cuts[:, None]).astype(float)
    # The Kaplan-Meier incidence, as the weighted share of those with HCC: of all thresholds at once.
    weight = _censoring_weights(time, events, _check_horizon(horizon), positive) * positive
    size = positive.sum(axis=1)
    risk = weight[:, (events == 1) & (time <= horizon)].sum(axis=1) / np.maximum(size, 1)
    benefit = size / values.size * (risk - (1 - risk) * cuts / (1 - cuts))
    return np.where(size > 0, benefit, 0.0)


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
    months, event, thresholds, horizon
        As in `survival_net_benefit`.
    probabilities, cohort
        As in `hccbook.evaluation.decision_curves`; probabilities of HCC by the horizon.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, model, threshold, net_benefit; models include "treat all" and "treat none".

    Raises
    ------
    DataError
        As `survival_net_benefit`.
    """
    cuts = np.asarray(thresholds, dtype=float)

    def curve(followed: pd.DataFrame, p: pd.Series) -> pd.DataFrame:
        benefit = survival_net_benefit(followed["months"], followed["event"], p, cuts, horizon)
        return pd.DataFrame({"threshold": cuts, "net_benefit": benefit if p.name != TREAT_NONE else 0.0})

    strategies = probabilities.assign(**{TREAT_ALL: 1.0, TREAT_NONE: 0.0})
    return by_cohort(curve, follow_up_table(months, event, strategies.index), strategies, cohort)
