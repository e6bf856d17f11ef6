"""DICOM segmentation objects (SEG): frames of marked pixels, each with its own place in space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset

from hccbook.errors import ImageError, MaskError
from hccbook.images.dicom_headers import functional_group, numbers, read_dicom, whole_number
from hccbook.images.dicom_masks import Part, check_frame_of_reference, choose_part
from hccbook.images.geometry import Grid, Placement, find_placement, grids_apart
from hccbook.images.remarks import apart, collected, guarded, repeat_once
from hccbook.images.stacks import source_grid

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
_OTHER_IMAGE = "Name the image that the segmentation was drawn on, or resample the mask onto the image as NIfTI."


def read_segment(file: Path, name: str, organ: str | None, image: sitk.Image, place: str) -> np.ndarray:
    """Voxels of an image that a segment marks.

    Every frame is put where its own position says, so that frames may come in any order and empty ones be left out.
    highdicom's own way to a volume (``Segmentation.get_volume``, ``Volume.match_geometry``, version 0.28) cuts off what
    lies outside the image and passes over every second slice of a finer object without a word, takes a lone frame for
    a slice of 1 mm, and refuses positions rounded to hundredths of a millimetre.

    Parameters
    ----------
    file : pathlib.Path
        SEG of type BINARY, LABELMAP or FRACTIONAL; of the last, voxels of at least a half belong to the segment.
    name : str
        Label of the segment; empty for the one whose label or coded type is the organ.
    organ : str or None
        Organ that the mask must be of.
    image : SimpleITK.Image
        Image whose voxels are marked.
    place : str
        How errors name the mask.

    Returns
    -------
    ndarray of bool, shape (z, y, x)
        On the grid that the image was stored on (`hccbook.images.stacks.source_grid`).

    Raises
    ------
    MaskError
        If the object is unreadable or names another frame of reference; if no segment or several ones match; if a
        pixel is no voxel of `image`, two frames of the segment lie in one place, or the frames may be coarser slices.
    """
    # highdicom takes half a second to load, and most masks are NIfTI files.
    from highdicom.seg import Segmentation

    grid = source_grid(image)
    rule = "DICOM SEG must be readable, with segments and the position of every frame"
    hint = "Export the segmentation again, or convert it to NIfTI."
    try:
        with guarded(place, rule, hint, MaskError):
            dataset = read_dicom(file, place)
            if dataset is None:
                raise ValueError("no DICOM object")
            _check_whole(dataset, place)
            with collected() as remarks:
                seg = Segmentation.from_dataset(dataset, copy=False)
                # Number 0 is the background of a label map.
                parts = [part for part in map(_part, seg.SegmentSequence) if part.number != 0]
                frames = [_frame_grid(seg, index, grid, place) for index in range(int(seg.NumberOfFrames))]
                if not frames:
                    raise ValueError("no frame")
                check_frame_of_reference({seg.get("FrameOfReferenceUID")}, image, place)
                part = choose_part(parts, name, organ, place)
                placements = _placements(frames, grid, place)
                _check_slices(seg, placements, grid, place)
                marked = _marked(seg, part.number, placements, grid, place)
    except ImageError as failure:
        raise MaskError(place, failure.rule, failure.found, failure.hint) from failure
    repeat_once(remarks, place, len(frames), "frames")
    return marked


def _check_whole(seg: Dataset, place: str) -> None:
    """Refuse pixel data that break off; of an object that is read frame by frame, the frames before would be there."""
    syntax = seg.file_meta.get("TransferSyntaxUID") if hasattr(seg, "file_meta") else None
    if syntax is None or syntax.is_encapsulated:
        return
    sizes = (whole_number(seg, name, place) for name in ("NumberOfFrames", "Rows", "Columns", "BitsAllocated"))
    expected, length = math.ceil(math.prod(sizes) / 8), len(seg.get("PixelData") or b"")
    if length < expected:
        hint = "Copy or export the segmentation again."
        raise MaskError(place, f"DICOM SEG must be whole, with {expected:,} bytes of frames", f"{length:,} bytes", hint)


def _part(segment: Dataset) -> Part:
    organ = ""
    for code in segment.get("SegmentedPropertyTypeCodeSequence") or ():
        scheme = str(code.get("CodingSchemeDesignator") or "")
        organ = ORGAN_CODES.get((_OLD_SCHEMES.get(scheme, scheme), str(code.get("CodeValue") or "")), organ)
    return Part(int(segment.SegmentNumber), str(segment.get("SegmentLabel") or ""), organ)


def _group(seg: Segmentation, index: int, name: str) -> Dataset:
    group = functional_group(seg, index, name)
    if group is None:
        raise ValueError(f"a frame has no {name}")
    return group


def _frame_grid(seg: Segmentation, index: int, image: Grid, place: str) -> Grid:
    """Grid of a frame; how thick it is follows the image, and is held against the object by `_check_slices`."""
    cosines, edges, origin = (
        np.array(numbers(_group(seg, index, group), keyword, count, place))
        for group, keyword, count in (
            ("PlaneOrientationSequence", "ImageOrientationPatient", 6),
            ("PixelMeasuresSequence", "PixelSpacing", 2),
            ("PlanePositionSequence", "ImagePositionPatient", 3),
        )
    )
    if not (cosines.size and edges.size and origin.size):
        raise ValueError("a frame has no place")
    row, column = cosines[:3], cosines[3:]
    normal = np.cross(row, column)
    along = np.abs(normal @ (image.steps / np.linalg.norm(image.steps, axis=0))).argmax()
    # Pixel spacing is between rows first. The way to the next slice is the image's own, which may be tilted.
    step = image.steps[:, along] * (1 if image.steps[:, along] @ normal > 0 else -1)
    steps = np.stack([row * edges[1], column * edges[0], step], axis=1)
    if np.linalg.det(steps) == 0:
        raise ValueError("a frame has no plane")
    return Grid((int(seg.Columns), int(seg.Rows), 1), origin, steps)


def _placements(frames: Sequence[Grid], image: Grid, place: str) -> list[Placement]:
    """Where every frame lies in the image, all of them turned alike."""
    placements = [find_placement(frame, image) for frame in frames]
    several = len({placement.axes for placement in placements if placement is not None}) > 1
    stray = [frame for frame, placement in zip(frames, placements, strict=True) if placement is None or several]
    if stray:
        words = grids_apart(stray[0], image)
        found = f"{len(stray)} of {len(frames)} frames elsewhere, such as {words[0]}, and image {words[1]}"
        raise MaskError(place, "mask must lie on the grid of its image, or on a part of it", found, _OTHER_IMAGE)
    return placements


def _check_slices(seg: Segmentation, placements: Sequence[Placement], image: Grid, place: str) -> None:
    """Refuse frames without neighbours: slices between them may be left out as empty, or may never have been there."""
    axis = placements[0].axes.index(2)
    levels = sorted({placement.start[axis] for placement in placements})
    if math.gcd(*(int(step) for step in np.diff(levels))) == 1:
        return
    distance = float(np.linalg.norm(image.steps[:, axis]))
    measures = _group(seg, 0, "PixelMeasuresSequence")
    tags = [numbers(measures, name, 1, place) for name in ("SpacingBetweenSlices", "SliceThickness")]
    declared = next((tag[0] for tag in tags if tag), None)
    if declared is None or abs(declared - distance) > _SPACING_TOLERANCE * distance:
        words = apart(distance, distance if declared is None else declared)
        rule = f"mask must have the slices of its image, every {words[0]} mm"
        thick = "no slice distance" if declared is None else f"slices of {words[1]} mm"
        raise MaskError(place, rule, f"{thick}, and no two frames next to each other", _OTHER_IMAGE)


def _marked(seg: Segmentation, number: int, placements: Sequence[Placement], image: Grid, place: str) -> np.ndarray:
    """Voxels (z, y, x) of the image that the frames of a segment mark."""
    kind = str(seg.SegmentationType)
    marked = np.zeros(image.size[::-1], bool)
    covered: set[Placement] = set()
    for index, placement in enumerate(placements):
        if kind != "LABELMAP":
            segment = _group(seg, index, "SegmentIdentificationSequence").ReferencedSegmentNumber
            if int(segment) != number:
                continue
        if placement in covered:
            hint = "Export one object a phase or time point."
            raise MaskError(place, "every position must hold one frame of a segment", "several in one place", hint)
        covered.add(placement)
        stored = seg.get_stored_frame(index + 1)
        if kind == "FRACTIONAL":
            pixels = 2 * stored.astype(int) >= int(seg.MaximumFractionalValue)
        else:
            pixels = stored == (number if kind == "LABELMAP" else 1)
        placement.add(pixels[None], marked)
    return marked
