"""Patients' tasks on a Dask cluster: paths travel, not images, and what a worker or the scheduler loses is done again.

Workers must see the folders of the run under the same paths, and have the same version of this package.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import platform
import queue
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hccbook.errors import HccbookError
from hccbook.provenance import code_of

if TYPE_CHECKING:
    from distributed import Client, Future

RUN_FOLDER = "HCCBOOK_RUN_FOLDER"
"""Variable of the environment that names the folder of the run, which all workers must see."""

RETRIES = 2
"""How often a patient is tried again for whom anything but a rule of this package failed, each time alone."""

TASK_S = 10.0
"""Time that a task should take, s: of patients who take less it has many."""

_AHEAD = 2  # tasks a worker, so that it has the next when it is done
_PATIENCE_S, _LOOKED_EVERY_S = 60.0, 1.0

_START = "Start it (dask scheduler) and its workers; what is done is kept."
_SAME_CODE = "Start the workers from the environment and the clone that the run is started from."

_Outcome = tuple[str, Any, tuple[str, str] | None]
_Work = Callable[[str, Any], _Outcome]


class ClusterError(HccbookError):
    """A cluster that cannot be reached, was lost, or cannot do the work."""


class _SchedulerLostError(ClusterError):
    """The scheduler answers no more; one at the same address may."""


def _without_scheduler() -> _SchedulerLostError:
    return _SchedulerLostError("cluster", "its scheduler must answer", "none any more", _START)


@dataclass(frozen=True)
class _Needs:
    """What a worker must have: the code of the task, and the folder of the run."""

    module: str
    code: str
    folder: str
    seen_by: str

    def check(self) -> None:
        place = f"worker on {platform.node()}"
        if _code(self.module) != self.code:
            raise ClusterError(place, "must have the code of this run", f"another {self.module}", _SAME_CODE)
        if self.seen_by and not Path(self.folder, self.seen_by).is_file():
            hint = "Give --out a folder that all machines share, under one path."
            raise ClusterError(place, "must see the folder of the run", "no such folder, or another one", hint)


@functools.cache
def _code(module: str) -> str:
    return code_of(module).digest


@contextlib.contextmanager
def _needs(module: str) -> Iterator[_Needs]:
    folder = os.environ.get(RUN_FOLDER, "")
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".seen-") if folder else contextlib.nullcontext() as seen:
        yield _Needs(module, _code(module), folder, Path(seen.name).name if seen else "")


def _computed(work: _Work, pairs: Sequence[tuple[str, Any]], needs: _Needs) -> tuple[float, list[_Outcome]]:
    """Outcomes of some patients, and the time that they took, s; what a worker does."""
    needs.check()
    start = time.monotonic()
    outcomes = [work(key, item) for key, item in pairs]
    return time.monotonic() - start, outcomes


@contextlib.contextmanager
def connected(address: str) -> Iterator[Client]:
    """Client of the scheduler at `address`, for which, and for a worker, a minute is waited.

    Raises
    ------
    ClusterError
        If there is none, or a worker has several threads.
    """
    from distributed import Client

    # What its threads log would stand in the notebook; what ends the work is an error.
    for name in ("distributed", "distributed.client", "distributed.core", "tornado", "tornado.application", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    place = f"--scheduler {address}"
    try:
        client = Client(address, timeout=_PATIENCE_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ClusterError(place, "must be that of a Dask scheduler", "none that answers", _START) from error
    with client:
        since = time.monotonic()
        while not (workers := _workers(client)) and time.monotonic() - since < _PATIENCE_S:
            time.sleep(_LOOKED_EVERY_S)
        if not workers:
            raise ClusterError(place, "must have a worker", "none", f"Run dask worker {address} --nthreads 1.")
        if max(workers.values()) > 1:
            hint = "Run dask worker with --nthreads 1 and --nworkers for the cores: libraries keep what threads share."
            raise ClusterError(place, "workers must have one thread each", max(workers.values()), hint)
        yield client


def _workers(client: Client) -> dict[str, int]:
    """Threads by worker.

    Raises
    ------
    _SchedulerLostError
        If the scheduler does not answer.
    """
    try:
        return dict(client.nthreads())
    except (OSError, TimeoutError, ValueError) as error:
        raise _without_scheduler() from error


def outcomes_of(
    work: _Work, pairs: Sequence[tuple[str, Any]], address: str, lost: tuple[str, str], module: str
) -> Iterator[_Outcome]:
    """Outcome of every patient, in any order.

    A task has as many patients as take `TASK_S`. A patient whose worker ends is tried again with the others of the
    task, then alone; whoever ends workers alone is lost. When the scheduler is lost, one at the same address is waited
    for, and gets what is not done.

    Parameters
    ----------
    work : callable
        Takes key and item and returns the outcome: key, result, and the kind and reason of a failure, of which one is
        None.
    pairs : sequence of (str, object)
        Patient key and item.
    address : str
        Scheduler, such as ``tcp://10.0.0.1:8786``.
    lost : tuple of str
        Kind and reason of the failure of who ends workers.
    module : str
        Where the task lives, whose code a worker must have.

    Raises
    ------
    ClusterError
        If the cluster is lost for longer than a minute, or cannot do the work.
    StorageError
        If results cannot be written.
    """
    left = dict(pairs)
    tried: Counter[str] = Counter()
    while left:
        with contextlib.suppress(_SchedulerLostError), connected(address) as client, _needs(module) as needs:
            for outcome in _Line(client, work, needs, left, tried, lost).outcomes():
                del left[outcome[0]]
                yield outcome


class _Line:
    """Patients who wait, and the tasks that are out."""

    def __init__(
        self,
        client: Client,
        work: _Work,
        needs: _Needs,
        items: dict[str, Any],
        tried: Counter[str],
        lost: tuple[str, str],
    ) -> None:
        self.client, self.work, self.needs, self.lost = client, work, needs, lost
        self.items, self.tried = items, tried
        self.waiting = deque(items)
        self.out: dict[str, tuple[Future, list[str]]] = {}
        self.answers: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self.at_once = 1

    def outcomes(self) -> Iterator[_Outcome]:
        """Outcome of everybody, as they come."""
        while self.waiting or self.out:
            workers = max(len(_workers(self.client)), 1)
            while self.waiting and len(self.out) < workers * _AHEAD:
                self._hand_out(self._next(workers))
            future = self._answer()
            _, keys = self.out.pop(future.key)
            for outcome in self._result(future, keys):
                key, _, failure = outcome
                if failure is not None and self._again(key, failure):
                    self.waiting.append(key)
                else:
                    yield outcome

    def _next(self, workers: int) -> list[str]:
        """Who goes into the next task: whoever is tried again alone, others together, but so that all workers work."""
        keys = [self.waiting.popleft()]
        most = min(self.at_once, 1 + len(self.waiting) // (workers * _AHEAD))
        while self.waiting and len(keys) < most and not self.tried[keys[0]] and not self.tried[self.waiting[0]]:
            keys.append(self.waiting.popleft())
        return keys

    def _hand_out(self, keys: list[str]) -> None:
        pairs = [(key, self.items[key]) for key in keys]
        future = self.client.submit(_computed, self.work, pairs, self.needs, pure=False)
        self.out[future.key] = future, keys
        future.add_done_callback(self.answers.put)

    def _answer(self) -> Future:
        """Next task that is done."""
        alone_since = time.monotonic()
        while True:
            with contextlib.suppress(queue.Empty):
                return self.answers.get(timeout=_LOOKED_EVERY_S)
            if self.client.status != "running":
                raise _without_scheduler()
            if _workers(self.client):
                alone_since = time.monotonic()
            elif time.monotonic() - alone_since > _PATIENCE_S:
                hint = "Start workers and give the same command again; what is done is kept."
                raise ClusterError("cluster", "must have a worker", "none any more", hint)

    def _result(self, future: Future, keys: list[str]) -> list[_Outcome]:
        from distributed import KilledWorker

        try:
            seconds, outcomes = future.result()
        except KilledWorker:
            # Somebody in the task ended several workers: each alone shows who.
            self.tried.update(dict.fromkeys(keys, RETRIES if len(keys) == 1 else 0))
            return [(key, None, self.lost) for key in keys]
        except (CancelledError, TimeoutError) as error:
            raise _without_scheduler() from error
        except (ImportError, AttributeError) as error:
            hint = "Start the workers from the environment and the clone that the run is started from."
            raise ClusterError(
                "cluster", "workers must have the code of this run", type(error).__name__, hint
            ) from error
        self.at_once = max(1, round(TASK_S / max(seconds / len(keys), 1e-3)))
        return outcomes

    def _again(self, key: str, failure: tuple[str, str]) -> bool:
        """Whether a patient is tried again: a rule that their files break would be broken again."""
        kind, _ = failure
        if kind in _own_kinds() or self.tried[key] >= RETRIES:
            return False
        self.tried[key] += 1
        return True


@functools.cache
def _own_kinds() -> frozenset[str]:
    waiting, kinds = [HccbookError], set()
    while waiting:
        kind = waiting.pop()
        kinds.add(kind.__name__)
        waiting += kind.__subclasses__()
    return frozenset(kinds)
