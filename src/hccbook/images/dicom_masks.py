"""What DICOM's two kinds of masks share: which object is one, which of its parts is the organ, where it lies."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from hccbook.errors import MaskError
from hccbook.images.dicom_headers import read_header, text
from hccbook.images.remarks import collected, listed
from hccbook.images.series import frame_of_reference
from hccbook.settings import ORGANS

SEGMENTATION, STRUCTURES = "SEG", "RTSTRUCT"  # modalities of DICOM objects that hold masks

_LONGEST_LIST = 12  # names in an error; TotalSegmentator's objects hold more than a hundred


@dataclass(frozen=True)
class Part:
    """A segment of a SEG or a region of an RTSTRUCT."""

    number: int  # under which the object refers to it
    name: str  # its label or name, as the user who drew it wrote it
    organ: str = ""  # that its code stands for; empty where the code stands for none that is known


def modality(file: Path) -> str:
    """Modality of a DICOM object, empty where a file is none."""
    with collected():
        header = read_header(file)
    return "" if header is None else text(header, "Modality")


def choose_part(parts: Sequence[Part], name: str, organ: str | None, place: str) -> Part:
    """The one part that is meant.

    Parameters
    ----------
    parts : sequence of Part
    name : str
        Name that the user chose, upper and lower case alike; empty for the part whose name or code is the organ.
    organ : str or None
        Organ that the mask is of; None takes the only part there is.
    place : str
        How errors name the mask.

    Raises
    ------
    MaskError
        If no part or several ones match, or the one that matches is said to be another organ.
    """
    if name:
        matches = [part for part in parts if _plain(part.name) == _plain(name)]
        exact = [part for part in matches if part.name == name]
        matches = exact if len(exact) == 1 else matches
        rule = f"must hold one segment or region named {name!r}"
    elif organ:
        matches = [part for part in parts if _plain(organ) in (_plain(part.name), part.organ)]
        rule = f"must hold one segment or region whose name or code is {organ!r}"
    else:
        matches = list(parts)
        rule = "must hold one segment or region where none is chosen"
    if len(matches) != 1:
        count = f"{len(matches)} of them: " if matches else "none among "
        hint = "Choose one by its name behind the path, as in FILE#NAME."
        if len(matches) > 1 and len({part.name for part in matches}) < len(matches):
            hint = "Export the object again with a name of its own for each of them."
        names = [repr(part.name) for part in matches or parts] or ["no segment or region at all"]
        raise MaskError(place, rule, count + listed(names, _LONGEST_LIST), hint)
    check_is_not_another(organ, (matches[0].name, matches[0].organ), place)
    return matches[0]


def check_is_not_another(organ: str | None, names: Collection[str], place: str) -> None:
    """Refuse what is named after another of the organs that this package knows."""
    if not organ:
        return
    others = [name for name in names for other in ORGANS if _plain(name) == other != _plain(organ)]
    if others:
        found = f"one that is named or coded {_plain(others[0])!r}"
        hint = "Correct the path, or the name or code in the file."
        raise MaskError(place, f"must be a mask of the {organ}", found, hint)


def check_frame_of_reference(named: Collection[str], image: sitk.Image, place: str) -> None:
    """Refuse masks in another coordinate system than their image, where both are known."""
    of_image = frame_of_reference(image)
    of_mask = {str(uid).strip() for uid in named if uid and str(uid).strip()}
    if of_image and of_mask and of_mask != {of_image}:
        # Identifiers stay out of the message: they lead back to the patient.
        found = "another one, so that equal coordinates are not equal places"
        hint = "Name the masks that were drawn on this series, or on one of the same session."
        raise MaskError(place, "masks must name the frame of reference of their image", found, hint)


def _plain(name: str) -> str:
    return name.strip().casefold()
