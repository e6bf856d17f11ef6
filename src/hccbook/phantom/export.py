"""Simulated patients as a hospital's archive exports them, so that `hccbook manifest` meets what its users have."""

from __future__ import annotations

import copy
import itertools
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid

from hccbook.phantom.dicom import LAYOUTS, oblique, write_series

MANNERS = ("series", "medium", "zip")
"""How an export lies on the disk: a folder a series, a burned medium with all files side by side, or a zip file."""

_DESCRIPTION = "LIVER 3 PHASE (AP)"  # abdomen and pelvis; of no phase, as in HCC-TACE-Seg


def write_export(
    root: Path, patient: Mapping[str, Any], volumes: Mapping[str, sitk.Image], manner: str, **tags: object
) -> Path:
    """Write one patient's phases as an archive exports them, with what it stores beside them.

    No description tells a phase. A localizer and a dose page lie among the series; on a medium, the first two phases
    share one series and files have no ending.

    Parameters
    ----------
    root : pathlib.Path
        Folder of the export; made if absent.
    patient : mapping
        ``patient_id``, ``age``, ``sex`` and ``centre`` are read.
    volumes : mapping of str to SimpleITK.Image
        Axial image (int16, HU) by phase, as `render_patient` makes them.
    manner : str
        One of `MANNERS`; each has its own of the `LAYOUTS`.
    **tags
        Values for the header of every object, by DICOM's keyword.

    Returns
    -------
    pathlib.Path
        Folder of the patient, or the zip file.
    """
    headers = _headers(patient, volumes, manner)
    extra = [_localizer(headers[0]), _dose_page(headers[0])]
    for header in headers:
        header.SeriesDescription = _DESCRIPTION
    for header, (keyword, value) in itertools.product([*headers, *extra], tags.items()):
        setattr(header, keyword, value)
    if manner == "medium":
        _share_series(headers, list(volumes)[:2])
    place = root / str(patient["patient_id"])
    shutil.rmtree(place, ignore_errors=True)  # slices of an earlier call
    if manner != "zip":
        _save([*headers, *extra], place, manner)
        return place
    with tempfile.TemporaryDirectory() as temporary:
        _save([*headers, *extra], Path(temporary), "series")
        root.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(place.with_suffix(".zip"), "w") as archive:
            for file in sorted(Path(temporary).rglob("*.dcm")):
                archive.write(file, file.relative_to(temporary))
    return place.with_suffix(".zip")


def _headers(patient: Mapping[str, Any], volumes: Mapping[str, sitk.Image], manner: str) -> list[Dataset]:
    """Slices of all phases, pixels included, phase by phase."""
    layout = LAYOUTS[MANNERS.index(manner)]
    with tempfile.TemporaryDirectory() as temporary:
        for phase, image in volumes.items():
            write_series(Path(temporary) / phase, oblique(image, layout), patient, phase, layout)
        files = [file for phase in volumes for file in sorted((Path(temporary) / phase).iterdir())]
        return [pydicom.dcmread(file) for file in files]


def _share_series(headers: Sequence[Dataset], phases: Sequence[str]) -> None:
    """Two acquisitions under one series: only their number and time tell them apart."""
    first = headers[0]
    stacked = [header for header in headers if header.AcquisitionNumber <= len(phases)]
    for number, header in enumerate(stacked, start=1):
        header.SeriesInstanceUID, header.SeriesNumber, header.InstanceNumber = (
            first.SeriesInstanceUID,
            first.SeriesNumber,
            number,
        )


def _localizer(header: Dataset) -> Dataset:
    made = _another(header, "Topogram 0.6 T20f", 1)
    made.ImageType, made.ImageOrientationPatient = ["ORIGINAL", "PRIMARY", "LOCALIZER"], [1, 0, 0, 0, 0, -1]
    return made


def _dose_page(header: Dataset) -> Dataset:
    made = _another(header, "Patient Protocol", 501)
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    return made


def _another(header: Dataset, description: str, number: int) -> Dataset:
    """An object of the same study in a series of its own."""
    made = copy.deepcopy(header)
    made.SeriesDescription, made.SeriesNumber, made.InstanceNumber = description, number, 1
    made.SeriesInstanceUID, made.SOPInstanceUID = (
        str(generate_uid(entropy_srcs=[header.StudyInstanceUID, description, kind])) for kind in ("series", "object")
    )
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    return made


def _save(headers: Sequence[Dataset], folder: Path, manner: str) -> None:
    for position, header in enumerate(headers):
        study = folder / f"{header.StudyDate}-NA-CT ABDOMEN-{header.StudyInstanceUID[-5:]}"
        series = f"{header.SeriesNumber}.000000-{header.SeriesDescription}-{header.SeriesInstanceUID[-5:]}"
        target = study / series / f"1-{header.InstanceNumber:03d}.dcm"
        if manner == "medium":
            # In no order, as media are burned.
            target = folder / "IMAGES" / f"IM{position * 7919 % 100_003:06d}"
        target.parent.mkdir(parents=True, exist_ok=True)
        header.save_as(target, enforce_file_format=True)
