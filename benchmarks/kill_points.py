"""Runs that are ended at random moments, again and again, until they reach their end: the same bytes as one left alone?

    .venv/bin/python benchmarks/kill_points.py FOLDER                  # to the end, some 20 minutes on one core
    .venv/bin/python benchmarks/kill_points.py FOLDER --seconds 240    # for so long; a later call goes on

Two runs: the profile smoke with one phase and ALARM alone, which trains its network, and one on own patients, written
as a hospital's would lie, with given masks. Each is made once undisturbed, and then ended `KILLS` times in turns of
three ways: SIGKILL to the command alone, as to one program that takes too much memory; SIGKILL to all processes at
once, as a power cut would; SIGTERM to the command. The moments are drawn uniformly, by seed, from the first
`SHARE` of what the undisturbed run takes. When a run reaches its end before, the next one begins anew.
Then every file of the run's folder and of the store is compared. What tells of times is left out: Snakemake's own
records, costs.csv, durations in the notebooks and the sums of the notebooks, and the remembered sums of files.
Writes `benchmarks/kill_points.json`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")

import psutil
import yaml
from null_cohort import machine

from hccbook import phantom
from hccbook.run import profile_file
from hccbook.settings import CohortSettings

KILLS = 21
SHARE = 0.4
SEED = 15
WAYS = ("killed alone", "all killed", "told to stop")
RESULTS = Path(__file__).with_suffix(".json")

_SMALLER = {
    "run": {"phases": "venous", "papers": "alarm"},
    "cohort": {"dicom_patients": 2},
    "features": {"alarm_filters": "square", "fine_tune_epochs": 1, "perturbation_patients": 0},
    "segmentation": {"contact_sheets": False, "pretraining_iterations": 30},
    "alarm": {"bootstrap_replicates": 100},
}
_OWN = {
    "run": {"synthetic": False},
    "cohort": {"segmentation_patients": 0},
    "segmentation": {"mask_source": "manifest"},
}
_OF_TIMES = ("costs.csv", "ro-crate-metadata.json", ".lock", ".snakemake", "contents")


def settings(kind: str) -> dict[str, dict[str, object]]:
    """Settings of a run, by section."""
    content = yaml.safe_load(profile_file("smoke").read_text(encoding="utf-8"))
    for changes in (_SMALLER, _OWN if kind == "own" else {}):
        for section, values in changes.items():
            content[section] = content.get(section, {}) | values
    return content


def command(folder: Path, kind: str) -> list[str]:
    """Call of a run, always in one place, since notebooks say where they are executed; its inputs are made once."""
    profile = folder / kind / "smoke.yaml"
    if not profile.is_file():
        profile.parent.mkdir(parents=True)
        if kind == "own":
            sizes = {
                name: value for name, value in settings(kind)["cohort"].items() if name.startswith(("alarm", "ac"))
            }
            phantom.write_cohort(folder / kind / "ct", "alarm", CohortSettings(**sizes, dicom_patients=2))
        profile.write_text(yaml.safe_dump(settings(kind)), encoding="utf-8")
    words = ["run", "--profile", str(profile), "--out", str(folder / kind / "results" / "run"), "--jobs", "1"]
    words += ["--until", "figures_and_tables"]
    words += ["--manifest", str(folder / kind / "ct" / "manifest.csv")] if kind == "own" else []
    return [sys.executable, "-m", "hccbook.cli", *words]


def contents(results: Path) -> dict[str, str]:
    """Hash of every file beside those of times."""
    found = {}
    for file in sorted(results.rglob("*")):
        name = file.relative_to(results)
        if not file.is_file() or set(name.parts) & set(_OF_TIMES):
            continue
        content = file.read_bytes()
        if file.suffix == ".ipynb":
            content = _without_times(content)
        if file.name.endswith(".files.json"):
            sums = json.loads(content)
            content = json.dumps({name: known for name, known in sums.items() if not name.endswith(".ipynb")}).encode()
        if file.name.endswith(".inputs.json"):
            # A stage may have been executed to its end twice, the second time without a reason.
            content = json.dumps(json.loads(content)["inputs"]).encode()
        found[name.as_posix()] = hashlib.sha256(content).hexdigest()
    return found


def _without_times(notebook: bytes) -> bytes:
    content = json.loads(notebook)
    content["metadata"].pop("papermill", None)
    for cell in content["cells"]:
        cell.pop("id", None)
        for name in ("papermill", "execution"):
            cell["metadata"].pop(name, None)
    return json.dumps(content).encode()


def step_of(process: psutil.Process) -> str:
    """Stage that a run is at."""
    with suppress(psutil.Error):
        for child in process.children(recursive=True):
            with suppress(psutil.Error):
                words = child.cmdline()
                if "hccbook.cli" in words and "stage" in words:
                    return words[words.index("stage") + 1]
    return "starting, or between two stages"


def started(words: list[str]) -> subprocess.Popen:
    """A run in a group of its own."""
    return subprocess.Popen(words, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def end(process: subprocess.Popen, way: str) -> None:
    """End a run in one of `WAYS`."""
    tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    if way == "told to stop":
        process.terminate()
    elif way == "killed alone":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        for one in tree:
            with suppress(psutil.Error):
                one.kill()
    process.communicate()


class Experiment:
    """Kill points of one kind of run; what is known so far lies in its folder."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder, self.kind = folder, kind
        self.results = folder / kind / "results"
        self.file = folder / f"{kind}.json"
        self.known = json.loads(self.file.read_text()) if self.file.is_file() else {"kills": [], "ends": []}

    def save(self) -> None:
        """Keep what is known."""
        self.file.write_text(json.dumps(self.known, indent=1))

    @property
    def is_done(self) -> bool:
        """Whether there were kills enough, and the last of these runs has reached its end."""
        enough = len(self.known["kills"]) >= KILLS
        return enough and not self.results.exists()

    def step(self) -> None:
        """The undisturbed run, or one more start of a disturbed one."""
        words, begun = command(self.folder, self.kind), time.monotonic()
        if "undisturbed" not in self.known:
            shutil.rmtree(self.results, ignore_errors=True)
            self._finish(started(words))
            self.known |= {"seconds": round(time.monotonic() - begun, 1), "undisturbed": contents(self.results)}
            shutil.rmtree(self.results)
        elif len(self.known["kills"]) >= KILLS:
            self._finish(started(words))
            self._compare()
        else:
            self._disturb(words)
        self.save()

    def _disturb(self, words: list[str]) -> None:
        number = len(self.known["kills"])
        # Drawn anew for each start: one that reached its end before its moment is none.
        moment = random.Random(f"{SEED} {self.kind} {number} {len(self.known['ends'])}").uniform(
            0.5, SHARE * self.known["seconds"]
        )
        process = started(words)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            way = WAYS[number % len(WAYS)]
            at = step_of(psutil.Process(process.pid))
            end(process, way)
            self.known["kills"].append({"after_s": round(moment, 2), "way": way, "during": at})
            return
        self._finish(process)
        self._compare()

    def _finish(self, process: subprocess.Popen) -> None:
        _, said = process.communicate()
        if process.returncode:
            raise SystemExit(f"{self.kind}: {said}")

    def _compare(self) -> None:
        left, wanted = contents(self.results), self.known["undisturbed"]
        differ = sorted(name for name in {*left, *wanted} if left.get(name) != wanted.get(name))
        before = sum(one["kills"] for one in self.known["ends"])
        kills = len(self.known["kills"]) - before
        self.known["ends"].append({"kills": kills, "files": len(wanted), "differ": differ})
        print(
            f"{self.kind}: end after {kills} kills, {len(differ)} of {len(wanted)} files differ", differ[:5], flush=True
        )
        kept = self.results.with_name(f"end_{len(self.known['ends'])}")
        self.results.rename(kept) if differ else shutil.rmtree(self.results)


def result(experiments: list[Experiment]) -> dict[str, object]:
    """What is committed."""
    rows = []
    for one in experiments:
        kills, ends = one.known["kills"], one.known["ends"]
        rows.append(
            {
                "run": one.kind,
                "seconds_undisturbed": one.known["seconds"],
                "kills": len(kills),
                "ways": dict(Counter(kill["way"] for kill in kills)),
                "during": dict(Counter(kill["during"] for kill in kills)),
                "runs": len(ends),
                "files": len(one.known["undisturbed"]),
                "differ": sorted({name for end_ in ends for name in end_["differ"]}),
                "points": kills,
            }
        )
    return {
        "machine": machine() | {"hccbook": version("hccbook")},
        "seed": SEED, "share": SHARE, "ways": list(WAYS), "runs": rows,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="folder to work in; a later call goes on there")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing new after so long")
    options = parser.parse_args()
    begun = time.monotonic()
    experiments = [Experiment(options.folder.resolve(), kind) for kind in ("simulated", "own")]
    for one in experiments:
        while not one.is_done and time.monotonic() - begun < options.seconds:
            one.step()
            print(f"{one.kind}: {len(one.known['kills'])} kills, {time.monotonic() - begun:.0f} s", flush=True)
    if all(one.is_done for one in experiments):
        RESULTS.write_text(json.dumps(result(experiments), indent=1) + "\n")
        print(f"Written: {RESULTS.name}")


if __name__ == "__main__":
    main()
