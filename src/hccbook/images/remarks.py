"""What readers say: the repairs that they made, and how much a user is shown of what libraries say."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import SimpleITK as sitk

from hccbook.errors import HccbookError, ImageError, passed_over, reading, without_quotes


@dataclass(frozen=True)
class Remark:
    """A fault of an input that was repaired, or that somebody should look at.

    Attributes
    ----------
    place : str
        Image or mask, as errors name it.
    found : str
        What the file holds.
    done : str
        What was made of it, or what to look at.
    """

    place: str
    found: str
    done: str

    def __str__(self) -> str:
        return f"{self.place}: {self.found}; {self.done}."

    def anonymous(self, place: str) -> str:
        """The same without names of files: `place`, a patient's, stands for one that is none of his."""
        own = self.place if self.place.startswith(place) else place
        return without_quotes(f"{own}: {self.found}; {self.done}.")


class ReadingWarning(UserWarning):
    """A remark that nobody collects."""


_COLLECTING: ContextVar[list[Remark] | None] = ContextVar("collecting", default=None)


def remark(place: str, found: str, done: str) -> None:
    """Say what was repaired of an input, or is odd about it: to the innermost `collected`, or else as a warning."""
    said = Remark(place, found, done)
    collecting = _COLLECTING.get()
    if collecting is None:
        warnings.warn(str(said), ReadingWarning, stacklevel=3)
    else:
        collecting.append(said)


@contextmanager
def collected() -> Iterator[list[Remark]]:
    """Collect the remarks of a block, in order."""
    remarks: list[Remark] = []
    token = _COLLECTING.set(remarks)
    try:
        yield remarks
    finally:
        _COLLECTING.reset(token)


def repeat_once(remarks: Iterable[Remark], place: str, count: int, what: str = "slices") -> None:
    """Say once what was repaired in several slices (or frames, or contours), and in how many of how many."""
    for (found, done), times in Counter((said.found, said.done) for said in remarks).items():
        remark(place, f"{found} in {times} of {count} {what}", done)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence ITK, pydicom and highdicom inside a block.

    They print remarks about headers, and repair or pass over some faults; what matters in them is looked at by our
    readers, and raised or remarked upon.
    """
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


@contextmanager
def guarded(place: str, rule: str, hint: str, kind: type[HccbookError] = ImageError) -> Iterator[None]:
    """Silence libraries inside a block, and name the file or slice over which one of them raises anything."""
    with quiet(), reading(kind, place, rule, hint):
        yield


@contextmanager
def attempted() -> Iterator[None]:
    """Silence libraries inside a block, and pass over what they cannot read."""
    with quiet(), passed_over():
        yield


def listed(names: Sequence[object], most: int, separator: str = ", ", rest: str = " and {} more") -> str:
    """The first names in words, and how many there are besides."""
    return separator.join(map(str, names[:most])) + (rest.format(len(names) - most) if len(names) > most else "")


def apart(*values: float, digits: int = 3) -> list[str]:
    """Numbers with as many significant digits, at least so many, as tell those that differ apart."""
    for precision in range(digits, 18):
        texts = [f"{value:.{precision}g}" for value in values]
        if len(set(texts)) == len(set(values)):
            break
    return texts
