"""Organs in a label map: their label, their voxels, their box."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from hccbook.errors import MaskError, SettingsError
from hccbook.images import from_array, same_grid, to_array
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


def read_label_map(path: str | Path, image: sitk.Image | None = None, place: str | None = None) -> sitk.Image:
    """Read a label map: 0 background, 1 liver, 2 spleen.

    Parameters
    ----------
    path : path-like
        NIfTI file.
    image : SimpleITK.Image, optional
        The image that it belongs to; its geometry is taken over.
    place : str, optional
        How errors name the label map; the name of the file if absent.

    Returns
    -------
    SimpleITK.Image
        uint8.

    Raises
    ------
    MaskError
        If the file is missing or unreadable, lies on another grid than `image`, or holds other values than
        whole numbers from 0 to 255.
    """
    path = Path(path)
    place = path.name if place is None else place
    if not path.is_file():
        raise MaskError(place, "label map must be a file", f"no file {path.name!r}", "Run the segmentation stage.")
    try:
        labels = sitk.ReadImage(str(path))
    except RuntimeError:
        raise MaskError(
            place, "label map must be readable", "a file that is no image", "Run the segmentation stage again."
        ) from None
    if image is not None and not same_grid(labels, image):
        raise MaskError(
            place,
            "label map must lie on the grid of its image",
            f"{labels.GetSize()} and {image.GetSize()} voxels (x, y, z) or another place",
            "Run the segmentation stage again on this image.",
        )
    array = to_array(labels)
    if array.min() < 0 or array.max() > 255 or not np.array_equal(array, np.floor(array)):
        raise MaskError(
            place,
            "label map must hold whole numbers from 0 to 255",
            f"{array.min():g} to {array.max():g}",
            "Write it as uint8: 0 background, 1 liver, 2 spleen.",
        )
    return from_array(array, labels if image is None else image, dtype=np.uint8)


def bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """Smallest box around the true voxels.

    Parameters
    ----------
    mask : ndarray of bool
        Not all false.

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
            raise MaskError("mask", "must hold at least one voxel of the organ", "an empty mask", "Outline the organ.")
        box.append(slice(int(where[0]), int(where[-1]) + 1))
    return tuple(box)
