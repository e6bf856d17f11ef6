"""What the fast engine costs beside PyRadiomics and every other radiomics program that a user could install.

    .venv/bin/python benchmarks/radiomics.py --install   # the other programs, each in an environment of its own
    .venv/bin/python benchmarks/radiomics.py             # everything, about forty minutes on two cores
    .venv/bin/python benchmarks/radiomics.py --part programs --size 10000 --processor AVX2   # these rows anew
    .venv/bin/python benchmarks/radiomics.py --quick     # 10,000 voxels, this project's environment; writes nothing

Three parts, and two processors: this one as it is, and kept from what AVX2 does not have.

- `alone`: ALARM's 1,223 features of one patient, by the engine and by PyRadiomics;
- `side by side`: the same, one process a core;
- `programs`: the 107 features of the unfiltered image, by every program on one core (`radiomics_engines.py`).

The organ is a synthetic liver, clipped and cropped with a margin, which spares PyRadiomics filtering the whole volume.
Each measurement is a process of its own that is ready before the start. What a program needs to start is measured too.
The benchmark stops where the engine and PyRadiomics differ; how far the other programs agree is part of the result.
Writes `benchmarks/radiomics.json`, from which the book draws its page.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from radiomics_agreement import FEATURES, matched, relative_differences
from radiomics_engines import MEMORY_GIB, PROGRAMS, WINDOW_HU, Organ

PATIENT = {"image_seed": 41, "centre": "C01", "liver_latent": 0.0, "spleen_latent": 0.0, "spleen_size": 0.0}
LEVELS = (8, 32, 128)
SIZES = (10_000, 100_000, 1_200_000)
MARGIN = 12
LIMIT_SECONDS = 180
"""Of processor time, after which a program is given up."""
COMPILE_SECONDS = 900
ENOUGH_SECONDS = 6
"""Seconds of calls after which no further one is made."""
TOGETHER_SECONDS = 0.5
"""Calls are measured so many at once that they take about as long."""
MOST_RUNS = 7
CORES = len(os.sched_getaffinity(0))
PARTS = ("alone", "side by side", "programs")
RESULTS = Path(__file__).with_suffix(".json")

_AVX2_FEATURES = (
    "64bit,adx,aes,avx,avx2,bmi,bmi2,cmov,crc32,cx16,cx8,f16c,fma,fsgsbase,fxsr,lzcnt,mmx,movbe,pclmul,popcnt,sahf,"
    "sse,sse2,sse3,sse4.1,sse4.2,ssse3,xsave"
)
PROCESSORS = {
    "native": {},
    # What each library calls it; numba keeps the processor's own features unless they are named as well.
    "AVX2": {
        "NUMBA_CPU_NAME": "x86-64-v3",
        "NUMBA_CPU_FEATURES": ",".join(f"+{feature}" for feature in _AVX2_FEATURES.split(",")),
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
        "OPENBLAS_CORETYPE": "Haswell",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
    },
}
ONE_THREAD = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"),
    *("NUMBA_NUM_THREADS", "PICTOLOGICS_NUM_THREADS"),
)


# --- one program on one organ, in a process of its own ---------------------------------------------------------------


class Worker:
    """A process with one program and one organ; `first` is what it says after its first extraction.

    Raises
    ------
    TimeoutError
        If it works longer than the limit, in seconds of processor time.
    RuntimeError
        If the program fails.
    """

    def __init__(
        self, program: str, organ: Organ, processor: str, environments: Path, limit: int = LIMIT_SECONDS
    ) -> None:
        environment = os.environ | dict.fromkeys(ONE_THREAD, "1") | PROCESSORS[processor]
        script = Path(__file__).with_name("radiomics_engines.py")
        # -P: the script's folder holds a file with the name of PyRadiomics' package.
        command = [
            python_of(program, environments),
            "-P",
            str(script),
            program,
            json.dumps(organ._asdict()),
            str(limit),
        ]
        started = time.perf_counter()
        self._limit = limit
        self._errors = Path(organ.image).with_name("errors.txt")
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
            )
        try:
            self.first = self.answer() | {"seconds": time.perf_counter() - started}
        except BaseException:
            self._process.kill()
            raise

    def start(self, calls: int = 1) -> None:
        self._process.stdin.write(f"{calls}\n")
        self._process.stdin.flush()

    def answer(self) -> dict:
        line = self._process.stdout.readline()
        if not line:
            if self._process.wait() == -signal.SIGXCPU:
                raise TimeoutError(f"over {self._limit} s")
            raise RuntimeError((self._errors.read_text().strip().splitlines() or ["ended without a word"])[-1])
        return json.loads(line)

    def calls(self, most: int) -> list[dict]:
        """Means of further calls, as many as there is time for; none if the first call took all of it."""
        # The clock of processor time may tick in hundredths of a second.
        together = math.ceil(TOGETHER_SECONDS / self.first["wall_first"])
        runs: list[dict] = []
        spent = self.first["cpu_first"]
        while len(runs) < most and spent < ENOUGH_SECONDS:
            self.start(together)
            runs.append(self.answer())
            spent += runs[-1]["cpu_seconds"] * together
        return runs

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self._process.stdin.close()
            self._process.wait()
        self._process.kill()


def python_of(program: str, environments: Path) -> str:
    """The interpreter that has the program."""
    return str(environments / program / "bin" / "python") if PROGRAMS[program].packages else sys.executable


def install(environments: Path) -> None:
    """Make the environment of each program that this project's does not have."""
    for name, program in PROGRAMS.items():
        if not program.packages or Path(python_of(name, environments)).exists():
            continue
        interpreter = f"python{program.python}"
        print(f"{name}: {' '.join(program.packages)}, {interpreter}", flush=True)
        try:
            subprocess.run([interpreter, "-m", "venv", str(environments / name)], check=True)
            subprocess.run([python_of(name, environments), "-m", "pip", "install", "-q", *program.packages], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{name}: not installed, {error}", flush=True)


# --- the parts -------------------------------------------------------------------------------------------------------


def organs(folder: Path, sizes: tuple[int, ...]) -> Iterator[tuple[int, Path, int]]:
    """A synthetic liver, resampled so that it has about as many voxels as asked for: size, folder and voxels."""
    from hccbook.images.preprocessing import resample
    from hccbook.phantom import render_patient
    from hccbook.settings import CohortSettings

    image, labels = render_patient(PATIENT, CohortSettings(acquisition_spacing_mm=1.0))["venous"]
    volume = np.count_nonzero(sitk.GetArrayViewFromImage(labels) == 1) * np.prod(image.GetSpacing())
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
        sitk.WriteImage(hu[box], str(own / "image.nii"))
        sitk.WriteImage(liver[box], str(own / "mask.nii"))
        yield size, own, len(where)


def organ_in(folder: Path, levels: int, threads: int = 1, filtered: bool = False) -> Organ:
    """How a program is to take the organ of a folder, with bins that cut the window into so many levels."""
    image, mask = (str(folder / f"{name}.nii") for name in ("image", "mask"))
    width = (WINDOW_HU[1] - WINDOW_HU[0]) / levels
    inside = sitk.GetArrayFromImage(sitk.ReadImage(image))[sitk.GetArrayFromImage(sitk.ReadImage(mask)) > 0]
    least = float(inside.min())
    return Organ(image, mask, width, least - least % width, threads, filtered)


class Setting(NamedTuple):
    """On what a part is measured."""

    processor: str
    folder: Path
    voxels: int
    environments: Path
    levels: tuple[int, ...]

    def worker(self, program: str, levels: int, threads: int = 1, filtered: bool = False) -> Worker:
        return Worker(program, organ_in(self.folder, levels, threads, filtered), self.processor, self.environments)

    def about(self, what: str, program: str, levels: int, threads: int = 1, processes: int = 1) -> dict:
        return {
            "what": what,
            "program": program,
            "processor": self.processor,
            "voxels": self.voxels,
            "levels": levels,
            "threads": threads,
            "processes": processes,
        }


def measure_alone(setting: Setting) -> Iterator[dict]:
    """One patient: PyRadiomics and the engine on one core, and the engine on all cores."""
    for levels in setting.levels:
        values = {}
        for program, threads in (("PyRadiomics", 1), ("fast", 1), ("fast", CORES)):
            with setting.worker(program, levels, threads, filtered=True) as worker:
                runs = worker.calls(MOST_RUNS)
            values[program] = worker.first["values"]
            yield setting.about("one patient", program, levels, threads) | costs(worker.first, runs)
        refuse_unlike(values["fast"], values["PyRadiomics"])


def measure_side_by_side(setting: Setting) -> Iterator[dict]:
    """Patients side by side, one process a core."""
    for program in ("PyRadiomics", "fast"):
        with contextlib.ExitStack() as stack:
            workers = [stack.enter_context(setting.worker(program, LEVELS[0], filtered=True)) for _ in range(CORES)]
            patients = max(1, min(20, round(ENOUGH_SECONDS / max(worker.first["cpu_first"] for worker in workers))))
            start = time.perf_counter()
            for _ in range(patients):
                for worker in workers:
                    worker.start()
            runs = [worker.answer() for worker in workers for _ in range(patients)]
            seconds = time.perf_counter() - start
        about = setting.about("throughput", program, LEVELS[0], processes=CORES)
        yield about | costs(workers[0].first, runs) | {"seconds": seconds, "patients": CORES * patients}


def measure_programs(setting: Setting, programs: tuple[str, ...]) -> Iterator[dict]:
    """The features of the unfiltered image by every program, and how far they agree with PyRadiomics'."""
    expected: dict[str, float] = {}
    # PyRadiomics first: the others are compared with it.
    for program in sorted(programs, key="PyRadiomics".__ne__):
        about = setting.about("program", program, LEVELS[0])
        if not Path(python_of(program, setting.environments)).exists():
            yield about | {"failed": "not installed"}
            continue
        try:
            with setting.worker(program, LEVELS[0]) as worker:
                runs = worker.calls(MOST_RUNS)
        except (TimeoutError, RuntimeError) as error:
            memory = "allocate" in str(error) or "MemoryError" in str(error)
            yield about | {"failed": f"over {MEMORY_GIB} GiB" if memory else str(error), "said": str(error)}
            continue
        values = matched(worker.first["values"])
        expected = expected or values
        yield about | costs(worker.first, runs) | {"differences": relative_differences(values, expected)}


def costs(first: dict, runs: list[dict]) -> dict:
    """What a program took: the median of its calls once it was warm, and all it took to the end of its first one."""
    warm = runs or [{"seconds": first["wall_first"], "cpu_seconds": first["cpu_first"]}]
    return {
        "seconds": statistics.median(run["seconds"] for run in warm),
        "cpu_seconds": statistics.median(run["cpu_seconds"] for run in warm),
        "repeats": len(runs),
        "cold_seconds": first["seconds"],
        "cold_cpu_seconds": first["cpu_loading"] + first["cpu_first"],
        "peak_mib": max(run["peak_mib"] for run in [first, *runs]),
        "features": len(first["values"]),
        "patients": 1,
    }


def refuse_unlike(found: dict[str, float], expected: dict[str, float]) -> None:
    """Stop where engine and PyRadiomics do not give the same values: their times would mean nothing."""
    wrong = [
        name
        for name, value in expected.items()
        if abs(found[name] - value) > 1e-9 and abs(found[name] - value) > 1e-6 * abs(value)
    ]
    if wrong or set(found) != set(expected):
        sys.exit(f"benchmarks/radiomics.py: the two must agree, but found {len(wrong)} unlike, such as {wrong[:3]}")


# --- the results -----------------------------------------------------------------------------------------------------


def show(row: dict) -> None:
    head = (
        f"{row['what']:<12} {row['program']:<16} {row['processor']:<7} {row['voxels']:>9,} voxels {row['levels']:>4}"
        f" levels {row['processes']} x {row['threads']} cores"
    )
    if "failed" in row:
        print(f"{head}: {row['failed']}", flush=True)
        return
    agreed = [difference for difference in row.get("differences", ()) if difference is not None]
    agreement = f", {sum(d <= 1e-6 for d in agreed)} of {len(agreed)} agree" if agreed else ""
    print(
        f"{head} {row['seconds'] / row['patients']:9.4f} s ({row['cpu_seconds']:.4f} CPU)"
        f", start {row['cold_seconds']:.1f} s, {row['peak_mib']:.0f} MiB, {row['features']} values{agreement}",
        flush=True,
    )


def machine() -> dict[str, str | int]:
    """What the numbers were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = [line for line in lines if line.startswith("flags")]
    vectors = "AVX-512" if flags and "avx512f" in flags[0].split() else "no AVX-512"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": f"{names[0] if names else platform.processor()}, {vectors}",
        "cores": CORES,
        "memory_gib": round(memory),
        "python": platform.python_version(),
        **{name: version(name) for name in ("pyradiomics", "numba", "numpy", "SimpleITK")},
    }


def key(row: dict) -> tuple:
    return tuple(row[name] for name in ("what", "processor", "voxels", "levels", "program", "threads"))


def write(rows: list[dict]) -> None:
    """Put the rows in place of older ones of the same name, unless those are of another machine; one row per line."""
    older = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    kept = older["rows"] if older.get("machine") == machine() else []
    merged = {key(row): row for row in [*kept, *rows]}
    own = {"fast": version("hccbook"), "PyRadiomics": version("pyradiomics")}
    programs = {
        name: {
            "version": program.packages[0].partition("==")[2] if program.packages else own[name],
            "python": program.python,
            "filters": program.filters,
            "reads_files": program.reads_files,
        }
        for name, program in PROGRAMS.items()
    }
    parts = {"machine": machine(), "programs": programs, "features": FEATURES}
    lines = ",\n".join(json.dumps(merged[name]) for name in sorted(merged))
    head = json.dumps(parts, indent=1).removesuffix("\n}")
    RESULTS.write_text(f'{head},\n "rows": [\n{lines}\n]\n}}\n', encoding="utf-8")


def compile_loops(programs: tuple[str, ...], setting: Setting) -> None:
    """Let programs that compile their loops once a machine do so, before anything is measured."""
    for program in programs:
        if PROGRAMS[program].compiles and Path(python_of(program, setting.environments)).exists():
            organ = organ_in(setting.folder, LEVELS[0])
            with Worker(program, organ, setting.processor, setting.environments, limit=COMPILE_SECONDS):
                pass


def measure(arguments: argparse.Namespace) -> Iterator[dict]:
    parts = {
        "alone": measure_alone,
        "side by side": measure_side_by_side,
        "programs": lambda setting: measure_programs(setting, arguments.programs),
    }
    with tempfile.TemporaryDirectory() as folder:
        for size, own, voxels in organs(Path(folder), arguments.size):
            for processor in arguments.processor:
                # For AVX2, the papers' bins only.
                levels = arguments.levels if processor == "native" else LEVELS[:1]
                setting = Setting(processor, own, voxels, arguments.environments, levels)
                compile_loops(arguments.programs, setting)
                for part in arguments.part:
                    # Programs are compared at the smallest and the largest organ, several cores as they are.
                    if part == "programs" and size == SIZES[1]:
                        continue
                    if part == "side by side" and processor != "native":
                        continue
                    for row in parts[part](setting):
                        show(row)
                        yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--install", action="store_true", help="make the other programs' environments, measure nothing")
    parser.add_argument("--environments", type=Path, default=Path(sys.prefix) / "programs", help="where these lie")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=PARTS, help="these rows anew")
    parser.add_argument("--size", nargs="+", type=int, choices=SIZES, default=SIZES)
    parser.add_argument("--levels", nargs="+", type=int, choices=LEVELS, default=LEVELS, help="of part alone, native")
    parser.add_argument("--processor", nargs="+", choices=PROCESSORS, default=tuple(PROCESSORS))
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=tuple(PROGRAMS))
    parser.add_argument("--quick", action="store_true", help="10,000 voxels, no other programs; writes nothing")
    arguments = parser.parse_args()
    if arguments.install:
        install(arguments.environments)
        return
    if arguments.quick:
        arguments.size, arguments.part = SIZES[:1], PARTS[:1]
    if "PyRadiomics" not in arguments.programs:
        parser.error("--programs: must have PyRadiomics, with which the others are compared")
    print(", ".join(f"{name} {value}" for name, value in machine().items()))
    rows = []
    for row in measure(arguments):
        rows.append(row)
        if not arguments.quick:
            write(rows)


if __name__ == "__main__":
    main()
