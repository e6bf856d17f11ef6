"""What ALARM finds of a known truth at the papers' sizes, by where SMOTE enters; features are drawn, not extracted.

    python benchmarks/printed_size.py [--seeds 2]

For each seed, ALARM's 1,858 patients of the profile ``paper`` are simulated without images. 3,669 radiomics and 300
deep features are drawn in families that nearly repeat one another; a quarter of the radiomics families and a seventh of
the deep ones carry the liver's planted risk, with a correlation of 0.2 to 0.9. The model is fitted on the discovery
cohort under each reading of the paper's order, and its AUC in the other cohorts is set beside the ideal observer's.
Prints one row per seed and reading, with CPU seconds.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd

from hccbook import evaluation, phantom
from hccbook.models import AlarmModel
from hccbook.papers import find_paper, role_of_cohort
from hccbook.run import profile_file
from hccbook.scores import amap
from hccbook.settings import Profile, load_profile

FAMILY = 12
BLOCKS = {"feature": (3_669, 0.25), "deep": (300, 0.15)}
CARRIED = (0.2, 0.9)
NOISE = (0.02, 0.6)
READINGS = ("before_selection", "before_model", "off")


def drawn_features(risk: np.ndarray, seed: int) -> pd.DataFrame:
    """Features of patients with that planted risk (SD): families of twelve, half of the features log-normal."""
    rng = np.random.default_rng(seed)
    columns: dict[str, np.ndarray] = {}
    for block, (count, informative) in BLOCKS.items():
        for number in range(count):
            if number % FAMILY == 0:
                carried = rng.uniform(*CARRIED) if rng.random() < informative else 0.0
                shared = carried * risk + np.sqrt(1 - carried**2) * rng.standard_normal(len(risk))
            values = shared + rng.uniform(*NOISE) * rng.standard_normal(len(risk))
            columns[f"venous.liver.{block}_{number:04d}"] = np.exp(values) if rng.random() < 0.5 else values
    return pd.DataFrame(columns)


def compared(profile: Profile, seed: int) -> list[dict[str, object]]:
    """AUC of ALARM under each reading, discovery and unseen, beside the truth."""
    cohort = profile.cohort.model_copy(update={"seed": seed})
    patients = phantom.simulate_clinical("alarm", cohort).reset_index(drop=True)
    age, *blood = (patients[name] for name in ("age", "bilirubin", "albumin", "platelets"))
    table = drawn_features(patients["liver_latent"].to_numpy(), seed)
    table = pd.concat([amap(age, patients["sex"] == "male", *blood).rename("amap"), table], axis=1)
    learn = patients["cohort"].map(role_of_cohort()) == "development"
    marker = find_paper("alarm").markers["alarm"]
    truth = phantom.truth("alarm", cohort)["auc"]
    settings = profile.alarm
    rows = []
    for reading in READINGS:
        start = time.process_time()
        model = AlarmModel(
            reading, settings.p_threshold, settings.spearman_threshold, settings.lasso_folds, settings.lambda_rule, seed
        ).fit(table[learn], patients.loc[learn, "hcc"])
        seconds = time.process_time() - start
        found = model.scores(table)["alarm"]
        unseen = evaluation.auc_delong(patients.loc[~learn, "hcc"], found[~learn])
        rows.append(
            {
                "seed": seed,
                "smote": reading,
                "features": len(model.radiomics_score_.names) + len(model.deep_score_.names),
                "auc_discovery": round(evaluation.auc_delong(patients.loc[learn, "hcc"], found[learn]).auc, 3),
                "auc": round(unseen.auc, 3),
                "lower": round(unseen.lower, 3),
                "upper": round(unseen.upper, 3),
                "truth": round(truth["validation_and_test"][marker], 3),
                "cpu_seconds": round(seconds, 1),
            }
        )
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2, help="cohorts simulated, from the profile's seed on")
    paper = load_profile(profile_file("paper"))
    first = paper.cohort.seed
    rows = [row for seed in range(first, first + parser.parse_args().seeds) for row in compared(paper, seed)]
    print(pd.DataFrame(rows).to_string(index=False))
