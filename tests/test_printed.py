"""The book as one page and one PDF, and what is left out of the rendered book."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup

from hccbook.book import BookError, write_pdf
from hccbook.book.printed import single_page
from hccbook.book.rendering import lighten

_PAGE = """<html lang="en"><head><title>Book</title><link rel="stylesheet" href="_static/a.css"></head><body>
<nav>Contents</nav><article class="bd-article">{}</article></body></html>"""


@pytest.fixture
def book(tmp_path: Path) -> tuple[Path, Path]:
    """Source and rendered pages of a book of two pages and a reference."""
    source, html = tmp_path / "source", tmp_path / "html"
    (html / "notebooks").mkdir(parents=True)
    (html / "api").mkdir()
    source.mkdir()
    parts = [
        {"caption": "Chapters", "chapters": [{"file": "notebooks/one"}]},
        {"caption": "Reference", "chapters": [{"file": "api/a"}]},
    ]
    (source / "_toc.yml").write_text(yaml.safe_dump({"root": "intro", "parts": parts}), encoding="utf-8")
    front = '<h1 id="top">Front<a class="headerlink" href="#top">#</a></h1><a href="notebooks/one.html#top">on</a>'
    one = (
        '<h1 id="top">One</h1><a href="../intro.html">back</a><a href="../_downloads/x.csv">csv</a>'
        '<a href="https://example.org/">out</a><img src="../_images/a.png" alt="A"><details><p>Solution</p></details>'
        '<form class="web-tool"><input></form><script>1</script>'
    )
    (html / "intro.html").write_text(_PAGE.format(front), encoding="utf-8")
    (html / "notebooks" / "one.html").write_text(_PAGE.format(one), encoding="utf-8")
    (html / "api" / "a.html").write_text(_PAGE.format("<h1>Reference</h1>"), encoding="utf-8")
    return source, html


def test_pages_follow_one_another_and_lead_to_one_another(book):
    """Names of one page do not meet those of another; links within lead within, links out lead out."""
    page = BeautifulSoup(single_page(*book), "html.parser")
    assert [node.get_text(strip=True) for node in page.find_all("h1")] == ["Front", "Chapters", "One"]
    ids = [node["id"] for node in page.find_all(id=True)]
    assert len(ids) == len(set(ids))
    addresses = {link.get_text(): link.get("href") for link in page.find_all("a")}
    assert addresses == {
        "on": "#notebooks-one--top", "back": "#intro--", "csv": None, "out": "https://example.org/",
    }  # fmt: skip
    assert {addresses["on"][1:], addresses["back"][1:]} <= set(ids)


def test_what_is_folded_is_open_and_what_needs_a_hand_says_so(book):
    """A solution is read in print; a form is not."""
    page = BeautifulSoup(single_page(*book), "html.parser")
    assert page.find("details").has_attr("open")
    assert page.find("form") is None
    assert page.find("script") is None
    assert "answers to the hand" in page.get_text()
    assert page.find("img")["src"] == "_images/a.png"
    assert page.find("nav") is None


def test_pdf_is_printed_and_leaves_no_page_behind(book, tmp_path: Path):
    """A PDF with text in it; the page that it was printed from goes."""
    if shutil.which("chromium") is None:
        pytest.skip("no browser; Debian: apt-get install chromium")
    source, html = book
    pdf = write_pdf(source, html, tmp_path / "book.pdf")
    assert pdf.read_bytes().startswith(b"%PDF")
    assert pdf.stat().st_size > 5_000
    assert not (html / "printed.html").exists()


def test_no_browser_is_said(book, tmp_path: Path, monkeypatch):
    """The message says what to install."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BookError, match="Chromium"):
        write_pdf(*book, tmp_path / "book.pdf")


def test_what_nobody_opens_goes_and_numbers_stay(tmp_path: Path):
    """Maps, translations and old fonts go; a notebook to download keeps its text and loses its pictures."""
    outputs = [{"output_type": "display_data", "data": {"image/png": "AAAA", "text/plain": "<Figure>"}}]
    notebook = {"cells": [{"cell_type": "code", "outputs": outputs}, {"cell_type": "markdown"}]}
    for name in ("x.js", "x.js.map", "locales/de/a.mo", "locales/de/a.po", "font.ttf", "font.woff2"):
        file = tmp_path / "_static" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("1", encoding="utf-8")
    source = tmp_path / "_sources" / "notebooks" / "a.ipynb"
    source.parent.mkdir(parents=True)
    source.write_text(json.dumps(notebook), encoding="utf-8")
    lighten(tmp_path)
    assert sorted(file.name for file in (tmp_path / "_static").rglob("*.*")) == ["font.woff2", "x.js"]
    (cell, _) = json.loads(source.read_text(encoding="utf-8"))["cells"]
    assert cell["outputs"][0]["data"] == {"text/plain": "<Figure>"}
