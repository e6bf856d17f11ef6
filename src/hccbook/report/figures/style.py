"""One look for every figure: sizes, colours, lines, the SYNTHETIC stamp, saving."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from hccbook.errors import DataError
from hccbook.report.tables import cohort_title
from hccbook.store import atomic_path

BOOK_WIDTH_IN = 7.4
"""Width of the book's text column, inches."""

FONT_PT = 9.0
"""Size of text, points; no text of a figure is below `SMALL_PT`."""

SMALL_PT = 8.0
"""Size of tick labels, legends and notes, points."""

# Okabe and Ito (2008), told apart with every common colour vision deficiency.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
VERMILION, SKY, BLACK, GREY = "#D55E00", "#56B4E9", "#000000", "#767676"

STYLE: Mapping[str, object] = {
    "figure.dpi": 110,  # at which a notebook shows a figure
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
"""Matplotlib settings of the book's figures."""

STAMP_TEXT = "SYNTHETIC DATA"
"""What the stamp says."""

_STAMP_ID = "synthetic-stamp"
_STAMP_STRIP_PT = 17.0


def in_style():
    """Context, and decorator, in which matplotlib's settings are those of the book."""
    return mpl.rc_context(STYLE)


LineLook = Mapping[str, object]
"""Keywords of `Axes.plot`: color, linestyle (lines differ in it too, for print without colour) and linewidth."""


def _look(color: str, linestyle: str | tuple = "-", linewidth: float = 1.6) -> LineLook:
    return {"color": color, "linestyle": linestyle, "linewidth": linewidth}


DASHED, _DASH_DOTTED, DOTTED = (0, (5, 1.5)), (0, (4, 1.2, 1, 1.2)), (0, (1.5, 1.2))
_MODEL_LOOKS: Mapping[str, LineLook] = {
    "ALARM": _look(BLUE, "-", 2.0),
    "aMAP-CT": _look(BLUE, "-", 2.0),
    "Radiomics": _look(ORANGE, DASHED),
    "aMAP + liver": _look(ORANGE, DASHED),
    "Deep learning": _look(GREEN, _DASH_DOTTED),
    "aMAP + spleen": _look(GREEN, _DASH_DOTTED),
    "aMAP": _look(PURPLE, DOTTED),
    "Treat all": _look(GREY, "-", 1.2),
    "Treat none": _look(BLACK, "-", 1.2),
}
_OTHER_LOOKS = (
    _look(BLUE),
    _look(ORANGE, DASHED),
    _look(GREEN, _DASH_DOTTED),
    _look(PURPLE, DOTTED),
    _look(VERMILION, (0, (8, 1.5))),
    _look(SKY, (0, (6, 1.2, 1, 1.2, 1, 1.2))),
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
    mapping of str to object
        Keywords of `Axes.plot`.
    """
    return _MODEL_LOOKS.get(title, _OTHER_LOOKS[position % len(_OTHER_LOOKS)])


PALE = "#9A9A9A"
"""Grey of what stands back: patients without HCC, controls, zeros."""

_GROUP_COLOURS: Mapping[str, str] = {
    "Low risk": BLUE,
    "Medium risk": ORANGE,
    "High risk": VERMILION,
    "Super high risk": VERMILION,
    "Not needed": PALE,
}

OUTCOME_COLOURS: Mapping[int, str] = {0: PALE, 1: VERMILION}
"""Colour by outcome, 0 no HCC and 1 HCC."""

ORGAN_COLOURS: Mapping[str, str] = {"liver": ORANGE, "spleen": SKY}
"""Colour by organ, of masks on CT and of points."""


def group_colour(title: str, position: int = 0) -> str:
    """Colour of a risk group by its printed name, or by its rank where the name is not known."""
    return _GROUP_COLOURS.get(title, (BLUE, VERMILION, ORANGE, GREEN, PURPLE)[position % 5])


_GROUP_DASHES: Mapping[str, object] = {"Low risk": DASHED, "Medium risk": _DASH_DOTTED}


def group_look(title: str, position: int = 0) -> LineLook:
    """Look of a risk group's curve: its colour, and a line that tells it from the others without colour."""
    return _look(group_colour(title, position), _GROUP_DASHES.get(title, "-"))


def panel_title(cohort: str) -> str:
    """Title of a cohort's panel, without the word that three panels side by side have no room for."""
    return "All patients" if cohort == "all" else cohort_title(cohort).removesuffix(" cohort")


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
    width, height = figure.get_size_inches()
    strip = _STAMP_STRIP_PT / 72 / height
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - strip))
    box = {"boxstyle": "square,pad=0.25", "facecolor": "white", "edgecolor": VERMILION, "linewidth": 0.8}
    look = {"ha": "right", "va": "center", "fontsize": SMALL_PT, "fontweight": "bold", "color": VERMILION, "bbox": box}
    with in_style():
        text = figure.text(1 - 6 / 72 / width, 1 - strip / 2, STAMP_TEXT, gid=_STAMP_ID, **look)
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
        hint = "Pass synthetic=True, or draw the figure anew from the patients' data."
        raise DataError(path.name, "must be saved as synthetic, since it carries the stamp", "synthetic=False", hint)
    with in_style(), atomic_path(path) as part:
        figure.savefig(part, dpi=dpi, metadata=metadata[path.suffix])
    return path
