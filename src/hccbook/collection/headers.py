"""What the walk keeps of a DICOM object's header, read so that one malformed value spoils that value alone."""

from __future__ import annotations

import contextlib
import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from hccbook.errors import ImageError
from hccbook.images.dicom_headers import functional_group, numbers, whole_number
from hccbook.images.remarks import attempted, collected

CT_CLASSES = (CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
"""SOP classes of CT images: one slice a file, and several frames a file."""

HEADER_TAGS = [
    *("SOPClassUID", "SOPInstanceUID", "SpecificCharacterSet", "Modality", "ImageType", "StudyDate", "StudyTime"),
    *("AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "SeriesDescription", "PatientID", "PatientSex"),
    *("PatientBirthDate", "ContrastBolusStartTime", "ConvolutionKernel", "KVP", "StudyInstanceUID"),
    *("SeriesInstanceUID", "SeriesNumber", "AcquisitionNumber", "InstanceNumber", "FrameOfReferenceUID"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "Rows", "Columns"),
    *("NumberOfFrames", "ReferencedSeriesSequence", "ReferencedFrameOfReferenceSequence", "SegmentSequence"),
    *("StructureSetROISequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("PatientAge", "ReferencedImageSequence", "SourceImageSequence"),
]
"""Tags that are read of every object."""


@dataclass(frozen=True)
class Plane:
    """Where a slice lies.

    Attributes
    ----------
    position : tuple of three float
        Centre of the first voxel, LPS axes, mm.
    orientation : tuple of six float
        Direction cosines along a row, and along a column.
    """

    position: tuple[float, ...]
    orientation: tuple[float, ...]

    @property
    def normal(self) -> np.ndarray:
        """Direction across the slice."""
        return np.cross(self.orientation[:3], self.orientation[3:])


@dataclass(frozen=True)
class Header:
    """Header of a DICOM object; text that is absent is empty, numbers that are absent or malformed are None.

    Attributes
    ----------
    position : int
        Number of the object in its tree.
    patient, study, series, instance, frame : str
        Identifiers: the patient's, and the unique ones of study, series, object and frame of reference.
    person : tuple of str
        Sex and date of birth, by which two patients are told apart who share an identifier.
    sex : str
        ``male``, ``female`` or empty.
    age : int or None
        Years at the examination.
    sop_class, modality : str
    kinds : tuple of str
        Image type, upper case.
    description, kernel : str
    number, acquisition, instance_number : int or None
        Of the series, the acquisition within it, and the object within that.
    second : float or None
        When the acquisition began, seconds since 1 January 1970; see `acquisition_second`.
    midnight : bool
        Whether the clock of the acquisition says exactly 00:00:00, as anonymised files do.
    injected : float or None
        When the injection of contrast medium began, likewise.
    study_day : str
        Date of the study, YYYYMMDD.
    planes : tuple of Plane
        One for a slice, one a frame for a file of several; empty where the object says none.
    spacing : tuple of float
        Between rows, between columns, mm; empty where absent.
    thickness, kilovolt : float or None
    size : tuple of int
        Rows and columns.
    frames : int
    references : Dataset or None
        What a SEG or RTSTRUCT says of the images that it was drawn on, and what it marks.
    """

    position: int
    patient: str
    study: str
    series: str
    instance: str
    frame: str
    person: tuple[str, str]
    sex: str
    age: int | None
    sop_class: str
    modality: str
    kinds: tuple[str, ...]
    description: str
    kernel: str
    number: int | None
    acquisition: int | None
    instance_number: int | None
    second: float | None
    midnight: bool
    injected: float | None
    study_day: str
    planes: tuple[Plane, ...]
    spacing: tuple[float, ...]
    thickness: float | None
    kilovolt: float | None
    size: tuple[int, ...]
    frames: int
    references: Dataset | None = None


def header_of(dataset: Dataset, position: int) -> Header:
    """Header of a data set that was read without its pixels.

    Parameters
    ----------
    dataset : pydicom.Dataset
        With the tags `HEADER_TAGS`, as far as the object has them.
    position : int
        Number of the object in its tree.
    """
    # What frames share stands one level down in an object of several frames.
    measures, frame_kind = _group(dataset, "PixelMeasuresSequence"), _group(dataset, "CTImageFrameTypeSequence")
    reconstruction = _group(dataset, "CTReconstructionSequence")
    clock = _text(dataset, "AcquisitionDateTime")[8:] or _text(dataset, "AcquisitionTime")
    is_mask = _text(dataset, "Modality") in ("SEG", "RTSTRUCT")
    return Header(
        position=position,
        patient=_text(dataset, "PatientID"),
        study=_text(dataset, "StudyInstanceUID"),
        series=_text(dataset, "SeriesInstanceUID"),
        instance=_text(dataset, "SOPInstanceUID"),
        frame=_text(dataset, "FrameOfReferenceUID"),
        person=(_text(dataset, "PatientSex"), _text(dataset, "PatientBirthDate")),
        sex={"M": "male", "F": "female"}.get(_text(dataset, "PatientSex").upper(), ""),
        age=_years(_text(dataset, "PatientAge")),
        sop_class=_text(dataset, "SOPClassUID"),
        modality=_text(dataset, "Modality"),
        kinds=_kinds(dataset) or _kinds(frame_kind, "FrameType"),
        description=_text(dataset, "SeriesDescription"),
        kernel=_text(dataset, "ConvolutionKernel") or _text(reconstruction, "ConvolutionKernel"),
        number=_whole(dataset, "SeriesNumber"),
        acquisition=_whole(dataset, "AcquisitionNumber"),
        instance_number=_whole(dataset, "InstanceNumber"),
        second=acquisition_second(dataset),
        midnight=bool(clock) and not clock.strip("0:. "),
        injected=_second(_text(dataset, "AcquisitionDate"), _text(dataset, "ContrastBolusStartTime")),
        study_day=re.sub(r"\D", "", _text(dataset, "StudyDate"))[:8],
        planes=_planes(dataset),
        spacing=_numbers(dataset, "PixelSpacing", 2) or _numbers(measures, "PixelSpacing", 2),
        thickness=next(iter(_numbers(dataset, "SliceThickness", 1) or _numbers(measures, "SliceThickness", 1)), None),
        kilovolt=next(iter(_numbers(dataset, "KVP", 1)), None),
        size=(_whole(dataset, "Rows") or 0, _whole(dataset, "Columns") or 0),
        frames=_whole(dataset, "NumberOfFrames") or 1,
        references=dataset if is_mask else None,
    )


def acquisition_second(dataset: Dataset) -> float | None:
    """When the acquisition of an image began, in seconds since 1 January 1970; None where the object does not say.

    Only the times of acquisition count. Those of series and content are when images were reconstructed or stored, and
    a phase that is reconstructed again an hour later would become the last one.

    References
    ----------
    DICOM PS3.6, (0008,0032) beside (0008,0031) and (0008,0033): times of acquisition, series and content, and
    https://github.com/nipy/heudiconv/issues/450, in which content times lie 20 s behind.
    """
    together = _text(dataset, "AcquisitionDateTime")
    if not together:
        groups = _group(dataset, "FrameContentSequence")
        together = _text(groups, "FrameAcquisitionDateTime") or _text(groups, "FrameReferenceDateTime")
    if len(together) >= 14:
        return _second(together[:8], together[8:])
    return _second(_text(dataset, "AcquisitionDate") or _text(dataset, "StudyDate"), _text(dataset, "AcquisitionTime"))


def _second(date: str, clock: str) -> float | None:
    # ACR-NEMA wrote dots and colons, and some exports still do; a time zone behind the clock is the same for a study.
    digits = re.sub(r"[.\-]", "", date)
    match = re.fullmatch(r"(\d\d):?(\d\d):?(\d\d)(\.\d*)?(?:[+-]\d{4})?", clock.strip())
    if match is None:
        return None
    try:
        day = datetime.date.fromisoformat(digits) if digits else datetime.date(1970, 1, 1)
    except ValueError:
        day = datetime.date(1970, 1, 1)
    hours, minutes, seconds = (int(part) for part in match.groups()[:3])
    fraction = float(match[4]) if match[4] and match[4] != "." else 0.0
    return (day - datetime.date(1970, 1, 1)).days * 86400.0 + hours * 3600 + minutes * 60 + seconds + fraction


def _years(age: str) -> int | None:
    match = re.fullmatch(r"0*(\d{1,3})Y?", age.strip().upper())
    return int(match[1]) if match and int(match[1]) > 0 else None


def _group(dataset: Dataset, name: str, frame: int = 0) -> Dataset | None:
    """Functional group of a frame, or of all; None where there is neither, or it is damaged."""
    with attempted():
        return functional_group(dataset, frame, name)
    return None


def _text(dataset: Dataset | None, name: str) -> str:
    """Value as one line of text, several values one behind the other; empty where absent or malformed."""
    value: Any = None
    with attempted():
        value = None if dataset is None else dataset.get(name)
    if value is None:
        return ""
    parts = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]
    return " ".join(" ".join(str(part) for part in parts).replace("\x00", "").split())


def _kinds(dataset: Dataset | None, name: str = "ImageType") -> tuple[str, ...]:
    return tuple(_text(dataset, name).upper().split())


def _numbers(dataset: Dataset | None, name: str, count: int) -> tuple[float, ...]:
    """So many finite numbers; none where they are others. What is repaired is said when the volume is read."""
    with contextlib.suppress(ImageError), attempted(), collected():
        return () if dataset is None else numbers(dataset, name, count, "")
    return ()


def _whole(dataset: Dataset, name: str) -> int | None:
    try:
        return whole_number(dataset, name, "", default=-1)
    except ImageError:  # absent, too
        return None


def _planes(dataset: Dataset) -> tuple[Plane, ...]:
    position = _numbers(dataset, "ImagePositionPatient", 3)
    orientation = _numbers(dataset, "ImageOrientationPatient", 6)
    if position and orientation:
        return (Plane(position, orientation),)
    planes = []
    for frame in range(_whole(dataset, "NumberOfFrames") or 0):
        position = _numbers(_group(dataset, "PlanePositionSequence", frame), "ImagePositionPatient", 3)
        orientation = _numbers(_group(dataset, "PlaneOrientationSequence", frame), "ImageOrientationPatient", 6)
        if position and orientation:
            planes.append(Plane(position, orientation))
    return tuple(planes)
