"""A run in shards: each keeps the results of its share of patients in a store, and merged they are what a run finds.

Images, masks and radiomics are a patient's own. What follows from several patients is left to the run on the merged
store: repeated volumes, the boxes of the deep features and the fine-tuning, models, tables.
The segmentation network is trained once, before the shards.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pydantic import Field

from hccbook import phantom
from hccbook.cluster import RUN_FOLDER
from hccbook.cohort import usable_patients
from hccbook.errors import DataError, HccbookError
from hccbook.papers import PAPERS
from hccbook.parallel import Share
from hccbook.pipeline.cohort import make_training_set
from hccbook.pipeline.costs import processor_kind
from hccbook.pipeline.features import extract_radiomics
from hccbook.pipeline.files import read_csv
from hccbook.pipeline.preprocessing import preprocess_cohort
from hccbook.pipeline.run_folder import claimed, ended_together
from hccbook.pipeline.segmentation import segment_cohort, segmentation_network
from hccbook.provenance import code_of, digest, file_digest
from hccbook.run import RunPaths
from hccbook.settings import Profile, Settings
from hccbook.store import SUMS, NotStoredError, Store, atomic_folder, atomic_path, reading_only

_RECORDS = "shards"
_STAGES = ("preprocessing", "segmentation", "features")


class ShardError(HccbookError):
    """A shard that cannot begin, or shards that are not those of one run."""


class ShardFailure(Settings):
    """A patient that a shard could not finish; a run tries again."""

    paper: str
    patient: str
    stage: str
    kind: str


class ShardRecord(Settings):
    """What a finished shard says of itself, in the store that holds its results."""

    share: str = Field(description="Which of how many, such as 3/7.")
    made: str = Field(description="A name of its own: a copy has the same one, the same shard made again another.")
    code: str = Field(description="Hash of the code that made it.")
    processor: str = Field(description="Kind of processor that it was made on.")
    patients: dict[str, int] = Field(description="Patients by paper, those who failed among them.")
    failures: tuple[ShardFailure, ...]

    @property
    def file_name(self) -> str:
        """Name of its file."""
        return f"{self.share.replace('/', '-of-')}.json"


def shard_paths(run: RunPaths, share: Share) -> RunPaths:
    """Folder that a shard works in, beside that of its run, whose store it shares; gone when the shard is done."""
    return RunPaths(run.root.with_name(f"{run.root.name}-shard-{share.number}-of-{share.count}"), run.manifest)


def run_shard(run: RunPaths, profile: Profile, share: Share, workers: int) -> ShardRecord:
    """Keep the results of a share of the patients in the store; what lies there already is not made again.

    Parameters
    ----------
    run : RunPaths
        The whole run, with the user's manifest.
    profile : Profile
        Its settings.
    share : Share
        Number 0 trains the segmentation network, for all shards.
    workers : int

    Returns
    -------
    ShardRecord
        Number 0 has no patients.

    Raises
    ------
    ShardError
        If the network is to be trained, and is not in the store, or the shard was told to stop.
    """
    paths = shard_paths(run, share)
    os.environ[RUN_FOLDER] = str(paths.root)
    try:
        with claimed(paths), ended_together(None):
            record = _shard(paths, profile, share, workers)
            shutil.rmtree(paths.root, ignore_errors=True)
    except KeyboardInterrupt as stopped:
        hint = "Give the same command again to go on from there."
        raise ShardError(f"shard {share}", "must run to its end", "a signal to stop", hint) from stopped
    with atomic_path(records_folder(run.store, run, profile) / record.file_name) as part:
        part.write_text(record.model_dump_json(indent=1), encoding="utf-8")
    return record


def _shard(paths: RunPaths, profile: Profile, share: Share, workers: int) -> ShardRecord:
    network = _network(paths, profile, share, workers)
    patients, failures = {}, []
    with share.alone():
        for paper in profile.run.papers.split(",") if share.number else ():
            keys = _keys(paths, paper, profile, share, workers)
            patients[paper] = len(keys)
            failures += _compute(paths, paper, profile, network, workers, keys) if keys else []
    return ShardRecord(
        share=str(share),
        made=uuid.uuid4().hex,
        code=code_digest(),
        processor=processor_kind(),
        patients=patients,
        failures=tuple(failures),
    )


def is_network_trained(profile: Profile) -> bool:
    """Whether a run with these settings trains its segmentation network, so that shards need one before them."""
    return profile.segmentation.mask_source == "network" and not profile.segmentation.weights


def _network(paths: RunPaths, profile: Profile, share: Share, workers: int) -> Path | None:
    """Network that all shards use; trained by number 0 alone."""
    if is_network_trained(profile) and paths.manifest is None and profile.cohort.segmentation_patients:
        make_training_set(paths, profile.cohort, workers)
    with contextlib.nullcontext() if not share.number else reading_only():
        try:
            return segmentation_network(paths, profile.segmentation, tuple(profile.run.phases.split(",")))
        except NotStoredError as error:
            hint = (
                f"Run --shard 0/{share.count} first, on the same kind of processor, and copy its store to where there "
                "is none; or name trained weights in segmentation.weights."
            )
            place = f"shard {share}"
            raise ShardError(place, "all shards need one trained network", "none in the store", hint) from error


def _keys(paths: RunPaths, paper: str, profile: Profile, share: Share, workers: int) -> list[str]:
    """Keys of the share's patients, who are simulated if the run's are."""
    if paths.manifest is not None:
        everybody = usable_patients(paths.manifest, profile.run.phases.split(","))[0]
    else:
        everybody = phantom.simulate_clinical(paper, profile.cohort)
    keys = [key for key in everybody.index if share.has(key)]
    if keys and paths.manifest is None:
        folder, series = paths.synthetic_cohort(paper), profile.cohort.dicom_patients
        phantom.write_patients(folder, everybody, profile.cohort, series, workers, paths.store)
    return keys


def _compute(
    paths: RunPaths, paper: str, profile: Profile, network: Path | None, workers: int, keys: Sequence[str]
) -> Iterator[ShardFailure]:
    """Every step of the patients' own; gives those who failed."""
    left = set(keys)
    for stage, step in zip(_STAGES, _steps(paths, paper, profile, network, workers), strict=True):
        try:
            step()
        except DataError:
            # That nobody is left is no error of a shard, which may have one patient.
            table = paths.stage(stage) / f"{paper}_failures.csv"
            if not table.is_file() or left - set(read_csv(table)["patient"]):
                raise
        for row in read_csv(paths.stage(stage) / f"{paper}_failures.csv").itertuples():
            left.discard(row.patient)
            yield ShardFailure(paper=paper, patient=row.patient, stage=stage, kind=row.kind)
        if not left:
            return


def _steps(
    paths: RunPaths, paper: str, profile: Profile, network: Path | None, workers: int
) -> tuple[Callable[[], object], ...]:
    phases, masks = tuple(profile.run.phases.split(",")), profile.segmentation.masks
    return (
        functools.partial(preprocess_cohort, paths, paper, profile.preprocessing, phases, workers, masks),
        functools.partial(segment_cohort, paths, paper, profile.segmentation, network, phases, workers),
        functools.partial(extract_radiomics, paths, paper, profile.features, phases, workers),
    )


@functools.cache
def code_digest() -> str:
    """Hash of the code of every step that a shard takes."""
    return code_of(__name__).digest


def records_folder(store: Store, run: RunPaths, profile: Profile) -> Path:
    """Folder of the records of a run's shards in a store: settings and manifest, wherever that lies, are its name."""
    settings = profile.model_copy(update={"run": profile.run.model_copy(update={"manifest": ""})})
    return store.root / _RECORDS / digest(settings, *([run.manifest] if run.manifest else []))


# --- merging ----------------------------------------------------------------------------------------------------------


def merge_shards(run: RunPaths, profile: Profile, folders: Sequence[Path] = ()) -> list[str]:
    """Bring the results of all shards into the store of the run.

    Parameters
    ----------
    run : RunPaths
        The whole run, with the user's manifest.
    profile : Profile
        Its settings.
    folders : sequence of pathlib.Path
        Copied stores of other machines, or folders that hold one as ``store``; none where all shards share the store.

    Returns
    -------
    list of str
        What was found, in words.

    Raises
    ------
    ShardError
        If a shard is missing, was made twice, or is another run's or version's; names them all, and takes nothing.
    """
    stores = [run.store, *(Store(_store_in(folder)) for folder in folders)]
    records = _checked(_found(stores, run, profile), profile)
    _refuse_differing(stores)
    taken, damaged = 0, 0
    for source in stores[1:]:
        for entry in _entries(source):
            if not (run.store.root / entry / SUMS).is_file():
                is_whole = _take(run.store, source, entry)
                taken, damaged = taken + is_whole, damaged + (not is_whole)
    for record in records:
        with atomic_path(records_folder(run.store, run, profile) / record.file_name) as part:
            part.write_text(record.model_dump_json(indent=1), encoding="utf-8")
    return list(_said(records, taken, damaged))


def _store_in(folder: Path) -> Path:
    for store in (folder / "store", folder):
        if (store / _RECORDS).is_dir():
            return store
    hint = "Copy results/store of the machine as a whole."
    raise ShardError(f"folder {folder.name}", "must be a store, or hold one, with a finished shard", "none", hint)


def _found(stores: Sequence[Store], run: RunPaths, profile: Profile) -> dict[str, dict[str, tuple[ShardRecord, str]]]:
    """Records by share and by their own name, each with the folder where it lies."""
    found: dict[str, dict[str, tuple[ShardRecord, str]]] = {}
    for store in stores:
        for file in sorted(records_folder(store, run, profile).glob("*-of-*.json")):
            record = ShardRecord.model_validate_json(file.read_text(encoding="utf-8"))
            place = f"{store.root.parent.name}/{store.root.name}"
            found.setdefault(record.share, {}).setdefault(record.made, (record, place))
    return found


def _checked(found: dict[str, dict[str, tuple[ShardRecord, str]]], profile: Profile) -> list[ShardRecord]:
    """Records of a whole set of shards, each there once."""
    place, rule = "shards", "each must be there once, of these settings, this manifest and this version"
    if not found:
        first = " --shard 0/N, then" if is_network_trained(profile) else ""
        hint = f"Run{first} --shard 1/N to N/N with the same profile and manifest, and name the stores they left."
        raise ShardError(place, rule, "no shard of this run", hint)
    wrong: dict[int, list[str]] = {}
    for count in sorted({Share.of(share).count for share in found}):
        wrong[count] = []
        for number in range(1, count + 1):
            share = f"{number}/{count}"
            made = list(found.get(share, {}).values())
            if not made:
                wrong[count].append(f"{share} is missing")
            elif len(made) > 1:
                wrong[count].append(f"{share} was made {len(made)} times: " + ", ".join(where for _, where in made))
            elif made[0][0].code != code_digest():
                wrong[count].append(f"{share} was made by another version of the package")
        if not wrong[count]:
            return [next(iter(found[f"{number}/{count}"].values()))[0] for number in range(1, count + 1)]
    named = "; ".join(one for several in wrong.values() for one in several)
    hint = "Run what is missing; of what was made twice name one store; begin anew after a change of the package."
    raise ShardError(place, rule, named, hint)


def _entries(store: Store) -> Iterator[str]:
    for sums in sorted(store.root.glob(f"*/*/{SUMS}")):
        yield sums.parent.relative_to(store.root).as_posix()


def _refuse_differing(stores: Sequence[Store]) -> None:
    """Refuse results of one key that differ between stores: nobody knows which one the others follow from."""
    if len(stores) == 1:
        return
    sums: dict[str, tuple[str, str]] = {}
    for store in stores:
        for entry in _entries(store):
            own = file_digest(store.root / entry / SUMS)
            first, where = sums.setdefault(entry, (own, store.root.parent.name))
            if first != own:
                kind, _, _ = entry.partition("/")
                found = f"a result of {kind} that differs between {where} and {store.root.parent.name}"
                hint = "Train the network once (--shard 0/N), and use one kind of processor."
                raise ShardError("shards", "must agree in what they share", found, hint)


def _take(store: Store, source: Store, entry: str) -> bool:
    """Copy an entry that is what its sums say; False, and nothing, where it is not."""
    with contextlib.suppress(FileNotFoundError, ValueError), atomic_folder(store.root / entry) as part:
        shutil.copytree(source.root / entry, part, dirs_exist_ok=True, copy_function=shutil.copyfile)
        sums = json.loads((part / SUMS).read_text(encoding="utf-8"))
        if any(file_digest(part / name) != known for name, known in sums.items()):
            raise ValueError(entry)
        return True
    return False


def _said(records: Sequence[ShardRecord], taken: int, damaged: int) -> Iterator[str]:
    counts = {paper: sum(record.patients.get(paper, 0) for record in records) for paper in records[0].patients}
    patients = ", ".join(f"{PAPERS[paper].title} {count:,}" for paper, count in counts.items())
    yield f"{len(records)} shards: patients of {patients}; {taken:,} results brought together"
    if damaged:
        yield f"{damaged:,} results were damaged on their way, and are made again"
    kinds = sorted({record.processor for record in records})
    if len(kinds) > 1:
        yield f"Made on processors of the kinds {', '.join(kinds)}: last digits are not those of one machine"
    failed = [one for record in records for one in record.failures]
    if failed:
        named = ", ".join(f"{one.patient} ({one.paper}, {one.stage}: {one.kind})" for one in failed[:5])
        more = f" and {len(failed) - 5:,} more" if len(failed) > 5 else ""
        yield f"Failed in a shard, and tried again: {named}{more}"
