"""What the fast engine costs beside PyRadiomics: time, memory and throughput for ALARM's 1,223 features.

    .venv/bin/python benchmarks/radiomics.py             # everything, about ten minutes on two cores
    .venv/bin/python benchmarks/radiomics.py --size 10000   # one size anew, a minute; the others stay
    .venv/bin/python benchmarks/radiomics.py --quick        # 10,000 voxels, writes nothing

PyRadiomics is its own extractor, `RadiomicsFeatureExtractor.execute`, on the same image, already clipped and cropped to
the organ with a margin, which spares it filtering the whole volume. Each measurement is a process of its own, that says
when it is ready and then waits for the start; both programs have loaded what they need by then. Within one run, the two
programs take turns. Writes `benchmarks/radiomics.json`, from which the book draws its page.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import SimpleITK as sitk

PATIENT = {"image_seed": 41, "centre": "C01", "liver_latent": 0.0, "spleen_latent": 0.0, "spleen_size": 0.0}
WINDOW_HU = (-60, 140)
LEVELS = (8, 32, 128)
SIZES = (10_000, 100_000, 1_200_000)
MARGIN = 12
PROGRAMS = ("fast", "PyRadiomics")
RESULTS = Path(__file__).with_suffix(".json")


# --- one measurement, in a process of its own ------------------------------------------------------------------------


def work(program: str, folder: Path, bin_width: float, threads: int) -> None:
    """Load, say so, wait for a line, extract, report; until the input ends."""
    started = time.perf_counter()
    image, mask = (sitk.ReadImage(str(folder / f"{name}.nii.gz")) for name in ("image", "mask"))
    read = time.perf_counter() - started
    extract = {"fast": _fast, "PyRadiomics": _pyradiomics}[program](image, mask, bin_width, threads)
    _say({"start_seconds": time.perf_counter() - started - read})
    for order in sys.stdin:
        start = time.perf_counter()
        values = extract()
        answer = {"seconds": time.perf_counter() - start, "peak_mib": _peak_mib(), "features": len(values)}
        # All values at once would fill the pipe, and the process would wait until somebody reads them.
        _say(answer | {"values": values} if order.strip() == "values" else answer)


def _peak_mib() -> float:
    """Largest resident memory of this process; getrusage would count that of the process that started it."""
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def _say(what: dict) -> None:
    print(json.dumps(what), flush=True)


def _fast(image, mask, bin_width, threads):
    from hccbook.features.radiomics import extract_features, find_engine

    find_engine("fast")
    settings = _settings(bin_width)
    return lambda: extract_features(image, mask, settings, "fast", threads=threads).to_dict()


def _pyradiomics(image, mask, bin_width, threads):
    import logging

    # This file has the name of PyRadiomics' package and would be taken for it.
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]
    from radiomics import featureextractor

    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    np.seterr(all="ignore")
    extractor = featureextractor.RadiomicsFeatureExtractor(binWidth=bin_width, additionalInfo=False)
    extractor.disableAllImageTypes()
    names = ("Original", "Wavelet", "Square", "SquareRoot", "Logarithm", "Exponential")
    extractor.enableImageTypes(**{name: {} for name in names})
    return lambda: {name: float(value) for name, value in extractor.execute(image, mask).items()}


def _settings(bin_width):
    from hccbook.features.radiomics import ExtractionSettings

    images = ("original", "wavelet", "square", "squareroot", "logarithm", "exponential")
    return ExtractionSettings(image_types=images, bin_width=bin_width)


class Worker:
    """A process with one program and one organ."""

    def __init__(self, program: str, folder: Path, bin_width: float, threads: int = 1) -> None:
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
        environment = os.environ | dict.fromkeys(names, "1")
        command = [sys.executable, __file__, "--worker", program, str(folder), str(bin_width), str(threads)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.start_seconds = self.answer()["start_seconds"]

    def start(self, order: str = "time") -> None:
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict:
        return json.loads(self.process.stdout.readline())

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait()


# --- the measurements ------------------------------------------------------------------------------------------------


def organs(folder: Path, sizes: tuple[int, ...]) -> dict[int, tuple[Path, int]]:
    """A synthetic liver, resampled so that it has about as many voxels as asked for: folder and voxels by size."""
    from hccbook.images.preprocessing import resample
    from hccbook.phantom import render_patient
    from hccbook.settings import CohortSettings

    image, labels = render_patient(PATIENT, CohortSettings(acquisition_spacing_mm=1.0))["venous"]
    volume = np.count_nonzero(sitk.GetArrayViewFromImage(labels) == 1) * np.prod(image.GetSpacing())
    made = {}
    for size in sizes:
        spacing = round(float((volume / size) ** (1 / 3)), 3)
        liver = resample(labels, spacing, labels=True) == 1
        hu = sitk.Clamp(resample(image, spacing), sitk.sitkFloat32, *WINDOW_HU)
        where = np.argwhere(sitk.GetArrayViewFromImage(liver))
        low = np.maximum(where.min(0) - MARGIN, 0)[::-1]
        high = np.minimum(where.max(0) + MARGIN + 1, np.array(hu.GetSize())[::-1])[::-1]
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        own = folder / str(size)
        own.mkdir()
        sitk.WriteImage(hu[box], str(own / "image.nii.gz"))
        sitk.WriteImage(liver[box], str(own / "mask.nii.gz"))
        made[size] = (own, int(np.count_nonzero(sitk.GetArrayViewFromImage(liver))))
    return made


def measure_one(folder: Path, voxels: int, levels: int, repeats: dict[str, int], cores: int) -> list[dict]:
    """One patient alone: each program on one core, and the fast one on all cores."""
    bin_width = (WINDOW_HU[1] - WINDOW_HU[0]) / levels
    rows, answers = [], {}
    for program, threads in (("PyRadiomics", 1), ("fast", 1), ("fast", cores)):
        with Worker(program, folder, bin_width, threads) as worker:
            runs = []
            for _ in range(repeats[program]):
                worker.start("values")
                runs.append(worker.answer())
        answers[program] = runs[-1]["values"]
        about = {"what": "one patient", "program": program, "voxels": voxels, "levels": levels}
        about |= {"processes": 1, "threads": threads, "patients": 1}
        about |= {"seconds": statistics.median(run["seconds"] for run in runs), "repeats": len(runs)}
        rows.append(row(about, [worker], runs))
    compare(answers["fast"], answers["PyRadiomics"])
    return rows


def measure_throughput(folder: Path, voxels: int, levels: int, patients: dict[str, int], cores: int) -> list[dict]:
    """Patients side by side, one process a core, for both programs."""
    bin_width = (WINDOW_HU[1] - WINDOW_HU[0]) / levels
    rows = []
    for program in PROGRAMS[::-1]:
        with contextlib.ExitStack() as stack:
            workers = [stack.enter_context(Worker(program, folder, bin_width)) for _ in range(cores)]
            start = time.perf_counter()
            for _ in range(patients[program]):
                for worker in workers:
                    worker.start()
            runs = [worker.answer() for worker in workers for _ in range(patients[program])]
            seconds = time.perf_counter() - start
        about = {"what": "throughput", "program": program, "voxels": voxels, "levels": levels}
        about |= {"processes": cores, "threads": 1, "patients": cores * patients[program]}
        rows.append(row(about | {"seconds": seconds, "repeats": 1}, workers, runs))
    return rows


def row(about: dict, workers: list[Worker], runs: list[dict]) -> dict:
    """One line of the results, printed: what was measured, and what the workers said of it."""
    result = about | {
        "start_seconds": max(worker.start_seconds for worker in workers),
        "peak_mib": max(run["peak_mib"] for run in runs),
        "features": runs[-1]["features"],
    }
    show(result)
    return result


def compare(found: dict[str, float], expected: dict[str, float]) -> None:
    """Stop where the two programs do not give the same values: their times would mean nothing."""
    wrong = [
        name
        for name, value in expected.items()
        if abs(found[name] - value) > 1e-9 and abs(found[name] - value) > 1e-6 * abs(value)
    ]
    if wrong or set(found) != set(expected):
        sys.exit(
            f"benchmarks/radiomics.py: the programs must agree, but found {len(wrong)} unlike, such as {wrong[:3]}"
        )


def show(row: dict) -> None:
    print(
        f"{row['what']:<12} {row['program']:<12} {row['voxels']:>9,} voxels {row['levels']:>4} levels"
        f" {row['processes']:>2} x {row['threads']} cores {row['patients']:>3} patients"
        f" {row['seconds']:9.3f} s {row['features'] * row['patients'] / row['seconds']:9.0f} features/s"
        f" {row['peak_mib']:7.0f} MiB",
        flush=True,
    )


def machine() -> dict[str, str | int]:
    """What the numbers were measured on."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": names[0].partition(":")[2].strip() if names else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory),
        "python": platform.python_version(),
        **{name: version(name) for name in ("pyradiomics", "numba", "numpy", "SimpleITK")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="10,000 voxels only; writes nothing")
    parser.add_argument("--size", type=int, choices=SIZES, help="one size only; the others keep their rows")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        program, folder, bin_width, threads = arguments.worker
        work(program, Path(folder), float(bin_width), int(threads))
        return
    about = machine()
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    cores = about["cores"]
    rows = []
    sizes = SIZES[:1] if arguments.quick else (arguments.size,) if arguments.size else SIZES
    with tempfile.TemporaryDirectory() as folder:
        for size, (own, voxels) in organs(Path(folder), sizes).items():
            slow = {10_000: 5, 100_000: 3, 1_200_000: 1}[size]
            for levels in LEVELS:
                rows += measure_one(own, voxels, levels, {"fast": 7, "PyRadiomics": slow}, cores)
            side_by_side = {"fast": {10_000: 20, 100_000: 10, 1_200_000: 3}[size], "PyRadiomics": slow}
            rows += measure_throughput(own, voxels, LEVELS[0], side_by_side, cores)
    if arguments.size:
        measured = {row["voxels"] for row in rows}
        kept = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"]
        rows = sorted([*rows, *(row for row in kept if row["voxels"] not in measured)], key=lambda row: row["voxels"])
    if not arguments.quick:
        RESULTS.write_text(json.dumps({"machine": about, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
