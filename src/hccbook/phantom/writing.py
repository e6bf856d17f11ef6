"""Synthetic cohorts on disk: images, true masks, manifest, latent risks, truth."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hccbook.errors import DataError
from hccbook.images import write_image
from hccbook.parallel import map_patients
from hccbook.phantom.clinical import LATENT_COLUMNS, simulate_clinical, simulate_segmentation_patients
from hccbook.phantom.dicom import LAYOUTS, Layout, oblique, write_series
from hccbook.phantom.ideal_observer import truth
from hccbook.phantom.rendering import RENDERER_COLUMNS, render_patient
from hccbook.phantom.scanner import scanner_of
from hccbook.settings import ORGANS, PHASES, CohortSettings
from hccbook.store import Store, atomic_folder, atomic_path, link

_FAST = 1  # compression that writes twice as fast as the default, for files a tenth larger


@dataclass(frozen=True)
class _Patient:
    """What a worker needs to write one patient."""

    key: str
    row: Mapping[str, Any]
    settings: CohortSettings
    out: Path
    store: Store | None
    layout: Layout | None

    @property
    def inputs(self) -> tuple[object, ...]:
        """All that the files follow from, and nothing else."""
        # Plain Python values: NumPy's would be written another way.
        kinds = {"image_seed": int, "centre": str}
        rendered = {name: kinds.get(name, float)(self.row[name]) for name in RENDERER_COLUMNS}
        header: dict[str, Any] = {}
        if self.layout is not None:
            header = {name: str(self.row[name]) for name in ("patient_id", "age", "sex")} | asdict(self.layout)
        return rendered, asdict(scanner_of(self.row["centre"])), self.settings.acquisition_spacing_mm, header


def _write_files(patient: _Patient, folder: Path) -> None:
    for phase, (image, labels) in render_patient(patient.row, patient.settings).items():
        if patient.layout is not None:
            image, labels = oblique(image, patient.layout), oblique(labels, patient.layout)
            write_series(folder / phase, image, patient.row, phase, patient.layout)
        else:
            write_image(image, folder / f"{phase}.nii.gz", _FAST)
        for label, organ in enumerate(ORGANS, start=1):
            write_image(labels == label, folder / f"{phase}_{organ}.nii.gz", _FAST)


def _write_patient(patient: _Patient) -> str:
    final = patient.out / "images" / patient.key
    if patient.store is None:
        with atomic_folder(final) as part:
            _write_files(patient, part)
    else:
        key = patient.store.key("phantom", render_patient, *patient.inputs)
        link(patient.store.get_or_make(key, functools.partial(_write_files, patient)), final)
    return patient.key


def _paths(key: str, as_series: bool) -> dict[str, str]:
    folder = f"images/{key}"
    paths = {phase: f"{folder}/{phase}" + ("" if as_series else ".nii.gz") for phase in PHASES}
    for organ in ORGANS:
        paths |= {f"{organ}_mask_{phase}": f"{folder}/{phase}_{organ}.nii.gz" for phase in PHASES}
    return paths


def _write_table(table: pd.DataFrame, file: Path, *, index: bool) -> None:
    with atomic_path(file) as part:
        table.to_csv(part, index=index, lineterminator="\n")


def write_patients(
    out: Path, table: pd.DataFrame, settings: CohortSettings, series: int, workers: int, store: Store | None
) -> Path:
    """Write some simulated patients: three-phase CT, true masks, latent risks, manifest.

    Parameters
    ----------
    out : pathlib.Path
        Folder; made if absent.
    table : pandas.DataFrame
        Rows of `simulate_clinical` or `simulate_segmentation_patients`, index the patients' keys.
    settings : CohortSettings
    series : int
        How many of them, from the first, are written as DICOM series.
    workers : int
    store : hccbook.store.Store or None
        As in `write_cohort`.

    Returns
    -------
    pathlib.Path
        ``manifest.csv``.

    Raises
    ------
    DataError
        If a patient could not be written.
    """
    patients = {}
    for position, (key, row) in enumerate(table.iterrows()):
        layout = LAYOUTS[position % len(LAYOUTS)] if position < series else None
        patients[key] = _Patient(key, row.to_dict(), settings, out, store, layout)
    rendered = map_patients(_write_patient, patients, stage="phantom", workers=workers, stored=store is not None)
    if len(rendered.failures):
        first = rendered.failures.iloc[0]
        found = f"{first['kind']}: {first['reason']} ({len(rendered.failures)} of {len(patients)} patients failed)"
        hint = "Free disk space or correct the settings, and start again: finished patients are kept."
        raise DataError(f"synthetic patient {first['patient']}", "must be rendered and written", found, hint)
    paths = [_paths(key, patient.layout is not None) for key, patient in patients.items()]
    visible = table.drop(columns=list(LATENT_COLUMNS))
    manifest = pd.concat([visible, pd.DataFrame(paths, index=table.index)], axis=1)
    _write_table(table[["patient_id", *LATENT_COLUMNS]], out / "latent.csv", index=True)
    _write_table(manifest, out / "manifest.csv", index=False)
    return out / "manifest.csv"


def write_cohort(
    out: Path, paper: str, settings: CohortSettings, *, workers: int = 1, store: Store | None = None
) -> Path:
    """Write a paper's synthetic cohort: three-phase CT, true masks, manifest and truth.

    Parameters
    ----------
    out : pathlib.Path
        Folder; made if absent. Images go to ``images/<key>/``, the first ``dicom_patients`` as DICOM series,
        the others as NIfTI; masks as ``<phase>_<organ>.nii.gz`` on the grid of their image.
    paper : {"alarm", "amap_ct"}
    settings : CohortSettings
    workers : int
        Processes side by side; the files do not depend on it.
    store : hccbook.store.Store, optional
        Keeps rendered patients, so that a second call, or the patients that an ``effect: none`` run has in common, are
        only linked.

    Returns
    -------
    pathlib.Path
        ``manifest.csv``. Beside it: ``latent.csv`` (the planted risks; no model may see them) and ``truth.json``.

    Raises
    ------
    DataError
        If the paper is unknown or a patient could not be written.
    """
    out = Path(out)
    table = simulate_clinical(paper, settings)
    manifest = write_patients(out, table, settings, settings.dicom_patients, workers, store)
    with atomic_path(out / "truth.json") as part:
        part.write_text(json.dumps(truth(paper, settings), indent=2) + "\n", encoding="utf-8")
    return manifest


def write_segmentation_set(
    out: Path, settings: CohortSettings, *, workers: int = 1, store: Store | None = None
) -> Path:
    """Write the patients that train the segmentation, as `write_cohort`; they are in neither paper's cohort.

    Returns
    -------
    pathlib.Path
        ``manifest.csv``, its ``cohort`` empty.

    Raises
    ------
    DataError
        If a patient could not be written.
    """
    return write_patients(Path(out), simulate_segmentation_patients(settings), settings, 0, workers, store)
