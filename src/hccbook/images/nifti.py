"""NIfTI files: whole, 3-D and finite, or refused."""

from __future__ import annotations

import gzip
import math
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from hccbook.errors import ImageError, MaskError
from hccbook.images.remarks import quiet, reason
from hccbook.store import atomic_path

NIFTI_ENDINGS = (".nii", ".nii.gz")
"""Endings of image and mask files."""


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
    check_ending(path, path.name, ImageError)
    with atomic_path(path) as temporary:
        sitk.WriteImage(image, str(temporary), useCompression=path.name.endswith(".gz"))


def is_nifti(path: Path) -> bool:
    """Whether a file's ending says that it is NIfTI."""
    return path.name.lower().endswith(NIFTI_ENDINGS)


def check_ending(path: Path, place: str, error: type[ImageError] | type[MaskError]) -> None:
    """Refuse a file whose ending is not that of NIfTI."""
    if not is_nifti(path):
        raise error(
            place,
            "file must be NIfTI (.nii or .nii.gz)" + (", or a folder of DICOM slices" if error is ImageError else ""),
            f"a file ending in {''.join(path.suffixes[-2:]) or 'nothing'!r}",
            "For DICOM, name the folder of the series; convert other formats to NIfTI.",
        )


def read_nifti(path: Path, place: str, error: type[ImageError] | type[MaskError]) -> sitk.Image:
    """Read a NIfTI file whose header and length hold, and raise `error` where they do not."""
    check_ending(path, place, error)
    with _unpacked(path, place, error) as plain:
        return _read_plain(plain, place, error)


@contextmanager
def _unpacked(path: Path, place: str, error: type[ImageError] | type[MaskError]) -> Iterator[Path]:
    """The file without its compression, for as long as the block lasts.

    ITK unpacks a file once for every question that it has about it, which takes several times as long.
    """
    if not path.name.lower().endswith(".gz"):
        yield path
        return
    with tempfile.NamedTemporaryFile(suffix=".nii") as plain:
        try:
            with gzip.open(path) as source:
                shutil.copyfileobj(source, plain, 1 << 20)
            plain.flush()
        except (OSError, EOFError, zlib.error) as failure:
            raise error(place, "file must be readable", reason(failure), "Copy or convert the file again.") from failure
        yield Path(plain.name)


def _read_plain(path: Path, place: str, error: type[ImageError] | type[MaskError]) -> sitk.Image:
    dimensions, spacing = _check_nifti_file(path, place, error)
    if dimensions != 3:
        raise error(
            place,
            "image must be 3-D",
            f"{dimensions} dimensions",
            "Write one volume a file: split phases or time points, and stack single slices.",
        )
    if not all(np.isfinite(edge) and edge != 0 for edge in spacing):
        # ITK would read a zero edge as 1 mm without a word, and every volume and shape would be wrong.
        raise error(
            place,
            "voxel edges must be above 0 mm",
            " x ".join(f"{edge:g}" for edge in spacing) + " mm",
            "Convert the original DICOM series again, or correct pixdim in the header.",
        )
    try:
        with quiet():
            image = sitk.ReadImage(str(path), imageIO="NiftiImageIO")
    except RuntimeError as failure:
        raise error(place, "file must be readable", reason(failure), "Copy or convert the file again.") from failure
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise error(
            place,
            "image must be 3-D with one value a voxel",
            f"{image.GetDimension()} dimensions of {image.GetNumberOfComponentsPerPixel()} values",
            "Write one volume a file, in grey values.",
        )
    return image


def _check_nifti_file(
    path: Path, place: str, error: type[ImageError] | type[MaskError]
) -> tuple[int, tuple[float, ...]]:
    """Number of dimensions (up to the last longer than 1) and voxel edges as the header has them.

    The file is read through once, because ITK fills what a broken file lacks with whatever lies in memory,
    and turns NaN into 0, without a word.
    """
    wrong = 0
    try:
        with path.open("rb") as stream:
            head = stream.read(352)
            order, sizes, edges, code, bits, start = _nifti_header(head, place, error)
            kind = {16: order + "f4", 64: order + "f8"}.get(code)
            stream.seek(start)
            length = 0
            while chunk := stream.read(1 << 20):
                length += len(chunk)
                if kind is not None:
                    whole = len(chunk) - len(chunk) % np.dtype(kind).itemsize
                    wrong += int(np.count_nonzero(~np.isfinite(np.frombuffer(chunk[:whole], kind))))
    except OSError as failure:
        raise error(place, "file must be readable", reason(failure), "Copy or convert the file again.") from failure
    expected = math.prod(sizes) * bits // 8
    if length < expected:
        raise error(
            place,
            f"file must be whole, with {expected} bytes of voxels",
            f"{length} bytes",
            "Copy or convert the file again.",
        )
    if wrong:
        raise error(
            place,
            "every value must be finite",
            f"{wrong} values that are NaN or infinite",
            "Convert the original series again; fill voxels outside the field of view with -1024 HU.",
        )
    return max((axis + 1 for axis, edge in enumerate(sizes) if edge > 1), default=0), edges


def _nifti_header(
    head: bytes, place: str, error: type[ImageError] | type[MaskError]
) -> tuple[str, tuple[int, ...], tuple[float, ...], int, int, int]:
    """Byte order, sizes, voxel edges, data type code, bits a voxel, and start of the voxels (NIfTI-1 and NIfTI-2)."""
    for order in "<>":
        size = struct.unpack_from(order + "i", head)[0] if len(head) >= 348 else 0
        if size == 348:
            dim, pixdim = struct.unpack_from(order + "8h", head, 40), struct.unpack_from(order + "8f", head, 76)
            (code, bits), (start,) = (
                struct.unpack_from(order + "2h", head, 70),
                struct.unpack_from(order + "f", head, 108),
            )
        elif size == 540:
            dim, pixdim = struct.unpack_from(order + "8q", head, 16), struct.unpack_from(order + "8d", head, 104)
            (code, bits), (start,) = (
                struct.unpack_from(order + "2h", head, 12),
                struct.unpack_from(order + "q", head, 168),
            )
        else:
            continue
        return order, dim[1 : 1 + max(0, min(dim[0], 7))], pixdim[1:4], code, bits, int(start)
    raise error(place, "file must be a NIfTI image", "no NIfTI header", "Convert the image again; check its ending.")
