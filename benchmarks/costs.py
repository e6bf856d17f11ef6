"""What a patient costs, step by step, and what every run pays: core-seconds, memory, disk.

    .venv/bin/python benchmarks/costs.py                      # the steps, under four minutes of one core
    .venv/bin/python benchmarks/costs.py --run results/demo   # the notebooks, from runs that were made; repeatable

Patients of both synthetic cohorts are simulated, preprocessed, segmented, checked, and have their features taken, by
the functions that a run calls: some at 5 mm, one of each paper at 1 mm. Optimiser steps of the segmentation and epochs
of the fine-tuning are timed one by one. All of it is done twice, with what the processor can do and held to AVX2, where
it can do more, on one core.
Processor time counts, not time on the clock, so that other work on the machine disturbs little. Memory is what a step
adds to what its process held before: libraries are loaded once, in every worker.
Writes `benchmarks/costs.json`, which `hccbook run --plan` scales and the book shows.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

# Read once, when the libraries are loaded: a patient's task has one core.
os.environ.update(
    dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), "1")
)

import numpy as np
import pandas as pd

from hccbook.features.radiomics import ExtractionSettings, extract_patient
from hccbook.images.patients import preprocess_patient
from hccbook.papers import PAPERS
from hccbook.phantom import simulate_clinical, simulate_segmentation_patients, write_patients
from hccbook.pipeline.costs import AVX2, processor_kind, processor_name, read_costs
from hccbook.pipeline.files import source_cases
from hccbook.pipeline.forecast import TRAINING_SETTINGS, Costs, StageSteps, Workload, patients_of
from hccbook.run import (
    CHAPTERS,
    CONTROL_ENDING,
    NULL_RUN,
    STAGES,
    TRAINING_SET,
    Case,
    RunPaths,
    benchmark_file,
    profile_file,
    step_name,
)
from hccbook.settings import PHASES, CohortSettings, PreprocessingSettings, Profile, load_profile
from hccbook.store import link

PATIENTS = {5.0: 6, 1.0: 1}  # of each paper, by voxel edge in mm
TRAINING_PATIENTS = 3
OPTIMISER_STEPS = 4  # of each kind, the first of which is not counted
TUNED_PATIENTS = 24
LIMITED_TO_AVX2 = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "NUMBA_CPU_NAME": "x86-64-v3",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}


# --- one process -----------------------------------------------------------------------------------------------------


class Meter:
    """Core-seconds and peak memory of steps of this process, a row each."""

    def __init__(self) -> None:
        self.rows: list[dict] = []

    @contextlib.contextmanager
    def step(self, name: str, **about: object) -> Iterator[None]:
        """Measure what the block does, all threads of the process together."""
        gc.collect()
        # What was freed goes back to the system, and the peak starts anew: neither hides what the step needs.
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        held, start = memory_mib("VmRSS"), time.process_time()
        yield
        seconds, added = time.process_time() - start, memory_mib("VmHWM") - held
        self.rows.append({"step": name, **about, "core_seconds": round(seconds, 4), "added_mib": round(added)})


def memory_mib(name: str) -> float:
    """Memory of this process: ``VmRSS`` now, ``VmHWM`` at its highest since `Meter.step` began."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) / 1024


def prepare(meter: Meter, run: RunPaths, paper: str, row: pd.DataFrame, profile: Profile) -> Case:
    """Simulate and preprocess one patient, whose given masks are then the masks used; `row` is their clinical row."""
    with meter.step("simulation"):
        write_patients(run.synthetic_cohort(paper), row, profile.cohort, 0, 1, run.store)
    (case,) = source_cases(run, paper, PHASES).values()
    with meter.step("preprocessing"):
        preprocess_patient(case, profile.preprocessing)
    take_given_masks(case)
    return case


def take_given_masks(case: Case) -> None:
    """Put the masks that came with the images where the network's would be."""
    for phase in PHASES:
        link(case.reference_labels(phase), case.labels(phase))


def profile_at(spacing_mm: float) -> Profile:
    """Defaults, scanned and worked on at one voxel edge."""
    return Profile(
        cohort=CohortSettings(acquisition_spacing_mm=spacing_mm),
        preprocessing=PreprocessingSettings(spacing_mm=spacing_mm),
    )


def work(what: str, network: Path) -> None:
    """Measure one half in this process, and print it."""
    meter, disk = Meter(), []
    with tempfile.TemporaryDirectory() as folder:
        if what == "training":
            train(meter, Path(folder), network)
            tune(meter)
        else:
            measure_patients(Meter(), Path(folder) / "nobody counts", 8.0, 1, network)  # loads libraries and loops
            for spacing_mm, patients in PATIENTS.items():
                mib = measure_patients(meter, Path(folder), spacing_mm, patients, network)
                disk.append({"spacing_mm": spacing_mm, "mib": round(mib, 3)})
    print(json.dumps({"processor": processor_kind(), "rows": meter.rows, "disk": disk}))


def train(meter: Meter, folder: Path, network: Path) -> None:
    """Time optimiser steps of both kinds; the network that they leave serves the patients."""
    from hccbook.pipeline.pictures import source_volumes
    from hccbook.segmentation.training import train_segmenter

    profile = profile_at(5.0)
    cohort = profile.cohort.model_copy(update={"segmentation_patients": TRAINING_PATIENTS})
    run = RunPaths(folder / "training" / "run")
    write_patients(run.synthetic_cohort(TRAINING_SET), simulate_segmentation_patients(cohort), cohort, 0, 1, run.store)
    pairs = []
    for case in source_cases(run, TRAINING_SET, PHASES).values():
        volumes, labels = source_volumes(case)
        pairs += [(volumes[phase], labels[phase]) for phase in PHASES]
    steps = {"pretraining_iterations": OPTIMISER_STEPS, "iterations": OPTIMISER_STEPS}
    settings = profile.segmentation.model_copy(update=steps)
    times = []
    with meter.step("training"):
        trained = train_segmenter(pairs, settings, lambda step, loss: times.append(time.process_time()))
    trained.save(network)
    whole = meter.rows.pop()
    took = np.diff(times)
    for name, seconds in (
        ("pre-training step", took[: OPTIMISER_STEPS - 1]),
        ("training step", took[OPTIMISER_STEPS:]),
    ):
        meter.rows.append({**whole, "step": name, "paper": "", "core_seconds": round(statistics.median(seconds), 4)})


def tune(meter: Meter) -> None:
    """Time an epoch of the fine-tuning, on inputs of noise: three epochs of both parts less one, a patient."""
    from hccbook.features import deep
    from hccbook.pipeline.features import load_backbone

    settings = Profile().features
    (paper,) = [paper for paper in PAPERS.values() if paper.is_tuned]
    backbone = load_backbone(paper, settings)
    random = np.random.default_rng(1)
    crops = random.random((1, 1, *[settings.crop_voxels] * 3), dtype=np.float32)
    shape = deep.stage_values(backbone, settings.fine_tune, crops)[0].shape
    names = [f"{phase}.{paper.organs[0]}" for phase in PHASES]
    inputs = {
        f"P{number}": {name: random.random(shape, dtype=np.float32) for name in names}
        for number in range(TUNED_PATIENTS)
    }
    hcc = pd.Series([number % 2 for number in range(TUNED_PATIENTS)], index=list(inputs))
    for epochs in (1, 3):
        with meter.step("fine-tuning epoch", paper=paper.name):
            deep.fine_tune(backbone, inputs, hcc, deep.Tuning(settings.fine_tune, epochs, settings.seed))
    one, three = meter.rows.pop(), meter.rows.pop()
    seconds = abs(three["core_seconds"] - one["core_seconds"]) / 2 / TUNED_PATIENTS
    meter.rows.append(one | {"core_seconds": round(seconds, 5)})


def measure_patients(meter: Meter, folder: Path, spacing_mm: float, patients: int, network: Path) -> float:
    """Every step of some patients of each paper; returns the disk that one takes, MiB."""
    profile = profile_at(spacing_mm)
    run = RunPaths(folder / f"{spacing_mm:g}" / "run")
    for name in PAPERS:
        first = len(meter.rows)
        rows = simulate_clinical(name, profile.cohort).iloc[:patients]
        cases = {}
        for key in rows.index:
            cases[key] = prepare(meter, run, name, rows.loc[[key]], profile)
            measure_patient(meter, cases[key], profile, network)
        measure_deep(meter, run, name, cases, profile)
        for row in meter.rows[first:]:
            row |= {"paper": row.get("paper", ""), "spacing_mm": spacing_mm}
    return disk_mib(run.root.parent) / patients / len(PAPERS)


def measure_patient(meter: Meter, case: Case, profile: Profile, network: Path) -> None:
    """Segmentation by the network, then mask checks and radiomics with the given masks."""
    from hccbook.pipeline.segmentation import measure_quality
    from hccbook.segmentation.patients import segment_patient

    # Of a fine image one phase is enough, and is all that the time allows.
    phases = PHASES if profile.preprocessing.spacing_mm >= 2 else PHASES[:1]
    part = Case(case.run, case.cohort, case.key, phases, case.sources)
    with meter.step("segmentation"):
        segment_patient(part, network, dict.fromkeys(phases, (0.0, 0.0, 0.0)), "cpu")
    meter.rows[-1]["core_seconds"] *= len(PHASES) / len(phases)
    take_given_masks(case)
    with meter.step("mask checks"):
        measure_quality(case)
    settings = ExtractionSettings.of_paper(case.cohort, profile.features, profile.preprocessing)
    with meter.step("radiomics", paper=case.cohort):
        extract_patient(case, PAPERS[case.cohort].organs, settings, profile.features.engine)


def measure_deep(meter: Meter, run: RunPaths, name: str, cases: Mapping[str, Case], profile: Profile) -> None:
    """Deep features of all patients of one paper together, as a run takes them."""
    from hccbook.features import deep
    from hccbook.pipeline.features import load_backbone, organ_crops
    from hccbook.pipeline.files import save_json

    paper, settings = PAPERS[name], profile.features
    save_json(profile.preprocessing.model_dump(), run.stage("preprocessing") / "settings.json")
    backbone = load_backbone(paper, settings)
    depth = settings.fine_tune if paper.is_tuned else "projection"
    with meter.step("deep features", paper=name):
        deep.extract_deep(cases, backbone, organ_crops(run, paper, settings, cases.values()), depth=depth)
    meter.rows[-1]["core_seconds"] /= len(cases)


def disk_mib(folder: Path) -> float:
    """Disk that files take, each counted once, whatever its links."""
    states = {state.st_ino: state for state in (file.stat() for file in folder.rglob("*") if file.is_file())}
    return sum(state.st_blocks for state in states.values()) * 512 / 2**20


# --- all of them -----------------------------------------------------------------------------------------------------


def measure_kind(environment: Mapping[str, str], network: Path) -> list[dict]:
    """What two processes measure: training first, whose network serves the patients of the other."""
    answers = []
    for what in ("training", "patients"):
        command = [sys.executable, __file__, "--worker", what, str(network)]
        done = subprocess.run(command, env=os.environ | environment, check=True, stdout=subprocess.PIPE, text=True)
        answers.append(json.loads(done.stdout.splitlines()[-1]))
    return answers


def steps_of(measured: Mapping) -> list[dict]:
    """Mean, spread and most memory of each step, paper and voxel edge."""
    rows = pd.DataFrame(measured["rows"])
    by = rows.groupby([name for name in ("step", "paper", "spacing_mm") if name in rows], sort=False)
    seconds = by["core_seconds"]
    table = pd.DataFrame({"core_seconds": seconds.mean(), "sd": seconds.std(), "n": seconds.size()})
    table = table.assign(added_mib=by["added_mib"].max()).reset_index().round(5).astype(object)
    return [{"processor": measured["processor"], **row} for row in table.where(table.notna(), None).to_dict("records")]


def notebooks_of(runs: list[str]) -> list[dict]:
    """What stages of finished runs took beside the steps that were measured."""
    names = {step_name(stage): stage for stage in (NULL_RUN, *STAGES, *CHAPTERS)}
    rows = []
    for root in runs:
        run = RunPaths.at(root)
        profile = load_profile(profile_file(run.root.name))
        load = Workload.of(profile)
        for row in read_costs(run).to_dict("records"):
            stage, control = names[row["stage"]], row["run"].endswith(CONTROL_ENDING)
            if row["computed"] < row["patients"]:
                sys.exit(f"{root}, {row['stage']}: a part lay in the store. Make the run anew, with an empty store.")
            steps = StageSteps.of(stage, profile, load, Costs.read(kind=row["processor"]))
            rest = {"processor": row["processor"], "profile": run.root.name, "stage": row["stage"], "control": control}
            rest["patients"] = patients_of(stage, profile, load, control)
            rest["core_seconds"] = round(max(row["core_seconds"] - steps.core_seconds, 0.0), 1)
            rest["peak_mib"] = round(max(row["peak_mib"] - steps.added_mib(row["workers"]), 0))
            rows.append(rest)
    return rows


def machine() -> dict[str, str | int]:
    """What the numbers were measured on."""
    return {
        "processor": processor_name(),
        "kind": processor_kind(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "numba", "numpy", "SimpleITK")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", action="append", help="a finished run whose notebooks are taken; may be repeated")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        what, network = arguments.worker
        work(what, Path(network))
        return
    file = benchmark_file("costs")
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"notebooks": []}
    if arguments.run:
        known["notebooks"] = notebooks_of(arguments.run)
    else:
        environments = [{}] if processor_kind() == AVX2 else [{}, LIMITED_TO_AVX2]
        with tempfile.TemporaryDirectory() as folder:
            network = Path(folder) / "network.safetensors"
            measured = [one for environment in environments for one in measure_kind(environment, network)]
        known |= {"machine": machine(), "steps": [row for one in measured for row in steps_of(one)]}
        known["disk"] = measured[1]["disk"]
        known["training"] = {name: getattr(Profile().segmentation, name) for name in TRAINING_SETTINGS}
        print(pd.DataFrame(known["steps"]).to_string(index=False))
    file.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
