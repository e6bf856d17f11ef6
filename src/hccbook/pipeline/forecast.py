"""What a run will cost, before it starts: from what the benchmark measured, scaled by the profile."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
import psutil

from hccbook.cohort import usable_patients
from hccbook.errors import SettingsError
from hccbook.papers import PAPERS, Paper
from hccbook.pipeline.costs import AVX2, AVX512, BFLOAT16, processor_kind, processor_name, read_costs
from hccbook.pipeline.runner import CONTROL_STAGES, chapters_of, profile_path, stages_of
from hccbook.run import CHAPTER_READS, CHAPTERS, NULL_RUN, RunPaths, benchmark_file, profile_file, step_name
from hccbook.settings import TRAINING_THREADS, Profile, SegmentationSettings, load_profile

LONG_RUN_S = 1800.0
"""A run that takes longer says so before it starts, s."""

TRAINING_SETTINGS = ("patch_voxels", "filters", "batch_size")
"""Settings of the segmentation that an optimiser step grows with: with the third power of the first, and the others."""

_SLOWER = (BFLOAT16, AVX512, AVX2)
_NOTEBOOK = ("processor", "profile", "stage", "control", "patients", "core_seconds", "peak_mib")


class Cost(NamedTuple):
    """Processor time of one unit of a step, s, and memory that it adds to the process that does it, MiB."""

    core_seconds: float
    added_mib: float


@dataclass(frozen=True)
class Costs:
    """What was measured, on one kind of processor.

    Attributes
    ----------
    kind : str
        Kind of processor that the steps were measured on (see `hccbook.pipeline.costs.processor_kind`).
    steps : pandas.DataFrame
        Columns step, paper (empty where both cost the same), spacing_mm (empty where it plays no part), core_seconds
        and added_mib of one unit: a patient with three phases, an optimiser step, a patient and epoch.
    disk : pandas.DataFrame
        Columns spacing_mm, mib: of one patient, in the store and the run together.
    notebooks : pandas.DataFrame
        Columns stage, control, patients, core_seconds, peak_mib: what a stage of a finished run took beside its steps.
    training : mapping of str to int
        Settings of the segmentation that make an optimiser step dear, as they were: `TRAINING_SETTINGS`.
    """

    kind: str
    steps: pd.DataFrame
    disk: pd.DataFrame
    notebooks: pd.DataFrame
    training: Mapping[str, int]

    @classmethod
    def read(cls, file: Path | None = None, kind: str | None = None) -> Self:
        """What ``benchmarks/costs.py`` measured on processors of this kind, or on the next slower kind.

        Parameters
        ----------
        file : pathlib.Path, optional
            ``benchmarks/costs.json`` if absent.
        kind : str, optional
            That of this machine if absent.
        """
        measured = json.loads((file or benchmark_file("costs")).read_text(encoding="utf-8"))
        steps, notebooks = pd.DataFrame(measured["steps"]), pd.DataFrame(measured["notebooks"], columns=list(_NOTEBOOK))
        wanted, known = kind or processor_kind(), list(steps["processor"])
        slower = _SLOWER[_SLOWER.index(wanted) :] if wanted in _SLOWER else _SLOWER[::-1]
        chosen = next(name for name in (wanted, *slower, *known) if name in known)
        of_kind = steps[steps["processor"] == chosen].drop(columns="processor")
        near = notebooks[notebooks["processor"] == chosen]
        return cls(
            chosen,
            of_kind,
            pd.DataFrame(measured["disk"]),
            (near if len(near) else notebooks).drop(columns="processor"),
            measured["training"],
        )

    def step(self, name: str, paper: str = "", spacing_mm: float | None = None) -> Cost:
        """Cost of one unit of a step.

        Between and beyond the voxel edges measured, it is a fixed part and one that goes with the number of voxels.
        """
        rows = self.steps[(self.steps["step"] == name) & self.steps["paper"].isin(("", paper))]
        return Cost(*(_by_voxels(rows, column, spacing_mm) for column in Cost._fields))

    def training_size(self, settings: SegmentationSettings) -> float:
        """How much larger an optimiser step is with these settings than it was."""
        patch, *others = (getattr(settings, name) / self.training[name] for name in TRAINING_SETTINGS)
        return patch**3 * math.prod(others)

    def disk_mib(self, spacing_mm: float) -> float:
        """Disk that one patient takes, MiB."""
        return _by_voxels(self.disk, "mib", spacing_mm)

    def notebook(self, stage: str, control: bool, patients: int) -> tuple[float, float]:
        """Processor time, s, and memory, MiB, of a stage beside its steps.

        Time is on a line through the runs that were measured, or in proportion to the patients where that is one run.
        """
        rows = self.notebooks
        rows = rows[(rows["stage"] == stage) & (rows["control"] == control)]
        if rows.empty:
            return 0.0, 0.0
        seconds = _by_patients(rows["patients"].to_numpy(float), rows["core_seconds"].to_numpy(float), patients)
        return seconds, float(rows["peak_mib"].max())


def _by_voxels(rows: pd.DataFrame, column: str, spacing_mm: float | None) -> float:
    values = rows[column].to_numpy(float)
    if spacing_mm is None or len(values) < 2:
        return float(values.mean()) if len(values) else 0.0
    voxels = rows["spacing_mm"].to_numpy(float) ** -3.0
    slope, fixed = np.polyfit(voxels, values, 1)
    return float(max(fixed + slope * spacing_mm**-3.0, 0.0))


def _by_patients(known: np.ndarray, seconds: np.ndarray, patients: int) -> float:
    if not known.any() or patients == 0:
        return float(seconds.mean())
    if len(set(known)) == 1:
        return float(seconds.mean() * max(1.0, patients / known[0]))
    slope, fixed = np.polyfit(known, seconds, 1)
    if slope < 0:
        return float(seconds.mean())
    return float(max(fixed + slope * patients, seconds.min()))


@dataclass(frozen=True)
class Workload:
    """Patients of a run.

    Attributes
    ----------
    patients, development, null_run : mapping of str to int
        By paper: all, those who develop the model, and those of the null run.
    training : int
        Simulated patients who train the segmentation.
    are_shared : bool
        Whether both papers read the same patients, as with a user's manifest.
    """

    patients: Mapping[str, int]
    development: Mapping[str, int]
    null_run: Mapping[str, int]
    training: int
    are_shared: bool

    @classmethod
    def of(cls, profile: Profile, patients: int | None = None) -> Self:
        """Patients that a profile simulates, or `patients` of each paper in cohorts of the same proportions."""
        everybody, development = {}, {}
        for paper in _papers(profile):
            simulated = [getattr(profile.cohort, name) for name in paper.size_settings.values()]
            share = 1.0 if patients is None else patients / max(sum(simulated), 1)
            everybody[paper.name], development[paper.name] = (round(n * share) for n in (sum(simulated), simulated[0]))
        drawn = profile.null_run.development + profile.null_run.validation + profile.null_run.test
        null_run = dict.fromkeys(everybody, drawn) if profile.run.synthetic else everybody
        training = profile.cohort.segmentation_patients if profile.run.synthetic else 0
        return cls(everybody, development, null_run, training, not profile.run.synthetic)

    @property
    def distinct(self) -> int:
        """Patients, each counted once."""
        return max(self.patients.values()) if self.are_shared else sum(self.patients.values())


def _papers(profile: Profile) -> list[Paper]:
    return [PAPERS[name] for name in profile.run.papers.split(",")]


class _Work(NamedTuple):
    """Units of one step, how many of them can be in work at once, and the voxel edge that they depend on."""

    step: str
    units: float
    side_by_side: float = np.inf
    paper: str = ""
    spacing_mm: float | None = None


def _cohort_work(profile: Profile, load: Workload) -> list[_Work]:
    if not profile.run.synthetic:
        return []
    patients = sum(load.patients.values()) + load.training
    return [_Work("simulation", patients, spacing_mm=profile.cohort.acquisition_spacing_mm)]


def _preprocessing_work(profile: Profile, load: Workload) -> list[_Work]:
    return [_Work("preprocessing", load.distinct * _phases(profile), spacing_mm=profile.preprocessing.spacing_mm)]


def _segmentation_work(profile: Profile, load: Workload) -> list[_Work]:
    settings, spacing = profile.segmentation, profile.preprocessing.spacing_mm
    work = [_Work("mask checks", sum(load.patients.values()) * _phases(profile), spacing_mm=spacing)]
    if settings.mask_source == "network":
        work.append(_Work("segmentation", load.distinct * _phases(profile), spacing_mm=spacing))
        if not settings.weights:
            work.append(_Work("pre-training step", settings.pretraining_iterations, TRAINING_THREADS))
            work.append(_Work("training step", settings.iterations, TRAINING_THREADS))
    return work


def _features_work(profile: Profile, load: Workload) -> list[_Work]:
    settings, spacing = profile.features, profile.preprocessing.spacing_mm
    masks = len(settings.perturbations.split(","))
    work = []
    for paper in _papers(profile):
        patients = load.patients[paper.name]
        perturbed = min(settings.perturbation_patients, load.development[paper.name]) * masks
        work.append(_Work("radiomics", (patients + perturbed) * _phases(profile), np.inf, paper.name, spacing))
        work.append(_Work("deep features", patients * _phases(profile), np.inf, paper.name, spacing))
        if paper.is_tuned:
            tunings = 1 + settings.fine_tune_shuffles
            units = load.development[paper.name] * settings.fine_tune_epochs * tunings * _phases(profile)
            # One process, each of whose operations has one core.
            work.append(_Work("fine-tuning epoch", units, 1, paper.name))
    return work


def _phases(profile: Profile) -> float:
    """Share of the three phases that were measured."""
    return len(profile.run.phases.split(",")) / 3


_WORK = {
    "cohort": _cohort_work,
    "preprocessing": _preprocessing_work,
    "segmentation": _segmentation_work,
    "features": _features_work,
}
"""Steps of the stages that work on images."""


@dataclass(frozen=True)
class StageSteps:
    """Steps of a stage, each with the cost of one unit."""

    steps: tuple[tuple[_Work, Cost], ...]

    @classmethod
    def of(cls, stage: str, profile: Profile, load: Workload, costs: Costs) -> Self:
        """Steps of a stage; none where it works on no image."""
        work = _WORK[stage](profile, load) if stage in _WORK else []
        size = costs.training_size(profile.segmentation)
        work = [one._replace(units=one.units * size) if one.step.endswith("training step") else one for one in work]
        return cls(tuple((one, costs.step(one.step, one.paper, one.spacing_mm)) for one in work))

    @property
    def core_seconds(self) -> float:
        """Processor time, s."""
        return sum(work.units * cost.core_seconds for work, cost in self.steps)

    @property
    def shared_seconds(self) -> float:
        """Processor time of what any number of cores can share, since it is the patients' own, s."""
        return sum(work.units * cost.core_seconds for work, cost in self.steps if np.isinf(work.side_by_side))

    @property
    def worker_mib(self) -> float:
        """Most memory that a step adds to a process that works on one patient, MiB."""
        return max((cost.added_mib for work, cost in self.steps if np.isinf(work.side_by_side)), default=0.0)

    def wall_seconds(self, cores: int) -> float:
        """Time with so many cores and nothing else on them, s."""
        return sum(work.units * cost.core_seconds / min(cores, work.side_by_side) for work, cost in self.steps)

    def added_mib(self, cores: int) -> float:
        """Most memory of a step, all processes together, MiB."""
        return max(
            (min(cores, work.side_by_side) * cost.added_mib for work, cost in self.steps if work.units), default=0.0
        )


@dataclass(frozen=True)
class Forecast:
    """What a run will cost where nothing is in the store yet.

    Attributes
    ----------
    stages : pandas.DataFrame
        Columns stage, control, chapter, patients, core_seconds, wall_seconds (alone on the cores), notebook_mib and
        peak_mib.
    cores : int
    kind : str
        Kind of processor that the numbers come from.
    disk_mib : float
    remarks : tuple of str
        What the profile asks for that was not measured.
    patients : int
        Patients, each counted once.
    worker_mib : float
        Most memory of a process that works on one patient, its libraries with it.
    """

    stages: pd.DataFrame
    cores: int
    kind: str
    disk_mib: float
    remarks: tuple[str, ...] = ()
    patients: int = 0
    worker_mib: float = 0.0

    @property
    def place(self) -> str:
        """The cores, in words."""
        return "one core" if self.cores == 1 else f"{self.cores} cores"

    @property
    def core_seconds(self) -> float:
        """Processor time of all stages, s."""
        return float(self.stages["core_seconds"].sum())

    @property
    def wall_seconds(self) -> float:
        """Time of the run, s: all cores busy, unless the stages, one after the other, take longer."""
        chain = self.stages[~self.stages["control"] & ~self.stages["chapter"]]
        return max(self.core_seconds / self.cores, float(chain["wall_seconds"].sum()))

    @property
    def peak_mib(self) -> float:
        """Most memory, MiB: the stage that needs most, and the notebooks that may run beside it."""
        beside = self.stages["notebook_mib"].max() * min(self.cores - 1, len(self.stages))
        return float(self.stages["peak_mib"].max() + beside)


def forecast(profile: Profile, costs: Costs, cores: int, patients: int | None = None) -> Forecast:
    """What a run with this profile will cost.

    Parameters
    ----------
    profile : Profile
    costs : Costs
    cores : int
    patients : int, optional
        Of each paper; the profile's cohorts if absent.
    """
    load = Workload.of(profile, patients)
    runs = [(stage, False) for stage in (*stages_of(profile), *chapters_of(profile))]
    if profile.run.negative_control:
        runs += [(stage, True) for stage in (NULL_RUN, *stages_of(profile)) if stage in (NULL_RUN, *CONTROL_STAGES)]
    rows = [_stage_row(stage, control, profile, load, costs, cores) for stage, control in runs]
    images = (load.distinct + load.training) * _phases(profile)
    disk = images * costs.disk_mib(profile.preprocessing.spacing_mm)
    added = max(StageSteps.of(stage, profile, load, costs).worker_mib for stage in _WORK)
    worker = added + libraries_mib()
    return Forecast(pd.DataFrame(rows), cores, costs.kind, disk, _remarks(profile), load.distinct, worker)


def libraries_mib() -> float:
    """Memory of a worker before its first patient, MiB, as ``benchmarks/memory.py`` measured it; 0 where it has not."""
    file = benchmark_file("memory")
    return json.loads(file.read_text(encoding="utf-8"))["libraries_mib"] if file.is_file() else 0.0


def _remarks(profile: Profile) -> tuple[str, ...]:
    """What the profile asks for that costs more or less than what was measured."""
    features = profile.features
    remarks = {
        "Radiomics was measured with the engine fast; PyRadiomics takes many times as long.": features.engine != "fast",
        "Fine-tuning was measured with fine_tune: last_stage.": features.fine_tune != "last_stage",
        "Everything was measured on a CPU.": "cuda" in (features.device, profile.segmentation.device),
    }
    return tuple(remark for remark, holds in remarks.items() if holds)


def plan_run(profile: str, manifest: str, cores: int, patients: int | None = None) -> Forecast:
    """Forecast for a profile given by name or file, as `hccbook.pipeline.runner.run` takes it.

    The patients are those given, otherwise the usable rows of the manifest, otherwise those that the profile simulates.

    Raises
    ------
    SettingsError, ManifestError
        If the profile or the manifest is wrong, or nothing says how many patients there are.
    """
    file = profile_path(profile)
    checked = load_profile(file)
    manifest = manifest or checked.run.manifest
    if patients is None and manifest:
        patients = len(usable_patients(manifest, checked.run.phases.split(","))[0])
    if patients is None and not checked.run.synthetic:
        hint = "Give --patients N, or --manifest FILE."
        raise SettingsError(file.name, "a forecast needs the number of patients", "neither number nor manifest", hint)
    if manifest and checked.run.synthetic:
        checked = checked.model_copy(update={"run": checked.run.model_copy(update={"synthetic": False})})
    return forecast(checked, Costs.read(), cores, patients)


def patients_of(stage: str, profile: Profile, load: Workload, control: bool = False) -> int:
    """Patients that a stage or chapter is about: of its own paper, or of all papers; none where it reads none."""
    if stage in CHAPTERS and stage not in CHAPTER_READS:
        return 0
    papers = [paper for paper in _papers(profile) if stage in (*paper.stages, *paper.chapters)] or _papers(profile)
    return sum((load.null_run if control else load.patients)[paper.name] for paper in papers)


def _stage_row(
    stage: str, control: bool, profile: Profile, load: Workload, costs: Costs, cores: int
) -> dict[str, object]:
    steps = StageSteps.of(stage, profile, load, costs)
    patients = patients_of(stage, profile, load, control)
    rest_seconds, rest_mib = costs.notebook(step_name(stage), control, patients)
    return {
        "stage": step_name(stage),
        "control": control,
        "chapter": stage in CHAPTERS,
        "patients": patients,
        "core_seconds": rest_seconds + steps.core_seconds,
        "wall_seconds": rest_seconds + steps.wall_seconds(cores),
        "notebook_mib": rest_mib,
        "peak_mib": rest_mib + steps.added_mib(cores),
    }


def against_forecast(run: RunPaths) -> pd.DataFrame:
    """What the stages of a run cost, beside what they were forecast to cost.

    Returns
    -------
    pandas.DataFrame
        `hccbook.pipeline.costs.COST_COLUMNS`, and ``forecast``, core-seconds; empty for a stage whose patients lay in
        the store in part, and for a run that is not named for its profile.
    """
    rows = read_costs(run)
    file = profile_file(run.root.name)
    if rows.empty or not file.is_file():
        return rows.assign(forecast=np.nan)
    profile = load_profile(file)
    known = Workload.of(profile, None if profile.run.synthetic else _patients_found(profile, run))
    names = {step_name(stage): stage for stage in (NULL_RUN, *stages_of(profile), *chapters_of(profile))}
    expected = []
    for row in rows.itertuples(index=False):
        costs, control = Costs.read(kind=row.processor), row.run != run.root.name
        of_stage = _stage_row(names[row.stage], control, profile, known, costs, row.workers)
        is_whole = pd.isna(row.computed) or row.computed >= row.patients
        expected.append(of_stage["core_seconds"] if is_whole else np.nan)
    return rows.assign(forecast=expected)


def _patients_found(profile: Profile, run: RunPaths) -> int:
    return max(len(pd.read_csv(run.clinical(paper.name), usecols=[0])) for paper in _papers(profile))


def forecast_lines(expected: Forecast, name: str, folder: Path) -> list[str]:
    """Forecast for the terminal; `name` is the profile's, `folder` where the run will lie."""
    lines = [
        f"Forecast for profile {name} on {expected.place}, with nothing in the store yet.",
        f"Measured on: {expected.kind}. This machine: {processor_kind()} ({processor_name()}).",
        "",
        f"{'stage':<40}{'patients':>9}{'core-hours':>12}{'hours':>8}{'GiB':>7}",
    ]
    for row in expected.stages.itertuples(index=False):
        stage = row.stage + (" (control)" if row.control else "")
        hours = f"{row.core_seconds / 3600:>12.2f}{row.wall_seconds / 3600:>8.2f}"
        lines.append(f"{stage:<40}{row.patients:>9,}{hours}{row.peak_mib / 1024:>7.1f}")
    hours = f"{expected.core_seconds / 3600:>12.2f}{expected.wall_seconds / 3600:>8.2f}"
    lines += [f"{'all, as they overlap':<49}{hours}{expected.peak_mib / 1024:>7.1f}", ""]
    return [*lines, *_room_lines(expected, folder), *expected.remarks]


def _room_lines(expected: Forecast, folder: Path) -> list[str]:
    """Disk and memory that the run needs, beside what there is where it has no more cores than this machine."""
    if expected.cores > (psutil.cpu_count() or 1):
        return [
            f"Disk: {expected.disk_mib / 1024:,.1f} GiB, {expected.disk_mib / max(expected.patients, 1):,.1f} MiB a "
            "patient, where all machines see it.",
            f"Memory: {expected.worker_mib / 1024:.1f} GiB a core that works on patients, and "
            f"{expected.stages['notebook_mib'].max() / 1024:.1f} GiB for the largest notebook as it was measured.",
        ]
    there = next(place for place in (folder, *folder.parents) if place.is_dir())
    rooms = {
        "Disk": (expected.disk_mib, shutil.disk_usage(there).free),
        "Memory": (expected.peak_mib, psutil.virtual_memory().total),
    }
    lines = []
    for what, (needed_mib, there_bytes) in rooms.items():
        needed, free = needed_mib / 1024, there_bytes / 2**30
        lines.append(f"{what}: {needed:.1f} GiB of {free:.1f} GiB." + ("" if needed < free else " It will not do."))
    return lines


def warning_of_length(expected: Forecast) -> str:
    """What is said before a run that takes longer than `LONG_RUN_S`."""
    return (
        f"This may take {expected.wall_seconds / 3600:.1f} hours on {expected.place} and "
        f"{expected.disk_mib / 1024:.1f} GiB of disk; less where the store has a part. It can be stopped at any time, "
        "and goes on from there when it is called again. --plan shows the stages."
    )
