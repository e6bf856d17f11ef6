"""What the web nomogram and the web calculator of the book read: point tables, ranges, and this run's models.

The pages compute in the reader's browser, from disk and without a network.
Nothing is typed twice: ranges, messages and point tables come from `hccbook.scores`, coefficients and cut-offs from
the run's model files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hccbook import scores
from hccbook.book.picture_data import script
from hccbook.errors import DataError
from hccbook.models.model_file import read_model
from hccbook.pipeline.files import read_json
from hccbook.pipeline.readings import model_cautions
from hccbook.run import RunPaths, book_source_dir
from hccbook.settings import StepwiseSettings

# Units that a reader may switch to, by quantity, with the factor that gives the unit of the scores.
_OTHER_UNITS: Mapping[str, Mapping[str, float]] = {"bilirubin": {"mg/dL": 17.1}, "albumin": {"g/dL": 10.0}}
_HBV_DNA = ("hbv_dna_iu_ml", "hbv_dna_copies_ml")


def web_files(
    run: RunPaths, papers: Sequence[str], *, synthetic: bool = True, stepwise: Mapping[str, Any] | None = None
) -> dict[str, bytes]:
    """Files that both pages load, by name.

    Parameters
    ----------
    run : RunPaths
        The run whose models the pages show.
    papers : sequence of str
        Papers of the run, ``alarm`` and ``amap_ct`` or one of them.
    synthetic : bool
        Whether the models were fitted on simulated patients.
    stepwise : mapping, optional
        Parameters of the stage of stepwise stratification; ``amap_low`` is read, with the setting's default.

    Returns
    -------
    dict of str to bytes

    Raises
    ------
    ModelError
        If a model file is no model of its paper.
    DataError
        If the cut-offs of a model are not those of its groups.
    """
    data = web_data(run, papers, synthetic=synthetic, stepwise=stepwise)
    shipped = sorted((book_source_dir() / "_static").iterdir())
    return {"models.js": script("hccbookModels", data)} | {
        file.name: file.read_bytes() for file in shipped if file.suffix in (".css", ".js")
    }


def web_data(
    run: RunPaths, papers: Sequence[str], *, synthetic: bool = True, stepwise: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Plain values that the pages compute with; see `web_files` for the parameters and errors.

    Returns
    -------
    dict
        ``quantities`` (unit, range, rule and hints by argument of the scores), ``units`` (units of each field),
        ``score_inputs``, ``point_scores``, ``copies_per_iu``, ``synthetic``, and ``alarm`` and ``amap_ct``: each its
        model's last regression, its cut-offs and what is to be said of its signs, or ``None`` and, under ``absent``,
        the reason.
    """
    found = {"alarm": _alarm(run), "amap_ct": _amap_ct(run, stepwise or {})}
    absent = {
        paper: "This run left the paper out." if paper not in papers else "This run has not fitted the model."
        for paper, model in found.items()
        if paper not in papers or model is None
    }
    return {
        "synthetic": synthetic,
        "quantities": {
            name: {**quantity._asdict(), "rule": quantity.rule} for name, quantity in scores.QUANTITIES.items()
        },
        "units": _units(),
        "score_inputs": {name: list(inputs) for name, inputs in scores.SCORE_INPUTS.items()},
        "point_scores": {name: _point_score(score) for name, score in scores.POINT_SCORES.items()},
        "copies_per_iu": scores.COPIES_PER_IU,
        "absent": absent,
        **{paper: None if paper in absent else model for paper, model in found.items()},
    }


def _units() -> dict[str, list[dict[str, Any]]]:
    """Units of each field, the scores' own first; HBV DNA is one field of two quantities."""
    units = {
        name: [
            {"unit": quantity.unit, "quantity": name, "factor": 1.0},
            *({"unit": unit, "quantity": name, "factor": by} for unit, by in _OTHER_UNITS.get(name, {}).items()),
        ]
        for name, quantity in scores.QUANTITIES.items()
        if name not in _HBV_DNA
    }
    units["hbv_dna"] = [{"unit": scores.QUANTITIES[name].unit, "quantity": name, "factor": 1.0} for name in _HBV_DNA]
    return units


def _point_score(score: scores.PointScore) -> dict[str, Any]:
    return {
        "label": score.label,
        "greatest": score.greatest,
        "groups": list(score.groups),
        "group_bounds": [bound._asdict() for bound in score.group_bounds],
        "items": [
            {
                "name": item.name,
                "bounds": [bound._asdict() for bound in item.bounds],
                "points": list(item.points),
                "choices": dict(item.choices),
                "least": item.least,
            }
            for item in score.items
        ],
    }


def _alarm(run: RunPaths) -> dict[str, Any] | None:
    folder = run.root / "alarm"
    if not (folder / "model.json").is_file() or not (folder / "cutoffs.json").is_file():
        return None
    content = read_model(folder / "model.json", "alarm")
    cuts = read_json(folder / "cutoffs.json")["cuts"]
    if len(cuts) != 2 or not cuts[0] < cuts[1]:
        raise DataError("alarm/cutoffs.json", "must hold two rising cut-offs", cuts, "Run the stage alarm again.")
    return {
        "combination": content["combination"],
        "cuts": cuts,
        "oversampled": content["parameters"]["smote"] != "off",
        "cautions": model_cautions(run, "alarm"),
    }


def _amap_ct(run: RunPaths, stepwise: Mapping[str, Any]) -> dict[str, Any] | None:
    folder = run.root / "amap_ct"
    if not (folder / "model.json").is_file() or not (folder / "cutoff.json").is_file():
        return None
    content = read_model(folder / "model.json", "amap_ct")
    return {
        "combination": content["combination"],
        "cutoff": read_json(folder / "cutoff.json")["cutoff"],
        "amap_low": float(stepwise.get("amap_low", StepwiseSettings().amap_low)),
        "cautions": model_cautions(run, "amap_ct"),
    }
