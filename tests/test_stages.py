"""Stages over a small cohort: the number of workers changes nothing, and a killed run goes on where it stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hccbook.errors import DataError, MaskError, ModelError
from hccbook.images import from_array, read_label_map, to_array, write_image
from hccbook.pipeline import files, pictures
from hccbook.pipeline.cohort import make_cohort, make_training_set
from hccbook.pipeline.dice import segmentation_dice
from hccbook.pipeline.features import extract_deep, extract_radiomics
from hccbook.pipeline.preprocessing import preprocess_cohort
from hccbook.pipeline.segmentation import measure_quality, segment_cohort, segmentation_network
from hccbook.run import Case, RunPaths
from hccbook.segmentation.network import Segmenter
from hccbook.settings import (
    PHASES,
    CohortSettings,
    FeatureSettings,
    PreprocessingSettings,
    SegmentationSettings,
)

SIZES = dict.fromkeys(("alarm_discovery", "amap_ct_training"), 4) | dict.fromkeys(
    ("alarm_internal", "alarm_external", "amap_ct_validation", "amap_ct_test"), 1
)
COHORT = CohortSettings(
    acquisition_spacing_mm=10.0,
    dicom_patients=1,
    segmentation_patients=2,
    **SIZES,
    **{f"{name}_hcc": int(count > 1) for name, count in SIZES.items()},
)
PREPROCESSING = PreprocessingSettings(spacing_mm=10.0)
GIVEN = SegmentationSettings(mask_source="manifest")
NETWORK = SegmentationSettings(
    filters=4, levels=4, patch_voxels=16, pretraining_iterations=4, iterations=8, batch_size=1
)
FEATURES = FeatureSettings(crop_voxels=16, fine_tune_epochs=2, amap_ct_filters="square")


def all_stages(root: Path, workers: int) -> RunPaths:
    run = RunPaths(root / "run")
    make_training_set(run, COHORT, workers)
    for paper in ("alarm", "amap_ct"):
        make_cohort(run, paper, COHORT, PHASES, workers)
        preprocess_cohort(run, paper, PREPROCESSING, PHASES, workers)
        segment_cohort(run, paper, GIVEN, None, PHASES, workers)
        segmentation_dice(run, paper, PHASES)
    extract_radiomics(run, "amap_ct", FEATURES, PHASES, workers)
    extract_deep(run, "amap_ct", FEATURES, PHASES)
    segmentation_network(run, NETWORK, PHASES)
    return run


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """All stages with one worker."""
    return all_stages(tmp_path_factory.mktemp("one"), 1)


def contents(run: RunPaths) -> dict[str, bytes]:
    kinds = (".csv", ".json", ".parquet", ".safetensors")
    return {
        str(file.relative_to(run.root)): file.read_bytes()
        for file in sorted(run.root.rglob("*"))
        if file.suffix in kinds
    }


def test_one_and_two_workers_give_the_same_bytes(one_worker: RunPaths, tmp_path: Path) -> None:
    """Every table, parquet file, JSON and network is the same, byte for byte."""
    first, second = contents(one_worker), contents(all_stages(tmp_path, 2))
    assert set(first) == set(second)
    assert len(first) > 15
    assert [name for name in first if first[name] != second[name]] == []


def test_tables_hold_neither_identifier_nor_path(one_worker: RunPaths) -> None:
    """What the stages write, the synthetic source data apart, names patients by their key alone."""
    for name, content in contents(one_worker).items():
        if "synthetic" not in name:
            assert b"SYN-" not in content, name
            assert str(one_worker.root).encode() not in content, name


def test_feature_counts_and_order(one_worker: RunPaths) -> None:
    """aMAP-CT with the square filter alone: (107 + 93) x 3 phases x 2 organs, then 512 x 3 x 2 deep features."""
    clinical, features = files.model_table(one_worker, "amap_ct")
    assert list(clinical.index) == [f"P{number:04d}" for number in range(1, 7)]
    assert features.shape == (6, 1 + 200 * 6 + 512 * 6)
    assert not features.isna().any().any()


def test_given_masks_are_the_masks_used(one_worker: RunPaths) -> None:
    """With mask_source manifest the overlap with the given masks is 1."""
    dice = pd.read_csv(one_worker.stage("segmentation") / "alarm_dice.csv")
    assert set(dice["dice"]) == {1.0}
    assert len(dice) == 6 * 3 * 2


def test_organ_in_no_voxel_is_refused(one_worker: RunPaths, tmp_path: Path) -> None:
    """An empty label map is refused with patient, phase and hint."""
    case = Case(one_worker, "alarm", "P0001", ("arterial",))
    label_map = read_label_map(case.labels("arterial"))
    blank = tmp_path / "blank.nii.gz"
    write_image(from_array(0 * to_array(label_map), label_map), blank)
    with pytest.raises(MaskError, match="P0001, arterial: the liver must be segmented, but found no voxel"):
        measure_quality(replace(case, own_labels={"arterial": blank}))


def test_true_masks_have_no_finding(one_worker: RunPaths) -> None:
    """The table of findings is there, with its columns and no row."""
    for paper in ("alarm", "amap_ct"):
        table = pd.read_csv(one_worker.stage("segmentation") / f"{paper}_findings.csv")
        assert list(table) == ["patient", "phase", "organ", "rule", "found", "hint", "severity"]
        assert table.empty


def test_a_finding_stops_no_patient(one_worker: RunPaths, tmp_path: Path) -> None:
    """Liver and spleen swapped in one phase: the patient is measured, and found on the wrong side."""
    case = Case(one_worker, "amap_ct", "P0001", ("venous",))
    labels = read_label_map(case.labels("venous"))
    swapped = tmp_path / "swapped.nii.gz"
    write_image(from_array(np.array([0, 2, 1], np.uint8)[to_array(labels)], labels), swapped)
    (quality,), findings = measure_quality(replace(case, own_labels={"venous": swapped}))
    assert (quality["patient"], quality["phase"], quality["liver_right_of_spleen"]) == ("P0001", "venous", False)
    assert "liver lies to the patient's right of the spleen" in [finding["rule"] for finding in findings]
    assert {finding["patient"] for finding in findings} == {"P0001"}


def test_network_without_anybody_to_train_on_is_refused(tmp_path: Path) -> None:
    """The message names the three ways out."""
    with pytest.raises(ModelError, match=r"segmentation_patients.*weights.*mask_source"):
        segmentation_network(RunPaths(tmp_path / "run"), NETWORK, PHASES)


def test_stage_where_nobody_gets_through_says_why(one_worker: RunPaths, tmp_path: Path) -> None:
    """The first patient's reason is part of the message."""
    bad = pd.read_csv(one_worker.source_manifest("alarm"))
    folder = one_worker.source_manifest("alarm").parent
    for phase in PHASES:
        bad[phase] = [str(folder / path) for path in bad[phase]]
        for organ in ("liver", "spleen"):
            bad[f"{organ}_mask_{phase}"] = [str(folder / path) for path in bad[f"{organ}_mask_{phase}"]]
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"no image")
    bad["venous"] = str(broken)
    bad.iloc[:1].to_csv(tmp_path / "manifest.csv", index=False)
    with pytest.raises(DataError, match=r"preprocessing, alarm: at least one patient.*1 failures.*P0001, venous"):
        preprocess_cohort(RunPaths(tmp_path / "run", tmp_path / "manifest.csv"), "alarm", PREPROCESSING, PHASES, 1)


def test_killed_run_goes_on_and_gives_the_same_tables(one_worker: RunPaths, tmp_path: Path) -> None:
    """Killed after the first patients' radiomics; the second run repeats none of them and ends with the same bytes."""
    run = RunPaths(tmp_path / "run")
    program = textwrap.dedent(
        f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from test_stages import all_stages
        all_stages(Path({str(tmp_path)!r}), 1)
        """
    )
    child = subprocess.Popen([sys.executable, "-c", program], env=os.environ | {"OMP_NUM_THREADS": "1"})
    kept = run.store.root / "radiomics"
    deadline = time.monotonic() + 240
    while len(list(kept.glob("*/sums.json"))) < 8 and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    # The kill may leave a part of an entry, in a folder whose name begins with a dot.
    before = {file.parent.name: file.stat().st_mtime_ns for file in kept.glob("[!.]*/values.npy")}
    assert 0 < len(before) < 36, "killed too early or too late to show anything"
    second = all_stages(tmp_path, 1)
    after = {file.parent.name: file.stat().st_mtime_ns for file in kept.glob("[!.]*/values.npy")}
    assert len(after) == 36
    assert {name: after[name] for name in before} == before
    assert contents(second) == contents(one_worker)


def test_the_network_s_masks_are_compared_where_the_truth_was_drawn(one_worker: RunPaths, tmp_path: Path) -> None:
    """On the image's own grid, and the pictures show the same two masks; the working labels are the moved ones."""
    run = RunPaths(tmp_path / "run")
    make_training_set(run, COHORT, 1)
    make_cohort(run, "alarm", COHORT, PHASES, 1)
    preprocess_cohort(run, "alarm", PREPROCESSING, PHASES, 1)
    longer = NETWORK.model_copy(update={"iterations": 60, "batch_size": 2, "filters": 6})
    network = segmentation_network(run, longer, PHASES)
    quality = segment_cohort(run, "alarm", longer, network, PHASES, 1)
    dice = segmentation_dice(run, "alarm", PHASES)
    assert len(dice) == len(quality) * 2
    row = dice[(dice["organ"] == "liver") & (dice["phase"] == "arterial")].iloc[-1]
    image, used, given = pictures.compared_segmentations(run, "alarm", row["patient"], "arterial")
    assert image.GetSize() == used.GetSize() == given.GetSize()
    assert image.GetSpacing() != (PREPROCESSING.spacing_mm,) * 3
    a, b = to_array(used) == 1, to_array(given) == 1
    assert row["dice"] == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))
    # Of all slices, none differs in more voxels than the one that is shown.
    differing = [(first != second).sum() for first, second in zip(a, b, strict=True)]
    assert differing[pictures.most_different_slice(used, given, "liver")] == max(differing)


def test_an_interrupted_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage leaves a checkpoint where it was stopped, takes it up, and clears it away."""
    monkeypatch.setattr("hccbook.segmentation.checkpoint.CHECKPOINT_EVERY", 2)
    run = RunPaths(tmp_path / "run")
    make_training_set(run, COHORT, 1)
    save = Segmenter.save
    monkeypatch.setattr(Segmenter, "save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        segmentation_network(run, NETWORK, PHASES)
    (checkpoint,) = (run.store.root / "unfinished").glob("network-*.safetensors")
    before = checkpoint.read_bytes()
    monkeypatch.setattr(Segmenter, "save", save)
    network = segmentation_network(run, NETWORK, PHASES)
    assert len(Segmenter.load(network).losses) == NETWORK.pretraining_iterations + NETWORK.iterations
    assert before
    assert not checkpoint.exists()
