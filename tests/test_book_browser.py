"""The rendered book in a browser, from disk and without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Page

from hccbook.run import project_root


@pytest.fixture(scope="module")
def html() -> Path:
    """Folder of the book that was rendered last from a run of the smoke or the demo profile."""
    built = [project_root() / "results" / name / "book" / "_build" / "html" for name in ("smoke", "demo")]
    found = [folder for folder in built if (folder / "index.html").is_file()]
    if not found:
        pytest.skip("no rendered book; `make book PROFILE=smoke` renders one")
    return max(found, key=lambda folder: (folder / "index.html").stat().st_mtime)


@pytest.fixture
def opened(visit: Callable[..., Page]) -> Callable[[Path], BeautifulSoup]:
    """Open a page, and give what the browser made of it when all formulas are drawn."""

    def page_of(file: Path) -> BeautifulSoup:
        page = visit(file)
        page.evaluate("window.MathJax?.startup?.promise?.then(() => null)")
        return BeautifulSoup(page.content(), "html.parser")

    return page_of


def test_entry_page_opens_on_the_introduction(html: Path, visit) -> None:
    """index.html leads to the introduction, which says that the patients are synthetic."""
    page = visit(html / "index.html")
    assert "Liver cancer risk from CT" in page.text_content("h1")
    assert "SYNTHETIC" in page.text_content("body")


@pytest.mark.parametrize("page", ["01_cohort", "05_alarm"])
def test_mathematics_is_rendered_without_a_network(html: Path, opened, page: str) -> None:
    """The browser turned every formula into drawn mathematics, and no raw TeX is left."""
    file = html / "notebooks" / f"{page}.html"
    written = BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser").select(".math")
    assert written, "this page has no formula to look at"
    soup = opened(file)
    drawn = soup.select("mjx-container svg")
    assert len(drawn) >= len(written)
    assert all(formula.find("mjx-container") is not None for formula in soup.select(".math"))


def test_pictures_and_tables_of_the_items_are_there(html: Path, opened) -> None:
    """Each figure's file is beside the page, and each item's section holds a picture or a table."""
    file = html / "notebooks" / "08_figures_and_tables.html"
    soup = opened(file)
    shown = [picture["src"] for picture in soup.select("article img")]
    assert len(shown) >= 6
    assert all((file.parent / source).resolve().is_file() for source in shown if not source.startswith("data:"))
    for item in ("alarm-fig-3", "alarm-table-2", "amap-ct-fig-2", "amap-ct-table-1"):
        anchor = soup.find(id=item)
        section = anchor if anchor.name == "section" else anchor.find_parent("section")
        assert section.find(["img", "table"]) is not None


class Reader:
    """Somebody who comes to the front page and follows links, with the clicks and the screens of scrolling so far."""

    def __init__(self, page: Page) -> None:
        self.page, self.clicks, self.screens = page, 0, 0.0

    def see(self, selector: str) -> str:
        """Scroll as little as it takes until something is seen, and read it."""
        self.page.wait_for_timeout(400)  # until the browser is at the anchor
        seen = self.page.locator(selector).first
        height = self.page.viewport_size["height"]
        box = seen.bounding_box()
        self.screens += max(0.0, (box["y"] + min(box["height"], height) - height) / height, -box["y"] / height)
        seen.scroll_into_view_if_needed()
        return seen.text_content()

    def click(self, selector: str) -> None:
        """Follow a link, or press a button."""
        self.see(selector)
        self.page.locator(selector).first.click()
        self.page.wait_for_load_state()
        self.clicks += 1

    def look_up(self, text: str) -> None:
        """Ask the front page for something."""
        self.page.fill("#index-search-find", text)
        self.click(".index-search button")
        self.page.wait_for_selector("#index-filters[data-ready=true]")


@pytest.fixture
def reader(html: Path, visit: Callable[..., Page]) -> Iterator[Reader]:
    """A reader on the front page, who in the end has gone no further than three clicks and two screens."""
    someone = Reader(visit(html / "intro.html", width=1440, height=900))
    yield someone
    assert someone.clicks <= 3
    assert someone.screens <= 2


def test_status_and_reason_of_0929(reader: Reader) -> None:
    """The number asked for on the front page: estimate and interval, each with its reason."""
    reader.look_up("0.929")
    assert "its interval: contradicted by print" in reader.see("#claim-alarm-auc-discovery td[data-label=Status]")
    assert "the method works" in reader.see("#claim-alarm-auc-discovery td[data-label=Reason]")
    assert "narrow" in reader.see("#claim-alarm-auc-discovery-interval td[data-label=Reason]")


def test_a_search_for_a_number_leads_to_the_index(html: Path, visit: Callable[..., Page]) -> None:
    """The theme's own search passes over numbers, and says where they are found."""
    page = visit(html / "search.html")
    page.goto(f"{(html / 'search.html').as_uri()}?q=0.929")
    page.click("#search-numbers")
    page.wait_for_selector("#claim-alarm-auc-discovery")
    assert page.locator("#claim-alarm-auc-discovery").is_visible()


def test_the_data_behind_fig_5(html: Path, reader: Reader) -> None:
    """Its CSV is there and has the groups."""
    reader.look_up('"ALARM Fig. 5"')
    reader.see("#item-alarm-fig-5 a[href$='.csv']")
    address = reader.page.get_attribute("#item-alarm-fig-5 a[href$='.csv']", "href")
    assert "group" in (html / address).read_text(encoding="utf-8").splitlines()[0]


def test_the_list_of_what_print_contradicts(reader: Reader) -> None:
    """One click on the front page; nothing else is in it."""
    reader.click(".claims-count a[href$='status=contradicted']")
    reader.page.wait_for_selector("#index-filters[data-ready=true]")
    reader.see("#index-count")
    shown = reader.page.locator("#index-table tbody tr:visible")
    assert {shown.nth(row).get_attribute("data-status") for row in range(shown.count())} == {"contradicted"}


def test_how_a_number_was_made(reader: Reader) -> None:
    """Parameters, code, seed, versions and hashes stand at the foot of the page that made it."""
    reader.look_up("0.929")
    reader.click("#claim-alarm-auc-discovery a[href$='#made']")
    foot = reader.see(".made")
    assert all(part in foot for part in ("hccbook", "seed", "SHA-256", "Parameters:", "Versions:", "Code:"))


def test_the_meaning_of_borderline_smote(reader: Reader) -> None:
    """From the list of terms at the top of the glossary."""
    reader.click("article a[href='glossary.html']")
    reader.click("article a[href='#term-Borderline-SMOTE']")
    assert "border of the classes" in reader.see("#term-Borderline-SMOTE + dd")


def test_how_to_run_ones_own_ct(reader: Reader) -> None:
    """The page with the command."""
    reader.click("article a[href^='own_data.html']")
    assert "own" in reader.see("article h1").lower()
    assert "hccbook" in reader.see("article pre")
