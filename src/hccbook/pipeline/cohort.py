"""Stage 01: the patients, simulated unless the user brings some, checked and tabulated."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from hccbook import cohort, phantom
from hccbook.parallel import FAILURE_COLUMNS
from hccbook.pipeline.files import save_json, save_table
from hccbook.run import TRAINING_SET, RunPaths
from hccbook.settings import CohortSettings


def make_cohort(
    run: RunPaths, paper: str, settings: CohortSettings, phases: tuple[str, ...], workers: int
) -> pd.DataFrame:
    """Simulate the cohort unless the user brings one, check its manifest, and write the clinical table.

    A patient whose row is wrong becomes a row of the failures table, and is not assigned to a cohort.

    Parameters
    ----------
    run : RunPaths
    paper : {"alarm", "amap_ct"}
    settings : CohortSettings
    phases : tuple of str
        Phases that must be there.
    workers : int

    Returns
    -------
    pandas.DataFrame
        Clinical table, one row per patient, index ``patient``; no identifier and no path.

    Raises
    ------
    ManifestError
        As `hccbook.cohort.usable_patients`.
    """
    if run.manifest is None:
        phantom.write_cohort(run.synthetic_cohort(paper), paper, settings, workers=workers, store=run.store)
    rows, left_out = cohort.usable_patients(run.source_manifest(paper), phases)
    failures = [(key, "cohort", "ManifestError", reason) for key, reason in left_out.items()]
    failures = pd.DataFrame(failures, columns=list(FAILURE_COLUMNS))
    save_table(failures, run.stage("cohort") / f"{paper}_failures.csv")
    split, reason = cohort.choose_split(rows, paper, settings.seed)
    if settings.split != "auto":
        split, reason = settings.split, f"The setting cohort.split asks for the {settings.split} way."
    if (rows["cohort"] != "").all():
        reason = "The manifest gives the cohorts."
    rows["cohort"] = cohort.assign_cohorts(rows, paper, settings.seed, split)
    save_json({"split": split, "reason": reason}, run.stage("cohort") / f"{paper}_split.json")
    if run.manifest is not None and settings.centre_names == "coded":
        rows["centre"] = cohort.coded_centres(rows["centre"])
    table = cohort.clinical_table(rows)
    save_table(table.reset_index(), run.clinical(paper))
    return table


def make_training_set(run: RunPaths, settings: CohortSettings, workers: int) -> Path:
    """Manifest of simulated patients that train the segmentation; they belong to neither cohort."""
    folder = run.synthetic_cohort(TRAINING_SET)
    return phantom.write_segmentation_set(folder, settings, workers=workers, store=run.store)
