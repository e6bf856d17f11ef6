"""Whether a stage must run again, and why: what it follows from has changed, or what it left has."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from hccbook.cohort import sources, usable_patients
from hccbook.images import split_mask_path
from hccbook.pipeline.costs import read_costs
from hccbook.pipeline.files import read_json, save_json, source_cases
from hccbook.provenance import Code, code_of, digest, files_of, is_there
from hccbook.run import (
    NULL_RUN,
    RESULT_CHAPTERS,
    RunPaths,
    benchmarks_dir,
    data_dir,
    notebook_file,
    project_root,
    published_dir,
    step_name,
)
from hccbook.settings import Profile

_DATA_READERS = {"hccbook.papers.published", "hccbook.features.radiomics.ibsi"}
_PLACES = ("manifest", "archive")
FILE_SETTINGS = ("weights", "resnet50_weights", "resnet18_weights", "predictions")
"""Settings that name files or folders which a stage reads."""
_ROW, _IMAGES = "row of ", "images of "
_SHOWN = 4  # patients by key; of more the number
_NEW = "was not there"


def stage_inputs(stage: str, profile: Profile, run: RunPaths) -> dict[str, str]:
    """What a stage follows from, but for what earlier stages leave: the hash of each, by what it is called.

    These are its notebook, each of its settings, the code that the notebook imports, the printed numbers and
    benchmarks that this code reads, files that settings name, for the cohort the content of the user's manifest and,
    patient by patient, their row and their images and masks, and for a chapter that shows an archived run what that
    archive holds.

    Raises
    ------
    ManifestError
        If the user's manifest is wrong.
    """
    content = run.store.content
    cells = nbformat.read(notebook_file(stage), as_version=4).cells
    source = _source(cells)
    parameters = profile.parameters(stage)
    inputs: dict[str, object] = {"notebook": [(cell.cell_type, cell.source) for cell in cells], **_code(source)}
    inputs |= {f"setting {name}": value for name, value in parameters.items() if name not in _PLACES}
    named = {name: project_root() / value for name, value in parameters.items() if name in FILE_SETTINGS and value}
    inputs |= {f"file of the setting {name}": file for name, file in named.items()}
    if stage in RESULT_CHAPTERS:
        inputs["archived run"] = run.archive_manifest  # which holds sums
    if "benchmark_file" in source:
        inputs["benchmarks"] = benchmarks_dir()
    digests = {name: digest(value, content=content) for name, value in inputs.items()}
    if stage == "cohort" and run.manifest is not None:
        digests["manifest"] = digest(run.manifest, content=content)
        digests |= _patients(run, run.manifest, profile)
    return digests


def _patients(run: RunPaths, manifest: Path, profile: Profile) -> dict[str, str]:
    """Row of every patient of the user's manifest, and their images and masks."""
    phases, digests = profile.run.phases.split(","), {}
    rows, _ = usable_patients(manifest, phases)
    # Where files lie makes no difference, nor what the user calls a patient.
    names = ["line", "patient_id", *sources(rows)["column"].unique()]
    for key, row in rows.drop(columns=names).iterrows():
        digests[f"{_ROW}{key}"] = digest(row.to_dict())
    for key, case in source_cases(run, "cohort", phases, profile.segmentation.masks).items():
        named = [(column, split_mask_path(path)) for column, path in sorted(case.sources.items())]
        parts = [part for column, (file, label) in named if is_there(file) for part in (column, label, file)]
        digests[f"{_IMAGES}{key}"] = digest(*parts, content=run.store.content)
    return digests


def null_run_inputs(profile: Profile, run: RunPaths) -> dict[str, str]:
    """What the drawn cohorts of a null run follow from, as `stage_inputs`."""
    inputs = {"settings": profile.null_run, "papers": profile.run.papers}
    inputs |= _code("from hccbook.pipeline.null_run import draw_null_run")
    return {name: digest(value, content=run.store.content) for name, value in inputs.items()}


def inputs_of(stage: str, profile: Profile, run: RunPaths) -> dict[str, str]:
    """`stage_inputs`, or, of `hccbook.run.NULL_RUN`, `null_run_inputs`."""
    return null_run_inputs(profile, run) if stage == NULL_RUN else stage_inputs(stage, profile, run)


def _code(source: str) -> dict[str, object]:
    """Code that a source runs, and the printed numbers that this code reads."""
    code = code_of(source=source)
    printed = [published_dir(), data_dir() / "ibsi"] if _DATA_READERS & set(code.modules) else []
    return {"code": code.digest} | {f"folder {folder.name}": folder for folder in printed}


def notebook_code(stage: str) -> Code:
    """Code that the notebook of a stage runs."""
    return code_of(source=_source(nbformat.read(notebook_file(stage), as_version=4).cells))


def _source(cells: Iterable[nbformat.NotebookNode]) -> str:
    return "\n".join(_python(cell.source) for cell in cells if cell.cell_type == "code")


def _python(source: str) -> str:
    """Cell without the lines that only a notebook understands."""
    return "\n".join(line for line in source.splitlines() if not line.lstrip().startswith(("%", "!")))


@dataclass(frozen=True)
class StageRecord:
    """What a stage followed from when it was last executed, and what it left.

    Attributes
    ----------
    inputs : dict of str to str
        As `stage_inputs`; empty where it was never executed to its end.
    files : dict of str to str
        Hash of each file that it left, by its name relative to the run's folder.
    changed : tuple of str
        What differed from what it followed from the time before, as `changes` says it.
    """

    inputs: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    changed: tuple[str, ...] = ()

    @classmethod
    def of(cls, stage: str, run: RunPaths) -> StageRecord:
        """Record of a stage in a run; an empty one where there is none."""
        file = _inputs_file(stage, run)
        content = read_json(file) if file.is_file() else {}
        return cls(content.get("inputs", {}), recorded_outputs(stage, run), tuple(content.get("changed", ())))


def recorded_outputs(stage: str, run: RunPaths) -> dict[str, str]:
    """Files that a stage left, relative to the run's folder, with their hashes; none if it has not run."""
    record = outputs_file(stage, run)
    return read_json(record) if record.is_file() else {}


def record_outputs(stage: str, run: RunPaths) -> None:
    """Write down what a stage has left, with the hash of each file."""
    save_json(_outputs(stage, run), outputs_file(stage, run))


@contextlib.contextmanager
def recorded(stages: Iterable[str], run: RunPaths, inputs: Mapping[str, str]) -> Iterator[None]:
    """Have stages that are executed in the block leave a record, and nothing of what they left the time before.

    What somebody else put into their folders stays. A block that ends with an error leaves no record.
    """
    changed: dict[str, list[str]] = {}
    for stage in stages:
        before = StageRecord.of(stage, run)
        changed[stage] = changes(before.inputs, inputs) if before.files else [_NEW]
        for name in before.files:
            (run.root / name).unlink(missing_ok=True)
        outputs_file(stage, run).unlink(missing_ok=True)
    yield
    for stage, what in changed.items():
        save_json({"inputs": dict(inputs), "changed": what}, _inputs_file(stage, run))
        record_outputs(stage, run)


def forget_damaged(stage: str, run: RunPaths) -> list[str]:
    """Remove a stage's notebook if a file that it left is gone or has been altered, so that it runs again.

    What a null run has drawn has no notebook: the files themselves are removed instead.

    Returns
    -------
    list of str
        Such files, relative to the run's folder, and what became of them.
    """
    damaged = damaged_files(stage, run)
    if damaged:
        left, notebook = StageRecord.of(stage, run).files, run.executed_notebook(stage)
        for file in [run.root / name for name in left] if _is_drawn(stage, run) else [notebook]:
            file.unlink(missing_ok=True)
    return damaged


def damaged_files(stage: str, run: RunPaths) -> list[str]:
    """Files that a stage left and that are gone or have been altered since, relative to the run's folder."""
    known = StageRecord.of(stage, run).files
    if not known or not (_is_drawn(stage, run) or run.executed_notebook(stage).is_file()):
        return []
    present = _outputs(stage, run)
    return [
        f"{name} {'altered' if name in present else 'deleted'}"
        for name, content in known.items()
        if present.get(name) != content
    ]


def _is_drawn(stage: str, run: RunPaths) -> bool:
    """Whether a stage's files were drawn by a null run, without a notebook."""
    notebook = run.executed_notebook(stage).relative_to(run.root).as_posix()
    return notebook not in StageRecord.of(stage, run).files


def _outputs(stage: str, run: RunPaths) -> dict[str, str]:
    folder = run.root / stage
    files = files_of(folder) if folder.is_dir() else []
    return {
        file.relative_to(run.root).as_posix(): run.store.content(file)
        for file in (*files, run.executed_notebook(stage))
        if file.is_file()
    }


def outputs_file(stage: str, run: RunPaths) -> Path:
    """Where it is written down what a stage has left."""
    return run.root / "notebooks" / f"{stage}.files.json"


def _inputs_file(stage: str, run: RunPaths) -> Path:
    return run.root / "notebooks" / f"{stage}.inputs.json"


# --- why --------------------------------------------------------------------------------------------------------------


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What differs between what a stage followed from and what it follows from now, in words.

    Patients are named by their keys, first those who are new or another, then those who are gone.
    """
    differ = [name for name in {**after, **before} if before.get(name) != after.get(name)]
    said = [name for name in differ if not name.startswith((_ROW, _IMAGES))]
    for what in (_ROW, _IMAGES):
        of_kind = [name.removeprefix(what) for name in differ if name.startswith(what)]
        gone = [key for key in of_kind if f"{what}{key}" not in after]
        for keys, how in (([key for key in of_kind if key not in gone], ""), (gone, " gone")):
            said += [f"{what}{_listed(keys)}{how}"] if keys else []
    # Rows and images say it better, unless what changed is nobody's, such as the order of columns.
    return [name for name in said if name != "manifest" or len(said) == 1]


def _listed(keys: Sequence[str]) -> str:
    shown = ", ".join(keys[:_SHOWN])
    return f"{shown} and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else shown


@dataclass(frozen=True)
class Overview:
    """What a run finds before it starts, to say at its end what it made again, and why.

    Attributes
    ----------
    damaged : dict
        Files of a stage that were altered or deleted, by run and stage.
    finished : dict
        When a stage's record was written, by run and stage.
    """

    damaged: dict[tuple[RunPaths, str], list[str]]
    finished: dict[tuple[RunPaths, str], int]

    @classmethod
    def of(cls, runs: Iterable[RunPaths], stages: Sequence[str]) -> Overview:
        """Overview of some runs, whose damaged stages are forgotten on the way (`forget_damaged`)."""
        steps = [(run, stage) for run in dict.fromkeys(runs) for stage in stages]
        damaged = {step: forget_damaged(step[1], step[0]) for step in steps}
        return cls(damaged, {step: _written(step) for step in steps})

    def lines(self) -> list[str]:
        """What was made since for the first time, what again and why, and how much was kept."""
        made = [step for step, before in self.finished.items() if _written(step) > before]
        new, again = [], []
        for run, stage in made:
            name, changed = f"{run.root.name}, {step_name(stage)}", StageRecord.of(stage, run).changed
            why = [*self.damaged[run, stage], *(what for what in changed if what != _NEW)]
            if _NEW in changed and not why:
                new.append(step_name(stage))
            else:
                reason = "; ".join(why) or "what it reads was made again"
                again.append(f"Made again: {name}{_patients_anew(run, stage)}: {reason}")
        kept = sum(before > 0 for step, before in self.finished.items() if step not in made)
        first = [f"Made for the first time: {', '.join(dict.fromkeys(new))}"] if new else []
        return [*first, *again, *([f"Kept, since nothing that they follow from has changed: {kept}"] if kept else [])]


def _written(step: tuple[RunPaths, str]) -> int:
    run, stage = step
    file = outputs_file(stage, run)
    return file.stat().st_mtime_ns if file.is_file() else 0


def _patients_anew(run: RunPaths, stage: str) -> str:
    """How many patients a stage did not find in the store, where it works patient by patient."""
    rows = read_costs(run)
    rows = rows[(rows["run"] == run.root.name) & (rows["stage"] == step_name(stage)) & rows["computed"].notna()]
    return "".join(f" ({row.computed:.0f} of {row.patients:.0f} patients anew)" for row in rows.itertuples())
