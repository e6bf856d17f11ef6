"""Pictures on a dark page keep their grey values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydata_sphinx_theme
from PIL import Image

from hccbook.run import book_source_dir

_PAGE = """<!doctype html><html data-theme="dark"><head>{sheets}</head><body><div class="bd-content">
<div class="cell_output"><img src="grey.png" alt="grey"></div></div></body></html>"""


def test_dark_page_leaves_grey_values_alone(visit, tmp_path: Path) -> None:
    """Grey 100 of a picture is grey 100 on the screen; with the theme alone, which filters, it is not."""
    Image.fromarray(np.full((40, 40), 100, np.uint8)).save(tmp_path / "grey.png")
    theme = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static" / "styles"
    sheets = [theme / "pydata-sphinx-theme.css", book_source_dir() / "assets" / "hccbook.css"]
    shown = []
    for used in (sheets, sheets[:1]):
        links = "".join(f'<link rel="stylesheet" href="{sheet.as_uri()}">' for sheet in used)
        page = tmp_path / f"page_{len(used)}.html"
        page.write_text(_PAGE.format(sheets=links), encoding="utf-8")
        picture = visit(page).locator("img").screenshot(path=tmp_path / "seen.png")
        assert picture
        seen = np.asarray(Image.open(tmp_path / "seen.png").convert("L"))
        shown.append(int(seen[seen.shape[0] // 2, seen.shape[1] // 2]))
    assert shown[0] == 100
    assert shown[1] != 100
