"""The book as one page and one PDF, and what is left out of the rendered book."""

from __future__ import annotations

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


def test_twice_the_same_notebook_is_one_file(tmp_path: Path):
    """The download leads to what the page offers; another file stays; maps of scripts go."""
    for name, content in {
        "_sources/notebooks/a.ipynb": "a", "_downloads/1/a.ipynb": "a", "_downloads/2/b.ipynb": "b",
        "_static/x.js": "x", "_static/x.js.map": "m",
        "results.html": '<a href="_downloads/1/a.ipynb"></a><a href="_downloads/2/b.ipynb"></a>',
    }.items():  # fmt: skip
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    lighten(tmp_path)
    left = sorted(file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file())
    assert left == ["_downloads/2/b.ipynb", "_sources/notebooks/a.ipynb", "_static/x.js", "results.html"]
    links = [
        link["href"] for link in BeautifulSoup((tmp_path / "results.html").read_text(), "html.parser").find_all("a")
    ]
    assert links == ["_sources/notebooks/a.ipynb", "_downloads/2/b.ipynb"]
