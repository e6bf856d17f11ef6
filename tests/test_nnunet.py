"""nnU-Net's data set and predictions: its documented rules read independently, and what is refused."""

from __future__ import annotations

import gzip
import json
import re
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from hccbook.cli import main
from hccbook.errors import DataError, ImageError, MaskError, SettingsError
from hccbook.images import from_array, read_label_map, same_grid, to_array, write_image
from hccbook.pipeline.cohort import make_cohort, make_training_set
from hccbook.pipeline.dice import segmentation_dice
from hccbook.pipeline.preprocessing import preprocess_cohort
from hccbook.pipeline.segmentation import segment_cohort, segmentation_network
from hccbook.run import Case, RunPaths
from hccbook.segmentation import nnunet
from hccbook.settings import PHASES, CohortSettings, PreprocessingSettings, SegmentationSettings

OBLIQUE = tuple(np.array([[0.96, -0.28, 0.0], [0.28, 0.96, 0.0], [0.0, 0.0, 1.0]]).ravel())


def image_of(array: np.ndarray, direction: tuple[float, ...] = (1, 0, 0, 0, 1, 0, 0, 0, 1)) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.5, 2.0, 4.0))
    image.SetOrigin((-20.0, 35.0, 7.0))
    image.SetDirection(direction)
    return image


def ct(direction: tuple[float, ...] = (1, 0, 0, 0, 1, 0, 0, 0, 1)) -> sitk.Image:
    values = np.random.default_rng(3).integers(-100, 200, (5, 6, 7)).astype(np.int16)
    return image_of(values, direction)


def labels_of(image: sitk.Image) -> sitk.Image:
    """Asymmetric in every axis: liver of 1 x 2 x 3 voxels (z, y, x), spleen of one."""
    array = np.zeros(image.GetSize()[::-1], np.uint8)
    array[1, 1:3, 1:4] = 1
    array[3, 4, 5] = 2
    return from_array(array, image)


def written(folder: Path, case: str, labels: sitk.Image) -> Path:
    file = folder / f"{case}.nii.gz"
    write_image(labels, file)
    return folder


@pytest.fixture
def cases(tmp_path: Path) -> dict[str, tuple[Path, Path]]:
    """Image and label map of two cases."""
    image = ct()
    made = {}
    for case in ("segmentation_P0001_venous", "segmentation_P0002_venous"):
        made[case] = (tmp_path / "source" / f"{case}.nii.gz", tmp_path / "source" / f"{case}_labels.nii.gz")
        write_image(image, made[case][0])
        write_image(labels_of(image), made[case][1])
    return made


def nifti(file: Path) -> tuple[dict[str, object], np.ndarray]:
    """Header and voxels of a NIfTI-1 file by the standard's byte offsets, without any image library."""
    content = gzip.decompress(file.read_bytes())
    assert struct.unpack_from("<i", content)[0] == 348
    dim = struct.unpack_from("<8h", content, 40)
    code = struct.unpack_from("<h", content, 70)[0]
    start = int(struct.unpack_from("<f", content, 108)[0])
    header = {
        "size": dim[1 : 1 + dim[0]],
        "edges": struct.unpack_from("<3f", content, 80),
        "rows": np.array(struct.unpack_from("<12f", content, 280)).reshape(3, 4),
        "text": content[148:252].strip(b"\0") + content[328:344].strip(b"\0"),
        "extension": content[348] != 0,
    }
    kind = {2: np.uint8, 4: np.int16}[code]
    return header, np.frombuffer(content[start:], kind)


def problems_of(folder: Path) -> list[str]:
    """What breaks the documented rules of a raw data set of nnU-Net v2.

    The rules, from its documentation (dataset_format.md and dataset_format_inference.md):
    the folder is DatasetXXX_Name with a three-digit number;
    imagesTr holds <case>_XXXX<ending> with a four-digit channel for every channel of channel_names, labelsTr
    <case><ending> for each of the same cases, imagesTs as imagesTr;
    dataset.json has channel_names (number as text -> name), labels (name -> whole number, background 0, consecutive),
    numTraining and file_ending; a label map has the geometry of its images and holds only the labels listed.
    """
    found = []
    if not re.fullmatch(r"Dataset\d{3}_.+", folder.name):
        found.append(f"folder {folder.name}")
    content = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    ending, channels, labels = content["file_ending"], content["channel_names"], content["labels"]
    if labels.get("background") != 0 or sorted(labels.values()) != list(range(len(labels))):
        found.append("labels")
    if list(channels) != [str(number) for number in range(len(channels))]:
        found.append("channels")
    of_set = {}
    for kind in ("imagesTr", "imagesTs"):
        named = [re.fullmatch(rf"(.+)_(\d{{4}}){re.escape(ending)}", path.name) for path in (folder / kind).iterdir()]
        if not all(named):
            found.append(f"{kind}: names")
        of_set[kind] = sorted(match[1] for match in named if match)
        if sorted(match[2] for match in named if match) != [f"{int(k):04d}" for k in channels] * len(of_set[kind]):
            found.append(f"{kind}: channels")
    if sorted(path.name for path in (folder / "labelsTr").iterdir()) != [case + ending for case in of_set["imagesTr"]]:
        found.append("labelsTr: names")
    if content["numTraining"] != len(of_set["imagesTr"]):
        found.append("numTraining")
    if set(of_set["imagesTr"]) & set(of_set["imagesTs"]):
        found.append("a case in both sets")
    return found or [
        problem for case in of_set["imagesTr"] for problem in mask_problems(folder, case, ending, set(labels.values()))
    ]


def mask_problems(folder: Path, case: str, ending: str, labels: set[int]) -> list[str]:
    """What breaks the rules for the label map of one case."""
    image, _ = nifti(folder / "imagesTr" / f"{case}_0000{ending}")
    mask, values = nifti(folder / "labelsTr" / f"{case}{ending}")
    found = []
    if image["size"] != mask["size"] or not np.allclose(image["rows"], mask["rows"], atol=1e-4):
        found.append(f"{case}: geometry")
    if not set(values.tolist()) <= labels:
        found.append(f"{case}: label values")
    return found


# --- writing ----------------------------------------------------------------------------------------------------------


def test_data_set_keeps_nnunets_rules(cases, tmp_path: Path):
    """Two training cases and one test case, read by the documented rules."""
    testing = {"alarm_P0001_venous": cases["segmentation_P0001_venous"][0]}
    folder = nnunet.write_dataset(tmp_path / "raw", cases, testing, "LiverSpleen", 7, "made in a test")
    assert folder == tmp_path / "raw" / "Dataset007_LiverSpleen"
    assert problems_of(folder) == []
    content = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    assert content["channel_names"] == {"0": "CT"}
    assert content["labels"] == {"background": 0, "liver": 1, "spleen": 2}
    assert content["numTraining"] == 2
    assert [path.name for path in (folder / "imagesTs").iterdir()] == ["alarm_P0001_venous_0000.nii.gz"]
    assert [path.name for path in (tmp_path / "raw").iterdir()] == ["Dataset007_LiverSpleen"]


def test_labels_with_turned_axes_are_written_on_the_grid_of_their_image(cases, tmp_path: Path):
    """nnU-Net lays voxel on voxel, so that a label map stored in other axes would be misread."""
    image_file, label_file = cases["segmentation_P0001_venous"]
    write_image(sitk.DICOMOrient(labels_of(ct()), "RAS"), label_file)
    folder = nnunet.write_dataset(tmp_path / "raw", {"a": (image_file, label_file)}, {}, "X", 1)
    assert problems_of(folder) == []
    _, values = nifti(folder / "labelsTr" / "a.nii.gz")
    assert np.array_equal(values.reshape(5, 6, 7), to_array(labels_of(ct())))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda folder: (folder / "labelsTr" / "b.nii.gz").unlink(), ["labelsTr: names"]),
        (
            lambda folder: (folder / "imagesTr" / "b_0000.nii.gz").rename(folder / "imagesTr" / "b_0001.nii.gz"),
            ["imagesTr: channels"],
        ),
        (lambda folder: written(folder / "labelsTr", "b", 3 * labels_of(ct())), ["b: label values"]),
        (lambda folder: written(folder / "labelsTr", "b", labels_of(ct(OBLIQUE))), ["b: geometry"]),
    ],
)
def test_broken_rules_are_found(cases, tmp_path: Path, change, expected):
    """What reads the data set here sees names, channels, labels and geometry that are wrong."""
    training = dict(zip("ab", cases.values(), strict=True))
    folder = nnunet.write_dataset(tmp_path / "raw", training, {}, "X", 1)
    assert problems_of(folder) == []
    change(folder)
    assert problems_of(folder) == expected


def test_data_set_is_refused(cases, tmp_path: Path):
    """Names, numbers, cases and files that nnU-Net would misread; nothing half-written stays."""
    one = {"a": cases["segmentation_P0001_venous"]}
    image, labels = one["a"]
    raw = tmp_path / "raw"
    for training, testing, name, number, error, message in (
        (one, {}, "Liver Spleen", 1, SettingsError, "letters, digits.*'Liver Spleen'"),
        (one, {}, "X", 1000, SettingsError, "1 to 999, but found 1000"),
        ({}, {}, "X", 1, DataError, "at least one case"),
        (one, {"a": image}, "X", 1, DataError, "not test on what it trains on, but found a"),
        ({}, {"a b": image}, "X", 1, DataError, "'a b'"),
        ({}, {"a": tmp_path / "nosuch.nii.gz"}, "X", 1, ImageError, "a: image must exist"),
        ({}, {"a": tmp_path / "series"}, "X", 1, ImageError, r"a: file must end in \.nii\.gz, but found 'series'"),
        ({"a": (image, image)}, {}, "X", 1, MaskError, "a, labels: label map must hold"),
    ):
        with pytest.raises(error, match=message):
            nnunet.write_dataset(raw, training, testing, name, number)
        assert not raw.exists() or list(raw.iterdir()) == []
    write_image(image_of(np.zeros((5, 6, 8), np.uint8)), labels)
    with pytest.raises(MaskError, match=r"a, labels: .*grid.*8 x 6 x 5 voxels.*7 x 6 x 5 voxels"):
        nnunet.write_dataset(raw, one, {}, "X", 1)
    assert list(raw.iterdir()) == []


def test_number_that_is_taken_is_refused(cases, tmp_path: Path):
    """nnU-Net finds a data set by its number alone."""
    nnunet.write_dataset(tmp_path / "raw", cases, {}, "First", 9)
    with pytest.raises(SettingsError, match="must be free in its folder, but found Dataset009_First"):
        nnunet.write_dataset(tmp_path / "raw", cases, {}, "Second", 9)


# --- predictions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", [(1, 0, 0, 0, 1, 0, 0, 0, 1), (-1, 0, 0, 0, -1, 0, 0, 0, 1), OBLIQUE])
@pytest.mark.parametrize("axes", ["LPS", "RAS", "LAI", "PIR", "SAL", "ILP"])
def test_prediction_in_any_axes_is_put_on_the_grid(tmp_path: Path, direction, axes):
    """Every organ voxel stays where it was in space, and every voxel where it was in the array."""
    image = ct(direction)
    truth = labels_of(image)
    turned = sitk.DICOMOrient(truth, axes)
    spleen = np.argwhere(to_array(turned) == 2)[0][::-1]
    assert turned.TransformIndexToPhysicalPoint(spleen.tolist()) == pytest.approx(
        image.TransformIndexToPhysicalPoint((5, 4, 3)), abs=1e-4
    )
    found = nnunet.read_prediction(written(tmp_path, "a", turned), "a", image)
    assert np.array_equal(to_array(found), to_array(truth))
    assert same_grid(found, image, tolerance=0.0)
    assert found.GetPixelID() == sitk.sitkUInt8


def test_a_missing_prediction_is_named(tmp_path: Path):
    """The case and the hint; nnU-Net's own files beside the predictions are not read."""
    written(tmp_path, "a", labels_of(ct()))
    for name in ("dataset.json", "plans.json", "predict_from_raw_data_args.json"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    assert np.array_equal(to_array(nnunet.read_prediction(tmp_path, "a", ct())), to_array(labels_of(ct())))
    with pytest.raises(MaskError, match=r"c: nnU-Net must have predicted .*no prediction\. Run nnUNetv2_predict on"):
        nnunet.read_prediction(tmp_path, "c", ct())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda labels: labels.SetOrigin((-20.0, 35.0, 11.0)), "grid"),
        (lambda labels: labels.SetSpacing((1.5, 2.0, 3.9)), "grid"),
        (lambda labels: labels.SetDirection(OBLIQUE), "grid"),
        (lambda labels: labels.SetDirection((-1, 0, 0, 0, 1, 0, 0, 0, 1)), "grid"),
        (lambda labels: labels.SetPixel((0, 0, 0), 3), r"0 \(background\), 1 \(liver\) and 2 \(spleen\).*found 3"),
    ],
)
def test_prediction_that_does_not_belong_is_refused(tmp_path: Path, change, message):
    """Shifted, stretched, turned, mirrored in place, or with a third organ."""
    labels = labels_of(ct())
    change(labels)
    with pytest.raises(MaskError, match=f"P0001: label map must .*{message}"):
        nnunet.read_prediction(written(tmp_path, "P0001", labels), "P0001", ct())


def test_broken_predictions_are_refused(tmp_path: Path):
    """No NIfTI, a file cut short, fractions, and two volumes in one file."""
    image = ct()
    (tmp_path / "text.nii.gz").write_bytes(b"no image")
    written(tmp_path, "whole", labels_of(image))
    cut = gzip.decompress((tmp_path / "whole.nii.gz").read_bytes())[:-20]
    (tmp_path / "cut.nii.gz").write_bytes(gzip.compress(cut))
    write_image(from_array(np.full((5, 6, 7), 0.5, np.float32), image), tmp_path / "half.nii.gz")
    sitk.WriteImage(sitk.JoinSeries([labels_of(image)] * 2), str(tmp_path / "twice.nii.gz"))
    for case, message in (("text", "readable"), ("cut", "whole"), ("half", "only, but found 0.5"), ("twice", "3-D")):
        with pytest.raises(MaskError, match=f"{case}: .*{message}"):
            nnunet.read_prediction(tmp_path, case, image)


# --- a run ------------------------------------------------------------------------------------------------------------

SIZES = dict.fromkeys(("alarm_discovery", "amap_ct_training"), 2) | dict.fromkeys(
    ("alarm_internal", "alarm_external", "amap_ct_validation", "amap_ct_test"), 0
)
COHORT = CohortSettings(
    acquisition_spacing_mm=10.0,
    dicom_patients=0,
    segmentation_patients=1,
    **SIZES,
    **{f"{name}_hcc": int(count > 1) for name, count in SIZES.items()},
)
COARSE = PreprocessingSettings(spacing_mm=10.0)
PROFILE = "run:\n  phases: arterial,venous,delayed\n"


@pytest.fixture(scope="module")
def preprocessed(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """Two patients a paper and one for the training, up to the preprocessing."""
    run = RunPaths(tmp_path_factory.mktemp("nnunet") / "run")
    make_training_set(run, COHORT, 1)
    for paper in ("alarm", "amap_ct"):
        make_cohort(run, paper, COHORT, PHASES, 1)
        preprocess_cohort(run, paper, COARSE, PHASES, 1)
    return run


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr("sys.argv", ["hccbook", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


@pytest.fixture
def dataset(preprocessed: RunPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data set that the command writes from that run."""
    (tmp_path / "tiny.yaml").write_text(PROFILE, encoding="utf-8")
    words = ("--profile", tmp_path / "tiny.yaml", "--results", preprocessed.root, "--out", tmp_path / "raw")
    assert command(monkeypatch, "nnunet-dataset", *words) == 0
    return tmp_path / "raw" / "Dataset501_LiverSpleen"


def test_data_set_of_a_run(preprocessed: RunPaths, dataset: Path):
    """3 training cases of one patient, 12 test cases of four, no identifier in names, headers or dataset.json."""
    assert problems_of(dataset) == []
    names = {kind: sorted(path.name for path in (dataset / kind).iterdir()) for kind in ("imagesTr", "imagesTs")}
    assert names["imagesTr"] == [f"segmentation_P0001_{phase}_0000.nii.gz" for phase in sorted(PHASES)]
    assert names["imagesTs"] == [
        f"{paper}_P000{number}_{phase}_0000.nii.gz"
        for paper in ("alarm", "amap_ct")
        for number in (1, 2)
        for phase in sorted(PHASES)
    ]
    assert "SYNTHETIC" in (dataset / "dataset.json").read_text(encoding="utf-8")
    for file in dataset.rglob("*.nii.gz"):
        header, _ = nifti(file)
        assert (header["text"], header["extension"]) == (b"", False)
        assert b"SYN-" not in gzip.decompress(file.read_bytes())
    for file in (dataset / "imagesTs").iterdir():
        paper, _, rest = file.name.removesuffix("_0000.nii.gz").partition("_P")
        patient, phase = f"P{rest}".split("_")
        _, working = nifti(Case(preprocessed, paper, patient, PHASES).image(phase))
        assert np.array_equal(nifti(file)[1], working)


def test_round_trip_of_a_run(preprocessed: RunPaths, dataset: Path, tmp_path: Path):
    """The truth, handed back as predictions in other axes, becomes the masks: Dice 1 everywhere, distance 0."""
    predictions = tmp_path / "predictions"
    for paper in ("alarm", "amap_ct"):
        for file in dataset.glob(f"imagesTs/{paper}_*"):
            case = file.name.removesuffix("_0000.nii.gz")
            patient, phase = case.removeprefix(f"{paper}_").split("_")
            truth = read_label_map(Case(preprocessed, paper, patient, PHASES).reference_labels(phase))
            write_image(sitk.DICOMOrient(truth, "RAS"), predictions / f"{case}.nii.gz")
    settings = SegmentationSettings(mask_source="nnunet", predictions=str(predictions))
    assert segmentation_network(preprocessed, settings, PHASES) is None
    for paper in ("alarm", "amap_ct"):
        quality = segment_cohort(preprocessed, paper, settings, None, PHASES, 1)
        assert len(quality) == 2 * 3
        dice = segmentation_dice(preprocessed, paper, PHASES)
        assert len(dice) == 2 * 3 * 2
        assert set(dice["dice"]) == set(dice["surface_dice"]) == {1.0}
        assert set(dice["hd95_mm"]) == {0.0}
        assert set(dice["tolerance_mm"]) == {10.0}
        kept = pd.read_csv(preprocessed.stage("segmentation") / f"{paper}_dice.csv")
        pd.testing.assert_frame_equal(kept, dice, check_dtype=False)


def test_patient_without_prediction_falls_out(preprocessed: RunPaths, tmp_path: Path):
    """P0002 lacks one phase: the reason is in the failures table, and P0001 goes on."""
    for patient in ("P0001", "P0002"):
        for phase in PHASES:
            truth = read_label_map(Case(preprocessed, "alarm", patient, PHASES).reference_labels(phase))
            if (patient, phase) != ("P0002", "delayed"):
                write_image(truth, tmp_path / f"alarm_{patient}_{phase}.nii.gz")
    settings = SegmentationSettings(mask_source="nnunet", predictions=str(tmp_path))
    quality = segment_cohort(preprocessed, "alarm", settings, None, PHASES, 1)
    assert set(quality["patient"]) == {"P0001"}
    failures = pd.read_csv(preprocessed.stage("segmentation") / "alarm_failures.csv")
    assert failures["patient"].tolist() == ["P0002"]
    assert failures["reason"].iloc[0].startswith("alarm_P0002_delayed: nnU-Net must have predicted every case")


@pytest.mark.parametrize(("folder", "found"), [("", "none named"), ("nosuch/place", "no folder 'place'")])
def test_predictions_that_are_nowhere_are_refused_before_any_patient(tmp_path: Path, folder, found):
    """The setting is named with the hint, and no part of the path but its end."""
    settings = SegmentationSettings(mask_source="nnunet", predictions=folder and str(tmp_path / folder))
    with pytest.raises(SettingsError, match=rf"segmentation\.predictions: .*{found}.*nnunet-dataset") as refused:
        segmentation_network(RunPaths(tmp_path / "run"), settings, PHASES)
    assert str(tmp_path) not in str(refused.value)


def test_run_without_preprocessing_is_refused(tmp_path: Path, monkeypatch, capsys):
    """One message with the hint; no folder appears where there was no run."""
    (tmp_path / "tiny.yaml").write_text(PROFILE, encoding="utf-8")
    words = ("--profile", tmp_path / "tiny.yaml", "--results", tmp_path / "run", "--out", tmp_path / "raw")
    assert command(monkeypatch, "nnunet-dataset", *words) == 1
    assert (
        "run, preprocessing: must be done for every paper, but found none of alarm, amap_ct" in capsys.readouterr().err
    )
    assert not (tmp_path / "run").exists()
