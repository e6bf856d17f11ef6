"""What the models can learn from the events that there are, where the images carry a known risk.

    .venv/bin/python benchmarks/redrawn_outcomes.py results/paper            # 4 seeds, 20 minutes on one core
    .venv/bin/python benchmarks/redrawn_outcomes.py results/paper --quick    # 1 seed, smallest size; writes nothing

Takes the patients of a finished simulated run with the features that it measured, and draws who develops HCC anew:
with the odds that the planted latent risks and aMAP give, and as many events in development as are asked for. Both
models learn and are tested as in the run, and an ideal observer, who knows these odds, is tested on the same patients.
Deep features that were tuned on the run's own outcomes stay out, so that ALARM has its radiomics and aMAP.
Writes `benchmarks/redrawn_outcomes.json`, which chapter 10 of the book shows.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path

# Read once, when numpy is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")

import numpy as np
import pandas as pd
from null_cohort import machine
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from hccbook import evaluation, phantom
from hccbook.models import AlarmModel, AmapCtModel
from hccbook.phantom.outcome import planted_shifts
from hccbook.pipeline.files import model_table, save_json
from hccbook.pipeline.run_record import describe_run
from hccbook.run import RunPaths, benchmark_file
from hccbook.settings import ORGANS, Profile

SEEDS = range(201, 205)
EVENTS = {"alarm": (45, 90, 180), "amap_ct": (24, 96, 240)}
"""Events to learn from: as printed, and multiples."""


def planted_log_odds(paper: str, profile: Profile, clinical: pd.DataFrame) -> np.ndarray:
    """Log odds of HCC, up to a constant, by the planted risks and aMAP, shape (n_patients,)."""
    latent = phantom.simulate_clinical(paper, profile.cohort).loc[clinical.index]
    shifts = planted_shifts(paper, profile.cohort)
    amap = clinical[["amap"]] / clinical["amap"].std()
    weight = LogisticRegression(C=np.inf).fit(amap, clinical["hcc"]).coef_[0, 0]
    return sum(shifts[organ] * latent[f"{organ}_latent"] for organ in ORGANS) + weight * amap["amap"].to_numpy()


def redraw(log_odds: np.ndarray, events: int, rng: np.random.Generator) -> np.ndarray:
    """Outcomes with these log odds and, on average, that many events, shape (n_patients,), bool."""
    intercept = brentq(lambda shift: expit(log_odds + shift).sum() - events, -50.0, 50.0)
    return rng.random(len(log_odds)) < expit(log_odds + intercept)


def trials(run: RunPaths, quick: bool) -> Iterator[dict[str, object]]:
    """All trials, each printed as it ends."""
    profile = describe_run(run).profile
    for paper, sizes in EVENTS.items():
        clinical, table = model_table(run, paper)
        if paper == "alarm":
            table = table.loc[:, ~table.columns.str.contains(".deep_", regex=False)]
        odds = np.asarray(planted_log_odds(paper, profile, clinical))
        learn = (clinical["role"] == "development").to_numpy()
        unseen = int(clinical.loc[~learn, "hcc"].sum())
        for events in sizes[:1] if quick else sizes:
            for seed in SEEDS[:1] if quick else SEEDS:
                rng = np.random.default_rng([seed, events])
                hcc = np.zeros(len(clinical), dtype=int)
                hcc[learn], hcc[~learn] = redraw(odds[learn], events, rng), redraw(odds[~learn], unseen, rng)
                started = time.process_time()
                model = new_model(paper, profile, seed).fit(table[learn], hcc[learn])
                seconds = time.process_time() - started
                found = evaluation.auc_delong(hcc[~learn], model.predict_proba(table[~learn])[:, 1])
                ideal, amap = (
                    evaluation.auc_delong(hcc[~learn], score[~learn]).auc for score in (odds, clinical["amap"])
                )
                values = {"auc": found.auc, "lower": found.lower, "upper": found.upper, "amap": amap, "ideal": ideal}
                row = {"model": paper, "events": events, "seed": seed, "learnt": int(hcc[learn].sum())}
                row |= {key: round(value, 6) for key, value in values.items()} | {"cpu_seconds": round(seconds, 1)}
                print(*(f"{key} {value}" for key, value in row.items()), sep=", ", flush=True)
                yield row


def new_model(paper: str, profile: Profile, seed: int) -> AlarmModel | AmapCtModel:
    """Model with the settings of the run."""
    own = profile.alarm if paper == "alarm" else profile.amap_ct
    shared = {"lasso_folds": own.lasso_folds, "lambda_rule": own.lambda_rule, "random_state": seed}
    if paper == "amap_ct":
        return AmapCtModel(**shared)
    return AlarmModel(own.smote, own.p_threshold, own.spearman_threshold, **shared)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="folder of a finished simulated run, with its features")
    parser.add_argument("--quick", action="store_true", help="1 seed of the smallest size; writes nothing")
    arguments = parser.parse_args()
    about = machine()
    print(", ".join(f"{name} {value}" for name, value in about.items()), flush=True)
    run = RunPaths.at(Path(arguments.run).resolve())
    rows = list(trials(run, arguments.quick))
    table = pd.DataFrame(rows)
    table["covered"] = table["ideal"].between(table["lower"], table["upper"])
    print(table.groupby(["model", "events"])[["auc", "amap", "ideal", "covered"]].mean().round(3).to_string())
    if not arguments.quick:
        content = {"machine": about, "run": run.root.name, "seeds": [SEEDS[0], SEEDS[-1]], "rows": rows}
        save_json(content, benchmark_file("redrawn_outcomes"))


if __name__ == "__main__":
    main()
