"""What a cohort cannot give: shown as n.a. with the reason, in its place, while the notebook goes on.

A user's cohort may have one outcome class, too few events, or one centre, so that some estimates do not exist.
The package refuses these by an error that says why. In a run on a user's patients each cell of a notebook is executed
statement by statement; where one is refused, the cell is given up, what it would have assigned is marked, and so is
each later cell that asks for it. In a simulated run nothing is caught: there a refusal is a fault of the package.
"""

from __future__ import annotations

import ast
import contextlib
import html
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import pyplot as plt

from hccbook.errors import DataError, HccbookError, MaskError, ModelError, anonymous_reason
from hccbook.evaluation import cohorts_may_be_refused
from hccbook.papers import published
from hccbook.pipeline.files import read_json, save_json, save_table
from hccbook.report import figures
from hccbook.run import STAGES, RunPaths

RECORD = "not_available.json"
"""File in the folder of a stage that says why some of what it leaves is not there."""

_GUARD = "_hccbook_guard"
_CAUGHT = (DataError, ModelError, MaskError, FileNotFoundError)


class NotAvailableError(HccbookError):
    """Something that these patients cannot give."""


@dataclass(frozen=True)
class _Absent:
    """Stands for what a cell would have assigned."""

    reason: str


@dataclass(frozen=True)
class Notice:
    """What stands in the place of a table that is not available."""

    reason: str

    def __repr__(self) -> str:
        return f"n.a.: {self.reason}"

    def _repr_html_(self) -> str:
        return f"<table><tr><td>n.a.: {html.escape(self.reason)}</td></tr></table>"


def guarded_source(stage: str, references: Iterable[str]) -> str:
    """Cell that makes the kernel of a notebook go on where its patients cannot give something."""
    keys = sorted(set(references))
    install = f"CellGuard({stage!r}, {keys!r}).install(get_ipython(), display, myst_nb)"
    return f"import myst_nb\n\nfrom {__name__} import CellGuard\n\n{install}"


def glue_references(texts: Iterable[str]) -> set[str]:
    """Keys that pages ask for with the role glue."""
    found = (re.findall(r"\{glue:?\w*\}`([^`]+)`", text) for text in texts)
    # Behind '::' stands the key on another page, behind ':' how it is set.
    return {(key.partition("::")[2] or key).partition(":")[0] for keys in found for key in keys}


class CellGuard:
    """Executes the cells of a notebook, and says n.a. where one is refused.

    Parameters
    ----------
    stage : str
        Stage or chapter.
    references : iterable of str
        Keys that pages ask for, so that what a given-up cell would have glued is glued as n.a.
    """

    caught = (*_CAUGHT, NotAvailableError)

    def __init__(self, stage: str, references: Iterable[str] = ()) -> None:
        self.stage = stage
        self.references = set(references)
        self.reasons: list[str] = []
        self.glued: set[str] = set()
        self.namespace: dict[str, Any] = {}
        self.show: Callable[[object], object] = lambda content: None

    @property
    def run(self) -> RunPaths:
        """Run of the notebook, whose parameter says where it lies."""
        return RunPaths.at(self.namespace["results"])

    def install(self, shell: Any, show: Callable[[object], object], glueing: Any) -> None:
        """Guard all cells that an IPython shell executes from now on; ``glueing`` is the module that glues texts."""
        plain = glueing.glue

        def glue(name: str, *values: Any, **options: Any) -> None:
            self.glued.add(name)
            plain(name, *values, **options)

        glueing.glue = glue
        warnings.simplefilter("ignore")  # for developers; on a page they would show where the package lies
        self.namespace, self.show = shell.user_ns, show
        self.namespace[_GUARD] = self
        shell.ast_transformers.append(self)

    def visit(self, cell: ast.Module) -> ast.Module:
        """Cell whose statements are executed one by one until one is refused."""
        body: list[ast.stmt] = []
        for statement in cell.body:
            names = ast.Constant(tuple(sorted(loaded_names(statement))))
            body.append(_call("ask", names))
            body.append(statement)
        if body and isinstance(body[-1], ast.Expr):
            body[-1] = _call("display", body[-1].value)
        if not body:
            return cell
        words = [
            node.value for node in ast.walk(cell) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        glued = [_pattern(node.args[0]) for node in ast.walk(cell) if _is_glue(node)]
        facts = [ast.Constant(tuple(sorted(part))) for part in (stored_names(cell), set(words), set(glued))]
        error = ast.Name("_hccbook_error", ast.Load())
        handler = ast.ExceptHandler(_of_guard("caught"), "_hccbook_error", [_call("give_up", error, *facts)])
        noting = ast.withitem(ast.Call(_of_guard("noting"), [], []))
        cell.body = [ast.With([noting], [ast.Try(body, [handler], [], [])])]
        return ast.fix_missing_locations(cell)

    @contextlib.contextmanager
    def noting(self) -> Iterator[None]:
        """Say after a cell which cohorts it had to leave out, and why."""
        with cohorts_may_be_refused() as refused:
            yield
        for reason in dict.fromkeys(refused):
            self._keep(reason)
            self.show(Notice(reason))

    def _keep(self, reason: str) -> None:
        if reason not in self.reasons:
            self.reasons.append(reason)
            save_json({"reasons": self.reasons}, self.run.stage(self.stage) / RECORD)

    def ask(self, names: tuple[str, ...]) -> None:
        """Refuse a statement that reads what is not available."""
        for name in names:
            value = self.namespace.get(name)
            if isinstance(value, _Absent):
                raise NotAvailableError("n.a.", value.reason, "nothing", "")

    def display(self, content: object) -> None:
        """Show the value of a cell's last expression."""
        if content is not None:
            self.show(content)

    def give_up(
        self, error: Exception, stored: tuple[str, ...], words: tuple[str, ...], glued: tuple[str, ...]
    ) -> None:
        """Mark what the cell would have assigned, keep its items and glued texts as n.a., and say why."""
        reason = self._reason(error, words)
        plt.close("all")  # what was half drawn
        self.namespace |= dict.fromkeys(stored, _Absent(reason))
        self._keep(reason)
        for key in sorted(self.references - self.glued):
            if any(re.fullmatch(pattern, key) for pattern in glued):
                self.namespace["glue"](key, "n.a.", display=False)
        listed = [item for item in published.items() if item.id in words and not item.is_planned]
        for item in listed:
            save_table(pd.DataFrame({"item": [item.id], "note": [f"n.a.: {reason}"]}), self.run.root / item.data)
            if item.figure is not None:
                figure = figures.sentence(f"n.a.: {reason}")
                for name in (item.figure, item.vector_figure):
                    figures.save_figure(figure, self.run.root / name, synthetic=False, dpi=110)
                self.show(figure)
        if not any(item.figure for item in listed):
            self.show(Notice(reason))

    def _reason(self, error: Exception, words: tuple[str, ...]) -> str:
        if isinstance(error, NotAvailableError):
            return error.rule
        if isinstance(error, FileNotFoundError) or "no such file" in str(error):
            return self._reason_of_earlier(error, words)
        return " ".join(anonymous_reason(error).split())

    def _reason_of_earlier(self, error: Exception, words: tuple[str, ...]) -> str:
        """Why an earlier stage did not leave a file; one that no stage gave up is no matter of the patients."""
        folder = Path(getattr(error, "filename", None) or "").parent
        stages = [folder.name] if folder.parent == self.run.root else [word for word in words if word in STAGES]
        for stage in stages:
            record = self.run.root / stage / RECORD
            if record.is_file():
                return read_json(record)["reasons"][0]
        raise error


def _of_guard(name: str) -> ast.Attribute:
    return ast.Attribute(ast.Name(_GUARD, ast.Load()), name, ast.Load())


def _call(method: str, *arguments: ast.expr) -> ast.Expr:
    return ast.Expr(ast.Call(_of_guard(method), list(arguments), []))


def _names(tree: ast.AST, context: type[ast.expr_context]) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, context)}


def _inner(tree: ast.AST) -> set[str]:
    """Names that comprehensions and lambdas of a statement bind for themselves."""
    inner = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.comprehension):
            inner |= _names(node.target, ast.Store)
        elif isinstance(node, ast.Lambda):
            inner |= {argument.arg for argument in node.args.args}
    return inner


def loaded_names(statement: ast.stmt) -> set[str]:
    """Names that a statement takes from before it."""
    bound = _names(statement, ast.Store) if isinstance(statement, (ast.For, ast.With)) else set()
    return _names(statement, ast.Load) - _inner(statement) - bound


def stored_names(tree: ast.AST) -> set[str]:
    """Names that a statement, or a cell, leaves behind."""
    return _names(tree, ast.Store) - _inner(tree)


def _is_glue(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "glue"


def _pattern(key: ast.expr) -> str:
    """Regular expression of the keys that an argument of glue can be."""
    if isinstance(key, ast.Constant):
        return re.escape(str(key.value))
    parts = key.values if isinstance(key, ast.JoinedStr) else []
    return "".join(re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".+" for part in parts) or ".+"
