"""Cohorts that a paper's authors would not have, and the pages of a run on them, without an image.

A cohort is a manifest whose image files are empty. Its features are drawn, as a null run's are, but know something of
the outcome; the notebooks from the statistics on are executed in this process, cell by cell, as a run's kernel would.
The pages that show the paper's items can be rendered from them, in this process too.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import myst_nb
import nbformat
import numpy as np
import pandas as pd
import yaml
from bs4 import BeautifulSoup
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from hccbook import evaluation
from hccbook.book import checks, layout
from hccbook.cohort import image_characteristics
from hccbook.features.radiomics import ExtractionSettings
from hccbook.papers import PAPERS, published
from hccbook.papers.published import Item
from hccbook.pipeline import files
from hccbook.pipeline.files import read_csv
from hccbook.pipeline.runner import chapters_of, notebook_parameters, of_papers, stages_of
from hccbook.pipeline.unavailable import CellGuard, glue_references
from hccbook.run import CHAPTER_READS, RunPaths, notebook_file, notebook_name
from hccbook.settings import PHASES, Profile
from hccbook.store import write_if_changed

SETTINGS: dict[str, dict[str, Any]] = {
    "cohort": {"segmentation_patients": 0},
    "features": {"amap_ct_filters": "square", "alarm_filters": "square", "fine_tune_shuffles": 0},
    "segmentation": {"mask_source": "manifest"},
    "alarm": {"bootstrap_replicates": 100, "lasso_folds": 5},
    "amap_ct": {"bootstrap_replicates": 100},
    "alarm_supplement": {"permutations": 9, "folds": 3},
    "leakage_and_negative_controls": dict(replicates=2, patients=40, hcc=12, features=4, folds=3, lasso_folds=3),
    "figures_and_tables": {"dpi": 50},
}
ITEM_STAGES = ("figures_and_tables", "alarm_supplement", "amap_ct_supplement")
"""Notebooks that show the papers' items."""

_OF_OTHER_PAGES = re.compile(r"myst\.xref_missing|unknown document|undefined label|ref\.|bibtex|not in glossary|term")
_MEASURED_STAGES = ("preprocessing", "segmentation", "features")
_FACTS = {"source_spacing_x_mm": 0.8, "source_spacing_z_mm": 5.0, "source_size_x": 512, "source_size_z": 60}


def patients(count: int = 60, events: int = 16, seed: int = 1, centres: int = 3) -> pd.DataFrame:
    """Rows of a manifest: unequal centres, follow-up of one to six years, values that go a little with the outcome."""
    rng = np.random.default_rng(seed)
    hcc = rng.permutation(np.arange(count) < events).astype(int)
    table = pd.DataFrame({"patient_id": [f"someone {number}" for number in range(count)], "hcc": hcc})
    table["centre"] = [f"C{int(np.sqrt(number % centres**2)) + 1}" for number in range(count)]
    table["cohort"] = ""
    table["age"] = rng.normal(54 + 5 * hcc, 9).round().clip(19, 90)
    table["sex"] = np.where(rng.random(count) < 0.7, "male", "female")
    table["bilirubin"] = rng.lognormal(2.8 + 0.1 * hcc, 0.4).round(1).clip(3, 400)
    table["albumin"] = rng.normal(41 - 2 * hcc, 4).round(1).clip(20, 60)
    table["platelets"] = rng.lognormal(4.9 - 0.2 * hcc, 0.3).round().clip(20, 500)
    table["afp"] = rng.lognormal(1.5 + 0.5 * hcc, 1).round(1)
    table["alt"] = rng.lognormal(3.5, 0.5, count).round().clip(5, 900)
    table["etiology"] = rng.choice(["HBV", "HCV", "alcohol"], count, p=[0.6, 0.2, 0.2])
    table["months"] = np.where(hcc == 1, rng.uniform(4, 40, count), rng.uniform(12, 72, count)).round(1)
    return table


@dataclass
class OddRun:
    """A run on an odd cohort.

    Attributes
    ----------
    run : RunPaths
    profile : Profile
    reasons : dict of str to list of str
        Why something is n.a., by notebook.
    glued : dict of str to str
        Texts for the pages.
    shows : bool
        Whether notebooks are kept with what they show, to be rendered.
    """

    run: RunPaths
    profile: Profile
    reasons: dict[str, list[str]] = field(default_factory=dict)
    glued: dict[str, str] = field(default_factory=dict)
    shows: bool = False

    def execute(self) -> OddRun:
        """All notebooks that read no image, in the run's order."""
        self._executed("cohort")
        for paper in self.profile.run.papers.split(","):
            self._draw_features(paper)
        later = [stage for stage in stages_of(self.profile) if stage not in ("cohort", *_MEASURED_STAGES)]
        later += [
            name for name in chapters_of(self.profile) if name in CHAPTER_READS and name != "segmentation_robustness"
        ]
        for stage in later:
            self._executed(stage)
        return self

    def _draw_features(self, paper: str) -> None:
        phases, organs = self.profile.run.phases.split(","), PAPERS[paper].organs
        clinical = files.read_cohort(self.run, paper)
        rng = np.random.default_rng(len(clinical))
        names = ExtractionSettings.of_paper(paper, self.profile.features, self.profile.preprocessing).feature_names
        latent = rng.normal(size=(len(clinical), 6))
        latent[:, 0] += 1.2 * clinical["hcc"]
        tables = {}
        for block, own in (("radiomics", names), ("deep", [f"deep_{number:03d}" for number in range(12)])):
            columns = [f"{phase}.{organ}.{name}" for phase in phases for organ in organs for name in own]
            values = latent @ rng.normal(size=(6, len(columns))) + rng.normal(size=(len(clinical), len(columns)))
            tables[block] = pd.DataFrame(values.astype(np.float32), index=clinical.index, columns=columns)
            tables[block].to_parquet(self.run.stage("features") / f"{paper}_{block}.parquet")
        counts = evaluation.feature_counts([*tables["radiomics"].columns, *tables["deep"].columns])
        files.save_table(counts, self.run.stage("features") / f"{paper}_counts.csv")
        facts = pd.DataFrame([(key, phase) for key in clinical.index for phase in phases], columns=["patient", "phase"])
        facts = facts.assign(**_FACTS)
        masks = facts[["patient", "phase"]].assign(
            liver_volume_ml=1400.0, spleen_volume_ml=rng.normal(400, 90, len(facts))
        )
        files.save_table(masks, self.run.stage("segmentation") / f"{paper}.csv")
        if set(organs) == {"liver", "spleen"}:
            scanned = image_characteristics(facts, tables["radiomics"], clinical["centre"])
            files.save_table(scanned, self.run.stage("features") / f"{paper}_image_characteristics.csv")
        files.save_json(self.profile.preprocessing.model_dump(), self.run.stage("preprocessing") / "settings.json")
        files.save_json(self.profile.features.model_dump(), self.run.stage("features") / "settings.json")

    def _executed(self, stage: str) -> None:
        notebook = of_papers(nbformat.read(notebook_file(stage), as_version=4), self.profile.run.papers)
        parameters = notebook_parameters(stage, self.profile, str(self.run.root), 1)
        guard = CellGuard(stage, glue_references(cell.source for cell in notebook.cells))
        outputs = Outputs() if self.shows else None
        guard.show = (lambda content: None) if outputs is None else outputs.show
        space = guard.namespace
        space |= {"__name__": "__main__", "_hccbook_guard": guard, "display": guard.show}
        space["results"] = str(self.run.root)
        with _quiet_pages(guard, self.glued, outputs):
            for number, cell in enumerate(cell for cell in notebook.cells if cell.cell_type == "code"):
                tree = guard.visit(ast.parse(cell.source))
                exec(compile(tree, f"{stage}, cell {number}", "exec"), space)
                if "parameters" in cell.metadata.get("tags", []):
                    space |= parameters
                if outputs is not None:
                    outputs.show_figures()
                    cell.outputs, outputs.cell = outputs.cell, []
                    cell.execution_count = number + 1
                plt.close("all")
        self.reasons[stage] = guard.reasons
        if outputs is not None:
            file = self.run.executed_notebook(stage)
            file.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook, file)

    def shown_items(self) -> list[Item]:
        """Items of the papers on the pages that can be rendered."""
        papers = self.profile.run.papers.split(",")
        pages = [notebook_name(stage) for stage in ITEM_STAGES]
        listed = [item for item in published.items() if item.paper in papers and item.page in pages]
        return [item for item in listed if not item.is_planned]

    def render(self, out: Path) -> tuple[Path, list[str]]:
        """Render the pages that show the papers' items, alone; the folder of HTML, and what Sphinx warned of.

        References to the pages that are not there are no warnings.
        """
        from jupyter_book.sphinx import build_sphinx  # which takes long

        source = out / "source"
        files = [file for stage in ITEM_STAGES if (file := self.run.executed_notebook(stage)).is_file()]
        for file in files:
            page = layout._readable(file.stem, nbformat.read(file, as_version=4), "")
            write_if_changed(source / "notebooks" / file.name, page)
        names = [file.stem for file in files]
        toc = {"format": "jb-book", "root": "intro", "chapters": [{"file": f"notebooks/{name}"} for name in names]}
        toc["chapters"].append({"file": "glossary"})
        write_if_changed(source / "_toc.yml", yaml.safe_dump(toc))
        write_if_changed(source / "intro.md", "# A run on an odd cohort\n")
        write_if_changed(source / "_config.yml", layout._config(False))
        for name, content in layout._prose().items():
            if name in ("glossary.md", "references.bib") or name.endswith(".css"):
                write_if_changed(source / name, content)
        html, heard = out / "html", io.StringIO()
        with contextlib.redirect_stderr(heard), contextlib.redirect_stdout(io.StringIO()):
            build_sphinx(
                source, html, path_config=source / "_config.yml", quiet=True, freshenv=True,
                confoverrides={"latex_individualpages": False},
            )  # fmt: skip
        lines = re.sub(r"\x1b\[[0-9;]*m", "", heard.getvalue()).splitlines()
        return html, [
            line for line in lines if "WARNING" in line or "ERROR" in line if not _OF_OTHER_PAGES.search(line)
        ]

    def unavailable(self) -> dict[str, str]:
        """Why shown items are n.a., by item."""
        tables = {item.id: read_csv(self.run.root / item.data) for item in self.shown_items()}
        return {name: str(table["note"].iloc[0]) for name, table in tables.items() if [*table] == ["item", "note"]}

    def misplaced(self, html: Path) -> list[str]:
        """What is wrong on rendered pages: items that are not there, and tables that are n.a. without the sentence."""
        wrong = []
        try:
            checks.check_items(html, self.run, self.shown_items())
        except checks.BookError as error:
            wrong.append(str(error))
        for item in self.shown_items():
            sentence = self.unavailable().get(item.id)
            if sentence is not None and item.figure is None:
                page = BeautifulSoup(
                    (html / "notebooks" / f"{item.page}.html").read_text(encoding="utf-8"), "html.parser"
                )
                section = page.find(id=item.id)
                section = section if section.name == "section" else section.find_parent("section")
                if sentence not in " ".join(checks._own_content(section).get_text().split()):
                    wrong.append(f"{item.id}: no {sentence!r}")
        return wrong


class Outputs:
    """What a cell shows, as a kernel would send it."""

    def __init__(self) -> None:
        self.cell: list[nbformat.NotebookNode] = []

    def show(self, content: object) -> None:
        """Add an object, as a picture, a table or a text."""
        if isinstance(content, Figure):
            stream = io.BytesIO()
            content.savefig(stream, format="png", dpi=50)
            data = {"image/png": base64.b64encode(stream.getvalue()).decode(), "text/plain": "<Figure>"}
        else:
            data = {"text/plain": repr(content)}
            if hasattr(content, "_repr_html_"):
                data["text/html"] = content._repr_html_()
        self.cell.append(nbformat.v4.new_output("display_data", data=data))

    def show_figures(self) -> None:
        """Add all figures that are open, and close them."""
        for number in plt.get_fignums():
            self.show(plt.figure(number))
        plt.close("all")

    def glue(self, name: str, value: object) -> None:
        """Add a text for a page."""
        hidden = "application/papermill.record/"
        data = {f"{hidden}text/plain": repr(value)}
        scrap = {"scrapbook": {"name": name, "mime_prefix": hidden}}
        self.cell.append(nbformat.v4.new_output("display_data", data=data, metadata=scrap))


@contextmanager
def _quiet_pages(guard: CellGuard, glued: dict[str, str], outputs: Outputs | None) -> Iterator[None]:
    """No window, and glued texts kept."""
    plain, show = myst_nb.glue, plt.show

    def glue(name: str, value: Any, display: bool = True) -> None:
        guard.glued.add(name)
        glued[name] = value
        if outputs is not None:
            outputs.glue(name, value)

    mpl.use("Agg")
    myst_nb.glue = glue
    if outputs is not None:
        plt.show = outputs.show_figures
    try:
        yield
    finally:
        myst_nb.glue, plt.show = plain, show


def odd_run(folder: Path, table: pd.DataFrame, **run_settings: Any) -> OddRun:
    """Run on the patients of a table; settings of the run are those of a user's own."""
    phases = str(run_settings.get("phases", ",".join(PHASES))).split(",")
    (folder / "ct").mkdir(parents=True)
    for phase in phases:
        table[phase] = [f"ct/{number}_{phase}.nii.gz" for number in range(len(table))]
        for name in table[phase]:
            (folder / name).touch()
    table.to_csv(folder / "manifest.csv", index=False)
    settings = {"run": {"synthetic": False, "manifest": str(folder / "manifest.csv"), **run_settings}, **SETTINGS}
    return OddRun(RunPaths.at(folder / "results" / "own", folder / "manifest.csv"), Profile(**settings))


# --- the cohorts ------------------------------------------------------------------------------------------------------


class Odd(NamedTuple):
    """A cohort, and settings of its run."""

    make: Callable[[], pd.DataFrame]
    settings: dict[str, Any] = {}  # noqa: RUF012 - a NamedTuple's defaults are shared and never changed


def cohort(shares: dict[str, int], *without_hcc: int) -> Callable[[], pd.DataFrame]:
    """Sixty patients whose cohorts the manifest gives, by number; some cohorts, by position, without HCC."""

    def make() -> pd.DataFrame:
        table = patients().assign(cohort=np.repeat(list(shares), list(shares.values())))
        table.loc[table["cohort"].isin([list(shares)[position] for position in without_hcc]), "hcc"] = 0
        return table

    return make


def only_in_first_centre() -> pd.DataFrame:
    table = patients(events=0)
    table.loc[table["centre"] == "C1", "hcc"] = 1
    return table


def where(column: str, value: object, then: dict[str, object]) -> pd.DataFrame:
    table = patients()
    for name, new in then.items():
        table[name] = table[name].where(table[column] != value, new)
    return table


ODD = {
    "one centre": Odd(lambda: patients().assign(centre="only")),
    "eight patients": Odd(lambda: patients(8, 3)),
    "fifteen patients": Odd(lambda: patients(15, 5)),
    "five patients": Odd(lambda: patients(5, 2)),
    "three patients": Odd(lambda: patients(3, 1)),
    "one patient": Odd(lambda: patients(1, 1)),
    "no HCC": Odd(lambda: patients(events=0)),
    "all HCC": Odd(lambda: patients(events=60)),
    "one HCC": Odd(lambda: patients(events=1)),
    "two HCC": Odd(lambda: patients(events=2)),
    "rare HCC": Odd(lambda: patients(200, 3)),
    "one without HCC": Odd(lambda: patients(events=59)),
    "no women": Odd(lambda: patients().assign(sex="male")),
    "no men": Odd(lambda: patients().assign(sex="female")),
    "one aMAP for all": Odd(lambda: patients().assign(age=50, sex="male", bilirubin=17, albumin=40, platelets=150)),
    "all aMAP low": Odd(lambda: patients().assign(age=25, sex="female", albumin=48, platelets=300)),
    "all aMAP high": Odd(lambda: patients().assign(age=80, sex="male", albumin=25, platelets=40)),
    "no AFP": Odd(lambda: patients().assign(afp=np.nan)),
    "AFP of nought": Odd(lambda: patients().assign(afp=0.0)),
    "half the AFP": Odd(lambda: where("sex", "male", {"afp": np.nan})),
    "no ALT, no cause": Odd(lambda: patients().assign(alt=np.nan, etiology="")),
    "no HBV": Odd(lambda: patients().assign(etiology="alcohol")),
    "one phase": Odd(patients, {"phases": "venous"}),
    "two phases": Odd(patients, {"phases": "arterial,delayed"}),
    "aMAP-CT only": Odd(patients, {"papers": "amap_ct"}),
    "ALARM only": Odd(patients, {"papers": "alarm"}),
    "followed for as long": Odd(lambda: patients().assign(months=12.0)),
    "hardly followed": Odd(lambda: patients().assign(months=0.5)),
    "nobody followed on": Odd(lambda: where("hcc", 0, {"months": 1.0})),
    "events of one day": Odd(lambda: where("hcc", 1, {"months": 20.0})),
    "HCC in one centre": Odd(only_in_first_centre),
    "a centre each": Odd(lambda: patients().assign(centre=[f"C{number:02d}" for number in range(60)])),
    "a large centre without HCC": Odd(lambda: patients().assign(centre=lambda t: np.where(t["hcc"] == 1, "B", "A"))),
    "development alone": Odd(cohort({"discovery": 60})),
    "no validation": Odd(cohort({"discovery": 40, "external_validation": 20})),
    "no HCC in the test": Odd(cohort({"discovery": 30, "internal_validation": 15, "external_validation": 15}, 2)),
    "no HCC in validation": Odd(cohort({"training": 30, "validation": 10, "test": 20}, 1)),
    "one outcome in each unseen": Odd(cohort({"training": 30, "validation": 10, "test": 20}, 1, 2)),
    "no development": Odd(cohort({"internal_validation": 30, "external_validation": 30})),
    "odd names of centres": Odd(lambda: patients().assign(centre=lambda t: t["centre"].map(
        {"C1": '=HYPERLINK("x")', "C2": "Zürich, <b>Süd</b>", "C3": "$\\alpha$ & _"}))),
}  # fmt: skip
