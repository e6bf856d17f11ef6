"""Checks on the rendered book: every listed item is there, nothing is fetched, no folder of this machine is shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

from bs4 import BeautifulSoup, Tag

from hccbook.errors import HccbookError
from hccbook.papers import PAPERS
from hccbook.papers.published import Item
from hccbook.pipeline.readings import model_cautions
from hccbook.run import RESULT_CHAPTERS, RunPaths, notebook_name, project_root

_LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "embed": "src"}
_LINKED_RESOURCES = {"stylesheet", "preload", "prefetch", "modulepreload", "preconnect", "icon", "manifest"}
_CSS_FETCH = re.compile(r"""(?:url\(\s*|@import\s+)["']?((?:https?:)?//[^"')\s]+)""", re.IGNORECASE)
_ITEM_ID = re.compile(rf"^({'|'.join(paper.slug for paper in PAPERS.values())})-")


class BookError(HccbookError):
    """A book that cannot be rendered, or that lacks what it lists."""


def refuse_paths(place: str, text: str) -> None:
    """Refuse a text that shows a folder of this machine.

    Raises
    ------
    BookError
        Names the place and the folder.
    """
    for folder in sorted({str(project_root()), str(Path.home())} - {"/"}):
        found = re.search(re.escape(folder) + r"(?![\w-])\S{0,40}", text)
        if found:
            raise BookError(
                place, "must show no folder of this machine", found.group(),
                "Print a path relative to the run, then run the stage again.",
            )  # fmt: skip


def item_files(item: Item, run: RunPaths, shown: RunPaths) -> dict[str, Path]:
    """Files that an item names, data and figure, by name; those of result chapters are in the run that they show."""
    names = [name for name in (item.data, item.figure, item.vector_figure) if name is not None]
    return {name: (shown if name.partition("/")[0] in RESULT_CHAPTERS else run).root / name for name in names}


def check_items(html: Path, run: RunPaths, listed: Iterable[Item], shown: RunPaths | None = None) -> None:
    """Check that every item that is not planned is on its page, with its picture or table, and its files exist.

    Parameters
    ----------
    html : pathlib.Path
        Folder of the rendered book.
    run : RunPaths
        The run that it was rendered from.
    listed : iterable of Item
        Items to look for.
    shown : RunPaths, optional
        The run that the result chapters show; `run` if absent.

    Raises
    ------
    BookError
        Lists everything that is missing.
    """
    missing = []
    pages: dict[str, BeautifulSoup | None] = {}
    for item in listed:
        if item.is_planned:
            continue
        files = item_files(item, run, shown or run)
        missing += [f"{item.id}: file {name}" for name, file in files.items() if not file.is_file()]
        if item.page not in pages:
            page = html / "notebooks" / f"{item.page}.html"
            pages[item.page] = _soup(page) if page.is_file() else None
        missing += _missing_on_page(item, pages[item.page])
    if missing:
        raise BookError(
            "rendered book", "every listed item must be on its page", "no " + "; no ".join(missing),
            "Show it there, or correct data/published/items.yaml.",
        )  # fmt: skip


def _pages(html: Path) -> list[Path]:
    """Pages of the book; what lies in ``_static`` came along with it."""
    return [page for page in sorted(html.rglob("*.html")) if page.relative_to(html).parts[0] != "_static"]


def _soup(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def _missing_on_page(item: Item, page: BeautifulSoup | None) -> list[str]:
    if page is None:
        return [f"{item.id}: page {item.page}"]
    anchor = page.find(id=item.id)
    if anchor is None:
        return [f"{item.id}: anchor on page {item.page}"]
    section = anchor if anchor.name == "section" else anchor.find_parent("section")
    wanted = {"figure": ("img", "svg"), "table": ("table",), "other": ("img", "svg", "table", "p")}[item.kind]
    shown = section is not None and _own_content(section).find(wanted) is not None
    return [] if shown else [f"{item.id}: {item.kind} under its anchor on page {item.page}"]


def _own_content(section: Tag) -> BeautifulSoup:
    """Section without its nested sections, which belong to other items."""
    copy = BeautifulSoup(str(section), "html.parser")
    for nested in copy.select("section section"):
        if nested.find(id=_ITEM_ID) is not None or _ITEM_ID.match(str(nested.get("id", ""))):
            nested.decompose()
    return copy


def check_cautions(html: Path, run: RunPaths, shown: RunPaths) -> None:
    """Check that a model whose risk falls as one of its scores rises says so wherever a reader meets it.

    Parameters
    ----------
    html : pathlib.Path
        Folder of the rendered book.
    run : RunPaths
        The run that it was rendered from, whose models the papers' own chapters show.
    shown : RunPaths
        The run whose models the result chapters and the web pages show.

    Raises
    ------
    BookError
        Names the pages and the sentences that they lack.
    """
    results, script = (html / "notebooks" / "08_figures_and_tables.html", html / "_static" / "models.js")
    missing = []
    for name in PAPERS:
        chapter = html / "notebooks" / f"{notebook_name(name)}.html"
        for folder, pages in ((run, (chapter,)), (shown, (results, script))):
            for caution in model_cautions(folder, name):
                missing += [f"{page.name}: {caution}" for page in pages if caution not in _text_of(page)]
    if missing:
        raise BookError(
            "rendered book", "a risk that falls with a risk factor must be remarked upon", "; ".join(missing),
            "Show it there: hccbook.pipeline.readings.model_cautions has the sentence.",
        )  # fmt: skip


def _text_of(page: Path) -> str:
    """What a page or a script says, without line breaks; nothing of one that is not there."""
    if not page.is_file():
        return ""
    if page.suffix == ".js":
        return re.sub(r"\\u([0-9a-f]{4})", lambda code: chr(int(code[1], 16)), page.read_text(encoding="utf-8"))
    return " ".join(_soup(page).get_text().split())


def check_alternatives(html: Path) -> None:
    """Check that every picture has an alternative text that says more than the name of its file.

    Parameters
    ----------
    html : pathlib.Path
        Folder of the rendered book.

    Raises
    ------
    BookError
        Names the pages and the pictures.
    """
    silent = [
        f"{page.relative_to(html).as_posix()}: {str(picture.get('src', ''))[:60]}"
        for page in _pages(html)
        for picture in _soup(page).find_all("img")
        if not picture.get("alt") or Path(str(picture.get("src", ""))).name in str(picture["alt"])
    ]
    if silent:
        raise BookError(
            "rendered book", "every picture must say what it shows", "no alternative text: " + "; ".join(silent[:8]),
            "Write it between the brackets of ![](picture), or draw with the functions of hccbook.report.figures.",
        )  # fmt: skip


def check_self_contained(html: Path) -> None:
    """Check that no page fetches anything from a network, links to a missing file, or shows a folder of this machine.

    Parameters
    ----------
    html : pathlib.Path
        Folder of the rendered book.

    Raises
    ------
    BookError
        Names the pages and what they fetch, miss or show.
    """
    fetched, broken = [], []
    for page in _pages(html):
        name = page.relative_to(html).as_posix()
        soup = _soup(page)
        refuse_paths(f"rendered page {name}", soup.get_text())
        for address in _addresses(soup):
            if re.match(r"(https?:)?//", address):
                fetched.append(f"{name}: {address}")
            elif not address.startswith("data:") and not _exists(page, address):
                broken.append(f"{name}: {address}")
        for node in soup.find_all("style"):
            fetched += [f"{name}: {address}" for address in _CSS_FETCH.findall(node.get_text())]
    for sheet in sorted(html.rglob("*.css")):
        addresses = _CSS_FETCH.findall(sheet.read_text(encoding="utf-8"))
        fetched += [f"{sheet.relative_to(html).as_posix()}: {address}" for address in addresses]
    if fetched:
        raise BookError(
            "rendered book", "must open without a network", "; ".join(fetched[:8]),
            "Ship the resource in book/assets, or take it out of _config.yml.",
        )  # fmt: skip
    if broken:
        raise BookError(
            "rendered book", "every picture and script must be there", "no " + "; no ".join(broken[:8]),
            "Correct the path in the page.",
        )  # fmt: skip


def check_links(html: Path, names: Iterable[str] = ("intro.html", "results.html")) -> None:
    """Check that links written as HTML, which the renderer does not look at, lead to a page and to a place on it.

    Parameters
    ----------
    html : pathlib.Path
        Folder of the rendered book.
    names : iterable of str
        Pages with such links: the front page, and the index of items and claims.

    Raises
    ------
    BookError
        Names the pages and the links.
    """
    places: dict[Path, set[str]] = {}
    lost = []
    for name in names:
        for link in _soup(html / name).select("article a[href]"):
            address, _, fragment = unquote(str(link["href"])).partition("#")
            file = html / (address or name)
            if re.match(r"\w+:", address):
                continue
            if fragment and "=" not in fragment and file.suffix == ".html" and file.is_file():
                if file not in places:
                    places[file] = {str(node["id"]) for node in _soup(file).select("[id]")}
                lost += [f"{name}: {link['href']}"] * (fragment not in places[file])
            elif not file.is_file():
                lost.append(f"{name}: {link['href']}")
    if lost:
        raise BookError(
            "rendered book", "every link of the front page and the index must lead somewhere", "; ".join(lost[:8]),
            "Correct hccbook.book.claims_index, or execute the chapter that lacks the place.",
        )  # fmt: skip


def _addresses(page: BeautifulSoup) -> Iterator[str]:
    """What a browser loads to show the page."""
    for tag, attribute in _LOADED.items():
        for node in page.find_all(tag):
            is_resource = tag != "link" or _LINKED_RESOURCES & set(node.get("rel") or ())
            if is_resource and node.get(attribute):
                yield str(node[attribute])


def _exists(page: Path, address: str) -> bool:
    return (page.parent / address.split("?")[0].split("#")[0]).exists()
