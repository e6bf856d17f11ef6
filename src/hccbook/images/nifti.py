"""NIfTI files: whole, 3-D and finite, or refused."""

from __future__ import annotations

import gzip
import math
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from hccbook.errors import ImageError, MaskError
from hccbook.images.geometry import check_volume
from hccbook.images.remarks import quiet, reason
from hccbook.store import atomic_path

NIFTI_ENDINGS = (".nii", ".nii.gz")
_HEADER_BYTES = 348
_HEADER = np.dtype(
    {
        "names": ["sizes", "type", "bits", "edges", "start"],
        "formats": ["8i2", "i2", "i2", "8f4", "f4"],
        "offsets": [40, 70, 72, 76, 108],
    }
)
"""What is read of a header: rank and sizes, type and bits of a voxel, handedness and edges, start of the voxels."""

_FLOAT_TYPES = {16: "f4", 64: "f8"}  # those that can hold NaN


def write_image(image: sitk.Image, path: str | Path) -> None:
    """Write an image or mask as NIfTI, whole or not at all.

    Parameters
    ----------
    image : SimpleITK.Image
        3-D image.
    path : path-like
        File ending in ``.nii`` or ``.nii.gz``; its folder is made if absent.

    Raises
    ------
    ImageError
        If the ending is another one.
    """
    path = Path(path)
    _check_ending(path, path.name, ImageError)
    with atomic_path(path) as temporary:
        sitk.WriteImage(image, str(temporary), useCompression=path.name.endswith(".gz"))


def is_nifti(path: Path) -> bool:
    """Whether a file's ending says that it is NIfTI."""
    return path.name.lower().endswith(NIFTI_ENDINGS)


def ending(path: Path) -> str:
    """Ending of a file's name, as errors show it."""
    return "".join(path.suffixes[-2:]) or "nothing"


def _check_ending(path: Path, place: str, error: type[ImageError] | type[MaskError]) -> None:
    if not is_nifti(path):
        rule = "file must be NIfTI (.nii or .nii.gz)" + (", or a folder of DICOM slices" if error is ImageError else "")
        hint = "For DICOM, name the folder of the series; convert other formats to NIfTI."
        raise error(place, rule, f"a file ending in {ending(path)!r}", hint)


def read_nifti(path: Path, place: str, error: type[ImageError] | type[MaskError]) -> sitk.Image:
    """Read a NIfTI file whose header and length hold, and raise `error` where they do not."""
    _check_ending(path, place, error)
    try:
        with _unpacked(path) as plain, quiet():
            _check_file(plain, place, error)
            image = sitk.ReadImage(str(plain), imageIO="NiftiImageIO")
    except (OSError, EOFError, zlib.error, RuntimeError, ValueError) as failure:
        raise error(place, "file must be readable", reason(failure), "Copy or convert the file again.") from failure
    check_volume(image, "image", error, place, "Write one volume a file, in grey values.")
    return image


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """The file without its compression, for as long as the block lasts.

    ITK unpacks a file once for every question that it has about it, which takes several times as long.
    """
    if not path.name.lower().endswith(".gz"):
        yield path
        return
    with tempfile.NamedTemporaryFile(suffix=".nii") as plain:
        with gzip.open(path) as source:
            shutil.copyfileobj(source, plain, 1 << 20)
        plain.flush()
        yield Path(plain.name)


def _check_file(path: Path, place: str, error: type[ImageError] | type[MaskError]) -> None:
    """Refuse what ITK reads without a word.

    ITK fills what a broken file lacks with whatever lies in memory, turns NaN into 0 and takes a voxel edge of 0 for
    1 mm; the header that it shows is corrected already.
    """
    order, header = _header(path, place, error)
    rank, *sizes = header["sizes"].tolist()
    sizes = sizes[: max(0, rank)]
    voxels, start = math.prod(sizes), int(header["start"])
    expected, length = voxels * int(header["bits"]) // 8, max(0, path.stat().st_size - start)
    if length < expected:
        hint = "Copy or convert the file again."
        raise error(place, f"file must be whole, with {expected} bytes of voxels", f"{length} bytes", hint)
    kind = _FLOAT_TYPES.get(int(header["type"]))
    values = np.memmap(path, order + kind, "r", start, (voxels,)) if kind and voxels > 0 else np.empty(0)
    wrong = values.size - np.count_nonzero(np.isfinite(values))
    if wrong:
        hint = "Convert the original series again; fill voxels outside the field of view with -1024 HU."
        raise error(place, "every value must be finite", f"{wrong} values that are NaN or infinite", hint)
    # Axes of length 1 behind the last longer one do not count.
    dimensions = max((axis for axis, size in enumerate(sizes, start=1) if size > 1), default=0)
    if dimensions != 3:
        hint = "Write one volume a file: split phases or time points, and stack single slices."
        raise error(place, "image must be 3-D", f"{dimensions} dimensions", hint)
    edges = header["edges"][1:4].tolist()
    if not all(math.isfinite(edge) and edge != 0 for edge in edges):
        hint = "Convert the original DICOM series again, or correct pixdim in the header."
        raise error(place, "voxel edges must be above 0 mm", " x ".join(f"{edge:g}" for edge in edges) + " mm", hint)


def _header(path: Path, place: str, error: type[ImageError] | type[MaskError]) -> tuple[str, np.void]:
    """Byte order and header of a NIfTI file."""
    with path.open("rb") as stream:
        head = stream.read(_HEADER_BYTES)
    # The header begins with its own length, which tells the byte order and the version of the format.
    lengths = {order: int(np.frombuffer(head, order + "i4", 1)[0]) for order in "<>" if len(head) == _HEADER_BYTES}
    for order, length in lengths.items():
        if length == _HEADER_BYTES:
            return order, np.frombuffer(head, _HEADER.newbyteorder(order), 1)[0]
    found = "a NIfTI-2 header, which ITK does not read" if 540 in lengths.values() else "no NIfTI header"
    raise error(place, "file must be a NIfTI image", found, "Convert the image again; check its ending.")
