"""How far a run can grow: time, memory, storage and network with many patients and many cores, from what was measured.

The patients are a user's own, at the voxel edge of the papers, segmented by a network whose weights are given.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd

from hccbook.papers import PAPERS
from hccbook.pipeline.forecast import Costs, StageSteps, Workload, forecast
from hccbook.run import benchmark_file
from hccbook.settings import Profile

FIRST_COHORT = 2411
"""Patients of aMAP-CT's cohorts, all together."""

PATIENTS = (FIRST_COHORT, 100_000, 1_000_000)
CORES = (64, 1_000, 10_000)

DEVELOPMENT = 10_000
"""Most patients who develop a model: more than that are scored, and teach it little."""

NETWORKS_GBIT_S = (10, 100)
"""Network of a file server, Gbit/s, that the traffic is held against."""

_WEEK_S = 7 * 24 * 3600.0
_COPIES = 2  # of the model table: as it is read, and as a model has it


def scaled_profile(spacing_mm: float = 1.0) -> Profile:
    """Settings of such a run."""
    return Profile(
        run={"synthetic": False},
        cohort={"segmentation_patients": 0},
        preprocessing={"spacing_mm": spacing_mm},
        segmentation={"weights": "given.safetensors"},
    )


@dataclass(frozen=True)
class PatientCost:
    """What one patient costs a large run.

    Attributes
    ----------
    shared_s : float
        Processor time of what any number of cores can share, s.
    alone_s : float
        Time of the process that collects: finding what is stored, and models, tables and figures, s.
    tuning_s : float
        The same for each patient who develops the model, s.
    disk_mib : float
        Store and run together, MiB.
    files : float
        Files in store and run.
    traffic_mib : float
        At most what is read and written, MiB: each step that opens images opens all that a patient has.
    message_kib : float
        What a cluster's scheduler carries, KiB.
    table_kib : float
        Row of the model tables, KiB.
    """

    shared_s: float
    alone_s: float
    tuning_s: float
    disk_mib: float
    files: float
    traffic_mib: float
    message_kib: float
    table_kib: float

    @classmethod
    def of(cls, profile: Profile, costs: Costs, measured: dict[str, float]) -> Self:
        """Cost of one patient more; `measured` is ``per_patient`` of ``benchmarks/memory.py``."""
        load = Workload.of(profile, DEVELOPMENT)
        steps = [StageSteps.of(stage, profile, load, costs) for stage in ("preprocessing", "segmentation", "features")]
        shared = sum(one.shared_seconds for one in steps)
        tuning = sum(one.core_seconds for one in steps) - shared
        expected = forecast(profile, costs, 1, DEVELOPMENT)
        notebooks = expected.core_seconds - shared - tuning
        papers = len(load.patients)
        disk = costs.disk_mib(profile.preprocessing.spacing_mm)
        opened = 2 + 3 * papers  # by preprocessing and segmentation; by mask checks and both kinds of features
        return cls(
            shared_s=shared / load.distinct,
            alone_s=notebooks / load.distinct + papers * measured["looked_up_s"],
            tuning_s=tuning / max(*load.development.values(), 1),
            disk_mib=disk,
            files=papers * (measured["store_files"] + measured["run_files"]),
            traffic_mib=disk * (1 + opened),
            message_kib=papers * (measured["sent_bytes"] + measured["returned_bytes"]) / 1024,
            table_kib=8 * table_columns(profile) / 1024,
        )

    @property
    def most_cores(self) -> int:
        """Cores beyond which the collecting process takes longer than they do."""
        return round(self.shared_s / self.alone_s)

    def most_cores_of_network(self, gbit_s: float) -> int:
        """Cores whose traffic fills a file server's network."""
        return round(gbit_s * 1e9 / 8 / 2**20 * self.shared_s / self.traffic_mib)

    def most_patients_in(self, memory_gib: float) -> int:
        """Patients whose model tables fit into the memory of the machine that fits the models."""
        return int(memory_gib * 2**20 / (self.table_kib * _COPIES))

    @property
    def most_patients_in_a_week(self) -> int:
        """Patients whom the collecting process gets through in a week, however many cores there are."""
        return int((_WEEK_S - self.tuning_s * DEVELOPMENT) / self.alone_s)


def table_columns(profile: Profile) -> int:
    """Columns of both papers' model tables together: radiomics and deep features of every phase and organ."""
    from hccbook.features.deep.fine_tuning import PROJECTED  # torch takes seconds to load
    from hccbook.features.deep.network import WIDTHS
    from hccbook.features.radiomics import ExtractionSettings

    phases = len(profile.run.phases.split(","))
    columns = 0
    for name in profile.run.papers.split(","):
        paper = PAPERS[name]
        radiomics = len(ExtractionSettings.of_paper(name, profile.features, profile.preprocessing).feature_names)
        deep = PROJECTED if paper.is_tuned else WIDTHS[paper.network]
        columns += phases * len(paper.organs) * (radiomics + deep)
    return columns


def scaling_table(
    patient: PatientCost, patients: Iterable[int] = PATIENTS, cores: Iterable[int] = CORES
) -> pd.DataFrame:
    """Time, storage and network of runs of some sizes.

    Returns
    -------
    pandas.DataFrame
        One row per number of patients and of cores: core_hours and shared_hours of what cores share, alone_hours of the
        collecting process, disk_tib, files, table_gib, and traffic_gib_s while cores share.
    """
    rows = []
    for number in patients:
        alone = number * patient.alone_s + min(number, DEVELOPMENT) * patient.tuning_s
        for count in cores:
            row = {"patients": number, "cores": count, "core_hours": number * patient.shared_s / 3600}
            row["shared_hours"] = row["core_hours"] / count
            row["alone_hours"] = alone / 3600
            row["disk_tib"] = number * patient.disk_mib / 2**20
            row["files"] = number * patient.files
            row["table_gib"] = number * patient.table_kib * _COPIES / 2**20
            row["traffic_gib_s"] = count * patient.traffic_mib / patient.shared_s / 1024
            rows.append(row)
    return pd.DataFrame(rows)


def read_memory() -> dict[str, Any] | None:
    """What ``benchmarks/memory.py`` measured; None where it has not been run."""
    file = benchmark_file("memory")
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
