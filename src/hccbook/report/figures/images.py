"""Pictures of CT, as a radiologist looks at them.

An image is either a ``SimpleITK.Image``, which is turned to LPS here, or an array (z, y, x) that runs
from the patient's right to left (x), front to back (y) and foot to head (z), with its spacing (z, y, x) in mm.
In axial and coronal pictures the patient's right is on the left; front, or head, is at the top.
A sagittal picture has the front on the left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import SimpleITK as sitk
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from hccbook.errors import DataError
from hccbook.report.figures.style import (
    BLACK,
    ORGAN_COLOURS,
    PHASE_COLOURS,
    SMALL_PT,
    in_style,
    panel_list,
    series_look,
)
from hccbook.settings import ORGANS

Volume = sitk.Image | np.ndarray

_AXES = {"axial": 0, "coronal": 1, "sagittal": 2}
_SIDES = {"axial": ("R", "L", "A", "P"), "coronal": ("R", "L", "S", "I"), "sagittal": ("A", "P", "S", "I")}


def _volume(image: Volume, spacing: Sequence[float] | None, place: str) -> tuple[np.ndarray, tuple[float, ...]]:
    """Array (z, y, x) in LPS order with its spacing (z, y, x), mm."""
    if isinstance(image, sitk.Image):
        if image.GetDimension() != 3:
            raise DataError(place, "must have three dimensions", image.GetDimension(), "Pass the whole volume.")
        turned = sitk.DICOMOrient(image, "LPS")
        return sitk.GetArrayFromImage(turned), turned.GetSpacing()[::-1]
    array = np.asarray(image)
    if array.ndim != 3:
        raise DataError(place, "must have three dimensions (z, y, x)", array.shape, "Pass the whole volume.")
    spacing = (1.0, 1.0, 1.0) if spacing is None else tuple(float(edge) for edge in spacing)
    if len(spacing) != 3 or min(spacing) <= 0:
        raise DataError(place, "spacing must be three positive lengths (z, y, x) in mm", spacing, "Correct it.")
    return array, spacing


def _plane(array: np.ndarray, plane: str, index: int) -> np.ndarray:
    picture = array.take(index, axis=_AXES[plane])
    # Rows of a coronal or sagittal cut run from foot to head; a picture's first row is its top.
    return picture if plane == "axial" else picture[::-1]


def largest_slice(labels: Volume, plane: str = "axial", spacing: Sequence[float] | None = None) -> int:
    """Position of the slice that holds most labelled voxels, counted as `show_slice` counts.

    Parameters
    ----------
    labels : SimpleITK.Image or ndarray of int, shape (z, y, x)
        Label map, 0 background.
    plane : {'axial', 'coronal', 'sagittal'}
        Plane.
    spacing : sequence of float, optional
        Voxel edges (z, y, x) of an array, mm.

    Returns
    -------
    int
    """
    _check_plane(plane)
    array, _ = _volume(labels, spacing, "label map")
    others = tuple(axis for axis in range(3) if axis != _AXES[plane])
    return int(np.argmax(np.count_nonzero(array, axis=others)))


def _check_plane(plane: str) -> None:
    if plane not in _AXES:
        raise DataError("plane", f"must be one of {', '.join(_AXES)}", repr(plane), "Check the spelling.")


@in_style()
def show_slice(
    ax: Axes,
    image: Volume,
    *,
    masks: Volume | None = None,
    given: Volume | None = None,
    plane: str = "axial",
    index: int | None = None,
    spacing: Sequence[float] | None = None,
    window_width: float = 400.0,
    window_level: float = 40.0,
    organs: Sequence[str] = ORGANS,
    legend: bool = True,
    scale_bar_mm: float = 50.0,
    title: str | None = None,
) -> Axes:
    """One slice of CT in a window, with the organs segmented.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Panel.
    image : SimpleITK.Image or ndarray, shape (z, y, x)
        CT, HU.
    masks : SimpleITK.Image or ndarray of int, shape (z, y, x), optional
        Label map on the image's grid, 0 background and then `organs` in order.
    given : SimpleITK.Image or ndarray of int, shape (z, y, x), optional
        A second label map to compare with, drawn dashed and white.
    plane : {'axial', 'coronal', 'sagittal'}
        Plane of the picture.
    index : int, optional
        Slice, counted from foot, front or right in LPS order; where not given, the one that holds most
        of the label map, or the middle one.
    spacing : sequence of float, optional
        Voxel edges (z, y, x) of an array, mm; an image carries its own.
    window_width, window_level : float
        Grey scale, HU: black at level - width / 2, white at level + width / 2.
    organs : sequence of str
        Names of the labels 1, 2, ...
    legend : bool
        Whether the masks are named, where there are any in the slice.
    scale_bar_mm : float
        Length of the scale bar, mm; 0 for none.
    title : str, optional
        Title of the panel.

    Returns
    -------
    matplotlib.axes.Axes
        The same panel, in mm, with R or A at the left, L or P at the right.

    Raises
    ------
    DataError
        If an image has not three dimensions, the label map another shape, the plane is unknown,
        the index lies outside, or the window is not positive.
    """
    _check_plane(plane)
    array, edges = _volume(image, spacing, "image")
    labels = None
    if masks is not None:
        labels, _ = _volume(masks, spacing, "label map")
        if labels.shape != array.shape:
            raise DataError(
                "label map", "must lie on the image's grid", f"{labels.shape} on {array.shape}", "Resample it."
            )
    other = None
    if given is not None:
        other, _ = _volume(given, spacing, "given label map")
        if other.shape != array.shape:
            raise DataError(
                "given label map", "must lie on the image's grid", f"{other.shape} on {array.shape}", "Resample it."
            )
    axis = _AXES[plane]
    if index is None:
        index = array.shape[axis] // 2 if labels is None or not labels.any() else largest_slice(labels, plane)
    if not 0 <= index < array.shape[axis]:
        raise DataError("index", f"must be 0 to {array.shape[axis] - 1}", index, "Choose a slice of the image.")
    if window_width <= 0:
        raise DataError("window width", "must be positive", window_width, "Give it in HU.")
    down, across = (edge for place, edge in enumerate(edges) if place != axis)
    picture = _plane(array, plane, index)
    rows, columns = picture.shape
    ax.set_facecolor("black")
    ax.imshow(
        picture,
        cmap="gray",
        vmin=window_level - window_width / 2,
        vmax=window_level + window_width / 2,
        extent=(0, columns * across, rows * down, 0),
        aspect="equal",
    )
    drawn = []
    if labels is not None:
        cut = _plane(labels, plane, index)
        for number, organ in enumerate(organs, start=1):
            if not (cut == number).any():
                continue
            colour = ORGAN_COLOURS.get(organ, series_look("", number).color)
            _draw_rim(ax, cut == number, across, down, colour, "solid")
            drawn.append(Line2D([], [], color=colour, linewidth=2, label=organ.capitalize()))
    if other is not None:
        cut = _plane(other, plane, index)
        for number in range(1, len(organs) + 1):
            if (cut == number).any():
                _draw_rim(ax, cut == number, across, down, "white", "dashed")
        drawn.append(Line2D([], [], color="white", linestyle="dashed", linewidth=1.3, label="Given"))
    left, right, *_ = _SIDES[plane]
    for text, x, align in ((left, 0.02, "left"), (right, 0.98, "right")):
        ax.text(
            x,
            0.5,
            text,
            transform=ax.transAxes,
            ha=align,
            va="center",
            color="white",
            fontsize=SMALL_PT,
            fontweight="bold",
        )
    if scale_bar_mm and scale_bar_mm < 0.8 * columns * across:
        x, y = 0.04 * columns * across, 0.95 * rows * down
        ax.plot([x, x + scale_bar_mm], [y, y], color="white", linewidth=2)
        ax.text(
            x,
            y - 0.02 * rows * down,
            f"{scale_bar_mm / 10:g} cm",
            color="white",
            fontsize=SMALL_PT,
            va="bottom",
        )
    if drawn and legend:
        ax.legend(
            handles=drawn,
            loc="upper left",
            labelcolor="white",
            handlelength=1.2,
            labelspacing=0.25,
            frameon=True,
            facecolor="black",
            edgecolor="none",
            framealpha=0.6,
        )
    ax.set(xlim=(0, columns * across), ylim=(rows * down, 0))
    ax.set_xticks([])
    ax.set_yticks([])
    for side in ax.spines.values():
        side.set_visible(False)
    if title is not None:
        ax.set_title(title)
    return ax


def _draw_rim(ax: Axes, inside: np.ndarray, across: float, down: float, colour: str, style: str) -> None:
    """Mask of the pixels `inside`, pixels `across` by `down` mm."""
    rows, columns = inside.shape
    # A rim of background closes the mask of an organ that touches the edge.
    closed = np.pad(inside.astype(float), 1)
    x, y = (np.arange(columns + 2) - 0.5) * across, (np.arange(rows + 2) - 0.5) * down
    ax.contour(x, y, closed, levels=[0.5], colors=[colour], linewidths=1.3, linestyles=style)


def phases_strip(
    axes: np.ndarray | Sequence[Axes],
    images: Mapping[str, Volume],
    labels: Mapping[str, Volume] | Volume | None = None,
    *,
    plane: str = "axial",
    index: int | None = None,
    spacing: Sequence[float] | None = None,
    window_width: float = 400.0,
    window_level: float = 40.0,
) -> np.ndarray:
    """The contrast phases of one patient side by side, at one slice.

    Parameters
    ----------
    axes : array of Axes
        At least as many panels as phases.
    images : mapping of str to SimpleITK.Image or ndarray, shape (z, y, x)
        CT by phase, HU.
    labels : mapping of str to label map, or one label map, optional
        Masks by phase, or those of all phases.
    plane : {'axial', 'coronal', 'sagittal'}
        Plane of the pictures.
    index : int, optional
        Slice, as `show_slice` counts; where not given, chosen on the first phase that has a label map.
        Phases with fewer slices take their last.
    spacing : sequence of float, optional
        Voxel edges (z, y, x) of arrays, mm.
    window_width, window_level : float
        Grey scale, HU.

    Returns
    -------
    ndarray of Axes
        One a phase; the masks are named in the first.

    Raises
    ------
    DataError
        As `show_slice`, or if there are fewer panels than phases.
    """
    _check_plane(plane)
    by_phase = labels if isinstance(labels, Mapping) else {} if labels is None else dict.fromkeys(images, labels)
    drawn = panel_list(axes, len(images), "contrast phases")
    if index is None:
        segmented = next((by_phase[phase] for phase in images if phase in by_phase), None)
        if segmented is not None:
            index = largest_slice(segmented, plane, spacing)
    for position, (ax, (phase, image)) in enumerate(zip(drawn, images.items(), strict=True)):
        last = _volume(image, spacing, f"image, {phase}")[0].shape[_AXES[plane]] - 1
        show_slice(
            ax,
            image,
            masks=by_phase.get(phase),
            plane=plane,
            index=None if index is None else min(index, last),
            spacing=spacing,
            window_width=window_width,
            window_level=window_level,
            legend=position == 0,
            scale_bar_mm=50.0 if position == 0 else 0.0,
            title=phase.capitalize(),
        )
    return np.array(drawn, dtype=object)


def before_after(
    axes: np.ndarray | Sequence[Axes],
    before: Volume,
    after: Volume,
    *,
    titles: tuple[str, str] = ("As acquired", "Preprocessed"),
    windows: tuple[tuple[float, float], tuple[float, float]] = ((2000.0, 0.0), (200.0, 40.0)),
    plane: str = "axial",
    fraction: float = 0.5,
    spacings: tuple[Sequence[float] | None, Sequence[float] | None] = (None, None),
    masks: tuple[Volume | None, Volume | None] = (None, None),
) -> np.ndarray:
    """One slice before and after a step of preprocessing, such as resampling, windowing or discretisation.

    Parameters
    ----------
    axes : array of Axes
        Two panels.
    before, after : SimpleITK.Image or ndarray, shape (z, y, x)
        The image before and after; on any two grids that cover the same body.
    titles : pair of str
        Titles of the panels.
    windows : pair of pairs of float
        Width and level of each panel's grey scale, in the unit of its image.
    plane : {'axial', 'coronal', 'sagittal'}
        Plane of the pictures.
    fraction : float
        Place of the slice along the volume, 0 to 1.
    spacings : pair of sequences of float, optional
        Voxel edges (z, y, x) of arrays, mm.
    masks : pair of label maps, optional
        Label map of each image.

    Returns
    -------
    ndarray of Axes, shape (2,)

    Raises
    ------
    DataError
        As `show_slice`, or if `fraction` lies outside 0 to 1.
    """
    _check_plane(plane)
    if not 0 <= fraction <= 1:
        raise DataError("fraction", "must lie between 0 and 1", fraction, "Give the slice's place along the volume.")
    drawn = panel_list(axes, 2, "before and after")
    for position, (ax, image) in enumerate(zip(drawn, (before, after), strict=True)):
        array, _ = _volume(image, spacings[position], titles[position])
        width, level = windows[position]
        show_slice(
            ax,
            image,
            masks=masks[position],
            plane=plane,
            index=min(int(fraction * array.shape[_AXES[plane]]), array.shape[_AXES[plane]] - 1),
            spacing=spacings[position],
            window_width=width,
            window_level=level,
            title=titles[position],
            scale_bar_mm=50.0 if position == 0 else 0.0,
        )
    return np.array(drawn, dtype=object)


@in_style()
def plot_hu_histogram(
    ax: Axes,
    values: Mapping[str, np.ndarray],
    *,
    title: str | None = None,
    bin_width: float = 5.0,
    limits: tuple[float, float] = (-60.0, 260.0),
) -> Axes:
    """Histogram of an organ's HU, a mask a phase.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Panel.
    values : mapping of str to ndarray, shape (n_voxels,)
        HU of the organ's voxels by phase.
    title : str, optional
        Title of the panel, such as the organ.
    bin_width : float
        Width of a bar, HU.
    limits : pair of float
        Ends of the axis, HU; voxels outside are left out of the picture.

    Returns
    -------
    matplotlib.axes.Axes
        The same panel; areas are one, so that phases of different size compare.

    Raises
    ------
    DataError
        If a phase has no voxel within the limits.
    """
    edges = np.arange(limits[0], limits[1] + bin_width, bin_width)
    for position, (phase, voxels) in enumerate(values.items()):
        voxels = np.asarray(voxels, dtype=float).ravel()
        if not ((voxels >= edges[0]) & (voxels <= edges[-1])).any():
            raise DataError(
                f"HU, {phase}", f"must have voxels within {limits}", f"none of {voxels.size}", "Check the mask."
            )
        look = series_look("", position)
        colour = PHASE_COLOURS.get(phase, look.color)
        ax.hist(
            voxels,
            bins=edges,
            density=True,
            histtype="step",
            color=colour,
            linewidth=1.6,
            linestyle=look.linestyle,
            label=phase.capitalize(),
        )
    ax.set(xlim=(edges[0], edges[-1]), xlabel="HU", ylabel="Share of voxels")
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    handles = [
        Line2D([], [], color=PHASE_COLOURS.get(phase, BLACK), linestyle=series_look("", position).linestyle)
        for position, phase in enumerate(values)
    ]
    ax.legend(handles, [phase.capitalize() for phase in values], loc="upper right")
    if title is not None:
        ax.set_title(title)
    return ax
