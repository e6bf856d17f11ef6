"""Cohorts that a paper's authors would not have, and the pages of a run on them, without an image.

A cohort is a manifest whose image files are empty. Its features are drawn, as a null run's are, but know something of
the outcome; the notebooks from the statistics on are executed in this process, cell by cell, as a run's kernel would.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
import myst_nb
import nbformat
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from hccbook import evaluation
from hccbook.cohort import image_characteristics
from hccbook.features.radiomics import ExtractionSettings
from hccbook.papers import PAPERS
from hccbook.pipeline import files
from hccbook.pipeline.runner import chapters_of, notebook_parameters, of_papers, stages_of
from hccbook.pipeline.unavailable import CellGuard, glue_references
from hccbook.run import CHAPTER_READS, RunPaths, notebook_file
from hccbook.settings import PHASES, Profile

SETTINGS: dict[str, dict[str, Any]] = {
    "cohort": {"segmentation_patients": 0},
    "features": {"amap_ct_filters": "square", "alarm_filters": "square", "fine_tune_shuffles": 0},
    "segmentation": {"mask_source": "manifest"},
    "alarm": {"bootstrap_replicates": 100, "lasso_folds": 5},
    "amap_ct": {"bootstrap_replicates": 100},
    "alarm_supplement": {"permutations": 9, "folds": 3},
    "leakage_and_negative_controls": dict(replicates=2, patients=40, hcc=12, features=4, folds=3, lasso_folds=3),
    "figures_and_tables": {"dpi": 50},
}
_MEASURED_STAGES = ("preprocessing", "segmentation", "features")
_FACTS = {"source_spacing_x_mm": 0.8, "source_spacing_z_mm": 5.0, "source_size_x": 512, "source_size_z": 60}


def patients(count: int = 60, events: int = 16, seed: int = 1, centres: int = 3) -> pd.DataFrame:
    """Rows of a manifest: unequal centres, follow-up of one to six years, values that go a little with the outcome."""
    rng = np.random.default_rng(seed)
    hcc = rng.permutation(np.arange(count) < events).astype(int)
    table = pd.DataFrame({"patient_id": [f"someone {number}" for number in range(count)], "hcc": hcc})
    table["centre"] = [f"C{int(np.sqrt(number % centres**2)) + 1}" for number in range(count)]
    table["cohort"] = ""
    table["age"] = rng.normal(54 + 5 * hcc, 9).round().clip(19, 90)
    table["sex"] = np.where(rng.random(count) < 0.7, "male", "female")
    table["bilirubin"] = rng.lognormal(2.8 + 0.1 * hcc, 0.4).round(1).clip(3, 400)
    table["albumin"] = rng.normal(41 - 2 * hcc, 4).round(1).clip(20, 60)
    table["platelets"] = rng.lognormal(4.9 - 0.2 * hcc, 0.3).round().clip(20, 500)
    table["afp"] = rng.lognormal(1.5 + 0.5 * hcc, 1).round(1)
    table["alt"] = rng.lognormal(3.5, 0.5, count).round().clip(5, 900)
    table["etiology"] = rng.choice(["HBV", "HCV", "alcohol"], count, p=[0.6, 0.2, 0.2])
    table["months"] = np.where(hcc == 1, rng.uniform(4, 40, count), rng.uniform(12, 72, count)).round(1)
    return table


@dataclass
class OddRun:
    """A run on an odd cohort.

    Attributes
    ----------
    run : RunPaths
    profile : Profile
    reasons : dict of str to list of str
        Why something is n.a., by notebook.
    glued : dict of str to str
        Texts for the pages.
    """

    run: RunPaths
    profile: Profile
    reasons: dict[str, list[str]] = field(default_factory=dict)
    glued: dict[str, str] = field(default_factory=dict)

    def execute(self) -> OddRun:
        """All notebooks that read no image, in the run's order."""
        self._executed("cohort")
        for paper in self.profile.run.papers.split(","):
            self._draw_features(paper)
        later = [stage for stage in stages_of(self.profile) if stage not in ("cohort", *_MEASURED_STAGES)]
        later += [
            name for name in chapters_of(self.profile) if name in CHAPTER_READS and name != "segmentation_robustness"
        ]
        for stage in later:
            self._executed(stage)
        return self

    def _draw_features(self, paper: str) -> None:
        phases, organs = self.profile.run.phases.split(","), PAPERS[paper].organs
        clinical = files.read_cohort(self.run, paper)
        rng = np.random.default_rng(len(clinical))
        names = ExtractionSettings.of_paper(paper, self.profile.features, self.profile.preprocessing).feature_names
        latent = rng.normal(size=(len(clinical), 6))
        latent[:, 0] += 1.2 * clinical["hcc"]
        tables = {}
        for block, own in (("radiomics", names), ("deep", [f"deep_{number:03d}" for number in range(12)])):
            columns = [f"{phase}.{organ}.{name}" for phase in phases for organ in organs for name in own]
            values = latent @ rng.normal(size=(6, len(columns))) + rng.normal(size=(len(clinical), len(columns)))
            tables[block] = pd.DataFrame(values.astype(np.float32), index=clinical.index, columns=columns)
            tables[block].to_parquet(self.run.stage("features") / f"{paper}_{block}.parquet")
        counts = evaluation.feature_counts([*tables["radiomics"].columns, *tables["deep"].columns])
        files.save_table(counts, self.run.stage("features") / f"{paper}_counts.csv")
        facts = pd.DataFrame([(key, phase) for key in clinical.index for phase in phases], columns=["patient", "phase"])
        facts = facts.assign(**_FACTS)
        masks = facts[["patient", "phase"]].assign(
            liver_volume_ml=1400.0, spleen_volume_ml=rng.normal(400, 90, len(facts))
        )
        files.save_table(masks, self.run.stage("segmentation") / f"{paper}.csv")
        if set(organs) == {"liver", "spleen"}:
            scanned = image_characteristics(facts, tables["radiomics"], clinical["centre"])
            files.save_table(scanned, self.run.stage("features") / f"{paper}_image_characteristics.csv")
        files.save_json(self.profile.preprocessing.model_dump(), self.run.stage("preprocessing") / "settings.json")
        files.save_json(self.profile.features.model_dump(), self.run.stage("features") / "settings.json")

    def _executed(self, stage: str) -> None:
        notebook = of_papers(nbformat.read(notebook_file(stage), as_version=4), self.profile.run.papers)
        parameters = notebook_parameters(stage, self.profile, str(self.run.root), 1)
        guard = CellGuard(stage, glue_references(cell.source for cell in notebook.cells))
        space = guard.namespace
        space |= {"__name__": "__main__", "_hccbook_guard": guard, "display": lambda *shown: None}
        space["results"] = str(self.run.root)
        with _quiet_pages(guard, self.glued):
            for number, cell in enumerate(cell for cell in notebook.cells if cell.cell_type == "code"):
                tree = guard.visit(ast.parse(cell.source))
                exec(compile(tree, f"{stage}, cell {number}", "exec"), space)
                if "parameters" in cell.metadata.get("tags", []):
                    space |= parameters
                plt.close("all")
        self.reasons[stage] = guard.reasons


@contextmanager
def _quiet_pages(guard: CellGuard, glued: dict[str, str]) -> Iterator[None]:
    """No window, and glued texts kept."""
    plain = myst_nb.glue

    def glue(name: str, value: Any, display: bool = True) -> None:
        guard.glued.add(name)
        glued[name] = value

    mpl.use("Agg")
    myst_nb.glue = glue
    try:
        yield
    finally:
        myst_nb.glue = plain


def odd_run(folder: Path, table: pd.DataFrame, **run_settings: Any) -> OddRun:
    """Run on the patients of a table; settings of the run are those of a user's own."""
    phases = str(run_settings.get("phases", ",".join(PHASES))).split(",")
    (folder / "ct").mkdir(parents=True)
    for phase in phases:
        table[phase] = [f"ct/{number}_{phase}.nii.gz" for number in range(len(table))]
        for name in table[phase]:
            (folder / name).touch()
    table.to_csv(folder / "manifest.csv", index=False)
    settings = {"run": {"synthetic": False, "manifest": str(folder / "manifest.csv"), **run_settings}, **SETTINGS}
    return OddRun(RunPaths.at(folder / "results" / "own", folder / "manifest.csv"), Profile(**settings))
