"""How far two masks lie apart: Hausdorff distance, mean surface distance and surface Dice, in mm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial import cKDTree

from hccbook.errors import DataError
from hccbook.images import same_grid
from hccbook.settings import ORGANS

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


def boundary_measures(
    a: np.ndarray | sitk.Image,
    b: np.ndarray | sitk.Image,
    tolerance_mm: float,
    spacing_mm: Sequence[float] | None = None,
) -> BoundaryMeasures:
    """Distance between the surfaces of two masks of one organ.

    The surface of a mask is its voxels that share a face with a voxel outside it; beyond the image is outside.
    The distance of a surface voxel is that from its centre to the nearest centre of the other surface, in mm.
    `hd95_mm` takes the 95th percentile (linear between ranks) in each direction and returns the larger of both;
    `mean_mm` and `surface_dice` pool the surface voxels of both masks.
    Distances are whole steps of the grid: a tolerance below the shortest voxel edge counts only the voxels that both
    surfaces share.

    Parameters
    ----------
    a, b : ndarray of shape (z, y, x) or SimpleITK.Image
        Masks of the same organ; every value other than 0 counts as organ.
    tolerance_mm : float
        Distance up to which two surfaces count as the same, mm; not negative.
    spacing_mm : sequence of 3 floats, optional
        Voxel edges (z, y, x), mm; needed for arrays, taken from the images otherwise.

    Returns
    -------
    BoundaryMeasures
        The same for (a, b) and (b, a).
        Two empty masks agree that the organ is absent: distances 0, surface Dice 1, as `hccbook.segmentation.dice`.
        An empty and a filled one have no distance: infinity, never NaN, and surface Dice 0.

    Raises
    ------
    DataError
        If the shapes differ, the images lie on different grids, the voxel edges of arrays are missing or not above 0,
        edges are given for images, or the tolerance is negative or not finite.

    References
    ----------
    Taha and Hanbury 2015, BMC Medical Imaging 15:29 (distances);
    Nikolov et al. 2021, Journal of Medical Internet Research 23:e26151 (surface Dice, there on areas).
    """
    first, second, edges = _on_one_grid(a, b, tolerance_mm, spacing_mm)
    return _measures(first != 0, second != 0, edges, tolerance_mm)


def organ_boundary(
    a: np.ndarray | sitk.Image,
    b: np.ndarray | sitk.Image,
    tolerance_mm: float,
    spacing_mm: Sequence[float] | None = None,
) -> dict[str, BoundaryMeasures]:
    """Distance between the surfaces of two label maps, organ by organ.

    Parameters
    ----------
    a, b : ndarray of shape (z, y, x) or SimpleITK.Image
        Label maps.
    tolerance_mm : float
        Distance up to which two surfaces count as the same, mm.
    spacing_mm : sequence of 3 floats, optional
        Voxel edges (z, y, x), mm; needed for arrays, taken from the images otherwise.

    Returns
    -------
    dict of str to BoundaryMeasures
        By organ, as `boundary_measures` has them.

    Raises
    ------
    DataError
        As `boundary_measures`.
    """
    first, second, edges = _on_one_grid(a, b, tolerance_mm, spacing_mm)
    return {
        organ: _measures(first == label, second == label, edges, tolerance_mm)
        for label, organ in enumerate(ORGANS, start=1)
    }


def _on_one_grid(
    a: np.ndarray | sitk.Image, b: np.ndarray | sitk.Image, tolerance_mm: float, spacing_mm: Sequence[float] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values of both and their voxel edges (z, y, x)."""
    images = [mask for mask in (a, b) if isinstance(mask, sitk.Image)]
    if len(images) == 2 and not same_grid(a, b):
        raise DataError("boundary", "both masks must lie on one grid", "two grids", "Resample one onto the other.")
    first, second = (
        sitk.GetArrayViewFromImage(mask) if isinstance(mask, sitk.Image) else np.asarray(mask) for mask in (a, b)
    )
    if first.shape != second.shape:
        raise DataError(
            "boundary", "both masks must have one shape", f"{first.shape} and {second.shape}", "Resample one of them."
        )
    if images and spacing_mm is not None:
        raise DataError("boundary", "images carry their voxel edges", "spacing_mm beside them", "Leave it out.")
    if not images and spacing_mm is None:
        raise DataError("boundary", "arrays need their voxel edges", "no spacing_mm", "Pass (z, y, x) in mm.")
    edges = np.asarray(images[0].GetSpacing()[::-1] if images else spacing_mm, dtype=float)
    if edges.shape != (first.ndim,) or not (np.isfinite(edges) & (edges > 0)).all():
        raise DataError(
            "boundary",
            f"voxel edges must be {first.ndim} numbers above 0 mm",
            edges.tolist(),
            "Pass one an axis (z, y, x).",
        )
    if not (np.isfinite(tolerance_mm) and tolerance_mm >= 0):
        raise DataError("boundary", "tolerance must be 0 mm or more", f"{tolerance_mm:g}", "A voxel edge is usual.")
    return first, second, edges


def _measures(first: np.ndarray, second: np.ndarray, edges: np.ndarray, tolerance_mm: float) -> BoundaryMeasures:
    filled = [bool(mask.any()) for mask in (first, second)]
    if not any(filled):
        return BoundaryMeasures(0.0, 0.0, 1.0)
    if not all(filled):
        return BoundaryMeasures(float("inf"), float("inf"), 0.0)
    (box,) = ndimage.find_objects((first | second).view(np.uint8))
    surfaces = [_surface(mask[box]) for mask in (first, second)]
    there, back = (_distances(*pair, edges) for pair in (surfaces, surfaces[::-1]))
    pooled = np.concatenate([there, back])
    return BoundaryMeasures(
        hd95_mm=float(max(np.percentile(distances, HAUSDORFF_PERCENTILE) for distances in (there, back))),
        mean_mm=float(pooled.mean()),
        surface_dice=float(np.mean(pooled <= tolerance_mm + _ROUNDING_MM)),
    )


def _surface(mask: np.ndarray) -> np.ndarray:
    """Voxels of the mask with a face towards the outside."""
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
