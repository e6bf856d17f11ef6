"""Files of a folder tree as an archive wrote it: DICOM objects, NIfTI files, and what is neither.

What a file is follows from its first bytes and not from its name: exports have no endings, wrong ones, or no preamble.
Zip files are looked into and not unpacked; nothing is written.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import MediaStorageDirectoryStorage

from hccbook.collection.headers import HEADER_TAGS, Header, header_of
from hccbook.errors import ImageError, reason
from hccbook.images import is_nifti
from hccbook.images.remarks import quiet
from hccbook.parallel import progress_line

_PREAMBLE = 132  # bytes before which a DICOM file may say anything, and whose last four say DICM
_ZIP = b"PK\x03\x04"
_SYSTEM_FOLDERS = {"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"}
_ARCHIVES = (".7z", ".rar", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
PICTURE = "is a picture, without HU and place: convert masks that are pictures to NIfTI"
"""Why a picture is not used."""

_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif")


@dataclass(frozen=True, order=True)
class Source:
    """Where a file lies: on the disk, or in a zip file that lies there.

    Attributes
    ----------
    path : pathlib.Path
        The file, or the zip file.
    member : str
        Name within the zip file; empty for a file of its own.
    """

    path: Path
    member: str = ""

    @property
    def name(self) -> str:
        """Name of the file alone."""
        return self.member.rsplit("/", 1)[-1] if self.member else self.path.name

    @property
    def folder(self) -> str:
        """What holds the file: a folder, or a folder within a zip file."""
        return f"{self.path}!{self.member.rpartition('/')[0]}" if self.member else str(self.path.parent)

    def parts(self, root: Path) -> tuple[str, ...]:
        """Folders from the root of the tree down to the file, those within a zip file included; the file not."""
        outer = self.path.relative_to(root).parts
        if not self.member:
            return outer[:-1]
        return (*outer[:-1], self.path.stem, *self.member.split("/")[:-1])

    def shown(self, root: Path) -> str:
        """The place as tables show it: relative to the root, a zip's member behind ``!``."""
        outer = self.path.relative_to(root).as_posix() if self.path.is_relative_to(root) else self.path.name
        return f"{outer}!{self.member}" if self.member else outer

    def read(self) -> bytes:
        """Content of the file."""
        if not self.member:
            return self.path.read_bytes()
        with zipfile.ZipFile(self.path) as archive:
            return archive.read(self.member)


@dataclass(frozen=True)
class Leftover:
    """A file that the walk does not use, and why."""

    source: Source
    reason: str


@dataclass
class Tree:
    """What a walk through a folder tree met.

    Attributes
    ----------
    root : pathlib.Path
    headers : list of Header
        Of every DICOM object, by place.
    sources : list of Source
        Where those objects lie, one each.
    nifti : list of Source
    leftovers : list of Leftover
        Files that are neither, or cannot be read.
    absent : int
        Files that a DICOMDIR names and that are not there.
    """

    root: Path
    headers: list[Header] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    nifti: list[Source] = field(default_factory=list)
    leftovers: list[Leftover] = field(default_factory=list)
    absent: int = 0

    def source(self, header: Header) -> Source:
        """Where the object of a header lies."""
        return self.sources[header.position]


def walk(root: str | Path, skip: Collection[Path] = ()) -> Tree:
    """Look at every file of a folder tree.

    Parameters
    ----------
    root : path-like
        Folder; links to other folders within it are followed once.
    skip : collection of pathlib.Path
        Folders that are not entered, such as those that an earlier manifest wrote.

    Returns
    -------
    Tree

    Raises
    ------
    ImageError
        If the folder is not there, or holds no DICOM object and no NIfTI file.
    """
    root = Path(root).resolve()
    if not root.is_dir():
        hint = "Name the folder that holds the patients' CT."
        raise ImageError(root.name, "must be a folder", f"no folder {root.name!r}", hint)
    tree = Tree(root)
    paths = list(_files(root, {folder.resolve() for folder in skip}))
    with progress_line("files", len(paths)) as advance:
        for path in paths:
            _look_at(path, tree)
            advance()
    if not (tree.headers or tree.nifti):
        hint = "Name the folder that holds the patients' CT; unpack archives other than zip first."
        found = f"none among {len(tree.leftovers)} files"
        raise ImageError(root.name, "folder must hold DICOM objects or NIfTI files", found, hint)
    return tree


def _files(root: Path, skip: set[Path]) -> Iterator[Path]:
    seen = set(skip)
    for folder, names, files in os.walk(root, followlinks=True):
        real = Path(folder).resolve()
        if real in seen:  # not to be entered, or a link that leads back up
            names.clear()
            continue
        seen.add(real)
        names[:] = sorted(name for name in names if not name.startswith(".") and name not in _SYSTEM_FOLDERS)
        yield from (Path(folder) / name for name in sorted(files) if not name.startswith("."))


def _look_at(path: Path, tree: Tree) -> None:
    source = Source(path)
    try:
        with path.open("rb") as stream:
            if stream.read(len(_ZIP)) == _ZIP:
                _look_into(path, tree)
                return
            stream.seek(0)
            _sort_in(source, stream, tree)
    except Exception as failure:  # whatever its reader raises
        tree.leftovers.append(Leftover(source, f"cannot be read: {reason(failure)}"))


def _look_into(path: Path, tree: Tree) -> None:
    """Take up the files of a zip file; one that is encrypted or broken is left over as a whole."""
    with zipfile.ZipFile(path) as archive:
        for member in sorted(archive.infolist(), key=lambda item: item.filename):
            folders, name = member.filename.split("/")[:-1], member.filename.rsplit("/", 1)[-1]
            if member.is_dir() or name.startswith(".") or set(folders) & _SYSTEM_FOLDERS:
                continue
            source = Source(path, member.filename)
            if member.flag_bits & 1:
                tree.leftovers.append(Leftover(source, "is encrypted: unpack the zip file with its password"))
                continue
            try:
                _sort_in(source, io.BytesIO(archive.read(member)), tree)
            except Exception as failure:
                tree.leftovers.append(Leftover(source, f"cannot be read: {reason(failure)}"))


def _sort_in(source: Source, stream: IO[bytes], tree: Tree) -> None:
    if is_nifti(Path(source.name)):
        tree.nifti.append(source)
        return
    dataset = _dicom(source, stream)
    if dataset is None:
        tree.leftovers.append(Leftover(source, _no_image(source.name)))
    elif _class_of(dataset) == MediaStorageDirectoryStorage:
        tree.absent += _absent_files(source, dataset)
    else:
        tree.headers.append(header_of(dataset, len(tree.sources)))
        tree.sources.append(source)


def _no_image(name: str) -> str:
    lower = name.lower()
    if lower.endswith(_ARCHIVES):
        return "is an archive other than zip: unpack it first"
    if lower.endswith(_PICTURES):
        return PICTURE
    return "is neither DICOM nor NIfTI"


def _dicom(source: Source, stream: IO[bytes]) -> Dataset | None:
    """Header of a DICOM object, with or without preamble; None for another file."""
    head = stream.read(_PREAMBLE)
    marked = head[-4:] == b"DICM"
    if not marked and not _may_begin_with_an_element(head):
        return None
    stream.seek(0)
    with quiet():
        # A directory's records and the groups of frames are needed whole; of a slice, these tags are.
        tags = [*HEADER_TAGS, "DirectoryRecordSequence"]
        dataset = pydicom.dcmread(stream, force=not marked, stop_before_pixels=True, specific_tags=tags)
    return dataset if marked or "SOPClassUID" in dataset else None


def _may_begin_with_an_element(head: bytes) -> bool:
    """Whether bytes could be a data set without preamble: it begins with group 2 or 8, in either byte order."""
    return len(head) == _PREAMBLE and head[:2] in (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08")


def _class_of(dataset: Dataset) -> str:
    meta = getattr(dataset, "file_meta", None) or Dataset()
    return str(dataset.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID") or "")


def _absent_files(source: Source, directory: Dataset) -> int:
    """How many of the files that a DICOMDIR names are not beside it, upper and lower case alike."""
    if source.member:
        return 0
    absent = 0
    names: dict[Path, dict[str, Path]] = {}
    for record in directory.get("DirectoryRecordSequence") or ():
        parts = record.get("ReferencedFileID")
        place: Path | None = source.path.parent if parts else None
        for part in [parts] if isinstance(parts, str) else list(parts or ()):
            if place is None:
                break
            if place not in names:
                names[place] = {entry.name.casefold(): entry for entry in place.iterdir()} if place.is_dir() else {}
            place = names[place].get(str(part).casefold())
        absent += bool(parts) and place is None
    return absent
