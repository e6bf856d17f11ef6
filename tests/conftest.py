"""What every test file shares: figures without a window, one thread a process, and where things lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

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
