"""Whether memory grows with the number of patients: of a worker, and of the process that collects what workers give.

One process a number of patients runs stages 1 to 4 for ALARM with two workers and the kept network.
What a process held at most is its high-water mark in the kernel (VmHWM), read every fifth of a second until it ends.
Also what a patient costs besides computing: files in the store and the run, bytes that a task takes and gives (what a
cluster's network carries), and the time that the collecting process takes to find everything in the store.
Writes `benchmarks/memory.json`, which the book shows and `hccbook run --plan` takes the memory of a worker from.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

# Read once, when the libraries are loaded: a patient's task has one core.
os.environ.update(
    dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), "1")
)

import psutil

from hccbook.pipeline.cohort import make_cohort
from hccbook.pipeline.costs import processor_kind, processor_name
from hccbook.pipeline.features import extract_deep, extract_radiomics
from hccbook.pipeline.files import source_cases
from hccbook.pipeline.preprocessing import preprocess_cohort
from hccbook.pipeline.segmentation import segment_cohort, segmentation_network
from hccbook.run import RunPaths, benchmark_file
from hccbook.settings import PHASES, CohortSettings, FeatureSettings, PreprocessingSettings, SegmentationSettings

PATIENTS = (10, 50, 200)
WHOLE = 30
GROWN = PHASES[1:2]  # one phase of many patients; all three of `WHOLE` say what one costs
WORKERS = 2
SPACING_MM = 5.0
NETWORK = "data/networks/synthetic.safetensors"
PAPER = "alarm"
_LEAST_MIB = 80.0  # what only hands tasks on holds less


def high_water_mib(process: int) -> float:
    """Most resident memory that a process has held, MiB; 0 where it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)


class Watch:
    """High-water marks of the processes below this one."""

    def __init__(self) -> None:
        self.marks: dict[int, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(0.2):
            for child in psutil.Process().children(recursive=True):
                self.marks[child.pid] = max(self.marks.get(child.pid, 0.0), high_water_mib(child.pid))

    def workers(self) -> list[float]:
        """Of each worker so far, MiB; starts anew."""
        marks, self.marks = sorted(self.marks.values()), {}
        return [round(mark) for mark in marks if mark > _LEAST_MIB]


def libraries_mib() -> float:
    """Memory of a worker with the libraries that it needs and no patient, MiB."""
    code = (
        "import hccbook.pipeline.segmentation, hccbook.pipeline.features\n"
        "from hccbook.features.radiomics import find_engine\n"
        "find_engine('fast')\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmRSS')))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True)
    return round(int(done.stdout) / 1024)


def measure(patients: int, phases: tuple[str, ...]) -> dict:
    """Memory of stages 1 to 4 with so many patients, in this process and its workers, and what one of them costs."""
    development, hcc = patients * 3 // 5, max(patients // 5, 2)
    sizes = {"alarm_discovery": development, "alarm_internal": patients // 5}
    sizes["alarm_external"] = patients - sum(sizes.values())
    cohort = CohortSettings(
        **sizes,
        **{f"{name}_hcc": min(hcc, size - 1) for name, size in sizes.items()},
        acquisition_spacing_mm=SPACING_MM,
        dicom_patients=0,
        segmentation_patients=0,
    )
    kept = SegmentationSettings(weights=NETWORK)
    features = FeatureSettings(fine_tune_epochs=1, fine_tune_shuffles=0, crop_voxels=16)
    stages, watch = {}, Watch()
    with tempfile.TemporaryDirectory() as folder:
        run = RunPaths(Path(folder) / "run")

        def finish(stage: str) -> None:
            stages[stage] = {"workers_mib": watch.workers(), "process_mib": round(high_water_mib(os.getpid()))}
            Path("/proc/self/clear_refs").write_text("5")

        network = segmentation_network(run, kept, phases)
        Path("/proc/self/clear_refs").write_text("5")
        make_cohort(run, PAPER, cohort, phases, WORKERS)
        finish("simulation")
        preprocess_cohort(run, PAPER, PreprocessingSettings(spacing_mm=SPACING_MM), phases, WORKERS)
        finish("preprocessing")
        segment_cohort(run, PAPER, kept, network, phases, WORKERS)
        finish("segmentation")
        extract_radiomics(run, PAPER, features, phases, WORKERS)
        finish("radiomics")
        extract_deep(run, PAPER, features, phases, WORKERS)
        finish("deep features")
        start = time.process_time()
        preprocess_cohort(run, PAPER, PreprocessingSettings(spacing_mm=SPACING_MM), phases, WORKERS)
        radiomics = extract_radiomics(run, PAPER, features, phases, WORKERS)
        looked_up = (time.process_time() - start) / patients
        case = next(iter(source_cases(run, PAPER, phases).values()))
        per_patient = {
            "store_files": count_files(run.store.root) / patients,
            "run_files": count_files(run.root) / patients,
            "sent_bytes": len(pickle.dumps(case)),
            "returned_bytes": radiomics.shape[1] * 8,
            "looked_up_s": round(looked_up, 4),
        }
    return {"patients": patients, "stages": stages, "per_patient": per_patient}


def count_files(folder: Path) -> int:
    """Files below a folder."""
    return sum(file.is_file() for file in folder.rglob("*"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        patients, phases = arguments.one
        print(json.dumps(measure(int(patients), tuple(phases.split(",")))))
        return
    about = {"processor": processor_name(), "kind": processor_kind(), "workers": WORKERS, "spacing_mm": SPACING_MM}
    found = {"machine": about, "paper": PAPER, "libraries_mib": libraries_mib()}
    found["per_patient"] = _apart(WHOLE, PHASES)["per_patient"]
    found["rows"] = []
    for patients in PATIENTS:
        row = _apart(patients, GROWN)
        found["rows"].append({"patients": patients, "stages": row["stages"]})
        benchmark_file("memory").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _apart(patients: int, phases: tuple[str, ...]) -> dict:
    """What `measure` finds in a process of its own."""
    start = time.monotonic()
    command = [sys.executable, __file__, "--one", str(patients), ",".join(phases)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"{patients} patients, {time.monotonic() - start:.0f} s:", found, flush=True)
    return found


if __name__ == "__main__":
    main()
