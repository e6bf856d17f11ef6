"""The rendered book in a browser, from disk and without a network."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from hccbook.run import project_root

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Every host but this machine is unknown: what the page needs from a network is missing from it.
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--virtual-time-budget=20000",
    "--dump-dom",
)


@pytest.fixture(scope="module")
def html() -> Path:
    """Folder of the book that was rendered last from a run of the smoke or the demo profile."""
    built = [project_root() / "results" / name / "book" / "_build" / "html" for name in ("smoke", "demo")]
    found = [folder for folder in built if (folder / "index.html").is_file()]
    if not found:
        pytest.skip("no rendered book; `make book PROFILE=smoke` renders one")
    return max(found, key=lambda folder: (folder / "index.html").stat().st_mtime)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory):
    """Open a page as a reader would, and give what the browser made of it."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no browser; Debian: apt-get install chromium")
    profile = tmp_path_factory.mktemp("browser")

    def page(file: Path) -> BeautifulSoup:
        command = [browser, *QUIET, f"--user-data-dir={profile}", file.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
        return BeautifulSoup(done.stdout, "html.parser")

    return page


def test_entry_page_opens_on_the_introduction(html: Path, opened) -> None:
    """index.html leads to the introduction, which says that the patients are synthetic."""
    forward = (html / "index.html").read_text(encoding="utf-8")
    target = re.search(r"url=([\w./-]+)", forward)
    soup = opened(html / (target.group(1) if target else "index.html"))
    assert "Liver cancer risk from CT" in soup.find("h1").get_text()
    assert "SYNTHETIC" in soup.get_text()


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
