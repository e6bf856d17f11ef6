"""Overlap of outlines: Dice by phase and organ."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hccbook.figures.style import BLACK, ORGAN_COLOURS, SMALL_PT, in_style
from hccbook.tables import require_columns

DICE_COLUMNS = ("patient", "phase", "organ", "dice")


@in_style()
def plot_dice(ax: Axes, dice: pd.DataFrame, *, printed: Mapping[str, float] | None = None) -> Axes:
    """Dice of each patient, by phase and organ.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Panel.
    dice : pandas.DataFrame
        Columns patient, phase, organ, dice (0 to 1); a row a patient, phase and organ.
    printed : mapping of str to float, optional
        A paper's Dice by organ, drawn as a line.

    Returns
    -------
    matplotlib.axes.Axes
        The same panel; points of one column are spread sideways in order of their value, for legibility only.

    Raises
    ------
    DataError
        If a column is missing.

    References
    ----------
    aMAP-CT, Results, Model construction.
    """
    require_columns(dice, DICE_COLUMNS, "Dice")
    phases = list(dict.fromkeys(dice["phase"]))
    organs = list(dict.fromkeys(dice["organ"]))
    slot = 0.8 / len(organs)
    for place, organ in enumerate(organs):
        colour = ORGAN_COLOURS.get(organ, BLACK)
        for position, phase in enumerate(phases):
            values = np.sort(dice.loc[(dice["phase"] == phase) & (dice["organ"] == organ), "dice"].to_numpy(float))
            centre = position + (place - (len(organs) - 1) / 2) * slot
            # Neighbours in value get different places: left, right, middle, ...
            shift = (np.arange(len(values)) * 0.382 % 1 - 0.5) * 0.7 * slot
            ax.scatter(
                centre + shift,
                values,
                s=22,
                color=colour,
                edgecolor=BLACK,
                linewidth=0.4,
                zorder=2,
                label=organ.capitalize() if position == 0 else None,
            )
        if printed is not None and organ in printed:
            ax.axhline(
                printed[organ],
                color=colour,
                linewidth=1.2,
                linestyle=(0, (4, 2)),
                zorder=1,
                label=f"{organ.capitalize()}, printed {printed[organ]:g}",
            )
    lowest = float(dice["dice"].min())
    ax.set(xlim=(-0.5, len(phases) - 0.5), ylim=(max(0.0, np.floor(lowest * 10) / 10 - 0.02), 1.005))
    ax.set(ylabel="Dice")
    ax.set_xticks(range(len(phases)), [phase.capitalize() for phase in phases])
    ax.tick_params(axis="x", length=0)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=SMALL_PT, handletextpad=0.4)
    return ax
