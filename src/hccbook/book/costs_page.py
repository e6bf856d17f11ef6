"""The page "What a run costs": the run's own table, single patients, kinds of processors, the sample at 1 mm."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from hccbook.book.generated_pages import render
from hccbook.papers import PAPERS
from hccbook.pipeline.forecast import LONG_RUN_S, against_forecast
from hccbook.run import CONTROL_ENDING, RunPaths, benchmark_file

_IMAGE_STAGES = ("01", "02", "03", "04")


def costs_page(run: RunPaths) -> str:
    """Page about the cost of a run, of a patient, and of the papers' whole cohorts, as MyST."""
    measured = _measured("costs")
    return render(
        "costs.md.j2",
        **_of_run(run, {row["profile"] for row in measured["notebooks"]}),
        **_of_patients(pd.DataFrame(measured["steps"])),
        machine=measured["machine"],
        disk=measured["disk"],
        sample=_measured("one_millimetre"),
        apart=_measured("processors"),
        titles={name: paper.title for name, paper in PAPERS.items()},
        long_run_minutes=round(LONG_RUN_S / 60),
    )


def _measured(name: str) -> Any:
    """What a benchmark kept; None where it has not been run."""
    file = benchmark_file(name)
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def _of_run(run: RunPaths, profiles: set[str]) -> dict[str, Any]:
    """Stages of the run, and how well the forecast met them."""
    rows = against_forecast(run)
    is_own_forecast = run.root.name in profiles
    if is_own_forecast:
        rows = rows.assign(forecast=np.nan)
    foreseen = rows[rows["forecast"].notna()]
    images = foreseen[foreseen["stage"].str[:2].isin(_IMAGE_STAGES)] if len(foreseen) else foreseen
    return {
        "stages": [_stage(row) for row in rows.to_dict("records")],
        "total": rows["core_seconds"].sum(),
        "measured_total": foreseen["core_seconds"].sum(),
        "forecast_total": foreseen["forecast"].sum(),
        "image_measured": images["core_seconds"].sum(),
        "image_forecast": images["forecast"].sum(),
        "is_own_forecast": is_own_forecast,
        "processors": sorted(set(rows["processor"])),
    }


def _stage(row: dict[str, Any]) -> dict[str, Any]:
    keeps = pd.notna(row["computed"])
    worked_on = int(row["computed"] if keeps else row["patients"])
    return row | {
        "control": row["run"].endswith(CONTROL_ENDING),
        "stored": int(row["patients"]) - worked_on if keeps else 0,
        "each": row["core_seconds"] / worked_on if worked_on else None,
        "forecast": row["forecast"] if pd.notna(row["forecast"]) else None,
    }


def _of_patients(rows: pd.DataFrame) -> dict[str, Any]:
    """Steps of one patient, by voxel edge and kind of processor; what has no voxel edge is paid by every run."""
    kinds = list(dict.fromkeys(rows["processor"]))
    of_patient, fixed = rows[rows["spacing_mm"].notna()], rows[rows["spacing_mm"].isna()]
    spacings = sorted(set(of_patient["spacing_mm"]), reverse=True)
    columns = [(spacing, kind) for spacing in spacings for kind in kinds]
    seconds = of_patient.set_index(["step", "paper", "spacing_mm", "processor"])["core_seconds"]
    memory = of_patient.groupby(["step", "paper", "spacing_mm"])["added_mib"].max()
    names = list(dict.fromkeys(zip(of_patient["step"], of_patient["paper"], strict=True)))
    steps = [
        {
            "name": step + (f", {PAPERS[paper].title}" if paper else ""),
            "seconds": [seconds[step, paper, *column] for column in columns],
            "memory": [memory[step, paper, spacing] for spacing in spacings],
        }
        for step, paper in names
    ]
    simulated = of_patient[of_patient["step"] == "simulation"].groupby("spacing_mm")["n"].max()
    sums = of_patient.groupby(["paper", "spacing_mm", "processor"])["core_seconds"].sum()
    for paper in PAPERS.values():
        whole = [sums["", *column] + sums[paper.name, *column] for column in columns]
        steps.append({"name": f"**all, {paper.title}**", "seconds": whole, "memory": [None] * len(spacings)})
    return {
        "kinds": kinds,
        "spacings": spacings,
        "columns": columns,
        "steps": steps,
        "patients_measured": {spacing: int(simulated[spacing] / len(PAPERS)) for spacing in spacings},
        "fixed": [_fixed(step, own, kinds) for step, own in fixed.groupby("step", sort=False)],
    }


def _fixed(step: str, rows: pd.DataFrame, kinds: list[str]) -> dict[str, Any]:
    by_kind = rows.set_index("processor")["core_seconds"]
    unit = "development patient and epoch" if step == "fine-tuning epoch" else "optimiser step"
    return {"name": step, "unit": unit, "seconds": [by_kind[kind] for kind in kinds], "memory": rows["added_mib"].max()}
