"""One map over patients: parallel, resumable, and no patient stops the others."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import joblib
import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from hccbook.cluster import outcomes_of
from hccbook.errors import SettingsError, anonymous_reason, raise_for_machine
from hccbook.store import reading_only

FAILURE_COLUMNS = ("patient", "stage", "kind", "reason")
"""Columns of a failures table: the patient's key, where it failed, the exception's name, its message."""

WORK_LOG = "HCCBOOK_WORK_LOG"
"""Variable of the environment that names the file of `log_work`."""

SCHEDULER = "HCCBOOK_SCHEDULER"
"""Variable of the environment that holds the address of a Dask cluster's scheduler, in place of this machine."""

_Outcome = tuple[str, Any, tuple[str, str] | None]

_MISSES = 8  # results that are not in the store, after which this process looks no further

_NO_MEMORY = "MemoryError"
_LOST = (
    "memory did not suffice for this patient alone, or the system ended the process. "
    "Give the machine more memory, or take larger voxels."
)


@dataclass(frozen=True)
class MapResult:
    """What a map over patients gave.

    Attributes
    ----------
    results : dict of str to object
        Result by patient key, in the order of the items given, failed patients left out.
    failures : pandas.DataFrame
        One row a failed patient, with `FAILURE_COLUMNS`.
    computed : int
        Patients computed now; the others were found in the store.
    """

    results: dict[str, Any]
    failures: pd.DataFrame
    computed: int


_SHARE = re.compile(r"(\d{1,6})/(\d{1,6})")


@dataclass(frozen=True)
class Share:
    """One of several parts that patients are divided into, by the number in their keys.

    Parameters
    ----------
    number : int
        From 1; 0 stands for what all parts need first, and is nobody.
    count : int
        How many parts there are.
    """

    number: int
    count: int

    @classmethod
    def of(cls, text: str) -> Self:
        """Share written as ``3/7``.

        Raises
        ------
        SettingsError
            If it is none.
        """
        named = _SHARE.fullmatch(text)
        share = cls(int(named[1]), int(named[2])) if named else cls(1, 0)
        if share.number > share.count or not share.count:
            hint = "The first of seven is 1/7; 0/7 makes what all seven need."
            raise SettingsError("--shard", "must be a number, a stroke and how many there are", text, hint)
        return share

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def has(self, key: str) -> bool:
        """Whether the patient P0001, P0002, ... is in this share; neighbours are in different ones."""
        return (int(key[1:]) - 1) % self.count == self.number - 1

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Within the block, maps over patients leave out whoever is in another share."""
        token = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(token)


_CURRENT: ContextVar[Share | None] = ContextVar("share", default=None)


def _progress_console() -> Console | None:
    """Terminal for the progress bar, or None; a notebook's kernel, which has none, is handed its path by the runner."""
    terminal = os.environ.get("HCCBOOK_TERMINAL")
    if terminal:
        return Console(file=Path(terminal).open("w", encoding="utf-8"), force_terminal=True)
    return Console(stderr=True) if sys.stderr.isatty() else None


@contextlib.contextmanager
def progress_line(
    description: str, total: int, completed: int = 0, *, show: bool = True
) -> Iterator[Callable[[], None]]:
    """Progress bar on the terminal, where there is one, which stands at `completed` of `total` steps.

    Yields
    ------
    callable
        To be called after each step.
    """
    console = _progress_console() if show else None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=console is None) as bar:
        line = bar.add_task(description, total=total, completed=completed)
        yield lambda: bar.advance(line)


def log_work(step: str, patients: int, computed: int) -> None:
    """Say on how many patients a step worked, and how many of them were not in the store, to whoever asked.

    The runner asks, by naming a file in the environment (`WORK_LOG`).
    """
    file = os.environ.get(WORK_LOG)
    if file:
        with Path(file).open("a", encoding="utf-8") as log:
            log.write(f"{step},{patients},{computed}\n")


def failure_of(error: Exception) -> tuple[str, str]:
    """Kind and reason of a patient's failure, in words that name no person.

    Raises
    ------
    StorageError
        If the error says that nothing more can be written, which is no patient's fault.
    """
    try:
        raise_for_machine(error)
    except MemoryError:
        return _NO_MEMORY, _LOST
    return type(error).__name__, anonymous_reason(error)


def _guarded(task: Callable[[Any], Any], key: str, item: Any) -> _Outcome:
    try:
        return key, task(item), None
    except Exception as error:  # a patient must not stop the others, whatever goes wrong in it
        return key, None, failure_of(error)


def _side_by_side(task: Callable[[Any], Any], pairs: Sequence[tuple[str, Any]], workers: int) -> Iterator[_Outcome]:
    pool = joblib.Parallel(n_jobs=workers, return_as="generator_unordered", pre_dispatch="2*n_jobs")
    return pool(joblib.delayed(_guarded)(task, key, item) for key, item in pairs)


def _outcomes(task: Callable[[Any], Any], pairs: Sequence[tuple[str, Any]], workers: int) -> Iterator[_Outcome]:
    """Result or failure of every patient, in any order.

    A cluster that the environment names does the work, otherwise this machine.
    Where memory does not suffice here, or the system ends a worker, fewer work side by side; in the end each patient
    has a process alone, and only the one who ends that is lost.
    """
    scheduler = os.environ.get(SCHEDULER)
    if scheduler and pairs:
        work = functools.partial(_guarded, task)
        yield from outcomes_of(work, pairs, scheduler, (_NO_MEMORY, _LOST), _named(task).__module__)
        return
    if workers == 1:
        yield from _side_by_side(task, pairs, 1)
        return
    left = dict(pairs)
    while workers > 1 and left:
        with contextlib.suppress(BrokenProcessPool):
            for outcome in _side_by_side(task, list(left.items()), workers):
                _, _, failure = outcome
                if failure is None or failure[0] != _NO_MEMORY:
                    del left[outcome[0]]
                    yield outcome
        workers //= 2
    for pair in left.items():
        try:
            # Of two processes one has nothing to do; with a single one the task would run in this process.
            yield from _side_by_side(task, [pair], 2)
        except BrokenProcessPool:
            yield pair[0], None, (_NO_MEMORY, _LOST)


def _stored_results(task: Callable[[Any], Any], pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Results that follow from the store alone, up to where several are not there: the others' workers look."""
    done: dict[str, Any] = {}
    for position, (key, item) in enumerate(pairs):
        if position - len(done) == _MISSES:
            break
        # What fails here fails again in its turn, and is told there.
        with contextlib.suppress(Exception), reading_only():
            done[key] = task(item)
    return done


def _looking(task: Callable[[Any], Any], item: Any) -> tuple[Any, bool]:
    """Result of a task, and whether it had to be made, since it was not in the store."""
    with contextlib.suppress(Exception), reading_only():
        return task(item), False
    return task(item), True


def _named(task: Callable[[Any], Any]) -> Any:
    """Function that a task is."""
    while isinstance(task, functools.partial):
        task = task.args[0] if task.func is _looking else task.func
    return task


def is_side_by_side(workers: int) -> bool:
    """Whether a map has several processes, here or on a cluster."""
    return workers > 1 or bool(os.environ.get(SCHEDULER))


def map_patients(
    task: Callable[[Any], Any],
    items: Mapping[str, Any] | Iterable[tuple[str, Any]],
    *,
    stage: str,
    workers: int = 1,
    stored: bool = False,
    progress: bool = True,
) -> MapResult:
    """Apply `task` to every patient.

    Parameters
    ----------
    task : callable
        Importable, for worker processes; returns a small result and writes its files through `hccbook.store`.
    items : mapping or iterable of pairs
        Patient key to item.
    stage : str
        Name for the progress bar and the failures table.
    workers : int
        Processes side by side; the results do not depend on it. A cluster has its own (`SCHEDULER`).
    stored : bool
        Whether the task makes whatever it makes through `hccbook.store.Store.get_or_make`: results that are in the
        store are then taken without a worker.
    progress : bool
        Whether to show a progress bar, where there is a terminal.

    Raises
    ------
    StorageError
        If results cannot be written.
    ClusterError
        If there is a cluster, and it is lost.
    """
    share = _CURRENT.get()
    given = items.items() if isinstance(items, Mapping) else items
    pairs = [(key, item) for key, item in given if share is None or share.has(key)]
    done = _stored_results(task, pairs) if stored else {}
    todo = [(key, item) for key, item in pairs if key not in done]
    work = functools.partial(_looking, task) if stored else task
    computed = 0
    failed: dict[str, tuple[str, str]] = {}
    with (
        progress_line(stage, len(pairs), len(pairs) - len(todo), show=progress and bool(todo)) as advance,
        warnings.catch_warnings(),
    ):
        # A worker that grew by some hundred MB is replaced, and nothing is lost. Loading torch or compiled loops is
        # growth enough; where warnings are errors, this one would end the thread that all results come through.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs", category=UserWarning)
        for key, result, failure in _outcomes(work, todo, workers):
            if failure is not None:
                failed[key] = failure
            else:
                done[key], is_made = result if stored else (result, True)
            computed += failure is not None or is_made
            advance()
    order = [key for key, _ in pairs]
    rows = [(key, stage, *failed[key]) for key in order if key in failed]
    failures = pd.DataFrame(rows, columns=list(FAILURE_COLUMNS))
    if stored:
        log_work(_named(task).__qualname__, len(pairs), computed)
    return MapResult({key: done[key] for key in order if key in done}, failures, computed)
