"""What each leak buys where there is nothing to find, and whether the leakage-free ALARM finds nothing.

    .venv/bin/python benchmarks/null_cohort.py            # 50 seeds, minutes on one core
    .venv/bin/python benchmarks/null_cohort.py --quick    # 3 seeds; writes nothing

Every seed is a cohort of noise (`hccbook.evaluation.leakage.null_cohort`), split in two halves: 100 patients with 20
HCC develop the model, 100 with 20 HCC validate it. All experiments of a seed have the same patients and the same split.
The truth is known: an AUC of 0.5, and sensitivity + specificity of 1. Seeds are 1 to 50; sizes were chosen on others.
Writes `benchmarks/null_cohort.json`, from which chapter 10 of the book draws.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

# Read once, when numpy is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pandas as pd

from hccbook.evaluation import leakage
from hccbook.models import NestedAlarmModel

SEEDS = 50
SIZES = {"n_patients": 200, "n_hcc": 40, "n_features": 500, "correlation": 0.7}
SHARE = 0.5
FOLDS = {"folds": 5, "lasso_folds": 5}
RESULTS = Path(__file__).with_suffix(".json")


def experiments(seeds: range) -> tuple[pd.DataFrame, float]:
    """All experiments of all seeds, and the seconds they took."""
    started = time.perf_counter()
    parts = []
    for seed in seeds:
        parts.append(leakage.leak_table([seed], SIZES, SHARE, model=NestedAlarmModel(**FOLDS)))
        print(f"seed {seed:>3} of {seeds[-1]}, {time.perf_counter() - started:6.1f} s", flush=True)
    return pd.concat(parts, ignore_index=True), time.perf_counter() - started


def verdict(table: pd.DataFrame, optimism: pd.DataFrame) -> dict[str, float | bool]:
    """What the leakage-free pipeline must do on noise, and whether it did."""
    (free,) = optimism[(optimism["leak"] == leakage.NO_LEAK) & (optimism["measure"] == "auc")].to_dict("records")
    distance = (free["mean"] - 0.5) / free["se"]
    return {
        "mean_auc": free["mean"],
        "se": free["se"],
        "distance_in_se": distance,
        "within_one_se": abs(distance) <= 1,
        "within_1_96_se": abs(distance) <= 1.96,
        "covered": free["covered"],
        "covered_90_to_99_percent": 0.9 <= free["covered"] <= 0.99,
        # The others predict from aMAP alone, which is noise as well.
        "seeds_with_image_features": int((table.loc[table["leak"] == leakage.NO_LEAK, "selected"] > 0).sum()),
    }


def machine() -> dict[str, str | int]:
    """What the numbers were measured on."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": names[0].partition(":")[2].strip() if names else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "cores_used": 1,
        "memory_gib": round(memory),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "scipy", "scikit-learn", "imbalanced-learn")},
    }


def plain(table: pd.DataFrame) -> list[dict[str, object]]:
    """Rows for JSON; what is undefined is null."""
    return [
        {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
        for row in table.to_dict("records")
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="3 seeds; writes nothing")
    seeds = range(1, (3 if parser.parse_args().quick else SEEDS) + 1)
    about = machine()
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    print(", ".join(f"{name} {value}" for name, value in {**SIZES, "share": SHARE, **FOLDS}.items()), flush=True)
    table, seconds = experiments(seeds)
    optimism = leakage.optimism_table(table)
    print(optimism.round(4).to_string(index=False))
    found = verdict(table, optimism)
    print(
        f"leakage-free: mean AUC {found['mean_auc']:.4f}, SE {found['se']:.4f} ({found['distance_in_se']:+.2f} SE from "
        f"0.5), 95 % intervals cover 0.5 in {found['covered']:.0%} of {len(seeds)} seeds; {seconds:.0f} s"
    )
    if len(seeds) == SEEDS:
        content = {
            "machine": about,
            "sizes": {**SIZES, "share": SHARE, **FOLDS, "seeds": [seeds[0], seeds[-1]]},
            "seconds": round(seconds, 1),
            "leakage_free": found,
            "optimism": plain(optimism),
            "rows": plain(table.round(6)),
        }
        RESULTS.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
