"""Every page of the rendered book as people read it: on a phone and a desk, light and dark, with axe looking."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from hccbook.run import project_root

pytestmark = pytest.mark.thorough

PHONE, DESK = 390, 1440
SCREENS = ((PHONE, "light"), (PHONE, "dark"), (DESK, "light"), (DESK, "dark"))
HIGHEST = 12_000
LARGEST_MB = 40
TOO_HIGH = ("genindex", "results", "_static/contact_sheets/")
"""Pages that may be higher: the index of the package, that of all claims, which is filtered, and sheets of patients."""

# Colours, sizes and landmarks; what axe calls minor or moderate is counted elsewhere.
AXE = """axe.run(document, {resultTypes: ["violations"], preload: false}).then((found) => found.violations
  .filter((rule) => ["critical", "serious"].includes(rule.impact))
  .map((rule) => `${rule.id}: ${rule.nodes.length} at ${rule.nodes[0].target.join(" ")}`))"""
DRAWN = """Promise.resolve(window.MathJax?.startup?.promise).then(() => null)"""
OPEN = "document.querySelectorAll('article details').forEach((one) => (one.open = true))"
SIZE = "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"


class Seen(NamedTuple):
    """What was wrong with the pages, in words, and how high each is on a phone."""

    complaints: list[str]
    heights: dict[str, int]


def rendered_book() -> Path:
    """Folder of the book that was rendered last from a run of the smoke or the demo profile."""
    built = [project_root() / "results" / name / "book" / "_build" / "html" for name in ("smoke", "demo")]
    found = [folder for folder in built if (folder / "index.html").is_file()]
    if not found:
        pytest.skip("no rendered book; `make book PROFILE=smoke` renders one")
    return max(found, key=lambda folder: (folder / "index.html").stat().st_mtime)


def axe_script() -> str:
    """The accessibility checker axe-core, from the package that brings it along."""
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None or spec.origin is None:
        pytest.skip("no axe-core: pip install axe-playwright-python")
    return (Path(spec.origin).parent / "axe.min.js").read_text(encoding="utf-8")


def pages_of(html: Path) -> Iterator[Path]:
    """All pages; of what came along with the theme, none, of the contact sheets, the pages."""
    # The first page only leads on to the next one.
    for page in sorted(set(html.rglob("*.html")) - {html / "index.html"}):
        name = page.relative_to(html).as_posix()
        if not name.startswith(("_static/", "_sources/")) or name.startswith("_static/contact_sheets/"):
            yield page


def look_at(browser: Any, page: Path, axe: str) -> tuple[list[str], int]:
    """What is wrong with one page, and its height on a phone."""
    tab = browser.new_page(viewport={"width": PHONE, "height": 844})
    said: list[str] = []
    tab.set_default_timeout(120_000)
    tab.on("pageerror", lambda error: said.append(f"error: {error}"))
    tab.on("request", lambda asked: asked.url.startswith(("http:", "https:")) and said.append(f"asks for {asked.url}"))
    tab.goto(page.as_uri())
    tab.evaluate(DRAWN)
    tab.evaluate(axe)
    height = tab.evaluate(SIZE)[1]
    # What is folded is looked at too.
    tab.evaluate(OPEN)
    for width, scheme in SCREENS if page.parent.name != "api" else SCREENS[::3]:
        tab.set_viewport_size({"width": width, "height": 844})
        tab.emulate_media(color_scheme=scheme)
        tab.wait_for_timeout(300)
        said += [f"{width} {scheme}: {rule}" for rule in tab.evaluate(AXE)]
        if tab.evaluate(SIZE)[0] > width:
            said.append(f"{width} {scheme}: {tab.evaluate(SIZE)[0]} pixels wide")
    tab.close()
    return said, height


@pytest.fixture(scope="module")
def seen(chromium: Any) -> Seen:
    """All pages looked at once."""
    html, axe = rendered_book(), axe_script()
    complaints, heights = [], {}
    for page in pages_of(html):
        name = page.relative_to(html).as_posix()
        said, heights[name] = look_at(chromium, page, axe)
        complaints += [f"{name}, {one}" for one in said]
    return Seen(complaints, heights)


def test_no_page_errs_asks_outside_overflows_or_shuts_anybody_out(seen: Seen):
    """No error, no request to a network, nothing wider than the screen, no critical or serious violation of axe."""
    assert seen.complaints == []


def test_pages_are_not_endless(seen: Seen):
    """On a phone; what would be higher is folded by section."""
    high = {name: height for name, height in seen.heights.items() if height > HIGHEST and not name.startswith(TOO_HIGH)}
    assert high == {}


def test_book_is_light():
    """All files that `make book` leaves for a reader."""
    html = rendered_book()
    size = sum(file.stat().st_size for file in html.rglob("*") if file.is_file())
    assert size < LARGEST_MB * 1e6
