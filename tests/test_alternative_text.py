"""What is said of pictures to those who cannot see them, and the check that it is said."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from hccbook.book import BookError, check_alternatives
from hccbook.book.alternative_text import alternative_text, describe_pictures

ROC = "figures.plot_panels(figures.plot_roc, axes[0], roc, auc)\nshow('alarm-fig-3', roc, figure)"


def test_text_is_heading_and_what_is_drawn():
    """The function's own summary follows the heading, without the papers' numbers and without marks."""
    text = alternative_text(ROC, "ALARM Fig. 3: *discrimination*")
    assert text == "ALARM Fig. 3: discrimination: ROC curves of one cohort, with each model's AUC in the legend."


def test_two_drawings_are_said_in_order_and_once():
    """Order is that of the code; a function that is called twice is said once."""
    source = "figures.plot_lasso_path(a)\nfigures.plot_lasso_error(b)\nfigures.plot_lasso_path(c)"
    text = alternative_text(source, "LASSO")
    assert text.index("Coefficients along") < text.index("Cross-validated error")
    assert text.count("Coefficients along") == 1


def test_cell_that_draws_nothing_known_has_its_heading():
    """Magic lines are passed over."""
    assert alternative_text("%matplotlib inline\nplt.plot(x)", "Grey levels") == "Grey levels"


def test_cells_with_pictures_and_no_others_get_a_text():
    """It stands where MyST-NB looks for it, beside what the cell has there already."""
    picture = nbformat.v4.new_output("display_data", data={"image/png": "AAAA"})
    drawing = nbformat.v4.new_code_cell(ROC, outputs=[picture], metadata={"mystnb": {"code_prompt_show": "Code"}})
    cells = [nbformat.v4.new_markdown_cell("# Title\n\n## Curves"), drawing, nbformat.v4.new_code_cell("1 + 1")]
    describe_pictures(nbformat.v4.new_notebook(cells=cells))
    options = drawing.metadata["mystnb"]
    assert options["image"]["alt"].startswith("Curves: ROC curves")
    assert options["code_prompt_show"] == "Code"
    assert "mystnb" not in cells[2].metadata


def test_text_that_a_notebook_gives_stays():
    """Written in the metadata of the cell, where its drawing has no function of the package."""
    picture = nbformat.v4.new_output("display_data", data={"image/png": "AAAA"})
    cell = nbformat.v4.new_code_cell(ROC, outputs=[picture], metadata={"mystnb": {"image": {"alt": "Two slices"}}})
    describe_pictures(nbformat.v4.new_notebook(cells=[cell]))
    assert cell.metadata["mystnb"]["image"]["alt"] == "Two slices"


@pytest.mark.parametrize("alternative", ["", 'alt=""', 'alt="../_images/0ab.png"', 'alt="0ab.png"'])
def test_picture_without_words_is_refused(tmp_path: Path, alternative: str):
    """No text, an empty one, and the name of the file."""
    (tmp_path / "page.html").write_text(f'<img src="../_images/0ab.png" {alternative}>', encoding="utf-8")
    with pytest.raises(BookError, match=r"page\.html: \.\./_images/0ab\.png"):
        check_alternatives(tmp_path)


def test_picture_with_words_passes(tmp_path: Path):
    """What came along in ``_static`` is not the book's."""
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "other.html").write_text('<img src="a.png">', encoding="utf-8")
    (tmp_path / "page.html").write_text('<img src="a.png" alt="ROC curves">', encoding="utf-8")
    check_alternatives(tmp_path)
