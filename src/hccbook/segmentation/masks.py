"""Label maps of liver and spleen: overlap, cleaning, and masks from elsewhere."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from hccbook.errors import DataError, MaskError
from hccbook.images import from_array, same_grid, to_array
from hccbook.images.preprocessing import check_overlap
from hccbook.settings import ORGANS

LABELS = {organ: label for label, organ in enumerate(ORGANS, start=1)}
"""Label of each organ; 0 is background."""

LABELS_IN_WORDS = "0 (background), 1 (liver) and 2 (spleen)"


def dice(a: np.ndarray | sitk.Image, b: np.ndarray | sitk.Image) -> float:
    """Overlap of two masks of one organ, ``2 |A and B| / (|A| + |B|)``.

    Parameters
    ----------
    a, b : ndarray of shape (z, y, x) or SimpleITK.Image
        Masks of the same organ; every value other than 0 counts as organ.

    Returns
    -------
    float
        0 (no common voxel) to 1 (the same voxels).
        Two empty masks agree that the organ is absent and give 1; an empty and a filled one give 0.

    Raises
    ------
    DataError
        If the shapes differ, or the images lie on different grids.
    """
    first, second = (values != 0 for values in on_one_grid(a, b, "dice"))
    total = np.count_nonzero(first) + np.count_nonzero(second)
    return 1.0 if total == 0 else float(2 * np.count_nonzero(first & second) / total)


def organ_dice(a: np.ndarray | sitk.Image, b: np.ndarray | sitk.Image) -> dict[str, float]:
    """Dice overlap of two label maps, organ by organ.

    Parameters
    ----------
    a, b : ndarray of shape (z, y, x) or SimpleITK.Image
        Label maps.

    Returns
    -------
    dict of str to float
        Overlap by organ, 0 to 1, as `dice` has it.

    Raises
    ------
    DataError
        As `dice`.
    """
    first, second = on_one_grid(a, b, "dice")
    return {organ: dice(first == label, second == label) for organ, label in LABELS.items()}


def on_one_grid(a: np.ndarray | sitk.Image, b: np.ndarray | sitk.Image, place: str) -> tuple[np.ndarray, np.ndarray]:
    """Values of two masks, (z, y, x); a `DataError` if the shapes differ, or the images lie on different grids."""
    if isinstance(a, sitk.Image) and isinstance(b, sitk.Image) and not same_grid(a, b):
        raise DataError(place, "both masks must lie on one grid", "two grids", "Resample one onto the other.")
    first, second = (
        sitk.GetArrayViewFromImage(mask) if isinstance(mask, sitk.Image) else np.asarray(mask) for mask in (a, b)
    )
    if first.shape != second.shape:
        found = f"{first.shape} and {second.shape}"
        raise DataError(place, "both masks must have one shape", found, "Resample one of them.")
    return first, second


def other_labels(array: np.ndarray) -> np.ndarray:
    """Values that no label map may hold, ascending: all but 0 and those of `LABELS`."""
    known = array == 0
    for label in LABELS.values():
        known |= array == label
    return np.unique(array[~known])


def check_labels(array: np.ndarray, place: str, hint: str = "Renumber the labels.") -> None:
    """Refuse what is no label map of liver and spleen: a `MaskError` if there are other values than 0, 1 and 2."""
    others = other_labels(array)
    if others.size:
        raise MaskError(place, f"label map must hold {LABELS_IN_WORDS} only", listed(others), hint)


def listed(values: np.ndarray) -> str:
    """The first six values, as errors name them."""
    return ", ".join(f"{value:g}" for value in values[:6])


def largest_components(labels: np.ndarray) -> np.ndarray:
    """Keep the largest piece of each organ.

    Parameters
    ----------
    labels : ndarray of shape (z, y, x)
        Label map.

    Returns
    -------
    ndarray of uint8, shape (z, y, x)
        Label map in which each organ is one piece (voxels joined by their faces); the rest is background.
        Of two pieces of one size, the first in scan order stays.
    """
    kept = np.zeros(labels.shape, np.uint8)
    for label in LABELS.values():
        pieces, count = ndimage.label(labels == label)
        if count:
            sizes = np.bincount(pieces.ravel())[1:]
            kept[pieces == 1 + int(np.argmax(sizes))] = label
    return kept


def external_labels(
    liver_mask: sitk.Image,
    spleen_mask: sitk.Image,
    image: sitk.Image,
    transform: sitk.Transform | None = None,
    place: str = "masks",
) -> sitk.Image:
    """Label map on an image's grid out of masks that lie anywhere in the same space.

    Parameters
    ----------
    liver_mask, spleen_mask : SimpleITK.Image
        Masks (0 background, 1 organ) in the physical space of `image`, on any grid.
    image : SimpleITK.Image
        Image whose grid the label map shall have.
    transform : SimpleITK.Transform, optional
        Takes points of `image` to points of the masks, as in `SimpleITK.Resample`;
        the one that moved the phase onto its reference, if it was moved.
    place : str
        How errors name the masks, such as ``"P0003, venous"``.

    Returns
    -------
    SimpleITK.Image
        Label map (uint8) on the grid of `image`, by nearest neighbour, so that no new label arises.
        Voxels that both masks claim become spleen if they are few, as `hccbook.images.preprocessing.check_overlap`
        has it: the two touch in some patients, and the larger liver loses least by it.

    Raises
    ------
    MaskError
        If a mask is not binary, is empty, or has no voxel on the grid of `image`; or if the overlap is larger.
    """
    arrays = []
    for organ, mask in zip(ORGANS, (liver_mask, spleen_mask), strict=True):
        values = np.unique(to_array(mask))
        if not set(values.tolist()) <= {0, 1}:
            hint = "Write one file an organ, with 1 inside it."
            raise MaskError(f"{place}, {organ}", "mask must hold 0 and 1 only", listed(values), hint)
        if 1 not in values:
            raise MaskError(f"{place}, {organ}", "mask must not be empty", "no voxel", "Segment the organ.")
        moved = sitk.Resample(mask, image, transform or sitk.Transform(), sitk.sitkNearestNeighbor, 0)
        arrays.append(to_array(moved) == 1)
        if not arrays[-1].any():
            hint = "Check that mask and image come from the same series."
            raise MaskError(f"{place}, {organ}", "mask must lie within its image", "no voxel of it there", hint)
    liver, spleen = arrays
    check_overlap(dict(zip(ORGANS, arrays, strict=True)), place)
    array = np.zeros(liver.shape, np.uint8)
    array[liver], array[spleen] = LABELS["liver"], LABELS["spleen"]
    return from_array(array, image)
