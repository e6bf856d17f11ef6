"""Every published item made anew and compared with what is committed: a CODECHECK of this repository.

The items of the result chapters are made from the archived run of the papers' sizes, the one that needs images from a
run at the smoke profile. On the kind of processor that the references were made on, tables must have the same bytes and
pictures the same pixels; on another one tables must agree to `DIGITS` digits, and pictures are as their tables are.

References
----------
CODECHECK configuration file 1.0, https://codecheck.org.uk/spec/config/1.0/.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from PIL import Image

from hccbook.papers import PAPERS, published
from hccbook.pipeline.archive import unpack_archive
from hccbook.pipeline.comparison import table_difference
from hccbook.pipeline.costs import processor_kind
from hccbook.pipeline.files import read_csv, read_json, save_json
from hccbook.pipeline.run_record import execution_record
from hccbook.pipeline.runner import execute_stage, run
from hccbook.provenance import file_digest
from hccbook.run import RESULT_CHAPTERS, RunPaths, archives_dir, data_dir, project_root
from hccbook.store import write_if_changed

DIGITS = 6
"""Digits to which numbers must agree where the processor is of another kind."""

FOLDER = "results/codecheck"
"""Folder of what is made anew, relative to the project's; whatever lies there is removed first."""

_ARCHIVE = "paper"
_COLUMNS = ["file", "item", "status", "detail"]
_PASSED = ("same", "agrees")


def manifest_file() -> Path:
    """CODECHECK's list of files, at the root of the repository."""
    return project_root() / "codecheck.yml"


def references_dir() -> Path:
    """Folder of what the items are compared with, beside the archived run."""
    return data_dir() / "codecheck"


def item_files() -> dict[str, published.Item]:
    """Files of every item, relative to the project's folder, in the order of the list of items."""
    listed = [item for item in published.items() if not item.is_planned]
    return {f"{_run_of(name)}/{name}": item for item in listed for name in (item.data, item.figure) if name is not None}


def _run_of(name: str) -> str:
    made = _ARCHIVE if name.partition("/")[0] in RESULT_CHAPTERS else "smoke"
    return f"{FOLDER}/{made}"


def manifest_text() -> str:
    """What `manifest_file` must hold for the list of items."""
    comments = {name: f"{PAPERS[item.paper].title}, {item.label}: {item.title}" for name, item in item_files().items()}
    content = {
        "version": "https://codecheck.org.uk/spec/config/1.0/",
        "manifest": [{"file": name, "comment": comment} for name, comment in comments.items()],
        "paper": {
            "title": "hccbook: executable companion to ALARM and aMAP-CT",
            "authors": [{"name": "hccbook developers"}],
            "reference": "https://doi.org/10.1016/j.eclinm.2024.102718 and https://doi.org/10.14218/JCTH.2025.00091",
        },
    }
    head = "%YAML 1.1\n# Made from data/published/items.yaml: hccbook codecheck --write-references\n---\n"
    return head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def make_items(jobs: int = 1) -> Path:
    """Make every item anew, in `FOLDER`, of which nothing is left from before.

    Returns
    -------
    pathlib.Path
        That folder.

    Raises
    ------
    StageError
        If a notebook stops.
    """
    folder = project_root() / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    run("smoke", results=f"{FOLDER}/smoke", jobs=jobs, until="features")
    shown = RunPaths(folder / _ARCHIVE)
    record = unpack_archive(archives_dir() / _ARCHIVE, shown)
    for chapter in RESULT_CHAPTERS:
        execute_stage(chapter, record.profile, str(shown.root), jobs)
    return folder


def write_references() -> None:
    """Keep what was made in `FOLDER` as the reference, and list it in `manifest_file`."""
    sums = {name: {"sha256": content_digest(project_root() / name)} for name in item_files()}
    versions = execution_record("figures_and_tables")["versions"]
    content = {"processor": processor_kind(), "versions": versions, "files": sums}
    save_json(content, references_dir() / "references.json")
    for name in item_files():
        if name.endswith(".csv") and not name.startswith(f"{FOLDER}/{_ARCHIVE}/"):
            write_if_changed(references_dir() / Path(name).name, (project_root() / name).read_bytes())
    write_if_changed(manifest_file(), manifest_text())


def content_digest(file: Path) -> str:
    """SHA-256 sum of a table's bytes, or of a picture's size and pixels, whatever else its file says."""
    if file.suffix != ".png":
        return file_digest(file)
    with Image.open(file) as picture:
        pixels = np.asarray(picture.convert("RGBA"))
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def compare_items(folder: Path, kind: str | None = None) -> pd.DataFrame:
    """Compare the files of every item with the references.

    Parameters
    ----------
    folder : pathlib.Path
        Folder that the names in the list of files are relative to.
    kind : str, optional
        Kind of processor that made them; that of this machine if absent.

    Returns
    -------
    pandas.DataFrame
        Columns file, item, status (``same``; ``agrees``, to `DIGITS` digits on another kind of processor; ``differs``,
        ``absent``) and detail, one row per file.
    """
    references = read_json(references_dir() / "references.json")
    same_kind = references["processor"] == (kind or processor_kind())
    kept = RunPaths(folder / FOLDER / "reference")
    unpack_archive(archives_dir() / _ARCHIVE, kept, results=True)
    rows = []
    for name, item in item_files().items():
        known = references["files"].get(name, {}).get("sha256")
        rows.append((name, item.id, *_compared(folder / name, known, same_kind, kept.root)))
    table = pd.DataFrame(rows, columns=_COLUMNS)
    return table if same_kind else _with_pictures(table)


def _compared(file: Path, known: str | None, same_kind: bool, kept: Path) -> tuple[str, str]:
    if not file.is_file():
        return "absent", "no such file"
    if known is None:
        return "differs", "no reference; see hccbook codecheck --write-references"
    if content_digest(file) == known:
        return "same", ""
    if file.suffix == ".png":
        return "differs", "other pixels"
    reference = kept / file.parent.name / file.name
    table = read_csv(reference if reference.is_file() else references_dir() / file.name)
    detail = table_difference(table, read_csv(file), DIGITS)
    return ("differs", detail or "other bytes") if detail or same_kind else ("agrees", f"to {DIGITS} digits")


def _with_pictures(table: pd.DataFrame) -> pd.DataFrame:
    """Pictures by other pixels agree where their tables do: another processor rounds lines and letters otherwise."""
    passed = set(table.loc[table["file"].str.endswith(".csv") & table["status"].isin(_PASSED), "item"])
    rounded = table["detail"].eq("other pixels") & table["item"].isin(passed)
    return table.assign(
        status=table["status"].mask(rounded, "agrees"), detail=table["detail"].mask(rounded, "as its table")
    )


def report_lines(table: pd.DataFrame) -> Iterator[str]:
    """The comparison for the terminal: what is not as it should be, and how many are."""
    for row in table[~table["status"].isin(_PASSED)].itertuples(index=False):
        yield f"{row.file} ({row.item}): {row.status}, {row.detail}"
    counts = table["status"].value_counts()
    yield f"{len(table)} files of {table['item'].nunique()} items: " + ", ".join(
        f"{number} {status}" for status, number in counts.items()
    )


def all_passed(table: pd.DataFrame) -> bool:
    """Whether every file is as it should be."""
    return bool(table["status"].isin(_PASSED).all())
