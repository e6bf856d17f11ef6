"""CT series in DICOM: one series a folder, its slices in order of position."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset

from hccbook.errors import ImageError
from hccbook.images.geometry import GRID_TOLERANCE_MM, Grid, same_grid
from hccbook.images.remarks import UNREADABLE, listed, quiet, reason

_FRAME_OF_REFERENCE_KEY = "0020|0052"  # of an image's metadata, named as ITK names DICOM's tags
_SLICE_GAP_TOLERANCE = 0.02  # share of the slice distance; vendors round positions to 0.01 mm
_COSINE_TOLERANCE = 1e-3
_ONE_RECONSTRUCTION = "Keep the slices of one reconstruction in the folder."
_NO_DICOM_ENDINGS = {".txt", ".json", ".xml", ".csv", ".md", ".pdf", ".jpg", ".jpeg", ".png", ".ini", ".db", ".inf"}
_HEADER_TAGS = [
    *("Modality", "ImageType", "PatientID", "SeriesInstanceUID", "FrameOfReferenceUID", "SeriesNumber"),
    *("SeriesDescription", "NumberOfFrames", "Rows", "Columns", "PixelSpacing", "ImagePositionPatient"),
    *("ImageOrientationPatient", "RescaleSlope", "RescaleIntercept", "PixelData"),
]


def read_series(folder: Path, place: str) -> sitk.Image:
    """Read the one CT series of a folder; its frame of reference is kept in the image's metadata."""
    files = _read_headers(folder, place)
    headers = list(files.values())
    _check_one_series(headers, place)
    _check_slices(headers, place)
    order, expected = _series_geometry(headers, place)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(list(files)[index]) for index in order])
    if len({(float(header.RescaleSlope), float(header.RescaleIntercept)) for header in headers}) > 1:
        # The first slice would settle the type of all, and round the others.
        reader.SetOutputPixelType(sitk.sitkFloat32)
    try:
        with quiet():
            image = reader.Execute()
    except RuntimeError as failure:
        hint = "Export the series again, uncompressed if need be."
        raise ImageError(place, "every slice must be readable", reason(failure), hint) from failure
    if not same_grid(image, expected, tolerance=max(GRID_TOLERANCE_MM, min(expected.GetSpacing()) / 4)):
        found = f"{Grid.of(expected)} and {Grid.of(image)}"
        hint = "Export the series again, or convert it to NIfTI and look at it beside the original."
        raise ImageError(place, "geometry of the slices' headers must agree with that of the volume read", found, hint)
    image.CopyInformation(expected)
    frames = {_text(header, "FrameOfReferenceUID") for header in headers}
    set_frame_of_reference(image, frames.pop() if len(frames) == 1 else "")
    return image


def set_frame_of_reference(image: sitk.Image, uid: str) -> None:
    """Say in which coordinate system of the scanner an image lies; nothing is kept where that is not known."""
    if uid:
        image.SetMetaData(_FRAME_OF_REFERENCE_KEY, uid)


def frame_of_reference(image: sitk.Image) -> str:
    """Unique identifier of the coordinate system that an image's DICOM series named; empty where none is known."""
    return image.GetMetaData(_FRAME_OF_REFERENCE_KEY) if image.HasMetaDataKey(_FRAME_OF_REFERENCE_KEY) else ""


def possible_dicom(folder: Path) -> list[Path]:
    """Files of a folder that may be DICOM objects, by name."""
    files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    return [file for file in files if file.suffix.lower() not in _NO_DICOM_ENDINGS and file.name.upper() != "DICOMDIR"]


def _read_headers(folder: Path, place: str) -> dict[Path, Dataset]:
    headers: dict[Path, Dataset] = {}
    for file in possible_dicom(folder):
        try:
            with quiet():
                headers[file] = pydicom.dcmread(file, specific_tags=_HEADER_TAGS, defer_size=4096)
        except UNREADABLE as failure:
            rule = "every file in the folder must be a readable DICOM slice"
            hint = "Copy that file again, or move files that are no slices elsewhere."
            raise ImageError(place, rule, f"{file.name!r}: {reason(failure)}", hint) from failure
    if not headers:
        folders = sum(entry.is_dir() for entry in folder.iterdir())
        files = sum(entry.is_file() and not entry.name.startswith(".") for entry in folder.iterdir())
        found = f"no DICOM slice in {files} files" + (f", but {folders} folders" if folders else "")
        hint = "Name the folder in which the slices lie."
        raise ImageError(place, "folder must hold the DICOM slices of a series", found, hint)
    return headers


def _text(header: Dataset, name: str) -> str:
    return str(header.get(name, "") or "")


def _check_one_series(headers: Sequence[Dataset], place: str) -> None:
    modalities = Counter(_text(header, "Modality") or "none" for header in headers)
    if set(modalities) != {"CT"}:
        found = ", ".join(f"{count} of modality {name}" for name, count in sorted(modalities.items()))
        raise ImageError(place, "every slice must be CT", found, "Name a folder that holds one CT series alone.")
    patients = {_text(header, "PatientID") for header in headers}
    if len(patients) > 1:
        hint = "Give every series of every patient a folder of its own."
        raise ImageError(place, "folder must hold one patient", f"{len(patients)} patients", hint)
    series = defaultdict(list)
    for header in headers:
        description = _text(header, "SeriesDescription")
        title = (_text(header, "SeriesNumber") or "without number") + (f" ({description})" if description else "")
        series[_text(header, "SeriesInstanceUID")].append(title)
    if len(series) > 1:
        described = sorted((titles[0], len(titles)) for titles in series.values())
        slices = [f"{title}: {count} slices" for title, count in described]
        rule = "folder must hold one series"
        hint = "Give every series (phase) a folder of its own, and name it in the manifest."
        raise ImageError(place, rule, f"{len(series)} series: {listed(slices, 6, '; ', '; {} more')}", hint)
    scouts = sum(
        "LOCALIZER" in [str(part).upper() for part in np.ravel(header.get("ImageType") or "")] for header in headers
    )
    if scouts:
        rule = "slices must be axial images"
        hint = "Name the folder of the phase's axial series, without scouts."
        raise ImageError(place, rule, f"{scouts} of {len(headers)} images are localizers (scouts)", hint)


def _check_slices(headers: Sequence[Dataset], place: str) -> None:
    frames = sum(int(header.get("NumberOfFrames") or 1) > 1 for header in headers)
    if frames:
        found = f"{frames} files of several frames (enhanced CT)"
        hint = "Export classic CT slices, or convert the series to NIfTI."
        raise ImageError(place, "every file must hold one slice", found, hint)
    original = "Export the original series, not a derived or screen-captured one."
    required: tuple[tuple[str, Callable[[Dataset], object], str], ...] = (
        (
            "hold pixel data",
            lambda header: "PixelData" in header and header.get("Rows") and header.get("Columns"),
            "Export the series again with its images.",
        ),
        (
            "carry rescale slope and intercept, without which there are no HU",
            lambda header: None not in (header.get("RescaleSlope"), header.get("RescaleIntercept")),
            original,
        ),
        ("carry its position", lambda header: np.size(header.get("ImagePositionPatient") or ()) == 3, original),
        ("carry its orientation", lambda header: np.size(header.get("ImageOrientationPatient") or ()) == 6, original),
        ("carry its pixel spacing", lambda header: np.size(header.get("PixelSpacing") or ()) == 2, original),
    )
    for rule, holds, hint in required:
        lacking = sum(not holds(header) for header in headers)
        if lacking:
            raise ImageError(place, f"every slice must {rule}", f"{lacking} of {len(headers)} slices without", hint)
    sizes = Counter((int(header.Rows), int(header.Columns)) for header in headers)
    if len(sizes) > 1:
        found = ", ".join(f"{count} of {rows} x {columns}" for (rows, columns), count in sorted(sizes.items()))
        raise ImageError(place, "slices must have one size", found, _ONE_RECONSTRUCTION)
    if len(headers) < 2:
        raise ImageError(place, "series must hold at least two slices", "one slice", "Name the folder of the volume.")


def _series_geometry(headers: Sequence[Dataset], place: str) -> tuple[np.ndarray, sitk.Image]:
    """Order of the slices along their normal, and an empty image that lies where they do."""
    edges, row, column = _plane(headers, place)
    normal = np.cross(row, column)
    positions = np.array([header.ImagePositionPatient for header in headers], float)
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    along, positions = along[order], positions[order]
    _check_gaps(along, place)
    shift = positions - positions[0] - np.outer(along - along[0], normal)
    drift = float(np.linalg.norm(shift, axis=1).max())
    if drift > max(0.1, edges.min() / 4):
        found = f"a sideways drift of {drift:.1f} mm (gantry tilt)"
        hint = "Correct the tilt while converting to NIfTI, or take a reconstruction without it."
        raise ImageError(place, "slices must be stacked at right angles to their plane", found, hint)
    image = sitk.Image((headers[0].Columns, headers[0].Rows, len(headers)), sitk.sitkUInt8)
    image.SetOrigin(positions[0].tolist())
    # PixelSpacing is between rows first, so (y, x).
    image.SetSpacing((edges[1], edges[0], float((along[-1] - along[0]) / (len(headers) - 1))))
    image.SetDirection(np.stack([row, column, normal], axis=1).ravel().tolist())
    return order, image


def _plane(headers: Sequence[Dataset], place: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixel spacing (between rows, between columns; mm) and directions of rows and columns that all slices share."""
    edges = np.array([header.PixelSpacing for header in headers], float)
    cosines = np.array([header.ImageOrientationPatient for header in headers], float)
    correct = "Export the original series again, or correct the header."
    if not (np.isfinite(edges) & (edges > 0)).all():
        raise ImageError(place, "pixel spacing must be above 0 mm", f"{edges.min():g} mm", correct)
    if np.ptp(edges, axis=0).max() > 1e-4:
        found = f"{edges.min():g} to {edges.max():g} mm"
        raise ImageError(place, "slices must have one pixel spacing", found, _ONE_RECONSTRUCTION)
    if np.ptp(cosines, axis=0).max() > _COSINE_TOLERANCE:
        found = "slices at an angle to each other"
        raise ImageError(place, "slices must have one orientation", found, _ONE_RECONSTRUCTION)
    row, column = cosines[0, :3], cosines[0, 3:]
    lengths = np.linalg.norm([row, column], axis=1)
    if np.abs(lengths - 1).max() > _COSINE_TOLERANCE or abs(row @ column) > _COSINE_TOLERANCE:
        found = f"lengths {lengths[0]:.4f} and {lengths[1]:.4f}, product {row @ column:.4f}"
        raise ImageError(place, "direction cosines must be of length 1 and at right angles", found, correct)
    row = row / lengths[0]
    column = column - (column @ row) * row
    return edges[0], row, column / np.linalg.norm(column)


def _check_gaps(along: np.ndarray, place: str) -> None:
    """Refuse slices that are not evenly spaced; `along` are their places along the normal, in order, mm."""
    gaps = np.diff(along)
    gap = float(np.median(gaps))
    if gaps.min() < 1e-3:
        found = f"{int((gaps < 1e-3).sum())} slices at a position already taken"
        hint = "Split phases, time points or reconstructions that share a series into folders of their own."
        raise ImageError(place, "every position must hold one slice", found, hint)
    uneven = np.flatnonzero(np.abs(gaps - gap) > max(_SLICE_GAP_TOLERANCE * gap, 0.02))
    if uneven.size:
        index = int(uneven[np.argmax(gaps[uneven])])
        others = f", and {uneven.size - 1} other uneven gaps" if uneven.size > 1 else ""
        found = f"a gap of {gaps[index]:.3g} mm after the slice at {along[index]:.1f} mm{others}"
        hint = "A slice is missing, or two series share the folder: copy the series again, whole and alone."
        raise ImageError(place, f"slices must be evenly spaced (here {gap:.3g} mm)", found, hint)
