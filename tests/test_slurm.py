"""The SLURM example from start to finish, with stand-ins for the commands of a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from few_patients import profile_of

SBATCH = """#!/bin/sh
# Takes a job as SLURM's does, runs it in the background, and keeps its state in a file.
number=$$
while [ $# -gt 0 ]; do
    case "$1" in
        --output) log=$(echo "$2" | sed "s/%j/$number/"); shift ;;
        --comment) comment=$2; shift ;;
        --wrap=*) job=${1#--wrap=} ;;
    esac
    shift
done
echo "$comment" >> "$STAND_IN/comments"
echo RUNNING > "$STAND_IN/jobs/$number"
( SLURM_JOB_ID=$number sh -c "$job" > "$log" 2>&1 && state=COMPLETED || state=FAILED
  echo "$state" > "$STAND_IN/jobs/$number.new"; mv "$STAND_IN/jobs/$number.new" "$STAND_IN/jobs/$number" ) \\
  > /dev/null 2>&1 < /dev/null &
echo "$number"
"""

SACCT = """#!/bin/sh
# Lists the state of each job; of whom they are is not known.
case "$*" in
    *JobIdRaw,State*) cd "$STAND_IN/jobs" && for job in [0-9]*; do
        case "$job" in *.new) ;; *) echo "$job|$(cat "$job")" ;; esac
    done ;;
    *) echo none ;;
esac
"""

SINFO = """#!/bin/sh
# Names the partitions, with a star behind the default one.
echo PARTITION
echo "batch*"
"""

SRUN = """#!/bin/sh
# Runs a step of the job in its place.
while case "$1" in -*) true ;; *) false ;; esac; do shift; done
exec "$@"
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of a cluster's commands, first on the path, and of what they keep."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "jobs").mkdir()
    for name, text in {"sbatch": SBATCH, "sacct": SACCT, "sinfo": SINFO, "srun": SRUN}.items():
        (tmp_path / "bin" / name).write_text(text, encoding="utf-8")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("STAND_IN", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


@pytest.mark.thorough
def test_a_run_of_two_shards_on_slurm(stand_in: Path, project_root: Path) -> None:
    """Snakemake hands over two shards and the merge, waits for each, and ends with the run.

    The merge comes last, and the clinical table of the run holds the five patients.
    """
    pytest.importorskip("snakemake_executor_plugin_slurm")
    profile = profile_of().model_dump()
    profile["run"]["papers"] = "alarm"
    (stand_in / "five.yaml").write_text(yaml.safe_dump(profile), encoding="utf-8")
    results = stand_in / "results" / "five"
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", str(project_root / "cluster" / "Snakefile"),
        "--profile", str(project_root / "cluster" / "slurm"), "--directory", str(stand_in / "work"),
        "--slurm-init-seconds-before-status-checks", "1", "--slurm-logdir", str(stand_in / "logs"),
        "--slurm-keep-successful-logs",
        "--config", f"profile={stand_in / 'five.yaml'}", f"results={results}", "shards=2", "until=cohort",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=500)
    logs = "\n".join(file.read_text() for file in (stand_in / "logs").rglob("*.log"))
    assert done.returncode == 0, done.stderr + logs
    comments = (stand_in / "comments").read_text().splitlines()
    assert sorted(comments[:2]) == ["rule_shard_wildcards_1", "rule_shard_wildcards_2"]
    assert comments[2:] == ["rule_merge"]
    assert "2 shards: patients of ALARM 5" in logs
    assert len((results / "cohort" / "alarm.csv").read_text().splitlines()) == 1 + 5
    records = sorted(file.name for file in (stand_in / "results" / "store" / "shards").glob("*/*.json"))
    assert records == ["1-of-2.json", "2-of-2.json"]
