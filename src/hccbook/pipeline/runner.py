"""Run stages: papermill executes a notebook, Snakemake decides which ones are stale."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import TextIO

import nbformat
import papermill
import yaml
from papermill.exceptions import PapermillExecutionError

from hccbook.cluster import RUN_FOLDER, connected
from hccbook.cohort import usable_patients
from hccbook.errors import HccbookError, SettingsError, without_quotes
from hccbook.papers import PAPERS, Paper
from hccbook.parallel import SCHEDULER, WORK_LOG
from hccbook.pipeline.archive import read_archive, unpack_archive
from hccbook.pipeline.checks import papers_served, with_papers
from hccbook.pipeline.costs import CostMeter, record_cost
from hccbook.pipeline.crate import write_crate
from hccbook.pipeline.lineage import TRACED, lineage_file, lineage_source
from hccbook.pipeline.null_run import DRAWN, draw_null_run
from hccbook.pipeline.privacy import refuse_identifiers
from hccbook.pipeline.run_folder import RUNNER_VARIABLE, claimed, clear, end_with_runner, ended_together
from hccbook.pipeline.run_record import METADATA, executed_notebooks, execution_record
from hccbook.pipeline.staleness import Overview, inputs_of, recorded
from hccbook.pipeline.unavailable import RECORD, glue_references, guarded_source
from hccbook.run import (
    CHAPTER_READS,
    CHAPTERS,
    MANIFEST_VARIABLE,
    NAMED_MANIFEST,
    NULL_RUN,
    RESULT_CHAPTERS,
    STAGES,
    RunPaths,
    book_source_dir,
    notebook_file,
    notebook_name,
    profile_file,
    project_root,
    step_name,
)
from hccbook.settings import Profile, load_profile
from hccbook.store import atomic_path, write_if_changed

CONTROL_STAGES = ("alarm", "amap_ct")
"""Stages that the negative control repeats: both models."""

STAGE_FILES = {
    "cohort": ("{paper}.csv",),
    "preprocessing": ("{paper}.csv",),
    "segmentation": ("{paper}.csv",),
    "features": ("{paper}_radiomics.parquet", "{paper}_deep.parquet", "{paper}_icc.csv"),
    "alarm": ("model.json", "scores.csv"),
    "amap_ct": ("model.json", "family.json", "scores.csv"),
    "stepwise_stratification": ("groups.csv",),
    "figures_and_tables": (),
    **dict.fromkeys(CHAPTERS, ()),
}
"""Files of a stage that later stages read, in its folder; ``{paper}`` stands for each paper of the run."""

_MARK = "[hccbook] "
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_CODE_LINE = re.compile(r"(File|Cell) .*:?\d+|(-+>)?\s*\d+ ")


class StageError(HccbookError):
    """A stage whose notebook stopped."""


def profile_path(profile: str) -> Path:
    """File of a profile given by name, or by the path of a YAML file."""
    return Path(profile).resolve() if profile.endswith((".yaml", ".yml")) else profile_file(profile)


def stages_of(profile: Profile) -> tuple[str, ...]:
    """Stages that a run with `profile` executes, in order.

    A paper that is left out takes its stages along; where the results of an archived run are shown, `shown_chapters`
    makes them.
    """
    absent = {stage for paper in _papers_left_out(profile.run.papers) for stage in paper.stages}
    absent |= set(shown_chapters(profile))
    return tuple(stage for stage in STAGES if stage not in absent)


def _papers_left_out(papers: str) -> list[Paper]:
    return [paper for paper in PAPERS.values() if paper.name not in papers.split(",")]


def chapters_of(profile: Profile) -> tuple[str, ...]:
    """Chapters beside the stages that a run with `profile` executes: those of which it has a stage that they read."""
    stages = set(stages_of(profile))
    elsewhere = shown_chapters(profile)
    return tuple(
        name for name in CHAPTERS if name not in elsewhere and stages & set(CHAPTER_READS.get(name, STAGES[:1]))
    )


def shown_chapters(profile: Profile) -> tuple[str, ...]:
    """Result chapters that are executed on an archived run; none where the run shows its own results."""
    absent = {stage for paper in _papers_left_out(profile.run.papers) for stage in (*paper.stages, *paper.chapters)}
    return tuple(stage for stage in RESULT_CHAPTERS if stage not in absent) if profile.run.archive else ()


def notebook_parameters(stage: str, profile: Profile, results: str, workers: int) -> dict[str, object]:
    """Parameters that papermill hands to the notebook of `stage`.

    Parameters
    ----------
    stage : str
        One of `hccbook.run.STAGES` or `hccbook.run.CHAPTERS`.
    profile : Profile
        Checked settings.
    results : str
        Folder of the run, relative to the project root or absolute.
    workers : int
        Processes over patients.

    Raises
    ------
    SettingsError
        If the notebook's ``parameters`` cell lacks a setting of its stage, or names one that no setting fills;
        papermill itself only warns.
    """
    declared = set(papermill.inspect_notebook(str(notebook_file(stage))))
    shared = {**profile.run.model_dump(), "results": results, "workers": workers}
    own = {name: value for name, value in profile.parameters(stage).items() if name not in shared}
    missing = sorted(set(own) - declared)
    unfilled = sorted(declared - set(own) - set(shared))
    for names, rule in ((missing, "must name every setting of its stage"), (unfilled, "must name known settings only")):
        if names:
            raise SettingsError(
                f"{notebook_name(stage)}, parameters cell",
                rule,
                ", ".join(names),
                "Change the cell or hccbook.settings.",
            )
    return own | {name: value for name, value in shared.items() if name in declared}


def execute_stage(stage: str, profile: Profile, results: str, workers: int) -> Path:
    """Execute the notebook of one stage, as ``<results>/notebooks/NN_<stage>.ipynb``.

    Parameters are those of `notebook_parameters`.

    Raises
    ------
    StageError
        If a cell fails; the message is the cell's, and the notebook up to there is kept beside its place as
        ``NN_<stage>.failed.ipynb``.
    """
    run = RunPaths.at(results)
    executed = run.executed_notebook(stage)
    failed = executed.with_suffix(".failed.ipynb")
    parameters = notebook_parameters(stage, profile, results, workers)
    source = notebook_file(stage)
    chosen = of_papers(nbformat.read(source, as_version=4), profile.run.papers)
    chosen.metadata[METADATA] = execution_record(stage)
    if not profile.run.synthetic:
        chosen.cells.insert(1, hidden_cell(guard_source(stage)))  # behind the title
        (run.stage(stage) / RECORD).unlink(missing_ok=True)
    lineage_file(run, stage).unlink(missing_ok=True)
    if stage in TRACED:
        chosen.cells.insert(1, hidden_cell(lineage_source(stage)))
    with atomic_path(executed) as part:
        try:
            papermill.execute_notebook(
                chosen, str(part), parameters, kernel_name="python3", cwd=str(source.parent), progress_bar=False
            )
        except PapermillExecutionError as error:
            part.replace(failed)
            part.touch()
            found = f"{error.ename}: {error.evalue}"
            if profile.run.manifest:
                own = {kind.__name__ for kind in HccbookError.__subclasses__()}
                name = Path(os.path.expandvars(profile.run.manifest)).name
                found = without_quotes(found).replace(name, "manifest") if error.ename in own else error.ename
                write_if_changed(failed, nbformat.writes(without_words(nbformat.read(failed, as_version=4))))
            raise StageError(
                f"stage {stage}", "must run to its end", found.rstrip("."), f"See {failed.name}."
            ) from None
        except RuntimeError as error:
            if type(error).__name__ != "DeadKernelError":  # of nbclient, which papermill calls
                raise
            hint = "Give the machine more memory, or fewer --jobs, and start again; what is done is kept."
            found = "a kernel that was ended from outside, most likely because memory did not suffice"
            raise StageError(f"stage {stage}", "must run to its end", found, hint) from None
    failed.unlink(missing_ok=True)
    return executed


def without_words(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Leave of a failed cell's traceback the lines of code: messages quote files, which may name a patient."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                lines = [_COLOUR.sub("", line) for text in output.traceback for line in text.splitlines()]
                output.traceback = [line for line in lines if _CODE_LINE.match(line)]
                output.evalue = "(not shown)"
    return notebook


def of_papers(notebook: nbformat.NotebookNode, papers: str) -> nbformat.NotebookNode:
    """Leave out the cells that belong to a paper which the run leaves out."""
    absent = {paper.notebook_tag for paper in _papers_left_out(papers)}
    notebook.cells = [cell for cell in notebook.cells if not absent & set(cell.metadata.get("tags", []))]
    return notebook


def guard_source(stage: str) -> str:
    """Cell that lets a notebook on a user's patients go on where they cannot give something."""
    pages = [*book_source_dir().glob("*.md"), notebook_file(stage)]
    return guarded_source(stage, glue_references(page.read_text(encoding="utf-8") for page in pages))


def hidden_cell(source: str) -> nbformat.NotebookNode:
    """Cell that the book does not show."""
    return nbformat.v4.new_code_cell(source, metadata={"tags": ["remove-cell"]})


def run(profile: str, *, manifest: str = "", results: str = "", jobs: int = 1, until: str = "") -> Path:
    """Run all stale stages of a profile.

    Parameters
    ----------
    profile : str
        Name of a profile, or path of a YAML file.
    manifest : str
        The user's manifest; wins over the profile's ``run.manifest``.
    results : str
        Folder of the run; ``results/<profile>`` when empty.
    jobs : int
        Cores used.
    until : str
        Last stage to run; all when empty.

    Returns
    -------
    pathlib.Path
        Folder of the run.

    Raises
    ------
    SettingsError, ManifestError, ArchiveError
        Before anything runs, if the profile, the manifest, the archive that the profile names or the folder is wrong.
    StageError
        If a stage stopped, or the run was; what earlier stages made is kept, and the next call goes on from there.
    ClusterError
        If a cluster is asked for and cannot be had.
    PrivacyError
        If the finished run on own patients shows who one of them is.
    """
    checked, file, paths = prepared(profile, manifest, results)
    if until and until not in stages_of(checked):
        raise SettingsError("--until", f"must be one of {', '.join(stages_of(checked))}", until, "Check the spelling.")
    if checked.run.archive:
        read_archive(project_root() / checked.run.archive)
    check_cluster()
    with claimed(paths) as lock:
        shown = show_archive(checked, paths)
        folders = tuple(dict.fromkeys((paths, paths.control, shown)))
        for folder in folders:
            (folder.root / "stage_error.txt").unlink(missing_ok=True)
        overview = Overview.of(folders, (*STAGES, *CHAPTERS))
        try:
            _run_snakemake(paths, shown, file, until, jobs, lock)
        finally:
            for line in overview.lines():
                print(line, flush=True)
        for folder in filter(executed_notebooks, folders):
            write_crate(folder)
        if paths.manifest is not None:
            coded = checked.cohort.centre_names == "coded"
            print(refuse_identifiers(paths, paths.manifest, centres=coded), flush=True)
    return paths.root


def check_cluster() -> None:
    """Refuse a scheduler, where the environment names one, that does not answer or has no fit workers.

    Raises
    ------
    ClusterError
        As `hccbook.cluster.connected`.
    """
    if os.environ.get(SCHEDULER):
        with connected(os.environ[SCHEDULER]):
            pass


def prepared(profile: str, manifest: str, results: str) -> tuple[Profile, Path, RunPaths]:
    """Settings of a run, their file, and its folder and manifest; arguments as of `run`.

    Raises
    ------
    SettingsError, ManifestError
        If the profile or the manifest is wrong.
    """
    file = profile_path(profile)
    checked = load_profile(file)
    results = results or f"results/{file.stem}"
    manifest = manifest or checked.run.manifest
    if not manifest and not checked.run.synthetic:
        raise SettingsError(
            file.name, "a run on own data needs a manifest", "none", "Give --manifest FILE or set run.manifest."
        )
    if manifest:
        checked, file = fit_to_manifest(checked, file, manifest, results)
    return checked, file, RunPaths.at(results, manifest)


def fit_to_manifest(profile: Profile, file: Path, manifest: str, results: str) -> tuple[Profile, Path]:
    """Profile and its file without the papers that nobody in the manifest has the masks for; says who is left out."""
    _, left_out = usable_patients(manifest, profile.run.phases.split(","))
    if left_out:
        print(
            f"{len(left_out)} patients are left out for what the manifest says of them: see hccbook check", flush=True
        )
    served = papers_served(manifest, profile)
    absent = [PAPERS[name].title for name in profile.run.papers.split(",") if name not in served]
    if not absent:
        return profile, file
    print(f"{', '.join(absent)} is left out: nobody has masks of all its organs in every phase", flush=True)
    profile = with_papers(profile, served)
    used = RunPaths.at(results).root / "profile_used.yaml"
    content = profile.model_dump()
    content["run"]["manifest"] = ""  # handed on beside it: its path may name a person
    write_if_changed(used, yaml.safe_dump(content, sort_keys=False))
    return profile, used


def show_archive(profile: Profile, run: RunPaths) -> RunPaths:
    """Run that the result chapters show: `run`, or the archived one that the profile names, unpacked beside it.

    Raises
    ------
    ArchiveError
        As `hccbook.pipeline.archive.unpack_archive`.
    SettingsError
        If it is not a run of the same papers.
    """
    shown = run.shown(profile.run.archive)
    if profile.run.archive:
        archived = unpack_archive(project_root() / profile.run.archive, shown)
        if archived.papers != tuple(profile.run.papers.split(",")):
            found = ", ".join(archived.papers)
            raise SettingsError("run.archive", f"must be of {profile.run.papers}", found, "Name another archive.")
    return shown


def _run_snakemake(paths: RunPaths, shown: RunPaths, profile: Path, until: str, jobs: int, lock: TextIO) -> None:
    root = project_root()
    results, archived = (
        str(run.root.relative_to(root) if run.root.is_relative_to(root) else run.root) for run in (paths, shown)
    )
    config = {
        "profile": str(profile),
        "results": results,
        "archived": archived if shown != paths else "",
        "manifest": NAMED_MANIFEST if paths.manifest else "",
        "until": until,
    }
    # A patient's task has one core: libraries that start threads of their own would only stand in each other's way.
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), "1")
    environment = single | dict(os.environ) | {RUNNER_VARIABLE: str(os.getpid()), RUN_FOLDER: str(paths.root)}
    if paths.manifest:
        environment[MANIFEST_VARIABLE] = str(paths.manifest.resolve())
    if sys.stderr.isatty():
        environment["HCCBOOK_TERMINAL"] = os.ttyname(sys.stderr.fileno())
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", str(root / "Snakefile"), "--directory", str(paths.root),
        "--cores", str(jobs), "--quiet", "all", "--nolock", "--rerun-incomplete",
        # As JSON, which Snakemake takes for text: a folder may be called 2024 or true.
        "--config", *(f"{name}={json.dumps(value)}" for name, value in config.items()),
    ]  # fmt: skip
    last: deque[str] = deque(maxlen=15)
    try:
        # In a session of its own: Ctrl-C reaches this process, which ends the others. Whoever has the lock's file open
        # has the folder, so that nobody else takes it while an orphan works on.
        with subprocess.Popen(
            command, env=environment, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True, pass_fds=(lock.fileno(),),
        ) as process, ended_together(process.pid):  # fmt: skip
            for line in process.stdout:
                last.append(line.rstrip())
                if line.startswith(_MARK):
                    print(line.removeprefix(_MARK).rstrip(), flush=True)
    except KeyboardInterrupt as stopped:
        clear(paths)
        raise StageError(*_when_stopped(paths)) from stopped
    if process.returncode:
        for run in (paths, shown):
            reason = run.root / "stage_error.txt"
            if reason.is_file():
                raise StageError(*json.loads(reason.read_text(encoding="utf-8")))
        found = f"exit code {process.returncode}"
        raise StageError(f"run of {profile.stem}", "Snakemake must finish", found, "\n".join(last))


def _when_stopped(run: RunPaths) -> tuple[str, str, str, str]:
    done = [notebook_name(stage) for stage in (*STAGES, *CHAPTERS) if run.executed_notebook(stage).is_file()]
    found = f"a signal to stop, with {', '.join(done) or 'nothing'} done"
    return f"run {run.root.name}", "must run to its end", found, "Give the same command again to go on from there."


def run_one_stage(stage: str, profile: str, results: str, manifest: str, workers: int) -> None:
    """Execute one stage, or `NULL_RUN`, for Snakemake, say what it cost, and leave a failure's reason for `run`."""
    end_with_runner()
    checked = load_profile(profile_path(profile))
    checked = checked.model_copy(update={"run": checked.run.model_copy(update={"manifest": manifest})})
    paths = RunPaths.at(results, manifest)
    with tempfile.NamedTemporaryFile(suffix=".csv") as work, CostMeter() as meter:
        os.environ[WORK_LOG] = work.name
        try:
            inputs, left = inputs_of(stage, checked, paths), DRAWN if stage == NULL_RUN else (stage,)
            with recorded(left, paths, inputs):
                if stage == NULL_RUN:
                    draw_null_run(RunPaths(paths.main, paths.manifest), checked.run.papers.split(","), checked.null_run)
                else:
                    execute_stage(stage, checked, results, workers)
        except HccbookError as error:
            # The control's reason goes to the folder of its main run, where `run` looks.
            parts = [error.place, error.rule, str(error.found), error.hint]
            (paths.main / "stage_error.txt").write_text(json.dumps(parts), encoding="utf-8")
            raise
        record_cost(paths, stage, checked, workers, meter, Path(work.name))
    line = f"{paths.root.name:>12}  {step_name(stage):<28} {meter.wall_seconds:6.1f} s"
    print(_MARK + line, file=sys.stderr, flush=True)


def refresh_notebook(stage: str) -> Path:
    """Execute the source notebook of `stage` with its own default parameters, and rewrite it with its text outputs.

    Pictures are dropped: they are large, differ between machines, and nbval does not compare them.
    """
    source = notebook_file(stage)
    with atomic_path(source) as part:
        papermill.execute_notebook(
            str(source), str(part), kernel_name="python3", cwd=str(source.parent), progress_bar=False
        )
        notebook = nbformat.read(part, as_version=4)
        notebook.metadata.pop("papermill", None)
        for cell in notebook.cells:
            for name in ("papermill", "execution"):
                cell.metadata.pop(name, None)
            if cell.cell_type == "code" and "nbval-ignore-output" in cell.metadata.get("tags", []):
                cell.outputs = []
        nbformat.write(notebook, part)
    return source
