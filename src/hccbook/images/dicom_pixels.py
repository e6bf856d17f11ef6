"""Pixels of CT slices in DICOM, as Hounsfield units: whole, plain, or refused.

GDCM, which ITK reads DICOM with, fills pixel data that are too short, and inverts MONOCHROME1
(https://github.com/SimpleITK/SimpleITK/issues/1795); pydicom leaves the bits above those stored as they are. So the
stored values are taken from the file's bytes here, and a library only decompresses them.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import UID, RLELossless, SecondaryCaptureImageStorage, generate_uid

from hccbook.errors import ImageError
from hccbook.images.dicom_headers import READABLE_HEADER, Slice, read_dicom, slice_name, text, whole_number
from hccbook.images.remarks import attempted, collected, guarded, remark, repeat_once

_HU_TYPES = ("", "HU")
_UNSPECIFIED = "US"  # DICOM PS3.3, C.11.1.1.2
_GREY = ("MONOCHROME1", "MONOCHROME2")
_LOSSY = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81")  # JPEG 8 and 12 bit, JPEG-LS
_END_OF_JPEG = b"\xff\xd9"  # of JPEG, JPEG-LS and JPEG 2000 alike
_COPY_AGAIN = "Copy or export that slice again; a broken download that a tool saved once more looks whole."
_ORIGINAL = "Export the original CT series, in grey values."
_DESCRIPTION = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")


def hounsfield_units(slices: Sequence[Slice], place: str) -> np.ndarray:
    """Pixels of slices.

    Parameters
    ----------
    slices : sequence of Slice
        Of one size.
    place : str
        How errors name the series.

    Returns
    -------
    ndarray of shape (slices, rows, columns)
        HU in the order of `slices`; int32 where all are whole numbers, float32 otherwise.

    Raises
    ------
    ImageError
        If pixel data are absent, shorter or longer than the header says or cannot be decompressed; if they are no grey
        values, or not HU by their rescale type, a modality table or a slope of 0. The message names the slice.
    """
    plain = all(float(value).is_integer() for slice_ in slices for value in (slice_.slope, slice_.intercept))
    planes: np.ndarray | None = None
    with collected() as remarks:
        order = sorted(range(len(slices)), key=lambda index: (str(slices[index].file), slices[index].frame))
        for file, indices in itertools.groupby(order, key=lambda index: slices[index].file):
            of_file = list(indices)
            stored = stored_values(file, slices[of_file[0]], place)
            for index in of_file:
                slice_ = slices[index]
                _check_rescale(slice_, place)
                values = stored[slice_.frame] * slice_.slope + slice_.intercept
                if planes is None:
                    planes = np.empty((len(slices), *values.shape), np.int32 if plain else np.float32)
                planes[index] = values
    repeat_once(remarks, place, len(slices))
    if planes is None:
        raise ImageError(place, "series must hold slices", "none", "Name the folder in which the slices lie.")
    return planes


def _check_rescale(slice_: Slice, place: str) -> None:
    of_slice = f"{place}, slice {slice_.name}"
    if slice_.kind == _UNSPECIFIED:
        remark(of_slice, "rescale type US (unspecified)", "taken for HU, which the range of values was held to")
    elif slice_.kind not in _HU_TYPES:
        hint = "Export the images in HU; maps of iodine, density or atomic number are other quantities."
        raise ImageError(of_slice, "rescale type must be HU", repr(slice_.kind), hint)
    if slice_.slope == 0:
        raise ImageError(of_slice, "rescale slope must not be 0", "0, which makes all pixels alike", _ORIGINAL)


def stored_values(file: Path, slice_: Slice, place: str) -> np.ndarray:
    """Pixels of a file as they are stored, before any rescale, shape (frames, rows, columns).

    Raises
    ------
    ImageError
        As `hounsfield_units`.
    """
    of_slice = f"{place}, slice {slice_name(file, slice_.header)}"
    with guarded(of_slice, *READABLE_HEADER):
        return _stored_values(file, of_slice)


def _stored_values(file: Path, of_slice: str) -> np.ndarray:
    dataset = read_dicom(file)
    data = None if dataset is None else dataset.get("PixelData")
    if dataset is None or not data:
        raise ImageError(of_slice, "every slice must hold pixel data", "none that can be read", _COPY_AGAIN)
    _check_grey(dataset, of_slice)
    shape = (
        whole_number(dataset, "NumberOfFrames", of_slice, 1) or 1,
        *(whole_number(dataset, keyword, of_slice) for keyword in ("Rows", "Columns")),
    )
    bits = whole_number(dataset, "BitsAllocated", of_slice)
    if bits not in (8, 16, 32):
        raise ImageError(of_slice, "pixels must be of 8, 16 or 32 bits", f"{bits} bits", _ORIGINAL)
    syntax = UID(text(getattr(dataset, "file_meta", Dataset()), "TransferSyntaxUID"))
    if text(dataset, "LossyImageCompression") == "01" or syntax in _LOSSY:
        remark(of_slice, "pixels that were compressed with loss", "read; texture features follow the loss")
    if syntax and syntax.is_encapsulated:
        return _decompressed(dataset, syntax, shape, of_slice)
    return _significant(_raw(dataset, data, shape, bits, of_slice), dataset, of_slice)


def _check_grey(dataset: Dataset, of_slice: str) -> None:
    samples = whole_number(dataset, "SamplesPerPixel", of_slice, 1)
    photometric = text(dataset, "PhotometricInterpretation") or _GREY[1]
    if samples != 1 or photometric not in _GREY:
        raise ImageError(of_slice, "pixels must be grey values", f"{photometric} of {samples} values", _ORIGINAL)
    if "ModalityLUTSequence" in dataset:
        hint = "Export the original CT series, which has a rescale slope and intercept."
        raise ImageError(
            of_slice, "stored values must become HU by slope and intercept", "a table in their place", hint
        )
    if photometric == _GREY[0]:
        # It says which end is shown white; what the values mean is said by slope and intercept alone.
        remark(of_slice, "MONOCHROME1, which is shown with air white", "HU taken as they stand, not inverted")


def _raw(dataset: Dataset, data: bytes, shape: tuple[int, ...], bits: int, of_slice: str) -> np.ndarray:
    """Uncompressed pixels, as many as the header says."""
    expected = int(np.prod(shape)) * bits // 8
    if len(data) < expected:
        rule = f"every slice must hold all of its pixels, {expected:,} bytes"
        raise ImageError(of_slice, rule, f"{len(data):,} bytes", _COPY_AGAIN)
    rest = data[expected:]
    # Values are of even length, so that one byte may follow.
    if len(rest) > 1:
        if any(rest):
            rule = f"every slice must hold its pixels alone, {expected:,} bytes"
            hint = "Export that slice again: rows, columns or bits of its header do not fit."
            raise ImageError(of_slice, rule, f"{len(data):,} bytes", hint)
        remark(of_slice, f"{len(rest)} empty bytes behind the pixels", "left out")
    little = dataset.original_encoding[1] is not False
    signed = whole_number(dataset, "PixelRepresentation", of_slice) == 1
    kind = f"{'<' if little else '>'}{'i' if signed else 'u'}{bits // 8}"
    return np.frombuffer(data[:expected], kind).reshape(shape).astype(kind[1:])


def _significant(raw: np.ndarray, dataset: Dataset, of_slice: str) -> np.ndarray:
    """Stored values out of their cells: the bits that the header names, with their sign."""
    allocated = raw.dtype.itemsize * 8
    stored = whole_number(dataset, "BitsStored", of_slice, allocated)
    high = whole_number(dataset, "HighBit", of_slice, stored - 1)
    if not 0 < stored <= high + 1 <= allocated:
        found = f"{stored} bits stored up to bit {high} of {allocated}"
        raise ImageError(of_slice, "bits of the pixels must lie within their cells", found, _ORIGINAL)
    if stored == allocated:
        return raw
    above = raw >> (high + 1)
    # Unused bits are empty, or repeat the sign; in old files an overlay is drawn in them (retired in 2004).
    overlay = any(tag.group & 0xFF01 == 0x6000 for tag in [*dataset.keys()])
    if not overlay and not np.isin(np.unique(above), (0, -1) if raw.dtype.kind == "i" else (0,)).all():
        found = f"values of up to {int(np.abs(raw.astype(np.int64)).max()):,}"
        raise ImageError(
            of_slice, f"stored values must fit into the {stored} bits that the header names", found, _ORIGINAL
        )
    below = raw & ((1 << (high + 1 - stored)) - 1)
    if not overlay and below.any():
        found = f"others in {np.count_nonzero(below)} pixels"
        raise ImageError(
            of_slice, f"stored values must have nothing below the {stored} bits that the header names", found, _ORIGINAL
        )
    shift = allocated - 1 - high
    return np.left_shift(raw, shift) >> (allocated - stored)


def _decompressed(dataset: Dataset, syntax: UID, shape: tuple[int, ...], of_slice: str) -> np.ndarray:
    """Pixels of compressed frames, as they were before."""
    planes: list[np.ndarray] = []
    with attempted():
        if syntax == RLELossless:
            planes = list(dataset.pixel_array.reshape(shape))
        else:
            frames = list(generate_frames(dataset.PixelData, number_of_frames=shape[0]))
            # GDCM fills what a broken frame lacks.
            whole = all(frame.rstrip(b"\0").endswith(_END_OF_JPEG) for frame in frames)
            planes = [_decoded(frame, dataset, syntax) for frame in frames] if whole else []
    if len(planes) != shape[0] or any(plane.shape != shape[1:] for plane in planes):
        hint = "Copy or export that slice again, uncompressed if need be."
        raise ImageError(of_slice, "compressed pixels must be readable", f"{syntax.name} that is not whole", hint)
    return np.stack(planes)


def _decoded(frame: bytes, dataset: Dataset, syntax: UID) -> np.ndarray:
    """One frame, decompressed by GDCM from a file that says nothing of how to show or rescale it."""
    plain = Dataset()
    plain.file_meta = FileMetaDataset()
    plain.file_meta.TransferSyntaxUID = syntax
    plain.SOPClassUID = plain.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    plain.SOPInstanceUID = plain.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    for keyword in _DESCRIPTION:
        plain[keyword] = dataset[keyword]
    plain.SamplesPerPixel, plain.PhotometricInterpretation = 1, "MONOCHROME2"
    plain.PixelData = encapsulate([frame])
    plain["PixelData"].is_undefined_length = True
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        plain.save_as(file.name, enforce_file_format=True)
        image = sitk.ReadImage(file.name, imageIO="GDCMImageIO")
    return sitk.GetArrayFromImage(image).reshape(image.GetSize()[1::-1])
