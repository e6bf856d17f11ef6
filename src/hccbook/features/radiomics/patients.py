"""Radiomics of one patient: every phase and organ, kept under a hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hccbook.errors import DataError, SettingsError
from hccbook.features.radiomics.engines import find_engine
from hccbook.features.radiomics.extraction import extract_features
from hccbook.features.radiomics.extraction_settings import ExtractionSettings
from hccbook.features.radiomics.regions import organ_label
from hccbook.images import read_image, read_label_map
from hccbook.parallel import atomic_path, digest

ENGINE_VERSION = 1
"""Version of what this package adds around the engines; raised whenever a stored value would change."""


@dataclass(frozen=True)
class RadiomicsTask:
    """What the per-patient map needs to take one patient's radiomics.

    Parameters
    ----------
    key : str
        The patient's key, such as ``P0001``.
    images : tuple of (str, path) pairs
        Phase and its image on the working grid.
    labels : tuple of (str, path) pairs
        Phase and its label map on the same grid.
    organs : tuple of str
        Organs to take, out of `hccbook.settings.ORGANS`.
    settings : ExtractionSettings
        Its `label` is replaced by that of each organ.
    store : pathlib.Path
        Folder of the results kept; they go to its folder ``features``.
    engine : str
        Program that computes the features.
    threads : int
        How many it may use; more than one only where patients do not run side by side.

    Raises
    ------
    SettingsError
        If images and labels name different phases, or none.
    """

    key: str
    images: tuple[tuple[str, Path], ...]
    labels: tuple[tuple[str, Path], ...]
    organs: tuple[str, ...]
    settings: ExtractionSettings
    store: Path
    engine: str = "fast"
    threads: int = 1

    def __post_init__(self) -> None:
        phases = [phase for phase, _ in self.images]
        if not phases or phases != [phase for phase, _ in self.labels] or len(set(phases)) != len(phases):
            raise SettingsError(
                f"{self.key}, radiomics task",
                "images and labels must name the same phases, each once and in one order",
                f"{phases} and {[phase for phase, _ in self.labels]}",
                "Build both from the phases of the run.",
            )


def extract_radiomics_task(task: RadiomicsTask) -> dict[str, float]:
    """Take one patient's radiomics; what is in the store already is not computed again.

    Parameters
    ----------
    task : RadiomicsTask

    Returns
    -------
    dict of str to float
        Values by ``<phase>.<organ>.<feature>``, such as ``arterial.liver.original_firstorder_Mean``.

    Raises
    ------
    ImageError, MaskError, DataError
        As `extract_features` and the readers do; the message names patient, phase and organ.
    """
    values: dict[str, float] = {}
    files = _result_files(task)
    labels = dict(task.labels)
    for phase, path in task.images:
        image = label_map = None
        for organ in task.organs:
            settings = _settings_of_organ(task, organ)
            stored = _read(files[phase, organ], settings)
            if stored is None:
                if image is None:
                    image = read_image(path, f"{task.key}, {phase}")
                    label_map = read_label_map(labels[phase], image, f"{task.key}, {phase}")
                place = f"{task.key}, {phase}, {organ}"
                stored = extract_features(image, label_map, settings, task.engine, place, task.threads).to_numpy()
                with atomic_path(files[phase, organ]) as temporary:
                    np.save(temporary, stored, allow_pickle=False)
            values |= _named(phase, organ, settings, stored)
    return values


def stored_radiomics(task: RadiomicsTask) -> dict[str, float] | None:
    """A patient's radiomics out of the store; None unless all of it is there.

    Parameters
    ----------
    task : RadiomicsTask

    Returns
    -------
    dict of str to float, or None
        As from `extract_radiomics_task`.
    """
    if not all(path.exists() for _, path in (*task.images, *task.labels)):
        return None  # The task itself says, in its error, which file is missing.
    values: dict[str, float] = {}
    for (phase, organ), file in _result_files(task).items():
        settings = _settings_of_organ(task, organ)
        stored = _read(file, settings)
        if stored is None:
            return None
        values |= _named(phase, organ, settings, stored)
    return values


def radiomics_table(results: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Table of all patients' radiomics.

    Parameters
    ----------
    results : mapping of str to mapping
        Features by patient key, as in the results of `hccbook.parallel.map_patients`.

    Returns
    -------
    pandas.DataFrame
        Index "patient", a row a patient in the order given; columns ``<phase>.<organ>.<feature>`` in the order of the
        first patient, which is that of the task's phases, organs and features.

    Raises
    ------
    DataError
        If there is no patient, or patients have different features.
    """
    if not results:
        raise DataError("radiomics", "must hold at least one patient", "none", "Look at the failures table.")
    first, columns = next((key, list(values)) for key, values in results.items())
    for key, values in results.items():
        if list(values) != columns:
            odd = next(iter(set(values) ^ set(columns)), "another order")
            raise DataError(
                f"radiomics of {key}", f"must have the features of {first}", odd, "Extract all with the same settings."
            )
    rows = np.array([list(values.values()) for values in results.values()], dtype=float)
    return pd.DataFrame(rows, index=pd.Index(results, name="patient"), columns=columns)


def _settings_of_organ(task: RadiomicsTask, organ: str) -> ExtractionSettings:
    return task.settings.model_copy(update={"label": organ_label(organ)})


def _result_files(task: RadiomicsTask) -> dict[tuple[str, str], Path]:
    """Where the result of every phase and organ is kept, whether it exists or not."""
    version = f"{find_engine(task.engine).version}, {ENGINE_VERSION}"
    labels = dict(task.labels)
    files = {}
    for phase, image in task.images:
        if not (image.exists() and labels[phase].exists()):
            # Nothing can be kept for what is not there; the reader's error follows.
            files |= {(phase, organ): task.store / "features" / "absent.npy" for organ in task.organs}
            continue
        content = digest(image, labels[phase])
        for organ in task.organs:
            name = digest("radiomics", content, organ, _settings_of_organ(task, organ), task.engine, version)
            files[phase, organ] = task.store / "features" / f"{name}.npy"
    return files


def _read(file: Path, settings: ExtractionSettings) -> np.ndarray | None:
    """Values kept in a file; None if it is absent or not whole, so that they are computed again."""
    try:
        values = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return values if values.shape == (len(settings.feature_names),) else None


def _named(phase: str, organ: str, settings: ExtractionSettings, values: np.ndarray) -> dict[str, float]:
    names = (f"{phase}.{organ}.{name}" for name in settings.feature_names)
    return dict(zip(names, values.tolist(), strict=True))
