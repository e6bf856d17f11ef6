"""Hazard ratios of HCC: between risk groups, and for a step of a score."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter
from lifelines.exceptions import ConvergenceError, ConvergenceWarning
from lifelines.statistics import proportional_hazard_test
from numpy.typing import ArrayLike
from scipy.optimize import linprog, minimize
from scipy.stats import chi2

from hccbook.errors import DataError
from hccbook.evaluation.odds_ratios import FIRTH, profile_limit
from hccbook.evaluation.outcomes import LEVEL, by_cohort
from hccbook.evaluation.survival import check_follow_up, follow_up_table, group_labels
from hccbook.features.selection import constant_features

PARTIAL_LIKELIHOOD = "partial likelihood"

HAZARD_RATIO_COLUMNS = (
    "cohort", "model", "group", "reference", "step", "n", "events", "n_reference", "events_reference", "hazard_ratio",
    "lower", "upper", "p", "p_proportional", "method", "note",
)  # fmt: skip
"""Columns of `group_hazard_ratios` and `score_hazard_ratios`."""

_MONOTONE = 1e-7
_FURTHEST = 60.0  # beyond exp(60) a hazard ratio has no meaning, and no limit is looked for
_PRECISION = {"precision": 1e-20, "r_precision": 0.0}
_STEP_SIZES = (0.95, 0.25, 0.05)
_SEARCH = {"xatol": 1e-9, "fatol": 1e-11, "maxiter": 4000, "maxfev": 4000}


class CoxFit(NamedTuple):
    """Log hazard ratios of a Cox model.

    Attributes
    ----------
    weights, lower, upper, p : numpy.ndarray, shape (n_covariates,)
        Log hazard ratios a unit, their 95 % limits and two-sided p.
    p_proportional : numpy.ndarray, shape (n_covariates,)
        p of the test of proportional hazards on scaled Schoenfeld residuals; NaN where it was not made.
    method : str
        ``partial likelihood`` (Wald limits and p) or ``Firth`` (limits and p from the profile of the penalised
        likelihood).
    """

    weights: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    p: np.ndarray
    p_proportional: np.ndarray
    method: str


def _checked(
    months: ArrayLike, event: ArrayLike, covariates: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Months, event and covariates, and the scale at which these have unit spread."""
    time, events = check_follow_up(months, event)
    design = np.asarray(covariates, dtype=float)
    if design.ndim != 2 or len(design) != time.size or not design.shape[1] or not np.isfinite(design).all():
        rule = f"must be a finite table of {time.size} rows"
        raise DataError("covariates", rule, f"shape {design.shape}", "Align them, fill gaps.")
    if not events.any():
        raise DataError("event", "must hold a patient with HCC", "none", "Pool cohorts, or leave this one out.")
    scale = np.where(constant_features(design), 1.0, design.std(axis=0))
    _, information = _partial_likelihood(np.zeros(scale.size), design / scale, time, events)
    if np.linalg.slogdet(information)[0] <= 0:
        hint = "Leave out the group that nobody is followed in when somebody has HCC."
        raise DataError("covariates", "must tell patients at risk apart", "no information at the events", hint)
    return time, events, design, scale


def _partial_likelihood(
    weights: np.ndarray, design: np.ndarray, time: np.ndarray, event: np.ndarray
) -> tuple[float, np.ndarray]:
    """Log partial likelihood with Efron's treatment of ties, and its information."""
    # Patients still followed at a time are the first ones in falling order of follow-up.
    order = np.argsort(-time, kind="stable")
    x, fall, hcc = design[order], -time[order], event[order] == 1
    logit = x @ weights
    shift = float(logit.max())
    squares = (x[:, :, None] * x[:, None, :]).reshape(len(x), -1)
    moments = np.exp(logit - shift)[:, None] * np.column_stack([np.ones(len(x)), x, squares])
    at_risk = np.cumsum(moments, axis=0)[np.searchsorted(fall, fall[hcc], side="right") - 1]
    _, first, tie, size = np.unique(fall[hcc], return_index=True, return_inverse=True, return_counts=True)
    share = (np.arange(tie.size) - first[tie]) / size[tie]
    left = at_risk - share[:, None] * np.add.reduceat(moments[hcc], first)[tie]
    value = float(logit[hcc].sum()) - shift * tie.size - float(np.log(left[:, 0]).sum())
    means, seconds = np.split(left[:, 1:] / left[:, :1], [x.shape[1]], axis=1)
    return value, seconds.sum(axis=0).reshape(x.shape[1], -1) - means.T @ means


def _is_monotone(design: np.ndarray, months: np.ndarray, event: np.ndarray) -> bool:
    """Whether some direction puts every event at the top of all who were at risk: the likelihood has no maximum.

    A linear program over the differences between each patient with HCC and everybody at risk at that time.
    """
    differences = [design[one] - design[months >= months[one]] for one in np.flatnonzero(event == 1)]
    rows = np.unique(np.round(np.concatenate(differences), 12), axis=0)
    rows = rows[np.abs(rows).max(axis=1) > 0]
    if rows.shape[1] == 1:
        return bool((rows > 0).all() or (rows < 0).all())
    best = linprog(-rows.sum(axis=0), A_ub=-rows, b_ub=np.zeros(len(rows)), bounds=(-1, 1), method="highs")
    return bool(-best.fun > _MONOTONE)


def _firth_cox(months: ArrayLike, event: ArrayLike, covariates: ArrayLike) -> CoxFit:
    """Cox regression with Firth's penalty, whose weights are finite where a group has no event.

    The partial likelihood (Efron's ties) is multiplied by the root of the information's determinant (Firth 1993,
    Biometrika 80:27). Limits and p come from the profile of the penalised likelihood (Heinze and Schemper 2001,
    Biometrics 57:114); a limit beyond a log hazard ratio of 60 is infinite. Proportional hazards are not tested.

    lifelines has no such penalty. The package firthmodels has it with Breslow's ties alone, while all other ratios here
    take Efron's: with follow-up in whole months the two differ by half a per cent of a log hazard ratio.
    """
    time, events, design, scale = _checked(months, event, covariates)
    z = design / scale

    def shortfall(weights: np.ndarray) -> float:
        value, information = _partial_likelihood(weights, z, time, events)
        sign, log_determinant = np.linalg.slogdet(information)
        return -(value + 0.5 * log_determinant) if sign > 0 else np.inf

    best = minimize(shortfall, np.zeros(scale.size), method="Nelder-Mead", options=_SEARCH)
    least, weights = float(best.fun), best.x
    allowed = float(chi2.isf(1 - LEVEL, 1)) / 2

    def surplus(value: float, place: int) -> float:
        """How much worse the best fit is than allowed, with one weight held."""
        free = np.delete(weights, place)
        if not free.size:
            return shortfall(np.array([value])) - least - allowed
        held = minimize(
            lambda part: shortfall(np.insert(part, place, value)), free, method="Nelder-Mead", options=_SEARCH
        )
        return float(held.fun) - least - allowed

    lower, upper = (
        np.array([profile_limit(surplus, place, weight, sign * _FURTHEST) for place, weight in enumerate(weights)])
        for sign in (-1, 1)
    )
    p = np.array([chi2.sf(2 * max(surplus(0.0, place) + allowed, 0.0), 1) for place in range(scale.size)])
    return CoxFit(weights / scale, lower / scale, upper / scale, p, np.full(scale.size, np.nan), FIRTH)


def cox_regression(months: ArrayLike, event: ArrayLike, covariates: ArrayLike) -> CoxFit:
    """Cox regression with Efron's treatment of ties, penalised where the likelihood has no maximum.

    Parameters
    ----------
    months, event : array-like, shape (n_patients,)
        Follow-up to HCC or to the last visit; 1 for HCC, 0 for censored.
    covariates : array-like, shape (n_patients, n_covariates)
        Of full rank among those at risk at the events.

    Returns
    -------
    CoxFit
        By lifelines, with the test of proportional hazards on Kaplan-Meier transformed time; with Firth's penalty
        where every event is at the top of those at risk in some direction (a group without events, for example).

    Raises
    ------
    DataError
        If there is no event, a value is missing, the covariates tell nothing apart at the events, or the fit does not
        converge.

    References
    ----------
    Cox 1972, J R Stat Soc B 34:187; Efron 1977, J Am Stat Assoc 72:557; Grambsch and Therneau 1994, Biometrika
    81:515 (proportional hazards). aMAP-CT, Results, HCC risk stratification; Supplementary Table 5.
    """
    time, events, design, scale = _checked(months, event, covariates)
    if _is_monotone(design, time, events):
        return _firth_cox(time, events, design)
    table = pd.DataFrame(design / scale).rename(columns="x{}".format).assign(months=time, event=events)
    fitter = _stepped(table)
    proportional = np.full(scale.size, np.nan)
    if np.unique(time[events == 1]).size > 1:
        proportional = np.atleast_1d(proportional_hazard_test(fitter, table, time_transform="km").p_value)
    lower, upper = fitter.confidence_intervals_.to_numpy().T / scale
    p = fitter.summary["p"].to_numpy()
    return CoxFit(fitter.params_.to_numpy() / scale, lower, upper, p, proportional, PARTIAL_LIKELIHOOD)


def _stepped(table: pd.DataFrame) -> CoxPHFitter:
    """Fit by lifelines, whose Newton steps overshoot where a small group has most of the HCC; then by shorter ones."""
    for step_size in _STEP_SIZES:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            warnings.simplefilter("error", ConvergenceWarning)
            # Hints at separation, from variances and correlations: whether there is any is known by now.
            warnings.filterwarnings("ignore", "Column", ConvergenceWarning)
            try:
                options = {**_PRECISION, "step_size": step_size}
                return CoxPHFitter(alpha=1 - LEVEL).fit(table, "months", "event", fit_options=options)
            except (ConvergenceError, ConvergenceWarning, RuntimeWarning) as error:
                reason = str(error).splitlines()[0]
    hint = "Look for a covariate that nearly repeats another, and leave one of the two out."
    raise DataError("Cox regression", "must converge", reason, hint)


def _fitted(follow_up: pd.DataFrame, design: np.ndarray) -> CoxFit | None:
    """Cox regression; None where the covariates tell nobody at risk apart."""
    try:
        return cox_regression(follow_up["months"], follow_up["event"], design)
    except DataError as error:
        if error.place != "covariates":
            raise
        return None


def _ratio(fit: CoxFit | None, place: int, step: float, why: str) -> dict[str, object]:
    """Columns from the ratio on; `why` is the reason for Firth's penalty, or for there being no estimate."""
    if fit is None:
        nothing = dict.fromkeys(("hazard_ratio", "lower", "upper", "p", "p_proportional"), np.nan)
        return {**nothing, "method": "", "note": f"not estimable: {why}"}
    with np.errstate(over="ignore"):
        ratio, lower, upper = np.exp(step * np.array([fit.weights[place], fit.lower[place], fit.upper[place]]))
    tested = fit.p_proportional[place]
    notes = [f"Firth: {why}"] if fit.method == FIRTH else []
    notes += ["proportional hazards not tested"] if np.isnan(tested) else []
    limits = {"hazard_ratio": ratio, "lower": lower, "upper": upper, "p": fit.p[place], "p_proportional": tested}
    return {**limits, "method": fit.method, "note": "; ".join(notes)}


def _against_reference(follow_up: pd.DataFrame, group: pd.Series, reference: str) -> pd.DataFrame:
    """Rows of one cohort and model: each group of the categorical `group` but the reference."""
    counts = follow_up["event"].groupby(group, observed=False).agg(["size", "sum"])
    filled = [name for name, n in counts["size"].items() if n and name != reference]
    without = [name for name in (reference, *filled) if not counts.loc[name, "sum"]]
    fit = None
    why = f"no HCC in the {without[0]} group" if without else "every HCC in the highest group still followed"
    if not counts.loc[reference, "size"]:
        why = f"nobody in the {reference} group"
    elif not counts["sum"].any():
        why = "no patient with HCC"
    elif filled:
        fit = _fitted(follow_up, np.column_stack([group == name for name in filled]))
        why = why if fit else "one group alone is followed when somebody has HCC"
    rows = []
    for name in counts.index.drop(reference):
        row = {"group": name, "reference": reference, "step": ""}
        row |= {"n": counts.loc[name, "size"], "events": counts.loc[name, "sum"]}
        row |= {"n_reference": counts.loc[reference, "size"], "events_reference": counts.loc[reference, "sum"]}
        if name in filled:
            rows.append(row | _ratio(fit, filled.index(name), 1.0, why))
        else:
            rows.append(row | _ratio(None, 0, 1.0, f"nobody in the {name} group"))
    return pd.DataFrame(rows)


def group_hazard_ratios(
    months: ArrayLike, event: ArrayLike, groups: pd.DataFrame, reference: str, cohort: str | ArrayLike = ""
) -> pd.DataFrame:
    """Hazard ratio of each risk group against one of them, by model, in each cohort.

    All groups of a cohort enter one Cox regression. A group without events gets Firth's penalty, which moves the
    other groups' ratios too; what cannot be estimated has NaN and a note.

    Parameters
    ----------
    months, event : array-like, shape (n_patients,)
        Follow-up to HCC or to the last visit; 1 for HCC, 0 for censored.
    groups : pandas.DataFrame, shape (n_patients, n_models)
        Risk group by each model, in the order of `hccbook.evaluation.survival.group_labels`; a categorical names
        groups that nobody is in, too.
    reference : str
        Group that the others are compared with.
    cohort : str or array-like, shape (n_patients,)
        Name of the one cohort, or of each patient's.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, model, group, reference, step (empty), n, events, n_reference, events_reference,
        hazard_ratio, lower, upper (95 %), p, p_proportional, method, note.

    Raises
    ------
    DataError
        If a follow-up is missing or negative, an event is not 0 or 1, the patients do not match, or nobody is ever
        in the reference group.

    References
    ----------
    aMAP-CT, Results, HCC risk stratification; Supplementary Table 5.
    """
    follow_up = follow_up_table(months, event, groups.index)
    labels = {model: group_labels(groups[model], follow_up["event"]) for model in groups}
    for group in labels.values():
        if reference not in group.categories:
            shown = ", ".join(group.categories)
            raise DataError("reference", f"must be one of {shown}", repr(reference), "Name a group.")

    groups = pd.DataFrame(labels, index=groups.index)
    table = by_cohort(_against_reference, follow_up, groups, cohort, reference=reference)
    return table[list(HAZARD_RATIO_COLUMNS)]


def score_hazard_ratios(
    months: ArrayLike, event: ArrayLike, scores: pd.DataFrame, step: Mapping[str, float], cohort: str | ArrayLike = ""
) -> pd.DataFrame:
    """Hazard ratio a step of each score alone, in each cohort.

    Parameters
    ----------
    months, event, cohort
        As in `group_hazard_ratios`.
    scores : pandas.DataFrame, shape (n_patients, n_scores)
        A higher value means a higher risk; patients whose score is missing are left out of its row.
    step : mapping of str to float
        What a step of a score is: the SD in the training cohort makes cohorts comparable.

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
    wrong = [name for name in scores if not step.get(name, 0.0) > 0]
    if wrong:
        raise DataError(f"step of {wrong[0]}", "must be above 0", step.get(wrong[0]), "Give the SD of the score.")

    def a_step(follow_up: pd.DataFrame, values: pd.Series) -> pd.DataFrame:
        scored = np.isfinite(values.to_numpy(dtype=float))
        follow_up, x = follow_up[scored], values[scored].to_numpy(dtype=float)
        fit, why = None, "nobody else is followed when somebody has HCC"
        if not follow_up["event"].any():
            why = "no patient with HCC"
        elif constant_features(x[:, None])[0]:
            why = "the same value in every patient"
        else:
            fit = _fitted(follow_up, x[:, None])
            why = "each HCC at the same end of the scores still followed" if fit else why
        size = step[values.name]
        row = {"group": "", "reference": "", "step": f"per {size:.3g}", "n": x.size, "events": follow_up["event"].sum()}
        row |= {"n_reference": pd.NA, "events_reference": pd.NA, **_ratio(fit, 0, size, why)}
        if not scored.all():
            row["note"] = "; ".join(filter(None, [row["note"], f"{int((~scored).sum())} without a value left out"]))
        return pd.DataFrame([row])

    table = by_cohort(a_step, follow_up_table(months, event, scores.index), scores, cohort)
    return table[list(HAZARD_RATIO_COLUMNS)]
