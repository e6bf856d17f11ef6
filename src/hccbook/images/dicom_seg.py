"""DICOM segmentation objects (SEG): frames of marked pixels, each with its own place in space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset

from hccbook.errors import MaskError
from hccbook.images.contours import UNREADABLE, Part, check_frame_of_reference, choose_part
from hccbook.images.geometry import Grid, Placement, find_placement
from hccbook.images.remarks import quiet, reason

if TYPE_CHECKING:
    from highdicom.seg import Segmentation

ORGAN_CODES = {
    ("SCT", "10200004"): "liver",
    ("SCT", "78961009"): "spleen",
    ("SRT", "T-62000"): "liver",
    ("SRT", "T-C3000"): "spleen",
}
"""Organ by coding scheme and code: SNOMED CT, and the older SNOMED-RT (DICOM PS3.16, Annex D and CID 7199)."""

_OLD_SCHEMES = {"SNM3": "SRT", "99SDM": "SRT"}  # earlier names of the same codes (DICOM PS3.16, section 8)
_SPACING_TOLERANCE = 0.01  # share of the slice distance


def read_segment(file: Path, name: str, organ: str | None, image: sitk.Image, place: str) -> np.ndarray:
    """Voxels of an image that a segment marks.

    Every frame is put where its own position says, so that frames may come in any order and empty ones be left out.

    Parameters
    ----------
    file : pathlib.Path
        SEG of type BINARY, LABELMAP or FRACTIONAL; of the last, voxels of at least a half belong to the segment.
    name : str
        Label of the segment; empty for the one whose label or coded type is the organ.
    organ : str or None
        Organ that the segment must be.
    image : SimpleITK.Image
        Image whose voxels are marked.
    place : str
        How errors name the mask.

    Returns
    -------
    ndarray of bool, shape (z, y, x)

    Raises
    ------
    MaskError
        If the object is unreadable or names another frame of reference; if no segment or several ones match; if a
        pixel is no voxel of `image`, two frames of the segment lie in one place, or the frames may be coarser slices.
    """
    # highdicom takes half a second to load, and most masks are NIfTI files.
    from highdicom.seg import segread

    try:
        with quiet():
            seg = segread(file)
            # Number 0 is the background of a label map.
            parts = [part for part in map(_part, seg.SegmentSequence) if part.number != 0]
            used = {str(seg.get("FrameOfReferenceUID") or "")}
            grids = _frame_grids(seg, image)
    except UNREADABLE as failure:
        raise _unreadable(place, failure) from failure
    check_frame_of_reference(used, image, place)
    part = choose_part(parts, name, organ, place)
    placements = [find_placement(grid, Grid.of(image)) for grid in grids]
    _check_placed(seg, grids, placements, image, place)
    marked = np.zeros(image.GetSize()[::-1], bool)
    taken: set[Placement] = set()
    try:
        with quiet():
            for index, placement in enumerate(placements):
                pixels = _pixels(seg, index, part.number)
                if pixels is None:
                    continue
                if placement in taken:
                    raise MaskError(
                        place,
                        "every position must hold one frame of a segment",
                        "several in one place",
                        "Export one object a phase or time point.",
                    )
                taken.add(placement)
                placement.add(pixels[None], marked)
    except UNREADABLE as failure:
        raise _unreadable(place, failure) from failure
    return marked


def _unreadable(place: str, failure: Exception) -> MaskError:
    return MaskError(
        place,
        "DICOM SEG must be readable, with segments and the position of every frame",
        reason(failure),
        "Export the segmentation again, or convert it to NIfTI.",
    )


def _part(segment: Dataset) -> Part:
    organ = ""
    for code in segment.get("SegmentedPropertyTypeCodeSequence") or ():
        scheme = str(code.get("CodingSchemeDesignator") or "")
        organ = ORGAN_CODES.get((_OLD_SCHEMES.get(scheme, scheme), str(code.get("CodeValue") or "")), organ)
    return Part(int(segment.SegmentNumber), str(segment.get("SegmentLabel") or ""), organ)


def _group(seg: Segmentation, index: int, name: str) -> Dataset:
    """Functional group of a frame: its own, or the one that all frames share."""
    for groups in (seg.PerFrameFunctionalGroupsSequence[index], seg.SharedFunctionalGroupsSequence[0]):
        if groups.get(name):
            return groups[name].value[0]
    raise ValueError(f"a frame has no {name}")


def _frame_grids(seg: Segmentation, image: sitk.Image) -> list[Grid]:
    """Grid of every frame; how thick it is follows the image, and is held against the object by `_check_placed`."""
    own = Grid.of(image)
    edges = np.linalg.norm(own.steps, axis=0)
    grids = []
    for index in range(int(seg.NumberOfFrames)):
        cosines = np.array(_group(seg, index, "PlaneOrientationSequence").ImageOrientationPatient, float)
        between_rows, between_columns = _group(seg, index, "PixelMeasuresSequence").PixelSpacing
        origin = np.array(_group(seg, index, "PlanePositionSequence").ImagePositionPatient, float)
        row, column = cosines[:3], cosines[3:]
        normal = np.cross(row, column)
        along = int(np.abs(normal @ (own.steps / edges)).argmax())
        steps = np.stack([row * float(between_columns), column * float(between_rows), normal * edges[along]], axis=1)
        if not np.isfinite([*origin, *steps.ravel()]).all() or np.linalg.det(steps) == 0:
            raise ValueError("a frame has no plane")
        grids.append(Grid((int(seg.Columns), int(seg.Rows), 1), origin, steps))
    if not grids:
        raise ValueError("no frame")
    return grids


def _check_placed(
    seg: Segmentation, grids: Sequence[Grid], placements: Sequence[Placement | None], image: sitk.Image, place: str
) -> None:
    own = Grid.of(image)
    turned = {placement.axes for placement in placements if placement is not None}
    stray = [grid for grid, placement in zip(grids, placements, strict=True) if placement is None or len(turned) > 1]
    if stray:
        raise MaskError(
            place,
            "mask must lie on the grid of its image, or on a part of it",
            f"{len(stray)} of {len(grids)} frames elsewhere, such as {stray[0]}, and image {own}",
            "Name the image that the segmentation was drawn on, or resample the mask onto the image as NIfTI.",
        )
    axis = placements[0].axes.index(2)
    levels = sorted({placement.start[axis] for placement in placements})
    # Where no two frames are neighbours, slices between them may have been left out as empty, or have never been there.
    if math.gcd(*(int(step) for step in np.diff(levels))) == 1:
        return
    distance = float(np.linalg.norm(own.steps[:, axis]))
    measures = _group(seg, 0, "PixelMeasuresSequence")
    declared = measures.get("SpacingBetweenSlices") or measures.get("SliceThickness")
    if declared is None or abs(float(declared) - distance) > _SPACING_TOLERANCE * distance:
        found = "no slice distance" if declared is None else f"slices of {float(declared):.3g} mm"
        raise MaskError(
            place,
            f"mask must have the slices of its image, every {distance:.3g} mm",
            f"{found}, and no two frames next to each other",
            "Name the image that the segmentation was drawn on, or resample the mask onto the image as NIfTI.",
        )


def _pixels(seg: Segmentation, index: int, number: int) -> np.ndarray | None:
    """Pixels (row, column) of a frame that a segment marks, None where the frame is another segment's."""
    kind = str(seg.SegmentationType)
    if kind != "LABELMAP":
        if int(_group(seg, index, "SegmentIdentificationSequence").ReferencedSegmentNumber) != number:
            return None
        stored = seg.get_stored_frame(index + 1)
        return stored == 1 if kind == "BINARY" else 2 * stored.astype(int) >= int(seg.MaximumFractionalValue)
    return seg.get_stored_frame(index + 1) == number
