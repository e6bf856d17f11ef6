"""What the book's pictures that answer to the hand read: scores of a run, and one CT slice.

The pictures compute in the reader's browser, from disk and without a network; nothing is computed here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from hccbook.papers import find_paper
from hccbook.pipeline.files import read_json, read_table
from hccbook.pipeline.items import printed_prevalence
from hccbook.run import RunPaths
from hccbook.settings import Profile

_DIGITS = 10
_NO_SCORES = ("patient", "cohort", "role", "hcc", "months")


SLICE = "shown_slice.json"
"""What the stage of the features leaves of one patient, as of `hccbook.pipeline.shown_slice`."""


def picture_files(
    run: RunPaths,
    shown: RunPaths,
    papers: Sequence[str],
    *,
    profile: Profile | None = None,
    synthetic: bool = True,
) -> dict[str, bytes]:
    """Files that the pictures load, by name.

    Parameters
    ----------
    run : RunPaths
        The run whose images the pictures show.
    shown : RunPaths
        The run whose scores they show.
    papers : sequence of str
        Papers of the run.
    profile : hccbook.settings.Profile, optional
        Settings of `shown`; the defaults if absent.
    synthetic : bool
        Whether its patients are simulated.

    Returns
    -------
    dict of str to bytes
    """
    saved = run.root / "features" / SLICE
    return {
        "picture_run.js": script("hccbookRun", run_data(shown, papers, profile=profile, synthetic=synthetic)),
        "picture_slice.js": script("hccbookSlice", read_json(saved) if saved.is_file() else None),
    }


def script(name: str, data: Mapping[str, Any] | None) -> bytes:
    """Script that sets one global value; plain ASCII, so that the page's encoding cannot matter."""
    return f"window.{name} = {json.dumps(data, allow_nan=False)};\n".encode("ascii")


def run_data(
    run: RunPaths, papers: Sequence[str], *, profile: Profile | None = None, synthetic: bool = True
) -> dict[str, Any]:
    """Scores that the pictures compute with; see `picture_files` for the parameters.

    Returns
    -------
    dict
        ``synthetic``; ``papers``: by paper its title and ``cohorts``, each with name, role, ``printed_prevalence``,
        ``hcc`` and ``scores`` by model, a value a patient; ``xtile``: ``score`` and ``hcc`` of the oversampled
        discovery cohort and ``min_fraction``, or None; ``stepwise``: ``amap_low`` and ``ct_cutoff``, or None;
        ``absent``: why there may be nothing.
    """
    profile = profile or Profile()
    scored = [paper for paper in papers if (run.root / paper / "scores.csv").is_file()]
    return {
        "synthetic": synthetic,
        "papers": {paper: _scores(run, paper) for paper in scored},
        "xtile": _xtile(run, profile.alarm.min_group_fraction),
        "stepwise": _stepwise(run, profile.stepwise_stratification.amap_low),
        "absent": "This run has not fitted the model, or left the paper out.",
    }


def _scores(run: RunPaths, paper: str) -> dict[str, Any]:
    table = read_table(run, paper, "scores.csv")
    # The paper's own model first.
    models = sorted((name for name in table if name not in _NO_SCORES), key=lambda name: name != paper)
    cohorts = [
        {
            "name": cohort,
            "role": patients["role"].iloc[0],
            "printed_prevalence": printed_prevalence(paper, cohort),
            "hcc": patients["hcc"].astype(int).tolist(),
            "scores": {model: _numbers(patients[model]) for model in models},
        }
        for cohort, patients in table.groupby("cohort", sort=False)
    ]
    return {"title": find_paper(paper).title, "cohorts": cohorts}


def _xtile(run: RunPaths, min_fraction: float) -> dict[str, Any] | None:
    if not (run.root / "alarm" / "augmented.csv").is_file():
        return None
    augmented = read_table(run, "alarm", "augmented.csv")
    return {
        "score": _numbers(augmented["alarm"]),
        "hcc": augmented["y"].astype(int).tolist(),
        "min_fraction": min_fraction,
    }


def _stepwise(run: RunPaths, amap_low: float) -> dict[str, Any] | None:
    file = run.root / "amap_ct" / "cutoff.json"
    if not file.is_file():
        return None
    return {"amap_low": amap_low, "ct_cutoff": read_json(file)["cutoff"]}


def _numbers(values: pd.Series) -> list[float]:
    """Values to ten digits: what a picture shows, in half the bytes."""
    return [float(f"{value:.{_DIGITS}g}") for value in values]
