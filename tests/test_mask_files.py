"""Masks from every usual file: labels in NIfTI, DICOM SEG and RTSTRUCT, folders; and where their voxels lie."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from highdicom.seg import Segmentation, SegmentDescription
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage
from test_images import OBLIQUE, OBLIQUE_NORMAL, UID, ct, refused, stored_values, write_series
from test_images import ball as block
from typer.testing import CliRunner

from hccbook import cli
from hccbook.cohort import check_manifest
from hccbook.errors import MaskError
from hccbook.images import (
    from_array,
    mask_file,
    read_image,
    read_label_map,
    read_mask,
    same_grid,
    split_mask_path,
    to_array,
    volume_ml,
    write_image,
)
from hccbook.images.patients import preprocess_patient
from hccbook.images.remarks import collected
from hccbook.run import Case, RunPaths
from hccbook.segmentation.network import network_grid
from hccbook.settings import PreprocessingSettings
from hccbook.store import NotStoredError, reading_only

SHAPE = (4, 5, 6)
L_SHAPE = ((1, 1, 1), (1, 1, 2), (1, 1, 3), (1, 2, 1), (2, 1, 1))
"""Voxels (z, y, x) of an object that no flip and no change of axes leaves as it is."""
L_CENTRE = (1.6, 1.2, 1.2)
"""Mean index (x, y, z) of its voxels, by hand."""
LIVER, SPLEEN = Code("10200004", "SCT", "Liver"), Code("78961009", "SCT", "Spleen")
OLD_LIVER, OLD_SPLEEN = Code("T-62000", "SRT", "Liver"), Code("T-C3000", "SRT", "Spleen")
TISSUE = Code("85756007", "SCT", "Tissue")
GEOMETRIES = {
    "axial": (1.0, 0, 0, 0, 1.0, 0),
    "feet-first": (1.0, 0, 0, 0, -1.0, 0),
    "sagittal": (0, 1.0, 0, 0, 0, -1.0),
    "oblique": OBLIQUE,
}


def l_shape(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """The asymmetric object as uint8 array (z, y, x)."""
    array = np.zeros(shape, np.uint8)
    array[tuple(np.transpose(L_SHAPE))] = 1
    return array


def two_organs() -> np.ndarray:
    """The object, and a second one of 2 voxels, along a last axis."""
    second = np.zeros(SHAPE, np.uint8)
    second[2, 3, 4:6] = 1
    return np.stack([l_shape(), second], axis=-1)


def tilted(image: sitk.Image) -> sitk.Image:
    """The image with oblique axes, the third one flipped."""
    image.SetDirection(np.stack([OBLIQUE[:3], OBLIQUE[3:], -np.array(OBLIQUE_NORMAL)]).T.ravel().tolist())
    return image


def centre(mask: sitk.Image) -> np.ndarray:
    """Mean point (mm) of the marked voxels."""
    indices = np.argwhere(sitk.GetArrayFromImage(mask))[:, ::-1].tolist()
    return np.mean([mask.TransformIndexToPhysicalPoint(index) for index in indices], axis=0)


# --- grids -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
@pytest.mark.parametrize("flips", list(itertools.product((0, 1), repeat=3)), ids=str)
def test_every_order_and_direction_of_axes(tmp_path, order, flips):
    """ITK permutes and flips the voxels in memory, not in space; in all 48 ways the mask comes back as it was drawn."""
    image = tilted(ct())
    turned = sitk.Flip(sitk.PermuteAxes(from_array(l_shape(), image), order), [bool(flip) for flip in flips])
    write_image(turned, tmp_path / "m.nii.gz")
    read = read_mask(tmp_path / "m.nii.gz", image)
    np.testing.assert_array_equal(to_array(read), l_shape())
    assert same_grid(read, image, tolerance=0)


def test_cropped_mask_is_filled_up(tmp_path):
    """A box around the organ, its axes reversed as well, is put where it was cut out."""
    image = tilted(ct())
    cut = from_array(l_shape(), image)[1:5, 1:3, 1:4]
    write_image(sitk.Flip(sitk.PermuteAxes(cut, (2, 1, 0)), (True, False, True)), tmp_path / "m.nii.gz")
    np.testing.assert_array_equal(to_array(read_mask(tmp_path / "m.nii.gz", image)), l_shape())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda mask: sitk.ConstantPad(mask, (0, 0, 0), (0, 0, 1)), ("6 x 5 x 5 voxels", "6 x 5 x 4 voxels")),
        (lambda mask: sitk.Expand(mask, (1, 1, 2), sitk.sitkNearestNeighbor), ("6 x 5 x 8 voxels",)),
        (lambda mask: sitk.Shrink(mask, (1, 1, 2)), ("6 x 5 x 2 voxels of 2 x 3 x 10 mm",)),
    ],
    ids=["larger", "finer", "coarser"],
)
def test_mask_of_other_voxels(tmp_path, change, words):
    """Voxels beyond the image, smaller or larger ones are no voxels of the image, whatever they mark."""
    write_image(change(from_array(l_shape(), ct())), tmp_path / "m.nii.gz")
    with refused(MaskError, "P0001", "grid of its image, or on a part of it", *words):
        read_mask(tmp_path / "m.nii.gz", ct(), "P0001")


@pytest.mark.parametrize("shift", [(0.0, 0.0, 2.5), (0.06, 0.0, 0.0), (2.0, 0.0, 0.0)])
def test_mask_shifted(tmp_path, shift):
    """Half a slice, six hundredths of a mm, and a whole voxel that then leaves the image, are all refused."""
    mask = from_array(l_shape(), ct())
    mask.SetOrigin((np.array(mask.GetOrigin()) + shift).tolist())
    write_image(mask, tmp_path / "m.nii.gz")
    with refused(MaskError, "grid of its image"):
        read_mask(tmp_path / "m.nii.gz", ct())


def test_mask_turned(tmp_path):
    """A mask that is turned by one degree is refused."""
    mask = from_array(l_shape(), ct())
    sine, cosine = np.sin(np.pi / 180), np.cos(np.pi / 180)
    mask.SetDirection((cosine, -sine, 0, sine, cosine, 0, 0, 0, 1))
    write_image(mask, tmp_path / "m.nii.gz")
    with refused(MaskError, "grid of its image"):
        read_mask(tmp_path / "m.nii.gz", ct())


# --- labels in NIfTI -------------------------------------------------------------------------------------------------


@pytest.fixture
def labelled(tmp_path):
    """File of the labels 0, 1 (second object) and 5 (first object), as TotalSegmentator numbers spleen and liver."""
    array = l_shape() * 5 + two_organs()[..., 1]
    write_image(from_array(array, ct()), tmp_path / "all.nii.gz")
    return tmp_path / "all.nii.gz"


def test_label_behind_the_path(labelled):
    """#5 and #1 read one organ each."""
    for label, organ, expected in ((5, "liver", l_shape()), (1, "spleen", two_organs()[..., 1])):
        read = read_mask(f"{labelled}#{label}", ct(), organ=organ)
        np.testing.assert_array_equal(to_array(read), expected)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("", ("the values 0, 1, 5", "FILE.nii.gz#5")),
        ("#3", ("label 3", "the values 0, 1, 5", "behind '#'")),
        ("#0", ("whole number above 0", "'0'")),
        ("#liver", ("whole number", "'liver'")),
        ("#", ("behind '#'", "nothing")),
        ("#spleen", ("mask of the liver", "'spleen'")),
    ],
)
def test_label_refused(labelled, part, words):
    """No label, one that is not there, background, names and another organ's name are refused."""
    with refused(MaskError, "P0001, liver", *words):
        read_mask(f"{labelled}{part}", ct(), "P0001, liver", "liver")


def test_label_of_shares(tmp_path):
    """A map of probabilities is no label map, even where some of them are 1."""
    write_image(from_array(l_shape() * np.float32(0.5) + two_organs()[..., 1], ct()), tmp_path / "p.nii.gz")
    with refused(MaskError, "whole numbers", "0, 0.5, 1"):
        read_mask(f"{tmp_path / 'p.nii.gz'}#1", ct())


def test_number_sign_in_names(tmp_path):
    """A '#' in the name of a folder, a file or a segment is not taken for the one that chooses."""
    folder = tmp_path / "case #3"
    folder.mkdir()
    for name in ("m.nii.gz", "n#1.nii.gz"):
        write_image(from_array(l_shape(), ct()), folder / name)
    assert split_mask_path(folder / "m.nii.gz") == (folder / "m.nii.gz", "")
    assert split_mask_path(folder / "n#1.nii.gz") == (folder / "n#1.nii.gz", "")
    assert split_mask_path(f"{folder / 'm.nii.gz'}#liver #2") == (folder / "m.nii.gz", "liver #2")
    assert split_mask_path(tmp_path / "gone.nii.gz#5") == (tmp_path / "gone.nii.gz", "5")
    assert to_array(read_mask(folder / "n#1.nii.gz", ct())).sum() == 5


# --- folders ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def totalsegmentator(tmp_path):
    """Folder with a file an organ, as TotalSegmentator writes it."""
    folder = tmp_path / "segmentations"
    for name, array in (("liver", l_shape()), ("spleen", two_organs()[..., 1]), ("aorta", l_shape() * 0)):
        write_image(from_array(array, ct()), folder / f"{name}.nii.gz")
    (folder / "statistics.json").write_text("{}", encoding="utf-8")
    return folder


def test_folder_by_organ(totalsegmentator):
    """The file named after the organ is read; a name behind '#' chooses another one."""
    assert mask_file(totalsegmentator, "spleen") == (totalsegmentator / "spleen.nii.gz", "")
    np.testing.assert_array_equal(to_array(read_mask(totalsegmentator, ct(), organ="liver")), l_shape())
    np.testing.assert_array_equal(to_array(read_mask(f"{totalsegmentator}#spleen", ct())), two_organs()[..., 1])
    with refused(MaskError, "an empty mask"):
        read_mask(f"{totalsegmentator}#aorta", ct())


def test_folder_without_the_organ(totalsegmentator):
    """What the folder holds instead is listed."""
    (totalsegmentator / "spleen.nii.gz").unlink()
    with refused(MaskError, r"spleen\.nii\.gz, or one SEG", r"aorta\.nii\.gz, liver\.nii\.gz", "no SEG"):
        read_mask(totalsegmentator, ct(), organ="spleen")
    with refused(MaskError, "one SEG or RTSTRUCT"):
        read_mask(totalsegmentator, ct())


def test_folder_with_the_organ_twice(totalsegmentator):
    """liver.nii beside liver.nii.gz leaves open which is meant."""
    write_image(from_array(l_shape(), ct()), totalsegmentator / "liver.nii")
    with refused(MaskError, "one mask of the organ", r"liver\.nii"):
        read_mask(totalsegmentator, ct(), organ="liver")


def test_missing(tmp_path):
    """A missing file is named without its folder and without what follows '#'."""
    with refused(MaskError, "no file 'gone.dcm'", "Correct the path") as caught:
        read_mask(tmp_path / "gone.dcm#Liver", ct(), "P0001, liver", "liver")
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(("name", "words"), [("m.mha", (r"\.mha",)), ("m", ("nothing",))])
def test_other_files(tmp_path, name, words):
    """A file that is neither NIfTI nor DICOM is refused by its ending."""
    (tmp_path / name).write_bytes(b"something else")
    with refused(MaskError, "DICOM SEG or a DICOM RTSTRUCT", *words):
        read_mask(tmp_path / name, ct())


# --- DICOM SEG -------------------------------------------------------------------------------------------------------


@pytest.fixture
def series(tmp_path):
    """Function that writes a CT series with the attributes that highdicom copies, and returns its slices."""

    def write(name: str = "ct", **options) -> list[Dataset]:
        needed = ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber")
        blank = dict.fromkeys((*needed, "ReferringPhysicianName", "StudyID"), "")
        files = write_series(tmp_path / name, stored_values(), patient="some^one", **blank, **options)
        return [pydicom.dcmread(file) for file in files]

    return write


def write_seg(
    file: Path,
    slices: list[Dataset],
    arrays: np.ndarray,
    kind: str = "BINARY",
    labels: tuple[str, ...] = ("Liver", "Spleen"),
    types: tuple[Code, ...] = (LIVER, SPLEEN),
    **options,
) -> Path:
    """Write arrays (z, y, x, segment) as SEG with highdicom."""
    category = Code("123037004", "SCT", "Anatomical Structure")
    described = [
        SegmentDescription(number, label, category, code, "MANUAL")
        for number, (label, code) in enumerate(zip(labels, types, strict=True), start=1)
    ]
    who = ("maker", "model", "1", "2")
    Segmentation(slices, arrays, kind, described, UID + "70", 7, UID + "71", 1, *who, **options).save_as(file)
    return file


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP", "FRACTIONAL"])
@pytest.mark.parametrize("cosines", list(GEOMETRIES.values()), ids=list(GEOMETRIES))
def test_seg(tmp_path, series, kind, cosines):
    """Both segments come back voxel by voxel; only the two slices that hold any are in the file."""
    slices = series(cosines=cosines)
    arrays = two_organs() if kind != "FRACTIONAL" else two_organs().astype(np.float32)
    file = write_seg(tmp_path / "seg.dcm", slices, arrays, kind)
    assert pydicom.dcmread(file).NumberOfFrames == (2 if kind == "LABELMAP" else 3)
    image = read_image(tmp_path / "ct")
    for number, organ in enumerate(("liver", "spleen")):
        read = read_mask(file, image, organ=organ)
        np.testing.assert_array_equal(to_array(read), two_organs()[..., number])
        assert read.GetPixelID() == sitk.sitkUInt8 and same_grid(read, image, tolerance=0)


def test_seg_lies_where_dicom_puts_it(tmp_path, series):
    """The object's centre by the equation of the DICOM standard, for a SEG that is put on the image as NIfTI has it."""
    file = write_seg(tmp_path / "seg.dcm", series(cosines=OBLIQUE), two_organs())
    image = sitk.Flip(sitk.PermuteAxes(read_image(tmp_path / "ct"), (1, 2, 0)), (True, True, False))
    row, column, normal = np.array(OBLIQUE[:3]), np.array(OBLIQUE[3:]), np.array(OBLIQUE_NORMAL)
    x, y, z = L_CENTRE
    expected = np.array([-50, -40, 100]) + row * x * 0.8 + column * y * 0.7 + normal * z * 2.5
    np.testing.assert_allclose(centre(read_mask(file, image, organ="liver")), expected, atol=1e-4)


def test_seg_frames_in_any_order(tmp_path, series):
    """Frames in reverse order of position, with their headers, mark the same voxels."""
    file = write_seg(tmp_path / "seg.dcm", series(), two_organs().astype(np.float32), "FRACTIONAL")
    seg = pydicom.dcmread(file)
    size = seg.Rows * seg.Columns
    frames = [seg.PixelData[start : start + size] for start in range(0, len(seg.PixelData), size)][:3]
    seg.PixelData = b"".join(frames[::-1])
    seg.PerFrameFunctionalGroupsSequence = list(seg.PerFrameFunctionalGroupsSequence)[::-1]
    seg.save_as(tmp_path / "reversed.dcm")
    read = read_mask(tmp_path / "reversed.dcm", read_image(tmp_path / "ct"), organ="liver")
    np.testing.assert_array_equal(to_array(read), l_shape())


def test_seg_fractions(tmp_path, series):
    """Of the shares 0.2, 0.45, 0.55 and 1, the last two belong to the organ."""
    shares = np.zeros((*SHAPE, 1), np.float32)
    shares[1, 1, 1:5, 0] = 0.2, 0.45, 0.55, 1.0
    file = write_seg(tmp_path / "s.dcm", series(), shares, "FRACTIONAL", ("Liver",), (LIVER,))
    marked = to_array(read_mask(file, read_image(tmp_path / "ct"), organ="liver"))
    assert np.argwhere(marked).tolist() == [[1, 1, 3], [1, 1, 4]]


@pytest.mark.parametrize(
    ("labels", "types"),
    [
        ((" LIVER ", "Spleen"), (TISSUE, TISSUE)),
        (("Segment_1", "Segment_2"), (LIVER, SPLEEN)),
        (("Segment_1", "Segment_2"), (OLD_LIVER, OLD_SPLEEN)),
        (("a", "b"), (Code("T-62000", "SNM3", "Liver"), Code("T-C3000", "99SDM", "Spleen"))),
    ],
    ids=["label", "SNOMED CT", "SRT", "older names of SRT"],
)
def test_seg_organ_by_label_or_code(tmp_path, series, labels, types):
    """Organs are found by their labels in any case, and by the codes of both generations."""
    file = write_seg(tmp_path / "seg.dcm", series(), two_organs(), labels=labels, types=types)
    image = read_image(tmp_path / "ct")
    for number, organ in enumerate(("liver", "spleen")):
        np.testing.assert_array_equal(to_array(read_mask(file, image, organ=organ)), two_organs()[..., number])


def test_seg_segment_by_name(tmp_path, series):
    """A label behind '#' chooses between two that are both coded as liver, in any case of letters."""
    labels, types = ("left lobe", "Right lobe"), (LIVER, LIVER)
    file = write_seg(tmp_path / "seg.dcm", series(), two_organs(), labels=labels, types=types)
    image = read_image(tmp_path / "ct")
    np.testing.assert_array_equal(to_array(read_mask(f"{file}#Left Lobe", image, organ="liver")), l_shape())
    with refused(MaskError, "'liver'", "2 of them: 'left lobe', 'Right lobe'", "FILE#NAME"):
        read_mask(file, image, organ="liver")


@pytest.mark.parametrize(
    ("organ", "part", "words"),
    [
        ("spleen", "", ("name or code is 'spleen'", "none among 'Liver', 'tumour'", "FILE#NAME")),
        ("liver", "#Leber", ("named 'Leber'", "none among 'Liver', 'tumour'")),
        (None, "", ("where none is chosen", "2 of them: 'Liver', 'tumour'")),
        ("spleen", "#Liver", ("mask of the spleen", "'liver'")),
    ],
    ids=["no-such-organ", "no-such-name", "not-chosen", "another-organ"],
)
def test_seg_segment_refused(tmp_path, series, organ, part, words):
    """What was not found is named beside what is there."""
    file = write_seg(tmp_path / "s.dcm", series(), two_organs(), labels=("Liver", "tumour"), types=(LIVER, TISSUE))
    with refused(MaskError, "P0001", *words):
        read_mask(f"{file}{part}", read_image(tmp_path / "ct"), "P0001", organ)


def test_seg_label_against_code(tmp_path, series):
    """A segment labelled spleen and coded liver is neither."""
    file = write_seg(tmp_path / "s.dcm", series(), two_organs(), labels=("spleen", "x"), types=(LIVER, TISSUE))
    for organ in ("liver", "spleen"):
        with refused(MaskError, f"mask of the {organ}"):
            read_mask(file, read_image(tmp_path / "ct"), organ=organ)


def test_seg_of_another_frame_of_reference(tmp_path, series):
    """The same numbers in another coordinate system are refused, without identifiers; a NIfTI image knows of none."""
    file = write_seg(tmp_path / "seg.dcm", series("other", FrameOfReferenceUID=UID + "99"), two_organs())
    series()
    image = read_image(tmp_path / "ct")
    with refused(MaskError, "frame of reference", "not equal places") as caught:
        read_mask(file, image, organ="liver")
    assert UID not in str(caught.value)
    write_image(image, tmp_path / "ct.nii.gz")
    np.testing.assert_array_equal(
        to_array(read_mask(file, read_image(tmp_path / "ct.nii.gz"), organ="liver")), l_shape()
    )


@pytest.mark.parametrize(
    "options", [{"origin": (-50.0, -40.0, 101.25)}, {"spacing": (0.8, 0.8, 2.5)}, {"spacing": (0.8, 0.7, 5.0)}]
)
def test_seg_on_another_grid(tmp_path, series, options):
    """Frames between the slices, of other pixels or on slices that the image lacks are refused with both grids."""
    file = write_seg(tmp_path / "seg.dcm", series("other", **options), two_organs())
    series()
    with refused(MaskError, "grid of its image", "frames elsewhere", "6 x 5 x 4 voxels of 0.8 x 0.7 x 2.5 mm"):
        read_mask(file, read_image(tmp_path / "ct"), organ="liver")


def test_seg_of_every_second_slice(tmp_path, series):
    """Frames on slices 0 and 2 are taken if the object says 2.5 mm between slices, and refused at 5 mm or silence."""
    slices = series()
    arrays = np.zeros((*SHAPE, 1), np.uint8)
    arrays[[0, 2], 1:3, 2] = 1
    file = write_seg(tmp_path / "seg.dcm", slices, arrays, labels=("Liver",), types=(LIVER,))
    image = read_image(tmp_path / "ct")
    np.testing.assert_array_equal(to_array(read_mask(file, image, organ="liver")), arrays[..., 0])
    seg = pydicom.dcmread(file)
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.SpacingBetweenSlices = 5.0
    seg.save_as(tmp_path / "coarse.dcm")
    with refused(MaskError, r"slices of its image, every 2\.5 mm", "slices of 5 mm"):
        read_mask(tmp_path / "coarse.dcm", image, organ="liver")
    del measures.SpacingBetweenSlices
    measures.SliceThickness = None
    seg.save_as(tmp_path / "silent.dcm")
    with refused(MaskError, "no slice distance"):
        read_mask(tmp_path / "silent.dcm", image, organ="liver")


def test_seg_with_a_position_twice(tmp_path, series):
    """Two frames of a segment in one place are two masks."""
    file = write_seg(tmp_path / "seg.dcm", series(), two_organs().astype(np.float32), "FRACTIONAL")
    seg = pydicom.dcmread(file)
    first, second, _ = seg.PerFrameFunctionalGroupsSequence
    second.PlanePositionSequence = first.PlanePositionSequence
    seg.save_as(file)
    with refused(MaskError, "one frame of a segment", "several in one place"):
        read_mask(file, read_image(tmp_path / "ct"), organ="liver")


def test_seg_empty(tmp_path, series):
    """A segment whose frames mark nothing is an empty mask."""
    file = write_seg(tmp_path / "seg.dcm", series(), two_organs())
    seg = pydicom.dcmread(file)
    seg.PixelData = bytes(len(seg.PixelData))
    seg.save_as(file)
    with refused(MaskError, "an empty mask"):
        read_mask(file, read_image(tmp_path / "ct"), organ="liver")


def test_seg_broken(tmp_path, series):
    """A file that ends early, and one without positions, are refused as unreadable, without their folder."""
    file = write_seg(tmp_path / "seg.dcm", series(), two_organs().astype(np.float32), "FRACTIONAL")
    image = read_image(tmp_path / "ct")
    (tmp_path / "half.dcm").write_bytes(file.read_bytes()[:-60])
    seg = pydicom.dcmread(file)
    for frame in seg.PerFrameFunctionalGroupsSequence:
        del frame.PlanePositionSequence
    seg.save_as(tmp_path / "nowhere.dcm")
    for name in ("half.dcm", "nowhere.dcm"):
        with refused(MaskError, "SEG must be (readable|whole)") as caught:
            read_mask(tmp_path / name, image, organ="liver")
        assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(("kind", "whole"), [("BINARY", 12), ("LABELMAP", 60), ("FRACTIONAL", 90)])
def test_seg_cut_off(tmp_path, series, kind, whole):
    """The last frame is no frame of the liver, but what breaks off before it is over may have lost more.

    3 frames of 30 pixels are 90 bits, so 12 bytes, or 90 bytes of fractions; 2 frames of a label map are 60 bytes.
    """
    arrays = two_organs().astype(np.float32 if kind == "FRACTIONAL" else np.uint8)
    file = write_seg(tmp_path / "seg.dcm", series(), arrays, kind)
    seg = pydicom.dcmread(file)
    seg.PixelData = seg.PixelData[:-2]
    seg.save_as(tmp_path / "short.dcm", enforce_file_format=True)
    with refused(MaskError, "P0003, venous, liver: DICOM SEG must be whole", f"found {whole - 2} bytes"):
        read_mask(tmp_path / "short.dcm", read_image(tmp_path / "ct"), "P0003, venous, liver", "liver")


def test_dicom_without_preamble(tmp_path, series):
    """A SEG and a structure set whose first 132 bytes are absent are read, with a remark each."""
    file = write_seg(tmp_path / "seg.dcm", series(), two_organs())
    image = read_image(tmp_path / "ct")
    structures = write_structures(tmp_path / "rt.dcm", {"liver": [rectangle(image, 1, 1, 1, 3, 3)]})
    for whole in (file, structures):
        (tmp_path / "bare.dcm").write_bytes(whole.read_bytes()[132:])
        with collected() as remarks:
            found = to_array(read_mask(tmp_path / "bare.dcm", image, "liver mask", "liver"))
        np.testing.assert_array_equal(found, to_array(read_mask(whole, image, organ="liver")))
        assert [str(said) for said in remarks] == ["liver mask: no DICOM preamble; read as DICOM all the same."]


def test_structures_with_decimal_commas(tmp_path):
    """Contours whose numbers have commas mark what those with points do."""
    write_structures(tmp_path / "rt.dcm", {"liver": [rectangle(ct(), 1, 1, 1, 3, 3)]})
    content = (tmp_path / "rt.dcm").read_bytes()
    assert content.count(b".0000\\") > 5
    (tmp_path / "comma.dcm").write_bytes(content.replace(b".0000\\", b",0000\\"))
    with collected() as remarks:
        found = marked(tmp_path / "comma.dcm", ct())
    assert found == marked(tmp_path / "rt.dcm", ct())
    assert "decimal commas in ContourData in 1 of 1 contours" in str(remarks[0])


def test_dicom_of_another_kind(tmp_path, series):
    """A CT slice in place of masks is refused by its modality."""
    series()
    slice_ = next((tmp_path / "ct").iterdir())
    with refused(MaskError, "a DICOM SEG or a DICOM RTSTRUCT", "modality CT"):
        read_mask(slice_, read_image(tmp_path / "ct"), organ="liver")


def test_folder_of_one_object(tmp_path, series):
    """One SEG is found among slices, under any ending; two leave open which is meant."""
    slices = series()
    image = read_image(tmp_path / "ct")
    file = write_seg(tmp_path / "ct" / "SEG1", slices, two_organs())
    assert mask_file(f"{tmp_path / 'ct'}#Liver", "liver") == (file, "Liver")
    np.testing.assert_array_equal(to_array(read_mask(tmp_path / "ct", image, organ="liver")), l_shape())
    (tmp_path / "ct" / "SEG2").write_bytes(file.read_bytes())
    with refused(MaskError, "one mask of the organ", "2 SEG or RTSTRUCT objects"):
        read_mask(tmp_path / "ct", image, organ="liver")


def test_folder_of_an_object_beside_the_file(totalsegmentator, series):
    """liver.nii.gz beside a SEG leaves open which is meant."""
    write_seg(totalsegmentator / "seg.dcm", series(), two_organs())
    with refused(MaskError, "1 SEG or RTSTRUCT objects and the NIfTI files"):
        read_mask(totalsegmentator, ct(), organ="liver")


# --- DICOM RTSTRUCT --------------------------------------------------------------------------------------------------


def write_structures(
    file: Path,
    regions: dict[str, list[np.ndarray]],
    kind: str = "CLOSED_PLANAR",
    frame: str = UID + "8",
    **changes: object,
) -> Path:
    """Write contours (points, xyz; mm) by name as RTSTRUCT with pydicom; a change is set on every contour."""
    structures = Dataset()
    structures.file_meta = FileMetaDataset()
    structures.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    structures.file_meta.MediaStorageSOPClassUID = structures.SOPClassUID = RTStructureSetStorage
    structures.file_meta.MediaStorageSOPInstanceUID = structures.SOPInstanceUID = UID + "60"
    structures.Modality, structures.StructureSetLabel = "RTSTRUCT", "masks"
    structures.StructureSetROISequence, structures.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(regions.items(), start=1):
        region, drawn = Dataset(), Dataset()
        region.ROINumber = drawn.ReferencedROINumber = number
        region.ROIName, region.ReferencedFrameOfReferenceUID = name.rstrip("*"), frame
        drawn.ContourSequence = []
        for points in contours:
            contour = Dataset()
            contour.ContourGeometricType = kind
            contour.NumberOfContourPoints = len(points)
            contour.ContourData = [f"{value:.4f}" for value in np.ravel(points)]
            for keyword, value in changes.items():
                setattr(contour, keyword, value)
            drawn.ContourSequence.append(contour)
        structures.StructureSetROISequence.append(region)
        structures.ROIContourSequence.append(drawn)
    structures.save_as(file, enforce_file_format=True)
    return file


def mask(image: sitk.Image, level: float, *corners: tuple[float, float]) -> np.ndarray:
    """Points (mm) of a contour given by voxel indices (x, y) on slice `level`."""
    return np.array([image.TransformContinuousIndexToPhysicalPoint((x, y, level)) for x, y in corners])


def rectangle(image: sitk.Image, level: float, x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    """Rectangle between two corners."""
    return mask(image, level, (x0, y0), (x1, y0), (x1, y1), (x0, y1))


def circle(radius: float, z: float, reverse: bool = False) -> np.ndarray:
    """Circle of 360 points about the z axis, mm."""
    angle = np.linspace(0, 2 * np.pi, 360, endpoint=False)[:: -1 if reverse else 1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), np.full(360, z)], axis=1)


def cube(edge: int = 81) -> sitk.Image:
    """Image of 1 mm voxels about the origin."""
    image = sitk.Image((edge,) * 3, sitk.sitkInt16)
    image.SetOrigin((-(edge - 1) / 2,) * 3)
    return image


def marked(file: Path, image: sitk.Image) -> list[list[int]]:
    """Voxels (z, y, x) of the liver."""
    return np.argwhere(to_array(read_mask(file, image, organ="liver"))).tolist()


@pytest.mark.parametrize("make", [lambda: ct(), lambda: tilted(ct())], ids=["axial", "oblique and flipped"])
def test_structures_l_shape(tmp_path, make):
    """Masks half a voxel around the object give its five voxels, whichever way the image's axes run."""
    image = make()
    contours = [
        mask(image, 1, (0.5, 0.5), (3.5, 0.5), (3.5, 1.5), (1.5, 1.5), (1.5, 2.5), (0.5, 2.5)),
        rectangle(image, 2, 0.5, 0.5, 1.5, 1.5),
    ]
    file = write_structures(tmp_path / "rt.dcm", {"Spleen": [rectangle(image, 0, 3, 3, 5, 4)], "LIVER": contours})
    assert marked(file, image) == sorted(list(voxel) for voxel in L_SHAPE)
    turned = sitk.Flip(sitk.PermuteAxes(image, (2, 0, 1)), (False, True, True))
    np.testing.assert_allclose(
        centre(read_mask(file, turned, organ="liver")),
        image.TransformContinuousIndexToPhysicalPoint(L_CENTRE),
        atol=1e-4,
    )


def test_structures_sphere(tmp_path):
    """Filled circles of a sphere of 30 mm: 4/3 pi r^3 = 113.10 mL within 0.5 %, its centre where it was drawn."""
    heights = np.arange(-29, 30)
    contours = [circle(np.sqrt(900 - z**2), z) for z in heights]
    file = write_structures(tmp_path / "rt.dcm", {"liver": contours})
    mask = read_mask(file, cube(), organ="liver")
    assert volume_ml(mask) == pytest.approx(4 / 3 * np.pi * 27, rel=0.005)
    np.testing.assert_allclose(centre(mask), 0, atol=0.05)


@pytest.mark.parametrize("way", ["XOR", "nested", "keyhole"])
def test_structures_cylinder_with_a_hole(tmp_path, way):
    """A ring of 30 and 12 mm, 11 slices of 1 mm: pi (30^2 - 12^2) 11 mm^3 = 26.13 mL within 1 %, however encoded."""
    contours = []
    for z in range(-5, 6):
        outer, hole = circle(30, z), circle(12, z, reverse=True)
        if way == "keyhole":
            # One contour: around the outside, along a channel inwards, around the hole, and back the same way.
            contours.append(np.concatenate([outer, outer[:1], hole[-1:], hole]))
        else:
            contours += [hole, outer]
    kind = "CLOSEDPLANAR_XOR" if way == "XOR" else "CLOSED_PLANAR"
    mask = read_mask(write_structures(tmp_path / "rt.dcm", {"liver": contours}, kind), cube(), organ="liver")
    assert volume_ml(mask) == pytest.approx(np.pi * (900 - 144) * 11 / 1000, rel=0.01)
    assert to_array(mask)[40, 40, 40] == 0 and to_array(mask)[40, 40, 60] == 1


def test_structures_points_on_the_contour_are_inside(tmp_path):
    """A contour through the middles of voxels holds these: 5 x 4 voxels; one through a hole's rim leaves 2 x 1 out.

    An island within the hole is inside again.
    """
    image = ct((1, 9, 9))
    outer, hole = rectangle(image, 0, 1, 1, 5, 4), rectangle(image, 0, 1, 1, 4, 3)
    file = write_structures(tmp_path / "rt.dcm", {"liver": [outer]})
    assert len(marked(file, image)) == 20
    # The hole's contour runs through x 1 to 4, y 1 to 3; strictly within it lie x 2 and 3 at y 2.
    file = write_structures(tmp_path / "rt.dcm", {"liver": [rectangle(image, 0, 0, 0, 8, 8), hole]})
    assert sorted({(y, x) for y in range(9) for x in range(9)} - {(y, x) for _, y, x in marked(file, image)}) == [
        (2, 2),
        (2, 3),
    ]
    hole, island = rectangle(image, 0, 1.5, 1.5, 6.5, 6.5), rectangle(image, 0, 3.5, 3.5, 4.5, 4.5)
    file = write_structures(tmp_path / "rt.dcm", {"liver": [rectangle(image, 0, 0, 0, 8, 8), hole, island]})
    assert len(marked(file, image)) == 81 - 25 + 1


def test_structures_rounded_points(tmp_path):
    """Points rounded to hundredths of a mm, some of them outwards and some inwards, give the same 20 voxels."""
    image = ct((1, 9, 9))
    points = rectangle(image, 0, 1, 1, 5, 4) + np.array([[0.009, -0.009, 0], [-0.009, 0.009, 0]] * 2)
    assert len(marked(write_structures(tmp_path / "rt.dcm", {"liver": [points]}), image)) == 20


def test_structures_side_by_side(tmp_path):
    """Two pieces that share an edge are one object of 3 x 6 voxels, no voxel of the edge lost."""
    image = ct((1, 9, 9))
    pieces = [rectangle(image, 0, 1, 1, 3, 3), rectangle(image, 0, 3, 1, 6, 3)]
    assert len(marked(write_structures(tmp_path / "rt.dcm", {"liver": pieces}), image)) == 18


@pytest.mark.parametrize(
    ("corners", "kind", "words"),
    [
        ([(1, 1, 4, 3), (2, 2, 6, 6)], "CLOSED_PLANAR", ("cross each other",)),
        ([(1, 1, 4, 3), (1, 1, 4, 3)], "CLOSED_PLANAR", ("comes twice",)),
        ([(1, 1, 4, 3)], "OPEN_PLANAR", ("closed and planar", "OPEN_PLANAR")),
        ([(1, 1, 4, 9.5)], "CLOSED_PLANAR", ("within their image", "1 of 1 contours that leave it")),
    ],
    ids=["crossing", "twice", "open", "outside"],
)
def test_structures_ambiguous(tmp_path, corners, kind, words):
    """What can be filled in two ways, or not at all, is refused."""
    image = ct((1, 9, 9))
    contours = [rectangle(image, 0, *each) for each in corners]
    with refused(MaskError, *words):
        marked(write_structures(tmp_path / "rt.dcm", {"liver": contours}, kind), image)


def test_structures_exclusive_or_as_written(tmp_path):
    """Crossing contours that say exclusive or lose what they share: 12 + 12 - 2 x 2 voxels."""
    image = ct((1, 9, 9))
    pieces = [rectangle(image, 0, 0.5, 0.5, 4.5, 3.5), rectangle(image, 0, 2.5, 2.5, 6.5, 5.5)]
    file = write_structures(tmp_path / "rt.dcm", {"liver": pieces}, "CLOSEDPLANAR_XOR")
    assert len(marked(file, image)) == 12 + 12 - 2 * 2


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ((1.5, 2.5), ("on the slices of their image, every 5 mm", r"2 of 2 contours up to 2\.50 mm off")),
        ((1, 1.8), (r"1 of 2 contours up to 1\.00 mm off",)),
        ((0, 2), ("must have a contour", "1 slices without", "as NIfTI")),
        ((3, 4), ("within their image", "1 of 2 contours above or below")),
    ],
    ids=["halfway", "off", "gap", "outside"],
)
def test_structures_on_other_slices(tmp_path, levels, words):
    """Contours between slices, on every second one, or beyond the image are refused, not rounded."""
    contours = [rectangle(ct(), level, 1, 1, 3, 3) for level in levels]
    with refused(MaskError, "P0001, liver", *words):
        read_mask(write_structures(tmp_path / "rt.dcm", {"liver": contours}), ct(), "P0001, liver", "liver")


def test_structures_rounded_heights(tmp_path):
    """Heights rounded by 0.4 mm, less than a tenth of 5 mm, are still those of their slices."""
    contours = [rectangle(ct(), level, 1, 1, 3, 3) for level in (0.92, 2.08)]
    file = write_structures(tmp_path / "rt.dcm", {"liver": contours})
    assert {z for z, *_ in marked(file, ct())} == {1, 2}


def test_structures_across_the_slices(tmp_path):
    """Contours of an upright plane on an axial image whose mask is turned are refused."""
    slanted = rectangle(ct(), 1, 1, 1, 4, 4)
    slanted[:2, 2] += 4.0
    with refused(MaskError, "in the slices of their image"):
        marked(write_structures(tmp_path / "rt.dcm", {"liver": [slanted]}), ct())


@pytest.mark.parametrize(
    ("names", "path", "organ", "words"),
    [
        (("Liver", "Heart"), "", "spleen", ("'spleen'", "none among 'Liver', 'Heart'")),
        (("Liver", "liver"), "", "liver", ("2 of them: 'Liver', 'liver'", "FILE#NAME")),
        (("Liver", "Liver*"), "#Liver", "liver", ("2 of them", "a name of its own")),
        (("Liver", "Spleen"), "#Spleen", "liver", ("mask of the liver",)),
    ],
    ids=["absent", "two", "same-name", "another-organ"],
)
def test_structures_region_refused(tmp_path, names, path, organ, words):
    """A region that is absent, there twice or another organ is refused, and the names found are listed."""
    regions = {name: [rectangle(ct(), 1, 1, 1, 3, 3)] for name in names}
    file = write_structures(tmp_path / "rt.dcm", regions)
    with refused(MaskError, *words):
        read_mask(f"{file}{path}", ct(), organ=organ)


def test_structures_region_by_name(tmp_path):
    """#liver reads the region of just that spelling where 'Liver' is another one."""
    regions = {"Liver": [rectangle(ct(), 1, 1, 1, 3, 3)], "liver": [rectangle(ct(), 1, 1, 1, 2, 2)]}
    file = write_structures(tmp_path / "rt.dcm", regions)
    assert to_array(read_mask(f"{file}#liver", ct(), organ="liver")).sum() == 4


def test_structures_of_another_frame_of_reference(tmp_path, series):
    """Contours in another coordinate system than the series are refused; in the series' own, they are read."""
    series()
    image = read_image(tmp_path / "ct")
    regions = {"liver": [rectangle(image, 1, 1, 1, 3, 3)]}
    assert len(marked(write_structures(tmp_path / "rt.dcm", regions), image)) == 9
    with refused(MaskError, "frame of reference"):
        marked(write_structures(tmp_path / "rt.dcm", regions, frame=UID + "99"), image)
    # Where the region itself names none, the structure set's own counts.
    structures = pydicom.dcmread(write_structures(tmp_path / "rt.dcm", regions, frame=""))
    named = Dataset()
    named.FrameOfReferenceUID = UID + "99"
    structures.ReferencedFrameOfReferenceSequence = [named]
    structures.save_as(tmp_path / "rt.dcm")
    with refused(MaskError, "frame of reference"):
        marked(tmp_path / "rt.dcm", image)


@pytest.mark.parametrize(
    ("regions", "changes", "words"),
    [
        ({"liver": []}, {}, ("an empty mask",)),
        ({"liver": [[(0.0, 26.0, 35.0)]]}, {}, ("an empty mask",)),
        ({"liver": [rectangle(ct(), 1, 1.2, 1.2, 1.8, 1.8)]}, {}, ("an empty mask",)),
        ({"liver": [rectangle(ct(), 1, 1, 1, 3, 3)]}, {"NumberOfContourPoints": 9}, ("RTSTRUCT must be readable",)),
        ({"liver": [rectangle(ct(), 1, 1, 1, 3, 3)]}, {"ContourOffsetVector": [0, 0, 2]}, ("offset",)),
    ],
    ids=["no-contour", "one-point", "between-voxels", "points-missing", "offset"],
)
def test_structures_empty_or_broken(tmp_path, regions, changes, words):
    """Regions that enclose no voxel, and contours that are not what they say, are refused."""
    with refused(MaskError, *words):
        marked(write_structures(tmp_path / "rt.dcm", regions, **changes), ct())


def test_structures_in_a_folder(tmp_path):
    """The one RTSTRUCT of a folder is read."""
    (tmp_path / "rt").mkdir()
    write_structures(tmp_path / "rt" / "RS.1.2.3", {"liver": [rectangle(ct(), 1, 1, 1, 3, 3)]})
    assert len(marked(tmp_path / "rt", ct())) == 9


# --- manifests and stored results ------------------------------------------------------------------------------------


CLINICAL = "C01,50,male,17.1,40,150,3.1,30,HBV,0,12"
HEADER = "patient_id,centre,age,sex,bilirubin,albumin,platelets,afp,alt,etiology,hcc,months,venous"


def manifest(folder: Path, *masks: tuple[str, str]) -> Path:
    """Manifest of patients with one phase, `ct<row>.nii.gz`, and a liver and a spleen mask each."""
    rows = [f"{HEADER},liver_mask_venous,spleen_mask_venous"]
    for number, (liver, spleen) in enumerate(masks, start=1):
        write_image(ct(), folder / f"ct{number}.nii.gz")
        rows.append(f"name{number},{CLINICAL},ct{number}.nii.gz,{liver},{spleen}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "manifest.csv"


@pytest.mark.parametrize(
    "masks",
    [
        ("all.nii.gz#5", "all.nii.gz#1"),
        ("segmentations", "segmentations"),
        ("rt.dcm", "rt.dcm"),
        ("rt.dcm#a", "rt.dcm"),
    ],
)
def test_manifest_one_file_for_both_organs(labelled, totalsegmentator, tmp_path, masks):
    """Labels of one file, a folder, and one structure set serve both organs of a patient."""
    whole, corner = [rectangle(ct(), 1, 1, 1, 3, 3)], [rectangle(ct(), 2, 4, 4, 5, 4.4)]
    write_structures(tmp_path / "rt.dcm", {"liver": whole, "a": whole, "spleen": corner})
    assert check_manifest(manifest(tmp_path, masks), ("venous",)) == []


@pytest.mark.parametrize(
    "masks",
    [
        [("m.nii.gz", "m.nii.gz")],
        [("m.nii.gz", "m.nii.gz#1")],
        [("all.nii.gz#5", "all.nii.gz#05")],
        [("segmentations#spleen", "segmentations")],
        [("ct1.nii.gz", "m.nii.gz")],
        [("all.nii.gz#5", "all.nii.gz#1"), ("all.nii.gz#5", "m.nii.gz")],
        [("segmentations", "segmentations"), ("./segmentations", "m.nii.gz")],
    ],
    ids=["binary", "whole-and-part", "same-label", "same-name", "image", "two-patients", "other-spelling"],
)
def test_manifest_one_file_twice(labelled, totalsegmentator, tmp_path, masks):
    """One binary file for two organs and one label twice are one problem; one file for two patients is one of each."""
    write_image(block(ct()), tmp_path / "m.nii.gz")
    problems = check_manifest(manifest(tmp_path, *masks), ("venous",))
    twice = [problem for problem in problems if "file of its own" in problem.rule]
    assert [problem.line for problem in twice] == ([2] if len(masks) == 1 else [2, 3])
    assert all("that of line" in problem.found and problem.hint for problem in twice)


def test_manifest_reports_masks(labelled, tmp_path):
    """A file that is not there and a label that is not are each a problem with its column, found and hint."""
    problems = check_manifest(manifest(tmp_path, ("all.nii.gz#7", "gone.dcm#Spleen")), ("venous",))
    found = {problem.column: problem for problem in problems}
    assert "label 7" in found["liver_mask_venous"].rule and "0, 1, 5" in found["liver_mask_venous"].found
    assert found["spleen_mask_venous"].found == "no file 'gone.dcm#Spleen'"
    assert all(problem.hint and problem.line == 2 for problem in problems)


@pytest.fixture
def preprocessing(labelled, tmp_path):
    """Function that makes a patient of one phase with the given liver mask."""
    image = ct((20, 20, 20))
    array = np.zeros((20, 20, 20), np.uint8)
    array[5:10, 5:12, 5:15] = 5
    array[12:16, 5:12, 5:15] = 2
    write_image(image, tmp_path / "venous.nii.gz")
    write_image(from_array(array, image), tmp_path / "all.nii.gz")
    write_image(from_array(array == 5, image), tmp_path / "out_of" / "liver.nii.gz")

    def make(mask: str) -> Case:
        row = {"venous": str(tmp_path / "venous.nii.gz"), "liver_mask_venous": str(tmp_path / mask)}
        return Case(RunPaths(tmp_path / "run"), "alarm", "P0001", ("venous",), row)

    return make


def preprocess(case: Case) -> dict[str, list]:
    return preprocess_patient(case, PreprocessingSettings(spacing_mm=2.5))


def stored(case: Case) -> dict[str, list] | None:
    """What the store has of a patient."""
    try:
        with reading_only():
            return preprocess(case)
    except (NotStoredError, MaskError):
        return None


def test_stored_result_follows_the_label(preprocessing):
    """Another label is another result; the first one is found again."""
    # 5 x 7 x 10 and 4 x 7 x 10 voxels of 30 mm^3.
    assert preprocess(preprocessing("all.nii.gz#5"))["liver_ml"] == [pytest.approx(10.5)]
    assert stored(preprocessing("all.nii.gz#2")) is None
    assert preprocess(preprocessing("all.nii.gz#2"))["liver_ml"] == [pytest.approx(8.4)]
    assert stored(preprocessing("all.nii.gz#5"))["liver_ml"] == [pytest.approx(10.5)]


def test_stored_result_follows_the_file_in_a_folder(preprocessing, tmp_path):
    """A changed liver.nii.gz is another result, another organ's file beside it is not; a missing one is none."""
    case = preprocessing("out_of")
    preprocess(case)
    write_image(block(ct((20, 20, 20))), tmp_path / "out_of" / "spleen.nii.gz")
    assert stored(case) is not None
    write_image(block(ct((20, 20, 20))), tmp_path / "out_of" / "liver.nii.gz")
    assert stored(case) is None
    (tmp_path / "out_of" / "liver.nii.gz").unlink()
    assert stored(case) is None
    with refused(MaskError, "P0001, venous, liver", r"liver\.nii\.gz, or one SEG"):
        preprocess(case)


def test_extract_of_a_label(preprocessing, tmp_path):
    """The command takes a label behind '#': the volume is that of 4 x 7 x 10 voxels of 30 mm^3."""
    output = tmp_path / "features.csv"
    call = ["extract", str(tmp_path / "venous.nii.gz"), f"{tmp_path / 'all.nii.gz'}#2", "-o", str(output)]
    result = CliRunner().invoke(cli.app, call)
    assert result.exit_code == 0, result.output
    names, values = (line.split(",") for line in output.read_text(encoding="utf-8").splitlines())
    rows = dict(zip(names, values, strict=True))
    assert rows["Label"] == "2"
    assert float(rows["original_shape_VoxelVolume"]) == pytest.approx(8400)


# --- round trips -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: ct(), lambda: tilted(ct())], ids=["axial", "oblique and flipped"])
def test_nifti_header_by_hand(tmp_path, make):
    """The file's own matrix, in RAS axes, puts the object where the image had it, in LPS."""
    image = make()
    direction = np.array(image.GetDirection()).reshape(3, 3)
    expected = np.array([-10, 20, 30]) + direction @ (np.array(L_CENTRE) * (2, 3, 5))
    write_image(from_array(l_shape(), image), tmp_path / "m.nii")
    content = (tmp_path / "m.nii").read_bytes()
    size = struct.unpack_from("<3h", content, 42)
    rows = np.array(struct.unpack_from("<12f", content, 280)).reshape(3, 4)  # srow_x, srow_y, srow_z
    voxels = np.frombuffer(content, np.uint8, np.prod(size), int(struct.unpack_from("<f", content, 108)[0]))
    x, y, z = np.argwhere(voxels.reshape(size, order="F")).mean(axis=0)
    np.testing.assert_allclose(rows @ (x, y, z, 1) * (-1, -1, 1), expected, atol=1e-4)
    for read in (read_mask(tmp_path / "m.nii", image), read_label_map(tmp_path / "m.nii")):
        np.testing.assert_allclose(centre(read), expected, atol=1e-4)
        np.testing.assert_allclose(read.GetSpacing(), (2, 3, 5), atol=1e-5)
        np.testing.assert_allclose(read.GetDirection(), direction.ravel(), atol=1e-6)


@pytest.mark.parametrize("cosines", list(GEOMETRIES.values()), ids=list(GEOMETRIES))
def test_series_to_nifti_and_back(tmp_path, series, cosines):
    """A series written as NIfTI has its brightest voxel where the slice's header puts it, and takes the series' SEG."""
    slices = series(cosines=cosines)
    file = write_seg(tmp_path / "seg.dcm", slices, two_organs())
    write_image(read_image(tmp_path / "ct"), tmp_path / "ct.nii.gz")
    image = read_image(tmp_path / "ct.nii.gz")
    brightest = np.unravel_index(to_array(image).argmax(), SHAPE)[::-1]
    # Stored value 1,300 lies in the last column and row of the last slice, index (5, 4) of a slice 7.5 mm on.
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    expected = np.array([-50, -40, 100]) + row * 5 * 0.8 + column * 4 * 0.7 + np.cross(row, column) * 7.5
    point = image.TransformIndexToPhysicalPoint([int(index) for index in brightest])
    np.testing.assert_allclose(point, expected, atol=1e-4)
    np.testing.assert_array_equal(to_array(read_mask(file, image, organ="spleen")), two_organs()[..., 1])


@pytest.mark.parametrize("oblique", [False, True])
def test_preprocessing_keeps_the_place(tmp_path, oblique):
    """Through the working grid, a box of 12 x 16 x 20 mm keeps its centre within 0.3 mm and its volume within 5 %."""
    image = ct((30, 40, 40), spacing=(1.0, 2.0, 2.5))
    image = tilted(image) if oblique else sitk.Flip(image, (True, False, True))
    array = np.zeros((30, 40, 40), np.uint8)
    array[11:19, 20:28, 10:22] = 1
    indices = np.array([15.5, 23.5, 14.5])
    direction = np.array(image.GetDirection()).reshape(3, 3)
    expected = np.array(image.GetOrigin()) + direction @ (indices * (1.0, 2.0, 2.5))
    write_image(image, tmp_path / "venous.nii.gz")
    # The mask's file has other axes than the image's.
    turned = sitk.Flip(sitk.PermuteAxes(from_array(array, image), (2, 0, 1)), (True, False, False))
    write_image(turned, tmp_path / "liver.nii.gz")
    row = {"venous": str(tmp_path / "venous.nii.gz"), "liver_mask_venous": str(tmp_path / "liver.nii.gz")}
    case = Case(RunPaths(tmp_path / "run"), "alarm", "P1", ("venous",), row)
    facts = preprocess_patient(case, PreprocessingSettings(spacing_mm=1.0))
    assert facts["liver_ml"] == [pytest.approx(12 * 16 * 20 / 1000)]
    labels = read_label_map(case.reference_labels("venous"))
    np.testing.assert_allclose(centre(labels), expected, atol=0.3)
    assert volume_ml(labels) == pytest.approx(3.84, rel=0.05)


def test_network_grid_and_back(tmp_path):
    """Volumes of the network's spacing are turned voxel by voxel and put back as they were."""
    image = sitk.Flip(sitk.PermuteAxes(ct(spacing=(3.0, 3.0, 3.0)), (1, 2, 0)), (True, False, True))
    mask = from_array(np.ascontiguousarray(l_shape().transpose(0, 2, 1).reshape(image.GetSize()[::-1])), image)
    seen = network_grid(mask, 3.0, labels=True)
    np.testing.assert_allclose(seen.GetDirection(), np.eye(3).ravel(), atol=1e-12)
    np.testing.assert_allclose(centre(seen), centre(mask), atol=1e-9)
    write_image(seen, tmp_path / "seen.nii.gz")
    np.testing.assert_array_equal(to_array(read_mask(tmp_path / "seen.nii.gz", image)), to_array(mask))


def test_abdominal_ct_cropped_and_turned(abdominal_ct, tmp_path):
    """The liver of an abdominal CT, cropped to its box and turned: the voxels of the original file."""
    image = read_image(abdominal_ct.folder / "ct.nii.gz")
    liver = sitk.ReadImage(str(abdominal_ct.folder / "liver.nii.gz"))
    z, y, x = (slice(int(i.min()), int(i.max()) + 1) for i in np.nonzero(sitk.GetArrayViewFromImage(liver)))
    write_image(sitk.PermuteAxes(liver[x, y, z], (1, 2, 0)), tmp_path / "box.nii.gz")
    read = read_mask(tmp_path / "box.nii.gz", image, organ="liver")
    assert to_array(read).sum() == abdominal_ct.liver
    np.testing.assert_array_equal(to_array(read), sitk.GetArrayViewFromImage(liver))
