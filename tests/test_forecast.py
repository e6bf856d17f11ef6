"""What a run will cost, from a small table of costs that can be reckoned by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from hccbook.errors import SettingsError
from hccbook.pipeline import forecast as forecasts
from hccbook.pipeline.costs import AVX2, AVX512, BFLOAT16
from hccbook.pipeline.forecast import (
    Costs,
    Forecast,
    StageSteps,
    Workload,
    forecast,
    forecast_lines,
    plan_run,
    warning_of_length,
)
from hccbook.settings import Profile

SECONDS = {
    ("simulation", "", 5.0): 1.0,
    ("simulation", "", 1.0): 13.4,
    ("preprocessing", "", 5.0): 2.0,
    ("segmentation", "", 5.0): 4.0,
    ("mask checks", "", 5.0): 0.5,
    ("radiomics", "alarm", 5.0): 3.0,
    ("radiomics", "amap_ct", 5.0): 5.0,
    ("deep features", "alarm", 5.0): 1.0,
    ("deep features", "amap_ct", 5.0): 2.0,
    ("pre-training step", "", None): 0.1,
    ("training step", "", None): 1.0,
    ("fine-tuning epoch", "alarm", None): 0.01,
}


def step_rows(processor: str, factor: float = 1.0) -> list[dict]:
    return [
        {
            "processor": processor,
            "step": step,
            "paper": paper,
            "spacing_mm": spacing_mm,
            "core_seconds": seconds * factor,
            "added_mib": 100,
        }
        for (step, paper, spacing_mm), seconds in SECONDS.items()
    ]


def notebook(stage: str, patients: int, core_seconds: float) -> dict:
    row = {"stage": stage, "control": False, "patients": patients, "core_seconds": core_seconds}
    return {"profile": "demo", "processor": AVX2, "peak_mib": 300} | row


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written = tmp_path / "costs.json"
    content = {
        "steps": step_rows(AVX2) + step_rows(BFLOAT16, 0.5),
        "disk": [{"spacing_mm": 5.0, "mib": 2.0}],
        "training": {"patch_voxels": 80, "filters": 8, "batch_size": 2},
        "notebooks": [notebook("01_cohort", 30, 10.0), notebook("09_audit", 30, 6.0)],
    }
    written.write_text(json.dumps(content), encoding="utf-8")
    return written


@pytest.fixture
def costs(file: Path) -> Costs:
    return Costs.read(file, AVX2)


def profile(**sections: dict) -> Profile:
    """Twenty patients of ALARM, ten of them in development, and forty of aMAP-CT, twenty."""
    cohort = {
        **{"alarm_discovery": 10, "alarm_discovery_hcc": 2, "alarm_internal": 4, "alarm_internal_hcc": 1},
        **{"alarm_external": 6, "alarm_external_hcc": 1, "amap_ct_training": 20, "amap_ct_training_hcc": 4},
        **{"amap_ct_validation": 10, "amap_ct_validation_hcc": 2, "amap_ct_test": 10, "amap_ct_test_hcc": 2},
        "segmentation_patients": 5,
    }
    given = {
        "cohort": cohort,
        "preprocessing": {"spacing_mm": 5.0},
        "segmentation": {"patch_voxels": 40, "filters": 8, "pretraining_iterations": 100, "iterations": 200},
        "features": {
            "perturbation_patients": 3,
            "perturbations": "given,erosion:2",
            "fine_tune_epochs": 10,
            "fine_tune_shuffles": 1,
        },
    }
    return Profile(**{name: given.get(name, {}) | sections.get(name, {}) for name in (*given, *sections)})


def seconds_of(expected: Forecast, control: bool = False) -> pd.Series:
    rows = expected.stages[expected.stages["control"] == control]
    return rows.set_index("stage")["core_seconds"]


def test_a_run_costs_what_its_patients_cost(costs: Costs) -> None:
    """Reckoned by hand.

    Cohort: (60 + 5) x 1 for images, 10 x 60/30 for the notebook. Preprocessing: 60 x 2.
    Segmentation: 60 x (4 + 0.5), and an eighth of 100 x 0.1 + 200 x 1, since the patch has half the edge.
    Features: (20 + 3 x 2) x 3 + (40 + 3 x 2) x 5 of radiomics, 20 x 1 + 40 x 2 of networks, and 10 patients for 10
    epochs, once as they are and once shuffled, 2 x 100 x 0.01.
    """
    expected = forecast(profile(), costs, cores=2)
    seconds = seconds_of(expected)
    assert seconds["01_cohort"] == pytest.approx(65 + 20)
    assert seconds["02_preprocessing"] == pytest.approx(120)
    assert seconds["03_segmentation"] == pytest.approx(270 + 1.25 + 25)
    assert seconds["04_features"] == pytest.approx(78 + 230 + 100 + 2)
    assert seconds["09_audit"] == 6, "the audit reads no patient"
    assert expected.core_seconds == pytest.approx(85 + 120 + 296.25 + 410 + 6)


def test_patients_share_the_cores_and_fine_tuning_does_not(costs: Costs) -> None:
    """Two cores halve what is done patient by patient; one process that tunes takes its time.

    Cohort 20 + 65 / 2, preprocessing 60, segmentation 296.25 / 2, features (78 + 230 + 100) / 2 + 2: together longer
    than half of all processor time, so that this chain is the run.
    """
    expected = forecast(profile(), costs, cores=2)
    assert expected.wall_seconds == pytest.approx(52.5 + 60 + 148.125 + 206)
    assert forecast(profile(), costs, cores=1).wall_seconds == pytest.approx(expected.core_seconds)


def test_memory_is_that_of_two_workers_and_of_the_notebook_beside(costs: Costs) -> None:
    """Cohort: 300 MiB for the notebook and 100 for each of two workers; another notebook of 300 beside it."""
    expected = forecast(profile(), costs, cores=2)
    assert expected.stages.set_index("stage").loc["01_cohort", "peak_mib"] == 500
    assert expected.peak_mib == 800


def test_the_null_run_draws_its_patients_and_costs_its_notebooks(file: Path) -> None:
    """30 + 5 + 15 patients of each paper: no image, and both models as dear as 20 patients' were, times 50/20."""
    content = json.loads(file.read_text())
    content["notebooks"] += [notebook("05_alarm", 20, 8.0) | {"control": control} for control in (False, True)]
    file.write_text(json.dumps(content))
    drawn = {"development": 30, "validation": 5, "test": 15}
    expected = forecast(profile(run={"negative_control": True}, null_run=drawn), Costs.read(file, AVX2), cores=2)
    rows = expected.stages[expected.stages["control"]].set_index("stage")
    assert rows["patients"].to_dict() == {"null_run": 100, "05_alarm": 50, "06_amap_ct": 50}
    assert rows["core_seconds"].to_dict() == {"null_run": 0, "05_alarm": 20, "06_amap_ct": 0}
    assert seconds_of(expected)["05_alarm"] == 8
    assert expected.disk_mib == pytest.approx(65 * 2)


def test_own_patients_are_read_once_and_serve_both_papers(costs: Costs) -> None:
    """Thirty of the user's patients with masks of two phases: nobody is simulated or segmented."""
    own = profile(
        run={"synthetic": False, "phases": "arterial,venous"},
        segmentation={"mask_source": "manifest"},
        features={"perturbation_patients": 0},
    )
    expected = forecast(own, costs, cores=1, patients=30)
    seconds = seconds_of(expected)
    assert seconds["02_preprocessing"] == pytest.approx(30 * 2 * 2 / 3)
    assert seconds["03_segmentation"] == pytest.approx(60 * 0.5 * 2 / 3)
    radiomics, networks, tuning = 30 * (3 + 5), 30 * (1 + 2), 15 * 10 * 2 * 0.01
    assert seconds["04_features"] == pytest.approx((radiomics + networks + tuning) * 2 / 3)
    assert expected.disk_mib == pytest.approx(30 * 2 * 2 / 3)


@pytest.mark.parametrize(("spacing_mm", "seconds"), [(5.0, 1.0), (1.0, 13.4), (2.5, 1.7)])
def test_between_two_voxel_edges_cost_goes_with_the_voxels(costs: Costs, spacing_mm: float, seconds: float) -> None:
    """1 s at 1/125 of the voxels and 13.4 s at all of them: 0.9 s, and 12.5 s for each mm^-3."""
    assert costs.step("simulation", "alarm", spacing_mm).core_seconds == pytest.approx(seconds)


def test_two_runs_give_a_line(file: Path) -> None:
    """10 s with 30 patients and 25 s with 60: half a second a patient, 5 s without any."""
    content = json.loads(file.read_text())
    content["notebooks"].append(notebook("01_cohort", 60, 25.0))
    file.write_text(json.dumps(content))
    assert Costs.read(file, AVX2).notebook("01_cohort", False, 100) == pytest.approx((-5 + 0.5 * 100, 300))


@pytest.mark.parametrize(
    ("machine", "taken", "seconds"), [(BFLOAT16, BFLOAT16, 1.0), (AVX512, AVX2, 2.0), ("arm64", AVX2, 2.0)]
)
def test_a_machine_that_was_not_measured_takes_a_slower_one(
    file: Path, machine: str, taken: str, seconds: float
) -> None:
    """bfloat16 took half of AVX2's 2 s; AVX-512 was not measured, and nothing like arm64."""
    costs = Costs.read(file, machine)
    assert costs.kind == taken
    assert costs.step("preprocessing", "", 5.0).core_seconds == seconds


def test_given_patients_keep_the_proportions_of_the_cohorts() -> None:
    """Twice as many of ALARM, as many of aMAP-CT: half develop the model in both."""
    load = Workload.of(profile(), 40)
    assert load.patients == {"alarm": 40, "amap_ct": 40}
    assert load.development == {"alarm": 20, "amap_ct": 20}
    assert load.distinct == 80


def test_a_stage_without_images_has_no_step(costs: Costs) -> None:
    """ALARM's model is fitted from tables."""
    assert StageSteps.of("alarm", profile(), Workload.of(profile()), costs).core_seconds == 0


def expected_of(seconds: float, disk_mib: float) -> Forecast:
    row = {"stage": "01_cohort", "control": False, "chapter": False, "patients": 7, "core_seconds": seconds}
    return Forecast(
        pd.DataFrame([row | {"wall_seconds": seconds / 2, "notebook_mib": 300.0, "peak_mib": 512.0}]), 2, AVX2, disk_mib
    )


def test_a_disk_that_is_too_small_is_told(tmp_path: Path) -> None:
    """A million GiB are nowhere; one MiB is."""
    (line,) = [one for one in forecast_lines(expected_of(7200, 2**30), "demo", tmp_path / "run") if "Disk" in one]
    assert line.endswith("It will not do.")
    (line,) = [one for one in forecast_lines(expected_of(7200, 1.0), "demo", tmp_path / "run") if "Disk" in one]
    assert line.startswith("Disk: 0.0 GiB of ")
    assert not line.endswith("It will not do.")


def test_more_cores_than_this_machine_has_are_a_cluster_s(costs: Costs, tmp_path: Path) -> None:
    """2,411 patients of each paper on 64,000 cores: 2 MiB of disk for each, and of the 5 who train the network.

    A core adds 100 MiB to the libraries of its process, which are 0.5 GiB here.
    """
    expected = replace(forecast(profile(), costs, 64_000, 2411), worker_mib=100 + 512.0)
    lines = forecast_lines(expected, "paper", tmp_path)
    (disk,) = [line for line in lines if line.startswith("Disk")]
    assert disk == f"Disk: {(2 * 2411 + 5) * 2 / 1024:,.1f} GiB, 2.0 MiB a patient, where all machines see it."
    (memory,) = [line for line in lines if line.startswith("Memory")]
    assert memory.startswith("Memory: 0.6 GiB a core that works on patients, and 0.3 GiB for the largest notebook")


def test_a_stage_is_a_line(tmp_path: Path) -> None:
    """7,200 core-seconds of 7 patients on two cores: two core-hours, one hour, half a GiB."""
    (line,) = [one for one in forecast_lines(expected_of(7200, 1.0), "demo", tmp_path) if "01_cohort" in one]
    assert line.split() == ["01_cohort", "7", "2.00", "1.00", "0.5"]


def test_a_long_run_is_told_in_hours() -> None:
    """4,800 core-seconds on two cores are two thirds of an hour."""
    assert warning_of_length(expected_of(4800, 1024.0)).startswith("This may take 0.7 hours on 2 cores and 1.0 GiB")


def test_what_was_not_measured_is_told(costs: Costs) -> None:
    """PyRadiomics on a CPU, with the last stage tuned: one remark."""
    (remark,) = forecast(profile(features={"engine": "pyradiomics"}), costs, cores=1).remarks
    assert "PyRadiomics" in remark


def test_own_patients_must_be_counted(tmp_path: Path, costs: Costs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither manifest nor number: refused; with a number it is a forecast."""
    monkeypatch.setattr(forecasts.Costs, "read", lambda: costs)
    own = tmp_path / "mine.yaml"
    own.write_text("run:\n  synthetic: false\nsegmentation:\n  mask_source: manifest\n")
    with pytest.raises(SettingsError, match=r"mine\.yaml: a forecast needs the number of patients"):
        plan_run(str(own), "", 2)
    assert plan_run(str(own), "", 2, patients=9).stages["patients"].max() == 18
