"""A finished run kept small, and shown again: what the result chapters read, without images and feature tables.

An archive has the layout of a run's folder, with large text files compressed and a manifest beside them. It is never
written to: what shows it unpacks it into a folder of its own, where the result chapters are executed.
"""

from __future__ import annotations

import datetime
import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd
import yaml

from hccbook.errors import HccbookError
from hccbook.models import AmapCtFamily
from hccbook.papers import find_paper
from hccbook.pipeline.files import save_json
from hccbook.pipeline.run_record import KeptFile, RunRecord, describe_run, recorded_stages
from hccbook.pipeline.staleness import damaged_files
from hccbook.provenance import file_digest, files_of
from hccbook.run import RESULT_CHAPTERS, STAGES, RunPaths, archives_dir
from hccbook.store import atomic_folder, write_if_changed

MAX_BYTES = 20_000_000
"""Most bytes of an archive: it is kept in the repository."""

_COMPRESSED_FROM = 100_000

_KEPT: Mapping[str, tuple[str, ...]] = {
    "cohort": ("*.csv", "truth.json"),
    "preprocessing": ("settings.json", "*_failures.csv", "*_remarks.csv"),
    "segmentation": ("*_failures.csv", "*_dice.csv"),
    "features": ("settings.json", "*_failures.csv", "*_counts.csv", "*_image_characteristics.csv"),
    "alarm": ("*.csv", "*.json"),
    "amap_ct": ("*.csv", "*.json"),
    **dict.fromkeys(RESULT_CHAPTERS, ("*.csv",)),
}
"""Files that are kept as they are, by stage; feature tables and tables of masks are cut to the columns in use."""


class ArchiveError(HccbookError):
    """A run that cannot be archived, or an archive that is not what was archived."""


def archive_run(run: RunPaths, out: Path | None = None) -> Path:
    """Keep what the result chapters read of a finished run.

    Parameters
    ----------
    run : RunPaths
        Its stages and result chapters must be executed, and their files as they were left.
    out : pathlib.Path, optional
        Folder of the archive, replaced if there; ``data/archived/<run>`` if absent.

    Returns
    -------
    pathlib.Path
        Folder of the archive.

    Raises
    ------
    ArchiveError
        If a stage has not run or a file has been altered since, if the patients are a user's own and no folder is
        named, or if the archive would hold more than `MAX_BYTES`.
    """
    record = describe_run(run)
    _refuse_unfinished(run, record)
    if out is None and not record.profile.run.synthetic:
        raise ArchiveError(
            run.root.name,
            "a run on own patients must be archived in a folder that you name",
            "none",
            "Give --out FOLDER, where patients' clinical values may lie.",
        )
    folder = archives_dir() / run.root.name if out is None else out
    with atomic_folder(folder) as part:
        for name, content in _contents(run, record):
            _write(part / name, content)
        files = {
            file.relative_to(part).as_posix(): KeptFile(sha256=file_digest(file), bytes=file.stat().st_size)
            for file in files_of(part)
        }
        _refuse_large(run, files)
        made = record.model_copy(update={"archived": datetime.date.today().isoformat(), "files": files})
        save_json(made.model_dump(), RunPaths(part).archive_manifest)
    return folder


def _refuse_unfinished(run: RunPaths, record: RunRecord) -> None:
    absent = [stage for stage in recorded_stages(record.papers) if not run.executed_notebook(stage).is_file()]
    if record.archived or absent:
        found = "an archive" if record.archived else f"not executed: {', '.join(absent)}"
        raise ArchiveError(run.root.name, "must be a finished run", found, "Run it to its end: hccbook run.")
    altered = [name for stage in recorded_stages(record.papers) for name in damaged_files(stage, run)]
    if altered:
        raise ArchiveError(run.root.name, "must hold what its stages left", ", ".join(altered[:8]), "Run it again.")


def _refuse_large(run: RunPaths, files: Mapping[str, KeptFile]) -> None:
    total = sum(file.bytes for file in files.values())
    if total > MAX_BYTES:
        largest = sorted(files, key=lambda name: -files[name].bytes)[:3]
        found = f"{total:,}; the largest are " + ", ".join(f"{name} ({files[name].bytes:,})" for name in largest)
        hint = "Keep fewer files: hccbook.pipeline.archive says which."
        raise ArchiveError(f"archive of {run.root.name}", f"must have at most {MAX_BYTES:,} bytes", found, hint)


def _contents(run: RunPaths, record: RunRecord) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file that is kept."""
    for stage, patterns in _KEPT.items():
        found = [file for pattern in patterns for file in (run.root / stage).glob(pattern)]
        yield from ((f"{stage}/{file.name}", file.read_bytes()) for file in sorted(found))
    for paper in record.papers:
        yield f"segmentation/{paper}.csv", _volumes(run.root / "segmentation" / f"{paper}.csv")
        used = _features_in_use(run, paper)
        for kind in ("radiomics", "deep"):
            name = f"features/{paper}_{kind}.parquet"
            table = pd.read_parquet(run.root / name)
            yield name, table[[column for column in table if column in used]].to_parquet()


def _volumes(file: Path) -> bytes:
    """Volumes of the masks, with the digits that the file has."""
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    columns = ["patient", "phase", *(name for name in table if name.endswith("_volume_ml"))]
    return table[columns].to_csv(index=False, lineterminator="\n").encode()


def _features_in_use(run: RunPaths, paper: str) -> set[str]:
    """Image features of the paper's model, and of those that it is compared with."""
    folder = run.root / paper
    models = [find_paper(paper).model_class().from_json(folder / "model.json")]
    if (folder / "family.json").is_file():
        models.append(AmapCtFamily.from_json(folder / "family.json"))
    return {name for model in models for name in model.image_features}


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if len(content) < _COMPRESSED_FROM or file.suffix == ".parquet":
        file.write_bytes(content)
    else:
        # Without a time, so that the same content is the same file.
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(content, mtime=0))


def read_archive(folder: Path) -> RunRecord:
    """Manifest of an archive, once every file has been found to be what was archived.

    Raises
    ------
    ArchiveError
        If the folder is no archive, or a file is altered, absent or has been added; the files are named.
    DataError, SettingsError
        If the manifest or the settings in it are of another version.
    """
    run = RunPaths(folder)
    if not run.archive_manifest.is_file():
        raise ArchiveError(
            folder.name,
            "must be an archived run",
            "no manifest" if folder.is_dir() else "no such folder",
            "Make it with `hccbook archive RUN`, or leave run.archive empty.",
        )
    record = describe_run(run)
    present = {file.relative_to(folder).as_posix(): file for file in files_of(folder) if file != run.archive_manifest}
    complaints = [f"{name} is absent" for name in record.files if name not in present]
    complaints += [f"{name} was added" for name in present if name not in record.files]
    complaints += [
        f"{name} was altered"
        for name, kept in record.files.items()
        if name in present and file_digest(present[name]) != kept.sha256
    ]
    if complaints:
        hint = "Restore the folder, or make the archive anew: hccbook archive RUN."
        raise ArchiveError(f"archive {folder.name}", "must hold what was archived", "; ".join(complaints[:8]), hint)
    return record


def unpack_archive(folder: Path, shown: RunPaths, *, results: bool = False) -> RunRecord:
    """Put an archive where its result chapters can be executed, and its settings as a profile beside it.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the archive, which is only read.
    shown : RunPaths
        Where to; what is there already and has not changed keeps its time.
    results : bool
        Whether the tables that the result chapters made are wanted too; when executed they make them again.

    Returns
    -------
    RunRecord

    Raises
    ------
    ArchiveError, DataError, SettingsError
        As `read_archive`.
    """
    record = read_archive(folder)
    if shown.executed_notebook(STAGES[0]).is_file():
        raise ArchiveError(shown.root.name, "must be free for an archived run", "another run", "Move that folder away.")
    written = {write_if_changed(shown.archive_manifest, RunPaths(folder).archive_manifest.read_bytes())}
    # How figures look is a matter of the book that shows them.
    settings = {section: values for section, values in record.settings.items() if section != "figures_and_tables"}
    written.add(write_if_changed(shown.archived_profile, yaml.safe_dump(settings)))
    for name in record.files:
        if results or name.partition("/")[0] not in RESULT_CHAPTERS:
            target, content = shown.root / name, (folder / name).read_bytes()
            if target.suffix == ".gz":
                target, content = target.with_suffix(""), gzip.decompress(content)
            written.add(write_if_changed(target, content))
    for stage in set(_KEPT) - set(RESULT_CHAPTERS):
        for file in files_of(shown.root / stage):
            if file.is_file() and file not in written:
                file.unlink()
    return record
