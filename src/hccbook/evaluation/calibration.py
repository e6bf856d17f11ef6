"""Agreement of predicted probabilities with observed frequencies."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm

from hccbook.errors import DataError
from hccbook.evaluation.diagnostic import wilson_interval
from hccbook.evaluation.outcomes import check_binary, check_level, check_probability, cohorts

SPAN = 0.75
"""Share of the patients that each point of the loess curve looks at (R's default, as in Austin and Steyerberg)."""

_NEAREST_TO_0_AND_1 = 1e-12
_POINTS_A_BLOCK = 128
_NEWTON_STEPS = 100


class CalibrationSummary(NamedTuple):
    """Calibration in numbers.

    Attributes
    ----------
    intercept : float
        Calibration-in-the-large: intercept with the logit as offset; 0 is perfect, positive where the model
        predicts too little.
    slope : float
        Slope of the logit; 1 is perfect, below 1 where predictions are too extreme. Infinite where the
        predictions separate the classes completely, NaN where they are all equal.
    ici, e50, e90, emax : float
        Mean, median, 90th percentile and greatest absolute difference between prediction and loess curve.
    note : str
        What a reader should know; empty where there is nothing.
    """

    intercept: float
    slope: float
    ici: float
    e50: float
    e90: float
    emax: float
    note: str


def loess_weights(x: ArrayLike, at: ArrayLike, span: float = SPAN) -> np.ndarray:
    """Weights by which a loess curve sums the observations: local quadratic, tricube, no robustness step.

    The same as R's ``loess(degree = 2, surface = "direct")``. Where the nearest patients have too few different
    predictions for a quadratic, the fit of least norm is taken (with one prediction, the mean).

    Parameters
    ----------
    x : array-like, shape (n_patients,)
        Predictions.
    at : array-like, shape (n_points,)
        Where the curve is wanted.
    span : float
        Share of the patients that each point looks at, above 0, at most 1.

    Returns
    -------
    numpy.ndarray, shape (n_points, n_patients)
        The curve is this matrix times the observations.

    Raises
    ------
    DataError
        If `span` is out of range.

    References
    ----------
    Cleveland and Devlin 1988, J Am Stat Assoc 83:596.
    """
    if not 0 < span <= 1:
        raise DataError("span", "must be above 0, at most 1", span, "Give 0.75.")
    x, at = np.asarray(x, dtype=float), np.asarray(at, dtype=float)
    nearest = max(int(np.floor(x.size * span + 1e-5)), 1)
    blocks = []
    for start in range(0, at.size, _POINTS_A_BLOCK):
        offset = x[None, :] - at[start : start + _POINTS_A_BLOCK, None]
        distance = np.abs(offset)
        width = np.partition(distance, nearest - 1, axis=1)[:, nearest - 1 : nearest]
        # Where so many predictions are equal, they alone count.
        width = np.where(width > 0, width, np.finfo(float).tiny)
        weight = (1 - np.minimum(distance / width, 1) ** 3) ** 3
        u = np.clip(offset / width, -1, 1)
        design = np.stack([np.ones_like(u), u, u * u], axis=2)
        weighted = design * weight[:, :, None]
        inverse = np.linalg.pinv(np.swapaxes(design, 1, 2) @ weighted, rcond=1e-10, hermitian=True)
        blocks.append(np.einsum("pk,pnk->pn", inverse[:, 0, :], weighted))
    return np.concatenate(blocks)


def calibration_curve(
    y: ArrayLike, p: ArrayLike, at: ArrayLike | None = None, span: float = SPAN, level: float = 0.95
) -> pd.DataFrame:
    """Observed frequency as a smooth function of the predicted probability.

    Loess of the outcome on the prediction, cut at 0 and 1. The pointwise interval takes each patient's outcome
    as binomial with the curve's own probability.

    Parameters
    ----------
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    p : array-like, shape (n_patients,)
        Predicted probabilities, 0 to 1.
    at : array-like, optional
        Predictions at which the curve is wanted; by default 101 from the least to the greatest.
    span : float
        Share of the patients that each point looks at.
    level : float
        Confidence level.

    Returns
    -------
    pandas.DataFrame
        Columns predicted, observed, lower, upper.

    Raises
    ------
    DataError
        If a value is missing or no probability, a class is absent, or the patients do not match.

    References
    ----------
    Austin and Steyerberg 2014, Stat Med 33:517. ALARM, Fig. 4A; aMAP-CT, Supplementary Fig. 6.
    """
    outcome = check_binary(y)
    values = check_probability(p, outcome, y)
    points = np.linspace(values.min(), values.max(), 101) if at is None else np.asarray(at, dtype=float)
    own = np.clip(loess_weights(values, values, span) @ outcome, 0, 1)
    weights = loess_weights(values, points, span)
    observed = np.clip(weights @ outcome, 0, 1)
    half = norm.isf((1 - check_level(level)) / 2) * np.sqrt(weights**2 @ (own * (1 - own)))
    return pd.DataFrame(
        {
            "predicted": points,
            "observed": observed,
            "lower": np.maximum(observed - half, 0),
            "upper": np.minimum(observed + half, 1),
        }
    )


def calibration_groups(y: ArrayLike, p: ArrayLike, groups: int = 10, level: float = 0.95) -> pd.DataFrame:
    """Observed frequency in groups of rising prediction, of equal size; equal predictions stay together.

    Parameters
    ----------
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    p : array-like, shape (n_patients,)
        Predicted probabilities, 0 to 1.
    groups : int
        Groups wanted; fewer come back where predictions are equal.
    level : float
        Confidence level of the Wilson interval.

    Returns
    -------
    pandas.DataFrame
        Columns predicted (mean), observed, lower, upper, n, events.

    Raises
    ------
    DataError
        If a value is missing or no probability, a class is absent, the patients do not match, or `groups` is
        below 1.
    """
    outcome = check_binary(y)
    values = check_probability(p, outcome, y)
    if groups < 1:
        raise DataError("groups", "must be 1 or more", groups, "Give 10.")
    inner = np.quantile(values, np.arange(1, groups) / groups)
    label = pd.Series(np.searchsorted(np.unique(inner), values, side="left"))
    table = pd.DataFrame({"p": values, "y": outcome}).groupby(label)
    n, events = table.size().to_numpy(), table["y"].sum().to_numpy()
    lower, upper = wilson_interval(events, n, level)
    return pd.DataFrame(
        {
            "predicted": table["p"].mean().to_numpy(),
            "observed": events / n,
            "lower": lower,
            "upper": upper,
            "n": n,
            "events": events,
        }
    )


def calibration_summary(y: ArrayLike, p: ArrayLike, span: float = SPAN) -> CalibrationSummary:
    """Calibration-in-the-large, slope, and the distance from the loess curve.

    Probabilities of 0 and 1 enter the logit as 1e-12 and 1 - 1e-12, with a note.

    Parameters
    ----------
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    p : array-like, shape (n_patients,)
        Predicted probabilities, 0 to 1.
    span : float
        Share of the patients that each point of the curve looks at.

    Returns
    -------
    CalibrationSummary

    Raises
    ------
    DataError
        If a value is missing or no probability, a class is absent, the patients do not match, or the slope's
        likelihood has no maximum that can be reached.

    References
    ----------
    Cox 1958, Biometrika 45:562 (intercept, slope); Austin and Steyerberg 2019, Stat Med 38:4051 (ICI, E50, E90,
    Emax).
    """
    outcome = check_binary(y)
    values = check_probability(p, outcome, y)
    inside = np.clip(values, _NEAREST_TO_0_AND_1, 1 - _NEAREST_TO_0_AND_1)
    notes = []
    if (inside != values).any():
        notes.append(f"{int((inside != values).sum())} probabilities of 0 or 1 moved by {_NEAREST_TO_0_AND_1:g}.")
    predictor = logit(inside)
    slope, note = _recalibration_slope(outcome, predictor)
    if note:
        notes.append(note)
    distance = np.abs(np.clip(loess_weights(values, values, span) @ outcome, 0, 1) - values)
    return CalibrationSummary(
        _calibration_in_the_large(outcome, predictor),
        slope,
        float(distance.mean()),
        float(np.median(distance)),
        float(np.quantile(distance, 0.9)),
        float(distance.max()),
        " ".join(notes),
    )


def _calibration_in_the_large(outcome: np.ndarray, predictor: np.ndarray) -> float:
    # With both classes present the score equation has one root, and it lies within these bounds.
    far = float(np.abs(predictor).max() + np.abs(logit(outcome.mean())) + 1)

    def surplus(intercept: float) -> float:
        return float((expit(intercept + predictor) - outcome).sum())

    return float(brentq(surplus, -far, far, xtol=1e-13))


def _recalibration_slope(outcome: np.ndarray, predictor: np.ndarray) -> tuple[float, str]:
    events, others = predictor[outcome == 1], predictor[outcome == 0]
    if np.ptp(predictor) == 0:
        return float("nan"), "The slope is not defined: all predictions are equal."
    if events.min() >= others.max():
        return float("inf"), "The slope is infinite: the predictions separate the classes completely."
    if events.max() <= others.min():
        return float("-inf"), "The slope is minus infinity: the predictions separate the classes the wrong way round."
    centre, spread = predictor.mean(), predictor.std()
    design = np.column_stack([np.ones_like(predictor), (predictor - centre) / spread])

    def log_likelihood(weights: np.ndarray) -> float:
        eta = design @ weights
        return float(outcome @ eta - np.logaddexp(0, eta).sum())

    weights = np.array([logit(outcome.mean()), 0.0])
    best = log_likelihood(weights)
    for _ in range(_NEWTON_STEPS):
        fitted = expit(design @ weights)
        gradient = design.T @ (outcome - fitted)
        information = (design * (fitted * (1 - fitted))[:, None]).T @ design
        step = np.linalg.solve(information, gradient)
        new = log_likelihood(weights + step)
        while new < best - 1e-12 * abs(best) and np.abs(step).max() > 1e-14:
            step /= 2
            new = log_likelihood(weights + step)
        weights, best = weights + step, max(best, new)
        if np.abs(step).max() < 1e-10 * (1 + np.abs(weights).max()):
            return float(weights[1] / spread), ""
    raise DataError(
        "calibration slope",
        f"must converge in {_NEWTON_STEPS} Newton steps",
        f"a last step of {np.abs(step).max():.2g}",
        "Look at the predictions: one may be extreme and wrong.",
    )


def _by_cohort(
    y: ArrayLike,
    probabilities: pd.DataFrame,
    cohort: str | ArrayLike,
    statistic: Callable[[pd.Series, pd.Series], pd.DataFrame],
) -> pd.DataFrame:
    parts = []
    for name, outcome, values in cohorts(y, probabilities, cohort):
        check_binary(outcome, place=f"outcome, {name} cohort")
        for model in values:
            part = statistic(outcome, values[model])
            part.insert(0, "model", model)
            part.insert(0, "cohort", name)
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


def calibration_table(
    y: ArrayLike, probabilities: pd.DataFrame, cohort: str | ArrayLike, span: float = SPAN, level: float = 0.95
) -> pd.DataFrame:
    """Calibration curves of several models in several cohorts.

    Parameters
    ----------
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    probabilities : pandas.DataFrame, shape (n_patients, n_models)
        Predicted probabilities, a column a model.
    cohort : str or array-like, shape (n_patients,)
        Name of the one cohort, or of each patient's.
    span, level : float
        As in `calibration_curve`.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, model, predicted, observed, lower, upper.

    Raises
    ------
    DataError
        As `calibration_curve`, with the cohort named.
    """
    return _by_cohort(y, probabilities, cohort, lambda one, p: calibration_curve(one, p, span=span, level=level))


def calibration_summary_table(
    y: ArrayLike, probabilities: pd.DataFrame, cohort: str | ArrayLike, span: float = SPAN
) -> pd.DataFrame:
    """Calibration in numbers, of several models in several cohorts.

    Parameters
    ----------
    y : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise.
    probabilities : pandas.DataFrame, shape (n_patients, n_models)
        Predicted probabilities, a column a model.
    cohort : str or array-like, shape (n_patients,)
        Name of the one cohort, or of each patient's.
    span : float
        As in `calibration_summary`.

    Returns
    -------
    pandas.DataFrame
        Columns cohort, model, intercept, slope, ici, e50, e90, emax; what slope may be is said in
        `CalibrationSummary`.

    Raises
    ------
    DataError
        As `calibration_summary`, with the cohort named.
    """
    columns = ["intercept", "slope", "ici", "e50", "e90", "emax"]
    return _by_cohort(
        y, probabilities, cohort, lambda one, p: pd.DataFrame([calibration_summary(one, p, span)])[columns]
    )
