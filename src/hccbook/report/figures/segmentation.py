"""Training of the segmentation, and overlap of masks: Dice by phase and organ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hccbook.report.figures.marks import CUTOFF
from hccbook.report.figures.style import BLACK, BLUE, ORANGE, ORGAN_COLOURS, in_style
from hccbook.report.tables import require_columns

_SMOOTHED_STEPS = 20


@in_style()
def plot_segmentation_loss(ax: Axes, losses: Sequence[float], pretraining: int) -> Axes:
    """Loss of the segmentation's training: every optimiser step as a point, and the mean of each 20 as a line.

    Parameters
    ----------
    losses : sequence of float
        Dice plus cross-entropy of each optimiser step, the pre-training's first.
    pretraining : int
        Steps of the pre-training.

    References
    ----------
    aMAP-CT, Methods: "a two-step process of pre-training and formal training".
    """
    parts = {"Pre-training, coarse": (0, losses[:pretraining]), "Formal training": (pretraining, losses[pretraining:])}
    for (name, (start, values)), colour in zip(parts.items(), (ORANGE, BLUE), strict=True):
        if not len(values):
            continue
        steps = start + 1 + np.arange(len(values))
        ax.plot(steps, values, ".", color=colour, markersize=2, alpha=0.35)
        count = max(1, len(values) // _SMOOTHED_STEPS)
        smooth = [[block.mean() for block in np.array_split(part, count)] for part in (steps, values)]
        ax.plot(*smooth, color=colour, label=name)
    ax.set(xlabel="Optimiser step", ylabel="Loss", ylim=(0, None), xlim=(0, len(losses) + 1))
    ax.legend(loc="upper right")
    return ax


@in_style()
def plot_dice(ax: Axes, dice: pd.DataFrame, *, printed: Mapping[str, float]) -> Axes:
    """Dice of each patient, by phase and organ.

    Points of one column are spread sideways in order of their value, for legibility only.

    Parameters
    ----------
    dice : pandas.DataFrame
        Columns patient, phase, organ, dice (0 to 1); one row per patient, phase and organ.
    printed : mapping of str to float
        A paper's Dice by organ, drawn as a line.

    Raises
    ------
    DataError
        If a column is missing.

    References
    ----------
    aMAP-CT, Results, Model construction.
    """
    require_columns(dice, ("patient", "phase", "organ", "dice"), "Dice")
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
            look = {"color": colour, "edgecolor": BLACK, "linewidth": 0.4, "zorder": 2}
            ax.scatter(centre + shift, values, s=22, label=None if position else organ.capitalize(), **look)
        if organ in printed:
            label = f"{organ.capitalize()}, printed {printed[organ]:g}"
            ax.axhline(printed[organ], **CUTOFF | {"color": colour, "linewidth": 1.2, "zorder": 1}, label=label)
    lowest = float(dice["dice"].min())
    ax.set(xlim=(-0.5, len(phases) - 0.5), ylim=(max(0.0, np.floor(lowest * 10) / 10 - 0.02), 1.005), ylabel="Dice")
    ax.set_xticks(range(len(phases)), [phase.capitalize() for phase in phases])
    ax.tick_params(axis="x", length=0)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handletextpad=0.4)
    return ax
