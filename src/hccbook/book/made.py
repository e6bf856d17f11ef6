"""How each page of the book was made, for its foot: version, commit, run, seed, hashes of what went in, and code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nbformat

from hccbook.book.generated_pages import render
from hccbook.book.import_graph import modules_of
from hccbook.pipeline.run_record import METADATA, RunRecord, project_commit
from hccbook.pipeline.staleness import outputs_file
from hccbook.provenance import digest, version_of_package
from hccbook.run import CHAPTER_READS, STAGES, RunPaths, published_dir

_SHOWN_DIGITS = 12
_OF_ITS_OWN = ("hccbook", "commit")


def foot_of_page(content: str, records: Mapping[str, RunRecord]) -> str:
    """Foot of a page that no notebook executes, as MyST.

    Parameters
    ----------
    content : str
        The page as it was laid out.
    records : mapping of str to RunRecord
        Runs that it shows, by name; none where it shows none.
    """
    versions = {"hccbook": version_of_package(), "commit": project_commit()}
    hashes = {"page": _short(digest(content)), "printed numbers": _short(digest(published_dir()))}
    hashes |= {f"settings of {name}": _short(digest(record.settings)) for name, record in records.items()}
    return _foot(versions=versions, records=list(records.values()), hashes=hashes)


def foot_of_notebook(stage: str, notebook: nbformat.NotebookNode, run: RunPaths, record: RunRecord) -> str:
    """Foot of an executed notebook: what executed it, from what, and the modules that its cells call, as MyST.

    Parameters
    ----------
    stage : str
        Its stage or chapter.
    notebook : nbformat.NotebookNode
        As executed.
    run : RunPaths
        The run that executed it.
    record : RunRecord
        What that run says of itself.
    """
    cells = [cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    source = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    made = notebook.metadata.get(METADATA, {})
    hashes = {
        "notebook": digest([cell.source for cell in cells]),
        **({"code": made["code"]} if "code" in made else {}),
        "settings": digest(record.settings),
        "printed numbers": digest(published_dir()),
    }
    earlier = _earlier(stage)
    if run.archive_manifest.is_file():
        hashes["archive"] = digest(run.archive_manifest)
    elif earlier:
        hashes["earlier stages"] = digest(*(outputs_file(name, run) for name in earlier))
    versions = made.get("versions") or record.versions
    lines = [line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))]
    hashes = {name: _short(value) for name, value in hashes.items()}
    parameters = notebook.metadata.get("papermill", {}).get("parameters", {})
    return _foot(
        versions=versions,
        records=[record],
        hashes=hashes,
        parameters={name: value for name, value in sorted(parameters.items()) if not _names_a_file(value)},
        modules=modules_of("\n".join(lines)),
    )


def _earlier(stage: str) -> tuple[str, ...]:
    """Stages whose files a stage or chapter reads."""
    if stage in STAGES:
        return STAGES[: STAGES.index(stage)]
    return STAGES[: max((STAGES.index(name) + 1 for name in CHAPTER_READS.get(stage, ())), default=0)]


def _short(value: str) -> str:
    return value[:_SHOWN_DIGITS]


def _names_a_file(value: object) -> bool:
    """Whether a parameter is a place on the machine, which is no part of what was computed."""
    return isinstance(value, str) and "/" in value


def _foot(*, versions: Mapping[str, str], **parts: Any) -> str:
    libraries = {name: version for name, version in versions.items() if name not in _OF_ITS_OWN}
    given = {"parameters": {}, "modules": [], **parts}
    return render("made.md.j2", versions=versions, libraries=libraries, **given).strip()
