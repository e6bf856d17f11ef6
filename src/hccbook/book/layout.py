"""What Jupyter Book reads: prose, executed notebooks, generated pages, settings, all in one folder."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import nbformat
import yaml

from hccbook.book.alternative_text import describe_pictures
from hccbook.book.checklists_page import addresses, checklist_pages
from hccbook.book.checks import BookError, item_files, refuse_paths
from hccbook.book.claims_index import NUMBERS_FILE, anchors, front_page_parts, numbers_csv, results_page
from hccbook.book.costs_page import costs_page
from hccbook.book.generated_pages import (
    api_pages,
    assumptions_page,
    bad_inputs_page,
    contrast_phases_page,
    own_ct_blocks,
    shown_run,
    third_paper,
)
from hccbook.book.import_graph import import_graph_page
from hccbook.book.made import foot_of_notebook, foot_of_page
from hccbook.book.picture_data import picture_files
from hccbook.book.questions import add_questions
from hccbook.book.scaling_page import scaling_page
from hccbook.book.web_pages import web_files
from hccbook.papers import PAPERS
from hccbook.papers.published import Item, assumptions, claims, items
from hccbook.pipeline.files import read_csv
from hccbook.pipeline.regenerated import beside_print
from hccbook.pipeline.run_record import METADATA, RunRecord, describe_run
from hccbook.run import (
    CHAPTER_READS,
    CHAPTERS,
    RESULT_CHAPTERS,
    STAGES,
    RunPaths,
    book_source_dir,
    notebook_name,
    project_root,
)
from hccbook.store import write_if_changed

_PAGES_OF_RESULTS = (
    "intro.md", "web_nomogram.md", "web_calculator.md", "picture_roc.md", "picture_xtile.md", "picture_stepwise.md",
)  # fmt: skip
_PAGES_OF_BOTH = ("results.md", "assumptions.md")
_PAGES_OF_IMAGES = ("picture_window.md", "picture_patch.md", "picture_feature_map.md")
_FOLDED = {notebook_name(stage) for stage in (*RESULT_CHAPTERS, "audit", "radiomics_speed")}
"""Notebooks that are read for what they show; in the others the code is part of what they teach."""
_IMPORTS = re.compile(r"(import|from) \w")
_NOTE_HERE = "% the run shown"
_TERMS_HERE = "% the terms"
_IMPORTS_HERE = "% the imports"
_THIRD_PAPER_HERE = "% the third paper"
_GLOSSARY = re.compile(r"^:::\{glossary\}\n(.*?)^:::", re.DOTALL | re.MULTILINE)


def lay_out(run: RunPaths, source: Path, shown: RunPaths | None = None) -> Path:
    """Lay out what Jupyter Book reads: prose, executed notebooks, generated pages, settings, MathJax.

    Parameters
    ----------
    run : RunPaths
        The run.
    source : pathlib.Path
        Folder to fill; unchanged files keep their time stamps, left-over files go.
    shown : RunPaths, optional
        The run that the result chapters show; `run` if absent.

    Returns
    -------
    pathlib.Path
        `source`.

    Raises
    ------
    BookError
        If an executed notebook, or a file that ``items.yaml`` names, is missing, or an anchor is missing in it.
    """
    shown = shown or run
    papers = papers_of(run)
    absent = [paper for paper in PAPERS.values() if paper.name not in papers]
    left_out = {stage for paper in absent for stage in (*paper.stages, *paper.chapters)}
    stages = [stage for stage in (*STAGES, *CHAPTERS) if stage not in left_out]
    executed = {stage: _executed(shown if stage in RESULT_CHAPTERS else run, stage) for stage in stages}
    # Not every notebook has the parameter; one that says otherwise decides.
    synthetic = all(_parameters(notebook).get("synthetic", True) for notebook in executed.values())
    used = {stage: _parameters(notebook) for stage, notebook in executed.items()}
    listed = [item for item in items() if item.paper in papers]
    register = [entry for entry in assumptions() if entry.paper in (*papers, "both")]
    files = {name: file for item in listed for name, file in item_files(item, run, shown).items()}
    _refuse_missing(listed, files, {notebook_name(stage): notebook for stage, notebook in executed.items()})

    pages = _prose()
    pages |= {
        "own_data.md": _with_blocks(_text(pages["own_data.md"]), own_ct_blocks()),
        "_config.yml": _config(synthetic),
        "assumptions.md": assumptions_page(register, used),
        "contrast_phases.md": contrast_phases_page(),
        "bad_inputs.md": bad_inputs_page(),
        "costs.md": costs_page(run),
        "scaling.md": scaling_page(),
        "assets/mathjax/tex-svg.js": _mathjax(),
    }
    pages |= _claims_pages(run, shown, listed, executed, synthetic=synthetic, intro=_text(pages["intro.md"]))
    pages["glossary.md"] = _with_terms(_text(pages["glossary.md"]))
    pages["add_a_paper.md"] = _text(pages["add_a_paper.md"]).replace(_THIRD_PAPER_HERE, third_paper())
    architecture = _text(pages["architecture.md"])
    pages["architecture.md"] = architecture.replace(_IMPORTS_HERE, import_graph_page(architecture))
    records = {one: describe_run(one) for one in {run, shown}}
    notes = _notes(records[run], records[shown], stages)
    for name in pages.keys() & notes.keys():
        pages[name] = _with_note(_text(pages[name]), notes[name])
    reference = {f"api/{part}": page for part, page in api_pages().items()}
    pages |= {f"{name}.md": page for name, page in reference.items()}
    pages["_toc.yml"] = _toc(set(map(notebook_name, stages)), list(reference))
    for stage, notebook in executed.items():
        page = f"notebooks/{notebook_name(stage)}.ipynb"
        own = shown if stage in RESULT_CHAPTERS else run
        foot = foot_of_notebook(stage, notebook, own, records[own])
        add_questions(notebook, stage)
        pages[page] = _readable(notebook_name(stage), notebook, notes[page], foot)
    linked = {name: addresses(name, _text(page)) for name, page in pages.items() if name.endswith((".md", ".ipynb"))}
    pages |= {f"{name}.md": page for name, page in checklist_pages(papers, linked).items()}
    for name in [name for name in pages if name.endswith(".md")]:
        seen = _records_of(name, records[run], records[shown])
        pages[name] = f"{_text(pages[name]).rstrip()}\n\n{foot_of_page(_text(pages[name]), seen)}\n"
    pages |= {f"assets/files/{file.name}": _without_paths(name, file.read_bytes()) for name, file in files.items()}
    pages |= _contact_sheets(papers, run)
    web = web_files(shown, papers, synthetic=synthetic, stepwise=used.get("stepwise_stratification", {}))
    web |= picture_files(run, shown, papers, profile=records[shown].profile, synthetic=synthetic)
    pages |= {f"assets/{name}": content for name, content in web.items()}
    written = {write_if_changed(source / name, content) for name, content in pages.items()}
    for file in sorted(source.rglob("*")):
        if file.is_file() and file not in written:
            file.unlink()
    return source


def _claims_pages(
    run: RunPaths,
    shown: RunPaths,
    listed: list[Item],
    executed: Mapping[str, nbformat.NotebookNode],
    *,
    synthetic: bool,
    intro: str,
) -> dict[str, str | bytes]:
    """The index of items and claims with its numbers, and the front page, whose lines ask for parts of them."""
    papers = {item.paper for item in listed}
    claimed = [claim for claim in claims() if claim.paper in papers]
    found = read_csv(run.root / "audit" / "findings.csv", keep_default_na=False)
    truth = shown.root / "figures_and_tables" / "truth.csv"
    beside = beside_print(shown)
    where = anchors({notebook_name(stage): notebook for stage, notebook in executed.items()})
    ideal = read_csv(truth) if truth.is_file() else None
    parts = front_page_parts(claimed, found, beside, ideal, where, synthetic=synthetic)
    for marker, part in parts.items():
        intro = intro.replace(marker, part)
    return {
        "intro.md": intro,
        "results.md": results_page(listed, claimed, found, beside, where, synthetic=synthetic),
        f"assets/files/{NUMBERS_FILE}": numbers_csv(beside, synthetic=synthetic),
    }


def _records_of(page: str, here: RunRecord, results: RunRecord) -> dict[str, RunRecord]:
    """Runs that a page of prose shows, by name."""
    shown = [results] * (page in (*_PAGES_OF_RESULTS, *_PAGES_OF_BOTH)) + [here] * (
        page in (*_PAGES_OF_IMAGES, *_PAGES_OF_BOTH)
    )
    return {record.run: record for record in shown}


def _notes(here: RunRecord, results: RunRecord, stages: Iterable[str]) -> dict[str, str]:
    """Which run a page shows, by page, of all pages that show one and of the notebooks that read no patient."""
    both = [("", here)] if results == here else [("Pages of results: ", results), ("Other pages: ", here)]
    notes = dict.fromkeys(_PAGES_OF_RESULTS, shown_run(("", results)))
    notes |= dict.fromkeys(_PAGES_OF_IMAGES, shown_run(("", here)))
    notes |= dict.fromkeys(_PAGES_OF_BOTH, shown_run(*both))
    for stage in stages:
        reads = stage in STAGES or stage in CHAPTER_READS
        records = [("", results if stage in RESULT_CHAPTERS else here)] if reads else []
        notes[f"notebooks/{notebook_name(stage)}.ipynb"] = shown_run(*records)
    return notes


def _with_note(page: str, note: str) -> str:
    """Page with a note where it has the line `_NOTE_HERE`, or else under its title."""
    if _NOTE_HERE in page:
        return page.replace(_NOTE_HERE, note)
    return re.sub(r"^# .*$", lambda title: f"{title.group()}\n\n{note}", page, count=1, flags=re.MULTILINE)


def _with_blocks(page: str, blocks: Mapping[str, str]) -> str:
    """Page with a block in the place of each line that names one."""
    return re.sub(r"^% [\w :]+$", lambda line: blocks.get(line.group(), line.group()), page, flags=re.MULTILINE)


def _with_terms(glossary: str) -> str:
    """Glossary with links to all of its terms where it has the line `_TERMS_HERE`, so that none is far away."""
    terms = re.findall(r"^\S.*$", "\n".join(_GLOSSARY.findall(glossary)), flags=re.MULTILINE)
    return glossary.replace(_TERMS_HERE, " ·\n".join(f"{{term}}`{term}`" for term in sorted(terms, key=str.lower)))


def _text(content: str | bytes) -> str:
    return content if isinstance(content, str) else content.decode("utf-8")


def _contact_sheets(papers: Iterable[str], run: RunPaths) -> dict[str, str | bytes]:
    return {
        f"assets/contact_sheets/{paper}/{file.name}": file.read_bytes()
        for paper in papers
        for file in run.contact_sheets(paper).glob("*.*")
        if file.suffix in (".webp", ".html")
    }


def papers_of(run: RunPaths) -> tuple[str, ...]:
    """Papers whose pipeline the run has."""
    named = _parameters(_executed(run, "cohort")).get("papers", ",".join(PAPERS))
    return tuple(part.strip() for part in str(named).split(","))


def _executed(run: RunPaths, stage: str) -> nbformat.NotebookNode:
    file = run.executed_notebook(stage)
    if not file.is_file():
        until = "" if stage in RESULT_CHAPTERS else f" --profile {run.root.name} --until {stage}"
        hint = f"Run that stage first: hccbook run{until}."
        place = f"{run.root.name}/notebooks/{file.name}"
        raise BookError(place, "the book needs every notebook executed", "no such file", hint)
    notebook = nbformat.read(file, as_version=4)
    for number, cell in enumerate(notebook.cells, start=1):
        failed = [output for output in cell.get("outputs", []) if output.output_type == "error"]
        if failed and "raises-exception" not in cell.metadata.get("tags", []):
            place, hint = f"{file.name}, cell {number}", f"Run stage {stage} again."
            raise BookError(place, "must have run", failed[0].ename, hint)
    return notebook


def _parameters(notebook: nbformat.NotebookNode) -> dict[str, Any]:
    return dict(notebook.metadata.get("papermill", {}).get("parameters", {}))


def _refuse_missing(
    listed: Iterable[Item], files: Mapping[str, Path], notebooks: Mapping[str, nbformat.NotebookNode]
) -> None:
    absent, anchors = [name for name, file in files.items() if not file.is_file()], []
    for item in listed:
        if not item.is_planned and not any(
            cell.cell_type == "markdown" and f"({item.id})=" in cell.source
            for cell in notebooks.get(item.page or "", nbformat.v4.new_notebook()).cells
        ):
            anchors.append(f"({item.id})= in {item.page}.ipynb")
    if absent:
        raise BookError(
            "results", "every file that items.yaml names must exist", "none of " + ", ".join(absent),
            "Run the stage that makes them: hccbook run.",
        )  # fmt: skip
    if anchors:
        raise BookError(
            "items.yaml", "each item needs its anchor line above its heading", "none of " + ", ".join(anchors),
            "Add the line to a Markdown cell of the notebook, or correct the page in items.yaml.",
        )  # fmt: skip


def _prose() -> dict[str, str | bytes]:
    folder = book_source_dir()
    pages: dict[str, str | bytes] = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        # Jupyter Book would load every script of a folder _static, and MathJax a second time, on every page.
        skipped = any(part.startswith((".", "_build", "_static")) for part in name.parts)
        if file.is_file() and file.name != "_toc.yml" and not skipped:
            pages[name.as_posix()] = file.read_bytes()
    return pages


def _toc(notebooks: set[str], reference: list[str]) -> str:
    toc = yaml.safe_load((book_source_dir() / "_toc.yml").read_text(encoding="utf-8"))
    for part in toc["parts"]:
        part["chapters"] = [
            chapter
            for chapter in part["chapters"]
            if not chapter["file"].startswith("notebooks/") or Path(chapter["file"]).name in notebooks
        ]
    toc["parts"].append({"caption": "Reference", "chapters": [{"file": name} for name in reference]})
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


def _readable(name: str, notebook: nbformat.NotebookNode, note: str, foot: str) -> str:
    """Notebook as readers see it: its run at the top, how it was made at the foot, plumbing folded, no path or time."""
    for stamp in ("papermill", METADATA):
        notebook.metadata.pop(stamp, None)
    notebook.cells[0].source = _with_note(notebook.cells[0].source, note)
    if notebook.cells[-1].cell_type != "markdown":
        notebook.cells.append(nbformat.v4.new_markdown_cell(id="foot"))
    notebook.cells[-1].source = f"{notebook.cells[-1].source.rstrip()}\n\n{foot}".lstrip()
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
        elif cell.cell_type == "code" and (name in _FOLDED or _IMPORTS.match(cell.source)):
            cell.metadata["tags"] = [*tags, "hide-input"]
            cell.metadata.setdefault("mystnb", {})["code_prompt_show"] = "Code"
    describe_pictures(notebook)
    text = nbformat.writes(notebook)
    for number, cell in enumerate(notebook.cells, start=1):
        refuse_paths(f"{name}.ipynb, cell {number}", "\n".join([cell.source, *_texts(cell)]))
    return text


def _texts(cell: nbformat.NotebookNode) -> Iterator[str]:
    for output in cell.get("outputs", []):
        for kind, content in {"text": output.get("text", ""), **output.get("data", {})}.items():
            if kind == "text" or not kind.startswith(("image/png", "image/jpeg", "application/pdf")):
                yield content if isinstance(content, str) else json.dumps(content)


def _without_paths(name: str, content: bytes) -> bytes:
    if name.endswith(".csv"):
        refuse_paths(name, content.decode("utf-8"))
    return content
