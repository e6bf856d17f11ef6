"""Rendering the book from a finished run, and checking that every listed item is on its page.

Nothing is computed here: the prose of ``book/``, the executed notebooks and two pages generated from
``data/published/`` are laid out in one folder, Jupyter Book renders it, and the HTML is checked.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import nbformat
import yaml
from bs4 import BeautifulSoup, Tag

from hccbook.book.web_pages import web_files
from hccbook.errors import HccbookError
from hccbook.papers import PAPERS
from hccbook.papers.published import (
    CONTRADICTED,
    PLANNED,
    PRIVATE,
    RECOMPUTED,
    REPRODUCED,
    UNDER_SPECIFIED,
    Assumption,
    Claim,
    Item,
    assumptions,
    claims,
    items,
)
from hccbook.provenance import digest
from hccbook.run import CHAPTERS, STAGES, RunPaths, book_source_dir, notebook_name, project_root
from hccbook.settings import Profile
from hccbook.store import atomic_path

_RENDERERS = ("jupyter-book", "sphinx", "myst-nb", "sphinx-book-theme", "sphinxcontrib-bibtex")
_LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "embed": "src"}
_LINKED_RESOURCES = {"stylesheet", "preload", "prefetch", "modulepreload", "preconnect", "icon", "manifest"}
_CSS_FETCH = re.compile(r"""(?:url\(\s*|@import\s+)["']?((?:https?:)?//[^"')\s]+)""", re.IGNORECASE)


class BookError(HccbookError):
    """A book that cannot be rendered, or that lacks what it lists."""


# --- entry ------------------------------------------------------------------------------------------------------------


def build_book(run: RunPaths, *, out: Path | None = None) -> Path:
    """Render the book from a finished run.

    Parameters
    ----------
    run : RunPaths
        The run; its notebooks must be executed.
    out : pathlib.Path, optional
        Folder for source, doctrees and HTML; ``book`` in the folder of the run when left out.

    Returns
    -------
    pathlib.Path
        The entry page, to be opened in a browser straight from disk.

    Raises
    ------
    BookError
        If a notebook is missing, holds a machine path or an error, if the prose or a notebook gives a warning while
        rendering, or if a listed item is not on its page.
        A call with nothing changed renders nothing and only checks.
    """
    out = (run.root / "book") if out is None else Path(out)
    source = stage_source(run, out / "source")
    state = _state(source)
    stamp = out / "rendered.json"
    before = json.loads(stamp.read_text(encoding="utf-8")) if stamp.is_file() else {}
    html = out / "_build" / "html"
    if state != before or not (html / "index.html").is_file():
        if state["computed"] != before.get("computed"):
            # Numbers glued from one page into another would stay old: pages without a change are not written again.
            shutil.rmtree(out / "_build", ignore_errors=True)
        stamp.unlink(missing_ok=True)
        _render(source, out)
        _write_if_changed(stamp, json.dumps(state, indent=1) + "\n")
    listed = [item for item in items() if item.paper in _papers(run)]
    check_items(html, run, listed)
    check_self_contained(html)
    return html / "index.html"


def _state(source: Path) -> dict[str, str]:
    versions = {name: importlib.metadata.version(name) for name in _RENDERERS}
    # Sphinx copies style and scripts only when it writes a page.
    computed = (source / "notebooks", source / "files", source / "assets", source / "_config.yml")
    return {"all": digest(source, versions), "computed": digest(*computed, versions)}


# --- source -----------------------------------------------------------------------------------------------------------


def stage_source(run: RunPaths, source: Path) -> Path:
    """Lay out what Jupyter Book reads: prose, executed notebooks, generated pages, settings, MathJax.

    Parameters
    ----------
    run : RunPaths
        The run.
    source : pathlib.Path
        Folder to fill; unchanged files keep their time stamps, left-over files go.

    Returns
    -------
    pathlib.Path
        `source`.

    Raises
    ------
    BookError
        If an executed notebook, or a file that ``items.yaml`` names, is missing, or an anchor is missing in it.
    """
    papers = _papers(run)
    left_out = {
        stage for paper in PAPERS if paper not in papers for stage in (*PAPERS[paper].stages, *PAPERS[paper].chapters)
    }
    stages = [stage for stage in (*STAGES, *CHAPTERS) if stage not in left_out]
    notebooks = {notebook_name(stage): _executed(run, stage) for stage in stages}
    # Not every notebook has the parameter; one that says otherwise decides.
    synthetic = all(_parameters(notebook).get("synthetic", True) for notebook in notebooks.values())
    used = {stage: _parameters(notebooks[notebook_name(stage)]) for stage in stages}
    listed = [item for item in items() if item.paper in papers]
    register = [entry for entry in assumptions() if entry.paper in (*papers, "both")]
    _refuse_missing(listed, run, notebooks)

    written: set[Path] = set()

    def put(name: str, content: str | bytes) -> None:
        written.add(_write_if_changed(source / name, content))

    for file in _prose_files():
        put(file.relative_to(book_source_dir()).as_posix(), file.read_bytes())
    put("_toc.yml", _toc(set(notebooks)))
    put("_config.yml", _config(synthetic))
    put("results.md", results_page(listed, [claim for claim in claims() if claim.paper in papers], synthetic=synthetic))
    put("assumptions.md", assumptions_page(register, used))
    for name, notebook in notebooks.items():
        put(f"notebooks/{name}.ipynb", _readable(name, notebook))
    for item in listed:
        for file in (item.data, item.figure):
            if file is not None:
                put(f"files/{Path(file).name}", _without_paths(file, (run.root / file).read_bytes()))
    put("assets/mathjax/tex-svg.js", _mathjax())
    stepwise = used.get("stepwise_stratification", {})
    for name, content in web_files(run, papers, synthetic=synthetic, stepwise=stepwise).items():
        put(f"assets/{name}", content)
    for paper in papers:
        sheets = run.contact_sheets(paper)
        for file in (*sheets.glob("*.png"), *sheets.glob("*.html")):
            put(f"assets/contact_sheets/{paper}/{file.name}", file.read_bytes())
    for file in sorted(source.rglob("*")):
        if file.is_file() and file not in written:
            file.unlink()
    return source


def _papers(run: RunPaths) -> tuple[str, ...]:
    named = _parameters(_executed(run, "cohort")).get("papers", ",".join(PAPERS))
    return tuple(part.strip() for part in str(named).split(","))


def _executed(run: RunPaths, stage: str) -> nbformat.NotebookNode:
    file = run.executed_notebook(stage)
    if not file.is_file():
        raise BookError(
            f"{run.root.name}/notebooks/{file.name}",
            "the book needs every notebook executed",
            "no such file",
            f"Run that stage first: hccbook run --profile {run.root.name} --until {stage}.",
        )
    notebook = nbformat.read(file, as_version=4)
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type != "code":
            continue
        expected = "raises-exception" in cell.metadata.get("tags", [])
        failed = [output for output in cell.outputs if output.output_type == "error"]
        if failed and not expected:
            raise BookError(
                f"{file.name}, cell {number}", "must have run", failed[0].ename, f"Run stage {stage} again."
            )
    return notebook


def _parameters(notebook: nbformat.NotebookNode) -> dict[str, Any]:
    return dict(notebook.metadata.get("papermill", {}).get("parameters", {}))


def _refuse_missing(listed: Iterable[Item], run: RunPaths, notebooks: Mapping[str, nbformat.NotebookNode]) -> None:
    files, anchors = [], []
    for item in listed:
        files += [name for name in (item.data, item.figure) if name is not None and not (run.root / name).is_file()]
        if not item.is_planned and not any(
            cell.cell_type == "markdown" and f"({item.id})=" in cell.source
            for cell in notebooks.get(item.page or "", nbformat.v4.new_notebook()).cells
        ):
            anchors.append(f"({item.id})= in {item.page}.ipynb")
    if files:
        raise BookError(
            f"{run.root.name}", "every file that items.yaml names must exist", "none of " + ", ".join(files),
            "Run the stage that makes them: hccbook run.",
        )  # fmt: skip
    if anchors:
        raise BookError(
            "items.yaml", "each item needs its anchor line above its heading", "none of " + ", ".join(anchors),
            "Add the line to a Markdown cell of the notebook, or correct the page in items.yaml.",
        )  # fmt: skip


def _prose_files() -> Iterator[Path]:
    folder = book_source_dir()
    for file in sorted(folder.rglob("*")):
        parts = file.relative_to(folder).parts
        # Jupyter Book would load every script of a folder _static, and MathJax a second time, on every page.
        skipped = any(part.startswith((".", "_build", "_static")) for part in parts)
        if file.is_file() and file.name != "_toc.yml" and not skipped:
            yield file


def _toc(notebooks: set[str]) -> str:
    toc = yaml.safe_load((book_source_dir() / "_toc.yml").read_text(encoding="utf-8"))
    for part in toc["parts"]:
        part["chapters"] = [
            chapter
            for chapter in part["chapters"]
            if not chapter["file"].startswith("notebooks/") or Path(chapter["file"]).name in notebooks
        ]
    return yaml.safe_dump(toc, sort_keys=False, allow_unicode=True)


def _config(synthetic: bool) -> str:
    config = yaml.safe_load((project_root() / "_config.yml").read_text(encoding="utf-8"))
    if not synthetic:
        config["html"]["announcement"] = "For research and teaching, not for clinical use."
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True)


def _mathjax() -> bytes:
    name = "sphinx-mathjax-offline"
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise BookError(name, "must be installed, so that the book needs no network", "nothing", "Run make setup.")
    return (Path(spec.origin).parent / "static" / "mathjax" / "tex-svg.js").read_bytes()


def _write_if_changed(file: Path, content: str | bytes) -> Path:
    content = content.encode("utf-8") if isinstance(content, str) else content
    if not file.is_file() or file.read_bytes() != content:
        with atomic_path(file) as part:
            part.write_bytes(content)
    return file


# --- notebooks as pages -----------------------------------------------------------------------------------------------


def _readable(name: str, notebook: nbformat.NotebookNode) -> str:
    """Notebook as readers see it: this run's parameters folded away, no machine's paths, no run-time stamps."""
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        for stamp in ("papermill", "execution"):
            cell.metadata.pop(stamp, None)
    injected = any("injected-parameters" in cell.metadata.get("tags", []) for cell in notebook.cells)
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "injected-parameters" in tags:
            cell.source = re.sub(r"""(["'])/[^"'\n]*/([^"'/\n]+)\1""", r"\1\2\1", cell.source)
            cell.metadata["tags"] = [*tags, "hide-input"]
            cell.metadata["mystnb"] = {"code_prompt_show": "Parameters of this run"}
        elif "parameters" in tags and injected:
            # Its values are overridden; showing both would leave the reader guessing which ones held.
            cell.metadata["tags"] = [*tags, "remove-cell"]
    text = nbformat.writes(notebook)
    for number, cell in enumerate(notebook.cells, start=1):
        shown = [cell.source, *_texts(cell)]
        _refuse_paths(f"{name}.ipynb, cell {number}", "\n".join(shown))
    return text


def _texts(cell: nbformat.NotebookNode) -> Iterator[str]:
    for output in cell.get("outputs", []):
        for kind, content in {"text": output.get("text", ""), **output.get("data", {})}.items():
            if kind == "text" or not kind.startswith(("image/png", "image/jpeg", "application/pdf")):
                yield content if isinstance(content, str) else json.dumps(content)


def _private_folders() -> list[str]:
    folders = {str(project_root()), str(Path.home())}
    return sorted(folder for folder in folders if len(folder) > 1)


def _refuse_paths(place: str, text: str) -> None:
    for folder in _private_folders():
        found = re.search(re.escape(folder) + r"(?![\w-])\S{0,40}", text)
        if found:
            raise BookError(
                place, "must show no folder of this machine", found.group(),
                "Print a path relative to the run, then run the stage again.",
            )  # fmt: skip


def _without_paths(name: str, content: bytes) -> bytes:
    if name.endswith(".csv"):
        _refuse_paths(name, content.decode("utf-8"))
    return content


# --- generated pages --------------------------------------------------------------------------------------------------


def _list_table(rows: list[list[str]], widths: str, kind: str) -> str:
    lines = ["```{list-table}", ":header-rows: 1", f":widths: {widths}", f":class: {kind}", ""]
    for row in rows:
        lines += [("* - " if position == 0 else "  - ") + cell for position, cell in enumerate(row)]
    return "\n".join([*lines, "```"])


def _chapter(page: str) -> str:
    return f"Chapter {int(page[:2])}" if page[:2].isdigit() else page.rpartition("_")[2].capitalize()


def _claims_lines(claimed: list[Claim]) -> list[str]:
    if not claimed:
        return []
    lines = [
        "## Every claim",
        "",
        "What the papers claim with a number, in our words, and what came of it.",
        "The papers' main texts were searched sentence by sentence.",
        "",
    ]
    statuses = (RECOMPUTED, CONTRADICTED, REPRODUCED, PRIVATE, UNDER_SPECIFIED)
    papers = [paper for paper in PAPERS if any(claim.paper == paper for claim in claimed)]
    count = {
        (paper, status): sum(claim.paper == paper and claim.status == status for claim in claimed)
        for paper in papers
        for status in statuses
    }
    rows = [["Status", *(PAPERS[paper].title for paper in papers)]]
    rows += [[status, *(str(count[paper, status]) for paper in papers)] for status in statuses]
    lines += [_list_table(rows, " ".join(["40"] + ["20"] * len(papers)), "claims-count"), ""]
    for paper in papers:
        rows = [["Where", "Claim", "Status"]]
        own = [claim for claim in claimed if claim.paper == paper]
        rows += [[claim.place, " ".join(claim.claim.split()), claim.status] for claim in own]
        lines += [f"### Claims of {PAPERS[paper].title}", "", _list_table(rows, "25 55 20", "claims-index"), ""]
    return lines


def results_page(listed: Iterable[Item], claimed: Iterable[Claim] = (), *, synthetic: bool = True) -> str:
    """Index of every table and figure, and of every claim, as a MyST page.

    Parameters
    ----------
    listed : iterable of Item
        Items of the papers in this run.
    claimed : iterable of Claim
        Claims of those papers.
    synthetic : bool
        Whether the patients are simulated; otherwise the status says that the method ran on own data.

    Returns
    -------
    str
    """
    listed = list(listed)
    shown = [item for item in listed if not item.is_planned]
    lines = [
        "# Index of results",
        "",
        "Every table and figure of both papers, in the papers' order, and where this book shows it.",
        "The supplements are not public; their items are listed as the main texts name them.",
        f"All {len(listed)} items are in this edition."
        if len(shown) == len(listed)
        else f"Of {len(listed)} items, {len(shown)} are in this edition; the others are planned and have no page yet.",
        "",
    ]
    ran = REPRODUCED if synthetic else "method run on own data"
    for paper in PAPERS:
        own = [item for item in listed if item.paper == paper]
        if not own:
            continue
        lines += [f"## {PAPERS[paper].title}", ""]
        rows = [["Item", "What it shows", "Page", "Notebook", "Numbers", "Picture", "Status"]]
        for item in own:
            status = ran if item.status == REPRODUCED else item.status
            page = f"{{ref}}`{_chapter(item.page)} <{item.id}>`" if item.page else ""
            notebook = f"{{download}}`ipynb <notebooks/{item.notebook}>`" if item.notebook else ""
            data = f"{{download}}`csv <files/{Path(item.data).name}>`" if item.data else ""
            figure = f"{{download}}`png <files/{Path(item.figure).name}>`" if item.figure else ""
            rows.append([item.label, item.title, page, notebook, data, figure, status])
        lines += [_list_table(rows, "13 37 9 9 9 8 15", "results-index"), ""]
    lines += _claims_lines(list(claimed))
    lines += [
        "## What the status says",
        "",
        f"{REPRODUCED}",
        ": The code that would make the item from the papers' patients made it from simulated ones.",
        "  That the method works is shown; the papers' values are not confirmed or refuted by it.",
        "",
        f"{RECOMPUTED}",
        ": Other printed numbers give it again, within rounding.",
        "",
        f"{CONTRADICTED}",
        ": Other printed numbers exclude it.",
        "  The [audit](notebooks/09_audit.ipynb) has the arithmetic, and says how sure it is.",
        "",
        f"{PRIVATE}",
        ": Nothing printed can confirm or refute it.",
        "",
        f"{UNDER_SPECIFIED}",
        ": The paper leaves open what would be needed to repeat it; see the [assumptions](assumptions.md).",
        "",
        f"{PLANNED}",
        ": Not yet in this book.",
        "",
    ]
    return "\n".join(lines)


def assumptions_page(register: Iterable[Assumption], used: Mapping[str, Mapping[str, Any]]) -> str:
    """Assumptions register as a MyST page.

    Parameters
    ----------
    register : iterable of Assumption
        Entries of ``assumptions.yaml``.
    used : mapping
        Stage to the parameters that its notebook ran with; a setting that is not there shows its default.

    Returns
    -------
    str
    """
    lines = [
        "# Assumptions",
        "",
        "The papers leave points open that a computation cannot leave open.",
        "Each is listed here with what the paper says, what this book does, and what else may have been meant.",
        "A choice with a setting can be changed in a [profile](profiles.md).",
        "",
    ]
    defaults = Profile()
    register = list(register)
    for paper in (*PAPERS, "both"):
        own = [entry for entry in register if entry.paper == paper]
        if not own:
            continue
        lines += [f"## {PAPERS[paper].title if paper in PAPERS else 'Both papers'}", ""]
        for entry in own:
            lines += [f"(assumption-{entry.id})=", f"### {entry.title}", "", ":::{container} assumption", ""]
            lines += [
                "What is open",
                f": {entry.gap.strip()}",
                "",
                "What this book does",
                f": {entry.choice.strip()}",
                "",
            ]
            if entry.setting is not None:
                section, _, field = entry.setting.partition(".")
                setting = used.get(section, {}).get(field, defaults.value(entry.setting))
                shown = setting if setting != "" else "(empty)"
                lines += ["Where", f": Setting `{entry.setting}`, here `{shown}`.", ""]
            else:
                lines += ["Where", f": In the code, `{entry.code}`.", ""]
            others = "; ".join(entry.alternatives)
            lines += ["What else it may mean", f": {others[0].upper()}{others[1:]}.", ""]
            lines += ["How much it matters", f": {entry.impact.strip()}", "", ":::", ""]
    return "\n".join(lines)


# --- rendering --------------------------------------------------------------------------------------------------------


def _render(source: Path, out: Path) -> None:
    program = Path(sys.executable).with_name("jupyter-book")
    if not program.is_file():
        raise BookError("jupyter-book", "must be installed beside Python", "nothing", "Run make setup.")
    command = [
        str(program), "build", str(source), "--config", str(source / "_config.yml"), "--path-output", str(out),
        "-W", "--keep-going", "-q",
    ]  # fmt: skip
    # Python's own warnings are for developers; Sphinx's are about the book and fail it.
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False)
    if done.returncode == 0:
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


# --- checks on the rendered book --------------------------------------------------------------------------------------


def _soup(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def check_items(html: Path, run: RunPaths, listed: Iterable[Item]) -> None:
    """Check that every item that is not planned is on its page, with its picture or table, and its files exist.

    Parameters
    ----------
    html : pathlib.Path
        Folder of the rendered book.
    run : RunPaths
        The run that it was rendered from.
    listed : iterable of Item
        Items to look for.

    Raises
    ------
    BookError
        Lists everything that is missing.
    """
    missing = []
    pages: dict[Path, BeautifulSoup | None] = {}
    for item in listed:
        if item.is_planned:
            continue
        missing += [
            f"{item.id}: file {name}"
            for name in (item.data, item.figure)
            if name is not None and not (run.root / name).is_file()
        ]
        page = html / "notebooks" / f"{item.page}.html"
        if page not in pages:
            pages[page] = _soup(page) if page.is_file() else None
        soup = pages[page]
        if soup is None:
            missing.append(f"{item.id}: page {item.page}")
            continue
        anchor = soup.find(id=item.id)
        if anchor is None:
            missing.append(f"{item.id}: anchor on page {item.page}")
            continue
        section = anchor if anchor.name == "section" else anchor.find_parent("section")
        wanted = {"figure": ("img", "svg"), "table": ("table",), "other": ("img", "svg", "table", "p")}[item.kind]
        if section is None or _own_content(section).find(wanted) is None:
            missing.append(f"{item.id}: {item.kind} under its anchor on page {item.page}")
    if missing:
        raise BookError(
            "rendered book", "every listed item must be on its page", "no " + "; no ".join(missing),
            "Show it there, or correct data/published/items.yaml.",
        )  # fmt: skip


def _own_content(section: Tag) -> BeautifulSoup:
    """Section without its nested sections, which belong to other items."""
    copy = BeautifulSoup(str(section), "html.parser")
    for nested in copy.select("section section"):
        if nested.find(id=re.compile(r"^(alarm|amap-ct)-")) is not None or re.match(
            r"(alarm|amap-ct)-", str(nested.get("id", ""))
        ):
            nested.decompose()
    return copy


def check_self_contained(html: Path) -> None:
    """Check that no page fetches anything from a network, links to a missing file, or shows a folder of this machine.

    Parameters
    ----------
    html : pathlib.Path
        Folder of the rendered book.

    Raises
    ------
    BookError
        Names the pages and what they fetch, miss or show.
    """
    fetched, broken = [], []
    for page in sorted(html.rglob("*.html")):
        name = page.relative_to(html).as_posix()
        if name.startswith("_static/"):
            continue
        text = page.read_text(encoding="utf-8")
        soup = BeautifulSoup(text, "html.parser")
        _refuse_paths(f"rendered page {name}", soup.get_text())
        for tag, attribute in _LOADED.items():
            for node in soup.find_all(tag):
                address = str(node.get(attribute) or "")
                if tag == "link" and not _LINKED_RESOURCES & set(node.get("rel") or ()):
                    continue
                if re.match(r"(https?:)?//", address):
                    fetched.append(f"{name}: {address}")
                elif address and not address.startswith("data:") and not _exists(page, address):
                    broken.append(f"{name}: {address}")
        for node in soup.find_all("style"):
            fetched += [f"{name}: {address}" for address in _CSS_FETCH.findall(node.get_text())]
    for sheet in sorted(html.rglob("*.css")):
        addresses = _CSS_FETCH.findall(sheet.read_text(encoding="utf-8"))
        fetched += [f"{sheet.relative_to(html).as_posix()}: {address}" for address in addresses]
    if fetched:
        raise BookError(
            "rendered book", "must open without a network", "; ".join(fetched[:8]),
            "Ship the resource in book/assets, or take it out of _config.yml.",
        )  # fmt: skip
    if broken:
        raise BookError(
            "rendered book", "every picture and script must be there", "no " + "; no ".join(broken[:8]),
            "Correct the path in the page.",
        )  # fmt: skip


def _exists(page: Path, address: str) -> bool:
    return (page.parent / address.split("?")[0].split("#")[0]).exists()
