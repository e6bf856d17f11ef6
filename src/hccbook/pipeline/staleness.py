"""Whether a stage must run again: what it follows from has changed, or what it left has."""

from __future__ import annotations

from pathlib import Path

import nbformat

from hccbook.pipeline.files import read_json, save_json, source_cases
from hccbook.provenance import code_of, digest, files_of
from hccbook.run import RunPaths, benchmarks_dir, data_dir, notebook_file, project_root
from hccbook.settings import Profile

_DATA_READERS = {"hccbook.papers.published", "hccbook.features.radiomics.ibsi"}
_FILE_SETTINGS = ("weights", "resnet50_weights", "resnet18_weights", "predictions")


def stage_digest(stage: str, profile: Profile, run: RunPaths) -> str:
    """Hash of all that a stage follows from, but for what earlier stages leave.

    These are the cells of its notebook, its settings, the code that the notebook imports, the printed numbers and
    benchmarks that this code reads, files that settings name, and, for the cohort, the content of the user's manifest
    and of every image and mask in it.

    Raises
    ------
    ManifestError
        If the user's manifest is wrong.
    """
    cells = nbformat.read(notebook_file(stage), as_version=4).cells
    source = "\n".join(_python(cell.source) for cell in cells if cell.cell_type == "code")
    parameters = profile.parameters(stage)
    inputs: list[object] = [[(cell.cell_type, cell.source) for cell in cells], *_code(source)]
    inputs.append({name: value for name, value in parameters.items() if name != "manifest"})
    inputs += [project_root() / value for name, value in parameters.items() if name in _FILE_SETTINGS and value]
    if "benchmark_file" in source:
        inputs.append(benchmarks_dir())
    if stage == "cohort" and run.manifest is not None:
        inputs.append(run.manifest)
        for case in source_cases(run, stage, profile.run.phases.split(",")).values():
            # Behind '#' stands what of a file is meant.
            inputs += [Path(path.partition("#")[0]) for _, path in sorted(case.sources.items())]
    return digest(*inputs, content=run.store.content)


def null_run_digest(profile: Profile, run: RunPaths) -> str:
    """Hash of all that the drawn cohorts of a null run follow from, but for what the main run's stages leave."""
    code = _code("from hccbook.pipeline.null_run import draw_null_run")
    return digest(profile.null_run, profile.run.papers, *code, content=run.store.content)


def _code(source: str) -> list[object]:
    """Code that a source runs, and the printed numbers that this code reads."""
    code = code_of(source=source)
    return [code.digest, *([data_dir()] if _DATA_READERS & set(code.modules) else [])]


def _python(source: str) -> str:
    """Cell without the lines that only a notebook understands."""
    return "\n".join(line for line in source.splitlines() if not line.lstrip().startswith(("%", "!")))


def record_outputs(stage: str, run: RunPaths) -> None:
    """Write down what a stage has left, with the hash of each file."""
    save_json(_outputs(stage, run), _record(stage, run))


def forget_damaged(stage: str, run: RunPaths) -> list[str]:
    """Remove a stage's notebook if a file that it left is gone or has been altered, so that it runs again.

    What a null run has drawn has no notebook: the files themselves are removed instead.

    Returns
    -------
    list of str
        Such files, relative to the run's folder.
    """
    record, notebook = _record(stage, run), run.executed_notebook(stage)
    left = read_json(record) if record.is_file() else {}
    drawn = notebook.relative_to(run.root).as_posix() not in left
    if not drawn and not notebook.is_file():
        return []
    present = _outputs(stage, run)
    damaged = [name for name, known in left.items() if present.get(name) != known]
    if damaged:
        for file in [run.root / name for name in left] if drawn else [notebook]:
            file.unlink(missing_ok=True)
    return damaged


def _outputs(stage: str, run: RunPaths) -> dict[str, str]:
    folder = run.root / stage
    files = files_of(folder) if folder.is_dir() else []
    return {
        file.relative_to(run.root).as_posix(): run.store.content(file)
        for file in (*files, run.executed_notebook(stage))
        if file.is_file()
    }


def _record(stage: str, run: RunPaths) -> Path:
    return run.root / "notebooks" / f"{stage}.files.json"
