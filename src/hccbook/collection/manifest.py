"""From a folder tree to a manifest: what is known is filled in, what is not is left empty and listed."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from hccbook.cohort.manifest import csv_rows
from hccbook.collection.clinical import ClinicalTable
from hccbook.collection.decisions import decision_table, keep_filled, manifest_cells
from hccbook.collection.masks import Tie, dicom_masks, nifti_masks, tie_by_phase, tie_masks
from hccbook.collection.measures import Measured, VolumeTask, measure_volume
from hccbook.collection.nifti_volumes import sort_nifti
from hccbook.collection.page import write_page
from hccbook.collection.phases import Observation, PhaseProposal, measured_organs, propose_phases
from hccbook.collection.placing import place_files, place_volume, stem_of
from hccbook.collection.recipes import Recipe, phase_word, recipe_of
from hccbook.collection.selection import STUDY_POLICIES, Selection, select
from hccbook.collection.tree import Source, Tree, walk
from hccbook.collection.volumes import Volume, dicom_volumes
from hccbook.errors import SettingsError
from hccbook.parallel import map_patients
from hccbook.settings import PHASES
from hccbook.store import atomic_path


@dataclass(frozen=True)
class Choices:
    """What the user settles beforehand.

    Attributes
    ----------
    phases : tuple of str
        Phases that every patient must have.
    study : str
        One of `STUDY_POLICIES`.
    recipe : str
        Public collection whose names are known; empty for none.
    clinical : pathlib.Path or None
        CSV with clinical values.
    key : str
        Its column that holds the patients' identifiers.
    weights : pathlib.Path or None
        Weights of a trained network that segments liver and spleen of volumes without masks, for their enhancement.
    """

    phases: tuple[str, ...] = PHASES
    study: str = ""
    recipe: str = ""
    clinical: Path | None = None
    key: str = ""
    weights: Path | None = None


@dataclass
class Collection:
    """A collection as far as it is understood; volumes, their paths, measures and proposals by number."""

    tree: Tree
    folder: Path
    volumes: dict[int, Volume] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)  # P0001 by patient
    paths: dict[int, Path] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)  # P0001_1 of each that is read
    places: dict[Source, Path] = field(default_factory=dict)
    ties: list[Tie] = field(default_factory=list)
    measured: dict[int, Measured] = field(default_factory=dict)
    proposals: dict[int, PhaseProposal] = field(default_factory=dict)
    selections: dict[str, Selection] = field(default_factory=dict)

    def usable(self, patient: str) -> list[int]:
        """Numbers of a patient's volumes that are not left out."""
        return [number for number, volume in self.volumes.items() if volume.patient == patient and not volume.left_out]


@dataclass(frozen=True)
class ManifestReport:
    """What was written.

    Attributes
    ----------
    manifest, decisions, page : pathlib.Path
    patients, whole : int
        Rows of the manifest, and those of them whose images are all there.
    table : pandas.DataFrame
        The decisions, with `hccbook.collection.decisions.DECISION_COLUMNS`.
    """

    manifest: Path
    decisions: Path
    page: Path
    patients: int
    whole: int
    table: pd.DataFrame

    @property
    def open(self) -> int:
        """Decisions that are the user's."""
        return int(self.table["decision"].isin(["left empty", "left open"]).sum())

    def __str__(self) -> str:
        page = self.page.relative_to(self.manifest.parent).as_posix()
        return "\n".join(
            [
                f"{self.manifest.name}: {self.patients} patients, {self.whole} with all phases",
                f"{self.decisions.name}: {len(self.table)} decisions, {self.open} left open",
                f"{page}: a picture of every volume",
            ]
        )


def write_manifest(
    root: str | Path, output: str | Path, choices: Choices | None = None, workers: int = 1
) -> ManifestReport:
    """Write the manifest of a folder tree of CT, with a table of decisions and a page.

    Parameters
    ----------
    root : path-like
        Folder with DICOM objects, NIfTI files and zip files, in any order of folders.
    output : path-like
        CSV to write. Beside it come ``<stem>_decisions.csv``, ``<stem>_page/index.html`` with a picture of every
        volume, and ``<stem>_volumes`` with links to the slices of volumes that have no folder of their own.
    choices : Choices, optional
    workers : int
        Processes side by side.

    Returns
    -------
    ManifestReport

    Raises
    ------
    ImageError
        If the folder holds no image.
    ManifestError, SettingsError
        If the clinical table cannot be read or joined, or a choice is unknown.

    Notes
    -----
    A cell of which nothing is known, or that two things could fill, is left empty, and is a row of the table of
    decisions; where the file is there already, such a cell keeps what it has. The files of the tree are not changed.
    """
    output = Path(output).resolve()
    choices = choices or Choices()
    _check(choices, output)
    recipe = recipe_of(choices.recipe)
    clinical = ClinicalTable.read(choices.clinical, choices.key) if choices.clinical else None
    stem = stem_of(output)
    page, linked = output.with_name(f"{stem}_page"), output.with_name(f"{stem}_volumes")
    collection = Collection(walk(root, skip=(page, linked)), linked)
    _find_volumes(collection, recipe)
    _measure(collection, page, workers, str(choices.weights or ""))
    _propose(collection, recipe)
    sure = {number: proposal.phase for number, proposal in collection.proposals.items()}
    collection.ties = tie_by_phase(collection.ties, sure)
    for patient in collection.keys:
        numbers = collection.usable(patient)
        collection.selections[patient] = select(
            numbers, collection.volumes, collection.proposals, collection.ties, choices.phases, choices.study
        )
    cells, empty = manifest_cells(collection, choices.phases, clinical, output.parent)
    empty = keep_filled(cells, empty, output)
    table = decision_table(collection, cells, empty, clinical)
    decisions = output.with_name(f"{stem}_decisions.csv")
    for file, content in ((output, cells), (decisions, table)):
        with atomic_path(file) as part:
            content.to_csv(part, index=False, lineterminator="\n")
    write_page(page / "index.html", collection, empty, output.name)
    whole = int((cells[list(choices.phases)] != "").all(axis=1).sum()) if len(cells) else 0
    return ManifestReport(output, decisions, page / "index.html", len(cells), whole, table)


def _check(choices: Choices, output: Path) -> None:
    if output.suffix.lower() != ".csv":
        hint = "Write a name such as patients.csv."
        raise SettingsError("output", "must be a CSV file", f"a name ending in {output.suffix!r}", hint)
    if output.is_file():
        csv_rows(output)  # refused here, before the tree is read
    if choices.study not in STUDY_POLICIES:
        raise SettingsError("study", "must be first or last", repr(choices.study), "Leave it out to decide by hand.")
    if (choices.clinical is None) != (not choices.key):
        hint = "Give both: --clinical FILE --on COLUMN."
        found = "a column without a table" if choices.key else "a table without its column"
        raise SettingsError("clinical table", "must come with the column of the patients' identifiers", found, hint)


# --- volumes, measures, phases ----------------------------------------------------------------------------------------


def _find_volumes(collection: Collection, recipe: Recipe) -> None:
    tree, folder = collection.tree, collection.folder
    wanted = [*tree.nifti, *(tree.source(header) for header in tree.headers if header.references is not None)]
    collection.places = place_files(wanted, folder / "unpacked")
    found = [_named(volume, recipe, tree) for volume in dicom_volumes(tree)]
    images, files = sort_nifti(tree, collection.places, recipe)
    volumes = sorted([*found, *images], key=lambda volume: _natural(volume.patient))
    collection.volumes = dict(enumerate(volumes))
    masks = [*dicom_masks(tree, collection.places), *nifti_masks(files, recipe, tree.root)]
    masks = [
        dataclasses.replace(mask, patient=_mask_patient(mask.source, mask.patient, recipe, tree)) for mask in masks
    ]
    collection.ties = tie_masks(masks, volumes, collection.places)
    with_images = dict.fromkeys(volume.patient for volume in volumes if not volume.left_out)
    collection.keys = {patient: f"P{number:04d}" for number, patient in enumerate(with_images, start=1)}


def _natural(text: str) -> list[tuple[int, int, str]]:
    """Order in which 2 comes before 10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", text) if part]


def _named(volume: Volume, recipe: Recipe, tree: Tree) -> Volume:
    """The volume under the name that a recipe finds in its folders."""
    return dataclasses.replace(volume, patient=_mask_patient(volume.files[0], volume.patient, recipe, tree))


def _mask_patient(source: Source, patient: str, recipe: Recipe, tree: Tree) -> str:
    match = recipe.folders.fullmatch("/".join(source.parts(tree.root))) if recipe.folders else None
    return match["patient"] if match else patient


def _measure(collection: Collection, page: Path, workers: int, weights: str) -> None:
    tasks: dict[str, VolumeTask] = {}
    numbers: dict[str, int] = {}
    counts: Counter[str] = Counter()
    for number, volume in collection.volumes.items():
        if volume.left_out:
            continue
        key = collection.keys[volume.patient]
        counts[key] += 1
        name = f"{key}_{counts[key]}"
        path = place_volume(volume, collection.folder / key / str(counts[key]), collection.folder / "unpacked")
        collection.paths[number], collection.names[number], numbers[name] = path, name, number
        tasks[name] = VolumeTask(path, _mask_paths(collection, number), page / f"{name}.png", name, weights)
    outcome = map_patients(measure_volume, tasks, stage="manifest", workers=workers)
    failed = dict(zip(outcome.failures["patient"], outcome.failures["kind"], strict=True))
    for name, number in numbers.items():
        result = outcome.results.get(name) or Measured(error=f"could not be read ({failed.get(name, 'unknown')})")
        collection.measured[number] = result
        if result.error:
            volume = collection.volumes[number]
            collection.volumes[number] = dataclasses.replace(volume, left_out=f"cannot be used: {result.error}")


def _mask_paths(collection: Collection, number: int) -> dict[str, tuple[str, ...]]:
    paths: dict[str, list[str]] = defaultdict(list)
    for tie in collection.ties:
        if tie.volume == number:
            for organ, parts in tie.mask.parts.items():
                paths[organ] += [f"{tie.mask.path}#{part}" if part else str(tie.mask.path) for part in parts]
    return {organ: tuple(found) for organ, found in paths.items() if organ in measured_organs()}


def _propose(collection: Collection, recipe: Recipe) -> None:
    studies: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, volume in collection.volumes.items():
        if not volume.left_out:
            studies[volume.patient, volume.study].append(number)
    for numbers in studies.values():
        clock = not all(_at_midnight(collection.volumes[number]) for number in numbers)
        observations = [_observation(collection, number, recipe, clock) for number in numbers]
        collection.proposals |= dict(zip(numbers, propose_phases(observations), strict=True))


def _at_midnight(volume: Volume) -> bool:
    return volume.header is not None and volume.header.midnight


def _observation(collection: Collection, number: int, recipe: Recipe, clock: bool) -> Observation:
    volume = collection.volumes[number]
    header = volume.header
    word, by_name = phase_word(volume.description), header is None
    if recipe.phase and recipe.folders:
        word, by_name = recipe.phase, True
    delay = None
    if header is not None and header.injected is not None and volume.second is not None:
        delay = volume.second - header.injected
    if delay is not None and not -30 <= delay <= 900:  # another clock, or another injection
        delay = None
    return Observation(volume.second if clock else None, collection.measured[number].hu, word, by_name, delay)
