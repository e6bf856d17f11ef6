"""How far two masks lie apart: Hausdorff distance, mean surface distance and surface Dice, in mm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial import cKDTree

from hccbook.errors import DataError
from hccbook.segmentation.masks import LABELS, on_one_grid

HAUSDORFF_PERCENTILE = 95.0
"""Percentile of the surface distances that stands for their maximum, which a single voxel decides."""

_ROUNDING_MM = 1e-6  # multiples of a voxel edge such as 1.1 mm differ from the tolerance in their last bits


@dataclass(frozen=True)
class BoundaryMeasures:
    """Distance between two masks of one organ.

    Attributes
    ----------
    hd95_mm : float
        95th percentile Hausdorff distance, mm; 0 is a perfect match.
    mean_mm : float
        Mean surface distance, mm; 0 is a perfect match.
    surface_dice : float
        Share of both surfaces that lies within the tolerance of the other, 0 to 1; 1 is a perfect match.
    """

    hd95_mm: float
    mean_mm: float
    surface_dice: float


def organ_boundary(a: sitk.Image, b: sitk.Image, tolerance_mm: float) -> dict[str, BoundaryMeasures]:
    """Distance between the surfaces of two label maps, organ by organ, as `boundary_measures` has and refuses them."""
    return {organ: boundary_measures(a == label, b == label, tolerance_mm) for organ, label in LABELS.items()}


def boundary_measures(a: sitk.Image, b: sitk.Image, tolerance_mm: float) -> BoundaryMeasures:
    """Distance between the surfaces of two masks of one organ.

    The surface of a mask is its voxels that share a face with a voxel outside it; beyond the image is outside.
    The distance of a surface voxel is that from its centre to the nearest centre of the other surface, in mm.
    `hd95_mm` takes the 95th percentile (linear between ranks) in each direction and returns the larger of both;
    `mean_mm` and `surface_dice` pool the surface voxels of both masks.
    Distances are whole steps of the grid: a tolerance below the shortest voxel edge counts only the voxels that both
    surfaces share.

    Parameters
    ----------
    a, b : SimpleITK.Image
        Masks of the same organ; every value other than 0 counts as organ.
    tolerance_mm : float
        Distance up to which two surfaces count as the same, mm; not negative.

    Returns
    -------
    BoundaryMeasures
        The same for (a, b) and (b, a).
        Two empty masks agree that the organ is absent: distances 0, surface Dice 1, as `hccbook.segmentation.dice`.
        An empty and a filled one have no distance: infinity, never NaN, and surface Dice 0.

    Raises
    ------
    DataError
        If the images lie on different grids, or the tolerance is negative or not finite.

    Notes
    -----
    MONAI's surface distances are the same by definition, and a test compares them.
    They are not taken because they transform the distance of every voxel of the box in single precision, where few
    surface voxels of two good masks are apart: on one core a patient's organ takes 16 against 3 ms at 8 mm, 24 against
    8 at 5 mm and 912 against 341 at 1 mm, and results differ by up to 2e-7.

    References
    ----------
    Taha and Hanbury 2015, BMC Medical Imaging 15:29 (distances);
    Nikolov et al. 2021, Journal of Medical Internet Research 23:e26151 (surface Dice, there on areas).
    """
    first, second = (values != 0 for values in on_one_grid(a, b, "boundary"))
    if not (np.isfinite(tolerance_mm) and tolerance_mm >= 0):
        raise DataError("boundary", "tolerance must be 0 mm or more", f"{tolerance_mm:g}", "A voxel edge is usual.")
    filled = [bool(mask.any()) for mask in (first, second)]
    if not any(filled):
        return BoundaryMeasures(0.0, 0.0, 1.0)
    if not all(filled):
        return BoundaryMeasures(float("inf"), float("inf"), 0.0)
    (box,) = ndimage.find_objects((first | second).view(np.uint8))
    surfaces = [_surface(mask[box]) for mask in (first, second)]
    edges = np.array(a.GetSpacing()[::-1])
    there, back = (_distances(*pair, edges) for pair in (surfaces, surfaces[::-1]))
    pooled = np.concatenate([there, back])
    return BoundaryMeasures(
        hd95_mm=float(max(np.percentile(distances, HAUSDORFF_PERCENTILE) for distances in (there, back))),
        mean_mm=float(pooled.mean()),
        surface_dice=float(np.mean(pooled <= tolerance_mm + _ROUNDING_MM)),
    )


def _surface(mask: np.ndarray) -> np.ndarray:
    """Voxels of the mask with a face towards the outside; SciPy's erosion takes four to ten times as long."""
    inner = mask.copy()
    for axis in range(mask.ndim):
        along, mask_along = np.moveaxis(inner, axis, 0), np.moveaxis(mask, axis, 0)
        along[1:] &= mask_along[:-1]
        along[:-1] &= mask_along[1:]
        along[[0, -1]] = False
    return mask & ~inner


def _distances(of: np.ndarray, to: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Distance of every surface voxel of the one to the nearest of the other, mm; in no particular order.

    Voxels that both share are at distance 0, so that only the others are looked up.
    """
    apart = np.argwhere(of & ~to) * edges
    distances = np.zeros(int(np.count_nonzero(of)))
    if len(apart):
        # A tree that is built faster and searched slower: few voxels of two good masks are looked up.
        tree = cKDTree(np.argwhere(to) * edges, balanced_tree=False, compact_nodes=False)
        distances[: len(apart)] = tree.query(apart)[0]
    return distances
