"""What the kind of processor does to the results: one profile, run on two of them.

    .venv/bin/python benchmarks/processors.py RUN RUN    # folders of two finished runs of one profile and seed

Sums in another order give other last digits. Where both runs start from one trained network, little follows from it;
where each trained its own, arithmetic in bfloat16 and the training itself enlarge it to another network.
Compares the two runs as `hccbook compare` does: how far apart their AUCs are, and which conclusions differ.
Writes `benchmarks/processors.json`, which the book shows, and keeps what it holds about the other kind of run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from hccbook.pipeline.comparison import compare_runs, comparison_text
from hccbook.pipeline.files import read_json, save_json
from hccbook.pipeline.run_record import describe_run
from hccbook.run import RunPaths, benchmark_file


def mean_dice(run: Path) -> dict[str, float]:
    """Mean Dice coefficient by organ, of all patients and phases."""
    masks = pd.concat(pd.read_csv(file) for file in sorted((run / "segmentation").glob("*_dice.csv")))
    return masks.groupby("organ")["dice"].mean().round(4).to_dict()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs=2, type=Path, help="folders of two finished runs")
    runs = parser.parse_args().runs
    processors = [" and ".join(describe_run(RunPaths(run)).processors) for run in runs]
    comparison = compare_runs(*runs, digits=4)
    print(comparison_text(comparison, *processors))
    unlike = [row for row in comparison.to_dict()["settings"] if not row["setting"].startswith("processors")]
    if unlike or processors[0] == processors[1]:
        parser.error(f"the runs must differ in their processors only: {unlike or processors[0]}")
    aucs = comparison.to_dict()["aucs"]
    networks = [(run / "segmentation" / "network.safetensors").read_bytes() for run in runs]
    kept = {
        "profile": runs[0].name,
        "processors": processors,
        "aucs": len(aucs),
        "apart": sum(row["difference"] > 0.5e-3 for row in aucs),
        "largest": aucs[0],
        "dice": [mean_dice(run) for run in runs],
        "conclusions": comparison.to_dict()["conclusions"],
    }
    file = benchmark_file("processors")
    before = read_json(file) if file.is_file() else {}
    save_json(before | {"one network" if networks[0] == networks[1] else "two networks": kept}, file)


if __name__ == "__main__":
    main()
