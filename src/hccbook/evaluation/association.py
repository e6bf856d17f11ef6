"""How variables and scores go with HCC: odds ratios, combinations, models compared in pairs, the nomogram's scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.optimize import brentq, linprog, minimize
from scipy.spatial.distance import squareform
from scipy.special import expit, logit
from scipy.stats import chi2, norm, rankdata
from statsmodels.discrete.discrete_model import Logit

from hccbook.errors import DataError
from hccbook.evaluation.discrimination import auc_delong, delong_test
from hccbook.evaluation.outcomes import check_binary, check_level, check_probability, check_values, cohorts
from hccbook.evaluation.reclassification import integrated_discrimination, net_reclassification
from hccbook.models.development import logistic_score, phase_organ_name, probability
from hccbook.models.linear_score import LinearScore
from hccbook.selection import check_features, constant_features, mann_whitney_p

EVENTS_A_VARIABLE = 5
"""Patients of the rarer class a variable below which the likelihood is penalised.

Vittinghoff and McCulloch 2007, Am J Epidemiol 165:710: from 5 to 9 on, plain logistic regression holds up.
"""

MAXIMUM_LIKELIHOOD, FIRTH = "maximum likelihood", "Firth"

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

_MOST_STEPS = 40
_LONGEST_STEP = 5.0
_SEPARATED = 1e-5
_LEAST_BANDWIDTH = 0.05
_ODDS_RATIO_COLUMNS = [
    "analysis", "variable", "per", "step", "n", "events", "missing", "odds_ratio", "lower", "upper", "p", "method",
    "note",
]  # fmt: skip


class LogisticFit(NamedTuple):
    """Weights of a logistic regression with their intervals; the first is the intercept.

    Attributes
    ----------
    weights, lower, upper, p : numpy.ndarray, shape (n_variables + 1,)
        Log odds ratios a unit of each column, their limits and two-sided p.
    method : str
        ``maximum likelihood`` (Wald limits and p) or ``Firth`` (limits and p from the profile of the penalised
        likelihood).
    """

    weights: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    p: np.ndarray
    method: str


def is_separated(design: np.ndarray, y: np.ndarray) -> bool:
    """Whether some combination of the columns separates the classes, completely or but for ties.

    The likelihood of a logistic regression then has no maximum. A linear program decides it: of all directions
    that put no patient on the wrong side, is there one that puts somebody on the right side?

    Parameters
    ----------
    design : numpy.ndarray, shape (n_patients, n_columns)
        Columns of the regression, the constant among them; best of one size.
    y : numpy.ndarray of int, shape (n_patients,)
        0 or 1.

    Returns
    -------
    bool

    References
    ----------
    Albert and Anderson 1984, Biometrika 71:1; the linear program as in Konis 2007, thesis, Oxford, 4.
    """
    signed = (2 * y - 1)[:, None] * design
    found = linprog(-signed.sum(axis=0), A_ub=-signed, b_ub=np.zeros(len(y)), bounds=(-1, 1), method="highs")
    return bool(-found.fun > _SEPARATED)


def firth_logistic(design: ArrayLike, y: ArrayLike, level: float = 0.95) -> LogisticFit:
    """Logistic regression with Firth's penalty, whose weights are finite under separation too.

    The likelihood is multiplied by the root of the information's determinant (Jeffreys' prior).

    Parameters
    ----------
    design : array-like, shape (n_patients, n_columns)
        Columns of the regression, the constant first; of full rank.
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    level : float
        Confidence level.

    Returns
    -------
    LogisticFit
        Limits and p come from the profile of the penalised likelihood: Wald's are misleading where the profile is
        as lopsided as separation makes it. NaN where the profile is too flat to be followed.

    Raises
    ------
    DataError
        If a class is absent, a value is missing, or the maximum is not reached.

    References
    ----------
    Firth 1993, Biometrika 80:27; Heinze and Schemper 2002, Stat Med 21:2409.
    """
    outcome = check_binary(y)
    columns = np.asarray(design, dtype=float)
    if columns.ndim != 2 or len(columns) != outcome.size or not np.isfinite(columns).all():
        raise DataError("design", f"must be a finite table of {outcome.size} rows", columns.shape, "Align the two.")
    weights, best = _penalised_maximum(columns, outcome, np.zeros(columns.shape[1]), None)
    allowed = float(chi2.isf(1 - check_level(level), 1)) / 2
    lower, upper, p = (np.empty(weights.size) for _ in range(3))
    for one in range(weights.size):

        def shortfall(value: float, one: int = one) -> float:
            start = weights.copy()
            start[one] = value
            return best - _penalised_maximum(columns, outcome, start, one)[1] - allowed

        for limits, sign in ((lower, -1), (upper, 1)):
            try:
                limits[one] = _profile_limit(shortfall, weights[one], sign)
            except DataError:
                limits[one] = np.nan
        try:
            p[one] = chi2.sf(2 * max(shortfall(0.0) + allowed, 0.0), 1)
        except DataError:
            p[one] = np.nan
    return LogisticFit(weights, lower, upper, p, FIRTH)


def _penalised_maximum(
    design: np.ndarray, y: np.ndarray, weights: np.ndarray, held: int | None
) -> tuple[np.ndarray, float]:
    """Maximum of the penalised log-likelihood by Newton steps, with one weight held where `held` says so."""
    free = [column for column in range(design.shape[1]) if column != held]

    def penalised(at: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        eta = design @ at
        fitted = expit(eta)
        information = (design * (fitted * (1 - fitted))[:, None]).T @ design
        sign, log_determinant = np.linalg.slogdet(information)
        likelihood = float(y @ eta - np.logaddexp(0, eta).sum())
        return (likelihood + 0.5 * log_determinant if sign > 0 else -np.inf), fitted, information

    def slope(at: np.ndarray) -> np.ndarray:
        _, fitted, information = penalised(at)
        # The pseudo-inverse: a trial step may lead where the information has no inverse.
        leverage = fitted * (1 - fitted) * np.einsum("ij,jk,ik->i", design, np.linalg.pinv(information), design)
        return design[:, free].T @ (y - fitted + leverage * (0.5 - fitted))

    weights = weights.astype(float)
    value, _, information = penalised(weights)
    if not free:
        return weights, value
    for _ in range(_MOST_STEPS):
        score = slope(weights)
        step = np.linalg.solve(information[np.ix_(free, free)], score)
        longest = np.abs(step).max()
        step *= min(1.0, _LONGEST_STEP / longest) if longest > 0 else 1.0
        for _ in range(60):
            moved = weights.copy()
            moved[free] += step
            new, _, information = penalised(moved)
            if new >= value - 1e-12 * (1 + abs(value)):
                break
            step /= 2
        weights, value = moved, new
        if np.abs(step).max() < 1e-9 * (1 + np.abs(weights).max()) and np.abs(score).max() < 1e-6:
            return weights, value
    # Near separation the information says little of the penalty's own curvature, and the steps crawl.
    found = minimize(
        lambda part: -penalised(_with(weights, free, part))[0],
        weights[free],
        jac=lambda part: -slope(_with(weights, free, part)),
        method="BFGS",
        options={"gtol": 1e-7, "maxiter": 10 * _MOST_STEPS},
    )
    if not np.isfinite(found.fun) or np.abs(found.jac).max() > 1e-4:
        raise DataError(
            "Firth's regression",
            "must converge",
            f"a slope of {np.abs(found.jac).max():.2g} at the end",
            "Look for a variable that nearly repeats another, and leave one of the two out.",
        )
    return _with(weights, free, found.x), -float(found.fun)


def _with(weights: np.ndarray, free: list[int], part: np.ndarray) -> np.ndarray:
    moved = weights.copy()
    moved[free] = part
    return moved


def _profile_limit(shortfall, estimate: float, sign: int) -> float:
    """Where the profile falls to the limit, on one side of its maximum."""
    reach = 0.5
    while shortfall(estimate + sign * reach) < 0:
        reach *= 2
        if reach > 1e4:
            raise DataError("Firth's regression", "must have a finite limit", "none", "Leave the variable out.")
    return float(brentq(shortfall, *sorted((estimate, estimate + sign * reach)), xtol=1e-8))


def _likelihood_fit(design: np.ndarray, y: np.ndarray, level: float) -> LogisticFit:
    fitted = Logit(y, design).fit(method="newton", maxiter=100, tol=1e-10, disp=0, warn_convergence=False)
    half = norm.isf((1 - level) / 2) * fitted.bse
    return LogisticFit(fitted.params, fitted.params - half, fitted.params + half, fitted.pvalues, MAXIMUM_LIKELIHOOD)


def _check_variables(variables: pd.DataFrame, y: ArrayLike) -> tuple[pd.DataFrame, np.ndarray]:
    """Numeric table whose values may be missing but not infinite, and the outcome of its patients."""
    if not isinstance(variables, pd.DataFrame):
        raise DataError(
            "variables", "must be a DataFrame, a column a variable", type(variables).__name__, "Name the variables."
        )
    if isinstance(y, pd.Series) and not y.index.equals(variables.index):
        raise DataError("outcome", "must have the variables' patients in their order", "another index", "Align them.")
    outcome = check_binary(y, both=False)
    if outcome.size != len(variables):
        raise DataError("outcome", f"must have {len(variables)} values", outcome.size, "Give one value a patient.")
    for name, column in variables.items():
        if column.dtype.kind not in "biuf":
            raise DataError(
                f"variable {name}", "must be numeric", str(column.dtype), "Code it, for example male as 1 and 0."
            )
        if np.isinf(column.to_numpy(dtype=float)).any():
            raise DataError(f"variable {name}", "must be finite or missing", "an infinite value", "Mark it missing.")
    return variables.astype(float), outcome


def _aliased(z: np.ndarray) -> np.ndarray:
    """Which columns the constant and those before them give exactly."""
    aliased = np.zeros(z.shape[1], dtype=bool)
    basis = np.ones((len(z), 1))
    for column in range(z.shape[1]):
        rest = z[:, column] - basis @ np.linalg.lstsq(basis, z[:, column], rcond=None)[0]
        aliased[column] = np.linalg.norm(rest) < 1e-8 * np.sqrt(len(z))
        if not aliased[column]:
            basis = np.column_stack([basis, z[:, column]])
    return aliased


def _odds_ratios(
    table: pd.DataFrame, outcome: np.ndarray, per: str | Mapping[str, float], level: float, analysis: str
) -> list[dict]:
    complete = table.notna().all(axis=1).to_numpy()
    values, y = table.to_numpy()[complete], outcome[complete]
    n, events = len(y), int(y.sum())
    rarest = min(events, n - events)
    rows = {
        name: {
            "analysis": analysis, "variable": name, "per": "", "step": np.nan, "n": n, "events": events,
            "missing": int((~complete).sum()), "odds_ratio": np.nan, "lower": np.nan, "upper": np.nan, "p": np.nan,
            "method": "", "note": "",
        }
        for name in table
    }  # fmt: skip
    if rarest < 1:
        for row in rows.values():
            row["note"] = f"not estimable: {events} patients with HCC of {n}"
        return list(rows.values())
    constant = constant_features(values)
    for name in table.columns[constant]:
        rows[name]["note"] = "not estimable: the same value in every patient"
    varying = np.flatnonzero(~constant)
    spread = values[:, varying].std(axis=0, ddof=1)
    z = (values[:, varying] - values[:, varying].mean(axis=0)) / spread
    aliased = _aliased(z)
    for name in table.columns[varying[aliased]]:
        rows[name]["note"] = "not estimable: the variables before it give it exactly"
    varying, spread, z = varying[~aliased], spread[~aliased], z[:, ~aliased]
    if not varying.size:
        return list(rows.values())
    design = np.column_stack([np.ones(n), z])
    why = ""
    if is_separated(design, y):
        why = "Firth: the classes are separated"
    elif rarest < EVENTS_A_VARIABLE * varying.size:
        why = f"Firth: {rarest} patients of the rarer class for {varying.size} variable{'s' * (varying.size > 1)}"
    fit = firth_logistic(design, y, level) if why else _likelihood_fit(design, y, level)
    for place, (position, sd) in enumerate(zip(varying, spread, strict=True), start=1):
        name = table.columns[position]
        binary = np.isin(values[:, position], (0, 1)).all()
        if isinstance(per, Mapping) and name in per:
            step, kind = float(per[name]), "unit"
        elif binary or per == "unit":
            step, kind = 1.0, "unit"
        else:
            step, kind = float(sd), "SD"
        scale = step / sd
        rows[name] |= {
            "per": kind,
            "step": step,
            "odds_ratio": float(np.exp(fit.weights[place] * scale)),
            "lower": float(np.exp(fit.lower[place] * scale)),
            "upper": float(np.exp(fit.upper[place] * scale)),
            "p": float(fit.p[place]),
            "method": fit.method,
            "note": why,
        }
        if np.isnan([fit.lower[place], fit.upper[place], fit.p[place]]).any():
            rows[name]["note"] = f"{why}; its profile is too flat for a limit"
    return list(rows.values())


def univariable_odds_ratios(
    y: ArrayLike, variables: pd.DataFrame, per: str | Mapping[str, float] = "sd", level: float = 0.95
) -> pd.DataFrame:
    """Odds ratio of HCC for each variable alone.

    Each variable takes the patients whose value is known. See `multivariable_odds_ratios` for the rules, which are
    the same.

    Parameters
    ----------
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    variables : pandas.DataFrame, shape (n_patients, n_variables)
        Numeric; missing values allowed, infinite ones not.
    per : {"sd", "unit"} or mapping of str to float
        What one step is.
    level : float
        Confidence level.

    Returns
    -------
    pandas.DataFrame
        As `multivariable_odds_ratios`; analysis is "univariable".

    Raises
    ------
    DataError
        As there.
    """
    table, outcome = _check_variables(variables, y)
    _check_per(per, table)
    rows = [row for name in table for row in _odds_ratios(table[[name]], outcome, per, level, "univariable")]
    return pd.DataFrame(rows, columns=_ODDS_RATIO_COLUMNS)


def multivariable_odds_ratios(
    y: ArrayLike, variables: pd.DataFrame, per: str | Mapping[str, float] = "sd", level: float = 0.95
) -> pd.DataFrame:
    """Odds ratio of HCC for each variable, the others held.

    Patients with a missing value are left out and counted. The regression is plain maximum likelihood with Wald
    limits; Firth's, with profile limits, where the classes are separated or the rarer one has fewer than
    `EVENTS_A_VARIABLE` patients a variable. A variable that is constant, or that the variables before it give
    exactly, has no odds ratio. ``method`` and ``note`` say which of these happened.

    In the cohort that chose them, image scores look better than they are: their odds ratios there are optimistic.

    Parameters
    ----------
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    variables : pandas.DataFrame, shape (n_patients, n_variables)
        Numeric; missing values allowed, infinite ones not.
    per : {"sd", "unit"} or mapping of str to float
        What one step is: one standard deviation of the patients analysed, one unit of the variable, or so many
        units by variable (others an SD). A variable of 0 and 1 alone is always 1 against 0.
    level : float
        Confidence level.

    Returns
    -------
    pandas.DataFrame
        Columns analysis, variable, per ("SD" or "unit"), step (in the variable's unit), n, events, missing (left
        out), odds_ratio, lower, upper, p, method, note; NaN never without a note.

    Raises
    ------
    DataError
        If a variable is not numeric or infinite, the outcome is not 0 or 1, the patients differ, or `per` is
        unknown.

    References
    ----------
    ALARM, Methods, Model construction and validation; Figure S13.
    """
    table, outcome = _check_variables(variables, y)
    _check_per(per, table)
    return pd.DataFrame(_odds_ratios(table, outcome, per, level, "multivariable"), columns=_ODDS_RATIO_COLUMNS)


def _check_per(per: str | Mapping[str, float], table: pd.DataFrame) -> None:
    if isinstance(per, Mapping):
        unknown = [name for name in per if name not in table]
        if unknown or any(not step > 0 for step in per.values()):
            raise DataError(
                "per", "must give a positive step by variable", unknown or dict(per), "Name the variables as given."
            )
    elif per not in ("sd", "unit"):
        raise DataError("per", "must be 'sd', 'unit' or steps by variable", repr(per), "Choose one of them.")


def feature_counts(names: Sequence[str]) -> pd.DataFrame:
    """Number of features by phase, organ, image and class, from their names.

    Parameters
    ----------
    names : sequence of str
        ``<phase>.<organ>.<image>_<class>_<feature>``, or ``<phase>.<organ>.deep_<number>``.

    Returns
    -------
    pandas.DataFrame
        Columns phase, organ, image, class, n, in the order of first appearance; deep features have the image and
        class "deep".

    Raises
    ------
    DataError
        If a name is built otherwise.

    References
    ----------
    ALARM, Table S2 and Figure S4.
    """
    rows = []
    for name in names:
        phase, organ, feature = phase_organ_name(str(name))
        parts = feature.split("_", 2)
        if parts[0] == "deep":
            parts = ["deep", "deep", ""]
        if len(parts) != 3:
            raise DataError(
                f"feature {name}", "must be named <image>_<class>_<feature>", feature, "Give the columns of features."
            )
        rows.append((phase, organ, parts[0], parts[1]))
    columns = ["phase", "organ", "image", "class"]
    return pd.DataFrame(rows, columns=columns).groupby(columns, sort=False).size().rename("n").reset_index()


def feature_associations(features: pd.DataFrame, y: ArrayLike) -> pd.DataFrame:
    """AUC and Mann-Whitney p of every feature.

    Parameters
    ----------
    features : pandas.DataFrame, shape (n_patients, n_features)
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.

    Returns
    -------
    pandas.DataFrame
        Columns feature, auc (chance that a patient with HCC has the higher value), p (1 for a constant feature); in
        the order of the features.

    Raises
    ------
    DataError
        If a value is missing, a class is absent, or the patients differ.

    References
    ----------
    ALARM, Methods, Image feature extraction and selection; Figures S5 to S11.
    """
    check_features(features)
    outcome = check_binary(y)
    if outcome.size != len(features):
        raise DataError("outcome", f"must have {len(features)} values", outcome.size, "Give one value a patient.")
    if isinstance(y, pd.Series) and not y.index.equals(features.index):
        raise DataError("outcome", "must have the features' patients in their order", "another index", "Align them.")
    values = features.to_numpy(dtype=float)
    events, others = int(outcome.sum()), int((outcome == 0).sum())
    above = rankdata(values, axis=0)[outcome == 1].sum(axis=0) - events * (events + 1) / 2
    constant = constant_features(values)
    return pd.DataFrame(
        {
            "feature": features.columns,
            "auc": np.where(constant, 0.5, above / (events * others)),
            "p": np.where(constant, 1.0, mann_whitney_p(values, outcome)),
        }
    )


def spearman_correlations(features: pd.DataFrame, ordered: bool = True) -> pd.DataFrame:
    """Spearman correlation of every pair of features.

    Parameters
    ----------
    features : pandas.DataFrame, shape (n_patients, n_features)
        None of them constant.
    ordered : bool
        Whether features that agree are put side by side (average linkage on one less the absolute correlation).

    Returns
    -------
    pandas.DataFrame
        Columns feature, other, rho; a row a pair, both ways round and each with itself. No row without features.

    Raises
    ------
    DataError
        If a value is missing or a feature is constant.
    """
    check_features(features)
    values = features.to_numpy(dtype=float)
    constant = constant_features(values)
    if constant.any():
        raise DataError(
            f"features, column {features.columns[constant][0]}", "must vary", "one value", "Drop constant features."
        )
    names = features.columns.to_numpy(dtype=object)
    if not names.size:
        return pd.DataFrame(columns=["feature", "other", "rho"]).astype({"rho": float})
    rho = np.clip(np.atleast_2d(np.corrcoef(rankdata(values, axis=0), rowvar=False)), -1, 1)
    if ordered and len(names) > 2:
        apart = 1 - np.abs(rho)
        np.fill_diagonal(apart, 0)
        order = leaves_list(linkage(squareform(apart, checks=False), "average"))
        rho, names = rho[np.ix_(order, order)], names[order]
    return pd.DataFrame({"feature": np.repeat(names, len(names)), "other": np.tile(names, len(names)), "rho": rho.flat})


def outcome_densities(values: pd.DataFrame, y: ArrayLike, standardise: bool = True, points: int = 201) -> pd.DataFrame:
    """Density of each variable in patients with and without HCC.

    A Gaussian kernel with Scott's bandwidth, no narrower than a twentieth of the variable's standard deviation, so
    that a class of one value has a density too.

    Parameters
    ----------
    values : pandas.DataFrame, shape (n_patients, n_variables)
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    standardise : bool
        Whether variables are given in standard deviations from the mean of all patients.
    points : int
        Points a curve.

    Returns
    -------
    pandas.DataFrame
        Columns variable, hcc (0, 1), x, density (area 1); the same x for both classes of a variable. No row without
        variables.

    Raises
    ------
    DataError
        If a value is missing, a variable is constant, a class is absent, or the patients differ.

    References
    ----------
    ALARM, Fig. 2A and Figure S12. Scott 1992, Multivariate Density Estimation, 6.5 (bandwidth).
    """
    check_features(values, "values")
    outcome = check_binary(y)
    parts = []
    for name in values:
        x = check_values(values[name], outcome, y, str(name))
        if constant_features(x[:, None])[0]:
            raise DataError(f"values, column {name}", "must vary", f"{x[0]:g} for all", "Leave it out.")
        spread = x.std()
        if standardise:
            x, spread = (x - x.mean()) / spread, 1.0
        at = np.linspace(x.min() - 0.6 * spread, x.max() + 0.6 * spread, points)
        for group in (0, 1):
            own = x[outcome == group]
            width = own.std(ddof=1) * own.size**-0.2 if own.size > 1 else 0.0
            width = max(width, _LEAST_BANDWIDTH * spread)
            density = norm.pdf((at[:, None] - own[None, :]) / width).mean(axis=1) / width
            parts.append(pd.DataFrame({"variable": name, "hcc": group, "x": at, "density": density}))
    if not parts:
        return pd.DataFrame(columns=["variable", "hcc", "x", "density"])
    return pd.concat(parts, ignore_index=True)


def outcome_differences(values: pd.DataFrame, y: ArrayLike, cohort: str | ArrayLike) -> pd.DataFrame:
    """Quartiles of each variable with and without HCC in each cohort, with the Mann-Whitney p.

    Parameters
    ----------
    values : pandas.DataFrame, shape (n_patients, n_variables)
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    cohort : str or array-like, shape (n_patients,)
        Name of the one cohort, or of each patient's.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, variable, hcc (0, 1), n, median, q1, q3, low, high (furthest values within 1.5 quartile
        ranges of the box), p (the same on both rows), note; a class without patients has n 0, NaN and a note.

    Raises
    ------
    DataError
        If a value is missing or the patients differ.

    References
    ----------
    ALARM, Results, Image signature analysis; Figure S12.
    """
    check_features(values, "values")
    rows = []
    for name, outcome, table in cohorts(y, values, cohort):
        happened = check_binary(outcome, both=False, place=f"outcome, {name} cohort")
        both = 0 < happened.sum() < happened.size
        note = "" if both else "no test: one outcome only"
        for variable in table:
            x = table[variable].to_numpy(dtype=float)
            p = float(mann_whitney_p(x[:, None], happened)[0]) if both else np.nan
            for group in (0, 1):
                own = x[happened == group]
                if not own.size:
                    rows.append((name, variable, group, 0, *[np.nan] * 5, p, note))
                    continue
                q1, median, q3 = np.quantile(own, (0.25, 0.5, 0.75))
                reach = 1.5 * (q3 - q1)
                inside = own[(own >= q1 - reach) & (own <= q3 + reach)]
                rows.append((name, variable, group, own.size, median, q1, q3, inside.min(), inside.max(), p, note))
    columns = ["cohort", "variable", "hcc", "n", "median", "q1", "q3", "low", "high", "p", "note"]
    return pd.DataFrame(rows, columns=columns)


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
    table, outcome = _check_variables(clinical, y)
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


def nomogram_scales(
    score: LinearScore,
    ranges: Mapping[str, tuple[float, float]],
    probabilities: Sequence[float] = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99),
    ticks: int = 6,
) -> pd.DataFrame:
    """Scales of the nomogram of a logistic score: points by value, and probability by total points.

    The value of each variable with the least risk has 0 points; the variable that can change the logit most over
    its range has 100 at its other end. Total points and the logit are the same straight line for every patient
    within the ranges.

    Parameters
    ----------
    score : LinearScore
        Logit of the probability.
    ranges : mapping of str to (float, float)
        Least and greatest value of each variable to be shown, in its own unit.
    probabilities : sequence of float
        Probabilities to mark; those that no total reaches are left out.
    ticks : int
        About so many marks an axis.

    Returns
    -------
    pandas.DataFrame
        Columns axis ("points", each variable, "total", "probability"), kind ("points", "variable", "total",
        "probability"), value (what is marked), points (0 to 100, on the total and probability axes 0 to the
        greatest total). A variable whose weight is 0 has the points 0 throughout, and so has the one mark of a
        variable whose range is a single value.

    Raises
    ------
    DataError
        If a variable has no range or a falling one, or no variable can change the probability.

    References
    ----------
    Kattan et al. 1998, J Natl Cancer Inst 90:766; Harrell 2015, Regression Modeling Strategies, 11. ALARM,
    Figure S17.
    """
    slopes = np.array(score.coefficients) / np.array(score.scales)
    missing = [name for name in score.names if name not in ranges]
    if missing:
        raise DataError("ranges", "must have every variable", f"no {missing[0]}", "Give its least and greatest value.")
    bounds = np.array([ranges[name] for name in score.names], dtype=float).reshape(-1, 2)
    for name, (low, high) in zip(score.names, bounds, strict=True):
        if not (np.isfinite([low, high]).all() and low <= high):
            raise DataError(
                f"range of {name}", "must not fall", f"{low:g} to {high:g}", "Give least and greatest value."
            )
    reach = np.abs(slopes) * (bounds[:, 1] - bounds[:, 0])
    if not reach.size or reach.max() == 0:
        raise DataError("score", "must have a variable with weight", "none", "There is nothing to draw.")
    a_point = reach.max() / 100
    least = np.where(slopes >= 0, bounds[:, 0], bounds[:, 1])
    base = score.intercept + float((np.array(score.coefficients) * (least - score.means) / score.scales).sum())
    rows = [("points", "points", float(mark), float(mark)) for mark in range(0, 101, 10)]
    for name, slope, start, (low, high) in zip(score.names, slopes, least, bounds, strict=True):
        for value in _round_marks(low, high, ticks):
            rows.append((name, "variable", value, float(slope * (value - start) / a_point)))
    greatest = float(reach.sum() / a_point)
    rows += [("total", "total", mark, mark) for mark in _round_marks(0.0, greatest, 2 * ticks)]
    for chance in probabilities:
        total = (logit(chance) - base) / a_point
        if 0 <= total <= greatest:
            rows.append(("probability", "probability", float(chance), float(total)))
    return pd.DataFrame(rows, columns=["axis", "kind", "value", "points"])


def _round_marks(low: float, high: float, about: int) -> list[float]:
    """Round values from `low` to `high`, 1, 2 or 5 times a power of ten apart, as near to `about` as these allow."""
    if low == high:
        return [float(low)]
    rough = (high - low) / about
    power = 10.0 ** np.floor(np.log10(rough))
    step = min((power * factor for factor in (1, 2, 5, 10)), key=lambda one: abs(np.log(one / rough)))
    first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
    digits = max(0, int(-np.floor(np.log10(step) + 1e-9)))
    return [round(float(mark * step), digits) + 0.0 for mark in np.arange(first, last + 1)]
