"""What the stages of a run cost: core-seconds, memory, and the patients they went to."""

from __future__ import annotations

import os
import platform
import re
import resource
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import pandas as pd
import psutil

from hccbook.papers import PAPERS
from hccbook.run import CHAPTER_READS, CHAPTERS, RunPaths, step_name
from hccbook.settings import Profile

COST_COLUMNS = (
    "run",
    "stage",
    "patients",
    "computed",
    "core_seconds",
    "wall_seconds",
    "peak_mib",
    "workers",
    "processor",
)
"""A row each time that a stage was executed: folder of the run, notebook, patients that it worked on, those of them who
were not in the store yet (empty where a stage keeps no patient), processor time in s, time in s, most memory in MiB,
processes over patients, and the kind of processor."""

BFLOAT16, AVX512, AVX2 = "bfloat16", "AVX-512", "AVX2"
"""Kinds of processors, by their best instructions: bfloat16 in vectors of 512 bits, such vectors, or shorter ones."""

_LIMITS = {"AVX512_CORE": AVX512, "AVX512_CORE_VNNI": AVX512} | dict.fromkeys(
    ("SSE41", "AVX", "AVX2", "AVX2_VNNI"), AVX2
)
_SAMPLED_EVERY_S = 1.0
_WORTH_A_LOOK = 1.02  # growth of resident memory, which is cheap to see, from which shares are counted, which is not


def processor_kind(flags: str | None = None, environment: Mapping[str, str] | None = None) -> str:
    """`BFLOAT16`, `AVX512` or `AVX2`: what decides how long a run takes.

    oneDNN can be limited to fewer instructions than the processor has, and then the limit counts.
    A processor that is no x86 is called by the name of its architecture.

    Parameters
    ----------
    flags : str, optional
        Instructions, separated by blanks, as ``/proc/cpuinfo`` lists them; those of this machine if absent.
    environment : mapping of str to str, optional
        Where the limit is looked for; the process's if absent.
    """
    limit = _LIMITS.get((os.environ if environment is None else environment).get("ONEDNN_MAX_CPU_ISA", "").upper())
    if limit is not None:
        return limit
    names = set((_cpuinfo("flags") if flags is None else flags).split())
    if names & {"avx512_bf16", "amx_bf16"}:
        return BFLOAT16
    if "avx512f" in names:
        return AVX512
    return AVX2 if names or platform.machine() in ("x86_64", "AMD64") else platform.machine()


def processor_name() -> str:
    """What its maker calls the processor of this machine."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(name: str) -> str:
    file = Path("/proc/cpuinfo")
    found = re.search(rf"^{name}\s*:(.*)$", file.read_text(encoding="utf-8"), re.MULTILINE) if file.is_file() else None
    return found[1].strip() if found else ""


class CostMeter:
    """What this process and all that it started cost, from its own start on; a context that watches memory.

    Processor time is user and system time of the process and of every one below it that has ended and was waited for:
    a notebook's kernel, and the workers of that kernel.
    Memory is the largest sum over these processes, seen every second; memory that several share counts once
    (proportional set size), or in each of them where the system cannot tell.
    """

    def __init__(self) -> None:
        self._peak_bytes = self._resident_bytes = 0
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watch.join()

    @property
    def core_seconds(self) -> float:
        """Processor time up to now, s."""
        spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(one.ru_utime + one.ru_stime for one in spent)

    @property
    def wall_seconds(self) -> float:
        """Time since the process started, s."""
        return time.time() - psutil.Process().create_time()

    @property
    def peak_mib(self) -> float:
        """Most memory up to now, MiB."""
        return self._peak_bytes / 2**20

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLED_EVERY_S):
            self._look()

    def _look(self) -> None:
        process = psutil.Process()
        tree = [process, *process.children(recursive=True)]
        resident = sum(_memory(one, psutil.Process.memory_info) for one in tree)
        if resident > self._resident_bytes * _WORTH_A_LOOK:
            self._resident_bytes = resident
            self._peak_bytes = max(self._peak_bytes, sum(_memory(one, psutil.Process.memory_full_info) for one in tree))


def _memory(process: psutil.Process, of: Callable[[psutil.Process], Any]) -> int:
    """Bytes that a process holds, of shared ones its part where that is known; none where it has ended meanwhile."""
    try:
        held = of(process)
    except psutil.Error:
        return 0
    return getattr(held, "pss", held.rss)


def costs_file(run: RunPaths) -> Path:
    """Table of what each stage cost, of a run and its negative control together."""
    return run.main / "costs.csv"


def record_cost(run: RunPaths, stage: str, profile: Profile, workers: int, meter: CostMeter, work: Path) -> None:
    """Add a row to the table of the run; `work` is what `hccbook.parallel.log_work` wrote during the stage."""
    patients, computed = _patients_worked_on(work)
    row = {
        "run": run.root.name,
        "stage": step_name(stage),
        "patients": _patients_of(stage, profile, run) if patients is None else patients,
        "computed": "" if computed is None else computed,
        "core_seconds": round(meter.core_seconds, 1),
        "wall_seconds": round(meter.wall_seconds, 1),
        "peak_mib": round(meter.peak_mib),
        "workers": workers,
        "processor": processor_kind(),
    }
    # Stages run side by side: one line, appended, is never torn.
    line = ",".join(str(row[name]) for name in COST_COLUMNS)
    with costs_file(run).open("a", encoding="utf-8") as table:
        table.write(line + "\n" if table.tell() else f"{','.join(COST_COLUMNS)}\n{line}\n")


def read_costs(run: RunPaths) -> pd.DataFrame:
    """What each stage of a run and of its negative control cost when it was last executed, in the order of execution.

    Returns
    -------
    pandas.DataFrame
        `COST_COLUMNS`; empty where nothing was executed yet.
    """
    file = costs_file(run)
    rows = pd.read_csv(file) if file.is_file() else pd.DataFrame(columns=list(COST_COLUMNS))
    return rows.drop_duplicates(["run", "stage"], keep="last").reset_index(drop=True)


def _patients_worked_on(work: Path) -> tuple[int | None, int | None]:
    """Patients, and those not in the store, of the step that had most; a step goes over all papers."""
    rows = pd.read_csv(work, names=["step", "patients", "computed"])
    if rows.empty:
        return None, None
    most = rows.groupby("step").sum().max()
    return int(most["patients"]), int(most["computed"])


def _patients_of(stage: str, profile: Profile, run: RunPaths) -> int:
    """Patients of a stage that maps over nobody: those of its own paper, or of all papers; none where it reads none."""
    if stage in CHAPTERS and stage not in CHAPTER_READS:
        return 0
    papers = [PAPERS[name] for name in profile.run.papers.split(",")]
    own = [paper for paper in papers if stage in (*paper.stages, *paper.chapters)] or papers
    tables = [run.clinical(paper.name) for paper in own]
    return sum(len(pd.read_csv(table, usecols=[0])) for table in tables if table.is_file())
