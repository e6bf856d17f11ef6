"""One look for every figure: sizes, colours, panels, the SYNTHETIC stamp, saving."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.transforms import ScaledTranslation, Transform

from hccbook.errors import DataError
from hccbook.report.tables import cohort_title
from hccbook.store import atomic_path

BOOK_WIDTH_IN = 7.4
"""Width of the book's text column, inches."""

FONT_PT = 9.0
"""Size of text, points; no text of a figure is below `SMALL_PT`."""

SMALL_PT = 8.0
"""Size of tick labels, legends and notes, points."""

SCREEN_DPI = 110
"""Resolution at which a notebook shows a figure, dots per inch."""

# Okabe and Ito (2008), told apart with every common colour vision deficiency.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
VERMILION, SKY, BLACK, GREY = "#D55E00", "#56B4E9", "#000000", "#767676"

STYLE = MappingProxyType(
    {
        "figure.dpi": SCREEN_DPI,
        "figure.facecolor": "white",
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": FONT_PT,
        "axes.titlesize": FONT_PT,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": FONT_PT,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.unicode_minus": True,
        "xtick.labelsize": SMALL_PT,
        "ytick.labelsize": SMALL_PT,
        "legend.fontsize": SMALL_PT,
        "legend.title_fontsize": SMALL_PT,
        "legend.frameon": False,
        "legend.handlelength": 1.8,
        "legend.borderaxespad": 0.3,
        "lines.linewidth": 1.6,
        "lines.solid_capstyle": "butt",
        "image.interpolation": "nearest",
        # Text stays text in vector files, and the same figure gives the same bytes.
        "svg.fonttype": "none",
        "svg.hashsalt": "hccbook",
        "pdf.fonttype": 42,
    }
)
"""Matplotlib settings of the book's figures."""

STAMP_TEXT = "SYNTHETIC DATA"
"""What the stamp says."""

_STAMP_ID = "synthetic-stamp"
_STAMP_STRIP_PT = 17.0


def in_style():
    """Context, and decorator, in which matplotlib's settings are those of the book."""
    return mpl.rc_context(dict(STYLE))


@dataclass(frozen=True)
class LineLook:
    """Colour, dash and width of a line.

    Attributes
    ----------
    color : str
        Matplotlib colour.
    linestyle : str or tuple
        Matplotlib dash; lines differ in it as well as in colour, for print without colour.
    linewidth : float
        Points.
    """

    color: str
    linestyle: str | tuple = "-"
    linewidth: float = 1.6

    def keywords(self) -> dict[str, object]:
        """Keywords of `Axes.plot`."""
        return {"color": self.color, "linestyle": self.linestyle, "linewidth": self.linewidth}


_MAIN = LineLook(BLUE, "-", 2.0)
_MODEL_LOOKS: Mapping[str, LineLook] = MappingProxyType(
    {
        "ALARM": _MAIN,
        "aMAP-CT": _MAIN,
        "Radiomics": LineLook(ORANGE, (0, (5, 1.5))),
        "aMAP + liver": LineLook(ORANGE, (0, (5, 1.5))),
        "Deep learning": LineLook(GREEN, (0, (4, 1.2, 1, 1.2))),
        "aMAP + spleen": LineLook(GREEN, (0, (4, 1.2, 1, 1.2))),
        "aMAP": LineLook(PURPLE, (0, (1.5, 1.2))),
        "Treat all": LineLook(GREY, "-", 1.2),
        "Treat none": LineLook(BLACK, "-", 1.2),
    }
)
_OTHER_LOOKS = (
    LineLook(BLUE, "-"),
    LineLook(ORANGE, (0, (5, 1.5))),
    LineLook(GREEN, (0, (4, 1.2, 1, 1.2))),
    LineLook(PURPLE, (0, (1.5, 1.2))),
    LineLook(VERMILION, (0, (8, 1.5))),
    LineLook(SKY, (0, (6, 1.2, 1, 1.2, 1, 1.2))),
)


def series_look(title: str, position: int = 0) -> LineLook:
    """Look of a line by its printed name.

    Parameters
    ----------
    title : str
        Printed name of a model or series; known models look the same in every figure.
    position : int
        Rank among the series drawn, for names that are not known.

    Returns
    -------
    LineLook
    """
    return _MODEL_LOOKS.get(title, _OTHER_LOOKS[position % len(_OTHER_LOOKS)])


GROUP_COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "Low risk": BLUE,
        "Medium risk": ORANGE,
        "High risk": VERMILION,
        "Super high risk": VERMILION,
        "Not needed": "#9A9A9A",
    }
)
"""Colour by printed name of a risk group."""

OUTCOME_COLOURS: Mapping[int, str] = MappingProxyType({0: "#9A9A9A", 1: VERMILION})
"""Colour by outcome, 0 no HCC and 1 HCC."""

ORGAN_COLOURS: Mapping[str, str] = MappingProxyType({"liver": ORANGE, "spleen": SKY})
"""Colour by organ, of masks on CT and of points."""

PHASE_COLOURS: Mapping[str, str] = MappingProxyType({"arterial": VERMILION, "venous": BLUE, "delayed": GREEN})
"""Colour by contrast phase."""


def group_colour(title: str, position: int = 0) -> str:
    """Colour of a risk group by its printed name, or by its rank where the name is not known."""
    return GROUP_COLOURS.get(title, (BLUE, VERMILION, ORANGE, GREEN, PURPLE)[position % 5])


@in_style()
def panels(
    rows: int = 1,
    columns: int = 1,
    *,
    height_in: float = 3.0,
    width_in: float = BOOK_WIDTH_IN,
    share_y: bool = False,
    letters: bool = False,
    width_ratios: Iterable[float] | None = None,
) -> tuple[Figure, np.ndarray]:
    """New figure in the book's style.

    Parameters
    ----------
    rows, columns : int
        Panels down and across.
    height_in, width_in : float
        Size of the figure, inches.
    share_y : bool
        Whether all panels have one vertical scale.
    letters : bool
        Whether panels carry A, B, C, ... above their left corner.
    width_ratios : iterable of float, optional
        Widths of the columns beside one another.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : ndarray of Axes, shape (rows, columns)
        Always two-dimensional.
    """
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(width_in, height_in),
        layout="constrained",
        sharey=share_y,
        squeeze=False,
        width_ratios=None if width_ratios is None else list(width_ratios),
    )
    figure.get_layout_engine().set(w_pad=5 / 72, h_pad=4 / 72)
    if letters:
        for letter, ax in zip(string.ascii_uppercase, axes.flat, strict=False):
            letter_panel(ax, letter)
    return figure, axes


def letter_panel(ax: Axes, letter: str) -> Axes:
    """Write a panel's letter above its left corner, left of its title."""
    with in_style():
        ax.annotate(
            letter,
            xy=(0, 1),
            xycoords="axes fraction",
            xytext=(-6, 6),
            textcoords="offset points",
            ha="right",
            va="baseline",
            fontsize=FONT_PT + 2,
            fontweight="bold",
        )
    return ax


def panel_title(cohort: str) -> str:
    """Title of a cohort's panel, without the word that three panels side by side have no room for."""
    return cohort_title(cohort).removesuffix(" cohort")


def is_stamped(figure: Figure) -> bool:
    """Whether the figure carries the SYNTHETIC stamp."""
    return any(text.get_gid() == _STAMP_ID for text in figure.texts)


def stamp_synthetic(figure: Figure) -> Figure:
    """Write SYNTHETIC DATA in the upper right corner of a figure, once.

    The layout keeps a strip free for it, so that it covers nothing.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Figure; one without a layout engine is given the constrained one.

    Returns
    -------
    matplotlib.figure.Figure
        The same figure.
    """
    if is_stamped(figure):
        return figure
    if figure.get_layout_engine() is None:
        figure.set_layout_engine("constrained")
    strip = _STAMP_STRIP_PT / 72 / figure.get_size_inches()[1]
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - strip))
    with in_style():
        text = figure.text(
            1 - 6 / 72 / figure.get_size_inches()[0],
            1 - strip / 2,
            STAMP_TEXT,
            ha="right",
            va="center",
            fontsize=SMALL_PT,
            fontweight="bold",
            color=VERMILION,
            bbox={"boxstyle": "square,pad=0.25", "facecolor": "white", "edgecolor": VERMILION, "linewidth": 0.8},
        )
    text.set_gid(_STAMP_ID)
    # In the layout, so that a notebook, which cuts a figure to its content, does not cut it off.
    text.set_in_layout(True)
    return figure


def save_figure(figure: Figure, path: str | Path, *, synthetic: bool, dpi: int) -> Path:
    """Write a figure, stamped where its patients are simulated.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Figure.
    path : path-like
        File; its ending gives the format (png, svg, pdf). Folders are made.
    synthetic : bool
        Whether the figure was made from simulated patients.
    dpi : int
        Dots per inch, of pictures within vector files too.

    Returns
    -------
    pathlib.Path
        The file, written whole or not at all; the same figure gives the same bytes.

    Raises
    ------
    DataError
        If the format is another, or a stamped figure is said not to be synthetic.
    """
    path = Path(path)
    # Dates and versions in a file would make two equal figures differ.
    metadata = {
        ".png": {"Software": None},
        ".svg": {"Date": None, "Creator": None},
        ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }
    if path.suffix not in metadata:
        raise DataError(path.name, f"must end in {', '.join(metadata)}", path.suffix or "no ending", "Rename the file.")
    if synthetic:
        stamp_synthetic(figure)
    elif is_stamped(figure):
        raise DataError(
            path.name,
            "must be saved as synthetic, since it carries the stamp",
            "synthetic=False",
            "Pass synthetic=True, or draw the figure anew from the patients' data.",
        )
    with in_style(), atomic_path(path) as part:
        figure.savefig(part, dpi=dpi, metadata=metadata[path.suffix])
    return path


def beneath(ax: Axes, points: float) -> Transform:
    """Coordinates of a panel, moved down: (0, 0) lies so many points under its lower left corner.

    Unlike a negative fraction of the panel, this stays put while the layout is being found.
    """
    return ax.transAxes + ScaledTranslation(0, -points / 72, ax.figure.dpi_scale_trans)


@in_style()
def legend_below(axes: Sequence[Axes], *, columns: int) -> Legend:
    """One legend for a row of panels, centred beneath their horizontal labels.

    Parameters
    ----------
    axes : sequence of Axes
        Panels of one row from left to right; the first one's lines are named. Each must have its
        horizontal label, to which blank lines are added that keep the legend's place free.
    columns : int
        Names side by side.

    Returns
    -------
    matplotlib.legend.Legend
    """
    handles, labels = axes[0].get_legend_handles_labels()
    rows = -(-len(labels) // columns)
    for ax in axes:
        ax.set_xlabel(ax.get_xlabel() + "\n" + " \n" * rows)
    middle = axes[(len(axes) - 1) // 2]
    # Between two panels in the middle the centre is the gap's, a little right of the left one.
    x = 0.5 if len(axes) % 2 else 1.1
    legend = middle.legend(
        handles,
        labels,
        ncols=columns,
        loc="upper center",
        bbox_to_anchor=(x, 0),
        bbox_transform=beneath(middle, 36),
        columnspacing=1.4,
        borderpad=0,
    )
    # Its width is that of the row, and must not narrow the panel that it hangs from.
    legend.set_in_layout(False)
    return legend


def panel_list(axes: Axes | np.ndarray | Iterable[Axes], n: int, place: str) -> list[Axes]:
    """Axes in reading order, as many as there are panels to draw.

    Raises
    ------
    DataError
        If there are fewer Axes than panels.
    """
    flat = [axes] if isinstance(axes, Axes) else list(np.asarray(axes, dtype=object).flat)
    if len(flat) < n:
        raise DataError(place, f"needs {n} panels", f"{len(flat)} Axes", f"Make them with panels(1, {n}).")
    for spare in flat[n:]:
        spare.set_axis_off()
    return flat[:n]
