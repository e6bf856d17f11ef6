"""From how many events on the models keep what aMAP tells, where image features carry nothing.

    .venv/bin/python benchmarks/null_run.py results/demo            # 10 seeds, 8 minutes on one core
    .venv/bin/python benchmarks/null_run.py results/demo --quick    # 1 seed of the smaller sizes; writes nothing

Each seed is a null cohort (`hccbook.pipeline.null_run`): simulated patients of whom a fifth develop HCC, and features
drawn like those that a finished run has measured. There an ideal observer has aMAP alone. Four models learn from some
of the patients: ALARM and aMAP-CT as the papers have them, ALARM with SMOTE after the selection, and ALARM in the
leakage-free order of chapter 10. 400 others with 80 HCC test them. The size of the book's null run was chosen by what
this says; its own seed is none of these. Writes `benchmarks/null_run.json`, from which chapter 10 of the book draws.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

# Read once, when numpy is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")

import pandas as pd
from null_cohort import machine

from hccbook import cohort, evaluation, phantom
from hccbook.models import AlarmModel, AmapCtModel, NestedAlarmModel
from hccbook.pipeline.null_run import draw_features, null_cohort_settings
from hccbook.run import RunPaths
from hccbook.settings import AlarmSettings, AmapCtSettings, NullRunSettings

SEEDS = range(101, 111)
PATIENTS_AN_EVENT = 5
EVENTS = {
    "alarm": (12, 30, 60, 120, 240, 480),
    "alarm_late_smote": (12, 60),
    "alarm_leakage_free": (12, 60),
    "amap_ct": (12, 60, 240),
}
RESULTS = Path(__file__).with_suffix(".json")


def new_model(name: str, seed: int) -> AlarmModel | AmapCtModel | NestedAlarmModel:
    """Model with the settings that the stages have by default."""
    alarm, amap_ct = AlarmSettings(), AmapCtSettings()
    if name == "amap_ct":
        return AmapCtModel(lasso_folds=amap_ct.lasso_folds, lambda_rule=amap_ct.lambda_rule, random_state=seed)
    if name == "alarm_leakage_free":
        return NestedAlarmModel(lasso_folds=5, lambda_rule=alarm.lambda_rule, random_state=seed)
    smote = "before_model" if name == "alarm_late_smote" else alarm.smote
    return AlarmModel(smote, lasso_folds=alarm.lasso_folds, lambda_rule=alarm.lambda_rule, random_state=seed)


def trial(run: RunPaths, name: str, events: int, seed: int) -> dict[str, object]:
    """One model on one null cohort: its AUC in unseen patients, aMAP's own, and what an ideal observer has."""
    paper = "amap_ct" if name == "amap_ct" else "alarm"
    sizes = NullRunSettings(seed=seed, development=PATIENTS_AN_EVENT * events, development_hcc=events)
    settings = null_cohort_settings(paper, sizes)
    clinical = cohort.clinical_table(phantom.simulate_clinical(paper, settings))
    features = draw_features(run, paper, clinical.index, sizes)
    table = clinical[["amap"]].join(features.loc[:, ~features.columns.str.endswith("_volume_ml")])
    development = clinical["role"] == "development"
    started = time.process_time()
    model = new_model(name, seed).fit(table[development], clinical.loc[development, "hcc"])
    seconds = time.process_time() - started
    hcc = clinical.loc[~development, "hcc"]
    found = evaluation.auc_delong(hcc, model.predict_proba(table[~development])[:, 1])
    own = evaluation.auc_delong(hcc, clinical.loc[~development, "amap"])
    values = {"auc": found.auc, "lower": found.lower, "upper": found.upper, "amap": own.auc, "truth": truth(paper)}
    place = {"model": name, "patients": PATIENTS_AN_EVENT * events, "events": events, "seed": seed}
    return place | {key: round(value, 6) for key, value in values.items()} | {"cpu_seconds": round(seconds, 1)}


@functools.cache
def truth(paper: str) -> float:
    """AUC of aMAP in the unseen patients, which does not depend on how many others there are."""
    return phantom.truth(paper, null_cohort_settings(paper, NullRunSettings()))["auc"]["validation_and_test"]["amap"]


def trials(run: RunPaths, quick: bool) -> Iterator[dict[str, object]]:
    """All trials, each printed as it ends."""
    for name, sizes in EVENTS.items():
        for events in sizes[:2] if quick else sizes:
            for seed in SEEDS[:1] if quick else SEEDS:
                row = trial(run, name, events, seed)
                print(*(f"{key} {value}" for key, value in row.items()), sep=", ", flush=True)
                yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="folder of a finished run whose features are imitated")
    parser.add_argument("--quick", action="store_true", help="1 seed of the smaller sizes; writes nothing")
    arguments = parser.parse_args()
    about = machine()
    print(", ".join(f"{name} {value}" for name, value in about.items()), flush=True)
    rows = list(trials(RunPaths.at(Path(arguments.run).resolve()), arguments.quick))
    table = pd.DataFrame(rows)
    table["covered"] = table["truth"].between(table["lower"], table["upper"])
    print(table.groupby(["model", "events"])[["auc", "amap", "covered", "cpu_seconds"]].mean().round(3).to_string())
    if not arguments.quick:
        content = {"machine": about, "seeds": [SEEDS[0], SEEDS[-1]], "rows": rows}
        RESULTS.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
