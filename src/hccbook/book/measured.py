"""Numbers of the assumptions register: looked up in benchmarks, profiles and the archived run, never typed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, StrictUndefined

from hccbook.pipeline.items import printed
from hccbook.report.tables import decimal_text, p_phrase
from hccbook.run import archives_dir, benchmark_file, profile_file
from hccbook.settings import Profile, load_profile

_PARTS = ("development", "validation", "test")


@cache
def _json_of(name: str) -> dict[str, Any]:
    return json.loads(benchmark_file(name).read_text(encoding="utf-8"))


def _row(paper: str, change: str) -> Mapping[str, Any]:
    """Row of what `benchmarks/sensitivity.py` measured: a model under one change of an open choice."""
    (row,) = [row for row in _json_of("sensitivity")["rows"] if (row["paper"], row["change"]) == (paper, change)]
    return row


def auc(paper: str, change: str = "as in the run") -> str:
    """AUC in unseen patients under a change, with the p of its difference from the run."""
    row = _row(paper, change)
    compared = "" if row["p"] is None else f" ({p_phrase(row['p'])})"
    return decimal_text(row["auc"], 3) + compared


def features(paper: str, change: str = "as in the run") -> str:
    """How many features stay under a change."""
    return str(_row(paper, change)["features"])


def cutoffs(paper: str, change: str = "as in the run", *, real: bool = False) -> str:
    """Cut-offs under a change, of the oversampled cohort or of its real patients alone."""
    return str(_row(paper, change)["cutoffs_of_real_patients" if real else "cutoffs"])


def optimism(leak: str) -> str:
    """What a leak buys of AUC in pure noise."""
    (row,) = [row for row in _json_of("null_cohort")["optimism"] if (row["leak"], row["measure"]) == (leak, "auc")]
    return decimal_text(row["optimism"], 2)


def spleen_gains(effect: str) -> str:
    """Differences that the spleen makes to the AUC, by seed, with the planted effect or with none."""
    rows = [row for row in _json_of("spleen_effect")["rows"] if (row["spleen_effect"] > 0) == (effect == "planted")]
    return ", ".join(decimal_text(row["difference"], 3) for row in rows)


def effect(name: str, profile: str = "demo") -> str:
    """Planted effect of a profile, SD, such as ``alarm_liver_effect``."""
    return f"{_profile(profile).value(f'cohort.{name}'):g}"


@cache
def _profile(name: str) -> Profile:
    return load_profile(profile_file(name))


@cache
def _truth(paper: str) -> Mapping[str, Mapping[str, float]]:
    """AUC of the ideal observer of the archived run, by part and marker."""
    file = archives_dir() / "paper" / "cohort" / "truth.json"
    return json.loads(file.read_text(encoding="utf-8"))[paper]["auc"]


def ideal(paper: str, marker: str) -> str:
    """AUC of the ideal observer in the three cohorts of the profile with the papers' sizes."""
    return ", ".join(decimal_text(_truth(paper)[part][marker], 3) for part in _PARTS)


def ideal_gain(paper: str, marker: str, without: str) -> str:
    """What a marker adds to the ideal observer's AUC in unseen patients."""
    unseen = _truth(paper)["validation_and_test"]
    return decimal_text(unseen[marker] - unseen[without], 2)


def printed_aucs(item: str, model: str = "") -> str:
    """AUCs that a paper prints for its cohorts."""
    return ", ".join(printed(item, quantity="auc", model=model)["value"])


_LOOKED_UP = (auc, features, cutoffs, optimism, spleen_gains, effect, ideal, ideal_gain, printed_aucs)


def measured_text(text: str) -> str:
    """Text in which ``{{ ... }}`` asks for a number by the functions of this module.

    Raises
    ------
    jinja2.UndefinedError
        If it asks for something else.
    """
    environment = Environment(undefined=StrictUndefined, autoescape=False)
    environment.globals |= {look_up.__name__: look_up for look_up in _LOOKED_UP}
    return environment.from_string(text).render()


def typed_numbers(text: str) -> list[str]:
    """Decimal numbers of such a text that are typed rather than looked up."""
    return re.findall(r"\d+\.\d+", re.sub(r"\{\{.*?\}\}", "", text))
