"""The index of items and claims: what it says against the transcription, and its filters in a browser from disk."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import nbformat
import pandas as pd
import pytest
from bs4 import BeautifulSoup, Tag
from playwright.sync_api import Browser, Page
from test_imports import _imports

from hccbook.audit.findings import CERTAIN, IMPLIED, ROUNDING
from hccbook.book.claims_index import Anchors, anchors, front_page_parts, gravest, numbers_csv, results_page
from hccbook.book.import_graph import import_graph, modules_of
from hccbook.papers import published
from hccbook.pipeline.regenerated import beside_print
from hccbook.run import RunPaths, project_root

AUC = "cohort,model,n,events,auc,lower,upper\n"
TABLES = {
    "alarm/auc.csv": AUC + "discovery,alarm,924,45,0.9,0.85,0.95\ndiscovery,deep,924,45,0.6,0.5,0.7\n",
    "alarm/diagnostic.csv": "cohort,cutoff,measure,value,lower,upper\n"
    "discovery,0.2,sensitivity,0.8,0.7,0.9\ndiscovery,0.7,sensitivity,0.5,0.4,0.6\n",
    "alarm/risk_groups.csv": "group,n,events,incidence,lower,upper\nlow,60,0,0.0,0.0,0.1\nhigh,40,10,0.25,0.1,0.4\n",
    "cohort/alarm_characteristics.csv": "characteristic,level,cohort,subgroup,n,median,q1,q3,count,percent,p_value\n"
    "age,,discovery,hcc,45,57.5,50,60,,,0.1\netiology,alcohol,all,non_hcc,1769,,,,17,1.0,0.1\n",
    "amap_ct/at_horizon.csv": "cohort,group,months,incidence,lower,upper\ntraining,high,36,0.2,0.1,0.3\n",
    "stepwise_stratification/at_horizon.csv": "cohort,group,months,incidence,lower,upper\nall,high,36,0.3,0.2,0.4\n",
    "amap_ct_supplement/amap-ct-table-4.csv": "cohort,model,horizon,auc,lower,upper\n"
    "test,PAGE-B,,0.66,0.6,0.7\ntest,PAGE-B,18,0.1,0.1,0.1\ntest,aMAP-CT,,0.75,0.7,0.8\n",
    "amap_ct_supplement/amap-ct-table-3.csv": "cohort,characteristic,level,auc,lower,upper,measure,value\n"
    "test,sex,Males,0.7,0.6,0.8,,\ntest,age,45–55,,,,npv,0.97\ntest,amap_group,high,,,,npv,0.95\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """A run that has some of the tables."""
    finished = RunPaths(tmp_path_factory.mktemp("results") / "demo")
    for name, content in TABLES.items():
        (finished.root / name).parent.mkdir(parents=True, exist_ok=True)
        (finished.root / name).write_text(content, encoding="utf-8")
    return finished


def findings(*rows: tuple[str, str, str, str, str]) -> pd.DataFrame:
    """Findings of which only id, place, certainty, consequence and claims matter."""
    columns = (
        "id",
        "paper",
        "place",
        "check",
        "printed",
        "recomputed",
        "arithmetic",
        "certainty",
        "consequence",
        "claims",
    )
    filled = [
        (name, name.split("-")[0], place, "counts", "1", "2", "1 < 2", sure, means, claims)
        for name, place, sure, means, claims in rows
    ]
    return pd.DataFrame(filled, columns=columns)


FOUND = findings(
    ("alarm-narrow", "Summary, sentence 6", IMPLIED, "Too narrow. It matters.", "alarm-auc-discovery-interval"),
    ("alarm-risk", "Summary, sentence 7", CERTAIN, "Groups do not fit.", "alarm-high-risk-size"),
    ("alarm-digit", "Table 2", ROUNDING, "None: one digit.", "alarm-npv-upper-internal"),
)
WHERE = Anchors(
    {"alarm-narrow": "notebooks/09_audit.html#finding-alarm-narrow"}, {"counts": "notebooks/09_audit.html#c"}
)


@functools.cache
def index_html(root: Path) -> str:
    """Markup of the index of a run."""
    page = results_page(published.items(), published.claims(), FOUND, beside_print(RunPaths(root)), WHERE)
    (markup,) = re.findall(r"````\{raw\} html\n(.*?)````", page, flags=re.DOTALL)
    return markup


@pytest.fixture(scope="module")
def table(run: RunPaths) -> dict[str, Tag]:
    """Rows of the index by id, in its order."""
    return {row["id"]: row for row in BeautifulSoup(index_html(run.root), "html.parser").select("tbody tr")}


@functools.cache
def numbers_by_claim() -> dict[str, pd.DataFrame]:
    """Printed numbers of each claim."""
    return {claim.id: published.numbers_of(claim) for claim in published.claims()}


def made_of(run: RunPaths, paper: str, **columns: str) -> list[tuple[float, float, float]]:
    """What the run has of the printed numbers with these columns; the same several times is once."""
    printed = published.numbers()
    chosen = printed["paper"] == paper
    for name, text in columns.items():
        chosen &= printed[name] == text
    assert chosen.any(), columns
    found = beside_print(run)[chosen].drop_duplicates()
    return [tuple(row) for row in found.to_numpy().tolist()]


# --- the run's numbers beside the printed ones ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paper", "columns", "expected"),
    [
        ("alarm", {"quantity": "auc", "cohort": "discovery"}, (0.9, 0.85, 0.95)),
        ("alarm", {"quantity": "sensitivity", "subgroup": "cut-off 0.21", "cohort": "discovery"}, (0.8, 0.7, 0.9)),
        ("alarm", {"quantity": "sensitivity", "subgroup": "cut-off 0.65", "cohort": "discovery"}, (0.5, 0.4, 0.6)),
        ("alarm", {"quantity": "incidence", "subgroup": "high-risk", "unit": "%"}, (25.0, 10.0, 40.0)),
        ("alarm", {"quantity": "median", "row": "Age, years", "column": "Discovery cohort, HCC"}, (57.5, 50, 60)),
        ("amap_ct", {"quantity": "cumulative incidence", "cohort": "training", "value": "20.3"}, (20, 10, 30)),
        ("amap_ct", {"quantity": "auc", "place": "Table 4", "column": "PAGE-B", "cohort": "test"}, (0.66, 0.6, 0.7)),
        ("amap_ct", {"quantity": "auc", "place": "Table 2", "cohort": "test"}, (0.75, 0.7, 0.8)),
        ("amap_ct", {"quantity": "auc", "place": "Table 3", "row": "Males", "cohort": "test"}, (0.7, 0.6, 0.8)),
    ],
)  # fmt: skip
def test_a_printed_number_has_the_runs_beside_it(run, paper, columns, expected):
    """By paper, quantity, cohort and subgroup, in the printed unit; the own model is not one of its parts."""
    assert [pytest.approx(expected)] == made_of(run, paper, **columns)


@pytest.mark.parametrize(
    ("paper", "columns", "expected"),
    [
        ("alarm", {"quantity": "count", "row": "patients", "cohort": "discovery"}, 924),
        ("alarm", {"quantity": "count", "row": "HCC", "cohort": "discovery"}, 45),
        ("alarm", {"quantity": "percentage", "row": "high-risk"}, 40.0),
        ("alarm", {"quantity": "count", "row": "Cirrhosis etiology: Alcohol", "column": "All, Non-HCC"}, 17),
        ("amap_ct", {"quantity": "npv", "subgroup": "Age, years: 45-55", "cohort": "test"}, 0.97),
        ("amap_ct", {"quantity": "npv", "subgroup": "aMAP score: high-risk", "cohort": "test"}, 0.95),
        ("amap_ct", {"quantity": "cumulative incidence", "item": "amap-ct-fig-4", "subgroup": "high-risk"}, 30.0),
    ],
)
def test_counts_shares_and_subgroups(run, paper, columns, expected):
    """A share is that of the whole, and a label of the table is the paper's own."""
    assert {made for made, _, _ in made_of(run, paper, **columns)} == {expected}


def test_what_the_run_has_not_made_stays_open(run):
    """Other cohorts, counts of other things, and what the paper quotes from others."""
    printed = published.numbers().join(beside_print(run))
    assert printed.loc[printed["row"].eq("centers"), "made"].isna().all()
    assert printed.loc[printed["row"].str.endswith(", literature"), "made"].isna().all()
    assert printed.loc[printed["cohort"].eq("internal_validation"), "made"].isna().all()
    assert len(printed) == len(published.numbers())


def test_a_run_without_tables_has_nothing(tmp_path):
    """Not one number, and no error: own patients may not give them, and then a table has only the reason."""
    run = RunPaths(tmp_path)
    (run.stage("amap_ct_supplement") / "amap-ct-table-4.csv").write_text("item,note\namap-ct-table-4,n.a.: no event\n")
    assert beside_print(RunPaths(tmp_path)).isna().all(axis=None)


def test_the_table_of_all_numbers_says_what_its_patients_are(run):
    """SYNTHETIC in each row; it loads in one line."""
    content = numbers_csv(beside_print(run))
    first = content.decode().splitlines()[1]
    assert first.endswith("SYNTHETIC")
    assert numbers_csv(beside_print(run), synthetic=False).decode().splitlines()[1].endswith("own")


# --- judged apart -----------------------------------------------------------------------------------------------------


def test_a_claim_on_an_interval_has_printed_limits():
    """Each, and no estimate is judged by its interval's check alone."""
    for claim in published.claims():
        numbers = numbers_by_claim()[claim.id]
        limits = numbers["lower"].ne("") & numbers["quantity"].ne("median")
        if claim.about == "interval":
            assert limits.any() or numbers["quantity"].eq("confidence level").all(), claim.id
        elif limits.any():
            assert set(claim.check) != {"intervals"}, claim.id


def test_the_estimate_of_0929_stands_apart_from_its_interval(table):
    """The AUC is reproduced on synthetic data, its interval is contradicted; each row leads to the other."""
    estimate, interval = (table[f"claim-alarm-auc-discovery{part}"] for part in ("", "-interval"))
    assert estimate["data-status"] == "reproduced"
    assert interval["data-status"] == "contradicted"
    assert estimate.select_one(".index-apart")["href"] == "#claim-alarm-auc-discovery-interval"
    assert "its interval: contradicted by print, strongly implied" in estimate.text
    assert "its estimate: method reproduced on synthetic data" in interval.text
    assert interval.find("td", {"data-label": "Reason"}).text.strip() == "Too narrow."
    assert interval.select_one("td:last-child a")["href"] == "notebooks/09_audit.html#finding-alarm-narrow"


def test_a_row_has_printed_made_and_difference(table):
    """0.929 (0.918 to 0.941) beside 0.900 (0.850 to 0.950): -0.029, and limits 0.100 / 0.023 = 4.3 times as wide."""

    def cells(name: str) -> list[str]:
        return [table[name].find("td", {"data-label": label}).text for label in ("Printed", "This run", "Difference")]

    assert cells("claim-alarm-auc-discovery") == ["0.929 (0.918 to 0.941)", "0.900 (0.850 to 0.950)", "−0.029"]
    assert cells("claim-alarm-auc-discovery-interval")[2] == "4.3 times as wide"
    assert cells("claim-alarm-auc-internal")[1:] == ["–", "–"]


def test_every_item_and_every_claim_has_one_row(table):
    """In the order of the registers, items first."""
    expected = [f"item-{item.id}" for item in published.items()] + [f"claim-{claim.id}" for claim in published.claims()]
    assert list(table) == expected


def test_every_printed_number_of_a_claim_is_in_its_list_with_its_places(table):
    """Value and every place, for each claim."""
    for claim in published.claims():
        listed = table[f"claim-{claim.id}"].find("ul").text
        numbers = numbers_by_claim()[claim.id]
        assert [text for text in (*numbers["value"], *numbers["place"]) if text not in listed] == [], claim.id


# --- the front page ---------------------------------------------------------------------------------------------------


def test_gravest_are_certain_and_on_a_summary_by_numbers_behind_them():
    """One is a matter of rounding, one stands in a table; of the others the claim with more numbers goes first.

    aMAP-CT compares itself with all scores of Table 4; the size of ALARM's group is in the summary and the text.
    """
    rows = findings(
        ("alarm-digit", "Summary, sentence 1", ROUNDING, "x", "alarm-high-risk-size"),
        ("alarm-few", "Summary, sentence 7", CERTAIN, "x", "alarm-high-risk-size"),
        ("alarm-table", "Table 1", CERTAIN, "x", "alarm-sex-counts"),
        ("amap_ct-many", "Abstract, sentence 8", CERTAIN, "x", "amap-ct-better-than-scores"),
    )
    assert [one.id for one in gravest(rows)] == ["amap_ct-many", "alarm-few"]


def test_the_front_page_has_counts_findings_and_picture(run):
    """Counts are those of the register; the picture says SYNTHETIC and what it shows in words."""
    truth = pd.DataFrame({"model": ["alarm", "amap_ct"], "truth": [0.91, 0.8]})
    parts = front_page_parts(published.claims(), FOUND, beside_print(run), truth, WHERE)
    table = BeautifulSoup(parts["% the claims"], "html.parser")
    counts = {link["href"]: int(link.text) for link in table.select("td a")}
    for paper in ("alarm", "amap_ct"):
        for code, status in (("recomputed", published.RECOMPUTED), ("contradicted", published.CONTRADICTED)):
            own = [claim for claim in published.claims() if claim.paper == paper and claim.status == status]
            assert counts[f"results.html#kind=claim&status={code}&paper={paper}"] == len(own)
    assert "SYNTHETIC" in parts["% the picture"]
    assert "ALARM, discovery, printed 0.929, this run 0.900;" in parts["% the picture"]
    own = front_page_parts(published.claims(), FOUND, beside_print(run), None, WHERE, synthetic=False)
    assert "SYNTHETIC" not in own["% the picture"]
    assert "Groups do not fit." in parts["% the gravest findings"]
    assert "Too narrow" not in parts["% the gravest findings"]


# --- places in the notebooks, imports ---------------------------------------------------------------------------------


def test_places_of_findings_are_read_off_the_notebooks():
    """A row's id, and the section of a family of checks, whose anchor begins with a letter as docutils' do."""
    shown = nbformat.v4.new_output("display_data", {"text/html": '<td id="finding-alarm-x">1</td>'})
    cells = [
        nbformat.v4.new_markdown_cell("# Audit\n\n## 2x2 tables"),
        nbformat.v4.new_code_cell('audit.findings_for_page(report, ("counts", "ranges"))', outputs=[shown]),
    ]
    found = anchors({"09_audit": nbformat.v4.new_notebook(cells=cells)})
    assert found.findings == {"alarm-x": "notebooks/09_audit.html#finding-alarm-x"}
    assert found.checks == dict.fromkeys(("counts", "ranges"), "notebooks/09_audit.html#x2-tables")


def test_the_drawn_imports_are_those_of_the_code_and_run_one_way():
    """Each pair that another reading of the sources finds, and none that leads upward."""
    page = (project_root() / "book" / "architecture.md").read_text(encoding="utf-8")
    graph = import_graph(page)
    package = project_root() / "src" / "hccbook"
    seen = {
        (Path(one.file.relative_to(package).parts[0]).stem, one.module.split(".")[1])
        for one in _imports(package)
        if one.module.startswith("hccbook.")
    }
    assert set(graph.counts) == {(own, other) for own, other in seen if own != other and own != "__init__"}
    assert graph.upward == []


def test_modules_of_a_source_are_modules():
    """A name within a module stands for the module; other libraries are none of ours."""
    source = (
        "import numpy\nfrom hccbook import audit\nfrom hccbook.run import RunPaths\nfrom hccbook.audit import auc\n"
    )
    assert modules_of(source) == ["hccbook.audit", "hccbook.run", "hccbook.audit.auc"]


# --- in a browser -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def file(run: RunPaths, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index without the book around it."""
    folder = tmp_path_factory.mktemp("index")
    shipped = project_root() / "book" / "_static"
    (folder / "_static").mkdir()
    for name in ("web_base.js", "web_pages.css", "claims_index.css", "claims_index.js"):
        (folder / "_static" / name).write_bytes((shipped / name).read_bytes())
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    html = f'<!doctype html><html lang="en">{head}<title>Index</title><main>{index_html(run.root)}</main></html>'
    (folder / "results.html").write_text(html, encoding="utf-8")
    return folder / "results.html"


@pytest.fixture
def opened(visit: Callable[..., Page], file: Path) -> Callable[..., Page]:
    """Open the index at an address, and wait until it has set itself up."""

    def page_of(address: str = "", **screen: int) -> Page:
        page = visit(file, **screen)
        page.goto(f"{file.as_uri()}{address}")
        page.wait_for_selector("#index-filters[data-ready=true]")
        return page

    return page_of


def rows(page: Page, fragment: str | None = None) -> list[str]:
    """Ids of all rows that are found, also those behind the button, at another fragment where one is given."""
    if fragment is not None:
        page.evaluate("fragment => { location.hash = fragment; dispatchEvent(new Event('hashchange')); }", fragment)
    page.evaluate("document.getElementById('index-more').hidden || document.getElementById('index-more').click()")
    return page.evaluate(
        "[...document.querySelectorAll('#index-table tbody tr')].filter(r => !r.hidden).map(r => r.id)"
    )


def test_a_number_finds_what_prints_it(opened):
    """Every claim with a printed number or limit of just these digits, and no claim that only holds more digits."""
    page = opened()
    printed = published.numbers()
    shown = page.evaluate("[...document.querySelectorAll('#index-table tbody tr')].map(r => [r.id, r.textContent])")
    for number in ("0.929", "0.9", "221", "24.3", "12.3", "1858"):
        same = printed[["value", "lower", "upper"]].eq(number).any(axis=1)
        prints = {f"claim-{claim.id}" for claim in published.claims() if same[numbers_by_claim()[claim.id].index].any()}
        found = rows(page, f"kind=claim&find={number}")
        assert prints <= set(found), number
        whole = re.compile(rf"(?<![\d.,]){re.escape(number)}(?!\d|[.,]\d)")
        assert found == [name for name, text in shown if name.startswith("claim-") and whole.search(text)], number


def test_a_number_is_shown_where_it_stands(opened):
    """The list of printed numbers opens at 0.929, whose line is marked and names its places."""
    page = opened("#find=0.929")
    marked = page.locator("#claim-alarm-auc-repeated .index-found")
    assert any("Summary, sentence 6" in text and "0.929" in text for text in marked.all_text_contents())
    assert page.locator("#claim-alarm-auc-discovery details[open]").count() == 1


def test_filters_choose_as_python_does(opened):
    """Paper, status, kind and certainty, all at once, and the count says how many."""
    codes = {
        "contradicted": published.CONTRADICTED,
        "under_specified": published.UNDER_SPECIFIED,
        "reproduced": published.REPRODUCED,
    }
    listed = [("item", "item", one) for one in published.items()]
    listed += [("claim", one.about, one) for one in published.claims()]
    page = opened()
    for paper, status, kind in itertools.product(("", "alarm", "amap_ct"), codes, ("claim", "interval", "item")):
        expected = [
            f"{prefix}-{one.id}"
            for prefix, about, one in listed
            if kind in (prefix, about) and one.status == codes[status] and paper in ("", one.paper)
        ]
        assert rows(page, f"kind={kind}&status={status}&paper={paper}") == expected
        claims = len([name for name in expected if name.startswith("claim-")])
        assert page.text_content("#index-count") == f"Claims: {claims}, figures and tables: {len(expected) - claims}"
    assert rows(page, "certainty=strongly") == ["claim-alarm-auc-discovery-interval"]


def test_the_keyboard_searches_filters_and_opens(opened):
    """Typing filters at once and is kept in the address; arrows choose; the list opens by key; nothing is lost."""
    page = opened()
    page.focus("#index-find")
    page.keyboard.type('"alarm fig. 5"')
    assert page.evaluate("location.hash") == f"#find={quote(chr(34) + 'alarm fig. 5' + chr(34))}"
    expected = {f"claim-{claim.id}" for claim in published.claims() if claim.item == "alarm-fig-5"}
    assert set(rows(page)) == expected | {"item-alarm-fig-5"}
    page.focus("#index-status")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.input_value("#index-status") == "contradicted"
    assert "status=contradicted" in page.evaluate("location.hash")
    page.focus("#claim-alarm-high-risk-size summary")
    page.keyboard.press("Enter")
    assert page.locator("#claim-alarm-high-risk-size details[open]").count() == 1
    page.focus("#index-clear")
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") in ("", "#")
    assert len(rows(page)) == len(published.items()) + len(published.claims())
    assert page.page_errors() == []


def test_a_search_from_the_front_page_and_a_row_of_its_own(opened):
    """The form sends ?find=; a link to a row shows it, whatever was chosen before."""
    page = opened("?find=0.929")
    assert page.input_value("#index-find") == "0.929"
    assert "claim-alarm-auc-discovery" in rows(page)
    page.locator("#claim-alarm-auc-discovery .index-apart").click()
    assert page.locator("#claim-alarm-auc-discovery-interval").is_visible()
    assert page.locator("#claim-alarm-auc-discovery-interval details[open]").count() == 1


def test_without_javascript_the_table_stands(chromium: Browser, file: Path):
    """All rows, no dead field."""
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.locator("#index-table tbody tr:visible").count() == len(published.items()) + len(published.claims())
    assert not page.locator("#index-filters").is_visible()
    context.close()


@pytest.mark.parametrize("width", [390, 1440])
def test_the_index_fits_its_screen(opened, width):
    """Nothing is wider than a phone, and a row is a card there."""
    page = opened("#kind=claim&status=contradicted", width=width, height=844)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
