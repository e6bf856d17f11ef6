"""CT volumes: NIfTI files and DICOM folders that hold Hounsfield units (HU)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from hccbook.errors import ImageError
from hccbook.images.nifti import read_nifti
from hccbook.images.series import frame_of_reference, read_series, set_frame_of_reference

_HU_LIMITS = (-8192.0, 32767.0)  # beyond them are no CT numbers, not even of padding or metal


def read_image(path: str | Path, place: str | None = None) -> sitk.Image:
    """Read a CT volume.

    Parameters
    ----------
    path : path-like
        NIfTI file (``.nii``, ``.nii.gz``), or a folder that holds the DICOM slices of exactly one CT series.
    place : str, optional
        How errors name the image, such as ``"P0003, venous"``; the name of the file or folder if absent.

    Returns
    -------
    SimpleITK.Image
        3-D, int16 (or float32 where the file holds fractions), in HU. The slices of a series are sorted along their
        normal, and the frame of reference is kept in the metadata, under DICOM's tag ``0020|0052``.

    Raises
    ------
    ImageError
        If the path is missing or unreadable; if the image is not 3-D, has a voxel edge of zero, or holds values that
        are not finite or cannot be HU; if a folder holds another modality than CT, a localizer, several series or
        patients, several frames a file, slices without pixel data or rescale, tilted slices, or a gap.
    """
    path = Path(path)
    place = path.name if place is None else place
    if not path.exists():
        raise ImageError(place, "image must exist", f"no file or folder {path.name!r}", "Correct the path.")
    image = read_series(path, place) if path.is_dir() else read_nifti(path, place, ImageError)
    return _checked_hu(image, place)


def _checked_hu(image: sitk.Image, place: str) -> sitk.Image:
    array = sitk.GetArrayViewFromImage(image)
    fractional = np.issubdtype(array.dtype, np.floating)
    low, high = float(array.min()), float(array.max())
    if low < _HU_LIMITS[0] or high > _HU_LIMITS[1]:
        found = f"{low:g} to {high:g}"
        hint = "Check that rescale slope and intercept were applied once, and padding is a CT number such as -1024."
        raise ImageError(place, f"values must be HU, {_HU_LIMITS[0]:g} to {_HU_LIMITS[1]:g}", found, hint)
    if low >= 0 or high <= 0:
        rule = "values must be HU, in which fat and air are below 0 and soft tissue above"
        hint = "Convert the original series with its rescale intercept, and without window or normalisation."
        raise ImageError(place, rule, f"{low:g} to {high:g}", hint)
    cast = sitk.Cast(image, sitk.sitkFloat32 if fractional else sitk.sitkInt16)
    set_frame_of_reference(cast, frame_of_reference(image))
    return cast
