"""Random fields of tissue, made on a fixed physical lattice so that they do not depend on the voxel size.

A field is white noise on a lattice, smoothed to a correlation length in millimetres. The lattice's
cell is 2.5 mm or, for smoother fields, half the SD of their smoothing kernel.
A scanner samples it by averaging the lattice under its point spread: coarse voxels see the same tissue,
only blurred, as fine ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

_LATTICE_MM = 2.5


@dataclass(frozen=True)
class Field:
    """A random field in the frame of an organ.

    Attributes
    ----------
    values : ndarray of shape (n_z, n_y, n_x)
        Values at the lattice nodes.
    origin, step : tuple of float, float
        Position (x, y, z) of the first node, and edge of the lattice cell, mm.
    """

    values: np.ndarray
    origin: tuple[float, float, float]
    step: float

    def sample(self, x: np.ndarray, y: np.ndarray, z: np.ndarray, spread_mm: tuple[float, float, float]) -> np.ndarray:
        """Average of the field under each voxel's point spread.

        Parameters
        ----------
        x, y, z : ndarray of shape (n_x,), (n_y,), (n_z,)
            Voxel centres along each axis, mm, in the frame of the organ.
        spread_mm : tuple of float
            Standard deviation of the Gaussian point spread along x, y and z, mm.

        Returns
        -------
        ndarray of shape (n_z, n_y, n_x), float32
        """
        along_x, along_y, along_z = (
            _weights(at, start, self.step, count, spread)
            for at, start, count, spread in zip((x, y, z), self.origin, self.values.shape[::-1], spread_mm, strict=True)
        )
        # The axes separate, so that three matrix products replace an interpolation voxel by voxel.
        return np.matmul(np.matmul(along_y, np.tensordot(along_z, self.values, axes=(1, 0))), along_x.T)


def _weights(at: np.ndarray, start: float, step: float, count: int, spread: float) -> np.ndarray:
    nodes = start + step * np.arange(count)
    # Below one lattice cell the Gaussian would fall between the nodes.
    width = max(spread, 0.55 * step)
    weight = np.exp(-0.5 * ((at[:, None] - nodes[None, :]) / width) ** 2) + 1e-30
    return (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)


def smooth_field(
    rng: np.random.Generator, low: np.ndarray, high: np.ndarray, sigma_mm: float, *, band: float = 0.0
) -> Field:
    """Gaussian random field of mean 0 and SD 1.

    Parameters
    ----------
    rng : numpy.random.Generator
    low, high : array_like of shape (3,)
        Corners (x, y, z) of the box to fill, mm.
    sigma_mm : float
        SD of the smoothing kernel, mm; structures are about 2.4 of it across.
    band : float
        Share of the field smoothed twice as wide that is taken off, so that slow shading is left out.

    Returns
    -------
    Field
    """
    step = max(_LATTICE_MM, 0.5 * sigma_mm)
    nodes = np.ceil(np.subtract(high, low) / step).astype(int) + 1
    white = rng.standard_normal(nodes[::-1], dtype=np.float32)
    sigma = sigma_mm / step
    values = ndimage.gaussian_filter(white, sigma, mode="wrap", truncate=3.0)
    if band:
        # Smoothing what is smooth already by sqrt(3) sigma gives twice the width.
        wide = ndimage.gaussian_filter(values, sigma * np.sqrt(3.0), mode="wrap", truncate=2.5)
        values -= np.float32(band) * wide
    values -= values.mean()
    values /= values.std()
    return Field(values, tuple(float(value) for value in low), step)


def skewed(field: Field, skew: float) -> Field:
    """Gaussian field whose histogram is made to lean to bright values, mean 0 and SD 1 kept.

    `skew` is the weight of its square; the skewness is about six times as much while it is small.
    """
    values = field.values + np.float32(skew) * (field.values**2 - 1.0)
    return Field(values / np.float32(np.sqrt(1.0 + 2.0 * skew**2)), field.origin, field.step)
