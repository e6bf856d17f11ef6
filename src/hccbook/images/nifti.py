"""NIfTI files: whole, 3-D and finite, where their header puts them; or refused."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import SimpleITK as sitk

from hccbook.errors import ImageError, MaskError, StorageError, reason
from hccbook.images.geometry import GRID_TOLERANCE_MM, Grid
from hccbook.images.remarks import apart, guarded, quiet, remark
from hccbook.images.stacks import regular_image
from hccbook.store import atomic_path

NIFTI_ENDINGS = (".nii", ".nii.gz")

MAX_VOXELS = 1 << 30
"""Voxels of the largest image that is read: 4,096 slices of 512 x 512, or 1,024 of 1,024 x 1,024."""

MAX_START = 1 << 26
"""Byte at which the voxels of an image begin at the latest; extensions of the header stand before them."""

_FIELDS = (
    *("magic", "sizes", "type", "edges", "start", "slope", "intercept"),
    *("units", "qform", "sform", "quaternion", "affine"),
)


def _layout(*formats: str, offsets: tuple[int, ...]) -> np.dtype:
    return np.dtype({"names": list(_FIELDS), "formats": list(formats), "offsets": list(offsets)})


_HEADERS = {
    348: _layout(
        *("S3", "8i2", "i2", "8f4", "f4", "f4", "f4", "u1", "i2", "i2", "6f4", "(3,4)f4"),
        offsets=(344, 40, 70, 76, 108, 112, 116, 123, 252, 254, 256, 280),
    ),
    540: _layout(
        *("S3", "8i8", "i2", "8f8", "i8", "f8", "f8", "i4", "i4", "i4", "6f8", "(3,4)f8"),
        offsets=(4, 16, 12, 104, 168, 176, 184, 500, 344, 348, 352, 400),
    ),
}
"""What is read of a header, by its length, which stands at its beginning: NIfTI-1 and NIfTI-2."""

_TYPES = {
    **{2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1"},
    **{512: "u2", 768: "u4", 1024: "i8", 1280: "u8"},
}
"""Types of a voxel that hold one number; the others are bits, complex numbers, colours and 16-byte reals."""

_MM_PER_UNIT = {1: 1000.0, 3: 0.001}  # metres and micrometres; 2 is mm, and 0 says nothing
_UNIT_NAMES = {1: "metres", 3: "micrometres"}
_LARGEST_EDGE_MM, _SMALLEST_EDGE_MM = 20.0, 0.1  # of a body; beyond them the unit is the likelier fault
_ROUNDING = 1e-6  # share of a voxel edge that single precision leaves open
_EDGE_TOLERANCE = 1e-3  # share of a voxel edge up to which two of them are the same
_TO_LPS = np.array([-1.0, -1.0, 1.0])  # NIfTI's axes point to the right, to the front and up
_CONVERT = "Convert the original DICOM series again, or correct the header."
_LEAST_HEADER = 352  # bytes before the voxels
_NOT_WRITTEN = "Free space on the disk, then start again; what is done is kept."


class Voxels(NamedTuple):
    """Values of a NIfTI file, shape (z, y, x), and where they lie."""

    values: np.ndarray
    grid: Grid


def write_image(image: sitk.Image, path: str | Path, compression_level: int = -1) -> None:
    """Write an image or mask as NIfTI, whole or not at all.

    Parameters
    ----------
    image : SimpleITK.Image
        3-D image.
    path : path-like
        File ending in ``.nii`` or ``.nii.gz``; its folder is made if absent.
    compression_level : int
        0 to 9, of ``.nii.gz``; what is usual if negative.

    Raises
    ------
    ImageError
        If the ending is another one.
    StorageError
        If the file cannot be written whole.
    """
    path = Path(path)
    _check_ending(path, path.name, ImageError)
    with atomic_path(path) as temporary:
        try:
            with quiet():
                sitk.WriteImage(image, str(temporary), path.name.endswith(".gz"), compression_level)
            written = _bytes_of(temporary)
        except (OSError, EOFError, zlib.error, RuntimeError) as failure:
            found = reason(failure)
            raise StorageError(path.name, "file must be written whole", found, _NOT_WRITTEN) from failure
        # ITK does not notice when the disk is full.
        expected = (
            _LEAST_HEADER
            + image.GetNumberOfPixels() * image.GetSizeOfPixelComponent() * image.GetNumberOfComponentsPerPixel()
        )
        if written < expected:
            found = f"{written} of {expected} bytes"
            raise StorageError(path.name, "file must be written whole", found, _NOT_WRITTEN)


def _bytes_of(file: Path) -> int:
    """Length of a file without its compression, all of which is read."""
    if file.suffix != ".gz":
        return file.stat().st_size
    with gzip.open(file) as stream:
        return sum(len(block) for block in iter(lambda: stream.read(1 << 20), b""))


def is_nifti(path: Path) -> bool:
    """Whether a file's ending says that it is NIfTI."""
    return path.name.lower().endswith(NIFTI_ENDINGS)


def ending(path: Path) -> str:
    """Ending of a file's name, as errors show it."""
    return "".join(path.suffixes[-2:]) or "nothing"


def _check_ending(path: Path, place: str, error: type[ImageError] | type[MaskError]) -> None:
    if not is_nifti(path):
        hint = "For DICOM, name the folder of the series; convert other formats to NIfTI."
        raise error(place, "file must be NIfTI (.nii or .nii.gz)", f"a file ending in {ending(path)!r}", hint)


def read_nifti(path: Path, place: str, error: type[ImageError] | type[MaskError]) -> sitk.Image:
    """Read a NIfTI file as an image, and raise `error` where it does not hold; a sheared one is straightened."""
    values, grid = read_voxels(path, place, error)
    order = _slices_last(grid, place, error)
    # Slices are the planes whose axes are at right angles; the way from one to the next may be at any angle.
    planes = values.transpose([2 - axis for axis in reversed(order)])
    row, column, step = (grid.steps[:, axis] for axis in order)
    origins = grid.origin + np.outer(np.arange(planes.shape[0]), step)
    if planes.shape[0] < 2:
        raise error(place, "image must be 3-D", "a single slice", "Write one volume a file, all slices in it.")
    return regular_image(planes, origins, row, column, place)


def _slices_last(grid: Grid, place: str, error: type[ImageError] | type[MaskError]) -> tuple[int, int, int]:
    """Order of axes in which the first two are at right angles, the file's own if they are."""
    edges = np.linalg.norm(grid.steps, axis=0)
    cosines = grid.steps / edges
    # Over the whole of the longest axis, the angle may amount to a tenth of a voxel.
    across = {(a, b): abs(cosines[:, a] @ cosines[:, b]) * max(grid.size) < 0.1 for a, b in ((0, 1), (0, 2), (1, 2))}
    if all(across.values()):
        return 0, 1, 2
    # Of a sheared volume, slices are stacked along the longer voxel edge.
    orders = [(*pair, 3 - sum(pair)) for pair, upright in across.items() if upright]
    if orders:
        return max(orders, key=lambda order: edges[order[2]])
    angles = np.degrees(np.arccos([cosines[:, a] @ cosines[:, b] for a, b in ((0, 1), (0, 2), (1, 2))]))
    found = ", ".join(f"{angle:.1f}" for angle in angles) + " degrees"
    hint = "It was warped by a registration: name the image before that, or resample it onto a grid of boxes."
    raise error(place, "two axes of the voxels must be at right angles", found, hint)


def read_voxels(path: Path, place: str, error: type[ImageError] | type[MaskError]) -> Voxels:
    """Values of a NIfTI file and the grid that its header says, sheared or not.

    ITK fills what a broken file lacks with whatever lies in memory, takes a voxel edge of 0 for 1 mm, reads pixdim
    where only the sform is set, and does not read NIfTI-2; so the header is read here.

    Raises
    ------
    ImageError or MaskError
        If the file is no NIfTI file or not whole; if it is not 3-D, holds other than single numbers or some that are
        not finite; if its edges are 0, or its header names two different ones.
    """
    _check_ending(path, place, error)
    packed = path.name.lower().endswith(".gz")
    with (
        guarded(place, "file must be readable", "Copy or convert the file again.", error),
        gzip.open(path) if packed else path.open("rb") as stream,
    ):
        order, header = _header(stream.read(max(_HEADERS)), place, error)
        sizes = _sizes(header, place, error)
        values = _scaled(_stored(stream, order, header, sizes, (place, error)), header, place, error)
    with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is refused
        return Voxels(values, Grid(sizes, *_placed(header, sizes, place, error)))


def _header(start: bytes, place: str, error: type[ImageError] | type[MaskError]) -> tuple[str, np.void]:
    """Byte order and header, of a file's first bytes."""
    for order in "<>":
        length = int(np.frombuffer(start[:4].ljust(4, b"\0"), order + "i4")[0])
        if length in _HEADERS and len(start) >= length:
            header = np.frombuffer(start, _HEADERS[length].newbyteorder(order), 1)[0]
            if header["magic"] in (b"n+1", b"n+2"):
                return order, header
    found = "no header of NIfTI with its voxels behind it"
    raise error(place, "file must be a NIfTI image", found, "Convert the image again; check its ending.")


def _sizes(header: np.void, place: str, error: type[ImageError] | type[MaskError]) -> tuple[int, int, int]:
    rank, *sizes = header["sizes"].tolist()
    sizes = [size if axis < 3 else max(1, size) for axis, size in enumerate(sizes[: max(0, min(rank, 7))])]
    # Axes of length 1 behind the last longer one do not count.
    dimensions = max((axis for axis, size in enumerate(sizes, start=1) if size > 1), default=0)
    if dimensions != 3 or min(sizes) < 1:
        hint = "Write one volume a file: split phases or time points, and stack single slices."
        raise error(place, "image must be 3-D", f"{dimensions} dimensions", hint)
    if len(sizes) > 3:
        remark(place, f"{len(sizes)} dimensions, of which the last hold one volume", "that volume taken")
    return tuple(sizes[:3])


def _stored(
    stream: IO[bytes], order: str, header: np.void, sizes: tuple[int, int, int], told: tuple[str, type]
) -> np.ndarray:
    """Values (z, y, x) as they are stored: all that the header promises, and nothing behind them."""
    place, error = told
    code = int(header["type"])
    if code not in _TYPES:
        hint = "Write one volume a file, in grey values of 8 to 64 bits."
        raise error(place, "image must be 3-D with one value a voxel", f"values of NIfTI's type {code}", hint)
    kind, count = np.dtype(_TYPES[code]), math.prod(sizes)
    if count > MAX_VOXELS:
        found = " x ".join(f"{size:,}" for size in sizes)
        raise error(place, f"image must have at most {MAX_VOXELS:,} voxels", found, "Write the abdomen alone.")
    start = int(header["start"]) if math.isfinite(header["start"]) else -1
    if not (540 if header["magic"] == b"n+2" else 348) <= start <= MAX_START:
        raise error(place, "voxels must begin behind the header", f"byte {header['start']:g}", _CONVERT)
    stream.seek(start)
    expected = count * kind.itemsize
    content = stream.read(expected)
    if len(content) < expected:
        rule = f"file must be whole, with {expected} bytes of voxels"
        raise error(place, rule, f"{len(content)} bytes", "Copy or convert the file again.")
    # What is compressed is compared with its sum where it ends.
    if stream.read(1):
        rule = f"file must end behind its voxels, {expected} bytes of them"
        raise error(place, rule, "more", "Convert the image again: its header names fewer voxels, or smaller ones.")
    return np.frombuffer(content, kind.newbyteorder(order)).reshape(sizes[::-1]).astype(kind, copy=False)


def _scaled(values: np.ndarray, header: np.void, place: str, error: type[ImageError] | type[MaskError]) -> np.ndarray:
    """Values as the header scales them."""
    wrong = values.size - np.count_nonzero(np.isfinite(values)) if values.dtype.kind == "f" else 0
    if wrong:
        hint = "Convert the original series again; fill voxels outside the field of view with -1024 HU."
        raise error(place, "every value must be finite", f"{wrong} values that are NaN or infinite", hint)
    slope, intercept = float(header["slope"]), float(header["intercept"])
    if slope == 0 or not math.isfinite(slope):
        return values  # the standard: a slope of 0 says that nothing is scaled
    if not math.isfinite(intercept):
        raise error(place, "scl_inter must be finite", f"{intercept}", _CONVERT)
    if (slope, intercept) == (1, 0):
        return values
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = values * slope + intercept
        if not np.isfinite(scaled.astype(np.float32)).all():
            raise error(place, "every value must be finite", f"a scale of {slope:g} and {intercept:g}", _CONVERT)
    whole = slope.is_integer() and intercept.is_integer() and values.dtype.kind != "f" and np.abs(scaled).max() < 2**31
    return scaled.astype(np.int32 if whole else np.float32)


def _placed(
    header: np.void, sizes: tuple[int, int, int], place: str, error: type[ImageError] | type[MaskError]
) -> tuple[np.ndarray, np.ndarray]:
    """Origin and steps in LPS axes, mm: of the sform, the qform or pixdim alone, as the standard's three methods."""
    edges = np.abs(header["edges"][1:4].astype(float))
    q_form = _quaternion_affine(header, edges) if header["qform"] > 0 else None
    s_form = header["affine"].astype(float) if header["sform"] > 0 else None
    for affine in (q_form, s_form):
        if affine is not None and not np.isfinite(affine).all():
            raise error(place, "qform and sform must be finite", "NaN or infinity in one of them", _CONVERT)
    if s_form is not None:
        affine = s_form
        _compare_forms(s_form, q_form, edges, sizes, (place, error))
    elif q_form is not None:
        affine = q_form
    else:
        remark(place, "no qform and no sform, so no direction", "axes taken to point to the right, to the front and up")
        affine = np.column_stack([np.diag(edges), np.zeros(3)])
    lengths = np.linalg.norm(affine[:, :3], axis=0)
    if not (np.isfinite(lengths) & (lengths > 0)).all() or abs(np.linalg.det(affine[:, :3] / lengths)) < 0.01:
        found = " x ".join(f"{edge:g}" for edge in lengths) + " mm"
        raise error(place, "voxel edges must be above 0 mm, along three directions", found, _CONVERT)
    if np.allclose(lengths, edges, rtol=_ROUNDING, atol=0):
        # Lengths of rounded columns have lost a digit that pixdim still has.
        affine[:, :3] *= edges / lengths
    affine = affine * _to_mm(int(header["units"]) & 7, lengths, place)
    return affine[:, 3] * _TO_LPS, affine[:, :3] * _TO_LPS[:, None]


def _quaternion_affine(header: np.void, edges: np.ndarray) -> np.ndarray:
    """Affine (3, 4) of the qform, by the standard's formula."""
    b, c, d, *offset = header["quaternion"].astype(float).tolist()
    length = b * b + c * c + d * d
    if length > 1:  # a turn by 180 degrees, but for rounding
        a, (b, c, d) = 0.0, np.array([b, c, d]) / math.sqrt(length)
    else:
        a = math.sqrt(1 - length)
    turn = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
        ]
    )
    handed = -1.0 if header["edges"][0] < 0 else 1.0
    return np.column_stack([turn * edges * (1, 1, handed), offset])


def _compare_forms(
    s_form: np.ndarray,
    q_form: np.ndarray | None,
    edges: np.ndarray,
    sizes: tuple[int, int, int],
    told: tuple[str, type],
) -> None:
    """Refuse two forms with different voxels, and say where they differ otherwise; the sform is what is read."""
    place, error = told
    lengths = np.linalg.norm(s_form[:, :3], axis=0)
    differing = np.abs(lengths - edges) > _EDGE_TOLERANCE * np.maximum(lengths, edges)
    if differing.any():
        axis = int(np.flatnonzero(differing)[0])
        words = [" x ".join(apart(*values)) for values in (lengths.tolist(), edges.tolist())]
        if q_form is not None:
            # Readers differ in which one they take (https://github.com/NIFTI-Imaging/nifti_clib/issues/127).
            rule = "voxel edges must be above 0 mm, and the same in qform and sform"
            found = f"{words[1]} mm in the qform and {words[0]} mm in the sform, different along axis {'xyz'[axis]}"
            raise error(place, rule, found, "Convert the original DICOM series again, or set both forms alike.")
        remark(
            place, f"voxel edges of {words[1]} mm in pixdim", f"{words[0]} mm taken, from the sform, which alone counts"
        )
    elif q_form is not None:
        ends = np.array([[x, y, z, 1] for x in (0, sizes[0]) for y in (0, sizes[1]) for z in (0, sizes[2])])
        away = float(np.linalg.norm(ends @ (s_form - q_form).T, axis=1).max())
        if away > GRID_TOLERANCE_MM:
            remark(place, f"qform and sform up to {away:.3g} mm apart", "the sform taken")


def _to_mm(unit: int, edges: np.ndarray, place: str) -> float:
    """Factor that makes mm of what the header says its unit is, where that can be."""
    factor = _MM_PER_UNIT.get(unit, 1.0)
    if factor == 1:
        return 1.0
    fits = [
        bool(((edges * scale >= _SMALLEST_EDGE_MM) & (edges * scale <= _LARGEST_EDGE_MM)).all())
        for scale in (factor, 1)
    ]
    found = f"a header in {_UNIT_NAMES[unit]}"
    if fits == [False, True]:
        remark(place, f"{found}, with voxel edges that only mm make sense of", "taken for mm")
        return 1.0
    remark(place, found, "converted to mm")
    return factor
