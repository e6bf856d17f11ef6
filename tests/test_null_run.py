"""The null run: who its patients are, what is drawn for them, and that the models can be fitted on it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hccbook.models import AmapCtFamily
from hccbook.papers import PAPERS
from hccbook.pipeline import files, items
from hccbook.pipeline.null_run import DRAWN, DRAWN_FILES, draw_null_run, null_cohort_settings
from hccbook.pipeline.staleness import forget_damaged, inputs_of, recorded
from hccbook.run import NULL_RUN, RunPaths, benchmark_file
from hccbook.settings import NullRunSettings, Profile

SIZES = NullRunSettings(
    seed=5,
    one_feature_in=2,
    development=30,
    development_hcc=10,
    validation=8,
    validation_hcc=3,
    test=12,
    test_hcc=4,
)
MEASURED = pd.Index([f"P{number:04d}" for number in range(1, 10)], name="patient")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPaths:
    """A main run of nine patients that has measured features and volumes."""
    monkeypatch.setattr("hccbook.phantom.ideal_observer.MONTE_CARLO_PATIENTS", 2000)
    main, rng = RunPaths(tmp_path / "demo"), np.random.default_rng(1)
    for name, paper in PAPERS.items():
        for block, feature in (("radiomics", "original_firstorder"), ("deep", "deep")):
            columns = [f"venous.{organ}.{feature}_{number}" for organ in paper.organs for number in (1, 2, 3)]
            table = pd.DataFrame(rng.normal(50, 9, (9, len(columns))), index=MEASURED, columns=columns)
            table.to_parquet(main.stage("features") / f"{name}_{block}.parquet")
        for phase in ("venous", "delayed"):
            volumes = {f"{organ}_volume_ml": rng.normal(900, 90, 9) for organ in ("liver", "spleen")}
            table = pd.DataFrame({"patient": MEASURED, "phase": phase, **volumes})
            with (main.stage("segmentation") / f"{name}.csv").open("a") as part:
                table.to_csv(part, index=False, header=part.tell() == 0)
    (main.stage("features") / "alarm_icc.csv").write_text("feature,icc\n")
    return main


def test_everything_that_the_models_read_is_drawn(run: RunPaths) -> None:
    """Cohorts of the null run's own sizes, features and volumes by name, the truth of no effect."""
    draw_null_run(run, list(PAPERS), SIZES)
    named = {name.format(paper=paper) for name in DRAWN_FILES for paper in PAPERS}
    left = {file.relative_to(run.control.root).as_posix() for file in run.control.root.rglob("*.*")}
    assert left == named | {"features/alarm_icc.csv"}
    for name, paper in PAPERS.items():
        clinical, features = files.model_table(run.control, name)
        sizes = clinical.groupby("cohort", sort=False)["hcc"].agg(["size", "sum"])
        assert sizes.values.tolist() == [[30, 10], [8, 3], [12, 4]]
        assert list(sizes.index) == list(paper.cohorts)
        measured = [pd.read_parquet(run.root / f"features/{name}_{block}.parquet") for block in ("radiomics", "deep")]
        assert list(features) == ["amap", *list(measured[0])[::2], *list(measured[1])[::2]]
        truth = json.loads((run.control.root / "cohort" / "truth.json").read_text())[name]
        assert (truth["effect"], truth["auc"]["validation_and_test"]["liver"]) == ("none", 0.5)
        known = items.read_truth(run.control, name)
        assert known["amap"] == pytest.approx(known[name], abs=0.02)


def test_the_family_of_amap_ct_is_fitted_on_drawn_volumes_too(run: RunPaths) -> None:
    """As the notebook joins them: one volume a patient, none missing."""
    draw_null_run(run, ["amap_ct"], SIZES)
    clinical, features = files.model_table(run.control, "amap_ct")
    volume = files.read_table(run.control, "segmentation", "amap_ct.csv").groupby("patient")["spleen_volume_ml"].mean()
    table = features.join(volume)
    risks = AmapCtFamily().fit(table, clinical["hcc"]).probabilities(table)
    assert risks.shape == (50, 6)
    assert not risks.isna().any().any()


def test_a_users_patients_stay_who_they_are(run: RunPaths, tmp_path: Path) -> None:
    """Their outcomes and their aMAP; only what images would give is drawn, and no truth is known."""
    own = RunPaths(run.root, tmp_path / "manifest.csv")
    clinical = pd.DataFrame({"patient": MEASURED, "hcc": [0, 1, 0] * 3, "amap": np.arange(9.0), "role": "test"})
    files.save_table(clinical, own.clinical("alarm"))
    draw_null_run(own, ["alarm"], SIZES)
    found, features = files.model_table(own.control, "alarm")
    pd.testing.assert_frame_equal(found.reset_index(), clinical, check_dtype=False)
    assert items.read_truth(own.control, "alarm") == {}
    before = pd.read_parquet(own.root / "features/alarm_radiomics.parquet").iloc[:, ::2]
    assert (features[before.columns] != before).all().all()


def test_sizes_of_the_null_run_are_those_of_no_other() -> None:
    """By role, under the paper's own names; without an effect."""
    settings = null_cohort_settings("amap_ct", SIZES)
    assert (settings.effect, settings.seed) == ("none", 5)
    assert (settings.amap_ct_training, settings.amap_ct_training_hcc) == (30, 10)
    assert (settings.amap_ct_validation_hcc, settings.amap_ct_test) == (3, 12)


def test_the_draw_follows_from_its_sizes_and_no_other_setting(tmp_path: Path) -> None:
    """A setting of another stage draws nothing anew."""
    run = RunPaths(tmp_path / "run")
    plain = inputs_of(NULL_RUN, Profile(), run)
    assert inputs_of(NULL_RUN, Profile(segmentation={"iterations": 7}), run) == plain
    assert inputs_of(NULL_RUN, Profile(null_run={"test": 500}), run) != plain


def test_what_was_drawn_and_altered_is_removed_to_be_drawn_again(run: RunPaths) -> None:
    """No notebook stands for these files: Snakemake sees that one is missing."""
    with recorded(DRAWN, run.control, {}):
        draw_null_run(run, ["alarm"], SIZES)
    for stage in DRAWN:
        assert forget_damaged(stage, run.control) == []
    table = run.control.clinical("alarm")
    table.write_text(table.read_text().replace("P0001", "P9001"))
    assert forget_damaged("cohort", run.control) == ["cohort/alarm.csv altered"]
    assert not table.exists()
    shutil.rmtree(run.control.root / "features")
    assert len(forget_damaged("features", run.control)) == 3


# --- what it says -----------------------------------------------------------------------------------------------------


def save_truth(run: RunPaths, paper: str, rows: list[tuple]) -> None:
    """AUCs that a model's stage would have left."""
    columns = ["model", "cohort", "n", "events", "auc", "lower", "upper", "truth"]
    files.save_table(pd.DataFrame(rows, columns=columns), run.stage(paper) / "truth.csv")


def test_the_sentence_says_which_intervals_hold_the_truth(run: RunPaths) -> None:
    """Sizes of the development cohorts; the AUC that lies beside the truth with both numbers, or none at all."""
    draw_null_run(run, list(PAPERS), SIZES)
    save_truth(run.control, "alarm", [("alarm", "unseen", 20, 7, 0.6, 0.5, 0.68, 0.7)])
    save_truth(run.control, "amap_ct", [("amap_ct", "unseen", 20, 7, 0.7, 0.6, 0.8, 0.69)])
    truth = items.truth_table(run.control, list(PAPERS))
    assert truth["run"].tolist() == ["none", "none"]
    assert truth["covered"].tolist() == [False, True]
    learnt = "learns from 30 patients with 10 HCC"
    start = f"ALARM {learnt} and aMAP-CT {learnt}, and "
    assert items.truth_text(run.control, truth) == (
        f"{start}1 of 2 intervals hold what is true; ALARM has 0.60 (0.50–0.68) where the truth is 0.70."
    )
    every = truth.assign(covered=True)
    assert items.truth_text(run.control, every) == f"{start}all 2 intervals hold what is true."
    assert items.truth_text(run.control, every.assign(truth=np.nan)) == f"{start}what is true is not known."


def test_a_score_weighed_against_what_it_tells_alone_is_named(run: RunPaths) -> None:
    """A negative weight of a score that separates, or a positive one of a score that separates the wrong way round."""
    auc = {"alarm": 0.8, "radiomics": 0.7, "deep": 0.6, "amap": 0.4}
    rows = [(name, "unseen", 20, 7, value, value - 0.1, value + 0.1, np.nan) for name, value in auc.items()]
    truth = pd.DataFrame(rows, columns=["model", "cohort", "n", "events", "auc", "lower", "upper", "truth"])
    truth = truth.assign(paper="alarm")
    for weights, found in (
        ((-1.25, 2.0, -0.5), "ALARM gives Radiomics a weight of \u22121.25, though alone it has an AUC of 0.70"),
        ((1.25, 2.0, -0.5), "No model weighs a score against"),
        ((1.25, 2.0, 0.5), "ALARM gives aMAP a weight of 0.50, though alone it has an AUC of 0.40 (0.30–0.50)"),
    ):
        names = ["radiomics", "deep", "amap"]
        files.save_json({"combination": {"names": names, "coefficients": weights}}, run.stage("alarm") / "model.json")
        assert items.contrary_weights_text(run, truth).startswith(found)


def test_benchmark_has_every_seed_of_every_size_and_not_the_books() -> None:
    """Ten null runs a row of the chapter's table; the seed that the book shows chose nothing."""
    rows = pd.DataFrame(files.read_json(benchmark_file("null_run"))["rows"])
    for _, of_size in rows.groupby(["model", "events"]):
        assert of_size["seed"].tolist() == list(range(101, 111))
    assert NullRunSettings().seed not in set(rows["seed"])
    assert (rows["patients"] == 5 * rows["events"]).all()
    assert ((rows["lower"] <= rows["auc"]) & (rows["auc"] <= rows["upper"])).all()
