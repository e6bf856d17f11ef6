"""Organs in a label map: their label, their voxels, their box."""

from __future__ import annotations

import numpy as np

from hccbook.errors import MaskError, SettingsError
from hccbook.settings import ORGANS


def organ_label(organ: str) -> int:
    """Value of `organ` in every label map (liver 1, spleen 2).

    Raises
    ------
    SettingsError
        If the organ is not one of `hccbook.settings.ORGANS`.
    """
    if organ not in ORGANS:
        raise SettingsError("organ", f"must be one of {', '.join(ORGANS)}", repr(organ), "Check the spelling.")
    return ORGANS.index(organ) + 1


def widened(box: tuple[slice, ...], by: int, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """A box with a margin on every side, as far as an array of that shape reaches."""
    return tuple(slice(max(b.start - by, 0), min(b.stop + by, n)) for b, n in zip(box, shape, strict=True))


def within(box: tuple[slice, ...], outer: tuple[slice, ...]) -> tuple[slice, ...]:
    """A box in the indices of another one around it."""
    return tuple(slice(b.start - o.start, b.stop - o.start) for b, o in zip(box, outer, strict=True))


def bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """Smallest box around the true voxels.

    Parameters
    ----------
    mask : ndarray of bool

    Returns
    -------
    tuple of slice
        One slice an axis, in the order of the array's axes.

    Raises
    ------
    MaskError
        If no voxel is true.
    """
    box = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        where = np.flatnonzero(mask.any(axis=others))
        if where.size == 0:
            raise MaskError("mask", "must hold at least one voxel of the organ", "an empty mask", "Segment the organ.")
        box.append(slice(int(where[0]), int(where[-1]) + 1))
    return tuple(box)
