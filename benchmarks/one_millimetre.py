"""What radiomics of the published cohorts costs at the papers' own resolution, from a random sample of patients.

    .venv/bin/python benchmarks/one_millimetre.py               # goes on where an earlier call stopped
    .venv/bin/python benchmarks/one_millimetre.py --minutes 5   # stops after the patient that is in work by then

Draws patients of the `paper` profile at random, as many from each paper. Each is simulated at 1 mm, brought onto a grid
of 1 mm, and has the features of its paper taken by the engine `fast`, three phases, masks given. PyRadiomics takes the
same features of some organ-phases, drawn at random beforehand; the benchmark stops where a value is unlike.
What is measured lies in `results/one_millimetre-<processor>.jsonl`, a line a step. From two patients of each paper on,
`benchmarks/one_millimetre.json` says after each call what follows for the whole, and the book draws from it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from costs import Meter, machine, prepare

# This folder has a file of the name of PyRadiomics' package, which would be taken for it.
sys.path.remove(str(Path(__file__).resolve().parent))

import numpy as np
import pandas as pd

from hccbook.evaluation.sampling import Total, ratio_total, stratified_total
from hccbook.features.radiomics import ExtractionSettings, extract_features, find_engine
from hccbook.features.radiomics.regions import organ_label
from hccbook.images import read_image, read_label_map, to_array
from hccbook.papers import PAPERS
from hccbook.phantom import simulate_clinical
from hccbook.pipeline.costs import processor_kind
from hccbook.run import Case, RunPaths, benchmark_file, profile_file, project_root
from hccbook.settings import PHASES, Profile, load_profile

SEED = 20_040
PATIENTS = 30  # of each paper
COMPARED = 4  # organ-phases of each paper and organ that PyRadiomics takes too
SPACING_MM = 1.0
MEASURED = project_root() / "results" / f"one_millimetre-{processor_kind()}.jsonl"


def profile_at_one_millimetre() -> Profile:
    """The profile `paper`, scanned at 1 mm and worked on at 1 mm."""
    profile = load_profile(profile_file("paper"))
    return profile.model_copy(
        update={
            "cohort": profile.cohort.model_copy(update={"acquisition_spacing_mm": SPACING_MM}),
            "preprocessing": profile.preprocessing.model_copy(update={"spacing_mm": SPACING_MM}),
        }
    )


def draw(profile: Profile) -> tuple[pd.DataFrame, set[tuple[str, str, str, str]]]:
    """Patients in the order of work, and the organ-phases that PyRadiomics takes too."""
    random = np.random.default_rng(SEED)
    drawn, compared = [], set()
    for paper in PAPERS.values():
        table = simulate_clinical(paper.name, profile.cohort)
        keys = random.choice(table.index.to_numpy(), PATIENTS, replace=False)
        drawn.append(pd.DataFrame({"paper": paper.name, "patient": keys, "turn": range(PATIENTS)}))
        for organ in paper.organs:
            # From the first patients: what has been measured when time runs out is then a random sample too.
            chosen = keys[:COMPARED]
            compared |= {(paper.name, key, str(random.choice(PHASES)), organ) for key in chosen}
    return pd.concat(drawn).sort_values(["turn", "paper"], kind="stable"), compared


def measure(profile: Profile, paper: str, key: str, compared: set[tuple[str, str, str, str]]) -> list[dict]:
    """Rows of all steps of one patient."""
    meter = Meter()
    row = simulate_clinical(paper, profile.cohort).loc[[key]]
    with tempfile.TemporaryDirectory(prefix="one_millimetre") as folder:
        case = prepare(meter, RunPaths(Path(folder) / "run"), paper, row, profile)
        settings = ExtractionSettings.of_paper(paper, profile.features, profile.preprocessing)
        for phase in PHASES:
            for organ in PAPERS[paper].organs:
                engines = ["fast", *(["pyradiomics"] if (paper, key, phase, organ) in compared else [])]
                extract(meter, case, phase, organ, settings, engines)
    return [{"paper": paper, "patient": key, **measured} for measured in meter.rows]


def extract(meter: Meter, case: Case, phase: str, organ: str, settings: ExtractionSettings, engines: list[str]) -> None:
    """Features of one organ in one phase by each engine; stop where they differ."""
    own = settings.model_copy(update={"label": organ_label(organ)})
    values = {}
    for engine in engines:
        with meter.step(engine, phase=phase, organ=organ):
            image = read_image(case.image(phase))
            labels = read_label_map(case.labels(phase), image)
            values[engine] = extract_features(image, labels, own, engine)
        voxels = int(np.count_nonzero(to_array(labels) == own.label))
        meter.rows[-1] |= {"voxels": voxels, "features": len(values[engine])}
    if "pyradiomics" in values:
        np.testing.assert_allclose(values["fast"], values["pyradiomics"], rtol=1e-6, atol=1e-9)


def report(rows: list[dict]) -> dict:
    """What a patient costs by paper and step, how much longer PyRadiomics takes, and what everybody would cost."""
    table = pd.DataFrame(rows)
    sizes = {
        paper.name: len(simulate_clinical(paper.name, profile_at_one_millimetre().cohort)) for paper in PAPERS.values()
    }
    steps = table[table["step"] != "pyradiomics"].replace({"step": {"fast": "radiomics"}})
    each = steps.groupby(["step", "paper", "patient"])["core_seconds"].sum()
    by_step = {step: {paper: each[step, paper].to_numpy() for paper in sizes} for step in each.index.unique("step")}
    pairs = compared_pairs(table)
    organs = steps[steps["organ"].notna()].groupby(["paper", "organ", "patient"])["core_seconds"].mean()
    cheap = {name: organs[tuple(name.split("."))].to_numpy() for name in pairs}
    organ_phases = {name: len(PHASES) * sizes[name.partition(".")[0]] for name in pairs}
    whole = {step: stratified_total(values, sizes) for step, values in by_step.items()}
    whole["radiomics with PyRadiomics"] = ratio_total(pairs, cheap, organ_phases)
    return {
        "machine": machine(),
        "patients": table.drop_duplicates(["paper", "patient"]).groupby("paper").size().to_dict(),
        "organ_phases": int((table["step"] == "fast").sum()),
        "compared": int((table["step"] == "pyradiomics").sum()),
        "population": sizes,
        "population_organ_phases": sum(organ_phases.values()),
        "steps": [
            step_row(step, paper, values, sizes[paper], steps)
            for step, of in by_step.items()
            for paper, values in of.items()
        ],
        "organs": [organ_row(name, table, pairs) for name in pairs],
        "whole": [{"what": what, **hours(total)} for what, total in whole.items()],
    }


def compared_pairs(table: pd.DataFrame) -> dict[str, list[tuple[float, float]]]:
    """Core-seconds of both engines on the same organ-phases, by paper and organ."""
    wide = table[table["organ"].notna()].pivot(
        index=["paper", "organ", "patient", "phase"], columns="step", values="core_seconds"
    )
    groups = wide.dropna().groupby(["paper", "organ"])
    return {
        ".".join(name): list(rows.itertuples(index=False, name=None)) for name, rows in groups[["fast", "pyradiomics"]]
    }


def step_row(step: str, paper: str, values: np.ndarray, size: int, rows: pd.DataFrame) -> dict:
    """Mean cost of one of `size` patients, with its interval."""
    mean, lower, upper = (round(bound / size, 2) for bound in stratified_total({paper: values}, {paper: size}))
    added = rows.loc[(rows["step"] == step) & (rows["paper"] == paper), "added_mib"].max()
    row = {"step": step, "paper": paper, "n": len(values), "core_seconds": mean, "lower": lower, "upper": upper}
    return row | {"added_mib": int(added)}


def organ_row(name: str, table: pd.DataFrame, pairs: dict[str, list[tuple[float, float]]]) -> dict:
    """Size of an organ, and what it takes each engine."""
    paper, organ = name.split(".")
    rows = table[(table["paper"] == paper) & (table["organ"] == organ) & (table["step"] == "fast")]
    fast, slow = np.transpose(pairs[name])
    return {
        **{"paper": paper, "organ": organ, "features": int(rows["features"].iloc[0]), "n": len(rows)},
        **{"voxels": int(rows["voxels"].mean()), "fast": round(rows["core_seconds"].mean(), 2)},
        **{"compared": len(fast), "ratio": round(slow.sum() / fast.sum(), 1)},
        **{"least_ratio": round((slow / fast).min(), 1), "greatest_ratio": round((slow / fast).max(), 1)},
    }


def hours(total: Total) -> dict[str, float]:
    """A total in core-hours."""
    return {name: round(bound / 3600, 2) for name, bound in total._asdict().items()}


def read_measured() -> list[dict]:
    """Rows of all patients measured so far."""
    lines = MEASURED.read_text(encoding="utf-8").splitlines() if MEASURED.is_file() else []
    return [json.loads(line) for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after about this time")
    arguments = parser.parse_args()
    start = time.monotonic()
    profile = profile_at_one_millimetre()
    sample, compared = draw(profile)
    for engine in ("fast", "pyradiomics"):
        find_engine(engine)
    MEASURED.parent.mkdir(exist_ok=True)
    done = {(row["paper"], row["patient"]) for row in read_measured()}
    for paper, key in sample[["paper", "patient"]].itertuples(index=False):
        if (paper, key) in done or time.monotonic() - start > arguments.minutes * 60:
            continue
        rows = measure(profile, paper, key, compared)
        with MEASURED.open("a", encoding="utf-8") as log:
            log.write("".join(json.dumps(row) + "\n" for row in rows))
        done.add((paper, key))
        steps = pd.DataFrame(rows).groupby("step")["core_seconds"].sum().round(1).to_dict()
        print(f"{len(done):>3} of {len(sample)}  {paper:<8} {key}  {steps}", flush=True)
    rows = read_measured()
    if pd.DataFrame(rows).groupby("paper")["patient"].nunique().min() >= 2:
        text = json.dumps(report(rows), indent=1) + "\n"
        benchmark_file("one_millimetre").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
