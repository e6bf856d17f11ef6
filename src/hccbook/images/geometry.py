"""Arrays and images, and where their voxels lie."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from hccbook.errors import ImageError, MaskError

GRID_TOLERANCE_MM = 0.05
"""Distance between corresponding corners up to which two grids are the same."""


def to_array(image: sitk.Image) -> np.ndarray:
    """Voxel values of an image.

    Returns
    -------
    ndarray of shape (z, y, x)
        A copy, in the image's own type.
    """
    return sitk.GetArrayFromImage(image)


def from_array(array: np.ndarray, reference: sitk.Image, dtype: type | None = None) -> sitk.Image:
    """Image with the values of an array and the geometry of another image.

    Parameters
    ----------
    array : ndarray of shape (z, y, x)
        Values; booleans become uint8.
    reference : SimpleITK.Image
        Image of size (x, y, z) whose spacing, origin and direction are taken over.
    dtype : type, optional
        Type of the result; that of `array` if absent.

    Returns
    -------
    SimpleITK.Image

    Raises
    ------
    ImageError
        If the shapes differ.
    """
    if tuple(array.shape) != reference.GetSize()[::-1]:
        rule = f"must have the shape of its reference, {reference.GetSize()[::-1]} (z, y, x)"
        hint = "Pass the image that the array was made from."
        raise ImageError("array", rule, tuple(array.shape), hint)
    if array.dtype == bool and dtype is None:
        dtype = np.uint8
    image = sitk.GetImageFromArray(np.ascontiguousarray(array if dtype is None else array.astype(dtype)))
    image.CopyInformation(reference)
    return image


def check_volume(
    image: sitk.Image, what: str, error: type[ImageError] | type[MaskError], place: str, hint: str
) -> None:
    """Raise `error` for an image or mask (`what`) that is not 3-D, or holds several values a voxel."""
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        found = f"{image.GetDimension()} dimensions of {image.GetNumberOfComponentsPerPixel()} values"
        raise error(place, f"{what} must be 3-D with one value a voxel", found, hint)


def same_grid(a: sitk.Image, b: sitk.Image, tolerance: float = GRID_TOLERANCE_MM) -> bool:
    """Whether two images have the same voxels in space.

    Parameters
    ----------
    a, b : SimpleITK.Image
        3-D images.
    tolerance : float
        Largest distance between corresponding corner voxels, mm.

    Returns
    -------
    bool
        Whether the sizes agree, and the positions of all eight corner voxels.
    """
    if a.GetSize() != b.GetSize():
        return False
    corners = [[image.TransformIndexToPhysicalPoint(index) for index in _ends(image.GetSize())] for image in (a, b)]
    return float(np.linalg.norm(np.subtract(*corners), axis=1).max()) <= tolerance


def volume_ml(mask: sitk.Image, label: int | None = None) -> float:
    """Volume of a mask.

    Parameters
    ----------
    mask : SimpleITK.Image
        Mask or label map.
    label : int, optional
        Label to measure; every voxel other than 0 if absent.

    Returns
    -------
    float
        Volume, mL.
    """
    array = sitk.GetArrayViewFromImage(mask)
    voxels = np.count_nonzero(array if label is None else array == label)
    return float(voxels * np.prod(mask.GetSpacing()) / 1000.0)


def physical_extent(image: sitk.Image) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the axis-aligned box around all voxels of a 3-D image, outer voxel faces included.

    Returns
    -------
    lower, upper : ndarray of shape (3,)
        x, y and z in LPS axes, mm.
    """
    corners = itertools.product(*((-0.5, length - 0.5) for length in image.GetSize()))
    points = np.array([image.TransformContinuousIndexToPhysicalPoint(corner) for corner in corners])
    return points.min(axis=0), points.max(axis=0)


@dataclass(frozen=True)
class Grid:
    """Where the voxels of a volume, or the pixels of a single frame, lie.

    Attributes
    ----------
    size : tuple of three int
        Voxels along x, y and z.
    origin : ndarray of shape (3,)
        Centre of the first voxel in LPS axes, mm.
    steps : ndarray of shape (3, 3)
        Columns: the way from a voxel to the next one along x, y and z, mm; they need not be at right angles.
    origins : ndarray of shape (z, 3), optional
        Centre of the first voxel of every slice, mm, where slices are not evenly stacked; `steps` then has the mean
        way from a slice to the next one.
    """

    size: tuple[int, int, int]
    origin: np.ndarray
    steps: np.ndarray
    origins: np.ndarray | None = None

    @classmethod
    def of(cls, image: sitk.Image) -> Grid:
        """Grid of a 3-D image."""
        direction = np.array(image.GetDirection()).reshape(3, 3)
        return cls(image.GetSize(), np.array(image.GetOrigin()), direction * np.array(image.GetSpacing()))

    def points(self, indices: np.ndarray) -> np.ndarray:
        """Points (mm) of voxel indices; both of shape (..., 3) in x, y and z."""
        indices = np.asarray(indices, float)
        points = self.origin + indices @ self.steps.T
        return points if self.origins is None else points + self._unevenness(indices[..., 2])

    def indices(self, points: np.ndarray) -> np.ndarray:
        """Voxel indices, with fractions, of points (mm); both of shape (..., 3) in x, y and z."""
        points = np.asarray(points, float)
        if self.origins is not None:
            normal = np.cross(*self.steps.T[:2])
            normal = normal if normal @ self.steps[:, 2] > 0 else -normal
            heights = self.origins @ normal
            slices = _interpolated(points @ normal, heights, np.arange(len(heights)))
            points = points - self._unevenness(slices)
        return (points - self.origin) @ np.linalg.inv(self.steps).T

    def _unevenness(self, slices: np.ndarray) -> np.ndarray:
        """How far slices (with fractions) lie from where even steps would put them, mm."""
        numbers = np.arange(len(self.origins))
        away = self.origins - self.origin - np.outer(numbers, self.steps[:, 2])
        return np.stack([_interpolated(slices, numbers, away[:, axis]) for axis in range(3)], axis=-1)

    def __str__(self) -> str:
        return self.described()

    def described(self, digits: int = 3) -> str:
        """Size, voxel edges, place and axes, with so many significant digits, and two fewer behind the point."""
        edges = np.linalg.norm(self.steps, axis=0)
        size, spacing = " x ".join(map(str, self.size)), " x ".join(f"{edge:.{digits}g}" for edge in edges)
        origin = ", ".join(f"{value:.{digits - 2}f}" for value in self.origin)
        cosines = (self.steps / edges).ravel().tolist()
        axes = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(cosines)
        angles = "" if digits < 6 else f" ({', '.join(f'{cosine:.{digits - 2}f}' for cosine in cosines)})"
        return f"{size} voxels of {spacing} mm at ({origin}), axes {axes}{angles}"


def _interpolated(at: np.ndarray, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values between known places, and beyond them along the first or the last stretch."""
    left = np.clip(np.searchsorted(known, at, side="right") - 1, 0, len(known) - 2)
    share = (at - known[left]) / (known[left + 1] - known[left])
    return values[left] + share * (values[left + 1] - values[left])


def grids_apart(first: Grid, second: Grid) -> tuple[str, str]:
    """Two grids in words, to as many digits as tell them apart."""
    for digits in range(3, 10):
        words = first.described(digits), second.described(digits)
        if words[0] != words[1]:
            break
    return words


@dataclass(frozen=True)
class Placement:
    """How the voxels of one grid are found again among those of another.

    Attributes
    ----------
    axes : tuple of three int
        For x, y and z of the other grid, the axis of the first one that lies along it.
    flipped : tuple of three bool
        For x, y and z of the other grid, whether the first one runs against it.
    start : tuple of three int
        Lowest x, y and z of the other grid that the first one covers.
    """

    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    start: tuple[int, int, int]

    def add(self, marked: np.ndarray, target: np.ndarray) -> None:
        """Mark the voxels (z, y, x) of the first grid in an array (z, y, x) of the other one, besides what it marks."""
        # Both transposes only turn the index order, (z, y, x) to (x, y, z), in which `axes` counts.
        moved = np.flip(marked.T.transpose(self.axes), [axis for axis in range(3) if self.flipped[axis]])
        box = tuple(slice(first, first + length) for first, length in zip(self.start, moved.shape, strict=True))
        target.T[box] |= moved


def find_placement(grid: Grid, other: Grid, tolerance: float = GRID_TOLERANCE_MM) -> Placement | None:
    """Where the voxels of one grid lie among those of another, if each is one of them.

    Axes may come in another order or run the other way, and the grid may cover a part of the other one.
    Nothing is interpolated: a grid that is turned, shifted by part of a voxel, finer or coarser has no placement.

    Parameters
    ----------
    grid, other : Grid
    tolerance : float
        Largest distance of a corner voxel of `grid` from the voxel of `other` that it is taken for, mm.

    Returns
    -------
    Placement or None
        None where a voxel of `grid` is none of `other`.
    """
    turned = np.linalg.inv(other.steps) @ grid.steps
    whole = np.rint(turned).astype(int)
    # One step along an axis must be one step along one axis of the other grid, forwards or backwards.
    if (np.abs(whole).sum(axis=0) != 1).any() or (np.abs(whole).sum(axis=1) != 1).any():
        return None
    first = np.rint(other.indices(grid.origin)).astype(int)
    ends = np.array(_ends(grid.size))
    corners = first + ends @ whole.T
    if np.linalg.norm(grid.points(ends) - other.points(corners), axis=1).max() > tolerance:
        return None
    if (corners < 0).any() or (corners >= np.array(other.size)).any():
        return None
    axes = np.abs(whole).argmax(axis=1)
    flipped = whole[np.arange(3), axes] < 0
    return Placement(tuple(axes.tolist()), tuple(flipped.tolist()), tuple(corners.min(axis=0).tolist()))


def _ends(size: Sequence[int]) -> list[tuple[int, ...]]:
    return list(itertools.product(*((0, length - 1) for length in size)))
