"""What an organ must be like for features to be taken of it."""

from __future__ import annotations

import numpy as np

from hccbook.errors import DataError, MaskError
from hccbook.features.radiomics.extraction_settings import ExtractionSettings

MAX_GREY_LEVELS = 10_000
"""Grey levels above which the matrices would not fit into memory."""


def check_region(organ: np.ndarray, settings: ExtractionSettings, place: str) -> None:
    """Refuse an organ that is too small for texture and shape.

    Parameters
    ----------
    organ : ndarray of bool, shape (z, y, x)
    settings : ExtractionSettings
        Its `minimum_roi_voxels` and `minimum_roi_dimensions`.
    place : str
        How errors name it.

    Raises
    ------
    MaskError
    """
    voxels = int(np.count_nonzero(organ))
    hint = "Check the segmentation; working at a finer spacing gives more voxels."
    if voxels < settings.minimum_roi_voxels:
        raise MaskError(place, f"must have at least {settings.minimum_roi_voxels} voxels", voxels, hint)
    others = [tuple(other for other in range(3) if other != axis) for axis in range(3)]
    extents = [int(np.count_nonzero(organ.any(axis=other))) for other in others]
    long = sum(np.ptp(np.flatnonzero(organ.any(axis=other))) > 0 for other in others)
    if long < settings.minimum_roi_dimensions:
        shown = " x ".join(str(extent) for extent in extents)
        raise MaskError(
            place,
            f"must exceed one voxel along at least {settings.minimum_roi_dimensions} axes",
            f"{shown} voxels (z, y, x)",
            hint,
        )


def check_finite(values: np.ndarray, place: str) -> None:
    """Refuse intensities that are NaN or infinite.

    Parameters
    ----------
    values : ndarray
        Intensities in the organ.
    place : str
        Name of the image.

    Raises
    ------
    DataError
    """
    # An integer image holds no value that is not finite.
    if not np.isfinite(values).all():
        raise DataError(
            f"{place} image",
            "must be finite in the organ",
            f"{np.count_nonzero(~np.isfinite(values))} voxels that are not",
            "Leave this image type out: it cannot be taken of an image of zeros.",
        )


def check_grey_levels(values: np.ndarray, bin_width: float, bin_count: int | None, place: str) -> None:
    """Refuse more grey levels than the matrices can hold.

    Parameters
    ----------
    values : ndarray
        Intensities in the organ, or their extremes.
    bin_width : float
        In units of the image.
    bin_count : int or None
        Number of bins, where that is fixed instead.
    place : str
        Name of the image.

    Raises
    ------
    DataError
    """
    span = float(values.max()) - float(values.min())
    levels = bin_count if bin_count is not None else int(span // bin_width) + 1
    if levels > MAX_GREY_LEVELS:
        raise DataError(
            f"{place} image",
            f"must have at most {MAX_GREY_LEVELS:,} grey levels in the organ",
            f"{levels:,} (intensities {values.min():g} to {values.max():g}, bin width {bin_width:g})",
            "Widen the bins, or clip the intensities to a window.",
        )
