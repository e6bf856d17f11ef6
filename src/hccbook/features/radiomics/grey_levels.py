"""Grey levels: intensities put into bins, with the edges that PyRadiomics chooses."""

from __future__ import annotations

import numpy as np

from hccbook.features.radiomics.texture_matrices import compiled


def bin_edges(low: np.generic, high: np.generic, bin_width: float, bin_count: int | None = None) -> np.ndarray:
    """Edges of the bins between two intensities.

    Parameters
    ----------
    low, high : numpy scalar
        Smallest and largest intensity in the organ, in the type of the image: in which precision the edges are
        rounded depends on it.
    bin_width : float
        Width of a bin; the edges are multiples of it.
    bin_count : int, optional
        Number of bins of equal width from `low` to `high`, instead of `bin_width`.

    Returns
    -------
    ndarray, shape (n_bins + 1,) or longer
        Ascending; an intensity on an edge belongs to the bin above.

    Notes
    -----
    The standard (IBSI) starts the first bin at the smallest intensity, or at a fixed bound; PyRadiomics starts it at
    the multiple of the width below.
    """
    if bin_count is not None:
        edges = np.histogram_bin_edges(np.array([low, high]), bin_count)
        edges[-1] += 1
        return edges
    edges = np.arange(low - low % bin_width, high + 2 * bin_width, bin_width)
    if edges.size == 1:  # Rounding in the type of the image leaves one.
        return np.array([edges[0] - 0.5, edges[0] + 0.5])
    return edges


def assign_levels(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Grey level of every intensity.

    Parameters
    ----------
    values : ndarray, shape (n_voxels,)
    edges : ndarray, shape (n_edges,)
        Ascending, of near equal steps; the first is not above the smallest value.

    Returns
    -------
    ndarray of uint16, shape (n_voxels,)
        1 for the first bin.
    """
    levels = np.empty(values.size, dtype=np.uint16)
    _assign(values.astype(float, copy=False), np.asarray(edges, dtype=float), levels)
    return levels


@compiled
def _assign(values, edges, levels):
    last = edges.size - 1
    first = edges[0]
    per_bin = last / (edges[last] - first)
    for v in range(values.size):
        value = values[v]
        # The quotient is within a step or so of the bin; the edges decide.
        bin_ = min(max(int((value - first) * per_bin), 0), last)
        while bin_ > 0 and value < edges[bin_]:
            bin_ -= 1
        while bin_ < last and value >= edges[bin_ + 1]:
            bin_ += 1
        levels[v] = bin_ + 1
