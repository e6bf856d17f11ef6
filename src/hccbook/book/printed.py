"""The whole book as one PDF: its rendered pages behind one another, printed by the machine's own browser."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import yaml
from bs4 import BeautifulSoup, Tag

from hccbook.book.checks import BookError

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_LONGEST_S = 600
_NOT_PRINTED = "script, noscript, style, button, a.headerlink, form.web-tool, .prev-next-footer, .toc-tree-wrapper"
_STYLE = """
@page { size: A4; margin: 16mm 14mm; }
body { font-size: 10pt; background: #fff; }
body > article { break-before: page; max-width: none; }
body > h1.part { break-before: page; padding-top: 35vh; text-align: center; }
article :is(img, svg) { max-width: 100%; height: auto; break-inside: avoid; }
article :is(div, pre) { overflow: visible !important; }
article pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 8pt; }
article table { font-size: 7.5pt; width: auto; max-width: 100%; }
article :is(td, th) { white-space: normal !important; overflow-wrap: anywhere; padding: 1pt 3pt; }
h1, h2, h3, caption { break-after: avoid; }
"""


def write_pdf(source: Path, html: Path, pdf: Path) -> Path:
    """Print every page of the table of contents, but the reference of the package, into one PDF.

    Parameters
    ----------
    source : pathlib.Path
        Folder that `hccbook.book.layout.lay_out` filled.
    html : pathlib.Path
        Folder of the book rendered from it.
    pdf : pathlib.Path
        File to write.

    Returns
    -------
    pathlib.Path
        `pdf`.

    Raises
    ------
    BookError
        If there is no browser, or it prints nothing.
    """
    program = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        raise BookError("PDF", "needs Chromium to print it", "no browser", "Debian: apt-get install chromium")
    page = html / "printed.html"
    page.write_text(single_page(source, html), encoding="utf-8")
    try:
        _print(program, page, pdf)
    finally:
        page.unlink()
    return pdf


def _print(program: str, page: Path, pdf: Path) -> None:
    pdf.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        command = [
            program, "--headless", "--disable-gpu", f"--user-data-dir={profile}", "--no-pdf-header-footer",
            "--host-resolver-rules=MAP * ~NOTFOUND", "--disable-background-networking",
            # Formulas are drawn by then; the clock runs as fast as the work allows.
            "--virtual-time-budget=600000", f"--print-to-pdf={pdf}",
        ]  # fmt: skip
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--no-sandbox")  # which Chromium does not have for root
        done = subprocess.run([*command, page.as_uri()], capture_output=True, timeout=_LONGEST_S, check=False)
    if not pdf.is_file():
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["nothing"]
        raise BookError("PDF", "must be printed by the browser", said[0], f"Try: {Path(program).name} --headless.")


def single_page(source: Path, html: Path) -> str:
    """All pages behind one another as HTML, each an article, with links that lead from one to another.

    Parameters
    ----------
    source, html : pathlib.Path
        As for `write_pdf`.
    """
    toc = yaml.safe_load((source / "_toc.yml").read_text(encoding="utf-8"))
    listed = list(_contents(toc))
    names = {name for _, name in listed}
    soup = _soup(html / f"{toc['root']}.html")
    head = _head(soup)
    body = []
    for part, name in listed:
        if part:
            title = soup.new_tag("h1", attrs={"class": "part"})
            title.string = part
            body.append(str(title))
        body.append(str(_article(html, name, names)))
    language = soup.html.get("lang", "en") if soup.html else "en"
    return f'<!DOCTYPE html>\n<html lang="{language}" data-theme="light">{head}<body>{"".join(body)}</body></html>\n'


def _contents(toc: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Pages in order, each with the caption of the part that it begins, or with nothing."""
    yield "", toc["root"]
    for part in toc["parts"]:
        caption = part["caption"]
        for chapter in part["chapters"]:
            for one in (chapter, *chapter.get("sections", ())):
                if not one["file"].startswith("api/"):
                    yield caption, one["file"]
                    caption = ""


def _soup(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def _head(page: BeautifulSoup) -> str:
    """Title, style and MathJax of a page at the top of the book."""
    kept = page.select('head > meta[charset], head > title, head link[rel="stylesheet"]')
    scripts = [
        script
        for script in page.select("head script")
        if "mathjax/" in str(script.get("src", "")) or "window.MathJax" in script.get_text()
    ]
    return f"<head>{''.join(map(str, [*kept, *scripts]))}<style>{_STYLE}</style></head>"


def _article(html: Path, name: str, names: set[str]) -> Tag:
    """What a page says, with its names made unlike those of the other pages."""
    article = _soup(html / f"{name}.html").select_one("article.bd-article")
    if article is None:
        raise BookError(f"rendered page {name}", "must hold an article", "none", "Render the book again.")
    forms = article.select("form.web-tool")
    for form in forms[:1]:
        form.insert_before("This part answers to the hand: open it in the book's page.")
    for node in article.select(_NOT_PRINTED):
        node.decompose()
    for node in article.find_all(id=True):
        node["id"] = _anchor(name, str(node["id"]))
    for node in article.find_all("details"):
        node["open"] = ""
    for link in article.find_all("a", href=True):
        target = _target(name, str(link["href"]), names)
        if target is None:
            del link["href"]
        else:
            link["href"] = target
    for picture in article.find_all("img", src=True):
        picture["src"] = _resolved(name, str(picture["src"]))
        picture.attrs.pop("loading", None)
    article["id"] = _anchor(name)
    return article


def _anchor(page: str, fragment: str = "") -> str:
    return f"{page.replace('/', '-')}--{fragment}"


def _resolved(page: str, address: str) -> str:
    return address if address.startswith("data:") else urljoin(f"{page}.html", address)


def _target(page: str, address: str, names: set[str]) -> str | None:
    """Where a link leads within the one page; out of the book if it does; nowhere if to a file beside the book."""
    if urlsplit(address).scheme:
        return address
    path, _, fragment = urljoin(f"{page}.html", address).partition("#")
    name = PurePosixPath(unquote(path)).with_suffix("").as_posix()
    return f"#{_anchor(name, fragment)}" if name in names else None
