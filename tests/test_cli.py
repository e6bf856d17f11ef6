"""The command as a user meets it: good input, and each kind of bad input with one message and exit code 1."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from hccbook.cli import main

ROW = {
    "patient_id": "A-1",
    "centre": "C01",
    "cohort": "discovery",
    "age": 50,
    "sex": "male",
    "bilirubin": 17.1,
    "albumin": 40,
    "platelets": 150,
    "afp": 3,
    "alt": 30,
    "etiology": "HBV",
    "hcc": 0,
    "months": 6,
    "venous": "venous.nii.gz",
    "liver_mask_venous": "liver.nii.gz",
}


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """Run ``hccbook`` with arguments; give exit code, standard output and standard error."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["hccbook", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        written = capsys.readouterr()
        return int(stop.value.code or 0), written.out, written.err

    return run


def volume(array: np.ndarray, spacing: float = 5.0) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((spacing,) * 3)
    return image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One patient with one phase and a liver mask, on small grids."""
    rng = np.random.default_rng(1)
    array = rng.normal(60, 20, (12, 14, 16)).astype(np.int16)
    mask = np.zeros(array.shape, np.uint8)
    mask[3:9, 3:10, 4:12] = 1
    sitk.WriteImage(volume(array), tmp_path / "venous.nii.gz")
    sitk.WriteImage(volume(mask), tmp_path / "liver.nii.gz")
    return tmp_path


def manifest(folder: Path, *rows: dict) -> Path:
    file = folder / "manifest.csv"
    pd.DataFrame(rows or [ROW]).to_csv(file, index=False)
    return file


def problems(command, file: Path) -> list[dict]:
    code, out, _ = command("check", file, "--phases", "venous", "--json")
    found = json.loads(out)
    assert code == (1 if found else 0)
    return found


def slice_file(path: Path, position: float, series: str, study: str, modality: str = "CT") -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage if modality == "CT" else MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID = meta.MediaStorageSOPClassUID
    data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    data.PatientID, data.PatientName = "A-1", "TEST^ONE"
    data.StudyInstanceUID, data.SeriesInstanceUID, data.Modality = study, series, modality
    data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, position], [1, 0, 0, 0, 1, 0]
    data.PixelSpacing, data.SliceThickness = [1, 1], 2
    data.Rows = data.Columns = 8
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    data.RescaleSlope, data.RescaleIntercept = 1, 0
    data.PixelData = np.full((8, 8), 50, np.int16).tobytes()
    data.save_as(path, enforce_file_format=True)


def test_good_manifest_has_no_problem(command, folder: Path) -> None:
    """One line says so, and the exit code is 0."""
    code, out, _ = command("check", manifest(folder), "--phases", "venous")
    assert (code, out) == (0, "manifest.csv: no problem found.\n")


def test_missing_manifest_is_one_message(command, tmp_path: Path) -> None:
    """The file is named and nothing else is said."""
    code, out, err = command("check", tmp_path / "nosuch.csv")
    assert code == 1
    assert "nosuch.csv" in out + err
    assert "Traceback" not in out + err


def test_missing_phase_column_is_named(command, folder: Path) -> None:
    """Three phases are asked for and one is there."""
    code, out, _ = command("check", manifest(folder), "--json")
    assert code == 1
    assert {problem["column"] for problem in json.loads(out)} == {"arterial", "delayed"}


def test_wrong_modality_is_refused(command, folder: Path) -> None:
    """An MRI series is not a CT."""
    (folder / "mr").mkdir()
    study, series = generate_uid(), generate_uid()
    for number in range(4):
        slice_file(folder / "mr" / f"{number}.dcm", 2.0 * number, series, study, "MR")
    (found,) = problems(command, manifest(folder, ROW | {"venous": "mr", "liver_mask_venous": ""}))
    assert "MR" in found["found"]


def test_mixed_series_are_refused(command, folder: Path) -> None:
    """Two series in one folder cannot be one phase."""
    (folder / "two").mkdir()
    study = generate_uid()
    for series in (generate_uid(), generate_uid()):
        for number in range(4):
            slice_file(folder / "two" / f"{series[-6:]}-{number}.dcm", 2.0 * number, series, study)
    (found,) = problems(command, manifest(folder, ROW | {"venous": "two", "liver_mask_venous": ""}))
    assert "2" in found["found"]
    assert "series" in found["rule"] + found["found"]


def test_run_with_a_bad_manifest_stops_before_anything(command, folder: Path) -> None:
    """The first stage names the problem; no later stage starts."""
    profile = folder / "mine.yaml"
    profile.write_text(
        "run: {synthetic: false, phases: venous}\ncohort: {segmentation_patients: 0}\n", encoding="utf-8"
    )
    file = manifest(folder, ROW | {"albumin": 4.0})
    code, _, err = command("run", "--profile", profile, "--manifest", file, "--out", folder / "run", "--jobs", 1)
    assert code == 1
    assert "albumin" in err
    assert "Multiply albumin by 10" in err
    assert "Traceback" not in err
    assert not (folder / "run" / "preprocessing").exists()


def test_a_plan_runs_nothing(command, tmp_path: Path) -> None:
    """Stages of the profile with their patients, and no folder of a run."""
    code, out, _ = command("run", "--plan", "--profile", "demo", "--out", tmp_path / "run", "--jobs", 2)
    assert code == 0
    assert "Forecast for profile demo on 2 cores" in out
    (cohort,) = [line.split() for line in out.splitlines() if line.startswith("01_cohort ")]
    assert cohort[:2] == ["01_cohort", "240"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("profile", "is_told"), [("paper", True), ("smoke", False)])
def test_a_long_run_is_told_before_it_starts(
    command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str, is_told: bool
) -> None:
    """Thousands of patients take hours on one core, a handful do not; a run that was begun before says nothing."""
    monkeypatch.setattr("hccbook.pipeline.runner.run", lambda profile, **where: where["results"])
    folder = tmp_path / "run"
    _, out, _ = command("run", "--profile", profile, "--out", folder, "--jobs", 1)
    assert ("hours on one core" in out) is is_told
    folder.mkdir()
    (folder / "costs.csv").touch()
    _, out, _ = command("run", "--profile", profile, "--out", folder, "--jobs", 1)
    assert out == f"Done: {folder}\n"


def test_unknown_parameter_in_a_profile_is_one_message(command, folder: Path) -> None:
    """The setting is named with its section and the nearest known one."""
    profile = folder / "mine.yaml"
    profile.write_text("alarm:\n  lasso_fold: 5\n", encoding="utf-8")
    code, _, err = command("run", "--profile", profile, "--out", folder / "run")
    assert code == 1
    assert err.startswith("hccbook: mine.yaml: alarm.lasso_fold:")
    assert "lasso_folds" in err


def test_extract_writes_the_features_of_one_image(command, folder: Path) -> None:
    """Mesh volume is near the voxel volume, and first-order values are numpy's own."""
    code, out, _ = command("extract", folder / "venous.nii.gz", folder / "liver.nii.gz", "-o", folder / "out.csv")
    assert code == 0, out
    (_, values), *others = pd.read_csv(folder / "out.csv").iterrows()
    assert not others
    inside = sitk.GetArrayFromImage(sitk.ReadImage(folder / "venous.nii.gz"))[3:9, 3:10, 4:12]
    assert values["original_firstorder_Mean"] == pytest.approx(inside.mean(), rel=1e-9)
    assert values["original_shape_VoxelVolume"] == pytest.approx(6 * 7 * 8 * 125)


def test_simulate_writes_manifests_and_truth(command, tmp_path: Path) -> None:
    """Both papers' cohorts, with the planted truth beside the data; effect none has an image AUC of one half."""
    profile = tmp_path / "tiny.yaml"
    sizes = {"alarm_discovery": 2, "alarm_internal": 1, "alarm_external": 1, "amap_ct_training": 1}
    sizes |= {"amap_ct_validation": 1, "amap_ct_test": 2, "dicom_patients": 0, "segmentation_patients": 0}
    cases = {f"{name}_hcc": 1 for name in ("alarm_discovery", "amap_ct_test")}
    cases |= {f"{name}_hcc": 0 for name in ("alarm_internal", "amap_ct_training", "amap_ct_validation")}
    cohort = sizes | cases | {"alarm_external_hcc": 0, "acquisition_spacing_mm": 10.0}
    profile.write_text(json.dumps({"cohort": cohort}), encoding="utf-8")
    code, out, err = command("simulate", "--profile", profile, "--out", tmp_path / "data", "--effect", "none")
    assert code == 0, err
    for paper in ("alarm", "amap_ct"):
        assert str(tmp_path / "data" / paper / "manifest.csv") in out
        assert len(pd.read_csv(tmp_path / "data" / paper / "manifest.csv")) == 4
        truth = json.loads((tmp_path / "data" / paper / "truth.json").read_text())
        assert truth["effect"] == "none"
    assert truth["auc"]["test"]["liver_spleen"] == 0.5
