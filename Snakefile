# Which notebook makes which files from which.
# `hccbook run` calls this with the profile, the results folder and the manifest; nothing here computes.
import sys

from hccbook.pipeline.null_run import DRAWN_FILES
from hccbook.pipeline.runner import CONTROL_STAGES, STAGE_FILES, chapters_of, shown_chapters, stages_of
from hccbook.pipeline.staleness import inputs_of
from hccbook.provenance import digest
from hccbook.run import CHAPTER_READS, CHAPTERS, CONTROL_ENDING, NULL_RUN, RunPaths
from hccbook.settings import load_profile

PROFILE = load_profile(config["profile"])
STAGES = list(stages_of(PROFILE))
if config["until"]:
    STAGES = STAGES[: STAGES.index(config["until"]) + 1]
PAPERS = PROFILE.run.papers.split(",")
RESULTS = {"main": config["results"]}
if PROFILE.run.negative_control:
    RESULTS["control"] = config["results"] + CONTROL_ENDING
PROFILES = dict.fromkeys(RESULTS, config["profile"])
if config["archived"] and not config["until"]:
    RESULTS["archived"] = config["archived"]
    PROFILES["archived"] = str(RunPaths.at(config["archived"]).archived_profile)
RUNS = {run: RunPaths.at(results, config["manifest"] or "") for run, results in RESULTS.items()}
PYTHON = sys.executable
NULL_RUN_SHOWN_IN = "leakage_and_negative_controls"
LIGHT = ("alarm", "amap_ct", "stepwise_stratification", "figures_and_tables", *CHAPTERS)


def stages_in(run):
    if run == "archived":
        return list(shown_chapters(PROFILE))
    if run == "control":
        return [stage for stage in STAGES if stage in CONTROL_STAGES]
    return [*STAGES, *(() if config["until"] else chapters_of(PROFILE))]


def executed(run, stage):
    return str(RUNS[run].executed_notebook(stage))


def needed(run, stage):
    """Executed notebooks that must be there first."""
    if stage in CHAPTERS:
        own = "archived" if run == "archived" else "main"
        shown = stages_in("control") if stage == NULL_RUN_SHOWN_IN and "control" in RUNS else []
        read = [executed(own, name) for name in CHAPTER_READS.get(stage, ()) if name in stages_in(own)]
        return [*read, *(executed("control", name) for name in shown)]
    if run == "control":
        return drawn()
    if run == "archived":
        # What else it reads is in the archive.
        return [executed(run, name) for name in stages_in(run)[: stages_in(run).index(stage)]]
    earlier = STAGES[: STAGES.index(stage)]
    if stage in ("alarm", "amap_ct"):
        earlier = [name for name in earlier if name == "features"]
    return [executed(run, name) for name in earlier]


def drawn():
    return sorted({str(RUNS["control"].root / name.format(paper=paper)) for name in DRAWN_FILES for paper in PAPERS})


def made(run, stage):
    if not PROFILE.run.synthetic:
        return []  # a user's patients may not give them; what is not there is said where it would be read
    folder = RUNS[run].root / stage
    return [str(folder / name.format(paper=paper)) for name in STAGE_FILES[stage] for paper in PAPERS]


rule all:
    input:
        [executed(run, stage) for run in RUNS for stage in stages_in(run)],


for run_name in RUNS:
    for stage_name in stages_in(run_name):

        rule:
            name:
                f"{run_name}_{stage_name}"
            input:
                needed(run_name, stage_name),
            output:
                executed(run_name, stage_name),
                *sorted(set(made(run_name, stage_name))),
            params:
                stage=stage_name,
                profile=PROFILES[run_name],
                results=RESULTS[run_name],
                manifest="" if run_name == "archived" else config["manifest"] or "",
                # Named here so that a stage is stale when what it follows from has changed, and only then.
                follows_from=digest(inputs_of(stage_name, load_profile(PROFILES[run_name]), RUNS[run_name])),
            # One core each for Snakemake, whatever a stage then uses: the main run's chain fills the cores most of the
            # time, and the control and the chapters fill the gaps that tables, pictures and notebooks leave.
            threads: 1
            priority: 0 if stage_name in CHAPTERS else 1 if run_name == "control" else 2
            # No parameter: another number of workers makes no stage stale.
            resources:
                workers=1 if stage_name in LIGHT else workflow.cores,
            shell:
                "{PYTHON:q} -m hccbook.cli stage {params.stage:q} --profile {params.profile:q}"
                " --results {params.results:q} --manifest={params.manifest:q} --workers {resources.workers}"


if "control" in RUNS:

    rule:
        name:
            NULL_RUN
        input:
            executed("main", "features"),
        output:
            drawn(),
        params:
            profile=config["profile"],
            results=RESULTS["control"],
            manifest=config["manifest"] or "",
            follows_from=digest(inputs_of(NULL_RUN, PROFILE, RUNS["control"])),
        priority: 1
        shell:
            "{PYTHON:q} -m hccbook.cli stage {NULL_RUN} --profile {params.profile:q} --results {params.results:q}"
            " --manifest={params.manifest:q}"
