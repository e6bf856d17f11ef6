"""Whether a run shows what would tell who its patients are: what manifest and headers held is looked for in its files.

Pictures are looked at for what is written into their files, not for what they show.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import datetime
import functools
import gzip
import html
import io
import json
import re
import struct
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pandas as pd
import pydicom

from hccbook.cohort import sources
from hccbook.cohort.manifest import manifest_problems
from hccbook.errors import HccbookError, raise_for_machine
from hccbook.images import split_mask_path
from hccbook.images.remarks import quiet
from hccbook.images.series import possible_dicom
from hccbook.provenance import files_of
from hccbook.run import RunPaths, project_root
from hccbook.settings import PHASES

_NAMES = (
    *("PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName", "ReferringPhysicianName"),
    *("PerformingPhysicianName", "OperatorsName", "NameOfPhysiciansReadingStudy", "RequestingPhysician"),
)
_DATES = ("PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
_TEXTS = (
    *("PatientID", "OtherPatientIDs", "AccessionNumber", "StudyID", "MedicalRecordLocator", "DeviceSerialNumber"),
    *("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "InstitutionName", "InstitutionAddress"),
    *("InstitutionalDepartmentName", "StationName", "PatientAddress", "PatientTelephoneNumbers", "PatientComments"),
    *("AdditionalPatientHistory", "ImageComments"),
)
"""What a DICOM header may tell of a person, after the standard's profile of basic confidentiality (PS3.15, Annex E)."""

_NIFTI_TEXTS = {"descrip": (148, 80), "aux_file": (228, 24), "intent_name": (328, 16), "db_name": (14, 18)}
_OWN_FILES = (
    "notebooks/*.ipynb",
    "book/**/*.md",
    "src/**/*.*",
    "data/published/**/*.*",
    "profiles/*.yaml",
    "Snakefile",
)
_OWN_KEY = re.compile(rb"p\d{4,}")
_NUMBER = re.compile(rb"\d{3,}")
_TOKEN = re.compile(
    rb"[0-9a-z]+|[\x80-\xff]+"
)  # of ASCII, and of other letters, whose bytes other files use for numbers
_PNG = re.compile(rb"iVBORw0KGgo[A-Za-z0-9+/=\\n]+")
_LEAST_LETTERS, _LEAST_DIGITS = 4, 5
_BLOCK = 1 << 24


class PrivacyError(HccbookError):
    """A run that shows who a patient is."""


@dataclass(frozen=True)
class PrivacyReport:
    """What a scan found.

    Attributes
    ----------
    found : pandas.DataFrame
        Columns file (relative to the folder of the run), what (kind of identifier), line (of the manifest; 0 for the
        manifest itself).
    files : int
        Files that were looked through.
    identifiers : int
        Texts that were looked for.
    unsearchable : int
        Texts too short, or too much a word of this project, to be told from anything else.
    """

    found: pd.DataFrame
    files: int
    identifiers: int
    unsearchable: int

    def __str__(self) -> str:
        told = f"{self.identifiers} texts that manifest and headers hold, in {self.files} files"
        rest = f"; {self.unsearchable} more are too short or too common to be looked for" if self.unsearchable else ""
        lines = self.found["line"].map(lambda line: f" of line {line}" if line else "")
        shown = [*(self.found["file"] + ": " + self.found["what"] + lines).head(20)]
        more = [f"and {len(self.found) - 20} more"] if len(self.found) > 20 else []
        return "\n".join([f"Privacy: {len(self.found)} of {told}{rest}.", *shown, *more])


def scan_run(run: RunPaths, manifest: Path, *, centres: bool = False) -> PrivacyReport:
    """Look for what a manifest and the headers of its images hold in all files of a run, and in the store beside it.

    Compressed files, archives, tables, metadata of pictures and names of files are looked through; of images and
    weights all but the numbers.

    Parameters
    ----------
    run : RunPaths
    manifest : pathlib.Path
        The user's manifest.
    centres : bool
        Whether names of centres count as well, as where the run codes them.
    """
    wanted = identifiers_of(manifest, centres=centres, places=(run.root, project_root()))
    anchors, unsearchable = _anchors(wanted)
    unsearchable = sum(not wanted[text][0].startswith("path") for text in unsearchable)
    rows, count = [], 0
    for folder in (run.root, run.control.root, run.store.root):
        for file in files_of(folder) if folder.is_dir() else []:
            if "_static" in file.parts:  # the book's style and scripts
                continue
            name = file.relative_to(folder.parent).as_posix()
            count += 1
            hits = {hit for text in (name.encode(), *texts_of(file)) for hit in _hits(text, anchors)}
            rows += [(name, *wanted[hit]) for hit in sorted(hits)]
    found = pd.DataFrame(rows, columns=["file", "what", "line"]).drop_duplicates(ignore_index=True)
    return PrivacyReport(found, count, len(wanted), unsearchable)


def refuse_identifiers(run: RunPaths, manifest: Path, *, centres: bool = False) -> PrivacyReport:
    """As `scan_run`.

    Raises
    ------
    PrivacyError
        If anything is found.
    """
    report = scan_run(run, manifest, centres=centres)
    if len(report.found):
        hint = "Give the folder to nobody; report which file it is, without its content. hccbook privacy lists all."
        raise PrivacyError(run.root.name, "no file of a run may tell who a patient is", str(report), hint)
    return report


# --- what to look for -------------------------------------------------------------------------------------------------


def identifiers_of(manifest: Path, *, centres: bool, places: Iterable[Path] = ()) -> dict[str, tuple[str, int]]:
    """Texts that tell who a patient is, each with its kind and the line of the manifest.

    Parameters
    ----------
    manifest : pathlib.Path
    centres : bool
        Whether names of centres count.
    places : iterable of pathlib.Path
        Folders that a run may name; names in their paths are no identifiers.
    """
    table, _ = manifest_problems(manifest, PHASES)
    found: dict[str, tuple[str, int]] = {}
    public = {part for place in places for part in place.resolve().parts}
    for text in _own_path(manifest, public):
        found.setdefault(text, ("path of the manifest", 0))
    written = datetime.date.fromtimestamp(manifest.stat().st_mtime)
    lines = table.get("line", pd.Series(dtype=int))
    for key, line in lines.items():
        for name, shown in (("patient_id", True), ("centre", centres)):
            if shown and table.loc[key].get(name):
                found.setdefault(str(table.loc[key, name]), (name, int(line)))
    for key, *_, column, path in sources(table).itertuples(index=False) if len(table) else ():
        file, line = split_mask_path(path)[0], int(lines[key])
        for text in _parts(file, manifest, public):
            found.setdefault(text, (f"path in column {column}", line))
        for what, text in _header_texts(file, written):
            found.setdefault(text, (f"{what} in the header of column {column}", line))
    shown_centres = set() if centres else set(table.get("centre", ()))
    return {text: source for text, source in found.items() if text.strip() and text not in shown_centres}


def _own_path(manifest: Path, public: Container[str]) -> Iterator[str]:
    full = manifest.resolve()
    yield str(full)
    yield from (Path(part).stem for part in full.parts[1:] if part not in public)


def _parts(file: Path, manifest: Path, public: Container[str]) -> Iterator[str]:
    """A path as the manifest has it, and the names of its folders and of its file, without what kind of file it is."""
    folder = manifest.parent.resolve()
    given = file.relative_to(folder) if file.is_relative_to(folder) else file
    yield from (part.partition(".")[0] for part in given.parts if part not in public)
    if len(given.parts) > 1:
        yield str(given)


def _header_texts(file: Path, written: datetime.date) -> Iterator[tuple[str, str]]:
    """Kind and text of what a file's header tells of a person; none where it cannot be read.

    A date on which the manifest had been `written` is no patient's: from then on it is the run's.
    """
    try:
        if file.is_dir():
            slices = possible_dicom(file)
            for one in (slices[0], slices[-1]) if slices else ():
                yield from _dicom_texts(one, written)
        elif file.name.lower().endswith((".nii", ".nii.gz")):
            yield from _nifti_texts(file)
        elif file.is_file():
            yield from _dicom_texts(file, written)
    except Exception as failure:  # whatever its reader raises
        raise_for_machine(failure)
        return


def _dicom_texts(file: Path, written: datetime.date) -> Iterator[tuple[str, str]]:
    with quiet():
        header = pydicom.dcmread(file, force=True, specific_tags=[*_NAMES, *_DATES, *_TEXTS])
        values = {name: str(header.get(name) or "").strip() for name in (*_NAMES, *_DATES, *_TEXTS)}
    for name, value in values.items():
        if name in _DATES:
            with contextlib.suppress(ValueError):
                day = datetime.datetime.strptime(value, "%Y%m%d").date()
                formats = ("%Y%m%d", "%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y") if day < written else ()
                yield from ((name, day.strftime(form)) for form in formats)
            continue
        yield name, value
        if name in _NAMES:
            yield from ((name, part) for part in re.split(r"[\^=,\s]+", value))
            yield name, " ".join(value.replace("^", " ").split())


def _nifti_texts(file: Path) -> Iterator[tuple[str, str]]:
    with gzip.open(file) if file.name.lower().endswith(".gz") else file.open("rb") as stream:
        header = stream.read(348)
    for name, (start, length) in _NIFTI_TEXTS.items():
        yield name, header[start : start + length].partition(b"\0")[0].decode("latin-1").strip()


def _anchors(wanted: Iterable[str]) -> tuple[dict[bytes, list[tuple[bytes, str]]], list[str]]:
    """What to look for, with the text that it is a form of, by its longest word; and what cannot be looked for."""
    words = _own_words(project_root())
    anchors: dict[bytes, list[tuple[bytes, str]]] = {}
    unsearchable = []
    for text in wanted:
        forms = [form for form in _forms(text) if _is_telling(form, words)]
        unsearchable += [] if forms else [text]
        for form in forms:
            longest = max(_TOKEN.findall(form), key=len)
            anchors.setdefault(longest, []).append((form, text))
    return anchors, unsearchable


@functools.cache
def _own_words(root: Path) -> frozenset[bytes]:
    """Words that this project itself uses: they tell nothing of a person."""
    files = (file for pattern in _OWN_FILES for file in root.glob(pattern))
    # A user's own profile names his manifest.
    contents = (file.read_bytes() for file in files if file.is_file() and file.name != "own.yaml")
    return frozenset(word for content in contents for word in _TOKEN.findall(content.lower()))


def _forms(text: str) -> set[bytes]:
    """Ways in which files write a text, in lower case as far as that is ASCII's."""
    forms = {
        form
        for cased in (text, text.lower())
        for form in (cased, html.escape(cased), json.dumps(cased)[1:-1], urllib.parse.quote(cased))
    }
    encoded = {form.encode() for form in forms} | {text.encode("latin-1", "ignore")}
    return {form.lower() for form in encoded if form.strip()}


def _is_telling(form: bytes, words: frozenset[bytes]) -> bool:
    """Whether a text can be told from what else stands in a run, which has patients' keys and our words.

    Of several words one must be nobody's, or have three digits as a number of a patient has.
    """
    tokens = _TOKEN.findall(form)
    if not tokens or _OWN_KEY.fullmatch(tokens[0]):
        return False
    if len(tokens) == 1:
        least = _LEAST_DIGITS if form.isdigit() else _LEAST_LETTERS
        return len(tokens[0]) >= least and tokens[0] not in words
    return len(form) > _LEAST_DIGITS and any(token not in words or _NUMBER.fullmatch(token) for token in tokens)


def _pattern(form: bytes) -> re.Pattern[bytes]:
    """The text as a whole word; a number that is no part of a decimal one."""
    before, after = (rb"(?<![0-9][.,])", rb"(?![.,][0-9])") if form.isdigit() else (b"", b"")
    first, last = (rb"[0-9a-z]" if byte < 0x80 else rb"[\x80-\xff]" for byte in (form[0], form[-1]))
    return re.compile(before + rb"(?<!" + first + rb")" + re.escape(form) + rb"(?!" + last + rb")" + after)


def _hits(text: bytes, anchors: Mapping[bytes, list[tuple[bytes, str]]]) -> Iterator[str]:
    lower = text.lower()
    for word in anchors.keys() & set(_TOKEN.findall(lower)):
        yield from (identifier for form, identifier in anchors[word] if _pattern(form).search(lower))


# --- where to look ----------------------------------------------------------------------------------------------------


def texts_of(file: Path) -> Iterator[bytes]:
    """What is written in a file, without the numbers of images and weights, unpacked where it is packed."""
    with file.open("rb") as stream:
        yield from _texts(file.name.lower(), stream)


def _texts(name: str, stream: BinaryIO) -> Iterator[bytes]:
    reader = next((own for ending, own in _READERS.items() if name.endswith(ending)), _plain_texts)
    try:
        if reader is _gzip_texts:
            yield from _gzip_texts(stream, name.removesuffix(".gz"))
        else:
            yield from reader(stream)
    except Exception as failure:
        raise_for_machine(failure)
        # Not what its name says: every byte, then.
        stream.seek(0)
        yield from _plain_texts(stream)


def _gzip_texts(stream: BinaryIO, inner: str = "") -> Iterator[bytes]:
    yield stream.read(512)[10:]  # which may name the file that was packed
    stream.seek(0)
    with gzip.open(stream) as unpacked:
        yield from _texts(inner, unpacked)


def _zip_texts(stream: BinaryIO) -> Iterator[bytes]:
    with zipfile.ZipFile(stream) as archive:
        yield archive.comment
        for member in archive.namelist():
            yield member.encode()
            yield from _texts(member.lower(), io.BytesIO(archive.read(member)))


def _nifti_file_texts(stream: BinaryIO) -> Iterator[bytes]:
    header = stream.read(352)
    yield header
    yield stream.read(max(0, int(struct.unpack_from("<f", header, 108)[0]) - len(header)))


def _safetensors_texts(stream: BinaryIO) -> Iterator[bytes]:
    yield stream.read(struct.unpack("<Q", stream.read(8))[0])


def _parquet_texts(stream: BinaryIO) -> Iterator[bytes]:
    content = stream.read()
    yield content  # names of columns are not packed
    table = pd.read_parquet(io.BytesIO(content)).reset_index()
    for _, column in table.select_dtypes(exclude="number").items():
        yield "\n".join(map(str, column.unique())).encode()


def _plain_texts(stream: BinaryIO) -> Iterator[bytes]:
    """All bytes in blocks that overlap; pictures in them, as notebooks and pages have, by their metadata."""
    rest = b""
    while block := stream.read(_BLOCK):
        text = rest + block
        for picture in _PNG.findall(text):
            with contextlib.suppress(binascii.Error, struct.error):
                yield from _png_texts(io.BytesIO(base64.b64decode(picture.replace(rb"\n", b"") + b"==")))
        yield _PNG.sub(b" ", text)
        rest = block[-1024:]


def _png_texts(stream: BinaryIO) -> Iterator[bytes]:
    """Chunks of a PNG file beside its pixels, unpacked."""
    content, place = stream.read(), 8
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        body = content[place + 8 : place + 8 + length]
        if kind != b"IDAT":
            yield body
        if kind in (b"zTXt", b"iTXt"):
            yield from _unpacked(body)
        place += 12 + length
    yield content[place:]


def _webp_texts(stream: BinaryIO) -> Iterator[bytes]:
    """Chunks of a WebP file beside its pixels."""
    content, place = stream.read(), 12
    while place + 8 <= len(content):
        kind, length = struct.unpack_from("<4sI", content, place)
        if kind not in (b"VP8 ", b"VP8L", b"ALPH"):
            yield content[place + 8 : place + 8 + length]
        place += 8 + length + length % 2
    yield content[place:]


def _unpacked(body: bytes) -> Iterator[bytes]:
    """Text of a chunk whose keyword, and what else stands before it, is short."""
    for start in range(min(len(body), 200)):
        with contextlib.suppress(zlib.error):
            yield zlib.decompress(body[start:])
            return


_READERS: Mapping[str, Callable[[BinaryIO], Iterator[bytes]]] = {
    ".gz": _gzip_texts,
    ".zip": _zip_texts,
    ".npz": _zip_texts,
    ".nii": _nifti_file_texts,
    ".safetensors": _safetensors_texts,
    ".parquet": _parquet_texts,
    ".png": _png_texts,
    ".webp": _webp_texts,
}
