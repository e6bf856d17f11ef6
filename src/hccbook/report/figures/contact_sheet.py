"""One picture a patient with which a person can judge the masks at a glance: every phase, all three planes.

It is put together from pixels and not with matplotlib, which takes a second where a cohort has a thousand patients.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import SimpleITK as sitk
from PIL import Image, ImageColor, ImageDraw, ImageFont

from hccbook.errors import DataError
from hccbook.images import same_grid
from hccbook.report.figures.images import lps_volume
from hccbook.report.figures.style import ORGAN_COLOURS, STAMP_TEXT, VERMILION
from hccbook.settings import ORGANS

SHEET_WIDTH = 1000
"""Width of a sheet, pixels."""

WINDOW_HU = (-120.0, 240.0)
"""Black and white of the soft-tissue window, HU; ends that show fat, organs and contrast apart."""

_AXIAL_PLACES = (0.85, 0.5, 0.15)  # from the foot, along the slices that hold both organs
_MARGINS_MM = (30.0, 5.0, 5.0)  # shown beyond the masks along z, beyond the body along y and x
_AIR_HU = -300.0  # below it is no body
_GREYS = 40  # more are hardly seen and make the file larger
_SHADES = 8  # of a coloured letter's edge
_GAP, _LINE, _STRIP = 6, 18, 20  # pixels: between pictures, a line of text, the heading of a row
_MAX_LINES = 9
_CONVENTION = (
    "Patient's right (R) is on the left of axial and coronal pictures, seen from the feet and from the front; "
    "sagittal: front (A) on the left."
)


class _Cut(NamedTuple):
    """One picture of a row: heading, letters at its sides, axis (z, y, x) that it cuts across, and where."""

    heading: str
    sides: tuple[str, str]
    axis: int
    index: int


def contact_sheet(
    images: Mapping[str, sitk.Image],
    labels: Mapping[str, sitk.Image],
    *,
    title: str,
    remarks: Sequence[str] = (),
    synthetic: bool,
) -> Image.Image:
    """Every phase of one patient in three axial, a coronal and a sagittal cut, with the organs segmented.

    Parameters
    ----------
    images : mapping of str to SimpleITK.Image
        CT by phase, HU; a row of pictures each.
    labels : mapping of str to SimpleITK.Image
        Label maps by phase; a phase without one, or whose label map lies on another grid, is drawn without masks.
    title : str
        First line, such as the patient's key.
    remarks : sequence of str
        What to look at, a line each; the first `_MAX_LINES` lines are shown, and how many there are beyond.
    synthetic : bool
        Whether the patient is simulated; stamps SYNTHETIC DATA at the top and across the foot.

    Returns
    -------
    PIL.Image.Image
        `SHEET_WIDTH` pixels wide, with a palette.
        All pictures have one scale in mm, the same down as across; masks are one pixel wide.
        The cuts are the same in every phase where the phases lie on one grid.

    Raises
    ------
    DataError
        If there is no phase.
    """
    if not images:
        raise DataError(title, "must have at least one phase", "none", "Pass the images by phase.")
    segmented = [phase for phase in images if phase in labels and same_grid(labels[phase], images[phase])]
    volumes = {phase: _volume(image, labels[phase] if phase in segmented else None) for phase, image in images.items()}
    together = list(volumes.values())
    one_grid = len({volume.hu.shape for volume in together}) == 1
    layouts = {phase: _layout(together if one_grid else [volume]) for phase, volume in volumes.items()}
    across = max(
        sum(_size_mm(volumes[phase], cut, shown)[1] for cut in cuts) for phase, (cuts, shown) in layouts.items()
    )
    scale = (SHEET_WIDTH - _GAP * (len(_AXIAL_PLACES) + 3)) / across  # pixels a mm
    pieces = [_header(title, remarks, synthetic)]
    for position, (phase, volume) in enumerate(volumes.items()):
        pieces.append(_row(phase, volume, *layouts[phase], scale, headings=position == 0))
    pieces.append(_footer(synthetic))
    sheet = Image.fromarray(np.concatenate(pieces))
    sheet.putpalette(_palette())
    return sheet


def webp_bytes(sheet: Image.Image) -> bytes:
    """A sheet as a WebP file without loss, which would pale lines one pixel wide; the same sheet, the same bytes."""
    buffer = io.BytesIO()
    sheet.convert("RGB").save(buffer, "WEBP", lossless=True, quality=75, method=4)
    return buffer.getvalue()


# --- what is cut where ------------------------------------------------------------------------------------------------


class _Volume(NamedTuple):
    """Arrays (z, y, x) in LPS order and voxel edges (z, y, x), mm."""

    hu: np.ndarray
    labels: np.ndarray | None
    edges: tuple[float, float, float]


_Box = tuple[slice, slice, slice]


def _volume(image: sitk.Image, labels: sitk.Image | None) -> _Volume:
    hu, edges = lps_volume(image)
    return _Volume(hu, None if labels is None else lps_volume(labels).array, edges)


def _layout(volumes: Sequence[_Volume]) -> tuple[list[_Cut], _Box]:
    """Cuts of a row from left to right that suit all of some volumes on one grid, and the box that is shown of them."""
    shape, edges = volumes[0].hu.shape, volumes[0].edges
    counts = [
        sum((volume.labels == label).astype(np.uint8) for volume in volumes if volume.labels is not None)
        for label in range(1, len(ORGANS) + 1)
    ]
    present = [count for count in counts if np.any(count)]
    along = [[organ.sum(axis=tuple({0, 1, 2} - {axis}), dtype=float) for organ in present] for axis in range(3)]
    if present:
        segmented = np.flatnonzero(np.sum(along[0], axis=0))
        both = np.flatnonzero(np.all([profile > 0 for profile in along[0]], axis=0))
        axial = both if both.size else segmented
        # Each organ counts alike, or a coronal cut would be chosen for the liver alone.
        coronal = int(np.argmax(sum(profile / profile.max() for profile in along[1])))
        sagittal = int(np.argmax(along[2][0]))
    else:
        segmented = axial = np.arange(shape[0])
        coronal, sagittal = shape[1] // 2, shape[2] // 2
    # Air around the body would only make it smaller; slices far from every mask too.
    body = np.max([volume.hu.max(axis=0) for volume in volumes], axis=0) > _AIR_HU
    body |= np.any([count.any(axis=0) for count in present], axis=0)
    shown = tuple(
        _span(found, _MARGINS_MM[axis] / edges[axis], shape[axis])
        for axis, found in enumerate((segmented, np.flatnonzero(body.any(axis=1)), np.flatnonzero(body.any(axis=0))))
    )
    places = [int(axial[round(place * (axial.size - 1))]) for place in _AXIAL_PLACES]
    cuts = [_Cut("Axial", ("R", "L"), 0, place) for place in places]
    return [*cuts, _Cut("Coronal", ("R", "L"), 1, coronal), _Cut("Sagittal", ("A", "P"), 2, sagittal)], shown


def _span(found: np.ndarray, margin: float, length: int) -> slice:
    if not found.size:
        return slice(0, length)
    return slice(max(int(found[0] - round(margin)), 0), min(int(found[-1] + round(margin)) + 1, length))


def _plane(array: np.ndarray, cut: _Cut, shown: _Box) -> np.ndarray:
    picture = array.take(cut.index, axis=cut.axis)[tuple(part for axis, part in enumerate(shown) if axis != cut.axis)]
    # Rows of a coronal or sagittal cut run from foot to head; a picture's first row is its top.
    return picture if cut.axis == 0 else picture[::-1]


def _size_mm(volume: _Volume, cut: _Cut, shown: _Box) -> tuple[float, float]:
    """Height and width of a picture, mm."""
    lengths = [(part.stop - part.start) * edge for part, edge in zip(shown, volume.edges, strict=True)]
    del lengths[cut.axis]
    return lengths[0], lengths[1]


# --- pixels -----------------------------------------------------------------------------------------------------------


def _palette() -> list[int]:
    """Greys, one colour an organ, and shades from black to the stamp's colour."""
    greys = [round(255 * level / (_GREYS - 1)) for level in range(_GREYS)]
    colours = [ImageColor.getrgb(ORGAN_COLOURS[organ]) for organ in ORGANS]
    stamp = ImageColor.getrgb(VERMILION)
    shades = [tuple(round(part * level / (_SHADES - 1)) for part in stamp) for level in range(_SHADES)]
    return [part for colour in [*((grey,) * 3 for grey in greys), *colours, *shades] for part in colour]


@lru_cache
def _font(size: int = 13, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    # The font of the other figures; matplotlib brings it along, so that no machine draws another one.
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / name), size)


def _write(
    canvas: np.ndarray, at: tuple[int, int], text: str, font: ImageFont.FreeTypeFont, *, stamp: bool = False
) -> int:
    """Write one line, upper left corner at (x, y), white or in the stamp's colour, and return where it ends."""
    x, y = at
    width, height = int(font.getlength(text)) + 2, int(font.size) + 5
    letters = Image.new("L", (width, height))
    ImageDraw.Draw(letters).text((0, 0), text, fill=255, font=font)
    into = canvas[y : y + height, x : x + width]
    ink = np.asarray(letters)[: into.shape[0], : into.shape[1]].astype(int)
    if stamp:
        shade = ink * _SHADES // 256
        np.copyto(into, (_GREYS + len(ORGANS) + shade).astype(np.uint8), where=shade > 0)
    else:
        np.maximum(into, (ink * _GREYS // 256).astype(np.uint8), out=into, where=into < _GREYS)
    return x + width


def _wrapped(text: str, width: int) -> list[str]:
    # The mean letter is about half as wide as the font is high, in this font a little more.
    return textwrap.wrap(text, width // 7, subsequent_indent="    ") or [""]


def _header(title: str, remarks: Sequence[str], synthetic: bool) -> np.ndarray:
    lines = [line for remark in remarks for line in _wrapped(remark, SHEET_WIDTH - 2 * _GAP)]
    if len(lines) > _MAX_LINES:
        lines = [*lines[: _MAX_LINES - 1], f"... and {len(lines) - _MAX_LINES + 1} more lines"]
    canvas = np.zeros((2 * _GAP + 24 + _LINE * len(lines), SHEET_WIDTH), np.uint8)
    large = _font(17, bold=True)
    _write(canvas, (_GAP, _GAP), title, large)
    if synthetic:
        start = SHEET_WIDTH - int(large.getlength(STAMP_TEXT)) - _GAP - 4
        _write(canvas, (start, _GAP), STAMP_TEXT, large, stamp=True)
    for position, line in enumerate(lines):
        _write(canvas, (_GAP, _GAP + 26 + _LINE * position), line, _font())
    return canvas


def _footer(synthetic: bool) -> np.ndarray:
    canvas = np.zeros((2 * _LINE + 2 * _GAP, SHEET_WIDTH), np.uint8)
    x = _GAP
    for position, organ in enumerate(ORGANS):
        canvas[_GAP + 3 : _GAP + 13, x : x + 14] = _GREYS + position
        x = _write(canvas, (x + 18, _GAP), organ.capitalize(), _font()) + 14
    low, high = WINDOW_HU
    x = _write(canvas, (x, _GAP), f"Black {low:g} HU, white {high:g} HU.  Scale bar 5 cm.", _font())
    _write(canvas, (_GAP, _GAP + _LINE), _CONVENTION, _font())
    if synthetic:
        _write(canvas, (x + 24, _GAP), f"{STAMP_TEXT}: no real person", _font(bold=True), stamp=True)
    return canvas


def _row(phase: str, volume: _Volume, cuts: Sequence[_Cut], shown: _Box, scale: float, *, headings: bool) -> np.ndarray:
    """One phase: its name above, the cuts from left to right."""
    sizes = [tuple(max(round(edge * scale), 1) for edge in _size_mm(volume, cut, shown)) for cut in cuts]
    canvas = np.zeros((_STRIP + max(height for height, _ in sizes) + _GAP, SHEET_WIDTH), np.uint8)
    x = _GAP
    _write(canvas, (x, 1), phase.capitalize(), _font(14, bold=True))
    for position, (cut, (height, width)) in enumerate(zip(cuts, sizes, strict=True)):
        picture = canvas[_STRIP : _STRIP + height, x : x + width]
        picture[:] = _grey(_plane(volume.hu, cut, shown), (height, width))[:, : picture.shape[1]]
        if volume.labels is not None:
            _mask(picture, _plane(volume.labels, cut, shown))
        if headings and position > 0:
            _write(canvas, (x, 1), cut.heading, _font())
        for text, at in zip(cut.sides, (x + 3, x + width - 13), strict=True):
            _write(canvas, (at, _STRIP + 1), text, _font(bold=True))
        if position == 0:
            bar = round(50 * scale)
            canvas[_STRIP + height - 6 : _STRIP + height - 3, x + 4 : x + 4 + bar] = _GREYS - 1
        x += width + _GAP
    return canvas


def _grey(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Window, resize (height, width) and reduce to the palette's greys."""
    low, high = WINDOW_HU
    shown = np.clip((plane.astype(np.float32) - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
    resized = np.asarray(Image.fromarray(shown).resize(size[::-1], Image.Resampling.BILINEAR))
    return (resized.astype(np.uint16) * _GREYS // 256).astype(np.uint8)


def _mask(picture: np.ndarray, plane: np.ndarray) -> None:
    """Draw the rim of each organ, one pixel wide and inside it, on a picture."""
    resized = Image.fromarray(np.ascontiguousarray(plane, np.uint8)).resize(
        picture.shape[::-1], Image.Resampling.NEAREST
    )
    enlarged = np.asarray(resized)
    for position in range(len(ORGANS)):
        # A rim of background closes the mask of an organ that touches the edge.
        organ = np.pad(enlarged == position + 1, 1)
        inner = organ[:-2, 1:-1] & organ[2:, 1:-1] & organ[1:-1, :-2] & organ[1:-1, 2:]
        picture[organ[1:-1, 1:-1] & ~inner] = _GREYS + position
