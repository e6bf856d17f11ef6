"""Pages made from registers, benchmarks and docstrings; words are in ``templates/``."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jinja2

from hccbook.book.measured import measured_text
from hccbook.papers import PAPERS, published
from hccbook.papers.published import Assumption
from hccbook.pipeline.run_record import RunRecord
from hccbook.provenance import digest
from hccbook.run import benchmark_file, project_root
from hccbook.settings import Profile

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_FIRST_LINES, _LAST_LINES = 3, 3
PACKAGE = Path(__file__).resolve().parents[1]
STATUSES = {
    "recomputed": published.RECOMPUTED,
    "contradicted": published.CONTRADICTED,
    "reproduced": published.REPRODUCED,
    "private": published.PRIVATE,
    "under_specified": published.UNDER_SPECIFIED,
}
"""Statuses of claims by the word that addresses and templates have for them."""


def render(template: str, **values: Any) -> str:
    """Text of a template of this folder; a value that it asks for and is not given is an error."""
    return _TEMPLATES.get_template(template).render(**values)


def contrast_phases_page() -> str:
    """Page about how often proposed contrast phases are right, from the benchmark, as MyST."""
    measured = json.loads(benchmark_file("contrast_phases").read_text(encoding="utf-8"))
    titles = {
        "all": "",
        "phase": "phase: ",
        "masks": "masks of organs: ",
        "times": "times: ",
        "words": "descriptions: ",
    }
    return render("contrast_phases.md.j2", **measured, titles=titles)


def own_ct_blocks() -> dict[str, str]:
    """What the commands of the page "Use your own CT" printed, made and cost in the benchmark, as MyST.

    Returns
    -------
    dict of str to str
        Block by the line of the page in whose place it stands. Of a long output, its first and last lines are shown.
    """
    measured = json.loads(benchmark_file("own_ct").read_text(encoding="utf-8"))
    printed = {name: _ends_of(command["printed"]) for name, command in measured["commands"].items()}
    shown = {"in_book": {}, "printed": {"run": []} | printed}
    return {
        f"% own ct: {block}": render("own_ct.md.j2", **shown | measured, block=block).strip()
        for block in ("manifest", "check", "run", "cost")
    }


def _ends_of(text: str) -> list[str]:
    lines = text.strip().splitlines()
    first, last = lines[:_FIRST_LINES], lines[_FIRST_LINES:][-_LAST_LINES:]
    return [*first, *(["..."] if len(first + last) < len(lines) else []), *last]


def disturbed_runs_page() -> str:
    """Page about runs that were ended at random moments, and about odd cohorts, as MyST; each as far as measured."""
    files = {name: benchmark_file(name) for name in ("kill_points", "odd_cohorts")}
    measured = {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items() if file.is_file()}
    return render("disturbed_runs.md.j2", kills=measured.get("kill_points"), odd=measured.get("odd_cohorts"))


def bad_inputs_page() -> str:
    """Page about what is made of damaged and hostile inputs, from the benchmark, as MyST."""
    measured = json.loads(benchmark_file("mutated_inputs").read_text(encoding="utf-8"))
    return render("bad_inputs.md.j2", **measured)


def chapter_title(page: str) -> str:
    """What a page of a notebook is called in a list: its chapter, or what it is beside the chapters."""
    return f"Chapter {int(page[:2])}" if page[:2].isdigit() else page.rpartition("_")[2].capitalize()


def shown_run(*records: tuple[str, RunRecord]) -> str:
    """Which runs a page shows, for its top: name, patients, seed, and of an archived one its version and day.

    Parameters
    ----------
    *records : tuple of str and RunRecord
        What the page shows of the run (empty where it shows nothing else), and the run; none for a page without
        patients.

    Returns
    -------
    str
        A MyST block.
    """
    template = _TEMPLATES.get_template("shown_run.md.j2")
    return template.render(records=records, title=lambda paper: PAPERS[paper].title).strip()


def assumptions_page(register: Iterable[Assumption], used: Mapping[str, Mapping[str, Any]]) -> str:
    """Assumptions register as a MyST page.

    Parameters
    ----------
    register : iterable of Assumption
        Entries of ``assumptions.yaml``.
    used : mapping
        Stage to the parameters that its notebook ran with; a setting that is not there shows its default.

    Returns
    -------
    str

    Raises
    ------
    SettingsError
        If an entry names a setting that does not exist.
    """
    register = list(register)
    titles = {**{name: paper.title for name, paper in PAPERS.items()}, "both": "Both papers"}
    return render(
        "assumptions.md.j2",
        sections=[
            (title, [entry for entry in register if entry.paper == name])
            for name, title in titles.items()
            if any(entry.paper == name for entry in register)
        ],
        setting=lambda name: _setting_used(name, used),
        measured=measured_text,
    )


def _setting_used(name: str, used: Mapping[str, Mapping[str, Any]]) -> Any:
    section, _, field = name.partition(".")
    value = used.get(section, {}).get(field, Profile().value(name))
    return value if value != "" else "(empty)"


def third_paper() -> str:
    """Entry of the paper that does not exist and that a test runs, as a block of code."""
    source = (project_root() / "tests" / "test_paper.py").read_text(encoding="utf-8")
    assigned = [node for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    (entry,) = [node for node in assigned if "Paper(" in ast.unparse(node)]
    return f"```python\n{ast.get_source_segment(source, entry)}\n```"


def api_pages() -> dict[str, str]:
    """Reference of every part of the package as MyST pages that Sphinx fills from the docstrings.

    Returns
    -------
    dict of str to str
        Page by part, in alphabetical order; modules that stand alone are on one page, ``foundations``.
    """
    parts: dict[str, list[Path]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts.setdefault(".".join(file.relative_to(PACKAGE).parts[:-1]), []).append(file)
    return {
        part or "foundations": _TEMPLATES.get_template("api.md.j2").render(
            title=f"hccbook.{part}" if part else "Foundations",
            package=f"hccbook.{part}" if part else "hccbook",
            modules=[
                ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)
                for file in files
                if file.name != "__init__.py"
            ],
            # A page is rendered anew when a docstring on it has changed.
            digest=digest(*files),
        )
        for part, files in sorted(parts.items())
    }
