"""Rendering the book from a finished run.

Nothing is computed here: what `hccbook.book.layout` lays out is rendered by Jupyter Book, and the HTML is checked.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from hccbook.book.checks import (
    BookError,
    check_alternatives,
    check_cautions,
    check_items,
    check_links,
    check_self_contained,
)
from hccbook.book.layout import lay_out, papers_of
from hccbook.papers.published import items
from hccbook.provenance import digest
from hccbook.run import RunPaths
from hccbook.store import write_if_changed

_RENDERERS = ("jupyter-book", "sphinx", "myst-nb", "sphinx-book-theme", "sphinxcontrib-bibtex")


def build_book(run: RunPaths, *, out: Path | None = None, shown: RunPaths | None = None) -> Path:
    """Render the book from a finished run.

    Parameters
    ----------
    run : RunPaths
        The run; its notebooks must be executed.
    out : pathlib.Path, optional
        Folder for source, doctrees and HTML; ``book`` in the folder of the run when left out.
    shown : RunPaths, optional
        The run that the result chapters show; `run` if absent.

    Returns
    -------
    pathlib.Path
        The entry page, to be opened in a browser straight from disk.

    Raises
    ------
    BookError
        If a notebook is missing, holds a machine path or an error, if the prose or a notebook gives a warning while
        rendering, or if a listed item is not on its page.
        A call with nothing changed renders nothing and only checks; a page that was altered or deleted counts as such.
    """
    out = (run.root / "book") if out is None else Path(out)
    source = lay_out(run, out / "source", shown)
    state = _state(source)
    stamp = out / "rendered.json"
    before = json.loads(stamp.read_text(encoding="utf-8")) if stamp.is_file() else {}
    html = out / "_build" / "html"
    if {**state, "html": digest(html)} != before:
        if (state["computed"], digest(html)) != (before.get("computed"), before.get("html")):
            # Numbers glued from one page into another would stay old, and a page that somebody altered or deleted would
            # stay so: pages without a change are not written again.
            shutil.rmtree(out / "_build", ignore_errors=True)
        stamp.unlink(missing_ok=True)
        _render(source, out)
        lighten(html)
        write_if_changed(stamp, json.dumps({**state, "html": digest(html)}, indent=1) + "\n")
    check_items(html, run, [item for item in items() if item.paper in papers_of(run)], shown)
    check_cautions(html, run, shown or run)
    check_alternatives(html)
    check_self_contained(html)
    check_links(html)
    return html / "index.html"


def lighten(html: Path) -> None:
    """Take out of a rendered book what nobody opens, and the pictures of its notebooks, which lie there twice.

    Maps of scripts and style, translations and fonts in an older format are for no browser.
    A notebook to download keeps its numbers and tables; its pictures are on its page, and there again once it has run.

    Parameters
    ----------
    html : pathlib.Path
        Folder of the rendered book.
    """
    for pattern in ("*.map", "*.mo", "*.po", "*.ttf"):
        for file in (html / "_static").rglob(pattern):
            file.unlink()
    for file in (html / "_sources").rglob("*.ipynb"):
        notebook = json.loads(file.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            for output in cell.get("outputs", []):
                output.get("data", {}).pop("image/png", None)
        file.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _state(source: Path) -> dict[str, str]:
    versions = {name: importlib.metadata.version(name) for name in _RENDERERS}
    # Sphinx copies style and scripts only when it writes a page.
    computed = (source / "notebooks", source / "files", source / "assets", source / "_config.yml")
    return {"all": digest(source, versions), "computed": digest(*computed, versions)}


def write_sphinx_settings(source: Path) -> Path:
    """Write the settings of the book as Sphinx's own ``conf.py``, with which ``sphinx-build`` renders the same pages.

    Jupyter Book 1 adds nothing to them that these pages use, and is left out.

    Parameters
    ----------
    source : pathlib.Path
        Folder that `hccbook.book.layout.lay_out` filled.

    Returns
    -------
    pathlib.Path
    """
    done = _jupyter_book("config", "sphinx", str(source))
    file = source / "conf.py"
    if done.returncode or not file.is_file():
        raise BookError("conf.py", "must be written by jupyter-book", done.stderr.strip()[-300:], "Run make setup.")
    settings = file.read_text(encoding="utf-8")
    for extension in ("'jupyter_book', ", "'sphinx_jupyterbook_latex', "):
        settings = settings.replace(extension, "")
    file.write_text(settings, encoding="utf-8")
    return file


def _jupyter_book(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("jupyter-book")
    if not program.is_file():
        raise BookError("jupyter-book", "must be installed beside Python", "nothing", "Run make setup.")
    # Python's own warnings are for developers; Sphinx's are about the book and fail it.
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONIOENCODING": "utf-8"}
    command = [str(program), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False)


def _render(source: Path, out: Path) -> None:
    options = ("--config", str(source / "_config.yml"), "--path-output", str(out), "-W", "--keep-going", "-q")
    done = _jupyter_book("build", str(source), *options)
    if done.returncode == 0:
        write_sphinx_settings(source)
        return
    # A page that gave a warning counts as read: a second try would pass over it in silence.
    shutil.rmtree(out / "_build", ignore_errors=True)
    text = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr).replace(f"{source}{os.sep}", "")
    complaints = [line for line in text.splitlines() if re.search(r"\b(WARNING|ERROR|CRITICAL)\b", line)]
    shown = complaints[:12] or text.strip().splitlines()[-12:]
    raise BookError(
        "book", "must render without a warning", f"{len(complaints)} warnings or errors",
        "Correct these:\n" + "\n".join(f"  {line}" for line in shown),
    )  # fmt: skip
