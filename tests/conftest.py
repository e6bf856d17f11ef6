"""What every test file shares: figures without a window, one thread a process, where things lie, and a browser."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

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


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Fail the test that connects to another machine: what a test needs is at hand, or the test skips."""
    connect = socket.socket.connect

    def within_this_machine(self: socket.socket, address: tuple | str) -> None:
        remote = self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost")
        if remote and self.type == socket.SOCK_STREAM:
            raise AssertionError(f"a test must not use the network, but asked for {address}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", within_this_machine)
        yield


@pytest.fixture(scope="session")
def shared(project_root: Path) -> Path:
    """Folder of the real CT and the papers' texts, beside the clone or named by HCCBOOK_SHARED; else a test skips."""
    folder = Path(os.environ.get("HCCBOOK_SHARED", project_root.parent / "shared"))
    if not folder.is_dir():
        pytest.skip("no folder `shared` with the real CT and the papers' texts beside the clone or at HCCBOOK_SHARED")
    return folder


class AbdominalCt(NamedTuple):
    """A venous CT of 3 mm on disk, stored right to left and back to front, with the masks of its two organs.

    Attributes
    ----------
    folder : Path
        Folder of ``ct.nii.gz``, ``liver.nii.gz`` and ``spleen.nii.gz``.
    size : tuple of int
        Voxels along x, y and z.
    liver, spleen : int
        Voxels of the masks, counted without the package.
    """

    folder: Path
    size: tuple[int, int, int]
    liver: int
    spleen: int


def _phantom_ct(folder: Path) -> AbdominalCt:
    # Imported here: the threads are set before SimpleITK is read.
    import numpy as np
    import SimpleITK as sitk

    from hccbook.phantom import render_patient
    from hccbook.settings import CohortSettings

    patient = {"image_seed": 41, "centre": "C01", "liver_latent": 0.0, "spleen_latent": 0.0, "spleen_size": 0.0}
    image, labels = render_patient(patient, CohortSettings(acquisition_spacing_mm=6.0))["venous"]
    _, liver, spleen = np.bincount(sitk.GetArrayFromImage(labels).ravel())
    for name, stored in (("ct", image), ("liver", labels == 1), ("spleen", labels == 2)):
        stored.SetSpacing((3.0, 3.0, 3.0))
        sitk.WriteImage(sitk.Flip(stored, (True, True, False)), str(folder / f"{name}.nii.gz"))
    return AbdominalCt(folder, image.GetSize(), int(liver), int(spleen))


@pytest.fixture(scope="session", params=["phantom", "real"])
def abdominal_ct(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AbdominalCt:
    """A simulated CT, and the real one where it is at hand (its voxels were counted by hand)."""
    if request.param == "phantom":
        return _phantom_ct(tmp_path_factory.mktemp("phantom_ct"))
    folder = request.getfixturevalue("shared") / "real_ct"
    if not folder.is_dir():
        pytest.skip("no real CT in the folder `shared`")
    return AbdominalCt(folder, (122, 101, 30), 38634, 9452)


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
