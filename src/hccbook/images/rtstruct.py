"""DICOM structure sets (RTSTRUCT): masks drawn slice by slice, filled voxel by voxel."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset

from hccbook.errors import ImageError, MaskError
from hccbook.images.dicom_headers import numbers, read_dicom
from hccbook.images.dicom_masks import Part, check_frame_of_reference, choose_part
from hccbook.images.geometry import GRID_TOLERANCE_MM, Grid
from hccbook.images.remarks import collected, guarded, repeat_once
from hccbook.images.stacks import source_grid

_EXCLUSIVE = "CLOSEDPLANAR_XOR"
_FILLED_TYPES = ("CLOSED_PLANAR", _EXCLUSIVE)
_OFF_PLANE = 0.1  # share of the slice distance; positions are rounded, but never by as much as half a slice
_OTHER_IMAGE = "Name the image that the contours were drawn on."
_ROUNDING_MM = 0.01  # contours are text; a point this close to the middle of a voxel was meant to lie there


@dataclass(frozen=True)
class _Contour:
    """A closed contour of a slice, its points in voxel indices along the two axes of the slice."""

    points: np.ndarray  # (points, 2): columns, rows
    exclusive: bool


def read_region(file: Path, name: str, organ: str | None, image: sitk.Image, place: str) -> np.ndarray:
    """Voxels of an image whose centres a region of a structure set holds.

    Contours of one plane are combined by exclusive or, so that a contour within another one is a hole, and one within
    the hole is filled again. Points on a contour are inside.
    Contours that cross each other are refused unless the object says that exclusive or is meant.

    A contour must lie on a slice of the image, to within a tenth of the slice distance, and every slice between the
    lowest and the highest one must have a contour. Where contours were drawn halfway between slices, the organ could
    be filled half a slice too high or too low; where slices have none, they could be drawn on every second slice or
    leave a gap on purpose. Neither is told by the object, so both are refused.

    Parameters
    ----------
    file : pathlib.Path
        RTSTRUCT.
    name : str
        Name of the region; empty for the one whose name is the organ.
    organ, image, place
        As of `hccbook.images.dicom_seg.read_segment`.

    Returns
    -------
    ndarray of bool, shape (z, y, x)
        On the grid that the image was stored on (`hccbook.images.stacks.source_grid`).

    Raises
    ------
    MaskError
        If the object is unreadable or names another frame of reference; if no region or several ones match; if a
        contour is open, lies across or between the slices of `image` or outside it, crosses another one or comes
        twice, or a slice between two others has none.

    References
    ----------
    DICOM PS3.3, C.8.8.6.1 (types of contours) and C.8.8.6.3 (inner and outer contours; points on the path are inside).
    """
    rule = "DICOM RTSTRUCT must be readable, with names and contours"
    hint = "Export the structure set again, or convert it to NIfTI."
    try:
        with guarded(place, rule, hint, MaskError):
            structures = read_dicom(file, place)
            if structures is None:
                raise ValueError("no DICOM object")
            with collected() as remarks:
                regions = {int(region.ROINumber): region for region in structures.StructureSetROISequence}
                parts = [Part(number, str(region.get("ROIName") or "")) for number, region in regions.items()]
                if len(parts) != len(structures.StructureSetROISequence):
                    raise ValueError("two regions of one number")
                part = choose_part(parts, name, organ, place)
                check_frame_of_reference(_frames_of_reference(structures, regions[part.number]), image, place)
                drawn = [item for item in structures.ROIContourSequence if int(item.ReferencedROINumber) == part.number]
                contours = [contour for item in drawn for contour in item.get("ContourSequence") or ()]
                items = [(str(contour.ContourGeometricType), _points(contour)) for contour in contours]
    except ImageError as failure:
        raise MaskError(place, failure.rule, failure.found, failure.hint) from failure
    repeat_once(remarks, place, len(items), "contours")
    open_types = sorted({kind for kind, _ in items if kind not in _FILLED_TYPES})
    if open_types:
        hint = "Export the organ's mask alone, as closed contours."
        raise MaskError(place, "contours must be closed and planar", ", ".join(open_types), hint)
    # One or two points enclose nothing; planning systems leave them behind.
    items = [(kind, points) for kind, points in items if len(points) > 2]
    grid = source_grid(image)
    marked = np.zeros(grid.size[::-1], bool)
    if items:
        _fill(items, grid, marked, place)
    return marked


def _frames_of_reference(structures: Dataset, region: Dataset) -> set[str]:
    uid = str(region.get("ReferencedFrameOfReferenceUID") or "")
    if uid:
        return {uid}
    items = [structures, *(structures.get("ReferencedFrameOfReferenceSequence") or ())]
    return {str(item.get("FrameOfReferenceUID") or "") for item in items}


def _points(contour: Dataset) -> np.ndarray:
    values = np.array(numbers(contour, "ContourData", None, "contour"))
    declared = contour.get("NumberOfContourPoints")
    if values.size % 3 or declared not in (None, values.size // 3):
        raise ValueError("a contour whose points are not whole")
    if any(numbers(contour, "ContourOffsetVector", 3, "contour")):
        raise ValueError("a contour that is offset from its points")
    return values.reshape(-1, 3)


def _fill(items: Sequence[tuple[str, np.ndarray]], grid: Grid, marked: np.ndarray, place: str) -> None:
    edges = np.linalg.norm(grid.steps, axis=0)
    indices = [grid.indices(points) for _, points in items]
    across = np.max([np.ptp(points, axis=0) * edges for points in indices], axis=0)
    axis = int(across.argmin())
    if across[axis] > max(GRID_TOLERANCE_MM, _OFF_PLANE * edges[axis]):
        found = f"contours that run through {across[axis]:.1f} mm across them"
        raise MaskError(place, "contours must lie in the slices of their image", found, _OTHER_IMAGE)
    levels = _levels(indices, axis, grid, place)
    flat = _in_plane(indices, axis, grid, place)
    contours = [_Contour(points, kind == _EXCLUSIVE) for (kind, _), points in zip(items, flat, strict=True)]
    slices = np.moveaxis(marked, 2 - axis, 0)
    for level in np.unique(levels):
        together = [contours[index] for index in np.flatnonzero(levels == level)]
        slices[level] = _filled(together, slices.shape[1:], place)


def _levels(indices: Sequence[np.ndarray], axis: int, grid: Grid, place: str) -> np.ndarray:
    """Slice of every contour."""
    heights = np.array([points[:, axis].mean() for points in indices])
    levels = np.rint(heights).astype(int)
    distance = float(np.linalg.norm(grid.steps[:, axis]))
    off = np.abs(heights - levels)
    hint = f"{_OTHER_IMAGE[:-1]}, or export them interpolated to its slices."
    if off.max() > _OFF_PLANE:
        rule = f"contours must lie on the slices of their image, every {distance:.3g} mm"
        found = f"{int((off > _OFF_PLANE).sum())} of {len(off)} contours up to {off.max() * distance:.2f} mm off"
        raise MaskError(place, rule, found, hint)
    if levels.min() < 0 or levels.max() >= grid.size[axis]:
        outside = int(((levels < 0) | (levels >= grid.size[axis])).sum())
        found = f"{outside} of {len(levels)} contours above or below its slices"
        raise MaskError(place, "contours must lie within their image", found, _OTHER_IMAGE)
    missing = int(np.ptp(levels)) + 1 - len(np.unique(levels))
    if missing:
        rule = "every slice between the lowest and the highest contour must have a contour"
        raise MaskError(
            place, rule, f"{missing} slices without", f"{hint} Where the gap is meant, give the mask as NIfTI."
        )
    return levels


def _in_plane(indices: Sequence[np.ndarray], axis: int, grid: Grid, place: str) -> list[np.ndarray]:
    """Points along the two axes of the slices, those that were meant for the middle of a voxel put there."""
    in_plane = [other for other in range(3) if other != axis]
    edges = np.linalg.norm(grid.steps, axis=0)[in_plane]
    last = np.array(grid.size)[in_plane] - 1
    margin = 0.5 + GRID_TOLERANCE_MM / edges
    flat = [points[:, in_plane] for points in indices]
    outside = sum(bool(((points < -margin) | (points > last + margin)).any()) for points in flat)
    if outside:
        found = f"{outside} of {len(flat)} contours that leave it"
        raise MaskError(place, "contours must lie within their image", found, _OTHER_IMAGE)
    return [np.where(np.abs(p - np.rint(p)) * edges <= _ROUNDING_MM, np.rint(p), p) for p in flat]


def _filled(contours: Sequence[_Contour], shape: tuple[int, int], place: str) -> np.ndarray:
    """Voxels of one slice (rows, columns) inside its contours or on one of them."""
    parts = [_inside_and_on(contour.points, shape) for contour in contours]
    for (first, (inside, on)), (second, (also_inside, also_on)) in itertools.combinations(
        zip(contours, parts, strict=True), 2
    ):
        if first.exclusive and second.exclusive:
            continue
        if _same_points(first.points, second.points):
            # Exclusive or of a contour with itself is nothing at all.
            raise _ambiguous(place, "a contour that comes twice")
        shared = inside & also_inside
        if shared.any() and (inside & ~also_inside & ~also_on).any() and (also_inside & ~inside & ~on).any():
            raise _ambiguous(place, "contours of one slice that cross each other")
    inside = np.logical_xor.reduce([inside for inside, _ in parts])
    return inside | np.logical_or.reduce([on for _, on in parts])


def _ambiguous(place: str, found: str) -> MaskError:
    return MaskError(
        place,
        "contours of a slice must lie beside or within each other",
        found,
        "Merge them where they were drawn, and export again; or give the mask as NIfTI.",
    )


def _same_points(first: np.ndarray, second: np.ndarray) -> bool:
    if first.shape != second.shape:
        return False
    ordered = [points[np.lexsort(points.T)] for points in (first, second)]
    return bool(np.allclose(*ordered, rtol=0, atol=1e-6))


def _inside_and_on(points: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Voxel centres (rows, columns) within a polygon by the even-odd rule, and those on its line.

    Along each row, a centre is within if an odd number of edges crosses the row to its left.
    """
    u, v = points.T
    u_next, v_next = np.roll(points, -1, axis=0).T
    rows = np.arange(shape[0])
    edge, row = np.nonzero((v[:, None] <= rows) != (v_next[:, None] <= rows))
    crossing = u[edge] + (row - v[edge]) * (u_next[edge] - u[edge]) / (v_next[edge] - v[edge])
    nearest = np.rint(crossing).astype(int)
    at_centre = np.abs(crossing - nearest) < 1e-6
    first = np.where(at_centre, nearest, np.ceil(crossing)).astype(int)
    turns = np.zeros((shape[0], shape[1] + 1), int)
    np.add.at(turns, (row, np.clip(first, 0, shape[1])), 1)
    inside = np.cumsum(turns, axis=1)[:, :-1] % 2 == 1
    on = np.zeros(shape, bool)
    _mark(on, row[at_centre], nearest[at_centre])
    whole = (points == np.rint(points)).all(axis=1)
    _mark(on, v[whole].astype(int), u[whole].astype(int))
    for along in np.flatnonzero((v == v_next) & (v == np.rint(v))):
        ends = sorted((u[along], u_next[along]))
        between = np.arange(np.ceil(ends[0]), np.floor(ends[1]) + 1).astype(int)
        _mark(on, np.full(len(between), int(v[along])), between)
    return inside, on


def _mark(on: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> None:
    within = (rows >= 0) & (rows < on.shape[0]) & (columns >= 0) & (columns < on.shape[1])
    on[rows[within], columns[within]] = True
