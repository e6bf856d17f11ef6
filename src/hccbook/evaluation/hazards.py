"""Hazard ratios of HCC: between risk groups, and for a step of a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import brentq, linprog, minimize
from scipy.stats import chi2, norm

from hccbook.errors import DataError
from hccbook.evaluation.outcomes import check_level
from hccbook.evaluation.survival import _check_follow_up, _event_table, _labels, _strata, group_order
from hccbook.features.selection import constant_features

PARTIAL_LIKELIHOOD, FIRTH = "partial likelihood", "Firth"

HAZARD_RATIO_COLUMNS = (
    "cohort",
    "model",
    "group",
    "reference",
    "step",
    "n",
    "events",
    "n_reference",
    "events_reference",
    "hazard_ratio",
    "lower",
    "upper",
    "p",
    "p_proportional",
    "method",
    "note",
)
"""Columns of `group_hazard_ratios` and `score_hazard_ratios`."""

_ESTIMATES = ("hazard_ratio", "lower", "upper", "p", "p_proportional")
_MONOTONE = 1e-7
_MAX_ITER = 100
_FURTHEST = 60.0  # beyond exp(60) a hazard ratio has no meaning, and no limit is looked for


class CoxFit(NamedTuple):
    """Log hazard ratios of a Cox model.

    Attributes
    ----------
    weights, lower, upper, p : numpy.ndarray, shape (n_covariates,)
        Log hazard ratios a unit, their limits and two-sided p.
    p_proportional : numpy.ndarray, shape (n_covariates,)
        p of the test of proportional hazards on scaled Schoenfeld residuals; NaN where it was not made.
    log_likelihood : float
        Partial log-likelihood at the weights, without a penalty.
    method : str
        ``partial likelihood`` (Wald limits and p) or ``Firth`` (limits and p from the profile of the penalised
        likelihood).
    """

    weights: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    p: np.ndarray
    p_proportional: np.ndarray
    log_likelihood: float
    method: str


def _design(covariates: ArrayLike, rows: int) -> np.ndarray:
    design = np.asarray(covariates, dtype=float)
    if design.ndim != 2 or len(design) != rows or not design.shape[1] or not np.isfinite(design).all():
        raise DataError(
            "covariates", f"must be a finite table of {rows} rows", f"shape {design.shape}", "Align them, fill gaps."
        )
    return design


class _Partial(NamedTuple):
    """Partial likelihood at some weights, with Efron's treatment of ties.

    ``residuals`` are Schoenfeld's, a row an event in the order of time; ``at`` are the times of the events.
    """

    value: float
    gradient: np.ndarray
    information: np.ndarray
    residuals: np.ndarray
    at: np.ndarray


def _efron(weights: np.ndarray, design: np.ndarray, months: np.ndarray, event: np.ndarray) -> _Partial:
    order = np.argsort(-months, kind="stable")
    x, time, happened = design[order], months[order], event[order] == 1
    shift = float((x @ weights).max())
    risk = np.exp(x @ weights - shift)
    # Patients still followed at a time are the first ones in falling order of follow-up.
    first = np.cumsum(risk)
    second = np.cumsum(risk[:, None] * x, axis=0)
    third = np.cumsum(risk[:, None, None] * x[:, :, None] * x[:, None, :], axis=0)
    value, information = 0.0, np.zeros((x.shape[1], x.shape[1]))
    residuals, at = [], []
    for moment in np.unique(time[happened]):
        last = np.searchsorted(-time, -moment, side="right") - 1
        tied = happened & (time == moment)
        r, xt = risk[tied], x[tied]
        own = r.sum(), r @ xt, (r[:, None, None] * xt[:, :, None] * xt[:, None, :]).sum(axis=0)
        value += float((xt @ weights).sum()) - shift * r.size
        expected = np.zeros(x.shape[1])
        for share in np.arange(r.size) / r.size:
            s0, s1, s2 = first[last] - share * own[0], second[last] - share * own[1], third[last] - share * own[2]
            value -= float(np.log(s0))
            information += s2 / s0 - np.outer(s1, s1) / s0**2
            expected += s1 / s0 / r.size
        residuals.append(xt - expected)
        at.append(np.full(r.size, moment))
    found = np.concatenate(residuals)
    return _Partial(value, found.sum(axis=0), information, found, np.concatenate(at))


def _newton(design: np.ndarray, months: np.ndarray, event: np.ndarray) -> tuple[np.ndarray, _Partial]:
    """Maximum of the partial likelihood, which is concave: Newton steps, halved while they do not climb."""
    weights = np.zeros(design.shape[1])
    here = _efron(weights, design, months, event)
    for _ in range(_MAX_ITER):
        step = np.linalg.solve(here.information, here.gradient)
        there = _efron(weights + step, design, months, event)
        while not there.value >= here.value - 1e-12 * (1 + abs(here.value)):
            step /= 2
            there = _efron(weights + step, design, months, event)
        weights, here = weights + step, there
        if np.abs(step).max() < 1e-10 * (1 + np.abs(weights).max()):
            return weights, here
    raise DataError(
        "Cox regression",
        f"must converge in {_MAX_ITER} steps",
        f"a last step of {np.abs(step).max():.2g}",
        "Look for a covariate that nearly repeats another, and leave one of the two out.",
    )


def _proportional_p(fitted: _Partial, variance: np.ndarray, months: np.ndarray, event: np.ndarray) -> np.ndarray:
    """P of no trend of the scaled Schoenfeld residuals over Kaplan-Meier transformed time, by covariate."""
    times, events, at_risk = _event_table(months, event)
    survival = np.cumprod(1 - events / at_risk)[np.searchsorted(times, fitted.at)]
    centred = survival - survival.mean()
    spread = float(centred @ centred)
    if spread < 1e-12:
        return np.full(len(variance), np.nan)
    deaths = len(fitted.residuals)
    scaled = deaths * fitted.residuals @ variance
    return chi2.sf((centred @ scaled) ** 2 / (deaths * np.diag(variance) * spread), 1)


def _is_monotone(design: np.ndarray, months: np.ndarray, event: np.ndarray) -> bool:
    """Whether some direction puts every event at the top of all who were at risk: the likelihood has no maximum.

    A linear program over the differences between each patient with HCC and everybody at risk at that time.
    """
    differences = []
    for one in np.flatnonzero(event == 1):
        differences.append(design[one] - design[months >= months[one]])
    rows = np.unique(np.round(np.concatenate(differences), 12), axis=0)
    rows = rows[np.abs(rows).max(axis=1) > 0]
    if not len(rows):
        return False
    if rows.shape[1] == 1:
        return bool((rows > 0).all() or (rows < 0).all())
    found = linprog(-rows.sum(axis=0), A_ub=-rows, b_ub=np.zeros(len(rows)), bounds=(-1, 1), method="highs")
    return bool(-found.fun > _MONOTONE)


def firth_cox(months: ArrayLike, event: ArrayLike, covariates: ArrayLike, level: float = 0.95) -> CoxFit:
    """Cox regression with Firth's penalty, whose weights are finite where a group has no event.

    The partial likelihood (Efron's ties) is multiplied by the root of the information's determinant.

    Parameters
    ----------
    months : array-like, shape (n_patients,)
        Follow-up to HCC or to the last visit.
    event : array-like, shape (n_patients,)
        1 for HCC, 0 for censored.
    covariates : array-like, shape (n_patients, n_covariates)
        Of full rank among those at risk at the events.
    level : float
        Confidence level.

    Returns
    -------
    CoxFit
        Limits and p from the profile of the penalised likelihood; no test of proportional hazards. A limit that
        lies beyond a log hazard ratio of 60 is infinite.

    Raises
    ------
    DataError
        If there is no event, a value is missing, or the covariates tell nothing apart at the events.

    References
    ----------
    Firth 1993, Biometrika 80:27; Heinze and Schemper 2001, Biometrics 57:114. Ties: Efron 1977, J Am Stat Assoc
    72:557.
    """
    time, happened = _check_follow_up(months, event)
    design = _design(covariates, time.size)
    if not happened.any():
        raise DataError("event", "must hold a patient with HCC", "none", "Pool cohorts, or leave this one out.")
    # One scale for all columns keeps the search well conditioned; a constant column has no information at all.
    scale = np.where(constant_features(design), 1.0, design.std(axis=0))
    z = design / scale

    def shortfall(weights: np.ndarray) -> float:
        there = _efron(weights, z, time, happened)
        sign, log_determinant = np.linalg.slogdet(there.information)
        return -(there.value + 0.5 * log_determinant) if sign > 0 else np.inf

    if not np.isfinite(shortfall(np.zeros(z.shape[1]))):
        raise DataError(
            "covariates",
            "must tell patients at risk apart",
            "no information at the events",
            "Leave out the group that nobody is followed in when somebody has HCC.",
        )

    def best(held: int | None, at: float, start: np.ndarray) -> tuple[float, np.ndarray]:
        free = [column for column in range(z.shape[1]) if column != held]

        def full(part: np.ndarray) -> np.ndarray:
            whole = np.empty(z.shape[1])
            whole[free] = part
            if held is not None:
                whole[held] = at
            return whole

        if not free:
            return shortfall(full(np.empty(0))), full(np.empty(0))
        found = minimize(lambda part: shortfall(full(part)), start[free], method="Nelder-Mead", options=_SEARCH)
        return float(found.fun), full(found.x)

    least, weights = best(None, 0.0, np.zeros(z.shape[1]))
    allowed = float(chi2.isf(1 - check_level(level), 1)) / 2
    lower, upper, p = (np.empty(weights.size) for _ in range(3))
    for one in range(weights.size):

        def surplus(value: float, one: int = one) -> float:
            return best(one, value, weights)[0] - least - allowed

        lower[one], upper[one] = (_limit(surplus, weights[one], sign) for sign in (-1, 1))
        p[one] = chi2.sf(2 * max(surplus(0.0) + allowed, 0.0), 1)
    return CoxFit(
        weights / scale,
        lower / scale,
        upper / scale,
        p,
        np.full(weights.size, np.nan),
        _efron(weights, z, time, happened).value,
        FIRTH,
    )


_SEARCH = {"xatol": 1e-9, "fatol": 1e-11, "maxiter": 4000, "maxfev": 4000}


def _limit(surplus, estimate: float, sign: int) -> float:
    reach = 0.5
    while surplus(estimate + sign * reach) < 0:
        reach *= 2
        if reach > _FURTHEST:
            return float(sign * np.inf)
    return float(brentq(surplus, *sorted((estimate, estimate + sign * reach)), xtol=1e-8))


def cox_regression(months: ArrayLike, event: ArrayLike, covariates: ArrayLike, level: float = 0.95) -> CoxFit:
    """Cox regression with Efron's treatment of ties, penalised where the likelihood has no maximum.

    Parameters
    ----------
    months : array-like, shape (n_patients,)
        Follow-up to HCC or to the last visit.
    event : array-like, shape (n_patients,)
        1 for HCC, 0 for censored.
    covariates : array-like, shape (n_patients, n_covariates)
        Covariates, of full rank.
    level : float
        Confidence level.

    Returns
    -------
    CoxFit
        By Newton steps, with the test of proportional hazards on Kaplan-Meier transformed time; from `firth_cox`
        where every event is at the top of those at risk in some direction (a group without events, for example).

    Raises
    ------
    DataError
        If there is no event, a value is missing, or the covariates tell nothing apart at the events.

    References
    ----------
    Cox 1972, J R Stat Soc B 34:187; Efron 1977, J Am Stat Assoc 72:557; Grambsch and Therneau 1994, Biometrika
    81:515 (proportional hazards). aMAP-CT, Results, HCC risk stratification; Supplementary Table 5.
    """
    time, happened = _check_follow_up(months, event)
    design = _design(covariates, time.size)
    if not happened.any():
        raise DataError("event", "must hold a patient with HCC", "none", "Pool cohorts, or leave this one out.")
    if _is_monotone(design, time, happened):
        return firth_cox(time, happened, design, level)
    # Columns of unit spread keep the steps well conditioned.
    scale = np.where(constant_features(design), 1.0, design.std(axis=0))
    z = design / scale
    if np.linalg.slogdet(_efron(np.zeros(z.shape[1]), z, time, happened).information)[0] <= 0:
        raise DataError(
            "covariates", "must tell patients at risk apart", "no information at the events", "Leave one group out."
        )
    weights, fitted = _newton(z, time, happened)
    variance = np.linalg.inv(fitted.information)
    errors = np.sqrt(np.diag(variance))
    half = norm.isf((1 - check_level(level)) / 2) * errors
    return CoxFit(
        weights / scale,
        (weights - half) / scale,
        (weights + half) / scale,
        2 * norm.sf(np.abs(weights) / errors),
        _proportional_p(fitted, variance, time, happened),
        fitted.value,
        PARTIAL_LIKELIHOOD,
    )


def _notes(fit: CoxFit, place: int, why: str) -> str:
    notes = [why] if fit.method == FIRTH else []
    if np.isnan(fit.p_proportional[place]):
        notes.append("proportional hazards not tested")
    return "; ".join(notes)


def group_hazard_ratios(
    months: ArrayLike,
    event: ArrayLike,
    group: ArrayLike,
    reference: str,
    cohort: str | ArrayLike = "",
    model: str = "",
    order: Sequence[str] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Hazard ratio of each risk group against one of them, in each cohort.

    All groups of a cohort enter one Cox regression. A group without events gets Firth's penalty, which moves the
    other groups' ratios too; what cannot be estimated has NaN and a note.

    Parameters
    ----------
    months : array-like, shape (n_patients,)
        Follow-up to HCC or to the last visit.
    event : array-like, shape (n_patients,)
        1 for HCC, 0 for censored.
    group : array-like, shape (n_patients,)
        Risk group.
    reference : str
        Group that the others are compared with.
    cohort : str or array-like, shape (n_patients,)
        Name of the one cohort, or of each patient's.
    model : str
        Name to put into the table.
    order : sequence of str, optional
        Order of the groups; see `hccbook.evaluation.survival.group_order`.
    level : float
        Confidence level.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, model, group, reference, step (empty), n, events, n_reference, events_reference,
        hazard_ratio, lower, upper, p, p_proportional, method, note.

    Raises
    ------
    DataError
        If a follow-up is missing or negative, an event is not 0 or 1, the patients do not match, or nobody is ever
        in the reference group.

    References
    ----------
    aMAP-CT, Results, HCC risk stratification; Supplementary Table 5.
    """
    shown = group_order(_labels(group, event, "group"), order)
    if reference not in shown:
        raise DataError("reference", f"must be one of {', '.join(shown)}", repr(reference), "Name a group.")
    strata = list(_strata(months, event, group, cohort, order))
    rows = []
    for name in dict.fromkeys(stratum.cohort for stratum in strata):
        own = {stratum.group: stratum for stratum in strata if stratum.cohort == name}
        base, others = own[reference], [own[label] for label in shown if label != reference]
        filled = [one for one in others if one.months.size]
        events = sum(int(one.event.sum()) for one in own.values())
        fit, why = None, ""
        if not base.months.size:
            why = f"not estimable: nobody in the {reference} group"
        elif not events:
            why = "not estimable: no patient with HCC"
        elif filled:
            time = np.concatenate([base.months, *(one.months for one in filled)])
            happened = np.concatenate([base.event, *(one.event for one in filled)])
            sizes = [base.months.size, *(one.months.size for one in filled)]
            design = np.repeat(np.eye(len(sizes)), sizes, axis=0)[:, 1:]
            try:
                fit = cox_regression(time, happened, design, level)
            except DataError as error:
                if error.place != "covariates":
                    raise
                why = "not estimable: one group alone is followed when somebody has HCC"
        for one in others:
            values = dict.fromkeys(_ESTIMATES, np.nan)
            method, note = "", why
            if not one.months.size:
                note = f"not estimable: nobody in the {one.group} group"
            elif fit is not None:
                place = filled.index(one)
                none = [each.group for each in (base, *filled) if not each.event.any()]
                reason = f"no HCC in the {none[0]} group" if none else "every HCC in the highest group still followed"
                method, note = fit.method, _notes(fit, place, f"Firth: {reason}")
                values = _ratio(fit, place, 1.0)
            counts = (one.months.size, int(one.event.sum()), base.months.size, int(base.event.sum()))
            rows.append((name, model, one.group, reference, "", *counts, *values.values(), method, note))
    return pd.DataFrame(rows, columns=list(HAZARD_RATIO_COLUMNS))


def _ratio(fit: CoxFit, place: int, step: float) -> dict[str, float]:
    with np.errstate(over="ignore"):
        limits = np.exp(step * np.array([fit.weights[place], fit.lower[place], fit.upper[place]]))
    return {
        "hazard_ratio": float(limits[0]),
        "lower": float(limits[1]),
        "upper": float(limits[2]),
        "p": float(fit.p[place]),
        "p_proportional": float(fit.p_proportional[place]),
    }


def score_hazard_ratios(
    months: ArrayLike,
    event: ArrayLike,
    scores: pd.DataFrame,
    cohort: str | ArrayLike = "",
    step: Mapping[str, float] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Hazard ratio a step of each score alone, in each cohort.

    Parameters
    ----------
    months : array-like, shape (n_patients,)
        Follow-up to HCC or to the last visit.
    event : array-like, shape (n_patients,)
        1 for HCC, 0 for censored.
    scores : pandas.DataFrame, shape (n_patients, n_scores)
        A higher value means a higher risk; patients whose score is missing are left out of its row.
    cohort : str or array-like, shape (n_patients,)
        Name of the one cohort, or of each patient's.
    step : mapping of str to float, optional
        What a step of a score is: give the SD in the training cohort to make cohorts comparable. The SD of the
        cohort's own patients where a score is not named.
    level : float
        Confidence level.

    Returns
    -------
    pandas.DataFrame
        As `group_hazard_ratios`: model is the score, group and reference are empty, step says what it is.

    Raises
    ------
    DataError
        If a follow-up is missing or negative, an event is not 0 or 1, a step is not positive, or the patients do
        not match.
    """
    time, happened = _check_follow_up(months, event)
    if not isinstance(scores, pd.DataFrame) or len(scores) != time.size:
        raise DataError("scores", f"must be a DataFrame of {time.size} rows", type(scores).__name__, "Align the two.")
    if isinstance(event, pd.Series) and not event.index.equals(scores.index):
        raise DataError("scores", "must have the outcome's patients in their order", "another index", "Align them.")
    given = {} if step is None else dict(step)
    wrong = [name for name, size in given.items() if not size > 0]
    if wrong:
        raise DataError(f"step of {wrong[0]}", "must be above 0", given[wrong[0]], "Give the SD of the score.")
    names = np.asarray(_labels(cohort, event, "cohort"), dtype=object).astype(str)
    rows = []
    for name in pd.unique(names):
        for score in scores:
            values = scores[score].to_numpy(dtype=float)
            chosen = (names == name) & np.isfinite(values)
            x, t, e = values[chosen], time[chosen], happened[chosen]
            missing = int((names == name).sum() - chosen.sum())
            found, method, notes = (
                dict.fromkeys(("hazard_ratio", "lower", "upper", "p", "p_proportional"), np.nan),
                "",
                [],
            )
            size = given.get(str(score), float(x.std(ddof=1)) if x.size > 1 else np.nan)
            if not e.any():
                notes.append("not estimable: no patient with HCC")
            elif constant_features(x[:, None])[0]:
                notes.append("not estimable: the same value in every patient")
            else:
                try:
                    fit = cox_regression(t, e, x[:, None], level)
                    found, method = _ratio(fit, 0, size), fit.method
                    notes.append(_notes(fit, 0, "Firth: each HCC at the same end of the scores still followed"))
                except DataError as error:
                    if error.place != "covariates":
                        raise
                    notes.append("not estimable: nobody else is followed when somebody has HCC")
            if missing:
                notes.append(f"{missing} without a value left out")
            text = f"per {size:.3g}" + ("" if str(score) in given else " (SD)") if np.isfinite(size) else ""
            note = "; ".join(part for part in notes if part)
            counts = (x.size, int(e.sum()), pd.NA, pd.NA)
            rows.append((name, str(score), "", "", text, *counts, *found.values(), method, note))
    return pd.DataFrame(rows, columns=list(HAZARD_RATIO_COLUMNS))
