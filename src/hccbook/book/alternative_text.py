"""What a picture of a notebook shows, in words, for readers who cannot see it."""

from __future__ import annotations

import ast
import inspect
import re

import nbformat

from hccbook.report import figures

_DRAWS = re.compile(r"(plot|show)_(?!panels$|saved$)")
_ITEM = re.compile(r"^(?:(?:ALARM|aMAP-CT)[^:;]*: )")
_HEADING = re.compile(r"^#{1,4} +(.+)$", re.MULTILINE)


def describe_pictures(notebook: nbformat.NotebookNode) -> None:
    """Give every cell that shows pictures and has no alternative text one: the heading, and what its functions draw.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        Executed notebook; the text is set in the metadata of its cells, where MyST-NB reads it.
    """
    heading = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = (_HEADING.findall(cell.source) or [heading])[-1]
        elif any(kind.startswith("image/") for output in cell.get("outputs", []) for kind in output.get("data", {})):
            options = cell.metadata.setdefault("mystnb", {})
            options.setdefault("image", {"alt": alternative_text(cell.source, heading)})


def alternative_text(source: str, heading: str) -> str:
    """What the pictures of one cell show.

    Parameters
    ----------
    source : str
        Code of the cell; each function of `hccbook.report.figures` that it names says what it draws.
    heading : str
        Heading above the cell, as Markdown.

    Returns
    -------
    str
        The heading alone where the cell names no such function.
    """
    lines = [line if not line.lstrip().startswith(("%", "!")) else "" for line in source.splitlines()]
    nodes = [
        node
        for node in ast.walk(ast.parse("\n".join(lines)))
        if isinstance(node, ast.Attribute) and _DRAWS.match(node.attr) and hasattr(figures, node.attr)
    ]
    names = dict.fromkeys(node.attr for node in sorted(nodes, key=lambda node: (node.lineno, node.col_offset)))
    said = " ".join(_summary(getattr(figures, name)) for name in names)
    return ": ".join(part for part in (_plain(heading).rstrip("."), said) if part)


def _summary(function: object) -> str:
    """First paragraph of a docstring, without the numbers of the published figures that it may begin with."""
    text = " ".join((inspect.getdoc(function) or "").partition("\n\n")[0].split())
    text = _plain(_ITEM.sub("", re.sub(r"; `[^`]*` [^.]*", "", text)))
    return text[:1].upper() + text[1:]


def _plain(text: str) -> str:
    """Markdown without marks: links by their text, code and emphasis as they stand."""
    return re.sub(r"[`*$]|\{[^}]*\}", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)).strip()
