"""What the package makes of damaged and hostile inputs: thousands of each kind, each drawn from its number.

A damaged file must end in an error of the package, or be read as an independent reading of the same bytes has it.
Another exception, a value that was misread, more than 20 s or 2 GB is a fault. Small files keep it to minutes.

    .venv/bin/python benchmarks/mutated_inputs.py                      # all kinds; --only manifest,nifti --number 300
    .venv/bin/python benchmarks/mutated_inputs.py --one nifti 4711     # one input again, with its traceback
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import json
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import mutated_kinds
import mutated_models
import mutations
import numpy as np

from hccbook.errors import HccbookError

KINDS = mutated_kinds.KINDS | mutated_models.KINDS
OUTPUT = Path(__file__).with_suffix(".json")
SEED = 15
SECONDS, GIGABYTES = 20, 2
SLICE = 500
REFUSED, READ, APART = "refused", "read right", "read, not compared"
FAULTS = MISREAD, OTHER, HANG, MEMORY, CRASH = "misread", "other exception", "hang", "memory", "crash"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), "1")


class Result(NamedTuple):
    """What came of an input: its number, one of the words above, what was said, seconds, and MB beyond the start."""

    number: int
    outcome: str
    said: str
    seconds: float
    megabytes: float


class _Late(BaseException):
    """An input that takes too long; no guard for exceptions may catch it."""


def _too_late(*_: object) -> None:
    raise _Late


def damage(name: str, number: int, sound: Path, folder: Path) -> None:
    """Put the input of a number, of a kind, into a folder that is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(sound, folder)
    random = np.random.default_rng([SEED, list(KINDS).index(name), number])
    ways = KINDS[name].mutations
    files = [file for file in sorted(folder.iterdir()) if file.suffix in ways]
    file = files[int(random.integers(len(files)))]
    file.write_bytes(mutations.mutated(file.read_bytes(), ways[file.suffix], random))


def outcome_of(name: str, folder: Path) -> tuple[str, str]:
    """What comes of an input, and what is said of it."""
    kind = KINDS[name]
    try:
        reading = kind.read(folder)
    except HccbookError as error:
        whole = all(map(str, (error.place, error.rule, error.hint)))
        return (
            (REFUSED, str(error)[:400])
            if whole and len(str(error)) < 3000
            else (OTHER, f"message of {len(str(error))}")
        )
    except MemoryError as error:
        return MEMORY, traceback.format_exc(limit=-2) or str(error)
    except Exception:
        return OTHER, traceback.format_exc(limit=-3)
    wrong = kind.misread(folder, reading)
    return (APART, "") if wrong is None else (MISREAD, wrong) if wrong else (READ, "")


def tried(name: str, numbers: Iterable[int], sound: Path, folder: Path) -> Iterator[Result]:
    """Results of inputs, one by one, in this process."""
    if not any(sound.iterdir()):
        KINDS[name].make(sound)
    for number in numbers:
        damage(name, number, sound, folder)
        before, start = _peak_megabytes(reset=True), time.perf_counter()
        outcome, said = outcome_of(name, folder)
        seconds, more = time.perf_counter() - start, _peak_megabytes() - before
        yield Result(number, outcome, said, seconds, more)


def _peak_megabytes(reset: bool = False) -> float:
    """Most memory that this process has held since the last reset (Linux)."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmHWM") / 1024


def _status(name: str) -> int:
    """KB of memory that the system says of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


def _child(name: str, first: int, last: int, sound: Path) -> None:
    """Try inputs and print a line each; a hang in a library ends the process."""
    signal.signal(signal.SIGALRM, _too_late)
    with tempfile.TemporaryDirectory() as folder:
        KINDS[name].make(Path(folder))  # what has to be imported is imported now
        resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") * 1024 + (GIGABYTES << 30),) * 2)
        for number in range(first, last):
            print(json.dumps(["begin", number]), flush=True)
            faulthandler.dump_traceback_later(SECONDS + 10, exit=True)
            signal.alarm(SECONDS)
            try:
                results = list(tried(name, [number], sound, Path(folder) / "input"))
            except _Late:
                results = [Result(number, HANG, traceback.format_exc(limit=-4), SECONDS, 0)]
            signal.alarm(0)
            print(json.dumps(results[0]), flush=True)
    faulthandler.cancel_dump_traceback_later()


def in_children(name: str, numbers: range, sound: Path) -> Iterator[Result]:
    """Results of inputs from processes of limited memory; one that dies is followed by another."""
    start = numbers.start
    while start < numbers.stop:
        call = [sys.executable, __file__, "--child", name, str(start), str(numbers.stop), str(sound)]
        ended = subprocess.run(call, capture_output=True, text=True, check=False, env=os.environ | ONE_THREAD)
        entries = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("[")]
        yield from (Result(*entry) for entry in entries if entry[0] != "begin")
        if ended.returncode == 0:
            return
        if not entries or entries[-1][0] != "begin":
            raise RuntimeError(ended.stderr)
        late = "Timeout" in ended.stderr
        yield Result(entries[-1][1], HANG if late else CRASH, ended.stderr[-2000:], 0, 0)
        start = entries[-1][1] + 1


def in_slices(name: str, count: int, sound: Path, done: Path, most: int) -> tuple[list[Result], int]:
    """Results of all slices that are done, after at most so many more of them; and how many more were made."""
    results: list[Result] = []
    made = 0
    for first in range(0, count, SLICE):
        file = done / f"{name}-{first}.json"
        if not file.is_file():
            if made == most:
                break
            made += 1
            file.write_text(json.dumps(list(in_children(name, range(first, min(count, first + SLICE)), sound))))
        results += [Result(*entry) for entry in json.loads(file.read_text())]
    return results, made


def summary(name: str, results: list[Result]) -> dict[str, Any]:
    """Row of the table."""
    counts = collections.Counter(result.outcome for result in results)
    return {
        "kind": name,
        "title": KINDS[name].title,
        "inputs": len(results),
        **{outcome: counts[outcome] for outcome in (REFUSED, READ, APART, *FAULTS)},
        "slowest_s": round(max(result.seconds for result in results), 2),
        "largest_mb": round(max(result.megabytes for result in results)),
        "messages": len({result.said.partition(", but found")[0] for result in results if result.outcome == REFUSED}),
    }


def main() -> None:
    """Try the inputs, print a table and the first faults, and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(KINDS))
    parser.add_argument("--number", type=int, help="inputs of each kind, in place of its own number")
    parser.add_argument("--done", type=Path, help="folder of what is done, to go on from; made new if absent")
    parser.add_argument("--slices", type=int, default=-1, help="end after so many slices")
    parser.add_argument("--one", nargs=2)
    parser.add_argument("--child", nargs=4)
    asked = parser.parse_args()
    if asked.child:
        name, first, last, sound = asked.child
        return _child(name, int(first), int(last), Path(sound))
    with tempfile.TemporaryDirectory() as folder:
        done, left, rows = asked.done or Path(folder), asked.slices, {}
        done.mkdir(exist_ok=True)
        for name in [asked.one[0]] if asked.one else asked.only.split(","):
            sound = Path(folder) / name
            sound.mkdir()
            KINDS[name].make(sound)
            if asked.one:
                damage(name, int(asked.one[1]), sound, Path(folder) / "input")
                return print(KINDS[name].read(Path(folder) / "input"))
            results, made = in_slices(name, asked.number or KINDS[name].number, sound, done, left)
            left -= made if left > 0 else 0
            if results:
                rows[name] = summary(name, results)
                _show(rows[name], results)
    if asked.number is None and asked.slices < 0:
        kept = json.loads(OUTPUT.read_text(encoding="utf-8"))["rows"] if OUTPUT.is_file() else []
        rows = {row["kind"]: row for row in kept} | rows
        machine = {"processor": platform.processor() or platform.machine(), "python": platform.python_version()}
        kept = {
            "machine": machine,
            "seed": SEED,
            "seconds": SECONDS,
            "gigabytes": GIGABYTES,
            "rows": [rows[name] for name in KINDS if name in rows],
        }
        OUTPUT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return None


def _show(row: dict[str, Any], results: list[Result]) -> None:
    """Print a row, and faults that differ by their last line."""
    print(json.dumps(row), flush=True)
    for outcome in FAULTS:
        seen = set()
        for result in (result for result in results if result.outcome == outcome):
            last = (result.said.strip().splitlines() or [""])[-1]
            key = "".join(letter for letter in last if not letter.isdigit())[:60]
            if key not in seen and len(seen) < 12:
                print(f"  {outcome} {row['kind']} {result.number}: {result.said.strip()[-900:]}", flush=True)
            seen.add(key)


if __name__ == "__main__":
    main()
