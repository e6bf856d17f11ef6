"""The working images of a run as a raw data set of nnU-Net."""

from __future__ import annotations

from pathlib import Path

from hccbook.errors import DataError
from hccbook.pipeline.files import preprocessed_patients, read_preprocessing_settings
from hccbook.pipeline.preprocessing import preprocess_cohort
from hccbook.report.tables import SYNTHETIC_NOTICE
from hccbook.run import TRAINING_SET, Case, RunPaths
from hccbook.segmentation import nnunet
from hccbook.settings import RunSettings


def write_nnunet_dataset(
    run: RunPaths, settings: RunSettings, folder: Path, name: str, number: int, workers: int
) -> Path:
    """Raw data set of nnU-Net v2 out of a run whose preprocessing is done.

    The patients that train the segmentation, with their true masks, are its training cases, brought onto the working
    grid here; the patients of the papers are its test cases.
    Each phase is a case, named by cohort, key and phase; no identifier and no path of the source goes along.

    Parameters
    ----------
    run : RunPaths
    settings : RunSettings
        Papers and phases; where the patients are simulated, ``dataset.json`` says SYNTHETIC.
    folder, name, number
        As in `hccbook.segmentation.nnunet.write_dataset`.
    workers : int

    Returns
    -------
    pathlib.Path
        Folder of the data set.

    Raises
    ------
    DataError
        If the preprocessing of a paper is not done.
    """
    papers, phases = settings.papers.split(","), tuple(settings.phases.split(","))
    absent = [paper for paper in papers if not (run.root / "preprocessing" / f"{paper}.csv").is_file()]
    if absent:
        raise DataError(
            f"{run.root.name}, preprocessing",
            "must be done for every paper",
            f"none of {', '.join(absent)}",
            "Run `hccbook run --until preprocessing` first, or name the folder of the run.",
        )
    training = {}
    if run.source_manifest(TRAINING_SET).is_file():
        preprocess_cohort(run, TRAINING_SET, read_preprocessing_settings(run), phases, workers)
        training = _cases(run, TRAINING_SET, phases)
    return nnunet.write_dataset(
        folder,
        {name: (case.image(phase), case.reference_labels(phase)) for name, (case, phase) in training.items()},
        {name: case.image(phase) for paper in papers for name, (case, phase) in _cases(run, paper, phases).items()},
        name,
        number,
        SYNTHETIC_NOTICE if settings.synthetic else "",
    )


def _cases(run: RunPaths, cohort: str, phases: tuple[str, ...]) -> dict[str, tuple[Case, str]]:
    """Case and phase by nnU-Net's name of it."""
    return {
        nnunet.case_name(cohort, key, phase): (Case(run, cohort, key, phases), phase)
        for key in preprocessed_patients(run, cohort)
        for phase in phases
    }
