"""How good the audit is: planted errors that it finds, by kind, false alarms in papers that agree, and its seconds.

``--papers`` says how many papers without an error are audited, ``--errors`` how many errors of each kind are planted;
the result is kept in ``audit.json`` and shown in the book.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))

from audit_papers import KINDS, paper, planted
from statsmodels.stats.proportion import proportion_confint

from hccbook.audit.description import Description
from hccbook.audit.findings import CERTAIN, CHECKS, STATED, AuditReport
from hccbook.audit.papers import audit, audit_paper, everything
from hccbook.audit.transcription import Transcription

FILE = Path(__file__).with_suffix(".json")
NOWHERE = Path("no-folder")
RUNS = 5


def audited(description: dict, table: pd.DataFrame) -> AuditReport:
    """Audit of one made-up paper; what it says of its design is left out."""
    report = audit_paper(Transcription(Description.model_validate(description), table), NOWHERE)
    findings = tuple(one for one in report.findings if one.certainty != STATED)
    return AuditReport(report.titles, findings, report.agreements, report.not_applied)


def share(count: int, total: int) -> list[float]:
    """A share with Wilson's interval."""
    low, high = proportion_confint(count, total, method="wilson")
    return [round(float(one), 4) for one in (count / total, low, high)]


def false_alarms(number: int) -> dict:
    """Findings in papers without an error, by family and certainty, and the comparisons that they are out of."""
    comparisons, alarms, certain = Counter(), Counter(), 0
    for seed in range(number):
        report = audited(*paper(seed))
        for one in report.agreements:
            comparisons[one.check] += one.cells
        for finding in report.findings:
            alarms[finding.check] += 1
            comparisons[finding.check] += 1
            certain += finding.certainty == CERTAIN
    families = [
        {
            "check": CHECKS[check],
            "comparisons": comparisons[check],
            "alarms": alarms[check],
            "per 1,000 comparisons": [round(1000 * one, 2) for one in share(alarms[check], comparisons[check])],
        }
        for check in CHECKS
        if comparisons[check]
    ]
    total = sum(comparisons.values())
    return {
        "papers": number,
        "comparisons": total,
        "alarms": sum(alarms.values()),
        "certain": certain,
        "per 1,000 comparisons": [round(1000 * one, 2) for one in share(sum(alarms.values()), total)],
        "families": families,
    }


def recall(number: int) -> list[dict]:
    """Share of planted errors that are found, by kind: papers with one error that then have a new finding."""
    found = []
    papers = [paper(seed) for seed in range(number)]
    # What a paper without the error is blamed for does not count.
    before = [Counter(one.place for one in audited(*one).findings) for one in papers]
    for position, kind in enumerate(KINDS):
        rng, made, noticed = np.random.default_rng([7, position]), 0, 0
        for (description, table), blamed in zip(papers, before, strict=True):
            for other in planted(table, kind, rng):
                made += 1
                noticed += bool(Counter(one.place for one in audited(description, other).findings) - blamed)
        found.append({"kind": kind.name, "determined": kind.is_determined, "planted": made, "found": noticed})
        found[-1]["recall"] = share(noticed, made)
        print(f"{kind.name:<32} {noticed:4} of {made}", flush=True)
    return found


def seconds() -> float:
    """Median time of the audit of both papers, everything loaded."""
    times = []
    for _ in range(RUNS):
        everything.cache_clear()
        start = time.perf_counter()
        audit()
        times.append(time.perf_counter() - start)
    return round(statistics.median(times), 2)


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--papers", type=int, default=200)
    parser.add_argument("--errors", type=int, default=40)
    parser.add_argument("--out", type=Path, default=FILE)
    chosen = parser.parse_args()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "scipy", "pandas"))
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, one used"
    print(f"{machine}\nPython {platform.python_version()}, {versions}")
    alarms, kinds = false_alarms(chosen.papers), recall(chosen.errors)
    sure = [one for one in kinds if one["determined"]]
    totals = [sum(one[name] for one in sure) for name in ("found", "planted")]
    result = {
        "machine": machine,
        "versions": f"Python {platform.python_version()}, {versions}",
        "false alarms": alarms,
        "recall": kinds,
        "recall where print determines the number": share(*totals),
        "seconds for both papers": seconds(),
    }
    chosen.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{alarms['alarms']} alarms, {alarms['certain']} of them certain, in {alarms['comparisons']} comparisons")
    print(f"recall where print determines the number: {result['recall where print determines the number']}")
    print(f"both papers in {result['seconds for both papers']} s")


if __name__ == "__main__":
    main()
