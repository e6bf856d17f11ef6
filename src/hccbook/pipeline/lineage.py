"""Which files of a run each file of a notebook follows from, seen while its cells are executed.

A statement passes on what it reads, and what the names in it follow from, to the names that it assigns and to the files
that it writes. A picture follows from all that its cell has drawn so far. So a table is traced to the tables behind it,
not to all that its notebook has read.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from hccbook.papers import PAPERS
from hccbook.pipeline.files import read_json, save_json
from hccbook.pipeline.unavailable import loaded_names, stored_names
from hccbook.run import RESULT_CHAPTERS, RunPaths

TRACED = (*PAPERS, *RESULT_CHAPTERS)
"""Notebooks whose files are traced; those before them map over patients, in processes of their own."""

_WRITING = os.O_WRONLY | os.O_RDWR


def lineage_source(stage: str) -> str:
    """Cell that has the files of a notebook traced."""
    return f"from {__name__} import CellLineage\n\nCellLineage({stage!r}).install(get_ipython())"


def lineage_file(run: RunPaths, stage: str) -> Path:
    """Where the lineage of a notebook's files lies."""
    return run.root / "notebooks" / f"{stage}.lineage.json"


def read_lineage(run: RunPaths, stage: str) -> dict[str, list[str]] | None:
    """Files that each file of a stage was made from, relative to the run's folder; None where nobody traced it."""
    file = lineage_file(run, stage)
    return read_json(file) if file.is_file() else None


class CellLineage:
    """Follows what the cells of a notebook read into what they write.

    Parameters
    ----------
    stage : str
        Stage or chapter.
    """

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.made: dict[str, list[str]] = {}
        self._followed: dict[str, set[str]] = {}
        self._namespace: dict[str, Any] = {}
        self._folder = ""
        self._events: list[tuple[str, int | None, str]] = []

    def install(self, shell: Any) -> None:
        """Trace all cells that an IPython shell executes from now on."""
        self._namespace = shell.user_ns
        shell.events.register("pre_run_cell", self._begin)
        shell.events.register("post_run_cell", lambda result: self.end(result.info.raw_cell))
        sys.addaudithook(self._see)

    def _begin(self, _: object) -> None:
        self._events.clear()
        if "results" in self._namespace:
            self._folder = str(RunPaths.at(self._namespace["results"]).root) + os.sep

    def _see(self, event: str, values: tuple[Any, ...]) -> None:
        """Note a file of the run that is opened for reading, or that takes its place."""
        if self._folder and event in ("open", "os.rename"):
            file = os.fsdecode(values[event == "os.rename"]) if isinstance(values[0], str | bytes | Path) else ""
            # A file is written under another name and then takes its place, see `hccbook.store.atomic_path`.
            is_read = event == "open" and not values[2] & _WRITING and "/.part-" not in file
            if file.startswith(self._folder) and (is_read or event == "os.rename"):
                self.note("read" if is_read else "written", self._line(), file.removeprefix(self._folder))

    def note(self, how: str, line: int | None, file: str) -> None:
        """Keep that the statement in this line of the cell, or one that nobody knows, has ``read`` or ``written``."""
        self._events.append((how, line, file))

    def _line(self) -> int | None:
        frame = sys._getframe(2)
        while frame is not None and frame.f_globals is not self._namespace:
            frame = frame.f_back
        return None if frame is None else frame.f_lineno

    def end(self, source: str) -> None:
        """Pass on what a cell has read, now that it is through."""
        events, self._events = self._events, []
        drawn: set[str] = set()
        for statement in _statements(source):
            own = [
                (how, file)
                for how, line, file in events
                if line is None or statement.lineno <= line <= (statement.end_lineno or line)
            ]
            follows = {file for how, file in own if how == "read"}
            follows.update(*(self._followed.get(name, ()) for name in loaded_names(statement)))
            drawn |= follows
            written = [file for how, file in own if how == "written"]
            whole = any(file.endswith(".png") for file in written)
            self.made |= {file: sorted((drawn if whole else follows) - {file}) for file in written}
            self._pass_on(statement, follows)
        if any(how == "written" for how, *_ in events):
            save_json(self.made, lineage_file(RunPaths.at(self._namespace["results"]), self.stage))

    def _pass_on(self, statement: ast.stmt, follows: Iterable[str]) -> None:
        changed = set(_changed(statement))
        for name in changed | stored_names(statement):
            if not isinstance(self._namespace.get(name), ModuleType | RunPaths | Path):
                kept = self._followed.get(name, set()) if name in changed else set()
                self._followed[name] = kept | set(follows)


def _statements(source: str) -> list[ast.stmt]:
    try:
        return ast.parse(source).body
    except SyntaxError:  # what only a notebook understands
        return []


def _changed(statement: ast.stmt) -> Iterator[str]:
    """Names whose values a statement changes in place: an item or attribute assigned, a method called for its own sake.

    An augmented assignment changes its name, which is then stored as well.
    """
    for node in ast.walk(statement):
        stored = isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store)
        called = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        target = node if stored else node.value.func if called else node.target if _is_augmented(node) else None
        while isinstance(target, ast.Subscript | ast.Attribute):
            target = target.value
            if isinstance(target, ast.Name):
                yield target.id
        if _is_augmented(node) and isinstance(target, ast.Name):
            yield target.id


def _is_augmented(node: ast.AST) -> bool:
    return isinstance(node, ast.AugAssign)
