"""CT series in DICOM, so that reading them is exercised as with a hospital's own files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from hccbook.phantom.geometry import rotation
from hccbook.phantom.scanner import Scanner, scanner_of
from hccbook.settings import PHASES

_PHASE_DELAY_S = {"arterial": 35, "venous": 70, "delayed": 180}
_STUDY_DATE, _STUDY_SECOND = "20200101", 9 * 3600


@dataclass(frozen=True)
class Layout:
    """How a patient's series are laid out in DICOM.

    Attributes
    ----------
    about_x, about_z : float
        Turn of the patient in the scanner, degrees; the slices turn with the patient.
    slope, intercept, bits : float, float, int
        HU = slope x stored + intercept, stored unsigned, in so many bits.
    shuffled : bool
        Whether instance numbers and file names leave the order of the slices.
    """

    about_x: float
    about_z: float
    slope: float
    intercept: float
    bits: int
    shuffled: bool


LAYOUTS = (
    Layout(about_x=6.0, about_z=3.0, slope=0.5, intercept=-1024.0, bits=16, shuffled=True),
    Layout(about_x=0.0, about_z=0.0, slope=1.0, intercept=-1024.0, bits=12, shuffled=False),
    Layout(about_x=-4.0, about_z=0.0, slope=1.0, intercept=-1024.0, bits=16, shuffled=True),
)
"""Layouts of the first, second and third DICOM patient, then round again; the first has every difficulty."""


def oblique(image: sitk.Image, layout: Layout) -> sitk.Image:
    """The axial image (LPS) on the grid that the layout turns, voxels unchanged."""
    turn = rotation(about_x=layout.about_x, about_z=layout.about_z)
    turned = sitk.Image(image)
    turned.SetDirection(tuple(turn.ravel()))
    turned.SetOrigin(tuple(float(value) for value in np.round(turn @ np.array(image.GetOrigin()), 6)))
    return turned


def write_series(folder: Path, image: sitk.Image, patient: Mapping[str, Any], phase: str, layout: Layout) -> None:
    """Write one phase as a CT Image Storage series, a file a slice.

    Parameters
    ----------
    folder : pathlib.Path
        Made if absent.
    image : SimpleITK.Image
        int16, HU, on its final grid (see `oblique`).
    patient : mapping
        ``patient_id``, ``age``, ``sex`` and ``centre`` are read.
    phase : str
        One of `PHASES`.
    layout : Layout

    Notes
    -----
    Unique identifiers follow from the patient and phase, so that the same patient is written the same way.
    """
    folder.mkdir(parents=True, exist_ok=True)
    voxels = sitk.GetArrayViewFromImage(image)
    stored = np.rint((voxels - layout.intercept) / layout.slope).astype(np.uint16)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    scanner = scanner_of(patient["centre"])
    order = np.arange(len(stored))
    if layout.shuffled:
        order = np.random.default_rng(np.random.SeedSequence([len(stored), PHASES.index(phase)])).permutation(order)
    for position, slice_values in enumerate(stored):
        number = int(order[position]) + 1
        corner = np.array(image.GetOrigin()) + direction[:, 2] * image.GetSpacing()[2] * position
        header = _header(patient, phase, number, scanner)
        _set_plane(header, image, direction, corner)
        header.RescaleIntercept, header.RescaleSlope = layout.intercept, layout.slope
        header.RescaleType = "HU"
        header.set_pixel_data(slice_values, "MONOCHROME2", layout.bits, generate_instance_uid=False)
        header.WindowCenter, header.WindowWidth = 40, 400
        header.save_as(folder / f"IM{number:04d}.dcm", enforce_file_format=True)


def _uid(*parts: object) -> str:
    return str(generate_uid(entropy_srcs=["hccbook phantom", *(str(part) for part in parts)]))


def _time(second: int) -> str:
    return f"{second // 3600:02d}{second % 3600 // 60:02d}{second % 60:02d}"


def _header(patient: Mapping[str, Any], phase: str, number: int, scanner: Scanner) -> Dataset:
    """Everything of one slice that is neither its plane nor its pixels."""
    identity = str(patient["patient_id"])
    header, meta = Dataset(), FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = _uid(identity, phase, number)
    header.file_meta = meta
    header.SpecificCharacterSet = "ISO_IR 192"
    header.SOPClassUID, header.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    # Patient; the empty ones are of type 2: they must be there and may be unknown.
    header.PatientName, header.PatientID = f"SYNTHETIC^{identity}", identity
    header.PatientBirthDate = ""
    header.PatientSex = "M" if patient["sex"] == "male" else "F"
    header.PatientAge = f"{int(patient['age']):03d}Y"
    header.PatientPosition = "HFS"
    # Study, series, frame of reference: one frame for the three phases, which are taken on one table.
    second = _STUDY_SECOND + _PHASE_DELAY_S[phase]
    header.StudyInstanceUID, header.SeriesInstanceUID = _uid(identity), _uid(identity, phase)
    header.FrameOfReferenceUID, header.PositionReferenceIndicator = _uid(identity, "frame"), ""
    header.StudyDate = header.SeriesDate = header.AcquisitionDate = header.ContentDate = _STUDY_DATE
    header.StudyTime = _time(_STUDY_SECOND)
    header.SeriesTime = header.AcquisitionTime = header.ContentTime = _time(second)
    header.StudyID, header.AccessionNumber, header.ReferringPhysicianName = "1", "", ""
    header.StudyDescription = "SYNTHETIC three-phase abdomen"
    header.SeriesNumber, header.AcquisitionNumber = PHASES.index(phase) + 2, PHASES.index(phase) + 1
    header.SeriesDescription, header.BodyPartExamined = f"SYNTHETIC {phase}", "ABDOMEN"
    header.Modality, header.Laterality = "CT", ""
    # Equipment, acquisition, contrast medium.
    header.Manufacturer, header.ManufacturerModelName = scanner.manufacturer, scanner.model
    header.InstitutionName, header.SoftwareVersions = f"SYNTHETIC {scanner.centre}", "hccbook phantom"
    header.ConvolutionKernel, header.KVP = scanner.kernel, 120
    header.ContrastBolusAgent, header.ContrastBolusRoute = "SYNTHETIC", "IV"
    header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    header.InstanceNumber = number
    header.BurnedInAnnotation = "NO"
    return header


def _set_plane(header: Dataset, image: sitk.Image, direction: np.ndarray, corner: np.ndarray) -> None:
    column, row, step = image.GetSpacing()
    header.PixelSpacing = [_decimal(row), _decimal(column)]
    header.SliceThickness = header.SpacingBetweenSlices = _decimal(step)
    header.ImageOrientationPatient = [_decimal(value) for value in (*direction[:, 0], *direction[:, 1])]
    header.ImagePositionPatient = [_decimal(value) for value in corner]
    header.SliceLocation = _decimal(float(corner @ direction[:, 2]))


def _decimal(value: float) -> str:
    """A DICOM decimal string, at most 16 characters."""
    return f"{value:.9f}"[:16] if abs(value) < 1e4 else f"{value:.6g}"
