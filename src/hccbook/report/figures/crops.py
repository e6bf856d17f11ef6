"""Organ crops: what the network of the deep features sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from hccbook.errors import DataError
from hccbook.report.figures.style import SMALL_PT, in_style, panel_list


@in_style()
def show_crops(
    axes: np.ndarray | Sequence[Axes],
    crops: Mapping[str, np.ndarray],
    *,
    spacing_mm: float,
    reach: float = 4.0,
) -> np.ndarray:
    """Middle axial slice of each organ crop, in the scale that the network takes.

    Parameters
    ----------
    axes : array of Axes
        At least as many panels as crops.
    crops : mapping of str to ndarray, shape (z, y, x)
        Crop by title, such as "Liver, arterial"; 0 outside the organ.
    spacing_mm : float
        Edge of the voxels, mm.
    reach : float
        Value that is white; its negative is black.

    Returns
    -------
    ndarray of Axes
        One a crop; beneath each the size of its box in voxels (z, y, x).

    Raises
    ------
    DataError
        If a crop is not three-dimensional, or there are fewer panels than crops.

    References
    ----------
    aMAP-CT, Supplementary Fig. 4.
    """
    drawn = panel_list(axes, len(crops), "organ crops")
    for ax, (title, crop) in zip(drawn, crops.items(), strict=True):
        array = np.asarray(crop)
        if array.ndim != 3:
            raise DataError(f"crop, {title}", "must be three-dimensional (z, y, x)", array.shape, "Pass one crop.")
        middle = array[array.shape[0] // 2]
        rows, columns = middle.shape
        ax.imshow(
            middle,
            cmap="gray",
            vmin=-reach,
            vmax=reach,
            extent=(0, columns * spacing_mm, rows * spacing_mm, 0),
            aspect="equal",
        )
        ax.set_title(title)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.set_xlabel(" × ".join(str(edge) for edge in array.shape) + " voxels", fontsize=SMALL_PT)
        for side in ax.spines.values():
            side.set_linewidth(0.5)
    return np.array(drawn, dtype=object)
