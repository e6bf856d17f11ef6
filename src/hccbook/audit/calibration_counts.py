"""Calibration against the numbers of events that it promises."""

from __future__ import annotations

from collections.abc import Sequence

CHECK = "calibration_counts"
"""Name of this family of checks."""


def least_expected_events(groups: Sequence[tuple[int, float]]) -> float:
    """Least number of events that calibrated probabilities promise.

    Parameters
    ----------
    groups : sequence of (n, cutoff)
        People at or above a cut-off on the predicted probability, and below the next one.

    Returns
    -------
    float
        ``Σ n x cutoff``: each of them has at least the probability of the cut-off.
    """
    return sum(n * cutoff for n, cutoff in groups)
