"""Planted errors: made-up papers whose numbers agree, one printed number changed at a time.

The papers are those of the benchmark, worked out from simulated patients with numpy, scipy and statsmodels and printed
as papers print; the benchmark says how many errors of each kind are found in many more of them.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import yaml

from hccbook.audit import audit_folder

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAPERS = load("audit_papers")
DETERMINED = [kind for kind in PAPERS.KINDS if kind.is_determined]
SEEDS = range(4)


@pytest.fixture(scope="module")
def papers() -> dict[int, tuple[dict, pd.DataFrame]]:
    return {seed: PAPERS.paper(seed) for seed in SEEDS}


def problems(paper: tuple[dict, pd.DataFrame], folder: Path) -> list[str]:
    """What the audit of a folder objects to, without a line of Python for the paper."""
    description, table = paper
    plain = json.loads(json.dumps(description))
    (folder / "paper.yaml").write_text(yaml.safe_dump(plain, allow_unicode=True), encoding="utf-8")
    table.to_csv(folder / "numbers.csv", index=False)
    return [f"{one.check}: {one.place}: {one.arithmetic}" for one in audit_folder(folder).findings]


@pytest.mark.parametrize("seed", SEEDS)
def test_agreeing_paper_has_no_problem(papers, seed, tmp_path):
    """Nothing is reported where nothing is wrong."""
    assert problems(papers[seed], tmp_path) == []


@pytest.mark.parametrize("kind", DETERMINED, ids=lambda kind: kind.name)
def test_error_is_found(papers, kind, tmp_path):
    """A number that the rest of the print determines cannot be changed beyond rounding unnoticed."""
    rng = np.random.default_rng(5)
    changed = [(papers[seed][0], other) for seed in (0, 1) for other in PAPERS.planted(papers[seed][1], kind, rng)]
    assert changed
    assert all(problems(one, tmp_path) for one in changed)


def test_kept_result_holds():
    """No certain finding in papers without an error, and 95 % of what print determines is found."""
    kept = json.loads((BENCHMARKS / "audit.json").read_text(encoding="utf-8"))
    assert kept["false alarms"]["papers"] >= 200
    assert kept["false alarms"]["certain"] == 0
    assert [one["kind"] for one in kept["recall"]] == [kind.name for kind in PAPERS.KINDS]
    assert all(one["recall"][0] >= 0.95 for one in kept["recall"] if one["determined"])
    assert kept["seconds for both papers"] < 10
