"""What a run says of itself: settings, patients, versions, processors, times.

A finished run says it in its executed notebooks and clinical tables, an archive in its manifest, in the same terms.
"""

from __future__ import annotations

import functools
import json
import platform
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from hccbook.errors import DataError
from hccbook.papers import PAPERS
from hccbook.pipeline.costs import processor_kind, processor_name
from hccbook.pipeline.staleness import notebook_code
from hccbook.provenance import version_of_package
from hccbook.run import CHAPTERS, RESULT_CHAPTERS, STAGES, RunPaths, notebook_name, project_root
from hccbook.settings import Profile, Settings

METADATA = "hccbook"
"""Key of an executed notebook's metadata under which `execution_record` stands."""


_PLACES = {"manifest", "archive"}


class CohortSize(Settings):
    """Patients of one cohort."""

    cohort: str
    n: int
    events: int = Field(description="Those of them with HCC.")


class KeptFile(Settings):
    """A file of an archive, as it is stored."""

    sha256: str
    bytes: int


class RunRecord(Settings):
    """What a run says of itself, and the manifest of an archive."""

    run: str = Field(
        description="Name of the run's folder, which is that of its profile unless the user chose another."
    )
    settings: dict[str, dict[str, Any]] = Field(description="Settings that the notebooks ran with, by section.")
    patients: dict[str, tuple[CohortSize, ...]] = Field(description="Sizes of the cohorts, by paper.")
    versions: dict[str, str] = Field(
        description="hccbook, Python and the libraries in use; several where they changed."
    )
    processors: tuple[str, ...] = Field(description="Processors that executed the stages.")
    seconds: dict[str, float] = Field(
        description="Duration of each executed notebook, its control's behind 'control/'."
    )
    archived: str = Field("", description="Day on which the run was archived; empty for the run itself.")
    files: dict[str, KeptFile] = Field({}, description="Files of the archive; empty for the run itself.")

    @property
    def profile(self) -> Profile:
        """Settings, checked; what the record does not name takes its default."""
        return Profile.checked(f"settings of the run {self.run}", self.settings)

    @property
    def papers(self) -> tuple[str, ...]:
        """Papers whose pipeline the run has."""
        return tuple(self.profile.run.papers.split(","))


def execution_record(stage: str) -> dict[str, Any]:
    """What executes a stage now: versions of hccbook, Python and the notebook's libraries; hash of code; processor.

    The commit stands among the versions; it ends in ``-dirty`` where files differ from it.
    """
    code = notebook_code(stage)
    libraries = dict(library.split(" ", 1) for library in code.libraries)
    versions = {"hccbook": version_of_package(), "Python": platform.python_version()} | libraries
    versions |= {"commit": commit} if (commit := project_commit()) else {}
    return {"versions": versions, "code": code.digest, "processor": f"{processor_name()}, {processor_kind()}"}


@functools.cache
def project_commit() -> str:
    """Commit of the clone, with ``-dirty`` behind it where tracked files differ; empty where there is no clone."""
    root = project_root()
    if not (root / ".git").exists():  # a folder within another repository has that one's commit
        return ""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # no git here
        return ""


def recorded_stages(papers: Iterable[str]) -> list[str]:
    """Stages and result chapters that a finished run with these papers has executed."""
    absent = [paper for paper in PAPERS.values() if paper.name not in papers]
    left_out = {stage for paper in absent for stage in (*paper.stages, *paper.chapters)}
    return [stage for stage in dict.fromkeys((*STAGES, *RESULT_CHAPTERS)) if stage not in left_out]


def describe_run(run: RunPaths) -> RunRecord:
    """Record of a run, or of the archive that was unpacked there.

    Raises
    ------
    DataError
        If the run has no executed notebook, or the manifest holds something else.
    """
    if run.archive_manifest.is_file():
        return RunRecord.checked(f"{run.root.name}/{run.archive_manifest.name}", _json(run.archive_manifest))
    executed = executed_notebooks(run)
    if not executed:
        raise DataError(run.root.name, "must be the folder of a run", "no executed notebook", "Run it: hccbook run.")
    settings = settings_of(executed)
    papers = Profile.checked(f"settings of the run {run.root.name}", settings).run.papers.split(",")
    made = [metadata.get(METADATA, {}) for metadata in executed.values()]
    control = {stage: _metadata(run.control, stage) for stage in STAGES}
    return RunRecord(
        run=run.root.name,
        settings=settings,
        patients={paper: _sizes(run, paper) for paper in papers},
        versions=_versions(made),
        processors=tuple(dict.fromkeys(own["processor"] for own in made if own)),
        seconds=_seconds(executed) | {f"control/{name}": value for name, value in _seconds(control).items()},
    )


def executed_notebooks(run: RunPaths) -> dict[str, dict[str, Any]]:
    """Metadata of the notebooks that were executed in a run, by stage or chapter in their order."""
    found = {stage: _metadata(run, stage) for stage in (*STAGES, *CHAPTERS)}
    return {stage: metadata for stage, metadata in found.items() if metadata}


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        place = f"{file.parent.name}/{file.name}"
        raise DataError(place, "must be JSON", str(error), "Make the archive anew: hccbook archive RUN.") from error
    return content if isinstance(content, dict) else {"content": content}


def _metadata(run: RunPaths, stage: str) -> dict[str, Any]:
    file = run.executed_notebook(stage)
    return _json(file).get("metadata", {}) if file.is_file() else {}


def settings_of(executed: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Settings by section, out of the parameters of each notebook, without folders of the machine."""
    parameters = {stage: metadata.get("papermill", {}).get("parameters", {}) for stage, metadata in executed.items()}
    everywhere = {name: value for own in parameters.values() for name, value in own.items()}
    given = {"run": everywhere, **parameters}
    found = {}
    for section, field in Profile.model_fields.items():
        own = given.get(section, {})
        names = [name for name in field.annotation.model_fields if name in own.keys() - _PLACES]
        found[section] = {name: _without_folder(own[name]) for name in names}
    return {section: values for section, values in found.items() if values}


def _without_folder(value: Any) -> Any:
    return Path(value).name if isinstance(value, str) and value.startswith(("/", "~")) else value


def _sizes(run: RunPaths, paper: str) -> tuple[CohortSize, ...]:
    file = run.root / "cohort" / f"{paper}.csv"
    if not file.is_file():
        raise DataError(
            f"{run.root.name}/cohort/{file.name}", "must be there", "no such file", "Run stage cohort again."
        )
    counts = pd.read_csv(file).groupby("cohort", sort=False)["hcc"].agg(n="size", events="sum").reset_index()
    return tuple(CohortSize(**row) for row in counts.to_dict("records"))


def _versions(made: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for own in made:
        for name, version in own.get("versions", {}).items():
            found.setdefault(name, []).append(version)
    return {name: " and ".join(dict.fromkeys(versions)) for name, versions in sorted(found.items())}


def _seconds(executed: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    durations = {stage: metadata.get("papermill", {}).get("duration") for stage, metadata in executed.items()}
    return {notebook_name(stage): round(value, 1) for stage, value in durations.items() if value is not None}
