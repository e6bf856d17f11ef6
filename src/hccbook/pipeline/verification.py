"""Whether a crate still holds what its run left, and which published items an altered file touches."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from hccbook.errors import HccbookError
from hccbook.papers import PAPERS, published
from hccbook.pipeline.crate import CRATE, INPUTS, keyed_inputs, stages_read
from hccbook.pipeline.lineage import TRACED
from hccbook.pipeline.run_record import executed_notebooks, settings_of
from hccbook.provenance import file_digest
from hccbook.run import CHAPTERS, STAGES, RunPaths, notebook_name
from hccbook.settings import Profile

_RECORD = ".files.json"
_STAGES = (*STAGES, *CHAPTERS)


class CrateError(HccbookError):
    """A folder that is no crate, or one that cannot be read."""


@dataclass(frozen=True)
class Verification:
    """What a crate holds against what its run left.

    Attributes
    ----------
    altered : pandas.DataFrame
        Columns file (relative to the crate), what (``altered`` or ``absent``; of a user's input too), items (names in
        the list of items, joined by blanks; empty where no item follows from the file).
    files : int
        Files that were compared.
    """

    altered: pd.DataFrame
    files: int

    @property
    def items(self) -> list[str]:
        """Items that what is altered or absent touches, in the order of the list of items."""
        touched = {name for names in self.altered["items"] for name in names.split()}
        return [item.id for item in published.items() if item.id in touched]

    def __str__(self) -> str:
        rows = self.altered.itertuples(index=False)
        lines = [f"{row.file}: {row.what}; touches {row.items.replace(' ', ', ') or 'no item'}" for row in rows]
        told = f"{len(self.altered)} of {self.files} files are not what the run left"
        return "\n".join([*lines, f"{told}; {len(self.items)} items are touched."])


def verify_crate(crate: Path, manifest: Path | None = None) -> Verification:
    """Compare every file of a crate with its sum, and trace what differs to the items that follow from it.

    Parameters
    ----------
    crate : pathlib.Path
        Folder of a run, or the description in it.
    manifest : pathlib.Path, optional
        The user's manifest, where the inputs are to be compared as well; the run's store must be beside the folder.

    Raises
    ------
    CrateError
        If there is no description, or it is not what `hccbook.pipeline.crate.write_crate` writes.
    """
    folder = crate.parent if crate.name == CRATE else crate
    entities = _entities(folder)
    sums = {name: entity["sha256"] for name, entity in entities.items() if "sha256" in entity}
    wrong = dict(_wrong(folder, sums))
    records = [name for name in sums if name.endswith(_RECORD) and name not in wrong]
    lists = (_json(folder / record) for record in records)
    recorded = {name: known for own in lists for name, known in own.get("files", own).items() if name not in sums}
    wrong |= dict(_wrong(folder, recorded))
    lineage = _Lineage(entities, {*sums, *recorded})
    rows = [(name, what, lineage.items(name)) for name, what in wrong.items()]
    inputs = _wrong_inputs(folder, manifest) if manifest is not None else []
    rows += [(name, "altered", lineage.items(INPUTS)) for name in inputs]
    table = pd.DataFrame(
        [(name, what, " ".join(items)) for name, what, items in rows], columns=["file", "what", "items"]
    )
    return Verification(table, len(sums) + len(recorded))


def _entities(folder: Path) -> dict[str, dict[str, Any]]:
    if not (folder / CRATE).is_file():
        raise CrateError(folder.name, f"must hold {CRATE}", "no such file", "Name the folder of a run.")
    try:
        return {entity["@id"]: entity for entity in _json(folder / CRATE)["@graph"]}
    except (KeyError, TypeError, ValueError) as error:
        hint = "Take the crate as its run left it; without its description nothing can be said of it."
        raise CrateError(f"{folder.name}/{CRATE}", "must describe a run", type(error).__name__, hint) from error


def _json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _wrong(folder: Path, sums: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Files that are not what they were, each with what is wrong."""
    for name, known in sums.items():
        file = folder / name
        if not file.resolve().is_relative_to(folder.resolve()):
            raise CrateError(folder.name, "must name files within it only", name, "Take the crate from its source.")
        if not file.is_file():
            yield name, "absent"
        elif file_digest(file) != known:
            yield name, "altered"


def _wrong_inputs(folder: Path, manifest: Path) -> list[str]:
    """Inputs of a user's run that are no more what they were: patient and column."""
    run = RunPaths(folder.resolve(), manifest)
    profile = Profile.checked(f"settings of the run {folder.name}", settings_of(executed_notebooks(run)))
    before, now = pd.read_csv(folder / INPUTS, keep_default_na=False), keyed_inputs(run, profile)
    both = before.merge(now, how="outer", indicator=True)
    rows = both.loc[both["_merge"] != "both", ["patient", "input"]].drop_duplicates()
    return [", ".join(filter(None, row)) for row in rows.itertuples(index=False)]


class _Lineage:
    """Which items follow from a file."""

    def __init__(self, entities: Mapping[str, Mapping[str, Any]], files: Iterable[str]) -> None:
        self._items = [item for item in published.items() if not item.is_planned and item.data in set(files)]
        self._sources = {name: _ids(entity.get("isBasedOn", ())) for name, entity in entities.items()}
        self._executed = {stage for stage in _STAGES if f"#run-{notebook_name(stage)}" in entities}
        self._traced = {_stage(name) for name, sources in self._sources.items() if sources} & set(TRACED)

    def items(self, name: str) -> list[str]:
        """Items that an altered file touches, in the order of the list."""
        if name.endswith((".yaml", "Snakefile")):  # what every stage was made with
            return [item.id for item in self._items]
        if name.endswith(_RECORD):
            name = f"{PurePosixPath(name).name.removesuffix(_RECORD)}/"
        if name.startswith("notebooks/"):
            return [item.id for item in self._items if name == f"notebooks/{item.notebook}"]
        return [item.id for item in self._items if any(self._follows(own, name) for own in _files(item))]

    def _follows(self, file: str, source: str) -> bool:
        """Whether a file is, or follows from, another; a name that ends in a stroke is any file of that folder."""
        seen, waiting = set(), [file]
        while waiting:
            one = waiting.pop()
            if one == source or (source.endswith("/") and one.startswith(source)):
                return True
            if one in seen:
                continue
            seen.add(one)
            if _stage(one) in self._traced:
                waiting += self._sources.get(one, ())
            elif self._may_follow(one, source):
                return True
        return False

    def _may_follow(self, file: str, source: str) -> bool:
        """Whether a file that was not traced can have been made from another: by the order of stages, and by paper."""
        if source == INPUTS:
            return True
        stage, origin = _stage(file), _stage(source)
        # What this crate was given, as an archived run is, was not made here.
        if stage not in self._executed or origin not in stages_read(stage):
            return False
        papers = _papers(file), _papers(source)
        return not all(papers) or bool(papers[0] & papers[1])


def _files(item: published.Item) -> list[str]:
    return [name for name in (item.data, item.figure) if name]


def _ids(links: Any) -> list[str]:
    return [link["@id"] for link in ([links] if isinstance(links, Mapping) else links)]


def _stage(name: str) -> str:
    return name.partition("/")[0]


def _papers(name: str) -> set[str]:
    """Papers that a file's name gives it to; none for one that all share."""
    parts = PurePosixPath(name).parts
    words = {part.replace("-", "_") for part in parts}
    return {
        paper for paper in PAPERS if any(word == paper or word.startswith((f"{paper}_", f"{paper}.")) for word in words)
    }
