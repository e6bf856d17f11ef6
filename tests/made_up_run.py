"""A finished run of a few made-up patients, for what reads one without computing."""

from __future__ import annotations

from pathlib import Path

import nbformat
import numpy as np
import pandas as pd

from hccbook.models import AlarmModel, AmapCtFamily, LinearScore
from hccbook.papers import PAPERS
from hccbook.pipeline import files
from hccbook.pipeline.staleness import record_outputs
from hccbook.run import RESULT_CHAPTERS, STAGES, RunPaths
from hccbook.settings import Profile

PATIENTS = 40
LIVER = [f"venous.liver.original_glcm_{name}" for name in ("Imc1", "Imc2", "Idm", "Contrast")]
SPLEEN = [name.replace("liver", "spleen") for name in LIVER]
DEEP = [f"venous.liver.deep_{number:03d}" for number in range(3)]
MADE = {"versions": {"hccbook": "7.8", "numpy": "1.2"}, "processor": "Abacus, bfloat16"}


def finished_run(root: Path, profile: Profile, seed: int = 1) -> RunPaths:
    """Every stage and result chapter executed; a third of the patients, the last ones, unseen."""
    run = RunPaths(root)
    for position, paper in enumerate(PAPERS.values()):
        _patients(run, paper.name, np.random.default_rng(seed + position))
    files.save_json({"spacing_mm": 5.0}, run.stage("preprocessing") / "settings.json")
    files.save_json({"alarm": None, "amap_ct": None}, run.stage("cohort") / "truth.json")
    _models(run)
    for chapter in RESULT_CHAPTERS:
        files.save_table(pd.DataFrame({"cohort": ["test"], "auc": [0.8]}), run.stage(chapter) / "table.csv")
        (run.stage(chapter) / "table.png").write_bytes(b"picture")
    for number, stage in enumerate((*STAGES, *RESULT_CHAPTERS[2:]), start=1):
        notebook = nbformat.v4.new_notebook()
        parameters = profile.parameters(stage) | {"results": str(root), "manifest": "/elsewhere/of/somebody.csv"}
        notebook.metadata["papermill"] = {"parameters": parameters, "duration": float(number)}
        notebook.metadata["hccbook"] = MADE
        run.executed_notebook(stage).parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, run.executed_notebook(stage))
        record_outputs(stage, run)
    return run


def _patients(run: RunPaths, paper: str, random: np.random.Generator) -> None:
    keys = pd.Index([f"P{number:04d}" for number in range(1, PATIENTS + 1)], name="patient")
    development, unseen, _ = PAPERS[paper].cohorts
    clinical = pd.DataFrame({"cohort": [development] * 26 + [unseen] * 14}, index=keys)
    clinical["role"] = np.where(clinical["cohort"] == development, "development", "validation")
    clinical["hcc"] = np.arange(PATIENTS) % 4 == 0
    clinical["hcc"] = clinical["hcc"].astype(int)
    clinical["amap"] = random.normal(58, 6, PATIENTS)
    files.save_table(clinical.reset_index(), run.clinical(paper))
    organs = LIVER if paper == "alarm" else [*LIVER, *SPLEEN]
    values = pd.DataFrame(random.normal(size=(PATIENTS, len(organs))), index=keys, columns=organs)
    values[LIVER[0]] += clinical["hcc"]
    values.to_parquet(run.stage("features") / f"{paper}_radiomics.parquet")
    deep = pd.DataFrame(random.normal(size=(PATIENTS, len(DEEP))), index=keys, columns=DEEP)
    deep.to_parquet(run.stage("features") / f"{paper}_deep.parquet")
    masks = pd.DataFrame({"patient": keys, "phase": "venous", "liver_volume_ml": 1400.5, "liver_mean_hu": 61.0})
    masks["spleen_volume_ml"] = random.normal(300, 50, PATIENTS)
    files.save_table(masks, run.stage("segmentation") / f"{paper}.csv")
    files.save_table(masks[["patient", "phase"]].assign(dice=0.9), run.stage("segmentation") / f"{paper}_dice.csv")
    image = run.stage("preprocessing") / "images" / paper / "P0001_venous.nii.gz"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"voxels")


def _models(run: RunPaths) -> None:
    alarm = AlarmModel()
    alarm.radiomics_score_ = LinearScore.of(LIVER[:2], (0, 0), (1, 1), (1.0, -0.5), 0.0)
    alarm.deep_score_ = LinearScore.of(DEEP[2:], (0,), (1,), (0.7,), 0.0)
    alarm.combination_ = LinearScore.of(("amap", "radiomics", "deep"), (59, 0, 0), (7, 1, 1), (0.5, 1.5, 1), -1)
    alarm.feature_names_in_ = np.array(["amap", *LIVER, *DEEP], dtype=object)
    alarm.selection_counts_ = pd.DataFrame({"block": [], "step": [], "features": []})
    alarm.lasso_paths_, alarm.lasso_alphas_, alarm.notes_ = {}, {}, []
    alarm.to_json(run.stage("alarm") / "model.json")
    clinical, features = files.model_table(run, "amap_ct")
    volume = files.read_table(run, "segmentation", "amap_ct.csv").set_index("patient")["spleen_volume_ml"]
    learnt = clinical["role"] == "development"
    family = AmapCtFamily(random_state=1).fit(features.join(volume)[learnt], clinical.loc[learnt, "hcc"])
    family.to_json(run.stage("amap_ct") / "family.json")
    family.models_["amap_ct"].to_json(run.stage("amap_ct") / "model.json")
    for paper in PAPERS:
        truth = {"cohort": ["unseen"], "model": [paper], "auc": [0.8], "lower": [0.7], "upper": [0.9], "truth": [0.85]}
        files.save_table(pd.DataFrame(truth), run.stage(paper) / "truth.csv")
