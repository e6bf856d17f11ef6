"""All phases of a patient on one isotropic grid, aligned with each other; window and discretisation.

The phases are taken in one session, tens of seconds apart, and each in a breath-hold of its own: the spine lies still
while liver and spleen move up or down with the diaphragm. So each phase is moved onto the venous one by a translation
that is measured inside the upper abdomen alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike

from hccbook.errors import DataError, ImageError, MaskError
from hccbook.images import from_array
from hccbook.images.geometry import physical_extent
from hccbook.settings import ORGANS

AIR_HU = -1024
"""Value of voxels that the source does not cover, HU."""

MAX_OVERLAP = 0.01
"""Share of the smaller organ up to which two masks may claim the same voxels."""

_DOWNSAMPLING_WITHOUT_FILTER = 1.5  # ratio of voxel edges up to which linear interpolation hardly aliases
_FWHM_PER_SIGMA = 2.3548
_ALIGNMENT_SPACING_MM = 5.0
_ALIGNMENT_SMOOTHING_MM = 2.0  # SD; without it, optima at whole voxels hide the true one
_ALIGNMENT_SAMPLING = 0.1  # share of the voxels in the region
_ALIGNMENT_HU = (-300.0, 250.0)  # outside, air and bone would take up the histogram's bins
_MAX_SHIFT_MM = 40.0
_OTHER_STUDY = "Check that both belong to this patient and study, or set align_phases to false."


@dataclass(frozen=True)
class WorkingGrid:
    """Axis-aligned isotropic grid in LPS axes; size and origin are (x, y, z)."""

    size: tuple[int, int, int]  # voxels
    spacing_mm: float
    origin: tuple[float, float, float]  # centre of the first voxel, mm


def reference_phase(phases: Iterable[str]) -> str:
    """Phase that the others are moved onto: the venous one, or the first where there is none."""
    phases = list(phases)
    return "venous" if "venous" in phases else phases[0]


def working_grid(image: sitk.Image, spacing_mm: float) -> WorkingGrid:
    """Isotropic grid that covers the physical extent of an image.

    The grid is centred on the extent (of an oblique image, on the box around it) and agrees with it to within half a
    working voxel at each end.

    Parameters
    ----------
    image : SimpleITK.Image
        3-D image of any orientation.
    spacing_mm : float
        Voxel edge, mm.

    Returns
    -------
    WorkingGrid

    Raises
    ------
    DataError
        If the spacing is not above 0.
    """
    if not spacing_mm > 0:
        raise DataError("working spacing", "must be above 0 mm", f"{spacing_mm:g} mm", "Set spacing_mm to 1 or more.")
    lower, upper = physical_extent(image)
    size = np.maximum(np.round((upper - lower) / spacing_mm), 1).astype(int)
    origin = (lower + upper - size * spacing_mm) / 2 + spacing_mm / 2
    return WorkingGrid(tuple(int(n) for n in size), float(spacing_mm), tuple(round(float(o), 6) for o in origin))


def resample(
    image: sitk.Image,
    spacing_mm: float,
    *,
    labels: bool = False,
    grid: WorkingGrid | None = None,
    transform: sitk.Transform | None = None,
) -> sitk.Image:
    """Resample an image, or a mask or label map, onto an isotropic axis-aligned grid.

    Parameters
    ----------
    image : SimpleITK.Image
        3-D image in HU, or a label map.
    spacing_mm : float
        Voxel edge of the result, mm; 1 in both papers.
    labels : bool
        Whether the values are labels: nearest neighbour, and 0 outside the source.
    grid : WorkingGrid, optional
        Grid of the result; `working_grid` of the image if absent.
    transform : SimpleITK.Transform, optional
        From points of the result to points of the source; identity if absent.

    Returns
    -------
    SimpleITK.Image
        float32 (labels: their own type) with identity direction. Voxels outside the source are `AIR_HU`.
        Along axes that become coarser by more than half, images are first smoothed by a Gaussian that makes their
        resolution that of the result, so that noise and fine texture do not alias.

    Raises
    ------
    DataError
        If the spacing is not above 0, or the grid given has another.

    References
    ----------
    ALARM, Methods, CT imaging; Cardoso et al. 2015, MICCAI, LNCS 9350:81 (the width of the Gaussian).
    """
    grid = working_grid(image, spacing_mm) if grid is None else grid
    if grid.spacing_mm != spacing_mm:
        rule = f"must have the spacing asked for, {spacing_mm:g} mm"
        raise DataError("working grid", rule, f"{grid.spacing_mm:g} mm", "Make it anew.")
    resampler = sitk.ResampleImageFilter()
    # One thread: patients run side by side already, and the result must not depend on how many.
    resampler.SetNumberOfThreads(1)
    resampler.SetSize(grid.size)
    resampler.SetOutputSpacing((grid.spacing_mm,) * 3)
    resampler.SetOutputOrigin(grid.origin)
    resampler.SetOutputDirection(np.eye(3).ravel().tolist())
    resampler.SetTransform(sitk.Transform(3, sitk.sitkIdentity) if transform is None else transform)
    if labels:
        resampler.SetInterpolator(sitk.sitkNearestNeighbor)
        return resampler.Execute(image)
    resampler.SetInterpolator(sitk.sitkLinear)
    resampler.SetDefaultPixelValue(AIR_HU)
    return resampler.Execute(_smoothed(sitk.Cast(image, sitk.sitkFloat32), spacing_mm))


def _smoothed(image: sitk.Image, spacing_mm: float) -> sitk.Image:
    edges = np.array(image.GetSpacing())
    missing = np.maximum(spacing_mm**2 - edges**2, 0) / _FWHM_PER_SIGMA**2
    variance = np.where(spacing_mm / edges > _DOWNSAMPLING_WITHOUT_FILTER, missing, 0.0)
    return _gaussian(image, variance) if variance.any() else image


def _gaussian(image: sitk.Image, variance: np.ndarray) -> sitk.Image:
    """Smooth by a Gaussian of the given variance (x, y, z; mm^2)."""
    gaussian = sitk.DiscreteGaussianImageFilter()
    gaussian.SetNumberOfThreads(1)
    gaussian.SetUseImageSpacing(True)
    gaussian.SetVariance(variance.tolist())
    gaussian.SetMaximumKernelWidth(64)
    return gaussian.Execute(image)


def window(array: ArrayLike, width: float, level: float) -> np.ndarray:
    """Clip HU to a window.

    Parameters
    ----------
    array : array-like
        HU, of any shape.
    width, level : float
        Width and centre of the window, HU; ALARM (Methods, CT imaging) takes 200 and 40, so -60 to 140.

    Returns
    -------
    ndarray
        Of the shape of `array`.

    Raises
    ------
    DataError
        If the width is not above 0.
    """
    if not width > 0:
        raise DataError("window", "width must be above 0 HU", f"{width:g}", "ALARM takes a width of 200 HU.")
    return np.clip(np.asarray(array), level - width / 2, level + width / 2)


def discretise(array: ArrayLike, bin_width: float) -> np.ndarray:
    """Grey levels of a fixed bin width, as PyRadiomics bins.

    Parameters
    ----------
    array : array-like
        HU, of any shape.
    bin_width : float
        Width w of a bin, HU.

    Returns
    -------
    ndarray of int32
        ``floor(x / w) - floor(min(x) / w) + 1``: bins begin at multiples of the width, and the first used is 1.

    Raises
    ------
    DataError
        If the width is not above 0, there is no value, or one is not finite.

    References
    ----------
    Zwanenburg et al. 2020, Radiology 295:328 (IBSI, Fixed Bin Size); PyRadiomics, ``imageoperations.getBinEdges``.
    """
    values = np.asarray(array, dtype=float)
    if not bin_width > 0:
        raise DataError("bin width", "must be above 0 HU", f"{bin_width:g}", "PyRadiomics takes 25 HU.")
    if not values.size or not np.isfinite(values).all():
        found = "NaN or infinity" if values.size else "none"
        raise DataError("values", "must be finite", found, "Read images with hccbook.images.read_image.")
    return (np.floor(values / bin_width) - np.floor(values.min() / bin_width) + 1).astype(np.int32)


@dataclass(frozen=True)
class AlignmentTarget:
    """The reference phase as the registration sees it, upright, whatever way the patient lay in the scanner."""

    turn: np.ndarray  # (3, 3): from upright axes to those of the patient's coordinates
    image: sitk.Image
    region: sitk.Image

    @classmethod
    def of(cls, fixed: sitk.Image) -> AlignmentTarget:
        """Target for all other phases of the patient whose reference phase is `fixed`."""
        turn = np.reshape(sitk.DICOMOrient(fixed, "LPS").GetDirection(), (3, 3))
        image = _for_alignment(fixed, turn)
        return cls(turn, image, _upper_abdomen(image))


def align_phase(moving: sitk.Image, target: AlignmentTarget) -> sitk.TranslationTransform:
    """Translation of the upper abdominal organs between two phases.

    Mattes mutual information is maximised over translations, inside the body without its wall and spine and no deeper
    than 110 mm under the lungs' base: skin and bones lie still while the organs move. On simulated patients with 5 mm
    voxels, movement along z is found within about 1 mm (root mean square 0.5 mm); movement of 1 to 3 mm to the front or
    back, where the organs lean on a wall that lies still, is mostly missed.

    Parameters
    ----------
    moving : SimpleITK.Image
        Phase to be moved, HU.
    target : AlignmentTarget
        Reference phase, looked at once for all others.

    Returns
    -------
    SimpleITK.TranslationTransform
        From points of the reference to points of `moving`, mm: an organ at p lies at p + offset in `moving`.
        Pass it to `resample` with the moving phase. The same images always give the same translation.

    Raises
    ------
    ImageError
        If the images do not overlap, or match best more than 40 mm apart.

    References
    ----------
    Mattes et al. 2003, IEEE Transactions on Medical Imaging 22:120.
    """
    # Sums over threads differ in their last bits, and parts of the registration take the global number of threads.
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        offset = _best_offset(_for_alignment(moving, target.turn), target.image, target.region)
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    if float(np.linalg.norm(offset)) > _MAX_SHIFT_MM:
        found = f"a shift of {np.linalg.norm(offset):.0f} mm"
        raise ImageError(
            "phases", f"must match within {_MAX_SHIFT_MM:g} mm, further than breathing goes", found, _OTHER_STUDY
        )
    # A hundredth of a millimetre is finer than the registration; further digits would carry rounding noise.
    return sitk.TranslationTransform(3, [round(float(value), 2) + 0.0 for value in target.turn @ offset])


def _best_offset(moving: sitk.Image, target: sitk.Image, region: sitk.Image) -> tuple[float, ...]:
    registration = sitk.ImageRegistrationMethod()
    registration.SetNumberOfThreads(1)
    registration.SetMetricAsMattesMutualInformation(numberOfHistogramBins=32)
    registration.SetMetricFixedMask(region)
    registration.SetMetricSamplingStrategy(registration.REGULAR)
    registration.SetMetricSamplingPercentage(_ALIGNMENT_SAMPLING, seed=1)
    registration.SetInterpolator(sitk.sitkLinear)
    registration.SetOptimizerAsRegularStepGradientDescent(
        learningRate=4.0, minStep=0.1, numberOfIterations=40, relaxationFactor=0.5, gradientMagnitudeTolerance=1e-6
    )
    registration.SetOptimizerScales((1.0, 1.0, 1.0))
    registration.SetInitialTransform(sitk.TranslationTransform(3), inPlace=False)
    try:
        found = registration.Execute(target, moving)
    except RuntimeError as failure:
        found = "two that do not overlap"
        raise ImageError("phases", "must show the same part of the body", found, _OTHER_STUDY) from failure
    return found.GetParameters()


def _for_alignment(image: sitk.Image, turn: np.ndarray) -> sitk.Image:
    # The region without wall and spine is a box and an ellipse: in a patient who lies turned they would hold both.
    upright = sitk.Cast(image, sitk.sitkFloat32)
    upright.SetOrigin((turn.T @ image.GetOrigin()).tolist())
    upright.SetDirection((turn.T @ np.reshape(image.GetDirection(), (3, 3))).ravel().tolist())
    # Averages over whole voxels first: a Gaussian over a full 512 x 512 volume takes seconds.
    blocks = np.clip((_ALIGNMENT_SPACING_MM / np.array(image.GetSpacing())).astype(int), 1, image.GetSize())
    coarse = resample(sitk.BinShrink(upright, blocks.tolist()), _ALIGNMENT_SPACING_MM)
    clipped = sitk.Clamp(coarse, lowerBound=_ALIGNMENT_HU[0], upperBound=_ALIGNMENT_HU[1])
    return _gaussian(clipped, np.full(3, _ALIGNMENT_SMOOTHING_MM**2))


def _across_body(share: np.ndarray) -> np.ndarray:
    """Places along an axis, -1 and 1 at the ends of the body, from the share of body in every row."""
    # The box in which a tenth of the voxels are body leaves out arms and table.
    rows = np.flatnonzero(share > 0.1) if (share > 0.1).any() else np.arange(share.size)
    first, last = rows[[0, -1]]
    return (np.arange(share.size) - (first + last) / 2) / max((last - first) / 2, 1)


def _upper_abdomen(image: sitk.Image) -> sitk.Image:
    """Mask (uint8) of the inside of the upper abdomen on an axis-aligned image clipped to soft tissue."""
    array = sitk.GetArrayViewFromImage(image)
    body = array > _ALIGNMENT_HU[0] + 1
    y, x = _across_body(body.mean(axis=(0, 2))), _across_body(body.mean(axis=(0, 1)))
    inside = np.hypot(*np.meshgrid(x, y)) < 0.8
    spine = (np.abs(x) < 0.25)[None, :] & (y > 0.1)[:, None]
    region = inside & ~spine
    lung = (~body[:, region]).mean(axis=1) > 0.15
    base = int(np.flatnonzero(lung)[0]) if lung.any() else array.shape[0] - 1
    spacing = image.GetSpacing()[2]
    mask = np.zeros(array.shape, bool)
    mask[max(0, base - round(110 / spacing)) : base + round(30 / spacing) + 1] = region
    return from_array(mask, image)


def labels_on_grid(
    labels: sitk.Image, working: sitk.Image, shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> sitk.Image:
    """Label map of a source image on the working grid, moved with its phase, as `label_map` makes it.

    Parameters
    ----------
    labels : SimpleITK.Image
        Label map (0 background, 1 liver, 2 spleen) on the grid of the source image.
    working : SimpleITK.Image
        The same phase on the working grid.
    shift_mm : tuple of three float
        Translation (x, y, z) that preprocessing found for the phase, mm.

    Returns
    -------
    SimpleITK.Image
        uint8, on the grid of `working`.
    """
    grid = WorkingGrid(working.GetSize(), working.GetSpacing()[0], working.GetOrigin())
    masks = {organ: labels == label for label, organ in enumerate(ORGANS, start=1)}
    return label_map(masks, grid, sitk.TranslationTransform(3, shift_mm))


def label_map(masks: Mapping[str, sitk.Image], grid: WorkingGrid, transform: sitk.Transform) -> sitk.Image:
    """Label map (uint8; 1 liver, 2 spleen): the organ whose share of a voxel is greatest, and at least a half."""
    labels, best, like = None, None, None
    for organ, mask in masks.items():
        # The mask as 0 and 1 in place of HU; outside the source, AIR_HU is below a half too.
        like = resample(mask, grid.spacing_mm, grid=grid, transform=transform)
        share = sitk.GetArrayViewFromImage(like)
        if labels is None:
            labels = np.zeros(share.shape, np.uint8)
            best = np.full(share.shape, np.nextafter(np.float32(0.5), np.float32(0)))
        labels[share > best] = ORGANS.index(organ) + 1
        np.maximum(best, share, out=best)
    return from_array(labels, like)


def check_overlap(masks: Mapping[str, sitk.Image | np.ndarray], place: str) -> None:
    """Refuse two organs that claim the same voxels, but for those where they touch.

    Parameters
    ----------
    masks : mapping of str to SimpleITK.Image or ndarray
        By organ, on one grid; every value other than 0 counts as organ.
    place : str
        How errors name them, such as ``"P0003, venous"``.

    Raises
    ------
    MaskError
        If two share more than `MAX_OVERLAP` of the smaller one.
    """
    marked = {
        organ: (sitk.GetArrayViewFromImage(mask) if isinstance(mask, sitk.Image) else mask) != 0
        for organ, mask in masks.items()
    }
    for first, second in itertools.combinations(marked, 2):
        smaller = min(np.count_nonzero(marked[organ]) for organ in (first, second))
        both = np.count_nonzero(marked[first] & marked[second]) / max(smaller, 1)
        if both > MAX_OVERLAP:
            rule = f"{first} and {second} may share at most {MAX_OVERLAP:.0%} of the smaller organ"
            raise MaskError(place, rule, f"{both:.1%}", "Correct the masks; was one file named for both organs?")
