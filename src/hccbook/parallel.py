"""One map over patients: parallel, resumable, and no patient stops the others."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from pydantic import BaseModel
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from hccbook.errors import HccbookError

FAILURE_COLUMNS = ("patient", "stage", "kind", "reason")
"""Columns of a failures table: the patient's key, where it failed, the exception's name, its message."""


_UMASK = os.umask(0)
os.umask(_UMASK)


def digest(*parts: object) -> str:
    """Hash of files' contents and of plain values, independent of where the files lie.

    Parameters
    ----------
    *parts : object
        A `pathlib.Path` counts with its content (a folder with the names and contents of its files),
        settings and mappings as sorted JSON, anything else as its ``repr``.

    Returns
    -------
    str
        First 32 hexadecimal digits of the SHA-256 sum.
    """
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            files = sorted(path for path in part.rglob("*") if path.is_file()) if part.is_dir() else [part]
            for file in files:
                total.update(file.name.encode() if part.is_dir() else b"file")
                total.update(hashlib.sha256(file.read_bytes()).digest())
        elif isinstance(part, BaseModel):
            total.update(part.model_dump_json().encode())
        elif isinstance(part, Mapping):
            total.update(json.dumps(part, sort_keys=True, default=str).encode())
        else:
            total.update(repr(part).encode())
        total.update(b"\x00")
    return total.hexdigest()[:32]


@contextlib.contextmanager
def atomic_path(final: Path) -> Iterator[Path]:
    """Temporary file beside `final` that takes its place when the block ends without an error.

    A run that is killed leaves either the whole file or none.
    The temporary name keeps the ending of `final`, which image writers go by.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    suffix = "".join(final.suffixes)
    handle, name = tempfile.mkstemp(prefix=".part-", suffix=suffix, dir=final.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp keeps others out; a result has the permissions of any other file.
        temporary.chmod(0o666 & ~_UMASK)
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)


def link(source: Path, target: Path) -> None:
    """Put `source` at `target`, without a second copy where the file system can.

    Parameters
    ----------
    source : pathlib.Path
        File of the store.
    target : pathlib.Path
        Where a run wants it; what is there already is replaced.
    """
    with atomic_path(target) as part:
        part.unlink()
        try:
            part.hardlink_to(source)
        except OSError:  # another file system, or one without hard links
            shutil.copyfile(source, part)


@dataclass(frozen=True)
class Outcome:
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


def _progress_console() -> Console | None:
    """Terminal for the progress bar, or None.

    A notebook's kernel has no terminal of its own and its output is kept in the notebook,
    so the runner hands it the path of the terminal in ``HCCBOOK_TERMINAL``.
    """
    terminal = os.environ.get("HCCBOOK_TERMINAL")
    if terminal:
        return Console(file=Path(terminal).open("w", encoding="utf-8"), force_terminal=True)
    return Console(stderr=True) if sys.stderr.isatty() else None


@contextlib.contextmanager
def progress_line(
    description: str, total: int, completed: int = 0, *, show: bool = True
) -> Iterator[Callable[[], None]]:
    """Progress bar on the terminal, where there is one.

    Parameters
    ----------
    description : str
        What advances.
    total, completed : int
        Steps in all, and those done already.
    show : bool
        Whether to show it at all.

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


def _guarded(task: Callable[[Any], Any], key: str, item: Any) -> tuple[str, Any, tuple[str, str] | None]:
    try:
        return key, task(item), None
    except HccbookError as error:
        return key, None, (type(error).__name__, str(error))
    except Exception as error:  # a patient must not stop the others, whatever goes wrong in it
        return key, None, (type(error).__name__, str(error) or "no message")


def map_patients(
    task: Callable[[Any], Any],
    items: Mapping[str, Any] | Iterable[tuple[str, Any]],
    *,
    stage: str,
    workers: int = 1,
    is_done: Callable[[Any], Any] | None = None,
    progress: bool = True,
) -> Outcome:
    """Apply `task` to every patient.

    Parameters
    ----------
    task : callable
        Takes one item and returns a small result (a path, a dict); importable, for worker processes.
        It writes its files through `atomic_path`.
    items : mapping or iterable of pairs
        Patient key to item.
    stage : str
        Name for the progress bar and the failures table.
    workers : int
        Processes side by side; the results do not depend on it.
    is_done : callable, optional
        Takes one item and returns its stored result, or None where there is none yet.
    progress : bool
        Whether to show a progress bar, where there is a terminal.

    Returns
    -------
    Outcome
    """
    pairs = list(items.items() if isinstance(items, Mapping) else items)
    found = {} if is_done is None else {key: is_done(item) for key, item in pairs}
    todo = [(key, item) for key, item in pairs if found.get(key) is None]
    done = {key: result for key, result in found.items() if result is not None}
    failed: dict[str, tuple[str, str]] = {}
    with (
        progress_line(stage, len(pairs), len(pairs) - len(todo), show=progress and bool(todo)) as advance,
        warnings.catch_warnings(),
    ):
        # A worker that grew by some hundred MB is replaced, and nothing is lost. Loading torch or compiled loops is
        # growth enough; where warnings are errors, this one would end the thread that all results come through.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs", category=UserWarning)
        pool = joblib.Parallel(n_jobs=workers, return_as="generator_unordered", pre_dispatch="2*n_jobs")
        for key, result, failure in pool(joblib.delayed(_guarded)(task, key, item) for key, item in todo):
            if failure is None:
                done[key] = result
            else:
                failed[key] = failure
            advance()
    order = [key for key, _ in pairs]
    rows = [(key, stage, *failed[key]) for key in order if key in failed]
    failures = pd.DataFrame(rows, columns=list(FAILURE_COLUMNS))
    return Outcome({key: done[key] for key in order if key in done}, failures, len(todo))
