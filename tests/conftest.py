"""What every test file shares: figures without a window, one thread a process, where things lie, and a browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# Set before numpy, torch or matplotlib is imported by a test, which read them once.
os.environ["MPLBACKEND"] = "Agg"
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
    os.environ.setdefault(_name, "1")

# The same examples on every machine, however slow it is.
settings.register_profile("hccbook", derandomize=True, deadline=None)
settings.load_profile("hccbook")


@pytest.fixture(scope="session")
def project_root() -> Path:
    """Folder of the clone that these tests belong to."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared(project_root: Path) -> Path:
    """Folder of the real CT and the papers' texts, beside the clone or named by HCCBOOK_SHARED; else a test skips."""
    folder = Path(os.environ.get("HCCBOOK_SHARED", project_root.parent / "shared"))
    if not folder.is_dir():
        pytest.skip("no folder `shared` with the real CT and the papers' texts beside the clone or at HCCBOOK_SHARED")
    return folder


BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OFFLINE = (
    "--disable-background-networking",
    "--disable-quic",
    # Every host but this machine is unknown: what a page needs from a network is missing from it.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The machine's own browser, without a window and a network; skips the tests where there is none.

    Closed after each file of tests, since its event loop is taken for a running one by whatever starts another.
    """
    program = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip("no browser; Debian: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=OFFLINE)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Open a page from disk as a reader would, on a screen or, below 600 pixels, a phone."""
    opened: list[Page] = []

    def page_of(file: Path, width: int = 1280, height: int = 900) -> Page:
        page = chromium.new_page(viewport={"width": width, "height": height}, is_mobile=width < 600)
        opened.append(page)
        page.set_default_timeout(60_000)
        page.goto(file.as_uri())
        return page

    yield page_of
    for page in opened:
        page.close()
