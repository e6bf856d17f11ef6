"""The one module that knows where files lie."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hccbook.errors import SettingsError

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
}
"""Notebooks beside the stages, by name and file; nothing later reads what they leave."""

CONTROL_ENDING = "-none"
"""What the folder of a negative control has after the name of its run."""


def project_root() -> Path:
    """Folder that holds the notebooks, profiles, data and book.

    ``HCCBOOK_ROOT`` wins; otherwise the nearest folder, from the working directory upwards
    and then from this file upwards, that holds ``Snakefile`` and ``profiles``.

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


def published_dir() -> Path:
    """Folder of the papers' printed numbers, as tidy tables."""
    return project_root() / "data" / "published"


def profile_file(name: str) -> Path:
    """Settings file of a profile."""
    return project_root() / "profiles" / f"{name}.yaml"


def notebook_file(stage: str) -> Path:
    """Source notebook of a stage."""
    return project_root() / "notebooks" / f"{notebook_name(stage)}.ipynb"


def notebook_name(stage: str) -> str:
    """Notebook name of a stage (two digits, underscore, stage) or of a chapter beside the stages."""
    return CHAPTERS[stage] if stage in CHAPTERS else f"{STAGES.index(stage) + 1:02d}_{stage}"


def benchmark_file(name: str) -> Path:
    """What a benchmark measured, as committed."""
    return project_root() / "benchmarks" / f"{name}.json"


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
    """

    root: Path

    @classmethod
    def at(cls, results: str | Path) -> RunPaths:
        """Run whose folder is `results`, relative to the project root unless absolute."""
        return cls(project_root() / results)

    def stage(self, name: str) -> Path:
        """Folder that stage `name` writes, made if absent."""
        known = (*STAGES, *CHAPTERS)
        if name not in known:
            raise SettingsError("stage", f"must be one of {', '.join(known)}", name, "Check the spelling.")
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def store(self) -> Path:
        """Per-patient results kept under their hash.

        It lies beside the runs, so that a run and its negative control share what is the same in both.
        """
        return self.root.parent / "store"

    @property
    def control(self) -> RunPaths:
        """Negative control of this run: the same run with images that carry nothing."""
        return RunPaths(self.root.with_name(self.root.name + CONTROL_ENDING))

    @property
    def main(self) -> Path:
        """Folder of the main run that this one belongs to; its own where it is no control."""
        return self.root.with_name(self.root.name.removesuffix(CONTROL_ENDING))

    def manifest(self, paper: str) -> Path:
        """Checked manifest of one paper's cohort (``alarm`` or ``amap_ct``)."""
        return self.stage("cohort") / f"{paper}.csv"

    def contact_sheets(self, paper: str) -> Path:
        """Folder of the contact sheets of one paper's patients, with the page that shows them."""
        return self.root / "segmentation" / "contact_sheets" / paper

    def executed_notebook(self, stage: str) -> Path:
        """Notebook of `stage` as papermill executed it in this run."""
        return self.root / "notebooks" / f"{notebook_name(stage)}.ipynb"
