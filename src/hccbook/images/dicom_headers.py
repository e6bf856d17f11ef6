"""Headers of DICOM images: their values converted and checked, one by one, and a slice for every frame."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from hccbook.errors import ImageError
from hccbook.images.remarks import attempted, collected, guarded, remark, repeat_once

HEADER_TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "Modality", "ImageType", "PatientID", "PatientName", "StudyInstanceUID"),
    *("SeriesInstanceUID", "FrameOfReferenceUID", "StudyDate", "StudyTime", "SeriesDate", "SeriesTime"),
    *("AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "ContentTime", "AcquisitionNumber"),
    *("SeriesNumber", "InstanceNumber", "StudyDescription", "SeriesDescription", "ProtocolName", "ConvolutionKernel"),
    *("ContrastBolusAgent", "ContrastBolusStartTime", "BodyPartExamined", "PatientPosition", "NumberOfFrames"),
    *("Rows", "Columns", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices", "GantryDetectorTilt"),
    *("ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept", "RescaleType"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "ReferencedSeriesSequence"),
)
"""What is read of a header; pixels are read by themselves."""

READABLE_HEADER = ("header must be readable", "Copy or export that slice again: its header is damaged.")
"""Rule and hint where pydicom cannot convert a value: it does so when a value is asked for, not when it is read."""

_PREAMBLE_BYTES, _MAGIC = 128, b"DICM"
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")  # of the file's header or of its object, in either byte order
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_COMMA_NUMBER = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
_EXPORT = "Export the original series again, or correct the tag."
_ORIGINAL = "Export the original series, not a derived or screen-captured one."


@dataclass(frozen=True)
class Slice:
    """One image of a series: a file, or a frame of one.

    Attributes
    ----------
    file : pathlib.Path
    frame : int
        From 0; 0 where the file holds one image.
    name : str
        How errors name it.
    header : pydicom.Dataset
    position : ndarray of shape (3,)
        Centre of the first pixel in LPS axes, mm.
    cosines : ndarray of shape (6,)
        Directions of the rows and of the columns.
    edges : ndarray of shape (2,)
        Distance between rows, and between columns, mm.
    slope, intercept : float
        HU = slope x stored value + intercept.
    kind : str
        What that gives, by the header: ``HU``, another quantity, or empty.
    """

    file: Path
    frame: int
    name: str
    header: Dataset
    position: np.ndarray
    cosines: np.ndarray
    edges: np.ndarray
    slope: float
    intercept: float
    kind: str


class _WithinFile(io.BufferedReader):
    """A file of which no more is asked than it has: for a length of gigabytes, memory is taken before it is read."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > io.DEFAULT_BUFFER_SIZE:
            size = min(size, max(0, os.fstat(self.fileno()).st_size - self.tell()))
        return super().read(size)


def read_header(file: Path) -> Dataset | None:
    """Header of a DICOM object, with `HEADER_TAGS` only; None where a file is none.

    A file that lacks the 128 bytes and the four letters that DICOM files begin with is read too, with a remark.
    """
    return read_dicom(file, specific_tags=list(HEADER_TAGS), stop_before_pixels=True)


def read_dicom(file: Path, place: str = "", **options: Any) -> Dataset | None:
    """DICOM object of a file, as `pydicom.dcmread` reads it with or without its preamble; None where it is none.

    `place` is how the remark on a preamble that is not there names it; the name of the file if empty.
    """
    dataset = None
    with attempted(), file.open("rb", buffering=0) as raw, _WithinFile(raw) as stream:
        start = stream.read(_PREAMBLE_BYTES + len(_MAGIC))
        bare = start[_PREAMBLE_BYTES:] != _MAGIC
        if bare and start[:2] not in _FIRST_GROUPS:
            return None
        stream.seek(0)
        dataset = pydicom.dcmread(stream, force=bare, **options)
    if dataset is None or not bare:
        return dataset
    if not (text(dataset, "SOPClassUID") or text(dataset, "Modality")):
        return None
    remark(place or file.name, "no DICOM preamble", "read as DICOM all the same")
    return dataset


def slice_name(file: Path, header: Dataset, frame: int | None = None) -> str:
    """How errors name a slice: by its file, unless that holds the patient's name or number."""
    identity = re.split(r"[^\w]+", f"{text(header, 'PatientName')} {text(header, 'PatientID')}".casefold())
    name = repr(file.name)
    if any(len(part) > 2 and part in file.name.casefold() for part in identity):
        number = text(header, "InstanceNumber")
        name = f"the slice with instance number {number}" if number else "a slice"
    return name if frame is None else f"{name}, frame {frame + 1}"


def text(header: Dataset, keyword: str) -> str:
    """Text of a tag; empty where it is absent."""
    with attempted():
        return str(header.get(keyword, "") or "").strip()
    return ""


def numbers(header: Dataset, keyword: str, count: int | None, place: str) -> tuple[float, ...]:
    """Decimal numbers of a tag.

    Decimal commas are read as points, and values that are written twice or oftener once, each with a remark.

    Parameters
    ----------
    header : pydicom.Dataset
    keyword : str
        DICOM's name of a tag of decimal strings, such as ``PixelSpacing``.
    count : int or None
        How many numbers it must hold; any if None.
    place : str
        How the error names the slice.

    Returns
    -------
    tuple of float
        Empty where the tag is absent or empty.

    Raises
    ------
    ImageError
        If a value is no finite number, or there are more or fewer of them.
    """
    written = _written(header, keyword)
    parts = [part.strip(" \0\t\r\n") for part in written.split("\\")]
    if not any(parts):
        return ()
    if any(_COMMA_NUMBER.fullmatch(part) for part in parts):
        parts = [part.replace(",", ".") if _COMMA_NUMBER.fullmatch(part) else part for part in parts]
        remark(place, f"decimal commas in {keyword}", "read as decimal points")
    values = tuple(float(part) if _NUMBER.fullmatch(part) else np.nan for part in parts)
    if not np.isfinite(values).all():
        raise ImageError(place, f"{keyword} must hold numbers", repr(written), _EXPORT)
    if count is None or len(values) == count:
        return values
    if len(values) > count and len(values) % count == 0 and values == values[:count] * (len(values) // count):
        remark(place, f"{keyword} holds its value {len(values) // count} times", "read once")
        return values[:count]
    amount = f"{count} numbers" if count > 1 else "one number"
    raise ImageError(place, f"{keyword} must hold {amount}", repr(written), _EXPORT)


def _written(header: Dataset, keyword: str) -> str:
    """Text of a tag as the file has it, before pydicom converts it."""
    # In a damaged file, a tag may be a sequence or a number in the place of text.
    element = header.get_item(keyword)
    value = None if element is None else element.value
    if isinstance(value, bytes):
        if getattr(element, "VR", None) not in ("FD", "FL"):
            return value.decode("latin-1")
        value = header[keyword].value
    if value is None:
        return ""
    several = not isinstance(value, str) and np.ndim(value) > 0
    return "\\".join(str(part) for part in value) if several else str(value)


def whole_number(header: Dataset, keyword: str, place: str, default: int = 0) -> int:
    """Whole number of a tag, `default` where it is absent; one that is written several times is read once."""
    values: set[int] = set()
    with attempted():
        found = header.get(keyword)
        values = {int(value) for value in np.ravel(default if found in (None, "") else found)}
    if len(values) != 1 or min(values) < 0:
        written = repr(_written(header, keyword))
        raise ImageError(place, f"{keyword} must be one whole number of 0 or more", written, _EXPORT)
    return values.pop()


def functional_group(header: Dataset, frame: int, name: str) -> Dataset | None:
    """Functional group of a frame: its own, or the one that all frames share; None where there is neither."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or ()
    for groups in (*per_frame[frame : frame + 1], *(header.get("SharedFunctionalGroupsSequence") or ())):
        if groups.get(name):
            return groups[name].value[0]
    return None


def slices_of(headers: Mapping[Path, Dataset], place: str) -> list[Slice]:
    """Slices of a series, one a frame, in the order of the files.

    Parameters
    ----------
    headers : mapping of pathlib.Path to pydicom.Dataset
        As `read_header` reads them.
    place : str
        How errors name the series.

    Raises
    ------
    ImageError
        If a slice lacks position, orientation, pixel spacing, rescale slope or intercept, or holds a value that is no
        number; the message says how many slices do, and which is the first.
    """
    images: list[tuple[Path, Dataset, int | None]] = []
    for file, header in headers.items():
        of_slice = f"{place}, slice {slice_name(file, header)}"
        frames = whole_number(header, "NumberOfFrames", of_slice, 1)
        with guarded(of_slice, *READABLE_HEADER):
            groups = header.get("PerFrameFunctionalGroupsSequence")
        if frames > 1 and (groups is None or len(groups) != frames):
            found = f"{slice_name(file, header)} of several frames, {frames} of them, without a place for each"
            hint = "Export classic CT slices or enhanced CT, not a secondary capture."
            raise ImageError(place, "every frame must carry its position", found, hint)
        images += [(file, header, frame) for frame in range(frames)] if groups else [(file, header, None)]
    with collected() as remarks:
        slices = list(_required(images, place))
    repeat_once(remarks, place, len(images))
    return slices


_REQUIRED: tuple[tuple[str, str, str, int, str], ...] = (
    ("edges", "PixelMeasuresSequence", "PixelSpacing", 2, "carry its pixel spacing"),
    ("position", "PlanePositionSequence", "ImagePositionPatient", 3, "carry its position"),
    ("cosines", "PlaneOrientationSequence", "ImageOrientationPatient", 6, "carry its orientation"),
    *(
        (name, "PixelValueTransformationSequence", keyword, 1, "carry rescale slope and intercept, without which no HU")
        for name, keyword in (("slope", "RescaleSlope"), ("intercept", "RescaleIntercept"))
    ),
)
"""Attribute of a slice, functional group and tag that hold it, how many numbers they are, and the rule."""


def _required(images: Iterable[tuple[Path, Dataset, int | None]], place: str) -> Iterable[Slice]:
    images = list(images)
    values: list[dict[str, np.ndarray]] = [{} for _ in images]
    for name, group, keyword, count, rule in _REQUIRED:
        for index, (file, header, frame) in enumerate(images):
            of_slice = f"{place}, slice {slice_name(file, header, frame)}"
            with guarded(of_slice, *READABLE_HEADER):
                source = header if frame is None else functional_group(header, frame, group) or Dataset()
                values[index][name] = np.array(numbers(source, keyword, count, of_slice))
        lacking = [index for index, found in enumerate(values) if not found[name].size]
        if lacking:
            file, header, frame = images[lacking[0]]
            found = f"{len(lacking)} of {len(images)} slices without, the first {slice_name(file, header, frame)}"
            raise ImageError(place, f"every slice must {rule}", found, _ORIGINAL)
    for (file, header, frame), numbers_of in zip(images, values, strict=True):
        transformation: Dataset | None = header
        if frame is not None:
            transformation = functional_group(header, frame, "PixelValueTransformationSequence")
        yield Slice(
            file=file,
            frame=frame or 0,
            name=slice_name(file, header, frame),
            header=header,
            position=numbers_of["position"],
            cosines=numbers_of["cosines"],
            edges=numbers_of["edges"],
            slope=float(numbers_of["slope"][0]),
            intercept=float(numbers_of["intercept"][0]),
            kind=text(transformation or Dataset(), "RescaleType"),
        )


def first_of(slices: Iterable[Slice], odd: Callable[[Slice], bool]) -> str:
    """How many slices are odd, of how many, and which is the first; empty where none is."""
    slices = list(slices)
    names = [slice_.name for slice_ in slices if odd(slice_)]
    return f"{len(names)} of {len(slices)} slices, the first {names[0]}" if names else ""
