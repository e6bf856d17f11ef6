"""What stages cost: processor time and memory of a process and all below it, and the table of a run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from hccbook.parallel import log_work
from hccbook.pipeline.costs import AVX2, AVX512, BFLOAT16, CostMeter, processor_kind, read_costs, record_cost
from hccbook.run import RunPaths
from hccbook.settings import Profile

ZEN_3 = "fpu sse4_1 sse4_2 avx f16c avx2 bmi2"
ZEN_5 = f"{ZEN_3} avx512f avx512bw avx512_bf16"
SKYLAKE_X = f"{ZEN_3} avx512f avx512bw"


@pytest.mark.parametrize(
    ("flags", "limit", "kind"),
    [
        (ZEN_5, "", BFLOAT16),
        (SKYLAKE_X, "", AVX512),
        (ZEN_3, "", AVX2),
        (ZEN_5, "AVX2", AVX2),
        (ZEN_5, "avx512_core", AVX512),
        (f"{SKYLAKE_X} amx_bf16", "", BFLOAT16),
    ],
)
def test_a_processor_is_of_the_kind_of_its_best_instructions(flags: str, limit: str, kind: str) -> None:
    """Flags as /proc/cpuinfo lists them; a limit on oneDNN holds whatever the processor could do."""
    assert processor_kind(flags, {"ONEDNN_MAX_CPU_ISA": limit}) == kind


def test_processor_time_of_a_child_and_of_its_child_counts() -> None:
    """A process that starts a second one, each of which spends 0.3 s of its processor, adds 0.6 s at least."""
    spend = "import time\nwhile time.process_time() < 0.3: pass\n"
    both = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {spend!r}], check=True)\n{spend}"
    with CostMeter() as meter:
        before = meter.core_seconds
        subprocess.run([sys.executable, "-c", both], check=True)
        assert meter.core_seconds - before >= 0.6


def test_memory_of_a_child_counts() -> None:
    """A child that holds 200 MiB; the meter looks at once, not after its first second."""
    hold = "held = bytearray(b'x') * (200 * 2**20)\nprint('ready', flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        child.stdout.readline()
        with CostMeter() as meter:
            pass
        child.communicate("\n")
    assert meter.peak_mib >= 200


def test_a_stage_is_recorded_with_the_patients_of_its_largest_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One step over 3 and 2 patients of two papers, one over 4: five patients, two of them new; the last row counts."""
    run, work = RunPaths(tmp_path / "run"), tmp_path / "work.csv"
    run.root.mkdir()
    monkeypatch.setenv("HCCBOOK_WORK_LOG", str(work))
    for step, patients, computed in (("half", 3, 0), ("half", 2, 2), ("double", 4, 1)):
        log_work(step, patients, computed)
    for _ in range(2):
        with CostMeter() as meter:
            record_cost(run, "preprocessing", Profile(), 2, meter, work)
    assert len(pd.read_csv(tmp_path / "run" / "costs.csv")) == 2
    (row,) = read_costs(run).to_dict("records")
    assert (row["run"], row["stage"], row["patients"], row["computed"]) == ("run", "02_preprocessing", 5, 2)
    assert row["core_seconds"] > 0
    assert row["peak_mib"] > 0


def test_a_stage_that_keeps_no_patient_is_recorded_with_those_of_its_paper(tmp_path: Path) -> None:
    """Seven patients of ALARM, four of aMAP-CT: ALARM's stage is about seven, and computed nobody."""
    run, work = RunPaths(tmp_path / "run"), tmp_path / "work.csv"
    work.touch()
    for paper, count in (("alarm", 7), ("amap_ct", 4)):
        run.clinical(paper).parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame({"patient": range(count)}).to_csv(run.clinical(paper), index=False)
    for stage in ("alarm", "figures_and_tables"):
        with CostMeter() as meter:
            record_cost(run, stage, Profile(), 1, meter, work)
    rows = read_costs(run)
    assert rows["patients"].tolist() == [7, 11]
    assert rows["computed"].isna().all()
