"""The page "A million patients": what grows with patients and cores, and what ends it."""

from __future__ import annotations

from typing import Any

from hccbook.book.generated_pages import render
from hccbook.pipeline import scaling
from hccbook.pipeline.costs import AVX2
from hccbook.pipeline.forecast import Costs


def scaling_page() -> str:
    """Plan of large runs on ordinary processors, and how memory behaves, as MyST."""
    memory = scaling.read_memory()
    if memory is None:
        return render("scaling.md.j2", memory=None)
    profile, costs = scaling.scaled_profile(), Costs.read(kind=AVX2)
    patient = scaling.PatientCost.of(profile, costs, memory["per_patient"])
    return render(
        "scaling.md.j2",
        memory=memory,
        steps=list(memory["rows"][0]["stages"]),
        patient=patient,
        growth=_largest_worker(memory["rows"][-1]) / _largest_worker(memory["rows"][0]),
        profile=profile,
        kind=costs.kind,
        rows=scaling.scaling_table(patient).to_dict("records"),
        columns=scaling.table_columns(profile),
        development=scaling.DEVELOPMENT,
        networks=scaling.NETWORKS_GBIT_S,
        memory_gib=256,
    )


def _largest_worker(row: dict[str, Any]) -> float:
    """Most memory of any worker in any step, MiB."""
    return max(max(measured["workers_mib"], default=0.0) for measured in row["stages"].values())
