"""Stage 02: every patient's phases on one working grid."""

from __future__ import annotations

import functools

import pandas as pd

from hccbook.errors import ImageError
from hccbook.images.patients import preprocess_patient
from hccbook.images.repeats import repeated_volumes
from hccbook.parallel import FAILURE_COLUMNS, MapResult, map_patients
from hccbook.pipeline.files import joined_failures, save_failures, save_json, save_table, source_cases
from hccbook.run import RunPaths
from hccbook.settings import PreprocessingSettings


def preprocess_cohort(
    run: RunPaths,
    paper: str,
    settings: PreprocessingSettings,
    phases: tuple[str, ...],
    workers: int,
    masks: str = "",
) -> pd.DataFrame:
    """Resample and align every patient of one paper.

    Parameters
    ----------
    run : RunPaths
    paper : str
        A paper, or `hccbook.run.TRAINING_SET`.
    settings : PreprocessingSettings
    phases : tuple of str
    workers : int
    masks : str
        The setting ``segmentation.masks``: where masks lie that the manifest does not name.

    Returns
    -------
    pandas.DataFrame
        One row per patient and phase: voxel edges of the source in mm, shift in mm, volumes of given masks in mL.
        Beside it, ``<paper>_remarks.csv`` says what was repaired in reading images and masks, one row per repair.
    """
    save_json(settings.model_dump(), run.stage("preprocessing") / "settings.json")
    task = functools.partial(preprocess_patient, settings=settings)
    patients = source_cases(run, paper, phases, masks)
    result = map_patients(task, patients, stage="preprocessing", workers=workers, stored=True)
    result = _without_repeated(result)
    save_failures(result, run, "preprocessing", paper)
    facts = pd.concat([pd.DataFrame(rows).assign(patient=key) for key, rows in result.results.items()])
    remarks = facts[["patient", "phase", "remarks"]].explode("remarks").dropna()
    save_table(remarks.rename(columns={"remarks": "remark"}), run.stage("preprocessing") / f"{paper}_remarks.csv")
    facts = facts[["patient", *[name for name in facts if name not in ("patient", "remarks")]]]
    save_table(facts, run.stage("preprocessing") / f"{paper}.csv")
    return facts


def _without_repeated(result: MapResult) -> MapResult:
    """Without the patients of whom a volume is another one's too: nobody knows whose it is."""
    contents = {key: dict(zip(facts["phase"], facts["content"], strict=True)) for key, facts in result.results.items()}
    rows = []
    for (key, phase), (other, other_phase) in repeated_volumes(contents):
        rule = "every image must be a volume of its own"
        hint = "One of the two is not what its column says: look where each came from."
        reason = ImageError(f"{key}, {phase}", rule, f"that of {other}, {other_phase}", hint)
        rows.append((key, "preprocessing", type(reason).__name__, str(reason)))
    repeated = pd.DataFrame(rows, columns=list(FAILURE_COLUMNS)).drop_duplicates("patient")
    kept = {key: facts for key, facts in result.results.items() if key not in set(repeated["patient"])}
    return MapResult(kept, joined_failures([result.failures, repeated]), result.computed)
