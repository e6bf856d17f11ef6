"""A real Dask cluster on this machine: workers and schedulers that end, and patients who end them."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from few_patients import profile_of, run_stages

from hccbook import cluster
from hccbook.cluster import RUN_FOLDER, ClusterError
from hccbook.errors import DataError
from hccbook.parallel import SCHEDULER, map_patients
from hccbook.pipeline.run_folder import clear
from hccbook.run import RunPaths


class Cluster:
    """Scheduler and workers as a user starts them."""

    def __init__(self, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.log = log
        self.started: list[subprocess.Popen] = []

    def _start(self, *words: str) -> subprocess.Popen:
        # A worker finds the tasks of this folder, as it would those of an installed package.
        paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(paths),
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
        }
        with self.log.open("ab") as log:
            started = subprocess.Popen(
                [sys.executable, "-m", "dask", *words, "--no-dashboard"], env=environment, stdout=log, stderr=log
            )
        self.started.append(started)
        return started

    def start(self, threads: int = 1) -> Cluster:
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", str(self.port))
        self.worker = self._start("worker", self.address, "--nthreads", str(threads))
        return self

    def kill_worker(self) -> None:
        """As the system does when memory runs out; the nanny above it starts another."""
        for process in psutil.Process(self.worker.pid).children(recursive=True):
            process.kill()

    def kill_scheduler(self) -> None:
        self.scheduler.kill()

    def end(self) -> None:
        for process in self.started:
            children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            for one in (*children, process):
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            process.wait()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files of a run on this machine alone."""
    return run_stages(RunPaths(tmp_path_factory.mktemp("one") / "run"), profile_of("venous"))


@pytest.fixture
def on_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    pytest.importorskip("distributed")
    started = Cluster(tmp_path / "dask.log")
    monkeypatch.setenv(SCHEDULER, started.address)
    monkeypatch.setenv(RUN_FOLDER, str(tmp_path))
    yield started
    started.end()


def square(number: int) -> int:
    return number * number


def end_some_workers(number: int) -> int:
    if number == 3:
        os._exit(1)
    return number


def refuse_once(number: int, marks: Path) -> int:
    """One patient breaks a rule, another meets a disk that is away for a moment."""
    mark = marks / f"{number}-{time.monotonic_ns()}"
    mark.touch()
    if number == 2:
        raise DataError("P0002", "must not be two", number, "Take another.")
    if number == 3 and len(list(marks.glob("3-*"))) == 1:
        raise OSError(116, "Stale file handle")
    return number


def patients(count: int) -> dict[str, int]:
    return {f"P{number:04d}": number for number in range(1, count + 1)}


# --- without a cluster ------------------------------------------------------------------------------------------------


def test_a_cluster_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens at the port: a message with the address and the hint, after the patience is over."""
    monkeypatch.setattr(cluster, "_PATIENCE_S", 0.5)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv(SCHEDULER, f"tcp://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(ClusterError, match=r"--scheduler tcp://127\.0\.0\.1:\d+: must be that of a Dask scheduler"):
            map_patients(square, patients(2), stage="test")


def test_a_plain_run_loads_no_dask() -> None:
    """Importing the map over patients imports neither dask nor distributed."""
    code = "import sys, hccbook.parallel; sys.exit('dask' in sys.modules or 'distributed' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_short_patients_share_a_task() -> None:
    """Half a second each: twenty to a task of ten seconds, but no more than leaves every worker two tasks."""
    line = cluster._Line(None, None, None, patients(1000), cluster.Counter(), ("", ""))
    line.at_once = round(cluster.TASK_S / 0.5)
    assert len(line._next(workers=2)) == 20
    assert len(line._next(workers=100)) == 1 + 979 // 200
    line.tried["P0026"] = 1
    assert line._next(workers=2) == ["P0026"], "who is tried again has a task alone"
    assert len(line._next(workers=2)) == 20


# --- with one ---------------------------------------------------------------------------------------------------------


KINDS = ("preprocessing", "radiomics")


def when(there: Callable[[], bool], then: Callable[[], object]) -> threading.Thread:
    """Do something as soon as something is there, while the test goes on."""

    def watch() -> None:
        while not there():
            time.sleep(0.02)
        then()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


@pytest.mark.thorough
@pytest.mark.parametrize("comes_back", [True, False])
def test_a_run_whose_worker_and_scheduler_are_killed_is_the_same_run(
    undisturbed: dict[str, bytes],
    on_cluster: Cluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    comes_back: bool,
) -> None:
    """A worker is killed while images are preprocessed, the scheduler while features are taken: the same bytes.

    The run waits for a scheduler at the same address. If none comes it ends, and a second call goes on from there.
    """
    on_cluster.start()
    run = RunPaths(tmp_path / "two" / "run")

    def lose_scheduler() -> None:
        if not comes_back:
            monkeypatch.setattr(cluster, "_PATIENCE_S", 3.0)
        on_cluster.kill_scheduler()
        if comes_back:
            on_cluster.start()

    one_is_done = {kind: lambda kind=kind: any((run.store.root / kind).glob("*/sums.json")) for kind in KINDS}
    events = [
        when(one_is_done["preprocessing"], on_cluster.kill_worker),
        when(one_is_done["radiomics"], lose_scheduler),
    ]
    if comes_back:
        left = run_stages(run, profile_of("venous"))
        # What the killed ones had half-made is cleared away by the next start, as below.
        assert {name: content for name, content in left.items() if ".part-" not in name} == undisturbed
    else:
        with pytest.raises(ClusterError, match="what is done is kept"):
            run_stages(run, profile_of("venous"))
        on_cluster.end()
        on_cluster.start()
        monkeypatch.setattr(cluster, "_PATIENCE_S", 60.0)
        clear(run)
        assert run_stages(run, profile_of("venous")) == undisturbed
    for thread in events:
        thread.join(timeout=10)
        assert not thread.is_alive(), "something was killed"


@pytest.mark.thorough
def test_patients_on_a_cluster(on_cluster: Cluster, tmp_path: Path) -> None:
    """Results in the order of the items; a broken rule is told at once, a disk that was away is tried again."""
    on_cluster.start()
    assert list(map_patients(square, patients(50), stage="test").results.values()) == [n * n for n in range(1, 51)]
    marks = tmp_path / "marks"
    marks.mkdir()
    outcome = map_patients(functools.partial(refuse_once, marks=marks), patients(4), stage="test")
    assert list(outcome.results) == ["P0001", "P0003", "P0004"]
    assert outcome.failures["kind"].tolist() == ["DataError"]
    assert sorted(file.name[0] for file in marks.iterdir()) == ["1", "2", "3", "3", "4"]
    # Whoever ends workers is lost, and nobody else.
    outcome = map_patients(end_some_workers, patients(4), stage="test")
    assert list(outcome.results) == ["P0001", "P0002", "P0004"]
    assert outcome.failures[["patient", "kind"]].to_numpy().tolist() == [["P0003", "MemoryError"]]


@pytest.mark.thorough
def test_a_worker_that_sees_another_folder_is_refused(on_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it makes would stay on its machine; so it is told where the run is, and refused."""
    on_cluster.start(threads=2)
    with pytest.raises(ClusterError, match=r"workers must have one thread each, but found 2"):
        map_patients(square, patients(2), stage="test")
    needs = cluster._Needs(__name__, "other code", "", "")
    with pytest.raises(ClusterError, match=r"must have the code of this run, but found another test_cluster"):
        needs.check()
    needs = cluster._Needs(__name__, cluster._code(__name__), "/nowhere", "seen")
    with pytest.raises(ClusterError, match="must see the folder of the run, but found no such folder"):
        needs.check()
