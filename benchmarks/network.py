"""Train the network that the profile `demo` starts from, `data/networks/synthetic.safetensors`.

    .venv/bin/python benchmarks/network.py

The profile's own way: its settings, its seed, and synthetic patients who belong to neither cohort.
Sums in another order give other last digits, which training enlarges: two processors train two networks, as two seeds
would. So the network is trained once and kept, and what follows from it agrees between processors
(`benchmarks/processors.py`); about two minutes on two cores.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hccbook.phantom import write_segmentation_set
from hccbook.pipeline.segmentation import segmentation_network
from hccbook.run import TRAINING_SET, RunPaths, profile_file, project_root
from hccbook.settings import CohortSettings, load_profile

PATIENTS = CohortSettings().segmentation_patients


def main() -> None:
    profile = load_profile(profile_file("demo"))
    cohort = profile.cohort.model_copy(update={"segmentation_patients": PATIENTS})
    settings = profile.segmentation.model_copy(update={"weights": ""})
    with tempfile.TemporaryDirectory() as folder:
        run = RunPaths(Path(folder) / "results" / "network")
        write_segmentation_set(run.synthetic_cohort(TRAINING_SET), cohort, store=run.store)
        network = segmentation_network(run, settings, tuple(profile.run.phases.split(",")))
        kept = project_root() / profile.segmentation.weights
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(network, kept)


if __name__ == "__main__":
    main()
