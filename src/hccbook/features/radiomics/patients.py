"""Radiomics of one patient, every phase and organ, and the table of a cohort."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk

from hccbook.errors import DataError
from hccbook.features.radiomics.extraction import extract_features
from hccbook.features.radiomics.extraction_settings import ExtractionSettings
from hccbook.features.radiomics.regions import organ_label
from hccbook.images import read_image, read_label_map
from hccbook.run import Case


def extract_patient(
    case: Case, organs: Sequence[str], settings: ExtractionSettings, engine: str = "fast", threads: int = 1
) -> dict[str, float]:
    """Radiomics of one patient; what is in the store already is not computed again.

    Parameters
    ----------
    case : hccbook.run.Case
        Preprocessed and segmented.
    organs : sequence of str
        Out of `hccbook.settings.ORGANS`.
    settings : ExtractionSettings
        Its `label` is replaced by that of each organ.
    engine, threads
        As of `extract_features`; more than one thread only where patients do not run side by side.

    Returns
    -------
    dict of str to float
        Values by ``<phase>.<organ>.<feature>``, such as ``arterial.liver.original_firstorder_Mean``.

    Raises
    ------
    ImageError, MaskError, DataError
        As `extract_features` and the readers do; the message names patient, phase and organ.
    """
    store = case.run.store

    @functools.lru_cache(maxsize=1)  # one phase in memory, for all its organs
    def volumes(phase: str) -> tuple[sitk.Image, sitk.Image]:
        image = read_image(case.image(phase), case.place(phase))
        return image, read_label_map(case.labels(phase), image, case.place(phase))

    def make(phase: str, organ: str, own: ExtractionSettings, folder: Path) -> None:
        found = extract_features(*volumes(phase), own, engine, case.place(phase, organ), threads)
        np.save(folder / "values.npy", found.to_numpy(), allow_pickle=False)

    values: dict[str, float] = {}
    for phase in case.phases:
        for organ in organs:
            own = settings.model_copy(update={"label": organ_label(organ)})
            key = store.key("radiomics", extract_features, case.image(phase), case.labels(phase), own, engine)
            folder = store.get_or_make(key, functools.partial(make, phase, organ, own))
            row = np.load(folder / "values.npy", allow_pickle=False)
            names = (f"{phase}.{organ}.{name}" for name in own.feature_names)
            values |= dict(zip(names, row.tolist(), strict=True))
    return values


def patient_values(
    case: Case, organs: Sequence[str], settings: ExtractionSettings, engine: str = "fast", threads: int = 1
) -> np.ndarray:
    """Values of `extract_patient` without their names, which are everybody's and many times as large.

    Returns
    -------
    ndarray of float64, shape (phases x organs x features,)
    """
    return np.array(list(extract_patient(case, organs, settings, engine, threads).values()))


def radiomics_table(results: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Table of all patients' radiomics.

    Parameters
    ----------
    results : mapping of str to mapping
        Features by patient key, as in the results of `hccbook.parallel.map_patients`.

    Returns
    -------
    pandas.DataFrame
        Index "patient", in the order given; columns ``<phase>.<organ>.<feature>`` in the order of the first patient.

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
            hint = "Extract all with the same settings."
            raise DataError(f"radiomics of {key}", f"must have the features of {first}", odd, hint)
    rows = np.array([list(values.values()) for values in results.values()], dtype=float)
    return pd.DataFrame(rows, index=pd.Index(results, name="patient"), columns=columns)
