"""What every page of the book does in a browser: long ones are folded, what scrolls sideways is reached by keyboard."""

from __future__ import annotations

from pathlib import Path

import pytest

from hccbook.run import book_source_dir

_SECTION = """<section id="s{n}"><span id="item-{n}"></span><h2>Part {n}<a class="headerlink" href="#s{n}">#</a></h2>
<div style="height: {height}px">Text {n}</div><p id="end-{n}">End {n}</p></section>"""


@pytest.fixture
def page(visit, tmp_path: Path):
    """Open a page of four sections of one height, at a place in it."""

    def opened(height: int, fragment: str = ""):
        script = (book_source_dir() / "assets" / "hccbook.js").as_uri()
        sections = "".join(_SECTION.format(n=n, height=height) for n in range(1, 5))
        file = tmp_path / "page.html"
        file.write_text(
            f'<!doctype html><html lang="en"><head><title>P</title><script src="{script}"></script></head><body>'
            f'<article class="bd-article"><section id="top"><h1>Title</h1>{sections}</section></article>'
            '<pre style="width: 50px; overflow: auto">a line that is much too long for it</pre></body></html>',
            encoding="utf-8",
        )
        tab = visit(file)
        tab.evaluate("name => { location.hash = name; }", fragment)
        tab.wait_for_timeout(100)
        return tab

    return opened


def opened_sections(tab) -> list[bool]:
    """Which of the folded sections are open."""
    return tab.evaluate("[...document.querySelectorAll('details.folded-section')].map((one) => one.open)")


def test_short_page_stays_as_it_is(page):
    """Four sections of 1,000 pixels."""
    assert opened_sections(page(1000)) == []


def test_long_page_shows_its_first_section_and_the_headings(page):
    """Four sections of 5,000 pixels, of which one fits into 12,000; the headings stay headings."""
    tab = page(5000)
    assert opened_sections(tab) == [True, False, False, False]
    assert tab.evaluate("document.documentElement.scrollHeight") < 12_000
    assert tab.get_by_role("heading", level=2).count() == 4


@pytest.mark.parametrize("name", ["s3", "item-3", "end-3"])
def test_link_into_a_folded_section_opens_it(page, name: str):
    """To the section, to the name above its heading, and to what lies within."""
    tab = page(5000, name)
    assert opened_sections(tab) == [True, False, True, False]
    assert tab.locator("#end-3").is_visible()


def test_all_open_at_a_touch_and_in_print(page):
    """By the button, and before printing without it."""
    tab = page(5000)
    tab.get_by_role("button", name="Open all sections").press("Enter")
    assert all(opened_sections(tab))
    again = page(5000)
    again.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert all(opened_sections(again))


def test_what_scrolls_sideways_is_reached_by_keyboard(page):
    """A box that overflows gets into the order of the Tab key."""
    assert page(1000).evaluate("document.querySelector('pre').tabIndex") == 0
