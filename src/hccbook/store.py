"""Files that appear whole or not at all, and the store of results that nothing has to make twice."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hccbook.provenance import digest, file_digest, file_state, files_of, is_settled, step_digest, tells_changes

SUMS = "sums.json"
"""File of an entry of the store that holds the sums of the others."""

_UMASK = os.umask(0)
os.umask(_UMASK)

_MACHINE = f"{zlib.crc32(platform.node().encode()):08x}"
_PART = re.compile(r"\.part-([0-9a-f]{8})-(\d+)-.*")
_SUM = re.compile("[0-9a-f]{64}")

_READING: ContextVar[bool] = ContextVar("reading", default=False)


class NotStoredError(Exception):
    """A result that is not in the store, where nothing may be made (see `reading_only`)."""


def _prefix() -> str:
    """How the name of an unfinished file or folder begins: which process of which machine makes it."""
    return f".part-{_MACHINE}-{os.getpid()}-"


@contextlib.contextmanager
def atomic_path(final: Path, *, durable: bool = True) -> Iterator[Path]:
    """Temporary file beside `final` that takes its place when the block ends without an error.

    A run that is killed leaves either the whole file or none, and so does a machine that loses its power, if the file
    is `durable`. Image writers go by the ending, which is that of `final`.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=_prefix(), suffix="".join(final.suffixes[-2:]), dir=final.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp keeps others out; a result has the permissions of any other file.
        temporary.chmod(0o666 & ~_UMASK)
        if durable:
            _flush(temporary)
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)


def _flush(file: Path) -> None:
    """Wait until a file or folder is on the disk; what did not fit there is an error here at the latest."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_if_changed(file: Path, content: str | bytes) -> Path:
    """Write a file, and leave its time stamp as it is where the content is there already."""
    content = content.encode("utf-8") if isinstance(content, str) else content
    if not file.is_file() or file.read_bytes() != content:
        with atomic_path(file, durable=False) as part:
            part.write_bytes(content)
    return file


@contextlib.contextmanager
def atomic_folder(final: Path) -> Iterator[Path]:
    """Temporary folder beside `final` that takes its place when the block ends without an error."""
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=_prefix(), dir=final.parent))
    old = temporary.with_name(f"{temporary.name}-old")
    try:
        yield temporary
        temporary.chmod(0o777 & ~_UMASK)
        for file in files_of(temporary):
            _flush(file)
        with contextlib.suppress(FileNotFoundError):
            final.rename(old)
        temporary.rename(final)
    finally:
        for folder in (temporary, old):
            shutil.rmtree(folder, ignore_errors=True)


def clear_leftovers(folder: Path) -> int:
    """Remove what processes of this machine that are no more left half-made in a folder, and count it."""
    left = 0
    for found in sorted(folder.rglob(".part-*")):
        named = _PART.fullmatch(found.name)
        if named and named[1] == _MACHINE and not _is_alive(int(named[2])):
            left += 1
            if found.is_dir():
                shutil.rmtree(found, ignore_errors=True)
            else:
                found.unlink(missing_ok=True)
    return left


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def link(source: Path, target: Path) -> None:
    """Put a file or a folder's files at `target`, without a second copy where the file system can.

    What is there already is replaced, unless it is that very file.
    """
    if source.is_dir():
        with atomic_folder(target) as part:
            shutil.copytree(source, part, dirs_exist_ok=True, copy_function=_link, ignore=lambda *_: [SUMS])
    elif not (target.is_file() and target.samefile(source)):
        with atomic_path(target) as part:
            part.unlink()
            _link(source, part)


def _link(source: str | Path, target: str | Path) -> str | Path:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)
    return target


@contextlib.contextmanager
def reading_only() -> Iterator[None]:
    """Within the block no store makes anything: what is absent raises `NotStoredError`."""
    token = _READING.set(True)
    try:
        yield
    finally:
        _READING.reset(token)


@dataclass(frozen=True)
class Store:
    """Results of steps, each in a folder named for the hash of what it follows from.

    An entry is made whole or not at all, and is held to its sums: one that has been damaged is made again.
    The folder `root` is made when the first entry is.
    """

    root: Path

    def key(self, name: str, step: Callable[..., Any], *inputs: object) -> str:
        """Key of a result.

        Parameters
        ----------
        name : str
            Kind of the result; entries of one kind lie together.
        step : callable
            Function whose module, with all that it imports, makes the result.
        *inputs : object
            What it is made from, as `hccbook.provenance.digest` takes it: a path counts with its content.
        """
        return f"{name}/{step_digest(step, digest(*inputs, content=self.content))}"

    def get_or_make(self, key: str, make: Callable[[Path], None]) -> Path:
        """Folder of a result, made now if it is not there.

        Parameters
        ----------
        key : str
            From `key`.
        make : callable
            Writes the files into the folder that it is given.

        Raises
        ------
        NotStoredError
            If it is not there, within `reading_only`.
        """
        stored = self.find(key)
        if stored is not None:
            return stored
        if _READING.get():
            raise NotStoredError(key)
        folder = self.root / key
        with atomic_folder(folder) as part:
            make(part)
            sums = {file.relative_to(part).as_posix(): file_digest(file) for file in files_of(part)}
            (part / SUMS).write_text(json.dumps(sums), encoding="utf-8")
        return folder

    def find(self, key: str) -> Path | None:
        """Folder of a result; None if it is not there, or is not what was once written."""
        folder = self.root / key
        try:
            sums = json.loads((folder / SUMS).read_text(encoding="utf-8"))
            whole = all(self.content(folder / name) == known for name, known in sums.items())
        except (OSError, ValueError, AttributeError):
            return None
        return folder if whole else None

    def unfinished(self, key: str, ending: str) -> Path:
        """Where the making of a result may leave what it needs to go on; `ending` is that of the file's name."""
        return self.root / "unfinished" / (key.replace("/", "-") + ending)

    def content(self, file: Path) -> str:
        """Hash of a file's content, remembered beside the store for as long as the file's state stays the same."""
        if not tells_changes(file):
            return file_digest(file)
        state = file_state(file)
        remembered = self.root / "contents" / digest(str(file.resolve()), state)
        with contextlib.suppress(OSError, ValueError):
            known = remembered.read_text(encoding="ascii")
            # One that is cut short would make different files the same.
            if _SUM.fullmatch(known):
                return known
        found = file_digest(file)
        if is_settled(state):
            with atomic_path(remembered, durable=False) as part:
                part.write_text(found, encoding="ascii")
        return found
