"""Organ crops: what the network of the deep features sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from hccbook.errors import DataError
from hccbook.report.figures.layout import panel_list
from hccbook.report.figures.style import SMALL_PT, in_style

_REACH = 4.0  # value of a crop that is white; its negative is black


@in_style()
def show_crops(axes: np.ndarray | Sequence[Axes], crops: Mapping[str, np.ndarray], *, spacing_mm: float) -> np.ndarray:
    """aMAP-CT Supplementary Fig. 4: middle axial slice of each organ crop, in the scale that the network takes.

    Parameters
    ----------
    axes : array of Axes
        At least as many panels as crops.
    crops : mapping of str to ndarray, shape (z, y, x)
        Crop by title, such as "Liver, arterial"; 0 outside the organ.
    spacing_mm : float
        Edge of the voxels, mm.

    Returns
    -------
    ndarray of Axes
        One a crop; beneath each the size of its box in voxels (z, y, x).

    Raises
    ------
    DataError
        If a crop is not three-dimensional, or there are fewer panels than crops.
    """
    drawn = panel_list(axes, len(crops), "organ crops")
    for ax, (title, crop) in zip(drawn, crops.items(), strict=True):
        array = np.asarray(crop)
        if array.ndim != 3:
            raise DataError(f"crop, {title}", "must be three-dimensional (z, y, x)", array.shape, "Pass one crop.")
        middle = array[array.shape[0] // 2]
        rows, columns = middle.shape
        extent = (0, columns * spacing_mm, rows * spacing_mm, 0)
        ax.imshow(middle, cmap="gray", vmin=-_REACH, vmax=_REACH, extent=extent, aspect="equal")
        ax.set(title=title, xticks=[], yticks=[])
        ax.set_xlabel(" × ".join(str(edge) for edge in array.shape) + " voxels", fontsize=SMALL_PT)
        ax.spines[:].set_linewidth(0.5)
    return np.array(drawn, dtype=object)
