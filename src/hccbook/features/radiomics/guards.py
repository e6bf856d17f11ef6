"""What an organ must be like for features to be taken of it."""

from __future__ import annotations

import numpy as np

from hccbook.errors import DataError, MaskError
from hccbook.features.radiomics.extraction_settings import ExtractionSettings

_MAX_GREY_LEVELS = 10_000  # above it, the matrices would not fit into memory


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
    extents = [np.count_nonzero(organ.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    if sum(extent > 1 for extent in extents) < settings.minimum_roi_dimensions:
        rule = f"must exceed one voxel along at least {settings.minimum_roi_dimensions} axes"
        raise MaskError(place, rule, f"{' x '.join(map(str, extents))} voxels (z, y, x)", hint)


def checked_range(
    values: np.ndarray, image: str, image_type: str, settings: ExtractionSettings
) -> tuple[np.ndarray, float]:
    """Range of intensities and their bin width, for an image whose grey-level matrices fit into memory.

    Parameters
    ----------
    values : ndarray
        Intensities in the organ.
    image : str
        Name of the image.
    image_type : str
        One of `hccbook.features.radiomics.vocabulary.IMAGE_TYPES`.
    settings : ExtractionSettings

    Returns
    -------
    extremes : ndarray, shape (2,)
        Smallest and largest intensity, in the type of `values`.
    bin_width : float
        In units of the image.

    Raises
    ------
    DataError
        If an intensity is NaN or infinite, or there are more than 10,000 grey levels.
    """
    low, high = extremes = np.array([values.min(), values.max()])
    # NaN is the least and the greatest of whatever it is among.
    if not np.isfinite(extremes).all():
        found = f"{np.count_nonzero(~np.isfinite(values))} voxels that are not"
        hint = "Leave this image type out: it cannot be taken of an image of zeros."
        raise DataError(f"{image} image", "must be finite in the organ", found, hint)
    width = settings.image_bin_widths.get(image_type, settings.bin_width)
    levels = settings.bin_count or int((float(high) - float(low)) // width) + 1
    if levels > _MAX_GREY_LEVELS:
        rule = f"must have at most {_MAX_GREY_LEVELS:,} grey levels in the organ"
        found = f"{levels:,} (intensities {low:g} to {high:g}, bin width {width:g})"
        hint = "Widen the bins, or clip the intensities to a window."
        raise DataError(f"{image} image", rule, found, hint)
    return extremes, width
