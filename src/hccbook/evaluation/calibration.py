"""Agreement of predicted probabilities with observed frequencies."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm
from statsmodels.discrete.discrete_model import Logit

from hccbook.errors import DataError
from hccbook.evaluation.outcomes import LEVEL, check_binary, check_probability

_SPAN = 0.75
"""Share of the patients that each point of the loess curve looks at (R's default, as in Austin and Steyerberg)."""

_BEYOND, _FEWEST = 10, 200
"""Predictions that lie beyond either end of the curve, and the patients that this many are taken of at the least.

rms::datadist plots within these quantiles, 10 / max(n, 200): beyond them few patients carry the curve.
"""

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


def _loess_weights(x: ArrayLike, at: ArrayLike) -> np.ndarray:
    """Weights by which a loess curve sums the observations, shape (n_points, n_patients).

    Local quadratic, tricube, no robustness step, as R's ``loess(degree = 2, surface = "direct")`` (Cleveland and Devlin
    1988, J Am Stat Assoc 83:596). Where the nearest patients have too few different predictions for a quadratic, the
    fit of least norm is taken (with one prediction, the mean).
    """
    x, at = np.asarray(x, dtype=float), np.asarray(at, dtype=float)
    nearest = max(int(np.floor(x.size * _SPAN + 1e-5)), 1)
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


def calibration_curve(y: ArrayLike, p: ArrayLike) -> pd.DataFrame:
    """Observed frequency as a smooth function of the predicted probability.

    Loess of the outcome on the prediction, cut at 0 and 1, where there are predictions: ten of them, or a twentieth of
    fewer than 200, lie beyond either end. The pointwise 95 % interval takes each patient's outcome
    as binomial with the curve's own probability.

    Parameters
    ----------
    y, p : array-like, shape (n_patients,)
        1 for HCC, 0 otherwise; predicted probabilities, 0 to 1.

    Returns
    -------
    pandas.DataFrame
        Columns predicted (101, evenly spaced), observed, lower, upper.

    Raises
    ------
    DataError
        If a value is missing or no probability, a class is absent, or the patients do not match.

    References
    ----------
    Austin and Steyerberg 2014, Stat Med 33:517; Harrell 2015, Regression Modeling Strategies (range). ALARM, Fig. 4A;
    aMAP-CT, Supplementary Fig. 6.
    """
    outcome = check_binary(y)
    values = check_probability(p, outcome, y)
    beyond = _BEYOND / max(values.size, _FEWEST)
    points = np.linspace(*np.quantile(values, [beyond, 1 - beyond]), 101)
    fitted = np.clip(_loess_weights(values, values) @ outcome, 0, 1)
    weights = _loess_weights(values, points)
    observed = np.clip(weights @ outcome, 0, 1)
    half = norm.isf((1 - LEVEL) / 2) * np.sqrt(weights**2 @ (fitted * (1 - fitted)))
    limits = {"lower": np.maximum(observed - half, 0), "upper": np.minimum(observed + half, 1)}
    return pd.DataFrame({"predicted": points, "observed": observed, **limits})


def calibration_summary(y: ArrayLike, p: ArrayLike) -> CalibrationSummary:
    """Calibration-in-the-large, slope, and the distance from the loess curve.

    Probabilities of 0 and 1 enter the logit as 1e-12 and 1 - 1e-12, with a note.

    Parameters
    ----------
    y, p
        As in `calibration_curve`.

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
    Cox 1958, Biometrika 45:562 (intercept, slope); Austin and Steyerberg 2019, Stat Med 38:4051 (ICI, E50, E90, Emax).
    """
    outcome = check_binary(y)
    values = check_probability(p, outcome, y)
    inside = np.clip(values, _NEAREST_TO_0_AND_1, 1 - _NEAREST_TO_0_AND_1)
    predictor, moved = logit(inside), int((inside != values).sum())
    slope, note = _recalibration_slope(outcome, predictor)
    notes = [f"{moved} probabilities of 0 or 1 moved by {_NEAREST_TO_0_AND_1:g}."] if moved else []
    notes += [note] if note else []
    distance = np.abs(np.clip(_loess_weights(values, values) @ outcome, 0, 1) - values)
    distances = (distance.mean(), np.median(distance), np.quantile(distance, 0.9), distance.max())
    intercept = _calibration_in_the_large(outcome, predictor)
    return CalibrationSummary(intercept, slope, *map(float, distances), " ".join(notes))


def _calibration_in_the_large(outcome: np.ndarray, predictor: np.ndarray) -> float:
    # With both classes present the score equation has one root, and it lies within these bounds.
    far = float(np.abs(predictor).max() + np.abs(logit(outcome.mean())) + 1)

    return float(brentq(lambda intercept: (expit(intercept + predictor) - outcome).sum(), -far, far, xtol=1e-13))


def _recalibration_slope(outcome: np.ndarray, predictor: np.ndarray) -> tuple[float, str]:
    events, others = predictor[outcome == 1], predictor[outcome == 0]
    if np.ptp(predictor) == 0:
        return float("nan"), "The slope is not defined: all predictions are equal."
    if events.min() >= others.max():
        return float("inf"), "The slope is infinite: the predictions separate the classes completely."
    if events.max() <= others.min():
        return float("-inf"), "The slope is minus infinity: the predictions separate the classes the wrong way round."
    spread = predictor.std()
    design = np.column_stack([np.ones_like(predictor), (predictor - predictor.mean()) / spread])
    fit = Logit(outcome, design).fit(method="newton", maxiter=_NEWTON_STEPS, tol=1e-10, disp=0, warn_convergence=False)
    if not fit.mle_retvals["converged"]:
        rule, found = f"must converge in {_NEWTON_STEPS} Newton steps", f"{fit.params[1] / spread:.2g} at the last"
        raise DataError("calibration slope", rule, found, "Look at the predictions: one may be extreme and wrong.")
    return float(fit.params[1] / spread), ""
