"""What happens to an image and its organ before any filter: normalisation, resampling, narrowing.

PyRadiomics does the work, through SimpleITK, for every engine; an extraction that asks for none of it passes through.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk

from hccbook.errors import MaskError
from hccbook.features.radiomics.extraction_settings import ExtractionSettings
from hccbook.features.radiomics.guards import check_region
from hccbook.features.radiomics.regions import bounding_box


def prepare(
    image: sitk.Image, mask: np.ndarray, settings: ExtractionSettings
) -> tuple[sitk.Image, np.ndarray, np.ndarray]:
    """Image and organ as the filters and features take them.

    Parameters
    ----------
    image : SimpleITK.Image
        3-D, finite.
    mask : ndarray of bool, shape (z, y, x)
        The organ, on the grid of `image`.
    settings : ExtractionSettings

    Returns
    -------
    image : SimpleITK.Image
    shape : ndarray of bool, shape (z, y, x)
        The organ of which shape is taken.
    region : ndarray of bool, shape (z, y, x)
        The organ of which intensities and texture are taken.

    Raises
    ------
    MaskError
        If resampling or narrowing the organ leaves too little of it.
    """
    region = mask
    if settings.normalize or settings.resampled_spacing_mm or settings.pre_crop or settings.resegment_range:
        options = settings.pyradiomics_options()
        image, organ = _resampled(image, mask, settings, options)
        region = mask = sitk.GetArrayFromImage(organ) != 0
        if settings.resegment_range:
            region = _narrowed(image, organ, options)
            check_region(region, settings, "organ within resegment_range")
            if settings.resegment_shape:
                mask = region
    return image, mask, region


def _resampled(
    image: sitk.Image, mask: np.ndarray, settings: ExtractionSettings, options: dict[str, Any]
) -> tuple[sitk.Image, sitk.Image]:
    from radiomics import imageoperations

    organ = sitk.GetImageFromArray(mask.astype(np.uint32))
    organ.CopyInformation(image)
    if settings.normalize:
        image = imageoperations.normalizeImage(image, **options)
    if settings.resampled_spacing_mm and settings.interpolator:
        try:
            image, organ = imageoperations.resampleImage(image, organ, **options)
        except ValueError as error:
            raise MaskError(
                "organ", "must lie inside the image", str(error).splitlines()[0], "Check the mask's grid."
            ) from error
        check_region(sitk.GetArrayViewFromImage(organ) != 0, settings, "resampled organ")
    elif settings.pre_crop:
        itk_box = np.array([bound for part in bounding_box(mask)[::-1] for bound in (part.start, part.stop - 1)])
        image, organ = imageoperations.cropToTumorMask(image, organ, itk_box, **options)
    return image, organ


def _narrowed(image: sitk.Image, organ: sitk.Image, options: dict[str, Any]) -> np.ndarray:
    from radiomics import imageoperations

    try:
        narrowed = imageoperations.resegmentMask(image, organ, **options)
    except ValueError:
        raise MaskError(
            "organ",
            "must keep at least two voxels within resegment_range",
            f"{options['resegmentRange']} ({options['resegmentMode']})",
            "Widen the range.",
        ) from None
    return sitk.GetArrayFromImage(narrowed) != 0
