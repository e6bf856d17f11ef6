"""Traps that public collections and archives lay, each with the report that it is taken from.

Every trap is a tree made here; what the manifest fills in is read again and must hold the HU of its phase.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK as sitk
from highdicom.seg import Segmentation, SegmentDescription
from made_up_collection import (
    ARTERIAL,
    BOXES,
    DELAY_S,
    DELAYED,
    NINE,
    PHASE_HU,
    SLICES,
    STEP_MM,
    UNENHANCED,
    VENOUS,
    body,
    clock,
    mask_of,
    uid,
    write_ct,
    write_frames,
    write_masks,
    write_nifti,
    write_study,
)
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import (
    ExplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
)

from hccbook.collection import Choices, write_manifest
from hccbook.images import read_image, read_mask, to_array
from hccbook.images.remarks import collected

ALL = {"arterial", "venous", "delayed"}
ALL_MASKS = {f"{organ}_mask_{phase}" for organ in ("liver", "spleen") for phase in ALL}


class Trap(NamedTuple):
    """A tree, what must come of it, and where the trap was met."""

    source: str
    build: Callable[[Path], object]
    filled: dict[str, set[str]]
    said: tuple[str, ...] = ()
    choices: Choices = Choices()
    masks: frozenset[str] | set[str] = frozenset()


# --- trees ------------------------------------------------------------------------------------------------------------


def stacked(root: Path, tell: Callable[[int, Dataset], None], later: Callable[[int, Dataset], None]) -> None:
    """Arterial and venous slices of one series in one folder, and a delayed series."""
    folder = root / "HCC_009" / "103.000000-LIVER 3 PHASE CAP-83135"
    common = {"patient": "HCC_009", "series": "103"}
    write_ct(folder, ARTERIAL, second=NINE + 35, each=tell, **common)
    write_ct(folder, VENOUS, second=NINE + 70, first=SLICES + 1, each=later, **common)
    write_ct(root / "HCC_009" / "104", DELAYED, second=NINE + 190, patient="HCC_009", series="104", AcquisitionNumber=4)


def set_tags(**tags: object) -> Callable[[int, Dataset], None]:
    def each(index: int, header: Dataset) -> None:
        for keyword, value in tags.items():
            if value is None:
                delattr(header, keyword)
            else:
                setattr(header, keyword, value)

    return each


def stacked_by_number(root: Path) -> None:
    stacked(root, set_tags(AcquisitionNumber=1), set_tags(AcquisitionNumber=2))


def stacked_by_time(root: Path) -> None:
    stacked(root, set_tags(), set_tags())


def stacked_by_order(root: Path) -> None:
    """Neither number nor time: the instance numbers go up the body twice; masks tell the phases."""
    stacked(root, set_tags(AcquisitionTime=None), set_tags(AcquisitionTime=None))


def stacked_untold(root: Path) -> None:
    """Positions twice, and nothing that tells the two apart."""
    stacked(
        root,
        set_tags(AcquisitionTime=None, InstanceNumber=None),
        set_tags(AcquisitionTime=None, InstanceNumber=None),
    )


def half_slice(root: Path) -> None:
    """The second volume lies half a slice higher: all positions together are evenly spaced."""
    places = np.arange(SLICES) * STEP_MM
    common = {"patient": "A1", "series": "1"}
    write_ct(root / "a", ARTERIAL, second=NINE + 35, places=places, AcquisitionNumber=1, **common)
    write_ct(
        root / "a",
        VENOUS,
        second=NINE + 70,
        places=places + STEP_MM / 2,
        first=SLICES + 1,
        AcquisitionNumber=2,
        **common,
    )
    write_ct(root / "b", DELAYED, second=NINE + 190, series="2", AcquisitionNumber=3)


def step_and_shoot(root: Path) -> None:
    """Every block of four slices is an acquisition of its own, one behind the other."""
    for phase in sorted(ALL, key=DELAY_S.__getitem__):
        second = NINE + DELAY_S[phase]
        write_ct(
            root / phase[:1],
            PHASE_HU[phase],
            series=phase,
            second=second,
            each=lambda index, header, second=second: set_tags(
                AcquisitionNumber=index // 4 + 1, AcquisitionTime=clock(second + index // 4)
            )(index, header),
        )


def overlapping_passes(root: Path) -> None:
    """Chest and abdomen in one series; the second pass begins 12 mm below the end of the first."""
    write_ct(root / "ct", VENOUS, second=NINE + 70, AcquisitionNumber=1)
    top = (SLICES - 1) * STEP_MM - 12
    write_ct(
        root / "ct",
        VENOUS,
        second=NINE + 80,
        places=top + np.arange(SLICES) * STEP_MM,
        first=SLICES + 1,
        AcquisitionNumber=2,
    )


def beside(write: Callable[[Path], object]) -> Callable[[Path], None]:
    """A usual study, and something else beside it."""

    def build(root: Path) -> None:
        write_study(root / "A1")
        write(root / "A1")

    return build


def localiser_in_the_series(root: Path) -> None:
    files = write_study(root / "A1")
    write_ct(
        root / "A1" / "art",
        series="arterial",
        second=NINE,
        places=[0, 5],
        first=90,
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
        ImageOrientationPatient=[0, 1, 0, 0, 0, -1],
    )
    assert len(files["arterial"]) == SLICES


def dose_page(folder: Path) -> None:
    write_ct(folder / "dose", series="dose", places=[0], SOPClassUID=SecondaryCaptureImageStorage, SeriesNumber=999)


def two_kernels(folder: Path) -> None:
    sharp = {"series": "lung", "ConvolutionKernel": "B70f", "second": NINE + DELAY_S["venous"], "SeriesNumber": 9}
    write_ct(folder / "b70", VENOUS, **sharp)


def thin_slices(folder: Path) -> None:
    """The venous acquisition again, in slices of 2.5 mm."""
    places = np.arange(2 * SLICES - 1) * STEP_MM / 2
    write_ct(
        folder / "thin",
        VENOUS,
        series="thin",
        second=NINE + DELAY_S["venous"],
        places=places,
        AcquisitionNumber=3,
        SeriesNumber=9,
    )


def early_arterial(folder: Path) -> None:
    write_ct(folder / "early", ARTERIAL, series="early", second=NINE + 22, SeriesDescription="early arterial")
    for name in ("art",):
        for file in sorted((folder / name).iterdir()):
            header = pydicom.dcmread(file)
            header.SeriesDescription = "late arterial"
            header.save_as(file)


def medium(root: Path) -> None:
    """A burned medium: files without endings, and a DICOMDIR that names them in capitals."""
    directory = Dataset()
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = uid("DICOMDIR")
    directory.DirectoryRecordSequence = []
    files = write_study(root / "CD" / "images", name="im{:06d}")
    for file in sorted(file for slices in files.values() for file in slices):
        record = Dataset()
        record.DirectoryRecordType = "IMAGE"
        record.ReferencedFileID = [part.upper() for part in file.relative_to(root / "CD").parts]
        directory.DirectoryRecordSequence.append(record)
    directory.save_as(root / "CD" / "DICOMDIR", enforce_file_format=True)


def medium_with_gaps(root: Path) -> None:
    medium(root)
    lost = sorted(file for file in (root / "CD").rglob("*") if file.is_file() and file.name != "DICOMDIR")
    for file in lost[:3]:
        file.unlink()


def without_endings(root: Path) -> None:
    write_study(root / "A1", name="IM{:04d}")


def without_preamble(root: Path) -> None:
    write_study(root / "A1", preamble=False, name="IM{:04d}")


def zipped(root: Path) -> None:
    write_study(root / "made" / "A1")
    with zipfile.ZipFile(root / "A1.zip", "w") as archive:
        for file in sorted((root / "made").rglob("*.dcm")):
            archive.write(file, file.relative_to(root / "made"))
    shutil.rmtree(root / "made")


def same_identifier(root: Path) -> None:
    """An anonymiser called everybody the same."""
    for folder, study in (("pat1", "1"), ("pat2", "2")):
        write_study(root / folder, patient="ANONYMOUS", study=study)


def two_persons(root: Path) -> None:
    """Two patients under one identifier, whom sex and date of birth tell apart."""
    write_study(root / "pat1", patient="7", study="1", PatientBirthDate="19500101")
    write_study(root / "pat2", patient="7", study="2", PatientSex="F", PatientBirthDate="19610101")


def two_identifiers(root: Path) -> None:
    """The archive gave one series of the study another identifier."""
    files = write_study(root)
    for file in files["arterial"]:
        header = pydicom.dcmread(file)
        header.PatientID = "A1-2"
        header.save_as(file)


def no_identifier(root: Path) -> None:
    write_study(root / "pat1", patient="")


def twice(root: Path) -> None:
    write_study(root / "A1")
    shutil.copytree(root / "A1", root / "again")


def abdomen_and_pelvis(root: Path) -> None:
    """AP beside CAP means abdomen and pelvis; here it is the delayed phase."""
    names = {
        "arterial": "LIVER 3 PHASE CAP",
        "venous": "Recon 2: LIVER 3 PHASE",
        "delayed": "Recon 2: LIVER 3 PHASE (AP)",
    }
    for phase, name in names.items():
        write_study(root / "A1", [phase], SeriesDescription=name)


def phase_series(root: Path, each: Callable[[str], dict[str, object]], masks: bool = True) -> None:
    """A series a phase with the tags that `each` gives, and masks of all organs on each."""
    for phase in sorted(ALL, key=DELAY_S.__getitem__):
        options = {"second": NINE + DELAY_S[phase], "series": phase} | each(phase)
        write_ct(root / "A1" / phase[:1], PHASE_HU[phase], **options)
        if masks:
            write_masks(root / "A1" / phase[:1] / "segmentations", BOXES)


def copied_times(root: Path) -> None:
    """The archive wrote the study's time into every series."""
    phase_series(root, lambda phase: {"second": NINE})


def midnight_times(root: Path) -> None:
    phase_series(root, lambda phase: {"second": 0, "SeriesDescription": phase})


def reconstructed_later(root: Path) -> None:
    """The arterial phase was reconstructed again an hour later: series and content times lie after all others."""
    late = {"SeriesTime": clock(NINE + 3600), "ContentTime": clock(NINE + 3600)}
    phase_series(root, lambda phase: late if phase == "arterial" else {}, masks=False)


def over_midnight(root: Path) -> None:
    """Injected at 23:59:10: the venous phase has another date."""
    start = 86400 - 50
    phase_series(
        root,
        lambda phase: {
            "second": start + DELAY_S[phase],
            "AcquisitionDate": "20200101" if start + DELAY_S[phase] < 86400 else "20200102",
        },
        masks=False,
    )


def wrong_words(root: Path) -> None:
    """A protocol was copied: the delayed phase is called arterial."""
    phase_series(root, lambda phase: {"SeriesDescription": "arterial" if phase == "delayed" else phase})


def virtual_unenhanced(folder: Path) -> None:
    write_ct(
        folder / "vnc", UNENHANCED, series="vnc", second=NINE + 70, SeriesDescription="VNC 1.0 Liver", SeriesNumber=20
    )


def several_in_one_file(folder: Path) -> None:
    """Enhanced CT that holds two passes of the same places in one object."""
    write_frames(folder / "4d", [*range(0, 100, 5)] * 2, patient="A1", series="4d", SeriesNumber=20)


def decimal_commas(root: Path) -> None:
    """The workstation was set to a country of decimal commas."""
    from hccbook.collection.tree import walk

    files = write_ct(root / "A1")
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content.replace(b"-165.0\\-165.0", b"-16,50\\-16,50"))
    assert walk(root).headers[0].planes[0].position[:2] == (-16.5, -16.5)


def without_positions(folder: Path) -> None:
    write_ct(folder / "lost", series="lost", each=set_tags(ImagePositionPatient=None), SeriesNumber=20)


def two_voltages(root: Path) -> None:
    """Dual energy: 80 and 140 kV in one series, at the same time and places."""
    write_ct(root / "A1" / "de", VENOUS, KVP=80, second=NINE + 70)
    write_ct(root / "A1" / "de", VENOUS, KVP=140, second=NINE + 70, first=SLICES + 1)


def write_seg(file: Path, slices: list[Path], organs: tuple[str, ...], strip: bool = False) -> None:
    """SEG of organs, with the labels of HCC-TACE-Seg; `strip` takes the references away."""
    headers = [pydicom.dcmread(path) for path in slices]
    names = {"liver": "Liver", "aorta": "Abdominal aorta", "portal_vein": "Portal vein"}
    category = Code("123037004", "SCT", "Anatomical Structure")
    described = [
        SegmentDescription(number, names[organ], category, Code("10200004", "SCT", "Liver"), "MANUAL")
        for number, organ in enumerate(organs, start=1)
    ]
    arrays = np.stack([mask_of(organ) for organ in organs], axis=-1)
    who = (uid("seg"), 300, uid(file), 1, "maker", "model", "1", "2")
    seg = Segmentation(headers, arrays, "BINARY", described, *who)
    if strip:
        del seg.ReferencedSeriesSequence, seg.SourceImageSequence
        for groups in seg.PerFrameFunctionalGroupsSequence:
            del groups.DerivationImageSequence
    file.parent.mkdir(parents=True, exist_ok=True)
    seg.save_as(file)


def seg_on_a_stacked_series(root: Path) -> None:
    """HCC-TACE-Seg whole: two phases in one series, and a SEG drawn on the venous slices."""
    stacked_by_number(root)
    slices = sorted((root / "HCC_009" / "103.000000-LIVER 3 PHASE CAP-83135").iterdir())[SLICES:]
    write_seg(root / "HCC_009" / "300.000000-Segmentation-1" / "1-1.dcm", slices, ("liver", "aorta", "portal_vein"))


def seg_without_references(root: Path) -> None:
    """Only frame of reference and places are left, and those fit all three phases."""
    files = write_study(root / "A1")
    write_seg(root / "A1" / "seg" / "1.dcm", files["venous"], ("liver",), strip=True)


def structures(root: Path) -> None:
    """RTSTRUCT that names the venous series."""
    files = write_study(root / "A1")
    first = pydicom.dcmread(files["venous"][0])
    item = Dataset()
    item.file_meta = FileMetaDataset()
    item.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    item.file_meta.MediaStorageSOPClassUID = item.SOPClassUID = RTStructureSetStorage
    item.file_meta.MediaStorageSOPInstanceUID = item.SOPInstanceUID = uid("rt")
    item.PatientID, item.StudyInstanceUID, item.SeriesInstanceUID = "A1", first.StudyInstanceUID, uid("rt series")
    item.Modality, item.StructureSetLabel = "RTSTRUCT", "masks"
    series, study, frame, region, drawn = (Dataset() for _ in range(5))
    series.SeriesInstanceUID, study.RTReferencedSeriesSequence = first.SeriesInstanceUID, [series]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = first.FrameOfReferenceUID, [study]
    item.ReferencedFrameOfReferenceSequence = [frame]
    region.ROINumber = drawn.ReferencedROINumber = 1
    region.ROIName, region.ReferencedFrameOfReferenceUID = "Liver", first.FrameOfReferenceUID
    drawn.ContourSequence = []
    for level in range(8, 18):
        contour = Dataset()
        contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", 4
        corners = [(-129, -111), (-93, -111), (-93, -57), (-129, -57)]  # centres of the box's outermost pixels
        contour.ContourData = [value for x, y in corners for value in (x, y, level * STEP_MM)]
        drawn.ContourSequence.append(contour)
    item.StructureSetROISequence, item.ROIContourSequence = [region], [drawn]
    (root / "A1" / "rt").mkdir()
    item.save_as(root / "A1" / "rt" / "rt.dcm", enforce_file_format=True)


def totalsegmentator(root: Path) -> None:
    """A folder of masks beside each series' own."""
    phase_series(root, lambda phase: {})


def nnunet(root: Path) -> None:
    """Images with the channel in their names, label maps without, and labels in dataset.json."""
    for phase in ALL:
        write_nifti(root / "imagesTs" / f"case7_{phase}_0000.nii.gz", body(PHASE_HU[phase]))
        labels = mask_of("liver") + 2 * mask_of("spleen")
        write_nifti(root / "predictions" / f"case7_{phase}.nii.gz", labels)
    declared = '{"labels": {"background": 0, "liver": 1, "spleen": 2}, "file_ending": ".nii.gz"}'
    (root / "predictions" / "dataset.json").write_text(declared)


def waw_tace(root: Path) -> None:
    """Phases 0 to 3 in the names; patient 5 has no precontrast phase, 3 no delayed one; a mask on one phase."""
    for patient, phases in ((3, "012"), (5, "123")):
        for number in phases:
            hu = list(PHASE_HU.values())[int(number)]
            write_nifti(root / "images" / f"{patient}_{number}.nii.gz", body(hu))
    write_nifti(root / "masks" / "5_1_tumor.nii.gz", mask_of("portal_vein"))


def msd(root: Path) -> None:
    """Images called liver, label maps of the same name: 1 liver, 2 tumour."""
    for number in (0, 10):
        write_nifti(root / "imagesTr" / f"liver_{number}.nii.gz", body(VENOUS))
        write_nifti(root / "labelsTr" / f"liver_{number}.nii.gz", mask_of("liver") + mask_of("portal_vein"))


def lits(root: Path) -> None:
    """volume-28.nii and segmentation-28.nii: the phase is told nowhere, and two organs say little."""
    for name, array in (("volume-28.nii", body(VENOUS)), ("segmentation-28.nii", mask_of("liver"))):
        sitk.WriteImage(sitk.GetImageFromArray(array), str(root / name))


def chaos(root: Path) -> None:
    """Patients are folders of numbers; masks are pictures."""
    for number in (1, 10):
        folder = root / "CT" / str(number)
        write_ct(folder / "DICOM_anon", VENOUS, patient="", study=str(number), second=None, name="i{:04d},0000b.dcm")
        (folder / "Ground").mkdir()
        for slice_number in range(SLICES):
            (folder / "Ground" / f"liver_GT_{slice_number:03d}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))


def archive_export(root: Path) -> None:
    """TCGA-LIHC and its like: one study of several modalities, all its series, a report, nothing said of phases."""
    folder = root / "TCGA-LIHC" / "TCGA-BC-A10X" / "11-22-1992-NA-CT ABDOMEN-55569"
    write_study(folder, ["precontrast", *sorted(ALL, key=DELAY_S.__getitem__)], patient="TCGA-BC-A10X")
    write_ct(folder / "mr", patient="TCGA-BC-A10X", series="mr", Modality="MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.4")
    report = write_ct(folder / "sr", patient="TCGA-BC-A10X", series="sr", places=[0], Modality="SR")[0]
    assert report.is_file()
    (root / "LICENSE").write_text("text beside the images")


def two_studies(root: Path) -> None:
    write_study(root / "old", study="1")
    write_study(root / "new", study="2", StudyDate="20210101", AcquisitionDate="20210101")


TRAPS = {
    "two phases in one series, by number": Trap(
        "reference, section 12: 21 of 105 patients of HCC-TACE-Seg; https://github.com/Slicer/Slicer/pull/4801",
        stacked_by_number,
        {"HCC_009": ALL},
        ("volume 2 of 2 in one series",),
    ),
    "two phases in one series, by time": Trap(
        "reference, section 12: acquisition number or time tells them apart", stacked_by_time, {"HCC_009": ALL}
    ),
    "two phases in one series, by order": Trap(
        "https://github.com/imageio/imageio/pull/349: several images at one place in one series",
        stacked_by_order,
        {"HCC_009": set()},
        ("volume 1 of 2 in one series",),
    ),
    "two phases in one series, untold": Trap(
        "https://github.com/Project-MONAI/monai-deploy-app-sdk/issues/532",
        stacked_untold,
        {"HCC_009": set()},
        ("20 slices at a place already taken; no tag tells them apart",),
    ),
    "half a slice apart": Trap("https://github.com/rordenlab/dcm2niix/issues/590", half_slice, {"A1": ALL}),
    "step and shoot stays one": Trap("https://github.com/rordenlab/dcm2niix/pull/48", step_and_shoot, {"A1": ALL}),
    "two passes that overlap": Trap(
        "https://github.com/dgobbi/vtk-dicom/issues/220",
        overlapping_passes,
        {"A1": set()},
        ("volume 2 of 2 in one series",),
    ),
    "localiser in the series": Trap(
        "https://github.com/icometrix/dicom2nifti/issues/60", localiser_in_the_series, {"A1": ALL}, ("localiser",)
    ),
    "localiser by its description": Trap(
        "https://github.com/rordenlab/dcm2niix/issues/731",
        beside(lambda folder: write_ct(folder / "topo", series="t", SeriesDescription="Topogram 0.6 T20f")),
        {"A1": ALL},
        ("localiser",),
    ),
    "dose page of modality CT": Trap(
        "DICOM PS3.3, A.8 (secondary capture image)",
        beside(dose_page),
        {"A1": ALL},
        ("secondary capture",),
    ),
    "coronal reformat": Trap(
        "https://github.com/nroduit/Weasis/issues/716: coronal and sagittal series beside the axial one",
        beside(
            lambda folder: write_ct(
                folder / "c",
                series="c",
                SeriesDescription="Abdomen 3.0 SPO",
                each=lambda index, header: set_tags(
                    ImagePositionPatient=[-165, index * 5, 0], ImageOrientationPatient=[1, 0, 0, 0, 0, -1]
                )(index, header),
            )
        ),
        {"A1": ALL},
        ("not axial",),
    ),
    "projection of maxima": Trap(
        "https://github.com/rordenlab/dcm2niix/issues/731: a converter that leaves out derived series",
        beside(lambda folder: write_ct(folder / "m", series="m", ImageType=["DERIVED", "SECONDARY", "AXIAL", "MIP"])),
        {"A1": ALL},
        ("reformat",),
    ),
    "derived is not left out": Trap(
        "DICOM PS3.3, C.7.6.1.1.2: DERIVED says that pixels follow from others, not that they are no slice",
        lambda root: write_study(root, ImageType=["DERIVED", "PRIMARY", "AXIAL"]),
        {"A1": ALL},
    ),
    "sharp kernel, Siemens": Trap(
        "Somatom Sensation Cardiac, operating instructions A60, page 316", beside(two_kernels), {"A1": ALL}, ("B70f",)
    ),
    "sharp kernel, GE": Trap(
        "https://xrayn-web.pages.dev/wiki/glossary/reconstruction-kernel",
        beside(lambda folder: write_ct(folder / "l", series="l", second=NINE + 70, ConvolutionKernel="LUNG")),
        {"A1": ALL},
        ("bone or lung kernel",),
    ),
    "bolus tracking": Trap(
        "Kim et al., Iranian Journal of Radiology 2017;14:e31918: 4.5 to 5.4 monitoring scans a patient",
        beside(lambda folder: write_ct(folder / "b", series="b", places=[50] * 12, SeriesDescription="Monitoring")),
        {"A1": ALL},
        ("bolus tracking",),
    ),
    "monitored place without a name": Trap(
        "the same, of a scanner that gives these scans no name",
        beside(lambda folder: write_ct(folder / "b", series="b", places=[50, 50, 50])),
        {"A1": ALL},
        ("too short to hold the liver",),
    ),
    "virtual unenhanced": Trap(
        "Spectral CT of the abdomen, Insights into Imaging 2021, doi:10.1186/s13244-021-01082-7",
        beside(virtual_unenhanced),
        {"A1": ALL},
        ("spectral map",),
    ),
    "burned medium": Trap("https://github.com/ayselafsar/dicomviewer/issues/15", medium, {"A1": ALL}),
    "burned medium, files lost": Trap(
        "https://github.com/dgobbi/vtk-dicom/issues/124: a DICOMDIR lists files that were removed",
        medium_with_gaps,
        {"A1": ALL},
        ("3 files that DICOMDIR names are not there",),
    ),
    "no ending": Trap("https://github.com/mlavik1/UnityVolumeRendering/pull/37", without_endings, {"A1": ALL}),
    "no preamble": Trap(
        "https://github.com/JuliaHealth/DICOM.jl/issues/84", without_preamble, {"A1": ALL}, ("no DICOM preamble",)
    ),
    "zip": Trap("https://github.com/ayselafsar/dicomviewer/issues/146", zipped, {"A1": ALL}),
    "one identifier for all": Trap(
        "https://github.com/e0404/matRad/pull/273", same_identifier, {"pat1": ALL, "pat2": ALL}
    ),
    "two identifiers in one study": Trap("https://github.com/RSNA/anonymizer/issues/18", two_identifiers, {"A1": ALL}),
    "one identifier for two": Trap(
        "https://github.com/fli-iam/shanoir-ng/issues/3497", two_persons, {"pat1": ALL, "pat2": ALL}
    ),
    "no identifier": Trap("https://github.com/fli-iam/shanoir-ng/pull/3163", no_identifier, {"pat1": ALL}),
    "exported twice": Trap(
        "https://github.com/Project-MONAI/monai-deploy-app-sdk/issues/532",
        twice,
        {"A1": ALL},
        ("copies of its slices",),
    ),
    "AP is no arterial phase": Trap("reference, section 12 (HCC-TACE-Seg)", abdomen_and_pelvis, {"A1": ALL}),
    "one time for all series": Trap(
        "DICOM PS3.15, E.3.6 (times may be replaced by dummy values)",
        copied_times,
        {"A1": ALL},
        ("times contradict the images",),
        masks=ALL_MASKS,
    ),
    "all at midnight": Trap(
        "DICOM PS3.15, E.3.6 (times may be replaced by dummy values)", midnight_times, {"A1": ALL}, masks=ALL_MASKS
    ),
    "reconstructed later": Trap("https://github.com/nipy/heudiconv/issues/450", reconstructed_later, {"A1": ALL}),
    "over midnight": Trap("https://github.com/nipy/heudiconv/pull/459", over_midnight, {"A1": ALL}),
    "wrong words": Trap(
        "Baldini et al. 2024, https://ship-ai.ikim.nrw/publication/baldini2024",
        wrong_words,
        {"A1": {"arterial", "venous"}},
        ("the rest speaks for delayed",),
        masks={name for name in ALL_MASKS if "delayed" not in name},
    ),
    "thin and thick slices": Trap(
        "reference, section 12: series of HCC-TACE-Seg called Recon 2",
        beside(thin_slices),
        {"A1": ALL},
        ("used as venous, of 2 reconstructions", "another reconstruction is venous"),
    ),
    "two arterial phases": Trap(
        "https://healthmanagement.org/c/imaging/News/improving-ct-phase-classification-with-two-step-ai",
        beside(early_arterial),
        {"A1": {"venous", "delayed"}},
        ("2 volumes of several acquisitions are arterial",),
    ),
    "slices without positions": Trap(
        "https://github.com/rordenlab/dcm2niix/issues/555",
        beside(without_positions),
        {"A1": ALL},
        ("slices without position",),
    ),
    "several volumes in one file": Trap(
        "https://github.com/rordenlab/dcm2niix/issues/463 (enhanced objects of many volumes)",
        beside(several_in_one_file),
        {"A1": ALL},
        ("20 slices at a place already taken; several volumes in one file: export it as one slice a file",),
    ),
    "decimal commas": Trap("field_inputs/decimal_comma.py", decimal_commas, {"A1": set()}),
    "two voltages": Trap(
        "DICOM PS3.3, C.8.2.1 (KVP is of the image, not of the series)",
        two_voltages,
        {"A1": set()},
        ("volume 2 of 2 in one series",),
    ),
    "SEG on a stacked series": Trap(
        "reference, section 12 (HCC-TACE-Seg); https://github.com/OHIF/Viewers/issues/2361",
        seg_on_a_stacked_series,
        {"HCC_009": ALL},
        ("by reference to its slices",),
        masks={"liver_mask_venous"},
    ),
    "SEG without references": Trap(
        "https://github.com/OHIF/Viewers/issues/4030",
        seg_without_references,
        {"A1": ALL},
        ("by frame of reference and grid it fits 3 volumes",),
    ),
    "RTSTRUCT": Trap("DICOM PS3.3, C.8.8.5 (referenced series)", structures, {"A1": ALL}, masks={"liver_mask_venous"}),
    "TotalSegmentator beside the series": Trap(
        "https://github.com/wasserth/TotalSegmentator/issues/306: -o segmentations makes a folder, a file an organ",
        totalsegmentator,
        {"A1": ALL},
        masks=ALL_MASKS,
    ),
    "nnU-Net's names and labels": Trap(
        "https://github.com/MIC-DKFZ/nnUNet/issues/820",
        nnunet,
        {"case7": ALL},
        masks=ALL_MASKS,
    ),
    "WAW-TACE": Trap(
        "reference, section 12; doi:10.1148/ryai.240296",
        waw_tace,
        {"3": {"arterial", "venous"}, "5": ALL},
        ("no volume is surely delayed",),
        Choices(recipe="waw-tace"),
    ),
    "MSD liver": Trap(
        "Antonelli et al. 2022; an image called liver is no mask of it",
        msd,
        {"0": {"venous"}, "10": {"venous"}},
        choices=Choices(recipe="msd_liver", phases=("venous",)),
        masks={"liver_mask_venous"},
    ),
    "LiTS says no phase": Trap(
        "https://github.com/PatrickChrist/LITS-CHALLENGE/issues/14: volumes 28 to 47 have identity affines",
        lits,
        {"28": set()},
        ("phase unsure", "voxels of 1 x 1 x 1 mm at the origin"),
        Choices(recipe="lits", phases=("venous",)),
    ),
    "CHAOS": Trap(
        "https://chaos.grand-challenge.org/Data/",
        chaos,
        {"1": {"venous"}, "10": {"venous"}},
        (
            "left open: 20 files: is a picture, without HU and place: convert masks that are pictures to NIfTI; "
            "as many as slices of the volume beside them",
        ),
        Choices(recipe="chaos", phases=("venous",)),
    ),
    "plain archive export": Trap(
        "TCGA-LIHC, https://doi.org/10.7937/K9/TCIA.2016.IMMQW8UQ",
        archive_export,
        {"TCGA-BC-A10X": ALL},
        ("modality MR, not CT", "neither DICOM nor NIfTI", "not used: precontrast"),
    ),
    "two studies": Trap(
        "CT before and after TACE in HCC-TACE-Seg, doi:10.7937/TCIA.5FNA-0924",
        two_studies,
        {"A1": set()},
        ("2 studies have all phases",),
    ),
    "two studies, the last wanted": Trap(
        "the same, decided by the user",
        two_studies,
        {"A1": ALL},
        ("another study of the patient was taken",),
        Choices(study="last"),
    ),
}


@pytest.mark.parametrize("name", TRAPS)
def test_trap(tmp_path, name):
    """What can be told is filled in and reads as its phase; the rest is empty, and the reason is in the table."""
    trap = TRAPS[name]
    (tmp_path / "in").mkdir()
    trap.build(tmp_path / "in")
    report = write_manifest(tmp_path / "in", tmp_path / "patients.csv", trap.choices)
    cells = pd.read_csv(report.manifest, dtype=str, keep_default_na=False).set_index("patient_id")
    assert {
        patient: {phase for phase in trap.choices.phases if cells.loc[patient, phase]} for patient in cells.index
    } == trap.filled
    for patient, phases in trap.filled.items():
        for phase in phases:
            with collected():  # a repair is no fault here
                image = read_image(tmp_path / cells.loc[patient, phase])
            step = image.GetSize()[2] // SLICES
            assert np.median(to_array(image)[:: max(1, step)][BOXES["liver"]]) == PHASE_HU[phase]["liver"]
            for column in trap.masks & {f"{organ}_mask_{phase}" for organ in ("liver", "spleen")}:
                organ = column.split("_")[0]
                mask = read_mask(
                    tmp_path / cells.loc[patient, column],
                    image,
                    organ=None if "#" in cells.loc[patient, column] else organ,
                )
                assert to_array(mask).sum() >= 0.7 * mask_of(organ).sum()
    masks = {column for column in cells.columns if "_mask_" in column and (cells[column] != "").any()}
    assert masks == trap.masks
    words = "\n".join(f"{row.decision}: {row.reason}" for row in report.table.itertuples())
    assert [said for said in trap.said if said not in words] == []
