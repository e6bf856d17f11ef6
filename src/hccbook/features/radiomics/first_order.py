"""First-order features: the distribution of intensities in an organ."""

from __future__ import annotations

import numba
import numpy as np

from hccbook.features.radiomics.texture_features import EPSILON

_summing = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "nsz"})
"""As `texture_matrices.compiled`, for sums in any order: so the processor adds several voxels at once."""


def first_order_features(
    values: np.ndarray, level_counts: np.ndarray, voxel_volume_mm3: float, intensity_shift: float = 0.0
) -> dict[str, float]:
    """Features of the intensities of an organ, from one sort.

    Parameters
    ----------
    values : ndarray, shape (n_voxels,)
        Intensities, HU or of a filtered image.
    level_counts : ndarray of int, shape (n_levels,)
        Voxels of each grey level that occurs, for entropy and uniformity.
    voxel_volume_mm3 : float
        For the total energy.
    intensity_shift : float
        Added to intensities before they are squared (energy, root mean square).

    Returns
    -------
    dict of str to float
        18 features; kurtosis is 3 for a normal distribution.

    References
    ----------
    PyRadiomics 3.0.1, feature class first order; IBSI reference manual, sections 3.3 and 3.4.
    """
    # Sorted in their own type, which may be the smaller one.
    ordered = np.sort(values).astype(float)
    values = values.astype(float, copy=False)
    # The mean is taken in array order, as PyRadiomics takes it: where all intensities are equal, its rounding decides
    # about skewness and kurtosis.
    mean = values.sum() / values.size
    low, high, quarter, middle, three_quarters = (_percentile(ordered, q) for q in (10, 90, 25, 50, 75))
    inner = ordered[np.searchsorted(ordered, low, "left") : np.searchsorted(ordered, high, "right")]
    second, third, fourth, absolute, energy = _moments(values, mean, intensity_shift)
    robust = _moments(inner, inner.sum() / inner.size, 0.0)[3] if inner.size else np.nan
    scale = second if second != 0 else 1.0
    share = level_counts / values.size
    return {
        "10Percentile": low,
        "90Percentile": high,
        "Energy": energy,
        "Entropy": float(-(share * np.log2(share + EPSILON)).sum()),
        "InterquartileRange": three_quarters - quarter,
        "Kurtosis": fourth / scale**2,
        "Maximum": float(ordered[-1]),
        "MeanAbsoluteDeviation": absolute,
        "Mean": float(mean),
        "Median": middle,
        "Minimum": float(ordered[0]),
        "Range": float(ordered[-1] - ordered[0]),
        "RobustMeanAbsoluteDeviation": robust,
        "RootMeanSquared": float(np.sqrt(energy / values.size)),
        "Skewness": third / scale**1.5,
        "TotalEnergy": energy * voxel_volume_mm3,
        "Uniformity": float((share**2).sum()),
        "Variance": second,
    }


def _percentile(ordered: np.ndarray, percent: int) -> float:
    """Percentile by linear interpolation, rounded as numpy rounds it: the robust deviation compares with it."""
    place = (ordered.size - 1) * (percent / 100)
    below = int(place)
    above = min(below + 1, ordered.size - 1)
    start, stop, part = float(ordered[below]), float(ordered[above]), place - below
    step = stop - start
    return stop - step * (1 - part) if part >= 0.5 else start + step * part


@_summing
def _moments(values, mean, shift):
    """Central moments 2 to 4, mean absolute deviation, sum of squares after the shift."""
    second = third = fourth = absolute = energy = 0.0
    for v in range(values.size):
        away = values[v] - mean
        square = away * away
        second += square
        third += square * away
        fourth += square * square
        absolute += abs(away)
        energy += (values[v] + shift) ** 2
    n = values.size
    return second / n, third / n, fourth / n, absolute / n, energy
