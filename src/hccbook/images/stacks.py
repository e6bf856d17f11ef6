"""Slices as a scanner or a file stacked them: tilted, or unevenly spaced; and their way onto a regular grid.

An image on disk may be any stack of parallel slices. Voxels of what is computed on are boxes at right angles, so that
slices under gantry tilt, in uneven steps, or of a sheared NIfTI file are interpolated onto such a grid, which has the
planes and the pixel spacing of the slices. How far that may go is bounded, and each time it is remarked upon.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from hccbook.errors import ImageError
from hccbook.images.geometry import GRID_TOLERANCE_MM, Grid
from hccbook.images.remarks import apart, remark

MAX_INTERPOLATED_SHARE = 0.1
"""Share of the slices of a volume that may be interpolated between two, or left out.

Of a liver in forty slices that is four; a series that needs more is two series, or has lost a part.
"""

MAX_GAP_MM = 10.0
"""Distance of two slices, mm, up to which others are interpolated between them: one of 5 mm is missing there."""

MAX_TILT_DEGREES = 35.0
"""Angle between the stack and the normal of its slices up to which it is straightened; gantries tilt by up to 30."""

OUTSIDE_HU = -1024
"""Value of voxels that a slice pushed sideways does not cover, HU."""

_SOURCE_KEY = "hccbook|source"  # of an image's metadata: the stack that it was interpolated from
_ON_SLICE = 0.1  # share of the slice distance by which a slice may miss its level; some write positions to 0.1 mm
_SAME_PLACE_MM = 1e-3
_MIN_DRIFT_MM = 0.1
_SAME_PIXEL = 1e-4
_NO_ANGLE = 1e-9


@dataclass(frozen=True)
class _Levels:
    """Where the slices of a regular volume come from: slice of the stack, with a fraction, and sideways move."""

    slices: np.ndarray  # (levels,)
    moves: np.ndarray  # (levels, 2): along columns and rows, pixels
    size: tuple[int, int]  # columns, rows
    corner: tuple[float, float] = (0.0, 0.0)  # first pixel of the volume in pixels of the first slice: column, row


def source_grid(image: sitk.Image) -> Grid:
    """Grid that the voxels of an image were stored on: its own, or that of the stack it was interpolated from."""
    if not image.HasMetaDataKey(_SOURCE_KEY):
        return Grid.of(image)
    kept = json.loads(image.GetMetaData(_SOURCE_KEY))
    origins = np.array(kept["origins"])
    columns, rows = kept["size"]
    return _stack(origins, np.array(kept["row"]), np.array(kept["column"]), (columns, rows))


def _stack(origins: np.ndarray, row: np.ndarray, column: np.ndarray, size: tuple[int, int]) -> Grid:
    """Grid of slices whose first pixels lie at `origins`, with their ways along a row and along a column, mm."""
    steps = np.stack([row, column, (origins[-1] - origins[0]) / (len(origins) - 1)], axis=1)
    even = np.abs(origins - origins[0] - np.outer(np.arange(len(origins)), steps[:, 2])).max() <= GRID_TOLERANCE_MM
    return Grid((*size, len(origins)), origins[0], steps, None if even else origins)


def regular_image(
    planes: np.ndarray, origins: np.ndarray, row: np.ndarray, column: np.ndarray, place: str
) -> sitk.Image:
    """Image of a stack of slices, interpolated where they are tilted or unevenly spaced.

    Parameters
    ----------
    planes : ndarray of shape (slices, rows, columns)
        HU, in order along the normal of the slices, one way or the other.
    origins : ndarray of shape (slices, 3)
        Centre of the first pixel of every slice, mm.
    row, column : ndarray of shape (3,)
        Ways from a pixel to the next one along a row and along a column, mm, at right angles.
    place : str
        How errors and remarks name the image.

    Returns
    -------
    SimpleITK.Image
        On a grid of boxes. One that was interpolated knows its stack (see `source_grid`); its slices keep their planes,
        and are widened to hold all of the stack.

    Raises
    ------
    ImageError
        If slices share a position, lie in too uneven steps, or are tilted too far (see `MAX_INTERPOLATED_SHARE`,
        `MAX_GAP_MM` and `MAX_TILT_DEGREES`).
    """
    edges = np.linalg.norm([row, column], axis=1)
    normal = np.cross(row, column) / np.prod(edges)
    if (origins[-1] - origins[0]) @ normal < 0:
        normal = -normal
    heights = origins @ normal
    shift = origins - origins[0] - np.outer(heights - heights[0], normal)
    drift = float(np.linalg.norm(shift, axis=1).max())
    tilted = drift > max(_MIN_DRIFT_MM, edges.min() / 4)
    even = _is_even(heights, place)
    distance = float((heights[-1] - heights[0]) / (len(heights) - 1))
    if not even:
        distance = float(np.median(np.diff(heights)))
    if even and not tilted:
        image = _image(planes, origins[0], np.stack([row, column, normal * distance], axis=1))
    else:
        moves = np.stack([shift @ row / edges[0] ** 2, shift @ column / edges[1] ** 2], axis=1)
        levels = _levels(heights, distance, moves if tilted else np.zeros_like(moves), planes.shape[:0:-1])
        if tilted:
            _check_tilt(drift, float(heights[-1] - heights[0]), place)
        if not even:
            _check_interpolation(heights, levels, distance, place)
        corner = origins[0] + levels.corner[0] * row + levels.corner[1] * column
        step = (heights[-1] - heights[0]) / (len(levels.slices) - 1)
        image = _image(_interpolated(planes, levels, 1, OUTSIDE_HU), corner, np.stack([row, column, normal * step], 1))
        _say(heights, levels, drift if tilted else 0.0, place)
    first_pixels = np.outer(np.arange(len(origins)), (0.0, 0.0, 1.0))
    if image.GetSize()[2] != len(origins) or not np.allclose(
        Grid.of(image).points(first_pixels), origins, rtol=0, atol=GRID_TOLERANCE_MM / 2
    ):
        kept = {
            "origins": origins.tolist(),
            "row": row.tolist(),
            "column": column.tolist(),
            "size": planes.shape[:0:-1],
        }
        image.SetMetaData(_SOURCE_KEY, json.dumps(kept))
    return image


def on_regular_grid(marked: np.ndarray, image: sitk.Image) -> np.ndarray:
    """Voxels of an image out of the voxels (z, y, x) that are marked on its source grid, by nearest neighbour."""
    if not image.HasMetaDataKey(_SOURCE_KEY):
        return marked
    stack = source_grid(image)
    grid = Grid.of(image)
    first_pixels = np.zeros((stack.size[2], 3))
    first_pixels[:, 2] = np.arange(stack.size[2])
    places = grid.indices(stack.points(first_pixels))
    known, wanted = places[:, 2], np.arange(grid.size[2])
    slices = np.interp(wanted, known, np.arange(len(known)))
    moves = np.stack([np.interp(wanted, known, places[:, axis]) for axis in (0, 1)], axis=1)
    return _interpolated(marked.astype(np.uint8), _Levels(slices, moves, grid.size[:2]), 0, 0) == 1


def _image(planes: np.ndarray, origin: np.ndarray, steps: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(np.ascontiguousarray(planes))
    edges = np.linalg.norm(steps, axis=0)
    image.SetOrigin(origin.tolist())
    image.SetSpacing(edges.tolist())
    directions = steps / edges
    # What is left of an angle by rounding alone disturbs ITK's decompositions.
    image.SetDirection(np.where(np.abs(directions) < _NO_ANGLE, 0.0, directions).ravel().tolist())
    return image


def _is_even(heights: np.ndarray, place: str) -> bool:
    gaps = np.diff(heights)
    taken = int((gaps < _SAME_PLACE_MM).sum())
    if taken:
        hint = "Split phases, time points or reconstructions that share a series into folders of their own."
        found = f"{taken} slices at a position already taken"
        raise ImageError(place, "every position must hold one slice", found, hint)
    even = np.linspace(heights[0], heights[-1], len(heights))
    return bool(np.abs(heights - even).max() <= _ON_SLICE * gaps.mean())


def _levels(heights: np.ndarray, distance: float, moves: np.ndarray, size: tuple[int, ...]) -> _Levels:
    """Levels of a regular grid from the first to the last slice, `distance` or nearly so apart."""
    numbers = np.arange(len(heights))
    count = round((heights[-1] - heights[0]) / distance) + 1
    slices = np.interp(np.linspace(heights[0], heights[-1], count), heights, numbers)
    gaps = np.append(np.diff(heights), 1.0)
    off = np.abs(slices - np.rint(slices)) * gaps[np.floor(slices).astype(int)]
    slices = np.where(off <= _ON_SLICE * distance, np.rint(slices), slices)
    low, high = np.floor(moves.min(axis=0) + _SAME_PIXEL), np.ceil(moves.max(axis=0) - _SAME_PIXEL)
    columns, rows = np.array(size) + (high - low).astype(int)
    of_levels = np.stack([np.interp(slices, numbers, moves[:, axis]) - low[axis] for axis in (0, 1)], axis=1)
    return _Levels(slices, of_levels, (int(columns), int(rows)), (float(low[0]), float(low[1])))


def _between(levels: _Levels) -> np.ndarray:
    return levels.slices != np.rint(levels.slices)


def _check_tilt(drift: float, length: float, place: str) -> None:
    angle = float(np.degrees(np.arctan2(drift, length)))
    if angle > MAX_TILT_DEGREES:
        rule = (
            f"slices must be stacked at right angles to their plane, or tilted by at most {MAX_TILT_DEGREES:g} degrees"
        )
        hint = "Export the original axial series; look whether slices of two series share the folder."
        raise ImageError(place, rule, f"{angle:.0f} degrees ({drift:.1f} mm over {length:.0f} mm)", hint)


def _check_interpolation(heights: np.ndarray, levels: _Levels, distance: float, place: str) -> None:
    """Refuse a stack of which too much would have to be made up."""
    gaps = np.diff(heights)
    widest = int(gaps.argmax())
    between = int(_between(levels).sum())
    left_out = len(heights) - len(np.unique(levels.slices[~_between(levels)]))
    most = MAX_INTERPOLATED_SHARE * len(levels.slices)
    if gaps[widest] <= max(MAX_GAP_MM, distance) + _MIN_DRIFT_MM and between <= most and left_out <= most:
        return
    usual, wide = apart(distance, float(gaps[widest]))
    rule = (
        f"slices must be evenly spaced (here {usual} mm), with at most {MAX_INTERPOLATED_SHARE:.0%} to be interpolated "
        f"and no gap above {MAX_GAP_MM:g} mm"
    )
    found = f"a gap of {wide} mm after the slice at {heights[widest]:.1f} mm"
    found += f"; {between} of {len(levels.slices)} slices would be interpolated and {left_out} left out"
    hint = "Slices are missing, or two series share the folder: copy the series again, whole and alone."
    raise ImageError(place, rule, found, hint)


def _say(heights: np.ndarray, levels: _Levels, drift: float, place: str) -> None:
    between = int(_between(levels).sum())
    left_out = len(heights) - len(np.unique(levels.slices[~_between(levels)]))
    counted = f"{between} of {len(levels.slices)} slices interpolated between two"
    if left_out:
        counted += f", {left_out} left out"
    if drift:
        angle = np.degrees(np.arctan2(drift, heights[-1] - heights[0]))
        found = f"slices tilted by {angle:.1f} degrees (gantry tilt or shear)"
        remark(place, found, f"straightened, each slice moved in its plane by up to {drift:.1f} mm; {counted}")
    else:
        gaps = np.diff(heights)
        least, most = apart(float(gaps.min()), float(gaps.max()))
        remark(place, f"slices {least} to {most} mm apart", f"put on even steps: {counted}")


def _interpolated(planes: np.ndarray, levels: _Levels, order: int, outside: float) -> np.ndarray:
    """Planes at the levels of a regular grid: linear (order 1) or nearest neighbour (order 0)."""
    columns, rows = levels.size
    whole = np.issubdtype(planes.dtype, np.integer)
    volume = np.full((len(levels.slices), rows, columns), outside, planes.dtype)
    for level, (at, move) in enumerate(zip(levels.slices, levels.moves, strict=True)):
        if order == 0:
            at, move = np.rint(at), np.rint(move)
        below = min(int(at), len(planes) - 1)
        share = at - below
        plane = planes[below].astype(np.float32)
        if share:
            plane = (1 - share) * plane + share * planes[below + 1]
        wide = _moved(plane, move, (rows, columns), outside)
        volume[level] = np.rint(wide) if whole else wide
    return volume


def _moved(plane: np.ndarray, move: np.ndarray, shape: tuple[int, int], outside: float) -> np.ndarray:
    """A plane within a larger one, moved along its columns and rows by 0 or more pixels."""
    pixels = np.floor(move + _SAME_PIXEL).astype(int)
    wide = np.full(shape, outside, np.float32)
    wide[pixels[1] : pixels[1] + plane.shape[0], pixels[0] : pixels[0] + plane.shape[1]] = plane
    for axis, share in zip((1, 0), move - pixels, strict=True):
        if share > _SAME_PIXEL:
            # What goes round to the other end is outside: the volume is wide enough for a move by the next pixel.
            wide = (1 - share) * wide + share * np.roll(wide, 1, axis)
    return wide
