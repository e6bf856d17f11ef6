"""Whether a stage must run again: what it follows from has changed, or what it left has."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import nbformat

from hccbook.images import split_mask_path
from hccbook.pipeline.files import read_json, save_json, source_cases
from hccbook.provenance import Code, code_of, digest, files_of
from hccbook.run import RESULT_CHAPTERS, RunPaths, benchmarks_dir, data_dir, notebook_file, project_root, published_dir
from hccbook.settings import Profile

_DATA_READERS = {"hccbook.papers.published", "hccbook.features.radiomics.ibsi"}
_PLACES = ("manifest", "archive")
FILE_SETTINGS = ("weights", "resnet50_weights", "resnet18_weights", "predictions")
"""Settings that name files or folders which a stage reads."""


def stage_digest(stage: str, profile: Profile, run: RunPaths) -> str:
    """Hash of all that a stage follows from, but for what earlier stages leave.

    These are the cells of its notebook, its settings, the code that the notebook imports, the printed numbers and
    benchmarks that this code reads, files that settings name, for the cohort the content of the user's manifest and of
    every image and mask in it, and for a chapter that shows an archived run what that archive holds.

    Raises
    ------
    ManifestError
        If the user's manifest is wrong.
    """
    cells = nbformat.read(notebook_file(stage), as_version=4).cells
    source = _source(cells)
    parameters = profile.parameters(stage)
    inputs: list[object] = [[(cell.cell_type, cell.source) for cell in cells], *_code(source)]
    inputs.append({name: value for name, value in parameters.items() if name not in _PLACES})
    # What an archive holds is in its manifest, with sums.
    inputs += [run.archive_manifest] if stage in RESULT_CHAPTERS else []
    inputs += [project_root() / value for name, value in parameters.items() if name in FILE_SETTINGS and value]
    if "benchmark_file" in source:
        inputs.append(benchmarks_dir())
    if stage == "cohort" and run.manifest is not None:
        inputs.append(run.manifest)
        for case in source_cases(run, stage, profile.run.phases.split(","), profile.segmentation.masks).values():
            named = [split_mask_path(path)[0] for _, path in sorted(case.sources.items())]
            inputs += [path for path in named if path.exists()]
    return digest(*inputs, content=run.store.content)


def null_run_digest(profile: Profile, run: RunPaths) -> str:
    """Hash of all that the drawn cohorts of a null run follow from, but for what the main run's stages leave."""
    code = _code("from hccbook.pipeline.null_run import draw_null_run")
    return digest(profile.null_run, profile.run.papers, *code, content=run.store.content)


def _code(source: str) -> list[object]:
    """Code that a source runs, and the printed numbers that this code reads."""
    code = code_of(source=source)
    return [code.digest, *([published_dir(), data_dir() / "ibsi"] if _DATA_READERS & set(code.modules) else [])]


def notebook_code(stage: str) -> Code:
    """Code that the notebook of a stage runs."""
    return code_of(source=_source(nbformat.read(notebook_file(stage), as_version=4).cells))


def _source(cells: Iterable[nbformat.NotebookNode]) -> str:
    return "\n".join(_python(cell.source) for cell in cells if cell.cell_type == "code")


def _python(source: str) -> str:
    """Cell without the lines that only a notebook understands."""
    return "\n".join(line for line in source.splitlines() if not line.lstrip().startswith(("%", "!")))


def record_outputs(stage: str, run: RunPaths) -> None:
    """Write down what a stage has left, with the hash of each file."""
    save_json(_outputs(stage, run), outputs_file(stage, run))


def recorded_outputs(stage: str, run: RunPaths) -> dict[str, str]:
    """Files that a stage left, relative to the run's folder, with their hashes; none if it has not run."""
    record = outputs_file(stage, run)
    return read_json(record) if record.is_file() else {}


def forget_damaged(stage: str, run: RunPaths) -> list[str]:
    """Remove a stage's notebook if a file that it left is gone or has been altered, so that it runs again.

    What a null run has drawn has no notebook: the files themselves are removed instead.

    Returns
    -------
    list of str
        Such files, relative to the run's folder.
    """
    damaged = damaged_files(stage, run)
    if damaged:
        left, notebook = read_json(outputs_file(stage, run)), run.executed_notebook(stage)
        for file in [run.root / name for name in left] if _is_drawn(stage, run) else [notebook]:
            file.unlink(missing_ok=True)
    return damaged


def damaged_files(stage: str, run: RunPaths) -> list[str]:
    """Files that a stage left and that are gone or have been altered since, relative to the run's folder."""
    record = outputs_file(stage, run)
    if not record.is_file() or not (_is_drawn(stage, run) or run.executed_notebook(stage).is_file()):
        return []
    present = _outputs(stage, run)
    return [name for name, known in read_json(record).items() if present.get(name) != known]


def _is_drawn(stage: str, run: RunPaths) -> bool:
    """Whether a stage's files were drawn by a null run, without a notebook."""
    return run.executed_notebook(stage).relative_to(run.root).as_posix() not in read_json(outputs_file(stage, run))


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
