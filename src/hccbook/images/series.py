"""CT series in DICOM: one series a folder, its slices in order of position."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from hccbook.errors import ImageError
from hccbook.images.geometry import GRID_TOLERANCE_MM, Grid, same_grid
from hccbook.images.remarks import quiet, reason

FRAME_OF_REFERENCE_KEY = "0020|0052"
"""Metadata of an image under which the FrameOfReferenceUID of its series is kept, named as ITK names DICOM's tags."""

_SLICE_GAP_TOLERANCE = 0.02  # share of the slice distance; vendors round positions to 0.01 mm
_COSINE_TOLERANCE = 1e-3
_NO_DICOM_ENDINGS = {".txt", ".json", ".xml", ".csv", ".md", ".pdf", ".jpg", ".jpeg", ".png", ".ini", ".db", ".inf"}
_HEADER_TAGS = [
    "SOPClassUID",
    "Modality",
    "ImageType",
    "PatientID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "SeriesNumber",
    "SeriesDescription",
    "InstanceNumber",
    "NumberOfFrames",
    "SamplesPerPixel",
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "RescaleSlope",
    "RescaleIntercept",
    "PixelData",
]


def read_series(folder: Path, place: str) -> sitk.Image:
    """Read the one CT series of a folder; its frame of reference is kept in the image's metadata."""
    slices = _read_headers(folder, place)
    _check_one_series(slices, place)
    _check_slices(slices, place)
    order, origin, spacing, axes = _series_geometry(slices, place)
    names = [str(slices[index][0]) for index in order]
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(names)
    rescales = {(float(header.RescaleSlope), float(header.RescaleIntercept)) for _, header in slices}
    if len(rescales) > 1:
        # The first slice would settle the type of all, and round the others.
        reader.SetOutputPixelType(sitk.sitkFloat32)
    try:
        with quiet():
            image = reader.Execute()
    except RuntimeError as failure:
        raise ImageError(
            place, "every slice must be readable", reason(failure), "Export the series again, uncompressed if need be."
        ) from failure
    expected = sitk.Image(image.GetSize(), sitk.sitkUInt8)
    expected.SetOrigin(origin.tolist())
    expected.SetSpacing(spacing.tolist())
    expected.SetDirection(axes.T.ravel().tolist())
    if not same_grid(image, expected, tolerance=max(GRID_TOLERANCE_MM, float(spacing.min()) / 4)):
        raise ImageError(
            place,
            "geometry of the slices' headers must agree with that of the volume read",
            f"{Grid.of(expected)} and {Grid.of(image)}",
            "Export the series again, or convert it to NIfTI and look at it beside the original.",
        )
    image.CopyInformation(expected)
    frames = {_text(header, "FrameOfReferenceUID") for _, header in slices}
    set_frame_of_reference(image, frames.pop() if len(frames) == 1 else "")
    return image


def set_frame_of_reference(image: sitk.Image, uid: str) -> None:
    """Say in which coordinate system of the scanner an image lies; nothing is kept where that is not known."""
    if uid:
        image.SetMetaData(FRAME_OF_REFERENCE_KEY, uid)


def frame_of_reference(image: sitk.Image) -> str:
    """Unique identifier of the coordinate system that an image's DICOM series named; empty where none is known."""
    return image.GetMetaData(FRAME_OF_REFERENCE_KEY) if image.HasMetaDataKey(FRAME_OF_REFERENCE_KEY) else ""


def possible_dicom(folder: Path) -> list[Path]:
    """Files of a folder that may be DICOM objects, by name."""
    files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    return [file for file in files if file.suffix.lower() not in _NO_DICOM_ENDINGS and file.name.upper() != "DICOMDIR"]


def _read_headers(folder: Path, place: str) -> list[tuple[Path, Dataset]]:
    slices: list[tuple[Path, Dataset]] = []
    for file in possible_dicom(folder):
        try:
            with quiet():
                header = pydicom.dcmread(file, specific_tags=_HEADER_TAGS, defer_size=4096)
        except (InvalidDicomError, OSError, EOFError, AttributeError, ValueError, struct.error) as failure:
            raise ImageError(
                place,
                "every file in the folder must be a readable DICOM slice",
                f"{file.name!r}: {reason(failure)}",
                "Copy that file again, or move files that are no slices elsewhere.",
            ) from failure
        slices.append((file, header))
    if not slices:
        folders = sum(entry.is_dir() for entry in folder.iterdir())
        files = sum(entry.is_file() and not entry.name.startswith(".") for entry in folder.iterdir())
        found = f"no DICOM slice in {files} files" + (f", but {folders} folders" if folders else "")
        raise ImageError(
            place, "folder must hold the DICOM slices of a series", found, "Name the folder in which the slices lie."
        )
    return slices


def _text(header: Dataset, name: str) -> str:
    return str(header.get(name, "") or "")


def _check_one_series(slices: Sequence[tuple[Path, Dataset]], place: str) -> None:
    headers = [header for _, header in slices]
    modalities = Counter(_text(header, "Modality") or "none" for header in headers)
    if set(modalities) != {"CT"}:
        listed = ", ".join(f"{count} of modality {name}" for name, count in sorted(modalities.items()))
        raise ImageError(place, "every slice must be CT", listed, "Name a folder that holds one CT series alone.")
    patients = {_text(header, "PatientID") for header in headers}
    if len(patients) > 1:
        raise ImageError(
            place,
            "folder must hold one patient",
            f"{len(patients)} patients",
            "Give every series of every patient a folder of its own.",
        )
    series = {_text(header, "SeriesInstanceUID") for header in headers}
    if len(series) > 1:
        raise ImageError(
            place,
            "folder must hold one series",
            f"{len(series)} series: {_series_in_words(headers)}",
            "Give every series (phase) a folder of its own, and name it in the manifest.",
        )
    scouts = sum("LOCALIZER" in [part.upper() for part in _image_type(header)] for header in headers)
    if scouts:
        raise ImageError(
            place,
            "slices must be axial images",
            f"{scouts} of {len(headers)} images are localizers (scouts)",
            "Name the folder of the phase's axial series, without scouts.",
        )


def _image_type(header: Dataset) -> list[str]:
    value = header.get("ImageType")
    if value is None:
        return []
    return [value] if isinstance(value, str) else [str(part) for part in value]


def _series_in_words(headers: Sequence[Dataset]) -> str:
    def label(header: Dataset) -> str:
        number = _text(header, "SeriesNumber") or "without number"
        description = _text(header, "SeriesDescription")
        return f"{number} ({description})" if description else number

    first: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for header in headers:
        uid = _text(header, "SeriesInstanceUID")
        first.setdefault(uid, label(header))
        counts[uid] += 1
    described = sorted((first[uid], count) for uid, count in counts.items())
    shown = "; ".join(f"{name}: {count} slices" for name, count in described[:6])
    return shown + (f"; {len(described) - 6} more" if len(described) > 6 else "")


def _check_slices(slices: Sequence[tuple[Path, Dataset]], place: str) -> None:
    headers = [header for _, header in slices]

    def refuse(rule: str, missing: int, hint: str) -> None:
        if missing:
            raise ImageError(place, rule, f"{missing} of {len(headers)} slices without", hint)

    frames = sum(int(header.get("NumberOfFrames") or 1) > 1 for header in headers)
    if frames:
        raise ImageError(
            place,
            "every file must hold one slice",
            f"{frames} files of several frames (enhanced CT)",
            "Export classic CT slices, or convert the series to NIfTI.",
        )
    refuse(
        "every slice must hold pixel data",
        sum("PixelData" not in header or not header.get("Rows") or not header.get("Columns") for header in headers),
        "Export the series again with its images.",
    )
    refuse(
        "every slice must carry rescale slope and intercept, without which there are no HU",
        sum(header.get("RescaleSlope") is None or header.get("RescaleIntercept") is None for header in headers),
        "Export the original series, not a derived or screen-captured one.",
    )
    for name, length, meaning in (
        ("ImagePositionPatient", 3, "position"),
        ("ImageOrientationPatient", 6, "orientation"),
        ("PixelSpacing", 2, "pixel spacing"),
    ):
        refuse(
            f"every slice must carry its {meaning}",
            sum(len(header.get(name) or ()) != length for header in headers),
            "Export the original series, not a derived or screen-captured one.",
        )
    sizes = Counter((int(header.Rows), int(header.Columns)) for header in headers)
    if len(sizes) > 1:
        listed = ", ".join(f"{count} of {rows} x {columns}" for (rows, columns), count in sorted(sizes.items()))
        raise ImageError(
            place, "slices must have one size", listed, "Keep the slices of one reconstruction in the folder."
        )
    if len(headers) < 2:
        raise ImageError(place, "series must hold at least two slices", "one slice", "Name the folder of the volume.")


def _series_geometry(
    slices: Sequence[tuple[Path, Dataset]], place: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Order along the normal, origin (mm), spacing (x, y, z; mm) and axes (rows: x, y and z in LPS) of a series."""
    headers = [header for _, header in slices]
    positions = np.array([[float(value) for value in header.ImagePositionPatient] for header in headers])
    cosines = np.array([[float(value) for value in header.ImageOrientationPatient] for header in headers])
    edges = np.array([[float(value) for value in header.PixelSpacing] for header in headers])
    same = "Keep the slices of one reconstruction in the folder."
    if not (np.isfinite(edges) & (edges > 0)).all():
        raise ImageError(
            place,
            "pixel spacing must be above 0 mm",
            f"{edges.min():g} mm",
            "Export the original series again, or correct the header.",
        )
    if np.ptp(edges, axis=0).max() > 1e-4:
        raise ImageError(place, "slices must have one pixel spacing", f"{edges.min():g} to {edges.max():g} mm", same)
    if np.ptp(cosines, axis=0).max() > _COSINE_TOLERANCE:
        raise ImageError(place, "slices must have one orientation", "slices at an angle to each other", same)
    row, column = cosines[0, :3], cosines[0, 3:]
    lengths = np.linalg.norm([row, column], axis=1)
    if np.abs(lengths - 1).max() > _COSINE_TOLERANCE or abs(row @ column) > _COSINE_TOLERANCE:
        raise ImageError(
            place,
            "direction cosines must be of length 1 and at right angles",
            f"lengths {lengths[0]:.4f} and {lengths[1]:.4f}, product {row @ column:.4f}",
            "Export the original series again, or correct the header.",
        )
    row = row / lengths[0]
    column = column - (column @ row) * row
    column = column / np.linalg.norm(column)
    normal = np.cross(row, column)
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    gaps = np.diff(along[order])
    gap = float(np.median(gaps))
    if gaps.min() < 1e-3:
        raise ImageError(
            place,
            "every position must hold one slice",
            f"{int((gaps < 1e-3).sum())} slices at a position already taken",
            "Split phases, time points or reconstructions that share a series into folders of their own.",
        )
    uneven = np.flatnonzero(np.abs(gaps - gap) > max(_SLICE_GAP_TOLERANCE * gap, 0.02))
    if uneven.size:
        index = int(uneven[np.argmax(gaps[uneven])])
        raise ImageError(
            place,
            f"slices must be evenly spaced (here {gap:.3g} mm)",
            f"a gap of {gaps[index]:.3g} mm after the slice at {along[order][index]:.1f} mm"
            + (f", and {uneven.size - 1} other uneven gaps" if uneven.size > 1 else ""),
            "A slice is missing, or two series share the folder: copy the series again, whole and alone.",
        )
    shift = positions[order] - positions[order[0]] - np.outer(along[order] - along[order[0]], normal)
    drift = float(np.linalg.norm(shift, axis=1).max())
    if drift > max(0.1, edges.min() / 4):
        raise ImageError(
            place,
            "slices must be stacked at right angles to their plane",
            f"a sideways drift of {drift:.1f} mm (gantry tilt)",
            "Correct the tilt while converting to NIfTI, or take a reconstruction without it.",
        )
    mean_gap = float((along[order[-1]] - along[order[0]]) / (len(headers) - 1))
    spacing = np.array([edges[0, 1], edges[0, 0], mean_gap])  # PixelSpacing is between rows first, so (y, x)
    return order, positions[order[0]], spacing, np.stack([row, column, normal])
