"""What happens to an image and its organ before any filter: normalisation, resampling, narrowing, by PyRadiomics."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from hccbook.errors import MaskError
from hccbook.features.radiomics.extraction_settings import ExtractionSettings
from hccbook.features.radiomics.guards import check_region
from hccbook.features.radiomics.regions import bounding_box, widened
from hccbook.images import from_array


def prepare(
    image: sitk.Image, mask: np.ndarray, settings: ExtractionSettings
) -> tuple[sitk.Image, np.ndarray, np.ndarray]:
    """Image and organ as the filters and features take them; unchanged where no preparation is asked for.

    Parameters
    ----------
    image, mask, settings
        As of `Engine.extract`.

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
        image, organ = _resampled(image, mask, settings)
        region = mask = sitk.GetArrayFromImage(organ) != 0
        if settings.resegment_range:
            region = _narrowed(image, organ, settings)
            check_region(region, settings, "organ within resegment_range")
            if settings.resegment_shape:
                mask = region
    return image, mask, region


def _resampled(image: sitk.Image, mask: np.ndarray, settings: ExtractionSettings) -> tuple[sitk.Image, sitk.Image]:
    from radiomics import imageoperations

    options = settings.pyradiomics_options()
    organ = from_array(mask, image, np.uint32)
    if settings.normalize:
        image = imageoperations.normalizeImage(image, **options)
    if settings.resampled_spacing_mm and settings.interpolator:
        try:
            image, organ = imageoperations.resampleImage(image, organ, **options)
        except ValueError as error:
            found = str(error).splitlines()[0]
            raise MaskError("organ", "must lie inside the image", found, "Check the mask's grid.") from error
        check_region(sitk.GetArrayViewFromImage(organ) != 0, settings, "resampled organ")
    elif settings.pre_crop:
        around = widened(bounding_box(mask), settings.pad_voxels, mask.shape)[::-1]
        image, organ = image[around], organ[around]
    return image, organ


def _narrowed(image: sitk.Image, organ: sitk.Image, settings: ExtractionSettings) -> np.ndarray:
    from radiomics import imageoperations

    try:
        narrowed = imageoperations.resegmentMask(image, organ, **settings.pyradiomics_options())
    except ValueError:
        rule = "must keep at least two voxels within resegment_range"
        found = f"{list(settings.resegment_range)} ({settings.resegment_mode})"
        raise MaskError("organ", rule, found, "Widen the range.") from None
    return sitk.GetArrayFromImage(narrowed) != 0
