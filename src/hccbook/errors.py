"""Exceptions of the package.

Every message has the same four parts: where, the rule, the value found, and the hint.
"""

from __future__ import annotations

import errno
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FROM_FILES = re.compile(
    r"""(?<!\w)'(?:\\.|[^'\\])*'(?!\w)|(?<!\w)"(?:\\.|[^"\\])*"(?!\w)  # quoted: a name, a cell, a header
    |(?<![^\s(])(?:/|~/|[A-Za-z]:\\)\S.*  # a path, which may hold blanks""",
    re.VERBOSE,
)

_LIBRARY_TALK = re.compile(r"'[^']*[/\\][^']*'|\S*[/\\]\S*|\(?\b0x[0-9a-fA-F]+\)?|<[^>]*>|\bitk::ERROR:|\b\w+IO\(\)?:?")
"""Paths, addresses, representations of objects, and how ITK begins: none of it helps who reads it."""

_LONGEST_FOUND = 600  # characters of a value that a message shows; a hostile file may hold millions


def without_quotes(text: str) -> str:
    """A text without the quoted words and the paths in it, which may name a person."""
    return _FROM_FILES.sub("(not shown)", text)


def _cut(found: object) -> str:
    text = str(found)
    return text if len(text) <= _LONGEST_FOUND else f"{text[:_LONGEST_FOUND]} ... ({len(text):,} characters)"


class HccbookError(Exception):
    """An input or state that breaks a rule of this package.

    Parameters
    ----------
    place : str
        The file, patient, column or setting in which the value was found.
    rule : str
        What must hold there.
    found : object
        The value that broke the rule.
    hint : str
        What the user can do about it.
    """

    def __init__(self, place: str, rule: str, found: object, hint: str) -> None:
        self.place = _cut(place)
        self.rule = rule
        self.found = found
        self.hint = hint
        super().__init__(f"{self.place}: {_cut(rule)}, but found {_cut(found)}. {_cut(hint)}")

    names_persons = False
    """Whether what it quotes comes from a patient's files or a manifest, and may name a person."""

    def anonymous(self) -> str:
        """The message without what may name a person."""
        rule, found = map(_cut, (self.rule, self.found))
        if self.names_persons:
            rule, found = without_quotes(rule), without_quotes(found)
        return f"{self.place}: {rule}, but found {found}. {self.hint}"

    def __reduce__(self):
        # Worker processes send exceptions back by pickling their arguments.
        return type(self), (self.place, self.rule, self.found, self.hint)


def anonymous_reason(error: BaseException) -> str:
    """Why something failed, in words that name no person.

    What an error of ours quotes is left out. So are a library's own words, since they name files and quote headers: the
    place in the code stands for them.
    """
    if isinstance(error, HccbookError):
        return error.anonymous()
    words = error.strerror if isinstance(error, OSError) and error.strerror else "not foreseen"
    frames = traceback.extract_tb(error.__traceback__)
    return words + (f", in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else "")


class SettingsError(HccbookError):
    """A profile or a setting that is unknown, of the wrong type or out of range."""


class ManifestError(HccbookError):
    """A manifest that breaks its schema."""

    names_persons = True

    def anonymous(self) -> str:
        """As of any error; nor does it say what the manifest is called."""
        _, line, rest = self.place.partition(", ")
        return super().anonymous().replace(self.place, f"manifest{line}{rest}", 1)


class ImageError(HccbookError):
    """An image that cannot be read, or is not what the manifest says."""

    names_persons = True


class MaskError(HccbookError):
    """A mask that does not fit its image."""

    names_persons = True


class ModelError(HccbookError):
    """A model that cannot be fitted, saved or loaded as asked."""


class DataError(HccbookError):
    """Values handed to a statistic that it refuses."""

    names_persons = True


class StorageError(HccbookError):
    """A file that cannot be written, or not whole, whoever's it is."""


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
_NO_MEMORY = re.compile("bad.?alloc|(fail|can't|cannot|unable).{0,20} allocate", re.IGNORECASE)


def raise_for_machine(error: Exception) -> None:
    """Raise anew what is the machine's fault and no file's, whichever library says it and in whatever words.

    Raises
    ------
    StorageError
        If nothing more can be written.
    MemoryError
        If memory does not suffice.
    """
    if isinstance(error, StorageError):
        raise error
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        hint = "Free space on the disk, then start again; what is done is kept."
        raise StorageError("results", "must be written", error.strerror, hint) from error
    if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
        raise MemoryError("memory does not suffice") from error


def reason(error: Exception) -> str:
    """Why a library could not read a file, without its own source files, addresses and the user's folders.

    Raises
    ------
    StorageError, MemoryError
        If it is not the file's fault; see `raise_for_machine`.
    """
    raise_for_machine(error)
    if problem := getattr(error, "problem", ""):  # of YAML
        return str(problem)[:160]
    said = getattr(error, "reason", "") or error  # of text
    lines = [line.strip() for line in str(said).splitlines() if line.strip()]
    # ITK's last line says what happened; the ones before name its own source files.
    words = _LIBRARY_TALK.sub(" ", lines[-1] if lines else "").split()
    return " ".join(words)[:160].strip(" .:") or type(error).__name__


@contextmanager
def reading(kind: type[HccbookError], place: str, rule: str, hint: str) -> Iterator[None]:
    """Whatever a library raises over a file, as an error of ours that names the file, and the line where it is known.

    What a library may raise over broken or hostile input is nowhere listed, so that a list of it is always too short.

    Parameters
    ----------
    kind : type
        Error to raise.
    place, rule, hint : str
        As of `HccbookError`.
    """
    try:
        yield
    except HccbookError:
        raise
    except Exception as failure:
        mark = getattr(failure, "problem_mark", None)
        line = "" if mark is None else f", line {mark.line + 1}"
        raise kind(f"{place}{line}", rule, reason(failure), hint) from failure


@contextmanager
def passed_over() -> Iterator[None]:
    """Pass over whatever a library raises over a part of a file that may be missing or broken."""
    try:
        yield
    except HccbookError:
        raise
    except Exception as failure:
        raise_for_machine(failure)
