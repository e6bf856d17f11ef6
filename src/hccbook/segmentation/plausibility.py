"""Whether masks of liver and spleen can be true: what is measured on them, and what looks wrong.

Nothing here knows the truth.
A finding is a reason to look at the patient, not an error: spleens get removed, and organs lie mirrored in situs
inversus.
Every finding carries a severity, so that the patients of a cohort can be looked at in a sensible order.

References
----------
Unenhanced post-mortem CT of 64 livers without disease and 37 with severe steatosis, against histology, Int J Legal Med
2019, doi:10.1007/s00414-019-02016-1.
Isensee et al., nnU-Net, Nat Methods 2021;18:203-211; the intensities of its tasks Liver and Spleen.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

import numpy as np
import SimpleITK as sitk

from hccbook.images import from_array, to_array, volume_ml
from hccbook.images.remarks import remark
from hccbook.segmentation.masks import LABELS_IN_WORDS, listed, other_labels
from hccbook.segmentation.quality import SOFT_TISSUE_HU, patient_quality
from hccbook.settings import ORGANS

VOLUME_BOUNDS_ML = {"liver": (500.0, 4000.0), "spleen": (30.0, 3000.0)}
"""Volume (mL) outside which an adult's organ is suspicious.

A healthy adult liver holds 1000 to 2000 mL and shrinks to about half in end-stage cirrhosis;
a healthy spleen holds 100 to 300 mL, and portal hypertension can multiply that by ten.
The bounds are wide on purpose: they catch a wrong mask, they diagnose nothing.
"""

MAX_EXTENT_MM = {"liver": 320.0, "spleen": 300.0}
"""Longest side of the box around an organ, mm, above which its mask is suspicious.

A liver is some 200 mm wide and 150 mm tall, a spleen some 110 mm long; a long right lobe and a massive spleen reach
twice that.
A mask that runs on into the bowel or the body wall goes beyond it while its volume is still believable.
"""

STRAY_SHARE = 0.01
"""Share of an organ's voxels outside its largest piece up to which it counts as one piece.

Resampling by nearest neighbour tears a voxel or two off a thin tip (0.2 % in the worst of the demo's true spleens).
"""

HOLE_SHARE = 0.02
"""Share of an organ, its cavities filled, that is cavity, above which its mask is suspicious.

An organ is solid; a mask that leaves out a lesion or the vessels deep inside has a hole of a few per cent, and one
that is riddled with holes measures the texture of their edges.
True masks of simulated patients have none.
"""

MEAN_HU_BOUNDS = (0.0, 250.0)
"""Mean HU inside a liver or a spleen, with or without contrast.

Without contrast a liver without disease has 58 HU (SD 9) and one with severe steatosis 32 (SD 14), which leaves
almost all above water, 0 HU.
With contrast both organs stay below the arterial aorta, some 300 HU.
"""

OTHER_TISSUE_SHARE = 0.10
"""Share of an organ's voxels outside `SOFT_TISSUE_HU` from which its mask is suspicious.

Voxels on the lung's edge hold half air; at 5 mm they are up to 3 % of a true liver.
"""

ALIKE_OUTSIDE_SHARE = 0.25
"""Share of what lies just outside an organ and looks like it, above which the mask may end too early.

Livers and spleens are even inside and end at fat, lung or another organ.
True masks of simulated patients have up to 0.17 at voxels of 5 mm and 0.22 at 8 mm, next to heart, kidney or bowel
wall, and the median one 0.02;
the given masks of one real venous CT have 0.11 (liver) and 0.07 (spleen).
The bound was set with these in view, and with a network's poor masks of that CT at 0.25 and 0.41.
"""

PHASE_DICE = 0.75
"""Dice of an organ between a phase and the phase most like it, below which the two disagree.

The phases are one patient within minutes, so that on the aligned grid the organ is the same but for breathing.
A spleen of 100 mm that lies 20 mm higher has a Dice of 0.8 with itself; true masks of the demo have 0.82 or more,
and that only where alignment left a centimetre.
"""

PHASE_VOLUME_RATIO = 1.25
"""Larger by smaller volume of an organ in a phase and the phase most like it, above which the two disagree.

An organ hardly changes its volume within minutes; true masks of the demo, voxels of 5 mm, differ by up to 1.08.
"""

PHASE_DISTANCE_MM = 20.0
"""Distance of an organ's centres in two phases, mm, above which they disagree.

Alignment leaves a few millimetres of a breath, a centimetre at worst; without it this much may be true.
"""

MAX_SEVERITY = 3.0
"""Suspicion of what cannot be worse, such as an organ without a voxel, and the most that any finding has."""

USUAL_EDGES_MM = (0.3, 10.0)
"""Voxel edges of a CT of the liver, mm, outside which the header is suspicious; in the plane they are 0.5 to 1."""


@dataclass(frozen=True)
class MaskFinding:
    """Something about a patient's masks that a reader should look at.

    Attributes
    ----------
    patient, phase : str
        Key of the patient and phase of the mask; empty where a label map was checked alone.
    organ : str
        ``liver``, ``spleen`` or ``both``.
    rule : str
        What is expected.
    found : str
        What the label map holds.
    hint : str
        What to do about it.
    severity : float
        How far beyond its bound, 0 (at the bound) to `MAX_SEVERITY`; 1 is where only a wrong mask lies.
        See `quality_findings` for the formula.
    """

    patient: str
    phase: str
    organ: str
    rule: str
    found: str
    hint: str
    severity: float

    def __str__(self) -> str:
        return f"{f'{self.phase}, ' if self.phase else ''}{self.organ}: {self.rule}, but found {self.found}"


FINDING_COLUMNS = tuple(field.name for field in fields(MaskFinding))
"""Columns of a table of findings."""


def remark_implausible(image: sitk.Image, mask: sitk.Image, place: str) -> None:
    """Remark on one mask and its image where no liver or spleen is like them.

    What is looked at is the volume (`VOLUME_BOUNDS_ML`), the mean (`MEAN_HU_BOUNDS`) and the voxel edges
    (`USUAL_EDGES_MM`).

    Parameters
    ----------
    image : SimpleITK.Image
        CT, HU.
    mask : SimpleITK.Image
        0 and 1, on the grid of `image`.
    place : str
        Name of the mask; one that holds an organ's is held to the bounds of that organ, any other to those of either.
    """
    organs = [organ for organ in ORGANS if organ in place.casefold()] or list(ORGANS)
    volumes = [VOLUME_BOUNDS_ML[organ] for organ in organs]
    volume = (min(low for low, _ in volumes), max(high for _, high in volumes))
    mean = float(to_array(image)[to_array(mask) == 1].mean())
    edges = "look whether its header is in mm"
    for what, value, (low, high), unit, hint in (
        ("mean", mean, MEAN_HU_BOUNDS, "HU", "look whether the image is in HU"),
        ("volume", volume_ml(mask), volume, "mL", "look at the mask, and at the voxel edges of the image"),
        ("shortest voxel edge", min(image.GetSpacing()), USUAL_EDGES_MM, "mm", edges),
        ("longest voxel edge", max(image.GetSpacing()), USUAL_EDGES_MM, "mm", edges),
    ):
        if not low <= value <= high:
            expected = f"where a CT of the {' or '.join(organs)} has {low:g} to {high:g} {unit}"
            remark(place, f"a {what} of {value:.4g} {unit}, {expected}", hint)


def quality_findings(
    quality: Mapping[str, Mapping[str, Any]], organs: Sequence[str] = ORGANS, patient: str = ""
) -> list[MaskFinding]:
    """What is suspicious about the measures of one patient's masks.

    A finding's severity is ``min(excess / scale, MAX_SEVERITY)``.
    The excess is the distance of the value from the bound that it breaks, for volumes and their ratios in doublings
    (base-2 logarithm), and the scale is what takes it from the bound to a value that no true mask has.
    So 1 means the same under each rule:

    ============================  ==========================  =====================
    rule                          bound                       scale
    ============================  ==========================  =====================
    volume                        `VOLUME_BOUNDS_ML`          a doubling
    extent                        `MAX_EXTENT_MM`             100 mm
    one piece                     `STRAY_SHARE`               10 % of the organ
    no holes                      `HOLE_SHARE`                10 % of the organ
    inside the image              no voxel on the edge        5 % of the organ
    mean HU                       `MEAN_HU_BOUNDS`            100 HU
    soft tissue                   `OTHER_TISSUE_SHARE`        20 % of the organ
    alike outside                 `ALIKE_OUTSIDE_SHARE`       20 % of the shell
    sides                         0 mm                        50 mm
    phases, Dice                  `PHASE_DICE`                0.25
    phases, volume                `PHASE_VOLUME_RATIO`        a doubling
    phases, place                 `PHASE_DISTANCE_MM`         30 mm
    grid, labels, missing organ   -                           `MAX_SEVERITY`
    ============================  ==========================  =====================

    Parameters
    ----------
    quality : mapping of str to mapping
        By phase, as `patient_quality` or `mask_quality` measures; a rule whose measure is absent or NaN is passed over.
    organs : sequence of str
        Organs that must be there and are judged; both enter the rule on sides where both have voxels.
    patient : str
        Key of the patient.

    Returns
    -------
    list of MaskFinding
        Phase by phase and organ by organ, in a fixed order; empty where all is plausible.
    """
    findings: list[MaskFinding] = []
    for phase, measured in quality.items():
        if not measured["on_image_grid"]:
            findings.append(MaskFinding(patient, phase, "both", *_OFF_GRID, MAX_SEVERITY))
        for organ in organs:
            values = defaultdict(lambda: math.nan)
            values |= {name.removeprefix(f"{organ}_"): value for name, value in measured.items()}
            if values["volume_ml"] == 0:
                findings.append(MaskFinding(patient, phase, organ, *_ABSENT, MAX_SEVERITY))
            else:
                excesses = ((rule, rule.excess(organ, values)) for rule in _RULES)
                findings += [
                    MaskFinding(patient, phase, organ, *rule.in_words(organ, values), _severity(beyond))
                    for rule, beyond in excesses
                    if beyond > 0
                ]
        apart = measured["liver_left_of_spleen_mm"]
        if apart >= 0:
            found = f"{apart:.0f} mm to the left of it"
            findings.append(MaskFinding(patient, phase, "both", _SIDES, found, _SIDES_HINT, _severity(apart / 50)))
    return findings


def nearest_bound(quality: Mapping[str, Mapping[str, Any]], organs: Sequence[str] = ORGANS) -> float:
    """How near the masks of one patient come to a bound that they keep, so that unsuspicious ones have an order too.

    Parameters
    ----------
    quality, organs
        As in `quality_findings`.

    Returns
    -------
    float
        Distance from the nearest bound, as a negative number in the scales of `quality_findings`: -0.1 for a value a
        tenth of its scale within its bound. Minus infinity where nothing was measured. A value that can be no better,
        such as an organ with no voxel on the edge of the image, is near nothing.
    """
    excesses = (
        rule.excess(organ, {name.removeprefix(f"{organ}_"): value for name, value in measured.items()})
        for measured in quality.values()
        for organ in organs
        for rule in _RULES
        if measured.get(f"{organ}_{rule.measure}")
    )
    return max((excess for excess in excesses if excess < 0), default=-math.inf)


def patient_findings(
    images: Mapping[str, sitk.Image],
    labels: Mapping[str, sitk.Image],
    organs: Sequence[str] = ORGANS,
    patient: str = "",
) -> list[MaskFinding]:
    """List what is suspicious about the masks of one patient, over all phases.

    Parameters
    ----------
    images, labels : mapping of str to SimpleITK.Image
        CT (HU) and label map by phase.
    organs, patient
        As in `quality_findings`.

    Returns
    -------
    list of MaskFinding
        As `quality_findings` has them.
        A label map with other values than 0, 1 and 2 is a finding here, and those voxels count as background.
    """
    findings, judged = [], dict(labels)
    for phase, mask in labels.items():
        array = to_array(mask)
        others = other_labels(array)
        if others.size:
            rule = f"label map holds {LABELS_IN_WORDS} only"
            found = (rule, listed(others), "Renumber the labels.")
            findings.append(MaskFinding(patient, phase, "both", *found, MAX_SEVERITY))
            judged[phase] = from_array(np.where(np.isin(array, others), 0, array), mask, dtype=np.uint8)
    return findings + quality_findings(patient_quality(judged, images), organs, patient)


def severity(findings: Iterable[MaskFinding]) -> float:
    """How suspicious a patient is: the sum over rules and organs of the largest severity in any phase.

    One fault that all phases share counts once, two different faults count both.

    Parameters
    ----------
    findings : iterable of MaskFinding
        Findings of one patient.

    Returns
    -------
    float
        0 where there are none; a higher value is more suspicious.
    """
    largest: dict[tuple[str, str], float] = {}
    for finding in findings:
        fault = (finding.organ, finding.rule)
        largest[fault] = max(largest.get(fault, 0.0), finding.severity)
    return math.fsum(largest.values())


def findings_in_words(findings: Iterable[MaskFinding]) -> list[str]:
    """One line a fault of a patient, the most suspicious first; what the phases share is said once.

    Parameters
    ----------
    findings : iterable of MaskFinding
        Findings of one patient.

    Returns
    -------
    list of str
        Such as ``liver: mean is 0 to 250 HU, but found -22 HU (arterial), -30 HU (delayed)``.
    """
    faults: dict[tuple[str, str], list[MaskFinding]] = {}
    for finding in findings:
        faults.setdefault((finding.organ, finding.rule), []).append(finding)
    # A stable sort, so that faults of one severity keep their order.
    ordered = sorted(faults.items(), key=lambda fault: -max(finding.severity for finding in fault[1]))
    return [
        f"{organ}: {rule}, but found " + ", ".join(f"{finding.found} ({finding.phase})" for finding in found)
        for (organ, rule), found in ordered
    ]


def finding_rows(findings: Iterable[MaskFinding]) -> list[dict[str, object]]:
    """Rows of a table with `FINDING_COLUMNS`."""
    return [dict(zip(FINDING_COLUMNS, astuple(finding), strict=True)) for finding in findings]


# --- rules ------------------------------------------------------------------------------------------------------------

_OFF_GRID = (
    "label map lies on the grid of its image",
    "another grid",
    "Resample the label map onto the image, or mask this image.",
)
_ABSENT = (
    "must be segmented",
    "no voxel",
    "Look at the image; was the organ removed, or does the network miss it? Give a mask.",
)
_SIDES = "liver lies to the patient's right of the spleen"
_SIDES_HINT = "Look whether the labels are swapped, or image or mask mirrored; in situs inversus it is right."


def _severity(excess: float) -> float:
    return round(min(excess, MAX_SEVERITY), 4)


@dataclass(frozen=True)
class _Rule:
    """What is expected of one organ in one phase."""

    measure: str
    bounds: Mapping[str, tuple[float, float]]  # by organ, least and most; infinite where nothing is too little or much
    scale: float
    rule: str  # to be formatted with the bounds
    found: str  # to be formatted with the measures
    hint: str
    in_doublings: bool = False

    def excess(self, organ: str, measures: Mapping[str, Any]) -> float:
        """How many scales a value is beyond its bounds; negative for one within them, NaN for NaN."""
        low, high, value = *self.bounds[organ], measures[self.measure]
        if self.in_doublings:
            low, high, value = (math.log2(number) if number > 0 else -math.inf for number in (low, high, value))
        return max(low - value, value - high) / self.scale

    def in_words(self, organ: str, measures: Mapping[str, Any]) -> tuple[str, str, str]:
        """Rule, found and hint of a finding."""
        return self.rule.format(*self.bounds[organ]), self.found.format_map(measures), self.hint


def _of_both(low: float, high: float) -> dict[str, tuple[float, float]]:
    return dict.fromkeys(ORGANS, (low, high))


_RULES = (
    _Rule(
        "volume_ml",
        VOLUME_BOUNDS_ML,
        1,
        "volume is {0:g} to {1:g} mL",
        "{volume_ml:.0f} mL",
        "Look whether the mask ends early or runs on into a neighbour.",
        in_doublings=True,
    ),
    _Rule(
        "extent_mm",
        {organ: (-math.inf, extent) for organ, extent in MAX_EXTENT_MM.items()},
        100,
        "is at most {1:g} mm long",
        "{extent_mm:.0f} mm",
        "Look for a part of the mask far from the organ.",
    ),
    _Rule(
        "stray_share",
        _of_both(-math.inf, STRAY_SHARE),
        0.1,
        "is one piece",
        "{components} pieces, {stray_share:.1%} of it outside the largest",
        "Remove the stray pieces, or join the organ.",
    ),
    _Rule(
        "hole_share",
        _of_both(-math.inf, HOLE_SHARE),
        0.1,
        "is solid, with holes of at most {1:.0%}",
        "{hole_share:.1%} of it holes",
        "Fill the holes, unless they are lesions or vessels that were left out on purpose.",
    ),
    _Rule(
        "border_share",
        _of_both(-math.inf, 0),
        0.05,
        "lies inside the image",
        "{border_share:.1%} of it on the edge of the image",
        "Look whether the scan cuts the organ off; then volume and shape are those of a part.",
    ),
    _Rule(
        "mean_hu",
        _of_both(*MEAN_HU_BOUNDS),
        100,
        "mean is {0:g} to {1:g} HU",
        "{mean_hu:.0f} HU",
        "Look whether the mask lies on lung, fat or bone, and whether the image is in HU.",
    ),
    _Rule(
        "other_tissue_share",
        _of_both(-math.inf, OTHER_TISSUE_SHARE),
        0.2,
        f"at most {{1:.0%}} of it is outside {SOFT_TISSUE_HU[0]:g} to {SOFT_TISSUE_HU[1]:g} HU",
        "{other_tissue_share:.0%}",
        "Look whether the mask runs into lung, fat or bone, or is shifted against the image.",
    ),
    _Rule(
        "alike_outside_share",
        _of_both(-math.inf, ALIKE_OUTSIDE_SHARE),
        0.2,
        "at most {1:.0%} of what lies just outside looks like it",
        "{alike_outside_share:.0%}",
        "Look whether the mask ends before the organ does.",
    ),
    _Rule(
        "phase_dice",
        _of_both(PHASE_DICE, math.inf),
        0.25,
        "overlaps another phase with a Dice of {0:g} or more",
        "{phase_dice:.2f} against {closest_phase}",
        "Compare the phases; one mask is wrong, or the phases are not aligned.",
    ),
    _Rule(
        "phase_volume_ratio",
        _of_both(0, PHASE_VOLUME_RATIO),
        1,
        "volumes of two phases differ by a factor of at most {1:g}",
        "{phase_volume_ratio:.1f} against {closest_phase}",
        "Compare the phases; one mask is wrong.",
        in_doublings=True,
    ),
    _Rule(
        "phase_distance_mm",
        _of_both(-math.inf, PHASE_DISTANCE_MM),
        30,
        "lies within {1:g} mm of itself in another phase",
        "{phase_distance_mm:.0f} mm from {closest_phase}",
        "Compare the phases; one mask is wrong, or the phases are not aligned.",
    ),
)
"""In the order in which findings are told."""
