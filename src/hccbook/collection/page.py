"""The page of a collection: every patient's volumes with a picture, what each was taken for, and what is open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
from PIL import Image

from hccbook.collection.decisions import EmptyCell
from hccbook.collection.phases import UNSURE
from hccbook.store import atomic_path

if TYPE_CHECKING:
    from hccbook.collection.manifest import Collection

_PAGE = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
).get_template("collection.html.j2")


@dataclass(frozen=True)
class _Card:
    """One volume on the page."""

    name: str
    size: tuple[int, int] | None
    phase: str
    sure: bool
    confidence: str
    use: str
    facts: str
    reason: str


def write_page(file: Path, collection: Collection, empty: Sequence[EmptyCell], manifest: str) -> None:
    """Write the page beside its pictures; it opens without a network and names patients by their keys alone.

    Parameters
    ----------
    file : pathlib.Path
        HTML file; the pictures ``P0001_1.png`` lie in its folder.
    collection : Collection
    empty : sequence of EmptyCell
    manifest : str
        Name of the manifest.
    """
    patients = []
    for patient, key in collection.keys.items():
        numbers = [number for number, volume in collection.volumes.items() if volume.patient == patient]
        cards = [_card(collection, number, file.parent) for number in numbers]
        # A column of the user's own table may be named in any way; what it holds is not shown here.
        left_open = [(cell.column, cell.reason) for cell in empty if cell.patient == patient and not cell.kept]
        patients.append(
            (key, [card for card in cards if card.name], [card for card in cards if not card.name], left_open)
        )
    used = {f"{card.name}.png" for _, cards, _, _ in patients for card in cards}
    for picture in file.parent.glob("P*_*.png"):
        if picture.name not in used:
            picture.unlink()
    page = _PAGE.render(patients=patients, manifest=manifest, leftovers=len(collection.tree.leftovers))
    with atomic_path(file) as part:
        part.write_text(page, encoding="utf-8")


def _card(collection: Collection, number: int, folder: Path) -> _Card:
    volume = collection.volumes[number]
    header = volume.header
    series = "" if header is None or header.number is None else f"series {header.number}"
    part = f"volume {volume.part} of {volume.parts}" if volume.parts > 1 else ""
    step = f", every {volume.step_mm:.3g} mm" if len(volume.along) > 1 else ""
    slices = f"{len(volume.along) or len(volume.files)} slices{step}"
    facts = ", ".join(filter(None, [series, part, slices]))
    if volume.left_out:
        return _Card("", None, "", False, "", "left out", facts, volume.left_out)
    name = collection.names[number]
    picture = folder / f"{name}.png"
    size = None
    if picture.is_file():
        with Image.open(picture) as drawn:
            size = drawn.size
    proposal = collection.proposals[number]
    use = collection.selections[volume.patient].uses.get(number, "not used")
    sure = proposal.phase != UNSURE
    return _Card(name, size, proposal.likeliest, sure, f"{proposal.confidence:.0%}", use, facts, proposal.evidence)
