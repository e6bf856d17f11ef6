"""CT series in DICOM: one series a folder or a file of frames, its slices in order of position."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset

from hccbook.errors import ImageError
from hccbook.images.dicom_headers import (
    Slice,
    first_of,
    numbers,
    read_header,
    slice_name,
    slices_of,
    text,
    whole_number,
)
from hccbook.images.dicom_pixels import hounsfield_units
from hccbook.images.remarks import apart, collected, listed, remark, repeat_once
from hccbook.images.stacks import regular_image

_FRAME_OF_REFERENCE_KEY = "0020|0052"  # of an image's metadata, named as ITK names DICOM's tags
_SPACING_TOLERANCE = 0.02  # share of the slice distance that a tag may differ from the positions
_COSINE_TOLERANCE = 1e-3
_ONE_RECONSTRUCTION = "Keep the slices of one reconstruction in the folder."
_NO_DICOM_ENDINGS = {".txt", ".json", ".xml", ".csv", ".md", ".pdf", ".jpg", ".jpeg", ".png", ".ini", ".db", ".inf"}


def read_series(path: Path, place: str) -> sitk.Image:
    """Read a CT series; its frame of reference is kept in the image's metadata.

    Parameters
    ----------
    path : pathlib.Path
        Folder of slices, or a file of several frames (enhanced CT).
    place : str
        How errors and remarks name the image.
    """
    headers = _without_scouts(_read_headers(path, place), place)
    _check_one_series(headers, place)
    return read_volume(slices_of(headers, place), place)


def read_volume(slices: Sequence[Slice], place: str) -> sitk.Image:
    """Volume of slices in any order, with the frame of reference that they share.

    Slices that are tilted or unevenly spaced are interpolated onto a regular grid, within bounds and with a remark.

    Parameters
    ----------
    slices : sequence of Slice
        Of one series, as `hccbook.images.dicom_headers.slices_of` gives them.
    place : str
        How errors and remarks name the image.

    Returns
    -------
    SimpleITK.Image
        HU; int32, or float32 where slope or intercept are no whole numbers.

    Raises
    ------
    ImageError
        If there are fewer than two slices, or they differ in size, pixel spacing or orientation; if two lie at one
        position; if pixels are broken or no HU; as `hccbook.images.stacks.regular_image` for uneven slices.
    """
    _check_sizes(slices, place)
    edges, row, column = _plane(slices, place)
    normal = np.cross(row, column)
    along = np.array([slice_.position for slice_ in slices]) @ normal
    ordered = [slices[index] for index in np.argsort(along, kind="stable")]
    ordered = _without_copies(ordered, np.sort(along), place)
    _compare_spacing(ordered, normal, place)
    planes = hounsfield_units(ordered, place)
    origins = np.array([slice_.position for slice_ in ordered])
    # Pixel spacing is between rows first.
    image = regular_image(planes, origins, row * edges[1], column * edges[0], place)
    frames = {text(slice_.header, "FrameOfReferenceUID") for slice_ in slices}
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


def _read_headers(path: Path, place: str) -> dict[Path, Dataset]:
    files = possible_dicom(path) if path.is_dir() else [path]
    with collected() as remarks:
        found = {file: read_header(file) for file in files}
    headers = {file: header for file, header in found.items() if header is not None}
    unreadable = [file for file in found if file not in headers]
    if unreadable:
        like = next(iter(headers.values()), Dataset())
        names = f"{len(unreadable)} of {len(files)} that are not, the first {slice_name(unreadable[0], like)}"
        rule = "every file in the folder must be a readable DICOM slice"
        hint = "Copy those files again, or move files that are no slices elsewhere."
        if not path.is_dir():
            rule, hint = "image must be NIfTI (.nii or .nii.gz) or DICOM", "Convert other formats to NIfTI."
        raise ImageError(place, rule, names if path.is_dir() else "neither", hint)
    if not headers:
        folders = sum(entry.is_dir() for entry in path.iterdir())
        others = sum(entry.is_file() and not entry.name.startswith(".") for entry in path.iterdir())
        count = f"no DICOM slice in {others} files" + (f", but {folders} folders" if folders else "")
        hint = "Name the folder in which the slices lie."
        raise ImageError(place, "folder must hold the DICOM slices of a series", count, hint)
    repeat_once(remarks, place, len(headers))
    return headers


def _without_scouts(headers: Mapping[Path, Dataset], place: str) -> dict[Path, Dataset]:
    """Headers without localizers, which are projections and no slices, whatever else they share with the series."""
    kept = {file: header for file, header in headers.items() if "LOCALIZER" not in text(header, "ImageType").upper()}
    if not kept:
        hint = "Name the folder of the phase's axial series, without scouts."
        found = f"{len(headers)} of {len(headers)} images that are localizers (scouts)"
        raise ImageError(place, "slices must be axial images", found, hint)
    if len(kept) < len(headers):
        remark(place, f"{len(headers) - len(kept)} of {len(headers)} images are localizers (scouts)", "left out")
    return kept


def _check_one_series(headers: Mapping[Path, Dataset], place: str) -> None:
    modalities = Counter(text(header, "Modality") or "none" for header in headers.values())
    if set(modalities) != {"CT"}:
        found = ", ".join(f"{count} of modality {name}" for name, count in sorted(modalities.items()))
        raise ImageError(place, "every slice must be CT", found, "Name a folder that holds one CT series alone.")
    patients = {text(header, "PatientID") for header in headers.values()}
    if len(patients) > 1:
        hint = "Give every series of every patient a folder of its own."
        raise ImageError(place, "folder must hold one patient", f"{len(patients)} patients", hint)
    series = defaultdict(list)
    for header in headers.values():
        description = text(header, "SeriesDescription")
        title = (text(header, "SeriesNumber") or "without number") + (f" ({description!r})" if description else "")
        series[text(header, "SeriesInstanceUID")].append(title)
    if len(series) > 1:
        described = sorted((titles[0], len(titles)) for titles in series.values())
        slices = [f"{title}: {count} slices" for title, count in described]
        rule = "folder must hold one series"
        hint = "Give every series (phase) a folder of its own, and name it in the manifest."
        raise ImageError(place, rule, f"{len(series)} series: {listed(slices, 6, '; ', '; {} more')}", hint)


def _check_sizes(slices: Sequence[Slice], place: str) -> None:
    sizes = {
        slice_.name: [
            whole_number(slice_.header, name, f"{place}, slice {slice_.name}") for name in ("Rows", "Columns")
        ]
        for slice_ in slices
    }
    counts = Counter(f"{rows} x {columns}" for rows, columns in sizes.values())
    if len(counts) > 1:
        found = ", ".join(f"{count} of {size}" for size, count in sorted(counts.items()))
        (common, _), *_ = counts.most_common(1)
        odd = first_of(slices, lambda slice_: "{} x {}".format(*sizes[slice_.name]) != common)
        raise ImageError(place, "slices must have one size", f"{found} ({odd})", _ONE_RECONSTRUCTION)
    if len(slices) < 2:
        raise ImageError(place, "series must hold at least two slices", "one slice", "Name the folder of the volume.")


def _plane(slices: Sequence[Slice], place: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixel spacing (between rows, between columns; mm) and directions of rows and columns that all slices share."""
    correct = "Export the original series again, or correct the header."
    odd = first_of(slices, lambda slice_: bool((slice_.edges <= 0).any()))
    if odd:
        least = min(float(slice_.edges.min()) for slice_ in slices)
        raise ImageError(place, "pixel spacing must be above 0 mm", f"{least:g} mm ({odd})", correct)
    usual = _shared(slices, "edges", 1e-4, "pixel spacing (mm)", place)
    direction = _shared(slices, "cosines", _COSINE_TOLERANCE, "orientation (direction cosine)", place)
    row, column = direction[:3], direction[3:]
    lengths = np.linalg.norm([row, column], axis=1)
    if np.abs(lengths - 1).max() > _COSINE_TOLERANCE or abs(row @ column) > _COSINE_TOLERANCE:
        found = f"lengths {lengths[0]:.4f} and {lengths[1]:.4f}, product {row @ column:.4f}"
        raise ImageError(place, "direction cosines must be of length 1 and at right angles", found, correct)
    row = row / lengths[0]
    column = column - (column @ row) * row
    return usual, row, column / np.linalg.norm(column)


def _shared(slices: Sequence[Slice], name: str, tolerance: float, what: str, place: str) -> np.ndarray:
    """Values of an attribute that all slices share; the first slice that does not is named."""
    values = np.array([getattr(slice_, name) for slice_ in slices])
    usual = np.median(values, axis=0)
    off = np.abs(values - usual)
    if off.max() > tolerance:
        worst = np.unravel_index(off.argmax(), off.shape)
        odd = first_of(slices, lambda slice_: np.abs(getattr(slice_, name) - usual).max() > tolerance)
        found = " and ".join(apart(float(usual[worst[1]]), float(values[worst])))
        raise ImageError(place, f"slices must have one {what}", f"{found} ({odd})", _ONE_RECONSTRUCTION)
    return usual


def _without_copies(ordered: list[Slice], along: np.ndarray, place: str) -> list[Slice]:
    """Slices in order without files that are copies of their neighbour, byte for byte."""
    repeated = np.flatnonzero(np.diff(along) < 1e-3)
    copies: Collection[int] = {
        int(index) + 1
        for index in repeated
        if ordered[index].file != ordered[index + 1].file
        and _content(ordered[index].file) == _content(ordered[index + 1].file)
    }
    if not copies:
        return ordered
    remark(place, f"{len(copies)} files that are copies of others, byte for byte", "left out")
    return [slice_ for index, slice_ in enumerate(ordered) if index not in copies]


def _content(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _compare_spacing(ordered: Sequence[Slice], normal: np.ndarray, place: str) -> None:
    """Say where the tag of the slice distance contradicts the positions, which are what counts."""
    gaps = np.diff([slice_.position @ normal for slice_ in ordered])
    if not len(gaps):
        return
    distance = float(np.median(gaps))
    with collected():
        tags = [numbers(slice_.header, "SpacingBetweenSlices", 1, place) for slice_ in ordered]
    # Some scanners write a negative distance for slices that run downwards.
    off = [tag[0] for tag in tags if tag and abs(abs(tag[0]) - distance) > _SPACING_TOLERANCE * distance]
    if off:
        written, measured = apart(off[0], distance)
        found = f"a tag of the slice distance of {written} mm in {len(off)} of {len(ordered)} slices"
        remark(place, found, f"slices put where their positions say, {measured} mm apart")
