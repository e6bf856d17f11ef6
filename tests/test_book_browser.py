"""The rendered book in a browser, from disk and without a network."""

from __future__ import annotations

from collections.abc import Callable
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
