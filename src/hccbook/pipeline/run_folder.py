"""The folder of a run: one that can be written, one run at a time, cleared of what killed runs left; and its end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TextIO

import psutil

from hccbook.errors import SettingsError
from hccbook.run import RunPaths, project_root
from hccbook.store import clear_leftovers

_LOCK = ".lock"
_ODD = re.compile(r"[{}\x00-\x1f\x7f]")
_GRACE_S, _ORPHANS_S, _WATCHED_EVERY_S = 10.0, 30.0, 0.5

RUNNER_VARIABLE = "HCCBOOK_RUNNER"
"""Variable of the environment that holds the number of the process that runs the stages."""


@contextlib.contextmanager
def claimed(run: RunPaths) -> Iterator[TextIO]:
    """Have the folder of a run, made if absent, for this process alone.

    The system lets go of it when the process ends, however that happens, and all who have the file open with it.

    Yields
    ------
    file
        What is locked.

    Raises
    ------
    SettingsError
        If it cannot be the folder of a run or cannot be written, or another run has it.
    """
    _refuse_odd(run.root)
    try:
        run.root.mkdir(parents=True, exist_ok=True)
        lock = (run.root / _LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        hint = "Name a folder that you may write, with --out."
        raise SettingsError("--out", "must be a folder that can be written", error.strerror, hint) from error
    with lock:
        _lock(lock, run.root.name)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        clear(run)
        yield lock


def _lock(lock: TextIO, name: str) -> None:
    """Lock a file; what a run that was killed has left running is waited for, since it ends by itself."""
    patience = time.monotonic() + _ORPHANS_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read()
            if is_running(holder) or time.monotonic() > patience:
                hint = "Wait for it or end it, or give this run a folder of its own with --out."
                found = f"process {holder or 'unknown'}"
                raise SettingsError(name, "one run at a time may work in a folder", found, hint) from error
        except OSError:  # a file system without locks
            return
        time.sleep(0.2)


def is_running(process: str) -> bool:
    """Whether there is a process of this number that has not ended."""
    try:
        return psutil.Process(int(process)).status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, ValueError):
        return False


def end_with_runner() -> None:
    """Have this process, and all that it started, end when the run that it works for is no more, even if killed."""
    runner = os.environ.get(RUNNER_VARIABLE)
    if runner:
        threading.Thread(target=_watch, args=(runner,), daemon=True).start()


def _watch(runner: str) -> None:
    while is_running(runner):
        time.sleep(_WATCHED_EVERY_S)
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()
    os._exit(1)


def clear(run: RunPaths) -> None:
    """Remove what processes that are no more left half-made, in the run's folder and in the store."""
    for folder in (run.root, run.control.root, run.store.root):
        clear_leftovers(folder)


def _refuse_odd(folder: Path) -> None:
    hint = "Choose another one with --out."
    odd = _ODD.findall(str(folder))
    if odd:
        raise SettingsError("--out", "must have no braces and no control characters in it", repr(odd[0]), hint)
    root = project_root().resolve()
    if root.is_relative_to(folder.resolve()) or folder.name == "store":
        raise SettingsError("--out", "must be a folder for this run alone", f"{folder.name!r}", hint)


@contextlib.contextmanager
def ended_together(process: int | None) -> Iterator[None]:
    """Take a process, and all that it started, along when this one is told to stop in the block.

    None stands for this process, which then ends all that it started.

    Raises
    ------
    KeyboardInterrupt
        In the block, on SIGTERM and SIGHUP as on Ctrl-C.
    """
    is_main = threading.current_thread() is threading.main_thread()
    told = (signal.SIGTERM, signal.SIGHUP) if is_main else ()
    # One who started the run with nohup wants it to outlive the terminal.
    heard = [number for number in told if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, _stop) for number in heard}
    try:
        yield
    except BaseException as error:
        if process is not None:
            end_tree(process)
        elif isinstance(error, KeyboardInterrupt):
            for child in psutil.Process().children():
                end_tree(child.pid)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def end_tree(process: int) -> None:
    """End a process and all that it started, in whatever session; those that do not go when told are killed."""
    try:
        first = psutil.Process(process)
        tree = [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for one in tree:
            with contextlib.suppress(psutil.Error):
                end(one)
        _, tree = psutil.wait_procs(tree, timeout=_GRACE_S)
