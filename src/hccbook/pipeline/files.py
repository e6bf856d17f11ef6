"""Files of a run: where each stage puts what, and reading it back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from hccbook.parallel import FAILURE_COLUMNS, atomic_path
from hccbook.run import STAGES, RunPaths
from hccbook.settings import ORGANS, FeatureSettings, PreprocessingSettings

ORGANS_OF_PAPER = {"alarm": ("liver",), "amap_ct": ORGANS}
"""Organs that each paper's features come from."""


TRAINING_SET = "segmentation"
"""Name of the patients that train the segmentation, where a paper's name stands for its cohort."""


def save_table(table: pd.DataFrame, file: Path) -> None:
    """Write `table` as CSV without its index, whole or not at all."""
    with atomic_path(file) as part:
        table.to_csv(part, index=False, lineterminator="\n")


def save_json(content: object, file: Path) -> None:
    """Write `content` as JSON, whole or not at all."""
    with atomic_path(file) as part:
        part.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_table(run: RunPaths, stage: str, name: str) -> pd.DataFrame:
    """Table that an earlier stage wrote."""
    return pd.read_csv(run.stage(stage) / name)


def read_json(file: Path) -> dict:
    """JSON that an earlier stage wrote."""
    return json.loads(file.read_text(encoding="utf-8"))


def read_failures(run: RunPaths, papers: Iterable[str]) -> pd.DataFrame:
    """All patients that fell out so far, paper by paper and stage by stage.

    Returns
    -------
    pandas.DataFrame
        Columns paper, then those of `hccbook.parallel.FAILURE_COLUMNS`.
    """
    rows = []
    for paper in papers:
        files = sorted(run.root.glob(f"*/{paper}_failures.csv"), key=lambda file: STAGES.index(file.parent.name))
        for file in files:
            rows += [{"paper": paper, **row} for row in pd.read_csv(file).to_dict("records")]
    return pd.DataFrame(rows, columns=["paper", *FAILURE_COLUMNS])


def source_manifest(run: RunPaths, paper: str, manifest: str) -> Path:
    """Manifest that the images are read through: the user's, or the synthetic cohort's."""
    return Path(manifest) if manifest else run.stage("cohort") / "synthetic" / paper / "manifest.csv"


def planted_truth(run: RunPaths, papers: Iterable[str], manifest: str) -> dict[str, dict]:
    """AUCs of an ideal observer, by paper, as the simulation wrote them; empty for a user's own patients."""
    if manifest:
        return {}
    return {paper: read_json(source_manifest(run, paper, "").parent / "truth.json") for paper in papers}


def read_cohort(run: RunPaths, paper: str) -> pd.DataFrame:
    """Clinical table that the cohort stage wrote, index ``patient``."""
    return pd.read_csv(run.manifest(paper)).set_index("patient")


def working_image(run: RunPaths, paper: str, patient: str, phase: str) -> Path:
    """Image of one patient and phase on the working grid."""
    return run.stage("preprocessing") / "images" / paper / f"{patient}_{phase}.nii.gz"


def reference_labels(run: RunPaths, paper: str, patient: str, phase: str) -> Path:
    """Label map made from the manifest's masks on the working grid; absent where the manifest has none."""
    return run.stage("preprocessing") / "images" / paper / f"{patient}_{phase}_labels.nii.gz"


def read_preprocessing_settings(run: RunPaths) -> PreprocessingSettings:
    """Settings that the preprocessing stage used."""
    file = run.stage("preprocessing") / "settings.json"
    return PreprocessingSettings(**json.loads(file.read_text(encoding="utf-8")))


def read_feature_settings(run: RunPaths) -> FeatureSettings:
    """Settings that the features stage used."""
    return FeatureSettings(**read_json(run.stage("features") / "settings.json"))


def preprocessed_patients(run: RunPaths, paper: str) -> list[str]:
    """Keys of the patients that preprocessing got through, in manifest order."""
    return list(pd.read_csv(run.stage("preprocessing") / f"{paper}.csv")["patient"].unique())


def label_map(run: RunPaths, paper: str, patient: str, phase: str) -> Path:
    """Label map that features are taken from, whatever its source."""
    return run.stage("segmentation") / "labels" / paper / f"{patient}_{phase}.nii.gz"


def native_labels(run: RunPaths, paper: str, patient: str, phase: str) -> Path:
    """Label map on the image's own grid; there only where the network made it."""
    return run.stage("segmentation") / "masks" / paper / f"{patient}_{phase}.nii.gz"


def segmented_patients(run: RunPaths, paper: str) -> list[str]:
    """Keys of the patients whose organs are segmented, in manifest order."""
    return list(pd.read_csv(run.stage("segmentation") / f"{paper}.csv")["patient"].unique())


def model_table(run: RunPaths, paper: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What a model is fitted on, for the patients whose features are all there.

    Returns
    -------
    clinical : pandas.DataFrame
        Clinical table, index ``patient``.
    features : pandas.DataFrame
        Same rows; ``amap``, radiomics and deep features.
    """
    radiomics = pd.read_parquet(run.stage("features") / f"{paper}_radiomics.parquet")
    deep = pd.read_parquet(run.stage("features") / f"{paper}_deep.parquet")
    clinical = read_cohort(run, paper)
    both = radiomics.join(deep, how="inner")
    clinical = clinical.loc[[patient for patient in clinical.index if patient in both.index]]
    return clinical, pd.concat([clinical[["amap"]], both.loc[clinical.index]], axis=1)
