"""CT series in DICOM as archives and tools leave them: read as they were meant, with a remark, or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage, ExplicitVRBigEndian, JPEGLSLossless, RLELossless
from test_images import refused, stored_values, write_series
from test_mask_files import LIVER, mask, write_seg, write_structures
from test_nifti_reading import nifti

from hccbook.errors import ImageError, reason
from hccbook.images import read_image, read_mask, to_array, write_image
from hccbook.images.dicom_headers import numbers, slice_name
from hccbook.images.remarks import ReadingWarning, collected

HU = stored_values() - 1024
"""What the series of `write_series` holds."""


def read(path: Path, place: str = "P0003, venous") -> tuple[sitk.Image, str]:
    """Image and, in one text, all that was remarked on the way."""
    with collected() as remarks:
        image = read_image(path, place)
    return image, "\n".join(map(str, remarks))


def edited(files: list[Path], edit: Callable[[Dataset, int], object]) -> None:
    """Change the data sets of files, given with their number."""
    for number, file in enumerate(files):
        dataset = pydicom.dcmread(file)
        edit(dataset, number)
        dataset.save_as(file, enforce_file_format=True)


def in_bytes(files: list[Path], old: bytes, new: bytes) -> None:
    """Change what files hold, in place, as no library would write it."""
    assert len(old) == len(new)
    for file in files:
        content = file.read_bytes()
        assert old in content
        file.write_bytes(content.replace(old, new))


def test_a_series_as_it_should_be_has_no_remark(tmp_path):
    """The plain series of the other tests."""
    write_series(tmp_path / "s", stored_values())
    image, said = read(tmp_path / "s")
    np.testing.assert_array_equal(to_array(image), HU)
    assert said == ""


def test_without_a_collector_a_remark_is_a_warning(tmp_path):
    """Nothing is repaired without a word, in a user's own program neither."""
    write_series(tmp_path / "s", stored_values(), PhotometricInterpretation="MONOCHROME1")
    with pytest.warns(ReadingWarning, match="s: MONOCHROME1.*in 4 of 4 slices"):
        read_image(tmp_path / "s")


# --- pixels ----------------------------------------------------------------------------------------------------------


def test_pixels_cut_off_and_saved_again(tmp_path):
    """A slice that broke off and whose declared length a tool corrected is refused by its name: 60 bytes for 5 x 6."""
    files = write_series(tmp_path / "s", stored_values())
    edited(files[2:3], lambda d, n: setattr(d, "PixelData", d.PixelData[:-30]))
    with refused(ImageError, f"P0003, venous, slice {files[2].name!r}", "60 bytes", "30 bytes", "broken download"):
        read(tmp_path / "s")


def test_pixels_too_long(tmp_path):
    """More pixels than rows and columns hold: the header does not fit; empty bytes behind them are left out."""
    files = write_series(tmp_path / "s", stored_values())
    edited(files, lambda d, n: setattr(d, "PixelData", d.PixelData + bytes(12)))
    image, said = read(tmp_path / "s")
    np.testing.assert_array_equal(to_array(image), HU)
    assert "12 empty bytes behind the pixels in 4 of 4 slices; left out" in said
    edited(files, lambda d, n: setattr(d, "PixelData", d.PixelData[:-12] + b"\1" * 12))
    with refused(ImageError, "72 bytes", "60 bytes", "rows, columns or bits"):
        read(tmp_path / "s")


@pytest.mark.parametrize("signed", [0, 1])
def test_monochrome1_is_not_inverted(tmp_path, signed):
    """How a pixel is shown says nothing of what it is: HU stay slope x stored + intercept (DICOM PS3.3, C.11.1.1.2).

    GDCM inverts them: https://github.com/SimpleITK/SimpleITK/issues/1795.
    """
    stored = stored_values() - 1000 * signed
    changes = {"PixelRepresentation": signed, "PhotometricInterpretation": "MONOCHROME1"}
    write_series(tmp_path / "s", stored.astype(np.int16).view(np.uint16), intercept=-24 if signed else -1024, **changes)
    image, said = read(tmp_path / "s")
    np.testing.assert_array_equal(to_array(image), HU)
    assert "not inverted" in said


@pytest.mark.parametrize(
    ("cell", "bits", "high", "signed", "value"),
    [
        (0x0C18, 12, 11, 1, -1000),  # 4096 - 1000 = 3096 = 0xC18, unused bits empty
        (0xFC18, 12, 11, 1, -1000),  # the same, unused bits repeating the sign
        (0x0C18, 12, 11, 0, 3096),
        (0xC180, 12, 15, 1, -1000),  # stored in the upper bits
        (0xFC18, 16, 15, 1, -1000),
    ],
)
def test_bits_of_a_pixel(tmp_path, cell, bits, high, signed, value):
    """Stored values by hand from the bits that the header names."""
    # Under 0 or 16 empty bits above, and shifted for the upper ones, the other voxels are 1,040 to 1,099.
    stored = (np.arange(120).reshape(4, 5, 6) % 60 + 1040) << (high + 1 - bits)
    stored[0, 0, 0] = cell
    changes = {"BitsStored": bits, "HighBit": high, "PixelRepresentation": signed}
    write_series(tmp_path / "s", stored, intercept=-1030 if value > 0 else 0, **changes, slope=0.25)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hccbook.images.ct._checked_hu", lambda image, place: image)
        array = to_array(read(tmp_path / "s")[0])
    assert array[0, 0, 0] == value * 0.25 + (-1030 if value > 0 else 0)
    assert array[0, 0, 1] == 1041 * 0.25 + (-1030 if value > 0 else 0)


def test_rescale_type_unspecified(tmp_path):
    """US, which some converters write, is taken for HU, and said."""
    write_series(tmp_path / "s", stored_values(), RescaleType="US")
    image, said = read(tmp_path / "s")
    np.testing.assert_array_equal(to_array(image), HU)
    assert "US (unspecified)" in said


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless], ids=["RLE", "JPEG-LS"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_compressed(tmp_path, syntax, photometric):
    """Compressed pixels come back as they were, whatever the header says of how to show them."""
    files = write_series(tmp_path / "s", stored_values(), PhotometricInterpretation=photometric)
    edited(files, lambda d, n: d.compress(syntax, generate_instance_uid=False))
    assert pydicom.dcmread(files[0]).file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(to_array(read(tmp_path / "s")[0]), HU)


@pytest.mark.parametrize(
    ("compressor", "syntax"), [("JPEG", "1.2.840.10008.1.2.4.70"), ("JPEG2000", "1.2.840.10008.1.2.4.90")]
)
def test_compressed_as_jpeg(tmp_path, compressor, syntax):
    """Frames that ITK compressed without loss, under a header that shows them inverted."""
    stored = stored_values((2, 64, 64))
    files = write_series(tmp_path / "s", stored, PhotometricInterpretation="MONOCHROME1")
    for file, plane in zip(files, stored, strict=True):
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(tmp_path / "frame.dcm"))
        writer.SetUseCompression(True)
        writer.SetCompressor(compressor)
        writer.Execute(sitk.GetImageFromArray(plane.astype(np.uint16)[None]))
        frame, dataset = pydicom.dcmread(tmp_path / "frame.dcm"), pydicom.dcmread(file)
        dataset.file_meta.TransferSyntaxUID = frame.file_meta.TransferSyntaxUID
        dataset.PixelData = frame.PixelData
        dataset["PixelData"].is_undefined_length = True
        dataset.save_as(file, enforce_file_format=True)
    assert dataset.file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(to_array(read(tmp_path / "s")[0]), stored - 1024)


def test_compressed_and_cut_off(tmp_path):
    """A compressed slice that lacks its end is refused by its name."""
    files = write_series(tmp_path / "s", stored_values())
    edited(files, lambda d, n: d.compress(JPEGLSLossless, generate_instance_uid=False))
    edited(files[:1], lambda d, n: setattr(d, "PixelData", d.PixelData.replace(b"\xff\xd9", b"\0\0")))
    with refused(ImageError, f"slice {files[0].name!r}", "JPEG-LS"):
        read(tmp_path / "s")


def test_loss_is_said(tmp_path):
    """Texture follows lossy compression, also of pixels that were unpacked since."""
    write_series(tmp_path / "s", stored_values(), LossyImageCompression="01")
    assert "compressed with loss in 4 of 4 slices" in read(tmp_path / "s")[1]


def test_big_endian(tmp_path):
    """The bytes of every value the other way round."""
    files = write_series(tmp_path / "s", stored_values())

    for file in files:
        read_back, dataset = pydicom.dcmread(file), Dataset()
        dataset.update(read_back)
        dataset.file_meta = read_back.file_meta
        dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        dataset.PixelData = np.frombuffer(read_back.PixelData, "<u2").astype(">u2").tobytes()
        dataset.save_as(file, implicit_vr=False, little_endian=False, enforce_file_format=True)
    np.testing.assert_array_equal(to_array(read(tmp_path / "s")[0]), HU)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda hu: hu - 1024, ("soft tissue", "subtracted twice")),
        (lambda hu: np.where(np.arange(20) == 0, -2000, hu + 1024), ("dense as bone", "never added")),
    ],
    ids=["twice", "never"],
)
def test_rescaled_twice_or_never(tmp_path, change, words):
    """An abdomen of 40 HU, with bone in it, fat around it and air around that, is refused once its intercept is wrong.

    Twice makes -984 HU of the organs; never makes 1,064, and the padding of -2,000 keeps values below 0.
    """
    hu = np.full((8, 20, 20), -1000)
    hu[:, 4:-4, 4:-4] = -100
    hu[:, 6:-6, 6:-6] = 40
    hu[:, 9:11, 9:11] = 1500  # bone
    for name, values, intercept in (("right", hu, 0), ("wrong", change(hu), 0)):
        stored = values.astype(np.int16).view(np.uint16)
        write_series(tmp_path / name, stored, intercept=intercept, PixelRepresentation=1)
    np.testing.assert_array_equal(to_array(read(tmp_path / "right")[0]), hu)
    with refused(ImageError, *words):
        read(tmp_path / "wrong")


# --- values of headers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "keyword"),
    [
        (rb"0.7\0.8", rb"0,7\0,8", "PixelSpacing"),
        (rb"-50.0\-40.0", rb"-50,0\-40,0", "ImagePositionPatient"),
        (b"-1024.0", b"-1024,0", "RescaleIntercept"),
    ],
)
def test_decimal_commas(tmp_path, old, new, keyword):
    """A comma is read as a point, with the value that the tag was meant to hold."""
    files = write_series(tmp_path / "s", stored_values())
    in_bytes(files, old, new)
    image, said = read(tmp_path / "s")
    np.testing.assert_array_equal(to_array(image), HU)
    np.testing.assert_allclose(image.GetSpacing(), (0.8, 0.7, 2.5))
    np.testing.assert_allclose(image.GetOrigin(), (-50, -40, 100))
    assert f"P0003, venous: decimal commas in {keyword} in 4 of 4 slices; read as decimal points." in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"PixelSpacing": [0.7, 0.8, 0.7, 0.8]}, "PixelSpacing holds its value 2 times in 4 of 4 slices"),
        ({"RescaleIntercept": [-1024, -1024]}, "RescaleIntercept holds its value 2 times in 4 of 4 slices"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 1, 0] * 3}, "ImageOrientationPatient holds its value 3 times"),
        ({"Rows": [5, 5]}, ""),
    ],
    ids=["spacing", "intercept", "orientation", "rows"],
)
def test_repeated_values(tmp_path, changes, words):
    """A value that is written several times over is that value."""
    write_series(tmp_path / "s", stored_values(), **changes)
    image, said = read(tmp_path / "s")
    np.testing.assert_array_equal(to_array(image), HU)
    np.testing.assert_allclose(image.GetSpacing(), (0.8, 0.7, 2.5))
    assert words in said


def test_number_of_a_tag_that_is_absent():
    """Absent and empty are no number, which is not an error of the number."""
    assert numbers(Dataset(), "PixelSpacing", 2, "slice") == ()


def test_slices_that_differ_in_late_digits(tmp_path):
    """Pixel spacings that look alike at three digits are printed to those that differ, with the odd slice."""
    files = write_series(tmp_path / "s", stored_values(), spacing=(0.7031, 0.7031, 2.5))
    edited(files[2:3], lambda d, n: setattr(d, "PixelSpacing", [0.7031, 0.7034]))
    with refused(ImageError, "one pixel spacing", "0.7031 and 0.7034", "1 of 4 slices", files[2].name):
        read(tmp_path / "s")


def test_names_of_files_that_name_the_patient(tmp_path):
    """A slice is named by its file, unless that is the patient's name."""
    header = Dataset()
    header.PatientName, header.PatientID, header.InstanceNumber = "Doe^Jane", "4711", 12
    assert slice_name(Path("IM0012.dcm"), header) == "'IM0012.dcm'"
    assert slice_name(Path("doe_jane_12.dcm"), header) == "the slice with instance number 12"
    assert slice_name(Path("4711-12.dcm"), header) == "the slice with instance number 12"


def test_reasons_of_libraries_are_cleaned():
    """No address, no path, no representation of an object."""
    text = "itk::ERROR: GDCMImageIO(0x5581d0): Could not read header of /data/jane/x.dcm at <object at 0x7f01>"
    assert reason(RuntimeError(f"/build/src/a.cxx:12:\n{text}")) == "Could not read header of at"
    assert reason(KeyError()) == "KeyError"


@pytest.mark.parametrize("keep_meta", [True, False])
def test_no_preamble(tmp_path, keep_meta):
    """The first 132 bytes are absent, or all of the file's own header, as older archives write it."""
    for file in write_series(tmp_path / "s", stored_values()):
        if keep_meta:
            file.write_bytes(file.read_bytes()[132:])
        else:
            dataset = pydicom.dcmread(file)
            del dataset.file_meta
            dataset.preamble = None
            dataset.save_as(file, implicit_vr=True, little_endian=True)
            assert file.read_bytes()[:2] == b"\x08\x00"
    image, said = read(tmp_path / "s")
    np.testing.assert_array_equal(to_array(image), HU)
    assert "no DICOM preamble in 4 of 4 slices" in said


def test_spacing_tag_against_positions(tmp_path):
    """Slices lie where their positions say, 2.5 mm apart, and not every 5 mm as a tag has it."""
    write_series(tmp_path / "s", stored_values(), SpacingBetweenSlices=5.0, SliceThickness=5.0)
    image, said = read(tmp_path / "s")
    assert image.GetSpacing()[2] == pytest.approx(2.5)
    assert "slice distance of 5 mm in 4 of 4 slices; slices put where their positions say, 2.5 mm apart" in said


# --- which slices ----------------------------------------------------------------------------------------------------


def test_copies_of_files(tmp_path):
    """A slice that was copied twice under another name is one slice."""
    files = write_series(tmp_path / "s", stored_values())
    (tmp_path / "s" / "IM (copy)").write_bytes(files[1].read_bytes())
    image, said = read(tmp_path / "s")
    np.testing.assert_array_equal(to_array(image), HU)
    assert "1 files that are copies of others" in said


def test_localizer_beside_the_slices(tmp_path):
    """A scout in the folder of a series, of a series of its own, is no slice of it."""
    write_series(tmp_path / "s", stored_values())
    scout = write_series(tmp_path / "t", stored_values()[:1], series=2, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    scout[0].rename(tmp_path / "s" / "scout")
    image, said = read(tmp_path / "s")
    np.testing.assert_array_equal(to_array(image), HU)
    assert "1 of 5 images are localizers (scouts); left out" in said


def test_links_to_slices(tmp_path):
    """A folder of links, as a manifest of one volume out of many files names it."""
    (tmp_path / "links").mkdir()
    for number, file in enumerate(write_series(tmp_path / "s", stored_values())):
        (tmp_path / "links" / f"{number:04d}.dcm").symlink_to(file)
    np.testing.assert_array_equal(to_array(read(tmp_path / "links")[0]), HU)


# --- enhanced CT -----------------------------------------------------------------------------------------------------


def enhanced(file: Path, stored: np.ndarray, **shared: object) -> Path:
    """Write stored values (z, y, x) as one enhanced CT object, its frames from the last slice to the first."""
    item = Dataset()
    item.PixelMeasuresSequence, item.PlaneOrientationSequence = [Dataset()], [Dataset()]
    item.PixelValueTransformationSequence = [Dataset()]
    item.PixelMeasuresSequence[0].PixelSpacing = [0.7, 0.8]
    item.PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    transformation = item.PixelValueTransformationSequence[0]
    transformation.RescaleSlope, transformation.RescaleIntercept, transformation.RescaleType = 1, -1024, "HU"
    first = write_series(file.parent / "parts", stored[:1])[0]
    dataset = pydicom.dcmread(first)
    first.unlink()
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "RescaleSlope",
        "RescaleIntercept",
    ):
        del dataset[keyword]
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    dataset.SharedFunctionalGroupsSequence = [item]
    dataset.PerFrameFunctionalGroupsSequence = []
    for level in reversed(range(len(stored))):
        frame = Dataset()
        frame.PlanePositionSequence = [Dataset()]
        frame.PlanePositionSequence[0].ImagePositionPatient = [-50, -40, 100 + 2.5 * level]
        dataset.PerFrameFunctionalGroupsSequence.append(frame)
    dataset.NumberOfFrames = len(stored)
    dataset.PixelData = stored[::-1].astype("<u2").tobytes()
    for keyword, value in shared.items():
        setattr(dataset, keyword, value)
    dataset.save_as(file, enforce_file_format=True)
    return file


@pytest.mark.parametrize("in_folder", [True, False])
def test_enhanced_ct(tmp_path, in_folder):
    """Frames of one file, in falling order, are put where their own positions say; by the file or by its folder."""
    (tmp_path / "e").mkdir()
    file = enhanced(tmp_path / "e" / "ct.dcm", stored_values())
    image, _ = read(file.parent if in_folder else file)
    np.testing.assert_array_equal(to_array(image), HU)
    np.testing.assert_allclose(image.GetSpacing(), (0.8, 0.7, 2.5))
    np.testing.assert_allclose(image.GetOrigin(), (-50, -40, 100))


def test_enhanced_ct_compressed(tmp_path):
    """Frames of a compressed file."""
    file = enhanced(tmp_path / "ct.dcm", stored_values())
    edited([file], lambda d, n: d.compress(RLELossless, generate_instance_uid=False))
    np.testing.assert_array_equal(to_array(read(file)[0]), HU)


def test_enhanced_ct_of_two_times(tmp_path):
    """Two time points in one object are two volumes, which it does not say how to tell apart here."""
    file = enhanced(tmp_path / "ct.dcm", stored_values())

    def twice(dataset: Dataset, number: int) -> None:
        dataset.PerFrameFunctionalGroupsSequence = [*dataset.PerFrameFunctionalGroupsSequence] * 2
        dataset.NumberOfFrames, dataset.PixelData = 8, dataset.PixelData * 2

    edited([file], twice)
    with refused(ImageError, "4 slices at a position already taken"):
        read(file)


def test_enhanced_ct_without_a_place(tmp_path):
    """The frame that has no position is named."""
    file = enhanced(tmp_path / "ct.dcm", stored_values())

    def without(dataset: Dataset, number: int) -> None:
        del dataset.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence

    edited([file], without)
    with refused(ImageError, "carry its position", "1 of 4 slices without, the first 'ct.dcm', frame 3"):
        read(file)


def test_a_file_that_is_no_image(tmp_path):
    """A text file in place of an image."""
    (tmp_path / "ct.txt").write_text("venous", encoding="utf-8")
    with refused(ImageError, "NIfTI", "DICOM"):
        read(tmp_path / "ct.txt")


# --- gantry tilt and uneven steps ------------------------------------------------------------------------------------


def test_gantry_tilt_of_whole_pixels(tmp_path):
    """Each slice lies one pixel (0.7 mm) further down the columns: it is moved there, and nothing is interpolated.

    The volume grows from 5 to 8 rows; what no slice covers is air.
    """
    write_series(tmp_path / "s", stored_values(), step=(0.0, 0.7, 2.5))
    image, said = read(tmp_path / "s")
    expected = np.full((4, 8, 6), -1024)
    for level in range(4):
        expected[level, level : level + 5] = HU[level]
    np.testing.assert_array_equal(to_array(image), expected)
    np.testing.assert_allclose(image.GetSpacing(), (0.8, 0.7, 2.5))
    np.testing.assert_allclose(image.GetOrigin(), (-50, -40, 100))
    # arctan(0.7 / 2.5) is 15.6 degrees, and 3 steps of 0.7 mm are 2.1 mm.
    assert "tilted by 15.6 degrees" in said and "by up to 2.1 mm; 0 of 4 slices interpolated" in said


def test_gantry_tilt_of_half_pixels(tmp_path):
    """Half a pixel the other way: the mean of two neighbours in every other slice, and two rows more at the start."""
    write_series(tmp_path / "s", stored_values(), step=(0.0, -0.35, 2.5))
    image, _ = read(tmp_path / "s")
    array = to_array(image)
    assert array.shape == (4, 7, 6)
    # The first rows of the slices lie at 0, -0.35, -0.7 and -1.05 mm; the grid begins two pixels up, at -1.4 mm.
    np.testing.assert_allclose(image.GetOrigin(), (-50, -41.4, 100))
    np.testing.assert_array_equal(array[0, 2:], HU[0])
    np.testing.assert_array_equal(array[2, 1:6], HU[2])
    np.testing.assert_allclose(array[1, 2:6], (HU[1, :4] + HU[1, 1:]) / 2, atol=0.5)


@pytest.mark.parametrize("drift", [0.7, 0.98], ids=["whole pixels", "with fractions"])
def test_masks_of_a_tilted_series(tmp_path, drift):
    """SEG, RTSTRUCT and NIfTI that were drawn on tilted slices lie on the same voxels after they are straightened."""
    needed = ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber")
    blank = dict.fromkeys((*needed, "ReferringPhysicianName", "StudyID"), "")
    files = write_series(tmp_path / "s", stored_values(), step=(0.0, drift, 2.5), patient="some^one", **blank)
    image, _ = read(tmp_path / "s")
    drawn = np.zeros((4, 5, 6), np.uint8)
    drawn[1:3, 1:4, 2:5] = 1
    slices = [pydicom.dcmread(file) for file in files]
    seg = write_seg(tmp_path / "seg.dcm", slices, drawn[..., None], labels=("Liver",), types=(LIVER,))
    corners = [(2, 1), (4, 1), (4, 3), (2, 3)]
    contours = [
        np.array([(-50 + 0.8 * x, -40 + drift * level + 0.7 * y, 100 + 2.5 * level) for x, y in corners])
        for level in (1, 2)
    ]
    structures = write_structures(tmp_path / "rt.dcm", {"liver": contours})
    affine = np.array([[-0.8, 0, 0, 50], [0, -0.7, -drift, 40], [0, 0, 2.5, 100]])  # NIfTI's axes: right, front, up
    edges = tuple(np.linalg.norm(affine[:, :3], axis=0))
    nifti(tmp_path / "mask.nii", drawn, sform=affine, edges=edges, kind="<u1")
    expected = np.zeros(image.GetSize()[::-1], np.uint8)
    for level in (1, 2):
        first = 1 + int(np.rint(drift / 0.7 * level))
        expected[level, first : first + 3, 2:5] = 1
    for file in (seg, structures, tmp_path / "mask.nii"):
        np.testing.assert_array_equal(to_array(read_mask(file, image, organ="liver")), expected, err_msg=file.name)


def test_missing_slice_is_interpolated(tmp_path):
    """Of 21 slices the eleventh is gone: the mean of its neighbours is put there, and said."""
    stored = stored_values((21, 5, 6))
    write_series(tmp_path / "s", stored)[10].unlink()
    image, said = read(tmp_path / "s")
    array = to_array(image)
    assert image.GetSize()[2] == 21 and image.GetSpacing()[2] == pytest.approx(2.5)
    others = [level for level in range(21) if level != 10]
    np.testing.assert_array_equal(array[others], stored[others] - 1024)
    np.testing.assert_allclose(array[10], (stored[9] + stored[11]) / 2 - 1024, atol=0.5)
    assert "slices 2.5 to 5 mm apart; put on even steps: 1 of 21 slices interpolated between two" in said


def test_contours_of_a_series_without_a_slice(tmp_path):
    """A structure drawn on slices 9 and 11, between which one is gone, marks the nearer one's voxels there."""
    write_series(tmp_path / "s", stored_values((21, 5, 6)))[10].unlink()
    image, _ = read(tmp_path / "s")
    contours = [mask(image, level, (1, 1), (3, 1), (3, 3), (1, 3)) for level in (9, 11)]
    file = write_structures(tmp_path / "rt.dcm", {"liver": contours})
    marked = to_array(read_mask(file, image, organ="liver"))
    assert marked[9:12].sum() == 27 and marked.sum() == 27


@pytest.mark.parametrize(
    ("heights", "words"),
    [
        ([0, 2.5, 7.5, 10, 15, 17.5, 20], ("2 of 9 slices would be interpolated", "2.5 mm")),
        ([*np.arange(0, 100, 2.5), 112.5], ("gap of 15 mm after the slice at 97.5 mm", "no gap above 10 mm")),
        ([*np.arange(0, 50, 2.5), *np.arange(1.0, 50, 2.5)], ("would be interpolated", "two series")),
    ],
    ids=["too many", "too wide", "two volumes, one between the other"],
)
def test_uneven_steps_refused(tmp_path, heights, words):
    """Beyond the bound nothing is made up."""
    for number, (file, height) in enumerate(
        zip(write_series(tmp_path / "s", stored_values((len(heights), 5, 6))), heights, strict=True)
    ):
        edited([file], lambda d, n, z=height: setattr(d, "ImagePositionPatient", [-50, -40, z]))
        assert number >= 0
    with refused(ImageError, "evenly spaced", *words):
        read(tmp_path / "s")


def test_rounded_positions_are_even(tmp_path):
    """Slices every 0.625 mm whose positions are written to tenths are evenly spaced, and need no repair.

    Steps of 0.6 and 0.7 mm take each other's turn, and no slice is more than 0.05 mm from its place.
    """
    files = write_series(tmp_path / "s", stored_values((9, 5, 6)), spacing=(0.8, 0.7, 0.625))
    edited(files, lambda d, n: setattr(d, "ImagePositionPatient", [-50, -40, round(0.625 * n + 1e-9, 1)]))
    image, said = read(tmp_path / "s")
    assert image.GetSize()[2] == 9 and image.GetSpacing()[2] == pytest.approx(0.625)
    assert said == ""


def test_write_image_keeps_what_is_read(tmp_path):
    """A straightened volume is an ordinary one from then on."""
    write_series(tmp_path / "s", stored_values(), step=(0.0, 0.7, 2.5))
    image, _ = read(tmp_path / "s")
    write_image(image, tmp_path / "a.nii.gz")
    back, said = read(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(to_array(back), to_array(image))
    assert said == ""
