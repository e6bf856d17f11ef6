"""Pictures of CT, as a radiologist looks at them.

Images are turned to LPS here; in axial pictures the patient's right is on the left, the front at the top.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from hccbook.errors import DataError
from hccbook.report.figures.layout import panel_list
from hccbook.report.figures.style import ORGAN_COLOURS, SMALL_PT, in_style
from hccbook.settings import ORGANS

_WINDOW_HU = (-160.0, 240.0)  # 400 HU wide about a level of 40 HU
_SCALE_BAR_MM = 50.0


class LpsVolume(NamedTuple):
    """Array (z, y, x) in LPS order with its voxel edges (z, y, x), mm."""

    array: np.ndarray
    edges: tuple[float, float, float]


def lps_volume(image: sitk.Image) -> LpsVolume:
    """An image turned to LPS, if it is not so already."""
    if not np.allclose(image.GetDirection(), np.eye(3).ravel()):
        image = sitk.DICOMOrient(image, "LPS")
    return LpsVolume(sitk.GetArrayFromImage(image), image.GetSpacing()[::-1])


def _volume(image: sitk.Image, place: str, grid: LpsVolume | None = None) -> LpsVolume:
    if image.GetDimension() != 3:
        raise DataError(place, "must have three dimensions", image.GetDimension(), "Pass the whole volume.")
    volume = lps_volume(image)
    if grid is not None and volume.array.shape != grid.array.shape:
        found = f"{volume.array.shape} on {grid.array.shape}"
        raise DataError(place, "must lie on the image's grid", found, "Resample it.")
    return volume


def largest_slice(labels: sitk.Image) -> int:
    """Axial slice that holds most labelled voxels, counted from the foot as `show_slice` counts.

    Parameters
    ----------
    labels : SimpleITK.Image
        Label map, 0 background.

    Returns
    -------
    int
    """
    return _fullest(_volume(labels, "label map").array)


def _fullest(labels: np.ndarray) -> int:
    return int(np.argmax(np.count_nonzero(labels, axis=(1, 2))))


@in_style()
def show_slice(
    ax: Axes,
    image: sitk.Image,
    *,
    masks: sitk.Image | None = None,
    given: sitk.Image | None = None,
    index: int | None = None,
    title: str = "",
) -> Axes:
    """One axial slice of CT in a window of 400 HU about 40 HU, with the organs segmented.

    It is in mm, with R at the left and L at the right; a legend names the masks, where there are any.
    ``ax.images[0].set_clim(low, high)`` sets another window.

    Parameters
    ----------
    image : SimpleITK.Image
        CT, HU.
    masks : SimpleITK.Image, optional
        Label map on the image's grid, 0 background, 1 liver, 2 spleen.
    given : SimpleITK.Image, optional
        A second label map to compare with, drawn dashed and white.
    index : int, optional
        Slice, counted from the foot; where not given, the one that holds most of the label map, or the middle one.
    title : str
        Title of the panel.

    Raises
    ------
    DataError
        If an image has not three dimensions, a label map another shape, or the index lies outside.
    """
    volume = _volume(image, "image")
    labels = None if masks is None else _volume(masks, "label map", volume).array
    other = None if given is None else _volume(given, "given label map", volume).array
    if index is None:
        index = len(volume.array) // 2 if labels is None or not labels.any() else _fullest(labels)
    _show_plane(ax, volume, index)
    named = [] if labels is None else _draw_masks(ax, labels[index], volume.edges)
    if other is not None:
        _draw_masks(ax, other[index], volume.edges, given=True)
        named.append(Line2D([], [], color="white", linestyle="dashed", linewidth=1.3, label="Given"))
    _scale_bar(ax)
    _name_masks(ax, named)
    ax.set_title(title)
    return ax


def _show_plane(ax: Axes, volume: LpsVolume, index: int) -> None:
    """One axial slice in mm, without axes, and the letters of the patient's sides."""
    last = len(volume.array) - 1
    if not 0 <= index <= last:
        raise DataError("index", f"must be 0 to {last}", index, "Choose a slice of the image.")
    picture = volume.array[index]
    height, width = np.multiply(picture.shape, volume.edges[1:])
    low, high = _WINDOW_HU
    ax.set_facecolor("black")
    ax.imshow(picture, cmap="gray", vmin=low, vmax=high, extent=(0, width, height, 0), aspect="equal")
    for text, x, side in (("R", 0.02, "left"), ("L", 0.98, "right")):
        look = {"color": "white", "fontsize": SMALL_PT, "fontweight": "bold"}
        ax.text(x, 0.5, text, transform=ax.transAxes, ha=side, va="center", **look)
    ax.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _draw_masks(ax: Axes, labels: np.ndarray, edges: tuple[float, ...], *, given: bool = False) -> list[Line2D]:
    """Contours of the organs of one slice; what a legend names them by."""
    drawn = []
    for number, organ in enumerate(ORGANS, start=1):
        inside = labels == number
        if inside.any():
            colour = "white" if given else ORGAN_COLOURS[organ]
            # A rim of background closes the mask of an organ that touches the edge.
            closed = np.pad(inside.astype(float), 1)
            y, x = ((np.arange(count) - 0.5) * edge for count, edge in zip(closed.shape, edges[1:], strict=True))
            style = "dashed" if given else "solid"
            ax.contour(x, y, closed, levels=[0.5], colors=[colour], linewidths=1.3, linestyles=style)
            drawn.append(Line2D([], [], color=colour, linewidth=2, label=organ.capitalize()))
    return drawn


def _scale_bar(ax: Axes) -> None:
    width, height = ax.get_xlim()[1], ax.get_ylim()[0]
    if 0.8 * width > _SCALE_BAR_MM:
        x, y = 0.04 * width, 0.95 * height
        ax.plot([x, x + _SCALE_BAR_MM], [y, y], color="white", linewidth=2)
        text = f"{_SCALE_BAR_MM / 10:g} cm"
        ax.text(x, y - 0.02 * height, text, color="white", fontsize=SMALL_PT, va="bottom")


def _name_masks(ax: Axes, drawn: list[Line2D]) -> None:
    if drawn:
        box = {"frameon": True, "facecolor": "black", "edgecolor": "none", "framealpha": 0.6}
        ax.legend(handles=drawn, loc="upper left", labelcolor="white", handlelength=1.2, labelspacing=0.25, **box)


@in_style()
def show_side_by_side(
    axes: np.ndarray | Sequence[Axes], images: Mapping[str, sitk.Image], labels: Mapping[str, sitk.Image]
) -> np.ndarray:
    """The contrast phases of one patient, or other images of him, at one axial slice.

    Parameters
    ----------
    axes : array of Axes
        At least as many panels as images.
    images : mapping of str to SimpleITK.Image
        CT by phase, HU; the phase is the panel's title.
    labels : mapping of str to SimpleITK.Image
        Label maps by phase; a phase may be without. The slice holds most of the first one, or is the middle one;
        images with fewer slices take their last.

    Returns
    -------
    ndarray of Axes
        One an image; the masks are named in the first, which has the scale bar too.

    Raises
    ------
    DataError
        As `show_slice`, or if there are fewer panels than images.
    """
    drawn = panel_list(axes, len(images), "images side by side")
    segmented = [labels[phase] for phase in images if phase in labels]
    chosen = largest_slice(segmented[0]) if segmented else None
    for ax, (phase, image) in zip(drawn, images.items(), strict=True):
        volume = _volume(image, f"image, {phase}")
        count = len(volume.array)
        index = count // 2 if chosen is None else min(chosen, count - 1)
        _show_plane(ax, volume, index)
        named = []
        if phase in labels:
            masks = _volume(labels[phase], f"label map, {phase}", volume)
            named = _draw_masks(ax, masks.array[index], volume.edges)
        if ax is drawn[0]:
            _scale_bar(ax)
            _name_masks(ax, named)
        ax.set_title(phase[:1].upper() + phase[1:])
    return np.array(drawn, dtype=object)
