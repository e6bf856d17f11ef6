"""Cohorts that no author would have: every notebook goes to its end, and says in a sentence what is not there.

Each takes seconds, because it is eight notebooks: what one cohort lacks shows on any of their pages.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from odd_cohorts import ODD, odd_run

from hccbook.pipeline import items

QUICK = {
    "one centre", "five patients", "three patients", "one patient", "no HCC", "all HCC", "one HCC", "rare HCC",
    "no AFP", "no women", "one phase", "ALARM only", "aMAP-CT only", "HCC in one centre", "no development",
    "odd names of centres",
}  # fmt: skip
"""Cohorts of `make test`; the others wait for `.ci/thorough`."""


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.thorough) for name in ODD]
)
def test_every_page_goes_to_its_end(tmp_path: Path, name: str) -> None:
    """Nothing but a refusal with a reason leaves something out, and every item has its file."""
    odd = ODD[name]
    done = odd_run(tmp_path, odd.make(), **odd.settings).execute()
    papers = done.profile.run.papers.split(",")
    for chapter in ("figures_and_tables", *(f"{paper}_supplement" for paper in papers)):
        assert items.items_missing(done.run, chapter, papers) == []
    for reasons in done.reasons.values():
        assert all(reason.strip() and "Traceback" not in reason for reason in reasons)
        assert not any("someone" in reason or str(tmp_path) in reason for reason in reasons)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["no HCC", "five patients", "ALARM only"])
def test_the_pages_of_items_are_rendered(tmp_path: Path, name: str) -> None:
    """Every item is on its page, n.a. with its sentence under its heading; `benchmarks/odd_cohorts.py` renders all."""
    odd = ODD[name]
    done = odd_run(tmp_path, odd.make(), **odd.settings)
    done.shows = True
    html, warnings = done.execute().render(tmp_path / "book")
    assert warnings == []
    assert len(done.shown_items()) > 20
    assert done.misplaced(html) == []
    assert (len(done.unavailable()) > 0) == (name != "ALARM only")
