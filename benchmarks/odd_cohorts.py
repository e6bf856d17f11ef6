"""Cohorts that a paper's authors would not have, each to rendered pages: what is n.a., and does its place say why?

    .venv/bin/python benchmarks/odd_cohorts.py FOLDER                  # all, minutes on one core
    .venv/bin/python benchmarks/odd_cohorts.py FOLDER --seconds 240    # for so long; a later call goes on
    .venv/bin/python benchmarks/odd_cohorts.py FOLDER --only "no HCC"  # one, whose pages stay in the folder

The cohorts are those of `tests/odd_cohorts.py`. Of each the notebooks from the statistics on are executed as in a run
on own patients, and the pages that show the papers' items are rendered. Counted are items, those that are n.a., those
that are missing on their page or lack the sentence that says why, what Sphinx warned of, and what `hccbook check`
remarks on the cohort before anything runs. Writes `benchmarks/odd_cohorts.json`, from which a page of the book draws.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")

from null_cohort import machine

from hccbook.cohort import cohort_remarks, usable_patients

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from odd_cohorts import ODD, odd_run

RESULTS = Path(__file__).with_suffix(".json")


def measured(folder: Path, name: str) -> dict[str, object]:
    """What became of one cohort."""
    odd, begun = ODD[name], time.perf_counter()
    done = odd_run(folder, odd.make(), **odd.settings)
    settings = done.profile
    rows, _ = usable_patients(done.run.manifest, settings.run.phases.split(","))
    papers = settings.run.papers.split(",")
    remarks = {problem.rule for paper in papers for problem in cohort_remarks(rows, paper, settings.cohort)}
    done.shows = True
    done.execute()
    executed = time.perf_counter()
    html, warnings = done.render(folder / "book")
    return {
        "cohort": name,
        "patients": len(rows),
        "hcc": int(rows["hcc"].sum()),
        "items": len(done.shown_items()),
        "not_available": len(done.unavailable()),
        "sentences": sorted(set(done.unavailable().values())),
        "wrong": done.misplaced(html),
        "warnings": warnings,
        "remarks": sorted(remarks),
        "seconds_executed": round(executed - begun, 1),
        "seconds_rendered": round(time.perf_counter() - executed, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="folder to work in; a later call goes on there")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing new after so long")
    parser.add_argument("--only", choices=list(ODD), action="append", help="these cohorts; writes nothing")
    options = parser.parse_args()
    begun, known = time.monotonic(), options.folder.resolve() / "known.json"
    known.parent.mkdir(parents=True, exist_ok=True)
    rows = json.loads(known.read_text()) if known.is_file() else {}
    for name in options.only or ODD:
        if (name in rows and not options.only) or time.monotonic() - begun > options.seconds:
            continue
        place = known.parent / name.replace(" ", "_")
        shutil.rmtree(place, ignore_errors=True)
        rows[name] = measured(place, name)
        known.write_text(json.dumps(rows, indent=1))
        print({key: value for key, value in rows[name].items() if key not in ("sentences", "remarks")}, flush=True)
        if not options.only and not rows[name]["wrong"]:
            shutil.rmtree(place)
    if set(rows) >= set(ODD) and not options.only:
        content = {"machine": machine(), "cohorts": [rows[name] for name in ODD]}
        RESULTS.write_text(json.dumps(content, indent=1) + "\n")
        print(f"Written: {RESULTS.name}")


if __name__ == "__main__":
    main()
