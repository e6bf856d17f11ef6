"""Reading and writing CT volumes and masks, with their geometry.

Arrays are (z, y, x) and hold Hounsfield units (HU); `SimpleITK.Image` carries the geometry, in its own order (x, y, z),
in mm and in the patient's LPS axes (left, posterior, superior).
"""

from __future__ import annotations

import gzip
import itertools
import math
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from hccbook.errors import ImageError, MaskError
from hccbook.parallel import atomic_path

NIFTI_ENDINGS = (".nii", ".nii.gz")
"""Endings of image and mask files."""

HU_LIMITS = (-8192.0, 32767.0)
"""Values below or above are no CT numbers, not even of padding or metal."""

GRID_TOLERANCE_MM = 0.05
"""Distance between corresponding corners up to which two grids are the same."""

_SLICE_GAP_TOLERANCE = 0.02  # share of the slice distance; vendors round positions to 0.01 mm
_COSINE_TOLERANCE = 1e-3
_NO_DICOM_ENDINGS = {".txt", ".json", ".xml", ".csv", ".md", ".pdf", ".jpg", ".jpeg", ".png", ".ini", ".db", ".inf"}
_HEADER_TAGS = [
    "SOPClassUID",
    "Modality",
    "ImageType",
    "PatientID",
    "SeriesInstanceUID",
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


def read_image(path: str | Path, place: str | None = None) -> sitk.Image:
    """Read a CT volume.

    Parameters
    ----------
    path : path-like
        NIfTI file (``.nii``, ``.nii.gz``), or a folder that holds the DICOM slices of exactly one CT series.
    place : str, optional
        How errors name the image, such as ``"P0003, venous"``; the name of the file or folder if absent.

    Returns
    -------
    SimpleITK.Image
        3-D, int16 (or float32 where the file holds fractions), in HU.
        The slices of a series are sorted along their normal; rescale slope and intercept are applied.

    Raises
    ------
    ImageError
        If the path is missing or unreadable; if the image is not 3-D, has a voxel edge of zero, or holds values that
        are not finite or cannot be HU; if a folder holds another modality than CT, a localizer, several series or
        patients, several frames a file, slices without pixel data or rescale, tilted slices, or a gap.
    """
    path = Path(path)
    place = path.name if place is None else place
    if not path.exists():
        raise ImageError(place, "image must exist", f"no file or folder {path.name!r}", "Correct the path.")
    image = _read_series(path, place) if path.is_dir() else _read_nifti(path, place, ImageError)
    return _checked_hu(image, place)


def read_mask(path: str | Path, image: sitk.Image, place: str | None = None) -> sitk.Image:
    """Read the mask of one organ.

    Parameters
    ----------
    path : path-like
        NIfTI file that holds 0 (background) and 1 (organ).
    image : SimpleITK.Image
        The image that the mask belongs to.
    place : str, optional
        How errors name the mask; the name of the file if absent.

    Returns
    -------
    SimpleITK.Image
        uint8, 0 and 1, with exactly the geometry of `image`.

    Raises
    ------
    MaskError
        If the file is missing or unreadable, lies on another grid than `image` (size, or any corner more than
        `GRID_TOLERANCE_MM` away), holds other values than 0 and 1, or holds no 1.
    """
    path = Path(path)
    place = path.name if place is None else place
    if not path.is_file():
        raise MaskError(place, "mask must be a file", f"no file {path.name!r}", "Correct the path.")
    mask = _read_nifti(path, place, MaskError)
    if not same_grid(mask, image):
        raise MaskError(
            place,
            "mask must lie on the grid of its image",
            f"mask {_grid_in_words(mask)} and image {_grid_in_words(image)}",
            "Resample the mask onto the image (nearest neighbour), or name the mask that was drawn on this image.",
        )
    array = sitk.GetArrayViewFromImage(mask)
    values = np.unique(array)
    if not np.isin(values, (0, 1)).all():
        shown = ", ".join(f"{value:g}" for value in values[:6]) + (", ..." if len(values) > 6 else "")
        raise MaskError(
            place,
            "mask must hold 0 (background) and 1 (organ) only",
            f"the values {shown}",
            "Write one file an organ, with 1 inside it and 0 outside.",
        )
    if not array.any():
        raise MaskError(place, "mask must hold at least one voxel of the organ", "an empty mask", "Outline the organ.")
    return from_array(array, image, dtype=np.uint8)


def read_label_map(path: str | Path, image: sitk.Image | None = None, place: str | None = None) -> sitk.Image:
    """Read a label map: 0 background, 1 liver, 2 spleen.

    Parameters
    ----------
    path : path-like
        NIfTI file.
    image : SimpleITK.Image, optional
        The image that it belongs to; its geometry is taken over.
    place : str, optional
        How errors name the label map; the name of the file if absent.

    Returns
    -------
    SimpleITK.Image
        uint8.

    Raises
    ------
    MaskError
        If the file is missing or unreadable, lies on another grid than `image`, or holds other values than
        whole numbers from 0 to 255.
    """
    path = Path(path)
    place = path.name if place is None else place
    if not path.is_file():
        raise MaskError(place, "label map must be a file", f"no file {path.name!r}", "Run the segmentation stage.")
    try:
        labels = sitk.ReadImage(str(path))
    except RuntimeError:
        raise MaskError(
            place, "label map must be readable", "a file that is no image", "Run the segmentation stage again."
        ) from None
    if image is not None and not same_grid(labels, image):
        raise MaskError(
            place,
            "label map must lie on the grid of its image",
            f"{labels.GetSize()} and {image.GetSize()} voxels (x, y, z) or another place",
            "Run the segmentation stage again on this image.",
        )
    array = to_array(labels)
    if array.min() < 0 or array.max() > 255 or not np.array_equal(array, np.floor(array)):
        raise MaskError(
            place,
            "label map must hold whole numbers from 0 to 255",
            f"{array.min():g} to {array.max():g}",
            "Write it as uint8: 0 background, 1 liver, 2 spleen.",
        )
    return from_array(array, labels if image is None else image, dtype=np.uint8)


def write_image(image: sitk.Image, path: str | Path) -> None:
    """Write an image or mask as NIfTI, whole or not at all.

    Parameters
    ----------
    image : SimpleITK.Image
        3-D image.
    path : path-like
        File ending in ``.nii`` or ``.nii.gz``; its folder is made if absent.

    Raises
    ------
    ImageError
        If the ending is another one.
    """
    path = Path(path)
    _check_ending(path, path.name, ImageError)
    with atomic_path(path) as temporary:
        sitk.WriteImage(image, str(temporary), useCompression=path.name.endswith(".gz"))


def to_array(image: sitk.Image) -> np.ndarray:
    """Voxel values of an image.

    Parameters
    ----------
    image : SimpleITK.Image
        Image of size (x, y, z).

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
        raise ImageError(
            "array",
            f"must have the shape of its reference, {reference.GetSize()[::-1]} (z, y, x)",
            tuple(array.shape),
            "Pass the image that the array was made from.",
        )
    if array.dtype == bool and dtype is None:
        dtype = np.uint8
    image = sitk.GetImageFromArray(np.ascontiguousarray(array if dtype is None else array.astype(dtype)))
    image.CopyInformation(reference)
    return image


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
        True if the sizes agree and so do the positions of all eight corner voxels.
    """
    if a.GetSize() != b.GetSize():
        return False
    return max(float(np.linalg.norm(p - q)) for p, q in zip(_corners(a), _corners(b), strict=True)) <= tolerance


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


def _corners(image: sitk.Image) -> list[np.ndarray]:
    ends = [(0, size - 1) for size in image.GetSize()]
    return [np.array(image.TransformIndexToPhysicalPoint(index)) for index in itertools.product(*ends)]


def _grid_in_words(image: sitk.Image) -> str:
    size = " x ".join(str(length) for length in image.GetSize())
    spacing = " x ".join(f"{edge:.3g}" for edge in image.GetSpacing())
    origin = ", ".join(f"{value:.1f}" for value in image.GetOrigin())
    axes = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection())
    return f"{size} voxels of {spacing} mm at ({origin}), axes {axes}"


def _check_ending(path: Path, place: str, error: type[ImageError] | type[MaskError]) -> None:
    if not path.name.lower().endswith(NIFTI_ENDINGS):
        raise error(
            place,
            "file must be NIfTI (.nii or .nii.gz)" + (", or a folder of DICOM slices" if error is ImageError else ""),
            f"a file ending in {''.join(path.suffixes[-2:]) or 'nothing'!r}",
            "For DICOM, name the folder of the series; convert other formats to NIfTI.",
        )


@contextmanager
def _quiet() -> Iterator[None]:
    # ITK and pydicom print remarks about headers; what matters in them is checked here and raised.
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # ITK's last line says what happened; the ones before name its own source files and the user's folders.
    last = lines[-1] if lines else type(error).__name__
    words = [word for word in last.split() if "/" not in word and "\\" not in word]
    return " ".join(words)[:160]


# --- NIfTI -----------------------------------------------------------------------------------------------------------


def _read_nifti(path: Path, place: str, error: type[ImageError] | type[MaskError]) -> sitk.Image:
    _check_ending(path, place, error)
    dimensions, spacing = _check_nifti_file(path, place, error)
    if dimensions != 3:
        raise error(
            place,
            "image must be 3-D",
            f"{dimensions} dimensions",
            "Write one volume a file: split phases or time points, and stack single slices.",
        )
    if not all(np.isfinite(edge) and edge != 0 for edge in spacing):
        # ITK would read a zero edge as 1 mm without a word, and every volume and shape would be wrong.
        raise error(
            place,
            "voxel edges must be above 0 mm",
            " x ".join(f"{edge:g}" for edge in spacing) + " mm",
            "Convert the original DICOM series again, or correct pixdim in the header.",
        )
    try:
        with _quiet():
            image = sitk.ReadImage(str(path))
    except RuntimeError as failure:
        raise error(place, "file must be readable", _reason(failure), "Copy or convert the file again.") from failure
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise error(
            place,
            "image must be 3-D with one value a voxel",
            f"{image.GetDimension()} dimensions of {image.GetNumberOfComponentsPerPixel()} values",
            "Write one volume a file, in grey values.",
        )
    return image


def _check_nifti_file(
    path: Path, place: str, error: type[ImageError] | type[MaskError]
) -> tuple[int, tuple[float, ...]]:
    """Number of dimensions (up to the last longer than 1) and voxel edges as the header has them.

    The file is read through once, because ITK fills what a broken file lacks with whatever lies in memory,
    and turns NaN into 0, without a word.
    """
    opened = gzip.open if path.name.lower().endswith(".gz") else Path.open
    wrong = 0
    try:
        with opened(path, "rb") as stream:
            head = stream.read(352)
            order, sizes, edges, code, bits, start = _nifti_header(head, place, error)
            kind = {16: order + "f4", 64: order + "f8"}.get(code)
            stream.seek(start)
            length = 0
            while chunk := stream.read(1 << 20):
                length += len(chunk)
                if kind is not None:
                    whole = len(chunk) - len(chunk) % np.dtype(kind).itemsize
                    wrong += int(np.count_nonzero(~np.isfinite(np.frombuffer(chunk[:whole], kind))))
    except (OSError, EOFError, zlib.error) as failure:
        raise error(place, "file must be readable", _reason(failure), "Copy or convert the file again.") from failure
    expected = math.prod(sizes) * bits // 8
    if length < expected:
        raise error(
            place,
            f"file must be whole, with {expected} bytes of voxels",
            f"{length} bytes",
            "Copy or convert the file again.",
        )
    if wrong:
        raise error(
            place,
            "every value must be finite",
            f"{wrong} values that are NaN or infinite",
            "Convert the original series again; fill voxels outside the field of view with -1024 HU.",
        )
    return max((axis + 1 for axis, edge in enumerate(sizes) if edge > 1), default=0), edges


def _nifti_header(
    head: bytes, place: str, error: type[ImageError] | type[MaskError]
) -> tuple[str, tuple[int, ...], tuple[float, ...], int, int, int]:
    """Byte order, sizes, voxel edges, data type code, bits a voxel, and start of the voxels (NIfTI-1 and NIfTI-2)."""
    for order in "<>":
        size = struct.unpack_from(order + "i", head)[0] if len(head) >= 348 else 0
        if size == 348:
            dim, pixdim = struct.unpack_from(order + "8h", head, 40), struct.unpack_from(order + "8f", head, 76)
            (code, bits), (start,) = (
                struct.unpack_from(order + "2h", head, 70),
                struct.unpack_from(order + "f", head, 108),
            )
        elif size == 540:
            dim, pixdim = struct.unpack_from(order + "8q", head, 16), struct.unpack_from(order + "8d", head, 104)
            (code, bits), (start,) = (
                struct.unpack_from(order + "2h", head, 12),
                struct.unpack_from(order + "q", head, 168),
            )
        else:
            continue
        return order, dim[1 : 1 + max(0, min(dim[0], 7))], pixdim[1:4], code, bits, int(start)
    raise error(place, "file must be a NIfTI image", "no NIfTI header", "Convert the image again; check its ending.")


# --- DICOM -----------------------------------------------------------------------------------------------------------


def _read_series(folder: Path, place: str) -> sitk.Image:
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
        with _quiet():
            image = reader.Execute()
    except RuntimeError as failure:
        raise ImageError(
            place, "every slice must be readable", _reason(failure), "Export the series again, uncompressed if need be."
        ) from failure
    expected = sitk.Image(image.GetSize(), sitk.sitkUInt8)
    expected.SetOrigin(origin.tolist())
    expected.SetSpacing(spacing.tolist())
    expected.SetDirection(axes.T.ravel().tolist())
    if not same_grid(image, expected, tolerance=max(GRID_TOLERANCE_MM, float(spacing.min()) / 4)):
        raise ImageError(
            place,
            "geometry of the slices' headers must agree with that of the volume read",
            f"{_grid_in_words(expected)} and {_grid_in_words(image)}",
            "Export the series again, or convert it to NIfTI and look at it beside the original.",
        )
    image.CopyInformation(expected)
    return image


def _read_headers(folder: Path, place: str) -> list[tuple[Path, Dataset]]:
    files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    slices: list[tuple[Path, Dataset]] = []
    for file in files:
        if file.suffix.lower() in _NO_DICOM_ENDINGS or file.name.upper() == "DICOMDIR":
            continue
        try:
            with _quiet():
                header = pydicom.dcmread(file, specific_tags=_HEADER_TAGS, defer_size=4096)
        except (InvalidDicomError, OSError, EOFError, AttributeError, ValueError, struct.error) as failure:
            raise ImageError(
                place,
                "every file in the folder must be a readable DICOM slice",
                f"{file.name!r}: {_reason(failure)}",
                "Copy that file again, or move files that are no slices elsewhere.",
            ) from failure
        slices.append((file, header))
    if not slices:
        folders = sum(entry.is_dir() for entry in folder.iterdir())
        found = f"no DICOM slice in {len(files)} files" + (f", but {folders} folders" if folders else "")
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

    def refuse(rule: str, missing: int, cure: str) -> None:
        if missing:
            raise ImageError(place, rule, f"{missing} of {len(headers)} slices without", cure)

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


# --- values ----------------------------------------------------------------------------------------------------------


def _checked_hu(image: sitk.Image, place: str) -> sitk.Image:
    array = sitk.GetArrayViewFromImage(image)
    fractional = np.issubdtype(array.dtype, np.floating)
    low, high = float(array.min()), float(array.max())
    if low < HU_LIMITS[0] or high > HU_LIMITS[1]:
        raise ImageError(
            place,
            f"values must be HU, {HU_LIMITS[0]:g} to {HU_LIMITS[1]:g}",
            f"{low:g} to {high:g}",
            "Check that rescale slope and intercept were applied once, and padding is a CT number such as -1024.",
        )
    if low >= 0 or high <= 0:
        raise ImageError(
            place,
            "values must be HU, in which fat and air are below 0 and soft tissue above",
            f"{low:g} to {high:g}",
            "Convert the original series with its rescale intercept, and without window or normalisation.",
        )
    return sitk.Cast(image, sitk.sitkFloat32 if fractional else sitk.sitkInt16)
