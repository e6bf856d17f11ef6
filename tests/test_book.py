"""Laying out, rendering and checking the book, on small notebooks that stand in for executed ones."""

from __future__ import annotations

import base64
import dataclasses
import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml
from bs4 import BeautifulSoup

from hccbook.book import (
    BookError,
    assumptions_page,
    build_book,
    check_items,
    check_links,
    check_self_contained,
    generated_pages,
    lay_out,
    layout,
    rendering,
)
from hccbook.book.costs_page import costs_page
from hccbook.cohort.manifest import COLUMNS
from hccbook.papers import PAPERS, published
from hccbook.pipeline.run_record import project_commit
from hccbook.run import CHAPTER_READS, CHAPTERS, RESULT_CHAPTERS, STAGES, RunPaths, notebook_name, project_root
from hccbook.settings import Profile

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
GLUED = ("alarm_auc", "alarm_truth", "amap_ct_auc", "amap_ct_truth", "n_alarm", "n_amap_ct")


def code(source, outputs=(), tags=()):
    cell = nbformat.v4.new_code_cell(source, outputs=list(outputs), execution_count=1)
    cell.metadata["tags"] = list(tags)
    return cell


def output(data, **metadata):
    return nbformat.v4.new_output("display_data", data=data, metadata=metadata)


def glued(name, text):
    hidden = "application/papermill.record/"
    return output({f"{hidden}text/plain": f"'{text}'"}, scrapbook={"name": name, "mime_prefix": hidden})


def item_cells(item):
    picture = output({"image/png": base64.b64encode(PIXEL).decode(), "text/plain": "<Figure>"})
    rows = output({"text/html": "<table><tr><td>1</td></tr></table>", "text/plain": "1"})
    heading = nbformat.v4.new_markdown_cell(f"({item.id})=\n## {published_name(item)}\n\n{item.title}.")
    return [heading, code("show()", [picture if item.kind == "figure" else rows])]


def published_name(item):
    return f"{PAPERS[item.paper].title}, {item.label}"


@pytest.fixture
def run(tmp_path):
    """A finished run: every notebook executed, every listed file there."""
    finished = RunPaths(tmp_path / "demo")
    profile = Profile()
    shown = [item for item in published.items() if not item.is_planned]
    for stage in (*STAGES, *CHAPTERS):
        parameters = profile.parameters(stage)
        cells = [
            nbformat.v4.new_markdown_cell(f"# {stage}\n\nAn equation: $a^2 + b^2 = c^2$."),
            code("seed = 1", tags=["parameters"]),
            code("seed = 2\nmanifest = '/somewhere/private/manifest.csv'", tags=["injected-parameters"]),
            code("1 + 1", [nbformat.v4.new_output("stream", name="stdout", text="2\n")]),
        ]
        cells += [cell for item in shown if item.page == notebook_name(stage) for cell in item_cells(item)]
        if stage == "figures_and_tables":
            cells += [code("glue_all()", [glued(name, f"{name} 0.8") for name in GLUED])]
        notebook = nbformat.v4.new_notebook(cells=cells)
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook.metadata["language_info"] = {"name": "python"}
        notebook.metadata["papermill"] = {"parameters": parameters, "output_path": str(tmp_path)}
        for position, cell in enumerate(notebook.cells):
            cell["id"] = f"cell-{position}"
        file = finished.executed_notebook(stage)
        file.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, file)
    for paper in PAPERS.values():
        rows = [f"P{number:04d},{paper.cohorts[0]},{number % 2}" for number in range(1, 5)]
        table = finished.clinical(paper.name)
        table.write_text("\n".join(["patient,cohort,hcc", *rows]) + "\n", encoding="utf-8")
    finding = "id,paper,place,check,printed,recomputed,arithmetic,certainty,consequence,claims\n"
    (finished.stage("audit") / "findings.csv").write_text(finding, encoding="utf-8")
    for item in shown:
        kept = ((item.data, b"item,note\nx,n.a.: made up\n"), (item.figure, PIXEL), (item.vector_figure, b"<svg/>"))
        for name, content in kept:
            if name is not None:
                (finished.root / name).parent.mkdir(parents=True, exist_ok=True)
                (finished.root / name).write_bytes(content)
    return finished


def edit(run, stage, change):
    file = run.executed_notebook(stage)
    notebook = nbformat.read(file, as_version=4)
    change(notebook)
    nbformat.write(notebook, file)


def costs_of(run, *rows):
    lines = ["run,stage,patients,computed,core_seconds,wall_seconds,peak_mib,workers,processor", *rows]
    (run.root / "costs.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return costs_page(run)


def test_a_stage_is_shown_with_what_a_patient_cost(run):
    """250 core-seconds for 100 of 240 patients, whose other 140 lay in the store: 2.5 s each, and no forecast."""
    page = costs_of(run, "demo,02_preprocessing,240,100,250.0,130.0,900,2,AVX2", "demo,09_audit,0,,6.0,7.0,400,1,AVX2")
    cells = page.partition("* - 02 preprocessing\n")[2].split("\n* - ")[0]
    assert [cell.removeprefix("  - ") for cell in cells.splitlines()] == ["240", "140", "250.0", "2.50", "", "900"]
    assert "  - 256\n" in page.partition("**All**")[2]


def test_the_page_says_how_well_the_forecast_met_the_run(run, monkeypatch):
    """Two stages forecast at 100 s each took 80 and 170: 200 of 250; what forecasts are made of has none."""
    rows = pd.DataFrame(
        {
            "run": "demo", "stage": ["01_cohort", "02_preprocessing"], "patients": 240, "computed": [240, 240],
            "core_seconds": [80.0, 170.0], "wall_seconds": 90.0, "peak_mib": 900, "workers": 2, "processor": "AVX2",
            "forecast": 100.0,
        }
    )  # fmt: skip
    monkeypatch.setattr("hccbook.book.costs_page.against_forecast", lambda run: rows)
    met = "took 250 core-seconds, and 200 were forecast: the forecast was 0.80 times what it took."
    other = dataclasses.replace(run, root=run.root.with_name("a profile that was not measured"))
    assert met in costs_page(other)
    measured = dataclasses.replace(run, root=run.root.with_name("demo"))
    assert "would only repeat it" in costs_page(measured)
    assert "were forecast" not in costs_page(measured)


def test_a_run_that_counted_nothing_has_the_page_too(run):
    """A run of an earlier version left no table."""
    assert "This run left no table of costs." in costs_page(run)


def test_a_finished_run_renders_and_stays_as_it_is(run, monkeypatch):
    """A finished run gives an offline book with its mathematics; a second build rewrites nothing; a gap is found."""
    # One page of the reference is enough here; `make book` renders all.
    reference = {"papers": generated_pages.api_pages()["papers"]}
    monkeypatch.setattr(layout, "api_pages", lambda: reference)
    entry = build_book(run)
    html = entry.parent
    intro = (html / "intro.html").read_text(encoding="utf-8")
    assert entry.name == "index.html"
    assert "alarm_auc 0.8" in intro
    assert "SYNTHETIC" in intro
    assert (html / "_static" / "mathjax" / "tex-svg.js").is_file()
    assert "The papers by name" in (html / "api" / "papers.html").read_text(encoding="utf-8")
    chapter = (html / "notebooks" / "05_alarm.html").read_text(encoding="utf-8")
    assert "mathjax/tex-svg.js" in chapter
    assert "Parameters of this run" in chapter
    assert "/somewhere/private" not in chapter
    assert "seed = <" not in chapter.replace('<span class="n">', "")
    before = {file: file.stat().st_mtime_ns for file in html.rglob("*.html")}
    assert build_book(run) == entry
    assert {file: file.stat().st_mtime_ns for file in html.rglob("*.html")} == before

    page = html / "notebooks" / "08_figures_and_tables.html"
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace('id="alarm-fig-4"', 'id="gone"').replace("<table", "<div"), encoding="utf-8")
    with pytest.raises(BookError, match="alarm-fig-4: anchor") as raised:
        check_items(html, run, published.items())
    assert "alarm-table-1: table under its anchor" in str(raised.value)
    assert "alarm-fig-3" not in str(raised.value)

    calls = []
    monkeypatch.setattr(rendering, "_render", lambda *_: calls.append(html.exists()))
    with pytest.raises(BookError, match="page 08_figures_and_tables"):
        build_book(run)
    assert calls == [False], "a page that was altered has all of them rendered again"


def write_tiny_book(source, intro):
    """A book of one page with the settings of the real one."""
    (source / "assets").mkdir(parents=True)
    for name in ("assets/hccbook.css", "assets/hccbook.js", "assets/search_numbers.js", "references.bib"):
        (source / name).write_text("")
    (source / "_config.yml").write_bytes((project_root() / "_config.yml").read_bytes())
    (source / "_toc.yml").write_text("format: jb-book\nroot: intro\n")
    (source / "intro.md").write_text(intro)


@pytest.mark.thorough
def test_sphinx_alone_renders_the_same_page(tmp_path):
    """With the settings that the build leaves, and without Jupyter Book: the article is the same."""
    source = tmp_path / "source"
    prose = "# Intro\n\n## Why\n\n$x^2$\n\n:::{caution}\nSimulated.\n:::\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    write_tiny_book(source, prose)
    rendering._render(source, tmp_path)
    assert "'jupyter_book'" not in (source / "conf.py").read_text(encoding="utf-8")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", str(source), str(tmp_path / "alone")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = [folder / "intro.html" for folder in (tmp_path / "_build" / "html", tmp_path / "alone")]
    soups = [BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser") for page in pages]
    articles = [soup.select_one("article.bd-article") for soup in soups]
    assert str(articles[0]) == str(articles[1])
    assert "Simulated." in articles[0].get_text()


def test_a_warning_fails_the_build_and_names_the_page(tmp_path):
    """A number that no notebook glues stops the build, with page, line and key, and a second try fails too."""
    source = tmp_path / "source"
    write_tiny_book(source, "# Intro\n\n{glue:text}`n_lost:s` patients.\n")
    for _ in range(2):
        with pytest.raises(BookError, match=r"intro\.md:3: WARNING.*n_lost"):
            rendering._render(source, tmp_path)
        assert not (tmp_path / "_build").exists()


def test_a_stage_that_has_not_run_is_named(run):
    """Without an executed notebook the error says which stage to run."""
    run.executed_notebook("amap_ct").unlink()
    with pytest.raises(BookError, match="--until amap_ct"):
        build_book(run)


def test_a_failed_cell_is_refused(run):
    """A notebook that stopped with an error is not shown."""

    def fail(notebook):
        notebook.cells[3].outputs = [nbformat.v4.new_output("error", ename="ValueError", evalue="x", traceback=[])]

    edit(run, "features", fail)
    with pytest.raises(BookError, match=r"04_features\.ipynb, cell 4.*ValueError"):
        build_book(run)


@pytest.mark.parametrize("folder", [str(project_root()), str(Path.home())])
def test_a_folder_of_this_machine_is_refused(run, folder):
    """An output that prints the project's or the user's folder stops the build."""

    def leak(notebook):
        notebook.cells[3].outputs = [nbformat.v4.new_output("stream", name="stdout", text=f"see {folder}/secret\n")]

    edit(run, "cohort", leak)
    with pytest.raises(BookError, match=r"01_cohort\.ipynb, cell 4: must show no folder of this machine"):
        lay_out(run, run.root / "book" / "source")


def test_a_missing_file_of_an_item_is_named(run):
    """Every file in the index must exist."""
    (run.root / "figures_and_tables" / "alarm-fig-3.csv").unlink()
    with pytest.raises(BookError, match=r"alarm-fig-3\.csv"):
        build_book(run)


def test_a_missing_anchor_is_named_with_its_syntax(run):
    """An item without its anchor line is found before anything is rendered."""

    def cut(notebook):
        for cell in notebook.cells:
            cell.source = cell.source.replace("(amap-ct-fig-4)=", "")

    edit(run, "figures_and_tables", cut)
    with pytest.raises(BookError, match=r"\(amap-ct-fig-4\)= in 08_figures_and_tables\.ipynb"):
        build_book(run)


def test_staging_twice_touches_nothing_and_clears_left_overs(run):
    """Unchanged files keep their time stamps, and a page that is no longer there goes."""
    source = lay_out(run, run.root / "book" / "source")
    (source / "old.md").write_text("# Old")
    before = {file: file.stat().st_mtime_ns for file in source.rglob("*") if file.is_file() and file.name != "old.md"}
    lay_out(run, source)
    assert {file: file.stat().st_mtime_ns for file in source.rglob("*") if file.is_file()} == before


@pytest.fixture
def archived(run):
    """Another finished run, unpacked from an archive beside the first; its manifest says what it was."""
    shown = RunPaths(run.root.with_name("demo-paper"))
    shutil.copytree(run.root, shown.root)
    record = {
        "run": "paper",
        "settings": {"cohort": {"seed": 77}},
        "patients": {"alarm": [{"cohort": "discovery", "n": 1858, "events": 89}]},
        "versions": {"hccbook": "7.8"},
        "processors": [],
        "seconds": {},
        "archived": "2026-11-28",
    }
    shown.archive_manifest.write_text(json.dumps(record), encoding="utf-8")
    return shown


def top_of(source, page):
    """First lines of a page: of a notebook, its first cell."""
    text = (source / page).read_text(encoding="utf-8")
    return nbformat.reads(text, as_version=4).cells[0].source if page.endswith(".ipynb") else text[:900]


DEMO = "Run `demo`: 4 patients of ALARM (2 with HCC), 4 patients of aMAP-CT (2 with HCC), **SYNTHETIC**, seed 20240718."


def test_each_page_says_at_its_top_which_run_it_shows(run):
    """Profile, patients, seed and SYNTHETIC under the title; a page without patients says so."""
    source = lay_out(run, run.root / "book" / "source")
    for stage in (*STAGES, *CHAPTERS):
        title, _, rest = top_of(source, f"notebooks/{notebook_name(stage)}.ipynb").partition("\n\n")
        assert title == f"# {stage}"
        assert rest.startswith(":::{container} shown-run\n")
        reads = stage in STAGES or stage in CHAPTER_READS
        assert (DEMO if reads else "This page reads no patient.") in rest.partition("An equation")[0], stage
    moved = [f"picture_{name}.md" for name in ("roc", "xtile", "stepwise", "window", "patch", "feature_map")]
    for page in ("web_nomogram.md", "web_calculator.md", "results.md", "assumptions.md", *moved):
        assert DEMO in top_of(source, page), page
    intro = (source / "intro.md").read_text(encoding="utf-8")
    assert f"## Results shown here\n\n:::{{container}} shown-run\n{DEMO}" in intro


def foot_of(source, page):
    """Last lines of a page: of a notebook, its last cell."""
    text = (source / page).read_text(encoding="utf-8")
    text = nbformat.reads(text, as_version=4).cells[-1].source if page.endswith(".ipynb") else text
    return text.partition(":::{container} made")[2]


def test_each_page_says_at_its_foot_how_it_was_made(run):
    """Version and commit, run and seed, hashes, parameters but for places on the machine, and the modules called."""

    def call(notebook):
        notebook.cells[3].source = "from hccbook import audit\nfrom hccbook.run import RunPaths"
        notebook.metadata["hccbook"] = {
            "versions": {"hccbook": "7.8", "commit": "abc123", "numpy": "1.2"},
            "processor": "one",
        }
        notebook.metadata["papermill"]["parameters"] = {"smote": "off", "results": "/somewhere/results/demo"}

    edit(run, "alarm", call)
    source = lay_out(run, run.root / "book" / "source")
    foot = foot_of(source, "notebooks/05_alarm.ipynb")
    assert "hccbook 7.8, commit `abc123`; run `demo`, SYNTHETIC, seed 20240718." in foot
    assert "Parameters: `smote` off." in foot
    assert "Versions: numpy 1.2." in foot
    assert "Code: {py:mod}`hccbook.audit`, {py:mod}`hccbook.run`." in foot
    assert "earlier stages `" in foot
    pages = [file.relative_to(source).as_posix() for file in source.rglob("*") if file.suffix in (".md", ".ipynb")]
    assert len(pages) > 60
    for page in pages:
        assert "printed numbers `" in foot_of(source, page), page


def test_the_commit_is_that_of_the_clone(monkeypatch, tmp_path):
    """As git says it; a folder without a clone has none."""
    project_commit.cache_clear()
    if (project_root() / ".git").exists():
        said = subprocess.run(["git", "rev-parse", "HEAD"], cwd=project_root(), capture_output=True, encoding="utf-8")
        assert said.stdout.startswith(project_commit().removesuffix("-dirty"))
        assert len(project_commit()) >= 10
    monkeypatch.setattr("hccbook.pipeline.run_record.project_root", lambda: tmp_path)
    project_commit.cache_clear()
    assert project_commit() == ""
    project_commit.cache_clear()


def test_result_chapters_name_the_archived_run(run, archived):
    """Its profile, patients, seed, version and day; files of items come from where they are made."""
    (archived.root / "figures_and_tables" / "alarm-fig-3.csv").write_bytes(b"cohort,auc\narchived,0.9\n")
    (archived.root / "features" / "amap-ct-fig-s4.csv").unlink()
    (run.root / "figures_and_tables" / "alarm-fig-3.csv").unlink()
    run.executed_notebook("figures_and_tables").unlink()
    source = lay_out(run, run.root / "book" / "source", archived)
    said = (
        "Archived run `paper`: 1,858 patients of ALARM (89 with HCC), **SYNTHETIC**, seed 77.\n"
        "It was computed with hccbook 7.8 and archived on 2026-11-28; "
    )
    for stage in (*STAGES, *CHAPTERS):
        top = top_of(source, f"notebooks/{notebook_name(stage)}.ipynb")
        assert (said in top) == (stage in RESULT_CHAPTERS), stage
        assert (DEMO in top) == (stage not in RESULT_CHAPTERS and "no patient" not in top), stage
    assert f"Pages of results: {said}" in top_of(source, "results.md")
    assert f"Other pages: {DEMO}" in top_of(source, "results.md")
    assert said in top_of(source, "web_nomogram.md")
    assert said in top_of(source, "picture_roc.md")
    assert DEMO in top_of(source, "picture_window.md")
    assert (source / "assets" / "files" / "alarm-fig-3.csv").read_bytes().endswith(b"archived,0.9\n")
    assert (source / "assets" / "files" / "amap-ct-fig-s4.csv").is_file()


@pytest.mark.parametrize("says_so", ["preprocessing", "figures_and_tables"])
def test_own_data_lose_the_synthetic_banner(run, says_so):
    """A run on the user's patients does not call them SYNTHETIC, whichever notebook has the parameter."""

    def own(notebook):
        notebook.metadata["papermill"]["parameters"]["synthetic"] = False

    edit(run, says_so, own)
    source = lay_out(run, run.root / "book" / "source")
    banner = yaml.safe_load((source / "_config.yml").read_text(encoding="utf-8"))["html"]["announcement"]
    assert "SYNTHETIC" not in banner
    assert "not for clinical use" in banner
    assert "method run on own data" in (source / "results.md").read_text(encoding="utf-8")


def test_a_run_of_one_paper_leaves_the_other_out(run):
    """With one paper the other's chapters and items are not expected."""

    def alone(notebook):
        notebook.metadata["papermill"]["parameters"]["papers"] = "alarm"

    for stage in ("amap_ct", "stepwise_stratification", "amap_ct_supplement"):
        run.executed_notebook(stage).unlink()
    for stage in (*STAGES, *CHAPTERS):
        if run.executed_notebook(stage).is_file():
            edit(run, stage, alone)
    source = lay_out(run, run.root / "book" / "source")
    toc = (source / "_toc.yml").read_text(encoding="utf-8")
    assert "05_alarm" in toc
    assert "06_amap_ct" not in toc
    assert "aMAP-CT" not in (source / "results.md").read_text(encoding="utf-8")


def test_assumptions_show_the_value_that_the_run_used():
    """A setting is shown with its value in this run, or with its default."""
    register = [entry for entry in published.assumptions() if entry.id == "alarm-smote-order"]
    assert "`alarm.smote`, here `off`" in assumptions_page(register, {"alarm": {"smote": "off"}})
    assert "`alarm.smote`, here `before_selection`" in assumptions_page(register, {})


@pytest.mark.parametrize(
    "markup",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//cdn.example/x.css">',
        "<style>@import url(https://cdn.example/font.css);</style>",
        '<img src="http://cdn.example/x.png">',
    ],
)
def test_a_page_that_needs_a_network_is_refused(tmp_path, markup):
    """A script, sheet, font or picture from elsewhere is named with its page; a link to click is not."""
    (tmp_path / "fine.html").write_text('<a href="https://doi.example/1">paper</a>')
    check_self_contained(tmp_path)
    (tmp_path / "page.html").write_text(markup)
    with pytest.raises(BookError, match=r"page\.html: (https?:)?//cdn\.example"):
        check_self_contained(tmp_path)


def test_a_picture_that_is_not_there_is_refused(tmp_path):
    """A picture whose file is missing is named."""
    (tmp_path / "page.html").write_text('<img src="_images/lost.png">')
    with pytest.raises(BookError, match=r"_images/lost\.png"):
        check_self_contained(tmp_path)


@pytest.mark.parametrize("link", ["chapter.html#lost", "lost.csv", "#nowhere"])
def test_a_link_of_the_front_page_that_leads_nowhere_is_refused(tmp_path, link):
    """A page, a file or a place that is not there; addresses elsewhere and filters of the index are no such thing."""
    (tmp_path / "chapter.html").write_text('<p id="here"></p>')
    fine = '<a href="chapter.html#here"></a><a href="intro.html#kind=claim"></a><a href="https://doi.example/1"></a>'
    (tmp_path / "intro.html").write_text(f"<article>{fine}</article>")
    check_links(tmp_path, ["intro.html"])
    (tmp_path / "intro.html").write_text(f'<article>{fine}<a href="{link}"></a></article>')
    with pytest.raises(BookError, match=rf"intro\.html: {re.escape(link)}"):
        check_links(tmp_path, ["intro.html"])


def test_the_toc_holds_the_stages_in_order():
    """Chapters stand in the order of the stages; the chapters beside them are all there, anywhere."""
    toc = yaml.safe_load((project_root() / "book" / "_toc.yml").read_text(encoding="utf-8"))
    files = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    chapters = [file.removeprefix("notebooks/") for file in files if file.startswith("notebooks/")]
    others = {notebook_name(name) for name in CHAPTERS}
    assert [chapter for chapter in chapters if chapter not in others] == [notebook_name(stage) for stage in STAGES]
    assert others <= set(chapters)


def test_prose_has_one_sentence_a_line():
    """No line of prose goes on after a full stop."""
    for page in sorted((project_root() / "book").glob("*.md")):
        fenced = False
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
            fenced ^= line.startswith("```")
            if not fenced and not line.startswith(("|", "  ", "#", "- **")):
                sentence = re.sub(r"^\d+\. ", "", line)  # the number of an item of a list
                assert ". " not in sentence, f"{page.name}, line {number}: {line}"


def test_own_data_explains_every_column_of_the_manifest():
    """A column that the manifest knows is on the page, with the phase left open in the names of masks."""
    page = (project_root() / "book" / "own_data.md").read_text(encoding="utf-8")
    for name in COLUMNS:
        organ, mask, _ = name.partition("_mask_")
        assert f"`{organ}_mask_<phase>`" in page if mask else f"`{name}`" in page, name


def test_architecture_has_every_room():
    """Each module and subpackage of the package is in the table of rooms, in the row of its own."""
    page = (project_root() / "book" / "architecture.md").read_text(encoding="utf-8")
    package = project_root() / "src" / "hccbook"
    rooms = {path.stem for path in package.iterdir() if path.name[0] not in "_." and path.suffix in ("", ".py")}
    table = "\n".join(line for line in page.splitlines() if line.startswith("| `"))
    assert [room for room in sorted(rooms) if f"`{room}`" not in table] == []


def test_the_walk_through_the_code_names_real_functions_each_once():
    """At most twelve stops; every name on the way is one of the package's, and none is visited twice."""
    page = (project_root() / "book" / "architecture.md").read_text(encoding="utf-8")
    walk = page.partition("## One patient, from the manifest to a table")[2].partition("\n## ")[0]
    stops = re.findall(r"^\d+\. `([\w.]+)`", walk, flags=re.MULTILINE)
    assert 10 <= len(stops) <= 12
    assert len(set(stops)) == len(stops)
    for stop in stops:
        where, _, name = stop.replace("models.AlarmModel.scores", "models.AlarmModel").rpartition(".")
        assert hasattr(importlib.import_module(f"hccbook.{where}"), name), stop


def test_profiles_explains_every_section():
    """Each section of a profile is on the page."""
    page = (project_root() / "book" / "profiles.md").read_text(encoding="utf-8")
    assert [name for name in Profile.model_fields if f"| `{name}` |" not in page] == []


def test_every_module_has_its_place_in_the_reference():
    """A page a room, a section a module; nothing is left out."""
    pages = generated_pages.api_pages()
    package = project_root() / "src" / "hccbook"
    for file in package.rglob("*.py"):
        if file.name != "__init__.py":
            module = ".".join(file.relative_to(package.parent).with_suffix("").parts)
            assert sum(f".. automodule:: {module}\n" in page for page in pages.values()) == 1, module
