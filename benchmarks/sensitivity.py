"""How much each open choice of the papers matters, on the patients of a finished run.

    .venv/bin/python benchmarks/sensitivity.py [results/demo]

Each line changes one setting of ALARM or aMAP-CT and fits the model anew: the features it keeps, its AUC in the
patients that no step has seen (DeLong), the difference from the run's own settings (DeLong's test), and its cut-offs.
The register of assumptions quotes these numbers. They are of simulated patients, and of few.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd

from hccbook.evaluation import auc_delong, delong_test, xtile, youden_cutoff
from hccbook.models import AlarmModel, AmapCtModel
from hccbook.pipeline import files
from hccbook.run import RunPaths
from hccbook.settings import load_profile

RESULTS = Path(__file__).with_suffix(".json")

ALARM = {
    "as in the run": {},
    "SMOTE before the model only": {"smote": "before_model"},
    "no SMOTE": {"smote": "off"},
    "p below 0.01": {"p_threshold": 0.01},
    "p below 0.1": {"p_threshold": 0.1},
    "Spearman 0.7": {"spearman_threshold": 0.7},
    "Spearman 0.8": {"spearman_threshold": 0.8},
    "Spearman 0.95": {"spearman_threshold": 0.95},
    "least error": {"lambda_rule": "min"},
}
AMAP_CT = {"as in the run": {}, "one standard error": {"lambda_rule": "1se"}}
GROUP_FRACTIONS = (0.05, 0.1, 0.2)


def line(paper: str, name: str, y: pd.Series, probability: pd.Series, own: pd.Series, kept: str, cuts: str) -> dict:
    """One row, and what it prints."""
    found = auc_delong(y, probability)
    same = probability.equals(own)
    test = None if same else delong_test(y, probability, own)
    row = {
        "paper": paper,
        "change": name,
        "features": kept,
        "auc": round(found.auc, 3),
        "lower": round(found.lower, 3),
        "upper": round(found.upper, 3),
        "difference": None if same else round(found.auc - auc_delong(y, own).auc, 3),
        "p": None if same else round(float(test.p), 3),
        "cutoffs": cuts,
    }
    print(
        f"{paper:<8} {name:<28} {kept:<26} {row['auc']:.3f} ({row['lower']:.3f} to {row['upper']:.3f})"
        f" {'' if same else format(row['difference'], '+.3f') + ', p ' + format(row['p'], '.3f'):<18} {cuts}",
        flush=True,
    )
    return row


def alarm(run: RunPaths, settings) -> list[dict]:
    clinical, features = files.model_table(run, "alarm")
    development, hcc = clinical["role"] == "development", clinical["hcc"]
    base = {
        "smote": settings.smote,
        "p_threshold": settings.p_threshold,
        "spearman_threshold": settings.spearman_threshold,
        "lasso_folds": settings.lasso_folds,
        "lambda_rule": settings.lambda_rule,
        "random_state": settings.seed,
    }
    rows, own = [], None
    for name, change in ALARM.items():
        model = AlarmModel(**base | change).fit(features[development], hcc[development])
        probability = model.scores(features)["alarm"][~development]
        own = probability if own is None else own
        seen = model.augmented_
        kept = f"{len(model.radiomics_score_.names)} radiomics, {len(model.deep_score_.names)} deep"
        fractions = GROUP_FRACTIONS if not change else (settings.min_group_fraction,)
        cuts = "; ".join(
            f"least group {part:g}: "
            + ", ".join(f"{cut:.3f}" for cut in xtile(seen["alarm"], seen["y"], min_fraction=part).cuts)
            for part in fractions
        )
        rows.append(line("ALARM", name, hcc[~development], probability, own, kept, cuts))
        if not change:
            real = seen[~seen["synthetic"]]
            found = xtile(real["alarm"], real["y"], min_fraction=settings.min_group_fraction).cuts
            print(f"{'':8} X-tile on real patients only: {', '.join(f'{cut:.3f}' for cut in found)}")
            rows[-1]["cutoffs_of_real_patients"] = ", ".join(f"{cut:.3f}" for cut in found)
    return rows


def amap_ct(run: RunPaths, settings) -> list[dict]:
    clinical, features = files.model_table(run, "amap_ct")
    development, hcc = clinical["role"] == "development", clinical["hcc"]
    base = {"lasso_folds": settings.lasso_folds, "lambda_rule": settings.lambda_rule, "random_state": settings.seed}
    rows, own = [], None
    for name, change in AMAP_CT.items():
        model = AmapCtModel(**base | change).fit(features[development], hcc[development])
        scores = pd.Series(model.decision_function(features), index=features.index)
        probability = scores[~development]
        own = probability if own is None else own
        cuts = (
            f"Youden {youden_cutoff(hcc[development], scores[development]):.3f}, "
            f"X-tile {xtile(scores[development], hcc[development], n_cuts=1).cuts[0]:.3f}"
        )
        kept = f"{len(model.image_score_.names)} of the CT image"
        rows.append(line("aMAP-CT", name, hcc[~development], probability, own, kept, cuts))
    return rows


def main() -> None:
    run = RunPaths.at(sys.argv[1] if len(sys.argv) > 1 else "results/demo")
    profile = load_profile(Path(__file__).parents[1] / "profiles" / f"{run.root.name}.yaml")
    rows = alarm(run, profile.alarm) + amap_ct(run, profile.amap_ct)
    RESULTS.write_text(json.dumps({"profile": run.root.name, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
