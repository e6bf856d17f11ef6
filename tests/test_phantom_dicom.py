"""Synthetic patients as DICOM series, read back by other people's readers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from hccbook.phantom import render_patient
from hccbook.phantom.dicom import LAYOUTS, oblique, write_series
from hccbook.settings import CohortSettings

SETTINGS = CohortSettings(acquisition_spacing_mm=7.0)
PATIENT = {
    "patient_id": "SYN-ALARM-0001",
    "age": 57.9,
    "sex": "male",
    "centre": "C04",
    "image_seed": 7,
    "liver_latent": 0.0,
    "spleen_latent": 0.0,
    "spleen_size": 0.0,
}
TYPE_1 = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "Modality",
    "ImageType",
    "PixelSpacing",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RescaleIntercept",
    "RescaleSlope",
    "PixelData",
)
TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
    "SeriesNumber",
    "PatientPosition",
    "PositionReferenceIndicator",
    "Manufacturer",
    "InstanceNumber",
    "SliceThickness",
    "KVP",
    "AcquisitionNumber",
    "ContrastBolusAgent",
)
"""Attributes that CT Image Storage must hold (DICOM PS3.3, A.3): type 1 with a value, type 2 perhaps empty."""


@pytest.fixture(scope="module")
def images() -> dict:
    """One patient's rendered phases."""
    return render_patient(PATIENT, SETTINGS)


@pytest.fixture(scope="module", params=range(len(LAYOUTS)))
def series(request, images, tmp_path_factory) -> tuple[Path, sitk.Image]:
    """Folder of the venous series in each layout, and the image that was written."""
    layout = LAYOUTS[request.param]
    image = oblique(images["venous"][0], layout)
    folder = tmp_path_factory.mktemp("dicom") / "venous"
    write_series(folder, image, PATIENT, "venous", layout)
    return folder, image


def headers(folder: Path) -> list[pydicom.Dataset]:
    """Headers in the order of the file names."""
    return [pydicom.dcmread(file) for file in sorted(folder.iterdir())]


def test_simpleitk_reads_back_voxels_and_grid(series):
    """ImageSeriesReader gives the same HU and the same origin, spacing and direction."""
    folder, image = series
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    found = reader.Execute()
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(found), sitk.GetArrayViewFromImage(image))
    np.testing.assert_allclose(found.GetOrigin(), image.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(found.GetSpacing(), image.GetSpacing(), atol=1e-4)
    np.testing.assert_allclose(found.GetDirection(), image.GetDirection(), atol=1e-6)


def test_pydicom_reads_back_voxels_by_hand(series):
    """Slices sorted along their normal, stored values times slope plus intercept, are the HU."""
    folder, image = series
    slices = headers(folder)
    cosines = np.array(slices[0].ImageOrientationPatient, dtype=float)
    normal = np.cross(cosines[:3], cosines[3:])
    slices.sort(key=lambda item: float(normal @ np.array(item.ImagePositionPatient, dtype=float)))
    hu = np.stack([item.pixel_array * float(item.RescaleSlope) + float(item.RescaleIntercept) for item in slices])
    np.testing.assert_array_equal(hu, sitk.GetArrayViewFromImage(image))


def test_spacing_is_anisotropic(series):
    """Centre C04 has 0.90 by 0.90 by 1.10 of the nominal 7 mm."""
    folder, _ = series
    header = headers(folder)[0]
    assert [float(value) for value in header.PixelSpacing] == [6.3, 6.3]
    assert float(header.SliceThickness) == pytest.approx(7.7)


def test_required_attributes_are_there(series):
    """Every type 1 attribute has a value, every type 2 attribute is there."""
    for header in headers(series[0]):
        assert header.file_meta.MediaStorageSOPClassUID == pydicom.uid.CTImageStorage
        assert header.file_meta.MediaStorageSOPInstanceUID == header.SOPInstanceUID
        for name in TYPE_1:
            assert name in header, name
            assert header[name].value not in ("", None), name
        for name in TYPE_2:
            assert name in header, name
        assert str(header.PatientName) == "SYNTHETIC^SYN-ALARM-0001"
        assert header.Modality == "CT"


def test_identifiers_hold_together(series):
    """One study, series and frame of reference; instances all different; all identifiers valid."""
    found = headers(series[0])
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert len({header[name].value for header in found}) == 1
        assert found[0][name].value.is_valid
    assert len({header.SOPInstanceUID for header in found}) == len(found)
    assert sorted(header.InstanceNumber for header in found) == list(range(1, len(found) + 1))


def test_phases_share_the_study_and_not_the_series(images, tmp_path):
    """Three phases of one patient are three series of one study in one frame of reference."""
    for phase, (image, _) in images.items():
        write_series(tmp_path / phase, image, PATIENT, phase, LAYOUTS[1])
    found = [headers(tmp_path / phase)[0] for phase in images]
    assert len({header.StudyInstanceUID for header in found}) == 1
    assert len({header.FrameOfReferenceUID for header in found}) == 1
    assert len({header.SeriesInstanceUID for header in found}) == 3


def test_first_layout_has_every_difficulty():
    """Oblique, shuffled, slope other than one: a single DICOM patient exercises all of them."""
    first = LAYOUTS[0]
    assert (first.about_x, first.about_z) != (0.0, 0.0)
    assert first.slope == 0.5
    assert first.intercept == -1024.0
    assert first.shuffled


def test_shuffled_instances_leave_the_order_of_slices(images, tmp_path):
    """In a shuffled series, instance numbers do not rise with position."""
    layout = LAYOUTS[0]
    write_series(tmp_path / "a", oblique(images["venous"][0], layout), PATIENT, "venous", layout)
    found = sorted(headers(tmp_path / "a"), key=lambda header: float(header.SliceLocation))
    numbers = [header.InstanceNumber for header in found]
    assert numbers != sorted(numbers)
    assert numbers != sorted(numbers, reverse=True)


def test_oblique_grid_keeps_the_voxels(images):
    """Turning the grid moves no voxel: the patient lies turned in the scanner, and the slices with them."""
    image = images["venous"][0]
    turned = oblique(image, LAYOUTS[0])
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(turned), sitk.GetArrayViewFromImage(image))
    axes = np.array(turned.GetDirection()).reshape(3, 3)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    # 6 degrees about x, then 3 about z: the slice normal leans by cos 6 degrees from the table's axis.
    assert axes[2, 2] == pytest.approx(np.cos(np.deg2rad(6.0)))


def test_writing_twice_gives_the_same_bytes(images, tmp_path):
    """Identifiers follow from the patient, so that a series is the same wherever it is written."""
    for name in ("a", "b"):
        write_series(tmp_path / name, images["delayed"][0], PATIENT, "delayed", LAYOUTS[1])
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
