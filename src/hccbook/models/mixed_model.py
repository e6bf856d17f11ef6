"""Normal mixed model of several markers over time: a line for each patient and marker.

y = (b0 + b1 t) + noise; intercepts and slopes of all markers are normal between patients, with one covariance. It is
our own because each marker has a residual SD of its own, groups may share covariances but not means, and the gradient
is analytic: statsmodels' `MixedLM` has one residual SD for everything, and none of the rest. With one marker and one
group both find the same maximum.

References
----------
Komárek et al. 2010, Stat Med 29:3267.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

WIDTH = 2
"""Random effects of a marker: intercept and slope."""

_MIN_RELATIVE_SD = 0.01
_MIN_SHARE_OF_SD = 1e-3
_STEEPEST = 1e-4


class Sums(NamedTuple):
    """Sums over each patient's measurements, all that a normal mixed model needs.

    ``squares`` (n, k, 2, 2), ``products`` (n, k, 2), ``total`` (n, k) and ``count`` (n, k): Z'Z, Z'y, y'y and the
    number of measurements, Z being (1, t), by patient and marker.
    """

    squares: np.ndarray
    products: np.ndarray
    total: np.ndarray
    count: np.ndarray

    @classmethod
    def over(cls, row: np.ndarray, years: np.ndarray, values: np.ndarray, patients: int) -> Sums:
        """Sums by patient and marker; 0 where nothing was measured.

        `row` (n_measurements,) is the patient, negative for one who is not wanted, of each row of `years`
        (n_measurements,) and `values` (n_measurements, n_markers), NaN where a marker was not measured.
        """
        shape = (patients, values.shape[1])
        squares, products = np.zeros((*shape, WIDTH, WIDTH)), np.zeros((*shape, WIDTH))
        sums = cls(squares, products, np.zeros(shape), np.zeros(shape, dtype=int))
        for marker in range(shape[1]):
            known = (row >= 0) & np.isfinite(values[:, marker])
            at, y = row[known], values[known, marker]
            z = np.column_stack([np.ones(len(y)), years[known]])
            np.add.at(sums.squares[:, marker], at, z[:, :, None] * z[:, None, :])
            np.add.at(sums.products[:, marker], at, z * y[:, None])
            np.add.at(sums.total[:, marker], at, y**2)
            np.add.at(sums.count[:, marker], at, 1)
        return sums

    def of(self, chosen: np.ndarray) -> Sums:
        """The same of some patients."""
        return Sums(*(part[chosen] for part in self))


class LogDensity(NamedTuple):
    """Log density by patient, and what its slopes are made of."""

    log: np.ndarray
    information: np.ndarray
    pull: np.ndarray
    left: np.ndarray
    leverage: np.ndarray


def _blocks(parts: np.ndarray) -> np.ndarray:
    """Block diagonal matrices, (n, k, 2, 2) to (n, 2 k, 2 k)."""
    n, k = parts.shape[:2]
    whole = np.zeros((n, k * WIDTH, k * WIDTH))
    for marker in range(k):
        at = slice(marker * WIDTH, (marker + 1) * WIDTH)
        whole[:, at, at] = parts[:, marker]
    return whole


def log_density(sums: Sums, mean: np.ndarray, covariance: np.ndarray, sd: np.ndarray) -> LogDensity:
    """Log density of each patient's measurements, in the size of the random effects, whatever their number."""
    k = len(sd)
    own = mean.reshape(k, WIDTH)
    variance = sd**2
    precision = _blocks(sums.squares / variance[:, None, None])
    off = sums.products - np.einsum("nkab,kb->nka", sums.squares, own)
    rest = (
        sums.total
        - 2 * np.einsum("nka,ka->nk", sums.products, own)
        + np.einsum("nkab,ka,kb->nk", sums.squares, own, own)
    )
    weighted = (off / variance[:, None]).reshape(len(off), -1)
    mixed = np.eye(k * WIDTH) + precision @ covariance
    # V = R + Z D Z' is never built: (I + Z'R^-1 Z D) is as small as the random effects, and D may be singular.
    pull = np.linalg.solve(mixed, weighted[..., None])[..., 0]
    information = np.linalg.solve(mixed, precision)
    effects = pull @ covariance
    by_marker = effects.reshape(-1, k, WIDTH)
    left = (
        rest
        - 2 * np.einsum("nka,nka->nk", by_marker, off)
        + np.einsum("nkab,nka,nkb->nk", sums.squares, by_marker, by_marker)
    )
    noise = (sums.count * np.log(2 * np.pi * variance)).sum(axis=1)
    quadratic = (rest / variance).sum(axis=1) - (weighted * effects).sum(axis=1)
    log = -0.5 * (noise + np.linalg.slogdet(mixed)[1] + quadratic)
    leverage = np.einsum("nab,ba->na", information, covariance).reshape(-1, k, WIDTH).sum(axis=2)
    return LogDensity(log, information, pull, left, leverage)


def _best_mean(sums: Sums, covariance: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Generalised least squares: the mean line that the covariances make most likely."""
    variance = sd**2
    precision = _blocks(sums.squares / variance[:, None, None])
    mixed = np.eye(len(covariance)) + precision @ covariance
    weighted = (sums.products / variance[:, None]).reshape(len(sums.total), -1)
    information = np.linalg.solve(mixed, precision).sum(axis=0)
    return np.linalg.solve(information, np.linalg.solve(mixed, weighted[..., None])[..., 0].sum(axis=0))


class MixedModel:
    """Maximum likelihood of the mixed model in one group, or in several that share their covariances.

    The covariance is S L L' S, S holding each marker's residual SD and L lower triangular: as in a profiled
    likelihood, but with a residual SD a marker. The mean follows from the rest.
    """

    def __init__(self, groups: Sequence[Sums], markers: Sequence[str]) -> None:
        self._groups = groups
        self._markers = markers
        self._k = groups[0].total.shape[1]
        size = self._k * WIDTH
        self._free = np.tri(size, dtype=bool)
        self._diagonal = np.eye(size, dtype=bool)[self._free]
        self._marker = np.repeat(np.arange(self._k), WIDTH)
        self._measurements = sum(int(sums.count.sum()) for sums in groups)

    def _unpack(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        sd = np.exp(values[: self._k])
        factor = np.zeros(self._free.shape)
        factor[self._free] = values[self._k :]
        scaled = sd[self._marker, None] * factor
        return sd, factor, scaled @ scaled.T

    def _cost(self, values: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus the log-likelihood a measurement, and its gradient."""
        sd, factor, covariance = self._unpack(values)
        likelihood, by_sd, by_covariance = 0.0, np.zeros(self._k), np.zeros(covariance.shape)
        for sums in self._groups:
            found = log_density(sums, _best_mean(sums, covariance, sd), covariance, sd)
            likelihood += found.log.sum()
            by_covariance += 0.5 * (found.pull.T @ found.pull - found.information.sum(axis=0))
            by_sd += (found.left / sd**2 - sums.count + found.leverage).sum(axis=0)
        scale = sd[self._marker]
        by_factor = 2 * (scale[:, None] * by_covariance * scale[None, :]) @ factor
        along = 2 * (by_covariance * covariance).sum(axis=1)
        by_sd += np.bincount(self._marker, along, self._k)
        gradient = np.concatenate([by_sd, by_factor[self._free]])
        return -likelihood / self._measurements, -gradient / self._measurements

    def fit(self, spread: np.ndarray) -> tuple[list[np.ndarray], np.ndarray, np.ndarray, list[str]]:
        """Means by group, covariance, residual SDs, notes; `spread` is each marker's SD over all measurements."""
        start = np.concatenate([np.log(0.5 * spread), np.where(self._diagonal, 1.0, 0.0)])
        bounds = [(np.log(_MIN_SHARE_OF_SD * each), np.log(10 * each)) for each in spread]
        bounds += [(_MIN_RELATIVE_SD, None) if diagonal else (None, None) for diagonal in self._diagonal]
        found = minimize(
            self._cost,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": 5000, "maxfun": 20000, "ftol": 1e-14, "gtol": 1e-8},
        )
        sd, factor, covariance = self._unpack(found.x)
        notes = []
        inside = found.x > np.array([-np.inf if low is None else low for low, _ in bounds]) + 1e-9
        if np.abs(found.jac[inside]).max(initial=0.0) > _STEEPEST:
            notes.append(f"the likelihood's maximum was not reached ({str(found.message).lower()})")
        for position in np.flatnonzero(np.diag(factor) <= 1.0001 * _MIN_RELATIVE_SD):
            what = f"{('level', 'slope')[position % WIDTH]} of {self._markers[position // WIDTH]}"
            notes.append(f"the {what} does not vary freely between patients; its SD is held")
        for marker in np.flatnonzero(sd <= 1.0001 * _MIN_SHARE_OF_SD * spread):
            notes.append(f"{self._markers[marker]} follows each patient's line exactly; its residual SD is held")
        return [_best_mean(sums, covariance, sd) for sums in self._groups], covariance, sd, notes
