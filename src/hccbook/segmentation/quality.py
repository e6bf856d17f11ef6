"""What is measured on masks of liver and spleen: size, pieces, holes, place, density, and how phases agree."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from hccbook.images import same_grid
from hccbook.segmentation.masks import LABELS, check_labels, dice
from hccbook.settings import ORGANS

SOFT_TISSUE_HU = (-50.0, 300.0)
"""Range of a single voxel of soft tissue, noise and contrast included, HU.

The 0.5 and 99.5 percentiles of nnU-Net's foreground are -17 and 201 HU in its liver task and -41 and 176 in its
spleen task, so that a true mask has about one voxel in a hundred outside.
Lung, fat around the bowel and bone lie outside.
"""

_SHELL_MM = (2.5, 7.5)  # what "just outside" is; one and a half voxels where those are larger
_CORE_MM = 5.0  # depth from which an organ is itself, without what its edge shares with neighbours
_ALIKE_SD = 1.5
_MIN_SD_HU = 5.0  # an even organ in a smooth image still has noise

_HU_MEASURES = ("mean_hu", "other_tissue_share", "alike_outside_share")
_PHASE_MEASURES = ("phase_dice", "phase_volume_ratio", "phase_distance_mm")
_NO_OTHER_PHASE = {"closest_phase": "", **dict.fromkeys(_PHASE_MEASURES, math.nan)}


def mask_quality(labels: sitk.Image, image: sitk.Image | None = None) -> dict[str, float | int | bool]:
    """Measure what makes a label map believable.

    Parameters
    ----------
    labels : SimpleITK.Image
        Label map.
    image : SimpleITK.Image, optional
        The CT that was segmented, HU.

    Returns
    -------
    dict
        ``on_image_grid`` (whether the label map lies on the grid of `image`; True without one), and for each organ
        ``<organ>_volume_ml`` (float), ``<organ>_components`` (pieces whose voxels join by faces),
        ``<organ>_stray_share`` (share of its voxels outside the largest piece), ``<organ>_hole_share`` (share of the
        filled organ that it encloses without holding it), ``<organ>_extent_mm`` (longest side of the box around it),
        ``<organ>_border_share`` (share of its voxels on the edge of the image, beyond which it
        may go on), ``<organ>_touches_border`` (whether there is any), ``<organ>_mean_hu``,
        ``<organ>_other_tissue_share`` (share of its voxels outside `SOFT_TISSUE_HU`) and
        ``<organ>_alike_outside_share`` (share of what lies just outside both organs that is within 1.5 robust SD of
        the organ's median, after smoothing by 1.5 mm).
        ``liver_left_of_spleen_mm`` says how far the liver's centre lies to the patient's left of the spleen's, a
        negative number where all is well, and ``liver_right_of_spleen`` whether it is one; False where an organ is
        missing.
        What cannot be measured is NaN: HU without an image on the same grid, shares of an organ without a voxel.

    Raises
    ------
    MaskError
        If the label map holds other values than 0, 1 and 2.
    """
    return _measured(labels, image)[0]


def patient_quality(
    labels: Mapping[str, sitk.Image], images: Mapping[str, sitk.Image] | None = None
) -> dict[str, dict[str, Any]]:
    """Measure the label maps of all phases of one patient, each by itself and against the others.

    Parameters
    ----------
    labels : mapping of str to SimpleITK.Image
        Label map by phase; on the common working grid, or else resampled to compare them.
    images : mapping of str to SimpleITK.Image, optional
        CT by phase, HU.

    Returns
    -------
    dict of str to dict
        By phase, what `mask_quality` measures, and for each organ ``<organ>_closest_phase`` (the phase whose mask
        overlaps this one most), ``<organ>_phase_dice`` (their Dice), ``<organ>_phase_volume_ratio`` (larger by
        smaller volume) and ``<organ>_phase_distance_mm`` (between their centres).
        A phase is held against the closest one, so that of three phases the odd one out is found and not all three.
        Empty and NaN where no other phase has the organ.

    Raises
    ------
    MaskError
        If a label map holds other values than 0, 1 and 2.
    """
    images = {} if images is None else images
    measured = {phase: _measured(mask, images.get(phase)) for phase, mask in labels.items()}
    quality = {phase: dict(values) for phase, (values, _) in measured.items()}
    for organ in ORGANS:
        centres = {phase: places[organ] for phase, (_, places) in measured.items() if organ in places}
        pairs = _agreements(labels, quality, centres, organ)
        for phase in labels:
            closest = max(
                (pair for (one, _), pair in pairs.items() if one == phase),
                key=lambda pair: (pair["phase_dice"], -pair["phase_distance_mm"]),
                default=_NO_OTHER_PHASE,
            )
            quality[phase] |= {f"{organ}_{name}": value for name, value in closest.items()}
    return quality


# --- measures ---------------------------------------------------------------------------------------------------------


def _measured(
    labels: sitk.Image, image: sitk.Image | None
) -> tuple[dict[str, float | int | bool], dict[str, tuple[float, ...]]]:
    """What `mask_quality` gives, and the centre of each organ that is there in space (x, y, z), mm."""
    array = sitk.GetArrayViewFromImage(labels)
    check_labels(array, "label map")
    on_grid = image is None or same_grid(labels, image)
    hu = sitk.GetArrayViewFromImage(image) if image is not None and on_grid else None
    quality: dict[str, float | int | bool] = {"on_image_grid": on_grid}
    centres: dict[str, tuple[float, ...]] = {}
    for organ, label in LABELS.items():
        measured, centre = _organ_quality(array, label, hu, labels)
        quality |= {f"{organ}_{name}": value for name, value in measured.items()}
        if centre is not None:
            centres[organ] = centre
    # Physical coordinates are LPS: the first grows towards the patient's left, however the array is stored.
    apart = centres["liver"][0] - centres["spleen"][0] if len(centres) == len(ORGANS) else math.nan
    quality["liver_left_of_spleen_mm"] = apart
    quality["liver_right_of_spleen"] = apart < 0
    return quality, centres


def _organ_quality(
    array: np.ndarray, label: int, hu: np.ndarray | None, grid: sitk.Image
) -> tuple[dict[str, float | int | bool], tuple[float, ...] | None]:
    """Measures of one organ, and its centre in space (x, y, z), mm; everything is counted within its box."""
    found = ndimage.find_objects((array == label).view(np.uint8))
    if not found:
        absent = dict.fromkeys(("stray_share", "hole_share", "border_share", *_HU_MEASURES), math.nan)
        return {"volume_ml": 0.0, "components": 0, "touches_border": False, "extent_mm": 0.0, **absent}, None
    box = found[0]
    organ = array[box] == label
    edges = grid.GetSpacing()[::-1]
    pieces, count = ndimage.label(organ)
    voxels = int(np.count_nonzero(organ))
    largest = int(np.bincount(pieces.ravel())[1:].max()) if count > 1 else voxels
    on_border = _border_voxels(organ, box, array.shape)
    measured = {
        "volume_ml": voxels * math.prod(edges) / 1000,
        "components": int(count),
        "stray_share": 1 - largest / voxels,
        "hole_share": (holes := _enclosed_voxels(organ)) / (voxels + holes),
        "extent_mm": max((part.stop - part.start) * edge for part, edge in zip(box, edges, strict=True)),
        "border_share": on_border / voxels,
        "touches_border": on_border > 0,
        **dict.fromkeys(_HU_MEASURES, math.nan),
    }
    if hu is not None:
        inside = hu[box][organ]
        other_tissue = (inside < SOFT_TISSUE_HU[0]) | (inside > SOFT_TISSUE_HU[1])
        measured["mean_hu"] = float(inside.mean(dtype=float))
        measured["other_tissue_share"] = float(np.count_nonzero(other_tissue) / voxels)
        measured["alike_outside_share"] = _alike_outside(array, label, hu, box, edges)
    # Sums along the other axes give the centre faster than the place of every voxel.
    slabs = organ.sum(axis=2)
    profiles = (slabs.sum(axis=1), slabs.sum(axis=0), organ.sum(axis=(0, 1)))
    centre = [
        part.start + float(np.average(np.arange(len(profile)), weights=profile))
        for part, profile in zip(box, profiles, strict=True)
    ]
    return measured, grid.TransformContinuousIndexToPhysicalPoint(centre[::-1])


def _enclosed_voxels(organ: np.ndarray) -> int:
    """Voxels outside an organ from which no path, from face to face, leads out of its box."""
    # One voxel more on every side joins all that is outside to one piece, which is the first.
    outside, _ = ndimage.label(np.pad(~organ, 1, constant_values=True))
    return int(np.count_nonzero(outside > 1))


def _alike_outside(
    array: np.ndarray, label: int, hu: np.ndarray, box: tuple[slice, ...], edges: tuple[float, ...]
) -> float:
    """Share of a shell around an organ that looks like the organ; NaN where the image holds no shell."""
    reach = max(_SHELL_MM[1], 1.5 * max(edges))
    wide = tuple(
        slice(max(part.start - math.ceil(reach / edge), 0), part.stop + math.ceil(reach / edge))
        for part, edge in zip(box, edges, strict=True)
    )
    labels, sd = array[wide], [1.5 / edge for edge in edges]
    smooth = ndimage.gaussian_filter(hu[wide].astype(np.float32), sd, mode="nearest")
    organ = labels == label
    away = ndimage.distance_transform_edt(~organ, sampling=edges)
    shell = (away > _SHELL_MM[0]) & (away <= reach) & (labels == 0)
    if not shell.any():
        return math.nan
    core = ndimage.distance_transform_edt(organ, sampling=edges) > _CORE_MM
    values = smooth[core if core.any() else organ]
    median = np.median(values)
    spread = max(1.4826 * float(np.median(np.abs(values - median))), _MIN_SD_HU)
    return float(np.mean(np.abs(smooth[shell] - median) < _ALIKE_SD * spread))


def _border_voxels(organ: np.ndarray, box: tuple[slice, ...], shape: tuple[int, ...]) -> int:
    """Voxels on a face of the image, those on an edge of it counted once."""
    inner = tuple(
        slice(int(part.start == 0), organ.shape[axis] - int(part.stop == shape[axis])) for axis, part in enumerate(box)
    )
    return int(np.count_nonzero(organ) - np.count_nonzero(organ[inner]))


def _agreements(
    labels: Mapping[str, sitk.Image],
    quality: Mapping[str, Mapping[str, Any]],
    centres: Mapping[str, tuple[float, ...]],
    organ: str,
) -> dict[tuple[str, str], dict[str, Any]]:
    """How two phases agree on an organ, for every ordered pair of phases that have it, which are those of `centres`."""
    pairs: dict[tuple[str, str], dict[str, Any]] = {}
    for one, other in itertools.combinations(centres, 2):
        moved = labels[other]
        if not same_grid(moved, labels[one]):
            moved = sitk.Resample(moved, labels[one], sitk.Transform(), sitk.sitkNearestNeighbor, 0)
        first, second = (sitk.GetArrayViewFromImage(mask) == LABELS[organ] for mask in (labels[one], moved))
        volumes = [quality[phase][f"{organ}_volume_ml"] for phase in (one, other)]
        measured = (dice(first, second), max(volumes) / min(volumes), math.dist(centres[one], centres[other]))
        agreement = dict(zip(_PHASE_MEASURES, measured, strict=True))
        pairs[one, other] = {"closest_phase": other, **agreement}
        pairs[other, one] = {"closest_phase": one, **agreement}
    return pairs
