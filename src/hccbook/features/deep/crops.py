"""Organ crops: one organ, alone, in a box of its own, and small enough for the network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from hccbook.errors import DataError, MaskError
from hccbook.features.radiomics.regions import bounding_box

UNIT_HU = 25.0
"""HU that are one unit in a crop: the papers' usual bin width."""

WINDOW_HU = (-60.0, 140.0)
"""ALARM's window, width 200 and level 40."""

Box = tuple[int, int, int]


def organ_extent(mask: np.ndarray) -> Box:
    """Edges of an organ's bounding box.

    Parameters
    ----------
    mask : ndarray of bool, shape (z, y, x)

    Returns
    -------
    tuple of int
        Edges (z, y, x), voxels.

    Raises
    ------
    MaskError
        If the mask is empty.
    """
    return tuple(part.stop - part.start for part in bounding_box(np.asarray(mask, dtype=bool)))


def largest_box(extents: Iterable[Sequence[int]]) -> Box:
    """Smallest box into which every organ fits.

    Parameters
    ----------
    extents : iterable of (z, y, x)
        Extents of one organ over patients and phases, voxels.

    Returns
    -------
    tuple of int
        The largest edge along each axis (z, y, x), voxels.

    Raises
    ------
    DataError
        If there is none.

    References
    ----------
    aMAP-CT, Methods, and its supplementary figure on cropping: images and masks are cropped to the maximal
    three-dimensional dimensions of the segmentation.
    """
    edges = np.array(list(extents), dtype=int)
    if edges.size == 0:
        raise DataError("organ box", "needs the extent of at least one organ", "none", "Look at the failures table.")
    return tuple(int(edge) for edge in edges.max(axis=0))


def crop_to_box(
    image_array: np.ndarray, mask_array: np.ndarray, box: Sequence[int], window: tuple[float, float] = WINDOW_HU
) -> np.ndarray:
    """One organ, alone, in the middle of a box.

    Parameters
    ----------
    image_array : ndarray of shape (z, y, x)
        HU.
    mask_array : ndarray of bool, shape (z, y, x)
        The organ.
    box : sequence of 3 int
        Edges (z, y, x), voxels. The middle of the organ's bounding box comes to its middle; an organ larger than the
        box is cut on both sides.
    window : pair of float
        HU beyond these bounds are clipped.

    Returns
    -------
    ndarray of float32, shape `box`
        Departure from the organ's mean in units of `UNIT_HU`; 0 outside the organ and outside the image.

    Notes
    -----
    Neither paper says how the crops were scaled. With a constant outside the organ and the window scaled to 0 to 1,
    the organ's edge is twenty times as strong as its texture and an untrained network sees little else.

    Raises
    ------
    MaskError
        If shapes differ, or the mask is empty.
    """
    mask = np.asarray(mask_array, dtype=bool)
    if mask.shape != np.shape(image_array) or mask.ndim != 3:
        raise MaskError(
            "organ crop",
            "image and mask must be 3-D of one shape",
            f"{np.shape(image_array)} and {mask.shape} (z, y, x)",
            "Pass the mask that was drawn on this image.",
        )
    crop = np.zeros(tuple(box), dtype=np.float32)
    source, target = [], []
    for part, edge in zip(bounding_box(mask), box, strict=True):
        inside = part.start + (part.stop - part.start - edge) // 2
        start, stop = max(part.start, inside), min(part.stop, inside + edge)
        source.append(slice(start, stop))
        target.append(slice(start - inside, stop - inside))
    lower, upper = window
    clipped = np.clip(np.asarray(image_array, dtype=np.float32), lower, upper)
    organ = (clipped[tuple(source)] - clipped[mask].mean(dtype=float)) / UNIT_HU
    crop[tuple(target)] = np.where(mask[tuple(source)], organ, 0)
    return crop


def shrink_crop(crop: np.ndarray, crop_voxels: int) -> np.ndarray:
    """Crop of at most `crop_voxels` an axis; a smaller axis stays as it is.

    Parameters
    ----------
    crop : ndarray of float32, shape (z, y, x)
    crop_voxels : int
        Longest edge wanted, voxels.

    Returns
    -------
    ndarray of float32
        Trilinear, after averaging over blocks where an axis shrinks to less than half, so that noise between the
        sampled points is averaged and not picked.
    """
    target = [min(edge, crop_voxels) for edge in crop.shape]
    if target == list(crop.shape):
        return crop
    volume = torch.from_numpy(np.ascontiguousarray(crop))[None, None]
    blocks = [min(edge, 2 * length) for edge, length in zip(crop.shape, target, strict=True)]
    if blocks != list(crop.shape):
        volume = torch.nn.functional.adaptive_avg_pool3d(volume, blocks)
    return torch.nn.functional.interpolate(volume, size=target, mode="trilinear", align_corners=False)[0, 0].numpy()
