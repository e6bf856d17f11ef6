"""What the libraries that read files say on the way, and how much of it a user is shown."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import SimpleITK as sitk
from pydicom.errors import InvalidDicomError

UNREADABLE = (
    *(InvalidDicomError, OSError, EOFError, struct.error, ArithmeticError, AttributeError, AssertionError),
    *(LookupError, RuntimeError, TypeError, ValueError),
)
"""What pydicom and highdicom raise on files that are broken or lack what DICOM demands."""


@contextmanager
def quiet() -> Iterator[None]:
    """Silence ITK, pydicom and highdicom inside a block."""
    # ITK and pydicom print remarks about headers; what matters in them is checked here and raised.
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def reason(error: Exception) -> str:
    """Why a library could not read a file, without its own source files and the user's folders."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # ITK's last line says what happened; the ones before name its own source files and the user's folders.
    last = lines[-1] if lines else type(error).__name__
    words = [word for word in last.split() if "/" not in word and "\\" not in word]
    return " ".join(words)[:160].rstrip(".")


def listed(names: Sequence[object], most: int, separator: str = ", ", rest: str = " and {} more") -> str:
    """The first names in words, and how many there are besides."""
    return separator.join(map(str, names[:most])) + (rest.format(len(names) - most) if len(names) > most else "")
