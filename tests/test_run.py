"""Where files lie: a run's folders, and what the files of one patient are called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hccbook.errors import SettingsError
from hccbook.run import TRAINING_SET, Case, RunPaths, project_root
from hccbook.settings import PHASES

SOURCES = {
    "arterial": "/ct/p3/arterial",
    "venous": "/ct/p3/venous.nii.gz",
    "delayed": "/ct/p3/delayed.nii",
    "liver_mask_venous": "/ct/p3/all.nii.gz#5",
    "spleen_mask_venous": "/ct/p3/seg.dcm#Spleen",
    "liver_mask_arterial": "/ct/p3/liver",
    "spleen_mask_arterial": "",
}


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    return RunPaths(tmp_path / "results" / "mine")


@pytest.fixture
def case(run: RunPaths) -> Case:
    return Case(run, "amap_ct", "P0003", PHASES, SOURCES)


def test_names_of_a_patient_s_files(run: RunPaths, case: Case) -> None:
    """Cohort, key and phase, in the folder of the stage that writes them."""
    images, segmentation = run.root / "preprocessing" / "images" / "amap_ct", run.root / "segmentation"
    assert case.image("venous") == images / "P0003_venous.nii.gz"
    assert case.reference_labels("venous") == images / "P0003_venous_labels.nii.gz"
    assert case.labels("venous") == segmentation / "labels" / "amap_ct" / "P0003_venous.nii.gz"
    assert case.native_labels("venous") == segmentation / "native_labels" / "amap_ct" / "P0003_venous.nii.gz"


def test_files_of_cohorts_patients_and_phases_lie_apart(run: RunPaths) -> None:
    """No two of them have one name: three cohorts, two patients, three phases, four files."""
    kept = {
        file(phase)
        for cohort in ("alarm", "amap_ct", TRAINING_SET)
        for key in ("P0001", "P0002")
        for made in [Case(run, cohort, key, PHASES)]
        for phase in PHASES
        for file in (made.image, made.labels, made.reference_labels, made.native_labels)
    }
    assert len(kept) == 3 * 2 * 3 * 4


def test_sources_are_those_of_the_manifest(case: Case) -> None:
    """Images and masks as they are named there, with what is meant of a file; an empty cell is no mask."""
    assert case.source("arterial") == Path("/ct/p3/arterial")
    assert case.source_masks("venous") == {
        "liver": Path("/ct/p3/all.nii.gz#5"),
        "spleen": Path("/ct/p3/seg.dcm#Spleen"),
    }
    assert case.source_masks("arterial") == {"liver": Path("/ct/p3/liver")}
    assert case.source_masks("delayed") == {}


def test_own_labels_take_the_place_of_the_run_s(case: Case, tmp_path: Path) -> None:
    """In their phases alone; the other files stay."""
    eroded = replace(case, own_labels={"venous": tmp_path / "eroded.nii.gz"})
    assert eroded.labels("venous") == tmp_path / "eroded.nii.gz"
    assert eroded.labels("arterial") == case.labels("arterial")
    assert eroded.image("venous") == case.image("venous")
    assert eroded.reference_labels("venous") == case.reference_labels("venous")


def test_errors_name_patient_phase_and_organ(case: Case) -> None:
    """And no path."""
    assert case.place("venous") == "P0003, venous"
    assert case.place("venous", "liver") == "P0003, venous, liver"


def test_manifest_of_a_user_and_of_a_simulation(run: RunPaths, tmp_path: Path) -> None:
    """The user's serves every paper; the patients that train the segmentation are always simulated."""
    own = replace(run, manifest=tmp_path / "manifest.csv")
    assert own.source_manifest("alarm") == own.source_manifest("amap_ct") == tmp_path / "manifest.csv"
    simulated = run.root / "cohort" / "synthetic"
    assert run.source_manifest("alarm") == simulated / "alarm" / "manifest.csv"
    assert own.source_manifest(TRAINING_SET) == simulated / TRAINING_SET / "manifest.csv"
    assert own.control.manifest == own.manifest


def test_a_run_by_name_lies_in_the_project(tmp_path: Path) -> None:
    """Relative to the project root unless absolute; an empty manifest is none."""
    assert RunPaths.at("results/demo") == RunPaths(project_root() / "results" / "demo", None)
    assert RunPaths.at(tmp_path, "m.csv") == RunPaths(tmp_path, Path("m.csv"))


def test_stage_of_another_name_is_refused(run: RunPaths) -> None:
    """With the names that there are; a known one is made."""
    assert run.stage("features").is_dir()
    with pytest.raises(SettingsError, match="stage: must be one of cohort, preprocessing"):
        run.stage("feature")
