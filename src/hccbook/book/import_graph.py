"""Which part of the package imports which, read from the code and drawn for the page on architecture."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from hccbook.book.generated_pages import PACKAGE, render

_PARTS_OF_A_ROW = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \|", re.MULTILINE)


class Imports(NamedTuple):
    """Imports between the parts of the package.

    Attributes
    ----------
    parts : tuple of str
        Parts, in the order in which data flow.
    counts : dict of (str, str) to int
        Modules of the first part that import from the second.
    """

    parts: tuple[str, ...]
    counts: dict[tuple[str, str], int]

    @property
    def upward(self) -> list[tuple[str, str]]:
        """Imports of a part that comes later: there must be none."""
        place = self.parts.index
        return [pair for pair in self.counts if place(pair[0]) < place(pair[1])]


def modules_of(source: str) -> list[str]:
    """Modules of this package that a source imports, in the order of its lines; a name in a module gives the module."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    own = [name for name in found if name.startswith(f"{PACKAGE.name}.")]
    return list(dict.fromkeys(name if _is_module(name) else name.rpartition(".")[0] for name in own))


def _is_module(name: str) -> bool:
    path = PACKAGE.parent / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def import_graph(architecture: str) -> Imports:
    """Imports between parts, in the order of the table of parts.

    Parameters
    ----------
    architecture : str
        The page on architecture, whose first table has the parts in the order in which data flow.
    """
    table = architecture.partition("\n## Parts\n")[2].partition("\n## ")[0]
    parts = tuple(name for row in _PARTS_OF_A_ROW.findall(table) for name in re.findall(r"\w+", row))
    counts: Counter[tuple[str, str]] = Counter()
    for file in sorted(PACKAGE.rglob("*.py")):
        own = Path(file.relative_to(PACKAGE).parts[0]).stem
        named = [module.split(".") for module in modules_of(file.read_text(encoding="utf-8"))]
        counts.update({(own, module[1]) for module in named if len(module) > 1 and own != module[1]})
    return Imports(parts, {pair: number for pair, number in counts.items() if set(pair) <= set(parts)})


def import_graph_page(architecture: str) -> str:
    """Drawing of the imports for the page on architecture, and the same in words, as MyST."""
    graph = import_graph(architecture)
    used = {part: [other for other in graph.parts if (part, other) in graph.counts] for part in graph.parts}
    return render("import_graph.md.j2", parts=graph.parts, counts=graph.counts, used=used).strip()
