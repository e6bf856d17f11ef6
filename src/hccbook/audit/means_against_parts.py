"""Means of a whole against the means of its parts."""

from __future__ import annotations

from collections.abc import Sequence

from hccbook.audit.printed import Range, total


def mean_of_rest(parts: Sequence[tuple[int, Range]], some: int, mean_of_some: Range) -> Range:
    """Mean of those that a printed mean leaves out.

    Parameters
    ----------
    parts : sequence of (n, Range)
        Groups that hold everybody once, and their printed means.
    some : int
        People that the other printed mean is of.
    mean_of_some : Range
        That mean.

    Returns
    -------
    Range
        ``(Σ n_j mean_j - some x mean) / rest``, every rounding at its limit.
    """
    everybody = sum(n for n, _ in parts)
    return (total(n * mean for n, mean in parts) - some * mean_of_some) / (everybody - some)
