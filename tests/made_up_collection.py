"""Small CT collections as archives write them, for the tests of `hccbook manifest`: made here, nothing downloaded.

A patient is a block of 12 x 12 pixels of 18 mm and 20 slices of 5 mm, with organs as boxes. Enhancement is that of
print: Goshima et al., AJR 2006, and PMID 17367973 for the kidney (arterial 10 to 15 s, venous 45 to 55 s after the
trigger).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

SLICES, EDGE, PIXEL_MM, STEP_MM = 20, 12, 18.0, 5.0
BOXES = {
    "liver": (slice(8, 18), slice(3, 7), slice(2, 5)),
    "spleen": (slice(8, 16), slice(5, 8), slice(8, 10)),
    "aorta": (slice(0, 20), slice(8, 10), slice(6, 8)),
    "portal_vein": (slice(9, 14), slice(5, 7), slice(5, 6)),
    "kidney": (slice(2, 10), slice(7, 9), slice(2, 4)),
}
UNENHANCED = {"liver": 56, "spleen": 46, "aorta": 42, "portal_vein": 42, "kidney": 33}
ARTERIAL = {"liver": 76, "spleen": 148, "aorta": 350, "portal_vein": 131, "kidney": 190}
VENOUS = {"liver": 117, "spleen": 123, "aorta": 163, "portal_vein": 172, "kidney": 188}
DELAYED = {"liver": 96, "spleen": 98, "aorta": 115, "portal_vein": 118, "kidney": 180}
PHASE_HU = {"precontrast": UNENHANCED, "arterial": ARTERIAL, "venous": VENOUS, "delayed": DELAYED}
DELAY_S = {"precontrast": -120, "arterial": 35, "venous": 70, "delayed": 190}
NINE = 9 * 3600


def uid(*parts: object) -> str:
    """Unique identifier that follows from its parts."""
    return str(generate_uid(entropy_srcs=["made up", *map(str, parts)]))


def body(hu: Mapping[str, int] = VENOUS, slices: int = SLICES) -> np.ndarray:
    """HU of a patient (z, y, x), int16."""
    array = np.full((slices, EDGE, EDGE), -1000, np.int16)
    array[:, 1:-1, 1:-1] = 40
    for organ, box in BOXES.items():
        array[box] = hu[organ]
    return array


def mask_of(organ: str) -> np.ndarray:
    """Mask (z, y, x) of an organ, uint8."""
    mask = np.zeros((SLICES, EDGE, EDGE), np.uint8)
    mask[BOXES[organ]] = 1
    return mask


def clock(second: float) -> str:
    """A DICOM time."""
    whole = int(second)
    return f"{whole // 3600 % 24:02d}{whole % 3600 // 60:02d}{whole % 60:02d}"


def write_ct(
    folder: Path,
    hu: Mapping[str, int] = VENOUS,
    *,
    patient: str = "A1",
    study: str = "1",
    series: str = "1",
    second: float | None = NINE,
    places: Iterable[float] | None = None,
    first: int = 1,
    name: str = "IM{:04d}.dcm",
    each: Callable[[int, Dataset], None] | None = None,
    preamble: bool = True,
    **tags: object,
) -> list[Path]:
    """Write a classic CT series, a file a slice; `each` may change the header of a slice, `tags` that of all."""
    folder.mkdir(parents=True, exist_ok=True)
    places = np.arange(SLICES) * STEP_MM if places is None else np.array(list(places))
    array = body(hu, max(SLICES, len(places)))
    files = []
    for index, place in enumerate(places):
        header = _header(patient, study, series, first + index, second)
        header.ImagePositionPatient = [-165, -165, f"{place:.4f}"]
        for keyword, value in tags.items():
            setattr(header, keyword, value)
        if each is not None:
            each(index, header)
        pixels = (array[index] + 1024).astype(np.uint16)
        header.set_pixel_data(pixels, "MONOCHROME2", 16, generate_instance_uid=False)
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        file = folder / name.format(first + index)
        if preamble:
            header.save_as(file, enforce_file_format=True)
        else:
            del header.file_meta
            pydicom.dcmwrite(file, header, implicit_vr=True, little_endian=True, enforce_file_format=False)
        files.append(file)
    return files


def _header(patient: str, study: str, series: str, number: int, second: float | None) -> Dataset:
    header, meta = Dataset(), FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    header.file_meta = meta
    header.SOPClassUID = CTImageStorage
    header.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = uid(patient, study, series, number)
    header.PatientID, header.PatientName, header.PatientBirthDate, header.PatientSex = patient, "MADE^UP", "", "M"
    header.PatientAge = "061Y"
    header.StudyInstanceUID, header.SeriesInstanceUID = uid(patient, study), uid(patient, study, series)
    header.FrameOfReferenceUID = uid(patient, study, "frame")
    header.StudyDate = header.AcquisitionDate = "20200101"
    header.StudyTime, header.StudyID, header.AccessionNumber, header.ReferringPhysicianName = "090000", "", "", ""
    if second is not None:
        header.AcquisitionTime = clock(second)
    header.Modality, header.Manufacturer = "CT", "made up"
    header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    header.SeriesNumber, header.InstanceNumber, header.AcquisitionNumber = 2, number, 1
    header.SeriesDescription, header.ConvolutionKernel = "", "B30f"
    header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    header.PixelSpacing, header.SliceThickness = [PIXEL_MM, PIXEL_MM], STEP_MM
    header.RescaleSlope, header.RescaleIntercept, header.RescaleType = 1, -1024, "HU"
    return header


def write_frames(folder: Path, places: Iterable[float], **options) -> Path:
    """Write the header of an enhanced CT, a frame a place; its pixels are of one slice alone."""
    (file,) = write_ct(folder, places=[0], **options)
    header = pydicom.dcmread(file)
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "ConvolutionKernel"):
        delattr(header, keyword)
    del header.AcquisitionTime, header.AcquisitionDate
    shared, measures, plane, kernel = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [PIXEL_MM, PIXEL_MM], STEP_MM
    plane.ImageOrientationPatient, kernel.ConvolutionKernel = [1, 0, 0, 0, 1, 0], "B30f"
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    shared.CTReconstructionSequence = [kernel]
    frames = []
    for place in places:
        frame, position, content = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient, content.FrameAcquisitionDateTime = [-165, -165, place], "20200101090035"
        frame.PlanePositionSequence, frame.FrameContentSequence = [position], [content]
        frames.append(frame)
    header.SharedFunctionalGroupsSequence, header.PerFrameFunctionalGroupsSequence = [shared], frames
    header.NumberOfFrames = len(frames)
    header.save_as(file)
    return file


def write_study(
    folder: Path, phases: Iterable[str] = ("arterial", "venous", "delayed"), patient: str = "A1", **options
) -> dict[str, list[Path]]:
    """Write a series a phase, with the times of a usual protocol; slices by phase."""
    return {
        phase: write_ct(
            folder / phase[:3],
            PHASE_HU[phase],
            patient=patient,
            second=NINE + DELAY_S[phase],
            **{"series": phase, "SeriesNumber": number, "AcquisitionNumber": number} | options,
        )
        for number, phase in enumerate(phases, start=2)
    }


def image_of(array: np.ndarray) -> sitk.Image:
    """Image on the grid of the series above."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((PIXEL_MM, PIXEL_MM, STEP_MM))
    image.SetOrigin((-165.0, -165.0, 0.0))
    return image


def write_nifti(file: Path, array: np.ndarray) -> Path:
    """Write an array (z, y, x) on that grid."""
    file.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image_of(array), str(file))
    return file


def write_masks(folder: Path, organs: Iterable[str] = ("liver", "spleen", "aorta")) -> None:
    """Write a file an organ, under the names of TotalSegmentator."""
    names = {"portal_vein": "portal_vein_and_splenic_vein", "kidney": "kidney_left"}
    for organ in organs:
        write_nifti(folder / f"{names.get(organ, organ)}.nii.gz", mask_of(organ))
