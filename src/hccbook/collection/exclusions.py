"""What is left out of a collection, with the reason: localisers, dose pages, captures, reformats, sharp kernels."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from hccbook.collection.headers import CT_CLASSES, Header

MASK_MODALITIES = ("SEG", "RTSTRUCT")
"""Modalities of objects that hold masks: they are no images and are not left out."""

_AXIAL_DEGREES = 45.0  # an acquired slice is turned by its gantry, never by as much
_LEAST_SLICES = 5
_LEAST_EXTENT_MM = 60.0  # a liver is more than twice as high; a monitored place or a test slice is less
_SHARP_WORDS = re.compile(r"\b(bone|lung|knochen|lunge|osseux|poumon|osso|hueso)s?\b", re.IGNORECASE)
_MODALITIES = {
    "SR": "report (SR), such as that of the dose",
    "PR": "presentation state, without pixels of its own",
    "KO": "list of key images, without pixels of its own",
    "RTPLAN": "treatment plan",
    "RTDOSE": "dose of a treatment plan",
    "REG": "registration, without pixels",
}


@dataclass(frozen=True)
class _Rule:
    reason: str
    kinds: frozenset[str]
    words: re.Pattern[str]


@functools.cache
def _rules() -> tuple[_Rule, ...]:
    declared = yaml.safe_load(Path(__file__).with_name("exclusions.yaml").read_text(encoding="utf-8"))
    return tuple(
        _Rule(rule["reason"], frozenset(rule["kinds"]), re.compile(rule["words"], re.IGNORECASE)) for rule in declared
    )


@functools.cache
def _sharp_kernels() -> tuple[re.Pattern[str], ...]:
    declared = yaml.safe_load(Path(__file__).with_name("kernels.yaml").read_text(encoding="utf-8"))
    return tuple(re.compile(kernel["pattern"], re.IGNORECASE) for kernel in declared)


def image_reason(header: Header) -> str:
    """Why an object is no slice of a contrast phase; empty where nothing speaks against it.

    References
    ----------
    ``exclusions.yaml`` beside this module, with the source of each rule.
    """
    if header.sop_class not in (*CT_CLASSES, "") or header.modality not in ("CT", ""):
        return _other_object(header)
    kinds = set(header.kinds)
    # Archives write names with underscores, which a word's end does not stop at.
    words = header.description.replace("_", " ")
    for rule in _rules():
        if kinds & rule.kinds or rule.words.search(words):
            return rule.reason
    if header.planes and _off_axis(header) > _AXIAL_DEGREES:
        return "reformat of other slices (not axial)"
    return ""


def _other_object(header: Header) -> str:
    if header.modality in _MODALITIES:
        return _MODALITIES[header.modality]
    if header.modality not in ("CT", "OT", "SC", ""):
        return f"modality {header.modality}, not CT"
    # Scanners and archives store dose pages and screen shots as captures of modality CT.
    return "secondary capture (a picture of a screen) or another object without HU"


def _off_axis(header: Header) -> float:
    """Angle between the slice's normal and the patient's long axis, degrees."""
    normal = header.planes[0].normal
    length = float(np.linalg.norm(normal))
    return 90.0 if length == 0 else float(np.degrees(np.arccos(min(1.0, abs(normal[2]) / length))))


def kernel_reason(kernel: str, description: str) -> str:
    """Why a reconstruction's kernel is none for the liver; empty where it may be one.

    References
    ----------
    ``kernels.yaml`` beside this module, with the source of each name.
    """
    if kernel and any(pattern.fullmatch(kernel) for pattern in _sharp_kernels()):
        return f"bone or lung kernel ({kernel})"
    word = _SHARP_WORDS.search(description.replace("_", " "))
    return f"bone or lung kernel (described as {word[0]!r})" if word else ""


def size_reason(along: Sequence[float]) -> str:
    """Why slices at these places along their normal (mm) cannot be the volume of a phase; empty where they can."""
    extent = float(np.ptp(along)) if len(along) else 0.0
    if len(along) < _LEAST_SLICES or extent < _LEAST_EXTENT_MM:
        return f"too short to hold the liver: {len(along)} slices over {extent:.0f} mm"
    return ""
