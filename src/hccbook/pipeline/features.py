"""Stage 04: radiomics and deep features of every patient."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hccbook.errors import DataError
from hccbook.features import deep as deep_features
from hccbook.features.radiomics import ExtractionSettings, patient_values
from hccbook.papers import Paper, find_paper
from hccbook.parallel import WORK_LOG, MapResult, is_side_by_side, map_patients
from hccbook.pipeline.files import (
    cases,
    joined_failures,
    read_cohort,
    read_preprocessing_settings,
    read_table,
    save_failures,
    save_json,
    save_table,
    segmented_patients,
)
from hccbook.run import Case, RunPaths
from hccbook.settings import FeatureSettings
from hccbook.store import atomic_path, link

_PATIENTS_AT_ONCE = 16
_LOOK = "Look at the segmentation of this patient."


def extract_radiomics(
    run: RunPaths, paper: str, settings: FeatureSettings, phases: tuple[str, ...], workers: int
) -> pd.DataFrame:
    """Radiomics of every patient of one paper, as ``<paper>_radiomics.parquet``.

    Returns
    -------
    pandas.DataFrame
        Index ``patient``, columns ``<phase>.<organ>.<feature>``.
    """
    save_json(settings.model_dump(), run.stage("features") / "settings.json")
    patients = segmented_patients(run, paper)
    organs = find_paper(paper).organs
    extraction = ExtractionSettings.of_paper(paper, settings, read_preprocessing_settings(run))
    task = functools.partial(
        patient_values,
        organs=organs,
        settings=extraction,
        engine=settings.engine,
        # Where there are fewer patients than cores, each may use several.
        threads=max(1, workers // max(1, len(patients))),
    )
    result = map_patients(task, cases(run, paper, phases, patients), stage="radiomics", workers=workers, stored=True)
    save_failures(result, run, "features", paper)
    names = [f"{phase}.{organ}.{name}" for phase in phases for organ in organs for name in extraction.feature_names]
    table = pd.DataFrame(np.array(list(result.results.values())), pd.Index(result.results, name="patient"), names)
    _save_features(table, run.stage("features") / f"{paper}_radiomics.parquet")
    return table


def extract_deep(
    run: RunPaths, paper: str, settings: FeatureSettings, phases: tuple[str, ...], workers: int = 1
) -> pd.DataFrame:
    """Deep features of every patient of one paper, as ``<paper>_deep.parquet``.

    What the networks see before they are tuned is made side by side, by `workers` processes or a cluster.

    ALARM: ResNet-50 and a projection to 100 values a phase, fine-tuned on the development cohort alone.
    The tuned part with its model card, the training history and the negative control are kept beside the features, as
    ``fine_tuned.safetensors`` and ``.json``, ``fine_tuning_history.csv`` and ``fine_tuning_control.csv``.
    aMAP-CT: the 512 pooled values of ResNet-18 a phase and organ, untuned.
    The organ boxes are those of the development cohort in both.

    Returns
    -------
    pandas.DataFrame
        Index ``patient``, columns ``<phase>.<organ>.deep_<number>``.
    """
    of_paper = find_paper(paper)
    backbone = load_backbone(of_paper, settings)
    clinical = read_cohort(run, paper)
    extracted = pd.read_parquet(run.stage("features") / f"{paper}_radiomics.parquet", columns=[]).index
    items = cases(run, paper, phases, extracted)
    development = [key for key in items if clinical.loc[key, "role"] == "development"]
    crops = organ_crops(run, of_paper, settings, [items[key] for key in development], workers)
    depth = settings.fine_tune if of_paper.is_tuned else "projection"
    if is_side_by_side(workers) and backbone.device.type == "cpu":
        make = functools.partial(_store_deep, paper=paper, settings=settings, crops=crops, depth=depth)
        map_patients(make, parts_of(items, _PATIENTS_AT_ONCE), stage=f"deep features, {backbone.name}", workers=workers)
    result = deep_features.extract_deep(items, backbone, crops, depth=depth)
    failures = joined_failures([read_table(run, "features", f"{paper}_failures.csv"), result.failures])
    save_failures(MapResult(result.results, failures, result.computed), run, "features", paper)
    if of_paper.is_tuned:
        hcc = clinical.loc[list(result.results), "hcc"]
        table = _fine_tuned(run, settings, backbone, result.results, hcc, hcc.index.isin(development))
    else:
        table = deep_features.deep_table(result.results)
    _save_features(table, run.stage("features") / f"{paper}_deep.parquet")
    return table


def load_backbone(paper: Paper, settings: FeatureSettings) -> deep_features.Backbone:
    """Network of the paper's deep features, before it is tuned."""
    weights = getattr(settings, f"{paper.network}_weights")
    return deep_features.load_backbone(paper.network, weights, settings.seed, settings.device)


def organ_crops(
    run: RunPaths, paper: Paper, settings: FeatureSettings, development: Iterable[Case], workers: int = 1
) -> deep_features.Crops:
    """What the network sees of an organ: boxes that hold those of all development patients, within the window.

    Raises
    ------
    DataError, MaskError
        As `hccbook.features.deep.Crops.fitted`.
    """
    window = read_preprocessing_settings(run).window_hu
    fit = functools.partial(deep_features.Crops.fitted, organs=paper.organs, voxels=settings.crop_voxels, window=window)
    if not is_side_by_side(workers):
        return fit(development)
    parts = parts_of({case.key: case for case in development}, _PATIENTS_AT_ONCE)
    fitted = map_patients(functools.partial(_fit_crops, fit=fit), parts, stage="organ boxes", workers=workers)
    if len(fitted.failures):
        raise DataError(
            "organ box", "must hold every development patient's", fitted.failures["reason"].iloc[0], "Look at it."
        )
    boxes = {
        organ: deep_features.largest_box(crops.boxes[organ] for crops in fitted.results.values())
        for organ in paper.organs
    }
    return deep_features.Crops(boxes, settings.crop_voxels, window)


def parts_of(items: Mapping[str, Any], patients: int) -> dict[str, dict[str, Any]]:
    """Items of a few patients each, for tasks that are dear to begin; named for their patients."""
    keys = list(items)
    parts = [keys[first : first + patients] for first in range(0, len(keys), patients)]
    return {", ".join(some): {key: items[key] for key in some} for some in parts}


def _fit_crops(cases: Mapping[str, Case], fit: Callable[[Iterable[Case]], deep_features.Crops]) -> deep_features.Crops:
    return fit(cases.values())


def _store_deep(
    cases: Mapping[str, Case], paper: str, settings: FeatureSettings, crops: deep_features.Crops, depth: str
) -> None:
    """Put into the store what the network sees of some patients; who fails is told when all are read."""
    os.environ.pop(WORK_LOG, None)  # they are counted then
    deep_features.extract_deep(cases, _loaded_backbone(paper, settings), crops, depth=depth, progress=False)


@functools.lru_cache(maxsize=1)
def _loaded_backbone(paper: str, settings: FeatureSettings) -> deep_features.Backbone:
    return load_backbone(find_paper(paper), settings)


def _fine_tuned(
    run: RunPaths,
    settings: FeatureSettings,
    backbone: deep_features.Backbone,
    inputs: deep_features.Inputs,
    hcc: pd.Series,
    learnt: np.ndarray,
) -> pd.DataFrame:
    """Values of the network tuned on the patients `learnt`; its file, history and negative control are written."""
    folder = run.stage("features")
    tuning = deep_features.Tuning(
        settings.fine_tune, settings.fine_tune_epochs, settings.seed, settings.fine_tune_min_gain
    )
    stored = deep_features.stored_fine_tuning(backbone, inputs, hcc[learnt], tuning, run.store)
    for ending in (".safetensors", ".json"):
        link(stored.with_suffix(ending), folder / f"fine_tuned{ending}")
    tuned = deep_features.FineTunedNetwork.load(stored, backbone)
    save_table(tuned.history, folder / "fine_tuning_history.csv")
    control = deep_features.shuffled_outcomes(
        tuned, inputs, hcc[learnt], hcc[~learnt], shuffles=settings.fine_tune_shuffles, store=run.store
    )
    save_table(control, folder / "fine_tuning_control.csv")
    return tuned.transform(inputs)


def _save_features(table: pd.DataFrame, file: Path) -> None:
    with atomic_path(file) as part:
        table.to_parquet(part)
