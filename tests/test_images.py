"""Reading and writing of CT volumes and masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from hccbook.errors import HccbookError, ImageError
from hccbook.images import from_array, read_image, read_mask, same_grid, to_array, volume_ml, write_image

UID = "1.2.826.0.1.3680043.8.498."
OBLIQUE = (0.96, 0.28, 0.0, -0.224, 0.768, 0.6)
"""Direction cosines of two unit vectors at right angles: 0.96^2 + 0.28^2 = 1; 0.28 * 0.768 = 0.96 * 0.224."""
OBLIQUE_NORMAL = (0.168, -0.576, 0.8)
"""Their cross product, by hand."""


def write_series(
    folder: Path,
    stored: np.ndarray,
    *,
    slope: float | list[float] = 1.0,
    intercept: float = -1024.0,
    spacing: tuple[float, float, float] = (0.8, 0.7, 2.5),
    origin: tuple[float, float, float] = (-50.0, -40.0, 100.0),
    cosines: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
    modality: str = "CT",
    series: int = 1,
    patient: str = "someone",
    description: str = "venous",
    step: tuple[float, float, float] | None = None,
    **changes: object,
) -> list[Path]:
    """Write stored values (z, y, x) as one DICOM series, in shuffled file order; spacing is (x, y, z)."""
    folder.mkdir(parents=True, exist_ok=True)
    row, column = np.array(cosines[:3], float), np.array(cosines[3:], float)
    advance = np.cross(row, column) * spacing[2] if step is None else np.array(step)
    names = np.random.default_rng(1).permutation(len(stored))
    files = []
    for index, plane in enumerate(stored):
        slice_ = Dataset()
        slice_.file_meta = FileMetaDataset()
        slice_.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        slice_.file_meta.MediaStorageSOPClassUID = CTImageStorage
        slice_.SOPClassUID = CTImageStorage
        slice_.SOPInstanceUID = slice_.file_meta.MediaStorageSOPInstanceUID = f"{UID}{series}.{index + 1}"
        slice_.StudyInstanceUID = UID + "9"
        slice_.SeriesInstanceUID = f"{UID}{series}"
        slice_.FrameOfReferenceUID = UID + "8"
        slice_.Modality, slice_.ImageType = modality, ["ORIGINAL", "PRIMARY", "AXIAL"]
        slice_.PatientID, slice_.PatientName = patient, patient
        slice_.SeriesNumber, slice_.SeriesDescription = series, description
        slice_.InstanceNumber = len(stored) - index  # against the order of the positions
        slice_.ImageOrientationPatient = [float(value) for value in cosines]
        slice_.ImagePositionPatient = [round(float(value), 6) for value in np.array(origin) + index * advance]
        slice_.PixelSpacing = [spacing[1], spacing[0]]
        slice_.SliceThickness = spacing[2]
        slice_.Rows, slice_.Columns = plane.shape
        slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
        slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit, slice_.PixelRepresentation = 16, 16, 15, 0
        slice_.RescaleSlope = slope[index] if isinstance(slope, list) else slope
        slice_.RescaleIntercept = intercept
        slice_.PixelData = plane.astype("<u2").tobytes()
        for name, value in changes.items():
            if value is None:
                del slice_[name]
            else:
                setattr(slice_, name, value)
        file = folder / f"IM{series:02d}{names[index]:04d}"
        slice_.save_as(file, enforce_file_format=True)
        files.append(file)
    return files


def stored_values(shape: tuple[int, int, int] = (4, 5, 6)) -> np.ndarray:
    """Stored values 0, 11, 22, ... that differ from voxel to voxel: air (0) to 1,300, a tenth of them soft tissue."""
    values = np.arange(np.prod(shape)).reshape(shape) * 11 % 1500
    values[-1, -1, -1] = 1300
    return values


def ct(shape: tuple[int, int, int] = (4, 5, 6), spacing: tuple[float, float, float] = (2.0, 3.0, 5.0)) -> sitk.Image:
    """A small volume in HU with size, spacing and origin that differ along every axis."""
    image = sitk.GetImageFromArray((stored_values(shape) - 1000).astype(np.int16))
    image.SetSpacing(spacing)
    image.SetOrigin((-10.0, 20.0, 30.0))
    return image


def refused(error: type[HccbookError], *words: str):
    """Context that expects an error of four full parts whose text holds all words."""
    pattern = "(?s)" + "".join(f"(?=.*{word})" for word in words)
    return pytest.raises(error, match=pattern)


# --- DICOM -----------------------------------------------------------------------------------------------------------


def test_series_axial_anisotropic(tmp_path):
    """Shuffled slices come back in order of position, in HU, with the header's geometry."""
    stored = stored_values()
    write_series(tmp_path / "s", stored, intercept=-1000)
    image = read_image(tmp_path / "s")
    assert image.GetPixelID() == sitk.sitkInt16
    np.testing.assert_array_equal(to_array(image), stored - 1000)
    np.testing.assert_allclose(image.GetSpacing(), (0.8, 0.7, 2.5), atol=1e-9)
    np.testing.assert_allclose(image.GetOrigin(), (-50, -40, 100), atol=1e-9)
    np.testing.assert_allclose(image.GetDirection(), np.eye(3).ravel(), atol=1e-9)


def test_series_oblique(tmp_path):
    """The voxel (x, y, z) = (2, 3, 1) of an oblique series lies where the DICOM standard's equation puts it."""
    write_series(tmp_path / "s", stored_values(), cosines=OBLIQUE)
    image = read_image(tmp_path / "s")
    row, column, normal = np.array(OBLIQUE[:3]), np.array(OBLIQUE[3:]), np.array(OBLIQUE_NORMAL)
    # C.7.6.2.1.1: position + row cosines * column index * column spacing + column cosines * row index * row spacing
    expected = np.array([-50, -40, 100]) + row * 2 * 0.8 + column * 3 * 0.7 + normal * 1 * 2.5
    np.testing.assert_allclose(image.TransformIndexToPhysicalPoint((2, 3, 1)), expected, atol=1e-5)


def test_series_feet_first_order(tmp_path):
    """With a column cosine that points to the front, the normal points down and the slices follow it."""
    write_series(tmp_path / "s", stored_values(), cosines=(1, 0, 0, 0, -1, 0))
    image = read_image(tmp_path / "s")
    np.testing.assert_array_equal(to_array(image), stored_values() - 1024)
    np.testing.assert_allclose(image.GetDirection(), np.diag([1, -1, -1]).ravel(), atol=1e-9)
    np.testing.assert_allclose(image.TransformIndexToPhysicalPoint((0, 0, 3)), (-50, -40, 100 - 7.5), atol=1e-6)


def test_series_fractional_slope(tmp_path):
    """A slope of 0.5 gives halves, kept as float32."""
    write_series(tmp_path / "s", stored_values(), slope=0.5, intercept=-300)
    image = read_image(tmp_path / "s")
    assert image.GetPixelID() == sitk.sitkFloat32
    np.testing.assert_allclose(to_array(image), stored_values() * 0.5 - 300)


def test_series_slope_of_its_own_per_slice(tmp_path):
    """Each slice is rescaled by its own slope, even where the first one's is whole."""
    write_series(tmp_path / "s", stored_values(), slope=[1.0, 1.5, 0.25, 1.0])
    expected = stored_values() * np.array([1.0, 1.5, 0.25, 1.0])[:, None, None] - 1024
    np.testing.assert_allclose(to_array(read_image(tmp_path / "s")), expected)


def test_series_signed_padding(tmp_path):
    """Negative stored values (padding of -2000 outside the field of view) survive."""
    stored = stored_values().astype(np.int16)
    stored[:, 0, 0] = -2000
    write_series(tmp_path / "s", stored.view(np.uint16), PixelRepresentation=1, intercept=-1000)
    np.testing.assert_array_equal(to_array(read_image(tmp_path / "s")), stored.astype(int) - 1000)


def test_series_beside_other_files(tmp_path):
    """A DICOMDIR, a hidden file and a text file beside the slices are passed over."""
    write_series(tmp_path / "s", stored_values())
    for name in ("DICOMDIR", ".DS_Store", "export.txt"):
        (tmp_path / "s" / name).write_bytes(b"something else")
    assert read_image(tmp_path / "s").GetSize() == (6, 5, 4)


def test_series_wrong_modality(tmp_path):
    """An MR series is refused by its modality."""
    write_series(tmp_path / "s", stored_values(), modality="MR")
    with refused(ImageError, "P0003, venous", "must be CT", "4 of modality MR"):
        read_image(tmp_path / "s", "P0003, venous")


def test_series_mixed(tmp_path):
    """Two series in a folder are listed with number, description and slices, and no identifier."""
    write_series(tmp_path / "s", stored_values(), series=3, description="arterial")
    write_series(tmp_path / "s", stored_values((2, 5, 6)), series=5, description="delayed")
    with refused(ImageError, r"3 \('arterial'\): 4 slices; 5 \('delayed'\): 2 slices") as caught:
        read_image(tmp_path / "s")
    assert "someone" not in str(caught.value) and UID not in str(caught.value)


def test_series_mixed_patients(tmp_path):
    """Two patients in a folder are counted, not named."""
    write_series(tmp_path / "s", stored_values(), series=1, patient="Ann")
    write_series(tmp_path / "s", stored_values(), series=2, patient="Bob")
    with refused(ImageError, "one patient", "2 patients") as caught:
        read_image(tmp_path / "s")
    assert "Ann" not in str(caught.value)


def test_series_missing_slice(tmp_path):
    """Taking out the third of five slices leaves a gap of two distances, and the message says where."""
    files = write_series(tmp_path / "s", stored_values((5, 5, 6)))
    files[2].unlink()
    with refused(ImageError, "evenly spaced", r"5 mm after the slice at 102\.5 mm", "missing"):
        read_image(tmp_path / "s")


def test_series_repeated_position(tmp_path):
    """Two phases that share a series take every position twice."""
    write_series(tmp_path / "s", stored_values(), series=1)
    for file in write_series(tmp_path / "second", stored_values()[::-1], series=1):
        file.rename(tmp_path / "s" / (file.name + "b"))
    with refused(ImageError, "4 slices at a position already taken", "phases"):
        read_image(tmp_path / "s")


def test_series_localizer(tmp_path):
    """A scout is refused as such."""
    write_series(tmp_path / "s", stored_values(), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    with refused(ImageError, "localizers"):
        read_image(tmp_path / "s")


def test_series_unreadable_slice(tmp_path):
    """A slice of zeros is named by its file."""
    files = write_series(tmp_path / "s", stored_values())
    files[1].write_bytes(b"\x00" * 500)
    with refused(ImageError, "readable DICOM", files[1].name):
        read_image(tmp_path / "s")


def test_series_truncated_slice(tmp_path):
    """A slice whose pixel data break off half-way is refused."""
    files = write_series(tmp_path / "s", stored_values())
    content = files[1].read_bytes()
    files[1].write_bytes(content[:-30])
    with refused(ImageError, f"slice {files[1].name!r}", "60 bytes", "30 bytes"):
        read_image(tmp_path / "s")


def test_series_single_slice(tmp_path):
    """One slice is no volume."""
    write_series(tmp_path / "s", stored_values()[-1:])
    with refused(ImageError, "two slices"):
        read_image(tmp_path / "s")


def test_series_sizes_differ(tmp_path):
    """Slices of two matrix sizes are counted."""
    files = write_series(tmp_path / "s", stored_values())
    odd = pydicom.dcmread(files[0])
    odd.Rows, odd.PixelData = 4, odd.PixelData[: 4 * 6 * 2]
    odd.save_as(files[0])
    with refused(ImageError, "one size", "1 of 4 x 6, 3 of 5 x 6"):
        read_image(tmp_path / "s")


def test_folder_without_slices(tmp_path):
    """A folder of folders is refused with the hint."""
    (tmp_path / "s" / "series1").mkdir(parents=True)
    with refused(ImageError, "1 folders", "Name the folder"):
        read_image(tmp_path / "s")


# --- NIfTI -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_nifti_round_trip(tmp_path, ending):
    """Values, type and an oblique, flipped geometry survive writing and reading."""
    image = ct()
    image.SetDirection(np.stack([OBLIQUE[:3], OBLIQUE[3:], -np.array(OBLIQUE_NORMAL)]).T.ravel().tolist())
    write_image(image, tmp_path / f"a{ending}")
    back = read_image(tmp_path / f"a{ending}")
    np.testing.assert_array_equal(to_array(back), to_array(image))
    assert back.GetPixelID() == sitk.sitkInt16
    assert same_grid(back, image, tolerance=1e-3)


def test_nifti_flipped_file_is_the_same_anatomy(tmp_path):
    """A volume stored right to left has its values in the same place in space."""
    image = ct()
    write_image(sitk.Flip(image, (True, False, False)), tmp_path / "flipped.nii.gz")
    flipped = read_image(tmp_path / "flipped.nii.gz")
    point = image.TransformIndexToPhysicalPoint((1, 2, 3))
    assert flipped[flipped.TransformPhysicalPointToIndex(point)] == image[1, 2, 3]
    assert not same_grid(flipped, image)


def test_nifti_is_byte_identical(tmp_path):
    """Writing the same image twice gives the same bytes."""
    for name in ("a.nii.gz", "b.nii.gz"):
        write_image(ct(), tmp_path / name)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_nifti_missing(tmp_path):
    """A missing file is named without its folder."""
    with refused(ImageError, "must exist", "gone.nii.gz") as caught:
        read_image(tmp_path / "gone.nii.gz")
    assert str(tmp_path) not in str(caught.value)


def test_nifti_not_an_image(tmp_path):
    """Text named .nii.gz and a broken gzip stream are both refused."""
    (tmp_path / "text.nii.gz").write_text("patient_id,age\n")
    with refused(ImageError, "readable"):
        read_image(tmp_path / "text.nii.gz")
    write_image(ct((20, 30, 40)), tmp_path / "whole.nii.gz")
    content = (tmp_path / "whole.nii.gz").read_bytes()
    (tmp_path / "half.nii.gz").write_bytes(content[: len(content) // 2])
    with refused(ImageError, "readable") as caught:
        read_image(tmp_path / "half.nii.gz")
    assert str(tmp_path) not in str(caught.value)


def test_nifti_other_ending(tmp_path):
    """Another format is refused by its ending."""
    (tmp_path / "a.png").write_bytes(b"x")
    with refused(ImageError, "NIfTI", r"\.png"):
        read_image(tmp_path / "a.png")
    with refused(ImageError, "NIfTI"):
        write_image(ct(), tmp_path / "a.mha")


# --- masks -----------------------------------------------------------------------------------------------------------


def ball(image: sitk.Image) -> sitk.Image:
    """Mask of the 2 x 2 x 2 voxels from (z, y, x) = (1, 1, 1)."""
    array = np.zeros(image.GetSize()[::-1], np.uint8)
    array[1:3, 1:3, 1:3] = 1
    return from_array(array, image)


def test_mask_takes_the_grid_of_its_image(tmp_path):
    """A float mask a hundredth of a mm off comes back as uint8 with exactly the image's geometry."""
    image = ct()
    mask = sitk.Cast(ball(image), sitk.sitkFloat32)
    mask.SetOrigin((-10.01, 20.0, 30.0))
    write_image(mask, tmp_path / "m.nii.gz")
    read = read_mask(tmp_path / "m.nii.gz", image)
    assert read.GetPixelID() == sitk.sitkUInt8
    assert read.GetOrigin() == image.GetOrigin()
    np.testing.assert_array_equal(to_array(read), to_array(ball(image)))


# --- arrays and volumes ----------------------------------------------------------------------------------------------


def test_arrays_are_zyx():
    """Voxel (x, y, z) = (5, 2, 1) of the image is element [1, 2, 5] of the array, and back."""
    image = ct()
    assert to_array(image)[1, 2, 5] == image[5, 2, 1]
    back = from_array(to_array(image), image)
    assert same_grid(back, image, tolerance=0) and back[5, 2, 1] == image[5, 2, 1]


def test_array_of_another_shape():
    """An array in (x, y, z) order is refused."""
    with refused(ImageError, r"\(4, 5, 6\)", r"\(6, 5, 4\)"):
        from_array(np.zeros((6, 5, 4)), ct())


def test_volume_by_hand():
    """8 voxels of 2 x 3 x 5 mm are 240 mm^3, or 0.24 mL; half of them under another label are 0.12 mL."""
    mask = ball(ct())
    assert volume_ml(mask) == pytest.approx(0.24)
    labels = to_array(mask)
    labels[2] *= 2
    assert volume_ml(from_array(labels, mask), label=2) == pytest.approx(0.12)


def test_volumes_of_an_abdominal_ct(abdominal_ct):
    """Voxels counted before times 27 mm^3."""
    image = read_image(abdominal_ct.folder / "ct.nii.gz")
    for organ in ("liver", "spleen"):
        mask = read_mask(abdominal_ct.folder / f"{organ}.nii.gz", image)
        assert volume_ml(mask) == pytest.approx(getattr(abdominal_ct, organ) * 27 / 1000)
