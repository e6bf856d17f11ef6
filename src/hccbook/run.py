"""A run and its patients' files: the one module that knows where files lie and what they are called."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from hccbook.errors import SettingsError
from hccbook.store import Store

STAGES = (
    "cohort",
    "preprocessing",
    "segmentation",
    "features",
    "alarm",
    "amap_ct",
    "stepwise_stratification",
    "figures_and_tables",
)
"""Stage names in order; notebook ``NN_<stage>.ipynb`` makes ``results/<run>/<stage>/``."""

CHAPTERS = {
    "alarm_supplement": "alarm_supplement",
    "amap_ct_supplement": "amap_ct_supplement",
    "audit": "09_audit",
    "leakage_and_negative_controls": "10_leakage_and_negative_controls",
    "segmentation_robustness": "segmentation_robustness",
    "radiomics_by_hand": "radiomics_by_hand",
    "radiomics_speed": "radiomics_speed",
    "archive_export": "archive_export",
}
"""Notebooks beside the stages, by name and file; nothing later reads what they leave."""

NULL_RUN = "null_run"
"""Step that draws the cohorts of a negative control, in place of the stages that would measure them."""

RESULT_CHAPTERS = ("stepwise_stratification", "figures_and_tables", "alarm_supplement", "amap_ct_supplement")
"""Stages and chapters that show results: they read scores, tables and models, and may show an archived run."""

CHAPTER_READS = {
    "alarm_supplement": ("alarm",),
    "amap_ct_supplement": ("stepwise_stratification",),
    "leakage_and_negative_controls": ("alarm",),
    "segmentation_robustness": ("alarm", "amap_ct"),
}
"""Last stages that a chapter reads, as far as a run has them; one that is not here reads no patient."""

MANIFEST_VARIABLE = "HCCBOOK_MANIFEST"
"""Variable of the environment that names the user's manifest to the processes of a run."""

NAMED_MANIFEST = f"${MANIFEST_VARIABLE}"
"""What the notebooks of a run have for the user's manifest: its path may name a person, and is written nowhere."""

CONTROL_ENDING = "-none"
"""What the folder of a negative control has after the name of its run."""


def project_root() -> Path:
    """Folder that holds the notebooks, profiles, data and book.

    ``HCCBOOK_ROOT`` wins; otherwise the nearest folder, from the working directory upwards and then from this file
    upwards, that holds ``Snakefile`` and ``profiles``.

    Raises
    ------
    SettingsError
        If no such folder is found.
    """
    given = os.environ.get("HCCBOOK_ROOT")
    if given:
        return Path(given).resolve()
    here = Path(__file__).resolve()
    for start in (Path.cwd().resolve(), here):
        for folder in (start, *start.parents):
            if (folder / "Snakefile").is_file() and (folder / "profiles").is_dir():
                return folder
    raise SettingsError(
        "project root",
        "must hold Snakefile and profiles/",
        "no such folder above the working directory",
        "Run from a clone of hccbook, or set HCCBOOK_ROOT to one.",
    )


TRAINING_SET = "segmentation"
"""Name of the patients that train the segmentation, where a paper's name stands for its cohort."""


def data_dir() -> Path:
    """Folder of what the book reads besides patients."""
    return project_root() / "data"


def archives_dir() -> Path:
    """Folder of archived runs."""
    return data_dir() / "archived"


def published_dir() -> Path:
    """Folder of the papers' printed numbers, as tidy tables."""
    return data_dir() / "published"


def profile_file(name: str) -> Path:
    """Settings file of a profile."""
    return project_root() / "profiles" / f"{name}.yaml"


def notebook_file(stage: str) -> Path:
    """Source notebook of a stage."""
    return project_root() / "notebooks" / f"{notebook_name(stage)}.ipynb"


def notebook_name(stage: str) -> str:
    """Notebook name of a stage (two digits, underscore, stage) or of a chapter beside the stages."""
    return CHAPTERS[stage] if stage in CHAPTERS else f"{STAGES.index(stage) + 1:02d}_{stage}"


def step_name(stage: str) -> str:
    """Notebook name of a stage or chapter; `NULL_RUN`, which has none, is called by its own name."""
    return stage if stage == NULL_RUN else notebook_name(stage)


def benchmarks_dir() -> Path:
    """Folder of the benchmarks."""
    return project_root() / "benchmarks"


def benchmark_file(name: str) -> Path:
    """What a benchmark measured, as committed."""
    return benchmarks_dir() / f"{name}.json"


def book_source_dir() -> Path:
    """Prose of the book, as committed."""
    return project_root() / "book"


@dataclass(frozen=True)
class RunPaths:
    """Files of one run.

    Parameters
    ----------
    root : pathlib.Path
        Folder of the run, ``results/<profile>`` unless the user chose another.
    manifest : pathlib.Path, optional
        The user's manifest; none where the patients are simulated.
    """

    root: Path
    manifest: Path | None = None

    @classmethod
    def at(cls, results: str | Path, manifest: str | Path = "") -> RunPaths:
        """Run in the folder `results`, relative to the project root unless absolute; no `manifest` means simulated.

        A variable of the environment in `manifest`, such as `NAMED_MANIFEST`, stands for its value.
        """
        return cls(project_root() / results, Path(os.path.expandvars(manifest)) if manifest else None)

    def stage(self, name: str) -> Path:
        """Folder that stage `name` writes, made if absent."""
        known = (*STAGES, *CHAPTERS)
        if name not in known:
            raise SettingsError("stage", f"must be one of {', '.join(known)}", name, "Check the spelling.")
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def store(self) -> Store:
        """Results by what they follow from, beside the runs, which share it."""
        return Store(self.root.parent / "store")

    @property
    def control(self) -> RunPaths:
        """Negative control of this run: the same models on features that carry nothing."""
        return replace(self, root=self.root.with_name(self.root.name + CONTROL_ENDING))

    @property
    def main(self) -> Path:
        """Folder of the main run that this one belongs to; its own where it is no control."""
        return self.root.with_name(self.root.name.removesuffix(CONTROL_ENDING))

    def shown(self, archive: str) -> RunPaths:
        """Run that the result chapters show: this one, or, beside it, the one in the folder `archive` unpacked."""
        return RunPaths(self.root.with_name(f"{self.root.name}-{Path(archive).name}")) if archive else self

    @property
    def archive_manifest(self) -> Path:
        """Manifest of the archive that this folder is, or that was unpacked there; absent in any other run."""
        return self.root / "manifest.json"

    @property
    def archived_profile(self) -> Path:
        """Settings of the archived run that was unpacked here, as a profile."""
        return self.root / "profile.yaml"

    def clinical(self, paper: str) -> Path:
        """Clinical table of one paper's cohort, as the cohort stage checked it."""
        return self.stage("cohort") / f"{paper}.csv"

    def synthetic_cohort(self, cohort: str) -> Path:
        """Folder of simulated patients: those of a paper, or of `TRAINING_SET`."""
        return self.stage("cohort") / "synthetic" / cohort

    def source_manifest(self, cohort: str) -> Path:
        """Manifest that the images of a cohort are read through: the user's, or that of its simulation."""
        if self.manifest is None or cohort == TRAINING_SET:
            return self.synthetic_cohort(cohort) / "manifest.csv"
        return self.manifest

    def contact_sheets(self, paper: str) -> Path:
        """Folder of the contact sheets of one paper's patients, with the page that shows them."""
        return self.root / "segmentation" / "contact_sheets" / paper

    def executed_notebook(self, stage: str) -> Path:
        """Notebook of `stage` as papermill executed it in this run."""
        return self.root / "notebooks" / f"{notebook_name(stage)}.ipynb"


@dataclass(frozen=True)
class Case:
    """One patient's files in one run.

    Parameters
    ----------
    run : RunPaths
    cohort : str
        Paper whose cohort the patient belongs to, or `TRAINING_SET`.
    key : str
        The patient's key, such as ``P0003``.
    phases : tuple of str
        Contrast phases used, in the order of `hccbook.settings.PHASES`.
    sources : mapping of str to str
        Path columns of the patient's row of the manifest: images by phase, masks by ``<organ>_mask_<phase>``.
    own_labels : mapping of str to pathlib.Path
        Label map by phase, in place of those that the segmentation stage left.
    """

    run: RunPaths
    cohort: str
    key: str
    phases: tuple[str, ...]
    sources: Mapping[str, str] = field(default_factory=dict)
    own_labels: Mapping[str, Path] = field(default_factory=dict)

    def place(self, phase: str, organ: str = "") -> str:
        """Patient, phase and organ, as errors name them."""
        return ", ".join(filter(None, (self.key, phase, organ)))

    def source(self, phase: str) -> Path:
        """Image as it came."""
        return Path(self.sources[phase])

    def source_masks(self, phase: str) -> dict[str, Path]:
        """Masks that the manifest gives, by organ, as `hccbook.images.read_mask` takes them; may be empty."""
        ending = f"_mask_{phase}"
        given = {name.removesuffix(ending): path for name, path in self.sources.items() if name.endswith(ending)}
        return {organ: Path(path) for organ, path in given.items() if path}

    def image(self, phase: str) -> Path:
        """Image on the working grid."""
        return self.run.stage("preprocessing") / "images" / self.cohort / f"{self.key}_{phase}.nii.gz"

    def reference_labels(self, phase: str) -> Path:
        """Label map made from the manifest's masks on the working grid; absent where the manifest has none."""
        return self.run.stage("preprocessing") / "images" / self.cohort / f"{self.key}_{phase}_labels.nii.gz"

    def labels(self, phase: str) -> Path:
        """Label map that features are taken from, whatever its source."""
        if phase in self.own_labels:
            return self.own_labels[phase]
        return self.run.stage("segmentation") / "labels" / self.cohort / f"{self.key}_{phase}.nii.gz"

    def native_labels(self, phase: str) -> Path:
        """Label map on the image's own grid; there only where the network made it."""
        return self.run.stage("segmentation") / "native_labels" / self.cohort / f"{self.key}_{phase}.nii.gz"
