"""The ``hccbook`` command.

Every command imports what it needs when it is called, so that ``hccbook --help`` answers at once.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from hccbook.errors import HccbookError, anonymous_reason

app = typer.Typer(
    help="Predict liver cancer in cirrhosis from three-phase CT: ALARM and aMAP-CT, executable. "
    "For research and teaching, not for clinical use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ProfileOption = Annotated[str, typer.Option("--profile", help="smoke, demo, paper, own, or a YAML file.")]
ManifestOption = Annotated[str, typer.Option("--manifest", help="Your manifest, for profile own.")]
OutOption = Annotated[str, typer.Option("--out", help="Folder of the run; results/<profile> when left out.")]
UntilOption = Annotated[str, typer.Option("--until", help="Last stage to run; all when left out.")]
SchedulerOption = Annotated[
    str, typer.Option("--scheduler", help="Dask cluster that works on patients, such as tcp://10.0.0.1:8786.")
]
JobsOption = Annotated[int, typer.Option("--jobs", min=0, help="Cores, at most this machine's; all when left out.")]
PhasesOption = Annotated[str, typer.Option("--phases", help="Phases that must be there, comma-separated.")]

TRACEBACK = "HCCBOOK_TRACEBACK"
"""Variable of the environment that asks for the traceback of an error that nobody foresaw."""


def _cores(asked: int = 0) -> int:
    """Cores of this machine, or as many of them as are asked for."""
    present = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if asked > present:
        print(f"--jobs {asked}: this machine has {present} cores, which are used", file=sys.stderr)
    return min(asked, present) if asked else present


@app.command()
def doctor() -> None:
    """Say whether this machine is ready, what is missing, and what to do."""
    from rich.console import Console

    from hccbook.doctor import diagnose, is_ready, report

    findings = diagnose()
    Console().print(report(findings))
    if not is_ready(findings):
        raise typer.Exit(1)


@app.command()
def simulate(
    out: Annotated[Path, typer.Option("--out", help="Folder to write; made if absent.")],
    profile: ProfileOption = "demo",
    seed: Annotated[int | None, typer.Option("--seed", help="Seed; the profile's when left out.")] = None,
    effect: Annotated[str, typer.Option("--effect", help="planted or none; the profile's when left out.")] = "",
    jobs: JobsOption = 0,
) -> None:
    """Write the synthetic cohorts of a profile: CT volumes, true masks, manifests, planted truth."""
    from hccbook.phantom import write_cohort
    from hccbook.pipeline.runner import profile_path
    from hccbook.settings import CohortSettings, load_profile

    checked = load_profile(profile_path(profile))
    changes = ({} if seed is None else {"seed": seed}) | ({"effect": effect} if effect else {})
    settings = CohortSettings(**(checked.cohort.model_dump() | changes))
    for paper in checked.run.papers.split(","):
        print(write_cohort(out / paper, paper, settings, workers=_cores(jobs)))


@app.command()
def check(
    manifest: Annotated[Path, typer.Argument(help="CSV, one row per patient.")],
    phases: PhasesOption = "arterial,venous,delayed",
    profile: Annotated[
        str, typer.Option("--profile", help="Check for a run with this profile, whose phases count.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Every problem in a manifest and its images, with the hint; exit code 1 if a run would refuse anything."""
    from hccbook.pipeline.checks import check_for_run, check_manifest
    from hccbook.pipeline.runner import profile_path
    from hccbook.settings import RunSettings, load_profile

    if profile:
        problems = check_for_run(manifest, load_profile(profile_path(profile)))
    else:
        problems = check_manifest(manifest, tuple(RunSettings(phases=phases).phases.split(",")))
    refused = [problem for problem in problems if not problem.remark]
    if as_json:
        print(
            json.dumps([{**problem.model_dump(), "consequence": problem.consequence} for problem in problems], indent=2)
        )
    elif problems:
        for problem in problems:
            patient = "" if problem.patient_id is None else f", patient {problem.patient_id}"
            what = f"{problem.rule}, but found {problem.found}. {problem.hint} ({problem.consequence})"
            print(f"{problem.place(manifest.name)}{patient}: {what}")
        print(f"{manifest.name}: {len(refused)} problem(s), {len(problems) - len(refused)} remark(s).")
    else:
        print(f"{manifest.name}: no problem found.")
    if refused:
        raise typer.Exit(1)


@app.command()
def manifest(  # noqa: PLR0913 - a command has its options
    root: Annotated[Path, typer.Argument(help="Folder with the patients' CT, as the archive wrote it.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="CSV to write.")] = Path("patients.csv"),
    phases: PhasesOption = "arterial,venous,delayed",
    study: Annotated[str, typer.Option("--study", help="first or last, where several have all phases.")] = "",
    clinical: Annotated[Path | None, typer.Option("--clinical", help="CSV with clinical values.")] = None,
    on: Annotated[str, typer.Option("--on", help="Its column with the patients' identifiers.")] = "",
    recipe: Annotated[str, typer.Option("--recipe", help="waw_tace, lits, msd_liver or chaos.")] = "",
    weights: Annotated[Path | None, typer.Option("--weights", help="Network for volumes without masks.")] = None,
    jobs: JobsOption = 0,
) -> None:
    """Write a manifest from a folder of CT: what is known, and a table and a page of what is not."""
    from hccbook.collection import Choices, write_manifest
    from hccbook.settings import RunSettings

    wanted = tuple(RunSettings(phases=phases).phases.split(","))
    choices = Choices(phases=wanted, study=study, recipe=recipe, clinical=clinical, key=on, weights=weights)
    print(write_manifest(root, output, choices, _cores(jobs)))


@app.command()
def run(  # noqa: PLR0913 - a command has its options
    profile: ProfileOption = "demo",
    manifest: ManifestOption = "",
    out: OutOption = "",
    jobs: JobsOption = 0,
    until: UntilOption = "",
    shard: Annotated[
        str, typer.Option("--shard", help="Only the patients of one share, such as 3/7; 'hccbook merge' follows.")
    ] = "",
    scheduler: SchedulerOption = "",
    plan: Annotated[bool, typer.Option("--plan", help="Only say what the run will cost.")] = False,
    patients: Annotated[
        int | None,
        typer.Option("--patients", min=1, help="Patients of each paper, for --plan; the profile's otherwise."),
    ] = None,
    cores: Annotated[
        int,
        typer.Option("--cores", min=0, help="Cores of all machines, for --plan; this machine's otherwise."),
    ] = 0,
) -> None:
    """Run the stale stages of a profile, and go on where an earlier run stopped."""
    from hccbook.pipeline.runner import profile_path
    from hccbook.run import RunPaths

    paths = RunPaths.at(out or f"results/{profile_path(profile).stem}")
    _use_cluster(scheduler)
    if plan:
        from hccbook.pipeline.forecast import forecast_lines, plan_run

        expected = plan_run(profile, manifest, cores or jobs or _cores(), patients)
        print("\n".join(forecast_lines(expected, profile, paths.root)))
    elif shard:
        _run_shard(profile, manifest, out, shard, _cores(jobs))
    else:
        _run_whole(profile, manifest, out, _cores(jobs), until)


def _use_cluster(scheduler: str) -> None:
    from hccbook.parallel import SCHEDULER

    if scheduler:
        os.environ[SCHEDULER] = scheduler


def _run_whole(profile: str, manifest: str, out: str, jobs: int, until: str) -> None:
    """Run what is stale, and say before a long run that it is one."""
    from hccbook.pipeline.costs import costs_file
    from hccbook.pipeline.forecast import LONG_RUN_S, plan_run, warning_of_length
    from hccbook.pipeline.runner import profile_path
    from hccbook.pipeline.runner import run as run_profile
    from hccbook.run import RunPaths

    paths = RunPaths.at(out or f"results/{profile_path(profile).stem}")
    expected = plan_run(profile, manifest, jobs)
    if not (until or costs_file(paths).is_file()) and expected.wall_seconds > LONG_RUN_S:
        print(warning_of_length(expected), flush=True)
    folder = run_profile(profile, manifest=manifest, results=out, jobs=jobs, until=until)
    print(f"Done: {folder}")


def _run_shard(profile: str, manifest: str, out: str, shard: str, jobs: int) -> None:
    from hccbook.parallel import Share
    from hccbook.pipeline.runner import check_cluster, prepared
    from hccbook.pipeline.shards import run_shard

    share = Share.of(shard)
    checked, _, paths = prepared(profile, manifest, out)
    check_cluster()
    record = run_shard(paths, checked, share, jobs)
    if not share.number:
        print(f"Shard {share}: what all shards need is in {paths.store.root}")
    else:
        patients, failed = sum(record.patients.values()), len(record.failures)
        print(f"Shard {share}: {patients:,} patients, {failed:,} of them failed; results are in {paths.store.root}")


@app.command()
def merge(  # noqa: PLR0913 - a command has its options
    stores: Annotated[
        list[Path] | None, typer.Argument(help="Copied stores of other machines; none where all share one.")
    ] = None,
    profile: ProfileOption = "demo",
    manifest: ManifestOption = "",
    out: OutOption = "",
    jobs: JobsOption = 0,
    until: UntilOption = "",
    scheduler: SchedulerOption = "",
) -> None:
    """Bring the results of all shards of a run together, and run what remains."""
    from hccbook.pipeline.runner import prepared
    from hccbook.pipeline.shards import merge_shards

    _use_cluster(scheduler)
    checked, _, paths = prepared(profile, manifest, out)
    for line in merge_shards(paths, checked, stores or ()):
        print(line, flush=True)
    _run_whole(profile, manifest, out, _cores(jobs), until)


@app.command(hidden=True)
def stage(
    name: str,
    profile: ProfileOption,
    results: Annotated[str, typer.Option("--results")],
    manifest: Annotated[str, typer.Option("--manifest", help="A path, or the name of a variable behind $.")] = "",
    workers: Annotated[int, typer.Option("--workers")] = 1,
) -> None:
    """Execute one stage; what the Snakefile calls."""
    from hccbook.pipeline.runner import run_one_stage

    run_one_stage(name, profile, results, manifest, workers)


@app.command(hidden=True)
def refresh() -> None:
    """Execute the source notebooks with their own parameters and store their text outputs."""
    from hccbook.pipeline.runner import refresh_notebook
    from hccbook.run import CHAPTERS, STAGES

    for name in (*STAGES, *CHAPTERS):
        print(refresh_notebook(name).name, flush=True)


@app.command()
def build(
    profile: ProfileOption = "demo",
    out: OutOption = "",
    manifest: Annotated[
        str, typer.Option("--manifest", help="Manifest of a run on your own patients, to look for who they are.")
    ] = "",
    pdf: Annotated[bool, typer.Option("--pdf", help="Print the book as book.pdf beside its pages too.")] = False,
) -> None:
    """Render the book from a finished run, check that every listed item is on its page, print the entry page.

    The pages of own patients are searched for what their manifest and headers hold, as a run's other files are.
    """
    from hccbook.book import build_book, write_pdf
    from hccbook.pipeline.privacy import refuse_identifiers
    from hccbook.pipeline.runner import profile_path
    from hccbook.run import RunPaths
    from hccbook.settings import load_profile

    file = profile_path(profile)
    checked = load_profile(file)
    run = RunPaths.at(out or f"results/{file.stem}")
    entry = build_book(run, shown=run.shown(checked.run.archive))
    named = manifest or checked.run.manifest
    if named:
        print(refuse_identifiers(run, Path(named), centres=checked.cohort.centre_names == "coded"))
    elif not checked.run.synthetic:
        print("Nobody has looked for who the patients are: name their manifest, --manifest FILE.", file=sys.stderr)
    if pdf:
        print(write_pdf(run.root / "book" / "source", entry.parent, run.root / "book" / "book.pdf"))
    print(entry)


@app.command()
def archive(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write; data/archived/<run> otherwise.")] = None,
) -> None:
    """Keep the scores, tables and models of a finished run, without images, so that its result chapters run again."""
    from hccbook.pipeline.archive import archive_run
    from hccbook.provenance import files_of
    from hccbook.run import RunPaths

    folder = archive_run(RunPaths(run.resolve()), out)
    files = files_of(folder)
    print(f"{folder}: {len(files)} files, {sum(file.stat().st_size for file in files) / 1e6:.1f} MB")


@app.command()
def privacy(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    manifest: Annotated[Path, typer.Option("--manifest", help="The manifest that the run was made from.")],
    centres: Annotated[bool, typer.Option("--centres", help="Names of centres count too.")] = False,
) -> None:
    """Files of a run that hold what manifest and headers hold of its patients; exit code 1 if there is any."""
    from hccbook.errors import DataError
    from hccbook.pipeline.privacy import scan_run
    from hccbook.run import RunPaths

    for path in (run, manifest):
        if not path.exists():
            raise DataError(path.name, "must be there", "no such file or folder", "Check the path.")
    report = scan_run(RunPaths(run.resolve()), manifest, centres=centres)
    print(report)
    if len(report.found):
        raise typer.Exit(1)


@app.command()
def verify(
    crate: Annotated[Path, typer.Argument(help="Folder of a run, which its last step made a crate.")],
    manifest: Annotated[
        Path | None, typer.Option("--manifest", help="Compare your inputs too: the manifest of the run.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Files that are not what a run left, and the tables and figures they touch; exit code 1 if there is any."""
    from hccbook.pipeline.verification import verify_crate

    found = verify_crate(crate, manifest)
    if as_json:
        rows = [{**row, "items": row["items"].split()} for row in found.altered.to_dict("records")]
        print(json.dumps({"files": found.files, "altered": rows, "items": found.items}, indent=1))
    else:
        print(found)
    if len(found.altered):
        raise typer.Exit(1)


@app.command()
def codecheck(
    jobs: JobsOption = 0,
    write: Annotated[
        bool, typer.Option("--write-references", help="Keep what is made as what later checks compare with.")
    ] = False,
) -> None:
    """Make every table and figure of codecheck.yml anew, and compare; exit code 1 if any differs."""
    from hccbook.pipeline.codecheck import all_passed, compare_items, make_items, report_lines, write_references
    from hccbook.run import project_root

    make_items(_cores(jobs))
    if write:
        write_references()
    table = compare_items(project_root())
    print("\n".join(report_lines(table)))
    if not all_passed(table):
        raise typer.Exit(1)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="Folder of a run or an archive.")],
    second: Annotated[Path, typer.Argument(help="Another one.")],
    digits: Annotated[int, typer.Option("--digits", help="Digits to which numbers must agree.")] = 6,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable, all rows.")] = False,
) -> None:
    """What differs between two runs, the AUC that differs most first; exit code 1 if they are not equal."""
    from hccbook.pipeline.comparison import compare_runs, comparison_text

    comparison = compare_runs(first, second, digits)
    if as_json:
        print(json.dumps(comparison.to_dict(), indent=1))
    else:
        print(comparison_text(comparison, str(first), str(second)))
    if not comparison.is_equal:
        raise typer.Exit(1)


@app.command()
def extract(
    image: Annotated[Path, typer.Argument(help="NIfTI file or DICOM folder.")],
    mask: Annotated[
        Path, typer.Argument(help="NIfTI file, DICOM SEG or RTSTRUCT, or folder; FILE#NAME for one of several.")
    ],
    labels: Annotated[
        str, typer.Option("--labels", help="Labels or names in the mask, comma-separated; all for every one.")
    ] = "",
    settings: Annotated[Path | None, typer.Option("--settings", help="PyRadiomics parameter file.")] = None,
    engine: Annotated[str, typer.Option("--engine", help="Radiomics engine: fast or pyradiomics.")] = "fast",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="CSV to write; the terminal otherwise.")] = None,
) -> None:
    """Radiomics of one image, one row per label, in PyRadiomics' names, with versions and hashes beside the values."""
    from hccbook.features.radiomics import ExtractionSettings, extract_labels
    from hccbook.images import is_nifti, split_mask_path
    from hccbook.images.remarks import collected
    from hccbook.store import atomic_path

    chosen = ExtractionSettings() if settings is None else ExtractionSettings.from_yaml(settings)
    asked = [name.strip() for name in labels.split(",") if name.strip()]
    file, part = split_mask_path(mask)
    if is_nifti(file) and settings is not None and not asked:
        part = chosen.label_behind(part, settings.name)
        mask = Path(f"{file}#{part}") if part else file
    # What is read is 0 and 1, whatever the label was.
    chosen = chosen.model_copy(update={"label": 1})
    with collected() as remarks:
        table = extract_labels(image, mask, asked, chosen, engine, threads=_cores())
    for line in remarks:
        print(f"hccbook: {line}", file=sys.stderr)
    if output is None:
        table.to_csv(sys.stdout, index=False)
        return
    with atomic_path(output) as part:
        table.to_csv(part, index=False)
    print(f"{len(table)} label(s), {len(chosen.feature_names)} features each, in {output}")


@app.command(name="nnunet-dataset")
def nnunet_dataset(
    out: Annotated[Path, typer.Option("--out", help="nnU-Net's nnUNet_raw folder; made if absent.")],
    profile: ProfileOption = "demo",
    results: Annotated[str, typer.Option("--results", help="Folder of the run; results/<profile> otherwise.")] = "",
    name: Annotated[str, typer.Option("--name", help="Name of the data set.")] = "LiverSpleen",
    number: Annotated[int, typer.Option("--number", help="Number of the data set, 1 to 999.")] = 501,
) -> None:
    """Write the working images of a run as a raw data set of nnU-Net v2; its preprocessing must be done."""
    from hccbook.pipeline.nnunet import write_nnunet_dataset
    from hccbook.pipeline.runner import profile_path
    from hccbook.run import RunPaths
    from hccbook.settings import load_profile

    file = profile_path(profile)
    run = RunPaths.at(results or f"results/{file.stem}")
    written = write_nnunet_dataset(run, load_profile(file).run, out, name, number, _cores())
    counts = {kind: len(list((written / kind).iterdir())) for kind in ("imagesTr", "imagesTs")}
    print(f"{written}: {counts['imagesTr']} training and {counts['imagesTs']} test cases")


@app.command()
def audit(
    folders: Annotated[
        list[str] | None,
        typer.Argument(
            help="Folders of papers; the two of this book when left out. 'init FOLDER', 'schema': see above."
        ),
    ] = None,
    paper: Annotated[str, typer.Option("--paper", help="Name of one of the papers; all when left out.")] = "",
    certainty: Annotated[
        str, typer.Option("--certainty", help="certain, implied, rounding or stated; all when left out.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Hold papers' printed numbers against each other: what cannot be so, and what agrees.

    'hccbook audit init FOLDER' writes a description and a table to fill in; 'hccbook audit schema' prints the schema
    of the description.
    """
    from rich.console import Console

    from hccbook.audit import audit as audit_papers
    from hccbook.audit import audit_folders, report_for_terminal
    from hccbook.audit.template import schema, write_template

    words = folders or []
    if words == ["schema"]:
        print(schema())
        return
    if words[:1] == ["init"]:
        for folder in words[1:]:
            print("\n".join(str(file) for file in write_template(Path(folder))))
        return
    report = audit_folders([Path(one) for one in words]) if words else audit_papers()
    report = report.filtered(paper or None, certainty or None)
    if as_json:
        print(report.to_json())
    else:
        Console().print(report_for_terminal(report))


def main() -> None:
    """Entry point: what goes wrong is one clear message and exit code 1.

    A traceback quotes a library's words, which may name a patient's file; it is there for who asks, with `TRACEBACK`.
    """
    try:
        app()
    except HccbookError as error:
        is_run = sys.argv[1:2] in (["run"], ["stage"], ["merge"], ["build"])
        print(f"hccbook: {error.anonymous() if is_run else error}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:  # whatever it is
        if os.environ.get(TRACEBACK):
            raise
        hint = f"Check paths and disk; {TRACEBACK}=1 in the environment shows all, which may name files of patients."
        print(f"hccbook: {type(error).__name__}: {anonymous_reason(error)}. {hint}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
