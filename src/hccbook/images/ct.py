"""CT volumes: NIfTI files and DICOM series that hold Hounsfield units (HU)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from hccbook.errors import ImageError
from hccbook.images.nifti import is_nifti, read_nifti
from hccbook.images.remarks import apart
from hccbook.images.series import read_series
from hccbook.provenance import is_there

VOXEL_EDGES_MM = (0.1, 20.0)
"""Voxel edges of a body CT, mm: reconstructions begin at some 0.2 mm in the plane, and working images end at 10 mm."""

MAX_EXTENT_MM = 2500.0
"""Length of a volume along any axis, mm: more than a body, or any table, is long."""

SOFT_TISSUE_HU = (-200.0, 300.0)
"""Fat to enhanced soft tissue, HU."""

MIN_SOFT_TISSUE_SHARE = 0.02
"""Share of a volume's voxels that must be soft tissue.

A body takes up a tenth of the widest field of view and more; where the intercept was subtracted twice, only bone
reaches soft tissue's values, which is below a hundredth.
"""

DENSE_HU = 700.0
MAX_DENSE_SHARE = 0.05
"""Share of voxels above `DENSE_HU` (cortical bone, metal) that a volume may have.

Bone of that density is below a hundredth of an abdomen; where the intercept was never subtracted, all the body is.
"""

MIN_RANGE_HU = 50.0
"""Difference of the 1st and the 99th percentile that a volume must have: between fat and muscle alone lie 130 HU."""

_HU_LIMITS = (-8192.0, 32767.0)  # beyond them are no CT numbers, not even of padding or metal


def read_image(path: str | Path, place: str | None = None) -> sitk.Image:
    """Read a CT volume.

    Parameters
    ----------
    path : path-like
        NIfTI file (``.nii``, ``.nii.gz``); a folder that holds the DICOM slices of exactly one CT series, localizers
        aside; or a DICOM file of several frames (enhanced CT).
    place : str, optional
        How errors name the image, such as ``"P0003, venous"``; the name of the file or folder if absent.

    Returns
    -------
    SimpleITK.Image
        3-D, int16 (or float32 where the file holds fractions), in HU. The slices of a series are sorted along their
        normal, and the frame of reference is kept in the metadata, under DICOM's tag ``0020|0052``.
        Slices under gantry tilt, in uneven steps or of a sheared NIfTI file are interpolated onto a regular grid.
        What was repaired is said by `hccbook.images.remarks.remark`.

    Raises
    ------
    ImageError
        If the path is missing or unreadable; if the image is not 3-D, has voxel edges beyond `VOXEL_EDGES_MM` or is
        longer than `MAX_EXTENT_MM`, or holds values that are not finite or cannot be HU of a body; if a folder holds
        another modality than CT, localizers alone, several series or patients, slices without place, pixels or
        rescale, or too uneven ones.
    """
    path = Path(path)
    place = path.name if place is None else place
    if not is_there(path):
        raise ImageError(place, "image must exist", f"no file or folder {path.name!r}", "Correct the path.")
    image = read_nifti(path, place, ImageError) if _is_nifti(path) else read_series(path, place)
    _check_edges(image, place)
    return _checked_hu(image, place)


def _is_nifti(path: Path) -> bool:
    return not path.is_dir() and is_nifti(path)


def _check_edges(image: sitk.Image, place: str) -> None:
    edges = np.array(image.GetSpacing())
    low, high = VOXEL_EDGES_MM
    if ((edges >= low) & (edges <= high)).all():
        lengths = edges * image.GetSize()
        if lengths.max() > MAX_EXTENT_MM:
            found = " x ".join(f"{length:.4g}" for length in lengths) + " mm (x, y, z)"
            hint = "Convert the original series again, or correct the voxel edges in the header."
            raise ImageError(place, f"a volume must be at most {MAX_EXTENT_MM:g} mm long", found, hint)
        return
    hint = "Convert the original series again, or correct the voxel edges in the header."
    for factor, unit in ((1e3, "metres"), (1e-3, "micrometres"), (10.0, "centimetres")):
        if ((edges * factor >= low) & (edges * factor <= high)).all():
            hint = f"They would do in {unit}: convert them to mm, in pixdim, qform and sform of a NIfTI file."
            break
    found = " x ".join(f"{edge:.4g}" for edge in edges) + " mm (x, y, z)"
    raise ImageError(place, f"voxel edges must be {low:g} to {high:g} mm", found, hint)


def _checked_hu(image: sitk.Image, place: str) -> sitk.Image:
    array = sitk.GetArrayViewFromImage(image)
    low, high = float(array.min()), float(array.max())
    if low < _HU_LIMITS[0] or high > _HU_LIMITS[1]:
        limits = f"{_HU_LIMITS[0]:g} to {_HU_LIMITS[1]:g}"
        hint = "Check that rescale slope and intercept were applied once, and padding is a CT number such as -1024."
        raise ImageError(place, f"values must be HU, {limits}", " to ".join(apart(low, high, digits=6)), hint)
    if low >= 0 or high <= 0:
        rule = "values must be HU, in which fat and air are below 0 and soft tissue above"
        hint = "Convert the original series with its rescale intercept, and without window or normalisation."
        raise ImageError(place, rule, f"{low:g} to {high:g}", hint)
    _check_body(array, place)
    fractional = np.issubdtype(array.dtype, np.floating)
    cast = sitk.Cast(image, sitk.sitkFloat32 if fractional else sitk.sitkInt16)
    for key in image.GetMetaDataKeys():
        cast.SetMetaData(key, image.GetMetaData(key))
    return cast


def _check_body(array: np.ndarray, place: str) -> None:
    """Refuse values of which no body can be made, such as those whose intercept was subtracted twice or never."""
    # Every other voxel or fewer of a large volume: shares are wide, and reading should stay quick.
    array = array[tuple(slice(None, None, max(1, length // 128)) for length in array.shape)]
    low, high = SOFT_TISSUE_HU
    soft = np.count_nonzero((array >= low) & (array <= high)) / array.size
    dense = np.count_nonzero(array > DENSE_HU) / array.size
    if dense > MAX_DENSE_SHARE:
        rule = f"at most {MAX_DENSE_SHARE:.0%} of the voxels may be as dense as bone, above {DENSE_HU:g} HU"
        hint = "Look whether the rescale intercept (mostly -1024) was never added, or the values are stored ones."
        raise ImageError(place, rule, f"{dense:.0%}", hint)
    if soft < MIN_SOFT_TISSUE_SHARE:
        rule = f"at least {MIN_SOFT_TISSUE_SHARE:.0%} of the voxels must be soft tissue, {low:g} to {high:g} HU"
        hint = "Look whether the rescale intercept was subtracted twice, or the image holds air alone."
        raise ImageError(place, rule, f"{soft:.1%}, and a median of {np.median(array):g} HU", hint)
    lower, upper = np.percentile(array, (1, 99))
    if upper - lower < MIN_RANGE_HU:
        rule = f"values must be HU, which span {MIN_RANGE_HU:g} HU or more between their 1st and 99th percentile"
        hint = "Convert the original series, without normalisation."
        raise ImageError(place, rule, " to ".join(apart(float(lower), float(upper))), hint)
